/*
 * The sources of rollups: which columns are read of a raw or rolled-up row, what they add to cells, and what is written.
 * What does not belong here: which rows are read (rollup_job.c, history.c), what a cell is (core/rollup.c).
 */
#include "postgres.h"

#include "ext/rollup_sources.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/slice.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A row that doesn't say what time it covers weighs as much as one of the interval that is assumed elsewhere too (docs/fleet-summary.md). */
#define DEFAULT_WEIGHT_MS 60000

/* clang-format off */
#define VPS_COLUMNS(column) \
	column(cpu_percent) column(memory_percent) column(memory_mb) column(disk_percent) column(disk_gb) column(load_avg_1m) \
	column(load_avg_5m) column(load_avg_15m) column(cpu_iowait_percent) column(cpu_steal_percent) column(cpu_cores) \
	column(memory_available_mb) column(swap_percent) column(swap_io_per_s) column(inode_percent) column(disk_read_bps) \
	column(disk_write_bps) column(disk_busy_percent) column(net_rx_bps) column(net_tx_bps) column(net_errors_per_s) \
	column(tcp_retransmit_percent) column(psi_cpu) column(psi_memory) column(psi_io) column(processes) column(zombies) \
	column(open_files_percent) column(conntrack_percent) column(oom_kills) column(uptime_seconds) column(clock_offset_ms)
/* clang-format on */

#define AS_STRING(name) #name,
#define AS_COLUMN(name) ", " #name

const char *const observ_vps_columns[OBSERV_VPS_COLUMNS] = {VPS_COLUMNS(AS_STRING)};

double
observ_measurement(Datum value, Oid type)
{
	switch (type) {
	case FLOAT4OID:
		return DatumGetFloat4(value);
	case FLOAT8OID:
		return DatumGetFloat8(value);
	case INT2OID:
		return DatumGetInt16(value);
	case INT4OID:
		return DatumGetInt32(value);
	case INT8OID:
		return (double) DatumGetInt64(value);
	default:
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("a measurement has type %s", format_type_be(type)),
						errhint("observ rolls up real, double precision, smallint, integer and bigint.")));
	}
}

static void
add_value(ObservBucket *bucket, int i, double value, uint32 weight)
{
	if (isfinite(value))
		cell_add(&bucket->row.cells[i], value, weight, (bucket->counters >> i) & 1);
	else
		bucket->row.nonfinite++;
}

/* ---- raw rows */

static void
add_vps_metrics(ObservBucket *bucket, const TupleTableSlot *slot)
{
	TupleDesc desc = slot->tts_tupleDescriptor;
	int32 interval =
		slot->tts_isnull[OBSERV_READ_FIRST] ? 0 : DatumGetInt32(slot->tts_values[OBSERV_READ_FIRST]);
	uint32 weight = interval > 0 ? (uint32) interval : DEFAULT_WEIGHT_MS;

	for (int i = 0; i < OBSERV_VPS_COLUMNS; i++) {
		int column = OBSERV_READ_FIRST + 1 + i;

		if (!slot->tts_isnull[column])
			add_value(bucket, i,
					  observ_measurement(slot->tts_values[column], TupleDescAttr(desc, column)->atttypid),
					  weight);
	}
}

static void
add_metric_scrapes(ObservBucket *bucket, const TupleTableSlot *slot)
{
	ArrayType *array = DatumGetArrayTypeP(slot->tts_values[OBSERV_READ_FIRST]);
	/* ARR_DATA_PTR() mixes signs. */
	size_t offset = ARR_HASNULL(array) ? (size_t) array->dataoffset : ARR_OVERHEAD_NONULLS(ARR_NDIM(array));
	const float8 *value = (const float8 *) ((const char *) array + offset);
	const bits8 *known = ARR_NULLBITMAP(array);
	int n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (ARR_ELEMTYPE(array) != FLOAT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("values of observ.metric_scrapes have type %s", format_type_be(ARR_ELEMTYPE(array))),
				 errhint("They must be double precision.")));
	for (int i = 0; i < n; i++) {
		if (known != NULL && (known[i / 8] & (1 << i % 8)) == 0)
			continue;
		/* Written by hand; a set has no more slots. */
		if (i < ROLLUP_MAX_CELLS)
			add_value(bucket, i, *value, 1);
		value++;
	}
	bucket->row.n = Max(bucket->row.n, Min(n, ROLLUP_MAX_CELLS));
	if ((Pointer) array != DatumGetPointer(slot->tts_values[OBSERV_READ_FIRST]))
		pfree(array);
}

