/*
 * Functions that people make and end silences with, and see what they hide. What does not belong here: what may be written (silences.c).
 */
#include "postgres.h"

#include "ext/silences.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/label_matchers.h"
#include "ext/live_alert.h"
#include "ext/matcher_sets.h"
#include "ext/spi_util.h"
#include "ext/suppression_parts.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_silence);
OBSERV_SQL_FUNCTION(observ_expire_silence);
OBSERV_SQL_FUNCTION(observ_matching_alerts);
OBSERV_SQL_FUNCTION(observ_alert_matchers);

/* More live alerts than this, and a silence that hides more than half of them is asked about. */
#define FEW_ALERTS 10

enum SilenceArgument {
	ARG_MATCHERS,
	ARG_DURATION,
	ARG_COMMENT,
	ARG_UNTIL,
	ARG_STARTS_AT,
	ARG_TICKET_URL,
	ARG_AUTO_EXPIRE,
	ARG_CONFIRM,
	ARG_AT,
};

/* Alerts that people are told of: firing or recovering. */
static ObservAlert *
told_alerts(TimestampTz at, int *n)
{
	return observ_load_alerts(at, "a.status IN ('firing', 'recovering')", 0, NULL, NULL, n);
}

static bool
matches(ObservMatcherSets *sets, const ObservLabelNames *names, const ObservAlert *alert)
{
	struct slice *values = observ_alert_values(names, alert);
	bool accepted = observ_sets_accept(sets, values);

	pfree(values);
	return accepted;
}

/* Refuses what would hide more than somebody is likely to mean. */
static void
check_breadth(const char *matchers, TimestampTz at)
{
	ObservLabelNames names = {0};
	ObservMatcherSets *sets = observ_parse_matcher_sets(matchers, &names);
	int live, hidden = 0;
	ObservAlert *alerts = told_alerts(at, &live);

	for (int i = 0; i < live; i++)
		hidden += matches(sets, &names, &alerts[i]);
	if (live <= FEW_ALERTS || 2 * (int64) hidden <= live)
		return;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg(hidden == live ? "this silence would hide every alert that fires"
										  : "this silence would hide most alerts that fire"),
					errdetail("It would hide %d of %d.", hidden, live),
					errhint("SELECT * FROM observ.preview_silence(%s) shows them. If all of them are meant, "
							"add confirm => true.",
							quote_literal_cstr(matchers))));
}

static TimestampTz
argument_time(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(number);
}

/* The end that was asked for, as a duration or as a time. */
static TimestampTz
end_of(FunctionCallInfo fcinfo, TimestampTz starts_at)
{
	if (PG_ARGISNULL(ARG_DURATION) == PG_ARGISNULL(ARG_UNTIL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a silence needs either a duration or until"),
						errhint("SELECT observ.silence('{vps_name=\"db-1\"}', '2 hours', 'new disks').")));
	if (!PG_ARGISNULL(ARG_UNTIL))
		return PG_GETARG_TIMESTAMPTZ(ARG_UNTIL);
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(starts_at),
												   PG_GETARG_DATUM(ARG_DURATION)));
}

static int64
insert_silence(FunctionCallInfo fcinfo, TimestampTz starts_at)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INTERVALOID};
	Datum values[] = {PG_GETARG_DATUM(ARG_MATCHERS),
					  TimestampTzGetDatum(starts_at),
					  TimestampTzGetDatum(end_of(fcinfo, starts_at)),
					  PG_GETARG_DATUM(ARG_COMMENT),
					  PG_GETARG_DATUM(ARG_TICKET_URL),
					  PG_GETARG_DATUM(ARG_AUTO_EXPIRE)};
	char nulls[] = {' ',
					' ',
					' ',
					PG_ARGISNULL(ARG_COMMENT) ? 'n' : ' ',
					PG_ARGISNULL(ARG_TICKET_URL) ? 'n' : ' ',
					PG_ARGISNULL(ARG_AUTO_EXPIRE) ? 'n' : ' '};
	bool isnull;

	observ_spi(SPI_OK_INSERT_RETURNING,
			   "INSERT INTO observ.silences (matchers, starts_at, ends_at, comment, ticket_url, "
			   "auto_expire_when_clear) VALUES ($1, $2, $3, $4, $5, $6) RETURNING silence_id",
			   lengthof(types), types, values, nulls);
	return DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

