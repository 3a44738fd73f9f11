#include "unit.h"

#include "core/alert_state.h"

#define S INT64_C(1000000)

static struct alert_policy policy;
static struct alert_instance alert;
static int64_t interval;
static char trace[4096];

/* A new instance of a rule; times in seconds. */
static void
rule(int64_t for_s, int64_t keep_s, int64_t interval_s)
{
	interval = interval_s * S;
	policy = (struct alert_policy){.for_us = for_s * S,
								   .keep_us = keep_s * S,
								   .missing_us = 2 * interval,
								   .no_data = ABSENCE_KEEP,
								   .on_missing = ABSENCE_RESOLVE,
								   .flap_detection = true};
	alert = (struct alert_instance){.status = ALERT_INACTIVE,
									.active_at = ALERT_NEVER,
									.fired_at = ALERT_NEVER,
									.keep_since = ALERT_NEVER,
									.missing_since = ALERT_NEVER,
									.ended_at = ALERT_NEVER,
									.flap_at = ALERT_NEVER};
	trace[0] = '\0';
}

/* One evaluation `s` seconds after midnight; what happened goes to the trace as "h:mm:ss event/reason ". */
static struct alert_change
at(int64_t s, enum alert_signal signal)
{
	struct alert_instance before = alert;
	struct alert_change change = alert_step(&policy, &alert, signal, s * S, interval);

	for (int i = 0; i < change.n; i++) {
		const char *reason = i == change.n - 1 ? change.reason : NULL;
		size_t used = strlen(trace);

		snprintf(trace + used, sizeof(trace) - used, "%s%d:%02d:%02d %s%s%s", used ? " " : "",
				 (int) (s / 3600), (int) (s / 60 % 60), (int) (s % 60), alert_event_names[change.events[i]],
				 reason ? "/" : "", reason ? reason : "");
	}
	if (change.n > 0)
		assert_int_equal(change.after[change.n - 1], alert.status);
	/* Nothing is written unless something is said to have changed. */
	if (!change.touched)
		assert_memory_equal(&before, &alert, sizeof(alert));
	return change;
}

static int64_t
clock_s(int h, int m, int s)
{
	return h * 3600 + m * 60 + s;
}

/* Interval 15 s, for 60 s, keep 120 s; true from 10:00:07 to 10:04:50 and from 10:06:20 to 10:06:40. */
static void
timeline_A(void **state)
{
	rule(60, 120, 15);
	for (int64_t t = clock_s(10, 0, 0); t <= clock_s(10, 10, 0); t += 15) {
		bool is_true = (t >= clock_s(10, 0, 7) && t < clock_s(10, 4, 50)) ||
					   (t >= clock_s(10, 6, 20) && t < clock_s(10, 6, 40));

		at(t, is_true ? SIGNAL_BREACH : SIGNAL_CLEAR);
	}
	assert_string_equal(trace, "10:00:15 pending 10:01:15 firing 10:05:00 recovering 10:06:30 refiring "
							   "10:06:45 recovering 10:08:45 resolved/cleared");
	assert_int_equal(alert.active_at, clock_s(10, 0, 15) * S);
	assert_int_equal(alert.fired_at, clock_s(10, 1, 15) * S);
	assert_int_equal(alert.ended_at, clock_s(10, 8, 45) * S);
}

