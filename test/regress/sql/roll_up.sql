-- Rolling up, in virtual time: which buckets are closed, late rows, what a cell says.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT status FROM observ.maintain_partitions('2026-03-02 00:00');
TRUNCATE observ.vps_metrics, observ.health_checks, observ.metric_scrapes, observ.metric_series, observ.metrics_5m, observ.metrics_1h,
	observ.health_5m, observ.health_1h, observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
CREATE VIEW pg_temp.cells AS SELECT "timestamp", vps_name, app_name, metric, count, round(avg::numeric, 4) AS avg, min, max, last FROM observ.vps_metrics_5m;

-- Nothing at all: the watermark stands where the first bucket would be.
SELECT * FROM observ.roll_up('2026-03-02 09:01');

-- A host goes from 30 s to 5 s: the average does not change. 0 has no weight of its own: as if 60 s.
TRUNCATE observ_data.rollup_dirty;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms)
	SELECT '2026-03-02 10:00'::timestamptz + i * interval '30 s', 'web-1', 'shop', 10, 30000 FROM generate_series(0, 4) i;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms)
	SELECT '2026-03-02 10:02:30'::timestamptz + i * interval '5 s', 'web-1', 'shop', 90, 5000 FROM generate_series(0, 29) i;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, uptime_seconds, interval_ms)
	VALUES ('2026-03-02 10:00', 'web-2', 10, 100, NULL), ('2026-03-02 10:04:59.999999', 'web-2', 20, 400, 0), ('2026-03-02 10:05', 'web-2', 30, 401, 60000);
-- Not yet: 10:05 is closed when the lag of 10 minutes is over.
SELECT status, rows_read, rows_written, rolled_to FROM observ.roll_up('2026-03-02 10:14:59.999');
SELECT status, rows_read, rows_written, rolled_to FROM observ.roll_up('2026-03-02 10:15');
SELECT * FROM pg_temp.cells ORDER BY 2, 3, 4, 1;
-- Again: nothing to do. And in the past: nothing to do either.
SELECT status, rows_read, rows_written, rolled_to FROM observ.roll_up('2026-03-02 10:15');
SELECT status, rows_read, rows_written, rolled_to FROM observ.roll_up('2026-03-01');

-- A late row, twice, and one that is late by hours and alone in its bucket.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2026-03-02 10:03', 'web-2', 0, 60000) ON CONFLICT DO NOTHING;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2026-03-02 10:03', 'web-2', 0, 60000) ON CONFLICT DO NOTHING;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2026-03-02 04:00', 'web-2', 4, 60000);
SELECT status, late_keys, recomputed, dirty_left, rows_written FROM observ.roll_up('2026-03-02 10:15');
SELECT status, late_keys, recomputed, dirty_left, rows_written FROM observ.roll_up('2026-03-02 10:15');
SELECT * FROM pg_temp.cells WHERE vps_name = 'web-2' ORDER BY 2, 3, 4, 1;

-- NaN and infinities are left out and counted; what is left is the rest. A cell of nothing else is none.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, memory_mb)
	VALUES ('2026-03-02 10:11', 'web-3', 'NaN', 'Infinity'), ('2026-03-02 10:12', 'web-3', 5, '-Infinity');
SELECT status, nonfinite FROM observ.roll_up('2026-03-02 10:25');
SELECT * FROM pg_temp.cells WHERE vps_name = 'web-3' ORDER BY 2, 3, 4, 1;

-- Hours, when all their buckets are closed.
SELECT count(*) FROM observ.metrics_1h;
SELECT status, rolled_to FROM observ.roll_up('2026-03-02 11:10');
SELECT "timestamp", vps_name, app_name, metric, count, round(avg::numeric, 4) AS avg, min, max, last FROM observ.vps_metrics_1h ORDER BY 2, 3, 4, 1;
-- A late row changes its hour too.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2026-03-02 10:59', 'web-2', 99);
SELECT status, late_keys, recomputed, rows_written FROM observ.roll_up('2026-03-02 11:10');
SELECT "timestamp", metric, count, max, last FROM observ.vps_metrics_1h WHERE vps_name = 'web-2' AND metric = 'cpu_percent' ORDER BY 1;

