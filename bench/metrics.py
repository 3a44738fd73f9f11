"""Labelled metrics: bytes per sample, how fast scrapes come in, how fast they are read, beside a plain table with a row per sample.

What belongs here: sizes, compared ways. What does not: servers and figures (surroundings.py, report.py).

A scrape is 500 series of one VPS at one time, half of them counters. The scrapes are made in the server before the clock starts, by arithmetic, so
that they are the same on every run; each is then one call and one transaction of one client.
"""

import time

import report
import surroundings

AIM_BYTES = 20
SERIES = 500
PLAIN = "bench.plain"
SETUP = f"""
CREATE SCHEMA bench;
-- Not compressed: taking them out is no part of what is measured.
CREATE TABLE bench.series (names text[], labels jsonb[], ids bigint[]);
ALTER TABLE bench.series ALTER names SET STORAGE EXTERNAL, ALTER labels SET STORAGE EXTERNAL;
INSERT INTO bench.series
    SELECT array_agg('node_subsystem' || i / 10 || CASE WHEN i % 2 = 0 THEN '_things_total' ELSE '_level_bytes' END ORDER BY i),
        array_agg(jsonb_build_object('device', 'dev' || i % 10, 'mode', 'mode' || i % 3, 'job', 'node') ORDER BY i),
        array_agg(i::bigint ORDER BY i)
    FROM generate_series(0, {SERIES} - 1) i;
CREATE TABLE bench.scrapes (n int PRIMARY KEY, vps_name text, at timestamptz, vals float8[]);
CREATE TABLE {PLAIN} ("timestamp" timestamptz NOT NULL, vps_name text COLLATE "C" NOT NULL, series_id bigint NOT NULL, value float8,
    PRIMARY KEY (vps_name, series_id, "timestamp"));
"""
# In the order in which a fleet sends: all VPSs of a minute, then the next minute.
MAKE = """
INSERT INTO bench.scrapes
SELECT t * %(vps)s + v, %(prefix)s || to_char(v, 'FM0000'), %(start)s::timestamptz + t * interval '1 min', x.vals
FROM generate_series(0, %(times)s - 1) t, generate_series(0, %(vps)s - 1) v, LATERAL (
    SELECT array_agg(CASE WHEN i %% 2 = 0 THEN (t * 17 + v) * (i + 1) ELSE ((t * 7919 + v * 31 + i * 104729) %% 1000) / 10.0 END::float8 ORDER BY i) AS vals
    FROM generate_series(0, """ + f"{SERIES}" + """ - 1) i) x;
"""
OBSERV_CALL = ("SELECT r.stored FROM bench.series s, bench.scrapes c, LATERAL observ.insert_samples(c.vps_name, 'app', ARRAY[c.at], s.names, "
               "s.labels, c.vals) r WHERE c.n = %s")
PLAIN_CALL = (f"WITH stored AS (INSERT INTO {PLAIN} SELECT c.at, c.vps_name, u.id, u.v FROM bench.series s, bench.scrapes c, "
              "LATERAL unnest(s.ids, c.vals) u (id, v) WHERE c.n = %s ORDER BY u.id ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM stored")
SIZES = {"observ": "SELECT sum(pg_total_relation_size(inhrelid)), sum(pg_table_size(inhrelid)) FROM pg_inherits "
                   "WHERE inhparent = 'observ.metric_scrapes'::regclass",
         "plain": f"SELECT pg_total_relation_size('{PLAIN}'), pg_table_size('{PLAIN}')"}


def make(conn, shape):
    """Makes the scrapes of the shape, and no others."""
    conn.execute("TRUNCATE bench.scrapes")
    conn.execute(MAKE, shape)


def load(conn, sql, calls):
    """Runs sql once per scrape: {"stored": samples, "seconds", "p99": ms, "wal": bytes}."""
    conn.execute("CHECKPOINT")
    before = conn.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
    stored, times = 0, []
    for n in range(calls):
        start = time.perf_counter()
        stored += conn.execute(sql, (n,), prepare=True).fetchone()[0]
        times.append(time.perf_counter() - start)
    wal = conn.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", (before,)).fetchone()[0]
    return {"stored": stored, "seconds": sum(times), "p99": sorted(times)[int(len(times) * 0.99)] * 1000, "wal": float(wal)}


