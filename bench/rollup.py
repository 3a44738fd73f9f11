"""Rollups and history: how fast raw rows are rolled up, beside plain SQL over the same rows, and how fast a chart is answered.

What belongs here: sizes, what is compared. What does not: making rows (build/bench/loader).

Every run rolls up the same rows from nothing: tables emptied, state reset, CHECKPOINT. The rows are those of the loader, 8 metrics each.
"""

import time

import report
import surroundings

AIM_ROWS_PER_S = 800000
AIM_LATE_MS = 5
AIM_HISTORY_MS = 5
COLUMNS = ("cpu_percent", "memory_percent", "memory_mb", "disk_percent", "disk_gb", "load_avg_1m", "load_avg_5m", "load_avg_15m")
RESET = ("TRUNCATE observ.metrics_5m, observ.metrics_1h, observ_data.rollup_dirty",
         "UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL",
         "CHECKPOINT")
BUCKET = "date_bin('5 minutes', timestamp, timestamptz '2000-01-01 00:00+00')"
AGGREGATES = ", ".join(f"count({c}), sum({c}), min({c}), max({c}), (array_agg({c} ORDER BY timestamp))[count(*)]" for c in COLUMNS)
PLAIN = ", ".join(f"count({c}), sum({c}), min({c}), max({c})" for c in COLUMNS)
DAY_US = 86400 * 1000000


def shapes(quick):
    """(title, VPSs, rows of each, seconds between them)"""
    if quick:
        return [("60 s", 20, 1440, 60)]
    return [("60 s", 2000, 1440, 60), ("10 s", 300, 8640, 10)]


class Day:
    """A database with a day of rows."""

    def __init__(self, context, found, server, shape):
        self.context, self.found = context, found
        self.title, self.vps, self.steps, self.step_s = shape
        self.db = server.create_database(f"rollup{self.step_s}", extension=True)
        self.conn = server.connect(self.db)
        now_us = int(time.time() * 1e6)
        surroundings.Loader(server, self.db).load("observ.vps_metrics", method="copy", one_copy=True, order="time", columns="classic", vps=self.vps,
                                                  steps=self.steps, step_s=self.step_s, start_us=now_us - now_us % DAY_US - DAY_US)
        self.conn.execute("VACUUM (ANALYZE) observ.vps_metrics")
        self.rows = self.conn.execute("SELECT count(*) FROM observ.vps_metrics").fetchone()[0]

    def roll_up(self):
        """Seconds of the passes until nothing is left to do, commits included; the rows written."""
        for statement in RESET:
            self.conn.execute(statement)
        seconds = written = read = 0
        while True:
            start = time.monotonic()
            status, rows, rows_written = self.conn.execute("SELECT status, rows_read, rows_written FROM observ.roll_up()").fetchone()
            seconds += time.monotonic() - start
            read, written = read + rows, written + rows_written
            if status != "more":
                break
        self.found.check(status == "ok" and read == self.rows, f"roll_up() said {status} and read {read} of {self.rows} rows")
        return seconds, written

    def timed(self, statement):
        """Seconds of a statement."""
        self.conn.execute("CHECKPOINT")
        start = time.monotonic()
        self.conn.execute(statement)
        return time.monotonic() - start

    def check(self):
        """The rolled-up rows say what SQL says of the raw ones."""
        differ = self.conn.execute(
            f"SELECT count(*) FROM (SELECT {BUCKET} AS b, vps_name, app_name, count(cpu_percent) AS n, min(cpu_percent)::float8 AS low, "
            "max(cpu_percent)::float8 AS high FROM observ.vps_metrics GROUP BY 1, 2, 3) r FULL JOIN (SELECT * FROM observ.vps_metrics_5m "
            "WHERE metric = 'cpu_percent') m ON (m.timestamp, m.vps_name, m.app_name) = (r.b, r.vps_name, r.app_name) "
            "WHERE (n, low, high) IS DISTINCT FROM (m.count, m.min, m.max)").fetchone()[0]
        self.found.check(differ == 0, f"{differ} of the rolled-up rows differ from what SQL says")

    def bytes_per_sample(self, table):
        """Size of a rolled-up table with its indexes over the raw samples in it."""
        size = self.conn.execute("SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree(%s) WHERE isleaf", (f"observ.{table}",)).fetchone()[0]
        rolled = self.conn.execute(f"SELECT sum(c.count), count(*) FROM observ.{table} m, observ_data._unpack_cells(m.cells) c").fetchone()
        return float(size) / float(rolled[0]), float(size) / float(rolled[1])

    def passes(self):
        """(ms of a pass with a late row, of one with nothing to do)"""
        late, idle = report.Series(), report.Series()
        for n in range(3 if self.context.quick else 15):
            self.conn.execute("INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) SELECT min(timestamp) + %s * interval '7 min' "
                              "+ interval '1 s', 'vps000007', 'app07', 50 FROM observ.vps_metrics WHERE vps_name = 'vps000007'", (n + 1,))
            for series, wanted in ((late, 1), (idle, 0)):
                start = time.monotonic()
                done = self.conn.execute("SELECT status, late_keys, recomputed FROM observ.roll_up()").fetchone()
                series.add((time.monotonic() - start) * 1000)
                self.found.check(done == ("ok", wanted, wanted), f"a pass with {wanted} late rows said {done}")
        return late, idle


