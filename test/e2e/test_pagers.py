"""Property: whatever is in a notification, what is sent to PagerDuty, Opsgenie, Twilio, Appwrite and a mail server is what they take, says what it is
about, and counts what it leaves out."""

import json
import random
import re

import pytest

import pager_rules

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}

KEY = "0123456789abcdef0123456789abcdef"
SID = "AC" + KEY
CONFIGS = {
    "pagerduty": {"routing_key": KEY},
    "opsgenie": {"api_key": "k", "responders": ["team:ops", "user:ann@example.org"], "tags": ["observ"]},
    "twilio": {"account_sid": SID, "auth_token": "t", "from": "+15550001111", "to": ["+15551234567", "+491701234567"]},
    "appwrite": {"project": "p", "key": "k", "topics": ["ops"]},
    "sms": {"project": "p", "key": "k", "users": ["u"], "type": "sms"},
    "email": {"host": "mail.example.org", "from": "Zoë Ops <observ@example.org>", "to": ["ann@example.org", '"B, Bob" <bob@example.org>']},
}
SEVERITIES = ["info", "low", "medium", "warning", "high", "critical", "emergency"]

PIECES = ["disk / is full", "<b>bold</b>", "&amp;", "\r\nBcc: eve@example.org\r\n\r\n", "\nX-Evil: 1", "\x1b[31m", "\x00".replace("\x00", "\x01"), "😀🔥", "größe", "диск", "ディスク",
          "\u202eright to left\u202c", "{{ value }}", "@everyone", "--=_observ_part_of_mail--", ".", "\n.\n", "\nFrom me", "=?UTF-8?B?SGk=?=", '"', "\\", "%s", "'; DROP", "a" * 2000,
          "ö" * 3000, "x y " * 500, "\u2028", "\x7f", "\x85", "\u200b", "_[]{}^~|€`", ",", ";", "<script>alert(1)</script>", "javascript:alert(1)", "\U00020000", "🔥" * 9000]
URLS = [None, "https://runbooks.example.org/disk", "javascript:alert(1)", 'https://x/" onclick="y', "https://x/\r\nX: y", "http://" + "a" * 3000]


def some_text(rng, most=4):
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, most)))


def some_alert(rng):
    over = rng.random() < 0.3
    labels = {"alertname": rng.choice(["DiskFull", some_text(rng, 2)]), "vps_name": rng.choice(["db-1", some_text(rng, 1)])}
    labels.update({some_text(rng, 1) or "l": some_text(rng, 2) for _ in range(rng.randint(0, 3))})
    annotations = {"summary": some_text(rng), "description": some_text(rng)}
    url = rng.choice(URLS)
    if url:
        annotations["runbook_url"] = url
    if rng.random() < 0.02:
        annotations["description"] = "long " * 200000
    return {"alert_id": rng.randint(1, 10**9), "fingerprint": "%016x" % rng.getrandbits(64), "mark": "resolved" if over else rng.choice(["new", "still"]),
            "status": "resolved" if over else "firing", "severity": rng.choice(SEVERITIES), "labels": labels, "annotations": annotations,
            "summary": annotations["summary"], "description": annotations["description"], "value": rng.choice([None, 97.25, -1e300, 0]), "peak": rng.choice([None, 99]),
            "starts_at": "2033-01-01T10:00:00Z", "ends_at": "2033-01-01T11:00:00Z" if over else None, "duration_seconds": rng.choice([0, 59, 3600, 1e9]),
            "acked_by": rng.choice([None, None, "ann", some_text(rng, 1)]), "resolved_reason": "cleared" if over else None, "flapping": rng.random() < 0.1,
            "stale": rng.random() < 0.1, "reopened": rng.random() < 0.1}


def some_notification(rng):
    alerts = [some_alert(rng) for _ in range(rng.choice([1, 1, 1, 2, 5, 30]))]
    firing = sum(a["status"] == "firing" for a in alerts)
    resolved = len(alerts) - firing
    if len(alerts) == 30:
        firing += rng.choice([0, 9970])
    template = some_text(rng).replace("{", "")[:3000] or None if rng.random() < 0.2 else None
    return {"body_template": template, "reason": rng.choice(["first notification", "new alerts added", "acknowledged", "all alerts resolved", "flapping"]),
            "title": rng.choice(["[FIRING:1] DiskFull db", some_text(rng)]), "severity": max(SEVERITIES.index(a["severity"]) for a in alerts),
            "firing": firing, "resolved": resolved, "group_labels": {"alertname": "DiskFull"}, "alerts": alerts}


