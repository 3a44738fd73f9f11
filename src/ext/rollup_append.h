/* Appends rows to a partitioned table of observ without the executor: for many rows of which none is there yet. */
#ifndef OBSERV_EXT_ROLLUP_APPEND_H
#define OBSERV_EXT_ROLLUP_APPEND_H

#include "ext/rollup_sources.h"

typedef struct ObservAppender ObservAppender;

/* For rows of the source's table of that tier. Allocated in the current memory context. */
extern ObservAppender *observ_appender(const ObservRollupSource *source, ObservTier tier);

/* Appends rows, given as the columns of source->form(), all of one partition, the one that takes rows of `at`. false, with nothing
 * done, when the partition has what only the executor can do: triggers, constraints, generated columns, policies of users. Errors: 23505. */
extern bool observ_append(ObservAppender *appender, TimestampTz at, Datum *const *columns, bool *const *nulls,
						  int n);

/* To be called before the transaction goes on to something else. */
extern void observ_appender_close(ObservAppender *appender);

#endif
