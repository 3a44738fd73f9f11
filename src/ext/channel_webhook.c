/*
 * Kind webhook: the payload of Prometheus Alertmanager's webhooks, version 4, so that what receives those receives ours
 * (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config; field by field as Alertmanager 0.25 writes it). What Alertmanager does not have is
 * in the objects `observ`.
 */
#include "postgres.h"

#include "ext/channel_kind.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "core/hash.h"
#include "ext/message_parts.h"
#include "mb/pg_wchar.h"
#include "utils/timestamp.h"

/* What Alertmanager would send whole is cut where no receiver can have a use for it. */
#define MAX_TEXT (64 * 1024)   /* bytes of a label or annotation */
#define MAX_BODY (1024 * 1024) /* bytes after which alerts are counted only */

#define ZERO_TIME "0001-01-01T00:00:00Z" /* Go's time.Time{}: it has not ended */

static const ChannelField fields[] = {
	{.name = "url",
	 .type = FIELD_URL,
	 .required = true,
	 .help = "where to POST to; secret:NAME when the address itself is a secret"},
	{.name = "method",
	 .type = FIELD_CHOICE,
	 .fallback = "POST",
	 .choices = "POST, PUT, PATCH",
	 .help = "of HTTP"},
	{.name = "bearer_token", .type = FIELD_TEXT, .secret = true, .help = "sent as Authorization: Bearer …"},
	{.name = "user", .type = FIELD_TEXT, .help = "of HTTP's Basic authentication, together with password"},
	{.name = "password", .type = FIELD_TEXT, .secret = true, .help = "of user"},
	{.name = "headers", .type = FIELD_MAP, .secret = true, .help = "more headers: {\"X-Api-Key\": \"…\"}"},
	{.name = "signing_secret",
	 .type = FIELD_TEXT,
	 .secret = true,
	 .help =
		 "key of X-Observ-Signature: sha256= and the HMAC of X-Observ-Timestamp, a full stop and the body"},
	{.name = "max_alerts",
	 .type = FIELD_INTEGER,
	 .fallback = "0",
	 .min = 0,
	 .max = 1000,
	 .help = "how many alerts are listed at most; 0: as many as there are in a notification"},
	{.name = "receiver",
	 .type = FIELD_TEXT,
	 .help = "what to say as receiver instead of the name of the channel"},
	{NULL}};

static const char *const own_headers[] = {"Content-Type",       "Content-Length",     "Idempotency-Key",
										  "X-Observ-Timestamp", "X-Observ-Signature", "Host",
										  "Transfer-Encoding"};

static void
check_header(const char *name, bool authorized)
{
	bool taken = authorized && pg_strcasecmp(name, "Authorization") == 0;

	for (size_t i = 0; i < lengthof(own_headers); i++)
		taken = taken || pg_strcasecmp(name, own_headers[i]) == 0;
	if (taken)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("header \"%s\" of a channel of kind webhook is one that observ sets", name)));
}

static void
webhook_check(const ChannelConfig *config)
{
	bool token = observ_config_text(config, "bearer_token") != NULL,
		 user = observ_config_text(config, "user") != NULL,
		 password = observ_config_text(config, "password") != NULL;
	List *headers = observ_config_map(config, "headers");

	if (user != password)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("\"user\" and \"password\" of a channel of kind webhook come together")));
	if (token && user)
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a channel of kind webhook has either \"bearer_token\" or \"user\" and \"password\"")));
	for (int i = 0; i + 1 < list_length(headers); i += 2)
		check_header(list_nth(headers, i), token || user);
}

/* --- the payload */

/* As common/model has it: FNV-1a of 64 bits over names and values, each with a byte 255 behind it, sorted by name. */
static char *
am_fingerprint(const MessagePair *labels, int n)
{
	static const unsigned char separator = 255;
	uint64 hash = HASH_SEED;

	for (int i = 0; i < n; i++) {
		hash = hash_span(hash_string(hash, labels[i].name), &separator, 1);
		hash = hash_span(hash_string(hash, labels[i].value), &separator, 1);
	}
	return psprintf("%016" INT64_MODIFIER "x", hash);
}

static void
put_text(JsonWriter *w, const char *text)
{
	size_t len = strlen(text);

	if (len > MAX_TEXT)
		text = psprintf("%.*s...", pg_mbcliplen(text, (int) Min(len, INT_MAX), MAX_TEXT - 3), text);
	observ_json_text(w, text);
}

