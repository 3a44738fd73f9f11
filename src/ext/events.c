/*
 * observ.record_event(): one event, by hand, from a script or from an application.
 * What does not belong here: what is made of events (SQL functions), agents' bulk INSERTs (row-level security guards those).
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "ext/arming.h"
#include "ext/caller.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_record_event);

#define MAX_KIND_LENGTH    100   /* bytes; it is part of a key */
#define MAX_PAYLOAD_LENGTH 65536 /* bytes of message and data together */
#define MAX_ATTEMPTS       100

enum EventArgument {
	ARG_KIND,
	ARG_VPS_NAME,
	ARG_APP_NAME,
	ARG_MESSAGE,
	ARG_SUCCESS,
	ARG_DURATION_MS,
	ARG_DATA,
	ARG_AT,
	N_ARGS
};

static const Oid argument_types[N_ARGS] = {TEXTOID, TEXTOID,   TEXTOID,  TEXTOID,
										   BOOLOID, FLOAT8OID, JSONBOID, TIMESTAMPTZOID};

static const char insert_sql[] = "INSERT INTO observ.events (kind, vps_name, app_name, message, success, "
								 "duration_ms, data, \"timestamp\") "
								 "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (vps_name, app_name, "
								 "kind, \"timestamp\") DO NOTHING RETURNING id";

/* The last event of that key within $5 microseconds from the given time on. */
static const char last_sql[] =
	"SELECT max(\"timestamp\") FROM observ.events WHERE vps_name = $1 AND app_name = $2 AND kind = $3 "
	"AND \"timestamp\" >= $4 AND \"timestamp\" < $4 + $5 * interval '1 microsecond'";

static void
check_kind(FunctionCallInfo fcinfo)
{
	int length;

	if (PG_ARGISNULL(ARG_KIND))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("kind of an event must not be null")));
	length = VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_KIND));
	if (length == 0 || length > MAX_KIND_LENGTH)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("kind of an event must have between 1 and %d bytes", MAX_KIND_LENGTH),
						errdetail("Given: %d.", length)));
}

static void
check_values(FunctionCallInfo fcinfo)
{
	Size payload = 0;

	if (!PG_ARGISNULL(ARG_MESSAGE))
		payload += VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_MESSAGE));
	if (!PG_ARGISNULL(ARG_DATA))
		payload += toast_raw_datum_size(PG_GETARG_DATUM(ARG_DATA));
	if (payload > MAX_PAYLOAD_LENGTH)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("message and data of an event are too long"),
				 errdetail("They have %zu bytes; at most %d are stored.", payload, MAX_PAYLOAD_LENGTH)));
	if (!PG_ARGISNULL(ARG_DURATION_MS)) {
		double duration = PG_GETARG_FLOAT8(ARG_DURATION_MS);

		if (!(duration >= 0 && duration <= 3.4e38))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("duration_ms of an event must be a number that is not negative"),
							errdetail("Given: %g.", duration)));
	}
}

/* The time of the event; a partition must take it. */
static TimestampTz
event_time(FunctionCallInfo fcinfo, Oid caller)
{
	TimestampTz at = observ_reported_time(fcinfo, ARG_AT, caller, "an event");

	if (observ_covered_to("events", at) <= at)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("observ.events has no partition for %s", timestamptz_to_str(at)),
			 errhint("Events are taken from observ.late_window before the clock to observ.premake after it. "
					 "If the time is right, see SELECT * FROM observ.status().")));
	return at;
}

/*
 * The first free microsecond after those that are taken from `at` on. Events of one transaction have one now(), so that hundreds may lie
 * side by side: the stretch that is looked through doubles until it has room.
 */
static TimestampTz
next_free(const Datum *values, TimestampTz at)
{
	static SPIPlanPtr plan = NULL;
	static const Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, FLOAT8OID};
	Datum arguments[] = {values[ARG_VPS_NAME], values[ARG_APP_NAME], values[ARG_KIND],
						 TimestampTzGetDatum(at), (Datum) 0};

	for (int64 stretch = 1000;; stretch *= 2) {
		bool isnull;
		TimestampTz last;

		arguments[4] = Float8GetDatum((float8) stretch);
		observ_spi_kept(&plan, SPI_OK_SELECT, last_sql, lengthof(types), types, arguments, NULL);
		last = DatumGetTimestampTz(observ_spi_value(0, 1, &isnull));
		/* Whoever was in the way has rolled back. */
		if (isnull)
			return at;
		if (last < at + stretch - 1)
			return last + 1;
	}
}

/* Stores the event, by a few microseconds later where its key is taken. Returns its id. */
static int64
store(Datum *values, const char *nulls)
{
	static SPIPlanPtr plan = NULL;
	TimestampTz at = DatumGetTimestampTz(values[ARG_AT]);
	bool isnull;

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
		if (attempt > 0)
			values[ARG_AT] = TimestampTzGetDatum(next_free(values, at));
		if (observ_spi_kept(&plan, SPI_OK_INSERT_RETURNING, insert_sql, N_ARGS, argument_types, values,
							nulls) > 0)
			return DatumGetInt64(observ_spi_value(0, 1, &isnull));
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not find a free microsecond for an event after %d attempts", MAX_ATTEMPTS)));
}

/*
 * observ.record_event(kind, vps_name, app_name, message, success, duration_ms, data, at) → bigint, its id; see its COMMENT.
 */
Datum
observ_record_event(PG_FUNCTION_ARGS)
{
	Oid caller = GetUserId();
	ObservIdentity saved;
	Datum values[N_ARGS];
	char nulls[N_ARGS];
	int64 id;

	observ_require_versions();
	observ_require_armed();
	check_kind(fcinfo);
	check_values(fcinfo);
	for (int i = 0; i < N_ARGS; i++) {
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	for (int i = ARG_VPS_NAME; i <= ARG_APP_NAME; i++)
		if (nulls[i] == 'n') {
			values[i] = CStringGetTextDatum("");
			nulls[i] = ' ';
		}
	values[ARG_AT] = TimestampTzGetDatum(event_time(fcinfo, caller));
	nulls[ARG_AT] = ' ';

	saved = observ_as_owner_begin();
	SPI_connect();
	if (!observ_writes_any_vps(caller)) {
		if (VARSIZE_ANY_EXHDR(DatumGetTextPP(values[ARG_VPS_NAME])) == 0)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("role \"%s\" must say which VPS its event belongs to",
								   GetUserNameFromId(caller, false)),
							errhint("Give vps_name; only writers record events of no VPS.")));
		observ_require_vps(caller, TextDatumGetCString(values[ARG_VPS_NAME]));
	}
	id = store(values, nulls);
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_INT64(id);
}
