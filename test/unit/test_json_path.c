/* test_json_path.c: conditions on documents, and what is said about those that do not hold. */
#include "unit.h"

#include "core/json_path.h"

static const char document[] =
	" {\"status\": \"UP\", \"queue\": 42, \"ratio\": -1.5e2, \"ok\": true, \"none\": null, \"items\": "
	"[{\"id\": 7}, {\"id\": 8}],\n"
	"  \"deep\": {\"a b\": {\"c\": [[1, 2], []]}}, \"text\": \"a\\\"\\u00e9\\ud83d\\ude00\\n\", \"twice\": "
	"1, \"twice\": 2, \"empty\": {} } ";

static bool
holds(const char *condition, const char *json, char why[200])
{
	struct json_path c;
	const char *error = json_path_parse(condition, &c);

	why[0] = '\0';
	if (error)
		fail_msg("%s: %s", condition, error);
	return json_path_holds(&c, slice_of(json), why, 200);
}

static void
what_holds(void **state)
{
	static const char *const conditions[] = {"$.status == \"UP\"",
											 "$.status == 'UP'",
											 "$.status != \"DOWN\"",
											 "$.queue < 100",
											 "$.queue <= 42",
											 "$.queue >= 42",
											 "$.queue>41",
											 "$.queue == 42.0",
											 "$.queue != 'x'",
											 "$.ratio == -150",
											 "$.ok == true",
											 "$.ok != false",
											 "$.none == null",
											 "$.items[0].id",
											 "$.items[1].id == 8",
											 "length($.items) > 0",
											 "length( $.items ) == 2",
											 "length($.status) == 2",
											 "length($.text) == 5",
											 "length($.empty) == 0",
											 "length($.deep[\"a b\"].c[1]) == 0",
											 "$.deep['a b'].c[0][1] == 2",
											 "$[\"status\"]",
											 "$",
											 "$.text == \"a\\\"\u00e9\\uD83D\\uDE00\\n\"",
											 "$.twice == 2",
											 "$.status < \"UQ\"",
											 "  $.queue == 42  "};
	char why[200];

	for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
		if (!holds(conditions[i], document, why))
			fail_msg("%s does not hold: %s", conditions[i], why);
	assert_true(holds("$ == 3", "3", why));
	assert_true(holds("$[1] == 'b'", "[\"a\",\"b\"]", why));
	assert_true(holds("length($) == 0", "[]", why));
}

static void
what_does_not_and_why(void **state)
{
	static const struct {
		const char *condition, *why;
	} cases[] = {
		{"$.status == \"DOWN\"", "$.status is \"UP\""},
		{"$.queue > 100", "$.queue is 42"},
		{"$.queue == '42'", "$.queue is 42"},
		{"$.queue < 'x'", "$.queue is 42"},
		{"$.ok < true", "$.ok is true"},
		{"$.none", "$.none is null"},
		{"$.missing", "there is no $.missing"},
		{"$.missing != 1", "there is no $.missing"},
		{"$.items[2]", "there is no $.items[2]"},
		{"$.items.id", "there is no $.items.id"},
		{"$.status[0]", "there is no $.status[0]"},
		{"$.Status", "there is no $.Status"},
		{"length($.items) > 2", "length($.items) is 2"},
		{"length($.queue) > 2", "$.queue has no length"},
	};
	char why[200];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (holds(cases[i].condition, document, why))
			fail_msg("%s holds", cases[i].condition);
		assert_string_equal(why, cases[i].why);
	}
}

static void
documents_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",    " ",   "{",       "[1,]",   "{\"a\":}",    "{\"a\" 1}",   "{a:1}",     "01",
		"1 2", "nul", "\"\\x\"", "\"\n\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\u12\"", "\"abc",
		"[1",  "1.",  "1e",      "-",      "<html>",      "{'a': 1}"};
	char why[200], nested[402];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		if (holds("$", bad[i], why))
			fail_msg("%s is taken for JSON", bad[i]);
		assert_string_equal(why, "the body is no JSON");
	}
	memset(nested, '[', 200);
	memset(nested + 200, ']', 200);
	nested[400] = '\0';
	assert_false(holds("$", nested, why));
}

/* A document may hold anything: what is quoted from it must be text for PostgreSQL, and short. */
static void
what_is_quoted_is_printable(void **state)
{
	char why[200], json[1200] = "\"";

	memset(json + 1, 'x', 1000);
	json[1001] = '"';
	assert_false(holds("$ == 1", json, why));
	assert_in_range(strlen(why), 70, 100);
	assert_false(holds("$ == 1", "\"\xff\x1b[31m\"", why));
	assert_string_equal(why, "the body is no JSON"); /* a control character */
	assert_false(holds("$ == 1", "\"\xff\xe2\x82\"", why));
	assert_string_equal(why, "$ is \"???\"");
}

static void
conditions_that_are_none(void **state)
{
	static const char *const bad[] = {"",           "status",    "$.",          "$..a",       "$.a ==",
									  "$.a = 1",    "$.a == up", "$.a == \"up", "$.a 1",      "$[",
									  "$[x]",       "$[1",       "$['a]",       "length($.a", "length $.a",
									  "$.a == 1 2", "$.a == 01", "$[99999999]", "$.a)",       "$.a == 'x' y"};
	struct json_path c;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (!json_path_parse(bad[i], &c))
			fail_msg("%s is taken for a condition", bad[i]);
}

static void
values_as_text(void **state)
{
	static const struct {
		const char *path, *text; /* NULL: none */
	} cases[] = {{"$.status", "UP"},      {"$.queue", "42"}, {"$.ratio", "-1.5e2"},
				 {"$.ok", "true"},        {"$.none", NULL},  {"$.items", NULL},
				 {"$.items[1].id", "8"},  {"$.deep", NULL},  {"$.text", "a\"\xc3\xa9\xf0\x9f\x98\x80?"},
				 {"$.twice", "2"},        {"$.empty", NULL}, {"$.items[2].id", NULL},
				 {"$.status.more", NULL}, {"$", NULL}};
	char text[200];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(json_path_text(cases[i].path, slice_of(document), text, sizeof text),
						 cases[i].text != NULL);
		assert_string_equal(text, cases[i].text ? cases[i].text : "");
	}
	/* cut between characters; no JSON */
	assert_true(json_path_text("$.text", slice_of(document), text, 4));
	assert_string_equal(text, "a\"");
	assert_false(json_path_text("$.status", slice_of("{\"status\": \"UP\"} x"), text, sizeof text));
	assert_false(json_path_text("$.status", slice_of(""), text, sizeof text));
	assert_false(json_path_text("$.status", slice_of("<html>"), text, sizeof text));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_holds),
		cmocka_unit_test(what_does_not_and_why),
		cmocka_unit_test(documents_that_are_none),
		cmocka_unit_test(what_is_quoted_is_printable),
		cmocka_unit_test(conditions_that_are_none),
		cmocka_unit_test(values_as_text),
	};

	return TESTS(tests);
}
