/*
 * Kind ntfy: publishing as JSON to ntfy.sh or a server of one's own (alerting.md section 6). Plain text; priority and tags by severity. Variant 1 is
 * nothing but title and text.
 */
#include "postgres.h"

#include "ext/chat_text.h"

#include "common/base64.h"
#include "lib/stringinfo.h"

#define MAX_TITLE         1024 /* bytes */
#define MAX_MESSAGE       4096 /* bytes: what is longer becomes an attachment */
#define MAX_TOPIC         64
#define MAX_SEQUENCE      64
#define MAX_ACTIONS       3
#define MAX_LINK          1000
#define MAX_BODY          8000 /* bytes: the service reads twice MAX_MESSAGE of JSON, and refuses what is longer */
#define CALM              3 /* the usual priority; what is over rings no louder */
#define WAIT_FOR_QUOTA_MS (15 * 60 * 1000)

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .fallback = "https://ntfy.sh",
	 .help = "of the server, without the topic"},
	{.name = "topic",
	 .type = FIELD_TEXT,
	 .required = true,
	 .help = "who subscribes to it reads along: without a login it is as good as a password"},
	{.name = "token", .type = FIELD_TEXT, .secret = true, .help = "access token: tk_..."},
	{.name = "user", .type = FIELD_TEXT, .help = "instead of token, together with password"},
	{.name = "password", .type = FIELD_TEXT, .secret = true, .help = "of user"},
	{.name = "replace",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "a notification takes the place of the earlier one of its incident (ntfy 2.16)"},
	{.name = "markup",
	 .type = FIELD_BOOLEAN,
	 .fallback = "false",
	 .help = "body_template makes Markdown; false: plain text"},
	{NULL}};

static bool
is_id(const char *text, size_t max)
{
	size_t len = strlen(text);

	return len > 0 && len <= max &&
		   strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == len;
}

static void
ntfy_check(const ChannelConfig *config)
{
	const char *topic = observ_config_text(config, "topic");
	bool user = observ_config_text(config, "user") != NULL,
		 password = observ_config_text(config, "password") != NULL;

	if (!is_id(topic, MAX_TOPIC))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"topic\" of a channel of kind ntfy consists of at most %d letters, digits, - and _",
						MAX_TOPIC),
				 errdetail("It is \"%s\".", topic)));
	if (user != password)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"user\" and \"password\" of a channel of kind ntfy come together")));
	if (user && observ_config_text(config, "token") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a channel of kind ntfy has either \"token\" or \"user\" and \"password\"")));
}

static char *
basic(const char *user, const char *password)
{
	char *pair = psprintf("%s:%s", user, password);
	int len = (int) strlen(pair), size = pg_b64_enc_len(len) + 1;
	char *encoded = palloc0((Size) size);

	pg_b64_encode(pair, len, encoded, size - 1);
	return psprintf("Basic %s", encoded);
}

static void
put_login(const ChannelConfig *config, ChannelRequest *request)
{
	const char *token = observ_config_text(config, "token"), *user = observ_config_text(config, "user");

	if (token != NULL)
		observ_request_header(request, "Authorization", psprintf("Bearer %s", token));
	else if (user != NULL)
		observ_request_header(request, "Authorization", basic(user, observ_config_text(config, "password")));
}

static int
priority_of(const Message *message)
{
	static const int priorities[] = {1, 2, 3, 3, 4, 5, 5};

	return message->firing ? priorities[message->severity] : Min(priorities[message->severity], CALM);
}

/* Names of emoji become pictures before the title, other tags stand below. */
static void
put_tags(JsonWriter *w, const Message *message)
{
	static const char *const pictures[] = {
		"information_source", "information_source", "large_blue_circle", "warning", "warning",
		"rotating_light",     "rotating_light"};

	observ_json_key(w, "tags");
	observ_json_open(w, '[');
	observ_json_text(w, message->firing ? pictures[message->severity] : "white_check_mark");
	observ_json_text(w, observ_severity_name(message->severity));
	if (message->test)
		observ_json_text(w, "test");
	observ_json_close(w, ']');
}

