/* The pieces that messages to chats consist of. See chat_text.h for what belongs here. */
#include "postgres.h"

#include "ext/chat_text.h"

#include <limits.h>
#include <math.h>

#include "core/json_path.h"

#define MAX_WAIT_MS (15 * 60 * 1000)
#define MAX_NUMBER  64
#define MAX_ANSWER  512
#define MAX_NAME    200 /* of alerts and instances, each */

int
observ_utf16_units(const char *text)
{
	int units = 0;

	/* UTF-8: what begins a character counts one, and one more beyond U+FFFF. */
	for (const unsigned char *p = (const unsigned char *) text; *p != '\0'; p++)
		units += ((*p & 0xc0) != 0x80) + (*p >= 0xf0);
	return units;
}

static int
bytes_of(const char *text)
{
	return (int) strlen(text);
}

/*
 * Characters are what observ_fit() counts: asks for fewer of them until the text fits. `most`: units of one character. What is too much goes down
 * by a half at least each time, so this ends soon.
 */
static char *
fit_by(int (*measure)(const char *), int most, const char *text, int max, bool one_line, MessageEscape escape)
{
	int characters = max;

	for (;;) {
		char *fit = observ_fit(text, characters, one_line, escape);
		int excess = measure(fit) - max;

		if (excess <= 0)
			return fit;
		characters -= (excess + most - 1) / most;
		if (characters <= 0)
			return pstrdup("");
		pfree(fit);
	}
}

char *
observ_fit_units(const char *text, int max, bool one_line, MessageEscape escape)
{
	return fit_by(observ_utf16_units, 2, text, max, one_line, escape);
}

char *
observ_fit_bytes(const char *text, int max, bool one_line, MessageEscape escape)
{
	return fit_by(bytes_of, 4, text, max, one_line, escape);
}

static bool
is_blank(pg_wchar c)
{
	return c <= 0x20 || c == 0x7f || c == 0x85 || c == 0xa0 || c == 0xad || c == 0x1680 || c == 0x180e ||
		   (c >= 0x2000 && c <= 0x200f) || (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) ||
		   c == 0x2800 || c == 0x3000 || c == 0x3164 || c == 0xfeff;
}

bool
observ_text_is_blank(const char *text)
{
	for (const char *p = text; p != NULL && *p != '\0'; p += pg_mblen(p))
		if (!is_blank(utf8_to_unicode((const unsigned char *) p)))
			return false;
	return true;
}

void
observ_escape_markdown(StringInfo out, const char *character, int len)
{
	if (len == 1 && strchr("\\*_~`|<>#[]@", *character) != NULL)
		appendStringInfoChar(out, '\\');
	appendBinaryStringInfo(out, character, len);
}

char *
observ_markdown_value(const char *text)
{
	/* A link stays one. */
	if (observ_link_usable(text, INT_MAX, false))
		return pstrdup(text);
	return observ_fit(text, (int) strlen(text) * 2, false, observ_escape_markdown);
}

const char *
observ_chat_title(const Message *message)
{
	if (!observ_text_is_blank(message->title))
		return message->title;
	return psprintf("%s[%s]", message->test ? "[TEST] " : "", message->firing ? "FIRING" : "RESOLVED");
}

const char *
observ_chat_body(const Message *message)
{
	return message->body == NULL || observ_text_is_blank(message->body) ? NULL : message->body;
}

char *
observ_chat_name(const MessageAlert *alert)
{
	const char *name = observ_text_is_blank(alert->name) ? "alert" : alert->name;

	name = observ_fit(name, MAX_NAME, true, NULL);
	if (observ_text_is_blank(alert->instance))
		return pstrdup(name);
	return psprintf("%s on %s", name, observ_fit(alert->instance, MAX_NAME, true, NULL));
}

char *
observ_chat_mark(const MessageAlert *alert)
{
	static const char *const marks[] = {
		[MARK_NONE] = "", [MARK_NEW] = "NEW ", [MARK_STILL] = "STILL ", [MARK_RESOLVED] = "RESOLVED "};

	return psprintf("%s%s", marks[alert->mark], observ_severity_name(alert->severity));
}

char *
observ_chat_details(const MessageAlert *alert)
{
	const char *summary = alert->summary, *description = alert->description;

	if (summary != NULL && observ_text_is_blank(summary))
		summary = NULL;
	if (description != NULL &&
		(observ_text_is_blank(description) || (summary != NULL && strcmp(summary, description) == 0)))
		description = NULL;
	if (summary == NULL || description == NULL)
		return pstrdup(summary != NULL ? summary : description != NULL ? description : "");
	return psprintf("%s\n%s", summary, description);
}

const char *
observ_chat_facts(const MessageAlert *alert)
{
	const char *facts = observ_message_facts(alert);

	return *facts != '\0' ? facts : alert->firing ? "for 0s" : "after 0s";
}

