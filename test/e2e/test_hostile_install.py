"""Installing among hostile or unlucky surroundings, and arguments and rows that nobody should send.

What belongs here: CREATE and DROP EXTENSION going wrong, names planted by others, edge values, versions that do not belong together.
Who may do what is in test_privileges.py.
"""

import itertools
import math

import psycopg
import pytest

from harness import wait_until
from snapshot import catalog, data, differences

SERVER = {"settings": {"max_locks_per_transaction": "128"}}
NO_TABLES = "SELECT count(*) FROM pg_class WHERE relnamespace IN (to_regnamespace('observ'), to_regnamespace('observ_data'))"


def everything(server, db):
    with server.connect(db, autocommit=False) as conn:
        return catalog(conn), data(conn)


def notices_of(server, db, *statements):
    """Runs the statements in one session; (severity, primary, detail, hint) of what the server remarked."""
    said = []
    with server.connect(db) as conn:
        conn.add_notice_handler(lambda d: said.append((d.severity, d.message_primary, d.message_detail, d.message_hint)))
        for statement in statements:
            conn.execute(statement)
    return said


# --- DROP EXTENSION -------------------------------------------------------------------------------------------------


def test_drop_without_cascade_refuses_and_deletes_nothing(server, observ_db):
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('a', 1)")
    server.sql(observ_db, "SELECT observ.pause()")
    before = everything(server, observ_db)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as refused:
        server.sql(observ_db, "DROP EXTENSION observ")
    assert "observ.vps_metrics" in refused.value.diag.message_detail
    assert everything(server, observ_db) == before
    with pytest.raises(psycopg.errors.DependentObjectsStillExist):
        server.sql(observ_db, "DROP SCHEMA observ")


