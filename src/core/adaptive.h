/*
 * adaptive.h: how long to wait for the next sample: 5 s while something happens, up to 30 s while nothing does.
 *
 * Belongs here: what counts as something, the steps, what an hour of a metric looks like.
 * Does not belong here: measuring, ticks (schedule.h).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ADAPTIVE_H
#define OBSERV_CORE_ADAPTIVE_H

#include "core/row.h"

#define ADAPTIVE_FASTEST_MS 5000
#define ADAPTIVE_SLOWEST_MS 30000
#define ADAPTIVE_WATCHED    8
#define ADAPTIVE_BUCKETS    12 /* of five minutes: an hour */

/* Values of some minutes: time in them, their mean, and the sum of squared distances from it, weighted by time. */
struct adaptive_bucket {
	int64_t number; /* minutes since the monotonic clock began, divided by 5; 0: empty */
	double weight, mean, squares;
};

struct adaptive {
	int step;
	int64_t quiet_since_ms; /* nothing has happened since, or the last step was taken */
	int64_t dear_until_ms;  /* a sample has cost too much */
	const char *reason;     /* why it is fast: a few words; NULL: it is not */
	double last[ADAPTIVE_WATCHED];
	struct adaptive_bucket hour[ADAPTIVE_WATCHED][ADAPTIVE_BUCKETS];
};

/* What speaks for fast samples or against them beside the sample itself. */
struct adaptive_hints {
	bool boost;         /* somebody watches, or an alert is near */
	bool check_failed;  /* since the sample before */
	bool spool_filling; /* more than a quarter of it is used */
	int64_t cpu_us;     /* what the sample has cost */
};

/* Begins with the shortest interval. */
void adaptive_init(struct adaptive *a, int64_t now_ms);

/* A sample was taken: returns the time until the next, in ms. Monotonic time. */
int64_t adaptive_sample(struct adaptive *a, const struct row *row, const struct adaptive_hints *hints,
						int64_t now_ms);

/* Something has happened between two samples: `what` in a few words. */
void adaptive_hurry(struct adaptive *a, const char *what, int64_t now_ms);

/* The time between samples now. */
int64_t adaptive_interval_ms(const struct adaptive *a, bool spool_filling, int64_t now_ms);

#endif
