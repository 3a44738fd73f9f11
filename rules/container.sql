-- Default alert rules: containers, and services of systemd, by their control groups. How these files work: rules/server.sql.

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, clear_threshold, for_duration, severity, labels, description, annotations) VALUES
('ContainerOom', 'container', 'metric_samples', 'container_oom_kills_total', 'increase', '10 minutes', 'gte', 1, NULL, '0', 'high', '{"family": "container_memory"}',
 'A process of a container was killed for lack of memory within ten minutes.',
 '{"summary": "{{ labels.name }} on {{ labels.vps_name }} ran out of memory",
   "description": "{{ value | round(0) }} processes killed in ten minutes ({{ labels.runtime }}).",
   "action": "Look whether it is running again. Raise its limit if container_memory_working_set_bytes was near it in normal work; else find the leak."}'),
('ContainerCpuThrottled', 'container', 'metric_samples', 'container_cpu_throttled_seconds_total', 'rate', '10 minutes', 'gt', 0.25, 0.1, '10 minutes', 'warning', '{"family": "container_cpu"}',
 'A container was held back by its CPU quota for more than a quarter of the time, mean of ten minutes.',
 '{"summary": "{{ labels.name }} on {{ labels.vps_name }} is throttled",
   "description": "{{ value | round(2) }} seconds per second ({{ labels.runtime }}); its answers are slow though the machine has time.",
   "action": "Raise its CPU limit, or lower its number of threads to it (GOMAXPROCS, worker processes)."}'),
('ContainerPidsHigh', 'container', 'metric_samples', 'container_pids', 'last', NULL, 'gt', 2000, 1500, '10 minutes', 'warning', '{"family": "container_pids"}',
 'A container has more than 2,000 processes and threads.',
 '{"summary": "{{ labels.name }} on {{ labels.vps_name }} has {{ value }} tasks",
   "description": "Processes and threads ({{ labels.runtime }}).",
   "action": "Look for threads or children that are never ended; a limit (--pids-limit, TasksMax=) protects the rest."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('ContainerMemNearLimit', 'container', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', l.vps_name, 'app_name', nullif(l.app_name, ''), 'name', l.labels ->> 'name',
		'runtime', l.labels ->> 'runtime', 'container_id', l.labels ->> 'container_id')) AS labels,
	100 * w.value / m.value AS value, true AS breach
FROM observ.metric_series l
JOIN observ.metric_series u ON u.vps_name = l.vps_name AND u.app_name = l.app_name AND u.labels = l.labels
	AND u.metric_name = 'container_memory_working_set_bytes'
CROSS JOIN LATERAL (SELECT c."values"[l.slot] AS value FROM observ.metric_scrapes c
	WHERE c.vps_name = l.vps_name AND c.app_name = l.app_name AND c.set_no = l.set_no AND c."timestamp" > $1 - interval '11 minutes'
		AND c."timestamp" <= $1 AND c."values"[l.slot] IS NOT NULL ORDER BY c."timestamp" DESC LIMIT 1) m
CROSS JOIN LATERAL (SELECT c."values"[u.slot] AS value FROM observ.metric_scrapes c
	WHERE c.vps_name = u.vps_name AND c.app_name = u.app_name AND c.set_no = u.set_no AND c."timestamp" > $1 - interval '5 minutes'
		AND c."timestamp" <= $1 AND c."values"[u.slot] IS NOT NULL ORDER BY c."timestamp" DESC LIMIT 1) w
WHERE l.metric_name = 'container_memory_limit_bytes' AND l.expired_at IS NULL AND l.last_seen > $1 - interval '2 hours'
	AND m.value > 0 AND m.value < 'NaN' AND w.value < 'NaN' AND w.value > 0.9 * m.value
$$, '5 minutes', '2 minutes', '1 minute', 'warning', '{"family": "container_memory"}',
 'A container uses more than 90 % of its memory limit, without what the page cache holds.',
 '{"summary": "{{ labels.name }} on {{ labels.vps_name }} uses {{ value | round(0) }} % of its memory limit",
   "description": "Working set by limit ({{ labels.runtime }}). Beyond it processes are killed.",
   "action": "Raise the limit, or make the application''s own limit (heap, workers) fit it."}'),
