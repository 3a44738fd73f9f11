-- Default alert rules: servers that are down, silent, restarted, or down in numbers.
-- Plain INSERTs: change a copy of one in psql, it is put into observ.alert_rules as you see it. Docs: docs/default-rules.md.

INSERT INTO observ.alert_rules (name, category, source, metric_name, selector, operator, threshold, for_duration, keep_firing_for, severity, per_app, labels, description, annotations) VALUES
('ServerDown', 'server', 'absence', 'data_age_seconds', NULL, 'gt', 90, '1 minute', '30 seconds', 'critical', false, '{"family": "availability"}',
 'Nothing has come from any collector of a VPS for 90 seconds (three of its intervals, where that is longer). VPSs in maintenance and retired ones are left out.',
 '{"summary": "{{ labels.vps_name }} is down",
   "description": "No collector of {{ labels.vps_name }} has sent anything for {{ value | duration }}.",
   "action": "Look at the console of the VPS and at the status page of its provider. When it answers to ssh, look at systemctl status ''obs-agent@*'' and at its way to the database. If it was taken down on purpose: UPDATE observ.vps SET status = ''retired'' (or ''maintenance'')."}'),
('AgentSilent', 'server', 'absence', 'data_age_seconds', '{app_name!=""}', 'gt', 120, '2 minutes', '30 seconds', 'high', true, '{"family": "availability"}',
 'The collector of one application has sent nothing for two minutes (three of its intervals, where that is longer), while others of the VPS may go on.',
 '{"summary": "Collector of {{ labels.app_name }} on {{ labels.vps_name }} is silent",
   "description": "Nothing has come from it for {{ value | duration }}.",
   "action": "On the VPS: systemctl status obs-agent@{{ labels.app_name }}, then obs-agent status and journalctl -u obs-agent@{{ labels.app_name }}. If the application was removed: observ.forget(''{{ labels.vps_name }}'', ''{{ labels.app_name }}'')."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('ServerRebooted', 'server', 'query', $$
SELECT jsonb_build_object('vps_name', m.vps_name) AS labels, min(m.uptime_seconds)::float8 AS value, true AS breach
FROM observ.fleet_summary m
WHERE m."timestamp" > $1 - interval '5 minutes' AND m."timestamp" <= $1 AND m.uptime_seconds < 600
	-- One that is seen for the first time was not known to be up before.
	AND EXISTS (SELECT FROM observ.vps_metrics o WHERE o.vps_name = m.vps_name AND o."timestamp" > $1 - interval '7 days'
		AND o."timestamp" < m."timestamp" - m.uptime_seconds * interval '1 second')
GROUP BY m.vps_name
$$, '0', '0', '1 minute', 'medium', '{}',
 'A VPS that was up before, within a week, was booted less than ten minutes ago.',
 '{"summary": "{{ labels.vps_name }} was rebooted",
   "description": "It has been up for {{ value | duration }}.",
   "action": "If nobody planned it: last -x, and the end of the previous boot by journalctl -b -1 -e. Look whether all services came back: systemctl --failed."}'),
('ServerDownLong', 'server', 'query', $$
SELECT jsonb_build_object('vps_name', a.instance) AS labels, (extract(epoch FROM $1 - a.starts_at))::float8 AS value, true AS breach
FROM observ.alert_rules r JOIN observ.alerts a ON a.rule_id = r.rule_id AND a.status <> 'resolved'
WHERE r.name = 'ServerDown' AND a.status <> 'pending' AND a.starts_at <= $1 - interval '1 hour' AND a.instance IS NOT NULL
	AND (a.acknowledged_at IS NULL OR a.acknowledged_until <= $1)
$$, '0', '0', '1 minute', 'emergency', '{}',
 'A VPS has been down for an hour and nobody has acknowledged it.',
 '{"summary": "{{ labels.vps_name }} has been down for {{ value | duration }}, unacknowledged",
   "description": "ServerDown fires for {{ labels.vps_name }} and nobody has taken it.",
   "action": "Take it: SELECT observ.acknowledge_alert(alert_id) for the ServerDown alert, then restore or replace the VPS."}'),
('ServerUnreachable', 'server', 'query', $$
SELECT jsonb_build_object('url', c.url) AS labels, count(*)::float8 AS value, true AS breach
FROM (SELECT DISTINCT ON (h.url, h.vps_name) h.url, h.success FROM observ.health_checks h
	WHERE h."timestamp" > $1 - interval '3 minutes' AND h."timestamp" <= $1 AND NOT h.inconclusive
		AND h.url LIKE '%://%' AND h.url !~ '//([^/]*@)?(localhost|127\.|\[::1\])'
	ORDER BY h.url, h.vps_name, h."timestamp" DESC) c
WHERE NOT c.success GROUP BY c.url HAVING count(*) >= 2
$$, '2 minutes', '0', '1 minute', 'high', '{}',
 'The same target fails from two or more VPSs, so it is not the way there: only checks whose url is a real one, not a name or a local address.',
 '{"summary": "{{ labels.url }} fails from {{ value }} places",
   "description": "The latest health checks of {{ value }} VPSs for {{ labels.url }} failed.",
   "action": "The target itself is in trouble: look at the VPS and the service behind it. SELECT vps_name, error_message FROM observ.health_checks WHERE url = ''{{ labels.url }}'' ORDER BY timestamp DESC LIMIT 10 says how it fails."}'),
('ServerFlapping', 'server', 'query', $$
SELECT jsonb_build_object('vps_name', a.instance) AS labels, count(*)::float8 AS value, true AS breach
FROM observ.alert_rules r JOIN observ.alert_history h ON h.rule_id = r.rule_id JOIN observ.alerts a ON a.alert_id = h.alert_id
WHERE r.name = 'ServerDown' AND h."timestamp" > $1 - interval '30 minutes' AND h."timestamp" <= $1
	AND h.event IN ('firing', 'reopened', 'resolved') AND a.instance IS NOT NULL
GROUP BY a.instance HAVING count(*) >= 4
$$, '0', '10 minutes', '1 minute', 'high', '{}',
 'A VPS went down or came back four times or more within 30 minutes.',
 '{"summary": "{{ labels.vps_name }} keeps going down and coming back",
   "description": "{{ value }} changes within 30 minutes.",
   "action": "Look for a reboot loop (uptime, last -x), an unstable network, or an agent that is killed for memory (journalctl -u ''obs-agent@*'')."}'),
('FleetOutage', 'server', 'query', $$
SELECT CASE WHEN f.grp IS NULL THEN '{}' ELSE jsonb_build_object('group', f.grp) END AS labels, 100.0 * f.down / f.n AS value, true AS breach
FROM (SELECT s.grp, count(*)::float8 AS n, count(*) FILTER (WHERE s.silent)::float8 AS down
	FROM (SELECT v.labels ->> 'group' AS grp,
			max(m."timestamp") < $1 - greatest(interval '150 seconds', 3 * coalesce(v.expected_interval, interval '0')) AS silent
		FROM observ.vps v JOIN observ.fleet_summary m ON m.vps_name = v.vps_name
		WHERE v.status = 'active' AND m."timestamp" > $1 - interval '1 day'
			-- Looked at once: a fleet in which nobody is late costs no more than this.
			AND (SELECT count(*) FROM (SELECT FROM observ.fleet_summary l
				WHERE l."timestamp" < $1 - interval '150 seconds' AND l."timestamp" > $1 - interval '1 day' LIMIT 3) late) = 3
		GROUP BY v.vps_name) s
	GROUP BY GROUPING SETS ((s.grp), ())
	HAVING GROUPING(s.grp) = 1 OR s.grp IS NOT NULL) f
WHERE f.down >= 3 AND f.down > 0.2 * f.n
$$, '1 minute', '2 minutes', '30 seconds', 'emergency', '{}',
 'More than a fifth of the VPSs that reported within a day, and at least three, are silent. Counted for the whole fleet, and for each value of the label group of observ.vps.',
 '{"summary": "{{ value | round(0) }} % of the fleet is silent {{ labels.group }}",
   "description": "So many VPSs at once have one cause: a provider, a network, a deployment, or the way to this database.",
   "action": "Look at what they have in common: SELECT vps_name, last_seen FROM observ.fleet_summary() WHERE status = ''stale'' ORDER BY last_seen; the status page of the provider; whether this server can be reached from outside."}'),
('HostOvercommitted', 'server', 'query', $$
SELECT jsonb_build_object('hypervisor', v.labels ->> 'hypervisor') AS labels,
	100.0 * count(DISTINCT v.vps_name) FILTER (WHERE m.cpu_steal_percent > 10) / count(DISTINCT v.vps_name)::float8 AS value, true AS breach
FROM observ.vps v JOIN observ.fleet_summary m ON m.vps_name = v.vps_name
WHERE v.labels ? 'hypervisor' AND v.status = 'active' AND m."timestamp" > $1 - interval '5 minutes'
GROUP BY v.labels ->> 'hypervisor'
HAVING count(DISTINCT v.vps_name) FILTER (WHERE m.cpu_steal_percent > 10) >= 2
	AND count(DISTINCT v.vps_name) FILTER (WHERE m.cpu_steal_percent > 10) > 0.3 * count(DISTINCT v.vps_name)
$$, '15 minutes', '5 minutes', '1 minute', 'medium', '{}',
 'On more than 30 % of the VPSs of one host (label hypervisor of observ.vps), at least two, the hypervisor takes more than 10 % of the processor.',
 '{"summary": "Host {{ labels.hypervisor }} is overcommitted",
   "description": "{{ value | round(0) }} % of its VPSs have lost more than 10 % of their processor to others.",
   "action": "Move VPSs to another host, or ask the provider to."}');
