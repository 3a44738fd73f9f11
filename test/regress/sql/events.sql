-- Events, agents, peers, topology, trends; in virtual time.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT status FROM observ.maintain_partitions('2033-05-01 12:00+00');
\set VERBOSITY default

-- ---- record_event: several of one kind at one time are all kept, in order, each some microseconds later.
SELECT count(observ.record_event('deployed', 'web-1', 'shop', message => 'v1.' || n, at => '2033-05-01 10:00+00')) FROM generate_series(1, 3) n;
SELECT "timestamp", vps_name, app_name, kind, message, success, duration_ms, data FROM observ.events ORDER BY "timestamp";
-- The common case: many with now() in one transaction.
BEGIN;
SELECT count(observ.record_event('message_processed', 'web-1', 'shop', success => true, duration_ms => n)) FROM generate_series(1, 3000) n;
SELECT count(*), count(DISTINCT "timestamp"), max("timestamp") - now() AS spread FROM observ.events WHERE kind = 'message_processed';
ROLLBACK;
-- Another kind, application or VPS does not move it; NULL and nothing are the same name.
SELECT observ.record_event('rebooted', 'web-1', 'shop', at => '2033-05-01 10:00+00') IS NOT NULL AS recorded;
SELECT observ.record_event('deployed', NULL, NULL, at => '2033-05-01 10:00+00') IS NOT NULL AS recorded;
SELECT observ.record_event('anything at all', at => '2033-05-01 10:00+00') IS NOT NULL AS recorded;
SELECT "timestamp", vps_name, app_name, kind FROM observ.events WHERE kind <> 'deployed' OR vps_name = '' ORDER BY kind;
-- What is refused.
SELECT observ.record_event(NULL);
SELECT observ.record_event('');
SELECT observ.record_event(repeat('x', 101));
SELECT observ.record_event('x', duration_ms => -1);
SELECT observ.record_event('x', duration_ms => 'NaN');
SELECT observ.record_event('x', duration_ms => 'infinity');
SELECT observ.record_event('x', message => repeat('x', 65537));
SELECT observ.record_event('x', at => 'infinity');
SELECT observ.record_event('x', at => '1999-01-01 00:00+00');
SELECT observ.pause();
SELECT observ.record_event('x');
SELECT observ.record_peers('web-1', '', '[]');
SELECT status FROM observ.resume();
SELECT count(*) FROM observ.events WHERE kind = 'x';
TRUNCATE observ.events;

-- ---- who may: agents their own VPSs, writers all, readers none.
CREATE ROLE observ_regress_agent2 IN ROLE observ_agent;
CREATE ROLE observ_regress_reader2 IN ROLE observ_reader;
CREATE ROLE observ_regress_writer2 IN ROLE observ_writer;
INSERT INTO observ.vps (vps_name, agent_role) VALUES ('web-1', 'observ_regress_agent2'), ('web-2', NULL);
SET ROLE observ_regress_agent2;
SELECT observ.record_event('deployed', 'web-1') IS NOT NULL AS recorded;
SELECT observ.record_event('deployed', 'web-2');
SELECT observ.record_event('deployed');
SELECT stored FROM observ.record_peers('web-1', '', '[{"address": "10.0.0.9", "port": 80, "direction": "outbound"}]');
SELECT observ.record_peers('web-2', '', '[]');
SELECT * FROM observ.peers;
SELECT * FROM observ.agent_overview();
-- A clock that is ahead must not keep an agent's word new for ever.
SELECT observ.record_event('ahead', 'web-1', at => now() + interval '3 days') IS NOT NULL AS recorded;
SELECT stored FROM observ.record_peers('web-1', '', '[{"address": "10.0.0.8", "port": 80, "direction": "outbound"}]', now() + interval '3 days');
SET ROLE observ_regress_reader2;
SELECT observ.record_event('deployed', 'web-1');
SELECT observ.record_peers('web-1', '', '[]');
SELECT kind, "timestamp" <= now() AS not_ahead FROM observ.events ORDER BY kind;
SELECT address, last_seen <= now() AS not_ahead FROM observ.peers ORDER BY address;
SELECT count(*) > 0 AS answers FROM observ.topology();
SELECT observ.use_pg_cron();
SET ROLE observ_regress_writer2;
SELECT observ.record_event('deployed', 'web-2') IS NOT NULL AS recorded;
RESET ROLE;
DROP ROLE observ_regress_agent2, observ_regress_reader2, observ_regress_writer2;
TRUNCATE observ.events, observ.peers, observ.vps;

