/*
 * window_cells.h: what rules make of a long window, whose samples are rolled up to buckets.
 *
 * Belongs here: aggregates over cells. Does not belong here: aggregates over samples (window.h), reading cells.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_WINDOW_CELLS_H
#define OBSERV_CORE_WINDOW_CELLS_H

#include "core/rollup.h"
#include "core/window.h"

/* A bucket of one series that has samples. */
struct window_cell {
	int64_t start_us;
	struct cell cell;
};

/*
 * The aggregate over buckets of width_us in the order of their times; the last one may be cut by question->at_us. avg, min, max, sum, count, last,
 * and rate, increase and delta of counters are those of the samples themselves (rate to about one sample in the window). rate, increase and delta of gauges are of the last
 * value of each bucket; p50, p95, p99, stddev and predict of the average of each bucket. False as in window_value().
 * samples: room for n. scratch: as in window_value().
 */
bool window_cells_value(const struct window_question *question, const struct window_cell *cells, int n,
						int64_t width_us, struct window_sample *samples, double *scratch, double *out);

/* How many samples the buckets hold. */
int64_t window_cells_count(const struct window_cell *cells, int n);

/* What is usual at an hour: the averages of that hour of so many days before, of which so many must be known. */
#define WINDOW_USUAL_DAYS  14
#define WINDOW_USUAL_LEAST 5

/*
 * How many standard deviations an average is from those of past days (NaN: not known). A spread of less than 1 % of what is usual counts as 1 %. False when too few days
 * are known, or all of them are 0.
 */
bool window_anomaly(double average, const double *days, int n, double *out);

#endif
