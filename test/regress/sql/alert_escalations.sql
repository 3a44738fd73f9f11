-- Escalations (C24): who else is told when nobody looks after an alert, in virtual time. Alerts are put into observ.alerts by hand, as evaluation writes them.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2034-06-01');

-- Minutes after the beginning.
CREATE FUNCTION pg_temp.at(minutes numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2034-06-01 00:00+00'::timestamptz + $1 * interval '1 min' $$;
CREATE FUNCTION pg_temp.fire(name text, minutes numeric, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, annotations, unrouted)
	VALUES (name, 0, 'firing', 'high', more->>'vps_name', jsonb_build_object('alertname', name, 'test', 'escalations') || more, '{}', pg_temp.at(minutes), pg_temp.at(minutes), 95, '{}', true) $$;
CREATE FUNCTION pg_temp.resolve(name text, minutes numeric) RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.at(minutes), resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = name AND status <> 'resolved' $$;
CREATE FUNCTION pg_temp.reopen(name text) RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'firing', ends_at = NULL, resolved_reason = NULL, reopened = reopened + 1, changes = changes + 1, unrouted = true WHERE fingerprint = name $$;
CREATE FUNCTION pg_temp.id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT max(alert_id) FROM observ.alerts WHERE fingerprint = name $$;
CREATE FUNCTION pg_temp.short(n observ.notifications) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s: %s', n."timestamp" - pg_temp.at(0), n.channel, n.reason, (SELECT string_agg(CASE a->>'mark' WHEN 'new' THEN '*' WHEN 'resolved' THEN '-' ELSE '' END || (a->'labels'->>'alertname'), ' ' ORDER BY i)
		FROM jsonb_array_elements(n.alerts) WITH ORDINALITY l (a, i))) $$;
-- Dispatches every `step` minutes and shows what goes to the outbox.
CREATE FUNCTION pg_temp.run(from_m numeric, to_m numeric, step numeric DEFAULT 0.5) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	last bigint := coalesce(max(notification_id), 0) FROM observ.notifications;
	t numeric := from_m;
BEGIN
	WHILE t <= to_m LOOP
		PERFORM observ.dispatch_notifications(pg_temp.at(t));
		t := t + step;
	END LOOP;
	RETURN QUERY SELECT pg_temp.short(n) FROM observ.notifications n WHERE notification_id > last ORDER BY "timestamp", channel, reason;
END $$;
CREATE FUNCTION pg_temp.start() RETURNS void LANGUAGE sql AS $$
	TRUNCATE observ.alerts, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.escalation_clocks,
		observ.silences, observ.escalations;
	UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
	DELETE FROM observ.routes WHERE name ~ '^test';
	INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES ('test', '{test="escalations"}', '{chat}', '{test}', '0', '5 min', '{10 h}');
	INSERT INTO observ.escalations (name, matchers, after, channels) VALUES
		('first', '{test="escalations"}', '0', '{pager}'), ('second', '{test="escalations"}', '30 min', '{lead}'), ('third', '{test="escalations"}', '1 h', '{boss,chat}') $$;
CREATE FUNCTION pg_temp.left_over() RETURNS TABLE (groups bigint, members bigint, told bigint, clocks bigint) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM observ_data.alert_groups), (SELECT count(*) FROM observ_data.group_members), (SELECT count(*) FROM observ_data.told), (SELECT count(*) FROM observ_data.escalation_clocks) $$;

-- C24: steps at 0, 30 and 60 minutes. Its end goes to everyone whom any step told, at their flushes; nothing is left.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 70);
SELECT * FROM pg_temp.left_over();
SELECT pg_temp.resolve('A', 70.5);
SELECT pg_temp.run(70.5, 80);
SELECT * FROM pg_temp.left_over();
SELECT channel, decision, reason, notification_id IS NOT NULL AS noted FROM observ.notification_decisions WHERE decision = 'sent' ORDER BY "timestamp", channel;
SELECT channel, count(DISTINCT incident_key) AS incidents, array_agg(seq ORDER BY seq) AS seqs FROM observ.notifications GROUP BY 1, group_key ORDER BY 1;

-- C24: a window from 10 to 40: the steps run at 0, 60 and 90.
SELECT pg_temp.start();
SELECT observ.plan_maintenance(pg_temp.at(10), pg_temp.at(40), 'esc-1', name => 'paused') > 0 AS planned;
SELECT pg_temp.fire('A', 0, '{"vps_name": "esc-1"}');
SELECT pg_temp.run(0, 100);
-- … and one that begins inside the window: its clock starts when the window ends, as each step is told then.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 20, '{"vps_name": "esc-1"}');
SELECT pg_temp.run(20, 110);
DELETE FROM observ.maintenance_windows WHERE name = 'paused';
-- The same with calls at the times that matter only.
SELECT pg_temp.start();
SELECT observ.silence('{alertname="A"}', until => pg_temp.at(40), comment => 'paused', starts_at => pg_temp.at(10), at => pg_temp.at(0), confirm => true) > 0 AS silenced;
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 100, 10);

-- C24: recovery after the first step: nothing to later steps, and those who were told hear of it.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 20);
SELECT pg_temp.resolve('A', 20.5);
SELECT pg_temp.run(20.5, 100);
SELECT * FROM pg_temp.left_over();

