/* Storing samples of labelled metrics: what all ways in have in common. */
#ifndef OBSERV_EXT_METRIC_STORE_H
#define OBSERV_EXT_METRIC_STORE_H

#include "datatype/timestamp.h"
#include "ext/metric_series.h"
#include "ext/partitions.h"

/* One sample as it was sent. */
typedef struct ObservSample {
	text *metric_name; /* NULL: none was given; so with those that follow */
	Jsonb *labels;
	text *kind;
	bool has_time;
	bool has_value;
	TimestampTz at;
	double value;
	/* what became of it */
	const char *problem; /* set beforehand, too: why it can't be stored */
	int sqlstate;        /* of that problem */
	bool quarantined;    /* because of it */
	ObservSeries *series;
} ObservSample;

/* What became of the samples: each is stored, a duplicate, rejected or quarantined. */
typedef struct ObservStored {
	int64 stored;
	int64 duplicates; /* there was a sample of that series and time */
	int64 rejected;
	int64 quarantined;
	int64 clamped;   /* of those stored or duplicates: moved back to now */
	int64 nonfinite; /* of those stored or duplicates: NaN or infinite */
	int64 new_series;
} ObservStored;

/* What one call needs to know for all its samples. */
typedef struct ObservStore {
	TimestampTz now;
	ObservPartition *partitions; /* of observ.metric_scrapes, ascending */
	int n_partitions;
	ObservStored done;
} ObservStore;

/* Begins a call. Raises 55000 when samples of now have no partition. Needs SPI_connect(). */
extern void observ_store_begin(ObservStore *store);

/*
 * Stores samples of one VPS and application, whose names must be valid: adds to store->done, and leaves in each sample why it was refused.
 * One that is there already stays as it is. Needs SPI_connect(); runs as the current user, who must own the tables.
 */
extern void observ_store_samples(ObservStore *store, text *vps_name, text *app_name, ObservSample *samples,
								 int n);

/* The counts as the first seven columns of a result. */
#define OBSERV_STORED_COLUMNS 7
extern void observ_stored_columns(const ObservStored *done, Datum *row);

/* Why a VPS or application can't have that name, NULL: it can. */
extern const char *observ_vps_name_problem(const text *vps_name);
extern const char *observ_app_name_problem(const text *app_name);

#endif
