/*
 * series.h: what a series of labelled samples is: its name, its labels, its number.
 *
 * Belongs here: identity and the bounds of names. Does not belong here: where samples lie (src/ext/metric_*.c).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_SERIES_H
#define OBSERV_CORE_SERIES_H

#include "core/slice.h"

#define SERIES_NAME_MAX        255  /* bytes of vps_name, app_name, metric_name */
#define SERIES_LABELS_MAX      64   /* labels of one series */
#define SERIES_LABEL_BYTES_MAX 4096 /* all names and values of its labels together */

struct series_label {
	struct slice name;
	struct slice value;
};

/* Puts labels into the order that series_id() wants: by the bytes of their names, a prefix first. */
void series_sort_labels(struct series_label *labels, int n);

/*
 * Number of a series, the same on every machine and in every version: FNV-1a, 64 bits, finished by hash_finish(), over
 *   vps_name, app_name, metric_name, the number of labels, then name and value of each label in the order of series_sort_labels()
 * where a text is its length in bytes, 4 bytes with the lowest first, and then its bytes, and the number of labels is 4 such bytes.
 * The length in front tells "ab","c" from "a","bc". Taken as a signed number, because SQL knows no other.
 */
int64_t series_id(struct slice vps_name, struct slice app_name, struct slice metric_name,
				  const struct series_label *sorted, int n);

/* Why a series can't have that name or those labels, as an error message; NULL: it can. */
const char *series_name_problem(struct slice metric_name);
const char *series_labels_problem(const struct series_label *labels, int n);

/* Whether a metric of that name only grows, by the suffixes that OpenMetrics gives to counters and histograms. */
bool series_is_counter(struct slice metric_name);

#endif
