"""Who may do what: each role against each object (expected/privileges.txt), and what an agent's role can't do whatever it tries.

OBSERV_UPDATE_EXPECTED=1 writes the expected file anew; read the difference before committing it.
"""

import json
import os
import pathlib

import pytest
from psycopg import errors

SERVER = {"settings": {"max_locks_per_transaction": "128"}}
EXPECTED = pathlib.Path(__file__).parent / "expected" / "privileges.txt"

# A role of each kind, as people have them: members, not the group roles themselves. `nobody` has no role of observ.
ROLES = ["nobody", "reader", "writer", "agent", "operator", "admin"]

# Rights that count: those on an object in a schema that the role can't use are none.
MATRIX = {
    "schema": """
        SELECT n.nspname, r.name, p.p FROM pg_namespace n, roles r, (VALUES ('USAGE'), ('CREATE')) p (p)
        WHERE n.nspname IN ('observ', 'observ_data') AND has_schema_privilege(r.name, n.oid, p.p)""",
    "function": """
        SELECT p.oid::regprocedure::text || CASE WHEN p.prosecdef THEN ' SECURITY DEFINER' ELSE '' END, r.name, 'EXECUTE'
        FROM pg_proc p, roles r WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)
            AND has_function_privilege(r.name, p.oid, 'EXECUTE') AND has_schema_privilege(r.name, p.pronamespace, 'USAGE')""",
    "table": """
        SELECT c.name, r.name, p.p FROM tables c, roles r,
            (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (p)
        WHERE has_table_privilege(r.name, c.oid, p.p) AND has_schema_privilege(r.name, c.relnamespace, 'USAGE')""",
    "columns": """
        SELECT c.name, r.name, p.p || '(' || string_agg(a.attname, ' ' ORDER BY a.attnum) || ')' FROM tables c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped, roles r,
            (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('REFERENCES')) p (p)
        WHERE has_column_privilege(r.name, c.oid, a.attnum, p.p) AND NOT has_table_privilege(r.name, c.oid, p.p)
            AND has_schema_privilege(r.name, c.relnamespace, 'USAGE') GROUP BY c.name, r.name, p.p""",
    "sequence": """
        SELECT c.oid::regclass::text, r.name, p.p FROM pg_class c, roles r, (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) p (p)
        WHERE c.relkind = 'S' AND c.relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)
            AND has_sequence_privilege(r.name, c.oid, p.p) AND has_schema_privilege(r.name, c.relnamespace, 'USAGE')""",
    "type": """
        SELECT t.oid::regtype::text, r.name, 'USAGE' FROM pg_type t, roles r WHERE t.typtype IN ('e', 'd')
            AND t.typnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) AND has_type_privilege(r.name, t.oid, 'USAGE')""",
}
# Leaves under one name: which there are depends on the day.
WITH = """
    WITH roles AS (SELECT unnest(%s::text[]) AS name),
    tables AS (SELECT c.oid, c.relnamespace, CASE WHEN c.relispartition THEN 'partitions' ELSE c.oid::regclass::text END AS name
        FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace))
    SELECT DISTINCT * FROM ({}) AS m (object, role, right_) ORDER BY 1, 2, 3"""
EVERYTHING = {
    "function": "SELECT p.oid::regprocedure::text || CASE WHEN p.prosecdef THEN ' SECURITY DEFINER' ELSE '' END FROM pg_proc p "
                "WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)",
    "table": "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition "
             "AND c.relnamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace) UNION SELECT 'partitions'",
}


