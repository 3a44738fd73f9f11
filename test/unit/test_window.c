#include "unit.h"

#include "core/window.h"

#define SECOND INT64_C(1000000)
#define AT     (800000000 * SECOND) /* some day in 2025, by PostgreSQL's epoch */

static double
ask(struct window_question question, int n, const double *values)
{
	struct window_sample samples[64];
	double scratch[64], out = 0;

	assert_true(n <= 64);
	question.at_us = AT;
	/* 10 s apart, the last one at AT */
	for (int i = 0; i < n; i++)
		samples[i] = (struct window_sample){AT - (n - 1 - i) * 10 * SECOND, values[i]};
	return window_value(&question, samples, n, scratch, &out) ? out : NAN;
}

static double
of(enum rule_aggregate aggregate, int n, const double *values)
{
	return ask((struct window_question){.aggregate = aggregate}, n, values);
}

static void
nothing_is_unknown_and_not_zero(void **state)
{
	for (int what = 0; what < RULE_ANOMALY; what++) {
		assert_unknown(of(what, 0, NULL));
		assert_unknown(of(what, 3, (double[]){NAN, NAN, NAN}));
	}
}

static void
one_sample_says_something_about_levels_only(void **state)
{
	double one[] = {NAN, 7};

	for (enum rule_aggregate what = RULE_LAST; what <= RULE_SUM; what++)
		assert_near(of(what, 2, one), 7);
	for (enum rule_aggregate what = RULE_P50; what <= RULE_P99; what++)
		assert_near(of(what, 2, one), 7);
	assert_near(of(RULE_COUNT, 2, one), 1);
	for (enum rule_aggregate what = RULE_RATE; what <= RULE_PREDICT; what++)
		assert_unknown(of(what, 2, one));
}

static void
sums_and_levels(void **state)
{
	double values[] = {3, NAN, -1, 4, NAN};

	assert_near(of(RULE_LAST, 5, values), 4);
	assert_near(of(RULE_AVG, 5, values), 2);
	assert_near(of(RULE_MIN, 5, values), -1);
	assert_near(of(RULE_MAX, 5, values), 4);
	assert_near(of(RULE_SUM, 5, values), 6);
	assert_near(of(RULE_COUNT, 5, values), 3);
	assert_near(of(RULE_DELTA, 5, values), 1);
	assert_near(of(RULE_STDDEV, 5, values), sqrt((1 + 9 + 4) / 3.0));
}

static void
percentiles_are_those_of_percentile_cont(void **state)
{
	double ten[] = {10, 1, 9, 2, 8, 3, 7, 4, 6, 5};
	double many[64];

	assert_near(of(RULE_P50, 10, ten), 5.5);
	assert_near(of(RULE_P95, 10, ten), 9.55);
	assert_near(of(RULE_P99, 10, ten), 9.91);
	assert_near(of(RULE_P50, 3, ten), 9);
	/* above and below the bound where another way of sorting begins */
	for (int n = 22; n <= 64; n++) {
		for (int i = 0; i < n; i++)
			many[i] = (i * 37) % n; /* each of 0 … n - 1 once, where n is no multiple of 37 */
		if (n % 37 != 0)
			assert_near(of(RULE_P50, n, many), (n - 1) / 2.0);
	}
}

static void
counters_that_fall_began_at_zero(void **state)
{
	double values[] = {100, 130, NAN, 10, 30};
	struct window_question delta = {.aggregate = RULE_DELTA, .counter = true};

	assert_near(of(RULE_INCREASE, 5, values), 60);
	assert_near(of(RULE_RATE, 5, values), 60 / 40.0);
	assert_near(ask(delta, 5, values), 60);
	assert_near(of(RULE_DELTA, 5, values), -70);
}

