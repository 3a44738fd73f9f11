-- Retention in virtual time, in a database of its own: partitions of the present go as well.
CREATE DATABASE observ_retention;
\c observ_retention
CREATE EXTENSION observ;
SET TimeZone = 'Pacific/Chatham';
SET DateStyle = 'ISO, DMY';
SELECT data_set, max_age, max_size, enabled FROM observ.retention_policies ORDER BY 1;
-- Nothing of the present is old enough.
SELECT * FROM observ.apply_retention('2020-01-01 00:00+00');

CREATE TABLE saved_policies AS TABLE observ.retention_policies;
UPDATE observ.retention_policies SET enabled = false;
SELECT status, created > 0 AS created FROM observ.maintain_partitions('2035-03-10 12:00:00+00');
CREATE VIEW leaves AS SELECT p.table_name, p."from" AT TIME ZONE 'UTC' AS "from", p."to" AT TIME ZONE 'UTC' AS "to", c.relname
FROM observ_data._partitions() p JOIN pg_class c ON c.oid = p.relid WHERE p."from" > '2034-12-01' AND p."from" < '2036-01-01';

-- ---- by age: a partition goes when all of it is older; exactly at the bound, not a microsecond before
UPDATE observ.retention_policies SET enabled = true, max_age = '3 days' WHERE data_set IN ('vps_metrics', 'health_checks');
INSERT INTO observ.vps_metrics (vps_name, "timestamp", cpu_percent) SELECT 'web-1', t, 1 FROM generate_series('2035-03-04 00:00+00'::timestamptz, '2035-03-10 11:00+00', '1 hour') t;
SELECT data_set, "partition", "from" AT TIME ZONE 'UTC' AS "from", "to" AT TIME ZONE 'UTC' AS "to", size_bytes > 0 AS sized, reason, due AT TIME ZONE 'UTC' AS due, waits_for
FROM observ.retention_preview('2035-03-10 12:00:00+00') WHERE "from" > '2035-01-01' ORDER BY data_set, "from";
SELECT count(*) FROM observ.retention_preview('2035-03-07 23:59:59.999999+00') WHERE due <= '2035-03-07 23:59:59.999999+00' AND "from" >= '2035-03-04 00:00+00';
SELECT string_agg(DISTINCT "partition", ' ') FROM observ.retention_preview('2035-03-08 00:00:00+00') WHERE due <= '2035-03-08 00:00:00+00' AND "from" >= '2035-03-04 00:00+00';
SELECT status, dropped > 0 AS dropped, freed_bytes > 0 AS freed, blocked, blocked_by, held_back, failed FROM observ.apply_retention('2035-03-10 12:00:00+00');
SELECT table_name, min("from") FROM leaves WHERE table_name IN ('vps_metrics', 'health_checks', 'log_entries') GROUP BY 1 ORDER BY 1;
SELECT min("timestamp") AT TIME ZONE 'UTC' AS oldest, count(*) FROM observ.vps_metrics WHERE vps_name = 'web-1' AND "timestamp" > '2035-01-01';
-- Idempotent; maintenance does not make again what has just gone, though late rows may lie further back.
SELECT * FROM observ.apply_retention('2035-03-10 12:00:00+00');
SELECT status, created FROM observ.maintain_partitions('2035-03-10 12:00:00+00');
-- Partitions of another width in the day that the bound lies in: no flapping either.
SET observ.metrics_partition_width = '6h';
DROP TABLE observ_data.vps_metrics_20350307;
SELECT status, created FROM observ.maintain_partitions('2035-03-10 12:00:00+00');
RESET observ.metrics_partition_width;
SELECT status, dropped FROM observ.apply_retention('2035-03-10 18:00:00+00');
SELECT status, created FROM observ.maintain_partitions('2035-03-10 18:00:00+00');
-- A late row by hand is an error that names the table; agents are told not to send it (see begin_batch below).
INSERT INTO observ.vps_metrics (vps_name, "timestamp") VALUES ('web-1', '2035-03-05 00:00+00');

-- ---- NULL and disabled: kept
UPDATE observ.retention_policies SET max_age = NULL WHERE data_set = 'vps_metrics';
UPDATE observ.retention_policies SET enabled = false WHERE data_set = 'health_checks';
SELECT status, dropped FROM observ.apply_retention('2036-03-10 12:00:00+00');

