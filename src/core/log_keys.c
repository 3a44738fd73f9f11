/* log_keys.c: the keys of JSON log lines. See log_keys.h for what belongs here. */
#include "core/log_keys.h"

struct known {
	const char *name;
	enum log_key key;
};

/* By length, so that those of one length are together: of_length[n] to of_length[n + 1]. */
static const struct known keys[] = {
	{"c", KEY_C},
	{"s", KEY_S},
	{"t", KEY_T},
	{"v", KEY_V},
	{"@l", KEY_AT_L},
	{"@m", KEY_AT_M},
	{"@t", KEY_AT_T},
	{"id", KEY_ID},
	{"ts", KEY_TS},
	{"@mt", KEY_AT_MT},
	{"log", KEY_LOG},
	{"lvl", KEY_LVL},
	{"msg", KEY_MSG},
	{"pid", KEY_PID},
	{"date", KEY_DATE},
	{"host", KEY_HOST},
	{"name", KEY_NAME},
	{"text", KEY_TEXT},
	{"time", KEY_TIME},
	{"Level", KEY_LEVEL_UPPER},
	{"event", KEY_EVENT},
	{"level", KEY_LEVEL},
	{"@level", KEY_AT_LEVEL},
	{"fields", KEY_FIELDS},
	{"logger", KEY_LOGGER},
	{"observ", KEY_OBSERV},
	{"status", KEY_STATUS},
	{"stream", KEY_STREAM},
	{"target", KEY_TARGET},
	{"thread", KEY_THREAD},
	{"@module", KEY_AT_MODULE},
	{"MESSAGE", KEY_MESSAGE_UPPER},
	{"Message", KEY_DOTNET_MESSAGE},
	{"_observ", KEY_OBSERV_SPARE},
	{"asctime", KEY_ASCTIME},
	{"channel", KEY_CHANNEL},
	{"context", KEY_CONTEXT},
	{"created", KEY_CREATED},
	{"instant", KEY_INSTANT},
	{"levelno", KEY_LEVELNO},
	{"message", KEY_MESSAGE},
	{"version", KEY_VERSION},
	{"@message", KEY_AT_MESSAGE},
	{"Category", KEY_CATEGORY},
	{"LogLevel", KEY_DOTNET_LEVEL},
	{"PRIORITY", KEY_PRIORITY_UPPER},
	{"datetime", KEY_DATETIME},
	{"hostname", KEY_HOSTNAME},
	{"loglevel", KEY_LOGLEVEL},
	{"priority", KEY_PRIORITY},
	{"severity", KEY_SEVERITY},
	{"Timestamp", KEY_TIMESTAMP_UPPER},
	{"eventTime", KEY_EVENT_TIME},
	{"levelname", KEY_LEVELNAME},
	{"log.level", KEY_LOG_LEVEL},
	{"timestamp", KEY_TIMESTAMP},
	{"@timestamp", KEY_AT_TIMESTAMP},
	{"Properties", KEY_PROPERTIES},
	{"level_name", KEY_LEVEL_NAME},
	{"log.logger", KEY_LOG_LOGGER},
	{"loggerName", KEY_LOGGERNAME},
	{"timeMillis", KEY_TIME_MILLIS},
	{"ecs.version", KEY_ECS_VERSION},
	{"level_value", KEY_LEVEL_VALUE},
	{"logger_name", KEY_LOGGER_NAME},
	{"SourceContext", KEY_SOURCE_CONTEXT},
	{"_SYSTEMD_UNIT", KEY_SYSTEMD_UNIT},
	{"short_message", KEY_SHORT_MESSAGE},
	{"error_severity", KEY_ERROR_SEVERITY},
	{"fields.message", KEY_FIELDS_MESSAGE},
	{"MessageTemplate", KEY_MESSAGE_TEMPLATE},
	{"RenderedMessage", KEY_RENDERED_MESSAGE},
	{"SYSLOG_IDENTIFIER", KEY_SYSLOG_IDENTIFIER},
	{"__REALTIME_TIMESTAMP", KEY_REALTIME_TIMESTAMP},
};

#define LENGTH_MAX 20

static const uint8_t of_length[LENGTH_MAX + 2] = {0,  0,  4,  9,  14, 19, 22, 30, 42, 51, 56,
												  62, 65, 65, 68, 70, 72, 72, 73, 73, 73, 74};

/* Inside the objects of others. */
static const struct {
	enum log_key parent;
	struct known known;
} nested[] = {
	{KEY_LOG, {"level", KEY_LOG_LEVEL}},
	{KEY_LOG, {"logger", KEY_LOG_LOGGER}},
	{KEY_FIELDS, {"message", KEY_FIELDS_MESSAGE}},
	{KEY_PROPERTIES, {"SourceContext", KEY_SOURCE_CONTEXT}},
	{KEY_CONTEXT, {"observ", KEY_CONTEXT_OBSERV}},
	{KEY_CONTEXT, {"_observ", KEY_CONTEXT_OBSERV_SPARE}},
	{KEY_INSTANT, {"epochSecond", KEY_EPOCH_SECOND}},
	{KEY_INSTANT, {"nanoOfSecond", KEY_NANO_OF_SECOND}},
	{KEY_T, {"$date", KEY_DATE_OF_T}},
};

enum log_key
log_key_find(enum log_key parent, struct slice name)
{
	size_t len = (size_t) (name.end - name.p);

	if (parent != KEY_NONE) {
		for (size_t i = 0; i < sizeof nested / sizeof nested[0]; i++)
			if (nested[i].parent == parent && slice_equals(name, nested[i].known.name))
				return nested[i].known.key;
		return KEY_NONE;
	}
	if (len == 0 || len > LENGTH_MAX)
		return KEY_NONE;
	for (unsigned i = of_length[len]; i < of_length[len + 1]; i++)
		if (keys[i].name[0] == *name.p && memcmp(keys[i].name, name.p, len) == 0)
			return keys[i].key;
	return KEY_NONE;
}
