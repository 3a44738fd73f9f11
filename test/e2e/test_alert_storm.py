"""Nothing is lost, nothing is doubled: kill -9 in the middle of evaluation and dispatch, and evaluations of a fleet that is well.

What belongs here: kills, what must hold after them, growth. What does not: the day that is played (alert_day.py), what alerts mean (test/regress).

OBSERV_ALERT_KILLS=100 for the full form, a whole day and a thousand evaluations (make alert-storm); the short form is six kills in two hours of it,
and 400 evaluations of the quiet fleet. OBSERV_SEED repeats one.
"""

import contextlib
import os
import random
import threading
import time

import psycopg
import pytest

import alert_day
from harness import wait_until

KILLS = int(os.environ.get("OBSERV_ALERT_KILLS", "6"))
HOURS, QUIET = (2, 400) if KILLS < 50 else (24, 1000)
# The scheduler keeps samples from one evaluation to the next; so does who plays it.
SESSION = ("SET timezone = 'UTC'", "SET observ.evaluation_cache = on", "SET client_min_messages = error")
JOBS = ("evaluate", "dispatch")


def seed():
    number = int(os.environ.get("OBSERV_SEED", random.randrange(10**6)))
    print(f"OBSERV_SEED={number} OBSERV_ALERT_KILLS={KILLS}")
    return number


class Session:
    """Runs steps in one connection; remembers of each how long it took and whether it changed anything."""

    def __init__(self, server, db):
        self.server, self.db, self.conn = server, db, None
        self.steps = []
        self.connect()

    def connect(self):
        self.conn = self.server.connect(self.db)
        for statement in SESSION:
            self.conn.execute(statement)

    def call(self, kind, statement, params):
        """One step; whether it changed anything, as far as the step is one of the jobs."""
        row = self.conn.execute(statement, params)
        if kind not in JOBS:
            return False
        status, changes = row.fetchone()
        assert status == "ok", (statement, params, status)
        return changes > 0

    def run(self, kind, statement, params=None):
        began = time.monotonic()
        changed = self.call(kind, statement, params)
        self.steps.append((kind, time.monotonic() - began, changed))


class KilledSession(Session):
    """The same, and its process is killed in some of the steps: {number of step: after which part of the time that such steps take}.

    On a busy machine a kill may come after the answer: the next step gets one that comes earlier.
    """

    def __init__(self, server, db, plan):
        self.plan, self.too_late = plan, []
        self.usual = dict.fromkeys(JOBS, 0.01)
        self.struck = {"before": 0, "after": 0, "answered": 0}
        super().__init__(server, db)

    def is_done(self, kind, at):
        column = {"evaluate": "evaluated_at", "dispatch": "dispatched_at"}[kind]
        return self.conn.execute(f"SELECT {column} = %s FROM observ_data.evaluation_state", (at,)).fetchone()[0]

    def run(self, kind, statement, params=None):
        number = len(self.steps)
        part = self.plan.get(number)
        if part is None and kind in JOBS and self.too_late and self.struck["answered"] < 2 * KILLS:
            part = self.too_late.pop() / 2
        super().run(kind, statement, params) if part is None else self.run_killed(part, kind, statement, params)
        if kind in JOBS:
            self.usual[kind] += 0.2 * (self.steps[-1][1] - self.usual[kind])

    def run_killed(self, part, kind, statement, params):
        offset = self.server.log_size()
        killer = threading.Timer(part * self.usual[kind], self.server.kill9_backend, (self.conn.info.backend_pid,))
        killer.start()
        answered = False
        with contextlib.suppress(psycopg.OperationalError):
            self.call(kind, statement, params)
            answered = True
        killer.join()
        self.server.wait_for_log("reinitializing", offset)
        wait_until(lambda: self.connect() is None, 30, "the server to be back", retry_on=psycopg.OperationalError)
        self.struck["answered" if answered else "after" if self.is_done(kind, params[0]) else "before"] += 1
        if answered:
            self.too_late.append(part)
        # Whoever may have missed the answer asks again.
        super().run(kind, statement, params)


