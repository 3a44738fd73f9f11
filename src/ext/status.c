/*
 * observ.status(): whether observ works in this database, and if not, why and what to type next.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "ext/arming.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_status);

typedef struct Verdict {
	const char *state;
	const char *reason;
	const char *hint;
} Verdict;

/* First raw table that somebody dropped, or a restore of selected tables left out; NULL when all are there. */
static const char *
missing_raw_table(void)
{
	Oid schema = get_namespace_oid("observ", false);

	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		if (!OidIsValid(get_relname_relid(table->name, schema)))
			return table->name;
	return NULL;
}

/* Whether anything can be sent; false too where somebody dropped the table. */
static bool
has_channels(void)
{
	static SPIPlanPtr plan = NULL;
	ObservIdentity saved;
	bool any;

	if (!OidIsValid(get_relname_relid("notification_channels", get_namespace_oid("observ", false))))
		return false;
	saved = observ_as_owner_begin();
	SPI_connect();
	any = observ_spi_read(&plan, "SELECT FROM observ.notification_channels WHERE kind IS NOT NULL LIMIT 1", 0,
						  NULL, NULL, NULL) > 0;
	SPI_finish();
	observ_as_owner_end(&saved);
	return any;
}

static Verdict
judge(int launcher, int scheduler, int notifier)
{
	char *hint;
	char *mismatch = observ_versions_mismatch(&hint);
	const char *reason;
	ObservArming arming = observ_arming(&reason);
	const char *missing = missing_raw_table();

	if (mismatch != NULL)
		return (Verdict){"mismatch", mismatch, hint};
	if (missing != NULL)
		return (Verdict){"mismatch", psprintf("table observ.%s is missing", missing),
						 "restore it from a dump"};
	if (RecoveryInProgress())
		return (Verdict){"standby", "this server is a standby: the primary does the work", NULL};
	if (arming == OBSERV_DISABLED)
		return (Verdict){"paused", reason, "set observ.enabled = on and reload the configuration"};
	if (arming != OBSERV_ARMED)
		return (Verdict){"paused", reason, "SELECT observ.resume()"};
	if (launcher == 0)
		return (Verdict){"no workers", "no observ launcher is running in this cluster",
						 "add observ to shared_preload_libraries and restart the server, or SELECT "
						 "observ.start_workers()"};
	if (scheduler == 0)
		return (Verdict){"no workers", "the scheduler of this database is not running (yet)",
						 "it is retried every few seconds; the server's log says why, often "
						 "max_worker_processes is too low"};
	if (notifier == 0 && has_channels())
		return (Verdict){"running", "the notifier of this database is not running (yet): notifications wait",
						 "it is retried every few seconds; the server's log says why, often "
						 "max_worker_processes is too low"};
	return (Verdict){"running", NULL, NULL};
}

static TimestampTz
covered_by_all(TimestampTz at)
{
	TimestampTz covered = DT_NOEND;

	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		covered = Min(covered, observ_covered_to(table->name, at));
	return covered;
}

/* observ.status() → one row; see its COMMENT. */
Datum
observ_status(PG_FUNCTION_ARGS)
{
	int launcher = observ_find_process(OBSERV_LAUNCHER, InvalidOid);
	int scheduler = observ_find_process(OBSERV_SCHEDULER, MyDatabaseId);
	int notifier = observ_find_process(OBSERV_NOTIFIER, MyDatabaseId);
	Verdict verdict = judge(launcher, scheduler, notifier);
	bool readable = strcmp(verdict.state, "mismatch") != 0;
	TimestampTz now = GetCurrentTimestamp();
	int layout = observ_layout_version();
	char *sql = observ_sql_version();
	Datum values[10];
	bool nulls[10] = {false};

	values[0] = CStringGetTextDatum(verdict.state);
	nulls[1] = verdict.reason == NULL;
	values[1] = nulls[1] ? (Datum) 0 : CStringGetTextDatum(verdict.reason);
	nulls[2] = verdict.hint == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(verdict.hint);
	nulls[3] = launcher == 0;
	values[3] = Int32GetDatum(launcher);
	nulls[4] = scheduler == 0;
	values[4] = Int32GetDatum(scheduler);
	nulls[5] = notifier == 0;
	values[5] = Int32GetDatum(notifier);
	values[6] = CStringGetTextDatum(OBSERV_LIBRARY_VERSION);
	nulls[7] = sql == NULL;
	values[7] = nulls[7] ? (Datum) 0 : CStringGetTextDatum(sql);
	nulls[8] = layout < 0;
	values[8] = Int32GetDatum(layout);
	nulls[9] = !readable;
	values[9] = nulls[9] ? (Datum) 0
						 : DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(covered_by_all(now)),
											   TimestampTzGetDatum(now));
	return observ_row(fcinfo, values, nulls);
}
