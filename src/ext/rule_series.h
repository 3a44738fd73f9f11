/* Series of labelled metrics that rules ask for, and which rule takes which of them. */
#ifndef OBSERV_EXT_RULE_SERIES_H
#define OBSERV_EXT_RULE_SERIES_H

#include "core/series.h"
#include "core/window.h"
#include "ext/evaluation.h"

/* The rules about one metric name. */
typedef struct ObservRuleMetric {
	const char *name;
	ObservRule **rules;
	int n;
	int first;       /* place of the first among all rules, by metric */
	int64 window_us; /* longest window that is read from raw rows; 0: none */
	int64 long_us;   /* longest of those that are read from roll-ups; 0: none */
	bool looks_back; /* a rule has no window: the newest sample, as far back as is usual for the VPS */
} ObservRuleMetric;

/* Labels that series of one metric have: kept once, however many VPSs have them. */
typedef struct ObservRuleLabels {
	int n;
	struct series_label *items; /* as an instance has them */
	bool *accepted; /* per rule of the metric: its matchers take them, whatever VPS and application */
	struct ObservRuleSeries *chain; /* series of the VPS at hand that have them */
} ObservRuleLabels;

typedef struct ObservRuleSeries {
	const char
		*vps_name; /* the same pointer for all series of a VPS; so with app_name of those of an application */
	const char *app_name;
	const struct Owner *owner; /* rule_series.c */
	ObservRuleMetric *metric;
	ObservRuleLabels *labels;
	int32 set_no;
	int slot; /* from 0 */
	bool counter;

	/* Of the VPS at hand (rule_samples.c). */
	int set;                       /* which of the sets */
	struct ObservRuleSeries *next; /* in the chain of its labels */
	struct window_sample *samples; /* in the order of their times */
	int n, room;
} ObservRuleSeries;

/* Windows longer than this are read from roll-ups. */
#define OBSERV_LONG_WINDOW (2 * USECS_PER_HOUR)

/*
 * Finds all series of the metrics of the rules that may have had a sample after `since` and not later than `until`, in the order of VPS,
 * application, set and slot. In the current memory context; needs SPI_connect().
 */
extern ObservRuleSeries *observ_find_rule_series(ObservRule **rules, int n_rules, TimestampTz since,
												 TimestampTz until, int *n);

/* Whether what a rule says of VPS and application in its matchers takes these. */
extern bool observ_rule_takes_owner(const ObservRule *rule, const char *vps_name, const char *app_name);

#endif
