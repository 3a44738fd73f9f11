"""Health checks of obs-agent: every kind of target, what each failure is called, breakers, doubt, reload, restart."""

import json
import os
import signal
import socket

import pytest

import harness
from agent_config import Setup
from harness import wait_until
from health_targets import Authority, Listener, Web, redis, silent

SERVER = {"tcp": True, "settings": {"observ.maintain_partitions_interval": "0"}}
SYSTEMCTL = """#!/bin/sh
for unit; do :; done
for open in /proc/$$/fd/*; do [ ${open##*/} -gt 10 ] && unit=inherits.service; done  # 10 is the shell's own
case $unit in
good.service) printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nResult=success\\n';;
bad.service) printf 'Result=exit-code\\nLoadState=loaded\\nActiveState=failed\\nSubState=failed\\n';;
starting.service) printf 'LoadState=loaded\\nActiveState=activating\\nSubState=start-pre\\nResult=success\\n';;
stuck.service) exec sleep 60;;
*) printf 'LoadState=not-found\\nActiveState=inactive\\nSubState=dead\\nResult=success\\n';;
esac
"""


def write_config(setup, url, checks, interval=10):
    """The configuration: JSON is YAML."""
    setup.config.write_text("monitoring: " + json.dumps({
        "enabled": True, "postgres_url": url, "collection_interval": interval,
        "health_checks": [{"interval": 1, "timeout": 2, **check} for check in checks]}) + "\n")


def rows(server, db, name, more=""):
    """Rows of one check, oldest first, as dictionaries."""
    with server.connect(db) as conn:
        cursor = conn.execute(f"SELECT * FROM observ.health_checks WHERE url = %s {more} ORDER BY timestamp, id", (name,))
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]


