-- What is sent to mail servers, PagerDuty, Opsgenie, Twilio and Appwrite; what of it is cut; configurations that are refused.
BEGIN;
SET TimeZone = 'UTC';
SELECT observ.create_channel('{"name": "mail", "kind": "email", "host": "mail.example.org", "user": "observ", "password": "smtp-password", "from": "observ <observ@example.org>", "to": ["ann@example.org", "bob@example.org"], "ehlo": "db.example.org"}');
SELECT observ.create_channel('{"name": "pd", "kind": "pagerduty", "routing_key": "0123456789abcdef0123456789abcdef"}');
SELECT observ.create_channel('{"name": "og", "kind": "opsgenie", "url": "https://api.eu.opsgenie.com/", "api_key": "opsgenie-key", "responders": ["team:ops", "schedule: nights"], "tags": "a,b"}');
SELECT observ.create_channel('{"name": "sms", "kind": "twilio", "account_sid": "AC0123456789abcdef0123456789abcdef", "auth_token": "twilio-token", "messaging_service_sid": "MG1", "to": ["+15551234567", "+491701234567"]}');
SELECT observ.create_channel('{"name": "push", "kind": "appwrite", "project": "p", "key": "appwrite-key", "topics": ["ops"]}');
SELECT observ.create_channel('{"name": "text", "kind": "appwrite", "type": "sms", "project": "p", "key": "appwrite-key", "users": "u1,u2"}');

