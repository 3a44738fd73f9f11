-- What answers of chats mean: slack, discord, teams, telegram, ntfy. One notification per channel, recorded with one answer after the other.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET search_path = pg_catalog;
SELECT status FROM observ.maintain_partitions('2034-06-01');

INSERT INTO observ.notification_channels (name, kind, config) VALUES
	('answers-slack', 'slack', '{"url": "https://hooks.slack.com/services/T/B/opensesame"}'), ('answers-bot', 'slack', '{"token": "xoxb-opensesame", "channel": "#alerts"}'),
	('answers-discord', 'discord', '{"url": "https://discord.com/api/webhooks/1/opensesame"}'), ('answers-teams', 'teams', '{"url": "https://flow.example.com/opensesame"}'),
	('answers-telegram', 'telegram', '{"token": "123:opensesame", "chat_id": "-1001"}'), ('answers-ntfy', 'ntfy', '{"topic": "alerts", "token": "tk_opensesame"}');
INSERT INTO observ.notifications ("timestamp", channel, group_key, seq, incident_key, idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved)
	SELECT '2034-06-01', name, 'answers', 1, name, name, 'first notification', 'firing', 'high', 'x', '{}', '[]', 1, 0 FROM observ.notification_channels WHERE name LIKE 'answers-%';

