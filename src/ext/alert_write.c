/*
 * Writing what an evaluation changed: alerts, their history, counts in the fleet summary; many rows per statement.
 * What does not belong here: what changes (evaluation_settle.c), reading (alert_store.c).
 */
#include "postgres.h"

#include "ext/alert_store.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/alert_text.h"
#include "ext/evaluation_parts.h"
#include "ext/partitions.h"
#include "ext/row_batch.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define BATCH_ROWS 5000
/* New values of alerts whose state did not change, per call; those that have waited longest go first. */
#define REFRESH_MAX 2000

static const char insert_sql[] =
	"INSERT INTO observ.alerts (alert_id, fingerprint, rule_id, status, severity, instance, app_name, "
	"labels, identity, annotations, summary, description, value, peak_value, sampled_at, active_at, "
	"starts_at, keep_since, missing_since, ends_at, stale, reopened, flap_history, flap_at, flapping, "
	"resolved_reason, changes, unrouted) "
	"SELECT u.id, u.fingerprint, u.rule_id, u.status, u.severity::observ.severity, u.instance, u.app, "
	"u.labels, u.identity, u.annotations, u.summary, u.description, u.value, u.peak, u.sampled_at, "
	"u.active_at, u.starts_at, u.keep_since, u.missing_since, u.ends_at, u.stale, u.reopened, u.history, "
	"u.flap_at, u.flapping, u.reason, u.changes, u.unrouted FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, "
	"$10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28) AS u "
	"(id, status, severity, value, peak, sampled_at, active_at, starts_at, keep_since, missing_since, "
	"ends_at, stale, reopened, history, flap_at, flapping, reason, changes, unrouted, labels, annotations, "
	"summary, description, fingerprint, rule_id, instance, app, identity) ON CONFLICT DO NOTHING RETURNING "
	"alert_id";

static const char update_sql[] =
	"UPDATE observ.alerts a SET status = u.status, severity = u.severity::observ.severity, value = u.value, "
	"peak_value = u.peak, sampled_at = u.sampled_at, active_at = u.active_at, starts_at = u.starts_at, "
	"keep_since = u.keep_since, missing_since = u.missing_since, ends_at = u.ends_at, stale = u.stale, "
	"reopened = u.reopened, flap_history = u.history, flap_at = u.flap_at, flapping = u.flapping, "
	"resolved_reason = u.reason, changes = u.changes, unrouted = a.unrouted OR u.unrouted, "
	"labels = coalesce(u.labels, a.labels), annotations = coalesce(u.annotations, a.annotations), "
	"summary = CASE WHEN u.annotations IS NULL THEN a.summary ELSE u.summary END, "
	"description = CASE WHEN u.annotations IS NULL THEN a.description ELSE u.description END, "
	"acknowledged_at = CASE WHEN u.unacknowledged THEN NULL ELSE a.acknowledged_at END, "
	"acknowledged_by = CASE WHEN u.unacknowledged THEN NULL ELSE a.acknowledged_by END, "
	"acknowledged_until = CASE WHEN u.unacknowledged THEN NULL ELSE a.acknowledged_until END, "
	"acknowledged_sticky = CASE WHEN u.unacknowledged THEN NULL ELSE a.acknowledged_sticky END, "
	"acknowledged_note = CASE WHEN u.unacknowledged THEN NULL ELSE a.acknowledged_note END "
	"FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, "
	"$21, $22, $23, $24) AS u (id, status, severity, value, peak, sampled_at, active_at, starts_at, "
	"keep_since, missing_since, ends_at, stale, reopened, history, flap_at, flapping, reason, changes, "
	"unrouted, labels, annotations, summary, description, unacknowledged) WHERE a.alert_id = u.id";

/* Columns that both statements have come first, in the same order. */
static const Oid insert_types[] = {
	INT8OID,        TEXTOID,        TEXTOID,        FLOAT8OID,      FLOAT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID,   INT4OID,        INT4OID,
	TIMESTAMPTZOID, BOOLOID,        TEXTOID,        INT4OID,        BOOLOID,   JSONBOID,       JSONBOID,
	TEXTOID,        TEXTOID,        TEXTOID,        INT8OID,        TEXTOID,   TEXTOID,        JSONBOID};
