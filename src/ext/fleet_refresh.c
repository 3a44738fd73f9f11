/*
 * observ.refresh_fleet_summary(): brings the latest row of every VPS and application into observ.fleet_summary.
 * What does not belong here: the status, which is decided when somebody asks (fleet_summary.c).
 *
 * Which rows are new: those received since the horizon of the last pass, that is since the start of the oldest transaction that was writing
 * then; whatever that pass could not see began later. The horizon is the database's clock at arrival; `at` only bounds
 * timestamps, so that passes can be replayed in virtual time: an `at` before the last pass looks at every row of its window.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/arrivals.h"
#include "ext/brin.h"
#include "ext/compat.h"
#include "ext/fleet_latest.h"
#include "ext/gucs.h"
#include "ext/job_guard.h"
#include "ext/spi_util.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_refresh_fleet_summary);

#define RECONCILE_EVERY_US (INT64CONST(300) * USECS_PER_SEC)
#define ERRORS_EVERY_US    (INT64CONST(30) * USECS_PER_SEC)
/* Sessions that start their transactions at about the same time do not replay each other. */
#define REPLAY_AFTER_US (INT64CONST(60) * USECS_PER_SEC)

/* One pass: what it starts from, and what it did. Times in $1 … $5 of every statement below, in this order. */
typedef struct Pass {
	TimestampTz horizon; /* $1: rows received from here on are new */
	TimestampTz oldest;  /* $2: rows with an older timestamp are not looked for */
	TimestampTz limit;   /* $3: rows with a later timestamp come from the future */
	TimestampTz
		seen_until; /* $4: rows later than this were left aside before; infinity when there were none */
	TimestampTz at; /* $5 */
	TimestampTz reconciled_at;
	TimestampTz errors_at;
	ObservLatest latest;
	int64 health_changed;
	bool reconcile;
	bool
		replay; /* `at` lies before the last pass: somebody looks at the past, and leaves the state as it is */
} Pass;

/* Arrived since the last pass, or from a future that has become the present since. */
#define NEW_ROWS                                                                                             \
	"m.\"timestamp\" > $2 AND (m.received_at >= $1 OR (m.\"timestamp\" > $4 AND m.\"timestamp\" <= $3)) "

static const char new_rows_sql[] =
	"SELECT " OBSERV_CANDIDATE_COLUMNS " FROM observ.vps_metrics m WHERE " NEW_ROWS;

/* What the passes may have missed: rows whose arrival time a clock step or a hand falsified. */
static const char every_key_sql[] =
	"SELECT l.* FROM observ.fleet_summary k CROSS JOIN LATERAL (SELECT " OBSERV_CANDIDATE_COLUMNS
	" FROM observ.vps_metrics m "
	"WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.\"timestamp\" > $2 AND m.\"timestamp\" "
	"<= $3 "
	"ORDER BY m.\"timestamp\" DESC LIMIT 1) l";

/*
 * The newest row of every key that the raw table knows in the window: a step per key through its unique index (a "loose index
 * scan") and one for its newest row, whatever the number of rows. For a backfill; slower than new_rows_sql for what arrives in seconds.
 */
static const char all_keys_sql[] =
	"WITH RECURSIVE k AS ("
	"  (SELECT m.vps_name, m.app_name FROM observ.vps_metrics m WHERE m.\"timestamp\" > $2 AND "
	"m.\"timestamp\" <= $3 "
	"   ORDER BY 1, 2 LIMIT 1) "
	"  UNION ALL SELECT n.vps_name, n.app_name FROM k CROSS JOIN LATERAL ("
	"   SELECT m.vps_name, m.app_name FROM observ.vps_metrics m WHERE (m.vps_name, m.app_name) > "
	"(k.vps_name, k.app_name) "
	"   AND m.\"timestamp\" > $2 AND m.\"timestamp\" <= $3 ORDER BY 1, 2 LIMIT 1) n) "
	"SELECT l.* FROM k CROSS JOIN LATERAL (SELECT " OBSERV_CANDIDATE_COLUMNS " FROM observ.vps_metrics m "
	"WHERE m.vps_name = k.vps_name AND m.app_name = k.app_name AND m.\"timestamp\" > $2 AND m.\"timestamp\" "
	"<= $3 "
	"ORDER BY m.\"timestamp\" DESC LIMIT 1) l";

