/* test_log_lines.c: log_lines.h: what is one record, what is held back and for how long, odd lines. Loggers: test_log_formats.c. */
#include "log_entries.h"

/* Messages of all entries, each in brackets. */
static const char *
messages(void)
{
	static char joined[65536];
	size_t used = 0;

	joined[0] = '\0';
	for (int i = 0; i < entry_count; i++)
		used += (size_t) snprintf(joined + used, sizeof joined - used, "[%s]", entries[i].message);
	return joined;
}

static const char *
messages_of(const char *text)
{
	forget_entries();
	feed(text);
	flush();
	return messages();
}

static void
lines_of_text_are_records(void **state)
{
	assert_text(messages_of("one\ntwo\nthree"), "[one][two][three]");
	assert_entry(&entries[0], "info", "one", NULL, NULL);
	assert_int_equal(entries[0].timestamp_us, READ_US);
	assert_int_equal(entries[0].flags, LOG_ENTRY_NO_TIME);
}

static void
t20_crlf_bom_and_empty_lines_are_no_part_of_a_line(void **state)
{
	assert_text(messages_of("\xef\xbb\xbfone\r\n\r\n\n  \t\ntwo\r\n"), "[one][two]");
	assert_text(messages_of("\xef\xbb\xbf{\"msg\":\"one\"}\r\n\r\n{\"msg\":\"two\"}\r\n"), "[one][two]");
}

static void
t7_the_hole_of_copytruncate_is_skipped(void **state)
{
	feed_bytes("\0\0\0\0{\"msg\":\"first\"}", 19, 0, READ_US);
	assert_text(messages(), "[first]");
	assert_int_equal(entries[0].flags & LOG_ENTRY_BAD_BYTES, 0);
}

static void
t13_a_line_without_newline_is_flagged(void **state)
{
	feed_bytes("text", 4, LOG_LINE_UNTERMINATED, READ_US);
	flush();
	assert_entry(&entries[0], "info", "text", "{\"observ\":{\"unterminated\":true}}", NULL);
	feed_bytes("{\"a\":", 5, LOG_LINE_UNTERMINATED, READ_US);
	assert_int_equal(entry_count, 2); /* nothing will complete it */
	assert_text(entries[1].context,
				"{\"observ\":{\"unterminated\":true,\"parse_error\":\"object does not end at byte 5\"}}");
}

static void
t16_a_line_that_was_cut_keeps_its_level_and_time(void **state)
{
	const char *json =
		"{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"ERROR\",\"message\":\"long \xc3";
	struct log_line line = {slice_of(json), LOG_LINE_TRUNCATED, 1000000};

	log_lines_feed(&lines, &line, READ_US, keep_entry, NULL);
	assert_entry(&entries[0], "error",
				 "{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"ERROR\",\"message\":\"long ",
				 "{\"observ\":{\"truncated\":true,\"bytes\":1000000,\"parse_error\":\"string does not end at "
				 "byte 72\"}}",
				 NULL);
	assert_int_equal(entries[0].timestamp_us, TIME_US);
}

static void
t18_bytes_that_are_no_utf8_are_replaced_and_counted(void **state)
{
	assert_entry(entry_of("caf\xe9 \xc3\xa9 \xed\xa0\x80"), "info",
				 "caf\xef\xbf\xbd \xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
				 "{\"observ\":{\"bad_bytes\":4,\"bytes\":11}}", NULL);
	assert_entry(entry_of("{\"msg\":\"caf\xe9\",\"k\":\"\xff\"}"), "info", "caf\xef\xbf\xbd",
				 "{\"observ\":{\"bad_bytes\":2,\"bytes\":22},\"k\":\"\xef\xbf\xbd\"}", NULL);
}

static void
t19_nul_and_lone_surrogates_are_replaced(void **state)
{
	feed_bytes("a\0b", 3, 0, READ_US);
	flush();
	assert_text(messages(), "[a\xef\xbf\xbd"
							"b]");
	assert_entry(entry_of("{\"msg\":\"a\\u0000b\\ud800\",\"k\":\"\\udc00\\u0000\\ud83d\\ude00\"}"), "info",
				 "a\xef\xbf\xbd"
				 "b\xef\xbf\xbd",
				 "{\"observ\":{\"repaired\":true},\"k\":\"\\ufffd\\ufffd\\ud83d\\ude00\"}", NULL);
}

