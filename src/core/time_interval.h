/*
 * time_interval.h: times of the week, month or year by the clock on the wall of a place, as Alertmanager has them (alerting.md 2.6; contract C22).
 *
 * Belongs here: reading their parts, whether they contain a time, when they end. Does not belong here: JSON, time zones (a callback).
 * Times are microseconds of an epoch that begins with a full minute. NEUTRAL, pure.
 *
 * An object has any of these lists; each list that it has must match, one element of a list is enough; an object without lists is always:
 *   times          start_time and end_time, HH:MM, 24:00 allowed; the end is not included. An end before the start is on the next day,
 *                  and belongs to the day on which it began: friday 22:00 to 06:00 ends on Saturday
 *   weekdays       monday, or monday:friday; may go round: friday:monday
 *   days_of_month  1, or 1:7, or -3:-1 counted from the end of the month
 *   months         january, 1, or march:may
 *   years          2030, or 2030:2032
 * Where clocks are put forward, times that don't exist never match; where they are put back, those that exist twice match twice.
 */
#ifndef OBSERV_CORE_TIME_INTERVAL_H
#define OBSERV_CORE_TIME_INTERVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/slice.h"

#define TIME_INTERVAL_MAX 32 /* elements of a list */

struct time_range {
	int first, last;
};

struct time_interval {
	int n_times, n_days, n_years;
	struct time_range times
		[TIME_INTERVAL_MAX]; /* minutes of the day, last not included; not above first: on the next day */
	struct time_range days[TIME_INTERVAL_MAX];
	struct time_range years[TIME_INTERVAL_MAX];
	unsigned weekdays; /* bit 0 is Sunday; 0: any */
	unsigned months;   /* bit 1 is January; 0: any */
};

/* What a clock on the wall shows. */
struct wall_clock {
	int year, month, day; /* month and day from 1 */
	int weekday;          /* 0 is Sunday */
	int minute;           /* of the day */
};

/* What the clock shows at `at`. */
typedef struct wall_clock wall_clock_at(void *arg, int64_t at);

/* Each adds an element to a list. NULL: done; else what is wrong, lower case, no full stop. */
const char *time_interval_add_times(struct time_interval *interval, struct slice start, struct slice end);

/* list: weekdays, days_of_month, months, years. */
const char *time_interval_add(struct time_interval *interval, struct slice list, struct slice element);

/* Whether one of the intervals contains that time of that place. */
bool time_interval_shows(const struct time_interval *intervals, int n, const struct wall_clock *clock);

/*
 * The first minute from `at` on, before `limit`, at which the answer is not what it is at `at`; `limit` when there is none. Looks at each minute.
 */
int64_t time_interval_change(const struct time_interval *intervals, int n, int64_t at, int64_t limit,
							 wall_clock_at *clock, void *arg);

#endif
