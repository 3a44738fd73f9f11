/* Running SQL from C: connect, run, report errors once, as the role that owns observ's tables. */
#ifndef OBSERV_EXT_SPI_UTIL_H
#define OBSERV_EXT_SPI_UTIL_H

#include "executor/spi.h"
#include "utils/relcache.h"

/* What observ_as_owner_begin() changed and observ_as_owner_end() puts back (errors put it back by themselves). */
typedef struct ObservIdentity {
	Oid user;
	int context;
	int nest_level;
} ObservIdentity;

/*
 * From here on, run as the owner of observ's tables with a search_path of pg_catalog, pg_temp only.
 * Used instead of SECURITY DEFINER where the function must still know its caller (GetUserId() before the call).
 */
extern ObservIdentity observ_as_owner_begin(void);
extern void observ_as_owner_end(const ObservIdentity *saved);

/* Oid of a table of schema observ. Raises 42P01 with a hint when it is not there (a partial restore, a hand that slipped). */
extern Oid observ_relid(const char *table);

/*
 * Number of a column that must be there and hold values of that type, or of one with the same bytes. Tables belong to their users, who may
 * change them: raises 42703 or 42804 rather than read something else.
 */
extern AttrNumber observ_column(Relation rel, const char *name, Oid type);

/* Runs one utility statement in an SPI connection of its own. */
extern void observ_spi_utility(const char *command);

/*
 * SPI_execute_with_args that raises an error unless the result is the expected SPI_OK_… code; needs SPI_connect(). This and the others below leave
 * the memory context as it is, unlike SPI.
 */
extern uint64 observ_spi(int expected, const char *sql, int nargs, const Oid *types, const Datum *values,
						 const char *nulls);

/*
 * Plan of a statement, prepared at the first call and kept in *plan (static, NULL at first) for the life of the session. It is generic:
 * made anew when tables or the role change, it doesn't know the arguments.
 */
extern SPIPlanPtr observ_spi_keep(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types);

/*
 * observ_spi() with such a plan: for statements that run many times in a session and must be cheap.
 */
extern uint64 observ_spi_kept(SPIPlanPtr *plan, int expected, const char *sql, int nargs, const Oid *types,
							  const Datum *values, const char *nulls);

/*
 * A SELECT with such a plan, in the caller's snapshot: for functions that are STABLE, and where several statements must see the same rows.
 */
extern uint64 observ_spi_read(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types,
							  const Datum *values, const char *nulls);

/*
 * The same of how things are now, of which the transaction's snapshot may not know, with what the statement itself has done. For checks that other
 * sessions wait for.
 */
extern uint64 observ_spi_read_now(SPIPlanPtr *plan, const char *sql, int nargs, const Oid *types,
								  const Datum *values, const char *nulls);

/*
 * Runs a SELECT through a cursor, in the caller's snapshot, and gives each of its rows to `take`, which reads it with observ_spi_value() before
 * it uses SPI for anything else. Rows are held a thousand at a time. Needs SPI_connect().
 */
extern void observ_spi_each(const char *sql, int nargs, const Oid *types, const Datum *values,
							const char *nulls, void (*take)(void *arg, uint64 row), void *arg);

/*
 * A kept plan does not know that few rows of a large table are meant: between begin and end plans look for them through indexes.
 */
extern int observ_few_rows_begin(void);
extern void observ_few_rows_end(int nest_level);

/* The one row of a function that returns a record: as many columns as it declares. */
extern Datum observ_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls);

/* A one-dimensional array of that element type, without NULLs. */
extern Datum observ_array(Datum *values, int n, Oid type);

/* Column `number` (from 1) of row `row` (from 0) of the current SPI result. */
extern Datum observ_spi_value(uint64 row, int number, bool *isnull);

/* The same as what it is: NULL, DT_NOBEGIN, 0 or false where it is NULL. */
extern char *observ_spi_text(uint64 row, int number);
extern TimestampTz observ_spi_time(uint64 row, int number);
extern TimestampTz observ_spi_time_or(uint64 row, int number, TimestampTz when_null);
extern int64 observ_spi_int64(uint64 row, int number);
extern int32 observ_spi_int32(uint64 row, int number);
extern bool observ_spi_boolean(uint64 row, int number);

/* Takes the transaction-level advisory lock of a job; false when another session has it. */
extern bool observ_try_job_lock(int job);

/* The same lock over several transactions: until it is released, or the process ends. */
extern bool observ_try_session_lock(int job);
extern void observ_release_session_lock(int job);

/* Takes such a lock of this database, after whoever has it. */
extern void observ_wait_for_lock(int key);

/*
 * Our advisory locks (docs/data-model.md): the first key, a class that no SQL function can ask for (those use 1 and 2), so that
 * nobody can keep a job from running, and the second keys.
 */
#define OBSERV_LOCK_NAMESPACE           0x6f627376 /* "obsv" */
#define OBSERV_LOCK_CLASS               3
#define OBSERV_LOCK_CLASS_AGENT         4 /* second key: hash of an agent_id */
#define OBSERV_LOCK_MAINTAIN_PARTITIONS 1
#define OBSERV_LOCK_REFRESH_SUMMARY     2
#define OBSERV_LOCK_ROLES               3 /* of the whole cluster: database 0 */
#define OBSERV_LOCK_ARMING              4
#define OBSERV_LOCK_ROLL_UP             5
#define OBSERV_LOCK_APPLY_RETENTION     6
#define OBSERV_LOCK_LOG_TEMPLATES       7
#define OBSERV_LOCK_EXPIRE_SERIES       8
#define OBSERV_LOCK_EVALUATE            9
#define OBSERV_LOCK_DISPATCH            10
#define OBSERV_LOCK_DELIVER             11 /* claims and records of the outbox, one after the other */
#define OBSERV_LOCK_NOTIFIER            12 /* for the life of the notifier */
#define OBSERV_LOCK_PG_CRON             20
#define OBSERV_LOCK_ROUTES              21
#define OBSERV_LOCK_CHANNELS            22

#endif
