/*
 * Kind telegram: sendMessage of a bot (alerting.md section 6). HTML; what is limited is the text without tags, so that it is cut before there are any.
 * Variant 1 is plain text, when Telegram can't read the other. The token stands in the URL.
 */
#include "postgres.h"

#include "ext/chat_text.h"

#include "lib/stringinfo.h"

#define MAX_TEXT     4096 /* code units of UTF-16, without tags, entities resolved */
#define MAX_LINK     500
#define MAX_TAGS     8000 /* bytes of links: the whole, with tags, may have 32 kB */
#define MAX_TITLE    400
#define MAX_CONTEXT  250
#define MIN_ALERT    150
#define SILENT_BELOW 4 /* disable_notification up to warning */

static const ChannelField fields[] = {
	{.name = "token",
	 .type = FIELD_TEXT,
	 .required = true,
	 .secret = true,
	 .help = "of the bot, as BotFather said it: 123456:ABC..."},
	{.name = "chat_id",
	 .type = FIELD_TEXT,
	 .required = true,
	 .help = "of a person, a group (-100...) or a channel (@name)"},
	{.name = "thread_id",
	 .type = FIELD_INTEGER,
	 .min = 1,
	 .max = PG_INT32_MAX,
	 .help = "of a topic in a group"},
	{.name = "api_url", .type = FIELD_URL, .fallback = "https://api.telegram.org", .help = "of the Bot API"},
	{.name = "markup",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "body_template makes Telegram's HTML; false: plain text"},
	{NULL}};

static void
telegram_check(const ChannelConfig *config)
{
	const char *chat = observ_config_text(config, "chat_id");
	const char *digits = *chat == '-' ? chat + 1 : chat;
	bool number = *digits != '\0' && strspn(digits, "0123456789") == strlen(digits);

	if (!number && (*chat != '@' || chat[1] == '\0' || strpbrk(chat, " \t\r\n") != NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"chat_id\" of a channel of kind telegram is a number, or @ and a name"),
						errdetail("It is \"%s\".", chat),
						errhint("The bot's getUpdates shows the ids of chats that wrote to it.")));
}

/* --- texts */

/* A text with tags, and how long it is without. */
typedef struct Html {
	StringInfoData out;
	int units, tags; /* tags: bytes of links */
} Html;

static void
put(Html *html, const char *text)
{
	html->units += observ_utf16_units(text);
	appendStringInfoString(&html->out, observ_fit(text, (int) strlen(text) * 5, false, observ_escape_slack));
}

/* tag: "b", "i"; NULL: none */
static void
put_tagged(Html *html, const char *tag, const char *text)
{
	appendStringInfo(&html->out, "<%s>", tag);
	put(html, text);
	appendStringInfo(&html->out, "</%s>", tag);
}

static void
put_links(Html *html, const ChatLink *links, int n, int max)
{
	int put_before = 0;

	for (int i = 0; i < n; i++) {
		int size = (int) strlen(links[i].url) * 5 + 20;

		if (html->units + 20 > max || html->tags + size > MAX_TAGS)
			continue;
		put(html, put_before++ > 0 ? CHAT_DOT : "\n");
		appendStringInfo(&html->out, "<a href=\"%s\">",
						 observ_fit(links[i].url, MAX_LINK * 5, true, observ_escape_slack));
		put(html, links[i].text);
		appendStringInfoString(&html->out, "</a>");
		html->tags += size;
	}
}

/* In at most `max` more. */
static void
put_alert(Html *html, const MessageAlert *alert, int max, bool links_too)
{
	const char *details = observ_chat_details(alert), *facts;
	int end = html->units + max, left;
	ChatLink links[CHAT_MAX_LINKS] = {0};

	put(html, "\n\n");
	put_tagged(html, "b", observ_chat_mark(alert));
	put(html, " ");
	put(html, observ_fit_units(observ_chat_name(alert), max / 3, true, NULL));
	facts = observ_fit_units(observ_chat_facts(alert), max / 4, true, NULL);
	left = end - html->units - observ_utf16_units(facts) - 2;
	if (left > 0 && !observ_text_is_blank(details)) {
		put(html, "\n");
		put(html, observ_fit_units(details, left, false, NULL));
	}
	put(html, "\n");
	put_tagged(html, "i", facts);
	if (links_too) {
		int n = observ_chat_alert_links(alert, MAX_LINK, links);

		put_links(html, links, n, end);
	}
}

/* Returns how many. */
static int
put_alerts(Html *html, const Message *message, int end)
{
	int shown;

	for (shown = 0; shown < message->n_alerts; shown++) {
		int room = end - html->units, share = room / Min(message->n_alerts - shown, room / MIN_ALERT + 1);

		if (room < MIN_ALERT)
			break;
		put_alert(html, &message->alerts[shown], Max(share, MIN_ALERT), message->n_alerts > 1);
	}
	return shown;
}

