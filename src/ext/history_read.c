/*
 * Reading for observ.metrics_history(): hours, then the five minutes that are not in hours yet, then the raw rows that are not rolled up yet,
 * each in the order of time, into the buckets of the answer. All with one snapshot, so that nothing is read twice or missed while
 * observ.roll_up() moves the watermarks.
 * What does not belong here: which metrics (history_names.c), which buckets (history.c).
 */
#include "postgres.h"

#include "ext/history.h"

#include "catalog/pg_type.h"
#include "ext/partitions.h"
#include "ext/rollup_roller.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "ext/times.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* A counter's growth over a longer gap belongs to no bucket, as in observ.metric_range(). */
#define MAX_GAP USECS_PER_HOUR

#define MAX_POINTS 5000000

/* What was before a bucket, for the growth of counters: of each key, by cell. */
typedef struct Chain {
	ObservRollupKey key;
	struct {
		bool known;
		double last;
		TimestampTz end; /* of its bucket */
	} before[ROLLUP_MAX_CELLS];
} Chain;

/* One source, and of labelled metrics one set, that is being read. */
typedef struct Reading {
	ObservHistory *history;
	int source;
	const ObservHistorySeries *first; /* series of the set … */
	int n;                            /* … and how many */
	List *chains;
	MemoryContext context;
} Reading;

/* ---- how far rows reach */

