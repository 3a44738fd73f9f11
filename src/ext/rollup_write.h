/* Writes rolled-up rows in batches. */
#ifndef OBSERV_EXT_ROLLUP_WRITE_H
#define OBSERV_EXT_ROLLUP_WRITE_H

#include "ext/rollup_sources.h"

typedef struct ObservRollupWriter ObservRollupWriter;

/*
 * For rows of the source's table of that tier (5 m or 1 h). fresh: none of the rows is there yet, which is faster; else a row that is there
 * is replaced, and left alone when it is the same. Makes partitions that are missing. Allocated in the current memory context.
 */
extern ObservRollupWriter *observ_rollup_writer(const ObservRollupSource *source, ObservTier tier,
												bool fresh);

/* Takes the row to write; it is in the table after observ_rollup_flush() at the latest. */
extern void observ_rollup_put(ObservRollupWriter *writer, const ObservBucket *bucket);
extern void observ_rollup_flush(ObservRollupWriter *writer);

/* Rows that were new or changed, of those flushed so far. */
extern int64 observ_rollup_written(const ObservRollupWriter *writer);

#endif
