/*
 * observ.apply_retention(): drops the partitions that the policies let go.
 * What does not belong here: which those are (retention.c), detaching at top level (src/bgworker/detach.c).
 *
 * DROP needs ACCESS EXCLUSIVE on the table and on its partition, and while it waits for that, every INSERT waits behind it; once it has it,
 * every INSERT waits until this transaction ends. Hence (storage.md 2.3):
 * - the table is locked first, then its partition, as readers do;
 * - each wait for a lock is short, and there are pauses between the tries in which writers get through;
 * - nothing is waited for while something is locked: as soon as a pass over the partitions has dropped one, what could not be had at once
 *   is left for the next call, and so is the rest when somebody queues up behind us;
 * - each partition has a subtransaction of its own, so that one that is held by a reader does not keep the others.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "ext/compat.h"
#include "ext/job_guard.h"
#include "ext/retention.h"
#include "ext/spi_util.h"
#include "ext/subtransaction.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_apply_retention);

/* Longest waits for a lock, in milliseconds: with nothing locked, and with something. Together they are what an INSERT may wait. */
#define PARENT_WAIT_MS 80
#define LEAF_WAIT_MS   40
#define LOCKED_WAIT_MS 10
/* For everything else: shorter than other people's deadlock_timeout. */
#define ANY_WAIT_MS 500
/* A waiter looks for autovacuum in its way, and sends it off, after deadlock_timeout only: that must come before lock_timeout. */
#define DEADLOCK_MS 5

#define TRIES        5
#define PATIENCE_MS  2500
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 400
#define LONG_MS      1000 /* a transaction that is older than this is not waited for: it may be a dump of hours */
#define HELD_MS      50  /* how long writers may queue up behind us before we stop */
#define MAX_DROPS    200 /* per call: each takes about ten entries of the shared lock table until the end */

typedef enum Fate { WAITING, DROPPED, BLOCKED, FAILED, GONE } Fate;

typedef struct Candidate {
	const ObservExpiry *expiry;
	Fate fate;
} Candidate;

/* One call. */
typedef struct Pass {
	Candidate *candidates;
	int n;
	instr_time started;
	instr_time locked_since; /* meaningful when dropped > 0 */
	int dropped;
	int64 freed;
	int blocked;
	int held_back;
	int failed;
	int64 deleted; /* rows of tables without partitions */
	char *blocked_by;
} Pass;

/* One try to drop one partition. */
typedef struct Try {
	const ObservExpiry *expiry;
	bool patient;
	bool parent_locked;
	Fate fate;
} Try;

static double
ms_since(const instr_time *start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, *start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* Until the subtransaction, or the pass, ends. */
static void
limit_waits(int ms)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", ms);
	(void) set_config_option("lock_timeout", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
							 false);
}

void
observ_retention_give_way(void)
{
	limit_waits(ANY_WAIT_MS);
	(void) set_config_option("deadlock_timeout", CppAsString2(DEADLOCK_MS), PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Whether it is still what it was when it was listed: others may have dropped, attached or renamed since. */
static bool
is_unchanged(const ObservExpiry *e)
{
	bool detaching;
	Oid parent;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(e->relid)))
		return false;
	if (!OidIsValid(e->parent))
		return !get_rel_relispartition(e->relid);
	return observ_partition_state(e->relid, &parent, &detaching) && parent == e->parent;
}

static void
try_drop(void *arg)
{
	Try *try = arg;
	const ObservExpiry *e = try->expiry;

	if (OidIsValid(e->parent)) {
		limit_waits(try->patient ? PARENT_WAIT_MS : LOCKED_WAIT_MS);
		LockRelationOid(e->parent, AccessExclusiveLock);
	}
	try->parent_locked = true;
	limit_waits(try->patient ? LEAF_WAIT_MS : LOCKED_WAIT_MS);
	LockRelationOid(e->relid, AccessExclusiveLock);
	if (!is_unchanged(e)) {
		try->fate = GONE;
		return;
	}
	observ_spi(
		SPI_OK_UTILITY,
		psprintf("DROP TABLE %s", quote_qualified_identifier(get_namespace_name(get_rel_namespace(e->relid)),
															 get_rel_name(e->relid))),
		0, NULL, NULL, NULL);
	try->fate = DROPPED;
}

static void
warn_of_failure(const ObservExpiry *e, const ErrorData *error)
{
	ereport(WARNING, (errcode(error->sqlerrcode),
					  errmsg("could not drop partition \"%s\" of observ.%s: %s", get_rel_name(e->relid),
							 e->table->name, error->message),
					  error->detail ? errdetail_internal("%s", error->detail) : 0,
					  error->hint ? errhint("%s", error->hint) : 0));
}

