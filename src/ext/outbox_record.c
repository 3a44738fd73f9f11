/*
 * What came of attempts: notifications move on, the queue too, attempts are written down. What does not belong here: how channels stand afterwards
 * (outbox_state.c), who is told instead (outbox_fallback.c), what an answer means (the kinds).
 */
#include "postgres.h"

#include "ext/outbox_parts.h"

#include "catalog/pg_type.h"
#include "core/retry_schedule.h"
#include "ext/partitions.h"
#include "ext/processes.h"
#include "utils/timestamp.h"

/* An attempt, and where the notification stands. */
typedef struct Outcome {
	const DeliveryResult *result;
	bool lost;    /* nobody knows what came of it */
	bool found;   /* the notification is there */
	bool current; /* and this is its present attempt */
	const char *channel, *group_key;
	int seq, counts_as; /* counts_as: what is delivered with it */
	int attempts, failures, step;
	char *parts;
	TimestampTz made_at, not_before;
	bool emergency;
	const char *status, *error;
} Outcome;

/* ---- where notifications stand */

static const char read_sql[] =
	"SELECT i.number, n.channel, n.group_key, n.seq, n.status = 'sending', n.attempts, n.step, d.made_at, "
	"d.emergency, d.failures, d.parts, coalesce(o.seq, n.seq) "
	"FROM unnest($1, $2) i (number, notification_id) "
	"JOIN observ.notifications n ON n.notification_id = i.notification_id "
	"LEFT JOIN observ_data.deliveries d ON d.channel = n.channel AND d.group_key = n.group_key AND d.seq = "
	"n.seq "
	"LEFT JOIN observ.notifications o ON o.notification_id = n.resend_of";

