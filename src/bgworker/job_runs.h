/* Rows of observ.job_runs: what each job did last. */
#ifndef OBSERV_BGWORKER_JOB_RUNS_H
#define OBSERV_BGWORKER_JOB_RUNS_H

#include "bgworker/jobs.h"
#include "datatype/timestamp.h"

/* What the scheduler needs to know of a row after a start, and what observ.job_status shows of it. */
typedef struct ObservJobState {
	bool running; /* marked as running: by a run that is under way, or that took the process with it */
	int consecutive_failures;
	int consecutive_crashes;
	bool disabled;
} ObservJobState;

/*
 * Each of these changes the row of one job, creating it where needed. They need a transaction with a snapshot, and run as the
 * owner of observ's tables (observ_as_owner_begin()), as whom triggers would run that somebody made. They use the
 * executor's single-row interface, not SQL: nothing to parse, nothing in pg_stat_statements, yet constraints hold.
 */
extern void observ_job_runs_read(const ObservJob *job, ObservJobState *state);
extern void observ_job_runs_begin(const ObservJob *job);
extern void observ_job_runs_success(const ObservJob *job, const char *result, TimestampTz next_run);
/* soft: a lock conflict or a cancel, counted as a retry and not as an error. */
extern void observ_job_runs_failure(const ObservJob *job, const ErrorData *error, bool soft,
									TimestampTz next_run);
/* The last run took its process with it. Disables the job when that happened `limit` times in a row. */
extern void observ_job_runs_crash(const ObservJob *job, int limit, TimestampTz next_run);
/* The job's period has changed. */
extern void observ_job_runs_reschedule(const ObservJob *job, TimestampTz next_run);
/* Forgets errors and crashes in a row and enables the job; false when it has no row yet. */
extern bool observ_job_runs_reset(const ObservJob *job);
/*
 * The run was ended by an orderly shutdown of the worker. Waits for no lock, and leaves the mark where it can't have one;
 * for exit callbacks.
 */
extern void observ_job_runs_interrupted(const ObservJob *job);

#endif