@pytest.fixture(scope="module")
def db(server):
    """A database with two agents, a VPS of each, a retired one, and rows."""
    name = server.create_database("rights", extension=True)
    server.psql(name, script="""
        CREATE ROLE nobody LOGIN;
        CREATE ROLE reader LOGIN IN ROLE observ_reader;
        CREATE ROLE writer LOGIN IN ROLE observ_writer;
        CREATE ROLE operator LOGIN IN ROLE observ_operator;
        CREATE ROLE admin LOGIN IN ROLE observ_admin;
        SELECT observ.enroll_vps('mine', 'agent');
        SELECT observ.enroll_vps('also-mine', 'agent');
        SELECT observ.enroll_vps('gone', 'agent');
        UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'gone';
        SELECT observ.enroll_vps('theirs', 'other_agent');
        INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('mine', 1), ('theirs', 2);
        SELECT accepted FROM observ.begin_batch('their-agent', 5, now(), 'theirs');
        SELECT accepted FROM observ.begin_batch('my-agent', 5, now(), 'mine');""")
    return name


def test_matrix_of_roles_and_objects(server, db):
    rights = {}
    for kind, query in EVERYTHING.items():
        for (name,) in server.sql(db, query):
            rights.setdefault(f"{kind} {name}", {})
    for kind, query in MATRIX.items():
        for name, role, right in server.sql(db, WITH.format(query), (ROLES,)):
            rights.setdefault(f"{'table' if kind == 'columns' else kind} {name}", {}).setdefault(role, []).append(right)
    lines = []
    for name, by_role in sorted(rights.items()):
        lines.append(name)
        lines += [f"    {role}: {', '.join(sorted(by_role[role]))}" for role in ROLES if role in by_role]
    actual = "\n".join(lines) + "\n"
    if os.environ.get("OBSERV_UPDATE_EXPECTED") == "1":
        EXPECTED.write_text(actual, encoding="utf-8")
    assert actual.splitlines() == EXPECTED.read_text(encoding="utf-8").splitlines()


def test_every_function_pins_its_search_path_and_definers_are_few(server, db):
    functions = "FROM pg_proc p WHERE p.pronamespace IN ('observ'::regnamespace, 'observ_data'::regnamespace)"
    # The expression of an index is called for every log entry; it is C, looks nothing up, and a SET would cost more than it does.
    assert server.sql(db, f"SELECT p.oid::regprocedure::text {functions} AND NOT "
                          "coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)") == [("observ_data._log_vector(text,text,text)",)]
    # docs/security.md says why each of these exists.
    assert server.sql(db, f"SELECT p.oid::regprocedure::text {functions} AND p.prosecdef ORDER BY 1") == [
        ("observ_data._may_write_agent(text,name)",), ("observ_data._vps_of(name)",)]


def test_views_do_not_read_for_others(server, db):
    """A view runs with its owner's rights: none may show what its reader may not see (tables have their own policies)."""
    views = [v for (v,) in server.sql(db, "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'v' AND relnamespace = 'observ'::regnamespace")]
    for view in views:
        for role in ("nobody", "agent", "writer"):
            with pytest.raises(errors.InsufficientPrivilege):
                server.sql(db, f"SELECT * FROM {view}", user=role)
        server.sql(db, f"SELECT * FROM {view}", user="reader")


def refuse(server, db, statement, error=errors.InsufficientPrivilege, user="agent"):
    with pytest.raises(error) as refused:
        server.sql(db, statement, user=user)
    return refused.value.diag


AGENT_MAY = [
    "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent) VALUES ('mine', 'a', 1)",
    "INSERT INTO observ.vps_metrics (timestamp, vps_name) SELECT * FROM unnest(ARRAY[now(), now()], ARRAY['mine', 'also-mine']) ON CONFLICT DO NOTHING",
    "INSERT INTO observ.health_checks (vps_name, url, success) VALUES ('mine', 'u', true)",
    "INSERT INTO observ.log_entries (vps_name, message) VALUES ('mine', 'm')",
    "INSERT INTO observ.events (vps_name, kind) VALUES ('mine', 'k')",
    "INSERT INTO observ.quarantine (vps_name, reason) VALUES ('mine', 'r')",
    "SELECT * FROM observ.begin_batch('my-agent', 6, now(), 'mine')",
    "SELECT * FROM observ.begin_batch('my-second-agent', 1, now(), 'also-mine')",
    "SELECT observ.version()",
]