static const Oid update_types[] = {
	INT8OID,        TEXTOID,        TEXTOID,        FLOAT8OID,      FLOAT8OID,      TIMESTAMPTZOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID,
	INT4OID,        INT4OID,        TIMESTAMPTZOID, BOOLOID,        TEXTOID,        INT4OID,
	BOOLOID,        JSONBOID,       JSONBOID,       TEXTOID,        TEXTOID,        BOOLOID};

static const char history_sql[] =
	"INSERT INTO observ.alert_history (\"timestamp\", alert_id, rule_id, fingerprint, from_status, "
	"to_status, event, reason, value) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)";
static const Oid history_types[] = {TIMESTAMPTZOID, INT8OID, INT8OID, TEXTOID,  TEXTOID,
									TEXTOID,        TEXTOID, TEXTOID, FLOAT8OID};

/* Values of a row that is put together. */
typedef struct Row {
	Datum values[lengthof(insert_types)];
	bool nulls[lengthof(insert_types)];
	int n;
} Row;

static void
put(Row *row, bool isnull, Datum value)
{
	row->nulls[row->n] = isnull;
	row->values[row->n++] = isnull ? (Datum) 0 : value;
}

static void
put_text(Row *row, const char *s)
{
	put(row, s == NULL, s == NULL ? (Datum) 0 : CStringGetTextDatum(s));
}

static void
put_float(Row *row, double value)
{
	put(row, isnan(value), Float8GetDatum(value));
}

static void
put_time(Row *row, TimestampTz time)
{
	put(row, time == ALERT_NEVER, TimestampTzGetDatum(time));
}

static void
put_json(Row *row, Jsonb *json)
{
	put(row, json == NULL, PointerGetDatum(json));
}

static void
put_texts(Row *row, ObservEvaluation *evaluation, const ObservLiveAlert *alert)
{
	bool labelled = !alert->stored || alert->relabelled;
	bool described = labelled || (alert->refreshed && alert->state.status != ALERT_RESOLVED);
	Jsonb *labels = NULL, *annotations = NULL;

	if (alert->rule != NULL && described) {
		labels = observ_alert_labels(alert->rule, &alert->instance,
									 observ_vps_labels(evaluation, alert->instance.vps_name));
		annotations = observ_alert_annotations(alert, labels);
	}
	put_json(row, labelled ? labels : NULL);
	put_json(row, annotations);
	put_text(row, observ_key_text(annotations, "summary"));
	put_text(row, observ_key_text(annotations, "description"));
}

static void
put_state(Row *row, const ObservLiveAlert *alert)
{
	const struct alert_instance *state = &alert->state;

	put(row, false, Int64GetDatum(alert->alert_id));
	put_text(row, alert_status_names[state->status]);
	put_text(row, observ_severity_names[alert->severity]);
	put_float(row, alert->value);
	put_float(row, alert->peak);
	put_time(row, alert->sampled_at);
	put_time(row, state->active_at);
	put_time(row, state->fired_at);
	put_time(row, state->keep_since);
	put_time(row, state->missing_since);
	put_time(row, state->ended_at);
	put(row, false, BoolGetDatum(state->stale));
	put(row, false, Int32GetDatum(alert->reopened));
	put(row, false, Int32GetDatum(state->flap_history));
	put_time(row, state->flap_at);
	put(row, false, BoolGetDatum(state->flapping));
	put_text(row, state->status == ALERT_RESOLVED ? alert->reason : NULL);
	put(row, false, Int32GetDatum(alert->changes));
	put(row, false, BoolGetDatum(alert->unrouted));
}

/* Work on alerts in batches, in memory that is given back after each. */
typedef struct Writing {
	ObservEvaluation *evaluation;
	ObservAlertStore *store;
	ObservWritten *written;
	MemoryContext context;
	ObservLiveAlert **alerts; /* those at hand, by alert_id */
	int n;
} Writing;

static int
compare_ids(const void *a, const void *b)
{
	int64 x = (*(ObservLiveAlert *const *) a)->alert_id, y = (*(ObservLiveAlert *const *) b)->alert_id;

	return (x > y) - (x < y);
}

static int
compare_waiting(const void *a, const void *b)
{
	const ObservLiveAlert *x = *(ObservLiveAlert *const *) a, *y = *(ObservLiveAlert *const *) b;

	if (x->read_sampled_at != y->read_sampled_at)
		return x->read_sampled_at < y->read_sampled_at ? -1 : 1;
	return (x->alert_id > y->alert_id) - (x->alert_id < y->alert_id);
}

