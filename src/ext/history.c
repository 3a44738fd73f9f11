/*
 * observ.metrics_history(): metrics of one VPS over time, in as many buckets as a chart can show.
 * What does not belong here: reading (history_read.c), names (history_names.c).
 *
 * Buckets are multiples of a step since 2000-01-01 00:00 UTC, whole ones: the first may begin before "from", the last end after "to".
 * The step is the shortest that gives no more than max_points buckets and that the rows which are left allow.
 */
#include "postgres.h"

#include "ext/history.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_metrics_history);
OBSERV_SQL_FUNCTION(observ_unpack_cells);
OBSERV_SQL_FUNCTION(observ_vps_metric);

#define MAX_POINTS_LIMIT    100000
#define DEFAULT_INTERVAL_MS 60000
#define DEFAULT_RANGE       USECS_PER_DAY

/* Seconds. Days follow. */
static const int steps[] = {5,    10,   15,   20,   30,    60,    120,   300,   600,   900,
							1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, SECS_PER_DAY};

enum HistoryArgument { ARG_VPS, ARG_APP, ARG_METRICS, ARG_FROM, ARG_TO, ARG_MAX_POINTS };

static void
read_range(FunctionCallInfo fcinfo, TimestampTz *from, TimestampTz *to)
{
	*to = PG_ARGISNULL(ARG_TO) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(ARG_TO);
	*from = PG_ARGISNULL(ARG_FROM) ? *to - DEFAULT_RANGE : PG_GETARG_TIMESTAMPTZ(ARG_FROM);
	if (TIMESTAMP_NOT_FINITE(*from) || TIMESTAMP_NOT_FINITE(*to))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("\"from\" and \"to\" must be finite")));
	if (*from >= *to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"from\" must be before \"to\""),
						errdetail("Given: %s, %s.", pstrdup(timestamptz_to_str(*from)),
								  pstrdup(timestamptz_to_str(*to)))));
}

/* ---- choosing the step */

/* How often rows come: what the slowest agent says of itself. */
static int64
expected_interval(const ObservHistory *history)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[] = {PointerGetDatum(history->vps), PointerGetDatum(history->app)};
	char nulls[] = {' ', history->app == NULL ? 'n' : ' ', '\0'};
	bool isnull = true;
	Datum value = (Datum) 0;

	if (SPI_execute_with_args("SELECT max(coalesce(expected_ms, interval_ms)) FROM observ.fleet_summary "
							  "WHERE vps_name = $1 AND ($2 IS NULL OR app_name = $2)",
							  lengthof(types), types, values, nulls, true, 0) == SPI_OK_SELECT &&
		SPI_processed > 0)
		value = observ_spi_value(0, 1, &isnull);
	return INT64CONST(1000) *
		   (isnull || DatumGetInt32(value) <= 0 ? DEFAULT_INTERVAL_MS : DatumGetInt32(value));
}

static int64
count_buckets(TimestampTz from, TimestampTz to, int64 step)
{
	return (observ_floor_time(to - 1, step) - observ_floor_time(from, step)) / step + 1;
}

/* Whether the rows that such buckets are made of reach back to `from` for all that is asked for. */
static bool
reaches_back(const ObservHistory *history, int64 step, TimestampTz from)
{
	ObservTier tier = step >= OBSERV_5M ? OBSERV_TIER_5M : OBSERV_TIER_RAW;

	for (int i = 0; i < OBSERV_ROLLUP_SOURCES && step < OBSERV_1H; i++)
		if (history->reach[i].wanted && observ_floor_time(from, step) < history->reach[i].oldest[tier])
			return false;
	return true;
}

static void
choose_step(ObservHistory *history, TimestampTz from, TimestampTz to, int max_points)
{
	int64 shortest = expected_interval(history);
	int64 step = 0;

	for (size_t i = 0; i < lengthof(steps) && step == 0; i++) {
		int64 candidate = steps[i] * USECS_PER_SEC;

		if ((candidate >= shortest || candidate >= OBSERV_5M) &&
			count_buckets(from, to, candidate) <= max_points && reaches_back(history, candidate, from))
			step = candidate;
	}
	/* Days: with so many that one more than the quotient is enough, whatever the alignment. */
	if (step == 0)
		step = max_points == 1 ? (to - from) / USECS_PER_DAY * USECS_PER_DAY + USECS_PER_DAY
							   : ((to - from) / (max_points - 1) / USECS_PER_DAY + 1) * USECS_PER_DAY;
	/* One bucket that holds it all may have to be longer still. */
	while (count_buckets(from, to, step) > max_points)
		step *= 2;
	history->step = step;
	history->start = observ_floor_time(from, step);
	history->buckets = (int) count_buckets(from, to, step);
	history->end = history->start + history->buckets * step;
}

/* ---- the answer */

