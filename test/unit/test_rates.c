/* test_rates.c: rates.h: formulas, resets, wraps, gaps. Expectations are computed by hand. */
#include "unit.h"

#include "core/rates.h"

#define SECOND INT64_C(1000000)
#define GAP    (30 * SECOND)

static struct snapshot before, now;
static struct row row;
static struct topology one_nic;

/* Two empty readings, ten seconds apart. */
static int
reset(void **state)
{
	snapshot_clear(&before);
	snapshot_clear(&now);
	before.monotonic_us = before.boottime_us = 100 * SECOND;
	now.monotonic_us = now.boottime_us = 110 * SECOND;
	return 0;
}

static void
compute(void)
{
	compute_row(&before, &now, &fs_unknown, GAP, &row);
}

static void
cpu(struct snapshot *s, const char *ticks)
{
	char text[200];

	snprintf(text, sizeof text, "cpu %s\n", ticks);
	parse_stat(slice_of(text), &s->cpu);
}

static void
nothing_known_nothing_claimed(void **state)
{
	compute();
	for (int m = 0; m < METRICS; m++)
		if (m != M_INTERVAL_MS)
			assert_unknown(row.value[m]);
	assert_near(row.value[M_INTERVAL_MS], 10000);
}

static void
cpu_shares_without_steal_and_iowait(void **state)
{
	/* user nice system idle iowait irq softirq steal guest guest_nice: guest time is inside user, and not added again */
	cpu(&before, "1000 100 500 8000 100 10 20 50 400 0");
	cpu(&now, "1100 110 560 8700 150 15 25 120 480 0");
	compute();
	double total = 100 + 10 + 60 + 700 + 50 + 5 + 5 + 70;
	assert_near(row.value[M_CPU_PERCENT], 100 * 180 / total);
	assert_near(row.value[M_CPU_IOWAIT_PERCENT], 100 * 50 / total);
	assert_near(row.value[M_CPU_STEAL_PERCENT], 100 * 70 / total);
}

static void
iowait_and_steal_that_go_back_count_as_nothing(void **state)
{
	cpu(&before, "100 0 100 1000 500 0 0 9000 0 0");
	cpu(&now, "200 0 200 1800 400 0 0 10 0 0");
	compute();
	assert_near(row.value[M_CPU_PERCENT], 20);
	assert_near(row.value[M_CPU_IOWAIT_PERCENT], 0);
	assert_near(row.value[M_CPU_STEAL_PERCENT], 0);
}

static void
idle_that_goes_back_a_little_or_a_lot(void **state)
{
	cpu(&before, "100 0 100 1000 0 0 0 0");
	cpu(&now, "200 0 200 900 0 0 0 0"); /* one second of 100 ticks */
	compute();
	assert_near(row.value[M_CPU_PERCENT], 100);
	cpu(&now, "200 0 200 600 0 0 0 0");
	compute();
	assert_unknown(row.value[M_CPU_PERCENT]);
	assert_unknown(row.value[M_CPU_STEAL_PERCENT]);
}

static void
cpu_that_stands_still_is_unknown(void **state)
{
	cpu(&before, "100 0 100 1000 0 0 0 0");
	cpu(&now, "100 0 100 1000 0 0 0 0");
	compute();
	assert_unknown(row.value[M_CPU_PERCENT]);
}

static void
first_reading_gap_and_reboot_give_levels_only(void **state)
{
	cpu(&before, "100 0 100 1000 0 0 0 0");
	cpu(&now, "200 0 200 1800 0 0 0 0");
	now.memory.total = 1000;
	now.memory.available = 250;
	before.vm.oom_kill = 1;
	now.vm.oom_kill = 3;

	compute_row(NULL, &now, &fs_unknown, GAP, &row);
	assert_near(row.value[M_MEMORY_PERCENT], 75);
	assert_unknown(row.value[M_CPU_PERCENT]);
	assert_unknown(row.value[M_INTERVAL_MS]);

	now.boottime_us = before.boottime_us + GAP + 1; /* suspended: monotonic time stood still */
	compute();
	assert_near(row.value[M_MEMORY_PERCENT], 75);
	assert_unknown(row.value[M_CPU_PERCENT]);
	assert_unknown(row.value[M_INTERVAL_MS]);
	assert_near(row.value[M_OOM_KILLS], 2); /* a count of events has no rate to be wrong */

	now.boottime_us = 110 * SECOND;
	before.uptime_seconds = 1000;
	now.uptime_seconds = 5;
	compute();
	assert_unknown(row.value[M_CPU_PERCENT]);
	assert_unknown(row.value[M_OOM_KILLS]);
	assert_near(row.value[M_UPTIME_SECONDS], 5);
}

