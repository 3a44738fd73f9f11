/* Partitions of the raw tables: which there are, and creating what is missing. */
#ifndef OBSERV_EXT_PARTITIONS_H
#define OBSERV_EXT_PARTITIONS_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

typedef struct ObservMaintenance {
	int created;
	int failed;
	int64 trimmed;          /* rows taken out of observ.quarantine */
	TimestampTz covered_to; /* every raw table takes rows from `at` up to here */
} ObservMaintenance;

/* Range of one partition, [from, to). */
typedef struct ObservRange {
	TimestampTz from;
	TimestampTz to;
} ObservRange;

typedef struct ObservPartition {
	ObservRange range;
	Oid relid;
} ObservPartition;

/* A table of schema observ that is partitioned by time. */
typedef struct ObservPartitioned {
	const char *name;
	const char *data_set; /* whose policy in observ.retention_policies it follows */
	bool raw;             /* takes rows from agents; else observ makes them out of others */
	int width;            /* seconds that a new partition takes … */
	const int *parameter; /* … times this, where it can be set */
} ObservPartitioned;

/* All of them; ends with name NULL. */
extern const ObservPartitioned observ_partitioned[];

/* Width in seconds of the partitions that the table gets from now on. */
extern int64 observ_partition_width(const ObservPartitioned *table);

/* A table's partitions in ascending order, palloc'd; *n receives how many. Those being detached take no rows any more. */
extern ObservPartition *observ_partitions(Relation parent, bool with_detached, int *n);

/* The same by the name of a table of schema observ, without keeping it locked. The first raises 42P01 when there is none; the other gives none. */
extern ObservPartition *observ_partitions_of(const char *table, bool with_detached, int *n);
extern ObservPartition *observ_partitions_if_any(const char *table, bool with_detached, int *n);

/* Where the rows that are left begin: start of the oldest partition that is not being detached; infinity when there is none. */
extern TimestampTz observ_oldest_partition(const char *table);

/*
 * What a partition is right now, whatever a list said a moment ago: false when it is none any more; else of which table, and whether it is
 * being detached.
 */
extern bool observ_partition_state(Oid relid, Oid *parent, bool *detaching);

/* End of the gapless run of partitions that contains `at`; `at` itself when none does. */
extern TimestampTz observ_covered_to(const char *table, TimestampTz at);

/* Raises 55000 when no partition takes rows of now: an agent should keep them then, not send them to the quarantine. */
extern void observ_require_partition(const char *table, TimestampTz now);

/* The partition of a raw table that takes rows of `at`, InvalidOid when none does. */
extern Oid observ_partition_of(const char *table, TimestampTz at);

/*
 * The range of the table's partition that takes rows of `at`. Creates the partition when there is none: for rolled-up rows, which may lie
 * further back than maintenance looks. Raises 23514 when it can't be made. Needs SPI_connect().
 */
extern ObservRange observ_ensure_partition(const char *table, TimestampTz at);

/* Creates what is missing around `at`. One partition that can't be made is a warning, and the others are made. */
extern void observ_maintain(TimestampTz at, ObservMaintenance *done);

#endif
