/* How the launcher is started and told to end. */
#ifndef OBSERV_BGWORKER_LAUNCHER_H
#define OBSERV_BGWORKER_LAUNCHER_H

#include "postmaster/bgworker.h"
#include "storage/lockdefs.h"

/* How often the armed databases are read when nobody says that they changed. */
#define OBSERV_RESCAN_MS 60000

/* Fills in the launcher. dynamic: started by observ.start_workers(), may be stopped for good by observ.stop_workers(). */
extern void observ_launcher_describe(BackgroundWorker *worker, bool dynamic);

/*
 * Cluster-wide advisory locks (first key OBSERV_LOCK_NAMESPACE, database 0). START: held by start_workers() and
 * stop_workers(), so that two sessions wait for each other. STOP: held by stop_workers() while it waits; a dynamic launcher
 * that finds it held ends for good.
 */
#define OBSERV_LOCK_START_WORKERS 101
#define OBSERV_LOCK_STOP_WORKERS  102

/* Takes such a lock until the end of the transaction; false when wait is false and another session has it. */
extern bool observ_cluster_lock(int key, LOCKMODE mode, bool wait);

#endif
