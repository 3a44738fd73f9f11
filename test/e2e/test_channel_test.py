"""observ.test_channel(): a real message to real receivers, from the session that asks; what it says when that fails; how it ends early.

Not here: the wire itself (test_transfers.py), what kinds write, the notifier.
"""

import json
import threading
import time

import psycopg
import pytest

import harness
import mail_server
import receivers
from receivers import Answer

SERVER = {"preload": False, "tcp": True}


@pytest.fixture
def channel(server, observ_db):
    """channel(name, kind, **config) makes one and returns a function that tests it."""
    def make(name, kind="webhook", **config):
        server.sql(observ_db, "SELECT observ.create_channel(%s)", (json.dumps({"name": name, "kind": kind, "config": config}),))

        def test(**settings):
            with server.connect(observ_db) as conn:
                for key, value in settings.items():
                    conn.execute("SELECT set_config(%s, %s, false)", (key.replace("__", "."), value))
                row = conn.execute("SELECT * FROM observ.test_channel(%s)", (name,)).fetchone()
            return dict(zip(("ok", "status", "latency", "phase", "error", "answer"), row))
        return test
    return make


def attempts(server, database, channel):
    """Outcome, status, phase of the attempts through a channel."""
    return server.sql(database, "SELECT outcome, status_code, phase FROM observ.notification_attempts WHERE channel = %s ORDER BY id", (channel,))


def test_webhook(server, observ_db, channel, make_receiver):
    """It arrives, flagged as a test, and is written down."""
    receiver = make_receiver()
    receiver.script("/hook", Answer(202, b"accepted: 17"))
    got = channel("hook", url=receiver.url("/hook"))()
    assert (got["ok"], got["status"], got["phase"], got["error"], got["answer"]) == (True, 202, None, None, "accepted: 17")
    assert 0 < got["latency"] < 10_000
    (request,) = receiver.requests
    assert request.headers["user-agent"] == "observ/1.0"
    assert "TestNotification" in request.body.decode()
    assert server.sql(observ_db, "SELECT notification_id, kind, attempt, outcome, status_code, excerpt, address FROM observ.notification_attempts") == [
        (None, "webhook", 1, "sent", 202, "accepted: 17", f"127.0.0.1:{receiver.port}")]


def test_own_words(server, observ_db, channel, make_receiver):
    """Templates of the channel are tried with it, and the title says that it is a test; one that fails gives the usual words (C15), and is told."""
    receiver = make_receiver()
    send = channel("hook", url=receiver.url("/hook"))
    server.sql(observ_db, "UPDATE observ.notification_channels SET title_template = 'Call {{ names }}', body_template = '{{ range firing }}{{ mark }} {{ summary }}{{ end }}' WHERE name = 'hook'")
    assert send()["ok"]
    said = receiver.requests[0].json["observ"]
    assert said["title"] == "[TEST] Call TestNotification" and said["text"].startswith("NEW A test of channel hook")
    server.sql(observ_db, "ALTER TABLE observ.notification_channels DISABLE TRIGGER USER")
    server.sql(observ_db, "UPDATE observ.notification_channels SET title_template = '{{ oops }}' WHERE name = 'hook'")
    server.sql(observ_db, "ALTER TABLE observ.notification_channels ENABLE TRIGGER USER")
    got = send()
    assert got["ok"] and got["error"] == "title_template is not used: this is no value that templates know at character 4"
    assert receiver.requests[1].json["observ"]["title"] == "[TEST] [FIRING:1 (1 new)] TestNotification"


def test_mail(server, observ_db, channel, make_mail_server, authority):
    """STARTTLS with our CA, AUTH."""
    mails = make_mail_server(users={"ann": "secret"})
    test = channel("mail", "email", host="localhost", port=mails.port, user="ann", password="secret", to=["ops@example.org"],
                   **{"from": "observ@example.org", "ca_file": str(authority.file)})
    got = test()
    assert (got["ok"], got["status"], got["error"]) == (True, 250, None)
    assert mails.mails[0].tls and mails.mails[0].user == "ann" and "[TEST]" in mails.mails[0].message["Subject"]
    mails.users = {"ann": "another"}
    got = test()
    assert (got["ok"], got["status"]) == (False, 535)
    assert "secret" not in str(got).replace("secret:", "")


