/*
 * What every periodic job asks before it does anything. What does not belong here: when jobs run (src/bgworker), what they do.
 */
#include "postgres.h"

#include "ext/job_guard.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "ext/arming.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "utils/timestamp.h"

#define BELIEVED_BACK_US (INT64CONST(600) * USECS_PER_SEC)

TimestampTz
observ_job_time(FunctionCallInfo fcinfo)
{
	TimestampTz at = PG_ARGISNULL(0) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(0);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time of a job must be finite")));
	return at;
}

TimestampTz
observ_timer_time(TimestampTz asked, TimestampTz last_run)
{
	bool shortly_before =
		!TIMESTAMP_NOT_FINITE(last_run) && last_run > asked && last_run - asked <= BELIEVED_BACK_US;

	return shortly_before ? last_run : asked;
}

const char *
observ_job_guard(int lock)
{
	const char *reason;

	if (RecoveryInProgress())
		return "standby";
	observ_require_versions();
	if (observ_arming(&reason) != OBSERV_ARMED)
		return "paused";
	if (!observ_try_job_lock(lock))
		return "busy";
	return NULL;
}
