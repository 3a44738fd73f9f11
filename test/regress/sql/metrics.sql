-- Labelled metrics: samples in, samples out. Times are relative to t0, the start of an hour more than a day ago.
SELECT date_trunc('hour', now()) - interval '30 hours' AS t0 \gset
CREATE FUNCTION pg_temp.series(prefix text, first int, past int, OUT names text[], OUT labels jsonb[], OUT vals float8[]) LANGUAGE sql
	AS $$ SELECT array_agg(prefix || lpad(i::text, 3, '0')), array_agg('{}'::jsonb), array_agg(i::float8) FROM generate_series(first, past - 1) i $$;

-- A scrape of one time: one row. Numbers and booleans become strings, null and empty mean no label.
SELECT * FROM observ.insert_samples('web-1', 'shop', ARRAY[:'t0'::timestamptz],
	ARRAY['requests_total', 'requests_total', 'queue_length', 'temperature'],
	ARRAY['{"code":"200","method":"GET"}', '{"method":"GET","code":500}', '{"busy":true,"zone":null,"x":""}', '{}']::jsonb[],
	ARRAY[10, 2, 7, 21.5]);
SELECT metric_name, labels, kind, set_no, slot, first_seen = :'t0' AS first, last_seen = :'t0' AS last FROM observ.metric_series ORDER BY set_no, slot;
SELECT "timestamp" = :'t0' AS t0, vps_name, app_name, set_no, "values" FROM observ.metric_scrapes;
SELECT "timestamp" = :'t0' AS t0, vps_name, app_name, metric_name, labels, value FROM observ.metric_samples ORDER BY metric_name, labels;
SELECT vps_name, series, rejected FROM observ.metric_usage;

-- The number of a series is that of docs/metrics.md, in whatever order its labels come.
SELECT series_id FROM observ.metric_series WHERE metric_name = 'temperature';

-- Sent again, in whole, in part, split: the same row. What comes first stays.
SELECT * FROM observ.insert_samples('web-1', 'shop', ARRAY[:'t0'::timestamptz], ARRAY['temperature', 'queue_length'], ARRAY['{}', '{"busy":"true"}']::jsonb[], ARRAY[99, 99]);
SELECT received_at AS before FROM observ.metric_scrapes \gset
SELECT stored, duplicates FROM observ.insert_samples('web-1', 'shop', ARRAY[:'t0'::timestamptz], ARRAY['temperature'], NULL, ARRAY[98]);
SELECT "values", received_at = :'before' AS untouched FROM observ.metric_scrapes;
-- A part that was missing: merged, and it shows as arrived now.
SELECT stored, duplicates, new_series FROM observ.insert_samples('web-1', 'shop', ARRAY[:'t0'::timestamptz], ARRAY['late', 'temperature', 'late'], NULL, ARRAY[5, 97, 6]);
SELECT "values", received_at > :'before' AS arrived_later FROM observ.metric_scrapes;

-- 130 series are three rows; the next new ones fill the open set first, in the order of their names.
SELECT stored, new_series FROM pg_temp.series('m', 0, 130) s, observ.insert_samples('web-2', '', ARRAY[:'t0'::timestamptz], s.names, s.labels, s.vals);
SELECT set_no, cardinality("values"), "values"[1] AS first FROM observ.metric_scrapes WHERE vps_name = 'web-2' ORDER BY 1;
SELECT stored, new_series FROM observ.insert_samples('web-2', '', ARRAY[:'t0'::timestamptz, :'t0'::timestamptz + interval '1 min', :'t0'],
	ARRAY['z2', 'z1', 'm129'], NULL, ARRAY[1, 2, 3]);
SELECT metric_name, set_no, slot FROM observ.metric_series WHERE metric_name ~ 'z|m129' ORDER BY slot;
SELECT "timestamp" - :'t0' AS t, set_no, "values" FROM observ.metric_scrapes WHERE vps_name = 'web-2' AND set_no = 3 ORDER BY 1;
-- Applications have sets of their own.
SELECT new_series FROM observ.insert_samples('web-2', 'other', ARRAY[:'t0'::timestamptz], ARRAY['m000'], NULL, ARRAY[1]);
SELECT app_name, set_no, slot FROM observ.metric_series WHERE vps_name = 'web-2' AND metric_name = 'm000' ORDER BY 1;

-- Bad samples are refused one by one, with a reason; good ones beside them stay.
SELECT * FROM observ.insert_samples('web-3', '', ARRAY[now(), now(), now(), now(), now(), NULL, 'infinity', '-infinity', now(), now(), now()],
	ARRAY['', NULL, repeat('x', 256), 'a', 'b', 'c', 'd', 'd', 'e', 'f', 'good'],
	ARRAY['{}', '{}', '{}', '[1]', '{"a":{"b":1}}', '{}', '{}', '{}', '{"":"1"}', '{}', '{}']::jsonb[], ARRAY[1, 1, 1, 1, 1, 1, 1, 1, 1, NULL, 1],
	ARRAY['gauge', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'counter']);
