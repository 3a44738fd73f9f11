/*
 * Verifying partitions after a restore, and observ.resume().
 *
 * A partition that was made between two phases of a restore ends up without indexes, and the parent's unique index stays invalid: duplicate
 * rows are accepted in silence (storage.md 2.1). So before observ works in a database again, every partition must have every index of
 * its table, and every index of the table must be valid.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "ext/arming.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "parser/parse_utilcmd.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_resume);

typedef struct Check {
	int leaves;
	int repaired;
} Check;

/* Creates the index of a partition that corresponds to parent_index, detached. Returns its oid. Errors: 23505 for duplicates. */
static Oid
create_leaf_index(Relation parent, Relation leaf, Relation parent_index)
{
	AttrMap *map = build_attrmap_by_name(RelationGetDescr(leaf), RelationGetDescr(parent));
	Oid constraint;
	IndexStmt *stmt = generateClonedIndexStmt(NULL, parent_index, map, &constraint);

	stmt->idxname = NULL;
	return DefineIndex(RelationGetRelid(leaf), stmt, InvalidOid, InvalidOid, InvalidOid, false, false, false,
					   false, true)
		.objectId;
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* Which partition, and what to do about duplicates: the error itself only names an index that does not exist afterwards. */
static void
leaf_error_context(void *arg)
{
	Oid *leaf = arg;
	char *name = qualified_name(*leaf);

	if (geterrcode() == ERRCODE_UNIQUE_VIOLATION)
		errhint("Delete the duplicate rows from %s, then run SELECT observ.resume() again.", name);
	errcontext("creating an index that partition %s lacks", name);
}

static void
check_leaf(Relation parent, Oid leaf_oid, List *parent_indexes, Check *check)
{
	Relation leaf = table_open(leaf_oid, ShareLock);
	ListCell *cell;
	ErrorContextCallback callback = {.callback = leaf_error_context, .arg = &leaf_oid};

	check->leaves++;
	foreach (cell, parent_indexes) {
		Oid parent_index = lfirst_oid(cell);
		Relation index;
		Oid created;

		if (OidIsValid(index_get_partition(leaf, parent_index)))
			continue;
		index = index_open(parent_index, AccessShareLock);
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		created = create_leaf_index(parent, leaf, index);
		error_context_stack = callback.previous;
		index_close(index, NoLock);
		CommandCounterIncrement();
		observ_spi(SPI_OK_UTILITY,
				   psprintf("ALTER INDEX %s ATTACH PARTITION %s", qualified_name(parent_index),
							qualified_name(created)),
				   0, NULL, NULL, NULL);
		check->repaired++;
	}
	table_close(leaf, NoLock);
}

static void
require_valid_indexes(const char *table, List *indexes)
{
	ListCell *cell;

	foreach (cell, indexes) {
		Oid index = lfirst_oid(cell);

		if (!get_index_isvalid(index))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							errmsg("index %s of observ.%s is not valid", qualified_name(index), table),
							errdetail("A restore was interrupted, or a partition's index is missing."),
							errhint("Restore again into an empty database, or drop and create the index.")));
	}
}

static void
check_table(const char *table, Check *check)
{
	Relation parent = table_open(observ_relid(table), ShareUpdateExclusiveLock);
	List *indexes = RelationGetIndexList(parent);
	List *leaves = find_inheritance_children(RelationGetRelid(parent), ShareLock);
	ListCell *cell;

	foreach (cell, leaves)
		check_leaf(parent, lfirst_oid(cell), indexes, check);
	CommandCounterIncrement();
	if (indexes == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("observ.%s has no index", table),
				 errdetail("The restore did not reach its post-data section."),
				 errhint("Finish the restore first.")));
	require_valid_indexes(table, indexes);
	table_close(parent, NoLock);
}

static void
check_tables(Check *check)
{
	ObservIdentity saved = observ_as_owner_begin();

	SPI_connect();
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		check_table(table->name, check);
	SPI_finish();
	observ_as_owner_end(&saved);
}

/* observ.resume() → one row; see its COMMENT. */
Datum
observ_resume(PG_FUNCTION_ARGS)
{
	Check check = {0};
	ObservMaintenance done;
	Datum values[4];
	bool nulls[4] = {false};

	observ_require_versions();
	PreventCommandIfReadOnly("observ.resume()");
	PreventCommandDuringRecovery("observ.resume()");
	check_tables(&check);
	observ_arm();
	CommandCounterIncrement();
	/* Only observ.enabled can still be against it, and that is not this database's to say. */
	observ_require_armed();
	observ_maintain(GetCurrentTimestamp(), &done);
	values[0] = CStringGetTextDatum("resumed");
	values[1] = Int32GetDatum(check.leaves);
	values[2] = Int32GetDatum(check.repaired);
	values[3] = Int32GetDatum(done.created);
	return observ_row(fcinfo, values, nulls);
}
