/*
 * The queue and the notifications behind it: reading those of some groups, writing what was decided. What does not belong here: which groups
 * (outbox_claim.c, outbox_expire.c), decisions (outbox_group.c).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* However long a request and its follow-ups may take; a notifier that lives records them all before. */
#define LEASE_US (5 * USECS_PER_MINUTE)
/* A dispatch, or somebody else, is at it: what needs its lock is looked at again then. */
#define BUSY_US USECS_PER_SEC

/* ---- reading */

static const char rows_sql[] =
	"SELECT d.channel, d.group_key, d.seq, d.notification_id, d.lane, d.due_at, d.made_at, d.emergency, "
	"d.failures, n.status IN ('queued', 'sending', 'retry'), n.attempts, n.step, n.route, n.incident_key, "
	"n.idempotency_key, n.reason, n.title, n.\"timestamp\", n.severity::text, n.firing, n.resolved, "
	"n.group_labels, n.alerts, n.resend_of IS NOT NULL OR n.fallback_of IS NOT NULL, g.delivered_seq, "
	"d.parts, n.xmax <> 0 "
	"FROM unnest($1, $2) k (channel, group_key) JOIN observ_data.deliveries d ON d.channel = k.channel "
	"AND d.group_key = k.group_key "
	"LEFT JOIN observ.notifications n ON n.notification_id = d.notification_id "
	"LEFT JOIN observ_data.group_channels g ON g.group_key = d.group_key AND g.channel = d.channel "
	"ORDER BY d.channel, d.group_key, d.seq";

static void
read_row(OutboxRow *r, uint64 row, TimestampTz at)
{
	bool isnull;

	*r = (OutboxRow){.channel = observ_spi_text(row, 1),
					 .group_key = observ_spi_text(row, 2),
					 .due_at = observ_spi_time(row, 6),
					 .made_at = observ_spi_time(row, 7),
					 .emergency = observ_spi_boolean(row, 8),
					 .step = observ_spi_int32(row, 12),
					 .parts = observ_spi_text(row, 26),
					 .alone = observ_spi_boolean(row, 24),
					 .held = observ_spi_boolean(row, 27)};
	r->lane = (enum OutboxLane) DatumGetInt16(observ_spi_value(row, 5, &isnull));
	r->failures = DatumGetInt16(observ_spi_value(row, 9, &isnull));
	r->source = (MessageSource){.notification_id = observ_spi_int64(row, 4), .seq = observ_spi_int32(row, 3)};
	if (!observ_spi_boolean(row, 10)) {
		r->action = ROW_GONE;
		return;
	}
	r->source = (MessageSource){
		.notification_id = r->source.notification_id,
		.seq = r->source.seq,
		.attempt = observ_spi_int32(row, 11) + 1,
		.delivered_seq = observ_spi_int32(row, 25),
		.channel = r->channel,
		.group_key = r->group_key,
		.route = observ_spi_text(row, 13),
		.incident_key = observ_spi_text(row, 14),
		.idempotency_key = observ_spi_text(row, 15),
		.reason = observ_spi_text(row, 16),
		.title = observ_spi_text(row, 17),
		.at = observ_spi_time(row, 18),
		.now = at,
		.severity = observ_severity_number(observ_spi_text(row, 19)),
		.firing = observ_spi_int32(row, 20),
		.resolved = observ_spi_int32(row, 21),
		.group_labels = DatumGetJsonbPCopy(observ_spi_value(row, 22, &isnull)),
		.alerts = DatumGetJsonbPCopy(observ_spi_value(row, 23, &isnull)),
	};
}

OutboxGroups *
observ_outbox_groups(void)
{
	static const Oid types[] = {TEXTOID, TEXTOID};

	return observ_row_batch(types, lengthof(types));
}

void
observ_outbox_add_group(OutboxGroups *groups, const char *channel, const char *group_key)
{
	observ_row_batch_add(groups, (Datum[]){CStringGetTextDatum(channel), CStringGetTextDatum(group_key)},
						 NULL);
}

/* Of those that bear somebody's mark, which are locked by another transaction. */
static void
find_held(OutboxRow *rows, int n)
{
	int64 *ids = palloc(sizeof *ids * n);
	bool *held = palloc(sizeof *held * n);
	int marked = 0;

	for (int i = 0; i < n; i++)
		if (rows[i].held)
			ids[marked++] = rows[i].source.notification_id;
	if (marked == 0)
		return;
	(void) observ_outbox_find_held(ids, marked, held);
	for (int i = 0, m = 0; i < n; i++)
		if (rows[i].held)
			rows[i].held = held[m++];
}

