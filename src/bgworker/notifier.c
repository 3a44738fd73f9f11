/*
 * The notifier: one process in each armed database that has a channel, which sends what is in the outbox.
 * What does not belong here: which notifications are due (ext/outbox.h), the network (ext/delivery.h), starting it (notifier_start.c).
 *
 * Claim in a short transaction, talk to the network without one, record in a short transaction. It waits for its latch, which commits set,
 * and for libcurl; nothing is asked for periodically but whether it is still wanted.
 */
#include "postgres.h"

#include "bgworker/notifier.h"

#include "access/xact.h"
#include "bgworker/notifier_flight.h"
#include "bgworker/notifier_mark.h"
#include "bgworker/notifier_wait.h"
#include "ext/compat.h"
#include "ext/outbox.h"
#include "ext/processes.h"
#include "ext/spi_util.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define RECHECK_MS       60000 /* when nothing is due: is it still wanted? */
#define BUSY_MS          500   /* of an extension that is being dropped */
#define CROWDED_MS       10    /* between claims while there is little room */
#define CLAIM_MOST       500   /* at a time: what waits for the claim to end is not sent meanwhile */
#define CLAIM_MS         5000  /* longest time that a claim may take */
#define GRACE_MS         300   /* for what is under way when it has to leave */
#define FAILURE_LIMIT_MS 30000
#define CRASH_LIMIT_MS   300000 /* pause before the first claim after crashes in a row */
#define HEALTHY_MS       60000  /* one that lived so long does not crash at what it does first */
#define RECYCLE_MS       INT64CONST(24 * 3600000) /* caches of a backend only grow: start anew once a day */

typedef struct Notifier {
	ObservFlight *flight;
	ObservGateResult gate;
	bool begun;                 /* it is the only one, and marked as running */
	bool doubled;               /* there is another one */
	int crashes;                /* of those before it, in a row */
	int64 begun_at, not_before; /* not_before: of the first claim */
	bool recovered;             /* what the notifier before this one had claimed is taken back */
	bool wanted;                /* there is a channel that something can be sent through */
	bool more;                  /* the last claim left some for want of room */
	int64 claim_at;             /* when to claim, if nobody wakes us */
	int64 claimed_at;           /* the last time */
	int failures;               /* claims in a row */
	ObservLogState said;
} Notifier;

extern PGDLLEXPORT void observ_notifier_main(Datum main_arg);

static void
step_unmark(void *arg)
{
	Notifier *n = arg;

	observ_gate(&n->gate);
	if (n->gate.gate == OBSERV_GATE_OPEN || n->gate.gate == OBSERV_GATE_DISARMED)
		observ_notifier_unmark();
}

/* Gives what is under way a moment, records what was answered, and ends. */
static void
leave(Notifier *n)
{
	int64 deadline = observ_monotonic_ms() + GRACE_MS;

	QueryCancelPending = false;
	while (observ_flight_under_way(n->flight) > 0 && observ_monotonic_ms() < deadline) {
		observ_notifier_wait(deadline, observ_flight_fd(n->flight));
		observ_flight_run(n->flight);
	}
	if (observ_flight_record_at(n->flight) != OBSERV_NEVER)
		observ_flight_record(n->flight, &n->gate);
	observ_flight_close(n->flight);
	if (n->begun)
		(void) observ_in_transaction(step_unmark, n);
	proc_exit(0);
}

/* ---- claiming */

typedef struct Claim {
	Notifier *notifier;
	int free, at_most;
	MemoryContext context;
	OutboxClaim result;
} Claim;

static void
step_claim(void *arg)
{
	Claim *claim = arg;
	Notifier *n = claim->notifier;
	TimestampTz at = GetCurrentTimestamp();

	observ_gate(&n->gate);
	if (n->gate.gate != OBSERV_GATE_OPEN)
		return;
	n->wanted = observ_notifier_wanted();
	if (!n->wanted && observ_flight_size(n->flight) == 0)
		return;
	/* What is lost in a crash is sent again by the same number of attempt, with the same key. */
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true,
							 0, false);
	observ_as_owner_begin();
	enable_timeout_after(STATEMENT_TIMEOUT, CLAIM_MS);
	SPI_connect();
	if (!n->recovered)
		(void) observ_recover_deliveries(at);
	MemoryContextSwitchTo(claim->context);
	observ_claim_deliveries(at, claim->free, claim->at_most, &claim->result);
	SPI_finish();
}

