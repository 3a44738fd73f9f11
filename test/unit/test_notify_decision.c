/* Whether a flush tells a channel: table 2.3 of alerting.md row by row, with observ's differences. Times are seconds. */
#include "unit.h"

#include "core/notify_decision.h"

#define MAX_ALERTS 4
#define FIRES      .firing = true
#define KNOWN      .told = TOLD_FIRING

static const int64_t hourly[] = {3600};

/* A channel that wants to know of ends, was told at 0 and is reminded each hour. */
static struct notify_channel
channel_that(bool told_anything)
{
	return (struct notify_channel){
		.send_resolved = true, .told_anything = told_anything, .repeat_us = hourly, .n_repeat = 1};
}

static void
expect(struct notify_channel channel, const struct notify_alert *alerts, int n, int64_t at,
	   enum notify_reason reason, const enum mark *marks)
{
	struct notify_alert copy[MAX_ALERTS];

	for (int i = 0; i < n; i++)
		copy[i] = alerts[i];
	assert_string_equal(notify_reason_names[notify_decide(&channel, copy, n, at)],
						notify_reason_names[reason]);
	for (int i = 0; i < n; i++)
		if (copy[i].mark != marks[i])
			fail_msg("alert %d is marked %d, not %d", i, copy[i].mark, marks[i]);
}

#define EXPECT(channel, at, reason, marks, ...)                                                              \
	do {                                                                                                     \
		const struct notify_alert alerts_[] = {__VA_ARGS__};                                                 \
		const enum mark marks_[] = {MARKS marks};                                                            \
		expect(channel, alerts_, sizeof alerts_ / sizeof *alerts_, at, reason, marks_);                      \
	} while (0)
#define MARKS(...) __VA_ARGS__

static void
nothing_known_and_something_fires(void **state)
{
	EXPECT(channel_that(false), 60, NOTIFY_FIRST, (MARK_NEW), {FIRES});
	/* What is over already is not told on the occasion. */
	EXPECT(channel_that(false), 60, NOTIFY_FIRST, (MARK_NEW, MARK_NONE), {FIRES}, {0});
}

static void
C2_nothing_known_and_all_is_over(void **state)
{
	EXPECT(channel_that(false), 60, NOTIFY_NOT, (MARK_NONE), {0});
}

static void
all_was_over_and_it_fires_again(void **state)
{
	EXPECT(channel_that(false), 60, NOTIFY_FIRST, (MARK_NEW), {FIRES, .told = TOLD_RESOLVED});
}

static void
C14_new_alerts_beside_known_ones(void **state)
{
	EXPECT(channel_that(true), 60, NOTIFY_NEW_ALERTS, (MARK_STILL, MARK_NEW), {FIRES, KNOWN}, {FIRES});
	/* New trouble goes before the end of other trouble, which is told with it. */
	EXPECT(channel_that(true), 60, NOTIFY_NEW_ALERTS, (MARK_RESOLVED, MARK_NEW), {KNOWN}, {FIRES});
}

static void
all_that_was_known_is_over(void **state)
{
	EXPECT(channel_that(true), 60, NOTIFY_ALL_RESOLVED, (MARK_RESOLVED, MARK_RESOLVED), {KNOWN}, {KNOWN});
	EXPECT(channel_that(true), 60, NOTIFY_ALL_RESOLVED, (MARK_RESOLVED, MARK_NONE), {KNOWN}, {0});
}

static void
nothing_fires_and_nothing_is_known(void **state)
{
	EXPECT(channel_that(false), 60, NOTIFY_NOT, (MARK_NONE), {.told = TOLD_RESOLVED});
}

static void
some_of_what_was_known_is_over(void **state)
{
	EXPECT(channel_that(true), 60, NOTIFY_SOME_RESOLVED, (MARK_STILL, MARK_RESOLVED), {FIRES, KNOWN},
		   {KNOWN});
	/* Fired and cleared between two flushes: nobody has heard of it (Alertmanager tells). */
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE, MARK_NONE), {FIRES, KNOWN}, {0});
}

