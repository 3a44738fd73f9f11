/* A rule replayed over stored rows, in memory. */
#ifndef OBSERV_EXT_BACKTEST_H
#define OBSERV_EXT_BACKTEST_H

#include "ext/evaluation_parts.h"
#include "ext/routes.h"

/* What one alert would have been: from when it was true until it was over. */
typedef struct ObservEpisode {
	const ObservLiveAlert *alert;
	Jsonb *labels;
	TimestampTz pending_at;
	TimestampTz fired_at; /* DT_NOEND: it never did */
	TimestampTz ended_at; /* DT_NOEND: still on at the end */
	const char *reason;   /* why it ended; NULL */
	bool continued;       /* it fired so soon again that it went on as the one before */
} ObservEpisode;

/* A notification that would have been. */
typedef struct ObservBacktestNote {
	TimestampTz at;
	const char *channel, *route, *reason;
	Jsonb *labels; /* of the group */
	int firing, resolved;
} ObservBacktestNote;

/* Something that happened to an episode. */
typedef struct ObservBacktestEvent {
	TimestampTz at;
	enum alert_event event;
	const ObservEpisode *episode;
} ObservBacktestEvent;

/*
 * backtest_notify.c: what channels would have been told until then, by the routes and channels of now, as if nothing was suppressed; a List of
 * ObservBacktestNote in the order of time. events: in that order, too. channels: those of the rule; n < 0: the routes'. Needs SPI_connect().
 */
extern List *observ_backtest_notes(const ObservBacktestEvent *events, int n, const ObservNames *channels,
								   TimestampTz until);

#endif
