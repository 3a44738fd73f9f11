/*
 * Which of observ's jobs pg_cron runs in this database, and observ_data._pg_cron_jobs(), which shows it to SQL.
 * What does not belong here: making and removing entries (cron_control.c), what the scheduler makes of it (job_run.c).
 *
 * There is no state of ours: a job is pg_cron's as long as cron.job has its entry. So whatever takes the entry away (a hand, DROP
 * EXTENSION pg_cron CASCADE, a restore without it) gives the job back to the scheduler in the same transaction.
 */
#include "postgres.h"

#include "bgworker/cron_jobs.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "ext/compat.h"
#include "ext/processes.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Run details have no index by job: they are read from the newest on, and no further than this. */
#define DETAILS_LOOKED_AT 20000

OBSERV_SQL_FUNCTION(observ_list_cron_jobs);

/* What pg_cron recorded of an entry's runs. 0 and NULL: nothing found. */
typedef struct CronRuns {
	TimestampTz last_start, last_end; /* of the latest run that came to an end */
	TimestampTz last_success;
	char *last_result;
	TimestampTz last_failure;
	char *last_error;
	bool complete; /* nothing older can change any of these */
} CronRuns;

/* A table of pg_cron's, opened; NULL when there is none. What bears its name without belonging to the extension does not count. */
static Relation
open_cron_table(const char *name)
{
	Oid extension = get_extension_oid("pg_cron", true);
	Oid schema = OidIsValid(extension) ? get_namespace_oid("cron", true) : InvalidOid;
	Oid relid = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
	Relation rel = OidIsValid(relid) ? try_relation_open(relid, AccessShareLock) : NULL;

	if (rel == NULL)
		return NULL;
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		getExtensionOfObject(RelationRelationId, relid) == extension)
		return rel;
	relation_close(rel, AccessShareLock);
	return NULL;
}

bool
observ_cron_installed(void)
{
	Relation rel = open_cron_table("job");

	if (rel == NULL)
		return false;
	table_close(rel, AccessShareLock);
	return true;
}

