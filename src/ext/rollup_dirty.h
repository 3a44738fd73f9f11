/* The log of rolled-up keys that late rows have made wrong: observ_data.rollup_dirty. */
#ifndef OBSERV_EXT_ROLLUP_DIRTY_H
#define OBSERV_EXT_ROLLUP_DIRTY_H

#include "ext/rollup_recompute.h"

/* How far a source has come: a row of observ_data.rollup_state. */
typedef struct ObservRollupState {
	TimestampTz
		horizon; /* every row received before was visible to the last pass that looked for late rows */
	TimestampTz rolled_5m; /* buckets that begin before are rolled up, or in the log */
	TimestampTz rolled_1h;
	int32 seen_age; /* age() of the oldest transaction that the last look for late rows may not have seen */
} ObservRollupState;

typedef struct ObservDirtyResult {
	int64 keys;       /* taken from the log because they are right now */
	int64 expired;    /* taken from the log because their raw rows have been dropped */
	int64 failed;     /* tried without success */
	bool more;        /* there may be more to do */
	char *last_error; /* NULL: none */
	ObservRecomputed recomputed;
} ObservDirtyResult;

/*
 * Enters the keys of rows below the watermark that have arrived since the horizon and that the last look can't have seen. Returns how
 * many are new in the log; *rows is raised by the number of rows, and *until becomes the horizon for the next look: `horizon`, or earlier
 * when so many rows came that the rest is left to the next pass.
 */
extern int64 observ_dirty_log_late(const ObservRollupSource *source, const ObservRollupState *state,
								   TimestampTz horizon, TimestampTz *until, int64 *rows);

/* Makes the oldest keys of the log right, and their hours where these are rolled up already. */
extern void observ_dirty_work_off(const ObservRollupSource *source, TimestampTz rolled_1h,
								  ObservDirtyResult *result);

#endif
