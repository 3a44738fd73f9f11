/* test_breaker.c: when a target is tried, and what survives a restart. */
#include "unit.h"

#include "core/breaker.h"

static const struct breaker_rules rules = {.failures = 3, .successes = 2, .pause_ms = 30000};

static void
fail_times(struct breaker *b, int times, int64_t now_ms)
{
	for (int i = 0; i < times; i++)
		breaker_failed(b, &rules, now_ms, 0);
}

static void
opens_after_consecutive_failures_only(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 2, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
	breaker_succeeded(&b, &rules);
	fail_times(&b, 2, 0);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_true(breaker_allows(&b, 0));
	fail_times(&b, 1, 1000);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, 30999));
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_true(breaker_allows(&b, 31000));
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
}

static void
needs_two_successes_to_close(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, 0);
	assert_true(breaker_allows(&b, 30000));
	breaker_succeeded(&b, &rules);
	assert_int_equal(b.state, BREAKER_HALF_OPEN);
	assert_true(breaker_allows(&b, 30001));
	breaker_succeeded(&b, &rules);
	assert_int_equal(b.state, BREAKER_CLOSED);
	assert_int_equal(b.failures, 0);
	assert_int_equal(b.openings, 0);
}

static void
one_failure_while_half_open_opens_again(void **state)
{
	struct breaker b = {0};

	fail_times(&b, 3, 0);
	assert_true(breaker_allows(&b, 30000));
	breaker_succeeded(&b, &rules);
	breaker_failed(&b, &rules, 30000, 0);
	assert_int_equal(b.state, BREAKER_OPEN);
	assert_false(breaker_allows(&b, 89999));
	assert_true(breaker_allows(&b, 90000));
	assert_int_equal(b.successes, 0);
}

/* 1, 2, 4 times the pause and no more, never more than a minute, whatever is configured. */
static void
pauses_grow_to_a_minute(void **state)
{
	static const struct {
		int64_t pause, expected[5];
	} cases[] = {{5000, {5000, 10000, 20000, 20000, 20000}},
				 {30000, {30000, 60000, 60000, 60000, 60000}},
				 {300000, {60000, 60000, 60000, 60000, 60000}}};

	for (int c = 0; c < 3; c++) {
		struct breaker_rules r = {1, 2, cases[c].pause};
		struct breaker b = {0};
		int64_t now = 7;
		for (int i = 0; i < 5; i++) {
			breaker_failed(&b, &r, now, 0);
			assert_int_equal(b.probe_ms - now, cases[c].expected[i]);
			now = b.probe_ms;
			assert_true(breaker_allows(&b, now));
		}
	}
}

static void
jitter_only_shortens(void **state)
{
	int64_t least = INT64_MAX, most = 0;

	for (uint32_t random = 0; random < 5000; random += 7) {
		struct breaker b = {0};
		fail_times(&b, 2, 0);
		breaker_failed(&b, &rules, 0, random);
		least = b.probe_ms < least ? b.probe_ms : least;
		most = b.probe_ms > most ? b.probe_ms : most;
	}
	assert_int_equal(most, 30000);
	assert_in_range(least, 27000, 27100);
}

static void
survives_as_text(void **state)
{
	struct breaker b = {0}, again;
	char text[BREAKER_TEXT_SIZE];

	fail_times(&b, 4, 1000);
	breaker_write(&b, 11000, text);
	assert_string_equal(text, "open 4 0 2 50000");
	assert_true(breaker_read(slice_of(text), 5, &again));
	assert_int_equal(again.state, BREAKER_OPEN);
	assert_int_equal(again.failures, 4);
	assert_int_equal(again.openings, 2);
	assert_int_equal(again.probe_ms, 50005);
	breaker_write(&b, 999999, text);
	assert_string_equal(text, "open 4 0 2 0");
}

static void
anything_else_is_no_breaker(void **state)
{
	static const char *const bad[] = {"",
									  "open",
									  "open 1 2 3",
									  "open 1 2 3 4 5",
									  "ajar 1 2 3 4",
									  "open -1 2 3 4",
									  "open 1 2 3 99999999999999999999",
									  "open 1 2 x 4"};
	struct breaker b;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_false(breaker_read(slice_of(bad[i]), 0, &b));
		assert_int_equal(b.state, BREAKER_CLOSED);
		assert_int_equal(b.failures, 0);
	}
	/* A file that was written by something that did not know the cap. */
	assert_true(breaker_read(slice_of("open 1 2 3 86400000"), 0, &b));
	assert_int_equal(b.probe_ms, BREAKER_MAX_PAUSE_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_consecutive_failures_only),
		cmocka_unit_test(needs_two_successes_to_close),
		cmocka_unit_test(one_failure_while_half_open_opens_again),
		cmocka_unit_test(pauses_grow_to_a_minute),
		cmocka_unit_test(jitter_only_shortens),
		cmocka_unit_test(survives_as_text),
		cmocka_unit_test(anything_else_is_no_breaker),
	};

	return TESTS(tests);
}
