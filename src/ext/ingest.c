/*
 * The ingest protocol: observ.begin_batch(), first statement of an agent's transaction.
 * What does not belong here: the rows themselves, which come as plain INSERTs and are guarded by row-level security.
 *
 * The sequence number advances in the same transaction as the rows are inserted, so that a batch is applied once or not at all,
 * wherever the connection, the agent or the server breaks.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "core/hash.h"
#include "ext/arming.h"
#include "ext/caller.h"
#include "ext/compat.h"
#include "ext/gucs.h"
#include "ext/partitions.h"
#include "ext/retention.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_begin_batch);

/* One number near the end of bigint would leave the agent none to go on with, for good. */
#define SEQ_MAX (INT64CONST(1) << 62)

enum BatchArgument {
	ARG_AGENT_ID,
	ARG_SEQ,
	ARG_SENT_AT,
	ARG_VPS_NAME,
	ARG_APP_NAME,
	ARG_VERSION,
	ARG_INTERVAL_MS,
	ARG_CLAMPED,
	ARG_QUARANTINED,
	ARG_DROPPED,
	ARG_DUPLICATES,
	N_ARGS
};

static const Oid argument_types[N_ARGS] = {TEXTOID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID,
										   INT4OID, INT8OID, INT8OID,        INT8OID, INT8OID};

/*
 * Advances last_seq. Returns a row only when the batch is new; the row lock makes a second writer with the same
 * agent_id wait for the first one's commit, and then see its number.
 */
static const char advance_sql[] =
	"INSERT INTO observ.collectors AS c (agent_id, last_seq, last_sent_at, vps_name, app_name, version, "
	"interval_ms, "
	"  clamped_rows, quarantined_rows, dropped_rows, duplicate_rows, batches, clock_skew_ms) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, 0), coalesce($9, 0), coalesce($10, 0), coalesce($11, "
	"0), 1, "
	"  extract(epoch FROM $3 - clock_timestamp()) * 1000) "
	"ON CONFLICT (agent_id) DO UPDATE SET last_seq = excluded.last_seq, last_sent_at = "
	"excluded.last_sent_at, "
	"  last_seen = clock_timestamp(), vps_name = coalesce(excluded.vps_name, c.vps_name), "
	"  app_name = coalesce(excluded.app_name, c.app_name), version = coalesce(excluded.version, c.version), "
	"  interval_ms = coalesce(excluded.interval_ms, c.interval_ms), clock_skew_ms = excluded.clock_skew_ms, "
	"  clamped_rows = c.clamped_rows + excluded.clamped_rows, "
	"  quarantined_rows = c.quarantined_rows + excluded.quarantined_rows, "
	"  dropped_rows = c.dropped_rows + excluded.dropped_rows, "
	"  duplicate_rows = c.duplicate_rows + excluded.duplicate_rows, batches = c.batches + 1, "
	"  configured_at = CASE WHEN excluded.vps_name <> c.vps_name OR excluded.app_name <> c.app_name "
	"    OR excluded.version <> c.version OR excluded.interval_ms IS DISTINCT FROM c.interval_ms "
	"    AND excluded.interval_ms IS NOT NULL THEN excluded.configured_at ELSE c.configured_at END "
	"WHERE c.last_seq < excluded.last_seq RETURNING last_seq";

/* A batch that was applied before; a greeting (seq 0) is no duplicate. */
static const char repeat_sql[] =
	"UPDATE observ.collectors c SET last_seen = clock_timestamp(), "
	"  duplicate_batches = c.duplicate_batches + ($2 > 0)::int WHERE agent_id = $1 RETURNING last_seq";

static const char owner_sql[] = "SELECT vps_name FROM observ.collectors WHERE agent_id = $1";

static const char boost_sql[] =
	"SELECT boost_until FROM observ.vps WHERE vps_name = $1 AND boost_until > now()";

static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s of a batch must not be null", name)));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	require_argument(fcinfo, ARG_AGENT_ID, "agent_id");
	require_argument(fcinfo, ARG_SEQ, "seq");
	require_argument(fcinfo, ARG_SENT_AT, "sent_at");
	if (VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_AGENT_ID)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("agent_id of a batch must not be empty")));
	if (TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(ARG_SENT_AT)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("sent_at of a batch must be finite")));
	if (PG_GETARG_INT64(ARG_SEQ) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("seq of a batch must not be negative"),
				 errdetail("Given: " INT64_FORMAT ".", PG_GETARG_INT64(ARG_SEQ))));
	if (PG_GETARG_INT64(ARG_SEQ) > SEQ_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("seq of a batch must not be above " INT64_FORMAT, SEQ_MAX),
						errdetail("Given: " INT64_FORMAT ".", PG_GETARG_INT64(ARG_SEQ)),
						errhint("Batches are numbered by one, or by the microseconds since 1970.")));
}

