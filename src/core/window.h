/*
 * window.h: the samples of one series in a window of time, and what rules make of them.
 *
 * Belongs here: aggregates over samples. Does not belong here: reading samples, thresholds.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_WINDOW_H
#define OBSERV_CORE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rule_metrics.h"

struct window_sample {
	int64_t at_us;
	double value;
};

struct window_question {
	enum rule_aggregate aggregate;
	int64_t at_us;    /* end of the window */
	int64_t ahead_us; /* of predict */
	bool has_from;    /* of predict: the line is followed only where the newest sample is beyond `from` */
	bool falling;     /* beyond is below, not above */
	double from;
	bool counter; /* delta of a counter is its increase */
};

/*
 * The aggregate over samples in the order of their times, all of them in the window (at - window, at]; NaN values are no samples. False when
 * there is nothing to say: no sample; fewer than two for rate, increase, delta, stddev and predict.
 * scratch: room for n doubles, needed by p50, p95 and p99 (linear interpolation between closest ranks, as PostgreSQL's percentile_cont);
 * NULL otherwise. predict: least squares line through the window, its value at at + ahead, as Prometheus's predict_linear(); the newest sample where that is not beyond `from`. rate and increase are as in
 * aggregate.h: no extrapolation, a fall is a start from 0. stddev: of the population, as Prometheus's stddev_over_time(). Not for anomaly, which
 * needs history.
 */
bool window_value(const struct window_question *question, const struct window_sample *samples, int n,
				  double *scratch, double *out);

#endif
