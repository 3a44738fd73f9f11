/*
 * Where the values of rules come from: a descriptor per source.
 * What does not belong here: states of alerts.
 */
#ifndef OBSERV_EXT_RULE_SOURCE_H
#define OBSERV_EXT_RULE_SOURCE_H

#include "ext/evaluation.h"

/*
 * Evaluates rules of one source at observ_evaluation_at(): one pass over the rows for all of them, observ_tell() for what matters. Raises errors
 * for what concerns all of its rules (they then all fail); what concerns one goes to observ_rule_failed(). All reads are in the snapshot that
 * is active. rules: those of this source that are due, n > 0.
 */
typedef void ObservEvaluateRules(ObservEvaluation *evaluation, ObservRule **rules, int n);

extern ObservEvaluateRules
	observ_evaluate_vps_metrics; /* vps_metrics and absence: windows of observ.vps_metrics */
extern ObservEvaluateRules observ_evaluate_absence;
extern ObservEvaluateRules observ_evaluate_health_checks;
extern ObservEvaluateRules observ_evaluate_log_entries;
extern ObservEvaluateRules observ_evaluate_metric_samples;
extern ObservEvaluateRules observ_evaluate_queries;

/*
 * Whether nothing has come from a VPS lately, by observ.vps_metrics: newest row not later than the evaluation is older than 1.5 expected
 * intervals (alerting.md 2.9). True too when it never sent any.
 */
extern bool observ_vps_is_silent(ObservEvaluation *evaluation, const char *vps_name);

/*
 * Whether data of that time was stored at all, by anybody: tells a server that was down from a worker that was (alerting.md 2.10). There are rows
 * of (after, until], or earlier ones that speak for `until` still: the next was to come later. Intervals of more than 5 minutes are not looked back for.
 */
extern bool observ_rows_reach(TimestampTz after, TimestampTz until);

#endif
