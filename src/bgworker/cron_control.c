/*
 * observ.use_pg_cron() and observ.use_bgworker(): moving jobs into cron.job and back.
 * What does not belong here: finding out who has a job (cron_jobs.c), running one (job_run.c).
 *
 * Entries are made and removed through pg_cron's own functions, as the caller and with the caller's rights: pg_cron runs an entry
 * as the role that made it, and nobody should come by more through us than he has.
 */
#include "postgres.h"

#include "bgworker/cron_jobs.h"
#include "bgworker/jobs.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "core/cron_schedule.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

OBSERV_SQL_FUNCTION(observ_use_pg_cron);
OBSERV_SQL_FUNCTION(observ_use_bgworker);

/* pg_cron's history of runs grows without bound: an entry of its own trims what our entries left there. */
#define TRIM_NAME   "trim_cron_history"
#define TRIM_PERIOD 86400

static const char trim_command[] =
	"DELETE FROM cron.job_run_details d WHERE d.database = pg_catalog.current_database() AND d.command IN "
	"(SELECT j.command FROM cron.job j WHERE j.jobname LIKE 'observ.%' AND j.database = "
	"pg_catalog.current_database()) "
	"AND (coalesce(d.end_time, d.start_time) < pg_catalog.now() - interval '7 days' "
	"OR d.runid <= (SELECT max(m.runid) - 50000 FROM cron.job_run_details m))";

/* ---- what must be so */

/* What to type when pg_cron is not in this database. */
static char *
installation_hint(void)
{
	const char *home = GetConfigOption("cron.database_name", true, false);
	char *here = get_database_name(MyDatabaseId);

	if (home == NULL)
		return psprintf(
			"Install the package postgresql-15-cron, set shared_preload_libraries = 'pg_cron,observ' and "
			"cron.database_name = %s, restart the server, and run CREATE EXTENSION pg_cron here.",
			quote_literal_cstr(here));
	if (strcmp(home, here) == 0)
		return "Run CREATE EXTENSION pg_cron.";
	return psprintf("pg_cron works in database \"%s\" only: set cron.database_name = %s, restart the server, "
					"and run CREATE "
					"EXTENSION pg_cron here. Otherwise observ's own scheduler goes on running the jobs.",
					home, quote_literal_cstr(here));
}

/* pg_cron is installed here, and its launcher reads this database. */
static void
require_pg_cron(void)
{
	const char *home = GetConfigOption("cron.database_name", true, false);
	char *here = get_database_name(MyDatabaseId);

	if (!observ_cron_installed())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("extension pg_cron is not installed in database \"%s\"", here),
						errhint("%s", installation_hint())));
	if (home == NULL || strcmp(home, here) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("pg_cron does not run jobs of database \"%s\"", here),
						home == NULL ? errdetail("The library pg_cron is not loaded.")
									 : errdetail("cron.database_name is \"%s\".", home),
						errhint("Set shared_preload_libraries = 'pg_cron,observ' and cron.database_name = "
								"%s, and restart the "
								"server.",
								quote_literal_cstr(here))));
	if (observ_find_process(OBSERV_CRON_LAUNCHER, InvalidOid) == 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING), errmsg("the launcher of pg_cron is not running"),
				 errdetail("Jobs that are moved to pg_cron are not run until it does."),
				 errhint("Look into the server's log; pg_cron 1.4 needs a restart of the server once its "
						 "launcher was terminated.")));
}

/* pg_cron runs an entry in a session of the role that made it. */
static void
require_login_role(void)
{
	Oid types[] = {NAMEOID};
	Datum values[] = {CStringGetDatum(GetUserNameFromId(GetUserId(), false))};

	if (observ_spi(SPI_OK_SELECT, "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolcanlogin", 1,
				   types, (Datum[]){DirectFunctionCall1(namein, values[0])}, NULL) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("role \"%s\" cannot log in, so pg_cron cannot run jobs as it",
					DatumGetCString(values[0])),
			 errhint("Call observ.use_pg_cron() as a role with LOGIN that is a member of observ_admin.")));
}

