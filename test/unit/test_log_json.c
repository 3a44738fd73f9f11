/* test_log_json.c: log_json.h, log_keys.h, log_clean.h, log_severity.h, log_text.h: the pieces, where log_lines.h does not show them. */
#include "unit.h"

#include "core/log_clean.h"
#include "core/log_json.h"
#include "core/log_severity.h"
#include "core/log_text.h"

static enum log_json_result
scan(const char *text, struct log_json *j, struct log_json_values *values)
{
	*j = (struct log_json){0};
	return log_json_scan(j, slice_of(text), values);
}

static void
objects_are_read_to_their_end(void **state)
{
	static const char *const good[] = {
		"{}", " {\"a\" : [ ] , \"b\":{} } ",
		"{\"a\":[1,-0.5,2e-3,true,false,null,\"\\u00e9\\\"\\\\\\/\\b\\f\\n\\r\\t\",[[]],{\"b\":{}}]}"};
	struct log_json j;

	(void) state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		assert_int_equal(scan(good[i], &j, NULL), LOG_JSON_DONE);
		assert_int_equal(good[i][j.at - 1], '}');
		assert_false(j.mend);
	}
}

static void
what_is_no_json_is_an_error_where_it_begins_to_be_none(void **state)
{
	static const struct {
		const char *text;
		uint32_t at;
	} bad[] = {{"[]", 0},
			   {"{,}", 1},
			   {"{\"a\"}", 4},
			   {"{\"a\":}", 5},
			   {"{\"a\":1,}", 7},
			   {"{\"a\":[1,]}", 8},
			   {"{\"a\":1 2}", 7},
			   {"{\"a\":01}", 5},
			   {"{\"a\":1.}", 5},
			   {"{\"a\":.5}", 5},
			   {"{\"a\":1e}", 5},
			   {"{\"a\":+1}", 5},
			   {"{\"a\":tru}", 5},
			   {"{\"a\":'b'}", 5},
			   {"{a:1}", 1},
			   {"{\"a\":\"\\x\"}", 6},
			   {"{\"a\":\"\\u12g4\"}", 6},
			   {"{\"a\":]", 5},
			   {"{\"a\":[}", 6},
			   {"{\"a\":\"b\n\"}", 7},
			   {"{\"a\":\"b", 7},
			   {"{\"a\":-}", 5},
			   {"{\"a\":NaN1}", 8}};
	struct log_json j;

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		if (scan(bad[i].text, &j, NULL) != LOG_JSON_ERROR || j.error == NULL || j.at != bad[i].at)
			fail_msg("%s: at %u, not %u", bad[i].text, j.at, bad[i].at);
	}
}

static void
a_scan_goes_on_where_it_stopped(void **state)
{
	const char *text = "{\n\"a\":\n[1,\n{\"b\"\n:\n2\n}\n]\n,\"c\":null\n}\n{";
	struct log_json j = {0};
	enum log_json_result result = LOG_JSON_MORE;

	(void) state;
	for (const char *p = text; result == LOG_JSON_MORE; p++) {
		assert_true(*p != '\0');
		if (*p == '\n')
			result = log_json_scan(&j, (struct slice){text, p + 1}, NULL);
	}
	assert_int_equal(result, LOG_JSON_DONE);
	assert_string_equal(text + j.at, "\n{");
}

static void
depth_and_keys_have_limits(void **state)
{
	static char text[20000];
	struct log_json j;

	(void) state;
	for (int depth = LOG_JSON_DEPTH; depth <= LOG_JSON_DEPTH + 1; depth++) {
		size_t used = (size_t) snprintf(text, sizeof text, "{\"a\":");
		for (int i = 1; i < depth; i++)
			text[used++] = '[';
		for (int i = 1; i < depth; i++)
			text[used++] = ']';
		snprintf(text + used, sizeof text - used, "}");
		assert_int_equal(scan(text, &j, NULL), depth <= LOG_JSON_DEPTH ? LOG_JSON_DONE : LOG_JSON_ERROR);
	}
	for (int keys = LOG_JSON_KEYS; keys <= LOG_JSON_KEYS + 1; keys++) {
		size_t used = (size_t) snprintf(text, sizeof text, "{");
		for (int i = 0; i < keys; i++)
			used +=
				(size_t) snprintf(text + used, sizeof text - used, "%s\"k%d\":%d", i > 0 ? "," : "", i, i);
		snprintf(text + used, sizeof text - used, "}");
		assert_int_equal(scan(text, &j, NULL), keys <= LOG_JSON_KEYS ? LOG_JSON_DONE : LOG_JSON_ERROR);
	}
}

