/*
 * Rows of observ.job_runs: reading and changing them one at a time, with locks but without SQL.
 * What does not belong here: when jobs run (scheduler.c), running them (job_run.c).
 */
#include "postgres.h"

#include "bgworker/job_runs.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "ext/compat.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* Columns of observ.job_runs, in the order of the SQL script. */
enum {
	JOB_NAME,
	RUNNING_SINCE,
	LAST_START,
	LAST_END,
	LAST_SUCCESS,
	LAST_RESULT,
	RUNS,
	ERRORS,
	RETRIES,
	CRASHES,
	CONSECUTIVE_FAILURES,
	CONSECUTIVE_CRASHES,
	LAST_ERROR,
	LAST_ERROR_SQLSTATE,
	LAST_ERROR_AT,
	NEXT_RUN,
	DISABLED,
	COLUMNS
};

/* One row, open for change, with everything that the executor wants to have around it. */
typedef struct Row {
	Relation rel;
	EState *estate;
	ResultRelInfo *target;
	TupleTableSlot *found; /* the stored row, locked; empty when there is none */
	TupleTableSlot *changed;
	Datum *values; /* of changed */
	bool *nulls;
	bool exists;
} Row;

static Oid
job_runs_relid(void)
{
	Oid schema = get_namespace_oid("observ", false);
	Oid relid = get_relname_relid("job_runs", schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table observ.job_runs does not exist"),
				 errhint("Run DROP EXTENSION observ and CREATE EXTENSION observ; measurements are kept.")));
	return relid;
}

/* Finds and locks the newest version of the job's row. False: there is none, or (policy LockWaitSkip) somebody has it locked. */
static bool
find_row(Row *row, const ObservJob *job, LockWaitPolicy policy)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	ItemPointerData tid;
	TM_FailureData failure;
	TM_Result locked;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(job->name));
	scan = systable_beginscan(row->rel, RelationGetPrimaryKeyIndex(row->rel), true, GetActiveSnapshot(), 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tid = tuple->t_self;
	systable_endscan(scan);
	if (!HeapTupleIsValid(tuple))
		return false;
	locked = table_tuple_lock(row->rel, &tid, GetActiveSnapshot(), row->found, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, policy, TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (locked == TM_Deleted || locked == TM_WouldBlock)
		return false;
	if (locked != TM_Ok)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						errmsg("could not lock a row of observ.job_runs")));
	return true;
}

/* What a row holds before anything happened. */
static void
fill_new(Row *row, const ObservJob *job)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(row->rel); i++) {
		row->values[i] = (Datum) 0;
		row->nulls[i] = true;
	}
	row->values[JOB_NAME] = CStringGetTextDatum(job->name);
	row->nulls[JOB_NAME] = false;
	for (int i = RUNS; i <= CONSECUTIVE_CRASHES; i++) {
		row->values[i] = i >= CONSECUTIVE_FAILURES ? Int32GetDatum(0) : Int64GetDatum(0);
		row->nulls[i] = false;
	}
	row->values[DISABLED] = BoolGetDatum(false);
	row->nulls[DISABLED] = false;
}