def ingest(context, found, conn, shape):
    """Loads the fleet's scrapes into observ, again, and into the plain table."""
    scrapes = shape["vps"] * shape["times"]
    few = scrapes // 6  # of a row per sample that is enough
    make(conn, shape)
    rows = found.table(f"Scrapes of {SERIES} series: {shape['vps']} VPSs, {shape['times']} scrapes each, one client, a transaction per scrape", [
        "load", "samples/s", "transaction p99, ms", "WAL, B/sample", "bytes per sample", "of these, table"], [
        "Bytes: partitions with all their indexes, without what empty ones take, right after the load. "
        f"The plain table gets the first {few:,} scrapes."])
    for name, what, sql, calls, wanted in (("observ.insert_samples()", "observ", OBSERV_CALL, scrapes, scrapes * SERIES),
                                           ("observ, every scrape sent a second time", "observ", OBSERV_CALL, scrapes, 0),
                                           ("a plain table with a row per sample", "plain", PLAIN_CALL, few, few * SERIES)):
        samples = calls * SERIES
        context.say(f"metrics: {name}")
        empty = conn.execute(SIZES[what]).fetchone()
        done = load(conn, sql, calls)
        full = conn.execute(SIZES[what]).fetchone()
        found.check(done["stored"] == wanted, f"{name}: {done['stored']} samples stored, should be {wanted}")
        bytes_, table = (float(f - e) / samples for f, e in zip(full, empty))
        if wanted:
            rows.rows.append([name, samples / done["seconds"], done["p99"], done["wal"] / samples, bytes_, table])
        else:
            rows.rows.append([name, samples / done["seconds"], done["p99"], done["wal"] / samples, "–", "–"])
        if what == "observ" and wanted:
            found.aim("metrics, bytes per sample, fresh", bytes_, AIM_BYTES, "B")
    made = conn.execute("SELECT sum(v::numeric) FROM bench.scrapes, unnest(vals) v").fetchone()[0]
    kept = conn.execute("SELECT sum(value::numeric) FROM observ.metric_samples").fetchone()[0]
    found.check(kept == made, f"the view's values add up to {kept}, those sent to {made}")


def backlog(found, conn, day):
    """A day's scrapes of one VPS in one transaction: no commits, no answers to wait for."""
    make(conn, day)
    start = time.perf_counter()
    stored = conn.execute(f"SELECT sum(stored) FROM ({OBSERV_CALL.replace('WHERE c.n = %s', '')}) s").fetchone()[0]
    found.tables[-1].rows.append([f"observ, {day['times']:,} scrapes of one VPS in one transaction", int(stored) / (time.perf_counter() - start),
                                  "–", "–", "–", "–"])
    found.check(stored == day["times"] * SERIES, f"{stored} samples of the day stored")


def reads(context, found, conn, shape, day):
    """Charts and raw samples: of one VPS over a day, of the fleet over its minutes."""
    counter, gauge = "node_subsystem7_things_total", "node_subsystem7_level_bytes"
    minutes = shape["times"]
    one = f"'{day['start']}', '{day['start']}'::timestamptz + interval '{day['times']} min'"
    fleet = f"'{shape['start']}', '{shape['start']}'::timestamptz + interval '{minutes} min'"
    queries = [
        ("metric_range(), one series, a day, 5 min, avg",
         f"SELECT * FROM observ.metric_range('{gauge}', '{{vps_name=\"day0000\",device=\"dev1\"}}', {one}, '5 min', 'avg')",
         -(-day["times"] // 5)),
        ("metric_range(), 5 series of a VPS, a day, 5 min, rate",
         f"SELECT * FROM observ.metric_range('{counter}', '{{vps_name=\"day0000\"}}', {one}, '5 min', 'rate')", 5 * -(-day["times"] // 5)),
        (f"metric_range(), one series of each of {shape['vps']} VPSs, {minutes} min, 1 min, max",
         f"SELECT * FROM observ.metric_range('{gauge}', '{{vps_name=~\"vps.*\",device=\"dev1\"}}', {fleet}, '1 min', 'max')",
         shape["vps"] * minutes),
        ("metric_samples, one series, a day",
         f"SELECT * FROM observ.metric_samples WHERE vps_name = 'day0000' AND metric_name = '{gauge}' AND labels @> '{{\"device\":\"dev1\"}}' "
         f"AND \"timestamp\" >= '{day['start']}'", day["times"]),
        (f"metric_samples, one metric of {shape['vps']} VPSs, one scrape",
         f"SELECT * FROM observ.metric_samples WHERE metric_name = '{gauge}' AND \"timestamp\" = '{shape['start']}'", shape["vps"] * 5),
    ]
    table = found.table("Reading, ms", ["query", "inside the server", "rows"], ["Execution time of EXPLAIN (ANALYZE, TIMING OFF), warm."])
    for name, sql, wanted in queries:
        context.say(f"metrics: {name}")
        rows = conn.execute(f"SELECT count(*) FROM ({sql}) q").fetchone()[0]
        found.check(rows == wanted, f"{name}: {rows} rows, should be {wanted}")
        took = report.Series()
        for _ in range(3 if context.quick else 15):
            took.add(conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}").fetchone()[0][0]["Execution Time"])
        table.rows.append([name, took, f"{rows:,}"])


def run(context, found):
    """Fleet, then one VPS with a day of scrapes, then reads of both."""
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as server:
        server.create_database("metrics", extension=True)
        with server.connect("metrics") as conn:
            conn.execute(SETUP)
            start = conn.execute("SELECT (date_trunc('day', now(), 'UTC') - interval '2 days')::text, "
                                 "(date_trunc('day', now(), 'UTC') - interval '3 days')::text").fetchone()
            shape = {"prefix": "vps", "vps": 10 if context.quick else 200, "times": 12 if context.quick else 30, "start": start[0]}
            day = {"prefix": "day", "vps": 1, "times": 120 if context.quick else 1440, "start": start[1]}
            ingest(context, found, conn, shape)
            backlog(found, conn, day)
            conn.execute("VACUUM (ANALYZE)")
            reads(context, found, conn, shape, day)
