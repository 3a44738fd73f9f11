"""Workers and the extension's life: DROP, CREATE, rollback, upgrade, and servers without shared_preload_libraries.
Items 31-36 and 84 of the checklist."""

import threading
import time

import psycopg
import pytest

from harness import wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1s"}}
LAUNCHER, SCHEDULER = "observ launcher", "observ scheduler"
BACK_IN = 10
INSERT = ("INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) "
          "VALUES (clock_timestamp(), 'v' || (random() * 100)::int, 'a', 1)")


def make_job_slow(server, db):
    """From its next pass on, the refresh job sleeps in a trigger; returns when it does."""
    server.sql(db, "ALTER FUNCTION observ.refresh_fleet_summary(timestamptz, boolean) RENAME TO refresh_for_real")
    server.sql(db, "CREATE FUNCTION observ.refresh_fleet_summary(at timestamptz) RETURNS void LANGUAGE sql AS "
                   "'SELECT pg_sleep(600)'")
    wait_until(lambda: sleeping(server, db), 15, "the job to be in the middle of a run")


def sleeping(server, db):
    return server.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
                                    "AND backend_type = %s AND datname = %s", (SCHEDULER, db))


def complaints(log):
    """Log lines of workers that should not be there."""
    return [line for line in log.splitlines() if "observ " in line and any(bad in line for bad in ("ERROR", "FATAL", "WARNING"))]


def test_drop_extension_in_the_middle_of_a_job(server, fresh_db):
    """Item 31: 20 times DROP EXTENSION … CASCADE, each under 2 s, while the job is in the middle of a run; no error lines."""
    offset = server.log_size()
    for _ in range(20):
        server.sql(fresh_db, "CREATE EXTENSION observ")
        server.wait_for_jobs(fresh_db)
        make_job_slow(server, fresh_db)
        start = time.monotonic()
        server.sql(fresh_db, "DROP EXTENSION observ CASCADE")
        assert time.monotonic() - start < 2
    assert complaints(server.log_text(offset)) == []


def test_drop_extension_under_load(server, fresh_db):
    """Item 31: the same while sessions insert; and nothing of observ is left behind."""
    stop = threading.Event()

    def insert():
        while not stop.is_set():
            try:
                with server.connect(fresh_db) as conn:
                    while not stop.is_set():
                        conn.execute(INSERT)
            except psycopg.Error:
                stop.wait(0.005)

    threads = [threading.Thread(target=insert) for _ in range(2)]
    offset = server.log_size()
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            server.sql(fresh_db, "CREATE EXTENSION observ")
            server.wait_for_worker(SCHEDULER, fresh_db)
            start = time.monotonic()
            server.sql(fresh_db, "DROP EXTENSION observ CASCADE")
            assert time.monotonic() - start < 2
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert complaints(server.log_text(offset)) == []
    assert server.value("postgres", "SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text LIKE '%%observ.armed%%' "
                                    "AND setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)", (fresh_db,)) == 0
    wait_until(lambda: server.worker_pid(SCHEDULER, fresh_db) is None, BACK_IN, "the scheduler to leave")


def test_refused_drop_changes_nothing(server, observ_db):
    """Item 31: DROP EXTENSION without CASCADE is refused while there are tables; the interrupted job is tried again."""
    server.wait_for_jobs(observ_db)
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    make_job_slow(server, observ_db)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        server.sql(observ_db, "DROP EXTENSION observ")
    retries = "SELECT retries FROM observ.job_runs WHERE job_name = 'refresh_fleet_summary'"
    wait_until(lambda: server.value(observ_db, retries) == 1, 10, "the cancel to be counted as a retry")
    assert server.value(observ_db, "SELECT state FROM observ.status()") == "running"
    wait_until(lambda: sleeping(server, observ_db), 15, "the job to be tried again")
    assert server.worker_pid(SCHEDULER, observ_db) == scheduler
    assert server.value(observ_db, "SELECT sum(errors) FROM observ.job_runs") == 0


