/* A period in seconds as a schedule that cron can keep. Pure. */
#ifndef OBSERV_CORE_CRON_SCHEDULE_H
#define OBSERV_CORE_CRON_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

/* Room for the longest schedule, the terminating zero included. */
#define CRON_SCHEDULE_SIZE 32

/*
 * Writes the five fields of crontab(5) for the period nearest to period_s seconds that divides an hour or a day evenly: from every
 * minute to once a day. spread, any number, chooses the minute (and hour) at which it begins, so that jobs don't all begin at the
 * full hour.
 */
extern void cron_schedule_format(char buffer[CRON_SCHEDULE_SIZE], int64_t period_s, uint32_t spread);

#endif
