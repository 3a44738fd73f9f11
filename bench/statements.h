/*
 * statements.h: the ingest protocol as docs/development.md has it, statement by statement: what any client may send. obs-agent says the
 * same in fewer bytes (src/collector/statements.h).
 */
#ifndef OBSERV_BENCH_STATEMENTS_H
#define OBSERV_BENCH_STATEMENTS_H

/*
 * The server gives up when the agent does (15 s): a transaction whose agent is gone would hold the lock on its number, and
 * each new attempt would leave one more backend waiting for it. For this transaction only, as PgBouncer wants it.
 */
#define SQL_BEGIN                                                                                            \
	"BEGIN; SET LOCAL lock_timeout = '12s'; SET LOCAL statement_timeout = '14s'; "                           \
	"SET LOCAL idle_in_transaction_session_timeout = '20s'"
#define SQL_COMMIT   "COMMIT"
#define SQL_ROLLBACK "ROLLBACK"

/* Times as microseconds since 1970, NULL where there is none: no time format, no time zone. */
#define SQL_MICROSECONDS(column)                                                                             \
	"CASE WHEN isfinite(" column ") THEN (extract(epoch FROM " column ") * 1000000)::bigint END"

#define SQL_BEGIN_BATCH                                                                                      \
	"SELECT accepted, last_seq, " SQL_MICROSECONDS("server_time") ", " SQL_MICROSECONDS(                     \
		"accept_from") ", " SQL_MICROSECONDS("accept_until") ", backpressure_ms "                            \
															 "FROM observ.begin_batch(agent_id => $1, seq "  \
															 "=> $2, sent_at => $3, vps_name => $4, "        \
															 "app_name => $5, "                              \
															 "version => $6, interval_ms => $7, clamped => " \
															 "$8, quarantined => $9, dropped => $10, "       \
															 "duplicates => $11)"

#define BEGIN_BATCH_PARAMS 11

/* INSERT: the columns and parameter types between these come from metric_columns[]. */
#define SQL_INSERT_HEAD   "INSERT INTO observ.vps_metrics (vps_name, app_name, \"timestamp\""
#define SQL_INSERT_SELECT ") SELECT $1::text, $2::text, * FROM unnest($3::timestamptz[]"
#define SQL_INSERT_TAIL   ") ON CONFLICT DO NOTHING"

#define SQL_QUARANTINE                                                                                       \
	"INSERT INTO observ.quarantine (vps_name, app_name, table_name, reason, \"row\") "                       \
	"SELECT $1::text, $2::text, 'vps_metrics', * FROM unnest($3::text[], $4::jsonb[])"

#endif
