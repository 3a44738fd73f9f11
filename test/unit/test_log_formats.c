/* test_log_formats.c: log_map.h by log_lines.h: a line of each logger as that logger writes it. */
#include "log_entries.h"

/* A line of a logger, and its entry. The time is TIME_US unless the table says that there is none. */
struct example {
	const char *format, *line;
	const char *level, *message, *context, *logger;
	bool no_time;
	unsigned flags;
};

static void
check(const struct example *x)
{
	const struct kept_entry *e = entry_of(x->line);

	assert_entry(e, x->level, x->message, x->context, x->logger);
	assert_int_equal(e->timestamp_us, x->no_time ? READ_US : TIME_US);
	assert_int_equal(e->flags, x->flags | (x->no_time ? LOG_ENTRY_NO_TIME : 0));
	assert_string_equal(log_lines_format(&lines), x->format);
}

#define ONE(name, ...)                                                                                       \
	static void name(void **state)                                                                           \
	{                                                                                                        \
		(void) state;                                                                                        \
		static const struct example example = {__VA_ARGS__};                                                 \
		check(&example);                                                                                     \
	}

ONE(logcore, "logcore",
	"{\"timestamp\": \"2026-01-02T03:04:05.678Z\", \"level\": \"INFO\", \"logger\": \"shop.views\", "
	"\"message\": "
	"\"Index page\", \"context\": {\"endpoint\": \"/\", \"user\": 7}}",
	"info", "Index page", "{\"endpoint\": \"/\", \"user\": 7}", "shop.views")
ONE(pino, "pino",
	"{\"level\":50,\"time\":1767323045678,\"pid\":7,\"hostname\":\"web-1\",\"msg\":\"no "
	"route\",\"err\":{\"type\":\"Error\",\"stack\":\"Error: x\\n    at y\"}}",
	"error", "no route",
	"{\"level\":50,\"time\":1767323045678,\"pid\":7,\"hostname\":\"web-1\",\"err\":{\"type\":\"Error\","
	"\"stack\":\"Error: "
	"x\\n    at y\"}}")
ONE(bunyan, "bunyan",
	"{\"name\":\"shop\",\"hostname\":\"web-1\",\"pid\":7,\"level\":40,\"msg\":\"slow\",\"time\":\"2026-01-"
	"02T03:04:05.678Z\","
	"\"v\":0}",
	"warning", "slow",
	"{\"name\":\"shop\",\"hostname\":\"web-1\",\"pid\":7,\"level\":40,\"time\":\"2026-01-02T03:04:05.678Z\","
	"\"v\":0}",
	"shop")
ONE(winston, "winston", "{\"level\":\"verbose\",\"message\":\"up\",\"service\":\"shop\"}", "trace", "up",
	"{\"level\":\"verbose\",\"service\":\"shop\"}", .no_time = true)
ONE(zap, "zap",
	"{\"level\":\"dpanic\",\"ts\":1767323045.678,\"logger\":\"http.log\",\"caller\":\"a/"
	"b.go:7\",\"msg\":\"odd\",\"stacktrace\":\"x\"}",
	"critical", "odd",
	"{\"level\":\"dpanic\",\"ts\":1767323045.678,\"logger\":\"http.log\",\"caller\":\"a/"
	"b.go:7\",\"stacktrace\":\"x\"}",
	"http.log")
ONE(caddy, "zap",
	"{\"level\":\"info\",\"ts\":1767323045.678,\"logger\":\"http.log.access\",\"msg\":\"handled "
	"request\",\"request\":{\"method\":\"GET\"},\"status\":200}",
	"info", "handled request",
	"{\"level\":\"info\",\"ts\":1767323045.678,\"logger\":\"http.log.access\",\"request\":{\"method\":"
	"\"GET\"},\"status\":200}",
	"http.log.access")
ONE(zerolog, "zerolog",
	"{\"level\":\"panic\",\"error\":\"eof\",\"time\":\"2026-01-02T03:04:05.678Z\",\"message\":\"bad\"}",
	"emergency", "bad", "{\"level\":\"panic\",\"error\":\"eof\",\"time\":\"2026-01-02T03:04:05.678Z\"}")
ONE(zerolog_unix_ms, "zerolog", "{\"level\":\"warn\",\"time\":1767323045678,\"message\":\"bad\"}", "warning",
	"bad", "{\"level\":\"warn\",\"time\":1767323045678}")
ONE(logrus, "slog",
	"{\"level\":\"warning\",\"msg\":\"low\",\"fields.level\":3,\"time\":\"2026-01-02T04:04:05.678+01:00\"}",
	"warning", "low", "{\"level\":\"warning\",\"fields.level\":3,\"time\":\"2026-01-02T04:04:05.678+01:00\"}")
