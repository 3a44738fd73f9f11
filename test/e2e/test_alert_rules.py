"""A thousand wrong alert rules, and a thousand of which nobody knows: each is taken and can be evaluated, or gets a clean error.

What belongs here: generated rules, from seeds. What does not: what each error says (test/regress/sql/alert_rules.sql).
"""

import json
import random
import string

import psycopg
import pytest

SERVER = {"preload": False}
GOOD_QUERY = "SELECT jsonb_build_object('n', '1') AS labels, 1::float8 AS value, false AS breach"
GAUGES = ["cpu_percent", "cpu_usage", "memory_available_percent", "load_avg_5m_per_core", "clock_offset_ms", "health_response_ms"]
WINDOWED = ["log_count", "log_rate", "health_failure_percent", "health_status_changes"]
STANDING = ["health_consecutive_failures", "tls_days_left"]
AGGREGATES = ["avg", "min", "max", "sum", "count", "p50", "p95", "p99", "delta", "stddev"]
WINDOWS = ["1m", "5 minutes", "300", "1h30m", 900]
NASTY = ["", " ", "'", '"', "\\", "{{", "}}", "{{ value", "{a=", '{a=~"("}', "%s%n", "-1", "1e400", "NaN", "infinity", "-infinity", "null", "$1", ";", "--",
         "é€😀", "x" * 300, "a" * 70000, "SELECT", GOOD_QUERY, GOOD_QUERY + ";", "DROP TABLE observ.vps", "now", "1 day ago", "99999999 years",
         0, -1, 0.5, 1e308, -1e308, 2 ** 63, True, False, None, [], {}, [[]], ["a", None], ["a", ["b"]], {"a": "b"}, {"a": {}}, {"": ""}, {"a": None},
         {"{{": "{{"}, {"summary": "{{ value | round(99) }}"}, {"summary": "{{ labels.x }}"}]


def good_rule(rnd, name):
    """A rule that can work."""
    rule = {"name": name, "threshold": rnd.choice([0, 80, -5.5, "1e3"]), "severity": rnd.choice(["info", "high", "emergency"])}
    kind = rnd.randrange(6)
    if kind == 0:
        rule["metric_name"] = rnd.choice(GAUGES)
        if rnd.random() < 0.7:
            rule |= {"aggregate": rnd.choice(AGGREGATES), "window": rnd.choice(WINDOWS)}
    elif kind == 1:
        rule |= {"metric_name": rnd.choice(WINDOWED), "window": rnd.choice(WINDOWS)}
    elif kind == 2:
        rule["metric_name"] = rnd.choice(STANDING)
    elif kind == 3:
        rule |= {"metric_name": "orders_total", "source": "metric_samples", "aggregate": "rate", "window": "10m", "matchers": '{shop=~"a|b"}'}
    elif kind == 4:
        rule |= {"metric_name": "data_age_seconds", "per_app": rnd.random() < 0.5}
    else:
        rule["query"] = GOOD_QUERY
    if rnd.random() < 0.5:
        rule |= {"for_duration": rnd.choice(["5m", "1h", 90]), "keep_firing_for": "1 minute", "selector": '{env!="test"}',
                 "labels": {"team": "a"}, "annotations": {"summary": "{{ labels.vps_name }}: {{ value | round(1) }}"},
                 "notification_channels": ["email"], "evaluation_interval": "30s", "runbook_url": "https://wiki/x"}
    if kind not in (4, 5) and rnd.random() < 0.5:
        rule["operator"] = rnd.choice(["gt", ">=", "<", "lte"])
        rule["clear_threshold"] = rule["threshold"]
    return rule


def noise(rnd):
    """Letters that are no name of anything."""
    return "zq" + "".join(rnd.choice(string.ascii_lowercase) for _ in range(rnd.randrange(12, 40)))


