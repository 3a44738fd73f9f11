/*
 * What the files evaluation*.c share. What does not belong here: what sources may ask (evaluation.h).
 */
#ifndef OBSERV_EXT_EVALUATION_PARTS_H
#define OBSERV_EXT_EVALUATION_PARTS_H

#include "ext/alert_store.h"
#include "utils/hsearch.h"

/* An instance that is true and has no alert yet. */
typedef struct ObservCandidate {
	ObservInstance instance; /* a copy of one block: instance.labels */
	enum alert_signal signal;
	double value, distance;
	TimestampTz sampled_at;
} ObservCandidate;

/* What an evaluation knows of one rule, beside the rule. */
typedef struct ObservRuleProgress {
	/* observ_data.rule_state */
	bool known; /* it has a row there */
	int version, errors, overflow;
	char *last_error, *sqlstate;
	TimestampTz error_since, data_seen_at;
	bool write; /* something of it is not as before */

	TimestampTz last;        /* evaluated then; DT_NOBEGIN: never */
	int64 each;              /* from one evaluation to the next */
	bool edited;             /* since it was evaluated last */
	TimestampTz replay_from; /* missed evaluations from here on are made up for; DT_NOEND: none was missed */
	int64 unseen_us;         /* time of the pause with rows, which came before those */
	bool due;                /* at the time that is being evaluated */
	bool failed;             /* in this call */

	ObservLiveAlert *alerts;
	ObservCandidate *fresh;
	int n_fresh, fresh_room, room;
	int64 beyond;   /* candidates that there is no room for */
	bool truncated; /* the source stopped telling: what was not told of stays as it is */
} ObservRuleProgress;

struct ObservEvaluation {
	TimestampTz at;
	int number; /* counts evaluations of this call */
	ObservRule *rules;
	ObservRuleProgress *progress; /* by rule->index */
	int n_rules;
	ObservAlertStore *store;
	HTAB *special, *registry;   /* observ.vps; NULL: not read yet */
	MemoryContext context;      /* of the call */
	MemoryContext slot_context; /* of the time that is being evaluated */
	ObservLiveAlert **fired;    /* those that begin to fire now */
	int n_fired, fired_room;
	bool has_strangers; /* observ_data.rule_state has rows of rules that are not evaluated */
};

static inline ObservRuleProgress *
observ_progress_of(ObservEvaluation *evaluation, const ObservRule *rule)
{
	return &evaluation->progress[rule->index];
}

static inline bool
observ_is_live(const ObservLiveAlert *alert)
{
	return !alert->gone && alert->state.status != ALERT_RESOLVED;
}

/* evaluation_vps.c: the registry */
extern bool observ_vps_is_retired(ObservEvaluation *evaluation, const char *vps_name);
/* Whether neither the registry nor the fleet summary knows it (false while nobody keeps the summary). Needs SPI_connect(). */
extern bool observ_vps_is_deleted(ObservEvaluation *evaluation, const char *vps_name);
extern Jsonb *observ_vps_labels(ObservEvaluation *evaluation, const char *vps_name);

/* evaluation_rules.c: observ_data.rule_state. Both need SPI_connect(). */
extern void observ_read_rule_state(ObservEvaluation *evaluation, TimestampTz before);
extern void observ_write_rule_state(ObservEvaluation *evaluation);
/* The rule of that id among those that are evaluated; NULL: none. */
extern ObservRule *observ_find_rule(const ObservEvaluation *evaluation, int64 rule_id);
/* Alerts whose rule is deleted or not enabled any more end. Needs SPI_connect(). */
extern void observ_close_orphans(ObservEvaluation *evaluation);
/* What was found out about a rule at the evaluation that has just been settled. */
extern void observ_rule_evaluated(ObservEvaluation *evaluation, ObservRule *rule);

/* evaluation_slots.c: when rules are evaluated */
/* Times to evaluate, ascending, the last is `at`. */
extern TimestampTz *observ_evaluation_times(ObservEvaluation *evaluation, TimestampTz at, int *n);
/* How much of the time since the rule was evaluated last counts towards nothing: a pause without rows; negative: the clock went back. Asked once per evaluation. */
extern int64 observ_time_left_out(const ObservRule *rule, ObservRuleProgress *progress, TimestampTz at);
/* Sets `due` of every rule for a time of these. */
extern int observ_choose_due(ObservEvaluation *evaluation, TimestampTz time, bool is_last);

/* evaluation_tell.c: what sources tell */
extern void observ_begin_telling(ObservEvaluation *evaluation);
/* Keeps the worst of the candidates, as many as there is room for. */
extern void observ_drop_least(ObservRuleProgress *progress);
/* How far a value is beyond the threshold: larger is worse. */
extern double observ_distance(const ObservRule *rule, double value);
/* What the alert is about that stands for the rest (C26); and that alert, live or not, NULL: none. */
extern ObservInstance observ_overflow_instance(void);
extern ObservLiveAlert *observ_overflow_alert(ObservEvaluation *evaluation, const ObservRule *rule);
/* evaluation.c: lets all sources tell of the rules that are due at evaluation->at. Needs SPI_connect(). */
extern void observ_ask_sources(ObservEvaluation *evaluation);

/* evaluation_settle.c: what becomes of alerts */
/* Ties alerts to their rules. */
extern void observ_assign_alerts(ObservEvaluation *evaluation);
/* Takes what sources told of the rules that are due into their alerts. Needs SPI_connect(). */
extern void observ_settle(ObservEvaluation *evaluation);
/* Ends an alert for another reason than its value. */
extern void observ_close_alert(ObservEvaluation *evaluation, ObservLiveAlert *alert, const char *reason);

#endif
