-- Default alert rules: service levels, logs, deployments, application agents. How these files work: rules/server.sql.
-- Service levels: health checks are the requests, 99.9 % of them may not fail. Each rule looks at a long and a short window, both must be bad: so
-- that it tells of what matters, and clears soon (Google's SRE workbook, chapter 5). The short one chooses, so that a quiet fleet costs one scan.

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('SloBurnFast', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', s.vps_name, 'app_name', nullif(s.app_name, ''), 'url', s.url)) AS labels,
	100.0 * l.failures / l.checks AS value, true AS breach
FROM (SELECT h.vps_name, h.app_name, h.url FROM observ.health_checks h
	WHERE h."timestamp" > $1 - interval '5 minutes' AND h."timestamp" <= $1 AND NOT h.inconclusive
	GROUP BY h.vps_name, h.app_name, h.url HAVING count(*) FILTER (WHERE NOT h.success) > 0.0144 * count(*)) s
CROSS JOIN LATERAL (SELECT count(*)::float8 AS checks, count(*) FILTER (WHERE NOT h.success) AS failures FROM observ.health_checks h
	WHERE h.vps_name = s.vps_name AND h.app_name = s.app_name AND h.url = s.url AND NOT h.inconclusive
		AND h."timestamp" > $1 - interval '1 hour' AND h."timestamp" <= $1) l
WHERE l.checks >= 20 AND l.failures >= 3 AND l.failures > 0.0144 * l.checks
$$, '2 minutes', '0', '1 minute', 'critical', '{"family": "slo"}',
 'More than 1.44 % of the checks of an hour and of five minutes failed: 14.4 times what 99.9 % allow, a month''s budget in two days.',
 '{"summary": "{{ labels.url }} burns its error budget fast ({{ value | round(1) }} % failures)",
   "description": "Of the last hour, seen from {{ labels.vps_name }}.",
   "action": "Treat it as an outage: undo the latest change (observ.events, kind deployed), then find the cause."}'),
('SloBurnMedium', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', s.vps_name, 'app_name', nullif(s.app_name, ''), 'url', s.url)) AS labels,
	100.0 * l.failures / l.checks AS value, true AS breach
FROM (SELECT h.vps_name, h.app_name, h.url FROM observ.health_checks h
	WHERE h."timestamp" > $1 - interval '30 minutes' AND h."timestamp" <= $1 AND NOT h.inconclusive
	GROUP BY h.vps_name, h.app_name, h.url HAVING count(*) FILTER (WHERE NOT h.success) > 0.006 * count(*)) s
CROSS JOIN LATERAL (SELECT count(*)::float8 AS checks, count(*) FILTER (WHERE NOT h.success) AS failures FROM observ.health_checks h
	WHERE h.vps_name = s.vps_name AND h.app_name = s.app_name AND h.url = s.url AND NOT h.inconclusive
		AND h."timestamp" > $1 - interval '6 hours' AND h."timestamp" <= $1) l
WHERE l.checks >= 100 AND l.failures >= 3 AND l.failures > 0.006 * l.checks
$$, '15 minutes', '0', '5 minutes', 'high', '{"family": "slo"}',
 'More than 0.6 % of the checks of six hours and of thirty minutes failed: six times what 99.9 % allow, a month''s budget in five days.',
 '{"summary": "{{ labels.url }} burns its error budget ({{ value | round(1) }} % failures)",
   "description": "Of the last six hours, seen from {{ labels.vps_name }}.",
   "action": "Find the cause today: error_message of the failures, events and logs of the time when it began."}'),
('SloBurnSlow', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', s.vps_name, 'app_name', nullif(s.app_name, ''), 'url', s.url)) AS labels,
	100.0 * l.failures / l.checks AS value, true AS breach
FROM (SELECT h.vps_name, h.app_name, h.url FROM observ.health_5m h
	WHERE h."timestamp" > $1 - interval '135 minutes' AND h."timestamp" <= $1 AND h.checks > 0
	GROUP BY h.vps_name, h.app_name, h.url HAVING sum(h.failures) > 0.003 * sum(h.checks)) s
CROSS JOIN LATERAL (SELECT sum(h.checks)::float8 AS checks, sum(h.failures) AS failures FROM observ.health_5m h
	WHERE h.vps_name = s.vps_name AND h.app_name = s.app_name AND h.url = s.url
		AND h."timestamp" > $1 - interval '1 day' AND h."timestamp" <= $1) l
WHERE l.checks >= 200 AND l.failures >= 3 AND l.failures > 0.003 * l.checks
$$, '1 hour', '0', '15 minutes', 'warning', '{"family": "slo"}',
 'More than 0.3 % of the checks of a day and of two hours failed: three times what 99.9 % allow. Read from the roll-ups of five minutes.',
 '{"summary": "{{ labels.url }} uses up its error budget ({{ value | round(1) }} % failures)",
   "description": "Of the last day, seen from {{ labels.vps_name }}.",
   "action": "Plan to find the cause this week: what do the failures have in common (time of day, error_message)?"}'),
('SloBudgetLow', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', s.vps_name, 'app_name', nullif(s.app_name, ''), 'url', s.url)) AS labels,
	100 * (1 - l.failures / (0.001 * l.checks)) AS value, true AS breach
FROM (SELECT DISTINCT h.vps_name, h.app_name, h.url FROM observ.health_1h h
	WHERE h."timestamp" > $1 - interval '1 day' AND h."timestamp" <= $1 AND h.failures > 0) s
CROSS JOIN LATERAL (SELECT sum(h.checks)::float8 AS checks, sum(h.failures) AS failures FROM observ.health_1h h
	WHERE h.vps_name = s.vps_name AND h.app_name = s.app_name AND h.url = s.url
		AND h."timestamp" > $1 - interval '30 days' AND h."timestamp" <= $1) l
WHERE l.checks >= 5000 AND l.failures > 0.0009 * l.checks
$$, '1 hour', '0', '1 hour', 'medium', '{"family": "slo_budget"}',
 'Less than a tenth is left of what 99.9 % allow to fail in thirty days, and something failed within a day. Read from the roll-ups of an hour.',
 '{"summary": "{{ labels.url }} has {{ value | round(0) }} % of its error budget left",
   "description": "Of thirty days, seen from {{ labels.vps_name }}; below 0 it is overdrawn.",
   "action": "Put off risky changes until it is better: SELECT * FROM observ.sla(99.9)."}'),
('LogErrorBurst', 'application', 'query', $$
SELECT jsonb_build_object('app_name', n.app_name) AS labels, n.errors AS value, true AS breach
FROM (SELECT e.app_name, count(*)::float8 AS errors FROM observ.log_entries e
	WHERE e."timestamp" > $1 - interval '5 minutes' AND e."timestamp" <= $1
		AND upper(e.level) = ANY (ARRAY['ERROR', 'FATAL', 'CRITICAL', 'ALERT', 'EMERGENCY', 'PANIC'])
	GROUP BY e.app_name HAVING count(*) > 20) n
CROSS JOIN LATERAL (SELECT coalesce(sum(c.count), 0)::float8 / 288 AS mean FROM observ.log_counts c
	WHERE c.app_name = n.app_name AND c."timestamp" > $1 - interval '1 day' AND c."timestamp" <= $1 - interval '5 minutes'
		AND c.level IN ('error', 'fatal', 'critical', 'alert', 'emergency', 'panic')) d
WHERE n.errors > 5 * d.mean
$$, '5 minutes', '5 minutes', '1 minute', 'medium', '{"family": "logs"}',
 'An application logs five times as many errors as in the mean of a day, and more than twenty in five minutes.',
 '{"summary": "{{ labels.app_name }} logs unusually many errors",
   "description": "{{ value }} in five minutes.",
   "action": "SELECT * FROM observ.log_patterns(now() - interval ''15 minutes'') shows which; look at deployments of the last hour."}'),
('LogPatternNew', 'application', 'query', $$
SELECT jsonb_build_object('app_name', t.app_name, 'pattern', left(t.template, 200)) AS labels, t.count::float8 AS value, true AS breach
FROM observ.log_templates t
WHERE t.first_seen > $1 - interval '15 minutes' AND t.first_seen <= $1 AND t.fingerprint <> 0 AND t.last_seen > $1 - interval '15 minutes'
	AND t.level IN ('error', 'fatal', 'critical', 'alert', 'emergency', 'panic')
	AND EXISTS (SELECT FROM observ.log_templates o WHERE o.app_name = t.app_name AND o.first_seen < $1 - interval '1 day')
ORDER BY t.count DESC LIMIT 20
$$, '0', '0', '1 minute', 'low', '{"family": "logs"}',
 'An application logs an error of a kind that it has never logged before. Only of applications whose logs have come for a day; the 20 most frequent.',
 '{"summary": "New error of {{ labels.app_name }}: {{ labels.pattern }}",
   "description": "{{ value }} times so far.",
   "action": "observ.search_logs() with words of it shows the lines; if it came with a deployment, look at what changed."}'),
('DeploymentFailed', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', nullif(d.vps_name, ''), 'app_name', nullif(d.app_name, ''))) AS labels, 1::float8 AS value, true AS breach
FROM (SELECT DISTINCT ON (e.vps_name, e.app_name) e.vps_name, e.app_name, e.success FROM observ.events e
	WHERE e."timestamp" > $1 - interval '30 minutes' AND e."timestamp" <= $1 AND e.kind = 'deployed'
	ORDER BY e.vps_name, e.app_name, e."timestamp" DESC) d
WHERE NOT d.success
$$, '0', '0', '1 minute', 'high', '{"family": "deployment"}',
 'The latest deployment of an application within thirty minutes failed.',
 '{"summary": "Deployment of {{ labels.app_name }} on {{ labels.vps_name }} failed",
   "description": "Recorded as event deployed with success false.",
   "action": "Its message: SELECT * FROM observ.events WHERE kind = ''deployed'' ORDER BY timestamp DESC LIMIT 5. Deploy again, or the version before; a good one ends this alert."}'),
('AgentMessagesFailing', 'application', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('agent_id', e.data ->> 'agent_id', 'app_name', nullif(min(e.app_name), ''))) AS labels,
	100.0 * count(*) FILTER (WHERE NOT e.success) / count(*)::float8 AS value, true AS breach
FROM observ.events e
WHERE e."timestamp" > $1 - interval '10 minutes' AND e."timestamp" <= $1 AND e.kind IN ('message_processed', 'workflow_executed') AND e.success IS NOT NULL
GROUP BY e.data ->> 'agent_id'
HAVING count(*) >= 20 AND count(*) FILTER (WHERE NOT e.success) > 0.1 * count(*)
$$, '5 minutes', '5 minutes', '1 minute', 'high', '{"family": "agent"}',
 'More than a tenth of the messages and workflows of an application agent failed in ten minutes, at least twenty of them.',
 '{"summary": "Agent {{ labels.agent_id }} fails in {{ value | round(0) }} % of its work",
   "description": "Messages and workflows of ten minutes.",
   "action": "SELECT message, data FROM observ.events WHERE NOT success AND data ->> ''agent_id'' = ''{{ labels.agent_id }}'' ORDER BY timestamp DESC LIMIT 10; look at what it depends on (model, tools, queue)."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, "window", operator, threshold, severity, labels, description, annotations) VALUES
('LogFatal', 'application', 'log_entries', 'log_count', '{level=~"(?i)fatal|alert|emergency|panic",message!~".*(authentication failed|no pg_hba.conf entry|terminating (connection|background worker)|the database system is|remaining connection slots).*"}', '5 minutes', 'gte', 1, 'high', '{"family": "logs"}',
 'An application logged something worse than an error. What PostgreSQL calls fatal when it sends a client away is left out.',
 '{"summary": "{{ labels.app_name }} on {{ labels.vps_name }} logs fatal errors",
   "description": "{{ value }} entries of level fatal and above in five minutes.",
   "action": "SELECT message FROM observ.log_entries WHERE vps_name = ''{{ labels.vps_name }}'' AND level = ''fatal'' ORDER BY timestamp DESC LIMIT 10 shows them. Is the application still running?"}');
