"""kill -9 on everything at random moments while agents write: no row lost that was acknowledged, none doubled, workers come back.

OBSERV_KILLS=50 for the full storm (make kill-storm); OBSERV_SEED repeats one.
"""

import os
import random
import sys
import time

import psycopg
import pytest

import harness
from harness import wait_until
from simulated_agent import ROWS

KILLS = int(os.environ.get("OBSERV_KILLS", "12"))
AGENTS = 3
SETTINGS = {"observ.refresh_fleet_summary_interval": "1", "observ.evaluation_interval": "1", "observ.dispatch_interval": "1",
            "max_locks_per_transaction": "128", "synchronous_commit": "on",
            "checkpoint_timeout": "30s", "restart_after_crash": "on"}


class Fleet:
    """Simulated agents, each a process of its own that can be killed and started again."""

    def __init__(self, server, db, make_agent):
        self.server, self.db, self.make_agent = server, db, make_agent
        self.base = int(time.time()) - 3600
        self.names = [f"vps-{n}" for n in range(AGENTS)]
        self.running = {}
        for name in self.names:
            server.sql(db, "SELECT observ.enroll_vps(%s, %s)", (name, f"agent_{name[-1]}"))
            self.start(name)

    def ack_file(self, name):
        return self.server.dir / f"{name}.acks"

    def start(self, name):
        if name in self.running:
            self.running.pop(name).destroy()
        self.running[name] = self.make_agent([sys.executable, harness.ROOT / "test/e2e/simulated_agent.py",
                                              self.server.conninfo(self.db, f"agent_{name[-1]}"), f"id-{name}", name, str(self.base),
                                              self.ack_file(name)])

    def acknowledged(self, name):
        path = self.ack_file(name)
        lines = path.read_text(encoding="ascii").split("\n")[:-1] if path.exists() else []
        return [int(line) for line in lines]

    def total(self):
        return sum(len(self.acknowledged(name)) for name in self.names)


@pytest.fixture
def make_agent():
    made = []

    def make(argv, **options):
        made.append(harness.Agent(argv, **options))
        return made[-1]

    yield make
    for agent in made:
        agent.destroy()


