/*
 * When rules are evaluated: at the time that was asked for, and at those that were missed (alerting.md 2.10).
 * What does not belong here: the evaluation.
 *
 * Evaluations of a rule lie on multiples of its interval. After a pause (the scheduler was away, the database was) the missed ones are made
 * up for where rows of that time are stored; time of which there are none counts towards nothing.
 */
#include "postgres.h"

#include "ext/evaluation_parts.h"

#include "ext/gucs.h"
#include "ext/rule_source.h"
#include "ext/times.h"
#include "miscadmin.h"

/* Without an interval of its own a rule is evaluated whenever somebody asks: less than this is no pause. */
#define SHORTEST_GAP_US  (INT64CONST(600) * USECS_PER_SEC)
#define DEFAULT_EVERY_US (INT64CONST(15) * USECS_PER_SEC)
#define GAP_INTERVALS    3
/* Times of which rows are looked for between the evaluation before a pause and the first that is made up for, at most. */
#define MAX_PROBES 1000

static int64
general_interval(void)
{
	return observ_evaluation_interval > 0 ? observ_evaluation_interval * USECS_PER_SEC : DEFAULT_EVERY_US;
}

/* A rule can't be evaluated more often than the scheduler calls. */
static int64
interval_of(const ObservRule *rule)
{
	if (rule->interval_us <= 0)
		return general_interval();
	return Max(rule->interval_us, observ_evaluation_interval * USECS_PER_SEC);
}

/* What is longer than this between two evaluations is a pause. */
static int64
longest_step(const ObservRule *rule, const ObservRuleProgress *progress)
{
	int64 longest = GAP_INTERVALS * progress->each;

	return rule->interval_us > 0 ? longest : Max(longest, SHORTEST_GAP_US);
}

/* Where making up begins, or DT_NOEND. */
static TimestampTz
replay_from(const ObservRule *rule, const ObservRuleProgress *progress, TimestampTz at)
{
	TimestampTz oldest;

	if (TIMESTAMP_NOT_FINITE(progress->last) || at - progress->last <= longest_step(rule, progress))
		return DT_NOEND;
	oldest = observ_floor_time(at - 1, progress->each) - (observ_catchup_max - 1) * progress->each;
	return Max(oldest, observ_floor_time(progress->last, progress->each) + progress->each);
}

/*
 * How much of the time after the last evaluation, up to where making up begins, there are rows of: nothing looks at it any more, but it went by
 * all the same. In steps of the interval, or wider ones where the pause was long.
 */
static int64
unseen_with_rows(const ObservRuleProgress *progress, TimestampTz at)
{
	TimestampTz first = observ_floor_time(progress->last, progress->each) + progress->each;
	int64 length = Min(progress->replay_from, at) - first;
	int64 step = progress->each * (1 + length / progress->each / MAX_PROBES), with_rows = 0;

	for (TimestampTz t = first; t < first + length; t += step) {
		CHECK_FOR_INTERRUPTS();
		if (observ_rows_reach(t - progress->each, t))
			with_rows += Min(step, first + length - t);
	}
	return with_rows;
}

int64
observ_time_left_out(const ObservRule *rule, ObservRuleProgress *progress, TimestampTz at)
{
	int64 passed, left_out;

	if (TIMESTAMP_NOT_FINITE(progress->last))
		return 0;
	passed = at - progress->last;
	if (passed < 0)
		return passed;
	if (progress->replay_from == DT_NOEND || passed <= longest_step(rule, progress))
		return 0;
	left_out = passed - progress->unseen_us;
	progress->unseen_us = 0;
	return left_out > longest_step(rule, progress) ? left_out : 0;
}

static int
compare_times(const void *a, const void *b)
{
	TimestampTz x = *(const TimestampTz *) a, y = *(const TimestampTz *) b;

	return (x > y) - (x < y);
}

/* Rules of the same interval miss the same times. */
static const ObservRuleProgress *
same_before(const ObservEvaluation *evaluation, int rule)
{
	const ObservRuleProgress *progress = &evaluation->progress[rule];

	for (int i = 0; i < rule; i++)
		if (evaluation->progress[i].replay_from == progress->replay_from &&
			evaluation->progress[i].each == progress->each && evaluation->progress[i].last == progress->last)
			return &evaluation->progress[i];
	return NULL;
}

TimestampTz *
observ_evaluation_times(ObservEvaluation *evaluation, TimestampTz at, int *n)
{
	int room = 64;
	TimestampTz *times = palloc(sizeof(TimestampTz) * room);
	int kept = 0;

	*n = 0;
	for (int i = 0; i < evaluation->n_rules; i++) {
		ObservRuleProgress *progress = &evaluation->progress[i];
		const ObservRuleProgress *same;

		progress->each = interval_of(&evaluation->rules[i]);
		progress->replay_from = replay_from(&evaluation->rules[i], progress, at);
		if (progress->replay_from == DT_NOEND)
			continue;
		same = same_before(evaluation, i);
		progress->unseen_us = same != NULL ? same->unseen_us : unseen_with_rows(progress, at);
		for (TimestampTz t = progress->replay_from; t < at && same == NULL; t += progress->each) {
			if (!observ_rows_reach(t - progress->each, t))
				continue;
			if (*n + 1 >= room)
				times = repalloc(times, sizeof(TimestampTz) * (room *= 2));
			times[(*n)++] = t;
		}
	}
	times[(*n)++] = at;
	qsort(times, *n, sizeof(TimestampTz), compare_times);
	for (int i = 0; i < *n; i++)
		if (kept == 0 || times[kept - 1] != times[i])
			times[kept++] = times[i];
	*n = kept;
	return times;
}

static bool
is_due(const ObservRule *rule, const ObservRuleProgress *progress, TimestampTz time, bool is_last)
{
	if (rule->error != NULL)
		return is_last && !progress->failed;
	if (!is_last)
		return progress->replay_from <= time && observ_floor_time(time, progress->each) == time;
	if (rule->interval_us <= 0 || progress->edited || TIMESTAMP_NOT_FINITE(progress->last))
		return true;
	return observ_floor_time(time, rule->interval_us) != observ_floor_time(progress->last, rule->interval_us);
}

int
observ_choose_due(ObservEvaluation *evaluation, TimestampTz time, bool is_last)
{
	int n = 0;

	for (int i = 0; i < evaluation->n_rules; i++) {
		evaluation->progress[i].due = is_due(&evaluation->rules[i], &evaluation->progress[i], time, is_last);
		n += evaluation->progress[i].due;
	}
	return n;
}
