"""A physical standby: what can be read there, what is refused and how, and that promotion brings the workers and the work back."""

import threading

import psycopg
import pytest

from harness import wait_until

SETTINGS = {"observ.refresh_fleet_summary_interval": "1", "max_locks_per_transaction": "128", "wal_receiver_status_interval": "1s",
            "hot_standby_feedback": "on"}
ROW = "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent, interval_ms) VALUES (%s, 'shop', %s, 60000)"


@pytest.fixture
def pair(make_server):
    """A primary with a working database `metrics`, and its started standby."""
    primary = make_server(name="primary", settings=SETTINGS)
    primary.create_database("metrics", extension=True)
    primary.sql("metrics", ROW, ("web-1", 10))
    wait_until(lambda: primary.sql("metrics", "SELECT vps_name FROM observ.fleet_summary()") == [("web-1",)], 30, "the first refresh")
    standby = primary.base_backup()
    standby.start()
    primary.wait_for_replay(standby)
    yield primary, standby
    standby.destroy()


READS = ["SELECT * FROM observ.fleet_summary()", "SELECT * FROM observ.fleet_summary", "SELECT * FROM observ.vps_metrics",
         "SELECT * FROM observ.vps", "SELECT * FROM observ.collectors", "SELECT * FROM observ.job_status", "SELECT observ.version()",
         "SELECT observ.layout_version()", "SELECT * FROM observ.status()", "SELECT * FROM observ.quarantine",
         "SELECT * FROM observ.retention_preview()", "SELECT * FROM observ.storage_report", "SELECT * FROM observ.storage_by_vps()"]
WRITES = ["SELECT * FROM observ.begin_batch('a', 1, now(), 'web-1')", "SELECT * FROM observ.resume()", "SELECT observ.pause()",
          "SELECT observ.enroll_vps('new')", "SELECT observ.boost('web-1')", "SELECT observ.forget('web-1')",
          "SELECT observ.reset_job('refresh_fleet_summary')", "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')",
          "CREATE EXTENSION observ"]


def test_reads_work_writes_are_refused_jobs_say_standby(pair):
    primary, standby = pair
    for query in READS:
        standby.sql("metrics", query)
    assert standby.sql("metrics", "SELECT vps_name, status, cpu_percent FROM observ.fleet_summary()") == [("web-1", "up", 10)]
    state, reason, launcher, scheduler = standby.sql("metrics", "SELECT state, reason, launcher_pid, scheduler_pid FROM observ.status()")[0]
    assert (state, launcher, scheduler) == ("standby", None, None) and "primary" in reason
    for job in ("maintain_partitions", "refresh_fleet_summary", "apply_retention"):
        assert standby.value("metrics", f"SELECT status FROM observ.{job}()") == "standby"
    for statement in WRITES:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused:
            standby.sql("metrics", statement)
        assert refused.value.sqlstate == "25006", statement
    assert [p for p in standby.processes() if p[1].startswith("observ")] == []
    # New rows of the primary become visible, status included.
    primary.sql("metrics", ROW, ("web-2", 20))
    wait_until(lambda: len(standby.sql("metrics", "SELECT 1 FROM observ.fleet_summary()")) == 2, 30, "the second VPS on the standby")


def test_start_workers_on_a_standby_changes_nothing(pair):
    _, standby = pair
    try:
        standby.sql("metrics", "SELECT observ.start_workers()")
    except psycopg.Error as error:
        assert error.sqlstate in ("25006", "55000", "55006"), error
    assert [p for p in standby.processes() if p[1] == "observ scheduler"] == []


def test_promotion_brings_the_workers_and_nothing_twice(pair):
    """While two writers insert, the primary dies and the standby is promoted: its workers start, the summary goes on."""
    primary, standby = pair
    acknowledged, stop = [], threading.Event()

    def write():
        number = 0
        with primary.connect("metrics") as conn:
            while not stop.is_set():
                number += 1
                try:
                    with conn.transaction():
                        conn.execute("SELECT * FROM observ.begin_batch('writer', %s, now(), 'web-3', 'shop')", (number,))
                        conn.execute(ROW, ("web-3", number % 100))
                except psycopg.OperationalError:
                    return
                acknowledged.append(number)

    # Synchronous: what was acknowledged must be on the standby.
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.sql("postgres", "SELECT pg_reload_conf()")
    wait_until(lambda: primary.value("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync", 30, "the standby to be synchronous")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(acknowledged) >= 20, 30, "twenty batches")
        primary.kill9_postmaster()
    finally:
        stop.set()
        writer.join(30)
    standby.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names")
    standby.promote()
    standby.wait_for_worker("observ launcher", deadline=10)
    standby.wait_for_worker("observ scheduler", "metrics", deadline=10)
    wait_until(lambda: standby.value("metrics", "SELECT state FROM observ.status()") == "running", 30, "the promoted server to work")
    count, distinct, last = standby.sql("metrics", "SELECT count(*), count(DISTINCT timestamp), (SELECT last_seq FROM observ.collectors "
                                        "WHERE agent_id = 'writer') FROM observ.vps_metrics WHERE vps_name = 'web-3'")[0]
    # The batch under way when the primary died may or may not be there; each that was acknowledged is, once.
    assert count == distinct == last and last in (len(acknowledged), len(acknowledged) + 1)
    # The agent, not having heard, sends its last batch again; it goes on from there.
    seq = acknowledged[-1] + 1
    with standby.connect("metrics") as conn, conn.transaction():
        accepted = conn.execute("SELECT accepted FROM observ.begin_batch('writer', %s, now(), 'web-3', 'shop')", (seq,)).fetchone()[0]
        assert accepted == (last < seq)
    standby.sql("metrics", ROW, ("after-failover", 99))
    wait_until(lambda: standby.sql("metrics", "SELECT cpu_percent, status FROM observ.fleet_summary() WHERE vps_name = 'after-failover'")
               == [(99, "up")], 30, "the summary of the promoted server")
    assert standby.sql("metrics", "SELECT vps_name, app_name FROM observ.fleet_summary GROUP BY 1, 2 HAVING count(*) > 1") == []
    assert standby.value("metrics", "SELECT status FROM observ.maintain_partitions(now() + '30 days')") in ("ok", "busy")


def test_a_clone_that_is_no_standby_works_unless_disabled(make_server):
    """A base backup started by itself has the identity of its source: observ.enabled is what tells it to keep still."""
    primary = make_server(name="source", settings=SETTINGS)
    primary.create_database("metrics", extension=True)
    clone = primary.base_backup(standby=False, settings={**SETTINGS, "shared_preload_libraries": "'observ'", "observ.enabled": "off"})
    try:
        clone.start()
        state, reason, hint = clone.sql("metrics", "SELECT state, reason, hint FROM observ.status()")[0]
        assert state == "paused" and "observ.enabled" in reason and "observ.enabled" in hint
        assert clone.value("metrics", "SELECT status FROM observ.refresh_fleet_summary()") == "paused"
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
            clone.sql("metrics", "SELECT * FROM observ.begin_batch('a', 1, now(), 'web-1')")
        assert "observ.enabled" in refused.value.diag.message_hint
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            clone.sql("metrics", "SELECT * FROM observ.resume()")
        assert [p for p in clone.processes() if p[1] == "observ scheduler"] == []
        clone.reload(**{"observ.enabled": "on"})
        clone.wait_for_worker("observ scheduler", "metrics")
    finally:
        clone.destroy()
