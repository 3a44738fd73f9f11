/* One piece of work that may fail without taking the rest of its transaction along. */
#ifndef OBSERV_EXT_SUBTRANSACTION_H
#define OBSERV_EXT_SUBTRANSACTION_H

#include "utils/elog.h"

/*
 * Runs work(arg) in a subtransaction. NULL when it went well, else the error (in the caller's memory context), after undoing what was
 * done. Cancels and shutdowns are thrown on: they end the job.
 */
extern ErrorData *observ_in_subtransaction(void (*work)(void *), void *arg);

/* The same, but what was done in the database and to settings is undone in any case: for looking, with code that is not ours. */
extern ErrorData *observ_in_undone_subtransaction(void (*work)(void *), void *arg);

#endif
