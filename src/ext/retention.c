/*
 * Retention policies: reading observ.retention_policies, and which partitions they let go. observ.retention_preview() shows it.
 * What does not belong here: dropping (retention_apply.c).
 *
 * - A partition goes as a whole, when its end lies max_age back; so data lives up to one partition's width longer than max_age.
 * - max_size lets the oldest go until the data set fits, but never a partition that ends after `at`: that one is being written.
 * - A partition of a raw table that observ.roll_up() has not read yet is held back, unless it is empty.
 * - Months in max_age count 30 days, as in comparisons of intervals: every bound here is plain arithmetic in UTC.
 */
#include "postgres.h"

#include "ext/retention.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "ext/compat.h"
#include "ext/job_guard.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_retention_preview);

#define ROLL_UP_ALIVE_US (INT64CONST(1) * USECS_PER_DAY)

/* An enabled policy. */
typedef struct Policy {
	char *data_set;
	int64 max_age;  /* µs, PG_INT64_MAX: none */
	int64 max_size; /* bytes, PG_INT64_MAX: none */
} Policy;

/* How far observ.roll_up() has come with a raw table. */
typedef struct Watermark {
	char *table;
	TimestampTz rolled;
} Watermark;

typedef struct Listing {
	TimestampTz at;
	Watermark *watermarks;
	int n_watermarks;
	ObservExpiry *list;
	int n;
	int room;
	int64 open_size; /* of the current data set: what ends after `at` */
} Listing;

static const char policies_sql[] =
	"SELECT data_set, max_age, max_size FROM observ.retention_policies WHERE enabled ORDER BY data_set";

static const char watermarks_sql[] = "SELECT source, rolled_1h FROM observ_data.rollup_state";

static const char size_sql[] = "SELECT pg_total_relation_size(oid), pg_relation_size(oid), reltuples::float8 "
							   "FROM pg_class WHERE oid = $1";

static const char detached_sql[] =
	"SELECT d.table_name, d.\"from\", d.\"to\", c.oid, pg_total_relation_size(c.oid), c.reltuples::float8 "
	"FROM observ_data.retention_detached d JOIN pg_class c ON c.relname = d.relname "
	"AND c.relnamespace = 'observ_data'::regnamespace WHERE c.relkind = 'r' AND NOT c.relispartition "
	"ORDER BY d.table_name, d.\"from\"";

static const char detach_by_us_sql[] = "SELECT 1 FROM observ_data.retention_detached WHERE relname = $1";

/*
 * From when on rows of each data set or table are kept. What was dropped for its size counts only while it lies behind: a pass in virtual
 * time may have gone ahead.
 */
static const char floors_sql[] =
	"SELECT data_set, max_age, NULL::timestamptz FROM observ.retention_policies WHERE enabled AND max_age IS "
	"NOT NULL "
	"UNION ALL SELECT s.table_name, NULL, s.dropped_to FROM observ_data.retention_state s "
	"JOIN observ.retention_policies p USING (data_set) "
	"WHERE p.enabled AND p.max_size IS NOT NULL AND s.dropped_to <= $1";

static const char holders_sql[] =
	"SELECT string_agg(who, ', ' ORDER BY since), min(since) FROM (SELECT coalesce('pid ' || l.pid || "
	"coalesce(' (' || "
	"nullif(coalesce(nullif(a.application_name, ''), nullif(a.backend_type, 'client backend')), '') || ')', "
	"''), "
	"  'a prepared transaction') AS who, min(coalesce(a.xact_start, '-infinity')) AS since "
	"FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'relation' AND l.granted "
	"AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
	"AND l.relation = ANY ($1) AND l.pid IS DISTINCT FROM pg_backend_pid() GROUP BY 1 ORDER BY 2 LIMIT 5) h";

/* at + us without leaving the range of timestamps: its ends mean never. */
static TimestampTz
shifted(TimestampTz at, int64 us)
{
	TimestampTz result;

	if (us == PG_INT64_MAX || pg_add_s64_overflow(at, us, &result) || !IS_VALID_TIMESTAMP(result))
		return us > 0 ? DT_NOEND : DT_NOBEGIN;
	return result;
}

/* at - max_age */
static TimestampTz
age_floor(TimestampTz at, int64 max_age)
{
	return max_age == PG_INT64_MAX ? DT_NOBEGIN : shifted(at, -max_age);
}

