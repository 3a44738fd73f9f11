/*
 * Deliveries under way, and recording what came of them: many results in one transaction, because a commit costs more than an answer; one of
 * an emergency, or the last one, at once.
 * What does not belong here: which deliveries (ext/outbox.h), one delivery (ext/delivery.h), when to claim (notifier.c).
 */
#include "postgres.h"

#include "bgworker/notifier_flight.h"

#include <sys/resource.h>

#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/outbox.h"
#include "ext/spi_util.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define COLLECT_MS       5    /* how long an answer waits for others */
#define HELD_MS          1000 /* until a result whose notification somebody has locked is tried again */
#define FAILURE_LIMIT_MS 30000
#define EMERGENCY        6   /* Message.severity */
#define SPARE_FILES      512 /* tables, and connections that are kept */

/* A delivery that is over. */
typedef struct Landed {
	Delivery *delivery; /* NULL: recorded */
	DeliveryResult *result;
} Landed;

struct ObservFlight {
	MemoryContext context;
	struct transfers *transfers; /* NULL: nothing was sent yet */
	int under_way, peak;         /* peak: under way after the last start */
	int most;                    /* what the limit of open files allows */
	Landed *landed;
	int n_landed, room;
	int n_held; /* of those landed, the first: somebody has their notifications locked */
	bool urgent;
	int64 first_landed_at, held_until, retry_at; /* retry_at: 0 unless results could not be recorded */
	int failures;
	ObservLogState said_libcurl, said_record;
};

/*
 * Most systems start servers with a limit that is meant for programs that know no better, and let them raise it. Without descriptors requests to
 * receivers that are well would fail while others hang.
 */
static int
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return INT_MAX;
	limit.rlim_cur = limit.rlim_max;
	(void) setrlimit(RLIMIT_NOFILE, &limit);
	(void) getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= INT_MAX)
		return INT_MAX;
	return Max(((int) limit.rlim_cur - SPARE_FILES) / 2, 32);
}

ObservFlight *
observ_flight_open(void)
{
	ObservFlight *flight = palloc0(sizeof(*flight));

	flight->context =
		AllocSetContextCreate(CurrentMemoryContext, "observ deliveries", ALLOCSET_DEFAULT_SIZES);
	flight->most = raise_file_limit();
	flight->room = 64;
	flight->landed = MemoryContextAlloc(flight->context, sizeof(Landed) * flight->room);
	return flight;
}

void
observ_flight_close(ObservFlight *flight)
{
	if (flight->transfers == NULL)
		return;
	transfers_close(flight->transfers);
	flight->transfers = NULL;
	flight->under_way = 0;
}

bool
observ_flight_ready(ObservFlight *flight)
{
	char error[256];

	if (flight->transfers != NULL)
		return true;
	flight->transfers = transfers_open(error, sizeof(error));
	if (flight->transfers == NULL && observ_log_state_changes(&flight->said_libcurl, error))
		ereport(WARNING, (errcode(ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION),
						  errmsg("observ can't send notifications: %s", error),
						  errdetail("They wait in the outbox."), errhint("Install libcurl 4 (libcurl4).")));
	return flight->transfers != NULL;
}

int
observ_flight_fd(const ObservFlight *flight)
{
	return flight->transfers == NULL ? -1 : transfers_fd(flight->transfers);
}

void
observ_flight_run(ObservFlight *flight)
{
	if (flight->transfers == NULL)
		return;
	transfers_run(flight->transfers);
}

/* A delivery is over. In the middle of libcurl: nothing here may raise. */
static void
land(void *arg, Delivery *delivery, DeliveryResult *result)
{
	ObservFlight *flight = arg;

	if (flight->n_landed == flight->n_held)
		flight->first_landed_at = observ_monotonic_ms();
	flight->landed[flight->n_landed++] = (Landed){delivery, result};
	flight->under_way--;
	flight->urgent |= delivery->message->severity >= EMERGENCY;
}

/* Room for all that can land before these are recorded. */
static void
make_room(ObservFlight *flight, int more)
{
	int need = flight->n_landed + flight->under_way + more;

	if (need <= flight->room)
		return;
	flight->room = need * 2;
	flight->landed = repalloc(flight->landed, sizeof(Landed) * flight->room);
}

void
observ_flight_start(ObservFlight *flight, MemoryContext context, List *deliveries)
{
	ListCell *cell;

	if (deliveries == NIL) {
		MemoryContextDelete(context);
		return;
	}
	MemoryContextSetParent(context, flight->context);
	make_room(flight, list_length(deliveries));
	foreach (cell, deliveries) {
		Delivery *delivery = lfirst(cell);

		flight->under_way++;
		(void) observ_delivery_start(flight->transfers, delivery, land, flight);
	}
	flight->peak = flight->under_way;
}

int
observ_flight_most(const ObservFlight *flight)
{
	return Min(flight->most, observ_max_deliveries);
}

