/*
 * exposition.h: what a Prometheus exporter answers: its text format, version 0.0.4, read one sample at a time.
 *
 * Belongs here: lines, names, labels, escapes, numbers, what TYPE says about a sample. Does not belong here: HTTP, which samples are
 * wanted (collector/scrape.c). Source: prometheus.io/docs/instrumenting/exposition_formats; of OpenMetrics what exporters mix
 * into it: `# EOF`, exemplars, and names in quotes, as UTF-8 wants them.
 * NEUTRAL, pure: the text is changed while it is read (escapes are resolved where they stand), nothing else is needed.
 */
#ifndef OBSERV_CORE_EXPOSITION_H
#define OBSERV_CORE_EXPOSITION_H

#include "core/series.h"

enum exposition_kind { EXPOSITION_UNKNOWN, EXPOSITION_GAUGE, EXPOSITION_COUNTER };

struct exposition_sample {
	struct slice name;
	struct series_label label[SERIES_LABELS_MAX]; /* in the order of the text */
	int labels;
	double value;
	bool has_time;
	int64_t time_ms; /* since 1970 */
	enum exposition_kind
		kind; /* by the TYPE of its family; histograms' and summaries' parts are counters, but for quantiles */
};

struct exposition {
	char *at, *end;
	struct slice family; /* the last TYPE line */
	int family_type;
	int64_t lines, bad;     /* seen; that were neither samples nor comments */
	struct slice first_bad; /* the first of those, as far as it still stands there */
	bool ended;             /* by # EOF */
};

/* Begins with `size` bytes at `text`, which are changed from now on; slices of samples point into it. */
void exposition_begin(struct exposition *e, char *text, size_t size);

/* The next sample; false at the end. Lines that can't be read are counted and passed over. */
bool exposition_next(struct exposition *e, struct exposition_sample *out);

#endif
