/* Aligning times. What does not belong here: choosing steps, reading arguments. */
#ifndef OBSERV_EXT_TIMES_H
#define OBSERV_EXT_TIMES_H

#include "datatype/timestamp.h"

/* The latest multiple of step (µs) since 2000-01-01 00:00 UTC that is not after `at`. */
static inline TimestampTz
observ_floor_time(TimestampTz at, int64 step)
{
	int64 rest = at % step;

	return at - (rest < 0 ? rest + step : rest);
}

#endif
