-- Alert rules about long windows of vps_metrics, and about what is usual. In virtual time; nothing of it stays.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
BEGIN;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DELETE FROM observ.vps_metrics;
DELETE FROM observ.metrics_5m;
DELETE FROM observ.metrics_1h;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
CREATE TEMP TABLE begin ON COMMIT DROP AS SELECT date_trunc('day', now()) - interval '2 days' AS t0;
CREATE FUNCTION pg_temp.evaluate(secs float8) RETURNS text LANGUAGE sql AS $$ SELECT e.status || CASE WHEN e.failed > 0 THEN ' failed' ELSE '' END FROM begin, observ.evaluate_alerts(t0 + make_interval(secs => secs)) e $$;
-- Until there is nothing left to do.
CREATE FUNCTION pg_temp.roll_up(secs float8) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE before timestamptz; now timestamptz;
	BEGIN
		LOOP
			SELECT rolled_5m INTO before FROM observ_data.rollup_state WHERE source = 'vps_metrics';
			PERFORM observ.roll_up(t0 + make_interval(secs => secs)) FROM begin;
			SELECT rolled_5m INTO now FROM observ_data.rollup_state WHERE source = 'vps_metrics';
			EXIT WHEN now = before;
		END LOOP;
	END $$;
CREATE FUNCTION pg_temp.rule(name text, metric text, aggregate text, "window" interval, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", predict_ahead, operator, threshold, per_app, min_samples, evaluation_delay)
		VALUES ($1, $2, $3, $4, (more->>'ahead')::interval, 'gt', -1e9, coalesce((more->>'per_app')::boolean, true), coalesce((more->>'min_samples')::int, 1), coalesce((more->>'delay')::interval, '0')) $$;
CREATE VIEW pg_temp.live AS SELECT r.rule_id, r.name, a.instance AS vps, a.app_name AS app, round(a.value::numeric, 3) AS value FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE a.status <> 'resolved';
CREATE TEMP TABLE seen (stage text, rule_id bigint, name text, vps text, app text, value numeric) ON COMMIT DROP;
CREATE FUNCTION pg_temp.look(stage text, secs float8) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE done text := pg_temp.evaluate(secs);
	BEGIN
		INSERT INTO seen SELECT stage, * FROM pg_temp.live;
		DELETE FROM observ.alerts;
		UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
		RETURN done;
	END $$;

-- A row a minute for 27 hours: a ramp of 0.1 a minute. The window begins with a whole bucket: after 27 hours and 2 minutes, that of 21:00 or of 2:00 of the day before.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, disk_percent, load_avg_5m, cpu_cores, interval_ms)
	SELECT t0 + make_interval(mins => m), 'al-1', 'shop', m / 10.0, 8 + m % 2, 4, 60000 FROM begin, generate_series(0, 27 * 60 + 2) m;
-- Two applications, the one after the other, each with half of the rows.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, disk_percent, interval_ms)
	SELECT t0 + make_interval(mins => m), 'al-2', CASE WHEN m % 2 = 0 THEN 'x' ELSE 'y' END, CASE WHEN m % 2 = 0 THEN 10 ELSE 20 END, 60000 FROM begin, generate_series(22 * 60, 27 * 60 + 2) m;
SELECT pg_temp.rule(a || ' 6 h', 'disk_percent', a, '6 hours', jsonb_build_object('ahead', CASE a WHEN 'predict' THEN '10 hours' END)) FROM unnest('{avg,min,max,sum,count,p50,delta,stddev,predict}'::text[]) a \g /dev/null
SELECT pg_temp.rule(a || ' 25 h', 'disk_percent', a, '25 hours', jsonb_build_object('ahead', CASE a WHEN 'predict' THEN '10 hours' END)) FROM unnest('{avg,min,max,count,predict}'::text[]) a \g /dev/null
SELECT pg_temp.rule('free', 'disk_available_percent', 'min', '6 hours'), pg_temp.rule('per core', 'load_avg_5m_per_core', 'avg', '6 hours'), pg_temp.rule('together', 'disk_percent', 'avg', '3 hours', '{"per_app":false}'),
	pg_temp.rule('together counted', 'disk_percent', 'count', '3 hours', '{"per_app":false}'), pg_temp.rule('earlier', 'disk_percent', 'max', '6 hours', '{"delay":"1 hour"}'), pg_temp.rule('enough', 'disk_percent', 'avg', '6 hours', '{"min_samples":363}'),
	pg_temp.rule('not enough', 'disk_percent', 'avg', '6 hours', '{"min_samples":364}'), pg_temp.rule('short', 'disk_percent', 'avg', '2 hours') \g /dev/null
-- Nothing is rolled up, some of it, all that can be: the values are the same.
SELECT pg_temp.look('raw', 27 * 3600 + 120);
SELECT pg_temp.roll_up(24 * 3600 + 1000) \g /dev/null
SELECT pg_temp.look('partly', 27 * 3600 + 120);
SELECT pg_temp.roll_up(27 * 3600 + 120) \g /dev/null
SELECT pg_temp.look('rolled up', 27 * 3600 + 120);
SELECT rolled_5m - t0 AS rolled FROM observ_data.rollup_state, begin WHERE source = 'vps_metrics';
SELECT count(*) FROM observ.metrics_1h;
SELECT name, vps, app, max(value) FILTER (WHERE stage = 'raw') AS raw, max(value) FILTER (WHERE stage = 'partly') AS partly, max(value) FILTER (WHERE stage = 'rolled up') AS rolled_up FROM seen GROUP BY rule_id, name, vps, app ORDER BY rule_id, vps, app;
-- A time in the past doesn't know what was rolled up since.
DELETE FROM seen;
SELECT pg_temp.look('past', 20 * 3600);
SELECT name, value FROM seen WHERE vps = 'al-1' AND name LIKE '%6 h' ORDER BY rule_id;
-- Rows of the window are gone, their buckets are not.
DELETE FROM observ.vps_metrics WHERE "timestamp" < (SELECT t0 + interval '26 hours' FROM begin);
DELETE FROM seen;
SELECT pg_temp.look('without rows', 27 * 3600 + 120);
SELECT name, value FROM seen WHERE vps = 'al-1' AND name IN ('avg 6 h', 'avg 25 h', 'short') ORDER BY rule_id;

