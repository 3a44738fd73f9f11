/*
 * observ.update_log_templates(): message templates and counts are kept up to date with what arrives, each entry counted once; counts of
 * partitions that are gone go, too; and the pending lists of the GIN indexes that grew are merged, because every search reads them.
 * What does not belong here: counting (log_tally.c), what has arrived (arrivals.c).
 *
 * A pass reads the entries received in [horizon of the last pass, horizon of what has arrived) in slices of bounded size. Counts and the new
 * horizon are one transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "ext/arrivals.h"
#include "ext/brin.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/log_tally.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_update_log_templates);

#define FETCH_ROWS 5000
/* Entries of one slice; it is halved when it has more, down to SLICE_MIN_US, which then has as many as it has. */
#define SLICE_ROWS   INT64CONST(200000)
#define SLICE_MIN_US USECS_PER_SEC
/* Entries after which a pass leaves the rest to the next one. */
#define PASS_ROWS INT64CONST(1000000)

static const char new_entries_sql[] =
	"SELECT \"timestamp\", app_name, level, message, tableoid FROM observ.log_entries "
	"WHERE received_at >= $1 AND received_at < $2";

typedef struct Pass {
	ObservLogTally tally;
	TimestampTz reached; /* entries received before this are counted */
	TimestampTz trimmed_to;
	List *touched; /* partitions that entries came to */
	int64 entries, others, trimmed;
	int indexes_cleaned;
	TimestampTz horizon;
} Pass;

static void
read_state(Pass *pass)
{
	bool isnull;

	if (observ_spi(SPI_OK_SELECT, "SELECT horizon, trimmed_to FROM observ_data.log_state", 0, NULL, NULL,
				   NULL) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("observ_data.log_state is empty"),
			 errhint("TRUNCATE observ.log_templates, observ.log_template_counts, observ.log_counts; INSERT "
					 "INTO observ_data.log_state VALUES ('-infinity', '-infinity').")));
	pass->reached = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
	pass->trimmed_to = DatumGetTimestampTz(observ_spi_value(0, 2, &isnull));
}

static void
write_state(const Pass *pass)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(pass->reached), TimestampTzGetDatum(pass->trimmed_to)};

	observ_spi(SPI_OK_UPDATE, "UPDATE observ_data.log_state SET horizon = $1, trimmed_to = $2", 2, types,
			   values, NULL);
}

/* Where the first pass begins; false when there are no entries. */
static bool
find_beginning(Pass *pass)
{
	bool isnull;
	Datum first;

	if (!TIMESTAMP_NOT_FINITE(pass->reached))
		return true;
	observ_spi(SPI_OK_SELECT,
			   "SELECT min(received_at) FROM observ.log_entries WHERE received_at > '-infinity'", 0, NULL,
			   NULL, NULL);
	first = observ_spi_value(0, 1, &isnull);
	if (!isnull)
		pass->reached = DatumGetTimestampTz(first);
	return !isnull;
}

static void
count_row(Pass *pass, HeapTuple row, TupleDesc desc)
{
	Datum values[5];
	bool nulls[5];

	heap_deform_tuple(row, desc, values, nulls);
	observ_log_tally_add(&pass->tally, DatumGetTimestampTz(values[0]), values[1], values[2], values[3]);
	pass->touched = list_append_unique_oid(pass->touched, DatumGetObjectId(values[4]));
}

/* Counts the entries received in [from, to); false, and nothing is counted, when there are more than `most`. */
static bool
count_slice(Pass *pass, TimestampTz from, TimestampTz to, int64 most)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(to)};
	int nest_level = observ_few_rows_begin();
	Portal portal =
		SPI_cursor_open(NULL, observ_spi_keep(&plan, new_entries_sql, 2, types), values, NULL, false);
	bool fits = true;

	while (fits) {
		SPITupleTable *rows;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		if (rows->numvals == 0)
			break;
		for (uint64 i = 0; i < rows->numvals; i++)
			count_row(pass, rows->vals[i], rows->tupdesc);
		SPI_freetuptable(rows);
		fits = pass->tally.entries <= most;
	}
	SPI_cursor_close(portal);
	observ_few_rows_end(nest_level);
	if (!fits)
		observ_log_tally_discard(&pass->tally);
	return fits;
}