@pytest.mark.parametrize("statement", AGENT_MAY)
def test_an_agent_may(server, db, statement):
    server.sql(db, statement, user="agent")


# Tables with what an insert needs besides vps_name.
RAW = {"vps_metrics": ("", ""), "health_checks": (", url, success", ", 'u', true"), "log_entries": (", message", ", 'm'"),
       "events": (", kind", ", 'k'"), "quarantine": (", reason", ", 'r'")}


@pytest.mark.parametrize("table", RAW)
def test_an_agent_writes_rows_of_its_own_vps_only(server, db, table):
    columns, values = RAW[table]
    for vps in ("'theirs'", "'gone'", "'never-heard-of'", "''"):
        said = refuse(server, db, f"INSERT INTO observ.{table} (vps_name{columns}) VALUES ({vps}{values})")
        assert "row-level security" in said.message_primary
    # One row of another VPS among good ones takes the whole statement with it.
    before = server.value(db, f"SELECT count(*) FROM observ.{table}")
    refuse(server, db, f"INSERT INTO observ.{table} (vps_name{columns}) VALUES ('mine'{values}), ('theirs'{values})")
    assert server.value(db, f"SELECT count(*) FROM observ.{table}") == before
    # What the database says of a row is not the agent's to set.
    refuse(server, db, f"INSERT INTO observ.{table} (id, vps_name{columns}) VALUES (1, 'mine'{values})")
    if table not in ("log_entries", "events"):
        refuse(server, db, f"INSERT INTO observ.{table} (received_at, vps_name{columns}) VALUES (now(), 'mine'{values})")


@pytest.mark.parametrize("table", [*RAW, "vps", "collectors", "fleet_summary", "layout_version", "job_runs", "job_status", "peers",
                                   "vps_addresses"])
def test_an_agent_reads_and_changes_nothing(server, db, table):
    for statement in (f"SELECT * FROM observ.{table}", f"SELECT count(*) FROM observ.{table}", f"TABLE observ.{table}",
                      f"UPDATE observ.{table} SET vps_name = 'mine'", f"DELETE FROM observ.{table}",
                      f"TRUNCATE observ.{table}", f"DO $$ BEGIN LOCK TABLE observ.{table} IN SHARE MODE; END $$", f"DROP TABLE observ.{table}",
                      f"ALTER TABLE observ.{table} DISABLE ROW LEVEL SECURITY"):
        if "vps_name" in statement and table in ("layout_version", "job_runs", "job_status"):
            continue
        refuse(server, db, statement, (errors.InsufficientPrivilege, errors.WrongObjectType, errors.ObjectNotInPrerequisiteState))
    if table in RAW:
        columns, values = RAW[table]
        refuse(server, db, f"INSERT INTO observ.{table} (vps_name{columns}) VALUES ('mine'{values}) RETURNING vps_name")


def test_an_agent_does_not_reach_partitions(server, db):
    # One session: a role of enroll_vps() may have two, and they end a moment after their clients have left.
    with server.connect(db, user="agent") as conn:
        for leaf, in server.sql(db, "SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY 1 LIMIT 40"):
            for statement in (f"INSERT INTO {leaf} (vps_name) VALUES ('theirs')", f"SELECT * FROM {leaf}"):
                with pytest.raises(errors.InsufficientPrivilege):
                    conn.execute(statement)
    refuse(server, db, "SELECT * FROM observ_data.health_latest")
    refuse(server, db, "CREATE TABLE observ.trap (n int)")
    refuse(server, db, "CREATE TABLE observ_data.trap (n int)")
    refuse(server, db, "SELECT observ_data._vps_of('other_agent')")
    refuse(server, db, "SELECT observ_data._may_write_agent('their-agent', 'other_agent')")


