"""Jobs: failing, crashing, being in the way, hostile settings, clocks, and what an idle scheduler costs others.
Items 24, 36-41, 82 and 83 of the checklist."""

import ctypes
import mmap
import os
import struct
import subprocess
import time

import psycopg
import pytest

import harness
from harness import anonymous_kb, wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1s"}}
LAUNCHER, SCHEDULER = "observ launcher", "observ scheduler"
INSERT = "INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) VALUES (now(), 'v', 'a', 1)"
JOB = "refresh_fleet_summary"


def job(server, db, column, name=JOB):
    return server.value(db, f"SELECT {column} FROM observ.job_runs WHERE job_name = %s", (name,))


def state(server, db, name=JOB):
    return server.value(db, "SELECT state FROM observ.job_status WHERE job_name = %s", (name,))


def wait_for_success(server, db, deadline=20):
    """Waits for a run that begins from now on and succeeds."""
    runs = job(server, db, "runs") or 0
    wait_until(lambda: (job(server, db, "runs") or 0) > runs and job(server, db, "last_success > last_start"), deadline,
               f"a successful run in {db}", retry_on=psycopg.OperationalError)


def trap_job(server, db, body):
    """Makes the refresh job run `body` (plpgsql) instead of the real function."""
    server.sql(db, "ALTER FUNCTION observ.refresh_fleet_summary(timestamptz, boolean) RENAME TO refresh_for_real")
    server.sql(db, "CREATE FUNCTION observ.refresh_fleet_summary(at timestamptz) RETURNS text LANGUAGE plpgsql AS "
                   f"$$BEGIN {body}; RETURN 'trapped'; END$$")


def free_job(server, db):
    """Takes the trap away."""
    server.sql(db, "DROP FUNCTION observ.refresh_fleet_summary(timestamptz)")
    server.sql(db, "ALTER FUNCTION observ.refresh_for_real(timestamptz, boolean) RENAME TO refresh_fleet_summary")


def wait_for_sleep(server, db, deadline=30, other_than=None):
    def asleep():
        rows = server.sql("postgres", "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = %s "
                                      "AND backend_type = %s", (db, SCHEDULER))
        return rows[0][0] if rows and rows[0][0] != other_than else None
    return wait_until(asleep, deadline, "the job to be in the middle of a run", retry_on=psycopg.OperationalError)


def test_failing_job_backs_off_and_recovers(server, observ_db):
    """Item 24: errors are recorded, logged once, tried again with growing pauses, and forgotten after a success."""
    wait_for_success(server, observ_db)
    offset = server.log_size()
    server.sql(observ_db, "CREATE TABLE public.kept AS SELECT * FROM observ_data.summary_state")
    server.sql(observ_db, "DELETE FROM observ_data.summary_state")
    wait_until(lambda: (job(server, observ_db, "consecutive_failures") or 0) >= 3, 30, "three failures in a row")
    row = server.sql(observ_db, "SELECT last_error IS NOT NULL, last_error_sqlstate, errors, retries, crashes, "
                                "next_run - last_end FROM observ.job_runs WHERE job_name = %s", (JOB,))[0]
    assert row[0] and len(row[1]) == 5 and row[2] >= 3 and row[3] == row[4] == 0
    assert row[5].total_seconds() > 2
    assert state(server, observ_db) == "failing"
    assert state(server, observ_db, "maintain_partitions") == "ok"
    server.sql(observ_db, "INSERT INTO observ_data.summary_state SELECT * FROM public.kept")
    server.sql(observ_db, "SELECT observ.reset_job(%s)", (JOB,))
    wait_for_success(server, observ_db)
    assert state(server, observ_db) in ("ok", "running")
    assert job(server, observ_db, "consecutive_failures") == 0
    log = server.log_text(offset)
    assert log.count(f'job "{JOB}" of observ failed in database "{observ_db}"') == 1
    assert "ERROR" not in log