@pytest.mark.parametrize(("answer", "status", "phase", "outcome"), [
    (Answer(500, b"broken"), 500, None, "retry"),
    (Answer(404, b"nothing here"), 404, None, "dead"),
    (Answer(429, headers={"Retry-After": "7"}), 429, None, "retry"),
    (Answer(302, headers={"Location": "/elsewhere"}), 302, None, "dead"),
    (Answer(hang="answer"), None, "answer", "retry"),
    (Answer(close="answer"), None, "answer", "retry"),
    (Answer(raw=b"\xff\xfe\x00garbage\r\n\r\n"), None, "answer", "retry"),
])
def test_failures_are_told(server, observ_db, channel, make_receiver, answer, status, phase, outcome):
    """ok is false; what the receiver said, or where it ended; no redirect is followed."""
    receiver = make_receiver()
    receiver.script("/hook", answer)
    got = channel("hook", url=receiver.url("/hook"), timeout=1)()
    assert (got["ok"], got["status"], got["phase"]) == (False, status, phase)
    assert got["error"]
    assert attempts(server, observ_db, "hook") == [(outcome, status, phase)]
    assert receiver.count == 1
    if answer.headers.get("Retry-After"):
        assert server.value(observ_db, "SELECT retry_after = '7 s' FROM observ.notification_attempts")


def test_retry_after_as_a_date_by_their_clock(server, observ_db, channel, make_receiver):
    """A receiver whose clock is wrong means seconds from its own now."""
    receiver = make_receiver()
    receiver.script("/hook", Answer(503, headers={"Date": "Tue, 20 Jan 2026 12:00:00 GMT", "Retry-After": "Tue, 20 Jan 2026 12:00:30 GMT"}))
    channel("hook", url=receiver.url("/hook"))()
    assert server.value(observ_db, "SELECT retry_after = '30 s' FROM observ.notification_attempts")


def test_phases(server, observ_db, channel, make_receiver):
    """Where it ends before anything is sent."""
    unaccepting = receivers.Unaccepting()
    begin = time.monotonic()
    assert channel("a", url=unaccepting.url())()["phase"] == "connect"
    assert time.monotonic() - begin < 9, "3 s for a connection, not 10"
    unaccepting.close()
    assert channel("b", url="http://nowhere.invalid/")()["phase"] == "resolve"
    assert channel("c", url=f"https://localhost:{make_receiver(silent=True).port}/", timeout=1)()["phase"] == "tls"
    assert channel("d", url=make_receiver(tls=True).url())()["phase"] == "tls"


def test_addresses_that_are_refused(server, observ_db, channel, make_receiver):
    """Link-local and the like, unless that is allowed; loopback is."""
    got = channel("metadata", url="http://2852039166/latest")()
    assert (got["ok"], got["phase"]) == (False, "connect") and "169.254.169.254 is not allowed" in got["error"]
    assert attempts(server, observ_db, "metadata") == [("dead", None, "connect")]
    receiver = make_receiver()
    url = receiver.url("/hook", host="0.0.0.0")
    assert not channel("zero", url=url)()["ok"]
    assert receiver.count == 0
    assert channel("zero_too", url=url, allow_link_local=True)()["ok"]
    assert channel("zero_all", url=url)(observ__allow_link_local="on")["ok"]


def test_channel_of_several_steps(server, observ_db, channel, make_mail_server):
    """A row each; the first that failed is the answer; all of them in the time of one."""
    mails = make_mail_server(tls="none")
    mails.refuse("b@example.org", "550 5.1.1 no such user")
    test = channel("mail", "email", host="127.0.0.1", port=mails.port, tls="none", timeout=2, to=["a@example.org", "b@example.org", "c@example.org"],
                   **{"from": "observ@example.org"})
    got = test()
    assert (got["ok"], got["status"]) == (False, 550)
    assert attempts(server, observ_db, "mail") == [("sent", 250, None), ("dead", 550, None), ("sent", 250, None)]
    assert len(mails.mails) == 2
    mails.script("GREETING", mail_server.HANG)
    begin = time.monotonic()
    assert not test()["ok"]
    assert time.monotonic() - begin < 5
    assert len(attempts(server, observ_db, "mail")) == 6


