/* Labels of a series, as they come and as they are kept. */
#ifndef OBSERV_EXT_METRIC_LABELS_H
#define OBSERV_EXT_METRIC_LABELS_H

#include "core/series.h"
#include "utils/jsonb.h"

typedef struct ObservLabels {
	int n;
	struct series_label
		items[SERIES_LABELS_MAX]; /* in the order of series_sort_labels(); points into `json` or beside it */
	Jsonb *json;                  /* an object of strings, none empty */
} ObservLabels;

/*
 * Reads labels that somebody sent (NULL: none) and brings them into the form in which they are kept: numbers and booleans as strings; without
 * those that are empty or null, which mean no label, as in Prometheus. Returns why they can't be labels, or NULL. Allocates in the current
 * memory context.
 */
extern const char *observ_read_labels(Jsonb *given, ObservLabels *out);

/* Value of one of the labels of a series that is kept; empty when there is none. */
extern struct slice observ_label_value(Jsonb *labels, struct slice name);

#endif
