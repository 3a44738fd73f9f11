"""The fleet summary: how long a refresh takes and how long a read, beside the ways plain SQL has over the same rows.

What belongs here: sizes, passes, the compared queries. What does not: making rows (build/bench/loader).

A pass: one new row of every VPS arrives, then observ.refresh_fleet_summary(). Passes are at least 0.6 s apart, because a
pass looks again at what arrived in the half second before the last one; the job itself runs every 5 s.
"""

import re
import time

import report
import surroundings

harness = surroundings.harness

AIMS = {1000: (5, 1.5), 10000: (30, 10), 100000: (300, 100)}  # VPSs: refresh, read; ms
# Rows per VPS in the last hour; of 100,000 VPSs fewer, so that a run stays short.
HISTORY_STEPS = {1000: 60, 10000: 60, 100000: 12}
PAUSE_S = 0.6
COLUMNS = "cpu_percent, memory_percent, memory_mb, disk_percent, disk_gb, load_avg_1m, load_avg_5m, load_avg_15m"
PROBE = "SELECT cpu_percent FROM observ.fleet_summary WHERE vps_name = 'vps000007' AND app_name = 'app07'"
REFRESH = "SELECT status, inserted, updated, reconciled FROM observ.refresh_fleet_summary({})"


def readers(since):
    """The compared queries as (name, query, whether it reads the raw rows); each gives a row per VPS and application."""
    one_hour = f"\"timestamp\" > '{since}'"
    return [
        ("observ.fleet_summary()", "SELECT * FROM observ.fleet_summary()", False),
        ("its table alone, without status",
         f"SELECT vps_name, app_name, last_seen, {COLUMNS} FROM observ.fleet_summary", False),
        ("DISTINCT ON, last hour",
         f'SELECT DISTINCT ON (vps_name, app_name) vps_name, app_name, "timestamp", {COLUMNS} FROM observ.vps_metrics '
         f'WHERE {one_hour} ORDER BY vps_name, app_name, "timestamp" DESC', True),
        ("LATERAL … LIMIT 1 for known keys",
         "SELECT l.* FROM observ.fleet_summary k CROSS JOIN LATERAL "
         f'(SELECT m.vps_name, m.app_name, m."timestamp", {", ".join("m." + c for c in COLUMNS.split(", "))} '
         f"FROM observ.vps_metrics m WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.{one_hour} "
         'ORDER BY m."timestamp" DESC LIMIT 1) l', True),
    ]


class Fleet:
    """A database with a fleet of one size in it."""

    def __init__(self, context, found, server, size):
        self.context, self.found, self.server, self.size = context, found, server, size
        self.db = server.create_database(f"fleet{size}", extension=True)
        self.loader = surroundings.Loader(server, self.db)
        self.conn = server.connect(self.db)
        self.seed = 0
        self.last_pass = 0.0
        self.sent = None

    def check(self, right, what):
        """A failure unless right."""
        self.found.check(right, f"summary of {self.size} VPSs: {what}")

    def load_history(self):
        """An hour of rows, in the order in which a fleet sends them; returns its first timestamp."""
        steps = HISTORY_STEPS[self.size]
        start_us = int(time.time() * 1e6) - 3600 * 1000000
        self.loader.load("observ.vps_metrics", method="copy", one_copy=True, order="time", vps=self.size,
                         steps=steps, step_s=3600 // steps, start_us=start_us)
        self.conn.execute("VACUUM (ANALYZE) observ.vps_metrics")
        self.conn.execute("CHECKPOINT")
        return self.conn.execute('SELECT min("timestamp")::text FROM observ.vps_metrics').fetchone()[0]

    def arrive(self):
        """One new row of every VPS, through the ingest protocol."""
        self.seed += 1
        self.sent = self.loader.load("observ.vps_metrics", method="insert", format="text", order="time", vps=self.size,
                                     steps=1, batch=1000, seed=self.seed, first_seq=self.seed * 1000, begin_batch=True)
        self.check(self.sent["inserted"] == self.size, f"{self.sent['inserted']} new rows inserted")

    def refresh(self, arguments=""):
        """One pass: {"function", "commit": ms until each was answered, "inserted", "updated": rows, "reconciled"}."""
        harness.wait_until(lambda: time.monotonic() - self.last_pass >= PAUSE_S, 10, "the last pass to be past")
        start = time.monotonic()
        with self.conn.transaction():
            status, inserted, updated, reconciled = self.conn.execute(REFRESH.format(arguments)).fetchone()
            answered = time.monotonic()
        self.last_pass = time.monotonic()
        self.check(status == "ok", f"refresh said {status}")
        return {"function": (answered - start) * 1000, "commit": (self.last_pass - start) * 1000, "inserted": inserted,
                "updated": updated, "reconciled": reconciled}

    def check_summary(self):
        """The summary is what the last rows say."""
        differs = surroundings.same_sums(self.conn, "SELECT * FROM observ.fleet_summary()", self.sent["columns"])
        self.check(not differs, f"the summary differs from the last rows: {differs}")
        states = dict(self.conn.execute("SELECT status, count(*) FROM observ.fleet_summary() GROUP BY 1").fetchall())
        self.check(states == {"up": self.size}, f"states are {states}")

    def updates(self):
        """(updates, HOT updates) of the summary so far."""
        self.conn.execute("SELECT pg_stat_force_next_flush()")
        return self.conn.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
                                 "WHERE relid = 'observ.fleet_summary'::regclass").fetchone()


