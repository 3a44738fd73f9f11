/*
 * What people do to alerts: acknowledge, take that back, resolve. What does not belong here: evaluation (evaluation.c), silences.
 *
 * Each is one UPDATE that names what it expects, so that an evaluation at the same time is before it or after it: it waits for an evaluation that
 * has changed the row, and an evaluation that has read the row before leaves it alone, because `changes` differs.
 */
#include "postgres.h"

#include "ext/alert_people.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/alert_store.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_acknowledge_alert);
OBSERV_SQL_FUNCTION(observ_unacknowledge_alert);
OBSERV_SQL_FUNCTION(observ_resolve_alert);

/* Parameters of all statements: alert, time, role, note, until, sticky. */
enum Parameter { P_ALERT, P_AT, P_ROLE, P_NOTE, P_UNTIL, P_STICKY, N_PARAMETERS };

static const Oid parameter_types[N_PARAMETERS] = {INT8OID, TIMESTAMPTZOID, NAMEOID,
												  TEXTOID, TIMESTAMPTZOID, BOOLOID};

typedef struct Call {
	Datum values[N_PARAMETERS];
	char nulls[N_PARAMETERS];
} Call;

/* The time in history: that of the call, but not before the alert's own. */
#define LATEST_OF_ALERT "greatest($2, coalesce(starts_at, active_at))"

/* Each returns alert_id, status, severity, instance, app_name. */
static const char acknowledge_sql[] =
	"WITH done AS (UPDATE observ.alerts SET acknowledged_at = $2, acknowledged_by = $3, acknowledged_note = "
	"$4, "
	"    acknowledged_until = $5, acknowledged_sticky = $6, "
	"    changes = changes + 1, unrouted = true "
	"  WHERE alert_id = $1 AND status <> 'resolved' RETURNING *), "
	"kept AS (INSERT INTO observ.alert_history (\"timestamp\", alert_id, rule_id, fingerprint, from_status, "
	"    to_status, event, reason, value, actor) "
	"  SELECT $2, alert_id, rule_id, fingerprint, status, status, 'acknowledged', $4, value, $3 FROM done) "
	"SELECT alert_id, status, severity, instance, app_name FROM done";

static const char unacknowledge_sql[] =
	"WITH done AS (UPDATE observ.alerts SET acknowledged_at = NULL, acknowledged_by = NULL, "
	"    acknowledged_note = NULL, acknowledged_until = NULL, acknowledged_sticky = NULL, "
	"    changes = changes + 1, unrouted = true "
	"  WHERE alert_id = $1 AND status <> 'resolved' AND acknowledged_at IS NOT NULL RETURNING *), "
	"kept AS (INSERT INTO observ.alert_history (\"timestamp\", alert_id, rule_id, fingerprint, from_status, "
	"    to_status, event, reason, value, actor) "
	"  SELECT $2, alert_id, rule_id, fingerprint, status, status, 'unacknowledged', $4, value, $3 FROM done) "
	"SELECT alert_id, status, severity, instance, app_name FROM done";

static const char resolve_sql[] =
	"WITH before AS (SELECT alert_id, status FROM observ.alerts WHERE alert_id = $1 AND status <> 'resolved' "
	"FOR UPDATE), "
	"done AS (UPDATE observ.alerts a SET status = 'resolved', ends_at = " LATEST_OF_ALERT ", "
	"    keep_since = NULL, missing_since = NULL, stale = false, resolved_reason = 'manual', resolved_by = "
	"$3, "
	"    resolved_note = $4, changes = changes + 1, unrouted = true "
	"  FROM before b WHERE a.alert_id = b.alert_id AND b.status <> 'pending' "
	"  RETURNING a.*, b.status AS from_status), "
	/* Nobody was told of a pending one: it goes as one that clears does. */
	"gone AS (DELETE FROM observ.alerts a USING before b WHERE a.alert_id = b.alert_id AND b.status = "
	"'pending' "
	"  RETURNING a.*, b.status AS from_status), "
	"either AS (SELECT * FROM done UNION ALL SELECT * FROM gone), "
	"kept AS (INSERT INTO observ.alert_history (\"timestamp\", alert_id, rule_id, fingerprint, from_status, "
	"    to_status, event, reason, value, actor) "
	"  SELECT " LATEST_OF_ALERT ", alert_id, rule_id, fingerprint, from_status, "
	"    CASE WHEN from_status = 'pending' THEN 'inactive' ELSE 'resolved' END, "
	"    CASE WHEN from_status = 'pending' THEN 'inactive' ELSE 'resolved' END, "
	"    concat_ws(': ', 'manual', $4), value, $3 FROM either) "
	"SELECT alert_id, CASE WHEN from_status = 'pending' THEN 'inactive' ELSE 'resolved' END, severity, "
	"instance, "
	"  app_name FROM either";

