/*
 * Sets of label matchers joined by `or`, with PostgreSQL's regular expressions. What does not belong here: their grammar (core/matchers.c).
 */
#include "postgres.h"

#include "ext/matcher_sets.h"

#include "catalog/pg_collation.h"
#include "ext/label_matchers.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "regex/regex.h"

#define MAX_REGEX_LENGTH 1000 /* bytes */

typedef struct Regex {
	regex_t re;
	MemoryContextCallback freeing;
} Regex;

typedef struct SetMatcher {
	struct matcher matcher;
	int label;
	Regex *regex; /* NULL: not compiled yet */
} SetMatcher;

typedef struct MatcherSet {
	int n;
	SetMatcher *matcher;
} MatcherSet;

struct ObservMatcherSets {
	MemoryContext context;
	int n;
	MatcherSet *set;
};

int
observ_label_number(ObservLabelNames *names, struct slice name)
{
	for (int i = 0; i < names->n; i++)
		if (slice_compare(names->name[i], name) == 0)
			return i;
	if (names->n == names->room) {
		names->room = Max(2 * names->room, 16);
		names->name = names->name == NULL ? palloc(names->room * sizeof *names->name)
										  : repalloc(names->name, names->room * sizeof *names->name);
	}
	names->name[names->n] = name;
	return names->n++;
}

static MatcherSet
numbered(const struct matchers *matchers, ObservLabelNames *names)
{
	MatcherSet set = {.n = matchers->n, .matcher = palloc0(Max(matchers->n, 1) * sizeof(SetMatcher))};

	for (int i = 0; i < set.n; i++) {
		set.matcher[i].matcher = matchers->item[i];
		set.matcher[i].label = observ_label_number(names, matchers->item[i].name);
	}
	return set;
}

/* Reads the next set off *rest, which is a part of `given`. */
static void
next_set(const char *given, struct slice *rest, struct matchers *out, char **memory)
{
	struct matchers_error error;
	size_t before = (size_t) (rest->p - given);

	if (!matchers_parse_next(rest, out, memory, &error)) {
		error.offset += before;
		observ_matchers_error(given, &error);
	}
}

ObservMatcherSets *
observ_parse_matcher_sets(const char *given, ObservLabelNames *names)
{
	ObservMatcherSets *sets = palloc0(sizeof(ObservMatcherSets));
	struct matchers *matchers = palloc(sizeof(struct matchers));
	struct slice rest = slice_of(given);
	char *memory = palloc(strlen(given) + 1);
	int room = 1;

	sets->context = CurrentMemoryContext;
	sets->set = palloc(room * sizeof(MatcherSet));
	do {
		next_set(given, &rest, matchers, &memory);
		if (sets->n == room) {
			room *= 2;
			sets->set = repalloc(sets->set, room * sizeof(MatcherSet));
		}
		sets->set[sets->n++] = numbered(matchers, names);
	} while (rest.p < rest.end);
	pfree(matchers);
	return sets;
}

static void
free_regex(void *arg)
{
	pg_regfree(arg);
}

/* pg_regcomp() allocates by malloc() and raises nothing: the regex goes when the sets' memory does. */
static Regex *
compile(const ObservMatcherSets *sets, const struct matcher *matcher)
{
	Regex *regex = MemoryContextAllocZero(sets->context, sizeof(Regex));
	char *pattern = observ_anchored_regex(matcher);
	int length = (int) strlen(pattern);
	pg_wchar *wide = palloc((length + 1) * sizeof(pg_wchar));
	int rc;

	length = pg_mb2wchar_with_len(pattern, wide, length);
	rc = pg_regcomp(&regex->re, wide, length, REG_ADVANCED | REG_NOSUB, C_COLLATION_OID);
	if (rc != REG_OKAY) {
		char message[100];

		CHECK_FOR_INTERRUPTS();
		pg_regerror(rc, &regex->re, message, sizeof message);
		ereport(ERROR, (errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
						errmsg("invalid regular expression: %s", message), errdetail("It is: %s", pattern)));
	}
	regex->freeing.func = free_regex;
	regex->freeing.arg = &regex->re;
	MemoryContextRegisterResetCallback(sets->context, &regex->freeing);
	pfree(wide);
	pfree(pattern);
	return regex;
}