SELECT rejected FROM observ.insert_samples('web-3', '', ARRAY[now()], ARRAY['k'], NULL, ARRAY[1], ARRAY['histogram']);
SELECT rejected FROM observ.insert_samples('web-3', '', ARRAY[now()], ARRAY['many'], (SELECT ARRAY[jsonb_object_agg('l' || i, 'x')] FROM generate_series(1, 65) i), ARRAY[1]);
SELECT rejected FROM observ.insert_samples('web-3', '', ARRAY[now()], ARRAY['long'], ARRAY[jsonb_build_object('l', repeat('x', 4096))], ARRAY[1]);
SELECT metric_name, kind FROM observ.metric_series WHERE vps_name = 'web-3';
SELECT series, rejected, last_rejected_at > now() - interval '1 min' AS lately, last_rejected_reason FROM observ.metric_usage WHERE vps_name = 'web-3';
SELECT * FROM observ.insert_samples('web-3', NULL, '{}', '{}', '{}', '{}');

-- Calls that can't be.
SELECT observ.insert_samples(NULL, '', ARRAY[now()], ARRAY['a'], NULL, ARRAY[1]);
SELECT observ.insert_samples('', '', ARRAY[now()], ARRAY['a'], NULL, ARRAY[1]);
SELECT observ.insert_samples('v', repeat('x', 256), ARRAY[now()], ARRAY['a'], NULL, ARRAY[1]);
SELECT observ.insert_samples('v', '', ARRAY[now(), now()], ARRAY['a', 'b', 'c'], NULL, ARRAY[1, 2, 3]);
SELECT observ.insert_samples('v', '', ARRAY[now()], ARRAY['a', 'b'], NULL, ARRAY[1]);
SELECT observ.insert_samples('v', '', ARRAY[now()], ARRAY['a', 'b'], ARRAY['{}']::jsonb[], ARRAY[1, 2]);

-- The future is moved back to now, the far past goes to the quarantine, NaN and infinity are values.
SELECT * FROM observ.insert_samples('clock', '', ARRAY[now() + interval '1 hour', now() + interval '1 min', now() - interval '1 year', :'t0', :'t0'],
	ARRAY['ahead', 'slightly', 'old', 'nan', 'inf'], ARRAY['{}', '{}', '{"a":"b"}', '{}', '{}']::jsonb[], ARRAY[1, 1, 'NaN', 'NaN', '-Infinity']::float8[]);
SELECT metric_name, "timestamp" <= clock_timestamp() AS past, value FROM observ.metric_samples WHERE vps_name = 'clock' ORDER BY 1;
SELECT vps_name, app_name, table_name, reason, "row" - 'timestamp' AS "row", ("row"->>'timestamp')::timestamptz < now() - interval '11 months' AS old FROM observ.quarantine;
SELECT count(*) FROM observ.metric_series WHERE metric_name = 'old';

-- Kinds by name.
SELECT new_series FROM observ.insert_samples('kinds', '', ARRAY[:'t0'::timestamptz], ARRAY['a_total', 'b_count', 'c_sum', 'd_bucket', 'total', 'e_total'], NULL, ARRAY[1,1,1,1,1,1],
	ARRAY[NULL, NULL, NULL, NULL, NULL, 'gauge']);
SELECT metric_name, kind FROM observ.metric_series WHERE vps_name = 'kinds' ORDER BY 1;

-- By hand.
SELECT observ.record_metric('orders', 3), observ.record_metric('orders', 4), observ.record_metric('orders', 5, '{"shop":"a"}', 'web-1', 'shop', :'t0');
SELECT vps_name, app_name, metric_name, labels, value FROM observ.metric_samples WHERE metric_name = 'orders' ORDER BY 1;
SELECT observ.record_metric('', 1);
SELECT observ.record_metric(NULL, 1);
SELECT observ.record_metric('orders', NULL);
SELECT observ.record_metric('orders', 1, '{"a":[1]}');
SELECT observ.record_metric('orders', 1, vps_name => '');
\set VERBOSITY sqlstate
SELECT observ.record_metric('orders', 1, at => '1990-01-01');
SELECT observ.record_metric('orders', 1, at => 'infinity');
\set VERBOSITY default

