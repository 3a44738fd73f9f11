/*
 * schedule.h: when to sample, when to try again, and how to name a moment only once.
 *
 * Belongs here: arithmetic on times that the caller read. Does not belong here: clocks, waiting.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SCHEDULE_H
#define OBSERV_CORE_SCHEDULE_H

#include <stdint.h>

/* A moment inside the interval that is this machine's own, so that a fleet does not speak in one voice. */
int64_t splay_ms(const char *vps_name, int64_t interval_ms);

/*
 * The next moment t > now_ms with t = splay (mod interval) that is at least half an interval after `last_ms`, the time of
 * the last sample (INT64_MIN: none). Missed ticks are not made up for.
 */
int64_t next_tick_ms(int64_t now_ms, int64_t last_ms, int64_t interval_ms, int64_t splay);

/*
 * Exponential backoff: floor, 2*floor, 4*floor ... up to the ceiling, each spread over [1/2, 1] of itself by the random
 * number. `attempt` counts from 0.
 */
int64_t backoff_ms(int attempt, int64_t floor_ms, int64_t ceiling_ms, uint32_t random);

/*
 * Timestamps that never repeat although the clock may step back: milliseconds from the clock, and in the microseconds
 * the number of steps so far (modulo 1000), so that a time that is lived through twice gets other names.
 */
struct timestamps {
	int64_t last_ms;
	int64_t era;
};

int64_t next_timestamp_us(struct timestamps *t, int64_t clock_us);

#endif
