/* rates.c: Every formula of a row. See rates.h for what belongs here. */
#include "core/rates.h"

#include <math.h>
#include <string.h>

#define US_PER_SECOND  1000000.0
#define SECTOR_BYTES   512.0
#define LEAST_SEGMENTS 100
#define IDLE_SLACK_S   3 /* idle time goes back by small steps on some kernels; more than that is a reset */

/* A 64-bit counter never wraps. A 32-bit one may, and only a driver that slow has one. */
#define ASSUMED_MBIT 1000
#define MAX_MBIT     800000 /* no interface is faster: what looks so is a broken counter */

void
snapshot_clear(struct snapshot *s)
{
	s->monotonic_us = s->boottime_us = 0;
	s->ticks_per_second = 100;
	s->cpu.tick[CPU_USER] = s->cpu.online = UNKNOWN;
	parse_meminfo(slice_of(""), &s->memory);
	parse_vmstat(slice_of(""), &s->vm);
	parse_snmp(slice_of(""), &s->tcp);
	parse_file_nr(slice_of(""), &s->files);
	s->load[0] = s->load[1] = s->load[2] = NAN;
	s->pressure_cpu_us = s->pressure_memory_us = s->pressure_io_us = UNKNOWN;
	s->conntrack_used = s->conntrack_limit = UNKNOWN;
	s->uptime_seconds = UNKNOWN;
	s->processes = s->zombies = UNKNOWN;
	s->nics_known = s->disks_known = false;
	s->nics = s->disks = 0;
}

void
snapshot_net_dev(struct snapshot *s, struct slice text, const struct topology *t)
{
	struct net_counters c;
	bool seen[MAX_NICS] = {false};

	s->nics = 0;
	while (s->nics < MAX_NICS && next_net_dev(&text, &c)) {
		int i = topology_nic(t, c.name);
		if (i < 0 || seen[i])
			continue;
		seen[i] = true;
		s->nic[s->nics++] =
			(struct nic_reading){t->nic[i].ifindex, t->nic[i].speed_mbit, c.rx_bytes, c.tx_bytes, c.errors};
	}
	s->nics_known = t->nics_known && !t->too_many && s->nics > 0;
}

void
snapshot_diskstats(struct snapshot *s, struct slice text, const struct topology *t)
{
	struct disk_counters c;
	bool overflow = t->too_many;

	s->disks = 0;
	while (next_diskstat(&text, &c)) {
		if (!topology_disk(t, c.name))
			continue;
		if (s->disks == MAX_DISKS) {
			overflow = true;
			break;
		}
		struct disk_reading *d = &s->disk[s->disks];
		if (!slice_copy(c.name, d->name, sizeof d->name))
			continue;
		d->sectors_read = c.sectors_read;
		d->sectors_written = c.sectors_written;
		d->busy_ms = c.busy_ms;
		s->disks++;
	}
	s->disks_known = !overflow && s->disks > 0;
}

/* What a counter grew by; NAN when either reading is missing or it went back. */
static double
growth(int64_t before, int64_t now)
{
	if (before < 0 || now < before)
		return NAN;
	return (double) (now - before);
}

static double
percent(double part, double whole)
{
	return whole > 0 ? 100 * part / whole : NAN;
}

static double
number_or_nan(int64_t v)
{
	return v < 0 ? NAN : (double) v;
}

/*
 * Shares of CPU time. A field that goes back a little counts as 0; a sample in which idle time goes back by more than
 * IDLE_SLACK_S per machine, nothing moved, or a share is no share, is thrown away. Steal and iowait are not "busy".
 */
static void
cpu_rates(const struct snapshot *before, const struct snapshot *now, struct row *row)
{
	double part[CPU_FIELDS], total = 0;

	if (before->cpu.tick[CPU_USER] < 0 || now->cpu.tick[CPU_USER] < 0)
		return;
	if (before->cpu.tick[CPU_IDLE] - now->cpu.tick[CPU_IDLE] > IDLE_SLACK_S * now->ticks_per_second)
		return;
	for (int i = 0; i < CPU_FIELDS; i++) {
		double grown = growth(before->cpu.tick[i], now->cpu.tick[i]);
		part[i] = isnan(grown) ? 0 : grown;
		total += part[i];
	}
	double busy = percent(
		part[CPU_USER] + part[CPU_NICE] + part[CPU_SYSTEM] + part[CPU_IRQ] + part[CPU_SOFTIRQ], total);
	if (isnan(busy) || busy > 100.001)
		return;
	row->value[M_CPU_PERCENT] = busy;
	row->value[M_CPU_IOWAIT_PERCENT] = percent(part[CPU_IOWAIT], total);
	row->value[M_CPU_STEAL_PERCENT] = percent(part[CPU_STEAL], total);
}

