-- What people do to alerts: acknowledge, take that back, resolve (alerting.md 2.12, C23), between evaluations.
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE ROLE observ_regress_operator IN ROLE observ_operator;
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
SELECT status FROM observ.maintain_partitions('2033-03-01 10:00+00');
TRUNCATE observ.alerts, observ.alert_history RESTART IDENTITY;
CREATE TABLE public.resting AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false WHERE enabled;
INSERT INTO observ.alert_rules (name, metric_name, threshold, severity, flap_detection) VALUES ('PeopleHigh', 'cpu_percent', 90, 'high', false);
INSERT INTO observ.alert_rules (name, metric_name, threshold, severity, for_duration) VALUES ('PeopleSlow', 'cpu_percent', 95, 'high', '10 min');
CREATE FUNCTION pg_temp.t(minutes float8) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2033-03-01 10:00+00'::timestamptz + minutes * interval '1 min' $$;
CREATE FUNCTION pg_temp.sample(minutes float8, cpu float8) RETURNS void LANGUAGE sql AS $$ INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES (pg_temp.t($1), 'db-1', 'shop', $2) $$;
CREATE FUNCTION pg_temp.evaluate(minutes float8) RETURNS text LANGUAGE sql AS $$ SELECT status FROM observ.evaluate_alerts(pg_temp.t($1)) $$;
CREATE VIEW public.alerts AS SELECT a.alert_id, labels ->> 'alertname' AS name, status, value, acknowledged_by AS acked_by, acknowledged_note AS note, extract(epoch FROM acknowledged_until - pg_temp.t(0))::int / 60 AS until, resolved_reason, resolved_by, resolved_note,
	extract(epoch FROM ends_at - pg_temp.t(0))::int / 60 AS ends, unrouted FROM observ.alerts a ORDER BY alert_id;
CREATE VIEW public.history AS SELECT extract(epoch FROM h."timestamp" - pg_temp.t(0))::int / 60 AS min, r.name, h.from_status, h.to_status, h.event, h.reason, CASE h.actor WHEN session_user THEN 'session_user' ELSE h.actor END AS actor
	FROM observ.alert_history h JOIN observ.alert_rules r USING (rule_id) WHERE h."timestamp" >= pg_temp.t(0) ORDER BY h."timestamp", h.id;
SELECT pg_temp.sample(0, 97), pg_temp.evaluate(0);
SELECT * FROM public.alerts;
SELECT alert_id AS high FROM public.alerts WHERE name = 'PeopleHigh' \gset
SELECT alert_id AS slow FROM public.alerts WHERE name = 'PeopleSlow' \gset
UPDATE observ.alerts SET unrouted = false;

-- C23: by whom the session is; it stays through evaluations.
SET ROLE observ_regress_operator;
SELECT acknowledged, alert = :high AS alert, status, severity, instance, app_name FROM observ.acknowledge_alert(:high, 'looking', at => pg_temp.t(1));
RESET ROLE;
SELECT name, status, acked_by, note, until, unrouted FROM public.alerts;
SELECT pg_temp.sample(2, 99), pg_temp.evaluate(2);
SELECT name, status, value, acked_by FROM public.alerts;
-- Again, by somebody else, with an end; a pending one, too.
SELECT acknowledged FROM observ.acknowledge_alert(:high, 'mine', pg_temp.t(20), true, pg_temp.t(3));
SELECT acknowledged, status FROM observ.acknowledge_alert(:slow, at => pg_temp.t(3));
SELECT name, status, acked_by = session_user AS mine, note, until FROM public.alerts;
SELECT unacknowledged, status FROM observ.unacknowledge_alert(:high, 'not mine after all', pg_temp.t(4));
SELECT unacknowledged, status FROM observ.unacknowledge_alert(:high, at => pg_temp.t(5));
SELECT name, status, acked_by, note, until FROM public.alerts WHERE name = 'PeopleHigh';
-- It ends when the severity changes, unless it is sticky.
SELECT a.acknowledged, b.acknowledged FROM observ.acknowledge_alert(:high, 'high', at => pg_temp.t(6)) a, observ.acknowledge_alert(:slow, 'sticky', sticky => true, at => pg_temp.t(6)) b;
UPDATE observ.alert_rules SET severity = 'critical' WHERE name LIKE 'People%';
SELECT pg_temp.sample(7, 99), pg_temp.evaluate(7);
SELECT name, status, note FROM public.alerts;

