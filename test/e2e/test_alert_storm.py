"""Nothing is lost, nothing is doubled: kill -9 in the middle of evaluation and dispatch, and a thousand evaluations of a fleet that is well.

What belongs here: kills, what must hold after them, growth. What does not: the day that is played (alert_day.py), what alerts mean (test/regress).

OBSERV_ALERT_KILLS=100 for the full form, a whole day (make alert-storm); the short form is six kills in two hours of it. OBSERV_SEED repeats one.
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
HOURS = 2 if KILLS < 50 else 24
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
    """The same, and its process is killed in some of the steps: {number of step: after which part of the time that such steps take}."""

    def __init__(self, server, db, plan):
        self.plan = plan
        self.usual = dict.fromkeys(JOBS, 0.01)
        self.struck = {"before": 0, "after": 0, "answered": 0}
        super().__init__(server, db)

    def is_done(self, kind, at):
        column = {"evaluate": "evaluated_at", "dispatch": "dispatched_at"}[kind]
        return self.conn.execute(f"SELECT {column} = %s FROM observ_data.evaluation_state", (at,)).fetchone()[0]

    def run(self, kind, statement, params=None):
        number = len(self.steps)
        super().run(kind, statement, params) if number not in self.plan else self.run_killed(self.plan[number], kind, statement, params)
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
        plan[number] = chance.uniform(0, 1.1)
    return plan


# Each finds what must not be.
NEVER = {
    "a history that does not follow from what was before": """SELECT * FROM (SELECT alert_id, "timestamp", event, from_status, to_status, lag(to_status) OVER (PARTITION BY alert_id ORDER BY "timestamp", id) AS before
        FROM observ.alert_history) h WHERE from_status IS DISTINCT FROM before""",
    "an alert that is not what its history says": """SELECT a.alert_id, a.status, h.to_status FROM observ.alerts a LEFT JOIN (SELECT DISTINCT ON (alert_id) alert_id, to_status FROM observ.alert_history
        ORDER BY alert_id, "timestamp" DESC, id DESC) h USING (alert_id) WHERE h.to_status IS DISTINCT FROM a.status""",
    "a pending alert that is gone without a word": """SELECT DISTINCT ON (alert_id) alert_id, to_status FROM observ.alert_history h WHERE NOT EXISTS (SELECT FROM observ.alerts a WHERE a.alert_id = h.alert_id)
        AND NOT EXISTS (SELECT FROM observ.alert_history e WHERE e.alert_id = h.alert_id AND e.to_status = 'inactive') ORDER BY alert_id, "timestamp" DESC, id DESC""",
    "holes in the numbers of notifications": "SELECT channel, group_key, min(seq), max(seq), count(*) FROM observ.notifications GROUP BY 1, 2 HAVING min(seq) <> 1 OR max(seq) <> count(*)",
    "a number of notifications that was not kept": """SELECT c.*, n.seq FROM observ_data.group_channels c FULL JOIN (SELECT channel, group_key, max(seq) AS seq FROM observ.notifications GROUP BY 1, 2) n USING (channel, group_key)
        WHERE coalesce(c.seq, 0) <> coalesce(n.seq, 0)""",
    "a notification without its decision": """SELECT n.notification_id FROM observ.notifications n WHERE (SELECT count(*) FROM observ.notification_decisions d WHERE d.notification_id = n.notification_id AND d.decision = 'sent') <> 1""",
    "the end of what was not told": """SELECT * FROM (SELECT n.channel, n.group_key, n.seq, a ->> 'alert_id' AS alert, a ->> 'mark' AS mark,
        lag(a ->> 'mark') OVER (PARTITION BY n.channel, n.group_key, a ->> 'alert_id' ORDER BY n.seq) AS before FROM observ.notifications n, jsonb_array_elements(n.alerts) a) m
        WHERE mark = 'resolved' AND coalesce(before, 'resolved') = 'resolved' OR mark = 'new' AND before = 'new' OR mark = 'still' AND coalesce(before, 'resolved') = 'resolved'""",
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
    """Table by table, the first row that differs."""
    for table, rows in expected.items():
        for one, other in zip(rows, got[table]):
            assert one == other, (table, difference(one, other))
        assert len(rows) == len(got[table]), table


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
            expected = alert_day.outcome(sessions[db].conn)
            check_the_day(expected)
    killed = sessions["killed"]
    print(f"{len(day.rows)} rows, {len(expected['alert_history'])} rows of history, {len(expected['notifications'])} notifications; killed {killed.struck}")
    assert sum(killed.struck.values()) == KILLS and killed.struck["before"] >= KILLS // 3, "hardly any kill came in the middle"
    check_same(expected, alert_day.outcome(killed.conn))
    check_never(killed.conn)
