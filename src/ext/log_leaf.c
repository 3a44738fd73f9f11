/*
 * Reading one partition of observ.log_entries: looking words up, walking in the order of time.
 * What does not belong here: which way is the best one (log_search.c), what is asked for (log_filter.c), which indexes there are (log_shape.c).
 *
 * Planning and starting a query takes 0.2 to 0.3 ms per partition, ten times as long as looking up a rare word, so indexes are
 * read directly. Locks of a partition are given back as soon as it has been read: 400 of them would fill the lock table.
 */
#include "postgres.h"

#include "ext/log_leaf.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/tidbitmap.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "tsearch/ts_utils.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Lines of log on a page when nothing better is known. */
#define ROWS_PER_PAGE 40.0

struct ObservLogPage {
	BlockNumber block;
	int n;        /* -1: every tuple of the page */
	size_t first; /* index of the first of n offsets */
};

ObservPartition *
observ_log_partitions(int *n)
{
	Relation parent = table_open(observ_relid("log_entries"), AccessShareLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	ObservPartition *partitions;

	if (desc->nparts > 0 && partition_bound_has_default(desc->boundinfo))
		ereport(
			ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg(
				 "observ.log_entries has a default partition, which can't be searched in the order of time"),
			 errhint("ALTER TABLE observ.log_entries DETACH PARTITION %s.",
					 get_rel_name(desc->oids[desc->boundinfo->default_index]))));
	partitions = observ_partitions(parent, false, n);
	table_close(parent, NoLock);
	return partitions;
}

/* --- opening -------------------------------------------------------------------------------------------------------- */

/* As the planner asks before it takes an index. */
static bool
is_usable(Relation index)
{
	return !index->rd_index->indcheckxmin ||
		   TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin);
}

/* NULL when there is no such index, or when this snapshot must not use it. */
static Relation
open_index(Oid oid)
{
	Relation index = OidIsValid(oid) ? index_open(oid, AccessShareLock) : NULL;

	if (index != NULL && !is_usable(index)) {
		index_close(index, AccessShareLock);
		return NULL;
	}
	return index;
}

static void
open_indexes(ObservLogLeaf *leaf, const ObservLogShape *shape)
{
	ObservLogShape wanted = *shape;

	leaf->walks_vps = leaf->filter->vps != NULL;
	leaf->walk_index = open_index(leaf->walks_vps ? wanted.by_vps : wanted.by_time);
	if (leaf->filter->indexed != NULL)
		leaf->words_index = open_index(wanted.by_words);
	if (leaf->filter->arrived != DT_NOBEGIN)
		leaf->arrival_index = open_index(wanted.by_arrival);
}

ObservLogLeaf *
observ_log_leaf_open(Oid oid, const ObservLogFilter *filter)
{
	Relation rel = try_table_open(oid, AccessShareLock);
	MemoryContext context, old;
	const ObservLogShape *shape;
	ObservLogLeaf *leaf;

	if (rel == NULL)
		return NULL;
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
						errmsg("partition \"%s\" of observ.log_entries is not an ordinary table",
							   RelationGetRelationName(rel)),
						errhint("Detach it.")));
	if (RelationGetNumberOfBlocks(rel) == 0) {
		table_close(rel, AccessShareLock);
		return NULL;
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "observ log partition", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	leaf = palloc0(sizeof(ObservLogLeaf));
	leaf->rel = rel;
	leaf->filter = filter;
	leaf->snapshot = GetActiveSnapshot();
	leaf->context = context;
	leaf->row = AllocSetContextCreate(context, "observ log entry", ALLOCSET_DEFAULT_SIZES);
	leaf->slot = table_slot_create(rel, NULL);
	shape = observ_log_shape(rel);
	leaf->columns = shape->columns;
	open_indexes(leaf, shape);
	MemoryContextSwitchTo(old);
	return leaf;
}

void
observ_log_leaf_close(ObservLogLeaf *leaf)
{
	if (leaf->walk != NULL)
		index_endscan(leaf->walk);
	if (leaf->walk_index != NULL)
		index_close(leaf->walk_index, AccessShareLock);
	if (leaf->words_index != NULL)
		index_close(leaf->words_index, AccessShareLock);
	if (leaf->arrival_index != NULL)
		index_close(leaf->arrival_index, AccessShareLock);
	ExecDropSingleTupleTableSlot(leaf->slot);
	table_close(leaf->rel, AccessShareLock);
	MemoryContextDelete(leaf->context);
}

