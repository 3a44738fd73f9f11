"""Requests and mails on the wire: what common/curl_multi.h says of each way in which they end.

The probe (transfer_probe.c) needs no database. What answers mean for a notification is not here (test_delivery.py).
"""

import json
import shutil
import subprocess
import time

import pytest

import harness
import mail_server
import receivers
from receivers import Answer

PROBE = harness.ROOT / "build" / "transfer_probe"
MAIL = ["from=observ@example.org", "body=Subject: x\r\n\r\nhello\r\n.dot\r\n"]


@pytest.fixture(scope="module", autouse=True)
def probe(installation):
    """The probe, made by the Makefile."""
    harness.run_tool(["make", "-C", harness.ROOT, "-s", f"PG_CONFIG={installation.pg_config}", "build/transfer_probe"],
                     env=harness.clean_environment(MAKEFLAGS=""))


def run(*args, env=None, deadline=30, under=()):
    """Lines of the probe, parsed."""
    done = subprocess.run([*under, PROBE, *(str(arg) for arg in args)], capture_output=True, text=True, timeout=deadline, check=True,
                          env=harness.clean_environment(**(env or {})))
    return [json.loads(line) for line in done.stdout.splitlines()]


def go(*args, **options):
    """One request."""
    (line,) = run(*args, "go", **options)
    return line


def test_answer_is_told_whole(make_receiver):
    """Status, body, Retry-After, Date, the other side's address; what was sent is what arrives."""
    receiver = make_receiver()
    receiver.script("/hook", Answer(429, b"slow down", {"Retry-After": "7", "Date": "Tue, 20 Jan 2026 12:00:00 GMT"}))
    line = go(f"url={receiver.url('/hook')}", "body={\"a\":1}", "header=Content-Type: application/json", "header=X-One: 1")
    assert (line["outcome"], line["status"], line["body"]) == ("answered", 429, "slow down")
    assert (line["retry_after"], line["date"], line["sent"]) == ("7", 1768910400, True)
    assert line["address"] == f"127.0.0.1:{receiver.port}"
    (request,) = receiver.requests
    assert (request.method, request.path, request.json) == ("POST", "/hook", {"a": 1})
    assert request.headers["x-one"] == "1" and request.headers["user-agent"] == "observ/probe"


@pytest.mark.parametrize(("answer", "outcome", "phase", "status"), [
    (Answer(hang="answer"), "timeout", "first_byte", 0),
    (Answer(hang="header"), "timeout", "body", 200),
    (Answer(hang="body", body=b"0123456789"), "timeout", "body", 200),
    (Answer(close="answer"), "broken", "first_byte", 0),
    (Answer(close="reset"), "broken", "first_byte", 0),
    (Answer(close="body", body=b"0123456789"), "broken", "body", 200),
    (Answer(raw=b"\x00\x01\x02 what?\r\n\r\n"), "broken", "first_byte", 0),
    (Answer(302, headers={"Location": "/other"}), "answered", "body", 302),
])
def test_ends_of_a_request(make_receiver, answer, outcome, phase, status):
    """Each was sent whole, so it may have arrived; a redirect is an answer and is not followed."""
    receiver = make_receiver()
    receiver.script("/", answer)
    line = go(f"url={receiver.url()}", "body=x", "timeout=700", "once=1")
    assert (line["outcome"], line["status"], line["sent"]) == (outcome, status, True)
    if answer.raw is None:
        assert line["phase"] == phase
    assert receiver.count == 1


def test_hangs_before_the_request(make_receiver):
    """Nothing was sent: it can't have arrived. The connection has a limit of its own."""
    unaccepting = receivers.Unaccepting()
    try:
        line = go(f"url={unaccepting.url()}", "connect=300", "timeout=20000", "body=x")
        assert (line["outcome"], line["phase"], line["sent"]) == ("timeout", "connect", False)
        assert line["total_us"] < 10_000_000
    finally:
        unaccepting.close()
    silent = make_receiver(silent=True)
    line = go(f"url=https://localhost:{silent.port}/", "connect=300", "timeout=20000", "body=x")
    assert (line["outcome"], line["phase"], line["sent"]) == ("timeout", "tls", False)
    line = go("url=http://nowhere.invalid/", "body=x")
    assert (line["outcome"], line["sent"]) == ("dns", False)


