-- States of alerts, evaluation by evaluation, in virtual time: contracts C1, C6, C7, C8, C20, C21, C25, C26, C27 and timelines A, G, I of the alerting reference. Nothing of it stays.
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL client_min_messages = warning;
SET LOCAL observ.premake = '2d';
SET LOCAL observ.late_window = '2d';
SELECT status FROM observ.maintain_partitions('2035-06-01 12:00');
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DELETE FROM observ.alerts;
DELETE FROM observ.alert_history;

-- What a rule of this test asks: the latest value of each probe, and whether it is above 90.
CREATE TABLE public.probe (at timestamptz NOT NULL, probe text NOT NULL, value float8, PRIMARY KEY (probe, at));
CREATE FUNCTION pg_temp.rule(name text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.alert_rules (name, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, annotations, reopen_window, flap_detection)
	VALUES (name, format('SELECT jsonb_build_object(''probe'', p.probe) AS labels, p.value, p.value > 90 AS breach FROM public.probe p '
		'WHERE p.probe LIKE %L AND p.at = (SELECT max(q.at) FROM public.probe q WHERE q.probe = p.probe AND q.at <= $1)', coalesce(more->>'probes', name) || '%'),
		coalesce((more->>'for')::interval, '0'), coalesce((more->>'keep')::interval, '0'), (more->>'interval')::interval, coalesce((more->>'severity')::observ.severity, 'warning'),
		coalesce(more->'labels', '{}'), coalesce(more->'annotations', '{}'), coalesce((more->>'reopen')::interval, '10 min'), coalesce((more->>'flap')::boolean, false)) $$;
CREATE FUNCTION pg_temp.put(probe text, at time, value float8) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.probe VALUES ('2035-06-01'::date + at, probe, value) ON CONFLICT (probe, at) DO UPDATE SET value = excluded.value $$;
CREATE FUNCTION pg_temp.evaluate(at time) RETURNS text LANGUAGE sql AS $$ SELECT e.status FROM observ.evaluate_alerts('2035-06-01'::date + at) e $$;
-- An evaluation each step; how many changes there were.
CREATE FUNCTION pg_temp.play(since time, until time, step interval) RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(e.changes) FROM generate_series('2035-06-01'::date + since, '2035-06-01'::date + until, step) t, observ.evaluate_alerts(t) e $$;
CREATE FUNCTION pg_temp.watch(times time[], OUT at time, OUT status text, OUT changes int, OUT alerts text) RETURNS SETOF record LANGUAGE plpgsql AS $$
	BEGIN FOREACH at IN ARRAY times LOOP
		SELECT e.status, e.changes INTO status, changes FROM observ.evaluate_alerts('2035-06-01'::date + at) e;
		SELECT string_agg(a.status || CASE WHEN stale THEN ' (stale)' ELSE '' END, ', ' ORDER BY alert_id) INTO alerts FROM observ.alerts a;
		RETURN NEXT; END LOOP; END $$;
CREATE VIEW pg_temp.history AS SELECT h."timestamp"::time AS at, r.name, a.identity, from_status AS "from", to_status AS "to", event, reason, h.value FROM observ.alert_history h
	LEFT JOIN observ.alert_rules r USING (rule_id) LEFT JOIN observ.alerts a USING (alert_id) ORDER BY h.id;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS $$
	DELETE FROM observ.alert_rules WHERE name LIKE 'T %' OR query LIKE '%probe%'; DELETE FROM observ.alerts; DELETE FROM observ.alert_history; DELETE FROM public.probe;
	UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;

-- Timeline A: interval 15 s, for 60 s, keep 120 s; true from 10:00:07 to 10:04:50, and from 10:06:20 to 10:06:40.
SELECT pg_temp.rule('A', '{"for":"60 s","keep":"120 s","interval":"15 s"}');
SELECT pg_temp.put('A', '10:00:07', 95), pg_temp.put('A', '10:04:50', 10), pg_temp.put('A', '10:06:20', 96), pg_temp.put('A', '10:06:40', 11);
SELECT pg_temp.play('10:00', '10:10', '15 s');
SELECT at, "from", "to", event, reason, value FROM pg_temp.history;
SELECT status, active_at::time, starts_at::time, ends_at::time, value, peak_value, resolved_reason, changes, unrouted FROM observ.alerts;
-- The same second by second: only evaluations on the interval count.
SELECT pg_temp.clear();
SELECT pg_temp.rule('A', '{"for":"60 s","keep":"120 s","interval":"15 s"}');
SELECT pg_temp.put('A', '10:00:07', 95), pg_temp.put('A', '10:04:50', 10), pg_temp.put('A', '10:06:20', 96), pg_temp.put('A', '10:06:40', 11);
SELECT pg_temp.play('10:00', '10:10', '1 s');
SELECT string_agg(at || ' ' || event, ', ') FROM pg_temp.history;
SELECT pg_temp.clear();

-- C6: the boundary of for is inclusive, that of keep exclusive.
SELECT pg_temp.rule('B', '{"for":"60 s","keep":"60 s"}');
SELECT pg_temp.put('B', '10:00', 95), pg_temp.put('B', '10:02', 1);
SELECT * FROM pg_temp.watch('{10:00:00,10:00:59.999999,10:01:00,10:02:00,10:02:59.999999,10:03:00}');
-- The same time again changes nothing, and writes nothing.
SELECT status, evaluated_at::time, slots, rules, failed, pending, firing, resolved, changes, refreshed, lost FROM observ.evaluate_alerts('2035-06-01 10:03');
SELECT pg_temp.clear();

-- A pending alert that clears leaves its history, not its row; it starts from zero when it is back.
SELECT pg_temp.rule('P', '{"for":"60 s"}');
SELECT pg_temp.put('P', '10:00', 95), pg_temp.put('P', '10:00:30', 5), pg_temp.put('P', '10:00:45', 95);
SELECT pg_temp.play('10:00', '10:02', '15 s');
SELECT at, "from", "to", event, reason FROM pg_temp.history;
SELECT count(*) FROM observ.alerts;
SELECT pg_temp.clear();

-- C1: state and history are of one transaction.
SELECT pg_temp.rule('C1'), pg_temp.put('C1', '10:00', 95);
SAVEPOINT evaluation;
SELECT pg_temp.evaluate('10:00');
SELECT (SELECT count(*) FROM observ.alerts) AS alerts, (SELECT count(*) FROM observ.alert_history) AS history, (SELECT evaluated_at FROM observ_data.evaluation_state);
ROLLBACK TO evaluation;
SELECT (SELECT count(*) FROM observ.alerts) AS alerts, (SELECT count(*) FROM observ.alert_history) AS history, (SELECT evaluated_at FROM observ_data.evaluation_state);
SELECT pg_temp.clear();

-- C7: an evaluation that fails changes nothing: neither what fires, nor what is pending, nor for how long. Other rules go on.
SELECT pg_temp.rule('C7 fails', '{"for":"60 s"}'), pg_temp.rule('C7 goes on'), pg_temp.put('C7 fails 1', '10:00', 95), pg_temp.put('C7 goes on', '10:00', 95);
SELECT pg_temp.play('10:00', '10:01', '15 s');
SELECT pg_temp.put('C7 fails 2', '10:01:10', 95), pg_temp.evaluate('10:01:15');
SAVEPOINT broken;
ALTER TABLE public.probe RENAME COLUMN value TO gone;
ALTER TABLE public.probe ADD value float8;
UPDATE public.probe SET value = CASE WHEN probe LIKE 'C7 fails%' THEN NULL ELSE 1 END;
UPDATE observ.alert_rules SET query = replace(query, 'p.value > 90', '1 / (p.value - p.value)::int > 90') WHERE name = 'C7 fails';
UPDATE public.probe SET value = 1;
SELECT status, failed, pending, firing, resolved, changes FROM observ.evaluate_alerts('2035-06-01 10:01:30');
SELECT status, failed, pending, firing, resolved, changes FROM observ.evaluate_alerts('2035-06-01 10:02:30');
SELECT name, status, errors, last_error, last_error_sqlstate, error_since::time FROM observ.rule_status WHERE name LIKE 'C7%' ORDER BY 1;
SELECT name, identity, status, active_at::time FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY alert_id;
-- It works again: nothing happened to it.
ROLLBACK TO broken;
SELECT pg_temp.evaluate('10:02:45');
SELECT at, name, event FROM pg_temp.history WHERE at > '10:01:15';
SELECT errors, last_error, error_since FROM observ.rule_status WHERE name = 'C7 fails';
SELECT pg_temp.clear();

-- Hysteresis: fires above 90, clears below 85: 91, 89, 91, 86, 84.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) SELECT '2035-06-01 10:00'::timestamptz + i * interval '15 s', 'hyst', 'shop', v, 15000 FROM unnest('{91,89,91,86,84}'::float8[]) WITH ORDINALITY x (v, i);
INSERT INTO observ.alert_rules (name, metric_name, operator, threshold, clear_threshold) VALUES ('T hysteresis', 'cpu_usage', 'gt', 90, 85);
SELECT t::time AS at, e.firing, e.resolved, e.changes, e.refreshed, a.value, a.peak_value FROM generate_series('2035-06-01 10:00:15'::timestamptz, '2035-06-01 10:01:15', '15 s') t, observ.evaluate_alerts(t) e LEFT JOIN observ.alerts a ON true;
SELECT status, value, peak_value, instance, app_name, identity, labels FROM observ.alerts;
SELECT pg_temp.clear();

