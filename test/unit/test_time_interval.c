#include "unit.h"

#include <time.h>

#include "core/time_interval.h"

#define US   INT64_C(1000000)
#define HOUR (3600 * US)

/* The clock of the zone in TZ, microseconds of Unix time. */
static struct wall_clock
zone_clock(void *arg, int64_t at)
{
	time_t seconds = (time_t) (at / US);
	struct tm tm;

	localtime_r(&seconds, &tm);
	return (struct wall_clock){tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_wday,
							   tm.tm_hour * 60 + tm.tm_min};
}

static void
use_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* Unix time of a time in UTC. */
static int64_t
utc(int year, int month, int day, int hour, int minute)
{
	struct tm tm = {
		.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};

	return timegm(&tm) * US;
}

static const char *
add(struct time_interval *i, const char *list, const char *element)
{
	return time_interval_add(i, slice_of(list), slice_of(element));
}

static const char *
add_times(struct time_interval *i, const char *start, const char *end)
{
	return time_interval_add_times(i, slice_of(start), slice_of(end));
}

static bool
on(const struct time_interval *i, int year, int month, int day, const char *time)
{
	int hour = (time[0] - '0') * 10 + time[1] - '0', minute = (time[3] - '0') * 10 + time[4] - '0';
	struct wall_clock c;

	use_zone("UTC");
	c = zone_clock(NULL, utc(year, month, day, hour, minute));
	return time_interval_shows(i, 1, &c);
}

static void
times_of_the_day(void **state)
{
	struct time_interval i = {0};

	assert_true(on(&i, 2030, 1, 1, "00:00"));
	assert_null(add_times(&i, "09:00", "17:30"));
	assert_false(on(&i, 2030, 1, 1, "08:59"));
	assert_true(on(&i, 2030, 1, 1, "09:00"));
	assert_true(on(&i, 2030, 1, 1, "17:29"));
	assert_false(on(&i, 2030, 1, 1, "17:30"));
	assert_null(add_times(&i, "22:00", "24:00"));
	assert_true(on(&i, 2030, 1, 1, "23:59"));
	assert_false(on(&i, 2030, 1, 2, "00:00"));
}

/* What begins in the evening belongs to the day on which it began. */
static void
C22_over_midnight(void **state)
{
	struct time_interval i = {0};

	assert_null(add_times(&i, "22:00", "06:00"));
	assert_null(add(&i, "weekdays", "friday"));
	assert_false(on(&i, 2030, 3, 1, "05:59")); /* a Friday */
	assert_false(on(&i, 2030, 3, 1, "21:59"));
	assert_true(on(&i, 2030, 3, 1, "22:00"));
	assert_true(on(&i, 2030, 3, 2, "05:59"));
	assert_false(on(&i, 2030, 3, 2, "06:00"));
	assert_false(on(&i, 2030, 3, 2, "22:00"));

	i.weekdays = 0;
	assert_null(add(&i, "days_of_month", "-1"));
	assert_true(on(&i, 2028, 2, 29, "23:00"));
	assert_true(on(&i, 2028, 3, 1, "05:00")); /* the night of the leap day */
	assert_true(on(&i, 2030, 12, 31, "23:00"));
	assert_true(on(&i, 2031, 1, 1, "05:00"));
	assert_false(on(&i, 2030, 2, 27, "23:00"));
	assert_true(on(&i, 2030, 3, 1, "05:00"));
}

static void
weekdays_and_months_go_round(void **state)
{
	struct time_interval i = {0};

	assert_null(add(&i, "weekdays", "Saturday:monday"));
	assert_true(on(&i, 2030, 3, 2, "12:00"));
	assert_true(on(&i, 2030, 3, 3, "12:00"));
	assert_true(on(&i, 2030, 3, 4, "12:00"));
	assert_false(on(&i, 2030, 3, 5, "12:00"));
	assert_null(add(&i, "weekdays", "wednesday"));
	assert_true(on(&i, 2030, 3, 6, "12:00"));
	assert_null(add(&i, "months", "november:2"));
	assert_false(on(&i, 2030, 3, 6, "12:00"));
	assert_false(on(&i, 2030, 10, 30, "12:00"));
	assert_true(on(&i, 2030, 11, 3, "12:00"));
	assert_true(on(&i, 2031, 2, 3, "12:00"));
}

static void
days_count_from_both_ends(void **state)
{
	struct time_interval i = {0};

	assert_null(add(&i, "days_of_month", "1:2"));
	assert_null(add(&i, "days_of_month", "-3:-1"));
	assert_null(add(&i, "years", "2028"));
	assert_true(on(&i, 2028, 2, 1, "12:00"));
	assert_true(on(&i, 2028, 2, 2, "12:00"));
	assert_false(on(&i, 2028, 2, 3, "12:00"));
	assert_false(on(&i, 2028, 2, 26, "12:00"));
	assert_true(on(&i, 2028, 2, 27, "12:00"));
	assert_true(on(&i, 2028, 2, 29, "12:00"));
	assert_false(on(&i, 2029, 2, 28, "12:00"));

	/* What a month does not have is left out. */
	i = (struct time_interval){0};
	assert_null(add(&i, "days_of_month", "25:-1"));
	assert_null(add(&i, "days_of_month", "31"));
	assert_true(on(&i, 2030, 2, 25, "12:00"));
	assert_true(on(&i, 2030, 2, 28, "12:00"));
	assert_false(on(&i, 2030, 3, 1, "12:00"));
	i = (struct time_interval){0};
	assert_null(add(&i, "days_of_month", "-31:-30"));
	assert_false(on(&i, 2030, 2, 1, "12:00"));
	assert_true(on(&i, 2030, 4, 1, "12:00"));
	assert_true(on(&i, 2030, 3, 2, "12:00"));
	assert_false(on(&i, 2030, 3, 3, "12:00"));
}

