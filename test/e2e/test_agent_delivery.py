"""From the spool into the tables: every kind of record, bad ones among them, backlogs, and an identity's numbers.

Most tests fill the spool of an agent that does not run yet (spool_fill.c), and then start it.
"""

import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

import harness
import proxy
from agent_config import Setup, wait_for_rows
from harness import wait_until

SERVER = {"preload": False, "tcp": True}

METRICS, HEALTH, LOG, SAMPLES, EVENT, PEERS, POSITION = range(1, 8)
COLUMNS = 33  # of a metrics record: metric_columns[] of src/core/row.c
VPS = "test-vps"


@pytest.fixture(scope="module")
def spool_fill(installation):
    """The program that fills spools."""
    harness.run_tool(["make", "-C", harness.ROOT, "-s", f"PG_CONFIG={installation.pg_config}", "build/e2e/spool_fill"],
                     env=harness.clean_environment(MAKEFLAGS=""))
    return harness.ROOT / "build/e2e/spool_fill"


def field(value):
    """A field as spool_fill reads it: str, bytes or None."""
    if value is None:
        return b"\\N"
    raw = value if isinstance(value, bytes) else str(value).encode()
    raw = raw.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n")
    return b"".join(b"\\x%02x" % c if c < 32 or c > 126 else bytes((c,)) for c in raw)


def record(kind, *fields, at=None, more=False):
    """A line for spool_fill. `more`: the group goes on with the next record."""
    return b"\t".join((b"%d" % kind, b"%d" % int((at or time.time()) * 1e6), b"+" if more else b".", *map(field, fields)))


def metrics(at, cpu=12.5):
    return record(METRICS, cpu, *[None] * (COLUMNS - 1), at=at)


def log(message, context=None, at=None, more=False, level="info"):
    return record(LOG, level, message, context, "logger", "app.log", at=at, more=more)


@pytest.fixture
def setup(server, observ_db, tmp_path, spool_fill):
    made = Setup(tmp_path, server.url(observ_db))
    made.spool = made.state / f"spool-{VPS}"

    def fill(lines):
        made.state.mkdir(exist_ok=True)
        done = subprocess.run([spool_fill, made.spool], input=b"\n".join(lines) + b"\n", stdout=subprocess.PIPE, check=True, timeout=60)
        return int(done.stdout)
    made.fill = fill
    return made


def delivered(server, db, number, deadline=30):
    """Waits until the database has that record."""
    wait_until(lambda: (server.value(db, "SELECT max(last_seq) FROM observ.collectors") or 0) >= number, deadline, f"record {number}",
               retry_on=harness.psycopg.Error)


def collector(server, db, columns):
    return server.sql(db, f"SELECT {columns} FROM observ.collectors")[0]


# --- what arrives -------------------------------------------------------------------------------------------------------