double
observ_log_leaf_rows(const ObservLogLeaf *leaf)
{
	BlockNumber pages = RelationGetNumberOfBlocks(leaf->rel);
	Form_pg_class stats = leaf->rel->rd_rel;

	if (stats->relpages > 0 && stats->reltuples > 0)
		return Max(pages * ((double) stats->reltuples / stats->relpages), 1);
	return pages * ROWS_PER_PAGE;
}

/* --- looking words up ----------------------------------------------------------------------------------------------- */

static void
collect(TIDBitmap *bitmap, ObservLogTids *tids)
{
	TBMIterator *it = tbm_begin_iterate(bitmap);
	TBMIterateResult *page;
	size_t max_pages = 64, max_offsets = 256, used = 0;

	tids->pages = palloc(max_pages * sizeof(*tids->pages));
	tids->offsets = palloc(max_offsets * sizeof(OffsetNumber));
	while ((page = tbm_iterate(it)) != NULL) {
		size_t n = Max(page->ntuples, 0);

		if (tids->n_pages == max_pages)
			tids->pages = repalloc_huge(tids->pages, (max_pages *= 2) * sizeof(*tids->pages));
		while (used + n > max_offsets)
			tids->offsets = repalloc_huge(tids->offsets, (max_offsets *= 2) * sizeof(OffsetNumber));
		tids->pages[tids->n_pages++] = (struct ObservLogPage){page->blockno, page->ntuples, used};
		memcpy(tids->offsets + used, page->offsets, n * sizeof(OffsetNumber));
		used += n;
		tids->n += page->ntuples < 0 ? ROWS_PER_PAGE : n;
	}
	tbm_end_iterate(it);
}

static void
lookup(ObservLogLeaf *leaf, Relation index, ScanKey key, ObservLogTids *tids)
{
	MemoryContext old = MemoryContextSwitchTo(leaf->context);
	IndexScanDesc scan = index_beginscan_bitmap(index, leaf->snapshot, 1);
	TIDBitmap *bitmap = tbm_create(work_mem * 1024L, NULL);

	*tids = (ObservLogTids){0};
	index_rescan(scan, key, 1, NULL, 0);
	if (index_getbitmap(scan, bitmap) > 0)
		collect(bitmap, tids);
	index_endscan(scan);
	tbm_free(bitmap);
	MemoryContextSwitchTo(old);
}

void
observ_log_leaf_lookup(ObservLogLeaf *leaf, ObservLogTids *tids)
{
	ScanKeyData key;

	ScanKeyInit(&key, 1, TSearchStrategyNumber, F_TS_MATCH_VQ, TSQueryGetDatum(leaf->filter->indexed));
	lookup(leaf, leaf->words_index, &key, tids);
}

void
observ_log_leaf_arrivals(ObservLogLeaf *leaf, ObservLogTids *tids)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, 1, BTGreaterEqualStrategyNumber, TIMESTAMPTZOID, InvalidOid,
						   F_TIMESTAMPTZ_GE, TimestampTzGetDatum(leaf->filter->arrived));
	lookup(leaf, leaf->arrival_index, &key, tids);
}

bool
observ_log_tids_contain(const ObservLogTids *tids, ItemPointer tid)
{
	BlockNumber block = ItemPointerGetBlockNumber(tid);
	OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
	size_t low = 0, high = tids->n_pages;
	const struct ObservLogPage *page;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tids->pages[middle].block < block)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == tids->n_pages || tids->pages[low].block != block)
		return false;
	page = &tids->pages[low];
	for (int i = 0; i < page->n; i++)
		if (tids->offsets[page->first + i] == offset)
			return true;
	return page->n < 0;
}

/* --- walking in the order of time ----------------------------------------------------------------------------------- */

static void
time_key(ScanKey key, AttrNumber column, StrategyNumber strategy, RegProcedure function, TimestampTz value)
{
	ScanKeyInit(key, column, strategy, function, TimestampTzGetDatum(value));
}

/* ("timestamp", id) < (…, …), for the index of all VPSs: many entries may have the time of the cursor. */
static void
before_key(ScanKey key, const ObservLogKey *before)
{
	ScanKey members = palloc0(2 * sizeof(ScanKeyData));

	ScanKeyEntryInitialize(&members[0], SK_ROW_MEMBER, 1, BTLessStrategyNumber, InvalidOid, InvalidOid,
						   F_TIMESTAMPTZ_CMP, TimestampTzGetDatum(before->timestamp));
	ScanKeyEntryInitialize(&members[1], SK_ROW_MEMBER | SK_ROW_END, 2, BTLessStrategyNumber, InvalidOid,
						   InvalidOid, F_BTINT8CMP, Int64GetDatum(before->id));
	MemSet(key, 0, sizeof(ScanKeyData));
	key->sk_flags = SK_ROW_HEADER;
	key->sk_attno = 1;
	key->sk_strategy = BTLessStrategyNumber;
	key->sk_argument = PointerGetDatum(members);
}