/* Takes in what arrived, slice by slice. */
static void
take_new_entries(Pass *pass)
{
	static int64 width = PG_INT64_MAX; /* of a slice that fits, as far as is known */

	while (pass->reached < pass->horizon && pass->entries < PASS_ROWS) {
		int64 step = Min(width, pass->horizon - pass->reached);
		TimestampTz to = pass->reached + step;

		CHECK_FOR_INTERRUPTS();
		if (!count_slice(pass, pass->reached, to, step > SLICE_MIN_US ? SLICE_ROWS : PG_INT64_MAX)) {
			width = Max(step / 2, SLICE_MIN_US);
			continue;
		}
		if (pass->tally.entries < SLICE_ROWS / 4 && width < PG_INT64_MAX / 2)
			width *= 2;
		pass->entries += pass->tally.entries;
		pass->others += pass->tally.others;
		pass->reached = to;
		observ_log_tally_write(&pass->tally);
	}
}

/* Counts of partitions that were dropped; true when there was something to do. */
static bool
trim(Pass *pass)
{
	static const char *const statements[] = {
		"DELETE FROM observ.log_counts WHERE \"timestamp\" < $1",
		"DELETE FROM observ.log_template_counts WHERE \"timestamp\" < date_trunc('hour', $1, 'UTC')",
		"DELETE FROM observ.log_templates WHERE last_seen < $1"};
	TimestampTz oldest = observ_oldest_partition("log_entries");
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(oldest)};

	if (oldest == DT_NOEND || oldest <= pass->trimmed_to)
		return false;
	for (size_t i = 0; i < lengthof(statements); i++)
		pass->trimmed += observ_spi(SPI_OK_DELETE, statements[i], 1, types, values, NULL);
	pass->trimmed_to = oldest;
	return true;
}

/* Merges the pending list of each GIN index of a partition, if it is ours: nobody else's may be cleaned. */
static void
clean_indexes(Pass *pass, Oid partition)
{
	Relation rel = try_table_open(partition, AccessShareLock);
	List *indexes = rel == NULL ? NIL : RelationGetIndexList(rel);
	ListCell *cell;

	foreach (cell, indexes) {
		Oid types[] = {REGCLASSOID};
		Datum oid = ObjectIdGetDatum(lfirst_oid(cell));
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		bool ours = index->rd_rel->relam == GIN_AM_OID && index->rd_index->indisvalid &&
					pg_class_ownercheck(lfirst_oid(cell), GetUserId());

		index_close(index, NoLock);
		if (!ours)
			continue;
		observ_spi(SPI_OK_SELECT, "SELECT gin_clean_pending_list($1)", 1, types, &oid, NULL);
		pass->indexes_cleaned++;
	}
	if (rel != NULL)
		table_close(rel, NoLock);
}

static void
update(Pass *pass, TimestampTz at)
{
	ListCell *cell;
	TimestampTz before;
	bool trimmed;

	pass->horizon = observ_arrival_horizon();
	read_state(pass);
	observ_log_tally_begin(&pass->tally, observ_log_templates_max);
	before = pass->reached;
	if (find_beginning(pass))
		take_new_entries(pass);
	/* The beginning that was found is that of visible entries: whoever is writing may have earlier ones. */
	if (pass->entries == 0)
		pass->reached = before;
	trimmed = trim(pass);
	if (pass->entries > 0 || trimmed)
		write_state(pass);
	foreach (cell, pass->touched)
		clean_indexes(pass, lfirst_oid(cell));
	if (pass->entries > 0)
		observ_summarize_newest("log_entries", at);
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Pass *pass)
{
	Datum values[7];
	bool nulls[7] = {false};

	values[0] = CStringGetTextDatum(status);
	values[1] = Int64GetDatum(pass->entries);
	values[2] = Int64GetDatum(pass->tally.new_templates);
	values[3] = Int64GetDatum(pass->others);
	nulls[4] = pass->horizon == 0;
	values[4] = nulls[4] || pass->reached >= pass->horizon || TIMESTAMP_NOT_FINITE(pass->reached)
					? IntervalPGetDatum(palloc0(sizeof(Interval)))
					: DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(pass->horizon),
										  TimestampTzGetDatum(pass->reached));
	values[5] = Int64GetDatum(pass->trimmed);
	values[6] = Int32GetDatum(pass->indexes_cleaned);
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.update_log_templates(at) → one row; see its COMMENT. Errors: 22008 for an infinite time.
 */
Datum
observ_update_log_templates(PG_FUNCTION_ARGS)
{
	TimestampTz at = observ_job_time(fcinfo);
	Pass pass = {0};
	ObservIdentity saved;
	const char *refused = observ_job_guard(OBSERV_LOCK_LOG_TEMPLATES);

	if (refused != NULL)
		return result_row(fcinfo, refused, &pass);
	saved = observ_as_owner_begin();
	SPI_connect();
	update(&pass, at);
	SPI_finish();
	observ_as_owner_end(&saved);
	return result_row(fcinfo, "ok", &pass);
}
