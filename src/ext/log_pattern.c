/*
 * Matchers that are tried on thousands of log entries: compiled once, substrings without an engine, nothing without an end.
 * What does not belong here: which entries (rule_logs.c).
 *
 * A regular expression with back references can take longer than anybody waits for. A timer of our own makes the engine give up as it does when
 * a query is cancelled; nothing is thrown, so the pass over the entries goes on with the other rules.
 */
#include "postgres.h"

#include "ext/log_pattern.h"

#include "catalog/pg_collation.h"
#include "ext/label_matchers.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "regex/regex.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

enum pattern_kind { PATTERN_WHOLE, PATTERN_PREFIX, PATTERN_SUFFIX, PATTERN_WITHIN, PATTERN_REGEX };

struct ObservLogPattern {
	const struct matcher *matcher;
	bool fold_case; /* literals are in lower case then */
	enum pattern_kind kind;
	int n;
	struct slice *literals; /* any of them; of every kind but PATTERN_REGEX */
	regex_t regex;
	MemoryContextCallback freeing;
};

/* ---- reading */

static void
free_regex(void *arg)
{
	pg_regfree(arg);
}

static void
compile(ObservLogPattern *pattern)
{
	struct slice re = pattern->matcher->value;
	int length, rc;
	char *anchored = observ_anchored_regex(pattern->matcher);
	pg_wchar *wide = palloc(sizeof(pg_wchar) * (strlen(anchored) + 1));
	char message[100];

	length = pg_mb2wchar_with_len(anchored, wide, (int) strlen(anchored));
	rc = pg_regcomp(&pattern->regex, wide, length,
					REG_ADVANCED | REG_NOSUB | (pattern->fold_case ? REG_ICASE : 0), C_COLLATION_OID);
	if (rc != REG_OKAY) {
		CHECK_FOR_INTERRUPTS();
		pg_regerror(rc, &pattern->regex, message, sizeof(message));
		ereport(ERROR, (errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
						errmsg("invalid regular expression: %s", message),
						errdetail("It is: %.*s", (int) (re.end - re.p), re.p)));
	}
	/* The engine's memory is malloc()ed. */
	pattern->freeing = (MemoryContextCallback){.func = free_regex, .arg = &pattern->regex};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &pattern->freeing);
}

/* Whether text stands for itself in a regular expression. */
static bool
is_literal(struct slice text)
{
	for (const char *p = text.p; p < text.end; p++)
		if (strchr("\\^$.|?*+()[]{}", *p) != NULL)
			return false;
	return text.p < text.end;
}

static struct slice
folded(struct slice text)
{
	char *lower = palloc(text.end - text.p + 1);

	for (ptrdiff_t i = 0; i < text.end - text.p; i++)
		lower[i] = (char) pg_ascii_tolower((unsigned char) text.p[i]);
	return (struct slice){lower, lower + (text.end - text.p)};
}

static void
add_literal(ObservLogPattern *pattern, struct slice text)
{
	pattern->literals = pattern->literals == NULL
							? palloc(sizeof(struct slice))
							: repalloc(pattern->literals, sizeof(struct slice) * (pattern->n + 1));
	pattern->literals[pattern->n++] = pattern->fold_case ? folded(text) : text;
}

/* Takes the parentheses off (a|b) and (?:a|b). */
static bool
strip_group(struct slice *text)
{
	if (text->end - text->p < 2 || *text->p != '(' || text->end[-1] != ')')
		return false;
	text->p++;
	text->end--;
	if (slice_starts(*text, "?:"))
		text->p += 2;
	return true;
}

/* Most expressions are .*text.* or .*(text|other).*, with (?i) or without. */
static bool
is_simple(ObservLogPattern *pattern)
{
	struct slice text = pattern->matcher->value;
	bool open_start, open_end, alternatives;

	if (slice_starts(text, "(?i)")) {
		pattern->fold_case = true;
		text.p += 4;
	}
	open_start = slice_starts(text, ".*");
	if (open_start)
		text.p += 2;
	open_end = text.end - text.p >= 2 && text.end[-2] == '.' && text.end[-1] == '*';
	if (open_end)
		text.end -= 2;
	/* Without parentheses .*a|b.* is .*a or b.*. */
	alternatives = strip_group(&text) || (!open_start && !open_end);
	for (;;) {
		const char *bar = alternatives ? memchr(text.p, '|', text.end - text.p) : NULL;
		struct slice literal = {text.p, bar != NULL ? bar : text.end};

		if (!is_literal(literal))
			return false;
		add_literal(pattern, literal);
		if (bar == NULL)
			break;
		text.p = bar + 1;
	}
	pattern->kind = open_start ? (open_end ? PATTERN_WITHIN : PATTERN_SUFFIX)
							   : (open_end ? PATTERN_PREFIX : PATTERN_WHOLE);
	return true;
}

