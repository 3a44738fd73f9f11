/*
 * Small helpers for running SQL from C. What does not belong here: any SQL of a particular table.
 */
#include "postgres.h"

#include "ext/spi_util.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "catalog/pg_class.h"

/* Rows that a cursor holds at a time. */
#define FETCH_ROWS 1000

Oid
observ_relid(const char *table)
{
	Oid relid = get_relname_relid(table, get_namespace_oid("observ", false));

	if (!OidIsValid(relid))
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table observ.%s does not exist", table),
			 errhint("Restore it from a dump; or run DROP EXTENSION observ CASCADE; SET row_security = on; "
					 "CREATE EXTENSION observ.")));
	return relid;
}

AttrNumber
observ_column(Relation rel, const char *name, Oid type)
{
	AttrNumber number = get_attnum(RelationGetRelid(rel), name);
	Oid actual;

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(rel), name),
				 errhint("observ needs it: ALTER TABLE … ADD COLUMN %s %s.", name, format_type_be(type))));
	actual = TupleDescAttr(RelationGetDescr(rel), number - 1)->atttypid;
	if (!IsBinaryCoercible(actual, type))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of table \"%s\" has type %s instead of %s", name,
							   RelationGetRelationName(rel), format_type_be(actual), format_type_be(type)),
						errhint("ALTER TABLE … ALTER COLUMN %s TYPE %s.", name, format_type_be(type))));
	return number;
}

/* Owner of observ.collectors, which stands for all tables of observ: they are created and handed over together. */
static Oid
tables_owner(void)
{
	Oid relid = observ_relid("collectors");
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

ObservIdentity
observ_as_owner_begin(void)
{
	ObservIdentity saved;

	GetUserIdAndSecContext(&saved.user, &saved.context);
	saved.nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* Compiling a statement that runs in milliseconds costs more than it saves. */
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SetUserIdAndSecContext(tables_owner(), saved.context | SECURITY_LOCAL_USERID_CHANGE);
	return saved;
}

void
observ_as_owner_end(const ObservIdentity *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
	AtEOXact_GUC(true, saved->nest_level);
}

void
observ_spi_utility(const char *command)
{
	int rc;

	SPI_connect();
	rc = SPI_execute(command, false, 0);
	if (rc < 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("could not run a statement of observ: %s", SPI_result_code_string(rc)),
						errdetail("Statement: %s", command)));
	SPI_finish();
}

static uint64
finished(int rc, int expected, const char *sql)
{
	if (rc != expected)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("a statement of observ ended as %s instead of %s", SPI_result_code_string(rc),
							   SPI_result_code_string(expected)),
						errdetail("Statement: %s", sql)));
	return SPI_processed;
}

uint64
observ_spi(int expected, const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls)
{
	/* SPI leaves the caller in its own memory, which is gone with SPI_finish(). */
	MemoryContext caller = CurrentMemoryContext;
	int rc = SPI_execute_with_args(sql, nargs, (Oid *) types, (Datum *) values, nulls, false, 0);

	MemoryContextSwitchTo(caller);
	return finished(rc, expected, sql);
}

SPIPlanPtr
observ_spi_keep(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types)
{
	if (*plan == NULL) {
		SPIPlanPtr made = SPI_prepare_cursor(sql, nargs, (Oid *) types, CURSOR_OPT_GENERIC_PLAN);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare a statement of observ: %s", SPI_result_code_string(SPI_result));
		*plan = made;
	}
	return *plan;
}

static uint64
run_plan(SPIPlanPtr *plan, int expected, const char *sql, int nargs, const Oid *types, const Datum *values,
		 const char *nulls, bool read_only)
{
	MemoryContext caller = CurrentMemoryContext;
	int rc =
		SPI_execute_plan(observ_spi_keep(plan, sql, nargs, types), (Datum *) values, nulls, read_only, 0);

	MemoryContextSwitchTo(caller);
	return finished(rc, expected, sql);
}

uint64
observ_spi_kept(SPIPlanPtr *plan, int expected, const char *sql, int nargs, const Oid *types,
				const Datum *values, const char *nulls)
{
	return run_plan(plan, expected, sql, nargs, types, values, nulls, false);
}

void
observ_spi_each(const char *sql, int nargs, const Oid *types, const Datum *values, const char *nulls,
				void (*take)(void *arg, uint64 row), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	Portal portal =
		SPI_cursor_open_with_args(NULL, sql, nargs, (Oid *) types, (Datum *) values, nulls, true, 0);

	for (;;) {
		SPITupleTable *rows;
		uint64 n;

		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		/* SPI leaves its own. */
		MemoryContextSwitchTo(caller);
		rows = SPI_tuptable;
		n = SPI_processed;
		for (uint64 row = 0; row < n; row++) {
			take(arg, row);
			SPI_tuptable = rows;
		}
		SPI_freetuptable(rows);
		if (n == 0)
			break;
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	MemoryContextSwitchTo(caller);
}

int
observ_few_rows_begin(void)
{
	int nest_level = NewGUCNestLevel();

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
	return nest_level;
}

void
observ_few_rows_end(int nest_level)
{
	AtEOXact_GUC(true, nest_level);
}

Datum
observ_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
observ_array(Datum *values, int n, Oid type)
{
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

uint64
observ_spi_read(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types, const Datum *values,
				const char *nulls)
{
	return run_plan(plan, SPI_OK_SELECT, sql, nargs, types, values, nulls, true);
}

uint64
observ_spi_read_now(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types, const Datum *values,
					const char *nulls)
{
	uint64 found;

	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	found = observ_spi_read(plan, sql, nargs, types, values, nulls);
	PopActiveSnapshot();
	return found;
}

Datum
observ_spi_value(uint64 row, int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, number, isnull);
}

char *
observ_spi_text(uint64 row, int number)
{
	bool isnull;
	Datum value = observ_spi_value(row, number, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

TimestampTz
observ_spi_time(uint64 row, int number)
{
	return observ_spi_time_or(row, number, DT_NOBEGIN);
}

TimestampTz
observ_spi_time_or(uint64 row, int number, TimestampTz when_null)
{
	bool isnull;
	Datum value = observ_spi_value(row, number, &isnull);

	return isnull ? when_null : DatumGetTimestampTz(value);
}

int64
observ_spi_int64(uint64 row, int number)
{
	bool isnull;
	Datum value = observ_spi_value(row, number, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
observ_spi_int32(uint64 row, int number)
{
	bool isnull;
	Datum value = observ_spi_value(row, number, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
observ_spi_boolean(uint64 row, int number)
{
	bool isnull;
	Datum value = observ_spi_value(row, number, &isnull);

	return !isnull && DatumGetBool(value);
}

static bool
take_lock(int key, bool session, bool dont_wait)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OBSERV_LOCK_NAMESPACE, key, OBSERV_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, session, dont_wait) != LOCKACQUIRE_NOT_AVAIL;
}

bool
observ_try_job_lock(int job)
{
	return take_lock(job, false, true);
}

void
observ_wait_for_lock(int key)
{
	(void) take_lock(key, false, false);
}

bool
observ_try_session_lock(int job)
{
	return take_lock(job, true, true);
}

void
observ_release_session_lock(int job)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OBSERV_LOCK_NAMESPACE, job, OBSERV_LOCK_CLASS);
	(void) LockRelease(&tag, ExclusiveLock, true);
}
