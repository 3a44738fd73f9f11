/*
 * Kind slack: an incoming webhook, or chat.postMessage with the token of a bot (alerting.md section 6). Blocks: a header, then with the colour of the
 * severity at their side a section per alert, links as buttons, where it comes from. Variant 1 is plain text.
 */
#include "postgres.h"

#include "ext/chat_text.h"

#include <limits.h>

#include "lib/stringinfo.h"

#define MAX_HEADER   150
#define MAX_SECTION  3000
#define MAX_CONTEXT  2000
#define MAX_URL      3000  /* of a button */
#define MAX_INLINE   500   /* of a link in a section */
#define MAX_BLOCKS   50    /* also over attachments */
#define OTHER_BLOCKS 4     /* header, how many more, context, buttons */
#define MAX_BYTES    12500 /* of all blocks: near 13,000 Slack says msg_blocks_too_long */
#define OTHER_BYTES  1200  /* of these: how many more, context */
#define MIN_SECTION  200
#define MAX_TEXT     3500 /* of plain text; Slack cuts at 40,000, and wraps what is over 4,000 */

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .secret = true,
	 .help = "incoming webhook: https://hooks.slack.com/services/..."},
	{.name = "token", .type = FIELD_TEXT, .secret = true, .help = "of a bot (xoxb-...), instead of url"},
	{.name = "channel", .type = FIELD_TEXT, .help = "with token: where the bot writes: C0123ABCD or #alerts"},
	{.name = "api_url",
	 .type = FIELD_URL,
	 .fallback = "https://slack.com/api",
	 .help = "with token: of the API"},
	{.name = "markup",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "body_template makes mrkdwn; false: plain text"},
	{NULL}};

static void
slack_check(const ChannelConfig *config)
{
	bool url = observ_config_text(config, "url") != NULL, token = observ_config_text(config, "token") != NULL;

	if (url == token)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a channel of kind slack has either \"url\" or \"token\""),
						errhint("url is an incoming webhook; token is a bot's, together with channel.")));
	if (token != (observ_config_text(config, "channel") != NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"channel\" and \"token\" of a channel of kind slack come together"),
						errhint("An incoming webhook writes into the channel that it was made for.")));
}

/* --- texts */

static bool
is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		   (unsigned char) c >= 0x80;
}

/*
 * mrkdwn has no escape for * _ ~ `: they are markup at the beginning of a word. An invisible blank behind them makes them literal; inside words they
 * are left alone, so that names can be copied.
 */
static char *
literal(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *p = text; *p != '\0'; p++) {
		bool inside = p > text && is_word(p[-1]);

		appendStringInfoChar(&out, *p);
		if (*p == '`' || (strchr("*_~", *p) != NULL && !inside && p[1] != ' ' && p[1] != '\0'))
			appendStringInfoString(&out, "\xe2\x80\x8b");
	}
	return out.data;
}

/* What would become literal() is at most three times as long; only as much of a text is looked at as can be shown. */
static char *
fit_literal(const char *text, int max, bool one_line)
{
	return observ_fit_units(literal(observ_fit(text, max, one_line, NULL)), max, one_line,
							observ_escape_slack);
}

static void
put_text(JsonWriter *w, const char *key, const char *type, const char *text)
{
	bool markup = strcmp(type, "mrkdwn") == 0;

	observ_json_key(w, key);
	observ_json_open(w, '{');
	observ_json_pair(w, "type", type);
	observ_json_pair(w, "text", text);
	observ_json_key(w, markup ? "verbatim" : "emoji");
	observ_json_boolean(w, markup);
	observ_json_close(w, '}');
}

static void
put_section(JsonWriter *w, const char *text)
{
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "section");
	put_text(w, "text", "mrkdwn", text);
	observ_json_close(w, '}');
}

static void
put_context(JsonWriter *w, const char *text)
{
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "context");
	observ_json_key(w, "elements");
	observ_json_open(w, '[');
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "plain_text");
	observ_json_pair(w, "text", observ_fit_units(text, MAX_CONTEXT / 4, true, observ_escape_slack));
	observ_json_key(w, "emoji");
	observ_json_boolean(w, false);
	observ_json_close(w, '}');
	observ_json_close(w, ']');
	observ_json_close(w, '}');
}

static void
put_buttons(JsonWriter *w, const ChatLink *links, int n)
{
	if (n == 0)
		return;
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "actions");
	observ_json_key(w, "elements");
	observ_json_open(w, '[');
	for (int i = 0; i < n; i++) {
		observ_json_open(w, '{');
		observ_json_pair(w, "type", "button");
		put_text(w, "text", "plain_text", links[i].text);
		observ_json_pair(w, "url", links[i].url);
		observ_json_pair(w, "action_id", psprintf("observ-%d", i));
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
	observ_json_close(w, '}');
}

