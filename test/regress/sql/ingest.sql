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
SELECT observ.begin_batch('agent-1', 4611686018427387905, now());
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

-- A small batch in one statement. Names and labels of a scrape are sent once; then it is a shape and values, with nothing for what it doesn't have.
BEGIN;
CREATE FUNCTION pg_temp.put(seq bigint, VARIADIC "rows" text[]) RETURNS text LANGUAGE sql AS $$
	SELECT r[1:2]::text || ' ' || r[7:]::text
	FROM observ._put('agent-put', seq, (extract(epoch FROM now()) * 1000000)::bigint, 'put-1', 'shop', '1.0', 60000, NULL, "rows") r
$$;
SELECT pg_temp.put(1, '{4,1000,77,"1;2"}') IS NULL AS unknown_shape;
SELECT pg_temp.put(1, '{4,1000,77,"1;2;3.5","{a,b,c}","{\"{}\",\"{\\\"x\\\": \\\"y\\\"}\",\"{}\"}","{NULL,counter,NULL}"}', '{1,2000,12.5,NULL,3}', '{1,3000,NULL}',
	'{2,0,"http://a",200,1.5,t}', '{6,0,[],"{10.0.0.1}"}', '{4,2000,77,"0;1;2","{a,b,c}","{\"{}\",\"{\\\"x\\\": \\\"y\\\"}\",\"{}\"}","{NULL,counter,NULL}"}');
SELECT pg_temp.put(2, '{4,500,77,";NaN"}', '{4,600,77,"5;;6"}');
-- The same again: a number that was used, and rows that are there.
SELECT pg_temp.put(2, '{4,500,77,"7"}');
SELECT pg_temp.put(3, '{1,2000,13}', '{4,1000,77,"9;9"}', '{2,0,"http://a",500,1.5,f}');
SELECT now() - "timestamp" AS ago, metric_name, labels, value FROM observ.metric_samples WHERE vps_name = 'put-1' ORDER BY 2, 1;
SELECT metric_name, kind FROM observ.metric_series WHERE vps_name = 'put-1' ORDER BY 1;
SELECT now() - "timestamp" AS ago, cpu_percent, cpu_steal_percent FROM observ.vps_metrics WHERE vps_name = 'put-1' ORDER BY 1;
SELECT now() - "timestamp" AS ago, url, status_code, response_time_ms, success FROM observ.health_checks WHERE vps_name = 'put-1';
-- Nothing is done: a time in the future, a shape that is known for another application only, a row that can't be.
SELECT pg_temp.put(4, '{1,-3600000000,13}') IS NULL AS in_future;
SELECT observ._put('agent-put', 4, 0, 'put-1', 'other', '1.0', 60000, NULL, ARRAY['{4,0,77,1}']) IS NULL AS of_another;
\set VERBOSITY terse
SAVEPOINT before;
SELECT pg_temp.put(4, '{1,1000,13}', '{4,0,78,1,"{a}","{[}",NULL}');
ROLLBACK TO before;
\set VERBOSITY default
SELECT last_seq, batches, duplicate_batches FROM observ.collectors WHERE agent_id = 'agent-put';
-- Of each VPS and application the shapes used last are kept; one that is used is used last, to a day.
UPDATE observ.sample_shapes SET last_used = now() - interval '2 days' WHERE vps_name = 'put-1';
SELECT pg_temp.put(4, '{4,100,77,1}');
SELECT last_used > now() - interval '1 minute' AS noted FROM observ.sample_shapes WHERE vps_name = 'put-1';
UPDATE observ.sample_shapes SET last_used = now() - interval '1 hour' WHERE vps_name = 'put-1';
SELECT observ._keep_shapes('put-1', 'shop', array_agg(1000 + n), array_agg('{a}'::text), array_agg('{"{}"}'::text), array_agg(NULL::text)) FROM generate_series(1, 63) n;
SELECT count(*), count(*) FILTER (WHERE shape = 77) AS first FROM observ.sample_shapes WHERE vps_name = 'put-1';
SELECT observ._keep_shapes('put-1', 'shop', ARRAY[5000, 5000], ARRAY['{a}', '{b}'], ARRAY['{"{}"}', '{"{}"}'], ARRAY[NULL, NULL]);
SELECT count(*), count(*) FILTER (WHERE shape = 77) AS first FROM observ.sample_shapes WHERE vps_name = 'put-1';
SELECT observ.forget('put-1', 'shop') >= 0 AS forgotten, (SELECT count(*) FROM observ.sample_shapes) AS shapes_before;
SELECT count(*) FROM observ.sample_shapes;
ROLLBACK;

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
