/* What every periodic job asks before it does anything. */
#ifndef OBSERV_EXT_JOB_GUARD_H
#define OBSERV_EXT_JOB_GUARD_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* First argument of a job's function: the time it is to act for; now when NULL or left out. Raises 22008 when it is infinite. */
extern TimestampTz observ_job_time(FunctionCallInfo fcinfo);

/*
 * Timers never run backwards (alerting.md 2.11): a job that is asked for a time before its latest one acts as of that. A clock that went back
 * further than this is believed: waiting for it would be worse.
 */
#define OBSERV_BELIEVED_BACK_US (INT64CONST(600) * USECS_PER_SEC)

/*
 * NULL when the job may go on: it then holds its advisory lock until the transaction ends. Else the status that the job's row
 * is to have: standby, paused, or busy (another session has the lock). Raises when library, SQL and layout don't belong together.
 */
extern const char *observ_job_guard(int lock);

#endif
