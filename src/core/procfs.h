/*
 * procfs.h: the text of files under /proc, turned into numbers. One parser per file.
 *
 * Belongs here: formats of proc(5) and of the kernel's Documentation/. Does not belong here: differences of two readings
 * (rates.h), which devices count (topology.h), opening files (collector).
 * Every parser takes whatever bytes there are, goes by key names, ignores what it does not know, and leaves a number it
 * did not find at UNKNOWN (-1). NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_PROCFS_H
#define OBSERV_CORE_PROCFS_H

#include "core/slice.h"

#define UNKNOWN ((int64_t) -1)

/* The "cpu" line of /proc/stat, in ticks of USER_HZ. Guest time is inside user and nice and is not read. */
enum cpu_field {
	CPU_USER,
	CPU_NICE,
	CPU_SYSTEM,
	CPU_IDLE,
	CPU_IOWAIT,
	CPU_IRQ,
	CPU_SOFTIRQ,
	CPU_STEAL,
	CPU_FIELDS
};

struct cpu_times {
	int64_t tick[CPU_FIELDS]; /* [CPU_USER] is UNKNOWN when there is no usable line */
	int64_t online;           /* number of cpuN lines */
};

void parse_stat(struct slice text, struct cpu_times *out);

/* /proc/meminfo in kB, that is in KiB. */
struct memory_info {
	int64_t total, available, free, buffers, cached, reclaimable, shmem;
	int64_t swap_total, swap_free, swap_cached;
};

void parse_meminfo(struct slice text, struct memory_info *out);

/* KiB that programs can still get; computed as kernels before 3.14 had it computed when MemAvailable is missing. */
int64_t memory_available_kib(const struct memory_info *m);

/* /proc/vmstat: pages since boot, processes killed since boot. */
struct vm_counters {
	int64_t swap_in, swap_out, oom_kill;
};

void parse_vmstat(struct slice text, struct vm_counters *out);

/* /proc/loadavg: the three averages; false (and nothing written) when the text is no such file. */
bool parse_loadavg(struct slice text, double load[3]);

/* /proc/uptime: whole seconds since boot. */
int64_t parse_uptime(struct slice text);

/* /proc/pressure/X: microseconds for which some task was stalled, since boot. */
int64_t parse_pressure_some(struct slice text);

/* /proc/sys/fs/file-nr: handles in use and their limit. */
struct file_handles {
	int64_t used, limit;
};

void parse_file_nr(struct slice text, struct file_handles *out);

/* A file that holds one number. */
int64_t parse_number(struct slice text);

/* /proc/PID/stat: the state letter, 0 when the text is no such file. The command name may hold blanks, ')' and newlines. */
char parse_pid_state(struct slice text);

/* "Tcp:" of /proc/net/snmp. */
struct tcp_counters {
	int64_t out_segments, retransmitted;
};

void parse_snmp(struct slice text, struct tcp_counters *out);

/* One line of /proc/net/dev. */
struct net_counters {
	struct slice name;
	int64_t rx_bytes, tx_bytes;
	int64_t errors; /* errors and drops, both directions */
};

/* Takes the next interface off `text`; false at the end. Lines that are none are passed over. */
bool next_net_dev(struct slice *text, struct net_counters *out);

/* Name of the interface of the IPv4 default route with the lowest metric in /proc/net/route. */
bool parse_default_route(struct slice text, struct slice *name);

/* One line of /proc/diskstats. A sector is always 512 bytes. */
struct disk_counters {
	struct slice name;
	int64_t sectors_read, sectors_written;
	uint32_t busy_ms; /* wraps: the kernel prints 32 bits */
};

bool next_diskstat(struct slice *text, struct disk_counters *out);

#endif