def plan_kills(chance, steps):
    """Moments within steps of both jobs, three quarters of them in steps that write something."""
    jobs = [(number, kind, changed) for number, (kind, _, changed) in enumerate(steps) if kind in JOBS]
    plan = {}
    while len(plan) < KILLS:
        kind = JOBS[len(plan) % 2]
        busy = chance.random() < 0.75
        number, _, _ = chance.choice([job for job in jobs if job[1] == kind and (job[2] or not busy) and job[0] not in plan])
        plan[number] = chance.uniform(0, 0.9)
    return plan


# Each finds what must not be.
NEVER = {
    "a history that does not follow from what was before": """SELECT * FROM (SELECT alert_id, "timestamp", event, from_status, to_status, lag(to_status) OVER (PARTITION BY alert_id ORDER BY "timestamp", id) AS before
        FROM observ.alert_history) h WHERE from_status IS DISTINCT FROM before""",
    "an alert that is not what its history says": """SELECT a.alert_id, a.status, h.to_status FROM observ.alerts a LEFT JOIN (SELECT DISTINCT ON (alert_id) alert_id, to_status FROM observ.alert_history
        ORDER BY alert_id, "timestamp" DESC, id DESC) h USING (alert_id) WHERE h.to_status IS DISTINCT FROM a.status""",
    "a pending alert that is gone without a word": """SELECT DISTINCT ON (alert_id) alert_id, to_status FROM observ.alert_history h WHERE NOT EXISTS (SELECT FROM observ.alerts a WHERE a.alert_id = h.alert_id)
        AND NOT EXISTS (SELECT FROM observ.alert_history e WHERE e.alert_id = h.alert_id AND e.to_status = 'inactive') ORDER BY alert_id, "timestamp" DESC, id DESC""",
    "an end for no reason that there is": """SELECT * FROM observ.alert_history WHERE event IN ('inactive', 'resolved')
        AND coalesce(reason, '') !~ '^(cleared|no_data|manual(: .*)?|rule_changed|rule_disabled|rule_deleted|vps_retired|goes on as alert [0-9]+)$'""",
    "holes in the numbers of notifications": "SELECT channel, group_key, min(seq), max(seq), count(*) FROM observ.notifications GROUP BY 1, 2 HAVING min(seq) <> 1 OR max(seq) <> count(*)",
    "a number of notifications that was not kept": """SELECT c.*, n.seq FROM observ_data.group_channels c FULL JOIN (SELECT channel, group_key, max(seq) AS seq FROM observ.notifications GROUP BY 1, 2) n USING (channel, group_key)
        WHERE coalesce(c.seq, 0) <> coalesce(n.seq, 0)""",
    "a notification without its decision": """SELECT n.notification_id FROM observ.notifications n WHERE (SELECT count(*) FROM observ.notification_decisions d WHERE d.notification_id = n.notification_id AND d.decision = 'sent') <> 1""",
    "the end of what was not told": """SELECT * FROM (SELECT n.channel, n.group_key, n.seq, a ->> 'alert_id' AS alert, a ->> 'mark' AS mark,
        lag(a ->> 'mark') OVER (PARTITION BY n.channel, n.group_key, a ->> 'alert_id' ORDER BY n.seq) AS before FROM observ.notifications n, jsonb_array_elements(n.alerts) a) m
        WHERE channel NOT IN (SELECT name FROM observ.notification_channels WHERE NOT send_resolved)
            AND (mark = 'resolved' AND coalesce(before, 'resolved') = 'resolved' OR mark = 'new' AND before = 'new' OR mark = 'still' AND coalesce(before, 'resolved') = 'resolved')""",
    "told otherwise than by the latest notification": """SELECT t.*, l.mark FROM observ_data.told t LEFT JOIN LATERAL (SELECT a ->> 'mark' AS mark FROM observ.notifications n, jsonb_array_elements(n.alerts) a
        WHERE n.channel = t.channel AND n.group_key = t.group_key AND (a ->> 'alert_id')::bigint = t.alert_id ORDER BY n.seq DESC LIMIT 1) l ON true
        WHERE t.reason IS NOT NULL AND (t.state = 'resolved') IS DISTINCT FROM (l.mark = 'resolved')""",
}


