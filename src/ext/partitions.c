/*
 * observ.maintain_partitions(): partitions of the raw tables exist ahead of the clock and as far back as late rows may lie.
 * What does not belong here: dropping partitions (retention), verifying restored ones (partitions_check.c).
 *
 * - CREATE TABLE (LIKE …) + ATTACH takes SHARE UPDATE EXCLUSIVE on the parent: readers and writers go on (storage.md 2.3).
 * - Bounds come from epoch arithmetic in UTC, never from a session's time zone, and from the given time only, never from the
 *   data: one row from the future must not create partitions.
 * - The catalog is the truth about what exists; names are for people.
 */
#include "postgres.h"

#include "ext/partitions.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/retention.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "ext/times.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_maintain_partitions);

#define MAX_NAME_ATTEMPTS   10
#define QUARANTINE_MAX_ROWS 100000
#define QUARANTINE_MAX_AGE  "30 days"

/* Metrics by parameter, the rest by volume (storage.md 2.2). */
const ObservPartitioned observ_partitioned[] = {
	{"vps_metrics", "vps_metrics", true, 1, &observ_metrics_partition_width},
	{"health_checks", "health_checks", true, SECS_PER_DAY},
	{"log_entries", "log_entries", true, SECS_PER_DAY},
	{"events", "events", true, 28 * SECS_PER_DAY},
	{"metric_scrapes", "metric_samples", true, SECS_PER_DAY},
	{"metrics_5m", "rollup_5m", false, 7 * SECS_PER_DAY},
	{"metrics_1h", "rollup_1h", false, 28 * SECS_PER_DAY},
	{"health_5m", "rollup_5m", false, 7 * SECS_PER_DAY},
	{"health_1h", "rollup_1h", false, 28 * SECS_PER_DAY},
	{"alert_history", "alerts", false, 28 * SECS_PER_DAY},
	{"notification_decisions", "alerts", false, 28 * SECS_PER_DAY},
	{"notification_attempts", "alerts", false, 28 * SECS_PER_DAY},
	{NULL},
};

int64
observ_partition_width(const ObservPartitioned *table)
{
	return (int64) table->width * (table->parameter ? *table->parameter : 1);
}

/* A timestamp as ISO text in UTC, whatever the session's TimeZone and DateStyle are. */
static char *
utc_text(TimestampTz at, const char *format)
{
	struct pg_tm tm;
	fsec_t fsec;

	if (timestamp2tm((Timestamp) at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return psprintf(format, tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

ObservPartition *
observ_partitions(Relation parent, bool with_detached, int *n)
{
	PartitionDesc desc = RelationGetPartitionDesc(parent, !with_detached);
	PartitionBoundInfo bounds = desc->boundinfo;
	ObservPartition *partitions = palloc(sizeof(ObservPartition) * Max(desc->nparts, 1));

	*n = 0;
	if (desc->nparts == 0)
		return partitions;
	/* indexes[i] is the partition that ends at datum i, and it begins at datum i - 1. */
	for (int i = 1; i < bounds->ndatums; i++) {
		ObservPartition *found = &partitions[*n];

		if (bounds->indexes[i] < 0)
			continue;
		found->relid = desc->oids[bounds->indexes[i]];
		found->range.from = bounds->kind[i - 1][0] == PARTITION_RANGE_DATUM_VALUE
								? DatumGetTimestampTz(bounds->datums[i - 1][0])
								: DT_NOBEGIN;
		found->range.to = bounds->kind[i][0] == PARTITION_RANGE_DATUM_VALUE
							  ? DatumGetTimestampTz(bounds->datums[i][0])
							  : DT_NOEND;
		(*n)++;
	}
	return partitions;
}

/* Not locked any longer: a lock that is kept would be in the way of others for as long as the transaction lasts. */
static ObservPartition *
partitions_of(Oid relid, bool with_detached, int *n)
{
	Relation parent = table_open(relid, AccessShareLock);
	ObservPartition *partitions = observ_partitions(parent, with_detached, n);

	table_close(parent, AccessShareLock);
	return partitions;
}

ObservPartition *
observ_partitions_of(const char *table, bool with_detached, int *n)
{
	return partitions_of(observ_relid(table), with_detached, n);
}

ObservPartition *
observ_partitions_if_any(const char *table, bool with_detached, int *n)
{
	Oid relid = get_relname_relid(table, get_namespace_oid("observ", false));

	*n = 0;
	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return NULL;
	return partitions_of(relid, with_detached, n);
}

TimestampTz
observ_oldest_partition(const char *table)
{
	int n;
	ObservPartition *partitions = observ_partitions_of(table, false, &n);

	return n > 0 ? partitions[0].range.from : DT_NOEND;
}

bool
observ_partition_state(Oid relid, Oid *parent, bool *detaching)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple)) {
		*parent = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent;
		*detaching = ((Form_pg_inherits) GETSTRUCT(tuple))->inhdetachpending;
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return HeapTupleIsValid(tuple);
}

static Relation
open_raw_table(const char *table)
{
	return table_open(observ_relid(table), AccessShareLock);
}

TimestampTz
observ_covered_to(const char *table, TimestampTz at)
{
	Relation parent = open_raw_table(table);
	int n;
	ObservPartition *partitions = observ_partitions(parent, true, &n);
	TimestampTz covered = at;
	bool detaching;
	Oid of;

	for (int i = 0; i < n; i++)
		if (partitions[i].range.from <= covered && covered < partitions[i].range.to &&
			observ_partition_state(partitions[i].relid, &of, &detaching) && !detaching)
			covered = partitions[i].range.to;
	pfree(partitions);
	table_close(parent, AccessShareLock);
	return covered;
}

void
observ_require_partition(const char *table, TimestampTz now)
{
	if (observ_covered_to(table, now) <= now)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("observ.%s has no partition for now", table),
				 errhint("See SELECT * FROM observ.status(), or run SELECT observ.maintain_partitions().")));
}

