/* What every periodic job asks before it does anything. */
#ifndef OBSERV_EXT_JOB_GUARD_H
#define OBSERV_EXT_JOB_GUARD_H

#include "datatype/timestamp.h"
#include "fmgr.h"

/* First argument of a job's function: the time it is to act for; now when NULL or left out. Raises 22008 when it is infinite. */
extern TimestampTz observ_job_time(FunctionCallInfo fcinfo);

/*
 * Time that timers go by: they never run backwards (alerting.md 2.11), so a time shortly before that of the last run counts as that. A clock that went
 * back further than ten minutes is believed: waiting for it would be worse.
 */
extern TimestampTz observ_timer_time(TimestampTz asked, TimestampTz last_run);

/*
 * NULL when the job may go on: it then holds its advisory lock until the transaction ends. Else the status that the job's row
 * is to have: standby, paused, or busy (another session has the lock). Raises when library, SQL and layout don't belong together.
 */
extern const char *observ_job_guard(int lock);

#endif
