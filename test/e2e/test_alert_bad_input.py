"""Bad input of the rest of alerting: silences, routes, inhibition, times, windows, people's calls, and rules that go wrong while they run.

What belongs here: generated mistakes, from a seed, each refused cleanly with nothing stored; the scheduler with rules that fail at run time. What does not:
what each error says (test/regress), rules that are wrong when written (test_alert_rules.py).
"""

import json
import random
import string

import psycopg

from harness import wait_until

SERVER = {"preload": False}
CLASSES = ("22", "23", "42", "54", "0A")
TABLES = ["alert_rules", "routes", "silences", "inhibition_rules", "time_intervals", "maintenance_windows", "escalations", "notification_channels"]
BAD_MATCHERS = ["{", "}", "{a", "{a=", "{a=}", '{a="b"', '{a="b}', '{="b"}', '{a="b"}}', '{{a="b"}', '{a=="b"}', '{a~"b"}', '{a!"b"}', '{a=~"("}', '{a=~"["}', '{a=~"*"}', '{a!~"a{2,1}"}',
                '{a=~"[z-a]"}', '{a="b" c="d"}', '{a="b",,c="d"}', '{,a="b"}', '{a b="c"}', '{a="b"} or', 'or {a="b"}', '{a="b"} {c="d"}', '{a="b"} and {c="d"}', '{a="b"} or {c="d"',
                "{a='b'}", '{a>"b"}', '{1a="b"}', '{a="b"};', "--", "; DROP TABLE observ.routes", '{a=~"(?<x>b)"}', '{a="b"\\}', '{a=~"\\\\"}', "{}{}"]
BAD_INTERVALS = ["-1 s", "-5 minutes", "soon", "", "5 parsecs", "1000 years", "now", "99999999999 days"]
BAD_ZONES = ["Europe/Atlantis", "", "UTC+3", "+02:00", "ABC3DEF", "../../etc/passwd", "UTC\n", "x" * 300]
BAD_TIMES = ["{}", "1", '"x"', "null", "[1]", "[[]]", "[null]", '[{"times": []}]', '[{"times": {}}]', '[{"times": [{"start_time": "22:00"}]}]', '[{"times": [{"start_time": "22:00", "end_time": 6}]}]',
             '[{"times": [{"start_time": "25:00", "end_time": "06:00"}]}]', '[{"times": [{"start_time": "9:00", "end_time": "22:00"}]}]', '[{"times": [{"start_time": "10:00", "end_time": "10:00"}]}]',
             '[{"weekdays": ["funday"]}]', '[{"weekdays": ["friday:monday:friday"]}]', '[{"weekdays": "monday"}]', '[{"weekdays": [null]}]', '[{"days_of_month": ["0"]}]', '[{"days_of_month": ["32"]}]',
             '[{"days_of_month": ["1:x"]}]', '[{"months": ["13"]}]', '[{"months": [true]}]', '[{"years": ["x"]}]', '[{"hours": ["1"]}]', '[{"location": "UTC"}]', "[{", "[]]", "nonsense"]
NOW = "2034-05-01 12:00+00"
GOOD = '{alertname="A"}'


def noise(rnd):
    """Letters that are no name of anything."""
    return "zq" + "".join(rnd.choice(string.ascii_lowercase) for _ in range(rnd.randrange(5, 40)))


def insert(table, row):
    """A statement that puts a row of texts into a table, each read as its column's type."""
    columns = ", ".join(f'"{name}"' for name in row)
    return f"INSERT INTO observ.{table} ({columns}) VALUES ({', '.join(['%s'] * len(row))})", [None if v is None else str(v) for v in row.values()]