enum HealthRaw { RAW_RESPONSE = OBSERV_READ_FIRST, RAW_SUCCESS, RAW_INCONCLUSIVE };

static void
add_health_check(ObservBucket *bucket, const TupleTableSlot *slot)
{
	if (DatumGetBool(slot->tts_values[RAW_INCONCLUSIVE])) {
		add_value(bucket, OBSERV_HEALTH_INCONCLUSIVE, 1, 1);
		return;
	}
	add_value(bucket, OBSERV_HEALTH_FAILURE, DatumGetBool(slot->tts_values[RAW_SUCCESS]) ? 0 : 1, 1);
	if (!slot->tts_isnull[RAW_RESPONSE])
		add_value(bucket, OBSERV_HEALTH_RESPONSE,
				  observ_measurement(slot->tts_values[RAW_RESPONSE],
									 TupleDescAttr(slot->tts_tupleDescriptor, RAW_RESPONSE)->atttypid),
				  1);
}

/* ---- rolled-up rows */

static void
add_row(ObservBucket *bucket, const struct cell_row *next)
{
	for (int i = bucket->row.n; i < next->n; i++)
		bucket->row.cells[i].count = 0;
	bucket->row.n = Max(bucket->row.n, next->n);
	for (int i = 0; i < next->n; i++)
		cell_merge(&bucket->row.cells[i], &next->cells[i]);
	bucket->row.nonfinite += next->nonfinite;
}

static void
add_packed(ObservBucket *bucket, const TupleTableSlot *slot)
{
	bytea *bytes = DatumGetByteaPP(slot->tts_values[OBSERV_READ_FIRST]);
	struct cell_row next;

	if (!cells_decode((unsigned char *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes), &next) ||
		next.n > bucket->capacity)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("rolled-up metrics of VPS \"%.*s\" can't be read", bucket->key.vps_len, bucket->key.vps),
			 errdetail("Set %d, %d bytes.", bucket->key.set_no, (int) VARSIZE_ANY_EXHDR(bytes)),
			 errhint("SELECT observ.recompute_rollups(\"from\", \"to\") makes them anew from raw rows.")));
	add_row(bucket, &next);
	if ((Pointer) bytes != DatumGetPointer(slot->tts_values[OBSERV_READ_FIRST]))
		pfree(bytes);
}

/* Columns of observ.health_5m after the timestamp, read and written. */
enum HealthColumn {
	CHECKS,
	FAILURES,
	INCONCLUSIVE,
	RESPONSE_COUNT,
	RESPONSE_SUM,
	RESPONSE_MIN,
	RESPONSE_MAX,
	RESPONSE_LAST
};