def test_drop_and_create_in_one_transaction(server, observ_db):
    """Item 32: another extension of the same name; the jobs run on in it, and the database stays armed."""
    server.wait_for_jobs(observ_db)
    for _ in range(3):
        with server.connect(observ_db, autocommit=False) as conn:
            conn.execute("DROP EXTENSION observ CASCADE")
            conn.execute("CREATE EXTENSION observ")
            conn.commit()
        server.wait_for_jobs(observ_db)
        assert server.value(observ_db, "SELECT state FROM observ.status()") == "running"


def test_rolled_back_drop(server, observ_db):
    """Item 32: nothing has happened, and the jobs go on."""
    server.wait_for_jobs(observ_db)
    offset = server.log_size()
    with server.connect(observ_db, autocommit=False) as conn:
        conn.execute("DROP EXTENSION observ CASCADE")
        time.sleep(2)  # long enough for a run to fall due while the extension is locked
        conn.rollback()
    before = server.value(observ_db, "SELECT max(runs) FROM observ.job_runs")
    wait_until(lambda: server.value(observ_db, "SELECT max(runs) FROM observ.job_runs") > before + 1, 15, "more runs")
    assert server.value(observ_db, "SELECT state FROM observ.status()") == "running"
    assert complaints(server.log_text(offset)) == []


def test_versions_that_do_not_belong_together(server, observ_db):
    """Item 33: SQL objects of another version: one line, no run; and on it goes when they fit again."""
    server.wait_for_jobs(observ_db)
    offset = server.log_size()
    server.sql(observ_db, "UPDATE pg_extension SET extversion = '9.9' WHERE extname = 'observ'")
    server.wait_for_log(f'observ idles in database "{observ_db}": library 1.0 works with SQL objects 1.0', offset)
    before = server.value(observ_db, "SELECT max(runs) FROM observ.job_runs")
    server.sql(observ_db, "UPDATE pg_extension SET extversion = '1.0' WHERE extname = 'observ'")
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (server.wait_for_worker(SCHEDULER, observ_db),))
    wait_until(lambda: server.value(observ_db, "SELECT max(runs) FROM observ.job_runs") > before, 15, "the next run")


def test_idle_holds_nothing(server, observ_db):
    """Item 34: between runs the scheduler has no transaction, no snapshot and no lock, and says idle; the launcher never has."""
    server.wait_for_jobs(observ_db)
    end = time.monotonic() + 5
    samples = []

    def look():
        samples.append(server.sql("postgres", """
            SELECT a.backend_type, a.state, a.xact_start IS NULL AND a.backend_xmin IS NULL AND a.backend_xid IS NULL,
                (SELECT count(*) FROM pg_locks l WHERE l.pid = a.pid)
            FROM pg_stat_activity a WHERE backend_type = %s OR (backend_type = %s AND datname = %s)""",
                                  (LAUNCHER, SCHEDULER, observ_db)))
        return time.monotonic() > end

    wait_until(look, 20, "5 s of samples", interval=0.01)
    rows = [row for sample in samples for row in sample]
    idle = [row for row in rows if row[1] == "idle"]
    assert {row[0] for row in idle} == {LAUNCHER, SCHEDULER}
    # A sample that falls into the microseconds between report and commit is none of idleness.
    assert len([row for row in idle if not row[2] or row[3] > 0]) <= len(idle) // 100
    assert len(idle) > len(rows) * 0.8


