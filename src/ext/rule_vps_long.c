/*
 * Values of rules about long windows of observ.vps_metrics, and about what is usual at an hour of the day.
 * What does not belong here: reading roll-ups (window_rollup.c), aggregates (core/window_cells.h).
 *
 * Long windows are made of whole buckets, of 5 minutes or, where the window is longer than 12 hours, of an hour; raw samples of what is not rolled up yet are
 * put into such buckets too. So a value does not depend on how far observ.roll_up() has come, nor whether it ever ran.
 */
#include "postgres.h"

#include "ext/rule_vps_long.h"

#include <math.h>

#include "ext/rollup_sources.h"
#include "ext/times.h"
#include "utils/memutils.h"

/* Windows longer than this are read from roll-ups … */
#define LONG_WINDOW (2 * USECS_PER_HOUR)
/* … and longer than this in buckets of an hour: a day of five minutes would be 12 kB per metric and VPS. */
#define VERY_LONG_WINDOW (12 * USECS_PER_HOUR)

bool
observ_is_long(const ObservRule *rule)
{
	return rule->aggregate != RULE_LAST && rule->window_us > LONG_WINDOW && observ_is_rolled_up(rule->metric);
}

static int64
step_of(const ObservRule *rule)
{
	return rule->window_us > VERY_LONG_WINDOW ? OBSERV_1H : OBSERV_5M;
}

static TimestampTz
start_of(const ObservRule *rule, TimestampTz now)
{
	return observ_floor_time(now - rule->window_us, step_of(rule));
}

static void
load_buckets(const ObservVpsLong *l, int64 step, ObservRule **rules, int n)
{
	ObservBucketNeed *needs = palloc(sizeof(ObservBucketNeed) * n);
	int used = 0;

	for (int i = 0; i < n; i++)
		if (observ_is_long(rules[i]) && step_of(rules[i]) == step) {
			TimestampTz start = start_of(rules[i], observ_rule_time(l->at, rules[i]));

			if (start < l->rolled)
				needs[used++] = (ObservBucketNeed){rules[i]->metric, start};
		}
	if (used > 0)
		observ_load_buckets(step, l->rolled, needs, used);
	pfree(needs);
}

static void
load_usual(const ObservVpsLong *l, ObservRule **rules, int n)
{
	ObservUsualNeed *needs = palloc(sizeof(ObservUsualNeed) * n);
	int used = 0;

	for (int i = 0; i < n; i++)
		if (rules[i]->aggregate == RULE_ANOMALY && observ_is_rolled_up(rules[i]->metric))
			needs[used++] = (ObservUsualNeed){
				rules[i]->metric, observ_floor_time(observ_rule_time(l->at, rules[i]), OBSERV_1H)};
	if (used > 0)
		observ_load_usual(needs, used);
	pfree(needs);
}

void
observ_begin_long(ObservVpsLong *l, TimestampTz at, ObservRule **rules, int n)
{
	TimestampTz earliest = at;
	bool any = false;

	*l = (ObservVpsLong){.at = at};
	load_usual(l, rules, n);
	for (int i = 0; i < n; i++)
		if (observ_is_long(rules[i])) {
			any = true;
			earliest = Min(earliest, observ_rule_time(at, rules[i]));
		}
	if (!any)
		return;
	/* A time in the past does not know what was rolled up later. */
	l->rolled = Min(observ_rolled_until(), observ_floor_time(earliest, OBSERV_5M));
	load_buckets(l, OBSERV_5M, rules, n);
	load_buckets(l, OBSERV_1H, rules, n);
}

int64
observ_long_back(const ObservVpsLong *l, const ObservRule *rule)
{
	return l->at - Max(l->rolled, start_of(rule, observ_rule_time(l->at, rule))) + 1;
}

/* ---- buckets of one instance */

