-- Health checks and log errors in the fleet summary.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT status FROM observ.maintain_partitions('2032-02-01 12:00+00');
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) VALUES ('2032-02-01 12:00+00', 'web-1', 'shop', 1, 60000);
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, status_code, success) VALUES
	('2032-02-01 12:00+00', 'web-1', 'shop', 'http://a/', 200, true), ('2032-02-01 12:00+00', 'web-1', 'shop', 'http://b/', 200, true);
SELECT status, inserted, health_changed FROM observ.refresh_fleet_summary('2032-02-01 12:00:01+00');
SELECT status, health_ok, health_total FROM observ.fleet_summary('2032-02-01 12:00:01+00');
-- One of two fails: degraded. Both: down. A late result changes nothing.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, error_message) VALUES ('2032-02-01 12:00:30+00', 'web-1', 'shop', 'http://a/', false, 'connection refused');
SELECT status, health_changed FROM observ.refresh_fleet_summary('2032-02-01 12:00:31+00');
SELECT status, health_ok, health_total FROM observ.fleet_summary('2032-02-01 12:00:31+00');
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success) VALUES ('2032-02-01 12:00:31+00', 'web-1', 'shop', 'http://b/', false), ('2032-02-01 12:00:10+00', 'web-1', 'shop', 'http://a/', true);
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 12:00:32+00');
SELECT status, health_ok, health_total, last_seen FROM observ.fleet_summary('2032-02-01 12:00:32+00');
-- In doubt about itself, the agent says so: such a check counts neither way.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, inconclusive) VALUES ('2032-02-01 12:00:40+00', 'web-1', 'shop', 'http://a/', false, true), ('2032-02-01 12:00:40+00', 'web-1', 'shop', 'http://b/', true, false);
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 12:00:41+00');
SELECT status, health_ok, health_total FROM observ.fleet_summary('2032-02-01 12:00:41+00');
-- A dead VPS is down, whatever its last checks said.
SELECT status FROM observ.fleet_summary('2032-02-01 12:10:00+00');
-- A check that is no longer made is no longer counted.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success) VALUES ('2032-02-01 13:30+00', 'web-1', 'shop', 'http://b/', true);
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 13:30+00');
SELECT status, health_ok, health_total FROM observ.fleet_summary('2032-02-01 13:30+00');
-- An application that only has health checks is a row too.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success) VALUES ('2032-02-01 13:30+00', 'web-2', 'api', 'http://c/', true);
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 13:30:01+00');
SELECT vps_name, app_name, status, cpu_percent, health_ok, health_total FROM observ.fleet_summary('2032-02-01 13:30:01+00') ORDER BY 1;
SELECT vps_name FROM observ.vps ORDER BY 1;
-- Errors of the last hour, in any spelling of their level.
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message) VALUES
	('2032-02-01 13:00+00', 'web-1', 'shop', 'ERROR', 'one'), ('2032-02-01 13:01+00', 'web-1', 'shop', 'error', 'two'),
	('2032-02-01 13:02+00', 'web-1', 'shop', 'Fatal', 'three'), ('2032-02-01 13:03+00', 'web-1', 'shop', 'INFO', 'none'),
	('2032-02-01 11:00+00', 'web-1', 'shop', 'ERROR', 'long ago');
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 13:31+00');
SELECT vps_name, errors_1h FROM observ.fleet_summary('2032-02-01 13:31+00') ORDER BY 1;
SELECT status FROM observ.refresh_fleet_summary('2032-02-01 14:01:30+00');
SELECT vps_name, errors_1h FROM observ.fleet_summary('2032-02-01 14:01:30+00') ORDER BY 1;
TRUNCATE observ.vps_metrics, observ.health_checks, observ.log_entries, observ.fleet_summary, observ.vps, observ_data.health_latest;