-- What is usual at this hour: 10, 12, 10, 12 … per cent between 10:00 and 11:00 of the days before, something else at other hours. Six days are known, a gap among them.
UPDATE observ.alert_rules SET enabled = false;
DELETE FROM observ.vps_metrics;
DELETE FROM observ.metrics_5m;
DELETE FROM observ.metrics_1h;
DELETE FROM observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
SELECT count(DISTINCT observ.maintain_partitions(t0 - d * interval '1 day')) > 0 AS made FROM begin, generate_series(0, 14) d;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, interval_ms)
	SELECT t0 - d * interval '1 day' + h * interval '1 hour' + m * interval '10 minutes', v.vps, 'a', CASE WHEN h = 10 THEN 10 + 2 * (d % 2) ELSE 90 END, 50, 60000
	FROM begin, (VALUES ('al-3', 7, 3), ('al-4', 4, 0)) v (vps, days, gap), generate_series(1, 7) d, generate_series(9, 11) h, generate_series(0, 5) m WHERE d <= v.days AND d <> v.gap;
SELECT pg_temp.roll_up(9 * 3600) \g /dev/null
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, interval_ms)
	SELECT t0 + make_interval(hours => 10, mins => m), v, 'a', 15, 51, 60000 FROM begin, generate_series(1, 20) m, unnest('{al-3,al-4}'::text[]) v;
SELECT pg_temp.rule('unusual', 'cpu_percent', 'anomaly', '5 minutes'), pg_temp.rule('unusual of the VPS', 'cpu_percent', 'anomaly', '10 minutes', '{"per_app":false}'), pg_temp.rule('unusual though it was always 50', 'memory_percent', 'anomaly', '5 minutes') \g /dev/null
SELECT pg_temp.evaluate(10 * 3600 + 1200);
-- 15 is 4 from 11.0 (6 days: 3 of 10, 3 of 12), spread 1; of al-4 too few days are known
SELECT name, vps, app, value FROM pg_temp.live ORDER BY rule_id, vps;
SELECT n.n, avg, round(stddev_pop::numeric, 3) AS spread FROM (SELECT count(*) AS n, avg(avg), stddev_pop(avg) FROM observ.vps_metrics_1h, begin WHERE vps_name = 'al-3' AND metric = 'cpu_percent' AND extract(hour FROM "timestamp") = 10) n;
ROLLBACK;

-- A session that keeps what it has read sees what is rolled up since, and what is not any more.
BEGIN;
CREATE TEMP TABLE were_enabled AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
TRUNCATE observ.vps_metrics, observ.metrics_5m, observ.metrics_1h, observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
SELECT date_trunc('day', now()) - interval '2 days' AS t0 \gset
INSERT INTO observ.vps_metrics ("timestamp", vps_name, zombies, interval_ms) SELECT :'t0'::timestamptz + make_interval(mins => m), 'al-5', 1, 60000 FROM generate_series(0, 240) m;
INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", operator, threshold) VALUES ('al long', 'zombies', 'sum', '3 hours', 'gt', -1), ('al very long', 'zombies', 'sum', '2 days', 'gt', -1);
COMMIT;
SET observ.evaluation_cache = on;
CREATE VIEW pg_temp.found AS SELECT string_agg(concat_ws(' ', r.name, a.value), ', ' ORDER BY r.name) FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE r.name LIKE 'al %';
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '240 minutes');
TABLE pg_temp.found;
SELECT status FROM observ.roll_up(:'t0'::timestamptz + interval '200 minutes');
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '240 minutes 1 s');
TABLE pg_temp.found;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, zombies, interval_ms) SELECT :'t0'::timestamptz + make_interval(mins => m), 'al-5', 10, 60000 FROM generate_series(241, 300) m;
SELECT status FROM observ.roll_up(:'t0'::timestamptz + interval '290 minutes');
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '300 minutes');
TABLE pg_temp.found;
-- back to a time that knows less: an hour of which half is not known yet
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '250 minutes');
TABLE pg_temp.found;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '300 minutes');
-- what was kept is needed: the rows below it are gone
DELETE FROM observ.vps_metrics WHERE "timestamp" < :'t0'::timestamptz + interval '240 minutes';
DELETE FROM observ.metrics_5m;
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '300 minutes 1 s');
TABLE pg_temp.found;
SET observ.evaluation_cache = off;
SELECT status, failed FROM observ.evaluate_alerts(:'t0'::timestamptz + interval '300 minutes 2 s');
TABLE pg_temp.found;
DELETE FROM observ.alert_rules WHERE name LIKE 'al %';
DELETE FROM observ.alerts WHERE instance LIKE 'al-%';
TRUNCATE observ.vps_metrics, observ.metrics_5m, observ.metrics_1h, observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
UPDATE observ.alert_rules SET enabled = true WHERE rule_id IN (SELECT rule_id FROM were_enabled);
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
