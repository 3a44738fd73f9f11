/* One matcher of a rule over log entries, ready to be tried on many of them. */
#ifndef OBSERV_EXT_LOG_PATTERN_H
#define OBSERV_EXT_LOG_PATTERN_H

#include "core/matchers.h"
#include "mb/pg_wchar.h"

typedef struct ObservLogPattern ObservLogPattern;

/*
 * The matcher, which must last; its regular expression is compiled here (2201B), and freed with the current memory context. fold_case: upper and
 * lower case are the same.
 */
extern ObservLogPattern *observ_log_pattern(const struct matcher *matcher, bool fold_case);

/* A value, and the same in lower case and as regular expressions want it, made when the first one asks. */
typedef struct ObservLogValue {
	struct slice bytes;
	struct slice lower;
	pg_wchar *wide;
	int n_wide;
} ObservLogValue;

enum observ_pattern_result { PATTERN_REFUSES, PATTERN_ACCEPTS, PATTERN_TOO_SLOW };

/*
 * Whether the matcher accepts a value. A regular expression may take *left_us, from which the time that it took is subtracted;
 * PATTERN_TOO_SLOW: it was not ready by then. Leaves garbage in the current memory context. Raises when the query is cancelled.
 */
extern enum observ_pattern_result observ_log_pattern_accepts(ObservLogPattern *pattern, ObservLogValue *value,
															 int64 *left_us);

#endif
