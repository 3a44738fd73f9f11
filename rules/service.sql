-- Default alert rules: health checks, certificates, exporters, backups. How these files work: rules/server.sql.

INSERT INTO observ.alert_rules (name, category, source, metric_name, matchers, operator, threshold, keep_firing_for, severity, labels, description, annotations) VALUES
('HealthCheckFailing', 'service', 'health_checks', 'health_consecutive_failures', '{url!~"(tcp|unit|postgres|postgresql|redis|rediss):.*"}', 'gte', 3, '1 minute', 'critical', '{"family": "check"}',
 'A health check failed three times in a row. Ports, units and databases have rules of their own.',
 '{"summary": "{{ labels.url }} is failing",
   "description": "{{ value }} failures in a row, seen from {{ labels.vps_name }}.",
   "action": "SELECT timestamp, status_code, error_message FROM observ.health_checks WHERE url = ''{{ labels.url }}'' ORDER BY timestamp DESC LIMIT 5 says how: dns, connect, tls, timeout, status, body. Then the log of the application: observ.search_logs(''error'', ''{{ labels.vps_name }}'')."}'),
('PortClosed', 'service', 'health_checks', 'health_consecutive_failures', '{url=~"tcp:.*"}', 'gte', 3, '1 minute', 'high', '{"family": "check"}',
 'A port could not be connected to three times in a row.',
 '{"summary": "{{ labels.url }} can''t be connected to",
   "description": "{{ value }} failures in a row, seen from {{ labels.vps_name }}.",
   "action": "ss -ltnp there shows whether something listens; if it does, look at the firewall on both sides."}'),
