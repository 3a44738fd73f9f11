-- Alert rules over labelled metrics: series, matchers, windows, what is missing. In virtual time; nothing of it stays.
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL client_min_messages = warning;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
CREATE TEMP TABLE begin ON COMMIT DROP AS SELECT date_trunc('day', now()) - interval '2 days' AS t0;
SELECT t0 FROM begin \gset
-- Seconds after t0 and values of one series.
CREATE FUNCTION pg_temp.put(vps text, app text, metric text, labels jsonb, secs int[], vals float8[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT stored FROM observ.insert_samples(vps, app, (SELECT array_agg(t0 + make_interval(secs => s) ORDER BY i) FROM begin, unnest(secs) WITH ORDINALITY x (s, i)),
		array_fill(metric, ARRAY[cardinality(secs)]), array_fill(labels, ARRAY[cardinality(secs)]), vals) $$;
-- A row of the machine, each minute of a range of seconds.
CREATE FUNCTION pg_temp.machine(vps text, since int, until int) RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) SELECT t0 + make_interval(secs => s), vps, 1, 60000 FROM begin, generate_series(since, until, 60) s $$;
CREATE FUNCTION pg_temp.evaluate(secs int) RETURNS text LANGUAGE sql AS $$ SELECT e.status FROM begin, observ.evaluate_alerts(t0 + make_interval(secs => secs)) e $$;
CREATE FUNCTION pg_temp.rule(name text, metric text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS
	$$ INSERT INTO observ.alert_rules (name, source, metric_name, matchers, selector, aggregate, "window", predict_ahead, operator, threshold, per_app, min_samples, no_data, on_missing, missing_for, evaluation_delay)
		VALUES ($1, 'metric_samples', $2, more->>'matchers', more->>'selector', coalesce(more->>'aggregate', 'last'), (more->>'window')::interval, (more->>'ahead')::interval,
		coalesce(more->>'operator', 'gt'), coalesce((more->>'threshold')::float8, -1e9), coalesce((more->>'per_app')::boolean, true), coalesce((more->>'min_samples')::int, 1),
		coalesce(more->>'no_data', 'keep'), coalesce(more->>'on_missing', 'resolve'), (more->>'missing_for')::interval, coalesce((more->>'delay')::interval, '0')) $$;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS
	$$ DELETE FROM observ.alerts; UPDATE observ.alert_rules SET enabled = false; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;
CREATE VIEW pg_temp.live AS SELECT r.name, a.instance AS vps, a.app_name AS app, a.identity - '{vps_name,app_name}'::text[] AS labels, round(a.value::numeric, 4) AS value, a.sampled_at - b.t0 AS sampled, a.status, a.stale
	FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id), begin b ORDER BY r.rule_id, 2, 3, a.identity::text;
-- Evaluates, and says what is alive then.
CREATE FUNCTION pg_temp.after(secs int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.evaluate(secs);
	RETURN (SELECT string_agg(concat_ws(' ', name, labels->>'c', status, CASE WHEN stale THEN 'stale' END), ', ') FROM pg_temp.live WHERE status <> 'resolved'); END $$;

-- Each series is an instance; matchers on labels, VPS and application; selectors on labels of VPSs.
INSERT INTO observ.vps (vps_name, labels) VALUES ('as-1', '{"env":"prod"}'), ('as-2', '{"env":"test"}'), ('as-3', '{"env":"prod"}');
UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'as-3';
SELECT sum(pg_temp.put(v, a, 'as_used', jsonb_build_object('mount', m), '{0,60}', '{50,90}')) FROM unnest('{as-1,as-2,as-3}'::text[]) v, unnest('{shop,api}'::text[]) a, unnest('{/,/var}'::text[]) m;
SELECT pg_temp.machine(v, 0, 60) FROM unnest('{as-1,as-2,as-3}'::text[]) v;
SELECT pg_temp.rule('all', 'as_used', '{"threshold":80}'), pg_temp.rule('var of shop', 'as_used', '{"threshold":80,"matchers":"{mount=~\"/v.*\",app_name=\"shop\"}"}'),
	pg_temp.rule('not as-1', 'as_used', '{"threshold":80,"matchers":"{vps_name!=\"as-1\",mount!=\"/\"}"}'), pg_temp.rule('prod', 'as_used', '{"threshold":80,"selector":"{env=\"prod\"}","matchers":"{mount=\"/\"}"}'),
	pg_temp.rule('none', 'as_used', '{"threshold":90}'), pg_temp.rule('no such label', 'as_used', '{"threshold":80,"matchers":"{zone=\"eu\"}"}'), pg_temp.rule('no such metric', 'as_nothing', '{"threshold":80}');
SELECT pg_temp.evaluate(60);
SELECT name, string_agg(concat_ws(' ', vps, app, labels->>'mount'), ', ') AS instances, min(value), min(sampled) FROM pg_temp.live GROUP BY name ORDER BY name;
SELECT name, vps, app, labels, value FROM pg_temp.live WHERE name = 'prod';
SELECT pg_temp.clear();

-- Aggregates over (at - window, at]: the sample at 0 lies outside of the window of two minutes, that at 120 inside.
SELECT pg_temp.put('as-1', 'shop', 'as_load', '{}', '{0,30,60,90,120,150}', '{100,1,2,6,3,50}'), pg_temp.put('as-1', 'shop', 'as_hits_total', '{}', '{0,30,60,90,120,150}', '{100,110,120,3,13,50}');
SELECT pg_temp.rule(a, 'as_load', jsonb_build_object('aggregate', a, 'window', '2 minutes', 'ahead', CASE a WHEN 'predict' THEN '1 minute' END)) FROM unnest('{avg,min,max,sum,count,last,p50,p95,delta,stddev,predict}'::text[]) a;
SELECT pg_temp.rule(a || ' of a counter', 'as_hits_total', jsonb_build_object('aggregate', a, 'window', '2 minutes')) FROM unnest('{rate,increase,delta}'::text[]) a;
SELECT pg_temp.rule('4 samples', 'as_load', '{"aggregate":"avg","window":"2 minutes","min_samples":4}'), pg_temp.rule('5 samples', 'as_load', '{"aggregate":"avg","window":"2 minutes","min_samples":5}'),
	pg_temp.rule('a short window', 'as_load', '{"aggregate":"sum","window":"1 minute"}'), pg_temp.rule('newest', 'as_load'), pg_temp.rule('later', 'as_load', '{"delay":"1 minute","aggregate":"max","window":"90 s"}');
SELECT pg_temp.evaluate(120);
SELECT name, value, sampled FROM pg_temp.live;
SELECT pg_temp.clear();

-- NaN is no sample; infinity is one.
SELECT pg_temp.put('as-1', 'shop', 'as_odd', '{"n":"1"}', '{0,30,60}', '{5,NaN,NaN}'), pg_temp.put('as-1', 'shop', 'as_odd', '{"n":"2"}', '{0,30,60}', '{NaN,NaN,NaN}'), pg_temp.put('as-1', 'shop', 'as_odd', '{"n":"3"}', '{0,30,60}', '{5,6,Infinity}');
SELECT pg_temp.rule('odd ' || a, 'as_odd', jsonb_build_object('aggregate', a, 'window', '5 minutes')) FROM unnest('{last,avg,max,count}'::text[]) a;
SELECT pg_temp.evaluate(60);
SELECT name, labels, value FROM pg_temp.live;
SELECT pg_temp.clear();

-- per_app = false: the samples of all applications together, growth of each added up.
SELECT pg_temp.put('as-2', a, 'as_queue', '{"q":"mail"}', s, v), pg_temp.put('as-2', a, 'as_done_total', '{"q":"mail"}', s, v) FROM (VALUES ('x', '{0,60,120}'::int[], '{1,2,3}'::float8[]), ('y', '{30,90}', '{100,300}')) d (a, s, v);
SELECT pg_temp.rule('whole ' || a, 'as_queue', jsonb_build_object('aggregate', a, 'window', '5 minutes', 'per_app', false)) FROM unnest('{last,avg,max,sum,count}'::text[]) a;
SELECT pg_temp.rule('whole growth', 'as_done_total', '{"aggregate":"increase","window":"5 minutes","per_app":false}'), pg_temp.rule('one of them', 'as_queue', '{"aggregate":"sum","window":"5 minutes","per_app":false,"matchers":"{app_name=\"x\"}"}');
SELECT pg_temp.machine('as-2', 120, 120), pg_temp.evaluate(120);
SELECT name, vps, app, labels, value FROM pg_temp.live;
SELECT pg_temp.clear();

-- A label of the name vps_name or app_name says what the sample is about.
SELECT pg_temp.put('as-2', 'probe', 'as_seen', '{"vps_name":"other","app_name":"a","zone":"eu"}', '{120}', '{1}');
SELECT pg_temp.rule('seen', 'as_seen', '{"matchers":"{vps_name=\"as-2\"}"}'), pg_temp.evaluate(120);
SELECT vps, app, identity FROM observ.alerts a, LATERAL (SELECT instance AS vps, app_name AS app) x;
SELECT pg_temp.clear();

-- What is missing (C8): a series stops while its VPS goes on …
SELECT observ.refresh_fleet_summary(now()) IS NOT NULL;
SELECT pg_temp.put('as-1', 'c', 'as_up', '{"c":"gone"}', '{600}', '{1}'), pg_temp.put('as-1', 'c', 'as_up', '{"c":"stays"}', ARRAY(SELECT generate_series(600, 1500, 60)), array_fill(1::float8, ARRAY[16]));
SELECT pg_temp.machine('as-1', 600, 1500);
SELECT pg_temp.rule('resolves', 'as_up', '{"threshold":0,"missing_for":"1 minute"}'), pg_temp.rule('keeps', 'as_up', '{"threshold":0,"on_missing":"keep"}'), pg_temp.rule('alerts', 'as_up', '{"threshold":5,"on_missing":"alert","missing_for":"1 minute"}');
SELECT s, pg_temp.after(s) FROM generate_series(600, 1080, 60) s;
SELECT pg_temp.clear();
-- … or nothing comes from the VPS at all: its alerts stay as they are.
SELECT pg_temp.put('as-4', 'c', 'as_up', '{"c":"cut off"}', '{600,660}', '{1,1}');
SELECT pg_temp.machine('as-4', 540, 660), observ.refresh_fleet_summary(now()) IS NOT NULL;
UPDATE observ.alert_rules SET enabled = true WHERE name IN ('resolves', 'keeps');
SELECT pg_temp.rule('resolves when silent', 'as_up', '{"threshold":0,"no_data":"resolve"}'), pg_temp.rule('tells when silent', 'as_up', '{"threshold":5,"no_data":"alert"}');
UPDATE observ.alert_rules SET matchers = '{vps_name="as-4"}' WHERE metric_name = 'as_up';
SELECT s, pg_temp.after(s) FROM unnest('{660,720,750,780,1080,8000}'::int[]) s;
-- It comes back: no news where it is as it was.
SELECT pg_temp.put('as-4', 'c', 'as_up', '{"c":"cut off"}', '{8040}', '{1}'), pg_temp.machine('as-4', 8040, 8040), pg_temp.after(8040);
SELECT pg_temp.clear();
-- A VPS that sends nothing but labelled metrics is not silent for that: its series count for five minutes, then they are missing.
SELECT pg_temp.put('as-5', '', 'as_cron', '{}', '{600}', '{7}'), pg_temp.rule('cron', 'as_cron', '{"missing_for":"30 s"}');
SELECT s, pg_temp.after(s) FROM unnest('{600,899,900,930}'::int[]) s;
SELECT pg_temp.clear();
-- Longer when it is expected less often.
UPDATE observ.vps SET expected_interval = '10 minutes' WHERE vps_name = 'as-5';
INSERT INTO observ.vps (vps_name, expected_interval) VALUES ('as-5', '10 minutes') ON CONFLICT DO NOTHING;
UPDATE observ.alert_rules SET enabled = true WHERE name = 'cron';
SELECT s, pg_temp.after(s) FROM unnest('{600,2399,2400,2430}'::int[]) s;
SELECT pg_temp.clear();

-- Windows longer than two hours are made of buckets of five minutes, rolled up or not.
SELECT pg_temp.put('as-1', 'long', 'as_slow', '{}', ARRAY(SELECT generate_series(0, 18000, 60)), ARRAY(SELECT 100 + s / 60.0 FROM generate_series(0, 18000, 60) s)),
	pg_temp.put('as-1', 'long', 'as_slow_total', '{}', ARRAY(SELECT generate_series(0, 18000, 60)), ARRAY(SELECT (s % 9000) * 2 FROM generate_series(0, 18000, 60) s));
SELECT pg_temp.rule('long ' || a, 'as_slow', jsonb_build_object('aggregate', a, 'window', '3 hours', 'ahead', CASE a WHEN 'predict' THEN '1 hour' END)) FROM unnest('{avg,min,max,sum,count,last,p50,delta,stddev,predict}'::text[]) a;
SELECT pg_temp.rule('long ' || a || ' of a counter', 'as_slow_total', jsonb_build_object('aggregate', a, 'window', '4 hours')) FROM unnest('{rate,increase,delta}'::text[]) a;
SELECT pg_temp.evaluate(18000);
CREATE TEMP TABLE before ON COMMIT DROP AS SELECT name, value, sampled FROM pg_temp.live;
SELECT * FROM before;
SELECT status FROM observ.roll_up(now()) WHERE status NOT IN ('ok', 'more');
SELECT count(*) > 0 AS rolled_up FROM observ.metrics_5m WHERE vps_name = 'as-1' AND app_name = 'long';
SELECT pg_temp.clear();
UPDATE observ.alert_rules SET enabled = true WHERE name LIKE 'long %';
SELECT pg_temp.evaluate(18000);
SELECT count(*) AS the_same FROM pg_temp.live JOIN before USING (name, value);
SELECT pg_temp.clear();

-- Anomaly: how far the average of the window is from that of the same hour of the days before, in standard deviations of it.
INSERT INTO observ.metric_series (vps_name, series_id, app_name, metric_name, labels, set_no, slot, first_seen, last_seen) SELECT 'as-8', n, 'a', 'as_usual', jsonb_build_object('n', n::text), 1, n, :'t0'::timestamptz - interval '30 days', :'t0'::timestamptz + interval '1 hour' FROM generate_series(1, 2) n;
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, app_name, set_no, "values") SELECT :'t0'::timestamptz + make_interval(mins => m), 'as-8', 'a', 1, '{15,9}' FROM generate_series(30, 40) m;
-- 12, 8 and 10 in turn on six days; of the second series on four days only, which are too few. Another hour does not count.
SELECT status FROM observ.maintain_partitions(:'t0'::timestamptz - interval '3 days');
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, app_name, set_no, "values") SELECT :'t0'::timestamptz - make_interval(days => d, mins => - m), 'as-8', 'a', 1, ARRAY[CASE WHEN m = 70 THEN 99 ELSE (ARRAY[10, 12, 8])[1 + d % 3] END, CASE WHEN d <= 4 THEN 9 END]
	FROM generate_series(1, 6) d, unnest('{10,50,70}'::int[]) m;
SELECT status FROM observ.roll_up(now()) WHERE status NOT IN ('ok', 'more');
SELECT pg_temp.rule('unusual', 'as_usual', '{"aggregate":"anomaly","window":"10 minutes","threshold":2}'), pg_temp.evaluate(2400);
SELECT name, vps, labels, value FROM pg_temp.live;
SELECT pg_temp.clear();

-- More than one set of 64 series, several VPSs, and series that came and went.
SELECT stored FROM observ.insert_samples('as-6', 'many', array_fill(:'t0'::timestamptz + interval '10 s', ARRAY[300]), array_fill('as_many'::text, ARRAY[300]), ARRAY(SELECT jsonb_build_object('n', i) FROM generate_series(1, 300) i), ARRAY(SELECT i::float8 FROM generate_series(1, 300) i));
SELECT pg_temp.put('as-7', 'many', 'as_many', '{"n":"0"}', '{10}', '{500}');
SELECT pg_temp.rule('many', 'as_many', '{"threshold":290}'), pg_temp.evaluate(15);
SELECT count(*), sum(value), count(DISTINCT vps) FROM pg_temp.live;
ROLLBACK;
