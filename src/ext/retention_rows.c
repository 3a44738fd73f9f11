/*
 * Rows of alerting that go one by one, because their tables are not partitioned: by max_age of data set alerts. What does not belong here: partitions
 * (retention.c, retention_apply.c).
 *
 * Only what is over goes: alerts that are resolved and that everybody who was told of knows to be, notifications that need not be sent any more,
 * silences that have ended. What somebody has locked is left to the next run, and so is what is more than MAX_ROWS.
 */
#include "postgres.h"

#include "ext/retention.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "ext/silences.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define DATA_SET   "alerts"
#define BATCH_ROWS 5000
#define MAX_ROWS   100000 /* per table and run */

typedef struct RowTable {
	const char *name;
	const char *key;
	const char *time;      /* what its age is counted from */
	const char *condition; /* of x, with $1: rows go that are older */
} RowTable;

/* In the order in which they go: an audit is kept as long as its silence. */
static const RowTable tables[] = {
	{"alerts", "alert_id", "ends_at",
	 "x.status = 'resolved' AND x.ends_at < $1 AND NOT x.unrouted "
	 "AND NOT EXISTS (SELECT FROM observ_data.group_members m WHERE m.alert_id = x.alert_id) "
	 "AND NOT EXISTS (SELECT FROM observ_data.told t WHERE t.alert_id = x.alert_id)"},
	{"notifications", "notification_id", "\"timestamp\"",
	 "x.status IN ('sent', 'dead', 'cancelled') AND x.\"timestamp\" < $1 "
	 "AND coalesce(x.finished_at < $1, true)"},
	{"silences", "silence_id", "ends_at", "x.ends_at < $1"},
	{"silence_audit", "id", "\"timestamp\"",
	 "x.\"timestamp\" < $1 AND NOT EXISTS (SELECT FROM observ.silences s WHERE s.silence_id = x.silence_id)"},
};

typedef struct Work {
	TimestampTz before;
	int64 deleted;
} Work;

/* max_age of the policy in µs; false: nothing goes for its age. */
static bool
read_max_age(int64 *max_age)
{
	bool isnull;

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT max_age FROM observ.retention_policies "
				   "WHERE data_set = '" DATA_SET "' AND enabled AND max_age IS NOT NULL",
				   0, NULL, NULL, NULL) == 0)
		return false;
	*max_age = observ_interval_usecs(DatumGetIntervalP(observ_spi_value(0, 1, &isnull)));
	return true;
}

/* The time that rows must be older than; DT_NOBEGIN: none are. */
static TimestampTz
time_before(TimestampTz at, int64 max_age)
{
	TimestampTz before;

	return pg_sub_s64_overflow(at, max_age, &before) || !IS_VALID_TIMESTAMP(before) ? DT_NOBEGIN : before;
}

static void
delete_rows(void *arg)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Work *work = arg;
	Datum values[] = {TimestampTzGetDatum(work->before)};

	for (size_t i = 0; i < lengthof(tables); i++) {
		const RowTable *t = &tables[i];
		char *sql = psprintf("DELETE FROM observ.%s WHERE %s IN (SELECT x.%s FROM observ.%s x WHERE %s "
							 "LIMIT %d FOR UPDATE SKIP LOCKED)",
							 t->name, t->key, t->key, t->name, t->condition, BATCH_ROWS);
		uint64 n = BATCH_ROWS;

		for (int batch = 0; n == BATCH_ROWS && batch < MAX_ROWS / BATCH_ROWS; batch++) {
			CHECK_FOR_INTERRUPTS();
			n = observ_spi(SPI_OK_DELETE, sql, 1, types, values, NULL);
			work->deleted += n;
		}
	}
}

/* The trigger of silences lets nobody else delete one. */
static void
delete_with_silences(void *arg)
{
	observ_set_silences_forgotten(true);
	PG_TRY();
	{
		delete_rows(arg);
	}
	PG_FINALLY();
	{
		observ_set_silences_forgotten(false);
	}
	PG_END_TRY();
}

bool
observ_retention_delete_rows(TimestampTz at, int64 *deleted)
{
	Work work = {0};
	int64 max_age;
	ErrorData *error;

	*deleted = 0;
	if (!read_max_age(&max_age) || (work.before = time_before(at, max_age)) == DT_NOBEGIN)
		return true;
	error = observ_in_subtransaction(delete_with_silences, &work);
	if (error == NULL) {
		*deleted = work.deleted;
		return true;
	}
	/* Somebody has a whole table locked: the next run is early enough. */
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
		return true;
	ereport(WARNING,
			(errcode(error->sqlerrcode), errmsg("could not delete old rows of alerting: %s", error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 error->hint ? errhint("%s", error->hint) : 0));
	return false;
}

int
observ_retention_list_rows(TimestampTz at, ObservOldRows *list)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum values[1];
	int64 max_age;
	TimestampTz before;
	int found = 0;

	StaticAssertStmt(lengthof(tables) <= OBSERV_ROW_TABLES, "room for each table");
	if (!read_max_age(&max_age) || (before = time_before(at, max_age)) == DT_NOBEGIN)
		return 0;
	values[0] = TimestampTzGetDatum(before);
	for (size_t i = 0; i < lengthof(tables); i++) {
		const RowTable *t = &tables[i];
		bool isnull;

		observ_spi(SPI_OK_SELECT,
				   psprintf("SELECT min(x.%s), max(x.%s), count(*) FROM observ.%s x WHERE %s", t->time,
							t->time, t->name, t->condition),
				   1, types, values, NULL);
		list[found] = (ObservOldRows){.data_set = DATA_SET, .table = t->name};
		list[found].oldest = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
		if (isnull)
			continue;
		list[found].newest = DatumGetTimestampTz(observ_spi_value(0, 2, &isnull));
		list[found].rows = DatumGetInt64(observ_spi_value(0, 3, &isnull));
		list[found].due = list[found].oldest + max_age;
		found++;
	}
	return found;
}
