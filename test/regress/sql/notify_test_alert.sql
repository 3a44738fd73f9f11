-- observ.test_alert(): the whole way, and nobody else notices.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SET search_path = pg_catalog;
SELECT status FROM observ.maintain_partitions('2034-06-01');
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.deliveries;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
CREATE TABLE pg_temp.before AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false;

INSERT INTO observ.notification_channels (name, kind, config) VALUES ('hook', 'webhook', '{"url": "http://127.0.0.1:9/"}');
INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval) VALUES ('test', '{team="payments"}', '{hook}', '{}', '10 min', '1 h');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('test', '{severity="critical"}', '{severity="low"}', '{team}');
-- Real trouble, that the route tells together, and that a real critical alert of the team would inhibit.
INSERT INTO observ.alert_rules (name, query, severity) VALUES ('RealTrouble', $$SELECT '{"team": "payments", "vps_name": "db-1"}'::jsonb AS labels, 1::float8 AS value, true AS breach$$, 'low');

SELECT observ.test_alert('{"team": "payments", "vps_name": "db-1"}', 'critical', '15 minutes', '2034-06-01 12:00');
CREATE FUNCTION pg_temp.step(at timestamptz) RETURNS TABLE (channel text, reason text, title text) LANGUAGE plpgsql AS $$
DECLARE
	last bigint := coalesce(max(notification_id), 0) FROM observ.notifications;
BEGIN
	PERFORM observ.evaluate_alerts(at);
	PERFORM observ.dispatch_notifications(at);
	RETURN QUERY SELECT n.channel, n.reason, regexp_replace(observ_data._render_notification(notification_id) ->> 'title', 'observ_test=\d+', 'observ_test=<id>') FROM observ.notifications n WHERE notification_id > last ORDER BY notification_id;
END $$;
SELECT * FROM pg_temp.step('2034-06-01 12:00:00');
SELECT * FROM pg_temp.step('2034-06-01 12:00:15');
-- The real one is told on its own, at its own time, though the critical test fires.
SELECT * FROM pg_temp.step('2034-06-01 12:10:00');
SELECT * FROM pg_temp.step('2034-06-01 12:15:00');
SELECT * FROM pg_temp.step('2034-06-01 12:15:15');
SELECT rule_id > 0 AS made, name, severity, enabled FROM observ.alert_rules WHERE name LIKE 'TestAlert%' ORDER BY name;
SELECT labels ->> 'alertname', status, ends_at, labels - 'observ_test' FROM observ.alerts ORDER BY alert_id;
SELECT reason, decision FROM observ.notification_decisions d WHERE decision = 'suppressed';

-- Again, of the same rule, with the rule switched off meanwhile; two at a time are two.
UPDATE observ.alert_rules SET enabled = false WHERE name LIKE 'TestAlert%';
SELECT observ.test_alert('{"team": "payments"}', 'critical', '30 s', '2034-06-01 13:00'), observ.test_alert('{"team": "payments"}', 'critical', '30 s', '2034-06-01 13:00');
SELECT * FROM pg_temp.step('2034-06-01 13:00:00');
SELECT * FROM pg_temp.step('2034-06-01 13:00:30');
SELECT * FROM pg_temp.step('2034-06-01 13:00:45');

-- What is no test.
SELECT observ.test_alert('[]');
SELECT observ.test_alert('{"alertname": "x"}');
SELECT observ.test_alert('{"severity": "x"}');
SELECT observ.test_alert(duration => '0');
SELECT observ.test_alert(duration => '2 days');
SELECT observ.test_alert(at => 'infinity');
SELECT observ.test_alert(NULL);

DELETE FROM observ.alert_rules WHERE name LIKE 'TestAlert%' OR name = 'RealTrouble';
UPDATE observ.alert_rules SET enabled = true WHERE rule_id IN (SELECT rule_id FROM pg_temp.before);
DELETE FROM observ.inhibition_rules WHERE name = 'test';
DELETE FROM observ.routes WHERE name = 'test';
DELETE FROM observ.notification_channels WHERE name <> 'default';
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.deliveries, observ_data.test_alerts;