static void
rates_go_by_the_time_that_really_passed(void **state)
{
	now.monotonic_us = before.monotonic_us + 2500000;
	before.vm = (struct vm_counters){100, 200, 0};
	now.vm = (struct vm_counters){150, 225, 0};
	before.pressure_io_us = 1000000;
	now.pressure_io_us = 1500000;
	compute();
	assert_near(row.value[M_SWAP_IO_PER_S], 30);
	assert_near(row.value[M_PSI_IO], 20);
	assert_unknown(row.value[M_PSI_CPU]);
	assert_near(row.value[M_INTERVAL_MS], 2500);
	now.pressure_io_us = 9500000;
	compute();
	assert_near(row.value[M_PSI_IO], 100);
	now.pressure_io_us = 500000;
	compute();
	assert_unknown(row.value[M_PSI_IO]);
}

static void
nic(struct snapshot *s, int64_t ifindex, int64_t rx, int64_t tx)
{
	s->nic[s->nics++] = (struct nic_reading){ifindex, UNKNOWN, rx, tx, 0};
	s->nics_known = true;
}

static void
network_total_of_two(void **state)
{
	nic(&before, 2, 1000, 5000);
	nic(&before, 3, 0, 0);
	nic(&now, 2, 11000, 5000);
	nic(&now, 3, 10000, 20000);
	compute();
	assert_near(row.value[M_NET_RX_BPS], 2000);
	assert_near(row.value[M_NET_TX_BPS], 2000);
	assert_near(row.value[M_NET_ERRORS_PER_S], 0);
}

static void
one_reset_interface_makes_the_total_unknown(void **state)
{
	nic(&before, 2, INT64_C(900000000000), 5000);
	nic(&before, 3, 0, 0);
	nic(&now, 2, 1000, 6000);
	nic(&now, 3, 10000, 20000);
	compute();
	assert_unknown(row.value[M_NET_RX_BPS]);
	assert_near(row.value[M_NET_TX_BPS], 2100);
}

static void
a_counter_of_32_bits_wraps(void **state)
{
	nic(&before, 2, INT64_C(4294967296) - 1000, 0);
	nic(&now, 2, 9000, 0);
	compute();
	assert_near(row.value[M_NET_RX_BPS], 1000);

	now.nic[0].rx_bytes = INT64_C(3000000000); /* faster than any such interface: it began again */
	compute();
	assert_unknown(row.value[M_NET_RX_BPS]);

	reset(NULL);
	nic(&before, 2, 2000000, 0); /* too far from the end to have wrapped, however fast the interface */
	nic(&now, 2, 1000, 0);
	now.nic[0].speed_mbit = 400000;
	compute();
	assert_unknown(row.value[M_NET_RX_BPS]);
}

static void
an_interface_made_anew_has_no_rate_yet(void **state)
{
	nic(&before, 2, 1000, 0);
	nic(&before, 3, 5000, 0);
	nic(&now, 2, 2000, 0);
	nic(&now, 9, INT64_C(7000000000), 0); /* the same name, another interface */
	compute();
	assert_near(row.value[M_NET_RX_BPS], 100);

	now.nic[0].ifindex = 10;
	compute();
	assert_unknown(row.value[M_NET_RX_BPS]);
}

static void
petabytes_per_second_are_a_broken_counter(void **state)
{
	nic(&before, 2, 0, 0);
	nic(&now, 2, INT64_MAX / 2, 10);
	compute();
	assert_unknown(row.value[M_NET_RX_BPS]);
	assert_near(row.value[M_NET_TX_BPS], 1);
}

static void
disk(struct snapshot *s, const char *name, int64_t read, int64_t written, uint32_t busy)
{
	struct disk_reading *d = &s->disk[s->disks++];

	snprintf(d->name, sizeof d->name, "%s", name);
	d->sectors_read = read;
	d->sectors_written = written;
	d->busy_ms = busy;
	s->disks_known = true;
}

static void
disk_total_and_busiest(void **state)
{
	disk(&before, "sda", 0, 0, 4294967000u);
	disk(&before, "sdb", 100, 100, 0);
	disk(&now, "sda", 20, 40, 4704); /* 5,000 ms later, over the end of 32 bits */
	disk(&now, "sdb", 120, 100, 1000);
	compute();
	assert_near(row.value[M_DISK_READ_BPS], 40 * 512 / 10.0);
	assert_near(row.value[M_DISK_WRITE_BPS], 40 * 512 / 10.0);
	assert_near(row.value[M_DISK_BUSY_PERCENT], 50);
	now.disk[1].busy_ms = 20000;
	compute();
	assert_near(row.value[M_DISK_BUSY_PERCENT], 100);
}

static void
a_disk_that_came_or_began_again(void **state)
{
	disk(&before, "sda", 0, 0, 0);
	disk(&now, "sda", 10, 10, 10);
	disk(&now, "sdb", 1000000, 0, 0);
	compute();
	assert_near(row.value[M_DISK_READ_BPS], 512);
	before.disk[0].sectors_read = 11;
	compute();
	assert_unknown(row.value[M_DISK_READ_BPS]);
	assert_unknown(row.value[M_DISK_BUSY_PERCENT]);
}

