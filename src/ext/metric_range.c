/*
 * observ.metric_range(): one metric over time, in buckets, for charts and rules.
 * What does not belong here: what a bucket sums up to (src/core/aggregate.c), the grammar of matchers (src/core/matchers.c).
 *
 * The series come first, by name and by the VPS and application that the matchers ask for; then the rows of their sets, set by set and in the
 * order of time, so that no more than the buckets of one set are held.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/aggregate.h"
#include "ext/compat.h"
#include "ext/label_matchers.h"
#include "ext/metric_labels.h"
#include "ext/metric_series.h"
#include "ext/metric_slots.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_metric_range);

/* As Prometheus has it: more points than a screen is wide by far. */
#define MAX_BUCKETS 11000
/* Series times buckets: a few hundred megabytes of result. */
#define MAX_POINTS 10000000
/* Growth between two samples further apart belongs to no bucket, unless the buckets are longer. */
#define MAX_GAP     USECS_PER_HOUR
#define MAX_STEP    (36500 * USECS_PER_DAY)
#define EPOCH_SHIFT ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

enum RangeArgument { ARG_METRIC_NAME, ARG_MATCHERS, ARG_FROM, ARG_TO, ARG_STEP, ARG_AGGREGATE };

typedef struct Series {
	text *vps_name;
	text *app_name;
	Jsonb *labels;
	int set_no, slot;
} Series;

/* What one series has come to. */
typedef struct Line {
	struct aggregate_previous previous;
	struct aggregate_bucket bucket;
	double *values; /* a result per bucket */
	bool *known;
} Line;

typedef struct Range {
	struct matchers *matchers;
	TimestampTz start, end; /* whole buckets */
	int64 step, max_gap;
	int buckets;
	enum aggregate what;
	ReturnSetInfo *result;
	/* series that match, in the order of their sets */
	Series *series;
	int n, room;
	/* the set at hand: series [first, past) */
	int64 set;
	int first, past;
	int bucket;
	TimestampTz last_at;
	Line lines[OBSERV_SLOTS];
} Range;

static const char series_sql[] =
	"SELECT vps_name, app_name, labels, set_no, slot FROM observ.metric_series "
	"WHERE metric_name = $1 AND ($2 IS NULL OR vps_name = $2) AND ($3 IS NULL OR app_name = $3) "
	"  AND expired_at IS NULL AND last_seen >= $4 AND first_seen < $5 "
	"ORDER BY vps_name, app_name, set_no, slot";

/* The subquery has an order of its own, so it stays as it is: one index scan per set, in the order of the sets. */
static const char scrapes_sql[] =
	"SELECT k.i, c.\"timestamp\", c.\"values\" "
	"FROM unnest($1::text[], $2::text[], $3::int4[]) WITH ORDINALITY k (vps_name, app_name, set_no, i), "
	"LATERAL (SELECT m.\"timestamp\", m.\"values\" FROM observ.metric_scrapes m "
	"  WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.set_no = k.set_no "
	"    AND m.\"timestamp\" >= $4 AND m.\"timestamp\" < $5 ORDER BY m.\"timestamp\") c";

static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be null", name)));
}

/* Length of a bucket, µs. */
static int64
step_of(const Interval *step)
{
	int64 usecs = 0;

	if (step->month == 0 && abs(step->day) <= MAX_STEP / USECS_PER_DAY && step->time <= MAX_STEP)
		usecs = step->day * USECS_PER_DAY + step->time;
	if (usecs <= 0 || usecs > MAX_STEP)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("step must be positive, and without months"),
						errhint("For instance interval '5 minutes', or '1 day'.")));
	return usecs;
}

static enum aggregate
aggregate_of(const text *given)
{
	char *name = text_to_cstring(given);

	for (int i = 0; i < AGGREGATES; i++)
		if (strcmp(name, aggregate_names[i]) == 0)
			return (enum aggregate) i;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown aggregate \"%s\"", name),
					errhint("There are avg, min, max, sum, count, last, rate, increase.")));
}

/* Start of the bucket that holds `at`: a multiple of the step since 1970 in UTC. */
static TimestampTz
bucket_start(TimestampTz at, int64 step)
{
	return observ_floor_time(at + EPOCH_SHIFT, step) - EPOCH_SHIFT;
}

static TimestampTz
moment(FunctionCallInfo fcinfo, int argument, const char *name)
{
	TimestampTz at;

	require_argument(fcinfo, argument, name);
	at = PG_GETARG_TIMESTAMPTZ(argument);
	if (TIMESTAMP_NOT_FINITE(at) || at > PG_INT64_MAX / 2 || at < PG_INT64_MIN / 2)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("%s out of range", name),
						errdetail("Given: %s.", timestamptz_to_str(at))));
	return at;
}

