/* When a database has a notifier, and the scheduler's part in it. */
#ifndef OBSERV_BGWORKER_NOTIFIER_H
#define OBSERV_BGWORKER_NOTIFIER_H

#include "bgworker/worker.h"

/*
 * Whether there is a channel that something can be sent through: what a notifier is started for, and ends without. Needs a transaction and an
 * open gate.
 */
extern bool observ_notifier_wanted(void);

/* For the scheduler, in each turn with an open gate: starts this database's notifier when one is wanted and none runs. woken: look at once. */
extern void observ_notifier_keep(bool woken);

/* When to call that again, observ_monotonic_ms(). */
extern int64 observ_notifier_keep_at(void);

#endif