ObservLogPattern *
observ_log_pattern(const struct matcher *matcher, bool fold_case)
{
	ObservLogPattern *pattern = palloc0(sizeof(ObservLogPattern));

	pattern->matcher = matcher;
	pattern->fold_case = fold_case;
	if (matcher->op == MATCHER_EQUAL || matcher->op == MATCHER_NOT_EQUAL)
		add_literal(pattern, matcher->value);
	else if (!is_simple(pattern)) {
		pattern->kind = PATTERN_REGEX;
		pattern->fold_case = fold_case;
		compile(pattern);
	}
	return pattern;
}

/* ---- trying */

static bool
literal_matches(enum pattern_kind kind, struct slice literal, struct slice value)
{
	size_t length = literal.end - literal.p, room = value.end - value.p;

	if (room < length || (kind == PATTERN_WHOLE && room != length))
		return false;
	if (length == 0)
		return true;
	if (kind == PATTERN_WITHIN)
		return memmem(value.p, room, literal.p, length) != NULL;
	return memcmp(kind == PATTERN_SUFFIX ? value.end - length : value.p, literal.p, length) == 0;
}

static bool
any_literal_matches(const ObservLogPattern *pattern, ObservLogValue *value)
{
	if (pattern->fold_case && value->lower.p == NULL)
		value->lower = folded(value->bytes);
	for (int i = 0; i < pattern->n; i++)
		if (literal_matches(pattern->kind, pattern->literals[i],
							pattern->fold_case ? value->lower : value->bytes))
			return true;
	return false;
}

static TimeoutId time_is_up = MAX_TIMEOUTS;
static volatile sig_atomic_t gave_up = false;

/* What StatementCancelHandler() does, in a way that can be told from it. */
static void
give_up(void)
{
	gave_up = true;
	InterruptPending = true;
	QueryCancelPending = true;
}

/* Runs the engine, for at most that long. */
static int
execute_timed(regex_t *regex, const ObservLogValue *value, int64 left_us)
{
	int rc;

	if (time_is_up == MAX_TIMEOUTS)
		time_is_up = RegisterTimeout(USER_TIMEOUT, give_up);
	enable_timeout_after(time_is_up, (int) Max(left_us / 1000, 1));
	rc = pg_regexec(regex, value->wide, value->n_wide, 0, NULL, 0, NULL, 0);
	disable_timeout(time_is_up, false);
	if (gave_up) {
		gave_up = false;
		QueryCancelPending = false;
	} else if (rc == REG_CANCEL)
		CHECK_FOR_INTERRUPTS();
	return rc;
}

static enum observ_pattern_result
regex_matches(ObservLogPattern *pattern, ObservLogValue *value, int64 *left_us)
{
	instr_time start, end;
	char message[100];
	int rc;

	if (*left_us <= 0)
		return PATTERN_TOO_SLOW;
	INSTR_TIME_SET_CURRENT(start);
	if (value->wide == NULL) {
		int length = (int) (value->bytes.end - value->bytes.p);

		value->wide = palloc_extended(sizeof(pg_wchar) * ((size_t) length + 1), MCXT_ALLOC_HUGE);
		value->n_wide = length == 0 ? 0 : pg_mb2wchar_with_len(value->bytes.p, value->wide, length);
	}
	rc = execute_timed(&pattern->regex, value, *left_us);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	*left_us -= (int64) INSTR_TIME_GET_MICROSEC(end);
	if (rc == REG_OKAY || rc == REG_NOMATCH)
		return rc == REG_OKAY ? PATTERN_ACCEPTS : PATTERN_REFUSES;
	/* Too slow, or too large for the engine: either way this expression is not one for this value. */
	if (rc == REG_CANCEL || rc == REG_ETOOBIG || rc == REG_ESPACE)
		return PATTERN_TOO_SLOW;
	pg_regerror(rc, &pattern->regex, message, sizeof(message));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_REGULAR_EXPRESSION), errmsg("regular expression failed: %s", message)));
}

enum observ_pattern_result
observ_log_pattern_accepts(ObservLogPattern *pattern, ObservLogValue *value, int64 *left_us)
{
	enum matcher_op op = pattern->matcher->op;
	bool negated = op == MATCHER_NOT_EQUAL || op == MATCHER_NOT_REGEX;
	enum observ_pattern_result result =
		pattern->kind == PATTERN_REGEX
			? regex_matches(pattern, value, left_us)
			: (any_literal_matches(pattern, value) ? PATTERN_ACCEPTS : PATTERN_REFUSES);

	if (result == PATTERN_TOO_SLOW || !negated)
		return result;
	return result == PATTERN_ACCEPTS ? PATTERN_REFUSES : PATTERN_ACCEPTS;
}