def wait_for(server, db, name, more="", count=1, deadline=30):
    """Rows of a check, once there are that many."""
    def look():
        found = rows(server, db, name, more)
        return found if len(found) >= count else None
    return wait_until(look, deadline, f"{count} rows of {name} {more}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def make():
    """make(Web, ...) -> something with close(), closed after the test."""
    made = []

    def new(kind, *args, **options):
        made.append(kind(*args, **options))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture
def agent_for(server, observ_db, run_agent, tmp_path):
    """agent_for(checks, ...) -> Agent that runs them; .setup writes other configurations."""

    def start(checks, **options):
        setup = Setup(tmp_path, server.url(observ_db))
        write_config(setup, server.url(observ_db), checks)
        agent = run_agent(*setup.args(*options.pop("args", ())), **options)
        agent.setup = setup
        return agent

    return start


# --- what a row is

def test_answers_of_web_servers(server, observ_db, agent_for, make):
    """Statuses, bodies, latency, redirects: one check each, all in one agent."""
    web = make(Web)
    expected = {  # name: (check, error, status)
        "good": ({}, None, 200),
        "range": ({"url": "/status?204", "expected_status": "200-299"}, None, 204),
        "list": ({"url": "/status?404", "expected_status": [200, 404]}, None, 404),
        "wrong": ({"url": "/status?503"}, "status: 503, expected 200-399", 503),
        "one": ({"url": "/status?200", "expected_status": [201, "300-302"]}, "status: 200, expected 201, 300-302", 200),
        "has": ({"body_contains": "ell"}, None, 200),
        "has not": ({"body_contains": "bye"}, 'body: does not contain "bye"', 200),
        "must not": ({"body_not_contains": "hello"}, 'body: contains "hello"', 200),
        "regex": ({"body_regex": "^h.l+o"}, None, 200),
        "no regex": ({"body_regex": "^el+o"}, "body: does not match ^el+o", 200),
        # The second would take 20 minutes: it holds up nobody.
        "long regex": ({"url": "/long?500000", "body_regex": "^a+"}, None, 200),
        "no long regex": ({"url": "/long?1000000", "body_regex": "a.*b"}, "body: could not be matched with a.*b within 2 s", 200),
        "json": ({"url": "/json", "json_path": '$.status == "UP"'}, None, 200),
        "json not": ({"url": "/json", "json_path": "$.queue < 10"}, "body: $.queue < 10: $.queue is 42", 200),
        "no json": ({"json_path": "$.queue < 10"}, "body: $.queue < 10: the body is no JSON", 200),
        "big": ({"url": "/big"}, None, 200),
        "too big": ({"url": "/big", "body_contains": "y"}, "body: longer than 1 MB", 200),
        "latency": ({"url": "/slow?0.4", "max_latency_ms": 200}, "latency: ", 200),
        "followed": ({"url": "/to?/status?200"}, None, 200),
        "not followed": ({"url": "/to?/", "follow_redirects": False, "expected_status": 302}, None, 302),
        "endless": ({"url": "/loop"}, "status: a redirect that is not followed: Maximum (5) redirects followed", 302),
        "elsewhere": ({"url": "/to?file:///etc/passwd"}, "status: a redirect that is not followed: ", 302),
        "cookie": ({"url": "/cookie"}, None, 200),
        "post": ({"url": "/status?201", "method": "POST", "body": "{}", "headers": {"X-Key": "k1"}}, None, 201),
        "head": ({"method": "HEAD"}, None, 200),
    }
    agent_for([{"name": name, **check, "url": web.url(check.get("url", "/"))} for name, (check, _, _) in expected.items()])
    for name, (_, error, status) in expected.items():
        row = wait_for(server, observ_db, name)[0]
        assert (row["success"], row["status_code"]) == (error is None, status), (name, row)
        assert (row["error_message"] or "").startswith(error or ""), (name, row)
        assert (row["error_message"] is None) == (error is None), (name, row)
        assert row["inconclusive"] is False and row["tls_ms"] is None and row["tls_expires_at"] is None, (name, row)
        assert 0 < row["response_time_ms"] < 3000 and row["connect_ms"] >= 0 and row["dns_ms"] > 0, (name, row)
    slow = wait_for(server, observ_db, "latency")[0]
    # The server waits 400 ms by its own clock.
    assert 390 <= slow["first_byte_ms"] <= slow["response_time_ms"]
    posts = [(method, headers.get("X-Key"), body) for method, _, headers, body, _ in web.seen if method == "POST"]
    assert posts and set(posts) == {("POST", "k1", "{}")}
    assert "HEAD" in {method for method, *_ in web.seen}
    assert {headers["User-Agent"] for _, _, headers, _, _ in web.seen} == {"obs-agent/1.0"}
    # A connection of its own for each request.
    assert len({address for *_, address in web.seen}) == len(web.seen)


def test_failures_without_an_answer_are_named_by_their_phase(server, observ_db, agent_for, make):
    web, mute, closed = make(Web), make(Listener, silent), harness.free_port()
    expected = {
        "no name": ("http://no-such-host.invalid/", "dns: Could not resolve host: no-such-host.invalid"),
        "refused": (f"http://127.0.0.1:{closed}/", "connect: "),
        "tcp refused": (f"tcp://127.0.0.1:{closed}", "connect: "),
        "mute": (f"http://127.0.0.1:{mute.port}/", "timeout: no answer within 2 s"),
        "mute tls": (f"https://127.0.0.1:{mute.port}/", "timeout: no end of the TLS handshake within 2 s"),
        "hanging": (web.url("/hang"), "timeout: no answer within 2 s"),
        "half": (web.url("/half"), "body: "),
        "drip": (web.url("/drip"), "timeout: no end of the answer within 2 s"),
        "headers": (web.url("/headers"), "body: more than 256 kB of header"),
        "reset": (web.url("/reset"), "connect: "),
        "no tls": (f"https://127.0.0.1:{web.port}/", "tls: "),
        "good": (web.url(), None),
        "good too": (web.url("/json"), None),
        "tcp": (f"tcp://127.0.0.1:{mute.port}", None),
        "tcp by name": (f"tcp://localhost:{mute.port}", None),
    }
    agent_for([{"name": name, "url": url} for name, (url, _) in expected.items()])
    for name, (_, error) in expected.items():
        row = wait_for(server, observ_db, name)[0]
        assert row["success"] == (error is None), (name, row)
        assert (row["error_message"] or "").startswith(error or ""), (name, row)
        if error and name not in ("half", "drip", "headers"):
            assert row["status_code"] is None and row["response_time_ms"] is None, (name, row)
    assert wait_for(server, observ_db, "no name")[0]["dns_ms"] is None
    assert wait_for(server, observ_db, "tcp")[0]["connect_ms"] > 0


def test_certificates(server, observ_db, agent_for, make, authority):
    """What TLS says, until when the certificate is valid, and why one is refused: also by a second look."""
    good = make(Web, authority.certificate("good"))
    plain = make(Web)
    other = make(Web, authority.certificate("other", names="DNS:elsewhere.example"))
    expired = make(Web, authority.certificate("expired", days=-1))
    agent_for([{"name": "good", "url": good.url()},
               {"name": "other", "url": other.url()},
               {"name": "expired", "url": expired.url()},
               {"name": "trusting", "url": expired.url(), "verify_tls": False},
               {"name": "down", "url": good.url("/to?" + plain.url())},
               {"name": "down and up", "url": plain.url("/to?" + good.url("/to?" + plain.url()))},
               {"name": "up", "url": plain.url("/to?" + good.url())}],
              env={"SSL_CERT_FILE": str(authority.file)})
    row = wait_for(server, observ_db, "good")[0]
    assert row["success"] and row["tls_ms"] > 0
    expires = server.value(observ_db, "SELECT extract(day FROM max(tls_expires_at - timestamp)) FROM observ.health_checks WHERE url = 'good'")
    assert expires == 19
    row = wait_for(server, observ_db, "other")[0]
    assert row["error_message"].startswith("tls: ") and "does not match" in row["error_message"] or "no alternative" in row["error_message"], row
    assert "(the certificate is valid until 20" in row["error_message"] and row["tls_expires_at"] is not None
    row = wait_for(server, observ_db, "expired")[0]
    assert row["error_message"].startswith("tls: certificate has expired (the certificate expired 20"), row
    assert row["tls_expires_at"] < row["timestamp"] and not row["success"]
    assert wait_for(server, observ_db, "trusting")[0]["success"]
    for name in ("down", "down and up"):
        row = wait_for(server, observ_db, name)[0]
        assert row["error_message"] == "status: a redirect that is not followed: it leads from https to http, or away from both", row
    assert wait_for(server, observ_db, "up")[0]["success"]


def test_an_untrusted_authority_is_said(server, observ_db, agent_for, make, authority):
    web = make(Web, authority.certificate("unknown"))
    agent_for([{"name": "unknown", "url": web.url()}])
    row = wait_for(server, observ_db, "unknown")[0]
    assert row["error_message"].startswith("tls: unable to get local issuer certificate (the certificate is valid until "), row
    assert web.seen == []  # the second look sends no request


def test_transport_errors_are_tried_again_at_once(server, observ_db, agent_for, make):
    web = make(Web)
    agent_for([{"name": "flaky", "url": web.url("/flaky")}])
    assert all(row["success"] for row in wait_for(server, observ_db, "flaky", count=3))
    assert web.flaky_calls >= 6


def test_address_families(server, observ_db, agent_for, make):
    """localhost has an address of each; the servers listen on 127.0.0.1 alone."""
    web = make(Web)
    agent_for([{"name": "any", "url": web.url()}, {"name": "four", "url": web.url(), "ip_family": 4}, {"name": "six", "url": web.url(), "ip_family": 6},
               {"name": "pg four", "url": f"postgresql://postgres@localhost:{server.port}/postgres", "ip_family": 4},
               {"name": "pg six", "url": f"postgresql://postgres@localhost:{server.port}/postgres", "ip_family": 6}])
    for name in ("any", "four", "pg four"):
        assert wait_for(server, observ_db, name)[0]["success"], name
    assert wait_for(server, observ_db, "six")[0]["error_message"].startswith("connect: ")
    # Whether /etc/hosts knows ::1 depends on the machine.
    assert wait_for(server, observ_db, "pg six")[0]["error_message"].split(":")[0] in ("dns", "connect")


# --- other kinds

def test_redis(server, observ_db, agent_for, make, tmp_path):
    path = tmp_path / "redis.sock"
    plain, guarded = make(Listener, redis()), make(Listener, redis("pa:ss w/rd"))
    loading, mute = make(Listener, redis(refuse=b"-LOADING Redis is loading the dataset in memory")), make(Listener, silent)
    make(Listener, redis(), path)
    os.chmod(path, 0o777)
    secret = "pa%3ass%20w%2Frd"
    agent_for([{"name": "plain", "url": f"redis://localhost:{plain.port}"},
               {"name": "socket", "url": f"redis://{path}"},
               {"name": "guarded", "url": f"redis://:{secret}@127.0.0.1:{guarded.port}/0"},
               {"name": "no password", "url": f"redis://127.0.0.1:{guarded.port}"},
               {"url": f"redis://:topsecret@127.0.0.1:{guarded.port}"},
               {"name": "loading", "url": f"redis://127.0.0.1:{loading.port}"},
               {"name": "mute", "url": f"redis://127.0.0.1:{mute.port}"},
               {"name": "no redis", "url": f"redis://127.0.0.1:{make(Web).port}"},
               {"name": "no socket", "url": f"redis://{tmp_path}/none.sock"}])
    for name, error in {"plain": None, "socket": None, "guarded": None, "no password": "status: NOAUTH Authentication required.",
                        "loading": "status: LOADING Redis is loading the dataset in memory", "mute": "timeout: no answer within 2 s",
                        f"redis://127.0.0.1:{guarded.port}": "status: the password was refused (ERR)",
                        "no socket": "connect: No such file or directory"}.items():
        row = wait_for(server, observ_db, name)[0]
        assert row["error_message"] == error and row["success"] == (error is None), (name, row)
    assert wait_for(server, observ_db, "no redis")[0]["success"] is False
    everything = str(server.sql(observ_db, "SELECT * FROM observ.health_checks"))
    assert "topsecret" not in everything and secret not in everything


def test_postgres(server, observ_db, agent_for, make_server, make):
    """A primary, its standby that falls behind, a wrong password, a server that hangs."""
    primary = make_server(name="primary", tcp=True, preload=False, hba=["host all guarded 127.0.0.1/32 scram-sha-256"])
    primary.sql("postgres", "CREATE ROLE guarded LOGIN PASSWORD 'right'")
    standby = primary.base_backup()
    standby.start()
    primary.sql("postgres", "CREATE TABLE first AS SELECT 1")
    primary.wait_for_replay(standby)
    mute = make(Listener, silent)
    agent_for([{"name": "primary", "url": primary.url()},
               {"name": "standby", "url": standby.url(), "max_lag": 1},
               {"name": "no limit", "url": standby.url()},
               {"url": f"postgresql://guarded:wrongsecret@127.0.0.1:{primary.port}/postgres"},
               {"name": "nobody", "url": f"postgresql://x@127.0.0.1:{harness.free_port()}/x"},
               {"name": "no name", "url": "postgresql://x@no-such-host.invalid/x"},
               {"name": "mute", "url": f"postgresql://x@127.0.0.1:{mute.port}/x"}])
    row = wait_for(server, observ_db, "primary")[0]
    assert row["success"] and row["connect_ms"] > 0 and row["first_byte_ms"] > 0
    assert wait_for(server, observ_db, "standby")[0]["success"]
    row = wait_for(server, observ_db, f"postgresql://guarded@127.0.0.1:{primary.port}/postgres")[0]
    assert row["error_message"].startswith("status: 28P01 password authentication failed"), row
    assert wait_for(server, observ_db, "nobody")[0]["error_message"].startswith("connect: ")
    assert wait_for(server, observ_db, "no name")[0]["error_message"].startswith('dns: host "no-such-host.invalid" is not found')
    assert wait_for(server, observ_db, "mute")[0]["error_message"] == "timeout: no connection within 2 s"
    assert "wrongsecret" not in str(server.sql(observ_db, "SELECT * FROM observ.health_checks"))
    standby.sql("postgres", "SELECT pg_wal_replay_pause()")
    primary.sql("postgres", "CREATE TABLE more AS SELECT 1")
    row = wait_for(server, observ_db, "standby", "AND NOT success")[0]
    assert row["error_message"].startswith("lag: ") and row["error_message"].endswith(" s behind the primary, more than 1 s"), row
    standby.sql("postgres", "SELECT pg_wal_replay_resume()")
    failed = row["timestamp"]
    wait_for(server, observ_db, "standby", f"AND success AND timestamp > '{failed}'", deadline=60)
    assert rows(server, observ_db, "no limit", "AND NOT success") == []
    standby.destroy()


def test_units(server, observ_db, agent_for, make, tmp_path):
    """systemctl is asked, and gets nothing of the agent's but its pipe; one that hangs is given up and does not stay."""
    mute = make(Listener, silent)
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "systemctl").write_text(SYSTEMCTL)
    (tools / "systemctl").chmod(0o755)
    root = proc_stand_in(tmp_path)
    (root / "run/systemd/system").mkdir(parents=True)
    agent = agent_for([*({"url": f"unit:{name}.service"} for name in ("good", "bad", "starting", "stuck", "none")),
                       {"url": f"http://127.0.0.1:{mute.port}/", "timeout": 30}], args=("--proc-root", root),
                      env={"PATH": f"{tools}:{os.environ['PATH']}"})
    for name, error in {"good": None, "bad": "unit: failed (exit-code)", "starting": "unit: activating (start-pre)",
                        "stuck": "timeout: no answer of systemctl within 2 s", "none": "unit: there is no such unit"}.items():
        row = wait_for(server, observ_db, f"unit:{name}.service")[0]
        assert row["error_message"] == error and row["success"] == (error is None), row
    wait_for(server, observ_db, "unit:stuck.service", count=2)
    assert all(row["success"] for row in wait_for(server, observ_db, "unit:good.service", count=4))
    # The one that hangs (a sleep) was killed at its deadline: there is never more than the present one.
    wait_until(lambda: names_of_children(agent.pid).count("sleep") <= 1, 10, "the end of the systemctl that was given up")
    agent.stop()


