/* row.c: The list of columns. See row.h for what belongs here. */
#include "core/row.h"

#include <math.h>

const struct metric_column metric_columns[METRICS] = {
	[M_CPU_PERCENT] = {"cpu_percent", "CPU busy", "%", METRIC_REAL},
	[M_CPU_IOWAIT_PERCENT] = {"cpu_iowait_percent", "CPU waiting for I/O", "%", METRIC_REAL},
	[M_CPU_STEAL_PERCENT] = {"cpu_steal_percent", "CPU stolen by the host", "%", METRIC_REAL},
	[M_CPU_CORES] = {"cpu_cores", "CPU cores online", "", METRIC_INTEGER},
	[M_LOAD_AVG_1M] = {"load_avg_1m", "load, 1 minute", "", METRIC_REAL},
	[M_LOAD_AVG_5M] = {"load_avg_5m", "load, 5 minutes", "", METRIC_REAL},
	[M_LOAD_AVG_15M] = {"load_avg_15m", "load, 15 minutes", "", METRIC_REAL},
	[M_MEMORY_PERCENT] = {"memory_percent", "memory used", "%", METRIC_REAL},
	[M_MEMORY_MB] = {"memory_mb", "memory used", "MiB", METRIC_REAL},
	[M_MEMORY_AVAILABLE_MB] = {"memory_available_mb", "memory available", "MiB", METRIC_REAL},
	[M_SWAP_PERCENT] = {"swap_percent", "swap used", "%", METRIC_REAL},
	[M_SWAP_IO_PER_S] = {"swap_io_per_s", "swap in and out", "pages/s", METRIC_REAL},
	[M_DISK_PERCENT] = {"disk_percent", "disk used on /", "%", METRIC_REAL},
	[M_DISK_GB] = {"disk_gb", "disk used on /", "GiB", METRIC_REAL},
	[M_INODE_PERCENT] = {"inode_percent", "inodes used on /", "%", METRIC_REAL},
	[M_DISK_READ_BPS] = {"disk_read_bps", "disk read", "B/s", METRIC_REAL},
	[M_DISK_WRITE_BPS] = {"disk_write_bps", "disk written", "B/s", METRIC_REAL},
	[M_DISK_BUSY_PERCENT] = {"disk_busy_percent", "busiest disk", "%", METRIC_REAL},
	[M_NET_RX_BPS] = {"net_rx_bps", "network received", "B/s", METRIC_REAL},
	[M_NET_TX_BPS] = {"net_tx_bps", "network sent", "B/s", METRIC_REAL},
	[M_NET_ERRORS_PER_S] = {"net_errors_per_s", "network errors", "/s", METRIC_REAL},
	[M_TCP_RETRANSMIT_PERCENT] = {"tcp_retransmit_percent", "TCP retransmitted", "%", METRIC_REAL},
	[M_PSI_CPU] = {"psi_cpu", "stalled on CPU", "%", METRIC_REAL},
	[M_PSI_MEMORY] = {"psi_memory", "stalled on memory", "%", METRIC_REAL},
	[M_PSI_IO] = {"psi_io", "stalled on I/O", "%", METRIC_REAL},
	[M_PROCESSES] = {"processes", "processes", "", METRIC_INTEGER},
	[M_ZOMBIES] = {"zombies", "zombies", "", METRIC_INTEGER},
	[M_OPEN_FILES_PERCENT] = {"open_files_percent", "open files of the limit", "%", METRIC_REAL},
	[M_CONNTRACK_PERCENT] = {"conntrack_percent", "tracked connections of the limit", "%", METRIC_REAL},
	[M_OOM_KILLS] = {"oom_kills", "processes killed for memory", "", METRIC_INTEGER},
	[M_UPTIME_SECONDS] = {"uptime_seconds", "up for", "s", METRIC_BIGINT},
	[M_CLOCK_OFFSET_MS] = {"clock_offset_ms", "clock ahead of the database", "ms", METRIC_BIGINT},
	[M_INTERVAL_MS] = {"interval_ms", "time covered", "ms", METRIC_INTEGER},
};

void
row_clear(struct row *row)
{
	row->timestamp_us = 0;
	for (int i = 0; i < METRICS; i++)
		row->value[i] = NAN;
}
