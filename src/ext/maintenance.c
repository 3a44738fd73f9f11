/*
 * Windows of maintenance, observ.maintenance_windows: which are open, whom they concern, and the periods that they make for observ.sla().
 * What does not belong here: time zones and lists of times (time_intervals.c), what people write (maintenance_check.c).
 */
#include "postgres.h"

#include "ext/suppression_parts.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/time_intervals.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_maintenance_periods);

/* How far ahead the end of a window that recurs is looked for. */
#define LOOK_AHEAD (8 * USECS_PER_DAY)

typedef struct Window {
	int64 id;
	const char *name;
	const char *vps_name, *app_name; /* NULL: any */
	ObservMatcherSets *selector;     /* NULL: any */
	TimestampTz starts_at, ends_at;  /* of one that recurs: when it begins and ends to */
	ObservTimes *times;              /* NULL: all the time in between */
	TimestampTz until;               /* when it closes; set by keep_open() */
} Window;

typedef struct Vps {
	const char *name;
	Jsonb *labels;
	bool in_maintenance;
	struct slice *values; /* of the labels that selectors ask for */
} Vps;

struct ObservMaintenances {
	ObservLabelNames names;
	int n;
	Window *window;
	bool selects;
	int n_vps;
	Vps *vps; /* by name */
};

/* Columns of the query, from 1. */
enum WindowColumn {
	COL_ID = 1,
	COL_NAME,
	COL_VPS_NAME,
	COL_APP_NAME,
	COL_SELECTOR,
	COL_STARTS_AT,
	COL_ENDS_AT,
	COL_TIMES,
	COL_TIMEZONE,
};

/* False, with a WARNING, when what it says can't be read. */
static bool
read_window(uint64 row, Window *out, ObservLabelNames *names)
{
	char *selector = observ_spi_text(row, COL_SELECTOR);
	bool isnull;
	Datum times;

	out->id = observ_spi_int64(row, COL_ID);
	out->name = observ_spi_text(row, COL_NAME);
	out->vps_name = observ_spi_text(row, COL_VPS_NAME);
	out->app_name = observ_spi_text(row, COL_APP_NAME);
	out->starts_at = observ_spi_time(row, COL_STARTS_AT);
	out->ends_at = observ_spi_time(row, COL_ENDS_AT);
	out->selector = selector == NULL ? NULL : observ_try_matcher_sets(selector, names);
	times = observ_spi_value(row, COL_TIMES, &isnull);
	if (!isnull) {
		const char *problem;

		out->times =
			observ_read_times(DatumGetJsonbPCopy(times), observ_spi_text(row, COL_TIMEZONE), &problem);
	}
	if ((selector == NULL || out->selector != NULL) && (isnull || out->times != NULL))
		return true;
	ereport(WARNING, (errcode(ERRCODE_DATA_CORRUPTED),
					  errmsg("maintenance window " INT64_FORMAT " can't be read", out->id),
					  errhint("It counts for nothing. Correct its selector, times or timezone.")));
	return false;
}

/* Windows that `from` to `to` has a part of. */
static ObservMaintenances *
load_windows(TimestampTz from, TimestampTz to)
{
	static const Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(to)};
	ObservMaintenances *all = palloc0(sizeof(ObservMaintenances));
	uint64 n =
		observ_spi(SPI_OK_SELECT,
				   "SELECT id, coalesce(name, comment, 'maintenance'), vps_name, app_name, selector, "
				   "starts_at, ends_at, times, timezone "
				   "FROM observ.maintenance_windows WHERE starts_at <= $2 AND ends_at > $1 ORDER BY id",
				   lengthof(types), types, values, NULL);

	all->window = palloc0(Max(n, 1) * sizeof(Window));
	for (uint64 i = 0; i < n; i++)
		if (read_window(i, &all->window[all->n], &all->names))
			all->n++;
	return all;
}

/* Leaves those that are open at that time, and finds out until when. */
static void
keep_open(ObservMaintenances *all, TimestampTz at)
{
	int n = 0;

	for (int i = 0; i < all->n; i++) {
		Window *window = &all->window[i];

		window->until = window->ends_at;
		if (window->times != NULL) {
			TimestampTz limit = Min(window->ends_at, at + LOOK_AHEAD);

			if (!observ_times_show(window->times, at))
				continue;
			window->until = observ_times_change(window->times, at, limit);
			if (window->until == limit && limit < window->ends_at)
				window->until = DT_NOEND;
		}
		all->selects |= window->selector != NULL;
		all->window[n++] = *window;
	}
	all->n = n;
}