-- Timeline G, C8: interval 30 s, disk at 95 % fires; the agent dies at 12:00:10; its source is silent at 12:01:00; the alert stays as it is. Back at 12:07 with 95: it fires on.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_percent, interval_ms) SELECT t, 'g', 95, 30000 FROM generate_series('2035-06-01 11:55:10'::timestamptz, '2035-06-01 12:00:10', '30 s') t;
INSERT INTO observ.vps (vps_name) VALUES ('g') ON CONFLICT DO NOTHING;
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval, severity) VALUES ('T disk', 'disk_percent', 90, '30 s', 'high');
INSERT INTO observ.alert_rules (name, source, metric_name, threshold, for_duration, evaluation_interval, severity, per_app) VALUES ('T down', 'absence', 'data_age_seconds', 90, '60 s', '30 s', 'critical', false);
SELECT * FROM pg_temp.watch(ARRAY(SELECT t::time FROM generate_series('2035-06-01 12:00:00'::timestamptz, '2035-06-01 12:06:30', '30 s') t));
SELECT at, event, name FROM pg_temp.history;
SAVEPOINT away;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_percent, interval_ms) VALUES ('2035-06-01 12:07:00', 'g', 95, 30000);
SELECT * FROM pg_temp.watch('{12:07,12:07:30}');
SELECT at, event, name FROM pg_temp.history WHERE at > '12:06';
ROLLBACK TO away;
-- Back with 60: it ends at the first evaluation with fresh data.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, disk_percent, interval_ms) VALUES ('2035-06-01 12:07:00', 'g', 60, 30000);
SELECT * FROM pg_temp.watch('{12:07}');
SELECT at, event, name, reason, value FROM pg_temp.history WHERE at > '12:06';
SELECT pg_temp.clear();

