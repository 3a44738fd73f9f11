"""Rollups: whatever the order of arrival, they are what a computation from scratch gives, bit for bit, and what SQL says of the raw rows."""

import math
import random
import struct
import threading

import psycopg
import pytest

from harness import wait_until

SERVER = {"settings": {"observ.roll_up_interval": "0", "observ.refresh_fleet_summary_interval": "0", "observ.expire_series_interval": "0",
                       "observ.apply_retention_interval": "0",
                       "extra_float_digits": "3"}}
START = 1767225600  # 2026-01-01 00:00:00 UTC, seconds
HOURS = 30
AT = "to_timestamp(%s)"
TABLES = ("metrics_5m", "metrics_1h", "health_5m", "health_1h")
# Everything that is rolled up, as text, in a fixed order.
CONTENT = {t: f"SELECT t::text FROM observ.{t} t ORDER BY 1" for t in TABLES}
RAW = ("vps_metrics", "health_checks", "metric_scrapes")


@pytest.fixture
def db(server, observ_db):
    """A database with partitions of the days that the tests are about, without rows."""
    with server.connect(observ_db) as conn:
        for hour in (0, 24 * 7):
            # The scheduler may be at it for its own time.
            wait_until(lambda at=START + hour * 3600: conn.execute(f"SELECT status FROM observ.maintain_partitions({AT})", (at,)).fetchone() == ("ok",),
                       30, "the partitions")
    return observ_db


def content(conn):
    return {table: [row[0] for row in conn.execute(query).fetchall()] for table, query in CONTENT.items()}


def roll_up(conn, seconds):
    """One pass at that time; its row as a dictionary."""
    cursor = conn.execute(f"SELECT * FROM observ.roll_up({AT})", (seconds,))
    return dict(zip([c.name for c in cursor.description], cursor.fetchone()))


def roll_up_all(conn, seconds):
    """Passes until there is nothing more to do."""
    for _ in range(1000):
        done = roll_up(conn, seconds)
        assert done["status"] in ("ok", "more", "busy"), done
        if done["status"] == "ok" and done["dirty_left"] == 0:
            return done
    raise AssertionError("roll_up() does not come to an end")


def from_scratch(conn, seconds):
    """What a computation of everything gives, in a transaction that is undone."""
    with conn.transaction(force_rollback=True):
        for table in TABLES:
            conn.execute(f"TRUNCATE observ.{table}")
        conn.execute("TRUNCATE observ_data.rollup_dirty")
        conn.execute("UPDATE observ_data.rollup_state SET horizon = '-infinity', rolled_5m = '-infinity', rolled_1h = '-infinity', "
                     "seen_xid = NULL")
        roll_up_all(conn, seconds)
        return content(conn)


def check(conn, seconds):
    """The rollups are those of a computation from scratch."""
    done = roll_up_all(conn, seconds)
    is_there, expected = content(conn), from_scratch(conn, seconds)
    for table in TABLES:
        assert is_there[table] == expected[table], table
    return done


def value(rng):
    """Of every kind: plain, repeated, huge, not a number."""
    kind = rng.random()
    if kind < 0.5:
        return round(rng.uniform(0, 100), 2)
    if kind < 0.8:
        return float(rng.randrange(3))
    if kind < 0.9:
        return None
    if kind < 0.95:
        return rng.choice([math.nan, math.inf, -math.inf])
    return rng.uniform(-1e30, 1e30)


def moment(rng, now):
    """Mostly of now, sometimes late, never in the future of the test."""
    back = rng.random()
    age = rng.uniform(0, 700) if back < 0.6 else rng.uniform(0, 7200) if back < 0.9 else rng.uniform(0, HOURS * 3600)
    return max(START, now - age) + rng.choice([0, rng.random()])


