/*
 * The write half of observ.refresh_fleet_summary(): newest row per (vps_name, app_name) into observ.fleet_summary.
 * What does not belong here: which rows are candidates (fleet_refresh.c).
 *
 * In C because this is what the database does every few seconds for the whole fleet: one pass over the candidates into a
 * hash table, one over the summary, and an update in place of each row that changes: half the time of the best SQL (docs/fleet-summary.md).
 */
#include "postgres.h"

#include "ext/fleet_latest.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "ext/gucs.h"
#include "ext/result_rel.h"
#include "ext/spi_util.h"
#include "ext/vps_key.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define FETCH_ROWS 1000

/* OBSERV_CANDIDATE_COLUMNS, in that order; whole rows are fetched later, and of the newest only. */
enum CandidateColumn { COL_VPS, COL_APP, COL_TIMESTAMP, COL_PARTITION, COL_TID, N_COLUMNS };

typedef struct Candidate {
	ObservVpsKey key; /* points into memory of its own */
	TimestampTz timestamp;
	Oid partition;
	ItemPointerData tid;
	bool known;
} Candidate;

/* A partition that rows are fetched from. */
typedef struct Source {
	Oid oid; /* the key */
	Relation rel;
	TupleTableSlot *slot;
	AttrNumber *columns; /* of the partition, for each column of the summary; 0: it has none of that name */
	AttrNumber clock_offset_ms, received_at;
} Source;

/* The summary while it is being written. */
typedef struct Target {
	Relation rel;
	EState *estate;
	ResultRelInfo *info;
	TupleTableSlot *slot; /* new version of a row */
	ExprState **defaults; /* of each column; NULL: none */
	CommandId cid;
	HTAB *sources; /* of Source, by oid */
	AttrNumber vps, app, timestamp, last_seen;
	TimestampTz at;
	ObservLatest *result;
} Target;

/* The table is its users' too: what they add to it has defaults, may be NOT NULL, checked or generated. */
static void
prepare_defaults(Target *target)
{
	TupleDesc desc = RelationGetDescr(target->rel);

	target->defaults = palloc0(sizeof(ExprState *) * desc->natts);
	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(desc, i);
		Node *expression;

		if (column->attisdropped || column->attgenerated)
			continue;
		expression = build_column_default(target->rel, i + 1);
		if (expression != NULL)
			target->defaults[i] = ExecPrepareExpr((Expr *) expression, target->estate);
	}
}

/* Generated columns and constraints, as INSERT and UPDATE have them. Errors: 23502, 23514. */
static void
finish_row(Target *target)
{
	TupleConstr *constr = RelationGetDescr(target->rel)->constr;

	ExecStoreVirtualTuple(target->slot);
	if (constr == NULL)
		return;
	/* As for an INSERT: all of them, since any column may have changed. */
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(target->info, target->estate, target->slot, CMD_INSERT);
	ExecConstraints(target->info, target->slot, target->estate);
}

