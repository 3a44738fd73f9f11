-- observ.sla(): uptime and error budgets, against a count of every raw row; whatever is rolled up, whatever maintenance cuts.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET client_min_messages = warning;
-- Partitions where the rows of this test lie: three islands in the last 90 days.
SET observ.premake = '2d';
SET observ.late_window = '2d';
SELECT count(*) FROM unnest(ARRAY['2033-03-05', '2033-05-03', '2033-05-26', '2033-05-30', '2033-06-01 12:00']::timestamptz[]) t, observ.maintain_partitions(t) WHERE status = 'ok';

-- Nothing is known without checks.
SELECT * FROM observ.sla(at => '2033-06-01 12:34:56+00');

-- One URL, checked every minute, ten minutes down: 10 of 1,441 in the last 24 hours.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success)
SELECT t, 'one', 'shop', 'http://a/', t NOT BETWEEN '2033-06-01 10:00+00' AND '2033-06-01 10:09+00'
FROM generate_series('2033-05-30 00:00+00'::timestamptz, '2033-06-01 12:30+00', '1 min') t;
\x
SELECT * FROM observ.sla(at => '2033-06-01 12:30+00', vps => 'one') WHERE period = '24 hours' AND scope = 'url';
\x
-- Thirty days of which two are known; a URL, its application and its VPS are the same here.
SELECT scope, period, checks, failures, round(uptime_percent::numeric, 6) AS uptime, error_budget, round(coverage_percent::numeric, 3) AS coverage, since, data_from, complete
FROM observ.sla(at => '2033-06-01 12:30+00');
-- Objectives: 99.3 % allow a little more than ten failures of 1,441.
SELECT objective, error_budget, budget_used_percent, budget_left FROM unnest('{90,99.3,99.99}'::float8[]) o, observ.sla(o, at => '2033-06-01 12:30+00', url => 'http://a/') WHERE period = '24 hours';
-- Maintenance over half of it. A window that ends in the middle of a minute, and one that overlaps it.
SELECT observ.plan_maintenance('2033-06-01 09:00+00', '2033-06-01 10:04:30+00', 'one', name => 'new kernel') > 0 AS planned;
SELECT observ.plan_maintenance('2033-06-01 10:00+00', '2033-06-01 10:04+00', 'one', 'shop', comment => 'twice is once') > 0 AS planned;
SELECT observ.plan_maintenance('2033-06-01 10:00+00', '2033-06-01 11:00+00', 'one', 'other application') > 0 AS planned;
SELECT observ.plan_maintenance('2033-06-01 10:00+00', '2033-06-01 11:00+00', 'two') > 0 AS planned;
SELECT checks, failures, excluded_by_maintenance, coverage_percent FROM observ.sla(at => '2033-06-01 12:30+00', url => 'http://a/') WHERE period = '24 hours';
-- For every VPS, without an end, from the past on.
INSERT INTO observ.maintenance_windows (starts_at, ends_at) VALUES ('2000-01-01', '2100-01-01');
SELECT period, checks, uptime_percent, excluded_by_maintenance, coverage_percent, budget_used_percent, error_budget FROM observ.sla(at => '2033-06-01 12:30+00', url => 'http://a/');
DELETE FROM observ.maintenance_windows;
-- Inconclusive checks count neither way; with nothing else, uptime is not known.
INSERT INTO observ.health_checks ("timestamp", vps_name, url, success, inconclusive) SELECT '2033-06-01 12:00+00'::timestamptz + i * interval '1 min', 'doubt', 'u', false, true FROM generate_series(1, 5) i;
SELECT scope, app_name, url, checks, failures, inconclusive, uptime_percent, budget_used_percent FROM observ.sla(vps => 'doubt', at => '2033-06-01 12:30+00') WHERE period = '24 hours';
-- What is filtered by URL is not an application's, nor what is filtered by application its VPS's.
SELECT scope, count(*) FROM observ.sla(app => 'shop', at => '2033-06-01 12:30+00') GROUP BY 1 ORDER BY 1;
SELECT scope, count(*) FROM observ.sla(vps => 'one', url => 'http://a/', at => '2033-06-01 12:30+00') GROUP BY 1;
SELECT count(*) FROM observ.sla(vps => 'no such vps', at => '2033-06-01 12:30+00');
TRUNCATE observ.health_checks;

