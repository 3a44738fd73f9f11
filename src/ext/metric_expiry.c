/*
 * observ.expire_series(): series that no sample is left of are forgotten, so that churn (containers, releases) does not fill the limits.
 * What does not belong here: dropping samples (retention drops partitions).
 *
 * Two steps. A series whose samples lay in partitions that are gone has expired: it no longer counts. Its row, and with it its slot, stays
 * while roll-ups that may hold it are kept, because they are kept by slot and their labels are in this row; then it is deleted, and the
 * slot is free. A sample that comes in between brings it back.
 *
 * Against writers: VPSs whose row of observ.metric_usage somebody holds, because he makes series, and series whose row somebody holds, because
 * he stores samples of them, are left to the next run (metric_series.c has the other half).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/metric_series.h"
#include "ext/partitions.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_expire_series);

/* VPSs that were refused lately are worth seeing, even without series. */
#define REJECTED_SHOWN "1 day"
/* New series wait while a run lasts: what is more than this is left to the next. */
#define SERIES_PER_RUN "100000"

static const char lock_sql[] =
	"SELECT vps_name FROM observ.metric_usage ORDER BY vps_name FOR NO KEY UPDATE SKIP LOCKED";

static const char expire_sql[] =
	"WITH old AS MATERIALIZED (SELECT vps_name, series_id FROM observ.metric_series "
	"  WHERE vps_name = ANY ($1) AND expired_at IS NULL AND last_seen < $2 "
	"  LIMIT " SERIES_PER_RUN " FOR NO KEY UPDATE SKIP LOCKED) "
	"UPDATE observ.metric_series s SET expired_at = $3 FROM old "
	"WHERE s.vps_name = old.vps_name AND s.series_id = old.series_id";

/* A roll-up that is newer than the series can't hold it: slots are not given to another while this row is there. */
static const char delete_sql[] =
	"WITH gone AS MATERIALIZED (SELECT vps_name, series_id FROM observ.metric_series s "
	"  WHERE vps_name = ANY ($1) AND expired_at IS NOT NULL AND last_seen < $2 "
	"  AND NOT EXISTS (SELECT FROM observ.metrics_5m r WHERE r.vps_name = s.vps_name "
	"    AND r.app_name = s.app_name AND r.set_no = s.set_no AND r.\"timestamp\" <= s.last_seen + $3) "
	"  AND NOT EXISTS (SELECT FROM observ.metrics_1h r WHERE r.vps_name = s.vps_name "
	"    AND r.app_name = s.app_name AND r.set_no = s.set_no AND r.\"timestamp\" <= s.last_seen + $3) "
	"  LIMIT " SERIES_PER_RUN ") "
	"DELETE FROM observ.metric_series s USING gone "
	"WHERE s.vps_name = gone.vps_name AND s.series_id = gone.series_id";

static const char recount_sql[] =
	"UPDATE observ.metric_usage u SET series = c.series FROM (SELECT l.vps_name, count(s.series_id) AS "
	"series "
	"  FROM unnest($1) l (vps_name) LEFT JOIN observ.metric_series s "
	"    ON s.vps_name = l.vps_name AND s.expired_at IS NULL GROUP BY l.vps_name) c "
	"WHERE u.vps_name = c.vps_name AND u.series <> c.series";

static const char forget_sql[] =
	"DELETE FROM observ.metric_usage u WHERE vps_name = ANY ($1) AND series = 0 "
	"AND (last_rejected_at IS NULL OR last_rejected_at < $2 - interval '" REJECTED_SHOWN "') "
	"AND NOT EXISTS (SELECT FROM observ.metric_series s WHERE s.vps_name = u.vps_name)";

typedef struct Expiry {
	int64 expired, deleted, vps_forgotten;
} Expiry;

/*
 * Series seen last before this have no samples: the oldest partition begins later, also one that is about to be made for late rows,
 * which reach no further back than observ.late_window and a day.
 */
static TimestampTz
oldest_sample(TimestampTz at)
{
	TimestampTz oldest = at - observ_late_window * USECS_PER_SEC - USECS_PER_DAY;

	oldest = Min(oldest, observ_oldest_partition("metric_scrapes"));
	return TIMESTAMP_NOT_FINITE(oldest) ? oldest : oldest - OBSERV_LAST_SEEN_LAG;
}

/* Locks the VPSs that nobody makes series of just now; their names as a text[], 0 when there are none. */
static Datum
lock_vps(void)
{
	uint64 n = observ_spi(SPI_OK_SELECT, lock_sql, 0, NULL, NULL, NULL);
	Datum *names = palloc_extended(sizeof(Datum) * (n + 1), MCXT_ALLOC_HUGE);
	bool isnull;

	for (uint64 i = 0; i < n; i++)
		names[i] = observ_spi_value(i, 1, &isnull);
	return n == 0 ? (Datum) 0 : observ_array(names, (int) n, TEXTOID);
}

static void
expire(TimestampTz at, Expiry *done)
{
	Oid types[] = {TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Oid delete_types[] = {TEXTARRAYOID, TIMESTAMPTZOID, INTERVALOID};
	Interval lag = {.time = OBSERV_LAST_SEEN_LAG};
	Datum values[] = {lock_vps(), TimestampTzGetDatum(oldest_sample(at)), TimestampTzGetDatum(at)};
	Datum delete_values[] = {values[0], values[1], IntervalPGetDatum(&lag)};
	Datum forget_values[] = {values[0], values[2]};

	if (values[0] == (Datum) 0)
		return;
	done->expired = observ_spi(SPI_OK_UPDATE, expire_sql, 3, types, values, NULL);
	done->deleted = observ_spi(SPI_OK_DELETE, delete_sql, 3, delete_types, delete_values, NULL);
	observ_spi(SPI_OK_UPDATE, recount_sql, 1, types, values, NULL);
	done->vps_forgotten = observ_spi(SPI_OK_DELETE, forget_sql, 2, types, forget_values, NULL);
}

/*
 * observ.expire_series(at) → one row; see its COMMENT. Errors: 22008 for an infinite time.
 */
Datum
observ_expire_series(PG_FUNCTION_ARGS)
{
	TimestampTz at = observ_job_time(fcinfo);
	const char *refused = observ_job_guard(OBSERV_LOCK_EXPIRE_SERIES);
	Expiry done = {0};
	Datum values[4];
	bool nulls[4] = {false};

	if (refused == NULL) {
		ObservIdentity saved = observ_as_owner_begin();

		SPI_connect();
		expire(at, &done);
		SPI_finish();
		observ_as_owner_end(&saved);
	}
	values[0] = CStringGetTextDatum(refused ? refused : "ok");
	values[1] = Int64GetDatum(done.expired);
	values[2] = Int64GetDatum(done.deleted);
	values[3] = Int64GetDatum(done.vps_forgotten);
	return observ_row(fcinfo, values, nulls);
}