def mistakes(rnd, rule):
    """What makes a good rule wrong: keys to set, each list of them one mistake."""
    durations = ["for_duration", "keep_firing_for", "evaluation_delay", "missing_for", "reopen_window"]
    every = [
        {rnd.choice(durations): rnd.choice(["-1s", "-5 minutes", -1, "11 years"])},
        {rnd.choice(durations + ["window", "evaluation_interval"]): rnd.choice(["soon", "5 parsecs", "", {}, [1], True])},
        {"evaluation_interval": rnd.choice(["0", "-1m", 0.5])},
        {"operator": rnd.choice(["above", "=>", "", ">>", noise(rnd)])},
        {"aggregate": rnd.choice(["mean", "AVG ", "", noise(rnd)])},
        {"severity": rnd.choice(["urgent", "", "HIGH", noise(rnd)])},
        {"threshold": rnd.choice(["NaN", "Infinity", "-Infinity", "high", [], {}])},
        {"source": rnd.choice(["prometheus", "", noise(rnd)])},
        {rnd.choice(["no_data", "on_missing"]): rnd.choice(["ok", "", "alerting", noise(rnd)])},
        {"min_samples": rnd.choice([0, -1, "x", 1.5, 2 ** 40])},
        {"selector": rnd.choice(["{", "{env=}", '{env="a"', '{env=~"("}', '{env=~"["}', "env", '{="a"}', "{env==1}", '{a="b"}}'])},
        {"labels": rnd.choice([[], "x", 3, {"a b": "x"}, {"": "x"}, {"1": "x"}, {"a": 1}, {"a": ["b"]}, {"severity": "x"}, {"alertname": "x"}, {"vps_name": "x"},
                               {"a": "{{ value }}"}, {"a": "x" * 5000}, {f"l{n}": "x" for n in range(65)}])},
        {"annotations": rnd.choice([[], "x", {"a": 1}, {"": "x"}, {"a": "{{ value"}, {"a": "{{ }}"}, {"a": "{{ valeu }}"}, {"a": "{{ value | x }}"}, {"a": "{{ rule.x }}"},
                                    {"a": "x" * 5000}, {"a": "{{ value | round(10) }}"}, {"a": '{{ printf "%n" value }}'}])},
        {"notification_channels": rnd.choice([[], [""], ["a", None], "email", {"a": 1}, 3])},
        {"runbook_url": rnd.choice(["", "wiki", "ftp://x", "javascript:1", "/etc/passwd"])},
        {"category": ""}, {"name": rnd.choice(["", " ", "\n"])}, {"name": None}, {"enabled": rnd.choice(["maybe", {}, 7.5])},
        {"owner": noise(rnd)}, {noise(rnd): 1}, {"per_app": "sometimes"},
        {"metric_name": noise(rnd), "source": None, "query": None},
        {"metric_name": "cpu_percent", "query": GOOD_QUERY}, {"metric_name": None, "query": None},
        {"metric_name": None, "source": None, "query": rnd.choice(["", "SELECT", "SELECT 1", GOOD_QUERY + "; SELECT 1", "DELETE FROM observ.vps", "SELECT * FROM nowhere",
                                                                  "SELECT 1 AS labels, 1 AS value, true AS breach", GOOD_QUERY + " FROM observ.vps FOR UPDATE", noise(rnd)])},
    ]
    if "query" in rule:
        every += [{"window": "5m"}, {"matchers": "{}"}, {"aggregate": "avg"}, {"clear_threshold": 3}]
    else:
        every += [{"threshold": None}, {"aggregate": "predict", "window": "1h", "predict_ahead": None}, {"window": rnd.choice(["-5m", "0", "0.5", "200 years", "3000 days"])},
                  {"aggregate": rnd.choice(AGGREGATES), "window": None}, {"operator": "eq", "clear_threshold": 1}, {"operator": "gt", "threshold": 5, "clear_threshold": 6},
                  {"operator": "lte", "threshold": 5, "clear_threshold": 4}, {"matchers": rnd.choice(["{", '{a="b"', '{a=~"("}', "{,}"])}]
    return rnd.choice(every)


