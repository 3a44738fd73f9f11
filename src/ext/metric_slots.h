/* The array of a row of observ.metric_scrapes: one value per slot. */
#ifndef OBSERV_EXT_METRIC_SLOTS_H
#define OBSERV_EXT_METRIC_SLOTS_H

#include "utils/array.h"

#define OBSERV_SLOTS 64

/* Values of the slots of one set, from slot 1 at index 0. */
typedef struct ObservSlots {
	uint64 known; /* bit i: values[i] is a sample */
	double values[OBSERV_SLOTS];
} ObservSlots;

/* Reads an array of any length; what lies beyond the last slot is ignored. */
extern void observ_slots_read(ArrayType *array, ObservSlots *slots);

/* The array, up to the last slot that is known. */
extern ArrayType *observ_slots_array(const ObservSlots *slots);

/*
 * Samples that were there already when a row was merged into another, by the statement that ran between these two calls: SQL can't tell
 * (RETURNING knows the new row only).
 */
extern void observ_merge_begin(void);
extern int64 observ_merge_duplicates(void);

#endif
