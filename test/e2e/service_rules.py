"""What services refuse, written from their published rules: each function takes a request and returns what is wrong with it, a list of texts.

Sources: docs.slack.dev (Block Kit, chat.postMessage), discord.com/developers (webhooks, embeds), core.telegram.org/bots/api (sendMessage), docs.ntfy.sh/publish,
adaptivecards.io (schema 1.4) and Microsoft's limits for messages to Teams. Numbers: alerting.md section 6.
What is counted in characters is counted in code units of UTF-16, which is never less.
"""

import html
import json
import re

INVISIBLE = re.compile(r"[\s\x00-\x20\x7f\u00a0\u00ad\u200b-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufeff]*")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def units(text):
    """As JavaScript counts."""
    return len(text.encode("utf-16-le")) // 2


class Findings(list):
    def check(self, ok, what):
        if not ok:
            self.append(what)
        return ok

    def text(self, value, most, what, measure=units, least=1):
        """A text that can be seen, of at most that length."""
        if not self.check(isinstance(value, str), f"{what} is no text: {value!r}"):
            return ""
        self.check(least == 0 or not INVISIBLE.fullmatch(value), f"{what} is blank")
        self.check(measure(value) <= most, f"{what} has {measure(value)} of {most}")
        self.check(not CONTROL.search(value), f"{what} has control characters")
        return value

    def keys(self, value, allowed, what):
        if not self.check(isinstance(value, dict), f"{what} is no object"):
            return False
        return self.check(set(value) <= set(allowed), f"{what} has unknown {set(value) - set(allowed)}")

    def url(self, value, most, what):
        self.check(isinstance(value, str) and len(value) <= most and re.fullmatch(r"https?://[A-Za-z0-9.\[\]:_-]+(/[^\s<>\"'()\\^`{|}]*)?(\?[^\s<>\"'()\\^`{|}]*)?(#[^\s<>\"'()\\^`{|}]*)?", value),
                   f"{what} is no URL: {value!r}")


def read(body, findings):
    try:
        text = body if isinstance(body, str) else body.decode()
        return json.loads(text, parse_constant=lambda name: findings.append(f"{name} is no JSON"))
    except ValueError as error:
        findings.append(f"no JSON: {error}")
        return {}


# ---- Slack

SLACK_ESCAPES = re.compile(r"&(?!amp;|lt;|gt;)")


def slack_text(f, text, most, what, markup):
    if not f.keys(text, ("type", "text", "verbatim", "emoji"), what):
        return
    f.check(text.get("type") in ({"mrkdwn", "plain_text"} if markup else {"plain_text"}), f"{what} has type {text.get('type')}")
    f.check(("emoji" in text) == (text.get("type") == "plain_text") and ("verbatim" in text) == (text.get("type") == "mrkdwn"), f"{what}: verbatim is of mrkdwn, emoji of plain_text")
    f.text(text.get("text"), most, what)
    slack_markup(f, text.get("text", ""), what)


def slack_markup(f, text, what):
    """<…> is a link that we made, or nothing: no <!channel>, no <@U123>."""
    f.check(not SLACK_ESCAPES.search(text), f"{what}: & is not escaped")
    for inside in re.findall(r"<([^>]*)>", text):
        f.check(re.match(r"https?://[^|]+\|[A-Za-z]+$", inside), f"{what}: <{inside}>")
    f.check("<" not in re.sub(r"<[^>]*>", "", text) and ">" not in re.sub(r"<[^>]*>", "", text), f"{what}: < or > is not escaped")


def slack_blocks(f, blocks, what):
    for i, block in enumerate(blocks):
        where, kind = f"{what}[{i}]", block.get("type")
        if kind == "header":
            slack_text(f, block.get("text"), 150, where, False)
        elif kind == "section":
            f.keys(block, ("type", "text"), where)
            slack_text(f, block.get("text"), 3000, where, True)
        elif kind == "context":
            f.check(1 <= len(block.get("elements", [])) <= 10, f"{where} has {len(block.get('elements', []))} elements")
            for element in block.get("elements", []):
                slack_text(f, element, 2000, where, True)
        elif kind == "actions":
            elements = block.get("elements", [])
            f.check(1 <= len(elements) <= 25, f"{where} has {len(elements)} elements")
            f.check(len({e.get("action_id") for e in elements}) == len(elements), f"{where}: action_id is there twice")
            for element in elements:
                f.keys(element, ("type", "text", "url", "action_id"), where)
                slack_text(f, element.get("text"), 75, where, False)
                f.url(element.get("url"), 3000, where)
        else:
            f.append(f"{where} is a {kind}")