def check_never(conn, but=()):
    """Nothing is found of what must not be."""
    for what, query in NEVER.items():
        if what not in but:
            assert conn.execute(query).fetchall() == [], what


def difference(one, other):
    """What two rows have not in common, where a row is one object: only its keys that differ."""
    if not isinstance(one[0], dict) or not isinstance(other[0], dict):
        return one, other
    return {key: (one[0].get(key), other[0].get(key)) for key in {*one[0], *other[0]} if one[0].get(key) != other[0].get(key)}, one[0].get("episode")


def check_same(expected, got):
    """Table by table, the first row that differs; history, which is in order of time, says it best."""
    for table in sorted(expected, key=lambda name: name != "alert_history"):
        for one, other in zip(expected[table], got[table]):
            assert one == other, f"{table}: {difference(one, other)}"
        assert len(expected[table]) == len(got[table]), table


def check_the_day(outcome):
    """The day was one: enough of everything happened, or the comparison shows little."""
    events = {row[5] for row in outcome["alert_history"]}
    reasons = {row[0]["reason"] for row in outcome["notifications"]}
    assert {"pending", "firing", "recovering", "resolved", "inactive", "reopened", "acknowledged"} <= events, events
    assert {"first notification", "all alerts resolved", "new alerts added", "unsuppressed", "repeat interval elapsed"} <= reasons, reasons
    assert {row[6] for row in outcome["decisions"]} >= {"sent", "nothing_new", "suppressed"}
    assert len(outcome["notifications"]) > 40 and len(outcome["alert_history"]) > 300


def test_a_day_with_kills_is_the_day_without(make_server):
    """States, history, what was told, outbox and decisions: all the same, whatever moment the kills chose."""
    number = seed()
    chance = random.Random(number)
    server = make_server(preload=False, settings={"restart_after_crash": "on", "checkpoint_timeout": "30s"})
    day = alert_day.Day(number % 1000 if HOURS > 2 else 1, HOURS)
    origin = server.create_database("origin", extension=True)
    with server.connect(origin) as conn:
        day.store(conn)
    sessions = {}
    for db in ("calm", "killed"):
        server.create_database(db, template=origin)
        server.sql(db, "SELECT observ.resume()")
        sessions[db] = Session(server, db) if db == "calm" else KilledSession(server, db, plan_kills(chance, sessions["calm"].steps))
        alert_day.play(sessions[db], day)
        if db == "calm":
            check_never(sessions[db].conn)
            expected = alert_day.outcome(sessions[db].conn)
            check_the_day(expected)
    killed = sessions["killed"]
    print(f"{len(day.rows)} rows, {len(expected['alert_history'])} rows of history, {len(expected['notifications'])} notifications; killed {killed.struck}")
    assert sum(killed.struck.values()) >= KILLS and killed.struck["before"] >= KILLS // 3, "hardly any kill came in the middle"
    check_same(expected, alert_day.outcome(killed.conn))
    check_never(killed.conn)


# ---- the real scheduler

FAST = {"observ.evaluation_interval": "1", "observ.dispatch_interval": "1", "restart_after_crash": "on", "checkpoint_timeout": "30s"}
ALIVE = ["a", "b", "c", "d", "e"]
REAL_RULES = """INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, keep_firing_for, severity, flap_detection) VALUES
    ('Now', 'cpu_percent', 90, '0', '0', 'high', false), ('Slow', 'cpu_percent', 80, '2 s', '2 s', 'warning', false)"""
