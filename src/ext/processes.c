/*
 * Finding and waking observ's own processes.
 * What does not belong here: starting or stopping them (src/bgworker).
 *
 * The process array is read without a lock: a slot that changes under our eyes costs a spurious or a missed wake-up, and every
 * waiter has a deadline.
 */
#include "postgres.h"

#include "ext/processes.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/proc.h"

bool observ_preloaded = false;

static bool wake_pending = false;
static bool notify_pending = false;
static bool xact_callback_registered = false;

static bool
is_ours(const PGPROC *proc, const char *bgw_type, Oid database)
{
	const char *type;

	if (proc->pid == 0 || !proc->isBackgroundWorker)
		return false;
	if (OidIsValid(database) && proc->databaseId != database)
		return false;
	type = GetBackgroundWorkerTypeByPid(proc->pid);
	return type != NULL && strcmp(type, bgw_type) == 0;
}

int
observ_find_process(const char *bgw_type, Oid database)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++) {
		int pid = ProcGlobal->allProcs[i].pid;

		if (is_ours(&ProcGlobal->allProcs[i], bgw_type, database))
			return pid;
	}
	return 0;
}

int
observ_list_processes(const char *bgw_type, ObservProcess **processes)
{
	int count = 0;

	*processes = palloc(sizeof(ObservProcess) * ProcGlobal->allProcCount);
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++) {
		const PGPROC *proc = &ProcGlobal->allProcs[i];
		ObservProcess found = {proc->pid, proc->databaseId};

		if (is_ours(proc, bgw_type, InvalidOid))
			(*processes)[count++] = found;
	}
	return count;
}

int
observ_signal_processes(const char *bgw_type, Oid database, int signal)
{
	int count = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++) {
		int pid = ProcGlobal->allProcs[i].pid;

		if (is_ours(&ProcGlobal->allProcs[i], bgw_type, database) && kill(pid, signal) == 0)
			count++;
	}
	return count;
}

int
observ_find_resident(Oid database)
{
	int pid = observ_find_process(OBSERV_SCHEDULER, database);

	return pid != 0 ? pid : observ_find_process(OBSERV_NOTIFIER, database);
}

int
observ_signal_residents(Oid database, int signal)
{
	return observ_signal_processes(OBSERV_SCHEDULER, database, signal) +
		   observ_signal_processes(OBSERV_NOTIFIER, database, signal);
}

/* Returns whether there is any. */
static bool
set_latches(const char *bgw_type)
{
	bool any = false;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
		if (is_ours(&ProcGlobal->allProcs[i], bgw_type, MyDatabaseId)) {
			SetLatch(&ProcGlobal->allProcs[i].procLatch);
			any = true;
		}
	return any;
}

void
observ_wake_scheduler(void)
{
	(void) set_latches(OBSERV_SCHEDULER);
}

void
observ_wake_launcher(void)
{
	/* A signal and not its latch alone: the latch is also set for each worker that starts or ends. */
	observ_signal_processes(OBSERV_LAUNCHER, InvalidOid, SIGUSR2);
}

static void
wake_after_commit(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (wake_pending && event == XACT_EVENT_COMMIT) {
		observ_wake_launcher();
		observ_wake_scheduler();
	}
	if ((wake_pending || notify_pending) && event == XACT_EVENT_COMMIT && !set_latches(OBSERV_NOTIFIER))
		observ_wake_scheduler();
	wake_pending = notify_pending = false;
}

static void
listen_for_commit(void)
{
	if (xact_callback_registered)
		return;
	RegisterXactCallback(wake_after_commit, NULL);
	xact_callback_registered = true;
}

void
observ_wake_workers_at_commit(void)
{
	listen_for_commit();
	wake_pending = true;
}

void
observ_wake_notifier_at_commit(void)
{
	listen_for_commit();
	notify_pending = true;
}
