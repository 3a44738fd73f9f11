#include "postgres.h"

#include "ext/delivery.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "core/address_guard.h"
#include "ext/gucs.h"
#include "ext/versions.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define CONNECT_TIMEOUT_MS 3000
#define MAX_ANSWER         65536 /* bytes that are read */
#define MAX_LOOKED_AT      4096  /* of these, for the excerpt */
#define MAX_TEXT           1024  /* of an excerpt, of an error */
#define MAX_FOLLOW_UPS     3

struct DeliveryRun {
	struct transfers *transfers;
	struct transfer *transfer; /* NULL: none under way */
	Delivery *delivery;
	DeliveryDone done;
	void *arg;
	const struct transfer_response *response; /* while it is judged */
	TimestampTz deadline;                     /* of all requests of this attempt */
	int follow_ups;
	double latency_ms; /* of all of them; -1: nothing was sent */
	DeliveryResult *result;
};

static void on_answer(void *arg, const struct transfer_response *response);

/*
 * Runs a step in the delivery's memory. NULL, or what it raised. Steps hold no resources and read no tables, so nothing has to be undone; they are
 * not interrupted, so what they raise is no cancel.
 */
static const char *
guarded(DeliveryRun *run, void (*step)(DeliveryRun *run))
{
	MemoryContext before = MemoryContextSwitchTo(run->delivery->context);
	uint32 held = InterruptHoldoffCount; /* an error that is raised forgets it */
	const char *volatile error = NULL;

	HOLD_INTERRUPTS();
	PG_TRY();
	{
		step(run);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->delivery->context);
		error = CopyErrorData()->message;
		FlushErrorState();
	}
	PG_END_TRY();
	InterruptHoldoffCount = held;
	MemoryContextSwitchTo(before);
	return error;
}

/* ---- texts that came from outside */

/* Valid in the encoding of the database, without control characters but line ends; what is neither is a question mark. */
static char *
clean_text(const char *bytes, int len)
{
	StringInfoData out;
	int encoding = GetDatabaseEncoding();

	initStringInfo(&out);
	while (len > 0 && *bytes != '\0') {
		int width = pg_encoding_verifymbchar(encoding, bytes, len);

		if (width == 1 && ((unsigned char) *bytes < ' ' || *bytes == 0x7f))
			appendStringInfoChar(&out, *bytes == '\n' ? '\n' : ' ');
		else if (width >= 1)
			appendBinaryStringInfo(&out, bytes, width);
		else
			appendStringInfoChar(&out, '?');
		bytes += Max(width, 1);
		len -= Max(width, 1);
	}
	return out.data;
}

/* As much of it as is kept. Secrets must have gone before: half a secret would not be found. */
static char *
fit_text(const char *text)
{
	char *clean = clean_text(text, (int) strnlen(text, MAX_LOOKED_AT));

	clean[pg_mbcliplen(clean, (int) strlen(clean), MAX_TEXT)] = '\0';
	return clean;
}

/* ---- the request */

/* For curl_multi: called in the middle of libcurl, must not raise. */
static bool
allow_address(void *arg, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return !address_refused((const uint8_t *) &((const struct sockaddr_in *) address)->sin_addr, 4);
	if (address->sa_family == AF_INET6)
		return !address_refused((const uint8_t *) &((const struct sockaddr_in6 *) address)->sin6_addr, 16);
	return false;
}

static bool
may_go_anywhere(const ChannelConfig *config)
{
	return observ_config_given(config, "allow_link_local") ? observ_config_boolean(config, "allow_link_local")
														   : observ_allow_link_local;
}

/*
 * STARTTLS that a mail goes without where it is not offered: whoever is in between could have left the offer out, so a certificate that is not ours
 * to trust is no worse (RFC 7435). Passwords don't go there, but on loopback.
 */
static bool
must_verify(const ChannelConfig *config, const ChannelRequest *made)
{
	return observ_config_boolean(config, "tls_verify") && (made->mail_from == NULL || made->require_tls);
}