static void
add_health_row(ObservBucket *bucket, const TupleTableSlot *slot)
{
	const Datum *values = &slot->tts_values[OBSERV_READ_FIRST];
	struct cell_row next;
	struct cell *response = &next.cells[OBSERV_HEALTH_RESPONSE];
	int32 checks = DatumGetInt32(values[CHECKS]), failures = DatumGetInt32(values[FAILURES]);
	int32 inconclusive = DatumGetInt32(values[INCONCLUSIVE]),
		  responses = DatumGetInt32(values[RESPONSE_COUNT]);

	cell_row_clear(&next, OBSERV_HEALTH_CELLS);
	if (responses > 0)
		*response = (struct cell){.count = responses,
								  .each = 1,
								  .sum = DatumGetFloat8(values[RESPONSE_SUM]),
								  .min = DatumGetFloat4(values[RESPONSE_MIN]),
								  .max = DatumGetFloat4(values[RESPONSE_MAX]),
								  .last = DatumGetFloat4(values[RESPONSE_LAST])};
	if (checks > 0)
		next.cells[OBSERV_HEALTH_FAILURE] =
			(struct cell){.count = checks, .each = 1, .sum = failures, .max = 1};
	if (inconclusive > 0)
		next.cells[OBSERV_HEALTH_INCONCLUSIVE] = (struct cell){
			.count = inconclusive, .each = 1, .sum = inconclusive, .min = 1, .max = 1, .last = 1};
	add_row(bucket, &next);
}

/* ---- what is written */

static Datum
text_datum(const char *text, int length)
{
	return PointerGetDatum(cstring_to_text_with_len(text, length));
}

static void
form_packed(const ObservBucket *bucket, Datum *values, bool *nulls)
{
	bytea *bytes = palloc(VARHDRSZ + CELLS_MAX_BYTES(bucket->row.n));

	SET_VARSIZE(bytes, VARHDRSZ + cells_encode(&bucket->row, (unsigned char *) VARDATA(bytes)));
	values[0] = TimestampTzGetDatum(bucket->start);
	values[1] = text_datum(bucket->key.vps, bucket->key.vps_len);
	values[2] = text_datum(bucket->key.app, bucket->key.app_len);
	values[3] = Int32GetDatum(bucket->key.set_no);
	values[4] = PointerGetDatum(bytes);
}

static void
form_health(const ObservBucket *bucket, Datum *values, bool *nulls)
{
	const struct cell *response = &bucket->row.cells[OBSERV_HEALTH_RESPONSE];
	const struct cell *failure = &bucket->row.cells[OBSERV_HEALTH_FAILURE];
	Datum *columns = &values[4];

	values[0] = TimestampTzGetDatum(bucket->start);
	values[1] = text_datum(bucket->key.vps, bucket->key.vps_len);
	values[2] = text_datum(bucket->key.app, bucket->key.app_len);
	values[3] = text_datum(bucket->key.url, bucket->key.url_len);
	columns[CHECKS] = Int32GetDatum((int32) failure->count);
	columns[FAILURES] = Int32GetDatum(failure->count > 0 ? (int32) failure->sum : 0);
	columns[INCONCLUSIVE] = Int32GetDatum((int32) bucket->row.cells[OBSERV_HEALTH_INCONCLUSIVE].count);
	columns[RESPONSE_COUNT] = Int32GetDatum((int32) response->count);
	columns[RESPONSE_SUM] = Float8GetDatum(response->sum);
	columns[RESPONSE_MIN] = Float4GetDatum((float4) response->min);
	columns[RESPONSE_MAX] = Float4GetDatum((float4) response->max);
	columns[RESPONSE_LAST] = Float4GetDatum((float4) response->last);
	for (int i = RESPONSE_SUM; i <= RESPONSE_LAST; i++)
		nulls[4 + i] = response->count == 0;
}

/* ---- the table */

static const char *const packed_columns[] = {"timestamp", "vps_name", "app_name", "set_no", "cells"};
static const char *const health_columns[] = {
	"timestamp",       "vps_name",        "app_name",        "url",
	"checks",          "failures",        "inconclusive",    "response_count",
	"response_sum_ms", "response_min_ms", "response_max_ms", "response_last_ms"};

#define PACKED                                                                                               \
	.write_columns = packed_columns,                                                                         \
	.write_update = "cells = excluded.cells WHERE t.cells <> excluded.cells",                                \
	.n_write = lengthof(packed_columns),                                                                     \
	.write_types = {TIMESTAMPTZOID, TEXTOID, TEXTOID, INT4OID, BYTEAOID}, .form = form_packed

#define HEALTH_COLUMNS                                                                                       \
	"checks, failures, inconclusive, response_count, response_sum_ms, response_min_ms, response_max_ms, "    \
	"response_last_ms"
