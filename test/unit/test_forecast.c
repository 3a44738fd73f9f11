#include "unit.h"

#include "core/forecast.h"

#define N 72

static double scratch[FORECAST_SCRATCH];
static struct forecast_point points[2 * FORECAST_MAX_POINTS];

/* Levels every five minutes. */
static void
line(int from, int to, double level, double per_point)
{
	for (int i = from; i < to; i++)
		points[i] = (struct forecast_point){300.0 * i, level + per_point * (i - from)};
}

/* Deterministic, between -1 and 1. */
static double
noise(int i)
{
	return ((i * 7919) % 201 - 100) / 100.0;
}

static void
a_line_is_found(void **state)
{
	line(0, N, 60, 0.5);
	struct forecast f = forecast_fit(points, N, 0.5, scratch);

	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_near(f.slope, 0.5 / 300);
	assert_near(f.level, 60 + 0.5 * (N - 1));
	assert_near(f.r2, 1);
	assert_int_equal(f.first, 0);
	/* 95.5 at the last point: 9 more points of 300 s each */
	assert_near(forecast_seconds_until(&f, 100), 9 * 300);
	assert_near(forecast_seconds_until(&f, 90), 0);
}

static void
what_stays_or_shrinks_never_fills(void **state)
{
	line(0, N, 70, 0);
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_DOES_NOT_GROW);
	assert_near(f.slope, 0);
	assert_near(f.level, 70);
	assert_unknown(f.r2);
	assert_unknown(forecast_seconds_until(&f, 100));

	line(0, N, 70, -0.1);
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_DOES_NOT_GROW);
	assert_near(f.slope, -0.1 / 300);
	line(0, N, 99, -1);
	f = forecast_fit(points, N, 0.5, scratch);
	assert_near(f.slope, -1.0 / 300);
	assert_int_equal(f.drops, 0);
	assert_unknown(forecast_seconds_until(&f, 100));
}

static void
noise_is_no_growth(void **state)
{
	for (int i = 0; i < N; i++)
		points[i] = (struct forecast_point){300.0 * i, 70 + noise(i) + 0.0005 * i};
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_DOES_NOT_GROW);
	assert_int_equal(f.drops, 0);

	/* Growth that stands out of the same noise. */
	for (int i = 0; i < N; i++)
		points[i].level = 70 + noise(i) + 0.2 * i;
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_true(fabs(f.slope * 300 - 0.2) < 0.02);
	assert_true(f.r2 > 0.9 && f.r2 < 1);
}

static void
outliers_do_not_move_it(void **state)
{
	line(0, N, 60, 0.1);
	for (int i = 3; i < N; i += 6)
		points[i].level += 30; /* a temporary file comes and goes, twelve times */
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_int_equal(f.drops, 0);
	assert_true(fabs(f.slope * 300 - 0.1) < 0.02);
	assert_true(fabs(f.level - 67.1) < 0.2);

	/* One that has just gone again. */
	line(0, N, 60, 0.1);
	points[N - 4].level = points[N - 3].level = 90;
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 0);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_near(f.slope, 0.1 / 300);
}

static void
a_drop_begins_it_anew(void **state)
{
	/* Filled fast, was cleaned up, fills slowly. */
	line(0, 40, 50, 1);
	line(40, N, 60, 0.1);
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 1);
	assert_int_equal(f.first, 40);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_near(f.slope, 0.1 / 300);
	assert_near(f.r2, 1);

	/* A small fall is not somebody cleaning up. */
	line(40, N, 86.6, 1);
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 0);
	assert_int_equal(f.first, 0);

	/* Twice: the later one counts. */
	line(0, 30, 70, 0.1);
	line(30, 60, 65, 0.1);
	line(60, N, 40, 0.2);
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 2);
	assert_int_equal(f.first, 60);
	assert_near(f.slope, 0.2 / 300);

	/* One low point may be anything; two are a level. */
	line(0, N - 1, 70, 0.1);
	points[N - 1] = (struct forecast_point){300.0 * (N - 1), 40};
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 0);
	assert_near(f.slope, 0.1 / 300);
	points[N - 2].level = 40;
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 1);
	assert_int_equal(f.first, N - 2);

	/* Just now: nothing can be said yet. */
	line(0, N - 3, 70, 0.1);
	line(N - 3, N, 40, 0.1);
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_TOO_LITTLE);
	assert_int_equal(f.first, N - 3);
	assert_unknown(f.slope);
	assert_unknown(forecast_seconds_until(&f, 100));
}