static void
read_outcomes(Outcome *outcomes, int n)
{
	static const Oid types[] = {INT4OID, INT8OID};
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(types, lengthof(types));
	uint64 found;

	for (int i = 0; i < n; i++)
		observ_row_batch_add(
			batch, (Datum[]){Int32GetDatum(i), Int64GetDatum(outcomes[i].result->notification_id)}, NULL);
	found = observ_row_batch_run(batch, &plan, SPI_OK_SELECT, read_sql);
	for (uint64 row = 0; row < found; row++) {
		Outcome *o = &outcomes[observ_spi_int32(row, 1)];
		bool no_queue;

		o->found = true;
		o->channel = observ_spi_text(row, 2);
		o->group_key = observ_spi_text(row, 3);
		o->seq = observ_spi_int32(row, 4);
		o->attempts = observ_spi_int32(row, 6);
		o->step = observ_spi_int32(row, 7);
		o->made_at = observ_spi_time_or(row, 8, 0);
		o->emergency = observ_spi_boolean(row, 9);
		o->failures = DatumGetInt16(observ_spi_value(row, 10, &no_queue));
		o->parts = observ_spi_text(row, 11);
		o->counts_as = observ_spi_int32(row, 12);
		o->current = !no_queue && observ_spi_boolean(row, 5) && o->attempts == o->result->attempt;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* ---- decisions */

/* All parts are done, whether or not they could be delivered. */
static void
finish(Outcome *o, const char *error)
{
	int n = (int) strlen(o->parts), lost = 0;

	for (int i = 0; i < n; i++)
		lost += o->parts[i] == OUTBOX_LOST;
	o->status = lost < n ? "sent" : "dead";
	o->error = lost == n  ? error
			   : lost > 0 ? psprintf("%d of %d parts could not be delivered", lost, n)
						  : NULL;
}

/* Those that are open are tried again, all together, by the schedule; given up when that would be too late. */
static void
begin_again(Outcome *o, TimestampTz at, int64 delay_ms, const char *error)
{
	o->not_before = at + delay_ms * 1000;
	o->status = "retry";
	o->error = error;
	if (o->not_before < observ_outbox_deadline(o->made_at, o->emergency))
		return;
	for (int i = outbox_next_part(o->parts, -1); i >= 0; i = outbox_next_part(o->parts, i))
		o->parts[i] = OUTBOX_LOST;
	finish(o, psprintf("given up after %d attempts: %s", o->attempts, error == NULL ? "no answer" : error));
}

/* The next part is sent at once, also when this one is to be tried again: that waits until the others have had their turn. */
static void
next_part(Outcome *o, TimestampTz at, const char *error)
{
	int next = outbox_next_part(o->parts, o->step);
	int64 delay_ms;

	if (next >= 0) {
		o->step = next;
		o->status = "queued";
		o->not_before = at;
		o->error = error;
		return;
	}
	next = outbox_next_part(o->parts, -1);
	if (next < 0) {
		finish(o, error);
		return;
	}
	o->step = next;
	o->failures = Min(o->failures + 1, PG_INT16_MAX);
	delay_ms = retry_delay_ms(o->failures, retry_chance(o->result->notification_id, o->result->attempt));
	begin_again(o, at, Max(delay_ms, o->result->verdict.retry_after_ms), error);
}

static void
part_is_over(Outcome *o, TimestampTz at, char how, const char *error)
{
	o->parts[o->step] = how;
	next_part(o, at, error);
}

static void
try_again(Outcome *o, TimestampTz at)
{
	const ChannelVerdict *verdict = &o->result->verdict;
	const ChannelKind *kind = o->result->kind == NULL ? NULL : observ_channel_kind(o->result->kind);
	const char *error = verdict->error == NULL ? "no answer" : verdict->error;

	if (o->result->unsure && kind != NULL && kind->once_when_unsure) {
		if (o->parts[o->step] == OUTBOX_UNSURE) {
			part_is_over(o, at, OUTBOX_LOST,
						 psprintf("it may have arrived, twice, and is not sent again: %s", error));
			return;
		}
		o->parts[o->step] = OUTBOX_UNSURE;
	}
	if (o->lost)
		begin_again(o, at, 0, error);
	else
		next_part(o, at, error);
}

static void
decide(Outcome *o, TimestampTz at)
{
	switch (o->result->verdict.outcome) {
	case CHANNEL_SENT:
		part_is_over(o, at, OUTBOX_DONE, NULL);
		break;
	case CHANNEL_DEAD:
		part_is_over(o, at, OUTBOX_LOST, o->result->verdict.error);
		break;
	case CHANNEL_RETRY:
	case CHANNEL_AGAIN:
		try_again(o, at);
		break;
	}
}

static bool
is_over(const Outcome *o)
{
	return strcmp(o->status, "sent") == 0 || strcmp(o->status, "dead") == 0;
}

/* ---- what is written */

static const char attempts_sql[] =
	"INSERT INTO observ.notification_attempts (\"timestamp\", notification_id, channel, kind, attempt, step, "
	"outcome, status_code, phase, error, excerpt, latency_ms, retry_after, address) "
	"SELECT a.at, a.id, a.channel, a.kind, a.attempt, a.step, a.outcome, a.status_code, a.phase, a.error, "
	"a.excerpt, a.latency_ms, a.retry_after, a.address "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) a (at, id, channel, kind, "
	"attempt, step, outcome, status_code, phase, error, excerpt, latency_ms, retry_after, address)";
static const Oid attempt_types[] = {TIMESTAMPTZOID, INT8OID,   TEXTOID,     TEXTOID, INT4OID,
									INT4OID,        TEXTOID,   INT4OID,     TEXTOID, TEXTOID,
									TEXTOID,        FLOAT8OID, INTERVALOID, TEXTOID};

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static const char *
outcome_name(const Outcome *o)
{
	static const char *const names[] = {"sent", "retry", "dead", "retry"};

	return o->lost ? "unknown" : names[o->result->verdict.outcome];
}

static void
write_attempts(const Outcome *outcomes, int n)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(attempt_types, lengthof(attempt_types));
	ObservRange partition = {DT_NOEND, DT_NOEND};

	for (int i = 0; i < n; i++) {
		const DeliveryResult *r = outcomes[i].result;
		Interval *wait = palloc0(sizeof *wait);
		Datum row[lengthof(attempt_types)];
		bool nulls[lengthof(attempt_types)] = {false};

		wait->time = r->verdict.retry_after_ms * 1000;
		row[0] = TimestampTzGetDatum(r->ended_at);
		row[1] = Int64GetDatum(r->notification_id);
		row[2] = CStringGetTextDatum(r->channel);
		row[3] = text_or_null(r->kind, &nulls[3]);
		row[4] = Int32GetDatum(r->attempt);
		row[5] = Int32GetDatum(r->step);
		row[6] = CStringGetTextDatum(outcome_name(&outcomes[i]));
		row[7] = Int32GetDatum(r->status_code);
		nulls[7] = r->status_code == 0;
		row[8] = text_or_null(r->phase, &nulls[8]);
		row[9] = text_or_null(r->verdict.error, &nulls[9]);
		row[10] = text_or_null(r->excerpt, &nulls[10]);
		row[11] = Float8GetDatum(r->latency_ms);
		nulls[11] = r->latency_ms < 0;
		row[12] = IntervalPGetDatum(wait);
		nulls[12] = r->verdict.retry_after_ms < 0;
		row[13] = text_or_null(r->address, &nulls[13]);
		if (r->ended_at < partition.from || r->ended_at >= partition.to)
			partition = observ_ensure_partition("notification_attempts", r->ended_at);
		observ_row_batch_add(batch, row, nulls);
	}
	observ_row_batch_run(batch, &plan, SPI_OK_INSERT, attempts_sql);
}

static const char notes_sql[] =
	"UPDATE observ.notifications n SET status = r.status, step = r.step, lease_until = NULL, "
	"not_before = CASE r.status WHEN 'retry' THEN r.not_before END, "
	"finished_at = CASE WHEN r.status IN ('sent', 'dead') THEN $7 END, "
	"last_error = CASE r.status WHEN 'sent' THEN r.error ELSE coalesce(r.error, n.last_error) END, "
	"receipt = coalesce(r.receipt, n.receipt) "
	"FROM unnest($1, $2, $3, $4, $5, $6) r (notification_id, status, step, not_before, error, receipt) "
	"WHERE n.notification_id = r.notification_id";
static const Oid note_types[] = {INT8OID, TEXTOID, INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID};

static void
write_notes(const Outcome *outcomes, int n, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(note_types, lengthof(note_types));
	Oid types[7];
	Datum values[7];

	for (int i = 0; i < n; i++) {
		const Outcome *o = &outcomes[i];
		bool nulls[lengthof(note_types)] = {false};
		Datum row[] = {Int64GetDatum(o->result->notification_id),
					   CStringGetTextDatum(o->status),
					   Int32GetDatum(o->step),
					   TimestampTzGetDatum(o->not_before),
					   text_or_null(o->error, &nulls[4]),
					   text_or_null(o->result->verdict.receipt, &nulls[5])};

		observ_row_batch_add(batch, row, nulls);
	}
	observ_row_batch_arguments(batch, 0, types, values);
	types[6] = TIMESTAMPTZOID;
	values[6] = TimestampTzGetDatum(at);
	observ_spi_kept(&plan, SPI_OK_UPDATE, notes_sql, lengthof(types), types, values, NULL);
}

static const char queue_sql[] =
	"UPDATE observ_data.deliveries d SET lane = 1 - d.emergency::int, due_at = r.due_at, "
	"failures = r.failures, parts = r.parts "
	"FROM unnest($1, $2, $3, $4, $5, $6) r (channel, group_key, seq, due_at, failures, parts) "
	"WHERE d.channel = r.channel AND d.group_key = r.group_key AND d.seq = r.seq";
static const Oid queue_types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID, INT2OID, TEXTOID};

