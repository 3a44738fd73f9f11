-- What chats are sent: slack, discord, teams, telegram, ntfy. Notifications are put into the outbox by hand, and rendered as they are.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SET search_path = pg_catalog;

INSERT INTO observ.notification_channels (name, kind, config) VALUES
	('chat-slack', 'slack', '{"url": "https://hooks.slack.com/services/T/B/x"}'), ('chat-bot', 'slack', '{"token": "xoxb-1", "channel": "#alerts"}'),
	('chat-discord', 'discord', '{"url": "https://discord.com/api/webhooks/1/x", "thread_id": "42", "username": "observ"}'), ('chat-teams', 'teams', '{"url": "https://flow.example.com/x"}'),
	('chat-telegram', 'telegram', '{"token": "123:abc", "chat_id": "-1001", "thread_id": 7}'),
	('chat-ntfy', 'ntfy', '{"topic": "alerts", "token": "tk_1"}');

CREATE FUNCTION pg_temp.refused(config jsonb) RETURNS text LANGUAGE plpgsql AS $$ DECLARE m text; d text; BEGIN
	INSERT INTO observ.notification_channels (name, kind, config) VALUES ('chat-refused', config->>'kind', config - 'kind'); RETURN 'taken';
	EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL; RETURN SQLSTATE || ' ' || m || coalesce(': ' || nullif(d, ''), ''); END $$;
-- What can't be a channel.
SELECT c, pg_temp.refused(c::jsonb) FROM unnest(ARRAY['{"kind": "slack"}', '{"kind": "slack", "url": "https://x", "token": "t", "channel": "c"}', '{"kind": "slack", "token": "t"}', '{"kind": "slack", "url": "https://x", "channel": "c"}',
	'{"kind": "discord", "url": "https://x", "thread_id": "4a"}', '{"kind": "discord", "url": "https://x", "username": "' || repeat('x', 81) || '"}', '{"kind": "discord"}', '{"kind": "teams"}',
	'{"kind": "telegram", "token": "t", "chat_id": "me"}', '{"kind": "telegram", "token": "t", "chat_id": "-"}', '{"kind": "telegram", "token": "t", "chat_id": "1", "thread_id": 0}',
	'{"kind": "ntfy", "topic": "a b"}', '{"kind": "ntfy", "topic": "' || repeat('x', 65) || '"}', '{"kind": "ntfy", "topic": "a", "user": "u"}', '{"kind": "ntfy", "topic": "a", "user": "u", "password": "p", "token": "t"}']) c;

