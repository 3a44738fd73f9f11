/* Label matchers as an argument of SQL functions, and written out. */
#ifndef OBSERV_EXT_LABEL_MATCHERS_H
#define OBSERV_EXT_LABEL_MATCHERS_H

#include "core/matchers.h"
#include "lib/stringinfo.h"

/*
 * Reads matchers (NULL: none) and tries their regular expressions. Raises 42601 with the position, 2201B for a regular expression.
 * Allocates in the current memory context.
 */
extern struct matchers *observ_parse_matchers(const text *given);

/* Whether all of them accept what `lookup` finds. */
extern bool observ_matchers_accept(const struct matchers *matchers, matchers_lookup *lookup, void *arg);

/* name="value", as core/matchers.h reads it: the name in quotes where it must be. */
extern void observ_put_matcher(StringInfo out, const char *name, const char *value);

/* A text in quotes, as it stands in matchers and in OpenMetrics. */
extern void observ_put_quoted(StringInfo out, struct slice text);

/* For other readers of matchers (matcher_sets.c). */

/* Raises 42601: what is wrong, and where in the text. */
extern void observ_matchers_error(const char *given, const struct matchers_error *error)
	pg_attribute_noreturn();

/* Raises 2201B, naming the matcher, when its regular expression can't be. */
extern void observ_try_regex(const struct matcher *matcher);

/* The regular expression of a matcher as PostgreSQL is to run it, over whole values; palloc'd. */
extern char *observ_anchored_regex(const struct matcher *matcher);

#endif
