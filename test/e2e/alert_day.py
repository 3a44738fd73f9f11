"""A day in the life of a fleet, in virtual time and from a seed: rows that arrive, people who act, and the two jobs that are called minute by minute.

What belongs here: making the day, playing it, and telling what came of it without the numbers that differ from run to run. What does not: killing anything,
judging (test_alert_storm.py).

    day = Day(seed=1, hours=24)
    day.store(conn)                       rules, VPSs, and the rows in a table from which play() delivers them
    play(session, day)                    session.run(kind, at, statement, params) is asked to run each step
    outcome(conn)                         {"alerts": [...], "alert_history": [...], ...}
"""

import datetime
import json
import random

START = datetime.datetime(2034, 5, 1, tzinfo=datetime.timezone.utc)
MINUTE = datetime.timedelta(minutes=1)
VPSS = [f"{role}-{n}" for role in ("web", "db", "job") for n in range(1, 4)]

# Beside the default rules: one of each kind, with everything that can make an alert take its time.
RULES = [
    {"name": "DayCpu", "metric_name": "cpu_usage", "threshold": 90, "clear_threshold": 70, "for_duration": "2m", "keep_firing_for": "3m", "severity": "high",
     "labels": {"family": "daycpu"}, "annotations": {"summary": "{{ labels.vps_name }}: {{ value | round(1) }} %"}},
    {"name": "DayCpuWorse", "metric_name": "cpu_usage", "threshold": 96, "severity": "critical", "labels": {"family": "daycpu"}, "notification_channels": ["pager", "chat"]},
    {"name": "DayCpuMean", "metric_name": "cpu_usage", "aggregate": "avg", "window": "5m", "threshold": 80, "severity": "warning", "evaluation_interval": "2m"},
    {"name": "DayMemory", "metric_name": "memory_usage", "threshold": 90, "severity": "medium", "reopen_window": "0", "no_data": "resolve"},
    {"name": "DayDisk", "metric_name": "disk_usage", "aggregate": "predict", "window": "30m", "predict_ahead": "1h", "threshold": 95, "severity": "low", "keep_firing_for": "10m"},
    {"name": "DayWeb", "metric_name": "health_consecutive_failures", "operator": "gte", "threshold": 3, "severity": "critical", "labels": {"team": "web"}},
    {"name": "DayErrors", "metric_name": "log_count", "matchers": '{level=~"error|fatal"}', "window": "5m", "threshold": 5, "severity": "high", "labels": {"team": "web"}},
    {"name": "DayQueue", "source": "metric_samples", "metric_name": "queue_depth", "threshold": 100, "for_duration": "1m", "severity": "warning", "on_missing": "resolve",
     "labels": {"team": "database"}},
    {"name": "DaySilent", "metric_name": "data_age_seconds", "threshold": 240, "severity": "emergency", "per_app": False},
    {"name": "DayQuery", "severity": "info", "for_duration": "3m", "evaluation_interval": "1m",
     "query": "SELECT jsonb_build_object('vps_name', m.vps_name) AS labels, max(m.cpu_percent)::float8 AS value, max(m.cpu_percent) > 93 AS breach "
              "FROM observ.vps_metrics m WHERE m.\"timestamp\" > $1 - interval '3 minutes' AND m.\"timestamp\" <= $1 GROUP BY 1"},
    {"name": "DayBroken", "severity": "info", "for_duration": "1m",
     "query": "SELECT jsonb_build_object('vps_name', m.vps_name) AS labels, 1::float8 / (extract(minute FROM $1)::int % 7) AS value, true AS breach "
              "FROM observ.vps_metrics m WHERE m.\"timestamp\" > $1 - interval '1 minute' AND m.\"timestamp\" <= $1 AND m.cpu_percent > 95 GROUP BY 1"},
]
SET_UP = [
    # What asks about the server itself: a kill is something to them.
    "UPDATE observ.alert_rules SET enabled = false WHERE query LIKE '%pg_stat%'",
    # It asks when the latest evaluation was: asked once more for the same time it sees the one before.
    "UPDATE observ.alert_rules SET enabled = false WHERE name = 'EvaluatorLagging'",
    "INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('day', '{alertname=\"DaySilent\"}', '{alertname!=\"DaySilent\"}', '{vps_name}')",
    "INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('lunch', 'Europe/Berlin', '[{\"times\": [{\"start_time\": \"04:30\", \"end_time\": \"05:00\"}]}]')",
    """INSERT INTO observ.routes (position, name, matchers, channels, group_by, group_wait, group_interval, repeat_interval, mute_time_intervals) VALUES
        (10, 'web', '{team="web"}', '{web-chat,pager}', '{alertname,vps_name}', '30 s', '2 min', '{6 min,30 min}', NULL),
        (20, 'memory', '{alertname="DayMemory"}', '{chat}', '{...}', '0', '1 min', '{4 min,10 min}', '{lunch}'),
        (30, 'queue', '{alertname="DayQueue"}', '{chat,polite}', '{}', '1 min', '5 min', '{1 h}', NULL)""",
    "INSERT INTO observ.notification_channels (name, resolved_during_silence, send_resolved) VALUES ('polite', false, true), ('deaf', true, false), ('chat', true, true)",
    "INSERT INTO observ.escalations (name, matchers, after, channels, repeat_interval) VALUES ('boss', '{severity=~\"critical|emergency\"}', '6 min', '{boss}', '10 min')",
]
FEED = {
    "vps_metrics": """INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent, uptime_seconds, cpu_cores, load_avg_5m, interval_ms)
        SELECT at, vps_name, 'app', cpu, memory, disk, uptime, 2, cpu / 40, 60000 FROM public.feed WHERE what = 'vps_metrics' AND arrives > %s AND arrives <= %s ORDER BY number""",
    "health_checks": """INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, response_time_ms)
        SELECT at, vps_name, 'app', name, cpu = 0, 20 + disk FROM public.feed WHERE what = 'health_checks' AND arrives > %s AND arrives <= %s ORDER BY number""",
    "log_entries": """INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message)
        SELECT at, vps_name, 'app', name, 'request ' || number || ' went wrong' FROM public.feed WHERE what = 'log_entries' AND arrives > %s AND arrives <= %s ORDER BY number""",
    "metric_samples": """SELECT sum(s.stored) FROM public.feed f, observ.insert_samples(vps_name, 'app', ARRAY[at], ARRAY['queue_depth'], ARRAY[jsonb_build_object('queue', name)], ARRAY[cpu]) s
        WHERE what = 'metric_samples' AND arrives > %s AND arrives <= %s""",
}
LIVE = "SELECT alert_id FROM observ.alerts WHERE status IN ('firing', 'recovering') ORDER BY fingerprint OFFSET %s %% greatest((SELECT count(*) FROM observ.alerts WHERE status IN ('firing', 'recovering')), 1) LIMIT 1"