def test_every_kind_arrives_by_a_least_privileged_role(server, observ_db, setup, run_agent):
    role = f"agent_{observ_db}"
    server.sql(observ_db, f"CREATE ROLE {role} LOGIN")
    server.sql(observ_db, f"SELECT observ.enroll_vps('{VPS}', '{role}')")
    setup.write(server.url(observ_db, user=role))
    now = time.time() - 5
    nasty = 'a "quoted" \\ {word},\twith NULL, Grüße\n\tat line 2'
    last = setup.fill([
        record(METRICS, *[f"{n}.5" if n in (0, 1) else n for n in range(COLUMNS)], at=now),
        record(HEALTH, "https://a/?x={1,2}", 200, "12.25", "t", None, 1, 2, 3, "4.5", "2027-01-01 00:00:00+00", "closed", "f", at=now),
        record(HEALTH, "tcp://b:1", None, None, "f", nasty, None, None, None, None, None, "open", None, at=now),
        log("first", json.dumps({"a": nasty}), at=now, more=True),
        log(nasty, at=now, more=True, level=None),
        record(POSITION, "/var/log/app.log", "i 1 o 10", more=True),
        record(POSITION, "/var/log/app.log", "i 1 o 20"),
        record(SAMPLES, '{up,"http_requests_total"}', '{"{\\"job\\": \\"x\\"}","{}"}', "{1,NaN}", "{gauge,counter}", at=now),
        record(EVENT, "deployed", "version 7", "t", "1500", '{"commit": "abc"}', at=now),
        record(PEERS, '[{"address": "10.0.0.7", "port": 5432, "direction": "outbound"}]', "{10.0.0.1}", at=now),
    ])
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last)
    row = server.sql(observ_db, "SELECT cpu_percent, cpu_iowait_percent, cpu_cores, uptime_seconds, interval_ms, clock_offset_ms FROM observ.vps_metrics ORDER BY id LIMIT 1")
    assert row == [(0.5, 1.5, 3, 30, 32, 31)]
    assert server.sql(observ_db, "SELECT url, status_code, response_time_ms, success, error_message, first_byte_ms, extract(year FROM tls_expires_at)::int, "
                                 "breaker_state, inconclusive FROM observ.health_checks ORDER BY url") == [
        ("https://a/?x={1,2}", 200, 12.25, True, None, 4.5, 2027, "closed", False), ("tcp://b:1", None, None, False, nasty, None, None, "open", False)]
    assert server.sql(observ_db, "SELECT level, message, context, logger, source FROM observ.log_entries ORDER BY id") == [
        ("info", "first", {"a": nasty}, "logger", "app.log"), ("info", nasty, None, "logger", "app.log")]
    assert server.sql(observ_db, "SELECT file, state FROM observ.log_positions") == [("/var/log/app.log", "i 1 o 20")]
    assert server.sql(observ_db, "SELECT metric_name, labels, value::text FROM observ.metric_samples WHERE metric_name IN ('up', 'http_requests_total') ORDER BY 1") == [
        ("http_requests_total", {}, "NaN"), ("up", {"job": "x"}, "1")]
    assert server.sql(observ_db, "SELECT kind, message, success, duration_ms, data FROM observ.events WHERE kind = 'deployed'") == [
        ("deployed", "version 7", True, 1500.0, {"commit": "abc"})]
    assert server.sql(observ_db, "SELECT host(address), port FROM observ.peers") == [("10.0.0.7", 5432)]
    assert server.value(observ_db, "SELECT count(*) FROM observ.quarantine") == 0
    assert agent.stop() == 0
    assert "SQLSTATE" not in agent.stderr()


def test_a_group_is_one_transaction(server, observ_db, setup, run_agent):
    """Lines and how far they have been read commit together, in groups of any size and batches of many groups."""
    lines, groups = [], 0
    for size in itertools.islice(itertools.cycle((1, 7, 150, 30)), 120):
        lines += [log(f"{groups} {n}", more=True) for n in range(size)] + [record(POSITION, "/log", f"{groups}")]
        groups += 1
    last = setup.fill(lines)
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("collecting")
    agent.signal(harness.signal.SIGHUP)  # no jitter
    delivered(server, observ_db, last, 60)
    split = server.value(observ_db, "SELECT count(*) FROM (SELECT FROM observ.log_entries GROUP BY split_part(message, ' ', 1) HAVING count(DISTINCT xmin::text) > 1) s")
    assert split == 0
    assert server.value(observ_db, "SELECT count(DISTINCT message) = count(*) AND count(*) > 5000 FROM observ.log_entries")
    assert server.value(observ_db, "SELECT state FROM observ.log_positions") == f"{groups - 1}"
    assert 3 <= collector(server, observ_db, "batches")[0] <= 12


# --- what the database refuses --------------------------------------------------------------------------------------------