def test_backoff_survives_a_restart_of_the_scheduler(server, observ_db):
    """Item 24: a job that fails is not run at full speed again because its scheduler was restarted."""
    wait_for_success(server, observ_db)
    server.sql(observ_db, "DELETE FROM observ_data.summary_state")
    wait_until(lambda: (job(server, observ_db, "consecutive_failures") or 0) >= 4, 40, "four failures in a row")
    pid = server.wait_for_worker(SCHEDULER, observ_db)
    runs = job(server, observ_db, "runs")
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    server.wait_for_worker(SCHEDULER, observ_db, other_than=pid)
    wait_until(lambda: job(server, observ_db, "last_start > now() - interval '5 s'", "maintain_partitions"), 10, "a start")
    assert job(server, observ_db, "runs") == runs
    assert state(server, observ_db) == "failing"


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "55P03"])
def test_conflicts_are_retries(server, observ_db, sqlstate):
    """Item 38: deadlock, serialization failure and lock timeout are tried again soon and are no errors of the job."""
    wait_for_success(server, observ_db)
    offset = server.log_size()
    trap_job(server, observ_db, f"RAISE EXCEPTION 'in the way' USING ERRCODE = '{sqlstate}'")
    wait_until(lambda: job(server, observ_db, "retries >= 2"), 20, "two retries")
    assert job(server, observ_db, "errors + consecutive_failures + crashes") == 0
    assert job(server, observ_db, "last_error_sqlstate") == sqlstate
    free_job(server, observ_db)
    wait_for_success(server, observ_db)
    assert "WARNING" not in server.log_text(offset)


def test_lock_timeout(server, observ_db):
    """Item 38: a table that somebody locks does not hold the job up for longer than observ.job_lock_timeout."""
    wait_for_success(server, observ_db)
    server.reload(**{"observ.job_lock_timeout": "'200ms'"})
    try:
        with server.connect(observ_db, autocommit=False) as conn:
            conn.execute("LOCK TABLE observ_data.summary_state IN ACCESS EXCLUSIVE MODE")
            wait_until(lambda: job(server, observ_db, "retries >= 2 AND last_error_sqlstate = '55P03'"), 20, "two lock timeouts")
            conn.execute("LOCK TABLE observ.job_runs IN ACCESS EXCLUSIVE MODE")
            time.sleep(2)  # several attempts that can't even be recorded
            conn.rollback()
        wait_for_success(server, observ_db)
        assert job(server, observ_db, "errors") == 0
    finally:
        server.reload(**{"observ.job_lock_timeout": "500ms"})


def test_statement_timeout(server, observ_db):
    """Item 38: a run that takes longer than observ.job_statement_timeout is ended, and that is an error."""
    wait_for_success(server, observ_db)
    trap_job(server, observ_db, "PERFORM pg_sleep(600)")
    wait_for_sleep(server, observ_db)
    server.reload(**{"observ.job_statement_timeout": "'300ms'"})
    try:
        server.sql("postgres", "SELECT pg_cancel_backend(%s)", (server.wait_for_worker(SCHEDULER, observ_db),))
        wait_until(lambda: job(server, observ_db, "retries = 1"), 20, "the cancel by hand to be a retry")
        wait_until(lambda: job(server, observ_db, "errors >= 1 AND last_error_sqlstate = '57014'"), 20, "the timeout")
        assert "statement timeout" in job(server, observ_db, "last_error")
    finally:
        server.reload(**{"observ.job_statement_timeout": "60s"})


