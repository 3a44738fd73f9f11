"""Samples of labelled metrics sent in any split, order and number of times, by several writers at once, some of them cut off: the same rows."""

import random
import threading

import psycopg
from psycopg.types.json import Jsonb

from test_ingest_races import deadlocks, in_parallel

SERVER = {"settings": {"observ.expire_series_interval": "0", "max_locks_per_transaction": "128", "deadlock_timeout": "'100ms'"}}
INSERT = ("SELECT stored, duplicates, rejected, new_series FROM observ.insert_samples(%s, 'app', "
          "(SELECT array_agg(date_trunc('day', now()) + make_interval(secs => s) ORDER BY i) "
          "FROM unnest(%s::int[]) WITH ORDINALITY x (s, i)), %s::text[], %s::jsonb[], %s::float8[])")
SAMPLES = ("SELECT extract(epoch FROM \"timestamp\" - date_trunc('day', now()))::int, metric_name, (labels->>'n')::int, value "
           "FROM observ.metric_samples WHERE vps_name = %s")
# Nobody shares a slot, and the counts are right.
CONSISTENT = ("SELECT (SELECT count(*) FROM observ.metric_series), (SELECT count(DISTINCT (vps_name, app_name, set_no, slot)) FROM observ.metric_series), "
              "(SELECT sum(series) FROM observ.metric_usage)")


def scrapes(times, series):
    """Samples as (seconds of the day, metric, n, value); the value follows from the rest, as in a scrape that is sent twice."""
    return [(t, f"metric_{n % 7}", n, t * 1000.0 + n) for t in range(times) for n in range(series)]


def send(conn, vps, samples):
    """One call; its counts."""
    return conn.execute(INSERT, (vps, [s[0] for s in samples], [s[1] for s in samples], [Jsonb({"n": s[2]}) for s in samples],
                                 [s[3] for s in samples])).fetchone()


def test_any_split_by_any_number_of_writers_gives_the_same_rows(server, observ_db):
    samples = scrapes(times=12, series=150)
    stored, new = [], []

    def writer(number):
        chance = random.Random(number)
        mine = samples[:]
        chance.shuffle(mine)
        with server.connect(observ_db) as conn:
            while mine:
                part, mine = mine[:300], mine[chance.randint(1, 300):]  # parts overlap: retries
                counts = send(conn, "web-1", part)
                assert counts[0] + counts[1] == len(part) and counts[2] == 0
                stored.append(counts[0])
                new.append(counts[3])

    in_parallel(writer, [(n,) for n in range(6)])
    with server.connect(observ_db) as conn:
        assert sorted(conn.execute(SAMPLES, ("web-1",)).fetchall()) == sorted(samples)
        assert (sum(stored), sum(new)) == (len(samples), 150)
        assert conn.execute(CONSISTENT).fetchone() == (150, 150, 150)
        assert conn.execute("SELECT count(*) FROM observ.metric_scrapes").fetchone()[0] == 12 * 3
    assert deadlocks(server, observ_db) == 0


def test_writers_that_are_cut_off_leave_all_or_nothing(server, observ_db):
    """Each call is one transaction: what a terminated one leaves is what a later one finds missing."""
    samples = scrapes(times=20, series=130)
    done = threading.Event()

    def writer(number):
        chance = random.Random(number)
        mine = samples[:]
        chance.shuffle(mine)
        conn = server.connect(observ_db)
        while mine:
            try:
                assert sum(send(conn, "web-1", mine[:200])[:3]) == len(mine[:200])
                mine = mine[200:]
            except (psycopg.OperationalError, psycopg.errors.AdminShutdown):
                conn.close()
                conn = server.connect(observ_db)
        conn.close()

    def killer():
        chance = random.Random(0)
        with server.connect(observ_db) as conn:
            while not done.wait(chance.random() / 50):
                conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%insert_samples%%' "
                             "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")

    axe = threading.Thread(target=killer)
    axe.start()
    try:
        in_parallel(writer, [(n,) for n in range(4)])
    finally:
        done.set()
        axe.join(30)
    with server.connect(observ_db) as conn:
        assert sorted(conn.execute(SAMPLES, ("web-1",)).fetchall()) == sorted(samples)
        assert conn.execute(CONSISTENT).fetchone() == (130, 130, 130)


def test_json_batches_over_many_vps_do_not_deadlock(server, observ_db):
    """Writers that bring new series of the same VPSs in different orders lock them in the same one."""
    def writer(number):
        with server.connect(observ_db) as conn:
            midnight = float(conn.execute("SELECT extract(epoch FROM date_trunc('day', now()))").fetchone()[0])
            rows = [{"metric_name": f"m{number}_{n % 5}", "value": n, "vps_name": f"vps-{n % 20}", "labels": {"w": n % 3}, "timestamp": midnight}
                    for n in range(400)]
            random.Random(number).shuffle(rows)
            counts = conn.execute("SELECT stored + duplicates, rejected, errors FROM observ.insert_metrics(%s)", (Jsonb(rows),)).fetchone()
            assert counts == (400, 0, [])

    in_parallel(writer, [(n,) for n in range(8)])
    with server.connect(observ_db) as conn:
        series, slots, used = conn.execute(CONSISTENT).fetchone()
        assert series == slots == used
    assert deadlocks(server, observ_db) == 0


def test_the_limit_holds_when_everybody_brings_new_series(server, observ_db):
    """Writers of one VPS at once, each with series of its own, don't overshoot the limit together."""
    server.sql(observ_db, f"ALTER DATABASE {observ_db} SET observ.max_series_per_vps = 100")

    def writer(number):
        with server.connect(observ_db) as conn:
            for turn in range(10):
                counts = send(conn, "web-1", [(turn, f"writer_{number}", turn * 5 + n, 1.0) for n in range(5)])
                assert counts[0] + counts[2] == 5

    in_parallel(writer, [(n,) for n in range(6)])
    with server.connect(observ_db) as conn:
        assert conn.execute(CONSISTENT).fetchone() == (100, 100, 100)
        assert conn.execute("SELECT rejected FROM observ.metric_usage").fetchone()[0] == 6 * 50 - 100