static ObservLiveAlert *
alert_of_id(ObservLiveAlert **sorted, int n, int64 id)
{
	ObservLiveAlert wanted = {.alert_id = id}, *key = &wanted;
	ObservLiveAlert **found = bsearch(&key, sorted, n, sizeof(ObservLiveAlert *), compare_ids);

	return found == NULL ? NULL : *found;
}

/* Whether there is history of it, or a row to be. */
static bool
needs_id(const ObservLiveAlert *alert)
{
	return !alert->stored && alert->changed;
}

static void
number_alerts(ObservAlertStore *store)
{
	int64 n = 0;
	uint64 next = 0;
	Datum value;

	for (int i = 0; i < store->n; i++)
		n += needs_id(store->all[i]);
	if (n == 0)
		return;
	value = Int64GetDatum(n);
	observ_spi(SPI_OK_SELECT,
			   "SELECT nextval((SELECT pg_get_serial_sequence('observ.alerts', 'alert_id')::regclass)) FROM "
			   "generate_series(1, $1)",
			   1, (Oid[]){INT8OID}, &value, NULL);
	for (int i = 0; i < store->n; i++) {
		ObservLiveAlert *alert = store->all[i];
		bool isnull;

		if (!needs_id(alert))
			continue;
		alert->alert_id = DatumGetInt64(observ_spi_value(next++, 1, &isnull));
		if (alert->fingerprint == NULL) {
			MemoryContext before = MemoryContextSwitchTo(store->context);

			alert->fingerprint = observ_fingerprint(alert->rule_id, &alert->instance);
			MemoryContextSwitchTo(before);
		}
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Takes the locks of a batch of stored rows that are as they were read; returns how many, marking the others lost. */
static void
mark_locked(Writing *writing, uint64 n)
{
	for (uint64 row = 0; row < n; row++) {
		bool isnull;
		ObservLiveAlert *alert =
			alert_of_id(writing->alerts, writing->n, DatumGetInt64(observ_spi_value(row, 1, &isnull)));

		if (alert != NULL)
			alert->lost = false;
	}
	SPI_freetuptable(SPI_tuptable);
}

#define LOCK_SQL                                                                                             \
	"SELECT a.alert_id FROM observ.alerts a JOIN unnest($1, $2) AS u (id, changes) ON a.alert_id = u.id "    \
	"WHERE a.changes = u.changes ORDER BY a.alert_id FOR NO KEY UPDATE OF a"

static ObservRowBatch *
unlocked(Writing *writing)
{
	static const Oid types[] = {INT8OID, INT4OID};
	ObservRowBatch *batch = observ_row_batch(types, lengthof(types));

	for (int i = 0; i < writing->n; i++) {
		Datum values[] = {Int64GetDatum(writing->alerts[i]->alert_id),
						  Int32GetDatum(writing->alerts[i]->read_changes)};
		bool nulls[] = {false, false};

		if (writing->alerts[i]->lost)
			observ_row_batch_add(batch, values, nulls);
	}
	return batch;
}

static void
lock_waiting(void *arg)
{
	static SPIPlanPtr plan = NULL;
	Writing *writing = arg;
	ObservRowBatch *batch = unlocked(writing);

	mark_locked(writing, observ_row_batch_run(batch, &plan, SPI_OK_SELECT, LOCK_SQL));
}

/*
 * What somebody holds for a moment (dispatch does) is waited for, what somebody holds longer, or changed meanwhile, is left alone.
 */
static void
lock_rows(Writing *writing)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch;

	qsort(writing->alerts, writing->n, sizeof(ObservLiveAlert *), compare_ids);
	for (int i = 0; i < writing->n; i++)
		writing->alerts[i]->lost = true;
	batch = unlocked(writing);
	mark_locked(writing, observ_row_batch_run(batch, &plan, SPI_OK_SELECT, LOCK_SQL " SKIP LOCKED"));
	batch = unlocked(writing);
	if (observ_row_batch_size(batch) > 0) {
		int nest_level = NewGUCNestLevel();

		if (LockTimeout == 0)
			(void) set_config_option("lock_timeout", "200ms", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
									 true, 0, false);
		(void) observ_in_subtransaction(lock_waiting, writing);
		AtEOXact_GUC(true, nest_level);
	}
	for (int i = 0; i < writing->n; i++)
		writing->written->lost += writing->alerts[i]->lost;
}

static void
insert_batch(Writing *writing)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(insert_types, lengthof(insert_types));
	uint64 inserted;

	for (int i = 0; i < writing->n; i++) {
		ObservLiveAlert *alert = writing->alerts[i];
		Row row = {.n = 0};

		put_state(&row, alert);
		put_texts(&row, writing->evaluation, alert);
		put_text(&row, alert->fingerprint);
		put(&row, false, Int64GetDatum(alert->rule_id));
		put_text(&row, alert->instance.vps_name);
		put_text(&row, alert->instance.app_name);
		put_json(&row, observ_identity(&alert->instance));
		observ_row_batch_add(batch, row.values, row.nulls);
		alert->lost = true;
	}
	qsort(writing->alerts, writing->n, sizeof(ObservLiveAlert *), compare_ids);
	inserted = observ_row_batch_run(batch, &plan, SPI_OK_INSERT_RETURNING, insert_sql);
	mark_locked(writing, inserted);
	writing->written->inserted += inserted;
}

