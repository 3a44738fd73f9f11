/*
 * Who calls a function that appends rows, and for which VPSs that role may speak.
 * What does not belong here: rows that come as plain INSERTs, which row-level security guards (sql/, policies).
 */
#include "postgres.h"

#include "ext/caller.h"

#include "catalog/pg_type.h"
#include "ext/gucs.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static const char enrolled_sql[] =
	"SELECT 1 FROM observ.vps WHERE vps_name = $1 AND agent_role = $2 AND status <> 'retired'";

bool
observ_caller_is_writer(Oid caller)
{
	return has_privs_of_role(caller, get_role_oid("observ_writer", false)) ||
		   has_privs_of_role(caller, get_role_oid("observ_owner", false));
}

void
observ_require_own_vps(const char *vps_name, Oid caller)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TEXTOID, NAMEOID};
	char *role = GetUserNameFromId(caller, false);
	Datum values[2];

	values[0] = CStringGetTextDatum(vps_name);
	values[1] = DirectFunctionCall1(namein, CStringGetDatum(role));
	if (observ_spi_kept(&plan, SPI_OK_SELECT, enrolled_sql, 2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not write rows of VPS \"%s\"", role, vps_name),
				 errhint("SELECT observ.enroll_vps(%s, agent_role => %s), as a member of observ_admin.",
						 quote_literal_cstr(vps_name), quote_literal_cstr(role))));
}

TimestampTz
observ_reported_time(TimestampTz at, Oid caller)
{
	TimestampTz now = GetCurrentTimestamp();

	return at > now + observ_max_future_skew * USECS_PER_SEC && !observ_caller_is_writer(caller) ? now : at;
}