def slack(body):
    f = Findings()
    message = read(body, f)
    f.keys(message, ("text", "blocks", "attachments", "channel", "unfurl_links", "unfurl_media"), "message")
    f.text(message.get("text"), 4000, "text")
    slack_markup(f, message.get("text", ""), "text")
    every = list(message.get("blocks", []))
    attachments = message.get("attachments", [])
    f.check(len(attachments) <= 20, "attachments")
    for i, attachment in enumerate(attachments):
        f.keys(attachment, ("color", "fallback", "blocks"), f"attachments[{i}]")
        f.check(re.fullmatch("#[0-9A-F]{6}", attachment.get("color", "")), "color")
        every += attachment.get("blocks", [])
    f.check(len(every) <= 50, f"{len(every)} blocks")
    size = len(json.dumps(every, ensure_ascii=False, separators=(",", ":")).encode())
    f.check(size <= 13000, f"blocks have {size} bytes: msg_blocks_too_long")
    slack_blocks(f, every, "blocks")
    return f


# ---- Discord


def discord(body):
    f = Findings()
    message = read(body, f)
    f.keys(message, ("content", "username", "avatar_url", "embeds", "allowed_mentions"), "message")
    f.check(message.get("allowed_mentions") == {"parse": []}, "somebody could be mentioned")
    f.check("content" in message or message.get("embeds"), "Cannot send an empty message")
    if "content" in message:
        f.text(message["content"], 2000, "content")
    if "username" in message:
        f.text(message["username"], 80, "username")
    embeds, total = message.get("embeds", []), 0
    f.check(len(embeds) <= 10, "embeds")
    for embed in embeds:
        f.keys(embed, ("title", "description", "url", "color", "timestamp", "footer", "fields"), "embed")
        texts = [f.text(embed.get("title"), 256, "title"), f.text(embed["footer"].get("text"), 2048, "footer")]
        if "description" in embed:
            texts.append(f.text(embed["description"], 4096, "description"))
        if "url" in embed:
            f.url(embed["url"], 2048, "url")
            f.check("." in embed["url"].split("/")[2] or "[" in embed["url"], "Not a well formed URL.")
        f.check(isinstance(embed.get("color"), int) and 0 <= embed["color"] <= 0xFFFFFF, "color")
        if "timestamp" in embed:
            f.check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", embed["timestamp"]), "timestamp")
        f.check(len(embed.get("fields", [])) <= 25, "fields")
        for i, field in enumerate(embed.get("fields", [])):
            f.keys(field, ("name", "value", "inline"), f"fields[{i}]")
            texts += [f.text(field.get("name"), 256, f"fields[{i}].name"), f.text(field.get("value"), 1024, f"fields[{i}].value")]
        total += sum(map(units, texts))
    f.check(total <= 6000, f"embeds have {total} of 6000")
    return f


# ---- Microsoft Teams

TEAMS_ELEMENTS = {"RichTextBlock": {"type", "inlines"}, "TextBlock": {"type", "text", "wrap"}, "Container": {"type", "items", "separator"}}
TEAMS_COLORS = {"Default", "Accent", "Good", "Warning", "Attention"}


def teams_elements(f, elements):
    for element in elements:
        kind = element.get("type")
        if not f.check(kind in TEAMS_ELEMENTS, f"a {kind}") or not f.keys(element, TEAMS_ELEMENTS[kind], kind):
            continue
        if kind == "Container":
            f.check(element.get("items"), "a Container without items")
            teams_elements(f, element.get("items", []))
        elif kind == "TextBlock":
            f.text(element.get("text"), 28000, kind)
        else:
            f.check(element.get("inlines"), "a RichTextBlock without inlines")
            for run in element.get("inlines", []):
                f.keys(run, ("type", "text", "weight", "color", "isSubtle"), "TextRun")
                f.check(run.get("type") == "TextRun" and run.get("color", "Default") in TEAMS_COLORS and run.get("weight", "Bolder") == "Bolder", f"run {run}")
                f.text(run.get("text"), 28000, "TextRun")
                f.check("\n" not in run.get("text", ""), "TextRun has line ends")