/* NULL: none. */
static const char *
proxy_of(const ChannelConfig *config)
{
	const char *proxy = observ_config_text(config, "proxy");

	if (proxy == NULL)
		proxy = observ_http_proxy;
	return proxy == NULL || *proxy == '\0' || strcmp(proxy, "none") == 0 ? NULL : proxy;
}

/* NULL: the system's certificates. */
static const char *
ca_file_of(const ChannelConfig *config)
{
	const char *file = observ_config_text(config, "ca_file");

	if (file == NULL || *file == '\0')
		file = observ_ca_file;
	return file == NULL || *file == '\0' ? NULL : file;
}

static char **
as_array(List *texts)
{
	char **array = palloc(sizeof(char *) * Max(list_length(texts), 1));
	ListCell *cell;

	foreach (cell, texts)
		array[foreach_current_index(cell)] = lfirst(cell);
	return array;
}

/* Renders, and begins what came of it. Raises when that is no request; without a transfer it could not be begun. */
static void
begin(DeliveryRun *run)
{
	const Delivery *delivery = run->delivery;
	const ChannelConfig *config = delivery->config;
	ChannelRequest made = {0};
	struct transfer_request request;
	const char *fault;

	delivery->kind->render(config, delivery->message, delivery->step, delivery->variant, &made);
	made.headers = lappend(made.headers, "Expect:"); /* no second of waiting for 100 Continue */
	request = (struct transfer_request){
		.url = made.url,
		.method = made.method,
		.headers = as_array(made.headers),
		.header_count = list_length(made.headers),
		.body = made.body.len > 0     ? made.body.data
				: made.method == NULL ? ""
									  : NULL,
		.body_len = made.body.len,
		.user_agent = "observ/" OBSERV_LIBRARY_VERSION,
		.ca_file = ca_file_of(config),
		.timeout_ms = (int) Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), run->deadline), 1),
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.max_body = MAX_ANSWER,
		.verify_tls = must_verify(config, &made),
		.proxy = proxy_of(config),
		.user = made.user,
		.password = made.password,
		.mail_from = made.mail_from,
		.mail_to = as_array(made.mail_to),
		.mail_to_count = list_length(made.mail_to),
		.require_tls = made.require_tls,
		.wait_header = delivery->kind->wait_header,
		.once = true,
	};
	if (!may_go_anywhere(config))
		request.allow = allow_address;
	fault = made.url == NULL ? "there is no address" : transfer_fault(&request);
	if (fault != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", fault)));
	run->transfer = transfer_start(run->transfers, &request, on_answer, run);
}

/* ---- what came of it */

static void
tell(DeliveryRun *run)
{
	ChannelVerdict *verdict = &run->result->verdict;

	/* It arrived, but not in the channel's own words (C15). */
	if (verdict->outcome == CHANNEL_SENT && verdict->error == NULL)
		verdict->error = run->delivery->message->template_error;
	run->result->latency_ms = run->latency_ms;
	run->result->ended_at = GetCurrentTimestamp();
	run->done(run->arg, run->delivery, run->result);
}

/* It did not get to the network. */
static void
tell_failure(DeliveryRun *run, const char *phase, const char *error)
{
	run->result->phase = phase;
	run->result->verdict = (ChannelVerdict){.outcome = CHANNEL_RETRY, .retry_after_ms = -1, .error = error};
	tell(run);
}

static bool
begun(DeliveryRun *run)
{
	const char *error = guarded(run, begin);

	if (error != NULL)
		tell_failure(run, "render", error);
	else if (run->transfer == NULL)
		tell_failure(run, "connect", "no memory or no descriptors left for another request");
	else
		return true;
	return false;
}

