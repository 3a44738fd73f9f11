#include "unit.h"

#include "core/sla.h"

#define DAY INT64_C(86400000000)

static void
budget_of_thirty_days(void **state)
{
	/* The table of chapter 3: 99.9 % of 30 days leave 43 min 12 s. */
	struct sla_level level = sla_level_of((struct sla_counts){43200, 0, 30 * DAY}, 99.9);

	assert_near(level.uptime_percent, 100);
	assert_int_equal(level.budget_us, INT64_C(2592000000));
	assert_near(level.budget_used_percent, 0);
	assert_int_equal(level.budget_left_us, INT64_C(2592000000));
}

static void
failures_use_the_budget_up(void **state)
{
	struct sla_level level = sla_level_of((struct sla_counts){1440, 144, DAY}, 90);

	assert_true(level.uptime_percent == 90);
	assert_near(level.budget_used_percent, 100);
	assert_int_equal(level.budget_left_us, 0);
	level = sla_level_of((struct sla_counts){1000, 1, DAY}, 99.9);
	assert_true(level.budget_used_percent == 100);
	assert_int_equal(level.budget_left_us, 0);
	level = sla_level_of((struct sla_counts){1000, 1000, DAY}, 99.9);
	assert_near(level.uptime_percent, 0);
	assert_near(level.budget_used_percent, 100000);
	assert_int_equal(level.budget_left_us, INT64_C(86400000) - DAY);
}

static void
used_above_100_is_below_the_objective(void **state)
{
	/* Neither rounding nor the size of the numbers may set the two at odds. */
	static const double objectives[] = {50, 90, 95, 99, 99.5, 99.95, 99.99};

	for (size_t o = 0; o < sizeof objectives / sizeof *objectives; o++)
		for (int64_t failures = 0; failures <= 100000; failures += 7) {
			struct sla_level level = sla_level_of((struct sla_counts){100000, failures, DAY}, objectives[o]);
			double gap = level.uptime_percent - objectives[o];

			if (fabs(gap) > 1e-9)
				assert_int_equal(level.budget_used_percent > 100, gap < 0);
		}
}

static void
nothing_is_known_without_checks(void **state)
{
	struct sla_level level = sla_level_of((struct sla_counts){0, 0, 0}, 99.9);

	assert_unknown(level.uptime_percent);
	assert_unknown(level.budget_used_percent);
	assert_int_equal(level.budget_us, 0);
	assert_int_equal(level.budget_left_us, 0);
}

static void
an_objective_leaves_a_budget(void **state)
{
	assert_true(sla_objective_usable(99.9));
	assert_true(sla_objective_usable(0.1));
	assert_false(sla_objective_usable(0));
	assert_false(sla_objective_usable(100));
	assert_false(sla_objective_usable(-1));
	assert_false(sla_objective_usable(NAN));
	assert_false(sla_objective_usable(INFINITY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(budget_of_thirty_days),
		cmocka_unit_test(failures_use_the_budget_up),
		cmocka_unit_test(used_above_100_is_below_the_objective),
		cmocka_unit_test(nothing_is_known_without_checks),
		cmocka_unit_test(an_objective_leaves_a_budget),
	};

	return TESTS(tests);
}
