/*
 * observ.log_histogram(): how many log entries per level and time. What does not belong here: keeping counts (log_tally.c), what matches
 * (log_filter.c).
 *
 * Without a query and without a VPS, whole 5 minutes are taken from observ.log_counts; to them come the entries that the job has not counted yet.
 * Both are read in one snapshot, so that no entry is counted twice or missed. What is left at both ends, and everything when there is a
 * query, a VPS, or a step that is no multiple of 5 minutes, is counted from the entries themselves.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/log_level.h"
#include "ext/compat.h"
#include "ext/log_leaf.h"
#include "ext/log_tally.h"
#include "ext/log_vector.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_log_histogram);

/* Monday 2000-01-03 00:00 UTC: steps of a week begin on Mondays, all that divide a day at midnight UTC. */
#define ORIGIN      (2 * USECS_PER_DAY)
#define MAX_BUCKETS 100000
/* Cost of an entry in microseconds: when met in the order of time, and when looked up. */
#define WALK_COST  1.2
#define VISIT_COST 0.8
/* It is not worth looking words up to save less, in microseconds. */
#define SHORT_WALK 300.0

typedef struct Level {
	char name[OBSERV_LOG_MARKED_MAX]; /* lower case, terminated */
	int64 *counts;                    /* per bucket */
} Level;

typedef struct Histogram {
	ObservLogFilter filter;
	TimestampTz from, to; /* [from, to) */
	int64 step;
	TimestampTz first; /* start of the first bucket */
	int n_buckets;
	Level *levels;
	int n_levels;
	int last; /* level that was counted last */
	ObservPartition *partitions;
	int n_partitions;
	MemoryContext context;
} Histogram;

/* --- counting ------------------------------------------------------------------------------------------------------- */

static Level *
level_of(Histogram *h, const char *name)
{
	MemoryContext old;
	Level *level;

	if (h->n_levels > 0 && strcmp(h->levels[h->last].name, name) == 0)
		return &h->levels[h->last];
	for (h->last = 0; h->last < h->n_levels; h->last++)
		if (strcmp(h->levels[h->last].name, name) == 0)
			return &h->levels[h->last];
	old = MemoryContextSwitchTo(h->context);
	h->levels =
		h->levels == NULL ? palloc(sizeof(Level)) : repalloc(h->levels, sizeof(Level) * (h->n_levels + 1));
	level = &h->levels[h->n_levels++];
	strlcpy(level->name, name, sizeof(level->name));
	level->counts = palloc0(sizeof(int64) * h->n_buckets);
	MemoryContextSwitchTo(old);
	return level;
}

static void
count(Histogram *h, TimestampTz timestamp, Datum level, int64 n)
{
	char name[OBSERV_LOG_MARKED_MAX + 1];
	size_t len = observ_log_marked(OBSERV_LOG_LEVEL_MARK, observ_log_text(level), name);
	int64 bucket = (timestamp - h->first) / h->step;

	name[len] = '\0';
	if (timestamp >= h->from && timestamp < h->to && bucket >= 0 && bucket < h->n_buckets)
		level_of(h, name + 1)->counts[bucket] += n;
}

static bool
count_entry(ObservLogLeaf *leaf, void *arg)
{
	bool isnull;

	count(arg, leaf->key.timestamp, slot_getattr(leaf->slot, leaf->columns.level, &isnull), 1);
	return true;
}

/* Entries of a partition that lie in the filter's range, as if they were spread evenly. */
static double
rows_in_range(const ObservLogLeaf *leaf, const ObservPartition *partition)
{
	double width = (double) partition->range.to - (double) partition->range.from;
	double from = Max(partition->range.from, leaf->filter->from),
		   to = Min(partition->range.to, leaf->filter->to);

	return observ_log_leaf_rows(leaf) * Min((to - from) / width, 1.0);
}

static void
count_leaf(Histogram *h, ObservLogLeaf *leaf, const ObservPartition *partition)
{
	double walk = rows_in_range(leaf, partition) * WALK_COST;
	ObservLogTids tids;

	if (leaf->arrival_index != NULL) {
		observ_log_leaf_arrivals(leaf, &tids);
		observ_log_leaf_visit(leaf, &tids, count_entry, h);
		return;
	}
	if (leaf->words_index != NULL && (walk > SHORT_WALK || leaf->walk_index == NULL)) {
		observ_log_leaf_lookup(leaf, &tids);
		if (leaf->walk_index == NULL || tids.n * VISIT_COST < walk) {
			observ_log_leaf_visit(leaf, &tids, count_entry, h);
			return;
		}
	}
	if (leaf->walk_index == NULL) {
		observ_log_leaf_visit(leaf, NULL, count_entry, h);
		return;
	}
	while (observ_log_leaf_step(leaf))
		if (observ_log_leaf_fetch(leaf))
			count_entry(leaf, h);
}

