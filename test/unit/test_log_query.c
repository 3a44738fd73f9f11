/* test_log_query.c: log_query.h: the language of log search, and what matches. */
#include "unit.h"

#include "core/log_query.h"

static struct log_query query;
static char shown[8192];

/* The tree as text: AND &, OR |, NOT !, phrases in quotes, fields as key=value. */
static void
show(int number, struct log_query *q)
{
	struct log_node *node = &q->nodes[number];
	size_t used;
#define SHOW(...) (used = strlen(shown), (void) snprintf(shown + used, sizeof shown - used, __VA_ARGS__))

	switch (node->kind) {
	case QUERY_AND:
	case QUERY_OR:
		SHOW("(");
		show(node->left, q);
		SHOW(node->kind == QUERY_AND ? " & " : " | ");
		show(node->right, q);
		SHOW(")");
		break;
	case QUERY_NOT:
		SHOW("!");
		show(node->left, q);
		break;
	case QUERY_PHRASE:
		for (int i = 0; i < node->right; i++) {
			struct log_query_word *w = &q->words[node->left + i];

			SHOW("%s%.*s%s", i > 0 ? "+" : "", (int) (w->text.end - w->text.p), w->text.p,
				 w->prefix ? "*" : "");
		}
		break;
	case QUERY_FIELD: {
		struct log_query_field *f = &q->fields[node->left];

		SHOW("[%.*s=%.*s%s]", (int) (f->key.end - f->key.p), f->key.p, (int) (f->value.end - f->value.p),
			 f->value.p, f->prefix ? "*" : "");
	}
	}
#undef SHOW
}

static const char *
tree(const char *text)
{
	static const char *const errors[] = {"", "too long", "too many terms", "phrase too long", "no words"};
	enum log_query_result result = log_query_parse(slice_of(text), &query);

	shown[0] = '\0';
	if (result != QUERY_OK)
		return errors[result];
	if (query.root < 0)
		return "all";
	show(query.root, &query);
	return shown;
}

static void
terms_side_by_side_must_all_match(void **state)
{
	assert_string_equal(tree("one Two"), "(one & two)");
	assert_string_equal(tree("one AND two"), "(one & two)");
	assert_string_equal(tree(""), "all");
	assert_string_equal(tree(" \t\n"), "all");
}

static void
or_binds_weaker_than_and(void **state)
{
	assert_string_equal(tree("a b OR c d"), "((a & b) | (c & d))");
	assert_string_equal(tree("a (b OR c) d"), "((a & (b | c)) & d)");
	assert_string_equal(tree("a or b"), "((a & or) & b)");
	assert_string_equal(tree("ORDER"), "order");
	assert_string_equal(tree("OR a OR OR b OR"), "(a | b)");
}

static void
phrases_and_dotted_terms(void **state)
{
	assert_string_equal(tree("\"connection refused\""), "connection+refused");
	assert_string_equal(tree("/api/v1/orders"), "api+v1+orders");
	assert_string_equal(tree("a.b-c_d:e"), "a+b+c+d+e");
	assert_string_equal(tree("\"no end"), "no+end");
	assert_string_equal(tree("\"OR\" x"), "(or & x)");
	assert_string_equal(tree("a\"b c\"d"), "((a & b+c) & d)");
	assert_string_equal(tree("http://host/x?a=b"), "http+host+x+a+b");
	assert_string_equal(tree("foo(bar)"), "foo+bar");
	assert_string_equal(tree("(foo(bar) OR x)"), "(foo+bar | x)");
}

static void
negation(void **state)
{
	assert_string_equal(tree("-a"), "!a");
	assert_string_equal(tree("a -\"b c\" -k=v"), "((a & !b+c) & ![k=v])");
	assert_string_equal(tree("-(a OR b) c"), "(!(a | b) & c)");
	assert_string_equal(tree("NOT a"), "!a");
	assert_string_equal(tree("NOT -a"), "a");
	assert_string_equal(tree("--verbose"), "verbose");
	assert_string_equal(tree("a - b"), "(a & b)");
	assert_string_equal(tree("a-b"), "a+b");
}

static void
fields_of_the_context(void **state)
{
	assert_string_equal(tree("user=Bob"), "[user=Bob]");
	assert_string_equal(tree("user=\"Bob \\\"B\\\" Smith\""), "[user=Bob \"B\" Smith]");
	assert_string_equal(tree("http.status=500 a"), "([http.status=500] & a)");
	assert_string_equal(tree("k=ab*"), "[k=ab*]");
	assert_string_equal(tree("k=*"), "[k=*]");
	assert_string_equal(tree("k="), "[k=]");
	assert_string_equal(tree("k=\"\""), "[k=]");
	assert_string_equal(tree("\"k=v\""), "k+v");
	assert_string_equal(tree("=v"), "v");
	assert_string_equal(tree("a/b=c"), "a+b+c");
}

