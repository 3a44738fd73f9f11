"""How fast rows come in: unnest batches by the ingest protocol beside plain COPY.

What belongs here: which loads are compared. What does not: sending them (session.c), rows (samples.c).

The peer is a plain partitioned table with the same columns, defaults and unique key: no BRIN index, no row-level security.
Rows are made and encoded before the clock starts; the time is from the first byte sent to the last COMMIT answered.
"""

import dataclasses
import datetime

import report
import surroundings

OBSERV = "observ.vps_metrics"
PLAIN = "bench.plain"
AIM_ROWS_PER_S = 150000
COPY = {"method": "copy", "format": "text"}
ONE_COPY = dict(COPY, one_copy=True)
INSERT = {"method": "insert", "format": "text"}
UNNEST = dict(INSERT, begin_batch=True)
BINARY = {"format": "binary"}
TWO = {"sessions": 2}


@dataclasses.dataclass
class Variant:
    """One way to load the rows of its group."""

    name: str
    table: str
    options: dict
    replay: str = ""  # "rows": sent a second time with new numbers; "batches": with the same numbers; timed is the second time
    aimed: bool = False
    speed: report.Series = dataclasses.field(default_factory=report.Series)
    wal: report.Series = dataclasses.field(default_factory=report.Series)
    cpu: report.Series = dataclasses.field(default_factory=report.Series)
    latency: report.Series = dataclasses.field(default_factory=report.Series)


@dataclasses.dataclass
class Group:
    """Loads of the same rows; the first variant is what the others are compared with."""

    title: str
    options: dict
    variants: list


def groups(quick):
    """What is measured."""
    vps = 20 if quick else 300
    backlog = {"order": "vps", "vps": vps, "steps": 1000, "batch": 1000, "columns": "classic"}
    fleet = dict(backlog, order="time", vps=1000, steps=vps)
    small = dict(backlog, vps=5 if quick else 200, steps=240, batch=60)
    single = dict(backlog, vps=5 if quick else 100, steps=30, batch=1)

    def copies():
        return [Variant("COPY in one transaction, text", PLAIN, ONE_COPY)]

    return [
        Group("Keys and 8 metrics, batches of 1,000 rows of one VPS (an agent's backlog)", backlog, copies() + [
            Variant("COPY in one transaction, text, into observ.vps_metrics", OBSERV, ONE_COPY),
            Variant("COPY per batch, text", PLAIN, COPY),
            Variant("COPY per batch, binary", PLAIN, {**COPY, **BINARY}),
            Variant("COPY per batch, text, 2 sessions", PLAIN, {**COPY, **TWO}),
            Variant("the same INSERT into the plain table, no begin_batch, text", PLAIN, INSERT),
            Variant("observ, text", OBSERV, UNNEST, aimed=True),
            Variant("observ, text, as an enrolled agent's role", OBSERV, dict(UNNEST, role="bench_agent")),
            Variant("observ, binary", OBSERV, {**UNNEST, **BINARY}, aimed=True),
            Variant("observ, text, 2 sessions", OBSERV, {**UNNEST, **TWO}),
            Variant("observ, binary, 2 sessions", OBSERV, {**UNNEST, **BINARY, **TWO}),
            Variant("observ, every row sent a second time", OBSERV, UNNEST, replay="rows"),
            Variant("observ, every batch sent a second time", OBSERV, UNNEST, replay="batches"),
        ]),
        Group("Keys and 8 metrics, batches of one row each of 1,000 VPSs (a gateway)", fleet, [
            Variant("COPY in one transaction, text", PLAIN, ONE_COPY),
            Variant("observ, text", OBSERV, UNNEST, aimed=True),
            Variant("observ, binary", OBSERV, {**UNNEST, **BINARY}, aimed=True),
        ]),
        Group("All 33 metrics, batches of 1,000 rows of one VPS", dict(backlog, columns="all", vps=20 if quick else 150), [
            Variant("COPY in one transaction, text", PLAIN, ONE_COPY),
            Variant("observ, text", OBSERV, UNNEST),
            Variant("observ, binary", OBSERV, {**UNNEST, **BINARY}),
        ]),
        Group("Keys and 8 metrics, batches of 60 rows of one VPS", small, copies() + [
            Variant("COPY per batch, text", PLAIN, COPY),
            Variant("the same INSERT into the plain table, no begin_batch, text", PLAIN, INSERT),
            Variant("observ, text", OBSERV, UNNEST),
        ]),
        Group("Keys and 8 metrics, batches of 1 row", single, copies() + [
            Variant("COPY per batch, text", PLAIN, COPY),
            Variant("the same INSERT into the plain table, no begin_batch, text", PLAIN, INSERT),
            Variant("observ, text", OBSERV, UNNEST),
        ]),
    ]