def names_of_children(pid):
    """What the children of a process are called."""
    names = []
    for child in harness.children_of(pid):
        try:
            with open(f"/proc/{child}/comm", encoding="ascii") as file:
                names.append(file.read().strip())
        except OSError:
            pass
    return names


def proc_stand_in(tmp_path):
    """As much of a /proc as the agent needs to start."""
    root = tmp_path / "root"
    root.mkdir()
    for name in ("stat", "meminfo", "loadavg", "uptime", "mounts", "diskstats"):
        source = f"/proc/{name}"
        (root / name).write_text(open(source, encoding="ascii").read() if os.path.exists(source) else "")
    return root


def test_without_systemd(server, observ_db, agent_for, tmp_path):
    agent_for([{"url": "unit:any.service"}], args=("--proc-root", proc_stand_in(tmp_path)))
    assert wait_for(server, observ_db, "unit:any.service")[0]["error_message"] == "unit: systemd is not running here"


# --- breakers

def test_breaker_opens_skips_and_closes(server, observ_db, agent_for, make):
    """Failures open it, skipped slots are rows, recovery is seen by a probe, two successes close it."""
    web = make(Web)
    web.status = 500
    agent_for([{"name": "app", "url": web.url("/switch"), "failure_threshold": 2, "cooldown": 4}])
    skipped = wait_for(server, observ_db, "app", "AND error_message LIKE 'breaker open: %%'")
    first = rows(server, observ_db, "app")[:3]
    assert [row["breaker_state"] for row in first] == ["closed", "open", "open"] and not any(row["success"] for row in first)
    assert first[1]["error_message"] == "status: 500, expected 200-399" and first[2]["error_message"] == skipped[0]["error_message"]
    assert skipped[0]["status_code"] is None and skipped[0]["inconclusive"] is False
    tried = len(web.seen)
    wait_for(server, observ_db, "app", "AND error_message LIKE 'breaker open: %%'", count=3)
    web.status = 200
    # The last two are those that closed it, the one before them was skipped or a probe that failed.
    closed = wait_for(server, observ_db, "app", "AND success AND breaker_state = 'closed'")
    states = [row["breaker_state"] for row in rows(server, observ_db, "app") if row["success"]]
    assert states[0] == "half-open" and "closed" in states
    assert closed[0]["timestamp"] > skipped[0]["timestamp"] and len(web.seen) > tried


