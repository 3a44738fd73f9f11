/* What a pass over new log entries counts: per template, per template and hour, per 5 minutes and level. */
#ifndef OBSERV_EXT_LOG_TALLY_H
#define OBSERV_EXT_LOG_TALLY_H

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "utils/hsearch.h"

/* Width of the buckets of observ.log_counts, microseconds. */
#define OBSERV_LOG_BUCKET (INT64CONST(300) * USECS_PER_SEC)

/* Fingerprint of what has no template of its own, because there are too many. */
#define OBSERV_LOG_OTHER INT64CONST(0)

typedef struct ObservLogTally {
	MemoryContext context;
	HTAB *known;     /* fingerprints that have a row in observ.log_templates; NULL: not loaded */
	HTAB *templates; /* of the entries since the last write */
	HTAB *hours;
	HTAB *counts;
	int64 entries, others; /* since the last write; others: counted under OBSERV_LOG_OTHER */
	int64 new_templates;   /* in all */
	int max_templates;
} ObservLogTally;

extern void observ_log_tally_begin(ObservLogTally *tally, int max_templates);

/* One entry: the columns of that name. */
extern void observ_log_tally_add(ObservLogTally *tally, TimestampTz timestamp, Datum app_name, Datum level,
								 Datum message);

/* Adds what was counted to the tables, in the order of their keys, and starts anew; needs SPI_connect(). */
extern void observ_log_tally_write(ObservLogTally *tally);

/* Starts anew without writing. */
extern void observ_log_tally_discard(ObservLogTally *tally);

#endif
