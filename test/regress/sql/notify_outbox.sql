-- The outbox in virtual time: claim, attempt, record. Receivers answer as a table says; alerts are put into observ.alerts by hand.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SELECT status FROM observ.maintain_partitions('2034-05-01');

CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2034-05-01 00:00+00'::timestamptz + $1 * interval '1 s' $$;
CREATE FUNCTION pg_temp.since(t timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT trim_scale(round(extract(epoch FROM t - pg_temp.at(0)), 1))::text $$;
CREATE FUNCTION pg_temp.fire(name text, seconds numeric, severity observ.severity DEFAULT 'high', team text DEFAULT 'a') RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
	VALUES (name, 0, 'firing', severity, jsonb_build_object('alertname', name, 'test', 'outbox', 'team', team), '{}', pg_temp.at(seconds), pg_temp.at(seconds), 95, 99, '{}', name || ' is bad', true) $$;
CREATE FUNCTION pg_temp.resolve(name text, seconds numeric) RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.at(seconds), value = 12, resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = name AND status <> 'resolved' $$;
-- The number of the route is part of the keys of groups, and so of their order.
CREATE FUNCTION pg_temp.afresh(channels text[], gi interval DEFAULT '5 min', gw interval DEFAULT '1 s') RETURNS void LANGUAGE sql AS $$
	SELECT FROM observ_data._claim_deliveries('2000-01-01', 0); -- a notifier waits for that to commit, and not for the tables one by one
	TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ.notification_attempts, observ_data.alert_groups, observ_data.group_members, observ_data.told,
		observ_data.group_channels, observ_data.deliveries, observ_data.channel_state RESTART IDENTITY;
	UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';
	DELETE FROM observ.routes WHERE name ~ '^test';
	DELETE FROM observ.notification_channels WHERE name <> 'default';
	INSERT INTO observ.notification_channels (name, kind, config) SELECT c, 'webhook', '{"url": "http://127.0.0.1:9/"}' FROM unnest(channels) c;
	INSERT INTO observ.routes (route_id, name, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES (4711, 'test', '{test="outbox"}', channels, '{team}', gw, gi, '{4 h}') $$;

-- What receivers answer: the first row that holds; 200 where none does.
CREATE TEMP TABLE answers (channel text, from_s numeric, to_s numeric, status int, retry_after text, outcome text);
-- What they get: * is new, - is resolved.
CREATE FUNCTION pg_temp.said(request jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(CASE a #>> '{observ,mark}' WHEN 'RESOLVED' THEN '-' WHEN 'NEW' THEN '*' ELSE '' END || (a #>> '{labels,alertname}'), ' ' ORDER BY i), 'nothing')
	FROM jsonb_array_elements((request->>'body')::jsonb->'alerts') WITH ORDINALITY l (a, i) $$;
-- A notifier that talks to them: dispatches each second, claims ten times a second.
CREATE FUNCTION pg_temp.run(from_s numeric, to_s numeric, step numeric DEFAULT 0.1) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t numeric := from_s;
	c record;
	a record;
	verdict text;
BEGIN
	WHILE t <= to_s LOOP
		IF t = trunc(t) THEN PERFORM observ.dispatch_notifications(pg_temp.at(t)); END IF;
		FOR c IN SELECT * FROM observ_data._claim_deliveries(pg_temp.at(t)) LOOP
			SELECT * INTO a FROM answers s WHERE s.channel = c.channel AND t >= s.from_s AND t < s.to_s LIMIT 1;
			verdict := observ_data._record_delivery(pg_temp.at(t), c.notification_id, c.attempt, CASE WHEN a.outcome IS NULL THEN coalesce(a.status, 200) END, '', a.retry_after, a.outcome);
			RETURN NEXT format('%s %s: %s (attempt %s of %s) %s', t, c.channel, pg_temp.said(c.request), c.attempt, c.notification_id, verdict);
		END LOOP;
		t := t + step;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.log() RETURNS TABLE (id bigint, channel text, seq int, made text, reason text, title text, status text, attempts int, finished text, error text, by bigint, fallback_of bigint) LANGUAGE sql AS $$
	SELECT notification_id, n.channel, n.seq, pg_temp.since("timestamp"), n.reason, n.title, n.status, n.attempts, pg_temp.since(finished_at), last_error, superseded_by, n.fallback_of
	FROM observ.notifications n ORDER BY 1 $$;

-- Timeline F: x is down until 4.5 and is tried at 2, 3, 5 (each wait within 20 %); y hears at 2 (C19).
SELECT pg_temp.afresh('{x,y}');
INSERT INTO answers VALUES ('x', 0, 4.5, 503);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.run(1, 10);
SELECT * FROM pg_temp.log();
SELECT pg_temp.since("timestamp") AS t, channel, attempt, outcome, status_code, phase, error FROM observ.notification_attempts ORDER BY id;
-- C11: the key is the same at each attempt.
SELECT count(DISTINCT idempotency_key) AS keys, count(*) AS notifications FROM observ.notifications;

-- C18: Retry-After holds for the whole channel, other groups too, and for no other channel.
SELECT pg_temp.afresh('{x,y}');
TRUNCATE answers;
INSERT INTO answers VALUES ('x', 0, 3, 429, '7');
SELECT pg_temp.fire('A', 1), pg_temp.fire('B', 2, team => 'b');
SELECT pg_temp.run(1, 12);
-- and the date form, which is not believed further than 15 minutes
TRUNCATE answers;
SELECT pg_temp.afresh('{x}');
INSERT INTO answers VALUES ('x', 0, 3, 503, '86400');
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.run(1, 3);
SELECT channel, pg_temp.since(blocked_until) AS blocked_until, failures, last_error FROM observ.failing_channels;
SELECT notification_id, status, pg_temp.since(next_attempt_at) AS next FROM observ.notification_log;

-- Several waited while the channel was down: the newest says it all, in one. A was new then, B is; C fired and cleared meanwhile (C2).
SELECT pg_temp.afresh('{x}', '10 s');
TRUNCATE answers;
INSERT INTO answers VALUES ('x', 0, 45, 503);
SELECT pg_temp.fire('A', 1), pg_temp.fire('C', 1);
SELECT pg_temp.run(1, 9);
SELECT pg_temp.fire('B', 10), pg_temp.resolve('C', 10);
SELECT pg_temp.run(10, 80);
SELECT * FROM pg_temp.log();
SELECT delivered_seq, seq FROM observ_data.group_channels;
-- What was delivered as firing is told to be over, however long that took (C3); what was not is never mentioned.
INSERT INTO answers VALUES ('x', 80, 120, NULL, NULL, 'timeout');
SELECT pg_temp.fire('D', 80), pg_temp.resolve('A', 81);
SELECT pg_temp.run(81, 95);
SELECT pg_temp.resolve('D', 95), pg_temp.resolve('B', 95);
SELECT pg_temp.run(96, 160);
SELECT * FROM pg_temp.log() WHERE id > 2;
SELECT (SELECT count(*) FROM observ_data.deliveries) AS queue, (SELECT count(*) FROM observ_data.told) AS told;

-- Everything was over before anybody heard of it: nothing is sent. When it fires again it is new.
SELECT pg_temp.afresh('{x}', '20 s');
TRUNCATE answers;
INSERT INTO answers VALUES ('x', 0, 6, 503);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.run(1, 5);
SELECT pg_temp.resolve('A', 5);
SELECT pg_temp.run(6, 15);
SELECT * FROM pg_temp.log();
UPDATE observ.alerts SET status = 'firing', ends_at = NULL, reopened = 1, changes = changes + 1, unrouted = true;
SELECT pg_temp.run(16, 30);

-- What can't be delivered is over at once; its fallback is told, in words, and hears the end of it from then on. Never in circles.
SELECT pg_temp.afresh('{x}', '10 s');
TRUNCATE answers;
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('y', 'webhook', '{"url": "http://127.0.0.1:9/"}');
UPDATE observ.notification_channels SET fallback = 'y' WHERE name = 'x';
INSERT INTO answers VALUES ('x', 0, 20, 400);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.run(1, 25);
SELECT pg_temp.resolve('A', 26);
SELECT pg_temp.run(26, 40);
SELECT * FROM pg_temp.log();
SELECT idempotency_key = encode(sha256(convert_to(concat_ws(' ', channel, group_key, seq), 'UTF8')), 'hex') AS key FROM observ.notifications;
-- A mistake of ours does not hold up the channel; a key that is no good does, for minutes.
SELECT channel, failures, blocked_until FROM observ_data.channel_state;
SELECT pg_temp.afresh('{x}', '10 s');
TRUNCATE answers;
INSERT INTO answers VALUES ('x', 0, 20, 401);
SELECT pg_temp.fire('A', 1), pg_temp.fire('B', 3, team => 'b');
SELECT pg_temp.run(1, 70, 1);
SELECT * FROM pg_temp.log();

-- Given up after an hour, six of an emergency; those of several flushes die as one. The fallback is told then.
SELECT pg_temp.afresh('{x}', '10 min');
TRUNCATE answers;
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('y', 'webhook', '{"url": "http://127.0.0.1:9/"}');
UPDATE observ.notification_channels SET fallback = 'y' WHERE name = 'x';
INSERT INTO answers VALUES ('x', 0, 100000, NULL, NULL, 'connect');
SELECT pg_temp.fire('A', 1), pg_temp.fire('E', 1, 'emergency', 'e');
SELECT count(*), min(split_part(line, ' ', 1)::numeric) FROM pg_temp.run(1, 700, 1) line;
SELECT pg_temp.fire('B', 700);
SELECT line FROM pg_temp.run(701, 4000, 1) line WHERE line ~ ' y: ';
SELECT id, channel, seq, made, reason, title, status, attempts > 0 AS tried, finished, error, by, fallback_of FROM pg_temp.log();
SELECT line FROM pg_temp.run(4020, 21700, 20) line WHERE line ~ ' y: ';
SELECT id, channel, made, title, status, finished FROM pg_temp.log() WHERE status IN ('dead', 'sent');

-- A lease that runs out: nobody knows what came of the attempt. Same key, next attempt.
SELECT pg_temp.afresh('{x}');
TRUNCATE answers;
BEGIN; -- so that no notifier that starts now sees it
SELECT pg_temp.fire('A', 1);
SELECT observ.dispatch_notifications(pg_temp.at(1)) IS NULL, observ.dispatch_notifications(pg_temp.at(2)) IS NULL;
SELECT notification_id, attempt FROM observ_data._claim_deliveries(pg_temp.at(2));
SELECT status, attempts, pg_temp.since(lease_until) AS lease FROM observ.notifications;
SELECT notification_id, attempt FROM observ_data._claim_deliveries(pg_temp.at(301.9));
SELECT notification_id, attempt FROM observ_data._claim_deliveries(pg_temp.at(302));
-- The first attempt reports after all: it is written down, and moves nothing.
SELECT observ_data._record_delivery(pg_temp.at(303), 1, 1, 200);
SELECT status, attempts FROM observ.notifications;
SELECT observ_data._record_delivery(pg_temp.at(303), 1, 2, 200);
SELECT status, attempts FROM observ.notifications;
SELECT attempt, outcome, error FROM observ.notification_attempts ORDER BY id;
COMMIT;

-- Once more, by hand: another key, the values of now. What was dead counts as delivered then.
SELECT observ.resend(1, pg_temp.at(310));
SELECT observ.resend(1, pg_temp.at(310));
SELECT pg_temp.run(310, 312);
SELECT notification_id, seq, status, resend_of FROM observ.notification_log ORDER BY 1;
SELECT count(DISTINCT idempotency_key) FROM observ.notifications;
SELECT observ.resend(99);
SELECT observ.resend(NULL);
SELECT observ.resend(1, 'infinity');
UPDATE observ.notifications SET status = 'retry' WHERE notification_id = 1;
SELECT observ.resend(1);

-- Channels that are disabled, have no kind or are gone: what there is waits, and is cancelled when it is too old. Enabled in time it is sent.
SELECT pg_temp.afresh('{x,y,z,w}');
SELECT pg_temp.fire('A', 1);
SELECT observ.dispatch_notifications(pg_temp.at(1)) IS NULL, observ.dispatch_notifications(pg_temp.at(2)) IS NULL;
UPDATE observ.notification_channels SET enabled = false WHERE name IN ('x', 'w');
UPDATE observ.notification_channels SET kind = NULL, config = '{}' WHERE name = 'y';
DELETE FROM observ.notification_channels WHERE name = 'z';
SELECT notification_id FROM observ_data._claim_deliveries(pg_temp.at(2));
UPDATE observ.notification_channels SET enabled = true WHERE name = 'w';
SELECT pg_temp.run(3, 4);
SELECT notification_id FROM observ_data._claim_deliveries(pg_temp.at(3602));
SELECT * FROM pg_temp.log();
SELECT count(*) FROM observ_data.deliveries;

-- A rate limit: a burst, then by the minute. Emergencies first.
SELECT pg_temp.afresh('{x}', gw => '0');
UPDATE observ.notification_channels SET rate_limit = 6, burst = 2;
SELECT pg_temp.fire('A' || i, 1, team => 't' || i) FROM generate_series(1, 4) i;
SELECT pg_temp.fire('E', 1, 'emergency', 'e');
SELECT line FROM pg_temp.run(1, 32) line;
SELECT pg_temp.since(blocked_until) AS blocked, round(tokens::numeric, 2) AS tokens FROM observ_data.channel_state;

-- A channel that fails is tried by one at a time, all others of it wait, until something is delivered.
SELECT pg_temp.afresh('{x}', gw => '0');
INSERT INTO answers VALUES ('x', 0, 20, 500);
SELECT pg_temp.fire('A' || i, 1, team => 't' || i) FROM generate_series(1, 5) i;
SELECT split_part(line, ' ', 1) AS t, count(*), string_agg(DISTINCT split_part(line, ') ', 2), ' ') FROM pg_temp.run(1, 60) line GROUP BY 1 ORDER BY 1::numeric;
-- Edited between two attempts: the next one goes by what is there then. A secret that is not there is a failed attempt, and nobody else's.
SELECT pg_temp.afresh('{x,y}', gw => '0');
TRUNCATE answers;
SELECT observ.set_secret('there', 'open sesame');
UPDATE observ.notification_channels SET config = '{"url": "http://127.0.0.1:9/", "bearer_token": "secret:there"}' WHERE name = 'x';
DELETE FROM observ_data.secrets WHERE name = 'there';
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.run(1, 2);
SELECT channel, attempt, outcome, phase, error FROM observ.notification_attempts ORDER BY id;
UPDATE observ.notification_channels SET config = '{"url": "http://127.0.0.1:9/"}' WHERE name = 'x';
SELECT pg_temp.run(3, 9);

-- Somebody has finished, or deleted, one by hand.
SELECT pg_temp.afresh('{x,y}', gw => '0');
SELECT pg_temp.fire('A', 1);
SELECT observ.dispatch_notifications(pg_temp.at(1)) IS NULL;
UPDATE observ.notifications SET status = 'cancelled' WHERE channel = 'x';
DELETE FROM observ.notifications WHERE channel = 'y';
SELECT pg_temp.run(2, 3);
SELECT count(*) FROM observ_data.deliveries;

-- Parts of a notification: numbers of Twilio. One that has to wait keeps no other waiting; each is tried again by the schedule.
CREATE TEMP TABLE number_answers (number int, from_s numeric, to_s numeric, status int, outcome text);
CREATE FUNCTION pg_temp.call(from_s numeric, to_s numeric, step numeric DEFAULT 1) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	t numeric := from_s;
	c record;
	a record;
	who int;
	verdict text;
BEGIN
	WHILE t <= to_s LOOP
		PERFORM observ.dispatch_notifications(pg_temp.at(t));
		FOR i IN 1 .. 5 LOOP
			FOR c IN SELECT * FROM observ_data._claim_deliveries(pg_temp.at(t)) LOOP
				who := substring(c.request->>'body' FROM 'To=%2B1555000000(\d)');
				SELECT * INTO a FROM number_answers s WHERE s.number = who AND t >= s.from_s AND t < s.to_s LIMIT 1;
				verdict := observ_data._record_delivery(pg_temp.at(t), c.notification_id, c.attempt, CASE WHEN a.outcome IS NULL THEN coalesce(a.status, 201) END, '{}', NULL, a.outcome);
				RETURN NEXT format('%s %s: %s (attempt %s of %s) %s', t, who, substring(c.request->>'body' FROM 'Body=.*(NEW|STILL|RESOLVED|OK|FIRING)'), c.attempt, c.notification_id, verdict);
			END LOOP;
		END LOOP;
		t := t + step;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.numbers(n int) RETURNS void LANGUAGE sql AS $$
	SELECT pg_temp.afresh('{}', '10 s', '0');
	INSERT INTO observ.notification_channels (name, kind, rate_limit, burst, config) VALUES ('sms', 'twilio', 6000, 100, jsonb_build_object('account_sid', 'AC00000000000000000000000000000000', 'auth_token', 'secret:token', 'from', '+15550000009',
		'to', (SELECT jsonb_agg('+1555000000' || i) FROM generate_series(1, n) i)));
	UPDATE observ.routes SET channels = '{sms}' WHERE name = 'test' $$;
SELECT observ.set_secret('token', 'open sesame');
SELECT pg_temp.numbers(3);
INSERT INTO number_answers VALUES (1, 0, 6, 503), (2, 0, 100, 400);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.call(1, 9);
SELECT status, attempts, step, last_error FROM observ.notifications;
-- Somebody has heard, somebody not yet: the end is told to everybody.
SELECT pg_temp.numbers(2);
TRUNCATE number_answers;
INSERT INTO number_answers VALUES (2, 0, 30, 503);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.call(1, 2);
SELECT delivered_seq FROM observ_data.group_channels;
SELECT pg_temp.resolve('A', 3);
SELECT pg_temp.call(3, 50);
SELECT id, status, reason, attempts, finished, error FROM pg_temp.log();
SELECT count(*) FROM observ_data.told;
-- Given up together when the time is up; what may have arrived is sent once more, each on its own.
SELECT pg_temp.numbers(3);
TRUNCATE number_answers;
INSERT INTO number_answers VALUES (1, 0, 10000, NULL, 'timeout'), (3, 0, 10000, NULL, 'connect');
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.call(1, 5);
SELECT line FROM pg_temp.call(10, 4000, 10) line ORDER BY split_part(line, ' ', 1)::numeric DESC LIMIT 1;
SELECT status, step, finished_at IS NULL AS open, last_error FROM observ.notifications ORDER BY 1;
SELECT count(*) FROM observ_data.deliveries;
-- Numbers that are taken away meanwhile.
SELECT pg_temp.numbers(3);
TRUNCATE number_answers;
INSERT INTO number_answers VALUES (2, 0, 10, 503), (3, 0, 10, 503);
SELECT pg_temp.fire('A', 1);
SELECT pg_temp.call(1, 1);
UPDATE observ.notification_channels SET config = config || '{"to": ["+15550000001"]}' WHERE name = 'sms';
SELECT pg_temp.call(2, 20);
SELECT id, status, error FROM pg_temp.log();
SELECT pg_temp.resolve('A', 21);
SELECT pg_temp.call(21, 30);
DELETE FROM observ_data.secrets WHERE name = 'token';

-- C10: constraints keep twins out, not code.
DO $$ DECLARE n observ.notifications; broken text; BEGIN
	SELECT * INTO n FROM observ.notifications;
	n.notification_id := 99;
	BEGIN INSERT INTO observ.notifications SELECT n.*; EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME; RAISE WARNING '%', broken; END;
	n.seq := 77;
	BEGIN INSERT INTO observ.notifications SELECT n.*; EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME; RAISE WARNING '%', broken; END;
END $$;

SELECT pg_temp.afresh('{}');
DELETE FROM observ.routes WHERE name = 'test';
