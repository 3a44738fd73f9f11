/*
 * observ.roll_up(): one pass over each raw table (docs/history.md says it for people).
 *   1. rows that arrived late, below the watermark, enter their keys into a log;
 *   2. buckets that are closed are computed for all keys in one scan, and the watermark moves;
 *   3. keys of the log are computed again, each from its own raw rows;
 *   4. hours are made from their twelve buckets.
 * What does not belong here: how rows become cells (rollup_roller.c), the log (rollup_dirty.c).
 *
 * Why no row is missed. Take a row, and the first pass whose look for late rows (1) can see it. Received before the horizon of the pass
 * before, it would have been visible then (arrivals.h); so it is received later, and its transaction is none that the pass before had seen
 * the end of: the look reads it. If its bucket lies below the watermark that the pass begins with, its key is logged, and computed again by
 * a snapshot that sees the row. If not, its bucket is computed by (2) of this pass or of a later one, with a snapshot that sees it as
 * well. That a (2) may have seen the row before a (1) did costs one computation more, and changes nothing.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "ext/arrivals.h"
#include "ext/brin.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/partitions.h"
#include "ext/rollup_dirty.h"
#include "ext/rollup_roller.h"
#include "ext/rollup_write.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_roll_up);
OBSERV_SQL_FUNCTION(observ_recompute_rollups);

/* Rows that a pass reads of one source, about; and of one slice of time. */
#define PASS_ROWS  2000000
#define SLICE_ROWS 500000
#define MAX_SLICE  USECS_PER_DAY

/* One call of observ.roll_up(). */
typedef struct Pass {
	TimestampTz at;
	TimestampTz horizon; /* every row received before is visible from now on */
	bool more;
	bool failed;
	int64 rows, written, late, nonfinite;
	int64 dirty_left, set_aside;
	ObservDirtyResult dirty; /* of all sources together */
} Pass;

/* What is done for one source. */
typedef struct Step {
	Pass *pass;
	const ObservRollupSource *source;
	ObservRollupState state;
	TimestampTz seen_to; /* horizon of the next look for late rows */
	bool seen_all;
	bool dirty; /* there are keys in the log */
	bool changed;
} Step;

/* Where the buckets of a scan go. */
typedef struct RangeScan {
	ObservRollupWriter *writer;
	ObservBucketList again;
	MemoryContext context;
} RangeScan;

static void
take_bucket(void *arg, const ObservBucket *bucket)
{
	RangeScan *scan = arg;
	MemoryContext caller = MemoryContextSwitchTo(scan->context);

	if (bucket->disordered)
		observ_bucket_list_add(&scan->again, &bucket->key, bucket->start);
	else
		observ_rollup_put(scan->writer, bucket);
	MemoryContextSwitchTo(caller);
}

/*
 * Whether no bucket above the watermark is rolled up, as it should be. Some are when somebody has turned the watermark back.
 */
static bool
is_fresh(const Step *step)
{
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(step->state.rolled_5m)};
	int nest_level = observ_few_rows_begin();
	bool fresh;

	fresh = observ_spi(SPI_OK_SELECT,
					   psprintf("SELECT FROM observ.%s WHERE \"timestamp\" >= $1 AND %s LIMIT 1",
								step->source->tables[OBSERV_TIER_5M], step->source->only),
					   lengthof(types), types, values, NULL) == 0;
	observ_few_rows_end(nest_level);
	return fresh;
}

