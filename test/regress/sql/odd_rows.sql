-- Rows that are late, of the future, of days that are gone, there already, or no numbers: what becomes of each in every raw table, and where it
-- is counted. docs/data-model.md has the same as a table. What the agent moves back, puts aside and counts itself: test_agent_database.py.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2033-09-10 12:00+00');
\set VERBOSITY terse

-- Late: as far back as there are partitions, a row is like any other. The summary does not go back for it.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2033-09-10 12:00+00', 'odd', 50, 60000);
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-10 12:00+00', 'odd', 'u', true);
SELECT status, inserted FROM observ.refresh_fleet_summary('2033-09-10 12:00:10+00');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2033-09-04 12:00+00', 'odd', 99);
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-04 12:00+00', 'odd', 'u', false);
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES ('2033-09-04 12:00+00', 'odd', 'late');
SELECT status, updated, health_changed FROM observ.refresh_fleet_summary('2033-09-10 12:00:20+00');
SELECT status, cpu_percent, health_ok, health_total FROM observ.fleet_summary('2033-09-10 12:00:20+00') WHERE vps_name = 'odd';
SELECT checks, failures FROM observ.sla(vps => 'odd', url => 'u', at => '2033-09-10 12:00:20+00') WHERE period = '7 days';

-- Of the future: stored where there is a partition, and left aside until its time has come.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, disk_percent) VALUES ('2033-09-10 18:00+00', 'odd', 1, 99);
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-10 18:00+00', 'odd', 'u', false);
INSERT INTO observ.log_entries ("timestamp", vps_name, level, message) VALUES ('2033-09-10 18:00+00', 'odd', 'error', 'early');
SELECT status, future_rows FROM observ.refresh_fleet_summary('2033-09-10 12:00:30+00');
SELECT cpu_percent, health_ok, health_total, errors_1h FROM observ.fleet_summary('2033-09-10 12:00:30+00') WHERE vps_name = 'odd';
SELECT checks, failures FROM observ.sla(vps => 'odd', url => 'u', at => '2033-09-10 12:00:30+00') WHERE period = '24 hours';
SELECT count(*) FROM observ.disk_forecast('odd', at => '2033-09-10 12:00:30+00');
SELECT status FROM observ.refresh_fleet_summary('2033-09-10 18:00:30+00', true);
SELECT cpu_percent, health_ok, health_total, errors_1h FROM observ.fleet_summary('2033-09-10 18:00:30+00') WHERE vps_name = 'odd';

-- Of a day without a partition, gone or not made yet, or of no day at all: an error of the statement that brings them, and nothing is lost beside them.
INSERT INTO observ.vps_metrics ("timestamp", vps_name) VALUES ('2001-01-01', 'odd');
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2001-01-01', 'odd', 'u', true);
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES ('2001-01-01', 'odd', 'gone');
INSERT INTO observ.vps_metrics ("timestamp", vps_name) VALUES ('2061-01-01', 'odd');
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('infinity', 'odd', 'u', true);
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES ('-infinity', 'odd', 'never');
INSERT INTO observ.vps_metrics ("timestamp", vps_name) VALUES (NULL, 'odd');
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES (NULL, 'odd', 'u', true);
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES (NULL, 'odd', 'when');
-- An agent is told which timestamps are stored; what it puts aside, moves back, finds there already or had to drop it tells with its next batch.
BEGIN;
SELECT accepted, accept_from < now(), accept_until > now() FROM observ.begin_batch('odd-agent', 1, now(), 'odd', 'shop');
INSERT INTO observ.quarantine (vps_name, app_name, table_name, reason, "row") VALUES ('odd', 'shop', 'vps_metrics', 'timestamp is too far in the past', '{"timestamp": "2001-01-01T00:00:00Z"}');
COMMIT;
SELECT accepted FROM observ.begin_batch('odd-agent', 2, now(), 'odd', 'shop', clamped => 2, quarantined => 1, dropped => 3, duplicates => 4);
SELECT clamped_rows, quarantined_rows, dropped_rows, duplicate_rows, duplicate_batches FROM observ.collectors WHERE agent_id = 'odd-agent';

