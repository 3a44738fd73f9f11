-- Default rules about databases: each fires and clears. Minutes since midnight. What the server's own views would show is put into tables of
-- their shape, which the queries of the test read instead; that the queries read the views is shown at the end, by running them as they ship.
\c observ_rules
SET TimeZone = 'UTC';
CREATE SCHEMA fake;
GRANT USAGE ON SCHEMA fake TO observ_owner;
CREATE TABLE fake.pg_stat_activity AS SELECT * FROM pg_stat_activity LIMIT 0;
CREATE TABLE fake.pg_stat_replication AS SELECT * FROM pg_stat_replication LIMIT 0;
CREATE TABLE fake.pg_replication_slots (slot_name name, restart_lsn pg_lsn, wal_status text);
CREATE TABLE fake.pg_stat_archiver AS SELECT * FROM pg_stat_archiver LIMIT 0;
CREATE TABLE fake.pg_prepared_xacts (LIKE pg_prepared_xacts);
CREATE TABLE fake.pg_stat_database AS SELECT * FROM pg_stat_database LIMIT 0;
CREATE TABLE fake.pg_stat_user_tables AS SELECT * FROM pg_stat_user_tables LIMIT 0;
CREATE TABLE fake.pg_settings AS SELECT * FROM pg_settings LIMIT 0;
CREATE TABLE fake.pg_locks AS SELECT * FROM pg_locks LIMIT 0;
CREATE TABLE fake.pg_database (datname name, datfrozenxid integer, datminmxid integer);
GRANT SELECT ON ALL TABLES IN SCHEMA fake TO observ_owner;
-- Ages, as numbers; settings and the start of the server, as this test wants them.
CREATE FUNCTION fake.age(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION fake.mxid_age(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION fake.current_setting(name text) RETURNS text LANGUAGE sql STABLE AS
	$$ SELECT CASE name WHEN 'max_connections' THEN '103' WHEN 'superuser_reserved_connections' THEN '3' WHEN 'archive_mode' THEN 'on' WHEN 'synchronous_standby_names' THEN 'any' ELSE 'on' END $$;
CREATE FUNCTION fake.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT rt.t(30) $$;
CREATE FUNCTION fake.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE sql STABLE AS $$ SELECT '10/0'::pg_lsn $$;
GRANT USAGE ON SCHEMA rt TO observ_owner;
UPDATE observ.alert_rules SET query = regexp_replace(regexp_replace(query, 'pg_catalog\.(pg_(stat_activity|stat_replication|replication_slots|stat_archiver|prepared_xacts|stat_database|stat_user_tables|settings|locks|database))\M', 'fake.\1', 'g'),
	'\m(age|mxid_age|current_setting|pg_postmaster_start_time|pg_current_wal_lsn)\(', 'fake.\1(', 'g') WHERE category = 'database' AND query IS NOT NULL;
-- One after the other, from minute 30 to 60 (or longer, where the rule waits for longer).
CREATE PROCEDURE fake.play(rule text, bad text, good text, stop numeric DEFAULT 60, step numeric DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
	CALL rt.begin(rule);
	CALL rt.run(0, 30 - step, step);
	EXECUTE bad;
	CALL rt.run(30, stop - step, step);
	EXECUTE good;
	CALL rt.run(stop, stop + 2 * step + 15, step);
END $$;
CREATE TABLE fake.stories AS SELECT * FROM rt.story();
\set play 'CALL fake.play'

:play('PgConnectionsHigh', $$INSERT INTO fake.pg_stat_activity (backend_type) SELECT 'client backend' FROM generate_series(1, 81)$$, 'DELETE FROM fake.pg_stat_activity');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgConnectionsCritical', $$INSERT INTO fake.pg_stat_activity (backend_type) SELECT 'client backend' FROM generate_series(1, 96)$$, 'DELETE FROM fake.pg_stat_activity');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgReplicationLag', $$INSERT INTO fake.pg_stat_replication (application_name, client_addr, state, sent_lsn, replay_lsn, replay_lag) VALUES ('standby1', '10.0.0.2', 'streaming', '2/0', '1/0', '40 s'), ('standby2', '10.0.0.3', 'streaming', '2/0', '2/0', '40 s')$$, 'DELETE FROM fake.pg_stat_replication');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgReplicationLagCritical', $$INSERT INTO fake.pg_stat_replication (application_name, client_addr, state, sent_lsn, replay_lsn, replay_lag) VALUES ('standby1', '10.0.0.2', 'streaming', '2/0', '1/0', '6 min')$$, 'DELETE FROM fake.pg_stat_replication');
INSERT INTO fake.stories SELECT * FROM rt.story();
INSERT INTO fake.pg_stat_replication (sync_state) VALUES ('sync');
:play('PgNoSyncReplica', $$UPDATE fake.pg_stat_replication SET sync_state = 'async'$$, $$UPDATE fake.pg_stat_replication SET sync_state = 'quorum'$$);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgSlotRetainsWal', $$INSERT INTO fake.pg_replication_slots (slot_name, restart_lsn) VALUES ('far', 'D/0'), ('near', 'F/0')$$, 'DELETE FROM fake.pg_replication_slots');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgSlotLost', $$INSERT INTO fake.pg_replication_slots (slot_name, wal_status) VALUES ('gone', 'lost'), ('fine', 'reserved')$$, 'DELETE FROM fake.pg_replication_slots');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgLongTransaction', $$INSERT INTO fake.pg_stat_activity (pid, datname, backend_type, xact_start) VALUES (-1, 'shop', 'client backend', rt.t(30)), (-2, 'mail', 'autovacuum worker', rt.t(0))$$, 'DELETE FROM fake.pg_stat_activity');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgVeryLongTransaction', $$INSERT INTO fake.pg_stat_activity (pid, datname, backend_type, xact_start) VALUES (-1, 'shop', 'client backend', rt.t(-60))$$, 'DELETE FROM fake.pg_stat_activity', 90);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgIdleInTransaction', $$INSERT INTO fake.pg_stat_activity (pid, datname, state, state_change) VALUES (-1, 'shop', 'idle in transaction', rt.t(30)), (-2, 'mail', 'idle', rt.t(0))$$, 'DELETE FROM fake.pg_stat_activity');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgBlocked', $$INSERT INTO fake.pg_locks (pid, granted, waitstart) SELECT -n, false, rt.t(30) FROM generate_series(1, 5) n$$, 'DELETE FROM fake.pg_locks');
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgXidHigh', $$INSERT INTO fake.pg_database VALUES ('shop', 1000000000, 1), ('mail', 200000000, 1)$$, 'DELETE FROM fake.pg_database', 60, 5);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgXidCritical', $$INSERT INTO fake.pg_database VALUES ('shop', 1700000000, 1)$$, 'DELETE FROM fake.pg_database', 60, 5);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgMultixactHigh', $$INSERT INTO fake.pg_database VALUES ('shop', 1, 1000000000)$$, 'DELETE FROM fake.pg_database', 60, 5);
INSERT INTO fake.stories SELECT * FROM rt.story();
INSERT INTO fake.pg_stat_archiver (failed_count, last_archived_time) VALUES (0, rt.t(0));
:play('PgArchiveFailing', $$UPDATE fake.pg_stat_archiver SET failed_count = 3, last_failed_time = rt.t(29)$$, $$UPDATE fake.pg_stat_archiver SET last_archived_time = rt.t(59)$$);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgPreparedTransactions', $$INSERT INTO fake.pg_prepared_xacts (database, prepared) VALUES ('shop', rt.t(-20)), ('mail', rt.t(25))$$, 'DELETE FROM fake.pg_prepared_xacts', 60, 5);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgChecksumFailures', $$INSERT INTO fake.pg_stat_database (datname, checksum_failures, checksum_last_failure) VALUES ('shop', 2, rt.t(30)), ('old', 2, rt.t(-2000)), ('mail', 0, NULL)$$, $$UPDATE fake.pg_stat_database SET checksum_failures = 0$$);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgDeadTuples', $$INSERT INTO fake.pg_stat_user_tables (schemaname, relname, n_live_tup, n_dead_tup, last_autovacuum) VALUES ('public', 'orders', 50000, 50000, NULL), ('public', 'fresh', 50000, 50000, rt.t(0)), ('public', 'small', 10, 90, NULL)$$, 'DELETE FROM fake.pg_stat_user_tables', 150, 15);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgInvalidIndex', 'CREATE TABLE fake.parted (n integer) PARTITION BY RANGE (n); CREATE TABLE fake.part PARTITION OF fake.parted DEFAULT; CREATE INDEX half ON ONLY fake.parted (n)', 'DROP TABLE fake.parted', 150, 15);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgRestarted', 'SELECT 1', 'SELECT 1', 50);
INSERT INTO fake.stories SELECT * FROM rt.story();
:play('PgRestartPending', $$INSERT INTO fake.pg_settings (name, pending_restart) VALUES ('shared_buffers', true), ('jit', false)$$, 'DELETE FROM fake.pg_settings', 1560, 30);
INSERT INTO fake.stories SELECT * FROM rt.story();

