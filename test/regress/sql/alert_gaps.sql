-- Pauses of evaluation (2.10): timeline H, catch-up where rows exist, time that counts towards nothing where none do; contract C9: nothing but delay is seen of them. In virtual time; nothing of it stays.
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL client_min_messages = warning;
SET LOCAL observ.premake = '2d';
SET LOCAL observ.late_window = '2d';
SELECT status FROM observ.maintain_partitions('2035-07-01 12:00');
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DELETE FROM observ.alerts;
DELETE FROM observ.alert_history;

CREATE FUNCTION pg_temp.rows(vps text, since time, until time, step interval, value float8) RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent, interval_ms) SELECT t, vps, value, extract(epoch FROM step) * 1000 FROM generate_series('2035-07-01'::date + since, '2035-07-01'::date + until, step) t $$;
CREATE FUNCTION pg_temp.play(since time, until time, step interval) RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(e.slots) FROM generate_series('2035-07-01'::date + since, '2035-07-01'::date + until, step) t, observ.evaluate_alerts(t) e $$;
CREATE VIEW pg_temp.history AS SELECT h."timestamp"::time AS at, r.name, event, reason FROM observ.alert_history h LEFT JOIN observ.alert_rules r USING (rule_id) ORDER BY h.id;
CREATE FUNCTION pg_temp.clear() RETURNS void LANGUAGE sql AS $$
	DELETE FROM observ.alert_rules WHERE name LIKE 'T %'; DELETE FROM observ.alerts; DELETE FROM observ.alert_history; DELETE FROM observ.vps_metrics WHERE "timestamp" >= '2035-06-30' AND "timestamp" < '2035-07-03';
	UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity' $$;

-- Timeline H: interval 10 s, for 60 s; active 0:00, last evaluation 0:30, crash 0:35, up 1:05, first new slot 1:10. Without rows: fires at 1:40.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T H', 'cpu_percent', 90, '60 s', '10 s');
SELECT pg_temp.rows('h', '0:00', '0:00:30', '10 s', 95), pg_temp.rows('h', '0:01:05', '0:02:00', '5 s', 95);
SELECT pg_temp.play('0:00', '0:00:30', '10 s'), pg_temp.play('0:01:10', '0:02:00', '10 s');
SELECT at, event, reason FROM pg_temp.history;
SELECT active_at::time, starts_at::time FROM observ.alerts;
SELECT pg_temp.clear();
-- With rows: the missed evaluations are made up for, and it fires at 1:00.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T H', 'cpu_percent', 90, '60 s', '10 s');
SELECT pg_temp.rows('h', '0:00', '0:02:00', '10 s', 95);
SELECT pg_temp.play('0:00', '0:00:30', '10 s');
SELECT status, evaluated_at::time, slots, firing, changes FROM observ.evaluate_alerts('2035-07-01 00:01:10');
SELECT at, event, reason FROM pg_temp.history;
SELECT active_at::time, starts_at::time FROM observ.alerts;
SELECT pg_temp.clear();
-- C9: what began and ended while nobody looked is found, with the times that it would have had; as if there had been no pause.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval, reopen_window) VALUES ('T C9', 'cpu_percent', 90, '20 s', '10 s', '0');
SELECT pg_temp.rows('h', '0:00', '0:00:30', '10 s', 5), pg_temp.rows('h', '0:00:40', '0:01:10', '10 s', 95), pg_temp.rows('h', '0:01:20', '0:01:40', '10 s', 5), pg_temp.rows('h', '0:01:50', '0:03:00', '10 s', 96);
SAVEPOINT undisturbed;
SELECT pg_temp.play('0:00', '0:03:00', '10 s');
SELECT at, event, reason FROM pg_temp.history;
SELECT status, active_at::time, starts_at::time, ends_at::time, value, peak_value FROM observ.alerts ORDER BY alert_id;
ROLLBACK TO undisturbed;
SELECT pg_temp.play('0:00', '0:00:30', '10 s'), pg_temp.play('0:03:00', '0:03:00', '10 s');
SELECT at, event, reason FROM pg_temp.history;
SELECT status, active_at::time, starts_at::time, ends_at::time, value, peak_value FROM observ.alerts ORDER BY alert_id;
SELECT pg_temp.clear();
-- Within the pause it fires, ends, and fires again: one alert, reopened.
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval) VALUES ('T reopened', 'cpu_percent', 90, '10 s');
SELECT pg_temp.rows('h', '0:00', '0:00:30', '10 s', 5), pg_temp.rows('h', '0:00:40', '0:01:10', '10 s', 95), pg_temp.rows('h', '0:01:20', '0:01:40', '10 s', 5), pg_temp.rows('h', '0:01:50', '0:03:00', '10 s', 96);
SELECT pg_temp.play('0:00', '0:00:30', '10 s'), pg_temp.play('0:03:00', '0:03:00', '10 s');
SELECT at, event, reason FROM pg_temp.history;
SELECT status, reopened, active_at::time, starts_at::time, ends_at::time, value, peak_value FROM observ.alerts ORDER BY alert_id;
SELECT pg_temp.clear();

