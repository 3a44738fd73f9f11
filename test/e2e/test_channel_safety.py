"""Channels against those who mean ill, and against slips of the hand: secrets that come back in pieces, addresses behind proxies, passwords in clear.

Not here: what is refused when it is written (test_channels.py, regress notify_channels), the wire (test_transfers.py).
"""

import base64
import json

import psycopg
import pytest

from receivers import Answer

SERVER = {"preload": False, "tcp": True}
TOKEN = "s3cr3t-t0k3n-of-th3-ch4nn3l"


@pytest.fixture
def channel(server, observ_db):
    """channel(kind, **config) makes one and returns what observ.test_channel() says of it, and all that was written down."""
    def test(kind="webhook", settings=(), **config):
        server.sql(observ_db, "DELETE FROM observ.notification_channels WHERE name = 'it'")
        server.sql(observ_db, "SELECT observ.create_channel(%s)", (json.dumps({"name": "it", "kind": kind, "config": config}),))
        with server.connect(observ_db) as conn:
            for name, value in settings:
                conn.execute("SELECT set_config(%s, %s, false)", (name, value))
            row = conn.execute("SELECT ok, status_code, phase, error, answer FROM observ.test_channel('it')").fetchone()
            rows = conn.execute("SELECT a::text FROM observ.notification_attempts a ORDER BY id DESC LIMIT 1").fetchone()
        return dict(zip(("ok", "status", "phase", "error", "answer"), row)) | {"all": str(row) + str(rows)}
    return test


def pieces(secret, length=8):
    """What nobody may find of it."""
    return {secret[i:i + length] for i in range(len(secret) - length + 1)}


@pytest.mark.parametrize("before", [0, 60, 80, 90, 95, 440, 480, 500, 1000, 4080])
def test_a_secret_that_is_cut_is_still_one(channel, make_receiver, before):
    """Excerpts and errors end somewhere: never in the middle of a secret, so that its beginning is shown."""
    receiver = make_receiver()
    receiver.script("/hook", Answer(400, b"x" * before + TOKEN.encode() + b"y" * 5000))
    receiver.script("/api/chat.postMessage", Answer(200, b"x" * before + TOKEN.encode()))
    got = channel(url=receiver.url("/hook"), bearer_token=TOKEN)
    assert not [piece for piece in pieces(TOKEN) if piece in got["all"]]
    got = channel("slack", token=TOKEN, channel="#a", api_url=receiver.url("/api"))
    assert "not one of Slack" in got["error"]
    assert not [piece for piece in pieces(TOKEN) if piece in got["all"]]
    receiver.script("/api/chat.postMessage", Answer(200, json.dumps({"ok": False, "error": "x" * before + TOKEN}).encode()))
    got = channel("slack", token=TOKEN, channel="#a", api_url=receiver.url("/api"))
    assert not [piece for piece in pieces(TOKEN) if piece in got["all"]]


def test_a_secret_again_and_again(channel, make_receiver):
    """The more of it goes, the further back is what is shown."""
    receiver = make_receiver()
    receiver.script("/hook", Answer(400, TOKEN.encode() * 3000))
    got = channel(url=receiver.url("/hook"), bearer_token=TOKEN)
    assert set(got["answer"]) == {"*"}
    assert not [piece for piece in pieces(TOKEN) if piece in got["all"]]


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_a_login_that_is_repeated(channel, make_receiver, make_mail_server, user):
    """Basic and AUTH PLAIN are the password in base64, wherever in it that begins."""
    login = base64.b64encode(f"{user}:{TOKEN}".encode())
    receiver = make_receiver()
    receiver.script("/hook", lambda request: Answer(401, b"no: " + request.headers["authorization"].encode()))
    got = channel(url=receiver.url("/hook"), user=user, password=TOKEN)
    assert got["answer"].startswith("no: Basic ") and "***" in got["answer"]
    inner = login.decode()[8:-4]
    assert not [piece for piece in pieces(inner) if piece in got["all"]]
    plain = base64.b64encode(f"\0{user}\0{TOKEN}".encode()).decode()
    mails = make_mail_server(tls="none", users={user: "another"})
    mails.script("AUTH", f"535 5.7.8 no: AUTH PLAIN {plain}")
    got = channel("email", host="127.0.0.1", port=mails.port, tls="none", user=user, password=TOKEN, to="a@example.org", **{"from": "b@example.org"})
    assert got["status"] == 535 and "***" in got["error"]
    assert not [piece for piece in pieces(plain[8:-4]) if piece in got["all"]]