SHORT_ROUTES = "UPDATE observ.routes SET group_wait = '0', group_interval = '1 s', repeat_interval = '{5 s}'"
FIRING = "SELECT r.name, a.instance FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE a.status = 'firing' ORDER BY 1, 2"
# By the outbox, of each alert the latest word.
TOLD = """SELECT DISTINCT r.name, a.instance FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) JOIN LATERAL (
        SELECT l ->> 'mark' AS mark FROM observ.notifications n, jsonb_array_elements(n.alerts) l WHERE (l ->> 'alert_id')::bigint = a.alert_id ORDER BY n.notification_id DESC LIMIT 1) m ON m.mark <> 'resolved'
    ORDER BY 1, 2"""


class Feed:
    """Rows of now, until told otherwise: each VPS is hot or it is not."""

    def __init__(self, server, db, chance):
        self.server, self.db, self.chance = server, db, chance
        self.hot = {name: False for name in ALIVE}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.send, daemon=True)

    def send(self):
        while not self.stopped.is_set():
            with contextlib.suppress(psycopg.OperationalError), self.server.connect(self.db) as conn:
                while not self.stopped.wait(0.2):
                    conn.execute("INSERT INTO observ.vps_metrics (vps_name, cpu_percent, interval_ms) SELECT n, CASE WHEN h THEN 99 ELSE 10 END, 60000 FROM unnest(%s::text[], %s::bool[]) u (n, h)",
                                 (list(self.hot), list(self.hot.values())))

    def turn(self):
        for name in self.hot:
            self.hot[name] = self.chance.random() < 0.5

    def expected(self):
        return sorted((rule, name) for rule in ("Now", "Slow") for name, hot in self.hot.items() if hot)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def kill_scheduler(server, db, chance, hot):
    """Kills it at some moment of its second, once both jobs have run well since `hot`."""
    def both_ran():
        rows = server.sql(db, "SELECT job_name FROM observ.job_runs WHERE job_name IN ('evaluate_alerts', 'dispatch_notifications') AND last_success > %s", (hot,))
        return len(rows) == 2
    wait_until(both_ran, 90, "both jobs to run after the kill before", retry_on=psycopg.OperationalError)
    pid = server.wait_for_worker("observ scheduler", db, deadline=60)
    offset = server.log_size()
    killer = threading.Timer(chance.uniform(0, 1.2), server.kill9_backend, (pid,))
    killer.start()
    killer.join()
    server.wait_for_log("reinitializing", offset)
    wait_until(lambda: server.value(db, "SELECT true"), 30, "the server", retry_on=psycopg.OperationalError)
    return server.value(db, "SELECT clock_timestamp()")


def settled(server, db, feed):
    """States and outbox agree with what is fed."""
    return server.sql(db, FIRING) == feed.expected() == server.sql(db, TOLD)