def test_breaker_survives_a_restart(server, observ_db, agent_for, run_agent, make):
    web = make(Web)
    web.status = 500
    agent = agent_for([{"name": "app", "url": web.url("/switch"), "failure_threshold": 1, "cooldown": 60}])
    wait_for(server, observ_db, "app", "AND breaker_state = 'open'")
    wait_until(lambda: "open 1 0 1" in state_file(agent), 10, "the state file")
    agent.kill9()
    web.status, seen = 200, len(web.seen)
    before = server.value(observ_db, "SELECT clock_timestamp()")  # what the first has in its spool is older
    run_agent(*agent.setup.args())
    row = wait_for(server, observ_db, "app", f"AND timestamp > '{before}'", count=2)[1]
    assert row["breaker_state"] == "open" and row["error_message"].startswith("breaker open: 1 failures in a row, next attempt in "), row
    assert len(web.seen) == seen


def state_file(agent):
    """The text of the state file, "" when there is none."""
    found = list(agent.setup.state.glob("health*"))
    return found[0].read_text() if found else ""


@pytest.mark.parametrize("damage", [b"", b"garbage", b"observ health 1\n\xff\xfe\n0 1 2\n" + b"x" * 100000, b"observ health 2\n"])
def test_a_damaged_state_file_is_no_obstacle(server, observ_db, agent_for, run_agent, make, damage):
    web = make(Web)
    agent = agent_for([{"name": "app", "url": web.url()}])
    wait_until(lambda: web.seen, 20, "a check")
    agent.stop()
    assert "observ health 1" in state_file(agent)
    next(iter(agent.setup.state.glob("health*"))).write_bytes(damage)
    seen = len(web.seen)
    run_agent(*agent.setup.args())
    wait_until(lambda: len(web.seen) > seen, 20, "a check after the restart")