def test_large_request_that_is_not_read(make_receiver):
    """A request that was not written whole was not sent."""
    silent = make_receiver(silent=True)
    line = go(f"url={silent.url()}", "body_len=50000000", "header=Expect:", "timeout=700")
    assert (line["outcome"], line["sent"]) == ("timeout", False)
    # Small enough for the buffers of both sides: it may have arrived.
    line = go(f"url={silent.url()}", "body=x", "timeout=500")
    assert (line["outcome"], line["phase"], line["sent"]) == ("timeout", "first_byte", True)


def test_endless_answer_is_cut(make_receiver):
    """64 kB, and the connection is let go."""
    receiver = make_receiver()
    receiver.script("/", Answer(endless=True))
    line = go(f"url={receiver.url()}", "body=x")
    assert (line["outcome"], line["cut"], line["status"]) == ("answered", True, 200)
    assert line["body_len"] <= 65536


def test_certificates(make_receiver, authority):
    """Verified, with the CA that was given; the name must fit."""
    receiver = make_receiver(tls=True)
    assert go(f"url={receiver.url()}", "body=x")["outcome"] == "untrusted"
    assert go(f"url={receiver.url()}", "body=x", f"ca={authority.file}")["outcome"] == "answered"
    assert go(f"url={receiver.url()}", "body=x", "verify=0")["outcome"] == "answered"
    other = make_receiver(tls=authority.certificate("other", "DNS:other.example"))
    line = go(f"url={other.url()}", "body=x", f"ca={authority.file}")
    assert (line["outcome"], line["phase"], line["sent"]) == ("untrusted", "tls", False)
    assert other.count == 0


def test_connections_are_kept(make_receiver, authority):
    """One connection, one handshake for all requests to a receiver."""
    receiver = make_receiver(tls=True)
    lines = run(f"url={receiver.url()}", "body=x", f"ca={authority.file}", *["go"] * 5)
    assert [line["status"] for line in lines] == [200] * 5
    assert receiver.connected == 1


def test_kept_connection_that_ends_without_an_answer(make_receiver):
    """libcurl would write the request again by itself; with `once` it does not, and says that it may have arrived."""
    receiver = make_receiver()
    receiver.script("/", 200, Answer(close="answer"), 200)
    first, second = run(f"url={receiver.url()}", "body=x", "once=1", "go", "go")
    assert first["outcome"] == "answered"
    assert (second["outcome"], second["sent"], second["status"]) == ("broken", True, 0)
    assert receiver.count == 2
    receiver.script("/", 200, Answer(close="answer"), 200)
    run(f"url={receiver.url()}", "body=x", "go", "go")
    assert receiver.count == 5, "without `once` it is written again: the test sees the difference"


def test_header_injection_is_refused(make_receiver):
    """No line end gets into a header, an address, an envelope."""
    receiver = make_receiver()
    for bad in ("header=X-A: 1\r\nX-B: 2", "header=X-A: 1\nX-B: 2", "method=GET / HTTP/1.1\r\nX: y"):
        assert "line end" in run(f"url={receiver.url()}", bad, "body=x", "go")[0]["fault"]
    for bad in ("to=a@example.org>\r\nDATA", "to=", "to=a@example.org> X=1"):
        assert "address" in run("url=smtp://127.0.0.1:1", *MAIL, bad, "go")[0]["fault"]
    assert "recipient" in run("url=smtp://127.0.0.1:1", *MAIL, "go")[0]["fault"]
    assert receiver.count == 0


@pytest.mark.parametrize("address", ["169.254.169.254", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518",
                                     "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0", "0",
                                     "224.0.0.1", "[::]", "[64:ff9b::a9fe:a9fe]"])
def test_guard_refuses(address):
    """However it is written, and for mail too; without a packet."""
    line = go(f"url=http://{address}/latest/meta-data", "guard=1", "body=x", "timeout=2000")
    assert (line["outcome"], line["phase"], line["sent"]) == ("refused", "connect", False)
    assert "is not allowed" in line["error"]
    line = go(f"url=smtp://{address}:25", *MAIL, "to=a@example.org", "guard=1", "timeout=2000")
    assert line["outcome"] == "refused"


def test_guard_lets_loopback_pass(make_receiver):
    """People run receivers there. A name is judged by the address behind it."""
    receiver = make_receiver()
    assert go(f"url={receiver.url()}", "guard=1", "body=x")["status"] == 200
    assert go(f"url={receiver.url(host='localhost')}", "guard=1", "body=x")["status"] == 200


def test_guard_looks_at_kept_connections(make_receiver):
    """A connection that somebody made who may does not serve those who may not."""
    receiver = make_receiver()
    first, second, third = run(f"url={receiver.url()}", "body=x", "go", "guard=2", "go", "guard=1", "go")
    assert (first["status"], third["status"]) == (200, 200)
    assert (second["outcome"], second["sent"], second["error"]) == ("refused", False, "address 127.0.0.1 is not allowed")
    assert receiver.count == 2


