-- Routes: the tree that comes with observ, inheritance, what is refused, and what observ.explain_route() says.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2034-06-01');

-- The tree as it comes.
SELECT name, matchers, channels, group_by, group_wait, group_interval, repeat_interval FROM observ.routes ORDER BY parent_id NULLS FIRST, position;

CREATE FUNCTION pg_temp.told(labels jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(format('%s %s wait %s repeat %s', route, channels, group_wait, repeat_interval), '; ') FROM observ.explain_route(labels) WHERE told $$;
SELECT s, pg_temp.told(jsonb_build_object('severity', s)) FROM unnest(enum_range(NULL::observ.severity)) s;
-- Security, databases and machine learning by category or team; what is more urgent goes by its severity.
SELECT pg_temp.told('{"severity": "warning", "category": "security"}'), pg_temp.told('{"severity": "high", "team": "security"}'), pg_temp.told('{"severity": "critical", "team": "security"}'), pg_temp.told('{"severity": "low", "team": "mlops"}');
SELECT pg_temp.told('{"severity": "high", "category": "database"}'), pg_temp.told('{}');

-- A team's own route goes before those: it is put below the root, at position 100. What it does not say it inherits.
INSERT INTO observ.time_intervals (name, times) VALUES ('test-office', '[{"weekdays": ["monday:friday"]}]'), ('test-night', '[{"times": [{"start_time": "22:00", "end_time": "24:00"}]}]');
INSERT INTO observ.routes (name, matchers, channels, group_by, mute_time_intervals, active_time_intervals) VALUES ('test-team', '{team="payments"}', '{payments-chat}', '{alertname,vps_name}', '{test-night}', '{test-office}');
INSERT INTO observ.routes (parent_id, position, name, matchers, channels, repeat_interval, "continue", mute_time_intervals)
	SELECT route_id, 1, 'test-team-pager', '{severity=~"critical|emergency"}', '{payments-pager}', '{10 min,30 min}', true, '{test-office}' FROM observ.routes WHERE name = 'test-team';
INSERT INTO observ.routes (parent_id, position, name, matchers, group_by) SELECT route_id, 2, 'test-team-disks', '{device=~"sd.*"} or {mount!=""}', '{...}' FROM observ.routes WHERE name = 'test-team';
INSERT INTO observ.routes (parent_id, position, name, matchers, enabled) SELECT route_id, 3, 'test-team-off', '{severity="critical"}', false FROM observ.routes WHERE name = 'test-team';
SELECT route, parent, matched, told, why, channels, group_labels, repeat_interval, mute_time_intervals AS mute, active_time_intervals AS active
	FROM observ.explain_route('{"alertname": "DiskFull", "team": "payments", "severity": "critical", "mount": "/var", "vps_name": "db-1"}') WHERE matched OR route ~ '^test|^emergency$';
SELECT route, told, channels FROM observ.explain_route('{"team": "payments", "severity": "critical"}') WHERE told;
SELECT route, told, group_labels FROM observ.explain_route('{"team": "payments", "device": "sda"}') WHERE told;
SELECT route, told, group_labels FROM observ.explain_route('{"team": "payments", "severity": "low", "alertname": "X", "rack": 12}') WHERE told;
-- instance is the VPS where no label has that name.
INSERT INTO observ.routes (name, matchers) VALUES ('test-instance', '{instance="db-1"}');
SELECT route FROM observ.explain_route('{"vps_name": "db-1"}') WHERE told;
SELECT route FROM observ.explain_route('{"vps_name": "db-1", "instance": "other"}') WHERE told;
-- A dry run: what would be, if.
BEGIN;
UPDATE observ.routes SET matchers = '{team="billing"}' WHERE name = 'test-team';
SELECT route FROM observ.explain_route('{"team": "payments", "severity": "low"}') WHERE told;
ROLLBACK;
-- An alert that there is; its rule may name the channels.
INSERT INTO observ.alert_rules (rule_id, name, metric_name, threshold, notification_channels) OVERRIDING SYSTEM VALUE VALUES (900010, 'test-routes', 'cpu_percent', 90, '{mail}');
INSERT INTO observ.alerts (alert_id, fingerprint, rule_id, status, severity, labels, identity, active_at) OVERRIDING SYSTEM VALUE VALUES (900010, 'r', 900010, 'pending', 'high', '{"alertname": "test-routes", "severity": "high"}', '{}', '2034-06-01');
SELECT route, channels, why FROM observ.explain_route(alert_id => 900010) WHERE told;
DELETE FROM observ.alerts WHERE alert_id = 900010;
DELETE FROM observ.alert_rules WHERE rule_id = 900010;

-- When it would be told: group_interval decides about repetitions, too.
SELECT * FROM observ.explain_timing('emergency', '2034-06-01');
UPDATE observ.routes SET group_interval = '4 min', repeat_interval = '{5 min,15 min}' WHERE name = 'test-team';
SELECT * FROM observ.explain_timing('test-team', '2034-06-01');

-- What can't work is refused.
SELECT observ.explain_route();
SELECT observ.explain_route('{}', 1);
SELECT observ.explain_route('[]');
SELECT observ.explain_route('{"a": {"b": 1}}');
SELECT observ.explain_route(alert_id => -1);
SELECT observ.explain_timing('emergncy');
SELECT observ.explain_timing('nothing like it');
SELECT observ.explain_timing(NULL);
SELECT observ.explain_timing('root', 'infinity');
INSERT INTO observ.routes (name, matchers) VALUES ('test-bad', '{severity=');
INSERT INTO observ.routes (name, matchers) VALUES ('test-bad', '{severity=~"(critical"}');
INSERT INTO observ.routes (name, matchers) VALUES ('test-bad', '{a="b"} or');
INSERT INTO observ.routes (name) VALUES ('');
INSERT INTO observ.routes (name) VALUES (NULL);
INSERT INTO observ.routes (name, matchers) VALUES ('test-team', '{}');
INSERT INTO observ.routes (name, group_wait) VALUES ('test-bad', '-1 s');
INSERT INTO observ.routes (name, group_interval) VALUES ('test-bad', '0');
INSERT INTO observ.routes (name, group_interval) VALUES ('test-bad', '100 years');
INSERT INTO observ.routes (name, repeat_interval) VALUES ('test-bad', '{}');
INSERT INTO observ.routes (name, repeat_interval) VALUES ('test-bad', '{1 h,NULL}');
INSERT INTO observ.routes (name, repeat_interval) VALUES ('test-bad', '{1 h,-1 h}');
INSERT INTO observ.routes (name, channels) VALUES ('test-bad', '{chat,""}');
INSERT INTO observ.routes (name, group_by) VALUES ('test-bad', '{...,alertname}');
INSERT INTO observ.routes (name, mute_time_intervals) VALUES ('test-bad', '{test-ofice}');
INSERT INTO observ.routes (name, active_time_intervals) VALUES ('test-bad', '{weekend}');
INSERT INTO observ.routes (name, parent_id) VALUES ('test-bad', -1);
UPDATE observ.routes SET parent_id = route_id WHERE name = 'test-team';
UPDATE observ.routes SET parent_id = (SELECT route_id FROM observ.routes WHERE name = 'test-team-disks') WHERE name = 'test-team';
UPDATE observ.routes SET parent_id = NULL WHERE name = 'test-team';
UPDATE observ.routes SET route_id = -5 WHERE name = 'test-team';
-- What is below a route goes with it.
BEGIN;
DELETE FROM observ.routes WHERE name = 'test-team' RETURNING name;
SELECT name FROM observ.routes WHERE name ~ '^test-team';
ROLLBACK;
-- The root takes everything, always.
DELETE FROM observ.routes WHERE name = 'root';
DELETE FROM observ.routes;
UPDATE observ.routes SET matchers = '{severity="high"}' WHERE name = 'root';
UPDATE observ.routes SET enabled = false WHERE name = 'root';
UPDATE observ.routes SET group_wait = NULL WHERE name = 'root';
UPDATE observ.routes SET channels = '{}' WHERE name = 'root';
UPDATE observ.routes SET parent_id = (SELECT route_id FROM observ.routes WHERE name = 'high') WHERE name = 'root';
-- A route that would repeat less often than it says.
UPDATE observ.routes SET repeat_interval = '{1 min}' WHERE name = 'test-team';
INSERT INTO observ.routes (name, repeat_interval) VALUES ('test-warned', '{1 min,1 h}');
SELECT count(*) FROM observ.routes WHERE name = 'test-bad';

-- Routes that change: alerts that fire are routed anew, those that stay in their group are not told again.
DELETE FROM observ.routes WHERE name ~ '^test';
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels;
UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
CREATE FUNCTION pg_temp.run(seconds int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	last bigint := coalesce(max(notification_id), 0) FROM observ.notifications;
BEGIN
	PERFORM observ.dispatch_notifications('2034-06-01 00:00+00'::timestamptz + seconds * interval '1 s');
	RETURN QUERY SELECT format('%s %s %s: %s', route, channel, reason, title) FROM observ.notifications n WHERE notification_id > last ORDER BY "timestamp", route COLLATE "C", channel, seq;
END $$;
INSERT INTO observ.routes (name, position, matchers, channels, group_wait, group_interval) VALUES ('test-a', 1, '{test="routes"}', '{chat}', '0', '1 min');
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, unrouted)
	SELECT 'r' || i, 0, 'firing', 'high', jsonb_build_object('alertname', 'R', 'test', 'routes', 'disk', 'sd' || i), '{}', '2034-06-01', '2034-06-01', true FROM generate_series(1, 3) i;
SELECT pg_temp.run(0);
-- Timers and channels change, and a route that concerns none of them comes: the group stays.
UPDATE observ.routes SET group_wait = '10 s', channels = '{chat,mail}' WHERE name = 'test-a';
INSERT INTO observ.routes (name, position, matchers, channels) VALUES ('test-none', 0, '{test="none"}', '{nobody}');
SELECT pg_temp.run(60);
-- A route for one of them: it is told there now. Its end is told to both.
INSERT INTO observ.routes (name, position, matchers, channels, group_wait, group_interval) VALUES ('test-b', 0, '{test="routes",disk="sd2"}', '{disks}', '0', '1 min');
SELECT pg_temp.run(90);
SELECT pg_temp.run(120);
-- And back again: who knows is not told once more.
DELETE FROM observ.routes WHERE name = 'test-b';
SELECT pg_temp.run(180);
SELECT m.alert_id - min(m.alert_id) OVER () AS alert, m.departed, t.channel, t.state FROM observ_data.group_members m LEFT JOIN observ_data.told t USING (alert_id, group_key) ORDER BY 1, 2, 3;
UPDATE observ.alerts SET status = 'resolved', ends_at = '2034-06-01 00:03:10+00', resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = 'r2';
SELECT pg_temp.run(240);
-- Labels that change lead elsewhere, too.
UPDATE observ.alerts SET labels = labels || '{"test": "other", "severity": "emergency"}', changes = changes + 1, unrouted = true WHERE fingerprint = 'r3';
SELECT pg_temp.run(300);
UPDATE observ.alerts SET status = 'resolved', ends_at = '2034-06-01 00:05:10+00', resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE status = 'firing';
SELECT pg_temp.run(360);
-- The route that is gone had the group_interval of the root since.
SELECT pg_temp.run(450);
SELECT (SELECT count(*) FROM observ_data.alert_groups) AS groups, (SELECT count(*) FROM observ_data.group_members) AS members, (SELECT count(*) FROM observ_data.told) AS told;

-- Somebody got past the checks: a route that can't be takes nothing, and the others go on.
SET session_replication_role = replica;
UPDATE observ.routes SET matchers = '{test=~"("}' WHERE name = 'test-a';
RESET session_replication_role;
UPDATE observ.alerts SET status = 'firing', ends_at = NULL, labels = '{"alertname": "R", "test": "routes", "severity": "emergency"}', changes = changes + 1, unrouted = true WHERE fingerprint = 'r1';
SELECT pg_temp.run(480);
SELECT route, why FROM observ.explain_route('{"test": "routes"}') WHERE route = 'test-a';

DELETE FROM observ.routes WHERE name ~ '^test';
DELETE FROM observ.time_intervals WHERE name ~ '^test';
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels;
UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