/* Two calls at once would make entries twice, under two roles. */
static void
lock_and_look_again(void)
{
	observ_wait_for_lock(OBSERV_LOCK_PG_CRON);
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* ---- entries */

/* Spreads the entries of different databases and jobs over the hour. */
static uint32
spread_of(const char *name)
{
	char *key = psprintf("%s/%s", get_database_name(MyDatabaseId), name);

	return hash_bytes((unsigned char *) key, strlen(key));
}

/* Makes the entry. The command is what the scheduler would run, with the lock timeout that it would have. */
static int64
make_entry(const char *name, const char *schedule, const char *command)
{
	Oid types[] = {TEXTOID, TEXTOID, TEXTOID};
	Datum values[3];
	bool isnull;

	values[0] = CStringGetTextDatum(psprintf(OBSERV_CRON_PREFIX "%s", name));
	values[1] = CStringGetTextDatum(schedule);
	values[2] = CStringGetTextDatum(command);
	observ_spi(SPI_OK_SELECT, "SELECT cron.schedule($1, $2, $3)", 3, types, values, NULL);
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

static void
put_row(FunctionCallInfo fcinfo, const char *name, int64 jobid, const char *schedule)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum values[] = {CStringGetTextDatum(name), Int64GetDatum(jobid), CStringGetTextDatum(schedule)};
	bool nulls[3] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
move_to_cron(FunctionCallInfo fcinfo, List *entries, const char *name, int64 period, const char *command)
{
	const ObservCronEntry *entry = observ_cron_entry(entries, name);
	char schedule[CRON_SCHEDULE_SIZE];

	/* What is there belongs to the DBA by now. */
	if (entry != NULL) {
		put_row(fcinfo, name, entry->jobid, entry->schedule);
		return;
	}
	cron_schedule_format(schedule, period, spread_of(name));
	put_row(fcinfo, name, make_entry(name, schedule, command), schedule);
}

/* observ.use_pg_cron() → setof (job_name, jobid, schedule); see its COMMENT. Errors: 55000 without a working pg_cron, 42501. */
Datum
observ_use_pg_cron(PG_FUNCTION_ARGS)
{
	List *entries;

	observ_require_versions();
	PreventCommandIfReadOnly("observ.use_pg_cron()");
	require_pg_cron();
	InitMaterializedSRF(fcinfo, 0);
	lock_and_look_again();
	entries = observ_cron_entries();
	SPI_connect();
	require_login_role();
	for (int i = 0; i < observ_job_count; i++) {
		const ObservJob *job = &observ_jobs[i];

		if (!job->movable)
			continue;
		if (*job->period == 0 && observ_cron_entry(entries, job->name) == NULL) {
			ereport(NOTICE, (errmsg("job \"%s\" is switched off and stays so", job->name),
							 errdetail("%s is 0.", job->period_parameter)));
			continue;
		}
		move_to_cron(fcinfo, entries, job->name, *job->period,
					 psprintf("SET lock_timeout = '%dms'; %s", observ_job_lock_timeout, job->command));
	}
	move_to_cron(fcinfo, entries, TRIM_NAME, TRIM_PERIOD, trim_command);
	SPI_finish();
	PopActiveSnapshot();
	return (Datum) 0;
}

/* Removes the entry, whosever it is, if the caller may. */
static void
remove_entry(const ObservCronEntry *entry)
{
	Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(entry->jobid)};

	if (!superuser() && strcmp(entry->username, GetUserNameFromId(GetUserId(), false)) != 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("job \"%s\" belongs to role \"%s\" in pg_cron", entry->name, entry->username),
						errhint("Call observ.use_bgworker() as that role, or as a superuser.")));
	observ_spi(SPI_OK_SELECT, "SELECT cron.unschedule($1)", 1, types, values, NULL);
}

/* observ.use_bgworker() → setof (job_name, jobid, schedule); see its COMMENT. Errors: 42501 for another role's entries. */
Datum
observ_use_bgworker(PG_FUNCTION_ARGS)
{
	ListCell *cell;

	observ_require_versions();
	PreventCommandIfReadOnly("observ.use_bgworker()");
	InitMaterializedSRF(fcinfo, 0);
	lock_and_look_again();
	SPI_connect();
	foreach (cell, observ_cron_entries()) {
		const ObservCronEntry *entry = lfirst(cell);

		if (observ_job_by_name(entry->name) < 0 && strcmp(entry->name, TRIM_NAME) != 0)
			continue;
		remove_entry(entry);
		put_row(fcinfo, entry->name, entry->jobid, entry->schedule);
	}
	SPI_finish();
	PopActiveSnapshot();
	observ_wake_workers_at_commit();
	return (Datum) 0;
}
