-- Log search: words, queries, pages, histogram, context, templates. In virtual time.
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SELECT status FROM observ.maintain_partitions('2033-03-10 12:00+00');
-- What is indexed: words inside paths and dotted names, each once; level and application behind a mark.
SELECT translate(observ_data._log_vector('GET /api/v1/Orders/17?x=orders a.dotted.name it''s-OK', 'ERROR', 'Shop')::text, E'\x01\x02', '<>');
SELECT translate(observ_data._log_vector('', '', '')::text, E'\x01\x02', '<>'), translate(observ_data._log_vector('Größe ÜBER 日本', 'Info', '')::text, E'\x01\x02', '<>');
-- Large messages: words beyond 1 MiB are not indexed, a long word counts by its beginning.
SELECT length(observ_data._log_vector(repeat('ab cd ef ', 1000000), 'x', 'y')), length(observ_data._log_vector(repeat('x', 5000000), 'x', 'y')),
	length(observ_data._log_vector(string_agg('w' || n, ' '), 'x', 'y')) BETWEEN 100000 AND 200002 AS many FROM generate_series(1, 200000) n;

INSERT INTO observ.log_entries (id, "timestamp", vps_name, app_name, level, message, context, logger, source) VALUES
	(1, '2033-03-10 12:00:01+00', 'web-1', 'shop', 'INFO', 'GET /api/v1/orders/17 HTTP/1.1 took 12.5 ms', '{"user": "bob", "status": 200, "http": {"method": "GET", "peer.ip": "10.0.0.1"}}', 'http', 'access.log'),
	(2, '2033-03-10 12:00:02+00', 'web-1', 'shop', 'error', 'Connection refused by db-2.internal.example after 3 attempts', '{"user": "Bob Smith", "retry": true, "tags": ["db", "net"], "cause": null}', 'com.example.Pool', 'app.log'),
	(3, '2033-03-10 12:00:03+00', 'web-2', 'shop', 'Warning', 'connection to cache lost; refused twice', '{"a.b": {"c": 1.50}, "status": "200"}', NULL, NULL),
	(4, '2033-03-10 12:00:03+00', 'web-2', 'api', 'fatal', 'Straße gesperrt: überlast_schutz', NULL, NULL, NULL),
	(5, '2033-03-11 09:00:00+00', 'web-2', 'api', 'debug', 'connection reopened', '{}', NULL, NULL);
CREATE FUNCTION pg_temp.found(query text, vps text DEFAULT NULL, app text DEFAULT NULL, level text DEFAULT NULL) RETURNS text
	LANGUAGE sql AS $$ SELECT string_agg(s.id::text, ' ' ORDER BY n) FROM observ.search_logs($1, $2, $3, $4, "from" => '2033-03-01+00', "to" => '2033-04-01+00') WITH ORDINALITY s (id, t, v, a, l, m, c, lo, so, cu, n) $$;
SELECT q, pg_temp.found(q) FROM (VALUES (1, NULL), (2, ''), (3, 'connection'), (4, 'CONNECTION Refused'), (5, '"connection refused"'), (6, 'connection -refused'), (7, 'orders'),
	(8, '/api/v1/orders'), (9, 'internal'), (10, 'db-2.internal'), (11, 'v1/api'), (12, 'orders OR reopened'), (13, 'connection (reopened OR lost)'), (14, 'conn*'), (15, 'nosuchword'),
	(16, 'straße'), (17, 'schutz'), (18, '-connection'), (19, 'NOT connection'), (20, '12.5'), (21, 'order'), (22, '"12.5 ms"'), (23, '"api v1" -17'), (24, 'connection AND lost')) v (n, q) ORDER BY n;
-- key=value: text exactly, numbers by value, true, false, null; keys with dots; elements of lists; * for anything.
SELECT q, pg_temp.found(q) FROM (VALUES (1, 'user=bob'), (2, 'user=Bob'), (3, 'user="Bob Smith"'), (4, 'user=B*'), (5, 'user=*'), (6, 'status=200'), (7, 'status=200.0'), (8, 'http.method=GET'),
	(9, 'http.peer.ip=10.0.0.1'), (10, 'a.b.c=1.5'), (11, 'retry=true'), (12, 'cause=null'), (13, 'tags=net'), (14, 'tags=*'), (15, '-user=*'), (16, 'connection -user=*'), (17, 'http=*'), (18, 'http=GET'),
	(19, 'user=bob OR reopened'), (20, 'nokey=1'), (21, 'user='), (22, '"user=bob"')) v (n, q) ORDER BY n;