static void
t21_what_jsonb_refuses_is_mended_or_text(void **state)
{
	static char text[200000];
	size_t used = 0;

	assert_text(entry_of("{\"msg\":\"x\",\"a\":1e999999,\"b\":NaN,\"c\":-Infinity,\"d\":[1e400,1]}")->context,
				"{\"observ\":{\"repaired\":true},\"a\":\"1e999999\",\"b\":\"NaN\",\"c\":\"-Infinity\",\"d\":["
				"\"1e400\",1]}");
	assert_text(entry_of("{\"msg\":\"a\tb\",\"k\":\"c\td\"}")->context,
				"{\"observ\":{\"repaired\":true},\"k\":\"c\\td\"}");
	for (int i = 0; i < 10000; i++)
		used += (size_t) snprintf(text + used, sizeof text - used, "{\"a\":");
	const struct kept_entry *e = entry_of(text);
	assert_string_equal(e->message, text);
	assert_text(e->context, "{\"observ\":{\"parse_error\":\"nested too deeply at byte 320\"}}");
	used = (size_t) snprintf(text, sizeof text, "{\"level\":\"error\"");
	for (int i = 0; i < 5000; i++)
		used += (size_t) snprintf(text + used, sizeof text - used, ",\"k%d\":1", i);
	snprintf(text + used, sizeof text - used, "}");
	e = entry_of(text);
	assert_string_equal(e->message, text);
	assert_text(e->level, "error");
	assert_true(e->flags & LOG_ENTRY_PARSE_ERROR);
	assert_text(entry_of("{\"msg\":\"a\",\"k\":1,\"k\":2}")->context,
				"{\"k\":1,\"k\":2}"); /* the last one wins, in jsonb */
}

static void
t22_arrays_and_several_objects_are_split(void **state)
{
	assert_text(
		messages_of("[{\"msg\":\"a\"},{\"msg\":\"b\"}]\n{\"msg\":\"c\"} {\"msg\":\"d\"}{\"msg\":\"e\"}"),
		"[a][b][c][d][e]");
	/* What is not whole never costs what is. */
	assert_text(messages_of("{\"msg\":\"a\"}{\"msg\":\n{\"msg\":\"b\"}tail\n{\"msg\":\"c\"}"),
				"[a][{\"msg\":][b][tail][c]");
	assert_int_equal(log_lines_pending(&lines), 0);
}

static void
t23_pretty_printed_objects_are_joined(void **state)
{
	assert_text(messages_of("{\n  \"level\" : \"INFO\",\n\n  \"message\" : \"a { b\",\n  \"list\" : [\n    "
							"1\n  ]\n}\n{\"msg\":\"b\"}"),
				"[a { b][b]");
	assert_text(
		messages_of("[\n  {\n    \"msg\": \"a\"\n  },\n  {\n    \"msg\": \"b\"\n  }\n]\n{\"msg\":\"c\"}"),
		"[a][b][c]");
	assert_text(messages_of("[\n{\"msg\":\"a\"}\n,\n{\"msg\":\"b\"}\n]"), "[a][b]");
}

static void
t23_an_object_that_does_not_end_costs_no_other(void **state)
{
	assert_text(messages_of("{\n  \"msg\": \"a\",\n{\"msg\":\"b\"}\nc"), "[{\n  \"msg\": \"a\",][b][c]");
	assert_text(entries[0].context, "{\"observ\":{\"parse_error\":\"a key is expected at byte 16\"}}");
	/* The second one could be a value of the first, which shows with the third only. */
	assert_text(messages_of("{\"a\":\n{\"msg\":\"b\"}\n{\"msg\":\"c\"}"), "[{\"a\":][b][c]");
	assert_text(messages_of("{main}\n{ not json\n{}"), "[{main}][{ not json][{}]");
	assert_int_equal(entries[0].flags & LOG_ENTRY_PARSE_ERROR, 0);
}