ONE(slog, "slog",
	"{\"time\":\"2026-01-02T03:04:05.678000001Z\",\"level\":\"ERROR-1\",\"msg\":\"hm\",\"req\":{\"method\":"
	"\"GET\"}}",
	"warning", "hm",
	"{\"time\":\"2026-01-02T03:04:05.678000001Z\",\"level\":\"ERROR-1\",\"req\":{\"method\":\"GET\"}}")
ONE(hclog, "hclog",
	"{\"@level\":\"debug\",\"@message\":\"dial\",\"@module\":\"raft\",\"@timestamp\":\"2026-01-02T03:04:05."
	"678000Z\",\"n\":1}",
	"debug", "dial",
	"{\"@level\":\"debug\",\"@module\":\"raft\",\"@timestamp\":\"2026-01-02T03:04:05.678000Z\",\"n\":1}",
	"raft")
ONE(structlog, "structlog",
	"{\"user\": 7, \"event\": \"login\", \"level\": \"info\", \"logger\": \"auth\", \"timestamp\": "
	"1767323045.678}",
	"info", "login",
	"{\"user\": 7, \"level\": \"info\", \"logger\": \"auth\", \"timestamp\": 1767323045.678}", "auth")
ONE(python_json_logger, "python-json-logger",
	"{\"asctime\": \"2026-01-02 03:04:05,678\", \"levelname\": \"CRITICAL\", \"name\": \"shop.db\", "
	"\"message\": \"gone\"}",
	"critical", "gone",
	"{\"observ\":{\"zone\":\"assumed\"},\"asctime\": \"2026-01-02 03:04:05,678\", \"levelname\": "
	"\"CRITICAL\", \"name\": "
	"\"shop.db\"}",
	"shop.db", .flags = LOG_ENTRY_ZONE_ASSUMED)
ONE(python_json_logger_default, "json", "{\"message\": \"only that\"}", "info", "only that", NULL,
	.no_time = true)
ONE(python_levelno, "python",
	"{\"name\": \"root\", \"msg\": \"late\", \"levelno\": 30, \"created\": 1767323045.678, \"process\": 7}",
	"warning", "late", "{\"name\": \"root\", \"levelno\": 30, \"created\": 1767323045.678, \"process\": 7}",
	"root")
ONE(ecs, "ecs",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"log.level\":\"Error\",\"message\":\"bad\",\"ecs."
	"version\":\"1.6.0\",\"log."
	"logger\":\"a.B\",\"error.stack_trace\":\"x\"}",
	"error", "bad",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"log.level\":\"Error\",\"ecs.version\":\"1.6.0\",\"log."
	"logger\":\"a.B\",\"error."
	"stack_trace\":\"x\"}",
	"a.B")
ONE(ecs_nested, "ecs",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"log\":{\"level\":\"warn\",\"logger\":\"a.B\"},"
	"\"message\":\"bad\"}",
	"warning", "bad",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"log\":{\"level\":\"warn\",\"logger\":\"a.B\"}}", "a.B")
ONE(logback, "logback",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"@version\":\"1\",\"message\":\"Started\",\"logger_name\":"
	"\"com.x.Main\",\"thread_"
	"name\":\"main\",\"level\":\"INFO\",\"level_value\":20000}",
	"info", "Started",
	"{\"@timestamp\":\"2026-01-02T03:04:05.678Z\",\"@version\":\"1\",\"logger_name\":\"com.x.Main\",\"thread_"
	"name\":\"main\",\"level\":"
	"\"INFO\",\"level_value\":20000}",
	"com.x.Main")
ONE(log4j2, "log4j2",
	"{\"instant\":{\"epochSecond\":1767323045,\"nanoOfSecond\":678000000},\"thread\":\"main\",\"level\":"
	"\"FATAL\",\"loggerName\":\"a.B\","
	"\"message\":\"bad\",\"endOfBatch\":false}",
	"fatal", "bad",
	"{\"instant\":{\"epochSecond\":1767323045,\"nanoOfSecond\":678000000},\"thread\":\"main\",\"level\":"
	"\"FATAL\",\"loggerName\":\"a.B\","
	"\"endOfBatch\":false}",
	"a.B")
ONE(log4j2_inverted_numbers, "log4j2",
	"{\"timeMillis\":1767323045678,\"level\":200,\"loggerName\":\"a.B\",\"message\":\"bad\"}", "error", "bad",
	"{\"timeMillis\":1767323045678,\"level\":200,\"loggerName\":\"a.B\"}", "a.B")
