/*
 * observ.test_alert(): an alert that goes the whole way, from evaluation to people and to its end, and disturbs nobody on it. It is a row of
 * observ_data.test_alerts that a rule of source query finds; the rule of each severity is made when it is first asked for. What does not belong here: what keeps
 * tests apart from trouble (groups of their own in dispatch_route.c, no inhibition in inhibitions.c, not counted in alert_counts.c, [TEST] in message.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/message.h"
#include "ext/metric_labels.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_test_alert);

#define MAX_DURATION USECS_PER_DAY
/* Rows stay for so long after their end: evaluations see that it is over. */
#define KEPT "1 day"

/* $1 severity. An hour after its end nobody asks any more. */
static const char rule_sql[] =
	"INSERT INTO observ.alert_rules AS r (name, description, category, query, severity, on_missing, "
	"reopen_window, flap_detection, annotations) "
	"SELECT 'TestAlert' || initcap($1), 'Alerts of observ.test_alert(), which made this rule', 'test', "
	"format('SELECT labels || jsonb_build_object(''" OBSERV_TEST_LABEL "'', test_id::text) AS labels, "
	"1::float8 AS value, $1 < ends_at AS breach FROM observ_data.test_alerts WHERE severity = %L AND "
	"starts_at <= $1 AND ends_at > $1 - interval ''1 hour''', $1), "
	"$1::observ.severity, 'resolve', '0', false, "
	"jsonb_build_object('summary', 'This is a test. Nothing is wrong') "
	"ON CONFLICT (name) DO UPDATE SET enabled = true WHERE NOT r.enabled";

/* $1 severity, $2 labels, $3 beginning, $4 duration. */
static const char test_sql[] =
	"WITH old AS (DELETE FROM observ_data.test_alerts WHERE ends_at < $3 - interval '" KEPT "') "
	"INSERT INTO observ_data.test_alerts (severity, labels, starts_at, ends_at) "
	"VALUES ($1::observ.severity, $2, $3, $3 + $4) RETURNING 'TestAlert' || initcap($1)";

static Jsonb *
checked_labels(Jsonb *given)
{
	static const char *const own[] = {"alertname", "severity", "category", OBSERV_TEST_LABEL};
	ObservLabels labels;
	const char *problem = observ_read_labels(given, &labels);

	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem),
						errdetail("labels: %s", JsonbToCString(NULL, &given->root, VARSIZE(given))),
						errhint("For instance '{\"team\": \"payments\", \"vps_name\": \"db-1\"}'.")));
	for (size_t i = 0; i < lengthof(own); i++)
		if (observ_label_value(labels.json, slice_of(own[i])).p != NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("a test can't have a label \"%s\" of its own", own[i]),
							errhint("Its severity is an argument: observ.test_alert('{}', 'critical').")));
	return labels.json;
}

static void
check_duration(const Interval *duration)
{
	int64 us = observ_interval_usecs(duration);

	if (us <= 0 || us > MAX_DURATION)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a test lasts longer than nothing, and a day at most"),
				 errdetail("duration: %s",
						   DatumGetCString(DirectFunctionCall1(interval_out, IntervalPGetDatum(duration))))));
}

Datum
observ_test_alert(PG_FUNCTION_ARGS)
{
	const Oid types[] = {TEXTOID, JSONBOID, TIMESTAMPTZOID, INTERVALOID};
	ObservIdentity saved;
	Datum values[4];
	MemoryContext context = CurrentMemoryContext;
	char *name;
	bool isnull;

	observ_require_versions();
	check_duration(PG_GETARG_INTERVAL_P(2));
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(3)))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("a test begins at a finite time")));
	values[0] = DirectFunctionCall1(enum_out, PG_GETARG_DATUM(1));
	values[0] = CStringGetTextDatum(DatumGetCString(values[0]));
	values[1] = JsonbPGetDatum(checked_labels(PG_GETARG_JSONB_P(0)));
	values[2] = PG_GETARG_DATUM(3);
	values[3] = PG_GETARG_DATUM(2);
	saved = observ_as_owner_begin();
	SPI_connect();
	observ_spi(SPI_OK_INSERT, rule_sql, 1, types, values, NULL);
	observ_spi(SPI_OK_INSERT_RETURNING, test_sql, lengthof(types), types, values, NULL);
	name = MemoryContextStrdup(context, TextDatumGetCString(observ_spi_value(0, 1, &isnull)));
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_TEXT_P(cstring_to_text(name));
}
