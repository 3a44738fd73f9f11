"""Chats: whatever there is to say, services take it (service_rules.py); the notifier sends it, in plain text where they can't read the other."""

import json
import random
import re

import pytest

import service_rules
from harness import wait_until
from receivers import Answer

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}

KINDS = {"slack": {"url": "https://hooks.slack.com/services/T/B/x"}, "discord": {"url": "https://discord.com/api/webhooks/1/x"}, "teams": {"url": "https://flow.example.com/x"},
         "telegram": {"token": "123:abc", "chat_id": "-100"}, "ntfy": {"topic": "alerts"}}
PIECES = ["<b>", "</b>", "&", "&amp;", "<!channel>", "@everyone", "<@U1>", "`", "*", "_", "~", "\\", "|", "[x](http://y)", "\x01", "\x7f", "\u0085", "\u202e", "\u200b", " ", "\n", "\r\n", "\t",
          "😀", "👨‍👩‍👧", "é", "ü" * 50, "日本語" * 40, "x" * 700, '"', "'", ">", "#", "{{DATE(1,2)}}", "${x}", "<at>all</at>", "%s", "word ", "db-1 ", "/var/* ", "\u2028", "\ufeff", "شمس", "\ud7ff", "\U0010ffff"]
SEVERITIES = ["info", "low", "medium", "warning", "high", "critical", "emergency"]
RUNBOOKS = ["https://wiki/x?a=b&c=d", "javascript:alert(1)", "http://x y", "https://" + "x" * 2500 + ".de", "https://wiki.example.com/" + "y" * 1900, "https://h/a(b)", "https://u@h/", "not"]
BASES = ["", "https://fleet.example.com/observ", "http://mon:8080", "https://fleet.example.com/" + "p" * 1500]


def odd(rng, most=30, longest=5000):
    """A text that nobody means well with."""
    how = rng.random()
    if how < 0.1:
        return rng.choice(["", "  \u200b\n", " "])
    if how < 0.2:
        return rng.choice(PIECES) * min(rng.choice([3, 30, 300, 5000]), longest)
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(1, most)))


def odd_alert(rng, number):
    """As observ.notifications.alerts has it. Behind the first hundred texts are shorter: ten thousand alerts are not 200 MB then."""
    longest = 5000 if number < 100 else 30
    mark = rng.choice(["new", "still", "resolved"])
    over = mark == "resolved"
    labels = {"alertname": odd(rng, 5, longest)}
    if rng.random() < 0.8:
        labels["instance"] = odd(rng, 5, longest)
    return {"alert_id": number, "fingerprint": f"f{number}", "mark": mark, "status": "resolved" if over else "firing", "severity": rng.choice(SEVERITIES), "labels": labels,
            "annotations": {"runbook_url": rng.choice([*RUNBOOKS, odd(rng, 3, longest)])}, "summary": rng.choice([None, odd(rng, longest=longest)]), "description": rng.choice([None, odd(rng, 100, longest)]),
            "value": rng.choice([None, 1, 97.123456789, 1e300, -5]), "peak": rng.choice([None, 98]), "starts_at": "2033-01-01T00:00:00.000Z",
            "ends_at": "2033-01-01T01:00:00.000Z" if over else None, "duration_seconds": rng.choice([0, 300, 1e9]), "acked_by": rng.choice([None, None, odd(rng, 3, longest)]),
            "resolved_reason": "cleared" if over else None, "flapping": rng.random() < 0.1, "stale": rng.random() < 0.1, "reopened": rng.choice([0, 0, 1])}


NOTE = """
    INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, route, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, status)
    VALUES ('2033-01-01', 'slack', 'odd', %s, %s, repeat('1', 64), %s, 'first notification', 'firing', %s, %s, '{}', %s, %s, %s, 'sent') RETURNING notification_id
"""


def test_services_take_whatever_is_said(server, observ_db):
    """Property: no message is refused for our mistake, and what is left out is counted."""
    rng = random.Random(20330101)
    bad = []
    with server.connect(observ_db, autocommit=True) as c:
        for kind, config in KINDS.items():
            c.execute("INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, %s, %s)", (kind, kind, json.dumps(config)))
        for number in range(80):
            alerts = [odd_alert(rng, n) for n in range(rng.choice([0, 1, 1, 2, 5, 20, 30]) if number % 50 else 10000)]
            firing, unlisted = sum(a["status"] == "firing" for a in alerts), rng.choice([0, 0, 9970])
            c.execute("SELECT set_config('observ.external_url', %s, false)", (rng.choice(BASES),))
            note = c.execute(NOTE, (number, odd(rng, 3), str(number), rng.choice(SEVERITIES), odd(rng, 5), json.dumps(alerts), firing + unlisted, len(alerts) - firing)).fetchone()[0]
            for kind in KINDS:
                for variant in (0, 1):
                    body = c.execute("SELECT observ_data._render_notification(%s, %s, variant => %s) -> 'body'", (note, kind, variant)).fetchone()[0]
                    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
                    bad += [(number, kind, variant, what) for what in getattr(service_rules, kind)(text)]
                    if unlisted and alerts:
                        assert re.search(r"and \d+ more", text), (number, kind, variant, text[-300:])
    assert not bad, bad[:10]


