/*
 * The alerts of a message as they stand: values, acknowledgements, who has heard of what. What does not belong here: the rest of a message
 * (message.c), whether it is sent at all (outbox.c).
 */
#include "postgres.h"

#include "ext/message_parts.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/notification_text.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Columns, from 1. */
enum {
	COL_ID = 1,
	COL_TROUBLE,
	COL_SEVERITY,
	COL_LABELS,
	COL_ANNOTATIONS,
	COL_SUMMARY,
	COL_DESCRIPTION,
	COL_VALUE,
	COL_PEAK,
	COL_THRESHOLD,
	COL_STARTS_AT,
	COL_ENDS_AT,
	COL_ACKED_BY,
	COL_RESOLVED_REASON,
	COL_FLAPPING,
	COL_STALE,
	COL_REOPENED
};

/* $1 alerts, $2 time of the attempt. A person is named when the acknowledgement holds, and when it held at the end. */
static const char alerts_sql[] =
	"SELECT a.alert_id, a.status IN ('firing', 'recovering') OR (a.flapping AND a.status <> 'pending'), "
	"a.severity::text, a.labels, a.annotations, a.summary, a.description, a.value, a.peak_value, "
	"r.threshold, a.starts_at, a.ends_at, "
	"CASE WHEN a.acknowledged_at IS NOT NULL AND (a.acknowledged_until IS NULL OR a.acknowledged_until > $2 "
	"  OR a.acknowledged_until > a.ends_at) THEN a.acknowledged_by::text END, "
	"a.resolved_reason, a.flapping, a.stale, a.reopened > 0 "
	"FROM observ.alerts a LEFT JOIN observ.alert_rules r USING (rule_id) WHERE a.alert_id = ANY ($1)";

/*
 * Which alerts the channel has not heard of: what first said so, or something after it, was not delivered. $1 channel, $2 group, $3 delivered_seq, $4
 * seq of this notification, $5 alerts.
 */
static const char unheard_sql[] =
	"SELECT i.alert_id FROM unnest($5) i (alert_id) WHERE EXISTS (SELECT FROM observ.notifications n "
	"WHERE n.channel = $1 AND n.group_key = $2 AND n.seq > $3 AND n.seq <= $4 AND n.alerts @> "
	"jsonb_build_array(jsonb_build_object('alert_id', i.alert_id, 'mark', 'new'))) "
	"OR EXISTS (SELECT FROM observ_data.told t WHERE t.alert_id = i.alert_id AND t.group_key = $2 AND "
	"t.channel = $1 AND t.since_seq > $3)";

/* All of the group that the channel is to know of and that fires: how many, and the first of them. $1 channel, $2 group, $3 how many. */
static const char firing_sql[] =
	"SELECT a.alert_id, count(*) OVER () FROM observ_data.told t JOIN observ.alerts a USING (alert_id) "
	"WHERE t.channel = $1 AND t.group_key = $2 AND t.state = 'firing' AND (a.status IN ('firing', "
	"'recovering') OR (a.flapping AND a.status <> 'pending')) "
	"ORDER BY a.severity DESC, coalesce(a.instance, ''), a.alert_id LIMIT $3";

