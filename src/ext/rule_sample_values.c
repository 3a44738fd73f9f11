/*
 * Values of rules over labelled metrics, out of the samples of one series or of several with the same labels.
 * What does not belong here: reading raw rows, signals (rule_samples.c), reading roll-ups (rule_cells.c), aggregates (core/window.c).
 */
#include "postgres.h"

#include "ext/rule_sample_values.h"

#include <math.h>

#include "core/window_cells.h"
#include "ext/rollup_sources.h"
#include "ext/times.h"
#include "utils/float.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

static bool
is_growth(enum rule_aggregate aggregate)
{
	return aggregate == RULE_RATE || aggregate == RULE_INCREASE || aggregate == RULE_DELTA;
}

/* Start of a rule's window as of that time; samples later than it count. */
static TimestampTz
window_start(const ObservSampleValues *values, const ObservRule *rule, TimestampTz time)
{
	return time - (rule->window_us > 0 ? rule->window_us : values->lookback_us);
}

/* How many samples are not later than a time. */
static int
samples_until(const ObservRuleSeries *series, TimestampTz time)
{
	int low = 0, high = series->n;

	while (low < high) {
		int middle = (low + high) / 2;

		if (series->samples[middle].at_us <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Room for so many samples in values->merged, whose contents stay, and values->scratch. */
static void
make_room(ObservSampleValues *values, int n)
{
	if (n <= values->room)
		return;
	values->room = Max(n, 2 * values->room);
	values->merged = repalloc_huge(values->merged, sizeof(struct window_sample) * values->room);
	values->scratch = repalloc_huge(values->scratch, sizeof(double) * values->room);
}

static struct window_question
question_of(const ObservRule *rule, const ObservRuleSeries *series, TimestampTz time)
{
	struct window_question question = observ_rule_question(rule, time);

	question.counter = series->counter;
	return question;
}

/* Growth is of each series by itself, and adds up. */
static void
add_growth(ObservFound *found, double value)
{
	found->value = found->has_value ? found->value + value : value;
	found->has_value = true;
}

static int
compare_samples(const void *a, const void *b)
{
	const struct window_sample *left = a, *right = b;

	return (left->at_us > right->at_us) - (left->at_us < right->at_us);
}

static ObservFound
value_of_samples(ObservSampleValues *values, const ObservRule *rule, const ObservSeriesGroup *group,
				 TimestampTz time)
{
	TimestampTz start = window_start(values, rule, time);
	ObservFound found = {.newest = DT_NOBEGIN};
	const struct window_sample *samples = NULL;

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		int first = samples_until(series, start), n = samples_until(series, time) - first;
		struct window_question question = question_of(rule, series, time);
		double value;

		if (n == 0)
			continue;
		samples = series->samples + first;
		found.newest = Max(found.newest, samples[n - 1].at_us);
		make_room(values, (int) found.n + n);
		if (is_growth(rule->aggregate) && window_value(&question, samples, n, values->scratch, &value))
			add_growth(&found, value);
		if (group->n > 1)
			memcpy(values->merged + found.n, samples, sizeof(struct window_sample) * n);
		found.n += n;
	}
	if (found.n > 0 && !is_growth(rule->aggregate)) {
		struct window_question question = question_of(rule, group->series[0], time);

		if (group->n > 1) {
			qsort(values->merged, found.n, sizeof(struct window_sample), compare_samples);
			samples = values->merged;
		}
		found.has_value = window_value(&question, samples, (int) found.n, values->scratch, &found.value);
	}
	return found;
}

static int
compare_cells(const void *a, const void *b)
{
	const struct window_cell *left = a, *right = b;

	return (left->start_us > right->start_us) - (left->start_us < right->start_us);
}

/* Buckets of one time become one. */
static int
join_cells(struct window_cell *cells, int n)
{
	int kept = 0;

	qsort(cells, n, sizeof(struct window_cell), compare_cells);
	for (int i = 0; i < n; i++) {
		if (kept > 0 && cells[kept - 1].start_us == cells[i].start_us)
			cell_join(&cells[kept - 1].cell, &cells[i].cell);
		else
			cells[kept++] = cells[i];
	}
	return kept;
}

static ObservFound
value_of_cells(ObservSampleValues *values, const ObservRule *rule, const ObservSeriesGroup *group,
			   TimestampTz time)
{
	ObservFound found = {.newest = DT_NOBEGIN};
	struct window_cell *joined = NULL;
	int n_joined = 0;

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		const ObservSeriesSet *set = &values->sets[series->set];
		struct window_question question = question_of(rule, series, time);
		TimestampTz newest;
		double value;
		int n;
		const struct window_cell *cells = observ_series_cells(
			values->cells, series, values->series + set->first, values->series + set->past,
			window_start(values, rule, time), time, &n, &newest);

		make_room(values, n_joined + n);
		found.newest = Max(found.newest, newest);
		found.n += window_cells_count(cells, n);
		if (!is_growth(rule->aggregate)) {
			joined = joined == NULL ? palloc(sizeof(*joined) * Max(n, 1))
									: repalloc(joined, sizeof(*joined) * Max(n_joined + n, 1));
			memcpy(joined + n_joined, cells, sizeof(*joined) * n);
			n_joined += n;
		} else if (window_cells_value(&question, cells, n, OBSERV_5M, values->merged, values->scratch,
									  &value))
			add_growth(&found, value);
	}
	if (joined != NULL) {
		struct window_question question = question_of(rule, group->series[0], time);

		n_joined = join_cells(joined, n_joined);
		found.has_value = window_cells_value(&question, joined, n_joined, OBSERV_5M, values->merged,
											 values->scratch, &found.value);
		pfree(joined);
	}
	return found;
}

/* Makes of an average how unusual it is. */
static void
compare_with_usual(ObservSampleValues *values, const ObservSeriesGroup *group, TimestampTz time,
				   ObservFound *found)
{
	double days[WINDOW_USUAL_DAYS], sums[WINDOW_USUAL_DAYS] = {0};
	int counts[WINDOW_USUAL_DAYS] = {0};

	for (int i = 0; i < group->n; i++) {
		const ObservRuleSeries *series = group->series[i];
		const ObservSeriesSet *set = &values->sets[series->set];
		const double *usual =
			observ_series_usual(values->cells, series, values->series + set->first,
								values->series + set->past, observ_floor_time(time, OBSERV_1H));

		for (int day = 0; day < WINDOW_USUAL_DAYS; day++)
			if (!isnan(usual[day])) {
				sums[day] += usual[day];
				counts[day]++;
			}
	}
	for (int day = 0; day < WINDOW_USUAL_DAYS; day++)
		days[day] = counts[day] > 0 ? sums[day] / counts[day] : get_float8_nan();
	found->has_value = window_anomaly(found->value, days, WINDOW_USUAL_DAYS, &found->value);
}

ObservFound
observ_value_of_group(ObservSampleValues *values, const ObservRule *rule, const ObservSeriesGroup *group,
					  TimestampTz time)
{
	ObservFound found = rule->window_us > OBSERV_LONG_WINDOW ? value_of_cells(values, rule, group, time)
															 : value_of_samples(values, rule, group, time);

	if (rule->aggregate == RULE_ANOMALY && found.has_value)
		compare_with_usual(values, group, time, &found);
	return found;
}
