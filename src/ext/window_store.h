/*
 * Samples in memory, of observ.vps_metrics by VPS and application and of observ.health_checks by check: what rules about windows and about
 * absence look at.
 * What does not belong here: aggregates (core/window.h), rules (rule_vps_metrics.c, rule_health.c).
 */
#ifndef OBSERV_EXT_WINDOW_STORE_H
#define OBSERV_EXT_WINDOW_STORE_H

#include "core/rule_metrics.h"
#include "ext/evaluation.h"
#include "ext/vps_key.h"

/* Samples of metrics that are kept for different times lie apart. */
#define OBSERV_TRACKS 3

/* Samples in the order of their times, each time once. A sample is a row of values, one per metric of the track; NaN: not measured. */
typedef struct ObservTrack {
	int n, room;
	TimestampTz *times;
	float4 *values; /* of sample i: values + i * metrics of the track */
} ObservTrack;

/* A VPS and application, or a health check. */
typedef struct ObservWindowKey {
	ObservVpsKey key; /* key.vps and key.app are strings; of a check key.app_len counts the url, too */
	const char *url;  /* of a check, else NULL */
	bool same_vps;    /* as the key before, in the order of names */
	uint64 hash[2];   /* observ_instance_hash() without and with the application; 0: not worked out */
	struct ObservWindowKey *next; /* whose row came after that of this one the last time; NULL: not known */
	ObservTrack tracks[OBSERV_TRACKS];
} ObservWindowKey;

/* Where the values of a metric are. */
typedef struct ObservWindowPlace {
	int track;
	int column;
} ObservWindowPlace;

/*
 * What track 0 has of every row as its column 0. Of vps_metrics: the interval of the row in ms, NaN where it doesn't say. Of health_checks: 1 success,
 * 0 failure, NaN inconclusive.
 */
#define OBSERV_INTERVAL_COLUMN 0
#define OBSERV_SUCCESS_COLUMN  0

typedef struct ObservWindows {
	ObservWindowKey **keys; /* in the order of names */
	int n_keys;
	int n_columns[OBSERV_TRACKS];
	TimestampTz from[OBSERV_TRACKS]; /* samples later than that are there */
	TimestampTz until;               /* and none later than that */
} ObservWindows;

/* Samples of a metric that were taken later than `at - back_us` are needed; of column 0 of every row where it has no column of its own. */
typedef struct ObservWindowNeed {
	const struct rule_metric *metric;
	int64 back_us;
} ObservWindowNeed;

enum ObservWindowTable { OBSERV_WINDOW_VPS_METRICS, OBSERV_WINDOW_HEALTH_CHECKS, OBSERV_WINDOW_TABLES };

/* Samples without a window are looked for this far back, or for 3 expected intervals where that is longer. */
#define OBSERV_LOOKBACK       (5 * USECS_PER_MINUTE)
#define OBSERV_CHECK_LOOKBACK (15 * USECS_PER_MINUTE)

/*
 * The samples as the active snapshot has them, up to `at` at least (later ones may be there, too). Of VPSs that report seldom there are those of
 * 3 intervals, of checks that are made seldom the latest 50. An expiry of certificates (a time) is given in days from the time of its row.
 * Lives until the next call for the table, or the end of the transaction. Needs SPI_connect().
 */
extern const ObservWindows *observ_windows(enum ObservWindowTable table, TimestampTz at,
										   const ObservWindowNeed *needs, int n);

extern ObservWindowPlace observ_window_place(const ObservWindows *windows, const struct rule_metric *metric);

/* Index of the newest sample of a track that is not later than `at`; -1: there is none. */
extern int observ_track_newest(const ObservTrack *track, TimestampTz at);

/* The keys of a VPS: index of the first one, *n receives how many. */
extern int observ_windows_of(const ObservWindows *windows, const char *vps_name, int *n);

#endif
