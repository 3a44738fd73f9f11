/*
 * Kind teams: an adaptive card for a Workflow of Microsoft Teams, "when a webhook request is received" (alerting.md section 6). What comes from labels
 * is a RichTextBlock, which knows no markup. Variant 1 is a card of plain text.
 */
#include "postgres.h"

#include "ext/chat_text.h"

#include "lib/stringinfo.h"

#define MAX_BYTES    28000 /* all of it: the service takes about 28 kB */
#define OTHER_BYTES  1000  /* what comes behind the alerts, without actions */
#define MIN_ALERT    900   /* bytes */
#define ALERT_FRAME  700   /* bytes of an alert that are not its text */
#define LINE_BYTES   90    /* of a block of one run, without its text */
#define MAX_ALERTS   40
#define MAX_TITLE    300
#define MAX_TEXT     4000 /* of one alert, of plain text */
#define MAX_LINK     2000
#define CARD_VERSION "1.4"

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .required = true,
	 .secret = true,
	 .help = "of a workflow that begins when a webhook request is received"},
	{.name = "markup",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "body_template makes the Markdown of cards; false: plain text"},
	{NULL}};

/* --- pieces of cards */

typedef struct TextRun {
	const char *text, *color; /* color NULL: the usual */
	bool bold, subtle;
} TextRun;

static void
put_runs(JsonWriter *w, const TextRun *runs, int n)
{
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "RichTextBlock");
	observ_json_key(w, "inlines");
	observ_json_open(w, '[');
	for (int i = 0; i < n; i++) {
		observ_json_open(w, '{');
		observ_json_pair(w, "type", "TextRun");
		observ_json_pair(w, "text", runs[i].text);
		observ_json_pair(w, "weight", runs[i].bold ? "Bolder" : NULL);
		observ_json_pair(w, "color", runs[i].color);
		if (runs[i].subtle) {
			observ_json_key(w, "isSubtle");
			observ_json_boolean(w, true);
		}
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
	observ_json_close(w, '}');
}

/* A text line by line: a run holds no line ends. */
static void
put_lines(JsonWriter *w, const char *text, bool subtle)
{
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		char *one = pnstrdup(line, len);

		if (!observ_text_is_blank(one))
			put_runs(w, &(TextRun){.text = one, .subtle = subtle}, 1);
		pfree(one);
		line += len + (line[len] == '\n');
	}
}

/* Bytes on the wire are what is limited: of escapes, and of the block that a line is. */
static char *
fit_bytes(const char *text, int max, bool one_line)
{
	char *fit = observ_fit_bytes(text, max, one_line, NULL);
	int cost = 0;

	for (const char *p = fit; *p != '\0'; p++) {
		cost += *p == '\n' ? LINE_BYTES : *p == '"' || *p == '\\' ? 2 : 1;
		if (cost > max)
			return observ_fit_bytes(text, (int) (p - fit), one_line, NULL);
	}
	return fit;
}

static const char *
color_name(const MessageAlert *alert)
{
	static const char *const colors[] = {"Default",   "Default",   "Accent",   "Warning",
										 "Attention", "Attention", "Attention"};

	return !alert->firing ? "Good" : colors[alert->severity];
}

static void
put_alert(JsonWriter *w, const Message *message, const MessageAlert *alert, int share)
{
	int room = Max(share, MIN_ALERT) - ALERT_FRAME;
	const char *details = observ_chat_details(alert);
	TextRun head[2] = {{.text = observ_chat_mark(alert), .color = color_name(alert), .bold = true}};
	int left;

	head[1] =
		(TextRun){.text = psprintf(" %s", fit_bytes(observ_chat_name(alert), room / 3, true)), .bold = true};
	left = Min(room - (int) strlen(head[1].text), MAX_TEXT);
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "Container");
	observ_json_key(w, "separator");
	observ_json_boolean(w, true);
	observ_json_key(w, "items");
	observ_json_open(w, '[');
	put_runs(w, head, 2);
	put_lines(w, fit_bytes(details, left * 2 / 3, false), false);
	put_lines(w, fit_bytes(observ_chat_facts(alert), left / 3, true), true);
	observ_json_close(w, ']');
	observ_json_close(w, '}');
}

static int
weigh_links(const ChatLink *links, int n)
{
	int weight = 0;

	for (int i = 0; i < n; i++)
		weight += (int) strlen(links[i].url) + 100;
	return weight;
}

