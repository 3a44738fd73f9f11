/*
 * Why an alert is not told right now: inhibition, silences, maintenance windows, time intervals of routes.
 * What does not belong here: who would be told (dispatch).
 */
#ifndef OBSERV_EXT_SUPPRESSION_H
#define OBSERV_EXT_SUPPRESSION_H

#include "ext/live_alert.h"

enum suppressed_by {
	SUPPRESSED_NOT,
	SUPPRESSED_INHIBITED,   /* id: the alert that inhibits it */
	SUPPRESSED_HELD,        /* id: the pending alert that may inhibit it soon (C13) */
	SUPPRESSED_GRACE,       /* id: the alert that inhibited it until a moment ago (C12) */
	SUPPRESSED_SILENCED,    /* id: silence */
	SUPPRESSED_MAINTENANCE, /* id: maintenance window */
};
/* inhibition, hold, grace, silence, maintenance: as in observ.notification_decisions.suppressed; NULL for SUPPRESSED_NOT */
extern const char *const observ_suppressed_names[];

typedef struct ObservSuppression {
	enum suppressed_by by;
	int64 id;
	const char *rule;  /* name of the inhibition rule, comment of the silence, name of the window */
	TimestampTz until; /* when it ends by itself, as far as is known; DT_NOEND */
	bool silenced;     /* a silence matches, though something else may come before it */
} ObservSuppression;

/* All that can suppress alerts at that time: read once per dispatch, in the current memory context. Needs SPI_connect(). */
typedef struct ObservSuppressions ObservSuppressions;
extern ObservSuppressions *observ_load_suppressions(TimestampTz at);

/*
 * Whether trouble with that alert is kept from people at that time, and by whom; the first in the order of the enum. Resolved alerts and those that
 * are not firing can be asked, too. Deterministic: depends on rows and `at` only.
 */
extern ObservSuppression observ_suppression_of(ObservSuppressions *all, const ObservAlert *alert);

/* Whether a named interval of observ.time_intervals contains that time; raises 42704 when there is none of that name. */
extern bool observ_in_time_interval(ObservSuppressions *all, const char *name);

#endif