static void
read_arguments(FunctionCallInfo fcinfo, Range *range)
{
	TimestampTz from = moment(fcinfo, ARG_FROM, "\"from\"");
	TimestampTz to = moment(fcinfo, ARG_TO, "\"to\"");
	int64 buckets;

	require_argument(fcinfo, ARG_METRIC_NAME, "metric_name");
	require_argument(fcinfo, ARG_STEP, "step");
	require_argument(fcinfo, ARG_AGGREGATE, "aggregate");
	range->step = step_of(PG_GETARG_INTERVAL_P(ARG_STEP));
	range->max_gap = Max(range->step, MAX_GAP);
	range->what = aggregate_of(PG_GETARG_TEXT_PP(ARG_AGGREGATE));
	range->matchers =
		observ_parse_matchers(PG_ARGISNULL(ARG_MATCHERS) ? NULL : PG_GETARG_TEXT_PP(ARG_MATCHERS));
	if (from >= to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"from\" must be before \"to\"")));
	range->start = bucket_start(from, range->step);
	range->end = bucket_start(to - 1, range->step) + range->step;
	buckets = (range->end - range->start) / range->step;
	if (buckets > MAX_BUCKETS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many buckets"),
						errdetail("From \"from\" to \"to\" there are " INT64_FORMAT "; at most %d are given.",
								  buckets, MAX_BUCKETS),
						errhint("Take a longer step.")));
	range->buckets = (int) buckets;
}

/* VPS and application are matched like labels. */
static struct slice
label_of(void *arg, struct slice name)
{
	const Series *series = arg;

	if (slice_equals(name, "vps_name"))
		return observ_text_slice(series->vps_name);
	if (slice_equals(name, "app_name"))
		return observ_text_slice(series->app_name);
	return observ_label_value(series->labels, name);
}

static void
take_series(void *arg, uint64 row)
{
	Range *range = arg;
	bool isnull;
	Series series = {
		.vps_name = DatumGetTextPP(observ_spi_value(row, 1, &isnull)),
		.app_name = DatumGetTextPP(observ_spi_value(row, 2, &isnull)),
		.labels = DatumGetJsonbP(observ_spi_value(row, 3, &isnull)),
		.set_no = DatumGetInt32(observ_spi_value(row, 4, &isnull)),
		.slot = DatumGetInt16(observ_spi_value(row, 5, &isnull)),
	};

	if (!observ_matchers_accept(range->matchers, label_of, &series))
		return;
	if ((int64) (range->n + 1) * range->buckets > MAX_POINTS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many series and buckets"),
						errdetail("Series times buckets may be at most %d; there are %d buckets.", MAX_POINTS,
								  range->buckets),
						errhint("Take a longer step, or matchers that fewer series match.")));
	if (range->n == range->room) {
		range->room = Max(2 * range->room, 64);
		range->series = range->series ? repalloc_huge(range->series, sizeof(Series) * range->room)
									  : palloc(sizeof(Series) * range->room);
	}
	series.vps_name = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(series.vps_name));
	series.app_name = (text *) PG_DETOAST_DATUM_COPY(PointerGetDatum(series.app_name));
	series.labels = (Jsonb *) PG_DETOAST_DATUM_COPY(PointerGetDatum(series.labels));
	range->series[range->n++] = series;
}

static void
load_series(Range *range, text *metric_name)
{
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	const struct matcher *vps = matchers_equal(range->matchers, "vps_name");
	const struct matcher *app = matchers_equal(range->matchers, "app_name");
	Datum values[] = {
		PointerGetDatum(metric_name),
		vps ? PointerGetDatum(cstring_to_text_with_len(vps->value.p, (int) (vps->value.end - vps->value.p)))
			: 0,
		app ? PointerGetDatum(cstring_to_text_with_len(app->value.p, (int) (app->value.end - app->value.p)))
			: 0,
		TimestampTzGetDatum(range->start - OBSERV_LAST_SEEN_LAG),
		TimestampTzGetDatum(range->end),
	};
	char nulls[] = {' ', vps ? ' ' : 'n', app ? ' ' : 'n', ' ', ' '};

	observ_spi_each(series_sql, lengthof(types), types, values, nulls, take_series, range);
}

static bool
same_set(const Series *a, const Series *b)
{
	return a->set_no == b->set_no && observ_text_compare(a->vps_name, b->vps_name) == 0 &&
		   observ_text_compare(a->app_name, b->app_name) == 0;
}

/* End of the series that share the set of series `first`. */
static int
end_of_set(const Range *range, int first)
{
	int past = first + 1;

	while (past < range->n && same_set(&range->series[first], &range->series[past]))
		past++;
	return past;
}

/* Writes down what the bucket at hand has come to, and begins the next. */
static void
close_bucket(Range *range)
{
	for (int i = range->first; i < range->past; i++) {
		Line *line = &range->lines[i - range->first];

		line->known[range->bucket] =
			aggregate_result(&line->bucket, range->what, &line->values[range->bucket]);
		aggregate_begin(&line->bucket);
	}
	range->bucket++;
}

