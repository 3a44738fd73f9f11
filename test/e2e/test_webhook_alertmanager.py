"""Kind webhook against a real Alertmanager: same routes, same alerts, same receiver; the bodies are the same field by field.

What belongs here: what comes on the wire. What does not: what a message says (test/regress/sql/notify_messages.sql).
"""

import hashlib
import hmac
import json
import subprocess
import urllib.request

import pytest

import harness

SERVER = {"settings": {"observ.external_url": "'http://fleet.example/observ'"}, "tcp": True}

ALERTMANAGER_CONFIG = """
route:
  receiver: nobody
  routes:
  - matchers: ['test="webhook"', 'severity=~"critical|high|info"', 'team!="x \\\\ \\"y\\""']
    receiver: hook (a.b)
    group_by: [team, alertname]
    group_wait: 1s
    group_interval: 1s
    repeat_interval: 1h
    routes:
    - matchers: ['alertname="Many"']
      receiver: few
receivers:
- name: nobody
- name: hook (a.b)
  webhook_configs: [{{url: "{url}/whole", send_resolved: true}}]
- name: few
  webhook_configs: [{{url: "{url}/few", send_resolved: true, max_alerts: 2}}]
"""


class Alertmanager:
    """One of its own on a free port; what it stores is in `directory`."""

    def __init__(self, directory, receiver_url):
        config = directory / "alertmanager.yml"
        config.write_text(ALERTMANAGER_CONFIG.format(url=receiver_url))
        self.url = f"http://127.0.0.1:{harness.free_port()}"
        self.log = open(directory / "alertmanager.log", "w", encoding="utf-8")  # noqa: SIM115  (as long as the process)
        self.process = subprocess.Popen(
            [harness.ROOT / "scripts/alertmanager.sh", f"--config.file={config}", f"--storage.path={directory}", "--cluster.listen-address=",
             f"--web.listen-address={self.url.removeprefix('http://')}", "--web.external-url=http://fleet.example/observ",
             "--web.route-prefix=/"], stdout=self.log, stderr=self.log)
        harness.wait_until(self.is_ready, 120, "Alertmanager", retry_on=(OSError,))

    def is_ready(self):
        """Whether it answers; it says itself why it ended."""
        assert self.process.poll() is None, "Alertmanager has ended: see alertmanager.log"
        return urllib.request.urlopen(self.url + "/-/ready", timeout=5).status == 200

    def post(self, alerts):
        """As Prometheus does."""
        request = urllib.request.Request(self.url + "/api/v2/alerts", json.dumps(alerts).encode(),
                                         {"Content-Type": "application/json"})
        assert urllib.request.urlopen(request, timeout=30).status == 200

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait(20)
        self.log.close()


@pytest.fixture
def alertmanager(tmp_path, make_receiver):
    """An Alertmanager and the receiver that both send to."""
    receiver = make_receiver()
    manager = Alertmanager(tmp_path, receiver.url("/am"))
    yield manager, receiver
    manager.close()


ROUTES = """
INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval, repeat_interval)
    VALUES ('webhook', '{test="webhook", severity=~"critical|high|info", team!="x \\\\ \\"y\\""}', '{hook (a.b)}', '{team,alertname}', '0', '1 s', '{1 h}');
INSERT INTO observ.routes (parent_id, name, matchers, channels) SELECT route_id, 'webhook-few', '{alertname="Many"}', '{few}' FROM observ.routes WHERE name = 'webhook'
"""
FIRE = """
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, annotations, summary, unrouted)
    VALUES (%(key)s, 0, 'firing', %(severity)s, %(instance)s, %(labels)s, '{}', %(at)s, %(at)s, 1, %(annotations)s, %(summary)s, true)
    RETURNING alert_id
"""
PRESENT = """
SELECT alert_id, labels, annotations, to_char(starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    to_char(ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') FROM observ.alerts WHERE labels ->> 'alertname' = %s
"""


