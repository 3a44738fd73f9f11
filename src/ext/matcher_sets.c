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
	bool usable;
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

static ObservMatcherSets *
read_sets(const char *given, ObservLabelNames *names, struct matchers_error *error)
{
	ObservMatcherSets *sets = palloc0(sizeof(ObservMatcherSets));
	struct matchers *matchers = palloc(sizeof(struct matchers));
	struct slice rest = slice_of(given);
	char *memory = palloc(strlen(given) + 1);
	int room = 1;

	sets->context = CurrentMemoryContext;
	sets->set = palloc(room * sizeof(MatcherSet));
	do {
		size_t before = (size_t) (rest.p - given);

		if (!matchers_parse_next(&rest, matchers, &memory, error)) {
			error->offset += before;
			return NULL;
		}
		if (sets->n == room) {
			room *= 2;
			sets->set = repalloc(sets->set, room * sizeof(MatcherSet));
		}
		sets->set[sets->n++] = numbered(matchers, names);
	} while (rest.p < rest.end);
	pfree(matchers);
	return sets;
}

ObservMatcherSets *
observ_try_matcher_sets(const char *given, ObservLabelNames *names)
{
	struct matchers_error error;

	return read_sets(given, names, &error);
}

ObservMatcherSets *
observ_parse_matcher_sets(const char *given, ObservLabelNames *names)
{
	struct matchers_error error;
	ObservMatcherSets *sets = read_sets(given, names, &error);

	if (sets == NULL)
		observ_matchers_error(given, &error);
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
	pfree(wide);
	pfree(pattern);
	if (rc == REG_CANCEL)
		CHECK_FOR_INTERRUPTS();
	regex->usable = rc == REG_OKAY;
	if (!regex->usable)
		return regex;
	regex->freeing.func = free_regex;
	regex->freeing.arg = &regex->re;
	MemoryContextRegisterResetCallback(sets->context, &regex->freeing);
	return regex;
}

/* REG_OKAY, REG_NOMATCH, or why it can't be said. */
static int
run_regex(const ObservMatcherSets *sets, SetMatcher *m, struct slice value)
{
	pg_wchar room[128], *wide = room;
	int length = (int) (value.end - value.p), rc;

	if (m->regex == NULL)
		m->regex = compile(sets, &m->matcher);
	if (!m->regex->usable)
		return REG_INVARG;
	if (length >= (int) lengthof(room))
		wide = palloc((length + 1) * sizeof(pg_wchar));
	length = length == 0 ? 0 : pg_mb2wchar_with_len(value.p, wide, length);
	rc = pg_regexec(&m->regex->re, wide, length, 0, NULL, 0, NULL, 0);
	if (wide != room)
		pfree(wide);
	if (rc == REG_CANCEL)
		CHECK_FOR_INTERRUPTS();
	return rc;
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
		return run_regex(sets, m, value) == REG_OKAY;
	case MATCHER_NOT_REGEX:
		return run_regex(sets, m, value) == REG_NOMATCH;
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
check_regexes(const MatcherSet *set)
{
	for (int i = 0; i < set->n; i++) {
		const struct matcher *m = &set->matcher[i].matcher;

		if (m->op != MATCHER_REGEX && m->op != MATCHER_NOT_REGEX)
			continue;
		if (m->value.end - m->value.p > MAX_REGEX_LENGTH)
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("regular expression of label %.*s is longer than %d bytes",
								   (int) (m->name.end - m->name.p), m->name.p, MAX_REGEX_LENGTH),
							errdetail("It has %d.", (int) (m->value.end - m->value.p)),
							errhint("Join several sets by the word or: {a=\"b\"} or {a=\"c\"}.")));
		observ_try_regex(m);
	}
}

void
observ_check_matcher_sets(const char *given, bool narrow, const char *what)
{
	ObservLabelNames names = {0};
	ObservMatcherSets *sets = observ_parse_matcher_sets(given, &names);
	struct slice *empty = palloc0(Max(names.n, 1) * sizeof *empty);

	for (int i = 0; i < sets->n; i++)
		check_regexes(&sets->set[i]);
	if (narrow && observ_sets_accept(sets, empty))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("matchers of %s match alerts that have none of their labels", what),
			 errdetail("Given: %s", given),
			 errhint("Each set needs a matcher that does not accept an empty value. If all alerts are meant: "
					 "{alertname=~\".+\"}.")));
}