def bad_route(rnd):
    row = {"name": noise(rnd), "matchers": '{team="a"}', "channels": "{chat}", "group_wait": "30 s", "group_interval": "5 min", "repeat_interval": "{1 h}"}
    row |= rnd.choice([
        {"matchers": rnd.choice(BAD_MATCHERS)}, {"matchers": None}, {rnd.choice(["group_wait", "group_interval"]): rnd.choice(BAD_INTERVALS)}, {"group_interval": "0"},
        {"repeat_interval": rnd.choice(["{}", "{0}", "{-1 h}", "{NULL}", "{1 h,NULL}", "1 h", "{soon}", "{1 h", "{2000 years}"])}, {"name": rnd.choice([None, "", "root", "warning"])},
        {"parent_id": rnd.choice(["-1", "999999", "x", "1e30", ""])}, {"channels": rnd.choice(["{NULL}", '{""}', "chat", "{a", '{a,""}'])},
        {"group_by": rnd.choice(["{NULL}", '{""}', "{...,a}", "{a,...}", "alertname"])}, {rnd.choice(["mute_time_intervals", "active_time_intervals"]): "{" + noise(rnd) + "}"},
        {"position": rnd.choice(["x", None, "1e30", str(2 ** 40)])}, {"continue": rnd.choice(["maybe", None])}, {"enabled": rnd.choice(["2x", None])}, {noise(rnd): "x"}])
    return insert("routes", row)


def bad_route_edit(rnd):
    change = rnd.choice(["parent_id = route_id", "enabled = false", "matchers = '{a=\"b\"}'", "channels = '{}'", "channels = NULL", "group_wait = NULL", "group_by = NULL", "repeat_interval = NULL",
                         "parent_id = (SELECT max(route_id) FROM observ.routes)"])
    return rnd.choice([(f"UPDATE observ.routes SET {change} WHERE name = 'root'", ()), ("DELETE FROM observ.routes WHERE parent_id IS NULL", ()),
                       ("UPDATE observ.routes SET parent_id = route_id WHERE name = 'high'", ()), ("UPDATE observ.routes SET parent_id = NULL WHERE name = 'high'", ()),
                       ("UPDATE observ.routes SET name = %s WHERE name = 'high'", (rnd.choice(["low", "", None]),)), ("UPDATE observ.routes SET matchers = %s WHERE name = 'high'", (rnd.choice(BAD_MATCHERS),))])


def bad_silence(rnd):
    row = {"matchers": GOOD, "starts_at": NOW, "ends_at": "2034-05-01 13:00+00", "comment": "known"}
    row |= rnd.choice([{"matchers": rnd.choice([*BAD_MATCHERS, None, "{}", "", '{a=~".*"}', '{a!="b"}', '{a="b"} or {}', '{a=""}', '{a="' + "x" * 20000 + '"}', '{a=~"' + "x" * 2000 + '"}'])},
                       {"ends_at": rnd.choice([None, NOW, "2034-05-01 11:00+00", "infinity", "-infinity", "tomorrowish"])}, {"starts_at": rnd.choice(["infinity", "-infinity", "x", None])},
                       {"comment": rnd.choice([None, "", "  ", "\n"])}, {"auto_expire_when_clear": rnd.choice([*BAD_INTERVALS[:-3], "0"])}])
    return insert("silences", row)


def bad_silence_call(rnd):
    given = {"matchers": GOOD, "duration": "1 hour", "comment": "known", "at": NOW}
    given |= rnd.choice([{"matchers": rnd.choice([*BAD_MATCHERS, None, "{}", '{a=~".*"}'])}, {"duration": rnd.choice([None, "0", *BAD_INTERVALS[:-3]])}, {"comment": rnd.choice([None, "", " "])},
                         {"until": "2034-05-01 14:00+00"}, {"duration": None, "until": rnd.choice([NOW, "2034-05-01 11:00+00", "infinity", "x"])}, {"starts_at": rnd.choice(["infinity", "x"])},
                         {"auto_expire_when_clear": rnd.choice(["0", "-1 s"])}, {"at": "x"}, {"confirm": "perhaps"}])
    return f"SELECT observ.silence({', '.join(f'{name} => %s' for name in given)})", list(given.values())


def bad_inhibition(rnd):
    row = {"name": noise(rnd), "source_matchers": GOOD, "target_matchers": '{alertname="B"}', "equal": "{vps_name}"}
    row |= rnd.choice([{rnd.choice(["source_matchers", "target_matchers"]): rnd.choice([*BAD_MATCHERS, None, "{}"])}, {"name": rnd.choice([None, "same family"])}, {"equal": rnd.choice(["{NULL}", '{""}', None, "vps_name"])},
                       {"recovery_grace": rnd.choice(["-1 s", "soon"])}, {"lower_severity": rnd.choice([None, "x"])}, {"hold_on_pending": None}, {"enabled": "x"}])
    return insert("inhibition_rules", row)


