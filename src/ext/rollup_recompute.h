/* Rolled-up rows of given keys, made anew from what lies below them. */
#ifndef OBSERV_EXT_ROLLUP_RECOMPUTE_H
#define OBSERV_EXT_ROLLUP_RECOMPUTE_H

#include "ext/rollup_sources.h"

/* Buckets of keys, in any order, also twice. Zeroed: empty. */
typedef struct ObservBucketList {
	struct ObservBucketId {
		ObservRollupKey key;
		TimestampTz start;
	} * items;
	int n;
	int room;
} ObservBucketList;

/* Copies the key into the current memory context, in which the list must have been begun. */
extern void observ_bucket_list_add(ObservBucketList *list, const ObservRollupKey *key, TimestampTz start);

/* Sorts by key and time, and leaves out what is there twice. */
extern void observ_bucket_list_sort(ObservBucketList *list);

typedef struct ObservRecomputed {
	int64 rows;    /* read */
	int64 written; /* new, changed or deleted */
	int64 nonfinite;
} ObservRecomputed;

/*
 * Reads the listed buckets of the source's table of that tier (5 m: from raw rows; 1 h: from 5 m) through its unique index in the order of
 * time, and writes what it finds; where nothing is left, deletes the rolled-up row, unless the partition that held the rows is gone. Sorts the
 * list. Adds to *done. Needs SPI_connect().
 */
extern void observ_rollup_recompute(const ObservRollupSource *source, ObservTier tier, ObservBucketList *list,
									ObservRecomputed *done);

/* Whether one partition of the source's table of that tier holds, or would hold, all rows of [from, to). */
extern bool observ_rollup_covered(const ObservRollupSource *source, ObservTier tier, TimestampTz from,
								  TimestampTz to);

#endif