def test_bad_records_are_searched_out_of_good_ones(server, observ_db, setup, run_agent):
    server.sql(observ_db, "ALTER TABLE observ.log_positions ADD CONSTRAINT no_bad CHECK (state <> 'bad')")
    lines = [log(f"good {n}") for n in range(1500)]
    bad = {
        17: log(b"not UTF-8 \xff\xfe"),
        18: log("no JSON", "{"),
        700: record(HEALTH, "http://x", None, None, None, None, None, None, None, None, None, None, None),
        701: record(EVENT, None, "no kind", None, None, None),
        702: record(SAMPLES, "{a", "{}", "{1}", None),
        703: record(PEERS, "[", None),
        1100: record(POSITION, "/log", "bad"),
        1499: log("jsonb takes no zero", '{"a": "\\u0000"}'),
    }
    for place, line in sorted(bad.items(), reverse=True):
        lines.insert(place, line)
    lines.append(log(b"a zero \x00 goes"))
    last = setup.fill(lines)
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last, 60)
    assert server.value(observ_db, "SELECT count(DISTINCT message) FROM observ.log_entries WHERE message LIKE 'good %'") == 1500
    assert server.value(observ_db, "SELECT count(*) FROM observ.log_entries") == 1501
    assert server.value(observ_db, "SELECT count(*) FROM observ.log_entries WHERE message = 'a zero  goes'") == 1
    quarantine = server.sql(observ_db, 'SELECT table_name, reason, "row" FROM observ.quarantine ORDER BY id')
    assert [table for table, _, _ in quarantine] == ["log_entries", "log_entries", "health_checks", "events", "metric_samples", "peers", "log_positions", "log_entries"]
    for (_, reason, row), code in zip(quarantine, ("22021", "22P02", "23502", "23502", "22P02", "22P02", "23514", "22P05")):
        assert f"({code})" in reason and row["vps_name"] == VPS
    assert quarantine[0][2]["message"] == "not UTF-8 \ufffd\ufffd"
    # By halves: some 11 transactions for each, most of which are rolled back.
    assert collector(server, observ_db, "batches")[0] < 8 * 25
    wait_until(lambda: collector(server, observ_db, "quarantined_rows")[0] == 8, 25, "the count, with the next batch")
    assert agent.stop() == 0


def test_a_record_that_quarantine_refuses_too(server, observ_db, setup, run_agent):
    """It is put aside without what it holds, and the rest goes on."""
    server.sql(observ_db, """ALTER TABLE observ.log_entries ADD CONSTRAINT no_word CHECK (message !~ 'word');
        ALTER TABLE observ.quarantine ADD CONSTRAINT no_word CHECK ("row"::text !~ 'word')""")
    last = setup.fill([log("one"), log("word"), log("two")])
    run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert server.sql(observ_db, "SELECT message FROM observ.log_entries ORDER BY id") == [("one",), ("two",)]
    (reason, row), = server.sql(observ_db, 'SELECT reason, "row" FROM observ.quarantine')
    assert "no_word" in reason and row is None


def test_a_reason_that_is_cut(server, observ_db, setup, run_agent):
    """The server's words are cut at a character: quarantine would refuse half of one, again and again."""
    last = setup.fill([log("one")] + [record(HEALTH, f"http://{n}", 200, 1, "t", *[None] * 5, "x" * n + "ü" * 300, None, None) for n in range(2)] + [log("two")])
    run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert server.value(observ_db, "SELECT count(*) FROM observ.log_entries") == 2
    reasons = server.sql(observ_db, "SELECT reason FROM observ.quarantine")
    assert len(reasons) == 2 and all("üü" in reason and "(22007)" in reason for reason, in reasons)