/* Computes the buckets of [from, to) of the source's table of that tier for all keys; returns the rows that were read. fresh: none is there. */
static uint64
scan_range(Step *step, ObservTier tier, TimestampTz from, TimestampTz to, bool fresh)
{
	const ObservRollupSource *source = step->source;
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "observ roll up", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	RangeScan scan = {.writer = observ_rollup_writer(source, tier, fresh), .context = context};
	ObservRoller *roller =
		observ_roller(source, tier == OBSERV_TIER_5M ? OBSERV_5M : OBSERV_1H, take_bucket, &scan);
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(to)};
	ObservRecomputed again = {0};
	/* Planned for these times: only their partitions. */
	SPIPlanPtr plan = SPI_prepare(psprintf("%s WHERE \"timestamp\" >= $1 AND \"timestamp\" < $2 AND %s",
										   observ_rollup_select(source, tier - 1),
										   tier == OBSERV_TIER_5M ? "true" : source->only),
								  lengthof(types), types);
	uint64 rows;

	if (plan == NULL)
		elog(ERROR, "could not prepare a scan of observ.%s: %s", source->tables[tier - 1],
			 SPI_result_code_string(SPI_result));
	rows = observ_roller_feed(roller, tier - 1, plan, lengthof(types), types, values, false);
	observ_roller_finish(roller);
	observ_rollup_flush(scan.writer);
	observ_rollup_recompute(source, tier, &scan.again, &again);
	step->pass->written += observ_rollup_written(scan.writer) + again.written;
	if (tier == OBSERV_TIER_5M)
		step->pass->nonfinite += observ_roller_nonfinite(roller) + again.nonfinite;
	SPI_freeplan(plan);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	return rows;
}

/* Start of the hour of the oldest raw row; `otherwise` when there is none. */
static TimestampTz
begin_of_data(const ObservRollupSource *source, TimestampTz otherwise)
{
	int n;
	ObservPartition *partitions = observ_partitions_of(source->name, false, &n);
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	char *sql =
		psprintf("SELECT min(\"timestamp\") FROM observ.%s WHERE \"timestamp\" >= $1 AND \"timestamp\" < $2",
				 source->name);

	for (int i = 0; i < n; i++) {
		Datum values[] = {TimestampTzGetDatum(partitions[i].range.from),
						  TimestampTzGetDatum(partitions[i].range.to)};
		bool isnull;
		Datum oldest;

		observ_spi(SPI_OK_SELECT, sql, lengthof(types), types, values, NULL);
		oldest = observ_spi_value(0, 1, &isnull);
		if (!isnull)
			return Min(observ_floor_time(DatumGetTimestampTz(oldest), OBSERV_1H), otherwise);
	}
	return otherwise;
}

/* Later rows have no place to lie: whatever time somebody asks for, the watermark stays where rows can still come. */
static TimestampTz
end_of_partitions(const ObservRollupSource *source)
{
	int n;
	ObservPartition *partitions = observ_partitions_of(source->name, false, &n);

	return n > 0 ? partitions[n - 1].range.to : DT_NOBEGIN;
}

static void
look_for_late_rows(Step *step)
{
	Pass *pass = step->pass;
	int64 late;

	step->seen_to = pass->horizon;
	step->seen_all = true;
	if (TIMESTAMP_IS_NOBEGIN(step->state.rolled_5m))
		return;
	late = observ_dirty_log_late(step->source, &step->state, pass->horizon, &step->seen_to, &pass->rows);
	step->seen_all = step->seen_to == pass->horizon;
	pass->late += late;
	pass->more |= !step->seen_all;
	step->dirty |= late > 0;
	step->changed |= late > 0 || !step->seen_all;
}

static void
close_buckets(Step *step)
{
	Pass *pass = step->pass;
	ObservRollupState *state = &step->state;
	TimestampTz last = end_of_partitions(step->source);
	TimestampTz end;
	int64 slice = OBSERV_5M;
	uint64 rows = 0;
	bool fresh;

	if (TIMESTAMP_IS_NOBEGIN(last))
		return;
	end = observ_floor_time(Min(pass->at - observ_roll_up_lag * USECS_PER_SEC, last), OBSERV_5M);
	if (TIMESTAMP_IS_NOBEGIN(state->rolled_5m)) {
		state->rolled_5m = begin_of_data(step->source, end);
		state->rolled_1h = observ_floor_time(state->rolled_5m, OBSERV_1H);
		step->changed = true;
	}
	fresh = state->rolled_5m < end && is_fresh(step);
	while (state->rolled_5m < end && rows < PASS_ROWS) {
		TimestampTz to = Min(state->rolled_5m + slice, end);
		uint64 n = scan_range(step, OBSERV_TIER_5M, state->rolled_5m, to, fresh);

		rows += n;
		state->rolled_5m = to;
		step->changed = true;
		/* A slice is long where little is to be read, and short where much is. */
		if (n < SLICE_ROWS / 4)
			slice = Min(slice * 4, MAX_SLICE);
		else if (n > SLICE_ROWS)
			slice = Max(slice / 2 / OBSERV_5M, 1) * OBSERV_5M;
		CHECK_FOR_INTERRUPTS();
	}
	pass->rows += rows;
	pass->more |= state->rolled_5m < end;
	if (rows > 0)
		observ_summarize_newest(step->source->tables[OBSERV_TIER_5M], state->rolled_5m);
}