static void
t23_an_object_is_waited_for_5_seconds_and_a_megabyte(void **state)
{
	static char line[1001];

	feed_bytes("{", 1, 0, READ_US);
	assert_int_equal(log_lines_due_us(&lines), READ_US + LOG_JOIN_MAX_US);
	log_lines_flush(&lines, READ_US + LOG_JOIN_MAX_US - 1, keep_entry, NULL);
	assert_int_equal(entry_count, 0);
	log_lines_flush(&lines, READ_US + LOG_JOIN_MAX_US, keep_entry, NULL);
	assert_text(messages(), "[{]");
	forget_entries();
	feed_bytes("{\"a\":[", 6, 0, READ_US);
	memset(line, ' ', 1000);
	line[0] = '1';
	line[999] = ',';
	for (int i = 0; i < 1100; i++)
		feed_bytes(line, 1000, 0, READ_US);
	assert_true(entry_count >= 1 && strlen(entries[0].message) > 1000000);
	assert_true(heap_peak < 20u << 20);
	flush();
	assert_true(log_lines_pending_bytes(&lines) == 0);
}

static void
t24_traces_are_one_record(void **state)
{
	assert_text(messages_of("2026-01-02 ERROR failed\njava.lang.IllegalStateException: x\n\tat "
							"a.b(C.java:1)\nCaused by: java.io.X: y\n\t... "
							"3 more\nnext"),
				"[2026-01-02 ERROR failed\njava.lang.IllegalStateException: x\n\tat a.b(C.java:1)\nCaused "
				"by: java.io.X: y\n\t... 3 "
				"more][next]");
	assert_text(
		messages_of(
			"ERROR:root:bad\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: "
			"'x'\n\nDuring handling of "
			"the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File "
			"\"b.py\"\nValueError: y\nINFO:root:next"),
		"[ERROR:root:bad\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'x'\nDuring "
		"handling of the above "
		"exception, another exception occurred:\nTraceback (most recent call last):\n  File "
		"\"b.py\"\nValueError: "
		"y][INFO:root:next]");
	assert_text(messages_of("PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 "
							"/b.php(4): f()\n#1 {main}\n  thrown in /a.php on "
							"line 3\nnext"),
				"[PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n#0 /b.php(4): f()\n#1 "
				"{main}\n  thrown in /a.php on "
				"line 3][next]");
	assert_text(entries[0].level, "error");
	assert_text(messages_of("panic: x\n\ngoroutine 1 [running]:\nmain.f(0xc0, {0x1, 0x2})\n\t/a.go:3 "
							"+0x1\ncreated by main.g\n\t/b.go:4\nexit status "
							"2\nnext"),
				"[panic: x\ngoroutine 1 [running]:\nmain.f(0xc0, {0x1, 0x2})\n\t/a.go:3 +0x1\ncreated by "
				"main.g\n\t/b.go:4\nexit status "
				"2][next]");
	assert_text(entries[0].level, "fatal");
}

static void
t24_traces_between_json_lines_are_records_of_their_own(void **state)
{
	assert_text(
		messages_of("{\"level\":\"info\",\"msg\":\"a\"}\nTraceback (most recent call last):\n  File "
					"\"a.py\"\nKeyError: "
					"'x'\n{\"level\":\"info\",\"msg\":\"b\"}\n\tat c.d(E.java:1)\n\tat f\n{\"msg\":\"c\"}"),
		"[a][Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'x'][b][\tat c.d(E.java:1)\n\tat "
		"f][c]");
	assert_text(entries[1].level, "error");
	assert_text(entries[3].level, "error");
	/* It would hide in a record below warning. */
	assert_text(messages_of("INFO started\nTraceback (most recent call last):\n  File\nE: x"),
				"[INFO started][Traceback (most recent call last):\n  File\nE: x]");
}

static void
a_file_whose_lines_are_all_indented_is_no_trace(void **state)
{
	assert_text(messages_of(" INFO a\n INFO b\n   more\n INFO c"), "[ INFO a][ INFO b\n   more][ INFO c]");
	assert_text(messages_of("  File \"a.py\"\n    x()\n  File \"b.py\"\nE: x"),
				"[  File \"a.py\"\n    x()\n  File \"b.py\"][E: x]");
}