def test_proxy(make_receiver, authority):
    """Plain requests go through it, https in a tunnel; the environment has no say; an address in the URL is judged."""
    proxy, target = make_receiver(), make_receiver(tls=True)
    line = go(f"proxy={proxy.url('')}", "url=http://receiver.example/hook", "guard=1", "body=x")
    assert line["status"] == 200
    assert proxy.requests[-1].target == "http://receiver.example/hook"
    line = go(f"proxy={proxy.url('')}", f"url={target.url('/s')}", f"ca={authority.file}", "body=x", env={"no_proxy": "*"})
    assert line["status"] == 200 and target.got("/s") and proxy.requests[-1].method == "CONNECT"
    before = proxy.count
    line = go(f"proxy={proxy.url('')}", "url=http://0xA9FEA9FE/", "guard=1", "body=x")
    assert line["outcome"] == "refused" and proxy.count == before
    proxy.script("CONNECT", 403)
    line = go(f"proxy={proxy.url('')}", f"url={target.url('/s')}", f"ca={authority.file}", "body=x")
    assert (line["outcome"], line["status"], line["sent"]) == ("connect", 0, False)
    line = go("proxy=http://nowhere.invalid:3128", f"url={target.url('/s')}", "body=x")
    assert line["outcome"] == "dns"
    line = go(f"url={target.url('/s')}", f"ca={authority.file}", "body=x", env={"https_proxy": "http://127.0.0.1:1"})
    assert line["status"] == 200, "the environment's proxy is nobody's business"


def test_login(make_receiver):
    """Basic authentication, at once."""
    receiver = make_receiver()
    go(f"url={receiver.url()}", "user=ann", "password=s:ecret", "body=x")
    assert receiver.requests[0].headers["authorization"] == "Basic YW5uOnM6ZWNyZXQ="


def test_cancel_ends_at_once(make_receiver):
    """Whatever is waited for, a name server too."""
    receiver = make_receiver()
    receiver.script("/", Answer(hang="answer"))
    begin = time.monotonic()
    for url in (receiver.url(), "http://nowhere.invalid/", f"https://127.0.0.1:{make_receiver(silent=True).port}/"):
        assert run(f"url={url}", "body=x", "start", "run=50", "cancel")[-1] == {"cancelled": True}
    assert time.monotonic() - begin < 8


def test_name_server_that_hangs(make_receiver, hanging_resolver):
    """The look-up is part of the connection's time, keeps nobody else, and is left behind when it is cancelled."""
    receiver, preload = make_receiver(), {"LD_PRELOAD": str(hanging_resolver)}
    line = go("url=http://hang.example/", "body=x", "connect=500", "timeout=20000", env=preload, deadline=10)
    assert (line["outcome"], line["phase"], line["sent"]) == ("timeout", "dns", False)
    begin = time.monotonic()
    lines = run("url=http://hang.example/", "body=x", "start", f"url={receiver.url()}", "start", "run=1000", "cancel", env=preload, deadline=10)
    assert [line.get("status") for line in lines] == [200, None]
    assert time.monotonic() - begin < 5


# --- mail

def mail(server, *args, authority=None):
    """One mail."""
    return go(f"url={server.url}/me.example.org", *MAIL, *([f"ca={authority.file}"] if authority else []), "timeout=3000", *args)


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_mail_arrives(make_mail_server, authority, tls):
    """Envelope, login, message with its dots, name of EHLO; success is the reply to the final dot."""
    server = make_mail_server(tls=tls, users={"ann": "secret"})
    line = mail(server, "to=a@example.org", "to=b@example.org", "user=ann", "password=secret", f"starttls={int(tls == 'starttls')}", authority=authority)
    assert (line["outcome"], line["status"], line["sent"], line["body"]) == ("answered", 250, True, "250 2.0.0 Ok: queued as 1")
    (got,) = server.mails
    assert (got.mail_from, got.rcpt_to, got.user) == ("observ@example.org", ["a@example.org", "b@example.org"], "ann")
    assert got.tls == (tls != "none")
    assert got.ehlo == "me.example.org"
    assert got.content == b"Subject: x\r\n\r\nhello\r\n.dot\r\n"


