-- Alert rules over log entries: counts and rates in a window. In virtual time; nothing of it stays.
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL client_min_messages = warning;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
SELECT status FROM observ.maintain_partitions('2033-06-01 12:00+00');
CREATE FUNCTION pg_temp.log(vps text, app text, level text, message text, secs int[], logger text DEFAULT NULL, source text DEFAULT NULL) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message, logger, source) SELECT '2033-06-01 12:00+00'::timestamptz + make_interval(secs => s), $1, $2, $3, $4, $6, $7 FROM unnest(secs) s $$;
CREATE FUNCTION pg_temp.evaluate(secs int) RETURNS text LANGUAGE sql AS $$ SELECT status FROM observ.evaluate_alerts('2033-06-01 12:00+00'::timestamptz + make_interval(secs => secs)) $$;
CREATE FUNCTION pg_temp.rule(name text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, metric_name, matchers, selector, "window", operator, threshold, clear_threshold, per_app, no_data, evaluation_delay)
		VALUES ($1, coalesce(more->>'metric', 'log_count'), more->>'matchers', more->>'selector', coalesce((more->>'window')::interval, '5 minutes'), coalesce(more->>'operator', 'gt'), coalesce((more->>'threshold')::float8, 0),
		(more->>'clear')::float8, coalesce((more->>'per_app')::boolean, true), coalesce(more->>'no_data', 'keep'), coalesce((more->>'delay')::interval, '0')) $$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS
	$$ DELETE FROM observ.alerts; UPDATE observ.alert_rules SET enabled = false; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;
CREATE VIEW pg_temp.live AS SELECT r.name, a.instance AS vps, a.app_name AS app, a.value, a.sampled_at - '2033-06-01 12:00+00' AS sampled, a.status, a.stale
	FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE a.status <> 'resolved' ORDER BY r.rule_id, 2, 3;
-- Evaluates, and says what is alive then.
CREATE FUNCTION pg_temp.after(secs int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.evaluate(secs);
	RETURN (SELECT string_agg(concat_ws(' ', name, vps, app, value, CASE WHEN stale THEN 'stale' END), ', ') FROM pg_temp.live); END $$;

-- What matchers can be about: level in any case, logger, source, message, VPS and application; regular expressions match the whole value.
SELECT pg_temp.log('al-1', 'shop', 'ERROR', 'connection refused by db-2', '{0,10,20}', 'com.example.Pool', 'app.log'), pg_temp.log('al-1', 'shop', 'error', E'read timeout\n at line 2', '{30}', NULL, 'app.log'),
	pg_temp.log('al-1', 'api', 'Fatal', 'out of memory', '{40}', 'kernel'), pg_temp.log('al-2', 'shop', 'info', 'slow: timeout after 5 s', '{50,51}', 'http', 'access.log'), pg_temp.log('al-2', 'shop', 'warn', 'Größe überschritten', '{55}');
SELECT pg_temp.rule(m, jsonb_build_object('matchers', m)) FROM unnest(ARRAY['{}', '{level="error"}', '{level="Error"}', '{level=~"error|fatal"}', '{level=~"err"}', '{level!="error"}', '{level!~"(?:error|info)"}', '{message=~".*timeout.*"}', '{message=~"timeout"}', '{message=~"slow.*"}',
	'{message=~".*memory"}', '{message="out of memory"}', '{message!~".*timeout.*",level="info"}', '{message=~"(?i).*TIMEOUT.*"}', '{message=~".*(refused|memory).*"}', '{message=~".*(?:refused|MEMORY)"}', '{message=~"(?i).*(REFUSED|Memory).*"}', '{message=~".*refused|out.*"}', '{message=~".*(re|o)(fused|f) .*"}', '{message=~".*"}', '{message=~""}', '{message=~"(?i)read.*"}', '{level=~"(?i)ERROR|Fatal"}', '{level=~"(error|fatal)"}', '{message=~"Gr..e .*"}', '{logger=~"com[.].*"}', '{logger=""}', '{logger!=""}', '{source="access.log"}', '{vps_name="al-1",level="error"}',
	'{app_name=~"a.*"}', '{level="error",message=~"(.*) refused by (.*)-2"}', '{level="error",source!=""}']) m;
SELECT pg_temp.evaluate(60);
SELECT r.name AS matchers, string_agg(concat_ws(' ', l.vps, l.app, l.value), ', ' ORDER BY l.vps, l.app) FROM observ.alert_rules r LEFT JOIN pg_temp.live l USING (name) WHERE r.enabled GROUP BY r.rule_id, r.name ORDER BY r.rule_id;
SELECT pg_temp.clear();

-- (at - window, at]; per second; of the VPS as a whole; as of an earlier time.
SELECT pg_temp.log('al-3', 'a', 'error', 'x', '{300,600}'), pg_temp.log('al-3', 'b', 'error', 'x', '{301,302,589,590}');
SELECT pg_temp.rule('apps'), pg_temp.rule('rate', '{"metric":"log_rate","matchers":"{level=\"error\"}"}'), pg_temp.rule('whole', '{"per_app":false}'), pg_temp.rule('whole rate', '{"per_app":false,"metric":"log_rate","matchers":"{level=\"error\"}"}'),
	pg_temp.rule('short', '{"window":"11 s"}'), pg_temp.rule('earlier', '{"delay":"10 s","window":"11 s"}'), pg_temp.rule('more than 2', '{"threshold":2}'), pg_temp.rule('not seen', '{"threshold":4}');
SELECT pg_temp.evaluate(600);
SELECT name, vps, app, round(value::numeric, 5) AS value, sampled FROM pg_temp.live WHERE vps = 'al-3';
SELECT pg_temp.clear();

-- No entries are a count of 0: it clears, whatever the rule says of what is missing. Hysteresis holds between the thresholds.
SELECT pg_temp.log('al-4', 'a', 'error', 'x', '{1000,1001,1002}');
SELECT pg_temp.rule('plain', '{"matchers":"{level=\"error\",vps_name=\"al-4\"}","threshold":2}'), pg_temp.rule('sticky', '{"matchers":"{vps_name=\"al-4\"}","threshold":2,"clear":0}');
SELECT s, pg_temp.after(s) FROM unnest('{1002,1300,1301,1302}'::int[]) s;
SELECT r.name, a.status, a.resolved_reason, a.value FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) ORDER BY 1;
SELECT pg_temp.clear();

