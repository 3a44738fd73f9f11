"""Mail servers and pagers on loopback: what arrives is what was meant, and what they answer is understood."""

import json
import re
import uuid

import pytest

import mail_server
import pager_rules
from receivers import Answer

SERVER = {"settings": {"observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}}

KEY = "0123456789abcdef0123456789abcdef"
SID = "AC" + KEY
LOGIN = {"users": {"observ": "geheim"}}


@pytest.fixture(scope="module")
def deliver(server):
    """deliver(kind, config, steps=1): observ.test_channel() of a channel like that, and what was written down of its attempts; of the first, unless there are several."""
    db = "pagers"
    server.create_database(db, extension=True)
    with server.connect(db) as c:
        def one(kind, config, steps=1):
            name = str(uuid.uuid4())
            c.execute("SELECT observ.create_channel(%s)", (json.dumps({"name": name, "kind": kind, "config": config}),))
            (ok, answer) = c.execute("SELECT ok, answer FROM observ.test_channel(%s)", (name,)).fetchone()
            rows = c.execute("""SELECT outcome, status_code, coalesce(error, ''), coalesce(excerpt, ''), extract(epoch FROM retry_after)::float8 FROM observ.notification_attempts
                WHERE channel = %s AND notification_id IS NULL AND attempt = 1 ORDER BY step""", (name,)).fetchall()
            came = [dict(zip(("outcome", "status", "error", "excerpt", "wait"), row)) for row in rows]
            assert len(came) == steps and ok == all(row["outcome"] == "sent" for row in came), (ok, answer, came)
            return came[0] if steps == 1 else came

        yield one


def mail_config(server, authority, **more):
    """A channel to that server."""
    return {"host": "127.0.0.1", "port": server.port, "from": "observ <observ@example.org>", "to": ["ann@example.org"], "ca_file": str(authority.file),
            "tls": {"starttls": "starttls", "implicit": "tls", "none": "none"}[server.tls], **more}


@pytest.mark.parametrize("tls", ["starttls", "implicit", "none"])
def test_mail_arrives(deliver, make_mail_server, authority, tls):
    server = make_mail_server(tls=tls, **LOGIN)
    config = mail_config(server, authority, user="observ", password="geheim", ehlo="db.example.org", to=["ann@example.org", "B <bob@example.org>"])
    for came in deliver("email", config, steps=2):
        assert came["outcome"] == "sent" and "queued as" in came["excerpt"], came
    for mail in server.mails:
        assert (mail.mail_from, mail.user, mail.ehlo, mail.tls) == ("observ@example.org", "observ", "db.example.org", tls != "none")
    first, second = server.mails
    assert sorted([first.rcpt_to, second.rcpt_to]) == [["ann@example.org"], ["bob@example.org"]]
    assert first.content == second.content
    message, text, html = pager_rules.mail(first.content)
    assert str(message["To"]) == "ann@example.org, B <bob@example.org>"
    assert message["Subject"].startswith("[TEST]") and message["Subject"] in text and message["Subject"] in html


def test_mail_to_several(deliver, make_mail_server, authority):
    """What one address refuses is not lost to the others."""
    server = make_mail_server(**LOGIN)
    server.refuse("bob@example.org", "550 5.1.1 no such user")
    server.refuse("cyd@example.org", "450 4.2.0 greylisted")
    came = deliver("email", mail_config(server, authority, user="observ", password="geheim", to=["ann@example.org", "bob@example.org", "cyd@example.org"]), steps=3)
    assert [row["outcome"] for row in came] == ["sent", "dead", "retry"] and [mail.rcpt_to for mail in server.mails] == [["ann@example.org"]]


def test_mail_is_not_sent_in_clear(deliver, make_mail_server, authority):
    server = make_mail_server(tls="none", **LOGIN)
    came = deliver("email", mail_config(server, authority, tls="starttls", user="observ", password="geheim"))
    assert came["outcome"] == "retry" and not server.mails and "AUTH" not in server.commands and not any(c.startswith("MAIL") for c in server.commands), (came, server.commands)


def test_mail_to_a_stranger(deliver, make_mail_server, authority):
    """A certificate that nobody we trust has signed."""
    server = make_mail_server(**LOGIN)
    config = mail_config(server, authority, user="observ", password="geheim")
    del config["ca_file"]
    came = deliver("email", config)
    assert came["outcome"] == "retry" and not server.mails and "AUTH" not in server.commands, (came, server.commands)


@pytest.mark.parametrize("command, answer, outcome", [
    ("GREETING", "421 4.3.2 not now", "retry"), ("GREETING", "554 5.3.2 not here", "dead"),
    ("MAIL", "450 4.1.8 later", "retry"), ("MAIL", "550 5.7.1 not you", "dead"),
    ("RCPT", "450 4.2.0 greylisted", "retry"), ("RCPT", "451 4.3.0 later", "retry"), ("RCPT", "550 5.1.1 no such user", "dead"), ("RCPT", "599 odd", "dead"),
    ("DATA", "451 4.3.0 later", "retry"), ("DATA", "554 5.6.0 no", "dead"),
    ("DOT", "452 4.3.1 disk full", "retry"), ("DOT", "552 5.3.4 too big", "dead"), ("DOT", "250 2.0.0 fine", "sent"),
    ("AUTH", "454 4.7.0 later", "retry"), ("AUTH", "535 5.7.8 no", "dead"),
    ("DOT", mail_server.CLOSE, "retry"), ("DATA", mail_server.CLOSE, "retry"), ("RCPT", mail_server.CLOSE, "retry"), ("EHLO", mail_server.CLOSE, "retry"),
])
def test_mail_answers(deliver, make_mail_server, authority, command, answer, outcome):
    server = make_mail_server(tls="implicit", **LOGIN)
    server.script(command, answer)
    came = deliver("email", mail_config(server, authority, user="observ", password="geheim"))
    assert came["outcome"] == outcome, came
    if outcome != "sent" and isinstance(answer, str):
        assert came["error"] == "the mail server said: " + answer or command == "AUTH" and answer in came["error"], came
    assert "geheim" not in json.dumps(came)


PAGERDUTY = ("pagerduty", {"routing_key": KEY}, "/v2/enqueue")
OPSGENIE = ("opsgenie", {"api_key": "opsgenie-key"}, "/v2/alerts")
TWILIO = ("twilio", {"account_sid": SID, "auth_token": "twilio-token", "from": "+15550001111", "to": ["+15551234567"]}, f"/2010-04-01/Accounts/{SID}/Messages.json")
PUSH = ("appwrite", {"project": "p", "key": "appwrite-key", "topics": ["ops"]}, "/v1/messaging/messages/push")
SMS = ("appwrite", {"project": "p", "key": "appwrite-key", "users": ["u"], "type": "sms"}, "/v1/messaging/messages/sms")

# who, status, headers, body; what it means: outcome, wait in s (None: the schedule), in the error or the receipt
ANSWERS = [
    (PAGERDUTY, 202, {}, {"status": "success", "message": "Event processed", "dedup_key": "dk"}, "sent", None, "dk"),
    (PAGERDUTY, 400, {}, {"status": "invalid event", "errors": ["'routing_key' is bad"]}, "dead", None, "'routing_key' is bad"),
    (PAGERDUTY, 429, {}, {}, "retry", 120, ""),
    (PAGERDUTY, 429, {"Retry-After": "7"}, {}, "retry", 7, ""),
    (PAGERDUTY, 500, {}, None, "retry", None, "500"),
    (PAGERDUTY, 202, {}, None, "sent", None, ""),
    (PAGERDUTY, 302, {"Location": "http://127.0.0.1:1/"}, None, "dead", None, "redirect"),
    (OPSGENIE, 202, {}, {"result": "Request will be processed", "took": 0.1, "requestId": "43a2"}, "sent", None, "43a2"),
    (OPSGENIE, 401, {}, {"message": "Could not authenticate opsgenie-key"}, "dead", None, "Could not authenticate ***"),
    (OPSGENIE, 422, {}, {"message": "Request body is not processable"}, "dead", None, "not processable"),
    (OPSGENIE, 429, {}, {"message": "You are making too many requests!"}, "retry", 60, "too many"),
    (OPSGENIE, 429, {"Retry-After": "30"}, {}, "retry", 30, ""),
    (OPSGENIE, 429, {"X-RateLimit-Period-In-Sec": "1"}, {}, "retry", 1, ""),
    (OPSGENIE, 429, {"X-RateLimit-Period-In-Sec": "1", "Retry-After": "30"}, {}, "retry", 30, ""),
    (OPSGENIE, 503, {"X-RateLimit-Period-In-Sec": "1"}, {}, "retry", None, ""),
    (PAGERDUTY, 429, {"X-RateLimit-Period-In-Sec": "1"}, {}, "retry", 120, ""),
    (OPSGENIE, 503, {}, None, "retry", None, "503"),
    (TWILIO, 201, {}, {"sid": "SM1", "status": "queued"}, "sent", None, "SM1"),
    (TWILIO, 400, {}, {"code": 21211, "message": "The 'To' number is not valid"}, "dead", None, "21211: The 'To' number"),
    (TWILIO, 400, {}, {"code": 21610, "message": "unsubscribed"}, "dead", None, "21610"),
    (TWILIO, 400, {}, {"code": 21408, "message": "Permission to send an SMS has not been enabled for the region"}, "dead", None, "21408"),
    (TWILIO, 400, {}, {"code": 21611, "message": "queue"}, "retry", 60, "21611"),
    (TWILIO, 400, {}, {"code": 30001, "message": "Queue overflow"}, "retry", 60, "30001"),
    (TWILIO, 429, {}, {"code": 20429, "message": "Too Many Requests"}, "retry", None, "20429"),
    (TWILIO, 429, {"Retry-After": "90"}, {"code": 30001, "message": "Queue overflow"}, "retry", 90, "30001"),
    (TWILIO, 401, {}, {"code": 20003, "message": "Authenticate twilio-token"}, "dead", None, "20003: Authenticate ***"),
    (TWILIO, 500, {}, None, "retry", None, "500"),
    (PUSH, 201, {}, {"$id": "m1", "status": "processing"}, "sent", None, "m1"),
    (PUSH, 409, {}, {"message": "Message with the requested ID already exists.", "code": 409, "type": "message_already_exists"}, "sent", None, ""),
    (PUSH, 400, {}, {"message": "Invalid target", "code": 400}, "dead", None, "Invalid target"),
    (PUSH, 401, {}, {"message": "missing scope (messages.write)"}, "dead", None, "missing scope"),
    (PUSH, 404, {}, {"message": "Topic not found"}, "dead", None, "Topic not found"),
    (PUSH, 429, {}, {}, "retry", None, "429"),
    (SMS, 201, {}, {"$id": "m2"}, "sent", None, "m2"),
    (SMS, 201, {}, ["[" * 60000], "sent", None, ""),
    (SMS, 500, {}, {"message": None}, "retry", None, "500"),
]


@pytest.mark.parametrize("who, status, headers, body, outcome, wait, says", ANSWERS, ids=lambda v: v[0] if isinstance(v, tuple) else v if isinstance(v, (str, int)) else "")
def test_answers(deliver, make_receiver, who, status, headers, body, outcome, wait, says):
    kind, config, path = who
    receiver = make_receiver()
    receiver.script(path, Answer(status, headers=headers, body=b"garbage {" if body is None else ("[" * 60000).encode() if isinstance(body, list) else json.dumps(body).encode()))
    came = deliver(kind, dict(config, url=receiver.url("/v1" if kind == "appwrite" else "/")))
    assert (came["outcome"], came["status"]) == (outcome, status), came
    assert came["wait"] == wait, came
    assert says in came["excerpt" if outcome == "sent" else "error"], came
    assert not re.search("opsgenie-key|twilio-token|appwrite-key|" + KEY + '"', json.dumps(came)), came
    assert {request.path for request in receiver.got()} == {path} and receiver.got()[0].headers["user-agent"].startswith("observ/")


def test_services_understand(deliver, make_receiver):
    """The same message to each of them, over the wire."""
    receiver = make_receiver()
    for kind, config, _ in (PAGERDUTY, OPSGENIE, TWILIO, PUSH, SMS):
        assert deliver(kind, dict(config, url=receiver.url("/v1" if kind == "appwrite" else "")))["outcome"] == "sent"
    pd, og, twilio, push, sms = receiver.got()
    headers = [{name.title().replace("Opsgenie", "OpsGenie"): value for name, value in r.headers.items()} for r in (pd, og, twilio, push, sms)]
    event = pager_rules.pagerduty(pd.path, headers[0], pd.body)
    assert event["routing_key"] == KEY and event["event_action"] == "trigger" and event["payload"]["summary"].startswith("[TEST]")
    assert pager_rules.opsgenie(og.path, headers[1], og.body)["alias"]
    form = pager_rules.twilio(twilio.path, headers[2], twilio.body)
    assert form["To"] == "+15551234567" and form["Body"].startswith("[TEST]") and headers[2]["Authorization"].startswith("Basic ")
    assert pager_rules.appwrite(push.path, headers[3], push.body)["messageId"] != pager_rules.appwrite(sms.path, headers[4], sms.body)["messageId"]