def test_other_sessions_may_do_what_they_like_with_its_tables(server, observ_db):
    """Item 35: VACUUM FULL, TRUNCATE and ALTER TABLE are not held up by the scheduler."""
    server.wait_for_jobs(observ_db)
    for command in ("VACUUM FULL observ.job_runs", "VACUUM FULL observ.fleet_summary", "TRUNCATE observ.job_runs",
                    "ALTER TABLE observ.fleet_summary ADD COLUMN note text", "ALTER TABLE observ.fleet_summary DROP COLUMN note",
                    "REINDEX TABLE observ.job_runs", "TRUNCATE observ.fleet_summary"):
        start = time.monotonic()
        server.sql(observ_db, command)
        assert time.monotonic() - start < 5
    fresh = "SELECT count(*) FROM observ.job_runs WHERE job_name = 'refresh_fleet_summary' AND last_success IS NOT NULL"
    wait_until(lambda: server.value(observ_db, fresh) == 1, 15, "the job to run again")


# ---- without shared_preload_libraries

def test_without_preload(make_server):
    """Works without shared_preload_libraries: a warning with a hint, start_workers(), a second call, stop_workers()."""
    server = make_server(preload=False, **SERVER)
    db = server.create_database("d")
    said = server.psql(db, "-c", "CREATE EXTENSION observ").stderr
    assert "no observ workers are running" in said and "SELECT observ.start_workers()" in said
    assert server.value(db, "SELECT state FROM observ.status()") == "no workers"
    assert server.value(db, "SELECT status FROM observ.refresh_fleet_summary()") == "ok"
    assert server.value(db, "SELECT observ.stop_workers()") is False
    pid = server.value(db, "SELECT observ.start_workers()")
    assert server.wait_for_worker(LAUNCHER) == pid
    server.wait_for_worker(SCHEDULER, db)
    server.wait_for_jobs(db)
    again = server.psql(db, "-c", "SELECT observ.start_workers()")
    assert again.stdout.strip() == str(pid) and "already running" in again.stderr
    # It survives what a static launcher survives.
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    pid = server.wait_for_worker(LAUNCHER, other_than=pid, deadline=BACK_IN)
    server.kill9_backend(pid)
    wait_until(lambda: server.worker_pid(LAUNCHER) not in (None, pid), BACK_IN, "the launcher after a crash")
    server.wait_for_worker(SCHEDULER, db, deadline=BACK_IN)
    assert server.value(db, "SELECT observ.stop_workers()") is True
    assert not server.processes(LAUNCHER) and not server.processes(SCHEDULER)
    # Stopped for good: nothing comes back after the restart interval.
    end = time.monotonic() + 7
    wait_until(lambda: time.monotonic() > end, 10, "longer than the restart interval", interval=0.2)
    assert not server.processes(LAUNCHER)


def test_start_workers_from_many_sessions(make_server):
    """Two sessions at once: one launcher."""
    server = make_server(preload=False, **SERVER)
    db = server.create_database("d", extension=True)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.value(db, "SELECT observ.start_workers()")))
               for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 5 and len(set(answers)) == 1
    assert len(server.processes(LAUNCHER)) == 1


def test_control_functions_are_for_admins(server, observ_db):
    """Least privilege: nobody else may call them; stop_workers() says what to do where the server starts them."""
    server.sql("postgres", "DROP ROLE IF EXISTS nobody_special")
    server.sql("postgres", "CREATE ROLE nobody_special LOGIN IN ROLE observ_operator")
    for call in ("observ.start_workers()", "observ.stop_workers()", "observ.reset_job('refresh_fleet_summary')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.sql(observ_db, f"SELECT {call}", user="nobody_special")
    assert server.sql(observ_db, "SELECT job_name FROM observ.job_status ORDER BY 1", user="nobody_special") == \
        server.sql(observ_db, "SELECT job_name FROM observ_data._jobs() ORDER BY 1")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="belong to the server"):
        server.sql(observ_db, "SELECT observ.stop_workers()")
    with pytest.raises(psycopg.errors.UndefinedObject, match='job "nonsense" does not exist'):
        server.sql(observ_db, "SELECT observ.reset_job('nonsense')")


def test_job_runs_never_reaches_a_dump(server, observ_db):
    """A restored copy starts with an empty account of its own."""
    server.wait_for_jobs(observ_db)
    dump = server.run("pg_dump", observ_db).stdout
    assert "job_runs" not in dump
