/*
 * Opsgenie, Alert API v2 (https://docs.opsgenie.com/docs/alert-api): an alert is created, acknowledged, closed by its alias, the incident_key.
 * Creating one that is open counts it up and opens no second one.
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include "ext/chat_text.h"
#include "ext/incident.h"
#include "ext/message_parts.h"

#define MAX_MESSAGE     130
#define MAX_ALIAS       512
#define MAX_DESCRIPTION 15000
#define MAX_RESPONDERS  50
#define MAX_TAGS        20
#define MAX_TAG         50
#define MAX_DETAILS     8000 /* names and values of all of them together */
#define MAX_ENTITY      512
#define MAX_SOURCE      100
#define MAX_USER        100
#define MAX_NOTE        25000
#define BUSY_WAIT_MS    60000 /* limits are per minute, or per second, as they say */

static const ChannelField fields[] = {
	{.name = "api_key",
	 .type = FIELD_TEXT,
	 .required = true,
	 .secret = true,
	 .help = "key of an API integration with the right to create and update alerts"},
	{.name = "url",
	 .type = FIELD_URL,
	 .fallback = "https://api.opsgenie.com",
	 .help = "https://api.eu.opsgenie.com for accounts in the EU"},
	{.name = "responders",
	 .type = FIELD_LIST,
	 .help = "team:NAME, user:MAIL, schedule:NAME, escalation:NAME, at most 50; without it the integration's "
			 "team"},
	{.name = "tags", .type = FIELD_LIST, .help = "at most 20, of 50 characters each"},
	{0},
};

/* By our severities, info to emergency. */
static const char *const priorities[] = {"P5", "P5", "P4", "P3", "P2", "P1", "P1"};

/* What responders are, and what names one of them. */
static const struct {
	const char *type, *by;
} responder_types[] = {{"team", "name"}, {"user", "username"}, {"schedule", "name"}, {"escalation", "name"}};

/* The index of its type; -1: it is none. name: what follows the colon. */
static int
responder_type(const char *responder, const char **name)
{
	for (int i = 0; i < (int) lengthof(responder_types); i++) {
		size_t len = strlen(responder_types[i].type);

		if (strncmp(responder, responder_types[i].type, len) != 0 || responder[len] != ':')
			continue;
		*name = responder + len + 1;
		while (**name == ' ')
			(*name)++;
		return **name == '\0' ? -1 : i;
	}
	return -1;
}

static void
check(const ChannelConfig *config)
{
	List *responders = observ_config_list(config, "responders"), *tags = observ_config_list(config, "tags");
	const char *name;
	ListCell *cell;

	if (list_length(responders) > MAX_RESPONDERS)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"responders\" names more than %d", MAX_RESPONDERS));
	foreach (cell, responders)
		if (responder_type(lfirst(cell), &name) < 0)
			ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("field \"responders\" can't be read"), errdetail("\"%s\"", (char *) lfirst(cell)),
					errhint("Write team:NAME, user:MAIL, schedule:NAME or escalation:NAME."));
	if (list_length(tags) > MAX_TAGS)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"tags\" has more than %d", MAX_TAGS));
	foreach (cell, tags)
		if (observ_utf16_units(lfirst(cell)) > MAX_TAG)
			ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("a tag has at most %d characters", MAX_TAG),
					errdetail("\"%s\"", (char *) lfirst(cell)));
}

