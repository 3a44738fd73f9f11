-- Alert rules over health checks. In virtual time; nothing of it stays.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
BEGIN;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
CREATE TEMP TABLE begin ON COMMIT DROP AS SELECT date_trunc('day', now()) - interval '2 days' AS t0;
-- Results of a check, one each `every` seconds from `since` on: + success, - failure, ? inconclusive. Answers take 100, 200, … ms.
CREATE FUNCTION pg_temp.put(vps text, app text, url text, results text, since int DEFAULT 0, every int DEFAULT 60) RETURNS bigint LANGUAGE sql AS $$
	WITH x AS (INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, response_time_ms, success, inconclusive)
		SELECT t0 + make_interval(secs => since + (i - 1) * every), vps, app, url, CASE WHEN c <> '-' THEN 100 * i END, c = '+', c = '?'
		FROM begin, regexp_split_to_table(results, '') WITH ORDINALITY r (c, i) RETURNING 1) SELECT count(*) FROM x $$;
CREATE FUNCTION pg_temp.evaluate(secs float8) RETURNS text LANGUAGE sql AS $$ SELECT e.status || CASE WHEN e.failed > 0 THEN ' failed' ELSE '' END FROM begin, observ.evaluate_alerts(t0 + make_interval(secs => secs)) e $$;
CREATE FUNCTION pg_temp.rule(name text, metric text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, metric_name, matchers, aggregate, "window", operator, threshold, clear_threshold, per_app, min_samples, no_data, evaluation_delay)
		VALUES ($1, $2, more->>'matchers', coalesce(more->>'aggregate', 'last'), (more->>'window')::interval, coalesce(more->>'operator', 'gte'), coalesce((more->>'threshold')::float8, -1e9),
		(more->>'clear')::float8, coalesce((more->>'per_app')::boolean, true), coalesce((more->>'min_samples')::int, 1), coalesce(more->>'no_data', 'keep'), coalesce((more->>'delay')::interval, '0')) $$;
CREATE VIEW pg_temp.live AS SELECT r.name, a.instance AS vps, a.app_name AS app, a.identity ->> 'url' AS url, round(a.value::numeric, 4) AS value, a.status, a.stale
	FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE a.status <> 'resolved' ORDER BY r.rule_id, 2, 3, 4;
CREATE FUNCTION pg_temp.see(secs float8) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE done text := pg_temp.evaluate(secs);
	BEGIN
		RETURN done || ': ' || coalesce((SELECT string_agg(concat_ws(' ', name, vps, app, url, value, CASE WHEN stale THEN 'stale' END), ', ' ORDER BY name, vps, app, url) FROM pg_temp.live), '');
	END $$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS
	$$ DELETE FROM observ.alerts; DELETE FROM observ.health_checks; UPDATE observ.alert_rules SET enabled = false; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;

-- Failures in a row: inconclusive results count neither way, a success ends the row.
SELECT pg_temp.put('ah-1', 'shop', 'http://a', '++--?-+'), pg_temp.put('ah-1', 'shop', 'http://b', '-------'), pg_temp.put('ah-2', '', 'http://a', '???????') \g /dev/null
SELECT pg_temp.rule('down', 'health_consecutive_failures', '{"threshold":3}'), pg_temp.rule('counted', 'health_consecutive_failures'),
	pg_temp.rule('counted in 2 minutes', 'health_consecutive_failures', '{"window":"2 minutes"}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{0,120,180,240,300,360}'::int[]) s;
SELECT DISTINCT a.identity FROM observ.alerts a ORDER BY 1;
SELECT pg_temp.clear() \g /dev/null