def backend_of(server, pattern, chance):
    """A random process of the server by backend_type (or client), straight from the process table: asking SQL would choose the moment."""
    found = []
    for pid in harness.children_of(server.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
                title = cmdline.read().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if pattern in title:
            found.append(pid)
    return chance.choice(found) if found else None


def kill_one(server, fleet, real, victim, chance):
    """Kills it; false when there was none of that kind at this moment."""
    if victim == "agent":
        name = chance.choice(fleet.names)
        fleet.running[name].kill9()
        fleet.start(name)
        return True
    if victim == "real agent":
        real.kill()
        return True
    if victim == "postmaster":
        server.kill9_postmaster()
        server.start()
        return True
    pattern = {"scheduler": "observ scheduler", "launcher": "observ launcher", "backend": " agent_", "checkpointer": "checkpointer",
               "walwriter": "walwriter"}[victim]
    pid = backend_of(server, pattern, chance)
    if pid is None or not harness.process_alive(pid):
        return False
    offset = server.log_size()
    server.kill9_backend(pid)
    server.wait_for_log("reinitializing", offset)
    return True


class RealAgent:
    """obs-agent beside the simulated ones, started again whenever it was killed."""

    def __init__(self, installation, server, db, make_agent):
        self.make_agent = make_agent
        home = server.dir / "obs-agent"
        home.mkdir()
        config = home / "config.yml"
        config.write_text(f"monitoring:\n  enabled: true\n  postgres_url: {server.url(db)}\n  collection_interval: 10\n", encoding="utf-8")
        self.argv = [installation.agent, "--config", config, "--app-name", "shop", "--vps-name", "real", "--state-dir", home]
        self.agent = make_agent(self.argv)

    def kill(self):
        self.agent.kill9()
        self.agent = self.make_agent(self.argv)


def check_nothing_lost_nothing_doubled(server, fleet):
    for name in fleet.names:
        acknowledged = fleet.acknowledged(name)
        last_seq = server.value(fleet.db, "SELECT last_seq FROM observ.collectors WHERE agent_id = %s", (f"id-{name}",))
        assert acknowledged and last_seq >= max(acknowledged)
        # An agent asks anew after each break, so what it was told goes up one by one (or was told twice, never skipped).
        assert set(acknowledged) <= set(range(1, last_seq + 1))
        assert last_seq - len(set(acknowledged)) <= KILLS + 1, "more batches unanswered than there were breaks"
        for table, number in (("vps_metrics", "uptime_seconds"), ("log_entries", "message::int8")):
            found = [n for n, in server.sql(fleet.db, f"SELECT {number} FROM observ.{table} WHERE vps_name = %s ORDER BY 1", (name,))]
            assert found == list(range(last_seq * ROWS)), (name, table)


def test_kill_storm(installation, make_server, make_agent):
    seed = int(os.environ.get("OBSERV_SEED", random.randrange(10**6)))
    print(f"OBSERV_SEED={seed} OBSERV_KILLS={KILLS}")
    chance = random.Random(seed)
    server = make_server(settings=SETTINGS, fsync=True, tcp=True)
    db = server.create_database("metrics", extension=True)
    fleet = Fleet(server, db, make_agent)
    real = RealAgent(installation, server, db, make_agent)
    victims = ["postmaster", "scheduler", "backend", "agent", "real agent", "launcher", "backend", "scheduler", "checkpointer", "walwriter"]
    done = []
    while len(done) < KILLS:
        target = fleet.total() + chance.randint(1, 60)
        wait_until(lambda: fleet.total() >= target, 90, f"the agents to get on after {done[-1:]}", interval=chance.uniform(0.001, 0.05))
        # Each kind comes up, in an order nobody chose.
        victim = victims[len(done)] if len(done) < len(victims) else chance.choice(victims)
        if kill_one(server, fleet, real, victim, chance):
            done.append(victim)
    # Life goes on by itself: agents get on, workers run, the real agent's row of now is in the summary.
    target = fleet.total() + 10
    wait_until(lambda: fleet.total() >= target, 90, "the agents to get on after the storm")
    server.wait_for_worker("observ launcher", deadline=60)
    server.wait_for_worker("observ scheduler", db, deadline=60)
    since = server.value(db, "SELECT clock_timestamp()")
    wait_until(lambda: server.value(db, "SELECT count(*) FROM observ.fleet_summary() WHERE vps_name = 'real' AND last_seen > %s AND status = 'up'",
                                    (since,)) == 1, 90, "a new row of obs-agent in the summary", retry_on=psycopg.OperationalError)
    for agent in fleet.running.values():
        agent.kill9()
    wait_until(lambda: server.value(db, "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'agent\\_%%'") == 0, 30, "their backends to end")
    check_nothing_lost_nothing_doubled(server, fleet)
    check_the_database_is_sound(server, fleet)


def check_the_database_is_sound(server, fleet):
    db = fleet.db
    assert server.value(db, "SELECT count(*) FROM observ.vps_metrics WHERE vps_name = 'real'") > 0
    assert server.sql(db, "SELECT agent_id FROM observ.collectors WHERE vps_name = 'real' GROUP BY 1") != []
    newest = "SELECT vps_name, max(timestamp) FROM observ.vps_metrics WHERE vps_name LIKE 'vps-%%' GROUP BY 1 ORDER BY 1"
    shown = "SELECT vps_name, timestamp FROM observ.fleet_summary WHERE vps_name LIKE 'vps-%%' ORDER BY 1"
    wait_until(lambda: server.sql(db, shown) == server.sql(db, newest), 30, "the summary to show the newest row of each VPS")
    assert server.sql(db, "SELECT job_name FROM observ.job_runs WHERE disabled") == []
    wait_until(lambda: server.sql(db, "SELECT job_name, state FROM observ.job_status WHERE state NOT IN ('ok', 'running')") == [], 60, "every job to be well")
    done = server.run("pg_amcheck", "--install-missing", "-d", db, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("victim", ["postmaster", "backend"])
def test_a_kill_between_commit_and_its_answer(make_server, make_proxy, victim):
    """The worst moment there is: applied, and the agent does not know. It sends the batch again, and it is not applied again."""
    import proxy as proxy_module
    server = make_server(settings=SETTINGS, fsync=True, tcp=True)
    db = server.create_database("metrics", extension=True)
    between = make_proxy(server)
    hit = []

    def lose_the_answer(direction, data):
        if direction == "down" and b"COMMIT\0" in data and not hit:
            hit.append(True)
            raise proxy_module.Cut
        return data

    batch = "SELECT accepted, last_seq FROM observ.begin_batch('agent', %s, clock_timestamp(), 'web-1')"
    row = "INSERT INTO observ.log_entries (vps_name, message) VALUES ('web-1', %s)"
    with psycopg.connect(server.url(db, port=between.port), autocommit=True) as conn:
        between.filter = lose_the_answer
        with pytest.raises(psycopg.OperationalError), conn.transaction():
            assert conn.execute(batch, (1,)).fetchone() == (True, 1)
            conn.execute(row, ("one",))
    assert hit
    if victim == "postmaster":
        server.kill9_postmaster()
        server.start()
    else:
        # The cut has ended the session's own backend, or is about to: any other does as well.
        with server.connect(db) as other:
            offset = server.log_size()
            server.kill9_backend(other.info.backend_pid)
        server.wait_for_log("reinitializing", offset)
    wait_until(lambda: server.value(db, "SELECT 1") == 1, 30, "the server", retry_on=psycopg.OperationalError)
    with server.connect(db) as conn, conn.transaction():
        assert conn.execute(batch, (1,)).fetchone() == (False, 1)
    with server.connect(db) as conn, conn.transaction():
        assert conn.execute(batch, (2,)).fetchone() == (True, 2)
        conn.execute(row, ("two",))
    assert server.sql(db, "SELECT message FROM observ.log_entries ORDER BY id") == [("one",), ("two",)]
