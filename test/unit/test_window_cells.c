/* Aggregates over rolled-up buckets: src/core/window_cells.c */
#include "core/window_cells.h"

#include <math.h>
#include <string.h>

#include "unit.h"

#define MINUTE INT64_C(60000000)
#define WIDTH  (5 * MINUTE)

static struct window_cell cells[600];
static struct window_sample room[600];
static double scratch[600];

/* Samples of a minute's distance, from minute 0 on, as cells. */
static int
fill(const double *values, int n, bool counter)
{
	int n_cells = 0;

	memset(cells, 0, sizeof cells);
	for (int i = 0; i < n; i++) {
		int64_t start = i * MINUTE / WIDTH * WIDTH;

		if (isnan(values[i]))
			continue;
		if (n_cells == 0 || cells[n_cells - 1].start_us != start)
			cells[n_cells++].start_us = start;
		cell_add(&cells[n_cells - 1].cell, values[i], 1, counter);
	}
	return n_cells;
}

static double
value(enum rule_aggregate aggregate, int n, int64_t at_us)
{
	struct window_question question = {.aggregate = aggregate, .at_us = at_us, .ahead_us = 60 * MINUTE};
	double out = NAN;

	question.counter = cells[0].cell.counter;
	return window_cells_value(&question, cells, n, WIDTH, room, scratch, &out) ? out : NAN;
}

static void
sums_are_of_the_samples(void **state)
{
	double values[12] = {1, 2, 3, 4, 5, 10, 10, 10, 10, 10, 7, 9};
	int n = fill(values, 12, false);

	assert_int_equal(n, 3);
	assert_int_equal(window_cells_count(cells, n), 12);
	assert_true(fabs(value(RULE_AVG, n, 12 * MINUTE) - 81.0 / 12) < 1e-12);
	assert_true(value(RULE_MIN, n, 12 * MINUTE) == 1);
	assert_true(value(RULE_MAX, n, 12 * MINUTE) == 10);
	assert_true(value(RULE_SUM, n, 12 * MINUTE) == 81);
	assert_true(value(RULE_COUNT, n, 12 * MINUTE) == 12);
	assert_true(value(RULE_LAST, n, 12 * MINUTE) == 9);
}

/* 2 per second, and a start from 0 in the middle. */
static void
growth_of_a_counter(void **state)
{
	double values[120];
	int n;

	for (int i = 0; i < 120; i++)
		values[i] = (i < 61 ? 1000 : -120 * 61) + i * 120.0;
	n = fill(values, 120, true);
	/* 118 minutes of growth by 120; the minute of the restart counts what the counter then shows: 0 */
	assert_true(value(RULE_INCREASE, n, 119 * MINUTE) == 118 * 120.0);
	assert_true(value(RULE_DELTA, n, 119 * MINUTE) == 118 * 120.0);
	assert_true(fabs(value(RULE_RATE, n, 119 * MINUTE) - 118 * 120.0 / (119 * 60)) < 0.02);
}

static void
growth_of_a_gauge_is_that_of_the_last_values(void **state)
{
	double values[15] = {1, 2, 3, 4, 5, 9, 9, 9, 9, 20, 3, 3, 3, 3, 8};
	int n = fill(values, 15, false);

	assert_true(value(RULE_DELTA, n, 15 * MINUTE) == 3);
	assert_true(value(RULE_INCREASE, n, 15 * MINUTE) == 15 + 8);
}

static void
the_shape_is_that_of_the_averages(void **state)
{
	double values[60];
	int n;

	for (int i = 0; i < 60; i++)
		values[i] = i / 5 * 10.0;
	n = fill(values, 60, false);
	assert_true(value(RULE_P50, n, 60 * MINUTE) == 55);
	/* 0, 10 … 110: 10 in 5 minutes, 115 at minute 60, 120 more in an hour */
	assert_true(fabs(value(RULE_PREDICT, n, 60 * MINUTE) - 235) < 1e-9);
	assert_true(fabs(value(RULE_STDDEV, n, 60 * MINUTE) - 34.520525295346634) < 1e-9);
}

static void
nothing_to_say(void **state)
{
	double one[1] = {5};
	int n = fill(one, 1, true);

	assert_true(isnan(value(RULE_AVG, 0, MINUTE)));
	assert_true(isnan(value(RULE_RATE, n, MINUTE)));
	assert_true(isnan(value(RULE_INCREASE, n, MINUTE)));
	assert_true(isnan(value(RULE_PREDICT, n, MINUTE)));
	assert_true(isnan(value(RULE_ANOMALY, n, MINUTE)));
	assert_true(value(RULE_LAST, n, MINUTE) == 5);
	/* a sample at the very start of a bucket that is cut there: no time has passed */
	assert_true(isnan(value(RULE_RATE, n, 0)));
}

static void
unusual_is_what_past_days_were_not(void **state)
{
	double days[14] = {10, 12, 8, NAN, 10, 12, 8, NAN, NAN, NAN, NAN, NAN, NAN, NAN}, out = 0;
	double steady[14] = {50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50}, nothing[14] = {0};

	/* 10 on average, the standard deviation is the root of 8 / 3 */
	assert_true(window_anomaly(15, days, 14, &out));
	assert_true(fabs(out - 5 / sqrt(8.0 / 3)) < 1e-12);
	assert_true(window_anomaly(5, days, 14, &out));
	assert_true(fabs(out - 5 / sqrt(8.0 / 3)) < 1e-12);
	/* no spread at all: 1 % of 50 */
	assert_true(window_anomaly(51, steady, 14, &out));
	assert_true(out == 2);
	days[0] = days[1] = NAN;
	assert_false(window_anomaly(15, days, 14, &out));
	assert_false(window_anomaly(15, nothing, 14, &out));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_are_of_the_samples),
		cmocka_unit_test(growth_of_a_counter),
		cmocka_unit_test(growth_of_a_gauge_is_that_of_the_last_values),
		cmocka_unit_test(the_shape_is_that_of_the_averages),
		cmocka_unit_test(nothing_to_say),
		cmocka_unit_test(unusual_is_what_past_days_were_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