static void
t24_text_is_held_for_a_second(void **state)
{
	feed_bytes("Error: x", 8, 0, READ_US);
	assert_int_equal(entry_count, 0);
	assert_int_equal(log_lines_pending(&lines), 1);
	assert_int_equal(log_lines_due_us(&lines), READ_US + LOG_IDLE_US);
	feed_bytes("", 0, 0, READ_US);
	assert_int_equal(log_lines_pending(&lines), 2);
	feed_bytes("    at a", 8, 0, READ_US + 900000);
	assert_int_equal(log_lines_pending(&lines), 3);
	log_lines_flush(&lines, READ_US + LOG_IDLE_US, keep_entry, NULL);
	assert_int_equal(entry_count, 0);
	feed_bytes("    at b", 8, 0, READ_US + 3000000); /* too late */
	assert_text(messages(), "[Error: x\n    at a]");
	assert_int_equal(log_lines_pending(&lines), 1);
	log_lines_flush(&lines, READ_US - 60000000, keep_entry, NULL); /* the clock was set back */
	assert_int_equal(log_lines_pending(&lines), 0);
	assert_int_equal(log_lines_due_us(&lines), INT64_MAX);
	assert_int_equal(log_lines_pending_bytes(&lines), 0);
}

static void
json_is_given_out_at_once(void **state)
{
	feed("{\"msg\":\"a\"}");
	assert_int_equal(entry_count, 1);
	assert_int_equal(log_lines_pending(&lines), 0);
	feed("text\n{\"msg\":\"b\"}");
	assert_text(messages(), "[a][text][b]");
	assert_int_equal(log_lines_pending(&lines), 0);
}

static void
docker_s_pieces_and_traces_are_joined(void **state)
{
#define DOCKER(log, stream)                                                                                  \
	"{\"log\":\"" log "\",\"stream\":\"" stream "\",\"time\":\"2026-01-02T03:04:05.678Z\"}\n"
	assert_text(messages_of(DOCKER("{\\\"level\\\":\\\"war", "stdout")
								DOCKER("n\\\",\\\"msg\\\":\\\"a\\\"", "stdout") DOCKER("}\\n", "stdout")
									DOCKER("b\\r\\n", "stdout")),
				"[a][b]");
	assert_text(entries[0].level, "warning");
	assert_int_equal(entries[1].timestamp_us, TIME_US);
	assert_int_equal(entries[1].flags, 0);
	assert_text(messages_of(DOCKER("ERROR x\\n", "stderr") DOCKER("\\tat a\\n", "stderr")
								DOCKER("\\n", "stderr") DOCKER("y\\n", "stderr")),
				"[ERROR x\n\tat a][y]");
	/* A piece whose end never comes. */
	assert_text(messages_of(DOCKER("half", "stdout") DOCKER("whole\\n", "stderr") "{\"msg\":\"plain\"}\n"),
				"[half][whole][plain]");
	assert_text(entries[0].context, "{\"observ\":{\"unterminated\":true}}");
	assert_string_equal(log_lines_format(&lines), "docker");
	/* Pretty-printed inside. */
	assert_text(messages_of(DOCKER("{\\n", "stdout") DOCKER(" \\\"msg\\\": \\\"a\\\"\\n", "stdout")
								DOCKER("}\\n", "stdout")),
				"[a]");
}

static void
t41_a_time_that_cannot_be_is_the_read_time(void **state)
{
	const struct kept_entry *e =
		entry_of("{\"time\":\"2031-01-02T03:04:05Z\",\"level\":\"info\",\"msg\":\"x\"}");

	assert_int_equal(e->timestamp_us, READ_US);
	assert_int_equal(e->flags, LOG_ENTRY_BAD_TIME);
	assert_text(e->context, "{\"observ\":{\"time\":\"2031-01-02T03:04:05Z\"},\"time\":\"2031-01-02T03:04:"
							"05Z\",\"level\":\"info\"}");
	assert_int_equal(entry_of("{\"ts\":0,\"msg\":\"x\"}")->flags, LOG_ENTRY_BAD_TIME);
	assert_int_equal(entry_of("{\"time\":\"yesterday\",\"msg\":\"x\"}")->flags, LOG_ENTRY_BAD_TIME);
	assert_int_equal(entry_of("{\"msg\":\"x\"}")->flags, LOG_ENTRY_NO_TIME);
	assert_int_equal(entry_of("{\"date\":\"due in May\",\"msg\":\"x\"}")->flags, LOG_ENTRY_NO_TIME);
	/* Within a day after the read time it is the writer's clock. */
	assert_int_equal(entry_of("{\"time\":\"2026-01-03T11:59:59Z\",\"msg\":\"x\"}")->flags, 0);
	/* One that can't be, and one that can. */
	e = entry_of("{\"timestamp\":5,\"time\":\"2026-01-02T03:04:05.678Z\",\"msg\":\"x\"}");
	assert_int_equal(e->timestamp_us, TIME_US);
}

