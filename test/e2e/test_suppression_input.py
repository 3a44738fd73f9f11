"""Property: whatever somebody writes as a silence, inhibition rule, time interval or maintenance window is taken or gets a clean error, and what was taken works."""

import json
import random

import psycopg

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0", "max_locks_per_transaction": "128"}}

# SQLSTATEs that say what is wrong with the input; XX000 and class 58 would say that something is wrong with us.
CLEAN = {"42601", "22023", "2201B", "54000", "23502", "22007", "22008", "22P02", "22P05", "23514", "22021", "42704"}

PIECES = ["{", "}", "=", "!=", "=~", "!~", ",", '"', "\\", " or ", "a", "vps_name", "alertname", "größe", '"x"', '"db-.*"', '"("', '"[a-"', '"(?i)x"',
          '"a{1,99999}"', '"' + "x" * 1001 + '"', " ", "\n", "'", "0", "😀", '""', '".*"', '"(a*)*\\1"']
VALID = ['{vps_name="db-1"}', '{vps_name=~"db-.*",severity!="low"}', '{a="b"} or {c="d"}', 'vps_name=db-1', '{"odd name"="x"}']
TIMES = ["times", "weekdays", "days_of_month", "months", "years", "location", "", "größe"]
ELEMENTS = ["monday", "monday:friday", "friday:monday", "x", "", ":", "1", "-1", "1:7", "-3:-1", "7:1", "january", "13", "2030", "2030:2029", 1, -1, 0, 1e300, None, True, [], {}, "99999999999",
            {"start_time": "22:00", "end_time": "06:00"}, {"start_time": "24:00", "end_time": "06:00"}, {"start_time": "22:00"}, {"start_time": 1, "end_time": 2}, {"start_time": "06:00", "end_time": "06:00"}]
ZONES = ["UTC", "Europe/Berlin", "Etc/GMT+3", "ABC3DEF", "", "nowhere", "x" * 300, "../../etc/passwd", "+01:00", "größe"]
WHEN = ["2033-01-01", "2033-01-02", "infinity", "-infinity", None, "2001-01-01", "290000-01-01"]
INTERVALS = ["1 hour", "-1 hour", "0", None, "300000 years", "1 us"]


def mostly(rng, good, others):
    """So that one bad value is not always beside another."""
    return good if rng.random() < 0.7 else rng.choice(others)


def matchers(rng):
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(VALID)
    if kind < 0.6:
        text = list(rng.choice(VALID))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(text) + 1)
            if rng.random() < 0.5 and at < len(text):
                del text[at]
            else:
                text.insert(at, rng.choice(PIECES))
        return "".join(text)
    return "".join(rng.choice(PIECES) for _ in range(rng.randint(0, 12)))


def times(rng):
    def interval():
        if rng.random() < 0.1:
            return rng.choice([None, 1, "x", []])
        return {rng.choice(TIMES): ([rng.choice(ELEMENTS) for _ in range(rng.choice([0, 1, 1, 2, 40]))] if rng.random() < 0.9 else rng.choice(ELEMENTS)) for _ in range(rng.randint(0, 2))}

    return json.dumps([interval() for _ in range(rng.choice([0, 1, 1, 2, 101]))] if rng.random() < 0.95 else rng.choice([{}, 1, "x", None]))


def silence(rng):
    return ("SELECT observ.silence(%s, %s, %s, %s, %s, auto_expire_when_clear => %s, at => '2033-01-01')",
            (matchers(rng), mostly(rng, "1 hour", INTERVALS), mostly(rng, "why", ["", "  ", None]), mostly(rng, None, WHEN), mostly(rng, None, WHEN), mostly(rng, None, INTERVALS)))


def inhibition(rng):
    return ("INSERT INTO observ.inhibition_rules (name, source_matchers, target_matchers, equal, recovery_grace) VALUES (gen_random_uuid()::text, %s, %s, %s, %s)",
            (matchers(rng), matchers(rng), mostly(rng, ["a"], [[], [""], ["a", None], ["vps_name", "vps_name"], None]), mostly(rng, None, INTERVALS)))


def time_interval(rng):
    return ("INSERT INTO observ.time_intervals (name, timezone, times) VALUES (gen_random_uuid()::text, %s, %s)", (mostly(rng, "Europe/Berlin", ZONES), times(rng)))


def maintenance(rng):
    return ("SELECT observ.plan_maintenance(%s, %s, selector => %s, times => %s, timezone => %s)",
            (mostly(rng, "2033-01-01", WHEN), mostly(rng, "2033-04-01", WHEN), rng.choice([None, matchers(rng)]), rng.choice([None, times(rng)]), mostly(rng, "Europe/Berlin", ZONES)))


def test_a_thousand_odd_inputs(server, observ_db):
    """Nothing but taken or a clean error with a message; then everything that was taken is used at once by all alerts, in the ordinary way."""
    rng = random.Random(20330101)
    taken, refused = 0, {}
    with server.connect(observ_db, autocommit=True) as conn:
        for make in (silence, inhibition, time_interval, maintenance):
            ok = 0
            for _ in range(300):
                sql, values = make(rng)
                try:
                    conn.execute(sql, values)
                    ok += 1
                except psycopg.Error as exc:
                    assert exc.sqlstate in CLEAN and exc.diag.message_primary, (exc.sqlstate, exc, sql, values)
                    refused[exc.sqlstate] = refused.get(exc.sqlstate, 0) + 1
            assert 3 < ok < 200, (make.__name__, ok)
            taken += ok
        assert len(refused) >= 5, refused
        conn.execute("""INSERT INTO observ.alerts (fingerprint, rule_id, status, severity, instance, labels, identity, active_at, starts_at, unrouted)
            SELECT i::text, 0, 'firing', 'high', 'db-' || i, jsonb_build_object('alertname', 'X', 'vps_name', 'db-' || i), '{}', '2033-01-01', '2033-01-01', true FROM generate_series(1, 50) i""")
        conn.execute("SELECT observ.maintain_partitions('2033-01-01')")
        for at in ("2033-01-01 00:00+00", "2033-01-01 12:00+00", "2033-03-27 01:30+00"):
            assert conn.execute("SELECT count(*) FROM observ.suppressed_alerts(%s)", (at,)).fetchone()[0] <= 50
            assert conn.execute("SELECT status FROM observ.dispatch_notifications(%s)", (at,)).fetchone()[0] == "ok"
        assert conn.execute("SELECT count(*) FROM observ.silence_audit WHERE action = 'created'").fetchone()[0] == conn.execute("SELECT count(*) FROM observ.silences").fetchone()[0]