static bool
regex_accepts(const ObservMatcherSets *sets, SetMatcher *m, struct slice value)
{
	pg_wchar room[128], *wide = room;
	int length = (int) (value.end - value.p), rc;

	if (m->regex == NULL)
		m->regex = compile(sets, &m->matcher);
	if (length >= (int) lengthof(room))
		wide = palloc((length + 1) * sizeof(pg_wchar));
	length = length == 0 ? 0 : pg_mb2wchar_with_len(value.p, wide, length);
	rc = pg_regexec(&m->regex->re, wide, length, 0, NULL, 0, NULL, 0);
	if (wide != room)
		pfree(wide);
	if (rc != REG_OKAY && rc != REG_NOMATCH) {
		char message[100];

		CHECK_FOR_INTERRUPTS();
		pg_regerror(rc, &m->regex->re, message, sizeof message);
		ereport(ERROR, (errcode(ERRCODE_INVALID_REGULAR_EXPRESSION),
						errmsg("regular expression failed: %s", message)));
	}
	return rc == REG_OKAY;
}

static bool
matcher_accepts(const ObservMatcherSets *sets, SetMatcher *m, struct slice value)
{
	switch (m->matcher.op) {
	case MATCHER_EQUAL:
		return slice_compare(m->matcher.value, value) == 0;
	case MATCHER_NOT_EQUAL:
		return slice_compare(m->matcher.value, value) != 0;
	case MATCHER_REGEX:
		return regex_accepts(sets, m, value);
	case MATCHER_NOT_REGEX:
		return !regex_accepts(sets, m, value);
	}
	return false;
}

static bool
set_accepts(const ObservMatcherSets *sets, const MatcherSet *set, const struct slice *values)
{
	for (int i = 0; i < set->n; i++)
		if (!matcher_accepts(sets, &set->matcher[i], values[set->matcher[i].label]))
			return false;
	return true;
}

bool
observ_sets_accept(ObservMatcherSets *sets, const struct slice *values)
{
	for (int i = 0; i < sets->n; i++)
		if (set_accepts(sets, &sets->set[i], values))
			return true;
	return false;
}

static void
check_regex_lengths(const struct matchers *matchers)
{
	for (int i = 0; i < matchers->n; i++) {
		const struct matcher *m = &matchers->item[i];

		if ((m->op == MATCHER_REGEX || m->op == MATCHER_NOT_REGEX) &&
			m->value.end - m->value.p > MAX_REGEX_LENGTH)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("regular expression of label %.*s is longer than %d bytes",
								   (int) (m->name.end - m->name.p), m->name.p, MAX_REGEX_LENGTH),
							errdetail("It has %d.", (int) (m->value.end - m->value.p)),
							errhint("Join several sets by the word or: {a=\"b\"} or {a=\"c\"}.")));
	}
}

void
observ_check_matcher_sets(const char *given, bool narrow, const char *what)
{
	ObservLabelNames names = {0};
	struct matchers *matchers = palloc(sizeof(struct matchers));
	struct slice rest = slice_of(given), *empty;
	char *memory = palloc(strlen(given) + 1);
	ObservMatcherSets *sets;

	do {
		next_set(given, &rest, matchers, &memory);
		check_regex_lengths(matchers);
		observ_try_regexes(matchers);
	} while (rest.p < rest.end);
	if (!narrow)
		return;
	sets = observ_parse_matcher_sets(given, &names);
	empty = palloc0(Max(names.n, 1) * sizeof *empty);
	if (observ_sets_accept(sets, empty))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("matchers of %s match alerts without any labels, that is all", what),
				 errdetail("Given: %s", given),
				 errhint("Each set needs a matcher that does not accept an empty value: {alertname=~\".+\"} if all are meant.")));
}
