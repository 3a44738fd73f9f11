"""Batches sent twice, out of order, and by several writers at once: no deadlock, and exactly the rows that were accepted."""

import json
import random
import threading

import psycopg
import pytest

from harness import wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1", "max_locks_per_transaction": "128", "deadlock_timeout": "'100ms'"}}
BEGIN = "SELECT accepted FROM observ.begin_batch(%s, %s, now(), %s, 'shop')"
# As docs/development.md has it; the order is what keeps writers with overlapping keys from waiting for each other in a circle.
METRICS = ("INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, uptime_seconds) "
           "SELECT date_trunc('hour', now()) + n * interval '1 ms', v, 'shop', n FROM unnest(%s::text[], %s::int8[]) AS t (v, n) "
           "{order} ON CONFLICT DO NOTHING")
LOGS = "INSERT INTO observ.log_entries (vps_name, app_name, message) SELECT v, 'shop', n::text FROM unnest(%s::text[], %s::int8[]) AS t (v, n)"


def in_parallel(work, arguments, deadline=120):
    """Runs work(*a) for each in a thread of its own; raises the first failure."""
    failures = []

    def run(*args):
        try:
            work(*args)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=args) for args in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline)
        assert not thread.is_alive(), "a writer hangs"
    if failures:
        raise failures[0]


