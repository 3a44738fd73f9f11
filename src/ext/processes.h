/* observ's own processes, found in PostgreSQL's process table: no shared memory of ours that could go stale. */
#ifndef OBSERV_EXT_PROCESSES_H
#define OBSERV_EXT_PROCESSES_H

#define OBSERV_LAUNCHER  "observ launcher" /* bgw_type, shown as pg_stat_activity.backend_type */
#define OBSERV_SCANNER   "observ scanner"
#define OBSERV_SCHEDULER "observ scheduler"
#define OBSERV_NOTIFIER  "observ notifier"

/* Whether this server loaded the library through shared_preload_libraries; set once by _PG_init. */
extern bool observ_preloaded;

/*
 * Pid of the process of that type connected to that database (InvalidOid: any), 0 when there is none.
 * Reads the current state of the process table, not this transaction's statistics snapshot.
 */
extern int observ_find_process(const char *bgw_type, Oid database);

typedef struct ObservProcess {
	int pid;
	Oid database;
} ObservProcess;

/* All processes of that type, as a palloc'd array; the return value is their number. */
extern int observ_list_processes(const char *bgw_type, ObservProcess **processes);

/*
 * Sends a signal to every process of that type connected to that database (InvalidOid: any). Returns how many there were.
 * Processes that are gone by then don't count.
 */
extern int observ_signal_processes(const char *bgw_type, Oid database, int signal);

/*
 * The same of whatever stays connected to a database, schedulers and notifiers: one of them, 0 when there is none; and a signal to all of
 * them.
 */
extern int observ_find_resident(Oid database);
extern int observ_signal_residents(Oid database, int signal);

/* Sets the latch of this database's scheduler: it looks again at what it should do. A no-op where none runs. */
extern void observ_wake_scheduler(void);

/* Asks the launcher to look again which databases are armed. A no-op where none runs. */
extern void observ_wake_launcher(void);

/* Wakes launcher and what runs in this database when the current transaction commits. */
extern void observ_wake_workers_at_commit(void);

/* Wakes this database's notifier then, or its scheduler to start one: there is something to send, or a channel was changed. */
extern void observ_wake_notifier_at_commit(void);

#endif