-- ---- by size: the oldest go, until it fits; what is still written stays, whatever it takes
UPDATE observ.retention_policies SET enabled = true, max_age = NULL, max_size = 3 * 1024 * 1024 WHERE data_set = 'log_entries';
INSERT INTO observ.log_entries (vps_name, "timestamp", message) SELECT 'web-1', t, repeat(md5(t::text), 30)
FROM generate_series('2035-03-04 00:00+00'::timestamptz, '2035-03-10 11:00+00', '2 min') t;
SELECT "partition", reason, due AT TIME ZONE 'UTC' AS due FROM observ.retention_preview('2035-03-10 12:00:00+00')
WHERE data_set = 'log_entries' AND "from" > '2035-01-01' ORDER BY "from" DESC LIMIT 2;
SELECT status, dropped > 2 AS dropped, blocked FROM observ.apply_retention('2035-03-10 12:00:00+00');
SELECT sum(pg_total_relation_size(relid)) <= 3 * 1024 * 1024 AS fits FROM observ_data._partitions() WHERE table_name = 'log_entries';
SELECT status, dropped FROM observ.apply_retention('2035-03-10 12:00:00+00');
SELECT status FROM observ.maintain_partitions('2035-03-10 12:00:00+00');
SELECT relname FROM leaves WHERE table_name = 'log_entries' ORDER BY "from" LIMIT 1;
UPDATE observ.retention_policies SET max_size = 1024 * 1024 WHERE data_set = 'log_entries';
SELECT status, dropped > 0 AS dropped FROM observ.apply_retention('2035-03-10 12:00:00+00');
SELECT relname FROM leaves WHERE table_name = 'log_entries' ORDER BY "from" LIMIT 1;
-- What was dropped in a virtual time ahead of the clock does not bind the present.
SELECT status FROM observ.maintain_partitions();
SELECT accept_from < now() - interval '6 days' AS unbound FROM observ.begin_batch('retention', 0, now(), 'web-1');
UPDATE observ_data.retention_state SET dropped_to = date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' WHERE table_name = 'log_entries';
SELECT accept_from = date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS bound FROM observ.begin_batch('retention', 0, now(), 'web-1');
UPDATE observ.retention_policies SET max_size = NULL WHERE data_set = 'log_entries';
UPDATE observ.retention_policies SET max_age = '2 days' WHERE data_set = 'events';
SELECT accept_from < now() - interval '6 days' AS unbound FROM observ.begin_batch('retention', 0, now(), 'web-1');
UPDATE observ.retention_policies SET enabled = true WHERE data_set = 'events';
SELECT accept_from BETWEEN now() - interval '2 days' AND now() - interval '2 days' + interval '1 min' AS bound_by_age FROM observ.begin_batch('retention', 0, now(), 'web-1');
UPDATE observ.retention_policies SET enabled = false, max_size = NULL;

-- ---- two tables of one data set
UPDATE observ.retention_policies SET enabled = true, max_age = '1 month' WHERE data_set = 'rollup_5m';
SELECT status, dropped > 0 AS dropped FROM observ.apply_retention('2035-04-10 00:00:00+00');
SELECT table_name, min("from") FROM leaves WHERE table_name IN ('metrics_5m', 'health_5m') GROUP BY 1 ORDER BY 1;
UPDATE observ.retention_policies SET enabled = false;

-- ---- not rolled up: held back, and said so; empty ones are not waited for, and nobody waits for a roll-up that is switched off
UPDATE observ.retention_policies SET enabled = true, max_age = '1 hour' WHERE data_set = 'health_checks';
INSERT INTO observ.health_checks (vps_name, url, success, "timestamp") VALUES ('web-1', 'http://x', true, '2035-03-08 12:00+00');
BEGIN;
UPDATE observ_data.rollup_state SET rolled_1h = '2035-03-09 23:00+00' WHERE source = 'health_checks';
SELECT status, dropped > 0 AS dropped, held_back FROM observ.apply_retention('2035-03-10 12:00:00+00');
INSERT INTO observ.health_checks (vps_name, url, success, "timestamp") VALUES ('web-1', 'http://x', true, '2035-03-10 12:00+00');
UPDATE observ_data.rollup_state SET rolled_1h = '2035-03-10 23:00+00' WHERE source = 'health_checks';
SELECT "partition", waits_for FROM observ.retention_preview('2035-03-11 12:00:00+00') WHERE data_set = 'health_checks' AND "from" > '2035-01-01' AND due <= '2035-03-11 12:00:00+00';
SELECT status, dropped, held_back FROM observ.apply_retention('2035-03-11 12:00:00+00');
UPDATE observ_data.rollup_state SET rolled_1h = '2035-03-11 00:00+00' WHERE source = 'health_checks';
SELECT status, dropped, held_back FROM observ.apply_retention('2035-03-11 12:00:00+00');
ROLLBACK;
SELECT status, dropped > 0 AS dropped, held_back FROM observ.apply_retention('2035-03-11 12:00:00+00');
UPDATE observ.retention_policies SET enabled = false;

