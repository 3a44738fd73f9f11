/*
 * What is rolled up of observ.vps_metrics, in memory: buckets of long windows, and what was usual at this hour of the day.
 * What does not belong here: raw rows (window_store.h), what rules make of buckets (rule_vps_long.c).
 */
#ifndef OBSERV_EXT_WINDOW_ROLLUP_H
#define OBSERV_EXT_WINDOW_ROLLUP_H

#include "core/rollup.h"
#include "core/rule_metrics.h"
#include "datatype/timestamp.h"
#include "ext/vps_key.h"

/* Whether roll-ups have what a metric is made of. */
extern bool observ_is_rolled_up(const struct rule_metric *metric);

/* Everything before this is in observ.metrics_5m. Needs SPI_connect(). */
extern TimestampTz observ_rolled_until(void);

typedef struct ObservBucketNeed {
	const struct rule_metric *metric;
	TimestampTz start; /* the bucket of this time is the first that is needed */
} ObservBucketNeed;

/*
 * Makes sure that buckets of `step` (OBSERV_5M, OBSERV_1H) are there, out of roll-ups of what came before `until`, which must be a multiple of 5 minutes and not
 * later than observ_rolled_until(). They live until the next call of that step, or the end of the transaction.
 */
extern void observ_load_buckets(int64 step, TimestampTz until, const ObservBucketNeed *needs, int n);

/* The buckets of a metric of one VPS and application. */
typedef struct ObservBucketLine {
	const void *buckets;
	int64 step;
	TimestampTz base;
	int n;
} ObservBucketLine;

/* False: nothing is known of that VPS and application. The metric must have been loaded. */
extern bool observ_bucket_line(int64 step, const ObservVpsKey *key, const struct rule_metric *metric,
							   ObservBucketLine *line);

/* Adds to *cell what is in the bucket that begins then. */
extern void observ_add_bucket(const ObservBucketLine *line, TimestampTz start, struct cell *cell);

/* Averages of a metric in an hour of the day, of the WINDOW_USUAL_DAYS days before it; NaN where a day has none. */
typedef struct ObservUsualNeed {
	const struct rule_metric *metric;
	TimestampTz hour;
} ObservUsualNeed;

extern void observ_load_usual(const ObservUsualNeed *needs, int n);

/* The averages of each day, the newest first; NULL: nothing is known of that VPS and application. */
extern const float4 *observ_usual(const ObservVpsKey *key, const ObservUsualNeed *need);

#endif
