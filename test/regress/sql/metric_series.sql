-- Series come and go: expiry in virtual time, slots, and who may write and read.
SELECT date_trunc('hour', now()) - interval '30 hours' AS t0 \gset
CREATE FUNCTION pg_temp.drop_days_before(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE part regclass;
BEGIN
	FOR part IN SELECT inhrelid::regclass FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'observ.metric_scrapes'::regclass
		AND substring(pg_get_expr(relpartbound, oid) FROM 'TO \(''(.*)''\)')::timestamptz <= at LOOP
		EXECUTE 'DROP TABLE ' || part;
	END LOOP;
END $$;
CREATE VIEW pg_temp.slots AS SELECT vps_name, metric_name, set_no, slot, expired_at IS NOT NULL AS expired FROM observ.metric_series ORDER BY vps_name, set_no, slot;
SELECT observ.record_metric('old_1', 1, vps_name => 'web-1', at => :'t0'), observ.record_metric('old_2', 2, vps_name => 'web-1', at => :'t0'),
	observ.record_metric('young', 3, vps_name => 'web-1', at => now()), observ.record_metric('only', 4, vps_name => 'web-2', at => :'t0');

-- Nothing expires while the partition of its samples is there, however late it is.
SELECT * FROM observ.expire_series(now() + interval '5 years');
-- Nor when only the clock of the job says that late samples can't come any more.
BEGIN;
SELECT pg_temp.drop_days_before(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
SELECT * FROM observ.expire_series(now());
-- The partition is gone, and late samples can't come: expired and, without roll-ups, deleted.
SELECT * FROM observ.expire_series(now() + interval '30 days');
SELECT * FROM pg_temp.slots;
SELECT vps_name, series FROM observ.metric_usage;
-- Their slots are free again, the lowest first.
SELECT observ.record_metric('newer', 5, vps_name => 'web-1');
SELECT * FROM pg_temp.slots;
SELECT * FROM observ.expire_series(now() + interval '30 days');
ROLLBACK;

-- Roll-ups are kept by slot: the series no longer counts, its row and slot stay until they are gone, too.
BEGIN;
INSERT INTO observ.metrics_1h SELECT date_trunc('hour', :'t0'::timestamptz), 'web-1', '', 1, '\x00';
SELECT pg_temp.drop_days_before(date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC');
SELECT * FROM observ.expire_series(now() + interval '30 days');
SELECT * FROM pg_temp.slots;
SELECT vps_name, series FROM observ.metric_usage;
-- A sample brings it back, as a series that is new to the limits, in the slot that it had.
SET LOCAL observ.max_series_per_vps = 2;
SELECT stored, rejected, new_series FROM observ.insert_samples('web-1', '', ARRAY[now()], ARRAY['newer', 'old_2'], NULL, ARRAY[1, 1]);
SET LOCAL observ.max_series_per_vps = 3;
SELECT stored, rejected, new_series FROM observ.insert_samples('web-1', '', ARRAY[now()], ARRAY['newer', 'old_2'], NULL, ARRAY[1, 1]);
SELECT * FROM pg_temp.slots;
SELECT vps_name, series FROM observ.metric_usage;
SELECT metric_name, value FROM observ.metric_samples ORDER BY 1;
DELETE FROM observ.metrics_1h;
SELECT * FROM observ.expire_series(now() + interval '30 days');
SELECT * FROM pg_temp.slots;
ROLLBACK;
-- Counts that somebody has spoilt are put right; who was refused lately is shown even without series.
UPDATE observ.metric_usage SET series = 77 WHERE vps_name = 'web-1';
SELECT rejected FROM observ.insert_samples('refused', '', ARRAY[now()], ARRAY[''], NULL, ARRAY[1]);
SELECT * FROM observ.expire_series(now());
SELECT vps_name, series FROM observ.metric_usage ORDER BY 1;
SELECT * FROM observ.expire_series(now() + interval '25 hours');
SELECT vps_name, series FROM observ.metric_usage ORDER BY 1;
SELECT observ.expire_series('infinity');

-- An agent writes samples of its own VPS, and reads none.
SELECT observ.enroll_vps('web-1', 'observ_regress_agent');
CREATE ROLE observ_regress_writer IN ROLE observ_writer;
CREATE ROLE observ_regress_reader IN ROLE observ_reader;
SET ROLE observ_regress_agent;
SELECT stored FROM observ.insert_samples('web-1', '', ARRAY[now()], ARRAY['own'], NULL, ARRAY[1]);
SELECT stored FROM observ.insert_samples('web-2', '', ARRAY[now()], ARRAY['own'], NULL, ARRAY[1]);
SELECT observ.record_metric('own', 1);
SELECT stored, rejected, errors FROM observ.insert_metrics('[{"metric_name":"own","value":1,"vps_name":"web-2"},{"metric_name":"own2","value":1,"vps_name":"web-1"},{"metric_name":"own","value":1}]');
SELECT * FROM observ.metric_samples;
SELECT * FROM observ.metric_range('own');
SELECT * FROM observ.metric_series;
INSERT INTO observ.metric_scrapes ("timestamp", vps_name, set_no, "values") VALUES (now(), 'web-1', 1, '{1}');
SELECT observ.expire_series();
SET ROLE observ_regress_writer;
SELECT observ.record_metric('any', 1, vps_name => 'any');
SELECT * FROM observ.metric_usage;
SET ROLE observ_regress_reader;
SELECT metric_name, value FROM observ.metric_samples WHERE metric_name IN ('own', 'own2', 'any') ORDER BY 1;
SELECT vps_name, value FROM observ.metric_range('any', NULL, now(), now() + interval '1 us', '1 day');
SELECT vps_name, series FROM observ.metric_usage ORDER BY 1;
SELECT observ.record_metric('any', 1);
RESET ROLE;
DROP ROLE observ_regress_agent, observ_regress_writer, observ_regress_reader;
DROP VIEW pg_temp.slots;
TRUNCATE observ.metric_series, observ.metric_scrapes, observ.metric_usage, observ.vps;