static const char health_latest_sql[] =
	"INSERT INTO observ_data.health_latest AS h (vps_name, app_name, url, checked_at, success, inconclusive) "
	"SELECT DISTINCT ON (m.vps_name, m.app_name, m.url) m.vps_name, m.app_name, m.url, m.\"timestamp\", "
	"m.success, m.inconclusive "
	"FROM observ.health_checks m WHERE " NEW_ROWS
	"AND m.\"timestamp\" <= $3 ORDER BY m.vps_name, m.app_name, m.url, m.\"timestamp\" DESC "
	"ON CONFLICT (vps_name, app_name, url) DO UPDATE SET checked_at = excluded.checked_at, success = "
	"excluded.success, "
	"  inconclusive = excluded.inconclusive WHERE h.checked_at < excluded.checked_at";

/* A check that has not run for an hour was taken out of the agent's configuration. %s: which keys to count again. */
static const char health_totals_sql[] =
	"WITH counted AS MATERIALIZED (SELECT h.vps_name, h.app_name, least(max(h.checked_at), $5) AS seen, "
	"    count(*) FILTER (WHERE h.success AND NOT h.inconclusive) AS ok, count(*) FILTER (WHERE NOT "
	"h.inconclusive) AS total "
	"  FROM observ_data.health_latest h WHERE h.checked_at > $5 - interval '1 hour' %s GROUP BY 1, 2), "
	"changed AS (INSERT INTO observ.fleet_summary AS f (vps_name, app_name, last_seen, health_ok, "
	"health_total) "
	"  SELECT vps_name, app_name, seen, ok, total FROM counted ORDER BY 1, 2 "
	"  ON CONFLICT (vps_name, app_name) DO UPDATE SET last_seen = greatest(f.last_seen, excluded.last_seen), "
	"    health_ok = excluded.health_ok, health_total = excluded.health_total "
	"  WHERE (f.health_ok, f.health_total) IS DISTINCT FROM (excluded.health_ok, excluded.health_total) "
	"    OR f.last_seen < excluded.last_seen RETURNING 1), "
	"registered AS (INSERT INTO observ.vps (vps_name) SELECT DISTINCT vps_name FROM counted WHERE vps_name "
	"<> '' "
	"  ON CONFLICT DO NOTHING) "
	"SELECT count(*) FROM changed";

static const char health_new_keys[] = "AND (h.vps_name, h.app_name) IN (SELECT m.vps_name, m.app_name FROM "
									  "observ.health_checks m WHERE " NEW_ROWS ")";

/* Agents that say something new of themselves: how often their rows are to be expected. */
static const char expected_sql[] =
	"UPDATE observ.fleet_summary f SET expected_ms = c.interval_ms FROM observ.collectors c "
	"WHERE c.configured_at >= $1 AND f.vps_name = c.vps_name AND f.app_name = c.app_name "
	"AND f.expected_ms IS DISTINCT FROM c.interval_ms";

static const char errors_sql[] =
	"WITH counted AS MATERIALIZED (SELECT vps_name, app_name, count(*) AS n FROM observ.log_entries "
	"  WHERE \"timestamp\" > $5 - interval '1 hour' AND \"timestamp\" <= $3 AND upper(level) = ANY "
	"(ARRAY['ERROR', 'FATAL', "
	"    'CRITICAL', 'ALERT', 'EMERGENCY', 'PANIC']) GROUP BY 1, 2) "
	"UPDATE observ.fleet_summary f SET errors_1h = coalesce(c.n, 0) FROM "
	"  (SELECT vps_name, app_name FROM counted UNION SELECT vps_name, app_name FROM observ.fleet_summary "
	"WHERE errors_1h > 0) k "
	"LEFT JOIN counted c ON c.vps_name = k.vps_name AND c.app_name = k.app_name "
	"WHERE f.vps_name = k.vps_name AND f.app_name = k.app_name AND f.errors_1h <> coalesce(c.n, 0)";

