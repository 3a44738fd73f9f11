-- Alert rules over columns of vps_metrics: windows, what is silent, what is missing. In virtual time; nothing of it stays.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
BEGIN;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
CREATE TEMP TABLE begin ON COMMIT DROP AS SELECT date_trunc('day', now()) - interval '2 days' AS t0;
SELECT t0 FROM begin \gset
-- A row of one column, seconds after t0.
CREATE FUNCTION pg_temp.put(vps text, app text, col text, secs int[], vals float8[], every int DEFAULT 60000) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, %I, interval_ms)
			SELECT t0 + make_interval(secs => s), $1, $2, v, $3 FROM begin, unnest($4, $5) x (s, v)', col) USING vps, app, every, secs, vals;
	END $$;
CREATE FUNCTION pg_temp.evaluate(secs float8) RETURNS text LANGUAGE sql AS $$ SELECT e.status || CASE WHEN e.failed > 0 THEN ' failed' ELSE '' END FROM begin, observ.evaluate_alerts(t0 + make_interval(secs => secs)) e $$;
CREATE FUNCTION pg_temp.rule(name text, metric text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, metric_name, selector, aggregate, "window", predict_ahead, operator, threshold, per_app, min_samples, no_data, on_missing, missing_for, evaluation_delay, for_duration)
		VALUES ($1, $2, more->>'selector', coalesce(more->>'aggregate', 'last'), (more->>'window')::interval, (more->>'ahead')::interval,
		coalesce(more->>'operator', 'gt'), coalesce((more->>'threshold')::float8, -1e9), coalesce((more->>'per_app')::boolean, true), coalesce((more->>'min_samples')::int, 1),
		coalesce(more->>'no_data', 'keep'), coalesce(more->>'on_missing', 'resolve'), (more->>'missing_for')::interval, coalesce((more->>'delay')::interval, '0'), coalesce((more->>'for')::interval, '0')) $$;
CREATE VIEW pg_temp.live AS SELECT r.name, a.instance AS vps, a.app_name AS app, round(a.value::numeric, 4) AS value, a.sampled_at - b.t0 AS sampled, a.status, a.stale
	FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id), begin b WHERE a.status <> 'resolved' ORDER BY r.rule_id, 2, 3;
-- Evaluates, and tells what is live then.
CREATE FUNCTION pg_temp.see(secs float8) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE done text := pg_temp.evaluate(secs);
	BEGIN
		RETURN done || ': ' || coalesce((SELECT string_agg(concat_ws(' ', name, vps, value, status, CASE WHEN stale THEN 'stale' END), ', ' ORDER BY name, vps) FROM pg_temp.live), '');
	END $$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS
	$$ DELETE FROM observ.alerts; DELETE FROM observ.vps_metrics; UPDATE observ.alert_rules SET enabled = false; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;

-- Aggregates over (at - window, at]: the sample at 0 lies outside of the window of two minutes, that at 120 inside, that at 150 does not exist yet.
SELECT num_nulls(pg_temp.put('aw-1', 'shop', 'cpu_percent', '{0,30,60,90,120,150}', '{100,1,2,6,3,50}', 30000)) \g /dev/null
SELECT count(pg_temp.rule(a, 'cpu_percent', jsonb_build_object('aggregate', a, 'window', '2 minutes', 'ahead', CASE a WHEN 'predict' THEN '1 minute' END))) FROM unnest('{avg,min,max,sum,count,last,p50,p95,delta,stddev,predict}'::text[]) a \g /dev/null
SELECT num_nulls(pg_temp.rule('4 samples', 'cpu_percent', '{"aggregate":"avg","window":"2 minutes","min_samples":4}'), pg_temp.rule('5 samples', 'cpu_percent', '{"aggregate":"avg","window":"2 minutes","min_samples":5}'),
	pg_temp.rule('a short window', 'cpu_percent', '{"aggregate":"sum","window":"1 minute"}'), pg_temp.rule('newest', 'cpu_percent'), pg_temp.rule('later', 'cpu_percent', '{"delay":"1 minute","aggregate":"max","window":"61 s"}')) \g /dev/null
