-- Reading labelled metrics: the view and its plans, buckets, aggregates, matchers.
CREATE TEMP TABLE begin AS SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '2 days' AS t0;
SELECT t0 FROM begin \gset
-- Seconds after t0 and values of one series.
CREATE FUNCTION pg_temp.put(vps text, app text, metric text, labels jsonb, secs int[], vals float8[]) RETURNS bigint LANGUAGE sql AS
	$$ SELECT stored FROM observ.insert_samples(vps, app, (SELECT array_agg(t0 + make_interval(secs => s) ORDER BY i) FROM begin, unnest(secs) WITH ORDINALITY x (s, i)),
		array_fill(metric, ARRAY[cardinality(secs)]), array_fill(labels, ARRAY[cardinality(secs)]), vals) $$;
SELECT pg_temp.put('web-1', 'shop', 'load', '{}', '{0,20,40,60,80,190,200}', '{1,2,6,4,NaN,NaN,NaN}');
SELECT pg_temp.put('web-1', 'shop', 'hits_total', '{"code":"200"}', '{-30,0,30,60,90,120,240}', '{100,110,120,3,13,23,53}');
SELECT pg_temp.put('web-1', 'shop', 'hits_total', '{"code":"500"}', '{30}', '{5}');
SELECT pg_temp.put('web-2', '', 'hits_total', '{"code":"503","path":"/a/b"}', '{0,60,120}', '{1,2,4}');

-- Buckets of a minute; gaps and NaN are NULL.
SELECT a AS aggregate, array_agg(r.value ORDER BY r."timestamp") AS "0 1 2 3 min", min(r."timestamp") = :'t0' AS begins
FROM unnest('{avg,min,max,sum,count,last}'::text[]) WITH ORDINALITY x (a, i), observ.metric_range('load', '', :'t0', :'t0'::timestamptz + interval '4 min', '1 min', a) r GROUP BY a, i ORDER BY i;
-- Counters: resets are seen, and what grew since the last sample before the first bucket; samples more than an hour apart say nothing.
SELECT labels, array_agg(value ORDER BY "timestamp") FROM observ.metric_range('hits_total', '{vps_name="web-1"}', :'t0', :'t0'::timestamptz + interval '5 min', '1 min', 'increase') GROUP BY 1 ORDER BY 1;
SELECT labels, array_agg(round(value::numeric, 4) ORDER BY "timestamp") FROM observ.metric_range('hits_total', '{vps_name="web-1"}', :'t0', :'t0'::timestamptz + interval '5 min', '1 min', 'rate') GROUP BY 1 ORDER BY 1;
SELECT pg_temp.put('web-9', '', 'rare_total', '{}', '{0,3600,7201}', '{1,2,4}');
SELECT array_agg(value ORDER BY "timestamp") FROM observ.metric_range('rare_total', NULL, :'t0', :'t0'::timestamptz + interval '3 hours', '1 h', 'increase');
SELECT array_agg(value ORDER BY "timestamp") FROM observ.metric_range('rare_total', NULL, :'t0', :'t0'::timestamptz + interval '4 hours', '4 h', 'sum');
-- … unless the buckets are longer.
SELECT array_agg(value ORDER BY "timestamp") FROM observ.metric_range('rare_total', NULL, :'t0', :'t0'::timestamptz + interval '4 hours', '4 h', 'increase');

-- Buckets are whole, and multiples of the step in UTC, whatever the session's time zone.
SET TimeZone = 'Asia/Kathmandu';
SELECT "timestamp" - :'t0' AS bucket, value FROM observ.metric_range('load', NULL, :'t0'::timestamptz + interval '70 s', :'t0'::timestamptz + interval '121 s', '1 min', 'count') ORDER BY 1;
SELECT DISTINCT extract(epoch FROM "timestamp") % 86400 AS midnight, count(*) FROM observ.metric_range('load', NULL, :'t0', :'t0'::timestamptz + interval '1 s', '1 day', 'count') GROUP BY 1;
SELECT DISTINCT extract(epoch FROM "timestamp") % 7000 AS rest FROM observ.metric_range('load', NULL, :'t0', :'t0'::timestamptz + interval '5 h', '7000 s', 'count');
RESET TimeZone;

