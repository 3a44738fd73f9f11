"""Alerting: what an evaluation of 60 rules and a dispatch cost, over fleets of three sizes; Prometheus beside it.

What belongs here: rules, phases, figures of observ. What does not: Prometheus (bench/alerts_prometheus.py).

The rules are those that Prometheus was measured with: five thresholds with `for` over each of eleven metrics, and the mean of five
minutes of five of them. Time is virtual, 15 s from one pass to the next; a VPS sends a row each minute, a quarter of them before each
pass. The session keeps samples in memory as the scheduler does (observ.evaluation_cache = on), unless said otherwise.
"""

import dataclasses
import time

import alerts_prometheus
import report
import surroundings

harness = surroundings.harness

SIZES = (1000, 10000, 100000)
AIMS = {10000: 150, 100000: 1500}  # VPSs: ms of a quiet evaluation
METRICS = ("cpu_percent", "memory_percent", "memory_mb", "disk_percent", "disk_gb", "load_avg_1m", "load_avg_5m", "load_avg_15m",
           "net_rx_bps", "net_tx_bps", "swap_percent")
# severity, operator, threshold, for: as in alerts_prometheus
THRESHOLDS = (("warning", "gt", 80, "2 minutes"), ("high", "gt", 85, "1 minute"), ("critical", "gt", 90, "1 minute"),
              ("emergency", "gt", 95, "30 seconds"), ("low", "lt", 1, "5 minutes"))
HOT, CALM = 99.5, 50
HISTORY_MINUTES = 12
STAYS_HOT = 12  # passes that a VPS is hot for, in the phase with changes

RULES = f"""
    DELETE FROM observ.alert_rules;
    INSERT INTO observ.alert_rules (name, metric_name, operator, threshold, for_duration, severity, annotations)
    SELECT m || '_' || s, m, o, t, f, s::observ.severity, jsonb_build_object('summary', m || ' on {{{{ labels.vps_name }}}} is {{{{ value }}}}')
    FROM unnest(ARRAY[{", ".join(f"'{m}'" for m in METRICS)}]) m,
        (VALUES {", ".join(f"('{s}', '{o}', {t}, interval '{f}')" for s, o, t, f in THRESHOLDS)}) x (s, o, t, f);
    INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", threshold, for_duration)
    SELECT m || '_avg', m, 'avg', '5 minutes', 90, '1 minute' FROM unnest(ARRAY[{", ".join(f"'{m}'" for m in METRICS[:5])}]) m;
"""
ROWS = f"""
    INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, interval_ms, {", ".join(METRICS)})
    SELECT %(at)s::timestamptz - ((n %% 60)::text || ' ms')::interval, 'vps' || lpad(n::text, 6, '0'), 'app' || n %% 40, 60000, {", ".join(["v"] * len(METRICS))}
    FROM generate_series(1, %(size)s) n, LATERAL (SELECT CASE WHEN {{hot}} THEN {HOT} ELSE {CALM} + n %% 7 END) x (v)
    WHERE {{which}}
"""
# What alerting writes; partitions have their table's name in front.
OURS = "relname ~ '^(alerts|alert_|notification|told|group_|rule_state|evaluation_state|fleet_summary)' AND schemaname IN ('observ', 'observ_data')"
WRITTEN = f"SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables WHERE {OURS}"
RELATIONS = f"SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_stat_user_tables WHERE {OURS}"


@dataclasses.dataclass
class Phase:
    """What the passes of one phase took."""

    evaluate: report.Series = dataclasses.field(default_factory=report.Series)
    dispatch: report.Series = dataclasses.field(default_factory=report.Series)
    written: report.Series = dataclasses.field(default_factory=report.Series)