/* Counts the entries of [from, to) themselves. */
static void
count_entries(Histogram *h, TimestampTz from, TimestampTz to)
{
	h->filter.from = from;
	h->filter.to = to;
	for (int i = 0; i < h->n_partitions && from < to; i++) {
		ObservLogLeaf *leaf;

		if (h->partitions[i].range.from >= to || h->partitions[i].range.to <= from)
			continue;
		leaf = observ_log_leaf_open(h->partitions[i].relid, &h->filter);
		if (leaf == NULL)
			continue;
		count_leaf(h, leaf, &h->partitions[i]);
		observ_log_leaf_close(leaf);
	}
}

#define KEPT_SQL(app)                                                                                        \
	"SELECT \"timestamp\", level, count FROM observ.log_counts WHERE \"timestamp\" >= $1 AND \"timestamp\" " \
	"< $2 "                                                                                                  \
	"AND app_name " app " AND ($4 IS NULL OR level = ANY ($4))"

static void
count_result(Histogram *h, uint64 n)
{
	bool isnull;

	for (uint64 i = 0; i < n; i++)
		count(h, DatumGetTimestampTz(observ_spi_value(i, 1, &isnull)), observ_spi_value(i, 2, &isnull),
			  DatumGetInt64(observ_spi_value(i, 3, &isnull)));
}

static Datum
level_array(const ObservLogLevels *levels)
{
	Datum names[32];

	for (int i = 0; i < levels->n; i++)
		names[i] = CStringGetTextDatum(levels->all[i]);
	return observ_array(names, levels->n, TEXTOID);
}

/* Counts [from, to), whole 5 minutes, as the job did; returns up to when it has come. */
static TimestampTz
count_kept(Histogram *h, TimestampTz from, TimestampTz to)
{
	static SPIPlanPtr state = NULL, of_all = NULL, of_app = NULL;
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTARRAYOID};
	Datum values[] = {TimestampTzGetDatum(Max(from, h->partitions[0].range.from)), TimestampTzGetDatum(to),
					  PointerGetDatum(h->filter.app), level_array(&h->filter.levels)};
	char nulls[] = {' ', ' ', h->filter.app == NULL ? 'n' : ' ', h->filter.levels.n == 0 ? 'n' : ' '};
	ObservIdentity saved = observ_as_owner_begin();
	int nest_level = observ_few_rows_begin();
	TimestampTz horizon = DT_NOBEGIN;
	bool isnull;

	SPI_connect();
	if (observ_spi_read(&state, "SELECT horizon FROM observ_data.log_state", 0, NULL, NULL, NULL) > 0) {
		horizon = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
		if (h->filter.app == NULL)
			count_result(h, observ_spi_read(&of_all, KEPT_SQL("IS NULL"), 4, types, values, nulls));
		else
			count_result(h, observ_spi_read(&of_app, KEPT_SQL("= $3"), 4, types, values, nulls));
	}
	SPI_finish();
	observ_few_rows_end(nest_level);
	observ_as_owner_end(&saved);
	return horizon;
}

/* Names that were cut to be counted are not asked for there. */
static bool
is_kept(const Histogram *h)
{
	const ObservLogFilter *filter = &h->filter;

	return filter->whole && filter->vps == NULL && h->step % OBSERV_LOG_BUCKET == 0 && h->n_partitions > 0 &&
		   (filter->app == NULL || VARSIZE_ANY_EXHDR(filter->app) < LOG_WORD_MAX) &&
		   (filter->levels.n != 1 || strlen(filter->levels.all[0]) < LOG_WORD_MAX);
}

static void
count_all(Histogram *h)
{
	TimestampTz from = h->to, to = h->to;

	if (is_kept(h)) {
		from = observ_floor_time(h->from + OBSERV_LOG_BUCKET - 1, OBSERV_LOG_BUCKET);
		to = observ_floor_time(h->to, OBSERV_LOG_BUCKET);
	}
	if (from >= to) {
		count_entries(h, h->from, h->to);
		return;
	}
	count_entries(h, h->from, from);
	count_entries(h, to, h->to);
	h->filter.arrived = count_kept(h, from, to);
	count_entries(h, from, to);
}

/* --- result --------------------------------------------------------------------------------------------------------- */

