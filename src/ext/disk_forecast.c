/*
 * observ.disk_forecast(): when the filesystems of each VPS are full, if it goes on as in the last hours.
 * What does not belong here: the line through the levels (core/forecast.c), alerting.
 *
 * Levels are means of 5 minutes (longer ones when the lookback is long) of disk_gb, from the raw rows; of other filesystems than the root, of
 * the labelled metrics disk_used_gb and disk_used_percent with the label mount. The size is taken from the newest one:
 * 100 * disk_gb / disk_percent. As df rounds percents up, it is at most one part in disk_percent too small, so a forecast
 * is early rather than late. Where disk_gb was not measured the line goes through disk_percent.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "core/forecast.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/text_slice.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_disk_forecast);

#define FIVE_MINUTES     (5 * USECS_PER_MINUTE)
#define SHORTEST         (30 * USECS_PER_MINUTE)
#define LONGEST          (90 * USECS_PER_DAY)
#define FETCH_ROWS       10000
#define DROP_SHARE       0.005 /* of the size; smaller falls are never somebody cleaning up */
#define RECENT_LEVELS    3
#define ATTENTION_ABOVE  60.0 /* percent, and … */
#define ATTENTION_WITHIN USECS_PER_DAY
#define HORIZON_S        (3650.0 * 86400)
#define POSTGRES_EPOCH_S ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * 86400.0)

enum ForecastArgument { ARG_VPS, ARG_LOOKBACK, ARG_AT };

/* Columns of a result row, as observ.disk_forecast() declares them. */
enum ForecastColumn {
	COL_VPS_NAME,
	COL_APP_NAME,
	COL_MOUNT,
	COL_USED_PERCENT,
	COL_USED_GB,
	COL_SIZE_GB,
	COL_GROWTH,
	COL_FILLS_AT,
	COL_FILLS_IN,
	COL_R2,
	COL_SAMPLES,
	COL_FITTED_FROM,
	COL_LAST_SAMPLE,
	COL_ATTENTION,
	COL_REASON,
	N_COLUMNS
};

/* Columns of levels_sql, from 1. */
enum LevelColumn {
	LEVEL_VPS = 1,
	LEVEL_APP,
	LEVEL_MOUNT,
	LEVEL_AT,
	LEVEL_PERCENT,
	LEVEL_GB,
	LEVEL_SAMPLES,
	LEVEL_LAST
};

/*
 * A value out of range (NaN, infinity, less than nothing) is as good as not measured. Percents and gigabytes of a mount are series of
 * their own, and meet in their level; the root filesystem is that of observ.vps_metrics where both are there.
 */
static const char levels_sql[] =
	"SELECT vps_name, app_name, mount, avg(extract(epoch FROM at)::float8) FILTER (WHERE percent IS NOT "
	"NULL), avg(percent), avg(gb), "
	"  count(percent), max(at) FILTER (WHERE percent IS NOT NULL) FROM ("
	"  SELECT vps_name, app_name, '/' AS mount, \"timestamp\" AS at, disk_percent::float8 AS percent, "
	"    CASE WHEN disk_gb >= 0 AND disk_gb < 'infinity' THEN disk_gb::float8 END AS gb "
	"  FROM observ.vps_metrics "
	"  WHERE \"timestamp\" > $1 AND \"timestamp\" <= $2 AND ($3::text IS NULL OR vps_name = $3) "
	"    AND disk_percent >= 0 AND disk_percent <= 100 "
	"  UNION ALL SELECT vps_name, app_name, labels->>'mount', \"timestamp\", "
	"    CASE WHEN metric_name = 'disk_used_percent' AND value <= 100 THEN value END, CASE WHEN metric_name "
	"= 'disk_used_gb' THEN value END "
	"  FROM observ.metric_samples "
	"  WHERE \"timestamp\" > $1 AND \"timestamp\" <= $2 AND ($3::text IS NULL OR vps_name = $3) "
	"    AND metric_name IN ('disk_used_percent', 'disk_used_gb') AND labels->>'mount' <> '/' AND value >= 0 "
	"AND value < 'infinity') every "
	"GROUP BY vps_name, app_name, mount, date_bin($4, at, '2000-01-01 00:00+00'::timestamptz) "
	"HAVING count(percent) > 0 ORDER BY vps_name, app_name, mount COLLATE \"C\", min(at)";

/* The levels of one filesystem, oldest first. */
typedef struct Levels {
	Datum vps_name;
	Datum app_name;
	Datum mount;
	int n;
	int64 samples;
	TimestampTz last_sample;
	double at[FORECAST_MAX_POINTS];
	double percent[FORECAST_MAX_POINTS];
	double gb[FORECAST_MAX_POINTS]; /* NAN: not measured */
} Levels;

typedef struct Output {
	ReturnSetInfo *rsinfo;
	TimestampTz at;
	double *scratch;
	struct forecast_point *points;
} Output;