static const char new_health_sql[] = "SELECT 1 FROM observ.health_checks m WHERE " NEW_ROWS "LIMIT 1";

#define N_PARAMS 5
static const Oid param_types[N_PARAMS] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
										  TIMESTAMPTZOID};

static void
pass_params(const Pass *pass, Datum *values)
{
	values[0] = TimestampTzGetDatum(pass->horizon);
	values[1] = TimestampTzGetDatum(pass->oldest);
	values[2] = TimestampTzGetDatum(pass->limit);
	values[3] = TimestampTzGetDatum(pass->seen_until);
	values[4] = TimestampTzGetDatum(pass->at);
}

static uint64
run(const Pass *pass, int expected, const char *sql)
{
	Datum values[N_PARAMS];

	pass_params(pass, values);
	return observ_spi(expected, sql, N_PARAMS, param_types, values, NULL);
}

static bool
take_latest(Pass *pass, const char *sql, SPIPlanPtr *plan, bool replace)
{
	Datum values[N_PARAMS];

	pass_params(pass, values);
	return observ_take_latest(observ_spi_keep(plan, sql, N_PARAMS, param_types), values, pass->at,
							  pass->limit, replace, &pass->latest);
}

/* Takes in what arrived; true when there was anything. */
static bool
take_new_rows(Pass *pass)
{
	static SPIPlanPtr new_rows = NULL;
	static SPIPlanPtr all_keys = NULL;
	int nest_level = observ_few_rows_begin();

	if (!take_latest(pass, new_rows_sql, &new_rows, false)) {
		/* Which of them come from the future was not looked at to the end: expect more. */
		pass->latest.future_until = Max(pass->latest.future_until, pass->at + observ_premake * USECS_PER_SEC);
		if (!take_latest(pass, all_keys_sql, &all_keys, false))
			ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
							errmsg("more than %d VPSs and applications", OBSERV_MAX_CANDIDATES)));
	}
	observ_few_rows_end(nest_level);
	if (pass->latest.candidates == 0)
		return false;
	run(pass, SPI_OK_UPDATE, expected_sql);
	observ_summarize_newest("vps_metrics", pass->at);
	return true;
}

static bool
new_health(const Pass *pass)
{
	static SPIPlanPtr plan = NULL;
	Datum values[N_PARAMS];
	int nest_level = observ_few_rows_begin();
	uint64 found;

	pass_params(pass, values);
	found = observ_spi_kept(&plan, SPI_OK_SELECT, new_health_sql, N_PARAMS, param_types, values, NULL);
	observ_few_rows_end(nest_level);
	return found > 0;
}

static void
read_state(Pass *pass)
{
	bool isnull;
	TimestampTz *fields[] = {&pass->horizon, &pass->seen_until, &pass->latest.future_until,
							 &pass->reconciled_at, &pass->errors_at};

	if (observ_spi(SPI_OK_SELECT,
				   "SELECT horizon, seen_until, future_until, reconciled_at, errors_at FROM "
				   "observ_data.summary_state",
				   0, NULL, NULL, NULL) == 0)
		ereport(
			ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED), errmsg("observ_data.summary_state is empty"),
			 errhint("INSERT INTO observ_data.summary_state VALUES ('-infinity', '-infinity', '-infinity', "
					 "'-infinity', '-infinity').")));
	for (size_t i = 0; i < lengthof(fields); i++)
		*fields[i] = DatumGetTimestampTz(observ_spi_value(0, i + 1, &isnull));
	pass->replay =
		!TIMESTAMP_NOT_FINITE(pass->seen_until) && pass->limit < pass->seen_until - REPLAY_AFTER_US;
	if (pass->replay)
		pass->horizon = DT_NOBEGIN;
	/* Nothing left aside: there is no need to look for rows that time has caught up with. */
	if (pass->latest.future_until <= pass->seen_until)
		pass->seen_until = DT_NOEND;
}

