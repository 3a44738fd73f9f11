/*
 * Reading the rows of a raw table by their time, page by page.
 * What does not belong here: what is made of them (window_store.c, rule_health.c).
 *
 * A query of the same rows through SPI forms a tuple for each and copies its names; here a row costs its deforming and nothing else, which
 * is a third of the time (docs/alert-windows.md).
 */
#include "postgres.h"

#include "ext/recent_rows.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Pages that are read without asking an index which. */
#define SMALL_TABLE 64

static void
find_columns(ObservRecent *recent, Relation rel)
{
	recent->timestamp = observ_column(rel, "timestamp", TIMESTAMPTZOID);
	recent->vps = observ_column(rel, "vps_name", TEXTOID);
	recent->app = observ_column(rel, "app_name", TEXTOID);
	recent->last = Max(recent->timestamp, Max(recent->vps, recent->app));
	Assert(recent->n <= OBSERV_RECENT_COLUMNS);
	for (int i = 0; i < recent->n; i++) {
		AttrNumber number =
			recent->names[i] == NULL ? 0 : get_attnum(RelationGetRelid(rel), recent->names[i]);

		if (recent->names[i] != NULL && number == InvalidAttrNumber)
			ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
							errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(rel),
								   recent->names[i])));
		recent->columns[i] = number;
		recent->types[i] =
			number == 0 ? InvalidOid : TupleDescAttr(RelationGetDescr(rel), number - 1)->atttypid;
		recent->last = Max(recent->last, number);
	}
}

static void
take_row(ObservRecent *recent, TupleTableSlot *slot)
{
	TimestampTz timestamp;

	slot_getsomeattrs(slot, recent->timestamp);
	timestamp = DatumGetTimestampTz(slot->tts_values[recent->timestamp - 1]);
	if (timestamp <= recent->after || timestamp > recent->until)
		return;
	slot_getsomeattrs(slot, recent->last);
	recent->take(recent, slot, timestamp);
}

/* ---- which pages */

/* Place (from 1) of a column among those of the index; 0: it is not there. */
static AttrNumber
place_in(Relation index, AttrNumber column)
{
	for (int i = 0; column > 0 && i < index->rd_index->indnkeyatts; i++)
		if (index->rd_index->indkey.values[i] == column)
			return i + 1;
	return 0;
}

/* A BRIN index that knows times of rows; NULL: there is none that this snapshot may use. */
static Relation
open_brin(ObservRecent *recent, Relation rel)
{
	List *indexes = RelationGetIndexList(rel);
	Relation found = NULL;
	ListCell *cell;

	foreach (cell, indexes) {
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);

		/* As the planner asks before it takes an index. */
		if (found == NULL && index->rd_rel->relam == BRIN_AM_OID && index->rd_index->indisvalid &&
			RelationGetIndexPredicate(index) == NIL && place_in(index, recent->timestamp) > 0 &&
			(!index->rd_index->indcheckxmin ||
			 TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin)))
			found = index;
		else
			index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

static void
time_key(ScanKey key, AttrNumber place, StrategyNumber strategy, RegProcedure function, TimestampTz value)
{
	ScanKeyEntryInitialize(key, 0, place, strategy, TIMESTAMPTZOID, InvalidOid, function,
						   TimestampTzGetDatum(value));
}

static TIDBitmap *
find_pages(ObservRecent *recent, Relation rel, Relation index)
{
	TIDBitmap *pages = tbm_create(work_mem * INT64CONST(1024), NULL);
	AttrNumber timestamp = place_in(index, recent->timestamp);
	AttrNumber received = TIMESTAMP_IS_NOBEGIN(recent->received)
							  ? 0
							  : place_in(index, observ_column(rel, "received_at", TIMESTAMPTZOID));
	ScanKeyData keys[3];
	IndexScanDesc scan;
	int n = 0;

	time_key(&keys[n++], timestamp, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT, recent->after);
	time_key(&keys[n++], timestamp, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, recent->until);
	if (received > 0)
		time_key(&keys[n++], received, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, recent->received);
	scan = index_beginscan_bitmap(index, GetActiveSnapshot(), n);
	index_rescan(scan, keys, n, NULL, 0);
	index_getbitmap(scan, pages);
	index_endscan(scan);
	return pages;
}

/* ---- reading */