static void
update_batch(Writing *writing)
{
	static SPIPlanPtr plan = NULL;
	ObservRowBatch *batch = observ_row_batch(update_types, lengthof(update_types));

	lock_rows(writing);
	for (int i = 0; i < writing->n; i++) {
		ObservLiveAlert *alert = writing->alerts[i];
		Row row = {.n = 0};

		if (alert->lost)
			continue;
		put_state(&row, alert);
		put_texts(&row, writing->evaluation, alert);
		put(&row, false, BoolGetDatum(alert->unacknowledged));
		observ_row_batch_add(batch, row.values, row.nulls);
		writing->written->refreshed += !alert->changed;
		writing->written->updated += alert->changed;
	}
	observ_row_batch_run(batch, &plan, SPI_OK_UPDATE, update_sql);
}

static void
delete_batch(Writing *writing)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {INT8OID};
	ObservRowBatch *batch = observ_row_batch(types, lengthof(types));

	lock_rows(writing);
	for (int i = 0; i < writing->n; i++) {
		Datum id = Int64GetDatum(writing->alerts[i]->alert_id);
		bool isnull = false;

		if (!writing->alerts[i]->lost)
			observ_row_batch_add(batch, &id, &isnull);
	}
	writing->written->deleted += observ_row_batch_run(batch, &plan, SPI_OK_DELETE,
													  "DELETE FROM observ.alerts WHERE alert_id = ANY ($1)");
}

typedef bool Wanted(const ObservLiveAlert *alert);

static bool
is_inserted(const ObservLiveAlert *alert)
{
	return needs_id(alert) && !alert->gone;
}

static bool
is_updated(const ObservLiveAlert *alert)
{
	return alert->stored && !alert->gone && alert->changed;
}

static bool
is_deleted(const ObservLiveAlert *alert)
{
	return alert->stored && alert->gone && !alert->lost;
}

static bool
is_refreshed(const ObservLiveAlert *alert)
{
	return alert->stored && !alert->gone && alert->refreshed && !alert->changed;
}

static ObservLiveAlert **
choose(const ObservAlertStore *store, Wanted *wanted, int *n)
{
	ObservLiveAlert **chosen =
		MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*chosen) * Max(store->n, 1));

	*n = 0;
	for (int i = 0; i < store->n; i++)
		if (wanted(store->all[i]))
			chosen[(*n)++] = store->all[i];
	return chosen;
}

static void
in_batches(Writing *writing, ObservLiveAlert **alerts, int n, void (*work)(Writing *))
{
	for (int from = 0; from < n; from += BATCH_ROWS) {
		MemoryContext before = MemoryContextSwitchTo(writing->context);

		CHECK_FOR_INTERRUPTS();
		writing->alerts = alerts + from;
		writing->n = Min(n - from, BATCH_ROWS);
		work(writing);
		MemoryContextSwitchTo(before);
		MemoryContextReset(writing->context);
	}
}