#define DUE "status <> 'resolved' AND acknowledged_until <= $1"

/* Those that a person has locked are left to the next call. */
static const char end_sql[] =
	"WITH due AS (SELECT alert_id FROM observ.alerts WHERE " DUE
	" ORDER BY alert_id FOR UPDATE SKIP LOCKED), "
	"done AS (UPDATE observ.alerts a SET acknowledged_at = NULL, acknowledged_by = NULL, acknowledged_note = "
	"NULL, "
	"    acknowledged_until = NULL, acknowledged_sticky = NULL, changes = changes + 1, unrouted = true "
	"  FROM due d WHERE a.alert_id = d.alert_id RETURNING a.*) "
	"INSERT INTO observ.alert_history (\"timestamp\", alert_id, rule_id, fingerprint, from_status, "
	"to_status, event, "
	"  reason, value) "
	"SELECT $1, alert_id, rule_id, fingerprint, status, status, 'unacknowledged', 'acknowledgement expired', "
	"value FROM done";

static void
set_text(Call *call, FunctionCallInfo fcinfo, int parameter, int argument)
{
	if (PG_ARGISNULL(argument))
		return;
	call->values[parameter] = PG_GETARG_DATUM(argument);
	call->nulls[parameter] = ' ';
}

/* What all three functions begin with: alert, note, and the time as their last argument. */
static Call
begin_call(FunctionCallInfo fcinfo, int time_argument)
{
	Call call;
	TimestampTz at = PG_ARGISNULL(time_argument) ? GetCurrentTransactionStartTimestamp()
												 : PG_GETARG_TIMESTAMPTZ(time_argument);

	observ_require_versions();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("alert_id must not be null")));
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("the time must be finite"),
						errdetail("Given: %s.", timestamptz_to_str(at))));
	memset(call.nulls, 'n', sizeof call.nulls);
	memset(call.values, 0, sizeof call.values);
	call.values[P_ALERT] = PG_GETARG_DATUM(0);
	call.values[P_AT] = TimestampTzGetDatum(at);
	call.values[P_ROLE] = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
	call.nulls[P_ALERT] = call.nulls[P_AT] = call.nulls[P_ROLE] = ' ';
	set_text(&call, fcinfo, P_NOTE, 1);
	return call;
}

/* Why the statement found nothing to change: raises, unless the alert is live. */
static void
explain_nothing(int64 alert_id)
{
	static const Oid types[] = {INT8OID};
	Datum values[] = {Int64GetDatum(alert_id)}, ended;
	bool isnull;

	if (observ_spi(SPI_OK_SELECT, "SELECT ends_at FROM observ.alerts WHERE alert_id = $1", 1, types, values,
				   NULL) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("alert " INT64_FORMAT " does not exist", alert_id),
			 errhint("SELECT * FROM observ.alerts WHERE status <> 'resolved' lists those that are live. A "
					 "pending alert that clears leaves observ.alert_history only.")));
	ended = observ_spi_value(0, 1, &isnull);
	if (!isnull)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("alert " INT64_FORMAT " is resolved", alert_id),
						errdetail("It ended at %s.", timestamptz_to_str(DatumGetTimestampTz(ended))),
						errhint("SELECT * FROM observ.explain_alert(" INT64_FORMAT
								") says how. If it fires again, that is an alert of its own.",
								alert_id)));
}

/* History of virtual times lies where no partition may be yet; that of an alert may begin after the call's. */
static void
ensure_history(const Call *call)
{
	bool isnull;
	Datum latest;

	(void) observ_ensure_partition("alert_history", DatumGetTimestampTz(call->values[P_AT]));
	observ_spi(SPI_OK_SELECT, "SELECT max(" LATEST_OF_ALERT ") FROM observ.alerts WHERE alert_id = $1", 2,
			   parameter_types, call->values, NULL);
	latest = observ_spi_value(0, 1, &isnull);
	if (!isnull)
		(void) observ_ensure_partition("alert_history", DatumGetTimestampTz(latest));
}