def test_an_agent_keeps_notes_of_its_own_only(server, db):
    """observ.log_positions and observ.sample_shapes: the tables that agents read."""
    server.sql(db, "SELECT observ._set_log_positions('their-agent', ARRAY['/var/log/theirs'], ARRAY['1'])")
    with server.connect(db, user="agent") as conn:
        conn.execute("SELECT observ._set_log_positions('my-agent', ARRAY['/a', '/b', '/a', '/c', '/b'], ARRAY['1', '1', '2', '1', NULL])")
        assert conn.execute("SELECT agent_id, file, state FROM observ.log_positions ORDER BY 2").fetchall() == [
            ("my-agent", "/a", "2"), ("my-agent", "/c", "1")]
        conn.execute("DELETE FROM observ.log_positions WHERE agent_id = 'their-agent'")
        conn.execute("UPDATE observ.log_positions SET state = 'x' WHERE agent_id = 'their-agent'")
        conn.commit()
    assert server.value(db, "SELECT state FROM observ.log_positions WHERE agent_id = 'their-agent'") == "1"
    refuse(server, db, "SELECT observ._set_log_positions('their-agent', ARRAY['/x'], ARRAY['1'])")
    refuse(server, db, "SELECT observ._set_log_positions('nobody', ARRAY['/x'], ARRAY['1'])")
    refuse(server, db, "UPDATE observ.log_positions SET agent_id = 'their-agent'")
    server.sql(db, "DELETE FROM observ.log_positions")


def test_an_agent_uses_shapes_of_its_own_vps_only(server, db):
    keep = "SELECT observ._keep_shapes('{}', 'shop', ARRAY[7], ARRAY['{{a}}'], ARRAY['{{\"{{}}\"}}'], ARRAY[NULL])"
    own, other = "mine", "theirs"
    server.sql(db, keep.format(other))
    put = ("SELECT observ._put('my-shapes', {}, 1000000 * extract(epoch FROM now())::bigint, '{}', 'shop', '1.0', 60000, NULL, ARRAY['{{4,0,7,{}}}'])")
    with server.connect(db, user="agent") as conn:
        assert conn.execute(put.format(1, own, 1)).fetchone() == (None,)
        conn.execute(keep.format(own))
        assert conn.execute(put.format(1, own, 1)).fetchone()[0][0] == 1
        assert conn.execute("SELECT DISTINCT vps_name FROM observ.sample_shapes").fetchall() == [(own,)]
        conn.execute("DELETE FROM observ.sample_shapes WHERE vps_name = %s", (other,))
    assert server.value(db, "SELECT count(*) FROM observ.sample_shapes WHERE vps_name = %s", (other,)) == 1
    refuse(server, db, keep.format(other))
    refuse(server, db, f"SELECT observ._put('my-shapes', 2, 1, '{other}', 'shop', '1.0', 60000, NULL, ARRAY[]::text[])")
    refuse(server, db, f"UPDATE observ.sample_shapes SET vps_name = '{other}'")
    server.sql(db, "DELETE FROM observ.sample_shapes")


def test_an_agent_speaks_for_its_own_vps_only(server, db):
    def seq_of(agent):
        return server.value(db, "SELECT last_seq FROM observ.collectors WHERE agent_id = %s", (agent,))

    said = refuse(server, db, "SELECT * FROM observ.begin_batch('my-agent', 100, now(), 'theirs')")
    assert "theirs" in said.message_primary and "observ.enroll_vps" in said.message_hint
    refuse(server, db, "SELECT * FROM observ.begin_batch('my-agent', 100, now(), 'gone')")
    refuse(server, db, "SELECT * FROM observ.begin_batch('my-agent', 100, now(), NULL)", errors.NullValueNotAllowed)
    assert seq_of("my-agent") in (5, 6)
    # Another VPS's identity under one's own VPS would swallow its batches.
    said = refuse(server, db, "SELECT * FROM observ.begin_batch('their-agent', 100, now(), 'mine')")
    assert said.message_hint
    assert seq_of("their-agent") == 5
    # A greeting is refused alike: it would show where the other one is.
    refuse(server, db, "SELECT * FROM observ.begin_batch('their-agent', 0, now(), 'mine')")


