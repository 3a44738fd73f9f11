/*
 * Running one job once: mark it and commit, run it in its own transaction, record what came of it.
 * What does not belong here: when jobs run (scheduler.c), what they do (SQL functions, src/ext).
 *
 * The mark is committed before the job starts. What is still marked when a scheduler starts took its process with it, so that a job that
 * brings the server down is found out and in the end switched off.
 */
#include "postgres.h"

#include "bgworker/job_run.h"

#include "access/xact.h"
#include "bgworker/cron_jobs.h"
#include "bgworker/job_runs.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "ext/arming.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/inval.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define CRASH_LIMIT      5
#define FAILURE_LIMIT_MS 300000
#define RETRY_LIMIT_MS   30000
#define CRON_CHECK_MS    60000 /* how often to look whether pg_cron still has a job */
#define SOON_MS          20    /* least pause before a run that a run has asked for */
#define RESULT_LENGTH    500   /* bytes of what the job returned that are kept */

/* Argument of the steps below. */
typedef struct Run {
	ObservJobSlot *slot;
	ObservGateResult *gate;
	TimestampTz next_run; /* as shown to people */
	const ErrorData *error;
	bool soft;
	char incomplete
		[RESULT_LENGTH]; /* what a job returned that committed part of its work and failed at the rest */
	bool blocked;        /* it did what it could, and others were in the way of the rest */
} Run;

/* The job that is marked as running by this process. */
static const ObservJob *marked = NULL;

static void
close_gate(ObservGateResult *result, const char *reason, const char *hint)
{
	result->gate = OBSERV_GATE_CLOSED;
	strlcpy(result->reason, reason, sizeof(result->reason));
	strlcpy(result->hint, hint, sizeof(result->hint));
}

void
observ_gate(ObservGateResult *result)
{
	LOCKTAG tag;
	const char *reason;
	char *hint;

	result->extension = observ_extension_oid();
	if (!OidIsValid(result->extension)) {
		close_gate(result, "extension observ is not installed", "Run CREATE EXTENSION observ in it.");
		return;
	}
	result->gate = OBSERV_GATE_BUSY;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, result->extension, 0);
	if (LockAcquire(&tag, AccessShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return;
	AcceptInvalidationMessages();
	if (observ_extension_oid() != result->extension)
		return;
	reason = observ_versions_mismatch(&hint);
	if (reason != NULL)
		close_gate(result, reason, hint);
	else if (observ_arming(&reason) != OBSERV_ARMED) {
		close_gate(result, reason, "Run SELECT observ.resume() in it when observ is to work there.");
		result->gate = OBSERV_GATE_DISARMED;
	} else
		result->gate = OBSERV_GATE_OPEN;
}

int64
observ_job_due(const ObservJobSlot *slot)
{
	if (*slot->job->period == 0 || slot->disabled)
		return OBSERV_NEVER;
	if (slot->retry_at != 0)
		return slot->retry_at;
	if (slot->cron_check != 0)
		return slot->cron_check;
	return slot->last_start == 0 ? 0 : slot->last_start + *slot->job->period * INT64CONST(1000);
}

/* The due time as a timestamp for people. */
static TimestampTz
due_timestamp(const ObservJobSlot *slot)
{
	int64 due = observ_job_due(slot);
	int64 wait = Max(due == OBSERV_NEVER ? 0 : due - observ_monotonic_ms(), 0);

	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), wait);
}

void
observ_job_load(ObservJobSlot *slots, bool after_start)
{
	observ_as_owner_begin();
	for (int i = 0; i < observ_job_count; i++) {
		ObservJobSlot *slot = &slots[i];
		ObservJobState state;
		int bad;

		observ_job_runs_read(slot->job, &state);
		if (after_start && state.running) {
			int64 pause = observ_backoff_ms(state.consecutive_crashes + 1, FAILURE_LIMIT_MS);

			observ_job_runs_crash(slot->job, CRASH_LIMIT,
								  TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause));
			CommandCounterIncrement();
			UpdateActiveSnapshotCommandId();
			observ_job_runs_read(slot->job, &state);
			ereport(
				WARNING,
				(errmsg("job \"%s\" of observ took its process with it when it ran last", slot->job->name),
				 errdetail("That has happened %d times in a row.", state.consecutive_crashes),
				 state.disabled
					 ? errhint("It is switched off now; run SELECT observ.reset_job('%s') to switch it on.",
							   slot->job->name)
					 : 0));
		}
		bad = Max(state.consecutive_failures, state.consecutive_crashes);
		/* A row that was reset runs at once, as after a start. */
		if (after_start || (bad == 0 && (slot->failures > 0 || slot->disabled)))
			slot->last_start = 0;
		slot->disabled = state.disabled;
		/* Whoever woke us may have taken it from pg_cron. */
		slot->cron_check = Min(slot->cron_check, 1);
		if (bad == 0)
			slot->retry_at = 0;
		else if (after_start)
			slot->retry_at = observ_monotonic_ms() + observ_backoff_ms(bad, FAILURE_LIMIT_MS);
		slot->failures = bad;
	}
}

