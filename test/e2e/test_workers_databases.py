"""Workers and the databases they live in, or don't: items 25-30 of the checklist."""

import threading
import time

import psycopg
import pytest

from harness import wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1s"}}
LAUNCHER, SCHEDULER = "observ launcher", "observ scheduler"
BACK_IN = 10


def timed(server, *commands, db="postgres", user="postgres"):
    """Runs the commands and returns how long the slowest of them took."""
    slowest = 0.0
    with server.connect(db, user) as conn:
        for command in commands:
            start = time.monotonic()
            conn.execute(command)
            slowest = max(slowest, time.monotonic() - start)
    return slowest


def test_dropping_any_database_is_quick(server, observ_db):
    """Item 25: CREATE and DROP DATABASE of databases that are none of ours, 20 times, each DROP under a second."""
    server.wait_for_worker(SCHEDULER, observ_db)
    offset = server.log_size()
    for i in range(20):
        assert timed(server, f"CREATE DATABASE other{i}") < 5  # copies files: as fast as the disk
        assert timed(server, f"DROP DATABASE other{i}") < 1
    assert "ProcSignalBarrier" not in server.log_text(offset)


@pytest.mark.parametrize("force", ["", " WITH (FORCE)"])
def test_dropping_our_own_database(server, force):
    """Item 26: DROP DATABASE, plain and FORCE, with the scheduler in it, 20 times, each under a second, no error in the log."""
    offset = server.log_size()
    for i in range(20):
        name = server.create_database(f"own{i}", extension=True)
        server.wait_for_worker(SCHEDULER, name)
        assert timed(server, f"DROP DATABASE {name}{force}") < 1
    log = server.log_text(offset)
    assert "ERROR" not in log and "FATAL" not in log and "WARNING" not in log


def test_drop_database_in_the_middle_of_a_job(server):
    """Item 26: the job is ended, not waited for."""
    name = server.create_database("busy", extension=True)
    server.wait_for_jobs(name)
    server.sql(name, "ALTER FUNCTION observ.refresh_fleet_summary(timestamptz, boolean) RENAME TO refresh_for_real")
    server.sql(name, "CREATE FUNCTION observ.refresh_fleet_summary(at timestamptz) RETURNS void LANGUAGE sql AS "
                   "'SELECT pg_sleep(600)'")
    wait_until(lambda: server.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 15,
               "the job to be slow")
    assert timed(server, f"DROP DATABASE {name}") < 1


