/* What is rolled up: a descriptor per raw table, and how its rows become cells and cells its rolled-up rows. */
#ifndef OBSERV_EXT_ROLLUP_SOURCES_H
#define OBSERV_EXT_ROLLUP_SOURCES_H

#include "core/rollup.h"
#include "datatype/timestamp.h"
#include "executor/tuptable.h"

#define OBSERV_5M (INT64CONST(300) * USECS_PER_SEC)
#define OBSERV_1H (INT64CONST(3600) * USECS_PER_SEC)

/* Rows are read from one of these. */
typedef enum ObservTier { OBSERV_TIER_RAW, OBSERV_TIER_5M, OBSERV_TIER_1H, OBSERV_TIERS } ObservTier;

/* What one row of a bucket is about. The names need not end with a null byte. */
typedef struct ObservRollupKey {
	const char *vps;
	const char *app;
	const char *url; /* of a health check, else empty */
	int vps_len;
	int app_len;
	int url_len;
	int32 set_no; /* of packed metrics, else 0 */
} ObservRollupKey;

/* What has been read of one key in one bucket. */
typedef struct ObservBucket {
	ObservRollupKey key;
	TimestampTz start;
	TimestampTz latest;  /* timestamp of the newest row */
	bool active;         /* it holds something */
	bool disordered;     /* rows did not come in the order of time: its cells are worthless */
	int capacity;        /* cells allocated */
	bool kinds_known;    /* counters is filled in */
	uint64 counters;     /* bit i: metric i is a counter */
	struct cell_row row; /* last: only the cells that the source has are allocated */
} ObservBucket;

/* Columns of every row that is read, in this order; those of the source follow. */
enum ObservReadColumn {
	OBSERV_READ_VPS,
	OBSERV_READ_APP,
	OBSERV_READ_KEY,
	OBSERV_READ_TIME,
	OBSERV_READ_FIRST
};

#define OBSERV_WRITE_COLUMNS 12

typedef struct ObservRollupSource {
	const char *name;                 /* as in observ_data.rollup_state; also the raw table */
	const char *tables[OBSERV_TIERS]; /* of schema observ */
	const char *raw_key; /* what tells rows of one VPS and application apart; a constant when nothing does */
	const char *key_column; /* the same in rolled-up rows */
	Oid key_type;
	const char *columns[OBSERV_TIERS];
	const char *only; /* which rows of the rolled-up tables are its own: a condition */
	int cells;        /* most cells that a row has */
	bool has_kinds;   /* which of them are counters is to be looked up in observ.metric_series */

	/* Add what a row says to a bucket; the row comes after those that were added before. */
	void (*add[OBSERV_TIERS])(ObservBucket *bucket, const TupleTableSlot *slot);

	/* Columns of a rolled-up row and their types; form() allocates in the current context. */
	const char *const *write_columns;
	const char *write_update; /* SET … of an upsert of t by excluded, and whether it changes anything */
	int n_write;
	Oid write_types[OBSERV_WRITE_COLUMNS];
	void (*form)(const ObservBucket *bucket, Datum *values, bool *nulls);
} ObservRollupSource;

enum {
	OBSERV_ROLL_VPS_METRICS,
	OBSERV_ROLL_HEALTH_CHECKS,
	OBSERV_ROLL_METRIC_SCRAPES,
	OBSERV_ROLLUP_SOURCES
};
extern const ObservRollupSource observ_rollup_sources[OBSERV_ROLLUP_SOURCES];

/* Columns of observ.vps_metrics that are rolled up: cell i is column i. New ones are added at the end, none ever moves. */
#define OBSERV_VPS_COLUMNS 32
extern const char *const observ_vps_columns[OBSERV_VPS_COLUMNS];
/* The one of them whose values count what happened since the row before. */
#define OBSERV_OOM_KILLS 29

/* Cells of health checks. */
enum { OBSERV_HEALTH_RESPONSE, OBSERV_HEALTH_FAILURE, OBSERV_HEALTH_INCONCLUSIVE, OBSERV_HEALTH_CELLS };

/* "SELECT … FROM observ.<table of the tier>" of the columns above; without a condition. palloc'd. */
extern char *observ_rollup_select(const ObservRollupSource *source, ObservTier tier);

/*
 * A measured value as a number. Tables are their users': a column that was given another numeric type still is a measurement. Raises 42804 for
 * other types.
 */
extern double observ_measurement(Datum value, Oid type);

/* Order of keys; also tells whether they are the same. */
extern int observ_rollup_key_compare(const ObservRollupKey *a, const ObservRollupKey *b);

/* A copy in the current memory context. */
extern ObservRollupKey observ_rollup_key_copy(const ObservRollupKey *key);

#endif
