/*
 * Making rolled-up rows anew, key by key: for late rows, and for keys whose rows a scan of the table found out of order.
 * What does not belong here: which keys those are (rollup_dirty.c, rollup_job.c).
 */
#include "postgres.h"

#include "ext/rollup_recompute.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "ext/partitions.h"
#include "ext/rollup_roller.h"
#include "ext/rollup_write.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Buckets that lie side by side are read at once, but not so many that their rows fill the memory. */
#define MAX_RUN 2000

static const Oid run_types[] = {TEXTOID, TEXTOID, InvalidOid, TIMESTAMPTZOID, TIMESTAMPTZOID};
#define N_RUN lengthof(run_types)

/* A run under way: buckets list[from … to - 1] of one key, which lie side by side. */
typedef struct Run {
	ObservRollupWriter *writer;
	const ObservBucketList *list;
	int next; /* the first of which nothing has been found yet */
	ObservBucketList *missing;
	MemoryContext missing_context;
} Run;

void
observ_bucket_list_add(ObservBucketList *list, const ObservRollupKey *key, TimestampTz start)
{
	if (list->n == list->room) {
		list->room = Max(64, list->room * 2);
		list->items = list->items == NULL ? palloc(sizeof(list->items[0]) * list->room)
										  : repalloc_huge(list->items, sizeof(list->items[0]) * list->room);
	}
	list->items[list->n].start = start;
	/* Buckets of one key often follow each other. */
	if (list->n > 0 && observ_rollup_key_compare(&list->items[list->n - 1].key, key) == 0)
		list->items[list->n].key = list->items[list->n - 1].key;
	else
		list->items[list->n].key = observ_rollup_key_copy(key);
	list->n++;
}

static int
compare_items(const void *a, const void *b)
{
	const struct ObservBucketId *left = a, *right = b;
	int order = observ_rollup_key_compare(&left->key, &right->key);

	return order != 0 ? order : (left->start > right->start) - (left->start < right->start);
}

void
observ_bucket_list_sort(ObservBucketList *list)
{
	int kept = 0;

	if (list->n == 0)
		return;
	qsort(list->items, list->n, sizeof(list->items[0]), compare_items);
	for (int i = 1; i < list->n; i++)
		if (compare_items(&list->items[kept], &list->items[i]) != 0)
			list->items[++kept] = list->items[i];
	list->n = kept + 1;
}

static Datum
key_datum(const ObservRollupSource *source, const ObservRollupKey *key)
{
	if (source->key_type == INT4OID)
		return Int32GetDatum(key->set_no);
	return PointerGetDatum(cstring_to_text_with_len(key->url, key->url_len));
}

static void
note_missing(Run *run, int until)
{
	MemoryContext caller = MemoryContextSwitchTo(run->missing_context);

	for (; run->next < until; run->next++)
		observ_bucket_list_add(run->missing, &run->list->items[run->next].key,
							   run->list->items[run->next].start);
	MemoryContextSwitchTo(caller);
}

static void
take_bucket(void *arg, const ObservBucket *bucket)
{
	Run *run = arg;
	int at = run->next;

	while (run->list->items[at].start < bucket->start)
		at++;
	note_missing(run, at);
	run->next = at + 1;
	if (bucket->disordered)
		ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
						errmsg("rows of VPS \"%.*s\" came out of order from an index", bucket->key.vps_len,
							   bucket->key.vps),
						errhint("REINDEX TABLE the partition that holds them.")));
	observ_rollup_put(run->writer, bucket);
}

/* The same plan for every run; it doesn't know the keys, and opens at run time only the partitions that it needs. */
static SPIPlanPtr
run_plan(const ObservRollupSource *source, ObservTier from, Oid *types)
{
	static SPIPlanPtr plans[OBSERV_ROLLUP_SOURCES][OBSERV_TIERS];
	SPIPlanPtr *plan = &plans[source - observ_rollup_sources][from];

	memcpy(types, run_types, sizeof(run_types));
	types[2] = source->key_type;
	if (*plan == NULL) {
		const char *key = from == OBSERV_TIER_RAW ? source->raw_key : source->key_column;

		observ_spi_keep(
			plan,
			psprintf("%s WHERE vps_name = $1 AND app_name = $2 AND %s = $3 AND \"timestamp\" >= $4 AND "
					 "\"timestamp\" < $5 ORDER BY \"timestamp\"",
					 observ_rollup_select(source, from), key),
			N_RUN, types);
	}
	return *plan;
}

