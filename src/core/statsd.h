/*
 * statsd.h: what applications send by StatsD, and what one flush makes of many values.
 *
 * Belongs here: the line format (etsy/statsd's metric_types.md, tags and packed values as DogStatsD writes them), bounded summaries of
 * timers and sets. Does not belong here: the socket, which series there are (collector/statsd_socket.c).
 * NEUTRAL, pure: a line points into its text, summaries into memory of the caller.
 */
#ifndef OBSERV_CORE_STATSD_H
#define OBSERV_CORE_STATSD_H

#include "core/series.h"

enum statsd_type { STATSD_COUNTER, STATSD_GAUGE, STATSD_TIMER, STATSD_SET, STATSD_TYPES };

struct statsd_line {
	struct slice name;
	enum statsd_type type;
	double rate;                                /* share of the events that were sent, above 0, at most 1 */
	struct series_label tag[SERIES_LABELS_MAX]; /* the last of each name; without a value: "true" */
	int tags;
	struct slice values; /* what statsd_value() takes from */
};

/*
 * Reads one line (without its newline): NAME:VALUE[:VALUE...]|TYPE[|@RATE][|#TAG:VALUE,TAG...]. Types are c, g, ms, h, d, s. Sections
 * that begin otherwise (container, time) are passed over. False when it is none, or one of its values is none: a counter can't be
 * taken back, and what would make sums infinite is no number.
 */
bool statsd_read(struct slice line, struct statsd_line *out);

/* Takes the next value; false after the last. A set's value is a text. `relative`: a gauge with + or - in front. */
struct statsd_value {
	struct slice text;
	double number;
	bool relative;
};
bool statsd_value(struct statsd_line *line, struct statsd_value *out);

/*
 * Values of a timer since the last flush: exact count, sum, smallest and largest, and a sample of them in which each has the
 * same chance to be (Vitter's algorithm R). Set to zero to begin.
 */
#define RESERVOIR_SIZE 256
struct reservoir {
	double count, sum, min, max; /* count and sum by the rate of each value */
	int64_t seen;
	int kept;
	double value[RESERVOIR_SIZE];
};
void reservoir_add(struct reservoir *r, double value, double rate, uint32_t random);
/* The value that a share `q` (0 to 1) of them does not exceed (nearest rank); NAN without values. Sorts what it keeps. */
double reservoir_quantile(struct reservoir *r, double q);

/*
 * How many different values a set saw: exact up to DISTINCT_MAX, beyond that an estimate by the smallest hashes (Bar-Yossef and others
 * 2002, "Counting distinct elements in a data stream"), 4 % off at most in 2 of 3 cases. Set to zero to begin.
 */
#define DISTINCT_MAX 640
struct distinct {
	int count;
	bool full;
	uint64_t hash[DISTINCT_MAX]; /* ascending */
};
void distinct_add(struct distinct *d, struct slice value);
double distinct_count(const struct distinct *d);

#endif