-- There already: one row for each natural key, whatever else it holds. Without ON CONFLICT that is an error, with it the command tag says how many were new.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2033-09-10 12:00+00', 'odd', 51);
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-10 12:00+00', 'odd', 'u', false);
WITH new AS (INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2033-09-10 12:00+00', 'odd', 51), ('2033-09-10 12:01+00', 'odd', 52), ('2033-09-10 12:01+00', 'odd', 53) ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM new;
WITH new AS (INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-10 12:00+00', 'odd', 'u', false), ('2033-09-10 12:01+00', 'odd', 'u', true) ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM new;
SELECT "timestamp", cpu_percent FROM observ.vps_metrics WHERE vps_name = 'odd' AND "timestamp" BETWEEN '2033-09-10 12:00+00' AND '2033-09-10 12:01+00' ORDER BY 1;
-- Another application or another URL is another row.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES ('2033-09-10 12:00+00', 'odd', 'shop', 51);
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success) VALUES ('2033-09-10 12:00+00', 'odd', 'v', false);
-- Log lines have no key: two alike are two. What keeps a batch of them from being stored twice is its number.
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES ('2033-09-10 12:00+00', 'odd', 'again'), ('2033-09-10 12:00+00', 'odd', 'again');
SELECT count(*) FROM observ.log_entries WHERE message = 'again';
SELECT accepted, last_seq FROM observ.begin_batch('odd-agent', 2, now(), 'odd', 'shop');
SELECT duplicate_batches FROM observ.collectors WHERE agent_id = 'odd-agent';
TRUNCATE observ.vps_metrics, observ.health_checks, observ.log_entries, observ.quarantine, observ.fleet_summary, observ_data.health_latest, observ.vps, observ.collectors;

-- NaN and infinity: stored and shown as given, and never part of a figure made of others.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, memory_percent, load_avg_1m, disk_percent, disk_gb, interval_ms)
	SELECT '2033-09-10 12:00+00'::timestamptz - i * interval '1 min', 'odd', CASE i % 4 WHEN 0 THEN 'NaN'::float8 WHEN 1 THEN 'infinity' WHEN 2 THEN '-infinity' ELSE 40 END, 'NaN', 1,
		CASE i % 3 WHEN 0 THEN 'NaN'::float8 ELSE 90 - i / 60.0 END, CASE i % 5 WHEN 0 THEN 'infinity'::float8 ELSE 90 - i / 60.0 END, 60000 FROM generate_series(0, 90) i;
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, response_time_ms)
	SELECT '2033-09-10 12:00+00'::timestamptz - i * interval '1 min', 'odd', 'u', true, CASE i % 3 WHEN 0 THEN 'NaN'::float8 WHEN 1 THEN 'infinity' ELSE 7 END FROM generate_series(0, 90) i;
SELECT status FROM observ.refresh_fleet_summary('2033-09-10 12:00:10+00');
SELECT status, cpu_percent, memory_percent, load_avg_1m, disk_percent, health_ok, health_total FROM observ.fleet_summary('2033-09-10 12:00:10+00');
SELECT checks, failures, uptime_percent FROM observ.sla(vps => 'odd', url => 'u', at => '2033-09-10 12:00:10+00') WHERE period = '24 hours';
SELECT round(used_percent) AS used, round(growth_gb_per_day) AS growth, date_trunc('hour', fills_at) AS fills_at, samples, attention FROM observ.disk_forecast('odd', at => '2033-09-10 12:00:10+00');
SELECT status, nonfinite FROM observ.roll_up('2033-09-10 14:00+00');
SELECT "timestamp", checks, failures, response_count, response_sum_ms, response_min_ms, response_max_ms FROM observ.health_1h ORDER BY 1;
SELECT checks, failures, uptime_percent FROM observ.sla(vps => 'odd', url => 'u', at => '2033-09-10 12:00:10+00') WHERE period = '24 hours';
-- JSON has neither, nor has text a zero byte: such a log line is an error of its statement.
INSERT INTO observ.log_entries ("timestamp", vps_name, message, context) VALUES ('2033-09-10 12:00+00', 'odd', 'm', '{"a": NaN}');
INSERT INTO observ.log_entries ("timestamp", vps_name, message, context) VALUES ('2033-09-10 12:00+00', 'odd', 'm', '{"a": "\u0000"}');
\set VERBOSITY default
-- Labelled metrics say it in the answer: there already, of the future, too old, no number; and what can't be stored at all.
SELECT stored, duplicates, clamped, quarantined, nonfinite, rejected FROM observ.insert_samples('odd', '', ARRAY[now(), now(), now() + interval '1 day', '2001-01-01', now() - interval '1 min', now() - interval '2 min', now()],
	ARRAY['a', 'a', 'b', 'a', 'a', 'a', ''], array_fill('{}'::jsonb, ARRAY[7]), '{1,2,3,4,NaN,-inf,5}');
SELECT reason FROM observ.quarantine;
TRUNCATE observ.metric_scrapes, observ.metric_series, observ.metric_usage, observ.quarantine;
TRUNCATE observ.vps_metrics, observ.health_checks, observ.health_5m, observ.health_1h, observ.metrics_5m, observ.metrics_1h, observ.fleet_summary, observ_data.health_latest, observ.vps;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity';
