/* Which rows are new since the last pass of a job: the horizon of what has arrived. */
#ifndef OBSERV_EXT_ARRIVALS_H
#define OBSERV_EXT_ARRIVALS_H

#include "datatype/timestamp.h"

/*
 * Every row received (received_at) before the returned time, by whatever transaction, is visible to a snapshot taken after this call,
 * or will never be. So a job that reads the rows received in [horizon of its last pass, this horizon) reads each row exactly once, and one
 * that reads from the last horizon on with no upper end misses none. It lags behind by as long as the oldest writing transaction
 * lasts. The caller's own transaction does not hold it back: its rows are visible to itself. What escapes: a received_at written by hand, a
 * clock stepped back, prepared transactions, and writers with track_activities off. Raises 25001 in a REPEATABLE READ transaction.
 */
extern TimestampTz observ_arrival_horizon(void);

#endif