def insert_random(conn, rng, now, vps):
    """Some rows of one VPS in one of the raw tables, in any order."""
    table = rng.choice(RAW)
    rows = sorted((moment(rng, now) for _ in range(rng.randrange(1, 12))), reverse=rng.random() < 0.3)
    if rng.random() < 0.3:
        rng.shuffle(rows)
    with conn.cursor() as cursor:
        for at in rows:
            app = rng.choice(["", "shop"])
            if table == "vps_metrics":
                cursor.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, app_name, cpu_percent, memory_mb, oom_kills, uptime_seconds, "
                               f"interval_ms) VALUES ({AT}, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                               (at, vps, app, value(rng), value(rng), rng.randrange(3), rng.randrange(10**12),
                                rng.choice([None, 5000, 5000, 30000, 60000, -1, 0])))
            elif table == "health_checks":
                cursor.execute(f"INSERT INTO observ.health_checks (timestamp, vps_name, app_name, url, response_time_ms, success, inconclusive) "
                               f"VALUES ({AT}, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                               (at, vps, app, rng.choice(["http://a/", "http://b/ü"]), value(rng), rng.random() < 0.8, rng.random() < 0.1))
            else:
                cursor.execute(f"INSERT INTO observ.metric_scrapes (timestamp, vps_name, app_name, set_no, values) "
                               f"VALUES ({AT}, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                               (at, vps, app, rng.randrange(1, 3), [value(rng) for _ in range(rng.randrange(1, 6))]))


def make_series(conn, vps_names):
    """Slots 1 and 2 are gauges, 3 to 5 counters."""
    for vps in vps_names:
        for app in ("", "shop"):
            for set_no in (1, 2):
                for slot in range(1, 6):
                    conn.execute("INSERT INTO observ.metric_series (vps_name, series_id, app_name, metric_name, kind, set_no, slot, first_seen, "
                                 "last_seen) VALUES (%s, %s, %s, %s, %s, %s, %s, now(), now())",
                                 (vps, hash((vps, app, set_no, slot)) % 2**62, app, f"m{set_no}_{slot}",
                                  "counter" if slot > 2 else "gauge", set_no, slot))


# ---- what SQL says, independently

def f4(number):
    """Rounded to a real, as the column does."""
    return struct.unpack("f", struct.pack("f", number))[0]


def sql_says(conn, rolled_to):
    """Count, min, max, last, sum, weighted average of two columns per bucket; and of health checks, counted by SQL."""
    finite = "NOT IN ('NaN', 'Infinity', '-Infinity')"
    weight = "CASE WHEN interval_ms > 0 THEN interval_ms ELSE 60000 END"
    metrics = []
    for column in ("cpu_percent", "memory_mb", "oom_kills", "uptime_seconds"):
        metrics += conn.execute(
            f"""SELECT date_bin('5 min', timestamp, '2000-01-01 00:00+00'), vps_name, app_name, '{column}', count(v), min(v), max(v),
                   (array_agg(v ORDER BY timestamp DESC))[1], sum(v ORDER BY timestamp), sum(v * w) / sum(w)
                FROM (SELECT *, {column}::float8 AS v, {weight} AS w FROM observ.vps_metrics) r
                WHERE v {finite} AND timestamp < {AT} GROUP BY 1, 2, 3""", (rolled_to,)).fetchall()
    health = conn.execute(
        f"""SELECT date_bin('5 min', timestamp, '2000-01-01 00:00+00'), vps_name, app_name, url, count(*) FILTER (WHERE NOT inconclusive),
               count(*) FILTER (WHERE NOT success AND NOT inconclusive), count(*) FILTER (WHERE inconclusive),
               count(r) FILTER (WHERE NOT inconclusive AND r {finite}), sum(r ORDER BY timestamp) FILTER (WHERE NOT inconclusive AND r {finite}),
               min(r) FILTER (WHERE NOT inconclusive AND r {finite}), max(r) FILTER (WHERE NOT inconclusive AND r {finite}),
               (array_agg(r ORDER BY timestamp DESC) FILTER (WHERE NOT inconclusive AND r {finite}))[1]
            FROM (SELECT *, response_time_ms::float8 AS r FROM observ.health_checks) h WHERE timestamp < {AT} GROUP BY 1, 2, 3, 4""",
        (rolled_to,)).fetchall()
    return metrics, health


def check_against_sql(conn, rolled_to):
    metrics, health = sql_says(conn, rolled_to)
    found = {tuple(r[:4]): r[4:] for r in conn.execute(
        "SELECT timestamp, vps_name, app_name, metric, count, min, max, last, sum, avg FROM observ.vps_metrics_5m").fetchall()}
    assert found.keys() == {tuple(r[:4]) for r in metrics}
    for row in metrics:
        *exact, average = found[tuple(row[:4])]
        assert tuple(exact) == tuple(row[4:9]), row[:4]
        assert math.isclose(average, min(max(row[9], row[5]), row[6]), rel_tol=1e-9, abs_tol=1e-6 * max(abs(row[5]), abs(row[6]))), row[:4]
    rolled = conn.execute("SELECT timestamp, vps_name, app_name, url, checks, failures, inconclusive, response_count, response_sum_ms, "
                          "response_min_ms::float8, response_max_ms::float8, response_last_ms::float8 FROM observ.health_5m").fetchall()
    assert sorted(rolled, key=str) == sorted(health, key=str)
    check_series_against_python(conn, rolled_to)


def check_series_against_python(conn, rolled_to):
    """Counts and increases of labelled metrics, hour by hour."""
    samples = {}
    for at, *key, values in conn.execute(f"SELECT extract(epoch FROM timestamp)::float8, vps_name, app_name, set_no, values FROM "
                                         f"observ.metric_scrapes WHERE timestamp < {AT} ORDER BY timestamp", (rolled_to - rolled_to % 3600,)):
        for slot, number in enumerate(values, 1):
            if number is not None and math.isfinite(number):
                samples.setdefault((at // 3600 * 3600, *key, slot), []).append(number)
    expected = {}
    for key, numbers in samples.items():
        increase = None
        if key[-1] > 2:
            increase = sum(b - a if b >= a else max(b, 0) for a, b in zip(numbers, numbers[1:]))
        expected[key] = (len(numbers), min(numbers), max(numbers), numbers[-1], increase)
    found = {}
    for row in conn.execute("SELECT extract(epoch FROM m.timestamp)::float8, m.vps_name, m.app_name, m.set_no, c.slot, c.count, c.min, c.max, c.last, "
                            "c.increase FROM observ.metrics_1h m, observ_data._unpack_cells(m.cells) c WHERE set_no <> -1"):
        found[tuple(row[:5])] = row[5:]
    assert found.keys() == expected.keys()
    for key, (count, low, high, last, increase) in expected.items():
        assert found[key][:4] == (count, low, high, last), key
        if increase is None:
            assert found[key][4] is None
        else:
            assert math.isclose(found[key][4], increase, rel_tol=1e-9, abs_tol=1e-3 * max(1, abs(high), abs(low)) * 1e-6), key


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_arrival_gives_the_same(server, db, seed):
    """Random rows, late ones, duplicates, gaps, counters that start again, NaN and infinities, and passes in between."""
    rng = random.Random(seed)
    now = START + rng.randrange(600)
    late = 0
    with server.connect(db) as conn:
        make_series(conn, ("web-1", "web-2"))
        while now < START + HOURS * 3600:
            with conn.transaction():
                for _ in range(rng.randrange(1, 6)):
                    insert_random(conn, rng, now, rng.choice(["web-1", "web-2"]))
            if rng.random() < 0.5:
                late += roll_up(conn, now)["late_keys"]
            if rng.random() < 0.05:
                check(conn, now)
            now += rng.choice([60, 300, 900]) if rng.random() < 0.95 else 4 * 3600
        assert late > 0
        done = check(conn, now)
        check_against_sql(conn, done["rolled_to"].timestamp())
        assert roll_up(conn, now)["rows_written"] == 0


def test_writers_with_long_transactions(server, db):
    """Several writers whose transactions last over several passes, from several sessions: nothing is missed, nothing written twice."""
    stop = threading.Event()
    failures = []
    clock = [START + 3600.0]

    def write(seed):
        rng = random.Random(seed)
        try:
            with server.connect(db, autocommit=False) as conn:
                while not stop.is_set():
                    for _ in range(rng.randrange(1, 8)):
                        insert_random(conn, rng, clock[0], f"web-{seed}")
                        if rng.random() < 0.1:
                            conn.execute("SAVEPOINT s")
                            insert_random(conn, rng, clock[0], f"web-{seed}")
                            conn.execute(rng.choice(["RELEASE s", "ROLLBACK TO s"]))
                        stop.wait(rng.random() * 0.1)
                    if rng.random() < 0.15:
                        conn.rollback()
                    else:
                        conn.commit()
                conn.commit()
        except BaseException as error:
            failures.append(error)

    def roll():
        try:
            with server.connect(db) as conn:
                while not stop.is_set():
                    roll_up(conn, clock[0])
        except BaseException as error:
            failures.append(error)

    with server.connect(db) as conn:
        make_series(conn, [f"web-{n}" for n in range(4)])
        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)] + [threading.Thread(target=roll) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(60):
            clock[0] += 240
            stop.wait(0.1)
        stop.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not failures, failures
        done = check(conn, clock[0])
        check_against_sql(conn, done["rolled_to"].timestamp())


def test_backfill_below_the_watermark(server, db):
    """More late keys than one pass takes: the job goes on by itself, oldest first."""
    with server.connect(db) as conn:
        roll_up_all(conn, START + 30 * 3600)
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) SELECT {AT} + i * interval '1 min', 'web-' || v, i %% 100 "
                     f"FROM generate_series(0, 1439) i, generate_series(1, 30) v", (START,))
        first = roll_up(conn, START + 30 * 3600)
        assert (first["status"], first["late_keys"], first["recomputed"], first["dirty_left"]) == ("more", 8640, 5000, 3640)
        assert conn.execute("SELECT max(timestamp) < (SELECT min(timestamp) + interval '5 min' FROM observ_data.rollup_dirty) "
                            "FROM observ.metrics_5m").fetchone() == (True,)
        check(conn, START + 30 * 3600)
    server.reload(**{"observ.roll_up_interval": "3600"})
    with server.connect(db) as conn:
        conn.execute(f"SELECT observ.recompute_rollups({AT}, {AT})", (START, START + 86400))
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'observ scheduler' AND datname = %s", (db,))
        wait_until(lambda: conn.execute("SELECT count(*) FROM observ_data.rollup_dirty").fetchone() == (0,), 60, "the job to run until it is done")
    server.reload(**{"observ.roll_up_interval": "0"})


def test_hand_edits(server, db):
    """Rows that were changed or deleted by hand: recompute_rollups() in the same transaction, also beside a pass."""
    with server.connect(db) as conn:
        for minute in range(180):
            conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES ({AT}, 'web-1', %s)", (START + 60 * minute, minute))
        roll_up_all(conn, START + 86400)
        with server.connect(db, autocommit=False) as other:
            other.execute(f"UPDATE observ.vps_metrics SET cpu_percent = -1 WHERE timestamp = {AT}", (START + 60,))
            other.execute(f"DELETE FROM observ.vps_metrics WHERE timestamp >= {AT} AND timestamp < {AT}", (START + 3600, START + 7200))
            assert other.execute(f"SELECT observ.recompute_rollups({AT}, {AT})", (START, START + 7200)).fetchone() == (24,)
            assert roll_up(conn, START + 86400)["status"] == "busy"
            other.commit()
        done = roll_up(conn, START + 86400)
        assert (done["status"], done["recomputed"]) == ("ok", 24)
        check(conn, START + 86400)
        assert conn.execute("SELECT count(*) FROM observ.metrics_1h").fetchone() == (2,)


def test_dropped_days(server, db):
    """Keys whose raw rows retention has dropped leave the log, and what is rolled up of them stays."""
    with server.connect(db) as conn:
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES ({AT}, 'web-1', 7)", (START + 60,))
        roll_up_all(conn, START + 3 * 86400)
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) VALUES ({AT}, 'web-1', 9)", (START + 120,))
        conn.execute(f"SELECT observ.recompute_rollups({AT}, {AT})", (START, START + 86400))
        conn.execute("DROP TABLE observ_data.vps_metrics_20260101")
        done = roll_up(conn, START + 3 * 86400)
        assert (done["status"], done["expired"], done["recomputed"], done["dirty_left"]) == ("ok", 1, 0, 0)
        assert conn.execute("SELECT max, count FROM observ.vps_metrics_5m").fetchall() == [(7, 1)]