/* Steps 1 and 2. */
static void
take_in(void *arg)
{
	look_for_late_rows(arg);
	close_buckets(arg);
}

/* Step 3. */
static void
work_off(void *arg)
{
	Step *step = arg;
	ObservDirtyResult *dirty = &step->pass->dirty;
	int64 before = dirty->keys;

	observ_dirty_work_off(step->source, step->state.rolled_1h, dirty);
	step->changed |= dirty->keys > before;
}

/* Step 4. */
static void
close_hours(void *arg)
{
	Step *step = arg;
	ObservRollupState *state = &step->state;
	TimestampTz end = observ_floor_time(state->rolled_5m, OBSERV_1H);

	while (state->rolled_1h < end) {
		TimestampTz to = Min(state->rolled_1h + MAX_SLICE, end);

		scan_range(step, OBSERV_TIER_1H, state->rolled_1h, to, false);
		state->rolled_1h = to;
		step->changed = true;
	}
}

/* What fails for one source, or in one step, does not keep the others from their work; the state then stays as it was for this step. */
static bool
try_step(Step *step, void (*work)(void *), const char *what)
{
	Step before = *step;
	Pass pass_before = *step->pass;
	ErrorData *error = observ_in_subtransaction(work, step);

	if (error == NULL)
		return true;
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	*step->pass = pass_before;
	*step = before;
	step->pass->failed = true;
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("could not %s observ.%s: %s", what, step->source->name, error->message),
					  error->detail ? errdetail_internal("%s", error->detail) : 0,
					  error->hint ? errhint("%s", error->hint) : 0));
	FreeErrorData(error);
	return false;
}

/* ---- state */

/* The transactions of another cluster, or of a copy of this one, mean nothing here: then everything counts as not seen. */
static char *
place(void)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), MyDatabaseId);
}

/* Reads the states of all sources and whether their logs hold keys; returns what no snapshot has seen the end of yet. */
static Datum
read_states(Pass *pass, Step *steps)
{
	static SPIPlanPtr plan = NULL;
	static const char sql[] =
		"SELECT s.source, s.horizon, s.rolled_5m, s.rolled_1h, CASE WHEN s.seen_in = $1 AND "
		"  pg_snapshot_xmax(pg_current_snapshot())::text::numeric - s.seen_xid::text::numeric < 2000000000 "
		"  THEN age(s.seen_xid::xid) ELSE 2147483647 END, "
		"EXISTS (SELECT FROM observ_data.rollup_dirty d WHERE d.source = s.source), "
		"pg_snapshot_xmin(pg_current_snapshot()) FROM observ_data.rollup_state s";
	Oid types[] = {TEXTOID};
	Datum values[] = {CStringGetTextDatum(place())};
	uint64 n = observ_spi_kept(&plan, SPI_OK_SELECT, sql, lengthof(types), types, values, NULL);
	Datum seen = (Datum) 0;

	for (int i = 0; i < OBSERV_ROLLUP_SOURCES; i++) {
		bool found = false;

		for (uint64 row = 0; row < n && !found; row++) {
			bool isnull;
			char *name = TextDatumGetCString(observ_spi_value(row, 1, &isnull));

			found = strcmp(name, observ_rollup_sources[i].name) == 0;
			if (!found)
				continue;
			steps[i] = (Step){.pass = pass, .source = &observ_rollup_sources[i]};
			steps[i].state =
				(ObservRollupState){.horizon = DatumGetTimestampTz(observ_spi_value(row, 2, &isnull)),
									.rolled_5m = DatumGetTimestampTz(observ_spi_value(row, 3, &isnull)),
									.rolled_1h = DatumGetTimestampTz(observ_spi_value(row, 4, &isnull)),
									.seen_age = DatumGetInt32(observ_spi_value(row, 5, &isnull))};
			steps[i].dirty = DatumGetBool(observ_spi_value(row, 6, &isnull));
			seen = observ_spi_value(row, 7, &isnull);
		}
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("observ_data.rollup_state has no row for %s", observ_rollup_sources[i].name),
					 errhint("INSERT INTO observ_data.rollup_state (source) VALUES ('%s').",
							 observ_rollup_sources[i].name)));
	}
	return seen;
}

