-- Default rules: what is installed. And what the tests rules_<category> share: a database of their own, helpers, and a list of the rules that
-- have fired and cleared, which rules_restore looks at in the end.
SET client_min_messages = error;
DROP DATABASE IF EXISTS observ_rules WITH (FORCE);
CREATE DATABASE observ_rules;
\c observ_rules
SET client_min_messages = error;
CREATE EXTENSION observ;
RESET client_min_messages;

-- Every rule is there as it ships, belongs to nobody who can log in, and can be found by category.
SELECT state, count(*) >= 60 AS enough FROM observ.default_rules() GROUP BY 1;
SELECT owner, count(*) = (SELECT count(*) FROM observ.default_rules()) AS "all" FROM observ.alert_rules WHERE shipped_as IS NOT NULL GROUP BY 1;
SELECT category, count(*) FROM observ.alert_rules GROUP BY 1 ORDER BY 1;
SELECT count(*) AS unlike FROM observ.default_rules() d JOIN observ.alert_rules r USING (rule_id)
WHERE (d.name, d.category, d.severity) IS DISTINCT FROM (r.name, r.category, r.severity);
-- A person is told what it is, and what to do.
SELECT name FROM observ.alert_rules WHERE description IS NULL OR NOT annotations ?& '{summary,description,action}';
-- Queries are due by the minute or more rarely, but for the few that only look at a row or two.
SELECT name, evaluation_interval FROM observ.alert_rules WHERE source = 'query' AND coalesce(evaluation_interval, '0') < '1 minute' ORDER BY name;
-- What a definition leaves out is what the columns' defaults are.
CREATE TEMP TABLE bare (LIKE observ.alert_rules INCLUDING DEFAULTS);
ALTER TABLE bare ALTER COLUMN rule_id DROP NOT NULL;
INSERT INTO bare (name, source) VALUES ('bare', 'query');
SELECT observ_data._rule_definition(to_jsonb(b)) AS nothing_but_what_was_said FROM bare b;