/* observ.silence(): as who calls it; the trigger checks. */
Datum
observ_silence(PG_FUNCTION_ARGS)
{
	TimestampTz at = argument_time(fcinfo, ARG_AT);
	TimestampTz starts_at = PG_ARGISNULL(ARG_STARTS_AT) ? at : Max(at, PG_GETARG_TIMESTAMPTZ(ARG_STARTS_AT));
	int64 id = 0;

	observ_require_versions();
	if (PG_ARGISNULL(ARG_MATCHERS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("matchers of a silence must not be null")));
	SPI_connect();
	observ_set_silence_time(at);
	PG_TRY();
	{
		id = insert_silence(fcinfo, starts_at);
		if (PG_ARGISNULL(ARG_CONFIRM) || !PG_GETARG_BOOL(ARG_CONFIRM))
			check_breadth(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MATCHERS)), at);
	}
	PG_FINALLY();
	{
		observ_reset_silence_time();
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_INT64(id);
}

/* Ends it; false when it was over already. */
static bool
expire(int64 id, TimestampTz at)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(id), TimestampTzGetDatum(at)};

	if (observ_spi(SPI_OK_UPDATE,
				   "UPDATE observ.silences SET ends_at = $2 WHERE silence_id = $1 AND ends_at > $2",
				   lengthof(types), types, values, NULL) > 0)
		return true;
	if (observ_spi(SPI_OK_SELECT, "SELECT FROM observ.silences WHERE silence_id = $1", 1, types, values,
				   NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("silence " INT64_FORMAT " does not exist", id),
				 errhint("SELECT * FROM observ.active_silences lists those that are active.")));
	return false;
}

/* observ.expire_silence(silence_id, at) */
Datum
observ_expire_silence(PG_FUNCTION_ARGS)
{
	TimestampTz at = argument_time(fcinfo, 1);
	bool ended = false;

	observ_require_versions();
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	SPI_connect();
	observ_set_silence_time(at);
	PG_TRY();
	{
		ended = expire(PG_GETARG_INT64(0), at);
	}
	PG_FINALLY();
	{
		observ_reset_silence_time();
	}
	PG_END_TRY();
	SPI_finish();
	PG_RETURN_BOOL(ended);
}

/* observ._matching_alerts(matchers, at): ids of alerts that people are told of and that these matchers would hide. */
Datum
observ_matching_alerts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char *matchers = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ObservLabelNames names = {0};
	ObservMatcherSets *sets;
	ObservAlert *alerts;
	int n;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	observ_check_matcher_sets(matchers, false, "a silence");
	SPI_connect();
	sets = observ_parse_matcher_sets(matchers, &names);
	alerts = told_alerts(PG_GETARG_TIMESTAMPTZ(1), &n);
	for (int i = 0; i < n; i++) {
		Datum value = Int64GetDatum(alerts[i].alert_id);
		bool isnull = false;

		if (matches(sets, &names, &alerts[i]))
			tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	SPI_finish();
	PG_RETURN_NULL();
}