/* See the comment at ASSUMED_MBIT. */
double
nic_growth(int64_t before, int64_t now, int64_t speed_mbit, double seconds)
{
	double mbit = speed_mbit > 0 ? (double) speed_mbit : ASSUMED_MBIT;
	double grown;

	if (now >= before) {
		grown = growth(before, now);
		return grown <= MAX_MBIT * 125000.0 * seconds ? grown : NAN;
	}
	if (before > UINT32_MAX)
		return NAN;
	grown = (double) (now + (int64_t) UINT32_MAX + 1 - before);
	/* At most half the range: more cannot be told from a counter that began again. */
	return grown <= mbit * 125000.0 * 1.25 * seconds && grown <= UINT32_MAX / 2.0 ? grown : NAN;
}

static const struct nic_reading *
find_nic(const struct snapshot *s, int64_t ifindex)
{
	for (int i = 0; i < s->nics; i++)
		if (s->nic[i].ifindex == ifindex)
			return &s->nic[i];
	return NULL;
}

/* An interface that is new has no rate yet and is left out; one that was reset makes the total unknown. */
static void
network_rates(const struct snapshot *before, const struct snapshot *now, double seconds, struct row *row)
{
	double rx = 0, tx = 0, errors = 0;
	bool any = false;

	if (!before->nics_known || !now->nics_known)
		return;
	for (int i = 0; i < now->nics; i++) {
		const struct nic_reading *n = &now->nic[i], *b = find_nic(before, n->ifindex);
		if (!b)
			continue;
		any = true;
		rx += nic_growth(b->rx_bytes, n->rx_bytes, n->speed_mbit, seconds);
		tx += nic_growth(b->tx_bytes, n->tx_bytes, n->speed_mbit, seconds);
		errors += growth(b->errors, n->errors);
	}
	if (!any)
		return;
	row->value[M_NET_RX_BPS] = rx / seconds;
	row->value[M_NET_TX_BPS] = tx / seconds;
	row->value[M_NET_ERRORS_PER_S] = errors / seconds;
}

static const struct disk_reading *
find_disk(const struct snapshot *s, const char *name)
{
	for (int i = 0; i < s->disks; i++)
		if (strcmp(s->disk[i].name, name) == 0)
			return &s->disk[i];
	return NULL;
}

static void
disk_rates(const struct snapshot *before, const struct snapshot *now, double seconds, struct row *row)
{
	double read = 0, written = 0, busiest = 0;
	bool any = false;

	if (!before->disks_known || !now->disks_known)
		return;
	for (int i = 0; i < now->disks; i++) {
		const struct disk_reading *n = &now->disk[i], *b = find_disk(before, n->name);
		if (!b)
			continue;
		any = true;
		double grown = growth(b->sectors_read, n->sectors_read);
		read += grown;
		written += growth(b->sectors_written, n->sectors_written);
		/* Modulo 2^32 by the type. Where the sectors were reset the milliseconds were too. */
		double busy = isnan(grown) ? NAN : (double) (uint32_t) (n->busy_ms - b->busy_ms) / (seconds * 10);
		if (isnan(busy) || busy > busiest)
			busiest = isnan(busiest) ? NAN : busy;
	}
	if (!any)
		return;
	row->value[M_DISK_READ_BPS] = read * SECTOR_BYTES / seconds;
	row->value[M_DISK_WRITE_BPS] = written * SECTOR_BYTES / seconds;
	row->value[M_DISK_BUSY_PERCENT] = busiest > 100 ? 100 : busiest;
}

static double
pressure(int64_t before, int64_t now, double seconds)
{
	double share = growth(before, now) / US_PER_SECOND / seconds * 100;
	return share > 100 ? 100 : share; /* the clock is read beside the file, not with it */
}

