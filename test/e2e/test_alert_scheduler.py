"""Alerting with the real scheduler: from a sample to an alert, the fleet summary and the outbox, and back; and what getting-started.md says about it."""

import re

import pytest

import harness
from harness import wait_until

SERVER = {"settings": {"observ.evaluation_interval": "1s", "observ.dispatch_interval": "1s", "observ.refresh_fleet_summary_interval": "1s"}}
SUMMARY = "SELECT firing_alerts, worst_severity::text FROM observ.fleet_summary() WHERE vps_name = %s"
STATUS = "SELECT status FROM observ.alerts WHERE instance = %s AND labels ->> 'alertname' = %s ORDER BY alert_id DESC LIMIT 1"
NOTES = "SELECT channel, reason, title FROM observ.notifications WHERE channel = 'pager' ORDER BY notification_id"


def sample(server, db, vps, cpu):
    server.sql(db, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES (%s, %s)", (vps, cpu))


@pytest.fixture
def works(server, observ_db):
    server.wait_for_worker("observ scheduler", observ_db)
    return observ_db


def wait_for(server, db, sql, parameters, expected, what):
    wait_until(lambda: server.sql(db, sql, parameters) == expected, 60, what)


def test_a_breach_is_in_the_summary_and_in_the_outbox_and_so_is_its_end(server, works):
    db = works
    server.sql(db, "INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval) "
                   "VALUES ('e2e', '{kind=\"e2e\"}', '{pager}', '{alertname}', '0', '1 s')")
    server.sql(db, "INSERT INTO observ.alert_rules (name, metric_name, threshold, severity, labels) VALUES "
                   "('E2eWarning', 'cpu_percent', 80, 'warning', '{\"kind\": \"none\"}'), ('E2eCritical', 'cpu_percent', 90, 'critical', '{\"kind\": \"e2e\"}')")
    sample(server, db, "web-1", 50)
    wait_for(server, db, SUMMARY, ("web-1",), [(0, None)], "a VPS without alerts")
    sample(server, db, "web-1", 95)
    wait_for(server, db, SUMMARY, ("web-1",), [(2, "critical")], "two alerts in the summary")
    told = [("pager", "first notification", "[FIRING:1 (1 new)] E2eCritical")]
    wait_for(server, db, NOTES, (), told, "a notification")
    # One of them ends: the worst is the other one.
    sample(server, db, "web-1", 85)
    wait_for(server, db, SUMMARY, ("web-1",), [(1, "warning")], "one alert in the summary")
    wait_for(server, db, NOTES, (), [*told, ("pager", "all alerts resolved", "[RESOLVED:1] E2eCritical")], "the end in the outbox")
    sample(server, db, "web-1", 10)
    wait_for(server, db, SUMMARY, ("web-1",), [(0, None)], "no alert in the summary")
    # What a person ends leaves the summary, too.
    sample(server, db, "web-1", 85)
    wait_for(server, db, STATUS, ("web-1", "E2eWarning"), [("firing",)], "the alert again")
    server.sql(db, "UPDATE observ.alert_rules SET enabled = false WHERE name LIKE 'E2e%'")
    wait_for(server, db, SUMMARY, ("web-1",), [(0, None)], "no alert of a disabled rule in the summary")


def statements_of_the_page():
    """SQL of the section about alerts, statement by statement, without comments."""
    page = (harness.ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    section = page.split("\n## Alerts\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sql\n(.*?)```", section, re.S)
    text = re.sub(r"--.*", "", "\n".join(blocks))
    return [statement.strip() for statement in re.split(r";\s*\n", text) if statement.strip()]


def test_what_getting_started_says_about_alerts_is_true(server, works):
    """Each statement runs as it stands, and shows what the page says once the scheduler has come by."""
    db = works
    statements = statements_of_the_page()
    assert len(statements) == 12
    answers = {}
    for number, statement in enumerate(statements):
        if number == 2:
            wait_for(server, db, STATUS, ("web-1", "Busy CPU"), [("firing",)], "the alert of the page")
            wait_for(server, db, SUMMARY, ("web-1",), [(1, "emergency")], "the summary of the page")
            wait_until(lambda: server.value(db, "SELECT count(*) FROM observ.notifications WHERE title LIKE '%Busy CPU'") == 1, 60, "the notification of the page")
        if number == 10:
            wait_for(server, db, STATUS, ("web-1", "Busy CPU"), [("resolved",)], "the end of the alert of the page")
        rows = server.sql(db, statement)
        answers[number] = rows
    # Default rules have something to say, too.
    alert = next(row for row in answers[2] if row[2] == "emergency")
    assert alert[1:] == ("firing", "emergency", "Busy CPU: cpu_percent is 95 (above 90) on web-1")
    assert answers[3] == [("web-1", 1, "emergency")]
    assert ("default", "first notification", "[FIRING:1 (1 new)] Busy CPU") in [row[1:] for row in answers[4]]
    assert any(row[1] == "told default" for row in answers[5])
    assert answers[7] == [(alert[0], "silence")]
    assert answers[8] == [("firing",)]
    assert answers[10] == [("resolved", "cleared")]
