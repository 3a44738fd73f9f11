/*
 * What sources tell: observ_tell() and what goes with it. Nothing is decided while a source is still telling, for it may fail yet, and then
 * nothing changes (C7). What does not belong here: what becomes of alerts (evaluation_settle.c).
 */
#include "postgres.h"

#include "ext/evaluation_parts.h"

#include <math.h>

#include "ext/alert_text.h"
#include "ext/gucs.h"
#include "utils/float.h"
#include "utils/memutils.h"

TimestampTz
observ_evaluation_at(const ObservEvaluation *evaluation)
{
	return evaluation->at;
}

void
observ_rule_failed(ObservEvaluation *evaluation, ObservRule *rule, const char *sqlstate, const char *message)
{
	MemoryContext before = MemoryContextSwitchTo(evaluation->context);

	if (rule->error == NULL) {
		rule->error = pstrdup(message);
		rule->sqlstate = sqlstate ? pstrdup(sqlstate) : NULL;
	}
	MemoryContextSwitchTo(before);
}

double
observ_distance(const ObservRule *rule, double value)
{
	if (isnan(value))
		return -get_float8_infinity();
	if (rule->source == RULE_QUERY || isnan(rule->threshold))
		return value;
	switch (rule->op) {
	case RULE_LT:
	case RULE_LTE:
		return rule->threshold - value;
	case RULE_EQ:
	case RULE_NE:
		return fabs(value - rule->threshold);
	default:
		return value - rule->threshold;
	}
}

static int
compare_candidates(const void *a, const void *b)
{
	const ObservCandidate *x = a, *y = b;
	int order;

	if (x->distance != y->distance)
		return x->distance > y->distance ? -1 : 1;
	order = strcmp(x->instance.vps_name ? x->instance.vps_name : "",
				   y->instance.vps_name ? y->instance.vps_name : "");
	if (order == 0)
		order = strcmp(x->instance.app_name ? x->instance.app_name : "",
					   y->instance.app_name ? y->instance.app_name : "");
	return order != 0 ? order : (x->instance.hash > y->instance.hash) - (x->instance.hash < y->instance.hash);
}

void
observ_drop_least(ObservRuleProgress *progress)
{
	if (progress->n_fresh <= progress->room)
		return;
	qsort(progress->fresh, progress->n_fresh, sizeof(ObservCandidate), compare_candidates);
	for (int i = progress->room; i < progress->n_fresh; i++)
		pfree(unconstify(struct series_label *, progress->fresh[i].instance.labels));
	progress->beyond += progress->n_fresh - progress->room;
	progress->n_fresh = progress->room;
}

static void
add_candidate(ObservEvaluation *evaluation, ObservRule *rule, const ObservCandidate *candidate)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, rule);
	MemoryContext before;

	if (progress->room == 0) {
		progress->beyond++;
		return;
	}
	before = MemoryContextSwitchTo(evaluation->slot_context);
	if (progress->n_fresh >= 2 * progress->room)
		observ_drop_least(progress);
	if (progress->n_fresh == progress->fresh_room) {
		progress->fresh_room = progress->fresh_room == 0 ? 16 : progress->fresh_room * 2;
		progress->fresh =
			progress->fresh == NULL
				? palloc(sizeof(ObservCandidate) * progress->fresh_room)
				: repalloc_huge(progress->fresh, sizeof(ObservCandidate) * progress->fresh_room);
	}
	progress->fresh[progress->n_fresh] = *candidate;
	progress->fresh[progress->n_fresh++].instance = observ_copy_instance(&candidate->instance);
	MemoryContextSwitchTo(before);
}

void
observ_tell(ObservEvaluation *evaluation, ObservRule *rule, const ObservInstance *instance,
			enum alert_signal signal, double value, TimestampTz sampled_at)
{
	ObservInstance asked = *instance;
	ObservLiveAlert *alert;
	bool is_true = signal == SIGNAL_BREACH ||
				   (signal == SIGNAL_SILENT && rule->policy.no_data == ABSENCE_ALERT) ||
				   (signal == SIGNAL_MISSING && rule->policy.on_missing == ABSENCE_ALERT);

	if (rule->error != NULL)
		return;
	rule->breaching += is_true;
	if (!is_true && rule->active == 0)
		return;
	if (asked.hash == 0)
		asked.hash = observ_instance_hash(&asked);
	alert = observ_find_alert(evaluation->store, rule->rule_id, &asked);
	if (alert == NULL || alert->state.status == ALERT_RESOLVED || alert->gone) {
		ObservCandidate candidate = {asked, signal, value, observ_distance(rule, value), sampled_at};

		if (is_true)
			add_candidate(evaluation, rule, &candidate);
		return;
	}
	alert->told = evaluation->number;
	alert->signal = signal;
	alert->told_value = value;
	alert->told_sampled_at = sampled_at;
}

ObservInstance
observ_overflow_instance(void)
{
	static struct series_label label;
	ObservInstance instance = {.n_labels = 1, .labels = &label};

	label.name = slice_of("summary");
	label.value = slice_of("overflow");
	instance.hash = observ_instance_hash(&instance);
	return instance;
}

ObservLiveAlert *
observ_overflow_alert(ObservEvaluation *evaluation, const ObservRule *rule)
{
	ObservInstance instance = observ_overflow_instance();

	return observ_find_alert(evaluation->store, rule->rule_id, &instance);
}

static int
room_of(ObservEvaluation *evaluation, const ObservRule *rule)
{
	int taken = rule->active;

	if (taken > 0) {
		const ObservLiveAlert *overflow = observ_overflow_alert(evaluation, rule);

		taken -= overflow != NULL && observ_is_live(overflow);
	}
	return Max(observ_max_alerts_per_rule - taken, 0);
}

void
observ_begin_telling(ObservEvaluation *evaluation)
{
	evaluation->number++;
	evaluation->n_fired = 0;
	for (int i = 0; i < evaluation->n_rules; i++) {
		ObservRule *rule = &evaluation->rules[i];
		ObservRuleProgress *progress = &evaluation->progress[i];

		rule->observed = 0;
		rule->breaching = 0;
		progress->fresh = NULL;
		progress->n_fresh = progress->fresh_room = 0;
		progress->beyond = 0;
		progress->truncated = false;
		progress->room = room_of(evaluation, rule);
	}
}

void
observ_each_untold(ObservEvaluation *evaluation, ObservRule *rule,
				   void (*take)(void *arg, const ObservInstance *instance), void *arg)
{
	for (ObservLiveAlert *alert = evaluation->progress[rule->index].alerts; alert != NULL;
		 alert = alert->next_of_rule)
		if (!alert->gone && alert->state.status != ALERT_RESOLVED && !alert->overflow &&
			alert->told != evaluation->number &&
			observ_rule_selects(evaluation, rule, alert->instance.vps_name, alert->instance.app_name))
			take(arg, &alert->instance);
}
