-- Silences: what is refused, who made them, what an edit does, that nothing is lost, what they hide and until when (alerting.md 2.5, C17).
SET timezone = 'UTC';
SET client_min_messages = warning;
TRUNCATE observ.alerts, observ.silence_audit RESTART IDENTITY;
ALTER TABLE observ.silences DISABLE TRIGGER check_silence;
DELETE FROM observ.silences;
ALTER TABLE observ.silences ENABLE TRIGGER check_silence;
ALTER TABLE observ.silences ALTER silence_id RESTART;
CREATE ROLE observ_regress_operator IN ROLE observ_operator;
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
CREATE FUNCTION pg_temp.alert(name text, labels jsonb, severity observ.severity, status text DEFAULT 'firing', starts timestamptz DEFAULT '2033-03-01 10:00+00') RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, app_name, labels, identity, active_at, starts_at, ends_at)
	VALUES (md5($1 || $2), 0, $4, $3, $2 ->> 'vps_name', $2 ->> 'app_name', $2 || jsonb_build_object('alertname', $1, 'severity', $3), $2, $5,
		CASE WHEN $4 <> 'pending' THEN $5 END, CASE WHEN $4 = 'resolved' THEN $5 + interval '5 min' END) RETURNING alert_id;
$$;
CREATE FUNCTION pg_temp.hidden(at timestamptz) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg((a.labels ->> 'alertname') || '/' || a.instance || ' by ' || s.suppressed_by || coalesce(' until ' || (s.until AT TIME ZONE 'UTC')::time, ''), ', ' ORDER BY a.alert_id)
	FROM observ.alerts a JOIN observ.suppressed_alerts($1) s USING (alert_id);
$$;
SELECT count(pg_temp.alert(n, jsonb_build_object('vps_name', v), s::observ.severity))
FROM (VALUES ('DiskFull', 'critical'), ('CpuHigh', 'warning')) r (n, s), (VALUES ('db-1'), ('db-2')) vps (v);

-- Matchers: =, !=, =~, !~, all of a set, any of several sets; a label that is missing is empty; expressions are of the whole value.
SELECT m AS matchers, (SELECT coalesce(string_agg(alertname || '/' || instance, ' ' ORDER BY alertname, instance), '-') FROM observ.preview_silence(m)) AS hides
FROM unnest(ARRAY['{vps_name="db-1"}', '{alertname="CpuHigh",vps_name!="db-1"}', '{severity=~"critical|emergency"}', '{alertname!~".*Full"}',
	'{alertname=~"Disk"}', '{instance="db-2"}', '{app_name=""}', '{app_name!=""}', '{alertname="DiskFull",vps_name="db-1"} or {alertname="CpuHigh",vps_name="db-2"}',
	'{alertname=~"(?i)diskfull"}', 'vps_name=db-1']) m;
SELECT * FROM observ.preview_silence('{vps_name="db-1"}') ORDER BY alertname;
SELECT count(*) FROM observ.preview_silence('{}');
SELECT * FROM observ.preview_silence('{vps_name=~"("}');

