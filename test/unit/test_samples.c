/* test_samples.c: collector/samples.h and series_table.h: array literals, repaired text, chunks, ends; statsd_store.h: totals over flushes. */
#include "unit.h"

#include "collector/samples.h"
#include "collector/statsd_store.h"

/* Stands in for the spool: what was put last, and how often. */
static char field[SAMPLES_FIELDS][SAMPLES_BYTES + 65536];
static bool is_null[SAMPLES_FIELDS];
static int records;
static size_t longest_record;
static int64_t record_us;

bool
spool_add(struct spool *spool, const struct record *r, enum spool_urgency urgency)
{
	assert_int_equal(r->kind, RECORD_SAMPLES);
	records++;
	record_us = r->timestamp_us;
	if (record_size(r) > longest_record)
		longest_record = record_size(r);
	for (int i = 0; i < SAMPLES_FIELDS; i++) {
		is_null[i] = r->field[i].p == NULL;
		if (!is_null[i])
			assert_true(slice_copy(r->field[i], field[i], sizeof field[i]));
	}
	return true;
}

static struct samples s = SAMPLES_INIT;

static void
begin(void)
{
	records = 0;
	samples_begin(&s, NULL, 1000);
}

static void
literals_of_postgresql_with_json_inside(void **state)
{
	struct series_label labels[] = {{slice_of("b\"x"), slice_of("back\\slash \"quoted\"\n\x01")},
									{slice_of("a"), slice_of("bad \xff utf-8 é")},
									{slice_of("empty"), slice_of("")},
									{slice_of("a"), slice_of("twice")}};
	begin();
	samples_add(&s, slice_of("na\"me\\ \xff"), labels, 4, 0.1, SAMPLE_GAUGE);
	samples_add(&s, slice_of("x_total"), NULL, 0, 1e300, SAMPLE_COUNTER);
	samples_end(&s);
	assert_int_equal(records, 1);
	assert_int_equal(record_us, 1000);
	assert_string_equal(field[SAMPLES_NAMES], "{\"na\\\"me\\\\ ?\",\"x_total\"}");
	assert_string_equal(field[SAMPLES_LABELS],
						"{\"{\\\"a\\\":\\\"bad ? utf-8 é\\\",\\\"b\\\\\\\"x\\\":\\\"back\\\\\\\\slash "
						"\\\\\\\"quoted\\\\\\\"\\\\u000a\\\\u0001\\\"}\",\"{}\"}");
	assert_string_equal(field[SAMPLES_VALUES], "{0.1,1e+300}");
	assert_true(is_null[SAMPLES_KINDS]); /* names say it */
}

static void
numbers_are_themselves_again(void **state)
{
	static const double values[] = {
		0, 1, -1, 0.1, 1.0 / 3, 1e21, 123456789, 9007199254740993, 5e-324, 1.7976931348623157e308};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
		begin();
		samples_put(&s, "m", values[i], SAMPLE_BY_NAME, SAMPLES_NO_MORE);
		samples_end(&s);
		assert_true(strtod(field[SAMPLES_VALUES] + 1, NULL) == values[i]);
	}
	begin();
	samples_add(&s, slice_of("m"), NULL, 0, -INFINITY, SAMPLE_GAUGE);
	samples_add(&s, slice_of("m"), NULL, 0, NAN, SAMPLE_GAUGE);
	samples_put(&s, "m", NAN, SAMPLE_GAUGE, SAMPLES_NO_MORE); /* was not measured */
	samples_end(&s);
	assert_string_equal(field[SAMPLES_VALUES], "{-Infinity,NaN}");
}

