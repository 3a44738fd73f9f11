-- observ.metrics_history(): resolutions, gaps, partial buckets, names; in virtual time.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT status FROM observ.maintain_partitions('2026-03-02 00:00');
TRUNCATE observ.vps_metrics, observ.health_checks, observ.metric_scrapes, observ.metric_series, observ.metrics_5m, observ.metrics_1h,
	observ.health_5m, observ.health_1h, observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
CREATE FUNCTION pg_temp.history(metrics text[], f timestamptz, t timestamptz, points integer, app text DEFAULT 'shop')
	RETURNS TABLE (at timestamptz, metric text, min float8, avg numeric, max float8, last float8, samples bigint, resolution interval, partial boolean, increase float8)
	LANGUAGE sql AS $$ SELECT h."timestamp", h.metric, h.min, round(h.avg::numeric, 3), h.max, h.last, h.samples, h.resolution, h.partial, h.increase
		FROM observ.metrics_history('web-1', app, metrics, f, t, points) h $$;
-- 3 hours, a row a minute, without those of 10:20 to 10:40.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, oom_kills, interval_ms)
	SELECT '2026-03-02 10:00'::timestamptz + i * interval '1 min', 'web-1', 'shop', i, CASE WHEN i = 7 THEN 2 ELSE 0 END, 60000
	FROM generate_series(0, 179) i WHERE i NOT BETWEEN 20 AND 39;
SELECT status, rolled_to FROM observ.roll_up('2026-03-02 12:30');
-- Rolled up to 12:20; the rest comes from raw rows, and is partial.
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 11:50', '2026-03-02 12:50', 12);
-- A gap is a row of NULLs.
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:10', '2026-03-02 10:50', 12);
-- Hours: rolled up, from 5 minutes, and from raw rows, in one answer.
SELECT * FROM pg_temp.history('{cpu_percent,oom_kills}', '2026-03-02 10:00', '2026-03-02 14:00', 4);
-- However the points are cut, no sample is lost or counted twice.
SELECT points, resolution, count(*) AS buckets, sum(samples) AS samples, min(min), max(max), round(sum(avg * samples) / sum(samples), 3) AS avg,
	count(*) FILTER (WHERE partial) AS partial
	FROM generate_series(1, 200) points, pg_temp.history('{cpu_percent}', '2026-03-02 10:00', '2026-03-02 13:00', points) GROUP BY 1, 2
	HAVING points IN (1, 2, 3, 4, 5, 6, 9, 12, 18, 36, 90, 180, 200) ORDER BY 1;
-- Not aligned: whole buckets on both sides.
SELECT min(at), max(at), count(*) FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:02:30', '2026-03-02 10:57:30', 20);
-- Short: from raw rows.
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:00', '2026-03-02 10:03', 300);
-- Before the partitions: partial, whatever was there.
SELECT at, samples, resolution, partial FROM pg_temp.history('{cpu_percent}', '2026-01-20', '2026-03-03', 4);
-- A late row that is known, and not taken in yet.
SELECT observ.recompute_rollups('2026-03-02 11:00', '2026-03-02 11:05');
SELECT at, partial FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:55', '2026-03-02 11:10', 3);
SELECT status, recomputed, rows_written FROM observ.roll_up('2026-03-02 12:30');
SELECT at, partial FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:55', '2026-03-02 11:10', 3);

-- All applications together; all columns that have data.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) VALUES
	('2026-03-02 10:01:30', 'web-1', 'api', 100, 60000), ('2026-03-02 12:31:30', 'web-1', 'api', 0, 60000);
SELECT status, late_keys FROM observ.roll_up('2026-03-02 12:30');
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 10:00', '2026-03-02 10:05', 1, NULL);
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 12:30', '2026-03-02 12:35', 1, NULL);
SELECT metric, sum(samples) FROM pg_temp.history(NULL, '2026-03-02 10:00', '2026-03-02 13:00', 3, NULL) GROUP BY 1 ORDER BY 1;

-- Labelled metrics: each series a line; counters grow over the border of buckets, and over the watermark.
INSERT INTO observ.metric_series (vps_name, app_name, series_id, metric_name, labels, kind, set_no, slot, first_seen, last_seen)
	SELECT 'web-1', 'shop', slot, CASE slot WHEN 3 THEN 'queue_length' ELSE 'requests_total' END,
		CASE slot WHEN 1 THEN '{"code":"200","zone":"a\"b"}'::jsonb WHEN 2 THEN '{"code":"500"}' ELSE '{}' END,
		CASE slot WHEN 3 THEN 'gauge' ELSE 'counter' END, 1, slot, '2026-03-02', '2026-03-02' FROM generate_series(1, 3) slot;
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, app_name, set_no, "values")
	SELECT '2026-03-02 12:00'::timestamptz + i * interval '1 min', 'web-1', 'shop', 1, ARRAY[100 + 10 * i, CASE WHEN i < 7 THEN i ELSE i - 7 END, 5]
	FROM generate_series(0, 29) i;
SELECT status FROM observ.roll_up('2026-03-02 12:30');
SELECT * FROM pg_temp.history('{"requests_total",queue_length}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{"requests_total{code=~\"5..\"}"}', '2026-03-02 12:05', '2026-03-02 12:35', 6);
-- The whole growth is the same however it is cut.
SELECT points, resolution, sum(increase) FROM unnest(ARRAY[1, 2, 6, 30]) points, pg_temp.history('{"requests_total{code=\"200\"}"}', '2026-03-02 12:00', '2026-03-02 12:30', points)
	GROUP BY 1, 2 ORDER BY 1;

-- Response times, by url.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, response_time_ms, success) VALUES
	('2026-03-02 12:01', 'web-1', 'shop', 'http://a', 10, true), ('2026-03-02 12:02', 'web-1', 'shop', 'http://a', 20, true),
	('2026-03-02 12:29', 'web-1', 'shop', 'http://b', 5, true);
SELECT status FROM observ.roll_up('2026-03-02 12:30');
SELECT * FROM pg_temp.history('{response_time_ms}', '2026-03-02 12:00', '2026-03-02 12:30', 3);
SELECT * FROM pg_temp.history('{"response_time_ms{url=\"http://b\"}"}', '2026-03-02 12:00', '2026-03-02 12:30', 1);

-- What can't be answered.
SELECT * FROM pg_temp.history('{cpu_prcent}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{requests}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{no such thing}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{"cpu_percent{a=\"b\"}"}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{"requests_total{code=}"}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{NULL}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-02 12:00', '2026-03-02 12:00', 6);
SELECT * FROM pg_temp.history('{cpu_percent}', '-infinity', '2026-03-02 12:00', 6);
SELECT * FROM pg_temp.history('{cpu_percent}', '2026-03-01 12:00', '2026-03-02 12:00', 0);
SELECT * FROM observ.metrics_history(NULL);
-- Nobody knows it: gaps. No metrics: nothing.
SELECT count(*), count(avg) FROM observ.metrics_history('nobody', NULL, '{cpu_percent}', '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT count(*) FROM observ.metrics_history('nobody', NULL, NULL, '2026-03-02 12:00', '2026-03-02 12:30', 6);
SELECT count(*) FROM observ.metrics_history('web-1', NULL, '{}', '2026-03-02 12:00', '2026-03-02 12:30', 6);

TRUNCATE observ.vps_metrics, observ.health_checks, observ.metric_scrapes, observ.metric_series, observ.metrics_5m, observ.metrics_1h,
	observ.health_5m, observ.health_1h;