def test_drop_cascade_takes_all_and_create_works_again(server, fresh_db):
    before = everything(server, fresh_db)
    for _ in range(3):
        server.sql(fresh_db, "CREATE EXTENSION observ")
        server.sql(fresh_db, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('a', 1)")
        assert server.value(fresh_db, "SELECT count(*) FROM observ.fleet_summary()") in (0, 1)
        server.sql(fresh_db, "DROP EXTENSION observ CASCADE")
        assert everything(server, fresh_db) == before
        assert server.value(fresh_db, NO_TABLES) == 0


def test_create_and_drop_and_create_in_one_session_and_one_transaction(server, fresh_db):
    with server.connect(fresh_db) as conn:
        for _ in range(3):
            conn.execute("CREATE EXTENSION observ")
            conn.execute("INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")
            conn.execute("SELECT * FROM observ.refresh_fleet_summary(reconcile => true)")
            conn.execute("DROP EXTENSION observ CASCADE")
        with conn.transaction():
            conn.execute("CREATE EXTENSION observ")
            conn.execute("DROP EXTENSION observ CASCADE")
            conn.execute("CREATE EXTENSION observ")
            conn.execute("INSERT INTO observ.vps_metrics (vps_name) VALUES ('b')")
            assert conn.execute("SELECT inserted FROM observ.refresh_fleet_summary(reconcile => true)").fetchone() == (1,)
        with conn.transaction(force_rollback=True):
            conn.execute("DROP EXTENSION observ CASCADE")
        assert conn.execute("SELECT vps_name FROM observ.fleet_summary()").fetchall() == [("b",)]


# --- CREATE EXTENSION -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["ROLE postgres", "DATABASE {db}", "ROLE postgres IN DATABASE {db}"])
def test_row_security_off_by_default_is_no_restore(server, fresh_db, where):
    where = where.format(db=fresh_db)
    server.sql("postgres", f"ALTER {where} SET row_security = off")
    try:
        server.sql(fresh_db, "CREATE EXTENSION observ")
        assert server.value(fresh_db, "SELECT state FROM observ.status()") != "paused"
        server.sql(fresh_db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")
    finally:
        server.sql("postgres", f"ALTER {where} RESET row_security")


def test_a_session_with_row_security_off_counts_as_a_restore_and_status_says_what_to_do(server, fresh_db):
    server.psql(fresh_db, script="SET row_security = off; CREATE EXTENSION observ;")
    state, reason, hint = server.sql(fresh_db, "SELECT state, reason, hint FROM observ.status()")[0]
    assert (state, reason) == ("mismatch", "the tables of observ are missing") and "CREATE EXTENSION" in hint
    for call in ("observ.maintain_partitions()", "observ.refresh_fleet_summary()", "observ.fleet_summary()", "observ.resume()",
                 "observ.pause()", "observ.enroll_vps('a')", "observ.begin_batch('a', 1, now())"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
            server.sql(fresh_db, f"SELECT * FROM {call}")
        assert refused.value.diag.message_hint == hint
    # The hint, typed as it stands.
    server.psql(fresh_db, script="DROP EXTENSION observ CASCADE; SET row_security = on; CREATE EXTENSION observ;")
    server.sql(fresh_db, "SELECT * FROM observ.refresh_fleet_summary()")


@pytest.mark.parametrize("planted", ["CREATE SCHEMA observ", "CREATE SCHEMA observ_data",
                                     "CREATE SCHEMA observ; CREATE FUNCTION observ.version() RETURNS text LANGUAGE sql AS 'SELECT $$x$$'",
                                     "CREATE SCHEMA observ; CREATE TABLE observ.vps_metrics (vps_name text)"])
def test_a_planted_schema_makes_it_fail_and_nothing_is_left(server, fresh_db, planted):
    server.psql(fresh_db, script=planted)
    before = everything(server, fresh_db)
    with pytest.raises(psycopg.errors.DuplicateSchema):
        server.sql(fresh_db, "CREATE EXTENSION observ")
    assert everything(server, fresh_db) == before
    assert server.value(fresh_db, "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = "
                                  "(SELECT oid FROM pg_database WHERE datname = current_database())") == 0


@pytest.mark.parametrize("tag", ["CREATE TYPE", "CREATE TABLE", "CREATE INDEX", "CREATE FUNCTION", "CREATE POLICY", "GRANT",
                                 "ALTER EXTENSION"])
def test_a_failure_in_the_middle_leaves_nothing(server, fresh_db, tag):
    server.psql(fresh_db, script=f"""
        CREATE FUNCTION boom() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'boom'; END $$;
        CREATE EVENT TRIGGER boom ON ddl_command_end WHEN TAG IN ('{tag}') EXECUTE FUNCTION boom();""")
    before = everything(server, fresh_db)
    with pytest.raises(psycopg.errors.RaiseException):
        server.sql(fresh_db, "CREATE EXTENSION observ")
    assert everything(server, fresh_db) == before
    server.sql(fresh_db, "DROP EVENT TRIGGER boom")
    server.sql(fresh_db, "CREATE EXTENSION observ")


def test_only_superusers_install_and_the_schema_is_fixed(server, fresh_db):
    server.psql("postgres", script="DROP ROLE IF EXISTS landlord; CREATE ROLE landlord LOGIN CREATEROLE CREATEDB")
    server.sql("postgres", f"ALTER DATABASE {fresh_db} OWNER TO landlord")
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        server.sql(fresh_db, "CREATE EXTENSION observ", user="landlord")
    assert "superuser" in refused.value.diag.message_hint
    server.sql(fresh_db, "CREATE SCHEMA elsewhere")
    with pytest.raises(psycopg.errors.FeatureNotSupported) as refused:
        server.sql(fresh_db, "CREATE EXTENSION observ SCHEMA elsewhere")
    assert "must be installed in schema" in refused.value.diag.message_primary
    server.sql(fresh_db, "CREATE EXTENSION observ")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        server.sql(fresh_db, "ALTER EXTENSION observ SET SCHEMA elsewhere")


def test_roles_that_exist_are_kept_and_doubtful_ones_reported(make_server):
    server = make_server(preload=False)
    server.psql("postgres", script="""
        CREATE ROLE observ_reader NOLOGIN CONNECTION LIMIT 3;
        CREATE ROLE observ_owner LOGIN;
        CREATE ROLE mallory; GRANT observ_owner TO mallory;""")
    server.create_database("first")
    server.create_database("second")
    for db in ("first", "second"):
        said = [s for s in notices_of(server, db, "CREATE EXTENSION observ") if s[0] == "WARNING" and "observ_owner" in s[1]]
        assert [s[1] for s in said] == ['role "observ_owner" can log in', 'role "observ_owner" has members other than observ_admin']
        assert "mallory" in said[1][2]
        assert all(s[3] for s in said)
    assert server.value("postgres", "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'observ_reader'") == 3
    server.sql("first", "DROP EXTENSION observ CASCADE")
    assert server.value("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'observ\\_%'") == 7
    server.psql("postgres", script="ALTER ROLE observ_owner NOLOGIN; REVOKE observ_owner FROM mallory")
    assert [s for s in notices_of(server, "first", "CREATE EXTENSION observ") if "observ_owner" in s[1]] == []


# Every function and operator of pg_catalog that takes and returns plain types gets a double in schema public that counts its calls. In
# a search_path of public, pg_catalog each unqualified name then leads to the double.
SHADOWS = """
    SET search_path = pg_catalog;
    CREATE SEQUENCE public.hits;
    GRANT ALL ON SEQUENCE public.hits TO PUBLIC;
    GRANT ALL ON SCHEMA public TO PUBLIC;
    CREATE TABLE public.hit_by (name text);
    GRANT ALL ON public.hit_by TO PUBLIC;
    DO $do$
    DECLARE f record; bodies int := 0;
    BEGIN
        FOR f IN SELECT p.oid, p.proname, pg_get_function_identity_arguments(p.oid) AS args,
                (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(p.proargtypes) t) AS types,
                (SELECT string_agg('$' || n, ', ') FROM generate_series(1, p.pronargs) n) AS params,
                format_type(p.prorettype, NULL) AS result, p.pronargs
            FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
                AND p.provariadic = 0 AND p.prorettype NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p')
                AND NOT EXISTS (SELECT FROM unnest(p.proargtypes) a JOIN pg_type t ON t.oid = a WHERE t.typtype = 'p')
                AND p.proname NOT IN ('nextval')
        LOOP
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql SET search_path = pg_catalog AS '
                || '$body$ BEGIN PERFORM pg_catalog.nextval(''public.hits''); INSERT INTO public.hit_by VALUES (%L); RETURN pg_catalog.%I(%s); END $body$',
                f.proname, f.types, f.result, f.proname, f.proname, f.params);
            bodies := bodies + 1;
        END LOOP;
        FOR f IN SELECT o.oprname, p.proname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r
            FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
            WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft <> 0
                AND to_regprocedure(format('public.%I(%s, %s)', p.proname, format_type(o.oprleft, NULL), format_type(o.oprright, NULL))) IS NOT NULL
        LOOP
            EXECUTE format('CREATE OPERATOR public.%s (FUNCTION = public.%I, LEFTARG = %s, RIGHTARG = %s)', f.oprname, f.proname, f.l, f.r);
        END LOOP;
        CREATE FUNCTION public.count_step(bigint) RETURNS bigint LANGUAGE plpgsql AS
            $body$ BEGIN PERFORM pg_catalog.nextval('public.hits'); INSERT INTO public.hit_by VALUES ('count'); RETURN $1; END $body$;
        CREATE AGGREGATE public.count(*) (SFUNC = public.count_step, STYPE = bigint, INITCOND = '0');
        IF bodies < 1000 THEN RAISE 'only % shadows', bodies; END IF;
    END $do$;
"""

# Every function a person calls, and rows by hand; literals only, so that the statements themselves touch no shadow.
EVERY_FUNCTION = [
    "SELECT * FROM observ.version()", "SELECT * FROM observ.status()", "SELECT * FROM observ.enroll_vps('a', 'shadow_agent', '{}', '30 s')",
    "SELECT * FROM observ.begin_batch('agent', 1, '2026-01-01 00:00+00', 'a', 'x', '1.0', 1000, 0, 0, 0)",
    "SELECT * FROM observ.begin_batch('agent', 1, '2026-01-01 00:00+00', 'a')",
    "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent) VALUES ('a', 'x', 1)",
    "INSERT INTO observ.health_checks (vps_name, app_name, url, success) VALUES ('a', 'x', 'u', true)",
    "INSERT INTO observ.log_entries (vps_name, app_name, level, message) VALUES ('a', 'x', 'error', 'm')",
    "INSERT INTO observ.events (vps_name, kind) VALUES ('a', 'deployed')",
    "INSERT INTO observ.quarantine (vps_name, reason) VALUES ('a', 'r')",
    "SELECT * FROM observ.maintain_partitions()", "SELECT * FROM observ.refresh_fleet_summary()",
    "SELECT * FROM observ.refresh_fleet_summary(reconcile => true)", "SELECT * FROM observ.fleet_summary()",
    "SELECT * FROM observ.boost('a')", "SELECT * FROM observ.pause()", "SELECT * FROM observ.resume()",
    "UPDATE observ.vps SET status = 'retired' WHERE vps_name OPERATOR(pg_catalog.=) 'b'",
    "SELECT * FROM observ.fleet_summary", "SELECT * FROM observ.forget('a')",
]


def test_names_in_public_are_never_used(server, fresh_db):
    server.psql(fresh_db, script=SHADOWS)
    server.sql("postgres", f"ALTER DATABASE {fresh_db} SET search_path = public, pg_catalog")
    server.sql(fresh_db, "CREATE EXTENSION observ")
    hits = "SELECT name FROM public.hit_by"
    assert server.sql(fresh_db, hits) == []
    for statement in EVERY_FUNCTION:
        server.sql(fresh_db, statement)
        assert (statement, server.sql(fresh_db, hits)) == (statement, [])
    # As an agent: policies and the definer function.
    for statement in (EVERY_FUNCTION[3].replace("'agent', 1", "'agent', 2"), *EVERY_FUNCTION[5:10]):
        server.sql(fresh_db, statement, user="shadow_agent")
        assert (statement, server.sql(fresh_db, hits)) == (statement, [])
    # A pass of the workers.
    server.wait_for_worker("observ scheduler", fresh_db)
    runs = "SELECT pg_catalog.count(*) FROM observ.job_runs WHERE last_success OPERATOR(pg_catalog.>) %s"
    since = server.value(fresh_db, "SELECT pg_catalog.clock_timestamp()")
    server.sql(fresh_db, "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent) VALUES ('a', 'x', 1)")
    server.sql(fresh_db, "SELECT observ.pause()")
    server.sql(fresh_db, "SELECT observ.resume()")
    wait_until(lambda: server.value(fresh_db, runs, (since,)) > 0, 30, "a pass of the workers")
    assert server.sql(fresh_db, hits) == []
    # The trap works: an unqualified name is caught.
    server.sql(fresh_db, "SELECT pg_catalog.count(*) FROM observ.vps WHERE vps_name = pg_catalog.lower('a') AND lower('A') = 'a'")
    assert server.value(fresh_db, "SELECT is_called FROM public.hits") is True
    server.sql(fresh_db, "DROP EXTENSION observ CASCADE")
    server.sql("postgres", "DROP ROLE shadow_agent")


# --- arguments and rows that nobody should send --------------------------------------------------------------------------


HUGE = "x" * 2_000_000
EDGES = {
    "text": [None, "", "a", "'", "\\", "é\u200b\U0001F600", HUGE, "%s%n%d"],
    "name": [None, "", "a b\"c", "postgres", "observ_owner", "public", "pg_signal_backend", "none"],
    "bigint": [None, -2**63, -1, 0, 1, 2**63 - 1],
    "integer": [None, -2**31, -1, 0, 2**31 - 1],
    "boolean": [None, True, False],
    "timestamp with time zone": [None, "-infinity", "infinity", "4713-01-01 00:00 BC", "1970-01-01 00:00", "2262-04-12 00:00",
                                 "294276-12-31 23:59:59.999999", "now"],
    "interval": [None, "0", "-1 day", "178000000 years", "-178000000 years", "1 microsecond"],
    "jsonb": [None, "null", "[]", "{}", '"x"', "1e1000", '{"a":' * 500 + "1" + "}" * 500],
    "double precision": [None, math.nan, math.inf, -math.inf, 1e308],
    "real": [None, math.nan, math.inf, -math.inf],
    "oid": [None, 0, 1, 2**32 - 1],
    "observ.severity": [None, "info", "emergency"],
    "text[]": [None, "{}", "{NULL}", "{{a,b},{c,d}}", "[5:5]={a}", "{" + HUGE + "}", "{" + ",".join(["10.0.0.1"] * 5000) + "}"],
    "timestamp with time zone[]": [None, "{}", "{NULL}", "{-infinity}", "{infinity}", "{294276-12-31 23:59:59.999999}"],
    "jsonb[]": [None, "{}", "{NULL}", "{1}", "{[]}", '{"{\\"a\\":{}}"}'],
    "bytea": [None, b"", b"\x00", b"\xff" * 5000],
    "double precision[]": [None, "{}", "{NULL}", "{NaN}", "{Infinity}", "{" + "1," * 100 + "NULL}"],
    "real[]": [None, "{}", "{NULL}", "{NaN}", "{Infinity}", "{" + "1," * 100 + "NULL}"],
    "bigint[]": [None, "{}", "{NULL}", "{-9223372036854775808}", "{9223372036854775807,0}", "{" + "1," * 100 + "NULL}"],
    "integer[]": [None, "{}", "{NULL}", "{-2147483648}", "{2147483647,0}", "{" + "1," * 100 + "NULL}"],
}
DEFAULTS = {"text": "edge", "name": "edge_role", "bigint": 1, "integer": 1, "boolean": False, "timestamp with time zone": "now",
            "interval": "1 minute", "jsonb": "{}", "double precision": 1.0, "real": 1.0, "oid": 1, "observ.severity": "info",
            "real[]": "{1}", "bigint[]": "{1}", "integer[]": "{1}", "text[]": "{edge}", "timestamp with time zone[]": "{now}", "jsonb[]": '{"{}"}', "double precision[]": "{1}", "bytea": b"edge"}
# Not called here: they start and stop processes, whatever the transaction does afterwards.
NOT_CALLED = {"start_workers", "stop_workers"}
FUNCTIONS = """
    SELECT p.oid::regprocedure::text, n.nspname || '.' || p.proname,
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) ORDER BY n)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname IN ('observ', 'observ_data') AND (l.lanname = 'c' OR %s) ORDER BY 1"""


def calls(types):
    """Argument lists: every edge value of each argument with harmless others, all NULL, and all at their extremes."""
    harmless = [DEFAULTS[t] for t in types]
    yield harmless
    for i, t in enumerate(types):
        for value in EDGES[t]:
            yield harmless[:i] + [value] + harmless[i + 1:]
    for pick in (0, 1, -1):
        yield [EDGES[t][pick] for t in types]


def test_no_argument_crashes_a_function(server, observ_db):
    """Every function of the extension with NULL, NaN, infinities, far-off and huge arguments: a result, or an error that is one."""
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name, app_name, cpu_percent) VALUES ('edge', 'edge', 'NaN')")
    called = 0
    with server.connect(observ_db, autocommit=False) as conn:
        conn.execute("SET statement_timeout = '60s'")
        conn.commit()
        pid = conn.info.backend_pid
        for signature, name, types in conn.execute(FUNCTIONS, (True,)).fetchall():
            if name.split(".")[1] in NOT_CALLED:
                continue
            for arguments in calls(types):
                slots = ", ".join(f"%s::{t}" for t in types)
                try:
                    conn.execute(f"SELECT * FROM {name}({slots})", arguments).fetchall()
                except psycopg.Error as error:
                    shown = [str(a)[:60] for a in arguments]
                    # Bytes that are no rolled-up metrics are corrupted data, and said to be.
                    said_well = error.sqlstate and error.sqlstate[:2] not in ("XX", "57", "58") or isinstance(error, psycopg.errors.DataCorrupted)
                    # A file that is not there is nothing wrong with the server.
                    said_well = said_well or isinstance(error, psycopg.errors.UndefinedFile)
                    # The answer was right, but Python knows the years 1 to 9999 only.
                    said_well = said_well or "before year 1" in str(error) or "after year 10K" in str(error)
                    assert said_well, (signature, shown, error)
                conn.rollback()
                called += 1
        assert conn.info.backend_pid == pid
    assert called > 100
    assert "terminated by signal" not in server.log_text() and "PANIC" not in server.log_text()


FAR_OFF = {
    "'-infinity'": "23514", "'infinity'": "23514", "now() - interval '400 days'": "23514", "'2262-04-12'": "23514",
    "'294276-12-31'": "23514", "'4713-01-01 BC'": "23514", "NULL": "23514",
    "now() + interval '1 day'": None, "now() - interval '6 days'": None,
}


@pytest.mark.parametrize("table,columns", [("vps_metrics", ""), ("health_checks", ", url, success"), ("log_entries", ", message"),
                                           ("events", ", kind")])
def test_rows_far_off_the_clock_by_hand(server, observ_db, table, columns):
    """A row with no partition is a clear error of PostgreSQL's own, never lost in silence, never a partition of its own."""
    values = {"": "", ", url, success": ", 'u', true", ", message": ", 'm'", ", kind": ", 'k'"}[columns]
    leaves = "SELECT count(*) FROM pg_inherits"
    before = server.value(observ_db, leaves)
    for when, sqlstate in FAR_OFF.items():
        insert = f"INSERT INTO observ.{table} (timestamp, vps_name{columns}) VALUES ({when}, 'far'{values})"
        if sqlstate is None:
            server.sql(observ_db, insert)
            continue
        with pytest.raises(psycopg.Error) as refused:
            server.sql(observ_db, insert)
        assert refused.value.sqlstate == sqlstate, when
    server.sql(observ_db, "SELECT observ.maintain_partitions()")
    assert server.value(observ_db, leaves) == before
    assert server.value(observ_db, f"SELECT count(*) FROM observ.{table}") == 2


def test_the_summary_never_shows_the_future(server, fresh_db):
    # No workers: future_rows are counted by the pass that sees them first.
    server.reload(**{"observ.refresh_fleet_summary_interval": "0"})
    try:
        server.sql(fresh_db, "CREATE EXTENSION observ")
        server.psql(fresh_db, script="""
            INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES (now() - interval '10 s', 'a', 1),
                (now() + interval '1 day', 'a', 2), (now() + interval '1 day', 'only-future', 3);
            INSERT INTO observ.health_checks (timestamp, vps_name, url, success) VALUES (now() + interval '1 day', 'a', 'u', false);""")
        refreshed = server.sql(fresh_db, "SELECT status, future_rows FROM observ.refresh_fleet_summary()")
        assert refreshed == [("ok", 2)]
        assert server.sql(fresh_db, "SELECT vps_name, cpu_percent, status, health_total FROM observ.fleet_summary()") == [("a", 1, "up", 0)]
        assert server.sql(fresh_db, "SELECT vps_name, cpu_percent FROM observ.fleet_summary(now() + interval '2 days')") == [("a", 1)]
        # A day later the rows are no longer of the future.
        server.sql(fresh_db, "SELECT observ.refresh_fleet_summary(now() + interval '1 day')")
        assert server.sql(fresh_db, "SELECT vps_name, cpu_percent FROM observ.fleet_summary() ORDER BY 1") == [("a", 2), ("only-future", 3)]
    finally:
        server.reload(**{"observ.refresh_fleet_summary_interval": "5"})


POISON = [
    "clock_offset_ms = 9223372036854775807", "clock_offset_ms = -9223372036854775808", "clock_offset_ms = 9000000000000000",
    "clock_offset_ms = -9000000000000000", "clock_offset_ms = 400000000000000", "interval_ms = -2147483648", "interval_ms = 2147483647",
    "interval_ms = 0", "received_at = '-infinity'", "received_at = 'infinity'", "received_at = '4713-01-01 BC'",
    "received_at = '294276-12-31'", "cpu_percent = 'NaN'", "memory_percent = 'infinity'",
]


@pytest.mark.parametrize("poison", POISON)
def test_one_poisoned_row_never_spoils_the_summary_for_all(server, observ_db, poison):
    column, value = poison.split(" = ")
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent, interval_ms) "
                          "VALUES (now() - interval '1 s', 'good', 1, 10000), (now() - interval '1 s', 'bad', 1, 10000)")
    server.sql(observ_db, f"INSERT INTO observ.vps_metrics (vps_name, {column}) VALUES ('bad', {value})")
    for _ in range(2):
        wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.refresh_fleet_summary(reconcile => true)") == "ok", 30, "a refresh")
        rows = server.sql(observ_db, "SELECT vps_name, status, isfinite(last_seen), last_seen <= clock_timestamp() FROM observ.fleet_summary() ORDER BY 1")
        assert [row[0] for row in rows] == ["bad", "good"]
        assert rows[1] == ("good", "up", True, True)
        assert rows[0][2:] == (True, True), rows
        # As text, which is where a timestamp out of range would show.
        server.psql(observ_db, "-c", "SELECT * FROM observ.fleet_summary()", "-c", "SELECT * FROM observ.fleet_summary")


