"""Channels and their secrets: whatever somebody writes is taken or gets a clean error, and no secret is seen anywhere."""

import http.server
import json
import os
import random
import stat
import string
import threading
import urllib.parse

import psycopg
import pytest

import harness

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0", "max_locks_per_transaction": "128"}}

# SQLSTATEs that say what is wrong with the input; XX000 and class 58 would say that something is wrong with us.
CLEAN = {"22023", "42704", "23503", "23514", "23502", "22P02", "22003", "42710", "54000"}

ODD = ["", " ", "\n", "a\nb", "\t", "\x7f", "größe", "😀", "x" * 5000, "secret:", "secret:nowhere", "secret:known", "true", "-1", "1e400", "0", "99999999999999999999",
       "http://", "https://h", "https://h:99999/", "https://u:{s}@h/", "https://h/{s}", "http://[::1]:80/{s}", "ftp://h", "{s}\r\nX: y", "a@b.c", "a@b.c, d@e.f", "a@b.c,\r\nBcc: x@y.z", "<a>", "+15551234567",
       "starttls", "POST", "'; DROP TABLE x", "{{ name }}", "\\", '"', "%s%n", None, True, False, 0, 1, -5, 1.5, 1e300, [], {}, [1], ["{s}"], ["a@b.c", "d@e.f"], [None], [["{s}"]], {"a": "{s}"}, {"a b": "{s}"},
       {"X-Key": "{s}\r\nY: z"}, {"X-Key": "secret:known"}, {"": ""}, {"a": {"b": "{s}"}}]
GOOD = {"text": ["{s}", "token-{s}", "secret:known", "#alerts"], "integer": [1, "5", 20], "boolean": [True, "off"], "URL": ["https://example.org/{s}", "http://127.0.0.1:8080"],
        "list": [["a@b.c"], "a@b.c, d@e.f", ["+15551234567"]], "object": [{"X-Key": "{s}"}, {"a": "b"}]}


def with_secret(value, secret):
    """The value with a text that must not be seen wherever it says {s}."""
    return json.loads(json.dumps(value).replace("{s}", secret))


def a_value(rng, field, secret):
    good = GOOD.get(field["type"]) or [choice.strip() for choice in field["choices"].split(",")]
    return with_secret(rng.choice(good) if rng.random() < 0.4 else rng.choice(ODD), secret)


# What each kind takes; all of it must be there, so that a new kind is not forgotten.
VALID = {
    "appwrite": {"project": "p", "key": "{s}", "topics": ["t"]},
    "discord": {"url": "https://discord.com/api/webhooks/1/{s}"},
    "email": {"host": "mx.example.org", "from": "a@example.org", "to": "b@example.org", "user": "u", "password": "{s}"},
    "ntfy": {"topic": "t", "token": "{s}"},
    "opsgenie": {"api_key": "{s}"},
    "pagerduty": {"routing_key": "0123456789ab{s}"},
    "slack": {"url": "https://hooks.slack.com/services/T/B/{s}"},
    "teams": {"url": "https://prod-1.westeurope.logic.azure.com/workflows/{s}"},
    "telegram": {"token": "123456:{s}{s}", "chat_id": "-100123"},
    "twilio": {"account_sid": "AC" + "0" * 32, "auth_token": "{s}", "from": "+15550001111", "to": "+15551234567"},
    "webhook": {"url": "https://example.org/hook", "bearer_token": "{s}", "headers": {"X-Key": "{s}"}},
}


def a_config(rng, kind, fields, secret):
    """One that is right, with none to three things changed."""
    config = with_secret(VALID[kind], secret)
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        field = rng.choice(fields)
        change = rng.random()
        if change < 0.1:
            config[rng.choice(["", "x", "urll", "größe", "pasword", "name", field["field"].upper()])] = with_secret(rng.choice(ODD), secret)
        elif change < 0.25:
            config.pop(field["field"], None)
        else:
            config[field["field"]] = a_value(rng, field, secret)
    return config if rng.random() < 0.97 else with_secret(rng.choice([[], 1, "{s}", None, [{}]]), secret)


def shown(exc):
    """All that a client is told of an error."""
    d = exc.diag
    return "\n".join(filter(None, (d.message_primary, d.message_detail, d.message_hint, d.context, d.internal_query)))


