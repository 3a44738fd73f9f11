#include "unit.h"

#include "core/cron_schedule.h"

static void
expect(int64_t period_s, uint32_t spread, const char *schedule)
{
	char buffer[CRON_SCHEDULE_SIZE];

	cron_schedule_format(buffer, period_s, spread);
	assert_string_equal(buffer, schedule);
}

static void
periods_become_schedules(void **state)
{
	expect(60, 0, "* * * * *");
	expect(60, 4711, "* * * * *");
	expect(300, 0, "0-59/5 * * * *");
	expect(300, 7, "2-59/5 * * * *");
	expect(1800, 29, "29-59/30 * * * *");
	expect(3600, 0, "0 * * * *");
	expect(3600, 97, "37 * * * *");
	expect(6 * 3600, 17 + 60 * 4, "17 4-23/6 * * *");
	expect(86400, 59 + 60 * 23, "59 23 * * *");
	expect(86400, 60 * 24 + 5, "5 0 * * *");
}

static void
what_cron_can_t_keep_becomes_the_nearest(void **state)
{
	expect(1, 0, "* * * * *");
	expect(5, 0, "* * * * *");
	expect(90, 0, "* * * * *"); /* of two as near, the more frequent */
	expect(91, 1, "1-59/2 * * * *");
	expect(7 * 60, 0, "0-59/6 * * * *");
	expect(45 * 60, 0, "0-59/30 * * * *");
	expect(46 * 60, 0, "0 * * * *");
	expect(5 * 3600 + 1, 0, "0 0-23/6 * * *");
	expect(30 * 86400, 0, "0 0 * * *");
	expect(INT64_MAX, UINT32_MAX, "15 4 * * *");
}

/* Whatever the spread, each field stays within what cron takes. */
static void
every_spread_is_within_bounds(void **state)
{
	static const int64_t periods[] = {60, 120, 300, 720, 1800, 3600, 7200, 28800, 86400};

	for (size_t i = 0; i < sizeof periods / sizeof *periods; i++)
		for (uint32_t spread = 0; spread < 3000; spread++) {
			char buffer[CRON_SCHEDULE_SIZE];
			unsigned minute = 0, hour = 0;

			cron_schedule_format(buffer, periods[i], spread);
			assert_true(strlen(buffer) < CRON_SCHEDULE_SIZE - 1);
			(void) sscanf(buffer, "%u", &minute);
			(void) sscanf(strchr(buffer, ' '), "%u", &hour);
			assert_true(minute < 60 && hour < 24);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(periods_become_schedules),
		cmocka_unit_test(what_cron_can_t_keep_becomes_the_nearest),
		cmocka_unit_test(every_spread_is_within_bounds),
	};
	return TESTS(tests);
}
