/*
 * nearest.h: the name that somebody probably meant.
 *
 * Belongs here: how far two names are from each other. Does not belong here: which names there are.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_NEAREST_H
#define OBSERV_CORE_NEAREST_H

#include <stddef.h>

/* Longer names are near to nothing. */
#define NEAREST_NAME_MAX 63

/* Number of letters to change, insert or leave out (Levenshtein 1965); NEAREST_NAME_MAX + 1 when one of them is too long. */
size_t name_distance(const char *a, const char *b);

struct nearest {
	const char *asked;
	size_t limit;     /* what is further away is not suggested */
	const char *name; /* the nearest so far, the first of several; NULL: none is near */
	size_t distance;
};

/* limit 0: a third of the letters, at most 4. Names that hold the whole of what was asked (3 letters or more) are near in any case. */
void nearest_begin(struct nearest *nearest, const char *asked, size_t limit);

/* One name that exists; it must outlast *nearest. */
void nearest_consider(struct nearest *nearest, const char *name);

#endif