-- ---- agents: lifecycle from events, activity from timings.
SELECT observ.agent_overview('2033-05-01 12:00+00');
SELECT count(*) FROM (
	SELECT observ.record_event('created', 'web-1', 'mesh', data => '{"agent_id": "a-busy", "agent_type": "customer_support"}', at => '2033-04-29 08:00+00')
	UNION ALL SELECT observ.record_event('deployed', 'web-1', 'mesh', success => true, data => '{"agent_id": "a-busy"}', at => '2033-04-29 08:01+00')
	UNION ALL SELECT observ.record_event('scaled', 'web-1', 'mesh', data => '{"agent_id": "a-busy", "replicas": 3}', at => '2033-04-29 09:00+00')
	UNION ALL SELECT observ.record_event('created', 'web-1', 'mesh', data => '{"agent_id": "b-idle"}', at => '2033-04-29 08:00+00')
	UNION ALL SELECT observ.record_event('agent_created', 'web-1', 'mesh', data => '{"agent_id": "c-gone"}', at => '2033-05-01 11:00+00')
	UNION ALL SELECT observ.record_event('agent_terminated', 'web-1', 'mesh', data => '{"agent_id": "c-gone", "reason": "user_request"}', at => '2033-05-01 11:30+00')
	UNION ALL SELECT observ.record_event('terminated', 'web-1', 'mesh', data => '{"agent_id": "d-long-gone"}', at => '2033-04-28 11:30+00')
	UNION ALL SELECT observ.record_event('terminated', 'web-1', 'mesh', data => '{"agent_id": "e-back"}', at => '2033-05-01 11:00+00')
	UNION ALL SELECT observ.record_event('message_processed', 'web-1', 'mesh', success => true, duration_ms => 10, data => '{"agent_id": "e-back"}', at => '2033-05-01 11:59+00')
	UNION ALL SELECT observ.record_event('deployed', 'web-1', 'shop', data => '{"version": "2.0"}', at => '2033-05-01 11:59+00')
	UNION ALL SELECT observ.record_event('message_processed', 'web-2', 'mesh', success => true, duration_ms => 1, data => '{"agent_id": "f-earlier"}', at => '2033-05-01 02:00+00')
	UNION ALL SELECT observ.record_event('message_processed', 'web-1', 'mesh', success => n > 1, duration_ms => n * 100,
		data => '{"agent_id": "a-busy", "message_type": "user_query"}', at => '2033-05-01 11:40+00') FROM generate_series(1, 4) n
	UNION ALL SELECT observ.record_event('workflow_executed', 'web-1', 'mesh', success => true, duration_ms => 2300,
		data => '{"agent_id": "a-busy", "workflow_id": "w-456"}', at => '2033-05-01 11:50+00')) recorded;
INSERT INTO observ.collectors (agent_id, vps_name, app_name, interval_ms, last_seen, first_seen) VALUES
	('agent-1', 'web-1', 'shop', 10000, '2033-05-01 11:59:40+00', '2033-04-01'), ('agent-2', 'web-2', 'shop', 10000, '2033-05-01 11:59:20+00', '2033-04-01'),
	('agent-3', 'web-3', NULL, NULL, '2033-05-01 11:58+00', '2033-04-01');
\x on
SELECT * FROM observ.agents('2033-05-01 12:00+00') WHERE agent_id IN ('a-busy', 'agent-1');
\x off
SELECT agent_id, type, vps_name, state, lifecycle, last_seen, events, failures, success_rate, response_time_ms FROM observ.agents('2033-05-01 12:00+00');
SELECT * FROM observ.agent_overview('2033-05-01 12:00+00');
-- Earlier: nobody was terminated yet, a-busy had only been deployed.
SELECT agent_id, state, lifecycle, replicas FROM observ.agents('2033-04-29 08:30+00') WHERE type = 'application';
-- A day later all is quiet; NULL where nothing was measured, never 0.
SELECT active, inactive, terminated, events, success_rate, response_time_ms FROM observ.agent_overview('2033-05-02 11:00+00');
TRUNCATE observ.events, observ.collectors;

