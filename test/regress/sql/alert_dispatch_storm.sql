-- Anything may happen to alerts, people, rules and routes, in any order: what each channel is told of each alert makes sense, and ends.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2034-07-01');
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ.silences, observ.silence_audit;
UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
INSERT INTO observ.routes (name, position, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES ('test', 10, '{test="storm"}', '{chat,mail}', '{kind}', '10 s', '30 s', '{1 min,5 min}');
INSERT INTO observ.alert_rules (rule_id, name, metric_name, threshold) OVERRIDING SYSTEM VALUE SELECT 900100 + i, 'test-storm-' || i, 'cpu_percent', 90 FROM generate_series(0, 2) i;
CREATE FUNCTION pg_temp.happens(what int, which text, t timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE
		WHEN what < 25 THEN -- fires, or again as the same episode
			UPDATE observ.alerts SET status = 'firing', ends_at = NULL, resolved_reason = NULL, reopened = reopened + 1, changes = changes + 1, unrouted = true, acknowledged_at = NULL
				WHERE fingerprint = which AND status = 'resolved' AND ends_at > t - interval '3 min' AND NOT EXISTS (SELECT FROM observ.alerts WHERE fingerprint = which AND status <> 'resolved');
			INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, unrouted)
				SELECT which, 900100 + ascii(which) % 3, 'firing', 'high', which, jsonb_build_object('alertname', which, 'test', 'storm', 'kind', ascii(which) % 2), '{}', t, t, true
				WHERE NOT EXISTS (SELECT FROM observ.alerts WHERE fingerprint = which AND status <> 'resolved');
		WHEN what < 50 THEN
			UPDATE observ.alerts SET status = 'resolved', ends_at = t, resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = which AND status <> 'resolved';
		WHEN what < 60 THEN
			UPDATE observ.alerts SET flapping = NOT flapping, changes = changes + 1, unrouted = true WHERE fingerprint = which AND (status <> 'resolved' OR flapping);
		WHEN what < 67 THEN
			UPDATE observ.alerts SET acknowledged_at = t, acknowledged_by = 'anna', acknowledged_until = t + random() * interval '5 min', changes = changes + 1, unrouted = true WHERE fingerprint = which AND status <> 'resolved';
		WHEN what < 75 THEN
			INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES (format('{alertname="%s"}', which), t, t + random() * interval '4 min', 'storm');
		WHEN what < 80 THEN -- recovering and back: no news
			UPDATE observ.alerts SET status = CASE status WHEN 'firing' THEN 'recovering' ELSE 'firing' END WHERE fingerprint = which AND status IN ('firing', 'recovering');
		WHEN what < 84 THEN
			UPDATE observ.alert_rules SET notification_channels = CASE WHEN notification_channels IS NULL THEN '{pager}'::text[] END WHERE rule_id = 900100 + ascii(which) % 3;
		WHEN what < 87 THEN
			DELETE FROM observ.routes WHERE name = 'test-' || which;
			IF NOT FOUND THEN
				INSERT INTO observ.routes (name, position, matchers, channels, group_wait, "continue") VALUES ('test-' || which, 1, format('{test="storm",alertname=~"[%s-z]"}', which), '{mail,other}', '0', random() < 0.5);
			END IF;
		WHEN what < 90 THEN
			UPDATE observ.routes SET group_by = CASE WHEN group_by = '{kind}' THEN '{...}'::text[] ELSE '{kind}' END WHERE name = 'test';
		WHEN what < 93 THEN
			UPDATE observ.notification_channels SET enabled = NOT enabled WHERE name = 'other';
		ELSE NULL;
	END CASE;
END $$;
INSERT INTO observ.notification_channels (name, send_resolved) VALUES ('other', true);
DO $$
DECLARE
	t timestamptz := '2034-07-01 00:00+00';
BEGIN
	PERFORM setseed(0.25);
	FOR step IN 1 .. 800 LOOP
		t := t + interval '10 s';
		FOR i IN 1 .. (random() * 2)::int LOOP
			PERFORM pg_temp.happens((random() * 99)::int, chr(97 + (random() * 7)::int), t);
		END LOOP;
		PERFORM observ.dispatch_notifications(t);
	END LOOP;
	-- Calm.
	UPDATE observ.alerts SET status = 'resolved', ends_at = t, resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE status <> 'resolved';
	UPDATE observ.notification_channels SET enabled = true WHERE name = 'other';
	FOR step IN 1 .. 120 LOOP
		t := t + interval '30 s';
		PERFORM observ.dispatch_notifications(t);
	END LOOP;
END $$;
-- It was a storm: every reason came up.
SELECT reason, count(*) > 3 AS often FROM observ.notifications GROUP BY 1 ORDER BY 1;
CREATE TEMP VIEW marks AS SELECT n.notification_id, n."timestamp", n.channel, n.group_key, n.incident_key, (a->>'alert_id')::bigint AS alert_id, a->'labels'->>'alertname' AS name, a->>'mark' AS mark,
	lag(a->>'mark') OVER w AS before, lead(a->>'mark') OVER w AS after
	FROM observ.notifications n, jsonb_array_elements(n.alerts) a WINDOW w AS (PARTITION BY n.channel, n.group_key, a->>'alert_id' ORDER BY n.notification_id);
SELECT count(*) > 500 AS many, count(DISTINCT alert_id) > 50 AS alerts FROM marks;
-- C2: no end of what was not told. C3: an end of all that was. C14: new is new, and what still fires was told before.
SELECT * FROM marks WHERE (mark = 'resolved' AND before IS NOT DISTINCT FROM 'resolved') OR (mark = 'resolved' AND before IS NULL);
SELECT * FROM marks WHERE after IS NULL AND mark <> 'resolved';
SELECT * FROM marks WHERE (mark = 'new' AND before <> 'resolved') OR (mark = 'still' AND before IS NOT DISTINCT FROM 'resolved') OR (mark = 'still' AND before IS NULL);
-- Silenced trouble is not told.
SELECT m.* FROM marks m JOIN observ.silences s ON s.matchers = format('{alertname="%s"}', m.name) AND m."timestamp" >= s.starts_at AND m."timestamp" < s.ends_at WHERE m.mark <> 'resolved';
-- An incident begins when nothing is open and ends with all of it; numbers have no gaps.
SELECT * FROM (SELECT *, lag(state) OVER w AS before, lag(incident_key) OVER w AS incident_before FROM observ.notifications WINDOW w AS (PARTITION BY channel, group_key ORDER BY seq)) n
	WHERE before = 'firing' AND incident_key <> incident_before;
SELECT channel, group_key FROM observ.notifications GROUP BY 1, 2 HAVING count(*) <> max(seq) OR bool_or(state = 'firing') AND (array_agg(state ORDER BY seq DESC))[1] = 'firing';
-- Nothing is left behind.
SELECT (SELECT count(*) FROM observ_data.alert_groups) AS groups, (SELECT count(*) FROM observ_data.group_members) AS members, (SELECT count(*) FROM observ_data.told) AS told, (SELECT count(*) FROM observ.alerts WHERE unrouted) AS unrouted;
-- C16: every flush left a decision.
SELECT count(*) AS undecided FROM observ.notifications n WHERE NOT EXISTS (SELECT FROM observ.notification_decisions d WHERE d.notification_id = n.notification_id);

DELETE FROM observ.routes WHERE name ~ '^test';
DELETE FROM observ.alert_rules WHERE name ~ '^test';
DELETE FROM observ.notification_channels WHERE name = 'other';
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ.silences, observ.silence_audit;
UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