def test_a_thousand_odd_configs(server, observ_db):
    """Taken, or a clean error; a secret field never shows its value, neither in the error nor in the row, and what was taken can be read again."""
    rng = random.Random(20340101)
    taken, codes = {}, set()
    with server.connect(observ_db) as conn:
        conn.execute("SELECT observ.set_secret('known', 'https://example.org/known')")
        cursor = conn.cursor(row_factory=psycopg.rows.dict_row)
        fields = cursor.execute("SELECT * FROM observ.channel_fields ORDER BY kind, position").fetchall()
        kinds = sorted({f["kind"] for f in fields})
        secret_fields = {(f["kind"], f["field"]) for f in fields if f["secret"]}
        for n in range(1000):
            kind = rng.choice(kinds)
            secret = "".join(rng.choices(string.ascii_letters, k=20))
            config = a_config(rng, kind, [f for f in fields if f["kind"] == kind], secret)
            hidden = isinstance(config, dict) and not any(secret in json.dumps(v) for k, v in config.items() if (kind, k) not in secret_fields)
            try:
                if rng.random() < 0.5 and isinstance(config, dict):
                    conn.execute("SELECT observ.create_channel(%s)", (json.dumps({**config, "name": f"c{n}", "kind": kind}),))
                else:
                    conn.execute("INSERT INTO observ.notification_channels (name, kind, config) VALUES (%s, %s, %s)", (f"c{n}", kind, json.dumps(config)))
            except psycopg.Error as exc:
                assert exc.sqlstate in CLEAN and exc.diag.message_primary, (exc.sqlstate, exc, kind, config)
                codes.add(exc.sqlstate)
                assert not hidden or secret not in shown(exc), (shown(exc), kind, config)
                continue
            taken[kind] = taken.get(kind, 0) + 1
            row = conn.execute("SELECT config::text FROM observ.notification_channels WHERE name = %s", (f"c{n}",)).fetchone()[0]
            assert not hidden or secret not in row, (row, kind, config)
            assert f"{secret}@h" not in row
            # Once more what is stored: references are followed, texts are as they were.
            conn.execute("UPDATE observ.notification_channels SET config = config || '{\"timeout\": 7}' WHERE name = %s", (f"c{n}",))
        assert len(codes) >= 2 and set(taken) == set(kinds), (codes, taken)
        assert 100 < sum(taken.values()) < 900, taken
        # All of them go, and nothing of theirs stays.
        conn.execute("DELETE FROM observ.notification_channels")
        assert conn.execute("SELECT name FROM observ_data.secrets").fetchall() == [("known",)]


TOKENS = [f"S3cr3tOf{word}9f8e7d" for word in ("SetSecret", "Create", "Insert", "Update", "Failed", "Refused", "Hidden", "NoName")]


def write_secrets(conn, others):
    """Every way to write one, none with a parameter; what another session sees of each is added to `others`."""
    statements = [
        f"SELECT observ.set_secret('mine', '{TOKENS[0]}')",
        f"SELECT observ.create_channel('{{\"name\": \"a\", \"kind\": \"ntfy\", \"topic\": \"t\", \"token\": \"{TOKENS[1]}\"}}')",
        f"INSERT INTO observ.notification_channels (name, kind, config) VALUES ('b', 'ntfy', '{{\"topic\": \"t\", \"token\": \"{TOKENS[2]}\"}}')",
        f"UPDATE observ.notification_channels SET config = config || '{{\"token\": \"{TOKENS[3]}\"}}' WHERE name = 'b'",
        f"SELECT observ.create_channel('{{\"name\": \"c\", \"kind\": \"ntfy\", \"topic\": \"t\", \"token\": \"{TOKENS[4]}\", \"fallback\": \"nobody\"}}')",
        f"INSERT INTO observ.notification_channels (name, kind, config, rate_limit) VALUES ('d', 'ntfy', '{{\"topic\": \"t\", \"token\": \"{TOKENS[5]}\"}}', 0)",
        f"SELECT observ.set_secret(repeat('n', 300), '{TOKENS[6]}')",
        f"INSERT INTO observ.notification_channels (kind, config) VALUES ('ntfy', '{{\"topic\": \"t\", \"token\": \"{TOKENS[7]}\"}}')",
    ]
    pid = conn.info.backend_pid
    for statement in statements:
        try:
            conn.execute(statement)
        except psycopg.Error as exc:
            assert not any(token in shown(exc) for token in TOKENS), shown(exc)
        others.append(statement[:20])
        yield pid


