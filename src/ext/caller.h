/* Who calls a function that appends rows: a writer of everything, or an agent with VPSs of its own. */
#ifndef OBSERV_EXT_CALLER_H
#define OBSERV_EXT_CALLER_H

#include "datatype/timestamp.h"

/* Whether the caller may write rows of any VPS: writers, admins, owner and superusers. Else it is an agent. */
extern bool observ_caller_is_writer(Oid caller);

/*
 * Raises 42501 unless the role is enrolled for the VPS and that is not retired. Needs SPI_connect() and observ_as_owner_begin():
 * agents may not read the registry.
 */
extern void observ_require_own_vps(const char *vps_name, Oid caller);

/*
 * The time that a caller gives for what it reports: an agent whose clock is ahead by more than observ.max_future_skew gets now, so that
 * nothing of its stays new for ever. Writers mean what they say.
 */
extern TimestampTz observ_reported_time(TimestampTz at, Oid caller);

#endif