static Policy *
read_policies(int *n)
{
	Policy *policies;

	*n = (int) observ_spi(SPI_OK_SELECT, policies_sql, 0, NULL, NULL, NULL);
	policies = palloc(sizeof(Policy) * Max(*n, 1));
	for (int i = 0; i < *n; i++) {
		bool no_age, no_size;
		Datum age = observ_spi_value(i, 2, &no_age);
		Datum size = observ_spi_value(i, 3, &no_size);

		policies[i].data_set = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		policies[i].max_age = no_age ? PG_INT64_MAX : observ_interval_usecs(DatumGetIntervalP(age));
		policies[i].max_size = no_size ? PG_INT64_MAX : DatumGetInt64(size);
	}
	return policies;
}

/*
 * Watermarks of what is to be waited for. observ.roll_up() is taken for switched off, and not waited for, when its period is 0 and its
 * watermark did not move for a day: somebody else, say pg_cron, may call it.
 */
static void
read_watermarks(Listing *l)
{
	const char *period = GetConfigOption("observ.roll_up_interval", true, false);
	bool scheduled = period != NULL && strcmp(period, "0") != 0;
	int n = (int) observ_spi(SPI_OK_SELECT, watermarks_sql, 0, NULL, NULL, NULL);

	l->watermarks = palloc(sizeof(Watermark) * Max(n, 1));
	for (int i = 0; i < n; i++) {
		bool isnull;
		TimestampTz rolled = DatumGetTimestampTz(observ_spi_value(i, 2, &isnull));

		if (!scheduled && rolled < shifted(l->at, -ROLL_UP_ALIVE_US))
			continue;
		l->watermarks[l->n_watermarks].table = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		l->watermarks[l->n_watermarks++].rolled = rolled;
	}
}

static bool
is_rolled_up(const Listing *l, const char *table, TimestampTz to)
{
	for (int i = 0; i < l->n_watermarks; i++)
		if (strcmp(l->watermarks[i].table, table) == 0)
			return l->watermarks[i].rolled >= to;
	return true;
}

static ObservExpiry *
new_expiry(Listing *l)
{
	if (l->n == l->room) {
		l->room = Max(64, l->room * 2);
		l->list = l->list == NULL ? palloc(sizeof(ObservExpiry) * l->room)
								  : repalloc(l->list, sizeof(ObservExpiry) * l->room);
	}
	l->list[l->n] = (ObservExpiry){.due = DT_NOEND};
	return &l->list[l->n++];
}

/* Sizes of a partition; false when it is gone. */
static bool
measure(ObservExpiry *e, bool *empty)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {OIDOID};
	Datum values[] = {ObjectIdGetDatum(e->relid)};
	bool gone, isnull;

	if (observ_spi_kept(&plan, SPI_OK_SELECT, size_sql, 1, types, values, NULL) == 0)
		return false;
	e->size = DatumGetInt64(observ_spi_value(0, 1, &gone));
	*empty = DatumGetInt64(observ_spi_value(0, 2, &isnull)) == 0;
	e->rows = DatumGetFloat8(observ_spi_value(0, 3, &isnull));
	return !gone;
}

static bool
detached_by_us(Oid relid)
{
	Oid types[] = {NAMEOID};
	Datum values[] = {DirectFunctionCall1(namein, CStringGetDatum(get_rel_name(relid)))};

	return observ_spi(SPI_OK_SELECT, detach_by_us_sql, 1, types, values, NULL) > 0;
}

/* A partition that DETACH … CONCURRENTLY has hidden: ours goes, whatever the policies say by now; somebody else's is theirs. */
static void
judge_detaching(ObservExpiry *e, TimestampTz at)
{
	if (!e->detaching)
		return;
	if (detached_by_us(e->relid)) {
		e->reason = "detached";
		e->due = Min(e->due, at);
		e->held_for = NULL;
	} else
		e->held_for = "it is being detached by hand";
}