def test_mail_needs_starttls(make_mail_server, authority):
    """Without STARTTLS nothing is said to a server, no login above all; a certificate of somebody else is refused."""
    plain = make_mail_server(tls="none")
    line = mail(plain, "to=a@example.org", "user=ann", "password=secret", "starttls=1")
    assert (line["outcome"], line["sent"]) == ("tls", False)
    assert not [command for command in plain.commands if command.startswith(("AUTH", "MAIL"))]
    server = make_mail_server()
    line = mail(server, "to=a@example.org", "starttls=1")
    assert (line["outcome"], line["phase"]) == ("untrusted", "tls")
    assert not server.mails


def test_mail_refused(make_mail_server, authority):
    """Whoever says no, what they said is the answer."""
    cases = {"GREETING": ("554 5.3.2 go away", 554), "MAIL": ("452 4.3.1 disk full", 452), "RCPT": ("550 5.1.1 no such user", 550),
             "DATA": ("451 4.3.0 later", 451), "DOT": ("554 5.7.1 spam", 554)}
    for command, (reply, status) in cases.items():
        server = make_mail_server(tls="none")
        server.script(command, reply)
        line = mail(server, "to=a@example.org")
        assert (line["outcome"], line["status"], line["body"]) == ("answered", status, reply), command
        assert line["sent"] == (command == "DOT"), command
        assert not server.mails


def test_mail_login_refused(make_mail_server, authority):
    """The words are told, the password is not."""
    server = make_mail_server(users={"ann": "secret"})
    line = mail(server, "to=a@example.org", "user=ann", "password=wrong-one", "starttls=1", authority=authority)
    assert (line["outcome"], line["status"], line["sent"]) == ("refused", 535, False)
    assert line["body"].startswith("535 ")
    assert "wrong-one" not in json.dumps(line)


def test_mail_recipients_one_by_one(make_mail_server):
    """One that is refused does not keep it from the others; refused for now counts more than for good when nobody is left."""
    server = make_mail_server(tls="none")
    server.refuse("b@example.org", "550 5.1.1 no such user")
    line = mail(server, "to=a@example.org", "to=b@example.org", "to=c@example.org")
    assert (line["outcome"], line["status"], line["refused"]) == ("answered", 250, 1)
    assert line["refusals"] == "<b@example.org> 550 5.1.1 no such user"
    assert server.mails[0].rcpt_to == ["a@example.org", "c@example.org"]
    server.refuse("c@example.org", "450 4.2.1 greylisted")
    line = mail(server, "to=c@example.org", "to=b@example.org")
    assert (line["outcome"], line["status"], line["refused"]) == ("answered", 450, 2)
    assert len(server.mails) == 1


@pytest.mark.parametrize(("command", "sent"), [("GREETING", False), ("EHLO", False), ("MAIL", False), ("RCPT", False), ("DATA", False),
                                               ("DOT", True)])
@pytest.mark.parametrize("how", [mail_server.HANG, mail_server.CLOSE], ids=["hangs", "closes"])
def test_mail_server_leaves(make_mail_server, command, sent, how):
    """In the middle of anything. Only after the dot it may have arrived."""
    server = make_mail_server(tls="none")
    server.script(command, how)
    line = go(f"url={server.url}", *MAIL, "to=a@example.org", "timeout=500")
    assert line["outcome"] == ("timeout" if how is mail_server.HANG else "broken")
    assert (line["status"], line["sent"], line["body"]) == (0, sent, "")
    assert line["phase"] == "first_byte" or command == "GREETING"


@pytest.mark.parametrize("command", ["GREETING", "RCPT", "DOT"])
def test_mail_server_that_hangs_keeps_nobody(make_receiver, make_mail_server, command):
    """Not the others, nor whoever wants to leave: libcurl's own SMTP would wait for the reply to the dot, and for that to QUIT."""
    server, receiver = make_mail_server(tls="none"), make_receiver()
    server.script(command, mail_server.HANG)
    begin = [f"url={server.url}", *MAIL, "to=a@example.org", "timeout=20000", "start", "run=300"]
    lines = run(*begin, f"url={receiver.url()}", "start", "run=2000", "cancel", deadline=10)
    assert [line.get("status") for line in lines] == [200, None]
    assert any(said.startswith(command) for said in server.commands)
    polite = make_mail_server(tls="none")
    polite.script("MAIL", "550 5.7.1 no")
    polite.script("QUIT", mail_server.HANG)
    assert run(f"url={polite.url}", *MAIL, "to=a@example.org", "timeout=20000", "go", deadline=10)[0]["status"] == 550