-- Helpers. Minute 0 is a midnight long after now, so that nothing of the workers comes in between.
CREATE SCHEMA rt;
CREATE TABLE rt.covered (rule text PRIMARY KEY);
CREATE TABLE rt.labels (rule text, label text, PRIMARY KEY (rule, label));
CREATE FUNCTION rt.t(minute numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
	$$ SELECT '2032-06-16 00:00+00'::timestamptz + minute * interval '1 minute' $$;
CREATE FUNCTION rt.minute(at timestamptz) RETURNS numeric LANGUAGE sql IMMUTABLE AS
	$$ SELECT trim_scale(round(extract(epoch FROM at - rt.t(0)) / 60, 2)) $$;
-- Value of a step function at a minute: values[i] holds from starts[i] on.
CREATE FUNCTION rt.at(starts numeric[], "values" anyarray, minute numeric) RETURNS anyelement LANGUAGE sql IMMUTABLE AS
	$$ SELECT v FROM unnest(starts, "values") s (m, v) WHERE m <= minute ORDER BY m DESC LIMIT 1 $$;

CREATE FUNCTION rt.minutes(start numeric, stop numeric, step numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE AS
	$$ SELECT array_agg(m ORDER BY m) FROM generate_series(start, stop, step) m $$;
-- Values at these minutes of straight lines through points.
CREATE FUNCTION rt.line(minutes numeric[], xs numeric[], ys numeric[]) RETURNS float8[] LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg((a.y + (b.y - a.y) * (m - a.x) / (b.x - a.x))::float8 ORDER BY m) FROM unnest(minutes) m,
		LATERAL (SELECT x, y, i FROM unnest(xs[:cardinality(xs) - 1], ys) WITH ORDINALITY p (x, y, i) WHERE x <= m ORDER BY x DESC LIMIT 1) a,
		LATERAL (SELECT xs[a.i + 1] AS x, ys[a.i + 1] AS y) b $$;

-- Forgets everything, and leaves only these rules enabled.
CREATE PROCEDURE rt.begin(VARIADIC names text[]) LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM unnest(names) n WHERE n NOT IN (SELECT name FROM observ.alert_rules)) THEN
		RAISE EXCEPTION 'no such rule: %', (SELECT string_agg(n, ' ') FROM unnest(names) n WHERE n NOT IN (SELECT name FROM observ.alert_rules));
	END IF;
	TRUNCATE observ.vps, observ.vps_metrics, observ.health_checks, observ.log_entries, observ.metric_series, observ.metric_scrapes,
		observ.metric_usage, observ.events, observ.fleet_summary, observ.alerts, observ.alert_history, observ_data.rule_state,
		observ.metrics_5m, observ.metrics_1h, observ.health_5m, observ.health_1h, observ_data.rollup_dirty, observ.log_templates,
		observ.log_template_counts, observ.log_counts, observ.silences, observ.notifications, observ.notification_decisions, observ.quarantine;
	UPDATE observ_data.evaluation_state SET evaluated_at = '-infinity', dispatched_at = '-infinity';
	UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', seen_xid = NULL, seen_in = NULL;
	UPDATE observ_data.log_state SET horizon = '-infinity', trimmed_to = '-infinity';
	UPDATE observ_data.summary_state SET horizon = '-infinity', seen_until = '-infinity', future_until = '-infinity', reconciled_at = '-infinity', errors_at = '-infinity';
	UPDATE observ.alert_rules SET enabled = name = ANY (names) WHERE enabled <> (name = ANY (names));
END $$;
-- refresh: the fleet summary, too, which knows VPSs and applications that are silent.
CREATE PROCEDURE rt.run(start numeric, stop numeric, step numeric DEFAULT 1, refresh boolean DEFAULT false, tolerant boolean DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
	failed integer;
BEGIN
	FOR n IN 0 .. floor((stop - start) / step)::integer LOOP
		IF refresh THEN
			PERFORM observ.refresh_fleet_summary(rt.t(start + n * step));
		END IF;
		SELECT e.failed INTO failed FROM observ.evaluate_alerts(rt.t(start + n * step)) e;
		IF failed > 0 AND NOT tolerant THEN
			RAISE EXCEPTION 'failed: %', (SELECT string_agg(r.name || ': ' || r.last_error, E'\n') FROM observ.rule_status r WHERE r.last_error IS NOT NULL AND r.enabled);
		END IF;
		COMMIT;
	END LOOP;
END $$;
-- What became of it: minutes when an alert was pending, fired and was resolved, its value then, and what a person reads.
CREATE FUNCTION rt.story(OUT rule text, OUT about text, OUT pending numeric, OUT fired numeric, OUT resolved numeric, OUT severity observ.severity, OUT summary text)
	RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO rt.covered SELECT r.name FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id)
		WHERE a.starts_at IS NOT NULL AND a.status = 'resolved' AND a.resolved_reason = 'cleared' ON CONFLICT DO NOTHING;
	INSERT INTO rt.labels SELECT DISTINCT r.name, k FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id), jsonb_object_keys(a.identity) k ON CONFLICT DO NOTHING;
	RETURN QUERY SELECT r.name, i.identity, rt.minute(a.active_at), rt.minute(a.starts_at), rt.minute(a.ends_at), a.severity, a.summary
		FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id),
			LATERAL (SELECT string_agg(e.value, ' ' ORDER BY e.key = 'vps_name' DESC, e.key) FROM jsonb_each_text(a.identity) e) i (identity)
		ORDER BY r.rule_id, i.identity COLLATE "C", a.active_at;
END $$;

