/*
 * ticks.h: when a source's next round is due: by the wall clock, at a moment of this VPS's own, so that a fleet stays spread.
 *
 * Belongs here: the plan. Does not belong here: the arithmetic (core/schedule.h), how often (the configuration).
 */
#ifndef OBSERV_COLLECTOR_TICKS_H
#define OBSERV_COLLECTOR_TICKS_H

#include "common/clock.h"
#include "core/schedule.h"

struct ticks {
	int64_t due_ms;       /* monotonic */
	int64_t last_wall_ms; /* of the last round; 0: none */
};

/* Plans the round after now. Missed ones are not made up for; a clock that steps moves it by an interval at most. */
static inline void
ticks_plan(struct ticks *t, const char *vps_name, int interval_s, int64_t now_ms)
{
	int64_t interval = (int64_t) interval_s * 1000, wall = clock_us(CLOCK_REALTIME) / 1000;
	int64_t last = t->last_wall_ms ? t->last_wall_ms : INT64_MIN;

	t->due_ms = now_ms + next_tick_ms(wall, last, interval, splay_ms(vps_name, interval)) - wall;
}

/* Whether it is time; plans the next one then. */
static inline bool
ticks_due(struct ticks *t, const char *vps_name, int interval_s, int64_t now_ms)
{
	if (now_ms < t->due_ms)
		return false;
	t->last_wall_ms = clock_us(CLOCK_REALTIME) / 1000;
	ticks_plan(t, vps_name, interval_s, now_ms);
	return true;
}

#endif