/* Whether others wait for a table that we have locked. Once is enough: all of them go on when the transaction ends. */
static bool
somebody_waits(const Pass *p)
{
	Oid last = InvalidOid;

	for (int i = 0; i < p->n; i++) {
		Oid parent = p->candidates[i].expiry->parent;
		Relation rel;
		bool waits;

		if (p->candidates[i].fate != DROPPED || !OidIsValid(parent) || parent == last)
			continue;
		rel = table_open(parent, NoLock);
		waits = LockHasWaitersRelation(rel, AccessExclusiveLock);
		table_close(rel, NoLock);
		if (waits)
			return true;
		last = parent;
	}
	return false;
}

static bool
must_stop(const Pass *p)
{
	if (p->dropped == 0)
		return false;
	return p->dropped >= MAX_DROPS || (ms_since(&p->locked_since) > HELD_MS && somebody_waits(p));
}

/* Tries the candidate once; false when its table could not even be locked. */
static bool
attempt(Pass *p, Candidate *c)
{
	Try try = {.expiry = c->expiry, .patient = p->dropped == 0, .fate = WAITING};
	ErrorData *error = observ_in_subtransaction(try_drop, &try);

	if (error == NULL) {
		c->fate = try.fate;
		if (c->fate != DROPPED)
			return true;
		if (p->dropped++ == 0)
			INSTR_TIME_SET_CURRENT(p->locked_since);
		p->freed += c->expiry->size;
		return true;
	}
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED) {
		c->fate = BLOCKED;
		FreeErrorData(error);
		return try.parent_locked;
	}
	c->fate = FAILED;
	warn_of_failure(c->expiry, error);
	FreeErrorData(error);
	return true;
}

/* Tries every candidate that is left, oldest first, a table at a time. True when none is left. */
static bool
try_all(Pass *p)
{
	const ObservPartitioned *unavailable = NULL;
	bool done = true;

	for (int i = 0; i < p->n; i++) {
		Candidate *c = &p->candidates[i];

		if (c->fate != WAITING && c->fate != BLOCKED)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (must_stop(p))
			return false;
		if (c->expiry->table == unavailable && OidIsValid(c->expiry->parent))
			c->fate = BLOCKED;
		else if (!attempt(p, c))
			unavailable = c->expiry->table;
		done = done && c->fate != BLOCKED;
	}
	return done;
}

