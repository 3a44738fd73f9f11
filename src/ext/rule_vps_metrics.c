/*
 * Rules about columns of observ.vps_metrics: a value per VPS and application, or per VPS, out of the samples in the window.
 * What does not belong here: samples (window_store.c), aggregates (core/window.h), long windows and what is usual (rule_vps_long.c).
 *
 * A quiet fleet costs the loop over keys and rules and nothing else, so what rules have in common is worked out once per key: rules are sorted by
 * what they look at, and neighbours share samples and values.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "ext/rule_source.h"
#include "ext/rule_vps_long.h"
#include "ext/spi_util.h"
#include "utils/float.h"
#include "utils/timestamp.h"

/* A sample is fresh for 1.5 expected intervals (alerting.md 2.9). */
#define FRESH_HALVES 3

/* A rule, and what it has in common with the one before it. */
typedef struct Question {
	ObservRule *rule;
	bool is_long;
	ObservWindowPlace place;
	int selector;     /* rules with the same number take the same VPSs */
	bool same_time;   /* delay */
	bool same_metric; /* also metric: its samples, or the newest ones of them */
	bool same_value;  /* also window, aggregate and what belongs to it */
} Question;

/* The keys that one instance is made of: one, or those of all applications of a VPS. */
typedef struct View {
	ObservWindowKey **keys;
	int n;
	bool per_app;
} View;

typedef struct Pass {
	ObservEvaluation *evaluation;
	const ObservWindows *windows;
	TimestampTz at;
	Question *questions[2]; /* of rules per VPS, per application */
	int n[2];
	int n_selectors;
	ObservVpsLong long_windows;

	/* Of the view. */
	View view;
	signed char *selected; /* by selector; -1: not known */
	int64 expected_us;     /* 0: not known */

	/* Of the question, and those that have it in common. */
	TimestampTz now; /* time that the rule is evaluated as of */
	TimestampTz newest;
	bool silent;
	TimestampTz after; /* samples later than this have been gathered … */
	ObservSamples gathered;
	ObservSamples samples; /* … and the newest ones of them are in the window */
	bool has_value;
	double value;
} Pass;

/* ---- questions */

static int64
window_of(const ObservRule *rule)
{
	return rule->aggregate == RULE_LAST ? 0 : rule->window_us;
}

