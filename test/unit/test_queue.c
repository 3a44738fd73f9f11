/* test_queue.c: queue.h: order, bounds, what is lost and counted. */
#include "unit.h"

#include "core/queue.h"

static struct row slots[5];
static struct row_queue q;

static int
reset(void **state)
{
	queue_init(&q, slots, 5);
	return 0;
}

static void
push(int64_t from, int64_t to)
{
	struct row row;

	row_clear(&row);
	for (; from <= to; from++) {
		row.timestamp_us = from;
		queue_push(&q, &row);
	}
}

static void
expect(int64_t from, int64_t to)
{
	struct row row;

	for (; from <= to; from++) {
		assert_int_equal(queue_take_oldest(&q, &row, 1), 1);
		assert_int_equal(row.timestamp_us, from);
	}
}

static void
oldest_first_newest_at_hand(void **state)
{
	struct row row, rows[3];

	push(1, 4);
	assert_int_equal(queue_take_newest(&q, &row), 1);
	assert_int_equal(row.timestamp_us, 4);
	assert_int_equal(queue_take_oldest(&q, rows, 3), 3);
	assert_int_equal(rows[2].timestamp_us, 3);
	assert_int_equal(queue_take_oldest(&q, rows, 3), 0);
	assert_int_equal(queue_take_newest(&q, &row), 0);
}

static void
full_loses_the_oldest_and_counts(void **state)
{
	push(1, 8);
	assert_int_equal(q.dropped, 3);
	assert_int_equal(q.count, 5);
	expect(4, 8);
}

static void
given_back_rows_keep_their_place(void **state)
{
	struct row rows[5];

	push(1, 5);
	assert_int_equal(queue_take_oldest(&q, rows, 3), 3);
	queue_give_back(&q, rows, 3);
	assert_int_equal(q.dropped, 0);
	expect(1, 5);
}

static void
given_back_without_room_the_oldest_are_lost(void **state)
{
	struct row rows[5];

	push(1, 5);
	assert_int_equal(queue_take_oldest(&q, rows, 3), 3);
	push(6, 7);
	queue_give_back(&q, rows, 3); /* 4 to 7 are in: room for 3 alone */
	assert_int_equal(q.dropped, 2);
	expect(3, 7);
}

static void
the_newest_given_back_is_the_newest_again(void **state)
{
	struct row row;

	push(1, 3);
	queue_take_newest(&q, &row);
	queue_give_back(&q, &row, 1);
	expect(1, 3);

	push(1, 3);
	queue_take_newest(&q, &row);
	push(4, 4); /* came meanwhile */
	queue_give_back(&q, &row, 1);
	expect(1, 4);

	push(1, 5);
	queue_take_newest(&q, &row);
	push(6, 6);
	queue_give_back(&q, &row, 1); /* 5 has more right to be kept than 1 */
	assert_int_equal(q.dropped, 1);
	expect(2, 6);
}

static void
many_laps(void **state)
{
	push(1, 2);
	for (int64_t i = 1; i < 100; i++) {
		push(i + 2, i + 2);
		expect(i, i);
	}
	assert_int_equal(q.dropped, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(oldest_first_newest_at_hand, reset),
		cmocka_unit_test_setup(full_loses_the_oldest_and_counts, reset),
		cmocka_unit_test_setup(given_back_rows_keep_their_place, reset),
		cmocka_unit_test_setup(given_back_without_room_the_oldest_are_lost, reset),
		cmocka_unit_test_setup(the_newest_given_back_is_the_newest_again, reset),
		cmocka_unit_test_setup(many_laps, reset),
	};
	return TESTS(tests);
}
