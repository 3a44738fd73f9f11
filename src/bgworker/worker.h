/* What every background worker of observ does alike: signals, waiting, transactions that report their error. */
#ifndef OBSERV_BGWORKER_WORKER_H
#define OBSERV_BGWORKER_WORKER_H

#include "postmaster/bgworker.h"
#include "utils/elog.h"

/* Milliseconds of a clock that nobody can set; only differences mean anything. */
extern int64 observ_monotonic_ms(void);

/* "Never" as a deadline for observ_worker_wait(). */
#define OBSERV_NEVER PG_INT64_MAX

/* First call in a worker's main function: installs the signal handlers and unblocks signals. */
extern void observ_worker_init(void);

/*
 * Waits until the deadline (observ_monotonic_ms()) or until the latch is set, answers interrupts, reloads the configuration.
 * Returns whether the latch was set. Exits when the postmaster died.
 */
extern bool observ_worker_wait(int64 deadline);

/* Between two steps: answers interrupts, reloads the configuration. observ_worker_wait() does so by itself. */
extern void observ_worker_interrupts(void);

/* True when SIGUSR2 arrived since the last call. To the launcher it means "look again", to others "leave". */
extern bool observ_worker_was_poked(void);

/* True when the configuration was reloaded since the last call. */
extern bool observ_worker_config_changed(void);

/*
 * Gives settings that a role, a database or the configuration may have the values that observ's own statements need. For workers of one
 * database: after the connection is made, and after each reload.
 */
extern void observ_worker_pin_settings(void);

/* The database that such a worker was started for, as it was called then. */
extern const char *observ_worker_database_name(void);

typedef void (*ObservStep)(void *arg);

/*
 * Runs step in a transaction of its own with a snapshot. NULL on success; else everything is rolled back and
 * the error is returned (in the caller's memory context), reported to nobody. Identity changes of the step last until the
 * transaction has ended, so that deferred triggers run under them.
 */
extern ErrorData *observ_in_transaction(ObservStep step, void *arg);

/*
 * What a worker last said about a subject, so that each change of state is logged once. Zero-initialised.
 */
typedef struct ObservLogState {
	char key[160];
} ObservLogState;

/* True when key differs from the last one; remembers it. NULL: nothing to say from now on. */
extern bool observ_log_state_changes(ObservLogState *state, const char *key);

/* Milliseconds until the next attempt after that many failures in a row: 1 s, 2 s, 4 s … at most limit_ms. */
extern int64 observ_backoff_ms(int failures, int64 limit_ms);

/* A worker of observ with library, type and flags filled in. */
extern void observ_worker_describe(BackgroundWorker *worker, const char *type, const char *function);

/* … that stays in that database, as that role (InvalidOid: the bootstrap superuser), and whose life the caller is told of. */
extern void observ_worker_settle(BackgroundWorker *worker, Oid database, const char *name, Oid role);

/* What such a worker does first: signals, connection, settings. */
extern void observ_worker_connect(Datum main_arg);

/* The role that it was started as. */
extern Oid observ_worker_role_oid(void);

#endif