static void
take_a_break(void)
{
	long ms = (long) (PAUSE_MIN_MS + (PAUSE_MAX_MS - PAUSE_MIN_MS) * pg_prng_double(&pg_global_prng_state));
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	for (long left = ms; left > 0; left = ms - (long) ms_since(&start)) {
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, left, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Who has locked what could not be dropped, as text, and when the oldest of their transactions began. */
static char *
ask_blockers(const Pass *p, TimestampTz *since)
{
	Oid *relids = palloc(sizeof(Oid) * 2 * Max(p->n, 1));
	int n = 0;

	for (int i = 0; i < p->n; i++) {
		const Candidate *c = &p->candidates[i];

		if (c->fate != BLOCKED)
			continue;
		relids[n++] = c->expiry->relid;
		if (OidIsValid(c->expiry->parent))
			relids[n++] = c->expiry->parent;
	}
	return observ_lock_holders(relids, n, since);
}

static bool
is_hopeless(const Pass *p)
{
	TimestampTz since;

	(void) ask_blockers(p, &since);
	return since < TimestampTzPlusMilliseconds(GetCurrentTimestamp(), -LONG_MS);
}

static void
drop_all(Pass *p)
{
	for (int try = 1; !try_all(p); try++) {
		if (p->dropped > 0 || try == TRIES || ms_since(&p->started) > PATIENCE_MS || is_hopeless(p))
			break;
		take_a_break();
	}
}

/* By table, so that each is locked once; the tables in the order in which agents write them, the oldest partition first. */
static int
by_table(const void *a, const void *b)
{
	const ObservExpiry *x = ((const Candidate *) a)->expiry, *y = ((const Candidate *) b)->expiry;

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	return (x->range.from > y->range.from) - (x->range.from < y->range.from);
}

static void
choose(Pass *p, TimestampTz at)
{
	int n;
	ObservExpiry *list = observ_retention_list(at, &n);

	p->candidates = palloc0(sizeof(Candidate) * Max(n, 1));
	for (int i = 0; i < n; i++) {
		if (observ_retention_is_due(&list[i], at))
			p->candidates[p->n++].expiry = &list[i];
		else if (list[i].due <= at)
			p->held_back++;
	}
	qsort(p->candidates, p->n, sizeof(Candidate), by_table);
}

/* Counts, and asks who was in the way. */
static void
sum_up(Pass *p)
{
	int left = 0;

	for (int i = 0; i < p->n; i++) {
		Fate fate = p->candidates[i].fate;

		p->failed += fate == FAILED;
		p->blocked += fate == BLOCKED || fate == WAITING;
		left += fate == WAITING;
	}
	if (p->blocked > left)
		p->blocked_by = ask_blockers(p, NULL);
	if (p->blocked > 0 && p->blocked_by == NULL)
		p->blocked_by =
			left > 0 ? "left for the next run, so that nobody waits long" : "sessions that have ended since";
}

void
observ_retention_remember(const ObservExpiry *e, TimestampTz at)
{
	Oid types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {CStringGetTextDatum(e->table->name), CStringGetTextDatum(e->table->data_set),
					  TimestampTzGetDatum(e->range.to), TimestampTzGetDatum(at)};

	/* What lies ahead of `at` was remembered by a pass in virtual time. */
	observ_spi(
		SPI_OK_INSERT,
		"INSERT INTO observ_data.retention_state AS s (table_name, data_set, dropped_to) VALUES ($1, $2, "
		"$3) ON CONFLICT (table_name) DO UPDATE SET data_set = excluded.data_set, dropped_to = "
		"CASE WHEN s.dropped_to > $4 THEN excluded.dropped_to ELSE greatest(s.dropped_to, "
		"excluded.dropped_to) END",
		4, types, values, NULL);
}

void
observ_retention_forget_attached(void)
{
	observ_spi(SPI_OK_DELETE,
			   "DELETE FROM observ_data.retention_detached d WHERE NOT EXISTS (SELECT 1 FROM pg_class c "
			   "WHERE c.relname = d.relname AND c.relnamespace = 'observ_data'::regnamespace "
			   "AND c.relkind = 'r' AND (NOT c.relispartition OR EXISTS (SELECT 1 FROM pg_inherits i "
			   "WHERE i.inhrelid = c.oid AND i.inhdetachpending)))",
			   0, NULL, NULL, NULL);
}

static void
remember_all(const Pass *p, TimestampTz at)
{
	for (int i = 0; i < p->n; i++) {
		const ObservExpiry *e = p->candidates[i].expiry;

		/* Sorted: the last of a table is its newest. */
		if (p->candidates[i].fate == DROPPED &&
			(i + 1 == p->n || p->candidates[i + 1].expiry->table != e->table ||
			 p->candidates[i + 1].fate != DROPPED))
			observ_retention_remember(e, at);
	}
	observ_retention_forget_attached();
}

static void
apply(TimestampTz at, Pass *p)
{
	MemoryContext context = CurrentMemoryContext;
	ObservIdentity saved = observ_as_owner_begin();

	INSTR_TIME_SET_CURRENT(p->started);
	observ_retention_give_way();
	SPI_connect();
	choose(p, at);
	/* Before anything is locked. */
	p->failed += !observ_retention_delete_rows(at, &p->deleted);
	drop_all(p);
	sum_up(p);
	remember_all(p, at);
	if (p->blocked_by != NULL)
		p->blocked_by = MemoryContextStrdup(context, p->blocked_by);
	SPI_finish();
	observ_as_owner_end(&saved);
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Pass *p)
{
	Datum values[8];
	bool nulls[8] = {false};

	values[0] = CStringGetTextDatum(status);
	values[1] = Int32GetDatum(p->dropped);
	values[2] = Int64GetDatum(p->freed);
	values[3] = Int32GetDatum(p->blocked);
	nulls[4] = p->blocked_by == NULL;
	values[4] = nulls[4] ? (Datum) 0 : CStringGetTextDatum(p->blocked_by);
	values[5] = Int32GetDatum(p->held_back);
	values[6] = Int32GetDatum(p->failed);
	values[7] = Int64GetDatum(p->deleted);
	return observ_row(fcinfo, values, nulls);
}

/* observ.apply_retention(at) → one row; see its COMMENT. Errors: 22008 for an infinite time, 25006 in a read-only transaction. */
Datum
observ_apply_retention(PG_FUNCTION_ARGS)
{
	TimestampTz at = observ_job_time(fcinfo);
	Pass pass = {0};
	const char *refused = observ_job_guard(OBSERV_LOCK_APPLY_RETENTION);

	if (refused != NULL)
		return result_row(fcinfo, refused, &pass);
	PreventCommandIfReadOnly("observ.apply_retention()");
	apply(at, &pass);
	return result_row(fcinfo, pass.failed > 0 ? "failed" : pass.blocked > 0 ? "blocked" : "ok", &pass);
}
