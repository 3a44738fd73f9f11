#include "unit.h"

#include "core/flapping.h"

/* The worked figures of alerting.md 2.12: from calm, alternating evaluations. */
static void
six_changes_in_a_row_flap(void **state)
{
	static const double percent[] = {5.9, 11.7, 17.4, 23.0, 28.5, 33.9};
	uint32_t history = 0;

	for (int i = 0; i < 6; i++) {
		history = flapping_record(history, 1, true);
		assert_near(flapping_percent(history), percent[i]);
		assert_int_equal(flapping_decide(history, false), i == 5);
	}
	/* Then stable: over at the 15th evaluation without a change. */
	for (int i = 1; i <= 15; i++) {
		history = flapping_record(history, 1, false);
		assert_int_equal(flapping_decide(history, true), i < 15);
	}
}

static void
what_is_older_than_twenty_evaluations_is_forgotten(void **state)
{
	uint32_t history = flapping_record(0, 1, true);

	assert_near(flapping_percent(flapping_record(history, 19, false)), 4.0);
	assert_int_equal(flapping_record(history, 20, false), 0);
	assert_int_equal(flapping_record(history, INT64_MAX, true), 1);
	/* Two changes in one evaluation are one slot. */
	assert_int_equal(flapping_record(history, 0, true), history);
	/* No more than twenty slots, all of them set: the mean weight. */
	for (int i = 0; i < 40; i++)
		history = flapping_record(history, 1, true);
	assert_int_equal(history, 0xfffff);
	assert_near(flapping_percent(history), 99.0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(six_changes_in_a_row_flap),
		cmocka_unit_test(what_is_older_than_twenty_evaluations_is_forgotten),
	};

	return TESTS(tests);
}