-- What can't be.
\set VERBOSITY terse
SELECT * FROM observ.sla(0);
SELECT * FROM observ.sla(100);
SELECT * FROM observ.sla('NaN');
SELECT * FROM observ.sla(NULL);
SELECT * FROM observ.sla(at => NULL);
SELECT * FROM observ.sla(at => 'infinity');
SELECT * FROM observ.sla(at => '4713-01-01 BC');
SELECT observ.plan_maintenance('2033-06-01', '2033-06-01');
SELECT observ.plan_maintenance('2033-06-01', NULL);
\set VERBOSITY default

-- Now with rollups. Checks of five URLs at uneven intervals, some late in starting, one long gone; failures and doubts at random.
INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, inconclusive, response_time_ms)
SELECT t + u.n * interval '7.3 s', u.vps, u.app, u.url, hashtext(t::text || u.url) % 7 <> 0, hashtext(u.url || t::text) % 11 = 0, 1
FROM (VALUES (1, 'one', 'shop', 'http://a/', 13), (2, 'one', 'shop', 'http://b/', 29), (3, 'one', 'blog', 'http://a/', 41), (4, 'two', 'shop', 'http://a/', 17), (5, 'two', '', 'tcp:5432', 97))
	AS u (n, vps, app, url, minutes),
	(VALUES ('2033-03-03 00:00+00'::timestamptz, '2033-03-06 23:00+00'::timestamptz), ('2033-05-01 05:00+00', '2033-05-04 00:00+00'), ('2033-05-24 00:00+00', '2033-06-01 12:34:56+00')) AS i (a, b),
	generate_series(i.a, i.b, u.minutes * interval '1 min') t
WHERE (u.n <> 3 OR t < '2033-05-10') AND (u.n <> 4 OR t > '2033-05-31 07:00+00');

-- What observ.roll_up() makes of them, up to a given hour.
CREATE FUNCTION pg_temp.rolled_to(w timestamptz) RETURNS text LANGUAGE sql AS $$
	TRUNCATE observ.health_1h;
	INSERT INTO observ.health_1h ("timestamp", vps_name, app_name, url, checks, failures, inconclusive, response_count)
		SELECT date_bin('1 h', "timestamp", '2000-01-01 00:00+00'), vps_name, app_name, url, count(*) FILTER (WHERE NOT inconclusive), count(*) FILTER (WHERE NOT inconclusive AND NOT success),
			count(*) FILTER (WHERE inconclusive), 0 FROM observ.health_checks WHERE "timestamp" < w GROUP BY 1, 2, 3, 4;
	UPDATE observ_data.rollup_state SET rolled_1h = w WHERE source = 'health_checks';
	SELECT w::text;
$$;
-- The definition, word for word, from the raw rows alone.
CREATE FUNCTION pg_temp.by_hand(at timestamptz, OUT scope text, OUT vps_name text, OUT app_name text, OUT url text, OUT days int, OUT checks bigint, OUT failures bigint,
	OUT inconclusive bigint, OUT excluded bigint, OUT uptime float8, OUT data_from timestamptz, OUT since timestamptz) RETURNS SETOF record LANGUAGE sql AS $$
	WITH period AS (SELECT d AS days, CASE WHEN d = 1 THEN at - interval '24 h' ELSE date_bin('1 h', at - d * interval '24 h', '2000-01-01 00:00+00') END AS since FROM unnest('{1,7,30,90}'::int[]) d),
	known AS (SELECT DISTINCT vps_name, app_name, url FROM observ.health_checks, period p WHERE days = 90 AND "timestamp" >= p.since AND "timestamp" <= at),
	judged AS (SELECT p.days, p.since, k.vps_name, k.app_name, k.url, c.success, c.inconclusive, c."timestamp" AS made,
			EXISTS (SELECT FROM observ.maintenance_windows w WHERE coalesce(w.vps_name = k.vps_name, true) AND coalesce(w.app_name = k.app_name, true) AND c."timestamp" >= w.starts_at AND c."timestamp" < w.ends_at) AS away
		FROM known k CROSS JOIN period p LEFT JOIN observ.health_checks c ON (c.vps_name, c.app_name, c.url) = (k.vps_name, k.app_name, k.url) AND c."timestamp" >= p.since AND c."timestamp" <= at)
	SELECT CASE WHEN grouping(app_name) = 1 THEN 'vps' WHEN grouping(url) = 1 THEN 'application' ELSE 'url' END, vps_name, app_name, url, days,
		count(made) FILTER (WHERE NOT away AND NOT inconclusive), count(made) FILTER (WHERE NOT away AND NOT inconclusive AND NOT success), count(made) FILTER (WHERE NOT away AND inconclusive), count(made) FILTER (WHERE away),
		100.0 * count(made) FILTER (WHERE NOT away AND NOT inconclusive AND success) / nullif(count(made) FILTER (WHERE NOT away AND NOT inconclusive), 0), min(made), since
	FROM judged GROUP BY GROUPING SETS ((vps_name, app_name, url, days, since), (vps_name, app_name, days, since), (vps_name, days, since))
