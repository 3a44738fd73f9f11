"""obs-agent and its database: what is written, and every way in which the database may refuse."""

import json
import os
import random
import signal
import socket
import threading
import time

import pytest

import harness
import proxy
from agent_config import Setup, exactly_once, rows, wait_for_rows
from harness import wait_until
from proctree import ProcTree

SERVER = {"preload": False, "tcp": True,
          "hba": ("host all secret 127.0.0.1/32 scram-sha-256", "host all nobody 127.0.0.1/32 reject")}


@pytest.fixture
def setup(server, observ_db, tmp_path):
    return Setup(tmp_path, server.url(observ_db))


def last_seq(server, db):
    return server.value(db, "SELECT max(last_seq) FROM observ.collectors")


# --- what is written ----------------------------------------------------------------------------------------------------


def test_a_row_with_every_column(server, observ_db, setup, run_agent):
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    columns = [c for c, in server.sql(observ_db, "SELECT attname FROM pg_attribute WHERE attrelid = 'observ.vps_metrics'::regclass AND attnum > 0 AND NOT attisdropped")]
    row = dict(zip(columns, server.sql(observ_db, f"SELECT {', '.join(chr(34) + c + chr(34) for c in columns)} FROM observ.vps_metrics ORDER BY id LIMIT 1")[0]))
    assert (row["vps_name"], row["app_name"]) == ("test-vps", "app")
    known = {"cpu_percent", "memory_percent", "memory_mb", "disk_percent", "disk_gb", "load_avg_1m", "load_avg_5m", "load_avg_15m",
             "cpu_iowait_percent", "cpu_steal_percent", "cpu_cores", "memory_available_mb", "swap_io_per_s", "net_rx_bps", "net_tx_bps",
             "processes", "zombies", "open_files_percent", "uptime_seconds", "clock_offset_ms", "interval_ms"}
    assert {c for c in known if row[c] is None} == set()
    assert 900 <= row["interval_ms"] <= 5000
    assert abs(row["clock_offset_ms"]) < 2000
    # What --once calls a column is one, and none is forgotten.
    once = run_agent("--once", "--json")
    assert once.wait(20) == 0
    assert set(json.loads(once.stdout())) - {"filesystems"} == set(columns) - {"id", "received_at"}
    collector = server.sql(observ_db, "SELECT vps_name, app_name, interval_ms, batches > 0 FROM observ.collectors")
    assert collector == [("test-vps", "app", 10000, True)]
    now_us = time.time() * 1e6
    assert now_us - 60e6 < last_seq(server, observ_db) < now_us  # numbers of a new spool begin with the time
    assert agent.stop() == 0


def test_ticks_are_aligned_and_cover_the_interval(server, observ_db, setup, run_agent):
    run_agent(*setup.args())
    wait_for_rows(server, observ_db, 3, 45)
    got = server.sql(observ_db, "SELECT extract(epoch FROM timestamp) * 1000, interval_ms FROM observ.vps_metrics ORDER BY 1")
    (t1, _), (t2, covered) = got[1], got[2]
    assert abs((t2 - t1) - 10000) < 1500 and abs(covered - 10000) < 1500
    connections = server.value(observ_db, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'obs-agent' AND datname = %s", (observ_db,))
    assert connections == 1


def test_killed_at_random_moments(server, observ_db, setup, run_agent):
    """kill -9 around the moment of the first flush, again and again: what was applied is there once, numbers go on."""
    pause = random.Random(7)
    for _ in range(12):
        agent = run_agent(*setup.args())
        end = time.monotonic() + 1 + pause.random() * 0.15
        wait_until(lambda t=end: time.monotonic() > t, 5, "a moment", interval=0.005)
        agent.kill9()
        wait_until(lambda a=agent: not harness.children_of(a.pid), 5, "the helper to end")
        assert "another agent" not in agent.stderr()
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, rows(server, observ_db) + 1)
    assert 1 <= exactly_once(server, observ_db) <= 14  # a run takes one sample, the last one maybe two
    assert server.value(observ_db, "SELECT count(*) FROM observ.collectors") == 1


