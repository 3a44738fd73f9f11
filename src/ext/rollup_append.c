/*
 * Appending rows as COPY does: many heap tuples at a time, then their index entries. An INSERT … ON CONFLICT looks for each row in the index
 * first, and goes through the executor; rolling up would spend three quarters of its time there.
 * What does not belong here: whether rows are there already (rollup_job.c knows).
 */
#include "postgres.h"

#include "ext/rollup_append.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "ext/partitions.h"
#include "ext/result_rel.h"
#include "ext/spi_util.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define CHUNK_ROWS 1000

struct ObservAppender {
	const ObservRollupSource *source;
	ObservTier tier;
	MemoryContext context; /* of what belongs to the open partition */
	Relation rel;          /* NULL: none is open */
	EState *estate;
	ResultRelInfo *info;
	BulkInsertState bulk;
	TupleTableSlot *slots[CHUNK_ROWS];
	AttrNumber columns[OBSERV_WRITE_COLUMNS];
};

ObservAppender *
observ_appender(const ObservRollupSource *source, ObservTier tier)
{
	ObservAppender *appender = palloc0(sizeof(ObservAppender));

	appender->source = source;
	appender->tier = tier;
	appender->context = AllocSetContextCreate(CurrentMemoryContext, "observ append", ALLOCSET_DEFAULT_SIZES);
	return appender;
}

void
observ_appender_close(ObservAppender *appender)
{
	if (appender->rel == NULL)
		return;
	for (int i = 0; i < CHUNK_ROWS && appender->slots[i] != NULL; i++)
		ExecDropSingleTupleTableSlot(appender->slots[i]);
	memset(appender->slots, 0, sizeof(appender->slots));
	FreeBulkInsertState(appender->bulk);
	ExecCloseResultRelations(appender->estate);
	ExecCloseIndices(appender->info);
	FreeExecutorState(appender->estate);
	table_close(appender->rel, NoLock);
	appender->rel = NULL;
	MemoryContextReset(appender->context);
}

/* A table is its owner's: what was added to it is for the executor to honour. */
static bool
is_plain(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		   rel->trigdesc == NULL && !rel->rd_rel->relrowsecurity && !rel->rd_rel->relhasrules;
}

/* Numbers of the columns by name: a partition may have them in another order. Others must do without a value. */
static bool
find_columns(ObservAppender *appender)
{
	TupleDesc desc = RelationGetDescr(appender->rel);
	const ObservRollupSource *source = appender->source;
	int found = 0;

	for (int i = 0; i < source->n_write; i++)
		appender->columns[i] = observ_column(appender->rel, source->write_columns[i], source->write_types[i]);
	for (int column = 0; column < desc->natts; column++) {
		Form_pg_attribute attribute = TupleDescAttr(desc, column);

		if (attribute->attisdropped)
			continue;
		found++;
		if (attribute->attgenerated || attribute->attidentity || attribute->atthasdef)
			return false;
	}
	return found == source->n_write && (desc->constr == NULL || desc->constr->num_check == 0);
}

static bool
open_partition(ObservAppender *appender, Oid oid)
{
	appender->rel = table_open(oid, RowExclusiveLock);
	if (!is_plain(appender->rel) || !find_columns(appender)) {
		table_close(appender->rel, NoLock);
		appender->rel = NULL;
		return false;
	}
	appender->estate = CreateExecutorState();
	appender->info = observ_result_rel(appender->estate, appender->rel);
	appender->bulk = GetBulkInsertState();
	return true;
}

static void
fill_slot(ObservAppender *appender, TupleTableSlot *slot, Datum *const *columns, bool *const *nulls, int row)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, RelationGetDescr(appender->rel)->natts);
	for (int i = 0; i < appender->source->n_write; i++) {
		slot->tts_values[appender->columns[i] - 1] = columns[i][row];
		slot->tts_isnull[appender->columns[i] - 1] = nulls[i][row];
	}
	ExecStoreVirtualTuple(slot);
}

static void
insert_chunk(ObservAppender *appender, int n)
{
	CommandId cid = GetCurrentCommandId(true);

	table_multi_insert(appender->rel, appender->slots, n, cid, 0, appender->bulk);
	for (int i = 0; i < n; i++) {
		list_free(ExecInsertIndexTuples(appender->info, appender->slots[i], appender->estate, false, false,
										NULL, NIL));
		ResetPerTupleExprContext(appender->estate);
	}
}

bool
observ_append(ObservAppender *appender, TimestampTz at, Datum *const *columns, bool *const *nulls, int n)
{
	Oid oid = observ_partition_of(appender->source->tables[appender->tier], at);
	MemoryContext caller;

	if (appender->rel != NULL && RelationGetRelid(appender->rel) != oid)
		observ_appender_close(appender);
	caller = MemoryContextSwitchTo(appender->context);
	if (appender->rel == NULL && !open_partition(appender, oid)) {
		MemoryContextSwitchTo(caller);
		return false;
	}
	for (int from = 0; from < n; from += CHUNK_ROWS) {
		int rows = Min(CHUNK_ROWS, n - from);

		for (int i = 0; i < rows; i++) {
			if (appender->slots[i] == NULL)
				appender->slots[i] = table_slot_create(appender->rel, NULL);
			fill_slot(appender, appender->slots[i], columns, nulls, from + i);
		}
		insert_chunk(appender, rows);
	}
	MemoryContextSwitchTo(caller);
	return true;
}
