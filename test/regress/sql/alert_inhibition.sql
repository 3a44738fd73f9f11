-- Inhibition (alerting.md 2.4): what mutes what, timeline C, C12 and C13, the rules that come with observ.
SET timezone = 'UTC';
SET client_min_messages = warning;
SELECT name, source_matchers, target_matchers, equal, lower_severity, hold_on_pending, recovery_grace FROM observ.inhibition_rules ORDER BY inhibition_id;
INSERT INTO observ.alert_rules (name, metric_name, threshold, for_duration, evaluation_interval) VALUES
	('SourceRule', 'cpu_percent', 90, '60 seconds', '15 seconds'), ('TargetRule', 'cpu_percent', 90, '0', '30 seconds');
-- Alerts by hand, with times as seconds after ten; a rule is wanted for its for_duration and evaluation_interval.
CREATE FUNCTION pg_temp.t(s float8) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$ SELECT '2033-03-01 10:00+00'::timestamptz + s * interval '1 s' $$;
CREATE FUNCTION pg_temp.alert(name text, labels jsonb, severity observ.severity, starts float8 DEFAULT 0, ends float8 DEFAULT NULL, pending boolean DEFAULT false, sampled float8 DEFAULT NULL, rule text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, app_name, labels, identity, active_at, starts_at, ends_at, sampled_at)
	VALUES (md5($1 || $2), coalesce((SELECT r.rule_id FROM observ.alert_rules r WHERE r.name = $8), 0), CASE WHEN $6 THEN 'pending' WHEN $5 IS NOT NULL THEN 'resolved' ELSE 'firing' END, $3,
		$2 ->> 'vps_name', $2 ->> 'app_name', $2 || jsonb_build_object('alertname', $1, 'severity', $3), $2, pg_temp.t($4), CASE WHEN NOT $6 THEN pg_temp.t($4) END, pg_temp.t($5), pg_temp.t($7)) RETURNING alert_id;
$$;
-- Who is muted, and why, at a time.
CREATE FUNCTION pg_temp.muted(s float8) RETURNS TABLE (alert text, muted text) LANGUAGE sql AS $$
	SELECT concat_ws(' ', a.labels ->> 'alertname', coalesce(a.instance, a.labels ->> 'zone'), a.labels ->> 'mount', a.app_name),
		x.suppressed_by || ': ' || x.rule || ', by ' || (SELECT o.labels ->> 'alertname' FROM observ.alerts o WHERE o.alert_id = x.id) || coalesce(' until ' || extract(epoch FROM x.until - pg_temp.t(0))::int, '')
	FROM observ.alerts a LEFT JOIN observ.suppressed_alerts(pg_temp.t($1)) x USING (alert_id) WHERE a.status <> 'resolved' ORDER BY a.alert_id;
$$;

-- The built-in rules. Equal labels, missing ones are empty; a source that is muted itself counts, no rule is needed for what it mutes through another.
SELECT count(pg_temp.alert(n, l::jsonb, s::observ.severity)) FROM (VALUES
	('FleetOutage', '{}', 'emergency'),
	('ServerDown', '{"vps_name": "db-1"}', 'critical'), ('ServerDownLong', '{"vps_name": "db-1"}', 'emergency'),
	('CpuHigh', '{"vps_name": "db-1", "family": "cpu"}', 'warning'), ('HttpDown', '{"vps_name": "probe", "app_name": "probe", "url": "http://db-1/", "category": "service"}', 'high'),
	('CpuHigh', '{"vps_name": "web-1", "family": "cpu"}', 'warning'), ('CpuCritical', '{"vps_name": "web-1", "family": "cpu"}', 'critical'), ('CpuCritical', '{"vps_name": "web-2", "family": "cpu"}', 'critical'),
	('DiskFull85', '{"vps_name": "web-1", "mount": "/", "family": "disk"}', 'warning'), ('DiskFull95', '{"vps_name": "web-1", "mount": "/var", "family": "disk"}', 'critical'),
	('AgentSilent', '{"vps_name": "web-3", "app_name": "shop", "category": "server"}', 'high'), ('LogErrors', '{"vps_name": "web-3", "app_name": "shop", "category": "application"}', 'warning'),
	('LogErrors', '{"vps_name": "web-3", "app_name": "blog", "category": "application"}', 'warning'), ('CpuHigh', '{"vps_name": "web-3", "category": "cpu"}', 'warning')) v (n, l, s);