static char *
form(const char *text)
{
	return observ_fit(text, (int) strlen(text), false, NULL);
}

static void
put_actions(JsonWriter *w, const Message *message)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n = observ_chat_links(message, MAX_LINK, links), put = 0;

	/* The dashboard is what opens at a touch. */
	observ_json_pair(w, "click", n > 0 ? links[0].url : NULL);
	if (n < 2)
		return;
	observ_json_key(w, "actions");
	observ_json_open(w, '[');
	for (int i = 1; i < n && put < MAX_ACTIONS; i++, put++) {
		observ_json_open(w, '{');
		observ_json_pair(w, "action", "view");
		observ_json_pair(w, "label", links[i].text);
		observ_json_pair(w, "url", links[i].url);
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
}

static void
put_publish(JsonWriter *w, const ChannelConfig *config, const Message *message, int variant, int max)
{
	const char *sequence =
		observ_config_boolean(config, "replace") ? message->incident_key : message->idempotency_key;

	observ_json_open(w, '{');
	observ_json_pair(w, "topic", observ_config_text(config, "topic"));
	observ_json_pair(w, "title", observ_fit_bytes(observ_chat_title(message), MAX_TITLE, true, NULL));
	observ_json_pair(w, "message", observ_chat_plain(message, max, true, form));
	if (variant == 0) {
		observ_json_key(w, "priority");
		observ_json_integer(w, priority_of(message));
		put_tags(w, message);
		put_actions(w, message);
		/* Sent twice it is one notification. */
		if (is_id(sequence, MAX_SEQUENCE))
			observ_json_pair(w, "sequence_id", sequence);
		if (observ_chat_body(message) != NULL && observ_config_boolean(config, "markup")) {
			observ_json_key(w, "markdown");
			observ_json_boolean(w, true);
		}
	}
	observ_json_close(w, '}');
}

static void
ntfy_render(const ChannelConfig *config, const Message *message, int step, int variant,
			ChannelRequest *request)
{
	JsonWriter w = observ_request_json(request);
	JsonPlace begin = observ_json_place(&w);
	int max = MAX_MESSAGE;

	request->url = observ_config_text(config, "url");
	put_login(config, request);
	/* What has to be escaped, and links, are at the cost of the message: without it there are less than 7,000 bytes. */
	put_publish(&w, config, message, variant, max);
	while (request->body.len > MAX_BODY) {
		max -= (request->body.len - MAX_BODY + 1) / 2;
		observ_json_back(&w, begin);
		put_publish(&w, config, message, variant, max);
	}
}

static void
ntfy_classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	const char *error = observ_answer_text(answer, "$.error"), *code = observ_answer_text(answer, "$.code");

	observ_classify_http(answer, verdict);
	if (verdict->outcome == CHANNEL_SENT)
		verdict->receipt = observ_answer_text(answer, "$.id");
	else if (error == NULL)
		return;
	else if (verdict->outcome == CHANNEL_RETRY) {
		/* Quotas come back slowly: 507 is room or bandwidth, 42908 the messages of a day. */
		bool quota = answer->status == 507 || (code != NULL && strcmp(code, "42908") == 0);

		observ_verdict(verdict, CHANNEL_RETRY, "ntfy says: %s (HTTP %d)", error, answer->status);
		if (quota && verdict->retry_after_ms < 0)
			verdict->retry_after_ms = WAIT_FOR_QUOTA_MS;
	} else {
		bool again = answer->status == 400 && variant == 0;

		observ_verdict(verdict, again ? CHANNEL_AGAIN : CHANNEL_DEAD, "ntfy says: %s (HTTP %d)", error,
					   answer->status);
		verdict->variant = again ? 1 : 0;
	}
}

const ChannelKind observ_channel_ntfy = {.name = "ntfy",
										 .description = "ntfy: push to telephones and browsers",
										 .fields = fields,
										 .concurrency = 1,
										 .rate_limit = 12,
										 .burst = 30,
										 .check = ntfy_check,
										 .render = ntfy_render,
										 .value = observ_markdown_value,
										 .classify = ntfy_classify};