ADMIN_CALLS = ["observ.maintain_partitions()", "observ.refresh_fleet_summary()", "observ.pause()", "observ.resume()",
               "observ.enroll_vps('theirs', 'agent')", "observ.forget('theirs')", "observ.boost('mine')", "observ.fleet_summary()",
               "observ.status()", "observ.start_workers()", "observ.stop_workers()", "observ.reset_job('refresh_fleet_summary')",
               "observ.use_pg_cron()", "observ.use_bgworker()", "observ.agents()", "observ.agent_overview()", "observ.topology()",
               "observ.performance_trends()", "observ_data._pg_cron_jobs()", "observ_data._jobs()", "observ_data._create_roles()", "observ_data._finish_install()"]


# What each role may do in alerting; those after it in the list may, too.
ALERTING = {
    "reader": ["SELECT * FROM observ.alerts", "SELECT * FROM observ.alert_rules", "SELECT * FROM observ.rule_status", "SELECT * FROM observ.alert_history",
               "SELECT * FROM observ.active_silences", "SELECT * FROM observ.silence_audit", "SELECT * FROM observ.notifications",
               "SELECT * FROM observ.notification_decisions", "SELECT * FROM observ.alert_metrics()", "SELECT * FROM observ.default_rules()",
               "SELECT * FROM observ.explain_alert('hot')", "SELECT * FROM observ.explain_alert((SELECT min(alert_id) FROM observ.alerts))",
               "SELECT * FROM observ.explain_route('{}')", "SELECT * FROM observ.explain_timing('root')", "SELECT * FROM observ.suppressed_alerts()",
               "SELECT * FROM observ.preview_silence('{alertname=\"hot\"}')", "SELECT * FROM observ.backtest_rule('hot', now() - interval '5 minutes')",
               "SELECT * FROM observ.backtest_rule('{\"name\": \"x\", \"metric_name\": \"cpu_usage\", \"threshold\": 1}'::jsonb, now() - interval '5 minutes')"],
    "operator": ["SELECT observ.acknowledge_alert(alert_id), observ.unacknowledge_alert(alert_id), observ.resolve_alert(alert_id) "
                 "FROM observ.alerts WHERE status = 'firing'",
                 "SELECT observ.expire_silence(observ.silence('{alertname=\"cold\"}', '1 hour', 'c'))",
                 "SELECT observ.silence_alert(min(alert_id), '1 hour', 'c') FROM observ.alerts",
                 "INSERT INTO observ.silences (matchers, ends_at, comment) VALUES ('{a=\"b\"}', now() + interval '1 hour', 'c')"],
    "admin": ["SELECT observ.create_alert_rule('{\"name\": \"y\", \"metric_name\": \"cpu_usage\", \"threshold\": 1}')",
              "UPDATE observ.alert_rules SET threshold = 86 WHERE name = 'CpuHigh'", "SELECT observ.restore_default_rule('CpuHigh')",
              "INSERT INTO observ.routes (name, matchers) VALUES ('r', '{a=\"b\"}')", "INSERT INTO observ.notification_channels (name) VALUES ('c')",
              "INSERT INTO observ.time_intervals (name, times) VALUES ('t', '[{\"weekdays\": [\"monday\"]}]')",
              "INSERT INTO observ.escalations (name, after, channels) VALUES ('e', '1 hour', '{c}')",
              "INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers) VALUES ('i', '{a=\"b\"}', '{a=\"c\"}')",
              "SELECT * FROM observ.evaluate_alerts()", "SELECT * FROM observ.dispatch_notifications()"],
}


@pytest.fixture(scope="module")
def alerting(server, db):
    """An alert that fires."""
    server.sql(db, "INSERT INTO observ.alert_rules (name, query) VALUES ('hot', $$SELECT '{}'::jsonb AS labels, 1::float8 AS value, true AS breach$$)")
    server.sql(db, "SELECT * FROM observ.evaluate_alerts()")
    return db


