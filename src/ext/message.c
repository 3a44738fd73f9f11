/*
 * Messages: what a row of the outbox says now. What does not belong here: bringing alerts up to date (message_refresh.c), labels (message_labels.c), texts
 * (message_text.c), templates (message_values.c), services (channel_*.c).
 */
#include "postgres.h"

#include "ext/message.h"

#include <math.h>

#include "ext/channel_kind.h"
#include "ext/gucs.h"
#include "ext/label_matchers.h"
#include "ext/message_parts.h"
#include "ext/notification_text.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* Of a link to make a silence: mail programs and chats cut longer ones. */
#define MAX_MATCHERS_LENGTH 1500 /* bytes */

/* --- reading the objects of observ.notifications.alerts */

static bool
find(JsonbContainer *object, const char *key, JsonbValue *v)
{
	return getKeyJsonValueFromContainer(object, key, (int) strlen(key), v) != NULL;
}

static const char *
find_text(JsonbContainer *object, const char *key)
{
	JsonbValue v;

	if (!find(object, key, &v) || v.type != jbvString)
		return NULL;
	return pnstrdup(v.val.string.val, v.val.string.len);
}

static double
find_number(JsonbContainer *object, const char *key)
{
	JsonbValue v;

	if (!find(object, key, &v) || v.type != jbvNumeric)
		return NAN;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(v.val.numeric)));
}

static bool
find_boolean(JsonbContainer *object, const char *key)
{
	JsonbValue v;

	return find(object, key, &v) && v.type == jbvBool && v.val.boolean;
}

/* 0: none. */
static TimestampTz
find_time(JsonbContainer *object, const char *key)
{
	const char *text = find_text(object, key);

	if (text == NULL)
		return 0;
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static Jsonb *
empty_object(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static Jsonb *
find_object(JsonbContainer *object, const char *key)
{
	JsonbValue v;

	if (!find(object, key, &v) || v.type != jbvBinary || !JsonContainerIsObject(v.val.binary.data))
		return empty_object();
	return JsonbValueToJsonb(&v);
}

static const char *
label_text(Jsonb *object, const char *name)
{
	return object == NULL || !JB_ROOT_IS_OBJECT(object) ? NULL : find_text(&object->root, name);
}

int
observ_severity_number(const char *name)
{
	for (int i = 0; name != NULL && i < OBSERV_SEVERITIES; i++)
		if (strcmp(name, observ_severity_name(i)) == 0)
			return i;
	return 0;
}

static enum mark
mark_of(const char *name)
{
	for (int mark = MARK_NEW; name != NULL && mark <= MARK_RESOLVED; mark++)
		if (strcmp(name, observ_mark_name((enum mark) mark)) == 0)
			return (enum mark) mark;
	return MARK_STILL;
}

static void
read_alert(JsonbContainer *object, MessageAlert *alert)
{
	double id = find_number(object, "alert_id"), reopened = find_number(object, "reopened");

	*alert = (MessageAlert){
		.alert_id = isnan(id) ? 0 : (int64) id,
		.fingerprint = find_text(object, "fingerprint"),
		.mark = mark_of(find_text(object, "mark")),
		.severity = observ_severity_number(find_text(object, "severity")),
		.labels = find_object(object, "labels"),
		.annotations = find_object(object, "annotations"),
		.summary = find_text(object, "summary"),
		.description = find_text(object, "description"),
		.value = find_number(object, "value"),
		.peak = find_number(object, "peak"),
		.threshold = NAN,
		.starts_at = find_time(object, "starts_at"),
		.ends_at = find_time(object, "ends_at"),
		.duration_seconds = find_number(object, "duration_seconds"),
		.acked_by = find_text(object, "acked_by"),
		.resolved_reason = find_text(object, "resolved_reason"),
		.flapping = find_boolean(object, "flapping"),
		.stale = find_boolean(object, "stale"),
		.reopened = !isnan(reopened) && reopened > 0,
	};
	alert->firing = alert->mark != MARK_RESOLVED;
}

static void
read_alerts(Jsonb *alerts, Message *message)
{
	int n = JB_ROOT_IS_ARRAY(alerts) ? (int) JB_ROOT_COUNT(alerts) : 0;

	message->alerts = palloc(sizeof(MessageAlert) * (Size) (n + 1));
	for (int i = 0; i < n; i++) {
		JsonbValue *v = getIthJsonbValueFromContainer(&alerts->root, (uint32) i);

		if (v != NULL && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data))
			read_alert(v->val.binary.data, &message->alerts[message->n_alerts++]);
	}
}

/* --- links */

static void
put_matcher(StringInfo out, const char *name, const char *value)
{
	if (*name == '\0')
		return;
	if (out->len > 1)
		appendStringInfoChar(out, ',');
	observ_put_matcher(out, name, value);
}

/* What silences this alert and no other; when that is too long, or more than matchers can be, its name and instance. */
static char *
silence_url(const char *external, const MessageAlert *alert)
{
	const char *instance = label_text(alert->labels, "instance") != NULL ? "instance" : "vps_name";
	StringInfoData matchers, url;
	int n;
	MessagePair *labels = observ_sorted_pairs(alert->labels, &n);

	initStringInfo(&matchers);
	appendStringInfoChar(&matchers, '{');
	for (int i = 0; i < n; i++)
		put_matcher(&matchers, labels[i].name, labels[i].value);
	if (matchers.len > MAX_MATCHERS_LENGTH || n > MATCHERS_MAX) {
		matchers.len = 1;
		matchers.data[1] = '\0';
		put_matcher(&matchers, "alertname", alert->name);
		if (alert->instance[0] != '\0')
			put_matcher(&matchers, instance, alert->instance);
	}
	appendStringInfoChar(&matchers, '}');
	initStringInfo(&url);
	appendStringInfo(&url, "%s/silences/new?matchers=", external);
	observ_put_urlencoded(&url, matchers.data);
	return url.data;
}

/* observ.external_url without slashes at its end; NULL: none. */
static const char *
external_url(void)
{
	char *url = pstrdup(observ_external_url);
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		url[--len] = '\0';
	return len > 0 ? url : NULL;
}

/* --- what follows from the rest */

/* 0: it is not known, or below. */
static double
seconds_between(TimestampTz from, TimestampTz to)
{
	if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to) || to < from)
		return 0;
	return ((double) to - (double) from) / USECS_PER_SEC;
}

