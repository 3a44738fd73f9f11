/* clock.h: the three clocks of the agent. What each is good for: docs/obs-agent.md, "Time". */
#ifndef OBSERV_COLLECTOR_CLOCK_H
#define OBSERV_COLLECTOR_CLOCK_H

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