static struct cell *
bucket_of(ObservVpsLong *l, TimestampTz start)
{
	if (l->n > 0 && l->cells[l->n - 1].start_us == start)
		return &l->cells[l->n - 1].cell;
	if (l->n == l->room) {
		l->room = Max(2 * l->room, 128);
		l->cells = l->cells == NULL ? palloc(sizeof(struct window_cell) * l->room)
									: repalloc(l->cells, sizeof(struct window_cell) * l->room);
		l->samples = l->samples == NULL ? palloc(sizeof(struct window_sample) * l->room)
										: repalloc(l->samples, sizeof(struct window_sample) * l->room);
		l->scratch = l->scratch == NULL ? palloc(sizeof(double) * l->room)
										: repalloc(l->scratch, sizeof(double) * l->room);
	}
	l->cells[l->n] = (struct window_cell){.start_us = start};
	return &l->cells[l->n++].cell;
}

static void
add_rolled(ObservVpsLong *l, const ObservRule *rule, ObservWindowKey **keys, int n, TimestampTz start)
{
	int64 step = step_of(rule);
	ObservBucketLine *lines;
	int n_lines = 0;

	if (start >= l->rolled)
		return;
	lines = palloc(sizeof(ObservBucketLine) * n);
	for (int i = 0; i < n; i++)
		n_lines += observ_bucket_line(step, &keys[i]->key, rule->metric, &lines[n_lines]);
	for (; start < l->rolled && n_lines > 0; start += step) {
		struct cell cell = {0};

		for (int i = 0; i < n_lines; i++)
			observ_add_bucket(&lines[i], start, &cell);
		if (cell.count > 0)
			*bucket_of(l, start) = cell;
	}
	pfree(lines);
}

static void
add_raw(ObservVpsLong *l, const ObservRule *rule, const ObservWindows *windows, ObservWindowKey **keys, int n,
		TimestampTz after, TimestampTz now, int64 interval_us)
{
	ObservWindowPlace place = observ_window_place(windows, rule->metric);
	uint32 weight = (uint32) Min(Max(interval_us / 1000, 1), PG_UINT32_MAX);

	observ_clear_samples(&l->tail);
	for (int i = 0; i < n; i++)
		observ_add_samples(&l->tail, windows, keys[i], place, after, now);
	if (n > 1)
		observ_sort_samples(&l->tail);
	for (int i = 0; i < l->tail.n; i++) {
		struct window_sample sample = l->tail.samples[i];

		if (isfinite(sample.value))
			cell_add(bucket_of(l, observ_floor_time(sample.at_us, step_of(rule))), sample.value, weight,
					 false);
	}
}

bool
observ_long_value(ObservVpsLong *l, const ObservRule *rule, const ObservWindows *windows,
				  ObservWindowKey **keys, int n, TimestampTz now, int64 interval_us, double *out)
{
	struct window_question question = observ_rule_question(rule, now);
	TimestampTz start = start_of(rule, now);

	l->n = 0;
	add_rolled(l, rule, keys, n, start);
	add_raw(l, rule, windows, keys, n, Max(l->rolled, start) - 1, now, interval_us);
	return window_cells_count(l->cells, l->n) >= Max(rule->min_samples, 1) &&
		   window_cells_value(&question, l->cells, l->n, step_of(rule), l->samples, l->scratch, out);
}

/* ---- what is usual */

/* Average of a day, over all keys that have one; NaN: none has. */
static double
of_day(const float4 *const *days, int n, int day)
{
	double sum = 0;
	int count = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(days[i][day])) {
			sum += days[i][day];
			count++;
		}
	return count == 0 ? NAN : sum / count;
}

bool
observ_anomaly(const ObservRule *rule, ObservWindowKey **keys, int n, TimestampTz now, double average,
			   double *out)
{
	ObservUsualNeed need = {rule->metric, observ_floor_time(now, OBSERV_1H)};
	const float4 **days = palloc(sizeof(float4 *) * n);
	double usual[WINDOW_USUAL_DAYS];
	int n_keys = 0;

	for (int i = 0; i < n && observ_is_rolled_up(rule->metric); i++) {
		days[n_keys] = observ_usual(&keys[i]->key, &need);
		n_keys += days[n_keys] != NULL;
	}
	for (int day = 0; day < WINDOW_USUAL_DAYS; day++)
		usual[day] = of_day(days, n_keys, day);
	pfree(days);
	return window_anomaly(average, usual, WINDOW_USUAL_DAYS, out);
}