def bad_time_interval(rnd):
    row = {"name": noise(rnd), "timezone": "Europe/Berlin", "times": '[{"weekdays": ["monday"]}]'}
    row |= rnd.choice([{"times": rnd.choice([*BAD_TIMES, None, json.dumps([{}] * 101)])}, {"timezone": rnd.choice([*BAD_ZONES, None])}, {"name": None}])
    return insert("time_intervals", row)


def bad_window(rnd):
    row = {"starts_at": NOW, "ends_at": "2034-05-01 13:00+00", "name": "w", "vps_name": "db-1"}
    row |= rnd.choice([{"ends_at": rnd.choice([NOW, "2034-05-01 11:00+00", "-infinity", None, "x"])}, {"selector": rnd.choice([*BAD_MATCHERS, '{app_name="x"}'])}, {"timezone": rnd.choice(BAD_ZONES), "times": '[{}]'},
                       {"times": rnd.choice([t for t in BAD_TIMES if t != "null"])}, {"starts_at": rnd.choice([None, "infinity", "x"])}])
    if rnd.random() < 0.5:
        return insert("maintenance_windows", row)
    return f"SELECT observ.plan_maintenance({', '.join(f'{name} => %s' for name in row)})", list(row.values())


def bad_escalation(rnd):
    row = {"name": noise(rnd), "matchers": GOOD, "after": "15 min", "channels": "{boss}"}
    row |= rnd.choice([{"after": rnd.choice(["-1 s", None, "soon"])}, {"channels": rnd.choice([None, "boss", "{a", "{}", "{NULL}", '{""}'])}, {"name": rnd.choice([None, ""])}, {"matchers": rnd.choice([*BAD_MATCHERS, None])},
                       {"enabled": "x"}, {"repeat_interval": rnd.choice([*BAD_INTERVALS[:-3], "0"])}])
    return insert("escalations", row)


def bad_channel(rnd):
    return insert("notification_channels", rnd.choice([{"name": ""}, {"name": None}, {"name": "default"}, {"name": noise(rnd), "enabled": "x"}, {"name": noise(rnd), "send_resolved": None}, {noise(rnd): "x"}]))


def bad_rule(rnd):
    """What is not even an object, or hardly one; mistakes in one key are for test_alert_rules.py."""
    return "SELECT observ.create_alert_rule(%s)", (rnd.choice(["[]", "1", '"x"', "true", "null", "{}", '{"name": "x"}', '{"name": {}}', "[" * 500 + "]" * 500, "{", "", '{"name": "x", "metric_name": "cpu_usage"}',
                                                               json.dumps({noise(rnd): noise(rnd)}), json.dumps({"name": "x", "query": noise(rnd) * 1000}), '{"name": "\\u0000"}', json.dumps([{"name": "x"}])]),)


def bad_call(rnd):
    """Calls of people about what is not there."""
    nobody = rnd.choice([0, -1, 2 ** 40, 2 ** 63 - 1])
    return rnd.choice([("SELECT observ.acknowledge_alert(%s)", (nobody,)), ("SELECT observ.acknowledge_alert(NULL)", ()), ("SELECT observ.unacknowledge_alert(%s)", (nobody,)), ("SELECT observ.resolve_alert(%s)", (nobody,)),
                       ("SELECT observ.resolve_alert(%s, at => 'infinity')", (nobody,)), ("SELECT observ.silence_alert(%s, '1 h', 'x')", (nobody,)), ("SELECT observ.expire_silence(%s)", (nobody,)),
                       ("SELECT * FROM observ.preview_silence(%s)", (rnd.choice(BAD_MATCHERS),)), ("SELECT * FROM observ.explain_timing(%s)", (noise(rnd),)), ("SELECT * FROM observ.explain_route(%s)", (rnd.choice(["[]", "1", '"x"', "x"]),)),
                       ("SELECT * FROM observ.explain_alert(%s::bigint)", (nobody,)), ("SELECT observ.evaluate_alerts('infinity')", ()), ("SELECT observ.dispatch_notifications('-infinity')", ()),
                       ("SELECT * FROM observ.backtest_rule(%s::text, now() - interval '1 h')", (noise(rnd),)), ("SELECT * FROM observ.backtest_rule('{}'::jsonb, now())", ())])


