-- Channels: what is refused, what becomes of secrets, what goes with a channel.
SET client_min_messages = error;
DROP DATABASE IF EXISTS observ_channels WITH (FORCE);
RESET client_min_messages;
CREATE DATABASE observ_channels;
\c observ_channels
SET client_min_messages = warning;
CREATE EXTENSION observ;
RESET client_min_messages;
SET TimeZone = 'UTC';
-- Where channels stand, and which secrets there are.
CREATE VIEW all_channels AS SELECT name, kind, config, fallback FROM observ.notification_channels ORDER BY name;
CREATE VIEW all_secrets AS SELECT name, length(nonce) AS nonce, length(value) - 16 AS length, key_id ~ '^[0-9a-f]{16}$' AS key FROM observ_data.secrets ORDER BY name;

-- One that is there without a kind, as default is, gets one; anything else exists already.
TABLE all_channels;
SELECT observ.create_channel('{"name": "default", "kind": "ntfy", "topic": "alerts", "token": "tk_0123456789"}');
SELECT observ.create_channel('{"name": "default", "kind": "ntfy", "topic": "other", "token": "tk_9876543210"}');
SELECT observ.create_channel('{"name": "chat", "kind": "slack", "config": {"url": "https://hooks.slack.com/services/T/B/XXXXXXXXXXXXXXXX"}, "fallback": "default", "rate_limit": 10, "send_resolved": false, "description": null}');
TABLE all_channels;
TABLE all_secrets;
-- Plainly written it is the same.
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('mail', 'email', '{"host": "mx.example.org", "port": "587", "from": "a@example.org", "to": "b@example.org, c@example.org", "user": "a", "password": "hunter2"}');
SELECT config FROM all_channels WHERE name = 'mail';

