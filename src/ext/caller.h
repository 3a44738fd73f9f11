/* Which VPSs the caller of a function may write rows of. */
#ifndef OBSERV_EXT_CALLER_H
#define OBSERV_EXT_CALLER_H

#include "fmgr.h"
#include "utils/timestamp.h"

/* Whether a role may write rows of any VPS: writers, admins, owner and superusers. Else it is an agent's. */
extern bool observ_writes_any_vps(Oid role);

/* Whether a role is enrolled for the VPS, and that is not retired. Needs SPI_connect(), and the right to read observ.vps. */
extern bool observ_is_enrolled(Oid role, const char *vps_name);

/* Raises 42501 unless one of the two holds. */
extern void observ_require_vps(Oid role, const char *vps_name);

/*
 * The time that a role gives for what it reports, argument `arg` of a function; NULL: that of the transaction. An agent whose clock is
 * ahead by more than observ.max_future_skew gets now, so that nothing of its stays new for ever. Writers mean what they say. Raises 22008
 * when it is not finite; `what` is reported: "an event".
 */
extern TimestampTz observ_reported_time(FunctionCallInfo fcinfo, int arg, Oid role, const char *what);

#endif