static void
put_responders(JsonWriter *w, const ChannelConfig *config)
{
	List *responders = observ_config_list(config, "responders");
	ListCell *cell;

	if (responders == NIL)
		return;
	observ_json_key(w, "responders");
	observ_json_open(w, '[');
	foreach (cell, responders) {
		const char *name;
		int type = responder_type(lfirst(cell), &name);

		observ_json_open(w, '{');
		observ_json_pair(w, "type", responder_types[type].type);
		observ_json_pair(w, responder_types[type].by, name);
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
}

static void
put_tags(JsonWriter *w, const ChannelConfig *config)
{
	ListCell *cell;

	observ_json_key(w, "tags");
	observ_json_open(w, '[');
	foreach (cell, observ_config_list(config, "tags"))
		observ_json_text(w, lfirst(cell));
	observ_json_close(w, ']');
}

/* Counts and links first, then common labels as long as there is room for them; how many there was none for. */
static void
put_details(JsonWriter *w, const Message *message)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n_links = observ_chat_links(message, MAX_DETAILS / 8, links), n_labels, left_out = 0;
	MessagePair *labels = observ_sorted_pairs(message->common_labels, &n_labels);
	int room = MAX_DETAILS - 200; /* for counts and their names */

	observ_json_key(w, "details");
	observ_json_open(w, '{');
	observ_json_pair(w, "firing", psprintf("%d", message->n_firing));
	observ_json_pair(w, "resolved", psprintf("%d", message->n_resolved));
	observ_json_pair(w, "notification_id", psprintf(INT64_FORMAT, message->notification_id));
	for (int i = 0; i < n_links; i++) {
		observ_json_pair(w, links[i].text, links[i].url);
		room -= (int) (strlen(links[i].text) + strlen(links[i].url));
	}
	for (int i = 0; i < n_labels; i++) {
		int size = observ_utf16_units(labels[i].name) + observ_utf16_units(labels[i].value) + 6;

		if (size > room) {
			left_out++;
			continue;
		}
		room -= size;
		observ_json_pair(w, psprintf("label:%s", labels[i].name), labels[i].value);
	}
	if (left_out > 0)
		observ_json_pair(w, "labels_left_out", psprintf("%d", left_out));
	observ_json_close(w, '}');
}

static void
put_alert(JsonWriter *w, const ChannelConfig *config, const Message *message)
{
	observ_json_pair(w, "message", observ_incident_summary(message, MAX_MESSAGE));
	observ_json_pair(w, "alias", observ_fit_units(message->incident_key, MAX_ALIAS, true, NULL));
	observ_json_pair(w, "description", observ_chat_plain(message, MAX_DESCRIPTION, false, NULL));
	put_responders(w, config);
	put_tags(w, config);
	put_details(w, message);
	observ_json_pair(w, "entity", observ_fit_units(observ_incident_source(message), MAX_ENTITY, true, NULL));
	observ_json_pair(w, "priority", priorities[message->severity]);
	observ_json_pair(w, "source",
					 observ_fit_units(psprintf("observ %s", message->channel), MAX_SOURCE, true, NULL));
}

/* Of closing and acknowledging. */
static void
put_action(JsonWriter *w, const Message *message, enum IncidentAction action)
{
	const char *user = action == INCIDENT_ACKNOWLEDGE ? observ_incident_acked_by(message) : NULL;

	observ_json_pair(w, "user", observ_fit_units(user != NULL ? user : "observ", MAX_USER, true, NULL));
	observ_json_pair(w, "source",
					 observ_fit_units(psprintf("observ %s", message->channel), MAX_SOURCE, true, NULL));
	observ_json_pair(w, "note",
					 observ_fit_units(psprintf("%s\n%s", observ_chat_title(message),
											   observ_chat_plain(message, MAX_DESCRIPTION, false, NULL)),
									  MAX_NOTE, false, NULL));
}

static void
render(const ChannelConfig *config, const Message *message, int step, int variant, ChannelRequest *request)
{
	enum IncidentAction action = observ_incident_action(message);
	StringInfoData url;
	JsonWriter w = observ_request_json(request);

	observ_request_header(request, "Authorization",
						  psprintf("GenieKey %s", observ_config_text(config, "api_key")));
	initStringInfo(&url);
	appendStringInfo(&url, "%s/v2/alerts", observ_base_url(config));
	observ_json_open(&w, '{');
	if (action == INCIDENT_OPEN)
		put_alert(&w, config, message);
	else {
		appendStringInfoChar(&url, '/');
		observ_put_urlencoded(&url, observ_fit_units(message->incident_key, MAX_ALIAS, true, NULL));
		appendStringInfo(&url, "/%s?identifierType=alias",
						 action == INCIDENT_CLOSE ? "close" : "acknowledge");
		put_action(&w, message, action);
	}
	observ_json_close(&w, '}');
	request->url = url.data;
}

static void
classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	static const IncidentAnswers where = {"$.requestId", "$.message", BUSY_WAIT_MS};

	observ_incident_classify(&where, config, answer, verdict);
}

const ChannelKind observ_channel_opsgenie = {
	.name = "opsgenie",
	.description = "Opsgenie: creates, acknowledges and closes an alert",
	.fields = fields,
	.wait_header = "X-RateLimit-Period-In-Sec",
	.concurrency = 4,
	.rate_limit = 120,
	.burst = 30,
	.check = check,
	.render = render,
	.classify = classify,
};