SELECT pg_temp.evaluate(120);
SELECT name, vps, app, value, sampled FROM pg_temp.live;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- The same from 30 minutes before, and from an hour before: other tracks of the store.
SELECT num_nulls(pg_temp.put('aw-1', 'shop', 'memory_percent', '{4000,5000,6000,6900,7100}', '{1,2,3,4,5}', 300000)) \g /dev/null
SELECT count(pg_temp.rule('count ' || w, 'memory_percent', jsonb_build_object('aggregate', 'count', 'window', w))) FROM unnest('{10 minutes,30 minutes,1 hour,2 hours}'::text[]) w \g /dev/null
SELECT count(pg_temp.rule('sum ' || w, 'memory_percent', jsonb_build_object('aggregate', 'sum', 'window', w))) FROM unnest('{10 minutes,30 minutes,1 hour,2 hours}'::text[]) w \g /dev/null
SELECT num_nulls(pg_temp.rule('an hour late', 'memory_percent', '{"aggregate":"sum","window":"20 minutes","delay":"1000 s"}')) \g /dev/null
SELECT pg_temp.evaluate(7200);
SELECT name, value, sampled FROM pg_temp.live;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- What is worked out of columns; where there are no cores there is no value, and no infinity.
SELECT num_nulls(pg_temp.put('aw-2', '', 'disk_percent', '{0,60}', '{60,70}')) \g /dev/null
INSERT INTO observ.vps_metrics ("timestamp", vps_name, load_avg_5m, cpu_cores, uptime_seconds, memory_percent) SELECT t0 + interval '1 minute', v, 6, c, 12345, m FROM begin, (VALUES ('aw-3', 4, 40), ('aw-4', 0, NULL), ('aw-5', NULL, 'NaN'::real)) x (v, c, m);
SELECT count(pg_temp.rule(m, m)) FROM unnest('{disk_available_percent,load_avg_5m_per_core,uptime_seconds,memory_available_percent,memory_usage}'::text[]) m \g /dev/null
SELECT pg_temp.evaluate(60);
SELECT name, vps, app, value FROM pg_temp.live;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- per_app = false: the samples of all applications of the VPS together, in the order of time.
SELECT num_nulls(pg_temp.put('aw-6', 'x', 'disk_gb', '{0,60,120}', '{1,2,3}'), pg_temp.put('aw-6', 'y', 'disk_gb', '{30,90}', '{100,300}'), pg_temp.put('aw-6', '', 'disk_gb', '{10}', '{50}')) \g /dev/null
SELECT count(pg_temp.rule('whole ' || a, 'disk_gb', jsonb_build_object('aggregate', a, 'window', '5 minutes', 'per_app', false))) FROM unnest('{last,avg,max,count,delta}'::text[]) a \g /dev/null
SELECT num_nulls(pg_temp.rule('each', 'disk_gb', '{"aggregate":"count","window":"5 minutes"}')) \g /dev/null
SELECT pg_temp.evaluate(121);
SELECT name, vps, app, value, sampled FROM pg_temp.live;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- C8, timeline G, the part of the source. A sample is fresh for 1.5 intervals, that moment included; then it is silent and its alert stale. When it comes back, nothing has happened.
SELECT num_nulls(pg_temp.put('aw-7', 'db', 'disk_percent', '{10}', '{95}', 30000)) \g /dev/null
SELECT num_nulls(pg_temp.rule('disk', 'disk_percent', '{"threshold":90}')) \g /dev/null
SELECT pg_temp.see(30);
SELECT pg_temp.see(55);
SELECT pg_temp.see(55.000001);
SELECT pg_temp.see(400);
SELECT num_nulls(pg_temp.put('aw-7', 'db', 'disk_percent', '{420}', '{95}', 30000)) \g /dev/null
SELECT pg_temp.see(430);
SELECT num_nulls(pg_temp.put('aw-7', 'db', 'disk_percent', '{450}', '{60}', 30000)) \g /dev/null
SELECT pg_temp.see(450);
SELECT event, to_status, h."timestamp" - t0 AS at FROM observ.alert_history h, begin WHERE alert_id IN (SELECT alert_id FROM observ.alerts) ORDER BY id;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- What a row doesn't say, the registry may: 60 s, what the row says, what observ.vps says.
SELECT num_nulls(pg_temp.put('aw-8', '', 'swap_percent', '{0}', '{1}', NULL), pg_temp.put('aw-9', '', 'swap_percent', '{0}', '{1}', 120000), pg_temp.put('aw-10', '', 'swap_percent', '{0}', '{1}', 5000)) \g /dev/null
INSERT INTO observ.vps (vps_name, expected_interval) VALUES ('aw-10', '40 s');
SELECT num_nulls(pg_temp.rule('swap', 'swap_percent')) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{0,59,61,89,91,179,181}'::int[]) s;
DELETE FROM observ.alerts;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
-- no_data: alert is true when nothing comes, resolve is not.
SELECT num_nulls(pg_temp.rule('silence is true', 'swap_percent', '{"threshold":50,"no_data":"alert"}'), pg_temp.rule('silence is false', 'swap_percent', '{"no_data":"resolve"}')) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{50,80,200}'::int[]) s;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- A column that is not measured any more is missing, though the VPS is well; others go on.
SELECT num_nulls(pg_temp.put('aw-11', '', 'psi_io', '{0,60}', '{5,6}'), pg_temp.put('aw-11', '', 'cpu_percent', '{120,180,240,300,360,420,480,540}', '{1,1,1,1,1,1,1,1}')) \g /dev/null
SELECT num_nulls(pg_temp.rule('pressure', 'psi_io', '{"aggregate":"avg","window":"3 minutes","missing_for":"1 minute"}'), pg_temp.rule('kept', 'psi_io', '{"on_missing":"keep"}'), pg_temp.rule('cpu', 'cpu_percent')) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{60,180,239,240,300,540}'::int[]) s;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- VPSs that report once an hour: looked for three hours back, and a short window has their newest row in it until that is stale.
INSERT INTO observ.vps (vps_name, expected_interval) VALUES ('aw-12', '1 hour');
SELECT num_nulls(pg_temp.put('aw-12', '', 'psi_cpu', '{0,3600}', '{7,9}')) \g /dev/null
SELECT num_nulls(pg_temp.rule('hourly', 'psi_cpu'), pg_temp.rule('hourly avg', 'psi_cpu', '{"aggregate":"avg","window":"5 minutes"}'), pg_temp.rule('hourly delta', 'psi_cpu', '{"aggregate":"delta","window":"2 hours"}')) \g /dev/null
SELECT s, pg_temp.see(s) FROM unnest('{3600,5000,7000,8999,9001}'::int[]) s;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- Selectors; retired VPSs are left out.
INSERT INTO observ.vps (vps_name, labels, status) VALUES ('aw-13', '{"env":"prod"}', 'active'), ('aw-14', '{"env":"test"}', 'active'), ('aw-15', '{"env":"prod"}', 'retired');
SELECT count(pg_temp.put(v, a, 'zombies', '{0}', '{3}')) FROM unnest('{aw-13,aw-14,aw-15}'::text[]) v, unnest('{a,b}'::text[]) a \g /dev/null
SELECT num_nulls(pg_temp.rule('prod', 'zombies', '{"selector":"{env=\"prod\"}"}'), pg_temp.rule('all', 'zombies'), pg_temp.rule('a of prod', 'zombies', '{"selector":"{env=\"prod\",app_name=\"a\"}"}'), pg_temp.rule('vps', 'zombies', '{"per_app":false,"selector":"{vps_name=~\"aw-1[45]\"}"}')) \g /dev/null
SELECT pg_temp.evaluate(0);
SELECT name, string_agg(concat_ws(' ', vps, app), ', ' ORDER BY vps, app) FROM pg_temp.live GROUP BY 1 ORDER BY 1;
SELECT num_nulls(pg_temp.clear()) \g /dev/null

