/*
 * Keeping a notifier in a database where there is something to send through: looked at anew each time (level, not edge), by the scheduler.
 * What does not belong here: what a notifier does (notifier.c).
 */
#include "postgres.h"

#include "bgworker/notifier.h"

#include "bgworker/job_run.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define LOOK_MS    5000 /* a wake-up can get lost in a job that waits for a lock */
#define HEALTHY_MS 5000 /* one that lived so long has started well */
#define BACKOFF_LIMIT_MS                                                                                     \
	60000 /* between attempts to start one that ends at once, or that there is no slot for */

/* The notifier of this scheduler's database. */
static struct Keeper {
	BackgroundWorkerHandle *handle; /* NULL: not started by this scheduler */
	int64 started_at, next_start, look_at;
	int failures; /* attempts in a row that ended before HEALTHY_MS */
	ObservLogState said;
} keeper;

bool
observ_notifier_wanted(void)
{
	static SPIPlanPtr plan = NULL;
	ObservIdentity saved = observ_as_owner_begin();
	bool wanted;

	SPI_connect();
	wanted = observ_spi_kept(&plan, SPI_OK_SELECT,
							 "SELECT FROM observ.notification_channels WHERE kind IS NOT NULL LIMIT 1", 0,
							 NULL, NULL, NULL) > 0;
	SPI_finish();
	observ_as_owner_end(&saved);
	return wanted;
}

static void
step_wanted(void *arg)
{
	bool *wanted = arg;
	ObservGateResult gate;

	observ_gate(&gate);
	*wanted = gate.gate == OBSERV_GATE_OPEN && observ_notifier_wanted();
}

static void
note_end(void)
{
	int64 now = observ_monotonic_ms();

	pfree(keeper.handle);
	keeper.handle = NULL;
	keeper.failures = now - keeper.started_at >= HEALTHY_MS ? 0 : keeper.failures + 1;
	keeper.next_start =
		keeper.failures == 0 ? now : now + observ_backoff_ms(keeper.failures, BACKOFF_LIMIT_MS);
}

static bool
is_running(void)
{
	pid_t pid;

	if (keeper.handle != NULL) {
		if (GetBackgroundWorkerPid(keeper.handle, &pid) != BGWH_STOPPED)
			return true;
		note_end();
	}
	/* One that the scheduler before this one started. */
	return observ_find_process(OBSERV_NOTIFIER, MyDatabaseId) != 0;
}

static void
start(void)
{
	BackgroundWorker worker;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	observ_worker_describe(&worker, OBSERV_NOTIFIER, "observ_notifier_main");
	observ_worker_settle(&worker, MyDatabaseId, observ_worker_database_name(), observ_worker_role_oid());
	keeper.started_at = observ_monotonic_ms();
	if (RegisterDynamicBackgroundWorker(&worker, &keeper.handle))
		observ_log_state_changes(&keeper.said, NULL);
	else {
		keeper.handle = NULL;
		keeper.failures++;
		keeper.next_start = keeper.started_at + observ_backoff_ms(keeper.failures, BACKOFF_LIMIT_MS);
		if (observ_log_state_changes(&keeper.said, "slots"))
			ereport(LOG,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no background worker slot is free for the notifier of observ in database \"%s\"",
							observ_worker_database_name()),
					 errdetail("Notifications wait in the outbox until there is one."),
					 errhint("Raise max_worker_processes (one for the launcher, two for each database, one "
							 "spare) and restart the server.")));
	}
	MemoryContextSwitchTo(old);
}

/* An error here (a lock, most likely) only puts the start off. */
static bool
is_wanted(void)
{
	bool wanted = false;

	return observ_in_transaction(step_wanted, &wanted) == NULL && wanted;
}

void
observ_notifier_keep(bool woken)
{
	int64 now = observ_monotonic_ms();

	if (!woken && now < keeper.look_at)
		return;
	keeper.look_at = now + LOOK_MS;
	if (is_running())
		return;
	if (now < keeper.next_start)
		keeper.look_at = Min(keeper.look_at, keeper.next_start);
	else if (is_wanted())
		start();
}

int64
observ_notifier_keep_at(void)
{
	return keeper.look_at;
}
