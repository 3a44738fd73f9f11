/*
 * Arming: whether observ may act by itself in this database, and the functions that switch it, observ.pause() and
 * the catalog half of observ.resume().
 * What does not belong here: checking the tables before resuming (partitions_check.c), starting processes (src/bgworker).
 *
 * The flag is the per-database setting observ.armed = '<system identifier>/<database oid>'. It lives in a shared catalog, so that one
 * scanner can find every armed database without connecting to each; it is not copied by CREATE DATABASE … TEMPLATE; a dump that carries
 * it (pg_dump --create) is restored under another oid or cluster and no longer matches. So each kind of copy comes up paused.
 */
#include "postgres.h"

#include "ext/arming.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_db_role_setting.h"
#include "commands/dbcommands.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#define ARMED_SETTING "observ.armed="
#define PAUSED_VALUE  "paused"

OBSERV_SQL_FUNCTION(observ_pause);

static char *
armed_value(Oid database)
{
	return psprintf(UINT64_FORMAT "/%u", GetSystemIdentifier(), database);
}

bool
observ_armed_value_matches(const char *value, Oid database)
{
	char *expected = armed_value(database);
	bool matches = strcmp(value, expected) == 0;

	pfree(expected);
	return matches;
}

/* The value of observ.armed in pg_db_role_setting for this database and all roles; NULL when there is none. */
static char *
stored_value(void)
{
	Relation rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	char *result = NULL;

	ScanKeyInit(&key[0], Anum_pg_db_role_setting_setdatabase, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(MyDatabaseId));
	ScanKeyInit(&key[1], Anum_pg_db_role_setting_setrole, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(InvalidOid));
	scan = systable_beginscan(rel, DbRoleSettingDatidRolidIndexId, true, NULL, 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple)) {
		bool isnull;
		Datum settings =
			heap_getattr(tuple, Anum_pg_db_role_setting_setconfig, RelationGetDescr(rel), &isnull);

		if (!isnull) {
			Datum *elems;
			int nelems;

			deconstruct_array(DatumGetArrayTypeP(settings), TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL,
							  &nelems);
			for (int i = 0; i < nelems; i++) {
				char *setting = TextDatumGetCString(elems[i]);

				if (strncmp(setting, ARMED_SETTING, strlen(ARMED_SETTING)) == 0)
					result = setting + strlen(ARMED_SETTING);
			}
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

ObservArming
observ_arming(const char **reason)
{
	char *value;

	*reason = "";
	if (!observ_enabled) {
		*reason = "observ.enabled is off in this cluster";
		return OBSERV_DISABLED;
	}
	value = stored_value();
	if (value == NULL) {
		*reason = "this database is a restored or cloned copy";
		return OBSERV_COPY;
	}
	if (strcmp(value, PAUSED_VALUE) == 0) {
		*reason = "observ.pause() was called";
		return OBSERV_PAUSED;
	}
	if (!observ_armed_value_matches(value, MyDatabaseId)) {
		*reason = "this database is a copy of one in another cluster, or under another name";
		return OBSERV_COPY;
	}
	return OBSERV_ARMED;
}

void
observ_require_armed(void)
{
	const char *reason;
	ObservArming state = observ_arming(&reason);

	if (state == OBSERV_ARMED)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("observ is paused in database \"%s\"", get_database_name(MyDatabaseId)),
			 errdetail("%s.", reason),
			 state == OBSERV_DISABLED ? errhint("Set observ.enabled = on and reload the configuration.")
									  : errhint("Run SELECT observ.resume() in it.")));
}

/*
 * The setting belongs to superusers and database owners; the SQL functions that lead here have their own grants.
 * NULL takes it away.
 */
static void
store_value(const char *value)
{
	Oid user;
	int context;
	char *database = get_database_name(MyDatabaseId);
	char *command = value == NULL
						? psprintf("ALTER DATABASE %s RESET observ.armed", quote_identifier(database))
						: psprintf("ALTER DATABASE %s SET observ.armed = %s", quote_identifier(database),
								   quote_literal_cstr(value));

	/* Else the second of two sessions would fail with "tuple concurrently updated". */
	observ_wait_for_lock(OBSERV_LOCK_ARMING);
	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, context | SECURITY_LOCAL_USERID_CHANGE);
	observ_spi_utility(command);
	SetUserIdAndSecContext(user, context);
	observ_wake_workers_at_commit();
}

void
observ_arm(void)
{
	store_value(armed_value(MyDatabaseId));
}

void
observ_disarm(void)
{
	store_value(NULL);
}

/*
 * observ.pause() → void: from the commit on, no job runs in this database and agents are told to wait.
 */
Datum
observ_pause(PG_FUNCTION_ARGS)
{
	observ_require_versions();
	store_value(PAUSED_VALUE);
	PG_RETURN_VOID();
}