KINDS = [bad_route, bad_route_edit, bad_silence, bad_silence_call, bad_inhibition, bad_time_interval, bad_window, bad_escalation, bad_channel, bad_rule, bad_call]


def check_clean(error, what):
    """An error as PostgreSQL would raise it, and of the user's making."""
    diag = error.diag
    assert diag.sqlstate is not None and diag.sqlstate[:2] in CLASSES, (diag.sqlstate, diag.message_primary, what)
    assert diag.message_primary and not diag.message_primary.endswith(".") and not diag.message_primary[0].isupper(), (diag.message_primary, what)


def stored(conn):
    """All that people can write."""
    return {table: conn.execute(f"SELECT * FROM observ.{table} ORDER BY 1").fetchall() for table in TABLES}


def test_a_thousand_mistakes_are_refused_cleanly(server, observ_db):
    """Each has one mistake; nothing is stored, and the session goes on."""
    rnd = random.Random(5)
    states, taken = {}, []
    with server.connect(observ_db) as conn:
        conn.execute("SET timezone = 'UTC'")
        pid, before = conn.info.backend_pid, stored(conn)
        for n in range(1100):
            kind = KINDS[n % len(KINDS)]
            statement, params = kind(rnd)
            try:
                conn.execute(statement, params)
                taken.append((statement, [str(p)[:100] for p in params]))
            except psycopg.Error as error:
                check_clean(error, (statement, [str(p)[:100] for p in params]))
                states.setdefault(kind.__name__, set()).add(error.diag.sqlstate)
        assert taken == [], "\n".join(map(str, taken))
        assert stored(conn) == before
        assert conn.info.backend_pid == pid
    assert len(set().union(*states.values())) >= 10, states


def mutated(rnd, text):
    """The text with a few of its characters gone, doubled, replaced or moved."""
    for _ in range(rnd.randrange(1, 4)):
        at = rnd.randrange(len(text) + 1)
        text = text[:at] + rnd.choice(["", "", *'{}="~!,\\()[]*+?|^$. \n', "or", "é", text[at:at + 3] * 2]) + text[at + rnd.randrange(0, 3):]
    return text


def test_a_thousand_matchers_of_nonsense_are_refused_cleanly_or_work(server, observ_db):
    """What is taken can be used by everybody who reads it: preview, suppression, dispatch, and read back as it is."""
    rnd = random.Random(5)
    taken = 0
    with server.connect(observ_db) as conn:
        conn.execute("""INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, unrouted)
                        SELECT 'f' || i, 0, 'firing', 'high', 'db-' || i, jsonb_build_object('alertname', 'A' || i, 'vps_name', 'db-' || i), '{}', now(), now(), true FROM generate_series(1, 5) i""")
        for n in range(1000):
            text = mutated(rnd, rnd.choice(['{alertname="A"}', '{vps_name=~"db-[0-9]+",env!="prod"}', '{a="b"} or {c!~"d|e"}', '{alertname=~"A(1|2)", severity="high"}']))
            statement, params = rnd.choice([insert("silences", {"matchers": text, "ends_at": "2100-01-01", "comment": "x"}), insert("routes", {"name": f"r{n}", "matchers": text}),
                                            insert("inhibition_rules", {"name": f"i{n}", "source_matchers": text, "target_matchers": GOOD}),
                                            insert("maintenance_windows", {"selector": text, "starts_at": "2000-01-01", "ends_at": "2100-01-01"})])
            try:
                conn.execute(statement, params)
                taken += 1
                conn.execute("SELECT count(*) FROM observ.preview_silence(%s)", (text,))
            except psycopg.Error as error:
                check_clean(error, (statement, params))
        assert 100 < taken < 900, taken
        assert conn.execute("SELECT status, routed FROM observ.dispatch_notifications(now())").fetchone() == ("ok", 5)
        assert conn.execute("SELECT status FROM observ.evaluate_alerts(now())").fetchone()[0] == "ok"
        conn.execute("SELECT count(*) FROM observ.suppressed_alerts(now())")
        conn.execute("SELECT count(*) FROM observ.active_silences")