static void
ends_are_not_wanted(void **state)
{
	struct notify_channel channel = channel_that(true);

	channel.send_resolved = false;
	EXPECT(channel, 60, NOTIFY_NOT, (MARK_NONE), {KNOWN});
	EXPECT(channel, 60, NOTIFY_NEW_ALERTS, (MARK_NONE, MARK_NEW), {KNOWN}, {FIRES});
}

static void
C5_repeat_when_the_interval_has_passed(void **state)
{
	EXPECT(channel_that(true), 3599, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN});
	EXPECT(channel_that(true), 3600, NOTIFY_REPEAT, (MARK_STILL), {FIRES, KNOWN});
}

static void
repeats_get_rarer(void **state)
{
	static const int64_t rarer[] = {60, 120, 600};
	struct notify_channel channel = channel_that(true);

	channel.repeat_us = rarer;
	channel.n_repeat = 3;
	for (int i = 0; i < 5; i++) {
		int64_t due = rarer[i < 3 ? i : 2];

		channel.repeats = i;
		EXPECT(channel, due - 1, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN});
		EXPECT(channel, due, NOTIFY_REPEAT, (MARK_STILL), {FIRES, KNOWN});
	}
	channel.n_repeat = 0;
	EXPECT(channel, 1000000, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN});
}

static void
suppressed_trouble_is_not_told(void **state)
{
	EXPECT(channel_that(false), 60, NOTIFY_NOT, (MARK_NONE), {FIRES, .suppressed = true});
	EXPECT(channel_that(true), 99999, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN, .suppressed = true});
	/* Left out of what is told for other reasons; it is not over, so neither is all. */
	EXPECT(channel_that(true), 60, NOTIFY_SOME_RESOLVED, (MARK_NONE, MARK_RESOLVED),
		   {FIRES, KNOWN, .suppressed = true}, {KNOWN});
}

static void
C3_the_end_is_told_while_suppressed(void **state)
{
	EXPECT(channel_that(true), 60, NOTIFY_ALL_RESOLVED, (MARK_RESOLVED), {KNOWN, .suppressed = true});
	EXPECT(channel_that(true), 60, NOTIFY_ALL_RESOLVED, (MARK_RESOLVED),
		   {KNOWN, .suppressed = true, .keeps_quiet = true});
}

static void
C4_suppression_ends(void **state)
{
	EXPECT(channel_that(true), 60, NOTIFY_UNSUPPRESSED, (MARK_STILL), {FIRES, KNOWN, .was_suppressed = true});
	/* It began while it was suppressed. */
	EXPECT(channel_that(false), 60, NOTIFY_UNSUPPRESSED, (MARK_NEW), {FIRES, .was_suppressed = true});
	EXPECT(channel_that(true), 60, NOTIFY_NEW_ALERTS, (MARK_STILL, MARK_NEW),
		   {FIRES, KNOWN, .was_suppressed = true}, {FIRES});
	EXPECT(channel_that(true), 60, NOTIFY_UNSUPPRESSED, (MARK_STILL, MARK_RESOLVED),
		   {FIRES, KNOWN, .was_suppressed = true}, {KNOWN});
	/* What goes on being suppressed, and what was over meanwhile and never told, is nothing. */
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE),
		   {FIRES, KNOWN, .was_suppressed = true, .suppressed = true});
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE), {.was_suppressed = true});
}