/* VPSs that are in maintenance by their status, or all when selectors ask for labels. */
static void
load_fleet(ObservMaintenances *all)
{
	static const Oid types[] = {BOOLOID};
	Datum values[] = {BoolGetDatum(all->selects)};
	uint64 n = observ_spi(SPI_OK_SELECT,
						  "SELECT vps_name, labels, status = 'maintenance' FROM observ.vps "
						  "WHERE status = 'maintenance' OR $1 ORDER BY vps_name COLLATE \"C\"",
						  lengthof(types), types, values, NULL);

	all->vps = palloc0(Max(n, 1) * sizeof(Vps));
	all->n_vps = (int) n;
	for (uint64 i = 0; i < n; i++) {
		Vps *vps = &all->vps[i];
		bool isnull;

		vps->name = observ_spi_text(i, 1);
		vps->labels = DatumGetJsonbPCopy(observ_spi_value(i, 2, &isnull));
		vps->in_maintenance = DatumGetBool(observ_spi_value(i, 3, &isnull));
		vps->values = palloc(Max(all->names.n, 1) * sizeof *vps->values);
		for (int k = 0; k < all->names.n; k++)
			vps->values[k] =
				slice_equals(all->names.name[k], "vps_name") || slice_equals(all->names.name[k], "instance")
					? slice_of(vps->name)
					: observ_alert_label_in(vps->labels, all->names.name[k]);
	}
}

ObservMaintenances *
observ_load_maintenance(TimestampTz at)
{
	ObservMaintenances *all = load_windows(at, at);

	keep_open(all, at);
	load_fleet(all);
	return all->n == 0 && all->n_vps == 0 ? NULL : all;
}

static int
compare_vps(const void *name, const void *vps)
{
	return strcmp(name, ((const Vps *) vps)->name);
}

/* Whether a window that is open concerns an alert; vps: its VPS as registered, NULL when it is not or needn't be known. */
static bool
concerns(const Window *window, const ObservAlert *alert, const Vps *vps)
{
	if (window->vps_name != NULL &&
		(alert->instance == NULL || strcmp(window->vps_name, alert->instance) != 0))
		return false;
	if (window->app_name != NULL &&
		(alert->app_name == NULL || strcmp(window->app_name, alert->app_name) != 0))
		return false;
	return window->selector == NULL || (vps != NULL && observ_sets_accept(window->selector, vps->values));
}

/* Alerts that are about neither VPS nor application are in nobody's maintenance: a heartbeat must go on, an outage of the fleet be told. */
ObservSuppression
observ_maintenance_of(const ObservMaintenances *all, const ObservAlert *alert)
{
	const Vps *vps = NULL;

	if (alert->instance == NULL && alert->app_name == NULL)
		return (ObservSuppression){.by = SUPPRESSED_NOT};
	if (alert->instance != NULL)
		vps = bsearch(alert->instance, all->vps, (size_t) all->n_vps, sizeof(Vps), compare_vps);
	for (int i = 0; i < all->n; i++) {
		const Window *window = &all->window[i];

		if (concerns(window, alert, vps))
			return (ObservSuppression){SUPPRESSED_MAINTENANCE, window->id, window->name, window->until};
	}
	if (vps != NULL && vps->in_maintenance)
		return (ObservSuppression){SUPPRESSED_MAINTENANCE, 0, "status of the VPS", DT_NOEND};
	return (ObservSuppression){.by = SUPPRESSED_NOT};
}

static void
put_period(ReturnSetInfo *result, const Window *window, const char *vps_name, TimestampTz from,
		   TimestampTz to)
{
	Datum values[4] = {0};
	bool nulls[4] = {vps_name == NULL, window->app_name == NULL, false, false};

	if (vps_name != NULL)
		values[0] = CStringGetTextDatum(vps_name);
	if (window->app_name != NULL)
		values[1] = CStringGetTextDatum(window->app_name);
	values[2] = TimestampTzGetDatum(from);
	values[3] = TimestampTzGetDatum(to);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* A period of a window, for each VPS that it selects. */
static void
put_for_fleet(ReturnSetInfo *result, const ObservMaintenances *all, const Window *window, TimestampTz from,
			  TimestampTz to)
{
	if (window->selector == NULL) {
		put_period(result, window, window->vps_name, from, to);
		return;
	}
	for (int i = 0; i < all->n_vps; i++)
		if (observ_sets_accept(window->selector, all->vps[i].values) &&
			(window->vps_name == NULL || strcmp(window->vps_name, all->vps[i].name) == 0))
			put_period(result, window, all->vps[i].name, from, to);
}

static void
put_periods(ReturnSetInfo *result, const ObservMaintenances *all, const Window *window, TimestampTz from,
			TimestampTz to)
{
	if (window->times == NULL) {
		put_for_fleet(result, all, window, window->starts_at, window->ends_at);
		return;
	}
	from = Max(from, window->starts_at);
	to = Min(to, window->ends_at);
	while (from < to) {
		TimestampTz end;

		CHECK_FOR_INTERRUPTS();
		end = observ_times_change(window->times, from, Min(to, from + LOOK_AHEAD));
		if (observ_times_show(window->times, from))
			put_for_fleet(result, all, window, from, end);
		from = end;
	}
}

/* observ_data._maintenance_periods("from", "to") */
Datum
observ_maintenance_periods(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz from = PG_GETARG_TIMESTAMPTZ(0), to = PG_GETARG_TIMESTAMPTZ(1);
	ObservMaintenances *all;

	observ_require_versions();
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	all = load_windows(from, to);
	for (int i = 0; i < all->n; i++)
		all->selects |= all->window[i].selector != NULL;
	if (all->selects)
		load_fleet(all);
	for (int i = 0; i < all->n; i++)
		put_periods(result, all, &all->window[i], from, to);
	SPI_finish();
	PG_RETURN_NULL();
}