static void
emit_line(ReturnSetInfo *result, const ObservHistory *history, const ObservLine *line, Datum resolution)
{
	enum { TIME, METRIC, MIN, AVG, MAX, LAST, SAMPLES, RESOLUTION, PARTIAL, INCREASE, COLUMNS };
	bool kills = strcmp(line->name, observ_vps_columns[OBSERV_OOM_KILLS]) == 0 &&
				 line->source == OBSERV_ROLL_VPS_METRICS;
	Datum values[COLUMNS];
	bool nulls[COLUMNS] = {false};

	values[METRIC] = CStringGetTextDatum(line->name);
	values[RESOLUTION] = resolution;
	for (int i = 0; i < history->buckets; i++) {
		static const struct cell none = {0};
		const struct cell *cell = line->cells != NULL ? &line->cells[i] : &none;
		double average = cell->count > 0 ? cell_average(cell) : 0;

		values[TIME] = TimestampTzGetDatum(history->start + i * history->step);
		values[MIN] = Float8GetDatum(cell->min);
		values[AVG] = Float8GetDatum(average);
		values[MAX] = Float8GetDatum(cell->max);
		values[LAST] = Float8GetDatum(cell->last);
		values[SAMPLES] = Int64GetDatum((int64) cell->count);
		values[PARTIAL] = BoolGetDatum(line->partial[i]);
		values[INCREASE] = Float8GetDatum(kills ? cell->sum : cell->increase);
		nulls[MIN] = nulls[MAX] = nulls[LAST] = cell->count == 0;
		nulls[AVG] = cell->count == 0 || isnan(average);
		nulls[INCREASE] = cell->count == 0 || !(cell->counter || kills);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * observ.metrics_history(vps, app, metrics, from, to, max_points) → set of rows; see its COMMENT.
 * Errors: 22004, 22008, 22023 for arguments, 42704 for an unknown metric, 42601 for a selector, 54000 for too much.
 */
Datum
observ_metrics_history(PG_FUNCTION_ARGS)
{
	ObservHistory *history = palloc0(sizeof(ObservHistory));
	MemoryContext context = CurrentMemoryContext;
	ObservIdentity saved;
	TimestampTz from, to;
	Interval *resolution = palloc0(sizeof(Interval));
	int max_points = PG_ARGISNULL(ARG_MAX_POINTS) ? 0 : PG_GETARG_INT32(ARG_MAX_POINTS);
	bool all = PG_ARGISNULL(ARG_METRICS);
	ListCell *cell;

	observ_require_versions();
	if (PG_ARGISNULL(ARG_VPS))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("vps must not be null")));
	if (max_points < 1 || max_points > MAX_POINTS_LIMIT)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_points must be between 1 and %d", MAX_POINTS_LIMIT)));
	read_range(fcinfo, &from, &to);
	history->vps = PG_GETARG_TEXT_PP(ARG_VPS);
	history->app = PG_ARGISNULL(ARG_APP) ? NULL : PG_GETARG_TEXT_PP(ARG_APP);
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	observ_history_resolve(history, all ? NULL : PG_GETARG_ARRAYTYPE_P(ARG_METRICS));
	observ_history_reach(history);
	choose_step(history, from, to, max_points);
	observ_history_read(history);
	resolution->day = (int32) (history->step / USECS_PER_DAY);
	resolution->time = history->step % USECS_PER_DAY;
	foreach (cell, history->lines) {
		const ObservLine *line = lfirst(cell);

		if (!all || line->cells != NULL)
			emit_line((ReturnSetInfo *) fcinfo->resultinfo, history, line, IntervalPGetDatum(resolution));
	}
	MemoryContextSwitchTo(context);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}

static void
put_cell(ReturnSetInfo *result, int slot, const struct cell *cell)
{
	double average = cell_average(cell);
	Datum values[] = {Int32GetDatum(slot),       Int64GetDatum((int64) cell->count),
					  Float8GetDatum(average),   Float8GetDatum(cell->min),
					  Float8GetDatum(cell->max), Float8GetDatum(cell->last),
					  Float8GetDatum(cell->sum), Float8GetDatum(cell->increase)};
	bool nulls[] = {false, false, isnan(average), false, false, false, false, !cell->counter};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * observ_data._unpack_cells(bytea) → set of (slot, count, avg, min, max, last, sum, increase), a row per metric that has samples; slots count
 * from 1. Errors: XX001.
 */
Datum
observ_unpack_cells(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	bytea *bytes = PG_GETARG_BYTEA_PP(0);
	struct cell_row row;

	InitMaterializedSRF(fcinfo, 0);
	if (!cells_decode((unsigned char *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &row))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("rolled-up metrics can't be read"),
						errdetail("There are %d bytes.", (int) VARSIZE_ANY_EXHDR(bytes))));
	for (int i = 0; i < row.n; i++) {
		const struct cell *cell = &row.cells[i];

		if (cell->count > 0)
			put_cell(result, i + 1, cell);
	}
	return (Datum) 0;
}

/* observ_data._vps_metric(slot) → name of the column, NULL for a slot that none has. */
Datum
observ_vps_metric(PG_FUNCTION_ARGS)
{
	int slot = PG_GETARG_INT32(0);

	if (slot < 1 || slot > OBSERV_VPS_COLUMNS)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(observ_vps_columns[slot - 1]));
}
