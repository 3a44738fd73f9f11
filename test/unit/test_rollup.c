/* test_rollup.c: rollup.h: cells, merging, the packed format, hostile bytes. */
#include "unit.h"

#include "core/rollup.h"

#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t seed = 42;

static uint32_t
next_random(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t) (seed >> 33);
}

static struct cell
cell_of(const double *values, size_t n, uint32_t weight, bool counter)
{
	struct cell cell = {0};

	for (size_t i = 0; i < n; i++)
		cell_add(&cell, values[i], weight, counter);
	return cell;
}

static void
same_double(double a, double b)
{
	assert_memory_equal(&a, &b, sizeof a);
}

static void
same_cell(const struct cell *a, const struct cell *b)
{
	assert_int_equal(a->count, b->count);
	if (a->count == 0)
		return;
	same_double(a->min, b->min);
	same_double(a->max, b->max);
	same_double(a->last, b->last);
	same_double(a->sum, b->sum);
	assert_int_equal(a->each, b->each);
	if (a->each == 0) {
		assert_int_equal(a->weight, b->weight);
		same_double(a->weighted, b->weighted);
	}
	assert_int_equal(a->counter, b->counter);
	if (a->counter) {
		same_double(a->first, b->first);
		same_double(a->increase, b->increase);
	}
}

/* Packs and unpacks; returns the length. */
static size_t
round_trip(const struct cell_row *row)
{
	static struct cell_row back;
	unsigned char bytes[CELLS_MAX_BYTES(ROLLUP_MAX_CELLS)];
	size_t length = cells_encode(row, bytes);

	assert_true(length <= CELLS_MAX_BYTES(row->n));
	assert_true(cells_decode(bytes, length, &back));
	assert_int_equal(back.n, row->n);
	assert_int_equal(back.nonfinite, row->nonfinite);
	for (int i = 0; i < row->n; i++)
		same_cell(&back.cells[i], &row->cells[i]);
	for (size_t shorter = 0; shorter < length; shorter++)
		assert_false(cells_decode(bytes, shorter, &back));
	return length;
}

static void
a_cell_says_what_its_samples_were(void **state)
{
	const double values[] = {3, 1, 4, 1, 5};
	struct cell cell = cell_of(values, LEN(values), 10, false);

	assert_int_equal(cell.count, 5);
	same_double(cell.sum, 14);
	same_double(cell.min, 1);
	same_double(cell.max, 5);
	same_double(cell.last, 5);
	assert_near(cell_average(&cell), 2.8);
}

/* 30 s at 10 percent, then 30 s at 90 percent: 50 on average, however often the second half was sampled. */
static void
the_average_is_weighted_by_the_interval(void **state)
{
	struct cell cell = {0};

	cell_add(&cell, 10, 30000, false);
	for (int i = 0; i < 6; i++)
		cell_add(&cell, 90, 5000, false);
	assert_near(cell_average(&cell), 50);
	assert_int_equal(cell.each, 0);
	assert_int_equal(cell.weight, 60000);
	assert_int_equal(cell.count, 7);
}

static void
weights_of_merged_cells_add_up(void **state)
{
	struct cell slow = {0}, fast = {0}, both;

	for (int i = 0; i < 10; i++)
		cell_add(&slow, 10, 30000, false);
	for (int i = 0; i < 60; i++)
		cell_add(&fast, 90, 5000, false);
	both = slow;
	cell_merge(&both, &fast);
	assert_near(cell_average(&both), 50);
	assert_int_equal(both.weight, 600000);
	/* Equal weights stay a single number. */
	both = slow;
	cell_merge(&both, &slow);
	assert_int_equal(both.each, 30000);
	assert_near(cell_average(&both), 10);
}

static void
a_counter_that_falls_started_again(void **state)
{
	const double values[] = {100, 150, 20, 20, 50};
	struct cell cell = cell_of(values, LEN(values), 1, true);

	same_double(cell.first, 100);
	same_double(cell.increase, 50 + 20 + 0 + 30);
	same_double(counter_increase(7, -3), 0);
}

/* However the samples are cut into cells, the whole is the same: what makes an hour exactly composable from five minutes. */
static void
cells_compose(void **state)
{
	for (int round = 0; round < 200; round++) {
		double values[40];
		struct cell whole, parts = {0};
		size_t from = 0;

		/* Multiples of 1/8, so that sums are exact in any grouping. */
		for (size_t i = 0; i < LEN(values); i++)
			values[i] = (next_random() % 4000) / 8.0 - 100;
		whole = cell_of(values, LEN(values), 1, true);
		while (from < LEN(values)) {
			size_t n = next_random() % 6;
			struct cell part;

			if (n > LEN(values) - from)
				n = LEN(values) - from;
			part = cell_of(values + from, n, 1, true);
			cell_merge(&parts, &part);
			from += n;
		}
		same_cell(&whole, &parts);
	}
}

static void
joined_series_do_not_count_each_others_steps(void **state)
{
	const double a[] = {1000, 1010}, b[] = {5, 8};
	struct cell one = cell_of(a, 2, 1, true), other = cell_of(b, 2, 1, true);

	cell_join(&one, &other);
	same_double(one.increase, 13);
	assert_int_equal(one.count, 4);
	same_double(one.last, 8);
	same_double(one.min, 5);
}

