-- observ.backtest_rule(): what a rule would have done. In virtual time; nothing of it stays.
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL client_min_messages = warning;
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
SELECT status FROM observ.maintain_partitions('2033-07-01 12:00+00');
-- A row a minute from 12:00 to 14:00: bk-1 is busy from 12:10 to 12:29, from 12:35 to 12:36 and from 13:30 on, bk-2 from 12:20 to 12:22.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms)
	SELECT '2033-07-01 12:00+00'::timestamptz + make_interval(mins => m), v, 'shop', CASE WHEN v = 'bk-1' AND (m BETWEEN 10 AND 29 OR m BETWEEN 35 AND 36 OR m >= 90) OR v = 'bk-2' AND m BETWEEN 20 AND 22 THEN 90 + m / 10.0 ELSE 10 END, 60000
	FROM generate_series(0, 120) m, unnest('{bk-1,bk-2}'::text[]) v;
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message) SELECT '2033-07-01 12:00+00'::timestamptz + make_interval(secs => s), 'bk-1', 'shop', 'error', 'no ' || s FROM generate_series(1800, 2400, 30) s;
INSERT INTO observ.vps (vps_name, labels) VALUES ('bk-1', '{"env":"prod"}');
SELECT status FROM observ.refresh_fleet_summary('2033-07-01 14:00+00');
INSERT INTO observ.alert_rules (name, metric_name, operator, threshold, for_duration, keep_firing_for, reopen_window, labels, severity)
	VALUES ('bk cpu', 'cpu_percent', 'gt', 80, '5 minutes', '2 minutes', '0', '{"team":"infra"}', 'high');

SELECT kind, started::time, fired::time, ended::time, instance, app_name, round(peak_value::numeric, 1) AS peak, reopened, reason FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind <> 'notification';
SELECT labels FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 13:00+00') WHERE kind = 'episode';
-- The same as evaluations find, that really happened.
CREATE FUNCTION pg_temp.really() RETURNS void LANGUAGE plpgsql AS $$ DECLARE t timestamptz; BEGIN
	FOR t IN SELECT generate_series('2033-07-01 12:00+00', '2033-07-01 14:00+00', interval '30 seconds') LOOP
		IF extract(second FROM t) = 0 THEN PERFORM observ.evaluate_alerts(t); END IF;
		PERFORM observ.dispatch_notifications(t);
	END LOOP; END $$;
SELECT pg_temp.really();
SELECT count(*) AS episodes FROM observ.alerts;
(SELECT active_at, starts_at, ends_at, instance, app_name, labels, peak_value::numeric FROM observ.alerts) EXCEPT
(SELECT started, fired, ended, instance, app_name, labels, peak_value::numeric FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind = 'episode');
SELECT count(*) AS notifications FROM observ.notifications;
(SELECT "timestamp", channel, route, reason, group_labels, firing, resolved FROM observ.notifications) EXCEPT
(SELECT started, channel, route, reason, labels, firing, resolved FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind = 'notification');
-- What has really happened does not leak into a backtest.
SELECT kind, count(*) FROM observ.backtest_rule('bk cpu', '2033-07-01 12:40+00', '2033-07-01 13:20+00') GROUP BY 1;
-- … nor is anything written.
SELECT count(*) AS episodes FROM observ.alerts;
SELECT last_error FROM observ_data.rule_state s JOIN observ.alert_rules r USING (rule_id) WHERE r.name = 'bk cpu';

-- Notifications, by the routes and channels of now: severity high waits 30 s, repeats after 2 hours, and is told its end.
SELECT started::time AS at, channel, route, reason, labels, firing, resolved FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind = 'notification';
UPDATE observ.alert_rules SET notification_channels = '{pager,mail,off}', keep_firing_for = '0' WHERE name = 'bk cpu';
INSERT INTO observ.notification_channels (name, enabled, send_resolved) VALUES ('mail', true, false), ('off', false, true);
SELECT started::time AS at, channel, route, reason, firing, resolved FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind = 'notification';
UPDATE observ.routes SET repeat_interval = '{10 minutes,20 minutes}', group_by = '{alertname,vps_name}' WHERE name = 'emergency';
SELECT started::time AS at, channel, route, reason, labels->>'vps_name' AS vps, firing, resolved FROM observ.backtest_rule('{"name":"bk all","metric_name":"cpu_usage","operator":"gt","threshold":80,"severity":"emergency","reopen_window":"0","notification_channels":["pager"]}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 13:00+00') WHERE kind = 'notification';
UPDATE observ.alert_rules SET notification_channels = NULL, keep_firing_for = '2 minutes' WHERE name = 'bk cpu';