@pytest.mark.parametrize("least,statement", [(role, s) for role, statements in ALERTING.items() for s in statements])
def test_who_may_do_what_in_alerting(server, alerting, least, statement):
    """Each statement as each role, undone. An agent can do nothing of it, nor can a writer."""
    allowed = list(ALERTING)[list(ALERTING).index(least):]
    for role in ("nobody", "agent", "writer", "reader", "operator", "admin"):
        with server.connect(alerting, role, autocommit=False) as conn:
            if role in allowed:
                conn.execute(statement)
            else:
                with pytest.raises(errors.InsufficientPrivilege):
                    conn.execute(statement)
            conn.rollback()


def test_a_query_runs_with_no_more_rights_than_who_entered_it(server, alerting):
    """A reader's backtest runs as the reader, an admin's rule as the admin, a superuser's as observ_rules."""
    query = "SELECT jsonb_build_object('who', current_user) AS labels, 1::float8 AS value, true AS breach"
    rule = json.dumps({"name": "who", "query": query})
    for role in ("reader", "operator", "admin"):
        assert server.value(alerting, "SELECT labels ->> 'who' FROM observ.backtest_rule(%s::jsonb, now() - interval '1 minute') WHERE kind = 'episode'",
                            (rule,), user=role) == role
    refuse(server, alerting, "SELECT * FROM observ.backtest_rule('" + json.dumps({"name": "x", "owner": "observ_owner", "query": "SELECT 1"}) +
           "'::jsonb, now() - interval '1 minute')", user="reader")
    for role, runs_as in (("admin", "admin"), ("postgres", "observ_rules")):
        with server.connect(alerting, role, autocommit=False) as conn:
            conn.execute("INSERT INTO observ.alert_rules (name, query) VALUES ('who', %s)", (query,))
            conn.execute("SELECT * FROM observ.evaluate_alerts()")
            assert conn.execute("SELECT a.identity ->> 'who' FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) "
                                "WHERE r.name = 'who'").fetchall() == [(runs_as,)]
            conn.rollback()


@pytest.mark.parametrize("call", ADMIN_CALLS)
def test_an_agent_and_a_writer_call_nothing_else(server, db, call):
    for role in ("agent", "writer", "nobody"):
        refuse(server, db, f"SELECT * FROM {call}", user=role)


def test_a_retired_vps_is_refused_and_let_in_again(server, db):
    server.sql(db, "SELECT observ.enroll_vps('comes-back', 'agent')")
    insert = "INSERT INTO observ.vps_metrics (vps_name) VALUES ('comes-back')"
    batch = "SELECT accepted FROM observ.begin_batch('back', {}, now(), 'comes-back')"
    server.sql(db, batch.format(1), user="agent")
    server.sql(db, insert, user="agent")
    server.sql(db, "UPDATE observ.vps SET status = 'retired' WHERE vps_name = 'comes-back'", user="admin")
    refuse(server, db, insert)
    refuse(server, db, batch.format(2))
    server.sql(db, "SELECT observ.enroll_vps('comes-back')")
    assert server.value(db, batch.format(2), user="agent") is True
    server.sql(db, insert, user="agent")


def test_a_policy_with_a_cheap_function_leaks_nothing(server, db):
    """Item 15: an agent that evaluates its own function over rows it may not see gets to see none."""
    server.psql(db, script="GRANT CREATE ON SCHEMA public TO agent, reader")
    server.sql(db, "CREATE FUNCTION public.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
                   "$$ BEGIN RAISE NOTICE 'leak %', $1; RETURN true; END $$", user="agent")
    said = []
    with server.connect(db, "agent") as conn:
        conn.add_notice_handler(lambda d: said.append(d.message_primary))
        for statement in ("SELECT * FROM observ.vps_metrics WHERE public.leak(vps_name)",
                          "INSERT INTO observ.vps_metrics (vps_name) SELECT 'mine' ON CONFLICT (vps_name, app_name, timestamp) "
                          "DO UPDATE SET cpu_percent = 1 WHERE public.leak(observ.vps_metrics.vps_name)"):
            with pytest.raises(errors.InsufficientPrivilege):
                conn.execute(statement)
    assert said == []


