/*
 * topology.h: which network interfaces and block devices make up the totals, so that no byte counts twice.
 *
 * Belongs here: the choice, made from what sysfs says about each device; never from name prefixes where sysfs is there.
 * Does not belong here: reading sysfs (collector/sysfs_scan.c writes the text that is parsed here).
 * NEUTRAL, pure.
 */
#ifndef OBSERV_CORE_TOPOLOGY_H
#define OBSERV_CORE_TOPOLOGY_H

#include "core/slice.h"

#define MAX_NICS      64
#define MAX_DISKS     256
#define NIC_NAME_MAX  16 /* IFNAMSIZ */
#define DISK_NAME_MAX 32 /* DISK_NAME_LEN */

struct counted_nic {
	char name[NIC_NAME_MAX];
	int64_t ifindex;    /* a new one is a new interface, whatever its name */
	int64_t speed_mbit; /* UNKNOWN where the driver does not say */
};

struct topology {
	bool nics_known;
	bool too_many; /* more devices than fit: totals are then unknown, not too small */
	bool disks_known;
	int nics;
	int disks;
	struct counted_nic nic[MAX_NICS];
	char disk[MAX_DISKS][DISK_NAME_MAX];
};

/*
 * Chooses from a scan of sysfs. Lines of the scan:
 *   net NAME IFINDEX SPEED FLAGS   FLAGS: d has hardware behind it, l is stacked on another interface, o is the loopback,
 *                                  v is one end of a pair, t is a tunnel, b is a bridge, - none
 *   block NAME FLAGS               FLAGS: s is stacked on other devices, - none
 * Interfaces: those with hardware and nothing below them. Without any (containers): `default_route`, the interface
 * of the default route, may be empty. Without that: everything that is none of l o v t b.
 * Disks: those without slaves that are not loop, ram, zram, sr or fd.
 */
void choose_topology(struct slice scan, struct slice default_route, struct topology *out);

/*
 * Interfaces that are worth a line each, from the same scan: all but the loopback and ends of pairs, which are the containers' (the
 * interface of the default route is one inside a container). At most `max`; returns how many.
 */
int list_nics(struct slice scan, struct slice default_route, struct counted_nic *out, int max);

/*
 * Where sysfs lists no block devices: whether a name of /proc/diskstats is a whole device, judged by name alone
 * (loop, ram, zram, sr, fd, dm- and md are not; sda1 and nvme0n1p1 are partitions).
 */
bool disk_counts_by_name(struct slice name);

/* Index of the name among the counted, -1 when it does not count. */
int topology_nic(const struct topology *t, struct slice name);
bool topology_disk(const struct topology *t, struct slice name);

#endif