static void
regular_clean_up_is_part_of_it(void **state)
{
	/* Logs that are rotated once an hour: every rise looks as if the disk were full soon. */
	for (int i = 0; i < N; i++)
		points[i] = (struct forecast_point){300.0 * i, 70 + i % 12};
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.drops, 5);
	assert_int_equal(f.first, 0);
	assert_int_equal(f.verdict, FORECAST_DOES_NOT_GROW);

	/* The same on a disk that fills underneath. */
	for (int i = 0; i < N; i++)
		points[i].level = 40 + i % 12 + 0.5 * i;
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_true(fabs(f.slope * 300 - 0.5) < 0.1);
}

static void
too_little_is_said_so(void **state)
{
	line(0, 2, 60, 1);
	assert_int_equal(forecast_fit(points, 0, 0.5, scratch).verdict, FORECAST_TOO_LITTLE);
	assert_int_equal(forecast_fit(points, 1, 0.5, scratch).verdict, FORECAST_TOO_LITTLE);
	assert_int_equal(forecast_fit(points, 2, 0.5, scratch).verdict, FORECAST_TOO_LITTLE);
	line(0, FORECAST_MIN_POINTS, 60, 1);
	assert_int_equal(forecast_fit(points, FORECAST_MIN_POINTS - 1, 0.5, scratch).verdict,
					 FORECAST_TOO_LITTLE);
	assert_int_equal(forecast_fit(points, FORECAST_MIN_POINTS, 0.5, scratch).verdict, FORECAST_GROWS);
	/* All at once is no line either. */
	for (int i = 0; i < 10; i++)
		points[i] = (struct forecast_point){300, 60 + i};
	assert_int_equal(forecast_fit(points, 10, 0.5, scratch).verdict, FORECAST_TOO_LITTLE);
}

static void
what_is_no_number_is_passed_over(void **state)
{
	line(0, N, 60, 0.5);
	points[0].level = NAN;
	points[10].level = INFINITY;
	points[11].at = NAN;
	points[30].level = -INFINITY;
	points[N - 1].level = NAN;
	struct forecast f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_GROWS);
	assert_int_equal(f.first, 1);
	assert_near(f.slope, 0.5 / 300);
	assert_near(f.level, 60 + 0.5 * (N - 2));
	for (int i = 0; i < N; i++)
		points[i].level = NAN;
	f = forecast_fit(points, N, 0.5, scratch);
	assert_int_equal(f.verdict, FORECAST_TOO_LITTLE);
	assert_unknown(forecast_seconds_until(&f, 100));
}

static void
the_newest_count(void **state)
{
	line(0, FORECAST_MAX_POINTS, 10, 0);
	line(FORECAST_MAX_POINTS, 2 * FORECAST_MAX_POINTS, 10, 0.1);
	struct forecast f = forecast_fit(points, 2 * FORECAST_MAX_POINTS, 0.5, scratch);
	assert_int_equal(f.first, FORECAST_MAX_POINTS);
	assert_near(f.slope, 0.1 / 300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_found),       cmocka_unit_test(what_stays_or_shrinks_never_fills),
		cmocka_unit_test(noise_is_no_growth),    cmocka_unit_test(outliers_do_not_move_it),
		cmocka_unit_test(a_drop_begins_it_anew), cmocka_unit_test(regular_clean_up_is_part_of_it),
		cmocka_unit_test(too_little_is_said_so), cmocka_unit_test(what_is_no_number_is_passed_over),
		cmocka_unit_test(the_newest_count),
	};

	return TESTS(tests);
}
