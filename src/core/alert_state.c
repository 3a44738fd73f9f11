/*
 * alert_state.c: the life of one alert, see alert_state.h. NEUTRAL, pure.
 */
#include "core/alert_state.h"

#include <stddef.h>

#include "core/flapping.h"

const char *const alert_status_names[] = {"inactive", "pending", "firing", "recovering", "resolved"};
const char *const alert_event_names[] = {NULL,       "pending",  "firing",   "recovering",
										 "refiring", "reopened", "resolved", "inactive",
										 "flapping", "steady",   "shifted"};

/* One evaluation while it is worked out. */
struct step {
	const struct alert_policy *policy;
	struct alert_instance *instance;
	int64_t at;
	bool condition_changed; /* true and false in turn: what flapping counts */
	struct alert_change change;
};

static void
note(struct step *step, enum alert_event event, enum alert_status after)
{
	struct alert_change *change = &step->change;

	step->instance->status = after;
	change->events[change->n] = event;
	change->after[change->n++] = after;
}

static void
resolve(struct step *step, const char *reason)
{
	struct alert_instance *instance = step->instance;

	step->change.reason = reason;
	if (instance->status == ALERT_PENDING) {
		note(step, ALERT_EVENT_INACTIVE, ALERT_INACTIVE);
		return;
	}
	step->condition_changed = instance->status == ALERT_FIRING;
	instance->ended_at = step->at;
	instance->keep_since = instance->missing_since = ALERT_NEVER;
	instance->stale = false;
	note(step, ALERT_EVENT_RESOLVED, ALERT_RESOLVED);
}

static void
is_true(struct step *step)
{
	struct alert_instance *instance = step->instance;

	if (instance->status == ALERT_INACTIVE || instance->status == ALERT_RESOLVED) {
		instance->active_at = step->at;
		note(step, ALERT_EVENT_PENDING, ALERT_PENDING);
	}
	if (instance->status == ALERT_RECOVERING) {
		instance->keep_since = ALERT_NEVER;
		step->condition_changed = true;
		note(step, ALERT_EVENT_REFIRING, ALERT_FIRING);
	} else if (instance->status == ALERT_PENDING && step->at - instance->active_at >= step->policy->for_us) {
		bool again = instance->ended_at != ALERT_NEVER;

		instance->fired_at = step->at;
		instance->ended_at = ALERT_NEVER;
		step->condition_changed = true;
		note(step, again ? ALERT_EVENT_REOPENED : ALERT_EVENT_FIRING, ALERT_FIRING);
	}
}

static void
is_false(struct step *step)
{
	struct alert_instance *instance = step->instance;

	switch (instance->status) {
	case ALERT_INACTIVE:
	case ALERT_RESOLVED:
		return;
	case ALERT_PENDING:
		resolve(step, "cleared");
		return;
	case ALERT_FIRING:
		if (step->policy->keep_us <= 0) {
			resolve(step, "cleared");
			return;
		}
		instance->keep_since = step->at;
		step->condition_changed = true;
		note(step, ALERT_EVENT_RECOVERING, ALERT_RECOVERING);
		return;
	case ALERT_RECOVERING:
		if (step->at - instance->keep_since >= step->policy->keep_us)
			resolve(step, "cleared");
		return;
	}
}

/* Neither true nor false: what fires or recovers is true still, what has not fired is not true. */
static void
is_between(struct step *step)
{
	if (step->instance->status == ALERT_PENDING)
		is_false(step);
	else if (step->instance->status == ALERT_RECOVERING)
		is_true(step);
}

/* What an absence policy says, once it applies. */
static void
is_absent(struct step *step, enum alert_absence policy)
{
	bool live = step->instance->status != ALERT_INACTIVE && step->instance->status != ALERT_RESOLVED;

	if (policy == ABSENCE_ALERT)
		is_true(step);
	else if (policy == ABSENCE_RESOLVE && live)
		resolve(step, "no_data");
}