/* Columns of the row that the functions return. */
enum ResultColumn { COL_DONE, COL_ALERT, COL_STATUS, COL_SEVERITY, COL_INSTANCE, COL_APP_NAME, N_COLUMNS };

/* observ.fleet_summary counts alerts of each VPS. */
static void
recount(const Datum *values, const bool *nulls)
{
	Datum vps = values[COL_INSTANCE];

	if (!nulls[COL_INSTANCE])
		observ_count_alerts(DatumGetArrayTypeP(observ_array(&vps, 1, TEXTOID)));
}

/* Runs a statement as the owner of the tables, for the caller; the row that the SQL function returns. */
static Datum
change(FunctionCallInfo fcinfo, const char *sql, const Call *call)
{
	MemoryContext caller = CurrentMemoryContext, spi;
	ObservIdentity saved = observ_as_owner_begin();
	Datum result, values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {false};

	SPI_connect();
	ensure_history(call);
	if (observ_spi(SPI_OK_SELECT, sql, N_PARAMETERS, parameter_types, call->values, call->nulls) > 0) {
		for (int i = COL_ALERT; i < N_COLUMNS; i++)
			values[i] = observ_spi_value(0, i, &nulls[i]);
		values[COL_DONE] = BoolGetDatum(true);
	} else {
		explain_nothing(DatumGetInt64(call->values[P_ALERT]));
		values[COL_DONE] = BoolGetDatum(false);
		values[COL_ALERT] = call->values[P_ALERT];
		memset(nulls + COL_STATUS, true, N_COLUMNS - COL_STATUS);
	}
	spi = MemoryContextSwitchTo(caller);
	result = observ_row(fcinfo, values, nulls);
	MemoryContextSwitchTo(spi);
	recount(values, nulls);
	SPI_finish();
	observ_as_owner_end(&saved);
	return result;
}

/* observ.acknowledge_alert(alert_id, note, until, sticky, at) */
Datum
observ_acknowledge_alert(PG_FUNCTION_ARGS)
{
	Call call = begin_call(fcinfo, 4);

	set_text(&call, fcinfo, P_UNTIL, 2);
	call.values[P_STICKY] = BoolGetDatum(!PG_ARGISNULL(3) && PG_GETARG_BOOL(3));
	call.nulls[P_STICKY] = ' ';
	if (call.nulls[P_UNTIL] == ' ' &&
		DatumGetTimestampTz(call.values[P_UNTIL]) <= DatumGetTimestampTz(call.values[P_AT]))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an acknowledgement must end in the future"),
				 errdetail("Given: %s.", timestamptz_to_str(DatumGetTimestampTz(call.values[P_UNTIL]))),
				 errhint("Leave out until for one that holds as long as the alert.")));
	return change(fcinfo, acknowledge_sql, &call);
}

/* observ.unacknowledge_alert(alert_id, note, at) */
Datum
observ_unacknowledge_alert(PG_FUNCTION_ARGS)
{
	Call call = begin_call(fcinfo, 2);

	return change(fcinfo, unacknowledge_sql, &call);
}

/* observ.resolve_alert(alert_id, note, at) */
Datum
observ_resolve_alert(PG_FUNCTION_ARGS)
{
	Call call = begin_call(fcinfo, 2);

	return change(fcinfo, resolve_sql, &call);
}

void
observ_end_acknowledgements(TimestampTz at)
{
	static SPIPlanPtr any_due = NULL, end = NULL;
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(at)};

	/* The order is that of its index: without statistics any other one would do as well, and be read to its end. */
	if (observ_spi_kept(&any_due, SPI_OK_SELECT,
						"SELECT FROM observ.alerts WHERE " DUE " ORDER BY acknowledged_until LIMIT 1",
						lengthof(types), types, values, NULL) == 0)
		return;
	(void) observ_ensure_partition("alert_history", at);
	observ_spi_kept(&end, SPI_OK_INSERT, end_sql, lengthof(types), types, values, NULL);
}
