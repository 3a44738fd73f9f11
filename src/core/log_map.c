/* log_map.c: loggers and their keys. See log_map.h for what belongs here. */
#include "core/log_map.h"

#include "core/log_time.h"

/* Bits of the keys from one to before another. */
#define BITS(from, before) ((UINT64_C(1) << (before)) - (UINT64_C(1) << (from)))

#define TIMES    BITS(KEY_AT_TIMESTAMP, KEY_LEVEL)
#define LEVELS   BITS(KEY_LEVEL, KEY_MESSAGE)
#define MESSAGES BITS(KEY_MESSAGE, KEY_LOGGER)
/* NAME and what follows it are loggers in lines of some loggers only. */
#define LOGGERS BITS(KEY_LOGGER, KEY_NAME)

#define BIT(key) (UINT64_C(1) << (key))

/* Without one of these a line has no time; others may hold anything. */
#define SURE_TIMES (BITS(KEY_AT_TIMESTAMP, KEY_DATE) | BIT(KEY_TIMESTAMP_UPPER) | BIT(KEY_REALTIME_TIMESTAMP))
/* Levels of any name; under other keys only names that are known. */
#define SURE_LEVELS (LEVELS & ~(BIT(KEY_PRIORITY) | BIT(KEY_STATUS) | BIT(KEY_S)))

/* The first that fits is it: the more particular ones stand first. */
static const struct log_format formats[] = {
	{"docker", {KEY_LOG, KEY_STREAM, KEY_TIME}, .string = KEY_LOG, .wraps = true},
	{"logcore",
	 {KEY_TIMESTAMP, KEY_LEVEL, KEY_LOGGER, KEY_MESSAGE},
	 .string = KEY_LEVEL,
	 .own_context = true},
	{"logcore", {KEY_LEVEL, KEY_MESSAGE, KEY_CONTEXT}, .string = KEY_LEVEL, .own_context = true},
	{"journald",
	 {KEY_REALTIME_TIMESTAMP, KEY_MESSAGE_UPPER},
	 .scale = LOG_SCALE_SYSLOG,
	 .logger = KEY_SYSLOG_IDENTIFIER},
	{"gelf", {KEY_SHORT_MESSAGE, KEY_VERSION}, .scale = LOG_SCALE_SYSLOG},
	{"mongodb", {KEY_DATE_OF_T, KEY_S, KEY_C, KEY_MSG}, .logger = KEY_C},
	{"serilog-compact", {KEY_AT_T, KEY_AT_M}, .level = "info"},
	{"serilog-compact", {KEY_AT_T, KEY_AT_MT}, .level = "info"},
	{"hclog", {KEY_AT_MESSAGE, KEY_AT_LEVEL}, .logger = KEY_AT_MODULE},
	{"ecs", {KEY_AT_TIMESTAMP, KEY_LOG_LEVEL}},
	{"logback", {KEY_AT_TIMESTAMP, KEY_LEVEL_VALUE, KEY_MESSAGE}, .scale = LOG_SCALE_LOGSTASH},
	{"logback", {KEY_AT_TIMESTAMP, KEY_LOGGER_NAME, KEY_MESSAGE}, .scale = LOG_SCALE_LOGSTASH},
	{"dotnet", {KEY_TIMESTAMP_UPPER, KEY_DOTNET_LEVEL}, .logger = KEY_CATEGORY},
	{"serilog", {KEY_TIMESTAMP_UPPER, KEY_LEVEL_UPPER}},
	{"log4j2", {KEY_INSTANT, KEY_LEVEL}, .scale = LOG_SCALE_LOG4J},
	{"log4j2", {KEY_TIME_MILLIS, KEY_LEVEL}, .scale = LOG_SCALE_LOG4J},
	{"monolog", {KEY_LEVEL_NAME, KEY_CHANNEL}, .scale = LOG_SCALE_MONOLOG, .logger = KEY_CHANNEL},
	{"postgresql", {KEY_ERROR_SEVERITY}},
	{"tracing", {KEY_FIELDS_MESSAGE}, .logger = KEY_TARGET},
	{"bunyan",
	 {KEY_V, KEY_NAME, KEY_HOSTNAME, KEY_MSG},
	 .number = KEY_LEVEL,
	 .scale = LOG_SCALE_PINO,
	 .logger = KEY_NAME},
	{"python", {KEY_LEVELNO}, .scale = LOG_SCALE_PYTHON, .logger = KEY_NAME},
	{"python-json-logger", {KEY_LEVELNAME, KEY_MESSAGE}, .scale = LOG_SCALE_PYTHON, .logger = KEY_NAME},
	{"python-json-logger", {KEY_ASCTIME, KEY_MESSAGE}, .scale = LOG_SCALE_PYTHON, .logger = KEY_NAME},
	{"pino", {KEY_LEVEL, KEY_TIME}, .number = KEY_LEVEL, .scale = LOG_SCALE_PINO, .logger = KEY_NAME},
	{"zap", {KEY_TS, KEY_LEVEL, KEY_MSG}},
	{"structlog", {KEY_EVENT, KEY_LEVEL}},
	{"structlog", {KEY_EVENT, KEY_TIMESTAMP}, .weak = true},
	{"slog", {KEY_TIME, KEY_LEVEL, KEY_MSG}, .weak = true}, /* logrus, too */
	{"zerolog", {KEY_TIME, KEY_LEVEL, KEY_MESSAGE}, .weak = true},
	{"cloud", {KEY_SEVERITY, KEY_MESSAGE}, .weak = true},
	{"cloud", {KEY_STATUS, KEY_MESSAGE}, .string = KEY_STATUS, .weak = true},
	{"winston", {KEY_LEVEL, KEY_MESSAGE}, .weak = true},
	{"json", {KEY_NONE}, .weak = true},
};
#define FORMATS (sizeof formats / sizeof formats[0])