ONE(serilog_compact, "serilog-compact",
	"{\"@t\":\"2026-01-02T03:04:05.6780000Z\",\"@mt\":\"Order {Id} by {@User} took {Ms:000} "
	"{{ms}}\",\"Id\":7,\"User\":{\"n\":\"Bob\"},\"Ms\":\"12\"}",
	"info", "Order 7 by {\"n\":\"Bob\"} took 12 {ms}",
	"{\"@t\":\"2026-01-02T03:04:05.6780000Z\",\"@mt\":\"Order {Id} by {@User} took {Ms:000} "
	"{{ms}}\",\"Id\":7,\"User\":{\"n\":\"Bob\"},\"Ms\":\"12\"}")
ONE(serilog_rendered, "serilog-compact",
	"{\"@t\":\"2026-01-02T03:04:05.6780000Z\",\"@m\":\"Order "
	"7\",\"@l\":\"Verbose\",\"SourceContext\":\"Shop.Orders\"}",
	"trace", "Order 7",
	"{\"@t\":\"2026-01-02T03:04:05.6780000Z\",\"@l\":\"Verbose\",\"SourceContext\":\"Shop.Orders\"}",
	"Shop.Orders")
ONE(serilog_full, "serilog",
	"{\"Timestamp\":\"2026-01-02T04:04:05.6780000+01:00\",\"Level\":\"Warning\",\"MessageTemplate\":\"Order "
	"{Id}\",\"RenderedMessage\":\"Order 7\",\"Properties\":{\"Id\":7,\"SourceContext\":\"Shop.Orders\"}}",
	"warning", "Order 7",
	"{\"Timestamp\":\"2026-01-02T04:04:05.6780000+01:00\",\"Level\":\"Warning\",\"MessageTemplate\":\"Order "
	"{Id}\",\"Properties\":{\"Id\":7,\"SourceContext\":\"Shop.Orders\"}}",
	"Shop.Orders")
ONE(dotnet, "dotnet",
	"{\"EventId\":14,\"LogLevel\":\"Information\",\"Category\":\"Hosting\",\"Message\":\"Now "
	"listening\",\"Timestamp\":\"2026-01-02T03:04:05.678Z\",\"State\":{}}",
	"info", "Now listening",
	"{\"EventId\":14,\"LogLevel\":\"Information\",\"Category\":\"Hosting\",\"Timestamp\":\"2026-01-02T03:04:"
	"05.678Z\",\"State\":{}}",
	"Hosting")
ONE(monolog, "monolog",
	"{\"message\":\"bad\",\"context\":{\"a\":1},\"level\":550,\"level_name\":\"ALERT\",\"channel\":\"app\","
	"\"datetime\":\"2026-01-02T03:04:"
	"05.678000+00:00\",\"extra\":[]}",
	"alert", "bad",
	"{\"context\":{\"a\":1},\"level\":550,\"level_name\":\"ALERT\",\"channel\":\"app\",\"datetime\":\"2026-"
	"01-02T03:04:05.678000+00:00\","
	"\"extra\":[]}",
	"app")
ONE(gelf, "gelf",
	"{\"version\":\"1.1\",\"host\":\"web-1\",\"short_message\":\"bad\",\"full_message\":\"bad\\nvery\","
	"\"timestamp\":1767323045.678,"
	"\"level\":3,\"_user\":7}",
	"error", "bad",
	"{\"version\":\"1.1\",\"host\":\"web-1\",\"full_message\":\"bad\\nvery\",\"timestamp\":1767323045.678,"
	"\"level\":3,\"_user\":7}")
ONE(journald, "journald",
	"{\"__REALTIME_TIMESTAMP\":\"1767323045678000\",\"PRIORITY\":\"4\",\"MESSAGE\":\"low on "
	"space\",\"_SYSTEMD_UNIT\":\"shop.service\",\"_PID\":\"7\"}",
	"warning", "low on space",
	"{\"__REALTIME_TIMESTAMP\":\"1767323045678000\",\"PRIORITY\":\"4\",\"_SYSTEMD_UNIT\":\"shop.service\",\"_"
	"PID\":\"7\"}",
	"shop.service")
ONE(journald_bytes, "journald",
	"{\"__REALTIME_TIMESTAMP\":\"1767323045678000\",\"PRIORITY\":\"6\",\"SYSLOG_IDENTIFIER\":\"shop\","
	"\"MESSAGE\":[104, 105, "
	"255]}",
	"info", "hi\xef\xbf\xbd",
	"{\"__REALTIME_TIMESTAMP\":\"1767323045678000\",\"PRIORITY\":\"6\",\"SYSLOG_IDENTIFIER\":\"shop\"}",
	"shop")
