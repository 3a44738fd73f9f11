/*
 * Keeping roll-ups of observ.vps_metrics in memory for rules about long windows.
 * What does not belong here: what rules make of them (rule_vps_long.c).
 *
 * A rolled-up row has every metric, a rule wants one: what is kept of a bucket is small, and a session that evaluates again and again reads only what was
 * rolled up since. Late rows that change an old bucket are seen when all is read anew, once an hour.
 */
#include "postgres.h"

#include "ext/window_rollup.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/window_cells.h"
#include "ext/recent_rows.h"
#include "ext/rollup_sources.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/window_keep.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* By the clock: for how long what was read is used. */
#define LIFE USECS_PER_HOUR
/* Room for buckets that come in that time. */
#define SPARE_BUCKETS 14

/* A bucket of one metric; count 0: nothing is in it. */
typedef struct Bucket {
	double mean;
	uint32 count;
	int32 part; /* what its last value is from: minutes since its start */
	float4 min, max, last;
	float4 average, weight; /* weighted by intervals */
} Bucket;

/* How a metric is made of the cells of a rolled-up row. */
typedef struct Recipe {
	const struct rule_metric *metric;
	int column, divisor; /* -1: none */
	/* Of buckets: its own windows may be shorter than others. */
	TimestampTz start; /* what came before is not kept */
	int skipped;       /* so many buckets of the table */
	int place;         /* of its first bucket among the values */
} Recipe;

/* Names of a VPS and application, and what is kept of them: an array per metric. */
typedef struct Entry {
	ObservVpsKey key;
	void *values;
} Entry;

typedef struct Table {
	ObservKept kept;
	TimestampTz until_clock;
	HTAB *entries;
	Recipe *recipes;
	int n_recipes;
	Size size; /* of an entry's values */
} Table;

/* Buckets of one step. */
typedef struct Buckets {
	Table table;
	int64 step;
	TimestampTz base; /* start of bucket 0 */
	int n;
	TimestampTz done; /* roll-ups before this have been read */
} Buckets;

static Buckets all_buckets[] = {{.step = OBSERV_5M}, {.step = OBSERV_1H}};

static struct {
	Table table;
	ObservUsualNeed *needs; /* as many as recipes */
} usual;

/* ---- metrics */

static int
column_of(const char *name)
{
	for (int i = 0; name != NULL && i < OBSERV_VPS_COLUMNS; i++)
		if (strcmp(observ_vps_columns[i], name) == 0)
			return i;
	return -1;
}

bool
observ_is_rolled_up(const struct rule_metric *metric)
{
	return column_of(metric->column) >= 0 && (metric->divisor == NULL || column_of(metric->divisor) >= 0);
}

static Recipe
recipe_of(const struct rule_metric *metric)
{
	return (Recipe){
		.metric = metric, .column = column_of(metric->column), .divisor = column_of(metric->divisor)};
}

/* The bucket of a metric that a rolled-up row says; count 0: nothing. */
static Bucket
bucket_of(const Recipe *recipe, const struct cell_row *row)
{
	const struct cell *cell = recipe->column < row->n ? &row->cells[recipe->column] : NULL;
	double by = 1;
	Bucket b = {0};

	if (cell == NULL || cell->count == 0)
		return b;
	if (recipe->divisor >= 0) {
		const struct cell *divisor = recipe->divisor < row->n ? &row->cells[recipe->divisor] : NULL;

		by = divisor != NULL && divisor->count > 0 ? cell_average(divisor) : 0;
		if (!(by > 0))
			return b;
	}
	b = (Bucket){.count = (uint32) Min(cell->count, PG_UINT32_MAX),
				 .min = cell->min / by,
				 .max = cell->max / by,
				 .last = cell->last / by,
				 .mean = cell->sum / (double) cell->count / by,
				 .average = cell_average(cell) / by,
				 .weight = cell->each != 0 ? (double) cell->count * cell->each : (double) cell->weight};
	if (recipe->metric->complement) {
		float4 min = b.min;

		b.min = 100 - b.max;
		b.max = 100 - min;
		b.last = 100 - b.last;
		b.mean = 100 - b.mean;
		b.average = 100 - b.average;
	}
	return b;
}

