/*
 * One alert rule over log entries: its matchers. What does not belong here: the pass over the entries (rule_logs.c).
 */
#include "postgres.h"

#include "ext/log_rule.h"

#include "ext/gucs.h"
#include "utils/errcodes.h"

const char *const observ_log_fields[LOG_FIELDS] = {"level", "logger", "source", "message"};

/* Those of OBSERV_URGENT_LEVELS. */
static const char *const urgent_levels[] = {"error", "fatal", "critical", "alert", "emergency", "panic"};

static bool
is_urgent_level(struct slice level)
{
	for (size_t i = 0; i < lengthof(urgent_levels); i++)
		if ((size_t) (level.end - level.p) == strlen(urgent_levels[i]) &&
			pg_strncasecmp(level.p, urgent_levels[i], level.end - level.p) == 0)
			return true;
	return false;
}

/* Whether a matcher of the level accepts urgent levels only: error, or error|fatal. */
static bool
is_urgent(const struct matcher *matcher)
{
	struct slice rest = matcher->value;

	if (matcher->op == MATCHER_EQUAL)
		return is_urgent_level(rest);
	if (matcher->op != MATCHER_REGEX)
		return false;
	while (rest.p <= rest.end) {
		struct slice word = rest;

		word.end = memchr(rest.p, '|', rest.end - rest.p);
		if (word.end == NULL)
			word.end = rest.end;
		if (!is_urgent_level(word))
			return false;
		rest.p = word.end + 1;
	}
	return true;
}

static void
add_matcher(ObservLogRule *rule, const struct matcher *matcher)
{
	for (int field = 0; field < LOG_FIELDS; field++) {
		if (!slice_equals(matcher->name, observ_log_fields[field]))
			continue;
		rule->matchers[rule->n++] = (ObservLogMatcher){
			.field = (enum log_field) field, .pattern = observ_log_pattern(matcher, field == LOG_LEVEL)};
		rule->has_message |= field == LOG_MESSAGE;
		rule->urgent |= field == LOG_LEVEL && is_urgent(matcher);
		return;
	}
}

/* Whether log entries have no label of that name. */
static bool
is_unknown(const struct matcher *matcher)
{
	if (slice_equals(matcher->name, "vps_name") || slice_equals(matcher->name, "app_name"))
		return false;
	for (int field = 0; field < LOG_FIELDS; field++)
		if (slice_equals(matcher->name, observ_log_fields[field]))
			return false;
	return true;
}

static void
fail(ObservEvaluation *evaluation, ObservLogRule *rule, int sqlstate, const char *message)
{
	rule->failed = true;
	observ_rule_failed(evaluation, rule->rule, unpack_sql_state(sqlstate), message);
}

ObservLogRule
observ_log_rule(ObservEvaluation *evaluation, ObservRule *rule)
{
	TimestampTz time = observ_rule_time(observ_evaluation_at(evaluation), rule);
	int n = rule->matchers == NULL ? 0 : rule->matchers->n;
	ObservLogRule log_rule = {.rule = rule,
							  .start = time - rule->window_us,
							  .time = time,
							  .matchers = palloc(sizeof(ObservLogMatcher) * (n + 1)),
							  .left_us = observ_rule_statement_timeout * INT64CONST(1000)};

	if (rule->window_us <= 0)
		fail(evaluation, &log_rule, ERRCODE_INVALID_PARAMETER_VALUE, "rules over log entries need a window");
	for (int i = 0; i < n && !log_rule.failed; i++) {
		const struct matcher *matcher = &rule->matchers->item[i];

		if (is_unknown(matcher))
			fail(evaluation, &log_rule, ERRCODE_INVALID_PARAMETER_VALUE,
				 psprintf("log entries have no label \"%.*s\"", (int) (matcher->name.end - matcher->name.p),
						  matcher->name.p));
		else
			add_matcher(&log_rule, matcher);
	}
	return log_rule;
}

bool
observ_log_rule_accepts(ObservEvaluation *evaluation, ObservLogRule *rule, enum log_field field,
						ObservLogValue *value)
{
	for (int i = 0; i < rule->n && !rule->failed; i++) {
		enum observ_pattern_result result;

		if (rule->matchers[i].field != field)
			continue;
		result = observ_log_pattern_accepts(rule->matchers[i].pattern, value, &rule->left_us);
		if (result == PATTERN_TOO_SLOW)
			fail(evaluation, rule, ERRCODE_QUERY_CANCELED,
				 "regular expressions of the rule took longer than observ.rule_statement_timeout");
		if (result != PATTERN_ACCEPTS)
			return false;
	}
	return !rule->failed;
}