SELECT * FROM pg_temp.muted(10);
-- Of a group: its members only.
UPDATE observ.alerts SET labels = labels || '{"group": "blue"}' WHERE labels ->> 'alertname' = 'FleetOutage';
SELECT * FROM pg_temp.muted(10) WHERE alert = 'ServerDown db-1';
UPDATE observ.alerts SET labels = labels || '{"group": "blue"}' WHERE labels ->> 'alertname' = 'ServerDown';
SELECT * FROM pg_temp.muted(10) WHERE alert = 'ServerDown db-1';
-- Switched off.
BEGIN;
UPDATE observ.inhibition_rules SET enabled = false;
SELECT count(muted) FROM pg_temp.muted(10);
ROLLBACK;
TRUNCATE observ.alerts;
UPDATE observ.inhibition_rules SET enabled = false;

-- Timeline C: JobDown mutes InstanceDown on zone; flushes at 2, 3 and 4.
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal, recovery_grace) VALUES ('C', '{alertname="JobDown"}', '{alertname="InstanceDown"}', '{zone}', '0');
SELECT count(pg_temp.alert(n, jsonb_build_object('zone', z), 'high', 1)) FROM (VALUES ('test1', 'aa'), ('InstanceDown', 'aa'), ('InstanceDown', 'ab')) v (n, z);
SELECT * FROM pg_temp.muted(2);
SELECT pg_temp.alert('JobDown', '{"zone": "aa"}', 'high', 2.2) > 0 AS "2.2";
SELECT * FROM pg_temp.muted(3);
UPDATE observ.alerts SET status = 'recovering' WHERE labels ->> 'alertname' = 'JobDown';
SELECT * FROM pg_temp.muted(3) WHERE muted IS NOT NULL;
UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.t(3.6) WHERE labels ->> 'alertname' = 'JobDown';
SELECT * FROM pg_temp.muted(4);
TRUNCATE observ.alerts;
DELETE FROM observ.inhibition_rules WHERE name = 'C';

-- C13: CpuHigh (for 0) and ServerDown (for 60 s, evaluated each 15 s) begin at 0. CpuHigh is held until ServerDown fires; when it dies, CpuHigh is told at once.
UPDATE observ.inhibition_rules SET enabled = true WHERE name = 'server down';
SELECT pg_temp.alert('CpuHigh', '{"vps_name": "db-1"}', 'warning', 0, sampled => 0, rule => 'TargetRule') > 0, pg_temp.alert('ServerDown', '{"vps_name": "db-1"}', 'critical', 0, pending => true, rule => 'SourceRule') > 0;
SELECT s, m.* FROM unnest('{0, 59, 60, 74, 75}'::int[]) s, pg_temp.muted(s) m WHERE m.alert = 'CpuHigh db-1';
BEGIN;
UPDATE observ.alerts SET status = 'firing', starts_at = pg_temp.t(60) WHERE instance = 'db-1' AND status = 'pending';
SELECT s, m.* FROM unnest('{60, 75, 600}'::int[]) s, pg_temp.muted(s) m WHERE m.alert = 'CpuHigh db-1';
-- C12: it ends at 100; the newest sample of the target is from before, until 130. Two evaluations of the target are 60 s.
UPDATE observ.alerts SET status = 'resolved', ends_at = pg_temp.t(100) WHERE labels ->> 'alertname' = 'ServerDown';
UPDATE observ.alerts SET sampled_at = pg_temp.t(90) WHERE labels ->> 'alertname' = 'CpuHigh';
SELECT s, m.* FROM unnest('{100, 129, 159, 160}'::int[]) s, pg_temp.muted(s) m;
UPDATE observ.alerts SET sampled_at = pg_temp.t(130) WHERE labels ->> 'alertname' = 'CpuHigh';
SELECT s, m.* FROM unnest('{130}'::int[]) s, pg_temp.muted(s) m;
UPDATE observ.inhibition_rules SET recovery_grace = '20 s' WHERE name = 'server down';
UPDATE observ.alerts SET sampled_at = pg_temp.t(100) WHERE labels ->> 'alertname' = 'CpuHigh';
SELECT s, m.* FROM unnest('{119, 120}'::int[]) s, pg_temp.muted(s) m;
ROLLBACK;
DELETE FROM observ.alerts WHERE status = 'pending';
SELECT s, m.* FROM unnest('{30}'::int[]) s, pg_temp.muted(s) m;
-- What began long before is not held.
SELECT pg_temp.alert('ServerDown', '{"vps_name": "db-1"}', 'critical', 200, pending => true, rule => 'SourceRule') > 0;
SELECT s, m.* FROM unnest('{200}'::int[]) s, pg_temp.muted(s) m WHERE m.alert = 'CpuHigh db-1';
UPDATE observ.inhibition_rules SET hold_on_pending = false;
SELECT pg_temp.alert('DiskFull', '{"vps_name": "db-1"}', 'warning', 200) > 0;
SELECT s, m.* FROM unnest('{200}'::int[]) s, pg_temp.muted(s) m WHERE m.alert = 'DiskFull db-1';
TRUNCATE observ.alerts;
UPDATE observ.inhibition_rules SET enabled = true, hold_on_pending = name <> 'same family';

