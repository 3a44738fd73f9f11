/* Sets of label matchers, any of which may match: silences, routes, inhibition. What does not belong here: their grammar (core/matchers.c). */
#ifndef OBSERV_EXT_MATCHER_SETS_H
#define OBSERV_EXT_MATCHER_SETS_H

#include "core/matchers.h"

/* Labels that matchers ask for, each once, so that they are looked up once per alert whatever the number of matchers. */
typedef struct ObservLabelNames {
	int n, room;
	struct slice *name;
} ObservLabelNames;

/* Number of that name, which is added when it is new. The bytes of the name must last. */
extern int observ_label_number(ObservLabelNames *names, struct slice name);

typedef struct ObservMatcherSets ObservMatcherSets;

/*
 * Reads one or several sets: {a="b"} or {c="d"}. The empty text is one empty set, which everything matches. Names go to `names`. Allocates in the
 * current memory context, which must outlive the sets: regular expressions are compiled when they are first asked. Raises 42601 with the
 * position.
 */
extern ObservMatcherSets *observ_parse_matcher_sets(const char *given, ObservLabelNames *names);

/* The same; NULL when the text is no such list. What is stored was checked when it was written, and one row that was not must not stop all others. */
extern ObservMatcherSets *observ_try_matcher_sets(const char *given, ObservLabelNames *names);

/*
 * Checks what a person has just written: 42601 with the position, 2201B for a regular expression, 54000 for one longer than 1000 bytes.
 * narrow: each set must have a matcher that does not match an empty value, so that none matches everything by mistake (22023). what:
 * whose matchers they are, for messages: "a silence".
 */
extern void observ_check_matcher_sets(const char *given, bool narrow, const char *what);

/*
 * Whether any of the sets accepts the values, which are in the order of names. A regular expression that does not compile, or takes too much
 * memory, accepts nothing.
 */
extern bool observ_sets_accept(ObservMatcherSets *sets, const struct slice *values);

#endif