def test_crashes_are_counted_and_disable_the_job(make_server):
    """Item 24: kill -9 in the middle of a job, five times: counted, then the job is off, others go on; reset_job() starts it."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    wait_for_success(server, db)
    trap_job(server, db, "PERFORM pg_sleep(600)")
    pid = None
    for crash in range(1, 6):
        pid = wait_for_sleep(server, db, 40, other_than=pid)
        server.kill9_backend(pid)
        wait_until(lambda: job(server, db, f"crashes = {crash}"), 30, f"crash {crash} to be counted",
                   retry_on=psycopg.OperationalError)
        if crash < 5:
            assert state(server, db) in ("failing", "running")
    assert job(server, db, "disabled AND consecutive_crashes = 5 AND running_since IS NULL")
    assert state(server, db) == "disabled"
    assert "SELECT observ.reset_job('refresh_fleet_summary')" in server.log_text()
    wait_until(lambda: state(server, db, "maintain_partitions") == "ok", 10, "the other job to go on")
    runs = job(server, db, "runs")
    free_job(server, db)
    server.restart()
    wait_until(lambda: job(server, db, "last_start > now() - interval '5 s'", "maintain_partitions"), 10, "a start")
    assert job(server, db, "runs") == runs
    server.sql(db, "SELECT observ.reset_job(%s)", (JOB,))
    wait_for_success(server, db)
    assert job(server, db, "NOT disabled AND consecutive_crashes = 0 AND crashes = 5")


def test_orderly_end_in_the_middle_of_a_job_is_no_crash(make_server):
    """Item 24: pg_terminate_backend and a fast shutdown take back the mark."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    wait_for_success(server, db)
    trap_job(server, db, "PERFORM pg_sleep(600)")
    pid = wait_for_sleep(server, db)
    assert state(server, db) == "running"
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    pid = wait_for_sleep(server, db, other_than=pid)
    start = time.monotonic()
    server.restart("fast")
    assert time.monotonic() - start < 10
    wait_for_sleep(server, db)
    assert job(server, db, "crashes") == 0
    # Even when its table is locked: the end does not wait, the price is one crash too many on the account.
    with server.connect(db, autocommit=False) as conn:
        pid = server.wait_for_worker(SCHEDULER, db)
        conn.execute("LOCK TABLE observ.job_runs IN ACCESS EXCLUSIVE MODE")
        server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: not harness.process_alive(pid), 2, "the scheduler to end")


def test_job_table_damaged(server, observ_db):
    """A job_runs that somebody dropped or changed is said once with a hint; the scheduler stays calm."""
    wait_for_success(server, observ_db)
    pid = server.wait_for_worker(SCHEDULER, observ_db)
    offset = server.log_size()
    server.sql(observ_db, "ALTER TABLE observ.job_runs ADD COLUMN note text")
    wait_for_success(server, observ_db)
    server.sql(observ_db, "ALTER TABLE observ.job_runs DROP COLUMN note")
    wait_for_success(server, observ_db)
    assert "WARNING" not in server.log_text(offset)
    server.sql(observ_db, "ALTER EXTENSION observ DROP VIEW observ.job_status")
    server.sql(observ_db, "DROP VIEW observ.job_status")
    server.sql(observ_db, "ALTER TABLE observ.job_runs DROP COLUMN last_result")
    server.wait_for_log("does not have the columns that this library knows", offset)
    end = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > end, 5, "some more attempts", interval=0.2)
    said = [line.partition("WARNING: ")[2] for line in server.log_text(offset).splitlines() if "does not have the columns" in line]
    assert len(said) == len(set(said)), "the same was said twice"
    assert server.worker_pid(SCHEDULER, observ_db) == pid


HOSTILE = {
    "default_transaction_read_only": "on", "default_transaction_isolation": "'serializable'",
    "default_transaction_deferrable": "on", "statement_timeout": "'1ms'", "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'", "idle_session_timeout": "'1ms'", "search_path": "'nowhere'",
    "log_statement": "'all'", "row_security": "off", "session_replication_role": "'replica'", "DateStyle": "'SQL, DMY'",
    "TimeZone": "'Asia/Kathmandu'", "IntervalStyle": "'sql_standard'", "client_min_messages": "'error'",
    "enable_indexscan": "off", "check_function_bodies": "off", "xmloption": "'document'", "bytea_output": "'escape'",
    "extra_float_digits": "-15", "synchronous_commit": "'remote_apply'", "standard_conforming_strings": "off",
}