static TimestampTz
timestamp_of(double epoch_s)
{
	return (TimestampTz) rint((epoch_s - POSTGRES_EPOCH_S) * USECS_PER_SEC);
}

static void
put_float8(Datum *values, bool *nulls, int column, double value)
{
	nulls[column] = isnan(value);
	values[column] = Float8GetDatum(value);
}

static const char *
reason_for_none(const struct forecast *fit, double seconds)
{
	if (fit->verdict == FORECAST_TOO_LITTLE)
		return fit->drops > 0 ? "too little data since it was cleaned up" : "too little data";
	if (fit->verdict == FORECAST_DOES_NOT_GROW)
		return "not growing";
	return isnan(seconds) || seconds > HORIZON_S ? "not within ten years" : NULL;
}

/* Sets fills_at, fills_in, attention and reason. `seconds`: from the last level until it is full. */
static void
put_forecast(const Output *out, const Levels *levels, const struct forecast *fit, double seconds,
			 Datum *values, bool *nulls)
{
	const char *reason = reason_for_none(fit, seconds);
	double percent = levels->percent[levels->n - 1];
	Interval *left = palloc0(sizeof(Interval));
	TimestampTz fills_at;

	nulls[COL_FILLS_AT] = nulls[COL_FILLS_IN] = reason != NULL;
	nulls[COL_REASON] = reason == NULL;
	values[COL_ATTENTION] = BoolGetDatum(false);
	if (reason != NULL) {
		values[COL_REASON] = CStringGetTextDatum(reason);
		return;
	}
	fills_at = timestamp_of(levels->at[levels->n - 1] + seconds);
	/* Full by the line, whether or not that moment has passed without news. */
	left->time = Max(fills_at - out->at, 0);
	values[COL_FILLS_AT] = TimestampTzGetDatum(fills_at);
	values[COL_FILLS_IN] = IntervalPGetDatum(left);
	values[COL_ATTENTION] = BoolGetDatum(percent > ATTENTION_ABOVE && left->time <= ATTENTION_WITHIN);
}

/* The newest level with both measures; -1 when the last few have none. */
static int
last_gb(const Levels *levels)
{
	for (int i = levels->n - 1; i >= 0 && i >= levels->n - RECENT_LEVELS; i--)
		if (!isnan(levels->gb[i]) && levels->percent[i] > 0)
			return i;
	return -1;
}

/* Fits and emits what has come together, and forgets it. */
static void
finish_levels(const Output *out, Levels *levels)
{
	Datum values[N_COLUMNS];
	bool nulls[N_COLUMNS] = {false};
	int last = levels->n - 1, measured = last_gb(levels);
	double size = measured < 0 ? NAN : 100 * levels->gb[measured] / levels->percent[measured];
	double limit = measured < 0 ? 100 : size;
	struct forecast fit;

	if (levels->n == 0)
		return;
	for (int i = 0; i < levels->n; i++)
		out->points[i] =
			(struct forecast_point){levels->at[i], measured < 0 ? levels->percent[i] : levels->gb[i]};
	fit = forecast_fit(out->points, levels->n, DROP_SHARE * limit, out->scratch);

	values[COL_VPS_NAME] = levels->vps_name;
	values[COL_APP_NAME] = levels->app_name;
	values[COL_MOUNT] = levels->mount;
	values[COL_USED_PERCENT] = Float8GetDatum(levels->percent[last]);
	put_float8(values, nulls, COL_USED_GB, measured < 0 ? NAN : levels->gb[measured]);
	put_float8(values, nulls, COL_SIZE_GB, size);
	put_float8(values, nulls, COL_GROWTH, measured < 0 ? NAN : fit.slope * 86400);
	put_float8(values, nulls, COL_R2, fit.r2);
	values[COL_SAMPLES] = Int64GetDatum(levels->samples);
	nulls[COL_FITTED_FROM] = fit.verdict == FORECAST_TOO_LITTLE;
	values[COL_FITTED_FROM] =
		nulls[COL_FITTED_FROM] ? (Datum) 0 : TimestampTzGetDatum(timestamp_of(levels->at[fit.first]));
	values[COL_LAST_SAMPLE] = TimestampTzGetDatum(levels->last_sample);
	put_forecast(out, levels, &fit, forecast_seconds_until(&fit, limit), values, nulls);
	tuplestore_putvalues(out->rsinfo->setResult, out->rsinfo->setDesc, values, nulls);
	levels->n = 0;
}

static bool
same_text(Datum a, Datum b)
{
	return observ_text_compare(DatumGetTextPP(a), DatumGetTextPP(b)) == 0;
}

