-- Default rules about observ itself and its agents: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
-- The watchdog never ends; not by itself.
CALL rt.begin('Watchdog');
CALL rt.run(0, 600, 60);
SELECT * FROM rt.story();

-- Evaluated every 15 seconds, not at all for ten minutes (somebody restarts the server, who needs no call), then every 90 seconds, and each time twice.
CALL rt.begin('EvaluatorLagging');
CALL rt.run(0, 5, 0.25);
CALL rt.run(15, 20, 0.25);
SELECT * FROM rt.story();
DO $$ BEGIN FOR n IN 1 .. 8 LOOP PERFORM observ.evaluate_alerts(rt.t(20 + n * 1.5)); PERFORM observ.evaluate_alerts(rt.t(20 + n * 1.5)); END LOOP; END $$;
CALL rt.run(32.25, 40, 0.25);
SELECT * FROM rt.story();

-- A rule of ours that can't be evaluated for a while; one with more alerts than it may have; one that finds nothing.
CREATE TABLE rt.divisor (d integer);
INSERT INTO rt.divisor VALUES (1);
GRANT USAGE ON SCHEMA rt TO observ_owner;
GRANT SELECT ON rt.divisor TO observ_owner;
INSERT INTO observ.alert_rules (name, query) VALUES ('divides', 'SELECT ''{}''::jsonb AS labels, (1 / d)::float8 AS value, false AS breach FROM rt.divisor');
CALL rt.begin('RuleEvalError', 'divides');
CALL rt.run(0, 2);
UPDATE rt.divisor SET d = 0;
CALL rt.run(3, 8, tolerant => true);
UPDATE rt.divisor SET d = 1;
CALL rt.run(9, 12);
SELECT * FROM rt.story();
INSERT INTO observ.alert_rules (name, query) VALUES ('many', 'SELECT jsonb_build_object(''n'', n::text) AS labels, n::float8 AS value, true AS breach FROM rt.divisor, generate_series(1, d) n');
CALL rt.begin('TooManyAlerts', 'many');
SET observ.max_alerts_per_rule = 3;
UPDATE rt.divisor SET d = 5;
CALL rt.run(0, 10);
UPDATE rt.divisor SET d = 2;
CALL rt.run(11, 30);
RESET observ.max_alerts_per_rule;
SELECT * FROM rt.story() WHERE rule = 'TooManyAlerts';
INSERT INTO observ.alert_rules (name, metric_name, threshold, selector) VALUES ('nobody', 'cpu_percent', 90, '{vps_name="webb-1"}');
CALL rt.begin('RuleMatchesNothing', 'nobody');
CALL rt.run(0, 60, 60);
CALL rt.metric('cpu_percent', '{60}', '{1}', 300, 'webb-1');
CALL rt.run(61, 300);
SELECT * FROM rt.story();
DELETE FROM observ.alert_rules WHERE shipped_as IS NULL;

-- A job that fails: what the view would say is put into a table of its shape.
CREATE TABLE rt.job_status AS SELECT * FROM observ.job_status LIMIT 0;
GRANT SELECT ON rt.job_status TO observ_owner;
UPDATE observ.alert_rules SET query = replace(query, 'observ.job_status', 'rt.job_status') WHERE name = 'JobFailing';
CALL rt.begin('JobFailing');
INSERT INTO rt.job_status (job_name, state) VALUES ('roll_up', 'failing'), ('expire_series', 'ok');
CALL rt.run(0, 10);
UPDATE rt.job_status SET state = 'ok';
CALL rt.run(11, 15);
SELECT * FROM rt.story();
SELECT observ.restore_default_rule('JobFailing') > 0 AS restored;

CALL rt.begin('IngestStopped');
INSERT INTO observ.vps (vps_name) VALUES ('v1'), ('v2');
INSERT INTO observ.fleet_summary (vps_name, app_name, last_seen, "timestamp", expected_ms) VALUES ('v1', '', rt.t(0), rt.t(0), 30000), ('v2', '', rt.t(0), rt.t(1), 60000);
CALL rt.run(0, 10, 0.5);
UPDATE observ.fleet_summary SET "timestamp" = rt.t(20) WHERE vps_name = 'v1';
CALL rt.run(10.5, 20, 0.5);
SELECT * FROM rt.story();

-- The outbox: one that is given up, one that is tried again and again; others that wait, of a channel that is switched off or has no kind, too.
CALL rt.begin('NotificationFailing', 'OutboxBacklog');
INSERT INTO observ.notification_channels (name, enabled, kind, config) VALUES ('mail', true, 'ntfy', '{"topic": "t"}'), ('off', false, 'ntfy', '{"topic": "t"}'), ('nowhere', true, NULL, '{}');
INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, status, finished_at, attempts)
	SELECT rt.t(t), channel, 'g', n, 'i', 'k' || n, 'first notification', 'firing', 'high', 'title', '{}', '[]', 1, 0, status, rt.t(finished), (status <> 'queued')::integer
	FROM (VALUES (1, 0, 'mail', 'dead', 30), (2, 20, 'pager', 'retry', NULL), (3, 40, 'mail', 'queued', NULL), (4, 40, 'off', 'queued', NULL), (5, 50, 'mail', 'sent', 51), (6, 40, 'nowhere', 'queued', NULL)) x (n, t, channel, status, finished);