-- Health checks: inconclusive ones count neither way, failures without an answer have no response time.
INSERT INTO observ.health_checks ("timestamp", vps_name, url, response_time_ms, success, inconclusive) VALUES
	('2026-03-02 12:00', 'web-1', 'http://a', 10, true, false), ('2026-03-02 12:01', 'web-1', 'http://a', 30.5, true, false),
	('2026-03-02 12:02', 'web-1', 'http://a', NULL, false, false), ('2026-03-02 12:03', 'web-1', 'http://a', 1, false, true),
	('2026-03-02 12:04', 'web-1', 'http://a', 'NaN', true, false), ('2026-03-02 12:09', 'web-1', 'http://a', NULL, false, true);
SELECT status, nonfinite FROM observ.roll_up('2026-03-02 13:10');
SELECT * FROM observ.health_5m;
SELECT * FROM observ.health_1h;

-- Labelled metrics: NULL and missing elements are no samples; a counter that falls started again.
INSERT INTO observ.metric_series (vps_name, series_id, metric_name, labels, kind, set_no, slot, first_seen, last_seen)
	SELECT 'web-1', slot, 'requests_total', jsonb_build_object('n', slot::text), CASE slot WHEN 1 THEN 'gauge' ELSE 'counter' END, 1, slot,
		'2026-03-02', '2026-03-02' FROM generate_series(1, 3) slot;
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, set_no, "values") VALUES
	('2026-03-02 14:00', 'web-1', 1, '{5,100,NULL}'), ('2026-03-02 14:01', 'web-1', 1, '{3,150}'), ('2026-03-02 14:02', 'web-1', 1, '{NULL,20,1}'),
	('2026-03-02 14:04', 'web-1', 1, '{4,50,Infinity}'), ('2026-03-02 14:06', 'web-1', 1, '{4,70,1}');
SELECT status, nonfinite FROM observ.roll_up('2026-03-02 15:10');
SELECT * FROM observ.metric_samples_5m ORDER BY 5, 1;
SELECT * FROM observ.metric_samples_1h ORDER BY 5, 1;

-- Rows deleted and changed by hand.
DELETE FROM observ.vps_metrics WHERE vps_name = 'web-2' AND "timestamp" < '2026-03-02 05:00';
UPDATE observ.vps_metrics SET cpu_percent = 1 WHERE vps_name = 'web-2';
SELECT observ.recompute_rollups('2026-03-02 04:00', '2026-03-02 11:00');
SELECT status, late_keys, recomputed, dirty_left, rows_written FROM observ.roll_up('2026-03-02 15:10');
SELECT "timestamp", count, max FROM observ.vps_metrics_1h WHERE vps_name = 'web-2' AND metric = 'cpu_percent' ORDER BY 1;
SELECT observ.recompute_rollups('2026-03-02', '2026-03-01');

-- Bytes that are no cells.
SELECT * FROM observ_data._unpack_cells('\x');
SELECT * FROM observ_data._unpack_cells('\x0140ffffffffffffffffff01');
SELECT count(*) FROM observ.roll_up('infinity');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT status FROM observ.roll_up('2026-03-02 15:10');
ROLLBACK;
DELETE FROM observ_data.rollup_state WHERE source = 'vps_metrics';
SELECT status FROM observ.roll_up('2026-03-02 15:10');
INSERT INTO observ_data.rollup_state (source) VALUES ('vps_metrics');
-- The state is new, the rolled-up rows are not: nothing is there twice.
SELECT status, rows_written FROM observ.roll_up('2026-03-02 15:10');

TRUNCATE observ.vps_metrics, observ.health_checks, observ.metric_scrapes, observ.metric_series, observ.metrics_5m, observ.metrics_1h,
	observ.health_5m, observ.health_1h;

-- Far beyond the last partition there is nothing to roll up: the watermark stays where rows can still come.
BEGIN;
SELECT status, rolled_to < '2200-01-01' AS bounded FROM observ.roll_up('294276-12-31');
ROLLBACK;
