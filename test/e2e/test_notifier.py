"""The life of the notifier: when it runs, what ends it, what brings it back."""

import os
import signal
import time

import psycopg
import pytest

from harness import process_alive, wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1s"}}
LAUNCHER, SCHEDULER, NOTIFIER = "observ launcher", "observ scheduler", "observ notifier"
BACK_IN = 15


def add_channel(server, db, name="hook", url="http://127.0.0.1:9/"):
    server.sql(db, "INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, 'webhook', jsonb_build_object('url', %s::text))",
               (name, url))


@pytest.fixture
def told_db(server, observ_db):
    """A database with a notifier."""
    add_channel(server, observ_db)
    server.wait_for_worker(NOTIFIER, observ_db, deadline=BACK_IN)
    return observ_db


def gone(server, db):
    return server.worker_pid(NOTIFIER, db) is None


def test_it_runs_where_there_is_a_channel(server, observ_db):
    server.wait_for_jobs(observ_db)
    assert gone(server, observ_db)
    assert server.value(observ_db, "SELECT notifier_pid FROM observ.status()") is None
    add_channel(server, observ_db)
    pid = server.wait_for_worker(NOTIFIER, observ_db, deadline=BACK_IN)
    assert server.sql(observ_db, "SELECT state, notifier_pid FROM observ.status()") == [("running", pid)]
    server.sql(observ_db, "DELETE FROM observ.notification_channels WHERE name = 'hook'")
    server.sql(observ_db, "SELECT observ.resume()")  # whatever wakes it
    wait_until(lambda: gone(server, observ_db), BACK_IN, "the notifier to end")
    assert server.sql(observ_db, "SELECT state, notifier_pid FROM observ.status()") == [("running", None)]


@pytest.mark.parametrize("how", ["pg_terminate_backend", "kill -9"])
def test_it_comes_back(server, told_db, how):
    before = server.worker_pid(NOTIFIER, told_db)
    if how == "kill -9":
        server.kill9_backend(before)
    else:
        assert server.value(told_db, "SELECT pg_terminate_backend(%s)", (before,))
    wait_until(lambda: not process_alive(before), BACK_IN, "the notifier to end")
    server.wait_for_worker(NOTIFIER, told_db, other_than=before, deadline=60)


def test_one_that_crashes_again_and_again_waits(make_server):
    """What it crashes at must not bring the server down without a pause; one that ends in order is forgiven."""
    server = make_server()
    db = server.create_database("crashes", extension=True)
    add_channel(server, db)
    pid = None
    for number in range(3):
        pid = server.wait_for_worker(NOTIFIER, db, other_than=pid, deadline=60)
        wait_until(lambda number=number: server.value(db, "SELECT running_since IS NOT NULL AND runs = %s FROM observ.job_runs WHERE job_name = 'send_notifications'",
                                                      (number + 1,)), BACK_IN, "its mark", retry_on=(psycopg.Error,))
        server.kill9_backend(pid)
        wait_until(lambda pid=pid: not process_alive(pid), BACK_IN, "it to end")
    server.wait_for_log("went down with the server 3 times in a row", deadline=60)
    assert "It waits 2 s before it goes on." in server.log_text()
    pid = server.wait_for_worker(NOTIFIER, db, deadline=60)
    server.sql(db, "SELECT pg_terminate_backend(%s)", (pid,))
    wait_until(lambda: server.value(db, "SELECT consecutive_crashes FROM observ.job_runs WHERE job_name = 'send_notifications'") == 0, BACK_IN, "the orderly end")


def test_the_scheduler_ends_and_the_next_one_finds_it(server, told_db):
    notifier, scheduler = server.worker_pid(NOTIFIER, told_db), server.worker_pid(SCHEDULER, told_db)
    assert server.value(told_db, "SELECT pg_terminate_backend(%s)", (scheduler,))
    server.wait_for_worker(SCHEDULER, told_db, other_than=scheduler, deadline=BACK_IN)
    server.wait_for_jobs(told_db)
    assert server.worker_pid(NOTIFIER, told_db) == notifier
    assert server.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s AND datname = %s", (NOTIFIER, told_db)) == 1
    # One that another scheduler started is missed all the same.
    assert server.value(told_db, "SELECT pg_terminate_backend(%s)", (notifier,))
    server.wait_for_worker(NOTIFIER, told_db, other_than=notifier, deadline=BACK_IN)


