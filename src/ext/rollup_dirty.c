/*
 * Late rows: finding them, keeping a log of the keys they belong to, and working the log off.
 * What does not belong here: how a key is recomputed (rollup_recompute.c), when (rollup_job.c).
 */
#include "postgres.h"

#include "ext/rollup_dirty.h"

#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Keys made right per pass, and how often one is tried. */
#define KEYS_PER_PASS 5000
#define MAX_TRIES     "3"

/* Rows that one look for late rows reads at most, unless they came within a second. */
#define LATE_ROWS INT64CONST(2000000)

/*
 * %1$s: the key as text, %2$s: raw table. age() counts from the same transaction id wherever it is called in a transaction; rows that a
 * look has seen are older than what it may not have seen.
 */
static const char late_sql[] =
	"WITH late AS MATERIALIZED (SELECT m.vps_name, m.app_name, %1$s AS key, m.\"timestamp\" FROM observ.%2$s "
	"m "
	"  WHERE m.received_at >= $2 AND m.received_at < $3 AND m.\"timestamp\" < $4 AND age(m.xmin) <= $5 LIMIT "
	"$6), "
	"logged AS (INSERT INTO observ_data.rollup_dirty (source, vps_name, app_name, key, \"timestamp\") "
	"  SELECT DISTINCT $1, vps_name, app_name, key, date_bin('5 minutes', \"timestamp\", timestamptz "
	"'2000-01-01 00:00:00+00') "
	"  FROM late ON CONFLICT DO NOTHING RETURNING 1) "
	"SELECT (SELECT count(*) FROM late), (SELECT count(*) FROM logged)";

static const char oldest_sql[] =
	"SELECT vps_name, app_name, key, \"timestamp\", ctid FROM observ_data.rollup_dirty "
	"WHERE source = $1 AND tries < " MAX_TRIES " ORDER BY \"timestamp\" LIMIT $2";

static Datum
source_datum(const ObservRollupSource *source)
{
	return CStringGetTextDatum(source->name);
}

/* One look for rows received in [horizon, until); returns how many there are, at most limit. */
static int64
look(const ObservRollupSource *source, const ObservRollupState *state, TimestampTz until, int64 limit,
	 int64 *logged)
{
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT8OID};
	Datum values[] = {source_datum(source),           TimestampTzGetDatum(state->horizon),
					  TimestampTzGetDatum(until),     TimestampTzGetDatum(state->rolled_5m),
					  Int32GetDatum(state->seen_age), Int64GetDatum(limit)};
	char *key = psprintf(strcmp(source->raw_key, source->key_column) == 0 ? "m.%s::text" : "'%s'::text",
						 source->raw_key);
	int nest_level = observ_few_rows_begin();
	bool isnull;

	/* Planned each time: a plan from when a partition was empty would go through all of it by its key. */
	observ_spi(SPI_OK_SELECT, psprintf(late_sql, key, source->name), lengthof(types), types, values, NULL);
	observ_few_rows_end(nest_level);
	*logged += DatumGetInt64(observ_spi_value(0, 2, &isnull));
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

int64
observ_dirty_log_late(const ObservRollupSource *source, const ObservRollupState *state, TimestampTz horizon,
					  TimestampTz *until, int64 *rows)
{
	TimestampTz end = DT_NOEND;
	int64 logged = 0, found;

	*until = horizon;
	/* Millions at once: those that came first, and the rest another time. Keys of rows that are looked at twice are logged once. */
	while ((found = look(source, state, end, LATE_ROWS, &logged)) == LATE_ROWS) {
		if (TIMESTAMP_NOT_FINITE(state->horizon) ||
			(end != DT_NOEND && end - state->horizon <= USECS_PER_SEC)) {
			found = look(source, state, end, PG_INT64_MAX, &logged);
			break;
		}
		end = state->horizon + (Min(end, GetCurrentTimestamp()) - state->horizon) / 2;
		end = Max(end, state->horizon + USECS_PER_SEC / 2);
		*until = Min(end, horizon);
	}
	*rows += found;
	return logged;
}

/* ---- working off */

/* The keys that are worked on, with their places in the log. */
typedef struct Work {
	const ObservRollupSource *source;
	TimestampTz rolled_1h;
	ObservBucketList list;
	ItemPointerData *places; /* of list.items, which is not sorted */
	int from, to;            /* those of the attempt */
	ObservDirtyResult *result;
} Work;

static void
delete_places(const ItemPointerData *places, int n)
{
	Oid types[] = {TIDARRAYOID};
	Datum *tids = palloc(sizeof(Datum) * Max(n, 1));
	Datum value;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		tids[i] = PointerGetDatum(&places[i]);
	value = observ_array(tids, n, TIDOID);
	observ_spi(SPI_OK_DELETE, "DELETE FROM observ_data.rollup_dirty WHERE ctid = ANY ($1)", 1, types, &value,
			   NULL);
}