static void
put_pairs(JsonWriter *w, const char *key, const MessagePair *pairs, int n)
{
	observ_json_key(w, key);
	observ_json_open(w, '{');
	for (int i = 0; i < n; i++) {
		observ_json_key(w, pairs[i].name);
		put_text(w, pairs[i].value);
	}
	observ_json_close(w, '}');
}

static void
put_object(JsonWriter *w, const char *key, Jsonb *object)
{
	int n;
	const MessagePair *pairs = observ_sorted_texts(object, &n);

	put_pairs(w, key, pairs, n);
}

static void
put_number(JsonWriter *w, const char *key, double number)
{
	observ_json_key(w, key);
	observ_json_number(w, number);
}

static void
put_boolean(JsonWriter *w, const char *key, bool value)
{
	observ_json_key(w, key);
	observ_json_boolean(w, value);
}

static void
put_nullable(JsonWriter *w, const char *key, const char *text)
{
	observ_json_key(w, key);
	observ_json_text(w, text);
}

static void
put_time(JsonWriter *w, const char *key, TimestampTz time)
{
	const char *text = observ_time_text(time, 6);

	observ_json_pair(w, key, text == NULL ? ZERO_TIME : text);
}

/* What Alertmanager does not know of an alert. */
static void
put_particulars(JsonWriter *w, const MessageAlert *alert)
{
	observ_json_key(w, "observ");
	observ_json_open(w, '{');
	observ_json_key(w, "alert_id");
	observ_json_integer(w, alert->alert_id);
	observ_json_pair(w, "fingerprint", alert->fingerprint);
	observ_json_pair(w, "mark", observ_mark_word(alert->mark));
	observ_json_pair(w, "severity", observ_severity_name(alert->severity));
	observ_json_pair(w, "instance", alert->instance);
	put_number(w, "value", alert->value);
	put_number(w, "peak", alert->peak);
	put_number(w, "threshold", alert->threshold);
	put_number(w, "duration_seconds", alert->duration_seconds);
	put_nullable(w, "acked_by", alert->acked_by);
	put_nullable(w, "resolved_reason", alert->resolved_reason);
	put_boolean(w, "flapping", alert->flapping);
	put_boolean(w, "stale", alert->stale);
	put_boolean(w, "reopened", alert->reopened);
	put_nullable(w, "explain_url", alert->explain_url);
	put_nullable(w, "silence_url", alert->silence_url);
	observ_json_close(w, '}');
}

static void
put_alert(JsonWriter *w, const MessageAlert *alert)
{
	int n;
	const MessagePair *labels = observ_sorted_pairs(alert->labels, &n);

	observ_json_open(w, '{');
	observ_json_pair(w, "status", alert->firing ? "firing" : "resolved");
	put_pairs(w, "labels", labels, n);
	put_object(w, "annotations", alert->annotations);
	put_time(w, "startsAt", alert->starts_at);
	put_time(w, "endsAt", alert->ends_at);
	observ_json_pair(w, "generatorURL", alert->explain_url == NULL ? "" : alert->explain_url);
	observ_json_pair(w, "fingerprint", am_fingerprint(labels, n));
	put_particulars(w, alert);
	observ_json_close(w, '}');
}

/* What Alertmanager does not know of a notification. */
static void
put_notification(JsonWriter *w, const Message *message)
{
	observ_json_key(w, "observ");
	observ_json_open(w, '{');
	observ_json_key(w, "notification_id");
	observ_json_integer(w, message->notification_id);
	observ_json_key(w, "seq");
	observ_json_integer(w, message->seq);
	observ_json_key(w, "attempt");
	observ_json_integer(w, message->attempt);
	observ_json_pair(w, "incident_key", message->incident_key);
	observ_json_pair(w, "idempotency_key", message->idempotency_key);
	put_nullable(w, "route", message->route);
	observ_json_pair(w, "reason", message->reason);
	observ_json_pair(w, "severity", observ_severity_name(message->severity));
	put_nullable(w, "timestamp", observ_time_text(message->at, 6));
	put_boolean(w, "test", message->test);
	observ_json_key(w, "firing");
	observ_json_integer(w, message->n_firing);
	observ_json_key(w, "resolved");
	observ_json_integer(w, message->n_resolved);
	observ_json_key(w, "title");
	put_text(w, message->title);
	if (message->body != NULL) {
		observ_json_key(w, "text");
		put_text(w, message->body);
	}
	put_nullable(w, "url", message->url);
	observ_json_close(w, '}');
}

