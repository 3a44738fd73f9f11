-- What a notification says: observ_data._render_notification() through a channel of kind webhook. Alerts are put into observ.alerts by hand.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SET search_path = pg_catalog;
SELECT status FROM observ.maintain_partitions('2034-05-01');

CREATE FUNCTION pg_temp.at(seconds numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2034-05-01 00:00+00'::timestamptz + $1 * interval '1 s' $$;
CREATE FUNCTION pg_temp.fire(name text, seconds numeric, more jsonb DEFAULT '{}', severity observ.severity DEFAULT 'high') RETURNS void LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
	VALUES (name, 0, 'firing', severity, more->>'vps_name', jsonb_build_object('alertname', name, 'test', 'messages', 'severity', severity) || more, '{}', pg_temp.at(seconds), pg_temp.at(seconds), 95, 99,
		jsonb_build_object('summary', name || ' is bad', 'runbook_url', 'https://run.book/' || name), name || ' is bad', true) $$;
CREATE FUNCTION pg_temp.resolve(name text, seconds numeric) RETURNS void LANGUAGE sql AS $$
	UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.at(seconds), value = 12, resolved_reason = 'cleared', changes = changes + 1, unrouted = true WHERE fingerprint = name AND status <> 'resolved' $$;
CREATE FUNCTION pg_temp.dispatch(seconds numeric) RETURNS void LANGUAGE sql AS $$ SELECT observ.dispatch_notifications(pg_temp.at(seconds)) $$;
-- The latest notification as it is to be said at a time; NULL: as it was made.
CREATE FUNCTION pg_temp.request(seconds numeric DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT observ_data._render_notification(max(notification_id), at => pg_temp.at(seconds)) FROM observ.notifications $$;
CREATE FUNCTION pg_temp.said(seconds numeric DEFAULT NULL) RETURNS TABLE (line text) LANGUAGE sql AS $$
	SELECT r->>'title' FROM pg_temp.request(seconds) r UNION ALL SELECT regexp_split_to_table(r->>'text', '\n') FROM pg_temp.request(seconds) r $$;
-- Percent-encoding undone, of ASCII.
CREATE FUNCTION pg_temp.unescaped(t text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN m[1] LIKE '\%%' THEN chr(get_byte(decode(substr(m[1], 2), 'hex'), 0)) ELSE m[1] END, '' ORDER BY ord) FROM regexp_matches(t, '(%..|[^%])', 'g') WITH ORDINALITY r (m, ord) $$;
CREATE FUNCTION pg_temp.afresh() RETURNS void LANGUAGE sql AS $$
	TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.deliveries;
	UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity' $$;

INSERT INTO observ.notification_channels (name, kind, config) VALUES ('hook (a.b)', 'webhook', '{"url": "http://127.0.0.1:9/hook", "signing_secret": "open sesame", "bearer_token": "t0ken", "headers": {"X-Team": "db"}}');
INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval, repeat_interval) VALUES ('test', '{test="messages"}', '{hook (a.b)}', '{team}', '0', '1 min', '{4 h}');
INSERT INTO observ.routes (parent_id, name, matchers, channels, group_by, group_wait) SELECT route_id, 'test-deep', '{vps_name=~"db.*|web", team!="", team!~"\"x\""}', '{hook (a.b)}', '{team,alertname}', '0' FROM observ.routes WHERE name = 'test';

-- The payload, whole.
SELECT pg_temp.afresh();
SELECT pg_temp.fire('Disk', 0, '{"vps_name": "db-1", "team": "a \"b\"", "empty": "", "number": 7}');
SELECT pg_temp.dispatch(1);
SELECT jsonb_pretty(pg_temp.request() #- '{headers}' #- '{body,observ,idempotency_key}' #- '{body,observ,incident_key}' #- '{body,observ,notification_id}' #- '{body,alerts,0,observ,alert_id}');
-- Headers; what is secret is not shown, and the signature is of what is shown.
SELECT regexp_replace(h, '[0-9a-f]{64}', '<64 hex digits>') FROM jsonb_array_elements_text(pg_temp.request(61)->'headers') h;

-- Links, when it is known where the dashboard is.
SET observ.external_url = 'https://fleet.example.com/observ/';
SELECT regexp_replace(coalesce(x, 'NULL'), '[0-9a-f]{32,64}', '<key>') FROM pg_temp.request() r, LATERAL (VALUES (r #>> '{body,externalURL}'), (r #>> '{body,observ,url}'),
	(r #>> '{body,alerts,0,observ,silence_url}'), (replace(r #>> '{body,alerts,0,generatorURL}', '/' || (r #>> '{body,alerts,0,observ,alert_id}'), '/<id>'))) v (x);
-- Names that matchers have in quotes; what is too long for a link goes by name and VPS.
UPDATE observ.alerts SET labels = labels || '{"a b\"": "1", "0": "2"}';
SELECT s, (SELECT count(*) FROM observ._matching_alerts(s, pg_temp.at(61))) AS matches FROM (SELECT pg_temp.unescaped(substring(pg_temp.request(61) #>> '{body,alerts,0,observ,silence_url}' FROM 'matchers=(.*)'))) u (s);
UPDATE observ.alerts SET labels = labels || jsonb_build_object('long', repeat('x', 2000));
SELECT pg_temp.unescaped(substring(pg_temp.request(61) #>> '{body,alerts,0,observ,silence_url}' FROM 'matchers=(.*)'));
UPDATE observ.alerts SET labels = labels - '{long,"a b\"",0}'::text[];
RESET observ.external_url;

-- Values, durations and acknowledgements are those of the attempt.
SELECT * FROM pg_temp.said();
UPDATE observ.alerts SET value = 96.25, peak_value = 99.5, acknowledged_at = pg_temp.at(60), acknowledged_by = 'ann', severity = 'critical', stale = true, flapping = true, reopened = 2;
SELECT * FROM pg_temp.said(3700);
-- An acknowledgement that has run out names nobody.
UPDATE observ.alerts SET acknowledged_until = pg_temp.at(3000), stale = false, flapping = false, reopened = 0;
SELECT * FROM pg_temp.said(3700);

-- C2: what was over before the channel heard of it is left out. There is nothing left to say.
SELECT pg_temp.resolve('Disk', 4000);
SELECT r->>'title', r #> '{body,alerts}', r #> '{body,status}' FROM pg_temp.request(4001) r;

-- C14: new, still, resolved; in each by severity, then instance. Status from all there are.
SELECT pg_temp.afresh();
SELECT pg_temp.fire('One', 0, '{"team": "x", "vps_name": "m-2"}', 'high'), pg_temp.fire('Two', 0, '{"team": "x", "vps_name": "m-1"}', 'high'), pg_temp.fire('Three', 0, '{"team": "x", "vps_name": "m-3"}', 'emergency');
SELECT pg_temp.dispatch(1);
SELECT * FROM pg_temp.said();
UPDATE observ_data.group_channels SET delivered_seq = seq;
SELECT pg_temp.resolve('Two', 30), pg_temp.fire('Four', 31, '{"team": "x", "vps_name": "m-0"}', 'low');
SELECT pg_temp.dispatch(61);
SELECT * FROM pg_temp.said();
SELECT r #>> '{body,status}', r #> '{body,groupLabels}', r #> '{body,commonLabels}', r #> '{body,commonAnnotations}', r #> '{body,groupKey}' FROM pg_temp.request() r;
-- What is over meanwhile, and was known, is said as over; what was not known is left out.
SELECT pg_temp.resolve('One', 70), pg_temp.resolve('Four', 71);
SELECT * FROM pg_temp.said(72);
-- What fires again is told by the next notification: this one ends an incident.
SELECT pg_temp.dispatch(121);
SELECT * FROM pg_temp.said();
UPDATE observ.alerts SET status = 'firing', ends_at = NULL, resolved_reason = NULL, reopened = 1 WHERE fingerprint = 'One';
SELECT * FROM pg_temp.said(125);
-- C14: marks go by what was delivered. The first notification, of One, Two and Three, was not: they are NEW, and Two, which nobody was told of, is not there.
UPDATE observ_data.group_channels SET delivered_seq = 0;
SELECT notification_id AS second FROM observ.notifications WHERE seq = 2 \gset
SELECT r->>'title', regexp_split_to_table(r->>'text', '\n') FROM observ_data._render_notification(:second, at => pg_temp.at(65)) r;

-- A route that goes after it has told somebody: they are told the end all the same, by a title that has no group, or route, to name.
SELECT pg_temp.afresh();
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('chat', 'discord', '{"url": "https://discord.com/api/webhooks/1/x"}'), ('pager', 'pagerduty', '{"routing_key": "12345678901234567890123456789012"}'),
	('mail', 'email', '{"host": "mail.example.org", "from": "a@b.c", "to": "d@e.f"}');
INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval) VALUES ('test-gone', '{test="messages", alertname=~"Gone.*"}', '{hook (a.b)}', '{}', '0', '1 min');
UPDATE observ.routes SET "position" = -1 WHERE name = 'test-gone';
SELECT pg_temp.fire('Gone1', 0), pg_temp.fire('Gone2', 0);
SELECT pg_temp.dispatch(1);
SELECT * FROM pg_temp.said();
UPDATE observ_data.group_channels SET delivered_seq = seq;
SELECT pg_temp.resolve('Gone1', 30);
DELETE FROM observ.routes WHERE name = 'test-gone';
SELECT pg_temp.dispatch(61);
SELECT n.route, n.title, c, r->>'title' AS said, r->>'text' AS text FROM observ.notifications n, unnest('{chat,pager,mail}'::text[]) c, observ_data._render_notification(n.notification_id, c, at => pg_temp.at(62)) r
	WHERE n."timestamp" = pg_temp.at(61) ORDER BY n.route, c;
DELETE FROM observ.notification_channels WHERE name IN ('chat', 'pager', 'mail');

-- 2.13: 10,000 alerts in a group, 20 are listed. Those that are over make room for others, all are counted.
SELECT pg_temp.afresh();
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, unrouted)
	SELECT 'Storm' || i, 0, 'firing', 'high', 'm-' || to_char(i, 'FM00000'), jsonb_build_object('alertname', 'Storm', 'test', 'messages', 'team', 'x', 'vps_name', 'm-' || to_char(i, 'FM00000')), '{}', pg_temp.at(0), pg_temp.at(0), 1, true
	FROM generate_series(1, 10000) i;
SELECT pg_temp.dispatch(1);
SELECT r->>'title', jsonb_array_length(r #> '{body,alerts}'), r #>> '{body,truncatedAlerts}', right(r->>'text', 16), r #>> '{body,alerts,0,observ,instance}' FROM pg_temp.request(2) r;
UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.at(3), resolved_reason = 'cleared' WHERE instance <= 'm-09000';
SELECT r->>'title', jsonb_array_length(r #> '{body,alerts}'), r #>> '{body,truncatedAlerts}', right(r->>'text', 14), r #>> '{body,alerts,0,observ,instance}' FROM pg_temp.request(4) r;
UPDATE observ.notification_channels SET config = config || '{"max_alerts": 2}' WHERE name = 'hook (a.b)';
SELECT jsonb_array_length(r #> '{body,alerts}'), r #>> '{body,truncatedAlerts}', r #>> '{body,status}' FROM pg_temp.request(4) r;
UPDATE observ.notification_channels SET config = config - 'max_alerts' WHERE name = 'hook (a.b)';

-- Labels and annotations with anything in them: JSON stays JSON, lines stay lines, and what nobody can use is cut.
SELECT pg_temp.afresh();
SELECT pg_temp.fire('<b>"\' || chr(1) || chr(10) || '🔥' || chr(8238) || chr(133), 0, jsonb_build_object('team', 'x', 'vps_name', E'm\n1', 'long', repeat('€', 500000)));
UPDATE observ.alerts SET summary = repeat('ü', 1000000), annotations = jsonb_build_object('summary', repeat('ü', 1000000));
SELECT pg_temp.dispatch(1);
SELECT r #>> '{body,alerts,0,labels,alertname}' = '<b>"\' || chr(1) || chr(10) || '🔥' || chr(8238) || chr(133) || '' AS same, octet_length(r #>> '{body,alerts,0,labels,long}') AS label, right(r #>> '{body,alerts,0,labels,long}', 5),
	octet_length(r #>> '{body,alerts,0,annotations,summary}') AS annotation, octet_length((r -> 'body')::text) < 500000 AS bounded FROM pg_temp.request() r;
SELECT left(r->>'text', 60), strpos(r->>'text', E'\n'), (r->>'title') FROM pg_temp.request() r;

-- Times and values that hands have written: what can't be said is left out, and nothing of it keeps anybody from being told.
SELECT pg_temp.afresh();
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, labels, identity, active_at, starts_at, value, peak_value, unrouted)
	SELECT 'Odd' || s, 0, 'firing', 'high', jsonb_build_object('alertname', 'Odd', 'test', 'messages', 'team', 'x', 'at', s), '{}', pg_temp.at(0), s, 'infinity', '-infinity', true
	FROM unnest('{infinity,-infinity,2034-05-01,0044-03-15 BC,12034-01-01}'::timestamptz[]) s;
SELECT pg_temp.dispatch(1);
SELECT a #>> '{labels,at}' AS starts_at, a->>'startsAt' AS said, a #> '{observ,duration_seconds}' AS duration, a #> '{observ,value}' AS value FROM pg_temp.request(61) r, jsonb_array_elements(r #> '{body,alerts}') a;
SELECT * FROM pg_temp.said(61);
UPDATE observ_data.group_channels SET delivered_seq = seq;
UPDATE observ.alerts SET status = 'resolved', ends_at = '-infinity', resolved_reason = 'cleared', changes = changes + 1, unrouted = true;
SELECT pg_temp.dispatch(121);
SELECT r->>'title', a->>'endsAt' AS ends_at FROM pg_temp.request(122) r, jsonb_array_elements(r #> '{body,alerts}') a;

-- Rows that hands have changed are said as far as they can be.
UPDATE observ.notifications SET alerts = '[1, {}, {"mark": "odd", "severity": "odd", "labels": [], "value": "x", "starts_at": null}]', group_labels = '[]', route = 'gone';
SELECT r->>'text', r #> '{body,alerts,0,labels}', r #> '{body,groupKey}' FROM pg_temp.request(9) r;
SELECT observ_data._render_notification(-1);
SELECT observ_data._render_notification(max(notification_id), 'default') FROM observ.notifications;
SELECT observ_data._render_notification(max(notification_id), step => 1) FROM observ.notifications;

-- What can't be a webhook.
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{"url": "http://h/", "user": "x"}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{"url": "http://h/", "user": "x", "password": "y", "bearer_token": "z"}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{"url": "http://h/", "headers": {"content-length": "1"}}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{"url": "http://h/", "headers": {"a b": "1"}}');
INSERT INTO observ.notification_channels (name, kind, config) VALUES ('bad', 'webhook', '{"url": "http://h/", "method": "GET"}');

SELECT pg_temp.afresh();
DELETE FROM observ.routes WHERE name LIKE 'test%' AND parent_id IN (SELECT route_id FROM observ.routes WHERE name = 'test');
DELETE FROM observ.routes WHERE name = 'test';
DELETE FROM observ.notification_channels WHERE name <> 'default';
