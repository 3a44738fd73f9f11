-- observ.disk_forecast(): when the root filesystem is full, in virtual time.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2033-07-10 12:00+00');

-- Rows once a minute for six hours and a bit, by a formula of minutes before noon.
CREATE FUNCTION pg_temp.disk(vps text, minutes int, gb text, size float8) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_gb, disk_percent) SELECT ''2033-07-10 12:00+00''::timestamptz - m * interval ''1 min'', $1, %s, ceil(100 * (%s) / $3) FROM generate_series(0, $2) m', gb, gb) USING vps, minutes, size;
END $$;
SELECT pg_temp.disk('grows', 370, '90 - m / 60.0', 100), pg_temp.disk('grows-slowly', 370, '90 - m / 6000.0', 100), pg_temp.disk('half-empty', 370, '50 - m / 60.0', 100), pg_temp.disk('constant', 370, '90.5', 100),
	pg_temp.disk('shrinks', 370, '80 + m / 60.0', 100), pg_temp.disk('cleaned-up', 370, 'CASE WHEN m > 120 THEN 95 - m / 60.0 ELSE 72 - m / 300.0 END', 100),
	pg_temp.disk('cleaned-up-now', 370, 'CASE WHEN m > 9 THEN 95 - m / 60.0 ELSE 72 END', 100), pg_temp.disk('rotates', 370, '80 + (370 - m) % 60 / 10.0', 100),
	pg_temp.disk('noisy', 370, '80 + (m * 7919 % 201 - 100) / 100.0 - m / 60.0', 100), pg_temp.disk('peaks', 370, '80 - m / 60.0 + CASE WHEN m % 90 < 5 THEN 15 ELSE 0 END', 100),
	pg_temp.disk('two-rows', 1, '80 - m', 100), pg_temp.disk('full', 370, '99.9 - m / 600.0', 99.9), pg_temp.disk('centuries', 370, '10 - m / 6e9', 100);
-- Only percents, as rounded as df has them.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_percent) SELECT '2033-07-10 12:00+00'::timestamptz - m * interval '1 min', 'percent-only', ceil(90 - m / 60.0) FROM generate_series(0, 370) m;
-- What is no number is as good as not measured; a row of the future has not come yet.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_gb, disk_percent) SELECT '2033-07-10 12:00+00'::timestamptz - m * interval '1 min', 'odd', CASE m % 5 WHEN 0 THEN 'NaN' WHEN 1 THEN 'infinity' ELSE 90 - m / 60.0 END,
	CASE m % 5 WHEN 2 THEN 'NaN' ELSE 90 - m / 60.0 END FROM generate_series(0, 370) m;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_gb, disk_percent) VALUES ('2033-07-10 12:00:01+00', 'odd', 1, 1), ('2033-07-10 12:00:01+00', 'tomorrow', 1, 1);
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_gb, disk_percent) VALUES ('2033-07-10 11:00+00', 'only-nan', 'NaN', 'NaN'), ('2033-07-10 11:00+00', 'not-measured', NULL, NULL);

SELECT vps_name, round(used_percent::numeric, 1) AS used, round(growth_gb_per_day::numeric, 2) AS growth, date_trunc('minute', fills_at + interval '30 s') AS fills_at, date_trunc('minute', fills_in + interval '30 s') AS fills_in, round(r2::numeric, 3) AS r2, attention, reason
FROM observ.disk_forecast(at => '2033-07-10 12:00+00') ORDER BY fills_at, vps_name;
\x
SELECT vps_name, app_name, mount, used_percent, used_gb, size_gb, samples, fitted_from, last_sample, attention, reason FROM observ.disk_forecast('grows', at => '2033-07-10 12:00+00');
SELECT vps_name, app_name, mount, used_percent, used_gb, size_gb, samples, fitted_from, last_sample, attention, reason FROM observ.disk_forecast('cleaned-up', at => '2033-07-10 12:00+00');
\x
-- Other filesystems: labelled metrics with the label mount. Percents alone will do; gigabytes alone don't; the root is that of vps_metrics.
-- (Written as they lie in the tables: observ.insert_samples() would move rows of 2033 back to now.)
INSERT INTO observ.metric_series (vps_name, app_name, series_id, metric_name, labels, set_no, slot, first_seen, last_seen)
	SELECT 'mounts', 'app', slot, metric, jsonb_build_object('mount', mount), 1, slot, '2033-07-10', '2033-07-10' FROM (VALUES (1, 'disk_used_percent', '/var'), (2, 'disk_used_percent', '/data'),
		(3, 'disk_used_gb', '/data'), (4, 'disk_used_gb', '/only-gb'), (5, 'disk_used_percent', '/'), (6, 'disk_used_percent', '/odd'), (7, 'something_else', '/var')) s (slot, metric, mount);
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, app_name, set_no, "values")
	SELECT '2033-07-10 12:00+00'::timestamptz - m * interval '1 min', 'mounts', 'app', 1, ARRAY[level, level / 2, 2 * level, level, level, CASE m % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN -1 WHEN 2 THEN 'infinity' ELSE level END, level]
	FROM generate_series(0, 370) m, LATERAL (SELECT (90 - m / 60.0)::float8) l (level);
SELECT vps_name, app_name, mount, round(used_percent) AS used, round(used_gb) AS used_gb, round(size_gb) AS size_gb, round(growth_gb_per_day) AS growth, date_trunc('minute', fills_at + interval '30 s') AS fills_at, samples, attention
FROM observ.disk_forecast('mounts', at => '2033-07-10 12:00+00');
TRUNCATE observ.metric_scrapes, observ.metric_series, observ.metric_usage;
-- An hour ago it looked the same; with a shorter lookback what was cleaned up is out of sight.
SELECT date_trunc('minute', fills_at + interval '30 s') AS fills_at, fitted_from FROM observ.disk_forecast('grows', at => '2033-07-10 11:00+00');
SELECT vps_name, date_trunc('minute', fills_at + interval '30 s') AS fills_at, reason FROM observ.disk_forecast(lookback => '1 hour', at => '2033-07-10 12:00+00') WHERE vps_name ~ '^(cleaned|rotates|two)' ORDER BY 1;
-- Silent since: the forecast stands, and a moment that has passed leaves nothing.
SELECT date_trunc('minute', fills_at + interval '30 s') AS fills_at, fills_in, last_sample, attention FROM observ.disk_forecast('grows', '12 hours', '2033-07-10 23:00+00');
-- Every lookback that is allowed, up to 90 days, fits.
SELECT lookback, count(*) FROM unnest('{30 min,1 h,13 h 10 min,13 h 10 min 0.000001 s,1 day,90 days}'::interval[]) lookback, observ.disk_forecast('grows', lookback, '2033-07-10 12:00+00') GROUP BY 1 ORDER BY 1;
\set VERBOSITY terse
SELECT observ.disk_forecast(lookback => '29 min');
SELECT observ.disk_forecast(lookback => '-6 h');
SELECT observ.disk_forecast(lookback => '91 days');
SELECT observ.disk_forecast(lookback => NULL);
SELECT observ.disk_forecast(at => NULL);
SELECT observ.disk_forecast(at => '-infinity');
SELECT count(*) FROM observ.disk_forecast('no such vps');
\set VERBOSITY default
TRUNCATE observ.vps_metrics;
