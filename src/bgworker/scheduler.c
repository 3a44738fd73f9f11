/*
 * The scheduler: one process in each armed database that runs the jobs of observ when they are due.
 * What does not belong here: what jobs do (SQL functions, src/ext), how one is run and recorded (job_run.c).
 *
 * Between jobs it has no transaction, no lock and no snapshot. Periods are measured by a clock that nobody can set.
 */
#include "postgres.h"

#include "bgworker/job_run.h"
#include "bgworker/notifier.h"
#include "bgworker/worker.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#define RECHECK_MS 60000                    /* of a closed gate, when nobody wakes us */
#define BUSY_MS    500                      /* of an extension that is being dropped */
#define TROUBLE_MS 5000                     /* of jobs that observ.reset_job() may help */
#define RECYCLE_MS INT64CONST(24 * 3600000) /* caches of a backend only grow: start anew once a day */

typedef struct Scheduler {
	ObservJobSlot *slots;
	ObservGateResult gate;
	Oid loaded_for; /* the extension whose observ.job_runs the slots were filled from */
	int64 check_gate_at;
	bool woken; /* somebody set the latch: a notifier may be wanted, or may have ended */
	ObservLogState said;
} Scheduler;

extern PGDLLEXPORT void observ_scheduler_main(Datum main_arg);

/* Says once what the gate is now, and when to look at it again. */
static void
note_gate(Scheduler *s)
{
	const ObservGateResult *gate = &s->gate;

	s->check_gate_at = observ_monotonic_ms() + (gate->gate == OBSERV_GATE_BUSY ? BUSY_MS : RECHECK_MS);
	if (gate->gate == OBSERV_GATE_OPEN && observ_log_state_changes(&s->said, "open"))
		ereport(LOG, (errmsg("observ works in database \"%s\"", observ_worker_database_name())));
	if ((gate->gate == OBSERV_GATE_CLOSED || gate->gate == OBSERV_GATE_DISARMED) &&
		observ_log_state_changes(&s->said, gate->reason))
		ereport(LOG,
				(errmsg("observ idles in database \"%s\": %s", observ_worker_database_name(), gate->reason),
				 errhint("%s", gate->hint)));
	/* The launcher starts another when it is armed again. Staying would cost a worker slot, which its scanner may need. */
	if (gate->gate == OBSERV_GATE_DISARMED && observ_databases[0] == '\0')
		proc_exit(0);
}

/* Looks at the gate, and at how the jobs stand when it is open. */
static void
look(void *arg)
{
	Scheduler *s = arg;

	observ_gate(&s->gate);
	if (s->gate.gate == OBSERV_GATE_OPEN)
		observ_job_load(s->slots, s->loaded_for != s->gate.extension);
}

static void
look_at_gate(Scheduler *s)
{
	ErrorData *error;

	s->gate.gate = OBSERV_GATE_BUSY;
	error = observ_in_transaction(look, s);
	if (error == NULL && s->gate.gate == OBSERV_GATE_OPEN)
		s->loaded_for = s->gate.extension;
	if (error != NULL) {
		s->gate.gate = OBSERV_GATE_CLOSED;
		strlcpy(s->gate.reason, error->message, sizeof(s->gate.reason));
		strlcpy(s->gate.hint, error->hint ? error->hint : "observ looks again every minute.",
				sizeof(s->gate.hint));
	}
	note_gate(s);
}

static void
reschedule(void *arg)
{
	Scheduler *s = arg;

	observ_gate(&s->gate);
	if (s->gate.gate == OBSERV_GATE_OPEN)
		observ_job_reschedule(s->slots);
}

/* The configuration was reloaded. */
static void
adopt_settings(Scheduler *s)
{
	observ_worker_pin_settings();
	if (s->gate.gate != OBSERV_GATE_OPEN)
		s->check_gate_at = 0;
	/* An error here (a lock, most likely) only leaves a stale next_run until the job has run. */
	else if (observ_in_transaction(reschedule, s) == NULL)
		note_gate(s);
}

