/*
 * Label matchers with PostgreSQL's errors and regular expressions. What does not belong here: their grammar (src/core/matchers.c).
 */
#include "postgres.h"

#include "ext/label_matchers.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "regex/regex.h"
#include "utils/builtins.h"

/* What goes to the callbacks of matchers_accept(). */
typedef struct Lookup {
	matchers_lookup *lookup;
	void *arg;
} Lookup;

/* Length of options like (?i) that the expression begins with; PostgreSQL wants them before everything else. */
static int
options_length(struct slice re)
{
	const char *p = re.p + 2;

	if (!slice_starts(re, "(?"))
		return 0;
	while (p < re.end && *p >= 'a' && *p <= 'z')
		p++;
	return p > re.p + 2 && p < re.end && *p == ')' ? (int) (p + 1 - re.p) : 0;
}

char *
observ_anchored_regex(const struct matcher *matcher)
{
	int options = options_length(matcher->value);

	/* Of the whole value, as everywhere in Prometheus and Alertmanager. */
	return psprintf("%.*s^(?:%.*s)$", options, matcher->value.p,
					(int) (matcher->value.end - matcher->value.p) - options, matcher->value.p + options);
}

/* PostgreSQL keeps the regular expressions of a session that were used last compiled. */
static bool
regex_matches(const struct matcher *matcher, struct slice value)
{
	char *pattern = observ_anchored_regex(matcher);
	text *re = cstring_to_text(pattern);
	bool matches =
		RE_compile_and_execute(re, unconstify(char *, value.p ? value.p : ""), (int) (value.end - value.p),
							   REG_ADVANCED | REG_NOSUB, C_COLLATION_OID, 0, NULL);

	pfree(pattern);
	pfree(re);
	return matches;
}

static bool
regex_callback(void *arg, const struct matcher *matcher, struct slice value)
{
	return regex_matches(matcher, value);
}

static struct slice
lookup_callback(void *arg, struct slice name)
{
	const Lookup *lookup = arg;

	return lookup->lookup(lookup->arg, name);
}

static void
name_matcher(void *arg)
{
	const struct matcher *m = arg;

	errcontext("label matcher %.*s%s\"%.*s\"", (int) (m->name.end - m->name.p), m->name.p,
			   matcher_op_name(m->op), (int) (m->value.end - m->value.p), m->value.p);
}

void
observ_try_regex(const struct matcher *matcher)
{
	ErrorContextCallback callback = {0};

	callback.previous = error_context_stack;
	callback.callback = name_matcher;
	callback.arg = unconstify(struct matcher *, matcher);
	error_context_stack = &callback;
	(void) regex_matches(matcher, slice_of(""));
	error_context_stack = callback.previous;
}

/* An expression that can't be is an error at once, not when the first series comes by. */
static void
try_regexes(const struct matchers *matchers)
{
	for (int i = 0; i < matchers->n; i++)
		if (matchers->item[i].op == MATCHER_REGEX || matchers->item[i].op == MATCHER_NOT_REGEX)
			observ_try_regex(&matchers->item[i]);
}

void
observ_matchers_error(const char *given, const struct matchers_error *error)
{
	ereport(
		ERROR,
		(errcode(ERRCODE_SYNTAX_ERROR), errmsg("invalid label matchers: %s", error->message),
		 errdetail("At character %d of: %s", pg_mbstrlen_with_len(given, (int) error->offset) + 1, given),
		 errhint("Matchers are written as {name=\"value\", name!=\"value\", name=~\"regular expression\", "
				 "name!~\"regular expression\"}.")));
}

struct matchers *
observ_parse_matchers(const text *given)
{
	struct matchers *matchers = palloc0(sizeof(struct matchers));
	struct matchers_error error;
	char *s;

	if (given == NULL)
		return matchers;
	s = text_to_cstring(given);
	if (!matchers_parse(slice_of(s), matchers, palloc(strlen(s) + 1), &error))
		observ_matchers_error(s, &error);
	try_regexes(matchers);
	return matchers;
}

bool
observ_matchers_accept(const struct matchers *matchers, matchers_lookup *lookup, void *arg)
{
	Lookup callbacks = {lookup, arg};

	return matchers_accept(matchers, lookup_callback, regex_callback, &callbacks);
}

/* ---- written out */

void
observ_put_quoted(StringInfo out, struct slice text)
{
	appendStringInfoChar(out, '"');
	for (const char *p = text.p; p < text.end; p++)
		if (*p == '\n')
			appendStringInfoString(out, "\\n");
		else {
			if (*p == '"' || *p == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, *p);
		}
	appendStringInfoChar(out, '"');
}

void
observ_put_matcher(StringInfo out, const char *name, const char *value)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	if (*name != '\0' && strspn(name, plain) == strlen(name) && !isdigit((unsigned char) *name))
		appendStringInfoString(out, name);
	else
		observ_put_quoted(out, slice_of(name));
	appendStringInfoChar(out, '=');
	observ_put_quoted(out, slice_of(value));
}
