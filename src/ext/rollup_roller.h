/* Streams rows of a query into cells, a bucket of time per key, without copying rows. */
#ifndef OBSERV_EXT_ROLLUP_ROLLER_H
#define OBSERV_EXT_ROLLUP_ROLLER_H

#include "executor/spi.h"
#include "ext/rollup_sources.h"

typedef struct ObservRoller ObservRoller;

/*
 * What becomes of a bucket: called once for each bucket, for those of one key in the order of time if rows came so. When rows of a key did
 * not come in the order of time, the bucket is handed over with `disordered` set and is to be read again, in order; it may then have been
 * handed over before. The bucket and its key live only as long as the call. May use SPI (in a connection of its own).
 */
typedef void (*ObservBucketDone)(void *arg, const ObservBucket *bucket);

/* Rows are gathered in buckets of `step`. Allocated in the current memory context. */
extern ObservRoller *observ_roller(const ObservRollupSource *source, int64 step, ObservBucketDone done,
								   void *arg);

/*
 * Runs a plan of observ_rollup_select() of that tier with some condition and feeds its rows; buckets that are open from a coarser tier go
 * on. read_only: with the snapshot of the calling query. Returns the number of rows. Needs SPI_connect().
 */
extern uint64 observ_roller_feed(ObservRoller *roller, ObservTier tier, SPIPlanPtr plan, int nargs,
								 const Oid *types, const Datum *values, bool read_only);

/* Hands over all buckets that are still open, in the order of keys. The roller is then as new. */
extern void observ_roller_finish(ObservRoller *roller);

/* Samples left out of the cells so far because they are NaN or infinite. */
extern int64 observ_roller_nonfinite(const ObservRoller *roller);

#endif
