#include "unit.h"

#include "core/fleet_status.h"

#define SECOND INT64_C(1000000)

static void
silence_goes_by_the_expected_interval(void **state)
{
	static const struct {
		int64_t age, expected;
		enum fleet_status status;
	} cases[] = {
		{0, 10 * SECOND, FLEET_UP},
		{20 * SECOND, 10 * SECOND, FLEET_UP},
		{20 * SECOND + 1, 10 * SECOND, FLEET_STALE},
		{30 * SECOND, 10 * SECOND, FLEET_STALE},
		{30 * SECOND + 1, 10 * SECOND, FLEET_DOWN},
		{-5 * SECOND, 10 * SECOND, FLEET_UP}, /* asked about a time before the last row */
		{120 * SECOND, 0, FLEET_UP},          /* not known how often: once a minute */
		{121 * SECOND, 0, FLEET_STALE},
		{181 * SECOND, -1, FLEET_DOWN},
		{INT64_MAX, 1, FLEET_DOWN},
		{INT64_MAX, INT64_MAX, FLEET_UP},
		{INT64_MIN, INT64_MAX, FLEET_UP},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(fleet_status_decide(cases[i].age, cases[i].expected, 0, 0), cases[i].status);
}

static void
health_checks_count_while_rows_come(void **state)
{
	assert_int_equal(fleet_status_decide(0, SECOND, 0, 0), FLEET_UP);
	assert_int_equal(fleet_status_decide(0, SECOND, 3, 3), FLEET_UP);
	assert_int_equal(fleet_status_decide(0, SECOND, 2, 3), FLEET_DEGRADED);
	assert_int_equal(fleet_status_decide(0, SECOND, 0, 3), FLEET_DOWN);
	/* what a silent VPS last said about its checks is no news */
	assert_int_equal(fleet_status_decide(3 * SECOND, SECOND, 3, 3), FLEET_STALE);
	assert_int_equal(fleet_status_decide(9 * SECOND, SECOND, 3, 3), FLEET_DOWN);
}

static void
names_are_what_users_see(void **state)
{
	assert_string_equal(fleet_status_name(FLEET_UP), "up");
	assert_string_equal(fleet_status_name(FLEET_DEGRADED), "degraded");
	assert_string_equal(fleet_status_name(FLEET_STALE), "stale");
	assert_string_equal(fleet_status_name(FLEET_DOWN), "down");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_goes_by_the_expected_interval),
		cmocka_unit_test(health_checks_count_while_rows_come),
		cmocka_unit_test(names_are_what_users_see),
	};
	return TESTS(tests);
}