#define HEALTH_OF(row)                                                                                       \
	"(" row ".checks, " row ".failures, " row ".inconclusive, " row ".response_count, " row                  \
	".response_sum_ms, " row ".response_min_ms, " row ".response_max_ms, " row ".response_last_ms)"

const ObservRollupSource observ_rollup_sources[OBSERV_ROLLUP_SOURCES] = {
	[OBSERV_ROLL_VPS_METRICS] = {.name = "vps_metrics",
								 .tables = {"vps_metrics", "metrics_5m", "metrics_1h"},
								 .raw_key = "-1",
								 .key_column = "set_no",
								 .key_type = INT4OID,
								 .columns = {"interval_ms" VPS_COLUMNS(AS_COLUMN), "cells", "cells"},
								 .only = "set_no = -1",
								 .cells = OBSERV_VPS_COLUMNS,
								 .add = {add_vps_metrics, add_packed, add_packed},
								 PACKED},
	[OBSERV_ROLL_HEALTH_CHECKS] =
		{.name = "health_checks",
		 .tables = {"health_checks", "health_5m", "health_1h"},
		 .raw_key = "url",
		 .key_column = "url",
		 .key_type = TEXTOID,
		 .columns = {"response_time_ms, success, inconclusive", HEALTH_COLUMNS, HEALTH_COLUMNS},
		 .only = "true",
		 .cells = OBSERV_HEALTH_CELLS,
		 .add = {add_health_check, add_health_row, add_health_row},
		 .write_columns = health_columns,
		 .write_update = "(" HEALTH_COLUMNS ") = ROW" HEALTH_OF("excluded") " WHERE " HEALTH_OF(
			 "t") " IS DISTINCT FROM " HEALTH_OF("excluded"),
		 .n_write = lengthof(health_columns),
		 .write_types = {TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, INT4OID, INT4OID, INT4OID,
						 FLOAT8OID, FLOAT4OID, FLOAT4OID, FLOAT4OID},
		 .form = form_health},
	[OBSERV_ROLL_METRIC_SCRAPES] = {.name = "metric_scrapes",
									.tables = {"metric_scrapes", "metrics_5m", "metrics_1h"},
									.raw_key = "set_no",
									.key_column = "set_no",
									.key_type = INT4OID,
									.columns = {"\"values\"", "cells", "cells"},
									.only = "set_no <> -1",
									.cells = ROLLUP_MAX_CELLS,
									.has_kinds = true,
									.add = {add_metric_scrapes, add_packed, add_packed},
									PACKED},
};

char *
observ_rollup_select(const ObservRollupSource *source, ObservTier tier)
{
	return psprintf("SELECT vps_name, app_name, %s, \"timestamp\", %s FROM observ.%s",
					tier == OBSERV_TIER_RAW ? source->raw_key : source->key_column, source->columns[tier],
					source->tables[tier]);
}

static struct slice
name_slice(const char *name, int len)
{
	return (struct slice){name, name + len};
}

int
observ_rollup_key_compare(const ObservRollupKey *a, const ObservRollupKey *b)
{
	int order = slice_compare(name_slice(a->vps, a->vps_len), name_slice(b->vps, b->vps_len));

	if (order == 0)
		order = slice_compare(name_slice(a->app, a->app_len), name_slice(b->app, b->app_len));
	if (order == 0)
		order = slice_compare(name_slice(a->url, a->url_len), name_slice(b->url, b->url_len));
	return order != 0 ? order : (a->set_no > b->set_no) - (a->set_no < b->set_no);
}

ObservRollupKey
observ_rollup_key_copy(const ObservRollupKey *key)
{
	ObservRollupKey copy = *key;

	copy.vps = pnstrdup(key->vps, key->vps_len);
	copy.app = pnstrdup(key->app, key->app_len);
	copy.url = pnstrdup(key->url, key->url_len);
	return copy;
}