OutboxRow *
observ_outbox_rows(TimestampTz at, OutboxGroups *groups, int *n)
{
	static SPIPlanPtr plan = NULL;
	OutboxRow *rows;

	*n = (int) observ_row_batch_run(groups, &plan, SPI_OK_SELECT, rows_sql);
	rows = palloc_extended(sizeof(OutboxRow) * Max(*n, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *n; i++)
		read_row(&rows[i], (uint64) i, at);
	if (*n > 0) {
		SPI_freetuptable(SPI_tuptable);
		find_held(rows, *n);
	}
	return rows;
}

static bool
any_held(const OutboxRow *rows, int n)
{
	for (int i = 0; i < n; i++)
		if (rows[i].held)
			return true;
	return false;
}

/* What waits for one that is held, or is under way, goes on waiting. */
static void
postpone(TimestampTz at, OutboxRow *rows, int n)
{
	for (int i = 0; i < n; i++)
		if (rows[i].action != ROW_GONE)
			rows[i].action =
				rows[i].lane <= LANE_OTHER && rows[i].due_at <= at ? ROW_POSTPONED : ROW_UNTOUCHED;
}

void
observ_outbox_each_group(TimestampTz at, OutboxRow *rows, int n,
						 void (*decide)(TimestampTz at, OutboxRow *rows, int n))
{
	for (int from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && strcmp(rows[to].channel, rows[from].channel) == 0 &&
							strcmp(rows[to].group_key, rows[from].group_key) == 0;)
			to++;
		(any_held(&rows[from], to - from) ? postpone : decide)(at, &rows[from], to - from);
	}
}

/* ---- what is written */

static const char notes_sql[] =
	"UPDATE observ.notifications n SET status = r.status, step = r.step, not_before = NULL, "
	"attempts = n.attempts + (r.status = 'sending')::int, "
	"lease_until = CASE r.status WHEN 'sending' THEN $6 END, "
	"finished_at = CASE WHEN r.status <> 'sending' THEN $7 END, "
	"last_error = CASE r.status WHEN 'dead' THEN concat_ws(': ', r.error, n.last_error) "
	"  ELSE coalesce(r.error, n.last_error) END, "
	"superseded_by = nullif(r.by, 0) FROM unnest($1, $2, $3, $4, $5) r (notification_id, status, step, by, "
	"error) "
	"WHERE n.notification_id = r.notification_id AND n.status IN ('queued', 'sending', 'retry')";
static const Oid note_types[] = {INT8OID, TEXTOID, INT4OID, INT8OID, TEXTOID};

