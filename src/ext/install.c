/*
 * What CREATE EXTENSION needs C for: roles of the cluster, and the last statement of the script, which hands the tables
 * over to the user. What does not belong here: anything that runs after installation.
 *
 * Why the tables stop being members: pg_dump does not dump the indexes, policies and reloptions of members, and DROP EXTENSION deletes
 * members without asking. Why a restore drops them again: the dump brings its own CREATE TABLEs (docs/backup.md).
 */
#include "postgres.h"

#include "catalog/objectaddress.h"
#include "commands/extension.h"
#include "ext/arming.h"
#include "ext/compat.h"
#include "ext/default_rules.h"
#include "ext/partitions.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_create_roles);
OBSERV_SQL_FUNCTION(observ_finish_install);

typedef struct Role {
	const char *name;
	const char *member_of; /* comma-separated, earlier entries or PostgreSQL's own; NULL: none */
} Role;

static const Role roles[] = {
	/* owns the tables, runs the queries of default rules, some over pg_stat_activity; nobody logs in as it */
	{"observ_owner", "pg_read_all_stats"},
	{"observ_reader", NULL},              /* reads everything */
	{"observ_writer", NULL},              /* appends rows of any VPS: scripts, gateways */
	{"observ_agent", NULL},               /* appends rows of the VPSs enrolled for the role */
	{"observ_operator", "observ_reader"}, /* day-to-day work */
	/* what the queries of a superuser's alert rules run as: they read everything, and are never a superuser */
	{"observ_rules", "observ_reader, pg_read_all_data, pg_monitor"},
	{"observ_admin", "observ_operator, observ_writer, observ_owner"},
};

/* Members of the extension that must stay members, so that no dump ever holds them. */
static const char *const kept_members[] = {"job_runs", "job_status", "default_rules"};

/* CREATE ROLE in two databases at once would collide on the unique index: wait for each other instead. */
static void
lock_roles(void)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, InvalidOid, OBSERV_LOCK_NAMESPACE, OBSERV_LOCK_ROLES, OBSERV_LOCK_CLASS);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Who can act as observ_owner can change every table. Roles of that name may have been there before us. */
static void
warn_of_doubtful_owner(void)
{
	if (observ_spi(SPI_OK_SELECT,
				   "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = 'observ_owner' AND rolcanlogin", 0,
				   NULL, NULL, NULL) > 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING_PRIVILEGE_NOT_GRANTED), errmsg("role \"observ_owner\" can log in"),
				 errdetail("It owns the tables of observ and existed before."),
				 errhint("ALTER ROLE observ_owner NOLOGIN unless that is what you want.")));
	if (observ_spi(SPI_OK_SELECT,
				   "SELECT string_agg(m.member::regrole::text, ', ' ORDER BY m.member::regrole::text) "
				   "FROM pg_catalog.pg_auth_members m WHERE m.roleid = 'observ_owner'::regrole "
				   "AND m.member <> 'observ_admin'::regrole HAVING count(*) > 0",
				   0, NULL, NULL, NULL) > 0)
		ereport(WARNING, (errcode(ERRCODE_WARNING_PRIVILEGE_NOT_GRANTED),
						  errmsg("role \"observ_owner\" has members other than observ_admin"),
						  errdetail("They can change every table of observ: %s.",
									SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
						  errhint("REVOKE observ_owner FROM them unless that is what you want.")));
}

/* observ_data._create_roles() */
Datum
observ_create_roles(PG_FUNCTION_ARGS)
{
	lock_roles();
	SPI_connect();
	for (size_t i = 0; i < lengthof(roles); i++) {
		if (!OidIsValid(get_role_oid(roles[i].name, true)))
			observ_spi(SPI_OK_UTILITY, psprintf("CREATE ROLE %s NOLOGIN", roles[i].name), 0, NULL, NULL,
					   NULL);
		if (roles[i].member_of != NULL)
			observ_spi(SPI_OK_UTILITY, psprintf("GRANT %s TO %s", roles[i].member_of, roles[i].name), 0, NULL,
					   NULL, NULL);
	}
	warn_of_doubtful_owner();
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * pg_restore and plain dumps begin with SET row_security = off and SET xmloption = content; nobody else has a reason to. The second is
 * there with --enable-row-security too. A role's or database's default does not count: the source must be the session itself.
 */
static bool
session_restores_a_dump(void)
{
	return observ_spi(SPI_OK_SELECT,
					  "SELECT 1 FROM pg_catalog.pg_settings WHERE (name = 'row_security' AND setting = 'off' "
					  "AND source IN ('session', 'client')) OR (name = 'xmloption' AND source = 'session')",
					  0, NULL, NULL, NULL) > 0;
}

/* Leaves in SPI_tuptable: qualified name and relkind of every relation that is a member and is not to stay one. */
static uint64
select_members(void)
{
	StringInfoData kept;

	initStringInfo(&kept);
	for (size_t i = 0; i < lengthof(kept_members); i++)
		appendStringInfo(&kept, "%s'%s'", i ? ", " : "", kept_members[i]);
	return observ_spi(
		SPI_OK_SELECT,
		psprintf("SELECT c.oid::pg_catalog.regclass::text, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' "
				 "THEN 'VIEW' "
				 "ELSE 'TABLE' END FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid "
				 "WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'e' "
				 "AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = %u "
				 "AND c.relname NOT IN (%s) ORDER BY c.relkind = 'v' DESC, c.oid",
				 CurrentExtensionObject, kept.data),
		0, NULL, NULL, NULL);
}

/* Runs `format` (a printf format that takes kind and name) for each member; ownership of sequences follows their table. */
static void
for_each_member(const char *format, bool skip_sequences)
{
	uint64 n = select_members();
	SPITupleTable *members = SPI_tuptable;

	for (uint64 i = 0; i < n; i++) {
		char *name = SPI_getvalue(members->vals[i], members->tupdesc, 1);
		char *kind = SPI_getvalue(members->vals[i], members->tupdesc, 2);

		if (skip_sequences && strcmp(kind, "SEQUENCE") == 0)
			continue;
		observ_spi(SPI_OK_UTILITY, psprintf(format, kind, name), 0, NULL, NULL, NULL);
	}
}

static void
hand_over(void)
{
	ObservMaintenance done;

	for_each_member("ALTER %s %s OWNER TO observ_owner", true);
	observ_arm();
	observ_maintain(GetCurrentTimestamp(), &done);
	for_each_member("ALTER EXTENSION observ DROP %s %s", false);
	observ_merge_rules();
	if (observ_find_process(OBSERV_LAUNCHER, InvalidOid) == 0)
		ereport(WARNING, (errcode(ERRCODE_WARNING), errmsg("no observ workers are running in this cluster"),
						  errdetail("Partitions and the fleet summary are not kept up by themselves."),
						  errhint("Add observ to shared_preload_libraries and restart the server, or run "
								  "SELECT observ.start_workers().")));
}

/* observ_data._finish_install(): see the file header. */
Datum
observ_finish_install(PG_FUNCTION_ARGS)
{
	if (!creating_extension)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("observ_data._finish_install() belongs to CREATE EXTENSION observ")));
	SPI_connect();
	if (session_restores_a_dump()) {
		for_each_member("DROP %s IF EXISTS %s", true);
		observ_disarm();
	} else
		hand_over();
	SPI_finish();
	PG_RETURN_VOID();
}