/* The one that contains `at`; NULL when there is none. */
static const ObservPartition *
partition_with(const ObservPartition *partitions, int n, TimestampTz at)
{
	for (int i = 0; i < n; i++)
		if (partitions[i].range.from <= at && at < partitions[i].range.to)
			return &partitions[i];
	return NULL;
}

Oid
observ_partition_of(const char *table, TimestampTz at)
{
	int n;
	ObservPartition *partitions = observ_partitions_of(table, false, &n);
	const ObservPartition *found = partition_with(partitions, n, at);
	Oid relid = found != NULL ? found->relid : InvalidOid;

	pfree(partitions);
	return relid;
}

/*
 * Name for a partition of that range: a free one or, when orphans may be adopted, that of a table which an interrupted run or
 * a detach left behind (*orphan). What else bears the name is stepped around.
 */
static char *
partition_name(const char *table, const ObservRange *range, bool adopt, bool *orphan)
{
	Oid schema = get_namespace_oid("observ_data", false);
	bool whole_day = range->from % USECS_PER_DAY == 0 && range->to % USECS_PER_DAY == 0;
	char *base =
		psprintf("%s_%s", table, utc_text(range->from, whole_day ? "%04d%02d%02d" : "%04d%02d%02d_%02d%02d"));

	for (int attempt = 0; attempt < MAX_NAME_ATTEMPTS; attempt++) {
		char *name = attempt == 0 ? base : psprintf("%s_%d", base, attempt);
		Oid relid = get_relname_relid(name, schema);

		*orphan = adopt && OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_RELATION &&
				  !get_rel_relispartition(relid);
		if (!OidIsValid(relid) || *orphan)
			return name;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_TABLE), errmsg("no free name for a partition of observ.%s", table),
			 errdetail("%s and its numbered variants are taken in schema observ_data.", base),
			 errhint("Rename or drop them.")));
}

static void
create_partition(const char *table, const ObservRange *range, bool adopt)
{
	static const char *const iso = "%04d-%02d-%02d %02d:%02d:%02d+00";
	bool orphan;
	char *name = partition_name(table, range, adopt, &orphan);

	if (!orphan)
		observ_spi(SPI_OK_UTILITY,
				   psprintf("CREATE TABLE observ_data.%s (LIKE observ.%s INCLUDING ALL EXCLUDING IDENTITY)",
							quote_identifier(name), quote_identifier(table)),
				   0, NULL, NULL, NULL);
	observ_spi(
		SPI_OK_UTILITY,
		psprintf("ALTER TABLE observ.%s ATTACH PARTITION observ_data.%s FOR VALUES FROM ('%s') TO ('%s')",
				 quote_identifier(table), quote_identifier(name), utc_text(range->from, iso),
				 utc_text(range->to, iso)),
		0, NULL, NULL, NULL);
}

