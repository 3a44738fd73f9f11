#include "unit.h"

#include "core/aggregate.h"

#define SECOND  INT64_C(1000000)
#define MAX_GAP (100 * SECOND)

static struct aggregate_bucket bucket;
static struct aggregate_previous previous;

static double
result(enum aggregate what)
{
	double value = 0;

	return aggregate_result(&bucket, what, &value) ? value : NAN;
}

/* Values 10 s apart from t = 0 on, in one bucket. */
static void
add_all(int n, const double *values)
{
	aggregate_begin(&bucket);
	previous = (struct aggregate_previous){0};
	for (int i = 0; i < n; i++)
		aggregate_add(&bucket, &previous, i * 10 * SECOND, values[i], MAX_GAP);
}

static void
nothing_is_unknown_and_not_zero(void **state)
{
	aggregate_begin(&bucket);
	for (int what = 0; what < AGGREGATES; what++)
		assert_unknown(result(what));
	add_all(2, (double[]){NAN, NAN});
	for (int what = 0; what < AGGREGATES; what++)
		assert_unknown(result(what));
}

static void
simple_sums(void **state)
{
	add_all(4, (double[]){3, -1, NAN, 4});
	assert_near(result(AGGREGATE_AVG), 2);
	assert_near(result(AGGREGATE_MIN), -1);
	assert_near(result(AGGREGATE_MAX), 4);
	assert_near(result(AGGREGATE_SUM), 6);
	assert_near(result(AGGREGATE_COUNT), 3);
	assert_near(result(AGGREGATE_LAST), 4);
}

static void
infinity_is_a_value(void **state)
{
	add_all(2, (double[]){1, INFINITY});
	assert_true(result(AGGREGATE_MAX) == INFINITY && result(AGGREGATE_SUM) == INFINITY);
	assert_near(result(AGGREGATE_MIN), 1);
	assert_unknown(result(AGGREGATE_INCREASE));
	/* and does not hide the growth around it */
	add_all(3, (double[]){1, INFINITY, 5});
	assert_near(result(AGGREGATE_INCREASE), 4);
	assert_near(result(AGGREGATE_RATE), 4 / 20.);
}

static void
increases_survive_resets(void **state)
{
	add_all(5, (double[]){10, 15, 3, 3, 8});
	assert_near(result(AGGREGATE_INCREASE), 5 + 3 + 0 + 5);
	assert_near(result(AGGREGATE_RATE), 13 / 40.);
	add_all(1, (double[]){10});
	assert_unknown(result(AGGREGATE_INCREASE));
	assert_unknown(result(AGGREGATE_RATE));
	/* NaN between two samples is no sample */
	add_all(3, (double[]){10, NAN, 16});
	assert_near(result(AGGREGATE_INCREASE), 6);
	assert_near(result(AGGREGATE_RATE), 0.3);
}

static void
an_increase_belongs_to_the_later_bucket(void **state)
{
	add_all(1, (double[]){10});
	aggregate_begin(&bucket);
	aggregate_add(&bucket, &previous, 30 * SECOND, 16, MAX_GAP);
	assert_near(result(AGGREGATE_INCREASE), 6);
	assert_near(result(AGGREGATE_RATE), 0.2);

	previous = (struct aggregate_previous){0};
	aggregate_before(&previous, 0, 7);
	aggregate_before(&previous, SECOND, NAN);
	aggregate_begin(&bucket);
	aggregate_add(&bucket, &previous, 10 * SECOND, 8, MAX_GAP);
	assert_near(result(AGGREGATE_INCREASE), 1);
}

static void
nobody_knows_when_it_grew_in_a_long_gap(void **state)
{
	add_all(1, (double[]){10});
	aggregate_begin(&bucket);
	aggregate_add(&bucket, &previous, MAX_GAP + 1, 50, MAX_GAP);
	assert_unknown(result(AGGREGATE_INCREASE));
	assert_near(result(AGGREGATE_LAST), 50);
	aggregate_add(&bucket, &previous, MAX_GAP + 1 + SECOND, 51, MAX_GAP);
	assert_near(result(AGGREGATE_INCREASE), 1);
	/* two samples at one moment: an increase, but no rate */
	aggregate_begin(&bucket);
	aggregate_add(&bucket, &previous, MAX_GAP + 1 + SECOND, 52, MAX_GAP);
	assert_near(result(AGGREGATE_INCREASE), 1);
	assert_unknown(result(AGGREGATE_RATE));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_unknown_and_not_zero),
		cmocka_unit_test(simple_sums),
		cmocka_unit_test(infinity_is_a_value),
		cmocka_unit_test(increases_survive_resets),
		cmocka_unit_test(an_increase_belongs_to_the_later_bucket),
		cmocka_unit_test(nobody_knows_when_it_grew_in_a_long_gap),
	};
	return TESTS(tests);
}