void
observ_job_reschedule(const ObservJobSlot *slots)
{
	observ_as_owner_begin();
	for (int i = 0; i < observ_job_count; i++)
		if (slots[i].last_start != 0 && slots[i].cron_check == 0 && observ_job_due(&slots[i]) != OBSERV_NEVER)
			observ_job_runs_reschedule(slots[i].job, due_timestamp(&slots[i]));
}

/* ---- the steps, each in a transaction of its own */

/* Whether to leave the job to pg_cron; says so when that has changed. */
static bool
leave_to_cron(ObservJobSlot *slot)
{
	bool was_left = slot->cron_check != 0;
	bool leave = slot->job->movable && observ_cron_has(slot->job->name);

	slot->cron_check = leave ? observ_monotonic_ms() + CRON_CHECK_MS : 0;
	if (leave) {
		slot->retry_at = 0;
		slot->retries = 0;
	}
	if (leave != was_left)
		ereport(LOG, (leave ? errmsg("job \"%s\" of observ is left to pg_cron", slot->job->name)
							: errmsg("job \"%s\" of observ is no longer in cron.job: run by observ again",
									 slot->job->name)));
	return leave;
}

static void
step_begin(void *arg)
{
	Run *run = arg;
	ObservJobState state;

	observ_gate(run->gate);
	if (run->gate->gate != OBSERV_GATE_OPEN || leave_to_cron(run->slot))
		return;
	observ_as_owner_begin();
	observ_job_runs_read(run->slot->job, &state);
	run->slot->disabled = state.disabled;
	if (!state.disabled)
		observ_job_runs_begin(run->slot->job);
}

/* The first row of the SPI result as "name=value, name=value". */
static char *
describe_result(void)
{
	StringInfoData text;

	initStringInfo(&text);
	if (SPI_processed > 0 && SPI_tuptable != NULL)
		for (int i = 1; i <= SPI_tuptable->tupdesc->natts && text.len < RESULT_LENGTH; i++) {
			char *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i);

			appendStringInfo(&text, "%s%s=%s", text.len > 0 ? ", " : "", SPI_fname(SPI_tuptable->tupdesc, i),
							 value ? value : "");
		}
	return text.data;
}

/* A column of a job's row, as text; NULL when there is no such column, or it is NULL. */
static char *
result_column(const char *name)
{
	int column = SPI_tuptable == NULL ? SPI_ERROR_NOATTRIBUTE : SPI_fnumber(SPI_tuptable->tupdesc, name);

	return column <= 0 || SPI_processed == 0
			   ? NULL
			   : SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/*
 * What a job's row says as its status. Jobs that do many things each on its own say "failed" when some of them did, and keep what
 * succeeded; "blocked" asks for another try, later and later; "more" for the next run at once.
 */
static bool
result_says(const char *word)
{
	const char *status = result_column("status");

	return status != NULL && strcmp(status, word) == 0;
}

/* The time in a column of a job's row, if that comes before its period is over; 0: it doesn't. */
static int64
asked_time(const ObservJobSlot *slot)
{
	const char *text = slot->job->until == NULL ? NULL : result_column(slot->job->until);
	TimestampTz asked;
	int64 at;

	if (text == NULL)
		return 0;
	asked = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
													ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	if (TIMESTAMP_NOT_FINITE(asked))
		return 0;
	/* Rounded up: a millisecond early would be for nothing. */
	at = observ_monotonic_ms() + Max((asked - GetCurrentTimestamp()) / 1000 + 1, SOON_MS);
	return at < slot->last_start + *slot->job->period * INT64CONST(1000) ? at : 0;
}

/* When a run that went well wants another before its period is over; 0: it doesn't. */
static int64
next_try(const Run *run)
{
	if (run->blocked)
		return observ_monotonic_ms() + observ_backoff_ms(run->slot->retries, FAILURE_LIMIT_MS);
	return result_says("more") ? observ_monotonic_ms() : asked_time(run->slot);
}

static bool
says_changes(void)
{
	const char *changes = result_column("changes");

	return changes != NULL && strtol(changes, NULL, 10) > 0;
}

static void
step_run(void *arg)
{
	Run *run = arg;
	char *result;
	int rc;

	observ_gate(run->gate);
	if (run->gate->gate != OBSERV_GATE_OPEN)
		return;
	/* Not ended by observ_as_owner_end(): deferred triggers are to run as the owner too. */
	observ_as_owner_begin();
	if (observ_job_statement_timeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, observ_job_statement_timeout);
	SPI_connect();
	rc = SPI_execute(run->slot->job->command, false, 1);
	if (rc != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("a job ended as %s", SPI_result_code_string(rc))));
	result = describe_result();
	run->blocked = result_says("blocked");
	if (result_says("failed"))
		strlcpy(run->incomplete, result, sizeof(run->incomplete));
	else {
		run->slot->retries = run->blocked ? run->slot->retries + 1 : 0;
		run->slot->retry_at = next_try(run);
		run->slot->changed = says_changes();
		observ_job_runs_success(run->slot->job, result, due_timestamp(run->slot));
	}
	SPI_finish();
}

