/* escalation.c: time that runs and stands still. See escalation.h for what belongs here. */
#include "core/escalation.h"

struct escalation_clock
escalation_clock_begin(bool runs, int64_t began)
{
	return (struct escalation_clock){.since = runs ? began : ESCALATION_PAUSED};
}

int64_t
escalation_clock_read(const struct escalation_clock *clock, int64_t at)
{
	if (clock->since == ESCALATION_PAUSED || at <= clock->since)
		return clock->waited;
	return clock->waited + (at - clock->since);
}

bool
escalation_clock_set(struct escalation_clock *clock, bool runs, int64_t at)
{
	if (runs == (clock->since != ESCALATION_PAUSED))
		return false;
	clock->waited = escalation_clock_read(clock, at);
	clock->since = runs ? at : ESCALATION_PAUSED;
	return true;
}

bool
escalation_is_due(const struct escalation_clock *clock, int64_t after, int64_t at)
{
	return clock->since != ESCALATION_PAUSED && escalation_clock_read(clock, at) >= after;
}
