/*
 * Counting checks for observ.sla(). What does not belong here: which periods there are, and what uptime is (sla.c, core/sla.c).
 *
 * Every check is counted once: full hours below the watermark by observ.health_1h, the rest by observ.health_checks. Then what lies in
 * maintenance windows is counted in the same way, URL by URL, and taken off. So the cost is that of the hourly rows, whatever the
 * windows are, and the answer does not change when the rollup goes on. A window's edge inside an hour needs the raw rows of that hour; where
 * retention has dropped them the whole hour is left out.
 */
#include "postgres.h"

#include "ext/sla_query.h"

#include "catalog/pg_type.h"
#include "ext/spi_util.h"
#include "utils/timestamp.h"

/* Parameters, in order. Values are known when the query is planned, so that only partitions of the time asked for are opened. */
enum Parameter {
	P_START,
	P_HOURS_END = P_START + SLA_PERIODS,
	P_CUT_HOUR,
	P_RAW_FROM,
	P_AT,
	P_VPS,
	P_APP,
	P_URL,
	P_AWAY_FROM,
	P_AWAY_TO,
	N_PARAMETERS
};

/* clang-format off */
#define START     "$1"
#define HOURS_END "$5"
#define CUT_HOUR  "$6"
#define RAW_FROM  "$7"
#define AT        "$8"
/* Known beforehand, so that a time without windows costs no planning of what lies in them. */
#define IN_AWAY   "\"timestamp\" >= $12 AND \"timestamp\" < $13"

#define HOUR_OF(x)    "date_bin('1 hour', " x ", '2000-01-01 00:00+00'::timestamptz)"
#define HOUR_AFTER(x) HOUR_OF("(" x ") + interval '59 min 59.999999 s'")
#define SEGMENT(x)    "((" x " >= $2)::int + (" x " >= $3)::int + (" x " >= $4)::int)"
#define SEGMENT_START "(ARRAY[$1, $2, $3, $4])[segment + 1]"
#define SEGMENT_END   "(ARRAY[$2, $3, $4, $8])[segment + 1]"
#define HOURS_BETWEEN(a, b) "(greatest(extract(epoch FROM (" b ") - (" a ")), 0)::float8 / 3600)"
#define ASKED_FOR \
	"($9::text IS NULL OR vps_name = $9) AND ($10::text IS NULL OR app_name = $10) AND ($11::text IS NULL OR url = $11)"

/* Of rows of observ.health_checks: the columns that an hourly row has. */
#define RAW_COUNTS \
	"count(*) FILTER (WHERE NOT inconclusive) AS checks, count(*) FILTER (WHERE NOT inconclusive AND NOT success) AS failures, " \
	"count(*) FILTER (WHERE inconclusive) AS inconclusive"
/* How much of an hour lies in its segment. */
#define PART_OF_HOUR \
	HOURS_BETWEEN("greatest(hour, " SEGMENT_START ")", "least(hour + interval '1 hour', " SEGMENT_END ")")
#define RAW_HOURS(where) \
	"SELECT vps_name, app_name, url, " SEGMENT("\"timestamp\"") " AS segment, " HOUR_OF("\"timestamp\"") " AS hour, " \
	"min(\"timestamp\") AS first, " RAW_COUNTS " FROM observ.health_checks WHERE " where " AND " ASKED_FOR " GROUP BY 1, 2, 3, 4, 5"

