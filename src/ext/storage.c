/*
 * observ.storage_by_vps(): which VPS takes how much of the disk, by day. observ.storage_report is a view in the SQL script.
 * What does not belong here: what is to go (retention.c).
 *
 * Counting a day of ten million rows takes seconds, and a report must not: of each partition at most about SAMPLE_PAGES pages are read
 * (TABLESAMPLE SYSTEM, always the same ones); partitions that are no larger are counted exactly. The bytes of a partition, indexes and TOAST
 * included, are shared out by the bytes that the rows read hold.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_storage_by_vps);
OBSERV_SQL_FUNCTION(observ_list_partitions);

#define SAMPLE_PAGES 1000

static const char sizes_sql[] = "SELECT pg_relation_size($1) / current_setting('block_size')::int, "
								"pg_total_relation_size($1)";

/* One call. */
typedef struct Survey {
	ReturnSetInfo *result;
	ObservRange range; /* whole days */
} Survey;

/* SQL that adds up what a row of the partition holds, without reading what lies in TOAST. */
static char *
row_bytes_expression(Oid relid)
{
	Relation rel = table_open(relid, AccessShareLock);
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData sql;
	int fixed = 0;

	initStringInfo(&sql);
	for (int i = 0; i < desc->natts; i++) {
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		if (attribute->attlen > 0)
			fixed += attribute->attlen;
		else
			appendStringInfo(&sql, "coalesce(pg_column_size(t.%s), 0) + ",
							 quote_identifier(NameStr(attribute->attname)));
	}
	/* Header of a row, and its line pointer. */
	appendStringInfo(&sql, "%d", fixed + 28);
	table_close(rel, AccessShareLock);
	return sql.data;
}

static void
put_rows(const Survey *s, const ObservPartitioned *table, uint64 n, bool exact)
{
	for (uint64 i = 0; i < n; i++) {
		Datum values[6];
		bool nulls[6] = {false};

		values[0] = observ_spi_value(i, 1, &nulls[0]);
		values[1] = observ_spi_value(i, 2, &nulls[1]);
		values[2] = CStringGetTextDatum(table->name);
		values[3] = observ_spi_value(i, 3, &nulls[3]);
		values[4] = observ_spi_value(i, 4, &nulls[4]);
		values[5] = BoolGetDatum(exact);
		tuplestore_putvalues(s->result->setResult, s->result->setDesc, values, nulls);
	}
}

/* The bytes of a partition that rows outside the range hold are not handed out. */
static void
survey_partition(const Survey *s, const ObservPartitioned *table, Oid relid)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, FLOAT8OID};
	Oid size_types[] = {REGCLASSOID};
	Datum values[] = {ObjectIdGetDatum(relid), 0, 0, 0};
	bool gone, isnull;
	double pages, share;
	int64 bytes;

	observ_spi(SPI_OK_SELECT, sizes_sql, 1, size_types, values, NULL);
	pages = (double) DatumGetInt64(observ_spi_value(0, 1, &gone));
	bytes = DatumGetInt64(observ_spi_value(0, 2, &isnull));
	if (gone || pages == 0)
		return;
	share = Min(1.0, SAMPLE_PAGES / pages);
	values[0] = TimestampTzGetDatum(s->range.from);
	values[1] = TimestampTzGetDatum(s->range.to);
	values[2] = Int64GetDatum(bytes);
	values[3] = Float8GetDatum(share);
	put_rows(
		s, table,
		observ_spi(
			SPI_OK_SELECT,
			psprintf(
				"SELECT day, vps_name, round(n / $4)::int8, bytes FROM (SELECT *, round($3 * held / "
				"sum(held) "
				"OVER ())::int8 AS bytes FROM (SELECT (t.\"timestamp\" AT TIME ZONE 'UTC')::date AS day, "
				"t.vps_name, count(*) AS n, sum(%s)::numeric AS held FROM ONLY observ_data.%s t "
				"TABLESAMPLE SYSTEM (100 * $4) REPEATABLE (0) GROUP BY 1, 2) g) shared "
				"WHERE day >= ($1 AT TIME ZONE 'UTC')::date AND day < ($2 AT TIME ZONE 'UTC')::date "
				"ORDER BY day, vps_name",
				row_bytes_expression(relid), quote_identifier(get_rel_name(relid))),
			4, types, values, NULL),
		share >= 1);
}

static void
survey_table(const Survey *s, const ObservPartitioned *table)
{
	int n;
	ObservPartition *partitions = observ_partitions_if_any(table->name, true, &n);

	for (int i = 0; i < n; i++)
		if (partitions[i].range.from < s->range.to && partitions[i].range.to > s->range.from)
			survey_partition(s, table, partitions[i].relid);
}

/* The days in UTC that [from, to] touches. */
static ObservRange
whole_days(TimestampTz from, TimestampTz to)
{
	ObservRange days = {from, to};

	if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to) || from > to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("bad range of time"),
				 errdetail("Given: from %s to %s.", pstrdup(timestamptz_to_str(from)),
						   pstrdup(timestamptz_to_str(to))),
				 errhint("Both ends must be finite, and the first must not be later than the second.")));
	days.from = observ_floor_time(days.from, USECS_PER_DAY);
	days.to = observ_floor_time(days.to, USECS_PER_DAY) + USECS_PER_DAY;
	return days;
}

/* observ.storage_by_vps("from", "to") → setof; see its COMMENT. Errors: 22023 for a bad range. */
Datum
observ_storage_by_vps(PG_FUNCTION_ARGS)
{
	Survey survey = {.range = whole_days(PG_GETARG_TIMESTAMPTZ(0), PG_GETARG_TIMESTAMPTZ(1))};
	ObservIdentity saved;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	survey.result = (ReturnSetInfo *) fcinfo->resultinfo;
	saved = observ_as_owner_begin();
	SPI_connect();
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		survey_table(&survey, table);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}

/* observ_data._partitions() → setof (table_name, data_set, relid, "from", "to"): every partition, for views. */
Datum
observ_list_partitions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++) {
		int n;
		ObservPartition *partitions = observ_partitions_if_any(table->name, true, &n);

		for (int i = 0; i < n; i++) {
			Datum values[] = {CStringGetTextDatum(table->name), CStringGetTextDatum(table->data_set),
							  ObjectIdGetDatum(partitions[i].relid),
							  TimestampTzGetDatum(partitions[i].range.from),
							  TimestampTzGetDatum(partitions[i].range.to)};
			bool nulls[lengthof(values)] = {false};

			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