UPDATE observ.notifications SET attempts = 1 WHERE status <> 'queued';
INSERT INTO observ_data.deliveries (channel, group_key, seq, notification_id, emergency, lane, due_at, made_at, failures)
	SELECT channel, group_key, seq, notification_id, false, 1, "timestamp", "timestamp", (status = 'retry')::integer FROM observ.notifications WHERE status IN ('retry', 'queued');
CALL rt.run(0, 60);
DELETE FROM observ_data.deliveries;
CALL rt.run(61, 120);
-- Three failures in a row are enough; what waits because the channel is left alone is no backlog.
INSERT INTO observ_data.channel_state (channel, failures, blocked_until) VALUES ('mail', 3, rt.t(130));
INSERT INTO observ_data.deliveries (channel, group_key, seq, notification_id, emergency, lane, due_at, made_at, failures)
	SELECT 'mail', 'g', n, n, false, 1, rt.t(121), rt.t(121), failures FROM (VALUES (11, 3), (12, 0)) x (n, failures);
CALL rt.run(121, 135);
DELETE FROM observ_data.deliveries;
CALL rt.run(136, 150);
SELECT * FROM rt.story();
DELETE FROM observ.notification_channels WHERE name IN ('mail', 'off', 'nowhere');
DELETE FROM observ_data.channel_state;

-- A silence over something critical. What dispatch would have noted is noted by hand.
INSERT INTO observ.alert_rules (name, query, severity) VALUES ('hot', 'SELECT ''{"vps_name": "web-1"}''::jsonb AS labels, 1::float8 AS value, true AS breach', 'critical');
CALL rt.begin('SilenceHidesCritical', 'SilenceEndsSoon', 'hot');
CALL rt.run(0, 5);
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{vps_name="web-1"}', rt.t(0), rt.t(360), 'work');
INSERT INTO observ.notification_decisions ("timestamp", last_at, group_key, channel, decision, reason, firing, resolved, suppressed)
	SELECT rt.t(5), rt.t(240), 'g', 'default', 'suppressed', 'silence', 1, 0, jsonb_build_object(a.alert_id::text, jsonb_build_object('by', 'silence', 'id', s.silence_id))
	FROM observ.alerts a, observ.silences s WHERE a.severity = 'critical';
CALL rt.run(10, 400, 5);
SELECT rule, pending, fired, resolved, severity, regexp_replace(summary, '\d+', 'N') AS summary FROM rt.story() WHERE rule <> 'hot';
DELETE FROM observ.alert_rules WHERE name = 'hot';

-- Partitions of 2026 and of May should be long gone.
CALL rt.begin('RetentionBehind');
CALL rt.run(0, 120, 60);
UPDATE observ.retention_policies SET enabled = false;
CALL rt.run(180, 240, 60);
SELECT rule, about, pending, fired, resolved, severity FROM rt.story() WHERE about = 'vps_metrics';
UPDATE observ.retention_policies SET enabled = true;

CALL rt.begin('RowsQuarantined', 'SeriesRefused');
INSERT INTO observ.quarantine (received_at, vps_name, table_name, reason) VALUES (rt.t(30), 'web-1', 'vps_metrics', 'too old');
INSERT INTO observ.metric_usage (vps_name, series, rejected, last_rejected_at) VALUES ('web-1', 10000, 3, rt.t(30)), ('web-2', 10, 0, NULL);
CALL rt.run(0, 90);
SELECT * FROM rt.story();

-- Agents about themselves: values that don't change are sent every ten minutes.
CALL rt.begin('AgentLosesData', 'AgentSpoolGrows', 'LogLinesLost', 'LogFilesUnreadable', 'AgentHelperStuck');
CALL rt.sample('observ_agent_rows_dropped_total', '{"reason": "metrics"}', '{0,31}', '{0,50}', 180, 10, 'counter');
CALL rt.sample('observ_agent_spool_records', '{}', '{0,30,90}', '{3,5000,10}', 180);
CALL rt.sample('observ_agent_log_lost_bytes_total', '{}', '{0,31}', '{4096,8192}', 180, 10, 'counter');
CALL rt.sample('observ_agent_log_file_problems', '{}', '{0,30,90}', '{0,2,0}', 180, 10);
CALL rt.sample('observ_agent_stuck_helpers', '{}', '{0,30,90}', '{0,1,0}', 180, 10);
CALL rt.run(0, 180);
SELECT * FROM rt.story();
