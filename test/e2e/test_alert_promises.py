"""Property: whatever samples, people, silences, rules and routes do, in any order, what each channel is told of each alert makes sense, and ends (C2, C3, C14, C17)."""

import datetime
import json
import random

import pytest

from harness import wait_until

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}

VPSS = ["v1", "v2", "v3", 'v 4"x']
METRICS = {"src": "cpu_percent", "m1": "memory_percent", "m2": "disk_percent", "m3": "swap_percent"}
STEPS, CALM, STEP_S = 150, 150, 10


def seconds(n):
    return datetime.timedelta(seconds=n)


class Fleet:
    """A small fleet in virtual time, ten seconds a step."""

    def __init__(self, conn, seed):
        self.conn, self.rng = conn, random.Random(seed)
        self.now = datetime.datetime(2035, 1, 1, tzinfo=datetime.timezone.utc)
        self.high = {(vps, metric): False for vps in VPSS for metric in METRICS}
        self.prepare()

    def run(self, sql, *values):
        return self.conn.execute(sql, values)

    def prepare(self):
        # The scheduler may be at it just now.
        wait_until(lambda: self.run("SELECT status FROM observ.maintain_partitions(%s)", self.now).fetchone()[0] == "ok")
        for table in ("alert_rules", "inhibition_rules"):
            self.run(f"DELETE FROM observ.{table}")
        self.run("DELETE FROM observ.routes WHERE parent_id IS NOT NULL")
        for vps in VPSS:
            self.run("INSERT INTO observ.vps (vps_name, labels) VALUES (%s, %s)", vps, json.dumps({"env": "prod" if vps < "v3" else "dev"}))
        self.run("INSERT INTO observ.notification_channels (name, send_resolved, resolved_during_silence) VALUES ('chat', true, false), ('quiet', false, true), ('pager', true, true)")
        self.run("""INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('test', '{alertname="src"}', '{alertname!~"src"}', '{vps_name}')""")
        self.run("""INSERT INTO observ.time_intervals (name, times) VALUES ('night', '[{"times": [{"start_time": "00:05", "end_time": "00:09"}]}]')""")
        self.run("UPDATE observ.routes SET group_by = '{alertname}', group_wait = '10 s', group_interval = '30 s', repeat_interval = '{3 min}', channels = '{default,chat,quiet}'")
        self.run("""INSERT INTO observ.escalations (name, matchers, after, channels, repeat_interval)
            VALUES ('e1', '{severity=~"high|critical"}', '1 min', '{boss}', NULL), ('e2', '{severity="high"}', '2 min', '{boss,board}', '1 min')""")
        self.make_route("ra")
        for rule in METRICS:
            self.make_rule(rule)

    def make_route(self, name):
        pick = self.rng.choice
        self.run("""INSERT INTO observ.routes (name, position, matchers, channels, group_by, group_wait, group_interval, repeat_interval, mute_time_intervals, "continue") VALUES (%s, 1, %s, %s, %s, %s, %s, %s, %s, %s)""",
                 name, pick(['{env="prod"}', '{vps_name="v1"}', '{severity="high"}', '{alertname="m1"}']), pick([["pager"], ["pager", "chat"], ["ext", "default"]]),
                 pick([["vps_name"], ["..."], ["alertname"], []]), pick(["0", "5 s", "20 s"]), pick(["30 s", "1 min"]), [pick([seconds(60), seconds(300)])], pick([None, ["night"]]), self.rng.random() < 0.4)

    def make_rule(self, name):
        pick = self.rng.choice
        self.run("""INSERT INTO observ.alert_rules (name, metric_name, threshold, severity, for_duration, keep_firing_for, reopen_window, notification_channels, flap_detection) VALUES (%s, %s, 80, %s, %s, %s, %s, %s, %s)""",
                 name, METRICS[name], pick(["high", "warning", "critical"]), pick(["0", "20 s", "30 s"]), pick(["0", "20 s"]), pick(["0", "1 min", "10 min"]), pick([None, None, ["pager"], ["ext", "quiet"]]), self.rng.random() < 0.7)

    # ---- what people do, between two steps: a dispatch that comes late is not after them

    @property
    def between(self):
        return self.now + seconds(5)

    def silence(self):
        self.run("SELECT observ.silence(%s, %s, 'storm', confirm => true, at => %s)", self.rng.choice(['{alertname="m1"}', '{alertname="m2"}', '{alertname="m3"}', '{env="prod"}']), seconds(self.rng.choice([20, 240, 600])), self.between)

    def unsilence(self):
        self.run("SELECT observ.expire_silence(max(silence_id), %s) FROM observ.silences WHERE ends_at > %s", self.between, self.between)

    def acknowledge(self):
        self.person("acknowledge_alert(%s, 'mine', %s, at => %s)", self.rng.choice([None, self.between + seconds(90)]))

    def unacknowledge(self):
        self.person("unacknowledge_alert(%s, at => %s)")

    def resolve(self):
        self.person("resolve_alert(%s, at => %s)")

    def person(self, call, *values):
        live = [row[0] for row in self.run("SELECT alert_id FROM observ.alerts WHERE status <> 'resolved' ORDER BY 1")]
        if live:
            self.run(f"SELECT observ.{call}", self.rng.choice(live), *values, self.between)

    def replace_rule(self):
        name = self.rng.choice(list(METRICS))
        if self.run("DELETE FROM observ.alert_rules WHERE name = %s", name).rowcount == 0 or self.rng.random() < 0.5:
            self.make_rule(name)

    def edit_rule(self):
        column, values = self.rng.choice([("severity", ["high", "warning", "critical", "emergency"]), ("notification_channels", [None, ["pager"], ["ext", "quiet"], ["chat"]]), ("enabled", [True, True, False])])
        self.run(f"UPDATE observ.alert_rules SET {column} = %s WHERE name = %s", self.rng.choice(values), self.rng.choice(list(METRICS)))

    def replace_route(self):
        name = self.rng.choice(["ra", "rb", "rc"])
        if self.run("DELETE FROM observ.routes WHERE name = %s", name).rowcount == 0:
            self.make_route(name)

    def edit_root(self):
        column, values = self.rng.choice([("channels", [["default", "chat", "quiet"], ["default"], ["chat", "pager"]]), ("group_by", [["alertname"], ["vps_name"], ["..."]])])
        self.run(f"UPDATE observ.routes SET {column} = %s WHERE parent_id IS NULL", self.rng.choice(values))

    def switch(self):
        self.run(self.rng.choice(["UPDATE observ.notification_channels SET enabled = NOT enabled WHERE name = 'pager'", "UPDATE observ.inhibition_rules SET enabled = NOT enabled",
                                  "UPDATE observ.escalations SET enabled = NOT enabled WHERE name = 'e2'"]))

    def maintain(self):
        self.run("INSERT INTO observ.maintenance_windows (vps_name, starts_at, ends_at, comment) VALUES (%s, %s, %s, 'storm')", self.rng.choice(VPSS), self.between, self.between + seconds(self.rng.choice([20, 100])))

    # ---- time

    def step(self, late=0):
        self.now += seconds(STEP_S)
        for vps in VPSS:
            self.run("INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent, memory_percent, disk_percent, swap_percent, interval_ms) VALUES (%s, %s, 'a', %s, %s, %s, %s, 10000)",
                     self.now, vps, *[95 if self.high[vps, metric] else 10 for metric in METRICS])
        self.run("SELECT observ.evaluate_alerts(%s)", self.now)
        self.run("SELECT observ.dispatch_notifications(%s)", self.now + seconds(late))

    def live(self):
        deeds = [self.silence, self.silence, self.unsilence, self.acknowledge, self.acknowledge, self.unacknowledge, self.resolve, self.replace_rule, self.edit_rule, self.edit_rule, self.replace_route, self.edit_root,
                 self.switch, self.maintain]
        for _ in range(STEPS):
            for key in self.high:
                if self.rng.random() < 0.06:
                    self.high[key] = not self.high[key]
            for _ in range(self.rng.choice([0, 0, 1, 1])):
                self.rng.choice(deeds)()
            self.step(self.rng.choice([0, 1, 3]))
        self.high = dict.fromkeys(self.high, False)
        self.run("UPDATE observ.notification_channels SET enabled = true")
        for _ in range(CALM):
            self.step()


