/*
 * observ.explain_alert(): why somebody was, or was not, told of an alert, in the order of time. What does not belong here: where an alert would go
 * (routes_explain.c), making decisions (dispatch_decide.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "ext/compat.h"
#include "ext/spi_util.h"
#include "ext/versions.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

OBSERV_SQL_FUNCTION(observ_explain_alert);
OBSERV_SQL_FUNCTION(observ_explain_alert_name);

/* A suppression as words; s has by, id and rule. */
#define KEPT_BACK_BY(by, id)                                                                                 \
	"CASE " by " WHEN 'silence' THEN 'silence ' || " id                                                      \
	" WHEN 'maintenance' THEN 'maintenance window ' || " id " WHEN 'inhibition' THEN 'alert ' || " id        \
	" || ' mutes it' "                                                                                       \
	"WHEN 'hold' THEN 'alert ' || " id " || ' is pending and may mute it' "                                  \
	"WHEN 'grace' THEN 'alert ' || " id " || ' muted it until a moment ago, no newer sample confirms it' "   \
	"ELSE " by " END"

/* $1 alert, $2 time. Groups are found by what is known of them now, and by what was sent or kept back. */
static const char explain_sql[] =
	"WITH alert AS (SELECT a.*, r.for_duration, r.name AS rule_name FROM observ.alerts a "
	"    LEFT JOIN observ.alert_rules r USING (rule_id) WHERE a.alert_id = $1), "
	"sent AS (SELECT n.notification_id, n.group_key, e.value ->> 'mark' AS mark, n.status FROM alert a, "
	"observ.notifications n, "
	"    jsonb_array_elements(n.alerts) e WHERE n.\"timestamp\" >= a.active_at AND n.\"timestamp\" <= $2 "
	"    AND n.alerts @> jsonb_build_array(jsonb_build_object('alert_id', $1)) AND e.value -> 'alert_id' = "
	"to_jsonb($1)), "
	"grp AS (SELECT group_key FROM observ_data.group_members WHERE alert_id = $1 "
	"    UNION SELECT group_key FROM observ_data.told WHERE alert_id = $1 UNION SELECT group_key FROM sent "
	"    UNION SELECT d.group_key FROM alert a, observ.notification_decisions d WHERE d.\"timestamp\" >= "
	"a.active_at "
	"      AND d.\"timestamp\" <= $2 AND d.suppressed ? $1::text), "
	"step AS ("
	/* what happened */
	"  SELECT h.\"timestamp\" AS at, 1 AS ord, h.id, h.event AS what, nullif(concat_ws(', ', 'value ' || "
	"h.value, h.reason, 'by ' || h.actor, "
	"      CASE WHEN h.event = 'pending' AND r.for_duration > interval '0' THEN 'fires when it has been true "
	"for ' || r.for_duration END), '') AS why "
	"    FROM observ.alert_history h LEFT JOIN observ.alert_rules r USING (rule_id) WHERE h.alert_id = $1 "
	"AND h.\"timestamp\" <= $2 "
	/* its groups */
	"  UNION ALL SELECT greatest(g.opened_at, a.starts_at), 2, 0, CASE WHEN g.escalation_id IS NULL THEN 'in "
	"a group' ELSE 'escalation' END, concat_ws(', ', 'route ' || "
	"coalesce(r.name, 'that is gone'), 'labels ' || g.labels::text, e.name || ': when it has fired for ' || "
	"e.after || ' and nobody has acknowledged it' || CASE WHEN m.due_at IS NULL THEN '' ELSE ', due since ' "
	"|| m.due_at END, "
	"      CASE WHEN m.departed THEN 'routes lead elsewhere now: only its end is told here' END) "
	"    FROM alert a JOIN observ_data.group_members m USING (alert_id) JOIN observ_data.alert_groups g "
	"USING (group_key) LEFT JOIN observ.routes r USING (route_id) LEFT JOIN observ.escalations e USING "
	"(escalation_id) "
	/* what was decided of them while it fired, or shortly after */
	"  UNION ALL SELECT d.\"timestamp\", 3, d.id, CASE WHEN d.decision = 'sent' THEN 'told ' || d.channel "
	"ELSE d.channel || ' not told' END, "
	"      concat_ws(', ', d.reason, 'as ' || s.mark, 'notification ' || d.notification_id || ' is ' || "
	"s.status, "
	"        " KEPT_BACK_BY(
		"d.suppressed -> $1::text ->> 'by'",
		"(d.suppressed -> $1::text ->> 'id')") ", "
											   "        CASE WHEN d.flushes > 1 THEN d.flushes || ' flushes "
											   "until ' || d.last_at END) "
											   "    FROM alert a, grp JOIN observ.notification_decisions d "
											   "USING (group_key) LEFT JOIN sent s USING (notification_id) "
											   "    WHERE d.last_at >= a.starts_at AND d.\"timestamp\" <= "
											   "least($2, CASE WHEN a.status = 'resolved' AND NOT EXISTS "
											   "(SELECT FROM "
											   "      observ_data.group_members m WHERE m.alert_id = $1) "
											   "THEN greatest(a.ends_at, (SELECT max(l.\"timestamp\") FROM "
											   "observ.notifications l JOIN sent USING (notification_id))) "
											   "ELSE 'infinity' END) "
											   /* how it stands */
											   "  UNION ALL SELECT $2, 4, 0, 'now ' || a.status, "
											   "nullif(concat_ws(', ', CASE WHEN a.stale THEN 'nothing comes "
											   "from its source' END, "
											   "      CASE WHEN a.flapping THEN 'flapping: its changes are "
											   "not told' END, "
											   "      CASE WHEN a.acknowledged_at IS NOT NULL AND "
											   "coalesce(a.acknowledged_until > $2, true) THEN 'acknowledged "
											   "by ' || a.acknowledged_by || coalesce(' until ' || "
											   "a.acknowledged_until, '') || ': not repeated' END, "
											   "      CASE WHEN a.status = 'pending' THEN 'nobody is told "
											   "until it fires, at ' || (a.active_at + "
											   "coalesce(a.for_duration, interval '0')) || ' at the "
											   "earliest' "
											   "        WHEN a.unrouted THEN 'waits for "
											   "observ.dispatch_notifications()' "
											   "        WHEN a.status <> 'resolved' AND NOT EXISTS (SELECT "
											   "FROM observ_data.group_members m WHERE m.alert_id = $1) THEN "
											   "'in no group: SELECT * FROM observ.explain_route(alert_id => "
											   "' || $1 || ')' END), '') FROM alert a "
											   "  UNION ALL SELECT $2, 5, 0, 'kept back: ' || "
											   "s.suppressed_by, concat_ws(', ', " KEPT_BACK_BY(
												   "s.suppressed_by",
												   "s.id") ", s.rule, 'until ' || s.until) "
														   "    FROM observ.suppressed_alerts($2) s WHERE "
														   "s.alert_id = $1 "
														   "  UNION ALL SELECT t.told_at, 6, 0, t.channel || "
														   "' knows', 'that it is ' || t.state || coalesce(' "
														   "(' || t.reason || ')', '') FROM observ_data.told "
														   "t WHERE t.alert_id = $1 AND t.told_at <= $2 "
														   "  UNION ALL SELECT g.next_flush_at, 7, 0, 'next "
														   "flush', 'of route ' || coalesce(r.name, 'that is "
														   "gone') "
														   "    FROM observ_data.group_members m JOIN "
														   "observ_data.alert_groups g USING (group_key) "
														   "LEFT JOIN observ.routes r USING (route_id) WHERE "
														   "m.alert_id = $1 AND (g.escalation_id IS NULL OR "
														   "m.due_at IS NOT NULL)) "
														   "SELECT $1, at, what, why FROM step ORDER BY at, "
														   "ord, id";