/* A column as text, by name, whatever its type is in this version of pg_cron; NULL when it is null or not there. */
static char *
column_text(Relation rel, HeapTuple tuple, const char *name)
{
	AttrNumber number = get_attnum(RelationGetRelid(rel), name);
	bool isnull = true;
	Datum value =
		number == InvalidAttrNumber ? (Datum) 0 : heap_getattr(tuple, number, RelationGetDescr(rel), &isnull);
	Oid output;
	bool varlena;

	if (isnull)
		return NULL;
	getTypeOutputInfo(TupleDescAttr(RelationGetDescr(rel), number - 1)->atttypid, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

/* A column of exactly that type, by name; *isnull when it is null or not there. */
static Datum
column_value(Relation rel, HeapTuple tuple, const char *name, Oid type, bool *isnull)
{
	AttrNumber number = get_attnum(RelationGetRelid(rel), name);

	*isnull = true;
	if (number == InvalidAttrNumber || TupleDescAttr(RelationGetDescr(rel), number - 1)->atttypid != type)
		return (Datum) 0;
	return heap_getattr(tuple, number, RelationGetDescr(rel), isnull);
}

/* Whether the role may act for observ's owner. Else anybody with rights on pg_cron could take jobs away by planting names. */
static bool
may_run_jobs(const char *username)
{
	Oid role = get_role_oid(username, true);
	Oid owner = get_role_oid("observ_owner", true);

	return OidIsValid(role) && OidIsValid(owner) && has_privs_of_role(role, owner);
}

/* The entry in a row of cron.job, NULL when it is none of ours. */
static ObservCronEntry *
entry_of(Relation rel, HeapTuple tuple)
{
	char *name = column_text(rel, tuple, "jobname");
	char *database = column_text(rel, tuple, "database");
	char *username = column_text(rel, tuple, "username");
	bool no_id, no_active;
	int64 jobid = DatumGetInt64(column_value(rel, tuple, "jobid", INT8OID, &no_id));
	bool active = DatumGetBool(column_value(rel, tuple, "active", BOOLOID, &no_active));
	ObservCronEntry *entry;

	if (name == NULL || database == NULL || username == NULL || no_id ||
		strncmp(name, OBSERV_CRON_PREFIX, strlen(OBSERV_CRON_PREFIX)) != 0 ||
		strcmp(database, get_database_name(MyDatabaseId)) != 0 || !may_run_jobs(username))
		return NULL;
	entry = palloc(sizeof(ObservCronEntry));
	entry->jobid = jobid;
	entry->name = name + strlen(OBSERV_CRON_PREFIX);
	entry->schedule = column_text(rel, tuple, "schedule");
	entry->username = username;
	entry->active = no_active || active;
	return entry;
}

List *
observ_cron_entries(void)
{
	Relation rel = open_cron_table("job");
	List *entries = NIL;
	SysScanDesc scan;
	HeapTuple tuple;

	if (rel == NULL)
		return NIL;
	scan = systable_beginscan(rel, InvalidOid, false, GetActiveSnapshot(), 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan))) {
		ObservCronEntry *entry = entry_of(rel, tuple);

		if (entry != NULL)
			entries = lappend(entries, entry);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return entries;
}

const ObservCronEntry *
observ_cron_entry(List *entries, const char *job_name)
{
	const ObservCronEntry *found = NULL;
	ListCell *cell;

	foreach (cell, entries) {
		const ObservCronEntry *entry = lfirst(cell);

		if (strcmp(entry->name, job_name) == 0 && (found == NULL || (entry->active && !found->active)))
			found = entry;
	}
	return found;
}

bool
observ_cron_has(const char *job_name)
{
	return observ_cron_entry(observ_cron_entries(), job_name) != NULL;
}

/* ---- what came of the runs */

static int
index_of(List *entries, int64 jobid)
{
	for (int i = 0; i < list_length(entries); i++)
		if (((ObservCronEntry *) list_nth(entries, i))->jobid == jobid)
			return i;
	return -1;
}

static TimestampTz
column_time(Relation rel, HeapTuple tuple, const char *name)
{
	bool isnull;
	Datum value = column_value(rel, tuple, name, TIMESTAMPTZOID, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Takes in one row of cron.job_run_details; rows come newest first. */
static void
note_run(CronRuns *runs, Relation rel, HeapTuple tuple)
{
	char *status = column_text(rel, tuple, "status");
	TimestampTz start = column_time(rel, tuple, "start_time");
	TimestampTz end = column_time(rel, tuple, "end_time");
	bool succeeded = status != NULL && strcmp(status, "succeeded") == 0;

	/* starting, running, …: not at its end */
	if (!succeeded && (status == NULL || strcmp(status, "failed") != 0))
		return;
	/* A run that could not even connect has no start. */
	if (end == 0)
		end = start;
	if (runs->last_end == 0) {
		runs->last_start = start;
		runs->last_end = end;
	}
	if (succeeded) {
		runs->last_success = end;
		runs->last_result = column_text(rel, tuple, "return_message");
		runs->complete = true;
	} else if (runs->last_error == NULL) {
		runs->last_failure = end;
		runs->last_error = column_text(rel, tuple, "return_message");
		if (runs->last_error == NULL)
			runs->last_error = "";
	}
}

/* What came of the entries' runs, an array as long as the list. */
static CronRuns *
read_runs(List *entries)
{
	CronRuns *runs = palloc0(sizeof(CronRuns) * Max(list_length(entries), 1));
	Relation rel = open_cron_table("job_run_details");
	int open = list_length(entries);
	Relation index;
	SysScanDesc scan;
	HeapTuple tuple;

	if (rel == NULL)
		return runs;
	if (!OidIsValid(RelationGetPrimaryKeyIndex(rel))) {
		table_close(rel, AccessShareLock);
		return runs;
	}
	index = index_open(RelationGetPrimaryKeyIndex(rel), AccessShareLock);
	scan = systable_beginscan_ordered(rel, index, GetActiveSnapshot(), 0, NULL);
	for (int n = 0; open > 0 && n < DETAILS_LOOKED_AT; n++) {
		bool isnull;
		int i;

		CHECK_FOR_INTERRUPTS();
		tuple = systable_getnext_ordered(scan, BackwardScanDirection);
		if (!HeapTupleIsValid(tuple))
			break;
		i = index_of(entries, DatumGetInt64(column_value(rel, tuple, "jobid", INT8OID, &isnull)));
		if (isnull || i < 0 || runs[i].complete)
			continue;
		note_run(&runs[i], rel, tuple);
		open -= runs[i].complete;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return runs;
}

static void
put_time(Datum *values, bool *nulls, int column, TimestampTz time)
{
	nulls[column] = time == 0;
	values[column] = TimestampTzGetDatum(time);
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* observ_data._pg_cron_jobs(): see its COMMENT. */
Datum
observ_list_cron_jobs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List *entries = observ_cron_entries();
	CronRuns *runs = read_runs(entries);
	bool launcher = observ_find_process(OBSERV_CRON_LAUNCHER, InvalidOid) != 0;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < list_length(entries); i++) {
		const ObservCronEntry *entry = list_nth(entries, i);
		Datum values[12] = {0};
		bool nulls[12] = {false};

		/* One row per job. */
		if (observ_cron_entry(entries, entry->name) != entry)
			continue;
		put_text(values, nulls, 0, entry->name);
		values[1] = Int64GetDatum(entry->jobid);
		put_text(values, nulls, 2, entry->schedule);
		put_text(values, nulls, 3, entry->username);
		values[4] = BoolGetDatum(entry->active);
		values[5] = BoolGetDatum(launcher);
		put_time(values, nulls, 6, runs[i].last_start);
		put_time(values, nulls, 7, runs[i].last_end);
		put_time(values, nulls, 8, runs[i].last_success);
		put_text(values, nulls, 9, runs[i].last_result);
		put_time(values, nulls, 10, runs[i].last_failure);
		put_text(values, nulls, 11, runs[i].last_error);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
