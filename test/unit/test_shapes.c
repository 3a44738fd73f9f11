/* test_shapes.c: collector/shapes.h: what a scrape is sent as, and what fits into what. */
#include "unit.h"

#include "collector/shapes.h"

static struct shape_table t;
static uint64_t hash;

static enum shape_use
use(const char *names, const char *labels, const char *values, const char *kinds, const char *expected)
{
	struct strbuf got = STRBUF_INIT;
	struct record r;

	record_init(&r, RECORD_SAMPLES, RANK_METRICS, 1);
	record_set(&r, SAMPLES_NAMES, names);
	record_set(&r, SAMPLES_LABELS, labels);
	record_set(&r, SAMPLES_VALUES, values);
	record_set(&r, SAMPLES_KINDS, kinds);
	enum shape_use how = shapes_use(&t, &r, &hash, &got);
	if (expected)
		assert_string_equal(got.data, expected);
	strbuf_free(&got);
	return how;
}

#define ABC "{\"a\",\"b\",\"c\"}", "{\"{}\",\"{\\\"x\\\":\\\"},\\\\\\\"\\\"}\",\"{}\"}"

static int
forget(void **state)
{
	shapes_forget(&t);
	assert_int_equal(t.size, 0);
	return 0;
}

static void
known_from_the_next_batch_on(void **state)
{
	shapes_begin_batch(&t);
	assert_int_equal(use(ABC, "{1,-2.5e+07,NaN}", NULL, "1;-2.5e+07;NaN"), SHAPE_FULL);
	uint64_t first = hash;
	assert_int_equal(use(ABC, "{4,5,6}", NULL, "4;5;6"), SHAPE_FULL);
	assert_int_equal(t.count, 1);
	shapes_begin_batch(&t);
	assert_int_equal(use(ABC, "{4,5,Infinity}", NULL, "4;5;Infinity"), SHAPE_KNOWN);
	assert_true(hash == first);
	assert_int_equal(use(ABC, "{4,5,6}", "{NULL,counter,NULL}", "4;5;6"), SHAPE_FULL);
	assert_true(hash != first);
	shapes_forget(&t);
	assert_int_equal(use(ABC, "{4,5,6}", NULL, "4;5;6"), SHAPE_FULL);
}

