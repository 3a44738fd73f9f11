/*
 * Alert rules as evaluation works with them: the rows of observ.alert_rules, read and checked.
 * What does not belong here: their values (rule_source.h), their alerts (evaluation.h).
 */
#ifndef OBSERV_EXT_ALERT_RULE_H
#define OBSERV_EXT_ALERT_RULE_H

#include "access/htup.h"
#include "core/alert_state.h"
#include "core/matchers.h"
#include "core/rule_metrics.h"
#include "core/window.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

typedef struct ObservRule {
	int64 rule_id;
	int version;
	const char *name, *category, *owner;
	enum rule_source source;
	const char *metric_name;          /* NULL: query */
	const struct rule_metric *metric; /* NULL: query, metric_samples */
	struct matchers *matchers;        /* NULL: all */
	struct matchers *selector;        /* NULL: all VPSs */
	enum rule_aggregate aggregate;
	int64 window_us; /* 0: none */
	int64 ahead_us;  /* of predict */
	double from;     /* of predict */
	bool has_from;
	enum rule_operator op;
	double threshold, clear_threshold;
	bool has_clear;
	const char *query;
	bool per_app;
	int min_samples;
	struct alert_policy policy;
	int64 interval_us; /* of its own; 0: evaluated each time */
	int64 delay_us;
	int64 reopen_us;
	int severity; /* 0 info … 6 emergency: order of observ.severity */
	Jsonb *labels, *annotations;
	const char *description; /* NULL: none; that of its alerts when no annotation says another */
	const char *runbook_url; /* NULL: none; becomes an annotation of its alerts */

	/* Of the evaluation that is under way (evaluation.c). */
	int index;         /* in the array of rules */
	int active;        /* live alerts that it has */
	int observed;      /* instances with samples */
	int64 breaching;   /* instances that are true */
	const char *error; /* what went wrong; NULL: nothing yet */
	const char *sqlstate;
} ObservRule;

/* What the samples of its window are asked for. An anomaly is one of the average. */
static inline struct window_question
observ_rule_question(const ObservRule *rule, TimestampTz at)
{
	return (struct window_question){.aggregate = rule->aggregate == RULE_ANOMALY ? RULE_AVG : rule->aggregate,
									.at_us = at,
									.ahead_us = rule->ahead_us,
									.has_from = rule->has_from,
									.from = rule->from,
									.falling = rule->op == RULE_LT || rule->op == RULE_LTE};
}

/* The name of a severity by its order. */
extern const char *const observ_severity_names[7];

/*
 * The enabled rules, ordered by rule_id, in the current memory context. A row that can't be read (somebody bypassed the trigger) has `error` set
 * and is not to be evaluated. Needs SPI_connect(). only: a single rule by its id, enabled or not; 0: all.
 */
extern ObservRule *observ_load_rules(int64 only, int *n);

/*
 * A rule out of a row of observ.alert_rules that need not be stored, checked as the trigger checks it: raises what an INSERT would. For
 * backtest_rule().
 */
extern ObservRule *observ_rule_of_row(HeapTupleHeader row);

/* The same out of what create_alert_rule() takes; what is left out has the default of its column. Needs SPI_connect(). */
extern ObservRule *observ_rule_of_json(Jsonb *json);

#endif
