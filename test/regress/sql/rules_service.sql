-- Default rules about health checks, certificates, exporters and backups: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
CALL rt.begin('HealthCheckFailing', 'PortClosed', 'UnitDown', 'HealthCheckDegraded', 'HealthCheckFlapping', 'PgDown', 'RedisDown');
CALL rt.check('https://shop/', '{0,30,60}', ARRAY['ok', 'status: 500', 'ok'], 120);
CALL rt.check('tcp://10.0.0.1:80', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120);
CALL rt.check('unit:nginx.service', '{0,30,60}', ARRAY['ok', 'unit: failed', 'ok'], 120);
CALL rt.check('postgresql://db/shop', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120);
CALL rt.check('redis://cache', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120);
-- Doubted ones count neither way; two failures are not three.
CALL rt.check('https://doubted/', '{0,30,60}', ARRAY['ok', 'doubt', 'ok'], 120);
CALL rt.check('https://twice/', '{0,30,32}', ARRAY['ok', 'status: 500', 'ok'], 120);
CALL rt.check('https://flaps/', '{0,30,31,34,35,38,39,42,43}', ARRAY['ok', 'status: 500', 'ok', 'status: 500', 'ok', 'status: 500', 'ok', 'status: 500', 'ok'], 120);
CALL rt.run(0, 120);
SELECT * FROM rt.story();

CALL rt.begin('HealthCheckSlow', 'TlsExpiresSoon', 'TlsExpiresVerySoon', 'TlsExpired', 'TlsInvalid');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, interval_ms) SELECT rt.t(m), 'web-1', 60000 FROM generate_series(0, 240) m;
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, response_time_ms)
	SELECT rt.t(m), 'web-1', 'https://slow/', true, CASE WHEN m BETWEEN 30 AND 90 THEN 3000 ELSE 100 END FROM generate_series(0, 240) m;
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, error_message, tls_expires_at)
	SELECT rt.t(m), 'web-1', u, e IS NULL OR m NOT BETWEEN 30 AND 150, CASE WHEN m BETWEEN 30 AND 150 THEN e END, rt.t(m) + CASE WHEN m BETWEEN 30 AND 150 THEN d ELSE '80 days' END
	FROM generate_series(0, 240) m, (VALUES ('https://soon/', interval '20 days', NULL), ('https://very-soon/', '3 days', NULL), ('https://late/', '-1 hour', 'tls: expired'),
		('https://name/', '70 days', 'tls: wrong name')) c (u, d, e);
CALL rt.run(0, 240);
SELECT * FROM rt.story();

CALL rt.begin('ScrapeTargetDown', 'ScrapeIncomplete');
CALL rt.sample('up', '{"job": "shop", "instance": "127.0.0.1:8080"}', '{0,30,60}', '{1,0,1}', 120);
CALL rt.sample('observ_scrape_errors_total', '{"job": "shop", "instance": "127.0.0.1:8080"}', '{0,30,40}', '{0,5,9}', 120, 1, 'counter');
CALL rt.run(0, 120);
SELECT * FROM rt.story();

-- Backups: the last good one 27 hours ago; one that failed; an application that never made one.
CALL rt.begin('BackupStale', 'BackupFailed');
INSERT INTO observ.vps (vps_name) VALUES ('web-1');
INSERT INTO observ.fleet_summary (vps_name, app_name, last_seen, "timestamp") SELECT 'web-1', a, rt.t(0), rt.t(0) FROM unnest('{stale,failed,good,never}'::text[]) a;
INSERT INTO observ.events ("timestamp", vps_name, app_name, kind, success) VALUES
	(rt.t(-1500), 'web-1', 'stale', 'backup', true), (rt.t(300), 'web-1', 'stale', 'backup', true),
	(rt.t(-700), 'web-1', 'failed', 'backup', true), (rt.t(30), 'web-1', 'failed', 'backup', false), (rt.t(90), 'web-1', 'failed', 'backup', true),
	(rt.t(-1), 'web-1', 'good', 'backup', true);
CALL rt.run(0, 360, 15);
SELECT * FROM rt.story();