static void
predict_follows_the_line(void **state)
{
	struct window_question question = {.aggregate = RULE_PREDICT, .ahead_us = 100 * SECOND};
	double bent[] = {0, 0, 10, 10};

	/* 0.1 per second: 4 now, 14 in 100 s */
	assert_near(ask(question, 5, (double[]){0, 1, 2, 3, 4}), 14);
	assert_near(ask(question, 5, (double[]){0, NAN, 2, NAN, 4}), 14);
	assert_near(ask(question, 3, (double[]){5, 5, 5}), 5);
	question.ahead_us = 0;
	/* least squares through x = -30, -20, -10, 0: slope 0.4, mean 5 at -15 */
	assert_near(ask(question, 4, bent), 11);
}

static void
predict_begins_somewhere(void **state)
{
	struct window_question question = {
		.aggregate = RULE_PREDICT, .ahead_us = 100 * SECOND, .has_from = true, .from = 3};

	assert_near(ask(question, 5, (double[]){0, 1, 2, 3, 4}), 14);
	assert_near(ask(question, 5, (double[]){0, 1, 2, 4, 3}), 3);
	assert_near(ask(question, 6, (double[]){0, 1, 2, 3, 3, NAN}), 3);
	question.falling = true;
	assert_near(ask(question, 5, (double[]){4, 3, 2, 1, 0}), -10);
	assert_near(ask(question, 5, (double[]){7, 6, 5, 4, 3}), 3);
}

static void
predict_needs_two_times(void **state)
{
	struct window_question question = {.aggregate = RULE_PREDICT, .at_us = AT, .ahead_us = SECOND};
	struct window_sample same[] = {{AT, 1}, {AT, 2}};
	double out;

	assert_false(window_value(&question, same, 2, NULL, &out));
}

static void
small_differences_of_large_numbers_survive(void **state)
{
	double values[] = {1e9 + 1, 1e9 + 2, 1e9 + 3};
	struct window_question question = {.aggregate = RULE_PREDICT, .ahead_us = 10 * SECOND};

	assert_near(of(RULE_STDDEV, 3, values), sqrt(2 / 3.0));
	assert_near(ask(question, 3, values) - 1e9, 4);
	assert_near(of(RULE_AVG, 2, (double[]){1.5e308, 1.7e308}) / 1e308, 1.6);
}

static void
infinities_are_values_and_not_numbers_are_none(void **state)
{
	double up[] = {1, INFINITY}, both[] = {-INFINITY, INFINITY};

	assert_true(of(RULE_MAX, 2, up) == INFINITY);
	assert_true(of(RULE_AVG, 2, up) == INFINITY);
	assert_true(of(RULE_P50, 2, up) == INFINITY);
	assert_true(of(RULE_P95, 2, (double[]){INFINITY, INFINITY}) == INFINITY);
	assert_near(of(RULE_MIN, 2, up), 1);
	assert_unknown(of(RULE_AVG, 2, both));
	assert_unknown(of(RULE_P50, 2, both));
	assert_unknown(of(RULE_SUM, 2, both));
	assert_unknown(of(RULE_STDDEV, 2, up));
	assert_unknown(of(RULE_PREDICT, 2, up));
	assert_unknown(of(RULE_INCREASE, 2, up));
	assert_unknown(of(RULE_DELTA, 2, (double[]){INFINITY, INFINITY}));
	/* growth around an infinite value is still growth */
	assert_near(of(RULE_INCREASE, 3, (double[]){1, INFINITY, 5}), 4);
}

static void
anomaly_is_not_for_windows(void **state)
{
	assert_unknown(of(RULE_ANOMALY, 3, (double[]){1, 2, 3}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_unknown_and_not_zero),
		cmocka_unit_test(one_sample_says_something_about_levels_only),
		cmocka_unit_test(sums_and_levels),
		cmocka_unit_test(percentiles_are_those_of_percentile_cont),
		cmocka_unit_test(counters_that_fall_began_at_zero),
		cmocka_unit_test(predict_follows_the_line),
		cmocka_unit_test(predict_begins_somewhere),
		cmocka_unit_test(predict_needs_two_times),
		cmocka_unit_test(small_differences_of_large_numbers_survive),
		cmocka_unit_test(infinities_are_values_and_not_numbers_are_none),
		cmocka_unit_test(anomaly_is_not_for_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
