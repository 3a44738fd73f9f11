/*
 * The outbox from SQL: observ.resend(), and the notifier's two steps for tests in virtual time. What does not belong here: the steps themselves.
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "access/xact.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_claim_deliveries_sql);
OBSERV_SQL_FUNCTION(observ_record_delivery_sql);
OBSERV_SQL_FUNCTION(observ_resend);

/* ---- requests as JSON, secrets as *** */

static void
put_headers(JsonWriter *w, const Delivery *d, const ChannelRequest *request)
{
	ListCell *cell;

	observ_json_key(w, "headers");
	observ_json_open(w, '{');
	foreach (cell, request->headers) {
		char *header = pstrdup(lfirst(cell)), *value = strstr(header, ": ");

		if (value == NULL)
			continue;
		*value = '\0';
		observ_json_pair(w, header, observ_redact(d->config, value + 2));
	}
	observ_json_close(w, '}');
}

static Datum
request_datum(const Delivery *d)
{
	ChannelRequest request = {0};
	StringInfoData json;
	JsonWriter w = {.out = &json};

	initStringInfo(&json);
	d->kind->render(d->config, d->message, d->step, d->variant, &request);
	observ_json_open(&w, '{');
	observ_json_pair(&w, "url", observ_redact(d->config, request.url));
	if (request.mail_to != NIL) {
		ListCell *cell;

		observ_json_key(&w, "mail_to");
		observ_json_open(&w, '[');
		foreach (cell, request.mail_to)
			observ_json_text(&w, lfirst(cell));
		observ_json_close(&w, ']');
	}
	put_headers(&w, d, &request);
	observ_json_pair(&w, "body",
					 request.body.data == NULL ? "" : observ_redact(d->config, request.body.data));
	observ_json_close(&w, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static void
put_delivery(ReturnSetInfo *result, const Delivery *d)
{
	Datum values[6] = {Int64GetDatum(d->notification_id), CStringGetTextDatum(d->channel),
					   CStringGetTextDatum(d->kind->name), Int32GetDatum(d->attempt), Int32GetDatum(d->step)};
	bool nulls[6] = {false};

	values[5] = request_datum(d);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
require_arguments(FunctionCallInfo fcinfo, int n)
{
	observ_require_versions();
	for (int i = 0; i < n; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("argument %d must not be null", i + 1)));
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(0)))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time must be finite")));
}

/* observ_data._claim_deliveries(at, at_most); see its COMMENT. */
Datum
observ_claim_deliveries_sql(PG_FUNCTION_ARGS)
{
	OutboxClaim claim;
	ListCell *cell;

	require_arguments(fcinfo, 2);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	observ_claim_deliveries(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_INT32(1), PG_GETARG_INT32(1), &claim);
	foreach (cell, claim.deliveries)
		put_delivery((ReturnSetInfo *) fcinfo->resultinfo, lfirst(cell));
	SPI_finish();
	return (Datum) 0;
}

/* ---- answers */

static enum transfer_outcome
outcome_of(const char *name)
{
	static const struct {
		const char *name;
		enum transfer_outcome outcome;
	} names[] = {{"dns", TRANSFER_DNS},         {"connect", TRANSFER_CONNECT},
				 {"tls", TRANSFER_TLS},         {"untrusted", TRANSFER_UNTRUSTED},
				 {"timeout", TRANSFER_TIMEOUT}, {"broken", TRANSFER_BROKEN},
				 {"refused", TRANSFER_REFUSED}};

	for (size_t i = 0; i < lengthof(names); i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].outcome;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown outcome \"%s\"", name),
					errhint("dns, connect, tls, untrusted, timeout, broken, refused; NULL for an answer.")));
}

static const char *
text_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

/* The channel that the notification goes to. */
static const ChannelKind *
read_channel(int64 notification_id, DeliveryResult *result, ChannelConfig **config)
{
	static const Oid types[] = {INT8OID};
	const ChannelKind *kind;
	bool isnull;

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT n.channel, c.kind, c.config, n.step FROM observ.notifications n "
				   "JOIN observ.notification_channels c ON c.name = n.channel WHERE n.notification_id = $1",
				   1, types, (Datum[]){Int64GetDatum(notification_id)}, NULL) == 0 ||
		(result->kind = observ_spi_text(0, 2)) == NULL || (kind = observ_channel_kind(result->kind)) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("notification " INT64_FORMAT " has no channel that sends", notification_id)));
	result->channel = observ_spi_text(0, 1);
	result->step = observ_spi_int32(0, 4);
	*config = observ_channel_config(kind, DatumGetJsonbPCopy(observ_spi_value(0, 3, &isnull)), true);
	return kind;
}

