/* Long windows of labelled metrics: 5-minute roll-ups, and raw rows for what is not rolled up yet. */
#ifndef OBSERV_EXT_RULE_CELLS_H
#define OBSERV_EXT_RULE_CELLS_H

#include "core/window_cells.h"
#include "ext/rule_series.h"

/* What has been read of one VPS; forgotten with its memory context. */
typedef struct ObservRuleCells ObservRuleCells;
extern ObservRuleCells *observ_rule_cells(TimestampTz rolled);

/* Everything before this time is in observ.metrics_5m. Needs SPI_connect(). */
extern TimestampTz observ_cells_rolled(void);

/*
 * The buckets of 5 minutes that have samples of a series in (start, until]: whole ones, so the first may begin earlier; the last ends at `until`.
 * first … past: all series of its set, which are read together, once. *newest: the newest sample, of a rolled-up bucket its end. Needs
 * SPI_connect().
 */
extern const struct window_cell *observ_series_cells(ObservRuleCells *known, const ObservRuleSeries *series,
													 const ObservRuleSeries *first,
													 const ObservRuleSeries *past, TimestampTz start,
													 TimestampTz until, int *n, TimestampTz *newest);

/*
 * The averages of a series in the hour of that start on each of the WINDOW_USUAL_DAYS days before, NaN where there is none. first … past as above. Needs
 * SPI_connect().
 */
extern const double *observ_series_usual(ObservRuleCells *known, const ObservRuleSeries *series,
										 const ObservRuleSeries *first, const ObservRuleSeries *past,
										 TimestampTz hour);

#endif
