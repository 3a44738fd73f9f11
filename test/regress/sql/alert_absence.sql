-- Alert rules about data that does not come. In virtual time; nothing of it stays.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
BEGIN;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DELETE FROM observ.fleet_summary;
DELETE FROM observ.vps;
CREATE TEMP TABLE begin ON COMMIT DROP AS SELECT date_trunc('day', now()) - interval '2 days' AS t0;
CREATE FUNCTION pg_temp.put(vps text, app text, secs int[], every int DEFAULT 30000) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) SELECT t0 + make_interval(secs => s), vps, app, 1, every FROM begin, unnest(secs) s $$;
CREATE FUNCTION pg_temp.evaluate(secs float8) RETURNS text LANGUAGE sql AS $$ SELECT e.status || CASE WHEN e.failed > 0 THEN ' failed' ELSE '' END FROM begin, observ.evaluate_alerts(t0 + make_interval(secs => secs)) e $$;
CREATE FUNCTION pg_temp.rule(name text, threshold float8, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, metric_name, selector, operator, threshold, per_app, evaluation_delay, labels)
		VALUES ($1, 'data_age_seconds', more->>'selector', coalesce(more->>'operator', 'gt'), $2, coalesce((more->>'per_app')::boolean, false), coalesce((more->>'delay')::interval, '0'), '{"team":"ops"}') $$;
CREATE VIEW pg_temp.live AS SELECT r.name, a.instance AS vps, a.app_name AS app, a.value, a.status, a.stale, a.labels
	FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE a.status <> 'resolved' ORDER BY r.rule_id, 2, 3;
CREATE FUNCTION pg_temp.see(secs float8) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE done text := pg_temp.evaluate(secs);
	BEGIN
		RETURN done || ': ' || coalesce((SELECT string_agg(concat_ws(' ', name, vps, app, value, CASE WHEN stale THEN 'stale' END), ', ' ORDER BY name, vps, app) FROM pg_temp.live), '');
	END $$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS
	$$ DELETE FROM observ.alerts; DELETE FROM observ.vps_metrics; DELETE FROM observ.fleet_summary; DELETE FROM observ.vps; DELETE FROM observ.alert_rules WHERE labels ->> 'team' = 'ops';
		UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;