static void
list_partition(Listing *l, const Policy *policy, const ObservPartitioned *table, Oid parent,
			   const ObservPartition *partition)
{
	ObservExpiry *e = new_expiry(l);
	bool empty;
	Oid of;

	e->table = table;
	e->parent = parent;
	e->relid = partition->relid;
	e->range = partition->range;
	if (!measure(e, &empty) || !observ_partition_state(e->relid, &of, &e->detaching) || of != parent) {
		l->n--;
		return;
	}
	if (e->range.to > l->at) {
		l->open_size += e->size;
		l->n--;
		return;
	}
	e->due = shifted(e->range.to, policy->max_age);
	e->reason = policy->max_age == PG_INT64_MAX ? NULL : "age";
	if (!empty && !is_rolled_up(l, table->name, e->range.to))
		e->held_for = "observ.roll_up() has not read it yet";
	judge_detaching(e, l->at);
}

static void
list_table(Listing *l, const Policy *policy, const ObservPartitioned *table)
{
	int n;
	ObservPartition *partitions = observ_partitions_if_any(table->name, true, &n);
	Oid parent = get_relname_relid(table->name, get_namespace_oid("observ", false));

	for (int i = 0; i < n; i++)
		list_partition(l, policy, table, parent, &partitions[i]);
}

static int
by_end(const void *a, const void *b)
{
	const ObservExpiry *x = a, *y = b;

	if (x->range.to != y->range.to)
		return x->range.to < y->range.to ? -1 : 1;
	return strcmp(x->table->name, y->table->name);
}

/* What max_size lets go of the data set that begins at list[first]; what goes for its age makes room already. */
static void
limit_size(Listing *l, const Policy *policy, int first)
{
	int64 total = l->open_size;

	for (int i = first; i < l->n; i++)
		if (l->list[i].due > l->at)
			total += l->list[i].size;
	for (int i = first; i < l->n && total > policy->max_size; i++) {
		ObservExpiry *e = &l->list[i];

		if (e->due <= l->at)
			continue;
		e->reason = "size";
		e->due = l->at;
		total -= e->size;
	}
}

static void
list_data_set(Listing *l, const Policy *policy)
{
	int first = l->n;

	l->open_size = 0;
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		if (strcmp(table->data_set, policy->data_set) == 0)
			list_table(l, policy, table);
	if (l->n > first)
		qsort(l->list + first, l->n - first, sizeof(ObservExpiry), by_end);
	limit_size(l, policy, first);
}

/* What a DETACH … CONCURRENTLY of ours has left to drop. */
static void
list_detached(Listing *l)
{
	int n = (int) observ_spi(SPI_OK_SELECT, detached_sql, 0, NULL, NULL, NULL);

	for (int i = 0; i < n; i++) {
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		const ObservPartitioned *table = observ_partitioned;
		ObservExpiry *e;
		bool isnull;

		while (table->name != NULL && strcmp(table->name, name) != 0)
			table++;
		if (table->name == NULL)
			continue;
		e = new_expiry(l);
		e->table = table;
		e->range.from = DatumGetTimestampTz(observ_spi_value(i, 2, &isnull));
		e->range.to = DatumGetTimestampTz(observ_spi_value(i, 3, &isnull));
		e->relid = DatumGetObjectId(observ_spi_value(i, 4, &isnull));
		e->size = DatumGetInt64(observ_spi_value(i, 5, &isnull));
		e->rows = DatumGetFloat8(observ_spi_value(i, 6, &isnull));
		e->reason = "detached";
		e->due = Min(e->range.to, l->at);
	}
}

ObservExpiry *
observ_retention_list(TimestampTz at, int *n)
{
	Listing l = {.at = at};
	int n_policies;
	Policy *policies = read_policies(&n_policies);

	read_watermarks(&l);
	for (int i = 0; i < n_policies; i++)
		if (policies[i].max_age != PG_INT64_MAX || policies[i].max_size != PG_INT64_MAX)
			list_data_set(&l, &policies[i]);
	list_detached(&l);
	*n = l.n;
	return l.list;
}

bool
observ_retention_is_due(const ObservExpiry *expiry, TimestampTz at)
{
	return expiry->due <= at && expiry->held_for == NULL;
}

