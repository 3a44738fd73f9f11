/*
 * retry_schedule.h: how long to wait before a failed delivery is tried again.
 *
 * Belongs here: the schedule. Does not belong here: what a failure is, when to give up, what a receiver asks for (retry_after.h).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_RETRY_SCHEDULE_H
#define OBSERV_CORE_RETRY_SCHEDULE_H

#include <stdint.h>

/*
 * Milliseconds from the end of the failed attempt to the next one; `failures` counts from 1. Attempts are 0, 1, 3, 7, 15, 31 and 61 s after
 * the first, then a minute apart three times, then 2 min, then each 5 min, if they take no time themselves. Spread over 80 to 120 % of that by
 * `chance`, any number, so that what failed together isn't tried together.
 */
int64_t retry_delay_ms(int failures, uint64_t chance);

/* The same number for the same attempt of the same notification, in every process. */
uint64_t retry_chance(int64_t notification_id, int attempt);

#endif
