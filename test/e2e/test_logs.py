"""Log search beside writers and the job: pages, counts, hostile queries, dropped partitions."""

import contextlib
import random
import string
import threading

import pytest
from psycopg import errors

import harness

SERVER = {"settings": {"observ.update_log_templates_interval": "0", "observ.refresh_fleet_summary_interval": "0", "max_locks_per_transaction": "128"}}


@contextlib.contextmanager
def writers(server, db, count, work):
    """Threads that call work(connection, random generator, number of turn) over and over while the block runs; yields the list of how many turns each made."""
    stop, failures, turns = threading.Event(), [], [0] * count

    def loop(number):
        rng = random.Random(number)
        try:
            with server.connect(db) as conn:
                while not stop.is_set():
                    work(conn, rng, turns[number])
                    turns[number] += 1
        except BaseException as exc:  # noqa: BLE001  (shown by the main thread)
            failures.append(exc)

    threads = [threading.Thread(target=loop, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield turns
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


def pages(conn, arguments, size, params=()):
    """The ids of all pages of a search, in order."""
    found, cursor = [], None
    while True:
        page = conn.execute(f'SELECT id, cursor FROM observ.search_logs({arguments}, "limit" => %s, after => %s)', (*params, size, cursor)).fetchall()
        found += [row[0] for row in page]
        if len(page) < size:
            return found
        cursor = page[-1][1]


def write_some(conn, rng, _turn):
    """A few entries: of now, late ones, several of one time; sometimes rolled back."""
    with contextlib.suppress(ZeroDivisionError), conn.transaction():
        for _ in range(rng.randint(1, 4)):
            conn.execute("INSERT INTO observ.log_entries (\"timestamp\", vps_name, app_name, level, message) SELECT now() - %s * interval '1 s', 'w' || %s, 'live', "
                         "(ARRAY['info', 'error'])[1 + n %% 2], 'live word number ' || n FROM generate_series(1, %s) n",
                         (rng.choice([0, 0, 5, 4000, 90000]), rng.randint(1, 3), rng.randint(1, 40)))
        if rng.random() < 0.1:
            raise ZeroDivisionError


@pytest.mark.parametrize("arguments", ["NULL", "'word'", "'steady'", "NULL, vps => 'steady-1'", "NULL, level => 'info'", "'word -number'"])
def test_pages_while_entries_arrive(server, observ_db, arguments):
    """Nothing twice, nothing missed of what was there before, and newest first, whatever is written meanwhile."""
    server.sql(observ_db, """
        INSERT INTO observ.log_entries ("timestamp", vps_name, app_name, level, message)
        SELECT date_trunc('minute', now()) - n / 50 * interval '1 h', 'steady-' || n % 3, 'app', (ARRAY['info', 'WARN'])[1 + n % 2], 'steady word ' || n FROM generate_series(1, 3000) n""")
    with server.connect(observ_db) as conn:
        before = [r[0] for r in conn.execute(f'SELECT id FROM observ.search_logs({arguments}, "limit" => NULL)').fetchall()]
        assert len(before) >= 1000
        with writers(server, observ_db, 2, write_some) as turns:
            for size in (7, 100):
                found = pages(conn, arguments, size)
                assert len(found) == len(set(found))
                assert set(before) <= set(found)
                assert [i for i in found if i in set(before)] == before
            harness.wait_until(lambda: min(turns) > 3, 30, "the writers to have written")


def test_every_entry_is_counted_once(server, observ_db):
    """Counts, templates and histogram agree with the entries at any time, beside writers whose transactions overlap the passes of the job."""
    def count(conn, _rng, _turn):
        conn.execute("SELECT observ.update_log_templates()")

    def check(conn):
        with conn.transaction():
            entries, histogram, by_app = conn.execute(
                "SELECT (SELECT count(*) FROM observ.log_entries), "
                "(SELECT sum(count) FROM observ.log_histogram(\"from\" => now() - interval '3 days', \"to\" => now() + interval '1 day', step => '5 min')), "
                "(SELECT sum(count) FROM observ.log_histogram(app => 'live', \"from\" => now() - interval '3 days', \"to\" => now() + interval '1 day', step => '1 h'))").fetchone()
        assert entries == (histogram or 0) == (by_app or 0)

    with server.connect(observ_db) as conn, writers(server, observ_db, 3, write_some) as wrote, writers(server, observ_db, 1, count) as counted:
        harness.wait_until(lambda: (check(conn), min(wrote) > 30 and counted[0] > 20)[1], 60, "enough turns")
    with server.connect(observ_db) as conn:
        total = conn.execute("SELECT count(*) FROM observ.log_entries").fetchone()[0]

        def all_counted():
            conn.execute("SELECT observ.update_log_templates()")
            return conn.execute("SELECT sum(count) FROM observ.log_templates").fetchone()[0] == total
        harness.wait_until(all_counted, 30, "all entries to be counted")
        assert conn.execute("SELECT sum(count) FROM observ.log_counts WHERE app_name IS NULL").fetchone()[0] == total
        assert conn.execute("SELECT sum(count) FROM observ.log_counts WHERE app_name = 'live'").fetchone()[0] == total
        assert conn.execute("SELECT sum(count) FROM observ.log_template_counts").fetchone()[0] == total
        assert conn.execute("SELECT template FROM observ.log_templates").fetchall() == [("live word number <*>",)] * 2


def test_a_backfill_is_counted_in_slices(server, observ_db):
    """More entries at once than one slice holds, from a job that never ran."""
    rows = 700000
    server.sql(observ_db, "INSERT INTO observ.log_entries (\"timestamp\", vps_name, level, message) SELECT now() - n * interval '1 ms', 'v', 'info', 'line ' || n "
                          f"FROM generate_series(1, {rows}) n")
    done = 0

    def all_counted():
        nonlocal done
        status, entries = server.sql(observ_db, "SELECT status, entries FROM observ.update_log_templates()")[0]
        assert status == "ok"
        done += entries
        return done == rows
    harness.wait_until(all_counted, 120, "the backfill to be counted")
    assert server.sql(observ_db, "SELECT template, count FROM observ.log_templates") == [("line <*>", rows)]


def test_pending_lists_are_merged(server, observ_db):
    """After a pass nothing is left for searches to read one by one."""
    server.sql(observ_db, "CREATE EXTENSION pageinspect")
    server.sql(observ_db, "INSERT INTO observ.log_entries (vps_name, message) SELECT 'v', 'word ' || n FROM generate_series(1, 500) n")
    pending = ("SELECT sum((gin_metapage_info(get_raw_page(i.inhrelid::regclass::text, 0))).n_pending_tuples) FROM pg_inherits i "
               "WHERE inhparent = 'observ.log_entries_message_idx'::regclass")
    assert server.value(observ_db, pending) == 500

    def merged():
        return server.sql(observ_db, "SELECT indexes_cleaned FROM observ.update_log_templates()") == [(1,)]
    harness.wait_until(merged, 30, "the pass that takes the entries")
    assert server.value(observ_db, pending) == 0


def hostile_queries(rng):
    """Queries of syntax characters, words, other scripts and control characters."""
    parts = ['"', "'", "(", ")", "-", "--", "*", "=", "OR", "AND", "NOT", "|", "&", "!", "<->", ":*", "\\", "\\\"", "%", "_", ";", "$$", "a", "word", "steady", "k=v", "k=", "=", "é", "日本", "\u00a0",
             "\u202e", "\n", "\t", "\x01error", "\x7f", "x" * 300, "🙂"]
    while True:
        yield "".join(rng.choice(parts) + rng.choice(["", " "]) for _ in range(rng.randint(1, 30)))


def test_hostile_queries(server, observ_db):
    """Whatever is typed is answered, or refused in words; and the index never hides what the comparison finds."""
    server.sql(observ_db, "INSERT INTO observ.log_entries (\"timestamp\", vps_name, level, message, context) SELECT now() - n * interval '1 min', 'v', 'error', "
                          "'word steady é 日本 a-b ' || repeat('x', n % 400) || CASE WHEN n > 500 THEN ' k v' ELSE '' END, jsonb_build_object('k', CASE WHEN n % 3 = 0 THEN 'v' END) FROM generate_series(1, 1000) n")
    queries = hostile_queries(random.Random(20261121))
    refused = 0
    with server.connect(observ_db) as conn:
        for _ in range(400):
            query = next(queries)
            try:
                found = conn.execute('SELECT id FROM observ.search_logs(%s, "limit" => NULL)', (query,)).fetchall()
            except (errors.InvalidParameterValue, errors.ProgramLimitExceeded):
                refused += 1
                continue
            assert len(found) <= 1000
            paged = pages(conn, "%s", 400, (query,))
            assert [r[0] for r in found] == paged, query
        assert conn.execute("SELECT count(*) FROM observ.search_logs(%s)", ("x" * 200,)).fetchone()[0] == 100  # long words match by their beginning
    assert 0 < refused < 200


@pytest.mark.parametrize("argument", ["level => %s", "vps => %s", "app => %s"])
def test_hostile_arguments(server, observ_db, argument):
    """Names are compared, never run or parsed."""
    server.sql(observ_db, "INSERT INTO observ.log_entries (vps_name, app_name, level, message) VALUES ('v', 'a', 'info', 'm')")
    rng = random.Random(argument)
    for _ in range(50):
        value = "".join(rng.choice(string.punctuation + " é+") for _ in range(rng.randint(1, 300))).rstrip("+")
        assert server.sql(observ_db, f"SELECT id FROM observ.search_logs(NULL, {argument})", (value,)) == []
        assert server.sql(observ_db, f"SELECT coalesce(sum(count), 0) FROM observ.log_histogram(NULL, {argument})", (value,)) == [(0,)]


def test_names_that_fit_no_index_are_counted_all_the_same(server, observ_db):
    """A name longer than an index entry may be does not stop the job."""
    long = "".join(random.Random(1).choices(string.ascii_letters, k=9000))
    server.sql(observ_db, "INSERT INTO observ.log_entries (\"timestamp\", vps_name, app_name, level, message) VALUES (now(), 'v', %s, %s, 'm')", (long, long + "x"))

    def counted():
        return server.sql(observ_db, "SELECT status, entries FROM observ.update_log_templates()") == [("ok", 1)]
    harness.wait_until(counted, 30, "the entry to be counted")
    assert server.value(observ_db, "SELECT count(*) FROM observ.search_logs('m', app => %s, level => %s)", (long, (long + "X").upper())) == 1
    for names, given in (("app => %s", (long,)), ("level => %s", (long + "X",)), ("app => %s, level => %s", (long, long + "X"))):
        assert server.value(observ_db, f"SELECT sum(count) FROM observ.log_histogram(NULL, {names}, \"from\" => now() - interval '1 day', \"to\" => now() + interval '1 day')", given) == 1
    assert server.value(observ_db, "SELECT sum(count) FROM observ.log_histogram(\"from\" => now() - interval '1 day', \"to\" => now() + interval '1 day')") == 1


def test_searches_while_partitions_go_and_come(server, observ_db):
    """Nobody waits for long or fails, and what stays is found."""
    server.sql(observ_db, "INSERT INTO observ.log_entries (\"timestamp\", vps_name, message) SELECT now() - n * interval '1 h', 'v', 'word ' || n FROM generate_series(0, 100) n")

    def come_and_go(conn, _rng, _turn):
        day = "date_trunc('day', now(), 'UTC') - interval '20 days'"
        bounds = conn.execute(f"SELECT ({day})::text, ({day} + interval '1 day')::text").fetchone()
        conn.execute("CREATE TABLE observ_data.log_coming (LIKE observ.log_entries INCLUDING ALL EXCLUDING IDENTITY)")
        conn.execute(f"ALTER TABLE observ.log_entries ATTACH PARTITION observ_data.log_coming FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')")
        conn.execute("INSERT INTO observ.log_entries (\"timestamp\", vps_name, message) VALUES (%s, 'v', 'word of old')", (bounds[0],))
        conn.execute("ALTER TABLE observ.log_entries DETACH PARTITION observ_data.log_coming CONCURRENTLY")
        conn.execute("DROP TABLE observ_data.log_coming")

    with server.connect(observ_db) as conn, writers(server, observ_db, 1, come_and_go) as turns:
        def search():
            found = conn.execute("SELECT message FROM observ.search_logs('word', \"limit\" => NULL)").fetchall()
            assert len(found) in (101, 102)
            assert len(conn.execute("SELECT * FROM observ.log_histogram('word', \"from\" => now() - interval '30 days')").fetchall()) > 0
            return turns[0] >= 15
        harness.wait_until(search, 60, "partitions to have come and gone", interval=0)


def test_what_the_search_may_see(server, observ_db):
    """Agents and strangers may not call; readers see every VPS; a view of the owner shows what it selects."""
    server.sql(observ_db, "SELECT observ.enroll_vps('mine', 'log_agent')")
    server.sql(observ_db, "DO $$ BEGIN CREATE ROLE log_reader LOGIN IN ROLE observ_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    server.sql(observ_db, "INSERT INTO observ.log_entries (vps_name, message) VALUES ('theirs', 'secret word')", user="postgres")
    server.sql(observ_db, "INSERT INTO observ.log_entries (vps_name, message) VALUES ('mine', 'own word')", user="log_agent")
    for call in ("observ.search_logs('word')", "observ.log_histogram()", "observ.log_context(1)", "observ.log_patterns()", "observ.log_templates"):
        with pytest.raises(errors.InsufficientPrivilege):
            server.sql(observ_db, f"SELECT * FROM {call}", user="log_agent")
        server.sql(observ_db, f"SELECT * FROM {call}", user="log_reader")
    assert len(server.sql(observ_db, "SELECT * FROM observ.search_logs('word')", user="log_reader")) == 2
