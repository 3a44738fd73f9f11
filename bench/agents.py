"""How long a flush takes while 500 agents are connected, and that every row of theirs is there exactly once in the end.

What belongs here: which crowds are measured, and the count in the end. What does not: agents and their schedule (agents.c), their
rows (samples.c).

Each agent is a connection with a role of its own, enrolled for its VPS, and does what obs-agent does: all 33 metrics as text, statements
parsed each time, BEGIN with its timeouts, begin_batch, INSERT … unnest, COMMIT, each answered before the next is sent. observ's workers run.
"""

import dataclasses
import time

import surroundings

TABLE = "observ.vps_metrics"
ROLE = "bench_agent_"


@dataclasses.dataclass
class Crowd:
    """Agents that behave alike."""

    name: str
    options: dict
    flushes: int  # of each agent, an even number


def crowds(quick):
    """What is measured."""
    several = {"least": 1, "batch": 60}
    flushes = 4 if quick else 6
    every = {"interval_ms": 300 if quick else 5000}
    often = {"interval_ms": 200 if quick else 2000}
    return [
        Crowd("1 row", {"batch": 1, **every}, flushes),
        Crowd("60 rows", {"batch": 60, **every}, flushes),
        Crowd("1 to 60 rows", {**several, **every}, flushes),
        Crowd("1 to 60 rows", {**several, **often}, 2 * flushes),
        Crowd("1 to 60 rows, all at the same moment", {**several, **every, "no_splay": True}, flushes),
        Crowd("1 to 60 rows, some late, skewed, twice, of dropped days", {**several, **every, "odd": True}, flushes),
    ]


def steps_of(crowd):
    """Rows of each agent, so that it flushes so often: each two batches make up the least and the most."""
    return crowd.flushes * (crowd.options["batch"] + crowd.options.get("least", crowd.options["batch"])) // 2


def check(found, conn, crowd, sent):
    """Every row is there, once, with its values; and what did not go straight in is counted where it should be."""
    stored = conn.execute(f"SELECT count(*) FROM {TABLE}").fetchone()[0]
    found.check(stored == sent["rows"] == sent["inserted"], f"{crowd.name}: {stored} rows stored, {sent['inserted']} inserted, {sent['rows']} made")
    differs = surroundings.same_sums(conn, f"SELECT * FROM {TABLE}", sent["columns"])
    found.check(not differs, f"{crowd.name}: {differs}")
    counted = conn.execute("SELECT sum(duplicate_rows), sum(clamped_rows), sum(quarantined_rows), sum(dropped_rows), count(*) FILTER (WHERE clock_skew_ms > 3500000) "
                           "FROM observ.collectors").fetchone()
    wanted = (sent["sent_again"], sent["clamped"], sent["quarantined"], 0)
    found.check(counted[:4] == wanted, f"{crowd.name}: duplicate, clamped, quarantined, dropped rows {counted[:4]} in observ.collectors; should be {wanted}")
    quarantined = conn.execute("SELECT count(*) FROM observ.quarantine").fetchone()[0]
    found.check(quarantined == sent["quarantined"], f"{crowd.name}: {quarantined} rows in quarantine, {sent['quarantined']} sent")
    if crowd.options.get("odd"):
        late = conn.execute(f"SELECT count(*) FROM {TABLE} WHERE received_at - \"timestamp\" > interval '2 days'").fetchone()[0]
        found.check(min(late, counted[4], *wanted[:3]) > 0, f"{crowd.name}: an odd kind is missing: {late} late, {counted[4]} skewed agents, {wanted}")


def measure(found, conn, loader, crowd, vps):
    """One crowd into empty tables."""
    options = {"vps": vps, "steps": steps_of(crowd), "step_s": 1, "columns": "all", "role": ROLE, "role_of_number": True, "unprepared": True, **crowd.options}
    # The newest row is of a moment ago: nothing comes from the future.
    start = time.time() - options["steps"] * options["step_s"] - 5
    conn.execute(f"TRUNCATE {TABLE}, observ.collectors, observ.quarantine")
    conn.execute("CHECKPOINT")
    sent = loader.agents(TABLE, start_us=int(start * 1e6), **options)
    check(found, conn, crowd, sent)
    return sent


def run(context, found):
    """All crowds, one after the other."""
    vps = 40 if context.quick else 500
    settings = {"max_connections": str(vps + 30)}
    table = found.table(
        f"Flushes of {vps} agents, each with a connection of its own",
        ["rows per flush", "every, s", "flushes", "flushes/s", "rows/s", "p50, ms", "p95, ms", "p99, ms", "max, ms", "p99 from when it was due, ms",
         "first flush p99, ms", "server CPU per flush, ms"],
        notes=[f"max_connections={settings['max_connections']}, observ's workers on, a role per agent with row-level security. Each crowd once. "
               "First flushes, when a server process has yet to learn the tables, are a column of their own and in no other. A flush: BEGIN, begin_batch, INSERT, COMMIT (fsync), four round trips."])
    with surroundings.server(context, settings=settings) as server:
        server.create_database("bench", extension=True)
        loader = surroundings.Loader(server, "bench")
        with server.connect("bench") as conn:
            conn.execute(f"SELECT observ.enroll_vps('vps' || to_char(n, 'FM000000'), '{ROLE}' || n) FROM generate_series(0, %s - 1) n", (vps,))
            for crowd in crowds(context.quick):
                context.say(f"agents: {crowd.name}, every {crowd.options['interval_ms']} ms")
                sent = measure(found, conn, loader, crowd, vps)
                flush, per_s = sent["flush_ms"], sent["flushes"] / sent["seconds"]
                table.rows.append([crowd.name, crowd.options["interval_ms"] / 1000, sent["flushes"], per_s, (sent["rows"] + sent["sent_again"]) / sent["seconds"],
                                   flush["p50"], flush["p95"], flush["p99"], flush["max"], sent["due_ms"]["p99"], sent["first_ms"]["p99"],
                                   1000 * sent["server_cpu"] / sent["flushes"]])