/* A time that counts towards nothing; whether anything was counting. */
static bool
leave_out(struct alert_instance *instance, int64_t us)
{
	if (instance->status == ALERT_PENDING)
		instance->active_at += us;
	else if (instance->status == ALERT_RECOVERING)
		instance->keep_since += us;
	else
		return false;
	return true;
}

/* Samples are there again, or at least the source is. */
static void
end_absence(struct step *step)
{
	struct alert_instance *instance = step->instance;

	if (instance->missing_since == ALERT_NEVER && !instance->stale)
		return;
	if (instance->stale && instance->missing_since != ALERT_NEVER && step->policy->no_data == ABSENCE_KEEP &&
		leave_out(instance, step->at - instance->missing_since))
		note(step, ALERT_EVENT_SHIFTED, instance->status);
	instance->stale = false;
	instance->missing_since = ALERT_NEVER;
	step->change.touched = true;
}

static void
source_is_silent(struct step *step)
{
	struct alert_instance *instance = step->instance;

	if (!instance->stale && instance->status != ALERT_INACTIVE) {
		instance->stale = true;
		instance->missing_since = step->at;
		step->change.touched = true;
	}
	is_absent(step, step->policy->no_data);
}

static void
series_is_missing(struct step *step)
{
	struct alert_instance *instance = step->instance;

	if (instance->stale)
		end_absence(step);
	if (instance->missing_since == ALERT_NEVER && instance->status != ALERT_INACTIVE) {
		instance->missing_since = step->at;
		step->change.touched = true;
	}
	if (instance->status == ALERT_INACTIVE || step->at - instance->missing_since >= step->policy->missing_us)
		is_absent(step, step->policy->on_missing);
}

/* Counts changes of what has fired at least once, in evaluations; those that passed without a look at it changed nothing. */
static void
count_flaps(struct step *step, int64_t interval_us)
{
	struct alert_instance *instance = step->instance;
	int64_t passed = FLAPPING_SLOTS;
	uint32_t history;
	bool flapping;

	if (instance->fired_at == ALERT_NEVER || (!step->condition_changed && !instance->flapping))
		return;
	if (instance->flap_at != ALERT_NEVER && interval_us > 0) {
		passed = (step->at - instance->flap_at + interval_us / 2) / interval_us;
		if (passed < 1)
			passed = step->at > instance->flap_at ? 1 : 0;
	}
	history = flapping_record(instance->flap_history, passed, step->condition_changed);
	flapping = step->policy->flap_detection && flapping_decide(history, instance->flapping);
	if (step->condition_changed) {
		instance->flap_history = history;
		instance->flap_at = step->at;
		step->change.touched = true;
	}
	if (flapping != instance->flapping) {
		instance->flapping = flapping;
		note(step, flapping ? ALERT_EVENT_FLAPPING : ALERT_EVENT_STEADY, instance->status);
	}
}

struct alert_change
alert_step(const struct alert_policy *policy, struct alert_instance *instance, enum alert_signal signal,
		   int64_t at, int64_t interval_us)
{
	struct step step = {.policy = policy, .instance = instance, .at = at};

	if (signal == SIGNAL_BREACH || signal == SIGNAL_HOLD || signal == SIGNAL_CLEAR)
		end_absence(&step);
	switch (signal) {
	case SIGNAL_BREACH:
		is_true(&step);
		break;
	case SIGNAL_HOLD:
		is_between(&step);
		break;
	case SIGNAL_CLEAR:
		is_false(&step);
		break;
	case SIGNAL_SILENT:
		source_is_silent(&step);
		break;
	case SIGNAL_MISSING:
		series_is_missing(&step);
		break;
	}
	count_flaps(&step, interval_us);
	step.change.touched |= step.change.n > 0;
	return step.change;
}

bool
alert_shift(struct alert_instance *instance, int64_t gap_us)
{
	bool counted;

	if (instance->status == ALERT_INACTIVE || instance->status == ALERT_RESOLVED || gap_us == 0)
		return false;
	counted = leave_out(instance, gap_us);
	if (instance->missing_since == ALERT_NEVER)
		return counted;
	instance->missing_since += gap_us;
	return true;
}