static void
values_of_known_keys_are_found(void **state)
{
	const char *text = "{\"level\":\"a\\n\",\"x\":{\"level\":1},\"log\":{\"level\":\"b\",\"y\":{\"level\":2}}"
					   ", \"message\" : [1], \"level\":3}";
	struct log_json_values v;
	struct log_json j;

	(void) state;
	assert_int_equal(scan(text, &j, &v), LOG_JSON_DONE);
	assert_int_equal(j.top, 5);
	assert_int_equal(j.keys, 9);
	assert_true(log_json_has(&v, KEY_LEVEL) && log_json_has(&v, KEY_LOG) && log_json_has(&v, KEY_LOG_LEVEL));
	assert_false(log_json_has(&v, KEY_MSG));
	assert_true(v.twice[0] >> KEY_LEVEL & 1);
	assert_true(slice_equals(log_json_text(slice_of(text), &v.of[KEY_LEVEL]), "3"));
	assert_true(slice_equals(log_json_text(slice_of(text), &v.of[KEY_LOG_LEVEL]), "b"));
	assert_int_equal(v.of[KEY_LOG].type, LOG_JSON_OBJECT);
	assert_true(slice_equals(log_json_text(slice_of(text), &v.of[KEY_MESSAGE]), "[1]"));
	assert_int_equal(text[v.of[KEY_MESSAGE].member], ',');
}

static void
every_key_is_found(void **state)
{
	static const char *const names[] = {"@timestamp",
										"timestamp",
										"time",
										"ts",
										"@t",
										"datetime",
										"asctime",
										"date",
										"Timestamp",
										"instant",
										"timeMillis",
										"eventTime",
										"t",
										"__REALTIME_TIMESTAMP",
										"level",
										"severity",
										"log.level",
										"@l",
										"levelname",
										"level_name",
										"lvl",
										"Level",
										"loglevel",
										"priority",
										"PRIORITY",
										"status",
										"error_severity",
										"s",
										"@level",
										"message",
										"msg",
										"event",
										"@m",
										"@mt",
										"short_message",
										"MESSAGE",
										"log",
										"text",
										"RenderedMessage",
										"fields.message",
										"@message",
										"logger",
										"context",
										"stream",
										"_observ"};

	(void) state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (log_key_find(KEY_NONE, slice_of(names[i])) == KEY_NONE)
			fail_msg("%s is not found", names[i]);
	assert_int_equal(log_key_find(KEY_NONE, slice_of("timestamps")), KEY_NONE);
	assert_int_equal(log_key_find(KEY_NONE, slice_of("")), KEY_NONE);
	assert_int_equal(log_key_find(KEY_T, slice_of("$date")), KEY_DATE_OF_T);
	assert_int_equal(log_key_find(KEY_NONE, slice_of("$date")), KEY_NONE);
}

static void
members_are_found_by_name(void **state)
{
	struct slice text =
		slice_of("{ \"a\\\"\" : \"}\" , \"b\":[\"c\",{\"d\":1}],\"d\": -2.5 ,\"e\":{\"d\":\"\\\\\"}}");
	struct log_json_value v;

	(void) state;
	assert_true(log_json_find(text, slice_of("d"), &v));
	assert_true(slice_equals(log_json_text(text, &v), "-2.5"));
	assert_true(log_json_find(text, slice_of("e"), &v));
	assert_true(slice_equals(log_json_text(text, &v), "{\"d\":\"\\\\\"}"));
	assert_true(log_json_find(text, slice_of("b"), &v));
	assert_true(slice_equals(log_json_text(text, &v), "[\"c\",{\"d\":1}]"));
	assert_false(log_json_find(text, slice_of("c"), &v));
}

static void
escapes_become_characters_and_back(void **state)
{
	char out[256];
	size_t n = log_json_unescape(slice_of("a\\u00e9\\ud83d\\ude00\\ud83d\\u0000\\n\\/\\u20ac"), out);

	(void) state;
	out[n] = '\0';
	assert_string_equal(out, "a\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\n/\xe2\x82\xac");
	n = log_json_quote(slice_of("a\"\\\n\x1f\xc3\xa9"), out);
	out[n] = '\0';
	assert_string_equal(out, "\"a\\\"\\\\\\u000a\\u001f\xc3\xa9\"");
}