CALL rt.begin('PgDeadlocks', 'PgCrash', 'PgCheckpointsTooFrequent');
CALL rt.log('{30,31,32}', 3, '/var/log/postgresql/main.log', 'error', 'ERROR:  deadlock detected');
CALL rt.log('{30}', 1, '/var/log/postgresql/main.log', 'info', 'LOG:  server process (PID 12) was terminated by signal 9: Killed');
CALL rt.log('{30,31,32}', 1, '/var/log/postgresql/main.log', 'info', 'LOG:  checkpoints are occurring too frequently (9 seconds apart)');
CALL rt.run(0, 90);
INSERT INTO fake.stories SELECT * FROM rt.story();
SELECT * FROM fake.stories;

-- As they ship: nothing is wrong here (but that the server may have been started a moment ago), so none fires; none fails.
SELECT count(observ.restore_default_rule(name)) FROM observ.default_rules() WHERE category = 'database';
SELECT state, count(*) FROM observ.default_rules() WHERE category = 'database' GROUP BY 1;
UPDATE observ.alert_rules SET enabled = category = 'database' AND name <> 'PgRestarted';
TRUNCATE observ.alerts, observ.alert_history, observ_data.rule_state;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
SELECT status, failed, firing FROM observ.evaluate_alerts(now());
SELECT name, last_error FROM observ.rule_status WHERE last_error IS NOT NULL AND enabled;
SET client_min_messages = warning;
DROP SCHEMA fake CASCADE;