/* Whether the table begins with our columns; others may follow them. */
static bool
has_columns(Relation rel)
{
	if (RelationGetNumberOfAttributes(rel) < COLUMNS)
		return false;
	for (int i = 0; i < COLUMNS; i++)
		if (TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			return false;
	return true;
}

/* Opens the job's row for change, or a new one. The relation must be open with RowExclusiveLock. */
static void
open_row(Row *row, const ObservJob *job, Relation rel, LockWaitPolicy policy)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	if (!has_columns(rel) || !OidIsValid(RelationGetPrimaryKeyIndex(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table observ.job_runs does not have the columns that this library knows"),
				 errhint("Run DROP EXTENSION observ and CREATE EXTENSION observ; measurements are kept.")));
	row->rel = rel;
	row->estate = CreateExecutorState();
	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ExecInitRangeTable(row->estate, list_make1(rte));
	row->estate->es_output_cid = GetCurrentCommandId(true);
	row->estate->es_snapshot = GetActiveSnapshot();
	row->target = makeNode(ResultRelInfo);
	InitResultRelInfo(row->target, rel, 1, NULL, 0);
	row->found = table_slot_create(rel, &row->estate->es_tupleTable);
	row->changed = table_slot_create(rel, &row->estate->es_tupleTable);
	row->values = row->changed->tts_values;
	row->nulls = row->changed->tts_isnull;
	ExecClearTuple(row->changed);
	row->exists = find_row(row, job, policy);
	if (row->exists) {
		slot_getallattrs(row->found);
		memcpy(row->values, row->found->tts_values, sizeof(Datum) * RelationGetNumberOfAttributes(rel));
		memcpy(row->nulls, row->found->tts_isnull, sizeof(bool) * RelationGetNumberOfAttributes(rel));
	} else
		fill_new(row, job);
}

/* Lets go of the row without or after storing it; locks stay until the transaction ends. */
static void
close_row(Row *row)
{
	ExecResetTupleTable(row->estate->es_tupleTable, false);
	FreeExecutorState(row->estate);
	table_close(row->rel, NoLock);
}

/* Writes the row as it is now. */
static void
store_row(Row *row)
{
	EPQState epq;

	ExecStoreVirtualTuple(row->changed);
	AfterTriggerBeginQuery();
	ExecOpenIndices(row->target, false);
	EvalPlanQualInit(&epq, row->estate, NULL, NIL, -1);
	if (row->exists)
		ExecSimpleRelationUpdate(row->target, row->estate, &epq, row->found, row->changed);
	else
		ExecSimpleRelationInsert(row->target, row->estate, row->changed);
	EvalPlanQualEnd(&epq);
	ExecCloseIndices(row->target);
	AfterTriggerEndQuery(row->estate);
	close_row(row);
	CommandCounterIncrement();
}

static void
begin_change(Row *row, const ObservJob *job)
{
	open_row(row, job, table_open(job_runs_relid(), RowExclusiveLock), LockWaitBlock);
}

static void
set(Row *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
set_time(Row *row, int column, TimestampTz value)
{
	set(row, column, TimestampTzGetDatum(value));
}

static void
set_text(Row *row, int column, const char *value)
{
	set(row, column, CStringGetTextDatum(value));
}

static void
set_null(Row *row, int column)
{
	row->nulls[column] = true;
}

static void
add_one(Row *row, int column)
{
	if (column >= CONSECUTIVE_FAILURES)
		set(row, column, Int32GetDatum(DatumGetInt32(row->values[column]) + 1));
	else
		set(row, column, Int64GetDatum(DatumGetInt64(row->values[column]) + 1));
}

static void
set_error(Row *row, const char *sqlstate, const char *message)
{
	set_text(row, LAST_ERROR, message);
	set_text(row, LAST_ERROR_SQLSTATE, sqlstate);
	set_time(row, LAST_ERROR_AT, GetCurrentTimestamp());
}

void
observ_job_runs_read(const ObservJob *job, ObservJobState *state)
{
	Row row;

	begin_change(&row, job);
	state->running = !row.nulls[RUNNING_SINCE];
	state->consecutive_failures = DatumGetInt32(row.values[CONSECUTIVE_FAILURES]);
	state->consecutive_crashes = DatumGetInt32(row.values[CONSECUTIVE_CRASHES]);
	state->disabled = DatumGetBool(row.values[DISABLED]);
	close_row(&row);
}

void
observ_job_runs_begin(const ObservJob *job)
{
	TimestampTz now = GetCurrentTimestamp();
	Row row;

	begin_change(&row, job);
	set_time(&row, RUNNING_SINCE, now);
	set_time(&row, LAST_START, now);
	add_one(&row, RUNS);
	store_row(&row);
}

void
observ_job_runs_success(const ObservJob *job, const char *result, TimestampTz next_run)
{
	TimestampTz now = GetCurrentTimestamp();
	Row row;

	begin_change(&row, job);
	set_null(&row, RUNNING_SINCE);
	set_time(&row, LAST_END, now);
	set_time(&row, LAST_SUCCESS, now);
	set_text(&row, LAST_RESULT, result);
	set(&row, CONSECUTIVE_FAILURES, Int32GetDatum(0));
	set(&row, CONSECUTIVE_CRASHES, Int32GetDatum(0));
	set_time(&row, NEXT_RUN, next_run);
	store_row(&row);
}

void
observ_job_runs_failure(const ObservJob *job, const ErrorData *error, bool soft, TimestampTz next_run)
{
	Row row;

	begin_change(&row, job);
	set_null(&row, RUNNING_SINCE);
	set_time(&row, LAST_END, GetCurrentTimestamp());
	add_one(&row, soft ? RETRIES : ERRORS);
	if (!soft)
		add_one(&row, CONSECUTIVE_FAILURES);
	set(&row, CONSECUTIVE_CRASHES, Int32GetDatum(0));
	set_error(&row, unpack_sql_state(error->sqlerrcode), error->message);
	set_time(&row, NEXT_RUN, next_run);
	store_row(&row);
}

void
observ_job_runs_crash(const ObservJob *job, int limit, TimestampTz next_run)
{
	Row row;

	begin_change(&row, job);
	set_null(&row, RUNNING_SINCE);
	add_one(&row, CRASHES);
	add_one(&row, CONSECUTIVE_CRASHES);
	set_error(&row, "57P02",
			  "the server process that ran the job crashed, or the server went down in the middle of it");
	set_time(&row, NEXT_RUN, next_run);
	if (DatumGetInt32(row.values[CONSECUTIVE_CRASHES]) >= limit) {
		set(&row, DISABLED, BoolGetDatum(true));
		set_null(&row, NEXT_RUN);
	}
	store_row(&row);
}

void
observ_job_runs_reschedule(const ObservJob *job, TimestampTz next_run)
{
	Row row;

	begin_change(&row, job);
	set_time(&row, NEXT_RUN, next_run);
	store_row(&row);
}

bool
observ_job_runs_reset(const ObservJob *job)
{
	Row row;

	begin_change(&row, job);
	if (!row.exists) {
		close_row(&row);
		return false;
	}
	set(&row, CONSECUTIVE_FAILURES, Int32GetDatum(0));
	set(&row, CONSECUTIVE_CRASHES, Int32GetDatum(0));
	set(&row, DISABLED, BoolGetDatum(false));
	store_row(&row);
	return true;
}

void
observ_job_runs_interrupted(const ObservJob *job)
{
	Oid schema = get_namespace_oid("observ", true);
	Oid relid = OidIsValid(schema) ? get_relname_relid("job_runs", schema) : InvalidOid;
	Relation rel;
	Row row;

	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, RowExclusiveLock))
		return;
	rel = try_table_open(relid, NoLock);
	if (rel == NULL)
		return;
	open_row(&row, job, rel, LockWaitSkip);
	if (row.exists && !row.nulls[RUNNING_SINCE]) {
		set_null(&row, RUNNING_SINCE);
		store_row(&row);
	} else
		close_row(&row);
}
