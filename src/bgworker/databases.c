/*
 * Which databases exist, read from pg_database by a process that has no database itself (as the autovacuum launcher does it).
 * What does not belong here: which of them are armed (scanner.c), what to do about them (launcher.c).
 */
#include "postgres.h"

#include "bgworker/databases.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "ext/compat.h"
#include "miscadmin.h"
#include "storage/lock.h"

List *
observ_databases_connectable(void)
{
	List *databases = NIL;
	Relation rel = table_open(DatabaseRelationId, AccessShareLock);
	TableScanDesc scan = table_beginscan_catalog(rel, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection))) {
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		ObservDatabase *database;

		if (form->datistemplate || !form->datallowconn || database_is_invalid_form(form))
			continue;
		database = palloc(sizeof(*database));
		database->oid = form->oid;
		strlcpy(database->name, NameStr(form->datname), NAMEDATALEN);
		databases = lappend(databases, database);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	return databases;
}

const ObservDatabase *
observ_database_by_name(const List *databases, const char *name)
{
	ListCell *cell;

	foreach (cell, databases) {
		const ObservDatabase *database = lfirst(cell);

		if (strcmp(database->name, name) == 0)
			return database;
	}
	return NULL;
}

const ObservDatabase *
observ_database_by_oid(const List *databases, Oid oid)
{
	ListCell *cell;

	foreach (cell, databases) {
		const ObservDatabase *database = lfirst(cell);

		if (database->oid == oid)
			return database;
	}
	return NULL;
}

bool
observ_database_is_free(Oid database)
{
	LOCKTAG tag;

	/* The lock that InitPostgres() takes in a process that connects. */
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	if (LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	LockRelease(&tag, RowExclusiveLock, false);
	return true;
}
