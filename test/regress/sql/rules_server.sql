-- Default rules about servers: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
-- Rows that are inserted ahead of the time that is played stay unknown until then.
SET observ.max_future_skew = '1s';
-- down: nothing from either collector for half an hour. one: one of two collectors. slow: every ten minutes is what it is expected to send.
CALL rt.begin('ServerDown', 'AgentSilent');
INSERT INTO observ.vps (vps_name, enrolled_at, expected_interval) VALUES ('down', rt.t(-10000), NULL), ('one', rt.t(-10000), NULL), ('slow', rt.t(-10000), '10 minutes'), ('never', rt.t(60), NULL);
INSERT INTO observ.vps (vps_name, enrolled_at, status) VALUES ('retired', rt.t(-10000), 'retired'), ('mended', rt.t(-10000), 'maintenance');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms)
	SELECT rt.t(m), 'down', 'shop', 1, 30000 FROM generate_series(0, 30, 0.5) m UNION ALL SELECT rt.t(m), 'down', 'shop', 1, 30000 FROM generate_series(60, 120, 0.5) m
	UNION ALL SELECT rt.t(m), 'one', 'shop', 1, 30000 FROM generate_series(0, 120, 0.5) m
	UNION ALL SELECT rt.t(m), 'one', 'mail', 1, 30000 FROM generate_series(0, 30, 0.5) m UNION ALL SELECT rt.t(m), 'one', 'mail', 1, 30000 FROM generate_series(60, 120, 0.5) m
	UNION ALL SELECT rt.t(m), 'slow', '', 1, 600000 FROM generate_series(0, 120, 10) m
	UNION ALL SELECT rt.t(m), 'retired', '', 1, 30000 FROM generate_series(0, 10) m UNION ALL SELECT rt.t(m), 'mended', '', 1, 30000 FROM generate_series(0, 10) m;
CALL rt.run(0, 120, 0.5, refresh => true);
SELECT * FROM rt.story();

CALL rt.begin('ServerRebooted');
CALL rt.metric('uptime_seconds', '{0,30,31,32,33,34,35,36,37,38,39,40,41}', '{86400,30,90,150,210,270,330,390,450,510,570,630,690}', 60);
-- Another one is new, and was booted just before it is seen first.
CALL rt.metric('uptime_seconds', '{30,31,32,33,34,35,36,37,38,39,40}', '{90,150,210,270,330,390,450,510,570,630,690}', 60, 'new');
CALL rt.run(0, 60, refresh => true);
SELECT * FROM rt.story();

-- An hour down and nobody has taken it; then somebody does. A VPS that comes and goes.
CALL rt.begin('ServerDown', 'ServerDownLong', 'ServerFlapping');
CALL rt.metric('cpu_percent', '{0}', '{1}', 10, 'long');
CALL rt.metric('cpu_percent', '{0}', '{1}', 10, 'flaps');
CALL rt.metric('cpu_percent', '{20}', '{1}', 22, 'flaps');
CALL rt.metric('cpu_percent', '{30}', '{1}', 180, 'flaps');
CALL rt.run(0, 100, refresh => true);
UPDATE observ.alerts SET acknowledged_at = rt.t(100), acknowledged_by = 'anna' WHERE instance = 'long' AND status = 'firing' AND severity = 'critical';
CALL rt.run(101, 180, refresh => true);
SELECT * FROM rt.story();

-- Two VPSs can't reach it; one alone, or local addresses, are no proof.
CALL rt.begin('ServerUnreachable');
CALL rt.check('https://shop/', '{0,30,60}', ARRAY['ok', 'timeout: no answer', 'ok'], 120, 'probe-1');
CALL rt.check('https://shop/', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120, 'probe-2');
CALL rt.check('https://shop/', '{0}', ARRAY['ok'], 120, 'probe-3');
CALL rt.check('https://one/', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120, 'probe-1');
CALL rt.check('https://one/', '{0}', ARRAY['ok'], 120, 'probe-2');
CALL rt.check('http://127.0.0.1:8080/', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120, 'probe-1');
CALL rt.check('http://127.0.0.1:8080/', '{0,30,60}', ARRAY['ok', 'connect: refused', 'ok'], 120, 'probe-2');
CALL rt.run(0, 120);
SELECT * FROM rt.story();

-- Ten VPSs, three of them silent, all in one group; steal on two of three VPSs of a host. The summary stands still: time passes.
CALL rt.begin('FleetOutage', 'HostOvercommitted');
INSERT INTO observ.vps (vps_name, labels) SELECT 'v' || n, CASE WHEN n <= 5 THEN '{"group": "eu", "hypervisor": "h1"}' ELSE '{"group": "us", "hypervisor": "h2"}' END::jsonb FROM generate_series(1, 10) n;
INSERT INTO observ.fleet_summary (vps_name, app_name, last_seen, "timestamp", cpu_steal_percent)
	SELECT 'v' || n, '', rt.t(0), CASE WHEN n <= 3 THEN rt.t(0) ELSE rt.t(120) END, CASE WHEN n IN (4, 5, 6) THEN 20 ELSE 0 END FROM generate_series(1, 10) n;
CALL rt.run(0, 30, 0.5);
UPDATE observ.fleet_summary SET "timestamp" = rt.t(120), cpu_steal_percent = 0;
CALL rt.run(30.5, 60, 0.5);
SELECT * FROM rt.story();