static void
emit(Range *range, const Series *series, const Line *line)
{
	Datum values[5] = {0, PointerGetDatum(series->vps_name), PointerGetDatum(series->app_name),
					   PointerGetDatum(series->labels)};
	bool nulls[5] = {false};

	for (int b = 0; b < range->buckets; b++) {
		values[0] = TimestampTzGetDatum(range->start + b * range->step);
		values[4] = Float8GetDatum(line->values[b]);
		nulls[4] = !line->known[b];
		tuplestore_putvalues(range->result->setResult, range->result->setDesc, values, nulls);
	}
}

/* Gives the lines of the set at hand, gaps included. */
static void
finish_set(Range *range)
{
	if (range->set == 0)
		return;
	while (range->bucket < range->buckets)
		close_bucket(range);
	for (int i = range->first; i < range->past; i++)
		emit(range, &range->series[i], &range->lines[i - range->first]);
}

/* The next set, from 1. */
static void
begin_set(Range *range)
{
	range->set++;
	range->first = range->past;
	range->past = end_of_set(range, range->first);
	range->bucket = 0;
	range->last_at = DT_NOBEGIN;
	for (int i = 0; i < range->past - range->first; i++) {
		range->lines[i].previous = (struct aggregate_previous){0};
		aggregate_begin(&range->lines[i].bucket);
	}
}

static void
take_scrape(void *arg, uint64 row)
{
	Range *range = arg;
	bool isnull;
	int64 set = DatumGetInt64(observ_spi_value(row, 1, &isnull));
	TimestampTz at = DatumGetTimestampTz(observ_spi_value(row, 2, &isnull));
	ObservSlots slots;

	while (range->set < set) {
		finish_set(range);
		begin_set(range);
	}
	if (set != range->set || at < range->last_at)
		elog(ERROR, "scrapes came out of order");
	range->last_at = at;
	while (at >= range->start + (range->bucket + 1) * range->step)
		close_bucket(range);
	observ_slots_read(DatumGetArrayTypeP(observ_spi_value(row, 3, &isnull)), &slots);
	for (int i = range->first; i < range->past; i++) {
		int slot = range->series[i].slot - 1;
		Line *line = &range->lines[i - range->first];

		if ((slots.known & (UINT64CONST(1) << slot)) == 0)
			continue;
		if (at < range->start)
			aggregate_before(&line->previous, at, slots.values[slot]);
		else
			aggregate_add(&line->bucket, &line->previous, at, slots.values[slot], range->max_gap);
	}
}

/* Reads the rows of all sets that series are in. */
static void
read_sets(Range *range)
{
	Oid types[] = {TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum *vps = palloc_extended(sizeof(Datum) * (range->n + 1), MCXT_ALLOC_HUGE);
	Datum *app = palloc_extended(sizeof(Datum) * (range->n + 1), MCXT_ALLOC_HUGE);
	Datum *set_no = palloc_extended(sizeof(Datum) * (range->n + 1), MCXT_ALLOC_HUGE);
	bool growth = range->what == AGGREGATE_RATE || range->what == AGGREGATE_INCREASE;
	Datum values[5];
	int sets = 0;

	for (int i = 0; i < range->n; i = end_of_set(range, i)) {
		vps[sets] = PointerGetDatum(range->series[i].vps_name);
		app[sets] = PointerGetDatum(range->series[i].app_name);
		set_no[sets++] = Int32GetDatum(range->series[i].set_no);
	}
	values[0] = observ_array(vps, sets, TEXTOID);
	values[1] = observ_array(app, sets, TEXTOID);
	values[2] = observ_array(set_no, sets, INT4OID);
	values[3] = TimestampTzGetDatum(growth ? range->start - range->max_gap : range->start);
	values[4] = TimestampTzGetDatum(range->end);
	observ_spi_each(scrapes_sql, lengthof(types), types, values, NULL, take_scrape, range);
	while (range->set < sets) {
		finish_set(range);
		begin_set(range);
	}
	finish_set(range);
}

/*
 * observ.metric_range(metric_name, matchers, from, to, step, aggregate) → set of rows; see its COMMENT.
 * Errors: 42601 and 2201B for matchers, 22023, 22004 and 22008 for other arguments, 54000 for more than MAX_BUCKETS or MAX_POINTS.
 */
Datum
observ_metric_range(PG_FUNCTION_ARGS)
{
	Range *range = palloc0(sizeof(Range));
	ObservIdentity saved;

	observ_require_versions();
	read_arguments(fcinfo, range);
	InitMaterializedSRF(fcinfo, 0);
	range->result = (ReturnSetInfo *) fcinfo->resultinfo;
	for (int i = 0; i < OBSERV_SLOTS; i++) {
		range->lines[i].values = palloc0(sizeof(double) * range->buckets);
		range->lines[i].known = palloc0(sizeof(bool) * range->buckets);
	}
	saved = observ_as_owner_begin();
	SPI_connect();
	load_series(range, PG_GETARG_TEXT_PP(ARG_METRIC_NAME));
	if (range->n > 0)
		read_sets(range);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
