/* Aligning times, lengths of intervals. What does not belong here: choosing steps, reading arguments. */
#ifndef OBSERV_EXT_TIMES_H
#define OBSERV_EXT_TIMES_H

#include "common/int.h"
#include "datatype/timestamp.h"

/* The latest multiple of step (µs) since 2000-01-01 00:00 UTC that is not after `at`. */
static inline TimestampTz
observ_floor_time(TimestampTz at, int64 step)
{
	int64 rest = at % step;

	return at - (rest < 0 ? rest + step : rest);
}

/* Microseconds: a month counts 30 days, as interval_cmp() has it, a day 24 hours. Too much to count: the largest or smallest number. */
static inline int64
observ_interval_usecs(const Interval *interval)
{
	int64 days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64 us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us) || pg_add_s64_overflow(us, interval->time, &us))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return us;
}

#endif
