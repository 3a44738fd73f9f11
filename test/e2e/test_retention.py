"""Retention among real processes: dumps, reports, writers, kill -9, a standby. Rules and sums are in test/regress/sql/retention.sql.

What belongs here: what needs the scheduler, signals or programs. What does not: how fast it is (bench/retention.py).
"""

import contextlib
import itertools
import random
import threading

import psycopg
import pytest

from harness import wait_until

SETTINGS = {"observ.refresh_fleet_summary_interval": "1", "observ.apply_retention_interval": "1", "max_locks_per_transaction": "256"}
SERVER = {"preload": True, "settings": SETTINGS}
OLD = "now() - interval '100 days'"
PENDING = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
# Rows of 100 days ago that are visible.
ROWS = f"SELECT count(*) FROM observ.vps_metrics WHERE timestamp < {OLD} + interval '8 days'"


def make_old_days(server, db, rows=1000):
    """Two weeks of partitions around 100 days ago, with rows in those of vps_metrics, that no policy lets go yet; their number."""
    server.sql(db, "UPDATE observ.retention_policies SET enabled = false")
    wait_until(lambda: server.value(db, f"SELECT status FROM observ.maintain_partitions({OLD})") == "ok", 30, "partitions of old days")
    server.sql(db, "INSERT INTO observ.vps_metrics (vps_name, timestamp, cpu_percent) SELECT 'old', d + n * interval '10 s', n % 100 "
                   f"FROM generate_series(date_trunc('day', {OLD}) - interval '7 days', {OLD} + interval '6 days', '1 day') d, "
                   f"generate_series(1, {rows}) n")
    return server.value(db, "SELECT count(*) FROM observ_data._partitions() WHERE \"to\" < now() - interval '91 days'")


def enable(server, db):
    """From here on the old days are due."""
    server.sql(db, "UPDATE observ.retention_policies SET enabled = true")


def due(server, db):
    return server.value(db, "SELECT count(*) FROM observ.retention_preview() WHERE due <= now()")


def check_all_gone(server, db):
    """Nothing is due, nothing is half done, and life goes on."""
    wait_until(lambda: due(server, db) == 0, 60, "everything that is due to be dropped")
    assert server.value(db, PENDING) == 0
    assert server.value(db, ROWS) == 0
    wait_until(lambda: server.value(db, "SELECT count(*) FROM observ_data.retention_detached") == 0, 30, "no detach to be remembered")
    assert server.sql(db, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'observ_data'::regnamespace AND NOT relispartition "
                          "AND relname ~ '_\\d{8}'") == [], "no orphan"
    assert server.value(db, "SELECT status FROM observ.maintain_partitions()") in ("ok", "busy")
    server.sql(db, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('now', 1)")


@contextlib.contextmanager
def reader(server, db, query=f"SELECT count(*) FROM observ.vps_metrics WHERE timestamp < {OLD}"):
    """A report: one snapshot, held open."""
    with server.connect(db, autocommit=False, application_name="a long report") as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        conn.execute(query)
        yield conn
        conn.rollback()


@contextlib.contextmanager
def writers(server, db, count=3):
    """Sessions that insert rows of now over and over; yields the list of their errors."""
    errors, stop, done = [], threading.Event(), [0] * count

    def write(number):
        try:
            with server.connect(db) as conn:
                for n in itertools.count():
                    if stop.is_set():
                        return
                    with conn.transaction():
                        conn.execute("SELECT * FROM observ.begin_batch(%s, %s, clock_timestamp(), %s)", (f"w{number}", n + 1, f"w{number}"))
                        conn.execute("INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES (clock_timestamp(), %s, 1)", (f"w{number}",))
                        conn.execute("INSERT INTO observ.log_entries (timestamp, vps_name, message) VALUES (clock_timestamp(), %s, 'x')", (f"w{number}",))
                    done[number] = n + 1
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(done) > 5 or errors, 30, "the writers to write")
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert errors == []
    assert server.value(db, "SELECT count(*) FROM observ.vps_metrics WHERE vps_name ~ '^w\\d'") == sum(done)