-- ---- peers: bad entries are counted, good ones beside them stored.
SELECT * FROM observ.record_peers('web-1', 'shop', '[
	{"address": "10.0.0.2", "port": 5432, "direction": "outbound", "connections": 7},
	{"address": "10.0.0.2", "port": 5432, "direction": "outbound", "connections": 2},
	{"address": "::ffff:203.0.113.7", "port": 443, "direction": "inbound", "protocol": "tcp"},
	{"address": "fe80::1%eth0", "port": 53, "direction": "outbound", "protocol": "udp", "connections": null},
	{"address": "127.0.0.1", "port": 6379, "direction": "outbound"},
	{"address": "localhost", "port": 1, "direction": "outbound"}, {"address": "10.0.0.2/24", "port": 1, "direction": "outbound"},
	{"address": "10.0.0.2", "port": 65536, "direction": "outbound"}, {"address": "10.0.0.2", "port": "80", "direction": "outbound"},
	{"address": "10.0.0.2", "direction": "outbound"}, {"address": "10.0.0.2", "port": 1, "direction": "sideways"},
	{"address": "10.0.0.2", "port": 1, "direction": "outbound", "protocol": "TCP; DROP"},
	{"address": "10.0.0.2", "port": 1, "direction": "outbound", "connections": -1}, {"address": "10.0.0.2", "port": 1.5, "direction": "outbound"},
	1, null, [], {}]', '2033-05-01 11:00+00', ARRAY['10.0.0.1', 'fe80::2', '127.0.0.1', 'nonsense', NULL]);
SELECT * FROM observ.record_peers('db-1', 'pg', '[{"address": "10.0.0.1", "port": 5432, "direction": "inbound", "connections": 9}]', '2033-05-01 11:30+00', ARRAY['10.0.0.2', '172.17.0.1']);
SELECT vps_name, app_name, direction, protocol, address, port, connections, first_seen, last_seen FROM observ.peers ORDER BY 1, 2, 3, 4, 5;
SELECT vps_name, address, source FROM observ.vps_addresses ORDER BY 1, 2;
-- Seen again: the latest count, first and last seen; a report that comes late changes neither count nor last_seen.
SELECT stored FROM observ.record_peers('web-1', 'shop', '[{"address": "10.0.0.2", "port": 5432, "direction": "outbound", "connections": 4}]', '2033-05-01 11:45+00');
SELECT stored FROM observ.record_peers('web-1', 'shop', '[{"address": "10.0.0.2", "port": 5432, "direction": "outbound", "connections": 99}]', '2033-05-01 11:10+00');
SELECT connections, first_seen, last_seen FROM observ.peers WHERE vps_name = 'web-1' AND port = 5432;
SELECT observ.record_peers('web-1', '', '{}');
SELECT observ.record_peers('web-1', '', 'null');
SELECT observ.record_peers('', '', '[]');
SELECT observ.record_peers(NULL, '', '[]');
SELECT observ.record_peers('web-1', '', '[]', 'infinity');

-- ---- topology: what both ends report is one edge; who is nobody's address is an external node; NULL what is not known.
INSERT INTO observ.vps (vps_name, labels) VALUES ('web-1', '{"env": "prod"}'), ('quiet', '{}');
SELECT kind, id, source, target, label, data FROM observ.topology('2033-05-01 11:50+00');
-- As one document.
SELECT jsonb_object_agg(k, jsonb_array_length(v)) FROM (SELECT kind || 's', jsonb_agg(to_jsonb(t)) FROM observ.topology('2033-05-01 11:50+00') t GROUP BY 1) x (k, v);
-- Stale peers age out.
SELECT kind, id FROM observ.topology('2033-05-01 12:15+00') WHERE kind = 'edge';
SELECT kind, id FROM observ.topology('2033-05-01 14:00+00');
SELECT count(*) FROM observ.topology('2033-05-01 14:00+00', '1 day') WHERE kind = 'edge';
-- An address that two claim is nobody's, unless a person says whose it is.
SELECT stored FROM observ.record_peers('liar', '', '[]', '2033-05-01 11:50+00', ARRAY['10.0.0.2']);
SELECT id, data ->> 'claimed_by' AS claimed_by FROM observ.topology('2033-05-01 12:00+00') WHERE id = 'address:10.0.0.2';
INSERT INTO observ.vps_addresses (vps_name, address) VALUES ('db-1', '10.0.0.2') ON CONFLICT (vps_name, address) DO UPDATE SET source = 'registered';
SELECT id FROM observ.topology('2033-05-01 12:00+00') WHERE kind = 'edge' AND target = 'vps:db-1';
-- The next report of addresses replaces what was reported, not what was registered.
SELECT stored FROM observ.record_peers('db-1', 'pg', '[]', '2033-05-01 11:55+00', ARRAY['10.0.0.3']);
SELECT address, source FROM observ.vps_addresses WHERE vps_name = 'db-1' ORDER BY 1;
-- Many externals: the busiest are nodes, the rest is one.
SELECT stored, rejected, removed FROM observ.record_peers('web-1', 'shop', (SELECT jsonb_agg(jsonb_build_object('address', '198.51.' || n / 200 || '.' || n % 200, 'port', 443,
	'direction', 'inbound', 'connections', 1000 - n)) FROM generate_series(1, 1005) n), '2033-05-01 11:59+00');
