"""Retention: how long a day of rows takes to go, what writers notice of it, and whether many partitions slow anything down.

What belongs here: dropping beside writers and pg_dump, DELETE as the naive way, 30 partitions beside 400. What does not: ingest
itself (ingest.py), the summary at other sizes (summary.py).

The day lies 100 days back and is made inside the server, the same rows every time. A writer inserts single rows of now over and over
through the whole measurement; its times are those of a client that waits for each answer.
"""

import contextlib
import subprocess
import time

import report
import summary
import surroundings

harness = surroundings.harness

AIM_S = 1
AIM_P99_MS = 200
AIM_RATIO = 1.5
DAY = "(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '100 days')"
MAKE_DAY = ("INSERT INTO {table} (timestamp, vps_name, app_name, cpu_percent, memory_percent, memory_mb, disk_percent, disk_gb, "
            "load_avg_1m, load_avg_5m, load_avg_15m) SELECT " + DAY + " + s * interval '60 s', 'vps' || to_char(v, 'FM000000'), 'app', "
            "(v * 7 + s * 3) %% 1000 / 10.0, (v + s) %% 1000 / 10.0, v %% 8000, 50 + v %% 50, 20, (v + s) %% 40 / 10.0, 1, 1 "
            "FROM generate_series(0, 1439) s, generate_series(1, %s) v")
VISIBLE = f"SELECT EXISTS (SELECT 1 FROM observ.vps_metrics WHERE timestamp >= {DAY} AND timestamp < {DAY} + interval '1 day')"
STORED = f"SELECT to_regclass('observ_data.vps_metrics_' || to_char({DAY} AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL"
WRITE = "INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES (clock_timestamp(), 'writer', 1) RETURNING 1"
PASSES = 5
READS = 20


def make_day(conn, vps):
    """A full day 100 days back, which no policy lets go yet; its rows."""
    conn.execute("UPDATE observ.retention_policies SET enabled = false")
    conn.execute("SELECT observ.maintain_partitions(now() - interval '100 days')")
    conn.execute(MAKE_DAY.format(table="observ.vps_metrics"), (vps,))
    # Only the day itself: its empty neighbours would be counted in.
    for name, in conn.execute("SELECT c.oid::regclass::text FROM observ_data._partitions() p JOIN pg_class c ON c.oid = p.relid "
                              f"WHERE p.\"to\" < now() - interval '90 days' AND NOT (p.table_name = 'vps_metrics' AND p.\"from\" = {DAY})").fetchall():
        conn.execute(f"DROP TABLE {name}")
    conn.execute("VACUUM (ANALYZE) observ.vps_metrics")
    conn.execute("CHECKPOINT")
    return vps * 1440


def drop_alone(found, one, db, loader, rows):
    """Nobody reads: one call of observ.apply_retention(), commit included."""
    with one.connect(db) as conn, loader.probe(WRITE) as writer:
        conn.execute("UPDATE observ.retention_policies SET enabled = true")
        start = time.monotonic()
        done = conn.execute("SELECT status, dropped, freed_bytes FROM observ.apply_retention()").fetchone()
        seconds = time.monotonic() - start
        found.check(done[:2] == ("ok", 1), f"retention beside a writer said {done}")
        found.check(not conn.execute(VISIBLE).fetchone()[0] and not conn.execute(STORED).fetchone()[0], "the day is still there")
    return [f"{rows:,} rows, nobody reads", seconds, seconds, writer["p50_ms"], writer["p99_ms"], writer["max_ms"], done[2] / 2**20]


@contextlib.contextmanager
def dump(one, db, small):
    """A pg_dump that has its locks and is at work; ended when the block ends, if it still runs. Of few rows: one whose output nobody takes."""
    with subprocess.Popen([str(one.installation.program("pg_dump")), "-d", one.conninfo(db)], env=harness.clean_environment(),
                          stdout=subprocess.PIPE if small else subprocess.DEVNULL) as process:
        harness.wait_until(lambda: one.value(db, "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'pg_dump' "
                                                 "AND l.relation = 'observ.vps_metrics'::regclass") > 0, 60, "pg_dump to hold its locks", interval=0.005)
        try:
            yield process
        finally:
            process.terminate()


def drop_beside_dump(found, one, db, loader, rows):
    """pg_dump has the table locked: the scheduler hides the day at once, and drops it when pg_dump has ended."""
    size = one.value(db, f"SELECT pg_total_relation_size(relid) FROM observ_data._partitions() WHERE table_name = 'vps_metrics' AND \"from\" = {DAY}")
    with loader.probe(WRITE) as writer:
        with one.connect(db) as conn, dump(one, db, rows < 1000000) as dumping:
            conn.execute("UPDATE observ.retention_policies SET enabled = true")
            start = time.monotonic()
            one.reload(**{"observ.apply_retention_interval": "1"})
            harness.wait_until(lambda: not conn.execute(VISIBLE).fetchone()[0], 60, "the day to be hidden", interval=0.01)
            hidden = time.monotonic() - start
            found.check(dumping.poll() is None, "pg_dump had ended before the day was hidden: too few rows to measure")
        start = time.monotonic()
        harness.wait_until(lambda: not one.value(db, STORED), 120, "the day to be dropped", interval=0.01)
        dropped = time.monotonic() - start
        one.reload(**{"observ.apply_retention_interval": "0"})
    return [f"{rows:,} rows, pg_dump has them locked", hidden, dropped, writer["p50_ms"], writer["p99_ms"], writer["max_ms"], size / 2**20]


