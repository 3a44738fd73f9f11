#include "unit.h"

#include "core/series.h"

static struct series_label labels[SERIES_LABELS_MAX + 1];

static int
set_labels(const char *const *pairs)
{
	int n = 0;

	for (; *pairs; pairs += 2)
		labels[n++] = (struct series_label){slice_of(pairs[0]), slice_of(pairs[1])};
	series_sort_labels(labels, n);
	return n;
}

static int64_t
id_of(const char *vps, const char *app, const char *metric, const char *const *pairs)
{
	int n = set_labels(pairs);

	return series_id(slice_of(vps), slice_of(app), slice_of(metric), labels, n);
}

#define ID(vps, app, metric, ...) id_of(vps, app, metric, (const char *const[]){__VA_ARGS__})

/* Made by another program from the description in series.h. They must never change: rows on disk bear them. */
static void
numbers_never_change(void **state)
{
	assert_int_equal(ID("", "", "", NULL), INT64_C(-6493949153376905206));
	assert_int_equal(ID("web-1", "shop", "http_requests_total", NULL), INT64_C(5671832158415207604));
	assert_int_equal(ID("web-1", "shop", "http_requests_total", "code", "200", "method", "GET", NULL),
					 INT64_C(665057568913480110));
	assert_int_equal(ID("web-1", "", "größe", "a", "ü", "aa", "", "B", "x", NULL),
					 INT64_C(-8074485335367573540));
}

static void
order_of_labels_does_not_matter(void **state)
{
	assert_int_equal(ID("v", "a", "m", "x", "1", "y", "2", "xx", "3", NULL),
					 ID("v", "a", "m", "xx", "3", "y", "2", "x", "1", NULL));
}

static void
labels_sort_by_bytes(void **state)
{
	static const char *const sorted[] = {"B", "a", "aa", "b", "ä"};
	int n = set_labels((const char *const[]){"b", "", "ä", "", "aa", "", "B", "", "a", "", NULL});

	for (int i = 0; i < n; i++)
		assert_true(slice_equals(labels[i].name, sorted[i]));
}

static void
every_boundary_counts(void **state)
{
	int64_t ids[] = {
		ID("ab", "c", "m", NULL),          ID("a", "bc", "m", NULL),
		ID("a", "b", "cm", NULL),          ID("a", "b", "m", "c", "", NULL),
		ID("a", "b", "m", "", "c", NULL),  ID("a", "b", "m", "c", "d", NULL),
		ID("a", "b", "m", "cd", "", NULL), ID("a", "b", "m", "c", "", "d", "", NULL),
		ID("a", "b", "m", NULL),           ID("A", "b", "m", NULL),
	};

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(ids[i] != ids[j]);
}

static void
names_and_labels_have_bounds(void **state)
{
	char text[SERIES_LABEL_BYTES_MAX + 1];
	struct slice long_text = {text, text + SERIES_NAME_MAX};

	memset(text, 'x', sizeof text);
	assert_null(series_name_problem(long_text));
	long_text.end++;
	assert_string_equal(series_name_problem(long_text), "metric_name is longer than 255 bytes");
	assert_string_equal(series_name_problem(slice_of("")), "metric_name must not be empty");

	for (int i = 0; i <= SERIES_LABELS_MAX; i++)
		labels[i] = (struct series_label){slice_of("a"), slice_of("")};
	assert_null(series_labels_problem(labels, SERIES_LABELS_MAX));
	assert_string_equal(series_labels_problem(labels, SERIES_LABELS_MAX + 1),
						"there are more than 64 labels");
	labels[1].value = (struct slice){text, text + SERIES_LABEL_BYTES_MAX - 2};
	assert_null(series_labels_problem(labels, 2));
	labels[1].value.end++;
	assert_string_equal(series_labels_problem(labels, 2), "the labels are longer than 4096 bytes");
	labels[0].name.end = labels[0].name.p;
	assert_string_equal(series_labels_problem(labels, 1), "the name of a label must not be empty");
	assert_null(series_labels_problem(labels, 0));
}

static void
counters_are_known_by_their_names(void **state)
{
	assert_true(series_is_counter(slice_of("http_requests_total")));
	assert_true(series_is_counter(slice_of("latency_seconds_bucket")));
	assert_true(series_is_counter(slice_of("latency_seconds_sum")));
	assert_true(series_is_counter(slice_of("latency_seconds_count")));
	assert_false(series_is_counter(slice_of("_total")));
	assert_false(series_is_counter(slice_of("total")));
	assert_false(series_is_counter(slice_of("queue_length")));
	assert_false(series_is_counter(slice_of("x_totals")));
	assert_false(series_is_counter(slice_of("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_never_change),         cmocka_unit_test(order_of_labels_does_not_matter),
		cmocka_unit_test(labels_sort_by_bytes),         cmocka_unit_test(every_boundary_counts),
		cmocka_unit_test(names_and_labels_have_bounds), cmocka_unit_test(counters_are_known_by_their_names),
	};
	return TESTS(tests);
}
