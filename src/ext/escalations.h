/* Steps of escalations, observ.escalations: whom else to tell, and when. What does not belong here: their clocks (dispatch_escalate.c). */
#ifndef OBSERV_EXT_ESCALATIONS_H
#define OBSERV_EXT_ESCALATIONS_H

#include "ext/routes.h"

typedef struct ObservEscalation {
	int64 escalation_id;
	ObservMatcherSets *matchers; /* NULL: can't be read, takes nothing */
	ObservNames channels;
	int64 after_us;
	int64 repeat_us; /* 0: once */
} ObservEscalation;

typedef struct ObservEscalations {
	int n;
	ObservEscalation *step; /* by escalation_id */
} ObservEscalations;

/*
 * Reads those that are enabled, in the current memory context. Labels that they ask for are added to routes->names, what they take to routes->digest.
 * Needs SPI_connect().
 */
extern ObservEscalations *observ_load_escalations(ObservRoutes *routes);

/* The step of that number; NULL: there is none, or it is disabled. */
extern const ObservEscalation *observ_escalation_by_id(const ObservEscalations *all, int64 escalation_id);

/* Whether it takes an alert; values are in the order of routes->names. */
extern bool observ_escalation_takes(const ObservEscalation *step, const struct slice *values);

#endif
