/*
 * observ.dispatch_notifications(): alerts that changed go to their groups, groups whose time has come are flushed to the outbox. What does not
 * belong here: the steps themselves (dispatch_*.c), sending.
 */
#include "postgres.h"

#include "ext/dispatch.h"

#include "catalog/pg_type.h"
#include "ext/alert_people.h"
#include "ext/compat.h"
#include "ext/job_guard.h"
#include "ext/silences.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_dispatch_notifications);

typedef struct State {
	TimestampTz dispatched_at; /* DT_NOBEGIN: never */
	int64 routes_digest;
	bool exists;
} State;

static State
read_state(void)
{
	State state = {.dispatched_at = DT_NOBEGIN};
	bool isnull;

	if (observ_spi(SPI_OK_SELECT, "SELECT dispatched_at, routes_digest FROM observ_data.evaluation_state", 0,
				   NULL, NULL, NULL) == 0)
		return state;
	state.dispatched_at = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
	state.routes_digest = DatumGetInt64(observ_spi_value(0, 2, &isnull));
	state.exists = true;
	return state;
}

static void
write_state(const Dispatch *dispatch, const State *before)
{
	static const Oid types[] = {TIMESTAMPTZOID, INT8OID};
	Datum values[] = {TimestampTzGetDatum(dispatch->at), Int64GetDatum(dispatch->routes->digest)};

	if (before->exists && before->dispatched_at == dispatch->at &&
		before->routes_digest == dispatch->routes->digest)
		return;
	if (before->exists)
		observ_spi(SPI_OK_UPDATE,
				   "UPDATE observ_data.evaluation_state SET dispatched_at = $1, routes_digest = $2", 2, types,
				   values, NULL);
	else
		observ_spi(SPI_OK_INSERT,
				   "INSERT INTO observ_data.evaluation_state (evaluated_at, dispatched_at, routes_digest) "
				   "VALUES ('-infinity', $1, $2)",
				   2, types, values, NULL);
}

/* The timers of groups go on as if the time between had not been: else everybody would be kept waiting for the clock that was wrong. */
static void
move_back(int64 by)
{
	static const Oid types[] = {INTERVALOID};
	Interval span = {.time = by};
	Datum values[] = {IntervalPGetDatum(&span)};

	observ_spi(
		SPI_OK_UPDATE,
		"UPDATE observ_data.alert_groups SET opened_at = opened_at - $1, last_flush_at = last_flush_at - "
		"$1, next_flush_at = next_flush_at - $1",
		1, types, values, NULL);
	/* Its row of decisions lies in the future: the next flush begins another. */
	observ_spi(SPI_OK_UPDATE,
			   "UPDATE observ_data.group_channels SET sent_at = sent_at - $1, decided_at = NULL", 1, types,
			   values, NULL);
	observ_spi(SPI_OK_UPDATE, "UPDATE observ_data.escalation_clocks SET running_since = running_since - $1",
			   1, types, values, NULL);
}

/* A clock that was set back a little stands still for timers; further, and it is believed. */
static void
set_time(Dispatch *dispatch, const State *state)
{
	dispatch->at = observ_timer_time(dispatch->at, state->dispatched_at);
	dispatch->before = state->dispatched_at;
	if (dispatch->at < state->dispatched_at) {
		dispatch->before = DT_NOBEGIN;
		move_back(state->dispatched_at - dispatch->at);
	}
}

/* Once a day: what channels were told last of groups that nobody has seen for long, how channels stood that are gone. */
static void
forget_old_groups(const Dispatch *dispatch, const State *before)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(dispatch->at)};

	if (before->dispatched_at == DT_NOBEGIN || observ_floor_time(dispatch->at, USECS_PER_DAY) ==
												   observ_floor_time(before->dispatched_at, USECS_PER_DAY))
		return;
	observ_spi(SPI_OK_DELETE,
			   "DELETE FROM observ_data.group_channels c "
			   "WHERE coalesce(greatest(c.sent_at, c.decided_at), '-infinity') < $1 - interval '30 days' "
			   "AND NOT EXISTS (SELECT FROM observ_data.alert_groups g WHERE g.group_key = c.group_key)",
			   1, types, values, NULL);
	observ_spi(SPI_OK_DELETE,
			   "DELETE FROM observ_data.channel_state s "
			   "WHERE coalesce(greatest(s.claimed_at, s.last_success_at, s.last_failure_at), '-infinity') "
			   "< $1 - interval '30 days' "
			   "AND NOT EXISTS (SELECT FROM observ.notification_channels c WHERE c.name = s.channel)",
			   1, types, values, NULL);
}

static Datum
next_flush(bool *isnull)
{
	observ_spi(SPI_OK_SELECT, "SELECT min(next_flush_at) FROM observ_data.alert_groups", 0, NULL, NULL, NULL);
	return observ_spi_value(0, 1, isnull);
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Dispatch *dispatch, Datum next, bool no_next)
{
	Datum values[6] = {CStringGetTextDatum(status)};
	bool nulls[6] = {false};

	values[1] = TimestampTzGetDatum(dispatch->at);
	values[2] = Int64GetDatum(dispatch->routed);
	values[3] = Int32GetDatum(dispatch->flushed);
	values[4] = Int32GetDatum(dispatch->notifications);
	values[5] = next;
	nulls[5] = no_next;
	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.dispatch_notifications(at) → one row; see its COMMENT. Errors: 22008 for an infinite time, 55000 when there is no root route.
 */
Datum
observ_dispatch_notifications(PG_FUNCTION_ARGS)
{
	Dispatch dispatch = {.at = observ_job_time(fcinfo)};
	const char *refused = observ_job_guard(OBSERV_LOCK_DISPATCH);
	ObservIdentity saved;
	bool no_next = true;
	State state;
	Datum next;

	if (refused != NULL)
		return result_row(fcinfo, refused, &dispatch, (Datum) 0, true);
	saved = observ_as_owner_begin();
	SPI_connect();
	state = read_state();
	/* Alerts are read in this one, taken after the lock: it sees what the dispatch before wrote, whatever the caller's statement sees. */
	PushActiveSnapshot(GetTransactionSnapshot());
	set_time(&dispatch, &state);
	observ_end_acknowledgements(dispatch.at);
	observ_end_clear_silences(dispatch.at);
	dispatch.routes = observ_load_routes();
	dispatch.escalations = observ_load_escalations(dispatch.routes);
	observ_route_alerts(&dispatch, state.routes_digest != dispatch.routes->digest);
	observ_escalate(&dispatch);
	observ_flush_groups(&dispatch);
	forget_old_groups(&dispatch, &state);
	write_state(&dispatch, &state);
	next = next_flush(&no_next);
	PopActiveSnapshot();
	SPI_finish();
	observ_as_owner_end(&saved);
	return result_row(fcinfo, "ok", &dispatch, next, no_next);
}