static void
kinds_are_said_where_names_do_not(void **state)
{
	begin();
	samples_put(&s, "a_total", 1, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_put(&s, "b", 1, SAMPLE_COUNTER, SAMPLES_NO_MORE);
	samples_put(&s, "c", 1, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_put(&s, "d_total", 1, SAMPLE_BY_NAME, SAMPLES_NO_MORE);
	samples_end(&s);
	assert_string_equal(field[SAMPLES_KINDS], "{gauge,counter,NULL,NULL}");
}

static void
chunks_and_times(void **state)
{
	begin();
	for (int i = 0; i < 2 * SAMPLES_PER_RECORD + 1; i++)
		samples_put(&s, "m", i, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_at(&s, 2000);
	assert_int_equal(records, 3);
	assert_int_equal(record_us, 1000);
	samples_put(&s, "m", 1, SAMPLE_GAUGE, SAMPLES_NO_MORE);
	samples_end(&s);
	assert_int_equal(records, 4);
	assert_int_equal(record_us, 2000);
	assert_int_equal(s.added, 2 * SAMPLES_PER_RECORD + 2);
	begin();
	samples_end(&s);
	assert_int_equal(records, 0);
}

/* The spool takes records of 4 MB: 500 of the longest labels, each byte of them escaped, would be more. */
static void
long_labels_make_smaller_records(void **state)
{
	static char text[4000];
	struct series_label label = {slice_of("l"), {text, text + sizeof text}};

	memset(text, '"', sizeof text);
	begin();
	for (int i = 0; i < SAMPLES_PER_RECORD; i++)
		samples_add(&s, slice_of("m"), &label, 1, i, SAMPLE_GAUGE);
	samples_end(&s);
	assert_int_equal(s.added, SAMPLES_PER_RECORD);
	assert_true(longest_record > SAMPLES_BYTES && longest_record < 2 * SAMPLES_BYTES);
}

static void
what_the_database_would_refuse_costs_itself(void **state)
{
	static char text[5000];
	struct series_label label = {slice_of("l"), {text, text + sizeof text}};
	memset(text, 'x', sizeof text);
	begin();
	samples_add(&s, slice_of("m"), &label, 1, 1, SAMPLE_GAUGE);
	samples_add(&s, (struct slice){text, text + 256}, NULL, 0, 1, SAMPLE_GAUGE);
	samples_add(&s, slice_of(""), NULL, 0, 1, SAMPLE_GAUGE);
	samples_add(&s, slice_of("good"), NULL, 0, 1, SAMPLE_GAUGE);
	samples_end(&s);
	assert_string_equal(field[SAMPLES_NAMES], "{\"good\"}");
	assert_int_equal(s.refused, 3);
}

static void
a_thing_that_goes_ends_what_was_ever_sent_of_it(void **state)
{
	static const struct sample_metric metrics[] = {
		{"a", SAMPLE_GAUGE}, {"b", SAMPLE_GAUGE}, {"c", SAMPLE_GAUGE}};
	const double first[] = {1, NAN, NAN}, second[] = {NAN, NAN, 3};
	uint32_t sent = 0;
	begin();
	samples_put_thing(&s, metrics, 3, first, &sent, NULL, 0);
	samples_put_thing(&s, metrics, 3, second, &sent, NULL, 0);
	samples_put_thing(&s, metrics, 3, NULL, &sent, NULL, 0);
	samples_end(&s);
	assert_string_equal(field[SAMPLES_NAMES], "{\"a\",\"c\",\"a\",\"c\"}");
	assert_string_equal(field[SAMPLES_VALUES], "{1,3,NaN,NaN}");
}

static void
a_table_knows_its_series_and_ends_those_that_are_missing(void **state)
{
	struct series_table t;
	char name[20];

	series_table_init(&t, 1000, sizeof(int64_t));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1000; i++) {
			snprintf(name, sizeof name, "m%d", i);
			struct series_entry *e = series_table_get(&t, slice_of(name), slice_of("\"{}\""));
			assert_non_null(e);
			assert_string_equal(series_entry_name(e), name);
			assert_string_equal(series_entry_labels(e), "\"{}\"");
			if (round == 0 || i % 2)
				e->round = t.round + (uint32_t) round;
		}
	assert_int_equal(t.count, 1000);
	assert_null(series_table_get(&t, slice_of("one more"), slice_of("\"{}\"")));
	/* Name and labels together are the key. */
	assert_null(series_table_get(&t, slice_of("m1\"{"), slice_of("}\"")));
	t.round++;
	begin();
	samples_end_missing(&s, &t);
	samples_end(&s);
	assert_int_equal(t.count, 500);
	assert_int_equal(s.added, 500);
	assert_true(strncmp(field[SAMPLES_VALUES], "{NaN,NaN,", 9) == 0);
	assert_non_null(series_table_get(&t, slice_of("m1"), slice_of("\"{}\"")));
	assert_int_equal(t.count, 500);
	series_table_free(&t);
}

static struct statsd_store store;

static void
take(const char *text, int64_t now_ms)
{
	statsd_store_take(&store, slice_of(text), false, now_ms);
}

static void
flush(int64_t now_ms)
{
	records = 0;
	memset(field, 0, sizeof field);
	statsd_store_flush(&store, NULL, now_ms, now_ms * 1000);
}

static void
statsd_totals_repeat_each_minute_and_end_after_ten(void **state)
{
	statsd_store_init(&store, 100, 1000);
	take("c:2|c\ng:5|g\n", 5000);
	flush(10000);
	assert_int_equal(records, 2); /* nothing before, then what came */
	assert_string_equal(field[SAMPLES_NAMES], "{\"c_total\",\"g\"}");
	assert_string_equal(field[SAMPLES_VALUES], "{2,5}");
	flush(20000);
	assert_int_equal(records, 0);
	take("c:1|c", 25000);
	flush(30000);
	assert_string_equal(field[SAMPLES_VALUES], "{3}");
	flush(70000); /* the gauge is a minute old, the counter is not */
	assert_string_equal(field[SAMPLES_NAMES], "{\"g\"}");
	flush(605000);
	assert_string_equal(field[SAMPLES_NAMES], "{\"c_total\",\"g\"}");
	assert_string_equal(field[SAMPLES_VALUES], "{3,NaN}");
	flush(625000);
	assert_string_equal(field[SAMPLES_VALUES], "{NaN}");
	assert_int_equal(statsd_store_count(&store), 0);
	statsd_store_free(&store);
}

static void
statsd_datagrams_that_are_cut_lose_their_last_line(void **state)
{
	statsd_store_init(&store, 100, 1000);
	statsd_store_take(&store, slice_of("a:1|c\nb:1|c\nc:12"), true, 0);
	statsd_store_take(&store, slice_of("a:1|c\nb:1|c\nc:12|c"), true, 0);
	assert_int_equal(store.lines, 6);
	assert_int_equal(store.errors, 2);
	assert_int_equal(statsd_store_count(&store), 2);
	statsd_store_free(&store);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_of_postgresql_with_json_inside),
		cmocka_unit_test(numbers_are_themselves_again),
		cmocka_unit_test(kinds_are_said_where_names_do_not),
		cmocka_unit_test(chunks_and_times),
		cmocka_unit_test(long_labels_make_smaller_records),
		cmocka_unit_test(what_the_database_would_refuse_costs_itself),
		cmocka_unit_test(a_thing_that_goes_ends_what_was_ever_sent_of_it),
		cmocka_unit_test(a_table_knows_its_series_and_ends_those_that_are_missing),
		cmocka_unit_test(statsd_totals_repeat_each_minute_and_end_after_ten),
		cmocka_unit_test(statsd_datagrams_that_are_cut_lose_their_last_line),
	};
	return TESTS(tests);
}