static void
put_actions(JsonWriter *w, const ChatLink *links, int n)
{
	if (n == 0)
		return;
	observ_json_key(w, "actions");
	observ_json_open(w, '[');
	for (int i = 0; i < n; i++) {
		observ_json_open(w, '{');
		observ_json_pair(w, "type", "Action.OpenUrl");
		observ_json_pair(w, "title", links[i].text);
		observ_json_pair(w, "url", links[i].url);
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
}

/* --- the card */

static void
put_markdown(JsonWriter *w, const char *text)
{
	observ_json_open(w, '{');
	observ_json_pair(w, "type", "TextBlock");
	observ_json_pair(w, "text", text);
	observ_json_key(w, "wrap");
	observ_json_boolean(w, true);
	observ_json_close(w, '}');
}

static char *
form(const char *text)
{
	return observ_fit(text, (int) strlen(text), false, NULL);
}

static void
put_body(JsonWriter *w, const ChannelConfig *config, const Message *message, int variant, int room)
{
	const char *body = observ_chat_body(message), *more = NULL;
	int fits = Min(room, MAX_TEXT * 5);
	TextRun title = {.text = fit_bytes(observ_chat_title(message), MAX_TITLE, true), .bold = true};

	if (message->n_alerts > 0 && variant == 0)
		title.color = message->firing
						  ? color_name(&(MessageAlert){.firing = true, .severity = message->severity})
						  : "Good";
	put_runs(w, &title, 1);
	if (variant > 0)
		put_lines(w, fit_bytes(observ_chat_plain(message, MAX_TEXT, true, form), room / 2, false), false);
	else if (body != NULL && observ_config_boolean(config, "markup"))
		put_markdown(w, fit_bytes(body, fits, false));
	else if (body != NULL)
		put_lines(w, fit_bytes(body, fits, false), false);
	else
		more =
			observ_chat_more(message, observ_chat_put_alerts(w, message, MAX_ALERTS, room - 400, put_alert));
	if (more != NULL)
		put_lines(w, more, true);
	put_lines(w, fit_bytes(observ_chat_context(message), MAX_TITLE, true), true);
}

static void
put_card(JsonWriter *w, const ChannelConfig *config, const Message *message, int variant)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n = variant > 0 ? 0 : observ_chat_links(message, MAX_LINK, links);
	int room = MAX_BYTES - OTHER_BYTES - weigh_links(links, n);

	observ_json_open(w, '{');
	observ_json_pair(w, "$schema", "http://adaptivecards.io/schemas/adaptive-card.json");
	observ_json_pair(w, "type", "AdaptiveCard");
	observ_json_pair(w, "version", CARD_VERSION);
	observ_json_key(w, "msteams");
	observ_json_open(w, '{');
	observ_json_pair(w, "width", "Full");
	observ_json_close(w, '}');
	observ_json_key(w, "body");
	observ_json_open(w, '[');
	put_body(w, config, message, variant, room);
	observ_json_close(w, ']');
	put_actions(w, links, n);
	observ_json_close(w, '}');
}

static void
teams_render(const ChannelConfig *config, const Message *message, int step, int variant,
			 ChannelRequest *request)
{
	JsonWriter w = observ_request_json(request);

	request->url = observ_config_text(config, "url");
	observ_json_open(&w, '{');
	observ_json_pair(&w, "type", "message");
	observ_json_key(&w, "attachments");
	observ_json_open(&w, '[');
	observ_json_open(&w, '{');
	observ_json_pair(&w, "contentType", "application/vnd.microsoft.card.adaptive");
	observ_json_key(&w, "contentUrl");
	observ_json_text(&w, NULL);
	observ_json_key(&w, "content");
	put_card(&w, config, message, variant);
	observ_json_close(&w, '}');
	observ_json_close(&w, ']');
	observ_json_close(&w, '}');
}

/* --- answers */

/* Connectors answered 200 and said in the body what had gone wrong. */
static void
classify_text(const ChannelConfig *config, const ChannelAnswer *answer, ChannelVerdict *verdict)
{
	static const char marker[] = "HTTP error ";
	const char *error = strstr(answer->body, marker);
	char *end;
	long status;

	if (error == NULL)
		return;
	/* Without a number it is something that may pass. */
	status = strtol(error + strlen(marker), &end, 10);
	if (end == error + strlen(marker))
		status = 0;
	observ_verdict(verdict, status == 429 || status >= 500 || status < 400 ? CHANNEL_RETRY : CHANNEL_DEAD,
				   "Teams says: %.100s", error);
}

static void
teams_classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	const char *message = observ_answer_text(answer, "$.error.message");

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT)
		classify_text(config, answer, verdict);
	else if (verdict->outcome == CHANNEL_DEAD && (answer->status == 400 || answer->status == 413) &&
			 variant == 0) {
		observ_verdict(verdict, CHANNEL_AGAIN, "Teams says: %.300s (HTTP %d)",
					   message != NULL ? message : answer->body, answer->status);
		verdict->variant = 1;
	} else if (verdict->outcome == CHANNEL_DEAD && message != NULL)
		observ_verdict(verdict, CHANNEL_DEAD, "Teams says: %s (HTTP %d)", message, answer->status);
}

const ChannelKind observ_channel_teams = {.name = "teams",
										  .description = "Microsoft Teams: webhook of a workflow",
										  .fields = fields,
										  .concurrency = 1,
										  .rate_limit = 60,
										  .burst = 4,
										  .render = teams_render,
										  .value = observ_markdown_value,
										  .classify = teams_classify};
