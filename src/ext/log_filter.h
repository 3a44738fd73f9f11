/* Which log entries are asked for: query, columns, range of time, place in the list of results. */
#ifndef OBSERV_EXT_LOG_FILTER_H
#define OBSERV_EXT_LOG_FILTER_H

#include "core/log_query.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "ext/log_shape.h"
#include "fmgr.h"
#include "tsearch/ts_type.h"
#include "utils/numeric.h"

/* Place of an entry in the order of results: newest first, of one time the highest id first. */
typedef struct ObservLogKey {
	TimestampTz timestamp;
	int64 id;
} ObservLogKey;

typedef struct ObservLogLevels {
	int n;            /* 0: any level */
	const char **all; /* lower case; one, or for "error+" all from error on */
} ObservLogLevels;

typedef struct ObservLogFilter {
	struct log_query *query;
	Numeric *numbers; /* per field of the query: its value as a number, NULL when it is none */
	text *vps, *app;  /* NULL: any */
	ObservLogLevels levels;
	TimestampTz from, to; /* [from, to) */
	TimestampTz arrived;  /* received at that time or later only; DT_NOBEGIN: whenever */
	ObservLogKey before;  /* entries behind this one in the order of results only; timestamp DT_NOEND: all */
	TSQuery
		indexed; /* what the GIN index can answer of it: holds for every entry asked for, and maybe others; NULL: nothing */
	bool whole; /* an entry in range needs no look at its message or context */
} ObservLogFilter;

/* The first four arguments of a function: query, vps, app, level, each maybe NULL. Errors: 22023, 54000 for a query that is too large. */
extern void observ_log_filter_init(ObservLogFilter *filter, FunctionCallInfo fcinfo);

/* Place of the entry in `slot`. */
extern ObservLogKey observ_log_key(const ObservLogColumns *columns, TupleTableSlot *slot);

/* Whether the entry in `slot`, which has that place, is asked for. Leaves garbage in the current memory context. */
extern bool observ_log_filter_match(const ObservLogFilter *filter, const ObservLogColumns *columns,
									TupleTableSlot *slot, const ObservLogKey *key);

/* < 0: a comes before b in the results, that is, is newer. */
extern int observ_log_key_compare(const ObservLogKey *a, const ObservLogKey *b);

#endif