-- C17: refused when written.
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name="db-1"', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{a="b"} or {vps_name=~"db-("}', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{a="b"} or c', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{}', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name=~".*"}', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name="db-1"} or {app_name!="shop"}', '2033-01-01', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name=~"' || repeat('x', 1001) || '"}', '2033-01-01', 'x');
\set VERBOSITY terse
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name="' || repeat('x', 10001) || '"}', '2033-01-01', 'x');
\set VERBOSITY default
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name="db-1"}', '2033-01-01', ' ');
INSERT INTO observ.silences (matchers, ends_at) VALUES ('{vps_name="db-1"}', '2033-01-01');
INSERT INTO observ.silences (matchers, comment) VALUES ('{vps_name="db-1"}', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{vps_name="db-1"}', 'infinity', 'x');
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{vps_name="db-1"}', '2033-01-02', '2033-01-02', 'x');
INSERT INTO observ.silences (matchers, ends_at, comment, auto_expire_when_clear) VALUES ('{vps_name="db-1"}', '2033-01-02', 'x', '-1 min');
INSERT INTO observ.silences (ends_at, comment) VALUES ('2033-01-02', 'x');
SELECT observ.silence('{vps_name="db-1"}', '1 hour', 'x', '2033-03-01');
SELECT observ.silence('{vps_name="db-1"}', comment => 'x');
SELECT observ.silence(NULL, '1 hour', 'x');
SELECT observ.silence('{vps_name="db-1"}', '-1 hour', 'x', at => '2033-03-01 10:00+00');
SELECT count(*) FROM observ.silences;

-- Not longer than the role may: from the beginning, or from when it is extended. What is as long already can be edited, and ended.
BEGIN;
SET LOCAL observ.silence_max_duration = '8h';
SELECT observ.silence('{vps_name="db-1"}', '8 hours', 'disks', at => '2033-03-01 10:00+00') AS eight \gset
SAVEPOINT s;
SELECT observ.silence('{vps_name="db-1"}', '8 hours 1 second', 'disks', at => '2033-03-01 10:00+00');
ROLLBACK TO s;
SELECT observ.silence('{vps_name="db-1"}', until => '2033-03-02 10:00+00', starts_at => '2033-03-02 01:00+00', comment => 'disks', at => '2033-03-01 10:00+00');
ROLLBACK TO s;
SELECT observ.silence('{vps_name="db-1"}', until => '2033-03-02 09:00+00', starts_at => '2033-03-02 01:00+00', comment => 'disks', at => '2033-03-01 10:00+00') > 0 AS later;
SAVEPOINT s;
UPDATE observ.silences SET ends_at = '2033-03-02 10:00+00' WHERE silence_id = :eight;
ROLLBACK TO s;
SET LOCAL observ.silence_max_duration = '1h';
UPDATE observ.silences SET comment = 'new disks' WHERE silence_id = :eight;
SELECT observ.expire_silence(:eight, '2033-03-01 10:00+00');
ROLLBACK;

-- Asked about when it would hide most of many; four alerts are no crowd.
SELECT observ.silence('{alertname=~".+"}', '1 hour', 'all of it', at => '2033-03-01 10:00+00') AS few \gset
SELECT observ.expire_silence(:few, '2033-03-01 10:00+00');
BEGIN;
SELECT count(pg_temp.alert('Many', jsonb_build_object('vps_name', 'web-' || i), 'low')) FROM generate_series(1, 6) i;
SELECT observ.silence('{alertname=~".+"}', '1 hour', 'ten', at => '2033-03-01 10:00+00') > 0 AS few;
SELECT count(pg_temp.alert('Many', jsonb_build_object('vps_name', 'web-' || i), 'low')) FROM generate_series(7, 8) i;
SELECT observ.silence('{alertname="CpuHigh"}', '1 hour', 'a few of many', at => '2033-03-01 10:00+00') > 0 AS few;
SELECT observ.silence('{alertname=~".+"}', '1 hour', 'all of it', at => '2033-03-01 10:00+00', confirm => true) > 0 AS confirmed;
SAVEPOINT before;
SELECT observ.silence('{alertname="Many"}', '1 hour', 'eight of twelve', at => '2033-03-01 10:00+00');
ROLLBACK TO before;
SELECT observ.silence('{alertname=~".+"}', '1 hour', 'too much', at => '2033-03-01 10:00+00');
ROLLBACK;

-- Real author, whatever is said; a start in the past is now.
SET ROLE observ_regress_operator;
SELECT observ.silence('{vps_name="db-1"}', '2 hours', 'new disks', ticket_url => 'https://tickets/1', at => '2033-03-01 10:00+00') AS id \gset
INSERT INTO observ.silences (matchers, ends_at, comment, created_by) VALUES ('{vps_name="db-1"}', '2033-01-01', 'x', 'somebody else');
SELECT observ.silence('{vps_name="db-2"}', until => '2033-03-01 11:00+00', comment => 'begun an hour ago', starts_at => '2033-03-01 09:00+00', at => '2033-03-01 10:00+00') AS id2 \gset
SELECT matchers, starts_at, ends_at, comment, ticket_url, created_by, created_at, replaced_by FROM observ.silences WHERE silence_id IN (:id, :id2) ORDER BY silence_id;
SELECT starts_at - now() < '1 min', created_by FROM observ.silences WHERE silence_id = observ.silence('{vps_name="x"}', '1 day', 'by the clock', starts_at => '2001-01-01');
SET ROLE observ_regress_reader;
SELECT observ.silence('{vps_name="db-1"}', '2 hours', 'x');
SELECT observ.expire_silence(:id);
SELECT matchers, comment, hides, remaining > '23 hours' AS remains FROM observ.active_silences;
RESET ROLE;

-- Hidden from the first moment until before the last.
SELECT t, pg_temp.hidden(('2033-03-01 ' || t)::timestamptz) FROM unnest(ARRAY['09:59:59+00', '10:00+00', '10:59:59.999999+00', '11:00+00', '11:59:59+00', '12:00+00']) t;

-- Extending, shortening, another comment: the same silence. Other matchers, another start: a new one.
UPDATE observ.silences SET ends_at = '2033-03-01 13:00+00' WHERE silence_id = :id;
UPDATE observ.silences SET ends_at = '2033-03-01 12:30+00' WHERE silence_id = :id;
UPDATE observ.silences SET comment = 'new disks, slot 2', created_by = 'mallory', created_at = '2001-01-01' WHERE silence_id = :id;
UPDATE observ.silences SET comment = '' WHERE silence_id = :id;
UPDATE observ.silences SET matchers = '{vps_name="db-2"}' WHERE silence_id = :id;
SELECT s.matchers, s.ends_at, s.comment, s.created_by, s.replaced_by FROM observ.silences s WHERE s.silence_id = :id;
-- (it begins in 2033: nothing was lost, so it is edited in place)
UPDATE observ.silences SET matchers = '{vps_name="db-1"}', starts_at = '2033-03-01 10:00+00' WHERE silence_id = :id;
SELECT observ.silence('{vps_name="now"}', '1 hour', 'active by the clock') AS active \gset
SET ROLE observ_regress_operator;
UPDATE observ.silences SET matchers = '{vps_name="then"}', comment = 'edited' WHERE silence_id = :active;
RESET ROLE;
SELECT o.matchers, o.ends_at <= now() AS over, o.comment, n.matchers, n.starts_at = o.ends_at AS from_now, n.ends_at - n.starts_at > '59 min' AS same_end, n.comment, n.created_by
FROM observ.silences o JOIN observ.silences n ON n.silence_id = o.replaced_by WHERE o.silence_id = :active;
UPDATE observ.silences SET matchers = '{}' WHERE matchers = '{vps_name="then"}';
\set VERBOSITY terse
UPDATE observ.silences SET ends_at = '2040-01-01' WHERE silence_id = :active;
UPDATE observ.silences SET matchers = '{vps_name="x"}' WHERE silence_id = :active;
\set VERBOSITY default
UPDATE observ.silences SET comment = 'said later' WHERE silence_id = :active;
UPDATE observ.silences SET silence_id = 1000000 WHERE silence_id = :id;

-- Never deleted.
\set VERBOSITY terse
DELETE FROM observ.silences WHERE silence_id = :id;
\set VERBOSITY default
SET ROLE observ_regress_operator;
DELETE FROM observ.silences WHERE silence_id = :id;
SELECT observ.expire_silence(:id, '2033-03-01 10:30+00'), observ.expire_silence(:id, '2033-03-01 10:31+00');
SELECT observ.expire_silence(0);
SELECT observ.silence('{vps_name="later"}', '1 hour', 'never begins', starts_at => '2033-04-01', at => '2033-03-01') AS later \gset
SELECT observ.expire_silence(:later, '2033-03-02');
SELECT starts_at, ends_at FROM observ.silences WHERE silence_id IN (:id, :later) ORDER BY silence_id;
RESET ROLE;
SELECT pg_temp.hidden('2033-03-01 10:29:59+00'), pg_temp.hidden('2033-03-01 10:30+00');

-- Who did what, written by the database.
SELECT s.comment, a.action, a.actor = session_user AS actor, a.acting_as = session_user AS as_itself, a.before ->> 'ends_at' AS before, a.after ->> 'ends_at' AS after
FROM observ.silence_audit a JOIN observ.silences s USING (silence_id) WHERE s.silence_id IN (:id, :later) ORDER BY a.id;
SELECT action, acting_as, before ->> 'comment' AS before, after ->> 'comment' AS after FROM observ.silence_audit WHERE silence_id = :active ORDER BY id;
SET ROLE observ_regress_operator;
INSERT INTO observ.silence_audit (silence_id, action) VALUES (1, 'created');
UPDATE observ.silence_audit SET actor = 'mallory';
DELETE FROM observ.silence_audit;

-- One alert: its name and what it is about.
SELECT observ.silence_alert(min(alert_id), '1 hour', 'known', at => '2033-03-02 10:00+00') AS one FROM observ.alerts \gset
SELECT matchers FROM observ.silences WHERE silence_id = :one;
SELECT observ.silence_alert(0, '1 hour', 'known');
RESET ROLE;
SELECT pg_temp.hidden('2033-03-02 10:00+00');
SELECT pg_temp.alert('Odd', '{"path": "a\"b\\c\nd", "odd name": "größe"}', 'low') AS odd \gset
UPDATE observ.alerts SET identity = identity || '{"none": null}' WHERE alert_id = :odd;
SELECT observ.silence_alert(:odd, '1 hour', 'quoted', at => '2033-03-03') AS odd_silence \gset
SELECT matchers, (SELECT string_agg(alertname, ',') FROM observ.preview_silence(matchers)) AS hides FROM observ.silences WHERE silence_id = :odd_silence;

-- A dump brings them as they were, to who can act as the owner; nobody else gets around the checks.
SET row_security = off;
INSERT INTO observ.silences (silence_id, matchers, starts_at, ends_at, comment, created_by) VALUES (3000000, '{vps_name="old"}', '2020-01-01 00:00+00', '2020-01-02 00:00+00', 'over', 'anna');
SET ROLE observ_regress_operator;
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{vps_name="old"}', '2020-01-01 00:00+00', '2040-01-02 00:00+00', 'begun?');
RESET ROLE;
RESET row_security;
SELECT matchers, starts_at < '2021-01-01' AS as_it_was, created_by, (SELECT count(*) FROM observ.silence_audit a WHERE a.silence_id = s.silence_id) AS audited FROM observ.silences s WHERE matchers LIKE '%old%' ORDER BY silence_id;

-- One that bypassed the trigger hides nothing and stops nothing.
ALTER TABLE observ.silences DISABLE TRIGGER check_silence;
INSERT INTO observ.silences (silence_id, matchers, starts_at, ends_at, comment) VALUES (2000000, '{broken', '2033-03-05 00:00+00', '2033-03-06 00:00+00', 'x'), (2000001, '{vps_name=~"("}', '2033-03-05 00:00+00', '2033-03-06 00:00+00', 'x'),
	(2000002, '{vps_name!~"("}', '2033-03-05 00:00+00', '2033-03-06 00:00+00', 'x'), (2000003, '{vps_name="db-2"}', '2033-03-05 00:00+00', '2033-03-06 00:00+00', 'x');
SELECT alertname, instance, suppressed_by, id FROM observ.suppressed_alerts('2033-03-05 10:00+00');
DELETE FROM observ.silences;
ALTER TABLE observ.silences ENABLE TRIGGER check_silence;
TRUNCATE observ.alerts, observ.silence_audit;
DROP ROLE observ_regress_operator, observ_regress_reader;

-- A role's longest silence holds in its sessions, whatever they set.
CREATE ROLE observ_regress_oncall LOGIN IN ROLE observ_operator;
ALTER ROLE observ_regress_oncall SET observ.silence_max_duration = '8h';
SELECT current_user AS me \gset
\c - observ_regress_oncall
SET timezone = 'UTC';
SET client_min_messages = warning;
SHOW observ.silence_max_duration;
SET observ.silence_max_duration = 0;
INSERT INTO observ.silences (matchers, starts_at, ends_at, comment) VALUES ('{vps_name="db-1"}', '2033-01-01 00:00+00', '2033-01-02 00:00+00', 'x');
\c - :me
SET client_min_messages = warning;
DROP ROLE observ_regress_oncall;
