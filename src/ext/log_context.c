/*
 * observ.log_context(): what else a source logged around one entry. What does not belong here: searching (log_search.c).
 *
 * The entry is found by its id through the BRIN index, which knows the range of ids of every 32 pages: ids are handed out in the order of arrival.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "utils/builtins.h"

OBSERV_SQL_FUNCTION(observ_log_context);

#define MAX_LINES      10000
#define RESULT_COLUMNS 10

#define COLUMNS "id, \"timestamp\", vps_name, app_name, level, message, context, logger, source"

static const char entry_sql[] = "SELECT " COLUMNS " FROM observ.log_entries WHERE id = $1";

#define SAME_SOURCE                                                                                          \
	"SELECT " COLUMNS                                                                                        \
	" FROM observ.log_entries WHERE vps_name = $1 AND app_name = $2 AND source IS NOT DISTINCT FROM $3 "

static const char before_sql[] = SAME_SOURCE "AND \"timestamp\" <= $4 AND (\"timestamp\", id) < ($4, $5) "
											 "ORDER BY \"timestamp\" DESC, id DESC LIMIT $6";

static const char after_sql[] = SAME_SOURCE
	"AND \"timestamp\" >= $4 AND (\"timestamp\", id) > ($4, $5) ORDER BY \"timestamp\", id LIMIT $6";

/* Number of a column of COLUMNS. */
enum { ID = 1, TIMESTAMP, VPS_NAME, APP_NAME, LEVEL, MESSAGE, CONTEXT, LOGGER, SOURCE };

/* Puts row `row` of the current result out, `distance` lines from the entry. */
static void
emit(ReturnSetInfo *result, uint64 row, int distance)
{
	Datum values[RESULT_COLUMNS];
	bool nulls[RESULT_COLUMNS];

	heap_deform_tuple(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, values, nulls);
	values[RESULT_COLUMNS - 1] = Int32GetDatum(distance);
	nulls[RESULT_COLUMNS - 1] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* The entry as parameters of before_sql and after_sql; false when there is none of that id. */
static bool
find_entry(int64 id, Datum *values, char *nulls)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {INT8OID};
	static const int columns[] = {VPS_NAME, APP_NAME, SOURCE, TIMESTAMP, ID};
	int nest_level = observ_few_rows_begin();
	uint64 n = observ_spi_read(&plan, entry_sql, 1, types, &(Datum){Int64GetDatum(id)}, NULL);

	observ_few_rows_end(nest_level);
	for (size_t i = 0; n > 0 && i < lengthof(columns); i++) {
		bool isnull;

		values[i] = observ_spi_value(0, columns[i], &isnull);
		nulls[i] = isnull ? 'n' : ' ';
	}
	return n > 0;
}

static void
put_context(int64 id, int lines, ReturnSetInfo *result)
{
	static SPIPlanPtr before = NULL, after = NULL;
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID};
	Datum values[lengthof(types)];
	char nulls[lengthof(types)];
	SPITupleTable *entry;
	uint64 n;

	if (!find_entry(id, values, nulls))
		return;
	entry = SPI_tuptable;
	values[5] = Int64GetDatum(lines);
	nulls[5] = ' ';
	n = observ_spi_read(&before, before_sql, lengthof(types), types, values, nulls);
	for (uint64 i = n; i-- > 0;)
		emit(result, i, -(int) (i + 1));
	SPI_tuptable = entry;
	emit(result, 0, 0);
	n = observ_spi_read(&after, after_sql, lengthof(types), types, values, nulls);
	for (uint64 i = 0; i < n; i++)
		emit(result, i, (int) (i + 1));
}

/*
 * observ.log_context(id, n) → set of rows; see its COMMENT. Errors: 22023 for a number of lines that can't be one.
 */
Datum
observ_log_context(PG_FUNCTION_ARGS)
{
	int lines = PG_GETARG_INT32(1);
	ObservIdentity saved;

	observ_require_versions();
	if (lines < 0 || lines > MAX_LINES)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("context of a log entry has 0 to %d lines", MAX_LINES),
						errdetail("Given: %d.", lines)));
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	put_context(PG_GETARG_INT64(0), lines, (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