static void
times_without_zone_are_the_caller_s(void **state)
{
	lines.zone_s = 3600;
	const struct kept_entry *e = entry_of("2026-01-02 04:04:05,678 WARN x");
	assert_entry(e, "warning", "2026-01-02 04:04:05,678 WARN x", "{\"observ\":{\"zone\":\"assumed\"}}", NULL);
	assert_int_equal(e->timestamp_us, TIME_US);
	lines.zone_given = true;
	e = entry_of("2026-01-02 04:04:05,678 WARN x");
	assert_int_equal(e->timestamp_us, TIME_US);
	assert_int_equal(e->flags, 0);
}

static void
terminal_escapes_are_left_out(void **state)
{
	assert_entry(entry_of("\x1b[31mERROR\x1b[0m \x1b]0;title\x07 red\x07"), "error", "ERROR  red\xef\xbf\xbd",
				 "{\"observ\":{\"bad_bytes\":1,\"bytes\":30}}", NULL);
	assert_text(entry_of("{\"msg\":\"\\u001b[1mbold\\u001b[0m\\u0007\\u009b2Jx\"}")->message,
				"bold\xef\xbf\xbd\xef\xbf\xbd"
				"2Jx");
	assert_text(entry_of("{\"msg\":\"a\\r\\nb\\rc\\n\"}")->message, "a\nb\nc");
}

static void
memory_is_flat_and_lines_of_json_allocate_nothing(void **state)
{
	static char line[512];

	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof line,
				 "{\"timestamp\":\"2026-01-02T03:04:05Z\",\"level\":\"INFO\",\"logger\":\"a\",\"message\":"
				 "\"n\\t%d\",\"context\":{\"n\":%d}}",
				 i, i);
		long before = resizes;
		feed(line);
		if (i > 10)
			assert_int_equal(resizes, before);
	}
	assert_int_equal(entry_count, 2000);
	assert_true(heap_peak < 64 << 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_of_text_are_records),
		TEST(t20_crlf_bom_and_empty_lines_are_no_part_of_a_line),
		TEST(t7_the_hole_of_copytruncate_is_skipped),
		TEST(t13_a_line_without_newline_is_flagged),
		TEST(t16_a_line_that_was_cut_keeps_its_level_and_time),
		TEST(t18_bytes_that_are_no_utf8_are_replaced_and_counted),
		TEST(t19_nul_and_lone_surrogates_are_replaced),
		TEST(t21_what_jsonb_refuses_is_mended_or_text),
		TEST(t22_arrays_and_several_objects_are_split),
		TEST(t23_pretty_printed_objects_are_joined),
		TEST(t23_an_object_that_does_not_end_costs_no_other),
		TEST(t23_an_object_is_waited_for_5_seconds_and_a_megabyte),
		TEST(t24_traces_are_one_record),
		TEST(t24_traces_between_json_lines_are_records_of_their_own),
		TEST(a_file_whose_lines_are_all_indented_is_no_trace),
		TEST(t24_text_is_held_for_a_second),
		TEST(json_is_given_out_at_once),
		TEST(docker_s_pieces_and_traces_are_joined),
		TEST(t41_a_time_that_cannot_be_is_the_read_time),
		TEST(times_without_zone_are_the_caller_s),
		TEST(terminal_escapes_are_left_out),
		TEST(memory_is_flat_and_lines_of_json_allocate_nothing),
	};

	return TESTS(tests);
}
