/*
 * statements.h: every SQL text of the agent. The contract is docs/development.md, "How the parts meet".
 *
 * All of it is safe behind PgBouncer in transaction mode: one transaction per flush, nothing kept in the session. What an idle
 * agent sends each minute is short: functions of the database that begin with an underscore know the columns.
 */
#ifndef OBSERV_COLLECTOR_STATEMENTS_H
#define OBSERV_COLLECTOR_STATEMENTS_H

/*
 * The server gives up when the agent does (15 s): a transaction whose agent is gone would hold the lock on its number, and
 * each new attempt would leave one more backend waiting for it. _begin_batch() sets the limits, for this transaction only, as
 * PgBouncer wants it.
 */
#define SQL_BEGIN    "BEGIN"
#define SQL_COMMIT   "COMMIT"
#define SQL_ROLLBACK "ROLLBACK"

/* Times as microseconds since 1970, NULL where there is none: no time format, no time zone. */
#define SQL_BEGIN_BATCH    "SELECT observ._begin_batch($1,$2,$3,$4,$5,$6,$7,$8)"
#define BEGIN_BATCH_PARAMS 8

/* The same with rows, for a small batch: a transaction by itself. */
#define SQL_PUT    "SELECT observ._put($1,$2,$3,$4,$5,$6,$7,$8,$9)"
#define PUT_PARAMS 9

#define SQL_METRICS "SELECT observ._add_vps_metrics($1,$2,$3,$4)"
#define SQL_HEALTH  "SELECT observ._add_health_checks($1,$2,$3,$4)"
#define SQL_LOG                                                                                              \
	"INSERT INTO observ.log_entries (vps_name, app_name, \"timestamp\", level, message, context, logger, "   \
	"source) SELECT $1::text, $2::text, t, coalesce(v, 'info'), m, c, l, s "                                 \
	"FROM unnest($3::timestamptz[], $4::text[], $5::text[], $6::jsonb[], $7::text[], $8::text[]) "           \
	"u(t, v, m, c, l, s)"
#define SQL_SAMPLES "SELECT observ._add_samples($1,$2,$3,$4,$5,$6,$7)"
#define SQL_EVENT                                                                                            \
	"INSERT INTO observ.events (vps_name, app_name, \"timestamp\", kind, message, success, duration_ms, "    \
	"data) SELECT $1::text, $2::text, * FROM unnest($3::timestamptz[], $4::text[], $5::text[], "             \
	"$6::boolean[], $7::real[], $8::jsonb[]) ON CONFLICT DO NOTHING"
#define SQL_PEERS                                                                                            \
	"SELECT count(r.stored) FROM unnest($3::timestamptz[], $4::jsonb[], $5::text[]) u(t, p, a), "            \
	"LATERAL observ.record_peers($1::text, $2::text, p, t, a::text[]) r"
#define SQL_POSITION "SELECT observ._set_log_positions($1,$2,$3)"

#define SQL_QUARANTINE                                                                                       \
	"INSERT INTO observ.quarantine (vps_name, app_name, table_name, reason, \"row\") "                       \
	"SELECT $1::text, $2::text, * FROM unnest($3::text[], $4::text[], $5::jsonb[])"

#define SQL_READ_POSITIONS "SELECT file, state FROM observ.log_positions WHERE agent_id = $1"

#endif