-- ---- one that can't be dropped does not keep the others
UPDATE observ.retention_policies SET enabled = true, max_age = '1 day' WHERE data_set = 'vps_metrics';
SELECT relname FROM leaves WHERE table_name = 'vps_metrics' AND "to" <= '2035-03-10' ORDER BY "from" LIMIT 1 \gset
SELECT format('CREATE VIEW looks_at_a_leaf AS SELECT cpu_percent FROM observ_data.%I', :'relname') \gexec
\set VERBOSITY terse
SELECT status, dropped > 0 AS dropped, failed FROM observ.apply_retention('2035-03-11 12:00:00+00');
DROP VIEW looks_at_a_leaf;
SELECT status, dropped, failed FROM observ.apply_retention('2035-03-11 12:00:00+00');
\set VERBOSITY default

-- ---- alerting: partitions go, and rows that are over and that nobody waits for
UPDATE observ.retention_policies SET enabled = true, max_age = '1 day' WHERE data_set = 'alerts';
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, ends_at, annotations, unrouted)
SELECT name, 0, status, 'high', '{}', '{}', ends_at - interval '1 h', ends_at - interval '1 h', CASE WHEN status = 'resolved' THEN ends_at END, '{}', name = 'unrouted'
FROM (VALUES ('old', 'resolved', '2035-03-10 11:59:59.999999+00'::timestamptz), ('young', 'resolved', '2035-03-10 12:00+00'), ('told', 'resolved', '2035-03-01 00:00+00'), ('member', 'resolved', '2035-03-01 00:00+00'),
	('unrouted', 'resolved', '2035-03-01 00:00+00'), ('live', 'firing', '2035-03-01 00:00+00'), ('pending', 'pending', '2035-03-01 00:00+00')) v (name, status, ends_at);
INSERT INTO observ_data.told (alert_id, group_key, channel, state, told_at) SELECT alert_id, 'retention', 'c', 'firing', starts_at FROM observ.alerts WHERE fingerprint = 'told';
INSERT INTO observ_data.group_members (group_key, alert_id) SELECT 'retention', alert_id FROM observ.alerts WHERE fingerprint = 'member';
INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, status, finished_at)
SELECT t, 'c', 'retention', n, 'i', 'retention ' || n, 'first notification', 'firing', 'high', s, '{}', '[]', 1, 0, s, f
FROM (VALUES (1, 'sent', '2035-03-01 00:00+00'::timestamptz, '2035-03-01 00:01+00'::timestamptz), (2, 'dead', '2035-03-01', NULL), (3, 'cancelled', '2035-03-01', NULL), (4, 'queued', '2035-03-01', NULL), (5, 'sending', '2035-03-01', NULL),
	(6, 'retry', '2035-03-01', NULL), (7, 'sent', '2035-03-01 00:00+00', '2035-03-11 11:00+00'), (8, 'sent', '2035-03-11 00:00+00', '2035-03-11 00:00+00')) v (n, s, t, f);
SELECT observ.silence('{alertname="r1"}', until => '2035-03-02 00:00+00', comment => 'old', starts_at => '2035-03-01 00:00+00', at => '2035-03-01 00:00+00') > 0 AS old,
	observ.silence('{alertname="r2"}', until => '2035-03-12 00:00+00', comment => 'active', starts_at => '2035-03-01 00:00+00', at => '2035-03-01 00:00+00') > 0 AS active;