/* Live alerts of a name; else the latest. */
static const char alerts_of_name_sql[] =
	"WITH named AS (SELECT alert_id, status, active_at FROM observ.alerts WHERE labels ->> 'alertname' = $1) "
	"SELECT alert_id FROM named WHERE status <> 'resolved' UNION ALL (SELECT alert_id FROM named WHERE NOT "
	"EXISTS "
	"(SELECT FROM named WHERE status <> 'resolved') ORDER BY active_at DESC, alert_id DESC LIMIT 1) ORDER BY "
	"1";

/* Of a rule that has no alerts. */
static const char no_alert_sql[] =
	"SELECT NULL::bigint, $2, 'no alert', CASE WHEN NOT r.enabled THEN 'the rule is disabled' "
	"WHEN s.errors > 0 THEN 'its evaluations fail since ' || coalesce(s.error_since::text, '?') || ': ' || "
	"coalesce(s.last_error, s.last_error_sqlstate, '?') "
	"WHEN s.data_seen_at IS NULL THEN 'nothing to look at has come so far: source ' || r.source || "
	"coalesce(', selector ' || r.selector, '') "
	"ELSE 'it has not been true for any instance; the latest were seen about ' || s.data_seen_at END "
	"FROM observ.alert_rules r LEFT JOIN observ_data.rule_state s USING (rule_id) WHERE r.name = $1";