-- C8: no_data resolve and alert; a series that is missing while its source goes on: resolve after missing_for, keep.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, disk_percent, swap_percent, interval_ms) SELECT t, 'n', 'shop', 95, 95, 30000 FROM generate_series('2035-06-01 13:00:00'::timestamptz, '2035-06-01 13:01:00', '30 s') t;
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval, no_data) VALUES ('T keeps', 'disk_percent', 90, '30 s', 'keep'), ('T resolves', 'disk_percent', 90, '30 s', 'resolve'), ('T alerts', 'disk_percent', 99, '30 s', 'alert');
SELECT pg_temp.play('13:00', '13:03', '30 s');
SELECT at, name, event, reason FROM pg_temp.history WHERE at > '13:00' ORDER BY 1, 2, 3;
SELECT name, status, stale FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY 1;
SELECT pg_temp.clear();
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, disk_percent, swap_percent, interval_ms) SELECT t, 'm', 'shop', 95, CASE WHEN t < '2035-06-01 14:01' THEN 95 END, 30000 FROM generate_series('2035-06-01 14:00:00'::timestamptz, '2035-06-01 14:20:00', '30 s') t;
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval, on_missing, missing_for) VALUES ('T keeps', 'swap_percent', 90, '30 s', 'keep', NULL), ('T resolves', 'swap_percent', 90, '30 s', 'resolve', NULL), ('T resolves later', 'swap_percent', 90, '30 s', 'resolve', '5 min');
SELECT pg_temp.play('14:00', '14:20', '30 s');
SELECT at, name, event, reason FROM pg_temp.history WHERE at > '14:00' ORDER BY 1, 2, 3;
SELECT name, status, stale, missing_since::time FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY 1;
SELECT pg_temp.clear();