def test_drop_database_by_its_owner(server):
    """Item 26: an owner who is no superuser can drop it; somebody else is refused and disturbs nobody."""
    server.sql("postgres", "CREATE ROLE boss LOGIN CREATEDB")
    server.sql("postgres", "CREATE ROLE stranger LOGIN")
    name = server.create_database("bosses", extension=True)
    server.sql("postgres", f"ALTER DATABASE {name} OWNER TO boss")
    scheduler = server.wait_for_worker(SCHEDULER, name)
    for command in (f"DROP DATABASE {name}", f"DROP DATABASE {name} WITH (FORCE)",
                    f"ALTER DATABASE {name} RENAME TO mine", f"ALTER DATABASE {name} SET TABLESPACE pg_default"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.sql("postgres", command, user="stranger")
    server.sql("postgres", "ALTER ROLE stranger CREATEDB")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.sql("postgres", f"CREATE DATABASE loot TEMPLATE {name}", user="stranger")
    with server.connect(autocommit=False) as conn:
        with pytest.raises(psycopg.errors.ActiveSqlTransaction):
            conn.execute("SELECT 1")
            conn.execute(f"DROP DATABASE {name}")
    assert server.worker_pid(SCHEDULER, name) == scheduler
    assert timed(server, f"DROP DATABASE {name} WITH (FORCE)", user="boss") < 1


def test_rename_template_tablespace_owner(server, tmp_path_factory):
    """Item 27: each succeeds while the worker is there, and the worker comes back; a template copy stays paused."""
    tablespace = server.dir / "space"
    tablespace.mkdir()
    import harness
    harness.give_to_server(tablespace)
    server.sql("postgres", f"CREATE TABLESPACE elsewhere LOCATION '{tablespace}'")
    name = server.create_database("before", extension=True)
    server.wait_for_jobs(name)
    for i in range(3):
        assert timed(server, "ALTER DATABASE before RENAME TO after") < 2
        server.wait_for_worker(SCHEDULER, "after", deadline=BACK_IN)
        assert timed(server, "CREATE DATABASE copy TEMPLATE after") < 5
        server.wait_for_worker(SCHEDULER, "after", deadline=BACK_IN)
        assert server.value("copy", "SELECT state FROM observ.status()") == "paused"
        assert server.worker_pid(SCHEDULER, "copy") is None
        assert timed(server, f"ALTER DATABASE after SET TABLESPACE {'elsewhere' if i % 2 == 0 else 'pg_default'}") < 5
        server.wait_for_worker(SCHEDULER, "after", deadline=BACK_IN)
        assert timed(server, "ALTER DATABASE after OWNER TO postgres", "DROP DATABASE copy") < 2
        assert timed(server, "ALTER DATABASE after RENAME TO before") < 2
        server.wait_for_worker(SCHEDULER, "before", deadline=BACK_IN)
    server.sql("postgres", "DROP DATABASE before")


def test_rename_in_a_transaction_and_rolled_back(server, observ_db):
    """Item 27: RENAME may be rolled back; the worker comes back to the old name and logs no error meanwhile."""
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    offset = server.log_size()
    with server.connect(autocommit=False) as conn:
        conn.execute(f"ALTER DATABASE {observ_db} RENAME TO never")
        assert server.worker_pid(SCHEDULER, observ_db) is None
        conn.rollback()
    server.wait_for_worker(SCHEDULER, observ_db, other_than=scheduler, deadline=BACK_IN)
    assert "ERROR" not in server.log_text(offset) and "FATAL" not in server.log_text(offset)


def test_template_databases_are_never_touched(server, observ_db):
    """Item 28: nobody of ours ever connects to template0, template1, or a database that is none of ours."""
    other = server.create_database("bystander")
    seen, stop = set(), threading.Event()

    def watch():
        with server.connect() as conn:
            while not stop.wait(0.002):
                seen.update(conn.execute("SELECT backend_type, datname FROM pg_stat_activity "
                                         "WHERE backend_type LIKE 'observ %'").fetchall())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(10):
            server.reload()
            server.sql(observ_db, "SELECT observ.pause()")
            server.sql(observ_db, "SELECT observ.resume()")
            server.drop_database(server.create_database("brief"))
            server.wait_for_worker(SCHEDULER, observ_db, deadline=BACK_IN)
    finally:
        stop.set()
        watcher.join()
        server.drop_database(other)
    databases = {db for kind, db in seen if db is not None}
    assert databases <= {"postgres", observ_db}
    assert ("observ scheduler", observ_db) in seen and ("observ launcher", None) in seen


def test_list_of_databases(make_server):
    """Items 28 and 29: observ.databases overrides; missing, template and closed ones are said once; they are found when made."""
    server = make_server(**SERVER)
    for name in ("one", "two", "three"):
        server.create_database(name, extension=True)
        server.wait_for_worker(SCHEDULER, name)
    bare = server.create_database("bare")
    server.reload(**{"observ.databases": "'one, missing, \"Also Missing\", template1, bare'"})
    server.wait_for_log("observ.databases names databases that observ can't work in: "
                        "\"missing\", \"Also Missing\", \"template1\"")
    wait_until(lambda: {db for _, _, db in server.processes(SCHEDULER)} == {"one", bare}, BACK_IN, "only one and bare")
    server.wait_for_log('observ idles in database "bare": extension observ is not installed')
    for _ in range(5):
        server.reload()
        server.sql("postgres", "ALTER DATABASE two SET work_mem = '8MB'")
    server.sql(bare, "CREATE EXTENSION observ")
    server.wait_for_jobs(bare)
    server.create_database("missing")
    server.wait_for_worker(SCHEDULER, "missing", deadline=BACK_IN)
    log = server.log_text()
    assert log.count('can\'t work in: "missing", "Also Missing", "template1"') == 1
    assert log.count('observ idles in database "bare"') == 1
    server.reload(**{"observ.databases": "'one, '"})
    server.wait_for_log("list syntax of observ.databases is invalid")
    server.reload(**{"observ.databases": "''"})
    for name in ("one", "two", "three", bare):
        server.wait_for_worker(SCHEDULER, name, deadline=BACK_IN)


def test_closed_database_is_left(server):
    """Item 28: ALLOW_CONNECTIONS false sends the scheduler away, true brings it back."""
    name = server.create_database("closing", extension=True)
    server.wait_for_worker(SCHEDULER, name)
    server.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    wait_until(lambda: server.worker_pid(SCHEDULER, name) is None, BACK_IN, "the scheduler to leave")
    server.sql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    server.wait_for_worker(SCHEDULER, name, deadline=BACK_IN)
    server.sql("postgres", f"DROP DATABASE {name}")


def test_maintenance_database_missing(make_server):
    """Item 23: said once with a hint, running schedulers stay, and all is well when it is there again."""
    server = make_server(**SERVER)
    name = server.create_database("d", extension=True)
    scheduler = server.wait_for_worker(SCHEDULER, name)
    server.reload(**{"observ.maintenance_database": "'nowhere'"})
    server.wait_for_log('Database "nowhere" does not exist or does not allow connections.')
    for _ in range(5):
        server.reload()
    second = server.create_database("e", extension=True)
    assert server.worker_pid(SCHEDULER, name) == scheduler
    assert server.log_text().count('Database "nowhere"') == 1
    server.create_database("nowhere")
    server.wait_for_worker(SCHEDULER, second, deadline=45)


def test_switched_off_and_on(server, observ_db):
    """observ.enabled = off sends every scheduler away, on brings them back; without an error in the log."""
    server.wait_for_worker(SCHEDULER, observ_db)
    offset = server.log_size()
    server.reload(**{"observ.enabled": "off"})
    wait_until(lambda: not server.processes(SCHEDULER), BACK_IN, "all schedulers to leave")
    assert set(server.sql(observ_db, "SELECT state FROM observ.job_status")) == {("off",)}
    server.reload(**{"observ.enabled": "on"})
    server.wait_for_worker(SCHEDULER, observ_db, deadline=BACK_IN)
    assert "ERROR" not in server.log_text(offset) and "FATAL" not in server.log_text(offset)


def test_pause_and_resume(server, observ_db):
    """A paused database has no scheduler and no runs; resume brings it back at once."""
    server.wait_for_jobs(observ_db)
    server.sql(observ_db, "SELECT observ.pause()")
    wait_until(lambda: server.worker_pid(SCHEDULER, observ_db) is None, BACK_IN, "the scheduler to leave")
    server.sql(observ_db, "SELECT observ.resume()")
    server.wait_for_worker(SCHEDULER, observ_db, deadline=BACK_IN)


def test_five_databases_at_once(server):
    """Item 30: CREATE EXTENSION in five databases at the same time; five schedulers, all progress."""
    names = [server.create_database(f"five{i}") for i in range(5)]
    errors = []

    def create(name):
        try:
            server.sql(name, "CREATE EXTENSION observ")
        except psycopg.Error as exc:
            errors.append(exc)

    threads = [threading.Thread(target=create, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for name in names:
        server.wait_for_worker(SCHEDULER, name, deadline=BACK_IN)
        server.wait_for_jobs(name)
    assert server.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND datname LIKE 'five%%'",
                        (SCHEDULER,)) == 5
    for name in names:
        assert timed(server, f"DROP DATABASE {name}") < 1