def passes(fleet, count):
    """Refreshes with new rows of every VPS, without, and a reconciling one: (figures by name, HOT share in percent)."""
    took = {name: report.Series() for name in ("first", "function", "commit", "nothing", "reconcile")}
    done = fleet.refresh()
    took["first"].add(done["commit"])
    fleet.check(done["inserted"] == fleet.size, f"the first refresh inserted {done['inserted']} rows")
    upd, hot = fleet.updates()
    while len(took["commit"].values) < count:
        fleet.arrive()
        done = fleet.refresh()
        fleet.check(done["updated"] == fleet.size, f"a refresh updated {done['updated']} rows")
        if not done["reconciled"]:
            took["function"].add(done["function"])
            took["commit"].add(done["commit"])
    fleet.check_summary()
    fleet.refresh()
    while len(took["nothing"].values) < count:
        done = fleet.refresh()
        changed = done["inserted"] + done["updated"]
        fleet.check(changed == 0, f"a refresh without new rows changed {changed} rows")
        if not done["reconciled"]:
            took["nothing"].add(done["commit"])
    took["reconcile"].add(fleet.refresh("reconcile => true")["commit"])
    wanted = upd + fleet.size * count
    harness.wait_until(lambda: fleet.updates()[0] >= wanted, 30, "the statistics of the updates")
    upd_after, hot_after = fleet.updates()
    return took, 100.0 * (hot_after - hot) / (upd_after - upd)


def blocked(fleet, count):
    """Longest answer to a reader of one row (ms): while nothing else runs, and while a refresh does."""
    quiet, busy = report.Series(), report.Series()
    for _ in range(count):
        fleet.arrive()
        with fleet.loader.probe(PROBE) as alone:
            end = time.monotonic() + PAUSE_S
            harness.wait_until(lambda: time.monotonic() >= end, 10, "the reader to have read alone")
        with fleet.loader.probe(PROBE) as beside:
            fleet.refresh()
        quiet.add(alone["max_ms"])
        busy.add(beside["max_ms"])
    return quiet, busy


def reads(fleet, queries, count):
    """Time of each query, by name: inside the server, and until a client has the result. The queries take turns."""
    inside = {name: report.Series() for name, _, _ in queries}
    whole = {name: report.Series() for name, _, _ in queries}
    few = count if fleet.size <= 1000 else max(3, count // 4)
    for name, query, _ in queries:
        rows = fleet.conn.execute(f"SELECT count(*) FROM ({query}) q").fetchone()[0]
        fleet.check(rows == fleet.size, f"{name} gave {rows} rows")
    for turn in range(count):
        for name, query, slow in queries:
            if turn < (few if slow else count):
                plan = fleet.conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}").fetchone()[0]
                inside[name].add(plan[0]["Execution Time"])
    for name, query, slow in queries:
        turns = few if slow else count
        out = fleet.server.psql(fleet.db, script="\\timing on\n" + f"{query} \\g /dev/null\n" * (turns + 1)).stdout
        times = [float(ms) for ms in re.findall(r"^Time: ([\d.]+) ms", out, re.M)]
        fleet.check(len(times) == turns + 1, f"psql gave {len(times)} times")
        for ms in times[1:]:
            whole[name].add(ms)
    return inside, whole


def run(context, found):
    """All sizes."""
    sizes = (1000,) if context.quick else tuple(AIMS)
    refreshes = found.table("Refresh, ms; aims 5 / 30 / 300 for a new row of every VPS", [
        "VPSs", "new row of every VPS, with commit", "the function alone", "nothing new", "reconcile (every 5 min)", "very first", "HOT updates, %"], [
        "Until the client has the answer (of COMMIT, but for the second column). New rows come through the ingest protocol in "
        "batches of 1,000. The very first pass looks at the whole history: "
        + ", ".join(f"{HISTORY_STEPS[size]} rows per VPS at {size:,}" for size in sizes) + "."])
    reading = found.table("Read of the whole summary, ms; aims 1.5 / 10 / 100 for observ.fleet_summary()", [
        "VPSs, query", "inside the server", "until the client has it", "rows read from", "of observ.fleet_summary()"], [
        "Inside: execution time of EXPLAIN (ANALYZE, TIMING OFF), warm. Client: psql \\timing, output to /dev/null. "
        "The last column compares the first."])
    blocking = found.table("Longest answer to a client that reads one row of the summary over and over, ms", [
        "VPSs", "beside nothing", "beside a refresh"], ["Each run's maximum; time slices of the 2 cores included."])
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as server:
        for size in sizes:
            context.say(f"summary: {size:,} VPSs, history")
            fleet = Fleet(context, found, server, size)
            since = fleet.load_history()
            context.say(f"summary: {size:,} VPSs, passes")
            took, hot = passes(fleet, 3 if context.quick else 9)
            refreshes.rows.append([f"{size:,}", took["commit"], took["function"], took["nothing"], took["reconcile"], took["first"], hot])
            blocking.rows.append([f"{size:,}", *blocked(fleet, 2 if context.quick else 5)])
            context.say(f"summary: {size:,} VPSs, reads")
            raw = fleet.conn.execute("SELECT count(*) FROM observ.vps_metrics").fetchone()[0]
            queries = readers(since)
            inside, whole = reads(fleet, queries, 3 if context.quick else 20)
            ours = inside[queries[0][0]]
            for name, _, slow in queries:
                reading.rows.append([f"{size:,}: {name}", inside[name], whole[name], f"{raw if slow else size:,}",
                                     f"{report.number(inside[name].median / ours.median)}×"])
            refresh_ms, read_ms = AIMS[size]
            found.aim(f"summary, refresh, {size:,} VPSs", took["commit"].median, refresh_ms, "ms")
            found.aim(f"summary, read, {size:,} VPSs", ours.median, read_ms, "ms")
            found.aim(f"summary, HOT updates, {size:,} VPSs", hot, 99, "%", at_most=False)
            fleet.conn.close()
            server.drop_database(fleet.db)