def test_success_lifts_the_block(server, observ_db, channel, make_receiver):
    """A channel that is left alone is used again when a test got through, once that is committed; the test waits for nobody and keeps nobody waiting."""
    receiver = make_receiver()
    test = channel("hook", url=receiver.url("/hook"))
    receiver.script("/hook", Answer(503), Answer(200))
    server.sql(observ_db, "INSERT INTO observ_data.channel_state (channel, failures, blocked_until, last_failure_at) VALUES ('hook', 5, '2100-01-01', now())")

    def state():
        server.sql(observ_db, "SELECT FROM observ_data._claim_deliveries(now())")
        return server.sql(observ_db, "SELECT failures, blocked_until IS NULL FROM observ.failing_channels")
    assert not test()["ok"]
    assert state() == [(5, False)]
    with server.connect(observ_db, autocommit=False) as conn:
        assert conn.execute("SELECT ok FROM observ.test_channel('hook')").fetchone() == (True,)
        assert state() == [(5, False)]
    assert state() == []


def test_own_ca_and_proxy(server, observ_db, channel, make_receiver, authority):
    """Of the channel, or for all by a setting; none is none."""
    receiver, proxy = make_receiver(tls=True), make_receiver()
    assert channel("a", url=receiver.url("/a"), ca_file=str(authority.file))()["ok"]
    assert channel("b", url=receiver.url("/b"))(observ__ca_file=str(authority.file))["ok"]
    assert channel("c", url=receiver.url("/c"), tls_verify=False)()["ok"]
    assert channel("d", url="http://receiver.example/d", proxy=proxy.url(""))()["ok"]
    assert channel("e", url="http://receiver.example/e")(observ__http_proxy=proxy.url(""))["ok"]
    assert [request.target for request in proxy.requests] == ["http://receiver.example/d", "http://receiver.example/e"]
    assert channel("f", url=receiver.url("/f"), ca_file=str(authority.file), proxy="none")(observ__http_proxy="http://127.0.0.1:1")["ok"]


