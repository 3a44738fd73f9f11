"""observ.test_alert() as people use it: the workers do everything, a receiver hears of it and of its end.

Not here: its texts, and whom it does not disturb (test/regress/sql/notify_test_alert.sql).
"""

import pytest

from harness import wait_until

SERVER = {"settings": {"observ.evaluation_interval": "1s", "observ.dispatch_interval": "1s"}}
LABELS = '{"team": "payments", "vps_name": "db-1"}'


def begin(server, db, severity, duration):
    """Its name. The rule is made by the first test of a severity, and looks every second from the beginning."""
    with server.connect(db, autocommit=False) as conn:
        (name,) = conn.execute("SELECT observ.test_alert(%s, %s, %s)", (LABELS, severity, duration)).fetchone()
        conn.execute("UPDATE observ.alert_rules SET evaluation_interval = '1 s' WHERE name = %s", (name,))
    return name


@pytest.mark.parametrize("severity", ["info", "emergency"])
def test_the_whole_way(server, observ_db, make_receiver, severity):
    """[TEST] at once, though alerts of its route may wait for minutes; resolved after its duration; nothing else is told, and nothing twice."""
    receiver = make_receiver()
    server.sql(observ_db, "UPDATE observ.alert_rules SET enabled = false")
    server.sql(observ_db, "SELECT observ.create_channel(jsonb_build_object('name', 'hook', 'kind', 'webhook', 'url', %s::text))", (receiver.url("/hook"),))
    server.sql(observ_db, "UPDATE observ.routes SET channels = '{hook}' WHERE parent_id IS NULL")
    server.wait_for_jobs(observ_db)
    name = begin(server, observ_db, severity, "10 s")
    fired = receiver.wait_for(1, "/hook", deadline=60)[0].json
    resolved = receiver.wait_for(2, "/hook", deadline=120)[1].json
    for body, state in ((fired, "firing"), (resolved, "resolved")):
        (alert,) = body["alerts"]
        assert (body["status"], alert["status"], body["observ"]["test"]) == (state, state, True)
        assert (alert["labels"]["alertname"], alert["labels"]["severity"], alert["labels"]["team"]) == (name, severity, "payments")
        assert body["observ"]["title"].startswith(f"[TEST] [{state.upper()}:1")
    assert fired["alerts"][0]["startsAt"] == resolved["alerts"][0]["startsAt"] < resolved["alerts"][0]["endsAt"]
    wait_until(lambda: server.sql(observ_db, "SELECT status, attempts FROM observ.notification_log") == [("sent", 1)] * 2, 30, "both to be recorded")
    # What follows is no repetition: dispatches come and go, and say nothing more.
    runs = server.value(observ_db, "SELECT runs FROM observ.job_runs WHERE job_name = 'dispatch_notifications'")
    wait_until(lambda: server.value(observ_db, "SELECT runs FROM observ.job_runs WHERE job_name = 'dispatch_notifications'") > runs + 2, 60, "two more dispatches")
    assert receiver.count == 2
