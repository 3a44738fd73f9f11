/* A question to observ.metrics_history(), and what its answer is gathered in. */
#ifndef OBSERV_EXT_HISTORY_H
#define OBSERV_EXT_HISTORY_H

#include "ext/rollup_sources.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

/* One metric of the answer. */
typedef struct ObservLine {
	char *name;
	int source;         /* index in observ_rollup_sources */
	struct cell *cells; /* one per bucket */
	bool *partial;      /* of its source */
} ObservLine;

/* A series of labelled metrics that goes into a line. */
typedef struct ObservHistorySeries {
	text *app;
	int32 set_no;
	int slot; /* from 0 */
	ObservLine *line;
} ObservHistorySeries;

/* How far the rolled-up rows of a source reach. */
typedef struct ObservReach {
	bool wanted;
	TimestampTz rolled[OBSERV_TIERS]; /* rows of the tier end here; raw: infinity */
	TimestampTz oldest[OBSERV_TIERS]; /* the oldest partition begins here; infinity when there is none */
	bool *partial;                    /* per bucket: not all rows that belong to it are in it */
} ObservReach;

typedef struct ObservHistory {
	text *vps;
	text *app;              /* NULL: all together */
	TimestampTz start, end; /* whole buckets */
	int64 step;
	int buckets;
	ObservReach reach[OBSERV_ROLLUP_SOURCES];
	List *lines;                             /* of ObservLine, in the order of the answer */
	ObservLine *columns[OBSERV_VPS_COLUMNS]; /* NULL: not asked for */
	List *checks; /* of struct matchers: which health checks are asked for, by their url */
	ObservHistorySeries *series;
	int n_series, room;
} ObservHistory;

/* Names given to metrics of one VPS. */

/*
 * Finds out what the names (a text[], NULL: every column of vps_metrics) mean, and begins the lines that are known before rows are read.
 * Sets reach[].wanted. Errors: 42704 with a hint for a name that nothing has, 42601 for what is no selector. Needs SPI_connect().
 */
extern void observ_history_resolve(ObservHistory *history, ArrayType *names);

/* A new line at the end of the answer; cells are allocated by observ_history_read(). */
extern ObservLine *observ_history_line(ObservHistory *history, const char *name, int source);

/* The line of a health check, begun when there is none of that name; NULL when it is not asked for. */
extern ObservLine *observ_history_check(ObservHistory *history, const char *url, int url_len);

/* Rows. */

/* Fills in the rest of reach[] of the wanted sources, but partial. */
extern void observ_history_reach(ObservHistory *history);

/* Reads all rows into the lines and sets partial. Needs SPI_connect(). */
extern void observ_history_read(ObservHistory *history);

#endif