/* Of a few segments a share says nothing: one that is lost on an idle machine would be a bad network. */
static double
retransmitted(const struct tcp_counters *before, const struct tcp_counters *now)
{
	double sent = growth(before->out_segments, now->out_segments);

	return sent >= LEAST_SEGMENTS ? percent(growth(before->retransmitted, now->retransmitted), sent) : NAN;
}

static void
compute_rates(const struct snapshot *before, const struct snapshot *now, double seconds, struct row *row)
{
	cpu_rates(before, now, row);
	network_rates(before, now, seconds, row);
	disk_rates(before, now, seconds, row);
	row->value[M_SWAP_IO_PER_S] =
		(growth(before->vm.swap_in, now->vm.swap_in) + growth(before->vm.swap_out, now->vm.swap_out)) /
		seconds;
	row->value[M_TCP_RETRANSMIT_PERCENT] = retransmitted(&before->tcp, &now->tcp);
	row->value[M_PSI_CPU] = pressure(before->pressure_cpu_us, now->pressure_cpu_us, seconds);
	row->value[M_PSI_MEMORY] = pressure(before->pressure_memory_us, now->pressure_memory_us, seconds);
	row->value[M_PSI_IO] = pressure(before->pressure_io_us, now->pressure_io_us, seconds);
	row->value[M_INTERVAL_MS] = round(seconds * 1000);
}

static void
memory_levels(const struct memory_info *m, struct row *row)
{
	int64_t available = memory_available_kib(m);

	if (m->total > 0 && available >= 0 && available <= m->total) {
		double used = (double) (m->total - available);
		row->value[M_MEMORY_PERCENT] = percent(used, (double) m->total);
		row->value[M_MEMORY_MB] = used / 1024;
		row->value[M_MEMORY_AVAILABLE_MB] = (double) available / 1024;
	}
	if (m->swap_total > 0 && m->swap_free >= 0) {
		double used = (double) m->swap_total - (double) m->swap_free;
		if (m->swap_cached > 0)
			used -= (double) m->swap_cached;
		if (used <= (double) m->swap_total)
			row->value[M_SWAP_PERCENT] = percent(used > 0 ? used : 0, (double) m->swap_total);
	}
}

static void
levels(const struct snapshot *now, const struct fs_numbers *root, struct row *row)
{
	row->value[M_CPU_CORES] = number_or_nan(now->cpu.online);
	row->value[M_LOAD_AVG_1M] = now->load[0];
	row->value[M_LOAD_AVG_5M] = now->load[1];
	row->value[M_LOAD_AVG_15M] = now->load[2];
	memory_levels(&now->memory, row);
	row->value[M_DISK_PERCENT] = fs_used_percent(root);
	row->value[M_DISK_GB] = fs_used_bytes(root) / (1024.0 * 1024 * 1024);
	row->value[M_INODE_PERCENT] = fs_inode_percent(root);
	row->value[M_PROCESSES] = number_or_nan(now->processes);
	row->value[M_ZOMBIES] = number_or_nan(now->zombies);
	if (now->files.used >= 0)
		row->value[M_OPEN_FILES_PERCENT] = percent((double) now->files.used, (double) now->files.limit);
	if (now->conntrack_used >= 0)
		row->value[M_CONNTRACK_PERCENT] =
			percent((double) now->conntrack_used, (double) now->conntrack_limit);
	row->value[M_UPTIME_SECONDS] = number_or_nan(now->uptime_seconds);
}

void
compute_row(const struct snapshot *before, const struct snapshot *now, const struct fs_numbers *root,
			int64_t max_gap_us, struct row *row)
{
	row_clear(row);
	levels(now, root, row);
	if (!before)
		return;
	if (now->uptime_seconds >= 0 && now->uptime_seconds < before->uptime_seconds)
		return; /* rebooted: no counter goes on from before */
	row->value[M_OOM_KILLS] = growth(before->vm.oom_kill, now->vm.oom_kill);
	double seconds = (double) (now->monotonic_us - before->monotonic_us) / US_PER_SECOND;
	if (seconds > 0 && now->boottime_us - before->boottime_us <= max_gap_us)
		compute_rates(before, now, seconds, row);
}
