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
 * Reads one or several sets: {a="b"} or {c="d"}. The empty text is one empty set, which everything matches. Names go to `names`. Regular
 * expressions are compiled when they are first asked. Allocates in the current memory context, which must outlive the sets. Raises 42601 with
 * the position.
 */
extern ObservMatcherSets *observ_parse_matcher_sets(const char *given, ObservLabelNames *names);

/*
 * The same for what a person has just written: regular expressions are tried (2201B) and not longer than 1000 bytes (54000). narrow: each set
 * must have a matcher that does not match an empty value, so that none matches everything by mistake (22023). what: whose matchers they
 * are, for messages: "silence".
 */
extern void observ_check_matcher_sets(const char *given, bool narrow, const char *what);

/* Whether any of the sets accepts the values, which are in the order of names. */
extern bool observ_sets_accept(ObservMatcherSets *sets, const struct slice *values);

#endif