char *
observ_chat_context(const Message *message)
{
	StringInfoData context;

	initStringInfo(&context);
	if (!observ_text_is_blank(message->reason))
		appendStringInfo(&context, "%s%s", message->reason, CHAT_DOT);
	appendStringInfo(&context, "%d firing, %d resolved", message->n_firing, message->n_resolved);
	if (!observ_text_is_blank(message->route))
		appendStringInfo(&context, "%sroute %s", CHAT_DOT, message->route);
	return context.data;
}

int
observ_chat_put_alerts(JsonWriter *w, const Message *message, int most, int room, ChatPutAlert put)
{
	int shown;

	most = Min(message->n_alerts, most);
	for (shown = 0; shown < most; shown++) {
		JsonPlace place = observ_json_place(w);

		put(w, message, &message->alerts[shown], room / (most - shown));
		if (w->out->len - place.length > room) {
			observ_json_back(w, place);
			break;
		}
		room -= w->out->len - place.length;
	}
	return shown;
}

char *
observ_chat_more(const Message *message, int shown)
{
	int more = message->n_alerts - shown + message->left_out;

	if (more <= 0)
		return NULL;
	return psprintf("\xe2\x80\xa6 and %d more", more);
}

static char *
in_form(const char *text, MessageForm form)
{
	return form == NULL ? pstrdup(text) : form(text);
}

char *
observ_chat_plain(const Message *message, int max, bool bytes, MessageForm form)
{
	int characters = max;

	/* Each time less by the part that is too much: most texts fit at once, and the others soon. */
	for (;;) {
		char *text = in_form(observ_message_text(message, characters, NULL), form);
		int size = bytes ? bytes_of(text) : observ_utf16_units(text);

		if (observ_text_is_blank(text))
			return in_form(observ_chat_context(message), form);
		if (size <= max)
			return text;
		characters = Min(characters - 1, (int) ((int64) characters * max / size));
	}
}

int
observ_chat_color(const Message *message)
{
	return message->firing ? observ_severity_color(message->severity) : CHAT_COLOR_RESOLVED;
}

bool
observ_link_usable(const char *url, int max, bool public_name)
{
	/* RFC 3986, without what ends links in markup: ' and (). */
	static const char others[] = "-._~:/?#[]@!$&*+,;=%";
	const char *host;
	size_t len;

	if (url == NULL || strlen(url) > (size_t) max)
		return false;
	if (pg_strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else if (pg_strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else
		return false;
	for (const char *p = url; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9')) &&
			strchr(others, *p) == NULL)
			return false;
	len = strcspn(host, "/?#");
	/* No names before the host: what looks like one address and leads to another. */
	if (len == 0 || memchr(host, '@', len) != NULL || *host == ':' || *host == '.')
		return false;
	return !public_name || *host == '[' || memchr(host, '.', len) != NULL;
}

static void
put_link(ChatLink *links, int *n, const char *text, const char *url, int max_url)
{
	if (observ_link_usable(url, max_url, false))
		links[(*n)++] = (ChatLink){text, url};
}

int
observ_chat_alert_links(const MessageAlert *alert, int max_url, ChatLink *links)
{
	int n = 0;

	if (alert->firing)
		put_link(links, &n, "Silence", alert->silence_url, max_url);
	put_link(links, &n, "Explain", alert->explain_url, max_url);
	put_link(links, &n, "Runbook", alert->runbook_url, max_url);
	return n;
}

int
observ_chat_links(const Message *message, int max_url, ChatLink *links)
{
	int n = 0;

	put_link(links, &n, "Dashboard", message->url, max_url);
	if (message->n_alerts == 1)
		n += observ_chat_alert_links(&message->alerts[0], max_url, links + n);
	return n;
}

const char *
observ_answer_text(const ChannelAnswer *answer, const char *path)
{
	char text[MAX_ANSWER];

	if (!json_path_text(path, slice_of(answer->body), text, sizeof text))
		return NULL;
	return pstrdup(text);
}

void
observ_verdict(ChannelVerdict *verdict, enum ChannelOutcome outcome, const char *format, ...)
{
	char error[MAX_ANSWER * 2], clean[MAX_ANSWER * 2];
	va_list args;

	va_start(args, format);
	vsnprintf(error, sizeof error, format, args);
	va_end(args);
	/* Answers may hold anything. */
	slice_printable(slice_of(error), clean, sizeof clean);
	verdict->outcome = outcome;
	verdict->error = pstrdup(clean);
}

int64
observ_wait_ms(const char *seconds)
{
	char *end;
	double wait;

	if (seconds == NULL || strlen(seconds) > MAX_NUMBER)
		return -1;
	wait = strtod(seconds, &end);
	if (end == seconds || *end != '\0' || isnan(wait) || wait < 0)
		return -1;
	return (int64) Min(Max(ceil(wait * 1000), 1), MAX_WAIT_MS);
}