static int
compare_numbers(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

static int
compare_metrics(const ObservRule *a, const ObservRule *b)
{
	int order = compare_numbers(a->delay_us, b->delay_us);

	return order != 0 ? order : compare_numbers(a->metric - rule_metrics, b->metric - rule_metrics);
}

/* The longest window first: the others are the end of it. */
static int
compare_values(const ObservRule *a, const ObservRule *b)
{
	int order = compare_numbers(window_of(b), window_of(a));

	if (order == 0)
		order = compare_numbers(a->aggregate, b->aggregate);
	if (order == 0)
		order = compare_numbers(a->ahead_us, b->ahead_us);
	if (order == 0)
		order = float8_cmp_internal(a->from, b->from);
	if (order == 0 && a->has_from)
		order = compare_numbers(a->op, b->op);
	return order != 0 ? order : compare_numbers(a->min_samples, b->min_samples);
}

static int
compare_questions(const void *left, const void *right)
{
	const ObservRule *a = ((const Question *) left)->rule, *b = ((const Question *) right)->rule;
	int order = compare_metrics(a, b);

	if (order == 0)
		order = compare_values(a, b);
	return order != 0 ? order : compare_numbers(a->rule_id, b->rule_id);
}

static void
sort_questions(Pass *pass, Question *questions, int n)
{
	qsort(questions, n, sizeof(Question), compare_questions);
	for (int i = 0; i < n; i++) {
		Question *q = &questions[i];
		const ObservRule *before = i > 0 ? questions[i - 1].rule : NULL;

		q->place = observ_window_place(pass->windows, q->rule->metric);
		q->selector = q->rule->selector == NULL ? 0 : pass->n_selectors++;
		q->same_time = before != NULL && before->delay_us == q->rule->delay_us;
		q->is_long = observ_is_long(q->rule);
		q->same_metric = before != NULL && !questions[i - 1].is_long && compare_metrics(before, q->rule) == 0;
		q->same_value =
			before != NULL && compare_metrics(before, q->rule) == 0 && compare_values(before, q->rule) == 0;
	}
}

/* How far back samples are needed. */
static int64
back_of(const Pass *pass, const ObservRule *rule)
{
	return observ_is_long(rule) ? observ_long_back(&pass->long_windows, rule)
								: rule->delay_us + Max(window_of(rule), OBSERV_LOOKBACK);
}

static void
begin(Pass *pass, ObservRule **rules, int n)
{
	ObservWindowNeed *needs = palloc(sizeof(ObservWindowNeed) * 2 * n);

	observ_begin_long(&pass->long_windows, pass->at, rules, n);
	for (int i = 0; i < n; i++) {
		needs[2 * i] = (ObservWindowNeed){rules[i]->metric, back_of(pass, rules[i])};
		/* whether it was fresh then */
		needs[2 * i + 1] = (ObservWindowNeed){NULL, rules[i]->delay_us + OBSERV_LOOKBACK};
	}
	pass->windows = observ_windows(OBSERV_WINDOW_VPS_METRICS, pass->at, needs, 2 * n);
	pfree(needs);
	pass->n_selectors = 1;
	for (int per_app = 0; per_app < 2; per_app++) {
		Question *questions = palloc0(sizeof(Question) * n);
		int used = 0;

		for (int i = 0; i < n; i++)
			if (rules[i]->per_app == (per_app == 1))
				questions[used++].rule = rules[i];
		sort_questions(pass, questions, used);
		pass->questions[per_app] = questions;
		pass->n[per_app] = used;
	}
	pass->selected = palloc(pass->n_selectors);
}

/* ---- samples of a view */

static void
gather(Pass *pass, const Question *q, TimestampTz after)
{
	observ_clear_samples(&pass->gathered);
	for (int i = 0; i < pass->view.n; i++)
		observ_add_samples(&pass->gathered, pass->windows, pass->view.keys[i], q->place, after, pass->now);
	if (pass->view.n > 1)
		observ_sort_samples(&pass->gathered);
	pass->after = after;
}

/*
 * The samples in the window. A VPS that reports less often than the window is long has none in it most of the time, though it is well: then the
 * newest one stands for it, as it does without a window.
 */
static void
look_through_window(Pass *pass, const Question *q)
{
	int64 window = window_of(q->rule);
	TimestampTz after = pass->now - (window > 0 ? window : Max(OBSERV_LOOKBACK, 3 * pass->expected_us));
	int first;

	after = Min(after, pass->newest - 1);
	if (!q->same_metric || after < pass->after)
		gather(pass, q, after);
	first = pass->gathered.n;
	while (first > 0 && pass->gathered.samples[first - 1].at_us > after)
		first--;
	pass->samples = pass->gathered;
	pass->samples.samples += first;
	pass->samples.n -= first;
}

static bool
work_out(Pass *pass, const Question *q)
{
	const View *view = &pass->view;
	bool found;

	if (q->is_long)
		found = observ_long_value(&pass->long_windows, q->rule, pass->windows, view->keys, view->n, pass->now,
								  pass->expected_us, &pass->value);
	else {
		look_through_window(pass, q);
		found = observ_samples_value(&pass->samples, q->rule, pass->now, &pass->value);
	}
	if (found && q->rule->aggregate == RULE_ANOMALY)
		found = observ_anomaly(q->rule, view->keys, view->n, pass->now, pass->value, &pass->value);
	return found;
}

/* ---- views */

/* Newest sample of the view as of that time, and whether it is fresh. */
static void
look_at_time(Pass *pass, TimestampTz now)
{
	float4 interval = NAN;
	int64 said = 0;

	pass->now = now;
	pass->newest = DT_NOBEGIN;
	for (int i = 0; i < pass->view.n; i++) {
		const ObservTrack *track = &pass->view.keys[i]->tracks[0];
		int newest = observ_track_newest(track, now);

		if (newest < 0 || track->times[newest] <= pass->newest)
			continue;
		pass->newest = track->times[newest];
		interval = track->values[(Size) newest * pass->windows->n_columns[0] + OBSERV_INTERVAL_COLUMN];
	}
	if (!isnan(interval) && interval > 0)
		said = (int64) interval * 1000;
	pass->expected_us = observ_expected_interval(pass->evaluation, pass->view.keys[0]->key.vps, said);
	pass->silent = pass->newest == DT_NOBEGIN || 2 * (now - pass->newest) > FRESH_HALVES * pass->expected_us;
}

static bool
is_selected(Pass *pass, const Question *q)
{
	signed char *known = &pass->selected[q->selector];
	const ObservVpsKey *key = &pass->view.keys[0]->key;

	if (*known < 0)
		*known = observ_rule_selects(pass->evaluation, q->rule, key->vps,
									 pass->view.per_app && key->app_len > 0 ? key->app : NULL);
	return *known;
}

static void
tell(Pass *pass, const Question *q, enum alert_signal signal)
{
	ObservWindowKey *key = pass->view.keys[0];
	bool app = pass->view.per_app && key->key.app_len > 0;
	ObservInstance instance = {.vps_name = key->key.vps, .app_name = app ? key->key.app : NULL};

	if (key->hash[app] == 0)
		key->hash[app] = observ_instance_hash(&instance);
	instance.hash = key->hash[app];
	observ_tell(pass->evaluation, q->rule, &instance, signal, pass->has_value ? pass->value : NAN,
				pass->newest);
}

static void
answer(Pass *pass, const Question *q)
{
	const ObservRule *rule = q->rule;
	enum alert_signal signal;

	if (!q->same_time)
		look_at_time(pass, observ_rule_time(pass->at, rule));
	if (pass->silent)
		pass->has_value = false;
	else if (!q->same_value)
		pass->has_value = work_out(pass, q);
	if (pass->has_value)
		signal = rule_signal(rule->op, rule->threshold, rule->has_clear, rule->clear_threshold, pass->value);
	else
		signal = pass->silent ? SIGNAL_SILENT : SIGNAL_MISSING;
	if ((rule->observed > 0 && !observ_worth_telling(rule, signal)) || !is_selected(pass, q))
		return;
	q->rule->observed += pass->has_value;
	if (observ_worth_telling(rule, signal))
		tell(pass, q, signal);
}

static void
answer_all(Pass *pass, ObservWindowKey **keys, int n, bool per_app)
{
	pass->view = (View){keys, n, per_app};
	memset(pass->selected, -1, pass->n_selectors);
	for (int i = 0; i < pass->n[per_app]; i++)
		answer(pass, &pass->questions[per_app][i]);
}

void
observ_evaluate_vps_metrics(ObservEvaluation *evaluation, ObservRule **rules, int n)
{
	Pass pass = {.evaluation = evaluation, .at = observ_evaluation_at(evaluation)};
	ObservWindowKey **keys;

	begin(&pass, rules, n);
	keys = pass.windows->keys;
	for (int i = 0, same; i < pass.windows->n_keys; i += same) {
		for (same = 1;
			 i + same < pass.windows->n_keys && strcmp(keys[i]->key.vps, keys[i + same]->key.vps) == 0;
			 same++)
			;
		if (pass.n[false] > 0)
			answer_all(&pass, &keys[i], same, false);
		for (int j = i; j < i + same && pass.n[true] > 0; j++)
			answer_all(&pass, &keys[j], 1, true);
	}
}

/* ---- what evaluation asks */

bool
observ_vps_is_silent(ObservEvaluation *evaluation, const char *vps_name)
{
	Pass pass = {.evaluation = evaluation, .at = observ_evaluation_at(evaluation)};
	int first, n;

	pass.windows = observ_windows(OBSERV_WINDOW_VPS_METRICS, pass.at, NULL, 0);
	first = observ_windows_of(pass.windows, vps_name, &n);
	if (n == 0)
		return true;
	pass.view = (View){&pass.windows->keys[first], n, false};
	look_at_time(&pass, pass.at);
	return pass.silent;
}

bool
observ_rows_reach(TimestampTz after, TimestampTz until)
{
	static SPIPlanPtr plan = NULL;
	static const char sql[] =
		"SELECT WHERE EXISTS (SELECT FROM observ.vps_metrics m WHERE m.\"timestamp\" > $1 AND "
		"m.\"timestamp\" <= $2) "
		"OR EXISTS (SELECT FROM observ.health_checks m WHERE m.\"timestamp\" > $1 AND m.\"timestamp\" <= $2) "
		"OR EXISTS (SELECT FROM observ.vps_metrics m WHERE m.\"timestamp\" > $3 AND m.\"timestamp\" <= $1 "
		"AND coalesce(m.interval_ms, 60000) > extract(epoch FROM $2 - m.\"timestamp\") * 1000)";
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(after), TimestampTzGetDatum(until),
					  TimestampTzGetDatum(until - OBSERV_LOOKBACK)};
	int nest_level = observ_few_rows_begin();
	uint64 found = observ_spi_read(&plan, sql, lengthof(types), types, values, NULL);

	observ_few_rows_end(nest_level);
	SPI_freetuptable(SPI_tuptable);
	return found > 0;
}
