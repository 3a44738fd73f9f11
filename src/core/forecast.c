/*
 * Lines through recent levels. What does not belong here: where levels come from, and what they are levels of.
 */
#include "core/forecast.h"

#include <math.h>
#include <stdbool.h>

/* A fall counts as a drop when it is so many times the usual difference between neighbours. */
#define DROP_OVER_NOISE 6
/* A peak of fewer points than this is no level. */
#define PEAK_POINTS 3
/* So many drops are a pattern: something cleans up by itself. */
#define REGULAR_DROPS 3
/* Growth over the whole line must be so many times the usual distance of a point from it. */
#define GROWTH_OVER_NOISE 2

static void
swap(double *a, double *b)
{
	double kept = *a;

	*a = *b;
	*b = kept;
}

/* Hoare 1961, "Algorithm 65: Find". Puts the k-th smallest (from 0) in its place and nothing larger before it. */
static double
select_nth(double *values, int n, int k)
{
	int low = 0, high = n - 1;

	while (low < high) {
		double pivot = values[low + (high - low) / 2];
		int i = low, j = high;

		while (i <= j) {
			while (values[i] < pivot)
				i++;
			while (values[j] > pivot)
				j--;
			if (i <= j)
				swap(&values[i++], &values[j--]);
		}
		if (k <= j)
			high = j;
		else if (k >= i)
			low = i;
		else
			break;
	}
	return values[k];
}

/* Of at least one value, which it reorders. */
static double
median(double *values, int n)
{
	double upper = select_nth(values, n, n / 2), lower;

	if (n % 2 == 1)
		return upper;
	lower = values[0];
	for (int i = 1; i < n / 2; i++)
		lower = fmax(lower, values[i]);
	return lower + (upper - lower) / 2;
}

static bool
usable(struct forecast_point point)
{
	return isfinite(point.at) && isfinite(point.level);
}

/* The next usable point after `i`, n when there is none. */
static int
next_usable(const struct forecast_point *points, int n, int i)
{
	do
		i++;
	while (i < n && !usable(points[i]));
	return i;
}

/* Fall from one point to the next that is no noise: the differences' mean distance from their median, many times. */
static double
drop_threshold(const struct forecast_point *points, int n, int first, double drop_at_least, double *scratch)
{
	int count = 0;
	double usual, distance = 0;

	for (int a = first, b; (b = next_usable(points, n, a)) < n; a = b)
		scratch[count++] = points[b].level - points[a].level;
	if (count == 0)
		return drop_at_least;
	usual = median(scratch, count);
	for (int i = 0; i < count; i++)
		distance += fabs(scratch[i] - usual);
	/* What falls all the time does not drop each time. */
	return fmax(-usual, 0) + fmax(drop_at_least, DROP_OVER_NOISE * distance / count);
}

/* Lowest of the last few usable points up to `i`, not before `first`: a peak that comes and goes again is no drop. */
static double
low_before(const struct forecast_point *points, int first, int i)
{
	double low = points[i].level;

	for (int seen = 1; seen < PEAK_POINTS && --i >= first;)
		if (usable(points[i])) {
			low = fmin(low, points[i].level);
			seen++;
		}
	return low;
}

/* The higher of point `i` and the next one; no level at all when there is no next one: one low point is no drop yet. */
static double
high_from(const struct forecast_point *points, int n, int i)
{
	int next = next_usable(points, n, i);

	return next < n ? fmax(points[i].level, points[next].level) : INFINITY;
}

/* Where the line begins. */
static void
find_drops(const struct forecast_point *points, int n, double drop_at_least, double *scratch,
		   struct forecast *out)
{
	double threshold = drop_threshold(points, n, out->first, drop_at_least, scratch);
	int after = out->first;

	for (int a = out->first, b; (b = next_usable(points, n, a)) < n; a = b)
		if (low_before(points, after, a) - high_from(points, n, b) > threshold) {
			out->drops++;
			after = b;
		}
	if (out->drops < REGULAR_DROPS)
		out->first = after;
}

static double
median_slope(const struct forecast_point *points, int n, int first, double *scratch)
{
	int count = 0;

	for (int a = first; a < n; a = next_usable(points, n, a))
		for (int b = next_usable(points, n, a); b < n; b = next_usable(points, n, b))
			if (points[b].at > points[a].at)
				scratch[count++] = (points[b].level - points[a].level) / (points[b].at - points[a].at);
	return count > 0 ? median(scratch, count) : NAN;
}

/* Sets level and r2, and returns the usual distance of a point from the line. */
static double
put_through(const struct forecast_point *points, int n, int last, double *scratch, struct forecast *out)
{
	int count = 0;
	double origin = points[last].at, mean = 0, of_line = 0, of_mean = 0;

	for (int i = out->first; i < n; i = next_usable(points, n, i)) {
		mean += points[i].level;
		scratch[count++] = points[i].level - out->slope * (points[i].at - origin);
	}
	mean /= count;
	out->level = median(scratch, count);
	count = 0;
	for (int i = out->first; i < n; i = next_usable(points, n, i)) {
		double off = points[i].level - (out->level + out->slope * (points[i].at - origin));

		scratch[count++] = fabs(off);
		of_line += off * off;
		of_mean += (points[i].level - mean) * (points[i].level - mean);
	}
	out->r2 = of_mean > 0 ? fmax(0, 1 - of_line / of_mean) : NAN;
	return median(scratch, count);
}

struct forecast
forecast_fit(const struct forecast_point *points, int n, double drop_at_least, double *scratch)
{
	struct forecast out = {.verdict = FORECAST_TOO_LITTLE, .slope = NAN, .level = NAN, .r2 = NAN};
	int count = 0, last = 0;
	double growth, noise;

	out.first = next_usable(points, n, n > FORECAST_MAX_POINTS ? n - FORECAST_MAX_POINTS - 1 : -1);
	if (out.first >= n)
		return out;
	find_drops(points, n, drop_at_least, scratch, &out);
	for (int i = out.first; i < n; i = next_usable(points, n, i)) {
		count++;
		last = i;
	}
	if (count < FORECAST_MIN_POINTS)
		return out;
	out.slope = median_slope(points, n, out.first, scratch);
	if (isnan(out.slope))
		return out;
	noise = put_through(points, n, last, scratch, &out);
	growth = out.slope * (points[last].at - points[out.first].at);
	out.verdict = growth > GROWTH_OVER_NOISE * noise ? FORECAST_GROWS : FORECAST_DOES_NOT_GROW;
	return out;
}

double
forecast_seconds_until(const struct forecast *forecast, double limit)
{
	if (forecast->verdict != FORECAST_GROWS || isnan(limit))
		return NAN;
	return forecast->level >= limit ? 0 : (limit - forecast->level) / forecast->slope;
}