static char *
html_text(const ChannelConfig *config, const Message *message)
{
	Html html = {.units = 0};
	const char *body = observ_chat_body(message), *more = NULL;
	ChatLink links[CHAT_MAX_LINKS] = {0};
	const char *context = observ_fit_units(observ_chat_context(message), MAX_CONTEXT, true, NULL);
	int end = MAX_TEXT - 200 - observ_utf16_units(context), n;

	initStringInfo(&html.out);
	put_tagged(&html, "b", observ_fit_units(observ_chat_title(message), MAX_TITLE, true, NULL));
	if (body != NULL) {
		int room = end - html.units - 2;

		put(&html, "\n\n");
		/* Tags can't be cut: a text that is too long is shown as it is written. */
		if (observ_config_boolean(config, "markup") && observ_utf16_units(body) <= room)
			appendStringInfoString(&html.out, observ_fit(body, room, false, NULL));
		else
			put(&html, observ_fit_units(body, room, false, NULL));
	} else
		more = observ_chat_more(message, put_alerts(&html, message, end));
	if (more != NULL) {
		put(&html, "\n\n");
		put(&html, more);
	}
	put(&html, "\n\n");
	put_tagged(&html, "i", context);
	n = observ_chat_links(message, MAX_LINK, links);
	put_links(&html, links, n, MAX_TEXT);
	return html.out.data;
}

static char *
form(const char *text)
{
	return observ_fit(text, (int) strlen(text), false, NULL);
}

/* In a text that is HTML. */
static char *
value_text(const char *text)
{
	return observ_fit(text, (int) strlen(text) * 6, false, observ_escape_html);
}

static char *
plain_text(const Message *message)
{
	const char *title = observ_fit_units(observ_chat_title(message), MAX_TITLE, true, NULL);

	return psprintf("%s\n%s", title,
					observ_chat_plain(message, MAX_TEXT - 1 - observ_utf16_units(title), false, form));
}

/* A token is 123456:ABC, its colon as it is; whatever else somebody takes for one stays within its part of the path. */
static void
put_token(StringInfo url, const char *token)
{
	for (const char *part = token;; part++) {
		size_t len = strcspn(part, ":");

		observ_put_urlencoded(url, pnstrdup(part, len));
		part += len;
		if (*part == '\0')
			return;
		appendStringInfoChar(url, ':');
	}
}

static void
telegram_render(const ChannelConfig *config, const Message *message, int step, int variant,
				ChannelRequest *request)
{
	int64 thread = observ_config_integer(config, "thread_id");
	StringInfoData url;
	JsonWriter w = observ_request_json(request);

	initStringInfo(&url);
	appendStringInfo(&url, "%s/bot", observ_config_text(config, "api_url"));
	put_token(&url, observ_config_text(config, "token"));
	appendStringInfoString(&url, "/sendMessage");
	request->url = url.data;
	observ_json_open(&w, '{');
	observ_json_pair(&w, "chat_id", observ_config_text(config, "chat_id"));
	observ_json_pair(&w, "text", variant > 0 ? plain_text(message) : html_text(config, message));
	observ_json_pair(&w, "parse_mode", variant > 0 ? NULL : "HTML");
	if (thread > 0) {
		observ_json_key(&w, "message_thread_id");
		observ_json_integer(&w, thread);
	}
	observ_json_key(&w, "disable_notification");
	observ_json_boolean(&w, message->severity < SILENT_BELOW);
	observ_json_key(&w, "link_preview_options");
	observ_json_open(&w, '{');
	observ_json_key(&w, "is_disabled");
	observ_json_boolean(&w, true);
	observ_json_close(&w, '}');
	observ_json_close(&w, '}');
}

/* --- answers */

static void
telegram_classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant,
				  ChannelVerdict *verdict)
{
	const char *text = observ_answer_text(answer, "$.description"),
			   *moved = observ_answer_text(answer, "$.parameters.migrate_to_chat_id"),
			   *ok = observ_answer_text(answer, "$.ok");

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT) {
		if (answer->outcome != TRANSFER_ANSWERED || (ok != NULL && strcmp(ok, "true") == 0))
			verdict->receipt = observ_answer_text(answer, "$.result.message_id");
		else
			observ_verdict(verdict, CHANNEL_RETRY, "the answer is not one of Telegram: %.100s", answer->body);
	} else if (text == NULL)
		return;
	else if (verdict->outcome == CHANNEL_RETRY) {
		int64 wait = observ_wait_ms(observ_answer_text(answer, "$.parameters.retry_after"));

		if (wait > 0)
			verdict->retry_after_ms = wait;
	} else if (moved != NULL)
		observ_verdict(verdict, CHANNEL_DEAD, "the group has become another chat: set chat_id to \"%s\"",
					   moved);
	else if (answer->status == 400 && variant == 0 &&
			 (strstr(text, "parse entities") != NULL || strstr(text, "too long") != NULL)) {
		observ_verdict(verdict, CHANNEL_AGAIN, "Telegram says: %s", text);
		verdict->variant = 1;
	} else
		observ_verdict(verdict, CHANNEL_DEAD, "Telegram says: %s (HTTP %d)", text, answer->status);
}

const ChannelKind observ_channel_telegram = {.name = "telegram",
											 .description = "Telegram: bot",
											 .fields = fields,
											 .concurrency = 1,
											 .rate_limit = 20,
											 .burst = 3,
											 .check = telegram_check,
											 .render = telegram_render,
											 .value = value_text,
											 .classify = telegram_classify};