# --- doubt

def test_when_nearly_all_fail_the_agent_doubts_itself(server, observ_db, agent_for, make):
    """Nobody answers: inconclusive, one event, no breaker opens. Somebody answers again: one more event."""
    ports = [harness.free_port() for _ in range(4)]
    agent = agent_for([{"name": f"c{i}", "url": f"http://127.0.0.1:{port}/", "failure_threshold": 1} for i, port in enumerate(ports)])
    for i in range(4):
        found = wait_for(server, observ_db, f"c{i}", count=3)
        assert all(row["inconclusive"] and not row["success"] and row["breaker_state"] == "closed" for row in found), found
    events = "SELECT success, message, duration_ms > 0 FROM observ.events WHERE kind = 'agent_connectivity' ORDER BY timestamp"
    found = server.sql(observ_db, events)
    assert len(found) == 1 and found[0][0] is False and found[0][1].startswith("4 of 4 health checks got no answer at once"), found
    for port in ports[:3]:
        make(Web, port=port)
    wait_until(lambda: len(server.sql(observ_db, events)) == 2, 30, "the end of the doubt")
    assert server.sql(observ_db, events)[1] == (True, "health checks get answers again", True)
    row = wait_for(server, observ_db, "c3", "AND NOT inconclusive")[0]
    assert row["success"] is False and row["breaker_state"] == "open"
    agent.wait_for_stderr("health checks get answers again")


