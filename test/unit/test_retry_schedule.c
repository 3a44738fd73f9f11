/* test_retry_schedule.c: when failed deliveries are tried again. */
#include "unit.h"

#include "core/retry_schedule.h"

static void
follows_the_schedule(void **state)
{
	static const int64_t after_s[] = {0, 1, 3, 7, 15, 31, 61, 121, 181, 241, 361, 661, 961};
	int64_t at = 0;

	for (size_t i = 0; i < sizeof after_s / sizeof *after_s; i++) {
		assert_int_equal(at, after_s[i] * 1000);
		at += retry_delay_ms((int) i + 1, 200);
	}
}

static void
spreads_by_a_fifth(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 10000; i++) {
		int64_t delay = retry_delay_ms(5, retry_chance(i, 5));
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
	}
	assert_int_equal(least, 16000 * 8 / 10);
	assert_int_equal(most, 16000 * 12 / 10);
}

static void
has_no_end(void **state)
{
	assert_int_equal(retry_delay_ms(INT32_MAX, 200), 300000);
	assert_int_equal(retry_delay_ms(0, 200), 1000);
	assert_int_equal(retry_delay_ms(INT32_MIN, 200), 1000);
}

static void
chance_is_the_attempts_own(void **state)
{
	assert_true(retry_chance(17, 1) == retry_chance(17, 1));
	assert_true(retry_chance(17, 1) != retry_chance(17, 2));
	assert_true(retry_chance(17, 1) != retry_chance(18, 1));
	assert_true(retry_chance(-1, -1) != retry_chance(-1, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_the_schedule),
		cmocka_unit_test(spreads_by_a_fifth),
		cmocka_unit_test(has_no_end),
		cmocka_unit_test(chance_is_the_attempts_own),
	};

	return TESTS(tests);
}