-- Timeline I: interval 30 s; a row of 9:00:20 arrives at 9:00:44.
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval, evaluation_delay) VALUES ('T delayed', 'cpu_percent', 90, '30 s', '30 s'), ('T at once', 'cpu_percent', 90, '30 s', '0');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2035-06-01 08:59:50', 'i', 1, 30000), ('2035-06-01 09:00:50', 'i', 1, 30000);
SELECT pg_temp.play('9:00', '9:00:30', '30 s');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) VALUES ('2035-06-01 09:00:20', 'i', 95, 30000);
SELECT pg_temp.play('9:01', '9:02', '30 s');
SELECT at, name, event FROM pg_temp.history ORDER BY 1, 2, 3;
SELECT pg_temp.clear();

-- C20: only the given time drives timers. A time before the previous evaluation is taken as that of the evaluation before; one that is far back is believed, and moves what counts.
SELECT pg_temp.rule('C20', '{"for":"60 s"}'), pg_temp.put('C20', '10:00', 95);
SELECT pg_temp.play('10:00', '10:00:45', '15 s');
SELECT status, evaluated_at::time, changes FROM observ.evaluate_alerts('2035-06-01 09:59');
SELECT status, evaluated_at::time, changes FROM observ.evaluate_alerts('2035-06-01 10:00:59');
SELECT pg_temp.put('C20', '8:00', 95);
SELECT status, evaluated_at::time, changes FROM observ.evaluate_alerts('2035-06-01 09:00');
SELECT at, event, reason FROM pg_temp.history;
SELECT active_at::time, status FROM observ.alerts;
SELECT pg_temp.play('9:00:01', '9:00:01', '1 s');
SELECT active_at::time, status FROM observ.alerts;
SAVEPOINT bad;
SELECT * FROM observ.evaluate_alerts('infinity');
ROLLBACK TO bad;
SELECT status FROM observ.evaluate_alerts(NULL);
SELECT pg_temp.clear();

-- C21: what an alert is does not depend on values: the same fingerprint with whatever value. Annotations follow, at most 2,000 at a time; the worst value is kept.
SELECT pg_temp.rule('C21', '{"annotations":{"summary":"{{ value }} of {{ labels.probe }}","action":"look"},"labels":{"team":"db"}}');
SELECT pg_temp.put('C21', '10:00', 95), pg_temp.put('C21', '10:01', 99), pg_temp.put('C21', '10:02', 92), pg_temp.put('C21', '10:04', 3);
SELECT t AS at, e.changes, e.refreshed FROM unnest('{10:00,10:01,10:02,10:03,10:04}'::time[]) t, observ.evaluate_alerts('2035-06-01'::date + t) e;
SELECT count(DISTINCT fingerprint), min(length(fingerprint)) FROM observ.alert_history;
SELECT value, peak_value, summary, annotations, labels FROM observ.alerts;
SELECT pg_temp.clear();

