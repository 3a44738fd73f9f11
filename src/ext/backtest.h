/* A rule replayed over stored rows, in memory. */
#ifndef OBSERV_EXT_BACKTEST_H
#define OBSERV_EXT_BACKTEST_H

#include "ext/evaluation_parts.h"

/* What one alert would have been: from when it was true until it was over. */
typedef struct ObservEpisode {
	const ObservLiveAlert *alert;
	Jsonb *labels;
	TimestampTz pending_at;
	TimestampTz fired_at; /* DT_NOEND: it never did */
	TimestampTz ended_at; /* DT_NOEND: still on at the end */
	const char *reason;   /* why it ended; NULL */
} ObservEpisode;

/* A notification that would have been. */
typedef struct ObservBacktestNote {
	TimestampTz at;
	const char *channel, *route, *reason;
	Jsonb *labels; /* of the group */
	int firing, resolved;
} ObservBacktestNote;

#endif