def present(server, db, name):
    """The alerts of that name as Prometheus would post them to Alertmanager."""
    return [{"labels": labels, "annotations": annotations, "startsAt": starts_at, **({"endsAt": ends_at} if ends_at else {}),
             "generatorURL": f"http://fleet.example/observ/alerts/{alert_id}"}
            for alert_id, labels, annotations, starts_at, ends_at in server.sql(db, PRESENT, (name,))]


def comparable(body):
    """Without what is ours; alerts in the order of their fingerprints (each side has an order of its own)."""
    return {**{key: value for key, value in body.items() if key != "observ"},
            "alerts": sorted(({key: value for key, value in alert.items() if key != "observ"} for alert in body["alerts"]),
                             key=lambda alert: alert["fingerprint"])}


def fire(server, db, name, labels, annotations, at):
    """An alert as evaluation writes it."""
    severity = labels["severity"]
    server.sql(db, FIRE, {"key": name + json.dumps(labels), "severity": severity, "instance": labels.get("vps_name"), "at": at,
                          "labels": json.dumps({"alertname": name, "test": "webhook"} | labels), "summary": annotations.get("summary"),
                          "annotations": json.dumps(annotations)})


def prepare(server, db, receiver, **more):
    """Channels and routes; returns the present time, in whole milliseconds."""
    for name, path in (("hook (a.b)", "whole"), ("few", "few")):
        config = {"url": receiver.url(f"/observ/{path}")} | (more if path == "whole" else {"max_alerts": 2})
        server.sql(db, "INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, 'webhook', %s)",
                   (name, json.dumps(config)))
    for statement in ROUTES.split(";\n"):
        server.sql(db, statement.replace("%", "%%"))
    return server.value(db, "SELECT now() - interval '1 min 0.001002 s'")


def told(server, db, receiver, n, path):
    """Dispatches as the job would until so many requests are there, and returns them; the notifier is woken by the commits."""
    def is_there():
        server.sql(db, "SELECT observ.dispatch_notifications()")
        return len(receiver.got(path)) >= n

    harness.wait_until(is_there, what=f"{n} requests for {path}", interval=0.2)
    return receiver.got(path)


HOSTILE = [
    ({"team": 'a "b" \\ <i>&amp;</i>', "severity": "critical", "vps_name": "db-1", "empty": ""}, {"summary": "plain"}),
    ({"team": 'a "b" \\ <i>&amp;</i>', "severity": "high", "vps_name": "db-2", "mark": "<script>alert('x')</script>"},
     {"summary": "two\nlines\tand a tab", "runbook_url": "https://run.book/?a=1&b=<2>"}),
    ({"team": 'a "b" \\ <i>&amp;</i>', "severity": "high", "vps_name": "🔥 ñ 日本", "control": "a\u0001\u001f\u007f\u0085\u2028b"},
     {"summary": "🔥" * 1000, "description": ""}),
]


@pytest.mark.parametrize("name", ["Disk", 'Odd "name"\n\u0001 é\u00a0🔥\u2028\ufffe\U000e0067\U0010ffff'])
def test_bodies_are_those_of_alertmanager(server, observ_db, alertmanager, name):
    """Firing, one of several resolved, all resolved."""
    manager, receiver = alertmanager
    at = prepare(server, observ_db, receiver)
    for labels, annotations in HOSTILE:
        fire(server, observ_db, name, labels, annotations, at)

    posted = []

    def compare(n):
        # An end is posted once: Alertmanager would take the second one for news.
        news = [alert for alert in present(server, observ_db, name) if alert not in posted or "endsAt" not in alert]
        posted.extend(news)
        manager.post(news)
        ours = told(server, observ_db, receiver, n, "/observ/whole")[-1].json
        theirs = receiver.wait_for(n, "/am/whole")[-1].json
        assert comparable(ours) == comparable(theirs)
        return ours

    body = compare(1)
    assert body["status"] == "firing" and len(body["alerts"]) == 3
    server.sql(observ_db, "UPDATE observ.alerts SET status = 'resolved', ends_at = now(), resolved_reason = 'cleared', changes = changes + 1, "
                          "unrouted = true WHERE instance = 'db-2'")
    harness.wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.notifications WHERE status = 'sent'") == 1,
                       what="the first one to be recorded")
    body = compare(2)
    assert sorted(alert["status"] for alert in body["alerts"]) == ["firing", "firing", "resolved"]
    server.sql(observ_db, "UPDATE observ.alerts SET status = 'resolved', ends_at = now(), resolved_reason = 'cleared', changes = changes + 1, "
                          "unrouted = true WHERE status = 'firing'")
    harness.wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.notifications WHERE status = 'sent'") == 2,
                       what="the second one to be recorded")
    assert compare(3)["status"] == "resolved"