static void
mistakes_are_told(void **state)
{
	static const struct {
		const char *list, *element;
	} bad[] = {
		{"weekdays", ""},
		{"weekdays", "mon"},
		{"weekdays", "monday:"},
		{"weekdays", "1"},
		{"months", "0"},
		{"months", "13"},
		{"months", "janua"},
		{"days_of_month", "0"},
		{"days_of_month", "32"},
		{"days_of_month", "-32"},
		{"days_of_month", "5:1"},
		{"days_of_month", "-1:-3"},
		{"days_of_month", "-1:5"},
		{"days_of_month", "1:2:3"},
		{"years", "0"},
		{"years", "2031:2030"},
		{"years", "20301"},
		{"years", "-2030"},
		{"hours", "1"},
		{"", ""},
	};
	struct time_interval i = {0};

	for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
		if (add(&i, bad[k].list, bad[k].element) == NULL)
			fail_msg("%s accepts \"%s\"", bad[k].list, bad[k].element);
	assert_non_null(add_times(&i, "9:00", "10:00"));
	assert_non_null(add_times(&i, "09:00", "10:60"));
	assert_non_null(add_times(&i, "09:00", "24:01"));
	assert_non_null(add_times(&i, "24:00", "06:00"));
	assert_non_null(add_times(&i, "09:00", "09:00"));
	assert_non_null(add_times(&i, "", ""));
	assert_non_null(add_times(&i, "-9:00", "10:00"));
	assert_non_null(add_times(&i, "09-00", "10:00"));
	for (int k = 0; k < TIME_INTERVAL_MAX; k++)
		assert_null(add(&i, "days_of_month", "7"));
	assert_string_equal(add(&i, "days_of_month", "7"), "there are more than 32 elements");
}

/* How many minutes of a time match. */
static int
minutes_in(const struct time_interval *i, int64_t from, int64_t to)
{
	int n = 0;

	for (int64_t at = from; at < to; at += 60 * US) {
		struct wall_clock c = zone_clock(NULL, at);

		n += time_interval_shows(i, 1, &c);
	}
	return n;
}

/* A time that the clock leaves out never matches, one that it shows twice matches twice. */
static void
C22_daylight_saving(void **state)
{
	struct time_interval i = {0};

	assert_null(add_times(&i, "02:15", "02:45"));
	use_zone("Europe/Berlin");
	assert_int_equal(minutes_in(&i, utc(2030, 3, 29, 12, 0), utc(2030, 3, 30, 12, 0)), 30);
	assert_int_equal(minutes_in(&i, utc(2030, 3, 30, 12, 0), utc(2030, 3, 31, 12, 0)), 0);
	assert_int_equal(minutes_in(&i, utc(2030, 10, 26, 12, 0), utc(2030, 10, 27, 12, 0)), 60);
	assert_int_equal(minutes_in(&i, utc(2030, 10, 27, 12, 0), utc(2030, 10, 28, 12, 0)), 30);
	use_zone("America/New_York");
	assert_int_equal(minutes_in(&i, utc(2030, 3, 10, 0, 0), utc(2030, 3, 11, 0, 0)), 0);
	assert_int_equal(minutes_in(&i, utc(2030, 11, 3, 0, 0), utc(2030, 11, 4, 0, 0)), 30);
	i.n_times = 0;
	assert_null(add_times(&i, "01:15", "01:45"));
	assert_int_equal(minutes_in(&i, utc(2030, 11, 3, 0, 0), utc(2030, 11, 4, 0, 0)), 60);
	/* Half an hour on Lord Howe: 01:30 to 02:00 twice. */
	i.n_times = 0;
	assert_null(add_times(&i, "01:30", "02:00"));
	use_zone("Australia/Lord_Howe");
	assert_int_equal(minutes_in(&i, utc(2030, 4, 6, 0, 0), utc(2030, 4, 7, 0, 0)), 60);
	use_zone("Asia/Kolkata");
	assert_int_equal(minutes_in(&i, utc(2030, 4, 6, 0, 0), utc(2030, 4, 7, 0, 0)), 30);
}

static void
when_it_changes(void **state)
{
	struct time_interval i = {0};
	int64_t noon = utc(2030, 3, 30, 12, 0);

	assert_null(add_times(&i, "22:00", "06:00"));
	use_zone("Europe/Berlin");
	assert_int_equal(time_interval_change(&i, 1, noon, noon + 24 * HOUR, zone_clock, NULL), noon + 9 * HOUR);
	/* The night in which the clocks go forward is an hour shorter. */
	assert_int_equal(time_interval_change(&i, 1, noon + 9 * HOUR + 7, noon + 24 * HOUR, zone_clock, NULL),
					 noon + 16 * HOUR);
	assert_int_equal(time_interval_change(&i, 1, noon, noon + HOUR, zone_clock, NULL), noon + HOUR);
	i.n_times = 0;
	assert_int_equal(time_interval_change(&i, 1, noon, noon + 24 * HOUR, zone_clock, NULL), noon + 24 * HOUR);
	assert_int_equal(time_interval_change(&i, 1, -90 * US, 60 * US, zone_clock, NULL), 60 * US);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_of_the_day),
		cmocka_unit_test(C22_over_midnight),
		cmocka_unit_test(weekdays_and_months_go_round),
		cmocka_unit_test(days_count_from_both_ends),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(C22_daylight_saving),
		cmocka_unit_test(when_it_changes),
	};
	return TESTS(tests);
}
