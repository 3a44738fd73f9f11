/*
 * One evaluation: what sources of rules (rule_source.h) tell, and what they may ask.
 * What does not belong here: the decision (core/alert_state.h).
 */
#ifndef OBSERV_EXT_EVALUATION_H
#define OBSERV_EXT_EVALUATION_H

#include "core/series.h"
#include "ext/alert_rule.h"

typedef struct ObservEvaluation ObservEvaluation;

/* What an alert is about. Strings and labels need to last for the call only. */
typedef struct ObservInstance {
	const char *vps_name; /* NULL: not about a VPS */
	const char *app_name; /* NULL: about all of the VPS */
	int n_labels;
	const struct series_label *labels; /* further labels, sorted (series_sort_labels()): url, mount, … */
	uint64 hash; /* observ_instance_hash(), worked out once by sources that keep instances */
} ObservInstance;

extern uint64 observ_instance_hash(const ObservInstance *instance);

/* Time that the evaluation is of. */
extern TimestampTz observ_evaluation_at(const ObservEvaluation *evaluation);

/* Time as of which a rule is evaluated: samples later than that don't exist yet. */
static inline TimestampTz
observ_rule_time(TimestampTz at, const ObservRule *rule)
{
	return at - rule->delay_us;
}

/*
 * An instance of a rule has this signal and value at this evaluation. Instances that are clear and have no alert change nothing, so a source need not
 * tell them: ask observ_worth_telling() first, which is cheap. value: NaN where there is none. Each instance once per rule.
 */
extern void observ_tell(ObservEvaluation *evaluation, ObservRule *rule, const ObservInstance *instance,
						enum alert_signal signal, double value, TimestampTz sampled_at);

static inline bool
observ_worth_telling(const ObservRule *rule, enum alert_signal signal)
{
	return signal == SIGNAL_BREACH || rule->active > 0 ||
		   (signal == SIGNAL_SILENT && rule->policy.no_data == ABSENCE_ALERT) ||
		   (signal == SIGNAL_MISSING && rule->policy.on_missing == ABSENCE_ALERT);
}

/*
 * The instances of a rule's live alerts that it is still about and that were not told of yet: for sources that know better than the evaluation what it means that nothing was found.
 * take may tell of the instance it is given.
 */
extern void observ_each_untold(ObservEvaluation *evaluation, ObservRule *rule,
							   void (*take)(void *arg, const ObservInstance *instance), void *arg);

/* Whether a rule's selector takes a VPS and application; retired VPSs are never taken. */
extern bool observ_rule_selects(ObservEvaluation *evaluation, const ObservRule *rule, const char *vps_name,
								const char *app_name);

/* Something went wrong with one rule: its alerts stay as they are at this evaluation (C7), the others go on. */
extern void observ_rule_failed(ObservEvaluation *evaluation, ObservRule *rule, const char *sqlstate,
							   const char *message);

/* How often a VPS is expected to report, microseconds: observ.vps.expected_interval, or the argument when that is above 0, or 60 s. */
extern int64 observ_expected_interval(ObservEvaluation *evaluation, const char *vps_name,
									  int64 said_by_rows_us);

/* Whether the fleet summary was refreshed at about that time. Needs SPI_connect(). */
extern bool observ_summary_is_of(TimestampTz at);

#endif
