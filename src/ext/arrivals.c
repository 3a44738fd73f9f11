/*
 * The horizon of what has arrived: how jobs read new rows once, without triggers on raw tables and without waiting for writers.
 * What does not belong here: what a job does with them, and where it keeps its horizon.
 */
#include "postgres.h"

#include "ext/arrivals.h"

#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"

/*
 * received_at is taken a moment before its transaction has a transaction id. A moment only, also in COPY: it keeps no rows back where a
 * column has a volatile default, as received_at has.
 */
#define MARGIN_US (USECS_PER_SEC / 2)

TimestampTz
observ_arrival_horizon(void)
{
	TimestampTz horizon = GetCurrentTimestamp();
	int n;

	/* With one snapshot for the whole transaction, rows committed since would be passed over for good. */
	if (IsolationUsesXactSnapshot())
		ereport(ERROR, (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
						errmsg("jobs of observ must run in a READ COMMITTED transaction"),
						errhint("SET TRANSACTION ISOLATION LEVEL READ COMMITTED.")));
	/* The list is read once per transaction unless one asks again; it must not be older than the clock above. */
	pgstat_clear_backend_activity_snapshot();
	n = pgstat_fetch_stat_numbackends();
	for (int i = 1; i <= n; i++) {
		LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(i);

		if (local == NULL || local->backendStatus.st_databaseid != MyDatabaseId ||
			local->backendStatus.st_procpid == MyProcPid || !TransactionIdIsValid(local->backend_xid) ||
			local->backendStatus.st_xact_start_timestamp == 0)
			continue;
		horizon = Min(horizon, local->backendStatus.st_xact_start_timestamp);
	}
	return horizon - MARGIN_US;
}