class Fleet:
    """A database with a fleet of one size, and the session that evaluates."""

    def __init__(self, context, found, server, size):
        self.found, self.size, self.server = found, size, server
        self.conn = server.connect(server.create_database(f"alerts{size}", extension=True))
        self.pid = self.conn.execute("SELECT pg_backend_pid()").fetchone()[0]
        self.conn.execute("SET observ.evaluation_cache = on")
        self.at = self.conn.execute("SELECT date_trunc('minute', now())").fetchone()[0]
        self.step = self.conn.execute("SELECT interval '15 s'").fetchone()[0]
        self.passes = 0
        for minute in range(HISTORY_MINUTES, 0, -1):
            self.insert("true", at=self.at - 4 * minute * self.step)
        self.conn.execute(f"INSERT INTO observ.vps (vps_name) SELECT 'vps' || lpad(n::text, 6, '0') FROM generate_series(1, {size}) n")
        self.conn.execute("VACUUM (ANALYZE) observ.vps_metrics")
        self.run("refresh_fleet_summary", "refresh_fleet_summary")

    def check(self, right, what):
        """A failure unless right."""
        self.found.check(right, f"alerts of {self.size:,} VPSs: {what}")

    def value(self, query):
        """First column of the first row."""
        return self.conn.execute(query).fetchone()[0]

    def insert(self, which, hot="false", at=None):
        """A row of those VPSs."""
        self.conn.execute(ROWS.format(which=which, hot=hot), {"at": at or self.at, "size": self.size})

    def written(self):
        """Rows that alerting has written so far."""
        self.conn.execute("SELECT pg_stat_force_next_flush()")
        return int(self.value(WRITTEN))

    def run(self, function, name):
        """One call at the time of this pass: its row and the milliseconds until COMMIT was answered."""
        start = time.monotonic()
        row = self.conn.execute(f"SELECT * FROM observ.{function}(%s)", [self.at]).fetchone()
        took = (time.monotonic() - start) * 1000
        self.check(row[0] == "ok", f"{name} said {row[0]}")
        return row, took

    def turn(self, phase=None, hot="false", which=None):
        """A pass: 15 s go by, a quarter of the VPSs (or `which`) send a row, the summary takes it in, evaluation, dispatch."""
        self.passes += 1
        self.at += self.step
        self.insert(which or f"n %% 4 = {self.passes % 4}", hot)
        self.run("refresh_fleet_summary", "refresh_fleet_summary")
        before = self.written()
        row, evaluate = self.run("evaluate_alerts", "evaluate_alerts")
        _, dispatch = self.run("dispatch_notifications", "dispatch_notifications")
        if phase:
            phase.evaluate.add(evaluate)
            phase.dispatch.add(dispatch)
            phase.written.add(self.written() - before)
        return row

    def live(self, condition="true"):
        """Live alerts."""
        return self.value(f"SELECT count(*) FROM observ.alerts WHERE status <> 'resolved' AND {condition}")

    def memory(self):
        """MiB of memory that is the session's own."""
        return harness.anonymous_kb(self.pid) / 1024


def quiet(fleet, count):
    """Nobody is beyond a threshold."""
    phase = Phase()
    fleet.turn()
    fleet.turn()
    for _ in range(count):
        fleet.turn(phase)
    fleet.check(fleet.value("SELECT count(*) FROM observ.alerts") == 0, "a quiet fleet has alerts")
    return phase


def from_scratch(fleet, count):
    """The same, with no samples in memory from the pass before."""
    phase = Phase()
    fleet.conn.execute("SET observ.evaluation_cache = off")
    for _ in range(count):
        fleet.turn(phase)
    fleet.conn.execute("SET observ.evaluation_cache = on")
    return phase


def changing(fleet, count):
    """At each pass one VPS of a hundred gets hot, and one that was hot for three minutes cools down."""
    phase = Phase()

    def one(recorded):
        k = fleet.passes + 1
        hot = f"mod({k} - n %% 100 + 1000000, 100) < {STAYS_HOT}"
        fleet.turn(recorded, hot, f"n %% 4 = {k % 4} OR n %% 100 IN ({k % 100}, {(k - STAYS_HOT) % 100})")

    for _ in range(STAYS_HOT):
        one(None)
    for _ in range(count):
        one(phase)
    fleet.check(fleet.live() > 0, "a fleet that changes has no alerts")
    fleet.turn(which="true")
    for _ in range(8):
        fleet.turn()
    fleet.check(fleet.live() == 0, "alerts are left of VPSs that have cooled down")
    return phase


def all_at_once(fleet):
    """Everything is beyond its threshold at once, for 150 s; then nothing is."""
    phase, over = Phase(), Phase()
    fleet.turn(phase, "true", "true")
    for _ in range(12):
        fleet.turn(phase, "true")
    limit = int(fleet.value("SHOW observ.max_alerts_per_rule"))
    each = min(fleet.size, limit) + (1 if fleet.size > limit else 0)
    hot_rules = 4 * len(METRICS)
    firing = fleet.live("status = 'firing' AND rule_id IN (SELECT rule_id FROM observ.alert_rules WHERE aggregate = 'last')")
    fleet.check(firing == hot_rules * each, f"{firing} alerts fire, not {hot_rules * each}")
    fleet.turn(over, "false", "true")
    for _ in range(24):
        fleet.turn(over)
    fleet.check(fleet.live() == 0, f"{fleet.live()} alerts are left when all is well again")
    return phase, over