@pytest.fixture
def chats(server, observ_db, make_receiver):
    """A receiver that is all services at once: each looks at what it gets, and refuses what the service would. Channels lead to it, the default route to them."""
    receiver = make_receiver()
    refused = []

    def service(kind, taken):
        def answer(request):
            wrong = getattr(service_rules, kind)(request.body)
            refused.extend((kind, what) for what in wrong)
            return Answer(400, b"wrong") if wrong else taken
        return answer

    answers = {"slack": Answer(), "discord": Answer(body=b'{"id": "11"}'), "teams": Answer(202, b""), "telegram": Answer(body=b'{"ok": true, "result": {"message_id": 7}}'), "ntfy": Answer(body=b'{"id": "n1"}')}
    paths = {kind: f"/{kind}" for kind in KINDS} | {"telegram": "/bot123:abc/sendMessage", "ntfy": "/"}
    configs = {kind: {"url": receiver.url(f"/{kind}")} for kind in ("slack", "discord", "teams")}
    configs |= {"telegram": {"token": "123:abc", "chat_id": "-100", "api_url": receiver.url("").rstrip("/")}, "ntfy": {"url": receiver.url("/"), "topic": "alerts", "user": "u", "password": "p:ä"}}
    for kind, path in paths.items():
        receiver.script(path, service(kind, answers[kind]))
        server.sql(observ_db, "INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, %s, %s)", (kind, kind, json.dumps(configs[kind])))
    server.sql(observ_db, "UPDATE observ.routes SET channels = %s, group_by = '{alertname}', group_wait = '0', group_interval = '1 s' WHERE parent_id IS NULL", (list(KINDS),))
    receiver.paths, receiver.refused, receiver.service, receiver.answers = paths, refused, service, answers
    return receiver


FIRE = """
    INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
    VALUES (%(name)s, 0, 'firing', 'critical', 'db-1', jsonb_build_object('alertname', %(name)s::text, 'instance', 'db-1'), '{}', now(), now(), 95, 99, '{}', %(summary)s, true)
"""


def fire(server, db, name, summary="is <b>bad</b> & *worse* @everyone"):
    server.sql(db, FIRE, {"name": name, "summary": summary})
    server.sql(db, "SELECT observ.dispatch_notifications(now())")


def states(server, db):
    return dict(server.sql(db, "SELECT channel, status FROM observ.notifications"))


def test_the_notifier_sends_it(server, observ_db, chats):
    fire(server, observ_db, "Disk<Full>")
    wait_until(lambda: set(states(server, observ_db).values()) == {"sent"}, 60, f"all to be sent: {states(server, observ_db)} {chats.refused}")
    assert not chats.refused
    for kind, path in chats.paths.items():
        request, = chats.got(path)
        assert request.method == "POST" and request.headers["content-type"].startswith("application/json") and request.headers["user-agent"].startswith("observ/"), (kind, request.head)
        assert "Disk" in request.body.decode()
    assert chats.got("/discord")[0].query == "wait=true"
    assert chats.got("/")[0].headers["authorization"] == "Basic dTpwOsOk"
    receipts = dict(server.sql(observ_db, "SELECT channel, receipt FROM observ.notifications"))
    assert receipts["discord"] == "11" and receipts["telegram"] == "7" and receipts["ntfy"] == "n1"


def test_plain_text_where_they_cannot_read_the_other(server, observ_db, chats):
    """C15: the first request is refused for its form, the second is plain text, in the same attempt or the next."""
    complaints = {"slack": Answer(400, b"invalid_blocks"), "discord": Answer(400, b'{"embeds": ["0"]}'), "teams": Answer(400, b'{"error": {"message": "no card"}}'),
                  "telegram": Answer(400, b'{"ok": false, "error_code": 400, "description": "Bad Request: can\'t parse entities"}'), "ntfy": Answer(400, b'{"code": 40001, "error": "invalid request"}')}
    for kind, path in chats.paths.items():
        chats.script(path, complaints[kind], chats.service(kind, chats.answers[kind]))
    fire(server, observ_db, "Disk")
    wait_until(lambda: set(states(server, observ_db).values()) == {"sent"}, 60, "all to be sent")
    assert not chats.refused
    for kind, path in chats.paths.items():
        rich, plain = chats.got(path)
        assert len(plain.body) < len(rich.body) and b"Disk" in plain.body, kind
    assert "parse_mode" not in chats.got(chats.paths["telegram"])[1].json and set(chats.got("/slack")[1].json) == {"text", "unfurl_links", "unfurl_media"}


def test_refused_for_good(server, observ_db, chats):
    """Discord bans who goes on after a 404: one request, and the notification is dead."""
    chats.script("/discord", Answer(404, b'{"message": "Unknown Webhook", "code": 10015}'))
    chats.script(chats.paths["telegram"], Answer(403, b'{"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}'))
    fire(server, observ_db, "Disk")
    wait_until(lambda: states(server, observ_db) == {"slack": "sent", "discord": "dead", "teams": "sent", "telegram": "dead", "ntfy": "sent"}, 60, f"two to be dead: {states(server, observ_db)}")
    assert len(chats.got("/discord")) == 1
    errors = dict(server.sql(observ_db, "SELECT channel, last_error FROM observ.notifications WHERE status = 'dead'"))
    assert "Unknown Webhook" in errors["discord"] and "blocked" in errors["telegram"] and "abc" not in errors["telegram"]