static void
C23_acknowledged_alerts_keep_quiet(void **state)
{
	/* The note to those who were told, once; then no repeats. */
	EXPECT(channel_that(true), 60, NOTIFY_ACKNOWLEDGED, (MARK_STILL),
		   {FIRES, KNOWN, .keeps_quiet = true, .news = NEWS_ACKNOWLEDGED});
	EXPECT(channel_that(true), 99999, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN, .keeps_quiet = true});
	/* It is in what is told for other reasons, but not for those who were not told of it. */
	EXPECT(channel_that(true), 60, NOTIFY_NEW_ALERTS, (MARK_STILL, MARK_NEW),
		   {FIRES, KNOWN, .keeps_quiet = true}, {FIRES});
	EXPECT(channel_that(false), 60, NOTIFY_FIRST, (MARK_NONE, MARK_NEW), {FIRES, .keeps_quiet = true},
		   {FIRES});
	EXPECT(channel_that(false), 60, NOTIFY_NOT, (MARK_NONE), {FIRES, .keeps_quiet = true});
	/* Back from a silence: nothing new to those who look after it. */
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE),
		   {FIRES, KNOWN, .keeps_quiet = true, .was_suppressed = true});
	EXPECT(channel_that(true), 60, NOTIFY_ALL_RESOLVED, (MARK_RESOLVED), {KNOWN, .keeps_quiet = true});
	EXPECT(channel_that(true), 60, NOTIFY_ACK_EXPIRED, (MARK_STILL),
		   {FIRES, KNOWN, .news = NEWS_ACK_EXPIRED});
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE),
		   {FIRES, KNOWN, .news = NEWS_ACK_EXPIRED, .suppressed = true});
}

static void
C25_flapping_is_told_once_and_its_end(void **state)
{
	struct notify_channel deaf = channel_that(true);

	deaf.send_resolved = false;
	EXPECT(channel_that(true), 60, NOTIFY_FLAPPING, (MARK_STILL),
		   {FIRES, KNOWN, .keeps_quiet = true, .news = NEWS_FLAPPING});
	EXPECT(channel_that(false), 60, NOTIFY_FLAPPING, (MARK_NEW),
		   {FIRES, .keeps_quiet = true, .news = NEWS_FLAPPING});
	EXPECT(channel_that(false), 60, NOTIFY_NOT, (MARK_NONE),
		   {FIRES, .keeps_quiet = true, .news = NEWS_FLAPPING, .suppressed = true});
	EXPECT(channel_that(true), 99999, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN, .keeps_quiet = true});
	/* The final state is that it fires, or that it is over. */
	EXPECT(channel_that(true), 60, NOTIFY_STEADY, (MARK_STILL), {FIRES, KNOWN, .news = NEWS_STEADY});
	EXPECT(channel_that(true), 60, NOTIFY_STEADY, (MARK_RESOLVED), {KNOWN, .news = NEWS_STEADY});
	EXPECT(deaf, 60, NOTIFY_NOT, (MARK_NONE), {KNOWN, .news = NEWS_STEADY});
	EXPECT(deaf, 60, NOTIFY_STEADY, (MARK_STILL, MARK_NONE), {FIRES, KNOWN, .news = NEWS_STEADY}, {KNOWN});
}

static void
faster_than_flushes_is_nothing(void **state)
{
	/* Over and firing again between two flushes. */
	EXPECT(channel_that(true), 60, NOTIFY_NOT, (MARK_NONE), {FIRES, KNOWN});
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_known_and_something_fires),
		cmocka_unit_test(C2_nothing_known_and_all_is_over),
		cmocka_unit_test(all_was_over_and_it_fires_again),
		cmocka_unit_test(C14_new_alerts_beside_known_ones),
		cmocka_unit_test(all_that_was_known_is_over),
		cmocka_unit_test(nothing_fires_and_nothing_is_known),
		cmocka_unit_test(some_of_what_was_known_is_over),
		cmocka_unit_test(ends_are_not_wanted),
		cmocka_unit_test(C5_repeat_when_the_interval_has_passed),
		cmocka_unit_test(repeats_get_rarer),
		cmocka_unit_test(suppressed_trouble_is_not_told),
		cmocka_unit_test(C3_the_end_is_told_while_suppressed),
		cmocka_unit_test(C4_suppression_ends),
		cmocka_unit_test(C23_acknowledged_alerts_keep_quiet),
		cmocka_unit_test(C25_flapping_is_told_once_and_its_end),
		cmocka_unit_test(faster_than_flushes_is_nothing),
	};

	return TESTS(tests);
}
