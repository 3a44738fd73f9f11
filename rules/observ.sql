-- Default alert rules: observ itself, its agents, and who would not be told. How these files work: rules/server.sql.

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('Watchdog', 'observ', 'query', $$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach$$, '0', '0', NULL, 'info', '{}',
 'Always fires. Route it to a service that calls you when it does not come any more: the only alert that a dead server can''t send.',
 '{"summary": "observ is watching",
   "description": "Evaluation and dispatch work. This alert never ends; it is missed when they don''t.",
   "action": "Nothing. Send it to a heartbeat service: notification_channels of this rule, a short repeat_interval of its route."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, on_missing, severity, labels, description, annotations) VALUES
('EvaluatorLagging', 'observ', 'query', $$
-- NULL: no later than the evaluation before, or hardly late; the alert stays as it is.
SELECT '{}'::jsonb AS labels, CASE WHEN e.late > 3 * e.expected THEN extract(epoch FROM e.late)::float8 END AS value, nullif(e.late > 3 * e.expected, false) AS breach
FROM (SELECT $1 - s.evaluated_at AS late, greatest(interval '15 seconds', current_setting('observ.evaluation_interval')::interval) AS expected
	FROM observ_data.evaluation_state s WHERE isfinite(s.evaluated_at)) e
WHERE e.late > 1.5 * e.expected OR e.late <= interval '0'
$$, '2 minutes', '5 minutes', NULL, 'keep', 'critical', '{"family": "observ_evaluation"}',
 'For two minutes alert rules have been evaluated later than every three intervals. A single pause is none: its time is made up for.',
 '{"summary": "Alert rules are evaluated every {{ value | duration }} only",
   "description": "People are told late, or not at all while this lasts.",
   "action": "SELECT * FROM observ.job_status says whether evaluate_alerts is slow, failing or late; the server''s log whether it was down. Slow: observ.rule_status, give costly rules an evaluation_interval."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('RuleEvalError', 'observ', 'query', $$
SELECT jsonb_build_object('rule', r.name) AS labels, s.errors::float8 AS value, true AS breach
FROM observ_data.rule_state s JOIN observ.alert_rules r USING (rule_id) WHERE s.errors >= 3 AND r.enabled
$$, '0', '0', NULL, 'high', '{"family": "observ_rule"}',
 'A rule failed three times in a row. Its alerts stay as they were, new ones are not found.',
 '{"summary": "Alert rule {{ labels.rule }} fails",
   "description": "{{ value }} times in a row.",
   "action": "SELECT * FROM observ.rule_status WHERE name = ''{{ labels.rule }}'' has the error. A query that is too slow: an index, a shorter time, or observ.rule_statement_timeout."}'),
('TooManyAlerts', 'observ', 'query', $$
SELECT jsonb_build_object('rule', r.name) AS labels, s.overflow::float8 AS value, true AS breach
FROM observ_data.rule_state s JOIN observ.alert_rules r USING (rule_id) WHERE s.overflow > 0 AND r.enabled
$$, '5 minutes', '5 minutes', '1 minute', 'warning', '{"family": "observ_rule"}',
 'A rule has more alerts than observ.max_alerts_per_rule; the rest is one alert that sums it up.',
 '{"summary": "Alert rule {{ labels.rule }} has {{ value }} alerts too many",
   "description": "They are summed up in one.",
   "action": "Either much is broken, or the rule is too narrow: look at its threshold, give it a selector, or group it in a query."}'),
('RuleMatchesNothing', 'observ', 'query', $$
SELECT jsonb_build_object('rule', r.name) AS labels, extract(epoch FROM $1 - coalesce(s.data_seen_at, r.created_at))::float8 AS value, true AS breach
FROM observ.alert_rules r LEFT JOIN observ_data.rule_state s USING (rule_id)
WHERE r.enabled AND r.shipped_as IS NULL AND r.source IN ('vps_metrics', 'health_checks', 'metric_samples')
	AND coalesce(s.data_seen_at, r.created_at) < $1 - interval '1 day'
$$, '0', '0', '1 hour', 'low', '{"family": "observ_rule"}',
 'A rule of yours has found nothing to look at for a day: a name that was misspelt, a selector that takes nobody, or data that stopped.',
 '{"summary": "Alert rule {{ labels.rule }} has no data",
   "description": "For {{ value | duration }}.",
   "action": "Compare its metric_name, matchers and selector with observ.metric_series and observ.vps; disable it when it is not needed any more."}'),
('JobFailing', 'observ', 'query', $$
SELECT jsonb_build_object('job', j.job_name) AS labels, 1::float8 AS value, true AS breach
FROM observ.job_status j WHERE j.state IN ('failing', 'disabled', 'late')
$$, '5 minutes', '0', '1 minute', 'high', '{"family": "observ_job"}',
 'A job of observ has failed, or has not been run, for five minutes.',
 '{"summary": "Job {{ labels.job }} of observ does not work",
   "description": "observ.job_status says why.",
   "action": "SELECT state, last_error, last_error_at FROM observ.job_status WHERE job_name = ''{{ labels.job }}''. disabled: five crashes; mend the cause, then SELECT observ.reset_job(''{{ labels.job }}'')."}'),
('IngestStopped', 'observ', 'query', $$
SELECT '{}'::jsonb AS labels, extract(epoch FROM $1 - f.latest)::float8 AS value, true AS breach
FROM (SELECT max(m."timestamp") AS latest, min(coalesce(m.expected_ms, 60000)) * interval '1 millisecond' AS expected,
		min(m.vps_name) < max(m.vps_name) AS several
	FROM observ.fleet_summary m WHERE m."timestamp" > $1 - interval '1 day') f
WHERE f.several AND f.latest < $1 - greatest(interval '2 minutes', 3 * f.expected)
$$, '0', '30 seconds', '30 seconds', 'emergency', '{"family": "availability"}',
 'Nobody has sent anything for two minutes (three of the shortest interval, where that is longer); of fleets of two VPSs and more.',
 '{"summary": "No VPS sends anything any more",
   "description": "For {{ value | duration }}.",
   "action": "It is the way here, not the VPSs: can this server be connected to from outside, is it out of connections or disk, was a password or certificate changed? Any agent''s journal says what it is told."}'),
('NotificationFailing', 'observ', 'query', $$
SELECT jsonb_build_object('channel', f.channel) AS labels, count(*)::float8 AS value, true AS breach
FROM (SELECT n.channel FROM observ.notifications n
	WHERE n.status = 'dead' AND n."timestamp" > $1 - interval '1 day' AND n.finished_at > $1 - interval '30 minutes' AND n.finished_at <= $1
	UNION ALL
	SELECT d.channel FROM observ_data.deliveries d LEFT JOIN observ_data.channel_state s ON s.channel = d.channel
	WHERE d.failures > 0 AND (d.made_at < $1 - interval '5 minutes' OR s.failures >= 3)) f
GROUP BY f.channel
$$, '0', '5 minutes', '1 minute', 'critical', '{"family": "observ_notification"}',
 'A notification was given up within thirty minutes, or has been tried for more than five, or three attempts through its channel failed in a row.',
 '{"summary": "Notifications through {{ labels.channel }} fail",
   "description": "{{ value }} were given up or are tried again.",
   "action": "SELECT * FROM observ.notification_attempts WHERE channel = ''{{ labels.channel }}'' ORDER BY timestamp DESC LIMIT 5 has the answers; once it is mended, SELECT * FROM observ.test_channel(''{{ labels.channel }}''). Give the channel a fallback, and route this alert to another one than you use most."}'),
('OutboxBacklog', 'observ', 'query', $$
SELECT jsonb_build_object('channel', d.channel) AS labels, max(extract(epoch FROM $1 - greatest(d.due_at, s.blocked_until)))::float8 AS value, true AS breach
FROM observ_data.deliveries d JOIN observ.notification_channels c ON c.name = d.channel AND c.enabled AND c.kind IS NOT NULL
	LEFT JOIN observ_data.channel_state s ON s.channel = d.channel
WHERE greatest(d.due_at, s.blocked_until) < $1 - interval '2 minutes'
GROUP BY d.channel
$$, '1 minute', '0', '1 minute', 'high', '{"family": "observ_notification"}',
 'Notifications of a channel wait for more than two minutes, though nothing is known to be wrong with it. Channels without a kind are silent.',
 '{"summary": "Notifications through {{ labels.channel }} wait for {{ value | duration }}",
   "description": "Nobody takes them, or there are more than its rate limit allows.",
   "action": "Is the notifier running? SELECT * FROM observ.status(). A storm of alerts: group more in the route; or a higher rate_limit of the channel, when the service takes it. SELECT channel, status, count(*) FROM observ.notifications WHERE status <> ''sent'' GROUP BY 1, 2."}'),
('SilenceHidesCritical', 'observ', 'query', $$
SELECT jsonb_build_object('silence_id', h.silence_id::text) AS labels, count(DISTINCT h.alert_id)::float8 AS value, true AS breach
FROM (SELECT x.key::bigint AS alert_id, (x.value ->> 'id')::bigint AS silence_id
	FROM observ.notification_decisions d, LATERAL jsonb_each(d.suppressed) x
	WHERE d."timestamp" > $1 - interval '14 days' AND d."timestamp" <= $1 - interval '4 hours' AND d.last_at > $1 - interval '1 day'
		AND x.value ->> 'by' = 'silence') h
JOIN observ.silences s ON s.silence_id = h.silence_id AND s.starts_at <= $1 - interval '4 hours' AND s.ends_at > $1
JOIN observ.alerts a ON a.alert_id = h.alert_id
WHERE a.status IN ('firing', 'recovering') AND a.severity >= 'critical'
GROUP BY h.silence_id
$$, '0', '0', '5 minutes', 'medium', '{"family": "observ_silence"}',
 'A silence has kept an alert of severity critical or emergency from people for more than four hours.',
 '{"summary": "Silence {{ labels.silence_id }} has hidden something critical for hours",
   "description": "{{ value }} alerts that still fire.",
   "action": "SELECT * FROM observ.silences WHERE silence_id = {{ labels.silence_id }}; if it is not meant to: SELECT observ.expire_silence({{ labels.silence_id }})."}'),
('SilenceEndsSoon', 'observ', 'query', $$
SELECT jsonb_build_object('silence_id', s.silence_id::text) AS labels, extract(epoch FROM s.ends_at - $1)::float8 AS value, true AS breach
FROM observ.silences s
WHERE s.starts_at <= $1 AND s.ends_at > $1 AND s.ends_at <= $1 + interval '30 minutes' AND s.replaced_by IS NULL
	AND EXISTS (SELECT FROM observ.notification_decisions d, LATERAL jsonb_each(d.suppressed) x JOIN observ.alerts a ON a.alert_id = x.key::bigint
		WHERE d."timestamp" > $1 - interval '14 days' AND d."timestamp" <= $1 AND d.last_at > $1 - interval '1 day' AND x.value ->> 'by' = 'silence'
			AND (x.value ->> 'id')::bigint = s.silence_id AND a.status IN ('firing', 'recovering'))
$$, '0', '0', '1 minute', 'info', '{"family": "observ_silence"}',
 'A silence that hides alerts which still fire ends within thirty minutes.',
 '{"summary": "Silence {{ labels.silence_id }} ends in {{ value | duration }}",
   "description": "What it hides still fires, and will be told then.",
   "action": "Done with the work? Then nothing. Else: UPDATE observ.silences SET ends_at = now() + interval ''1 hour'' WHERE silence_id = {{ labels.silence_id }}."}'),
('RetentionBehind', 'observ', 'query', $$
SELECT jsonb_build_object('data_set', p.data_set) AS labels, extract(epoch FROM $1 - min(p.due))::float8 AS value, true AS breach
FROM observ.retention_preview($1) p WHERE p.due < $1 - interval '6 hours' GROUP BY p.data_set
$$, '1 hour', '0', '1 hour', 'warning', '{"family": "observ_retention"}',
 'Partitions that should have been dropped six hours ago are still there.',
 '{"summary": "Old data of {{ labels.data_set }} is not dropped",
   "description": "Since {{ value | duration }}; the disk of the database fills up.",
   "action": "SELECT * FROM observ.retention_preview() has waits_for; SELECT * FROM observ.job_status WHERE job_name = ''apply_retention'' the error. A long transaction holds it up (PgLongTransaction)."}'),
('RowsQuarantined', 'observ', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', q.vps_name, 'table', q.table_name)) AS labels, count(*)::float8 AS value, true AS breach
FROM observ.quarantine q WHERE q.received_at > $1 - interval '15 minutes' AND q.received_at <= $1 GROUP BY q.vps_name, q.table_name
$$, '0', '0', '5 minutes', 'low', '{"family": "observ_ingest"}',
 'Rows could not be stored where they belong within fifteen minutes.',
 '{"summary": "Rows of {{ labels.vps_name }} went to quarantine",
   "description": "{{ value }} rows of {{ labels.table }}.",
   "action": "SELECT reason, count(*) FROM observ.quarantine WHERE vps_name = ''{{ labels.vps_name }}'' GROUP BY 1. Too old: the agent was away for longer than observ.late_window. In the future: its clock."}'),
('SeriesRefused', 'observ', 'query', $$
SELECT jsonb_build_object('vps_name', u.vps_name) AS labels, u.series::float8 AS value, true AS breach
FROM observ.metric_usage u WHERE u.last_rejected_at > $1 - interval '15 minutes' AND u.last_rejected_at <= $1
$$, '5 minutes', '10 minutes', '5 minutes', 'low', '{"family": "observ_ingest"}',
 'Samples of labelled metrics were refused within fifteen minutes: too many series.',
 '{"summary": "Labelled metrics of {{ labels.vps_name }} are refused",
   "description": "It has {{ value }} series.",
   "action": "SELECT last_rejected_reason FROM observ.metric_usage WHERE vps_name = ''{{ labels.vps_name }}''. A label with ever new values (ids, addresses) is the usual cause; else raise observ.max_series_per_vps."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, clear_threshold, for_duration, keep_firing_for, severity, labels, description, annotations) VALUES
('AgentLosesData', 'observ', 'metric_samples', 'observ_agent_rows_dropped_total', 'increase', '21 minutes', 'gt', 0, NULL, '0', '5 minutes', 'warning', '{"family": "agent_data"}',
 'An agent gave up rows for want of room, or because they were damaged.',
 '{"summary": "The agent of {{ labels.app_name }} on {{ labels.vps_name }} loses data",
   "description": "{{ value | round(0) }} rows of {{ labels.reason }} within twenty minutes.",
   "action": "obs-agent status says why: its spool is full because the database was away for long, or its disk is. A larger spool.max_mb keeps more."}'),
('AgentSpoolGrows', 'observ', 'metric_samples', 'observ_agent_spool_records', 'min', '15 minutes', 'gt', 1000, 100, '5 minutes', '0', 'warning', '{"family": "agent_data"}',
 'More than a thousand records have waited in an agent for fifteen minutes: it can''t get them to the database.',
 '{"summary": "The agent of {{ labels.app_name }} on {{ labels.vps_name }} is behind",
   "description": "At least {{ value | round(0) }} records wait.",
   "action": "obs-agent status has lag_s and last_error. After an outage it catches up by itself; else look at the network, at observ.backpressure, and at log files that grow too fast."}'),
('LogLinesLost', 'observ', 'metric_samples', 'observ_agent_log_lost_bytes_total', 'increase', '21 minutes', 'gt', 0, NULL, '0', '5 minutes', 'warning', '{"family": "agent_logs"}',
 'An agent could not read all of a log before it was deleted or truncated.',
 '{"summary": "Log lines of {{ labels.app_name }} on {{ labels.vps_name }} were lost",
   "description": "{{ value | round(0) }} bytes within twenty minutes.",
   "action": "Events of kind data_lost name the file. Let rotation keep a file for longer, or raise log_deleted_max_mb."}'),
('LogFilesUnreadable', 'observ', 'metric_samples', 'observ_agent_log_file_problems', 'last', '11 minutes', 'gt', 0, NULL, '10 minutes', '0', 'low', '{"family": "agent_logs"}',
 'Paths of log_files can''t be read or found.',
 '{"summary": "Logs of {{ labels.app_name }} on {{ labels.vps_name }} can''t be read",
   "description": "{{ value }} paths.",
   "action": "obs-agent explain logs names them and says why; SupplementaryGroups=adm in a drop-in of the unit is the usual cure."}'),
('AgentHelperStuck', 'observ', 'metric_samples', 'observ_agent_stuck_helpers', 'last', '11 minutes', 'gt', 0, NULL, '10 minutes', '0', 'warning', '{"family": "mount"}',
 'A helper process of an agent hangs in the kernel.',
 '{"summary": "A helper of the agent on {{ labels.vps_name }} hangs",
   "description": "{{ value }} processes, mostly in a network filesystem that does not answer.",
   "action": "ps -eo pid,state,wchan,cmd | grep '' D '' there; see MountHangs. The agent itself goes on."}');