static const char over_sql[] =
	"DELETE FROM observ_data.deliveries d USING unnest($1, $2, $3) r (channel, group_key, seq) "
	"WHERE d.channel = r.channel AND d.group_key = r.group_key AND d.seq = r.seq";
static const Oid over_types[] = {TEXTOID, TEXTOID, INT4OID};

/* Those behind it come when it comes: one that failed gives way to them then. */
static const char behind_sql[] =
	"UPDATE observ_data.deliveries d SET lane = 1 - d.emergency::int, due_at = r.due_at "
	"FROM unnest($1, $2, $3) r (channel, group_key, due_at) "
	"WHERE d.channel = r.channel AND d.group_key = r.group_key AND d.lane = 3";
static const Oid behind_types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};

/*
 * With its first part: who has heard of the trouble must hear the end of it, whatever becomes of the others. In the order in which dispatches write
 * these rows.
 */
static const char delivered_sql[] =
	"INSERT INTO observ_data.group_channels AS g (group_key, channel, delivered_seq, sent_at) "
	"SELECT r.group_key, r.channel, max(r.seq), $4 FROM unnest($1, $2, $3) r (group_key, channel, seq) "
	"GROUP BY r.group_key, r.channel ORDER BY r.group_key COLLATE \"C\", r.channel COLLATE \"C\" "
	"ON CONFLICT (group_key, channel) DO UPDATE SET delivered_seq = excluded.delivered_seq "
	"WHERE g.delivered_seq < excluded.delivered_seq";
