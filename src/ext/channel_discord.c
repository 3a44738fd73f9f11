/*
 * Kind discord: a webhook of a Discord channel (alerting.md section 6). One embed with the colour of the severity, a field per alert. Nobody is
 * mentioned, whatever stands in labels. Variant 1 is plain text.
 */
#include "postgres.h"

#include "ext/chat_text.h"

#include "lib/stringinfo.h"

#define MAX_CONTENT     2000
#define MAX_USERNAME    80
#define MAX_TITLE       256
#define MAX_DESCRIPTION 4096
#define MAX_FIELDS      25
#define MAX_NAME        256
#define MAX_VALUE       1024
#define MAX_FOOTER      300  /* the service takes 2,048 */
#define MAX_EMBED       6000 /* all texts of it together */
#define MAX_LINK        512
#define MIN_FIELD       180

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .required = true,
	 .secret = true,
	 .help = "webhook: https://discord.com/api/webhooks/.../..."},
	{.name = "thread_id", .type = FIELD_TEXT, .help = "of a thread, or of a post in a forum: digits"},
	{.name = "username", .type = FIELD_TEXT, .help = "name to write under instead of the webhook's"},
	{.name = "avatar_url", .type = FIELD_URL, .help = "picture instead of the webhook's"},
	{.name = "markup",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "body_template makes Markdown; false: plain text"},
	{NULL}};

static void
discord_check(const ChannelConfig *config)
{
	const char *thread = observ_config_text(config, "thread_id"),
			   *username = observ_config_text(config, "username");

	if (thread != NULL && (*thread == '\0' || strspn(thread, "0123456789") != strlen(thread)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"thread_id\" of a channel of kind discord consists of digits"),
						errdetail("It is \"%s\".", thread)));
	if (username != NULL && observ_utf16_units(username) > MAX_USERNAME)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"username\" of a channel of kind discord is longer than %d characters",
							   MAX_USERNAME),
						errdetail("It has %d.", observ_utf16_units(username))));
}

/* --- texts */

static char *
fit(const char *text, int max, bool one_line)
{
	return observ_fit_units(text, max, one_line, observ_escape_markdown);
}

static char *
links_text(const ChatLink *links, int n)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < n; i++)
		appendStringInfo(&out, "%s[%s](%s)", i > 0 ? CHAT_DOT : "", links[i].text, links[i].url);
	return out.data;
}

/* What there is to say of an alert beside its name, in at most `max`. Never blank. */
static char *
alert_text(const MessageAlert *alert, int max, bool links_too)
{
	const char *facts = fit(observ_chat_facts(alert), max / 3, true), *details = observ_chat_details(alert);
	const char *links_line = "";
	ChatLink links[CHAT_MAX_LINKS];
	StringInfoData text;
	int left = max - 2 - observ_utf16_units(facts);

	initStringInfo(&text);
	if (links_too) {
		links_line = links_text(links, observ_chat_alert_links(alert, MAX_LINK, links));
		if (observ_utf16_units(links_line) + 1 > left / 2)
			links_line = "";
		left -= observ_utf16_units(links_line);
	}
	if (!observ_text_is_blank(details))
		appendStringInfo(&text, "%s\n", fit(details, left, false));
	appendStringInfoString(&text, facts);
	if (*links_line != '\0')
		appendStringInfo(&text, "\n%s", links_line);
	return text.data;
}

/* --- the embed */