def test_each_role_does_its_work(server, db):
    """The roles are enough for what they are for, without a superuser."""
    for statement in ("SELECT * FROM observ.fleet_summary()", "SELECT * FROM observ.vps_metrics", "SELECT * FROM observ.vps",
                      "SELECT * FROM observ.agents()", "SELECT * FROM observ.agent_overview()", "SELECT * FROM observ.topology()",
                      "SELECT * FROM observ.performance_trends()", "SELECT * FROM observ.peers",
                      "SELECT * FROM observ.job_status", "SELECT * FROM observ.status()", "SELECT * FROM observ.quarantine"):
        for role in ("reader", "operator", "admin"):
            server.sql(db, statement, user=role)
    for statement in ("INSERT INTO observ.vps_metrics (vps_name) VALUES ('by-writer')",
                      "SELECT observ.record_event('deployed', 'by-writer')", "SELECT observ.record_peers('by-writer', '', '[]')",
                      "SELECT accepted FROM observ.begin_batch('gateway', 1, now(), 'by-writer')"):
        server.sql(db, statement, user="writer")
    refuse(server, db, "SELECT * FROM observ.vps_metrics", user="writer")
    refuse(server, db, "DELETE FROM observ.vps_metrics", user="operator")
    refuse(server, db, "UPDATE observ.vps SET agent_role = 'operator'", user="operator")
    server.sql(db, "SELECT observ.boost('mine')", user="operator")
    server.sql(db, "SELECT observ.forget('by-writer')", user="operator")
    for call in ("observ.maintain_partitions()", "observ.refresh_fleet_summary()", "observ.pause()", "observ.resume()",
                 "observ.enroll_vps('new', labels => '{}')", "observ.reset_job('refresh_fleet_summary')"):
        server.sql(db, f"SELECT * FROM {call}", user="admin")
    # Giving a role to an agent needs the right to grant roles, which observ does not hand out.
    refuse(server, db, "SELECT observ.enroll_vps('new', 'brand_new_agent')", user="admin")
    server.sql("postgres", "ALTER ROLE admin CREATEROLE")
    try:
        server.sql(db, "SELECT observ.enroll_vps('new', 'brand_new_agent')", user="admin")
        server.sql(db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('new')", user="brand_new_agent")
    finally:
        server.sql("postgres", "ALTER ROLE admin NOCREATEROLE")


def test_an_admin_is_no_superuser(server, db):
    """pause() and resume() write a setting of the database as superuser: nothing of the caller's runs in between."""
    for statement in (f"ALTER DATABASE {db} SET observ.armed = 'x'", "SET observ.armed = 'x'", "CREATE ROLE mine SUPERUSER",
                      "ALTER EXTENSION observ UPDATE", "DROP EXTENSION observ CASCADE"):
        refuse(server, db, statement, errors.InsufficientPrivilege, user="admin")
    server.psql("postgres", script="CREATE DATABASE \"odd \"\" '; DROP ROLE nobody; --\"")
    odd = "odd \" '; DROP ROLE nobody; --"
    server.sql(odd, "CREATE EXTENSION observ")
    server.sql(odd, "SELECT observ.pause()", user="admin")
    assert server.value(odd, "SELECT state FROM observ.status()") == "paused"
    server.sql(odd, "SELECT observ.resume()", user="admin")
    assert server.value(odd, "SELECT state FROM observ.status()") != "paused"
    assert server.value(odd, "SELECT current_user", user="nobody") == "nobody"
    server.sql("postgres", "DROP DATABASE \"odd \"\" '; DROP ROLE nobody; --\" WITH (FORCE)")