def test_two_agents_with_one_identity(server, observ_db, setup, run_agent):
    run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    second = run_agent(*setup.args())
    assert second.wait(10) == 1 and "another obs-agent is running" in second.stderr()


def test_identity_without_a_state_directory(server, observ_db, setup, run_agent):
    setup.state = "/proc/none"
    for _ in (1, 2):
        agent = run_agent(*setup.args())
        agent.wait_for_stderr("the identity follows from machine-id")
        wait_until(lambda: (last_seq(server, observ_db) or 0) >= 1, 15, "a batch")
        assert agent.stop() == 0
    assert server.value(observ_db, "SELECT count(*) FROM observ.collectors") == 1


def test_a_least_privileged_role(server, observ_db, setup, run_agent):
    role = f"agent_{observ_db}"
    server.sql(observ_db, f"CREATE ROLE {role} LOGIN")
    server.sql(observ_db, f"SELECT observ.enroll_vps('test-vps', '{role}')")
    setup.write(server.url(observ_db, user=role))
    run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    other = run_agent(*setup.args(vps="another"))
    other.wait_for_stderr("may not write rows of VPS")
    assert "enroll_vps" in other.stderr()


# --- the database refuses -----------------------------------------------------------------------------------------------


def test_database_down_at_start(installation, tmp_path, run_agent, make_server):
    server = make_server(start=False, preload=False, tcp=True)
    port = harness.free_port()
    setup = Setup(tmp_path, f"postgresql://postgres@127.0.0.1:{port}/postgres")
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("Connection refused")
    server.start()
    server.sql("postgres", "CREATE EXTENSION observ")
    setup.write(server.url("postgres"))
    agent.signal(signal.SIGHUP)
    agent.wait_for_stderr("the database takes rows again")
    wait_for_rows(server, "postgres", 1)
    assert agent.stderr().count("the database does not take rows") == 1
    assert agent.stop() == 0


def test_restart_of_the_server_loses_nothing(tmp_path, run_agent, make_server):
    server = make_server(preload=False)
    server.sql("postgres", "CREATE EXTENSION observ")
    setup = Setup(tmp_path, f"postgresql://postgres@/postgres?host={server.dir}&port={server.port}")
    agent = run_agent(*setup.args())
    wait_for_rows(server, "postgres", 1)
    before = last_seq(server, "postgres")
    server.kill9_postmaster()
    time_of_tick = time.monotonic() + 14  # a tick passes while nobody answers
    wait_until(lambda: time.monotonic() > time_of_tick, 20, "a tick")
    server.restart()
    wait_until(lambda: last_seq(server, "postgres") > before, 70, "a batch", retry_on=harness.psycopg.Error)
    wait_for_rows(server, "postgres", 2, 10)
    exactly_once(server, "postgres")
    assert agent.running()


def test_wrong_password_then_right(server, observ_db, setup, run_agent):
    server.sql("postgres", "DROP ROLE IF EXISTS secret")
    server.sql("postgres", "CREATE ROLE secret SUPERUSER LOGIN PASSWORD 'right'")
    setup.write(server.url(observ_db, user="secret", password="hunter2"))
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("wrong password")
    assert "28P01" in agent.stderr() and "monitoring.postgres_url" in agent.stderr() and "hunter2" not in agent.stderr()
    setup.write(server.url(observ_db, user="secret"))
    agent.signal(signal.SIGHUP)
    agent.wait_for_stderr("there is none")
    setup.write(server.url(observ_db, user="secret", password="right"))
    agent.signal(signal.SIGHUP)
    wait_for_rows(server, observ_db, 1)
    agent.wait_for_stderr("the database takes rows again")


