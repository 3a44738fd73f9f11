/* Which partitions and rows the policies of observ.retention_policies let go, and from when on rows are still kept. */
#ifndef OBSERV_EXT_RETENTION_H
#define OBSERV_EXT_RETENTION_H

#include "datatype/timestamp.h"
#include "ext/partitions.h"

/* A partition that no longer takes rows of now, under a policy that limits its data set. */
typedef struct ObservExpiry {
	const ObservPartitioned *table;
	Oid parent; /* InvalidOid: it is detached and only waits for its DROP */
	Oid relid;
	ObservRange range;
	int64 size;           /* with indexes and TOAST, bytes */
	double rows;          /* as ANALYZE or VACUUM estimated, negative: never */
	const char *reason;   /* why it goes; NULL when nothing but the future will tell */
	TimestampTz due;      /* when it goes, DT_NOEND when that is not known */
	const char *held_for; /* what it waits for though it is due; NULL: nothing */
	bool detaching;       /* DETACH … CONCURRENTLY has begun and not ended */
} ObservExpiry;

/*
 * Every partition of a limited data set that ends by `at`, and what is detached already: by data set, oldest first, palloc'd. Data sets
 * whose tables do not exist are passed over. Needs SPI_connect() and the rights of the tables' owner; changes nothing.
 */
extern ObservExpiry *observ_retention_list(TimestampTz at, int *n);

/*
 * From here to observ_as_owner_end(): no lock is waited for so long that others take us for a deadlock (deadlock_timeout is 1 s) and give up,
 * say a pg_restore --clean; it is we who give way. And autovacuum, which yields after deadlock_timeout only, yields at once.
 */
extern void observ_retention_give_way(void);

/* Whether apply_retention(at) is to drop it. */
extern bool observ_retention_is_due(const ObservExpiry *expiry, TimestampTz at);

/*
 * Rows of the table older than this are let go at once, or their partition is gone already; DT_NOBEGIN without a limit. Needs the same.
 */
extern TimestampTz observ_retention_floor(const ObservPartitioned *table, TimestampTz at);

/* The latest floor of all tables that take rows from agents. Needs the same. */
extern TimestampTz observ_retention_floor_of_agents(TimestampTz at);

/*
 * Remembers that the table is gone up to the end of this partition: what goes for its size must not be made again by
 * observ.maintain_partitions(), nor be sent by agents. Needs the same.
 */
extern void observ_retention_remember(const ObservExpiry *expiry, TimestampTz at);

/*
 * Forgets those detaches of ours that never began or are over. Only for who holds OBSERV_LOCK_APPLY_RETENTION: nobody else may begin one
 * meanwhile. Needs the same.
 */
extern void observ_retention_forget_attached(void);

/* Rows of a table without partitions that a policy lets go. */
typedef struct ObservOldRows {
	const char *data_set, *table;
	TimestampTz oldest, newest;
	int64 rows;
	TimestampTz due; /* of the oldest */
} ObservOldRows;

#define OBSERV_ROW_TABLES 4

/* What is deleted row by row at that time, a table each: list has room for OBSERV_ROW_TABLES. Returns how many. Needs the same. */
extern int observ_retention_list_rows(TimestampTz at, ObservOldRows *list);

/* Deletes it, or some of it. *deleted: rows. False, after a WARNING, when that failed. Needs the same. */
extern bool observ_retention_delete_rows(TimestampTz at, int64 *deleted);

/*
 * Who has these relations locked, oldest transaction first: "pid 17 (pg_dump), …"; NULL: nobody. *since receives, unless NULL, when the
 * oldest of them began. Needs SPI_connect().
 */
extern char *observ_lock_holders(const Oid *relids, int n, TimestampTz *since);

#endif