/* The latest of the floors that apply to the table (NULL: to any table that agents write). */
static TimestampTz
floor_of(const ObservPartitioned *table, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(at)};
	TimestampTz result = DT_NOBEGIN;
	int n = (int) observ_spi_kept(&plan, SPI_OK_SELECT, floors_sql, 1, types, values, NULL);

	for (int i = 0; i < n; i++) {
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		bool no_age, no_state;
		Datum age = observ_spi_value(i, 2, &no_age);
		Datum dropped_to = observ_spi_value(i, 3, &no_state);
		TimestampTz bound = no_age ? DatumGetTimestampTz(dropped_to)
								   : age_floor(at, observ_interval_usecs(DatumGetIntervalP(age)));

		for (const ObservPartitioned *t = observ_partitioned; t->name != NULL; t++)
			if (strcmp(no_age ? t->name : t->data_set, name) == 0 && (table == NULL ? t->raw : t == table))
				result = Max(result, bound);
	}
	return result;
}

TimestampTz
observ_retention_floor(const ObservPartitioned *table, TimestampTz at)
{
	return floor_of(table, at);
}

TimestampTz
observ_retention_floor_of_agents(TimestampTz at)
{
	return floor_of(NULL, at);
}

char *
observ_lock_holders(const Oid *relids, int n, TimestampTz *since)
{
	Oid types[] = {OIDARRAYOID};
	Datum *elements = palloc(sizeof(Datum) * Max(n, 1));
	Datum values[1];
	Datum oldest;
	bool nobody;

	for (int i = 0; i < n; i++)
		elements[i] = ObjectIdGetDatum(relids[i]);
	values[0] = observ_array(elements, n, OIDOID);
	observ_spi(SPI_OK_SELECT, holders_sql, 1, types, values, NULL);
	oldest = observ_spi_value(0, 2, &nobody);
	if (since != NULL)
		*since = nobody ? DT_NOEND : DatumGetTimestampTz(oldest);
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Why a partition that is due may stay all the same, for people; NULL: nothing is known. */
static char *
waits_for(const ObservExpiry *e, TimestampTz at)
{
	Oid relids[] = {e->relid, e->parent};

	if (e->due > at)
		return NULL;
	if (e->held_for != NULL)
		return pstrdup(e->held_for);
	return RecoveryInProgress() ? NULL : observ_lock_holders(relids, OidIsValid(e->parent) ? 2 : 1, NULL);
}

static void
put_expiry(ReturnSetInfo *result, const ObservExpiry *e, TimestampTz at)
{
	char *name = get_rel_name(e->relid);
	char *waits = waits_for(e, at);
	Datum values[9];
	bool nulls[9] = {false};

	if (name == NULL)
		return;
	values[0] = CStringGetTextDatum(e->table->data_set);
	values[1] = CStringGetTextDatum(name);
	values[2] = TimestampTzGetDatum(e->range.from);
	values[3] = TimestampTzGetDatum(e->range.to);
	values[4] = Int64GetDatum(e->size);
	nulls[5] = e->rows < 0;
	values[5] = Int64GetDatum((int64) e->rows);
	nulls[6] = e->reason == NULL;
	values[6] = nulls[6] ? (Datum) 0 : CStringGetTextDatum(e->reason);
	nulls[7] = e->due == DT_NOEND;
	values[7] = TimestampTzGetDatum(e->due);
	nulls[8] = waits == NULL;
	values[8] = nulls[8] ? (Datum) 0 : CStringGetTextDatum(waits);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
put_old_rows(ReturnSetInfo *result, const ObservOldRows *old)
{
	Datum values[9] = {CStringGetTextDatum(old->data_set),
					   CStringGetTextDatum(old->table),
					   TimestampTzGetDatum(old->oldest),
					   TimestampTzGetDatum(old->newest),
					   (Datum) 0,
					   Int64GetDatum(old->rows),
					   CStringGetTextDatum("age"),
					   TimestampTzGetDatum(old->due)};
	bool nulls[9] = {[4] = true, [8] = true};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* observ.retention_preview(at) → setof; see its COMMENT. */
Datum
observ_retention_preview(PG_FUNCTION_ARGS)
{
	TimestampTz at = observ_job_time(fcinfo);
	ObservIdentity saved;
	ObservOldRows rows[OBSERV_ROW_TABLES];
	ObservExpiry *list;
	int n;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	list = observ_retention_list(at, &n);
	for (int i = 0; i < n; i++)
		put_expiry((ReturnSetInfo *) fcinfo->resultinfo, &list[i], at);
	n = observ_retention_list_rows(at, rows);
	for (int i = 0; i < n; i++)
		put_old_rows((ReturnSetInfo *) fcinfo->resultinfo, &rows[i]);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
