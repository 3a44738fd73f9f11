/*
 * log_level.h: names of log levels and their order.
 *
 * Belongs here: which names there are and how urgent they are. Does not belong here: where levels are stored.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_LOG_LEVEL_H
#define OBSERV_CORE_LOG_LEVEL_H

#include "core/slice.h"

struct log_level {
	const char *name; /* lower case */
	int rank;         /* names of one meaning have one rank; grows with urgency */
};

/* Ascending by rank; ends with name NULL. */
extern const struct log_level log_levels[];

/* The rank of a level in any case, -1 when the name is not known. */
int log_level_rank(struct slice name);

#endif