# What people do, and how often per hour. {at}, {soon}: times; {pick}: any number; {vps}; {n}, {number}: a
# name and a number that nobody else has (numbers from sequences jump when a server is killed).
DEEDS = [
    (4, f"SELECT (observ.acknowledge_alert(a.alert_id, 'mine', until => CASE WHEN {{pick}} % 2 = 0 THEN {{soon}} END, sticky => {{pick}} % 3 = 0, at => {{at}})).alert FROM ({LIVE.replace('%s', '{pick}').replace('%%', '%')}) a"),
    (1, f"SELECT (observ.unacknowledge_alert(a.alert_id, 'not mine', at => {{at}})).alert FROM ({LIVE.replace('%s', '{pick}').replace('%%', '%')}) a"),
    (2, f"SELECT (observ.resolve_alert(a.alert_id, 'away with it', at => {{at}})).alert FROM ({LIVE.replace('%s', '{pick}').replace('%%', '%')}) a"),
    (2, "SELECT setval(pg_get_serial_sequence('observ.silences', 'silence_id'), {number}), observ.silence('{{vps_name=\"{vps}\"}}', until => {soon}, comment => 'being looked at', confirm => true, at => {at})"),
    (1, "SELECT setval(pg_get_serial_sequence('observ.silences', 'silence_id'), {number}), observ.silence('{{alertname=~\"DayCpu.*\"}}', until => {soon}, comment => 'known', auto_expire_when_clear => '3 min', confirm => true, at => {at})"),
    (1, "SELECT count(observ.expire_silence(silence_id, {at})) FROM (SELECT silence_id FROM observ.silences WHERE ends_at > {at} ORDER BY silence_id LIMIT 1) s"),
    (1, "SELECT setval(pg_get_serial_sequence('observ.maintenance_windows', 'id'), {number}), observ.plan_maintenance({at}, {soon}, '{vps}', name => 'upgrade')"),
    (1, "UPDATE observ.alert_rules SET severity = (ARRAY['warning', 'high', 'critical'])[1 + {pick} % 3]::observ.severity WHERE name = 'DayCpu'"),
    (1, "UPDATE observ.alert_rules SET threshold = 88 + {pick} % 6 WHERE name = 'DayMemory'"),
    (1, "UPDATE observ.alert_rules SET enabled = NOT enabled WHERE name = 'DayCpuMean'"),
    (1, "UPDATE observ.alert_rules SET notification_channels = CASE WHEN {pick} % 2 = 0 THEN ARRAY['chat', 'deaf'] END WHERE name = 'DayCpuWorse'"),
    (1, "UPDATE observ.routes SET group_interval = (1 + {pick} % 5) * interval '1 min' WHERE name = 'web'"),
    (1, "UPDATE observ.routes SET group_by = CASE WHEN {pick} % 2 = 0 THEN '{{alertname}}' ELSE '{{alertname,vps_name}}' END::text[] WHERE name = 'web'"),
    (1, "INSERT INTO observ.routes (route_id, position, name, matchers, channels) VALUES (1000 + {number}, 5, 'own-{n}', '{{vps_name=\"{vps}\"}}', '{{chat}}')"),
    (1, "DELETE FROM observ.routes WHERE route_id = (SELECT max(route_id) FROM observ.routes WHERE name LIKE 'own-%')"),
    (1, "UPDATE observ.notification_channels SET enabled = NOT enabled WHERE name = 'polite'"),
    (1, "UPDATE observ.vps SET labels = jsonb_build_object('env', (ARRAY['prod', 'test'])[1 + {pick} % 2]) WHERE vps_name = '{vps}'"),
    (1, "UPDATE observ.vps SET status = CASE WHEN status = 'active' THEN 'maintenance' ELSE 'active' END WHERE vps_name = '{vps}'"),
    (1, "SELECT observ.create_alert_rule('{{\"rule_id\": {number}, \"name\": \"Extra {n}\", \"metric_name\": \"cpu_usage\", \"threshold\": 50, \"severity\": \"low\"}}')"),
    (1, "DELETE FROM observ.alert_rules WHERE rule_id = (SELECT max(rule_id) FROM observ.alert_rules WHERE name LIKE 'Extra%')"),
]