/* Runs a query and puts its rows into the result; returns how many. */
static uint64
put_rows(ReturnSetInfo *result, const char *sql, const Oid *types, const Datum *values)
{
	uint64 n = observ_spi(SPI_OK_SELECT, sql, 2, types, values, NULL);

	for (uint64 i = 0; i < n; i++) {
		Datum row[4];
		bool nulls[4];

		for (int k = 0; k < 4; k++)
			row[k] = observ_spi_value(i, k + 1, &nulls[k]);
		tuplestore_putvalues(result->setResult, result->setDesc, row, nulls);
	}
	return n;
}

static uint64
explain(ReturnSetInfo *result, int64 alert_id, TimestampTz at)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID};
	Datum values[] = {Int64GetDatum(alert_id), TimestampTzGetDatum(at)};

	return put_rows(result, explain_sql, types, values);
}

static TimestampTz
time_argument(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(1) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(1);
}

/* observ.explain_alert(alert_id, at): as the owner of the tables, for some of them are not for readers. */
Datum
observ_explain_alert(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ObservIdentity saved;
	uint64 n;

	observ_require_versions();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("alert_id must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	n = explain(result, PG_GETARG_INT64(0), time_argument(fcinfo));
	SPI_finish();
	observ_as_owner_end(&saved);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("alert " INT64_FORMAT " does not exist", PG_GETARG_INT64(0)),
						errhint("SELECT alert_id, summary FROM observ.alerts lists those there are.")));
	PG_RETURN_NULL();
}

static void
explain_named(ReturnSetInfo *result, Datum name, TimestampTz at)
{
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID};
	Datum values[] = {name, TimestampTzGetDatum(at)};
	uint64 n = observ_spi(SPI_OK_SELECT, alerts_of_name_sql, 1, types, values, NULL);
	int64 *ids = palloc(Max(n, 1) * sizeof *ids);

	for (uint64 i = 0; i < n; i++)
		ids[i] = observ_spi_int64(i, 1);
	for (uint64 i = 0; i < n; i++)
		(void) explain(result, ids[i], at);
	if (n == 0 && put_rows(result, no_alert_sql, types, values) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("there is neither an alert nor a rule \"%s\"", TextDatumGetCString(name)),
						errhint("SELECT name FROM observ.alert_rules lists the rules.")));
}

/* observ.explain_alert(name, at) */
Datum
observ_explain_alert_name(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ObservIdentity saved;

	observ_require_versions();
	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("name must not be null")));
	InitMaterializedSRF(fcinfo, 0);
	saved = observ_as_owner_begin();
	SPI_connect();
	explain_named(result, PG_GETARG_DATUM(0), time_argument(fcinfo));
	SPI_finish();
	observ_as_owner_end(&saved);
	PG_RETURN_NULL();
}
