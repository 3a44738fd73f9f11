-- Pause and resume, copies, the cluster-wide switch.
SELECT state, reason, hint FROM observ.status() WHERE state IN ('paused', 'mismatch', 'standby');
SELECT observ.pause();
SELECT state, reason, hint FROM observ.status();
SELECT status, created FROM observ.maintain_partitions('2035-01-01');
SELECT status FROM observ.refresh_fleet_summary();
SELECT observ.begin_batch('agent-1', 1, now());
-- By hand one may still insert and read.
INSERT INTO observ.vps_metrics (vps_name) VALUES ('web-1');
SELECT count(*) FROM observ.fleet_summary();
SELECT status, leaves_checked > 40 AS checked, indexes_repaired FROM observ.resume();
SELECT count(*) FROM observ.status() WHERE state = 'paused';
SELECT accepted FROM observ.begin_batch('agent-1', 1, now());

-- A pause that is rolled back never was.
BEGIN;
SELECT observ.pause();
ROLLBACK;
SELECT count(*) FROM observ.status() WHERE state = 'paused';

-- A template copy comes up paused, and leaves the original alone.
CREATE DATABASE observ_copy TEMPLATE contrib_regression;
\c observ_copy
SELECT state, reason, hint FROM observ.status();
SELECT status FROM observ.maintain_partitions();
SELECT observ.begin_batch('agent-1', 2, now());
SELECT status, indexes_repaired FROM observ.resume();
SELECT count(*) FROM observ.status() WHERE state = 'paused';
SELECT accepted FROM observ.begin_batch('agent-1', 2, now());
-- A setting carried over from elsewhere (pg_dump --create) does not arm.
ALTER DATABASE observ_copy SET observ.armed = '1234567890/16384';
SELECT state, reason FROM observ.status();
\c contrib_regression
DROP DATABASE observ_copy;
SELECT count(*) FROM observ.status() WHERE state = 'paused';

-- Not for hands.
SELECT current_setting('observ.armed') LIKE '%/%' AS armed;
CREATE ROLE observ_regress_user;
SET ROLE observ_regress_user;
SET observ.armed = 'x';
SELECT observ.resume();
RESET ROLE;
DROP ROLE observ_regress_user;
TRUNCATE observ.vps_metrics, observ.fleet_summary, observ.vps, observ.collectors;
