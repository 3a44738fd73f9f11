/* log_level.c: names of log levels. See log_level.h for what belongs here. */
#include "core/log_level.h"

#include "core/log_tokens.h"

/* Names of syslog (RFC 5424), Python, log4j, Go, PostgreSQL. */
const struct log_level log_levels[] = {
	{"trace", 0},  {"debug", 1},    {"info", 2},      {"information", 2}, {"log", 2},
	{"notice", 3}, {"warn", 4},     {"warning", 4},   {"error", 5},       {"err", 5},
	{"severe", 5}, {"critical", 6}, {"crit", 6},      {"fatal", 6},       {"alert", 7},
	{"panic", 8},  {"emerg", 8},    {"emergency", 8}, {NULL, 0},
};

static bool
equal_fold(struct slice s, const char *lower)
{
	while (s.p < s.end && *lower != '\0' && (char) log_fold[(unsigned char) *s.p] == *lower) {
		s.p++;
		lower++;
	}
	return s.p == s.end && *lower == '\0';
}

int
log_level_rank(struct slice name)
{
	for (const struct log_level *level = log_levels; level->name != NULL; level++)
		if (equal_fold(name, level->name))
			return level->rank;
	return -1;
}