# ---- rules that go wrong while they run

# What a rule asks until the knob is turned, and then: each is well at first, and has an alert that fires.
GOING_WRONG = {
    "Divides": "SELECT jsonb_build_object('what', 'it') AS labels, 1::float8 / CASE WHEN k.turned THEN 0 ELSE 1 END AS value, true AS breach FROM public.knob k",
    "Sleeps": "SELECT jsonb_build_object('what', 'it') AS labels, 1::float8 AS value, true AS breach FROM public.knob k, pg_sleep(CASE WHEN k.turned THEN 60 ELSE 0 END)",
    "Loops": "WITH RECURSIVE r (i) AS (SELECT 1 FROM public.knob UNION ALL SELECT 1 - i FROM r, public.knob k WHERE k.turned) SELECT jsonb_build_object('what', 'it') AS labels, count(i)::float8 AS value, true AS breach FROM r",
    "Wrong labels": "SELECT CASE WHEN k.turned THEN '[1]' ELSE '{\"what\": \"it\"}' END::jsonb AS labels, 1::float8 AS value, true AS breach FROM public.knob k",
    "Numbers as labels": "SELECT jsonb_build_object('what', CASE WHEN k.turned THEN to_jsonb(1) ELSE to_jsonb('it'::text) END) AS labels, 1::float8 AS value, true AS breach FROM public.knob k",
    "Long labels": "SELECT jsonb_build_object('what', repeat('it', CASE WHEN k.turned THEN 10000 ELSE 1 END)) AS labels, 1::float8 AS value, true AS breach FROM public.knob k",
    "Twice": "SELECT jsonb_build_object('what', 'it') AS labels, i::float8 AS value, true AS breach FROM public.knob k, generate_series(1, CASE WHEN k.turned THEN 2 ELSE 1 END) i",
    "Table gone": "SELECT jsonb_build_object('what', 'it') AS labels, 1::float8 AS value, true AS breach FROM public.doomed",
    "Right gone": "SELECT jsonb_build_object('what', 'it') AS labels, 1::float8 AS value, true AS breach FROM public.secret",
    "Endless": "SELECT jsonb_build_object('n', i::text) AS labels, 1::float8 AS value, true AS breach FROM public.knob k, generate_series(1, CASE WHEN k.turned THEN 1000000000000 ELSE 1 END) i",
    "Writes": "SELECT jsonb_build_object('what', 'it') AS labels, CASE WHEN k.turned THEN public.write() ELSE 1 END::float8 AS value, true AS breach FROM public.knob k",
}
# It does not fail, but gives more, row by row, than anybody wants.
ENORMOUS = """SELECT jsonb_build_object('n', i::text) AS labels, -i::float8 AS value, true AS breach
    FROM (SELECT generate_series(1, CASE WHEN k.turned THEN 1000000000000 ELSE 1 END) AS i FROM public.knob k) s"""
BREAK = ["UPDATE public.knob SET turned = true", "ALTER TABLE public.doomed RENAME TO gone", "REVOKE SELECT ON public.secret FROM alice"]
MEND = ["UPDATE public.knob SET turned = false", "ALTER TABLE public.gone RENAME TO doomed", "GRANT SELECT ON public.secret TO alice"]
ALERTS = """SELECT r.name, a.alert_id, a.status, a.active_at, a.starts_at, a.value, a.labels, a.changes FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id)
    WHERE r.name = ANY (%s) AND a.status <> 'resolved' ORDER BY 1"""
FIRING = "SELECT a.instance FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) WHERE r.name = 'Well' AND a.status = 'firing' ORDER BY 1"
COMPLAINTS = "SELECT a.labels ->> 'rule' FROM observ.alerts a WHERE a.labels ->> 'alertname' = 'RuleEvalError' AND a.status = 'firing' ORDER BY 1"
FAILING = "SELECT name FROM observ.rule_status WHERE status = 'failing' AND errors >= %s ORDER BY 1"