-- An alert on both sides is not muted by another that is; one that is muted by several names the first; the source may come later than the target.
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal, recovery_grace) VALUES ('peers', '{zone!=""} or {zones="all"}', '{zone!=""}', '{}', '0');
SELECT count(pg_temp.alert('Peer', jsonb_build_object('zone', z), 'high')) FROM unnest('{aa,ab}'::text[]) z;
SELECT * FROM pg_temp.muted(1);
SELECT pg_temp.alert('Source', '{"zones": "all"}', 'info', 5) > 0;
SELECT * FROM pg_temp.muted(6);
DELETE FROM observ.inhibition_rules WHERE name = 'peers';

-- Refused when written.
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers) VALUES ('x', '{}', '{a="b"}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers) VALUES ('x', '{a="b"', '{a="b"}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers) VALUES ('x', '{a="b"}', '{a=~"b["}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('x', '{a="b"}', '{a="c"}', '{a,""}');
INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, recovery_grace) VALUES ('x', '{a="b"}', '{a="c"}', '-1 s');
UPDATE observ.inhibition_rules SET target_matchers = 'a' WHERE name = 'server down';
TRUNCATE observ.alerts;

-- Many alerts: the same answer as a join over all pairs.
INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, ends_at)
SELECT md5(i::text), 0, CASE i % 7 WHEN 0 THEN 'resolved' ELSE 'firing' END, (ARRAY['info', 'warning', 'critical'])[1 + i % 3]::observ.severity, 'v-' || i % 40,
	jsonb_build_object('alertname', (ARRAY['ServerDown', 'CpuHigh', 'CpuCritical', 'DiskFull'])[1 + i % 4], 'severity', (ARRAY['info', 'warning', 'critical'])[1 + i % 3],
		'vps_name', 'v-' || i % 40, 'family', CASE i % 4 WHEN 1 THEN 'cpu' WHEN 2 THEN 'cpu' WHEN 3 THEN 'disk' END), '{}', pg_temp.t(0), pg_temp.t(0), CASE i % 7 WHEN 0 THEN pg_temp.t(-600) END
FROM generate_series(1, 300) i;
CREATE TABLE public.by_index AS SELECT a.alert_id, x.suppressed_by IS NOT NULL AS muted FROM observ.alerts a LEFT JOIN observ.suppressed_alerts(pg_temp.t(1000)) x USING (alert_id) WHERE a.status <> 'resolved';
CREATE TABLE public.by_pairs AS SELECT t.alert_id, EXISTS (SELECT FROM observ.alerts s WHERE s.status = 'firing' AND s.instance = t.instance AND s.alert_id <> t.alert_id AND (
		s.labels ->> 'alertname' = 'ServerDown' AND t.labels ->> 'alertname' <> 'ServerDown'
		OR s.labels ->> 'family' = t.labels ->> 'family' AND s.severity > t.severity)) AS muted FROM observ.alerts t;
SELECT count(*), count(*) FILTER (WHERE i.muted) AS muted, count(*) FILTER (WHERE i.muted <> p.muted) AS differ FROM public.by_index i JOIN public.by_pairs p USING (alert_id);
DROP TABLE public.by_index, public.by_pairs;
TRUNCATE observ.alerts;
DELETE FROM observ.alert_rules WHERE name IN ('SourceRule', 'TargetRule');