static const char *
phase_of(const struct transfer_response *r)
{
	switch (r->outcome) {
	case TRANSFER_ANSWERED:
		return NULL;
	case TRANSFER_DNS:
		return "resolve";
	case TRANSFER_UNUSABLE:
	case TRANSFER_CONNECT:
		return "connect";
	default:
		break;
	}
	switch (r->phase) {
	case PHASE_DNS:
		return "resolve";
	case PHASE_CONNECT:
		return "connect";
	case PHASE_TLS:
		return "tls";
	case PHASE_FIRST_BYTE:
		return r->sent ? "answer" : "send";
	case PHASE_BODY:
		return "body";
	}
	return "answer";
}

/* What the kind makes of the answer, and a row of what there was. */
static void
judge(DeliveryRun *run)
{
	const struct transfer_response *r = run->response;
	const Delivery *delivery = run->delivery;
	const ChannelConfig *config = delivery->config;
	DeliveryResult *result = run->result;
	ChannelVerdict *verdict = &result->verdict;
	ChannelAnswer answer = {
		.outcome = r->outcome,
		.status = r->status,
		.body =
			observ_redact(config, r->refusals != NULL ? psprintf("%s\n%s", r->refusals, r->body) : r->body),
		.refused = r->refused,
		.retry_after = r->retry_after != NULL ? pstrdup(r->retry_after) : NULL,
		.date_s = r->date_s != 0 ? r->date_s : (int64) time(NULL),
		.error = r->outcome == TRANSFER_ANSWERED ? NULL : fit_text(observ_redact(config, r->error)),
		.sent = r->sent,
	};

	result->status_code = r->status;
	result->phase = phase_of(r);
	result->address = *r->address ? pstrdup(r->address) : NULL;
	result->unsure = r->sent && r->outcome != TRANSFER_ANSWERED;
	result->excerpt = *answer.body != '\0' ? fit_text(answer.body) : NULL;
	*verdict = (ChannelVerdict){.retry_after_ms = -1};
	if (delivery->kind->classify != NULL)
		delivery->kind->classify(config, &answer, delivery->variant, verdict);
	else
		observ_classify_http(&answer, verdict);
	if (verdict->error != NULL)
		verdict->error = fit_text(verdict->error);
	if (verdict->receipt != NULL)
		verdict->receipt = fit_text(verdict->receipt);
}

static void
on_answer(void *arg, const struct transfer_response *response)
{
	DeliveryRun *run = arg;
	ChannelVerdict *verdict = &run->result->verdict;
	const char *error;

	run->transfer = NULL;
	run->response = response;
	run->latency_ms = Max(run->latency_ms, 0) + Max(response->total_us, 0) / 1000.0;
	error = guarded(run, judge);
	if (error != NULL)
		*verdict = (ChannelVerdict){.outcome = CHANNEL_RETRY, .retry_after_ms = -1, .error = error};
	if (verdict->outcome == CHANNEL_AGAIN) {
		run->delivery->variant = verdict->variant;
		if (run->follow_ups++ < MAX_FOLLOW_UPS) {
			begun(run);
			return;
		}
		verdict->outcome = CHANNEL_RETRY;
	}
	tell(run);
}

DeliveryRun *
observ_delivery_start(struct transfers *transfers, Delivery *delivery, DeliveryDone done, void *arg)
{
	DeliveryRun *run = MemoryContextAllocZero(delivery->context, sizeof *run);
	int64 timeout_s = observ_config_integer(delivery->config, "timeout");

	run->transfers = transfers;
	run->delivery = delivery;
	run->done = done;
	run->arg = arg;
	run->latency_ms = -1;
	run->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_s * 1000);
	run->result = MemoryContextAllocZero(delivery->context, sizeof *run->result);
	run->result->notification_id = delivery->message->notification_id;
	run->result->attempt = delivery->attempt;
	run->result->step = delivery->step;
	run->result->channel = delivery->channel;
	run->result->kind = delivery->kind->name;
	return begun(run) ? run : NULL;
}

void
observ_delivery_cancel(DeliveryRun *run)
{
	if (run->transfer != NULL)
		transfer_cancel(run->transfer);
	pfree(run->result);
	pfree(run);
}