static bool
fits(const struct log_format *format, const struct log_json_values *v)
{
	for (int i = 0; i < 4 && format->needs[i] != KEY_NONE; i++)
		if (!log_json_has(v, (enum log_key) format->needs[i]))
			return false;
	if (format->number != KEY_NONE &&
		(!log_json_has(v, (enum log_key) format->number) || v->of[format->number].type != LOG_JSON_NUMBER))
		return false;
	return format->string == KEY_NONE || v->of[format->string].type == LOG_JSON_STRING;
}

/* A file's logger stays what it is over some odd lines: numbers of levels mean different things. */
static const struct log_format *
choose(const struct log_json_values *v, struct log_choice *choice)
{
	const struct log_format *usual = choice->format != 0 ? &formats[choice->format - 1] : NULL;
	uint8_t i = 0;

	if (usual != NULL && !usual->weak && fits(usual, v)) {
		choice->misses = 0;
		return usual;
	}
	while (!fits(&formats[i], v))
		i++;
	if (usual == NULL || usual->weak || ++choice->misses >= LOG_FORMAT_MISSES) {
		choice->format = (uint8_t) (i + 1);
		choice->misses = 0;
	}
	return &formats[i];
}

/* Takes the lowest bit off. */
static enum log_key
next_key(uint64_t *bits)
{
	enum log_key key = (enum log_key) __builtin_ctzll(*bits);

	*bits &= *bits - 1;
	return key;
}

static bool
is_digits(struct slice s, int64_t *number)
{
	return s.end - s.p <= 6 && slice_to_i64(s, number);
}

static const char *
severity_of(enum log_key key, const struct log_json_value *value, struct slice text, enum log_scale scale)
{
	int64_t number;

	if (value->type == LOG_JSON_STRING && !value->escaped) {
		const char *name = log_severity_of_name(text);
		if (name != NULL)
			return name;
	}
	if (value->type != LOG_JSON_STRING && value->type != LOG_JSON_NUMBER)
		return NULL;
	if ((BIT(key) & SURE_LEVELS) == 0 || !is_digits(text, &number))
		return NULL;
	if (key == KEY_LEVELNO)
		scale = LOG_SCALE_PYTHON;
	else if (key == KEY_LEVEL_VALUE)
		scale = LOG_SCALE_LOGSTASH;
	else if (key == KEY_PRIORITY_UPPER)
		scale = LOG_SCALE_SYSLOG;
	return log_severity_of_number(scale, number);
}

/* Whether two texts are the same but for the case of ASCII letters; `lower` is in lower case. */
static bool
equal_but_case(struct slice s, const char *lower)
{
	for (; s.p < s.end && *lower != '\0'; s.p++, lower++)
		if ((*s.p >= 'A' && *s.p <= 'Z' ? *s.p + 32 : *s.p) != *lower)
			return false;
	return s.p == s.end && *lower == '\0';
}

static void
map_level(struct slice text, const struct log_json_values *v, const struct log_defaults *defaults,
		  struct log_mapped *out)
{
	uint64_t bits = v->seen[0] & LEVELS;
	struct slice odd = {0};

	while (bits != 0) {
		enum log_key key = next_key(&bits);
		const struct log_json_value *value = &v->of[key];
		struct slice written = log_json_text(text, value);

		out->level = severity_of(key, value, written, out->format->scale);
		if (out->level != NULL) {
			if (!equal_but_case(written, out->level))
				out->level_as_written = written;
			return;
		}
		if (odd.p == NULL && value->type == LOG_JSON_STRING && (BIT(key) & SURE_LEVELS) != 0 &&
			!value->escaped && written.p < written.end && written.end - written.p <= LOG_LEVEL_MAX)
			odd = written;
	}
	if (odd.p == NULL) {
		out->level = out->format->level != NULL ? out->format->level : defaults->level;
		return;
	}
	for (size_t i = 0; odd.p + i < odd.end; i++)
		out->level_text[i] = (char) (odd.p[i] >= 'A' && odd.p[i] <= 'Z' ? odd.p[i] + 32 : odd.p[i]);
	out->level_text[odd.end - odd.p] = '\0';
}

