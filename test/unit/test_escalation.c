/* The clock of an escalation, with the figures of alerting.md 2.12. Times are minutes. */
#include "unit.h"

#include "core/escalation.h"

static const int64_t steps[] = {0, 30, 60};

/* Minutes at which the steps run of an alert that fires from 0 on and is looked at every minute, but for a window of [from, to). */
static void
run(int64_t from, int64_t to, int64_t *ran)
{
	struct escalation_clock clock = escalation_clock_begin(from > 0, 0);

	for (int i = 0; i < 3; i++)
		ran[i] = -1;
	for (int64_t at = 0; at < 200; at++) {
		escalation_clock_set(&clock, at < from || at >= to, at);
		for (int i = 0; i < 3; i++)
			if (ran[i] < 0 && escalation_is_due(&clock, steps[i], at))
				ran[i] = at;
	}
}

static void
expect_steps(int64_t from, int64_t to, int64_t first, int64_t second, int64_t third)
{
	int64_t ran[3];

	run(from, to, ran);
	assert_int_equal(ran[0], first);
	assert_int_equal(ran[1], second);
	assert_int_equal(ran[2], third);
}

static void
C24_paused_time_is_left_out(void **state)
{
	expect_steps(300, 300, 0, 30, 60);
	expect_steps(10, 40, 0, 60, 90);
	/* A window that begins when a step is due: it is not told in the window. */
	expect_steps(30, 40, 0, 40, 70);
}

static void
C24_a_problem_that_begins_in_a_window_counts_from_its_end(void **state)
{
	expect_steps(0, 40, 40, 70, 100);
}

static void
only_changes_are_kept(void **state)
{
	struct escalation_clock clock = escalation_clock_begin(true, 100);

	assert_false(escalation_clock_set(&clock, true, 110));
	assert_int_equal(clock.since, 100);
	assert_true(escalation_clock_set(&clock, false, 120));
	assert_false(escalation_clock_set(&clock, false, 130));
	assert_int_equal(escalation_clock_read(&clock, 140), 20);
	assert_true(escalation_clock_set(&clock, true, 150));
	assert_int_equal(escalation_clock_read(&clock, 151), 21);
	/* A time before it began counts nothing. */
	assert_int_equal(escalation_clock_read(&clock, 149), 20);
	assert_false(escalation_is_due(&clock, 22, 151));
	assert_true(escalation_is_due(&clock, 22, 152));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(C24_paused_time_is_left_out),
		cmocka_unit_test(C24_a_problem_that_begins_in_a_window_counts_from_its_end),
		cmocka_unit_test(only_changes_are_kept),
	};

	return TESTS(tests);
}
