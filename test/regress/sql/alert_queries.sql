-- Rules that are SQL: run as who entered them, read-only, in limited time; what is wrong with one is its own error (C7). In virtual time; nothing of it stays but a role, which goes at the end.
SET client_min_messages = warning;
CREATE ROLE regress_rule_owner;
GRANT observ_admin TO regress_rule_owner;
BEGIN;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
UPDATE observ.alert_rules SET enabled = false;
UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
DELETE FROM observ.alerts;
DELETE FROM observ.alert_history;
CREATE TABLE public.orders (shop text, waiting int, since timestamptz);
CREATE TABLE public.secrets (n int);
INSERT INTO public.orders VALUES ('a', 5, '2035-08-01 10:00'), ('b', 50, '2035-08-01 10:00'), ('c', 500, '2035-08-01 10:30');
GRANT SELECT ON public.orders TO regress_rule_owner;
CREATE FUNCTION pg_temp.evaluate(at time) RETURNS TABLE (status text, failed int, pending int, firing int, resolved int, changes int) LANGUAGE sql AS $$
	SELECT e.status, e.failed, e.pending, e.firing, e.resolved, e.changes FROM observ.evaluate_alerts('2035-08-01'::date + at) e $$;
-- A query that the trigger would refuse, or could not judge, past it.
CREATE FUNCTION pg_temp.smuggle(name text, query text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO observ.alert_rules (name, query, reopen_window, owner) VALUES (name, 'SELECT ''{}''::jsonb AS labels, 1::float8 AS value, false AS breach', '0', 'regress_rule_owner');
		SET LOCAL session_replication_role = replica;
		UPDATE observ.alert_rules r SET query = $2, version = version + 1 WHERE r.name = $1;
		SET LOCAL session_replication_role = origin;
	END $$;
CREATE VIEW pg_temp.errors AS SELECT name, status, errors, last_error, last_error_sqlstate FROM observ.rule_status WHERE errors > 0 ORDER BY name;

-- Joins the team's own tables; $1 is the time; the labels say what it is about.
INSERT INTO observ.alert_rules (name, query, owner) VALUES ('orders wait', 'SELECT jsonb_build_object(''shop'', shop) AS labels, waiting::float8 AS value, waiting > 20 AS breach FROM public.orders WHERE since <= $1', 'regress_rule_owner');
SELECT * FROM pg_temp.evaluate('10:00');
SELECT identity, labels, status, value, sampled_at::time FROM observ.alerts ORDER BY 1;
SELECT * FROM pg_temp.evaluate('10:30');
-- What the query does not return any more is clear; so is what it returns as such, with its value.
UPDATE public.orders SET waiting = 7 WHERE shop = 'b';
DELETE FROM public.orders WHERE shop = 'c';
SELECT * FROM pg_temp.evaluate('10:31');
SELECT identity, status, value, resolved_reason FROM observ.alerts ORDER BY 1;
-- breach NULL is not known: nothing is decided, for missing_for.
UPDATE public.orders SET waiting = 70 WHERE shop = 'b';
SELECT * FROM pg_temp.evaluate('11:00');
UPDATE public.orders SET waiting = NULL WHERE shop = 'b';
SELECT * FROM pg_temp.evaluate('11:01');
SELECT * FROM pg_temp.evaluate('11:02');
SELECT identity, status, value, resolved_reason FROM observ.alerts ORDER BY alert_id;
DELETE FROM observ.alert_rules WHERE name = 'orders wait';
SELECT * FROM pg_temp.evaluate('11:03');

-- A selector goes by what is known of each VPS, also when this query is the first that asks.
INSERT INTO observ.vps (vps_name, labels) VALUES ('q1', '{"team": "a"}'), ('q2', '{"team": "b"}'), ('q3', '{"team": "a"}');
INSERT INTO observ.alert_rules (name, query, selector, owner) VALUES ('of team a', 'SELECT jsonb_build_object(''vps_name'', v) AS labels, 1::float8 AS value, true AS breach FROM unnest(ARRAY[''q1'', ''q2'', ''q3'']) v', '{team="a"}', 'regress_rule_owner');
SELECT * FROM pg_temp.evaluate('11:04');
SELECT instance, labels ->> 'team' AS team, status FROM observ.alerts WHERE rule_id = (SELECT rule_id FROM observ.alert_rules WHERE name = 'of team a') ORDER BY 1;
DELETE FROM observ.alert_rules WHERE name = 'of team a';
SELECT * FROM pg_temp.evaluate('11:05');

-- With the rights of the owner, not of the evaluation.
SELECT pg_temp.smuggle('reads secrets', 'SELECT ''{}''::jsonb AS labels, n AS value, true AS breach FROM public.secrets');
SELECT pg_temp.smuggle('who am I', 'SELECT jsonb_build_object(''user'', current_user::text, ''path'', current_setting(''search_path'')) AS labels, 1 AS value, true AS breach');
-- Nothing can be written, locked or set; nor can it say that it may.
SELECT pg_temp.smuggle('writes', 'WITH w AS (DELETE FROM public.orders RETURNING 1) SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach FROM w');
SELECT pg_temp.smuggle('two statements', 'SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach) q; DELETE FROM public.orders; SELECT * FROM (SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach');
CREATE FUNCTION public.rule_writes() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.orders VALUES ('x'); RETURN true; END $$;
SELECT pg_temp.smuggle('function writes', 'SELECT ''{}''::jsonb AS labels, 1 AS value, public.rule_writes() AS breach');
SELECT pg_temp.smuggle('may write', 'SELECT ''{}''::jsonb AS labels, 1 AS value, set_config(''transaction_read_only'', ''off'', false) = ''off'' AS breach');
SELECT pg_temp.smuggle('other role', 'SELECT ''{}''::jsonb AS labels, 1 AS value, set_config(''role'', ''none'', false) = ''x'' AS breach');
SELECT pg_temp.smuggle('sets', 'SELECT ''{}''::jsonb AS labels, 1 AS value, set_config(''work_mem'', ''64kB'', false) = ''x'' AS breach');
SELECT pg_temp.smuggle('locks rows', 'SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach FROM (SELECT * FROM public.orders FOR UPDATE) o');
-- Labels are an object of strings, each set of them once.
SELECT pg_temp.smuggle('labels number', 'SELECT jsonb_build_object(''a'', 1) AS labels, 1 AS value, true AS breach');
SELECT pg_temp.smuggle('labels array', 'SELECT ''["a"]''::jsonb AS labels, 1 AS value, true AS breach');
SELECT pg_temp.smuggle('labels twice', 'SELECT jsonb_build_object(''a'', ''b'') AS labels, g AS value, true AS breach FROM generate_series(1, 2) g');
SELECT pg_temp.smuggle('no such column', 'SELECT 1 AS one');
SELECT pg_temp.smuggle('not SQL', 'SELEKT');
SELECT pg_temp.smuggle('fails', 'SELECT ''{}''::jsonb AS labels, 1 / (waiting - waiting) AS value, true AS breach FROM public.orders WHERE waiting > 0');
-- Time is limited, for each rule of its own.
SET LOCAL observ.rule_statement_timeout = '200ms';
SELECT pg_temp.smuggle('sleeps', 'SELECT ''{}''::jsonb AS labels, 1 AS value, pg_sleep(100) IS NULL AS breach');
SELECT pg_temp.smuggle('well-behaved', 'SELECT NULL::jsonb AS labels, NULL::float8 AS value, true AS breach');
SELECT status, rules, failed, firing FROM observ.evaluate_alerts('2035-08-01 12:00');
SELECT * FROM pg_temp.errors;
SELECT name, identity, value, status FROM observ.alerts JOIN observ.alert_rules USING (rule_id) ORDER BY name;
SELECT count(*), current_user = session_user AS same_user, current_setting('transaction_read_only') AS read_only, current_setting('work_mem') <> '64kB' AS settings_kept FROM public.orders;
-- An owner who is gone.
DELETE FROM observ.alert_rules WHERE owner = 'regress_rule_owner';
SELECT pg_temp.smuggle('orphan', 'SELECT ''{}''::jsonb AS labels, 1 AS value, true AS breach');
SET LOCAL session_replication_role = replica;
UPDATE observ.alert_rules SET owner = 'regress_nobody' WHERE name = 'orphan';
SET LOCAL session_replication_role = origin;
SELECT failed, firing FROM observ.evaluate_alerts('2035-08-01 12:01');
SELECT * FROM pg_temp.errors;
DELETE FROM observ.alert_rules WHERE name = 'orphan';

-- A query that returns more rows than it may is read so far; what was not read of stays as it is (C26).
SELECT pg_temp.smuggle('many', 'SELECT jsonb_build_object(''n'', n::text) AS labels, n AS value, n IN (1, 30) AS breach FROM generate_series(30, 1, -1) n');
SELECT status, failed, firing FROM observ.evaluate_alerts('2035-08-01 13:00');
SET LOCAL observ.max_alerts_per_rule = 2;
SELECT status, failed, firing, resolved FROM observ.evaluate_alerts('2035-08-01 13:01');
SELECT identity, status FROM observ.alerts JOIN observ.alert_rules USING (rule_id) WHERE name = 'many' ORDER BY 1;
ROLLBACK;
DROP ROLE regress_rule_owner;
