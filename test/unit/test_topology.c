/* test_topology.c: topology.h: bonds, bridges, containers, LVM, RAID: nothing counts twice. */
#include "unit.h"

#include "common/strbuf.h"
#include "core/procfs.h"
#include "core/topology.h"

static struct topology t;

static void
choose(const char *scan, const char *route)
{
	choose_topology(slice_of(scan), slice_of(route), &t);
}

static void
bond_vlan_bridge_and_containers_count_once(void **state)
{
	choose(
		"net lo 1 - o\nnet eth0 2 10000 d\nnet eth1 3 10000 d\nnet bond0 4 20000 l\nnet bond0.10 5 20000 l\n"
		"net hv0 11 10000 dl\nnet br0 6 - lb\nnet docker0 7 - b\nnet veth1a 8 10000 v\nnet wg0 9 - t\nnet "
		"dummy0 10 - -\n",
		"br0");
	assert_int_equal(t.nics, 2);
	assert_int_equal(topology_nic(&t, slice_of("eth0")), 0);
	assert_int_equal(topology_nic(&t, slice_of("eth1")), 1);
	assert_int_equal(topology_nic(&t, slice_of("bond0")), -1);
	assert_int_equal(topology_nic(&t, slice_of("hv0")), -1); /* hardware on hardware: Hyper-V */
	assert_int_equal(t.nic[0].ifindex, 2);
	assert_int_equal(t.nic[0].speed_mbit, 10000);
}

static void
in_a_container_the_default_route_decides(void **state)
{
	choose("net lo 1 - o\nnet eth0 12 10000 v\nnet eth1 14 10000 v\n", "eth0");
	assert_int_equal(t.nics, 1);
	assert_string_equal(t.nic[0].name, "eth0");
}

static void
without_a_route_what_is_no_known_layer(void **state)
{
	choose("net lo 1 - o\nnet venet0 2 -1 -\nnet tun0 3 10 t\nnet br0 4 - b\n", "");
	assert_int_equal(t.nics, 1);
	assert_string_equal(t.nic[0].name, "venet0");
	assert_int_equal(t.nic[0].speed_mbit, UNKNOWN);
	choose("net lo 1 - o\n", "");
	assert_false(t.nics_known);
}

static void
disks_without_layers_partitions_and_toys(void **state)
{
	choose("block sda -\nblock sdb -\nblock dm-0 s\nblock md0 s\nblock loop0 -\nblock zram0 -\nblock sr0 "
		   "-\nblock fd0 -\n"
		   "block ram15 -\nblock nvme0n1 -\nblock dm-9 -\n",
		   "");
	assert_int_equal(t.disks, 4);
	assert_true(topology_disk(&t, slice_of("sda")));
	assert_true(topology_disk(&t, slice_of("nvme0n1")));
	assert_true(topology_disk(&t, slice_of("dm-9"))); /* on nothing that is counted */
	assert_false(topology_disk(&t, slice_of("sda1")));
	assert_false(topology_disk(&t, slice_of("dm-0")));
}

static void
disks_by_name_where_sysfs_is_silent(void **state)
{
	static const char *const whole[] = {"sda",      "vdb",     "xvda", "nvme0n1",
										"nvme10n2", "mmcblk0", "nbd0", "sdram"};
	static const char *const part[] = {"sda1",  "vdb12", "nvme0n1p1", "mmcblk0p2", "loop3", "ram0",
									   "zram1", "sr0",   "fd0",       "dm-0",      "md127", ""};

	choose("", "");
	assert_false(t.disks_known);
	for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
		if (!topology_disk(&t, slice_of(whole[i])))
			fail_msg("%s is a whole disk", whole[i]);
	for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
		if (topology_disk(&t, slice_of(part[i])))
			fail_msg("%s is no whole disk", part[i]);
}

static void
too_many_are_not_silently_fewer(void **state)
{
	struct strbuf scan = STRBUF_INIT;

	for (int i = 0; i <= MAX_NICS; i++)
		strbuf_printf(&scan, "net p%d %d 1000 d\n", i, i + 1);
	choose(scan.data, "");
	assert_true(t.too_many);
	assert_int_equal(t.nics, MAX_NICS);
	strbuf_reset(&scan);
	for (int i = 0; i <= MAX_DISKS; i++)
		strbuf_printf(&scan, "block sd%d -\n", i);
	choose(scan.data, "");
	assert_true(t.too_many);
	strbuf_free(&scan);
}

static void
broken_lines(void **state)
{
	choose("net\nnet eth0\nnet eth0 x - d\nnet averyveryverylongname 3 - d\nblock\nblock sda\n\nnonsense\n",
		   "");
	assert_int_equal(t.nics, 0);
	assert_int_equal(t.disks, 0);
}

static void
every_interface_but_the_loopback_and_ends_of_pairs_has_a_line(void **state)
{
	static const char scan[] =
		"net lo 1 - o\nnet eth0 2 1000 d\nnet bond0 4 - l\nnet veth1 8 10000 v\nnet wg0 9 - t\n"
		"net br0 6 - b\nnonsense\nnet much-too-long-for-a-name 7 - -\nblock sda -\n";
	struct counted_nic nic[8];

	assert_int_equal(list_nics(slice_of(scan), slice_of(""), nic, 8), 4);
	assert_string_equal(nic[0].name, "eth0");
	assert_int_equal(nic[0].ifindex, 2);
	assert_int_equal(nic[0].speed_mbit, 1000);
	assert_int_equal(nic[1].speed_mbit, UNKNOWN);
	assert_string_equal(nic[3].name, "br0");
	/* Inside a container the end of a pair is the interface that there is. */
	assert_int_equal(list_nics(slice_of(scan), slice_of("veth1"), nic, 8), 5);
	assert_int_equal(list_nics(slice_of(scan), slice_of("veth1"), nic, 2), 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interface_but_the_loopback_and_ends_of_pairs_has_a_line),
		cmocka_unit_test(bond_vlan_bridge_and_containers_count_once),
		cmocka_unit_test(in_a_container_the_default_route_decides),
		cmocka_unit_test(without_a_route_what_is_no_known_layer),
		cmocka_unit_test(disks_without_layers_partitions_and_toys),
		cmocka_unit_test(disks_by_name_where_sysfs_is_silent),
		cmocka_unit_test(too_many_are_not_silently_fewer),
		cmocka_unit_test(broken_lines),
	};
	return TESTS(tests);
}