MARKS = """CREATE TEMP VIEW marks AS SELECT n.*, (a->>'alert_id')::bigint AS alert_id, a->'labels'->>'alertname' AS name, a->>'mark' AS mark, lag(a->>'mark') OVER w AS before, lead(a->>'mark') OVER w AS after
    FROM observ.notifications n, jsonb_array_elements(n.alerts) a WINDOW w AS (PARTITION BY n.channel, n.group_key, a->>'alert_id' ORDER BY n.seq)"""
PICTURE = "(SELECT jsonb_agg(jsonb_build_array(e->'alert_id', e->'mark', e->'flapping') ORDER BY e->'alert_id') FROM jsonb_array_elements(alerts) e)"
# Each returns what must not be. Channel quiet does not hear of ends, so that what fires after them is new to it again.
NEVER = {
    "C2: an end of what was not told": "SELECT * FROM marks WHERE mark = 'resolved' AND (before IS NULL OR before = 'resolved' OR channel = 'quiet')",
    "C3: what was told has no end": "SELECT * FROM marks WHERE after IS NULL AND mark <> 'resolved' AND channel <> 'quiet'",
    "C14: a mark that is not true": """SELECT * FROM marks WHERE channel <> 'quiet' AND (mark = 'new' AND before <> 'resolved' OR mark = 'still' AND coalesce(before, 'resolved') = 'resolved')""",
    "the same twice": f"""SELECT * FROM (SELECT channel, reason, {PICTURE} AS picture, lag({PICTURE}) OVER w AS before FROM observ.notifications WINDOW w AS (PARTITION BY channel, group_key ORDER BY seq)) n
        WHERE picture = before AND channel <> 'quiet' AND reason IN ('first notification', 'new alerts added', 'some alerts resolved', 'all alerts resolved')""",
    "a notification of nothing": "SELECT * FROM observ.notifications WHERE alerts = '[]'",
    # A flush counts for its time on the grid, up to 11 s before the dispatch that made it.
    "trouble told in a silence": """SELECT m.* FROM marks m JOIN observ.silences s ON m."timestamp" >= s.starts_at AND m."timestamp" < s.ends_at - interval '11 s' AND s.matchers = '{alertname="' || m.name || '"}'
        WHERE m.mark <> 'resolved' OR m.channel = 'chat'""",
    "an incident that changes its key": """SELECT * FROM (SELECT *, lag(state) OVER w AS before, lag(incident_key) OVER w AS incident_before FROM observ.notifications WINDOW w AS (PARTITION BY channel, group_key ORDER BY seq)) n
        WHERE channel <> 'quiet' AND before = 'firing' AND incident_key <> incident_before""",
    "a gap in the numbers": "SELECT channel, group_key FROM observ.notifications GROUP BY 1, 2 HAVING count(*) <> max(seq)",
    "what is left behind": """SELECT 'group', group_key FROM observ_data.alert_groups UNION ALL SELECT 'member', alert_id::text FROM observ_data.group_members UNION ALL SELECT 'told', channel FROM observ_data.told
        UNION ALL SELECT 'clock', alert_id::text FROM observ_data.escalation_clocks UNION ALL SELECT 'alert', alert_id::text FROM observ.alerts WHERE unrouted OR status <> 'resolved'""",
}


@pytest.mark.parametrize("seed", [32, 7])
def test_promises(server, observ_db, seed):
    with server.connect(observ_db, autocommit=True) as conn:
        conn.execute("SET TimeZone = 'UTC'")
        conn.execute("SET client_min_messages = error")
        fleet = Fleet(conn, seed)
        fleet.live()
        # It was one.
        assert conn.execute("SELECT count(*) > 50 AND count(DISTINCT reason) >= 6 AND count(DISTINCT channel) >= 4 FROM observ.notifications").fetchone()[0]
        conn.execute(MARKS)
        for what, sql in NEVER.items():
            assert conn.execute(sql).fetchmany(3) == [], what
