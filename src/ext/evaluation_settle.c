/*
 * What becomes of alerts, when all sources have told what they found. What does not belong here: how states follow each other
 * (core/alert_state.h), reading, writing.
 */
#include "postgres.h"

#include "ext/evaluation_parts.h"

#include <math.h>

#include "ext/alert_text.h"
#include "ext/gucs.h"
#include "ext/rule_source.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/float.h"
#include "utils/memutils.h"

static void
chain(ObservEvaluation *evaluation, ObservLiveAlert *alert)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, alert->rule);

	alert->next_of_rule = progress->alerts;
	progress->alerts = alert;
	alert->rule->active += observ_is_live(alert);
}

void
observ_assign_alerts(ObservEvaluation *evaluation)
{
	for (int i = 0; i < evaluation->store->n; i++) {
		ObservLiveAlert *alert = evaluation->store->all[i];

		alert->rule = observ_find_rule(evaluation, alert->rule_id);
		if (alert->rule != NULL)
			chain(evaluation, alert);
	}
}

static void
note(ObservEvaluation *evaluation, ObservLiveAlert *alert, enum alert_status from, enum alert_status to,
	 enum alert_event event, const char *reason)
{
	ObservAlertEvent row = {alert, evaluation->at, from, to, event, NULL, reason, alert->value};

	observ_note_event(evaluation->store, &row);
	alert->changed = true;
	alert->changes++;
	if (event == ALERT_EVENT_FIRING || event == ALERT_EVENT_REOPENED || event == ALERT_EVENT_RESOLVED ||
		event == ALERT_EVENT_FLAPPING || event == ALERT_EVENT_STEADY)
		alert->unrouted = true;
}

static bool
same_value(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

/* The value of now, and the worst one so far of what fires. */
static void
take_value(ObservLiveAlert *alert, double value, TimestampTz sampled_at, bool fires)
{
	if (isnan(value))
		return;
	if (!same_value(alert->value, value)) {
		alert->value = value;
		alert->refreshed = true;
	}
	if (sampled_at != DT_NOBEGIN)
		alert->sampled_at = sampled_at;
	if (fires && (isnan(alert->peak) || (alert->overflow ? value > alert->peak
														 : observ_distance(alert->rule, value) >
															   observ_distance(alert->rule, alert->peak)))) {
		alert->peak = value;
		alert->refreshed = true;
	}
}

/* Makes the new state the alert's, with its history. */
static void
commit(ObservEvaluation *evaluation, ObservLiveAlert *alert, const struct alert_instance *state,
	   const struct alert_change *change)
{
	enum alert_status before = alert->state.status;
	bool was_live = observ_is_live(alert);

	if (alert->told == evaluation->number)
		take_value(alert, alert->told_value, alert->told_sampled_at,
				   alert->signal == SIGNAL_BREACH && state->status == ALERT_FIRING);
	for (int i = 0; i < change->n; i++) {
		bool last = i == change->n - 1;
		bool ends = change->events[i] == ALERT_EVENT_RESOLVED || change->events[i] == ALERT_EVENT_INACTIVE;

		note(evaluation, alert, before, change->after[i], change->events[i],
			 ends || (last && change->events[i] != ALERT_EVENT_SHIFTED) ? change->reason : NULL);
		if (ends)
			alert->reason = change->reason;
		before = change->after[i];
	}
	alert->state = *state;
	alert->changed |= change->touched;
	alert->gone = state->status == ALERT_INACTIVE;
	alert->rule->active += observ_is_live(alert) - was_live;
}

/* One that has ended and fires again goes on as the same alert; the new row, when there is one already, goes. */
static void
reopen(ObservEvaluation *evaluation, ObservLiveAlert *alert, ObservLiveAlert *previous,
	   struct alert_instance *state, const struct alert_change *change)
{
	enum alert_status before = ALERT_RESOLVED;
	bool chained = previous->rule != NULL;
	char *reason = psprintf("goes on as alert %lld", (long long) previous->alert_id);

	/* It is written when the memory of this time is gone. */
	if (alert->stored || alert->changed)
		note(evaluation, alert, ALERT_PENDING, ALERT_INACTIVE, ALERT_EVENT_INACTIVE,
			 MemoryContextStrdup(evaluation->context, reason));
	alert->rule->active -= observ_is_live(alert);
	alert->gone = true;
	alert->goes_on_as = previous;
	alert->changed = alert->stored || alert->changed;
	state->active_at = previous->state.active_at;
	state->fired_at = previous->state.fired_at;
	previous->rule = alert->rule;
	take_value(previous, alert->told_value, alert->told_sampled_at, true);
	for (int i = 0; i < change->n; i++) {
		if (change->events[i] == ALERT_EVENT_PENDING)
			continue;
		note(evaluation, previous, before, change->after[i], change->events[i], NULL);
		before = change->after[i];
	}
	previous->state = *state;
	previous->reason = NULL;
	previous->reopened++;
	previous->unacknowledged = true;
	/* the rule may have been edited since */
	previous->severity = alert->rule->severity;
	previous->relabelled = true;
	previous->told = evaluation->number;
	previous->changed = true;
	if (chained)
		alert->rule->active += 1;
	else
		chain(evaluation, previous);
	observ_enter_alert(evaluation->store, previous);
}

static bool
begins_to_fire(const struct alert_change *change)
{
	for (int i = 0; i < change->n; i++)
		if (change->events[i] == ALERT_EVENT_FIRING)
			return true;
	return false;
}

static struct alert_change
step(ObservEvaluation *evaluation, const ObservLiveAlert *alert, struct alert_instance *state)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, alert->rule);

	return alert_step(&alert->rule->policy, state, alert->signal, evaluation->at, progress->each);
}