def compare(day, runs):
    """Rows per second: rolled up, and by plain SQL."""
    took = {name: report.Series() for name in ("observ.roll_up(), 5 minutes and hours", "INSERT … SELECT date_bin, count, sum, min, max",
                                               "INSERT … SELECT date_bin, the same and last", "SELECT date_bin, count, sum, min, max, nothing stored")}
    names = list(took)
    key = "vps_name, app_name, bucket"
    day.conn.execute(f"CREATE TABLE plain AS SELECT {BUCKET} AS bucket, vps_name, app_name, {', '.join(f'0::bigint AS n{i}, 0::float8 AS s{i}, 0::real AS l{i}, 0::real AS h{i}' for i in range(8))} FROM observ.vps_metrics LIMIT 0")
    day.conn.execute(f"CREATE UNIQUE INDEX ON plain ({key})")
    day.conn.execute(f"CREATE TABLE with_last AS SELECT {BUCKET} AS bucket, vps_name, app_name, {', '.join(f'0::bigint AS n{i}, 0::float8 AS s{i}, 0::real AS l{i}, 0::real AS h{i}, 0::real AS e{i}' for i in range(8))} FROM observ.vps_metrics LIMIT 0")
    day.conn.execute(f"CREATE UNIQUE INDEX ON with_last ({key})")
    day.conn.execute("SET max_parallel_workers_per_gather = 0")
    select = f"SELECT {BUCKET}, vps_name, app_name, {{}} FROM observ.vps_metrics GROUP BY 1, 2, 3"
    for _ in range(runs):
        seconds, _ = day.roll_up()
        took[names[0]].add(day.rows / seconds)
        for name, table, columns in ((names[1], "plain", PLAIN), (names[2], "with_last", AGGREGATES)):
            day.conn.execute(f"TRUNCATE {table}")
            took[name].add(day.rows / day.timed(f"INSERT INTO {table} {select.format(columns)}"))
        took[names[3]].add(day.rows / day.timed(f"EXPLAIN (ANALYZE, TIMING OFF) {select.format(PLAIN)}"))
    return took


def charts(context, found, server):
    """Medians of observ.metrics_history(), inside the server."""
    vps = 5 if context.quick else 200
    db = server.create_database("charts", extension=True)
    table = found.table("observ.metrics_history() of one VPS, ms", ["range, metrics", "inside the server", "rows", "resolution"], [
        f"Execution time of EXPLAIN (ANALYZE, TIMING OFF), warm; 7 days of {vps} VPSs with a row a minute."])
    with server.connect(db) as conn:
        now_us = int(time.time() * 1e6)
        surroundings.Loader(server, db).load("observ.vps_metrics", method="copy", one_copy=True, order="time", columns="classic", vps=vps,
                                             steps=7 * 1440, step_s=60, start_us=now_us - 7 * DAY_US)
        while conn.execute("SELECT status FROM observ.roll_up()").fetchone() == ("more",):
            pass
        conn.execute("VACUUM (ANALYZE)")
        for span in ("1 hour", "24 hours", "7 days"):
            for what, metrics in (("cpu_percent", "ARRAY['cpu_percent']"), ("every column", "NULL")):
                query = f"SELECT * FROM observ.metrics_history('vps000003', 'app03', {metrics}, now() - interval '{span}', now())"
                took = report.Series()
                for _ in range(3 if context.quick else 20):
                    plan = conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}").fetchone()[0][0]
                    took.add(plan["Execution Time"])
                rows, resolution, samples = conn.execute(f"SELECT count(*), max(resolution)::text, sum(samples) FROM ({query}) q").fetchone()
                found.check(samples is not None and samples > 0, f"history of {span} has no samples")
                table.rows.append([f"{span}, {what}", took, f"{rows:,}", resolution])
                if span != "1 hour":
                    found.aim(f"history, {span}, {what}", took.median, AIM_HISTORY_MS, "ms")


def run(context, found):
    """All shapes."""
    speed = found.table("Rows rolled up per second", ["rows every, VPSs: how", "rows/s", "of observ.roll_up()"], [
        "One session, no parallel workers, commits included; 8 metrics a row. roll_up() also writes hours, weighted sums, and what late rows need."])
    size = found.table("Size, with indexes", ["rows every, table", "bytes per raw sample", "bytes per rolled-up metric"])
    passes = found.table("One pass, ms", ["rows every", "with a late row of one VPS", "with nothing to do"], ["Until the client has the answer."])
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as server:
        for shape in shapes(context.quick):
            context.say(f"rollup: rows every {shape[0]}")
            day = Day(context, found, server, shape)
            took = compare(day, 1 if context.quick else 3)
            ours = next(iter(took.values()))
            for name, series in took.items():
                speed.rows.append([f"{shape[0]}, {day.vps:,}: {name}", series, f"{report.number(series.median / ours.median)}×"])
            day.check()
            for table in ("metrics_5m", "metrics_1h"):
                size.rows.append([f"{shape[0]}, {table}", *day.bytes_per_sample(table)])
            late, idle = day.passes()
            passes.rows.append([shape[0], late, idle])
            found.aim(f"rollup, rows every {shape[0]}", ours.median, AIM_ROWS_PER_S, "rows/s", at_most=False)
            found.aim(f"rollup, a late row, rows every {shape[0]}", late.median, AIM_LATE_MS, "ms")
            day.conn.close()
            server.drop_database(day.db)
        context.say("rollup: charts")
        charts(context, found, server)