/* log4j2: {"epochSecond": …, "nanoOfSecond": …} */
static enum log_time_result
instant(struct slice text, const struct log_json_values *v, int64_t *us)
{
	int64_t seconds, nanos = 0;

	if (!log_json_has(v, KEY_EPOCH_SECOND) ||
		!slice_to_i64(log_json_text(text, &v->of[KEY_EPOCH_SECOND]), &seconds) ||
		seconds > INT64_C(100000000000))
		return LOG_TIME_NONE;
	if (log_json_has(v, KEY_NANO_OF_SECOND) &&
		(!slice_to_i64(log_json_text(text, &v->of[KEY_NANO_OF_SECOND]), &nanos) || nanos > 999999999))
		nanos = 0;
	*us = seconds * 1000000 + nanos / 1000;
	return LOG_TIME_OK;
}

static void
map_time(struct slice text, const struct log_json_values *v, const struct log_defaults *defaults,
		 struct log_mapped *out)
{
	uint64_t bits = v->seen[0] & TIMES;
	int64_t us = 0;

	out->timestamp_us = defaults->read_us;
	while (bits != 0) {
		enum log_key key = next_key(&bits);
		const struct log_json_value *value = &v->of[key];
		enum log_time_result result = LOG_TIME_NONE;

		if (key == KEY_INSTANT && value->type == LOG_JSON_OBJECT)
			result = instant(text, v, &us);
		if (key == KEY_T && log_json_has(v, KEY_DATE_OF_T))
			value = &v->of[KEY_DATE_OF_T];
		struct slice written = log_json_text(text, value);
		if ((value->type == LOG_JSON_STRING && !value->escaped) || value->type == LOG_JSON_NUMBER)
			result = log_time_parse(written, defaults->zone_s, defaults->read_us, &us);
		if (result != LOG_TIME_NONE && log_time_plausible(us, defaults->read_us)) {
			out->time = result == LOG_TIME_OK ? LOG_MAPPED_TIME : LOG_MAPPED_TIME_NO_ZONE;
			out->timestamp_us = us;
			return;
		}
		if (out->time == LOG_MAPPED_NO_TIME && (result != LOG_TIME_NONE || (BIT(key) & SURE_TIMES) != 0)) {
			out->time = LOG_MAPPED_BAD_TIME;
			out->time_as_written = written;
		}
	}
}

static bool
is_null(struct slice text, const struct log_json_value *value)
{
	return value->type == LOG_JSON_WORD && text.p[value->start] == 'n';
}

static void
map_message(struct slice text, const struct log_json_values *v, struct log_mapped *out)
{
	uint64_t bits = v->seen[0] & MESSAGES;
	enum log_key second = KEY_NONE;

	while (bits != 0) {
		enum log_key key = next_key(&bits);
		const struct log_json_value *value = &v->of[key];

		if (value->type == LOG_JSON_STRING) {
			out->message = key;
			return;
		}
		/* Objects are texts under the two most usual keys only; journald writes bytes as a list. */
		bool bytes = key == KEY_MESSAGE_UPPER && value->type == LOG_JSON_ARRAY;
		bool object = value->type == LOG_JSON_OBJECT || value->type == LOG_JSON_ARRAY;
		if (second == KEY_NONE && !is_null(text, value) &&
			(bytes || !object || key == KEY_MESSAGE || key == KEY_MSG))
			second = key;
	}
	out->message = second;
}

static void
map_logger(const struct log_json_values *v, struct log_mapped *out)
{
	uint64_t bits = v->seen[0] & (LOGGERS | (out->format->logger != KEY_NONE ? BIT(out->format->logger) : 0));

	if (out->format->logger == KEY_SYSLOG_IDENTIFIER)
		bits |= v->seen[0] & BIT(KEY_SYSTEMD_UNIT);
	while (bits != 0) {
		enum log_key key = next_key(&bits);
		const struct log_json_value *value = &v->of[key];

		if (value->type == LOG_JSON_STRING && value->start < value->end) {
			out->logger = key;
			return;
		}
	}
}

void
log_map(struct slice text, const struct log_json_values *v, const struct log_defaults *defaults,
		struct log_choice *choice, struct log_mapped *out)
{
	memset(out, 0, sizeof *out);
	out->format = choose(v, choice);
	map_time(text, v, defaults, out);
	map_level(text, v, defaults, out);
	map_message(text, v, out);
	map_logger(v, out);
}

const char *
log_choice_name(const struct log_choice *choice)
{
	return choice->format != 0 ? formats[choice->format - 1].name : "json";
}