/*
 * An agent may speak for the VPSs that its role is enrolled for, and only through an agent_id that is free or already theirs:
 * otherwise one stolen VPS could swallow the batches of another by advancing its sequence.
 */
static void
require_own_vps(const char *agent_id, const char *vps_name, Oid caller)
{
	Oid types[] = {TEXTOID};
	Datum value = CStringGetTextDatum(agent_id);
	bool isnull = true;

	if (vps_name == NULL)
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("vps_name of a batch must not be null for role \"%s\"",
							   GetUserNameFromId(caller, false))));
	observ_require_vps(caller, vps_name);
	if (observ_spi(SPI_OK_SELECT, owner_sql, 1, types, &value, NULL) > 0) {
		Datum owner = observ_spi_value(0, 1, &isnull);

		if (!isnull && strcmp(TextDatumGetCString(owner), vps_name) != 0)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							errmsg("agent \"%s\" belongs to another VPS", agent_id),
							errhint("Remove the agent's state directory, so that it takes a new identity.")));
	}
}

/* Older rows have no place: they come too late, or retention has let go of their day in one of the tables. */
static TimestampTz
accept_from(TimestampTz now)
{
	return Max(now - observ_late_window * USECS_PER_SEC, observ_retention_floor_of_agents(now));
}

/*
 * One transaction of an agent at a time, greetings too: who asks for last_seq hears of a batch that is being committed still. The row lock
 * alone would not do for an agent's first batch, whose row nobody sees yet.
 */
static void
wait_for_agent(const char *agent_id)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, OBSERV_LOCK_NAMESPACE, (uint32) hash_string(HASH_SEED, agent_id),
						 OBSERV_LOCK_CLASS_AGENT);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/* Applies the sequence number. True when the batch is new; *last_seq is the last one applied afterwards. */
static bool
advance(Datum *values, const char *nulls, int64 seq, int64 *last_seq)
{
	static SPIPlanPtr advance_plan = NULL;
	static SPIPlanPtr repeat_plan = NULL;
	bool isnull;

	if (seq > 0 && observ_spi_kept(&advance_plan, SPI_OK_INSERT_RETURNING, advance_sql, N_ARGS,
								   argument_types, values, nulls) > 0) {
		*last_seq = seq;
		return true;
	}
	*last_seq = 0;
	if (observ_spi_kept(&repeat_plan, SPI_OK_UPDATE_RETURNING, repeat_sql, 2, argument_types, values, nulls) >
		0)
		*last_seq = DatumGetInt64(observ_spi_value(0, 1, &isnull));
	return false;
}

/*
 * observ.begin_batch(agent_id, seq, sent_at, …) → the reply; see its COMMENT.
 */
Datum
observ_begin_batch(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr boost_plan = NULL;
	Oid caller = GetUserId();
	ObservIdentity saved;
	TimestampTz now = GetCurrentTimestamp();
	Datum values[N_ARGS];
	char nulls[N_ARGS];
	Datum reply[7];
	bool reply_nulls[7] = {false};
	int64 last_seq;

	observ_require_versions();
	observ_require_armed();
	check_arguments(fcinfo);
	for (int i = 0; i < N_ARGS; i++) {
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}

	saved = observ_as_owner_begin();
	SPI_connect();
	if (!observ_writes_any_vps(caller))
		require_own_vps(text_to_cstring(PG_GETARG_TEXT_PP(ARG_AGENT_ID)),
						PG_ARGISNULL(ARG_VPS_NAME) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(ARG_VPS_NAME)),
						caller);
	observ_require_partition("vps_metrics", now);
	wait_for_agent(text_to_cstring(PG_GETARG_TEXT_PP(ARG_AGENT_ID)));
	reply[0] = BoolGetDatum(advance(values, nulls, PG_GETARG_INT64(ARG_SEQ), &last_seq));
	reply[1] = Int64GetDatum(last_seq);
	reply[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	reply[3] = TimestampTzGetDatum(accept_from(now));
	reply[4] = TimestampTzGetDatum(now + observ_max_future_skew * USECS_PER_SEC);
	reply_nulls[5] = true;
	reply[5] = (Datum) 0;
	if (!PG_ARGISNULL(ARG_VPS_NAME) && observ_spi_kept(&boost_plan, SPI_OK_SELECT, boost_sql, 1,
													   (Oid[]){TEXTOID}, &values[ARG_VPS_NAME], NULL) > 0)
		reply[5] = observ_spi_value(0, 1, &reply_nulls[5]);
	reply[6] = Int32GetDatum(observ_backpressure);
	SPI_finish();
	observ_as_owner_end(&saved);
	return observ_row(fcinfo, reply, reply_nulls);
}
