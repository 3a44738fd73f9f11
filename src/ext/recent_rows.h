/* Rows of a raw table by their time, read directly, without a plan: what evaluations of rules do several times a minute for the whole fleet. */
#ifndef OBSERV_EXT_RECENT_ROWS_H
#define OBSERV_EXT_RECENT_ROWS_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"

#define OBSERV_RECENT_COLUMNS 96

typedef struct ObservRecent {
	const char *table;    /* of schema observ, partitioned by "timestamp" */
	TimestampTz after;    /* rows later than this … */
	TimestampTz until;    /* … up to and including this */
	TimestampTz received; /* rows received before this need not be read; DT_NOBEGIN: read all */
	const char *const
		*names; /* columns that take() looks at, besides those below; NULL: none of that number */
	int n;

	/* Called with a row in `slot`, deformed up to the last of the columns. In a memory context that is reset after each page. */
	void (*take)(struct ObservRecent *recent, TupleTableSlot *slot, TimestampTz timestamp);
	void *arg;

	/* Of the partition that is being read: numbers (from 1) and types of the columns. */
	AttrNumber timestamp, vps, app;
	AttrNumber columns[OBSERV_RECENT_COLUMNS];
	Oid types[OBSERV_RECENT_COLUMNS];
	AttrNumber last;
} ObservRecent;

/*
 * Reads the rows of these times that the active snapshot sees, in no particular order; may give rows again that were received before `received`. Pages are
 * found through the BRIN index of each partition. Errors: as observ_column() for columns that are missing.
 */
extern void observ_recent_rows(ObservRecent *recent);

/* A partition and the file that its rows are in: both must be the same for rows read before to be still there. */
typedef struct ObservRecentPart {
	Oid relid;
	Oid file;
	int64 removed; /* rows deleted or updated so far, as far as statistics know */
} ObservRecentPart;

/* The partitions that rows of these times are in, palloc'd. */
extern ObservRecentPart *observ_recent_parts(const char *table, TimestampTz after, TimestampTz until, int *n);

#endif
