/* test_procfs.c: procfs.h: formats as several kernels write them, and text that is none. */
#include "unit.h"

#include "core/procfs.h"

static void
stat_counts_cores_and_takes_the_total_line(void **state)
{
	struct cpu_times t;

	parse_stat(slice_of("cpu  10 1 5 100 7 2 3 4 50 60\n"
						"cpu0 5 1 2 50 3 1 1 2 0 0\n"
						"cpu3 5 0 3 50 4 1 2 2 0 0\n"
						"intr 123\ncpufreq 1\n"),
			   &t);
	assert_int_equal(t.tick[CPU_USER], 10);
	assert_int_equal(t.tick[CPU_STEAL], 4);
	assert_int_equal(t.online, 2);
}

static void
stat_of_an_old_kernel_has_fewer_columns(void **state)
{
	struct cpu_times t;

	parse_stat(slice_of("cpu 10 1 5 100\n"), &t);
	assert_int_equal(t.tick[CPU_IDLE], 100);
	assert_int_equal(t.tick[CPU_STEAL], 0);
	assert_int_equal(t.online, UNKNOWN);
}

static void
stat_that_is_none(void **state)
{
	struct cpu_times t;

	parse_stat(slice_of("cpu 10 1\n"), &t);
	assert_int_equal(t.tick[CPU_USER], UNKNOWN);
	parse_stat(slice_of(""), &t);
	assert_int_equal(t.tick[CPU_USER], UNKNOWN);
	parse_stat(slice_of("cpu -10 1 2 3 4\ncpu\n\ncpu0"), &t);
	assert_int_equal(t.tick[CPU_USER], UNKNOWN);
}

static void
meminfo_by_name_in_any_order(void **state)
{
	struct memory_info m;

	parse_meminfo(slice_of("Unknown:  1 kB\nMemAvailable:   300 kB\nMemTotal:       1000 kB\nMemTotalX: "
						   "5\nSwapFree: 2 kB\n"),
				  &m);
	assert_int_equal(m.total, 1000);
	assert_int_equal(memory_available_kib(&m), 300);
	assert_int_equal(m.swap_free, 2);
	assert_int_equal(m.swap_total, UNKNOWN);
}

static void
missing_memavailable_is_computed_without_underflow(void **state)
{
	struct memory_info m;

	parse_meminfo(slice_of("MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 200 "
						   "kB\nSReclaimable: 30 kB\nShmem: 50 kB\n"),
				  &m);
	assert_int_equal(memory_available_kib(&m), 300);
	parse_meminfo(slice_of("MemTotal: 1000 kB\nMemFree: 1 kB\nCached: 2 kB\nShmem: 50 kB\n"), &m);
	assert_int_equal(memory_available_kib(&m), 0);
	parse_meminfo(slice_of("MemTotal: 1000 kB\n"), &m);
	assert_int_equal(memory_available_kib(&m), UNKNOWN);
	parse_meminfo(slice_of("MemFree: 9999999999999999999 kB\nCached: 9999999999999999999 kB\n"), &m);
	assert_int_equal(memory_available_kib(&m), INT64_MAX);
}

static void
net_dev_with_and_without_a_blank_after_the_colon(void **state)
{
	struct slice text = slice_of("Inter-|   Receive |  Transmit\n face |bytes    packets errs drop\n"
								 "  eth0: 100 2 3 4 0 0 0 0 200 5 6 7 0 0 0 0\n"
								 "wlan0:18446744073709551615 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
								 "broken: 1 2 3\n");
	struct net_counters c;

	assert_true(next_net_dev(&text, &c));
	assert_true(slice_equals(c.name, "eth0"));
	assert_int_equal(c.rx_bytes, 100);
	assert_int_equal(c.tx_bytes, 200);
	assert_int_equal(c.errors, 3 + 4 + 6 + 7);
	assert_true(next_net_dev(&text, &c));
	assert_int_equal(c.rx_bytes, INT64_MAX);
	assert_false(next_net_dev(&text, &c));
}

static void
snmp_by_column_name(void **state)
{
	struct tcp_counters t;

	parse_snmp(slice_of("Ip: Forwarding\nIp: 1\nTcp: RtoMin MaxConn OutSegs RetransSegs\nTcp: 200 -1 1000 "
						"30\nUdp: a\nUdp: 1\n"),
			   &t);
	assert_int_equal(t.out_segments, 1000);
	assert_int_equal(t.retransmitted, 30);
	parse_snmp(slice_of("Tcp: OutSegs\n"), &t);
	assert_int_equal(t.out_segments, UNKNOWN);
}

static void
diskstats_of_three_kernels(void **state)
{
	struct slice text = slice_of("   8 0 sda 1 2 300 4 5 6 700 8 0 4294967295 11\n"
								 " 259 0 nvme0n1 1 2 30 4 5 6 70 8 0 12 11 1 2 3 4\n"
								 " 259 1 nvme0n1p1 1 2 30 4 5 6 70 8 0 12 11 1 2 3 4 5 6\n"
								 " 8 1 sda1 1 2\n");
	struct disk_counters c;

	assert_true(next_diskstat(&text, &c));
	assert_int_equal(c.sectors_read, 300);
	assert_int_equal(c.sectors_written, 700);
	assert_int_equal(c.busy_ms, UINT32_MAX);
	assert_true(next_diskstat(&text, &c));
	assert_true(next_diskstat(&text, &c));
	assert_true(slice_equals(c.name, "nvme0n1p1"));
	assert_false(next_diskstat(&text, &c));
}