/* What begins to fire is put aside: it may go on with an alert that has ended. */
static void
advance(ObservEvaluation *evaluation, ObservLiveAlert *alert)
{
	struct alert_instance state = alert->state;
	struct alert_change change = step(evaluation, alert, &state);

	if (!begins_to_fire(&change)) {
		commit(evaluation, alert, &state, &change);
		return;
	}
	if (evaluation->n_fired == evaluation->fired_room) {
		MemoryContext before = MemoryContextSwitchTo(evaluation->context);

		evaluation->fired_room = evaluation->fired_room == 0 ? 64 : evaluation->fired_room * 2;
		evaluation->fired =
			evaluation->fired == NULL
				? palloc(sizeof(ObservLiveAlert *) * evaluation->fired_room)
				: repalloc_huge(evaluation->fired, sizeof(ObservLiveAlert *) * evaluation->fired_room);
		MemoryContextSwitchTo(before);
	}
	evaluation->fired[evaluation->n_fired++] = alert;
}

void
observ_close_alert(ObservEvaluation *evaluation, ObservLiveAlert *alert, const char *reason)
{
	enum alert_status before = alert->state.status;

	if (before == ALERT_RESOLVED && alert->state.flapping) {
		alert->state.flapping = false;
		note(evaluation, alert, before, before, ALERT_EVENT_STEADY, reason);
	}
	if (!observ_is_live(alert))
		return;
	alert->reason = reason;
	if (before == ALERT_PENDING) {
		note(evaluation, alert, before, ALERT_INACTIVE, ALERT_EVENT_INACTIVE, reason);
		alert->gone = true;
	} else {
		note(evaluation, alert, before, ALERT_RESOLVED, ALERT_EVENT_RESOLVED, reason);
		alert->state.ended_at = evaluation->at;
		alert->state.keep_since = alert->state.missing_since = ALERT_NEVER;
		alert->state.stale = false;
		alert->state.status = ALERT_RESOLVED;
	}
	if (alert->rule != NULL)
		alert->rule->active--;
}