def teams(body):
    f = Findings()
    size = len(body.encode() if isinstance(body, str) else body)
    f.check(size <= 28000, f"{size} bytes of 28 kB")
    message = read(body, f)
    f.keys(message, ("type", "attachments"), "message")
    f.check(message.get("type") == "message" and len(message.get("attachments", [])) == 1, "no message")
    for attachment in message.get("attachments", []):
        f.keys(attachment, ("contentType", "contentUrl", "content"), "attachment")
        f.check(attachment.get("contentType") == "application/vnd.microsoft.card.adaptive" and attachment.get("contentUrl", "") is None, "contentType")
        card = attachment.get("content", {})
        f.keys(card, ("$schema", "type", "version", "msteams", "body", "actions"), "card")
        f.check(card.get("type") == "AdaptiveCard" and card.get("version") in ("1.2", "1.3", "1.4", "1.5") and card.get("body"), "no card")
        teams_elements(f, card.get("body", []))
        f.check(len(card.get("actions", [])) <= 6, "actions")
        for action in card.get("actions", []):
            f.keys(action, ("type", "title", "url"), "action")
            f.check(action.get("type") == "Action.OpenUrl", "action")
            f.url(action.get("url"), 4096, "action")
    return f


# ---- Telegram

TELEGRAM_TAG = re.compile(r"<(/?)(b|i|u|s|code|pre|a)((?: [^<>]*)?)>")


def telegram_plain(f, text):
    """The text that is shown: what Bot API makes of parse_mode HTML, or what it complains of."""
    open_tags, out, at = [], [], 0
    while at < len(text):
        if text[at] == "<":
            tag = TELEGRAM_TAG.match(text, at)
            if not f.check(tag, f"can't parse entities: {text[at:at + 20]!r}"):
                return text
            if tag[1]:
                f.check(open_tags and open_tags.pop() == tag[2], f"can't parse entities: unexpected end tag {tag[0]}")
            else:
                f.check(tag[2] != "a" or re.fullmatch(r' href="[^"]*"', tag[3]), f"tag {tag[0]}")
                open_tags.append(tag[2])
            at = tag.end()
        else:
            f.check(text[at] != ">", "> is not escaped")
            if text[at] == "&":
                f.check(re.match(r"&(amp|lt|gt|quot|#\d+);", text[at:at + 12]), "unknown entity")
            out.append(text[at])
            at += 1
    f.check(not open_tags, f"can't parse entities: no end of {open_tags}")
    return html.unescape("".join(out))


def telegram(body):
    f = Findings()
    message = read(body, f)
    f.keys(message, ("chat_id", "text", "parse_mode", "message_thread_id", "disable_notification", "link_preview_options"), "message")
    f.check(isinstance(message.get("chat_id"), (str, int)), "chat_id")
    f.check(isinstance(message.get("disable_notification"), bool), "disable_notification")
    f.check(message.get("parse_mode", "HTML") == "HTML", "parse_mode")
    text = message.get("text", "")
    f.check(len(text.encode()) <= 1 << 15, "text is too long")
    if "parse_mode" in message:
        text = telegram_plain(f, text)
    f.text(text, 4096, "text")
    return f


# ---- ntfy


def ntfy(body):
    """server.go of ntfy, transformBodyJSON: twice the size of a message is read of the JSON; more is answered with 413, "JSON body too large"."""
    f = Findings()
    message = read(body, f)
    whole = len(body.encode() if isinstance(body, str) else body)
    f.check(whole <= 8192, f"{whole} bytes of JSON of 8192")

    def size(text):
        return len(text.encode())

    f.keys(message, ("topic", "title", "message", "priority", "tags", "click", "actions", "sequence_id", "markdown"), "message")
    f.check(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", message.get("topic", "")), "topic")
    f.text(message.get("title"), 1024, "title", size)
    f.text(message.get("message"), 4096, "message", size)
    f.check(message.get("priority", 3) in (1, 2, 3, 4, 5), "priority")
    f.check(size(",".join(message.get("tags", []))) <= 512, "tags")
    f.check(re.fullmatch(r"[-_A-Za-z0-9]{1,64}", message.get("sequence_id", "x")), "sequence_id")
    if "click" in message:
        f.url(message["click"], 4096, "click")
    f.check(len(message.get("actions", [])) <= 3, "actions")
    for action in message.get("actions", []):
        f.keys(action, ("action", "label", "url"), "action")
        f.check(action.get("action") == "view" and action.get("label"), "action")
        f.url(action.get("url"), 4096, "action")
    return f
