/* When a slowly changing level reaches its limit: a robust line through recent points. Pure. */
#ifndef OBSERV_CORE_FORECAST_H
#define OBSERV_CORE_FORECAST_H

/* More points make the line no better, and the work grows with their square. */
#define FORECAST_MAX_POINTS 160
#define FORECAST_MIN_POINTS 6
/* Doubles of memory that forecast_fit() needs. */
#define FORECAST_SCRATCH (FORECAST_MAX_POINTS * (FORECAST_MAX_POINTS - 1) / 2)

struct forecast_point {
	double at; /* seconds, ascending */
	double level;
};

enum forecast_verdict {
	FORECAST_GROWS,
	FORECAST_DOES_NOT_GROW, /* it stays, shrinks, or what it grows by is lost in the noise */
	FORECAST_TOO_LITTLE,    /* fewer points than FORECAST_MIN_POINTS, at least since the level dropped */
};

struct forecast {
	enum forecast_verdict verdict;
	int first;    /* index of the first point that counts: what lies before a drop does not */
	int drops;    /* how often the level dropped */
	double slope; /* per second; NAN with too little data, as the next two */
	double level; /* of the line at the last point */
	double r2;    /* share of the variation that the line explains, 0 … 1; NAN when there is none */
};

/*
 * A Theil-Sen line (Sen 1968, "Estimates of the regression coefficient based on Kendall's tau"): the median of the slopes between
 * all pairs of points, which up to 29 % of outliers do not move. At most FORECAST_MAX_POINTS points, the newest count; points that are not
 * finite are passed over. `drop_at_least`: a fall by more than this that stands out of the noise and lasts (a peak that goes again does not count, nor does
 * one low point) is somebody cleaning up, and the line begins anew after it; three or more falls are how this level lives, and the line goes through all.
 * `scratch`: FORECAST_SCRATCH doubles.
 */
extern struct forecast forecast_fit(const struct forecast_point *points, int n, double drop_at_least,
									double *scratch);

/* Seconds from the last point until the line reaches `limit`; 0 when it has; NAN when it never does. */
extern double forecast_seconds_until(const struct forecast *forecast, double limit);

#endif