static void
a_part_of_a_shape_leaves_blanks(void **state)
{
	shapes_begin_batch(&t);
	use(ABC, "{1,2,3}", NULL, NULL);
	uint64_t whole = hash;
	shapes_begin_batch(&t);
	assert_int_equal(use("{\"c\"}", "{\"{}\"}", "{3}", NULL, ";;3"), SHAPE_KNOWN);
	assert_true(hash == whole);
	assert_int_equal(use("{\"a\",\"c\"}", "{\"{}\",\"{}\"}", "{1,3}", "{NULL,NULL}", "1;;3"), SHAPE_KNOWN);
	assert_int_equal(use("{\"a\"}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_KNOWN);
	/* Another order, other labels, another kind. */
	assert_int_equal(use("{\"c\",\"a\"}", "{\"{}\",\"{}\"}", "{3,1}", NULL, "3;1"), SHAPE_FULL);
	assert_int_equal(use("{\"b\"}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
	assert_int_equal(use("{\"a\"}", "{\"{}\"}", "{1}", "{counter}", "1"), SHAPE_FULL);
	/* The shape with the fewest blanks. */
	shapes_begin_batch(&t);
	assert_int_equal(use("{\"a\"}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_KNOWN);
}

static void
a_few_of_very_many_get_a_shape_of_their_own(void **state)
{
	struct strbuf column[3] = {STRBUF_INIT, STRBUF_INIT, STRBUF_INIT};

	for (int i = 0; i < 500; i++) {
		strbuf_printf(&column[0], "%c\"m%d\"", i ? ',' : '{', i);
		strbuf_printf(&column[1], "%c\"{}\"", i ? ',' : '{');
		strbuf_printf(&column[2], "%c%d", i ? ',' : '{', i);
	}
	for (int i = 0; i < 3; i++)
		strbuf_putc(&column[i], '}');
	shapes_begin_batch(&t);
	assert_int_equal(use(column[0].data, column[1].data, column[2].data, NULL, NULL), SHAPE_FULL);
	shapes_begin_batch(&t);
	assert_int_equal(use("{\"m499\"}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
	assert_int_equal(use("{\"m20\"}", "{\"{}\"}", "{1}", NULL, ";;;;;;;;;;;;;;;;;;;;1"), SHAPE_KNOWN);
	for (int i = 0; i < 3; i++)
		strbuf_free(&column[i]);
}

static void
what_is_no_scrape_has_no_shape(void **state)
{
	static const char *const bad[][4] = {
		{"{a", "{}", "{1}", NULL},
		{"{}", "{}", "{}", NULL},
		{"", "", "", NULL},
		{NULL, NULL, NULL, NULL},
		{"{a}", "{\"{}\"}", "{1,2}", NULL},
		{"{a,b}", "{\"{}\"}", "{1,2}", NULL},
		{"{a}", "{\"{}\"}", "{1}", "{NULL,NULL}"},
		{"{a}", "{\"{}\"}", "{1}", "{"},
		{"{a}", "{\"{}\"}", "{\"1\"}", NULL},
		{"{a}", "{\"{}\"}", "{1;2}", NULL},
		{"{a}", "{\"{}\"}", "{}", NULL},
		{"{a}", "{\"{}\"}", "{1} ", NULL},
		{"{a,}", "{\"{}\"}", "{1}", NULL},
		{"{\"a", "{\"{}\"}", "{1}", NULL},
		{"{\"a\\", "{\"{}\"}", "{1}", NULL},
		{"a", "{\"{}\"}", "{1}", NULL},
	};
	shapes_begin_batch(&t);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(use(bad[i][0], bad[i][1], bad[i][2], bad[i][3], NULL), SHAPE_NONE);
	assert_int_equal(t.count, 0);
}

static void
memory_is_bounded(void **state)
{
	static char large[SHAPE_BYTES + 10], name[40], middle[SHAPE_BYTES];

	memset(large, 'x', sizeof large - 1);
	large[0] = '{';
	large[sizeof large - 2] = '}';
	shapes_begin_batch(&t);
	assert_int_equal(use(large, "{\"{}\"}", "{1}", NULL, NULL), SHAPE_NONE);
	for (int i = 0; i < 100; i++) {
		shapes_begin_batch(&t);
		snprintf(name, sizeof name, "{m%d}", i);
		assert_int_equal(use(name, "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
		assert_int_equal(use("{m0}", "{\"{}\"}", "{1}", NULL, "1"), i ? SHAPE_KNOWN : SHAPE_FULL);
	}
	assert_int_equal(t.count, SHAPES_MAX);
	assert_int_equal(use("{m99}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
	assert_int_equal(use("{m50}", "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
	memset(middle, 'y', sizeof middle - 20);
	middle[0] = '{';
	middle[sizeof middle - 21] = '}';
	for (int i = 0; i < 10; i++) {
		shapes_begin_batch(&t);
		middle[1] = (char) ('a' + i);
		assert_int_equal(use(middle, "{\"{}\"}", "{1}", NULL, "1"), SHAPE_FULL);
		assert_true(t.size <= SHAPES_ROOM);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(known_from_the_next_batch_on, forget),
		cmocka_unit_test_teardown(a_part_of_a_shape_leaves_blanks, forget),
		cmocka_unit_test_teardown(a_few_of_very_many_get_a_shape_of_their_own, forget),
		cmocka_unit_test_teardown(what_is_no_scrape_has_no_shape, forget),
		cmocka_unit_test_teardown(memory_is_bounded, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