def test_a_key_that_fails_is_set_aside(server, db):
    """Three times, then it is left alone and counted; the others are made right. recompute_rollups() tries again."""
    with server.connect(db) as conn:
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) SELECT {AT} + i * interval '1 min', v, i "
                     f"FROM generate_series(0, 119) i, unnest(ARRAY['bad', 'good']) v", (START,))
        roll_up_all(conn, START + 86400)
        conn.execute("ALTER TABLE observ.metrics_5m ADD CONSTRAINT not_bad CHECK (vps_name <> 'bad') NOT VALID")
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) SELECT {AT} + interval '30 s', v, 1000 "
                     f"FROM unnest(ARRAY['bad', 'good']) v", (START,))
        for tries in (1, 2, 3):
            done = roll_up(conn, START + 86400)
            assert (done["status"], done["recomputed"]) == ("failed", 1 if tries == 1 else 0)
        assert (done["dirty_left"], done["set_aside"]) == (0, 1)
        done = roll_up(conn, START + 86400)
        assert (done["status"], done["set_aside"]) == ("ok", 1)
        assert "not_bad" in conn.execute("SELECT error FROM observ_data.rollup_dirty").fetchone()[0]
        conn.execute("ALTER TABLE observ.metrics_5m DROP CONSTRAINT not_bad")
        conn.execute(f"SELECT observ.recompute_rollups({AT}, {AT})", (START, START + 300))
        check(conn, START + 86400)
        assert conn.execute("SELECT vps_name FROM observ.vps_metrics_1h WHERE max = 1000 ORDER BY 1").fetchall() == [("bad",), ("good",)]


def test_a_corrupt_row_is_named_and_mended(server, db):
    """Bytes that are no cells: readers and the job say which, hours of others wait, and recompute_rollups() mends it."""
    with server.connect(db) as conn:
        conn.execute(f"INSERT INTO observ.vps_metrics (timestamp, vps_name, cpu_percent) SELECT {AT} + i * interval '1 min', 'web-1', i "
                     f"FROM generate_series(0, 89) i", (START,))
        roll_up(conn, START + 3600)
        conn.execute(f"UPDATE observ.metrics_5m SET cells = '\\x01ff00' WHERE timestamp = {AT}", (START,))
        with pytest.raises(psycopg.errors.DataCorrupted):
            conn.execute(f"SELECT * FROM observ.metrics_history('web-1', '', ARRAY['cpu_percent'], {AT}, {AT}, 30)", (START, START + 7200))
        assert roll_up(conn, START + 7200)["status"] == "failed"
        conn.execute(f"SELECT observ.recompute_rollups({AT}, {AT})", (START, START + 300))
        check(conn, START + 7200)
