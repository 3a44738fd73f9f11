#!/usr/bin/python3
"""An agent without a machine: speaks the ingest protocol as docs/development.md has it, so that tests can count every row.

    simulated_agent.py CONNINFO AGENT_ID VPS_NAME BASE_EPOCH ACK_FILE

Batch n carries rows (n - 1) * ROWS ... n * ROWS - 1, so an agent that was killed knows from the greeting's last_seq what comes next,
and so does the test. An agent whose connection broke sends the same batch again, not knowing whether it was applied. The number of each batch goes to ACK_FILE once its COMMIT was answered, or the database said that it had been
applied before. Runs until it is killed; a server that is away is tried again.
"""

import os
import sys
import time

import psycopg

ROWS = 5
METRICS = ("INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, uptime_seconds, interval_ms) "
           "SELECT to_timestamp(%(base)s) + n * interval '1 ms', %(vps)s, 'shop', n, 60000 FROM unnest(%(numbers)s::int8[]) n ON CONFLICT DO NOTHING")
# No key there: a batch applied twice would show.
LOGS = ("INSERT INTO observ.log_entries (timestamp, vps_name, app_name, message) "
        "SELECT to_timestamp(%(base)s) + n * interval '1 ms', %(vps)s, 'shop', n::text FROM unnest(%(numbers)s::int8[]) n")
BEGIN = "SELECT accepted, last_seq FROM observ.begin_batch(%(agent)s, %(seq)s, clock_timestamp(), %(vps)s, 'shop', 'simulated', 60000)"


def send(conn, who, seq):
    """One batch in one transaction."""
    numbers = list(range((seq - 1) * ROWS, seq * ROWS))
    with conn.transaction():
        accepted, _ = conn.execute(BEGIN, {**who, "seq": seq}).fetchone()
        if accepted:
            conn.execute(METRICS, {**who, "numbers": numbers})
            conn.execute(LOGS, {**who, "numbers": numbers})


def talk(conninfo, who, pending, acknowledge):
    """Sends batch after batch until the connection breaks; the one that is under way stays in pending and is sent again next time."""
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as conn:
        if not pending:
            _, last_seq = conn.execute(BEGIN, {**who, "seq": 0}).fetchone()
            pending.append(last_seq + 1)
        while True:
            send(conn, who, pending[0])
            acknowledge(pending[0])
            pending[0] += 1


def main():
    conninfo, agent, vps, base, ack_file = sys.argv[1:]
    pending = []
    with open(ack_file, "ab", buffering=0) as acks:
        while True:
            try:
                talk(conninfo, {"agent": agent, "vps": vps, "base": float(base)}, pending, lambda seq: acks.write(b"%d\n" % seq))
            except psycopg.OperationalError as error:
                print(error, file=sys.stderr, flush=True)
                if os.getppid() == 1:
                    return
                time.sleep(0.05)


if __name__ == "__main__":
    main()
