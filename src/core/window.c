/* window.c: Aggregates over the samples of a window. See window.h for what belongs here. */
#include "core/window.h"

#include <math.h>
#include <stdlib.h>

#include "core/aggregate.h"

static int
compare_doubles(const void *a, const void *b)
{
	double left = *(const double *) a, right = *(const double *) b;

	return (left > right) - (left < right);
}

/* Fewer than this many comparisons of neighbours cost less than calling qsort(). */
#define SMALL 24

static void
sort_values(double *values, int n)
{
	if (n > SMALL) {
		qsort(values, (size_t) n, sizeof(double), compare_doubles);
		return;
	}
	for (int i = 1; i < n; i++) {
		double value = values[i];
		int j = i;

		for (; j > 0 && values[j - 1] > value; j--)
			values[j] = values[j - 1];
		values[j] = value;
	}
}

static bool
percentile(const struct window_sample *samples, int n, double share, double *scratch, double *out)
{
	int count = 0, low;
	double rank;

	for (int i = 0; i < n; i++)
		if (!isnan(samples[i].value))
			scratch[count++] = samples[i].value;
	if (count == 0)
		return false;
	sort_values(scratch, count);
	rank = share * (count - 1);
	low = (int) rank;
	*out = scratch[low];
	/* between two infinite values of one sign there is nothing to interpolate */
	if (rank > low && scratch[low + 1] != scratch[low])
		*out += (rank - low) * (scratch[low + 1] - scratch[low]);
	return !isnan(*out);
}

struct sums {
	int n;
	bool finite;
	double sum, min, max, first, last;
};

static struct sums
sum_up(const struct window_sample *samples, int n)
{
	struct sums s = {.finite = true};

	for (int i = 0; i < n; i++) {
		double value = samples[i].value;

		if (isnan(value))
			continue;
		if (s.n++ == 0)
			s.first = s.min = s.max = value;
		s.min = value < s.min ? value : s.min;
		s.max = value > s.max ? value : s.max;
		s.sum += value;
		s.last = value;
		s.finite &= isfinite(value) != 0;
	}
	return s;
}

/* A sum may overflow where the mean does not. */
static double
mean(const struct sums *s, const struct window_sample *samples, int n)
{
	double result = 0;

	if (isfinite(s->sum) || !s->finite)
		return s->sum / s->n;
	for (int i = 0; i < n; i++)
		if (!isnan(samples[i].value))
			result += samples[i].value / s->n;
	return result;
}

static bool
latest(const struct window_sample *samples, int n, double *out)
{
	for (int i = n - 1; i >= 0; i--)
		if (!isnan(samples[i].value)) {
			*out = samples[i].value;
			return true;
		}
	return false;
}

static bool
growth(const struct window_sample *samples, int n, enum aggregate what, double *out)
{
	struct aggregate_bucket bucket;
	struct aggregate_previous previous = {0};

	aggregate_begin(&bucket);
	for (int i = 0; i < n; i++)
		aggregate_add(&bucket, &previous, samples[i].at_us, samples[i].value, INT64_MAX);
	return aggregate_result(&bucket, what, out);
}

/* Around the mean, so that a small spread of large values survives. */
static double
deviation(const struct sums *s, const struct window_sample *samples, int n)
{
	double middle = mean(s, samples, n), squares = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(samples[i].value))
			squares += (samples[i].value - middle) * (samples[i].value - middle);
	return sqrt(squares / s->n);
}

/* Whether the newest sample is where a prediction is asked for. */
static bool
is_beyond(const struct window_question *question, double newest)
{
	if (!question->has_from)
		return true;
	return question->falling ? newest < question->from : newest > question->from;
}

/* Least squares with times counted from their own mean: those of the epoch would eat up the digits. */
static bool
predict(const struct window_question *question, const struct sums *s, const struct window_sample *samples,
		int n, double *out)
{
	double y_mean = mean(s, samples, n), x_mean = 0, xx = 0, xy = 0;

	for (int i = 0; i < n; i++)
		if (!isnan(samples[i].value))
			x_mean += (double) (samples[i].at_us - question->at_us) / s->n;
	for (int i = 0; i < n; i++) {
		double x = (double) (samples[i].at_us - question->at_us) - x_mean;

		if (isnan(samples[i].value))
			continue;
		xx += x * x;
		xy += x * (samples[i].value - y_mean);
	}
	if (!(xx > 0))
		return false;
	*out = y_mean + xy / xx * ((double) question->ahead_us - x_mean);
	return !isnan(*out);
}

static bool
of_sums(const struct window_question *question, const struct window_sample *samples, int n, double *out)
{
	struct sums s = sum_up(samples, n);

	if (s.n == 0)
		return false;
	switch (question->aggregate) {
	case RULE_AVG:
		*out = mean(&s, samples, n);
		break;
	case RULE_MIN:
		*out = s.min;
		return true;
	case RULE_MAX:
		*out = s.max;
		return true;
	case RULE_SUM:
		*out = s.sum;
		break;
	case RULE_COUNT:
		*out = s.n;
		return true;
	case RULE_DELTA:
		*out = s.last - s.first;
		return s.n > 1 && !isnan(*out);
	case RULE_STDDEV:
		*out = deviation(&s, samples, n);
		return s.n > 1 && !isnan(*out);
	case RULE_PREDICT:
		*out = s.last;
		return s.n > 1 && (!is_beyond(question, s.last) || predict(question, &s, samples, n, out));
	default:
		return false;
	}
	return !isnan(*out);
}

bool
window_value(const struct window_question *question, const struct window_sample *samples, int n,
			 double *scratch, double *out)
{
	switch (question->aggregate) {
	case RULE_LAST:
		return latest(samples, n, out);
	case RULE_P50:
		return percentile(samples, n, 0.5, scratch, out);
	case RULE_P95:
		return percentile(samples, n, 0.95, scratch, out);
	case RULE_P99:
		return percentile(samples, n, 0.99, scratch, out);
	case RULE_RATE:
		return growth(samples, n, AGGREGATE_RATE, out);
	case RULE_INCREASE:
		return growth(samples, n, AGGREGATE_INCREASE, out);
	case RULE_DELTA:
		if (question->counter)
			return growth(samples, n, AGGREGATE_INCREASE, out);
		return of_sums(question, samples, n, out);
	default:
		return of_sums(question, samples, n, out);
	}
}