def test_partitions_go_while_writers_write(server, observ_db):
    make_old_days(server, observ_db)
    with writers(server, observ_db) as done:
        enable(server, observ_db)
        wait_until(lambda: due(server, observ_db) == 0, 60, "everything that is due to be dropped beside writers")
        after = min(done)
        wait_until(lambda: min(done) > after + 5, 30, "the writers to get on")
    check_all_gone(server, observ_db)
    assert server.value(observ_db, "SELECT last_error FROM observ.job_status WHERE job_name = 'apply_retention'") is None


def test_what_a_report_holds_is_hidden_at_once_and_dropped_after_it(server, observ_db):
    offset = server.log_size()
    make_old_days(server, observ_db)
    with reader(server, observ_db) as report, writers(server, observ_db) as done:
        seen = report.execute(ROWS).fetchone()[0]
        before = server.value(observ_db, ROWS)
        enable(server, observ_db)
        wait_until(lambda: server.value(observ_db, ROWS) < before, 60, "new queries not to see the first day")
        assert server.value(observ_db, PENDING) >= 1
        assert report.execute(ROWS).fetchone()[0] == seen, "the report sees what it saw"
        result = wait_until(lambda: server.value(observ_db, "SELECT last_result FROM observ.job_status WHERE job_name = 'apply_retention' AND last_result ~ 'blocked_by=pid'"),
                            60, "the job to say who is in the way")
        assert "status=blocked" in result and "a long report" in result
        assert "a long report" in server.value(observ_db, "SELECT waits_for FROM observ.retention_preview() WHERE due <= now() AND data_set = 'vps_metrics' LIMIT 1")
        assert server.value(observ_db, "SELECT state FROM observ.job_status WHERE job_name = 'apply_retention'") in ("ok", "running")
        # What else observ does copes with a half detached partition.
        wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.maintain_partitions()") == "ok", 30, "maintenance beside it")
        assert server.value(observ_db, "SELECT state FROM observ.status()") == "running"
        assert server.value(observ_db, "SELECT count(*) FROM observ.storage_report") > 10
        since = server.value(observ_db, "SELECT clock_timestamp()")
        wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.fleet_summary() WHERE vps_name = 'w1' AND last_seen > %s", (since,)) == 1, 60, "the summary to go on")
        after = min(done)
        wait_until(lambda: min(done) > after + 5, 30, "the writers to get on")
        with pytest.raises(psycopg.errors.CheckViolation, match="no partition"):
            server.sql(observ_db, f"INSERT INTO observ.vps_metrics (vps_name, timestamp) VALUES ('late', (SELECT max(\"from\") FROM observ_data.retention_detached))")
    check_all_gone(server, observ_db)
    # Being blocked is no trouble that the log should be full of.
    said = [line for line in server.log_text(offset).splitlines() if "WARNING" in line and "retention" in line]
    assert said == []