static void
join(Bucket *to, const Bucket *from)
{
	float4 weight = to->weight + from->weight;
	double count = (double) to->count + from->count;

	if (to->count == 0 || from->count == 0) {
		if (from->count > 0)
			*to = *from;
		return;
	}
	if (from->part >= to->part) {
		to->last = from->last;
		to->part = from->part;
	}
	to->min = Min(to->min, from->min);
	to->max = Max(to->max, from->max);
	to->mean = (to->mean * to->count + from->mean * from->count) / count;
	to->average = (to->average * to->weight + from->average * from->weight) / weight;
	to->weight = weight;
	to->count += from->count;
}

static struct cell
cell_of(const Bucket *b)
{
	uint64 weight = Max((uint64) b->weight, 1);

	return (struct cell){.count = b->count,
						 .min = b->min,
						 .max = b->max,
						 .last = b->last,
						 .sum = (double) b->mean * b->count,
						 .weight = weight,
						 .weighted = (double) b->average * weight};
}

/* ---- tables */

static void
begin_table(Table *table, const char *what, const Recipe *recipes, int n, Size size)
{
	MemoryContext old;

	observ_keep(&table->kept, what);
	table->until_clock = GetCurrentTransactionStartTimestamp() + LIFE;
	table->n_recipes = n;
	table->size = size;
	old = MemoryContextSwitchTo(table->kept.context);
	table->entries = observ_vps_table_create(what, sizeof(Entry), 1024);
	table->recipes = palloc(sizeof(Recipe) * Max(n, 1));
	memcpy(table->recipes, recipes, sizeof(Recipe) * n);
	MemoryContextSwitchTo(old);
}

/* Whether what is there may be used, and be added to. */
static bool
is_usable(const Table *table)
{
	return observ_kept_is_current(&table->kept) ||
		   (table->kept.context != NULL && observ_is_kept() &&
			GetCurrentTransactionStartTimestamp() <= table->until_clock);
}

/* The values of a key; of a new one they are zero, and *is_new true. */
static void *
values_of(Table *table, Datum vps, Datum app, bool *is_new)
{
	ObservVpsKey key = observ_vps_key(vps, app);
	bool found;
	Entry *entry = hash_search(table->entries, &key, HASH_ENTER, &found);

	if (!found) {
		/* The same bytes, so it stays where it is. */
		char *names = MemoryContextAlloc(table->kept.context, key.vps_len + key.app_len + 1);

		memcpy(names, key.vps, key.vps_len);
		memcpy(names + key.vps_len, key.app, key.app_len);
		entry->key = (ObservVpsKey){names, names + key.vps_len, key.vps_len, key.app_len};
		entry->values =
			MemoryContextAllocExtended(table->kept.context, table->size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	}
	*is_new = !found;
	return entry->values;
}

/* ---- reading */

/* What is read now: rows of observ.metrics_5m or _1h. */
typedef struct Reading {
	Table *table;
	Buckets *buckets;  /* NULL: what is usual */
	int first, n, day; /* what is usual: which of the needs, of which day */
} Reading;

static const char *const columns[] = {"set_no", "cells"};

static void
take(ObservRecent *recent, TupleTableSlot *slot, TimestampTz start)
{
	Reading *reading = recent->arg;
	Buckets *buckets = reading->buckets;
	bytea *bytes;
	struct cell_row row;
	void *values;
	bool is_new;

	if (DatumGetInt32(slot->tts_values[recent->columns[0] - 1]) != -1)
		return;
	bytes = DatumGetByteaPP(slot->tts_values[recent->columns[1] - 1]);
	if (!cells_decode((unsigned char *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &row))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("rolled-up metrics can't be read"),
						errhint("SELECT observ.recompute_rollups(\"from\", \"to\") makes them anew.")));
	values = values_of(reading->table, slot->tts_values[recent->vps - 1], slot->tts_values[recent->app - 1],
					   &is_new);
	if (buckets != NULL) {
		Bucket *all = values;
		int i = (int) ((start - buckets->base) / buckets->step);

		for (int m = 0; m < reading->table->n_recipes; m++) {
			const Recipe *recipe = &reading->table->recipes[m];
			Bucket b;

			if (i < recipe->skipped)
				continue;
			b = bucket_of(recipe, &row);
			b.part = (int32) ((start - buckets->base) % buckets->step / USECS_PER_MINUTE);
			join(&all[recipe->place + i - recipe->skipped], &b);
		}
	} else {
		float4 *days = values;

		for (int i = 0; is_new && i < reading->table->n_recipes * WINDOW_USUAL_DAYS; i++)
			days[i] = NAN;
		for (int m = reading->first; m < reading->first + reading->n; m++) {
			Bucket b = bucket_of(&reading->table->recipes[m], &row);

			if (b.count > 0)
				days[m * WINDOW_USUAL_DAYS + reading->day] = b.average;
		}
	}
}