/* Executor state as for a plain UPDATE of one table: index entries of any kind of index are made by the executor. */
static void
open_target(Target *target)
{
	target->rel = table_open(observ_relid("fleet_summary"), RowExclusiveLock);
	target->estate = CreateExecutorState();
	target->info = observ_result_rel(target->estate, target->rel);
	target->slot = MakeSingleTupleTableSlot(RelationGetDescr(target->rel), &TTSOpsVirtual);
	target->cid = GetCurrentCommandId(true);
	target->sources = hash_create(
		"observ partitions", 16,
		&(HASHCTL){.keysize = sizeof(Oid), .entrysize = sizeof(Source), .hcxt = CurrentMemoryContext},
		HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	target->vps = observ_column(target->rel, "vps_name", TEXTOID);
	target->app = observ_column(target->rel, "app_name", TEXTOID);
	target->timestamp = observ_column(target->rel, "timestamp", TIMESTAMPTZOID);
	target->last_seen = observ_column(target->rel, "last_seen", TIMESTAMPTZOID);
	prepare_defaults(target);
}

static void
close_target(Target *target)
{
	HASH_SEQ_STATUS seq;
	Source *source;

	hash_seq_init(&seq, target->sources);
	while ((source = hash_seq_search(&seq)) != NULL) {
		ExecDropSingleTupleTableSlot(source->slot);
		table_close(source->rel, NoLock);
	}
	ExecDropSingleTupleTableSlot(target->slot);
	ExecCloseIndices(target->info);
	FreeExecutorState(target->estate);
	table_close(target->rel, NoLock);
	CommandCounterIncrement();
}

/* Number of the partition's column of that name whose values have the same bytes; 0 when there is none. */
static AttrNumber
same_column(Relation partition, Form_pg_attribute column)
{
	AttrNumber number = get_attnum(RelationGetRelid(partition), NameStr(column->attname));

	if (number != InvalidAttrNumber &&
		!IsBinaryCoercible(TupleDescAttr(RelationGetDescr(partition), number - 1)->atttypid,
						   column->atttypid))
		return InvalidAttrNumber;
	return number;
}

/* The partition, opened once per pass. A summary column takes the partition's column of the same name. */
static Source *
open_source(Target *target, Oid partition)
{
	TupleDesc summary = RelationGetDescr(target->rel);
	bool found;
	Source *source = hash_search(target->sources, &partition, HASH_ENTER, &found);

	if (found)
		return source;
	source->rel = table_open(partition, AccessShareLock);
	source->slot = table_slot_create(source->rel, NULL);
	source->columns = palloc0(sizeof(AttrNumber) * summary->natts);
	for (int i = 0; i < summary->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(summary, i);

		if (!column->attisdropped && !column->attgenerated)
			source->columns[i] = same_column(source->rel, column);
	}
	source->clock_offset_ms = observ_column(source->rel, "clock_offset_ms", INT8OID);
	source->received_at = observ_column(source->rel, "received_at", TIMESTAMPTZOID);
	return source;
}

static void
consider(HTAB *newest, HeapTuple tuple, TupleDesc desc, TimestampTz limit, ObservLatest *result)
{
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS];
	TimestampTz timestamp;
	ObservVpsKey key;
	bool found;
	Candidate *candidate;

	heap_deform_tuple(tuple, desc, values, nulls);
	timestamp = DatumGetTimestampTz(values[COL_TIMESTAMP]);
	result->candidates++;
	if (timestamp > limit) {
		result->future_rows++;
		result->future_until = Max(result->future_until, timestamp);
		return;
	}
	key = observ_vps_key(values[COL_VPS], values[COL_APP]);
	candidate = hash_search(newest, &key, HASH_ENTER, &found);
	if (!found) {
		/* The key must live as long as the entry: point it into our copy. Same bytes, so the entry stays where it is. */
		char *names = palloc(key.vps_len + key.app_len);

		memcpy(names, key.vps, key.vps_len);
		memcpy(names + key.vps_len, key.app, key.app_len);
		candidate->key = (ObservVpsKey){names, names + key.vps_len, key.vps_len, key.app_len};
		candidate->known = false;
	} else if (candidate->timestamp >= timestamp)
		return;
	candidate->timestamp = timestamp;
	candidate->partition = DatumGetObjectId(values[COL_PARTITION]);
	candidate->tid = *(ItemPointer) DatumGetPointer(values[COL_TID]);
}

/* Candidates of the query, reduced to the newest of each key; NULL when there are too many. */
static HTAB *
collect(SPIPlanPtr query, const Datum *params, TimestampTz limit, ObservLatest *result)
{
	MemoryContext context = CurrentMemoryContext;
	HTAB *newest = observ_vps_table_create("observ newest rows", sizeof(Candidate), 1024);
	Portal portal = SPI_cursor_open(NULL, query, (Datum *) params, NULL, true);

	result->candidates = 0;
	for (;;) {
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0 || result->candidates > OBSERV_MAX_CANDIDATES)
			break;
		MemoryContextSwitchTo(context);
		for (uint64 i = 0; i < SPI_processed; i++)
			consider(newest, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, limit, result);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	return result->candidates > OBSERV_MAX_CANDIDATES ? NULL : newest;
}

