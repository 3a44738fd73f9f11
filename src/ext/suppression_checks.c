/*
 * What people may write into the tables that suppress: inhibition rules, time intervals, maintenance windows. Their triggers.
 * What does not belong here: silences (silences.c), using the tables (suppression.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/matcher_sets.h"
#include "ext/time_intervals.h"
#include "ext/times.h"
#include "ext/trigger_row.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_check_time_interval);
OBSERV_SQL_FUNCTION(observ_check_inhibition_rule);
OBSERV_SQL_FUNCTION(observ_check_maintenance);

/* observ_data._check_time_interval(): BEFORE INSERT OR UPDATE on observ.time_intervals */
Datum
observ_check_time_interval(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	HeapTuple row = observ_trigger_row(data);
	char *zone = observ_trigger_text(data, row, "timezone");
	bool isnull;
	Datum times = observ_trigger_value(data, row, "times", &isnull);

	/* NULLs are the table's business. */
	if (!isnull && zone != NULL)
		(void) observ_check_times(DatumGetJsonbP(times), zone, "a time interval");
	return PointerGetDatum(row);
}

/* observ_data._check_inhibition_rule(): BEFORE INSERT OR UPDATE on observ.inhibition_rules */
Datum
observ_check_inhibition_rule(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	HeapTuple row = observ_trigger_row(data);
	char *source = observ_trigger_text(data, row, "source_matchers");
	char *target = observ_trigger_text(data, row, "target_matchers");
	bool isnull;
	Datum value;

	if (source != NULL)
		observ_check_matcher_sets(source, true, "the source of an inhibition rule");
	if (target != NULL)
		observ_check_matcher_sets(target, false, "the target of an inhibition rule");
	value = observ_trigger_value(data, row, "equal", &isnull);
	if (!isnull)
		(void) observ_check_names(value, "a label in equal");
	value = observ_trigger_value(data, row, "recovery_grace", &isnull);
	if (!isnull && observ_interval_usecs(DatumGetIntervalP(value)) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("recovery_grace must not be negative"),
				 errdetail("Given: %s.", DatumGetCString(DirectFunctionCall1(interval_out, value))),
				 errhint("0 switches it off; NULL is two evaluations of the target.")));
	return PointerGetDatum(row);
}

/* Refuses a window that hides everything for ever. */
static void
check_limits(const TriggerData *data, HeapTuple row)
{
	static const char *const limits[] = {"vps_name", "app_name", "selector", "times"};
	bool isnull;
	Datum ends_at = observ_trigger_value(data, row, "ends_at", &isnull);

	if (isnull || !TIMESTAMP_IS_NOEND(DatumGetTimestampTz(ends_at)))
		return;
	for (size_t i = 0; i < lengthof(limits); i++) {
		(void) observ_trigger_value(data, row, limits[i], &isnull);
		if (!isnull)
			return;
	}
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("a maintenance window of all VPSs must end or recur"),
					errdetail("It would keep every alert about a VPS or application from people for ever."),
					errhint("Give ends_at, times, or whom it concerns: vps_name, app_name, selector.")));
}

/* observ_data._check_maintenance(): BEFORE INSERT OR UPDATE on observ.maintenance_windows */
Datum
observ_check_maintenance(PG_FUNCTION_ARGS)
{
	TriggerData *data = observ_trigger(fcinfo);
	HeapTuple row = observ_trigger_row(data);
	char *selector = observ_trigger_text(data, row, "selector");
	char *zone = observ_trigger_text(data, row, "timezone");
	ObservLabelNames names = {0};
	bool isnull;
	Datum times = observ_trigger_value(data, row, "times", &isnull);

	if (selector != NULL) {
		observ_check_matcher_sets(selector, false, "a maintenance window");
		(void) observ_parse_matcher_sets(selector, &names);
	}
	for (int i = 0; i < names.n; i++)
		if (slice_equals(names.name[i], "app_name"))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("selector of a maintenance window can't ask for app_name"),
					 errdetail("It selects VPSs, by vps_name and the labels of observ.vps: %s", selector),
					 errhint("The application goes into the column app_name.")));
	if (!isnull && zone != NULL)
		(void) observ_check_times(DatumGetJsonbP(times), zone, "a maintenance window");
	check_limits(data, row);
	return PointerGetDatum(row);
}