static void
tcp_and_its_silence(void **state)
{
	before.tcp = (struct tcp_counters){1000, 10};
	now.tcp = (struct tcp_counters){1200, 16};
	compute();
	assert_near(row.value[M_TCP_RETRANSMIT_PERCENT], 3);
	now.tcp = before.tcp;
	compute();
	assert_unknown(row.value[M_TCP_RETRANSMIT_PERCENT]);
	/* a segment lost among few is no bad network */
	now.tcp = (struct tcp_counters){1099, 30};
	compute();
	assert_unknown(row.value[M_TCP_RETRANSMIT_PERCENT]);
	now.tcp = (struct tcp_counters){1100, 30};
	compute();
	assert_near(row.value[M_TCP_RETRANSMIT_PERCENT], 20);
}

static void
memory_swap_and_limits(void **state)
{
	now.memory.total = 2048000;
	now.memory.available = 512000;
	now.memory.swap_total = 1000;
	now.memory.swap_free = 700;
	now.memory.swap_cached = 100;
	now.files = (struct file_handles){50, 200};
	now.conntrack_used = 10;
	now.conntrack_limit = 1000;
	compute();
	assert_near(row.value[M_MEMORY_PERCENT], 75);
	assert_near(row.value[M_MEMORY_MB], 1500);
	assert_near(row.value[M_MEMORY_AVAILABLE_MB], 500);
	assert_near(row.value[M_SWAP_PERCENT], 20);
	assert_near(row.value[M_OPEN_FILES_PERCENT], 25);
	assert_near(row.value[M_CONNTRACK_PERCENT], 1);
	now.memory.swap_total = 0; /* no swap is no share of it */
	now.memory.available = now.memory.total + 1;
	compute();
	assert_unknown(row.value[M_SWAP_PERCENT]);
	assert_unknown(row.value[M_MEMORY_PERCENT]);
}

static void
root_filesystem(void **state)
{
	struct fs_numbers fs = {4096, 1000, 400, 350, 100, 60, 50};

	compute_row(&before, &now, &fs, GAP, &row);
	assert_near(row.value[M_DISK_PERCENT], 64); /* 100 * 600 / 950 = 63.2 */
	assert_near(row.value[M_DISK_GB], 600 * 4096.0 / (1 << 30));
	assert_near(row.value[M_INODE_PERCENT], 100 * 40.0 / 90);
}

static void
only_what_counts_is_read(void **state)
{
	choose_topology(slice_of("net eth0 2 - d\nnet lo 1 - o\nblock sda -\nblock dm-0 s\n"), slice_of(""),
					&one_nic);
	snapshot_net_dev(&now,
					 slice_of("lo: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\neth0: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n"
							  "eth0: 7 0 0 0 0 0 0 0 8 0 0 0 0 0 0 0\n"),
					 &one_nic);
	assert_int_equal(now.nics, 1);
	assert_int_equal(now.nic[0].rx_bytes, 5);
	snapshot_diskstats(&now,
					   slice_of("8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n"
								"253 0 dm-0 1 2 3 4 5 6 7 8 9 10 11\n"),
					   &one_nic);
	assert_int_equal(now.disks, 1);
	assert_string_equal(now.disk[0].name, "sda");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_known_nothing_claimed, reset),
		cmocka_unit_test_setup(cpu_shares_without_steal_and_iowait, reset),
		cmocka_unit_test_setup(iowait_and_steal_that_go_back_count_as_nothing, reset),
		cmocka_unit_test_setup(idle_that_goes_back_a_little_or_a_lot, reset),
		cmocka_unit_test_setup(cpu_that_stands_still_is_unknown, reset),
		cmocka_unit_test_setup(first_reading_gap_and_reboot_give_levels_only, reset),
		cmocka_unit_test_setup(rates_go_by_the_time_that_really_passed, reset),
		cmocka_unit_test_setup(network_total_of_two, reset),
		cmocka_unit_test_setup(one_reset_interface_makes_the_total_unknown, reset),
		cmocka_unit_test_setup(a_counter_of_32_bits_wraps, reset),
		cmocka_unit_test_setup(an_interface_made_anew_has_no_rate_yet, reset),
		cmocka_unit_test_setup(petabytes_per_second_are_a_broken_counter, reset),
		cmocka_unit_test_setup(disk_total_and_busiest, reset),
		cmocka_unit_test_setup(a_disk_that_came_or_began_again, reset),
		cmocka_unit_test_setup(tcp_and_its_silence, reset),
		cmocka_unit_test_setup(memory_swap_and_limits, reset),
		cmocka_unit_test_setup(root_filesystem, reset),
		cmocka_unit_test_setup(only_what_counts_is_read, reset),
	};
	return TESTS(tests);
}
