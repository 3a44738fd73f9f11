/*
 * observ.sla(): uptime and error budget of every URL, application and VPS over the last 24 hours, 7, 30 and 90 days.
 * What does not belong here: arithmetic on counts (core/sla.c), the query (sla_query.c), making rollups, alerting.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/sla.h"
#include "ext/compat.h"
#include "ext/partitions.h"
#include "ext/sla_query.h"
#include "ext/spi_util.h"
#include "ext/times.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_sla);

/* Longest first: segment i of the time line is [start of period i, start of period i + 1), the last one ends with the time asked for. */
static const int period_days[SLA_PERIODS] = {90, 30, 7, 1};

enum SlaArgument { ARG_OBJECTIVE, ARG_VPS, ARG_APP, ARG_URL, ARG_AT };

/* Columns of a result row, as observ.sla() declares them. */
enum SlaColumn {
	COL_SCOPE,
	COL_VPS_NAME,
	COL_APP_NAME,
	COL_URL,
	COL_PERIOD,
	COL_CHECKS,
	COL_FAILURES,
	COL_INCONCLUSIVE,
	COL_EXCLUDED,
	COL_UPTIME,
	COL_OBJECTIVE,
	COL_BUDGET,
	COL_BUDGET_USED,
	COL_BUDGET_LEFT,
	COL_COVERAGE,
	COL_SINCE,
	COL_DATA_FROM,
	COL_COMPLETE,
	N_COLUMNS
};

static TimestampTz
hour_of(TimestampTz at)
{
	return observ_floor_time(at, USECS_PER_HOUR);
}

static double
checked_objective(FunctionCallInfo fcinfo)
{
	double objective = PG_GETARG_FLOAT8(ARG_OBJECTIVE);

	if (!sla_objective_usable(objective))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("objective of a service level must be between 0 and 100 percent"),
						errdetail("Given: %g.", objective),
						errhint("An objective of 100 leaves no error budget; three nines are 99.9.")));
	return objective;
}

/* Hours before this are rolled up. */
static TimestampTz
rolled_up_to(void)
{
	bool isnull = true;
	Datum rolled = (Datum) 0;

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT rolled_1h FROM observ_data.rollup_state WHERE source = 'health_checks'", 0, NULL,
				   NULL, NULL) > 0)
		rolled = observ_spi_value(0, 1, &isnull);
	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(rolled);
}

/* Sets the time that maintenance windows lie in, widened to full hours as their edges may be. */
static void
find_windows(SlaTimeLine *line)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(line->start[0]), TimestampTzGetDatum(line->at)};
	bool isnull;
	Datum from, to;

	observ_spi(SPI_OK_SELECT,
			   "SELECT min(greatest(starts_at, $1)), max(least(ends_at, $2)) FROM observ.maintenance_windows "
			   "WHERE starts_at <= $2 AND ends_at > $1",
			   lengthof(types), types, values, NULL);
	from = observ_spi_value(0, 1, &isnull);
	to = observ_spi_value(0, 2, &isnull);
	line->away_from = isnull ? line->at : hour_of(DatumGetTimestampTz(from));
	line->away_to = isnull ? line->at : hour_of(DatumGetTimestampTz(to)) + USECS_PER_HOUR;
}

/*
 * Lays out the time line. Periods of 7 days and more begin with a full hour; 24 hours are 24 hours, and the hour that they begin in is
 * counted by its raw rows, or left out where those are gone.
 */
static SlaTimeLine
lay_out(TimestampTz at)
{
	SlaTimeLine line = {
		.at = at, .raw_from = observ_oldest_partition("health_checks"), .cut_hour = DT_NOBEGIN};
	TimestampTz rolled = rolled_up_to(), *day = &line.start[SLA_PERIODS - 1];

	for (int i = 0; i < SLA_PERIODS - 1; i++)
		line.start[i] = hour_of(at - period_days[i] * USECS_PER_DAY);
	line.hours_end = Min(hour_of(at), TIMESTAMP_NOT_FINITE(rolled) ? rolled : hour_of(rolled));
	line.hours_end = Max(line.hours_end, line.start[0]);
	*day = at - USECS_PER_DAY;
	if (*day != hour_of(*day) && *day < line.hours_end) {
		if (hour_of(*day) >= line.raw_from)
			line.cut_hour = hour_of(*day);
		else
			*day = hour_of(*day) + USECS_PER_HOUR;
	}
	find_windows(&line);
	return line;
}

static Datum
interval_of(int64 usecs)
{
	Interval *interval = palloc0(sizeof(Interval));

	interval->time = usecs;
	return IntervalPGetDatum(interval);
}

static Datum
interval_of_days(int days)
{
	Interval *interval = palloc0(sizeof(Interval));

	if (days == 1)
		interval->time = USECS_PER_DAY; /* shown as 24:00:00 */
	else
		interval->day = days;
	return IntervalPGetDatum(interval);
}

