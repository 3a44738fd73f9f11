/* test_exposition.c: exposition.h: the text format of Prometheus, and what exporters make of it. */
#include "unit.h"

#include "core/exposition.h"

static char body[8192];
static struct exposition e;
static struct exposition_sample s;

static void
begin(const char *text)
{
	snprintf(body, sizeof body, "%s", text);
	exposition_begin(&e, body, strlen(body));
}

static void
assert_slice(struct slice actual, const char *expected)
{
	if (!slice_equals(actual, expected))
		fail_msg("\"%.*s\" is not \"%s\"", (int) (actual.end - actual.p), actual.p, expected);
}

/* The next sample has that name, that value, and labels written as a=b;c=d. */
static void
expect(const char *name, double value, const char *labels)
{
	char text[1024] = "";

	assert_true(exposition_next(&e, &s));
	assert_slice(s.name, name);
	assert_near(s.value, value);
	for (int i = 0; i < s.labels; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.*s=%.*s", i ? ";" : "",
				 (int) (s.label[i].name.end - s.label[i].name.p), s.label[i].name.p,
				 (int) (s.label[i].value.end - s.label[i].value.p), s.label[i].value.p);
	assert_string_equal(text, labels);
}

static void
expect_end(int bad)
{
	assert_false(exposition_next(&e, &s));
	assert_int_equal(e.bad, bad);
}

/* The example of the format's own description. */
static void
the_documented_example(void **state)
{
	begin("# HELP http_requests_total The total number of HTTP requests.\n"
		  "# TYPE http_requests_total counter\n"
		  "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
		  "http_requests_total{method=\"post\",code=\"400\"}    3 1395066363000\n"
		  "\n"
		  "# Escaping in label values:\n"
		  "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find "
		  "file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n"
		  "\n"
		  "# Minimalistic line:\n"
		  "metric_without_timestamp_and_labels 12.47\n"
		  "\n"
		  "# A weird metric from before the epoch:\n"
		  "something_weird{problem=\"division by zero\"} +Inf -3982045\n");
	expect("http_requests_total", 1027, "method=post;code=200");
	assert_true(s.has_time);
	assert_int_equal(s.time_ms, 1395066363000);
	assert_int_equal(s.kind, EXPOSITION_COUNTER);
	expect("http_requests_total", 3, "method=post;code=400");
	expect("msdos_file_access_time_seconds", 1.458255915e9,
		   "path=C:\\DIR\\FILE.TXT;error=Cannot find file:\n\"FILE.TXT\"");
	assert_int_equal(s.kind, EXPOSITION_UNKNOWN);
	assert_false(s.has_time);
	expect("metric_without_timestamp_and_labels", 12.47, "");
	assert_true(exposition_next(&e, &s));
	assert_true(isinf(s.value) && s.value > 0);
	assert_int_equal(s.time_ms, -3982045);
	expect_end(0);
}

static void
kinds_come_from_the_type_of_the_family(void **state)
{
	begin("# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n"
		  "# TYPE s summary\ns{quantile=\"0.9\"} 4\ns_sum 5\ns_count 6\n"
		  "# TYPE errors_total gauge\nerrors_total 7\n"
		  "# TYPE plain untyped\nplain 8\n# TYPE jobs counter\njobs_total 9\njobs_created 1\nother 10\n"
		  "# TYPE x nonsense\nx 11\n");
	static const enum exposition_kind kinds[] = {
		EXPOSITION_COUNTER, EXPOSITION_COUNTER, EXPOSITION_COUNTER, EXPOSITION_COUNTER, EXPOSITION_GAUGE,
		EXPOSITION_COUNTER, EXPOSITION_COUNTER, EXPOSITION_GAUGE,   EXPOSITION_UNKNOWN, EXPOSITION_COUNTER,
		EXPOSITION_GAUGE,   EXPOSITION_UNKNOWN, EXPOSITION_UNKNOWN};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		assert_true(exposition_next(&e, &s));
		if (s.kind != kinds[i])
			fail_msg("kind of sample %zu is %d", i, s.kind);
	}
	expect_end(0);
}

