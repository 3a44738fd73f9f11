"""observ.test_alert() as people use it: the workers do everything, a receiver hears of it and of its end. Its texts and what it disturbs: test/regress/sql/notify_test_alert.sql."""

from harness import wait_until

SERVER = {"settings": {"observ.evaluation_interval": "1s", "observ.dispatch_interval": "1s"}}


def test_the_whole_way(server, observ_db, make_receiver):
    """[TEST] at once, though its route would wait for minutes; resolved after its duration; nothing else arrives, and nothing of it twice."""
    receiver = make_receiver()
    server.sql(observ_db, "UPDATE observ.alert_rules SET enabled = false")
    server.sql(observ_db, "SELECT observ.create_channel(jsonb_build_object('name', 'hook', 'kind', 'webhook', 'url', %s::text))", (receiver.url("/hook"),))
    server.sql(observ_db, "UPDATE observ.routes SET channels = '{hook}' WHERE parent_id IS NULL")
    assert server.value(observ_db, """SELECT extract(epoch FROM group_wait) >= 600 FROM observ.routes WHERE name = 'info'""")
    # A short test needs an evaluation within it: what is asked of the rule is the interval alone.
    name = server.value(observ_db, "SELECT observ.test_alert('{\"team\": \"payments\"}', duration => '1 day')")
    assert name == "TestAlertInfo"
    server.sql(observ_db, "DELETE FROM observ_data.test_alerts")
    server.sql(observ_db, "UPDATE observ.alert_rules SET evaluation_interval = '1 s' WHERE name = %s", (name,))
    server.sql(observ_db, "SELECT observ.test_alert('{\"team\": \"payments\"}', duration => '4 s')")
    (fired,) = receiver.wait_for(1, "/hook", deadline=60)[:1]
    assert fired.json["status"] == "firing" and fired.json["observ"]["title"].startswith("[TEST] [FIRING:1")
