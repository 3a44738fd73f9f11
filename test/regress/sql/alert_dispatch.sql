-- observ.dispatch_notifications(): who is told what, in virtual time. Alerts are put into observ.alerts by hand, as evaluation writes them.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2034-05-01');

-- Seconds after the beginning of a timeline.
CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2034-05-01 00:00+00'::timestamptz + $1 * interval '1 s' $$;
CREATE FUNCTION pg_temp.fire(name text, seconds numeric, more jsonb DEFAULT '{}', rule bigint DEFAULT 0, severity observ.severity DEFAULT 'high') RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
	VALUES (name, rule, 'firing', severity, more->>'vps_name', jsonb_build_object('alertname', name, 'test', 'dispatch', 'severity', severity) || more, '{}', pg_temp.at(seconds), pg_temp.at(seconds), 95, 99,
		jsonb_build_object('summary', name || ' is bad'), name || ' is bad', true) $$;
CREATE FUNCTION pg_temp.resolve(name text, seconds numeric, reason text DEFAULT 'cleared') RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.at(seconds), value = 12, resolved_reason = reason, changes = changes + 1, unrouted = true WHERE fingerprint = name AND status <> 'resolved' $$;
CREATE FUNCTION pg_temp.reopen(name text, seconds numeric) RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'firing', ends_at = NULL, resolved_reason = NULL, reopened = reopened + 1, changes = changes + 1, unrouted = true WHERE fingerprint = name $$;

-- What a notification says, in short: * is new, - is resolved.
CREATE FUNCTION pg_temp.short(n observ.notifications) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s %s %s: %s', n."timestamp" - pg_temp.at(0), n.channel, n.reason, (SELECT string_agg(CASE a->>'mark' WHEN 'new' THEN '*' WHEN 'resolved' THEN '-' ELSE '' END || (a->'labels'->>'alertname'), ' ' ORDER BY i)
		FROM jsonb_array_elements(n.alerts) WITH ORDINALITY l (a, i))) $$;
-- Dispatches every `step` seconds and shows what goes to the outbox.
CREATE FUNCTION pg_temp.run(from_s numeric, to_s numeric, step numeric DEFAULT 1) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	last bigint := coalesce(max(notification_id), 0) FROM observ.notifications;
	t numeric := from_s;
BEGIN
	WHILE t <= to_s LOOP
		PERFORM observ.dispatch_notifications(pg_temp.at(t));
		t := t + step;
	END LOOP;
	RETURN QUERY SELECT pg_temp.short(n) FROM observ.notifications n WHERE notification_id > last ORDER BY notification_id;
END $$;
-- Why nothing was, or something.
CREATE FUNCTION pg_temp.why() RETURNS TABLE (first text, latest text, flushes int, channel text, decision text, reason text, firing int, resolved int, suppressed text) LANGUAGE sql AS $$
	SELECT ("timestamp" - pg_temp.at(0))::text, (last_at - pg_temp.at(0))::text, d.flushes, d.channel, d.decision, d.reason, d.firing, d.resolved,
		(SELECT string_agg(a.fingerprint || ' ' || (s.value->>'by'), ', ' ORDER BY a.alert_id) FROM jsonb_each(d.suppressed) s JOIN observ.alerts a ON a.alert_id::text = s.key)
	FROM observ.notification_decisions d ORDER BY d."timestamp", d.channel, d.id $$;
CREATE FUNCTION pg_temp.start(wait interval, every interval, repeat interval[], channels text[] DEFAULT '{default}') RETURNS void LANGUAGE sql AS $$
	TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ.silences, observ.silence_audit;
	UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
	DELETE FROM observ.routes WHERE name ~ '^test';
	INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES ('test', '{test="dispatch"}', channels, '{test}', wait, every, repeat) $$;

