/* core/outbox_merge: what one notification says in place of several. */
#include "unit.h"

#include "core/outbox_merge.h"

#define N(...) ((const enum notify_reason[]){__VA_ARGS__})

/* Marks of alerts 1 to 5 after the merge; MARK_NONE where there is none. */
static struct outbox_tally
merged(struct outbox_item *items, int n, int n_notes, int delivered, enum mark *mark)
{
	struct outbox_tally tally = outbox_merge(items, n, n_notes, delivered);

	for (int i = 0; i < 6; i++)
		mark[i] = MARK_NONE;
	for (int i = 0; i < n; i++)
		if (items[i].mark != MARK_NONE) {
			assert_int_equal(mark[items[i].alert_id], MARK_NONE);
			mark[items[i].alert_id] = items[i].mark;
		}
	return tally;
}

static void
what_was_never_heard_is_new_or_nothing(void **state)
{
	/* #1: 1 and 2 fire; #2: 2 is over, 3 fires. Nothing was delivered. */
	struct outbox_item items[] = {{1, 0, 0, 1, MARK_NEW},
								  {2, 0, 1, 1, MARK_NEW},
								  {1, 1, 2, 1, MARK_STILL},
								  {2, 1, 3, 1, MARK_RESOLVED},
								  {3, 1, 4, 2, MARK_NEW}};
	enum mark mark[6];
	struct outbox_tally tally = merged(items, 5, 2, 0, mark);

	assert_int_equal(mark[1], MARK_NEW);
	assert_int_equal(mark[2], MARK_NONE);
	assert_int_equal(mark[3], MARK_NEW);
	assert_int_equal(tally.fresh, 2);
	assert_int_equal(tally.resolved, 0);
}

static void
the_end_of_what_was_heard_is_kept(void **state)
{
	/* #1 was delivered. #2: 1 is over; #3: 2 fires, and does not say 1 any more. */
	struct outbox_item items[] = {
		{1, 0, 0, 1, MARK_RESOLVED}, {4, 0, 1, 1, MARK_STILL}, {2, 1, 2, 3, MARK_NEW}};
	enum mark mark[6];
	struct outbox_tally tally = merged(items, 3, 2, 1, mark);

	assert_int_equal(mark[1], MARK_RESOLVED);
	assert_int_equal(mark[2], MARK_NEW);
	/* Heard of, and left out by the newest: silenced, say. */
	assert_int_equal(mark[4], MARK_NONE);
	assert_int_equal(tally.resolved, 1);
	assert_int_equal(tally.still, 0);
}

static void
an_alert_is_heard_of_when_any_of_its_episodes_is(void **state)
{
	/* Heard as #1; then over, firing, over (1), and over, firing (2): as far as people know they have fired all the time. */
	struct outbox_item items[] = {{1, 0, 0, 1, MARK_RESOLVED},
								  {1, 1, 1, 4, MARK_NEW},
								  {1, 2, 2, 4, MARK_RESOLVED},
								  {2, 0, 3, 1, MARK_RESOLVED},
								  {2, 2, 4, 5, MARK_NEW}};
	enum mark mark[6];
	struct outbox_tally tally = merged(items, 5, 3, 2, mark);

	assert_int_equal(mark[1], MARK_RESOLVED);
	assert_int_equal(mark[2], MARK_STILL);
	assert_int_equal(tally.again, 1);
	assert_int_equal(outbox_reason(N(NOTIFY_NEW_ALERTS), 1, &tally, 1), NOTIFY_NEW_ALERTS);
	for (int i = 0; i < 5; i++)
		if (items[i].mark != MARK_NONE)
			assert_int_equal(items[i].since_seq, 1);
}

static void
the_latest_counts(void **state)
{
	/* Over and firing again; news that the newest has not listed; heard of and still firing. */
	struct outbox_item items[] = {
		{1, 0, 0, 1, MARK_RESOLVED}, {1, 1, 1, 3, MARK_NEW}, {2, 0, 2, 2, MARK_NEW}, {3, 1, 3, 1, MARK_NEW}};
	enum mark mark[6];

	merged(items, 4, 2, 1, mark);
	assert_int_equal(mark[1], MARK_STILL);
	assert_int_equal(mark[2], MARK_NEW);
	assert_int_equal(mark[3], MARK_STILL);
}

static void
reasons_hold_as_long_as_there_is_something_behind_them(void **state)
{
	struct outbox_tally fresh = {.fresh = 1}, over = {.resolved = 1}, both = {.fresh = 1, .resolved = 1},
						still = {.still = 1};

	assert_int_equal(outbox_reason(N(NOTIFY_FIRST, NOTIFY_SOME_RESOLVED), 2, &both, 1), NOTIFY_FIRST);
	assert_int_equal(outbox_reason(N(NOTIFY_NEW_ALERTS, NOTIFY_ALL_RESOLVED), 2, &over, 0),
					 NOTIFY_ALL_RESOLVED);
	assert_int_equal(outbox_reason(N(NOTIFY_ALL_RESOLVED), 1, &over, 2), NOTIFY_SOME_RESOLVED);
	assert_int_equal(outbox_reason(N(NOTIFY_SOME_RESOLVED), 1, &fresh, 1), NOTIFY_NEW_ALERTS);
	assert_int_equal(outbox_reason(N(NOTIFY_FIRST, NOTIFY_SOME_RESOLVED), 2, &still, 1), NOTIFY_NOT);
	assert_int_equal(outbox_reason(N(NOTIFY_NEW_ALERTS, NOTIFY_REPEAT), 2, &still, 1), NOTIFY_REPEAT);
	assert_int_equal(outbox_reason(N(NOTIFY_REPEAT), 1, &still, 0), NOTIFY_NOT);
	assert_int_equal(outbox_reason(N(NOTIFY_ACKNOWLEDGED, NOTIFY_UNSUPPRESSED), 2, &still, 1),
					 NOTIFY_UNSUPPRESSED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_never_heard_is_new_or_nothing),
		cmocka_unit_test(the_end_of_what_was_heard_is_kept),
		cmocka_unit_test(an_alert_is_heard_of_when_any_of_its_episodes_is),
		cmocka_unit_test(the_latest_counts),
		cmocka_unit_test(reasons_hold_as_long_as_there_is_something_behind_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
