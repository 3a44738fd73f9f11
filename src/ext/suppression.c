/*
 * Why an alert is not told right now: silences, and all that suppresses put together. What does not belong here: inhibition (inhibitions.c),
 * maintenance (maintenance.c), what people write (silences.c).
 */
#include "postgres.h"

#include "ext/suppression.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/suppression_parts.h"
#include "ext/time_intervals.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_suppressed_alerts);

typedef struct Silence {
	int64 id;
	ObservMatcherSets *matchers;
	const char *comment;
	TimestampTz ends_at;
} Silence;

typedef struct NamedTimes {
	const char *name;
	Jsonb *times;
	const char *zone;
	bool asked, contains; /* contains is the answer, once asked */
} NamedTimes;

struct ObservSuppressions {
	TimestampTz at;
	ObservLabelNames names;
	ObservInhibitions *inhibitions;
	int n_silences;
	Silence *silence;
	ObservMaintenances *maintenance;
	int n_times;
	NamedTimes *times;
};

const char *const observ_suppressed_names[] = {NULL, "inhibition", "hold", "grace", "silence", "maintenance"};

struct slice *
observ_alert_values(const ObservLabelNames *names, const ObservAlert *alert)
{
	struct slice *values = palloc(Max(names->n, 1) * sizeof *values);

	for (int i = 0; i < names->n; i++)
		values[i] = observ_alert_label(unconstify(ObservAlert *, alert), names->name[i]);
	return values;
}

/* Those that are active, the one that lasts longest first. */
static void
load_silences(ObservSuppressions *all)
{
	static const Oid types[] = {TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(all->at)};
	uint64 n = observ_spi(SPI_OK_SELECT,
						  "SELECT silence_id, matchers, comment, ends_at FROM observ.silences "
						  "WHERE starts_at <= $1 AND ends_at > $1 ORDER BY ends_at DESC, silence_id",
						  lengthof(types), types, values, NULL);

	all->silence = palloc0(Max(n, 1) * sizeof(Silence));
	for (uint64 i = 0; i < n; i++) {
		Silence *silence = &all->silence[all->n_silences];
		char *matchers = observ_spi_text(i, 2);

		silence->id = observ_spi_int64(i, 1);
		silence->matchers = observ_try_matcher_sets(matchers, &all->names);
		silence->comment = observ_spi_text(i, 3);
		silence->ends_at = observ_spi_time(i, 4);
		if (silence->matchers != NULL)
			all->n_silences++;
		else
			ereport(WARNING,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("matchers of silence " INT64_FORMAT " can't be read", silence->id),
					 errdetail("They are: %s", matchers), errhint("It silences nothing. Make a new one.")));
	}
}

static void
load_time_intervals(ObservSuppressions *all)
{
	uint64 n = observ_spi(SPI_OK_SELECT, "SELECT name, times, timezone FROM observ.time_intervals", 0, NULL,
						  NULL, NULL);

	all->times = palloc0(Max(n, 1) * sizeof(NamedTimes));
	all->n_times = (int) n;
	for (uint64 i = 0; i < n; i++) {
		bool isnull;

		all->times[i].name = observ_spi_text(i, 1);
		all->times[i].times = DatumGetJsonbPCopy(observ_spi_value(i, 2, &isnull));
		all->times[i].zone = observ_spi_text(i, 3);
	}
}

ObservSuppressions *
observ_load_suppressions(TimestampTz at)
{
	ObservSuppressions *all = palloc0(sizeof(ObservSuppressions));

	all->at = at;
	load_silences(all);
	load_time_intervals(all);
	all->maintenance = observ_load_maintenance(at);
	all->inhibitions = observ_load_inhibitions(at, &all->names);
	return all;
}

static ObservSuppression
silence_of(const ObservSuppressions *all, const struct slice *values)
{
	for (int i = 0; i < all->n_silences; i++) {
		const Silence *silence = &all->silence[i];

		if (observ_sets_accept(silence->matchers, values))
			return (ObservSuppression){SUPPRESSED_SILENCED, silence->id, silence->comment, silence->ends_at};
	}
	return (ObservSuppression){.by = SUPPRESSED_NOT};
}

ObservSuppression
observ_suppression_of(ObservSuppressions *all, const ObservAlert *alert)
{
	struct slice *values = observ_alert_values(&all->names, alert);
	ObservSuppression found = {.by = SUPPRESSED_NOT}, silence = silence_of(all, values);

	if (all->inhibitions != NULL)
		found = observ_inhibition_of(all->inhibitions, alert, values);
	if (found.by == SUPPRESSED_NOT)
		found = silence;
	if (found.by == SUPPRESSED_NOT && all->maintenance != NULL)
		found = observ_maintenance_of(all->maintenance, alert);
	found.silenced = silence.by == SUPPRESSED_SILENCED;
	pfree(values);
	return found;
}

bool
observ_in_time_interval(ObservSuppressions *all, const char *name)
{
	NamedTimes *times = NULL;

	for (int i = 0; i < all->n_times && times == NULL; i++)
		if (strcmp(all->times[i].name, name) == 0)
			times = &all->times[i];
	if (times == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("time interval \"%s\" does not exist", name),
				 errhint("SELECT name FROM observ.time_intervals lists those there are.")));
	if (!times->asked) {
		const char *problem;
		ObservTimes *read = observ_read_times(times->times, times->zone, &problem);

		if (read == NULL)
			ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
							  errmsg("time interval \"%s\" can't be read: %s", name, problem)));
		times->contains = read != NULL && observ_times_show(read, all->at);
		times->asked = true;
	}
	return times->contains;
}

enum SuppressedColumn {
	COL_ALERT_ID,
	COL_ALERTNAME,
	COL_INSTANCE,
	COL_APP_NAME,
	COL_SUPPRESSED_BY,
	COL_ID,
	COL_RULE,
	COL_UNTIL,
	N_COLUMNS
};

static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

static void
put_suppressed(ReturnSetInfo *result, const ObservAlert *alert, const ObservSuppression *found)
{
	Datum values[N_COLUMNS] = {0};
	bool nulls[N_COLUMNS] = {false};

	values[COL_ALERT_ID] = Int64GetDatum(alert->alert_id);
	set_text(values, nulls, COL_ALERTNAME, alert->name);
	set_text(values, nulls, COL_INSTANCE, alert->instance);
	set_text(values, nulls, COL_APP_NAME, alert->app_name);
	set_text(values, nulls, COL_SUPPRESSED_BY, observ_suppressed_names[found->by]);
	values[COL_ID] = Int64GetDatum(found->id);
	set_text(values, nulls, COL_RULE, found->rule);
	values[COL_UNTIL] = TimestampTzGetDatum(found->until);
	nulls[COL_UNTIL] = found->until == DT_NOEND;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* observ.suppressed_alerts(at) */
Datum
observ_suppressed_alerts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz at = PG_ARGISNULL(0) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(0);
	ObservIdentity saved;
	ObservSuppressions *all;
	ObservAlert *alerts;
	int n;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	all = observ_load_suppressions(at);
	alerts = observ_load_alerts(at, "a.status <> 'resolved'", 0, NULL, NULL, &n);
	for (int i = 0; i < n; i++) {
		ObservSuppression found = observ_suppression_of(all, &alerts[i]);

		if (found.by != SUPPRESSED_NOT)
			put_suppressed(result, &alerts[i], &found);
	}
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_NULL();
}