def delete_naively(conn, vps):
    """The same rows in a copy, by DELETE and VACUUM; seconds of each."""
    conn.execute("CREATE TABLE public.copy (LIKE observ.vps_metrics INCLUDING DEFAULTS INCLUDING INDEXES)")
    conn.execute(MAKE_DAY.format(table="public.copy").replace("(timestamp", "(id, timestamp").replace("SELECT " + DAY, "SELECT 1, " + DAY), (vps,))
    conn.execute("VACUUM (ANALYZE) public.copy")
    conn.execute("CHECKPOINT")
    start = time.monotonic()
    conn.execute(f"DELETE FROM public.copy WHERE timestamp < {DAY} + interval '1 day'")
    deleted = time.monotonic() - start
    conn.execute("VACUUM public.copy")
    vacuumed = time.monotonic() - start - deleted
    conn.execute("DROP TABLE public.copy")
    return deleted, vacuumed


def dropping(context, found):
    """The table of drops."""
    vps = 140 if context.quick else 6945
    naive_vps = 140 if context.quick else 695
    table = found.table("A day of observ.vps_metrics goes, beside a writer of single rows; aims 1 s, and 200 ms for the writer's p99", [
        "day", "rows invisible after, s", "space free after, s", "INSERT p50, ms", "p99", "max", "MB freed"], [
        "With pg_dump: first figure from the moment the policy lets the day go, second from the end of pg_dump; the scheduler does both "
        "(it tries again after 1, 2, 4 … s)."])
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as one:
        db = one.create_database("bench", extension=True)
        one.wait_for_worker("observ scheduler", db)
        loader = surroundings.Loader(one, db)
        with one.connect(db) as conn:
            for measure in (drop_alone, drop_beside_dump):
                context.say(f"retention: a day of {vps * 1440:,} rows")
                table.rows.append(measure(found, one, db, loader, make_day(conn, vps)))
            found.aim("retention, a day drops", table.rows[0][1], AIM_S, "s")
            found.aim("retention, INSERT p99 beside it", table.rows[0][4], AIM_P99_MS, "ms")
            found.aim("retention, INSERT p99 beside it and pg_dump", table.rows[1][4], AIM_P99_MS, "ms")
            context.say("retention: DELETE")
            deleted, vacuumed = delete_naively(conn, naive_vps)
            table.notes.append(f"The naive way: DELETE of {naive_vps * 1440:,} such rows from a plain copy takes {report.number(deleted)} s, "
                               f"and VACUUM another {report.number(vacuumed)} s before the space can be used again.")


def time_all(fleet, search):
    """Medians in ms of a refresh with new rows, of reading the summary, and of a search where there is one."""
    refresh, read, found = report.Series(), report.Series(), report.Series()
    fleet.arrive()
    fleet.refresh()
    for _ in range(PASSES):
        fleet.arrive()
        refresh.add(fleet.refresh()["commit"])
    for series, query in ((read, "SELECT * FROM observ.fleet_summary()"), (found, search)):
        for turn in range(READS + 1 if query else 0):
            start = time.monotonic()
            fleet.conn.execute(query).fetchall()
            if turn > 0:
                series.add((time.monotonic() - start) * 1000)
    return refresh, read, found


def many_partitions(context, found):
    """30 and 400 partitions of each raw table, in one database."""
    most = 120 if context.quick else 400
    # As many VPSs as partitions of 6 h, and so 400 of them, are meant for.
    size = 1000 if context.quick else 10000
    table = found.table(f"Many partitions per raw table, {size:,} VPSs, ms; aim: not more than 1.5 times as long", [
        "", "30 partitions", f"{most} partitions", "ratio"])
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as one:
        fleet = summary.Fleet(context, found, one, size)
        context.say("retention: 30 partitions")
        fleet.load_history()
        fleet.conn.execute("UPDATE observ.retention_policies SET max_age = NULL")
        fleet.conn.execute("INSERT INTO observ.log_entries (timestamp, vps_name, message) SELECT now() - n * interval '1 s', 'vps' || n %% 100, "
                           "'request ' || n || CASE WHEN n %% 100 = 0 THEN ' failed' ELSE ' served' END FROM generate_series(1, %s) n", (20000,))
        search = None
        if fleet.conn.execute("SELECT count(*) FROM pg_proc WHERE proname = 'search_logs' AND pronamespace = 'observ'::regnamespace").fetchone()[0]:
            search = "SELECT * FROM observ.search_logs('failed')"
        times = []
        for count in (30, most):
            for back in range(15, count, 15):
                fleet.conn.execute("SELECT observ.maintain_partitions(date_trunc('day', now()) - %s * interval '1 day')", (back,))
            there = fleet.conn.execute("SELECT count(*) FROM observ_data._partitions() WHERE table_name = 'vps_metrics'").fetchone()[0]
            found.check(abs(there - count) <= 15, f"{there} partitions instead of {count}")
            context.say(f"retention: {there} partitions")
            times.append(time_all(fleet, search))
    for name, few, many in zip(("refresh of the summary, new row of every VPS", "read of the summary", "observ.search_logs(), newest with a word"), *times):
        if few.values:
            ratio = many.median / few.median
            table.rows.append([name, few, many, f"{report.number(ratio)}×"])
            found.aim(f"retention, {most} partitions: {name}", ratio, AIM_RATIO, "times")


def run(context, found):
    """Both halves."""
    dropping(context, found)
    many_partitions(context, found)
