"""pg_cron (Debian's 1.4.2): jobs move into cron.job and back, and nobody runs one beside the other.

Ticks of cron come once a minute: test_what_cron_ran_is_shown waits for one, nothing else does.
"""

import pytest
from psycopg import errors

from harness import HarnessError, wait_until

CRON = {"shared_preload_libraries": "'pg_cron,observ'", "cron.database_name": "'obs'", "cron.use_background_workers": "on",
        "observ.refresh_fleet_summary_interval": "1s", "observ.maintain_partitions_interval": "1s"}
SERVER = {"settings": CRON}
JOB, ENTRY = "maintain_partitions", "observ.maintain_partitions"
LAUNCHER = "pg_cron launcher"


def job(server, column, name=JOB):
    return server.value("obs", f"SELECT {column} FROM observ.job_runs WHERE job_name = %s", (name,))


def status(server, column="state", name=JOB):
    return server.value("obs", f"SELECT {column} FROM observ.job_status WHERE job_name = %s", (name,))


def entries(server):
    return [name for name, in server.sql("obs", "SELECT jobname FROM cron.job ORDER BY 1")]


def wait_for_rounds(server, rounds=3):
    """Waits until the scheduler has run the job that always stays its own a few times."""
    before = job(server, "runs", "refresh_fleet_summary") or 0
    wait_until(lambda: (job(server, "runs", "refresh_fleet_summary") or 0) >= before + rounds, 30, f"{rounds} rounds of the scheduler")


def scheduler_runs_it(server):
    """Waits for two more runs by the scheduler, which reset_job() has made to look at once."""
    before = job(server, "runs") or 0
    server.sql("obs", "SELECT observ.reset_job('refresh_fleet_summary')")
    wait_until(lambda: (job(server, "runs") or 0) >= before + 2, 30, "two runs by the scheduler")
    assert status(server, "runner") == "observ"
    assert status(server) in ("ok", "running")


def scheduler_leaves_it(server):
    """The job's period is a second; three rounds later it has not been run."""
    wait_for_rounds(server, 1)  # a run that had begun comes to its end
    before = job(server, "runs")
    wait_for_rounds(server)
    assert job(server, "runs") == before
    assert job(server, "running_since") is None


@pytest.fixture(scope="module", autouse=True)
def library(installation):
    """pg_cron in the private PostgreSQL."""
    if not (installation.libdir / "pg_cron.so").exists():
        raise HarnessError(f"there is no pg_cron in {installation.prefix}\n"
                           "hint: apt-get install --no-install-recommends postgresql-15-cron, then scripts/pg-prefix.sh and make install")


@pytest.fixture(scope="module")
def obs(server):
    """The database that pg_cron works in, without pg_cron in it yet."""
    return server.create_database("obs", extension=True)


@pytest.fixture
def cron(server, obs):
    """pg_cron in it, and no job moved."""
    server.sql(obs, "CREATE EXTENSION IF NOT EXISTS pg_cron")
    wait_until(lambda: server.worker_pid(LAUNCHER), 30, "pg_cron's launcher")
    server.sql(obs, "SELECT observ.use_bgworker()")
    yield
    server.sql(obs, "CREATE EXTENSION IF NOT EXISTS pg_cron")
    server.sql(obs, "SELECT observ.use_bgworker()")


@pytest.fixture
def roles(server, obs):
    """Two admins and somebody without rights on observ, as they log in."""
    server.psql(obs, script="CREATE ROLE admin_a LOGIN IN ROLE observ_admin; CREATE ROLE admin_b LOGIN IN ROLE observ_admin; "
                            "CREATE ROLE stranger LOGIN; CREATE ROLE nologin IN ROLE observ_admin")
    yield
    server.psql(obs, script="DROP OWNED BY admin_a, admin_b, stranger, nologin; DROP ROLE admin_a, admin_b, stranger, nologin")


def test_without_pg_cron_it_says_what_to_type(server, obs):
    server.sql(obs, "DROP EXTENSION IF EXISTS pg_cron")
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as said:
        server.sql(obs, "SELECT observ.use_pg_cron()")
    assert 'pg_cron is not installed in database "obs"' in said.value.diag.message_primary
    assert said.value.diag.message_hint == "Run CREATE EXTENSION pg_cron."
    assert server.sql(obs, "SELECT observ.use_bgworker()") == []
    # In a database that pg_cron does not work in.
    server.create_database("elsewhere", extension=True)
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as said:
        server.sql("elsewhere", "SELECT observ.use_pg_cron()")
    assert 'pg_cron works in database "obs" only' in said.value.diag.message_hint
    assert "cron.database_name = 'elsewhere'" in said.value.diag.message_hint
    server.drop_database("elsewhere")


