/* One partition of observ.log_entries, read directly through its indexes, without a plan. */
#ifndef OBSERV_EXT_LOG_LEAF_H
#define OBSERV_EXT_LOG_LEAF_H

#include "access/genam.h"
#include "access/relscan.h"
#include "ext/log_filter.h"
#include "ext/partitions.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* The partitions in ascending order, palloc'd; *n receives how many. Their parent is locked until the end of the transaction. */
extern ObservPartition *observ_log_partitions(int *n);

/* Tuples that an index named, by page. */
typedef struct ObservLogTids {
	struct ObservLogPage *pages; /* ascending */
	OffsetNumber *offsets;
	size_t n_pages;
	double n; /* how many; an estimate where whole pages are named */
} ObservLogTids;

typedef struct ObservLogLeaf {
	Relation rel;
	const ObservLogFilter *filter;
	Snapshot snapshot;
	ObservLogColumns columns;
	TupleTableSlot *slot;
	Relation walk_index;  /* in the order of time: of the VPS asked for, or of all; NULL: there is none */
	Relation words_index; /* GIN; NULL: there is none */
	Relation
		arrival_index;  /* BRIN with received_at; looked for if filter->arrived asks; NULL: there is none */
	bool walks_vps;     /* walk_index has the VPS first */
	IndexScanDesc walk; /* NULL: not begun */
	ObservLogKey key;   /* of the entry that was in `slot` last, asked for or not */
	MemoryContext context; /* of all of the above */
	MemoryContext row;     /* reset for every row */
} ObservLogLeaf;

/* Opens a partition in a memory context of its own; NULL when it is gone, or empty. */
extern ObservLogLeaf *observ_log_leaf_open(Oid oid, const ObservLogFilter *filter);
extern void observ_log_leaf_close(ObservLogLeaf *leaf);

/* An upper bound of its rows, from its size. */
extern double observ_log_leaf_rows(const ObservLogLeaf *leaf);

/* What the GIN index says about filter->indexed: a superset of the entries asked for. */
extern void observ_log_leaf_lookup(ObservLogLeaf *leaf, ObservLogTids *tids);

/* What the BRIN index says about filter->arrived: the pages that such entries may be in. */
extern void observ_log_leaf_arrivals(ObservLogLeaf *leaf, ObservLogTids *tids);

extern bool observ_log_tids_contain(const ObservLogTids *tids, ItemPointer tid);

/*
 * Steps to the next entry from the newest to the oldest; false at the end. Entries of one time come in any order from the index of a VPS.
 * observ_log_leaf_fetch() then reads it into leaf->slot; false when it is not visible or not asked for.
 */
extern bool observ_log_leaf_step(ObservLogLeaf *leaf);
extern bool observ_log_leaf_fetch(ObservLogLeaf *leaf);

/* Called with the entry in leaf->slot; false ends the visit. */
typedef bool (*ObservLogVisitor)(ObservLogLeaf *leaf, void *arg);

/* Visits the entries asked for, of those named by `tids`, or of all when it is NULL. */
extern void observ_log_leaf_visit(ObservLogLeaf *leaf, const ObservLogTids *tids, ObservLogVisitor visit,
								  void *arg);

#endif
