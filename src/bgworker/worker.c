/*
 * What every background worker of observ does alike: signal handlers, waiting, guarded transactions, logging changes of state once.
 * What does not belong here: what a particular worker is for.
 */
#include "postgres.h"

#include "bgworker/worker.h"

#include <limits.h>
#include <signal.h>

#include "access/xact.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#define FIRST_BACKOFF_MS 1000

static volatile sig_atomic_t poked = false;
static bool config_changed = false;

static void
handle_poke(SIGNAL_ARGS)
{
	int saved_errno = errno;

	poked = true;
	SetLatch(MyLatch);
	errno = saved_errno;
}

int64
observ_monotonic_ms(void)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

void
observ_worker_init(void)
{
	/* `die` and not a flag: it ends waits for locks and for synchronous standbys too. SIGINT and SIGUSR1 stay as they are. */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR2, handle_poke);
	BackgroundWorkerUnblockSignals();
}

void
observ_worker_interrupts(void)
{
	/* A cancel that arrives between two steps was meant for one that has ended. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending) {
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		config_changed = true;
	}
}

bool
observ_worker_wait(int64 deadline)
{
	int64 timeout = Max(deadline - observ_monotonic_ms(), 0);
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (deadline == OBSERV_NEVER ? 0 : WL_TIMEOUT);
	int rc = WaitLatch(MyLatch, events, deadline == OBSERV_NEVER ? -1L : (long) Min(timeout, INT_MAX),
					   PG_WAIT_EXTENSION);

	if (rc & WL_LATCH_SET)
		ResetLatch(MyLatch);
	observ_worker_interrupts();
	return (rc & WL_LATCH_SET) != 0;
}

bool
observ_worker_was_poked(void)
{
	bool was = poked;

	poked = false;
	return was;
}

bool
observ_worker_config_changed(void)
{
	bool was = config_changed;

	config_changed = false;
	return was;
}

ErrorData *
observ_in_transaction(ObservStep step, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData *volatile error = NULL;
	Oid user;
	int security;

	GetUserIdAndSecContext(&user, &security);
	/* Otherwise now() would stand still at the time the worker started. */
	SetCurrentStatementStartTimestamp();
	PG_TRY();
	{
		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		step(arg);
		/* A utility statement that commits in its middle has taken it away. */
		if (ActiveSnapshotSet())
			PopActiveSnapshot();
		CommitTransactionCommand();
		SetUserIdAndSecContext(user, security);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		AbortOutOfAnyTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}

/* Settings that a role, a database or the configuration may have, and that what workers run must not have. */
static const char *const pinned_settings[][2] = {
	{"search_path", "pg_catalog, pg_temp"},
	{"default_transaction_read_only", "off"},
	{"default_transaction_isolation", "read committed"},
	{"default_transaction_deferrable", "off"},
	{"session_replication_role", "origin"},
	{"row_security", "on"},
	{"statement_timeout", "0"}, /* armed for each step instead */
	{"idle_in_transaction_session_timeout", "0"},
	{"idle_session_timeout", "0"},
	{"synchronous_commit", "local"}, /* a standby that is away must not stop monitoring */
	{"check_function_bodies", "on"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "1"},
};

void
observ_worker_pin_settings(void)
{
	char lock_timeout[32];

	for (size_t i = 0; i < lengthof(pinned_settings); i++)
		SetConfigOption(pinned_settings[i][0], pinned_settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	snprintf(lock_timeout, sizeof(lock_timeout), "%d", observ_job_lock_timeout);
	SetConfigOption("lock_timeout", lock_timeout, PGC_SUSET, PGC_S_OVERRIDE);
}

const char *
observ_worker_database_name(void)
{
	return MyBgworkerEntry->bgw_name + strlen(MyBgworkerEntry->bgw_type) + 1;
}

bool
observ_log_state_changes(ObservLogState *state, const char *key)
{
	if (key == NULL) {
		state->key[0] = '\0';
		return false;
	}
	/* Keys longer than the buffer are compared by their beginning. */
	if (strncmp(state->key, key, sizeof(state->key) - 1) == 0)
		return false;
	strlcpy(state->key, key, sizeof(state->key));
	return true;
}

int64
observ_backoff_ms(int failures, int64 limit_ms)
{
	int64 wait = FIRST_BACKOFF_MS;

	for (int i = 1; i < failures && wait < limit_ms; i++)
		wait *= 2;
	return Min(wait, limit_ms);
}

void
observ_worker_describe(BackgroundWorker *worker, const char *type, const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_name, type, BGW_MAXLEN);
	strlcpy(worker->bgw_type, type, BGW_MAXLEN);
	strlcpy(worker->bgw_library_name, "observ", BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
}

void
observ_worker_settle(BackgroundWorker *worker, Oid database, const char *name, Oid role)
{
	snprintf(worker->bgw_name, BGW_MAXLEN, "%s %s", worker->bgw_type, name);
	worker->bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker->bgw_extra, &role, sizeof(role));
	worker->bgw_notify_pid = MyProcPid;
}

Oid
observ_worker_role_oid(void)
{
	Oid role;

	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(role));
	return role;
}

void
observ_worker_connect(Datum main_arg)
{
	observ_worker_init();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(main_arg), observ_worker_role_oid(), 0);
	observ_worker_pin_settings();
}
