-- The fleet summary in virtual time.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
TRUNCATE observ.vps_metrics, observ.fleet_summary, observ.vps;
SELECT status, created > 0 AS created FROM observ.maintain_partitions('2032-01-01 12:00+00');

-- 0 VPSs.
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00+00');
SELECT count(*) FROM observ.fleet_summary('2032-01-01 12:00+00');

-- 1 VPS: its newest row, its NULLs stay NULL; the registry learns of it.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent, load_avg_1m, interval_ms) VALUES
	('2032-01-01 12:00:00+00', 'db-1', 'shop', 10, 20, NULL, 0.5, 10000),
	('2032-01-01 12:00:10+00', 'db-1', 'shop', 11, 21, NULL, 0.6, 10000);
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:11+00');
SELECT vps_name, app_name, status, last_seen, cpu_percent, memory_percent, disk_percent, load_avg_1m FROM observ.fleet_summary('2032-01-01 12:00:11+00');
SELECT vps_name, status FROM observ.vps;

-- A late row never moves a VPS backwards; nothing new changes nothing.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES ('2032-01-01 11:00:00+00', 'db-1', 'shop', 99);
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:12+00');
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:12+00');
SELECT cpu_percent, last_seen FROM observ.fleet_summary('2032-01-01 12:00:12+00');

-- The status is decided at the time of asking: the same row, asked later. Interval 10 s: stale after 20 s, down after 30 s.
SELECT extract(epoch FROM at - '2032-01-01 12:00:10+00')::int AS seconds_later, status
FROM unnest('{2032-01-01 12:00:10+00, 2032-01-01 12:00:30+00, 2032-01-01 12:00:31+00, 2032-01-01 12:00:40+00, 2032-01-01 12:00:41+00, 2033-01-01 00:00+00}'::timestamptz[]) at,
	LATERAL observ.fleet_summary(at);
-- What the registry expects goes first; without either it is 60 s.
UPDATE observ.vps SET expected_interval = '5 minutes';
SELECT status FROM observ.fleet_summary('2032-01-01 12:10:10+00');
UPDATE observ.vps SET expected_interval = NULL;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2032-01-01 12:00:20+00', 'by-hand', 1);
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:20+00');
SELECT vps_name, app_name, status FROM observ.fleet_summary('2032-01-01 12:02:00+00') ORDER BY 1;
SELECT vps_name, app_name, status FROM observ.fleet_summary('2032-01-01 12:02:21+00') ORDER BY 1;

-- An agent says how often its rows come; its first row after a start covers less, and that is no reason to call it stale.
SELECT accepted FROM observ.begin_batch('agent-f', 1, '2032-01-01 12:00:20+00', 'fresh', 'shop', '1.0', 60000);
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) VALUES ('2032-01-01 12:00:20+00', 'fresh', 'shop', 1, 1000);
SELECT status, inserted FROM observ.refresh_fleet_summary('2032-01-01 12:00:21+00');
SELECT status FROM observ.fleet_summary('2032-01-01 12:02:20+00') WHERE vps_name = 'fresh';
SELECT status FROM observ.fleet_summary('2032-01-01 12:02:21+00') WHERE vps_name = 'fresh';
SELECT accepted FROM observ.begin_batch('agent-f', 2, '2032-01-01 12:00:30+00', 'fresh', 'shop', '1.0', 10000);
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, interval_ms) VALUES ('2032-01-01 12:00:30+00', 'fresh', 'shop', 1, 10000);
SELECT status, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:30+00');
SELECT status FROM observ.fleet_summary('2032-01-01 12:00:51+00') WHERE vps_name = 'fresh';
DELETE FROM observ.vps_metrics WHERE vps_name = 'fresh';
SELECT observ.forget('fresh');

-- Rows from the future wait until it has come.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent) VALUES ('2032-01-01 13:00:00+00', 'db-1', 'shop', 77), ('2032-01-02 00:00:00+00', 'db-1', 'shop', 88);
SELECT status, updated, future_rows FROM observ.refresh_fleet_summary('2032-01-01 12:00:30+00');
SELECT cpu_percent FROM observ.fleet_summary('2032-01-01 12:00:30+00') WHERE vps_name = 'db-1';
SELECT status, updated FROM observ.refresh_fleet_summary('2032-01-01 12:58:01+00');
SELECT cpu_percent FROM observ.fleet_summary('2032-01-01 12:58:01+00') WHERE vps_name = 'db-1';
SELECT status, updated FROM observ.refresh_fleet_summary('2032-01-02 00:01:00+00');
SELECT cpu_percent FROM observ.fleet_summary('2032-01-02 00:01:00+00') WHERE vps_name = 'db-1';