/* What it means that nobody told of an alert. */
static enum alert_signal
untold(ObservEvaluation *evaluation, const ObservLiveAlert *alert)
{
	const char *vps = alert->instance.vps_name;

	if (alert->state.status == ALERT_RESOLVED || alert->rule->source == RULE_QUERY)
		return SIGNAL_CLEAR;
	return vps != NULL && observ_vps_is_silent(evaluation, vps) ? SIGNAL_SILENT : SIGNAL_MISSING;
}

static void
follow_edit(ObservEvaluation *evaluation, ObservLiveAlert *alert)
{
	const ObservRule *rule = alert->rule;

	alert->relabelled = alert->changed = true;
	if (alert->state.status != ALERT_PENDING) {
		alert->unrouted = true;
		alert->changes++;
	}
	if (alert->severity == rule->severity)
		return;
	alert->severity = rule->severity;
	if (alert->acknowledged && !alert->sticky) {
		ObservAlertEvent row = {alert,
								evaluation->at,
								alert->state.status,
								alert->state.status,
								ALERT_EVENT_NONE,
								"unacknowledged",
								"severity changed",
								alert->value};

		alert->unacknowledged = true;
		observ_note_event(evaluation->store, &row);
	}
}

/* Whether the rule, which may have been edited, can have such instances: the source would never tell of others again. */
static bool
is_of_source(const ObservRule *rule, const ObservInstance *instance)
{
	switch (rule->source) {
	case RULE_QUERY:
		return true;
	case RULE_METRIC_SAMPLES:
		return rule->per_app || instance->app_name == NULL;
	case RULE_HEALTH_CHECKS:
		return (rule->per_app || instance->app_name == NULL) && instance->n_labels == 1 &&
			   slice_equals(instance->labels[0].name, "url");
	default:
		return (rule->per_app || instance->app_name == NULL) && instance->n_labels == 0;
	}
}

static void
settle_alert(ObservEvaluation *evaluation, ObservLiveAlert *alert, int64 gap)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, alert->rule);
	const char *vps = alert->instance.vps_name;

	if (alert->gone || (alert->state.status == ALERT_RESOLVED && !alert->state.flapping))
		return;
	if (progress->edited && observ_is_live(alert))
		follow_edit(evaluation, alert);
	if (gap != 0 && alert_shift(&alert->state, gap))
		note(evaluation, alert, alert->state.status, alert->state.status, ALERT_EVENT_SHIFTED,
			 gap > 0 ? "not evaluated meanwhile" : "clock went back");
	if (alert->told != evaluation->number) {
		if (observ_is_live(alert) && observ_vps_is_retired(evaluation, vps)) {
			observ_close_alert(evaluation, alert, "vps_retired");
			return;
		}
		if (observ_is_live(alert) && alert->rule->source != RULE_QUERY &&
			(!is_of_source(alert->rule, &alert->instance) ||
			 !observ_rule_selects(evaluation, alert->rule, vps, alert->instance.app_name))) {
			observ_close_alert(evaluation, alert, "rule_changed");
			return;
		}
		if (observ_is_live(alert) && progress->truncated)
			return;
		alert->signal = untold(evaluation, alert);
	}
	if (alert->signal == SIGNAL_SILENT && observ_is_live(alert) && observ_vps_is_deleted(evaluation, vps)) {
		observ_close_alert(evaluation, alert, "vps_deleted");
		return;
	}
	advance(evaluation, alert);
}

/* One alert stands for those that there is no room for, and says how many they are (C26). */
static void
settle_overflow(ObservEvaluation *evaluation, ObservRule *rule)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, rule);
	ObservLiveAlert *alert;
	bool is_new;

	if (progress->beyond == 0 && rule->active == 0)
		return;
	alert = observ_overflow_alert(evaluation, rule);
	is_new = alert == NULL || !observ_is_live(alert);
	if (is_new && progress->beyond == 0)
		return;
	if (is_new) {
		ObservInstance instance = observ_overflow_instance();
		ObservLiveAlert *before = alert;

		alert = observ_new_alert(evaluation->store, rule, &instance);
		alert->overflow = true;
		if (before != NULL && !before->gone)
			alert->previous = before;
		chain(evaluation, alert);
		observ_enter_alert(evaluation->store, alert);
	}
	alert->told = evaluation->number;
	alert->signal = progress->beyond > 0 ? SIGNAL_BREACH : SIGNAL_CLEAR;
	alert->told_value = progress->beyond;
	alert->told_sampled_at = DT_NOBEGIN;
}