/*
 * When a row was taken, by the database's clock. Of a clock that is ahead by more than observ.max_future_skew, rows that arrive at once are
 * stored with their timestamp moved back already (docs/development.md); only one that was at least that late can't have been.
 * An offset beyond reason, which any agent may send, counts as none.
 */
static TimestampTz
by_our_clock(TimestampTz timestamp, int64 offset_ms, TimestampTz received_at)
{
	int64 skew = observ_max_future_skew * USECS_PER_SEC;
	int64 offset, late;
	TimestampTz seen;

	if (pg_mul_s64_overflow(offset_ms, 1000, &offset) || pg_sub_s64_overflow(timestamp, offset, &seen) ||
		!IS_VALID_TIMESTAMP(seen))
		return timestamp;
	if (offset <= skew)
		return seen;
	if (TIMESTAMP_NOT_FINITE(received_at) || pg_sub_s64_overflow(received_at, timestamp, &late))
		return timestamp;
	return late >= offset - skew ? seen : timestamp;
}

/*
 * Fetches the candidate's row and puts its values over those already in target->slot. False when the row is gone.
 * last_seen is the newest sign of life by the database's clock: the agent knows its offset, a hand-written row has none; and nobody was
 * seen later than now.
 */
static bool
overlay(Target *target, const Candidate *candidate)
{
	Source *source = open_source(target, candidate->partition);
	TupleTableSlot *row = source->slot;
	Datum *out = target->slot->tts_values;
	bool *out_nulls = target->slot->tts_isnull;
	TimestampTz seen;

	if (!table_tuple_fetch_row_version(source->rel, (ItemPointer) &candidate->tid, GetActiveSnapshot(), row))
		return false;
	slot_getallattrs(row);
	for (int i = 0; i < target->slot->tts_tupleDescriptor->natts; i++)
		if (source->columns[i] > 0) {
			out[i] = row->tts_values[source->columns[i] - 1];
			out_nulls[i] = row->tts_isnull[source->columns[i] - 1];
		}
	seen = candidate->timestamp;
	if (!row->tts_isnull[source->clock_offset_ms - 1])
		seen = by_our_clock(seen, DatumGetInt64(row->tts_values[source->clock_offset_ms - 1]),
							DatumGetTimestampTz(row->tts_values[source->received_at - 1]));
	seen = Min(seen, target->at);
	if (out_nulls[target->last_seen - 1] || DatumGetTimestampTz(out[target->last_seen - 1]) < seen)
		out[target->last_seen - 1] = TimestampTzGetDatum(seen);
	out_nulls[target->last_seen - 1] = false;
	return true;
}

static void
update_row(Target *target, TupleTableSlot *old)
{
	TM_FailureData failure;
	LockTupleMode lock_mode;
	bool update_indexes;
	TM_Result result =
		table_tuple_update(target->rel, &old->tts_tid, target->slot, target->cid, GetActiveSnapshot(),
						   InvalidSnapshot, true, &failure, &lock_mode, &update_indexes);

	/* Changed or forgotten by somebody in this moment: the next reconcile puts it right. */
	if (result != TM_Ok)
		return;
	if (update_indexes)
		list_free(ExecInsertIndexTuples(target->info, target->slot, target->estate, true, false, NULL, NIL));
	target->result->updated++;
}

