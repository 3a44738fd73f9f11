-- The ingest protocol: a batch is applied once or not at all.
BEGIN;
SELECT accepted, last_seq, server_time IS NOT NULL AS server_time, accept_until - accept_from AS range, boost_until, backpressure_ms
FROM observ.begin_batch('agent-1', 1, now(), 'web-1', 'shop', '1.0', 10000);
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms)
SELECT * FROM unnest(ARRAY[now() - interval '10 s', now()], ARRAY['web-1', 'web-1'], ARRAY['shop', 'shop'], ARRAY[10, 20]::real[], ARRAY[10000, 10000])
ON CONFLICT DO NOTHING;
COMMIT;
SELECT count(*) FROM observ.vps_metrics WHERE app_name = 'shop';

-- The same number again: applied already.
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 1, now(), 'web-1', 'shop');
-- Rolled back: it never happened, and may come again.
BEGIN;
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 2, now(), 'web-1', 'shop');
ROLLBACK;
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 2, now(), 'web-1', 'shop');
-- Numbers may skip, not go back. 0 only asks.
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 10, now(), 'web-1', 'shop', clamped => 2, quarantined => 3, dropped => 4, duplicates => 5);
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 9, now(), 'web-1', 'shop');
SELECT accepted, last_seq FROM observ.begin_batch('agent-1', 0, now(), 'web-1', 'shop');
SELECT accepted, last_seq FROM observ.begin_batch('agent-new', 0, now(), 'web-1', 'shop');
SELECT agent_id, vps_name, app_name, version, interval_ms, last_seq, batches, duplicate_batches, clamped_rows, quarantined_rows, dropped_rows, duplicate_rows
FROM observ.collectors;

-- A clock that is far off shows.
SELECT accepted FROM observ.begin_batch('agent-skewed', 1, now() + interval '1 hour', 'web-2', 'shop');
SELECT clock_skew_ms BETWEEN 3590000 AND 3610000 AS about_an_hour FROM observ.collectors WHERE agent_id = 'agent-skewed';
SELECT accepted FROM observ.begin_batch('agent-skewed', 2, '1970-01-01', 'web-2', 'shop');
SELECT accepted FROM observ.begin_batch('agent-skewed', 3, 'infinity', 'web-2', 'shop');

-- Boost.
SELECT observ.enroll_vps('web-1');
SELECT observ.boost('web-1', '5 minutes') > now() AS boosted, observ.boost('no such vps') AS unknown;
SELECT boost_until > now() AS boosted FROM observ.begin_batch('agent-1', 0, now(), 'web-1', 'shop');

-- What can't be.
SELECT observ.begin_batch(NULL, 1, now());
SELECT observ.begin_batch('agent-1', NULL, now());
SELECT observ.begin_batch('agent-1', 1, NULL);
SELECT observ.begin_batch('agent-1', -1, now());
SELECT observ.begin_batch('agent-1', 1152921504606846977, now());
SELECT observ.begin_batch('', 1, now());
SELECT observ.enroll_vps(NULL);
SELECT observ.enroll_vps('');
\set VERBOSITY terse
SELECT observ.enroll_vps('web-3', labels => '[1]');
SELECT observ.enroll_vps('web-3', expected_interval => '-1 s');
\set VERBOSITY default

-- Written twice by natural key is one row; a hand-written INSERT works.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES (now(), 'by-hand', 1), (now(), 'by-hand', 2) ON CONFLICT DO NOTHING;
SELECT cpu_percent, app_name, id > 0 AS id, received_at IS NOT NULL AS received FROM observ.vps_metrics WHERE vps_name = 'by-hand';

-- An agent's role: its own VPS, append only.
SELECT observ.enroll_vps('web-1', 'observ_regress_agent');
SELECT observ.enroll_vps('web-1', 'observ_regress_agent', '{"env":"prod"}');
SELECT vps_name, agent_role, labels, status FROM observ.vps WHERE agent_role IS NOT NULL;
SELECT rolcanlogin, rolconnlimit, rolconfig FROM pg_roles WHERE rolname = 'observ_regress_agent';
SET ROLE observ_regress_agent;
SELECT accepted FROM observ.begin_batch('agent-role', 1, now(), 'web-1', 'shop');
INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent, "timestamp") VALUES ('web-1', 'shop', 1, now() - interval '1 min') ON CONFLICT DO NOTHING;
INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('web-2', 1);
INSERT INTO observ.quarantine (vps_name, reason, "row") VALUES ('web-1', 'test', '{}');
INSERT INTO observ.quarantine (vps_name, reason, "row") VALUES ('web-2', 'test', '{}');
INSERT INTO observ.vps_metrics (vps_name, received_at) VALUES ('web-1', now());
SELECT accepted FROM observ.begin_batch('agent-role', 2, now(), 'web-2', 'shop');
SELECT accepted FROM observ.begin_batch('agent-skewed', 9, now(), 'web-1', 'shop');
SELECT accepted FROM observ.begin_batch('agent-role', 2, now());
SELECT * FROM observ.vps_metrics;
SELECT * FROM observ.vps;
SELECT observ.pause();
SELECT observ.fleet_summary();
RESET ROLE;
-- Retired: no more rows.
UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'web-1';
SET ROLE observ_regress_agent;
SELECT accepted FROM observ.begin_batch('agent-role', 2, now(), 'web-1', 'shop');
INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('web-1', 1);
RESET ROLE;
DROP ROLE observ_regress_agent;
-- Plans that a session keeps follow the tables, there and back.
SELECT accepted FROM observ.begin_batch('agent-plan', 1, now());
BEGIN;
DROP INDEX observ.vps_agent_role_idx;
ALTER TABLE observ.collectors ALTER COLUMN version TYPE varchar, ADD COLUMN note text DEFAULT 'new';
ALTER TABLE observ.vps ADD COLUMN note text;
SELECT accepted, last_seq FROM observ.begin_batch('agent-plan', 2, now(), 'web-1', version => '2');
SELECT accepted, last_seq FROM observ.begin_batch('agent-plan', 2, now(), 'web-1', version => '2');
SELECT last_seq, version, duplicate_batches, note FROM observ.collectors WHERE agent_id = 'agent-plan';
ROLLBACK;
SELECT accepted, last_seq FROM observ.begin_batch('agent-plan', 2, now(), 'web-1', version => '3');
SELECT last_seq, version, duplicate_batches FROM observ.collectors WHERE agent_id = 'agent-plan';
TRUNCATE observ.vps, observ.collectors, observ.quarantine, observ.vps_metrics;
