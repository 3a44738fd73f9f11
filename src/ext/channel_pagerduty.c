/*
 * PagerDuty, Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/overview/): one event per notification.
 * The incident_key is the dedup_key: a second event of an incident opens no second one, whatever is sent again.
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include "ext/chat_text.h"
#include "ext/incident.h"
#include "ext/secrets.h"

#define MAX_SUMMARY  1024
#define MAX_TEXT     1024   /* source, component, group, class */
#define MAX_KEY      255    /* dedup_key */
#define MAX_BODY     524288 /* 512 kB */
#define MAX_DETAILS  20000  /* characters of the list of alerts */
#define MAX_URL      2000
#define MAX_LINKS    10
#define ROUTING_KEY  32     /* characters */
#define BUSY_WAIT_MS 120000 /* "back off minutes", when they don't say how long */

static const ChannelField fields[] = {
	{.name = "routing_key",
	 .type = FIELD_TEXT,
	 .required = true,
	 .secret = true,
	 .help = "integration key of an Events API v2 integration, 32 characters"},
	{.name = "url",
	 .type = FIELD_URL,
	 .fallback = "https://events.pagerduty.com",
	 .help = "https://events.eu.pagerduty.com for accounts in the EU"},
	{.name = "component", .type = FIELD_TEXT, .help = "component of the payload"},
	{.name = "client", .type = FIELD_TEXT, .fallback = "observ", .help = "who PagerDuty says it is from"},
	{0},
};

/* By our severities, info to emergency. */
static const char *const severities[] = {"info",  "info",     "warning", "warning",
										 "error", "critical", "critical"};
static const char *const actions[] = {
	[INCIDENT_OPEN] = "trigger", [INCIDENT_ACKNOWLEDGE] = "acknowledge", [INCIDENT_CLOSE] = "resolve"};

static void
check(const ChannelConfig *config)
{
	const char *key = observ_config_text(config, "routing_key");

	if (strncmp(key, OBSERV_SECRET_PREFIX, strlen(OBSERV_SECRET_PREFIX)) == 0)
		return;
	if (strlen(key) != ROUTING_KEY)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("field \"routing_key\" has %d characters, not %d", (int) strlen(key), ROUTING_KEY),
				errhint("Take the integration key of an \"Events API v2\" integration of the service."));
}

/* What there is to be known beside the summary; `brief`: only what can't be long. */
static void
put_details(JsonWriter *w, const Message *message, bool brief)
{
	int listed = 0;

	observ_json_key(w, "custom_details");
	observ_json_open(w, '{');
	observ_json_pair(w, "reason", message->reason);
	observ_json_key(w, "firing");
	observ_json_integer(w, message->n_firing);
	observ_json_key(w, "resolved");
	observ_json_integer(w, message->n_resolved);
	if (!brief) {
		observ_json_pair(w, "alerts", observ_message_text(message, MAX_DETAILS, &listed));
		observ_json_key(w, "labels");
		observ_json_jsonb(w, message->common_labels);
		observ_json_key(w, "annotations");
		observ_json_jsonb(w, message->common_annotations);
	}
	observ_json_key(w, "left_out");
	observ_json_integer(w, message->n_alerts + message->left_out - listed);
	observ_json_key(w, "notification_id");
	observ_json_integer(w, message->notification_id);
	observ_json_close(w, '}');
}

static void
put_payload(JsonWriter *w, const ChannelConfig *config, const Message *message, bool brief)
{
	const char *component = observ_config_text(config, "component");

	observ_json_key(w, "payload");
	observ_json_open(w, '{');
	observ_json_pair(w, "summary", observ_incident_summary(message, MAX_SUMMARY));
	observ_json_pair(w, "source", observ_fit_units(observ_incident_source(message), MAX_TEXT, true, NULL));
	observ_json_pair(w, "severity", severities[message->severity]);
	observ_json_pair(w, "timestamp", observ_time_text(message->at, 3));
	if (component != NULL)
		observ_json_pair(w, "component", observ_fit_units(component, MAX_TEXT, true, NULL));
	if (!observ_text_is_blank(message->route))
		observ_json_pair(w, "group", observ_fit_units(message->route, MAX_TEXT, true, NULL));
	if (message->n_alerts > 0 && !observ_text_is_blank(message->alerts[0].name))
		observ_json_pair(w, "class", observ_fit_units(message->alerts[0].name, MAX_TEXT, true, NULL));
	put_details(w, message, brief);
	observ_json_close(w, '}');
}

static void
put_links(JsonWriter *w, const Message *message)
{
	ChatLink links[CHAT_MAX_LINKS];
	int n = observ_chat_links(message, MAX_URL, links);

	StaticAssertStmt(CHAT_MAX_LINKS <= MAX_LINKS, "more links than an event takes");
	observ_json_key(w, "links");
	observ_json_open(w, '[');
	for (int i = 0; i < n; i++) {
		observ_json_open(w, '{');
		observ_json_pair(w, "href", links[i].url);
		observ_json_pair(w, "text", links[i].text);
		observ_json_close(w, '}');
	}
	observ_json_close(w, ']');
}

static void
put_event(JsonWriter w, const ChannelConfig *config, const Message *message, bool brief)
{
	enum IncidentAction action = observ_incident_action(message);

	resetStringInfo(w.out);
	observ_json_open(&w, '{');
	observ_json_pair(&w, "routing_key", observ_config_text(config, "routing_key"));
	observ_json_pair(&w, "event_action", actions[action]);
	observ_json_pair(&w, "dedup_key", observ_fit_units(message->incident_key, MAX_KEY, true, NULL));
	if (action == INCIDENT_OPEN) {
		put_payload(&w, config, message, brief);
		put_links(&w, message);
		observ_json_pair(&w, "client",
						 observ_fit_units(observ_config_text(config, "client"), MAX_TEXT, true, NULL));
		if (observ_link_usable(message->external_url, MAX_URL, false))
			observ_json_pair(&w, "client_url", message->external_url);
	}
	observ_json_close(&w, '}');
}

static void
render(const ChannelConfig *config, const Message *message, int step, int variant, ChannelRequest *request)
{
	JsonWriter w = observ_request_json(request);

	request->url = psprintf("%s/v2/enqueue", observ_base_url(config));
	put_event(w, config, message, false);
	if (request->body.len > MAX_BODY)
		put_event(w, config, message, true);
}

static void
classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	static const IncidentAnswers where = {"$.dedup_key", "$.errors[0]", BUSY_WAIT_MS};

	observ_incident_classify(&where, config, answer, verdict);
}

const ChannelKind observ_channel_pagerduty = {
	.name = "pagerduty",
	.description = "PagerDuty, Events API v2: opens, acknowledges and resolves an incident",
	.fields = fields,
	.concurrency = 4,
	.rate_limit = 120,
	.burst = 30,
	.check = check,
	.render = render,
	.classify = classify,
};