void
observ_history_reach(ObservHistory *history)
{
	static const char sql[] = "SELECT source, rolled_5m, rolled_1h FROM observ_data.rollup_state";

	if (SPI_execute(sql, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read observ_data.rollup_state");
	for (int i = 0; i < OBSERV_ROLLUP_SOURCES; i++) {
		const ObservRollupSource *source = &observ_rollup_sources[i];
		ObservReach *reach = &history->reach[i];

		reach->rolled[OBSERV_TIER_RAW] = DT_NOEND;
		reach->rolled[OBSERV_TIER_5M] = reach->rolled[OBSERV_TIER_1H] = DT_NOBEGIN;
		for (uint64 row = 0; row < SPI_processed; row++) {
			bool isnull;

			if (strcmp(TextDatumGetCString(observ_spi_value(row, 1, &isnull)), source->name) != 0)
				continue;
			reach->rolled[OBSERV_TIER_5M] = DatumGetTimestampTz(observ_spi_value(row, 2, &isnull));
			reach->rolled[OBSERV_TIER_1H] = DatumGetTimestampTz(observ_spi_value(row, 3, &isnull));
		}
		for (int tier = 0; tier < OBSERV_TIERS && reach->wanted; tier++)
			reach->oldest[tier] = observ_oldest_partition(source->tables[tier]);
	}
}

/* ---- taking in buckets */

static Chain *
chain_of(Reading *reading, const ObservRollupKey *key)
{
	MemoryContext caller;
	Chain *chain;
	ListCell *cell;

	foreach (cell, reading->chains)
		if (observ_rollup_key_compare(&((Chain *) lfirst(cell))->key, key) == 0)
			return lfirst(cell);
	caller = MemoryContextSwitchTo(reading->context);
	chain = palloc0(sizeof(Chain));
	chain->key = observ_rollup_key_copy(key);
	reading->chains = lappend(reading->chains, chain);
	MemoryContextSwitchTo(caller);
	return chain;
}

static struct cell *
cells_of(ObservHistory *history, ObservLine *line)
{
	if (line->cells == NULL) {
		if ((int64) list_length(history->lines) * history->buckets > MAX_POINTS)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("too many series and buckets"),
							errdetail("There are %d metrics of %d buckets; at most %d points are given.",
									  list_length(history->lines), history->buckets, MAX_POINTS),
							errhint("Take fewer points, or selectors that fewer series match.")));
		line->cells =
			palloc_extended(sizeof(struct cell) * history->buckets, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	return line->cells;
}

/* Adds the cell of a series to its line, its growth since the bucket before included. */
static void
take_cell(Reading *reading, Chain *chain, const ObservBucket *bucket, int i, ObservLine *line)
{
	ObservHistory *history = reading->history;
	struct cell cell = bucket->row.cells[i];
	int64 max_gap = Max(MAX_GAP, history->step);

	if (cell.counter) {
		if (chain->before[i].known && bucket->start - chain->before[i].end <= max_gap)
			cell.increase += counter_increase(chain->before[i].last, cell.first);
		chain->before[i].known = true;
		chain->before[i].last = cell.last;
		chain->before[i].end = bucket->start + history->step;
	}
	if (bucket->start >= history->start && bucket->start < history->end)
		cell_join(&cells_of(history, line)[(bucket->start - history->start) / history->step], &cell);
}

static void
take_bucket(void *arg, const ObservBucket *bucket)
{
	Reading *reading = arg;
	ObservHistory *history = reading->history;
	Chain *chain = chain_of(reading, &bucket->key);
	MemoryContext caller = MemoryContextSwitchTo(reading->context);

	if (bucket->disordered)
		elog(ERROR, "rows came out of order");
	if (reading->source == OBSERV_ROLL_VPS_METRICS) {
		for (int i = 0; i < bucket->row.n; i++)
			if (bucket->row.cells[i].count > 0 && history->columns[i] != NULL)
				take_cell(reading, chain, bucket, i, history->columns[i]);
	} else if (reading->source == OBSERV_ROLL_HEALTH_CHECKS) {
		ObservLine *line = observ_history_check(history, bucket->key.url, bucket->key.url_len);

		if (line != NULL && bucket->row.cells[OBSERV_HEALTH_RESPONSE].count > 0)
			take_cell(reading, chain, bucket, OBSERV_HEALTH_RESPONSE, line);
	} else
		for (int i = 0; i < reading->n; i++) {
			const ObservHistorySeries *series = &reading->first[i];

			if (series->slot < bucket->row.n && bucket->row.cells[series->slot].count > 0)
				take_cell(reading, chain, bucket, series->slot, series->line);
		}
	MemoryContextSwitchTo(caller);
}

/* ---- reading */

/* Rows of one tier in [from, to); $1 vps, $2 app, $3 set, $4 and $5 times. Planned for these times: only their partitions. */
static void
read_tier(Reading *reading, ObservRoller *roller, ObservTier tier, TimestampTz from, TimestampTz to)
{
	const ObservHistory *history = reading->history;
	const ObservRollupSource *source = &observ_rollup_sources[reading->source];
	const text *app = reading->first != NULL ? reading->first->app : history->app;
	bool packed = source->key_type == INT4OID && !(tier == OBSERV_TIER_RAW && !source->has_kinds);
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {PointerGetDatum(history->vps), PointerGetDatum(app),
					  Int32GetDatum(reading->first != NULL ? reading->first->set_no : -1),
					  TimestampTzGetDatum(from), TimestampTzGetDatum(to)};
	StringInfoData sql;
	SPIPlanPtr plan;

	initStringInfo(&sql);
	appendStringInfo(&sql,
					 "%s WHERE vps_name = $1%s%s AND \"timestamp\" >= $4 AND \"timestamp\" < $5 ORDER BY "
					 "vps_name, app_name%s, "
					 "\"timestamp\"",
					 observ_rollup_select(source, tier), app != NULL ? " AND app_name = $2" : "",
					 packed ? " AND set_no = $3" : "", source->key_type == TEXTOID ? ", url" : "");
	if (app == NULL)
		values[1] = CStringGetTextDatum("");
	plan = SPI_prepare(sql.data, lengthof(types), types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a query of observ.%s: %s", source->tables[tier],
			 SPI_result_code_string(SPI_result));
	observ_roller_feed(roller, tier, plan, lengthof(types), types, values, true);
	SPI_freeplan(plan);
}

/* Counters are compared with what was before the first bucket. */
static TimestampTz
first_look(const ObservHistory *history, int source)
{
	if (source != OBSERV_ROLL_METRIC_SCRAPES)
		return history->start;
	return observ_floor_time(history->start - Max(MAX_GAP, history->step), history->step);
}

static void
read_source(Reading *reading)
{
	ObservHistory *history = reading->history;
	const ObservReach *reach = &history->reach[reading->source];
	ObservRoller *roller =
		observ_roller(&observ_rollup_sources[reading->source], history->step, take_bucket, reading);
	TimestampTz from = first_look(history, reading->source);
	ObservTier tier = history->step >= OBSERV_1H   ? OBSERV_TIER_1H
					  : history->step >= OBSERV_5M ? OBSERV_TIER_5M
												   : OBSERV_TIER_RAW;
	int nest_level = observ_few_rows_begin();

	for (;; tier--) {
		TimestampTz to = Min(history->end, reach->rolled[tier]);

		if (from < to) {
			read_tier(reading, roller, tier, from, to);
			from = to;
		}
		if (tier == OBSERV_TIER_RAW)
			break;
	}
	observ_roller_finish(roller);
	observ_few_rows_end(nest_level);
}

static bool
same_set(const ObservHistorySeries *a, const ObservHistorySeries *b)
{
	return a->set_no == b->set_no && observ_text_compare(a->app, b->app) == 0;
}

static int
compare_series(const void *a, const void *b)
{
	const ObservHistorySeries *left = a, *right = b;
	int order = observ_text_compare(left->app, right->app);

	return order != 0 ? order : left->set_no - right->set_no;
}

static void
read_sets(ObservHistory *history)
{
	if (history->n_series > 0)
		qsort(history->series, history->n_series, sizeof(ObservHistorySeries), compare_series);
	for (int i = 0, n; i < history->n_series; i += n) {
		Reading reading = {.history = history,
						   .source = OBSERV_ROLL_METRIC_SCRAPES,
						   .first = &history->series[i],
						   .context = CurrentMemoryContext};

		for (n = 1; i + n < history->n_series && same_set(reading.first, &history->series[i + n]);)
			n++;
		reading.n = n;
		read_source(&reading);
	}
}

/* ---- what is not complete */

/* Where the rows of a bucket come from, from its start on. */
static ObservTier
tier_at(const ObservHistory *history, const ObservReach *reach, TimestampTz at)
{
	if (history->step >= OBSERV_1H && at < reach->rolled[OBSERV_TIER_1H])
		return OBSERV_TIER_1H;
	return history->step >= OBSERV_5M && at < reach->rolled[OBSERV_TIER_5M] ? OBSERV_TIER_5M
																			: OBSERV_TIER_RAW;
}

/* Buckets of which late rows are known and not yet in the rolled-up rows. */
static void
mark_late(ObservHistory *history, int source)
{
	static const char sql[] =
		"SELECT \"timestamp\" FROM observ_data.rollup_dirty WHERE source = $1 AND vps_name = $2 "
		"AND ($3 IS NULL OR app_name = $3) AND \"timestamp\" >= $4 AND \"timestamp\" < $5";
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(observ_rollup_sources[source].name), PointerGetDatum(history->vps),
					  PointerGetDatum(history->app), TimestampTzGetDatum(history->start),
					  TimestampTzGetDatum(history->end)};
	char nulls[] = {' ', ' ', history->app == NULL ? 'n' : ' ', ' ', ' ', '\0'};

	if (SPI_execute_with_args(sql, lengthof(types), types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read observ_data.rollup_dirty");
	for (uint64 row = 0; row < SPI_processed; row++) {
		bool isnull;
		TimestampTz at = DatumGetTimestampTz(observ_spi_value(row, 1, &isnull));

		history->reach[source].partial[(at - history->start) / history->step] = true;
	}
}

static void
mark_partial(ObservHistory *history, int source)
{
	ObservReach *reach = &history->reach[source];

	reach->partial = palloc0(sizeof(bool) * history->buckets);
	for (int i = 0; i < history->buckets; i++) {
		TimestampTz start = history->start + i * history->step;

		reach->partial[i] = start + history->step > reach->rolled[OBSERV_TIER_5M] ||
							start < reach->oldest[tier_at(history, reach, start)];
	}
	if (history->step >= OBSERV_5M)
		mark_late(history, source);
}

void
observ_history_read(ObservHistory *history)
{
	ListCell *cell;

	for (int source = 0; source < OBSERV_ROLLUP_SOURCES; source++) {
		Reading reading = {.history = history, .source = source, .context = CurrentMemoryContext};

		if (!history->reach[source].wanted)
			continue;
		mark_partial(history, source);
		if (source == OBSERV_ROLL_METRIC_SCRAPES)
			read_sets(history);
		else
			read_source(&reading);
	}
	foreach (cell, history->lines) {
		ObservLine *line = lfirst(cell);

		line->partial = history->reach[line->source].partial;
	}
}