def test_answers_that_are_failures_are_no_reason_for_doubt(server, observ_db, agent_for, make):
    web = make(Web)
    agent_for([{"name": f"c{i}", "url": web.url("/status?500")} for i in range(4)])
    for i in range(4):
        assert not any(row["inconclusive"] for row in wait_for(server, observ_db, f"c{i}", count=2))


# --- the loop

def test_nothing_that_hangs_delays_the_others(server, observ_db, agent_for, make):
    """Names, connections, handshakes and answers that never come: another check and the samples keep their time."""
    mute, web = make(Listener, silent), make(Web)
    backlog = make(Listener, silent, accept=False)
    flood = [socket.socket() for _ in range(64)]
    for one in flood:  # its queue is full: further connections get no answer at all
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", backlog.port))
    hanging = [{"name": f"h{i}", "url": url, "timeout": 4} for i, url in enumerate(
        [f"http://127.0.0.1:{backlog.port}/", f"https://127.0.0.1:{mute.port}/", f"redis://127.0.0.1:{mute.port}"])]
    agent = agent_for(hanging + [{"name": "good", "url": web.url()}])
    wait_until(lambda: len(web.seen) >= 6, 30, "checks beside those that hang")
    # Stopping does not wait for them either.
    agent.signal(signal.SIGTERM)
    assert agent.wait(5) == 0
    for one in flood:
        one.close()