def test_times_the_database_does_not_take(server, observ_db, setup, run_agent):
    """Of the future: moved back, a line keeps what it said; of long ago: put aside. Whatever the kind."""
    future, past = time.time() + 7200, time.time() - 86400 * 365
    last = setup.fill(
        [log(f"future {n}", context, at=future + n) for n, context in enumerate((None, "{}", ' { "a": 1}', "[1]", '{"observ.timestamp": "mine"}'))]
        + [record(HEALTH, "http://x", 200, 1, "t", *[None] * 8, at=at) for at in (future, past)]
        + [record(EVENT, "deployed", f"{n}", *[None] * 3, at=at) for n, at in enumerate((future, future, past))]
        + [record(SAMPLES, "{m}", "{\"{}\"}", "{1}", None, at=at) for at in (future, past)]
        + [metrics(past), log("past", at=past), record(POSITION, "/log", "1", at=past)])
    run_agent(*setup.args())
    delivered(server, observ_db, last)
    lines = server.sql(observ_db, "SELECT message, timestamp <= received_at, context FROM observ.log_entries ORDER BY timestamp")
    assert [message for message, _, _ in lines] == [f"future {n}" for n in range(5)]
    assert all(now for _, now, _ in lines)
    stamp = time.strftime("%Y-%m-%d %H:%M:", time.gmtime(future))
    assert [(c or {}).get("observ.timestamp", "")[:17] if isinstance(c, dict) else c for _, _, c in lines] == [
        stamp, time.strftime("%Y-%m-%d %H:%M:", time.gmtime(future + 1)), time.strftime("%Y-%m-%d %H:%M:", time.gmtime(future + 2)), [1], "mine"]
    assert lines[2][2]["a"] == 1
    assert server.sql(observ_db, "SELECT table_name FROM observ.quarantine ORDER BY 1") == [
        ("events",), ("health_checks",), ("log_entries",), ("metric_samples",), ("vps_metrics",)]
    assert server.value(observ_db, "SELECT count(*) FROM observ.events WHERE kind = 'deployed'") == 2  # one moment, two events: not the same key
    assert server.value(observ_db, "SELECT count(*) FROM observ.log_positions") == 1
    wait_until(lambda: collector(server, observ_db, "clamped_rows, quarantined_rows") == (9, 5), 25, "the counts, with the next batch")


# --- exactly once -------------------------------------------------------------------------------------------------------


def test_cut_after_every_commit(server, observ_db, setup, run_agent, make_proxy):
    """The answers to the first COMMITs never come: no line twice, none lost, although lines have no key."""
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))
    state = {"cuts": 0, "armed": False}

    def saboteur(direction, data):
        if direction == "up" and b"COMMIT\0" in data and state["cuts"] < 5:
            state["armed"] = True
        elif direction == "down" and state["armed"]:
            state["armed"] = False
            state["cuts"] += 1
            raise proxy.Cut
        return data

    between.filter = saboteur
    last = setup.fill([log(f"line {n}") for n in range(9000)])
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("collecting")

    def hurried():
        agent.signal(harness.signal.SIGHUP)  # no need to wait for backoff and jitter
        return (server.value(observ_db, "SELECT max(last_seq) FROM observ.collectors") or 0) >= last

    wait_until(hurried, 60, "all lines", interval=0.3)
    assert state["cuts"] == 5
    assert server.sql(observ_db, "SELECT count(*), count(DISTINCT message) FROM observ.log_entries") == [(9000, 9000)]


def test_a_backlog_comes_after_the_fresh_sample(server, observ_db, setup, run_agent):
    """More than a batch waits: the newest sample goes ahead, then the rest oldest first, and nothing is counted twice."""
    now = time.time()
    lines = [metrics(now - 3000), *(log(f"line {n}") for n in range(5000)), metrics(now - 2000), metrics(now - 10, cpu=99)]
    last = setup.fill(lines)
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    assert server.value(observ_db, "SELECT cpu_percent FROM observ.vps_metrics ORDER BY id LIMIT 1") == 99
    agent.signal(harness.signal.SIGHUP)  # no jitter
    start = time.monotonic()
    delivered(server, observ_db, last)
    assert time.monotonic() - start > 1.5  # 2,000 a second
    assert server.value(observ_db, "SELECT count(DISTINCT message) FROM observ.log_entries") == 5000
    before = server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics")
    wait_for_rows(server, observ_db, before + 1)
    assert collector(server, observ_db, "duplicate_rows, duplicate_batches") == (0, 0)


