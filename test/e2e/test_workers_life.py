"""Workers start, die and come back: items 16, 18-23, 42 and 43 of the checklist."""

import os
import signal
import time

import psycopg
import pytest

import harness
from harness import process_alive, wait_until

SERVER = {"settings": {"observ.refresh_fleet_summary_interval": "1s", "observ.evaluation_interval": "15s", "observ.dispatch_interval": "5s"}}
LAUNCHER, SCHEDULER = "observ launcher", "observ scheduler"
BACK_IN = 10


def runs(server, db, job="refresh_fleet_summary"):
    return server.value(db, "SELECT runs - errors - retries FROM observ.job_runs WHERE job_name = %s", (job,)) or 0


def wait_for_runs(server, db, more=2, deadline=30):
    """Waits until the refresh job has run `more` times from now on."""
    target = runs(server, db) + more
    wait_until(lambda: runs(server, db) >= target, deadline, f"{more} more runs in {db}",
               retry_on=psycopg.OperationalError)


def test_launcher_and_scheduler_show_themselves(server, observ_db):
    """Item 16: the static launcher is there after start, without a database; the scheduler in each armed one."""
    launcher = server.wait_for_worker(LAUNCHER)
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    row = server.sql(observ_db, "SELECT state, launcher_pid, scheduler_pid FROM observ.status()")[0]
    assert row == ("running", launcher, scheduler)
    assert server.value("postgres", "SELECT datname FROM pg_stat_activity WHERE pid = %s", (launcher,)) is None
    server.wait_for_jobs(observ_db)
    wait_until(lambda: server.sql(observ_db, "SELECT DISTINCT state FROM observ.job_status") == [("ok",)], 10, "every job to be well")


@pytest.mark.parametrize("worker", [LAUNCHER, SCHEDULER])
def test_terminated_worker_comes_back(server, observ_db, worker):
    """Item 18: pg_terminate_backend on either; back within 10 s, and work goes on."""
    db = observ_db if worker == SCHEDULER else None
    server.wait_for_worker(SCHEDULER, observ_db)
    pid = server.wait_for_worker(worker, db)
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
    server.wait_for_worker(worker, db, other_than=pid, deadline=BACK_IN)
    wait_for_runs(server, observ_db)


def test_launcher_that_came_back_minds_the_schedulers_of_the_old_one(server, observ_db):
    """Item 23 (level, not edge): a scheduler started by a launcher that is gone is replaced when it ends."""
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    launcher = server.wait_for_worker(LAUNCHER)
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (launcher,))
    server.wait_for_worker(LAUNCHER, other_than=launcher, deadline=BACK_IN)
    wait_for_runs(server, observ_db)
    assert server.processes(SCHEDULER) == [(scheduler, SCHEDULER, observ_db)]
    server.sql("postgres", "SELECT pg_terminate_backend(%s)", (scheduler,))
    server.wait_for_worker(SCHEDULER, observ_db, other_than=scheduler, deadline=BACK_IN)


def test_cancel_of_an_idle_scheduler_is_ignored(server, observ_db):
    """Item 17: a cancel meant for a job that has ended must not end the scheduler."""
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    for _ in range(20):
        server.sql("postgres", "SELECT pg_cancel_backend(%s)", (scheduler,))
    wait_for_runs(server, observ_db)
    assert server.worker_pid(SCHEDULER, observ_db) == scheduler


def test_kill9_of_scheduler_backend_and_postmaster(make_server):
    """Items 19 and 20: kill -9 on scheduler, launcher, a backend and the postmaster; workers come back, jobs go on."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    for victim in ("scheduler", "launcher", "backend", "postmaster"):
        old = server.wait_for_worker(SCHEDULER, db)
        wait_for_runs(server, db)
        if victim == "postmaster":
            workers = [pid for kind in (LAUNCHER, SCHEDULER) for pid, _, _ in server.processes(kind)]
            server.kill9_postmaster()
            assert not [pid for pid in workers if process_alive(pid)]
            server.start()
        elif victim == "backend":
            with server.connect() as conn:
                server.kill9_backend(conn.info.backend_pid)
        else:
            server.kill9_backend(old if victim == "scheduler" else server.wait_for_worker(LAUNCHER))
        server.wait_for_worker(SCHEDULER, db, other_than=old, deadline=BACK_IN)
        wait_for_runs(server, db)
    assert server.value(db, "SELECT bool_and(state IN ('ok', 'running')) FROM observ.job_status")


def test_workers_die_within_a_second_of_the_postmaster(make_server):
    """Item 20."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    workers = [server.wait_for_worker(LAUNCHER), server.wait_for_worker(SCHEDULER, db)]
    server.process.kill()
    server.process.wait()
    wait_until(lambda: not [pid for pid in workers if process_alive(pid)], 1, "the workers to leave")
    server.kill9_postmaster()