@pytest.mark.parametrize("interval", ["178000000 years", "1 microsecond", "1000000 years"])
def test_an_absurd_expected_interval_spoils_nothing(server, observ_db, interval):
    server.psql(observ_db, script=f"""
        INSERT INTO observ.vps_metrics (vps_name) VALUES ('good'), ('odd');
        SELECT observ.refresh_fleet_summary();
        SELECT observ.enroll_vps('odd', expected_interval => '{interval}');""")
    wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.refresh_fleet_summary(reconcile => true)") == "ok", 30, "a refresh")
    assert server.sql(observ_db, "SELECT vps_name FROM observ.fleet_summary() ORDER BY 1") == [("good",), ("odd",)]
    status = dict(server.sql(observ_db, "SELECT vps_name, status FROM observ.fleet_summary(now() + interval '10 s')"))
    assert status["good"] == "up"
    assert status["odd"] == ("up" if "years" in interval else "down")


# --- library, SQL and layout that do not belong together ------------------------------------------------------------------


MISMATCHES = {
    "older library": ("UPDATE pg_extension SET extversion = '1.1' WHERE extname = 'observ'", "SQL objects 1.1"),
    "newer library": ("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'observ'", "SQL objects 0.9"),
    "newer layout": ("UPDATE observ.layout_version SET version = 99", "table layout 99"),
    "older layout": ("UPDATE observ.layout_version SET version = 0", "table layout 0"),
    "no layout row": ("DELETE FROM observ.layout_version", "observ.layout_version is empty"),
    "no layout table": ("DROP TABLE observ.layout_version", "the tables of observ are missing"),
}
# Functions in SQL are single statements over the tables and belong to the SQL objects; those in C are asked.
# Not entry points: they say which versions there are, create roles, or are called by others.
NO_GUARD = {"observ.version", "observ.status", "observ_data._create_roles", "observ_data._finish_install", "observ_data._vps_of",
            "observ.start_workers", "observ.stop_workers"}