-- Labels: of the VPS, of the rule, of the source, then alertname, severity and category; the later win.
INSERT INTO observ.vps (vps_name, labels) VALUES ('labelled', '{"env":"prod","team":"nobody","rack":7,"severity":"x","vps_name":"wrong","nested":{}}');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES ('2035-06-01 10:00', 'labelled', 'shop', 95);
INSERT INTO observ.alert_rules (name, metric_name, threshold, labels, category, severity) VALUES ('T labels', 'cpu_percent', 90, '{"team":"db"}', 'cpu', 'critical');
INSERT INTO observ.alert_rules (name, metric_name, threshold, per_app) VALUES ('T of the VPS', 'cpu_percent', 90, false);
INSERT INTO observ.fleet_summary (vps_name, app_name, last_seen) VALUES ('labelled', 'shop', '2035-06-01'), ('labelled', 'api', '2035-06-01'), ('other', 'shop', '2035-06-01');
SELECT pg_temp.evaluate('10:00');
SELECT instance, app_name, identity, labels FROM observ.alerts ORDER BY rule_id;
-- Alerts of the VPS count for each of its applications.
SELECT vps_name, app_name, firing_alerts, worst_severity FROM observ.fleet_summary ORDER BY 1, 2;
UPDATE observ.alert_rules SET enabled = false WHERE name = 'T labels';
SELECT pg_temp.evaluate('10:01');
SELECT vps_name, app_name, firing_alerts, worst_severity FROM observ.fleet_summary ORDER BY 1, 2;
SELECT pg_temp.clear();

-- What fires again within reopen_window goes on with the same alert; after it, or when a person resolved it, another one begins.
SELECT pg_temp.rule('R', '{"reopen":"60 s"}'), pg_temp.put('R', '10:00', 95), pg_temp.put('R', '10:01', 5), pg_temp.put('R', '10:02', 96), pg_temp.put('R', '10:03', 5), pg_temp.put('R', '10:04:01', 97);
SELECT pg_temp.play('10:00', '10:02', '1 min'), pg_temp.evaluate('10:03'), pg_temp.evaluate('10:04:01');
SELECT h."timestamp"::time, dense_rank() OVER (ORDER BY alert_id) AS alert, event FROM observ.alert_history h ORDER BY id;
SELECT status, reopened, starts_at::time, peak_value FROM observ.alerts ORDER BY alert_id;
UPDATE observ.alerts SET status = 'resolved', resolved_reason = 'manual', resolved_by = 'me', ends_at = '2035-06-01 10:04:30', changes = changes + 1 WHERE status = 'firing';
SELECT pg_temp.evaluate('10:04:31');
SELECT status, reopened, starts_at::time, resolved_reason FROM observ.alerts ORDER BY alert_id;
SELECT pg_temp.clear();
-- With for_duration: pending is an alert of its own until it fires. An acknowledgement is over.
SELECT pg_temp.rule('RF', '{"for":"30 s"}'), pg_temp.put('RF', '10:00', 95), pg_temp.put('RF', '10:01', 5), pg_temp.put('RF', '10:02', 96);
SELECT pg_temp.play('10:00', '10:00:30', '15 s');
UPDATE observ.alerts SET acknowledged_at = '2035-06-01 10:00:40', acknowledged_by = 'me', changes = changes + 1;
SELECT pg_temp.play('10:00:45', '10:02:30', '15 s');
SELECT h."timestamp"::time, dense_rank() OVER (ORDER BY alert_id) AS alert, event, regexp_replace(reason, '\d+', 'N') AS reason FROM observ.alert_history h ORDER BY id;
SELECT status, reopened, active_at::time, starts_at::time, ends_at, peak_value, acknowledged_at, acknowledged_by FROM observ.alerts ORDER BY alert_id;
SELECT pg_temp.clear();

