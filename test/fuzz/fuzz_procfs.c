/* fuzz_procfs.c: any bytes for every parser of src/core. Belongs here: feeding. Does not: expectations (test/unit). */
#include <stddef.h>
#include <stdint.h>

#include "core/cgroup.h"
#include "core/rates.h"
#include "core/tcp_table.h"
#include "core/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chosen_mount mounts[MAX_MOUNTS];
static struct topology topology;
static struct snapshot before, now;

/* What labelled metrics are read from. */
static void
feed_labelled(struct slice first, struct slice second)
{
	static struct tcp_peers peers;
	struct counted_nic nics[8];
	struct cgroup_counters cgroup = cgroup_unknown;
	struct unit_properties properties;
	struct unit_line unit;
	struct cgroup_name name;
	struct tcp_entry e;
	char path[300];

	list_nics(first, second, nics, 8);
	for (int file = 0; file < CGROUP_FILES; file++)
		cgroup_parse((enum cgroup_file) file, first, &cgroup);
	if (slice_copy(first, path, sizeof path))
		cgroup_identify(path, &name);
	memset(&peers, 0, sizeof peers);
	for (struct slice rest = first; next_tcp(&rest, &e);)
		tcp_peers_listen(&peers, &e);
	for (struct slice rest = second; next_tcp(&rest, &e);)
		tcp_peers_add(&peers, &e);
	for (struct slice rest = first; next_unit(&rest, &unit);)
		;
	for (struct slice rest = second; next_unit_properties(&rest, &properties);)
		;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice all = {(const char *) data, (const char *) data + size};
	struct slice first = {all.p, all.p + size / 2}, second = {all.p + size / 2, all.end};
	struct fs_numbers root = fs_unknown;
	struct row row;
	char text[64];

	choose_topology(first, second, &topology);
	snapshot_clear(&before);
	snapshot_clear(&now);
	now.monotonic_us = now.boottime_us = 10000000;
	parse_stat(first, &before.cpu);
	parse_stat(second, &now.cpu);
	parse_meminfo(all, &now.memory);
	parse_vmstat(first, &before.vm);
	parse_vmstat(second, &now.vm);
	parse_snmp(first, &before.tcp);
	parse_snmp(second, &now.tcp);
	parse_file_nr(all, &now.files);
	parse_loadavg(all, now.load);
	now.pressure_cpu_us = parse_pressure_some(all);
	now.uptime_seconds = parse_uptime(all);
	now.zombies = parse_pid_state(all);
	snapshot_net_dev(&before, first, &topology);
	snapshot_net_dev(&now, second, &topology);
	snapshot_diskstats(&before, first, &topology);
	snapshot_diskstats(&now, second, &topology);
	parse_statvfs_line(all, "/", &root);
	compute_row(&before, &now, &root, 60000000, &row);
	choose_mounts(all, mounts, MAX_MOUNTS);
	feed_labelled(first, second);
	slice_printable(all, text, sizeof text);
	return !slice_is_printable(slice_of(text)) ? __builtin_trap(), 0 : 0;
}
