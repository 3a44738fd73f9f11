/* test_statsd.c: statsd.h: lines, tags, packed values, reservoirs, sets. */
#include "unit.h"

#include "core/statsd.h"

static struct statsd_line line;
static struct statsd_value value;

static bool
reads(const char *text)
{
	return statsd_read(slice_of(text), &line);
}

static double
next_number(void)
{
	assert_true(statsd_value(&line, &value));
	return value.number;
}

static void
the_four_types(void **state)
{
	assert_true(reads("gorets:1|c"));
	assert_int_equal(line.type, STATSD_COUNTER);
	assert_true(slice_equals(line.name, "gorets"));
	assert_near(line.rate, 1);
	assert_near(next_number(), 1);
	assert_false(statsd_value(&line, &value));
	assert_true(reads("gorets:1|c|@0.1\r"));
	assert_near(line.rate, 0.1);
	assert_true(reads("glork:320.5|ms|@0.5"));
	assert_int_equal(line.type, STATSD_TIMER);
	assert_near(next_number(), 320.5);
	assert_true(reads("glork:320|h"));
	assert_int_equal(line.type, STATSD_TIMER);
	assert_true(reads("glork:320|d"));
	assert_true(reads("uniques:user:765|s"));
	assert_int_equal(line.type, STATSD_SET);
	assert_true(statsd_value(&line, &value));
	assert_true(slice_equals(value.text, "user:765"));
}

static void
gauges_are_absolute_or_relative(void **state)
{
	assert_true(reads("g:333|g"));
	assert_near(next_number(), 333);
	assert_false(value.relative);
	assert_true(reads("g:-10|g"));
	assert_near(next_number(), -10);
	assert_true(value.relative);
	assert_true(reads("g:+4e1|g"));
	assert_near(next_number(), 40);
	assert_true(value.relative);
	assert_true(reads("t:-4|ms"));
	assert_near(next_number(), -4);
	assert_false(value.relative);
}

static void
tags_and_other_sections(void **state)
{
	assert_true(reads("page.views:1|c|@0.5|#env:prod,live,url:http://x/,env:dev,,|c:abc|T1656581400"));
	assert_near(line.rate, 0.5);
	assert_int_equal(line.tags, 3);
	assert_true(slice_equals(line.tag[0].name, "env") && slice_equals(line.tag[0].value, "dev"));
	assert_true(slice_equals(line.tag[1].name, "live") && slice_equals(line.tag[1].value, "true"));
	assert_true(slice_equals(line.tag[2].value, "http://x/"));
	assert_true(reads("a:1|c|#"));
	assert_int_equal(line.tags, 0);
	assert_true(reads("a:1|c|#x:"));
	assert_true(slice_equals(line.tag[0].value, ""));
}

static void
packed_values_are_taken_whole_or_not(void **state)
{
	assert_true(reads("t:1:2:3.5|h"));
	assert_near(next_number(), 1);
	assert_near(next_number(), 2);
	assert_near(next_number(), 3.5);
	assert_false(statsd_value(&line, &value));
	assert_false(reads("t:1:x:3|h"));
	assert_false(reads("t:1:|h"));
}

static void
bad_lines_are_refused(void **state)
{
	static const char *const bad[] = {"",
									  "a",
									  "a:",
									  ":1|c",
									  "a:1",
									  "a:1|",
									  "a:1|x",
									  "a:|c",
									  "a:b|c",
									  "a:1|c|@0",
									  "a:-1|c",
									  "a:1e300|ms",
									  "a:1|c|@1e-300",
									  "a:inf|g",
									  "a:1|c|@2",
									  "a:1|c|@x",
									  "a:nan|g",
									  "a:inf|g",
									  "a:1e999|g",
									  "a:|s",
									  "a\xff:1|c",
									  "a\x1b[2J:1|c",
									  "a:1|c|#x:\x01",
									  "_e{5,4}:title|text",
									  "_sc|name|0",
									  "a:0x10|c",
									  "a: 1|c",
									  "a:+|g"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (reads(bad[i]))
			fail_msg("\"%s\" was taken for a line", bad[i]);
	char text[2000] = "a:1|c|#";
	for (int i = 0; i <= SERIES_LABELS_MAX; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "t%d:1,", i);
	assert_false(reads(text));
}

static void
reservoirs_are_exact_while_small(void **state)
{
	static struct reservoir r;
	assert_unknown(reservoir_quantile(&r, 0.5));
	for (int i = 100; i >= 1; i--)
		reservoir_add(&r, i, 1, 0);
	assert_near(r.count, 100);
	assert_near(r.sum, 5050);
	assert_near(r.min, 1);
	assert_near(r.max, 100);
	assert_near(reservoir_quantile(&r, 0.5), 50);
	assert_near(reservoir_quantile(&r, 0.95), 95);
	assert_near(reservoir_quantile(&r, 0.99), 99);
	assert_near(reservoir_quantile(&r, 0), 1);
	assert_near(reservoir_quantile(&r, 1), 100);
	reservoir_add(&r, -7, 0.1, 0);
	assert_near(r.count, 110);
	assert_near(r.sum, 5050 - 70);
	assert_near(r.min, -7);
}

static void
reservoirs_stay_fair_when_large(void **state)
{
	static struct reservoir r;
	uint32_t random = 1;
	for (int i = 0; i < 100000; i++) {
		random = random * 1664525 + 1013904223;
		reservoir_add(&r, i, 1, random >> 1);
	}
	assert_int_equal(r.kept, RESERVOIR_SIZE);
	assert_near(r.max, 99999);
	double median = reservoir_quantile(&r, 0.5);
	if (median < 35000 || median > 65000)
		fail_msg("the median of 0 to 99999 is taken for %g", median);
}

static void
sets_are_exact_then_estimated(void **state)
{
	static struct distinct d;
	char text[20];
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < DISTINCT_MAX; i++) {
			snprintf(text, sizeof text, "user%d", i);
			distinct_add(&d, slice_of(text));
		}
	assert_near(distinct_count(&d), DISTINCT_MAX);
	assert_false(d.full);
	for (int i = 0; i < 50000; i++) {
		snprintf(text, sizeof text, "user%d", i);
		distinct_add(&d, slice_of(text));
	}
	assert_true(d.full);
	for (int i = 1; i < DISTINCT_MAX; i++)
		assert_true(d.hash[i - 1] < d.hash[i]);
	double n = distinct_count(&d);
	if (n < 44000 || n > 56000)
		fail_msg("50000 are taken for %g", n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_four_types),
		cmocka_unit_test(gauges_are_absolute_or_relative),
		cmocka_unit_test(tags_and_other_sections),
		cmocka_unit_test(packed_values_are_taken_whole_or_not),
		cmocka_unit_test(bad_lines_are_refused),
		cmocka_unit_test(reservoirs_are_exact_while_small),
		cmocka_unit_test(reservoirs_stay_fair_when_large),
		cmocka_unit_test(sets_are_exact_then_estimated),
	};
	return TESTS(tests);
}