static void
an_average_stays_between_min_and_max(void **state)
{
	const double tenths[] = {0.1, 0.1, 0.1}, huge[] = {1.7e308, 1.7e308};
	struct cell cell = cell_of(tenths, 3, 1, false);

	same_double(cell_average(&cell), 0.1);
	cell = cell_of(huge, 2, 1, false);
	same_double(cell_average(&cell), 1.7e308);
}

static double
random_value(int kind)
{
	switch (kind) {
	case 0:
		return 0;
	case 1:
		return (float) ((next_random() % 10000) / 100.0);
	case 2:
		return next_random() % 1000;
	case 3:
		return (next_random() % 2 ? 1 : -1) * ldexp(next_random() / 7.0, (int) (next_random() % 2000) - 1000);
	case 4:
		return next_random() % 2 ? 0.0 : -0.0;
	default:
		return (float) (next_random() / 3.0);
	}
}

static void
what_is_packed_comes_back_bit_for_bit(void **state)
{
	static struct cell_row row;

	for (int round = 0; round < 3000; round++) {
		int samples = (int) (next_random() % 70);

		cell_row_clear(&row, (int) (next_random() % (ROLLUP_MAX_CELLS + 1)));
		row.nonfinite = next_random() % 3 == 0 ? next_random() : 0;
		for (int i = 0; i < row.n; i++) {
			int kind = (int) (next_random() % 6), missing = (int) (next_random() % 4);
			bool counter = next_random() % 3 == 0, mixed = next_random() % 4 == 0;
			double total = 0;

			for (int s = 0; s < samples; s++) {
				double value = random_value(kind);

				if (missing == 0 && next_random() % 3 == 0)
					continue;
				if (counter && kind != 4)
					value = total += fabs(value);
				if (isfinite(value))
					cell_add(&row.cells[i], value, mixed ? 1 + next_random() % 30000 : 30000, counter);
			}
		}
		round_trip(&row);
	}
}

/* The aim: well under 20 bytes for a metric that changes, and next to nothing for one that does not. */
static void
it_is_small(void **state)
{
	static struct cell_row row;
	size_t changing, constant;

	cell_row_clear(&row, 32);
	for (int s = 0; s < 5; s++)
		for (int i = 0; i < row.n; i++)
			cell_add(&row.cells[i], random_value(1), 60000, false);
	changing = round_trip(&row);
	cell_row_clear(&row, 32);
	for (int s = 0; s < 5; s++)
		for (int i = 0; i < row.n; i++)
			cell_add(&row.cells[i], i % 2 ? 0 : 4, 60000, false);
	constant = round_trip(&row);
	print_message("changing: %.1f bytes per metric, constant: %.1f\n", changing / 32.0, constant / 32.0);
	assert_true(changing < 32 * 19);
	assert_true(constant < 32 * 4);
}

static void
nothing_at_all(void **state)
{
	static struct cell_row row;

	cell_row_clear(&row, 0);
	round_trip(&row);
	cell_row_clear(&row, 64);
	row.nonfinite = UINT64_MAX;
	round_trip(&row);
	assert_false(cells_decode((const unsigned char *) "", 0, &row));
}

/* Whatever bytes: no crash (sanitizers watch), and what is taken for good can be packed again. */
static void
hostile_bytes_are_refused_or_harmless(void **state)
{
	static struct cell_row row, good;
	unsigned char bytes[CELLS_MAX_BYTES(ROLLUP_MAX_CELLS)], again[CELLS_MAX_BYTES(ROLLUP_MAX_CELLS)];
	size_t length;

	cell_row_clear(&good, 20);
	for (int s = 0; s < 9; s++)
		for (int i = 0; i < good.n; i++)
			cell_add(&good.cells[i], random_value(i % 6), 1 + (uint32_t) i * (s > 4), i % 3 == 0);
	length = cells_encode(&good, bytes);
	for (int round = 0; round < 20000; round++) {
		unsigned char changed[sizeof bytes];

		memcpy(changed, bytes, length);
		for (uint32_t n = 1 + next_random() % 3; n > 0; n--)
			changed[next_random() % length] = (unsigned char) next_random();
		if (cells_decode(changed, length - (next_random() % 4 == 0), &row))
			assert_true(cells_encode(&row, again) <= CELLS_MAX_BYTES(row.n));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cell_says_what_its_samples_were),
		cmocka_unit_test(the_average_is_weighted_by_the_interval),
		cmocka_unit_test(weights_of_merged_cells_add_up),
		cmocka_unit_test(a_counter_that_falls_started_again),
		cmocka_unit_test(cells_compose),
		cmocka_unit_test(joined_series_do_not_count_each_others_steps),
		cmocka_unit_test(an_average_stays_between_min_and_max),
		cmocka_unit_test(what_is_packed_comes_back_bit_for_bit),
		cmocka_unit_test(it_is_small),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(hostile_bytes_are_refused_or_harmless),
	};
	return TESTS(tests);
}
