/* aggregate.c: Sums over a bucket. See aggregate.h for what belongs here. */
#include "core/aggregate.h"

#include <math.h>

const char *const aggregate_names[AGGREGATES] = {"avg",   "min",  "max",  "sum",
												 "count", "last", "rate", "increase"};

void
aggregate_begin(struct aggregate_bucket *bucket)
{
	*bucket = (struct aggregate_bucket){0};
}

void
aggregate_before(struct aggregate_previous *previous, int64_t at_us, double value)
{
	if (isfinite(value))
		*previous = (struct aggregate_previous){true, at_us, value};
}

void
aggregate_add(struct aggregate_bucket *bucket, struct aggregate_previous *previous, int64_t at_us,
			  double value, int64_t max_gap_us)
{
	if (isnan(value))
		return;
	if (bucket->count == 0 || value < bucket->min)
		bucket->min = value;
	if (bucket->count == 0 || value > bucket->max)
		bucket->max = value;
	bucket->count++;
	bucket->sum += value;
	bucket->last = value;
	if (isfinite(value) && previous->known && at_us - previous->at_us <= max_gap_us) {
		bucket->has_increase = true;
		bucket->increase += value >= previous->value ? value - previous->value : value;
		bucket->covered_us += at_us - previous->at_us;
	}
	aggregate_before(previous, at_us, value);
}

bool
aggregate_result(const struct aggregate_bucket *bucket, enum aggregate what, double *out)
{
	if (bucket->count == 0)
		return false;
	switch (what) {
	case AGGREGATE_AVG:
		*out = bucket->sum / (double) bucket->count;
		return true;
	case AGGREGATE_MIN:
		*out = bucket->min;
		return true;
	case AGGREGATE_MAX:
		*out = bucket->max;
		return true;
	case AGGREGATE_SUM:
		*out = bucket->sum;
		return true;
	case AGGREGATE_COUNT:
		*out = (double) bucket->count;
		return true;
	case AGGREGATE_LAST:
		*out = bucket->last;
		return true;
	case AGGREGATE_RATE:
		*out = bucket->covered_us > 0 ? bucket->increase / ((double) bucket->covered_us / 1e6) : 0;
		return bucket->covered_us > 0;
	case AGGREGATE_INCREASE:
		*out = bucket->increase;
		return bucket->has_increase;
	default:
		return false;
	}
}
