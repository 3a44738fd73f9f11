/*
 * Samples of a window, out of the store.
 * What does not belong here: aggregates (core/window.h), how long a window is (rule_vps_metrics.c, rule_health.c).
 */
#include "postgres.h"

#include "ext/window_samples.h"

#include <math.h>

#include "utils/memutils.h"

static void
make_room(ObservSamples *s, int more)
{
	if (s->n + more <= s->room)
		return;
	s->room = Max(2 * s->room, Max(s->n + more, 64));
	if (s->samples == NULL) {
		s->samples = palloc_extended(sizeof(struct window_sample) * s->room, MCXT_ALLOC_HUGE);
		s->scratch = palloc_extended(sizeof(double) * s->room, MCXT_ALLOC_HUGE);
	} else {
		s->samples = repalloc_huge(s->samples, sizeof(struct window_sample) * s->room);
		s->scratch = repalloc_huge(s->scratch, sizeof(double) * s->room);
	}
}

void
observ_add_sample(ObservSamples *s, TimestampTz at, double value)
{
	make_room(s, 1);
	s->samples[s->n++] = (struct window_sample){at, value};
}

void
observ_add_samples(ObservSamples *s, const ObservWindows *windows, const ObservWindowKey *key,
				   ObservWindowPlace place, TimestampTz after, TimestampTz until)
{
	const ObservTrack *track = &key->tracks[place.track];
	int columns = windows->n_columns[place.track];
	int last = observ_track_newest(track, until), first = last + 1;
	const float4 *value;

	while (first > 0 && track->times[first - 1] > after)
		first--;
	if (first > last)
		return;
	make_room(s, last + 1 - first);
	value = track->values + (Size) first * columns + place.column;
	for (int i = first; i <= last; i++, value += columns)
		s->samples[s->n++] = (struct window_sample){track->times[i], *value};
}

static int
compare_times(const void *a, const void *b)
{
	int64 left = ((const struct window_sample *) a)->at_us, right = ((const struct window_sample *) b)->at_us;

	return (left > right) - (left < right);
}

void
observ_sort_samples(ObservSamples *s)
{
	if (s->n > 1)
		qsort(s->samples, s->n, sizeof(struct window_sample), compare_times);
}

int
observ_count_samples(const ObservSamples *s)
{
	int n = 0;

	for (int i = 0; i < s->n; i++)
		n += !isnan(s->samples[i].value);
	return n;
}

bool
observ_samples_value(const ObservSamples *s, const ObservRule *rule, TimestampTz now, double *out)
{
	struct window_question question = observ_rule_question(rule, now);

	return (rule->min_samples <= 1 || observ_count_samples(s) >= rule->min_samples) &&
		   window_value(&question, s->samples, s->n, s->scratch, out);
}