static double
float8_or_nan(HeapTuple row, TupleDesc desc, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row, desc, column, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

/* Takes in one row of levels_sql. */
static void
add_level(const Output *out, Levels *levels, HeapTuple row, TupleDesc desc)
{
	bool isnull;
	Datum vps = SPI_getbinval(row, desc, LEVEL_VPS, &isnull),
		  app = SPI_getbinval(row, desc, LEVEL_APP, &isnull),
		  mount = SPI_getbinval(row, desc, LEVEL_MOUNT, &isnull);

	if (levels->n > 0 && !(same_text(vps, levels->vps_name) && same_text(app, levels->app_name) &&
						   same_text(mount, levels->mount)))
		finish_levels(out, levels);
	if (levels->n == 0) {
		/* Outlives the rows that were fetched. */
		levels->vps_name = PointerGetDatum(DatumGetTextPCopy(vps));
		levels->app_name = PointerGetDatum(DatumGetTextPCopy(app));
		levels->mount = PointerGetDatum(DatumGetTextPCopy(mount));
		levels->samples = 0;
	}
	if (levels->n == FORECAST_MAX_POINTS)
		elog(ERROR, "more levels than a forecast takes");
	levels->at[levels->n] = float8_or_nan(row, desc, LEVEL_AT);
	levels->percent[levels->n] = float8_or_nan(row, desc, LEVEL_PERCENT);
	levels->gb[levels->n] = float8_or_nan(row, desc, LEVEL_GB);
	levels->samples += DatumGetInt64(SPI_getbinval(row, desc, LEVEL_SAMPLES, &isnull));
	levels->last_sample = DatumGetTimestampTz(SPI_getbinval(row, desc, LEVEL_LAST, &isnull));
	levels->n++;
}

/* 5 minutes each for up to half a day, so many times 5 minutes that they are not too many for more. */
static Datum
width_of_level(int64 lookback)
{
	Interval *width = palloc0(sizeof(Interval));

	/* Less two, because the first and the last level are cut. */
	width->time = ((lookback - 1) / (FORECAST_MAX_POINTS - 2) / FIVE_MINUTES + 1) * FIVE_MINUTES;
	return IntervalPGetDatum(width);
}

static void
forecast_all(const Output *out, TimestampTz from, Datum vps, bool any_vps)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INTERVALOID};
	Datum values[] = {TimestampTzGetDatum(from), TimestampTzGetDatum(out->at), vps,
					  width_of_level(out->at - from)};
	Levels *levels = palloc0(sizeof(Levels));
	Portal portal = SPI_cursor_open_with_args(NULL, levels_sql, lengthof(types), types, values,
											  any_vps ? "  n " : NULL, true, 0);

	for (;;) {
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++) {
			CHECK_FOR_INTERRUPTS();
			add_level(out, levels, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		}
		SPI_freetuptable(SPI_tuptable);
	}
	finish_levels(out, levels);
	SPI_cursor_close(portal);
}

/* Start of the lookback. */
static TimestampTz
lookback_from(FunctionCallInfo fcinfo, TimestampTz at)
{
	TimestampTz from;

	if (TIMESTAMP_NOT_FINITE(at) || at < MIN_TIMESTAMP + LONGEST + USECS_PER_DAY ||
		at > END_TIMESTAMP - 20 * 365 * USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time of a forecast is out of range")));
	from = DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_mi_interval, TimestampTzGetDatum(at), PG_GETARG_DATUM(ARG_LOOKBACK)));
	if (at - from < SHORTEST || at - from > LONGEST)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("lookback of a forecast must be between 30 minutes and 90 days"),
						errdetail("Given: %s.", DatumGetCString(DirectFunctionCall1(
													interval_out, PG_GETARG_DATUM(ARG_LOOKBACK))))));
	return from;
}

/*
 * observ.disk_forecast(vps, lookback, at) → set of rows; see its COMMENT.
 * Errors: 22023 for a lookback that makes no sense, 22004 without lookback or time, 22008 for an infinite time.
 */
Datum
observ_disk_forecast(PG_FUNCTION_ARGS)
{
	ObservIdentity saved;
	Output out = {.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo};
	TimestampTz from;

	observ_require_versions();
	if (PG_ARGISNULL(ARG_LOOKBACK) || PG_ARGISNULL(ARG_AT))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s of a forecast must not be null", PG_ARGISNULL(ARG_AT) ? "time" : "lookback")));
	out.at = PG_GETARG_TIMESTAMPTZ(ARG_AT);
	from = lookback_from(fcinfo, out.at);
	out.scratch = palloc(sizeof(double) * FORECAST_SCRATCH);
	out.points = palloc(sizeof(struct forecast_point) * FORECAST_MAX_POINTS);
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	forecast_all(&out, from, PG_ARGISNULL(ARG_VPS) ? (Datum) 0 : PG_GETARG_DATUM(ARG_VPS),
				 PG_ARGISNULL(ARG_VPS));
	SPI_finish();
	observ_as_owner_end(&saved);
	return (Datum) 0;
}