/* observ_data._record_delivery(at, notification_id, attempt, status_code, body, retry_after, outcome); see its COMMENT. */
Datum
observ_record_delivery_sql(PG_FUNCTION_ARGS)
{
	static const char *const verdicts[] = {"sent", "retry", "dead", "again"};
	const char *outcome = text_argument(fcinfo, 6), *verdict;
	ChannelAnswer answer = {.status = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3),
							.body = PG_ARGISNULL(4) ? "" : text_argument(fcinfo, 4),
							.retry_after = text_argument(fcinfo, 5)};
	DeliveryResult result = {0};
	ObservIdentity saved;
	const ChannelKind *kind;
	ChannelConfig *config;
	bool held;

	require_arguments(fcinfo, 3);
	answer.outcome = outcome == NULL ? TRANSFER_ANSWERED : outcome_of(outcome);
	answer.error = outcome;
	answer.sent = outcome == NULL || answer.outcome == TRANSFER_TIMEOUT;
	result.notification_id = PG_GETARG_INT64(1);
	result.attempt = PG_GETARG_INT32(2);
	result.ended_at = PG_GETARG_TIMESTAMPTZ(0);
	result.status_code = answer.status;
	result.phase = outcome;
	result.unsure = outcome != NULL && answer.sent;
	SPI_connect();
	saved = observ_as_owner_begin();
	kind = read_channel(result.notification_id, &result, &config);
	answer.body = observ_redact(config, answer.body);
	if (kind->classify != NULL)
		kind->classify(config, &answer, 0, &result.verdict);
	else
		observ_classify_http(&answer, &result.verdict);
	observ_as_owner_end(&saved);
	verdict = verdicts[result.verdict.outcome];
	observ_record_deliveries(result.ended_at, &result, 1, &held);
	SPI_finish();
	if (held)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(verdict));
}

/* ---- again */

/*
 * Numbers of those count down, so that they are in nobody's way: a dispatch counts up. A concurrent one of the same group is waited for, and the next
 * number is tried.
 */
#define KEY_OF(number)                                                                                       \
	"encode(sha256(convert_to(concat_ws(' ', s.channel, s.group_key, " number "), 'UTF8')), 'hex')"
#define IDEMPOTENCY_KEY KEY_OF("s.number")

static const char resend_sql[] =
	"WITH s AS (SELECT n.*, least((SELECT min(o.seq) FROM observ.notifications o WHERE o.channel = n.channel "
	"    AND o.group_key = n.group_key), 0) - 1 AS number "
	"  FROM observ.notifications n WHERE n.notification_id = $1), "
	"made AS (INSERT INTO observ.notifications (\"timestamp\", channel, group_key, seq, route, incident_key, "
	"    idempotency_key, reason, state, severity, title, group_labels, alerts, firing, resolved, resend_of) "
	"  SELECT $2, s.channel, s.group_key, s.number, s.route, s.incident_key, " IDEMPOTENCY_KEY ", s.reason, "
	"    s.state, s.severity, s.title, s.group_labels, s.alerts, s.firing, s.resolved, "
	"    coalesce(s.resend_of, s.notification_id) FROM s "
	"  ON CONFLICT (channel, group_key, seq) DO NOTHING "
	"  RETURNING notification_id, channel, group_key, seq, severity) "
	"INSERT INTO observ_data.deliveries (channel, group_key, seq, notification_id, emergency, lane, due_at, "
	"made_at) "
	"SELECT channel, group_key, seq, notification_id, severity = 'emergency', "
	"  CASE severity WHEN 'emergency' THEN 0 ELSE 1 END, $2, $2 FROM made "
	"ON CONFLICT (channel, group_key, seq) DO UPDATE SET notification_id = excluded.notification_id, "
	"  emergency = excluded.emergency, lane = excluded.lane, due_at = excluded.due_at, made_at = "
	"excluded.made_at, "
	"  failures = 0, parts = '-' RETURNING notification_id";

static void
require_finished(int64 notification_id)
{
	static const Oid types[] = {INT8OID};

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT status, status IN ('sent', 'dead', 'cancelled') FROM observ.notifications "
				   "WHERE notification_id = $1",
				   1, types, (Datum[]){Int64GetDatum(notification_id)}, NULL) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("notification " INT64_FORMAT " does not exist", notification_id),
			 errhint(
				 "SELECT notification_id, title FROM observ.notification_log ORDER BY 1 DESC LIMIT 10.")));
	if (!observ_spi_boolean(0, 2))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("notification " INT64_FORMAT " is still to be sent", notification_id),
						errdetail("Its status is %s.", observ_spi_text(0, 1))));
}

/* observ.resend(notification_id, at) → bigint; see its COMMENT. Errors: 42704 when there is none, 55000 when it is still to be sent. */
Datum
observ_resend(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	ObservIdentity saved;
	int64 id;
	Datum values[2];

	observ_require_versions();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("notification_id must not be null")));
	values[0] = PG_GETARG_DATUM(0);
	values[1] =
		PG_ARGISNULL(1) ? TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()) : PG_GETARG_DATUM(1);
	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(values[1])))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time must be finite")));
	SPI_connect();
	saved = observ_as_owner_begin();
	require_finished(PG_GETARG_INT64(0));
	while (observ_spi(SPI_OK_INSERT_RETURNING, resend_sql, lengthof(types), types, values, NULL) == 0)
		CHECK_FOR_INTERRUPTS();
	id = observ_spi_int64(0, 1);
	observ_as_owner_end(&saved);
	observ_wake_notifier_at_commit();
	SPI_finish();
	PG_RETURN_INT64(id);
}