-- C20: a row that comes late is seen by the next evaluation, by its timestamp; its time of arrival is of no interest.
SELECT num_nulls(pg_temp.put('aw-16', '', 'net_rx_bps', '{0,60}', '{10,10}')) \g /dev/null
SELECT num_nulls(pg_temp.rule('late', 'net_rx_bps', '{"aggregate":"max","window":"2 minutes"}')) \g /dev/null
SELECT pg_temp.see(60);
SELECT num_nulls(pg_temp.put('aw-16', '', 'net_rx_bps', '{30}', '{70}')) \g /dev/null
SELECT pg_temp.see(61);
SELECT pg_temp.see(149);
SELECT pg_temp.see(150);
ROLLBACK;

-- C28: rows that are not committed don't alert; the store of samples, which a session may keep, never knows more or less than its snapshot.
BEGIN;
CREATE TEMP TABLE were_enabled AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", operator, threshold) VALUES ('aw sum', 'disk_busy_percent', 'sum', '10 minutes', 'gt', -1), ('aw newest', 'disk_busy_percent', 'last', NULL, 'gt', -1);
SELECT date_trunc('day', now()) - interval '2 days' AS t0 \gset
COMMIT;
CREATE FUNCTION pg_temp.row(t timestamptz, vps text, v real) RETURNS void LANGUAGE sql AS $$ INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_busy_percent, interval_ms) VALUES (t, vps, v, 600000) $$;
CREATE VIEW pg_temp.found AS SELECT string_agg(concat_ws(' ', a.instance, r.name, a.value), ', ' ORDER BY a.instance, r.name) FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE r.name LIKE 'aw %' AND a.status <> 'resolved';
-- enough rows of another time that pages are looked for through the index
INSERT INTO observ.vps_metrics ("timestamp", received_at, vps_name, cpu_percent, memory_percent, disk_percent, interval_ms) SELECT :'t0'::timestamptz + make_interval(hours => 6, secs => i / 100.0), now() - interval '1 hour', 'aw-filler', 1, 2, 3, 60000 FROM generate_series(1, 8000) i;
SELECT count(*) > 0 AS summarised FROM (SELECT brin_summarize_new_values(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_inherits h ON h.inhrelid = i.indrelid WHERE h.inhparent = 'observ.vps_metrics'::regclass AND c.relam = 3580 OFFSET 0) s;
SET observ.evaluation_cache = on;
SELECT pg_temp.row(:'t0', 'aw-20', 1), pg_temp.row(:'t0', 'aw-21', 1);
SELECT status, failed FROM observ.evaluate_alerts(:'t0');
TABLE pg_temp.found;
-- rows that came since, one of them late, one known already, one of a VPS that is new, one in the future
SELECT pg_temp.row(:'t0'::timestamptz + '2 s', 'aw-20', 4), pg_temp.row(:'t0'::timestamptz + '1 s', 'aw-20', 2), pg_temp.row(:'t0'::timestamptz + '1 s', 'aw-22', 64), pg_temp.row(:'t0'::timestamptz + '10 s', 'aw-21', 128);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '2 s');
TABLE pg_temp.found;
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '10 s');
TABLE pg_temp.found;
-- rows that were seen and then taken back: of a transaction, of a part of one
BEGIN;
SELECT pg_temp.row(:'t0'::timestamptz + '11 s', 'aw-20', 1000);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '11 s');
TABLE pg_temp.found;
ROLLBACK;
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '12 s');
TABLE pg_temp.found;
BEGIN;
SAVEPOINT a;
SELECT pg_temp.row(:'t0'::timestamptz + '13 s', 'aw-20', 2000);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '13 s');
ROLLBACK TO a;
SELECT pg_temp.row(:'t0'::timestamptz + '14 s', 'aw-20', 8);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '14 s');
COMMIT;
TABLE pg_temp.found;
-- longer windows and more columns than were needed so far
INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", operator, threshold) VALUES ('aw long', 'disk_busy_percent', 'sum', '2 hours', 'gt', -1), ('aw other', 'interval_ms', 'last', NULL, 'gt', -1);
SELECT pg_temp.row(:'t0'::timestamptz - interval '1 hour', 'aw-20', 4096);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '15 s');
TABLE pg_temp.found;
-- rows that are gone, all at once: nothing is left of them in memory
TRUNCATE observ.vps_metrics;
SELECT pg_temp.row(:'t0'::timestamptz + '16 s', 'aw-20', 1), pg_temp.row(:'t0'::timestamptz + '16 s', 'aw-21', 1), pg_temp.row(:'t0'::timestamptz + '16 s', 'aw-22', 1);
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + '16 s');
TABLE pg_temp.found;
-- memory is given back when it is not wanted any more
SELECT count(*) > 0 AS kept FROM pg_backend_memory_contexts WHERE name = 'observ samples' AND total_bytes > 8192;
SET observ.evaluation_cache = off;
SELECT count(*) AS kept FROM pg_backend_memory_contexts WHERE name = 'observ samples';
DELETE FROM observ.alert_rules WHERE name LIKE 'aw %';
DELETE FROM observ.alerts WHERE instance LIKE 'aw-%';
TRUNCATE observ.vps_metrics, observ.fleet_summary;
DELETE FROM observ.vps WHERE vps_name LIKE 'aw-%';
UPDATE observ.alert_rules SET enabled = true WHERE rule_id IN (SELECT rule_id FROM were_enabled);
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
