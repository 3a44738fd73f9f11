/* window_cells.c: aggregates over rolled-up buckets. See window_cells.h for what belongs here. */
#include "core/window_cells.h"

#include <math.h>

/* A spread smaller than this share of the average is none. */
#define LEAST_SPREAD 0.01

int64_t
window_cells_count(const struct window_cell *cells, int n)
{
	int64_t count = 0;

	for (int i = 0; i < n; i++)
		count += (int64_t) cells[i].cell.count;
	return count;
}

/* Time from the first sample to the last: samples are taken to lie evenly in their buckets. */
static double
covered_s(const struct window_cell *cells, int n, int64_t width_us, int64_t at_us, uint64_t count)
{
	int64_t end = cells[n - 1].start_us + width_us;
	int64_t cut = end > at_us ? end - at_us : 0;
	int64_t span = end - cut - cells[0].start_us;
	double apart = (double) (n * width_us - cut) / (double) count;

	return ((double) span - apart) / 1e6;
}

/* Of a counter, sums and bounds: from all samples as one cell. */
static bool
whole_value(const struct window_question *question, const struct window_cell *cells, int n, int64_t width_us,
			const struct cell *whole, double *out)
{
	double covered;

	switch (question->aggregate) {
	case RULE_AVG:
		*out = cell_average(whole);
		break;
	case RULE_MIN:
		*out = whole->min;
		break;
	case RULE_MAX:
		*out = whole->max;
		break;
	case RULE_SUM:
		*out = whole->sum;
		break;
	case RULE_COUNT:
		*out = (double) whole->count;
		break;
	case RULE_LAST:
		*out = whole->last;
		break;
	case RULE_INCREASE:
	case RULE_DELTA:
		*out = whole->count < 2 ? NAN : whole->increase;
		break;
	case RULE_RATE:
		covered = covered_s(cells, n, width_us, question->at_us, whole->count);
		*out = whole->count < 2 || covered <= 0 ? NAN : whole->increase / covered;
		break;
	default:
		return false;
	}
	return !isnan(*out);
}

bool
window_cells_value(const struct window_question *question, const struct window_cell *cells, int n,
				   int64_t width_us, struct window_sample *samples, double *scratch, double *out)
{
	enum rule_aggregate aggregate = question->aggregate;
	bool growth = aggregate == RULE_RATE || aggregate == RULE_INCREASE || aggregate == RULE_DELTA;
	bool averages = aggregate == RULE_P50 || aggregate == RULE_P95 || aggregate == RULE_P99 ||
					aggregate == RULE_STDDEV || aggregate == RULE_PREDICT;
	struct cell whole = {0};

	if (n == 0)
		return false;
	for (int i = 0; i < n; i++)
		cell_merge(&whole, &cells[i].cell);
	if (!averages && !(growth && !whole.counter))
		return whole_value(question, cells, n, width_us, &whole, out);
	for (int i = 0; i < n; i++) {
		int64_t end = cells[i].start_us + width_us;

		end = end > question->at_us ? question->at_us : end;
		samples[i].at_us = growth ? end : cells[i].start_us + (end - cells[i].start_us) / 2;
		samples[i].value = growth ? cells[i].cell.last : cell_average(&cells[i].cell);
	}
	return window_value(question, samples, n, scratch, out);
}

bool
window_anomaly(double average, const double *days, int n, double *out)
{
	struct window_sample known[WINDOW_USUAL_DAYS];
	struct window_question mean = {.aggregate = RULE_AVG}, spread = {.aggregate = RULE_STDDEV};
	double usual, deviation;
	int n_known = 0;

	for (int i = 0; i < n && i < WINDOW_USUAL_DAYS; i++)
		if (!isnan(days[i]))
			known[n_known++] = (struct window_sample){.value = days[i]};
	if (n_known < WINDOW_USUAL_LEAST || !window_value(&mean, known, n_known, NULL, &usual) ||
		!window_value(&spread, known, n_known, NULL, &deviation))
		return false;
	if (deviation < LEAST_SPREAD * fabs(usual))
		deviation = LEAST_SPREAD * fabs(usual);
	*out = fabs(average - usual) / deviation;
	return deviation > 0 && !isnan(*out);
}
