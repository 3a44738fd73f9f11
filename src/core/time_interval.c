/* time_interval.c: Lists of ranges. See time_interval.h for what belongs here. */
#include "core/time_interval.h"

#include <stddef.h>
#include <string.h>

#define MINUTE_US      INT64_C(60000000)
#define MINUTES_OF_DAY (24 * 60)

static const char *const weekday_names[] = {"sunday",   "monday", "tuesday", "wednesday",
											"thursday", "friday", "saturday"};
static const char *const month_names[] = {"january",   "february", "march",    "april",
										  "may",       "june",     "july",     "august",
										  "september", "october",  "november", "december"};

static int
count(struct slice s)
{
	return (int) (s.end - s.p);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Whether it is that name, in any case. */
static bool
is_name(struct slice s, const char *name)
{
	size_t length = strlen(name);

	if ((size_t) count(s) != length)
		return false;
	for (size_t i = 0; i < length; i++)
		if (lower(s.p[i]) != name[i])
			return false;
	return true;
}

/* Number of a name; -1: none. */
static int
name_number(struct slice s, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (is_name(s, names[i]))
			return i;
	return -1;
}

/* A number of up to four digits, perhaps with a minus in front. */
static bool
read_number(struct slice s, int *out)
{
	int64_t number;
	bool negative = s.p < s.end && *s.p == '-';

	if (negative)
		s.p++;
	if (count(s) > 4 || !slice_to_i64(s, &number))
		return false;
	*out = negative ? -(int) number : (int) number;
	return true;
}

/* HH:MM as a minute of the day. */
static bool
read_time(struct slice s, int *out)
{
	int64_t hour, minute;

	if (count(s) != 5 || s.p[2] != ':' || !slice_to_i64((struct slice){s.p, s.p + 2}, &hour) ||
		!slice_to_i64((struct slice){s.p + 3, s.end}, &minute) || hour > 24 || minute > 59 ||
		(hour == 24 && minute > 0))
		return false;
	*out = (int) (hour * 60 + minute);
	return true;
}

static const char *
append(struct time_range *ranges, int *n, struct time_range range)
{
	if (*n == TIME_INTERVAL_MAX)
		return "there are more than 32 elements";
	ranges[(*n)++] = range;
	return NULL;
}

const char *
time_interval_add_times(struct time_interval *interval, struct slice start, struct slice end)
{
	struct time_range range;

	if (!read_time(start, &range.first) || !read_time(end, &range.last))
		return "a time is written as HH:MM, from 00:00 to 24:00";
	if (range.first == MINUTES_OF_DAY)
		return "nothing begins at 24:00; the next day begins at 00:00";
	if (range.first == range.last)
		return "start and end are the same; the whole day is from 00:00 to 24:00";
	return append(interval->times, &interval->n_times, range);
}

/* An element is one value, or two with a colon between. */
static bool
read_range(struct slice s, bool (*value)(struct slice, int *), struct time_range *out)
{
	const char *colon = count(s) > 0 ? memchr(s.p, ':', (size_t) count(s)) : NULL;

	if (colon == NULL)
		return value(s, &out->first) && (out->last = out->first, true);
	return value((struct slice){s.p, colon}, &out->first) &&
		   value((struct slice){colon + 1, s.end}, &out->last);
}

static bool
read_weekday(struct slice s, int *out)
{
	return (*out = name_number(s, weekday_names, 7)) >= 0;
}

static bool
read_month(struct slice s, int *out)
{
	*out = name_number(s, month_names, 12) + 1;
	return *out > 0 || (read_number(s, out) && *out >= 1 && *out <= 12);
}

/* Sets the bits from first to last, round the end of `size` where last comes before first. */
static unsigned
bits(struct time_range range, int lowest, int size)
{
	unsigned set = 0;

	for (int i = range.first;; i = i - lowest + 1 == size ? lowest : i + 1) {
		set |= 1U << i;
		if (i == range.last)
			return set;
	}
}

static const char *
add_weekdays(struct time_interval *interval, struct slice element)
{
	struct time_range range;

	if (!read_range(element, read_weekday, &range))
		return "a weekday is written as monday, or a range as monday:friday";
	interval->weekdays |= bits(range, 0, 7);
	return NULL;
}

static const char *
add_months(struct time_interval *interval, struct slice element)
{
	struct time_range range;

	if (!read_range(element, read_month, &range))
		return "a month is written as january or 1, or a range as march:may";
	interval->months |= bits(range, 1, 12);
	return NULL;
}

static bool
is_day(int day)
{
	return day != 0 && day >= -31 && day <= 31;
}

static const char *
add_days(struct time_interval *interval, struct slice element)
{
	struct time_range range;

	if (!read_range(element, read_number, &range) || !is_day(range.first) || !is_day(range.last))
		return "a day of the month is written as 1, or -1 for the last one, or a range as 1:7";
	if ((range.first > 0) == (range.last > 0) && range.first > range.last)
		return "a range of days of the month must not go backwards";
	if (range.first < 0 && range.last > 0)
		return "a range of days can't begin from the end of the month and end from its beginning";
	return append(interval->days, &interval->n_days, range);
}

static const char *
add_years(struct time_interval *interval, struct slice element)
{
	struct time_range range;

	if (!read_range(element, read_number, &range) || range.first < 1 || range.last < 1)
		return "a year is written as 2030, or a range as 2030:2032";
	if (range.first > range.last)
		return "a range of years must not go backwards";
	return append(interval->years, &interval->n_years, range);
}

const char *
time_interval_add(struct time_interval *interval, struct slice list, struct slice element)
{
	static const struct {
		const char *name;
		const char *(*add)(struct time_interval *, struct slice);
	} lists[] = {{"weekdays", add_weekdays},
				 {"days_of_month", add_days},
				 {"months", add_months},
				 {"years", add_years}};

	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		if (slice_equals(list, lists[i].name))
			return lists[i].add(interval, element);
	return "there is times, weekdays, days_of_month, months, years";
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* The same clock on the day before. */
static struct wall_clock
day_before(struct wall_clock c)
{
	c.weekday = (c.weekday + 6) % 7;
	if (--c.day == 0) {
		if (--c.month == 0) {
			c.month = 12;
			c.year--;
		}
		c.day = days_in_month(c.year, c.month);
	}
	return c;
}

/* Ends that the month does not have are its ends. */
static bool
in_days(const struct time_range *range, int day, int of)
{
	int first = range->first < 0 ? of + 1 + range->first : range->first;
	int last = range->last < 0 ? of + 1 + range->last : range->last;

	return day >= first && day <= last;
}

static bool
on_date(const struct time_interval *interval, const struct wall_clock *c)
{
	bool day = interval->n_days == 0, year = interval->n_years == 0;

	for (int i = 0; i < interval->n_days && !day; i++)
		day = in_days(&interval->days[i], c->day, days_in_month(c->year, c->month));
	for (int i = 0; i < interval->n_years && !year; i++)
		year = c->year >= interval->years[i].first && c->year <= interval->years[i].last;
	return day && year && (interval->weekdays == 0 || (interval->weekdays >> c->weekday & 1)) &&
		   (interval->months == 0 || (interval->months >> c->month & 1));
}

static bool
shows(const struct time_interval *interval, const struct wall_clock *c)
{
	struct wall_clock yesterday = day_before(*c);

	if (interval->n_times == 0)
		return on_date(interval, c);
	for (int i = 0; i < interval->n_times; i++) {
		const struct time_range *range = &interval->times[i];
		bool over_midnight = range->last < range->first;

		if (c->minute >= range->first && (over_midnight || c->minute < range->last) && on_date(interval, c))
			return true;
		if (over_midnight && c->minute < range->last && on_date(interval, &yesterday))
			return true;
	}
	return false;
}

bool
time_interval_shows(const struct time_interval *intervals, int n, const struct wall_clock *clock)
{
	for (int i = 0; i < n; i++)
		if (shows(&intervals[i], clock))
			return true;
	return false;
}

int64_t
time_interval_change(const struct time_interval *intervals, int n, int64_t at, int64_t limit,
					 wall_clock_at *clock, void *arg)
{
	struct wall_clock c = clock(arg, at);
	bool now = time_interval_shows(intervals, n, &c);
	int64_t rest = at % MINUTE_US;

	for (at -= rest < 0 ? rest + MINUTE_US : rest; at < limit - MINUTE_US;) {
		at += MINUTE_US;
		c = clock(arg, at);
		if (time_interval_shows(intervals, n, &c) != now)
			return at;
	}
	return limit;
}