-- VPS, application, level in any case, or a level and above.
SELECT pg_temp.found('connection', 'web-2'), pg_temp.found(NULL, 'web-1', 'shop'), pg_temp.found(NULL, NULL, 'api'), pg_temp.found(NULL, NULL, 'API') AS none;
SELECT l, pg_temp.found(NULL, level => l) FROM unnest('{info,Error,WARNING,warn,warning+,error+,critical+,trace+,nolevel,emergency+}'::text[]) l;
SELECT pg_temp.found('-refused', 'web-2', 'api', 'debug+'), pg_temp.found('x', 'no such') AS none;
-- Range: from is included, to is not.
SELECT id FROM observ.search_logs(NULL, "from" => '2033-03-10 12:00:02+00', "to" => '2033-03-10 12:00:03+00');
SELECT count(*) FROM observ.search_logs(NULL, "from" => '2033-03-11+00', "to" => '2033-03-10+00');
SELECT count(*) FROM observ.search_logs(NULL, "from" => 'infinity');
SELECT id, "timestamp", vps_name, app_name, level, message, context, logger, source FROM observ.search_logs('orders');
-- Pages: newest first, of one time the highest id first.
SELECT id, cursor FROM observ.search_logs(NULL, "from" => '2033-03-10+00', "to" => '2033-03-12+00', "limit" => 2);
SELECT id FROM observ.search_logs(NULL, "from" => '2033-03-10+00', "limit" => 2, after => '0003b897177136c0-0000000000000004');
SELECT id FROM observ.search_logs(NULL, "from" => '2033-03-10+00', vps => 'web-2', after => '0003b897177136c0-0000000000000004');
SELECT count(*) FROM observ.search_logs(NULL, "limit" => 0);
-- What can't be meant.
SELECT * FROM observ.search_logs('!!! --');
SELECT * FROM observ.search_logs(repeat('x ', 4000));
SELECT * FROM observ.search_logs(repeat('x', 10000));
SELECT * FROM observ.search_logs('"' || repeat('x ', 100) || '"');
SELECT * FROM observ.search_logs('x', after => 'yesterday');
SELECT * FROM observ.search_logs('x', after => 'ffffffffffffffff-ffffffffffffffffx');
SELECT * FROM observ.search_logs('x', "limit" => -1);
SELECT * FROM observ.search_logs('x', level => 'strange+');

-- Every way through a partition finds the same: 8,000 entries, words of all frequencies, ties, some that are common in old entries only.
INSERT INTO observ.log_entries (id, "timestamp", vps_name, app_name, level, message, context)
SELECT 1000 + n, '2033-03-12 00:00+00'::timestamptz + n / 4 * interval '8 s', 'vps' || n % 7, 'app' || n % 3,
	(ARRAY['debug', 'info', 'info', 'Info', 'WARN', 'error'])[1 + n * 7919 % 6],
	concat_ws(' ', 'all', CASE WHEN n % 2 = 0 THEN 'half' END, CASE WHEN n % 100 = 3 THEN 'middling' END, CASE WHEN n % 2000 = 77 THEN 'rare' END,
		CASE WHEN n < 5000 THEN 'past' END, CASE WHEN n > 7990 THEN 'fresh' END, CASE WHEN n <= 1000 THEN 'oldest' END, 'w' || n % 997),
	jsonb_build_object('n', n % 10)