def prepare(conn, first, days, all_vps):
    """The peer's table with a partition per day as observ has, and a role that may write every VPS of the loads."""
    conn.execute("CREATE SCHEMA bench")
    conn.execute(f"CREATE TABLE {PLAIN} (LIKE {OBSERV} INCLUDING DEFAULTS INCLUDING IDENTITY) "
                 'PARTITION BY RANGE ("timestamp")')
    conn.execute(f'CREATE UNIQUE INDEX plain_key ON {PLAIN} (vps_name, app_name, "timestamp")')
    for day in range(days):
        start = first + datetime.timedelta(days=day)
        conn.execute(f"CREATE TABLE bench.plain_{day} PARTITION OF {PLAIN} FOR VALUES FROM ('{start.isoformat()}') "
                     f"TO ('{(start + datetime.timedelta(days=1)).isoformat()}')")
    conn.execute("SELECT observ.enroll_vps('vps' || to_char(n, 'FM000000'), 'bench_agent') "
                 "FROM generate_series(0, %s - 1) n", (all_vps,))
    conn.execute("GRANT observ_agent TO bench_agent")


def check(found, conn, variant, title, sent):
    """What lies in the table is what was sent."""
    name = f"{variant.name} ({title})"
    stored = conn.execute(f"SELECT count(*) FROM {variant.table}").fetchone()[0]
    found.check(stored == sent["rows"], f"{name}: {stored} rows stored, {sent['rows']} sent")
    differs = surroundings.same_sums(conn, f"SELECT * FROM {variant.table}", sent["columns"])
    found.check(not differs, f"{name}: {differs}")
    if variant.options.get("begin_batch"):
        batches = conn.execute("SELECT sum(batches) FROM observ.collectors").fetchone()[0]
        wanted = sent["batches"] * (2 if variant.replay == "rows" else 1)
        found.check(batches == wanted, f"{name}: {batches} batches counted, {wanted} sent")


def measure(found, conn, loader, group, variant, start_us):
    """One timed load into empty tables."""
    options = {**group.options, **variant.options, "start_us": start_us}
    conn.execute(f"TRUNCATE {OBSERV}, {PLAIN}, observ.collectors")
    if variant.replay:
        loader.load(variant.table, **options)
        if variant.replay == "rows":
            options["first_seq"] = 1 + options["steps"] // options["batch"]
    conn.execute("CHECKPOINT")
    before = conn.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]
    sent = loader.load(variant.table, **options)
    wal = conn.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", (before,)).fetchone()[0]
    variant.speed.add(sent["rows"] / sent["seconds"])
    variant.wal.add(float(wal) / sent["rows"])
    variant.cpu.add(sent["server_cpu"] * 1e6 / sent["rows"])
    variant.latency.add(sent["p99_ms"] if not variant.options.get("one_copy") else 0)
    inserted = 0 if variant.replay else sent["rows"]
    accepted = 0 if variant.replay == "batches" else sent["batches"]
    found.check((sent["inserted"], sent["accepted"]) == (inserted, accepted),
                f"{variant.name} ({group.title}): {sent['inserted']} rows inserted, {sent['accepted']} batches accepted; "
                f"should be {inserted} and {accepted}")
    check(found, conn, variant, group.title, sent)


def show(found, group, runs):
    """The table of a group."""
    options = group.options
    table = found.table(
        f"{group.title}: {options['vps'] * options['steps']:,} rows, {runs} runs",
        ["load", "rows/s, median (min..max)", "of the first line's", "server CPU, µs/row", "transaction p99, ms", "WAL, B/row"])
    first = group.variants[0]
    for variant in group.variants:
        latency = variant.latency if any(variant.latency.values) else "–"
        table.rows.append([variant.name, variant.speed, variant.speed.over(first.speed), variant.cpu, latency, variant.wal.median])
        if variant.aimed:
            found.aim(f"ingest, {variant.name}; {group.title}", variant.speed.median, AIM_ROWS_PER_S, "rows/s",
                      at_most=False)


def run(context, found):
    """All groups; the variants of a group take turns."""
    runs = 1 if context.quick else 3
    work = groups(context.quick)
    # Whole days before today: every load falls into the same partitions, none into the future.
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - datetime.timedelta(days=2)
    start_us = int(start.timestamp()) * 1000000
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as server:
        server.create_database("bench", extension=True)
        loader = surroundings.Loader(server, "bench")
        with server.connect("bench") as conn:
            prepare(conn, start, 4, max(g.options["vps"] for g in work if g.options["order"] == "vps"))
            if not context.quick:
                # Grows the WAL, which is recycled from then on.
                loader.load(PLAIN, **{**work[0].options, **ONE_COPY, "start_us": start_us})
            for group in work:
                for turn in range(runs):
                    context.say(f"ingest: {group.title}, run {turn + 1} of {runs}")
                    for variant in group.variants:
                        measure(found, conn, loader, group, variant, start_us)
                show(found, group, runs)