/* Rows of a roll-up that begin in [from, to). */
static void
read_rollup(Reading *reading, const char *table, TimestampTz from, TimestampTz to)
{
	ObservRecent recent = {.table = table,
						   .after = from - 1,
						   .until = to - 1,
						   .received = DT_NOBEGIN,
						   .names = columns,
						   .n = lengthof(columns),
						   .take = take,
						   .arg = reading};

	if (from < to)
		observ_recent_rows(&recent);
}

static TimestampTz
watermark(int number)
{
	static SPIPlanPtr plan = NULL;
	bool isnull;

	if (observ_spi_read(
			&plan, "SELECT rolled_5m, rolled_1h FROM observ_data.rollup_state WHERE source = 'vps_metrics'",
			0, NULL, NULL, NULL) != 1)
		return DT_NOBEGIN;
	return DatumGetTimestampTz(observ_spi_value(0, number, &isnull));
}

TimestampTz
observ_rolled_until(void)
{
	return watermark(1);
}

/* ---- buckets of long windows */

static int
recipe_in(const Table *table, const struct rule_metric *metric)
{
	for (int i = 0; i < table->n_recipes; i++)
		if (table->recipes[i].metric == metric)
			return i;
	return -1;
}

static bool
has_buckets(const Buckets *b, TimestampTz until, const ObservBucketNeed *needs, int n)
{
	if (!is_usable(&b->table) || b->done > until || until > b->base + b->n * b->step)
		return false;
	for (int i = 0; i < n; i++) {
		int m = recipe_in(&b->table, needs[i].metric);

		if (m < 0 || needs[i].start < b->table.recipes[m].start)
			return false;
	}
	return true;
}

/* Where the buckets of each metric are; returns how many there are in all. */
static Size
place_buckets(const Buckets *b, Recipe *recipes, int n)
{
	Size total = 0;

	for (int i = 0; i < n; i++) {
		recipes[i].skipped = (int) ((recipes[i].start - b->base) / b->step);
		recipes[i].place = (int) total;
		total += b->n - recipes[i].skipped;
	}
	return total;
}

static void
begin_buckets(Buckets *b, TimestampTz until, const ObservBucketNeed *needs, int n)
{
	/* What other rules needed a moment ago is needed again soon. */
	bool early = is_usable(&b->table) && until >= b->done;
	int old = early ? b->table.n_recipes : 0, used = old;
	Recipe *recipes = palloc(sizeof(Recipe) * (old + n));
	TimestampTz base = early ? b->base : until;

	if (old > 0)
		memcpy(recipes, b->table.recipes, sizeof(Recipe) * old);
	for (int i = 0; i < n; i++) {
		TimestampTz start = observ_floor_time(needs[i].start, b->step);
		int j = 0;

		base = Min(base, start);
		while (j < used && recipes[j].metric != needs[i].metric)
			j++;
		if (j == used) {
			recipes[used] = recipe_of(needs[i].metric);
			recipes[used++].start = start;
		}
		recipes[j].start = Min(recipes[j].start, start);
	}
	b->base = base;
	b->n = (int) ((until - base) / b->step) + SPARE_BUCKETS;
	begin_table(&b->table, "rolled up", recipes, used, sizeof(Bucket) * place_buckets(b, recipes, used));
	b->done = base;
	pfree(recipes);
}

static Buckets *
buckets_of(int64 step)
{
	return &all_buckets[step == OBSERV_1H];
}

void
observ_load_buckets(int64 step, TimestampTz until, const ObservBucketNeed *needs, int n)
{
	Buckets *b = buckets_of(step);
	Reading reading = {.table = &b->table, .buckets = b};

	if (!has_buckets(b, until, needs, n)) {
		begin_buckets(b, until, needs, n);
		if (step == OBSERV_1H) {
			TimestampTz hours = Max(Min(watermark(2), observ_floor_time(until, OBSERV_1H)), b->base);

			read_rollup(&reading, "metrics_1h", b->base, hours);
			b->done = hours;
		}
	}
	read_rollup(&reading, "metrics_5m", b->done, until);
	b->done = Max(b->done, until);
	observ_kept_updated(&b->table.kept);
}