def check_pagerduty(n, request, path):
    event = pager_rules.pagerduty(path, request["headers"], request["body"])
    details = event.get("payload", {}).get("custom_details")
    if details and "alerts" in details and not n["body_template"]:
        assert details["left_out"] + len(details["alerts"].splitlines()) >= n["firing"] + n["resolved"]
    return event["event_action"]


def check_opsgenie(n, request, path):
    return pager_rules.opsgenie(path, request["headers"], request["body"])["action"]


def check_twilio(n, request, path):
    pager_rules.twilio(path, request["headers"], request["body"])


def check_appwrite(n, request, path):
    pager_rules.appwrite(path, request["headers"], request["body"])


def check_email(n, request, path):
    mail, text, html = pager_rules.mail(request["body"])
    assert str(mail["From"]) == "Zoë Ops <observ@example.org>" and str(mail["To"]) == 'ann@example.org, "B, Bob" <bob@example.org>'
    assert len(mail["Subject"]) <= 250 and "observ@example.org" in request["mail_from"] and request["mail_to"] == ["ann@example.org"]
    assert len(html) < 130000 and "<script" not in html and "onclick=\"" not in html and 'href="javascript' not in html
    assert all(re.match(r"https?://", url) for url in re.findall(r'href="([^"]*)"', html))
    for name, line in (("text", text), ("html", html)):
        more = [int(m) for m in re.findall(r"… and (\d+) more", line)]
        assert not more or 0 < more[-1] <= n["firing"] + n["resolved"], name
        if not more and name == "html" and not n["body_template"]:
            assert html.count("<tr><td style=\"border-left") == n["firing"] + n["resolved"]


@pytest.fixture(scope="module")
def render(server):
    """render(kind, notification): the request that its row in the outbox becomes."""
    db = "pagers"
    server.create_database(db, extension=True)
    with server.connect(db) as c:
        for name, config in CONFIGS.items():
            c.execute("SELECT observ.create_channel(%s)", (json.dumps({"name": name, "kind": "appwrite" if name == "sms" else name, "config": config}),))

        def one(channel, n):
            c.execute("UPDATE observ.notification_channels SET body_template = %s WHERE name = %s", (n.get("body_template"), channel))
            (request,) = c.execute("""
                WITH n AS (INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, route, incident_key, idempotency_key, reason, state, severity, title,
                        group_labels, alerts, firing, resolved)
                    SELECT '2033-01-01 12:00+00', %s, gen_random_uuid(), 1, 'team-db', repeat('0123456789abcdef', 4), encode(sha256(gen_random_uuid()::text::bytea), 'hex'), %s, %s, %s, %s,
                        %s, %s, %s, %s RETURNING notification_id)
                SELECT notification_id FROM n""", (channel, n["reason"], "firing" if n["firing"] else "resolved", SEVERITIES[n["severity"]], n["title"], json.dumps(n["group_labels"]),
                                                   json.dumps(n["alerts"]), n["firing"], n["resolved"])).fetchone()
            (request,) = c.execute("SELECT observ_data._render_notification(%s)", (request,)).fetchone()
            request["headers"] = dict(h.split(": ", 1) for h in request["headers"])
            body = request["body"]
            request["body"] = (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)).encode()
            request["path"] = re.sub(r"^[a-z]+://[^/]*", "", request["url"])
            return request

        yield one


CHECKS = {"pagerduty": check_pagerduty, "opsgenie": check_opsgenie, "twilio": check_twilio, "appwrite": check_appwrite, "sms": check_appwrite, "email": check_email}


@pytest.mark.parametrize("kind", CHECKS)
def test_services_take_whatever_is_sent(render, kind):
    rng = random.Random(kind)
    seen = set()
    for i in range(150):
        n = some_notification(rng)
        request = render(kind, n)
        try:
            seen.add(CHECKS[kind](n, request, request["path"]))
        except AssertionError:
            print(i, json.dumps(n)[:3000], request["body"][:3000])
            raise
    if kind in ("pagerduty", "opsgenie"):
        assert len(seen) == 3