def stamp(at):
    """A time as SQL."""
    return f"timestamptz '{at.isoformat()}'"


class Vps:
    """Makes up what one VPS reports, minute by minute: calm for a while, then one of a few troubles."""

    def __init__(self, rnd, name):
        self.rnd, self.name = rnd, name
        self.trouble, self.left = "calm", rnd.randrange(2, 15)
        self.disk, self.uptime = rnd.uniform(20, 60), 10**6

    def step(self):
        self.left -= 1
        self.uptime += 60
        if self.left <= 0:
            self.trouble = "calm" if self.trouble != "calm" else self.rnd.choice(
                ["hot", "hot", "wobbling", "flapping", "silent", "late", "full", "filling", "web", "errors", "queue", "queue gone", "reboot"])
            self.left = self.rnd.randrange(*{"calm": (3, 12), "flapping": (16, 30)}.get(self.trouble, (3, 25)))
            if self.trouble == "reboot":
                self.uptime = 30

    def values(self):
        cpu, memory = self.rnd.uniform(5, 40), self.rnd.uniform(30, 60)
        if self.trouble == "hot":
            cpu = self.rnd.uniform(91, 100)
        elif self.trouble == "wobbling":
            cpu = self.rnd.uniform(65, 96)
        elif self.trouble == "flapping":
            cpu = 98 if self.left % 2 else 20
        elif self.trouble == "full":
            memory = self.rnd.uniform(86, 99)
        self.disk = min(self.disk + 1.5, 99) if self.trouble == "filling" else max(self.disk - 0.5, 20)
        return cpu, memory, self.disk, self.uptime