static void
claim_failed(Notifier *n, const ErrorData *error)
{
	n->more = false;
	n->claim_at = observ_monotonic_ms() + observ_backoff_ms(++n->failures, FAILURE_LIMIT_MS);
	/* A cancel for DROP EXTENSION, or by hand, is none to speak of. */
	if ((error->sqlerrcode != ERRCODE_QUERY_CANCELED || n->failures > 1) &&
		observ_log_state_changes(&n->said, unpack_sql_state(error->sqlerrcode)))
		ereport(WARNING, (errcode(error->sqlerrcode),
						  errmsg("notifications could not be taken from the outbox in database \"%s\": %s",
								 observ_worker_database_name(), error->message),
						  error->detail ? errdetail_internal("%s", error->detail) : 0,
						  errhint("It is tried again with growing pauses."),
						  error->context ? errcontext("%s", error->context) : 0));
}

/* When to claim next, unless somebody wakes us. */
static int64
claim_due(const OutboxClaim *claim)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 wait_ms = RECHECK_MS;

	/* A clock that is set, or a time far away, is looked at again in a minute. */
	if (claim->next_due != DT_NOEND)
		wait_ms = Min(Max((claim->next_due - now) / 1000 + 1, 0), RECHECK_MS);
	return observ_monotonic_ms() + wait_ms;
}

static void
claimed(Notifier *n, const Claim *claim)
{
	n->failures = 0;
	observ_log_state_changes(&n->said, NULL);
	switch (n->gate.gate) {
	case OBSERV_GATE_OPEN:
		if (!n->wanted && observ_flight_size(n->flight) == 0)
			leave(n);
		n->recovered = true;
		n->more = claim->result.more;
		n->claim_at = claim_due(&claim->result);
		observ_flight_start(n->flight, claim->context, claim->result.deliveries);
		return;
	case OBSERV_GATE_BUSY:
		n->claim_at = observ_monotonic_ms() + BUSY_MS;
		break;
	case OBSERV_GATE_CLOSED:
	case OBSERV_GATE_DISARMED:
		leave(n);
	}
	MemoryContextDelete(claim->context);
}

static void
claim(Notifier *n, int room)
{
	/* Less at a time after one that failed, maybe for taking too long. */
	Claim claim = {.notifier = n,
				   .free = room,
				   .at_most = Max(Min(room, CLAIM_MOST) >> Min(n->failures, 8), 1),
				   .result.next_due = DT_NOEND};
	ErrorData *error;

	n->claimed_at = observ_monotonic_ms();
	/* Before anything is taken: it may be missing. */
	if (!observ_flight_ready(n->flight)) {
		n->more = false;
		n->claim_at = n->claimed_at + RECHECK_MS;
		return;
	}
	claim.context = AllocSetContextCreate(TopMemoryContext, "observ claim", ALLOCSET_SMALL_SIZES);
	pgstat_report_activity(STATE_RUNNING, "claim notifications");
	n->gate.gate = OBSERV_GATE_BUSY;
	error = observ_in_transaction(step_claim, &claim);
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (error != NULL) {
		claim_failed(n, error);
		MemoryContextDelete(claim.context);
	} else
		claimed(n, &claim);
	pgstat_report_stat(false);
}

/* ---- beginning */

/* Only one may take back what is marked as sending, and only when no other sends: the lock is held until this process ends. */
static void
step_begin(void *arg)
{
	Notifier *n = arg;

	observ_gate(&n->gate);
	if (n->gate.gate != OBSERV_GATE_OPEN)
		return;
	n->doubled = !observ_try_session_lock(OBSERV_LOCK_NOTIFIER);
	if (!n->doubled)
		n->crashes = observ_notifier_mark();
}