@pytest.mark.parametrize("user, db, words", [
    ("nobody", None, ("the server refuses this user", "pg_hba.conf")),
    ("postgres", "no_such_db", ("the database does not exist", "CREATE DATABASE")),
    ("no_such_user", None, ("the server refuses this user", "28000")),
])
def test_refused_connections(server, observ_db, setup, run_agent, user, db, words):
    setup.write(server.url(db or observ_db, user=user))
    agent = run_agent(*setup.args())
    agent.wait_for_stderr(words[0])
    assert words[1] in agent.stderr()
    assert agent.stop(5) == 0


def test_missing_extension(server, fresh_db, tmp_path, run_agent):
    setup = Setup(tmp_path, server.url(fresh_db))
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("CREATE EXTENSION observ")
    server.sql(fresh_db, "CREATE EXTENSION observ")
    agent.signal(signal.SIGHUP)
    wait_for_rows(server, fresh_db, 1)
    assert agent.stderr().count("the database does not take rows") == 1
    agent.wait_for_stderr("the database takes rows again")


def test_paused_database(server, observ_db, setup, run_agent):
    server.sql(observ_db, "SELECT observ.pause()")
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("observ.resume()")
    assert rows(server, observ_db) == 0
    server.sql(observ_db, "SELECT observ.resume()")
    agent.signal(signal.SIGHUP)
    wait_for_rows(server, observ_db, 1)
    agent.wait_for_stderr("the database takes rows again")


def test_unknown_host(tmp_path, run_agent):
    agent = run_agent(*Setup(tmp_path, "postgresql://u@no-such-host.invalid/db").args())
    agent.wait_for_stderr('host "no-such-host.invalid" is not found')
    assert agent.stop(5) == 0


def test_host_names_are_looked_up(server, observ_db, setup, run_agent):
    setup.write(f"postgresql://postgres@localhost:{server.port}/{observ_db}")
    agent = run_agent(*setup.args())
    # localhost may be ::1 first, where nobody listens.
    wait_for_rows(server, observ_db, 1)
    assert agent.stop() == 0


def test_a_bad_row_goes_to_quarantine_alone(server, observ_db, setup, run_agent):
    server.sql(observ_db, "ALTER TABLE observ.vps_metrics ADD CONSTRAINT no_first CHECK (interval_ms > 5000)")
    agent = run_agent(*setup.args())
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.quarantine") == 1, 15, "a row in quarantine")
    table, reason, vps, interval = server.sql(observ_db, "SELECT table_name, reason, \"row\"->>'vps_name', (\"row\"->>'interval_ms')::int FROM observ.quarantine")[0]
    assert (table, vps) == ("vps_metrics", "test-vps") and "no_first" in reason and "23514" in reason
    assert 900 <= interval <= 5000
    wait_for_rows(server, observ_db, 1, 25)
    wait_until(lambda: server.value(observ_db, "SELECT quarantined_rows FROM observ.collectors") == 1, 5, "the count")
    assert agent.running()


def test_rows_that_are_there_already_are_counted(server, observ_db, setup, run_agent):
    """A clock that stands still, as far as the table can see: every row after the first one meets its twin, is not stored, and is reported."""
    server.sql(observ_db, """
        CREATE FUNCTION observ.stand_still() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.timestamp := coalesce((SELECT min(m.timestamp) FROM observ.vps_metrics m), NEW.timestamp);
            RETURN NEW;
        END $$;
        CREATE TRIGGER stand_still BEFORE INSERT ON observ.vps_metrics FOR EACH ROW EXECUTE FUNCTION observ.stand_still()""")
    agent = run_agent(*setup.args())
    wait_until(lambda: server.value(observ_db, "SELECT coalesce(sum(duplicate_rows), 0) FROM observ.collectors") >= 1, 40, "the count")
    counted, batches = server.sql(observ_db, "SELECT duplicate_rows, batches FROM observ.collectors")[0]
    # At most one row each, the first one is none; of the latest batch is told with the next one.
    assert 1 <= counted <= batches - 2
    assert server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics") == 1
    assert agent.stop() == 0