-- C8, timeline G, the part of who is absent: the agent dies at 10, its rows came each 30 s. Absent for more than 90 s, until it is back; labels of the VPS stay.
INSERT INTO observ.vps (vps_name, labels) VALUES ('ab-1', '{"env":"prod"}');
SELECT pg_temp.put('ab-1', 'shop', '{-20,10}') \g /dev/null
SELECT pg_temp.rule('absent', 90) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{30,60,100,101,120,420}'::int[]) s;
SELECT labels FROM pg_temp.live;
SELECT pg_temp.put('ab-1', 'shop', '{420}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{421}'::int[]) s;
-- for days: no row is left in sight, and there is no summary
SELECT s, pg_temp.see(s) FROM unnest('{3600,90000}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Nobody is asked for more than three of his own intervals: what the rows say, what the registry says, 60 s.
SELECT pg_temp.put('ab-2', '', '{0}', 10000), pg_temp.put('ab-3', '', '{0}', 40000), pg_temp.put('ab-4', '', '{0}', NULL), pg_temp.put('ab-5', '', '{0}', 10000) \g /dev/null
INSERT INTO observ.vps (vps_name, expected_interval) VALUES ('ab-2', NULL), ('ab-3', NULL), ('ab-4', NULL), ('ab-5', '5 minutes');
SELECT pg_temp.rule('absent', 90) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{90,91,120,121,180,181,900,901}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Per VPS whichever application reports it, or each application.
INSERT INTO observ.vps (vps_name) VALUES ('ab-6');
SELECT pg_temp.put('ab-6', 'a', '{0,30,60,90,120,150,180}'), pg_temp.put('ab-6', 'b', '{0,30}') \g /dev/null
SELECT status FROM begin, observ.refresh_fleet_summary(t0 + interval '180 s');
SELECT pg_temp.rule('vps', 90), pg_temp.rule('application', 90, '{"per_app":true}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{60,121,180,400,10000}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Never heard: since it was enrolled. In maintenance and retired: nothing is expected, and what was is over.
INSERT INTO observ.vps (vps_name, enrolled_at, status, labels) SELECT v, t0, s, '{"env":"x"}' FROM begin, (VALUES ('ab-7', 'active'), ('ab-8', 'maintenance'), ('ab-9', 'retired'), ('ab-10', 'active')) x (v, s);
INSERT INTO observ.vps (vps_name, enrolled_at) SELECT 'ab-11', t0 + interval '1 hour' FROM begin;
SELECT pg_temp.put(v, '', '{0}') FROM unnest('{ab-8,ab-9}'::text[]) v \g /dev/null
SELECT pg_temp.rule('absent', 90), pg_temp.rule('application', 90, '{"per_app":true,"selector":"{env=\"x\"}"}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{60,180,181}'::int[]) s;
UPDATE observ.vps SET status = 'maintenance' WHERE vps_name = 'ab-10';
SELECT s, pg_temp.see(s) FROM unnest('{200,600}'::int[]) s;
UPDATE observ.vps SET status = 'active' WHERE vps_name = 'ab-10';
UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'ab-7';
SELECT s, pg_temp.see(s) FROM unnest('{700}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- The summary knows who was heard when, of metrics or of anything else. What it knows of a later time is not known yet.
SELECT pg_temp.put('ab-12', '', '{0}'), pg_temp.put('ab-13', '', '{0,1000}') \g /dev/null
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) SELECT t0 + interval '5 s', 'ab-14', 'http://a', true FROM begin;
SELECT status FROM begin, observ.refresh_fleet_summary(t0 + interval '1000 s');
SELECT pg_temp.rule('absent', 500) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{490,600,1001}'::int[]) s;
DELETE FROM observ.vps_metrics;
SELECT s, pg_temp.see(s) FROM unnest('{1100,1501}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- A VPS that is taken out of the registry and of the summary ends what is live about it, whatever the rule is about; of one of the two it goes on.
UPDATE observ_data.summary_state SET horizon = '-infinity', seen_until = '-infinity', future_until = '-infinity';
SELECT pg_temp.put(v, 'shop', '{5000}') FROM unnest('{ab-20,ab-21,ab-22}'::text[]) v \g /dev/null
SELECT status FROM begin, observ.refresh_fleet_summary(t0 + interval '5010 s');
SELECT pg_temp.rule('absent', 90) \g /dev/null
INSERT INTO observ.alert_rules (name, metric_name, threshold, labels) VALUES ('busy', 'cpu_percent', 0, '{"team":"ops"}');
SELECT s, pg_temp.see(s) FROM unnest('{5010,5400}'::int[]) s;
SELECT observ.forget('ab-20'), observ.forget('ab-21');
DELETE FROM observ.vps WHERE vps_name IN ('ab-20', 'ab-22');
DELETE FROM observ.vps_metrics;
-- Not by a summary that nobody has kept for long.
SELECT s, pg_temp.see(s) FROM unnest('{9000}'::int[]) s;
SELECT status FROM begin, observ.refresh_fleet_summary(t0 + interval '9000 s');
SELECT s, pg_temp.see(s) FROM unnest('{9010}'::int[]) s;
SELECT instance, resolved_reason, count(*) FROM observ.alerts WHERE status = 'resolved' GROUP BY 1, 2;
SELECT pg_temp.clear() \g /dev/null

-- As of earlier: rows that came since do not count.
SELECT pg_temp.put('ab-15', '', '{0}') \g /dev/null
SELECT pg_temp.rule('from 90 s on', 90, '{"operator":"gte"}'), pg_temp.rule('late', 90, '{"delay":"1 minute"}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{89,90,150,151}'::int[]) s;
ROLLBACK;