/* New alerts, the worst first when there is not room for all. */
static void
settle_candidates(ObservEvaluation *evaluation, ObservRule *rule)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, rule);

	for (int i = 0; i < progress->n_fresh; i++) {
		const ObservCandidate *candidate = &progress->fresh[i];
		ObservLiveAlert *before = observ_find_alert(evaluation->store, rule->rule_id, &candidate->instance);
		ObservLiveAlert *alert;

		/* Told twice. */
		if (before != NULL && before->told == evaluation->number)
			continue;
		alert = observ_new_alert(evaluation->store, rule, &candidate->instance);
		if (before != NULL && !before->gone)
			alert->previous = before;
		alert->told = evaluation->number;
		alert->signal = candidate->signal;
		alert->told_value = candidate->value;
		alert->told_sampled_at = candidate->sampled_at;
		chain(evaluation, alert);
		observ_enter_alert(evaluation->store, alert);
		advance(evaluation, alert);
	}
}

static void
settle_rule(ObservEvaluation *evaluation, ObservRule *rule)
{
	ObservRuleProgress *progress = observ_progress_of(evaluation, rule);
	ObservLiveAlert *next;
	int64 gap = observ_time_left_out(rule, progress, evaluation->at);

	observ_drop_least(progress);
	settle_overflow(evaluation, rule);
	for (ObservLiveAlert *alert = progress->alerts; alert != NULL; alert = next) {
		next = alert->next_of_rule;
		settle_alert(evaluation, alert, gap);
	}
	settle_candidates(evaluation, rule);
}

static bool
may_reopen(const ObservEvaluation *evaluation, const ObservLiveAlert *alert, const ObservLiveAlert *previous)
{
	return previous != NULL && !previous->by_hand && previous->state.status == ALERT_RESOLVED &&
		   alert->rule->reopen_us > 0 && evaluation->at - previous->state.ended_at <= alert->rule->reopen_us;
}

static void
settle_fired(ObservEvaluation *evaluation)
{
	int64 longest = 0;

	if (evaluation->n_fired == 0)
		return;
	for (int i = 0; i < evaluation->n_fired; i++)
		longest = Max(longest, evaluation->fired[i]->rule->reopen_us);
	if (longest > 0)
		observ_find_previous(evaluation->store, evaluation->fired, evaluation->n_fired,
							 evaluation->at - longest);
	for (int i = 0; i < evaluation->n_fired; i++) {
		ObservLiveAlert *alert = evaluation->fired[i];
		ObservLiveAlert *previous = alert->previous;
		struct alert_instance state = alert->state;
		struct alert_change change;

		if (!may_reopen(evaluation, alert, previous)) {
			change = step(evaluation, alert, &state);
			commit(evaluation, alert, &state, &change);
			continue;
		}
		state.ended_at = previous->state.ended_at;
		state.flap_history = previous->state.flap_history;
		state.flap_at = previous->state.flap_at;
		state.flapping = previous->state.flapping;
		change = step(evaluation, alert, &state);
		reopen(evaluation, alert, previous, &state, &change);
	}
}

void
observ_settle(ObservEvaluation *evaluation)
{
	for (int i = 0; i < evaluation->n_rules; i++) {
		CHECK_FOR_INTERRUPTS();
		if (!evaluation->progress[i].due)
			continue;
		if (evaluation->rules[i].error == NULL)
			settle_rule(evaluation, &evaluation->rules[i]);
	}
	settle_fired(evaluation);
	for (int i = 0; i < evaluation->n_rules; i++)
		if (evaluation->progress[i].due)
			observ_rule_evaluated(evaluation, &evaluation->rules[i]);
}