@pytest.mark.parametrize("where", ["DATABASE", "ROLE", "SYSTEM"])
def test_hostile_settings(make_server, where):
    """Item 39: settings of database, role or system that would break a session do not break the jobs."""
    server = make_server(settings={**SERVER["settings"], "synchronous_standby_names": "''"})
    db = server.create_database("d", extension=True)
    wait_for_success(server, db)
    target = {"DATABASE": f"DATABASE {db}", "ROLE": "ROLE postgres", "SYSTEM": "SYSTEM"}[where]
    options = "-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off -c idle_session_timeout=0 " \
              "-c idle_in_transaction_session_timeout=0 -c standard_conforming_strings=on -c search_path=public " \
              "-c datestyle=ISO -c intervalstyle=postgres"
    with server.connect("postgres", options=options) as conn:
        for name, value in HOSTILE.items():
            conn.execute(f"ALTER {target} SET {name} = {value}")
        conn.execute("SELECT pg_reload_conf()")
    with server.connect(db, options=options) as conn:
        if where != "SYSTEM":
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = %s", (SCHEDULER,))

        def runs():
            return conn.execute("SELECT runs, last_success > last_start FROM observ.job_runs WHERE job_name = %s",
                                (JOB,)).fetchone()
        before = wait_until(lambda: runs()[0], 10, "a run")
        conn.execute(INSERT)
        wait_until(lambda: runs()[0] > before + 2 and runs()[1], 20, "three more runs")
        assert conn.execute("SELECT count(*) FROM observ.fleet_summary").fetchone()[0] == 1
        assert conn.execute("SELECT sum(errors + retries + crashes) FROM observ.job_runs").fetchone()[0] == 0
        conn.execute("SELECT observ_data._jobs()")