/* observ_data._alert_matchers(alert_id) */
Datum
observ_alert_matchers(PG_FUNCTION_ARGS)
{
	static const Oid types[] = {INT8OID};
	Datum values[] = {PG_GETARG_DATUM(0)};
	MemoryContext caller = CurrentMemoryContext;
	StringInfoData out;
	uint64 n;

	observ_require_versions();
	initStringInfo(&out);
	SPI_connect();
	n = observ_spi(
		SPI_OK_SELECT,
		"SELECT l.key, l.value FROM observ.alerts a, "
		"jsonb_each_text(jsonb_build_object('alertname', a.labels ->> 'alertname') || a.identity) l "
		"WHERE a.alert_id = $1 AND l.value IS NOT NULL ORDER BY l.key <> 'alertname', l.key COLLATE \"C\"",
		lengthof(types), types, values, NULL);
	if (n == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("alert " INT64_FORMAT " does not exist", PG_GETARG_INT64(0)),
			 errhint("SELECT * FROM observ.alerts WHERE status <> 'resolved' lists those that are live.")));
	for (uint64 i = 0; i < n; i++) {
		appendStringInfoString(&out, i == 0 ? "{" : ",");
		observ_put_matcher(&out, observ_spi_text(i, 1), observ_spi_text(i, 2));
	}
	appendStringInfoChar(&out, '}');
	SPI_finish();
	MemoryContextSwitchTo(caller);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* A silence that may end by itself, and what is known of it. */
typedef struct Ending {
	int64 id;
	ObservMatcherSets *sets;
	int64 after_us;
	TimestampTz clear_since; /* DT_NOEND: it hides something */
} Ending;

static Ending *
load_endings(TimestampTz at, ObservLabelNames *names, int *n)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(at)};
	uint64 rows =
		observ_spi(SPI_OK_SELECT,
				   "SELECT silence_id, matchers, auto_expire_when_clear, clear_since FROM observ.silences "
				   "WHERE starts_at <= $1 AND ends_at > $1 AND auto_expire_when_clear IS NOT NULL "
				   "ORDER BY silence_id FOR UPDATE SKIP LOCKED",
				   lengthof(types), types, values, NULL);
	Ending *endings = palloc0(Max(rows, 1) * sizeof(Ending));

	*n = 0;
	for (uint64 i = 0; i < rows; i++) {
		Ending *ending = &endings[*n];
		bool isnull;
		Datum clear = observ_spi_value(i, 4, &isnull);

		ending->clear_since = isnull ? DT_NOEND : DatumGetTimestampTz(clear);
		ending->id = DatumGetInt64(observ_spi_value(i, 1, &isnull));
		ending->sets = observ_try_matcher_sets(TextDatumGetCString(observ_spi_value(i, 2, &isnull)), names);
		ending->after_us = observ_interval_usecs(DatumGetIntervalP(observ_spi_value(i, 3, &isnull)));
		*n += ending->sets != NULL;
	}
	return endings;
}

static void
set_clear_since(int64 id, TimestampTz clear_since)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(id), TimestampTzGetDatum(clear_since)};
	char nulls[] = {' ', clear_since == DT_NOEND ? 'n' : ' '};

	observ_spi(SPI_OK_UPDATE, "UPDATE observ.silences SET clear_since = $2 WHERE silence_id = $1",
			   lengthof(types), types, values, nulls);
}

static void
tend(const Ending *ending, bool hides, TimestampTz at)
{
	TimestampTz clear_since = hides ? DT_NOEND : Min(ending->clear_since, at);

	if (clear_since != ending->clear_since)
		set_clear_since(ending->id, clear_since);
	if (!hides && at - clear_since >= ending->after_us)
		(void) expire(ending->id, at);
}

static void
tend_all(TimestampTz at)
{
	ObservLabelNames names = {0};
	int n, live;
	Ending *endings = load_endings(at, &names, &n);
	ObservAlert *alerts;

	if (n == 0)
		return;
	alerts = observ_load_alerts(at, "a.status <> 'resolved'", 0, NULL, NULL, &live);
	for (int i = 0; i < n; i++) {
		bool hides = false;

		for (int k = 0; k < live && !hides; k++)
			hides = matches(endings[i].sets, &names, &alerts[k]);
		tend(&endings[i], hides, at);
	}
}

void
observ_end_clear_silences(TimestampTz at)
{
	observ_set_silence_time(at);
	PG_TRY();
	{
		tend_all(at);
	}
	PG_FINALLY();
	{
		observ_reset_silence_time();
	}
	PG_END_TRY();
}