typedef struct Attempt {
	const char *table;
	const ObservRange *range;
	bool adopt;
} Attempt;

static void
attempt_partition(void *arg)
{
	const Attempt *attempt = arg;

	create_partition(attempt->table, attempt->range, attempt->adopt);
}

/* A partition that can't be made is a warning. */
static bool
try_create_partition(const char *table, const ObservRange *range, bool adopt)
{
	Attempt attempt = {table, range, adopt};
	ErrorData *error = observ_in_subtransaction(attempt_partition, &attempt);

	if (error == NULL)
		return true;
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("could not create a partition of observ.%s: %s", table, error->message),
					  errdetail("Its range begins at %s.", timestamptz_to_str(range->from))));
	FreeErrorData(error);
	return false;
}

/* Fills what of one slot [slot.from, slot.to) no partition covers yet, unless it ends by `first`; partitions are sorted. */
static void
fill_slot(const char *table, ObservRange slot, TimestampTz first, const ObservPartition *partitions, int n,
		  ObservMaintenance *done)
{
	TimestampTz cursor = slot.from;

	for (int i = 0; i <= n && cursor < slot.to; i++) {
		TimestampTz next = i < n ? Min(partitions[i].range.from, slot.to) : slot.to;

		if (cursor < next && first < next) {
			ObservRange gap = {cursor, next};

			/* An orphan that can't be attached, say with rows of another range, must not keep its place for ever. */
			if (try_create_partition(table, &gap, true) || try_create_partition(table, &gap, false))
				done->created++;
			else
				done->failed++;
		}
		if (i < n)
			cursor = Max(cursor, partitions[i].range.to);
	}
}

ObservRange
observ_ensure_partition(const char *table, TimestampTz at)
{
	const ObservPartitioned *partitioned = observ_partitioned;
	Relation parent = open_raw_table(table);
	ObservMaintenance done = {0};
	ObservRange slot;
	int n;
	ObservPartition *partitions = observ_partitions(parent, false, &n);
	const ObservPartition *found = partition_with(partitions, n, at);

	table_close(parent, NoLock);
	if (found != NULL)
		return found->range;
	while (strcmp(partitioned->name, table) != 0)
		partitioned++;
	slot.from = observ_floor_time(at, observ_partition_width(partitioned) * USECS_PER_SEC);
	slot.to = slot.from + observ_partition_width(partitioned) * USECS_PER_SEC;
	fill_slot(table, slot, DT_NOBEGIN, partitions, n, &done);
	CommandCounterIncrement();
	parent = open_raw_table(table);
	partitions = observ_partitions(parent, false, &n);
	table_close(parent, NoLock);
	found = partition_with(partitions, n, at);
	if (found == NULL)
		ereport(ERROR, (errcode(ERRCODE_CHECK_VIOLATION),
						errmsg("observ.%s has no partition for %s", table, timestamptz_to_str(at)),
						errhint("See the warnings before this error.")));
	return found->range;
}

/* One raw table (NULL: the quarantine) and what has been done to it. */
typedef struct Maintained {
	const ObservPartitioned *table;
	TimestampTz at;
	ObservMaintenance done;
} Maintained;

static void
maintain_table(void *arg)
{
	Maintained *m = arg;
	int64 width = observ_partition_width(m->table) * USECS_PER_SEC;
	TimestampTz last = m->at + observ_premake * USECS_PER_SEC;
	Relation parent = open_raw_table(m->table->name);
	int n;
	ObservPartition *partitions = observ_partitions(parent, true, &n);
	/* What retention has dropped, or would drop at once, is not made again. */
	TimestampTz first =
		Max(m->at - observ_late_window * USECS_PER_SEC, observ_retention_floor(m->table, m->at));

	/* Not locked against others who attach or detach: what fails for that is made by the next pass. */
	table_close(parent, NoLock);
	for (TimestampTz from = observ_floor_time(first, width); from <= last; from += width) {
		ObservRange slot = {from, from + width};

		CHECK_FOR_INTERRUPTS();
		fill_slot(m->table->name, slot, first, partitions, n, &m->done);
	}
	pfree(partitions);
	CommandCounterIncrement();
	m->done.covered_to = observ_covered_to(m->table->name, m->at);
}