-- One alert of a notification; `more` goes over what is usual.
CREATE FUNCTION pg_temp.alert(name text, mark text, severity text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('alert_id', 5, 'fingerprint', name, 'mark', mark, 'status', CASE mark WHEN 'resolved' THEN 'resolved' ELSE 'firing' END, 'severity', severity,
		'labels', jsonb_build_object('alertname', name, 'instance', 'db-1'), 'annotations', jsonb_build_object('runbook_url', 'https://run.book/' || name || '?a=b&c=d'),
		'summary', name || ' is bad', 'description', name || ' has been bad', 'value', 97, 'peak', 98.5, 'starts_at', '2034-05-01T00:00:00.000Z',
		'ends_at', CASE mark WHEN 'resolved' THEN '2034-05-01T00:05:00.000Z' END, 'duration_seconds', 300, 'acked_by', NULL, 'resolved_reason', CASE mark WHEN 'resolved' THEN 'cleared' END,
		'flapping', false, 'stale', false, 'reopened', 0) || more $$;
-- Puts a notification into the outbox. Returns its number.
CREATE FUNCTION pg_temp.note(title text, alerts jsonb, severity observ.severity DEFAULT 'critical', reason text DEFAULT 'first notification', unlisted integer DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, route, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, status)
	SELECT '2034-05-01 00:05+00', 'chat-slack', 'group', c.n, 'db', repeat('1', 64), repeat('0', 60) || to_char(c.n, 'FM0000'), $4, 'firing', $3, $1, '{}', $2,
		(SELECT count(*) FROM jsonb_array_elements($2) a WHERE a->>'mark' <> 'resolved') + $5, (SELECT count(*) FROM jsonb_array_elements($2) a WHERE a->>'mark' = 'resolved'), 'sent'
		FROM (SELECT count(*) FROM observ.notifications) c (n) RETURNING notification_id $$;
CREATE FUNCTION pg_temp.request(channel text, variant integer DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$
	SELECT observ_data._render_notification(max(n.notification_id), $1, variant => $2) FROM observ.notifications n $$;
CREATE FUNCTION pg_temp.body(channel text, variant integer DEFAULT 0) RETURNS jsonb LANGUAGE sql AS $$ SELECT pg_temp.request($1, $2)->'body' $$;
-- All that is to be read, kind by kind.
CREATE FUNCTION pg_temp.said(variant integer DEFAULT 0) RETURNS TABLE (kind text, said text) LANGUAGE sql AS $$
	SELECT 'slack', jsonb_path_query(pg_temp.body('chat-slack', $1), 'strict $.**{3 to 9}.text ? (@.type() == "string")') #>> '{}' WHERE $1 = 0
	UNION ALL SELECT 'slack', pg_temp.body('chat-slack', $1)->>'text' WHERE $1 > 0
	UNION ALL SELECT 'discord', x #>> '{}' FROM pg_temp.body('chat-discord', $1) b, LATERAL (SELECT jsonb_path_query(b, 'strict $.**.content ? (@.type() == "string")') UNION ALL SELECT jsonb_path_query(b, '$.embeds[*].title')
		UNION ALL SELECT jsonb_path_query(b, '$.embeds[*].description') UNION ALL SELECT jsonb_path_query(b, '$.embeds[*].fields[*].*') UNION ALL SELECT jsonb_path_query(b, '$.embeds[*].footer.text')) t (x)
	UNION ALL SELECT 'teams', string_agg(t.x #>> '{}', '') FROM jsonb_path_query(pg_temp.body('chat-teams', $1), 'strict $.**.inlines') WITH ORDINALITY i (inlines, ord), LATERAL jsonb_path_query(inlines, '$[*].text') t (x) GROUP BY ord
	UNION ALL SELECT 'telegram', pg_temp.body('chat-telegram', $1)->>'text'
	UNION ALL SELECT 'ntfy', t.x FROM pg_temp.body('chat-ntfy', $1) b, LATERAL (VALUES (b->>'title'), (b->>'message')) t (x) $$;
-- How services count.
CREATE FUNCTION pg_temp.units(t text) RETURNS integer LANGUAGE sql AS $$ SELECT length($1) + length(regexp_replace($1, '[\u0001-\uffff]+', '', 'g')) $$;

-- A first notification, whole.
SET observ.external_url = 'https://fleet.example.com';
SELECT pg_temp.note('[FIRING:1 (1 new)] DiskFull', jsonb_build_array(pg_temp.alert('DiskFull', 'new', 'critical'))) > 0;
SELECT c, r->>'url' AS url, r->>'method' AS method, h AS header FROM unnest('{chat-slack,chat-bot,chat-discord,chat-teams,chat-telegram,chat-ntfy}'::text[]) c, pg_temp.request(c) r, jsonb_array_elements_text(r->'headers') h;
SELECT jsonb_pretty(pg_temp.body('chat-slack'));
SELECT pg_temp.body('chat-bot') - 'channel' = pg_temp.body('chat-slack'), pg_temp.body('chat-bot')->>'channel';
SELECT jsonb_pretty(pg_temp.body('chat-discord'));
SELECT jsonb_pretty(pg_temp.body('chat-teams'));
SELECT jsonb_pretty(pg_temp.body('chat-telegram'));
SELECT jsonb_pretty(pg_temp.body('chat-ntfy'));
RESET observ.external_url;
-- Without a dashboard; and as plain text.
SELECT * FROM pg_temp.said();
SELECT * FROM pg_temp.said(1);

-- New, still, resolved; who acknowledged; flapping.
SELECT pg_temp.note('[FIRING:2 (1 new) RESOLVED:1] db', jsonb_build_array(pg_temp.alert('A', 'new', 'emergency', '{"flapping": true, "value": null}'), pg_temp.alert('B', 'still', 'low', '{"acked_by": "ann", "stale": true, "value": 12345678}'),
	pg_temp.alert('C', 'resolved', 'high')), 'emergency', 'acknowledged') > 0;
SELECT * FROM pg_temp.said();

-- How loud, which colour: by severity, and when all is over.
SELECT s, mark, pg_temp.note('x', jsonb_build_array(pg_temp.alert('A', mark, s::text)), s) > 0 AS made, pg_temp.body('chat-slack') #>> '{attachments,0,color}' AS slack, to_hex((pg_temp.body('chat-discord') #>> '{embeds,0,color}')::integer) AS discord,
	jsonb_path_query_array(pg_temp.body('chat-teams'), 'strict $.**.color') AS teams, pg_temp.body('chat-telegram')->'disable_notification' AS silent, pg_temp.body('chat-ntfy')->'priority' AS priority, pg_temp.body('chat-ntfy')->'tags' AS tags
	FROM unnest(enum_range(NULL::observ.severity)) s, unnest('{new,resolved}'::text[]) mark ORDER BY mark, s;

-- A test says so.
SELECT pg_temp.note('[FIRING:1] x', jsonb_build_array(pg_temp.alert('A', 'new', 'info', '{"labels": {"alertname": "A", "observ_test": "true"}}')), 'info') > 0;
SELECT kind, said FROM pg_temp.said() WHERE said LIKE '[TEST]%' OR said LIKE '<b>[TEST]%' OR said LIKE '\\[TEST%';

-- Markup, mentions, control characters, what turns lines around: all is text. Nothing is said of what is not there.
SELECT pg_temp.note(E'<!channel> *b* @everyone\u0001\u202e', jsonb_build_array(pg_temp.alert('<b>&amp;_x_*', 'new', 'high',
	E'{"summary": "<!here> <@U1> [x](http://y) `c` ~~s~~ ||s|| # h\\u0007 \\u202edcba \\\\ \\" \\u2028", "description": "", "annotations": {"runbook_url": "javascript:alert(1)"}, "labels": {"alertname": "<b>&amp;_x_*", "instance": "_a_b <at>all</at>"}, "acked_by": "*eve*"}')), 'high') > 0;
SELECT kind, replace(said, E'\u200b', '{ZWSP}') AS said FROM pg_temp.said();
SELECT kind, replace(said, E'\u200b', '{ZWSP}') AS said FROM pg_temp.said(1);
-- Its route is gone.
UPDATE observ.notifications SET route = NULL WHERE group_key = 'group';
SELECT kind, said FROM pg_temp.said() WHERE said LIKE '%firing%';
SELECT count(*) FROM pg_temp.said(1);
-- Nothing at all: no alerts, no name, no instance, no summary, a blank title.
SELECT pg_temp.note(E' \t\u200b ', '[]') > 0;
SELECT * FROM pg_temp.said();
SELECT pg_temp.note('x', jsonb_build_array(pg_temp.alert('', 'still', 'high', '{"labels": {}, "annotations": {}, "summary": "  ", "description": null, "value": null, "peak": null}'))) > 0;
SELECT * FROM pg_temp.said();

-- Limits. Texts far too long: of letters, of characters that count two, of those that are escaped.
CREATE TEMP TABLE measured AS SELECT what, n, alert, NULL::bigint AS id FROM (VALUES ('x'), (E'\U0001F600'), ('&'), ('"'), (E'line\n'), (E'\u65e5')) w (what), (VALUES (1), (30)) k (n),
	LATERAL (SELECT pg_temp.alert(repeat(what, 5000), 'new', 'critical', jsonb_build_object('summary', repeat(what, CASE n WHEN 1 THEN 200000 ELSE 5000 END), 'description', repeat(what, 5000) || 'z'))) a (alert);
UPDATE measured SET id = pg_temp.note(repeat(what, 5000), (SELECT jsonb_agg(s.a) FROM (SELECT alert AS a FROM generate_series(1, n)) s), 'critical', 'first notification', CASE n WHEN 30 THEN 9970 ELSE 0 END);
SELECT what, n, pg_temp.units(b #>> '{blocks,0,text,text}') AS header, max(pg_temp.units(x #>> '{text,text}')) AS section, count(*) AS sections, length(replace(b #>> '{attachments,0,blocks}', ': ', ':')) <= 12500 AS fits,
	(SELECT y #>> '{elements,0,text}' FROM jsonb_array_elements(b #> '{attachments,0,blocks}') y WHERE y #>> '{elements,0,text}' LIKE '%more') AS more
	FROM measured, LATERAL (SELECT observ_data._render_notification(id, 'chat-slack')->'body' OFFSET 0) r (b), jsonb_path_query(b, '$.attachments[0].blocks[*] ? (@.type == "section")') x GROUP BY what, n, b ORDER BY what COLLATE "C", n;
SELECT what, n, pg_temp.units(b #>> '{embeds,0,title}') AS title, pg_temp.units(b #>> '{embeds,0,description}') AS description, jsonb_array_length(b #> '{embeds,0,fields}') AS fields,
	(SELECT max(pg_temp.units(f->>'name')) FROM jsonb_path_query(b, '$.embeds[0].fields[*]') f) AS name, (SELECT max(pg_temp.units(f->>'value')) FROM jsonb_path_query(b, '$.embeds[0].fields[*]') f) AS value,
	(SELECT sum(pg_temp.units(t #>> '{}')) FROM jsonb_path_query(b, '$.embeds[0].**{1 to 3} ? (@.type() == "string" && @ != "2034-05-01T00:05:00Z")') t) AS total, b #>> '{embeds,0,footer,text}' AS footer,
	pg_temp.units(observ_data._render_notification(id, 'chat-discord', variant => 1) #>> '{body,content}') AS content
	FROM measured, LATERAL (SELECT observ_data._render_notification(id, 'chat-discord')->'body' OFFSET 0) r (b) ORDER BY what COLLATE "C", n;
SELECT what, n, octet_length(replace(replace(b::text, '": ', '":'), ', "', ',"')) BETWEEN 3000 AND 28000 AS fits, (SELECT count(*) FROM jsonb_path_query(b, 'strict $.**.separator')) AS alerts
	FROM measured, LATERAL (SELECT observ_data._render_notification(id, 'chat-teams')->'body' OFFSET 0) r (b) ORDER BY what COLLATE "C", n;
SELECT what, n, v, pg_temp.units(replace(replace(replace(regexp_replace(b->>'text', '<[^>]*>', '', 'g'), '&lt;', '<'), '&gt;', '>'), '&amp;', '&')) AS units, (SELECT count(*) FROM regexp_matches(b->>'text', 'NEW critical', 'g')) AS alerts, substring(b->>'text' FROM '.{6}and \d+ more') AS more
	FROM measured, generate_series(0, 1) v, LATERAL (SELECT observ_data._render_notification(id, 'chat-telegram', variant => v)->'body' OFFSET 0) r (b) ORDER BY what COLLATE "C", n, v;
-- ntfy reads 8,192 bytes of JSON.
SELECT what, n, octet_length(b->>'title') AS title, octet_length(b->>'message') AS message, substring(b->>'message' FROM '.{2}and \d+ more') AS more, octet_length(replace(replace(b::text, '": ', '":'), ', "', ',"')) BETWEEN 5000 AND 8192 AS fits
	FROM measured, LATERAL (SELECT observ_data._render_notification(id, 'chat-ntfy')->'body' OFFSET 0) r (b) ORDER BY what COLLATE "C", n;

-- At the boundary nothing is cut.
SELECT n, pg_temp.note(repeat('t', n), '[]') > 0 AS made, pg_temp.body('chat-slack') #>> '{blocks,0,text,text}' = repeat('t', n) AS slack, pg_temp.body('chat-discord') #>> '{embeds,0,title}' = repeat('t', n) AS discord,
	pg_temp.body('chat-ntfy')->>'title' = repeat('t', n) AS ntfy FROM unnest('{150,151,256,257,1024,1025}'::integer[]) n;

-- A body of one's own: plain text, or markup when the channel says so.
UPDATE observ.notification_channels SET body_template = '<b>{{ reason }}</b> & *x*' WHERE name LIKE 'chat-%';
SELECT pg_temp.note('[FIRING:1] x', jsonb_build_array(pg_temp.alert('A', 'new', 'high'))) > 0;
SELECT kind, replace(said, E'\u200b', '{ZWSP}') AS said FROM pg_temp.said();
UPDATE observ.notification_channels SET config = config || '{"markup": true}' WHERE name LIKE 'chat-%';
SELECT * FROM pg_temp.said();
SELECT jsonb_path_query(pg_temp.body('chat-teams'), '$.attachments[0].content.body[*] ? (@.type == "TextBlock").text'), pg_temp.body('chat-ntfy')->'markdown';
-- The template is markup, what stands in labels is not: it calls nobody, and is read as it is. Links stay links.
UPDATE observ.notification_channels SET body_template = '<b>*{{ name }}*</b> {{ summary }} {{ runbook_url }} {{ if name == "A<b>_x_" }}as it is{{ end }}' WHERE name LIKE 'chat-%';
SELECT pg_temp.note('[FIRING:1] x', jsonb_build_array(pg_temp.alert('A<b>_x_', 'new', 'high', '{"summary": "<!channel> & @everyone [x](http://y) `c`", "annotations": {"runbook_url": "https://run.book/_a_?b=*c*&d=e"}}'))) > 0;
SELECT kind, replace(said, E'\u200b', '{ZWSP}') AS said FROM pg_temp.said();
SELECT jsonb_path_query(pg_temp.body('chat-teams'), '$.attachments[0].content.body[*] ? (@.type == "TextBlock").text') #>> '{}';
-- Tags can't be cut: a text that is too long is shown as it is written.
UPDATE observ.notification_channels SET body_template = repeat('<b>x</b>', 1000) WHERE name = 'chat-telegram';
SELECT left(pg_temp.body('chat-telegram')->>'text', 60), pg_temp.body('chat-telegram')->>'text' LIKE '%<b>%<b>x%';

-- Later notifications of an incident take the place of the earlier ones, when that is wanted.
SELECT pg_temp.body('chat-ntfy')->>'sequence_id' LIKE '0000%';
UPDATE observ.notification_channels SET config = config || '{"replace": true}' WHERE name = 'chat-ntfy';
SELECT pg_temp.body('chat-ntfy')->>'sequence_id' = repeat('1', 64);

DELETE FROM observ.notifications WHERE group_key = 'group';
DELETE FROM observ.notification_channels WHERE name LIKE 'chat-%';
