/* The jobs of observ: what is done by itself, how often, by which SQL. */
#ifndef OBSERV_BGWORKER_JOBS_H
#define OBSERV_BGWORKER_JOBS_H

struct ObservGateResult;

typedef struct ObservJob {
	const char *name;             /* key in observ.job_runs */
	const char *period_parameter; /* GUC with the period */
	const int *period;            /* its value in seconds, 0: off */
	const char *command;          /* takes the time as its argument, returns one row that says what it did */
	/* What is done at top level after a run whose status was "blocked", before it is tried again soon; NULL: nothing. */
	void (*when_blocked)(struct ObservGateResult *gate);
	const char *then; /* job that is run at once after a run whose row says changes > 0; NULL: none */
	const char *
		until; /* column of its row: a time at which it is to run, if that comes before its period is over; NULL: none */
	bool movable; /* minutes are fine enough for it: observ.use_pg_cron() moves it to pg_cron */
} ObservJob;

extern const ObservJob observ_jobs[];
extern const int observ_job_count;

/* Index of the job of that name, -1 when there is none. */
extern int observ_job_by_name(const char *name);

#endif
