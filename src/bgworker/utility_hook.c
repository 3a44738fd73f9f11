/*
 * Commands that can't run while a worker is connected to a database, or while a job holds the extension: makes the worker leave, then
 * lets the command run. DROP DATABASE, ALTER DATABASE … RENAME and … SET TABLESPACE, CREATE DATABASE … TEMPLATE, DROP EXTENSION observ.
 * What does not belong here: starting workers again (the launcher does, woken at commit).
 *
 * The command's own lock on the database is taken first: a worker that starts meanwhile waits for it before it counts as connected.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "bgworker/hooks.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/processes.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/syscache.h"

#define PATIENCE_MS        5000 /* with a worker that is to leave */
#define POLITE_MS          100  /* of these, for the job that it is at */
#define EXTENSION_PATIENCE 1500 /* with a job that is to let go of the extension */
#define POLL_MS            5

static ProcessUtility_hook_type previous = NULL;

/* Waits POLL_MS, answering interrupts. False when more than `limit` ms have passed since `start`. */
static bool
wait_a_little(const instr_time *start, double limit)
{
	instr_time passed;

	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, *start);
	return INSTR_TIME_GET_MILLISEC(passed) < limit;
}

static bool
has_workers(Oid database)
{
	return observ_find_resident(database) != 0 || observ_find_process(OBSERV_SCANNER, database) != 0;
}

/* Ends observ's workers in the database and waits until they are gone: politely first, which idle ones follow at once. */
static void
send_away(Oid database)
{
	instr_time start;
	bool patient = true;

	INSTR_TIME_SET_CURRENT(start);
	do {
		observ_signal_processes(OBSERV_SCANNER, database, SIGTERM);
		observ_signal_residents(database, patient ? SIGUSR2 : SIGTERM);
		patient = patient && wait_a_little(&start, POLITE_MS);
	} while (wait_a_little(&start, PATIENCE_MS) && has_workers(database));
}

/* Locks the database of that name; InvalidOid when there is none. */
static Oid
lock_database(const char *name, LOCKMODE mode)
{
	for (;;) {
		Oid database = get_database_oid(name, true);

		if (!OidIsValid(database))
			return InvalidOid;
		LockSharedObject(DatabaseRelationId, database, 0, mode);
		if (get_database_oid(name, true) == database)
			return database;
		UnlockSharedObject(DatabaseRelationId, database, 0, mode);
	}
}

/* What a command does to a database. */
typedef struct DatabaseUse {
	const char *database; /* NULL: it does not concern us */
	LOCKMODE lock;
	bool outside_block; /* refused inside a transaction block */
	bool copies;        /* the database is only read: others than its owner may */
} DatabaseUse;

static const char *
option_value(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options) {
		DefElem *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0 && option->arg != NULL)
			return defGetString(option);
	}
	return NULL;
}

static DatabaseUse
database_use_of(Node *statement)
{
	DatabaseUse use = {NULL, AccessExclusiveLock, true, false};

	if (IsA(statement, DropdbStmt))
		use.database = castNode(DropdbStmt, statement)->dbname;
	else if (IsA(statement, CreatedbStmt)) {
		use.database = option_value(castNode(CreatedbStmt, statement)->options, "template");
		use.lock = ShareLock;
		use.copies = true;
	} else if (IsA(statement, AlterDatabaseStmt)) {
		AlterDatabaseStmt *alter = castNode(AlterDatabaseStmt, statement);

		if (option_value(alter->options, "tablespace") != NULL)
			use.database = alter->dbname;
	} else if (IsA(statement, RenameStmt) && castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE) {
		use.database = castNode(RenameStmt, statement)->subname;
		use.outside_block = false;
	}
	return use;
}

/* As have_createdb_privilege(), which earlier minor releases of PostgreSQL 15 keep to themselves. */
static bool
may_create_databases(void)
{
	HeapTuple role;
	bool may = superuser();

	if (may)
		return true;
	role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(role)) {
		may = ((Form_pg_authid) GETSTRUCT(role))->rolcreatedb;
		ReleaseSysCache(role);
	}
	return may;
}

