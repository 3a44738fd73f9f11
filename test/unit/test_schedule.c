/* test_schedule.c: schedule.h: ticks, splay, backoff, timestamps over clock steps. */
#include "unit.h"

#include "core/schedule.h"

static void
ticks_are_aligned_and_spread(void **state)
{
	int64_t splay = splay_ms("web-1", 10000);

	assert_in_range(splay, 0, 9999);
	assert_int_equal(splay, splay_ms("web-1", 10000));
	int64_t t = next_tick_ms(1000000, INT64_MIN, 10000, splay);
	assert_in_range(t, 1000001, 1010000);
	assert_int_equal(t % 10000, splay);
	/* on the tick itself: the next one */
	assert_int_equal(next_tick_ms(t, t, 10000, splay), t + 10000);
}

static void
a_fleet_does_not_speak_at_once(void **state)
{
	int per_second[10] = {0};
	char name[32];

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "vps-%d", i);
		per_second[splay_ms(name, 10000) / 1000]++;
	}
	for (int i = 0; i < 10; i++)
		assert_in_range(per_second[i], 60, 140);
}

static void
late_ticks_are_skipped_and_never_doubled(void **state)
{
	assert_int_equal(next_tick_ms(1000, 1000, 10000, 3000),
					 13000); /* 3000 is less than half an interval away */
	assert_int_equal(next_tick_ms(1000, -5000, 10000, 3000), 3000);
	assert_int_equal(next_tick_ms(57000, 23000, 10000, 3000), 63000); /* 33000, 43000 and 53000 are gone */
	/* the clock was set back an hour: the last sample lies in the future and counts for nothing */
	assert_int_equal(next_tick_ms(0, 3600000, 10000, 3000), 3000);
	assert_int_equal(next_tick_ms(-100, INT64_MIN, 10000, 3000), 3000);
}

static void
backoff_doubles_up_to_the_ceiling_with_jitter(void **state)
{
	static const int64_t full[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};

	for (int i = 0; i < 8; i++) {
		assert_int_equal(backoff_ms(i, 1000, 60000, 0), full[i] / 2);
		for (uint32_t r = 1; r < 4000000000u; r += 99999999)
			assert_in_range(backoff_ms(i, 1000, 60000, r), full[i] / 2, full[i]);
	}
	assert_in_range(backoff_ms(1000000, 1000, 60000, 7), 30000, 60000);
	assert_in_range(backoff_ms(0, 15000, 60000, UINT32_MAX), 7500, 15000);
}

static void
timestamps_never_repeat_over_clock_steps(void **state)
{
	struct timestamps t = {0, 0};
	int64_t seen[300];
	int n = 0;

	for (int lap = 0; lap < 3; lap++) /* the same hundred ten-second ticks, three times */
		for (int i = 0; i < 100; i++)
			seen[n++] = next_timestamp_us(&t, 1700000000000000 + i * INT64_C(10000000) + 700);
	for (int i = 0; i < n; i++)
		for (int k = 0; k < i; k++)
			assert_true(seen[i] != seen[k]);
	assert_int_equal(seen[0], 1700000000000000);
	assert_int_equal(seen[100], 1700000000000001);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ticks_are_aligned_and_spread),
		cmocka_unit_test(a_fleet_does_not_speak_at_once),
		cmocka_unit_test(late_ticks_are_skipped_and_never_doubled),
		cmocka_unit_test(backoff_doubles_up_to_the_ceiling_with_jitter),
		cmocka_unit_test(timestamps_never_repeat_over_clock_steps),
	};
	return TESTS(tests);
}
