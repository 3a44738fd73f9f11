"""Default alert rules over the life of a database: what people edited and deleted survives a dump, and the next version's rules.

What a merge does rule by rule is in test/regress/sql/rules_restore.sql.
"""

import re

import pytest

import harness

SERVER = {"settings": {"max_locks_per_transaction": "256", "observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}
STATES = "SELECT array_agg(name || ' ' || state ORDER BY name) FROM observ.default_rules() WHERE state <> 'unchanged'"
RULES = """
    SELECT array_agg(to_jsonb(r) ORDER BY r.rule_id) FROM observ.alert_rules r"""
EDITS = """
    UPDATE observ.alert_rules SET threshold = 91.5, for_duration = '7 minutes' WHERE name = 'CpuHigh';
    UPDATE observ.alert_rules SET enabled = false WHERE name = 'Watchdog';
    DELETE FROM observ.alert_rules WHERE name IN ('MemoryLow', 'SwapHigh');
    INSERT INTO observ.alert_rules (name, metric_name, threshold) VALUES ('ours', 'cpu_percent', 50);
"""
NEXT_VERSION = """
    UPDATE observ_data.default_rules SET definition = jsonb_set(definition, '{threshold}', '97.25') WHERE name IN ('CpuHigh', 'CpuCritical', 'MemoryLow');
    DELETE FROM observ_data.default_rules WHERE name IN ('DiskBusy', 'Watchdog');
    INSERT INTO observ_data.default_rules SELECT 1000, 'NewRule', '{"name": "NewRule", "source": "vps_metrics", "metric_name": "cpu_percent", "threshold": 1}', '';
    UPDATE observ_data.default_rules SET hash = observ_data._rule_hash(definition);
"""


@pytest.fixture
def edited(server):
    """A database whose default rules somebody has worked on."""
    name = server.create_database("edited", extension=True)
    assert server.value(name, STATES) is None
    server.psql(name, script=EDITS)
    yield name
    server.drop_database(name)


def restore(server, source, name, *options):
    """A copy by way of pg_dump and pg_restore."""
    path = server.dir / f"{name}.dump"
    server.run("pg_dump", "-Fc", "-f", path, source)
    server.create_database(name)
    done = server.run("pg_restore", "-d", name, *options, path)
    assert done.stderr == ""
    return name


@pytest.mark.parametrize("options", [[], ["-j2"], ["-1"]], ids=["plain", "parallel", "single-transaction"])
def test_edits_survive_dump_and_restore(server, edited, options):
    copy = restore(server, edited, "copy", *options)
    try:
        assert server.value(copy, STATES) == ["CpuHigh edited", "MemoryLow deleted", "SwapHigh deleted", "Watchdog edited"]
        assert server.value(copy, RULES) == server.value(edited, RULES)
        # The same version again changes nothing; a later one is followed where nobody edited.
        merge = "SELECT added, updated, removed, edited FROM observ_data._merge_default_rules()"
        assert server.sql(copy, merge)[0] == (0, 0, 0, 2)
        server.psql(copy, script=NEXT_VERSION)
        assert server.sql(copy, merge)[0] == (1, 1, 1, 2)
        thresholds = dict(server.sql(copy, "SELECT name, threshold FROM observ.alert_rules WHERE name = ANY (%s)",
                                     [["CpuHigh", "CpuCritical", "MemoryLow", "DiskBusy", "NewRule", "ours"]]))
        assert thresholds == {"CpuHigh": 91.5, "CpuCritical": 97.25, "NewRule": 1, "ours": 50}
        # Not shipped any more, but edited: it stays.
        assert server.value(copy, "SELECT count(*) FROM observ.alert_rules WHERE name = 'Watchdog' AND NOT enabled") == 1
        # And once more through a dump.
        second = restore(server, copy, "second")
        try:
            # There this version's rules ship, which the rows are newer than.
            assert server.value(second, STATES) == ["CpuCritical older", "CpuHigh edited", "DiskBusy missing", "MemoryLow deleted",
                                                    "SwapHigh deleted", "Watchdog edited"]
        finally:
            server.drop_database(second)
    finally:
        server.drop_database(copy)


def test_who_may_not_log_in_runs_the_queries(server, edited):
    """The queries of default rules belong to observ_owner, also in a copy: no superuser's rights, whoever installed."""
    copy = restore(server, edited, "owned")
    try:
        assert server.sql(copy, "SELECT DISTINCT owner FROM observ.alert_rules WHERE shipped_as IS NOT NULL") == [("observ_owner",)]
        server.sql(copy, "SELECT observ.resume()")
        status, failed = server.sql(copy, "SELECT status, failed FROM observ.evaluate_alerts(now())")[0]
        assert (status, failed) == ("ok", 0), server.sql(copy, "SELECT name, last_error FROM observ.rule_status WHERE errors > 0")
    finally:
        server.drop_database(copy)


def test_a_fresh_install_is_quiet(server):
    """A healthy VPS that was booted minutes ago, in a server that was just started, and nobody who sends notifications yet: only Watchdog fires."""
    name = server.create_database("fresh", extension=True)
    try:
        server.sql(name, "SELECT observ.enroll_vps('web-1')")
        server.sql(name, """
            INSERT INTO observ.vps_metrics ("timestamp", vps_name, app_name, cpu_percent, memory_percent, disk_percent, cpu_cores, load_avg_1m, load_avg_5m,
                load_avg_15m, uptime_seconds, oom_kills, zombies, clock_offset_ms, interval_ms)
            SELECT now() + m * interval '1 minute', 'web-1', 'shop', 5 + m % 7, 40, 30, 2, 0.2, 0.2, 0.2, 120 + 60 * m, 0, 0, 3, 60000
            FROM generate_series(0, 30) m""")
        server.sql(name, """
            INSERT INTO observ.health_checks ("timestamp", vps_name, app_name, url, success, response_time_ms)
            SELECT now() + m * interval '1 minute', 'web-1', 'shop', 'https://shop.example', true, 20 FROM generate_series(0, 30) m""")
        with server.connect(name) as conn:
            begin = conn.execute("SELECT now()").fetchone()[0]
            for n in range(61):
                at = "%s::timestamptz + %s * interval '30 seconds'"
                for job in ("refresh_fleet_summary", "evaluate_alerts", "dispatch_notifications"):
                    conn.execute(f"SELECT * FROM observ.{job}({at})", (begin, n))
        assert server.sql(name, "SELECT r.name, a.identity FROM observ.alerts a JOIN observ.alert_rules r USING (rule_id) "
                          "WHERE a.starts_at IS NOT NULL") == [("Watchdog", {})]
        assert server.value(name, "SELECT count(*) FROM observ.notifications WHERE status = 'queued'") == 1
    finally:
        server.drop_database(name)


def test_documented(server, edited):
    """docs/default-rules.md has each rule, with its severity and how many there are."""
    text = (harness.ROOT / "docs/default-rules.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.M))
    documented = {name: severity for name, severity in documented.items() if name[0].isupper()}
    assert documented == dict(server.sql(edited, "SELECT name, severity::text FROM observ.default_rules()"))
    assert f"puts {len(documented)} alert rules into" in text