/* A field per alert, each with its share of what is left of MAX_EMBED. Returns how many. */
static int
put_fields(JsonWriter *w, const Message *message, int room)
{
	int most = Min(message->n_alerts, MAX_FIELDS), shown = 0;

	observ_json_key(w, "fields");
	observ_json_open(w, '[');
	for (; shown < most; shown++) {
		const MessageAlert *alert = &message->alerts[shown];
		int share = room / (most - shown);
		const char *name, *value;

		if (share < MIN_FIELD)
			share = MIN_FIELD;
		name = psprintf("%s %s", observ_chat_mark(alert), observ_chat_name(alert));
		name = fit(name, Min(share / 3, MAX_NAME), true);
		value = alert_text(alert, Min(share - observ_utf16_units(name), MAX_VALUE), true);
		if (observ_utf16_units(name) + observ_utf16_units(value) > room)
			break;
		room -= observ_utf16_units(name) + observ_utf16_units(value);
		observ_json_open(w, '{');
		observ_json_pair(w, "name", name);
		observ_json_pair(w, "value", value);
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
	return shown;
}

static char *
description(const ChannelConfig *config, const Message *message, int room)
{
	const char *body = observ_chat_body(message), *links_line;
	const MessageAlert *alert = message->alerts;
	ChatLink links[CHAT_MAX_LINKS];
	char *text;

	links_line = links_text(links, observ_chat_links(message, MAX_LINK, links));
	room = Min(room, MAX_DESCRIPTION) - observ_utf16_units(links_line) - 1;
	if (body != NULL)
		text = observ_config_boolean(config, "markup") ? observ_fit_units(body, room, false, NULL)
													   : fit(body, room, false);
	else if (message->n_alerts == 1) {
		text = psprintf("**%s** %s\n", observ_chat_mark(alert),
						fit(observ_chat_name(alert), MAX_NAME * 2, true));
		text = psprintf("%s%s", text, alert_text(alert, room - observ_utf16_units(text), false));
	} else
		text = pstrdup("");
	return psprintf("%s%s%s", text, *text != '\0' && *links_line != '\0' ? "\n" : "", links_line);
}

static void
put_embed(JsonWriter *w, const ChannelConfig *config, const Message *message)
{
	const char *title = fit(observ_chat_title(message), MAX_TITLE, true), *text, *footer;
	bool one = message->n_alerts == 1 || observ_chat_body(message) != NULL;
	int room = MAX_EMBED - observ_utf16_units(title) - MAX_FOOTER, shown = message->n_alerts;
	const char *more;

	observ_json_open(w, '{');
	observ_json_pair(w, "title", title);
	if (observ_link_usable(message->url, 2048, true))
		observ_json_pair(w, "url", message->url);
	observ_json_key(w, "color");
	observ_json_integer(w, observ_chat_color(message));
	observ_json_pair(w, "timestamp", observ_time_text(message->at, 0));
	text = description(config, message, room);
	if (!observ_text_is_blank(text))
		observ_json_pair(w, "description", text);
	if (!one)
		shown = put_fields(w, message, room - observ_utf16_units(text));
	more = observ_chat_body(message) != NULL ? NULL : observ_chat_more(message, shown);
	/* No markup there. */
	footer = psprintf("%s%s%s", more != NULL ? more : "", more != NULL ? CHAT_DOT : "",
					  observ_chat_context(message));
	observ_json_key(w, "footer");
	observ_json_open(w, '{');
	observ_json_pair(w, "text", observ_fit_units(footer, MAX_FOOTER, true, NULL));
	observ_json_close(w, '}');
	observ_json_close(w, '}');
}

static char *
form(const char *text)
{
	return observ_fit(text, (int) strlen(text) * 2, false, observ_escape_markdown);
}

static char *
plain_text(const Message *message)
{
	const char *title = fit(observ_chat_title(message), MAX_TITLE, true);

	return psprintf("%s\n%s", title,
					observ_chat_plain(message, MAX_CONTENT - 1 - observ_utf16_units(title), false, form));
}

static void
discord_render(const ChannelConfig *config, const Message *message, int step, int variant,
			   ChannelRequest *request)
{
	const char *url = observ_config_text(config, "url"), *thread = observ_config_text(config, "thread_id");
	JsonWriter w = observ_request_json(request);

	request->url = psprintf("%s%swait=true%s%s", url, strchr(url, '?') != NULL ? "&" : "?",
							thread != NULL ? "&thread_id=" : "", thread != NULL ? thread : "");
	observ_json_open(&w, '{');
	observ_json_pair(&w, "username", observ_config_text(config, "username"));
	observ_json_pair(&w, "avatar_url", observ_config_text(config, "avatar_url"));
	observ_json_key(&w, "allowed_mentions");
	observ_json_open(&w, '{');
	observ_json_key(&w, "parse");
	observ_json_open(&w, '[');
	observ_json_close(&w, ']');
	observ_json_close(&w, '}');
	if (variant > 0)
		observ_json_pair(&w, "content", plain_text(message));
	else {
		observ_json_key(&w, "embeds");
		observ_json_open(&w, '[');
		put_embed(&w, config, message);
		observ_json_close(&w, ']');
	}
	observ_json_close(&w, '}');
}

/* --- answers */

static void
discord_classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant,
				 ChannelVerdict *verdict)
{
	const char *message = observ_answer_text(answer, "$.message");

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT)
		verdict->receipt = observ_answer_text(answer, "$.id");
	else if (answer->status == 429) {
		int64 wait = observ_wait_ms(observ_answer_text(answer, "$.retry_after"));

		/* The body says it in fractions of a second, the header in whole ones. */
		if (wait > 0)
			verdict->retry_after_ms = wait;
	} else if (verdict->outcome == CHANNEL_DEAD && answer->status == 400 && variant == 0) {
		observ_verdict(verdict, CHANNEL_AGAIN, "Discord says: %s", message != NULL ? message : answer->body);
		verdict->variant = 1;
	} else if (verdict->outcome == CHANNEL_DEAD && message != NULL)
		observ_verdict(verdict, CHANNEL_DEAD, "Discord says: %s (HTTP %d)", message, answer->status);
}

const ChannelKind observ_channel_discord = {.name = "discord",
											.description = "Discord: webhook of a channel",
											.fields = fields,
											.concurrency = 1,
											.rate_limit = 30,
											.burst = 5,
											.check = discord_check,
											.render = discord_render,
											.value = observ_markdown_value,
											.classify = discord_classify};
