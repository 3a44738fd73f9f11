/*
 * Partitions that readers hold: ALTER TABLE … DETACH PARTITION … CONCURRENTLY, which works at top level only, not in a SQL function.
 * What does not belong here: which partitions are due (src/ext/retention.c), dropping them (src/ext/retention_apply.c).
 *
 * The statement has two phases with a commit in between. The first needs no lock that readers or writers mind; from then on new queries pass
 * over the partition (pg_inherits.inhdetachpending). The second waits for those who still have the table locked, for us only briefly: we
 * leave it half done, and a later pass finds the table free and drops the partition, or ends the detach by FINALIZE.
 * observ_data.retention_detached says which detaches are ours, from before the first phase on.
 */
#include "postgres.h"

#include "bgworker/detach.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/retention.h"
#include "ext/spi_util.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define STATEMENT_MS 500
#define TOTAL_MS     5000

/* One statement to run. */
typedef struct Detach {
	const ObservPartitioned *table;
	const char *sql;
} Detach;

typedef struct Run {
	ObservGateResult *gate;
	MemoryContext context; /* outlives the transactions */
	List *todo;            /* of Detach */
	const Detach *current;
	bool locked;
} Run;

static bool
gate_is_open(Run *run)
{
	observ_gate(run->gate);
	return run->gate->gate == OBSERV_GATE_OPEN;
}

/* Committed before the detach begins: without it nobody would dare to drop what is left when we are killed in the middle. */
static void
record(const ObservExpiry *e)
{
	Oid types[] = {NAMEOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {DirectFunctionCall1(namein, CStringGetDatum(get_rel_name(e->relid))),
					  CStringGetTextDatum(e->table->name), TimestampTzGetDatum(e->range.from),
					  TimestampTzGetDatum(e->range.to)};

	observ_spi(
		SPI_OK_INSERT,
		"INSERT INTO observ_data.retention_detached (relname, table_name, \"from\", \"to\") "
		"VALUES ($1, $2, $3, $4) ON CONFLICT (relname) DO UPDATE SET table_name = excluded.table_name, "
		"\"from\" = excluded.\"from\", \"to\" = excluded.\"to\"",
		4, types, values, NULL);
}

static void
plan_detach(Run *run, const ObservExpiry *e)
{
	MemoryContext old = MemoryContextSwitchTo(run->context);
	Detach *detach = palloc(sizeof(Detach));

	detach->table = e->table;
	detach->sql = psprintf(
		"ALTER TABLE observ.%s DETACH PARTITION %s %s", quote_identifier(e->table->name),
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(e->relid)), get_rel_name(e->relid)),
		e->detaching ? "FINALIZE" : "CONCURRENTLY");
	run->todo = lappend(run->todo, detach);
	MemoryContextSwitchTo(old);
}

/* Of one table only one partition at a time can be half detached. */
static bool
has_half_detached(const ObservExpiry *list, int n, const ObservPartitioned *table)
{
	for (int i = 0; i < n; i++)
		if (list[i].table == table && list[i].detaching)
			return true;
	return false;
}

/* Chooses and records what to detach, and keeps observ.apply_retention() out until it is done. */
static void
step_plan(void *arg)
{
	Run *run = arg;
	TimestampTz at = GetCurrentTransactionStartTimestamp();
	ObservExpiry *list;
	int n;

	if (!gate_is_open(run))
		return;
	observ_as_owner_begin();
	observ_retention_give_way();
	SPI_connect();
	run->locked = observ_try_session_lock(OBSERV_LOCK_APPLY_RETENTION);
	list = run->locked ? observ_retention_list(at, &n) : NULL;
	for (int i = 0; run->locked && i < n; i++) {
		if (!OidIsValid(list[i].parent) || !observ_retention_is_due(&list[i], at))
			continue;
		if (!list[i].detaching && has_half_detached(list, n, list[i].table))
			continue;
		if (!list[i].detaching) {
			record(&list[i]);
			observ_retention_remember(&list[i], at);
		}
		plan_detach(run, &list[i]);
	}
	SPI_finish();
}

/* As a client's statement would be run, in that it may commit and go on in a transaction of its own. */
static void
step_detach(void *arg)
{
	Run *run = arg;
	PlannedStmt *statement;

	if (!gate_is_open(run))
		return;
	observ_as_owner_begin();
	/* The statement must outlive the transaction that it begins in. */
	MemoryContextSwitchTo(run->context);
	statement = makeNode(PlannedStmt);
	statement->commandType = CMD_UTILITY;
	statement->utilityStmt = linitial_node(RawStmt, pg_parse_query(run->current->sql))->stmt;
	enable_timeout_after(STATEMENT_TIMEOUT, STATEMENT_MS);
	ProcessUtility(statement, run->current->sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver,
				   NULL);
}

/* A detach that did not even begin is none: its partition may be kept, or be taken elsewhere, by then. */
static void
step_forget(void *arg)
{
	Run *run = arg;

	if (!gate_is_open(run))
		return;
	observ_as_owner_begin();
	observ_retention_give_way();
	SPI_connect();
	observ_retention_forget_attached();
	SPI_finish();
}

/* That others are in the way is why we are here. */
static bool
is_expected(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

static void
log_once(const ErrorData *error)
{
	static ObservLogState said;

	if (observ_log_state_changes(&said, error->message))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not detach a partition that retention lets go: %s", error->message),
				 errdetail("It is tried again, and dropped as soon as nobody uses it."),
				 error->hint ? errhint("%s", error->hint) : errhint("See observ.retention_preview().")));
}

static void
detach_all(Run *run)
{
	const ObservPartitioned *busy = NULL;
	int64 end = observ_monotonic_ms() + TOTAL_MS;
	ListCell *cell;

	foreach (cell, run->todo) {
		ErrorData *error;

		run->current = lfirst(cell);
		if (run->gate->gate != OBSERV_GATE_OPEN || observ_monotonic_ms() > end)
			return;
		if (run->current->table == busy)
			continue;
		/* A client's statement runs in a portal; what is to last over the commit in its middle is kept there (as in autovacuum.c). */
		PortalContext = run->context;
		error = observ_in_transaction(step_detach, run);
		PortalContext = NULL;
		disable_timeout(STATEMENT_TIMEOUT, false);
		if (error != NULL)
			busy = run->current->table;
		if (error != NULL && !is_expected(error))
			log_once(error);
	}
}

void
observ_detach_blocked(ObservGateResult *gate)
{
	Run run = {.gate = gate, .context = CurrentMemoryContext};
	ErrorData *error = observ_in_transaction(step_plan, &run);

	if (error == NULL && run.todo != NIL) {
		detach_all(&run);
		error = observ_in_transaction(step_forget, &run);
	}
	if (run.locked)
		observ_release_session_lock(OBSERV_LOCK_APPLY_RETENTION);
	if (error != NULL && !is_expected(error))
		log_once(error);
}