static void
read_pages(ObservRecent *recent, Relation rel, TIDBitmap *pages, TupleTableSlot *slot, MemoryContext row)
{
	TableScanDesc scan = table_beginscan_bm(rel, GetActiveSnapshot(), 0, NULL);
	TBMIterator *iterator = tbm_begin_iterate(pages);
	TBMIterateResult *page;
	MemoryContext old = MemoryContextSwitchTo(row);

	while ((page = tbm_iterate(iterator)) != NULL) {
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row);
		if (!table_scan_bitmap_next_block(scan, page))
			continue;
		while (table_scan_bitmap_next_tuple(scan, page, slot))
			take_row(recent, slot);
	}
	MemoryContextSwitchTo(old);
	ExecClearTuple(slot);
	tbm_end_iterate(iterator);
	table_endscan(scan);
}

static void
read_all(ObservRecent *recent, Relation rel, TupleTableSlot *slot, MemoryContext row)
{
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	MemoryContext old = MemoryContextSwitchTo(row);
	uint32 n = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
		if (n++ % 64 == 0) {
			CHECK_FOR_INTERRUPTS();
			MemoryContextReset(row);
		}
		take_row(recent, slot);
	}
	MemoryContextSwitchTo(old);
	ExecClearTuple(slot);
	table_endscan(scan);
}

static void
read_partition(ObservRecent *recent, Relation rel, MemoryContext row)
{
	BlockNumber blocks = RelationGetNumberOfBlocks(rel);
	TupleTableSlot *slot;
	Relation index = NULL;

	if (blocks == 0)
		return;
	find_columns(recent, rel);
	slot = table_slot_create(rel, NULL);
	if (blocks > SMALL_TABLE)
		index = open_brin(recent, rel);
	if (index != NULL) {
		TIDBitmap *pages = find_pages(recent, rel, index);

		read_pages(recent, rel, pages, slot, row);
		tbm_free(pages);
		index_close(index, AccessShareLock);
	} else
		read_all(recent, rel, slot, row);
	ExecDropSingleTupleTableSlot(slot);
}

/* Opens a partition if rows of these times may be in it; NULL: they may not, or it is gone. */
static Relation
open_partition(const char *table, const ObservPartition *partition, TimestampTz after, TimestampTz until)
{
	Relation rel;

	if (partition->range.to <= after || partition->range.from > until)
		return NULL;
	rel = try_table_open(partition->relid, AccessShareLock);
	if (rel != NULL && rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("partition \"%s\" of observ.%s is not an ordinary table",
							   RelationGetRelationName(rel), table),
						errhint("Detach it.")));
	return rel;
}

void
observ_recent_rows(ObservRecent *recent)
{
	MemoryContext row =
		AllocSetContextCreate(CurrentMemoryContext, "observ raw rows", ALLOCSET_DEFAULT_SIZES);
	int n;
	ObservPartition *partitions = observ_partitions_of(recent->table, false, &n);

	for (int i = 0; i < n; i++) {
		Relation rel = open_partition(recent->table, &partitions[i], recent->after, recent->until);

		if (rel == NULL)
			continue;
		read_partition(recent, rel, row);
		/* Locks are given back at once: a long time has many partitions. */
		table_close(rel, AccessShareLock);
	}
	MemoryContextDelete(row);
	pfree(partitions);
}

static int64
rows_removed(Oid relid)
{
	PgStat_StatTabEntry *stats = pgstat_fetch_stat_tabentry(relid);

	return stats == NULL ? 0 : stats->tuples_deleted + stats->tuples_updated;
}

ObservRecentPart *
observ_recent_parts(const char *table, TimestampTz after, TimestampTz until, int *n)
{
	int n_partitions;
	ObservPartition *partitions = observ_partitions_of(table, false, &n_partitions);
	ObservRecentPart *parts = palloc(sizeof(ObservRecentPart) * Max(n_partitions, 1));

	*n = 0;
	for (int i = 0; i < n_partitions; i++) {
		Relation rel = open_partition(table, &partitions[i], after, until);

		if (rel == NULL)
			continue;
		parts[(*n)++] = (ObservRecentPart){RelationGetRelid(rel), rel->rd_node.relNode,
										   rows_removed(RelationGetRelid(rel))};
		table_close(rel, AccessShareLock);
	}
	pfree(partitions);
	return parts;
}