def test_secrets_are_in_no_view_log_dump_or_file(make_server):
    """Neither the sessions of others nor the log, a dump or any file of the data directory has one in clear. It is all there, encrypted."""
    server = make_server(settings={**SERVER["settings"], "log_min_messages": "debug1", "log_min_error_statement": "debug1"})
    server.create_database("metrics", extension=True)
    seen, done = [], []
    with server.connect("metrics") as conn, server.connect("metrics") as other:
        for pid in write_secrets(conn, done):
            seen += [query for query, in other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,))]
        assert len(done) == len(TOKENS) and not any(token in query for token in TOKENS for query in seen), seen
        assert sum("not shown" in query for query in seen) == len(TOKENS)
        # It is there: what is stored can be read with the key.
        other.execute("UPDATE observ.notification_channels SET config = config || '{\"timeout\": 5}' WHERE kind IS NOT NULL")
    dump = server.run("pg_dump", "-d", server.conninfo("metrics"), "--inserts").stdout + server.run("pg_dumpall", "-d", server.conninfo("postgres")).stdout
    assert "secret:channel/a/token" in dump and "INSERT INTO observ_data.secrets" in dump
    server.stop()
    places = {"dump": dump, "log": server.log_text()}
    assert "(not shown: it may hold a secret)" in places["log"]
    for where, text in places.items():
        assert [token for token in TOKENS if token in text] == [], where
    for path in server.data.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [token for token in TOKENS if token.encode() in content] == [], path


def key_file(server):
    return server.data / "observ.key"


def stored(server, db, name="mine"):
    """Stores a secret and a channel that refers to it: whether that can be changed says whether the secret can be read."""
    server.sql(db, "SELECT observ.set_secret(%s, 'value')", (name,))
    server.sql(db, "SELECT observ.create_channel(jsonb_build_object('name', 'ch', 'kind', 'ntfy', 'topic', 't', 'token', 'secret:' || %s))", (name,))


def reads(server, db):
    """None when the secrets of channel `ch` can be read, else the error."""
    try:
        server.sql(db, "UPDATE observ.notification_channels SET config = config || jsonb_build_object('topic', 't' || md5(random()::text)) WHERE name = 'ch'")
        return None
    except psycopg.Error as exc:
        return exc