FROM generate_series(1, 8000) n;
CREATE TEMP TABLE asked (query text, condition text, vps text, app text, level text);
INSERT INTO asked VALUES ('all', 'true'), ('half', 'message ~ ''\mhalf\M'''), ('middling', 'message ~ ''\mmiddling\M'''), ('rare', 'message ~ ''\mrare\M'''),
	('past', 'message ~ ''\mpast\M'''), ('fresh', 'message ~ ''\mfresh\M'''), ('half middling', 'false'), ('past -half', 'message ~ ''\mpast\M'' AND message !~ ''\mhalf\M'''),
	('rare OR middling', 'message ~ ''\m(rare|middling)\M'''), ('oldest', 'message ~ ''\moldest\M'''), ('n=7 past', 'message ~ ''\mpast\M'' AND context->>''n'' = ''7'''), ('w5*', 'message ~ ''\mw5'''),
	('"all half"', 'message ~ ''\mall half\M'''), ('-all', 'false'), (NULL, 'true'), ('nothing', 'false');
CREATE TEMP TABLE narrowed (vps text, app text, level text, condition text);
INSERT INTO narrowed VALUES (NULL, NULL, NULL, 'true'), ('vps3', NULL, NULL, 'vps_name = ''vps3'''), (NULL, 'app1', NULL, 'app_name = ''app1'''), (NULL, NULL, 'warn+', 'lower(level) IN (''warn'', ''error'')'),
	('vps3', 'app1', 'info', 'vps_name = ''vps3'' AND app_name = ''app1'' AND lower(level) = ''info''');
CREATE TEMP TABLE wanted (query text, vps text, app text, level text, ids bigint[]);
DO $$ DECLARE one record; BEGIN
	FOR one IN SELECT a.query, n.vps, n.app, n.level, a.condition, n.condition AS narrow FROM asked a CROSS JOIN narrowed n LOOP
		EXECUTE format('INSERT INTO wanted SELECT $1, $2, $3, $4, array_agg(id ORDER BY "timestamp" DESC, id DESC) FROM observ.log_entries WHERE "timestamp" >= ''2033-03-12+00'' AND (%s) AND (%s)', one.condition, one.narrow)
			USING one.query, one.vps, one.app, one.level;
	END LOOP;
END $$;
-- Three pages of 3, of 100 and of 1,500 entries of each.
CREATE FUNCTION pg_temp.compare() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	one record; page bigint[]; pages bigint[]; last text; compared int := 0; entries bigint := 0;
BEGIN
	FOR one IN SELECT w.*, size FROM wanted w CROSS JOIN unnest('{3,100,1500}'::int[]) size LOOP
		pages := '{}'; last := NULL;
		FOR i IN 1..3 LOOP
			SELECT array_agg(s.id ORDER BY n), (array_agg(s.cursor ORDER BY n DESC))[1] INTO page, last
				FROM observ.search_logs(one.query, one.vps, one.app, one.level, '2033-03-12+00', NULL, one.size, last) WITH ORDINALITY s (id, t, v, a, l, m, c, lo, so, cursor, n);
			pages := pages || page;
			EXIT WHEN last IS NULL;
		END LOOP;
		IF pages IS DISTINCT FROM coalesce(one.ids[1:one.size * 3], '{}') THEN
			RAISE WARNING '% % % % by %: found % entries instead of %', one.query, one.vps, one.app, one.level, one.size, cardinality(pages), cardinality(one.ids);
		END IF;
		compared := compared + 1; entries := entries + cardinality(pages);
	END LOOP;
	RETURN compared || ' searches, ' || entries || ' entries';
END $$;
SELECT pg_temp.compare();
VACUUM ANALYZE observ.log_entries;
SELECT pg_temp.compare();
SET work_mem = '64kB';
SET gin_fuzzy_search_limit = 3;
SELECT pg_temp.compare();
RESET work_mem;
RESET gin_fuzzy_search_limit;
-- Without their indexes partitions are still searched.
BEGIN;
DROP INDEX observ.log_entries_time_idx;
SELECT pg_temp.compare();
DROP INDEX observ.log_entries_message_idx;
SELECT pg_temp.found('connection'), pg_temp.found('conn*', level => 'error+');
ROLLBACK;
BEGIN;
DROP INDEX observ.log_entries_message_idx, observ.log_entries_vps_idx, observ.log_entries_brin_idx;
SELECT pg_temp.compare();
SELECT * FROM observ.log_histogram("from" => '2033-03-10 11:30+00', "to" => '2033-03-10 12:30+00', step => '30 min');
ROLLBACK;