static int64
hours_to_usecs(double hours)
{
	return (int64) rint(hours * (double) USECS_PER_HOUR);
}

/* A row of the answer from row `row` of the query's result. */
static void
emit_row(uint64 row, const SlaTimeLine *line, double objective, ReturnSetInfo *rsinfo)
{
	Datum in[SLA_RESULTS], values[N_COLUMNS];
	bool in_null[SLA_RESULTS], nulls[N_COLUMNS] = {false};
	int period;
	double observed, countable;
	struct sla_counts counts;
	struct sla_level level;

	for (int i = 0; i < SLA_RESULTS; i++)
		in[i] = observ_spi_value(row, i + 1, &in_null[i]);
	period = DatumGetInt32(in[SLA_PERIOD]);
	observed = DatumGetFloat8(in[SLA_OBSERVED]);
	countable = DatumGetFloat8(in[SLA_COUNTABLE]);
	counts = (struct sla_counts){DatumGetInt64(in[SLA_CHECKS]), DatumGetInt64(in[SLA_FAILURES]),
								 hours_to_usecs(observed)};
	level = sla_level_of(counts, objective);

	values[COL_SCOPE] = in[SLA_SCOPE];
	values[COL_VPS_NAME] = in[SLA_VPS_NAME];
	values[COL_APP_NAME] = in[SLA_APP_NAME];
	nulls[COL_APP_NAME] = in_null[SLA_APP_NAME];
	values[COL_URL] = in[SLA_URL];
	nulls[COL_URL] = in_null[SLA_URL];
	values[COL_PERIOD] = interval_of_days(period_days[period]);
	values[COL_CHECKS] = in[SLA_CHECKS];
	values[COL_FAILURES] = in[SLA_FAILURES];
	values[COL_INCONCLUSIVE] = in[SLA_INCONCLUSIVE];
	values[COL_EXCLUDED] = in[SLA_EXCLUDED];
	values[COL_UPTIME] = Float8GetDatum(level.uptime_percent);
	values[COL_OBJECTIVE] = Float8GetDatum(objective);
	values[COL_BUDGET] = interval_of(level.budget_us);
	values[COL_BUDGET_USED] = Float8GetDatum(level.budget_used_percent);
	values[COL_BUDGET_LEFT] = interval_of(level.budget_left_us);
	nulls[COL_UPTIME] = nulls[COL_BUDGET_USED] = isnan(level.uptime_percent);
	nulls[COL_COVERAGE] = !(countable > 0); /* all of it was maintenance */
	values[COL_COVERAGE] =
		nulls[COL_COVERAGE] ? (Datum) 0 : Float8GetDatum(Min(100 * observed / countable, 100));
	values[COL_SINCE] = TimestampTzGetDatum(line->start[period]);
	values[COL_DATA_FROM] = in[SLA_FIRST];
	nulls[COL_DATA_FROM] = in_null[SLA_FIRST];
	values[COL_COMPLETE] = BoolGetDatum(!in_null[SLA_FIRST] && DatumGetTimestampTz(in[SLA_FIRST]) <=
																   line->start[period] + USECS_PER_HOUR);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * observ.sla(objective, vps, app, url, at) → set of rows; see its COMMENT.
 * Errors: 22023 for an objective that leaves no budget, 22004 without objective or time, 22008 for an infinite time.
 */
Datum
observ_sla(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SlaFilter filter = {0};
	ObservIdentity saved;
	SlaTimeLine line;
	TimestampTz at;
	double objective;
	uint64 n;

	observ_require_versions();
	if (PG_ARGISNULL(ARG_OBJECTIVE) || PG_ARGISNULL(ARG_AT))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s of a service level must not be null",
							   PG_ARGISNULL(ARG_AT) ? "time" : "objective")));
	objective = checked_objective(fcinfo);
	at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	/* The first period must begin where timestamps do. */
	if (TIMESTAMP_NOT_FINITE(at) || at < MIN_TIMESTAMP + 100 * USECS_PER_DAY ||
		at > END_TIMESTAMP - USECS_PER_DAY)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("time of a service level is out of range")));
	for (int i = 0; i < SLA_FILTERS; i++) {
		filter.isnull[i] = PG_ARGISNULL(ARG_VPS + i);
		filter.value[i] = filter.isnull[i] ? (Datum) 0 : PG_GETARG_DATUM(ARG_VPS + i);
	}
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	/* Starting workers takes longer than one VPS does, and they win nothing for a whole fleet. Put back with the identity. */
	(void) set_config_option("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	line = lay_out(at);
	n = observ_sla_counts(&line, &filter);
	for (uint64 i = 0; i < n; i++)
		emit_row(i, &line, objective, rsinfo);
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