/* Whether there is a partition for some time of the bucket: else it is not known how many entries there were. */
static bool
is_known(const Histogram *h, int bucket)
{
	TimestampTz from = Max(h->first + bucket * h->step, h->from);
	TimestampTz to = Min(h->first + (bucket + 1) * h->step, h->to);

	for (int i = 0; i < h->n_partitions; i++)
		if (h->partitions[i].range.from < to && h->partitions[i].range.to > from)
			return true;
	return false;
}

/* By urgency, what is not known first. */
static int
compare_levels(const void *a, const void *b)
{
	const Level *left = a, *right = b;
	int by_rank = log_level_rank(slice_of(left->name)) - log_level_rank(slice_of(right->name));

	return by_rank != 0 ? by_rank : strcmp(left->name, right->name);
}

static void
emit(Histogram *h, ReturnSetInfo *result)
{
	if (h->n_levels == 0 && h->filter.levels.n == 1)
		level_of(h, h->filter.levels.all[0]);
	if (h->n_levels > 0)
		qsort(h->levels, h->n_levels, sizeof(Level), compare_levels);
	for (int bucket = 0; bucket < h->n_buckets; bucket++) {
		bool known = is_known(h, bucket);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < Max(h->n_levels, 1); i++) {
			Datum values[3] = {TimestampTzGetDatum(h->first + bucket * h->step)};
			bool nulls[3] = {false, h->n_levels == 0, !known};

			if (h->n_levels > 0) {
				values[1] = CStringGetTextDatum(h->levels[i].name);
				values[2] = Int64GetDatum(h->levels[i].counts[bucket]);
			}
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
}

/* --- arguments ------------------------------------------------------------------------------------------------------ */

/* The shortest of the usual steps that makes do with `buckets`. */
static int64
choose_step(int64 span, int buckets)
{
	static const int seconds[] = {1,    5,    10,   15,    30,    60,    120,   300,    600,   900,
								  1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800};
	int64 step = 0;

	for (size_t i = 0; i < lengthof(seconds); i++) {
		step = seconds[i] * USECS_PER_SEC;
		if (span / step < buckets)
			return step;
	}
	return step * (span / step / buckets + 1);
}

static int64
read_step(Interval *step)
{
	int64 usecs = step->time + step->day * USECS_PER_DAY;

	if (step->month != 0 || usecs <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("step of a log histogram must be a positive length of time"),
				 errdetail("Given: %s.",
						   DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(step)))),
				 errhint("Months have no fixed length; write days.")));
	return usecs;
}

static void
read_range(Histogram *h, FunctionCallInfo fcinfo)
{
	int buckets = PG_ARGISNULL(7) ? 60 : PG_GETARG_INT32(7);

	h->to = PG_ARGISNULL(5) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(5);
	h->from = PG_ARGISNULL(4) ? h->to - USECS_PER_DAY : PG_GETARG_TIMESTAMPTZ(4);
	if (TIMESTAMP_NOT_FINITE(h->to) || (!PG_ARGISNULL(4) && TIMESTAMP_NOT_FINITE(h->from)))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("range of a log histogram must be finite")));
	if (buckets < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a log histogram has at least one bucket"), errdetail("Given: %d.", buckets)));
	h->step = PG_ARGISNULL(6) ? choose_step(h->to - h->from, buckets) : read_step(PG_GETARG_INTERVAL_P(6));
	h->first = observ_floor_time(h->from - ORIGIN, h->step) + ORIGIN;
	if (h->from >= h->to)
		return;
	if ((h->to - h->first - 1) / h->step + 1 > MAX_BUCKETS)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("log histogram would have more than %d buckets", MAX_BUCKETS),
						errhint("Use a longer step.")));
	h->n_buckets = (int) ((h->to - h->first - 1) / h->step + 1);
}

/*
 * observ.log_histogram(query, vps, app, level, from, to, step, buckets) → set of rows; see its COMMENT. Errors: as observ.search_logs(), and
 * 22008 for an infinite range, 22023 for a step that is none, 54000 for too many buckets.
 */
Datum
observ_log_histogram(PG_FUNCTION_ARGS)
{
	Histogram h = {.context = CurrentMemoryContext};

	observ_require_versions();
	observ_log_filter_init(&h.filter, fcinfo);
	read_range(&h, fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	h.partitions = observ_log_partitions(&h.n_partitions);
	if (h.n_buckets > 0)
		count_all(&h);
	emit(&h, (ReturnSetInfo *) fcinfo->resultinfo);
	return (Datum) 0;
}
