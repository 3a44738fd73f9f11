#include "unit.h"

#include "core/matchers.h"

static struct matchers parsed;
static struct matchers_error error;
static char memory[4096];

static bool
parse(const char *text)
{
	return matchers_parse(slice_of(text), &parsed, memory, &error);
}

/* The list as a canonical text. */
static const char *
shown(const char *text)
{
	static char out[4096];
	size_t used = 0;

	if (!parse(text)) {
		snprintf(out, sizeof out, "%zu: %s", error.offset, error.message);
		return out;
	}
	out[0] = '\0';
	for (int i = 0; i < parsed.n; i++) {
		const struct matcher *m = &parsed.item[i];

		used += (size_t) snprintf(out + used, sizeof out - used, "%s%.*s%s[%.*s]", i ? " " : "",
								  (int) (m->name.end - m->name.p), m->name.p, matcher_op_name(m->op),
								  (int) (m->value.end - m->value.p), m->value.p);
	}
	return out;
}

static void
lists_are_read_as_in_alertmanager(void **state)
{
	assert_string_equal(shown("{severity=~\"critical|emergency\", vps_name!=\"db-1\"}"),
						"severity=~[critical|emergency] vps_name!=[db-1]");
	assert_string_equal(shown("a=\"1\",b!~\"2\",_c:d=\"3\""), "a=[1] b!~[2] _c:d=[3]");
	assert_string_equal(shown(" { a = \"x y\" ,\n\tb =~ 5.. , } "), "a=[x y] b=~[5..]");
	assert_string_equal(shown("{\"content type\"=\"a\\\"b\\\\c\\nd\\.e\"}"), "content type=[a\"b\\c\nd\\.e]");
	assert_string_equal(shown("k8s.io/name=web-1"), "k8s.io/name=[web-1]");
	assert_string_equal(shown("a=\"\""), "a=[]");
	assert_string_equal(shown("a=\"{},=~\""), "a=[{},=~]");
	assert_string_equal(shown("name=\"größe\""), "name=[größe]");
	assert_string_equal(shown("a=ü"), "a=[ü]");
	assert_string_equal(shown(""), "");
	assert_string_equal(shown("{}"), "");
	assert_string_equal(shown("  { } "), "");
}

static void
errors_say_where(void **state)
{
	assert_string_equal(shown("{a=\"1\""), "0: this brace is not closed");
	assert_string_equal(shown("a=\"1\"}"), "5: nothing should follow the matchers");
	assert_string_equal(shown("{a=\"1\"} x"), "8: nothing should follow the matchers");
	assert_string_equal(shown("{a}"), "2: one of = != =~ !~ should be here");
	assert_string_equal(shown("{a!\"1\"}"), "2: one of = != =~ !~ should be here");
	assert_string_equal(shown("{a~\"1\"}"), "2: one of = != =~ !~ should be here");
	assert_string_equal(shown("{a==\"1\"}"), "3: a value in double quotes should be here");
	assert_string_equal(shown("{a=}"), "3: a value in double quotes should be here");
	assert_string_equal(shown("{a='1'}"), "3: a value in double quotes should be here");
	assert_string_equal(shown("{a=\"1"), "3: this quote is not closed");
	assert_string_equal(shown("{a=\"1\\"), "3: this quote is not closed");
	assert_string_equal(shown("{a=\"1\\\""), "3: this quote is not closed");
	assert_string_equal(shown("{=\"1\"}"), "1: a label name should be here");
	assert_string_equal(shown("{,}"), "1: a label name should be here");
	assert_string_equal(shown("{5a=\"1\"}"), "1: a label name should be here");
	assert_string_equal(shown("{\"\"=\"1\"}"), "1: the name of a label must not be empty");
	assert_string_equal(shown("{a=\"1\" b=\"2\"}"), "7: a comma should be here");
	assert_string_equal(shown("{a=\"1\",,}"), "7: a label name should be here");
	assert_string_equal(shown("{{a=\"1\"}}"), "1: a label name should be here");
}

static void
there_are_bounds(void **state)
{
	char text[4 * MATCHERS_MAX + 8];

	for (int i = 0; i < MATCHERS_MAX; i++)
		memcpy(text + 4 * i, "a=b,", 5);
	assert_true(parse(text));
	assert_int_equal(parsed.n, MATCHERS_MAX);
	memcpy(text + 4 * MATCHERS_MAX, "a=b", 4);
	assert_false(parse(text));
	assert_string_equal(error.message, "there are more than 64 matchers");
	assert_int_equal(error.offset, 4 * MATCHERS_MAX);
}

static struct slice
look_up(void *arg, struct slice name)
{
	const char *const *pairs = arg;

	for (; *pairs; pairs += 2)
		if (slice_equals(name, pairs[0]))
			return slice_of(pairs[1]);
	return (struct slice){0};
}