-- Timeline B, second by second for eleven minutes: group_wait, group_interval, new and resolved alerts.
SELECT pg_temp.start('30 s', '5 min', '{4 h}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 59);
SELECT pg_temp.fire('B', 60);
SELECT pg_temp.run(60, 419);
SELECT pg_temp.resolve('A', 420);
SELECT pg_temp.run(420, 660);
-- C5: the repetition comes exactly 4 h after the latest notification, at 4:10:30, not a group_interval later; then at 8:10:30.
SELECT pg_temp.run(690, 17970, 30);
SELECT pg_temp.resolve('B', 18000);
SELECT pg_temp.run(18000, 18600);
SELECT * FROM pg_temp.why();
-- The group is gone with all that was known of it; only the number of its latest notification stays.
SELECT (SELECT count(*) FROM observ_data.alert_groups) AS groups, (SELECT count(*) FROM observ_data.group_members) AS members, (SELECT count(*) FROM observ_data.told) AS told, (SELECT count(*) FROM observ_data.group_channels) AS numbers;
SELECT seq, title, state, severity, firing, resolved, status FROM observ.notifications ORDER BY 1;

-- C5: with group_interval = repeat_interval it repeats each time, also when calls come late.
SELECT pg_temp.start('30 s', '5 min', '{5 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 1000, 7);
-- Several intervals: each repetition later than the one before, and from the beginning after a change.
SELECT pg_temp.start('0', '1 min', '{1 min,3 min,5 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 1200, 30);
SELECT pg_temp.fire('B', 1210);
SELECT pg_temp.run(1230, 1500, 30);

-- Flushes that were missed are not repeated; the latest of them is made up for at its time.
SELECT pg_temp.start('10 s', '1 min', '{10 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 10);
SELECT pg_temp.fire('B', 20);
SELECT pg_temp.run(3615, 3615);
SELECT dispatched_at, flushed, notifications, next_flush_at FROM observ.dispatch_notifications(pg_temp.at(3616));
-- A clock that is set back stands still.
SELECT status, dispatched_at, flushed FROM observ.dispatch_notifications(pg_temp.at(3016));
-- One that was an hour ahead is not waited for: the next flush is as far away as it was, and so is the repetition.
SELECT status, dispatched_at, flushed, next_flush_at FROM observ.dispatch_notifications(pg_temp.at(3015));
SELECT pg_temp.run(3020, 3720, 1);
SELECT status, dispatched_at, flushed, next_flush_at FROM observ.dispatch_notifications(pg_temp.at(60));
SELECT pg_temp.run(61, 760, 1);
-- Alerts are seen as they are, not as the statement found them that calls: nobody is told of what is over.
SELECT pg_temp.start('0', '1 min', '{10 min}');
SELECT s AS minute, CASE s WHEN 1 THEN pg_temp.fire('A', 60) WHEN 3 THEN pg_temp.resolve('A', 180) END, (SELECT notifications FROM observ.dispatch_notifications(pg_temp.at(60 * s))) FROM generate_series(1, 4) s;
SELECT pg_temp.short(n) FROM observ.notifications n ORDER BY notification_id;

-- Timeline D: the end of a silence is told (C4).
SELECT pg_temp.start('1 s', '2 s', '{100 s}');
SELECT pg_temp.fire('A', 1);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="A"}', pg_temp.at(2.5), pg_temp.at(6.5), 'D');
SELECT pg_temp.run(1, 20, 0.5);
SELECT * FROM pg_temp.why();

-- Timeline E1: what clears during a silence is told (C3).
SELECT pg_temp.start('1 s', '2 s', '{100 s}');
SELECT pg_temp.fire('A', 1);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="A"}', pg_temp.at(2.5), pg_temp.at(9), 'E1');
SELECT pg_temp.run(1, 4.5, 0.5);
SELECT pg_temp.resolve('A', 5);
SELECT pg_temp.run(5, 20, 0.5);

-- Timeline E2: clears during a silence and fires again after it.
SELECT pg_temp.start('1 s', '2 s', '{100 s}');
SELECT pg_temp.fire('A', 1);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="A"}', pg_temp.at(2.5), pg_temp.at(6), 'E2');
SELECT pg_temp.run(1, 3, 0.5);
SELECT pg_temp.resolve('A', 3.5);
SELECT pg_temp.run(3.5, 6.5, 0.5);
SELECT pg_temp.fire('A', 7);
SELECT pg_temp.run(7, 20, 0.5);
SELECT count(DISTINCT incident_key) AS incidents, count(DISTINCT idempotency_key) AS notifications FROM observ.notifications;

-- C2: nobody hears of the end of what nobody heard of: over before the first flush, during a silence, between two flushes.
SELECT pg_temp.start('10 s', '1 min', '{10 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 5);
SELECT pg_temp.resolve('A', 6);
SELECT pg_temp.run(6, 120);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="B"}', pg_temp.at(0), pg_temp.at(500), 'C2');
SELECT pg_temp.fire('B', 121);
SELECT pg_temp.run(121, 300);
SELECT pg_temp.resolve('B', 301);
SELECT pg_temp.run(301, 600);
SELECT pg_temp.fire('C', 601);
SELECT pg_temp.run(601, 620);
SELECT pg_temp.fire('D', 625);
SELECT pg_temp.run(625, 626);
SELECT pg_temp.resolve('D', 627);
SELECT pg_temp.run(627, 700);
SELECT * FROM pg_temp.why();

-- C3: the end is told although the route is gone, the rule is gone, or names other channels now.
SELECT pg_temp.start('0', '1 min', '{10 min}', '{chat}');
INSERT INTO observ.alert_rules (rule_id, name, metric_name, threshold, notification_channels) OVERRIDING SYSTEM VALUE VALUES (900001, 'test-c3', 'cpu_percent', 90, '{pager,mail}');
SELECT pg_temp.fire('byroute', 0), pg_temp.fire('byrule', 0, '{}', 900001);
SELECT pg_temp.run(0, 0);
-- pager is not told of it any more, but of its end; mail stays.
UPDATE observ.alert_rules SET notification_channels = '{mail}' WHERE rule_id = 900001;
SELECT pg_temp.fire('new', 30, '{}', 900001);
SELECT pg_temp.run(60, 1200, 60);
DELETE FROM observ.alert_rules WHERE rule_id = 900001;
SELECT pg_temp.resolve('byrule', 1230, 'rule_deleted'), pg_temp.resolve('new', 1230, 'rule_deleted');
SELECT pg_temp.run(1260, 1320, 60);
-- The route goes: what is told goes another way from now on, its end is told to both.
DELETE FROM observ.routes WHERE name = 'test';
SELECT pg_temp.run(1380, 1500, 60);
SELECT pg_temp.resolve('byroute', 1510);
SELECT pg_temp.run(1560, 2100, 60);
SELECT * FROM pg_temp.why() WHERE channel IN ('chat', 'pager');
SELECT (SELECT count(*) FROM observ_data.alert_groups) AS groups, (SELECT count(*) FROM observ_data.told) AS told;

-- What channels want: no ends, ends after the silence only, nothing while disabled.
SELECT pg_temp.start('0', '1 min', '{10 min}', '{default,deaf,polite,off}');
INSERT INTO observ.notification_channels (name, send_resolved, resolved_during_silence) VALUES ('deaf', false, true), ('polite', true, false), ('off', true, true);
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 0);
UPDATE observ.notification_channels SET enabled = false WHERE name = 'off';
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="A"}', pg_temp.at(10), pg_temp.at(200), 'ends wait');
SELECT pg_temp.resolve('A', 30);
SELECT pg_temp.run(60, 300, 60);
UPDATE observ.notification_channels SET enabled = true WHERE name = 'off';
SELECT pg_temp.run(360, 480, 60);
SELECT * FROM pg_temp.why();
-- It waits for the silence also when another alert mutes it at the same time.
SELECT pg_temp.start('0', '1 min', '{10 min}', '{polite}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers) VALUES ('test', '{alertname="S"}', '{alertname="A"}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 0);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{alertname="A"}', pg_temp.at(10), pg_temp.at(200), 'ends wait');
SELECT pg_temp.fire('S', 20);
SELECT pg_temp.resolve('A', 30);
SELECT pg_temp.run(60, 300, 60);
DELETE FROM observ.inhibition_rules WHERE name = 'test';
DELETE FROM observ.notification_channels WHERE name <> 'default';
-- Nobody at all.
SELECT pg_temp.start('0', '1 min', '{10 min}', '{}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 180, 60);
SELECT * FROM pg_temp.why();

-- C4: time intervals of a route are as silences: firing is held back and told when they are over, the end is told.
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('test-night', 'UTC', '[{"times": [{"start_time": "00:02", "end_time": "00:05"}]}]');
SELECT pg_temp.start('0', '1 min', '{10 min}');
UPDATE observ.routes SET mute_time_intervals = '{test-night}' WHERE name = 'test';
SELECT pg_temp.fire('A', 0), pg_temp.fire('B', 0);
SELECT pg_temp.run(0, 110, 10);
SELECT pg_temp.fire('C', 115);
SELECT pg_temp.run(120, 190, 10);
SELECT pg_temp.resolve('B', 195);
SELECT pg_temp.run(200, 400, 10);
SELECT * FROM pg_temp.why();
-- Outside of active_time_intervals the same.
SELECT pg_temp.start('0', '1 min', '{10 min}');
UPDATE observ.routes SET active_time_intervals = '{test-night}' WHERE name = 'test';
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 400, 10);
DELETE FROM observ.routes WHERE name = 'test';
DELETE FROM observ.time_intervals WHERE name = 'test-night';