static const Oid delivered_types[] = {TEXTOID, TEXTOID, INT4OID};

static void
write_queue(const Outcome *outcomes, int n, TimestampTz at)
{
	static SPIPlanPtr queue = NULL, over = NULL, behind = NULL;
	ObservRowBatch *go_on = observ_row_batch(queue_types, lengthof(queue_types)),
				   *ended = observ_row_batch(over_types, lengthof(over_types)),
				   *waiting = observ_row_batch(behind_types, lengthof(behind_types));

	for (int i = 0; i < n; i++) {
		const Outcome *o = &outcomes[i];
		Datum row[] = {CStringGetTextDatum(o->channel), CStringGetTextDatum(o->group_key),
					   Int32GetDatum(o->seq),           TimestampTzGetDatum(o->not_before),
					   Int16GetDatum(o->failures),      CStringGetTextDatum(o->parts)};

		observ_row_batch_add(is_over(o) ? ended : go_on, row, NULL);
		row[2] = TimestampTzGetDatum(is_over(o) ? at : o->not_before);
		observ_row_batch_add(waiting, row, NULL);
	}
	observ_row_batch_run(go_on, &queue, SPI_OK_UPDATE, queue_sql);
	observ_row_batch_run(ended, &over, SPI_OK_DELETE, over_sql);
	observ_row_batch_run(waiting, &behind, SPI_OK_UPDATE, behind_sql);
}

static void
write_delivered(const Outcome *outcomes, int n, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(delivered_types, lengthof(delivered_types));
	Oid types[4];
	Datum values[4];

	for (int i = 0; i < n; i++)
		if (outcomes[i].result->verdict.outcome == CHANNEL_SENT && outcomes[i].counts_as > 0)
			observ_row_batch_add(batch,
								 (Datum[]){CStringGetTextDatum(outcomes[i].group_key),
										   CStringGetTextDatum(outcomes[i].channel),
										   Int32GetDatum(outcomes[i].counts_as)},
								 NULL);
	if (observ_row_batch_size(batch) == 0)
		return;
	observ_row_batch_arguments(batch, 0, types, values);
	types[3] = TIMESTAMPTZOID;
	values[3] = TimestampTzGetDatum(at);
	observ_spi_kept(&plan, SPI_OK_INSERT, delivered_sql, lengthof(types), types, values, NULL);
}

/* Who is told instead; the dispatch's lock must be had before any row of its tables. */
static void
fall_back(const Outcome *outcomes, int n, TimestampTz at)
{
	int64 *dead = palloc(sizeof *dead * n);
	int n_dead = 0;

	for (int i = 0; i < n; i++)
		if (strcmp(outcomes[i].status, "dead") == 0)
			dead[n_dead++] = outcomes[i].result->notification_id;
	if (n_dead > 0)
		observ_outbox_fall_back(at, dead, n_dead);
}

static bool
any_dead(const Outcome *outcomes, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(outcomes[i].status, "dead") == 0)
			return true;
	return false;
}

/* Takes those out that somebody has locked; returns how many are left. */
static int
leave_held(DeliveryResult *results, int n, bool *held)
{
	int64 *ids = palloc(sizeof *ids * n);
	int left = 0;

	for (int i = 0; i < n; i++)
		ids[i] = results[i].notification_id;
	if (observ_outbox_find_held(ids, n, held) == 0)
		return n;
	for (int i = 0; i < n; i++)
		if (!held[i])
			results[left++] = results[i];
	return left;
}