/* --- alerts */

/* An alert in at most `max` characters; max is MIN_SECTION at least. */
static char *
alert_text(const MessageAlert *alert, int max, bool links_too)
{
	StringInfoData text, tail;
	ChatLink links[CHAT_MAX_LINKS];
	const char *details = observ_chat_details(alert);
	int n = links_too ? observ_chat_alert_links(alert, MAX_INLINE, links) : 0, left;

	initStringInfo(&text);
	initStringInfo(&tail);
	appendStringInfo(&text, "*%s* %s", observ_chat_mark(alert),
					 fit_literal(observ_chat_name(alert), max / 3, true));
	appendStringInfo(&tail, "\n%s", fit_literal(observ_chat_facts(alert), max / 4, true));
	for (int i = 0; i < n; i++) {
		char *link =
			psprintf("%s<%s|%s>", CHAT_DOT,
					 observ_fit(links[i].url, MAX_INLINE * 5, true, observ_escape_slack), links[i].text);

		if (observ_utf16_units(text.data) + observ_utf16_units(tail.data) + observ_utf16_units(link) < max)
			appendStringInfoString(&tail, link);
	}
	left = max - 1 - observ_utf16_units(text.data) - observ_utf16_units(tail.data);
	if (left > 0 && !observ_text_is_blank(details))
		appendStringInfo(&text, "\n%s", fit_literal(details, left, false));
	appendStringInfoString(&text, tail.data);
	return text.data;
}

/* A section in `share` bytes, or somewhat more where that is too little to say anything. */
static void
put_alert(JsonWriter *w, const Message *message, const MessageAlert *alert, int share)
{
	JsonPlace place = observ_json_place(w);

	/* Characters are more than one byte each: less of them then. */
	for (int max = Min(Max(share, MIN_SECTION), MAX_SECTION);; max = max * 2 / 3) {
		put_section(w, alert_text(alert, max, message->n_alerts > 1));
		if (w->out->len - place.length <= Max(share, 2 * MIN_SECTION) || max < MIN_SECTION * 3 / 2)
			break;
		observ_json_back(w, place);
	}
}

static void
put_attachment(JsonWriter *w, const ChannelConfig *config, const Message *message, int used)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n = observ_chat_links(message, MAX_URL, links), room = MAX_BYTES - OTHER_BYTES - used;
	const char *body = observ_chat_body(message), *more = NULL;

	for (int i = 0; i < n; i++) {
		int size = (int) strlen(links[i].url) + 150;

		/* Long links leave room for the alerts. */
		if (size > room / 2) {
			memmove(links + i, links + i + 1, (size_t) (n - i - 1) * sizeof *links);
			n--, i--;
		} else
			room -= size;
	}
	observ_json_open(w, '{');
	observ_json_pair(w, "color", psprintf("#%06X", observ_chat_color(message)));
	observ_json_pair(w, "fallback",
					 observ_fit_units(observ_chat_title(message), MAX_HEADER, true, observ_escape_slack));
	observ_json_key(w, "blocks");
	observ_json_open(w, '[');
	if (body != NULL)
		put_section(w, observ_config_boolean(config, "markup")
						   ? observ_fit_units(body, MAX_SECTION, false, NULL)
						   : fit_literal(body, MAX_SECTION, false));
	else
		more = observ_chat_more(
			message, observ_chat_put_alerts(w, message, MAX_BLOCKS - OTHER_BLOCKS, room, put_alert));
	if (more != NULL)
		put_context(w, more);
	put_context(w, observ_chat_context(message));
	put_buttons(w, links, n);
	observ_json_close(w, ']');
	observ_json_close(w, '}');
}

static void
put_blocks(JsonWriter *w, const ChannelConfig *config, const Message *message)
{
	int before = w->out->len;

	observ_json_key(w, "blocks");
	observ_json_open(w, '[');
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "header");
	put_text(w, "text", "plain_text",
			 observ_fit_units(observ_chat_title(message), MAX_HEADER, true, observ_escape_slack));
	observ_json_close(w, '}');
	observ_json_close(w, ']');
	observ_json_key(w, "attachments");
	observ_json_open(w, '[');
	put_attachment(w, config, message, w->out->len - before);
	observ_json_close(w, ']');
}

static char *
form(const char *text)
{
	char *plain = literal(text);

	return observ_fit(plain, (int) strlen(plain) * 5, false, observ_escape_slack);
}