static void
write_chosen(Writing *writing, Wanted *wanted, void (*work)(Writing *))
{
	int n = 0;
	ObservLiveAlert **alerts = choose(writing->store, wanted, &n);

	in_batches(writing, alerts, n, work);
	pfree(alerts);
}

static bool
is_replaced(const ObservLiveAlert *alert)
{
	return alert->gone && alert->goes_on_as != NULL;
}

static void
lock_stored(Writing *writing, ObservLiveAlert **alerts, int n)
{
	ObservLiveAlert **stored = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*stored) * Max(n, 1));
	int n_stored = 0;

	for (int i = 0; i < n; i++)
		if (alerts[i]->stored)
			stored[n_stored++] = alerts[i];
	in_batches(writing, stored, n_stored, lock_rows);
	pfree(stored);
}

/*
 * A pending alert that goes and the episode that is reopened in its place change together or not at all: where somebody else has either, the next
 * evaluation finds both as they were.
 */
static void
lock_replaced(Writing *writing)
{
	int n = 0;
	ObservLiveAlert **gone = choose(writing->store, is_replaced, &n);
	ObservLiveAlert **reopened = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(*reopened) * Max(n, 1));

	for (int i = 0; i < n; i++)
		reopened[i] = gone[i]->goes_on_as;
	lock_stored(writing, gone, n);
	lock_stored(writing, reopened, n);
	for (int i = 0; i < n; i++)
		if (gone[i]->lost || reopened[i]->lost) {
			gone[i]->lost = reopened[i]->lost = true;
			reopened[i]->changed = reopened[i]->refreshed = false;
		}
	pfree(reopened);
	pfree(gone);
}

static void
write_refreshed(Writing *writing)
{
	int n = 0;
	ObservLiveAlert **alerts = choose(writing->store, is_refreshed, &n);

	if (n > REFRESH_MAX) {
		qsort(alerts, n, sizeof(ObservLiveAlert *), compare_waiting);
		n = REFRESH_MAX;
	}
	in_batches(writing, alerts, n, update_batch);
	pfree(alerts);
}

static void
write_history(Writing *writing)
{
	static SPIPlanPtr plan = NULL;
	const ObservAlertStore *store = writing->store;
	ObservRange covered = {0};
	bool known = false;

	for (int from = 0; from < store->n_events; from += BATCH_ROWS) {
		MemoryContext before = MemoryContextSwitchTo(writing->context);
		ObservRowBatch *batch = observ_row_batch(history_types, lengthof(history_types));

		for (int i = from; i < Min(store->n_events, from + BATCH_ROWS); i++) {
			const ObservAlertEvent *event = &store->events[i];
			Row row = {.n = 0};

			if (event->alert->lost)
				continue;
			if (!known || event->at < covered.from || event->at >= covered.to) {
				covered = observ_ensure_partition("alert_history", event->at);
				known = true;
			}
			put_time(&row, event->at);
			put(&row, false, Int64GetDatum(event->alert->alert_id));
			put(&row, false, Int64GetDatum(event->alert->rule_id));
			put_text(&row, event->alert->fingerprint);
			put_text(&row, event->from == ALERT_INACTIVE ? NULL : alert_status_names[event->from]);
			put_text(&row, alert_status_names[event->to]);
			put_text(&row, event->name ? event->name : alert_event_names[event->event]);
			put_text(&row, event->reason);
			put_float(&row, event->value);
			observ_row_batch_add(batch, row.values, row.nulls);
		}
		writing->written->history += observ_row_batch_run(batch, &plan, SPI_OK_INSERT, history_sql);
		MemoryContextSwitchTo(before);
		MemoryContextReset(writing->context);
	}
}

void
observ_write_alerts(ObservEvaluation *evaluation, ObservAlertStore *store, ObservWritten *written)
{
	Writing writing = {.evaluation = evaluation, .store = store, .written = written};

	writing.context =
		AllocSetContextCreate(CurrentMemoryContext, "observ alerts to write", ALLOCSET_DEFAULT_SIZES);
	number_alerts(store);
	lock_replaced(&writing);
	/* Rows that go first: a new episode of the same instance may follow. */
	write_chosen(&writing, is_deleted, delete_batch);
	write_chosen(&writing, is_updated, update_batch);
	write_chosen(&writing, is_inserted, insert_batch);
	write_refreshed(&writing);
	write_history(&writing);
	MemoryContextDelete(writing.context);
}