/* The job that is due first. */
static ObservJobSlot *
first_due(Scheduler *s)
{
	ObservJobSlot *first = &s->slots[0];

	for (int i = 1; i < observ_job_count; i++)
		if (observ_job_due(&s->slots[i]) < observ_job_due(first))
			first = &s->slots[i];
	return first;
}

/* Whether observ.reset_job() could change anything for a job. */
static bool
any_trouble(const Scheduler *s)
{
	for (int i = 0; i < observ_job_count; i++)
		if (s->slots[i].disabled || s->slots[i].failures > 0)
			return true;
	return false;
}

/* The same of observ.use_bgworker(). */
static bool
any_left_to_cron(const Scheduler *s)
{
	for (int i = 0; i < observ_job_count; i++)
		if (s->slots[i].cron_check != 0)
			return true;
	return false;
}

/*
 * Waits until a job is due. A latch that is set is all that observ.resume(), observ.reset_job() and observ.use_bgworker() tell us, and a
 * job that waits for a lock, or for anything, resets it: so while a job is in trouble we look from time to time as well.
 */
static void
wait_for(Scheduler *s, int64 due)
{
	bool trouble = s->gate.gate == OBSERV_GATE_OPEN && any_trouble(s);
	bool woken = observ_worker_wait(trouble ? Min(due, observ_monotonic_ms() + TROUBLE_MS) : due);

	s->woken |= woken;
	if (trouble || (woken && (s->gate.gate != OBSERV_GATE_OPEN || any_left_to_cron(s))))
		look_at_gate(s);
}

/* Two launchers can have started one each (see launcher.c): the older stays. */
static bool
is_doubled(void)
{
	ObservProcess *schedulers;
	int count = observ_list_processes(OBSERV_SCHEDULER, &schedulers);

	for (int i = 0; i < count; i++)
		if (schedulers[i].database == MyDatabaseId && schedulers[i].pid < MyProcPid)
			return true;
	return false;
}

static void
run(Scheduler *s, ObservJobSlot *slot)
{
	observ_job_run(slot, &s->gate);
	if (slot->changed && slot->job->then != NULL)
		observ_job_hurry(&s->slots[observ_job_by_name(slot->job->then)]);
	if (s->gate.gate == OBSERV_GATE_OPEN && s->gate.extension != s->loaded_for)
		look_at_gate(s);
	note_gate(s);
	/* Interrupts and a changed configuration are answered between jobs that are all due. */
	s->woken |= observ_worker_wait(0);
}

static void
run_or_wait(Scheduler *s)
{
	ObservJobSlot *slot = first_due(s);
	int64 due = observ_job_due(slot);

	if (s->gate.gate != OBSERV_GATE_OPEN)
		due = s->check_gate_at;
	else {
		observ_notifier_keep(s->woken);
		s->woken = false;
	}
	if (observ_monotonic_ms() < due)
		wait_for(s, s->gate.gate == OBSERV_GATE_OPEN ? Min(due, observ_notifier_keep_at()) : due);
	else if (s->gate.gate != OBSERV_GATE_OPEN)
		look_at_gate(s);
	else
		run(s, slot);
}

void
observ_scheduler_main(Datum main_arg)
{
	Scheduler *s = MemoryContextAllocZero(TopMemoryContext, sizeof(Scheduler));
	MemoryContext turn_context =
		AllocSetContextCreate(TopMemoryContext, "observ scheduler turn", ALLOCSET_DEFAULT_SIZES);
	int64 started = observ_monotonic_ms();

	observ_worker_connect(main_arg);
	before_shmem_exit(observ_job_on_exit, 0);
	s->slots = MemoryContextAllocZero(TopMemoryContext, sizeof(ObservJobSlot) * observ_job_count);
	for (int i = 0; i < observ_job_count; i++)
		s->slots[i].job = &observ_jobs[i];
	pgstat_report_activity(STATE_IDLE, NULL);
	s->gate.gate = OBSERV_GATE_CLOSED;
	for (;;) {
		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		if (observ_worker_was_poked() || is_doubled() || observ_monotonic_ms() - started > RECYCLE_MS)
			proc_exit(0);
		if (observ_worker_config_changed())
			adopt_settings(s);
		run_or_wait(s);
	}
}
