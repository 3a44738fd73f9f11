/* Samples of a window, copied out of the store, and the value that rules make of them. */
#ifndef OBSERV_EXT_WINDOW_SAMPLES_H
#define OBSERV_EXT_WINDOW_SAMPLES_H

#include "core/window.h"
#include "ext/window_store.h"

/* Grows as needed, in the memory context of its first samples; {0} to begin with. */
typedef struct ObservSamples {
	struct window_sample *samples;
	double *scratch;
	int n, room;
} ObservSamples;

static inline void
observ_clear_samples(ObservSamples *s)
{
	s->n = 0;
}

/* Adds one sample at the end. */
extern void observ_add_sample(ObservSamples *s, TimestampTz at, double value);

/* Adds the samples of a key that are later than `after` and not later than `until`. */
extern void observ_add_samples(ObservSamples *s, const ObservWindows *windows, const ObservWindowKey *key,
							   ObservWindowPlace place, TimestampTz after, TimestampTz until);

/* Puts samples of several keys into the order of their times. */
extern void observ_sort_samples(ObservSamples *s);

/* How many are values. */
extern int observ_count_samples(const ObservSamples *s);

/* What the rule's aggregate makes of them as of that time; false when there is no value, or fewer samples than it asks for. */
extern bool observ_samples_value(const ObservSamples *s, const ObservRule *rule, TimestampTz now,
								 double *out);

#endif
