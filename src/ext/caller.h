/* Which VPSs the caller of a function may write rows of. */
#ifndef OBSERV_EXT_CALLER_H
#define OBSERV_EXT_CALLER_H

/* Whether a role may write rows of any VPS: writers, admins, owner and superusers. Else it is an agent's. */
extern bool observ_writes_any_vps(Oid role);

/* Whether a role is enrolled for the VPS, and that is not retired. Needs SPI_connect(), and the right to read observ.vps. */
extern bool observ_is_enrolled(Oid role, const char *vps_name);

/* Raises 42501 unless one of the two holds. */
extern void observ_require_vps(Oid role, const char *vps_name);

#endif