-- A column of observ.vps_metrics, a row a minute, of a VPS that has its name.
CREATE PROCEDURE rt.metric(metric text, starts numeric[], "values" float8[], stop numeric, vps text DEFAULT NULL, step numeric DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_cores, interval_ms, %I)
		SELECT rt.t(m), $1, '''', 1, 60000, rt.at($2, $3, m) FROM generate_series($4, $5, $6) m', metric)
		USING coalesce(vps, metric), starts, "values", starts[1], stop, step;
	INSERT INTO observ.vps (vps_name, enrolled_at) VALUES (coalesce(vps, metric), rt.t(-10000)) ON CONFLICT DO NOTHING;
END $$;
-- A labelled metric of VPS web-1, and a sign of life of that. Put in place by hand: what is written through observ.insert_samples() is not of the future.
CREATE PROCEDURE rt.samples(metric text, labels jsonb, minutes numeric[], "values" float8[], kind text DEFAULT 'gauge') LANGUAGE plpgsql AS $$
DECLARE
	place smallint := (SELECT 1 + count(*) FROM observ.metric_series);
BEGIN
	INSERT INTO observ.vps (vps_name, enrolled_at) VALUES ('web-1', rt.t(-10000)) ON CONFLICT DO NOTHING;
	INSERT INTO observ.metric_series (vps_name, series_id, app_name, metric_name, labels, kind, set_no, slot, first_seen, last_seen)
		SELECT 'web-1', place, 'shop', metric, labels, kind, 1, place, rt.t(min(m)), rt.t(max(m)) FROM unnest(minutes) m;
	INSERT INTO observ.metric_scrapes AS c ("timestamp", vps_name, app_name, set_no, "values")
		SELECT rt.t(m), 'web-1', 'shop', 1, array_fill(NULL::float8, ARRAY[place - 1]) || v FROM unnest(minutes, "values") s (m, v)
		ON CONFLICT (vps_name, app_name, set_no, "timestamp") DO UPDATE SET "values" = observ_data._merge_samples(c."values", excluded."values");
	INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, interval_ms)
		SELECT rt.t(m), 'web-1', 'shop', 60000 FROM generate_series((SELECT min(m) FROM unnest(minutes) m), (SELECT max(m) FROM unnest(minutes) m)) m ON CONFLICT DO NOTHING;
END $$;
CREATE PROCEDURE rt.sample(metric text, labels jsonb, starts numeric[], "values" float8[], stop numeric, step numeric DEFAULT 1, kind text DEFAULT 'gauge') LANGUAGE plpgsql AS $$
DECLARE
	minutes numeric[] := rt.minutes(starts[1], stop, step);
	held float8[] := (SELECT array_agg(rt.at(starts, "values", m) ORDER BY m) FROM unnest(minutes) m);
BEGIN
	CALL rt.samples(metric, labels, minutes, held, kind);
END $$;
-- Lines in the logs of web-1: so many at each of these minutes.
CREATE PROCEDURE rt.log(minutes numeric[], lines integer, source text, level text, message text) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO observ.vps (vps_name, enrolled_at) VALUES ('web-1', rt.t(-10000)) ON CONFLICT DO NOTHING;
	INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message, source, received_at)
		SELECT rt.t(m) - n * interval '1 millisecond', 'web-1', 'shop', level, message, source, now() - interval '1 minute' FROM unnest(minutes) m, generate_series(1, lines) n;
END $$;
-- A health check of web-1 (or another), every minute: ok, or the error that it fails with.
CREATE PROCEDURE rt.check(url text, starts numeric[], errors text[], stop numeric, vps text DEFAULT 'web-1', response_ms real DEFAULT 20, expires timestamptz DEFAULT NULL, step numeric DEFAULT 1) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO observ.vps (vps_name, enrolled_at) VALUES (vps, rt.t(-10000)) ON CONFLICT DO NOTHING;
	INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, error_message, inconclusive, response_time_ms, tls_expires_at)
		SELECT rt.t(m), vps, 'shop', url, e.error = 'ok', nullif(e.error, 'ok'), e.error = 'doubt', CASE WHEN e.error = 'ok' THEN response_ms END, expires
		FROM generate_series(starts[1], stop, step) m, LATERAL (SELECT rt.at(starts, errors, m)) e (error);
	INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, interval_ms) SELECT rt.t(m), vps, 'shop', 60000 FROM generate_series(starts[1], stop) m ON CONFLICT DO NOTHING;
END $$;
-- Partitions for the days that the tests play in.
SET observ.premake = '2d';
SET observ.late_window = '2d';
SELECT count(*) FROM unnest('{2032-05-20, 2032-05-24, 2032-05-28, 2032-06-01, 2032-06-05, 2032-06-09, 2032-06-13, 2032-06-17, 2032-06-21, 2032-06-24}'::timestamptz[]) t, observ.maintain_partitions(t) WHERE status = 'ok';
