/*
 * clock.h: the system's clocks as numbers. What each is good for in the agent: docs/obs-agent.md, "Time".
 *
 * Belongs here: reading them. Does not belong here: timers, waiting; the clocks of PostgreSQL.
 */
#ifndef OBSERV_COMMON_CLOCK_H
#define OBSERV_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t
clock_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* For deadlines and waiting. */
static inline int64_t
monotonic_ms(void)
{
	return clock_us(CLOCK_MONOTONIC) / 1000;
}

#endif
