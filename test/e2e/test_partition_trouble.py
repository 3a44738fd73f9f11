"""Making partitions when something is in the way: whatever it is, rows of now are taken, others are made, and the next pass repairs."""

import contextlib
import datetime
import os
import subprocess
import threading

import psycopg
import pytest

import harness
from harness import wait_until

# No job of the workers in between: each pass is this test's own.
SERVER = {"preload": False, "settings": {"max_locks_per_transaction": "64"}}
AHEAD = datetime.timedelta(days=12)


def leaves(server, db, table):
    return {name for name, in server.sql(db, "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                                             f"WHERE inhparent = 'observ.{table}'::regclass")}


def maintain(server, db, at="now() + interval '12 days'", before=(), user="postgres"):
    """One pass in a session of its own: ((status, created, failed), warnings)."""
    said = []
    with server.connect(db, user) as conn:
        conn.add_notice_handler(lambda d: said.append((d.sqlstate, d.message_primary)) if d.severity == "WARNING" else None)
        for statement in before:
            conn.execute(statement)
        return conn.execute(f"SELECT status, created, failed FROM observ.maintain_partitions({at})").fetchone(), said


def check_repaired(server, db):
    """The next pass makes what is missing, and nothing overlaps or is without its indexes."""
    (status, _, failed), said = maintain(server, db)
    assert (status, failed, said) == ("ok", 0, [])
    assert maintain(server, db)[0] == ("ok", 0, 0)
    assert server.value(db, "SELECT partitions_ahead FROM observ.status()") >= AHEAD
    assert server.sql(db, "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid") == []
    for table in ("vps_metrics", "health_checks", "log_entries", "events"):
        per_leaf = server.sql(db, f"SELECT DISTINCT count(x.indexrelid) FROM pg_inherits i LEFT JOIN pg_index x ON x.indrelid = i.inhrelid "
                                  f"WHERE i.inhparent = 'observ.{table}'::regclass GROUP BY i.inhrelid")
        assert len(per_leaf) == 1
        columns = {"health_checks": ", url, success", "log_entries": ", message", "events": ", kind"}.get(table, "")
        values = {"health_checks": ", 'u', true", "log_entries": ", 'm'", "events": ", 'k'"}.get(table, "")
        server.sql(db, f"INSERT INTO observ.{table} (timestamp, vps_name{columns}) SELECT now() + n * interval '1 day', 'r'{values} "
                       "FROM generate_series(-6, 11) n")


@contextlib.contextmanager
def held(server, db, statement):
    """Another session that runs the statement and keeps its transaction open."""
    with server.connect(db, autocommit=False) as conn:
        conn.execute(statement)
        yield conn
        conn.rollback()


@pytest.mark.parametrize("mode", ["SHARE UPDATE EXCLUSIVE", "ACCESS EXCLUSIVE"])
def test_a_locked_table_does_not_keep_others_from_their_partitions(server, observ_db, mode):
    before = {table: leaves(server, observ_db, table) for table in ("health_checks", "log_entries", "events")}
    with held(server, observ_db, f"LOCK TABLE observ.health_checks IN {mode} MODE"):
        (status, created, failed), said = maintain(server, observ_db, before=["SET lock_timeout = '100ms'"])
        assert status == "failed" and failed >= 1 and created > 0
        assert {state for state, _ in said} == {"55P03"} and all("observ.health_checks" in text for _, text in said)
    assert leaves(server, observ_db, "health_checks") == before["health_checks"]
    assert leaves(server, observ_db, "log_entries") > before["log_entries"]
    check_repaired(server, observ_db)


def test_readers_and_writers_are_not_in_the_way_and_do_not_wait(server, observ_db):
    """LIKE and ATTACH: a long report and an open write transaction go on, and so does maintenance."""
    with held(server, observ_db, "SELECT count(*) FROM observ.vps_metrics") as reader, \
            held(server, observ_db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('open')") as writer:
        (status, created, _), said = maintain(server, observ_db, before=["SET lock_timeout = '100ms'"])
        assert (status, said) == ("ok", []) and created > 0
        reader.execute("SELECT count(*) FROM observ.vps_metrics")
        writer.execute("INSERT INTO observ.vps_metrics (timestamp, vps_name) VALUES (now() + interval '11 days', 'open')")
    with held(server, observ_db, "SELECT observ.maintain_partitions(now() + interval '14 days')"):
        with server.connect(observ_db) as conn:
            conn.execute("SET lock_timeout = '100ms'")
            conn.execute("INSERT INTO observ.vps_metrics (vps_name) VALUES ('meanwhile')")
            conn.execute("SELECT count(*) FROM observ.vps_metrics")
            assert conn.execute("SELECT status FROM observ.maintain_partitions(now() + interval '14 days')").fetchone() == ("busy",)


def next_name(server, db, table="vps_metrics", days=12):
    """Name of the leaf that the day so many days ahead gets."""
    return f"{table}_" + server.value(db, "SELECT to_char((now() + %s * interval '1 day') AT TIME ZONE 'UTC', 'YYYYMMDD')", (days,))


@pytest.mark.parametrize("squatter", [
    "CREATE VIEW observ_data.{0} AS SELECT 1 AS one", "CREATE SEQUENCE observ_data.{0}", "CREATE TYPE observ_data.{0} AS (n int)",
    "CREATE TABLE observ_data.{0} (something_else text)", "CREATE TABLE observ_data.{0} (LIKE observ.health_checks)",
    "CREATE INDEX {0} ON observ_data.health_latest (checked_at)"])
def test_a_taken_name_is_stepped_around(server, observ_db, squatter):
    name = next_name(server, observ_db)
    server.sql(observ_db, squatter.format(name))
    kind = server.value(observ_db, "SELECT relkind FROM pg_class WHERE relname = %s", (name,))
    (status, created, failed), _ = maintain(server, observ_db)
    assert (status, failed) == ("ok", 0) and created > 0
    assert f"{name}_1" in leaves(server, observ_db, "vps_metrics")
    assert server.value(observ_db, "SELECT relkind FROM pg_class WHERE relname = %s", (name,)) == kind, "what was there stays"
    check_repaired(server, observ_db)


def test_ten_taken_names_are_an_error_that_says_so_and_others_are_made(server, observ_db):
    name = next_name(server, observ_db)
    for suffix in ("", *(f"_{n}" for n in range(1, 10))):
        server.sql(observ_db, f"CREATE VIEW observ_data.{name}{suffix} AS SELECT 1 AS one")
    (status, created, failed), said = maintain(server, observ_db)
    assert (status, failed) == ("failed", 1) and created > 0
    assert any("no free name" in text for _, text in said)
    for suffix in ("", *(f"_{n}" for n in range(1, 10))):
        server.sql(observ_db, f"DROP VIEW observ_data.{name}{suffix}")
    check_repaired(server, observ_db)


def test_a_detached_partition_is_taken_back_with_its_rows(server, observ_db):
    name = next_name(server, observ_db, days=3)
    at = "date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '3 days 1 hour'"
    server.sql(observ_db, f"INSERT INTO observ.vps_metrics (timestamp, vps_name) VALUES ({at}, 'kept')")
    server.sql(observ_db, f"ALTER TABLE observ.vps_metrics DETACH PARTITION observ_data.{name}")
    assert server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics") == 0
    assert maintain(server, observ_db, at="now()")[0][0] == "ok"
    assert server.sql(observ_db, "SELECT vps_name, tableoid::regclass::text FROM observ.vps_metrics") == [("kept", f"observ_data.{name}")]
    check_repaired(server, observ_db)


@pytest.mark.parametrize("spoil", [
    "UPDATE observ_data.{0} SET timestamp = '1999-01-01'",
    "ALTER TABLE observ_data.{0} DROP COLUMN cpu_percent",
    "ALTER TABLE observ_data.{0} ALTER vps_name DROP NOT NULL",
    "ALTER TABLE observ_data.{0} OWNER TO postgres",
    "DROP INDEX observ_data.{0}_vps_name_app_name_timestamp_idx; INSERT INTO observ_data.{0} SELECT * FROM observ_data.{0}"])
def test_an_orphan_that_does_not_fit_keeps_its_rows_and_not_its_place(server, observ_db, spoil):
    name = next_name(server, observ_db, days=3)
    at = "date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '3 days 1 hour'"
    server.sql(observ_db, f"INSERT INTO observ.vps_metrics (timestamp, vps_name) VALUES ({at}, 'kept')")
    server.psql(observ_db, script=f"ALTER TABLE observ.vps_metrics DETACH PARTITION observ_data.{name}; {spoil.format(name)};")
    rows = server.value(observ_db, f"SELECT count(*) FROM observ_data.{name}")
    (status, _, failed), said = maintain(server, observ_db, at="now()")
    assert (status, failed) == ("ok", 0)
    assert said and "observ.vps_metrics" in said[0][1], "the orphan is reported"
    assert f"{name}_1" in leaves(server, observ_db, "vps_metrics")
    assert server.value(observ_db, f"SELECT count(*) FROM observ_data.{name}") == rows
    server.sql(observ_db, f"INSERT INTO observ.vps_metrics (timestamp, vps_name) VALUES ({at}, 'new')")
    check_repaired(server, observ_db)


def test_the_lock_table_is_full(make_server):
    server = make_server(preload=False, settings={"max_locks_per_transaction": "64", "max_connections": "20", "max_prepared_transactions": "0"})
    db = server.create_database("locks", extension=True)
    before = leaves(server, db, "vps_metrics")
    with server.connect(db, autocommit=False) as hog:
        with pytest.raises(psycopg.errors.OutOfMemory):
            hog.execute("SAVEPOINT s")
            hog.execute("SELECT pg_advisory_lock(n) FROM generate_series(1, 100000) n")
        hog.execute("ROLLBACK TO s")
        # A few are free again, not enough for a day's partitions.
        hog.execute("SELECT pg_advisory_unlock(n) FROM generate_series(1, 60) n")
        result, said = maintain(server, db)
        assert result[0] == "failed" and result[2] > 0
        assert {state for state, _ in said} == {"53200"}
        # Rows of now are still taken.
        server.sql(db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")
    assert leaves(server, db, "vps_metrics") >= before
    check_repaired(server, db)


@pytest.fixture
def small_disk(server):
    """A file system of 12 MB as tablespace `small`; function fill(True) leaves no byte free, fill(False) gives it back."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    where = server.dir / "small"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", where], check=False).returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    space = where / "space"
    space.mkdir()
    harness.give_to_server(space)
    filler = where / "filler"

    def fill(full):
        filler.unlink(missing_ok=True)
        if full:
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)

    server.sql("postgres", f"CREATE TABLESPACE small LOCATION '{space}'")
    try:
        yield fill
    finally:
        fill(False)
        server.sql("postgres", "DROP DATABASE IF EXISTS small_db WITH (FORCE)")
        server.sql("postgres", "CHECKPOINT")
        server.sql("postgres", "DROP TABLESPACE small")
        subprocess.run(["umount", where], check=True)


def test_the_disk_is_full(server, small_disk):
    db = server.create_database("small_db", extension=True)
    before = leaves(server, db, "vps_metrics")
    server.sql("postgres", "GRANT CREATE ON TABLESPACE small TO observ_owner")
    small_disk(True)
    (status, created, failed), said = maintain(server, db, before=["SET default_tablespace = small"])
    assert (status, created) == ("failed", 0) and failed > 0
    assert {state for state, _ in said} == {"53100"}
    assert leaves(server, db, "vps_metrics") == before
    server.sql(db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")
    assert server.value(db, "SELECT accepted FROM observ.begin_batch('a', 1, now(), 'a')") is True
    small_disk(False)
    (status, created, failed), said = maintain(server, db, before=["SET default_tablespace = small"])
    assert (status, failed, said) == ("ok", 0, []) and created > 0
    check_repaired(server, db)


def test_a_batch_without_a_partition_for_now_is_kept_by_the_agent(server, observ_db):
    """Past the horizon an agent is told to keep its rows, with what to do; nothing goes to the quarantine."""
    server.sql(observ_db, "SELECT observ.pause()")
    for name in leaves(server, observ_db, "vps_metrics"):
        server.sql(observ_db, f"DROP TABLE observ_data.{name}")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        server.sql(observ_db, "SELECT * FROM observ.begin_batch('a', 1, now(), 'a')")
    server.sql(observ_db, "SELECT observ.resume()")
    assert server.value(observ_db, "SELECT accepted FROM observ.begin_batch('a', 1, now(), 'a')") is True
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")


def test_time_zones_and_daylight_saving_make_no_gaps(server, observ_db):
    """Bounds are UTC whatever the session's time zone: passes from all over the world, over a change of daylight saving, agree."""
    for zone in ("Pacific/Kiritimati", "America/St_Johns", "Australia/Lord_Howe", "Europe/Berlin", "America/New_York", "UTC"):
        result, said = maintain(server, observ_db, at="'2027-03-28 01:30:00+00'::timestamptz",
                                before=[f"SET TimeZone = '{zone}'", "SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = 'iso_8601'"])
        assert (result[0], result[2], said) == ("ok", 0, [])
    bounds = server.sql(observ_db, "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c WHERE relname LIKE 'vps_metrics_2027%' AND relispartition AND relkind = 'r' ORDER BY relname")
    assert len(bounds) == 15
    for (this,), (following,) in zip(bounds, bounds[1:]):
        assert "00:00:00+00" in this and this.split("TO ")[1] == following.split("FROM ")[1].split(" TO")[0]


def test_two_sessions_make_partitions_at_once(server, observ_db):
    """One does it, the other says busy; after both, all are there once."""
    results = []

    def run():
        results.append(maintain(server, observ_db)[0][0])

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "ok" in results and set(results) <= {"ok", "busy"}
    wait_until(lambda: maintain(server, observ_db)[0] == ("ok", 0, 0), 10, "nothing left to make")
    check_repaired(server, observ_db)