HANGING_NAMES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	if (name && strstr(name, "hanging"))
		sleep(30);
	return ((int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **)) dlsym(RTLD_NEXT, "getaddrinfo"))(
		name, service, hints, out);
}
"""


@pytest.mark.skipif(harness.SANITIZED, reason="nothing can be preloaded before the sanitizer")
def test_a_name_server_that_hangs_delays_nobody(server, observ_db, agent_for, make, tmp_path):
    """getaddrinfo() takes 30 s: libcurl's and libpq's look-ups end at their deadline, others go on, the agent ends at once."""
    source, library = tmp_path / "names.c", tmp_path / "names.so"
    source.write_text(HANGING_NAMES)
    harness.run_tool(["gcc", "-shared", "-fPIC", "-o", library, source])
    web = make(Web)
    urls = {"http": "http://hanging.example/", "tcp": "tcp://hanging.example:1", "postgres": "postgresql://x@hanging.example/x"}
    agent = agent_for([*({"name": name, "url": url} for name, url in urls.items()), {"name": "good", "url": web.url()}],
                      env={"LD_PRELOAD": str(library)})
    for name in urls:
        row = wait_for(server, observ_db, name)[0]
        assert row["error_message"] == "dns: no answer within 2 s" and row["dns_ms"] is None, row
    seen = len(web.seen)
    wait_until(lambda: len(web.seen) > seen + 2, 10, "checks beside those that hang")
    agent.signal(signal.SIGTERM)
    assert agent.wait(5) == 0


def test_nothing_is_left_open(server, observ_db, agent_for, make, authority):
    """Descriptors and memory after many checks of each kind are those after a few."""
    web, tls, good = make(Web), make(Web, authority.certificate("leak")), make(Listener, redis())
    agent = agent_for([{"name": "http", "url": web.url()}, {"name": "refused", "url": tls.url()},
                       {"name": "reset", "url": web.url("/reset"), "failure_threshold": 100},
                       {"name": "tcp", "url": f"tcp://127.0.0.1:{good.port}"}, {"name": "redis", "url": f"redis://127.0.0.1:{good.port}"},
                       {"name": "postgres", "url": server.url()}])

    def descriptors():
        return sorted(os.readlink(f"/proc/{agent.pid}/fd/{fd}").split("[")[0] for fd in os.listdir(f"/proc/{agent.pid}/fd"))

    wait_for(server, observ_db, "refused")  # the certificates of the system are parsed by now, and stay
    wait_for(server, observ_db, "postgres")
    few = wait_until(lambda: descriptors() or None, 5, "descriptors", retry_on=OSError)
    memory = harness.anonymous_kb(agent.pid)
    more = len(web.seen) + 30
    wait_until(lambda: len(web.seen) >= more, 60, "many checks")
    # At most four are under way in a moment; each has two descriptors.
    assert len(wait_until(lambda: descriptors() or None, 5, "descriptors", retry_on=OSError)) <= len(few) + 8
    assert harness.anonymous_kb(agent.pid) < memory + 1000


def test_reload_keeps_what_did_not_change(server, observ_db, agent_for, make):
    web = make(Web)
    web.status = 500
    kept = {"name": "kept", "url": web.url("/switch"), "failure_threshold": 1, "cooldown": 60}
    agent = agent_for([kept, {"name": "gone", "url": web.url("/gone")}])
    wait_for(server, observ_db, "kept", "AND breaker_state = 'open'")
    attempts = [path for _, path, *_ in web.seen].count("/switch")
    wait_for(server, observ_db, "gone")
    write_config(agent.setup, server.url(observ_db), [{"name": "new", "url": web.url("/new")}, kept])
    agent.signal(signal.SIGHUP)
    wait_for(server, observ_db, "new")
    assert not rows(server, observ_db, "kept", "AND breaker_state <> 'open'")
    assert [path for _, path, *_ in web.seen].count("/switch") == attempts == 1
    gone = len([1 for _, path, *_ in web.seen if path == "/gone"])
    wait_for(server, observ_db, "new", count=3)
    assert len([1 for _, path, *_ in web.seen if path == "/gone"]) == gone
    # None at all, and again some.
    write_config(agent.setup, server.url(observ_db), [])
    agent.signal(signal.SIGHUP)
    wait_until(lambda: agent.stderr().count("configuration read again") == 2, 10, "the second reload")
    write_config(agent.setup, server.url(observ_db), [{"name": "back", "url": web.url()}])
    agent.signal(signal.SIGHUP)
    wait_for(server, observ_db, "back")


def test_reload_and_stop_in_the_middle_of_everything(server, observ_db, agent_for, make):
    """Checks of all kinds under way, again and again."""
    mute, web = make(Listener, silent), make(Web)
    checks = [{"name": str(i), "url": url, "timeout": 5} for i, url in enumerate(
        [f"http://127.0.0.1:{mute.port}/", f"redis://127.0.0.1:{mute.port}", f"postgresql://x@127.0.0.1:{mute.port}/x", web.url("/hang")])]
    agent = agent_for(checks)
    for i in range(12):
        wait_until(lambda: mute.open or web.seen, 10, "a check under way")
        write_config(agent.setup, server.url(observ_db), checks[i % 3:])
        agent.signal(signal.SIGHUP)
        wait_until(lambda n=i + 1: agent.stderr().count("configuration read again") >= n, 10, "a reload")
    agent.signal(signal.SIGTERM)
    assert agent.wait(5) == 0