int
observ_flight_under_way(const ObservFlight *flight)
{
	return flight->under_way;
}

int
observ_flight_size(const ObservFlight *flight)
{
	return flight->under_way + flight->n_landed;
}

int64
observ_flight_record_at(const ObservFlight *flight)
{
	int fresh = flight->n_landed - flight->n_held;

	if (flight->n_landed == 0)
		return OBSERV_NEVER;
	if (flight->retry_at != 0)
		return flight->retry_at;
	if (fresh == 0)
		return flight->held_until;
	if (flight->urgent || flight->under_way == 0 || fresh * 2 >= flight->peak)
		return 0;
	return flight->first_landed_at + COLLECT_MS;
}

bool
observ_flight_is_stuck(const ObservFlight *flight)
{
	return flight->retry_at != 0;
}

/* ---- recording */

typedef struct Record {
	ObservGateResult *gate;
	const DeliveryResult *results;
	int n;
	bool *held;
	bool done;
} Record;

/* What has happened may be written down while the database is paused, too. */
static void
step_record(void *arg)
{
	Record *record = arg;

	observ_gate(record->gate);
	if (record->gate->gate != OBSERV_GATE_OPEN && record->gate->gate != OBSERV_GATE_DISARMED)
		return;
	observ_as_owner_begin();
	SPI_connect();
	observ_record_deliveries(GetCurrentTimestamp(), record->results, record->n, record->held);
	SPI_finish();
	record->done = true;
}

/* What deliveries of one claim share goes with the last of them. */
static void
forget(Delivery *delivery)
{
	MemoryContext claim = MemoryContextGetParent(delivery->context);

	MemoryContextDelete(delivery->context);
	if (claim->firstchild == NULL)
		MemoryContextDelete(claim);
}

/* Records n of those that have landed, but for those that are held; returns whether it did. */
static bool
record_some(ObservFlight *flight, Landed *landed, int n, ObservGateResult *gate, ErrorData **error)
{
	DeliveryResult *results = palloc(sizeof(DeliveryResult) * n);
	bool *held = palloc0(sizeof(bool) * n);
	Record record = {gate, results, n, held, false};

	for (int i = 0; i < n; i++)
		results[i] = *landed[i].result;
	gate->gate = OBSERV_GATE_BUSY;
	*error = observ_in_transaction(step_record, &record);
	for (int i = 0; i < n && *error == NULL && record.done; i++)
		if (!held[i]) {
			forget(landed[i].delivery);
			landed[i].delivery = NULL;
		}
	pfree(results);
	pfree(held);
	return *error == NULL && record.done;
}

/* Others are in the way: nothing is wrong with the results. */
static bool
is_soft(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		   error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		   error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE ||
		   error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_INSUFFICIENT_RESOURCES;
}

/* One by one, so that a result that can't be recorded doesn't keep others; it is tried again without the texts that came from outside. */
static void
record_each(ObservFlight *flight, ObservGateResult *gate, ErrorData **error)
{
	ErrorData *first = *error;

	for (int i = 0; i < flight->n_landed; i++) {
		DeliveryResult *result = flight->landed[i].result;

		if (record_some(flight, &flight->landed[i], 1, gate, error) || *error == NULL || is_soft(*error))
			continue;
		result->excerpt = result->address = result->verdict.receipt = NULL;
		if (result->verdict.error != NULL)
			result->verdict.error = "what came of it could not be recorded";
	}
	*error = first;
}

static void
forget_recorded(ObservFlight *flight)
{
	int kept = 0;

	for (int i = 0; i < flight->n_landed; i++)
		if (flight->landed[i].delivery != NULL)
			flight->landed[kept++] = flight->landed[i];
	flight->n_landed = kept;
}

static void
note_failure(ObservFlight *flight, const ErrorData *error)
{
	flight->retry_at = observ_monotonic_ms() + observ_backoff_ms(++flight->failures, FAILURE_LIMIT_MS);
	if (error != NULL && observ_log_state_changes(&flight->said_record, unpack_sql_state(error->sqlerrcode)))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("results of notifications could not be recorded in database \"%s\": %s",
						observ_worker_database_name(), error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 errhint("They are kept and tried again with growing pauses; nothing is sent meanwhile.")));
}

void
observ_flight_record(ObservFlight *flight, ObservGateResult *gate)
{
	ErrorData *error;
	bool all = record_some(flight, flight->landed, flight->n_landed, gate, &error);

	if (!all && error != NULL && !is_soft(error))
		record_each(flight, gate, &error);
	forget_recorded(flight);
	flight->urgent = false;
	flight->n_held = all ? flight->n_landed : 0;
	if (!all && flight->n_landed > 0)
		note_failure(flight, error);
	else {
		flight->held_until = observ_monotonic_ms() + HELD_MS;
		flight->retry_at = 0;
		flight->failures = 0;
		observ_log_state_changes(&flight->said_record, NULL);
	}
	pgstat_report_stat(false);
}