static void
pid_stat_goes_by_the_last_parenthesis(void **state)
{
	assert_int_equal(parse_pid_state(slice_of("42 (a) Z) S 1 42")), 'S');
	assert_int_equal(parse_pid_state(slice_of("42 (evil\n(x) R 1) Z 1")), 'Z');
	assert_int_equal(parse_pid_state(slice_of("42 sh S")), 0);
	assert_int_equal(parse_pid_state(slice_of("42 (sh)")), 0);
	assert_int_equal(parse_pid_state(slice_of("")), 0);
}

static void
small_files(void **state)
{
	double load[3] = {9, 9, 9};
	struct file_handles f;

	assert_true(parse_loadavg(slice_of("0.10 0.20 811.03 2/100 5\n"), load));
	assert_near(load[2], 811.03);
	assert_false(parse_loadavg(slice_of("0.10 x"), load));
	assert_near(load[0], 0.10);
	assert_int_equal(parse_uptime(slice_of("3600.99 1.0\n")), 3600);
	assert_int_equal(parse_uptime(slice_of("99999999999999999999.0\n")), UNKNOWN);
	assert_int_equal(parse_uptime(slice_of("")), UNKNOWN);
	assert_int_equal(parse_pressure_some(slice_of(
						 "some avg10=0.00 avg60=0.00 avg300=0.00 total=123\nfull avg10=0 total=5\n")),
					 123);
	assert_int_equal(parse_pressure_some(slice_of("full avg10=0 total=5\n")), UNKNOWN);
	parse_file_nr(slice_of("1024\t24\t9223372036854775807\n"), &f);
	assert_int_equal(f.used, 1000);
	assert_int_equal(f.limit, INT64_MAX);
	parse_file_nr(slice_of("1024"), &f);
	assert_int_equal(f.used, UNKNOWN);
	assert_int_equal(parse_number(slice_of("65536\n")), 65536);
	assert_int_equal(parse_number(slice_of("\n")), UNKNOWN);
}

static void
default_route_with_the_lowest_metric(void **state)
{
	struct slice name;

	assert_true(
		parse_default_route(slice_of("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
									 "eth1\t0000A8C0\t0\t1\t0\t0\t0\t00FFFFFF\t0\n"
									 "wlan0\t00000000\t0\t3\t0\t0\t600\t00000000\t0\n"
									 "eth0\t00000000\t0\t3\t0\t0\t100\t00000000\t0\n"
									 "tun0\t00000000\t0\t3\t0\t0\t1\t00000080\t0\n"),
							&name));
	assert_true(slice_equals(name, "eth0"));
	assert_false(parse_default_route(slice_of(""), &name));
}

/* Every parser on every prefix of every sample, and on bytes that are none of it: ends, and touches nothing outside. */
static void
cut_and_random_text(void **state)
{
	static const char *const samples[] = {"cpu  10 1 5 100 7 2 3 4 50 60\ncpu0 5 1 2 50\n",
										  "MemTotal: 1 kB\nMemFree: 99999999999999999999 kB\n",
										  "  eth0: 100 2 3 4 0 0 0 0 200 5 6 7 0 0 0 0\n",
										  "Tcp: OutSegs RetransSegs\nTcp: 1 2\n",
										  "   8 0 sda 1 2 300 4 5 6 700 8 0 42 11\n",
										  "some avg10=0.00 total=123\n",
										  "42 (a) Z) S 1 42",
										  "eth0\t00000000\t0\t3\t0\t0\t1\t00000000\t0\n"};
	unsigned seed = 1;

	for (size_t i = 0; i < sizeof samples / sizeof samples[0] + 200; i++) {
		size_t len = i < 8 ? strlen(samples[i]) : 64;
		for (size_t cut = 0; cut <= len; cut++) {
			char *copy = malloc(cut + 1); /* the exact size: a byte too far is seen by valgrind and ASan */
			for (size_t k = 0; k < cut; k++)
				copy[k] = i < 8 ? samples[i][k] : (char) ((seed = seed * 1103515245 + 12345) >> 16);
			struct slice s = {copy, copy + cut}, rest;
			struct cpu_times cpu;
			struct memory_info memory;
			struct vm_counters vm;
			struct tcp_counters tcp;
			struct file_handles files;
			struct net_counters net;
			struct disk_counters disk;
			double load[3];
			parse_stat(s, &cpu);
			parse_meminfo(s, &memory);
			parse_vmstat(s, &vm);
			parse_snmp(s, &tcp);
			parse_file_nr(s, &files);
			parse_loadavg(s, load);
			parse_uptime(s);
			parse_pressure_some(s);
			parse_number(s);
			parse_pid_state(s);
			parse_default_route(s, &rest);
			rest = s;
			while (next_net_dev(&rest, &net))
				;
			rest = s;
			while (next_diskstat(&rest, &disk))
				;
			free(copy);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_counts_cores_and_takes_the_total_line),
		cmocka_unit_test(stat_of_an_old_kernel_has_fewer_columns),
		cmocka_unit_test(stat_that_is_none),
		cmocka_unit_test(meminfo_by_name_in_any_order),
		cmocka_unit_test(missing_memavailable_is_computed_without_underflow),
		cmocka_unit_test(net_dev_with_and_without_a_blank_after_the_colon),
		cmocka_unit_test(snmp_by_column_name),
		cmocka_unit_test(diskstats_of_three_kernels),
		cmocka_unit_test(pid_stat_goes_by_the_last_parenthesis),
		cmocka_unit_test(small_files),
		cmocka_unit_test(default_route_with_the_lowest_metric),
		cmocka_unit_test(cut_and_random_text),
	};
	return TESTS(tests);
}
