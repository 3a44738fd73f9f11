-- Default rules about service levels, logs, deployments and agents: each fires and clears. Minutes since midnight.
\c observ_rules
SET TimeZone = 'UTC';
-- A third of the checks of an hour fails; one of sixty is 1.67 %, but too few to say so.
CALL rt.begin('SloBurnFast', 'SloBurnMedium');
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success)
	SELECT rt.t(m), 'web-1', 'shop', u, CASE u WHEN 'https://burns/' THEN m NOT BETWEEN 120 AND 180 OR m % 3 > 0 ELSE m <> 150 END
	FROM generate_series(-600, 900) m, unnest('{https://burns/,https://once/}'::text[]) u;
CALL rt.run(60, 900, 5);
SELECT * FROM rt.story();

-- From roll-ups: one in fifty fails for two hours; then a month's budget.
CALL rt.begin('SloBurnSlow');
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success)
	SELECT rt.t(m), 'web-1', 'shop', 'https://burns/', m NOT BETWEEN 0 AND 300 OR m % 20 > 0 FROM generate_series(-1440, 900) m;
SELECT status FROM observ.roll_up(rt.t(960));
CALL rt.run(0, 900, 15);
SELECT * FROM rt.story();
CALL rt.begin('SloBudgetLow');
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success)
	SELECT rt.t(m), 'web-1', 'shop', 'https://burns/', m NOT BETWEEN 0 AND 300 OR m % 20 > 0 FROM generate_series(-8640, 3600) m;
SELECT status FROM observ.roll_up(rt.t(3660));
CALL rt.run(-120, 3600, 60);
SELECT * FROM rt.story();

-- Errors in a log: five times as many as ever; what is always so many is usual.
CALL rt.begin('LogErrorBurst', 'LogFatal', 'LogPatternNew');
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message, received_at)
	SELECT rt.t(m) - n * interval '1 second', 'web-1', 'loud', 'error', 'the same as ever', now() - interval '1 minute' FROM generate_series(-1800, 120) m, generate_series(1, 10) n;
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message, received_at) VALUES (rt.t(-2000), 'web-1', 'shop', 'info', 'started', now() - interval '1 minute');
CALL rt.log('{30,31,32,33,34,35,36,37,38,39,40,41,42,43,44}', 10, '/srv/shop/app.log', 'ERROR', 'payment refused by bank');
CALL rt.log('{60}', 1, '/srv/shop/app.log', 'fatal', 'can''t go on');
CALL rt.log('{60}', 5, '/var/log/postgresql/main.log', 'fatal', 'FATAL:  terminating connection due to administrator command');
SELECT status FROM observ.update_log_templates(rt.t(100));
CALL rt.run(0, 120);
SELECT * FROM rt.story();

CALL rt.begin('DeploymentFailed', 'AgentMessagesFailing');
INSERT INTO observ.events ("timestamp", vps_name, app_name, kind, success) VALUES (rt.t(30), 'web-1', 'shop', 'deployed', false), (rt.t(40), 'web-1', 'shop', 'deployed', true),
	(rt.t(30), 'web-1', 'mesh', 'deployed', true);
INSERT INTO observ.events ("timestamp", vps_name, app_name, kind, success, data)
	SELECT rt.t(m) + n * interval '1 second', 'web-1', 'mesh', 'message_processed', m NOT BETWEEN 30 AND 60 OR n > 1 OR agent = 'good', jsonb_build_object('agent_id', agent)
	FROM generate_series(0, 120) m, generate_series(1, 5) n, unnest('{bad,good}'::text[]) agent ON CONFLICT DO NOTHING;
INSERT INTO observ.events ("timestamp", vps_name, app_name, kind, success, data)
	SELECT rt.t(m) + n * interval '1 second' + interval '1 ms', 'web-1', 'mesh', 'workflow_executed', m NOT BETWEEN 30 AND 60 OR n > 1, '{"agent_id": "bad"}'
	FROM generate_series(0, 120) m, generate_series(1, 5) n;
CALL rt.run(0, 120);
SELECT * FROM rt.story();