-- What is in a channel.
SELECT observ.create_channel('[1]');
SELECT observ.create_channel('{"kind": "slack"}');
SELECT observ.create_channel('{"name": "", "kind": "slack"}');
SELECT observ.create_channel('{"name": 7, "kind": "slack"}');
SELECT observ.create_channel('{"name": "x"}');
SELECT observ.create_channel('{"name": "x", "kind": "slak"}');
SELECT observ.create_channel('{"name": "x", "kind": "carrier pigeon"}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topik": "t"}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "enabledd": true}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "something else": true}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "enabled": "perhaps"}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "rate_limit": 0}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "config": {}}');
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "config": [1]}');
SELECT observ.create_channel(NULL);
INSERT INTO observ.notification_channels (name, kind) VALUES ('x', 'slak');
INSERT INTO observ.notification_channels (name, config) VALUES ('x', '{"token": "in the clear"}');
INSERT INTO observ.notification_channels (name, config) VALUES ('x', '[]');
INSERT INTO observ.notification_channels (name, kind, config) VALUES (NULL, 'ntfy', '{"token": "in the clear"}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('', 'ntfy', '{"token": "in the clear"}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('x', 'ntfy', NULL);

-- Fields. Each mistake names its field; values of secret ones are not shown.
CREATE PROCEDURE try(kind text, config jsonb) LANGUAGE plpgsql AS $$
DECLARE hint text; detail text;
BEGIN
	INSERT INTO observ.notification_channels (name, kind, config) VALUES ('tried', kind, config);
	DELETE FROM observ.notification_channels WHERE name = 'tried';
	RAISE NOTICE 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	-- What kinds say of their fields is theirs.
	RAISE NOTICE '% %', sqlstate, sqlerrm USING DETAIL = CASE WHEN detail ~ '^It ' THEN split_part(detail, ': ', 1) ELSE detail END,
		HINT = CASE WHEN hint ~ '^[a-z]' THEN split_part(hint, ': ', 1) ELSE hint END;
END $$;
CALL try('ntfy', '{}');
CALL try('ntfy', '{"topic": null}');
CALL try('ntfy', '{"topic": ""}');
CALL try('ntfy', '{"topic": ["a"]}');
CALL try('ntfy', '{"topic": {"a": "b"}}');
CALL try('ntfy', '{"topic": true}');
CALL try('ntfy', '{"topic": 17}');
CALL try('ntfy', '{"topik": "t"}');
CALL try('ntfy', '{"topic": "t", "quite different": "t"}');
CALL try('ntfy', '{"topic": "two\nlines"}');
CALL try('ntfy', jsonb_build_object('topic', repeat('x', 5000)));
CALL try('ntfy', '{"topic": "t", "token": ""}');
CALL try('ntfy', '{"topic": "t", "token": 1}');
CALL try('ntfy', '{"topic": "t", "token": ["s3cr3t"]}');
CALL try('ntfy', '{"topic": "t", "token": "s3cr3t\n"}');
CALL try('ntfy', '{"topic": "t", "token": "secret:"}');
CALL try('ntfy', '{"topic": "t", "token": "secret:nowhere"}');
CALL try('ntfy', '{"topic": "t", "token": "secret:channel/mail/pasword"}');
CALL try('ntfy', '{"topic": "t", "timeout": "soon"}');
CALL try('ntfy', '{"topic": "t", "timeout": 1.5}');
CALL try('ntfy', '{"topic": "t", "timeout": 0}');
CALL try('ntfy', '{"topic": "t", "timeout": 99999999999999999999}');
CALL try('ntfy', '{"topic": "t", "timeout": " 5"}');
CALL try('ntfy', '{"topic": "t", "tls_verify": "perhaps"}');
CALL try('ntfy', '{"topic": "t", "tls_verify": 1}');
CALL try('ntfy', '{"topic": "t", "tls_verify": "off"}');
DO $$ DECLARE u text; BEGIN FOREACH u IN ARRAY '{ntfy.sh,ftp://ntfy.sh,https://,https:///x,https://:8080/,https://h:0/,https://h:65536/,https://h:80x/,https://h:,"https://a b/",https://[::1,https://[]/,https://@/,https://h\\x,https://größe.example/,http://[::1]:8080/x?y#z,HTTPS://H:443}'::text[] LOOP RAISE NOTICE '%', u; CALL try('ntfy', jsonb_build_object('topic', 't', 'url', u)); END LOOP; END $$;
CALL try('ntfy', '{"topic": "t", "proxy": "proxy:3128"}');
CALL try('ntfy', '{"topic": "t", "proxy": "none"}');
CALL try('ntfy', '{"topic": "t", "ca_file": "ca.pem"}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": []}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": " , "}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": {"a": "b@c.d"}}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": ["b@c.d", ["e@f.g"]]}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": ["b@c.d", null]}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": "b@c.d", "tls": "always"}');
CALL try('email', '{"host": "h", "from": "a@b.c", "to": "b@c.d", "port": 70000}');
CALL try('webhook', '{"url": "http://h/", "headers": ["a"]}');
CALL try('webhook', '{"url": "http://h/", "headers": "a: b"}');
CALL try('webhook', '{"url": "http://h/", "headers": {}}');
CALL try('webhook', '{"url": "http://h/", "headers": {"a b": "c"}}');
CALL try('webhook', '{"url": "http://h/", "headers": {"a": {"b": "c"}}}');
CALL try('webhook', '{"url": "http://h/", "headers": {"a": "b\r\nc: d"}}');
SELECT name FROM all_channels;
SELECT name FROM all_secrets;

-- Templates that don't render.
UPDATE observ.notification_channels SET title_template = '{{ titel }}' WHERE name = 'chat';
UPDATE observ.notification_channels SET body_template = '{{ title' WHERE name = 'chat';

-- Fallbacks.
UPDATE observ.notification_channels SET fallback = 'chta' WHERE name = 'mail';
UPDATE observ.notification_channels SET fallback = 'mail' WHERE name = 'mail';
UPDATE observ.notification_channels SET fallback = 'chat' WHERE name = 'mail';
UPDATE observ.notification_channels SET fallback = 'mail' WHERE name = 'default';
UPDATE observ.notification_channels SET fallback = 'mail' WHERE name = 'chat';

-- A channel that is called otherwise takes its secrets along, and those who fall back to it know; what a config refers to no more is forgotten.
UPDATE observ.notification_channels SET name = 'ops/50% chat' WHERE name = 'chat';
TABLE all_channels;
SELECT name, length FROM all_secrets;
UPDATE observ.notification_channels SET config = '{"url": "https://ntfy.example.org", "topic": "alerts"}' WHERE name = 'default';
UPDATE observ.notification_channels SET config = config || '{"password": "another"}' WHERE name = 'mail';
SELECT name, length FROM all_secrets;
-- An address with a password is one, whatever the field.
SELECT observ.create_channel('{"name": "hook", "kind": "webhook", "url": "https://ann:pw@example.org/x", "headers": {"X-Api-Key": "k1", "X-Team": "secret:team"}, "proxy": "http://u:p@proxy:3128"}');
SELECT observ.set_secret('team', 'blue');
SELECT observ.create_channel('{"name": "hook", "kind": "webhook", "url": "https://ann:pw@example.org/x", "headers": {"X-Api-Key": "k1", "X-Team": "secret:team"}, "proxy": "http://u:p@proxy:3128"}');
SELECT config FROM all_channels WHERE name = 'hook';
SELECT name, length FROM all_secrets;
-- A row that is not written changes no secrets; one that is, does.
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('mail', 'email', '{"host": "h", "from": "a@b.c", "to": "b@c.d", "user": "u", "password": "never"}') ON CONFLICT DO NOTHING;
SELECT name, length FROM all_secrets WHERE name LIKE 'channel/mail/%';
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('mail', 'email', '{"host": "h", "from": "a@b.c", "to": "b@c.d", "user": "u", "password": "longer than before"}')
	ON CONFLICT (name) DO UPDATE SET config = excluded.config;
SELECT name, length FROM all_secrets WHERE name LIKE 'channel/mail/%';
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('mail', 'email', '{"host": "h", "from": "a@b.c", "to": "b@c.d", "user": "u", "password": "never"}');
-- A second channel with the same secret keeps it, whatever becomes of the first.
INSERT INTO observ.notification_channels (name, kind, config) SELECT 'mail2', kind, config FROM all_channels WHERE name = 'mail';
DELETE FROM observ.notification_channels WHERE name = 'mail';
SELECT name FROM all_secrets WHERE name LIKE 'channel/mail%';
DELETE FROM observ.notification_channels WHERE name = 'mail2';
SELECT name FROM all_secrets WHERE name LIKE 'channel/mail%';
DELETE FROM observ.notification_channels WHERE name = 'default';
TABLE all_channels;

-- Secrets by themselves.
SELECT observ.set_secret('x', '');
SELECT observ.set_secret('', 'x');
SELECT observ.set_secret(NULL, 'x');
SELECT observ.set_secret('x', NULL);
SELECT observ.set_secret('x', repeat('y', 10000));
SELECT observ.set_secret(repeat('x', 300), 'y');
SELECT observ.delete_secret('team');
SELECT observ.delete_secret('teams');
SELECT observ.delete_secret(NULL);
UPDATE observ.notification_channels SET config = config - 'headers' WHERE name = 'hook';
SELECT observ.delete_secret('team');
-- The same text twice is not the same row twice.
SELECT observ.set_secret('a', 'the same'), observ.set_secret('b', 'the same');
SELECT count(DISTINCT nonce), count(DISTINCT value) FROM observ_data.secrets WHERE name IN ('a', 'b');
-- Rows that somebody changed: passed off as another's, shortened, of another key.
SELECT observ.create_channel('{"name": "one", "kind": "ntfy", "topic": "t", "token": "secret:a"}');
UPDATE observ_data.secrets SET (nonce, value) = (SELECT nonce, value FROM observ_data.secrets WHERE name = 'b') WHERE name = 'a';
CALL try('ntfy', '{"topic": "t", "token": "secret:a"}');
UPDATE observ_data.secrets SET value = substr(value, 1, 5) WHERE name = 'a';
CALL try('ntfy', '{"topic": "t", "token": "secret:a"}');
UPDATE observ_data.secrets SET value = set_byte(value, 3, get_byte(value, 3) # 1) WHERE name = 'b';
CALL try('ntfy', '{"topic": "t", "token": "secret:b"}');
UPDATE observ_data.secrets SET key_id = '0123456789abcdef' WHERE name = 'b';
DO $$ BEGIN
	INSERT INTO observ.notification_channels (name, kind, config) VALUES ('tried', 'ntfy', '{"topic": "t", "token": "secret:b"}');
EXCEPTION WHEN data_corrupted THEN RAISE NOTICE '%', sqlerrm; END $$;
-- A channel with such a secret can still be switched off, and mended.
UPDATE observ.notification_channels SET enabled = false WHERE name = 'one';
SELECT observ.set_secret('a', 'new');
UPDATE observ.notification_channels SET config = config || '{"topic": "u"}' WHERE name = 'one';

-- A channel that is left alone because of what it answered is asked again when it, or its secret, was changed; the next claim finds that out.
CREATE FUNCTION break() RETURNS void LANGUAGE sql BEGIN ATOMIC
	INSERT INTO observ_data.channel_state (channel, failures, blocked_until, channel_xmin) SELECT name, 5, '2100-01-01', xmin FROM observ.notification_channels WHERE name = 'one'
		ON CONFLICT (channel) DO UPDATE SET failures = 5, blocked_until = '2100-01-01', channel_xmin = excluded.channel_xmin;
END;
CREATE FUNCTION stands() RETURNS TABLE (channel text, failures int, blocked_until timestamptz) LANGUAGE plpgsql AS $$ BEGIN
	PERFORM observ_data._claim_deliveries('2030-01-01');
	RETURN QUERY SELECT s.channel, s.failures, s.blocked_until FROM observ_data.channel_state s;
END $$;
SELECT break();
SELECT observ.set_secret('b', 'new');
SELECT * FROM stands();
SELECT observ.set_secret('a', 'newer');
SELECT * FROM stands();
SELECT break();
UPDATE observ.notification_channels SET config = config || '{"topic": "v"}' WHERE name = 'one';
SELECT * FROM stands();
SELECT break();
BEGIN;
DELETE FROM observ.notification_channels WHERE name = 'one';
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('one', 'ntfy', '{"topic": "t", "token": "secret:a"}');
COMMIT;
SELECT * FROM stands();
UPDATE observ.notification_channels SET name = 'two' WHERE name = 'one';

-- The lists for people.
SELECT field, type, required, secret FROM observ.channel_fields WHERE kind = 'email' AND field IN ('host', 'port', 'user', 'password', 'from', 'to', 'tls') ORDER BY 1;
SELECT kind FROM observ.channel_kinds EXCEPT SELECT kind FROM observ.channel_fields;
SELECT DISTINCT type FROM observ.channel_fields ORDER BY 1;
SELECT kind, field FROM observ.channel_fields WHERE description IS NULL OR (type = 'choice') <> (choices IS NOT NULL);
SELECT field, type, "default", min, max FROM observ.channel_fields f WHERE NOT EXISTS (SELECT FROM observ.channel_kinds k WHERE NOT EXISTS
	(SELECT FROM observ.channel_fields g WHERE g.kind = k.kind AND g.field = f.field)) AND kind = 'slack' ORDER BY "position";

-- Who may what.
CREATE ROLE channels_reader LOGIN IN ROLE observ_reader;
CREATE ROLE channels_operator LOGIN IN ROLE observ_operator;
CREATE ROLE channels_admin LOGIN IN ROLE observ_admin;
SET ROLE channels_reader;
SELECT name, config FROM observ.notification_channels WHERE name = 'hook';
SELECT count(*) > 5 FROM observ.channel_kinds;
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t"}');
SELECT observ.set_secret('x', 'y');
SELECT observ.create_channels_from_env();
SELECT * FROM observ_data.secrets;
SET ROLE channels_operator;
UPDATE observ.notification_channels SET enabled = false;
SELECT observ.set_secret('x', 'y');
SELECT * FROM observ_data.secrets;
SET ROLE channels_admin;
SELECT observ.create_channel('{"name": "x", "kind": "ntfy", "topic": "t", "token": "y"}');
SELECT observ.set_secret('x', 'y');
SELECT observ.create_channels_from_env('/etc/passwd');
RESET ROLE;

\c contrib_regression
DROP DATABASE observ_channels;
DROP ROLE channels_reader, channels_operator, channels_admin;