def test_worker_role(make_server):
    """observ.worker_role: a role without superuser's rights is enough; one that is missing is said once."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    server.sql("postgres", "CREATE ROLE watchman")
    wait_for_success(server, db)
    server.reload(**{"observ.worker_role": "'nobody_here'"})
    server.wait_for_log('role "nobody_here" of observ.worker_role does not exist')
    server.reload(**{"observ.worker_role": "'watchman'"})
    server.wait_for_log('role "watchman" of observ.worker_role is not permitted to log in')
    server.sql("postgres", "ALTER ROLE watchman LOGIN")
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (server.wait_for_worker(SCHEDULER, db),))
    server.reload()
    wait_until(lambda: server.value("postgres", "SELECT usename FROM pg_stat_activity WHERE backend_type = %s",
                                    (SCHEDULER,)) == "watchman", 20, "the scheduler to be watchman's")
    server.sql(db, INSERT)
    wait_for_success(server, db)
    assert server.value(db, "SELECT count(*) FROM observ.fleet_summary") == 1
    assert server.log_text().count("nobody_here\" of observ.worker_role") == 1


def test_reload_of_every_parameter(server, observ_db):
    """Item 40: each parameter is changed by SIGHUP; a bad value keeps the old one; a new period holds from the next second."""
    rows = server.sql(observ_db, "SELECT name, vartype, min_val, max_val, context FROM pg_settings "
                                 "WHERE name LIKE 'observ.%%' AND vartype = 'integer' AND context = 'sighup'")
    assert len(rows) >= 4
    pid = server.wait_for_worker(SCHEDULER, observ_db)
    before = dict(server.settings)
    try:
        for name, _, low, high, _ in rows:
            for value, holds in ((low, True), (high, True), (str(int(high) + 1), False), ("'nonsense'", False)):
                server.reload(**{name: value})
                expected = value if holds else high
                wait_until(lambda: server.value(observ_db, "SELECT setting FROM pg_settings WHERE name = %s", (name,)) == expected,
                           10, f"{name} = {expected}")
            server.settings = dict(before)
            server.reload()
        assert server.worker_pid(SCHEDULER, observ_db) == pid
        server.reload(**{"observ.refresh_fleet_summary_interval": "3600s"})
        wait_until(lambda: job(server, observ_db, "next_run > now() + interval '1 min'"), 10, "the long period")
        server.reload(**{"observ.refresh_fleet_summary_interval": "0"})
        wait_until(lambda: state(server, observ_db) == "off", 10, "the job to be off")
        runs = job(server, observ_db, "runs")
        server.reload(**{"observ.refresh_fleet_summary_interval": "1s"})
        wait_until(lambda: job(server, observ_db, "runs") > runs + 1, 5, "the short period")
    finally:
        server.settings = before
        server.reload()


def test_statistics_and_activity_are_reported(server, observ_db):
    """Item 36: now() advances, the activity is shown, and the counters that autovacuum reads rise."""
    wait_for_success(server, observ_db)
    first = job(server, observ_db, "last_result IS NOT NULL")
    assert first
    counters = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relid = 'observ.job_runs'::regclass"
    before = server.value(observ_db, counters)
    wait_until(lambda: server.value(observ_db, counters) > before + 2, 20, "n_tup_upd to rise")
    hot = server.value(observ_db, "SELECT n_tup_hot_upd::float8 / n_tup_upd FROM pg_stat_user_tables "
                                  "WHERE relid = 'observ.job_runs'::regclass")
    assert hot > 0.8
    trap_job(server, observ_db, "PERFORM pg_sleep(600)")
    pid = wait_for_sleep(server, observ_db)
    row = server.sql("postgres", "SELECT state, query, xact_start > backend_start FROM pg_stat_activity WHERE pid = %s", (pid,))
    assert row == [("active", "SELECT * FROM observ.refresh_fleet_summary(pg_catalog.now())", True)]


def test_log_is_silent_when_nothing_changes(server, observ_db):
    """Item 82: no line of ours in 10 s of work."""
    wait_for_success(server, observ_db)
    offset = server.log_size()
    runs = job(server, observ_db, "runs")
    wait_until(lambda: job(server, observ_db, "runs") >= runs + 8, 30, "eight runs")
    assert not [line for line in server.log_text(offset).splitlines() if "observ " in line]


def test_pg_stat_statements_stays_clean(make_server):
    """Item 83: an idle scheduler runs one statement per job and period, and no other but the question whether a notifier is needed."""
    server = make_server(settings={"shared_preload_libraries": "'observ, pg_stat_statements'"})
    server.sql("postgres", "CREATE EXTENSION pg_stat_statements")
    db = server.create_database("d", extension=True)
    wait_for_success(server, db)
    server.sql("postgres", "SELECT pg_stat_statements_reset()")
    start = time.monotonic()
    runs = job(server, db, "runs")
    wait_until(lambda: job(server, db, "runs") >= runs + 3, 30, "three runs")
    rows = server.sql("postgres", """SELECT query, calls FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
                                     WHERE datname = 'd' AND toplevel AND query NOT LIKE '%%job_runs%%' AND query NOT LIKE '%%notification_channels%%'""")
    elapsed = time.monotonic() - start
    periods = dict(server.sql(db, "SELECT command, extract(epoch FROM period)::float8 FROM observ_data._jobs()"))
    assert {query for query, _ in rows} <= set(periods)
    assert all(calls <= elapsed / periods[query] + 2 for query, calls in rows), rows


def test_memory_is_flat(server, observ_db):
    """Item 37, the short form: 500 failing runs, errors being what leaks most, cost no memory that stays."""
    wait_for_success(server, observ_db)
    server.sql(observ_db, "DELETE FROM observ_data.summary_state")
    pid = server.wait_for_worker(SCHEDULER, observ_db)
    with server.connect(observ_db) as conn:
        def fail(times):
            for _ in range(times):
                runs = conn.execute("SELECT errors FROM observ.job_runs WHERE job_name = %s", (JOB,)).fetchone()[0]
                conn.execute("SELECT observ.reset_job(%s)", (JOB,))
                wait_until(lambda: conn.execute("SELECT errors FROM observ.job_runs WHERE job_name = %s",
                                                (JOB,)).fetchone()[0] > runs, 10, "a failure", interval=0.001)
        wait_until(lambda: (job(server, observ_db, "errors") or 0) > 0, 10, "the first failure")
        fail(100)
        before = anonymous_kb(pid)
        fail(500)
        assert server.worker_pid(SCHEDULER, observ_db) == pid
        assert anonymous_kb(pid) - before < 200


CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *offset;
__attribute__((constructor)) static void init(void)
{
	int fd = open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY);
	offset = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
int clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = dlsym(RTLD_NEXT, "clock_gettime");
	int rc = real(id, ts);
	if (id == CLOCK_REALTIME)
		ts->tv_sec += *offset;
	return rc;
}
time_t time(time_t *t)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	if (t)
		*t = ts.tv_sec;
	return ts.tv_sec;
}
"""


