/* Taking the newest row of each VPS and application into observ.fleet_summary. */
#ifndef OBSERV_EXT_FLEET_LATEST_H
#define OBSERV_EXT_FLEET_LATEST_H

#include "datatype/timestamp.h"
#include "executor/spi.h"

/* What every candidate query selects from observ.vps_metrics, named m. */
#define OBSERV_CANDIDATE_COLUMNS "m.vps_name, m.app_name, m.\"timestamp\", m.tableoid, m.ctid"

typedef struct ObservLatest {
	int64 inserted;
	int64 updated;
	int64 future_rows;        /* candidates later than the limit: left aside */
	TimestampTz future_until; /* the latest of them; unchanged when there are none */
	int64 candidates;
} ObservLatest;

/* More candidates are not looked at one by one: a backfill of millions of rows would take longer than a job may. */
#define OBSERV_MAX_CANDIDATES 1000000

/*
 * Runs a prepared candidate query and brings each key's newest row that is not later than `limit` into the summary: inserted when the key
 * is new, updated when it is newer than what is there (when `replace`: also when it is merely another one). Adds to *result.
 * False, and nothing done, when there are more than OBSERV_MAX_CANDIDATES. Needs SPI_connect(); runs as the current user.
 */
extern bool observ_take_latest(SPIPlanPtr candidates, const Datum *params, TimestampTz at, TimestampTz limit,
							   bool replace, ObservLatest *result);

#endif
