"""Property: whatever receivers answer, each is told what it must know, in order, and nothing that it can't understand. In virtual time.

Per channel and group (contracts C2, C3, C11 of alerting):
- nobody is told the end of what they have not been told the beginning of;
- whoever has confirmed the beginning of an alert confirms its end, too;
- whoever is up again knows all that fires;
- notifications come in order, an idempotency key is one notification's for good, and the queue is empty when all is said.
"""

import collections
import json
import os
import random

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}
SEEDS = int(os.environ.get("OBSERV_OUTBOX_SEEDS", "4"))
SECONDS = 500
QUIET = 1500
TEAMS = ("a", "b", "c")
CHANNELS = ("x", "y")

AT = "'2034-05-01 00:00+00'::timestamptz + %s * interval '1 s'"
SETUP = """
    SELECT observ.maintain_partitions('2034-05-01');
    INSERT INTO observ.notification_channels (name, kind, config) VALUES ('x', 'webhook', '{"url": "http://127.0.0.1:9/"}'), ('y', 'webhook', '{"url": "http://127.0.0.1:9/"}');
    INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES ('test', '{test="outbox"}', '{x,y}', '{team}', '1 s', '10 s', '{2 min}');
"""
FIRE = f"""INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
    VALUES (%s, 0, 'firing', %s, jsonb_build_object('alertname', %s::text, 'test', 'outbox', 'team', %s::text), '{{}}', {AT}, {AT}, 95, 99, '{{}}', 'bad', true)"""
RESOLVE = f"UPDATE observ.alerts SET status = 'resolved', ends_at = {AT}, resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = %s"
REOPEN = "UPDATE observ.alerts SET status = 'firing', ends_at = NULL, resolved_reason = NULL, reopened = reopened + 1, changes = changes + 1, unrouted = true WHERE fingerprint = %s"


class Receiver:
    """What one channel's people know, and how it behaves at the moment."""

    def __init__(self, rng):
        self.rng = rng
        self.mood, self.until = "up", 0
        self.heard = {}  # alert -> mark of what arrived last
        self.confirmed = {}  # the same of what it has confirmed
        self.seq = collections.defaultdict(int)
        self.keys = {}

    def answer(self, t):
        """(status, retry_after, outcome), and whether the request arrives."""
        if t >= self.until:
            self.mood = self.rng.choice(["up", "up", "up", "down", "busy", "deaf", "mad", "broken"])
            self.until = t + self.rng.choice([3, 10, 40, 120])
        if self.mood == "down":
            return (503, None, None), False
        if self.mood == "busy":
            return (429, str(self.rng.randint(1, 20)), None), False
        if self.mood == "deaf":
            return (None, None, "timeout"), self.rng.random() < 0.5
        if self.mood == "broken":
            return (None, None, "connect"), False
        if self.mood == "mad" and self.rng.random() < 0.3:
            return (400, None, None), False
        return (200, None, None), True

    def take(self, context, payload, confirmed):
        for alert in payload["alerts"]:
            name, mark = alert["labels"]["alertname"], alert["observ"]["mark"]
            if mark == "RESOLVED":
                assert name in self.heard, f"{context}: told the end of {name}, whose beginning it has not heard"
            self.heard[name] = mark
            if confirmed:
                self.confirmed[name] = mark


def check_order(receiver, context, payload):
    o = payload["observ"]
    assert receiver.keys.setdefault(o["idempotency_key"], o["notification_id"]) == o["notification_id"], context
    group = payload["groupKey"]
    assert o["seq"] >= receiver.seq[group], f"{context}: after number {receiver.seq[group]}"
    receiver.seq[group] = o["seq"]


def turn(db, receivers, t, calm, rng):
    """A second: what is due is sent and answered."""
    claimed = db.execute(f"SELECT notification_id, channel, attempt, request->>'body' FROM observ_data._claim_deliveries({AT})", (t,)).fetchall()
    for notification_id, channel, attempt, body in claimed:
        receiver, payload = receivers[channel], json.loads(body)
        context = f"{t} s, {channel}, notification {notification_id}, attempt {attempt}"
        (status, retry_after, outcome), arrives = ((200, None, None), True) if calm else receiver.answer(t)
        # The notifier is killed: nobody hears of the answer.
        lost = not calm and rng.random() < 0.02
        if arrives:
            check_order(receiver, context, payload)
            receiver.take(context, payload, status == 200 and not lost)
        if not lost:
            db.execute(f"SELECT observ_data._record_delivery({AT}, %s, %s, %s, '', %s, %s)", (t, notification_id, attempt, status, retry_after, outcome))


def change_alerts(db, rng, alerts, t):
    dice = rng.random()
    if dice < 0.10 and len(alerts) < 40:
        name = f"A{len(alerts)}"
        db.execute(FIRE, (name, rng.choice(["warning", "high", "emergency"]), name, rng.choice(TEAMS), t, t))
        alerts[name] = "firing"
    elif dice < 0.20 and alerts:
        name = rng.choice(sorted(alerts))
        if alerts[name] == "firing":
            db.execute(RESOLVE, (t, name))
            alerts[name] = "resolved"
        elif rng.random() < 0.3:
            db.execute(REOPEN, (name,))
            alerts[name] = "firing"


def live(db, seed):
    rng = random.Random(seed)
    receivers = {name: Receiver(rng) for name in CHANNELS}
    alerts = {}
    for t in range(1, SECONDS + QUIET):
        calm = t > SECONDS
        if not calm:
            change_alerts(db, rng, alerts, t)
        if calm and t % 10 != 0:
            continue
        db.execute(f"SELECT observ.dispatch_notifications({AT})", (t,))
        turn(db, receivers, t, calm, rng)
    for channel, receiver in receivers.items():
        for name, status in alerts.items():
            context = f"seed {seed}, {channel}, {name} is {status}: heard {receiver.heard.get(name)}, confirmed {receiver.confirmed.get(name)}"
            if status == "firing":
                assert receiver.confirmed.get(name) in ("NEW", "STILL"), context
            else:
                assert receiver.confirmed.get(name) in (None, "RESOLVED"), context
    assert db.execute("SELECT count(*) FROM observ_data.deliveries WHERE channel IN ('x', 'y')").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM observ.notifications WHERE channel IN ('x', 'y') AND status NOT IN ('sent', 'dead', 'cancelled')").fetchone() == (0,)
    return db.execute("SELECT status, count(*) FROM observ.notifications GROUP BY 1 ORDER BY 1").fetchall()


def test_receivers_know_what_they_must(server):
    """A seed is a database of its own; OBSERV_OUTBOX_SEEDS says how many."""
    for seed in range(SEEDS):
        name = f"outbox_{seed}"
        server.create_database(name, extension=True)
        with server.connect(name) as db:
            db.execute(SETUP)
            said = dict(live(db, seed))
        assert said["sent"] > 20 and said["cancelled"] > 0, said
        server.drop_database(name)
