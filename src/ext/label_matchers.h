/* Label matchers as an argument of SQL functions. */
#ifndef OBSERV_EXT_LABEL_MATCHERS_H
#define OBSERV_EXT_LABEL_MATCHERS_H

#include "core/matchers.h"

/*
 * Reads matchers (NULL: none) and tries their regular expressions. Raises 42601 with the position, 2201B for a regular expression.
 * Allocates in the current memory context.
 */
extern struct matchers *observ_parse_matchers(const text *given);

/* Whether all of them accept what `lookup` finds. */
extern bool observ_matchers_accept(const struct matchers *matchers, matchers_lookup *lookup, void *arg);

#endif