@pytest.mark.parametrize("case", MISMATCHES)
def test_versions_that_do_not_belong_together_are_one_clear_error(server, observ_db, case):
    change, named = MISMATCHES[case]
    server.psql(observ_db, script=f"SET allow_system_table_mods = on; {change};")
    state, reason, hint = server.sql(observ_db, "SELECT state, reason, hint FROM observ.status()")[0]
    assert state == "mismatch" and named in reason and hint
    asked = 0
    for signature, name, types in server.sql(observ_db, FUNCTIONS, (False,)):
        if name in NO_GUARD or name.startswith("observ_data._"):
            continue
        slots = ", ".join(f"%s::{t}" for t in types)
        with pytest.raises(psycopg.Error) as refused:
            server.sql(observ_db, f"SELECT * FROM {name}({slots})", [DEFAULTS[t] for t in types])
        said = refused.value.diag
        assert (said.sqlstate, said.message_primary) == ("55000", "observ's library, SQL objects and tables do not belong together"), signature
        assert named in said.message_detail and said.message_hint == hint
        asked += 1
    assert asked >= 8


def test_a_missing_raw_table_is_named_and_the_others_go_on(server, observ_db):
    """A restore of selected tables, or a hand that slipped."""
    server.sql(observ_db, "DROP TABLE observ.events CASCADE")
    state, reason, hint = server.sql(observ_db, "SELECT state, reason, hint FROM observ.status()")[0]
    assert (state, reason) == ("mismatch", "table observ.events is missing") and hint
    with pytest.raises(psycopg.errors.UndefinedTable) as refused:
        server.sql(observ_db, "SELECT * FROM observ.resume()")
    assert "observ.events" in refused.value.diag.message_primary and refused.value.diag.message_hint
    # Partitions of the other tables are made all the same.
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'observ.log_entries'::regclass"
    before = server.value(observ_db, count)
    said = []

    def maintained():
        said[:] = notices_of(server, observ_db, "SELECT * FROM observ.maintain_partitions(now() + '9 days')")
        return server.value(observ_db, count) > before
    wait_until(maintained, 30, "partitions of the other tables")
    assert [s for s in said if s[0] == "WARNING" and "observ.events" in s[1]]
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name) VALUES ('a')")
    server.sql(observ_db, "SELECT * FROM observ.begin_batch('a', 1, now(), 'a')")