static void
begin_walk(ObservLogLeaf *leaf)
{
	const ObservLogFilter *filter = leaf->filter;
	AttrNumber time_column = leaf->walks_vps ? 2 : 1;
	ScanKeyData keys[4];
	int n = 0;

	if (leaf->walks_vps)
		ScanKeyEntryInitialize(&keys[n++], 0, 1, BTEqualStrategyNumber, InvalidOid,
							   leaf->walk_index->rd_indcollation[0], F_TEXTEQ, PointerGetDatum(filter->vps));
	if (filter->from != DT_NOBEGIN)
		time_key(&keys[n++], time_column, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE, filter->from);
	if (filter->to != DT_NOEND)
		time_key(&keys[n++], time_column, BTLessStrategyNumber, F_TIMESTAMPTZ_LT, filter->to);
	if (filter->before.timestamp != DT_NOEND) {
		if (leaf->walks_vps)
			time_key(&keys[n++], time_column, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
					 filter->before.timestamp);
		else
			before_key(&keys[n++], &filter->before);
	}
	leaf->walk = index_beginscan(leaf->rel, leaf->walk_index, leaf->snapshot, n, 0);
	index_rescan(leaf->walk, keys, n, NULL, 0);
}

bool
observ_log_leaf_step(ObservLogLeaf *leaf)
{
	CHECK_FOR_INTERRUPTS();
	if (leaf->walk == NULL) {
		MemoryContext old = MemoryContextSwitchTo(leaf->context);

		begin_walk(leaf);
		MemoryContextSwitchTo(old);
	}
	return index_getnext_tid(leaf->walk, BackwardScanDirection) != NULL;
}

/* Whether the entry in the slot is asked for. */
static bool
matches(ObservLogLeaf *leaf)
{
	MemoryContext old;
	bool found;

	leaf->key = observ_log_key(&leaf->columns, leaf->slot);
	MemoryContextReset(leaf->row);
	old = MemoryContextSwitchTo(leaf->row);
	found = observ_log_filter_match(leaf->filter, &leaf->columns, leaf->slot, &leaf->key);
	MemoryContextSwitchTo(old);
	return found;
}

bool
observ_log_leaf_fetch(ObservLogLeaf *leaf)
{
	return index_fetch_heap(leaf->walk, leaf->slot) && matches(leaf);
}

/* --- visiting ------------------------------------------------------------------------------------------------------- */

static bool
visit_page(ObservLogLeaf *leaf, IndexFetchTableData *fetch, const ObservLogTids *tids,
		   const struct ObservLogPage *page, ObservLogVisitor visit, void *arg)
{
	int n = page->n < 0 ? MaxHeapTuplesPerPage : page->n;

	for (int i = n - 1; i >= 0; i--) {
		ItemPointerData tid;
		bool again = false;

		ItemPointerSet(&tid, page->block,
					   page->n < 0 ? (OffsetNumber) (i + 1) : tids->offsets[page->first + i]);
		if (table_index_fetch_tuple(fetch, &tid, leaf->snapshot, leaf->slot, &again, NULL) && matches(leaf) &&
			!visit(leaf, arg))
			return false;
	}
	return true;
}

void
observ_log_leaf_visit(ObservLogLeaf *leaf, const ObservLogTids *tids, ObservLogVisitor visit, void *arg)
{
	if (tids != NULL) {
		IndexFetchTableData *fetch = table_index_fetch_begin(leaf->rel);

		for (size_t i = tids->n_pages; i-- > 0;) {
			CHECK_FOR_INTERRUPTS();
			if (!visit_page(leaf, fetch, tids, &tids->pages[i], visit, arg))
				break;
		}
		table_index_fetch_end(fetch);
	} else {
		TableScanDesc scan = table_beginscan(leaf->rel, leaf->snapshot, 0, NULL);

		while (table_scan_getnextslot(scan, ForwardScanDirection, leaf->slot)) {
			CHECK_FOR_INTERRUPTS();
			if (matches(leaf) && !visit(leaf, arg))
				break;
		}
		table_endscan(scan);
	}
	ExecClearTuple(leaf->slot);
}