static void
complete_alert(const Message *message, MessageAlert *alert)
{
	const char *name = label_text(alert->labels, "alertname");
	const char *instance = label_text(alert->labels, "instance");

	if (instance == NULL)
		instance = label_text(alert->labels, "vps_name");
	alert->name = name == NULL ? "" : name;
	alert->instance = instance == NULL ? "" : instance;
	alert->runbook_url = label_text(alert->annotations, "runbook_url");
	if (alert->fingerprint == NULL)
		alert->fingerprint = "";
	if (alert->firing && message->now != 0 && alert->starts_at != 0)
		alert->duration_seconds = seconds_between(alert->starts_at, message->now);
	else if (!alert->firing && alert->starts_at != 0 && alert->ends_at != 0)
		alert->duration_seconds = seconds_between(alert->starts_at, alert->ends_at);
	else if (isnan(alert->duration_seconds))
		alert->duration_seconds = 0;
	if (message->external_url != NULL) {
		alert->silence_url = silence_url(message->external_url, alert);
		alert->explain_url = psprintf("%s/alerts/" INT64_FORMAT, message->external_url, alert->alert_id);
	}
}

/* new, still, resolved; in each by severity, then instance, then age. */
static int
compare_alerts(const void *a, const void *b)
{
	const MessageAlert *x = a, *y = b;
	int order;

	if (x->mark != y->mark)
		return x->mark < y->mark ? -1 : 1;
	if (x->severity != y->severity)
		return x->severity > y->severity ? -1 : 1;
	order = strcmp(x->instance, y->instance);
	if (order != 0)
		return order;
	return x->alert_id < y->alert_id ? -1 : x->alert_id > y->alert_id;
}

/* Of the outbox, unless its numbers don't hold any more. */
static const char *
usual_title(const MessageSource *source, const Message *message, bool renumbered)
{
	NotificationCounts counts = {.firing = message->n_firing, .resolved = message->n_resolved};
	bool flapping = strcmp(source->reason, notify_reason_names[NOTIFY_FLAPPING]) == 0;

	if (!renumbered)
		return source->title;
	/* Of those that are not listed it is not known, but where nothing was delivered yet. */
	if (source->delivered_seq == 0)
		counts.fresh = message->n_firing;
	for (int i = 0; i < message->n_alerts && source->delivered_seq > 0 && message->left_out == 0; i++)
		counts.fresh += message->alerts[i].mark == MARK_NEW;
	return observ_notification_title(flapping ? NOTIFY_FLAPPING : NOTIFY_NOT, &counts, source->group_labels,
									 source->route);
}

