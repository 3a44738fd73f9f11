-- Alert rules: what is taken, what is completed, what is refused and how. Evaluations are elsewhere.
-- What an INSERT of it raises, in one row; NULLs when it is taken (and then it is undone).
CREATE FUNCTION pg_temp.refusal(rule jsonb, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM observ.create_alert_rule(rule);
		RAISE EXCEPTION USING ERRCODE = 'XX999', MESSAGE = 'taken';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	END;
END $$;
-- Each element is a rule about cpu_percent > 80, with other keys.
CREATE FUNCTION pg_temp.refusals(rules jsonb, OUT rule jsonb, OUT state text, OUT message text, OUT detail text, OUT hint text)
	RETURNS SETOF record LANGUAGE sql AS $$
	SELECT r.value, x.* FROM jsonb_array_elements(rules) WITH ORDINALITY r (value, n),
		pg_temp.refusal('{"name": "R", "metric_name": "cpu_percent", "threshold": 80}' || r.value) x ORDER BY n
$$;
-- What this test enters has higher numbers than what was there.
CREATE TEMP TABLE counted AS SELECT max(rule_id) AS before FROM observ.alert_rules;
\pset format unaligned
\pset tuples_only on

-- The rule of the seeds, as it stands.
SELECT observ.create_alert_rule('{"name":"High CPU Usage","description":"Alert when CPU usage exceeds 80%","metric_name":"cpu_usage","operator":"gt","threshold":80,"severity":"high","enabled":true,"notification_channels":["email","slack"],"labels":{"team":"infrastructure","environment":"production"}}') > 0;
SELECT source, metric_name, operator, threshold, severity, enabled, notification_channels, labels, category, aggregate, for_duration, owner = CURRENT_USER, version, created_at = now(), updated_at = now()
	FROM observ.alert_rules WHERE name = 'High CPU Usage';
-- A name again, a key that is none, no object, no name.
SELECT * FROM pg_temp.refusals('[{"name": "High CPU Usage"}, {"treshold": 3}, {"for": "5m"}, {"zzz": 1}, {"name": null}]');
SELECT observ.create_alert_rule('[1]');
-- Durations in Prometheus's spelling, in PostgreSQL's, and as seconds; null is what was left out.
SELECT observ.create_alert_rule('{"name": "spelled", "metric_name": "memory_usage", "aggregate": "avg", "window": "1h30m", "for_duration": "5m", "keep_firing_for": 90, "evaluation_interval": "2 minutes",
	"evaluation_delay": 1.5, "missing_for": "1d", "threshold": "90.5", "operator": ">=", "clear_threshold": null, "labels": null, "min_samples": 3, "per_app": false}') > 0;
SELECT "window", for_duration, keep_firing_for, evaluation_interval, evaluation_delay, missing_for, threshold, operator, clear_threshold, labels, min_samples, per_app FROM observ.alert_rules WHERE name = 'spelled';
-- An error names its key.
SELECT observ.create_alert_rule('{"name": "x", "metric_name": "cpu_percent", "threshold": 1, "for_duration": "5 parsecs"}');

-- Brackets are no part of a text.
SELECT * FROM pg_temp.refusals('[{"evaluation_interval": [1]}, {"name": ["R"]}, {"threshold": {"value": 1}}]');

-- Every number of observ.vps_metrics is a metric, and nothing else of it.
SELECT attname FROM pg_attribute WHERE attrelid = 'observ.vps_metrics'::regclass AND attnum > 0 AND attname <> 'id' AND atttypid IN ('real'::regtype, 'integer'::regtype, 'bigint'::regtype, 'float8'::regtype)
EXCEPT SELECT name FROM observ.alert_metrics() WHERE source = 'vps_metrics';
SELECT name FROM observ.alert_metrics() WHERE source = 'vps_metrics'
EXCEPT SELECT attname FROM pg_attribute WHERE attrelid = 'observ.vps_metrics'::regclass ORDER BY 1;
SELECT name, source, unit, description, aliases FROM observ.alert_metrics() WHERE source <> 'vps_metrics' OR aliases IS NOT NULL;

-- The source is found out, also when the metric changes, and rule_id stays (C27).
INSERT INTO observ.alert_rules (name, metric_name, threshold) VALUES ('C27', 'disk_usage', 90);
SELECT source, version, updated_at FROM observ.alert_rules WHERE name = 'C27' \gset before_
SELECT rule_id FROM observ.alert_rules WHERE name = 'C27' \gset
UPDATE observ.alert_rules SET metric_name = 'log_rate', "window" = '5 minutes' WHERE name = 'C27' RETURNING source, version, rule_id = :rule_id;
UPDATE observ.alert_rules SET metric_name = 'data_age_seconds', "window" = NULL WHERE name = 'C27' RETURNING source, version, rule_id = :rule_id;
UPDATE observ.alert_rules SET metric_name = NULL, query = 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach' WHERE name = 'C27' RETURNING source, version, rule_id = :rule_id;
UPDATE observ.alert_rules SET metric_name = 'tls_days_left', query = NULL, operator = 'lt', threshold = 21 WHERE name = 'C27' RETURNING source, version, rule_id = :rule_id;
-- What changes nothing is no new version; number and times are not for users.
UPDATE observ.alert_rules SET threshold = 21, version = 99, created_at = 'epoch', updated_at = 'epoch' WHERE name = 'C27' RETURNING version, created_at = now(), updated_at > 'epoch';
UPDATE observ.alert_rules SET rule_id = 0 WHERE name = 'C27';
-- Labelled metrics: of a series that there is, or with the source said.
SELECT * FROM pg_temp.refusals('[{"metric_name": "queue_depth"}]');
SELECT observ.record_metric('queue_depth', 3, '{"queue": "mail"}', 'web-1'), observ.record_metric('processes_by_user', 3, '{"user": "www"}', 'web-1');
INSERT INTO observ.alert_rules (name, metric_name, threshold, matchers) VALUES ('labelled', 'queue_depth', 100, '{queue=~"mail|sms"}') RETURNING source;
SELECT * FROM pg_temp.refusals('[{"metric_name": "queue_dept"}, {"metric_name": "queue_dept", "source": "vps_metrics"}, {"metric_name": "queue_depth", "source": "vps_metrics"}]');
INSERT INTO observ.alert_rules (name, metric_name, source, threshold) VALUES ('still to come', 'orders_total', 'metric_samples', 100), ('same name', 'processes', 'metric_samples', 1) RETURNING name, source;
-- A column of that name comes first, unless it was a labelled metric before and can go on being one.
UPDATE observ.alert_rules SET metric_name = 'processes_by_user' WHERE name = 'same name' RETURNING source;
UPDATE observ.alert_rules SET metric_name = 'processes' WHERE name = 'same name' RETURNING source;

-- What it can be about.
SELECT * FROM pg_temp.refusals('[{"metric_name": "cpu_percnt"}, {"metric_name": "iowait"}, {"metric_name": "qqqqqqqq"}, {"metric_name": null}, {"query": "SELECT 1"},
	{"source": "prometheus"}, {"source": "log_entries"}, {"source": "query"}]');
-- Operators and thresholds.
INSERT INTO observ.alert_rules (name, metric_name, threshold, operator) SELECT 'operator ' || given, 'cpu_percent', 1, given
	FROM unnest(ARRAY['gt', '>', 'GTE', '>=', 'lt', '<', '<=', '=', '==', '!=', '<>']) given RETURNING name, operator;
SELECT * FROM pg_temp.refusals('[{"operator": "above"}, {"operator": ""}, {"threshold": null}, {"threshold": "NaN"}, {"threshold": "-Infinity"},
	{"clear_threshold": 85}, {"operator": "lt", "clear_threshold": 75}, {"operator": "eq", "clear_threshold": 80}, {"clear_threshold": "NaN"}, {"clear_threshold": 80}, {"operator": "lte", "clear_threshold": 80}]');
-- Aggregates and what they need, in a fleet of which nobody has said how often it reports.
BEGIN;
DELETE FROM observ.fleet_summary;
UPDATE observ.vps SET expected_interval = NULL;
SELECT * FROM pg_temp.refusals('[{"aggregate": "mean", "window": "5m"}, {"aggregate": "avg"}, {"aggregate": "avg", "window": "0"}, {"aggregate": "avg", "window": "-5m"}, {"aggregate": "avg", "window": "200 days"},
	{"aggregate": "avg", "window": "20 years"}, {"aggregate": "rate", "window": "5m"}, {"aggregate": "increase", "window": "5m", "metric_name": "oom_kills"},
	{"aggregate": "predict", "window": "1h"}, {"aggregate": "predict", "window": "1h", "predict_ahead": "0"}, {"aggregate": "avg", "window": "1h", "predict_ahead": "1h"},
	{"aggregate": "avg", "window": "1h", "predict_from": 60}, {"aggregate": "predict", "window": "1h", "predict_ahead": "1h", "predict_from": "NaN"}, {"aggregate": "predict", "window": "1h", "predict_ahead": "1h", "operator": "ne", "predict_from": 60},
	{"aggregate": "avg", "window": "1h", "metric_name": "log_count"}, {"metric_name": "log_count"}, {"aggregate": "max", "window": "5m", "metric_name": "tls_days_left"}, {"metric_name": "health_failure_percent"},
	{"aggregate": "anomaly", "window": "5m", "metric_name": "health_response_ms"}, {"aggregate": "anomaly", "window": "5m", "metric_name": "load_avg_5m_per_core"},
	{"aggregate": "anomaly", "window": "5m"}, {"aggregate": "p95", "window": "10m", "metric_name": "health_response_ms"}, {"aggregate": "predict", "window": "1h", "predict_ahead": "4h"},
	{"metric_name": "data_age_seconds", "operator": "lt"}, {"metric_name": "data_age_seconds", "window": "5m"}, {"metric_name": "data_age_seconds"}, {"min_samples": 0}]');
-- A window must have room for two samples, and for min_samples; 10 s apart when nobody has said.
SELECT * FROM pg_temp.refusals('[{"aggregate": "avg", "window": "10s"}, {"aggregate": "avg", "window": "11s"}, {"aggregate": "avg", "window": "1m", "min_samples": 7}, {"aggregate": "avg", "window": "1m", "min_samples": 6}, {"window": "5s"}]');
INSERT INTO observ.vps (vps_name, expected_interval, status) VALUES ('slow', '5 minutes', 'active'), ('retired', '1 second', 'retired');
SELECT * FROM pg_temp.refusals('[{"aggregate": "avg", "window": "5m"}, {"aggregate": "avg", "window": "301s"}, {"aggregate": "avg", "window": "10m", "min_samples": 3}]');
-- What is fine already stays editable, and what has become wrong can be switched off, but not on again.
UPDATE observ.alert_rules SET threshold = 91, "window" = '1h30m' WHERE name = 'spelled' RETURNING version;
INSERT INTO observ.alert_rules (name, metric_name, aggregate, "window", threshold) VALUES ('was fine', 'cpu_percent', 'avg', '10 minutes', 1);
UPDATE observ.vps SET expected_interval = '1 hour' WHERE vps_name = 'slow';
UPDATE observ.alert_rules SET threshold = 2 WHERE name = 'was fine' RETURNING version;
UPDATE observ.alert_rules SET enabled = false WHERE name = 'was fine' RETURNING version;
SAVEPOINT s;
UPDATE observ.alert_rules SET enabled = true WHERE name = 'was fine';
ROLLBACK TO s;
-- How long rows are kept: raw ones or their roll-ups, whichever are there longer.
UPDATE observ.retention_policies SET max_age = '3 hours' WHERE data_set IN ('vps_metrics', 'log_entries');
SELECT * FROM pg_temp.refusals('[{"aggregate": "max", "window": "100 days"}, {"metric_name": "log_count", "window": "4h"}]');
UPDATE observ.retention_policies SET max_age = '2 hours' WHERE data_set = 'rollup_5m';
SELECT * FROM pg_temp.refusals('[{"aggregate": "max", "window": "100 days"}]');
UPDATE observ.retention_policies SET enabled = false WHERE data_set = 'rollup_5m';
SELECT * FROM pg_temp.refusals('[{"aggregate": "max", "window": "100 days"}]');
ROLLBACK;
-- Durations.
SELECT * FROM pg_temp.refusals('[{"for_duration": "-1s"}, {"keep_firing_for": "-1 day"}, {"evaluation_delay": "-1s"}, {"missing_for": "-1s"}, {"reopen_window": "-1s"}, {"evaluation_interval": "0"},
	{"evaluation_interval": "-1m"}, {"for_duration": "11 years"}, {"for_duration": "170000000 years"}, {"for_duration": null}, {"no_data": "ok"}, {"on_missing": "fire"}, {"severity": "urgent"}]');
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration) VALUES ('n', 'cpu_percent', 1, NULL);
-- Matchers and selectors, with the place of the mistake.
SELECT * FROM pg_temp.refusals('[{"selector": "{env=\"prod\""}, {"selector": "{env=~\"pr(od\"}"}, {"selector": "{env==\"x\"}"}, {"selector": "{env=\"prod\", vps_name!~\"db-.*\"}"},
	{"matchers": "{mount=\"/\"}"}, {"metric_name": "log_count", "window": "5m", "matchers": "{lvl=\"error\"}"}, {"metric_name": "log_count", "window": "5m", "matchers": "{level=~\"error|fatal\", message=~\".*timeout.*\"}"},
	{"metric_name": "health_response_ms", "matchers": "{url=~\"https:.*\", status=\"200\"}"}, {"metric_name": "queue_depth", "matchers": "{anything=\"x\"}"}, {"matchers": "{}"}]');
