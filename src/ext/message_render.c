/*
 * observ_data._render_notification(): the request that a row of the outbox would become now, for tests and for people who write templates. What does
 * not belong here: sending it (delivery.c), which row is due (outbox.c).
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_type.h"
#include "ext/channel_kind.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_render_notification);

/* Columns, from 1. */
enum {
	COL_SEQ = 1,
	COL_ATTEMPT,
	COL_DELIVERED_SEQ,
	COL_CHANNEL,
	COL_GROUP_KEY,
	COL_ROUTE,
	COL_INCIDENT_KEY,
	COL_IDEMPOTENCY_KEY,
	COL_REASON,
	COL_TITLE,
	COL_AT,
	COL_SEVERITY,
	COL_FIRING,
	COL_RESOLVED,
	COL_GROUP_LABELS,
	COL_ALERTS,
	COL_TITLE_TEMPLATE,
	COL_BODY_TEMPLATE,
	COL_KIND,
	COL_CONFIG
};

/* $1 notification, $2 channel that it is rendered for: NULL its own. */
static const char source_sql[] =
	"SELECT n.seq, n.attempts + 1, coalesce(g.delivered_seq, 0), c.name, n.group_key, n.route, "
	"n.incident_key, n.idempotency_key, n.reason, n.title, n.\"timestamp\", n.severity::text, n.firing, "
	"n.resolved, n.group_labels, n.alerts, c.title_template, c.body_template, c.kind, c.config "
	"FROM observ.notifications n JOIN observ.notification_channels c ON c.name = coalesce($2, n.channel) "
	"LEFT JOIN observ_data.group_channels g ON g.group_key = n.group_key AND g.channel = n.channel "
	"WHERE n.notification_id = $1";

static Jsonb *
json_of(int column)
{
	bool isnull;
	Datum value = observ_spi_value(0, column, &isnull);

	Assert(!isnull);
	return DatumGetJsonbPCopy(value);
}

static MessageSource
read_source(int64 notification_id, TimestampTz now)
{
	bool isnull;

	return (MessageSource){
		.notification_id = notification_id,
		.seq = observ_spi_int32(0, COL_SEQ),
		.attempt = observ_spi_int32(0, COL_ATTEMPT),
		.delivered_seq = observ_spi_int32(0, COL_DELIVERED_SEQ),
		.channel = observ_spi_text(0, COL_CHANNEL),
		.group_key = observ_spi_text(0, COL_GROUP_KEY),
		.route = observ_spi_text(0, COL_ROUTE),
		.incident_key = observ_spi_text(0, COL_INCIDENT_KEY),
		.idempotency_key = observ_spi_text(0, COL_IDEMPOTENCY_KEY),
		.reason = observ_spi_text(0, COL_REASON),
		.title = observ_spi_text(0, COL_TITLE),
		.at = DatumGetTimestampTz(observ_spi_value(0, COL_AT, &isnull)),
		.now = now,
		.severity = observ_severity_number(observ_spi_text(0, COL_SEVERITY)),
		.firing = observ_spi_int32(0, COL_FIRING),
		.resolved = observ_spi_int32(0, COL_RESOLVED),
		.group_labels = json_of(COL_GROUP_LABELS),
		.alerts = json_of(COL_ALERTS),
		.templates = {.title = observ_spi_text(0, COL_TITLE_TEMPLATE),
					  .body = observ_spi_text(0, COL_BODY_TEMPLATE)},
	};
}

/* The body as JSON where it is, else as text. */
static void
put_body(JsonWriter *w, const ChannelRequest *request)
{
	bool json = false;
	ListCell *cell;

	foreach (cell, request->headers)
		json = json || strcmp(lfirst(cell), "Content-Type: application/json") == 0;
	observ_json_key(w, "body");
	if (json && request->body.data != NULL)
		observ_json_jsonb(w,
						  DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(request->body.data))));
	else
		observ_json_text(w, request->body.data);
}

/* Secrets are not followed: they are shown as secret:NAME. */
static char *
request_json(const ChannelKind *kind, const ChannelConfig *config, const ChannelRequest *request,
			 const Message *message)
{
	StringInfoData out;
	JsonWriter w = {.out = &out};
	ListCell *cell;

	initStringInfo(&out);
	observ_json_open(&w, '{');
	observ_json_pair(&w, "kind", kind->name);
	observ_json_pair(&w, "title", message->title);
	observ_json_pair(&w, "text", observ_message_text(message, INT_MAX, NULL));
	observ_json_pair(&w, "template_error", message->template_error);
	observ_json_pair(&w, "url", request->url);
	observ_json_pair(&w, "method", request->method == NULL ? "POST" : request->method);
	observ_json_key(&w, "headers");
	observ_json_open(&w, '[');
	foreach (cell, request->headers)
		observ_json_text(&w, lfirst(cell));
	observ_json_close(&w, ']');
	observ_json_pair(&w, "mail_from", request->mail_from);
	if (request->mail_to != NIL) {
		observ_json_key(&w, "mail_to");
		observ_json_open(&w, '[');
		foreach (cell, request->mail_to)
			observ_json_text(&w, lfirst(cell));
		observ_json_close(&w, ']');
	}
	put_body(&w, request);
	observ_json_close(&w, '}');
	return out.data;
}

static char *
render(MessageSource *source, const char *kind_name, Jsonb *configuration, int step, int variant)
{
	const ChannelKind *kind = kind_name == NULL ? NULL : observ_channel_kind(kind_name);
	ChannelRequest request = {0};
	ChannelConfig *config;
	Message *message;
	int steps;

	if (kind == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("channel \"%s\" has no kind", source->channel),
						errhint("SELECT observ.create_channel(…) says what it is and where it leads.")));
	config = observ_channel_config(kind, configuration, false);
	steps = kind->steps == NULL ? 1 : kind->steps(config);
	if (step < 0 || step >= steps || variant < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("channel \"%s\" has no step %d in variant %d", source->channel, step, variant),
						errdetail("It has %d steps.", steps)));
	source->templates =
		observ_channel_templates(kind, config, source->templates.title, source->templates.body);
	message = observ_message(source);
	initStringInfo(&request.body);
	kind->render(config, message, step, variant, &request);
	return request_json(kind, config, &request, message);
}

Datum
observ_render_notification(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	const Oid types[] = {INT8OID, TEXTOID};
	Datum values[] = {PG_GETARG_DATUM(0), PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1)};
	const char nulls[] = {' ', PG_ARGISNULL(1) ? 'n' : ' '};
	TimestampTz now = PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4);
	MessageSource source;
	char *kind, *json;
	ObservIdentity saved;
	Jsonb *config;
	Datum result;

	observ_require_versions();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	saved = observ_as_owner_begin();
	SPI_connect();
	if (observ_spi(SPI_OK_SELECT, source_sql, lengthof(types), types, values, nulls) != 1)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is no notification " INT64_FORMAT ", or no such channel",
							   PG_GETARG_INT64(0))));
	source = read_source(PG_GETARG_INT64(0), now);
	kind = observ_spi_text(0, COL_KIND);
	config = json_of(COL_CONFIG);
	json = render(&source, kind, config, PG_GETARG_INT32(2), PG_GETARG_INT32(3));
	result = (Datum) MemoryContextStrdup(context, json);
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, result));
}