-- Histogram: rows for levels that occur, 0 for none, NULL where there is no partition.
SELECT * FROM observ.log_histogram("from" => '2033-03-10 11:30+00', "to" => '2033-03-10 12:30+00', step => '30 min');
SELECT * FROM observ.log_histogram('connection', "from" => '2033-03-10 12:00:02+00', "to" => '2033-03-10 12:00:03+00', step => '1 s');
SELECT * FROM observ.log_histogram(level => 'ERROR', vps => 'web-1', "from" => '2033-03-10 12:00+00', "to" => '2033-03-10 12:10+00', step => '5 min');
SELECT * FROM observ.log_histogram(app => 'none', "from" => '2033-03-10 12:00+00', "to" => '2033-03-10 12:10+00', step => '5 min');
SELECT * FROM observ.log_histogram(level => 'fatal', "from" => '2033-02-01 00:00+00', "to" => '2033-02-01 00:02+00', step => '1 min');
SELECT count(*), min("timestamp"), max("timestamp") FROM observ.log_histogram("from" => '2033-03-10 00:10+00', "to" => '2033-03-11+00', level => 'x');
SELECT count(*) FROM observ.log_histogram("from" => '2033-03-10+00', "to" => '2033-03-10+00');
SELECT "timestamp" FROM observ.log_histogram("from" => '2033-03-10+00', "to" => '2033-03-10 01:00+00', step => '1 week', level => 'x');
SELECT * FROM observ.log_histogram(step => '1 month');
SELECT * FROM observ.log_histogram(step => '-1 s');
SELECT * FROM observ.log_histogram("from" => '-infinity');
SELECT * FROM observ.log_histogram("from" => '2033-01-01+00', "to" => '2033-03-01+00', step => '1 s');
SELECT * FROM observ.log_histogram(buckets => 0);

-- Context of an entry.
SELECT id, distance FROM observ.log_context(1000 + 4000, 3);
SELECT c.id, c.vps_name, c.app_name, c.source, distance FROM observ.log_context(2) c;
SELECT count(*) FROM observ.log_context(999999999);
SELECT count(*) FROM observ.log_context(2, -1);
SELECT count(*) FROM observ.log_context(4, 0);

-- The job: every entry is counted once. What arrived in the last half second it leaves to the next pass, so it is called until all are.
CREATE FUNCTION pg_temp.count_all() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	done record; entries bigint := 0; others bigint := 0; deadline timestamptz := clock_timestamp() + interval '60 s';
BEGIN
	LOOP
		SELECT * INTO done FROM observ.update_log_templates('2033-03-13+00');
		entries := entries + done.entries; others := others + done.others;
		EXIT WHEN (SELECT coalesce(sum(t.count), 0) FROM observ.log_templates t) = (SELECT count(*) FROM observ.log_entries) OR clock_timestamp() > deadline;
	END LOOP;
	RETURN format('%s: %s entries, %s others', done.status, entries, others);
END $$;
CREATE TEMP TABLE before AS SELECT * FROM observ.log_histogram("from" => '2033-03-10 00:02+00', "to" => '2033-03-13 00:03+00', step => '10 min');
SELECT split_part(pg_temp.count_all(), ',', 1) = 'ok: ' || count(*) || ' entries' AS all_counted FROM observ.log_entries;
SELECT entries, new_templates, trimmed, indexes_cleaned FROM observ.update_log_templates();
-- Counted or not, the histogram is the same.
SELECT count(*) > 100 AS rows, count(*) FILTER (WHERE a.count IS DISTINCT FROM b.count) AS different FROM before b
	FULL JOIN observ.log_histogram("from" => '2033-03-10 00:02+00', "to" => '2033-03-13 00:03+00', step => '10 min') a USING ("timestamp", level);