-- A rule that is not stored; a change of one that is.
SELECT kind, started::time, fired::time, ended::time, instance FROM observ.backtest_rule('{"name":"bk new","metric_name":"cpu_usage","operator":"gt","threshold":80,"for_duration":"2 minutes","reopen_window":"10 minutes"}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind <> 'notification';
UPDATE observ.alert_rules SET for_duration = '30 minutes' WHERE name = 'bk cpu';
SELECT kind, started::time, fired::time, ended::time, instance FROM observ.backtest_rule('bk cpu', '2033-07-01 12:00+00', '2033-07-01 14:00+00') WHERE kind <> 'notification';
-- Reopened: one episode.
SELECT kind, started::time, fired::time, ended::time, instance, reopened FROM observ.backtest_rule('{"name":"bk again","metric_name":"cpu_usage","operator":"gt","threshold":80,"reopen_window":"10 minutes"}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 13:00+00') WHERE kind <> 'notification';

-- Other sources: log entries, a query; the step.
SELECT kind, started::time, fired::time, ended::time, instance, app_name, peak_value FROM observ.backtest_rule('{"name":"bk logs","metric_name":"log_count","matchers":"{level=\"error\"}","window":"5 minutes","operator":"gte","threshold":5}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 14:00+00', '30 seconds') WHERE kind <> 'notification';
SELECT kind, started::time, fired::time, ended::time, labels->>'n' AS n, peak_value FROM observ.backtest_rule('{"name":"bk query","query":"SELECT pg_catalog.jsonb_build_object(''n'', ''x'') AS labels, extract(minute FROM $1)::float8 AS value, extract(minute FROM $1) BETWEEN 10 AND 20 AS breach"}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 14:00+00', '5 minutes') WHERE kind <> 'notification';
-- A rule that can't be evaluated says since when, and why.
SELECT kind, started::time, ended::time, reason FROM observ.backtest_rule('{"name":"bk broken","query":"SELECT ''{\"n\":\"x\"}''::pg_catalog.jsonb AS labels, (1 / (extract(hour FROM $1) - 13))::float8 AS value, true AS breach"}'::jsonb, '2033-07-01 12:00+00', '2033-07-01 15:00+00', '10 minutes') WHERE kind = 'error';
ROLLBACK;

-- It needs no transaction id, so nothing was written.
SELECT count(*) FROM observ.backtest_rule('{"name":"bk none","metric_name":"cpu_percent","operator":"gt","threshold":1000}'::jsonb, now() - interval '1 hour', now()), pg_current_xact_id_if_assigned() x WHERE x IS NOT NULL;

-- What can't be.
\set VERBOSITY terse
SELECT * FROM observ.backtest_rule('no such rule', now() - interval '1 day');
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percnt","threshold":1}'::jsonb, now() - interval '1 day');
SELECT * FROM observ.backtest_rule('[]'::jsonb, now() - interval '1 day');
SELECT * FROM observ.backtest_rule(NULL::jsonb, now() - interval '1 day');
SELECT * FROM observ.backtest_rule(NULL::text, now() - interval '1 day');
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1}'::jsonb, now(), now() - interval '1 day');
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1}'::jsonb, '-infinity');
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1}'::jsonb, NULL);
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1}'::jsonb, now() - interval '1 day', now(), '1 ms');
SELECT * FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1}'::jsonb, now() - interval '1 day', now(), '8 s');
SELECT count(*) FROM observ.backtest_rule('{"name":"x","metric_name":"cpu_percent","threshold":1000}'::jsonb, now() - interval '1 year');