def test_pause_and_resume(server, told_db):
    server.sql(told_db, "SELECT observ.pause()")
    wait_until(lambda: gone(server, told_db), BACK_IN, "the notifier to end")
    server.sql(told_db, "SELECT observ.resume()")
    server.wait_for_worker(NOTIFIER, told_db, deadline=BACK_IN)


def test_observ_enabled_off(server, told_db):
    server.reload(**{"observ.enabled": "off"})
    wait_until(lambda: gone(server, told_db) and server.worker_pid(SCHEDULER, told_db) is None, BACK_IN, "both to end")
    server.reload(**{"observ.enabled": "on"})
    server.wait_for_worker(NOTIFIER, told_db, deadline=2 * BACK_IN)


def test_idle_it_has_nothing_open(server, told_db):
    """No transaction, no snapshot, no lock but the one that says that it is the notifier."""
    pid = server.worker_pid(NOTIFIER, told_db)
    wait_until(lambda: server.sql("postgres", "SELECT state, backend_xid, backend_xmin, xact_start FROM pg_stat_activity WHERE pid = %s", (pid,))
               == [("idle", None, None, None)], BACK_IN, "the notifier to be idle")
    assert server.sql("postgres", "SELECT locktype, mode FROM pg_locks WHERE pid = %s", (pid,)) == [("advisory", "ExclusiveLock")]


@pytest.mark.parametrize("force", ["", " WITH (FORCE)"])
def test_drop_database(server, force):
    for i in range(3):
        name = server.create_database(f"told{i}", extension=True)
        add_channel(server, name)
        server.wait_for_worker(NOTIFIER, name, deadline=BACK_IN)
        start = time.monotonic()
        server.sql("postgres", f"DROP DATABASE {name}{force}")
        assert time.monotonic() - start < 3


def test_drop_extension(server, told_db):
    start = time.monotonic()
    server.sql(told_db, "DROP EXTENSION observ CASCADE")
    assert time.monotonic() - start < 3
    wait_until(lambda: gone(server, told_db), BACK_IN, "the notifier to end")
    server.sql(told_db, "CREATE EXTENSION observ")
    add_channel(server, told_db)
    server.wait_for_worker(NOTIFIER, told_db, deadline=2 * BACK_IN)


def test_rename_of_its_database(server):
    name = server.create_database("renamed", extension=True)
    add_channel(server, name)
    server.wait_for_worker(NOTIFIER, name, deadline=BACK_IN)
    server.sql("postgres", f"ALTER DATABASE {name} RENAME TO renamed_again")
    server.wait_for_worker(NOTIFIER, "renamed_again", deadline=2 * BACK_IN)
    server.sql("postgres", "DROP DATABASE renamed_again")


def test_stop_workers(make_server):
    server = make_server(preload=False)
    db = server.create_database("later", extension=True)
    add_channel(server, db)
    server.sql(db, "SELECT observ.start_workers()")
    server.wait_for_worker(NOTIFIER, db, deadline=2 * BACK_IN)
    assert server.value(db, "SELECT observ.stop_workers()")
    assert gone(server, db) and server.worker_pid(SCHEDULER, db) is None


def test_no_free_slot(make_server):
    """One log line and a word in observ.status(); a slot that becomes free is taken."""
    server = make_server(settings={"max_worker_processes": "4", "max_parallel_workers": "0"})
    first, second = (server.create_database(name, extension=True) for name in ("first", "second"))
    for db in (first, second):
        server.wait_for_worker(SCHEDULER, db)
        server.wait_for_jobs(db)
    add_channel(server, second)
    wait_until(lambda: "no background worker slot is free for the notifier" in server.log_text(), BACK_IN, "the complaint")
    state, reason = server.sql(second, "SELECT state, reason FROM observ.status()")[0]
    assert state == "running" and "notifier" in reason
    server.drop_database(first)
    server.wait_for_worker(NOTIFIER, second, deadline=90)
    assert server.log_text().count("no background worker slot is free for the notifier") == 1
    assert server.value(second, "SELECT reason FROM observ.status()") is None


def test_it_survives_signals_that_are_not_for_it(server, told_db):
    """A cancel between two steps, reloads: it goes on."""
    pid = server.worker_pid(NOTIFIER, told_db)
    for _ in range(5):
        assert server.value(told_db, "SELECT pg_cancel_backend(%s)", (pid,))
        server.reload()
        os.kill(pid, signal.SIGUSR1)
    server.sql(told_db, "SELECT pg_log_backend_memory_contexts(%s)", (pid,))
    wait_until(lambda: "observ deliveries" in server.log_text(), BACK_IN, "its answer in the log")
    assert server.worker_pid(NOTIFIER, told_db) == pid