@pytest.mark.parametrize("end", ["cancel", "timeout", "terminate"])
@pytest.mark.parametrize("where", ["connect", "tls", "answer", "body", "mail"])
def test_ends_at_once(server, observ_db, channel, make_receiver, make_mail_server, end, where):
    """Ctrl-C, statement_timeout, pg_terminate_backend(): in the middle of any phase. Nothing is left open."""
    unaccepting = receivers.Unaccepting()
    receiver = make_receiver(silent=where == "tls")
    receiver.script("/", Answer(hang=where, body=b"0123456789"))
    mails = make_mail_server(tls="none")
    mails.script("DOT", mail_server.HANG)
    if where == "mail":
        channel("hook", "email", host="localhost", port=mails.port, tls="none", to="ops@example.org", timeout=60, **{"from": "a@example.org"})
    else:
        urls = {"connect": unaccepting.url(), "tls": f"https://localhost:{receiver.port}/"}
        channel("hook", url=urls.get(where, receiver.url()), timeout=60)
    conn = server.connect(observ_db)
    begin = time.monotonic()
    if end == "timeout":
        conn.execute("SET statement_timeout = '500ms'")
    else:
        action = conn.cancel if end == "cancel" else lambda: server.sql("postgres", "SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
        threading.Timer(0.5, action).start()
    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT * FROM observ.test_channel('hook')")
    # A connection has 3 s, so less than that is not its own end.
    assert time.monotonic() - begin < 2.5
    if end != "terminate":
        assert conn.execute("SELECT count(*) FROM observ.notification_attempts").fetchone() == (0,)
    conn.close()
    unaccepting.close()


def test_name_server_that_hangs(make_server, hanging_resolver, monkeypatch):
    """3 s; and Ctrl-C, and a server that stops, don't wait for it."""
    monkeypatch.setenv("OBSERV_SERVER_ENV", f"LD_PRELOAD={hanging_resolver}")
    server = make_server(preload=False)
    database = server.create_database("t")
    server.sql(database, "CREATE EXTENSION observ")
    server.sql(database, "SELECT observ.create_channel('{\"name\": \"hook\", \"kind\": \"webhook\", \"url\": \"http://hang.example/\", \"timeout\": 60}')")
    begin = time.monotonic()
    assert server.sql(database, "SELECT ok, phase FROM observ.test_channel('hook')") == [(False, "resolve")]
    assert 2.5 < time.monotonic() - begin < 9
    conn = server.connect(database)
    conn.execute("SET statement_timeout = '300ms'")
    begin = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        conn.execute("SELECT observ.test_channel('hook')")
    assert time.monotonic() - begin < 2.5
    conn.execute("SET statement_timeout = 0")
    threading.Timer(0.5, server.stop).start()
    begin = time.monotonic()
    with pytest.raises(psycopg.OperationalError):
        conn.execute("SELECT observ.test_channel('hook')")
    assert time.monotonic() - begin < 2.8
    harness.wait_until(lambda: not server.running(), what="the server's end")


def test_who_may(server, observ_db, channel, make_receiver):
    """observ_admin and nobody else; in a read-only transaction it sends and writes nothing; paused does not matter."""
    receiver = make_receiver()
    channel("hook", url=receiver.url("/hook"), bearer_token="s3cr3t-token")
    with server.connect(observ_db) as conn:
        conn.execute("SET SESSION AUTHORIZATION observ_operator")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT * FROM observ.test_channel('hook')")
        conn.execute("SET SESSION AUTHORIZATION observ_admin")
        assert conn.execute("SELECT ok FROM observ.test_channel('hook')").fetchone() == (True,)
        conn.execute("SET default_transaction_read_only = on")
        assert conn.execute("SELECT ok FROM observ.test_channel('hook')").fetchone() == (True,)
    assert [request.headers["authorization"] for request in receiver.requests] == ["Bearer s3cr3t-token"] * 2
    assert len(attempts(server, observ_db, "hook")) == 1
    server.sql(observ_db, "SELECT observ.pause()")
    assert server.value(observ_db, "SELECT ok FROM observ.test_channel('hook')")


def test_secrets_are_not_told(server, observ_db, channel, make_receiver):
    """A receiver that sends everything back, an error that names it: *** in the answer, the row, the log."""
    receiver = make_receiver()
    receiver.script("/hook", lambda request: Answer(400, request.head[-600:] + request.body[:100]))
    got = channel("hook", url=receiver.url("/hook"), bearer_token="s3cr3t-token")()
    assert not got["ok"] and "***" in got["answer"]
    assert "s3cr3t-token" not in str(got)
    assert not server.sql(observ_db, "SELECT FROM observ.notification_attempts a WHERE a::text LIKE '%%s3cr3t%%'")


def test_wrong_names(server, observ_db, channel):
    """They say what to type next."""
    channel("payments", url="http://127.0.0.1:1/")
    with pytest.raises(psycopg.errors.UndefinedObject) as error:
        server.sql(observ_db, "SELECT * FROM observ.test_channel('paymets')")
    assert error.value.diag.message_hint == 'Perhaps "payments" is meant.'
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        server.sql(observ_db, "SELECT * FROM observ.test_channel('default')")


def test_without_a_partition(server, observ_db, channel, make_receiver):
    """The answer counts more than its row."""
    receiver = make_receiver()
    test = channel("hook", url=receiver.url("/hook"))
    for (name,) in server.sql(observ_db, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'observ.notification_attempts'::regclass"):
        server.sql(observ_db, f"DROP TABLE {name}")
    assert test()["ok"]
    assert receiver.count == 1