CREATE TEMP TABLE answers (number integer GENERATED ALWAYS AS IDENTITY, channel text, status_code integer, body text, retry_after text, outcome text, verdict text);
INSERT INTO answers (channel, status_code, body, retry_after, outcome) VALUES
	('slack', 200, 'ok', NULL, NULL), ('slack', 200, E'ok\n', NULL, NULL), ('slack', 200, '<html>login</html>', NULL, NULL), ('slack', 200, 'okay', NULL, NULL), ('slack', 200, '', NULL, 'broken'),
	('slack', 400, 'invalid_payload', NULL, NULL), ('slack', 400, 'invalid_blocks', NULL, NULL), ('slack', 400, 'no_text', NULL, NULL), ('slack', 400, 'user_not_found', NULL, NULL),
	('slack', 403, 'action_prohibited', NULL, NULL), ('slack', 403, 'invalid_token', NULL, NULL), ('slack', 404, 'channel_not_found', NULL, NULL), ('slack', 404, 'no_service', NULL, NULL), ('slack', 404, 'no_team', NULL, NULL),
	('slack', 410, 'channel_is_archived', NULL, NULL), ('slack', 429, 'rate_limited', '30', NULL), ('slack', 429, 'rate_limited', '9999', NULL), ('slack', 500, 'rollup_error', NULL, NULL), ('slack', 302, '', NULL, NULL),
	('slack', NULL, '', NULL, 'timeout'), ('slack', NULL, '', NULL, 'connect'), ('slack', 400, 'https://hooks.slack.com/services/T/B/opensesame is wrong', NULL, NULL),
	('bot', 200, '{"ok": true, "channel": "C1", "ts": "1503435956.000247"}', NULL, NULL), ('bot', 200, '{"ok": false, "error": "channel_not_found"}', NULL, NULL), ('bot', 200, '{"ok": false, "error": "invalid_auth"}', NULL, NULL),
	('bot', 200, '{"ok": false, "error": "ratelimited"}', NULL, NULL), ('bot', 200, '{"ok": false, "error": "fatal_error"}', NULL, NULL), ('bot', 200, '{"ok": false, "error": "invalid_blocks"}', NULL, NULL),
	('bot', 200, '{"ok": false, "error": "msg_blocks_too_long"}', NULL, NULL), ('bot', 200, 'ok', NULL, NULL), ('bot', 429, '{"ok": false, "error": "ratelimited"}', '7', NULL), ('bot', 503, '', NULL, NULL),
	('discord', 200, '{"id": "1122334455", "content": ""}', NULL, NULL), ('discord', 204, '', NULL, NULL), ('discord', 400, '{"embeds": ["0"]}', NULL, NULL),
	('discord', 400, '{"message": "Invalid Form Body", "code": 50035}', NULL, NULL), ('discord', 401, '{"message": "Invalid Webhook Token", "code": 50027}', NULL, NULL), ('discord', 403, '', NULL, NULL),
	('discord', 404, '{"message": "Unknown Webhook", "code": 10015}', NULL, NULL), ('discord', 429, '{"message": "You are being rate limited.", "retry_after": 0.65, "global": false}', '1', NULL),
	('discord', 429, '{"retry_after": 64.57, "global": true}', NULL, NULL), ('discord', 429, '{"retry_after": 1e9}', NULL, NULL), ('discord', 429, '{"retry_after": -1}', '3', NULL), ('discord', 429, 'error code: 1015', '60', NULL), ('discord', 502, '', NULL, NULL),
	('teams', 202, '', NULL, NULL), ('teams', 200, '1', NULL, NULL), ('teams', 200, 'Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ContextId x', NULL, NULL),
	('teams', 200, 'Microsoft Teams endpoint returned HTTP error 413 with ContextId x', NULL, NULL), ('teams', 200, 'returned HTTP error 503', NULL, NULL), ('teams', 400, '{"error": {"code": "InvalidRequestContent", "message": "no card"}}', NULL, NULL),
	('teams', 413, '', NULL, NULL), ('teams', 401, '{"error": {"code": "DirectApiAuthorizationRequired", "message": "The request is missing an authorization"}}', NULL, NULL), ('teams', 404, '', NULL, NULL), ('teams', 429, '', '17', NULL), ('teams', 502, '', NULL, NULL),
	('telegram', 200, '{"ok": true, "result": {"message_id": 365}}', NULL, NULL), ('telegram', 200, 'hello', NULL, NULL), ('telegram', 200, '{"ok": tr', NULL, 'broken'),
	('telegram', 400, '{"ok": false, "error_code": 400, "description": "Bad Request: can''t parse entities: Unsupported start tag"}', NULL, NULL), ('telegram', 400, '{"ok": false, "error_code": 400, "description": "Bad Request: message is too long"}', NULL, NULL),
	('telegram', 400, '{"ok": false, "error_code": 400, "description": "Bad Request: chat of 123:opensesame not found"}', NULL, NULL),
	('telegram', 400, '{"ok": false, "error_code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat", "parameters": {"migrate_to_chat_id": -1001234567890}}', NULL, NULL),
	('telegram', 401, '{"ok": false, "error_code": 401, "description": "Unauthorized"}', NULL, NULL), ('telegram', 403, '{"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked by the user"}', NULL, NULL),
	('telegram', 404, '{"ok": false, "error_code": 404, "description": "Not Found"}', NULL, NULL), ('telegram', 429, '{"ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35", "parameters": {"retry_after": 35}}', NULL, NULL),
	('telegram', 429, 'x', '5', NULL), ('telegram', 502, '<html>', NULL, NULL),
	('ntfy', 200, '{"id": "hwQ2YpKdmg", "event": "message"}', NULL, NULL), ('ntfy', 400, '{"code": 40009, "http": 400, "error": "invalid request: topic invalid"}', NULL, NULL), ('ntfy', 401, '{"code": 40101, "http": 401, "error": "unauthorized"}', NULL, NULL),
	('ntfy', 403, '{"code": 40301, "http": 403, "error": "forbidden"}', NULL, NULL), ('ntfy', 413, '{"code": 41301, "http": 413, "error": "attachment too large, or bandwidth limit reached"}', NULL, NULL),
	('ntfy', 429, '{"code": 42901, "http": 429, "error": "limit reached: too many requests"}', NULL, NULL), ('ntfy', 429, '{"code": 42908, "http": 429, "error": "limit reached: daily message quota reached"}', NULL, NULL),
	('ntfy', 507, '{"code": 50701, "http": 507, "error": "limit reached"}', NULL, NULL), ('ntfy', 507, '', '60', NULL), ('ntfy', 404, 'page not found', NULL, NULL), ('ntfy', 200, '', NULL, NULL);
UPDATE answers a SET verdict = observ_data._record_delivery('2034-06-01 00:00:01', notification_id, number, status_code, body, retry_after, outcome) FROM observ.notifications n WHERE n.channel = 'answers-' || a.channel;
SELECT a.channel, a.status_code, left(a.body, 60) AS body, a.verdict, t.retry_after, t.error FROM answers a LEFT JOIN observ.notification_attempts t ON t.channel = 'answers-' || a.channel AND t.attempt = a.number ORDER BY number;
-- Nobody is told a secret.
SELECT count(*) FROM observ.notification_attempts WHERE channel LIKE 'answers-%' AND (error || excerpt) LIKE '%opensesame%';

DELETE FROM observ.notifications WHERE group_key = 'answers';
DELETE FROM observ.notification_attempts WHERE channel LIKE 'answers-%';
DELETE FROM observ_data.channel_state WHERE channel LIKE 'answers-%';
DELETE FROM observ.notification_channels WHERE name LIKE 'answers-%';
