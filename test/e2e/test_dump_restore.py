"""Dump and restore: whatever way a database with observ is copied, everything comes back, and the copy is paused.

docs/backup.md says the same in words. Each mode ends in the same checks (check_copy): nothing on stderr, equal catalog, equal
rows, paused until observ.resume(), then working.
"""

import re

import psycopg
import pytest

import harness
from snapshot import catalog, data, differences

# Alerts are evaluated when a test says so: sequences are in no snapshot, so they must stand still while one is compared.
SERVER = {"settings": {"max_locks_per_transaction": "256", "observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}
NEW_CLUSTER = {**SERVER, "new_identity": True}
BEGIN_BATCH = "SELECT * FROM observ.begin_batch('agent-1', {seq}, now(), 'web-1', 'shop')"

# A database as it is after a while: rows everywhere, and things that its users changed or added.
TEAM_TRIGGER = "CREATE FUNCTION team_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
RICH = """
    CREATE EXTENSION observ;
    SELECT observ.enroll_vps('web-1', 'agent_web_1', '{"env":"prod"}', '30 s');
    SELECT observ.enroll_vps('old-1', NULL, NULL, NULL);
    UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'old-1';
    SELECT accepted FROM observ.begin_batch('agent-1', 7, now(), 'web-1', 'shop', '1.0', 10000);
    INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent, memory_percent, interval_ms)
        SELECT now() - n * interval '17 minutes', 'web-' || n % 5, 'shop', n % 100, 'NaN', 10000 FROM generate_series(0, 500) n;
    INSERT INTO observ.health_checks (timestamp, vps_name, app_name, url, success)
        SELECT now() - n * interval '1 hour', 'web-1', 'shop', 'http://localhost/' || n % 3, n % 4 > 0 FROM generate_series(0, 100) n;
    INSERT INTO observ.log_entries (timestamp, vps_name, app_name, level, message, context)
        SELECT now() - n * interval '1 hour', 'web-1', 'shop', 'error', E'tab\\t \\\\N "quoted" ✓ ' || n, '{"k":"v"}'
        FROM generate_series(0, 100) n;
    INSERT INTO observ.events (vps_name, kind, data) VALUES ('web-1', 'deployed', '{"version":"2"}');
    INSERT INTO observ.quarantine (vps_name, table_name, reason, row) VALUES ('web-1', 'vps_metrics', 'too old', '{}');
    SELECT observ.refresh_fleet_summary();
    -- alerting: rules of their own and changed ones, one whose owner has left, routes, what keeps people from being told, an alert that people know of
    UPDATE observ.alert_rules SET threshold = 91.5 WHERE name = 'MemoryLow';
    DELETE FROM observ.alert_rules WHERE name = 'SwapHigh';
    INSERT INTO observ.alert_rules (name, query, severity, labels) VALUES ('TeamAlert',
        $q$SELECT jsonb_build_object('team', t) AS labels, 7::float8 AS value, true AS breach FROM unnest('{blue,red}'::text[]) t$q$, 'emergency', '{"kind":"copied"}');
    CREATE ROLE leaver;
    INSERT INTO observ.alert_rules (name, query, owner, enabled) VALUES ('LeftBehind', 'SELECT NULL::jsonb AS labels, 1::float8 AS value, false AS breach', 'leaver', false);
    DROP ROLE leaver;
    INSERT INTO observ.time_intervals (name, times) VALUES ('lunch', '[{"times": [{"start_time": "12:00", "end_time": "12:01"}]}]');
    INSERT INTO observ.routes (name, matchers, channels, group_by, group_wait, repeat_interval, mute_time_intervals)
        VALUES ('copied', '{kind="copied"}', '{chat}', '{team}', '0', '{10 h}', '{lunch}');
    INSERT INTO observ.routes (parent_id, name, matchers, mute_time_intervals) SELECT route_id, 'below', '{team="green"}', '{lunch}' FROM observ.routes WHERE name = 'copied';
    UPDATE observ.routes SET channels = '{default,mail}' WHERE parent_id IS NULL;
    UPDATE observ.routes SET active_time_intervals = NULL, mute_time_intervals = NULL WHERE name = 'copied';
    INSERT INTO observ.notification_channels (name, send_resolved) VALUES ('chat', false);
    SELECT observ.create_channel('{"name": "hook", "kind": "webhook", "url": "https://example.invalid/", "bearer_token": "s3cr3t", "fallback": "chat", "title_template": "{{ title }}"}');
    SELECT observ.create_channel('{"name": "a hook", "kind": "webhook", "url": "https://example.invalid/", "fallback": "hook"}');
    INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal) VALUES ('own', '{alertname="A"}', '{alertname="B"}', '{team}');
    INSERT INTO observ.escalations (name, matchers, after, channels) VALUES ('lead', '{kind="copied"}', '0', '{lead}'), ('boss', '{kind="copied"}', '5 h', '{boss}');
    SELECT observ.silence('{team="red"}', '5 h', 'known', confirm => true);
    SELECT observ.silence('{team="green"}', until => now() - interval '1 h', comment => 'was', starts_at => now() - interval '2 h', at => now() - interval '2 h');
    SELECT observ.plan_maintenance(now() - interval '2 days', now() - interval '1 day', 'web-2', name => 'was');
    SELECT observ.evaluate_alerts();
    SELECT observ.acknowledge_alert(alert_id, 'mine') FROM observ.alerts WHERE labels ->> 'team' = 'red';
    SELECT observ.dispatch_notifications();
    -- users change things
    ALTER TABLE observ.vps ADD COLUMN team text DEFAULT 'platform';
    COMMENT ON COLUMN observ.vps.team IS 'who to call';
    ALTER TABLE observ.vps_metrics ADD COLUMN gpu_percent real;
    CREATE INDEX sre_cpu_idx ON observ.vps_metrics (cpu_percent) WHERE cpu_percent > 90;
    CREATE INDEX sre_labels_idx ON observ.vps USING gin (labels);
    CREATE STATISTICS observ.sre_stats ON vps_name, app_name FROM observ.vps_metrics;
    ALTER TABLE observ.collectors SET (fillfactor = 40);
    ALTER TABLE observ.vps ALTER COLUMN labels SET STATISTICS 500;
    GRANT SELECT ON observ.vps, observ.vps_metrics TO sre;
    GRANT UPDATE (labels) ON observ.vps TO sre;
    GRANT EXECUTE ON FUNCTION observ.pause() TO sre;
    GRANT USAGE ON SCHEMA observ TO sre;
    CREATE POLICY sre_reads ON observ.vps_metrics FOR SELECT TO sre USING (vps_name LIKE 'web-%');
    CREATE TABLE team_notes (vps_name text COLLATE "C" REFERENCES observ.vps, note text, severity observ.severity);
    INSERT INTO team_notes VALUES ('web-1', 'reboot on Sundays', 'critical');
    CREATE VIEW team_view AS SELECT f.vps_name, f.status, n.note FROM observ.fleet_summary() f JOIN team_notes n USING (vps_name);
    {TEAM_TRIGGER};
    CREATE TRIGGER team_trigger BEFORE UPDATE ON observ.vps FOR EACH ROW EXECUTE FUNCTION team_trigger();
""".replace("{TEAM_TRIGGER}", TEAM_TRIGGER)


def make_rich(server, name):
    """A database with rows and with changes by its users."""
    server.sql("postgres", "DO $$ BEGIN CREATE ROLE sre; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    server.create_database(name)
    server.psql(name, script=RICH)
    # What a user does to one leaf survives as well.
    leaf = server.value(name, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'observ.events'::regclass LIMIT 1")
    server.sql(name, f"CREATE INDEX sre_leaf_idx ON {leaf} (success)")
    return name


@pytest.fixture(scope="module")
def source(server):
    """The database that every mode copies; its workers are at work."""
    name = make_rich(server, "rich")
    server.wait_for_worker("observ scheduler", name)
    return name


class Copying:
    """One copy being made: dumps that all show the same moment, and programs that must succeed in silence."""

    def __init__(self, server, source, target):
        self.server, self.source, self.target = server, source, target
        self.dir = server.dir
        self.conn = server.connect(source, autocommit=False)
        self.conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self.snapshot = self.conn.execute("SELECT pg_export_snapshot()").fetchone()[0]
        self.catalog, self.data = catalog(self.conn), data(self.conn)

    def run(self, program, *args):
        done = self.server.run(program, *args, check=False)
        assert (done.returncode, done.stderr) == (0, ""), f"{program} {args}"
        return done

    def dump(self, *options, name="dump"):
        path = self.dir / f"{self.target}.{name}"
        self.run("pg_dump", f"--snapshot={self.snapshot}", "-f", path, *options, self.source)
        return path

    def restore(self, path, *options):
        self.run("pg_restore", "-d", self.target, *options, path)

    def plain(self, path, *options):
        self.run("psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", self.target, *options, "-f", path)


def custom(copy):
    copy.restore(copy.dump("-Fc"))


def directory_four_jobs(copy):
    copy.restore(copy.dump("-Fd", "-j4"), "-j4")


def tar(copy):
    copy.restore(copy.dump("-Ft"))


def plain_through_psql(copy):
    copy.plain(copy.dump("-Fp"))


def plain_single_transaction(copy):
    copy.plain(copy.dump("-Fp"), "-1")


def plain_inserts(copy):
    copy.plain(copy.dump("-Fp", "--rows-per-insert=50", "--quote-all-identifiers"))


def single_transaction(copy):
    copy.restore(copy.dump("-Fc"), "-1")


def exit_on_error(copy):
    copy.restore(copy.dump("-Fc"), "-e")


def three_sections(copy):
    path = copy.dump("-Fc")
    for section in ("pre-data", "data", "post-data"):
        copy.restore(path, "-e", f"--section={section}")


def clean_into_empty(copy):
    copy.restore(copy.dump("-Fc"), "-e", "--clean", "--if-exists")


def clean_into_full(copy):
    copy.server.sql(copy.target, "CREATE EXTENSION observ")
    copy.server.sql(copy.target, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('other', 1)")
    copy.restore(copy.dump("-Fc"), "-e", "--clean", "--if-exists")


def clean_into_full_four_jobs(copy):
    copy.server.sql(copy.target, "CREATE EXTENSION observ")
    copy.restore(copy.dump("-Fd", "-j4"), "-j4", "-e", "--clean", "--if-exists")


def row_security_enabled(copy):
    """The one option that leaves row_security on in the session that restores."""
    copy.restore(copy.dump("-Fc"), "-e", "--enable-row-security")


def row_security_enabled_plain(copy):
    copy.plain(copy.dump("-Fp", "--enable-row-security"))


def clean_twice_in_one_transaction(copy):
    path = copy.dump("-Fc")
    copy.restore(path)
    copy.server.sql(copy.target, "SELECT observ.resume()")
    copy.restore(path, "-1", "--clean", "--if-exists")


def clean_plain(copy):
    path = copy.dump("-Fp", "--clean", "--if-exists")
    copy.plain(path)
    copy.plain(path)


def schema_then_data(copy):
    copy.restore(copy.dump("-Fc", "--schema-only"), "-e")
    copy.restore(copy.dump("-Fc", "--data-only", name="data"), "-e")


def schema_then_data_of_one_dump(copy):
    path = copy.dump("-Fc")
    copy.restore(path, "-e", "--schema-only")
    copy.restore(path, "-e", "--data-only", "-j4")


def schema_then_data_by_schema(copy):
    """The measurements first, the rest later: between the two, observ says what is missing."""
    copy.restore(copy.dump("-Fc", "--schema-only"), "-e")
    copy.restore(copy.dump("-Fc", "--data-only", "-n", "observ_data", name="leaves"), "-e")
    state, reason, hint = copy.server.sql(copy.target, "SELECT state, reason, hint FROM observ.status()")[0]
    assert state == "mismatch" and "observ.layout_version is empty" in reason and "restore" in hint.lower()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        copy.server.sql(copy.target, "SELECT observ.resume()")
    assert "observ.layout_version is empty" in refused.value.diag.message_detail
    copy.restore(copy.dump("-Fc", "--data-only", "-n", "observ", "-n", "public", name="rest"), "-e")


def only_observ(copy, *options):
    """Without what users have in other schemas; but a trigger of theirs on a table of observ needs its function."""
    copy.server.sql(copy.target, TEAM_TRIGGER)
    copy.restore(copy.dump("-Fc", "-e", "observ", "-n", "observ", "-n", "observ_data", *options), "-e")
    copy.catalog = {line for line in copy.catalog if not re.search("team_(notes|view)", line)}
    copy.data = {name: rows for name, rows in copy.data.items() if not name.startswith("team_")}


MODES = [custom, directory_four_jobs, tar, plain_through_psql, plain_single_transaction, plain_inserts, single_transaction,
         exit_on_error, three_sections, clean_into_empty, clean_into_full, clean_into_full_four_jobs,
         row_security_enabled, row_security_enabled_plain, clean_twice_in_one_transaction, clean_plain,
         schema_then_data, schema_then_data_of_one_dump, schema_then_data_by_schema]


def partitions(server, db):
    return server.value(db, "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")


def check_equal(server, db, before, rows):
    with server.connect(db, autocommit=False) as conn:
        assert differences(before, catalog(conn)) == ""
        assert data(conn) == rows


def check_paused(server, db):
    state, reason, hint = server.sql(db, "SELECT state, reason, hint FROM observ.status()")[0]
    assert (state, hint) == ("paused", "SELECT observ.resume()"), reason
    before = partitions(server, db)
    assert server.sql(db, "SELECT status, created FROM observ.maintain_partitions(now() + '30 days')") == [("paused", 0)]
    assert server.value(db, "SELECT status FROM observ.refresh_fleet_summary()") == "paused"
    assert partitions(server, db) == before
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        server.sql(db, BEGIN_BATCH.format(seq=8))
    assert refused.value.sqlstate == "55000" and "observ.resume()" in refused.value.diag.message_hint


EPISODES = "SELECT alert_id, labels ->> 'team', starts_at, acknowledged_by IS NOT NULL FROM observ.alerts WHERE labels ->> 'kind' = 'copied' ORDER BY 2"
TOLD = "SELECT channel, reason, title FROM observ.notifications WHERE group_labels ->> 'team' IS NOT NULL ORDER BY channel"


def check_alerting_is_paused(server, db):
    """Nobody is told of a copy."""
    assert server.value(db, "SELECT status FROM observ.evaluate_alerts(now() + interval '1 day')") == "paused"
    assert server.value(db, "SELECT status FROM observ.dispatch_notifications(now() + interval '1 day')") == "paused"
    assert server.sql(db, TOLD) == [("chat", "first notification", "[FIRING:1 (1 new)] team=blue"), ("lead", "escalation", "[FIRING:1 (1 new)] team=blue")]


def check_alerting_goes_on(server, db, before):
    """The same episodes, told by the same people; what was changed or deleted stays so."""
    harness.wait_until(lambda: server.value(db, "SELECT status FROM observ.evaluate_alerts()") == "ok", what="an evaluation of the copy")
    harness.wait_until(lambda: server.value(db, "SELECT status FROM observ.dispatch_notifications()") == "ok", what="a dispatch of the copy")
    assert server.sql(db, EPISODES) == before
    assert len(server.sql(db, TOLD)) == 2
    assert server.sql(db, "SELECT name, threshold, owner FROM observ.alert_rules WHERE name IN ('MemoryLow', 'SwapHigh', 'LeftBehind') ORDER BY 1") \
        == [("LeftBehind", None, "leaver"), ("MemoryLow", 91.5, "observ_owner")]
    assert server.sql(db, "SELECT comment, ends_at > now() FROM observ.silences ORDER BY 1") == [("known", True), ("was", False)]
    # What waited for the copy goes on in it: the end of the alert is told to who was told and wants to know.
    server.sql(db, "UPDATE observ.alert_rules SET enabled = false WHERE name = 'TeamAlert'")
    for at in ("'10 min'", "'20 min'"):
        for job in ("evaluate_alerts", "dispatch_notifications"):
            harness.wait_until(lambda: server.value(db, f"SELECT status FROM observ.{job}(now() + {at})") == "ok", what=f"{job} of the copy")
    assert server.sql(db, TOLD)[-1] == ("lead", "all alerts resolved", "[RESOLVED:1] team=blue")


def check_resumes(server, db):
    assert server.sql(db, "SELECT status, indexes_repaired FROM observ.resume()") == [("resumed", 0)]
    assert server.value(db, "SELECT state FROM observ.status()") != "paused"
    check_works(server, db)


def check_works(server, db):
    """Batches go on where they were, duplicates are refused, the summary moves, partitions are made."""
    assert server.sql(db, BEGIN_BATCH.format(seq=7))[0][:2] == (False, 7)
    assert server.sql(db, BEGIN_BATCH.format(seq=8))[0][:2] == (True, 8)
    insert = "INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent) " \
             "VALUES (date_trunc('second', now()), 'web-9', 'shop', 77)"
    with server.connect(db, autocommit=False) as conn:
        conn.execute(insert)
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute(insert)
    server.sql(db, insert)
    assert server.value(db, "SELECT status FROM observ.refresh_fleet_summary()") in ("ok", "busy")
    assert server.value(db, "SELECT status FROM observ.maintain_partitions(now() + '30 days')") in ("ok", "busy")


def check_amcheck(server, db):
    done = server.run("pg_amcheck", "--install-missing", "-d", db, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("mode", [*MODES, only_observ], ids=lambda mode: mode.__name__)
def test_everything_comes_back_and_the_copy_is_paused(server, source, fresh_db, mode):
    copy = Copying(server, source, fresh_db)
    with copy.conn:
        mode(copy)
    check_equal(server, fresh_db, copy.catalog, copy.data)
    check_paused(server, fresh_db)
    check_alerting_is_paused(server, fresh_db)
    episodes = server.sql(fresh_db, EPISODES)
    assert [row[1] for row in episodes] == ["blue", "red"] and episodes[1][3]
    check_resumes(server, fresh_db)
    check_alerting_goes_on(server, fresh_db, episodes)
    check_amcheck(server, fresh_db)


def test_without_owners_and_grants_it_works_for_superusers(server, source, fresh_db):
    """pg_restore -O -x, as hosted services like it: rows and indexes are there, rights are not."""
    copy = Copying(server, source, fresh_db)
    with copy.conn:
        path = copy.dump("-Fc")
    copy.restore(path, "-e", "--no-owner", "--no-privileges", "--no-comments")
    with server.connect(fresh_db, autocommit=False) as conn:
        assert data(conn) == copy.data
        assert {line for line in catalog(conn) if line.startswith("index")} == {line for line in copy.catalog if line.startswith("index")}
    check_paused(server, fresh_db)
    check_resumes(server, fresh_db)


def cluster_copy(server, source):
    """Catalog and rows of the source, while nothing writes."""
    with server.connect(source, autocommit=False) as conn:
        return catalog(conn), data(conn)


def test_dump_with_create_into_another_cluster(server, source, make_server):
    other = make_server(**NEW_CLUSTER)
    copy = Copying(server, source, "created")
    with copy.conn:
        path = copy.dump("-Fc", "--create")
        roles = copy.run("pg_dumpall", "--roles-only", "--no-role-passwords").stdout
    other.psql("postgres", script=roles.replace("CREATE ROLE postgres;", ""))
    done = other.run("pg_restore", "-e", "--create", "-d", "postgres", path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check_equal(other, source, copy.catalog, copy.data)
    check_paused(other, source)
    check_resumes(other, source)


def test_dump_with_create_under_the_same_name_in_the_same_cluster(server, make_server):
    """The dump carries the setting that arms the database; another oid makes it void."""
    db = make_rich(server, "comes_back")
    copy = Copying(server, db, "comes_back")
    with copy.conn:
        path = copy.dump("-Fc", "--create")
    server.drop_database(db)
    copy.target = "postgres"
    copy.restore(path, "-e", "--create")
    check_equal(server, db, copy.catalog, copy.data)
    check_paused(server, db)
    check_resumes(server, db)
    server.drop_database(db)


def test_dumpall_into_a_fresh_cluster(make_server):
    first = make_server(settings={**SERVER["settings"], "observ.refresh_fleet_summary_interval": "0"})
    make_rich(first, "rich")
    first.create_database("second", extension=True)
    first.psql("second", script="SELECT observ.pause()")
    before, rows = cluster_copy(first, "rich")
    path = first.dir / "all.sql"
    done = first.run("pg_dumpall", "-f", path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # pg_dumpall creates the role that the new cluster was made with, too.
    text = path.read_text(encoding="utf-8").replace("CREATE ROLE postgres;\n", "")
    other = make_server(**NEW_CLUSTER)
    done = other.run("psql", "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "-d", "postgres", check=False, input=text)
    assert (done.returncode, done.stderr) == (0, "")
    check_equal(other, "rich", before, rows)
    for db in ("rich", "second"):
        check_paused(other, db)
    check_resumes(other, "rich")
    assert other.value("second", "SELECT status FROM observ.resume()") == "resumed"


def inject_partition(server, db):
    """A partition made between two phases of a restore: it has no index, because its table has none yet."""
    server.psql(db, script="""
        SET search_path = observ_data, pg_catalog;
        CREATE TABLE observ_data.vps_metrics_injected (LIKE observ.vps_metrics INCLUDING ALL EXCLUDING IDENTITY);
        ALTER TABLE observ_data.vps_metrics_injected OWNER TO observ_owner;
        ALTER TABLE observ.vps_metrics ATTACH PARTITION observ_data.vps_metrics_injected
            FOR VALUES FROM ('2031-01-01 00:00:00+00') TO ('2031-01-02 00:00:00+00');""")


def restore_around_an_injection(server, source, db, between=""):
    copy = Copying(server, source, db)
    with copy.conn:
        path = copy.dump("-Fc")
    copy.restore(path, "-e", "--section=pre-data")
    copy.restore(path, "-e", "--section=data")
    inject_partition(server, db)
    server.psql(db, script=between)
    copy.restore(path, "-e", "--section=post-data")


KEY_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'observ.vps_metrics_key'::regclass"
INJECTED_ROW = "INSERT INTO observ.vps_metrics (timestamp, vps_name) VALUES ('2031-01-01 12:00+00', 'dup');"


def test_resume_repairs_a_partition_made_during_the_restore(server, source, fresh_db):
    restore_around_an_injection(server, source, fresh_db, INJECTED_ROW)
    assert server.value(fresh_db, KEY_VALID) is False
    assert server.value(fresh_db, "SELECT state FROM observ.status()") == "paused"
    # Two keys, one BRIN index, and the index of a user.
    assert server.sql(fresh_db, "SELECT status, indexes_repaired FROM observ.resume()") == [("resumed", 3)]
    assert server.value(fresh_db, KEY_VALID) is True
    assert server.sql(fresh_db, "SELECT 1 FROM pg_index WHERE NOT indisvalid") == []
    with pytest.raises(psycopg.errors.UniqueViolation):
        server.sql(fresh_db, INJECTED_ROW)
    check_works(server, fresh_db)
    check_amcheck(server, fresh_db)


def test_resume_refuses_duplicates_and_says_where_they_are(server, source, fresh_db):
    restore_around_an_injection(server, source, fresh_db, INJECTED_ROW * 2)
    before = partitions(server, fresh_db)
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        server.sql(fresh_db, "SELECT observ.resume()")
    said = refused.value.diag
    assert "is duplicated" in said.message_detail
    assert "observ_data.vps_metrics_injected" in said.context
    assert "observ_data.vps_metrics_injected" in said.message_hint and "observ.resume()" in said.message_hint
    check_paused(server, fresh_db)
    assert partitions(server, fresh_db) == before
    server.sql(fresh_db, "DELETE FROM observ_data.vps_metrics_injected a USING observ_data.vps_metrics_injected b "
                         "WHERE a.ctid > b.ctid AND (a.vps_name, a.app_name, a.timestamp) = (b.vps_name, b.app_name, b.timestamp)")
    assert server.sql(fresh_db, "SELECT status, indexes_repaired FROM observ.resume()") == [("resumed", 3)]
    check_works(server, fresh_db)


def test_resume_refuses_a_restore_that_stopped_before_the_indexes(server, source, fresh_db):
    copy = Copying(server, source, fresh_db)
    with copy.conn:
        path = copy.dump("-Fc")
    copy.restore(path, "-e", "--section=pre-data")
    copy.restore(path, "-e", "--section=data")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
        server.sql(fresh_db, "SELECT observ.resume()")
    assert "has no index" in refused.value.diag.message_primary and refused.value.diag.message_hint
    check_paused(server, fresh_db)
    copy.restore(path, "-e", "--section=post-data")
    check_resumes(server, fresh_db)


def test_template_copy_is_paused_and_the_original_is_not(server):
    db = make_rich(server, "original")
    server.create_database("by_template", template=db)
    server.create_database("by_file_copy")
    server.drop_database("by_file_copy")
    server.sql("postgres", f"CREATE DATABASE by_file_copy TEMPLATE {db} STRATEGY file_copy")
    for copy in ("by_template", "by_file_copy"):
        check_paused(server, copy)
        check_resumes(server, copy)
        check_amcheck(server, copy)
        server.drop_database(copy)
    check_works(server, db)
    server.drop_database(db)


def test_rename_owner_and_tablespace_do_not_pause(server):
    db = make_rich(server, "old_name")
    location = server.dir / "space"
    location.mkdir()
    harness.give_to_server(location)
    server.sql("postgres", "CREATE ROLE landlord")
    server.sql("postgres", f"CREATE TABLESPACE elsewhere LOCATION '{location}'")
    server.sql("postgres", f"ALTER DATABASE {db} RENAME TO new_name")
    server.sql("postgres", "ALTER DATABASE new_name SET TABLESPACE elsewhere")
    server.sql("postgres", "ALTER DATABASE new_name OWNER TO landlord")
    assert server.value("new_name", "SELECT state FROM observ.status()") != "paused"
    check_works(server, "new_name")
    server.drop_database("new_name")
    server.sql("postgres", "DROP TABLESPACE elsewhere")


def test_member_of_observ_admin_can_dump_everything(server, source, fresh_db):
    server.sql("postgres", "DROP ROLE IF EXISTS dba")
    server.sql("postgres", "CREATE ROLE dba LOGIN IN ROLE observ_admin")
    copy = Copying(server, source, fresh_db)
    with copy.conn:
        only_observ(copy, "-U", "dba")
    check_equal(server, fresh_db, copy.catalog, copy.data)
    check_paused(server, fresh_db)


def test_a_reader_that_dumps_is_told_which_right_is_missing(server, source):
    server.sql("postgres", "DROP ROLE IF EXISTS onlooker")
    server.sql("postgres", "CREATE ROLE onlooker LOGIN IN ROLE observ_reader")
    done = server.run("pg_dump", "-U", "onlooker", "-f", "/dev/null", "-n", "observ", "-n", "observ_data", source, check=False)
    assert done.returncode == 1
    assert "permission denied for schema observ_data" in done.stderr or "permission denied for table" in done.stderr


def test_restoring_over_a_live_database_pauses_it(server, source):
    """--clean replaces what was armed by a copy."""
    db = server.create_database("live", extension=True)
    assert server.value(db, "SELECT state FROM observ.status()") != "paused"
    copy = Copying(server, source, db)
    with copy.conn:
        clean_plain(copy)
    check_paused(server, db)
    check_resumes(server, db)
    server.drop_database(db)


def test_restoring_over_a_live_database_pauses_it_without_the_library_loaded(server, source, make_server):
    """Nothing of ours is there to see the DROP EXTENSION: what armed the database is still set when the dump brings its own."""
    plain = make_server(preload=False, **SERVER, name="not preloaded")
    plain.sql("postgres", "CREATE ROLE sre")
    plain.sql("postgres", "CREATE ROLE agent_web_1")
    db = plain.create_database("live", extension=True)
    copy = Copying(server, source, db)
    with copy.conn:
        path = copy.dump("-Fc")
    done = plain.run("pg_restore", "-e", "--clean", "--if-exists", "-d", db, path, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check_equal(plain, db, copy.catalog, copy.data)
    check_paused(plain, db)
    check_resumes(plain, db)