def test_clock_steps(make_server, tmp_path, monkeypatch):
    """Periods are measured by the monotonic clock: a server clock that jumps by two hours, forth and back, causes neither a
    burst of runs nor a pause."""
    source, library, offset = (server_file(tmp_path, name) for name in ("clock.c", "clock.so", "offset"))
    source.write_text(CLOCK, encoding="ascii")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    offset.write_bytes(bytes(8))
    original = harness.clean_environment
    monkeypatch.setattr(harness, "clean_environment", lambda **extra: original(
        **{"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(offset), **extra}))
    server = make_server(**SERVER)
    monkeypatch.undo()
    db = server.create_database("d", extension=True)
    wait_for_success(server, db)
    with open(offset, "r+b") as file, mmap.mmap(file.fileno(), 8) as clock:
        for step in (0, 7200, 0, -7200, 0):
            clock[:] = struct.pack("=q", step)
            seen = server.value("postgres", "SELECT extract(epoch FROM clock_timestamp())::float8")
            assert abs(seen - time.time() - step) < 5
            start, runs = time.monotonic(), job(server, db, "runs")
            wait_until(lambda: job(server, db, "runs") >= runs + 4, 15, f"four runs after a step to {step}")
            elapsed = time.monotonic() - start
            assert elapsed > 2.5, "a burst"
    assert ctypes.sizeof(ctypes.c_long) == 8


def server_file(tmp_path, name):
    """A path that the server's user can read."""
    for parent in (tmp_path, *tmp_path.parents):
        if str(parent).startswith("/tmp/pytest"):
            os.chmod(parent, 0o755)
    return tmp_path / name


def test_partitions_that_cannot_be_made_are_a_failure_long_before_rows_are_refused(server, observ_db):
    """Item 61: what could be made is kept, job_status says that something could not, and the next pass repairs it."""
    # First the right, then the partition: the scheduler's first pass may come in between.
    server.sql(observ_db, "REVOKE CREATE ON SCHEMA observ_data FROM observ_owner")
    server.sql(observ_db, "DROP TABLE observ_data." + server.value(observ_db, """
        SELECT max(c.relname::text) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'observ.log_entries'::regclass"""))
    server.reload(**{"observ.maintain_partitions_interval": "1s"})
    wait_until(lambda: state(server, observ_db, "maintain_partitions") == "failing", 30, "the job to say that it failed")
    assert "failed=1" in job(server, observ_db, "last_error", "maintain_partitions")
    server.sql(observ_db, INSERT)
    server.sql(observ_db, "GRANT CREATE ON SCHEMA observ_data TO observ_owner")
    server.sql(observ_db, "SELECT observ.reset_job('maintain_partitions')")
    wait_until(lambda: server.value(observ_db, "SELECT partitions_ahead > interval '7 days' FROM observ.status()"), 30, "the partition to be there")
    wait_until(lambda: state(server, observ_db, "maintain_partitions") == "ok", 30, "the job to be well again")
    server.reload(**{"observ.maintain_partitions_interval": "1h"})