static void
begin(Notifier *n)
{
	ErrorData *error;

	n->gate.gate = OBSERV_GATE_BUSY;
	error = observ_in_transaction(step_begin, n);
	if (error != NULL) {
		claim_failed(n, error);
		return;
	}
	if (n->doubled || n->gate.gate == OBSERV_GATE_CLOSED || n->gate.gate == OBSERV_GATE_DISARMED)
		leave(n);
	n->begun = n->gate.gate == OBSERV_GATE_OPEN;
	n->begun_at = observ_monotonic_ms();
	n->claim_at = n->begun ? 0 : n->begun_at + BUSY_MS;
	if (n->crashes < 2)
		return;
	n->not_before = n->begun_at + observ_backoff_ms(n->crashes - 1, CRASH_LIMIT_MS);
	ereport(WARNING,
			(errmsg("the notifier of observ in database \"%s\" went down with the server %d times in a row",
					observ_worker_database_name(), n->crashes),
			 errdetail("It waits %d s before it goes on.", (int) ((n->not_before - n->begun_at) / 1000)),
			 errhint("The server's log says why.")));
}

static void
step_mark_anew(void *arg)
{
	Notifier *n = arg;

	step_unmark(n);
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	if (n->gate.gate == OBSERV_GATE_OPEN)
		(void) observ_notifier_mark();
}

/* Crashes in a row end with one that lives. */
static void
note_health(Notifier *n)
{
	if (n->crashes > 0 && observ_monotonic_ms() - n->begun_at > HEALTHY_MS &&
		observ_in_transaction(step_mark_anew, n) == NULL)
		n->crashes = 0;
}

/* When to claim: in portions that are worth a transaction, so that a full house is not asked for each single place. */
static int64
next_claim(const Notifier *n, int room)
{
	int64 at = Max(n->more ? 0 : n->claim_at, n->not_before);

	if (room <= 0 || observ_flight_is_stuck(n->flight))
		return OBSERV_NEVER;
	if (room < observ_flight_most(n->flight) / 4)
		at = Max(at, n->claimed_at + CROWDED_MS);
	return at;
}

/* ---- the loop */

static void
turn(Notifier *n)
{
	int64 record_at, now;
	int room;

	/* What is answered gives its connection to what is claimed next. */
	observ_flight_run(n->flight);
	record_at = observ_flight_record_at(n->flight);
	room = observ_flight_most(n->flight) - observ_flight_size(n->flight);
	now = observ_monotonic_ms();
	if (now >= record_at) {
		pgstat_report_activity(STATE_RUNNING, "record results of notifications");
		observ_flight_record(n->flight, &n->gate);
		if (n->gate.gate == OBSERV_GATE_CLOSED)
			leave(n);
		/* Channels have room for others. */
		n->claim_at = 0;
	} else if (now >= next_claim(n, room)) {
		if (n->begun)
			claim(n, room);
		else
			begin(n);
		note_health(n);
	} else {
		pgstat_report_activity(STATE_IDLE, NULL);
		if (observ_notifier_wait(Min(record_at, next_claim(n, room)), observ_flight_fd(n->flight)))
			n->claim_at = 0;
	}
}

void
observ_notifier_main(Datum main_arg)
{
	Notifier *n = MemoryContextAllocZero(TopMemoryContext, sizeof(Notifier));
	MemoryContext turn_context =
		AllocSetContextCreate(TopMemoryContext, "observ notifier turn", ALLOCSET_DEFAULT_SIZES);
	int64 started = observ_monotonic_ms();

	observ_worker_connect(main_arg);
	/* Not `die`: what has been answered is to be recorded first, else it would be sent twice. No step takes long, or waits long for a lock. */
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	MemoryContextSwitchTo(TopMemoryContext);
	n->flight = observ_flight_open();
	for (;;) {
		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		observ_worker_interrupts();
		if (ShutdownRequestPending || observ_worker_was_poked() ||
			(observ_flight_size(n->flight) == 0 && observ_monotonic_ms() - started > RECYCLE_MS))
			leave(n);
		if (observ_worker_config_changed()) {
			observ_worker_pin_settings();
			n->claim_at = 0;
		}
		turn(n);
	}
}