def test_a_vps_whose_clock_is_ahead_is_up(server, observ_db):
    """Its rows of now are stored with their timestamp moved back; the offset that they carry must not be taken off again."""
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (timestamp, vps_name, interval_ms, clock_offset_ms) VALUES "
                          "(now(), 'hour-ahead', 10000, 3600000), (now() + interval '60 s', 'minute-ahead', 10000, 60000), "
                          "(now() - interval '1 hour', 'hour-behind', 10000, -3600000), "
                          "(now() - interval '1 minute', 'late-and-ahead', 10000, 180000)")
    # Sent with a delay, from the spool: such a row was not moved.
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (timestamp, vps_name, interval_ms, clock_offset_ms, received_at) VALUES "
                          "(now() - interval '10 minutes', 'long-silent', 10000, 600000, now())")
    wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.refresh_fleet_summary()") == "ok", 30, "a refresh")
    age = "SELECT vps_name, round(extract(epoch FROM now() - last_seen) / 60) FROM observ.fleet_summary()"
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.fleet_summary()") == 5, 30, "all five")
    assert dict(server.sql(observ_db, age)) == {"hour-ahead": 0, "minute-ahead": 0, "hour-behind": 0, "late-and-ahead": 4, "long-silent": 20}
    assert server.value(observ_db, "SELECT status FROM observ.fleet_summary() WHERE vps_name = 'hour-ahead'") == "up"