@pytest.mark.parametrize("settings", [{}, {"synchronous_standby_names": "'nobody'"}])
def test_fast_shutdown(make_server, settings):
    """Items 21 and 22: fast shutdown within 2 s, also when a synchronous standby never answers."""
    server = make_server(settings={**SERVER["settings"]})
    db = server.create_database("d", extension=True)
    server.wait_for_worker(SCHEDULER, db)
    server.reload(**settings)
    wait_for_runs(server, db, 3)
    start = time.monotonic()
    server.stop("fast")
    assert time.monotonic() - start < 2
    server.settings.pop("synchronous_standby_names", None)
    server.start()
    wait_for_runs(server, db)
    assert server.value(db, "SELECT sum(crashes) FROM observ.job_runs") == 0


def test_smart_shutdown_waits_for_nobody(make_server):
    """Item 21: workers do not hold up a smart shutdown."""
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    server.wait_for_worker(SCHEDULER, db)
    server.stop("smart", deadline=5)


def test_no_free_worker_slot(make_server):
    """Item 23: max_worker_processes is used up by the launcher: said once, and all is well after raising it."""
    server = make_server(settings={**SERVER["settings"], "max_worker_processes": "2"})
    # One slot for the logical replication launcher, one for ours.
    db = server.create_database("d", extension=True)
    hint = "Raise max_worker_processes"
    server.wait_for_log(hint)
    assert server.value(db, "SELECT state FROM observ.status()") == "no workers"
    launcher = server.wait_for_worker(LAUNCHER)
    time_of_attempts = 4
    end = time.monotonic() + time_of_attempts
    wait_until(lambda: time.monotonic() > end, time_of_attempts + 1, "some more attempts")
    assert server.log_text().count(hint) == 1
    assert server.worker_pid(LAUNCHER) == launcher
    server.restart(max_worker_processes="3")
    # Now the scanner finds a slot, leaves it, and the scheduler takes it.
    server.wait_for_worker(SCHEDULER, db, deadline=BACK_IN)
    wait_for_runs(server, db)
    server.restart(max_worker_processes="32")
    wait_for_runs(server, db)


def test_slot_that_becomes_free_is_taken(make_server):
    """Item 23: no restart is needed when another worker leaves its slot."""
    server = make_server(settings={**SERVER["settings"], "max_worker_processes": "4"})
    # Slots: logical replication launcher, ours, and two schedulers; none is left for the scanner.
    first, second, third = (server.create_database(name, extension=True) for name in ("a", "b", "c"))
    for db in (first, second):
        server.wait_for_worker(SCHEDULER, db)
    server.wait_for_log("observ can't find out which databases are armed")
    server.sql(first, "SELECT observ.pause()")
    server.wait_for_worker(SCHEDULER, third, deadline=45)
    wait_until(lambda: server.worker_pid(SCHEDULER, first) is None, BACK_IN, "the paused scheduler to leave")


def test_standby_and_promotion(make_server):
    """Items 42 and 43: no workers on a standby and reads work; after promotion they are there within 10 s."""
    primary = make_server(settings={**SERVER["settings"], "wal_level": "replica"})
    db = primary.create_database("d", extension=True)
    primary.sql(db, "INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) VALUES (now(), 'v', 'a', 1)")
    wait_for_runs(primary, db)
    standby = primary.base_backup()
    try:
        standby.start()
        primary.wait_for_replay(standby)
        assert not standby.processes(LAUNCHER) and not standby.processes(SCHEDULER)
        assert standby.value(db, "SELECT state FROM observ.status()") == "standby"
        assert standby.sql(db, "SELECT job_name FROM observ.job_status") != []
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no workers on a standby"):
            standby.sql(db, "SELECT observ.start_workers()")
        primary.stop("immediate")
        standby.promote()
        standby.wait_for_worker(SCHEDULER, db, deadline=BACK_IN)
        wait_for_runs(standby, db)
    finally:
        standby.destroy()


def test_stopped_scheduler_holds_up_nobody(server, observ_db):
    """Item 25 in the worst case: a scheduler that can't react (SIGSTOP) delays only its own database's commands."""
    scheduler = server.wait_for_worker(SCHEDULER, observ_db)
    os.kill(scheduler, signal.SIGSTOP)
    try:
        with server.connect() as conn:
            conn.execute("CREATE TABLE beside (n int)")
            conn.execute("DROP TABLE beside")
    finally:
        os.kill(scheduler, signal.SIGCONT)
    wait_for_runs(server, observ_db)
    assert harness.process_alive(scheduler)
