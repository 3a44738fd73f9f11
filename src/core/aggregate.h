/*
 * aggregate.h: the samples of one series summed up over a bucket of time.
 *
 * Belongs here: avg, min, max, sum, count, last, rate, increase. Does not belong here: which samples fall into which bucket.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_AGGREGATE_H
#define OBSERV_CORE_AGGREGATE_H

#include <stdbool.h>
#include <stdint.h>

enum aggregate {
	AGGREGATE_AVG,
	AGGREGATE_MIN,
	AGGREGATE_MAX,
	AGGREGATE_SUM,
	AGGREGATE_COUNT,
	AGGREGATE_LAST,
	AGGREGATE_RATE,
	AGGREGATE_INCREASE,
	AGGREGATES
};

/* The names that users write. */
extern const char *const aggregate_names[AGGREGATES];

/* The sample that came before: what an increase is counted from. Not known at first ({0}). */
struct aggregate_previous {
	bool known;
	int64_t at_us;
	double value;
};

struct aggregate_bucket {
	int64_t count;
	double sum, min, max, last;
	bool has_increase; /* at least one sample of the bucket has one before it */
	double increase;
	int64_t covered_us; /* time between the samples that the increase is from */
};

void aggregate_begin(struct aggregate_bucket *bucket);

/*
 * Adds a sample; samples come in the order of their times. NaN is no sample. The increase since *previous, which this sample then
 * becomes, belongs to the bucket of the later one; a value below the one before it is a counter that began again at 0, so all of it
 * is increase. When the two are more than max_gap_us apart nobody knows when it grew, and nothing is added. Infinite values have
 * no increase.
 */
void aggregate_add(struct aggregate_bucket *bucket, struct aggregate_previous *previous, int64_t at_us,
				   double value, int64_t max_gap_us);

/* The same for a sample before the first bucket: only *previous learns of it. */
void aggregate_before(struct aggregate_previous *previous, int64_t at_us, double value);

/* False when there is nothing to say: no sample, or no sample before the only one for rate (per second) and increase. */
bool aggregate_result(const struct aggregate_bucket *bucket, enum aggregate what, double *out);

#endif