static void
read_oldest(Work *work)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, INT8OID};
	Datum values[] = {source_datum(work->source), Int64GetDatum(KEYS_PER_PASS)};
	ItemPointerData *expired = palloc(sizeof(ItemPointerData) * KEYS_PER_PASS);
	int n_expired = 0;
	uint64 n = observ_spi_kept(&plan, SPI_OK_SELECT, oldest_sql, lengthof(types), types, values, NULL);

	work->places = palloc(sizeof(ItemPointerData) * KEYS_PER_PASS);
	for (uint64 i = 0; i < n; i++) {
		bool isnull;
		text *vps = DatumGetTextPP(observ_spi_value(i, 1, &isnull)),
			 *app = DatumGetTextPP(observ_spi_value(i, 2, &isnull));
		text *item = DatumGetTextPP(observ_spi_value(i, 3, &isnull));
		TimestampTz start = DatumGetTimestampTz(observ_spi_value(i, 4, &isnull));
		ItemPointer place = (ItemPointer) DatumGetPointer(observ_spi_value(i, 5, &isnull));
		ObservRollupKey key = {.vps = VARDATA_ANY(vps),
							   .vps_len = VARSIZE_ANY_EXHDR(vps),
							   .app = VARDATA_ANY(app),
							   .app_len = VARSIZE_ANY_EXHDR(app),
							   .url = ""};

		if (!observ_rollup_covered(work->source, OBSERV_TIER_RAW, start, start + OBSERV_5M)) {
			expired[n_expired++] = *place;
			continue;
		}
		if (work->source->key_type == INT4OID)
			key.set_no = pg_strtoint32(text_to_cstring(item));
		else {
			key.url = VARDATA_ANY(item);
			key.url_len = VARSIZE_ANY_EXHDR(item);
		}
		work->places[work->list.n] = *place;
		observ_bucket_list_add(&work->list, &key, start);
	}
	delete_places(expired, n_expired);
	work->result->expired += n_expired;
	work->result->more = n == KEYS_PER_PASS;
}

/* Recomputes the keys of the attempt and their hours, and takes them from the log. */
static void
attempt(void *arg)
{
	Work *work = arg;
	ObservBucketList keys = {0}, hours = {0};
	ObservRecomputed done = {0};

	for (int i = work->from; i < work->to; i++) {
		const struct ObservBucketId *item = &work->list.items[i];
		TimestampTz hour = observ_floor_time(item->start, OBSERV_1H);

		observ_bucket_list_add(&keys, &item->key, item->start);
		if (hour < work->rolled_1h)
			observ_bucket_list_add(&hours, &item->key, hour);
	}
	observ_rollup_recompute(work->source, OBSERV_TIER_5M, &keys, &done);
	observ_rollup_recompute(work->source, OBSERV_TIER_1H, &hours, &done);
	delete_places(work->places + work->from, work->to - work->from);
	work->result->recomputed.rows += done.rows;
	work->result->recomputed.written += done.written;
	work->result->recomputed.nonfinite += done.nonfinite;
	work->result->keys += work->to - work->from;
}

static void
note_failed_key(Work *work, const ErrorData *error)
{
	Oid types[] = {TIDOID, TEXTOID};
	Datum values[] = {PointerGetDatum(&work->places[work->from]), CStringGetTextDatum(error->message)};

	observ_spi(SPI_OK_UPDATE,
			   "UPDATE observ_data.rollup_dirty SET tries = tries + 1, error = $2 WHERE ctid = $1",
			   lengthof(types), types, values, NULL);
	work->result->failed++;
	work->result->last_error = pstrdup(error->message);
}

/* Locks that others hold are nobody's fault: the whole pass is tried again. */
static ErrorData *
try_attempt(Work *work)
{
	ErrorData *error = observ_in_subtransaction(attempt, work);

	if (error != NULL && (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
						  error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED))
		ReThrowError(error);
	return error;
}

void
observ_dirty_work_off(const ObservRollupSource *source, TimestampTz rolled_1h, ObservDirtyResult *result)
{
	Work work = {.source = source, .rolled_1h = rolled_1h, .result = result};
	int n;

	read_oldest(&work);
	n = work.list.n;
	work.to = n;
	/* All at once, and one by one to find out which of them it is that fails. */
	if (n == 0 || try_attempt(&work) == NULL)
		return;
	for (int i = 0; i < n; i++) {
		ErrorData *error;

		work.from = i;
		work.to = i + 1;
		error = try_attempt(&work);
		if (error != NULL)
			note_failed_key(&work, error);
	}
}