def test_no_says_no(channel, make_receiver):
    """A channel that says no is not overruled by what holds for those that say nothing."""
    receiver = make_receiver()
    url = receiver.url("/hook", host="0.0.0.0")
    allowed = [("observ.allow_link_local", "on")]
    assert channel(url=url, settings=allowed)["ok"]
    got = channel(url=url, settings=allowed, allow_link_local=False)
    assert (got["ok"], got["phase"]) == (False, "connect") and "not allowed" in got["error"]
    assert channel(url=url, allow_link_local=True)["ok"]
    assert receiver.count == 2


@pytest.mark.parametrize("proxy", ["http://0.0.0.0:{port}", "http://0:{port}", "http://[::ffff:0.0.0.0]:{port}", "socks5h://0.0.0.0:{port}"])
def test_a_proxy_is_an_address_too(channel, make_receiver, proxy):
    """What answers at a metadata address may not be asked by calling it a proxy."""
    receiver = make_receiver()
    got = channel(url="http://receiver.example/latest/meta-data/", proxy=proxy.format(port=receiver.port))
    assert (got["ok"], got["phase"]) == (False, "connect") and "not allowed" in got["error"]
    assert receiver.connected == 0


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xa9.0376.43518", "169%2e254.169.254", "[::ffff:a9fe:a9fe]", "１６９.254.169.254", "169。254。169。254"])
def test_an_address_in_disguise_behind_a_proxy(channel, make_receiver, host):
    """What a proxy would be asked for is looked at, however it is spelled."""
    receiver = make_receiver()
    try:
        got = channel(url=f"http://{host}/latest/meta-data/", proxy=receiver.url(""))
    except psycopg.errors.InvalidParameterValue:
        assert not host.isascii()
    else:
        assert (got["ok"], got["phase"]) == (False, "connect") and "not allowed" in got["error"]
    assert receiver.count == 0


@pytest.mark.parametrize("host", ["127.0.0.1.example.org", "127.example.org", "127.0.0.1.5", "127.1.1.256", "127.a"])
def test_loopback_is_an_address(server, observ_db, channel, host):
    """A name that begins like one is somewhere else: no password goes there in clear."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="must not cross the network in clear"):
        channel("email", host=host, tls="none", user="ann", password=TOKEN, to="a@example.org", **{"from": "b@example.org"})


def test_starttls_that_nobody_asked_for(channel, make_mail_server):
    """tls none takes what is offered, as between mail servers: a certificate that nobody vouches for is better than none. starttls does not."""
    mails = make_mail_server()
    config = {"host": "localhost", "port": mails.port, "to": "a@example.org", "from": "b@example.org"}
    got = channel("email", tls="starttls", **config)
    assert (got["ok"], got["phase"]) == (False, "tls")
    got = channel("email", tls="none", **config)
    assert got["ok"], got["all"]
    assert mails.mails[0].tls


def test_tls_from_the_first_byte(channel, make_mail_server, authority):
    """By a certificate that is vouched for, or not at all."""
    mails = make_mail_server(tls="implicit")
    config = {"host": "localhost", "port": mails.port, "tls": "tls", "to": "a@example.org", "from": "b@example.org"}
    assert channel("email", **config)["phase"] == "tls"
    assert channel("email", ca_file=str(authority.file), **config)["ok"]
    assert [mail.tls for mail in mails.mails] == [True]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encodings_than_utf8(server, encoding):
    """Services take UTF-8 and nothing else: where texts are something else it is said when a channel is made, and when one that was restored is used."""
    with server.connect("postgres") as conn:
        conn.execute(f"CREATE DATABASE other TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    server.sql("other", "CREATE EXTENSION observ")
    body = json.dumps({"name": "hook", "kind": "webhook", "url": "http://127.0.0.1:1/"})
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="UTF8"):
        server.sql("other", "SELECT observ.create_channel(%s)", (body,))
    with server.connect("other") as conn:
        conn.execute("SET row_security = off")
        conn.execute("INSERT INTO observ.notification_channels (name, kind, config) VALUES ('hook', 'webhook', '{\"url\": \"http://127.0.0.1:1/\"}')")
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="UTF8"):
        server.sql("other", "SELECT observ.test_channel('hook')")
    server.sql("postgres", "DROP DATABASE other")