/* Index after the last bucket of the run that begins at `from`. */
static int
end_of_run(const ObservBucketList *list, int from, int64 step)
{
	int to = from + 1;

	while (to < list->n && to - from < MAX_RUN && list->items[to].start == list->items[to - 1].start + step &&
		   observ_rollup_key_compare(&list->items[to].key, &list->items[from].key) == 0)
		to++;
	return to;
}

static int64
delete_missing(const ObservRollupSource *source, ObservTier tier, const ObservBucketList *missing)
{
	static SPIPlanPtr plans[OBSERV_ROLLUP_SOURCES][OBSERV_TIERS];
	Oid types[] = {TEXTOID, TEXTOID, source->key_type, TIMESTAMPTZOID};
	char *sql = psprintf(
		"DELETE FROM observ.%s WHERE vps_name = $1 AND app_name = $2 AND %s = $3 AND \"timestamp\" = $4",
		source->tables[tier], source->key_column);
	int64 step = tier == OBSERV_TIER_5M ? OBSERV_5M : OBSERV_1H, deleted = 0;

	for (int i = 0; i < missing->n; i++) {
		const struct ObservBucketId *item = &missing->items[i];
		Datum values[] = {PointerGetDatum(cstring_to_text_with_len(item->key.vps, item->key.vps_len)),
						  PointerGetDatum(cstring_to_text_with_len(item->key.app, item->key.app_len)),
						  key_datum(source, &item->key), TimestampTzGetDatum(item->start)};

		/* Asked after they were not found: retention may have dropped them since the keys were listed. */
		if (observ_rollup_covered(source, tier - 1, item->start, item->start + step))
			deleted += observ_spi_kept(&plans[source - observ_rollup_sources][tier], SPI_OK_DELETE, sql,
									   lengthof(types), types, values, NULL);
	}
	return deleted;
}

void
observ_rollup_recompute(const ObservRollupSource *source, ObservTier tier, ObservBucketList *list,
						ObservRecomputed *done)
{
	int64 step = tier == OBSERV_TIER_5M ? OBSERV_5M : OBSERV_1H;
	ObservBucketList missing = {0};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "observ recompute", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	MemoryContext one_run = AllocSetContextCreate(context, "observ recompute run", ALLOCSET_DEFAULT_SIZES);
	Run run = {.writer = observ_rollup_writer(source, tier, false),
			   .list = list,
			   .missing = &missing,
			   .missing_context = context};
	ObservRoller *roller = observ_roller(source, step, take_bucket, &run);
	int nest_level = observ_few_rows_begin();
	Oid types[N_RUN];
	SPIPlanPtr plan = run_plan(source, tier - 1, types);

	observ_bucket_list_sort(list);
	for (int from = 0, to; from < list->n; from = to) {
		const struct ObservBucketId *first = &list->items[from];
		Datum values[N_RUN];

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(one_run);
		to = end_of_run(list, from, step);
		run.next = from;
		values[0] = PointerGetDatum(cstring_to_text_with_len(first->key.vps, first->key.vps_len));
		values[1] = PointerGetDatum(cstring_to_text_with_len(first->key.app, first->key.app_len));
		values[2] = key_datum(source, &first->key);
		values[3] = TimestampTzGetDatum(first->start);
		values[4] = TimestampTzGetDatum(list->items[to - 1].start + step);
		done->rows += observ_roller_feed(roller, tier - 1, plan, N_RUN, types, values, false);
		observ_roller_finish(roller);
		note_missing(&run, to);
		MemoryContextReset(one_run);
	}
	MemoryContextSwitchTo(context);
	observ_rollup_flush(run.writer);
	done->written += observ_rollup_written(run.writer) + delete_missing(source, tier, &missing);
	if (tier == OBSERV_TIER_5M)
		done->nonfinite += observ_roller_nonfinite(roller);
	observ_few_rows_end(nest_level);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

bool
observ_rollup_covered(const ObservRollupSource *source, ObservTier tier, TimestampTz from, TimestampTz to)
{
	Relation parent = table_open(observ_relid(source->tables[tier]), AccessShareLock);
	int n;
	/* Without partitions that are being detached: queries don't see their rows any more. */
	ObservPartition *partitions = observ_partitions(parent, false, &n);
	bool covered = false;

	for (int i = 0; i < n && !covered; i++)
		covered = partitions[i].range.from <= from && to <= partitions[i].range.to;
	pfree(partitions);
	/* The lock stays until the end of the transaction: what is covered now has been, and remains so, for us. */
	table_close(parent, NoLock);
	return covered;
}
