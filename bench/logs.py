"""Log search: load rate with all indexes, size, and how fast searches and histograms are answered, beside grep and plain SQL.

What belongs here: sizes, the searches, what they are compared with. What does not: making lines (build/bench/log_lines).

Lines are spread evenly over 30 days up to now, of 1,000 VPSs; "connection" is in every third, "throttled" in one of 100, "segfault" in one of
500,000. They are loaded in transactions of 1,000 lines, as a gateway sends them.
"""

import datetime
import itertools
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

import psycopg

import report
import surroundings

harness = surroundings.harness

DAYS = 30
VPSS = 1000
BATCH = 1000
PARTITIONS = 400
SETTINGS = {**surroundings.JOBS_OFF, "observ.late_window": "31d"}
COLUMNS = '"timestamp", vps_name, app_name, level, source, message, context'
SEARCH = "SELECT * FROM observ.search_logs({})"
# What is asked for, arguments of observ.search_logs(), most milliseconds, plain SQL conditions: by text search, by ILIKE.
SEARCHES = [
    ("rare word", "'segfault'", 3, "segfault", "message ILIKE '%segfault%'", ""),
    ("word that is nowhere", "'nosuchword'", 3, "nosuchword", "message ILIKE '%nosuchword%'", ""),
    ("middling word (1 % of rows)", "'throttled'", 50, "throttled", "message ILIKE '%throttled%'", ""),
    ("common word (a third of rows)", "'connection'", 50, "connection", "message ILIKE '%connection%'", ""),
    ("two words", "'throttled vacuum'", 50, "throttled & vacuum", "message ILIKE '%throttled%' AND message ILIKE '%vacuum%'", ""),
    ("word and VPS", "'throttled', vps => 'vps00042'", 60, "throttled", "message ILIKE '%throttled%'", " AND vps_name = 'vps00042'"),
    ("level filter", "NULL, level => 'fatal'", 25, None, "upper(level) = 'FATAL'", ""),
    ("word and level", "'throttled', level => 'fatal'", None, "throttled", "message ILIKE '%throttled%'", " AND upper(level) = 'FATAL'"),
    ("phrase", "'\"connection refused\"'", None, "connection <-> refused", "message ~* '\\mconnection\\W+refused\\M'", ""),
    ("word and key=value, -word", "'connection region=eu-1 -timeout'", None, "connection & !timeout",
     "message ILIKE '%connection%' AND message NOT ILIKE '%timeout%'", " AND context->>'region' = 'eu-1'"),
]
HISTOGRAM_AIM = 25
PLAIN_HISTOGRAM = ("SELECT date_bin('30 min', \"timestamp\", '2000-01-03+00'), lower(level), count(*) FROM observ.log_entries "
                   "WHERE \"timestamp\" >= now() - interval '1 day' AND \"timestamp\" < now() GROUP BY 1, 2")