static double
number_of(uint64 row, int column)
{
	bool isnull;
	Datum value = observ_spi_value(row, column, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

static Jsonb *
object_of(uint64 row, int column, Jsonb *otherwise)
{
	bool isnull;
	Datum value = observ_spi_value(row, column, &isnull);

	return isnull ? otherwise : DatumGetJsonbPCopy(value);
}

static int
compare_ids(const void *a, const void *b)
{
	int64 x = ((const MessageAlert *) a)->alert_id, y = ((const MessageAlert *) b)->alert_id;

	return x < y ? -1 : x > y;
}

static MessageAlert *
alert_of_row(Message *message, uint64 row)
{
	bool isnull;
	MessageAlert key = {.alert_id = DatumGetInt64(observ_spi_value(row, COL_ID, &isnull))};

	return bsearch(&key, message->alerts, (size_t) message->n_alerts, sizeof key, compare_ids);
}

/* What is over in the row stays so, with what was said of its end. */
static void
take_row(MessageAlert *alert, uint64 row)
{
	bool ended = !alert->firing;
	TimestampTz ends_at = alert->ends_at;
	const char *reason = alert->resolved_reason;

	alert->threshold = number_of(row, COL_THRESHOLD);
	alert->acked_by = observ_spi_text(row, COL_ACKED_BY);
	if (ended && observ_spi_boolean(row, COL_TROUBLE))
		return;
	alert->severity = observ_severity_number(observ_spi_text(row, COL_SEVERITY));
	alert->labels = object_of(row, COL_LABELS, alert->labels);
	alert->annotations = object_of(row, COL_ANNOTATIONS, alert->annotations);
	alert->summary = observ_spi_text(row, COL_SUMMARY);
	alert->description = observ_spi_text(row, COL_DESCRIPTION);
	alert->value = number_of(row, COL_VALUE);
	alert->peak = number_of(row, COL_PEAK);
	alert->starts_at = observ_spi_time_or(row, COL_STARTS_AT, 0);
	alert->firing = observ_spi_boolean(row, COL_TROUBLE);
	alert->ends_at = alert->firing ? 0 : observ_spi_time_or(row, COL_ENDS_AT, 0);
	alert->resolved_reason = alert->firing ? NULL : observ_spi_text(row, COL_RESOLVED_REASON);
	alert->flapping = observ_spi_boolean(row, COL_FLAPPING);
	alert->stale = observ_spi_boolean(row, COL_STALE);
	alert->reopened = observ_spi_boolean(row, COL_REOPENED);
	if (ended && alert->ends_at == 0) {
		alert->ends_at = ends_at;
		alert->resolved_reason = reason;
	}
}

static Datum
ids_of(const Message *message)
{
	Datum *ids = palloc(sizeof(Datum) * (Size) (message->n_alerts + 1));

	for (int i = 0; i < message->n_alerts; i++)
		ids[i] = Int64GetDatum(message->alerts[i].alert_id);
	return observ_array(ids, message->n_alerts, INT8OID);
}

static void
read_alerts(Message *message)
{
	static SPIPlanPtr plan = NULL;
	const Oid types[] = {INT8ARRAYOID, TIMESTAMPTZOID};
	Datum values[] = {ids_of(message), TimestampTzGetDatum(message->now)};

	observ_spi_kept(&plan, SPI_OK_SELECT, alerts_sql, lengthof(types), types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++) {
		MessageAlert *alert = alert_of_row(message, row);

		if (alert != NULL)
			take_row(alert, row);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Of each alert whether the channel has not heard that it fires. The outbox's marks say so, unless something between what was delivered last and this
 * notification was not, or the alert is not one of those that it lists (`marked` false).
 */
static bool *
read_unheard(const MessageSource *source, Message *message, bool marked)
{
	static SPIPlanPtr plan = NULL;
	const Oid types[] = {TEXTOID, TEXTOID, INT4OID, INT4OID, INT8ARRAYOID};
	bool *unheard = palloc0(sizeof(bool) * (Size) (message->n_alerts + 1));
	Datum values[5];

	for (int i = 0; i < message->n_alerts; i++)
		unheard[i] = message->alerts[i].mark == MARK_NEW;
	if (marked && source->delivered_seq >= source->seq - 1)
		return unheard;
	values[0] = CStringGetTextDatum(source->channel);
	values[1] = CStringGetTextDatum(source->group_key);
	values[2] = Int32GetDatum(source->delivered_seq);
	values[3] = Int32GetDatum(source->seq);
	values[4] = ids_of(message);
	observ_spi_kept(&plan, SPI_OK_SELECT, unheard_sql, lengthof(types), types, values, NULL);
	for (uint64 row = 0; row < SPI_processed; row++) {
		const MessageAlert *alert = alert_of_row(message, row);

		if (alert != NULL)
			unheard[alert - message->alerts] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	return unheard;
}

/* Marks and counts. What is over before the channel has heard of it is taken out (C2). */
static void
settle(Message *message, const bool *fired, const bool *unheard)
{
	int kept = 0;

	for (int i = 0; i < message->n_alerts; i++) {
		MessageAlert *alert = &message->alerts[i];

		message->n_firing += alert->firing - fired[i];
		if (!alert->firing && unheard[i]) {
			message->n_resolved -= !fired[i];
			continue;
		}
		message->n_resolved += fired[i] && !alert->firing;
		alert->mark = !alert->firing ? MARK_RESOLVED : unheard[i] ? MARK_NEW : MARK_STILL;
		message->alerts[kept++] = *alert;
	}
	message->n_alerts = kept;
}

/* There are more than could be listed, and some of those are over: others are listed instead, and all are counted. */
static void
list_anew(const MessageSource *source, Message *message)
{
	static SPIPlanPtr plan = NULL;
	const Oid types[] = {TEXTOID, TEXTOID, INT4OID};
	Datum values[] = {CStringGetTextDatum(source->channel), CStringGetTextDatum(source->group_key),
					  Int32GetDatum(OBSERV_LISTED_FIRING)};
	MessageAlert *alerts;
	int n = 0;

	observ_spi_kept(&plan, SPI_OK_SELECT, firing_sql, lengthof(types), types, values, NULL);
	alerts = palloc0(sizeof(MessageAlert) * (Size) (message->n_alerts + OBSERV_LISTED_FIRING));
	message->n_firing = 0;
	for (uint64 row = 0; row < SPI_processed; row++) {
		bool isnull;

		message->n_firing = (int) DatumGetInt64(observ_spi_value(row, 2, &isnull));
		alerts[n] = (MessageAlert){.alert_id = DatumGetInt64(observ_spi_value(row, 1, &isnull)),
								   .firing = true,
								   .mark = MARK_STILL,
								   .value = NAN,
								   .peak = NAN,
								   .threshold = NAN};
		n++;
	}
	SPI_freetuptable(SPI_tuptable);
	for (int i = 0; i < message->n_alerts; i++)
		if (!message->alerts[i].firing)
			alerts[n++] = message->alerts[i];
	message->alerts = alerts;
	message->n_alerts = n;
}

static bool *
sorted_and_firing(Message *message)
{
	bool *fired = palloc0(sizeof(bool) * (Size) (message->n_alerts + 1));

	qsort(message->alerts, (size_t) message->n_alerts, sizeof *message->alerts, compare_ids);
	for (int i = 0; i < message->n_alerts; i++)
		fired[i] = message->alerts[i].firing;
	return fired;
}

static int
count_firing(const Message *message)
{
	int n = 0;

	for (int i = 0; i < message->n_alerts; i++)
		n += message->alerts[i].firing;
	return n;
}

bool
observ_refresh_message(const MessageSource *source, Message *message)
{
	int listed = count_firing(message);
	bool all_listed = message->n_firing <= listed;
	const bool *fired = sorted_and_firing(message), *unheard;

	read_alerts(message);
	unheard = read_unheard(source, message, true);
	settle(message, fired, unheard);
	if (!all_listed && count_firing(message) < listed) {
		list_anew(source, message);
		fired = sorted_and_firing(message);
		read_alerts(message);
		unheard = read_unheard(source, message, false);
		settle(message, fired, unheard);
	}
	message->severity = 0;
	for (int i = 0; i < message->n_alerts; i++)
		message->severity = Max(message->severity, message->alerts[i].severity);
	return message->n_firing != source->firing || message->n_resolved != source->resolved;
}
