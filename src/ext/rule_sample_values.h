/*
 * rule_sample_values.h: what rules over labelled metrics make of the samples of series. Does not belong here: reading samples, signals.
 */
#ifndef OBSERV_EXT_RULE_SAMPLE_VALUES_H
#define OBSERV_EXT_RULE_SAMPLE_VALUES_H

#include "ext/rule_cells.h"
#include "ext/rule_series.h"

/* The series of one set, which share rows: [first, past) of all. */
typedef struct ObservSeriesSet {
	int first, past;
	TimestampTz since; /* samples after this are needed */
} ObservSeriesSet;

/* One instance of a rule: a series, or those of all applications that have the same labels. */
typedef struct ObservSeriesGroup {
	ObservRuleSeries **series;
	int n;
} ObservSeriesGroup;

/* What a group has in the window of a rule. */
typedef struct ObservFound {
	int64 n; /* samples */
	TimestampTz newest;
	bool has_value;
	double value;
} ObservFound;

typedef struct ObservSampleValues {
	const ObservRuleSeries *series; /* all */
	const ObservSeriesSet *sets;    /* by series->set */

	/* Of the VPS at hand. */
	ObservRuleCells *cells;
	int64 lookback_us; /* for rules without a window */

	/* For aggregates; so many elements each, in a context that lasts. */
	struct window_sample *merged;
	double *scratch;
	int room;
} ObservSampleValues;

/* The value of a group as of a time, from raw rows or, of long windows, from roll-ups. Needs SPI_connect(). */
extern ObservFound observ_value_of_group(ObservSampleValues *values, const ObservRule *rule,
										 const ObservSeriesGroup *group, TimestampTz time);

#endif