INSERT INTO observ.alert_rules (name, metric_name, threshold, selector) VALUES ('n', 'cpu_percent', 1, '{env=~"a{2,1}"}');
-- C21: a label is constant, and not one that alerts get anyway.
SELECT * FROM pg_temp.refusals('[{"labels": {"load": "{{ value }}"}}, {"labels": {"severity": "high"}}, {"labels": {"vps_name": "x"}}, {"labels": {"alertname": "x"}}, {"labels": {"instance": "x"}},
	{"labels": {"n": 3}}, {"labels": {"n": null}}, {"labels": {"n": {"a": "b"}}}, {"labels": ["a"]}, {"labels": "a"}, {"labels": {"": "x"}}, {"labels": {"a b": "x"}}, {"labels": {"1a": "x"}}, {"labels": {"team": "a {b}"}}]');
SELECT state, message FROM pg_temp.refusals(jsonb_build_array(jsonb_build_object('labels', jsonb_build_object('a', repeat('x', 5000)))));
SELECT state, message, detail FROM pg_temp.refusals(jsonb_build_array(jsonb_build_object('labels', (SELECT jsonb_object_agg('l' || n, 'x') FROM generate_series(1, 65) n))));
-- C15: an annotation that does not render is refused; what it may refer to need not be there.
SELECT * FROM pg_temp.refusals('[{"annotations": {"summary": "CPU at {{ value }"}}, {"annotations": {"summary": "größer: {{ valeu }}"}}, {"annotations": {"summary": "{{ value | precent }}"}}, {"annotations": {"summary": "{{ rule.nme }}"}},
	{"annotations": {"summary": "{{ value | round(x) }}"}}, {"annotations": {"summary": 3}}, {"annotations": {"": "x"}}, {"annotations": [1]},
	{"annotations": {"summary": "{{ $labels.no_such }}: {{ $value | humanize }} {{ printf \"%.1f\" $value }} {{ threshold | percent }} {{ rule.name }}", "description": "", "action": "{ } }}"}}]');
