/* observ's own processes, found in PostgreSQL's process table: no shared memory of ours that could go stale. */
#ifndef OBSERV_EXT_PROCESSES_H
#define OBSERV_EXT_PROCESSES_H

#define OBSERV_LAUNCHER  "observ launcher" /* bgw_type, shown as pg_stat_activity.backend_type */
#define OBSERV_SCANNER   "observ scanner"
#define OBSERV_SCHEDULER "observ scheduler"

/*
 * Pid of the process of that type connected to that database (InvalidOid: any), 0 when there is none.
 * Reads the current state of the process table, not this transaction's statistics snapshot.
 */
extern int observ_find_process(const char *bgw_type, Oid database);

/* Sets the latch of every such process; a no-op where none runs. */
extern void observ_wake_process(const char *bgw_type, Oid database);

/* Wakes launcher and this database's scheduler when the current transaction commits. */
extern void observ_wake_workers_at_commit(void);

#endif
