/*
 * SQL functions that start and stop the workers and switch jobs on again.
 * What does not belong here: pausing one database (src/ext/arming.c).
 */
#include "postgres.h"

#include "access/xlog.h"
#include "bgworker/job_runs.h"
#include "bgworker/launcher.h"
#include "bgworker/worker.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"

OBSERV_SQL_FUNCTION(observ_start_workers);
OBSERV_SQL_FUNCTION(observ_stop_workers);
OBSERV_SQL_FUNCTION(observ_reset_job);

#define START_PATIENCE_MS 10000
#define STOP_PATIENCE_MS  15000
#define POLL_MS           20

/* Waits until the launcher is there, or is not there; its pid, 0 when there is none. */
static int
wait_for_launcher(bool there, int patience_ms)
{
	int64 deadline = observ_monotonic_ms() + patience_ms;

	for (;;) {
		int pid = observ_find_process(OBSERV_LAUNCHER, InvalidOid);

		if ((pid != 0) == there || observ_monotonic_ms() >= deadline)
			return pid;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Registers a launcher and waits until it runs. */
static int
start_launcher(void)
{
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	pid_t pid;

	observ_launcher_describe(&worker, true);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		ereport(
			ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED), errmsg("no background worker slot is free"),
			 errhint(
				 "Raise max_worker_processes (one for the launcher, two for each database, one spare) and "
				 "restart the server.")));
	if (WaitForBackgroundWorkerStartup(handle, &pid) != BGWH_STARTED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES), errmsg("could not start the launcher of observ"),
				 errhint("The server's log says why.")));
	return wait_for_launcher(true, START_PATIENCE_MS);
}

/*
 * observ.start_workers() → integer: pid of the launcher. Starts it when none runs, until the server is restarted. A second
 * call says that it runs already. Effective at once, whatever becomes of the transaction.
 */
Datum
observ_start_workers(PG_FUNCTION_ARGS)
{
	int pid;

	if (RecoveryInProgress())
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("observ has no workers on a standby"),
			 errhint(
				 "They start by themselves after a promotion where observ is in shared_preload_libraries.")));
	observ_cluster_lock(OBSERV_LOCK_START_WORKERS, ExclusiveLock, true);
	pid = observ_find_process(OBSERV_LAUNCHER, InvalidOid);
	if (pid != 0)
		ereport(NOTICE, (errmsg("the workers of observ are already running")));
	else if (observ_preloaded)
		pid = wait_for_launcher(true, START_PATIENCE_MS);
	else
		pid = start_launcher();
	if (pid == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the launcher of observ does not start"), errhint("The server's log says why.")));
	PG_RETURN_INT32(pid);
}

/*
 * observ.stop_workers() → boolean: stops what observ.start_workers() started; false when nothing ran.
 */
Datum
observ_stop_workers(PG_FUNCTION_ARGS)
{
	if (observ_preloaded)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the workers of observ belong to the server here"),
						errdetail("observ is in shared_preload_libraries."),
						errhint("Set observ.enabled = off and reload the configuration, or run SELECT "
								"observ.pause() to stop "
								"them in this database only.")));
	observ_cluster_lock(OBSERV_LOCK_START_WORKERS, ExclusiveLock, true);
	if (observ_find_process(OBSERV_LAUNCHER, InvalidOid) == 0 && observ_find_resident(InvalidOid) == 0)
		PG_RETURN_BOOL(false);
	observ_cluster_lock(OBSERV_LOCK_STOP_WORKERS, ExclusiveLock, true);
	/* A launcher that is just being restarted appears within seconds, finds the lock, and leaves. */
	if (observ_find_process(OBSERV_LAUNCHER, InvalidOid) == 0)
		wait_for_launcher(true, START_PATIENCE_MS);
	observ_wake_launcher();
	if (wait_for_launcher(false, STOP_PATIENCE_MS) != 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("the launcher of observ does not end"),
						errhint("See pg_stat_activity for what it waits for.")));
	PG_RETURN_BOOL(true);
}

/*
 * observ.reset_job(name) → void: forgets errors in a row and enables the job; it runs as soon as the transaction has committed.
 */
Datum
observ_reset_job(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int job = observ_job_by_name(name);
	ObservIdentity identity;

	observ_require_versions();
	PreventCommandIfReadOnly("observ.reset_job()");
	if (job < 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("job \"%s\" does not exist", name),
						errhint("SELECT job_name FROM observ.job_status lists the jobs.")));
	identity = observ_as_owner_begin();
	if (!observ_job_runs_reset(&observ_jobs[job]))
		ereport(NOTICE, (errmsg("job \"%s\" has not run yet", name)));
	observ_as_owner_end(&identity);
	observ_wake_workers_at_commit();
	PG_RETURN_VOID();
}