static const char counts_sql[] =
	/* Everything, maintenance or not. */
	"WITH total AS (SELECT vps_name, app_name, url, segment, min(first) AS first, sum(checks)::int8 AS checks, "
	"    sum(failures)::int8 AS failures, sum(inconclusive)::int8 AS inconclusive, sum(part) AS observed "
	"  FROM (SELECT vps_name, app_name, url, " SEGMENT("\"timestamp\"") " AS segment, \"timestamp\" AS first, checks, failures, "
	"      inconclusive, 1::float8 AS part FROM observ.health_1h "
	"    WHERE \"timestamp\" >= " START " AND \"timestamp\" < " HOURS_END " AND \"timestamp\" <> " CUT_HOUR " AND " ASKED_FOR
	"    UNION ALL SELECT vps_name, app_name, url, segment, first, checks, failures, inconclusive, " PART_OF_HOUR " FROM ("
	RAW_HOURS("\"timestamp\" >= " HOURS_END " AND \"timestamp\" <= " AT)
	"      UNION ALL "
	RAW_HOURS("\"timestamp\" >= " CUT_HOUR " AND \"timestamp\" < " CUT_HOUR " + interval '1 hour'")
	"    ) raw) every GROUP BY 1, 2, 3, 4), "
	"one_url AS (SELECT DISTINCT vps_name, app_name, url FROM total), "
	"one_app AS (SELECT DISTINCT vps_name, app_name FROM one_url), "
	/* Windows in the time asked for; edges that can't be told apart any more go out to the full hour. */
	"given AS (SELECT w.vps_name, w.app_name, "
	"    CASE WHEN " HOUR_OF("lo") " < least(" RAW_FROM ", " HOURS_END ") THEN " HOUR_OF("lo") " ELSE lo END AS lo, "
	"    CASE WHEN " HOUR_OF("hi") " < least(" RAW_FROM ", " HOURS_END ") THEN " HOUR_AFTER("hi") " ELSE hi END AS hi "
	"  FROM observ_data._maintenance_periods(" START ", " AT ") w, greatest(w.starts_at, " START ") lo, least(w.ends_at, " AT " + interval '1 us') hi "
	"  WHERE lo < hi), "
	/* For each application: its windows, its VPS's and everybody's, without overlap. */
	"merged AS (SELECT a.vps_name, a.app_name, unnest(range_agg(tstzrange(g.lo, g.hi))) AS r "
	"  FROM one_app a JOIN given g ON (g.vps_name IS NULL OR g.vps_name = a.vps_name) AND (g.app_name IS NULL OR g.app_name = a.app_name) "
	"  GROUP BY 1, 2), "
	/* From lo1 to hi1: hours that are maintenance as a whole. From core1 to core2: those of them that hourly rows are read for. */
	"away AS (SELECT vps_name, app_name, lo, hi, lo1, hi1, CASE WHEN lo1 < core_end THEN lo1 ELSE hi END AS core1, "
	"    CASE WHEN lo1 < core_end THEN core_end ELSE hi END AS core2 "
	"  FROM merged, lower(r) lo, upper(r) hi, " HOUR_AFTER("lower(r)") " lo1, "
	"    LATERAL (SELECT CASE WHEN hi > " AT " THEN " HOUR_AFTER("hi") " ELSE " HOUR_OF("hi") " END) h (hi1), "
	"    LATERAL (SELECT least(" HOUR_OF("hi") ", " HOURS_END ")) e (core_end)), "
	"excluded AS (SELECT vps_name, app_name, url, segment, sum(checks)::int8 AS checks, sum(failures)::int8 AS failures, "
	"    sum(inconclusive)::int8 AS inconclusive, sum(part) AS observed FROM ("
	"    SELECT u.vps_name, u.app_name, u.url, h.segment, h.checks, h.failures, h.inconclusive, h.part "
	"    FROM away w JOIN one_url u USING (vps_name, app_name), LATERAL (SELECT " SEGMENT("\"timestamp\"") " AS segment, "
	"        sum(checks) AS checks, sum(failures) AS failures, sum(inconclusive) AS inconclusive, count(*)::float8 AS part "
	"      FROM observ.health_1h h WHERE h.vps_name = u.vps_name AND h.app_name = u.app_name AND h.url = u.url "
	"        AND \"timestamp\" >= w.core1 AND \"timestamp\" < w.core2 AND \"timestamp\" >= " START " AND \"timestamp\" < " HOURS_END
	"        AND \"timestamp\" <> " CUT_HOUR " AND " IN_AWAY " GROUP BY 1) h "
	"    UNION ALL SELECT u.vps_name, u.app_name, u.url, segment, c.checks, c.failures, c.inconclusive, "
	"      CASE WHEN hour >= w.lo1 AND hour < w.hi1 THEN " PART_OF_HOUR " ELSE 0 END "
	"    FROM away w JOIN one_url u USING (vps_name, app_name), "
	"      LATERAL (VALUES (w.lo, w.core1), (w.core2, w.hi), "
	"        (" CUT_HOUR ", CASE WHEN " CUT_HOUR " >= w.core1 AND " CUT_HOUR " < w.core2 THEN " CUT_HOUR " + interval '1 hour' END)) x (a, b), "
	"      LATERAL (SELECT " SEGMENT("\"timestamp\"") " AS segment, " HOUR_OF("\"timestamp\"") " AS hour, " RAW_COUNTS
	"        FROM observ.health_checks h WHERE h.vps_name = u.vps_name AND h.app_name = u.app_name AND h.url = u.url "
	"          AND \"timestamp\" >= x.a AND \"timestamp\" < x.b AND \"timestamp\" >= " START " AND \"timestamp\" <= " AT " AND " IN_AWAY " GROUP BY 1, 2) c "
	"  ) every GROUP BY 1, 2, 3, 4), "
	"closed AS (SELECT vps_name, app_name, segment, "
	"    sum(" HOURS_BETWEEN("greatest(lo1, " SEGMENT_START ")", "least(hi1, " SEGMENT_END ")") ") AS hours "
	"  FROM away, generate_series(0, 3) segment GROUP BY 1, 2, 3), "
	"cell AS (SELECT u.vps_name, u.app_name, u.url, segment, t.first, "
	"    greatest(coalesce(t.checks, 0) - coalesce(x.checks, 0), 0) AS checks, "
	"    greatest(coalesce(t.failures, 0) - coalesce(x.failures, 0), 0) AS failures, "
	"    greatest(coalesce(t.inconclusive, 0) - coalesce(x.inconclusive, 0), 0) AS inconclusive, "
	"    coalesce(x.checks + x.inconclusive, 0) AS excluded, "
	"    greatest(coalesce(t.observed, 0) - coalesce(x.observed, 0), 0) AS observed, "
	"    " HOURS_BETWEEN(SEGMENT_START, SEGMENT_END) " - coalesce(c.hours, 0) AS countable "
	"  FROM one_url u CROSS JOIN generate_series(0, 3) segment LEFT JOIN total t USING (vps_name, app_name, url, segment) "
	"    LEFT JOIN excluded x USING (vps_name, app_name, url, segment) LEFT JOIN closed c USING (vps_name, app_name, segment)) "
	/* A period is its segment and all that follow. Of one URL's checks an application and its VPS would be no more than that URL. */
	"SELECT CASE WHEN grouping(app_name) = 1 THEN 'vps' WHEN grouping(url) = 1 THEN 'application' ELSE 'url' END, "
	"  vps_name, app_name, url, period, sum(checks)::int8, sum(failures)::int8, sum(inconclusive)::int8, sum(excluded)::int8, "
	"  sum(observed) / count(*) FILTER (WHERE segment = 3), sum(countable) / count(*) FILTER (WHERE segment = 3), min(first) "
	"FROM cell JOIN generate_series(0, 3) period ON segment >= period "
	"GROUP BY GROUPING SETS ((vps_name, app_name, url, period), (vps_name, app_name, period), (vps_name, period)) "
	"HAVING grouping(url) = 0 OR $11::text IS NULL AND (grouping(app_name) = 0 OR $10::text IS NULL) "
	"ORDER BY vps_name, app_name NULLS FIRST, url NULLS FIRST, period DESC";