/* Not an engine: "." is any one byte. */
static bool
any_byte_regex(void *arg, const struct matcher *m, struct slice value)
{
	const char *p = m->value.p, *v = value.p;

	for (; p < m->value.end && v < value.end; p++, v++)
		if (*p != '.' && *p != *v)
			return false;
	return p == m->value.end && v == value.end;
}

static bool
accepts(const char *text)
{
	static const char *labels[] = {"code", "503", "vps_name", "db-1", NULL};

	assert_true(parse(text));
	return matchers_accept(&parsed, look_up, any_byte_regex, labels);
}

static void
all_matchers_must_accept(void **state)
{
	assert_true(accepts("{}"));
	assert_true(accepts("{code=\"503\"}"));
	assert_false(accepts("{code=\"50\"}"));
	assert_false(accepts("{code!=\"503\"}"));
	assert_true(accepts("{code=~\"5..\"}"));
	assert_false(accepts("{code!~\"5..\"}"));
	assert_false(accepts("{code=~\"5.\"}"));
	assert_true(accepts("{code=~\"5..\",vps_name!=\"db-2\"}"));
	assert_false(accepts("{code=~\"5..\",vps_name!=\"db-1\"}"));
}

static void
a_missing_label_is_an_empty_one(void **state)
{
	assert_true(accepts("{zone=\"\"}"));
	assert_true(accepts("{zone!=\"a\"}"));
	assert_false(accepts("{zone!=\"\"}"));
	assert_true(accepts("{zone!~\"a\"}"));
	assert_true(accepts("{zone=~\"\"}"));
	assert_false(accepts("{zone=~\".\"}"));
}

static void
what_an_index_can_use(void **state)
{
	assert_true(parse("{a=\"1\",b!=\"2\",b=\"3\",c=~\"4\"}"));
	assert_null(matchers_equal(&parsed, "c"));
	assert_null(matchers_equal(&parsed, "d"));
	assert_ptr_equal(matchers_equal(&parsed, "a"), &parsed.item[0]);
	assert_ptr_equal(matchers_equal(&parsed, "b"), &parsed.item[2]);
}

/* All sets as text, one after the other, or the error with its offset in the set that it is in. */
static const char *
sets(const char *text)
{
	static char out[4096];
	struct slice rest = slice_of(text);
	char *free_memory = memory;
	size_t used = 0;

	do {
		if (!matchers_parse_next(&rest, &parsed, &free_memory, &error)) {
			snprintf(out + used, sizeof out - used, "%zu: %s", error.offset, error.message);
			return out;
		}
		used += (size_t) snprintf(out + used, sizeof out - used, "%d(%.*s) ", parsed.n,
								  parsed.n ? (int) (parsed.item[0].value.end - parsed.item[0].value.p) : 0,
								  parsed.n ? parsed.item[0].value.p : "");
	} while (rest.p < rest.end);
	return out;
}

static void
sets_are_joined_by_or(void **state)
{
	assert_string_equal(sets("{a=\"b\"} or {c=\"d\",e=f}"), "1(b) 2(d) ");
	assert_string_equal(sets("{a=b}or{c=d}\nor\n{e=f} "), "1(b) 1(d) 1(f) ");
	assert_string_equal(sets("a=b, c=d"), "2(b) ");
	assert_string_equal(sets("or=b"), "1(b) ");
	assert_string_equal(sets(""), "0() ");
	assert_string_equal(sets("{} or {}"), "0() 0() ");
	assert_string_equal(sets("{a=\"} or {\"}"), "1(} or {) ");
	assert_string_equal(sets("{a=b} or"), "8: another set of matchers in braces should be here");
	assert_string_equal(sets("{a=b} or c=d"), "9: another set of matchers in braces should be here");
	assert_string_equal(sets("{a=b} orc {c=d}"), "8: another set of matchers in braces should be here");
	assert_string_equal(sets("{a=b} and {c=d}"), "6: nothing should follow the matchers");
	assert_string_equal(sets("a=b or {c=d}"), "4: a comma should be here");
	assert_string_equal(sets("a=b} or {c=d}"), "3: nothing should follow the matchers");
	assert_string_equal(sets("{a=b} or {c}"), "1(b) 2: one of = != =~ !~ should be here");
	assert_false(parse("{a=b} or {c=d}"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read_as_in_alertmanager),
		cmocka_unit_test(errors_say_where),
		cmocka_unit_test(there_are_bounds),
		cmocka_unit_test(all_matchers_must_accept),
		cmocka_unit_test(a_missing_label_is_an_empty_one),
		cmocka_unit_test(what_an_index_can_use),
		cmocka_unit_test(sets_are_joined_by_or),
	};
	return TESTS(tests);
}
