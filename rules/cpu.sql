-- Default alert rules: processors. How these files work: rules/server.sql.

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, clear_threshold, for_duration, severity, per_app, labels, description, annotations) VALUES
('CpuHigh', 'cpu', 'vps_metrics', 'cpu_percent', 'avg', '10 minutes', 'gt', 85, 75, '10 minutes', 'warning', false, '{"family": "cpu"}',
 'Processors busy (without waiting for I/O and steal), mean of ten minutes.',
 '{"summary": "Processors of {{ labels.vps_name }} are {{ value | round(0) }} % busy",
   "description": "More than {{ threshold }} % for at least ten minutes.",
   "action": "See who uses them: top -o %CPU, or container_cpu_cores_used by name. If that is its normal work, the VPS needs more cores or the work another time."}'),
('CpuCritical', 'cpu', 'vps_metrics', 'cpu_percent', 'avg', '10 minutes', 'gt', 95, 85, '10 minutes', 'critical', false, '{"family": "cpu"}',
 'Processors fully busy, mean of ten minutes.',
 '{"summary": "Processors of {{ labels.vps_name }} are exhausted ({{ value | round(0) }} %)",
   "description": "There is nothing left for bursts: everything on this VPS is slow.",
   "action": "Stop or restrain what uses them (top -o %CPU; systemctl set-property UNIT CPUQuota=…), then find out why it began."}'),
('CpuIowaitHigh', 'cpu', 'vps_metrics', 'cpu_iowait_percent', 'avg', '10 minutes', 'gt', 25, 15, '10 minutes', 'warning', false, '{"family": "iowait"}',
 'Processors wait for disks, mean of ten minutes.',
 '{"summary": "{{ labels.vps_name }} waits for its disks ({{ value | round(0) }} % iowait)",
   "description": "More than {{ threshold }} % of processor time is spent waiting for I/O.",
   "action": "iotop -oPa shows who reads and writes; compare disk_busy_percent. A backup at this hour, a missing index or too little memory (swapping) are the usual causes."}'),
('CpuStealHigh', 'cpu', 'vps_metrics', 'cpu_steal_percent', 'avg', '20 minutes', 'gt', 10, 5, '10 minutes', 'warning', false, '{"family": "steal"}',
 'The hypervisor gives the processors to others, mean of twenty minutes.',
 '{"summary": "{{ labels.vps_name }} loses {{ value | round(0) }} % of its processors to its host",
   "description": "Steal time: the VPS wants to run and is not let.",
   "action": "Ask the provider to move the VPS, or take a plan with dedicated cores. With burstable plans the credits are used up."}'),
('CpuSaturated', 'cpu', 'vps_metrics', 'load_avg_5m_per_core', 'last', NULL, 'gt', 2, 1.5, '10 minutes', 'high', false, '{"family": "load"}',
 'Twice as many processes want to run, or wait for a disk, as there are cores.',
 '{"summary": "Load of {{ labels.vps_name }} is {{ value | round(1) }} per core",
   "description": "Load average of five minutes by cores.",
   "action": "ps -eo state,pid,cmd | grep ''^[RD]'' tells what runs (R: processors) and what waits (D: disks, network filesystems)."}'),
('LoadSustained', 'cpu', 'vps_metrics', 'load_avg_15m_per_core', 'last', NULL, 'gt', 2, 1.75, '15 minutes', 'warning', false, '{"family": "load"}',
 'The load has been high for long.',
 '{"summary": "Load of {{ labels.vps_name }} stays at {{ value | round(1) }} per core",
   "description": "Load average of fifteen minutes by cores.",
   "action": "As for CpuSaturated; when it is its normal work, plan for more cores."}'),
('CpuPressure', 'cpu', 'vps_metrics', 'psi_cpu', 'avg', '10 minutes', 'gt', 60, 40, '15 minutes', 'warning', false, '{"family": "cpu_pressure"}',
 'Some task waited for a processor most of the time (pressure stall information).',
 '{"summary": "Tasks of {{ labels.vps_name }} wait for processors {{ value | round(0) }} % of the time",
   "description": "Latency suffers even where the processors are not fully busy.",
   "action": "Look for cgroups with a CPU quota (container_cpu_throttled_seconds_total) and for many short processes; spread the work or add cores."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, for_duration, evaluation_interval, severity, per_app, labels, description, annotations) VALUES
('CpuIdleWaste', 'cpu', 'vps_metrics', 'cpu_percent', 'max', '1 day', 'lt', 10, '6 days', '1 hour', 'info', false, '{}',
 'For a week the processors were never more than 10 % busy.',
 '{"summary": "{{ labels.vps_name }} has been idle for a week",
   "description": "Never more than {{ value | round(0) }} % busy in the last day, and so for six days before.",
   "action": "Retire it, or take a smaller plan. If it must be there: label it and exclude it by selector."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('CpuAnomaly', 'cpu', 'query', $$
SELECT jsonb_build_object('vps_name', n.vps_name) AS labels, (n.mean - h.mean) / greatest(h.sd, 2) AS value, true AS breach
FROM (SELECT m.vps_name, avg(m.cpu_percent)::float8 AS mean FROM observ.vps_metrics m
	WHERE m."timestamp" > $1 - interval '5 minutes' AND m."timestamp" <= $1
	GROUP BY m.vps_name HAVING avg(m.cpu_percent) > 50) n
CROSS JOIN LATERAL (SELECT avg(x.avg) AS mean, stddev_pop(x.avg) AS sd, count(*) AS days
	FROM generate_series(1, 14) d JOIN observ.vps_metrics_1h x ON x."timestamp" = date_trunc('hour', $1, 'UTC') - d * interval '1 day'
	WHERE x.vps_name = n.vps_name AND x.metric = 'cpu_percent') h
WHERE h.days >= 5 AND n.mean > h.mean + 3 * greatest(h.sd, 2)
$$, '15 minutes', '5 minutes', '5 minutes', 'low', '{"family": "cpu"}',
 'Processors more than half busy, and three standard deviations busier than in the same hour of the past 14 days (5 of them at least).',
 '{"summary": "{{ labels.vps_name }} is unusually busy for this hour",
   "description": "Mean of five minutes is {{ value | round(1) }} standard deviations above that of the same hour of past days.",
   "action": "Compare with observ.performance_trends() and with events (deployments) of the last hours; look at top."}');
