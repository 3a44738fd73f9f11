-- Partitions exist ahead of the given time and behind it, with bounds in UTC, whatever the session's settings are.
SET TimeZone = 'Pacific/Chatham';
SET DateStyle = 'SQL, DMY';
SELECT status, created, failed, partitions_ahead FROM observ.maintain_partitions('2031-03-30 12:00:00+00');
-- Idempotent.
SELECT status, created, failed FROM observ.maintain_partitions('2031-03-30 12:00:00+00');
-- A day later there is one more day to make.
SELECT status, created, failed FROM observ.maintain_partitions('2031-03-31 12:00:00+00');

SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = 'observ.vps_metrics'::regclass AND c.relname LIKE '%203103%' ORDER BY 1 LIMIT 3;
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = 'observ.events'::regclass AND c.relname LIKE '%2031%' ORDER BY 1;

-- Leaves have every index of their table, no identity of their own, and belong to nobody's extension.
SELECT count(*) FROM pg_inherits i JOIN pg_index p ON p.indrelid = i.inhparent
WHERE i.inhparent IN ('observ.vps_metrics'::regclass, 'observ.health_checks'::regclass, 'observ.log_entries'::regclass, 'observ.events'::regclass)
  AND NOT EXISTS (SELECT FROM pg_index l JOIN pg_inherits li ON li.inhrelid = l.indexrelid
                  WHERE l.indrelid = i.inhrelid AND li.inhparent = p.indexrelid AND l.indisvalid);
SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relispartition AND a.attidentity <> '';

-- Finer metrics partitions from now on: what exists stays, gaps are filled without overlap.
SET observ.metrics_partition_width = '6h';
SELECT status, created, failed FROM observ.maintain_partitions('2031-04-01 12:00:00+00');
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = 'observ.vps_metrics'::regclass AND c.relname LIKE 'vps_metrics_203104%' ORDER BY 1 DESC LIMIT 3;
RESET observ.metrics_partition_width;

-- An orphan that an interrupted run left behind is adopted; a name that is taken by something else is stepped around.
ALTER TABLE observ.log_entries DETACH PARTITION observ_data.log_entries_20310330;
ALTER TABLE observ.health_checks DETACH PARTITION observ_data.health_checks_20310330;
DROP TABLE observ_data.health_checks_20310330;
CREATE VIEW observ_data.health_checks_20310330 AS SELECT 1;
SELECT status, created, failed FROM observ.maintain_partitions('2031-03-30 12:00:00+00');
SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent IN ('observ.log_entries'::regclass, 'observ.health_checks'::regclass) AND c.relname LIKE '%20310330%' ORDER BY 1;
DROP VIEW observ_data.health_checks_20310330;

-- An orphan that does not fit is left alone, and its range is covered all the same.
ALTER TABLE observ.log_entries DETACH PARTITION observ_data.log_entries_20310330;
INSERT INTO observ_data.log_entries_20310330 (id, vps_name, message, "timestamp") VALUES (1, 'x', 'y', '2020-01-01');
SET client_min_messages = error;
SELECT status, created, failed FROM observ.maintain_partitions('2031-03-30 12:00:00+00');
RESET client_min_messages;
SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE i.inhparent = 'observ.log_entries'::regclass AND c.relname LIKE '%20310330%' ORDER BY 1;
DROP TABLE observ_data.log_entries_20310330;

-- Cancelled in the middle, it leaves nothing open: the session goes on, and so does the next run.
\set VERBOSITY terse
SET statement_timeout = '20ms';
SELECT count(*) FROM generate_series(0, 20) i, observ.maintain_partitions('2040-01-01'::timestamptz + i * interval '30 days');
RESET statement_timeout;
\set VERBOSITY default
SELECT count(*) FROM pg_class WHERE relname LIKE 'vps_metrics_2040%';

-- Times that make no sense.
SELECT observ.maintain_partitions('infinity');
SELECT observ.maintain_partitions('-infinity');
SELECT observ.maintain_partitions('294276-12-31 00:00+00');
SELECT status, failed FROM observ.maintain_partitions(NULL);

-- A row that no partition takes is an error of the statement that brings it, never lost in silence.
INSERT INTO observ.vps_metrics (vps_name, "timestamp") VALUES ('web-1', '2262-01-01');
INSERT INTO observ.vps_metrics (vps_name, "timestamp") VALUES ('web-1', 'infinity');
INSERT INTO observ.vps_metrics (vps_name, "timestamp") VALUES ('web-1', NULL);

-- The quarantine is bounded by age.
INSERT INTO observ.quarantine (vps_name, reason, received_at) VALUES ('web-1', 'old', '2031-01-01'), ('web-1', 'new', '2031-03-29');
SELECT status, quarantine_trimmed FROM observ.maintain_partitions('2031-03-30 12:00:00+00');
SELECT reason FROM observ.quarantine;
DELETE FROM observ.quarantine;
