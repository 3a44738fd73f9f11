-- Default alert rules: network. How these files work: rules/server.sql.

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, clear_threshold, for_duration, severity, per_app, labels, description, annotations) VALUES
('NetErrors', 'network', 'vps_metrics', 'net_errors_per_s', 'avg', '10 minutes', 'gt', 10, 1, '10 minutes', 'warning', false, '{"family": "net_errors"}',
 'More than ten errors and drops a second on real network devices, mean of ten minutes.',
 '{"summary": "Network errors on {{ labels.vps_name }}: {{ value | round(1) }} per second",
   "description": "Errors and drops, received and sent. net_errors_per_s by device is among its labelled metrics.",
   "action": "ip -s link shows the device; ethtool -S DEVICE the kind. Drops on receiving: larger rings (ethtool -G), more queues. Errors: cable, port, driver, or the provider."}'),
('ConntrackHigh', 'network', 'vps_metrics', 'conntrack_percent', 'avg', '5 minutes', 'gt', 80, 70, '5 minutes', 'warning', false, '{"family": "conntrack"}',
 'The table of tracked connections is more than 80 % full.',
 '{"summary": "Connection tracking of {{ labels.vps_name }} is {{ value | round(0) }} % full",
   "description": "When it is full, new connections are dropped.",
   "action": "conntrack -L | awk ''{print $5}'' | sort | uniq -c | sort -n | tail shows who. Raise net.netfilter.nf_conntrack_max, shorten its timeouts, or exempt busy ports (NOTRACK)."}'),
('ConntrackCritical', 'network', 'vps_metrics', 'conntrack_percent', 'avg', '2 minutes', 'gt', 95, 90, '2 minutes', 'critical', false, '{"family": "conntrack"}',
 'The table of tracked connections is more than 95 % full.',
 '{"summary": "Connection tracking of {{ labels.vps_name }} is nearly full ({{ value | round(0) }} %)",
   "description": "New connections are about to be dropped.",
   "action": "sysctl -w net.netfilter.nf_conntrack_max=… with twice the value, now; then as for ConntrackHigh."}'),
('TcpRetransmits', 'network', 'vps_metrics', 'tcp_retransmit_percent', 'avg', '10 minutes', 'gt', 5, 2, '10 minutes', 'warning', false, '{"family": "retransmits"}',
 'More than 5 % of TCP segments are sent again, mean of ten minutes.',
 '{"summary": "{{ labels.vps_name }} sends {{ value | round(1) }} % of its segments again",
   "description": "Packets are lost on the way.",
   "action": "ss -ti | grep -B1 retrans shows to whom; mtr to that address shows where. When it is everybody: the VPS''s own link, or the provider."}'),