/* In a text that is mrkdwn; an invisible blank would break a link. */
static char *
value_text(const char *text)
{
	if (observ_link_usable(text, INT_MAX, false))
		return observ_fit(text, (int) strlen(text) * 5, true, observ_escape_slack);
	return form(text);
}

static char *
plain_text(const Message *message)
{
	const char *title = fit_literal(observ_chat_title(message), MAX_HEADER, true);

	return psprintf("%s\n%s", title, observ_chat_plain(message, MAX_TEXT - MAX_HEADER - 1, false, form));
}

static void
slack_render(const ChannelConfig *config, const Message *message, int step, int variant,
			 ChannelRequest *request)
{
	const char *token = observ_config_text(config, "token");
	JsonWriter w = observ_request_json(request);

	observ_json_open(&w, '{');
	if (token != NULL) {
		request->url = psprintf("%s/chat.postMessage", observ_config_text(config, "api_url"));
		observ_request_header(request, "Authorization", psprintf("Bearer %s", token));
		observ_json_pair(&w, "channel", observ_config_text(config, "channel"));
	} else
		request->url = observ_config_text(config, "url");
	/* With blocks that is what notifications of phones show. */
	observ_json_pair(&w, "text",
					 variant > 0 ? plain_text(message)
								 : fit_literal(observ_chat_title(message), MAX_HEADER * 2, true));
	if (variant == 0)
		put_blocks(&w, config, message);
	observ_json_key(&w, "unfurl_links");
	observ_json_boolean(&w, false);
	observ_json_key(&w, "unfurl_media");
	observ_json_boolean(&w, false);
	observ_json_close(&w, '}');
}

/* --- answers */

static bool
is_one_of(const char *text, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(text, *list) == 0)
			return true;
	return false;
}

/* It did not like the form: plain text may do. */
static bool
is_about_form(const char *error)
{
	static const char *const form[] = {"invalid_blocks",  "invalid_blocks_format", "invalid_attachments",
									   "invalid_payload", "msg_blocks_too_long",   "msg_too_long",
									   "no_text",         "too_many_attachments",  NULL};

	return is_one_of(error, form);
}

/* Of the API: 200 whatever happened, the rest is in the body. */
static void
classify_api(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	static const char *const passing[] = {
		"ratelimited",     "rate_limited",        "internal_error",    "fatal_error",
		"request_timeout", "service_unavailable", "team_added_to_org", NULL};
	const char *ok = observ_answer_text(answer, "$.ok"), *error = observ_answer_text(answer, "$.error");

	if (ok != NULL && strcmp(ok, "true") == 0) {
		verdict->receipt = observ_answer_text(answer, "$.ts");
		return;
	}
	if (error == NULL)
		observ_verdict(verdict, CHANNEL_RETRY, "the answer is not one of Slack: %.100s", answer->body);
	else if (is_about_form(error) && variant == 0) {
		observ_verdict(verdict, CHANNEL_AGAIN, "Slack says: %s", error);
		verdict->variant = 1;
	} else
		observ_verdict(verdict, is_one_of(error, passing) ? CHANNEL_RETRY : CHANNEL_DEAD, "Slack says: %s",
					   error);
}

static void
slack_classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	size_t len = strcspn(answer->body, "\r\n");

	observ_classify_http(answer, verdict);
	/* Cut off in the middle, there is nothing to be read in it. */
	if (verdict->outcome == CHANNEL_SENT && answer->outcome != TRANSFER_ANSWERED)
		return;
	if (verdict->outcome == CHANNEL_SENT && observ_config_text(config, "token") != NULL)
		classify_api(config, answer, variant, verdict);
	else if (verdict->outcome == CHANNEL_SENT && !(len == 2 && memcmp(answer->body, "ok", 2) == 0))
		observ_verdict(verdict, CHANNEL_RETRY, "the answer is not \"ok\" but: %.100s", answer->body);
	else if (verdict->outcome == CHANNEL_DEAD && len > 0 &&
			 strspn(answer->body, "abcdefghijklmnopqrstuvwxyz_") == len) {
		const char *error = pnstrdup(answer->body, len);
		bool again = answer->status == 400 && variant == 0 && is_about_form(error);

		observ_verdict(verdict, again ? CHANNEL_AGAIN : CHANNEL_DEAD, "Slack says: %.100s (HTTP %d)", error,
					   answer->status);
		verdict->variant = again ? 1 : 0;
	}
}

const ChannelKind observ_channel_slack = {.name = "slack",
										  .description = "Slack: incoming webhook or bot",
										  .fields = fields,
										  .concurrency = 1,
										  .rate_limit = 60,
										  .burst = 5,
										  .check = slack_check,
										  .render = slack_render,
										  .value = value_text,
										  .classify = slack_classify};
