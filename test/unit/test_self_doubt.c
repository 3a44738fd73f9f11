/* test_self_doubt.c: when failures are held against the agent itself. */
#include "unit.h"

#include "core/self_doubt.h"

static enum doubt_verdict
judge(int answered, int lost, int pending, bool over, bool recovered, bool *doubting)
{
	struct doubt_round round = {answered, lost, pending, over, recovered};

	return doubt_judge(&round, doubting);
}

static void
four_of_five_and_at_least_three(void **state)
{
	static const struct {
		int answered, lost;
		bool doubt;
	} cases[] = {{0, 1, false}, {0, 2, false}, {0, 3, true},    {1, 3, false}, {1, 4, true},
				 {2, 7, false}, {2, 8, true},  {20, 79, false}, {3, 0, false}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		bool doubting = false;
		enum doubt_verdict verdict = judge(cases[i].answered, cases[i].lost, 0, false, false, &doubting);
		assert_int_equal(doubting, cases[i].doubt);
		assert_int_equal(verdict, cases[i].doubt ? DOUBT_INCONCLUSIVE : DOUBT_CONCLUSIVE);
	}
}

static void
waits_for_the_others_only_while_they_matter(void **state)
{
	bool doubting = false;

	assert_int_equal(judge(0, 1, 4, false, false, &doubting), DOUBT_UNDECIDED);
	assert_int_equal(judge(1, 1, 3, false, false, &doubting), DOUBT_UNDECIDED);
	assert_int_equal(judge(2, 1, 2, false, false, &doubting), DOUBT_CONCLUSIVE);
	/* Three have failed, the fourth hangs: that is enough. */
	assert_int_equal(judge(0, 3, 1, true, false, &doubting), DOUBT_INCONCLUSIVE);
	assert_true(doubting);
}

static void
doubt_lasts_until_somebody_is_heard(void **state)
{
	bool doubting = true;

	/* A check with a round of its own. */
	assert_int_equal(judge(0, 1, 0, false, false, &doubting), DOUBT_INCONCLUSIVE);
	/* One that was never lost, such as a neighbour on this machine, proves nothing. */
	assert_int_equal(judge(1, 1, 0, false, false, &doubting), DOUBT_INCONCLUSIVE);
	assert_true(doubting);
	assert_int_equal(judge(1, 0, 0, false, true, &doubting), DOUBT_CONCLUSIVE);
	assert_false(doubting);
	doubting = true;
	assert_int_equal(judge(1, 4, 0, false, true, &doubting), DOUBT_INCONCLUSIVE);
	assert_int_equal(judge(2, 3, 0, false, false, &doubting), DOUBT_CONCLUSIVE);
	assert_false(doubting);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_of_five_and_at_least_three),
		cmocka_unit_test(waits_for_the_others_only_while_they_matter),
		cmocka_unit_test(doubt_lasts_until_somebody_is_heard),
	};

	return TESTS(tests);
}