def test_combinations_of_extreme_times_for_the_jobs(server, observ_db):
    """Time runs backwards and forwards by millennia between two passes: no overflow, and the present works afterwards."""
    times = ["4713-01-02 BC", "1970-01-01", "2026-01-01", "294270-01-01"]
    for first, second in itertools.permutations(times, 2):
        for at in (first, second):
            for call in (f"observ.refresh_fleet_summary('{at}', true)", f"observ.refresh_fleet_summary('{at}')", f"observ.fleet_summary('{at}')"):
                try:
                    server.sql(observ_db, f"SELECT * FROM {call}")
                except psycopg.errors.DatetimeFieldOverflow:
                    pass
    server.sql(observ_db, "INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('a', 5)")
    wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.refresh_fleet_summary()") == "ok", 30, "a refresh")
    assert server.sql(observ_db, "SELECT vps_name, cpu_percent, status FROM observ.fleet_summary()") == [("a", 5, "up")]


def test_columns_that_users_add_to_the_summary(server, observ_db):
    """Defaults, NOT NULL, checks, generated columns, and a column of the same name and another type in the raw table."""
    server.psql(observ_db, script="""
        ALTER TABLE observ.fleet_summary ADD COLUMN note text NOT NULL DEFAULT 'none', ADD COLUMN tags jsonb DEFAULT '{"a":1}',
            ADD COLUMN load_per_core real GENERATED ALWAYS AS (load_avg_1m / cpu_cores) STORED, ADD COLUMN gpu text;
        ALTER TABLE observ.vps_metrics ADD COLUMN gpu real, ADD COLUMN rack text;
        ALTER TABLE observ.fleet_summary ADD COLUMN rack text;
        INSERT INTO observ.vps_metrics (vps_name, load_avg_1m, cpu_cores, gpu, rack) VALUES ('a', 4, 2, 0.5, 'r1');""")

    def refresh():
        wait_until(lambda: server.value(observ_db, "SELECT status FROM observ.refresh_fleet_summary(reconcile => true)") == "ok", 30, "a refresh")
        return server.sql(observ_db, "SELECT note, tags, load_per_core, gpu, rack, health_ok FROM observ.fleet_summary")

    assert refresh() == [("none", {"a": 1}, 2, None, "r1", 0)]
    server.psql(observ_db, script="""
        UPDATE observ.fleet_summary SET note = 'mine', tags = NULL, gpu = 'big';
        INSERT INTO observ.vps_metrics (vps_name, load_avg_1m, cpu_cores, gpu, rack) VALUES ('a', 6, 2, 0.7, 'r2');""")
    assert refresh() == [("mine", None, 3, "big", "r2", 0)]
    # What a check forbids is an error of the refresh, not a row.
    server.psql(observ_db, script="ALTER TABLE observ.fleet_summary ADD CONSTRAINT low CHECK (load_avg_1m < 10); SELECT observ.pause()")
    server.psql(observ_db, script="INSERT INTO observ.vps_metrics (vps_name, load_avg_1m) VALUES ('b', 99); ALTER SYSTEM SET observ.refresh_fleet_summary_interval = 0; SELECT pg_reload_conf()")
    try:
        server.sql(observ_db, "SELECT observ.resume()")
        with pytest.raises(psycopg.errors.CheckViolation):
            server.sql(observ_db, "SELECT observ.refresh_fleet_summary(reconcile => true)")
    finally:
        server.psql("postgres", script="ALTER SYSTEM RESET observ.refresh_fleet_summary_interval")
        server.psql("postgres", script="SELECT pg_reload_conf()")