-- Too few entries: everybody who is known is looked at.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) SELECT '2033-06-01 12:00+00'::timestamptz + make_interval(secs => s), v, a, 1, 60000 FROM generate_series(1800, 2400, 60) s, (VALUES ('al-5', 'a'), ('al-5', 'b'), ('al-6', 'a')) x (v, a) WHERE v <> 'al-6' OR s <= 2100;
SELECT status FROM observ.refresh_fleet_summary('2033-06-01 12:40+00');
SELECT pg_temp.log('al-5', 'a', 'info', 'alive', ARRAY(SELECT generate_series(1800, 2100, 30))), pg_temp.log('al-6', 'a', 'info', 'alive', ARRAY(SELECT generate_series(1800, 2100, 30)));
SELECT pg_temp.rule('quiet', '{"operator":"lt","threshold":1,"window":"2 minutes","matchers":"{vps_name=~\"al-[56]\",app_name=\"a\"}"}'), pg_temp.rule('quiet VPS', '{"operator":"lt","threshold":1,"window":"2 minutes","per_app":false,"matchers":"{vps_name=~\"al-[56]\"}"}');
-- al-6 is cut off at 2100: nobody knows whether it logs.
SELECT s, pg_temp.after(s) FROM unnest('{2100,2219,2220,2400}'::int[]) s;
SELECT pg_temp.clear();
-- An alert of a VPS that is cut off stays, and is stale.
UPDATE observ.alert_rules SET enabled = true WHERE name = 'plain';
UPDATE observ.alert_rules SET matchers = '{level="error",vps_name="al-6"}' WHERE name = 'plain';
SELECT pg_temp.log('al-6', 'a', 'error', 'x', '{2098,2099,2100}');
SELECT s, pg_temp.after(s) FROM unnest('{2100,2399,2460}'::int[]) s;
SELECT pg_temp.clear();

-- A regular expression that takes too long fails its rule, and no other.
SELECT pg_temp.log('al-7', 'a', 'error', repeat('a', 300), '{3000}');
SET LOCAL observ.rule_statement_timeout = '200ms';
SELECT pg_temp.rule('hostile', '{"matchers":"{vps_name=\"al-7\",message=~\"(a*)(a*)(a*)(a*)(a*)\\\\1\\\\2\\\\3\\\\4\\\\5\\\\5a\"}"}'), pg_temp.rule('harmless', '{"matchers":"{vps_name=\"al-7\",message=~\"a*\"}"}');
SELECT pg_temp.evaluate(3000);
SELECT name, vps, value FROM pg_temp.live;
SELECT r.name, s.errors, s.last_error, s.last_error_sqlstate FROM observ_data.rule_state s JOIN observ.alert_rules r USING (rule_id) WHERE s.errors > 0;
ROLLBACK;