def test_positions_come_back_when_the_spool_is_lost(server, observ_db, setup, run_agent):
    last = setup.fill([log("x", more=True), record(POSITION, "/var/log/a", "inode 7 offset 99")])
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert agent.stop() == 0
    last = collector(server, observ_db, "last_seq")[0]
    shutil.rmtree(setup.spool)
    agent = run_agent(*setup.args())
    wait_until(lambda: collector(server, observ_db, "last_seq")[0] > last, 30, "a batch of the new spool")
    assert agent.stop() == 0
    assert "inode 7 offset 99" in "".join(p.read_text(errors="replace") for p in setup.spool.iterdir())
    assert server.value(observ_db, "SELECT count(*) FROM observ.collectors") == 1


def test_a_spool_that_was_set_back(server, observ_db, setup, run_agent, tmp_path):
    """A machine that lost its last writes, or was restored: what the database has is not sent again, what is new arrives."""
    first = setup.fill([log("one"), record(POSITION, "/log", "1")])
    shutil.copytree(setup.spool, tmp_path / "old")
    last = setup.fill([log("two"), record(POSITION, "/log", "2")])
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert agent.stop() == 0
    last = collector(server, observ_db, "last_seq")[0]
    assert last > first
    shutil.rmtree(setup.spool)
    shutil.copytree(tmp_path / "old", setup.spool)
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("the spool is behind the database")
    wait_until(lambda: collector(server, observ_db, "last_seq")[0] > last, 30, "a new batch")
    assert agent.stop() == 0
    assert server.sql(observ_db, "SELECT message FROM observ.log_entries ORDER BY id") == [("one",), ("two",)]
    assert server.sql(observ_db, "SELECT state FROM observ.log_positions") == [("2",)]


def test_numbers_that_somebody_else_used(server, observ_db, setup, run_agent):
    """A cloned machine: it says so, once, and nothing is lost, nor sent again once this run has delivered it."""
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    assert agent.stop() == 0
    # As if the clone had delivered, and ours had not noticed: numbers of the next hour.
    server.sql(observ_db, "UPDATE observ.collectors SET last_seq = (extract(epoch FROM now()) * 1000000 + 3600e6)::bigint")
    last = setup.fill([log("mine")])
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("used by somebody else")
    wait_until(lambda: collector(server, observ_db, "last_seq")[0] > last + 1800_000_000, 30, "a batch above")
    for _ in range(2):
        server.sql(observ_db, "UPDATE observ.collectors SET last_seq = last_seq + 3600000000")
        before = server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics")
        wait_for_rows(server, observ_db, before + 2)
    assert server.sql(observ_db, "SELECT message FROM observ.log_entries") == [("mine",)]
    assert agent.stop() == 0
    assert agent.stderr().count("used by somebody else") == 2  # one for a greeting, one for batches


