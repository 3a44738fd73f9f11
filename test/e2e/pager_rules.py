"""What PagerDuty, Opsgenie, Twilio, Appwrite and mail servers refuse: their published rules as assertions. Each function takes a request as it came
(path, headers, body as bytes) and returns it parsed. Belongs here: rules of services. Does not: what observ means to say."""
import email
import email.policy
import json
import re
import urllib.parse

GSM7 = set("@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà")
GSM7_EXTENSION = set("^{}\\[~]|€\f")


def text(value, most, least=0):
    """Counted in code units of UTF-16, as services in Java do; that is never less than characters."""
    assert isinstance(value, str), value
    assert least <= len(value.encode("utf-16-le")) // 2 <= most, (len(value), value[:80])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", value), "control characters: %r" % value[:80]
    return value


def keys(value, allowed, required=()):
    assert isinstance(value, dict), value
    assert set(value) <= set(allowed), set(value) - set(allowed)
    assert set(required) <= set(value), set(required) - set(value)
    return value


def link(url):
    parts = urllib.parse.urlsplit(url)
    assert parts.scheme in ("http", "https") and parts.hostname and not re.search(r"[\s<>\"]", url), url


def json_body(headers, body):
    assert {k.lower(): v for k, v in headers.items()}["content-type"].split(";")[0] == "application/json"
    return json.loads(body.decode("utf-8"))


def pagerduty(path, headers, body):
    assert path == "/v2/enqueue", path
    assert len(body) <= 512 * 1024, len(body)
    event = keys(json_body(headers, body), ("routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"),
                 ("routing_key", "event_action", "dedup_key"))
    assert len(event["routing_key"]) == 32 or event["routing_key"].startswith("secret:"), "Invalid routing key"
    assert event["event_action"] in ("trigger", "acknowledge", "resolve")
    text(event["dedup_key"], 255, 1)
    if event["event_action"] != "trigger":
        return event
    payload = keys(event["payload"], ("summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"),
                   ("summary", "source", "severity"))
    text(payload["summary"], 1024, 1)
    text(payload["source"], 1024, 1)
    assert payload["severity"] in ("critical", "error", "warning", "info")
    if "timestamp" in payload:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z", payload["timestamp"])
    assert isinstance(payload.get("custom_details", {}), dict)
    for each in event.get("links", []):
        keys(each, ("href", "text"), ("href",))
        link(each["href"])
    if "client_url" in event:
        link(event["client_url"])
    return event


def opsgenie(path, headers, body):
    assert headers["Authorization"].startswith("GenieKey ")
    alert = json_body(headers, body)
    action = re.fullmatch(r"/v2/alerts/([^/]+)/(close|acknowledge)\?identifierType=alias", path)
    if action:
        text(urllib.parse.unquote(action.group(1)), 512, 1)
        keys(alert, ("user", "source", "note"))
        text(alert.get("note", ""), 25000)
        text(alert.get("user", ""), 100)
        text(alert.get("source", ""), 100)
        return dict(alert, action=action.group(2), alias=urllib.parse.unquote(action.group(1)))
    assert path == "/v2/alerts", path
    keys(alert, ("message", "alias", "description", "responders", "visibleTo", "actions", "tags", "details", "entity", "source", "priority", "user",
                 "note"), ("message",))
    text(alert["message"], 130, 1)
    text(alert["alias"], 512, 1)
    text(alert["description"], 15000)
    assert len(alert.get("responders", [])) <= 50
    for each in alert.get("responders", []):
        assert each["type"] in ("team", "user", "escalation", "schedule")
        assert set(each) - {"type"} <= {"id", "name", "username"} and len(each) == 2, each
    assert len(alert.get("tags", [])) <= 20
    for tag in alert.get("tags", []):
        text(tag, 50, 1)
    assert all(isinstance(v, str) for v in alert.get("details", {}).values())
    assert sum(len(k) + len(v) for k, v in alert.get("details", {}).items()) <= 8000
    text(alert.get("entity", ""), 512)
    text(alert.get("source", ""), 100)
    assert alert["priority"] in ("P1", "P2", "P3", "P4", "P5")
    return dict(alert, action="create")


