/*
 * rates.h: two readings of a machine become one row.
 *
 * Belongs here: every formula that turns counters into rates and levels into percentages.
 * Does not belong here: formats (procfs.h), when to read (schedule.h).
 * Rules that hold throughout: the time between two readings is monotonic time; what cannot be known (counter reset, gap,
 * missing file) is NAN, never 0. Formulas: docs/obs-agent.md says them in words.
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_RATES_H
#define OBSERV_CORE_RATES_H

#include "core/mounts.h"
#include "core/procfs.h"
#include "core/row.h"
#include "core/topology.h"

struct nic_reading {
	int64_t ifindex, speed_mbit;
	int64_t rx_bytes, tx_bytes, errors;
};

struct disk_reading {
	char name[DISK_NAME_MAX];
	int64_t sectors_read, sectors_written;
	uint32_t busy_ms;
};

/* One reading of everything under /proc. A number that is not there is UNKNOWN. */
struct snapshot {
	int64_t monotonic_us; /* CLOCK_MONOTONIC: does not count suspend, never steps */
	int64_t boottime_us;  /* CLOCK_BOOTTIME: counts suspend */
	int64_t ticks_per_second;
	struct cpu_times cpu;
	struct memory_info memory;
	struct vm_counters vm;
	struct tcp_counters tcp;
	struct file_handles files;
	double load[3]; /* NAN when unknown */
	int64_t pressure_cpu_us, pressure_memory_us, pressure_io_us;
	int64_t conntrack_used, conntrack_limit;
	int64_t uptime_seconds;
	int64_t processes, zombies;
	bool nics_known, disks_known;
	int nics, disks;
	struct nic_reading nic[MAX_NICS];
	struct disk_reading disk[MAX_DISKS];
};

/*
 * Bytes that one interface moved between two readings; NAN when that can't be known: a counter that began again (a 32-bit one
 * that wrapped is told apart by the speed), or a number that no interface reaches.
 */
double nic_growth(int64_t before, int64_t now, int64_t speed_mbit, double seconds);

/* Everything unknown. */
void snapshot_clear(struct snapshot *s);

/* Takes the counters of the interfaces that count out of /proc/net/dev, of the disks out of /proc/diskstats. */
void snapshot_net_dev(struct snapshot *s, struct slice text, const struct topology *t);
void snapshot_diskstats(struct snapshot *s, struct slice text, const struct topology *t);

/*
 * Fills `row` (all but timestamp and clock offset) from the reading `now`, the one before it and the numbers of "/".
 * `before` is NULL at the first reading; then, and when more than `max_gap_us` have passed, and after a reboot, every
 * rate is unknown, and so is interval_ms.
 */
void compute_row(const struct snapshot *before, const struct snapshot *now, const struct fs_numbers *root,
				 int64_t max_gap_us, struct row *row);

#endif