static void
record(TimestampTz at, const DeliveryResult *results, int n, bool lost)
{
	Outcome *outcomes = palloc0(sizeof *outcomes * n);
	int current = 0;

	for (int i = 0; i < n; i++)
		outcomes[i] = (Outcome){.result = &results[i], .lost = lost};
	read_outcomes(outcomes, n);
	write_attempts(outcomes, n);
	if (!lost)
		observ_outbox_note_results(at, results, n);
	for (int i = 0; i < n; i++)
		if (outcomes[i].current) {
			outcomes[current] = outcomes[i];
			decide(&outcomes[current++], at);
		}
	if (current == 0)
		return;
	if (any_dead(outcomes, current))
		observ_wait_for_lock(OBSERV_LOCK_DISPATCH);
	write_notes(outcomes, current, at);
	write_queue(outcomes, current, at);
	write_delivered(outcomes, current, at);
	fall_back(outcomes, current, at);
}

void
observ_record_deliveries(TimestampTz at, const DeliveryResult *results, int n, bool *held)
{
	ObservIdentity saved = observ_as_owner_begin();
	int nest_level = observ_few_rows_begin();
	DeliveryResult *ours = palloc(sizeof *ours * Max(n, 1));

	memcpy(ours, results, sizeof *ours * n);
	observ_wait_for_lock(OBSERV_LOCK_DELIVER);
	n = leave_held(ours, n, held);
	if (n > 0)
		record(at, ours, n, false);
	observ_few_rows_end(nest_level);
	observ_as_owner_end(&saved);
}

/* ---- attempts that nobody will report */

static const char leases_sql[] =
	"SELECT d.notification_id, coalesce(n.attempts, 1), coalesce(n.step, 0), d.channel, c.kind "
	"FROM observ_data.deliveries d LEFT JOIN observ.notifications n USING (notification_id) "
	"LEFT JOIN observ.notification_channels c ON c.name = d.channel WHERE d.lane = 2 AND d.due_at <= $1";

/* Finished or deleted by hand while they were under way. */
static const char forsaken_sql[] =
	"DELETE FROM observ_data.deliveries d WHERE d.lane = 2 AND d.due_at <= $1 AND NOT EXISTS (SELECT FROM "
	"observ.notifications n WHERE n.notification_id = d.notification_id AND n.status = 'sending')";

int
observ_outbox_end_leases(TimestampTz at, TimestampTz until)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	static SPIPlanPtr plan = NULL, forsaken = NULL;
	Datum values[] = {TimestampTzGetDatum(until)};
	uint64 n = observ_spi_kept(&plan, SPI_OK_SELECT, leases_sql, 1, types, values, NULL);
	DeliveryResult *results = palloc(sizeof *results * Max(n, 1));

	for (uint64 row = 0; row < n; row++)
		results[row] = (DeliveryResult){.notification_id = observ_spi_int64(row, 1),
										.attempt = observ_spi_int32(row, 2),
										.step = observ_spi_int32(row, 3),
										.channel = observ_spi_text(row, 4),
										.kind = observ_spi_text(row, 5),
										.verdict = {.outcome = CHANNEL_RETRY,
													.retry_after_ms = -1,
													.error = "the notifier was gone before it heard"},
										.latency_ms = -1,
										.unsure = true,
										.ended_at = at};
	SPI_freetuptable(SPI_tuptable);
	if (n > 0) {
		observ_spi_kept(&forsaken, SPI_OK_DELETE, forsaken_sql, 1, types, values, NULL);
		n = leave_held(results, (int) n, palloc(sizeof(bool) * n));
	}
	if (n > 0)
		record(at, results, (int) n, true);
	return (int) n;
}

int
observ_recover_deliveries(TimestampTz at)
{
	ObservIdentity saved = observ_as_owner_begin();
	int nest_level = observ_few_rows_begin(), n;

	observ_wait_for_lock(OBSERV_LOCK_DELIVER);
	n = observ_outbox_end_leases(at, DT_NOEND);
	observ_few_rows_end(nest_level);
	observ_as_owner_end(&saved);
	return n;
}