/* As the table of the Unicode standard has it, byte by byte. */
static void
utf8_is_told_from_what_is_none(void **state)
{
	static const char *const bad[] = {"\x80",
									  "\xc0\x80",
									  "\xc1\xbf",
									  "\xe0\x9f\xbf",
									  "\xed\xa0\x80",
									  "\xf0\x8f\xbf\xbf",
									  "\xf4\x90\x80\x80",
									  "\xf5",
									  "\xc3",
									  "\xe2\x82",
									  "\xc2\x9b",
									  "\x7f",
									  "\x1b",
									  "\r"};
	static const char *const good[] = {"",
									   "\xc2\xa0",
									   "\xdf\xbf",
									   "\xe0\xa0\x80",
									   "\xed\x9f\xbf",
									   "\xef\xbf\xbf",
									   "\xf0\x90\x80\x80",
									   "\xf4\x8f\xbf\xbf",
									   "\t ~ long enough for eight at a time"};
	char text[64];

	(void) state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		for (int before = 0; before < 17; before++) {
			snprintf(text, sizeof text, "%.*s%s", before, "abcdefghijklmnopqrstuvw", bad[i]);
			assert_int_equal(log_clean_length(slice_of(text), true), before);
			snprintf(text, sizeof text, "%.*s%sabcdefghijkl", before, "abcdefghijklmnopqrstuvw", bad[i]);
			assert_int_equal(log_clean_length(slice_of(text), true), before);
		}
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		assert_int_equal(log_clean_length(slice_of(good[i]), false), strlen(good[i]));
	assert_int_equal(log_clean_length(slice_of("a\nb"), false), 1);
	assert_int_equal(log_clean_length(slice_of("a\nb"), true), 3);
}

static void
levels_have_common_names(void **state)
{
	(void) state;
	assert_string_equal(log_severity_of_name(slice_of("WARN")), "warning");
	assert_string_equal(log_severity_of_name(slice_of("Information")), "info");
	assert_string_equal(log_severity_of_name(slice_of("DEBUG5")), "debug");
	assert_string_equal(log_severity_of_name(slice_of("INFO+2")), "info");
	assert_string_equal(log_severity_of_name(slice_of("INFO+4")), "warning");
	assert_string_equal(log_severity_of_name(slice_of("DEBUG-4")), "trace");
	assert_string_equal(log_severity_of_name(slice_of("ERROR+4")), "critical");
	assert_null(log_severity_of_name(slice_of("INFO+x")));
	assert_null(log_severity_of_name(slice_of("AUDIT")));
	assert_null(log_severity_of_name(slice_of("")));
	assert_string_equal(log_severity_of_number(LOG_SCALE_PINO, 35), "info");
	assert_string_equal(log_severity_of_number(LOG_SCALE_SYSLOG, 0), "emergency");
	assert_string_equal(log_severity_of_number(LOG_SCALE_SYSLOG, 7), "debug");
	assert_null(log_severity_of_number(LOG_SCALE_SYSLOG, 8));
	assert_string_equal(log_severity_of_number(LOG_SCALE_MONOLOG, 600), "emergency");
	assert_string_equal(log_severity_of_number(LOG_SCALE_LOGSTASH, 40000), "error");
	assert_string_equal(log_severity_of_number(LOG_SCALE_ANY, 4), "warning");
	assert_string_equal(log_severity_of_number(LOG_SCALE_ANY, 50), "error");
	assert_string_equal(log_severity_of_number(LOG_SCALE_ANY, 250), "notice");
}

static void
levels_of_text_are_words_that_mean_it(void **state)
{
	static const struct {
		const char *text, *level;
	} lines[] = {{"2026-01-02 03:04:05,678 ERROR shop: x", "error"},
				 {"2026/01/02 03:04:05 [warn] 7#7: *1 x", "warning"},
				 {"time=\"2026-01-02T03:04:05Z\" level=fatal msg=x", "fatal"},
				 {"WARNING:root:x", "warning"},
				 {"Jan  2 03:04:05 web-1 shop[7]: error: x", "error"},
				 {"[2026-01-02 03:04:05] app.CRITICAL: x", "critical"},
				 {"I am in error about a warning", NULL},
				 {"an info desk", NULL},
				 {"OK ALL A E", NULL},
				 {"\tat a.b(C.java:1)", "error"},
				 {"com.x.FooException: y", "error"},
				 {"panic: x", "fatal"},
				 {"<error> x", "error"},
				 {"", NULL}};

	(void) state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		const char *level = log_text_level(slice_of(lines[i].text));
		if (lines[i].level == NULL ? level != NULL : level == NULL || strcmp(level, lines[i].level) != 0)
			fail_msg("%s: %s, not %s", lines[i].text, level != NULL ? level : "none",
					 lines[i].level != NULL ? lines[i].level : "none");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_are_read_to_their_end),
		cmocka_unit_test(what_is_no_json_is_an_error_where_it_begins_to_be_none),
		cmocka_unit_test(a_scan_goes_on_where_it_stopped),
		cmocka_unit_test(depth_and_keys_have_limits),
		cmocka_unit_test(values_of_known_keys_are_found),
		cmocka_unit_test(every_key_is_found),
		cmocka_unit_test(members_are_found_by_name),
		cmocka_unit_test(escapes_become_characters_and_back),
		cmocka_unit_test(utf8_is_told_from_what_is_none),
		cmocka_unit_test(levels_have_common_names),
		cmocka_unit_test(levels_of_text_are_words_that_mean_it),
	};

	return TESTS(tests);
}