static void
write_state(const Step *step, Datum seen)
{
	Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, XID8OID, TEXTOID};
	Datum values[] = {CStringGetTextDatum(step->source->name),
					  TimestampTzGetDatum(Max(step->seen_to, step->state.horizon)),
					  TimestampTzGetDatum(step->state.rolled_5m),
					  TimestampTzGetDatum(step->state.rolled_1h),
					  seen,
					  CStringGetTextDatum(place())};
	/* After a look that was cut short, what it has not reached counts as not seen: the transactions of the look before stay. */
	char nulls[] = {' ', ' ', ' ', ' ', step->seen_all ? ' ' : 'n', ' ', '\0'};

	observ_spi(SPI_OK_UPDATE,
			   "UPDATE observ_data.rollup_state SET horizon = $2, rolled_5m = $3, rolled_1h = $4, "
			   "seen_xid = coalesce($5, seen_xid), seen_in = CASE WHEN $5 IS NULL THEN seen_in ELSE $6 END "
			   "WHERE source = $1",
			   lengthof(types), types, values, nulls);
}

static void
count_log(Pass *pass)
{
	bool isnull;

	observ_spi(SPI_OK_SELECT,
			   "SELECT count(*) FILTER (WHERE tries < 3), count(*) FILTER (WHERE tries >= 3) FROM "
			   "observ_data.rollup_dirty",
			   0, NULL, NULL, NULL);
	pass->dirty_left = DatumGetInt64(observ_spi_value(0, 1, &isnull));
	pass->set_aside = DatumGetInt64(observ_spi_value(0, 2, &isnull));
}

/* ---- the job */

static void
roll_source(Step *step, Datum seen)
{
	/* Nothing of the state may be taken for seen when the look for late rows failed. */
	if (!try_step(step, take_in, "roll up"))
		return;
	if (step->dirty)
		try_step(step, work_off, "recompute late rows of");
	try_step(step, close_hours, "roll up hours of");
	if (step->changed)
		write_state(step, seen);
}

