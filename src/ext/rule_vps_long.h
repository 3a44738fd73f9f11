/* Values of rules about long windows of observ.vps_metrics, and about what is usual. */
#ifndef OBSERV_EXT_RULE_VPS_LONG_H
#define OBSERV_EXT_RULE_VPS_LONG_H

#include "core/window_cells.h"
#include "ext/window_rollup.h"
#include "ext/window_samples.h"

typedef struct ObservVpsLong {
	TimestampTz at;
	TimestampTz rolled; /* what came before this is taken from roll-ups */
	struct window_cell *cells;
	struct window_sample *samples; /* as many */
	double *scratch;
	int n, room;
	ObservSamples tail; /* raw samples of what is not rolled up yet */
} ObservVpsLong;

/* Whether a rule looks at buckets, not at samples. */
extern bool observ_is_long(const ObservRule *rule);

/* Loads what rules need that are long or an anomaly; others are passed over. Needs SPI_connect(). */
extern void observ_begin_long(ObservVpsLong *l, TimestampTz at, ObservRule **rules, int n);

/* How far back a long rule needs raw samples, from the time of the evaluation. */
extern int64 observ_long_back(const ObservVpsLong *l, const ObservRule *rule);

/*
 * The value of a long rule, of an anomaly the average, for the keys together. interval_us: how often they report. False when there is
 * none.
 */
extern bool observ_long_value(ObservVpsLong *l, const ObservRule *rule, const ObservWindows *windows,
							  ObservWindowKey **keys, int n, TimestampTz now, int64 interval_us, double *out);

/* How many standard deviations an average is from that of the same hour of the days before; false when too few of them are known. */
extern bool observ_anomaly(const ObservRule *rule, ObservWindowKey **keys, int n, TimestampTz now,
						   double average, double *out);

#endif
