-- What an alert says when its rule says nothing: a summary of value, threshold and where, and the rule's description. In virtual time.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.at(minutes numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2034-07-01 00:00+00'::timestamptz + $1 * interval '1 min' $$;
SELECT status FROM observ.maintain_partitions(pg_temp.at(0));
-- Of this test alone.
CREATE TABLE texts_saved AS SELECT rule_id FROM observ.alert_rules WHERE enabled;
UPDATE observ.alert_rules SET enabled = false WHERE enabled;
DELETE FROM observ.alerts; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
INSERT INTO observ.vps (vps_name) VALUES ('txt-1'), ('txt-2') ON CONFLICT DO NOTHING;

INSERT INTO observ.alert_rules (name, description, metric_name, threshold, per_app) VALUES ('High CPU Usage', 'Look at {{ top }} first.', 'cpu_usage', 80, false);
INSERT INTO observ.alert_rules (name, metric_name, operator, threshold, aggregate, "window") VALUES ('Txt Low', 'memory_available_mb', 'lt', 1500000, 'avg', '5 min');
INSERT INTO observ.alert_rules (name, query) VALUES ('Txt Query', $$SELECT '{"queue": "mail", "shard": "7"}'::jsonb AS labels, 1234567.5::float8 AS value, true AS breach$$);
INSERT INTO observ.alert_rules (name, query) VALUES ('Txt Long', $$SELECT jsonb_build_object('vps_name', 'txt-1', 'url', repeat('ä', 200)) AS labels, NULL::float8 AS value, true AS breach$$);
INSERT INTO observ.alert_rules (name, description, metric_name, threshold, per_app, annotations) VALUES ('Txt Own', 'not shown', 'cpu_percent', 80, false, '{"summary": "mine: {{ value }}", "description": "my words"}');
INSERT INTO observ.alert_rules (name, metric_name, threshold, per_app, annotations) VALUES ('Txt Empty', 'cpu_percent', 80, false, '{"summary": "", "runbook": "page 1"}');
INSERT INTO observ.vps_metrics (vps_name, app_name, "timestamp", interval_ms, cpu_percent, memory_available_mb) VALUES ('txt-1', 'shop', pg_temp.at(0), 60000, 95, 1234567);
SELECT status, firing FROM observ.evaluate_alerts(pg_temp.at(0));
SELECT labels ->> 'alertname' AS rule, summary, description, annotations - 'summary' - 'description' AS others FROM observ.alerts WHERE labels ->> 'alertname' <> 'Txt Long' ORDER BY 1;
SELECT octet_length(summary), left(summary, 40), summary = annotations ->> 'summary' AS same FROM observ.alerts WHERE labels ->> 'alertname' = 'Txt Long';

-- The value is kept up to date, as in other annotations; the threshold and the name when the rule changes.
INSERT INTO observ.vps_metrics (vps_name, app_name, "timestamp", interval_ms, cpu_percent, memory_available_mb) VALUES ('txt-1', 'shop', pg_temp.at(1), 60000, 97.53, 1234567);
SELECT status FROM observ.evaluate_alerts(pg_temp.at(1));
SELECT summary FROM observ.alerts WHERE labels ->> 'alertname' = 'High CPU Usage';
UPDATE observ.alert_rules SET threshold = 90.5, operator = 'gte', description = 'Other words' WHERE name = 'High CPU Usage';
INSERT INTO observ.vps_metrics (vps_name, app_name, "timestamp", interval_ms, cpu_percent, memory_available_mb) VALUES ('txt-1', 'shop', pg_temp.at(2), 60000, 99, 1234567);
SELECT status FROM observ.evaluate_alerts(pg_temp.at(2));
SELECT summary, description FROM observ.alerts WHERE labels ->> 'alertname' = 'High CPU Usage';
-- Resolved it says what it said last; the value is that which cleared it.
INSERT INTO observ.vps_metrics (vps_name, app_name, "timestamp", interval_ms, cpu_percent, memory_available_mb) VALUES ('txt-1', 'shop', pg_temp.at(3), 60000, 5, 1234567);
SELECT status, resolved FROM observ.evaluate_alerts(pg_temp.at(3));
SELECT status, value, summary FROM observ.alerts WHERE labels ->> 'alertname' = 'High CPU Usage';

DELETE FROM observ.alert_rules WHERE name ~ '^Txt|^High CPU Usage$';
SELECT status FROM observ.evaluate_alerts(pg_temp.at(4));
DELETE FROM observ.alerts; UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity';
DELETE FROM observ.vps WHERE vps_name ~ '^txt-';
UPDATE observ.alert_rules SET enabled = true FROM texts_saved s WHERE s.rule_id = alert_rules.rule_id;
DROP TABLE texts_saved;