def test_the_scheduler_killed_at_its_work(make_server):
    """In real time, by its own clock: nothing doubled, nothing missing, and in the end everybody knows what is true."""
    chance = random.Random(seed())
    server = make_server(settings=FAST)
    db = server.create_database("real", extension=True)
    with server.connect(db) as conn:
        conn.execute("DELETE FROM observ.alert_rules")
        conn.execute(REAL_RULES)
        conn.execute(SHORT_ROUTES)
    since = server.value(db, "SELECT clock_timestamp()")
    with Feed(server, db, chance) as feed:
        for _ in range(max(KILLS // 2, 2)):
            feed.turn()
            since = kill_scheduler(server, db, chance, since)
        for truth in ({"a", "c"}, set(ALIVE), set()):
            feed.hot = {name: name in truth for name in ALIVE}
            wait_until(lambda: settled(server, db, feed), 90, f"alerts and notifications about {sorted(truth)} alone", retry_on=psycopg.OperationalError)
    with server.connect(db) as conn:
        wait_until(lambda: conn.execute("SELECT count(*) FROM observ_data.told WHERE state = 'firing'").fetchone()[0] == 0, 30, "everybody to know that it is over")
        check_never(conn)
        assert conn.execute("SELECT count(*) FROM observ.alerts WHERE status <> 'resolved' OR ends_at IS NULL").fetchone()[0] == 0
        assert conn.execute("SELECT job_name FROM observ.job_runs WHERE disabled").fetchall() == []


# ---- growth

SIZES = """SELECT c.oid::regclass::text, pg_total_relation_size(c.oid) FROM pg_class c WHERE relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND relkind IN ('r', 'S')
    AND c.oid NOT IN (SELECT inhrelid FROM pg_inherits WHERE inhparent IN ('observ.vps_metrics'::regclass)) ORDER BY 1"""
# Plans of rules' queries are kept, and made anew once when they have been used a few times: only how many there are counts, as 1 kB each.
CONTEXTS = """SELECT CASE WHEN name LIKE 'CachedPlan%' THEN 'plans' ELSE name || coalesce(': ' || left(ident, 100), '') END, sum(CASE WHEN name LIKE 'CachedPlan%' THEN 1024 ELSE used_bytes END)::bigint
    FROM pg_backend_memory_contexts GROUP BY 1"""
# A row each five minutes, for the longest window of the default rules is a day.
QUIET_ROWS = """INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent, uptime_seconds, cpu_cores, load_avg_5m, interval_ms)
    SELECT t, 'vps-' || i, 'app', 20 + i %% 30, 40, 50, 1000000, 4, 0.5, 300000 FROM generate_series(%s, %s, interval '5 min') t, generate_series(1, 200) i"""


def grown(before, after):
    """What is larger now, by how much."""
    return {name: size - before.get(name, 0) for name, size in after.items() if size > before.get(name, 0)}


def test_evaluations_of_a_quiet_fleet_leave_nothing(make_server):
    """200 VPSs that are well, looked at every 15 seconds: neither tables nor memory grow."""
    server = make_server(preload=False)
    db = server.create_database("quiet", extension=True)
    with server.connect(db) as conn:
        conn.prepare_threshold = None
        for statement in SESSION:
            conn.execute(statement)
        conn.execute("SELECT observ.maintain_partitions(%s)", (alert_day.START,))
        conn.execute(QUIET_ROWS, (alert_day.START - 1440 * alert_day.MINUTE, alert_day.START - alert_day.MINUTE))
        # Those about observ itself see that no other job runs here.
        conn.execute("UPDATE observ.alert_rules SET enabled = false WHERE category = 'observ'")

        def play(since, until):
            for n in range(since, until):
                at = alert_day.START + n * alert_day.MINUTE / 4
                if n % 20 == 0:
                    conn.execute(QUIET_ROWS, (at, at))
                assert conn.execute("SELECT status, pending + firing + changes + failed FROM observ.evaluate_alerts(%s)", (at,)).fetchone() == ("ok", 0)
                assert conn.execute("SELECT status, flushed FROM observ.dispatch_notifications(%s)", (at,)).fetchone() == ("ok", 0)

        def highest(since, until):
            """The most that each table and each memory context had in that time: samples are kept for some minutes, then read anew."""
            tables, memory = {}, {}
            for n in range(since, until, 10):
                play(n, n + 10)
                for most, query in ((tables, SIZES), (memory, CONTEXTS)):
                    for name, size in conn.execute(query):
                        most[name] = max(size, most.get(name, 0))
            return tables, memory

        play(0, 100)
        tables, memory = highest(100, 100 + QUIET // 2)
        tables_then, memory_then = highest(100 + QUIET // 2, 100 + QUIET)
    print(f"memory {sum(memory.values())}, then {sum(memory_then.values())}: {grown(memory, memory_then)}; tables {sum(tables.values())}, then {grown(tables, tables_then)}")
    assert grown(tables, tables_then) == {}
    assert sum(grown(memory, memory_then).values()) < 65536
