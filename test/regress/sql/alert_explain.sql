-- "Why was I (not) told?": observ.explain_alert() over silences, inhibition, acknowledgements and their ends, and what dispatch makes of them.
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET client_min_messages = warning;
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ.silence_audit RESTART IDENTITY;
ALTER TABLE observ.silences DISABLE TRIGGER check_silence;
DELETE FROM observ.silences;
ALTER TABLE observ.silences ENABLE TRIGGER check_silence;
ALTER TABLE observ.silences ALTER silence_id RESTART;
SELECT status FROM observ.maintain_partitions('2033-05-01 10:00+00');
CREATE TABLE public.resting AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false WHERE enabled;
CREATE TABLE public.routes AS SELECT * FROM observ.routes;
UPDATE observ.routes SET enabled = false WHERE parent_id IS NOT NULL;
UPDATE observ.routes SET group_by = '{vps_name}', group_wait = '30 s', group_interval = '5 min', repeat_interval = '{4 hours}' WHERE parent_id IS NULL;
INSERT INTO observ.alert_rules (name, metric_name, threshold, severity, flap_detection, for_duration) VALUES ('ExplainCpu', 'cpu_percent', 90, 'high', false, '30 s');
CREATE FUNCTION pg_temp.at(clock text) RETURNS timestamptz LANGUAGE sql AS $$ SELECT ('2033-05-01 ' || $1 || '+00')::timestamptz $$;
CREATE FUNCTION pg_temp.go(clock text, cpu float8) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE told text;
	BEGIN
		INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES (pg_temp.at(clock), 'x-1', 'shop', cpu) ON CONFLICT DO NOTHING;
		PERFORM observ.evaluate_alerts(pg_temp.at(clock));
		PERFORM observ.dispatch_notifications(pg_temp.at(clock));
		SELECT string_agg(n.channel || ': ' || n.reason, ', ') INTO told FROM observ.notifications n WHERE n."timestamp" = pg_temp.at(clock);
		RETURN told;
	END $$;
CREATE FUNCTION pg_temp.why(clock text) RETURNS TABLE ("time" text, what text, why text) LANGUAGE sql AS $$ SELECT to_char(e."time", 'HH24:MI:SS'), e.what, e.why FROM observ.explain_alert('ExplainCpu', pg_temp.at($1)) e $$;
SELECT * FROM pg_temp.why('09:59:00');
SELECT pg_temp.go('10:00:00', 95);
SELECT * FROM pg_temp.why('10:00:00');
SELECT pg_temp.go('10:00:30', 96);
SELECT * FROM pg_temp.why('10:00:30');
-- Silenced before it is told; told when the silence is ended.
SELECT observ.silence_alert(min(alert_id), '1 hour', 'known, disk is coming', at => pg_temp.at('10:00:45')) AS silence FROM observ.alerts \gset
SELECT c, pg_temp.go(c, 96) FROM unnest('{10:01:00,10:06:00}'::text[]) c;
SET ROLE observ_regress_reader;
SELECT what, why FROM observ.explain_alert('ExplainCpu', '2033-05-01 10:06+00') WHERE what LIKE '%told%' OR what LIKE 'kept%' OR what LIKE 'now%' OR what LIKE 'next%';
RESET ROLE;
SELECT observ.expire_silence(:silence, pg_temp.at('10:07:00'));
SELECT pg_temp.go('10:11:00', 96);
-- C23: acknowledged until 10:20, then told again; resolved by hand.
SELECT acknowledged FROM observ.alerts a, observ.acknowledge_alert(a.alert_id, 'looking', pg_temp.at('10:20:00'), at => pg_temp.at('10:12:00'));
SELECT c, pg_temp.go(c, 97) FROM unnest('{10:12:00,10:16:00,10:20:00,10:21:00,10:26:00}'::text[]) c;
SELECT event, reason, actor IS NULL AS by_itself, to_char("timestamp", 'HH24:MI:SS') AS at FROM observ.alert_history WHERE event LIKE '%ack%' ORDER BY "timestamp";
SELECT resolved FROM observ.alerts a, observ.resolve_alert(a.alert_id, 'replaced', at => pg_temp.at('10:27:00'));
SELECT pg_temp.go('10:31:00', 5);
SELECT "time", what, replace(why, session_user, 'session_user') AS why FROM pg_temp.why('10:31:00');
SELECT count(*) > 5 AS by_number FROM observ.explain_alert(1::bigint, pg_temp.at('10:31:00'));
-- A silence that ends by itself when nothing that it hides has been active for ten minutes.
SELECT observ.silence('{vps_name="x-1"}', '1 day', 'until it is calm', at => pg_temp.at('11:00:00'), auto_expire_when_clear => '10 min') AS calm \gset
CREATE FUNCTION pg_temp.calm(clock text, cpu float8, OUT told text, OUT clear_since text, OUT ends text) LANGUAGE plpgsql AS $$ BEGIN
	told := pg_temp.go(clock, cpu);
	SELECT to_char(s.clear_since, 'HH24:MI:SS'), to_char(s.ends_at, 'DD HH24:MI:SS') INTO clear_since, ends FROM observ.silences s ORDER BY silence_id DESC LIMIT 1;
END $$;
SELECT c, v, calm.* FROM (VALUES ('11:00:00', 95), ('11:05:00', 95), ('11:06:00', 5), ('11:12:00', 95), ('11:13:00', 5), ('11:22:00', 5), ('11:23:00', 5)) x (c, v), pg_temp.calm(c, v);
SELECT action, acting_as FROM observ.silence_audit WHERE silence_id = :calm ORDER BY id;
-- Refused, and rules without alerts.
SELECT * FROM observ.explain_alert(0);
SELECT * FROM observ.explain_alert('Nothing');
SELECT * FROM observ.explain_alert(NULL::text);
UPDATE observ.alert_rules SET name = 'ExplainOther', enabled = false WHERE name = 'ExplainCpu';
SELECT what, why FROM observ.explain_alert('ExplainOther', pg_temp.at('12:00:00'));
DELETE FROM observ.alert_rules WHERE name LIKE 'Explain%';
UPDATE observ.alert_rules SET enabled = true WHERE rule_id IN (SELECT rule_id FROM public.resting);
DROP TABLE public.resting;
UPDATE observ.routes r SET enabled = b.enabled, group_by = b.group_by, group_wait = b.group_wait, group_interval = b.group_interval, repeat_interval = b.repeat_interval FROM public.routes b WHERE r.route_id = b.route_id;
DROP TABLE public.routes;
ALTER TABLE observ.silences DISABLE TRIGGER check_silence;
DELETE FROM observ.silences;
ALTER TABLE observ.silences ENABLE TRIGGER check_silence;
TRUNCATE observ.alerts, observ.alert_history, observ.vps_metrics, observ_data.rule_state, observ.notifications, observ.notification_decisions, observ_data.told, observ_data.group_members, observ_data.group_channels, observ_data.alert_groups, observ.silence_audit;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DROP ROLE observ_regress_reader;