$$;
CREATE FUNCTION pg_temp.differs(at timestamptz, OUT rows bigint, OUT differing bigint) LANGUAGE sql AS $$
	SELECT count(*), count(*) FILTER (WHERE (s.checks, s.failures, s.inconclusive, s.excluded_by_maintenance, s.since) IS DISTINCT FROM (h.checks, h.failures, h.inconclusive, h.excluded, h.since)
		OR (s.uptime_percent IS NULL) <> (h.uptime IS NULL) OR abs(s.uptime_percent - h.uptime) > 1e-9
		OR (s.data_from IS NULL) <> (h.data_from IS NULL) OR s.data_from > h.data_from OR s.data_from <= h.data_from - interval '1 h')
	FROM observ.sla(at => at) s FULL JOIN pg_temp.by_hand(at) h ON (s.scope, s.vps_name, coalesce(s.app_name, '-'), coalesce(s.url, '-'), extract(epoch FROM s.period) / 86400) = (h.scope, h.vps_name, coalesce(h.app_name, '-'), coalesce(h.url, '-'), h.days)
$$;
CREATE TEMPORARY TABLE moment AS SELECT unnest(ARRAY['2033-06-01 12:34:56+00', '2033-06-01 12:00+00', '2033-06-01 03:17:05.123456+00', '2033-05-28 23:59:59.999999+00', '2033-05-24 00:00+00', '2033-06-03 00:00+00']::timestamptz[]) AS at;
-- Nothing rolled up, a part, everything, and more than there is: at how many times and for how many rows the two differ.
CREATE FUNCTION pg_temp.compare(OUT rolled_to text, OUT moments bigint, OUT rows bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE w timestamptz; BEGIN
	FOREACH w IN ARRAY ARRAY['-infinity', '2033-05-03 04:00', '2033-05-31 15:00', '2033-06-01 12:00', '2033-06-02 00:00', 'infinity']::timestamptz[] LOOP
		rolled_to := pg_temp.rolled_to(w);
		SELECT count(*), sum(d.rows), sum(d.differing) INTO moments, rows, differing FROM moment, pg_temp.differs(at) d;
		RETURN NEXT;
	END LOOP;
END $$;
-- Without maintenance.
SELECT * FROM pg_temp.compare();
-- With windows of every kind: inside an hour, over hours, around the beginning of the 24 hours, in the live part, overlapping each other, reaching out of the periods.
INSERT INTO observ.maintenance_windows (vps_name, app_name, starts_at, ends_at) VALUES
	('one', NULL, '2033-05-30 10:11:12+00', '2033-05-30 10:47+00'), ('one', 'shop', '2033-05-30 10:30+00', '2033-05-30 14:15:16.789+00'), (NULL, 'shop', '2033-05-30 14:00+00', '2033-05-30 15:00+00'),
	(NULL, NULL, '2033-05-31 12:00+00', '2033-05-31 12:40+00'), ('two', NULL, '2033-05-31 11:20+00', '2033-05-31 13:00+00'), ('one', 'blog', '2033-05-01+00', '2033-05-02 12:30+00'),
	('two', '', '2033-06-01 11:30+00', '2033-06-01 12:10+00'), (NULL, NULL, '2033-06-01 12:20+00', '2100-01-01+00'), ('two', NULL, '-infinity', '2033-03-05 00:00:01+00'), ('nobody', NULL, '2033-05-01+00', '2033-06-01+00');
SELECT * FROM pg_temp.compare();
-- What observ.roll_up() itself makes of them.
TRUNCATE observ.health_1h, observ.health_5m;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity';
DO $$ BEGIN
	FOR i IN 1 .. 100 LOOP
		EXIT WHEN (SELECT status FROM observ.roll_up('2033-06-01 12:40+00')) <> 'more';
	END LOOP;
END $$;
SELECT rolled_1h, d.rows, d.differing FROM observ_data.rollup_state, pg_temp.differs('2033-06-01 12:34:56+00') d WHERE source = 'health_checks';
SELECT pg_temp.rolled_to('2033-06-01 12:00+00');
-- The comparison compares something.
SELECT vps_name, checks, failures, inconclusive, excluded_by_maintenance, round(uptime_percent::numeric, 4) AS uptime, round(coverage_percent::numeric, 2) AS coverage, complete FROM observ.sla(at => '2033-06-01 12:34:56+00') WHERE scope = 'vps';
UPDATE observ.health_1h SET failures = failures + 1 WHERE "timestamp" = '2033-05-30 05:00+00' AND vps_name = 'one' AND url = 'http://b/';
SELECT at, d.* FROM moment, pg_temp.differs(at) d ORDER BY at;

-- Coverage: hours with checks, of those that are not maintenance. The agent of 'two' rested while it was worked on.
SELECT pg_temp.rolled_to('2033-06-01 12:00+00');
DELETE FROM observ.maintenance_windows;
DELETE FROM observ.health_checks WHERE vps_name = 'two' AND url = 'http://a/' AND "timestamp" >= '2033-06-01 02:00+00' AND "timestamp" < '2033-06-01 08:00+00';
SELECT pg_temp.rolled_to('2033-06-01 12:00+00');
SELECT coverage_percent, error_budget FROM observ.sla(vps => 'two', url => 'http://a/', at => '2033-06-01 13:00+00') WHERE period = '24 hours';
SELECT observ.plan_maintenance('2033-06-01 02:00+00', '2033-06-01 08:00+00', 'two') > 0 AS planned;
SELECT coverage_percent, error_budget FROM observ.sla(vps => 'two', url => 'http://a/', at => '2033-06-01 13:00+00') WHERE period = '24 hours';

-- Raw rows go, hourly ones stay: the same as long as no window cuts an hour; then its whole hour is left out.
DELETE FROM observ.maintenance_windows;
CREATE VIEW pg_temp.answer AS SELECT scope, vps_name, app_name, url, period, checks, failures, inconclusive, uptime_percent, round(coverage_percent::numeric, 9), since, data_from, complete FROM observ.sla(at => '2033-06-01 12:34:56+00');
CREATE TEMPORARY TABLE before AS TABLE pg_temp.answer;
DO $$ DECLARE leaf text; BEGIN
	FOR leaf IN SELECT c.oid::regclass FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'observ.health_checks'::regclass AND c.relname < 'health_checks_20330531' AND c.relname !~ 'brin' LOOP
		EXECUTE format('ALTER TABLE observ.health_checks DETACH PARTITION %s', leaf);
		EXECUTE format('DROP TABLE %s', leaf);
	END LOOP;
END $$;
SELECT count(*) FROM (TABLE before EXCEPT ALL TABLE pg_temp.answer) d;
SELECT sum(checks + inconclusive) AS in_the_hours FROM observ.health_1h WHERE vps_name = 'one' AND url = 'http://a/' AND app_name = 'shop' AND "timestamp" IN ('2033-05-30 09:00+00', '2033-05-30 10:00+00');
SELECT observ.plan_maintenance('2033-05-30 09:15+00', '2033-05-30 10:15+00') > 0 AS planned;
SELECT period, excluded_by_maintenance FROM observ.sla(vps => 'one', app => 'shop', url => 'http://a/', at => '2033-06-01 12:34:56+00');
-- 24 hours that begin where raw rows are gone begin with the next full hour.
SELECT period, since FROM observ.sla(vps => 'one', app => 'shop', url => 'http://a/', at => '2033-05-31 12:34:56+00');

-- Windows are an operator's business; who entered them is not up to them.
CREATE ROLE observ_regress_operator IN ROLE observ_operator;
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
SET ROLE observ_regress_operator;
SELECT observ.plan_maintenance('2033-06-01', '2033-06-02', 'one', name => 'by an operator') > 0 AS planned;
UPDATE observ.maintenance_windows SET ends_at = '2033-06-01 12:00+00' WHERE name = 'by an operator';
SELECT name, created_by FROM observ.maintenance_windows WHERE name IS NOT NULL;
INSERT INTO observ.maintenance_windows (starts_at, ends_at, created_by) VALUES ('2033-06-01', '2033-06-02', 'somebody else');
DELETE FROM observ.maintenance_windows;
SET ROLE observ_regress_reader;
SELECT count(*) FROM observ.sla(at => '2033-06-01 12:34:56+00', vps => 'one');
SELECT observ.plan_maintenance('2033-06-01', '2033-06-02');
RESET ROLE;
DROP ROLE observ_regress_operator, observ_regress_reader;
UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity';
TRUNCATE observ.health_checks, observ.health_5m, observ.health_1h, observ_data.rollup_dirty, observ.maintenance_windows;
DROP VIEW pg_temp.answer;
DROP TABLE moment, before;
RESET observ.premake;
RESET observ.late_window;