/* clang-format on */

uint64
observ_sla_counts(const SlaTimeLine *line, const SlaFilter *filter)
{
	static const Oid types[N_PARAMETERS] = {
		TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,        TEXTOID,
		TEXTOID,        TIMESTAMPTZOID, TIMESTAMPTZOID,
	};
	Datum values[N_PARAMETERS];
	char nulls[N_PARAMETERS];

	memset(nulls, ' ', sizeof nulls);
	for (int i = 0; i < SLA_PERIODS; i++)
		values[P_START + i] = TimestampTzGetDatum(line->start[i]);
	values[P_HOURS_END] = TimestampTzGetDatum(line->hours_end);
	values[P_CUT_HOUR] = TimestampTzGetDatum(line->cut_hour);
	values[P_RAW_FROM] = TimestampTzGetDatum(line->raw_from);
	values[P_AT] = TimestampTzGetDatum(line->at);
	values[P_AWAY_FROM] = TimestampTzGetDatum(line->away_from);
	values[P_AWAY_TO] = TimestampTzGetDatum(line->away_to);
	for (int i = 0; i < SLA_FILTERS; i++) {
		values[P_VPS + i] = filter->value[i];
		nulls[P_VPS + i] = filter->isnull[i] ? 'n' : ' ';
	}
	return observ_spi(SPI_OK_SELECT, counts_sql, N_PARAMETERS, types, values, nulls);
}