def test_clock_far_off(server, observ_db, setup, run_agent):
    """The database an hour behind: rows come from the future, are moved back and counted. A day ahead: too old, put aside."""
    server.sql(observ_db, """
        CREATE TABLE observ.clock (off interval);
        INSERT INTO observ.clock VALUES ('-1 hour');
        CREATE TABLE observ.batches (seq bigint, clamped bigint, quarantined bigint);
        CREATE OR REPLACE FUNCTION observ.begin_batch(agent_id text, seq bigint, sent_at timestamptz, vps_name text DEFAULT NULL,
            app_name text DEFAULT NULL, version text DEFAULT NULL, interval_ms int DEFAULT NULL, clamped bigint DEFAULT 0,
            quarantined bigint DEFAULT 0, dropped bigint DEFAULT 0, duplicates bigint DEFAULT 0, OUT accepted boolean,
            OUT last_seq bigint, OUT server_time timestamptz, OUT accept_from timestamptz, OUT accept_until timestamptz, OUT boost_until timestamptz,
            OUT backpressure_ms int) LANGUAGE plpgsql AS $$
        BEGIN
            IF begin_batch.seq > 0 THEN INSERT INTO observ.batches VALUES ($2, $8, $9); END IF;
            accepted := $2 > 0; last_seq := (SELECT coalesce(max(b.seq), 0) FROM observ.batches b);
            server_time := clock_timestamp() + (SELECT off FROM observ.clock);
            accept_from := server_time - interval '1 hour'; accept_until := server_time + interval '5 minutes';
        END $$""")
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    behind, offset = server.sql(observ_db, "SELECT received_at - timestamp, clock_offset_ms FROM observ.vps_metrics")[0]
    assert 3590 < behind.total_seconds() < 3610 and 3590_000 < offset < 3610_000
    server.sql(observ_db, "UPDATE observ.clock SET off = '1 day'")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.quarantine WHERE table_name = 'vps_metrics'") == 1, 25, "a row in quarantine")
    assert server.sql(observ_db, "SELECT DISTINCT reason FROM observ.quarantine") == [("timestamp is too far in the past",)]
    assert server.value(observ_db, "SELECT max(clamped) FROM observ.batches") >= 1
    assert agent.stop() == 0


# --- the network --------------------------------------------------------------------------------------------------------


# A small flush is one statement; with a log line it ends with COMMIT.
SMALL, IN_STEPS = b"observ._put(", b"COMMIT\0"


def follow_a_log(setup):
    """Has the agent, which does not run yet, follow a log file; returns its path."""
    path = setup.dir / "app.log"
    path.touch()
    setup.config.write_text(setup.config.read_text() + f"  log_files: [{path}]\n")
    return path


@pytest.mark.parametrize("end", [SMALL, IN_STEPS])
@pytest.mark.parametrize("cut_before_server", [False, True])
def test_connection_cut_at_commit_applies_once(server, observ_db, setup, run_agent, make_proxy, cut_before_server, end):
    """The end of a transaction reaches the server and the answer is lost; or it does not reach it. Either way the rows are there once."""
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))
    path = follow_a_log(setup)
    state = {"armed": True, "rows": end == SMALL, "committed": False}

    def saboteur(direction, data):
        state["rows"] |= b"observ.log_entries" in data
        if direction == "up" and end in data and state["armed"] and state["rows"]:
            state["committed"] = True
            if cut_before_server:
                state["armed"] = False
                raise proxy.Cut
        elif direction == "down" and state["committed"] and state["armed"]:
            state["armed"] = False
            raise proxy.Cut
        return data

    between.filter = saboteur
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    with path.open("a") as log:
        log.write("the line\n")
    wait_until(lambda: not state["armed"], 15, "the cut")
    agent.wait_for_stderr("the database takes rows again")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.log_entries") >= 1, 30, "the line")
    assert exactly_once(server, observ_db) >= 1
    assert server.value(observ_db, "SELECT count(*) FROM observ.log_entries WHERE message = 'the line'") == 1
    # The greeting says what is there: no batch is sent a second time.
    assert server.value(observ_db, "SELECT duplicate_batches FROM observ.collectors") == 0
    assert agent.stop() == 0