-- C24: an acknowledgement stops it, those who were told hear of it; without it the clock goes on where it stood. Steps come at 0, 50 (30 + 20), 80.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 9.5);
SELECT status FROM observ.acknowledge_alert(pg_temp.id('A'), 'on it', at => pg_temp.at(10), until => pg_temp.at(30));
SELECT pg_temp.run(10, 29.5);
SELECT pg_temp.run(30, 85);

-- Silenced when its end comes: who was told is told (C3). A silence at the time of a step puts it off.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 25);
SELECT observ.silence('{alertname="A"}', until => pg_temp.at(300), comment => 'paused', starts_at => pg_temp.at(26), at => pg_temp.at(26), confirm => true) > 0 AS silenced;
SELECT pg_temp.run(26, 60);
SELECT pg_temp.resolve('A', 60.5);
SELECT pg_temp.run(60.5, 70);

-- Alerts of a group share notifications of a step: what is due later waits for the next flush of the step, five minutes after the one before.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 0.5);
SELECT pg_temp.fire('B', 1);
SELECT pg_temp.run(1, 45);
SELECT pg_temp.resolve('A', 46);
SELECT pg_temp.run(46, 50);

-- repeat_interval, also when it is shorter than the route's group_interval; those who don't match are nobody's business.
SELECT pg_temp.start();
DELETE FROM observ.escalations;
INSERT INTO observ.escalations (name, matchers, after, channels, repeat_interval) VALUES ('again', '{alertname="A"}', '2 min', '{pager}', '3 min');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.fire('B', 0);
SELECT pg_temp.run(0, 12);
-- Without it no other step is looked at: who was told hears of the end, nothing is repeated.
DELETE FROM observ.escalations WHERE name = 'again';
SELECT pg_temp.run(12.5, 20);
SELECT pg_temp.resolve('A', 20);
SELECT pg_temp.run(20.5, 26);
SELECT pg_temp.resolve('B', 26);
SELECT pg_temp.run(26.5, 32);
SELECT * FROM pg_temp.left_over();

-- A step that is added later counts from the beginning of the alert; what was paused is known from the other steps.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 40);
INSERT INTO observ.escalations (name, matchers, after, channels) VALUES ('new', '{test="escalations"}', '35 min', '{new}');
SELECT pg_temp.run(40.5, 45);
-- Reopened: the clock begins anew, those who were told go on as they were.
SELECT pg_temp.resolve('A', 46);
SELECT pg_temp.run(46, 46);
SELECT pg_temp.reopen('A');
SELECT pg_temp.run(46.5, 110);

-- No dispatch is late for it: everything of one call is in it.
SELECT pg_temp.start();
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(61.5, 61.5);
SELECT status, routed, flushed, notifications FROM observ.dispatch_notifications(pg_temp.at(61.5));

-- Muted times of the route stop the clock, too.
SELECT pg_temp.start();
INSERT INTO observ.time_intervals (name, times) VALUES ('test-night', '[{"times": [{"start_time": "00:10", "end_time": "00:40"}]}]');
UPDATE observ.routes SET mute_time_intervals = '{test-night}' WHERE name = 'test';
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 91);
SELECT what, why FROM observ.explain_alert(pg_temp.id('A'), pg_temp.at(91)) WHERE what ~ 'escalation|group' ORDER BY "time", what, why;
SELECT "time", what FROM observ.explain_timing('test', pg_temp.at(91)) WHERE what ~ '^group';
UPDATE observ.routes SET mute_time_intervals = NULL WHERE name = 'test';
DELETE FROM observ.time_intervals WHERE name = 'test-night';

-- What can't work is refused.
INSERT INTO observ.escalations (name, after, channels) VALUES ('', '1 h', '{pager}');
INSERT INTO observ.escalations (name, after, channels) VALUES ('bad', '-1 h', '{pager}');
INSERT INTO observ.escalations (name, after, channels) VALUES ('bad', '11 years', '{pager}');
INSERT INTO observ.escalations (name, after, channels) VALUES ('bad', '1 h', '{}');
INSERT INTO observ.escalations (name, after, channels) VALUES ('bad', '1 h', '{pager,NULL}');
INSERT INTO observ.escalations (name, after, channels) VALUES ('bad', '1 h', '{pager,""}');
INSERT INTO observ.escalations (name, matchers, after, channels) VALUES ('bad', '{severity "high"}', '1 h', '{pager}');
INSERT INTO observ.escalations (name, matchers, after, channels) VALUES ('bad', '{severity=~"("}', '1 h', '{pager}');
INSERT INTO observ.escalations (name, after, channels, repeat_interval) VALUES ('bad', '1 h', '{pager}', '0');
UPDATE observ.escalations SET repeat_interval = '-1 s';
SET ROLE observ_operator;
DELETE FROM observ.escalations;
RESET ROLE;
SET ROLE observ_admin;
INSERT INTO observ.escalations (name, after, channels) VALUES ('mine', '1 h', '{pager}');
DELETE FROM observ.escalations WHERE name = 'mine';
RESET ROLE;

SELECT pg_temp.start();
DELETE FROM observ.escalations;
DELETE FROM observ.routes WHERE name ~ '^test';
SELECT * FROM pg_temp.left_over();
