/*
 * Appwrite Messaging (https://appwrite.io/docs/references/cloud/server-rest/messaging): push notifications or text messages to topics, users and
 * targets. The messageId is made of the idempotency_key, so that what is sent again is answered with 409, which is as good as sent.
 *
 * 201 says that Appwrite has queued the message, not that anybody has it. Asking what became of it at once would hear "processing", and asking later
 * would be polling: the id is kept as receipt instead, and docs/channels.md says where to look.
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include "ext/chat_text.h"
#include "ext/sms_message.h"

#define MAX_ID    36
#define MAX_TITLE 256
#define MAX_PUSH                                                                                             \
	1500 /* bytes of body: Appwrite takes 64,230, but FCM and APNs 4 kB for all there is in a push */
#define MAX_ATTRIBUTE 256 /* action, tag, icon, sound, color, each value of data */

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .fallback = "https://cloud.appwrite.io/v1",
	 .help = "API endpoint of the project, with /v1"},
	{.name = "project", .type = FIELD_TEXT, .required = true, .help = "id of the project"},
	{.name = "key",
	 .type = FIELD_TEXT,
	 .required = true,
	 .secret = true,
	 .help = "API key with the scope messages.write"},
	{.name = "type",
	 .type = FIELD_CHOICE,
	 .fallback = "push",
	 .choices = "push, sms",
	 .help = "what is sent"},
	{.name = "topics", .type = FIELD_LIST, .help = "ids of topics"},
	{.name = "users", .type = FIELD_LIST, .help = "ids of users"},
	{.name = "targets", .type = FIELD_LIST, .help = "ids of targets; for sms they must be telephone numbers"},
	{.name = "critical",
	 .type = FIELD_BOOLEAN,
	 .fallback = "true",
	 .help = "emergencies as critical alerts of iOS, for apps that Apple allows them"},
	{.name = "sound", .type = FIELD_TEXT, .help = "name of the sound of a push"},
	{.name = "icon", .type = FIELD_TEXT, .help = "icon of a push on Android"},
	{.name = "segments",
	 .type = FIELD_INTEGER,
	 .fallback = "2",
	 .min = 1,
	 .max = SMS_SEGMENTS_MAX,
	 .help = "parts that a text message is cut to"},
	{0},
};

static const char *const recipients[] = {"topics", "users", "targets"};

static bool
is_push(const ChannelConfig *config)
{
	return strcmp(observ_config_text(config, "type"), "push") == 0;
}

static void
check(const ChannelConfig *config)
{
	bool any = false;

	for (int i = 0; i < (int) lengthof(recipients); i++)
		any = any || observ_config_list(config, recipients[i]) != NIL;
	if (!any)
		ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("an appwrite channel needs somebody to send to"),
				errhint("Give \"topics\", \"users\" or \"targets\"."));
}

/* a-z, A-Z, 0-9, '.', '_', '-', not one of these three at the beginning; the same for each attempt. */
static char *
message_id(const Message *message)
{
	char *id = psprintf("%.*s", MAX_ID, message->idempotency_key);

	for (char *c = id; *c != '\0'; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			  (c > id && strchr("._-", *c) != NULL)))
			*c = c == id ? 'x' : '_';
	return id;
}

static void
put_recipients(JsonWriter *w, const ChannelConfig *config)
{
	for (int i = 0; i < (int) lengthof(recipients); i++) {
		ListCell *cell;

		observ_json_key(w, recipients[i]);
		observ_json_open(w, '[');
		foreach (cell, observ_config_list(config, recipients[i]))
			observ_json_text(w, lfirst(cell));
		observ_json_close(w, ']');
	}
}

