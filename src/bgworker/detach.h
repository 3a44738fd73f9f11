/* What the scheduler does after observ.apply_retention() found partitions in use. */
#ifndef OBSERV_BGWORKER_DETACH_H
#define OBSERV_BGWORKER_DETACH_H

#include "bgworker/job_run.h"

/*
 * Detaches what observ.apply_retention() could not drop: from the first moment on no new query sees those rows, and once the last old
 * one has ended nothing keeps the partition from being dropped. Finishes what an earlier call, or one that was killed, had to leave half
 * done. Takes a few seconds at most, in transactions of its own; errors are logged once.
 */
extern void observ_detach_blocked(ObservGateResult *gate);

#endif