def test_cut_again_and_again(server, observ_db, setup, run_agent, make_proxy):
    """Cut at each of the first twenty messages in turn: in the end one row, once."""
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))
    count = {"messages": 0, "cut_at": 2}

    def saboteur(_, data):
        count["messages"] += 1
        if count["messages"] == count["cut_at"] and count["cut_at"] < 22:
            count["messages"] = 0
            count["cut_at"] += 1
            raise proxy.Cut
        return data

    between.filter = saboteur
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("collecting")

    def hurried():
        agent.signal(signal.SIGHUP)  # no need to wait for the backoff
        return rows(server, observ_db) >= 1 and "takes rows again" in agent.stderr()

    wait_until(hurried, 60, "a row", interval=0.2)
    exactly_once(server, observ_db)


def test_server_that_never_answers(tmp_path, run_agent):
    """A port that accepts and is silent. The agent gives up, and stops at once when told to."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        setup = Setup(tmp_path, f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db")
        agent = run_agent(*setup.args())
        agent.wait_for_stderr("no connection within 15 s", 25)
        start = time.monotonic()
        assert agent.stop(5) == 0
        assert time.monotonic() - start < 5
        assert "not delivered yet, kept for the next start" in agent.stderr()


@pytest.mark.parametrize("end", [SMALL, IN_STEPS])
def test_transaction_left_behind_does_not_block_the_next(server, observ_db, setup, run_agent, make_proxy, end):
    """
    COMMIT is lost and the server does not learn that its client is gone: it gives up by itself, the batch comes again. A small flush that
    comes after that is one of a number that was used.
    """
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))
    path = follow_a_log(setup)
    stuck, late = threading.Event(), threading.Event()

    def saboteur(direction, data):
        if direction == "up" and end in data and not stuck.is_set():
            stuck.set()
            late.wait()
        return data

    between.filter = saboteur
    agent = run_agent(*setup.args())
    try:
        agent.wait_for_stderr("collecting")
        with path.open("a") as log:
            log.write("the line\n")
        assert stuck.wait(30)
        agent.wait_for_stderr("no answer within 15 s")
        agent.wait_for_stderr("the database takes rows again", 45)
        wait_for_rows(server, observ_db, 2)
    finally:
        late.set()
    if end == SMALL:
        wait_until(lambda: server.value(observ_db, "SELECT duplicate_batches FROM observ.collectors") == 1, 15, "the late statement")
    assert exactly_once(server, observ_db) >= 2
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.log_entries WHERE message = 'the line'") == 1, 30, "the line")


def test_sigterm_in_the_middle_of_a_flush_that_hangs(server, observ_db, setup, run_agent, make_proxy):
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))

    hangs = threading.Event()

    def saboteur(direction, data):
        if direction == "up" and (SMALL in data or IN_STEPS in data):
            between.stall()
            hangs.set()
        return data

    between.filter = saboteur
    agent = run_agent(*setup.args())
    assert hangs.wait(15)
    start = time.monotonic()
    assert agent.stop(5) == 0
    assert time.monotonic() - start < 5


def test_backlog_goes_after_the_fresh_row_and_sigterm_delivers_the_rest(server, observ_db, setup, run_agent):
    """Some ticks pass while the database is paused; then the newest row is the first to arrive, and is no duplicate when its turn comes."""
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    server.sql(observ_db, "SELECT observ.pause()")
    before = rows(server, observ_db)  # two, if the first tick was soon
    end = time.monotonic() + 36
    wait_until(lambda: time.monotonic() > end, 45, "three ticks: the first at most 15 s after the row before")
    assert "observ.resume()" in agent.stderr()
    assert rows(server, observ_db) == before
    server.sql(observ_db, "SELECT observ.resume()")
    agent.signal(signal.SIGHUP)
    wait_for_rows(server, observ_db, before + 1)
    assert agent.stop(5) == 0  # nothing is left behind
    order = [seconds for seconds, in server.sql(observ_db, "SELECT extract(epoch FROM timestamp) FROM observ.vps_metrics ORDER BY id")]
    assert len(order) >= before + 3
    fresh, oldest, following = order[before:before + 3]
    assert fresh > following > oldest  # more ticks may follow
    assert order[before + 1:] == sorted(order[before + 1:])
    assert "lost" not in agent.stderr() and "not delivered yet" not in agent.stderr()
    assert server.value(observ_db, "SELECT duplicate_rows FROM observ.collectors") == 0


# --- the machine --------------------------------------------------------------------------------------------------------


def test_hung_root_and_its_return(server, observ_db, setup, run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    (tree.dir / "statvfs").unlink()
    os.mkfifo(tree.dir / "statvfs")
    agent = run_agent(*setup.args("--proc-root", tree.dir))
    wait_for_rows(server, observ_db, 2, 35)
    assert server.sql(observ_db, "SELECT DISTINCT disk_percent, disk_gb, inode_percent FROM observ.vps_metrics") == [(None, None, None)]
    assert server.value(observ_db, "SELECT bool_and(memory_percent IS NOT NULL) FROM observ.vps_metrics")
    assert agent.stderr().count("the filesystem of / does not answer") == 1
    # The mount comes back: whoever hangs is served, the next rows have numbers.
    with open(tree.dir / "statvfs", "w", encoding="ascii") as fifo:
        fifo.write("/ 4096 1000 400 350 100 50 50\n")
    agent.wait_for_stderr("answers again")
    (tree.dir / "new").write_text("/ 4096 1000 400 350 100 50 50\n")
    (tree.dir / "new").rename(tree.dir / "statvfs")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics WHERE disk_percent = 64") >= 1, 15, "numbers of /")
    assert agent.stop(5) == 0


def test_sigterm_while_the_helper_hangs(server, observ_db, setup, run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    (tree.dir / "statvfs").unlink()
    os.mkfifo(tree.dir / "statvfs")
    agent = run_agent(*setup.args("--proc-root", tree.dir))
    agent.wait_for_stderr("does not answer")
    start = time.monotonic()
    assert agent.stop(5) == 0
    assert time.monotonic() - start < 5


def test_helper_that_is_killed_is_replaced(server, observ_db, setup, run_agent):
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    helper, = harness.children_of(agent.pid)
    os.kill(helper, signal.SIGKILL)
    agent.wait_for_stderr("the helper process has ended")
    wait_for_rows(server, observ_db, 2)
    assert server.value(observ_db, "SELECT bool_and(disk_percent IS NOT NULL) FROM observ.vps_metrics")


def test_suspended_agent_writes_one_row_without_rates(server, observ_db, setup, run_agent):
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    agent.signal(signal.SIGSTOP)
    end = time.monotonic() + 41
    wait_until(lambda: time.monotonic() > end, 60, "four intervals")
    before = rows(server, observ_db)
    agent.signal(signal.SIGCONT)
    wait_for_rows(server, observ_db, before + 1)
    cpu, interval, memory = server.sql(observ_db, "SELECT cpu_percent, interval_ms, memory_percent FROM observ.vps_metrics ORDER BY timestamp DESC LIMIT 1")[0]
    assert cpu is None and interval is None and memory is not None
    assert rows(server, observ_db) == before + 1


def test_reload(server, observ_db, setup, run_agent):
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    setup.write(server.url(observ_db), interval=5)
    agent.signal(signal.SIGHUP)
    agent.wait_for_stderr("the configuration has errors")
    assert "must be between 10 and 86400" in agent.stderr()
    setup.write(server.url(observ_db), interval=11)
    agent.signal(signal.SIGHUP)
    agent.wait_for_stderr("a sample each 11 s", 10)
    setup.write(server.url(observ_db), enabled="false")
    agent.signal(signal.SIGHUP)
    assert agent.wait(10) == 4