-- Share of failures and changes in the window (at - window, at], of conclusive results.
SELECT pg_temp.put('ah-1', 'shop', 'http://a', '-+-+?-++++') \g /dev/null
SELECT pg_temp.rule('share', 'health_failure_percent', '{"window":"5 minutes"}'), pg_temp.rule('share of 5', 'health_failure_percent', '{"window":"5 minutes","min_samples":5}'),
	pg_temp.rule('changes', 'health_status_changes', '{"window":"10 minutes"}'), pg_temp.rule('changes in 3 minutes', 'health_status_changes', '{"window":"3 minutes"}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{0,60,240,300,540}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Latencies: what failed has none, what is inconclusive counts neither way. 100 … 900 ms but the 4th (failed) and the 5th (inconclusive).
SELECT pg_temp.put('ah-1', 'shop', 'http://a', '+++-?++++') \g /dev/null
SELECT pg_temp.rule(a, 'health_response_ms', jsonb_build_object('aggregate', a, 'window', '20 minutes')) FROM unnest('{avg,max,count,p50,p95,last}'::text[]) a \g /dev/null
SELECT pg_temp.rule('no tls', 'health_tls_ms'), pg_temp.rule('as it was', 'health_response_ms', '{"delay":"2 minutes"}') \g /dev/null
SELECT pg_temp.evaluate(480);
SELECT name, vps, app, url, value FROM pg_temp.live;
SELECT pg_temp.clear() \g /dev/null

-- Certificates: days until the newest known expiry, also from a result that is inconclusive; not before what is known came, and going on between results.
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, inconclusive, tls_expires_at) SELECT t0 + make_interval(mins => m), 'ah-3', 'https://a', true, i, t0 + make_interval(days => d)
	FROM begin, (VALUES (0, false, 5), (1, false, 60), (2, true, NULL), (3, false, NULL), (4, true, 90)) x (m, i, d);
SELECT pg_temp.rule('certificate', 'tls_days_left', '{"operator":"lt","threshold":70}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{0,60,90,180,240}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Matchers on the url; one alert for all applications that check the same url.
SELECT pg_temp.put('ah-1', a, 'https://x/' || a, '---'), pg_temp.put('ah-1', a, 'tcp://db:5432', CASE a WHEN 'a' THEN '-+-' ELSE '---' END, CASE a WHEN 'a' THEN 0 ELSE 1 END) FROM unnest('{a,b}'::text[]) a \g /dev/null
SELECT pg_temp.rule('https', 'health_consecutive_failures', '{"threshold":1,"matchers":"{url=~\"https:.*\"}"}'), pg_temp.rule('of a', 'health_consecutive_failures', '{"threshold":1,"matchers":"{app_name=\"a\"}"}'),
	pg_temp.rule('together', 'health_failure_percent', '{"window":"10 minutes","per_app":false}'), pg_temp.rule('together in a row', 'health_consecutive_failures', '{"per_app":false,"matchers":"{url!~\"https:.*\"}"}') \g /dev/null
SELECT pg_temp.evaluate(125);
SELECT name, vps, app, url, value FROM pg_temp.live;
SELECT pg_temp.clear() \g /dev/null

-- C8: a check is stale after three of its own intervals, 90 s at least; the alert is kept. Each 10 s, each 60 s, and made once so far (as if each 60 s).
SELECT pg_temp.put('ah-4', '', 'each 10 s', '------', 0, 10), pg_temp.put('ah-4', '', 'each 60 s', '--', -10, 60), pg_temp.put('ah-4', '', 'once', '-', 50) \g /dev/null
SELECT pg_temp.rule('kept', 'health_consecutive_failures', '{"threshold":1}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{50,140,141,230,231}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Checks that are made once an hour are known by their latest results, and looked up.
SELECT pg_temp.put('ah-5', '', 'hourly', '+------', 0, 3600) \g /dev/null
INSERT INTO observ_data.health_latest SELECT 'ah-5', '', 'hourly', t0 + interval '6 hours', false, false FROM begin;
SELECT pg_temp.rule('down for hours', 'health_consecutive_failures', '{"threshold":6}'), pg_temp.rule('slow', 'health_response_ms', '{"threshold":1}') \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{17999,21600,25000,32400,32401}'::int[]) s;
SELECT pg_temp.clear() \g /dev/null

-- Nothing of retired VPSs.
INSERT INTO observ.vps (vps_name, status) VALUES ('ah-6', 'retired');
SELECT pg_temp.put('ah-6', '', 'http://a', '---') \g /dev/null
SELECT pg_temp.rule('retired', 'health_consecutive_failures', '{"threshold":1}') \g /dev/null
SELECT pg_temp.see(120);
ROLLBACK;