/* The boundary of for is inclusive, that of keep exclusive. */
static void
C6_boundaries(void **state)
{
	rule(60, 120, 1);
	at(0, SIGNAL_BREACH);
	at(59, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_PENDING);
	at(60, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_FIRING);
	at(100, SIGNAL_CLEAR);
	at(219, SIGNAL_CLEAR);
	assert_int_equal(alert.status, ALERT_RECOVERING);
	at(220, SIGNAL_CLEAR);
	assert_int_equal(alert.status, ALERT_RESOLVED);
	/* for between two evaluations needs the next one */
	rule(5, 0, 15);
	at(0, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_PENDING);
	at(15, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:00:15 firing");
}

static void
without_for_it_fires_at_once(void **state)
{
	rule(0, 0, 15);
	at(0, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing");
	assert_false(at(15, SIGNAL_BREACH).touched);
	at(30, SIGNAL_CLEAR);
	assert_false(at(45, SIGNAL_CLEAR).touched);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing 0:00:30 resolved/cleared");
}

static void
pending_that_clears_starts_from_zero(void **state)
{
	rule(60, 120, 15);
	at(0, SIGNAL_BREACH);
	at(45, SIGNAL_BREACH);
	at(60, SIGNAL_CLEAR); /* keep never rescues what is pending */
	assert_int_equal(alert.status, ALERT_INACTIVE);
	at(75, SIGNAL_BREACH);
	at(120, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_PENDING);
	at(135, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:01:00 inactive/cleared 0:01:15 pending 0:02:15 firing");
}

/* fire > 90, clear < 85: 91, 89, 91, 86, 84 */
static void
hysteresis(void **state)
{
	static const enum alert_signal signals[] = {SIGNAL_BREACH, SIGNAL_HOLD, SIGNAL_BREACH, SIGNAL_HOLD,
												SIGNAL_CLEAR};

	rule(0, 0, 15);
	for (int i = 0; i < 5; i++)
		at(15 * i, signals[i]);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing 0:01:00 resolved/cleared");
	/* Between the thresholds nothing begins, and what is pending is not true. */
	rule(60, 0, 15);
	at(0, SIGNAL_HOLD);
	at(15, SIGNAL_BREACH);
	at(30, SIGNAL_HOLD);
	assert_string_equal(trace, "0:00:15 pending 0:00:30 inactive/cleared");
	/* Nor is it clear: recovering goes back to firing. */
	rule(0, 60, 15);
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_CLEAR);
	at(30, SIGNAL_HOLD);
	at(60, SIGNAL_CLEAR);
	at(119, SIGNAL_CLEAR);
	at(120, SIGNAL_CLEAR);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing 0:00:15 recovering 0:00:30 refiring "
							   "0:01:00 recovering 0:02:00 resolved/cleared");
}

/* Raising for above the time that has passed does not take back what fires. */
static void
C27_a_longer_for_keeps_firing(void **state)
{
	rule(60, 0, 15);
	at(0, SIGNAL_BREACH);
	at(60, SIGNAL_BREACH);
	policy.for_us = 600 * S;
	at(75, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_FIRING);
	at(90, SIGNAL_CLEAR);
	at(105, SIGNAL_BREACH);
	at(165, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_PENDING);
}

/* Interval 30 s; disk 95 % firing; the agent dies 12:00:10 and is back at 12:07:00. */
static void
timeline_G(void **state)
{
	for (int back_with_95 = 0; back_with_95 < 2; back_with_95++) {
		rule(0, 0, 30);
		at(clock_s(11, 59, 30), SIGNAL_BREACH);
		trace[0] = '\0';
		at(clock_s(12, 0, 0), SIGNAL_BREACH);
		at(clock_s(12, 0, 30), SIGNAL_BREACH); /* 20 s old: fresh */
		assert_false(alert.stale);
		for (int64_t t = clock_s(12, 1, 0); t < clock_s(12, 7, 0); t += 30) {
			assert_int_equal(at(t, SIGNAL_SILENT).touched, t == clock_s(12, 1, 0));
			assert_true(alert.stale);
			assert_int_equal(alert.status, ALERT_FIRING);
		}
		at(clock_s(12, 7, 0), back_with_95 ? SIGNAL_BREACH : SIGNAL_CLEAR);
		assert_false(alert.stale);
		assert_string_equal(trace, back_with_95 ? "" : "12:07:00 resolved/cleared");
	}
}

/* C8: a source that is silent, kept: its time counts towards nothing. */
static void
C8_silence_is_kept(void **state)
{
	rule(60, 0, 15);
	at(0, SIGNAL_BREACH);
	at(30, SIGNAL_SILENT);
	at(300, SIGNAL_SILENT);
	assert_int_equal(alert.status, ALERT_PENDING);
	at(330, SIGNAL_BREACH);
	assert_int_equal(alert.status, ALERT_PENDING);
	assert_int_equal(alert.active_at, 300 * S);
	at(360, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:05:30 shifted 0:06:00 firing");

	rule(0, 60, 15);
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_CLEAR);
	at(30, SIGNAL_SILENT);
	at(600, SIGNAL_SILENT);
	at(615, SIGNAL_CLEAR);
	assert_int_equal(alert.status, ALERT_RECOVERING);
	at(660, SIGNAL_CLEAR);
	assert_int_equal(alert.status, ALERT_RESOLVED);
}

static void
C8_silence_resolves_or_alerts(void **state)
{
	rule(0, 120, 15);
	policy.no_data = ABSENCE_RESOLVE;
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_SILENT);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing 0:00:15 resolved/no_data");
	rule(60, 0, 15);
	policy.no_data = ABSENCE_RESOLVE;
	at(0, SIGNAL_SILENT);
	at(15, SIGNAL_BREACH);
	at(30, SIGNAL_SILENT);
	assert_string_equal(trace, "0:00:15 pending 0:00:30 inactive/no_data");
	/* alert: it is taken as true, for and all */
	rule(60, 0, 15);
	policy.no_data = ABSENCE_ALERT;
	at(0, SIGNAL_SILENT);
	at(45, SIGNAL_SILENT);
	at(60, SIGNAL_SILENT);
	assert_int_equal(alert.status, ALERT_FIRING);
	assert_true(alert.stale);
	at(75, SIGNAL_CLEAR);
	assert_string_equal(trace, "0:00:00 pending 0:01:00 firing 0:01:15 resolved/cleared");
}

