/*
 * observ.fleet_summary(): what people look at first. Reads the kept rows and decides each status at the time of asking, so that a late
 * refresh can never show a dead VPS as up. What does not belong here: keeping the rows (fleet_refresh.c).
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "core/fleet_status.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "ext/vps_key.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_fleet_summary);

#define MAX_COLUMNS 64

/* A VPS about which the registry has something to say; most have no such entry. */
typedef struct SpecialVps {
	ObservVpsKey key; /* of the VPS alone: app is empty */
	int64 expected_us;
	bool retired;
} SpecialVps;

static HTAB *
load_special(void)
{
	MemoryContext context = CurrentMemoryContext;
	HTAB *special = observ_vps_table_create("observ special VPSs", sizeof(SpecialVps), 64);
	ObservIdentity saved = observ_as_owner_begin();
	uint64 n;

	SPI_connect();
	n = observ_spi(
		SPI_OK_SELECT,
		"SELECT vps_name, coalesce((least(extract(epoch FROM expected_interval), 1e11) * 1000000)::int8, 0), "
		"status = 'retired' "
		"FROM observ.vps WHERE expected_interval IS NOT NULL OR status <> 'active'",
		0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++) {
		bool isnull;
		MemoryContext spi = MemoryContextSwitchTo(context);
		ObservVpsKey key = observ_vps_key(datumCopy(observ_spi_value(i, 1, &isnull), false, -1), (Datum) 0);
		SpecialVps *entry = hash_search(special, &key, HASH_ENTER, NULL);

		MemoryContextSwitchTo(spi);
		entry->expected_us = DatumGetInt64(observ_spi_value(i, 2, &isnull));
		entry->retired = DatumGetBool(observ_spi_value(i, 3, &isnull));
	}
	SPI_finish();
	observ_as_owner_end(&saved);
	return special;
}

/* Columns of the table, by number in the table's tuples. */
typedef struct Columns {
	int vps_name, interval_ms, expected_ms, last_seen, health_ok, health_total;
	int out[MAX_COLUMNS]; /* of each result column; 0 for the status */
	int n_out;
} Columns;

static void
find_columns(Relation rel, TupleDesc result, Columns *columns)
{
	columns->vps_name = observ_column(rel, "vps_name", TEXTOID);
	columns->interval_ms = observ_column(rel, "interval_ms", INT4OID);
	columns->expected_ms = observ_column(rel, "expected_ms", INT4OID);
	columns->last_seen = observ_column(rel, "last_seen", TIMESTAMPTZOID);
	columns->health_ok = observ_column(rel, "health_ok", INT4OID);
	columns->health_total = observ_column(rel, "health_total", INT4OID);
	columns->n_out = result->natts;
	for (int i = 0; i < result->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(result, i);
		const char *name = NameStr(column->attname);

		columns->out[i] = strcmp(name, "status") == 0 ? 0 : observ_column(rel, name, column->atttypid);
	}
}

/* Status of the row in `slot` at time `at`; false when its VPS is retired and the row is to be left out. */
static bool
decide(TupleTableSlot *slot, const Columns *columns, HTAB *special, TimestampTz at, enum fleet_status *status)
{
	Datum *values = slot->tts_values;
	int64 expected = 0;

	if (!slot->tts_isnull[columns->expected_ms - 1])
		expected = (int64) DatumGetInt32(values[columns->expected_ms - 1]) * 1000;
	else if (!slot->tts_isnull[columns->interval_ms - 1])
		expected = (int64) DatumGetInt32(values[columns->interval_ms - 1]) * 1000;
	if (hash_get_num_entries(special) > 0) {
		ObservVpsKey key = observ_vps_key(values[columns->vps_name - 1], (Datum) 0);
		SpecialVps *entry = hash_search(special, &key, HASH_FIND, NULL);

		if (entry != NULL && entry->retired)
			return false;
		if (entry != NULL && entry->expected_us > 0)
			expected = entry->expected_us;
	}
	*status = fleet_status_decide(at - DatumGetTimestampTz(values[columns->last_seen - 1]), expected,
								  DatumGetInt32(values[columns->health_ok - 1]),
								  DatumGetInt32(values[columns->health_total - 1]));
	return true;
}

static void
emit_rows(Relation rel, ReturnSetInfo *rsinfo, TimestampTz at)
{
	HTAB *special = load_special();
	Columns columns;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	Datum status_text[4];
	Datum values[MAX_COLUMNS];
	bool nulls[MAX_COLUMNS];

	find_columns(rel, rsinfo->setDesc, &columns);
	for (int i = 0; i < 4; i++)
		status_text[i] = CStringGetTextDatum(fleet_status_name((enum fleet_status) i));
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
		enum fleet_status status;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		if (!decide(slot, &columns, special, at, &status))
			continue;
		for (int i = 0; i < columns.n_out; i++) {
			int from = columns.out[i];

			nulls[i] = from > 0 && slot->tts_isnull[from - 1];
			values[i] = from > 0 ? slot->tts_values[from - 1] : status_text[status];
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	hash_destroy(special);
}

/*
 * observ.fleet_summary(at) → set of rows; see its COMMENT. Only who may execute it sees the rows: grants are on the function.
 */
Datum
observ_fleet_summary(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation rel;

	observ_require_versions();
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("time of a fleet summary must be finite")));
	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts > MAX_COLUMNS)
		elog(ERROR, "observ.fleet_summary() has more than %d columns", MAX_COLUMNS);
	rel = table_open(observ_relid("fleet_summary"), AccessShareLock);
	emit_rows(rel, rsinfo, at);
	table_close(rel, AccessShareLock);
	return (Datum) 0;
}