-- Rules without an interval of their own: up to ten minutes are no pause; more is one of evaluations 15 s apart, the newest observ.catchup_max of which are made up for.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration) VALUES ('T general', 'cpu_percent', 90, '15 min');
SELECT pg_temp.rows('h', '0:00', '1:00:00', '15 s', 95);
SELECT pg_temp.play('0:00', '0:10', '10 min');
SELECT active_at::time, status FROM observ.alerts;
SET LOCAL observ.catchup_max = 4;
SELECT status, slots, rules, pending, firing, changes FROM observ.evaluate_alerts('2035-07-01 00:20:01');
SELECT at, event, reason FROM pg_temp.history;
-- What lies before those is not looked at, but there are rows of it: it went by all the same.
SELECT active_at::time, status FROM observ.alerts;
SET LOCAL observ.catchup_max = 0;
SELECT status, slots, rules, pending, firing, changes FROM observ.evaluate_alerts('2035-07-01 00:40:00');
SELECT active_at::time, status FROM observ.alerts;
RESET observ.catchup_max;
SELECT pg_temp.clear();

-- Each rule has its own pause: one that is evaluated every hour misses nothing in half an hour. A new rule has none.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T 10 s', 'cpu_percent', 90, '1 h', '10 s'), ('T 1 h', 'cpu_percent', 90, '2 h', '1 h');
SELECT pg_temp.rows('h', '0:00', '2:00', '10 s', 95);
SELECT pg_temp.play('0:00', '0:01', '10 s');
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T new', 'cpu_percent', 90, '1 h', '10 s');
SELECT status, slots, rules, changes FROM observ.evaluate_alerts('2035-07-01 00:30');
SELECT at, name, event FROM pg_temp.history ORDER BY 1, 2;
SELECT status, slots, rules, changes FROM observ.evaluate_alerts('2035-07-01 01:00:05');
SELECT name, active_at::time, status FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY 1;
SELECT pg_temp.clear();

-- Rows come less often than the rule is evaluated: the times between them are made up for as well, and nothing is left out. Of 11 minutes the server is away for 5: no pause for the one rule, one for the other.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T general', 'cpu_percent', 90, '1 h', NULL), ('T 15 s', 'cpu_percent', 90, '1 h', '15 s');
SELECT pg_temp.rows('h', '0:00', '0:20:00', '60 s', 95), pg_temp.rows('h', '0:26:05', '0:26:15', '10 s', 95);
SELECT pg_temp.play('0:00', '0:00', '1 min');
SELECT status, slots, changes FROM observ.evaluate_alerts('2035-07-01 00:10:45');
SELECT name, active_at::time, status FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY 1;
SELECT pg_temp.play('0:15', '0:15', '1 min');
SELECT status, slots, changes FROM observ.evaluate_alerts('2035-07-01 00:26:15');
SELECT at, name, event, reason FROM pg_temp.history ORDER BY at, name;
SELECT name, active_at::time, status FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY 1;
SELECT pg_temp.clear();
-- A server that was away, then a pause longer than can be made up for: only the former is left out.
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES ('T 10 s', 'cpu_percent', 90, '3 h', '10 s');
SELECT pg_temp.rows('h', '0:00', '0:01', '10 s', 95), pg_temp.rows('h', '0:31', '2:00', '10 s', 95);
SELECT pg_temp.play('0:00', '0:01', '10 s'), pg_temp.play('1:31', '1:31', '1 min');
SELECT at, event, reason FROM pg_temp.history;
SELECT active_at::time, status FROM observ.alerts;
SELECT pg_temp.clear();

-- While it was not enabled a rule missed nothing: what was true meanwhile is not found out later.
INSERT INTO observ.alert_rules (name, metric_name, threshold, evaluation_interval) VALUES ('T off', 'cpu_percent', 90, '10 s');
SELECT pg_temp.rows('h', '0:00', '0:29', '10 s', 5), pg_temp.rows('h', '0:29:10', '0:29:30', '10 s', 95), pg_temp.rows('h', '0:29:40', '0:30', '10 s', 5);
SELECT pg_temp.play('0:00', '0:01', '10 s');
UPDATE observ.alert_rules SET enabled = false WHERE name = 'T off';
SELECT pg_temp.play('0:02', '0:03', '1 min');
UPDATE observ.alert_rules SET enabled = true WHERE name = 'T off';
SELECT status, slots, rules, changes FROM observ.evaluate_alerts('2035-07-01 00:30');
SELECT at, event, reason FROM pg_temp.history;
SELECT pg_temp.clear();

-- Recovering, and a series that is missing, are moved as well.
INSERT INTO observ.alert_rules (name, metric_name, threshold, keep_firing_for, evaluation_interval) VALUES ('T recovering', 'cpu_percent', 90, '60 s', '10 s');
SELECT pg_temp.rows('h', '0:00', '0:00:10', '10 s', 95), pg_temp.rows('h', '0:00:20', '0:00:30', '10 s', 5), pg_temp.rows('h', '0:10', '0:11', '10 s', 5);
SELECT pg_temp.play('0:00', '0:00:30', '10 s'), pg_temp.play('0:10', '0:11', '10 s');
SELECT at, event, reason FROM pg_temp.history;
SELECT pg_temp.clear();
ROLLBACK;
