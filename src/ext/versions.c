/*
 * The version guard: library (observ.so), SQL objects (pg_extension.extversion) and table layout (observ.layout_version) are upgraded
 * apart from each other, by a package, by ALTER EXTENSION and by a restore. Every entry point asks here first.
 */
#include "postgres.h"

#include "ext/versions.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

OBSERV_SQL_FUNCTION(observ_version);

#define NO_LAYOUT    (-1) /* no table observ.layout_version */
#define EMPTY_LAYOUT (-2) /* a table without a row, as a restore of the schema alone leaves it */

Oid
observ_extension_oid(void)
{
	return get_extension_oid("observ", true);
}

char *
observ_sql_version(void)
{
	Relation rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	char *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("observ"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple)) {
		bool isnull;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

int
observ_layout_version(void)
{
	Oid schema = get_namespace_oid("observ", true);
	Oid relid = OidIsValid(schema) ? get_relname_relid("layout_version", schema) : InvalidOid;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	int version = NO_LAYOUT;

	if (!OidIsValid(relid))
		return NO_LAYOUT;
	rel = table_open(relid, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	tuple = systable_getnext(scan);
	version = EMPTY_LAYOUT;
	if (HeapTupleIsValid(tuple)) {
		bool isnull;
		Datum value = heap_getattr(tuple, 1, RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = DatumGetInt32(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

char *
observ_versions_mismatch(char **hint)
{
	char *sql = observ_sql_version();
	int layout = observ_layout_version();

	*hint = NULL;
	if (layout == NO_LAYOUT) {
		*hint =
			"Restore the tables from a dump, or run DROP EXTENSION observ CASCADE; SET row_security = on; "
			"CREATE EXTENSION observ.";
		return pstrdup("the tables of observ are missing");
	}
	if (layout == EMPTY_LAYOUT) {
		*hint =
			"Only the schema of a dump was restored here, or the restore is not finished: restore the data "
			"of schemas observ and observ_data too.";
		return pstrdup("table observ.layout_version is empty");
	}
	if (sql == NULL || strcmp(sql, OBSERV_SQL_VERSION) != 0)
		*hint = "Install the observ library and SQL files of one version, reconnect, and run ALTER EXTENSION "
				"observ UPDATE.";
	else if (layout > OBSERV_LAYOUT_VERSION)
		*hint = "The tables come from a newer observ: install that version.";
	else if (layout < OBSERV_LAYOUT_VERSION)
		*hint = "The tables come from an older observ: run ALTER EXTENSION observ UPDATE.";
	else
		return NULL;
	return psprintf(
		"library %s works with SQL objects %s and table layout %d; this database has SQL objects %s and "
		"table layout %d",
		OBSERV_LIBRARY_VERSION, OBSERV_SQL_VERSION, OBSERV_LAYOUT_VERSION, sql ? sql : "(none)", layout);
}

void
observ_require_versions(void)
{
	static LocalTransactionId checked = InvalidLocalTransactionId;
	char *mismatch;
	char *hint;

	if (checked == MyProc->lxid)
		return;
	mismatch = observ_versions_mismatch(&hint);
	if (mismatch != NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("observ's library, SQL objects and tables do not belong together"),
						errdetail("%s.", mismatch), errhint("%s", hint)));
	checked = MyProc->lxid;
}

/* observ.version() → text: version of the library that this session has loaded. */
Datum
observ_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(OBSERV_LIBRARY_VERSION));
}