def make_rules(server, db):
    """Rules of alice, who may write rules and read a few tables."""
    with server.connect(db) as conn:
        for statement in ("CREATE ROLE alice LOGIN IN ROLE observ_admin", "CREATE TABLE public.knob AS SELECT false AS turned", "CREATE TABLE public.doomed AS SELECT 1", "CREATE TABLE public.secret AS SELECT 1",
                          "CREATE FUNCTION public.write() RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE public.knob SET turned = false; RETURN 1; END $$",
                          "GRANT SELECT, UPDATE ON public.knob TO alice", "GRANT SELECT ON public.doomed, public.secret TO alice",
                          "DELETE FROM observ.alert_rules WHERE name <> 'RuleEvalError'"):
            conn.execute(statement)
    with server.connect(db, user="alice") as conn:
        for name, query in {**GOING_WRONG, "Enormous": ENORMOUS}.items():
            conn.execute("INSERT INTO observ.alert_rules (name, query, severity) VALUES (%s, %s, 'high')", (name, query))
        conn.execute("INSERT INTO observ.alert_rules (name, metric_name, threshold, severity) VALUES ('Well', 'cpu_percent', 90, 'high')")


def test_rules_that_go_wrong_hurt_nobody(make_server):
    """The scheduler goes on: their alerts stay as they are, other rules are evaluated, RuleEvalError says so, and ends when they are mended."""
    server = make_server(settings={"observ.evaluation_interval": "1", "observ.dispatch_interval": "1", "observ.rule_statement_timeout": "200ms", "observ.max_alerts_per_rule": "20"})
    db = server.create_database("wrong", extension=True)
    make_rules(server, db)
    names = sorted(GOING_WRONG)
    errors = {"Divides": "22012", "Sleeps": "54000", "Loops": "54000", "Endless": "54000", "Long labels": "54000", "Wrong labels": "22023", "Numbers as labels": "22023", "Twice": "21000", "Table gone": "42P01",
              "Right gone": "42501", "Writes": "25006"}
    with server.connect(db) as conn:
        def feed(vps, cpu):
            conn.execute("INSERT INTO observ.vps_metrics (vps_name, cpu_percent, interval_ms) VALUES (%s, %s, 600000)", (vps, cpu))

        def rows(query, *params):
            return conn.execute(query, params or None).fetchall()

        feed("one", 99)
        wait_until(lambda: len([a for a in rows(ALERTS, [*names, "Well", "Enormous"]) if a[2] == "firing"]) == len(names) + 2, 60, "every rule to have an alert that fires")
        scheduler = server.wait_for_worker("observ scheduler", db)
        before = rows(ALERTS, names)
        for statement in BREAK:
            conn.execute(statement)
        wait_until(lambda: rows(FAILING, 3) == [(name,) for name in names], 120, "every broken rule to have failed three times")
        assert dict(rows("SELECT name, last_error_sqlstate FROM observ.rule_status WHERE status = 'failing'")) == errors
        assert rows(ALERTS, names) == before
        # Others go on meanwhile, in both directions.
        feed("two", 99)
        feed("one", 5)
        wait_until(lambda: rows(FIRING) == [("two",)], 60, "the rule that works to see what is new")
        wait_until(lambda: rows(COMPLAINTS) == [(name,) for name in names], 60, "RuleEvalError for each")
        assert rows("SELECT status, pending + firing FROM observ.rule_status WHERE name = 'Enormous'") == [("overflowing", 21)]
        assert rows(ALERTS, names) == before
        for statement in MEND:
            conn.execute(statement)
        wait_until(lambda: rows(FAILING, 1) == [] == rows(COMPLAINTS), 60, "all to be well again")
        assert rows(ALERTS, names) == before
        assert rows("SELECT DISTINCT r.name FROM observ.alert_history h JOIN observ.alert_rules r USING (rule_id) WHERE r.name = ANY (%s) AND h.event NOT IN ('pending', 'firing')", names) == []
        assert server.worker_pid("observ scheduler", db) == scheduler
        assert rows("SELECT job_name FROM observ.job_runs WHERE consecutive_failures + consecutive_crashes > 0") == []