@pytest.mark.parametrize("drop", ["observ.vps_metrics DROP COLUMN clock_offset_ms", "observ.vps_metrics DROP COLUMN psi_io",
                                  "observ.fleet_summary DROP COLUMN last_seen", "observ.fleet_summary DROP COLUMN health_ok",
                                  "observ.fleet_summary DROP COLUMN psi_io", "observ.fleet_summary DROP COLUMN load_avg_15m",
                                  "observ.fleet_summary DROP CONSTRAINT fleet_summary_pkey, DROP COLUMN app_name",
                                  "observ.vps_metrics ALTER COLUMN cpu_percent TYPE float8", "observ.vps_metrics ALTER COLUMN clock_offset_ms TYPE text",
                                  "observ.fleet_summary ALTER COLUMN cpu_percent TYPE numeric", "observ.fleet_summary ALTER COLUMN last_seen TYPE text",
                                  "observ.fleet_summary ALTER COLUMN vps_name TYPE varchar(200)", "observ.fleet_summary ALTER COLUMN health_ok TYPE text"])
def test_a_changed_column_is_an_error_at_worst(server, observ_db, drop):
    server.psql(observ_db, script=f"ALTER TABLE {drop}; INSERT INTO observ.vps_metrics (vps_name, cpu_percent) VALUES ('a', 1);")
    started = server.value(observ_db, "SELECT pg_postmaster_start_time()")
    for call in ("observ.refresh_fleet_summary(reconcile => true)", "observ.fleet_summary()"):
        try:
            server.sql(observ_db, f"SELECT * FROM {call}")
        except psycopg.Error as error:
            assert error.sqlstate in ("42703", "42804", "42883"), error
    # Nothing crashed: the server did not restart its processes.
    assert server.value(observ_db, "SELECT pg_postmaster_start_time()") == started
    assert "terminated by signal" not in server.log_text()
