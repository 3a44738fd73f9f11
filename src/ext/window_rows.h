/* Inside of the store of samples: what window_store.c and window_rows.c share. */
#ifndef OBSERV_EXT_WINDOW_ROWS_H
#define OBSERV_EXT_WINDOW_ROWS_H

#include "ext/window_keep.h"
#include "ext/window_store.h"

/* A metric that is kept. */
typedef struct ObservWindowMetric {
	const struct rule_metric *metric; /* NULL: what is there of every row, column 0 of track 0 */
	int64 back_us;
	ObservWindowPlace place;
} ObservWindowMetric;

typedef struct ObservWindowData {
	ObservWindows windows; /* first: what others see of it */
	enum ObservWindowTable table;
	ObservKept kept;
	HTAB *keys;
	ObservWindowKey *latest; /* of the row that was added last */
	int room;
	bool unsorted;
	ObservWindowMetric *metrics;
	int n_metrics;
} ObservWindowData;

/* Raw table, below observ. */
extern const char *const observ_window_tables[OBSERV_WINDOW_TABLES];

/* Throws away what there is and begins anew, without keys and metrics. */
extern void observ_window_begin(ObservWindowData *data, enum ObservWindowTable table);

/* Older than this nothing is there. */
extern TimestampTz observ_window_oldest(const ObservWindowData *data);

/* Adds rows of these times that were received since, as the active snapshot has them; those that are there already are passed over. */
extern void observ_window_read(ObservWindowData *data, TimestampTz received);

/*
 * Adds rows, older than what observ_window_read() takes, of what reports so seldom that it would not be seen there or hardly so. Needs
 * SPI_connect().
 */
extern void observ_window_read_seldom(ObservWindowData *data, TimestampTz at);

#endif
