/*
 * A period in seconds as a schedule that cron can keep.
 * What does not belong here: reading schedules, and who runs them (src/bgworker).
 *
 * cron counts minutes from the full hour and hours from midnight, so that only a period which divides an hour or a day comes at even
 * distances. pg_cron before 1.5 knows no seconds.
 */
#include "core/cron_schedule.h"

#include <stdio.h>

#define MINUTE 60
#define HOUR   3600
#define DAY    86400

static const int64_t periods[] = {MINUTE,      2 * MINUTE,  3 * MINUTE,  4 * MINUTE,  5 * MINUTE,
								  6 * MINUTE,  10 * MINUTE, 12 * MINUTE, 15 * MINUTE, 20 * MINUTE,
								  30 * MINUTE, HOUR,        2 * HOUR,    3 * HOUR,    4 * HOUR,
								  6 * HOUR,    8 * HOUR,    12 * HOUR,   DAY};

static int64_t
nearest(int64_t period_s)
{
	int64_t best = periods[0];

	for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
		int64_t here = periods[i] > period_s ? periods[i] - period_s : period_s - periods[i];
		int64_t there = best > period_s ? best - period_s : period_s - best;

		if (here < there)
			best = periods[i];
	}
	return best;
}

/* One field: every `step` of `range` units beginning with `first`. */
static void
format_field(char field[12], unsigned first, unsigned step, unsigned range)
{
	if (step == 1)
		snprintf(field, 12, "*");
	else if (step == range)
		snprintf(field, 12, "%u", first);
	else
		snprintf(field, 12, "%u-%u/%u", first, range - 1, step);
}

void
cron_schedule_format(char buffer[CRON_SCHEDULE_SIZE], int64_t period_s, uint32_t spread)
{
	int64_t period = nearest(period_s);
	unsigned minutes = (unsigned) (period < HOUR ? period / MINUTE : 60);
	unsigned hours = (unsigned) (period < HOUR ? 1 : period / HOUR);
	char minute[12], hour[12];

	format_field(minute, spread % minutes, minutes, 60);
	format_field(hour, spread / minutes % hours, hours, 24);
	snprintf(buffer, CRON_SCHEDULE_SIZE, "%s %s * * *", minute, hour);
}