-- An agent whose clock is behind is alive by the database's clock: it knows its offset.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, clock_offset_ms, interval_ms) VALUES ('2032-01-02 00:00:00+00', 'slow-clock', -600000, 10000);
SELECT status, inserted FROM observ.refresh_fleet_summary('2032-01-02 00:10:05+00');
SELECT last_seen, status FROM observ.fleet_summary('2032-01-02 00:10:05+00') WHERE vps_name = 'slow-clock';

-- Retired VPSs are left out; forgotten ones come back with their next row.
UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'slow-clock';
SELECT vps_name FROM observ.fleet_summary('2032-01-02 00:10:05+00') ORDER BY 1;
SELECT observ.forget('by-hand'), observ.forget('by-hand'), observ.forget('db-1', 'no such app');
SELECT vps_name FROM observ.fleet_summary('2032-01-02 00:10:05+00') ORDER BY 1;
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2032-01-02 00:10:00+00', 'by-hand', 2);
SELECT status, inserted FROM observ.refresh_fleet_summary('2032-01-02 00:10:10+00');

-- A reconcile puts right what a hand has changed.
UPDATE observ.fleet_summary SET cpu_percent = 0, "timestamp" = '2032-01-01 00:00+00' WHERE vps_name = 'by-hand';
SELECT status, updated, reconciled FROM observ.refresh_fleet_summary('2032-01-02 00:10:11+00', reconcile => true);
SELECT cpu_percent FROM observ.fleet_summary('2032-01-02 00:10:11+00') WHERE vps_name = 'by-hand';

-- Looking at the past again shows the past's newest row only where there is nothing newer, and does not disturb the present.
SELECT status, updated FROM observ.refresh_fleet_summary('2032-01-01 12:00:05+00');

-- Many at once, in any order, twice: exactly the newest of each.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent)
SELECT '2032-01-02 01:00+00'::timestamptz + i * interval '1 s', 'many-' || i % 500, 'app-' || i % 3, i
FROM (SELECT i FROM generate_series(1, 5000) i ORDER BY hashint4(i)) shuffled;
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-02 03:00+00');
SELECT status, inserted, updated FROM observ.refresh_fleet_summary('2032-01-02 03:00+00');
SELECT count(*) FROM observ.fleet_summary('2032-01-02 03:00+00') f
JOIN (SELECT DISTINCT ON (vps_name, app_name) * FROM observ.vps_metrics ORDER BY vps_name, app_name, "timestamp" DESC) m USING (vps_name, app_name)
WHERE vps_name LIKE 'many-%' AND f.cpu_percent = m.cpu_percent AND f.last_seen = m."timestamp";

-- Odd names, odd values.
INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent) VALUES
	('2032-01-02 03:00+00', repeat('x', 5000), E'tab\tand ''quote''', 'NaN', 'Infinity', '-Infinity'),
	('2032-01-02 03:00+00', '', '', 1, 1, 1), ('2032-01-02 03:00+00', 'größe-☃', '☃', 1, 1, 1);
SELECT status, inserted FROM observ.refresh_fleet_summary('2032-01-02 03:00:01+00');
SELECT left(vps_name, 10) AS vps_name, app_name, cpu_percent, memory_percent, disk_percent FROM observ.fleet_summary('2032-01-02 03:00:01+00')
WHERE last_seen = '2032-01-02 03:00+00' ORDER BY vps_name COLLATE "C";

-- The user's own index and column on the summary are kept up.
CREATE INDEX my_index ON observ.fleet_summary (upper(vps_name)) WHERE cpu_percent > 50;
ALTER TABLE observ.fleet_summary ADD COLUMN my_note text;
UPDATE observ.fleet_summary SET my_note = 'mine' WHERE vps_name = 'by-hand';
INSERT INTO observ.vps_metrics ("timestamp", vps_name, cpu_percent) VALUES ('2032-01-02 03:01+00', 'by-hand', 95);
SELECT status, updated FROM observ.refresh_fleet_summary('2032-01-02 03:01+00');
SET enable_seqscan = off;
SELECT vps_name, cpu_percent, my_note FROM observ.fleet_summary WHERE upper(vps_name) = 'BY-HAND' AND cpu_percent > 50;
RESET enable_seqscan;
ALTER TABLE observ.fleet_summary DROP COLUMN my_note;
DROP INDEX observ.my_index;

SELECT observ.refresh_fleet_summary('infinity');
SELECT count(*) FROM observ.fleet_summary('infinity');
SELECT count(*) FROM observ.fleet_summary(NULL);
TRUNCATE observ.vps_metrics, observ.fleet_summary, observ.vps;