static void
step_failed(void *arg)
{
	Run *run = arg;

	observ_gate(run->gate);
	if (run->gate->gate != OBSERV_GATE_OPEN)
		return;
	observ_as_owner_begin();
	observ_job_runs_failure(run->slot->job, run->error, run->soft, run->next_run);
}

/* ---- what comes of a run */

static void
note_success(ObservJobSlot *slot)
{
	if (slot->failures > 0)
		ereport(LOG, (errmsg("job \"%s\" of observ works again after %d failures", slot->job->name,
							 slot->failures)));
	slot->failures = 0;
	observ_log_state_changes(&slot->said, NULL);
}

/* Conflicts with other sessions, and cancels by hand or for DROP EXTENSION: nothing is wrong with the job. */
static bool
is_soft(const ErrorData *error, int64 elapsed)
{
	switch (error->sqlerrcode) {
	case ERRCODE_T_R_DEADLOCK_DETECTED:
	case ERRCODE_T_R_SERIALIZATION_FAILURE:
	case ERRCODE_LOCK_NOT_AVAILABLE:
		return true;
	case ERRCODE_QUERY_CANCELED:
		return observ_job_statement_timeout == 0 || elapsed < observ_job_statement_timeout;
	default:
		return false;
	}
}

static void
log_failure(ObservJobSlot *slot, const ErrorData *error)
{
	if (!observ_log_state_changes(&slot->said, unpack_sql_state(error->sqlerrcode)))
		return;
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("job \"%s\" of observ failed in database \"%s\": %s", slot->job->name,
							 observ_worker_database_name(), error->message),
					  error->detail ? errdetail_internal("%s", error->detail) : 0,
					  errhint("It is tried again with growing pauses; see SELECT * FROM observ.job_status."),
					  error->context ? errcontext("%s", error->context) : 0));
}

static void
note_failure(Run *run, int64 started)
{
	ObservJobSlot *slot = run->slot;
	int64 now = observ_monotonic_ms();
	ErrorData *second;

	run->soft = is_soft(run->error, now - started);
	if (run->soft)
		slot->retry_at = now + observ_backoff_ms(++slot->retries, RETRY_LIMIT_MS);
	else
		slot->retry_at = now + observ_backoff_ms(++slot->failures, FAILURE_LIMIT_MS);
	run->next_run = due_timestamp(slot);
	second = observ_in_transaction(step_failed, run);
	/* A conflict or cancel in the account itself is no more trouble than in the job: the next run has its own. */
	if (second != NULL && !is_soft(second, 0))
		log_failure(slot, second);
	else if (run->gate->gate == OBSERV_GATE_OPEN && !run->soft)
		log_failure(slot, run->error);
}

void
observ_job_run(ObservJobSlot *slot, ObservGateResult *gate)
{
	Run run = {.slot = slot, .gate = gate};
	ErrorData incomplete = {.elevel = WARNING, .sqlerrcode = ERRCODE_WARNING};
	int64 started = observ_monotonic_ms();

	pgstat_report_activity(STATE_RUNNING, slot->job->command);
	debug_query_string = slot->job->command;
	gate->gate = OBSERV_GATE_BUSY;
	slot->changed = false;
	run.error = observ_in_transaction(step_begin, &run);
	if (run.error == NULL && gate->gate == OBSERV_GATE_OPEN && !slot->disabled && slot->cron_check == 0) {
		marked = slot->job;
		slot->last_start = started;
		run.error = observ_in_transaction(step_run, &run);
		disable_timeout(STATEMENT_TIMEOUT, false);
		if (run.error == NULL && run.incomplete[0] != '\0') {
			incomplete.message = psprintf("part of the work could not be done: %s", run.incomplete);
			run.error = &incomplete;
		} else if (run.error == NULL && gate->gate == OBSERV_GATE_OPEN)
			note_success(slot);
	}
	if (run.error != NULL)
		note_failure(&run, started);
	marked = NULL;
	if (run.error == NULL && run.blocked && gate->gate == OBSERV_GATE_OPEN && slot->job->when_blocked != NULL)
		slot->job->when_blocked(gate);
	debug_query_string = NULL;
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

void
observ_job_hurry(ObservJobSlot *slot)
{
	if (slot->failures == 0 && slot->retries == 0 && slot->cron_check == 0)
		slot->retry_at = 1;
}

void
observ_job_on_exit(int code, Datum arg)
{
	ObservGateResult gate;

	if (marked == NULL)
		return;
	/* As RemoveTempRelationsCallback() does: interrupts are held off now, so nothing here may wait. */
	disable_all_timeouts(false);
	AbortOutOfAnyTransaction();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	observ_gate(&gate);
	if (gate.gate == OBSERV_GATE_OPEN) {
		observ_as_owner_begin();
		observ_job_runs_interrupted(marked);
	}
	marked = NULL;
	PopActiveSnapshot();
	CommitTransactionCommand();
}