/* Alertmanager takes a receiver for a regular expression in its templates, and so quotes what means something there. */
static char *
receiver_of(const ChannelConfig *config, const Message *message)
{
	const char *name = observ_config_text(config, "receiver");
	StringInfoData out;

	initStringInfo(&out);
	for (const char *p = name == NULL ? message->channel : name; *p != '\0'; p++) {
		if (strchr("\\.+*?()|[]{}^$", *p) != NULL)
			appendStringInfoChar(&out, '\\');
		appendStringInfoChar(&out, *p);
	}
	return out.data;
}

static void
put_payload(JsonWriter *w, const ChannelConfig *config, const Message *message)
{
	int64 max = observ_config_integer(config, "max_alerts");
	int listed = 0;

	observ_json_open(w, '{');
	observ_json_pair(w, "receiver", receiver_of(config, message));
	observ_json_pair(w, "status", message->firing ? "firing" : "resolved");
	observ_json_key(w, "alerts");
	observ_json_open(w, '[');
	for (; listed < message->n_alerts && (max == 0 || listed < max) && w->out->len < MAX_BODY; listed++)
		put_alert(w, &message->alerts[listed]);
	observ_json_close(w, ']');
	put_object(w, "groupLabels", message->group_labels);
	put_object(w, "commonLabels", message->common_labels);
	put_object(w, "commonAnnotations", message->common_annotations);
	observ_json_pair(w, "externalURL", message->external_url == NULL ? "" : message->external_url);
	observ_json_pair(w, "version", "4");
	observ_json_pair(w, "groupKey", message->am_group_key);
	observ_json_key(w, "truncatedAlerts");
	observ_json_integer(w, message->n_alerts + message->left_out - listed);
	put_notification(w, message);
	observ_json_close(w, '}');
}

/* --- the request */

/* The time is that of the attempt's claim: the same request, rendered again, is signed the same. */
static void
sign(ChannelRequest *request, const char *secret, TimestampTz now)
{
	pg_time_t time = timestamptz_to_time_t(now);
	char *stamp = psprintf(INT64_FORMAT, (int64) time);
	char *signed_text = psprintf("%s.%s", stamp, request->body.data);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size;
	StringInfoData signature;

	/* Not pg_hmac_create(): it wants a resource owner, and kinds render outside of transactions. */
	if (HMAC(EVP_sha256(), secret, (int) strlen(secret), (const unsigned char *) signed_text,
			 strlen(signed_text), digest, &size) == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not sign a notification")));
	initStringInfo(&signature);
	appendStringInfoString(&signature, "sha256=");
	for (unsigned i = 0; i < size; i++)
		appendStringInfo(&signature, "%02x", digest[i]);
	observ_request_header(request, "X-Observ-Timestamp", stamp);
	observ_request_header(request, "X-Observ-Signature", signature.data);
}

static void
webhook_render(const ChannelConfig *config, const Message *message, int step, int variant,
			   ChannelRequest *request)
{
	JsonWriter w = observ_request_json(request);
	const char *token = observ_config_text(config, "bearer_token"),
			   *secret = observ_config_text(config, "signing_secret");
	List *headers = observ_config_map(config, "headers");

	request->url = observ_config_text(config, "url");
	request->method = observ_config_text(config, "method");
	request->user = observ_config_text(config, "user");
	request->password = observ_config_text(config, "password");
	put_payload(&w, config, message);
	observ_request_header(request, "Idempotency-Key", message->idempotency_key);
	if (token != NULL)
		observ_request_header(request, "Authorization", psprintf("Bearer %s", token));
	for (int i = 0; i + 1 < list_length(headers); i += 2)
		observ_request_header(request, list_nth(headers, i), list_nth(headers, i + 1));
	if (secret != NULL)
		sign(request, secret, message->now != 0 ? message->now : message->at);
}

const ChannelKind observ_channel_webhook = {
	.name = "webhook",
	.description = "HTTP request with the payload of Alertmanager's webhooks",
	.fields = fields,
	.concurrency = 200,
	.check = webhook_check,
	.render = webhook_render,
};
