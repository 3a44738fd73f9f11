/*
 * escalation.h: the clock of an escalation (alerting.md 2.12; contract C24): for how long an alert has fired without anybody having acknowledged it
 * and without being kept from people.
 *
 * Belongs here: counting. Does not belong here: why the clock stands still, who is told.
 * Times are microseconds of any epoch. NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ESCALATION_H
#define OBSERV_CORE_ESCALATION_H

#include <stdbool.h>
#include <stdint.h>

#define ESCALATION_PAUSED INT64_MIN

struct escalation_clock {
	int64_t waited; /* counted until it last began to run */
	int64_t since;  /* when that was; ESCALATION_PAUSED: it stands still */
};

/* A clock that begins with an alert that fires since `began`: from there when it runs, from nothing when it does not. */
struct escalation_clock escalation_clock_begin(bool runs, int64_t began);

/* Lets it run or stand still from `at` on. Returns whether that is another state than before: only then it is to be kept. */
bool escalation_clock_set(struct escalation_clock *clock, bool runs, int64_t at);

/* What it shows at `at`, which is not before the latest change; never negative. */
int64_t escalation_clock_read(const struct escalation_clock *clock, int64_t at);

/* Whether a step that comes `after` so long is due. Never while the clock stands still. */
bool escalation_is_due(const struct escalation_clock *clock, int64_t after, int64_t at);

#endif
