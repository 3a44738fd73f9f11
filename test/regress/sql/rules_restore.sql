-- Default rules: none is left that no test has seen fire and clear but the watchdog, which never does; then what becomes of those that people edit and delete.
\c observ_rules
SELECT name FROM observ.default_rules() WHERE name NOT IN (SELECT rule FROM rt.covered) ORDER BY 1;

-- Rules of one family mute each other about the same thing only: labels that the built-in inhibition does not look at say nothing more about it.
SELECT r.labels ->> 'family' AS family, string_agg(DISTINCT l.label, ' ' ORDER BY l.label) AS labels
FROM rt.labels l JOIN observ.alert_rules r ON r.name = l.rule
WHERE l.label <> ALL (ARRAY(SELECT unnest(equal) FROM observ.inhibition_rules WHERE name = 'same family'))
	AND (SELECT count(DISTINCT o.severity) > 1 FROM observ.alert_rules o WHERE o.labels ->> 'family' = r.labels ->> 'family')
GROUP BY 1 ORDER BY 1;

-- All as shipped again.
SELECT count(observ.restore_default_rule(name)) = count(*) AS "all" FROM observ.default_rules() WHERE state = 'edited';
SELECT state, count(*) >= 60 AS enough FROM observ.default_rules() GROUP BY 1;

-- Edited, deleted, renamed; whatever the session's settings are.
SET intervalstyle = 'iso_8601';
SET extra_float_digits = -3;
UPDATE observ.alert_rules SET threshold = 91.5 WHERE name = 'CpuHigh';
UPDATE observ.alert_rules SET enabled = false WHERE name = 'CpuIdleWaste';
DELETE FROM observ.alert_rules WHERE name IN ('MemoryLow', 'SwapHigh');
UPDATE observ.alert_rules SET name = 'OurDiskFull' WHERE name = 'DiskFull85';
SELECT name, state, rule_id IS NULL AS gone FROM observ.default_rules() WHERE state <> 'unchanged';
SELECT rule_id AS edited FROM observ.alert_rules WHERE name = 'CpuHigh' \gset

-- The next version: CpuHigh, CpuCritical and MemoryLow say something else, DiskBusy is not shipped any more, NewRule and OursAlready are new.
BEGIN;
INSERT INTO observ.alert_rules (name, metric_name, threshold) VALUES ('OursAlready', 'cpu_percent', 1);
UPDATE observ_data.default_rules SET definition = jsonb_set(definition, '{threshold}', '97.25') WHERE name IN ('CpuHigh', 'CpuCritical', 'MemoryLow');
DELETE FROM observ_data.default_rules WHERE name = 'DiskBusy';
INSERT INTO observ_data.default_rules SELECT 1000, n, jsonb_build_object('name', n, 'source', 'vps_metrics', 'metric_name', 'cpu_percent', 'threshold', 1, 'for_duration', '00:05:00'), ''
	FROM unnest('{NewRule,OursAlready}'::text[]) n;
UPDATE observ_data.default_rules SET hash = observ_data._rule_hash(definition);
SELECT name, state FROM observ.default_rules() WHERE state <> 'unchanged';
SELECT * FROM observ_data._merge_default_rules();
SELECT name, state FROM observ.default_rules() WHERE state <> 'unchanged';
SELECT name, threshold, for_duration FROM observ.alert_rules WHERE name IN ('CpuHigh', 'CpuCritical', 'MemoryLow', 'NewRule', 'OursAlready', 'DiskBusy', 'OurDiskFull') ORDER BY name;
-- Twice is once.
SELECT * FROM observ_data._merge_default_rules();
-- Edited into what ships: it follows from then on.
UPDATE observ.alert_rules SET threshold = 97.25 WHERE name = 'CpuHigh';
SELECT updated FROM observ_data._merge_default_rules();
SELECT state FROM observ.default_rules() WHERE name = 'CpuHigh';
ROLLBACK;

-- Put back: an edited one keeps its number, so its alerts go on; a deleted one is new. A rule of one's own is not overwritten.
SELECT observ.restore_default_rule('CpuHigh') = :edited AS same_rule, observ.restore_default_rule('MemoryLow') > :edited AS new_rule;
SELECT name, state FROM observ.default_rules() WHERE state <> 'unchanged';
INSERT INTO observ.alert_rules (name, metric_name, threshold) VALUES ('SwapHigh', 'swap_percent', 50);
SELECT observ.restore_default_rule('SwapHigh');
SELECT observ.restore_default_rule('NoSuchRule');
SELECT state FROM observ.default_rules() WHERE name = 'SwapHigh';

-- Readers look, operators too; admins restore.
SET ROLE observ_reader;
SELECT count(*) >= 60 AS enough FROM observ.default_rules();
SELECT observ.restore_default_rule('CpuIdleWaste');
SET ROLE observ_admin;
SELECT observ.restore_default_rule('CpuIdleWaste') > 0 AS restored;
RESET ROLE;