def test_a_dump_brings_everything_back_and_does_not_keep_retention(server, observ_db, make_server):
    """pg_dump of a database with a half detached partition; retention gets on as soon as it has ended."""
    make_old_days(server, observ_db)
    with reader(server, observ_db):
        enable(server, observ_db)
        wait_until(lambda: server.value(observ_db, PENDING) >= 1, 60, "a half detached partition")
        server.run("pg_dump", "-Fc", "-f", server.dir / "dump", "-d", observ_db)
        server.sql(observ_db, "SELECT observ.pause()")
        assert server.value(observ_db, "SELECT status FROM observ.resume()") == "resumed"
    check_all_gone(server, observ_db)
    target = make_server(settings=SETTINGS)
    target.create_database("copy")
    done = target.run("pg_restore", "-d", "copy", server.dir / "dump", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert target.value("copy", "SELECT state FROM observ.status()") == "paused"
    assert target.value("copy", "SELECT status FROM observ.apply_retention()") == "paused"
    assert target.value("copy", "SELECT count(*) FROM observ.retention_policies") == 8
    assert target.value("copy", "SELECT status FROM observ.resume()") == "resumed"
    target.wait_for_worker("observ scheduler", "copy")
    check_all_gone(target, "copy")


@pytest.mark.parametrize("victim", ["postmaster", "scheduler"])
def test_a_detach_that_was_killed_is_ended_after_the_restart(make_server, victim):
    server = make_server(settings=SETTINGS, fsync=True)
    db = server.create_database("metrics", extension=True)
    make_old_days(server, db)
    with contextlib.suppress(psycopg.OperationalError):
        with reader(server, db):
            enable(server, db)
            wait_until(lambda: server.value(db, PENDING) >= 1, 60, "a half detached partition")
            if victim == "postmaster":
                server.kill9_postmaster()
                server.start()
            else:
                offset = server.log_size()
                server.kill9_backend(server.wait_for_worker("observ scheduler", db))
                server.wait_for_log("reinitializing", offset)
    wait_until(lambda: server.value(db, "SELECT 1") == 1, 60, "the server", retry_on=psycopg.OperationalError)
    check_all_gone(server, db)


def test_autovacuum_is_not_in_the_way(make_server):
    """It would yield to whoever waits for longer than deadlock_timeout, which is longer than retention waits for anything."""
    server = make_server(settings={**SETTINGS, "observ.apply_retention_interval": "0", "autovacuum_naptime": "1s"})
    db = server.create_database("metrics", extension=True)
    make_old_days(server, db)
    leaf = server.value(db, "SELECT relid::regclass::text FROM observ_data._partitions() WHERE table_name = 'vps_metrics' ORDER BY \"from\" LIMIT 1")
    server.sql(db, f"ALTER TABLE {leaf} SET (autovacuum_vacuum_insert_threshold = 10, autovacuum_vacuum_insert_scale_factor = 0, "
                   "autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100)")
    server.sql(db, f"INSERT INTO observ.vps_metrics (vps_name, timestamp) SELECT 'more', timestamp FROM {leaf}")
    server.sql(db, "UPDATE observ.retention_policies SET enabled = true WHERE data_set = 'vps_metrics'")
    wait_until(lambda: server.value(db, "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.backend_type = 'autovacuum worker' "
                                        "AND l.relation = %s::regclass AND l.mode = 'ShareUpdateExclusiveLock'", (leaf,)) == 1, 60, "autovacuum on the partition")
    # Where the machine is busy, autovacuum may need longer to go than retention waits for it: then the next run has its way.
    wait_until(lambda: server.value(db, "SELECT status FROM observ.apply_retention()") == "ok", 30, "retention to have its way")
    assert server.value(db, "SELECT to_regclass(%s)", (leaf,)) is None
    assert "canceling autovacuum task" in server.log_text()


def test_kill_9_during_retention_leaves_whole_partitions(make_server):
    server = make_server(settings={**SETTINGS, "observ.apply_retention_interval": "0", "observ.maintain_partitions_interval": "0"}, fsync=True)
    db = server.create_database("metrics", extension=True)
    chance = random.Random(20350310)
    make_old_days(server, db, rows=50)
    enable(server, db)
    before = due(server, db)
    for _ in range(4):
        offset = server.log_size()
        with contextlib.suppress(psycopg.OperationalError):
            with server.connect(db, autocommit=False) as conn:
                pid = conn.info.backend_pid
                threading.Timer(chance.uniform(0, 0.25), lambda p=pid: server.kill9_backend(p)).start()
                conn.execute("SELECT * FROM observ.apply_retention()")
                # All of it was done, none of it is committed.
                conn.execute("SELECT pg_sleep(30)")
        server.wait_for_log("reinitializing", offset)
        wait_until(lambda: server.value(db, "SELECT 1") == 1, 60, "the server", retry_on=psycopg.OperationalError)
        assert due(server, db) == before, "nothing of it was committed"
        assert server.value(db, "SELECT count(*) FROM observ.vps_metrics WHERE vps_name = 'old'") == 50 * 14
    done = server.run("pg_amcheck", "--install-missing", "-d", db, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.value(db, "SELECT status FROM observ.apply_retention()") == "ok"
    assert due(server, db) == 0
    check_all_gone(server, db)


def test_a_partition_that_somebody_detaches_by_hand_is_theirs(server, observ_db):
    make_old_days(server, observ_db, rows=10)
    leaf = server.value(observ_db, "SELECT c.relname FROM observ_data._partitions() p JOIN pg_class c ON c.oid = p.relid WHERE table_name = 'vps_metrics' ORDER BY p.\"from\" LIMIT 1")
    with reader(server, observ_db):
        with server.connect(observ_db) as conn:
            conn.execute("SET statement_timeout = '200ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute(f"ALTER TABLE observ.vps_metrics DETACH PARTITION observ_data.{leaf} CONCURRENTLY")
        enable(server, observ_db)
        wait_until(lambda: "held_back=1" in (server.value(observ_db, "SELECT last_result FROM observ.job_status WHERE job_name = 'apply_retention'") or ""), 60, "it to be held back")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.retention_preview() WHERE due <= now() AND waits_for IS DISTINCT FROM 'it is being detached by hand'") == 0,
               60, "the others to be dropped")
    server.sql(observ_db, f"ALTER TABLE observ.vps_metrics DETACH PARTITION observ_data.{leaf} FINALIZE")
    runs = server.value(observ_db, "SELECT runs FROM observ.job_status WHERE job_name = 'apply_retention'")
    wait_until(lambda: server.value(observ_db, "SELECT runs FROM observ.job_status WHERE job_name = 'apply_retention'") > runs + 2, 30, "two more runs")
    assert server.value(observ_db, f"SELECT count(*) FROM observ_data.{leaf}") == 0 or server.value(observ_db, f"SELECT count(*) FROM observ_data.{leaf}") == 10


def test_the_size_of_a_data_set_is_kept_by_the_scheduler(server, observ_db):
    server.sql(observ_db, "UPDATE observ.retention_policies SET max_size = pg_size_bytes('4 MB') WHERE data_set = 'log_entries'")
    size = "SELECT sum(pg_total_relation_size(relid)) FROM observ_data._partitions() WHERE table_name = 'log_entries'"
    server.sql(observ_db, "INSERT INTO observ.log_entries (vps_name, timestamp, message) SELECT 'big', now() - d * interval '1 day', repeat(md5(n::text), 20) "
                          "FROM generate_series(1, 6) d, generate_series(1, 2000) n")
    wait_until(lambda: server.value(observ_db, size) <= 4 * 2**20, 60, "the logs to fit")
    kept = server.sql(observ_db, "SELECT min(timestamp) > now() - interval '3 days', count(*) >= 2000 FROM observ.log_entries")
    assert kept == [(True, True)], "the newest days stay"
    # Agents are told so, and maintenance does not make the days again.
    assert server.value(observ_db, "SELECT accept_from > now() - interval '3 days' FROM observ.begin_batch('a', 0, now(), 'v')")
    wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.maintain_partitions()") == "ok", 30, "maintenance")
    assert server.value(observ_db, "SELECT min(\"to\") > now() - interval '3 days' FROM observ_data._partitions() WHERE table_name = 'log_entries'")


def test_a_standby_shows_and_does_nothing(make_server):
    primary = make_server(name="primary", settings={**SETTINGS, "observ.apply_retention_interval": "0"})
    db = primary.create_database("metrics", extension=True)
    make_old_days(primary, db, rows=10)
    enable(primary, db)
    standby = primary.base_backup()
    try:
        standby.start()
        primary.wait_for_replay(standby)
        assert standby.value(db, "SELECT status FROM observ.apply_retention()") == "standby"
        preview = "SELECT \"partition\", size_bytes, reason FROM observ.retention_preview() ORDER BY 1"
        assert standby.sql(db, preview) == primary.sql(db, preview) != []
        assert standby.value(db, "SELECT count(*) FROM observ.storage_report") == primary.value(db, "SELECT count(*) FROM observ.storage_report")
        assert len(standby.sql(db, f"SELECT * FROM observ.storage_by_vps({OLD} - interval '9 days', {OLD} + interval '9 days')")) == 14
        assert primary.value(db, "SELECT status FROM observ.apply_retention()") == "ok"
        primary.wait_for_replay(standby)
        assert due(standby, db) == 0
    finally:
        standby.destroy()