def test_without_the_library_it_says_what_to_install(make_server):
    server = make_server()
    server.create_database("plain", extension=True)
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as said:
        server.sql("plain", "SELECT observ.use_pg_cron()")
    assert "postgresql-15-cron" in said.value.diag.message_hint and "cron.database_name = 'plain'" in said.value.diag.message_hint


def test_jobs_move_there_and_back(server, obs, cron):
    wait_for_rounds(server, 1)
    moved = server.sql(obs, "SELECT job_name, schedule FROM observ.use_pg_cron()")
    assert (JOB, "* * * * *") in moved
    assert {"roll_up", "apply_retention"} < set(dict(moved))
    assert "refresh_fleet_summary" not in dict(moved)
    assert sorted(entries(server)) == sorted("observ." + name for name in dict(moved))
    command = server.value(obs, "SELECT command FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert "observ.maintain_partitions(pg_catalog.now())" in command and "lock_timeout = '500ms'" in command
    assert status(server) == "pg_cron"
    assert status(server, "(runner, schedule, next_run, lag)::text") == '(pg_cron,"* * * * *",,)'
    assert status(server, "runner", "refresh_fleet_summary") == "observ"
    scheduler_leaves_it(server)
    # What the DBA changes stays when it is called again.
    server.sql(obs, "SELECT cron.alter_job(jobid, schedule => '5 * * * *') FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert (JOB, "5 * * * *") in server.sql(obs, "SELECT job_name, schedule FROM observ.use_pg_cron()")
    assert status(server, "schedule") == "5 * * * *"
    # Not in a transaction that is rolled back.
    with server.connect(obs, autocommit=False) as conn:
        assert (JOB,) in conn.execute("SELECT job_name FROM observ.use_bgworker()").fetchall()
        conn.rollback()
    assert ENTRY in entries(server)
    scheduler_leaves_it(server)
    # A scheduler that starts anew runs every job at once, but not those.
    pid = server.wait_for_worker("observ scheduler", obs)
    before = job(server, "runs")
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    server.wait_for_worker("observ scheduler", obs, other_than=pid)
    wait_for_rounds(server)
    assert job(server, "runs") == before
    # And back, at once and not by somebody waiting for the next look.
    back = server.sql(obs, "SELECT job_name FROM observ.use_bgworker()")
    assert sorted(back) == sorted((name,) for name in dict(moved))
    assert entries(server) == []
    wait_until(lambda: job(server, "runs") >= before + 2, 20, "the scheduler to run it again")
    assert "left to pg_cron" in server.log_text() and "run by observ again" in server.log_text()


def test_an_entry_that_is_switched_off_is_run_by_nobody(server, obs, cron):
    server.sql(obs, "SELECT observ.use_pg_cron()")
    server.sql(obs, "SELECT cron.alter_job(jobid, active => false) FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert status(server) == "inactive"
    scheduler_leaves_it(server)
    server.sql(obs, "SELECT observ.use_pg_cron()")
    assert status(server) == "inactive"
    server.sql(obs, "SELECT cron.alter_job(jobid, active => true) FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert status(server) == "pg_cron"


@pytest.mark.parametrize("statement", [f"SELECT cron.unschedule('{ENTRY}')", f"DELETE FROM cron.job WHERE jobname = '{ENTRY}'",
                                       "DROP EXTENSION pg_cron CASCADE", f"UPDATE cron.job SET jobname = 'mine' WHERE jobname = '{ENTRY}'"])
def test_an_entry_that_is_gone_is_the_schedulers_again(server, obs, cron, statement):
    server.sql(obs, "SELECT observ.use_pg_cron()")
    scheduler_leaves_it(server)
    server.sql(obs, statement)
    assert status(server, "runner") == "observ"
    scheduler_runs_it(server)
    if "mine" in statement:
        server.sql(obs, "DELETE FROM cron.job WHERE jobname = 'mine'")


def test_a_job_that_is_off_stays_off(server, obs, cron):
    server.reload(**{"observ.maintain_partitions_interval": "0"})
    try:
        wait_until(lambda: status(server) == "off", 10, "the job to be off")
        said = []
        with server.connect(obs) as conn:
            conn.add_notice_handler(lambda d: said.append(d.message_primary))
            assert JOB not in dict(conn.execute("SELECT job_name, jobid FROM observ.use_pg_cron()").fetchall())
        assert said == [f'job "{JOB}" is switched off and stays so']
    finally:
        server.reload(**{"observ.maintain_partitions_interval": "1s"})


def test_who_may(server, obs, cron, roles):
    """Entries are the caller's, made with the caller's rights and removed by their role or a superuser."""
    for user in ("stranger", "admin_a"):
        with pytest.raises(errors.InsufficientPrivilege):
            server.sql(obs, "SELECT observ.use_pg_cron()", user=user)
    server.sql(obs, "GRANT USAGE ON SCHEMA cron TO admin_a, admin_b, stranger, nologin")
    with pytest.raises(errors.InsufficientPrivilege):
        server.sql(obs, "SELECT observ.use_pg_cron()", user="stranger")
    with pytest.raises(errors.ObjectNotInPrerequisiteState) as said:
        with server.connect(obs) as conn:
            conn.execute("SET ROLE nologin")
            conn.execute("SELECT observ.use_pg_cron()")
    assert "cannot log in" in said.value.diag.message_primary
    assert entries(server) == []
    server.sql(obs, "SELECT observ.use_pg_cron()", user="admin_a")
    assert server.value(obs, "SELECT username FROM cron.job WHERE jobname = %s", (ENTRY,)) == "admin_a"
    # Another admin sees whose they are, makes no second ones, and can't remove them.
    server.sql(obs, "SELECT observ.use_pg_cron()", user="admin_b")
    assert server.value(obs, "SELECT count(*) FROM cron.job WHERE jobname = %s", (ENTRY,)) == 1
    assert server.value(obs, "SELECT state FROM observ.job_status WHERE job_name = %s", (JOB,), user="admin_b") == "pg_cron"
    with pytest.raises(errors.InsufficientPrivilege) as said:
        server.sql(obs, "SELECT observ.use_bgworker()", user="admin_b")
    assert 'belongs to role "admin_a"' in said.value.diag.message_primary and said.value.diag.message_hint
    server.sql(obs, "SELECT observ.use_bgworker()", user="admin_a")
    assert entries(server) == []


def test_a_stranger_takes_no_job_away(server, obs, cron, roles):
    """Whoever may use pg_cron could plant an entry of that name; it counts for nothing unless its role may run jobs."""
    server.sql(obs, "GRANT USAGE ON SCHEMA cron TO stranger")
    server.sql(obs, "SELECT cron.schedule(%s, '0 0 1 1 *', 'SELECT 1')", (ENTRY,), user="stranger")
    assert status(server, "runner") == "observ"
    scheduler_runs_it(server)
    server.sql(obs, "SELECT observ.use_pg_cron()")
    assert status(server, "schedule") == "* * * * *"
    server.sql(obs, "SELECT observ.use_bgworker()")
    assert server.sql(obs, "SELECT jobname, username FROM cron.job") == [(ENTRY, "stranger")]
    server.sql(obs, "DELETE FROM cron.job")


def test_a_locked_cron_job_holds_up_no_other_job(server, obs, cron):
    """The look into cron.job waits no longer than any lock of a job, and the price is a retry."""
    server.reload(**{"observ.job_lock_timeout": "'200ms'"})
    try:
        with server.connect(obs, autocommit=False) as conn:
            conn.execute("LOCK TABLE cron.job IN ACCESS EXCLUSIVE MODE")
            wait_for_rounds(server)
            conn.rollback()
        scheduler_runs_it(server)
        assert job(server, "errors") == 0
    finally:
        server.reload(**{"observ.job_lock_timeout": "500ms"})


def test_a_launcher_that_is_gone_is_seen(make_server):
    """pg_cron 1.4's launcher does not come back once it was terminated: the jobs it has are late."""
    server = make_server(settings=CRON)
    db = server.create_database("obs", extension=True)
    pid = wait_until(lambda: server.worker_pid(LAUNCHER, db), 30, "pg_cron's launcher")
    server.sql(db, "CREATE EXTENSION pg_cron")
    wait_for_rounds(server, 1)
    server.sql(db, "SELECT observ.use_pg_cron()")
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    wait_until(lambda: not server.worker_pid(LAUNCHER), 30, "pg_cron's launcher to end")
    assert status(server) == "pg_cron"
    server.sql(db, "UPDATE observ.job_runs SET last_start = now() - interval '10 minutes'")
    assert status(server) == "late"
    said = []
    with server.connect(db) as conn:
        conn.add_notice_handler(lambda d: said.append((d.message_primary, d.message_hint)))
        conn.execute("SELECT observ.use_pg_cron()")
    assert said[0][0] == "the launcher of pg_cron is not running" and "restart" in said[0][1]
    server.sql(db, "SELECT observ.use_bgworker()")
    scheduler_runs_it(server)


def test_what_cron_ran_is_shown(make_server):
    """A tick: runs succeed in both of pg_cron's ways to connect, failures are shown as such, and old history is trimmed, ours only."""
    fleet = [make_server(settings=CRON), make_server(settings={**CRON, "cron.use_background_workers": "off"}, tcp=True)]
    for server in fleet:
        server.create_database("obs", extension=True)
        wait_until(lambda s=server: s.worker_pid(LAUNCHER, "obs"), 30, "pg_cron's launcher")
        server.sql("obs", "CREATE EXTENSION pg_cron")
        wait_for_rounds(server, 1)
        server.sql("obs", "SELECT observ.use_pg_cron()")
        server.sql("obs", "SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job")
        server.sql("obs", "INSERT INTO cron.job_run_details (jobid, database, command, status, start_time, end_time) "
                          "SELECT -1, 'obs', c, 'succeeded', now() - a, now() - a FROM (SELECT command FROM cron.job WHERE jobname = %s "
                          "UNION ALL SELECT 'SELECT mine') x (c), unnest('{8 days,1 day}'::interval[]) a", (ENTRY,))
    # A partition that is missing shows that the job did its work.
    fleet[0].sql("obs", "DROP TABLE observ_data.events_%s" % fleet[0].value("obs", "SELECT max(substr(relname, 8)) FROM pg_class WHERE relname ~ '^events_[0-9]+$'"))
    for server in fleet:
        runs = job(server, "runs")
        wait_until(lambda s=server: s.value("obs", "SELECT count(DISTINCT jobid) = (SELECT count(*) FROM cron.job) FROM cron.job_run_details "
                                                   "WHERE jobid > 0 AND status IN ('succeeded', 'failed')"), 90, "pg_cron to run all entries")
        assert server.sql("obs", "SELECT DISTINCT status FROM cron.job_run_details WHERE jobid > 0") == [("succeeded",)]
        assert status(server) == "pg_cron"
        assert status(server, "last_success = (SELECT max(end_time) FROM cron.job_run_details WHERE jobid > 0 AND command ~ 'maintain') "
                              "AND last_run < last_success AND duration >= '0' AND last_result <> ''")
        assert job(server, "runs") == runs
        # Ours is trimmed when it is older than a week; what others left is theirs.
        assert server.sql("obs", "SELECT command = 'SELECT mine', count(*) FROM cron.job_run_details WHERE jobid = -1 GROUP BY 1 ORDER BY 1") \
            == [(False, 1), (True, 2)]
    # What was missing is there again, by pg_cron's hand.
    assert fleet[0].value("obs", "SELECT partitions_ahead >= '7 days' FROM observ.status()")
    # A run that failed, as pg_cron records it.
    server = fleet[0]
    server.sql("obs", "INSERT INTO cron.job_run_details (jobid, runid, status, return_message, start_time, end_time) SELECT jobid, 1000000, 'failed', "
                      "'ERROR: no', now(), now() FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert status(server, "(state, last_error, last_error_at > last_success)::text") == '(failing,"ERROR: no",t)'
    # The next success makes up for it.
    server.sql("obs", "INSERT INTO cron.job_run_details (jobid, runid, status, return_message, start_time, end_time) SELECT jobid, 1000001, 'succeeded', "
                      "'1 row', now(), now() FROM cron.job WHERE jobname = %s", (ENTRY,))
    assert status(server, "(state, last_result)::text") == '(pg_cron,"1 row")'
    # A reader without any right on pg_cron is told the same.
    server.sql("obs", "CREATE ROLE looks LOGIN IN ROLE observ_reader")
    assert server.value("obs", "SELECT state FROM observ.job_status WHERE job_name = %s", (JOB,), user="looks") == "pg_cron"
    with pytest.raises(errors.InsufficientPrivilege):
        server.sql("obs", "SELECT * FROM cron.job", user="looks")