def test_mail_text_can_not_end_its_message(make_mail_server):
    """Bare line ends and dots inside of a message stay inside of it."""
    server = make_mail_server(tls="none")
    text = "Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@example.org>\r.\r\n..\r\n.\r\nend"
    line = go(f"url={server.url}", "from=observ@example.org", f"body={text}", "to=a@example.org", "timeout=3000")
    assert line["status"] == 250
    (got,) = server.mails
    assert got.content == b"Subject: x\r\n\r\na\r\n.\r\nMAIL FROM:<evil@example.org>\r\n.\r\n..\r\n.\r\nend\r\n"


@pytest.mark.parametrize(("command", "reply", "sent"), [
    ("MAIL", "hello world", False), ("MAIL", "999 what", False), ("MAIL", "354 go ahead", False), ("MAIL", "25", False), ("MAIL", "", False),
    ("RCPT", "x" * 9000, False), ("DATA", "250 ok", False), ("DOT", "354 more", True), ("DOT", "\0\1\2", True), ("DOT", "250-never ends", True)])
def test_mail_server_that_speaks_something_else(make_mail_server, command, reply, sent):
    """That is no yes and no no."""
    server = make_mail_server(tls="none")
    server.script(command, reply)
    line = go(f"url={server.url}", *MAIL, "to=a@example.org", "timeout=700")
    assert line["outcome"] == ("timeout" if reply.startswith("250-") else "broken")
    assert (line["status"], line["sent"]) == (0, sent)


def test_mail_server_that_does_not_read(make_mail_server):
    """A message too large for it: the refusal counts although not all was said."""
    server = make_mail_server(tls="none")
    server.script("DATA", "552 5.3.4 too large")
    line = go(f"url={server.url}", *MAIL, "to=a@example.org", "timeout=3000")
    assert (line["outcome"], line["status"], line["sent"]) == ("answered", 552, False)
    server.script("MAIL", "421 4.3.2 closing")
    line = go(f"url={server.url}", *MAIL, "to=a@example.org", "timeout=3000")
    assert (line["outcome"], line["status"]) == ("answered", 421)


# --- memory

VALGRIND = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]


@pytest.mark.skipif(harness.SANITIZED or not shutil.which("valgrind"), reason="no valgrind, or a sanitizer in its place")
def test_memory(make_receiver, make_mail_server, authority):
    """Whatever way a request ends: nothing is read or written that is not ours, and nothing is lost."""
    receiver, safe, silent, proxy = make_receiver(), make_receiver(tls=True), make_receiver(silent=True), make_receiver()
    mails, hanging = make_mail_server(users={"ann": "secret"}), make_mail_server(tls="none")
    for path, answer in {"/late": Answer(429, b"slow", {"Retry-After": "7"}), "/hang": Answer(hang="answer"), "/half": Answer(hang="body", body=b"0123456789"),
                         "/close": Answer(close="answer"), "/reset": Answer(close="reset"), "/raw": Answer(raw=b"\0\1what?\r\n\r\n"), "/endless": Answer(endless=True),
                         "/away": Answer(302, headers={"Location": "/"})}.items():
        receiver.script(path, answer)
    mails.refuse("bob@example.org", "550 5.1.1 no such user")
    hanging.script("DOT", mail_server.HANG)
    lines = run("timeout=3000", "body={}", "header=Content-Type: application/json", "once=1",
                *(word for path in ("/", "/late", "/hang", "/half", "/close", "/reset", "/raw", "/endless", "/away") for word in (f"url={receiver.url(path)}", "go", "go")),
                "guard=1", "url=http://169.254.169.254/", "go", "url=http://nowhere.invalid/", "go", "guard=2", f"url={receiver.url()}", "go", "guard=0",
                f"url={safe.url()}", "go", f"ca={authority.file}", "go", "go", f"proxy={proxy.url('')}", "go", "url=http://there.example/", "go", "proxy=",
                f"url=https://127.0.0.1:{silent.port}/", "start", f"url={receiver.url('/hang')}", "start", f"url={safe.url()}", "start", "run=1500", "cancel",
                "method=GET / HTTP/1.1\r\nX: y", "go", "method=",
                f"url={mails.url}", *MAIL, "starttls=1", "user=ann", "password=wrong", "to=ann@example.org", "to=bob@example.org", "go", "password=secret", "go",
                "starttls=0", f"url={hanging.url}", "go", "timeout=60000", "start", "run=1500", "cancel", under=VALGRIND, deadline=300)
    assert {line["outcome"] for line in lines if "outcome" in line} >= {"answered", "timeout", "broken", "refused", "dns", "untrusted"}
    assert sum("cancelled" in line for line in lines) == 2 and sum("fault" in line for line in lines) == 1
    assert len(mails.mails) == 1