ONE(rust_tracing, "tracing",
	"{\"timestamp\":\"2026-01-02T03:04:05.678000Z\",\"level\":\"TRACE\",\"fields\":{\"message\":\"poll\","
	"\"n\":1},\"target\":\"shop::db\"}",
	"trace", "poll",
	"{\"timestamp\":\"2026-01-02T03:04:05.678000Z\",\"level\":\"TRACE\",\"fields\":{\"message\":\"poll\","
	"\"n\":1},\"target\":\"shop::db\"}",
	"shop::db")
ONE(postgresql, "postgresql",
	"{\"timestamp\":\"2026-01-02 03:04:05.678 "
	"UTC\",\"pid\":7,\"error_severity\":\"LOG\",\"message\":\"checkpoint "
	"starting: time\",\"query_id\":0}",
	"info", "checkpoint starting: time",
	"{\"timestamp\":\"2026-01-02 03:04:05.678 UTC\",\"pid\":7,\"error_severity\":\"LOG\",\"query_id\":0}")
ONE(mongodb, "mongodb",
	"{\"t\":{\"$date\":\"2026-01-02T04:04:05.678+01:00\"},\"s\":\"W\",\"c\":\"NETWORK\",\"id\":22943,\"ctx\":"
	"\"listener\",\"msg\":\"slow\","
	"\"attr\":{\"n\":1}}",
	"warning", "slow",
	"{\"t\":{\"$date\":\"2026-01-02T04:04:05.678+01:00\"},\"s\":\"W\",\"c\":\"NETWORK\",\"id\":22943,\"ctx\":"
	"\"listener\",\"attr\":{\"n\":1}}",
	"NETWORK")
ONE(docker_text, "docker",
	"{\"log\":\"ERROR no\\n\",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.678000001Z\"}", "error",
	"ERROR no", "{\"observ\":{\"stream\":\"stderr\"}}")
ONE(docker_json, "docker",
	"{\"log\":\"{\\\"level\\\":40,\\\"time\\\":1767323045678,\\\"msg\\\":\\\"in\\\"}\\n\",\"stream\":"
	"\"stdout\",\"time\":\"2026-"
	"01-02T03:04:06Z\"}",
	"warning", "in", "{\"level\":40,\"time\":1767323045678}")
ONE(gcp, "cloud", "{\"severity\":\"NOTICE\",\"message\":\"x\",\"time\":\"2026-01-02T03:04:05.678Z\"}",
	"notice", "x", "{\"severity\":\"NOTICE\",\"time\":\"2026-01-02T03:04:05.678Z\"}")
ONE(datadog, "cloud", "{\"status\":\"error\",\"message\":\"x\",\"timestamp\":1767323045678}", "error", "x",
	"{\"status\":\"error\",\"timestamp\":1767323045678}")

static void
numbers_of_levels_are_those_of_the_file_s_logger(void **state)
{
	/* 40 is pino's warning and Python's error. */
	assert_text(entry_of("{\"level\":40,\"time\":1767323045678,\"msg\":\"x\"}")->level, "warning");
	assert_text(entry_of("{\"levelno\":40,\"msg\":\"x\"}")->level, "error");
	assert_string_equal(log_lines_format(&lines), "pino");
}

static void
a_file_s_logger_changes_after_20_lines_of_another(void **state)
{
	(void) entry_of("{\"level\":40,\"time\":1767323045678,\"msg\":\"x\"}");
	for (int i = 0; i < LOG_FORMAT_MISSES - 1; i++)
		(void) entry_of("{\"levelno\":40,\"msg\":\"x\"}");
	assert_string_equal(log_lines_format(&lines), "pino");
	(void) entry_of("{\"levelno\":40,\"msg\":\"x\"}");
	assert_string_equal(log_lines_format(&lines), "python");
}

static void
a_status_of_http_is_no_level_and_an_unknown_level_stays(void **state)
{
	assert_text(entry_of("{\"status\":500,\"msg\":\"x\"}")->level, "info");
	assert_text(entry_of("{\"status\":\"shipped\",\"msg\":\"x\"}")->level, "info");
	assert_text(entry_of("{\"level\":\"AUDIT\",\"msg\":\"x\"}")->level, "audit");
	assert_text(entry_of("{\"level\":\"this is a sentence and not a level at all\",\"msg\":\"x\"}")->level,
				"info");
	assert_text(entry_of("{\"level\":null,\"severity\":\"ALERT\",\"msg\":\"x\"}")->level, "alert");
	lines.level = "notice";
	assert_text(entry_of("{\"msg\":\"x\"}")->level, "notice");
}