def deadlocks(server, db):
    return server.value(db, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def check_summary(server, db, newest):
    result = None
    while result != "ok":
        result = server.value(db, "SELECT status FROM observ.refresh_fleet_summary(reconcile => true)")
    assert dict(server.sql(db, "SELECT vps_name, uptime_seconds FROM observ.fleet_summary WHERE uptime_seconds IS NOT NULL")) == newest


def test_eight_clients_send_the_same_batches(server, observ_db):
    """Two identities, each held by four clients at once (a cloned machine, a retry that overtakes): a batch counts once, whoever sends it."""
    batches, rows = 60, 10
    accepted = []

    def client(number):
        agent = f"agent-{number % 2}"
        chance = random.Random(number)
        with server.connect(observ_db) as conn:
            for seq in range(1, batches + 1):
                numbers = list(range((seq - 1) * rows, seq * rows))
                chance.shuffle(numbers)
                names = [f"vps-{number % 2}"] * rows
                with conn.transaction():
                    if conn.execute(BEGIN, (agent, seq, names[0])).fetchone()[0]:
                        conn.execute(METRICS.format(order=""), (names, numbers))
                        conn.execute(LOGS, (names, numbers))
                        accepted.append((agent, seq))
                # Half of them send everything twice.
                if number >= 4:
                    with conn.transaction():
                        assert conn.execute(BEGIN, (agent, seq, names[0])).fetchone()[0] is False

    in_parallel(client, [(n,) for n in range(8)])
    assert len(accepted) == len(set(accepted))
    for n in range(2):
        seqs = sorted(seq for agent, seq in accepted if agent == f"agent-{n}")
        expected = sorted(row for seq in seqs for row in range((seq - 1) * rows, seq * rows))
        assert seqs[-1] == batches
        for query in ("SELECT uptime_seconds FROM observ.vps_metrics WHERE vps_name = %s ORDER BY 1",
                      "SELECT message::int8 FROM observ.log_entries WHERE vps_name = %s ORDER BY 1"):
            assert [v for v, in server.sql(observ_db, query, (f"vps-{n}",))] == expected
        batches_seen, duplicates, last = server.sql(observ_db, "SELECT batches, duplicate_batches, last_seq FROM observ.collectors WHERE agent_id = %s",
                                                    (f"agent-{n}",))[0]
        assert (batches_seen, last) == (len(seqs), batches)
        assert duplicates == 4 * batches + 2 * batches - len(seqs)
    assert deadlocks(server, observ_db) == 0
    check_summary(server, observ_db, {f"vps-{n}": batches * rows - 1 for n in range(2)})


def test_batches_out_of_order_never_go_back(server, observ_db):
    """A number that is not higher is one that was applied: after 5, batch 3 is skipped, and so is 5."""
    with server.connect(observ_db) as conn:
        answers = [conn.execute(BEGIN, ("a", seq, "v")).fetchone()[0] for seq in (1, 5, 3, 5, 4, 6, 6, 0, 2**62, 7)]
    assert answers == [True, True, False, False, False, True, False, False, True, False]
    assert server.sql(observ_db, "SELECT last_seq, batches, duplicate_batches FROM observ.collectors") == [(2**62, 4, 5)]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_isolation_level_makes_no_double(server, observ_db, isolation):
    """Two sessions with the same batch at once: one wins; the other is told so, or to try again, never both."""
    won = []

    def client(number):
        with server.connect(observ_db) as conn:
            for seq in range(1, 41):
                while True:
                    try:
                        with conn.transaction():
                            conn.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
                            if conn.execute(BEGIN, ("a", seq, "v")).fetchone()[0]:
                                conn.execute(LOGS, (["v"], [seq]))
                                mine = True
                            else:
                                mine = False
                    except psycopg.errors.SerializationFailure:
                        continue
                    if mine:
                        won.append(seq)
                    break

    in_parallel(client, [(n,) for n in range(3)])
    assert sorted(won) == sorted(set(won)) and max(won) == 40
    assert [int(v) for v, in server.sql(observ_db, "SELECT message FROM observ.log_entries ORDER BY message::int8")] == sorted(won)


def test_writers_with_overlapping_keys_in_shuffled_order(server, observ_db):
    """Scripts without batches that insert the same keys: each key once, and no deadlock when the statement sorts."""
    keys = [(f"vps-{v}", n) for v in range(5) for n in range(200)]

    def client(number):
        mine = keys * 2
        random.Random(number).shuffle(mine)
        with server.connect(observ_db) as conn:
            for start in range(0, len(mine), 50):
                part = mine[start:start + 50]
                conn.execute(METRICS.format(order="ORDER BY 2, 1"), ([v for v, _ in part], [n for _, n in part]))

    in_parallel(client, [(n,) for n in range(8)])
    assert server.sql(observ_db, "SELECT vps_name, count(*), count(DISTINCT uptime_seconds) FROM observ.vps_metrics GROUP BY 1 ORDER BY 1") == \
        [(f"vps-{v}", 200, 200) for v in range(5)]
    assert deadlocks(server, observ_db) == 0
    check_summary(server, observ_db, {f"vps-{v}": 199 for v in range(5)})


def test_unsorted_writers_end_in_the_same_state_by_trying_again(server, observ_db):
    """Unsorted statements may deadlock, as in any table; PostgreSQL ends one of them, and trying again gives exactly the same rows."""
    keys = [(f"vps-{v}", n) for v in range(5) for n in range(100)]

    def client(number):
        mine = list(keys)
        random.Random(number).shuffle(mine)
        with server.connect(observ_db) as conn:
            for start in range(0, len(mine), 50):
                part = mine[start:start + 50]
                while True:
                    try:
                        conn.execute(METRICS.format(order=""), ([v for v, _ in part], [n for _, n in part]))
                        break
                    except psycopg.errors.DeadlockDetected:
                        continue

    in_parallel(client, [(n,) for n in range(8)])
    assert server.sql(observ_db, "SELECT vps_name, count(*), count(DISTINCT uptime_seconds) FROM observ.vps_metrics GROUP BY 1 ORDER BY 1") == \
        [(f"vps-{v}", 100, 100) for v in range(5)]


def test_everything_at_once(server, observ_db):
    """Batches, refreshes, reconciles, maintenance, enrolling, forgetting, pause and resume beside each other: no deadlock, no lost row."""
    stop = threading.Event()
    refused = []

    def writer(number):
        with server.connect(observ_db) as conn:
            for seq in range(1, 101):
                while True:
                    try:
                        with conn.transaction():
                            if conn.execute(BEGIN, (f"agent-{number}", seq, f"vps-{number}")).fetchone()[0]:
                                conn.execute(METRICS.format(order=""), ([f"vps-{number}"], [seq]))
                                conn.execute(LOGS, ([f"vps-{number}"], [seq]))
                        break
                    except psycopg.errors.ObjectNotInPrerequisiteState:
                        refused.append(seq)

    def loop(*statements):
        with server.connect(observ_db) as conn:
            while not stop.is_set():
                for statement in statements:
                    conn.execute(statement)

    others = [threading.Thread(target=loop, args=statements) for statements in (
        ("SELECT observ.refresh_fleet_summary()",), ("SELECT observ.refresh_fleet_summary(reconcile => true)", "SELECT * FROM observ.fleet_summary()"),
        ("SELECT observ.maintain_partitions()",), ("SELECT observ.enroll_vps('vps-1', labels => '{}')", "SELECT observ.boost('vps-2')"),
        ("SELECT observ.pause()", "SELECT observ.resume()"))]
    for thread in others:
        thread.start()
    try:
        in_parallel(writer, [(n,) for n in range(4)])
    finally:
        stop.set()
        for thread in others:
            thread.join(60)
    server.sql(observ_db, "SELECT observ.resume()")
    for n in range(4):
        assert [v for v, in server.sql(observ_db, "SELECT message::int8 FROM observ.log_entries WHERE vps_name = %s ORDER BY 1", (f"vps-{n}",))] == \
            list(range(1, 101))
    assert deadlocks(server, observ_db) == 0
    check_summary(server, observ_db, {f"vps-{n}": 100 for n in range(4)})


def test_several_people_pause_and_resume_at_once(server, observ_db):
    """While partitions are due: every call ends well, no partition is made twice, and no half is left."""
    remarks = []

    def person(number):
        with server.connect(observ_db) as conn:
            conn.add_notice_handler(lambda d: remarks.append((d.sqlstate, d.message_primary)) if d.severity == "WARNING" else None)
            for turn in range(15):
                conn.execute("SELECT observ.pause()" if (number + turn) % 3 == 0 else "SELECT * FROM observ.resume()")
                conn.execute(f"SELECT * FROM observ.maintain_partitions(now() + interval '{turn} days')")

    in_parallel(person, [(n,) for n in range(4)])
    assert remarks == []
    assert server.value(observ_db, "SELECT status FROM observ.resume()") == "resumed"
    assert server.sql(observ_db, "SELECT relname FROM pg_class WHERE relnamespace = 'observ_data'::regnamespace AND relname ~ '_[0-9]{8}_[0-9]$'") == []


@pytest.mark.parametrize("first,second", [("pause", "pause"), ("pause", "resume"), ("resume", "pause")])
def test_the_second_waits_for_the_first_to_commit(server, observ_db, first, second):
    said = []

    def follow():
        said.append(server.sql(observ_db, f"SELECT observ.{second}()"))

    with server.connect(observ_db, autocommit=False) as conn:
        conn.execute(f"SELECT observ.{first}()")
        thread = threading.Thread(target=follow)
        thread.start()
        wait_until(lambda: server.value("postgres", "SELECT count(*) FROM pg_locks WHERE NOT granted") == 1 or said, 30, "the second to wait")
        conn.commit()
    thread.join(30)
    assert len(said) == 1
    assert server.value(observ_db, "SELECT state = 'paused' FROM observ.status()") is (second == "pause")


COLUMNS = ("timestamp", "vps_name", "app_name", "cpu_percent", "cpu_cores", "uptime_seconds")
TYPES = ("timestamptz", "text", "text", "real", "int", "int8")
VALUES = (
    ["2026-01-01 00:00:00+00", "infinity", "-infinity", "1999-01-01", "294276-12-31", "{now}", "{now}", "{now}", "{now}", "31 February", None],
    ["a", "b", "", "é\u2028\t\\N\"'", "x" * 3000, None], ["", "shop", "\\.", None],
    ["0", "-0", "12.5", "NaN", "Infinity", "1e50", "1e-50", "abc", "", None], ["4", "-1", "2147483648", "4.5", None], ["1", "9223372036854775808", None])


def copy_text(value):
    if value is None:
        return r"\N"
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def by_insert(conn, row):
    slots = ", ".join(f"%s::{t}" for t in TYPES)
    conn.execute(f"INSERT INTO observ.vps_metrics ({', '.join(COLUMNS)}) VALUES ({slots})", row)


def by_arrays(conn, row):
    slots = ", ".join(f"%s::text[]::{t}[]" for t in TYPES)
    conn.execute(f"INSERT INTO observ.vps_metrics ({', '.join(COLUMNS)}) SELECT * FROM unnest({slots})", [[v] for v in row])


def by_json(conn, row):
    fields = ", ".join(f"{c} {t}" for c, t in zip(COLUMNS, TYPES))
    conn.execute(f"INSERT INTO observ.vps_metrics ({', '.join(COLUMNS)}) SELECT * FROM jsonb_to_recordset(%s::jsonb) AS t ({fields})",
                 (json.dumps([dict(zip(COLUMNS, row))]),))


def by_copy(conn, row):
    with conn.cursor().copy(f"COPY observ.vps_metrics ({', '.join(COLUMNS)}) FROM STDIN") as copy:
        copy.write("\t".join(map(copy_text, row)) + "\n")


def test_every_way_of_inserting_takes_and_refuses_the_same(server, observ_db):
    """Single rows, arrays, JSON and COPY: the same rows are stored, bit for bit, and the same are refused for the same reason."""
    server.sql(observ_db, "SELECT observ.pause()")
    chance = random.Random(7)
    # Timestamps of now, each for three rows, so that duplicates come up.
    now = [t for t, in server.sql(observ_db, "SELECT (now() + n / 3 * interval '1 ms')::text FROM generate_series(0, 1999) n")]

    def row(number, odd):
        """A plain row, with the values of `odd` in their places."""
        plain = [now[number], "plain", "shop", "1", "2", "3"]
        return [value.replace("{now}", now[number]) if value else value for value in (odd.get(i, plain[i]) for i in range(len(plain)))]

    # What chance throws together, then one oddity at a time, so that each is seen to be the reason.
    rows = [row(n, {i: chance.choice(values) for i, values in enumerate(VALUES) if chance.random() < 0.3}) for n in range(1000)]
    rows += [row(1900, {i: value}) for i, values in enumerate(VALUES) for value in values]
    outcomes = {}
    for way in (by_insert, by_arrays, by_json, by_copy):
        reasons = []
        with server.connect(observ_db) as conn:
            conn.execute("TRUNCATE observ.vps_metrics")
            for one in rows:
                try:
                    way(conn, one)
                    reasons.append(None)
                except psycopg.Error as error:
                    reasons.append(error.sqlstate)
            stored = conn.execute(f"SELECT {', '.join(c + '::text' for c in COLUMNS)} FROM observ.vps_metrics ORDER BY id").fetchall()
        outcomes[way.__name__] = (reasons, stored)
    expected = outcomes["by_insert"]
    assert 200 < expected[0].count(None) == len(expected[1])
    assert {"23505", "23514", "23502", "22P02", "22003"} <= set(expected[0])
    for name, (reasons, stored) in outcomes.items():
        # With several oddities in a row, which is met first is the parser's business.
        assert [r is None for r in reasons] == [r is None for r in expected[0]], name
        assert reasons[1000:] == expected[0][1000:], name
        assert stored == expected[1], name
