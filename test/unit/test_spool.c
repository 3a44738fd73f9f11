/* test_spool.c: spool.h: groups and numbers, recovery after any crash, damage, positions. Eviction: test_spool_evict.c. */
#include "spool_unit.h"

static void
reopen(void)
{
	reopen_with(64 * MB);
}

static void
what_goes_in_comes_out(void **state)
{
	struct got g;

	assert_true(spool_is_new(spool));
	assert_true(add_lines(1, 3, RANK_LOW, "one"));
	assert_true(add_lines(4, 2, RANK_LOW, "two"));
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 5);
	assert_int_equal(g.positions, 2);
	assert_int_equal(g.groups, 2);
	assert_int_equal(g.last - g.first, 6);
	assert_int_equal(g.first, spool_acked(spool) + 1);
	assert_int_equal(g.last, spool_last(spool));
	/* Microseconds since 1970. */
	assert_true(llabs(g.first - clock_us(CLOCK_REALTIME)) < 60 * 1000000);
	/* From the middle, and stopped in the middle. */
	g = (struct got){.in_order = true, .stop_after = 2};
	spool_read(spool, spool_acked(spool) + 1, take, &g);
	assert_int_equal(g.first, spool_acked(spool) + 2);
	assert_int_equal(g.last, g.first + 1);
	assert_true(g.open_group);
}

static void
over_a_restart(void **state)
{
	add_lines(1, 3, RANK_LOW, "one");
	int64_t last = spool_last(spool);
	reopen();
	assert_false(spool_is_new(spool));
	assert_int_equal(spool_last(spool), last);
	add_lines(4, 2, RANK_LOW, "two");
	kill_spool();
	reopen();
	struct got g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 5);
	assert_int_equal(g.newest, 5);
	assert_string_equal(spool_position(spool, "/var/log/a"), "6");
	/* What is delivered, the database says. */
	spool_ack(spool, last);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 2);
	assert_int_equal(g.oldest, 4);
}

static void
delivered_goes(void **state)
{
	char message[2000];
	struct spool_state st;

	memset(message, 'x', sizeof message - 1);
	message[sizeof message - 1] = '\0';
	for (int i = 0; i < 2000; i++)
		add_lines(1 + i, 1, RANK_LOW, message);
	assert_true(each_file(".seg", NULL) >= 4);
	spool_state(spool, &st);
	assert_int_equal(st.records, 4000);
	assert_int_equal(st.oldest_us, 1);
	struct got g = {.in_order = true, .stop_after = 2000};
	spool_read(spool, spool_acked(spool), take, &g);
	spool_ack(spool, g.last);
	spool_state(spool, &st);
	assert_int_equal(st.records, 2000);
	assert_int_equal(st.oldest_us, 1001);
	g = read_all(spool_acked(spool));
	assert_int_equal(g.oldest, 1001);
	spool_ack(spool, g.last);
	assert_int_equal(each_file(".seg", NULL), 1);
	assert_true(spool->disk_bytes < BIG_BYTES);
	spool_state(spool, &st);
	assert_int_equal(st.records, 0);
	/* Nothing is left but the next number and the position. */
	int64_t last = spool_last(spool);
	kill_spool();
	reopen();
	assert_true(spool_last(spool) >= last);
	assert_string_equal(spool_position(spool, "/var/log/a"), "2001");
	add_lines(5000, 1, RANK_LOW, "more");
	g = read_all(spool_acked(spool));
	assert_int_equal(g.lines, 1);
	assert_true(g.first > last);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_goes_in_comes_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(over_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(delivered_goes, set_up, tear_down),
	};
	return TESTS(tests);
}
