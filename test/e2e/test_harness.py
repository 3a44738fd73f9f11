"""The tools themselves: a harness that lies makes every other test worthless. Uses plain PostgreSQL, not observ."""

import pathlib

import psycopg
import pytest

import harness
from harness import wait_until

SERVER = {"preload": False, "tcp": True}


def test_sql_and_psql_agree(server, fresh_db):
    server.sql(fresh_db, "CREATE TABLE t AS SELECT generate_series(1, 3) AS n")
    assert server.sql(fresh_db, "SELECT n FROM t ORDER BY n") == [(1,), (2,), (3,)]
    assert server.psql(fresh_db, "-c", "SELECT count(*) FROM t").stdout == "3\n"
    assert server.psql(fresh_db, script="SELECT 1; SELECT nonsense; SELECT 2", check=False).returncode == 3


def test_server_survives_kill9_of_the_postmaster(make_server):
    server = make_server(preload=False, fsync=True)
    server.sql("postgres", "CREATE TABLE kept AS SELECT 42 AS n")
    before = server.pid
    server.kill9_postmaster()
    assert not server.running()
    server.start()
    assert server.pid != before
    assert server.value("postgres", "SELECT n FROM kept") == 42


def test_stop_modes_and_destroy_leave_nothing(make_server):
    server = make_server(preload=False)
    for mode in ("smart", "fast", "immediate"):
        server.restart(mode)
    pid, directory = server.pid, pathlib.Path(server.dir)
    server.destroy()
    assert not harness.process_alive(pid)
    assert not directory.exists()


def test_settings_reach_the_server_and_change_on_reload(make_server):
    server = make_server(preload=False, settings={"work_mem": "'7MB'"})
    assert server.value("postgres", "SHOW work_mem") == "7MB"
    server.reload(work_mem="'9MB'")
    wait_until(lambda: server.value("postgres", "SHOW work_mem") == "9MB", 10, "the new work_mem")


def test_a_server_that_cannot_start_says_why(make_server):
    with pytest.raises(harness.HarnessError, match="no_such_setting"):
        make_server(preload=False, settings={"no_such_setting": "1"})


def test_standby_follows_and_is_promoted(make_server):
    primary = make_server(preload=False)
    standby = primary.base_backup()
    try:
        standby.start()
        primary.sql("postgres", "CREATE TABLE t AS SELECT 1 AS n")
        primary.wait_for_replay(standby)
        assert standby.value("postgres", "SELECT n FROM t") == 1
        standby.promote()
        standby.sql("postgres", "INSERT INTO t VALUES (2)")
    finally:
        standby.destroy()


def test_copies_of_the_template_share_an_identity_new_ones_do_not(make_server):
    query = "SELECT system_identifier FROM pg_control_system()"
    first, second, third = (make_server(preload=False, new_identity=new).value("postgres", query)
                            for new in (False, False, True))
    assert first == second != third


def test_proxy_forwards_cuts_refuses_and_stalls(server, make_proxy):
    proxy = make_proxy(server)

    def connect():
        return psycopg.connect(server.url(port=proxy.port) + "?connect_timeout=10", autocommit=True)

    conn = connect()
    assert conn.execute("SELECT repeat('x', 1000000)").fetchone()[0] == "x" * 1000000
    assert proxy.bytes["down"] > 1000000
    assert proxy.cut() == 1
    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT 1")
    proxy.refuse()
    with pytest.raises(psycopg.OperationalError):
        connect()
    proxy.accept()
    proxy.stall()
    with pytest.raises(psycopg.OperationalError, match="timeout"):
        psycopg.connect(server.url(port=proxy.port) + "?connect_timeout=2")
    proxy.resume()
    connect().close()


def test_proxy_filter_can_cut_after_commit(server, fresh_db, make_proxy):
    import proxy as proxy_module
    server.sql(fresh_db, "CREATE TABLE t (n int)")
    proxy = make_proxy(server)

    def lose_the_answer(direction, data):
        if direction == "down" and b"INSERT 0 1\0" in data:
            raise proxy_module.Cut
        return data

    proxy.filter = lose_the_answer
    with psycopg.connect(server.url(fresh_db, port=proxy.port), autocommit=True) as conn:
        with pytest.raises(psycopg.OperationalError):
            conn.execute("INSERT INTO t VALUES (1)")
    wait_until(lambda: server.value(fresh_db, "SELECT count(*) FROM t") == 1, 10, "the committed row")


def test_wait_until_says_what_it_waited_for():
    with pytest.raises(AssertionError, match="waited 0.1 s for the moon; last answer: False"):
        wait_until(lambda: False, 0.1, "the moon")
