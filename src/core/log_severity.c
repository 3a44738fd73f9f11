/* log_severity.c: levels of all loggers. See log_severity.h for what belongs here. */
#include "core/log_severity.h"

#define NAME_MAX_BYTES 15

struct step {
	int64_t from; /* and above, up to the next one */
	const char *name;
};

static const struct step pino[] = {{0, "trace"},  {20, "debug"}, {30, "info"}, {40, "warning"},
								   {50, "error"}, {60, "fatal"}, {0, NULL}};
static const struct step python[] = {{0, "trace"},  {10, "debug"},    {20, "info"}, {30, "warning"},
									 {40, "error"}, {50, "critical"}, {0, NULL}};
static const struct step syslog[] = {{0, "emergency"}, {1, "alert"},  {2, "critical"}, {3, "error"},
									 {4, "warning"},   {5, "notice"}, {6, "info"},     {7, "debug"},
									 {8, NULL},        {0, NULL}};
static const struct step monolog[] = {{0, "debug"},     {200, "info"},      {250, "notice"},
									  {300, "warning"}, {400, "error"},     {500, "critical"},
									  {550, "alert"},   {600, "emergency"}, {0, NULL}};
static const struct step log4j[] = {{0, "fatal"},   {101, "error"}, {201, "warning"}, {301, "info"},
									{401, "debug"}, {501, "trace"}, {0, NULL}};
static const struct step logstash[] = {{0, "trace"},       {10000, "debug"}, {20000, "info"},
									   {30000, "warning"}, {40000, "error"}, {0, NULL}};
static const struct step any[] = {{0, "emergency"}, {1, "alert"},       {2, "critical"}, {3, "error"},
								  {4, "warning"},   {5, "notice"},      {6, "info"},     {7, "debug"},
								  {8, "trace"},     {20, "debug"},      {30, "info"},    {40, "warning"},
								  {50, "error"},    {60, "fatal"},      {100, "debug"},  {200, "info"},
								  {250, "notice"},  {300, "warning"},   {400, "error"},  {500, "critical"},
								  {550, "alert"},   {600, "emergency"}, {0, NULL}};

static const struct step *const scales[LOG_SCALES] = {
	[LOG_SCALE_ANY] = any,           [LOG_SCALE_PINO] = pino,       [LOG_SCALE_PYTHON] = python,
	[LOG_SCALE_SYSLOG] = syslog,     [LOG_SCALE_MONOLOG] = monolog, [LOG_SCALE_LOG4J] = log4j,
	[LOG_SCALE_LOGSTASH] = logstash,
};

/* In lower case. Verbose is below debug for Serilog, .NET and Android (for npm it is above). */
static const struct {
	const char *name, *is;
} names[] = {
	{"info", "info"},
	{"error", "error"},
	{"debug", "debug"},
	{"warning", "warning"},
	{"warn", "warning"},
	{"trace", "trace"},
	{"critical", "critical"},
	{"fatal", "fatal"},
	{"notice", "notice"},
	{"information", "info"},
	{"log", "info"},
	{"err", "error"},
	{"verbose", "trace"},
	{"http", "debug"},
	{"silly", "trace"},
	{"crit", "critical"},
	{"severe", "error"},
	{"alert", "alert"},
	{"emergency", "emergency"},
	{"emerg", "emergency"},
	{"panic", "emergency"},
	{"dpanic", "critical"},
	{"fine", "debug"},
	{"finer", "trace"},
	{"finest", "trace"},
	{"config", "debug"},
	{"all", "trace"},
	{"informational", "info"},
	{"default", "info"},
	{"success", "info"},
	{"ok", "info"},
	{"i", "info"},
	{"e", "error"},
	{"w", "warning"},
	{"d", "debug"},
	{"f", "fatal"},
	{"t", "trace"},
	{"v", "trace"},
	{"n", "notice"},
	{"c", "critical"},
	{"d1", "debug"},
	{"d2", "debug"},
	{"d3", "debug"},
	{"d4", "debug"},
	{"d5", "debug"},
	{"debug1", "debug"},
	{"debug2", "debug"},
	{"debug3", "debug"},
	{"debug4", "debug"},
	{"debug5", "debug"},
};

const char *
log_severity_of_number(enum log_scale scale, int64_t number)
{
	const struct step *step = scales[scale];
	const char *name = NULL;

	if (number < 0)
		return NULL;
	for (; step->name != NULL && step->from <= number; step++)
		name = step->name;
	/* A scale that ends in a number without name ends there. */
	return step->name == NULL && step->from > 0 && number >= step->from ? NULL : name;
}

/* slog: DEBUG is -4, INFO 0, WARN 4, ERROR 8. */
static const char *
slog_name(struct slice base, struct slice offset, bool minus)
{
	static const char *const bases[] = {"debug", "info", "warn", "error"};
	int64_t n;

	if (!slice_to_i64(offset, &n) || n > 1000)
		return NULL;
	for (int i = 0; i < 4; i++)
		if (slice_equals(base, bases[i])) {
			int64_t level = (i - 1) * 4 + (minus ? -n : n);
			return level < -4   ? "trace"
				   : level < 0  ? "debug"
				   : level < 4  ? "info"
				   : level < 8  ? "warning"
				   : level < 12 ? "error"
								: "critical";
		}
	return NULL;
}

const char *
log_severity_of_name(struct slice name)
{
	char lower[NAME_MAX_BYTES];
	size_t len = (size_t) (name.end - name.p);

	if (len == 0 || len > sizeof lower)
		return NULL;
	for (size_t i = 0; i < len; i++)
		lower[i] = (char) (name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
	struct slice folded = {lower, lower + len};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].name[0] == lower[0] && slice_equals(folded, names[i].name))
			return names[i].is;
	for (size_t i = 1; i + 1 < len; i++)
		if (lower[i] == '+' || lower[i] == '-')
			return slog_name((struct slice){lower, lower + i}, (struct slice){lower + i + 1, lower + len},
							 lower[i] == '-');
	return NULL;
}