def check_clean(error, rule):
    """An error as PostgreSQL would raise it, and of the user's making."""
    diag = error.diag
    shown = json.dumps(rule)[:500]
    assert diag.sqlstate is not None, (error, shown)
    assert diag.sqlstate[:2] in ("22", "23", "42", "54", "0A"), (diag.sqlstate, diag.message_primary, shown)
    assert diag.message_primary and not diag.message_primary.endswith("."), (diag.message_primary, shown)
    assert not diag.message_primary[0].isupper(), (diag.message_primary, shown)
    assert diag.message_detail or diag.message_hint or diag.context or diag.statement_position or diag.internal_position, (diag.message_primary, shown)


def refusal(conn, rule):
    """The error that a rule gets; None: it was taken."""
    try:
        conn.execute("SELECT observ.create_alert_rule(%s::jsonb)", (json.dumps(rule),))
    except psycopg.Error as error:
        return error
    return None


@pytest.fixture
def rules_db(server, observ_db):
    """A connection to a database without any rules; a shop has a labelled metric."""
    with server.connect(observ_db) as conn:
        conn.execute("DELETE FROM observ.alert_rules")
        yield conn


def check_evaluation(conn, hours=0):
    """Every rule that was taken can be evaluated: none fails, twice, so many hours from now."""
    for later in (f"{hours} hours", f"{hours} hours 1 minute"):
        status = conn.execute("SELECT status FROM observ.evaluate_alerts(now() + %s::interval)", (later,)).fetchone()[0]
        assert status == "ok"
    failing = conn.execute("SELECT r.name, r.last_error, r.last_error_sqlstate FROM observ.rule_status r WHERE status = 'failing'").fetchall()
    assert failing == []


def test_a_thousand_wrong_rules_are_refused_cleanly(rules_db):
    """Each has one mistake; nothing is stored, and the session goes on."""
    rnd = random.Random(5)
    pid = rules_db.info.backend_pid
    states = set()
    for n in range(1000):
        rule = good_rule(rnd, f"wrong {n}")
        rule |= mistakes(rnd, rule)
        error = refusal(rules_db, rule)
        assert error is not None, json.dumps(rule)
        check_clean(error, rule)
        states.add(error.diag.sqlstate)
    assert rules_db.execute("SELECT count(*) FROM observ.alert_rules").fetchone()[0] == 0
    assert rules_db.info.backend_pid == pid
    assert len(states) >= 8, states


def test_good_rules_are_taken_and_can_be_evaluated(rules_db):
    """What the generator of mistakes starts from is good, or the test before shows nothing."""
    rnd = random.Random(5)
    for n in range(200):
        rule = good_rule(rnd, f"good {n}")
        error = refusal(rules_db, rule)
        assert error is None, (error, json.dumps(rule))
    assert rules_db.execute("SELECT count(*) FROM observ.alert_rules").fetchone()[0] == 200
    check_evaluation(rules_db)


def test_a_thousand_rules_of_nonsense_are_refused_cleanly_or_work(rules_db):
    """Any value under any key: what is taken can be evaluated, be changed, and be read back by create_alert_rule()."""
    rnd = random.Random(55)
    keys = [row[0] for row in rules_db.execute("SELECT attname FROM pg_attribute WHERE attrelid = 'observ.alert_rules'::regclass AND attnum > 0")]
    taken = 0
    for n in range(1000):
        rule = good_rule(rnd, f"nonsense {n}")
        for key in rnd.sample(keys, rnd.randrange(1, 4)):
            if key not in ("owner", "name", "rule_id"):
                rule[key] = rnd.choice(NASTY)
        error = refusal(rules_db, rule)
        if error is not None:
            check_clean(error, rule)
        else:
            taken += 1
    assert taken > 20
    check_evaluation(rules_db)
    rules_db.execute("UPDATE observ.alert_rules SET description = 'edited'")
    check_evaluation(rules_db, hours=1)
    rows = rules_db.execute("DELETE FROM observ.alert_rules r RETURNING to_jsonb(r)").fetchall()
    assert len(rows) == taken
    for (row,) in rows:
        assert refusal(rules_db, row) is None, row