class Logs:
    """A database with the lines in it, and the file that they came from."""

    def __init__(self, context, found, server, directory):
        self.context, self.found = context, found
        self.rows = 200_000 if context.quick else 5_000_000
        self.file = directory / "lines.tsv"
        self.db = server.create_database("logs", extension=True)
        self.conn = server.connect(self.db)
        self.conn.execute("SELECT observ.maintain_partitions()")

    def make_lines(self):
        """The file of lines; every run makes the same ones, at other times."""
        now = time.time()
        first = (int(now) // 86400 - DAYS + 1) * 86400
        with self.file.open("wb") as out:
            subprocess.run([surroundings.ROOT / "build/bench/log_lines", str(self.rows), str(first * 1000000),
                            str(int((now - first) * 1e6)), str(VPSS)], stdout=out, check=True)

    def load(self):
        """(rows per second, milliseconds of each transaction)"""
        took = []
        self.conn.execute("CHECKPOINT")
        with self.file.open("rb") as lines:
            start = time.monotonic()
            while batch := b"".join(itertools.islice(lines, BATCH)):
                begin = time.monotonic()
                with self.conn.cursor().copy(f"COPY observ.log_entries ({COLUMNS}) FROM STDIN") as copy:
                    copy.write(batch)
                took.append((time.monotonic() - begin) * 1000)
        return self.rows / (time.monotonic() - start), took

    def count(self):
        """Seconds until every entry is counted by template, level and time."""
        start = time.monotonic()
        entries = 0
        while entries < self.rows and time.monotonic() - start < 300:
            status, done = self.conn.execute("SELECT status, entries FROM observ.update_log_templates()").fetchone()
            self.found.check(status == "ok", f"update_log_templates() said {status}")
            entries += done
        self.found.check(entries == self.rows, f"update_log_templates() counted {entries} of {self.rows} entries")
        return time.monotonic() - start

    def bytes_of(self, condition):
        """Size of relations of the partitions."""
        return self.conn.execute("SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid "
                                 "WHERE coalesce(i.indrelid, c.oid) IN (SELECT relid FROM pg_partition_tree('observ.log_entries') WHERE isleaf) "
                                 f"AND {condition}").fetchone()[0]

    def timed(self, statement, turns):
        """(times in ms, rows) of a statement, until the client has all rows; the first run is not counted."""
        took = []
        for _ in range(turns + 1):
            start = time.monotonic()
            rows = self.conn.execute(statement).fetchall()
            took.append((time.monotonic() - start) * 1000)
        return took[1:], rows

    def add_partitions(self):
        """Older partitions with an entry each, until there are PARTITIONS."""
        have = self.conn.execute("SELECT count(*) FROM pg_partition_tree('observ.log_entries') WHERE isleaf").fetchone()[0]
        day = datetime.datetime.now(datetime.timezone.utc).date() - datetime.timedelta(days=60)
        for _ in range(PARTITIONS - have):
            day -= datetime.timedelta(days=1)
            name = f"observ_data.log_entries_{day:%Y%m%d}"
            self.conn.execute(f"CREATE TABLE {name} (LIKE observ.log_entries INCLUDING ALL EXCLUDING IDENTITY)")
            self.conn.execute(f"ALTER TABLE observ.log_entries ATTACH PARTITION {name} FOR VALUES FROM ('{day} 00:00+00') TO "
                              f"('{day + datetime.timedelta(days=1)} 00:00+00')")
            self.conn.execute("INSERT INTO observ.log_entries (\"timestamp\", vps_name, message) VALUES (%s, 'vps00000', 'a line of long ago')",
                              (f"{day} 12:00+00",))


def p99(values):
    """The 99th percentile."""
    return statistics.quantiles(values, n=100)[-1] if len(values) > 1 else None


def grep(file, arguments, turns):
    """Times of grep -c over the same lines."""
    took = report.Series()
    for _ in range(turns):
        start = time.monotonic()
        subprocess.run(["grep", "-c", *arguments, file], stdout=subprocess.DEVNULL, check=False)
        took.add((time.monotonic() - start) * 1000)
    return took


def plain(logs, text, ilike, more, turns):
    """Times of plain SQL for the same search: (text search, ILIKE), None for what can't be asked."""
    order = ' ORDER BY "timestamp" DESC, id DESC LIMIT 100'
    by_text = None
    if text is not None:
        by_text = report.Series(logs.timed(f"SELECT * FROM observ.log_entries WHERE to_tsvector('simple', message) @@ to_tsquery('simple', '{text}')"
                                           f"{more}{order}", turns)[0])
    return by_text, report.Series(logs.timed(f"SELECT * FROM observ.log_entries WHERE {ilike}{more}{order}", turns)[0])


def same_rows(logs, name, arguments, ilike, more):
    """The search gives what plain SQL gives. ILIKE finds words inside words, too; among these lines there are none of those asked for."""
    ours = [r[0] for r in logs.conn.execute(f"SELECT id FROM observ.search_logs({arguments})").fetchall()]
    theirs = [r[0] for r in logs.conn.execute(f'SELECT id FROM observ.log_entries WHERE {ilike}{more} ORDER BY "timestamp" DESC, id DESC LIMIT 100').fetchall()]
    logs.found.check(ours == theirs, f"{name}: {len(ours)} entries found, {len(theirs)} by plain SQL, or others")


def measure_load(logs):
    """Load rate, size, rate of counting."""
    table = logs.found.table("Loading, with all indexes", ["what", "figure"])
    rate, took = logs.load()
    table.rows += [["rows per second, transactions of 1,000", rate], ["transaction, median ms", statistics.median(took)],
                   ["transaction, 99 % below, ms", p99(took)], ["transaction, longest, ms", max(took)]]
    logs.found.aim("logs, load rate with all indexes", rate, 60000, "rows/s", at_most=False)
    seconds = logs.count()
    table.rows.append(["counted by template, level and time afterwards, rows per second", logs.rows / seconds])
    logs.conn.execute("VACUUM (ANALYZE) observ.log_entries")
    table.rows.append(["lines as a file, bytes per row", logs.file.stat().st_size / logs.rows])
    for name, condition in (("table", "c.relkind = 'r'"), ("index of words, level, application (GIN)", "c.relam = (SELECT oid FROM pg_am WHERE amname = 'gin')"),
                            ("other indexes", "c.relkind = 'i' AND c.relam <> (SELECT oid FROM pg_am WHERE amname = 'gin')")):
        table.rows.append([f"{name}, bytes per row", logs.bytes_of(condition) / logs.rows])


def measure_searches(logs):
    """Every search, beside grep and plain SQL."""
    turns, few = (20, 1) if logs.context.quick else (300, 3)
    start = time.monotonic()
    logs.conn.execute("CREATE INDEX ON observ.log_entries USING gin (to_tsvector('simple', message))")
    table = logs.found.table("Searches, the newest 100 entries, ms", [
        "search", "observ.search_logs(), median", "99 % below", "aim", "rows", "to_tsvector @@ with its own GIN index", "ILIKE", "grep -c"], [
        f"All {DAYS} days, {logs.rows:,} lines; until the client has the rows. Plain SQL: ORDER BY timestamp DESC, id DESC LIMIT 100 on the same table; its GIN index "
        f"on to_tsvector('simple', message) took {time.monotonic() - start:.0f} s to build. grep counts over the file and gives no newest 100."])
    for name, arguments, aim, text, ilike, more in SEARCHES:
        logs.context.say(f"logs: {name}")
        took, rows = logs.timed(SEARCH.format(arguments), turns)
        same_rows(logs, name, arguments, ilike, more)
        word = (text or "fatal").split(" ")[0]
        table.rows.append([name, statistics.median(took), p99(took), aim, len(rows), *plain(logs, text, ilike, more, few), grep(logs.file, [word], few)])
        if aim is not None:
            logs.found.aim(f"logs, {name}", statistics.median(took), aim, "ms")


def measure_histogram(logs):
    """24 hours by level, and around one entry."""
    turns = 20 if logs.context.quick else 300
    table = logs.found.table("Histogram and context, ms", ["what", "median", "99 % below", "rows"])
    entry = logs.conn.execute("SELECT id FROM observ.search_logs('throttled', \"limit\" => 1)").fetchone()[0]
    for name, statement in (("observ.log_histogram(), 24 hours", "SELECT * FROM observ.log_histogram()"),
                            ("of one VPS", "SELECT * FROM observ.log_histogram(vps => 'vps00042')"),
                            ("of a middling word", "SELECT * FROM observ.log_histogram('throttled')"),
                            (f"{DAYS} days by day", f"SELECT * FROM observ.log_histogram(\"from\" => now() - interval '{DAYS} days', step => '1 day')"),
                            ("plain SQL, 24 hours", PLAIN_HISTOGRAM),
                            ("observ.log_context()", f"SELECT * FROM observ.log_context({entry})")):
        took, rows = logs.timed(statement, 3 if name.startswith("plain") else turns)
        table.rows.append([name, statistics.median(took), p99(took), len(rows)])
        if name.endswith("(), 24 hours"):
            logs.found.aim("logs, histogram of 24 hours", statistics.median(took), HISTOGRAM_AIM, "ms")
    ours, theirs = (logs.conn.execute(f"SELECT coalesce(sum(count), 0) FROM ({q}) q").fetchone()[0] for q in ("SELECT * FROM observ.log_histogram()", PLAIN_HISTOGRAM))
    logs.found.check(ours == theirs, f"the histogram counts {ours} entries, plain SQL {theirs}")


def measure_partitions(logs):
    """The same searches with many more partitions."""
    logs.add_partitions()
    table = logs.found.table(f"With {PARTITIONS} partitions, ms", ["search", "median", "99 % below"])
    for name, arguments, _, _, _, _ in SEARCHES[:4]:
        took, _ = logs.timed(SEARCH.format(arguments), 20 if logs.context.quick else 300)
        table.rows.append([name, statistics.median(took), p99(took)])


def run(context, found):
    """Everything, on one server."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="obs-bench-logs-", dir="/tmp"))
    try:
        with surroundings.server(context, settings=SETTINGS) as server:
            logs = Logs(context, found, server, directory)
            logs.make_lines()
            context.say(f"logs: loading {logs.rows:,} lines")
            measure_load(logs)
            measure_histogram(logs)
            measure_searches(logs)
            measure_partitions(logs)
    except psycopg.Error as exc:
        raise harness.HarnessError(f"the database said: {exc}") from exc
    finally:
        shutil.rmtree(directory)