static void
write_state(const Pass *pass, TimestampTz horizon)
{
	Datum values[] = {TimestampTzGetDatum(horizon), TimestampTzGetDatum(pass->limit),
					  TimestampTzGetDatum(pass->latest.future_until),
					  TimestampTzGetDatum(pass->reconciled_at), TimestampTzGetDatum(pass->errors_at)};

	observ_spi(SPI_OK_UPDATE,
			   "UPDATE observ_data.summary_state SET horizon = $1, seen_until = $2, future_until = $3, "
			   "reconciled_at = $4, "
			   "errors_at = $5",
			   N_PARAMS, param_types, values, NULL);
}

static void
refresh_health(Pass *pass, const char *which_keys)
{
	bool isnull;

	run(pass, SPI_OK_INSERT, health_latest_sql);
	run(pass, SPI_OK_SELECT, psprintf(health_totals_sql, which_keys));
	pass->health_changed += DatumGetInt64(observ_spi_value(0, 1, &isnull));
}

/* `last` may be infinite, or later than `at` when somebody replays the past. */
static bool
is_due(TimestampTz at, TimestampTz last, int64 every)
{
	return TIMESTAMP_NOT_FINITE(last) || at < last || at - last >= every;
}

/* A pass that finds nothing writes nothing: an idle database stays idle. */
static void
refresh(Pass *pass)
{
	static SPIPlanPtr every_key = NULL;
	TimestampTz horizon = observ_arrival_horizon();
	bool metrics, health, errors;

	read_state(pass);
	pass->reconcile =
		!pass->replay && (pass->reconcile || is_due(pass->at, pass->reconciled_at, RECONCILE_EVERY_US));
	errors = pass->reconcile || is_due(pass->at, pass->errors_at, ERRORS_EVERY_US);
	metrics = take_new_rows(pass);
	health = new_health(pass);
	if (health)
		observ_summarize_newest("health_checks", pass->at);
	if (pass->reconcile) {
		take_latest(pass, every_key_sql, &every_key, true);
		pass->reconciled_at = pass->at;
	}
	if (health || pass->reconcile)
		refresh_health(pass, pass->reconcile ? "" : health_new_keys);
	if (errors) {
		run(pass, SPI_OK_UPDATE, errors_sql);
		pass->errors_at = pass->at;
	}
	if (!pass->replay && (metrics || health || errors))
		write_state(pass, horizon);
}

static Datum
result_row(FunctionCallInfo fcinfo, const char *status, const Pass *pass)
{
	Datum values[] = {CStringGetTextDatum(status),
					  Int64GetDatum(pass->latest.inserted),
					  Int64GetDatum(pass->latest.updated),
					  Int64GetDatum(pass->health_changed),
					  Int64GetDatum(pass->latest.future_rows),
					  BoolGetDatum(pass->reconcile)};
	bool nulls[lengthof(values)] = {false};

	return observ_row(fcinfo, values, nulls);
}

/*
 * observ.refresh_fleet_summary(at, reconcile) → one row; see its COMMENT. Errors: 22008 for an infinite time.
 */
Datum
observ_refresh_fleet_summary(PG_FUNCTION_ARGS)
{
	Pass pass = {.at = observ_job_time(fcinfo), .reconcile = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1)};
	Pass nothing = {0};
	ObservIdentity saved;
	const char *refused = observ_job_guard(OBSERV_LOCK_REFRESH_SUMMARY);

	if (refused != NULL)
		return result_row(fcinfo, refused, &nothing);
	pass.limit = pass.at + observ_max_future_skew * USECS_PER_SEC;
	pass.oldest = pass.at - observ_late_window * USECS_PER_SEC;

	saved = observ_as_owner_begin();
	SPI_connect();
	refresh(&pass);
	SPI_finish();
	observ_as_owner_end(&saved);
	return result_row(fcinfo, "ok", &pass);
}