/* What an app gets beside what people see. Texts all, as FCM wants them. */
static void
put_data(JsonWriter *w, const Message *message, const char *url)
{
	observ_json_key(w, "data");
	observ_json_open(w, '{');
	observ_json_pair(w, "notification_id", psprintf(INT64_FORMAT, message->notification_id));
	observ_json_pair(w, "incident_key", observ_fit_units(message->incident_key, MAX_ATTRIBUTE, true, NULL));
	observ_json_pair(w, "state", message->firing ? "firing" : "resolved");
	observ_json_pair(w, "severity", observ_severity_name(message->severity));
	observ_json_pair(w, "reason", observ_fit_units(message->reason, MAX_ATTRIBUTE, true, NULL));
	observ_json_pair(w, "firing", psprintf("%d", message->n_firing));
	observ_json_pair(w, "resolved", psprintf("%d", message->n_resolved));
	observ_json_pair(w, "url", url);
	observ_json_close(w, '}');
}

static void
put_push(JsonWriter *w, const ChannelConfig *config, const Message *message)
{
	const char *url = observ_link_usable(message->url, MAX_ATTRIBUTE, false) ? message->url : NULL;
	bool urgent = message->firing && message->severity >= 4; /* high */

	observ_json_pair(w, "title", observ_fit_units(observ_chat_title(message), MAX_TITLE, true, NULL));
	observ_json_pair(w, "body", observ_chat_plain(message, MAX_PUSH, true, NULL));
	put_data(w, message, url);
	observ_json_pair(w, "action", url);
	observ_json_pair(w, "icon", observ_config_text(config, "icon"));
	observ_json_pair(w, "sound", observ_config_text(config, "sound"));
	observ_json_pair(w, "color", psprintf("#%06X", observ_chat_color(message)));
	/* Android shows one notification per tag: the latest of the incident. */
	observ_json_pair(w, "tag", observ_fit_units(message->incident_key, MAX_ATTRIBUTE, true, NULL));
	observ_json_pair(w, "priority", urgent ? "high" : "normal");
	if (message->firing && message->severity == OBSERV_SEVERITIES - 1 &&
		observ_config_boolean(config, "critical")) {
		observ_json_key(w, "critical");
		observ_json_boolean(w, true);
	}
}

static void
render(const ChannelConfig *config, const Message *message, int step, int variant, ChannelRequest *request)
{
	bool push = is_push(config);
	JsonWriter w = observ_request_json(request);

	request->url = psprintf("%s/messaging/messages/%s", observ_base_url(config), push ? "push" : "sms");
	observ_request_header(request, "X-Appwrite-Project", observ_config_text(config, "project"));
	observ_request_header(request, "X-Appwrite-Key", observ_config_text(config, "key"));
	observ_request_header(request, "X-Appwrite-Response-Format", "1.6.0");
	observ_json_open(&w, '{');
	observ_json_pair(&w, "messageId", message_id(message));
	if (push)
		put_push(&w, config, message);
	else
		observ_json_pair(&w, "content",
						 observ_sms_message(message, (int) observ_config_integer(config, "segments")));
	put_recipients(&w, config);
	observ_json_close(&w, '}');
}

static void
classify(const ChannelConfig *config, const ChannelAnswer *answer, int variant, ChannelVerdict *verdict)
{
	const char *error;

	observ_classify_http(answer, verdict);
	/* That messageId is there already: an earlier attempt whose answer was lost. */
	if (answer->status == 409) {
		verdict->outcome = CHANNEL_SENT;
		verdict->error = NULL;
	}
	if (verdict->outcome == CHANNEL_SENT)
		verdict->receipt = observ_answer_text(answer, "$[\"$id\"]");
	else if (answer->status >= 400 && (error = observ_answer_text(answer, "$.message")) != NULL)
		observ_verdict(verdict, verdict->outcome, "%s", error);
}

const ChannelKind observ_channel_appwrite = {
	.name = "appwrite",
	.description = "Appwrite Messaging: push or SMS to topics, users and targets",
	.fields = fields,
	.concurrency = 4,
	.check = check,
	.render = render,
	.classify = classify,
};