def test_max_alerts_counts_as_alertmanager_does(server, observ_db, alertmanager):
    """max_alerts: the number that was left out, and the status of all."""
    manager, receiver = alertmanager
    at = prepare(server, observ_db, receiver)
    for i in range(7):
        fire(server, observ_db, "Many", {"team": "x", "severity": "high", "vps_name": f"m-{i}"}, {"summary": "one of many"}, at)
    manager.post(present(server, observ_db, "Many"))
    ours = told(server, observ_db, receiver, 1, "/observ/few")[-1].json
    theirs = receiver.wait_for(1, "/am/few")[-1].json
    assert (len(ours["alerts"]), ours["truncatedAlerts"]) == (len(theirs["alerts"]), theirs["truncatedAlerts"]) == (2, 5)
    assert {key: value for key, value in comparable(ours).items() if key not in ("alerts", "commonLabels")} == {
        key: value for key, value in comparable(theirs).items() if key not in ("alerts", "commonLabels")}


def test_signature_and_headers(server, observ_db, make_receiver):
    """What receivers check: the signature is of the body as it came; the same key at each attempt."""
    receiver = make_receiver()
    at = prepare(server, observ_db, receiver, bearer_token="t0ken", signing_secret="open sesame", headers={"X-Team": "db"})
    receiver.script("/observ/whole", 503, 200)
    fire(server, observ_db, "Disk", {"team": "x", "severity": "high", "vps_name": "db-1"}, {"summary": "ü"}, at)
    requests = told(server, observ_db, receiver, 2, "/observ/whole")
    for attempt, request in enumerate(requests, 1):
        headers = {name.lower(): value for name, value in request.headers.items()}
        expected = hmac.new(b"open sesame", headers["x-observ-timestamp"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
        assert headers["x-observ-signature"] == f"sha256={expected}"
        assert headers["authorization"] == "Bearer t0ken" and headers["x-team"] == "db"
        assert headers["content-type"] == "application/json"
        assert request.json["observ"]["attempt"] == attempt
        assert headers["idempotency-key"] == request.json["observ"]["idempotency_key"]
    assert len({request.json["observ"]["idempotency_key"] for request in requests}) == 1


def test_a_template_that_fails_sends_the_usual_text(server, observ_db, make_receiver):
    """C15: a mistake that got there past the check: the message is sent, and the attempt says why it has other words."""
    receiver = make_receiver()
    at = prepare(server, observ_db, receiver)
    server.sql(observ_db, "ALTER TABLE observ.notification_channels DISABLE TRIGGER USER")
    server.sql(observ_db, "UPDATE observ.notification_channels SET title_template = '{{ oops }}', body_template = '{{ range alerts }}{{ name }}{{ end }}'")
    server.sql(observ_db, "ALTER TABLE observ.notification_channels ENABLE TRIGGER USER")
    fire(server, observ_db, "Disk", {"team": "x", "severity": "high", "vps_name": "db-1"}, {"summary": "s"}, at)
    body = told(server, observ_db, receiver, 1, "/observ/whole")[-1].json
    assert body["observ"]["title"] == "[FIRING:1 (1 new)] Disk team=x" and body["observ"]["text"] == "Disk"
    attempt = harness.wait_until(lambda: server.sql(observ_db, "SELECT outcome, error FROM observ.notification_attempts"), what="the attempt")
    assert attempt == [("sent", "title_template is not used: this is no value that templates know at character 4")]
