/* test_adaptive.c: adaptive.h in virtual time: what makes it fast, how it slows down, what holds it back. */
#include "unit.h"

#include "core/adaptive.h"

static const struct adaptive_hints nothing = {0};

/* A machine that has nothing to tell. */
static struct row
quiet_row(int64_t interval_ms)
{
	struct row row;

	row_clear(&row);
	row.value[M_CPU_PERCENT] = 5;
	row.value[M_CPU_STEAL_PERCENT] = 0;
	row.value[M_MEMORY_PERCENT] = 95; /* full memory is nothing new by itself */
	row.value[M_DISK_BUSY_PERCENT] = 1;
	row.value[M_NET_RX_BPS] = 1000;
	row.value[M_INTERVAL_MS] = (double) interval_ms;
	return row;
}

/* Samples of a quiet machine for that long, as often as asked for; returns the interval at the end. */
static int64_t
be_quiet(struct adaptive *a, int64_t *now_ms, int64_t for_ms)
{
	int64_t end = *now_ms + for_ms, interval = adaptive_interval_ms(a, false, *now_ms);

	while (*now_ms + interval <= end) {
		struct row row = quiet_row(interval);
		*now_ms += interval;
		interval = adaptive_sample(a, &row, &nothing, *now_ms);
	}
	*now_ms = end;
	return interval;
}

static void
it_slows_down_step_by_step(void **state)
{
	struct adaptive a;
	int64_t now = 1000000;

	adaptive_init(&a, now);
	assert_int_equal(be_quiet(&a, &now, 295000), 5000);
	assert_int_equal(be_quiet(&a, &now, 10000), 10000);
	assert_int_equal(be_quiet(&a, &now, 280000), 10000);
	assert_int_equal(be_quiet(&a, &now, 30000), 15000);
	assert_int_equal(be_quiet(&a, &now, 330000), 30000);
	assert_int_equal(be_quiet(&a, &now, 36000000), 30000);
	assert_null(a.reason);
}

/* Each of these makes a slow one fast at once, for five minutes before the first step back. */
static void
it_speeds_up_at_once(void **state)
{
	static const struct {
		enum metric metric;
		double value;
	} cases[] = {
		{M_CPU_PERCENT, 81}, {M_CPU_STEAL_PERCENT, 76}, {M_PSI_CPU, 11},         {M_PSI_MEMORY, 10.5},
		{M_PSI_IO, 90},      {M_DISK_BUSY_PERCENT, 81}, {M_NET_RX_BPS, 1000000}, {M_MEMORY_PERCENT, 70},
		{M_CPU_PERCENT, 40}, {M_DISK_BUSY_PERCENT, 40},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct adaptive a;
		int64_t now = 1000000;
		adaptive_init(&a, now);
		assert_int_equal(be_quiet(&a, &now, 3600000), 30000);
		struct row row = quiet_row(30000);
		row.value[cases[i].metric] = cases[i].value;
		now += 30000;
		assert_int_equal(adaptive_sample(&a, &row, &nothing, now), 5000);
		assert_non_null(a.reason);
		assert_int_equal(be_quiet(&a, &now, 290000), 5000);
		assert_int_equal(be_quiet(&a, &now, 20000), 10000);
	}
}

static void
hints_speed_it_up(void **state)
{
	struct adaptive_hints boost = {.boost = true}, failed = {.check_failed = true};
	struct adaptive a;
	struct row row = quiet_row(30000);
	int64_t now = 1000000;

	adaptive_init(&a, now);
	be_quiet(&a, &now, 3600000);
	assert_int_equal(adaptive_sample(&a, &row, &boost, now), 5000);
	be_quiet(&a, &now, 3600000);
	assert_int_equal(adaptive_sample(&a, &row, &failed, now), 5000);
	assert_string_equal(a.reason, "a check failed");
	be_quiet(&a, &now, 3600000);
	assert_int_equal(adaptive_interval_ms(&a, false, now), 30000);
	adaptive_hurry(&a, "x", now);
	assert_int_equal(adaptive_interval_ms(&a, false, now), 5000);
}

/* Small moves, moves that the hour has seen before, and a machine without a history are no jumps. */
static void
ordinary_moves_are_none(void **state)
{
	struct adaptive a;
	struct row row = quiet_row(30000);
	int64_t now = 1000000;

	adaptive_init(&a, now);
	be_quiet(&a, &now, 3600000);
	row.value[M_NET_RX_BPS] = 200000;
	row.value[M_CPU_PERCENT] = 14;
	assert_int_equal(adaptive_sample(&a, &row, &nothing, now += 30000), 30000);
	/* An hour of swings between 10 and 60 %: another swing is ordinary. */
	for (int i = 0; i < 240; i++) {
		row.value[M_CPU_PERCENT] = i % 2 ? 10 : 60;
		adaptive_sample(&a, &row, &nothing, now += 30000);
	}
	assert_int_equal(adaptive_interval_ms(&a, false, now), 30000);
	adaptive_init(&a, now);
	a.step = 3;
	for (int i = 0; i < 5; i++) {
		row.value[M_CPU_PERCENT] = i % 2 ? 70 : 5;
		adaptive_sample(&a, &row, &nothing, now += 30000);
	}
	assert_int_not_equal(adaptive_interval_ms(&a, false, now), 5000);
}

static void
what_is_not_known_is_no_reason(void **state)
{
	struct adaptive a;
	struct row row;
	int64_t now = 1000000;

	adaptive_init(&a, now);
	be_quiet(&a, &now, 3600000);
	row_clear(&row);
	assert_int_equal(adaptive_sample(&a, &row, &nothing, now += 30000), 30000);
	row = quiet_row(30000);
	assert_int_equal(adaptive_sample(&a, &row, &nothing, now += 30000), 30000);
}

static void
cost_holds_it_back(void **state)
{
	struct adaptive_hints dear = {.boost = true, .cpu_us = 10001},
						  full = {.boost = true, .spool_filling = true}, boost = {.boost = true};
	struct adaptive a;
	struct row row = quiet_row(5000);
	int64_t now = 1000000;

	adaptive_init(&a, now);
	assert_int_equal(adaptive_sample(&a, &row, &boost, now), 5000);
	assert_int_equal(adaptive_sample(&a, &row, &dear, now), 15000);
	assert_int_equal(adaptive_sample(&a, &row, &boost, now + 45000), 15000);
	assert_int_equal(adaptive_sample(&a, &row, &boost, now + 61000), 5000);
	assert_int_equal(adaptive_sample(&a, &row, &full, now + 66000), 15000);
	assert_int_equal(adaptive_sample(&a, &row, &boost, now + 81000), 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_slows_down_step_by_step),
		cmocka_unit_test(it_speeds_up_at_once),
		cmocka_unit_test(hints_speed_it_up),
		cmocka_unit_test(ordinary_moves_are_none),
		cmocka_unit_test(what_is_not_known_is_no_reason),
		cmocka_unit_test(cost_holds_it_back),
	};

	return TESTS(tests);
}