-- Alerts and notifications of all sorts.
CREATE FUNCTION pg_temp.alert(mark text, severity text, summary text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('alert_id', 1, 'fingerprint', '0123456789abcdef', 'mark', mark, 'status', CASE mark WHEN 'resolved' THEN 'resolved' ELSE 'firing' END,
		'severity', severity, 'labels', '{"alertname": "DiskFull", "vps_name": "db-1", "mount": "/"}'::jsonb, 'annotations', '{}'::jsonb, 'summary', summary, 'description', NULL,
		'value', 97, 'peak', 98, 'starts_at', '2033-01-01T10:00:00Z', 'ends_at', CASE mark WHEN 'resolved' THEN '2033-01-01T11:00:00Z' END, 'duration_seconds', 3600,
		'acked_by', NULL, 'resolved_reason', NULL, 'flapping', false, 'stale', false, 'reopened', false) || more $$;
CREATE FUNCTION pg_temp.notification(reason text, title text, alerts jsonb, firing int, resolved int, incident text DEFAULT 'incident-1') RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO observ.notifications (notification_id, "timestamp", channel, group_key, seq, route, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved)
	SELECT 1000000 + c, '2033-01-01 11:00+00', 'pd', 'pagers ' || c, 1, 'root', incident, encode(sha256(convert_to(c::text, 'UTF8')), 'hex'), reason, CASE WHEN firing > 0 THEN 'firing' ELSE 'resolved' END,
		(SELECT max((a ->> 'severity')::observ.severity) FROM jsonb_array_elements(alerts) a), title, '{"alertname": "DiskFull"}', alerts, firing, resolved
	FROM (SELECT count(*) FROM observ.notifications WHERE notification_id >= 1000000) x (c) RETURNING notification_id $$;
CREATE TEMP TABLE said (what text PRIMARY KEY, id bigint);
INSERT INTO said VALUES
	('new', pg_temp.notification('first notification', '[FIRING:1 (1 new)] DiskFull', jsonb_build_array(pg_temp.alert('new', 'critical', 'disk / is 97 % full')), 1, 0)),
	('more', pg_temp.notification('new alerts added', '[FIRING:2 (1 new) RESOLVED:1] DiskFull', jsonb_build_array(pg_temp.alert('new', 'emergency', 'disk /a is full'),
		pg_temp.alert('still', 'high', 'disk /b is full', '{"acked_by": "ann"}'), pg_temp.alert('resolved', 'warning', 'disk /c is full')), 2, 1)),
	('one acknowledged', pg_temp.notification('acknowledged', '[FIRING:2] DiskFull', jsonb_build_array(pg_temp.alert('still', 'warning', 'a', '{"acked_by": "ann"}'), pg_temp.alert('still', 'warning', 'b')), 2, 0)),
	('all acknowledged', pg_temp.notification('acknowledged', '[FIRING:1] DiskFull', jsonb_build_array(pg_temp.alert('still', 'medium', 'a', '{"acked_by": "ann"}')), 1, 0)),
	('resolved', pg_temp.notification('all alerts resolved', '[RESOLVED:1] DiskFull', jsonb_build_array(pg_temp.alert('resolved', 'critical', 'disk / is 97 % full')), 0, 1)),
	('flapping', pg_temp.notification('flapping', '[FIRING:1] DiskFull', jsonb_build_array(pg_temp.alert('still', 'low', 'up and down', '{"flapping": true}')), 1, 0)),
	('test', pg_temp.notification('first notification', '[FIRING:1 (1 new)] Test', jsonb_build_array(pg_temp.alert('new', 'high', 'it is a test', '{"labels": {"alertname": "Test", "observ_test": "1"}}')), 1, 0)),
	('injection', pg_temp.notification('first notification', E'x\r\nBcc: eve@example.org\r\n\r\n<b>größe</b> 😀', jsonb_build_array(pg_temp.alert('new', 'info',
		E'a\r\nBcc: eve@example.org\r\n.\r\n<script>alert(1)</script>', '{"labels": {"alertname": "A\nX-Evil: 1", "vps_name": "<i>"}, "annotations": {"runbook_url": "javascript:alert(1)"}}')), 1, 0)),
	('huge', pg_temp.notification('first notification', repeat('title ', 1000), (SELECT jsonb_agg(pg_temp.alert('new', 'critical', repeat('summary ', 1000), jsonb_build_object(
		'labels', jsonb_build_object('alertname', repeat('n', 2000), 'vps_name', repeat('v', 2000), 'common', repeat('c', 9000), 'short', 's'), 'annotations', jsonb_build_object('text', repeat('ä', 300000)))))
		FROM generate_series(1, 20)), 10000, 0, repeat('k', 600)));

CREATE FUNCTION pg_temp.sent(what text, channel text, step int DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
	SELECT observ_data._render_notification(id, channel, step) FROM said WHERE said.what = sent.what $$;

-- PagerDuty
SELECT what, r ->> 'url' AS url, r -> 'body' ->> 'event_action' AS action, r -> 'body' ->> 'dedup_key' AS key, r -> 'body' -> 'payload' ->> 'severity' AS severity,
	r -> 'body' -> 'payload' ->> 'summary' AS summary, r -> 'body' -> 'payload' ->> 'source' AS source
FROM said, LATERAL pg_temp.sent(what, 'pd') r WHERE what NOT IN ('huge', 'emoji') ORDER BY id;
SELECT jsonb_pretty(pg_temp.sent('more', 'pd') -> 'body');
SELECT pg_temp.sent('resolved', 'pd') -> 'body';
-- at its limits: 1024, 255, 512 kB
SELECT char_length(b -> 'payload' ->> 'summary'), char_length(b ->> 'dedup_key'), octet_length(b::text) < 524288, b -> 'payload' -> 'custom_details' FROM (SELECT pg_temp.sent('huge', 'pd') -> 'body') x(b);

-- Opsgenie
SELECT what, r ->> 'url' AS url, r -> 'body' ->> 'alias' AS alias, r -> 'body' ->> 'message' AS message, r -> 'body' ->> 'priority' AS priority, r -> 'body' ->> 'user' AS "user"
FROM said, LATERAL pg_temp.sent(what, 'og') r WHERE what NOT IN ('huge', 'emoji') ORDER BY id;
SELECT jsonb_pretty(pg_temp.sent('more', 'og') -> 'body');
SELECT pg_temp.sent('all acknowledged', 'og') - 'text';
-- 130, 15000, 512, 512, 8000
SELECT char_length(b ->> 'message'), char_length(b ->> 'description') <= 15000, right(b ->> 'description', 20), char_length(b ->> 'alias'), char_length(b ->> 'entity'),
	(SELECT sum(char_length(key) + char_length(value)) <= 8000 FROM jsonb_each_text(b -> 'details')), b -> 'details' ->> 'labels_left_out', b -> 'details' ->> 'label:short' FROM (SELECT pg_temp.sent('huge', 'og') -> 'body') x(b);

-- beyond U+FFFF a character counts twice: 130 and 1024 of them are 64 and an ellipsis, 511 and an ellipsis
INSERT INTO said VALUES ('emoji', pg_temp.notification('first notification', repeat('🔥', 2000), jsonb_build_array(pg_temp.alert('new', 'low', repeat('🔥', 9000))), 1, 0));
SELECT char_length(pg_temp.sent('emoji', 'og') -> 'body' ->> 'message'), char_length(pg_temp.sent('emoji', 'og') -> 'body' ->> 'description'), char_length(pg_temp.sent('emoji', 'pd') -> 'body' -> 'payload' ->> 'summary'),
	char_length(pg_temp.sent('emoji', 'push') -> 'body' ->> 'title');

-- Twilio: a step for each number
SELECT what, step, r ->> 'url' AS url, r ->> 'body' AS body FROM said, generate_series(0, 1) step, LATERAL pg_temp.sent(what, 'sms', step) r WHERE what = 'new' OR what = 'injection' AND step = 1 ORDER BY id, step;
-- two segments: 2 * 153 units less one
SELECT char_length(b), right(b, 20) FROM (SELECT pg_temp.sent('huge', 'text') -> 'body' ->> 'content') x(b);

-- Appwrite: push and text
SELECT jsonb_pretty(pg_temp.sent('more', 'push') -> 'body');
SELECT what, r -> 'body' ->> 'priority' AS priority, r -> 'body' -> 'critical' AS critical, r -> 'body' ->> 'color' AS color, r -> 'body' ->> 'body' AS body
FROM said, LATERAL pg_temp.sent(what, 'push') r WHERE what NOT IN ('huge', 'emoji') ORDER BY id;
SELECT char_length(b ->> 'messageId'), char_length(b ->> 'title'), octet_length(b ->> 'body') <= 1500, char_length(b ->> 'tag'), right(b ->> 'body', 20) FROM (SELECT pg_temp.sent('huge', 'push') -> 'body') x(b);
SELECT what, r -> 'body' AS body FROM said, LATERAL pg_temp.sent(what, 'text') r WHERE what IN ('more', 'injection') ORDER BY id;

-- Mail: the same message to each address
SELECT what, r ->> 'url' AS url, r ->> 'mail_from' AS mail_from, r ->> 'mail_to' AS mail_to FROM said, LATERAL pg_temp.sent(what, 'mail', 1) r WHERE what = 'new';
SELECT replace(split_part(pg_temp.sent('new', 'mail') ->> 'body', '<html>', 1), E'\r', '');
SELECT replace(split_part(pg_temp.sent('injection', 'mail') ->> 'body', '<meta', 1), E'\r', '');
SELECT replace(substr(b, strpos(b, '<table')), E'\r', '') FROM (SELECT pg_temp.sent('injection', 'mail') ->> 'body') x(b);
SELECT octet_length(b) < 300000, (SELECT max(char_length(line)) FROM string_to_table(b, E'\r\n') line), substring(b FROM '<b>[^<]*more</b>') FROM (SELECT pg_temp.sent('huge', 'mail') ->> 'body') x(b);
-- 465 with tls, 25 with none
SELECT observ.create_channel(c || '{"kind": "email", "from": "a@b", "to": "c@d"}') FROM (VALUES ('{"name": "m1", "host": "::1", "tls": "tls"}'::jsonb), ('{"name": "m2", "host": "localhost", "tls": "none", "user": "u", "password": "p"}')) v(c);
SELECT pg_temp.sent('new', 'm1') ->> 'url', pg_temp.sent('new', 'm2') ->> 'url';

-- What services call a message is its receipt; steps are done one after the other, one that is refused for good is left out.
CREATE FUNCTION pg_temp.answer(channel text, code int, body text, outcome text DEFAULT NULL, s int DEFAULT 10) RETURNS TABLE (attempt int, step int, verdict text, status text, step_after int, last_error text, receipt text, wait interval) LANGUAGE plpgsql AS $$
DECLARE c record; n observ.notifications; v text;
BEGIN
	SELECT * INTO STRICT c FROM observ_data._claim_deliveries('2033-01-01 11:00+00'::timestamptz + make_interval(secs => s)) x WHERE x.channel = answer.channel;
	v := observ_data._record_delivery('2033-01-01 11:00:01+00'::timestamptz + make_interval(secs => s), c.notification_id, c.attempt, code, body, NULL, outcome);
	SELECT * INTO n FROM observ.notifications x WHERE x.notification_id = c.notification_id;
	RETURN QUERY SELECT c.attempt, c.step, v, n.status, n.step, n.last_error, n.receipt, n.not_before - '2033-01-01 11:00:01+00' - make_interval(secs => s);
END $$;
CREATE FUNCTION pg_temp.queue(channel text) RETURNS void LANGUAGE sql AS $$
	WITH n AS (UPDATE observ.notifications SET channel = queue.channel, status = 'queued', step = 0, receipt = NULL, last_error = NULL WHERE notification_id = (SELECT id FROM said WHERE what = 'new') RETURNING *)
	INSERT INTO observ_data.deliveries (channel, group_key, seq, notification_id, emergency, lane, due_at, made_at) SELECT n.channel, group_key, seq, notification_id, false, 1, "timestamp", "timestamp" FROM n $$;
SELECT pg_temp.queue('pd');
SELECT * FROM pg_temp.answer('pd', 202, '{"status": "success", "dedup_key": "dk"}');
SELECT pg_temp.queue('og');
SELECT * FROM pg_temp.answer('og', 429, '{"message": "too many"}');
SELECT pg_temp.queue('push');
SELECT * FROM pg_temp.answer('push', 409, '{"message": "already exists"}');
SELECT pg_temp.queue('text');
SELECT * FROM pg_temp.answer('text', 201, '{"$id": "m1", "status": "processing"}');
SELECT pg_temp.queue('sms');
SELECT * FROM pg_temp.answer('sms', 400, '{"code": 21610, "message": "unsubscribed recipient"}');
SELECT * FROM pg_temp.answer('sms', 201, '{"sid": "SM1"}', NULL, 20);
SELECT pg_temp.queue('mail');
SELECT * FROM pg_temp.answer('mail', 550, E'550 5.1.1 no such user');
SELECT * FROM pg_temp.answer('mail', 250, '250 2.0.0 Ok: queued as 4711', NULL, 20);
SELECT pg_temp.queue('mail');
SELECT * FROM pg_temp.answer('mail', NULL, '', 'timeout');
-- Whatever may have arrived is sent again as it was: the same Message-ID, messageId, alias and dedup_key. What Twilio may have is sent once more at most.
CREATE TEMP TABLE again (at int, channel text, request jsonb, verdict text, status text);
DO $$
DECLARE ch text; s int; c record; v text;
BEGIN
	FOREACH ch IN ARRAY '{mail,pd,og,push,text,sms}'::text[] LOOP
		UPDATE observ.notifications SET attempts = 0 WHERE notification_id = (SELECT id FROM said WHERE what = 'new');
		DELETE FROM observ_data.deliveries d USING said WHERE what = 'new' AND d.notification_id = said.id;
		DELETE FROM observ_data.channel_state x WHERE x.channel = ch;
		PERFORM pg_temp.queue(ch);
		FOREACH s IN ARRAY '{10,30}'::int[] LOOP
			SELECT * INTO STRICT c FROM observ_data._claim_deliveries('2033-01-01 11:00+00'::timestamptz + make_interval(secs => s)) x WHERE x.channel = ch;
			v := observ_data._record_delivery('2033-01-01 11:00:01+00'::timestamptz + make_interval(secs => s), c.notification_id, c.attempt, outcome => 'timeout');
			INSERT INTO again SELECT s, ch, c.request, v, n.status FROM observ.notifications n WHERE n.notification_id = c.notification_id;
		END LOOP;
	END LOOP;
END $$;
SELECT channel, count(*), count(DISTINCT request) AS requests, string_agg(status, ', ' ORDER BY at) FROM again GROUP BY channel ORDER BY channel;

-- What is refused, at the boundary of each number.
CREATE FUNCTION pg_temp.try(kind text, base jsonb, change jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; d text; h text;
BEGIN
	PERFORM observ.create_channel(jsonb_build_object('name', gen_random_uuid(), 'kind', kind) || base || change);
	RETURN 'taken';
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', m, nullif(left(d, 80), ''), nullif(h, ''));
END $$;
SELECT n, pg_temp.try('pagerduty', '{}', jsonb_build_object('routing_key', repeat('r', n))) FROM unnest('{31,32,33}'::int[]) n;
SELECT n, pg_temp.try('opsgenie', '{"api_key": "k"}', jsonb_build_object('responders', array_fill('team:t'::text, ARRAY[n]))) FROM unnest('{50,51}'::int[]) n;
SELECT n, pg_temp.try('opsgenie', '{"api_key": "k"}', jsonb_build_object('tags', array_fill('t'::text, ARRAY[n]))) FROM unnest('{20,21}'::int[]) n;
SELECT n, pg_temp.try('opsgenie', '{"api_key": "k"}', jsonb_build_object('tags', ARRAY[repeat('ä', n)])) FROM unnest('{50,51}'::int[]) n;
SELECT r, pg_temp.try('opsgenie', '{"api_key": "k"}', jsonb_build_object('responders', ARRAY[r])) FROM unnest('{ops,team:,teams:x,user:a@b}'::text[]) r;
SELECT c, pg_temp.try('twilio', '{"account_sid": "AC0123456789abcdef0123456789abcdef", "auth_token": "t", "from": "+1", "to": "+15551234567"}', c) FROM (VALUES ('{}'::jsonb), ('{"account_sid": "AC01"}'),
	('{"messaging_service_sid": "MG"}'), ('{"to": "+1234567"}'), ('{"to": "+123456"}'), ('{"to": "+123456789012345"}'), ('{"to": "+1234567890123456"}'), ('{"to": "15551234567"}'), ('{"to": "+1 555 1234567"}'),
	('{"to": "+0155512345"}'), ('{"validity_period": 36000}'), ('{"validity_period": 36001}'), ('{"validity_period": 0}'), ('{"segments": 10}'), ('{"segments": 11}')) v(c);
SELECT c, pg_temp.try('appwrite', '{"project": "p", "key": "appwrite-key"}', c) FROM (VALUES ('{}'::jsonb), ('{"targets": "t"}'), ('{"users": "u", "type": "mail"}')) v(c);
SELECT c, pg_temp.try('email', '{"host": "h", "from": "a@b", "to": "c@d"}', c) FROM (VALUES ('{}'::jsonb), ('{"to": "c"}'), ('{"to": ["c@d", "Eve\r\nBcc: x <e@f>"]}'), ('{"from": "a@b>, <c@d"}'), ('{"host": "h/x"}'), ('{"host": "h:25"}'),
	('{"ehlo": "a b"}'), ('{"user": "u"}'), ('{"tls": "none", "user": "u", "password": "p"}'), ('{"port": 65535}'), ('{"port": 65536}')) v(c);
SELECT n, pg_temp.try('email', '{"host": "h", "from": "a@b"}', jsonb_build_object('to', (SELECT jsonb_agg('u' || i || '@d') FROM generate_series(1, n) i))) FROM unnest('{100,101}'::int[]) n;
SELECT n, pg_temp.try('twilio', '{"account_sid": "AC0123456789abcdef0123456789abcdef", "auth_token": "twilio-token", "from": "+1"}', jsonb_build_object('to', (SELECT jsonb_agg('+1555000' || (1000 + i)) FROM generate_series(1, n) i))) FROM unnest('{100,101}'::int[]) n;
-- a template whose end, as far as it is read, is in the middle of a character
SELECT pg_temp.try('pagerduty', '{"routing_key": "0123456789abcdef0123456789abcdef"}', jsonb_build_object('body_template', 'a' || repeat('🔥', 5000)));
ROLLBACK;