SELECT sum(a.count) = (SELECT count(*) FROM observ.log_entries WHERE app_name = 'app1') AS of_application FROM observ.log_histogram(app => 'app1', "from" => '2033-03-01+00', "to" => '2033-04-01+00', step => '1 day') a;
SELECT template, app_name, level, count, first_seen, last_seen, sample_message FROM observ.log_templates WHERE app_name IN ('shop', 'api') AND first_seen >= '2033-03-01' ORDER BY first_seen, template;
SELECT app_name, level, count FROM observ.log_templates WHERE template = 'all half <*>' ORDER BY 1, 2;
-- Late rows are counted where they belong, once.
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message) VALUES ('2033-03-10 12:00:00+00', 'web-1', 'shop', 'INFO', 'GET /api/v2/orders/999 HTTP/2 took 0.1 ms');
SELECT * FROM observ.log_histogram(level => 'info', "from" => '2033-03-10 12:00+00', "to" => '2033-03-10 12:10+00', step => '5 min');
SELECT pg_temp.count_all();
SELECT * FROM observ.log_histogram(level => 'info', "from" => '2033-03-10 12:00+00', "to" => '2033-03-10 12:10+00', step => '5 min');
SELECT template, count, first_seen, last_seen, sample_message FROM observ.log_templates WHERE template LIKE 'GET%' AND first_seen >= '2033-03-01';
SELECT template, app_name, level, count, is_new FROM observ.log_patterns('2033-03-10 12:00+00', '2033-03-10 13:00+00') ORDER BY count DESC, template;
SELECT template, count, is_new FROM observ.log_patterns('2033-03-11+00', '2033-03-12+00', app => 'api', level => 'DEBUG');
-- More kinds than there may be: one template for the rest.
SET observ.log_templates_max = 100;
INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message)
	SELECT '2033-03-13 12:00:00+00', 'web-1', 'noisy', 'info', 'word ' || translate(n::text, '0123456789', 'ghijklmnop') FROM generate_series(1, 300) n;
SELECT pg_temp.count_all() ~ '^ok: 300 entries, [0-9]+ others$' AS counted;
SELECT count(*) <= 101 AS bounded FROM observ.log_templates;
SELECT app_name, level, template, count > 0 AS counted FROM observ.log_templates WHERE fingerprint = 0;
RESET observ.log_templates_max;
-- Counts go with their partition.
SELECT count(*) > 0 AS before FROM observ.log_counts WHERE "timestamp" < '2033-03-11+00';
DO $$ DECLARE p record; BEGIN
	FOR p IN SELECT inhrelid::regclass AS name FROM pg_inherits WHERE inhparent = 'observ.log_entries'::regclass AND inhrelid::regclass::text < 'observ_data.log_entries_20330311' LOOP
		EXECUTE format('DROP TABLE %s', p.name);
	END LOOP;
END $$;
SELECT trimmed > 0 AS trimmed FROM observ.update_log_templates();
SELECT count(*) FROM observ.log_counts WHERE "timestamp" < '2033-03-11+00';
SELECT count(*) FROM observ.log_templates WHERE last_seen < '2033-03-11+00';
SELECT entries, trimmed FROM observ.update_log_templates();

-- Readers call, agents don't.
CREATE ROLE observ_regress_log_reader IN ROLE observ_reader;
CREATE ROLE observ_regress_log_agent IN ROLE observ_agent;
CREATE ROLE observ_regress_log_writer IN ROLE observ_writer;
SET ROLE observ_regress_log_reader;
SELECT id FROM observ.search_logs('reopened', "from" => '2033-03-01+00');
SELECT sum(count) FROM observ.log_histogram('reopened', "from" => '2033-03-11+00', "to" => '2033-03-12+00');
SELECT sum(count) > 0 AS counted FROM observ.log_histogram("from" => '2033-03-11+00', "to" => '2033-03-12+00', step => '1 h');
SELECT id, distance FROM observ.log_context(5);
SELECT count(*) > 0 AS patterns FROM observ.log_patterns('2033-03-11+00');
SELECT * FROM observ.update_log_templates();
SET ROLE observ_regress_log_writer;
INSERT INTO observ.log_entries ("timestamp", vps_name, message) VALUES ('2033-03-13 00:00:00+00', 'web-1', 'written');
SELECT * FROM observ.search_logs('written');
SET ROLE observ_regress_log_agent;
SELECT * FROM observ.search_logs('x');
SELECT * FROM observ.log_histogram();
SELECT * FROM observ.log_context(1);
RESET ROLE;
DROP ROLE observ_regress_log_reader;
DROP ROLE observ_regress_log_agent;
DROP ROLE observ_regress_log_writer;