SELECT state, message, hint FROM pg_temp.refusals(jsonb_build_array(jsonb_build_object('annotations', jsonb_build_object('a', repeat('x', 5000)))));
-- Channels, names, addresses.
SELECT * FROM pg_temp.refusals('[{"notification_channels": []}, {"notification_channels": ["email", ""]}, {"notification_channels": ["email", null]}, {"category": ""}, {"name": " "}, {"runbook_url": "wiki/cpu"}, {"runbook_url": "javascript:alert(1)"},
	{"runbook_url": "https://wiki.example/cpu"}, {"notification_channels": ["not there yet"]}]');
-- Queries: one statement that reads and returns labels, value and breach; $1 is the time.
CREATE TABLE public.queues (name text, depth bigint, seen timestamptz);
CREATE FUNCTION pg_temp.query(query text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE sql AS $$
	SELECT (pg_temp.refusal(jsonb_build_object('name', 'Q', 'query', query))).* $$;
SELECT q.* FROM unnest(ARRAY[
	$q$SELECT jsonb_build_object('queue', name) AS labels, depth::float8 AS value, depth > 1000 AS breach FROM public.queues WHERE seen <= $1$q$,
	$q$WITH q AS (SELECT * FROM public.queues) SELECT true AS breach, 1::float8 AS value, '{}'::jsonb AS labels FROM q;$q$,
	'', ';', 'SELECT', 'SELECT 1; SELECT 2', 'SELECT jsonb_build_object() AS labels, count(*) AS value, true AS breach FROM public.queues', 'SELECT jsonb_build_object() AS labels, now() AS value, true AS breach',
	'SELECT json_build_object() AS labels, 1 AS value, true AS breach', 'SELECT jsonb_build_object() AS labels, 1 AS value, 1 AS breach', 'SELECT jsonb_build_object() AS labels, ''1'' AS value, true AS breach', 'SELECT 1::float8 AS value, true AS breach',
	$q$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach, 1 AS more$q$, $q$SELECT '{}'::jsonb AS labels, '{}'::jsonb AS labels, 1::float8 AS value, true AS breach$q$,
	$q$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach FROM queues$q$, $q$SELECT '{}'::jsonb AS labels, $2::float8 AS value, true AS breach$q$,
	'DELETE FROM public.queues', 'UPDATE public.queues SET depth = 1 RETURNING depth', 'SET search_path = x', 'DROP TABLE public.queues', 'VALUES (1)',
	$q$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach INTO public.x$q$,
	$q$WITH d AS (DELETE FROM public.queues RETURNING *) SELECT '{}'::jsonb AS labels, depth::float8 AS value, true AS breach FROM d$q$,
	$q$SELECT '{}'::jsonb AS labels, depth::float8 AS value, true AS breach FROM public.queues FOR UPDATE$q$,
	$q$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach FROM pg_temp.counted$q$]) WITH ORDINALITY s (query, n), pg_temp.query(s.query) q ORDER BY n;
-- Stored so that another query can hold it.
INSERT INTO observ.alert_rules (name, query) VALUES ('stored', '/* a */ SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach -- b;
 ; -- c') RETURNING query, version;
UPDATE observ.alert_rules SET description = 'same' WHERE name = 'stored' RETURNING query, version;
-- Nothing beside it that it decides itself; a threshold is there for annotations.
SELECT * FROM pg_temp.refusals((SELECT jsonb_agg(x || '{"metric_name": null, "threshold": null, "query": "SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach"}') FROM jsonb_array_elements(
	'[{"window": "5m"}, {"aggregate": "avg"}, {"matchers": "{}"}, {"clear_threshold": 1}, {"description": "fine"}]') x));
-- The place of a mistake is shown in the query, not in the INSERT.
\set VERBOSITY default
INSERT INTO observ.alert_rules (name, query) VALUES ('place', 'SELECT labels, valeu FROM public.queues');

-- Owners: the query runs as its owner, so nobody makes somebody else one; who changes the query of another makes it their own.
CREATE ROLE observ_regress_alice LOGIN IN ROLE observ_admin;
CREATE ROLE observ_regress_bob LOGIN IN ROLE observ_admin;
CREATE ROLE observ_regress_reader LOGIN IN ROLE observ_reader;
SET ROLE observ_regress_alice;
INSERT INTO observ.alert_rules (name, query) VALUES ('alice''s', 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach') RETURNING owner;
INSERT INTO observ.alert_rules (name, query, owner) VALUES ('x', 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach', 'observ_regress_bob');
INSERT INTO observ.alert_rules (name, query, owner) VALUES ('x', 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach', 'nobody at all');
INSERT INTO observ.alert_rules (name, query) VALUES ('x', 'SELECT ''{}''::jsonb AS labels, depth::float8 AS value, true AS breach FROM public.queues');
INSERT INTO observ.alert_rules (name, query) VALUES ('x', 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, EXISTS (SELECT FROM public.queues) AS breach');
INSERT INTO observ.alert_rules (name, query, owner) VALUES ('reads the fleet', 'SELECT ''{}''::jsonb AS labels, count(*)::float8 AS value, false AS breach FROM observ.vps', 'observ_owner') RETURNING owner;
SET ROLE observ_regress_bob;
UPDATE observ.alert_rules SET severity = 'low' WHERE name = 'alice''s' RETURNING owner;
UPDATE observ.alert_rules SET query = 'SELECT ''{}''::jsonb AS labels, 2::float8 AS value, true AS breach' WHERE name = 'alice''s' RETURNING owner;
UPDATE observ.alert_rules SET owner = 'observ_regress_alice' WHERE name = 'alice''s';
SET ROLE observ_regress_reader;
SELECT count(*) FROM observ.alert_rules WHERE name = 'alice''s';
SELECT count(*) > 50 FROM observ.alert_metrics();
UPDATE observ.alert_rules SET enabled = false;
SELECT observ.create_alert_rule('{"name": "x"}');
RESET ROLE;
-- A rule whose owner has gone can be switched off, and given to somebody.
GRANT SELECT ON public.queues TO observ_regress_bob;
UPDATE observ.alert_rules SET query = 'SELECT ''{}''::jsonb AS labels, depth::float8 AS value, true AS breach FROM public.queues' WHERE name = 'alice''s' RETURNING owner;
DROP TABLE public.queues;
DROP ROLE observ_regress_alice, observ_regress_bob, observ_regress_reader;
UPDATE observ.alert_rules SET description = 'x' WHERE name = 'alice''s' RETURNING owner;
UPDATE observ.alert_rules SET enabled = false WHERE name = 'alice''s' RETURNING enabled;
UPDATE observ.alert_rules SET enabled = true WHERE name = 'alice''s';
UPDATE observ.alert_rules SET enabled = true, owner = CURRENT_USER, query = 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, true AS breach' WHERE name = 'alice''s' RETURNING enabled, owner = CURRENT_USER;

-- Rules that somebody broke behind the trigger's back fail alone, with the reason, and can be put right.
BEGIN;
DELETE FROM observ.alert_rules;
INSERT INTO observ.alert_rules (name, metric_name, threshold) SELECT 'broken ' || n, 'cpu_percent', 80 FROM generate_series(1, 5) n;
ALTER TABLE observ.alert_rules DISABLE TRIGGER check_rule;
UPDATE observ.alert_rules SET operator = 'above' WHERE name = 'broken 1';
UPDATE observ.alert_rules SET selector = '{env=~"("}' WHERE name = 'broken 2';
UPDATE observ.alert_rules SET metric_name = 'cpu_percnt' WHERE name = 'broken 3';
UPDATE observ.alert_rules SET for_duration = '-1 minute' WHERE name = 'broken 4';
ALTER TABLE observ.alert_rules ENABLE TRIGGER check_rule;
SELECT status, rules, failed FROM observ.evaluate_alerts('2040-01-01');
SELECT name, status, last_error_sqlstate, last_error FROM observ.rule_status ORDER BY 1;
UPDATE observ.alert_rules SET operator = 'gt', selector = NULL, metric_name = 'cpu_usage', for_duration = '1 minute';
SELECT status, rules, failed FROM observ.evaluate_alerts('2040-01-01 00:01');
SELECT name, status, last_error FROM observ.rule_status ORDER BY 1;
-- What is gone from the table is said, not guessed.
ALTER TABLE observ.alert_rules RENAME COLUMN category TO kind;
SELECT observ.evaluate_alerts('2040-01-01 00:02');
ROLLBACK;

-- What a dump brings is taken as it was, by who may act as the owner of the table and of the rule.
CREATE ROLE observ_regress_alice LOGIN IN ROLE observ_admin;
BEGIN;
SET LOCAL row_security = off;
INSERT INTO observ.alert_rules (name, source, metric_name, threshold, version, created_at, owner) VALUES ('restored', 'metric_samples', 'not_there_yet', 1, 7, '2020-01-01', 'gone') RETURNING version, created_at, owner;
SET ROLE observ_regress_alice;
INSERT INTO observ.alert_rules (name, source, metric_name, threshold, version, owner) VALUES ('restored 2', 'metric_samples', 'not_there_yet', 1, 7, 'observ_owner') RETURNING version, owner;
INSERT INTO observ.alert_rules (name, source, metric_name, threshold, version, owner) VALUES ('restored 3', 'metric_samples', 'not_there_yet', 1, 7, 'pg_monitor') RETURNING version, owner;
ROLLBACK;
DROP ROLE observ_regress_alice;

-- A dry run is a transaction.
BEGIN;
UPDATE observ.alert_rules SET threshold = 99 WHERE name = 'High CPU Usage' RETURNING version;
ROLLBACK;
SELECT version, threshold FROM observ.alert_rules WHERE name = 'High CPU Usage';
-- The trigger is nobody's function.
SELECT observ_data._check_alert_rule();
DELETE FROM observ.alert_rules WHERE rule_id > coalesce((SELECT before FROM counted), 0);
DELETE FROM observ.metric_series WHERE metric_name IN ('queue_depth', 'processes_by_user');
DELETE FROM observ.metric_usage;