-- C25: alternating evaluations: flapping from the 6th change on; then stable: over at the 15th evaluation, whether it is resolved or fires.
SELECT pg_temp.rule('F', '{"interval":"15 s","flap":true}');
SELECT pg_temp.put('F' || p, '10:00'::time + i * interval '15 s', CASE WHEN i % 2 = 0 AND (i < 6 OR p = 2) OR (p = 2 AND i > 5) THEN 95 ELSE 5 END) FROM generate_series(0, 6) i, generate_series(1, 2) p;
SELECT pg_temp.play('10:00', '10:06', '15 s');
SELECT "timestamp"::time AS at, dense_rank() OVER (ORDER BY alert_id) AS alert, event, to_status FROM observ.alert_history WHERE "timestamp" > '2035-06-01 10:01' ORDER BY 2, id;
SELECT identity->>'probe' AS probe, status, reopened, flapping, unrouted FROM observ.alerts ORDER BY 1;
SELECT pg_temp.clear();

-- C26: a rule that is true for more than observ.max_alerts_per_rule keeps what it has, takes the worst, and says how many more there are.
SET LOCAL observ.max_alerts_per_rule = 3;
SELECT pg_temp.rule('C26', '{"severity":"critical"}'), pg_temp.put('C26 first', '10:00', 91);
SELECT pg_temp.evaluate('10:00');
SELECT pg_temp.put('C26 ' || i, '10:01', 90 + i) FROM generate_series(1, 9) i;
SELECT status, failed, firing, changes FROM observ.evaluate_alerts('2035-06-01 10:01');
SELECT identity, status, value, summary FROM observ.alerts ORDER BY alert_id;
SELECT status, overflow, firing FROM observ.rule_status WHERE name = 'C26';
-- What has no alert gets one when there is room.
SELECT pg_temp.put('C26 ' || i, '10:02', 1) FROM generate_series(4, 9) i;
SELECT pg_temp.play('10:02', '10:04', '1 min');
SELECT identity, status, value FROM observ.alerts ORDER BY alert_id;
SELECT status, overflow FROM observ.rule_status WHERE name = 'C26';
SELECT pg_temp.clear();
-- Of a great many only the worst are ever held in memory; below a threshold the lowest are the worst.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) SELECT '2035-06-01 10:00', 'many-' || i, i / 10.0 FROM generate_series(0, 99) i;
INSERT INTO observ.alert_rules (name, metric_name, operator, threshold) VALUES ('T above', 'cpu_percent', 'gt', -1), ('T below', 'cpu_percent', 'lt', 1000);
SELECT status, failed, firing, changes FROM observ.evaluate_alerts('2035-06-01 10:00');
SELECT name, identity, value FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY name, value;
DELETE FROM observ.vps_metrics WHERE vps_name LIKE 'many-%' AND "timestamp" = '2035-06-01 10:00';
SELECT pg_temp.clear();
RESET observ.max_alerts_per_rule;

-- C27: an edit keeps the alerts that it is still about; severity, labels and annotations follow, the times don't. An acknowledgement that is not sticky ends with the severity.
SELECT pg_temp.rule('C27', '{"for":"30 s","annotations":{"summary":"old"}}'), pg_temp.put('C27 a', '10:00', 95), pg_temp.put('C27 b', '10:00', 95);
SELECT pg_temp.play('10:00', '10:01', '15 s');
UPDATE observ.alerts SET unrouted = false;
UPDATE observ.alerts SET acknowledged_at = '2035-06-01 10:01', acknowledged_by = 'me', acknowledged_sticky = identity->>'probe' = 'C27 b', changes = changes + 1;
UPDATE observ.alert_rules SET severity = 'critical', labels = '{"team":"db"}', annotations = '{"summary":"new"}', for_duration = '1 hour' WHERE name = 'C27';
SELECT pg_temp.evaluate('10:01:15');
SELECT identity->>'probe' AS probe, status, severity, labels, summary, active_at::time, starts_at::time, acknowledged_at IS NOT NULL AS acknowledged, unrouted FROM observ.alerts ORDER BY 1;
SELECT at, event, reason FROM pg_temp.history WHERE at > '10:01';
-- Once: the evaluation after it writes nothing.
UPDATE observ.alerts SET unrouted = false;
SELECT status, changes FROM observ.evaluate_alerts('2035-06-01 10:01:30');
SELECT bool_or(unrouted) FROM observ.alerts;
-- Disabled, enabled again soon (the same alert), deleted.
UPDATE observ.alert_rules SET enabled = false, for_duration = '0' WHERE name = 'C27';
SELECT pg_temp.evaluate('10:02');
UPDATE observ.alert_rules SET enabled = true WHERE name = 'C27';
SELECT pg_temp.evaluate('10:03');
SELECT pg_temp.put('C27 c', '10:03:10', 95), pg_temp.rule('C27 pending', '{"for":"1 h","probes":"C27"}'), pg_temp.evaluate('10:03:15');
DELETE FROM observ.alert_rules WHERE name LIKE 'C27%';
SELECT pg_temp.evaluate('10:04');
SELECT at, identity, "from", "to", event, reason FROM pg_temp.history WHERE at >= '10:02' ORDER BY 1, event, identity;
SELECT status, resolved_reason, count(*) FROM observ.alerts GROUP BY 1, 2;
SELECT count(*) FROM observ_data.rule_state s WHERE NOT EXISTS (SELECT FROM observ.alert_rules r WHERE r.rule_id = s.rule_id);
SELECT pg_temp.clear();