def test_numbers_that_somebody_else_used_during_a_backlog(server, observ_db, setup, run_agent):
    """What waits from an earlier run is not taken for delivered."""
    setup.fill([log(f"line {n}") for n in range(5000)])
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)  # the fresh sample: greeted, and the backlog waits
    last = int(time.time() * 1e6) + 3600_000_000
    server.sql(observ_db, "INSERT INTO observ.collectors (agent_id, last_seq, vps_name) VALUES (%s, %s, %s) ON CONFLICT (agent_id) DO UPDATE SET last_seq = excluded.last_seq",
               ((setup.state / f"agent_id-{VPS}").read_text().split("\n", maxsplit=1)[0], last, VPS))
    server.sql(observ_db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'obs-agent' AND datname = current_database()")
    agent.wait_for_stderr("used by somebody else", 60)
    agent.signal(harness.signal.SIGHUP)
    delivered(server, observ_db, last + 5000, 120)
    assert server.sql(observ_db, "SELECT count(*), count(DISTINCT message) FROM observ.log_entries") == [(5000, 5000)]


def test_numbers_that_somebody_else_used_before_the_start(server, observ_db, setup, run_agent):
    """The agent ended in order, so that nobody can have had more of its records: what would be passed over is told."""
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    assert agent.stop() == 0
    last = setup.fill([log("one"), log("two", level="error"), record(POSITION, "/log", "1")])
    server.sql(observ_db, f"UPDATE observ.collectors SET last_seq = {last + 1}")
    agent = run_agent(*setup.args())
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.events WHERE kind = 'data_lost'") == 1, 30, "the event")
    reason, lost = server.sql(observ_db, "SELECT data ->> 'reason', (data ->> 'logs')::int + (data ->> 'important')::int FROM observ.events WHERE kind = 'data_lost'")[0]
    assert (reason, lost) == ("numbers used by another agent", 2)
    assert agent.stop() == 0


# --- the network --------------------------------------------------------------------------------------------------------


class Puts:
    """What goes over a proxy: for each small flush its statement, and the bytes of both directions since the one before."""

    def __init__(self, between):
        self.between, self.statements, self.bytes, self.commits, self.seen = between, [], [], 0, 0
        self.cut_answers = 0
        self._armed = False
        between.filter = self.filter

    def filter(self, direction, data):
        if direction == "up" and b"observ._put(" in data:
            self.statements.append(data)
            total = sum(self.between.bytes.values())
            self.bytes.append(total - self.seen)
            self.seen = total
            self._armed = self.cut_answers > 0
        elif direction == "up" and b"COMMIT\0" in data:
            self.commits += 1
        elif direction == "down" and self._armed:
            self._armed = False
            self.cut_answers -= 1
            raise proxy.Cut
        return data


@pytest.fixture
def puts(server, observ_db, setup, make_proxy):
    between = make_proxy(server)
    setup.write(server.url(observ_db, port=between.port))
    return Puts(between)


def disk_samples(server, db):
    return server.value(db, "SELECT count(*) FROM observ.metric_samples WHERE metric_name = 'disk_used_bytes'")


def ask_disks(server, db, agent):
    """SIGHUP begins a round of the disks; waits for what it says."""
    before = disk_samples(server, db)
    agent.signal(harness.signal.SIGHUP)
    wait_until(lambda: disk_samples(server, db) > before, 25, "samples of disks")


def test_bytes_of_an_idle_agent(server, observ_db, setup, run_agent, puts):
    """OBSERV_IDLE_MINUTES=10: the average of as many minutes, at the default interval. Else: each small flush with labelled metrics."""
    minutes = int(os.environ.get("OBSERV_IDLE_MINUTES", "0"))
    if minutes:
        setup.write(server.url(observ_db, port=puts.between.port), interval=60)
    agent = run_agent(*setup.args())
    wait_until(lambda: disk_samples(server, observ_db) >= 1, 25, "samples of disks")
    if minutes:
        wait_until(lambda: len(puts.bytes) >= minutes + 3, (minutes + 4) * 60, "flushes", interval=5)
        average = sum(puts.bytes[-minutes:]) / minutes
        print(f"bytes of flushes: {puts.bytes}; average of {minutes}: {average}")
        assert average < 1024
    else:
        # The first ones carry names, and what the agent says of itself in the beginning.
        with_disks = []
        for _ in range(6):
            ask_disks(server, observ_db, agent)
            n = len(puts.bytes)
            wait_until(lambda n=n: len(puts.bytes) > n, 25, "one more flush")
            with_disks = [size for statement, size in zip(puts.statements, puts.bytes[1:]) if b"{4," in statement and b"disk_used" not in statement]
            if with_disks and min(with_disks) < 800:
                break
        print(f"bytes of flushes: {puts.bytes}; with labelled metrics: {with_disks}")
        assert with_disks and min(with_disks) < 800
        assert sum(b"disk_used_bytes" in statement for statement in puts.statements) == 1
    assert puts.commits == 0
    assert collector(server, observ_db, "duplicate_rows, duplicate_batches, quarantined_rows") == (0, 0, 0)


def test_shapes_that_the_database_has_lost(server, observ_db, setup, run_agent, puts):
    """observ.sample_shapes may be emptied at any time: nothing is lost, nothing is doubled, and it is filled again."""
    agent = run_agent(*setup.args())
    wait_until(lambda: disk_samples(server, observ_db) >= 1, 25, "samples of disks")
    ask_disks(server, observ_db, agent)
    for _ in range(2):
        server.sql(observ_db, "DELETE FROM observ.sample_shapes")
        ask_disks(server, observ_db, agent)
        assert server.value(observ_db, "SELECT count(*) FROM observ.sample_shapes WHERE 'disk_used_bytes' = ANY (metric_names)") >= 1
    mounts = "SELECT count(DISTINCT labels) FROM observ.metric_samples WHERE metric_name = 'disk_used_bytes'"
    assert disk_samples(server, observ_db) >= 4 * server.value(observ_db, mounts)
    assert puts.commits == 0
    assert collector(server, observ_db, "duplicate_rows, duplicate_batches, quarantined_rows") == (0, 0, 0)
    assert agent.stop() == 0
    assert "does not take rows" not in agent.stderr()


def test_the_answer_to_a_small_flush_is_lost(server, observ_db, setup, run_agent, puts):
    """The greeting that follows says that everything is there: it does not come again, and nothing is lost."""
    puts.cut_answers = 3
    now = time.time()
    last = setup.fill([record(HEALTH, f"http://{n}", 200, n, "t", *[None] * 8, at=now - 20 + n) for n in range(5)]
                      + [metrics(now - 30 + n) for n in range(5)]
                      + [record(SAMPLES, "{a_total,b}", '{"{}","{}"}', f"{{{n},{n}}}", None, at=now - 40 + n) for n in range(5)])
    agent = run_agent(*setup.args())
    agent.wait_for_stderr("collecting")

    def hurried():
        agent.signal(harness.signal.SIGHUP)  # no backoff
        return puts.cut_answers == 0 and collector(server, observ_db, "last_seq")[0] > last
    wait_until(hurried, 60, "three cuts", interval=0.5, retry_on=IndexError)
    n = len(puts.statements)
    wait_until(lambda: len(puts.statements) > n + 1, 40, "two more flushes")
    assert server.sql(observ_db, "SELECT url FROM observ.health_checks ORDER BY id") == [(f"http://{n}",) for n in range(5)]
    assert server.sql(observ_db, "SELECT value FROM observ.metric_samples WHERE metric_name = 'a_total' ORDER BY timestamp") == [(n,) for n in range(5)]
    assert server.value(observ_db, "SELECT count(*) = count(DISTINCT timestamp) AND count(*) >= 5 FROM observ.vps_metrics")
    assert collector(server, observ_db, "duplicate_batches, duplicate_rows") == (0, 0)


def test_small_flushes_that_need_another_way(server, observ_db, setup, run_agent, puts):
    """A bad row, a time in the future or of long ago, a log line: in steps, as ever, and the next one is small again."""
    now = time.time()
    last = setup.fill([record(HEALTH, "http://good", 200, 1, "t", *[None] * 8, at=now - 9), record(HEALTH, "http://bad", "x", 1, "t", *[None] * 8, at=now - 8),
                       record(SAMPLES, "{a}", '{"{}"}', "{1}", None, at=now - 7), record(SAMPLES, "{a}", '{"["}', "{1}", None, at=now - 6), metrics(now - 5)])
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert server.sql(observ_db, "SELECT url FROM observ.health_checks") == [("http://good",)]
    assert server.sql(observ_db, "SELECT table_name FROM observ.quarantine ORDER BY 1") == [("health_checks",), ("metric_samples",)]
    assert server.value(observ_db, "SELECT count(*) FROM observ.metric_samples WHERE metric_name = 'a'") == 1
    assert agent.stop() == 0
    commits = puts.commits
    assert commits > 0
    last = setup.fill([metrics(now + 7200), record(HEALTH, "http://old", 200, 1, "t", *[None] * 8, at=now - 86400 * 365)])
    agent = run_agent(*setup.args())
    delivered(server, observ_db, last)
    assert puts.commits > commits
    assert server.value(observ_db, "SELECT max(timestamp) <= clock_timestamp() FROM observ.vps_metrics")
    wait_until(lambda: collector(server, observ_db, "clamped_rows, quarantined_rows") == (1, 3), 25, "the counts, with the next batch")
    commits, n = puts.commits, len(puts.statements)
    wait_until(lambda: len(puts.statements) > n + 1, 40, "small flushes")
    assert puts.commits == commits


@pytest.fixture
def pgbouncer(server, observ_db):
    """Port of a PgBouncer in transaction mode with one server connection."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="obs-bouncer-", dir="/tmp"))
    home.chmod(0o755)
    port = harness.free_port()
    (home / "users").write_text('"postgres" ""\n')
    (home / "ini").write_text(f"""[databases]
{observ_db} = user=postgres host=127.0.0.1 port={server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
auth_file = {home}/users
pool_mode = transaction
default_pool_size = 1
logfile =
""")
    with subprocess.Popen(["/usr/sbin/pgbouncer", "-q", home / "ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          **harness.server_identity()) as bouncer:
        yield port
        bouncer.kill()
    shutil.rmtree(home)



def test_pgbouncer_in_transaction_mode(server, observ_db, setup, run_agent, tmp_path, pgbouncer):
    """Agents take turns on one connection of the server, with every kind of statement; a bad record rolls back in between."""
    setup.write(server.url(observ_db, port=pgbouncer))
    last = setup.fill([*(log(f"line {n}", more=True) for n in range(3000)), record(POSITION, "/log", "1"), log("bad", "{"),
                       record(SAMPLES, "{m}", '{"{}"}', "{1}", None), record(EVENT, "deployed", *[None] * 4),
                       record(HEALTH, "http://x", 200, 1, "t", *[None] * 8)])
    agents = [run_agent(*setup.args())]
    agents[0].wait_for_stderr("collecting")
    agents[0].signal(harness.signal.SIGHUP)
    for name in ("vps-1", "vps-2"):
        (tmp_path / name).mkdir()
        agents.append(run_agent(*Setup(tmp_path / name, server.url(observ_db, port=pgbouncer)).args(vps=name)))
    wait_until(lambda: server.sql(observ_db, "SELECT vps_name FROM observ.vps_metrics GROUP BY 1 HAVING count(*) >= 2 ORDER BY 1")
               == [(VPS,), ("vps-1",), ("vps-2",)], 60, "two rows of three agents")
    assert server.value(observ_db, "SELECT max(last_seq) FROM observ.collectors WHERE vps_name = %s", (VPS,)) >= last
    wait_until(lambda: server.value(observ_db, "SELECT count(DISTINCT vps_name) FROM observ.sample_shapes") == 3, 30, "shapes of three agents")
    assert server.sql(observ_db, "SELECT count(*), count(DISTINCT message) FROM observ.log_entries") == [(3000, 3000)]
    assert server.sql(observ_db, "SELECT (SELECT count(*) FROM observ.quarantine), (SELECT count(*) FROM observ.events WHERE kind = 'deployed'), "
                                 "(SELECT count(*) FROM observ.health_checks)") == [(1, 1, 1)]
    # What a transaction set for itself has not stayed in the server's session.
    assert server.value(observ_db, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'obs-agent'") <= 1
    with harness.psycopg.connect(server.url(observ_db, port=pgbouncer), autocommit=True, prepare_threshold=None) as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("0",)
    for agent in agents:
        assert agent.stop(5) == 0
        assert "does not take rows" not in agent.stderr()
