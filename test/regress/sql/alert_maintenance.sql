-- Times by the clock on the wall and maintenance windows (alerting.md 2.6, C22), with the server's time zones.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE ROLE observ_regress_operator IN ROLE observ_operator;

-- Refused when written.
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('x', 'Europe/Atlantis', '[{}]');
\set VERBOSITY terse
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('x', 'ABC3DEF', '[{}]');
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('x', 'UTC+3', '[{}]');
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('x', '+02:00', '[{}]');
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('x', '', '[{}]');
CREATE FUNCTION pg_temp.refused(t jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO observ.time_intervals (name, times) VALUES ('x', t); RETURN 'taken'; EXCEPTION WHEN OTHERS THEN RETURN sqlstate || ' ' || sqlerrm; END $$;
SELECT t, pg_temp.refused(t) FROM unnest(ARRAY['{}', '1', '"x"', '[1]', '[[]]', '[{"times": []}]', '[{"times": {}}]', '[{"times": [{"start_time": "22:00"}]}]', '[{"times": [{"start_time": "22:00", "end_time": 6}]}]',
	'[{"times": [{"start_time": "22:00", "end_time": "22:00"}]}]', '[{"times": [{"start_time": "9:00", "end_time": "22:00"}]}]', '[{"weekdays": ["monday", "funday"]}]', '[{"weekdays": "monday"}]',
	'[{"days_of_month": [0]}]', '[{"months": [true]}]', '[{"location": "UTC"}]', '[{"hours": ["1"]}]', '[{"weekdays": [null]}]']::jsonb[]) t;
SELECT pg_temp.refused((SELECT jsonb_agg('{}'::jsonb) FROM generate_series(1, 101)));
\set VERBOSITY default
INSERT INTO observ.time_intervals (name, timezone, times) VALUES ('office', 'Europe/Berlin', '[{"weekdays": ["monday:friday"], "times": [{"start_time": "09:00", "end_time": "17:00"}]}]'),
	('gmt', 'Etc/GMT+3', '[{"years": [2033, "2035:2036"], "months": ["3"], "days_of_month": ["-1"]}, {"months": ["june"]}]'), ('est', 'EST5EDT', '[{}]'), ('case', 'europe/berlin', '[{}]');
UPDATE observ.time_intervals SET timezone = 'Mars/Olympus' WHERE name = 'office';
DELETE FROM observ.time_intervals;

-- Windows that recur. Alerts of three applications on two VPSs, and one that is about neither.
INSERT INTO observ.vps (vps_name, labels) VALUES ('one', '{"env": "prod"}'), ('two', '{"env": "staging"}');
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, app_name, labels, identity, active_at, starts_at)
SELECT n, 0, 'firing', 'high', v, a, jsonb_strip_nulls(jsonb_build_object('alertname', n, 'vps_name', v, 'app_name', a)), '{}', '2030-01-01', '2030-01-01'
FROM (VALUES ('a', 'one', NULL), ('b', 'one', 'shop'), ('c', 'two', 'shop'), ('d', 'two', 'blog'), ('e', NULL, NULL), ('f', NULL, 'shop')) v (n, v, a);
CREATE FUNCTION pg_temp.muted(at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(alertname, '' ORDER BY alertname) || ' by ' || string_agg(DISTINCT rule, ', ') || coalesce(' until ' || min(until), '') FROM observ.suppressed_alerts($1) WHERE suppressed_by = 'maintenance' $$;
SELECT observ.plan_maintenance('2033-01-01', 'infinity', 'one', name => 'nightly', times => '[{"times": [{"start_time": "22:00", "end_time": "06:00"}], "weekdays": ["friday"]}]', timezone => 'Europe/Berlin') > 0 AS planned;
SELECT t, pg_temp.muted(t) FROM unnest(ARRAY['2033-03-04 20:59:59+00', '2033-03-04 21:00+00', '2033-03-05 04:59:59+00', '2033-03-05 05:00+00', '2033-03-05 21:00+00', '2032-12-31 23:00+00', '2033-07-01 20:00+00']::timestamptz[]) t;

-- C22: what the clock leaves out in spring never comes, what it shows twice in autumn comes twice.
UPDATE observ.maintenance_windows SET name = 'dst', times = '[{"times": [{"start_time": "02:15", "end_time": "02:45"}]}]';
SELECT d::date AS night, count(*) FILTER (WHERE pg_temp.muted(m) IS NOT NULL) * 5 AS minutes, min(m) FILTER (WHERE pg_temp.muted(m) IS NOT NULL) AS first, max(m) FILTER (WHERE pg_temp.muted(m) IS NOT NULL) AS last
FROM unnest('{2033-03-26,2033-03-27,2033-10-29,2033-10-30}'::date[]) d, generate_series(d - interval '2 hours', d + interval '4 hours', '5 min') m GROUP BY 1 ORDER BY 1;
SELECT m, pg_temp.muted(m) FROM unnest(ARRAY['2033-10-30 00:20+00', '2033-10-30 00:45+00', '2033-10-30 01:20+00', '2033-10-30 01:45+00']::timestamptz[]) m;

-- Fixed windows; whose alerts: of a VPS, an application, VPSs by labels. Alerts that are about neither are nobody's.
DELETE FROM observ.maintenance_windows;
CREATE FUNCTION pg_temp.plan(vps text, app text, selector text) RETURNS text LANGUAGE sql AS $$
	DELETE FROM observ.maintenance_windows;
	SELECT observ.plan_maintenance('2033-03-01 10:00+00', '2033-03-01 11:00+00', $1, $2, 'w', selector => $3);
	SELECT (SELECT pg_temp.muted('2033-03-01 10:00+00')) $$;
SELECT v, a, s, pg_temp.plan(v, a, s) FROM (VALUES ('one', NULL, NULL), (NULL, 'shop', NULL), ('two', 'shop', NULL), (NULL, NULL, NULL), (NULL, NULL, '{env="prod"}'), (NULL, 'shop', '{env=~"prod|staging"}'), ('one', NULL, '{env="staging"}'),
	(NULL, NULL, '{vps_name=~"t.*"}'), (NULL, NULL, '{env="none"}'), (NULL, NULL, '{env="prod"} or {instance="two"}')) x (v, a, s);
SELECT t, pg_temp.muted(t) FROM unnest(ARRAY['2033-03-01 09:59:59+00', '2033-03-01 10:00+00', '2033-03-01 10:59:59.9+00', '2033-03-01 11:00+00']::timestamptz[]) t;
DELETE FROM observ.maintenance_windows;
UPDATE observ.vps SET status = 'maintenance' WHERE vps_name = 'one';
SELECT pg_temp.muted('2033-03-01 10:00+00');
UPDATE observ.vps SET status = 'active';
-- One of a VPS that is not registered.
SELECT pg_temp.plan('ghost', NULL, NULL), pg_temp.muted('2033-03-01 10:00+00');
UPDATE observ.alerts SET instance = 'ghost' WHERE fingerprint = 'a';
SELECT pg_temp.muted('2033-03-01 10:00+00');

-- Refused when written; who entered it is the database's word.
SELECT observ.plan_maintenance('2033-03-01', '2033-03-02', selector => '{app_name="shop"}');
SELECT observ.plan_maintenance('2033-03-01', '2033-03-02', selector => '{env="prod"');
SELECT observ.plan_maintenance('2033-03-01', '2033-03-02', times => '[{"weekdays": ["fryday"]}]');
SELECT observ.plan_maintenance('2033-03-01', '2033-03-02', times => '[{}]', timezone => 'Nowhere');
INSERT INTO observ.maintenance_windows (starts_at, ends_at) VALUES ('-infinity', 'infinity');
SELECT observ.plan_maintenance('2033-03-01', 'infinity');
SET ROLE observ_regress_operator;
SELECT observ.plan_maintenance('2033-03-01', '2033-03-02', selector => '{env="prod"}', times => '[{"weekdays": ["saturday"]}]') > 0 AS planned;
SELECT created_by, timezone FROM observ.maintenance_windows WHERE times IS NOT NULL;
INSERT INTO observ.time_intervals (name, times) VALUES ('x', '[{}]');
RESET ROLE;

-- The periods that observ.sla() leaves out: 30 minutes per night, selected VPSs each.
DELETE FROM observ.maintenance_windows;
SELECT observ.plan_maintenance('2033-03-25 12:00+00', '2033-03-30 01:00+00', selector => '{env="prod"}', times => '[{"times": [{"start_time": "02:15", "end_time": "02:45"}]}]', timezone => 'Europe/Berlin') > 0,
	observ.plan_maintenance('2033-03-26 12:00+00', 'infinity', app_name => 'shop') > 0;
SELECT * FROM observ_data._maintenance_periods('2033-03-20 00:00+00', '2033-03-28 00:22+00') ORDER BY 3, 1;
SELECT status FROM observ.maintain_partitions('2033-03-27');
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, response_time_ms) SELECT m, v, 'blog', 'http://x/', false, 1
	FROM generate_series('2033-03-27 12:00:00+00'::timestamptz, '2033-03-28 03:00+00', '1 min') m, unnest('{one,two}'::text[]) v;
SELECT vps_name, checks, excluded_by_maintenance FROM observ.sla(at => '2033-03-28 03:00+00') WHERE period = '24 hours' AND scope = 'vps' ORDER BY 1;
DELETE FROM observ.maintenance_windows;
DELETE FROM observ.vps;
TRUNCATE observ.alerts, observ.health_checks;
DROP ROLE observ_regress_operator;