class Day:
    """What happens: rows, deeds of people, and the times at which nobody evaluates."""

    def __init__(self, seed, hours):
        self.minutes = int(hours * 60)
        rnd = random.Random(seed)
        self.rows, self.deeds = [], []
        # Away while rows arrive (they are made up for), and away together with everything that sends.
        self.away = {m for start, length in ((0.30, 25), (0.62, 14)) for m in range(int(self.minutes * start), int(self.minutes * start) + length)}
        self.dark = set(range(int(self.minutes * 0.62), int(self.minutes * 0.62) + 14))
        vpss = [Vps(rnd, name) for name in VPSS]
        for minute in range(self.minutes):
            for vps in vpss:
                vps.step()
                if minute not in self.dark and vps.trouble != "silent":
                    self._report(rnd, vps, START + minute * MINUTE)
        self._plan(rnd)

    def _row(self, what, at, arrives, vps, name, values):
        self.rows.append((len(self.rows), what, at, arrives, vps.name, name, *values))

    def _report(self, rnd, vps, at):
        cpu, memory, disk, uptime = vps.values()
        arrives = at + (4 if vps.trouble == "late" else 0) * MINUTE
        self._row("vps_metrics", at, arrives, vps, None, (cpu, memory, disk, uptime))
        self._row("metric_samples", at, arrives, vps, "mail", (rnd.uniform(90, 300) if vps.trouble == "queue" else 5, None, None, None))
        if vps.trouble != "queue gone":
            self._row("metric_samples", at, arrives, vps, "paint", (rnd.uniform(0, 110), None, None, None))
        if vps.name.startswith("web"):
            for url in ("https://shop.example/", "https://shop.example/pay"):
                failed = vps.trouble == "web" and (url.endswith("pay") or rnd.random() < 0.7)
                self._row("health_checks", at, arrives, vps, url, (1 if failed else 0, None, rnd.uniform(0, 5), None))
        for _ in range(rnd.randrange(1, 4) if vps.trouble == "errors" else 0):
            self._row("log_entries", at, arrives, vps, rnd.choice(["error", "ERROR", "fatal", "warn"]), (None, None, None, None))

    def _plan(self, rnd):
        for often, statement in DEEDS:
            for n in range(max(1, round(often * self.minutes / 60))):
                minute = rnd.randrange(5, self.minutes)
                at = START + minute * MINUTE + datetime.timedelta(seconds=20)
                self.deeds.append((minute, statement.format(at=stamp(at), soon=stamp(at + rnd.randrange(2, 30) * MINUTE), pick=rnd.randrange(1000), vps=rnd.choice(VPSS),
                                                            n=f"{minute}-{n}", number=90000 + 10 * len(self.deeds))))
        self.deeds.sort(key=lambda deed: deed[0])

    def store(self, conn):
        """Rules, routes and VPSs, and the rows, which are delivered from public.feed."""
        conn.execute("SELECT observ.maintain_partitions(%s)", (START,))
        for rule in RULES:
            conn.execute("SELECT observ.create_alert_rule(%s)", (json.dumps(rule),))
        for statement in SET_UP:
            conn.execute(statement)
        for name in VPSS:
            conn.execute("SELECT observ.enroll_vps(%s, labels => %s)", (name, json.dumps({"env": "prod", "group": name.split("-")[0]})))
        conn.execute("CREATE TABLE public.feed (number int, what text, at timestamptz, arrives timestamptz, vps_name text, name text, cpu float8, memory float8, disk float8, uptime bigint)")
        with conn.cursor().copy("COPY public.feed FROM STDIN") as copy:
            for row in self.rows:
                copy.write_row(row)
        conn.execute("CREATE INDEX ON public.feed (what, arrives)")
        conn.execute("ANALYZE public.feed")


def play(session, day):
    """Plays the day: rows, deeds, evaluate and dispatch each minute, dispatch again half a minute later."""
    deeds, delivered = list(day.deeds), START - MINUTE
    for minute in range(day.minutes):
        at = START + minute * MINUTE
        # People are not away, and what they do is done at its time.
        if minute in day.away:
            while deeds and deeds[0][0] <= minute:
                session.run("deed", deeds.pop(0)[1])
            continue
        for statement in FEED.values():
            session.run("feed", statement, (delivered, at))
        delivered = at
        session.run("evaluate", "SELECT status, changes FROM observ.evaluate_alerts(%s)", (at,))
        session.run("dispatch", "SELECT status, routed + notifications FROM observ.dispatch_notifications(%s)", (at,))
        while deeds and deeds[0][0] <= minute:
            session.run("deed", deeds.pop(0)[1])
        session.run("dispatch", "SELECT status, routed + notifications FROM observ.dispatch_notifications(%s)", (at + MINUTE / 2,))