-- Matchers. A label that is missing is an empty one; regular expressions match the whole value.
SELECT m AS matchers, (SELECT string_agg(DISTINCT concat_ws(' ', r.vps_name, r.labels->>'code'), ', ') FROM observ.metric_range('hits_total', m, :'t0', :'t0'::timestamptz + interval '1 min') r)
FROM unnest(ARRAY[NULL, '', '{}', '{code="200"}', 'code!="200"', '{code=~"5.."}', '{code=~"5"}', '{code!~"5..|2.*"}', '{code=~".*",vps_name!="web-1"}', '{vps_name="web-1"}', '{app_name=""}',
	'{app_name=~"sh.p"}', '{path=""}', '{path="/a/b"}', '{path!=""}', '{vps_name="nowhere"}', '{code=~"(?i)200"}', '{"code"="500"}']) m;
-- Only series that lived in the range.
SELECT count(*) FROM observ.metric_range('load', NULL, :'t0'::timestamptz - interval '2 h', :'t0', '1 h');
SELECT count(*) FROM observ.metric_range('load', NULL, :'t0'::timestamptz + interval '2 h', :'t0'::timestamptz + interval '3 h', '1 h');

-- What can't be.
SELECT observ.metric_range('load', '{code="200"', :'t0', now());
SELECT observ.metric_range('load', '{größe="x", 5}', :'t0', now());
SELECT observ.metric_range('load', '{code=~"5(."}', now() - interval '1 h', now());
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), '0 s');
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), '-1 min');
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), '1 month');
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), '2147483647 days');
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), '1 min', 'median');
SELECT observ.metric_range('load', NULL, now(), now() - interval '1 h');
SELECT observ.metric_range('load', NULL, now() - interval '1 h', 'infinity');
SELECT observ.metric_range(NULL, NULL, now() - interval '1 h', now());
SELECT observ.metric_range('load', NULL, NULL, now());
SELECT observ.metric_range('load', NULL, now() - interval '1 h', now(), NULL);
SELECT count(*) FROM observ.metric_range('load', NULL, :'t0', :'t0'::timestamptz + interval '11000 s', '1 s');
\set VERBOSITY terse
SELECT count(*) FROM observ.metric_range('load', NULL, :'t0', :'t0'::timestamptz + interval '11001 s', '1 s');
\set VERBOSITY default

-- Many series: 200 in 4 sets, of which one name is asked for, in the order of series and time; and too many points.
SELECT stored FROM observ.insert_samples('many', '', ARRAY[:'t0'::timestamptz], array_fill('cpu'::text, ARRAY[200]), (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 200) i), (SELECT array_agg(i::float8) FROM generate_series(1, 200) i));
SELECT count(*), count(value), sum(value), count(DISTINCT labels) FROM observ.metric_range('cpu', NULL, :'t0', :'t0'::timestamptz + interval '10 min');
SELECT bool_and(labels->>'n' = value::text) FROM observ.metric_range('cpu', NULL, :'t0', :'t0'::timestamptz + interval '1 min') WHERE value IS NOT NULL;
INSERT INTO observ.metric_series (vps_name, series_id, metric_name, labels, set_no, slot, first_seen, last_seen) SELECT 'x' || i, i, 'wide', '{}', 1, 1, :'t0', now() FROM generate_series(1, 1100) i;
SELECT count(*) FROM observ.metric_range('wide', NULL, :'t0', :'t0'::timestamptz + interval '10000 s', '1 s');
SELECT count(*), count(value) FROM observ.metric_range('wide', NULL, :'t0', :'t0'::timestamptz + interval '10 s', '1 s');

-- The view goes through both indexes: by name, by VPS, by time.
CREATE FUNCTION pg_temp.conditions(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		IF line ~ 'Scan|Index Cond' THEN RETURN NEXT regexp_replace(regexp_replace(trim(line), '_\d{8}', '_DAY', 'g'), $re$'[^']*'::timestamp with time zone$re$, 'TIME', 'g'); END IF;
	END LOOP;
END $$;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT pg_temp.conditions(format('SELECT * FROM observ.metric_samples WHERE vps_name = ''web-1'' AND metric_name = ''load'' AND "timestamp" >= %L AND "timestamp" < %L', :'t0'::timestamptz, :'t0'::timestamptz + interval '1 min'));
SELECT pg_temp.conditions(format('SELECT * FROM observ.metric_samples WHERE metric_name = ''load'' AND "timestamp" >= %L AND "timestamp" < %L', :'t0'::timestamptz, :'t0'::timestamptz + interval '1 min'));
RESET enable_seqscan; RESET enable_bitmapscan; RESET enable_hashjoin; RESET enable_mergejoin;
TRUNCATE observ.metric_series, observ.metric_scrapes, observ.metric_usage;
DROP TABLE begin;