INSERT INTO observ.silence_audit ("timestamp", silence_id, action) VALUES ('2035-03-05 00:00+00', -1, 'expired');
SELECT data_set, "partition", "from" AT TIME ZONE 'UTC' AS "from", "to" AT TIME ZONE 'UTC' AS "to", size_bytes, rows_estimate, reason, due AT TIME ZONE 'UTC' AS due, waits_for
FROM observ.retention_preview('2035-03-11 12:00:00+00') WHERE data_set = 'alerts' AND size_bytes IS NULL ORDER BY 2;
SELECT count(*) > 0 AS partitions, count(*) FILTER (WHERE "partition" ~ '^(alert_history|notification_decisions|notification_attempts)_') = count(*) AS of_all
FROM observ.retention_preview('2035-03-11 12:00:00+00') WHERE data_set = 'alerts' AND size_bytes IS NOT NULL AND due <= '2035-03-11 12:00:00+00';
DELETE FROM observ.silences WHERE comment = 'old';
SELECT status, dropped > 0 AS dropped, deleted, failed FROM observ.apply_retention('2035-03-11 12:00:00+00');
SELECT fingerprint FROM observ.alerts ORDER BY 1;
SELECT seq, status FROM observ.notifications ORDER BY 1;
SELECT comment, (SELECT count(*) FROM observ.silence_audit a WHERE a.silence_id = s.silence_id) AS audited FROM observ.silences s;
SELECT count(*) AS audits FROM observ.silence_audit;
DELETE FROM observ.silences;
SELECT status, dropped, deleted FROM observ.apply_retention('2035-03-11 12:00:00+00');
-- What was told and is told now goes with the next run; more rows than one batch holds; without max_age nothing goes.
DELETE FROM observ_data.told; DELETE FROM observ_data.group_members;
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, ends_at, annotations)
SELECT 'many ' || n, 0, 'resolved', 'high', '{}', '{}', '2035-03-01 00:00+00', '2035-03-01 00:00+00', '2035-03-01 00:00+00', '{}' FROM generate_series(1, 12000) n;
UPDATE observ.retention_policies SET max_age = NULL WHERE data_set = 'alerts';
SELECT status, deleted FROM observ.apply_retention('2035-03-11 12:00:00+00');
SELECT forecast FROM observ.storage_report WHERE table_name = 'observ.alerts';
UPDATE observ.retention_policies SET max_age = '1 day' WHERE data_set = 'alerts';
SELECT data_set, max_age, max_size, settles_at_bytes, forecast FROM observ.storage_report WHERE table_name = 'observ.alerts';
SELECT status, deleted FROM observ.apply_retention('2035-03-11 12:00:00+00');
-- It fails: that is said, and partitions go all the same.
CREATE TABLE keeps_alerts (alert_id bigint REFERENCES observ.alerts);
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, ends_at, annotations)
VALUES ('kept', 0, 'resolved', 'high', '{}', '{}', '2035-03-01 00:00+00', '2035-03-01 00:00+00', '2035-03-01 00:00+00', '{}');
INSERT INTO keeps_alerts SELECT alert_id FROM observ.alerts WHERE fingerprint = 'kept';
\set VERBOSITY terse
SELECT status, failed, deleted FROM observ.apply_retention('2035-03-11 12:00:00+00');
\set VERBOSITY default
DROP TABLE keeps_alerts;
SELECT status, failed, deleted FROM observ.apply_retention('2035-03-11 12:00:00+00');
SELECT fingerprint FROM observ.alerts ORDER BY 1;

-- ---- a paused database is passed over, and bad times are refused
SELECT observ.apply_retention('infinity');
SELECT observ.retention_preview('-infinity');
BEGIN; SELECT observ.pause(); SELECT * FROM observ.apply_retention('2035-03-11 12:00:00+00'); ROLLBACK;
BEGIN READ ONLY; SELECT observ.apply_retention('2035-03-11 12:00:00+00'); ROLLBACK;
SELECT status FROM observ.apply_retention('294276-12-01 00:00+00') WHERE false;

-- ---- the policies themselves
UPDATE observ.retention_policies SET max_age = '-1 day' WHERE data_set = 'alerts';
UPDATE observ.retention_policies SET max_age = '59 min' WHERE data_set = 'alerts';
UPDATE observ.retention_policies SET max_size = 0 WHERE data_set = 'alerts';
INSERT INTO observ.retention_policies VALUES ('metrics', '1 day');
UPDATE observ.retention_policies SET max_age = '100000 years', max_size = pg_size_bytes('10 GB') WHERE data_set = 'vps_metrics';
SELECT count(*) > 0 AS listed, count(due) AS due FROM observ.retention_preview('2035-03-11 12:00:00+00') WHERE data_set = 'vps_metrics';
SELECT status, dropped FROM observ.apply_retention('2035-03-11 12:00:00+00');
SET ROLE observ_reader;
SELECT count(*) >= 0 AS may_look FROM observ.retention_preview('2035-03-11 12:00:00+00');
UPDATE observ.retention_policies SET max_age = '1 day';
SELECT observ.apply_retention('2035-03-11 12:00:00+00');
RESET ROLE;
SET ROLE observ_admin;
UPDATE observ.retention_policies SET enabled = false;
SELECT status, dropped FROM observ.apply_retention('2035-03-11 12:00:00+00');
RESET ROLE;