def sms_segments(content):
    """How many a text message is, counted as carriers do: a pair of septets or surrogates does not cross a seam."""
    if set(content) <= GSM7 | GSM7_EXTENSION:
        sizes, one, many = [2 if c in GSM7_EXTENSION else 1 for c in content], 160, 153
    else:
        sizes, one, many = [len(c.encode("utf-16-le")) // 2 for c in content], 70, 67
    if sum(sizes) <= one:
        return 1
    segments, left = 1, many
    for size in sizes:
        if size > left:
            segments, left = segments + 1, many
        left -= size
    return segments


def sms(content, segments):
    text(content, 1600, 1)
    assert sms_segments(content) <= segments, (sms_segments(content), content)
    assert not re.search("[\U0001f000-\U0001faff\u2600-\u27bf]", content), "emoji"


def twilio(path, headers, body, segments=2):
    assert re.fullmatch(r"/2010-04-01/Accounts/AC[0-9a-f]{32}/Messages\.json", path), path
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = dict(urllib.parse.parse_qsl(body.decode("ascii"), strict_parsing=True, keep_blank_values=True, errors="strict"))
    keys(form, ("To", "From", "MessagingServiceSid", "Body", "ValidityPeriod"), ("To", "Body"))
    assert re.fullmatch(r"\+[1-9]\d{6,14}", form["To"])
    assert ("From" in form) != ("MessagingServiceSid" in form)
    assert 1 <= int(form["ValidityPeriod"]) <= 36000
    sms(form["Body"], segments)
    return form


def appwrite(path, headers, body, segments=2):
    assert headers["X-Appwrite-Project"] and headers["X-Appwrite-Key"] and headers["X-Appwrite-Response-Format"]
    message = json_body(headers, body)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,35}", message["messageId"])
    assert message.get("topics") or message.get("users") or message.get("targets")
    recipients = ("topics", "users", "targets")
    if path == "/v1/messaging/messages/sms":
        keys(message, ("messageId", "content") + recipients, ("content",))
        sms(message["content"], segments)
        return message
    assert path == "/v1/messaging/messages/push", path
    keys(message, ("messageId", "title", "body", "data", "action", "image", "icon", "sound", "color", "tag", "badge", "contentAvailable", "critical",
                   "priority") + recipients, ("title", "body"))
    text(message["title"], 256, 1)
    text(message["body"], 64230, 1)
    for name in ("action", "icon", "sound", "color", "tag"):
        text(message.get(name, ""), 256)
    assert all(isinstance(v, str) for v in message.get("data", {}).values())
    assert message.get("priority", "normal") in ("normal", "high")
    # what Apple and Google take: 4 kB for all of it
    assert len(json.dumps([message["title"], message["body"], message.get("data"), message.get("tag")], ensure_ascii=False).encode()) <= 4096
    return message


def mail(raw):
    """RFC 5322 and 2045; what comes out is what a mail program sees."""
    assert raw.endswith(b"\r\n") and all(c < 128 for c in raw)
    lines = raw.split(b"\r\n")
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line and b"\x00" not in line for line in lines)
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert not parsed.defects, parsed.defects
    for name in ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "In-Reply-To", "References", "Auto-Submitted"):
        assert len(parsed.get_all(name)) == 1, name
        assert not parsed[name].defects, (name, parsed[name], parsed[name].defects)
    assert {name for name in parsed} <= {"From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted", "Importance",
                                         "X-Priority", "X-Auto-Response-Suppress", "X-Observ-Severity", "X-Observ-State", "X-Observ-Notification",
                                         "X-Observ-Channel", "MIME-Version", "Content-Type"}, parsed.keys()
    assert re.fullmatch(r"<[A-Za-z0-9_-]+@[A-Za-z0-9.:\[\]-]+>", parsed["Message-ID"])
    assert parsed.get_content_type() == "multipart/alternative"
    parts = list(parsed.iter_parts())
    assert [p.get_content_type() for p in parts] == ["text/plain", "text/html"]
    assert not any(p.defects for p in parts)
    assert len(parts[1].get_content().encode()) <= 102 * 1024, "Gmail clips it"
    return parsed, parts[0].get_content(), parts[1].get_content()