def test_key_file_is_made_once_and_refused_when_it_is_not_ours_alone(make_server):
    server = make_server(settings=SERVER["settings"])
    server.create_database("metrics", extension=True)
    server.create_database("second", extension=True)
    path = key_file(server)
    assert not path.exists()
    # Many sessions of two databases at once make one key.
    errors, start = [], threading.Barrier(12)

    def session(n):
        try:
            with server.connect("metrics" if n % 2 else "second") as conn:
                start.wait(30)
                conn.execute("SELECT observ.set_secret(%s, 'value')", (f"s{n}",))
        except Exception as exc:  # pylint: disable=broad-except
            errors.append(exc)

    threads = [threading.Thread(target=session, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert {key for db in ("metrics", "second") for key, in server.sql(db, "SELECT DISTINCT key_id FROM observ_data.secrets")}.__len__() == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_uid == (server.data.stat().st_uid)
    assert [p.name for p in server.data.glob("observ.key*")] == ["observ.key"]
    stored(server, "metrics")
    assert reads(server, "metrics") is None
    good = path.read_bytes()

    def refused(code, *words):
        exc = reads(server, "metrics")
        assert exc is not None and exc.sqlstate == code and all(word in shown(exc) for word in words) and exc.diag.message_hint, exc and shown(exc)
        # Nothing else about the channel needs the key.
        server.sql("metrics", "UPDATE observ.notification_channels SET enabled = NOT enabled WHERE name = 'ch'")

    path.chmod(0o640)
    refused("58000", "0640")
    path.chmod(0o600)
    assert reads(server, "metrics") is None
    path.rename(server.data / "elsewhere")
    refused("58000", "no such file")
    path.symlink_to("elsewhere")
    refused("58000", "symbolic link")
    path.unlink()
    os.mkfifo(path, 0o600)
    harness.give_to_server(path)
    refused("58000", "not a regular file")
    path.unlink()
    for text in (b"", good[:20], good + b"\n", b"z" * 64 + b"\n", good.upper() if good.upper() != good else b"A" * 64 + b"\n"):
        path.write_bytes(text)
        harness.give_to_server(path)
        path.chmod(0o600)
        refused("58000", "observ.key")
    if os.geteuid() == 0:
        path.write_bytes(good)
        os.chown(path, 0, 0)
        path.chmod(0o600)
        refused("58000", "observ.key")
    # Another key: it is said, and mended by storing it anew, or by the right key.
    path.write_bytes(b"0123456789abcdef" * 4 + b"\n")
    harness.give_to_server(path)
    path.chmod(0o600)
    refused("XX001", "another key")
    server.sql("second", "SELECT observ.set_secret('new', 'value')")
    path.write_bytes(good)
    assert reads(server, "metrics") is None
    # Lost for good: a new one is made by the next secret, and old ones say what is wrong.
    path.unlink()
    (server.data / "elsewhere").unlink()
    server.sql("metrics", "SELECT observ.set_secret('other', 'value')")
    refused("XX001", "another key")
    server.sql("metrics", "SELECT observ.set_secret('mine', 'value')")
    assert reads(server, "metrics") is None


def test_copies_have_their_secrets_with_the_key_only(make_server):
    """A base backup has the key. A dump does not: on another server the channels come back as they were, and sending waits for the key."""
    server = make_server(settings=SERVER["settings"])
    server.create_database("metrics", extension=True)
    stored(server, "metrics")
    server.sql("metrics", "SELECT observ.create_channel('{\"name\": \"own\", \"kind\": \"ntfy\", \"topic\": \"t\", \"token\": \"its own\", \"fallback\": \"ch\"}')")
    rows = "SELECT c.*, s.* FROM observ.notification_channels c, observ_data.secrets s ORDER BY c.name, s.name"
    before = server.sql("metrics", rows)
    copy = server.base_backup(standby=False)
    try:
        copy.start()
        assert stat.S_IMODE(key_file(copy).stat().st_mode) == 0o600
        assert copy.sql("metrics", rows) == before and reads(copy, "metrics") is None
    finally:
        copy.destroy()
    dump = server.dir / "metrics.dump"
    server.run("pg_dump", "-d", server.conninfo("metrics"), "-f", dump)
    other = make_server(name="other", settings=SERVER["settings"])
    other.create_database("metrics")
    other.run("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", other.conninfo("metrics"), "-f", dump)
    assert other.sql("metrics", rows) == before and not key_file(other).exists()
    assert reads(other, "metrics").sqlstate == "58000"
    other.create_database("second", extension=True)
    other.sql("second", "SELECT observ.set_secret('x', 'y')")
    exc = reads(other, "metrics")
    assert exc.sqlstate == "XX001" and "observ.key" in exc.diag.message_hint and "set_secret" in exc.diag.message_hint
    key_file(other).write_bytes(key_file(server).read_bytes())
    assert reads(other, "metrics") is None


def test_standby_makes_no_key(make_server):
    """A secret can't be stored there; a key that it made itself would be in the way of the right one after a promotion."""
    server = make_server(settings=SERVER["settings"])
    server.create_database("metrics", extension=True)
    standby = server.base_backup()
    try:
        standby.start()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.sql("metrics", "SELECT observ.set_secret('x', 'y')")
        assert not key_file(standby).exists()
        stored(server, "metrics")
        server.wait_for_replay(standby)
        standby.promote()
        assert reads(standby, "metrics").sqlstate == "58000"
        key_file(standby).write_bytes(key_file(server).read_bytes())
        harness.give_to_server(key_file(standby))
        key_file(standby).chmod(0o600)
        assert reads(standby, "metrics") is None
    finally:
        standby.destroy()


def test_channels_from_the_environment_of_the_server(make_server, monkeypatch):
    surroundings = os.environ.get("OBSERV_SERVER_ENV", "")
    monkeypatch.setenv("OBSERV_SERVER_ENV", f"{surroundings} SMTP_HOST=mx.example.org SMTP_PORT=465 SMTP_USER=observ@example.org SMTP_PASSWORD=hunter2 SMTP_TO=a@example.org,b@example.org SMTP_TLS=true "
                                            "WEBHOOK_URL=https://example.org/hook")
    server = make_server(settings=SERVER["settings"])
    server.create_database("metrics", extension=True)
    made = "SELECT observ.create_channels_from_env()"
    assert server.sql("metrics", made) == [("email",), ("webhook",)]
    rows = "SELECT name, kind, config FROM observ.notification_channels WHERE name <> 'default' ORDER BY name"
    assert server.sql("metrics", rows) == [
        ("email", "email", {"host": "mx.example.org", "port": "465", "user": "observ@example.org", "password": "secret:channel/email/password", "from": "observ@example.org",
                            "to": ["a@example.org", "b@example.org"], "tls": "tls"}),
        ("webhook", "webhook", {"url": "https://example.org/hook"})]
    assert server.value("metrics", "SELECT channels FROM observ.routes WHERE parent_id IS NULL") == ["email", "webhook"]
    # Again, after a restart with other values; what was added by hand stays.
    server.sql("metrics", "UPDATE observ.notification_channels SET config = config || '{\"timeout\": 5}', fallback = 'webhook' WHERE name = 'email'")
    monkeypatch.setenv("OBSERV_SERVER_ENV", f"{surroundings} SMTP_HOST=mx2.example.org SMTP_FROM=x@example.org SMTP_TO=c@example.org SMTP_TLS=false WEBHOOK_URL=https://hooks.slack.com/services/T/B/X")
    server.restart()
    assert server.sql("metrics", made) == [("email",), ("webhook",)]
    config = server.value("metrics", "SELECT config FROM observ.notification_channels WHERE name = 'email'")
    assert config == {"host": "mx2.example.org", "tls": "none", "timeout": 5, "from": "x@example.org", "to": ["c@example.org"]}
    assert server.sql("metrics", "SELECT name FROM observ_data.secrets") == [("channel/webhook/url",)]
    assert server.sql("metrics", rows)[1] == ("webhook", "slack", {"url": "secret:channel/webhook/url"})
    # From a file of the server, which says which line is wrong, and not what is in it.
    path = server.dir / "notify.env"
    path.write_text('# mail\nexport SMTP_HOST="mx3.example.org"\nSMTP_FROM=x@example.org\nSMTP_TO=\'d@example.org\'\nOTHER=1\n', encoding="utf-8")
    path.chmod(0o644)
    assert server.sql("metrics", "SELECT observ.create_channels_from_env(%s)", (str(path),)) == [("email",)]
    assert server.value("metrics", "SELECT config ->> 'host' FROM observ.notification_channels WHERE name = 'email'") == "mx3.example.org"
    path.write_text("SMTP_HOST=h\nSMTP_PASSWORD \"hunter2\"\n", encoding="utf-8")
    with pytest.raises(psycopg.Error) as bad:
        server.sql("metrics", "SELECT observ.create_channels_from_env(%s)", (str(path),))
    assert bad.value.sqlstate == "22023" and "line 2" in shown(bad.value) and "hunter2" not in shown(bad.value)


class Echo(http.server.BaseHTTPRequestHandler):
    """Says no, and repeats what it was sent: as it came, percent-encoded, as JSON, and in parts."""

    def do_POST(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        values = [self.path, *self.headers.values()]
        said = "\n".join(["no", *values, *(urllib.parse.quote(v, safe="") for v in values), *(urllib.parse.quote(v, safe="").lower() for v in values), *(json.dumps(v) for v in values),
                          *(part for v in values for part in v.replace("?", "/").replace("=", "/").replace(" ", "/").split("/"))])[:60000].encode()
        type(self).paths.append(self.path)
        self.send_response(400)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args):
        """Not to stderr."""


def test_what_a_receiver_repeats_is_shown_without_secrets(server, observ_db):
    """Answers are for people and tables; the secrets in them are ***, in whatever form they come back."""
    Echo.paths = []
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    words = ["pathSecret0123456789", "querySecret+/0123456789", 'bearer "quoted" \\ Secret9', "headerSecretÄ0123"]
    try:
        address = f"http://127.0.0.1:{httpd.server_port}/hook/{words[0]}?key={urllib.parse.quote(words[1], safe='')}"
        server.sql(observ_db, "SELECT observ.set_secret('hook', %s)", (address,))
        server.sql(observ_db, "SELECT observ.create_channel(%s)", (json.dumps({"name": "echo", "kind": "webhook", "url": "secret:hook", "bearer_token": words[2], "headers": {"X-Key": words[3]}}),))
        result = server.sql(observ_db, "SELECT * FROM observ.test_channel('echo')")[0]
        assert Echo.paths and words[0] in Echo.paths[0]
        rows = server.sql(observ_db, "SELECT * FROM observ.notification_attempts")
        assert result[0] is False and result[1] == 400 and len(rows) == 1
        text = repr((result, rows)) + server.log_text()
        assert "***" in repr(result) and "***" in repr(rows)
        for word in [*words, *(urllib.parse.quote(word, safe="") for word in words)]:
            assert word not in text and json.dumps(word)[1:-1] not in text, (word, text)
        # What could not even be sent is said without the address.
        httpd.shutdown()
        httpd.server_close()
        result = server.sql(observ_db, "SELECT * FROM observ.test_channel('echo')")[0]
        assert result[0] is False and result[1] is None and not any(word in repr(result) for word in words), result
    finally:
        httpd.shutdown()
        httpd.server_close()