-- ---- the report: a day of yesterday, by hand
UPDATE observ.retention_policies p SET max_age = s.max_age, max_size = s.max_size, enabled = s.enabled FROM saved_policies s WHERE s.data_set = p.data_set;
SELECT DISTINCT forecast FROM observ.storage_report WHERE data_set IS NOT NULL AND oldest IS NULL;
SELECT status FROM observ.maintain_partitions();
TRUNCATE observ.vps_metrics, observ.log_entries, observ.health_checks;
INSERT INTO observ.vps (vps_name) VALUES ('web-1'), ('web-2') ON CONFLICT DO NOTHING;
INSERT INTO observ.vps_metrics (vps_name, "timestamp", cpu_percent) SELECT v, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - n * interval '30 s', 1
FROM generate_series(1, 2880) n, (VALUES ('web-1'), ('web-2')) v(v) WHERE v = 'web-1' OR n % 4 = 0;
ANALYZE observ.vps_metrics;
SELECT table_name, data_set, partitions > 10 AS partitions, newest - oldest AS covers, rows_estimate, heap_bytes + index_bytes + toast_bytes = total_bytes AS adds_up,
	bytes_per_day > 300000 AS grows, bytes_per_vps_per_day * 2 BETWEEN bytes_per_day - 2 AND bytes_per_day + 2 AS per_vps, max_age, max_size, settles_at_bytes = 91 * bytes_per_day AS settles,
	reaches_max_size_at, regexp_replace(forecast, '\d+ ', 'N ') AS forecast
FROM observ.storage_report WHERE table_name = 'observ.vps_metrics';
SELECT total_bytes = (SELECT sum(pg_total_relation_size(relid)) FROM observ_data._partitions() WHERE table_name = 'vps_metrics') AS all_of_it
FROM observ.storage_report WHERE table_name = 'observ.vps_metrics';
UPDATE observ.retention_policies SET max_size = 20 * 1024 * 1024 WHERE data_set = 'vps_metrics';
SELECT reaches_max_size_at BETWEEN now() + interval '1 day' AND now() + interval '60 days' AS soon, regexp_replace(forecast, '\d{4}-\d\d-\d\d', 'DAY') AS forecast
FROM observ.storage_report WHERE table_name = 'observ.vps_metrics';
UPDATE observ.retention_policies SET max_size = 1024 * 1024 WHERE data_set = 'vps_metrics';
SELECT reaches_max_size_at = now() AS now, forecast FROM observ.storage_report WHERE table_name = 'observ.vps_metrics';
UPDATE observ.retention_policies SET max_size = NULL, max_age = NULL WHERE data_set = 'vps_metrics';
SELECT settles_at_bytes, reaches_max_size_at, regexp_replace(forecast, '\d+ ', 'N ') AS forecast FROM observ.storage_report WHERE table_name = 'observ.vps_metrics';
SELECT count(*) = (SELECT count(*) FROM pg_class WHERE relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND relkind IN ('r', 'p', 'm') AND NOT relispartition) AS every_table
FROM observ.storage_report;
SELECT day = (now() AT TIME ZONE 'UTC')::date - 1 AS yesterday, vps_name, table_name, "rows", round(100.0 * bytes / sum(bytes) OVER ()) AS percent, exact
FROM observ.storage_by_vps() ORDER BY 2;
SELECT sum(bytes) BETWEEN pg_total_relation_size(relid) - 2 AND pg_total_relation_size(relid) + 2 AS all_of_it
FROM observ.storage_by_vps(), observ_data._partitions() p WHERE p.table_name = 'vps_metrics' AND p."to" = date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' GROUP BY relid;
SELECT count(*) FROM observ.storage_by_vps(now() - interval '20 days', now() - interval '10 days');
SELECT observ.storage_by_vps('2035-03-02 00:00+00', '2035-03-01 00:00+00');
SELECT observ.storage_by_vps('-infinity', '2035-03-01 00:00+00');
SET ROLE observ_reader;
SELECT count(*) FROM observ.storage_by_vps();
SELECT count(*) > 10 AS may_look FROM observ.storage_report;
RESET ROLE;

-- The parts of one day that is larger than a sample: about right, and cheap.
INSERT INTO observ.log_entries (vps_name, "timestamp", message) SELECT 'web-' || n % 4, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - n * interval '1 s', repeat('x', 1500)
FROM generate_series(1, 20000) n;
SELECT vps_name, exact, abs("rows" - 5000) < 1500 AS about_right FROM observ.storage_by_vps() WHERE table_name = 'log_entries' ORDER BY 1;

\c contrib_regression
DROP DATABASE observ_retention;