('TcpRetransmitsSevere', 'network', 'vps_metrics', 'tcp_retransmit_percent', 'avg', '5 minutes', 'gt', 20, 10, '5 minutes', 'high', false, '{"family": "retransmits"}',
 'More than 20 % of TCP segments are sent again, mean of five minutes.',
 '{"summary": "{{ labels.vps_name }} sends {{ value | round(0) }} % of its segments again",
   "description": "The network is hardly usable.",
   "action": "As for TcpRetransmits, now; tell the provider."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", min_samples, operator, threshold, clear_threshold, for_duration, severity, labels, description, annotations) VALUES
('LatencyHigh', 'network', 'health_checks', 'health_connect_ms', 'p95', '10 minutes', 5, 'gt', 300, 200, '10 minutes', 'low', '{"family": "latency"}',
 '95th percentile of the time that connecting takes, ten minutes, at least five checks.',
 '{"summary": "Connecting to {{ labels.url }} takes {{ value | round(0) }} ms",
   "description": "Seen from {{ labels.vps_name }}, 95th percentile of ten minutes.",
   "action": "mtr from {{ labels.vps_name }} to the target shows where the time goes. A full accept queue of the target looks the same: ss -ltn there."}'),
('DnsSlow', 'network', 'health_checks', 'health_dns_ms', 'p95', '10 minutes', 5, 'gt', 500, 300, '10 minutes', 'low', '{"family": "dns"}',
 '95th percentile of the time that the name server takes, ten minutes, at least five checks.',
 '{"summary": "Names of {{ labels.url }} take {{ value | round(0) }} ms",
   "description": "Seen from {{ labels.vps_name }}.",
   "action": "Look at /etc/resolv.conf of {{ labels.vps_name }} and ask each name server: dig @ADDRESS NAME. A local cache (systemd-resolved, unbound) helps."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('DnsFailing', 'network', 'query', $$
SELECT jsonb_build_object('vps_name', h.vps_name) AS labels, 100.0 * count(*) FILTER (WHERE h.error_message LIKE 'dns:%') / count(*)::float8 AS value, true AS breach
FROM observ.health_checks h
WHERE h."timestamp" > $1 - interval '5 minutes' AND h."timestamp" <= $1 AND (h.dns_ms IS NOT NULL OR h.error_message LIKE 'dns:%')
GROUP BY h.vps_name
HAVING count(*) FILTER (WHERE h.error_message LIKE 'dns:%') >= 3 AND count(*) FILTER (WHERE h.error_message LIKE 'dns:%') > 0.5 * count(*)
$$, '3 minutes', '2 minutes', '1 minute', 'high', '{"family": "dns"}',
 'More than half of the health checks of a VPS that need a name, at least three in five minutes, did not get one.',
 '{"summary": "Names can''t be resolved on {{ labels.vps_name }}",
   "description": "{{ value | round(0) }} % of the health checks of five minutes failed for that.",
   "action": "On {{ labels.vps_name }}: cat /etc/resolv.conf, then dig @ADDRESS example.com for each name server. Another name server in resolv.conf helps at once."}'),
('VpsCutOff', 'network', 'query', $$
SELECT jsonb_build_object('vps_name', h.vps_name) AS labels, 100.0 * count(*) FILTER (WHERE h.inconclusive) / count(*)::float8 AS value, true AS breach
FROM observ.health_checks h
WHERE h."timestamp" > $1 - interval '3 minutes' AND h."timestamp" <= $1
GROUP BY h.vps_name HAVING count(*) FILTER (WHERE h.inconclusive) >= 3 AND count(*) FILTER (WHERE h.inconclusive) >= 0.8 * count(*)
$$, '2 minutes', '2 minutes', '1 minute', 'high', '{"family": "cut_off"}',
 'Nearly all health checks of a VPS got no answer at once: it is itself that is cut off, though it reaches this database.',
 '{"summary": "{{ labels.vps_name }} can''t reach its targets",
   "description": "{{ value | round(0) }} % of its health checks of three minutes got no answer; they count neither way.",
   "action": "Look at its firewall, routes and name servers: ip route, nft list ruleset, resolvectl. The provider may have cut it off from outside."}'),
('TrafficQuota', 'network', 'query', $$
SELECT jsonb_build_object('vps_name', v.vps_name) AS labels, 100 * t.bytes / (v.quota * 1e9) AS value, true AS breach
FROM (SELECT u.vps_name, (u.labels ->> 'traffic_quota_gb')::float8 AS quota FROM observ.vps u
	WHERE u.status = 'active' AND u.labels ->> 'traffic_quota_gb' ~ '^[1-9][0-9]{0,8}$') v
CROSS JOIN LATERAL (SELECT sum(m.avg) * 3600 AS bytes FROM observ.vps_metrics_1h m
	WHERE m.vps_name = v.vps_name AND m.metric IN ('net_rx_bps', 'net_tx_bps')
		AND m."timestamp" >= date_trunc('month', $1, 'UTC') AND m."timestamp" <= $1) t
WHERE t.bytes > 0.9 * v.quota * 1e9
$$, '0', '0', '1 hour', 'medium', '{}',
 'Sent and received this month, more than 90 % of the label traffic_quota_gb of the VPS in observ.vps.',
 '{"summary": "{{ labels.vps_name }} has used {{ value | round(0) }} % of its traffic",
   "description": "Of this month''s traffic_quota_gb, sent and received, by hourly means.",
   "action": "Look at net_tx_bps in observ.metrics_history() for when, and at observ.topology() for whom. Buy more, or restrain it."}');
