/*
 * series_table.h: the series that a source has sent, so that a duplicate is seen, a cap kept, and an end said.
 *
 * Belongs here: finding, adding, and letting go of those not seen in a round. Does not belong here: values (samples.h).
 */
#ifndef OBSERV_COLLECTOR_SERIES_TABLE_H
#define OBSERV_COLLECTOR_SERIES_TABLE_H

#include <stdint.h>

#include "core/slice.h"

struct series_entry {
	uint64_t hash;
	uint32_t round; /* the last one that had it */
	uint32_t name_len;
	char *text; /* name, zero, labels as an element of an array literal, zero; behind the payload */
	max_align_t payload[]; /* zero at first */
};

struct series_table {
	struct series_entry **entry;
	int *slot; /* index into entry + 1, 0: free */
	int count, room, slots;
	int max;
	uint32_t round;
	size_t payload_size;
};

static inline const char *
series_entry_name(const struct series_entry *e)
{
	return e->text;
}

static inline const char *
series_entry_labels(const struct series_entry *e)
{
	return e->text + e->name_len + 1;
}

void series_table_init(struct series_table *t, int max, size_t payload_size);
void series_table_free(struct series_table *t);

/* The series of that name and labels; makes it when there is none. NULL: the table is full, or memory has run out. */
struct series_entry *series_table_get(struct series_table *t, struct slice name, struct slice labels);

/* Lets go of every series for which `over` says true; it is called once for each. */
void series_table_sweep(struct series_table *t, bool (*over)(void *arg, struct series_entry *e), void *arg);

#endif