static void
logcore_keeps_what_stands_beside_its_keys(void **state)
{
	assert_text(
		entry_of("{\"timestamp\": \"2026-01-02T03:04:05.678Z\", \"exception\": \"E\", \"level\": \"WARN\", "
				 "\"logger\": \"a\", \"message\": \"m\", \"context\": {\"b\": 1}, \"line\": 7}")
			->context,
		"{\"observ\":{\"level\":\"WARN\"},\"exception\": \"E\", \"line\": 7,\"b\": 1}");
	assert_text(entry_of("{\"timestamp\": \"2026-01-02T03:04:05Z\", \"level\": \"INFO\", \"logger\": \"a\", "
						 "\"message\": \"m\"}")
					->context,
				NULL);
	assert_text(
		entry_of(
			"{\"timestamp\": \"2026-01-02T03:04:05Z\", \"level\": \"INFO\", \"logger\": \"a\", \"message\": "
			"\"m\", \"context\": [1]}")
			->context,
		"{\"timestamp\": \"2026-01-02T03:04:05Z\", \"level\": \"INFO\", \"logger\": \"a\", \"context\": "
		"[1]}");
	/* Written by hand: without a logger, or a time. */
	assert_text(
		entry_of("{\"level\": \"INFO\", \"message\": \"m\", \"context\": {\"b\": 1}, \"line\": 7}")->context,
		"{\"line\": 7,\"b\": 1}");
}

static void
notes_never_overwrite_the_user_s_key(void **state)
{
	lines.level = "info";
	assert_text(entry_of("{\"observ\":1,\"message\":\"x\",\"n\":1e999}")->context,
				"{\"_observ\":{\"repaired\":true},\"observ\":1,\"n\":\"1e999\"}");
	assert_text(entry_of("{\"observ\":1,\"_observ\":2,\"message\":\"x\",\"n\":1e999}")->context,
				"{\"observ\":1,\"_observ\":2,\"n\":\"1e999\"}");
	assert_text(entry_of("{\"timestamp\":\"2026-01-02T03:04:05Z\",\"level\":\"WARN\",\"logger\":\"a\","
						 "\"message\":\"m\",\"context\":{"
						 "\"observ\":{}}}")
					->context,
				"{\"_observ\":{\"level\":\"WARN\"},\"observ\":{}}");
}

static void
an_object_without_message_is_its_message(void **state)
{
	assert_entry(entry_of("{\"a\":1}"), "info", "{\"a\":1}", "{\"a\":1}", NULL);
	assert_entry(entry_of("{\"message\":null,\"msg\":7}"), "info", "7", "{\"message\":null}", NULL);
	assert_entry(entry_of("{\"message\":{\"a\":1}}"), "info", "{\"a\":1}", NULL, NULL);
	assert_entry(entry_of("{\"message\":\"a\",\"message\":\"b\"}"), "info", "b",
				 "{\"message\":\"a\",\"message\":\"b\"}", NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(logcore),
		TEST(pino),
		TEST(bunyan),
		TEST(winston),
		TEST(zap),
		TEST(caddy),
		TEST(zerolog),
		TEST(zerolog_unix_ms),
		TEST(logrus),
		TEST(slog),
		TEST(hclog),
		TEST(structlog),
		TEST(python_json_logger),
		TEST(python_json_logger_default),
		TEST(python_levelno),
		TEST(ecs),
		TEST(ecs_nested),
		TEST(logback),
		TEST(log4j2),
		TEST(log4j2_inverted_numbers),
		TEST(serilog_compact),
		TEST(serilog_rendered),
		TEST(serilog_full),
		TEST(dotnet),
		TEST(monolog),
		TEST(gelf),
		TEST(journald),
		TEST(journald_bytes),
		TEST(rust_tracing),
		TEST(postgresql),
		TEST(mongodb),
		TEST(docker_text),
		TEST(docker_json),
		TEST(gcp),
		TEST(datadog),
		TEST(numbers_of_levels_are_those_of_the_file_s_logger),
		TEST(a_file_s_logger_changes_after_20_lines_of_another),
		TEST(a_status_of_http_is_no_level_and_an_unknown_level_stays),
		TEST(logcore_keeps_what_stands_beside_its_keys),
		TEST(notes_never_overwrite_the_user_s_key),
		TEST(an_object_without_message_is_its_message),
	};

	return TESTS(tests);
}