-- JSON: an error per bad row, every good row kept.
CREATE TEMP TABLE result AS SELECT * FROM observ.insert_metrics(jsonb_build_array(
	jsonb_build_object('metric_name', 'j', 'value', 1, 'timestamp', :'t0', 'vps_name', 'json-1', 'labels', '{"a":"1"}'::jsonb),
	jsonb_build_object('metric_name', 'j', 'value', '1.5', 'timestamp', extract(epoch FROM :'t0'::timestamptz), 'vps_name', 'json-2', 'app_name', 'app'),
	jsonb_build_object('metric_name', 'j', 'value', 'NaN', 'timestamp', :'t0', 'vps_name', 'json-3'),
	jsonb_build_object('metric_name', 'j', 'value', '+Inf', 'timestamp', :'t0'),
	jsonb_build_object('metric_name', 'j', 'value', 2, 'timestamp', :'t0', 'vps_name', 'json-1', 'labels', '{"a":1}'::jsonb),
	jsonb_build_object('metric_name', 'j_by_kind', 'value', 2, 'timestamp', :'t0', 'vps_name', 'json-1', 'kind', 'counter'),
	5, NULL, '[]'::jsonb, '{}'::jsonb,
	jsonb_build_object('metric_name', 'j'), jsonb_build_object('metric_name', 'j', 'value', NULL), jsonb_build_object('metric_name', 'j', 'value', 'many'),
	jsonb_build_object('metric_name', 'j', 'value', true), jsonb_build_object('metric_name', 'j', 'value', 1e400::numeric), jsonb_build_object('metric_name', 5, 'value', 1),
	jsonb_build_object('metric_name', 'j', 'value', 1, 'timestamp', 'yesterdayish'), jsonb_build_object('metric_name', 'j', 'value', 1, 'timestamp', 'infinity'),
	jsonb_build_object('metric_name', 'j', 'value', 1, 'timestamp', 1763740000000), jsonb_build_object('metric_name', 'j', 'value', 1, 'timestamp', '1990-01-01T00:00:00Z'),
	jsonb_build_object('metric_name', 'j', 'value', 1, 'vps_name', ''), jsonb_build_object('metric_name', 'j', 'value', 1, 'labels', '[]'::jsonb),
	jsonb_build_object('metric_name', 'j', 'value', 1, 'labels', 'x'), jsonb_build_object('metric_name', 'j', 'value', 1, 'kind', 'x')));
SELECT stored, duplicates, rejected, quarantined, clamped, nonfinite, new_series FROM result;
SELECT e->'index' AS index, e->>'error' AS error FROM result, jsonb_array_elements(errors) e;
SELECT vps_name, app_name, metric_name, labels, value, "timestamp" = :'t0' AS t0 FROM observ.metric_samples WHERE metric_name ~ '^j' ORDER BY 1, 3;
SELECT observ.insert_metrics('[]', 'v');
SELECT stored FROM observ.insert_metrics('[{"metric_name":"defaults","value":1}]', 'json-default', 'json-app');
SELECT vps_name, app_name FROM observ.metric_samples WHERE metric_name = 'defaults';
SELECT observ.insert_metrics('{"metric_name":"j","value":1}');
SELECT observ.insert_metrics('5');
SELECT observ.insert_metrics(NULL);

-- Limits: known series go on, new ones are refused and counted.
SET observ.max_series_per_vps = 3;
SELECT stored, rejected, new_series FROM pg_temp.series('l', 0, 5) s, observ.insert_samples('limited', '', ARRAY[:'t0'::timestamptz], s.names, s.labels, s.vals);
SELECT stored, rejected FROM pg_temp.series('l', 0, 5) s, observ.insert_samples('limited', '', ARRAY[:'t0'::timestamptz + interval '1 min'], s.names, s.labels, s.vals);
SELECT observ.record_metric('another', 1, vps_name => 'limited');
RESET observ.max_series_per_vps;
SET observ.max_series = 1;
SELECT observ.record_metric('another', 1, vps_name => 'limited');
SELECT observ.record_metric('l000', 1, vps_name => 'limited');
RESET observ.max_series;
SELECT vps_name, series, rejected, last_rejected_reason FROM observ.metric_usage WHERE vps_name = 'limited';
SELECT bool_and(u.series = (SELECT count(*) FROM observ.metric_series s WHERE s.vps_name = u.vps_name)) AS counts_are_right FROM observ.metric_usage u;

-- Two series with one number: the second is refused, what lies beside it is not.
UPDATE observ.metric_series SET labels = '{"other":"series"}' WHERE vps_name = 'limited' AND metric_name = 'l001';
SELECT stored, rejected FROM pg_temp.series('l', 0, 3) s, observ.insert_samples('limited', '', ARRAY[:'t0'::timestamptz + interval '2 min'], s.names, s.labels, s.vals);
\set VERBOSITY sqlstate
SELECT observ.record_metric('l001', 1, vps_name => 'limited');
\set VERBOSITY default

-- last_seen moves when it is more than an hour behind, first_seen with whatever is earlier.
SELECT observ.record_metric('seen', 1, vps_name => 'seen', at => :'t0'::timestamptz + make_interval(mins => m)) FROM unnest('{0, 59, 60}'::int[]) m;
SELECT first_seen - :'t0' AS first, last_seen - :'t0' AS last FROM observ.metric_series WHERE metric_name = 'seen';
SELECT observ.record_metric('seen', 1, vps_name => 'seen', at => :'t0'::timestamptz + make_interval(mins => m)) FROM unnest('{61, -5}'::int[]) m;
SELECT first_seen - :'t0' AS first, last_seen - :'t0' AS last FROM observ.metric_series WHERE metric_name = 'seen';
DROP FUNCTION pg_temp.series;
TRUNCATE observ.metric_series, observ.metric_scrapes, observ.metric_usage, observ.quarantine;