static void
update_known(Target *target, HTAB *newest, bool replace)
{
	TupleTableSlot *old = table_slot_create(target->rel, NULL);
	TableScanDesc scan = table_beginscan(target->rel, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, old)) {
		int natts = old->tts_tupleDescriptor->natts;
		ObservVpsKey key;
		Candidate *candidate;
		TimestampTz shown;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(old);
		key = observ_vps_key(old->tts_values[target->vps - 1], old->tts_values[target->app - 1]);
		candidate = hash_search(newest, &key, HASH_FIND, NULL);
		if (candidate == NULL)
			continue;
		candidate->known = true;
		shown = old->tts_isnull[target->timestamp - 1]
					? DT_NOBEGIN
					: DatumGetTimestampTz(old->tts_values[target->timestamp - 1]);
		if (replace ? candidate->timestamp == shown : candidate->timestamp <= shown)
			continue;
		ExecClearTuple(target->slot);
		memcpy(target->slot->tts_values, old->tts_values, sizeof(Datum) * natts);
		memcpy(target->slot->tts_isnull, old->tts_isnull, sizeof(bool) * natts);
		if (!overlay(target, candidate))
			continue;
		finish_row(target);
		update_row(target, old);
		ResetPerTupleExprContext(target->estate);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(old);
}

static void
take_defaults(Target *target)
{
	for (int i = 0; i < target->slot->tts_tupleDescriptor->natts; i++)
		if (target->defaults[i] != NULL)
			target->slot->tts_values[i] = ExecEvalExprSwitchContext(
				target->defaults[i], GetPerTupleExprContext(target->estate), &target->slot->tts_isnull[i]);
}

/* Keys that the summary does not have yet; their VPSs enter the registry too. */
static void
insert_unknown(Target *target, HTAB *newest)
{
	HASH_SEQ_STATUS seq;
	Candidate *candidate;
	TupleDesc summary = RelationGetDescr(target->rel);
	ArrayBuildState *names = NULL;

	hash_seq_init(&seq, newest);
	while ((candidate = hash_seq_search(&seq)) != NULL) {
		if (candidate->known)
			continue;
		ExecClearTuple(target->slot);
		memset(target->slot->tts_isnull, true, sizeof(bool) * summary->natts);
		take_defaults(target);
		if (!overlay(target, candidate))
			continue;
		finish_row(target);
		table_tuple_insert(target->rel, target->slot, target->cid, 0, NULL);
		list_free(ExecInsertIndexTuples(target->info, target->slot, target->estate, false, false, NULL, NIL));
		ResetPerTupleExprContext(target->estate);
		target->result->inserted++;
		names = accumArrayResult(names, target->slot->tts_values[target->vps - 1], false, TEXTOID,
								 CurrentMemoryContext);
	}
	if (names != NULL) {
		Oid types[] = {TEXTARRAYOID};
		Datum array = makeArrayResult(names, CurrentMemoryContext);

		observ_spi(SPI_OK_INSERT,
				   "INSERT INTO observ.vps (vps_name) SELECT DISTINCT n FROM unnest($1) n WHERE n <> '' ON "
				   "CONFLICT DO NOTHING",
				   1, types, &array, NULL);
	}
}

bool
observ_take_latest(SPIPlanPtr candidates, const Datum *params, TimestampTz at, TimestampTz limit,
				   bool replace, ObservLatest *result)
{
	MemoryContext work =
		AllocSetContextCreate(CurrentMemoryContext, "observ latest rows", ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(work);
	HTAB *newest;

	/* What an earlier step of this pass wrote must be seen: the caller's snapshot is older. */
	PushActiveSnapshot(GetTransactionSnapshot());
	newest = collect(candidates, params, limit, result);
	if (newest != NULL && hash_get_num_entries(newest) > 0) {
		Target target = {.result = result, .at = at};

		open_target(&target);
		update_known(&target, newest, replace);
		insert_unknown(&target, newest);
		close_target(&target);
	}
	PopActiveSnapshot();
	MemoryContextSwitchTo(before);
	MemoryContextDelete(work);
	return newest != NULL;
}
