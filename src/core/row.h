/*
 * row.h: one sample of a machine: a row of observ.vps_metrics, and what its columns are called.
 *
 * Belongs here: the list of columns (one descriptor each; the writer, --once and --json go by it).
 * Does not belong here: how a value comes about (rates.h).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_ROW_H
#define OBSERV_CORE_ROW_H

#include <stdbool.h>
#include <stdint.h>

enum metric {
	M_CPU_PERCENT,
	M_CPU_IOWAIT_PERCENT,
	M_CPU_STEAL_PERCENT,
	M_CPU_CORES,
	M_LOAD_AVG_1M,
	M_LOAD_AVG_5M,
	M_LOAD_AVG_15M,
	M_MEMORY_PERCENT,
	M_MEMORY_MB,
	M_MEMORY_AVAILABLE_MB,
	M_SWAP_PERCENT,
	M_SWAP_IO_PER_S,
	M_DISK_PERCENT,
	M_DISK_GB,
	M_INODE_PERCENT,
	M_DISK_READ_BPS,
	M_DISK_WRITE_BPS,
	M_DISK_BUSY_PERCENT,
	M_NET_RX_BPS,
	M_NET_TX_BPS,
	M_NET_ERRORS_PER_S,
	M_TCP_RETRANSMIT_PERCENT,
	M_PSI_CPU,
	M_PSI_MEMORY,
	M_PSI_IO,
	M_PROCESSES,
	M_ZOMBIES,
	M_OPEN_FILES_PERCENT,
	M_CONNTRACK_PERCENT,
	M_OOM_KILLS,
	M_UPTIME_SECONDS,
	M_CLOCK_OFFSET_MS,
	M_INTERVAL_MS,
	METRICS
};

enum metric_type { METRIC_REAL, METRIC_INTEGER, METRIC_BIGINT };

struct metric_column {
	const char *name;  /* column of observ.vps_metrics */
	const char *label; /* for people */
	const char *unit;
	enum metric_type type;
};

extern const struct metric_column metric_columns[METRICS];

/* A value that could not be measured is NAN: NULL in the database. */
struct row {
	int64_t timestamp_us; /* microseconds since 1970, clock of this machine */
	double value[METRICS];
};

/* Every value unknown. */
void row_clear(struct row *row);

#endif