/* What went wrong with one thing is said, and the pass goes on with the others. */
static void
warn_of(ErrorData *error, const char *what)
{
	ereport(WARNING, (errcode(error->sqlerrcode), errmsg("could not look after %s: %s", what, error->message),
					  error->hint ? errhint("%s", error->hint) : 0));
	FreeErrorData(error);
}

/* A table that can't be worked on, say because somebody has locked it, does not keep the others from their partitions. */
static void
try_maintain_table(const ObservPartitioned *table, TimestampTz at, ObservMaintenance *done)
{
	Maintained m = {.table = table, .at = at};
	ErrorData *error = observ_in_subtransaction(maintain_table, &m);

	if (error != NULL) {
		warn_of(error, psprintf("the partitions of observ.%s", table->name));
		m.done = (ObservMaintenance){.failed = 1, .covered_to = at};
	}
	done->created += m.done.created;
	done->failed += m.done.failed;
	done->covered_to = Min(done->covered_to, m.done.covered_to);
}

/* The quarantine is for looking at, not an archive: bounded by age and rows. */
static void
trim_quarantine(void *arg)
{
	Maintained *m = arg;
	Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(m->at)};

	m->done.trimmed =
		observ_spi(SPI_OK_DELETE,
				   "DELETE FROM observ.quarantine WHERE received_at < $1 - interval '" QUARANTINE_MAX_AGE "' "
				   "OR id <= (SELECT max(id) - " CppAsString2(QUARANTINE_MAX_ROWS) " FROM observ.quarantine)",
				   1, types, values, NULL);
}

static void
try_trim_quarantine(TimestampTz at, ObservMaintenance *done)
{
	Maintained m = {.at = at};
	ErrorData *error = observ_in_subtransaction(trim_quarantine, &m);

	if (error != NULL) {
		warn_of(error, "observ.quarantine");
		done->failed++;
		return;
	}
	done->trimmed = m.done.trimmed;
}

void
observ_maintain(TimestampTz at, ObservMaintenance *done)
{
	ObservIdentity saved = observ_as_owner_begin();

	*done = (ObservMaintenance){.covered_to = DT_NOEND};
	SPI_connect();
	for (const ObservPartitioned *table = observ_partitioned; table->name != NULL; table++)
		try_maintain_table(table, at, done);
	try_trim_quarantine(at, done);
	SPI_finish();
	observ_as_owner_end(&saved);
}

static Datum
maintenance_row(FunctionCallInfo fcinfo, const char *status, const ObservMaintenance *done, TimestampTz at)
{
	Datum values[5];
	bool nulls[5] = {false};

	values[0] = CStringGetTextDatum(status);
	values[1] = Int32GetDatum(done->created);
	values[2] = Int32GetDatum(done->failed);
	nulls[3] = done->covered_to == 0;
	values[3] = nulls[3] ? (Datum) 0
						 : DirectFunctionCall2(timestamp_mi, TimestampTzGetDatum(done->covered_to),
											   TimestampTzGetDatum(at));
	values[4] = Int64GetDatum(done->trimmed);
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.maintain_partitions(at) → one row; see its COMMENT. Errors: 22008 for an infinite or far-off time.
 */
Datum
observ_maintain_partitions(PG_FUNCTION_ARGS)
{
	TimestampTz at = observ_job_time(fcinfo);
	ObservMaintenance done = {0};
	const char *refused = observ_job_guard(OBSERV_LOCK_MAINTAIN_PARTITIONS);

	if (refused != NULL)
		return maintenance_row(fcinfo, refused, &done, at);
	if (!IS_VALID_TIMESTAMP(at - INT64CONST(120) * USECS_PER_DAY) ||
		!IS_VALID_TIMESTAMP(at + INT64CONST(120) * USECS_PER_DAY))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time out of range for partitions"),
				 errdetail("Given: %s.", timestamptz_to_str(at))));
	observ_maintain(at, &done);
	return maintenance_row(fcinfo, done.failed > 0 ? "failed" : "ok", &done, at);
}