-- C10: nothing twice: the same time again, and a number that was used.
SELECT pg_temp.start('0', '1 min', '{10 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 0);
SELECT pg_temp.run(0, 0);
SELECT pg_temp.fire('B', 1);
BEGIN;
UPDATE observ_data.group_channels SET seq = 0;
\set VERBOSITY terse
SELECT pg_temp.run(60, 60);
\set VERBOSITY default
ROLLBACK;
-- Numbers go on when somebody lost them.
DELETE FROM observ_data.group_channels;
SELECT pg_temp.run(60, 60);
SELECT seq, reason FROM observ.notifications ORDER BY 1;

-- C14: new, still, resolved; in each by severity, then instance; value, peak, duration; 20 and 10 of them listed, all of them counted.
SELECT pg_temp.start('0', '1 min', '{10 min}');
SELECT count(*) FROM (SELECT pg_temp.fire('old' || i, 0, jsonb_build_object('vps_name', 'vps-' || i)) FROM generate_series(10, 34) i) f;
SELECT count(*) FROM pg_temp.run(0, 0);
SELECT count(*) FROM (SELECT pg_temp.resolve('old' || i, 40) FROM generate_series(10, 21) i) r;
SELECT pg_temp.fire('new-b', 41, '{"vps_name": "b"}'), pg_temp.fire('new-a', 41, '{"vps_name": "a"}'), pg_temp.fire('worst', 42, '{"vps_name": "z"}', severity => 'emergency');
SELECT pg_temp.run(60, 60);
SELECT title, severity, state, firing, resolved, jsonb_array_length(alerts) AS listed FROM observ.notifications ORDER BY seq;
SELECT (alerts->0) - 'alert_id' AS new, (alerts->20) - 'alert_id' AS resolved FROM observ.notifications WHERE seq = 2;
-- Titles: group labels, alertname first; of a group without labels the route. A line of at most 300 bytes.
SELECT pg_temp.start('0', '1 min', '{10 min}');
UPDATE observ.routes SET group_by = '{vps_name,alertname,severity}' WHERE name = 'test';
SELECT pg_temp.fire('Disk' || E'\nfull', 0, '{"vps_name": "web-1"}');
SELECT count(*) FROM pg_temp.run(0, 0);
UPDATE observ.routes SET group_by = '{}' WHERE name = 'test';
SELECT count(*) FROM pg_temp.run(1, 1);
UPDATE observ.routes SET group_by = '{...}' WHERE name = 'test';
SELECT pg_temp.fire(repeat('ü', 200), 2);
SELECT count(*) FROM pg_temp.run(2, 2);
SELECT title, length(convert_to(title, 'UTF8')) AS bytes, group_labels FROM observ.notifications WHERE group_labels->>'alertname' IS DISTINCT FROM E'Disk\nfull' OR NOT group_labels ? 'test' ORDER BY notification_id;

-- C16: each flush leaves a decision; the same one again is counted in its row, for a day.
SELECT pg_temp.start('0', '10 min', '{100 h}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 93600, 600);
SELECT * FROM pg_temp.why();
SELECT sum(flushes) FROM observ.notification_decisions;

-- C23: who looks after it is not reminded; those who were told hear of it once, and when it is over; others hear nothing.
SELECT pg_temp.start('0', '1 min', '{2 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 120, 60);
UPDATE observ.alerts SET acknowledged_at = pg_temp.at(130), acknowledged_by = 'anna', acknowledged_until = pg_temp.at(600), changes = changes + 1, unrouted = true;
SELECT pg_temp.run(180, 540, 60);
SELECT alerts->0->'acked_by' AS acked_by FROM observ.notifications ORDER BY seq DESC LIMIT 1;
-- The acknowledgement runs out; then it is over.
SELECT pg_temp.run(600, 780, 60);
UPDATE observ.alerts SET acknowledged_at = pg_temp.at(790), acknowledged_until = NULL, changes = changes + 1, unrouted = true;
SELECT pg_temp.run(840, 1200, 60);
SELECT pg_temp.resolve('A', 1230);
SELECT pg_temp.run(1260, 1320, 60);

-- C25: one message that it flaps, quiet, one with the final state.
SELECT pg_temp.start('0', '1 min', '{2 min}');
INSERT INTO observ.alert_rules (rule_id, name, metric_name, threshold) OVERRIDING SYSTEM VALUE VALUES (900002, 'test-c25', 'cpu_percent', 90);
SELECT pg_temp.fire('A', 0, rule => 900002), pg_temp.fire('B', 0, rule => 900002), pg_temp.fire('C', 0, rule => 900002);
SELECT pg_temp.run(0, 0);
UPDATE observ.alerts SET flapping = true, changes = changes + 1, unrouted = true;
SELECT pg_temp.resolve('B', 30);
SELECT pg_temp.run(60, 60);
SELECT title FROM observ.notifications ORDER BY seq DESC LIMIT 1;
SELECT pg_temp.resolve('A', 70), pg_temp.reopen('B', 70);
SELECT pg_temp.run(120, 240, 60);
SELECT pg_temp.reopen('A', 250), pg_temp.resolve('B', 250);
SELECT pg_temp.run(300, 480, 60);
UPDATE observ.alerts SET flapping = false, changes = changes + 1, unrouted = true WHERE fingerprint IN ('A', 'B');
SELECT pg_temp.run(540, 600, 60);
-- Nobody evaluates C any more: it is over when it can't be reopened any more.
SELECT pg_temp.resolve('C', 610), pg_temp.resolve('A', 610);
SELECT pg_temp.run(660, 1380, 60);
DELETE FROM observ.alert_rules WHERE rule_id = 900002;

-- The same episode goes on as the same incident; another one is another.
SELECT pg_temp.start('0', '1 min', '{10 min}');
SELECT pg_temp.fire('A', 0);
SELECT pg_temp.run(0, 30);
SELECT pg_temp.resolve('A', 31);
SELECT pg_temp.run(60, 120);
SELECT pg_temp.reopen('A', 121);
SELECT pg_temp.run(121, 122);
SELECT pg_temp.resolve('A', 130);
SELECT pg_temp.run(131, 240);
SELECT pg_temp.fire('A', 300);
SELECT pg_temp.run(300, 301);
SELECT seq, reason, dense_rank() OVER (ORDER BY first) AS incident FROM (SELECT *, min(seq) OVER (PARTITION BY incident_key) AS first FROM observ.notifications) n ORDER BY seq;

-- What is held back for another alert that may come is told as soon as that is gone, not a group_interval later.
SELECT pg_temp.start('5 s', '5 min', '{4 h}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('test-hold', '{alertname="Down"}', '{alertname="Slow"}', '{vps_name}');
INSERT INTO observ.alert_rules (rule_id, name, metric_name, threshold, for_duration) OVERRIDING SYSTEM VALUE VALUES (900003, 'test-hold', 'cpu_percent', 90, '60 s');
SELECT pg_temp.fire('Slow', 0, '{"vps_name": "a"}'), pg_temp.fire('Down', 0, '{"vps_name": "a"}', 900003);
UPDATE observ.alerts SET status = 'pending', starts_at = NULL WHERE fingerprint = 'Down';
SELECT pg_temp.run(0, 30);
DELETE FROM observ.alerts WHERE fingerprint = 'Down';
SELECT pg_temp.run(31, 60);
SELECT * FROM pg_temp.why();
DELETE FROM observ.inhibition_rules WHERE name = 'test-hold';
DELETE FROM observ.alert_rules WHERE rule_id = 900003;

-- Somebody else's change that is not committed yet is no reason to wait; pending alerts concern nobody; a row that was deleted neither.
SELECT pg_temp.start('0', '1 min', '{10 min}');
SELECT pg_temp.fire('P', 0), pg_temp.fire('A', 0);
UPDATE observ.alerts SET status = 'pending', starts_at = NULL WHERE fingerprint = 'P';
SELECT pg_temp.run(0, 0);
SELECT fingerprint, unrouted FROM observ.alerts ORDER BY 1;
DELETE FROM observ.alerts WHERE fingerprint = 'A';
SELECT pg_temp.run(60, 120, 60);
SELECT (SELECT count(*) FROM observ_data.alert_groups) AS groups, (SELECT count(*) FROM observ_data.group_members) AS members, (SELECT count(*) FROM observ_data.told) AS told;

-- Times that make no sense; what a job says when it must not run.
\set VERBOSITY terse
SELECT observ.dispatch_notifications('infinity');
\set VERBOSITY default
SELECT status FROM observ.dispatch_notifications(NULL);
SELECT pg_temp.start('0', '1 min', '{10 min}');
DELETE FROM observ.routes WHERE name = 'test';