static void
C8_a_missing_series(void **state)
{
	rule(0, 120, 15);
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_MISSING);
	at(44, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_FIRING);
	at(45, SIGNAL_MISSING);
	assert_string_equal(trace, "0:00:00 pending 0:00:00 firing 0:00:45 resolved/no_data");
	/* A sample in between starts the time anew. */
	rule(0, 0, 15);
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_MISSING);
	at(30, SIGNAL_BREACH);
	at(45, SIGNAL_MISSING);
	at(60, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_FIRING);
	/* As does a silence: it says nothing about the series. */
	at(74, SIGNAL_SILENT);
	at(500, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_FIRING);
	assert_int_equal(alert.missing_since, 500 * S);
	at(530, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_RESOLVED);
	/* keep */
	rule(0, 0, 15);
	policy.on_missing = ABSENCE_KEEP;
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_MISSING);
	assert_false(at(86400, SIGNAL_MISSING).touched);
	assert_int_equal(alert.status, ALERT_FIRING);
	/* alert, after missing_for */
	rule(60, 0, 15);
	policy.on_missing = ABSENCE_ALERT;
	at(0, SIGNAL_BREACH);
	at(15, SIGNAL_MISSING);
	at(30, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_PENDING);
	at(60, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_FIRING);
}

/* Interval 10 s, for 60 s: active 0:00, last evaluation 0:30, a gap without rows until 1:10. */
static void
timeline_H(void **state)
{
	rule(60, 0, 10);
	for (int64_t t = 0; t <= 30; t += 10)
		at(t, SIGNAL_BREACH);
	assert_true(alert_shift(&alert, 40 * S));
	assert_int_equal(alert.active_at, 40 * S);
	for (int64_t t = 70; t <= 100; t += 10)
		at(t, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:01:40 firing");
	/* Rows present: the missed evaluations are made up for. */
	rule(60, 0, 10);
	for (int64_t t = 0; t <= 70; t += 10)
		at(t, SIGNAL_BREACH);
	assert_string_equal(trace, "0:00:00 pending 0:01:00 firing");
}

static void
a_gap_counts_towards_nothing(void **state)
{
	rule(0, 60, 10);
	assert_false(alert_shift(&alert, 40 * S));
	at(0, SIGNAL_BREACH);
	assert_false(alert_shift(&alert, 40 * S));
	at(10, SIGNAL_CLEAR);
	assert_false(alert_shift(&alert, 0));
	assert_true(alert_shift(&alert, 40 * S));
	assert_int_equal(alert.keep_since, 50 * S);
	assert_int_equal(alert.fired_at, 0);
	/* a clock that went back */
	assert_true(alert_shift(&alert, -40 * S));
	assert_int_equal(alert.keep_since, 10 * S);
	/* what is missing has not been missing meanwhile */
	at(20, SIGNAL_MISSING);
	assert_true(alert_shift(&alert, 40 * S));
	assert_int_equal(alert.missing_since, 60 * S);
	at(69, SIGNAL_MISSING);
	assert_int_equal(alert.status, ALERT_RECOVERING);
}

static void
reopened(void **state)
{
	rule(30, 0, 15);
	at(0, SIGNAL_BREACH);
	at(30, SIGNAL_BREACH);
	at(45, SIGNAL_CLEAR);
	trace[0] = '\0';
	/* The caller hands the instance back as it ended, when its rule says that it goes on. */
	at(60, SIGNAL_BREACH);
	assert_int_equal(alert.ended_at, 45 * S);
	at(90, SIGNAL_BREACH);
	assert_string_equal(trace, "0:01:00 pending 0:01:30 reopened");
	assert_int_equal(alert.ended_at, ALERT_NEVER);
}

/* From calm, alternating: flapping at the 6th change; then stable: over at the 15th evaluation. */
static void
C25_flapping(void **state)
{
	int64_t t = 0;

	rule(0, 3600, 15);
	for (int i = 0; i < 6; i++, t += 15) {
		assert_false(alert.flapping);
		at(t, i % 2 == 0 ? SIGNAL_BREACH : SIGNAL_CLEAR);
	}
	assert_true(alert.flapping);
	assert_non_null(strstr(trace, "0:01:15 recovering 0:01:15 flapping"));
	trace[0] = '\0';
	for (int i = 1; i <= 15; i++, t += 15)
		assert_int_equal(at(t, SIGNAL_CLEAR).touched, i == 15);
	assert_string_equal(trace, "0:05:00 steady");
	/* The same for alerts that end and are reopened. */
	rule(0, 0, 15);
	for (int i = 0; i < 6; i++)
		at(15 * i, i % 2 == 0 ? SIGNAL_BREACH : SIGNAL_CLEAR);
	assert_int_equal(alert.status, ALERT_RESOLVED);
	assert_true(alert.flapping);
	for (int i = 6; i <= 20; i++)
		at(15 * i, SIGNAL_CLEAR);
	assert_false(alert.flapping);
	assert_int_equal(alert.status, ALERT_RESOLVED);
}

static void
C25_evaluations_that_pass_unseen_are_calm(void **state)
{
	rule(0, 3600, 15);
	for (int i = 0; i < 12; i++) /* a change every fourth evaluation: never more than 5 in twenty */
		at(60 * i, i % 2 == 0 ? SIGNAL_BREACH : SIGNAL_CLEAR);
	assert_false(alert.flapping);
	rule(0, 3600, 15);
	policy.flap_detection = false;
	for (int i = 0; i < 12; i++)
		at(15 * i, i % 2 == 0 ? SIGNAL_BREACH : SIGNAL_CLEAR);
	assert_false(alert.flapping);
	/* Switched off while it flaps: over at the next evaluation. */
	policy.flap_detection = true;
	at(180, SIGNAL_BREACH);
	assert_true(alert.flapping);
	policy.flap_detection = false;
	trace[0] = '\0';
	at(195, SIGNAL_BREACH);
	assert_string_equal(trace, "0:03:15 steady");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timeline_A),
		cmocka_unit_test(C6_boundaries),
		cmocka_unit_test(without_for_it_fires_at_once),
		cmocka_unit_test(pending_that_clears_starts_from_zero),
		cmocka_unit_test(hysteresis),
		cmocka_unit_test(C27_a_longer_for_keeps_firing),
		cmocka_unit_test(timeline_G),
		cmocka_unit_test(C8_silence_is_kept),
		cmocka_unit_test(C8_silence_resolves_or_alerts),
		cmocka_unit_test(C8_a_missing_series),
		cmocka_unit_test(timeline_H),
		cmocka_unit_test(a_gap_counts_towards_nothing),
		cmocka_unit_test(reopened),
		cmocka_unit_test(C25_flapping),
		cmocka_unit_test(C25_evaluations_that_pass_unseen_are_calm),
	};

	return TESTS(tests);
}