# Numbers of rows are taken in blocks and not given back, so they differ: an alert is named by what it is about and the number of its episode.
EPISODES = """CREATE TEMP TABLE episode AS
    SELECT alert_id, fingerprint || '#' || dense_rank() OVER (PARTITION BY fingerprint ORDER BY alert_id) AS episode
    FROM (SELECT alert_id, fingerprint FROM observ.alert_history UNION SELECT alert_id, fingerprint FROM observ.alerts) a"""
NAMED = "coalesce((SELECT e.episode FROM episode e WHERE e.alert_id = {0}), 'unknown ' || {0})"
OUTCOME = {
    "alerts": f"SELECT to_jsonb(a) - 'alert_id' || jsonb_build_object('episode', {NAMED.format('a.alert_id')}) FROM observ.alerts a ORDER BY {NAMED.format('a.alert_id')} COLLATE \"C\"",
    "alert_history": f"""SELECT "timestamp", {NAMED.format('h.alert_id')}, rule_id, from_status, to_status, event,
        CASE WHEN reason ~ 'alert [0-9]+$' THEN 'goes on as ' || {NAMED.format("substring(reason FROM '[0-9]+$')::bigint")} ELSE reason END, value, actor FROM observ.alert_history h
        ORDER BY "timestamp", {NAMED.format('h.alert_id')} COLLATE "C", h.id""",
    "told": f"SELECT {NAMED.format('t.alert_id')} AS episode, group_key, channel, state, told_at, reason, flapping, acknowledged FROM observ_data.told t ORDER BY 1, 2, 3",
    "notifications": f"""SELECT to_jsonb(n) - 'notification_id' || jsonb_build_object('alerts', (SELECT jsonb_agg(a - 'alert_id' || jsonb_build_object('episode', {NAMED.format("(a ->> 'alert_id')::bigint")}) ORDER BY o)
        FROM jsonb_array_elements(n.alerts) WITH ORDINALITY l (a, o))) FROM observ.notifications n ORDER BY n.channel, n.group_key, n.seq""",
    "decisions": f"""SELECT "timestamp", last_at, flushes, group_key, channel, route, decision, reason, firing, resolved,
        (SELECT n.seq FROM observ.notifications n WHERE n.notification_id = d.notification_id) AS seq,
        (SELECT jsonb_object_agg(CASE WHEN s.key ~ '^[0-9]+$' THEN {NAMED.format('s.key::bigint')} ELSE s.key END,
            CASE WHEN s.value ->> 'by' IN ('inhibition', 'hold', 'grace') THEN s.value - 'id' || jsonb_build_object('of', {NAMED.format("(s.value ->> 'id')::bigint")}) ELSE s.value END)
         FROM jsonb_each(d.suppressed) s) AS suppressed
        FROM observ.notification_decisions d ORDER BY group_key, channel, "timestamp", d.id""",
    "groups": "SELECT to_jsonb(g) FROM observ_data.alert_groups g ORDER BY group_key",
    "members": f"SELECT group_key, {NAMED.format('m.alert_id')} AS episode, departed, suppressed, due_at FROM observ_data.group_members m ORDER BY 1, 2",
    "clocks": f"SELECT to_jsonb(c) - 'alert_id' || jsonb_build_object('episode', {NAMED.format('c.alert_id')}) FROM observ_data.escalation_clocks c ORDER BY {NAMED.format('c.alert_id')} COLLATE \"C\"",
    # decision is a hash of a decision, alert numbers in it.
    "channels": "SELECT to_jsonb(c) - 'decision' FROM observ_data.group_channels c ORDER BY group_key, channel",
    "rules": "SELECT to_jsonb(s) FROM observ_data.rule_state s ORDER BY rule_id",
    "state": "SELECT to_jsonb(s) FROM observ_data.evaluation_state s",
    "silences": "SELECT silence_id, matchers, starts_at, ends_at, replaced_by, clear_since FROM observ.silences ORDER BY silence_id",
}


def outcome(conn):
    """What came of it: {table: rows}, the same for the same day."""
    conn.execute("DROP TABLE IF EXISTS episode")
    conn.execute(EPISODES)
    conn.execute("CREATE INDEX ON pg_temp.episode (alert_id)")
    return {name: conn.execute(query).fetchall() for name, query in OUTCOME.items()}