SELECT count(*) FROM observ.peers WHERE vps_name = 'web-1';
SELECT id, label, data -> 'connections' AS connections FROM observ.topology('2033-05-01 12:00+00', external_nodes => 2)
	WHERE id LIKE 'address:%' OR source LIKE 'address:%' ORDER BY kind DESC, id;
-- None is kept for more than 7 days unseen.
SELECT * FROM observ.record_peers('web-1', 'shop', '[]', '2033-05-09 12:00+00');
SELECT count(*) FROM observ.peers WHERE vps_name = 'web-1';
SELECT observ.forget('db-1');
SELECT vps_name FROM observ.peers UNION ALL SELECT vps_name || ' ' || source FROM observ.vps_addresses ORDER BY 1;
TRUNCATE observ.peers, observ.vps_addresses, observ.vps;

-- ---- trends: the period beside the one before it.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent)
SELECT '2033-04-29 12:00+00'::timestamptz + n * interval '1 hour', 'web-1', 'shop', CASE WHEN n <= 24 THEN 10 ELSE 20 END, 50, n FROM generate_series(1, 48) n;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2033-05-01 11:00+00', 'new-1', 5), ('2033-05-01 11:30+00', 'new-1', 'NaN');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2033-04-30 11:00+00', 'old-1', 5), ('2033-04-29 11:00+00', 'old-1', 99);
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, response_time_ms, inconclusive)
SELECT '2033-04-29 12:00+00'::timestamptz + n * interval '1 hour', 'web-1', 'shop', 'http://a/', n <> 48, CASE WHEN n <= 24 THEN 100 ELSE 50 END, false FROM generate_series(1, 48) n
UNION ALL SELECT '2033-05-01 11:30+00', 'web-1', 'shop', 'http://a/', false, 99999, true;
SELECT count(observ.record_event('message_processed', 'web-1', 'mesh', success => n % 2 = 0, duration_ms => n, at => '2033-04-29 12:00+00'::timestamptz + n * interval '30 min')) FROM generate_series(1, 96) n;
SELECT count(observ.record_event('deployed', 'web-1', 'shop', at => '2033-05-01 11:00+00'));
SELECT vps_name, app_name, metric, round(current_value::numeric, 2) AS current, round(previous_value::numeric, 2) AS previous, round(change::numeric, 2) AS change,
	round(change_percent::numeric, 1) AS "%", round(slope_per_hour::numeric, 3) AS slope, direction, current_samples AS n, previous_samples AS n_before
FROM observ.performance_trends('2033-05-01 12:00+00');
SELECT metric, current_value, previous_value, direction FROM observ.performance_trends('2033-05-01 12:00+00', '12 hours', 'web-1', 'shop', ARRAY['cpu_percent', 'health_check_p95_ms', 'no_such_metric']);
SELECT * FROM observ.performance_trends('2033-05-20 12:00+00');
SELECT * FROM observ.performance_trends('2033-05-01 12:00+00', vps => 'nobody');

-- ---- events over charts: the few that are marks, by their own index, whatever number of timings lies between.
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT "timestamp", kind, message FROM observ.events
WHERE vps_name = 'web-1' AND "timestamp" >= '2033-05-01 00:00+00' AND "timestamp" < '2033-05-01 12:00+00'
	AND kind <> ALL (ARRAY['message_processed', 'workflow_executed']) ORDER BY "timestamp";
RESET enable_seqscan;
SELECT "timestamp", kind FROM observ.events
WHERE vps_name = 'web-1' AND "timestamp" >= '2033-05-01 00:00+00' AND "timestamp" < '2033-05-01 12:00+00'
	AND kind <> ALL (ARRAY['message_processed', 'workflow_executed']) ORDER BY "timestamp";

-- ---- pg_cron is not here: said, with what to do; what the scheduler runs stays its own.
\set VERBOSITY default
SELECT * FROM observ.use_pg_cron();
SELECT * FROM observ.use_bgworker();
-- What somebody plants under pg_cron's names is not read.
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint, schedule text, command text, nodename text, nodeport integer, database text, username text, active boolean, jobname name);
INSERT INTO cron.job VALUES (1, '* * * * *', '', '', 1, current_database(), current_user, true, 'observ.maintain_partitions');
SELECT job_name FROM observ.job_status WHERE runner <> 'observ';
DROP TABLE cron.job;
DROP SCHEMA cron;
TRUNCATE observ.events, observ.vps_metrics, observ.health_checks;
