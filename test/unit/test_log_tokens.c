/* test_log_tokens.c: log_tokens.h, log_level.h: words, their set, order of levels. */
#include "unit.h"

#include "core/log_level.h"
#include "core/log_tokens.h"

/* The lexemes of a text, joined by '|'. */
static const char *
lexemes(const char *text)
{
	static char joined[4096];
	char folded[2048];
	struct log_lexeme out[1025];
	size_t n = log_lexemes(slice_of(text), folded, out), used = 0;

	joined[0] = '\0';
	for (size_t i = 0; i < n; i++)
		used += (size_t) snprintf(joined + used, sizeof joined - used, "%s%.*s", i > 0 ? "|" : "",
								  (int) out[i].len, out[i].p);
	return joined;
}

static void
words_inside_paths_and_names_are_words(void **state)
{
	assert_string_equal(lexemes("GET /api/v1/orders/17?x=y HTTP/1.1"), "1|17|api|get|http|orders|v1|x|y");
	assert_string_equal(lexemes("com.example.Checkout_Service: it-is"), "checkout|com|example|is|it|service");
	assert_string_equal(lexemes(""), "");
	assert_string_equal(lexemes(" \t\n-=/"), "");
}

static void
each_word_is_there_once_in_order_of_bytes(void **state)
{
	assert_string_equal(lexemes("b a B A ab abc aa"), "a|aa|ab|abc|b");
	assert_string_equal(lexemes("longwords2 longwords1 longword longwords longwords10"),
						"longword|longwords|longwords1|longwords10|longwords2");
}

static void
other_scripts_are_letters(void **state)
{
	assert_string_equal(lexemes("Fehler: \xc3\x9c\x62"
								"er \xe6\x97\xa5\xe6\x9c\xac"),
						"fehler|\xc3\x9c\x62"
						"er|\xe6\x97\xa5\xe6\x9c\xac");
}

static void
long_words_are_cut_at_a_character(void **state)
{
	char text[401] = "";
	struct slice in = slice_of(text), word;

	for (int i = 0; i < 200; i++)
		memcpy(text + 2 * i, "\xc3\xa9", 3);
	memmove(text + 1, text, 400);
	text[0] = 'x';
	in.end = text + 399;
	assert_true(log_next_word(&in, &word));
	assert_int_equal(word.end - word.p, 127);
	assert_false(log_next_word(&in, &word));
	memset(text, 0xbf, 400); /* no UTF-8 */
	in = (struct slice){text, text + 400};
	assert_true(log_next_word(&in, &word));
	assert_int_equal(word.end - word.p, LOG_WORD_MAX);
}

static void
many_words_are_sorted_as_few_are(void **state)
{
	static char text[60000], folded[60000];
	static struct log_lexeme out[LOG_MAX_WORDS(60000)];
	size_t used = 0, n;

	for (int i = 0; i < 9000; i++)
		used += (size_t) snprintf(text + used, sizeof text - used, "w%d ", i * 7919 % 3000);
	n = log_lexemes(slice_of(text), folded, out);
	assert_int_equal(n, 3000);
	for (size_t i = 1; i < n; i++) {
		char a[32], b[32];

		snprintf(a, sizeof a, "%.*s", (int) out[i - 1].len, out[i - 1].p);
		snprintf(b, sizeof b, "%.*s", (int) out[i].len, out[i].p);
		assert_true(strcmp(a, b) < 0);
	}
}

static void
levels_have_an_order_and_other_names(void **state)
{
	assert_true(log_level_rank(slice_of("ERROR")) == log_level_rank(slice_of("err")));
	assert_true(log_level_rank(slice_of("Warning")) == log_level_rank(slice_of("warn")));
	assert_true(log_level_rank(slice_of("fatal")) > log_level_rank(slice_of("error")));
	assert_true(log_level_rank(slice_of("debug")) < log_level_rank(slice_of("info")));
	assert_int_equal(log_level_rank(slice_of("errors")), -1);
	assert_int_equal(log_level_rank(slice_of("")), -1);
	for (const struct log_level *l = log_levels; l[1].name != NULL; l++)
		assert_true(l[0].rank <= l[1].rank);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_inside_paths_and_names_are_words),
		cmocka_unit_test(each_word_is_there_once_in_order_of_bytes),
		cmocka_unit_test(other_scripts_are_letters),
		cmocka_unit_test(long_words_are_cut_at_a_character),
		cmocka_unit_test(many_words_are_sorted_as_few_are),
		cmocka_unit_test(levels_have_an_order_and_other_names),
	};

	return TESTS(tests);
}