('ContainerGone', 'container', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', g.vps_name, 'app_name', nullif(g.app_name, ''), 'name', g.name, 'runtime', g.runtime)) AS labels,
	extract(epoch FROM $1 - g.seen)::float8 AS value, true AS breach
FROM (SELECT s.vps_name, s.app_name, s.labels ->> 'name' AS name, s.labels ->> 'runtime' AS runtime, max(n.seen) AS seen,
		bool_or(n.latest < 'NaN' AND n.seen > $1 - interval '5 minutes') AS alive
	FROM observ.metric_series s
	CROSS JOIN LATERAL (SELECT max(c."timestamp") FILTER (WHERE c."values"[s.slot] < 'NaN') AS seen,
			(array_agg(c."values"[s.slot] ORDER BY c."timestamp" DESC))[1] AS latest
		FROM observ.metric_scrapes c WHERE c.vps_name = s.vps_name AND c.app_name = s.app_name AND c.set_no = s.set_no
			AND c."timestamp" > $1 - interval '15 minutes' AND c."timestamp" <= $1 AND c."values"[s.slot] IS NOT NULL) n
	WHERE s.metric_name = 'container_memory_working_set_bytes' AND s.labels ->> 'runtime' <> 'systemd' AND s.expired_at IS NULL
		AND s.last_seen > $1 - interval '75 minutes'
	GROUP BY 1, 2, 3, 4) g
WHERE NOT g.alive AND g.seen IS NOT NULL
	AND EXISTS (SELECT FROM observ.vps_metrics m WHERE m.vps_name = g.vps_name AND m."timestamp" > $1 - interval '3 minutes' AND m."timestamp" <= $1)
	AND NOT EXISTS (SELECT FROM observ.events e WHERE e.vps_name = g.vps_name AND e.kind = 'deployed'
		AND e.kind <> ALL (ARRAY['message_processed', 'workflow_executed'])
		AND e."timestamp" > $1 - interval '15 minutes' AND e."timestamp" <= $1)
$$, '2 minutes', '0', '2 minutes', 'medium', '{"family": "container"}',
 'A container that was there within fifteen minutes is there no more, no other one has its name, the VPS goes on, and nothing was deployed there.',
 '{"summary": "Container {{ labels.name }} on {{ labels.vps_name }} is gone",
   "description": "Seen {{ value | duration }} ago ({{ labels.runtime }}). Told for fifteen minutes.",
   "action": "docker ps -a (or podman, crictl) and its logs tell why it ended. Meant to be so: nothing to do; record deployments by observ.record_event(''deployed'', …) and this stays quiet."}'),
('ContainerRestartLoop', 'container', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', s.vps_name, 'app_name', nullif(s.app_name, ''), 'name', s.labels ->> 'name',
		'runtime', s.labels ->> 'runtime')) AS labels,
	count(DISTINCT s.labels ->> 'container_id')::float8 AS value, true AS breach
FROM observ.metric_series s
WHERE s.metric_name = 'container_memory_working_set_bytes' AND s.first_seen > $1 - interval '10 minutes' AND s.first_seen <= $1
	AND s.labels ->> 'name' <> s.labels ->> 'container_id'
GROUP BY s.vps_name, s.app_name, s.labels ->> 'name', s.labels ->> 'runtime' HAVING count(DISTINCT s.labels ->> 'container_id') >= 3
$$, '0', '5 minutes', '2 minutes', 'high', '{"family": "container"}',
 'Three new containers of one name or more within ten minutes: of runtimes that make a new one at each start (containerd, Kubernetes, compose with --force-recreate).',
 '{"summary": "Container {{ labels.name }} on {{ labels.vps_name }} keeps being started",
   "description": "{{ value }} new ones within ten minutes ({{ labels.runtime }}).",
   "action": "Its logs before the end: crictl logs -p, kubectl logs --previous, docker logs. Go back to the version before."}');