def without_limit(fleet):
    """Six rules without `for`, each true for every VPS: written in one evaluation."""
    fleet.conn.execute("DELETE FROM observ.alert_rules")
    fleet.turn()
    fleet.conn.execute("INSERT INTO observ.alert_rules (name, metric_name, threshold) SELECT m, m, 90 "
                       f"FROM unnest(ARRAY[{', '.join(repr(m) for m in METRICS[:6])}]) m")
    fleet.conn.execute("SET observ.max_alerts_per_rule = 1000000")
    fires, clears = Phase(), Phase()
    fleet.turn()
    fleet.turn(fires, "true", "true")
    fleet.check(fleet.live("status = 'firing'") == 6 * fleet.size, "not every VPS fires six times")
    fleet.turn(clears, "false", "true")
    fleet.check(fleet.live() == 0, "alerts are left")
    fleet.conn.execute("RESET observ.max_alerts_per_rule")
    return fires, clears


def default_rules(fleet, count):
    """The rules that come with observ, on the same quiet fleet; passes at a full minute are those at which queries are due."""
    fleet.conn.execute("DELETE FROM observ.alert_rules; SELECT count(observ.restore_default_rule(name)) FROM observ.default_rules()")
    phase = Phase()
    fleet.turn()
    for _ in range(count):
        row = fleet.turn(phase)
    fleet.check(row[4] == 0, f"{row[4]} default rules failed")
    return phase


def growth(fleet, count):
    """(MiB of the session, bytes of relations) before and after so many quiet evaluations."""
    for _ in range(50 if count > 50 else 5):
        fleet.turn()
    fleet.conn.execute("VACUUM observ_data.evaluation_state, observ_data.rule_state, observ.alerts")
    before = fleet.memory(), int(fleet.value(RELATIONS))
    for _ in range(count):
        fleet.turn()
    return before, (fleet.memory(), int(fleet.value(RELATIONS)))


def measure(context, found, server, size, tables):
    """All phases at one size."""
    context.say(f"alerts: {size:,} VPSs, history")
    fleet = Fleet(context, found, server, size)
    fleet.conn.execute(RULES)
    few, many = (4, 4) if context.quick else (8, 24)
    phases, evaluations = tables

    def row(name, phase):
        phases.rows.append([f"{size:,}: {name}", phase.evaluate, report.Series([max(phase.evaluate.values)]), phase.dispatch,
                            phase.written, fleet.memory()])

    context.say(f"alerts: {size:,} VPSs, quiet")
    calm = quiet(fleet, many)
    row("quiet", calm)
    row("quiet, no samples in memory", from_scratch(fleet, few))
    context.say(f"alerts: {size:,} VPSs, changes")
    row("1 % get hot, 1 % cool down", changing(fleet, few))
    context.say(f"alerts: {size:,} VPSs, all at once")
    fires, over = all_at_once(fleet)
    row("all hot at once, 13 passes", fires)
    row("all well again, 25 passes", over)
    row("default rules, quiet", default_rules(fleet, many))
    if size <= 10000:
        fires, clears = without_limit(fleet)
        row("6 rules, all fire, no limit", fires)
        row("6 rules, all clear, no limit", clears)
    if size == SIZES[0]:
        context.say("alerts: growth")
        fleet.conn.execute(RULES)
        count = 40 if context.quick else 1000
        before, after = growth(fleet, count)
        evaluations.rows.append([f"memory of the session, MiB, before and after {count:,} evaluations", before[0], after[0]])
        evaluations.rows.append(["tables and indexes of alerting, kB", before[1] / 1024, after[1] / 1024])
        found.check(context.quick or after[0] < before[0] + 4, f"memory grew from {before[0]:.1f} to {after[0]:.1f} MiB")
        found.check(after[1] <= before[1] + 262144, f"tables grew from {before[1]} to {after[1]} bytes")
    if size in AIMS and not context.quick:
        found.aim(f"alerts, {size:,} VPSs x 60 rules: quiet evaluation", calm.evaluate.median, AIMS[size], "ms")
    fleet.conn.close()
    server.drop_database(f"alerts{size}")
    return calm.evaluate


def run(context, found):
    """All sizes, then Prometheus."""
    phases = found.table("Evaluation of 60 rules and dispatch, ms; aims 150 / 1,500 for a quiet evaluation of 10,000 / 100,000 VPSs", [
        "VPSs: phase", "evaluate_alerts", "longest", "dispatch_notifications", "rows written per pass", "memory of the session, MiB"], [
        "Until the client has the answer to COMMIT. Rows written: inserted, updated and deleted by both, in all tables of alerting. At most "
        "1,000 alerts per rule (observ.max_alerts_per_rule), the rest is one alert, but where it says no limit."])
    evaluations = found.table("Growth", ["", "before", "after"], ["A quiet fleet of 1,000 VPSs, after a warm-up of 50 evaluations; each pass with rows of a quarter of the fleet."])
    ours = {}
    with surroundings.server(context, settings=surroundings.JOBS_OFF) as server:
        for size in SIZES[:1] if context.quick else SIZES:
            ours[size] = measure(context, found, server, size, (phases, evaluations))
    alerts_prometheus.run(context, found, {size: took for size, took in ours.items() if size <= 10000})