('UnitDown', 'service', 'health_checks', 'health_consecutive_failures', '{url=~"unit:.*"}', 'gte', 2, '1 minute', 'high', '{"family": "check"}',
 'A unit of systemd that is checked is not active.',
 '{"summary": "{{ labels.url }} on {{ labels.vps_name }} is not active",
   "description": "{{ value }} looks in a row.",
   "action": "systemctl status and journalctl -u of it on {{ labels.vps_name }}; systemctl restart when the cause is known."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", min_samples, operator, threshold, clear_threshold, for_duration, severity, labels, description, annotations) VALUES
('HealthCheckDegraded', 'service', 'health_checks', 'health_failure_percent', 'last', '10 minutes', 5, 'gt', 10, 2, '5 minutes', 'warning', '{"family": "check"}',
 'More than 10 % of the checks of ten minutes failed, at least five checks.',
 '{"summary": "{{ labels.url }} fails now and then ({{ value | round(0) }} %)",
   "description": "Share of ten minutes, seen from {{ labels.vps_name }}.",
   "action": "Compare the error_message of the failures. One of several backends that is broken, too few workers, and restarts look like this."}'),
('HealthCheckSlow', 'service', 'health_checks', 'health_response_ms', 'p95', '10 minutes', 5, 'gt', 1000, 800, '5 minutes', 'warning', '{"family": "slow"}',
 '95th percentile of the response times of ten minutes is more than a second, at least five checks.',
 '{"summary": "{{ labels.url }} is slow: {{ value | round(0) }} ms",
   "description": "95th percentile of ten minutes, seen from {{ labels.vps_name }}.",
   "action": "dns_ms, connect_ms, tls_ms and first_byte_ms in observ.health_checks tell where the time goes. first_byte_ms: the application, its database, its load."}'),
('HealthCheckFlapping', 'service', 'health_checks', 'health_status_changes', 'last', '30 minutes', 1, 'gte', 6, 2, '0', 'medium', '{"family": "check"}',
 'A health check changed between success and failure six times or more within thirty minutes.',
 '{"summary": "{{ labels.url }} comes and goes",
   "description": "{{ value }} changes in thirty minutes, seen from {{ labels.vps_name }}.",
   "action": "Look for restarts (UnitCrashLoop, OomKill), for one broken backend of several, and for timeouts that are near the usual response time."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, operator, threshold, clear_threshold, for_duration, severity, labels, description, annotations) VALUES
('TlsExpiresSoon', 'service', 'health_checks', 'tls_days_left', 'lt', 21, 25, '1 hour', 'warning', '{"family": "tls"}',
 'A certificate is valid for less than three weeks: its renewal has not worked.',
 '{"summary": "Certificate of {{ labels.url }} expires in {{ value | round(0) }} days",
   "description": "Automatic renewal should have happened by now.",
   "action": "certbot renew --dry-run (or your ACME client) tells why not. After a renewal the server must be reloaded."}'),
('TlsExpiresVerySoon', 'service', 'health_checks', 'tls_days_left', 'lt', 7, 9, '10 minutes', 'high', '{"family": "tls"}',
 'A certificate is valid for less than a week.',
 '{"summary": "Certificate of {{ labels.url }} expires in {{ value | round(1) }} days",
   "description": "Then browsers and clients refuse it.",
   "action": "Renew it by hand today, then see TlsExpiresSoon."}'),
('TlsExpired', 'service', 'health_checks', 'tls_days_left', 'lt', 0, NULL, '0', 'critical', '{"family": "tls"}',
 'A certificate has expired.',
 '{"summary": "Certificate of {{ labels.url }} has expired",
   "description": "Browsers and clients refuse it.",
   "action": "Renew it now and reload the server."}');

INSERT INTO observ.alert_rules (name, category, source, metric_name, aggregate, "window", operator, threshold, for_duration, severity, labels, description, annotations) VALUES
('ScrapeTargetDown', 'service', 'metric_samples', 'up', 'last', NULL, 'lt', 1, '3 minutes', 'warning', '{"family": "scrape"}',
 'An exporter or application does not offer its metrics.',
 '{"summary": "Metrics of {{ labels.job }} on {{ labels.vps_name }} don''t come",
   "description": "{{ labels.instance }} does not answer, or with something that is no metrics.",
   "action": "curl http://{{ labels.instance }}/metrics on {{ labels.vps_name }}; is the exporter running? Removed on purpose: take it out of the agent''s configuration."}'),
('ScrapeIncomplete', 'service', 'metric_samples', 'observ_scrape_errors_total', 'increase', '15 minutes', 'gt', 0, '5 minutes', 'low', '{"family": "scrape"}',
 'Samples of an exporter were left out: lines that can''t be read, or more series than max_series.',
 '{"summary": "Some metrics of {{ labels.job }} on {{ labels.vps_name }} are left out",
   "description": "{{ value | round(0) }} samples in fifteen minutes.",
   "action": "obs-agent status says why. Choose with allow and deny, or raise max_series."}');

INSERT INTO observ.alert_rules (name, category, source, query, for_duration, keep_firing_for, evaluation_interval, severity, labels, description, annotations) VALUES
('TlsInvalid', 'service', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', h.vps_name, 'app_name', nullif(h.app_name, ''), 'url', h.url)) AS labels, count(*)::float8 AS value, true AS breach
FROM observ.health_checks h
WHERE h."timestamp" > $1 - interval '5 minutes' AND h."timestamp" <= $1 AND h.error_message LIKE 'tls:%' AND NOT h.inconclusive
	AND (h.tls_expires_at IS NULL OR h.tls_expires_at > $1)
GROUP BY h.vps_name, h.app_name, h.url HAVING count(*) >= 2
$$, '10 minutes', '2 minutes', '1 minute', 'high', '{"family": "tls"}',
 'A certificate is refused though it has not expired: wrong name, unknown issuer, missing chain, or the handshake fails.',
 '{"summary": "Certificate of {{ labels.url }} is refused",
   "description": "{{ value }} checks in five minutes, seen from {{ labels.vps_name }}.",
   "action": "openssl s_client -connect HOST:443 -servername HOST shows the chain. A missing intermediate certificate is the usual cause: use fullchain.pem."}'),
('BackupStale', 'service', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', k.vps_name, 'app_name', nullif(k.app_name, ''))) AS labels,
	extract(epoch FROM $1 - b.at)::float8 AS value, true AS breach
FROM observ.fleet_summary k JOIN observ.vps v ON v.vps_name = k.vps_name AND v.status = 'active'
CROSS JOIN LATERAL (SELECT max(e."timestamp") AS at FROM observ.events e
	WHERE e.vps_name = k.vps_name AND e.app_name = k.app_name AND e.kind = 'backup' AND e.success
		AND e."timestamp" > $1 - interval '14 days' AND e."timestamp" <= $1) b
WHERE b.at < $1 - interval '26 hours'
$$, '0', '0', '15 minutes', 'high', '{"family": "backup"}',
 'The latest good backup that was recorded, by observ.record_event(''backup'', …, success => true), is older than 26 hours. Told for 14 days.',
 '{"summary": "No good backup of {{ labels.app_name }} on {{ labels.vps_name }} for {{ value | duration }}",
   "description": "Backups are recorded by the script that makes them.",
   "action": "Run the backup now and look at its output; then at its timer: systemctl list-timers. A backup that is not needed any more is forgotten after 14 days; until then silence this alert."}'),
('BackupFailed', 'service', 'query', $$
SELECT jsonb_strip_nulls(jsonb_build_object('vps_name', k.vps_name, 'app_name', nullif(k.app_name, ''))) AS labels,
	extract(epoch FROM $1 - b."timestamp")::float8 AS value, true AS breach
FROM observ.fleet_summary k JOIN observ.vps v ON v.vps_name = k.vps_name AND v.status = 'active'
CROSS JOIN LATERAL (SELECT e."timestamp", e.success FROM observ.events e
	WHERE e.vps_name = k.vps_name AND e.app_name = k.app_name AND e.kind = 'backup'
		AND e."timestamp" > $1 - interval '2 days' AND e."timestamp" <= $1 ORDER BY e."timestamp" DESC LIMIT 1) b
WHERE NOT b.success
$$, '0', '0', '15 minutes', 'high', '{"family": "backup"}',
 'The latest backup that was recorded failed.',
 '{"summary": "Backup of {{ labels.app_name }} on {{ labels.vps_name }} failed",
   "description": "{{ value | duration }} ago.",
   "action": "Its event has the message: SELECT * FROM observ.events WHERE kind = ''backup'' ORDER BY timestamp DESC. Mend it and run it again now."}');