/*
 * Whether the caller may do it; if not, the command is left to say so. A template that belongs to somebody else may be copied, but no
 * scheduler is ever in one.
 */
static bool
permitted(const DatabaseUse *use, Oid database)
{
	return pg_database_ownercheck(database, GetUserId()) && (!use->copies || may_create_databases());
}

static void
clear_database(const DatabaseUse *use, bool top_level)
{
	Oid database = get_database_oid(use->database, true);

	/* A session may copy the database that it is in, and do nothing else of this to it. */
	if (!OidIsValid(database) || (database == MyDatabaseId && !use->copies) || !permitted(use, database) ||
		(use->outside_block && IsInTransactionBlock(top_level)))
		return;
	database = lock_database(use->database, use->lock);
	if (OidIsValid(database) && permitted(use, database) && has_workers(database))
		send_away(database);
}

/* Whether the command may change which databases schedulers should run in. */
static bool
changes_databases(Node *statement)
{
	return IsA(statement, CreatedbStmt) || IsA(statement, AlterDatabaseStmt) ||
		   IsA(statement, AlterDatabaseSetStmt) ||
		   (IsA(statement, RenameStmt) && castNode(RenameStmt, statement)->renameType == OBJECT_DATABASE);
}

/* ---- DROP EXTENSION */

static bool
drops_observ(Node *statement)
{
	ListCell *cell;

	if (!IsA(statement, DropStmt) || castNode(DropStmt, statement)->removeType != OBJECT_EXTENSION)
		return false;
	foreach (cell, castNode(DropStmt, statement)->objects)
		if (strcmp(strVal(lfirst(cell)), "observ") == 0)
			return true;
	return false;
}

/*
 * Locks the tables that CASCADE drops in the order in which agents lock them: DROP EXTENSION itself would begin with partitions, and
 * meet sessions that insert halfway, in a deadlock.
 */
static void
lock_tables(void)
{
	(void) RangeVarGetRelid(makeRangeVar("observ", "collectors", -1), AccessExclusiveLock, true);
	(void) RangeVarGetRelid(makeRangeVar("observ", "vps", -1), AccessExclusiveLock, true);
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		(void) RangeVarGetRelid(makeRangeVar("observ", pstrdup(table->name), -1), AccessExclusiveLock, true);
}

/* Cancels the job that holds the extension, until the lock that DROP EXTENSION takes is ours. */
static void
free_extension(bool with_tables)
{
	Oid extension = observ_extension_oid();
	LOCKTAG tag;
	instr_time start;

	if (!OidIsValid(extension) || !pg_extension_ownercheck(extension, GetUserId()))
		return;
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId, extension, 0);
	INSTR_TIME_SET_CURRENT(start);
	while (LockAcquire(&tag, AccessExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL) {
		/* A worker between two steps ignores this. */
		observ_signal_residents(MyDatabaseId, SIGINT);
		if (!wait_a_little(&start, EXTENSION_PATIENCE))
			return;
	}
	if (with_tables)
		lock_tables();
}

static void
make_way(PlannedStmt *planned, ProcessUtilityContext context)
{
	DatabaseUse use = database_use_of(planned->utilityStmt);

	if (RecoveryInProgress() || IsBinaryUpgrade || !IsUnderPostmaster)
		return;
	if (use.database != NULL)
		clear_database(&use, context == PROCESS_UTILITY_TOPLEVEL);
	else if (drops_observ(planned->utilityStmt))
		free_extension(castNode(DropStmt, planned->utilityStmt)->behavior == DROP_CASCADE);
	if (changes_databases(planned->utilityStmt))
		observ_wake_workers_at_commit();
}

static void
on_utility(PlannedStmt *planned, const char *query, bool read_only_tree, ProcessUtilityContext context,
		   ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	make_way(planned, context);
	if (previous)
		previous(planned, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(planned, query, read_only_tree, context, params, environment, dest,
								completion);
}

void
observ_utility_hook_install(void)
{
	previous = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
}
