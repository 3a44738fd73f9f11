/*
 * Who may write rows of which VPS, for functions that write as the owner of the tables. What does not belong here: plain INSERTs, which
 * row-level security guards by the same rule.
 */
#include "postgres.h"

#include "ext/caller.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/gucs.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

static const char enrolled_sql[] =
	"SELECT 1 FROM observ.vps WHERE vps_name = $1 AND agent_role = $2 AND status <> 'retired'";

bool
observ_writes_any_vps(Oid role)
{
	return has_privs_of_role(role, get_role_oid("observ_writer", false)) ||
		   has_privs_of_role(role, get_role_oid("observ_owner", false));
}

bool
observ_is_enrolled(Oid role, const char *vps_name)
{
	static SPIPlanPtr plan = NULL;
	Datum values[] = {
		CStringGetTextDatum(vps_name),
		DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false))),
	};

	return observ_spi_kept(&plan, SPI_OK_SELECT, enrolled_sql, lengthof(values), (Oid[]){TEXTOID, NAMEOID},
						   values, NULL) > 0;
}

void
observ_require_vps(Oid role, const char *vps_name)
{
	if (observ_writes_any_vps(role) || observ_is_enrolled(role, vps_name))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("role \"%s\" may not write rows of VPS \"%s\"", GetUserNameFromId(role, false), vps_name),
			 errhint("SELECT observ.enroll_vps(%s, agent_role => %s), as a member of observ_admin.",
					 quote_literal_cstr(vps_name), quote_literal_cstr(GetUserNameFromId(role, false)))));
}

TimestampTz
observ_reported_time(FunctionCallInfo fcinfo, int arg, Oid role, const char *what)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz at = PG_ARGISNULL(arg) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(arg);

	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time of %s must be finite", what)));
	return at > now + observ_max_future_skew * USECS_PER_SEC && !observ_writes_any_vps(role) ? now : at;
}
