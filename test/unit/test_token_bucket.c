/* test_token_bucket.c: bursts, averages, clocks that step. */
#include "unit.h"

#include "core/token_bucket.h"

#define SECOND INT64_C(1000000)

static const struct token_bucket_rules rules = {.per_minute = 60, .burst = 3};

static void
bursts_then_flows(void **state)
{
	struct token_bucket b = {.tokens = NAN};

	for (int i = 0; i < 3; i++)
		assert_true(token_bucket_take(&b, &rules, 0));
	assert_false(token_bucket_take(&b, &rules, 0));
	assert_int_equal(token_bucket_wait_us(&b, &rules, 0), SECOND);
	assert_false(token_bucket_take(&b, &rules, SECOND - 1));
	assert_true(token_bucket_take(&b, &rules, SECOND));
	assert_false(token_bucket_take(&b, &rules, SECOND));
	/* It holds no more than its burst, however long nobody comes. */
	for (int i = 0; i < 3; i++)
		assert_true(token_bucket_take(&b, &rules, 1000 * SECOND));
	assert_false(token_bucket_take(&b, &rules, 1000 * SECOND));
}

static void
waiting_as_told_is_enough(void **state)
{
	const struct token_bucket_rules odd = {.per_minute = 7, .burst = 1};
	struct token_bucket b = {.tokens = NAN};
	int64_t now = 1768910400 * SECOND;

	for (int i = 0; i < 1000; i++) {
		now += token_bucket_wait_us(&b, &odd, now);
		assert_true(token_bucket_take(&b, &odd, now));
	}
	assert_near((double) (now - 1768910400 * SECOND) / 1e6, 999 * 60.0 / 7);
}

static void
no_limit_no_wait(void **state)
{
	const struct token_bucket_rules none = {0};
	struct token_bucket b = {.tokens = 0};

	assert_true(token_bucket_take(&b, &none, 0));
	assert_int_equal(token_bucket_wait_us(&b, &none, 0), 0);
}

static void
holds_at_least_one(void **state)
{
	const struct token_bucket_rules slow = {.per_minute = 1, .burst = 0};
	struct token_bucket b = {.tokens = NAN};

	assert_true(token_bucket_take(&b, &slow, 0));
	assert_int_equal(token_bucket_wait_us(&b, &slow, 0), 60 * SECOND);
	assert_true(token_bucket_take(&b, &slow, 60 * SECOND));
}

static void
clock_steps_back(void **state)
{
	struct token_bucket b = {.tokens = 1, .at_us = 1000 * SECOND};

	assert_true(token_bucket_take(&b, &rules, 500 * SECOND));
	assert_int_equal(token_bucket_wait_us(&b, &rules, 500 * SECOND), SECOND);
	assert_true(token_bucket_take(&b, &rules, 501 * SECOND));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bursts_then_flows), cmocka_unit_test(waiting_as_told_is_enough),
		cmocka_unit_test(no_limit_no_wait),  cmocka_unit_test(holds_at_least_one),
		cmocka_unit_test(clock_steps_back),
	};

	return TESTS(tests);
}
