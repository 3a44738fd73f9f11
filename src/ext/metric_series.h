/* Series of labelled metrics: finding them, making new ones, the limits. */
#ifndef OBSERV_EXT_METRIC_SERIES_H
#define OBSERV_EXT_METRIC_SERIES_H

#include "datatype/timestamp.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"

/* metric_series.last_seen may be behind by so much, so that it is not written for every sample. */
#define OBSERV_LAST_SEEN_LAG USECS_PER_HOUR

typedef struct ObservSeries {
	int64 id; /* the key of a set's table */
	text *metric_name;
	Jsonb *labels;
	bool counter;
	TimestampTz first, last; /* of the samples at hand */
	int set_no, slot;        /* slot 0: it has none yet */
	const char *problem;     /* why it can't have samples, NULL: it can */
	int sqlstate;            /* of that problem */
	/* as its row says, when it has a slot */
	TimestampTz first_seen, last_seen;
	bool expired; /* its slot is kept, it does not count against the limits */
} ObservSeries;

/* The series of one VPS and application that a call brings samples of. */
typedef struct ObservSeriesSet {
	text *vps_name;
	text *app_name;
	HTAB *by_id;
	int64 created; /* by observ_find_series() */
} ObservSeriesSet;

/* An empty set in the current memory context; `expected` is how many series there will be, roughly. */
extern ObservSeriesSet *observ_series_set(text *vps_name, text *app_name, int expected);

/*
 * The series that a sample of that time belongs to: the one of the set, or a new entry. NULL, with *problem, when name or labels
 * can't be. `counter` is taken for a new series only.
 */
extern ObservSeries *observ_series_of(ObservSeriesSet *set, text *metric_name, Jsonb *labels, bool counter,
									  TimestampTz at, const char **problem);

/*
 * Finds the slots of all series of the set, and makes those that don't exist yet, as long as observ.max_series_per_vps and
 * observ.max_series allow: afterwards each has a slot or a problem. Needs SPI_connect(); runs as the current user, who must own the
 * tables. Until the transaction ends no other makes series of this VPS, if this one did.
 */
extern void observ_find_series(ObservSeriesSet *set);

/* Counts samples that were refused in observ.metric_usage. As above. */
extern void observ_count_rejected(text *vps_name, int64 n, const char *reason);

#endif
