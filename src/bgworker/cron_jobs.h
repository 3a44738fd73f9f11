/* Which of observ's jobs pg_cron runs in this database: read from pg_cron's own tables, the only truth about it. */
#ifndef OBSERV_BGWORKER_CRON_JOBS_H
#define OBSERV_BGWORKER_CRON_JOBS_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* Names of our entries in cron.job: this and the name of the job. */
#define OBSERV_CRON_PREFIX "observ."

#define OBSERV_CRON_LAUNCHER "pg_cron launcher" /* backend_type */

/* An entry of cron.job for this database whose name begins with the prefix and whose role may act for the owner of observ's tables. */
typedef struct ObservCronEntry {
	int64 jobid;
	char *name; /* behind the prefix */
	char *schedule;
	char *username;
	bool active; /* false: a person switched it off with cron.alter_job() */
} ObservCronEntry;

/* Whether extension pg_cron is installed in this database, with tables of its own. */
extern bool observ_cron_installed(void);

/*
 * All such entries, as a list of palloc'd ObservCronEntry; NIL where pg_cron is not installed. Uses the active snapshot; no SQL and no
 * rights on pg_cron's schema are needed, so that the scheduler and readers of observ.job_status see every role's entries.
 */
extern List *observ_cron_entries(void);

/* The entry of that job: an active one where there are several; NULL when there is none. */
extern const ObservCronEntry *observ_cron_entry(List *entries, const char *job_name);

/* Whether the job is left to pg_cron: it has an entry, active or not. */
extern bool observ_cron_has(const char *job_name);

#endif
