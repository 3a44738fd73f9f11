/*
 * The registry of VPSs: enrolling one and giving a role the right to write its rows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

OBSERV_SQL_FUNCTION(observ_enroll_vps);

static const char enroll_sql[] =
	"INSERT INTO observ.vps AS v (vps_name, agent_role, labels, expected_interval) "
	"VALUES ($1, $2, coalesce($3, '{}'), $4) ON CONFLICT (vps_name) DO UPDATE SET "
	"agent_role = coalesce($2, v.agent_role), labels = coalesce($3, v.labels), "
	"expected_interval = coalesce($4, v.expected_interval), status = 'active'";

/*
 * A role for one agent: it can log in twice (old and new connection of one agent), and a statement or an open transaction of its
 * that hangs is ended, so that a broken agent holds nothing for long.
 */
static void
create_agent_role(const char *role)
{
	const char *name = quote_identifier(role);

	observ_spi(SPI_OK_UTILITY, psprintf("CREATE ROLE %s LOGIN CONNECTION LIMIT 2 IN ROLE observ_agent", name),
			   0, NULL, NULL, NULL);
	observ_spi(SPI_OK_UTILITY, psprintf("ALTER ROLE %s SET statement_timeout = '10s'", name), 0, NULL, NULL,
			   NULL);
	observ_spi(SPI_OK_UTILITY,
			   psprintf("ALTER ROLE %s SET idle_in_transaction_session_timeout = '10s'", name), 0, NULL, NULL,
			   NULL);
}

/* Runs as the caller: creating and granting roles needs the caller's own right to do so. */
static void
prepare_role(const char *role)
{
	Oid oid = get_role_oid(role, true);

	if (!OidIsValid(oid))
		create_agent_role(role);
	else if (!is_member_of_role_nosuper(oid, get_role_oid("observ_agent", false)))
		observ_spi(SPI_OK_UTILITY, psprintf("GRANT observ_agent TO %s", quote_identifier(role)), 0, NULL,
				   NULL, NULL);
}

/*
 * observ.enroll_vps(vps_name, agent_role, labels, expected_interval); see its COMMENT.
 * Errors: 22004 without a name, 42501 when the caller may not create roles, 23514 for bad labels or intervals.
 */
Datum
observ_enroll_vps(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {TEXTOID, NAMEOID, JSONBOID, INTERVALOID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types)];

	observ_require_versions();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("vps_name must not be null")));
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(0)) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("vps_name must not be empty")));
	for (size_t i = 0; i < lengthof(types); i++) {
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	SPI_connect();
	if (!PG_ARGISNULL(1))
		prepare_role(NameStr(*PG_GETARG_NAME(1)));
	observ_spi(SPI_OK_INSERT, enroll_sql, lengthof(types), types, values, nulls);
	SPI_finish();
	PG_RETURN_VOID();
}
