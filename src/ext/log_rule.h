/* Alert rules over log entries as a pass over them needs them. */
#ifndef OBSERV_EXT_LOG_RULE_H
#define OBSERV_EXT_LOG_RULE_H

#include "ext/evaluation.h"
#include "ext/log_pattern.h"

/* What matchers of log rules are about, besides VPS and application. */
enum log_field { LOG_LEVEL, LOG_LOGGER, LOG_SOURCE, LOG_MESSAGE, LOG_FIELDS };
extern const char *const observ_log_fields[LOG_FIELDS];

typedef struct ObservLogMatcher {
	enum log_field field;
	ObservLogPattern *pattern;
} ObservLogMatcher;

typedef struct ObservLogRule {
	ObservRule *rule;
	TimestampTz start, time; /* entries later than the first, up to the second */
	int n;
	ObservLogMatcher *matchers;
	bool has_message; /* one of them is about the message */
	bool urgent;      /* takes levels only that the index of errors has */
	bool failed;
	int64 left_us; /* time that its regular expressions may take */
} ObservLogRule;

/* A rule as of that time, in the current memory context; `failed` when it can't be evaluated: then that is told already. */
extern ObservLogRule observ_log_rule(ObservEvaluation *evaluation, ObservRule *rule);

/* Whether what the rule says of a field accepts a value. A rule whose expressions take too long fails. */
extern bool observ_log_rule_accepts(ObservEvaluation *evaluation, ObservLogRule *rule, enum log_field field,
									ObservLogValue *value);

/* Levels that the index observ.log_entries_errors_idx has, as an SQL array. */
#define OBSERV_URGENT_LEVELS "ARRAY['ERROR', 'FATAL', 'CRITICAL', 'ALERT', 'EMERGENCY', 'PANIC']"

#endif