-- Refused.
SELECT observ.acknowledge_alert(:high, until => pg_temp.t(6), at => pg_temp.t(7));
SELECT observ.acknowledge_alert(0);
SELECT observ.acknowledge_alert(NULL);
SELECT observ.acknowledge_alert(:high, at => 'infinity');
SET ROLE observ_regress_reader;
SELECT observ.acknowledge_alert(:high);
SELECT observ.resolve_alert(:high);
SELECT observ.unacknowledge_alert(:high);
SET ROLE observ_regress_operator;
UPDATE observ.alerts SET acknowledged_by = 'mallory';
DELETE FROM observ.alert_history;

-- Resolved by hand. A pending one goes; what is still true begins anew at the next evaluation, not acknowledged.
SELECT resolved, status, severity, instance FROM observ.resolve_alert(:slow, 'never mind', pg_temp.t(8));
SELECT resolved, status FROM observ.resolve_alert(:high, 'rebooted it', pg_temp.t(8));
RESET ROLE;
SELECT name, status, resolved_reason, resolved_by, resolved_note, ends, unrouted FROM public.alerts;
\set VERBOSITY terse
SELECT observ.resolve_alert(:slow);
\set VERBOSITY default
SELECT observ.acknowledge_alert(:high);
SELECT observ.resolve_alert(:high, at => pg_temp.t(9));
SELECT pg_temp.sample(9, 99), pg_temp.evaluate(9);
SELECT name, status, acked_by, resolved_reason, ends, alert_id = :high AS same FROM public.alerts;
-- Cleared by the evaluation, then a person comes.
SELECT pg_temp.sample(11, 5), pg_temp.evaluate(11);
SELECT alert_id AS high2 FROM public.alerts WHERE name = 'PeopleHigh' AND resolved_reason = 'cleared' \gset
\set VERBOSITY terse
SELECT observ.acknowledge_alert(:high2);
\set VERBOSITY default
-- A call earlier than the alert's own time is of that.
SELECT pg_temp.sample(13, 99), pg_temp.evaluate(13);
SELECT r.status FROM public.alerts a, observ.resolve_alert(a.alert_id, at => pg_temp.t(12)) r WHERE a.name = 'PeopleHigh' AND a.status = 'firing';
SELECT * FROM public.history;
-- The summary counts what fires.
SELECT status FROM observ.refresh_fleet_summary(pg_temp.t(14));
SELECT pg_temp.sample(15, 99), pg_temp.evaluate(15);
SELECT vps_name, app_name, firing_alerts, worst_severity FROM observ.fleet_summary WHERE vps_name = 'db-1';
SELECT count(r.status) FROM public.alerts a, observ.resolve_alert(a.alert_id, at => pg_temp.t(18)) r WHERE a.status = 'firing';
SELECT vps_name, app_name, firing_alerts, worst_severity FROM observ.fleet_summary WHERE vps_name = 'db-1';
DROP VIEW public.alerts, public.history;
DELETE FROM observ.alert_rules WHERE name LIKE 'People%';
UPDATE observ.alert_rules SET enabled = true WHERE rule_id IN (SELECT rule_id FROM public.resting);
DROP TABLE public.resting;
TRUNCATE observ.alerts, observ.alert_history, observ.vps_metrics, observ.fleet_summary, observ_data.rule_state;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DROP ROLE observ_regress_operator, observ_regress_reader;