static bool
is_test(const Message *message)
{
	for (int i = 0; i < message->n_alerts; i++)
		if (label_text(message->alerts[i].labels, OBSERV_TEST_LABEL) == NULL)
			return false;
	return message->n_alerts > 0;
}

/* All that follows from the alerts. */
static void
complete(Message *message)
{
	message->external_url = external_url();
	if (message->external_url != NULL)
		message->url = psprintf("%s/alerts?group=%s", message->external_url, message->group_key);
	for (int i = 0; i < message->n_alerts; i++)
		complete_alert(message, &message->alerts[i]);
	qsort(message->alerts, (size_t) message->n_alerts, sizeof *message->alerts, compare_alerts);
	message->firing = message->n_firing > 0;
	message->left_out = Max(message->n_firing + message->n_resolved - message->n_alerts, 0);
	message->test = is_test(message);
	message->common_labels = observ_common_texts(message, false);
	message->common_annotations = observ_common_texts(message, true);
}

Message *
observ_message(const MessageSource *source)
{
	Message *message = palloc(sizeof *message);
	bool renumbered = false;

	*message = (Message){
		.notification_id = source->notification_id,
		.seq = source->seq,
		.attempt = source->attempt,
		.channel = source->channel,
		.group_key = source->group_key,
		.route = source->route,
		.incident_key = source->incident_key,
		.idempotency_key = source->idempotency_key,
		.reason = source->reason,
		.at = source->at,
		.now = source->now,
		.severity = source->severity,
		.group_labels = source->group_labels,
		.n_firing = source->firing,
		.n_resolved = source->resolved,
	};
	read_alerts(source->alerts, message);
	if (source->now != 0)
		renumbered = observ_refresh_message(source, message);
	complete(message);
	message->am_group_key = observ_am_group_key(source->route, source->group_labels);
	message->usual_title = message->title = usual_title(source, message, renumbered);
	observ_apply_templates(&source->templates, message);
	return message;
}

/* --- a message that is about nothing */

static Jsonb *
object_of(const char *const *texts)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; texts[i] != NULL; i++) {
		JsonbValue v = {.type = jbvString,
						.val.string = {.val = (char *) texts[i], .len = (int) strlen(texts[i])}};

		pushJsonbValue(&state, i % 2 == 0 ? WJB_KEY : WJB_VALUE, &v);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Message *
observ_test_message(const char *channel, const char *idempotency_key, TimestampTz at,
					const MessageTemplates *templates)
{
	static const char *const labels[] = {
		"alertname", "TestNotification", "severity", "info", OBSERV_TEST_LABEL, "true", NULL};
	static const char *const group[] = {"alertname", "TestNotification", NULL};
	const char *summary = psprintf("A test of channel %s: it works when you can read this", channel);
	const char *const annotations[] = {"summary", summary, NULL};
	Message *message = palloc(sizeof *message);

	*message = (Message){.attempt = 1,
						 .seq = 1,
						 .channel = channel,
						 .group_key = idempotency_key,
						 .route = "test",
						 .incident_key = idempotency_key,
						 .idempotency_key = idempotency_key,
						 .reason = "test",
						 .at = at,
						 .now = at,
						 .group_labels = object_of(group),
						 .n_firing = 1,
						 .n_alerts = 1,
						 .am_group_key = "{}:{alertname=\"TestNotification\"}",
						 .usual_title = "[FIRING:1 (1 new)] TestNotification",
						 .title = "[FIRING:1 (1 new)] TestNotification"};
	message->alerts = palloc(sizeof(MessageAlert));
	message->alerts[0] = (MessageAlert){.fingerprint = "",
										.mark = MARK_NEW,
										.firing = true,
										.labels = object_of(labels),
										.annotations = object_of(annotations),
										.summary = summary,
										.value = NAN,
										.peak = NAN,
										.threshold = NAN,
										.starts_at = at};
	complete(message);
	observ_apply_templates(templates, message);
	return message;
}
