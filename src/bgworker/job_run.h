/* Running one job once, with everything that can go wrong. */
#ifndef OBSERV_BGWORKER_JOB_RUN_H
#define OBSERV_BGWORKER_JOB_RUN_H

#include "bgworker/jobs.h"
#include "bgworker/worker.h"

/* Whether jobs may run in this database now. */
typedef enum ObservGate {
	OBSERV_GATE_OPEN,
	OBSERV_GATE_BUSY,    /* the extension is being dropped: look again soon */
	OBSERV_GATE_CLOSED,  /* reason and hint say why; look again in a minute or when woken */
	OBSERV_GATE_DISARMED /* the same, and the launcher will hear of it when that changes */
} ObservGate;

typedef struct ObservGateResult {
	ObservGate gate;
	Oid extension;    /* changes when the extension was dropped and created anew */
	char reason[256]; /* of a closed gate */
	char hint[256];
} ObservGateResult;

/*
 * Looks whether the extension is installed, armed and of our version, and keeps it from being dropped until the end of the
 * transaction. Never waits for a lock on it.
 */
extern void observ_gate(ObservGateResult *result);

/* One job as the scheduler sees it. Times are observ_monotonic_ms(). */
typedef struct ObservJobSlot {
	const ObservJob *job;
	int64 last_start; /* 0: not since this scheduler started */
	int64 retry_at;   /* when to run out of turn, after a failure or for more to do; 0: not */
	int64 cron_check; /* pg_cron has the job: when to look whether that is still so; 0: it is ours */
	int failures;     /* in a row */
	int retries;      /* lock conflicts, cancels and blocked runs in a row */
	bool disabled;
	bool changed; /* the latest run: its row says changes > 0 */
	ObservLogState said;
} ObservJobSlot;

/* When the job, or a look at who has it, is due next: OBSERV_NEVER when it is off or disabled, 0 for at once. */
extern int64 observ_job_due(const ObservJobSlot *slot);

/*
 * Reads from observ.job_runs how the jobs stand. after_start: what is still marked as running has crashed, which is counted.
 * Needs a transaction and an open gate.
 */
extern void observ_job_load(ObservJobSlot *slots, bool after_start);

/* Writes down when the jobs are due, after a reload that may have changed their periods. Needs a transaction and an open gate. */
extern void observ_job_reschedule(const ObservJobSlot *slots);

/*
 * Runs the job once unless pg_cron has it, in transactions of its own, and records what came of it. *gate tells what was found on the way; unless it is
 * open, nothing ran. Errors are recorded, logged once per kind, and backed off.
 */
extern void observ_job_run(ObservJobSlot *slot, ObservGateResult *gate);

/* Somebody has something to do for the job: it is due before all others, unless it waits after a failure. */
extern void observ_job_hurry(ObservJobSlot *slot);

/* Exit callback: takes back the mark of a job that an orderly shutdown of the worker interrupts. */
extern void observ_job_on_exit(int code, Datum arg);

#endif