static void
crlf_blanks_eof_and_exemplars(void **state)
{
	begin("a 1\r\n  b { x = \"1\" , y=\"2\", } 2  \r\n\tc\t3\t1000\nd_bucket{le=\"1\"} 4 # {trace_id=\"x\"} "
		  "0.5\n"
		  "e 5 1.5\n#comment\n# EOF\nf 6\n");
	expect("a", 1, "");
	expect("b", 2, "x=1;y=2");
	expect("c", 3, "");
	assert_int_equal(s.time_ms, 1000);
	expect("d_bucket", 4, "le=1");
	expect("e", 5, "");
	assert_int_equal(s.time_ms, 1500);
	expect_end(0);
	assert_true(e.ended);
}

static void
names_in_quotes(void **state)
{
	begin(
		"# TYPE \"my.metric\" counter\n{\"my.metric\",\"http.status\"=\"200\",zone=\"é\"} 1\n{\"only\"} 2\n");
	expect("my.metric", 1, "http.status=200;zone=é");
	assert_int_equal(s.kind, EXPOSITION_COUNTER);
	expect("only", 2, "");
	expect_end(0);
}

static void
special_numbers(void **state)
{
	begin("a NaN\nb -Inf\nc 1e3\nd -0.5E-2\ne inf\nf +5\ng .5\n");
	assert_true(exposition_next(&e, &s));
	assert_true(isnan(s.value));
	assert_true(exposition_next(&e, &s));
	assert_true(isinf(s.value) && s.value < 0);
	expect("c", 1000, "");
	expect("d", -0.005, "");
	assert_true(exposition_next(&e, &s));
	assert_true(isinf(s.value));
	expect("f", 5, "");
	expect("g", 0.5, "");
	expect_end(0);
}

/* Each bad line is one error; the good ones beside it are read. */
static void
bad_lines_cost_themselves(void **state)
{
	static const char *const bad[] = {"a",
									  "a b",
									  "a 1 2 3",
									  "a{x=\"1\" 2",
									  "a{x=\"1} 2",
									  "a{x=1} 2",
									  "1a 2",
									  "a{x} 2",
									  "a{=\"1\"} 2",
									  "{x=\"1\"} 2",
									  "a{x=\"1\",x=\"2\"} 2",
									  "a 0x10",
									  "a 1_0",
									  "a 1 x",
									  "a{x=\"1\"y=\"2\"} 1",
									  "a{x=\"\xff\"} 1",
									  "a{\"b\"} 1",
									  "<html>",
									  "a{,} 1",
									  "a nan(5)",
									  "a 1 99999999999999999999",
									  "é 1",
									  "a{\"b\"=\"c\",\"d\"} 1"};
	char text[4096] = "first 1\n";
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s\ngood%zu 1\n", bad[i], i);
	begin(text);
	expect("first", 1, "");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char name[20];
		snprintf(name, sizeof name, "good%zu", i);
		assert_true(exposition_next(&e, &s));
		if (!slice_equals(s.name, name))
			fail_msg("\"%s\" was taken for a sample", bad[i]);
	}
	expect_end(sizeof bad / sizeof *bad);
	assert_slice(e.first_bad, "a");
}

static void
zero_bytes_and_too_many_labels(void **state)
{
	char text[8192] = "a{";
	for (int i = 0; i < SERIES_LABELS_MAX + 1; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "l%d=\"v\",", i);
	snprintf(text + strlen(text), sizeof text - strlen(text), "} 1\nb 2\n");
	begin(text);
	expect("b", 2, "");
	expect_end(1);
	memcpy(body, "a{x=\"\0\"} 1\nb\0 2\nc 3\n", 20);
	exposition_begin(&e, body, 20);
	expect("c", 3, "");
	expect_end(2);
}

static void
a_last_line_without_newline(void **state)
{
	begin("a 1\nb 2");
	expect("a", 1, "");
	expect("b", 2, "");
	expect_end(0);
	begin("");
	expect_end(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_documented_example),
		cmocka_unit_test(kinds_come_from_the_type_of_the_family),
		cmocka_unit_test(crlf_blanks_eof_and_exemplars),
		cmocka_unit_test(names_in_quotes),
		cmocka_unit_test(special_numbers),
		cmocka_unit_test(bad_lines_cost_themselves),
		cmocka_unit_test(zero_bytes_and_too_many_labels),
		cmocka_unit_test(a_last_line_without_newline),
	};
	return TESTS(tests);
}