bool
observ_bucket_line(int64 step, const ObservVpsKey *key, const struct rule_metric *metric,
				   ObservBucketLine *line)
{
	const Buckets *b = buckets_of(step);
	const Entry *entry = hash_search(b->table.entries, key, HASH_FIND, NULL);
	const Recipe *recipe;

	if (entry == NULL)
		return false;
	recipe = &b->table.recipes[recipe_in(&b->table, metric)];
	*line = (ObservBucketLine){.buckets = (const Bucket *) entry->values + recipe->place,
							   .step = step,
							   .base = b->base + recipe->skipped * step,
							   .n = b->n - recipe->skipped};
	return true;
}

void
observ_add_bucket(const ObservBucketLine *line, TimestampTz start, struct cell *cell)
{
	int64 i = (start - line->base) / line->step;
	const Bucket *bucket = (const Bucket *) line->buckets + i;
	struct cell found;

	if (start < line->base || i >= line->n || bucket->count == 0)
		return;
	found = cell_of(bucket);
	cell_join(cell, &found);
}

/* ---- what is usual */

static int
usual_in(const ObservUsualNeed *need)
{
	for (int i = 0; i < usual.table.n_recipes; i++)
		if (usual.needs[i].metric == need->metric && usual.needs[i].hour == need->hour)
			return i;
	return -1;
}

static bool
has_usual(const ObservUsualNeed *needs, int n)
{
	if (!is_usable(&usual.table))
		return false;
	for (int i = 0; i < n; i++)
		if (usual_in(&needs[i]) < 0)
			return false;
	return true;
}

static int
compare_hours(const void *a, const void *b)
{
	TimestampTz left = ((const ObservUsualNeed *) a)->hour, right = ((const ObservUsualNeed *) b)->hour;

	return (left > right) - (left < right);
}

/* All that is needed now, and of what was there what is of the same hours. */
static int
gather_usual(ObservUsualNeed *all, const ObservUsualNeed *needs, int n)
{
	int old = is_usable(&usual.table) ? usual.table.n_recipes : 0, used = 0;

	for (int i = 0; i < n + old; i++) {
		ObservUsualNeed need = i < n ? needs[i] : usual.needs[i - n];
		bool wanted = i < n;

		for (int j = 0; j < n; j++)
			wanted |= needs[j].hour == need.hour;
		for (int j = 0; j < used; j++)
			wanted &= all[j].metric != need.metric || all[j].hour != need.hour;
		if (wanted)
			all[used++] = need;
	}
	qsort(all, used, sizeof(ObservUsualNeed), compare_hours);
	return used;
}

void
observ_load_usual(const ObservUsualNeed *needs, int n)
{
	ObservUsualNeed *all;
	Recipe *recipes;
	int used;

	if (has_usual(needs, n))
		return;
	all = palloc(sizeof(ObservUsualNeed) * (n + usual.table.n_recipes));
	used = gather_usual(all, needs, n);
	recipes = palloc(sizeof(Recipe) * used);
	for (int i = 0; i < used; i++)
		recipes[i] = recipe_of(all[i].metric);
	begin_table(&usual.table, "usual", recipes, used, sizeof(float4) * WINDOW_USUAL_DAYS * used);
	usual.needs = MemoryContextAlloc(usual.table.kept.context, sizeof(ObservUsualNeed) * used);
	memcpy(usual.needs, all, sizeof(ObservUsualNeed) * used);
	for (int i = 0, same; i < used; i += same) {
		for (same = 1; i + same < used && all[i + same].hour == all[i].hour; same++)
			;
		for (int day = 0; day < WINDOW_USUAL_DAYS; day++) {
			Reading reading = {.table = &usual.table, .first = i, .n = same, .day = day};
			TimestampTz start = all[i].hour - (day + 1) * USECS_PER_DAY;

			read_rollup(&reading, "metrics_1h", start, start + 1);
		}
	}
	observ_kept_updated(&usual.table.kept);
	pfree(recipes);
	pfree(all);
}

const float4 *
observ_usual(const ObservVpsKey *key, const ObservUsualNeed *need)
{
	const Entry *entry = hash_search(usual.table.entries, key, HASH_FIND, NULL);

	return entry == NULL ? NULL : (const float4 *) entry->values + usual_in(need) * WINDOW_USUAL_DAYS;
}