-- A selector that does not take a VPS any more, and a VPS that is retired.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) SELECT '2035-06-01 10:00', v, 95 FROM unnest('{sel-1,sel-2,sel-3}'::text[]) v;
INSERT INTO observ.vps (vps_name) VALUES ('sel-1'), ('sel-2'), ('sel-3') ON CONFLICT DO NOTHING;
INSERT INTO observ.alert_rules (name, metric_name, threshold, selector) VALUES ('T selected', 'cpu_percent', 90, '{vps_name=~"sel-.*"}');
SELECT pg_temp.evaluate('10:00');
UPDATE observ.alert_rules SET selector = '{vps_name=~"sel-[23]"}' WHERE name = 'T selected';
UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'sel-2';
SELECT pg_temp.evaluate('10:01');
SELECT instance, status, resolved_reason FROM observ.alerts ORDER BY 1;
SELECT pg_temp.clear();
-- An edit after which the rule is about other things, though absent ones keep their alerts: applications, then VPSs, then urls.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) SELECT '2035-06-01 10:00'::timestamptz + i * interval '1 min', 'edit-1', 'app', 95 FROM generate_series(0, 3) i;
INSERT INTO observ.alert_rules (name, metric_name, threshold, per_app, on_missing) VALUES ('T about', 'cpu_percent', 90, true, 'keep');
SELECT pg_temp.evaluate('10:00');
UPDATE observ.alert_rules SET per_app = false WHERE name = 'T about';
SELECT pg_temp.evaluate('10:01');
SELECT identity, status, resolved_reason FROM observ.alerts ORDER BY alert_id;
UPDATE observ.alert_rules SET metric_name = 'health_consecutive_failures', threshold = 1 WHERE name = 'T about';
SELECT pg_temp.evaluate('10:02');
SELECT identity, status, resolved_reason FROM observ.alerts ORDER BY alert_id;
SELECT pg_temp.clear();

-- One that is reopened is as its rule is now.
SELECT pg_temp.rule('T reopened', '{"severity":"warning","labels":{"team":"a"},"annotations":{"summary":"old"}}'), pg_temp.put('T reopened', '10:00', 95), pg_temp.put('T reopened', '10:01', 5), pg_temp.put('T reopened', '10:03', 96);
SELECT pg_temp.play('10:00', '10:01', '1 min');
UPDATE observ.alert_rules SET severity = 'critical', labels = '{"team":"b"}', annotations = '{"summary":"new"}' WHERE name = 'T reopened';
SELECT pg_temp.play('10:02', '10:03', '1 min');
SELECT status, reopened, severity, labels->>'severity' AS label, labels->>'team' AS team, summary FROM observ.alerts;
SELECT pg_temp.clear();
ROLLBACK;