static void
prefixes(void **state)
{
	assert_string_equal(tree("conn*"), "conn*");
	assert_string_equal(tree("/api/v*"), "api+v*");
	assert_string_equal(tree("a *"), "a");
	assert_string_equal(tree("a* b"), "(a* & b)");
}

static void
hostile_text_is_text(void **state)
{
	char deep[LOG_QUERY_MAX_BYTES + 2];

	assert_string_equal(tree("!!!"), "no words");
	assert_string_equal(tree("-\"\""), "no words");
	assert_string_equal(tree("()"), "no words");
	assert_string_equal(tree(")))a((("), "a");
	assert_string_equal(tree("a & b | c"), "((a & b) & c)");
	assert_string_equal(tree("'; DROP TABLE x; --"), "((drop & table) & x)");
	assert_string_equal(tree("a\\"), "a");
	assert_string_equal(tree("\"\\"), "no words");
	assert_string_equal(tree("k=\"\\"), "[k=\\]");
	memset(deep, '(', sizeof deep);
	deep[1000] = 'x';
	deep[1001] = '\0';
	assert_string_equal(tree(deep), "x");
	memset(deep, 'x', sizeof deep);
	deep[sizeof deep - 1] = '\0';
	assert_string_equal(tree(deep), "too long");
	for (size_t i = 0; i < sizeof deep - 1; i += 2)
		deep[i] = ' ';
	deep[2000] = '\0';
	assert_string_equal(tree(deep), "too many terms");
	deep[0] = '"';
	deep[300] = '\0';
	assert_string_equal(tree(deep), "phrase too long");
}

static bool
has_user_bob(void *arg, int number)
{
	int *asked = arg;

	(*asked)++;
	return slice_equals(query.fields[number].key, "user") && slice_equals(query.fields[number].value, "bob");
}

static bool
matches(const char *text, const char *message)
{
	int asked = 0;

	assert_int_equal(log_query_parse(slice_of(text), &query), QUERY_OK);
	return log_query_match(&query, slice_of(message), has_user_bob, &asked);
}

static void
messages_that_match(void **state)
{
	assert_true(matches("", ""));
	assert_true(matches("orders", "GET /api/v1/ORDERS/17"));
	assert_false(matches("order", "GET /api/v1/orders/17"));
	assert_true(matches("order*", "GET /api/v1/orders/17"));
	assert_true(matches("\"a b c\"", "a a b a b-c"));
	assert_true(matches("\"a a b\"", "x a a a b"));
	assert_false(matches("\"a b\"", "a x b"));
	assert_false(matches("\"a b\"", "b a"));
	assert_true(matches("api/v1", "GET /api/v1/orders"));
	assert_false(matches("v1/api", "GET /api/v1/orders"));
	assert_true(matches("a -b", "a c"));
	assert_false(matches("a -b", "a b"));
	assert_true(matches("-b", ""));
	assert_true(matches("x OR b", "b"));
	assert_true(matches("(a OR b) (c OR d)", "d a"));
	assert_false(matches("(a OR b) (c OR d)", "a b"));
	assert_true(matches("a user=bob", "a"));
	assert_false(matches("a -user=bob", "a"));
	assert_false(matches("a user=eve", "a"));
	assert_true(matches("\"a b\" OR \"b c\" OR \"c d\"", "x b c"));
}

static void
a_phrase_may_have_64_words(void **state)
{
	char text[512] = "\"", message[512] = "";

	for (int i = 0; i < 64; i++) {
		snprintf(text + strlen(text), 8, "w%d ", i);
		snprintf(message + strlen(message), 8, "w%d-", i);
	}
	assert_true(matches(text, message));
	message[strlen(message) - 2]++;
	assert_false(matches(text, message));
}

static void
long_words_match_by_their_beginning(void **state)
{
	char text[301], message[301];

	memset(text, 'x', 300);
	memset(message, 'X', 300);
	text[300] = message[300] = '\0';
	message[200] = 'y';
	assert_true(matches(text, message));
	message[100] = 'y';
	assert_false(matches(text, message));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms_side_by_side_must_all_match),
		cmocka_unit_test(or_binds_weaker_than_and),
		cmocka_unit_test(phrases_and_dotted_terms),
		cmocka_unit_test(negation),
		cmocka_unit_test(fields_of_the_context),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(hostile_text_is_text),
		cmocka_unit_test(messages_that_match),
		cmocka_unit_test(a_phrase_may_have_64_words),
		cmocka_unit_test(long_words_match_by_their_beginning),
	};

	return TESTS(tests);
}