static TimestampTz
roll_up(Pass *pass)
{
	Step steps[OBSERV_ROLLUP_SOURCES];
	TimestampTz rolled_to = DT_NOEND;
	bool dirty = false;
	Datum seen;

	pass->horizon = observ_arrival_horizon();
	seen = read_states(pass, steps);
	for (int i = 0; i < OBSERV_ROLLUP_SOURCES; i++) {
		roll_source(&steps[i], seen);
		rolled_to = Min(rolled_to, steps[i].state.rolled_5m);
		dirty |= steps[i].dirty;
	}
	if (dirty)
		count_log(pass);
	pass->rows += pass->dirty.recomputed.rows;
	pass->written += pass->dirty.recomputed.written;
	pass->nonfinite += pass->dirty.recomputed.nonfinite;
	pass->more |= pass->dirty.more;
	if (pass->dirty.failed > 0) {
		pass->failed = true;
		ereport(WARNING,
				(errmsg("%lld keys with late rows could not be recomputed", (long long) pass->dirty.failed),
				 errdetail("The last error is: %s.", pass->dirty.last_error),
				 errhint("See observ_data.rollup_dirty; a key that failed three times is left aside until "
						 "observ.recompute_rollups() is called for its time.")));
	}
	return rolled_to;
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Pass *pass, TimestampTz rolled_to)
{
	Datum values[] = {CStringGetTextDatum(status),     Int64GetDatum(pass->rows),
					  Int64GetDatum(pass->written),    Int64GetDatum(pass->late),
					  Int64GetDatum(pass->dirty.keys), Int64GetDatum(pass->dirty_left),
					  Int64GetDatum(pass->set_aside),  Int64GetDatum(pass->dirty.expired),
					  Int64GetDatum(pass->nonfinite),  TimestampTzGetDatum(rolled_to)};
	bool nulls[lengthof(values)] = {false};

	nulls[lengthof(values) - 1] = TIMESTAMP_NOT_FINITE(rolled_to);
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.roll_up(at) → one row; see its COMMENT. Errors: 22008 for an infinite time.
 */
Datum
observ_roll_up(PG_FUNCTION_ARGS)
{
	Pass pass = {.at = observ_job_time(fcinfo)};
	ObservIdentity saved;
	TimestampTz rolled_to;
	const char *refused = observ_job_guard(OBSERV_LOCK_ROLL_UP);

	if (refused != NULL)
		return result_row(fcinfo, refused, &pass, DT_NOBEGIN);
	saved = observ_as_owner_begin();
	SPI_connect();
	rolled_to = roll_up(&pass);
	SPI_finish();
	observ_as_owner_end(&saved);
	return result_row(fcinfo, pass.failed ? "failed" : pass.more ? "more" : "ok", &pass, rolled_to);
}

/* %1$s: source, %2$s: its key in raw rows as text, %3$s and %4$s: the same in rolled-up rows, and which of them are its own, %5$s: table of these */
static const char recompute_sql[] =
	"INSERT INTO observ_data.rollup_dirty (source, vps_name, app_name, key, \"timestamp\") "
	"SELECT '%1$s', vps_name, app_name, key, bucket FROM ("
	"  SELECT DISTINCT vps_name, app_name, (%2$s)::text AS key, date_bin('5 minutes', \"timestamp\", "
	"timestamptz "
	"'2000-01-01 00:00:00+00') AS bucket FROM observ.%1$s WHERE \"timestamp\" >= $1 AND \"timestamp\" < $2 "
	"  UNION SELECT vps_name, app_name, %3$s::text, \"timestamp\" FROM observ.%5$s WHERE \"timestamp\" >= $1 "
	"AND "
	"\"timestamp\" < $2 AND %4$s) k "
	"WHERE bucket < (SELECT rolled_5m FROM observ_data.rollup_state WHERE source = '%1$s') "
	"ON CONFLICT (source, vps_name, app_name, key, \"timestamp\") DO UPDATE SET tries = 0, error = NULL";

/*
 * observ.recompute_rollups(from, to) → number of keys; see its COMMENT. Errors: 22023 when from is not before to.
 */
Datum
observ_recompute_rollups(PG_FUNCTION_ARGS)
{
	TimestampTz from = PG_GETARG_TIMESTAMPTZ(0), to = PG_GETARG_TIMESTAMPTZ(1);
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[2];
	ObservIdentity saved;
	int64 keys = 0;

	observ_require_versions();
	if (from >= to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"from\" must be before \"to\"")));
	/* Whole buckets. */
	values[0] = TimestampTzGetDatum(TIMESTAMP_NOT_FINITE(from) ? from : observ_floor_time(from, OBSERV_5M));
	values[1] =
		TimestampTzGetDatum(TIMESTAMP_NOT_FINITE(to) ? to : observ_floor_time(to + OBSERV_5M - 1, OBSERV_5M));
	saved = observ_as_owner_begin();
	/* Not beside a pass: it could take a key from the log after it has read the rows, and before the caller has changed them. */
	observ_wait_for_lock(OBSERV_LOCK_ROLL_UP);
	SPI_connect();
	for (int i = 0; i < OBSERV_ROLLUP_SOURCES; i++) {
		const ObservRollupSource *source = &observ_rollup_sources[i];

		keys += observ_spi(SPI_OK_INSERT,
						   psprintf(recompute_sql, source->name, source->raw_key, source->key_column,
									source->only, source->tables[OBSERV_TIER_5M]),
						   lengthof(types), types, values, NULL);
	}
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_INT64(keys);
}
