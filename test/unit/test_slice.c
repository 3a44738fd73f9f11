/* test_slice.c: slice.h: splitting, numbers, UTF-8. */
#include "unit.h"

#include "core/slice.h"

static void
lines_end_with_the_text(void **state)
{
	struct slice in = slice_of("a\n\nb"), line;

	assert_true(slice_line(&in, &line));
	assert_true(slice_equals(line, "a"));
	assert_true(slice_line(&in, &line));
	assert_true(slice_equals(line, ""));
	assert_true(slice_line(&in, &line));
	assert_true(slice_equals(line, "b"));
	assert_false(slice_line(&in, &line));
}

static void
words_are_split_by_blanks_and_tabs(void **state)
{
	struct slice in = slice_of("  one\ttwo  "), word;

	assert_true(slice_word(&in, &word));
	assert_true(slice_equals(word, "one"));
	assert_true(slice_word(&in, &word));
	assert_true(slice_equals(word, "two"));
	assert_false(slice_word(&in, &word));
}

static void
numbers_saturate_and_refuse_what_is_none(void **state)
{
	int64_t n = 7;

	assert_true(slice_to_i64(slice_of("9223372036854775807"), &n));
	assert_int_equal(n, INT64_MAX);
	assert_true(slice_to_i64(slice_of("99999999999999999999999999"), &n));
	assert_int_equal(n, INT64_MAX);
	n = 7;
	assert_false(slice_to_i64(slice_of(""), &n));
	assert_false(slice_to_i64(slice_of("-1"), &n));
	assert_false(slice_to_i64(slice_of("1x"), &n));
	assert_int_equal(n, 7);
}

static void
fractions(void **state)
{
	double d;

	assert_true(slice_to_double(slice_of("0.53"), &d));
	assert_near(d, 0.53);
	assert_true(slice_to_double(slice_of("12"), &d));
	assert_near(d, 12);
	assert_true(slice_to_double(slice_of("1.12345678901234567890123"), &d));
	assert_near(d, 1.123456789);
	assert_false(slice_to_double(slice_of("."), &d));
	assert_false(slice_to_double(slice_of("nan"), &d));
	assert_false(slice_to_double(slice_of("1."), &d));
}

static void
printable(const char *raw, const char *expected)
{
	char out[32];

	slice_printable(slice_of(raw), out, sizeof out);
	assert_string_equal(out, expected);
}

static void
what_is_not_utf8_becomes_a_question_mark(void **state)
{
	printable("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	printable("\xff", "?");
	printable("a\xc3", "a?");
	printable("\xed\xa0\x80", "???");      /* a surrogate */
	printable("\xc0\xaf", "??");           /* overlong */
	printable("\xf4\x90\x80\x80", "????"); /* above U+10FFFF */
	printable("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
	printable("a\x1b[31m\n", "a?[31m?");
	printable("\xc2\x9b", "??"); /* CSI in one character */
	assert_false(slice_is_printable(slice_of("tab\t")));
	assert_true(slice_is_printable(slice_of("\xe2\x82\xac 5")));
}

static void
cut_at_a_character(void **state)
{
	char out[4];

	slice_printable(slice_of("ab\xe2\x82\xac"), out, sizeof out);
	assert_string_equal(out, "ab");
	assert_false(slice_copy(slice_of("abcd"), out, sizeof out));
	assert_string_equal(out, "");
	assert_true(slice_copy(slice_of("abc"), out, sizeof out));
}

static void
ordered_as_bytes(void **state)
{
	assert_true(slice_compare(slice_of("a"), slice_of("b")) < 0);
	assert_true(slice_compare(slice_of("b"), slice_of("a")) > 0);
	assert_true(slice_compare(slice_of("ab"), slice_of("a")) > 0); /* a beginning comes first */
	assert_true(slice_compare(slice_of("a"), slice_of("\xc3\xa4")) < 0);
	assert_int_equal(slice_compare(slice_of("ab"), slice_of("ab")), 0);
	assert_int_equal(slice_compare((struct slice){NULL, NULL}, slice_of("")), 0);
	assert_true(slice_compare((struct slice){NULL, NULL}, slice_of("a")) < 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_with_the_text),
		cmocka_unit_test(words_are_split_by_blanks_and_tabs),
		cmocka_unit_test(numbers_saturate_and_refuse_what_is_none),
		cmocka_unit_test(fractions),
		cmocka_unit_test(what_is_not_utf8_becomes_a_question_mark),
		cmocka_unit_test(cut_at_a_character),
		cmocka_unit_test(ordered_as_bytes),
	};
	return TESTS(tests);
}
