-- Titles and bodies by templates of channels (docs/message-templates.md), rendered by observ_data._render_notification().
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
SET search_path = pg_catalog;
SELECT status FROM observ.maintain_partitions('2034-05-01');
TRUNCATE observ.alerts, observ.alert_history, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.deliveries;
UPDATE observ_data.evaluation_state SET dispatched_at = '-infinity';

INSERT INTO observ.notification_channels (name, kind, config) VALUES ('hook', 'webhook', '{"url": "http://127.0.0.1:9/"}');
INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, group_interval) VALUES ('test', '{test="templates"}', '{hook}', '{team}', '0', '1 min');
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, value, peak_value, annotations, summary, unrouted)
SELECT name || vps, 0, 'firing', severity::observ.severity, vps, jsonb_build_object('alertname', name, 'test', 'templates', 'team', 'payments', 'vps_name', vps, 'percent', '93.4'), '{}', '2034-05-01', '2034-05-01 00:00:10.5', value, value + 1,
	jsonb_build_object('summary', name || ' is bad', 'dashboard', '/d/' || name), name || ' is bad', true
FROM (VALUES ('Disk', 'critical', 'db-1', 97.123456), ('Disk', 'high', 'db-2', 91), ('Load', 'low', 'web-1', 1234567)) v (name, severity, vps, value);
SELECT notifications FROM observ.dispatch_notifications('2034-05-01 00:02');
UPDATE observ.alerts SET acknowledged_at = '2034-05-01 00:03', acknowledged_by = 'ann' WHERE instance = 'db-2';
-- What a body becomes; a title when one is given.
CREATE FUNCTION pg_temp.body(template text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	UPDATE observ.notification_channels SET body_template = template WHERE name = 'hook';
	RETURN (SELECT observ_data._render_notification(max(notification_id), at => '2034-05-01 01:00:10.5') #>> '{body,observ,text}' FROM observ.notifications);
END $$;

SELECT pg_temp.body('{{ firing }} firing, {{ resolved }} resolved, {{ new }} new, {{ still }} still, {{ alerts }} in all, {{ left_out }} left out; {{ status }} {{ severity }}');
SELECT pg_temp.body('{{ reason }} | {{ channel }} | {{ route }} | {{ seq }} | {{ title }} | {{ group.team }} | {{ group }} | {{ url }}{{ external_url }}');
SELECT pg_temp.body('common: {{ labels }}; {{ labels.test | upper }}; {{ annotations | default "none" }}; of several: {{ names }} / {{ instances | join(" + ") }}');
SELECT pg_temp.body('{{ text }}');
SELECT pg_temp.body('{{ range alerts }}{{ index }}. {{ mark }} {{ severity }} {{ name }} {{ instance }} {{ value }} {{ peak | round(1) }} {{ threshold | default("-") }} {{ duration | duration }} {{ acked_by | default("nobody") }} {{ status }}{{ if not last }}; {{ end }}{{ end }}');
SELECT pg_temp.body('{{ range firing }}{{ if first }}First: {{ end }}{{ labels.instance }} {{ labels.percent | percent }} {{ annotations.dashboard }} {{ starts_at }} {{ ends_at | default "…" }} {{ line }}
{{ end }}');
-- Blanks beside statements; nothing in a range; conditions.
SELECT pg_temp.body('a  {{- range resolved }} x {{ else }} none {{- end -}}   b');
SELECT pg_temp.body('{{ range alerts -}}
	{{ if severity >= "high" and not acked_by -}} CALL {{ instance }}
	{{- else if value > 1e6 or labels.nothing -}} big {{ value | humanize }}
	{{- else -}} {{ instance }} is {{ acked_by }}''s
	{{- end }};
{{ end }}');
SELECT pg_temp.body('{{ if labels.team == "payments" }}ours{{ end }} {{ if labels.percent < 100 }}below{{ end }} {{ if name != "Load" }}of the first: {{ name }} {{ value | humanize }}{{ end }} {{ if threshold }}?{{ else }}no threshold{{ end }}');
-- Prometheus's spelling; braces that are text.
SELECT pg_temp.body('{{ $labels.team }} {{ humanize $value }} {{ "{{" }} }} {not}');

-- A title is one line, and never empty.
UPDATE observ.notification_channels SET body_template = NULL, title_template = E'{{ if severity == "critical" }}CALL:{{ end }}\n{{ firing }} × {{ names }}' WHERE name = 'hook';
SELECT observ_data._render_notification(max(notification_id)) ->> 'title' FROM observ.notifications;
UPDATE observ.notification_channels SET title_template = '{{ if resolved }}over{{ end }} ' WHERE name = 'hook';
SELECT observ_data._render_notification(max(notification_id)) ->> 'title' FROM observ.notifications;
UPDATE observ.notification_channels SET title_template = NULL WHERE name = 'hook';

-- Mistakes are refused when they are written, with the place and what was meant.
CREATE FUNCTION pg_temp.mistake(template text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text; h text;
BEGIN
	UPDATE observ.notification_channels SET body_template = template WHERE name = 'hook';
	RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', SQLSTATE, SQLERRM, left(d, 60), left(h, 80));
END $$;
SELECT pg_temp.mistake(t) FROM (VALUES ('ü {{ sumary }}'), ('{{ value | humanise }}'), ('{{ range alert }}{{ end }}'), ('{{ if firing }}'), ('{{ end }}'), ('{{ else }}'), ('{{ range alerts }}{{ range new }}{{ end }}{{ end }}'), ('{{ value'),
	('{{ value }'), ('{{ labels. }}'), ('{{ value.x }}'), ('{{ .Labels.team }}'), ('{{ index }}'), ('{{ if }}x{{ end }}'), ('{{ if firing }}a{{ else }}b{{ else }}c{{ end }}'), ('{{ if value > }}{{ end }}'), ('{{ default }}'),
	('{{ value | default 1 }}'), ('{{ "open }}'), ('{{ if firing ) }}{{ end }}'), (repeat('{{ if firing }}', 20)), (repeat('x', 16385)), ('{{ template "x" }}'), ('{{ }}')) v (t);

-- C15: a mistake that got there in another way gives the usual text, and says so.
ALTER TABLE observ.notification_channels DISABLE TRIGGER USER;
UPDATE observ.notification_channels SET title_template = 'x {{ oops }}', body_template = '{{ range alerts }}' WHERE name = 'hook';
ALTER TABLE observ.notification_channels ENABLE TRIGGER USER;
SELECT r ->> 'title', r #> '{body,observ,text}', r ->> 'template_error' FROM (SELECT observ_data._render_notification(max(notification_id)) AS r FROM observ.notifications) s;

-- Output has bounds.
UPDATE observ.notification_channels SET title_template = NULL, body_template = '{{ range alerts }}' || repeat('{{ annotations.summary }}', 100) || '{{ end }}' WHERE name = 'hook';
UPDATE observ.alerts SET annotations = jsonb_build_object('summary', repeat('€', 20000));
SELECT length(r ->> 'text'), right(r ->> 'text', 3), r ->> 'template_error' FROM (SELECT observ_data._render_notification(max(notification_id), at => '2034-05-01 01:00') AS r FROM observ.notifications) s;

DELETE FROM observ.routes WHERE name = 'test';
DELETE FROM observ.notification_channels WHERE name <> 'default';
TRUNCATE observ.alerts, observ.notifications, observ.notification_decisions, observ_data.alert_groups, observ_data.group_members, observ_data.told, observ_data.group_channels, observ_data.deliveries;