static const char rewritten_sql[] =
	"UPDATE observ.notifications n SET alerts = r.alerts, firing = r.firing, resolved = r.resolved, "
	"state = CASE WHEN r.firing > 0 THEN 'firing' ELSE 'resolved' END, title = r.title, reason = r.reason, "
	"severity = r.severity::observ.severity "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7) r (notification_id, alerts, firing, resolved, title, reason, "
	"severity) "
	"WHERE n.notification_id = r.notification_id";
static const Oid rewritten_types[] = {INT8OID, JSONBOID, INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID};

static const char queue_sql[] =
	"UPDATE observ_data.deliveries d SET lane = r.lane, due_at = r.due_at, parts = r.parts, "
	"emergency = r.emergency, made_at = r.made_at FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) "
	"r (channel, group_key, seq, lane, due_at, parts, emergency, made_at) "
	"WHERE d.channel = r.channel AND d.group_key = r.group_key AND d.seq = r.seq";
static const Oid queue_types[] = {TEXTOID,        TEXTOID, INT4OID, INT2OID,
								  TIMESTAMPTZOID, TEXTOID, BOOLOID, TIMESTAMPTZOID};

static const char over_sql[] =
	"DELETE FROM observ_data.deliveries d USING unnest($1, $2, $3) r (channel, group_key, seq) "
	"WHERE d.channel = r.channel AND d.group_key = r.group_key AND d.seq = r.seq";
static const Oid over_types[] = {TEXTOID, TEXTOID, INT4OID};

typedef struct Writes {
	ObservRowBatch *notes, *rewritten, *queue, *over;
} Writes;

static void
write_note(Writes *w, const OutboxRow *r, const char *status, const char *error)
{
	observ_row_batch_add(w->notes,
						 (Datum[]){Int64GetDatum(r->source.notification_id), CStringGetTextDatum(status),
								   Int32GetDatum(r->step), Int64GetDatum(r->by),
								   CStringGetTextDatum(error == NULL ? "" : error)},
						 (bool[]){false, false, false, false, error == NULL});
}

static void
write_queue(Writes *w, const OutboxRow *r, enum OutboxLane lane, TimestampTz due_at)
{
	Datum row[] = {CStringGetTextDatum(r->channel), CStringGetTextDatum(r->group_key),
				   Int32GetDatum(r->source.seq),    Int16GetDatum((int16) lane),
				   TimestampTzGetDatum(due_at),     CStringGetTextDatum(r->parts),
				   BoolGetDatum(r->emergency),      TimestampTzGetDatum(r->made_at)};

	observ_row_batch_add(w->queue, row, NULL);
}

static void
write_over(Writes *w, const OutboxRow *r)
{
	observ_row_batch_add(w->over,
						 (Datum[]){CStringGetTextDatum(r->channel), CStringGetTextDatum(r->group_key),
								   Int32GetDatum(r->source.seq)},
						 NULL);
}

static void
write_row(Writes *w, TimestampTz at, const OutboxRow *r, OutboxClaim *claim)
{
	enum OutboxLane own = r->emergency ? LANE_EMERGENCY : LANE_OTHER;

	if (r->rewritten && r->action != ROW_CANCELLED && r->action != ROW_SUPERSEDED)
		observ_row_batch_add(
			w->rewritten,
			(Datum[]){Int64GetDatum(r->source.notification_id), JsonbPGetDatum(r->source.alerts),
					  Int32GetDatum(r->source.firing), Int32GetDatum(r->source.resolved),
					  CStringGetTextDatum(r->source.title), CStringGetTextDatum(r->source.reason),
					  CStringGetTextDatum(observ_severity_name(r->source.severity))},
			NULL);
	switch (r->action) {
	case ROW_UNTOUCHED:
		break;
	case ROW_LEAVE:
		if (r->lane == LANE_BEHIND || r->rewritten)
			write_queue(w, r, own, at);
		break;
	case ROW_SEND:
		write_note(w, r, "sending", NULL);
		write_queue(w, r, LANE_SENDING, at + LEASE_US);
		break;
	case ROW_BEHIND:
		write_queue(w, r, LANE_BEHIND, DT_NOEND);
		break;
	case ROW_POSTPONED:
		write_queue(w, r, own, at + BUSY_US);
		claim->next_due = Min(claim->next_due, at + BUSY_US);
		break;
	case ROW_SUPERSEDED:
	case ROW_CANCELLED:
		write_note(w, r, "cancelled", r->error == NULL ? "superseded" : r->error);
		claim->cancelled++;
		write_over(w, r);
		break;
	case ROW_DEAD:
		write_note(w, r, "dead", r->error);
		claim->dead++;
		write_over(w, r);
		break;
	case ROW_GONE:
		write_over(w, r);
		break;
	}
}

/* Somebody has finished some of them by hand since they were read. */
static void
drop_finished(OutboxClaim *claim)
{
	static const Oid types[] = {INT8OID};
	ListCell *cell;

	foreach (cell, claim->deliveries) {
		Delivery *delivery = lfirst(cell);

		if (observ_spi(SPI_OK_SELECT,
					   "SELECT FROM observ.notifications WHERE notification_id = $1 AND status = 'sending'",
					   1, types, (Datum[]){Int64GetDatum(delivery->notification_id)}, NULL) > 0)
			continue;
		claim->deliveries = foreach_delete_current(claim->deliveries, cell);
		MemoryContextDelete(delivery->context);
	}
}

void
observ_outbox_write(TimestampTz at, const OutboxRow *rows, int n_rows, OutboxClaim *claim)
{
	static SPIPlanPtr notes = NULL, rewritten = NULL, queue = NULL, over = NULL;
	Writes w = {observ_row_batch(note_types, lengthof(note_types)),
				observ_row_batch(rewritten_types, lengthof(rewritten_types)),
				observ_row_batch(queue_types, lengthof(queue_types)),
				observ_row_batch(over_types, lengthof(over_types))};
	Oid types[7];
	Datum values[7];
	int n;

	for (int i = 0; i < n_rows; i++)
		write_row(&w, at, &rows[i], claim);
	if (observ_row_batch_size(w.notes) > 0) {
		n = observ_row_batch_arguments(w.notes, 0, types, values);
		types[n] = types[n + 1] = TIMESTAMPTZOID;
		values[n] = TimestampTzGetDatum(at + LEASE_US);
		values[n + 1] = TimestampTzGetDatum(at);
		if (observ_spi_kept(&notes, SPI_OK_UPDATE, notes_sql, n + 2, types, values, NULL) <
			(uint64) observ_row_batch_size(w.notes))
			drop_finished(claim);
	}
	observ_row_batch_run(w.rewritten, &rewritten, SPI_OK_UPDATE, rewritten_sql);
	observ_row_batch_run(w.queue, &queue, SPI_OK_UPDATE, queue_sql);
	observ_row_batch_run(w.over, &over, SPI_OK_DELETE, over_sql);
}
