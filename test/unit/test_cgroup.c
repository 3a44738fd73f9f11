/* test_cgroup.c: cgroup.h: names of container managers, files of both versions, what is missing stays unknown. */
#include "unit.h"

#include "core/cgroup.h"
#include "core/procfs.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct cgroup_name n;

static void
expect(const char *path, enum cgroup_sort sort, const char *runtime, const char *name, const char *id)
{
	enum cgroup_sort actual = cgroup_identify(path, &n);
	if (actual != sort)
		fail_msg("%s is of sort %d", path, actual);
	if (sort != CGROUP_CONTAINER && sort != CGROUP_SERVICE)
		return;
	assert_string_equal(n.runtime, runtime);
	assert_string_equal(n.name, name);
	assert_string_equal(n.id, id);
}

static void
names_of_container_managers(void **state)
{
	static const char id[] = "0123456789ab";
	expect("system.slice/docker-" ID ".scope", CGROUP_CONTAINER, "docker", id, id);
	expect("docker/" ID, CGROUP_CONTAINER, "docker", id, id);
	expect("machine.slice/libpod-" ID ".scope", CGROUP_CONTAINER, "podman", id, id);
	expect("machine.slice/libpod-conmon-" ID ".scope", CGROUP_IGNORED, "", "", "");
	expect("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", CGROUP_CONTAINER,
		   "podman", id, id);
	expect("libpod_parent/libpod-" ID, CGROUP_CONTAINER, "podman", id, id);
	expect("kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope", CGROUP_CONTAINER, "containerd",
		   id, id);
	expect("kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope", CGROUP_CONTAINER, "crio", id, id);
	expect("kubepods/burstable/podx/" ID, CGROUP_CONTAINER, "kubernetes", id, id);
	expect("lxc.payload.web", CGROUP_CONTAINER, "lxc", "web", "");
	expect("lxc/web", CGROUP_CONTAINER, "lxc", "web", "");
	expect("lxc.monitor.web", CGROUP_IGNORED, "", "", "");
	expect("machine.slice/machine-qemu\\x2d1\\x2ddb.scope", CGROUP_CONTAINER, "machine", "qemu-1-db", "");
	expect("system.slice/nginx.service", CGROUP_SERVICE, "systemd", "nginx.service", "");
	expect("system.slice/system-getty.slice/getty@tty1.service", CGROUP_SERVICE, "systemd",
		   "getty@tty1.service", "");
}

static void
what_is_none_may_hold_some(void **state)
{
	expect("system.slice", CGROUP_OTHER, "", "", "");
	expect("user.slice/user-0.slice/user@0.service", CGROUP_OTHER, "", "", "");
	expect("user.slice/user-0.slice/session-1.scope", CGROUP_IGNORED, "", "", "");
	expect("init.scope", CGROUP_IGNORED, "", "", "");
	expect("lxc.payload.", CGROUP_OTHER, "", "", "");
	expect("", CGROUP_OTHER, "", "", "");
	/* A name is shown to people and stored in a database. */
	expect("lxc.payload.\x1b[2J\xff", CGROUP_CONTAINER, "lxc", "?[2J?", "");
	expect("machine.slice/machine-\\x1b\\x00x.scope", CGROUP_CONTAINER, "machine", "?", "");
}

static struct cgroup_counters c;

static void
parse(enum cgroup_file file, const char *text)
{
	cgroup_parse(file, slice_of(text), &c);
}

static void
files_of_version_2(void **state)
{
	c = cgroup_unknown;
	parse(CGROUP_CPU_STAT,
		  "usage_usec 123456\nuser_usec 1\nsystem_usec 2\nnr_periods 0\nnr_throttled 3\nthrottled_usec "
		  "77\n");
	parse(CGROUP_MEMORY_CURRENT, "1000\n");
	parse(CGROUP_MEMORY_STAT, "anon 5\nfile 6\ninactive_anon 1\ninactive_file 300\n");
	parse(CGROUP_MEMORY_MAX, "max\n");
	parse(CGROUP_SWAP_CURRENT, "4096\n");
	parse(CGROUP_MEMORY_EVENTS, "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
	parse(CGROUP_IO_STAT,
		  "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n254:0 rbytes=1 wbytes=2 rios=1\n");
	parse(CGROUP_PIDS_CURRENT, "7\n");
	assert_int_equal(c.usage_us, 123456);
	assert_int_equal(c.throttled_us, 77);
	assert_near(cgroup_working_set(&c), 700);
	assert_int_equal(c.memory_limit, UNKNOWN);
	assert_int_equal(c.swap, 4096);
	assert_int_equal(c.oom_kills, 1);
	assert_int_equal(c.read_bytes, 101);
	assert_int_equal(c.write_bytes, 22);
	assert_int_equal(c.pids, 7);
	parse(CGROUP_MEMORY_MAX, "536870912\n");
	assert_int_equal(c.memory_limit, 536870912);
}

static void
files_of_version_1(void **state)
{
	c = cgroup_unknown;
	parse(CGROUP_V1_USAGE, "123456789\n");
	parse(CGROUP_V1_CPU_STAT, "nr_periods 1\nnr_throttled 1\nthrottled_time 5000\n");
	parse(CGROUP_V1_MEMORY, "1000\n");
	parse(CGROUP_V1_MEMORY_STAT, "cache 1\ninactive_file 900\ntotal_inactive_file 2000\ntotal_swap 3\n");
	parse(CGROUP_V1_MEMORY_LIMIT, "9223372036854771712\n");
	parse(CGROUP_V1_OOM_CONTROL, "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
	parse(CGROUP_V1_IO, "8:0 Read 100\n8:0 Write 20\n8:0 Sync 3\n8:16 Read 1\nTotal 124\n");
	assert_int_equal(c.usage_us, 123456);
	assert_int_equal(c.throttled_us, 5);
	assert_near(cgroup_working_set(&c), 0); /* never below nothing */
	assert_int_equal(c.memory_limit, UNKNOWN);
	assert_int_equal(c.swap, 3);
	assert_int_equal(c.oom_kills, 4);
	assert_int_equal(c.read_bytes, 101);
	assert_int_equal(c.write_bytes, 20);
}

static void
nonsense_is_unknown(void **state)
{
	for (int f = 0; f < CGROUP_FILES; f++) {
		c = cgroup_unknown;
		parse((enum cgroup_file) f, "");
		parse((enum cgroup_file) f, "nonsense -5\nusage_usec x\n8:0 rbytes=x Read\n");
		assert_memory_equal(&c, &cgroup_unknown, sizeof c);
	}
	assert_unknown(cgroup_working_set(&c));
}

static void
a_counter_that_goes_backwards_is_a_new_baseline(void **state)
{
	struct cgroup_counters a = cgroup_unknown, b = cgroup_unknown;
	assert_unknown(cgroup_cores_used(&a, &b, 1000000));
	a.usage_us = 1000000;
	b.usage_us = 2500000;
	assert_near(cgroup_cores_used(&a, &b, 1000000), 1.5);
	assert_unknown(cgroup_cores_used(&b, &a, 1000000));
	assert_unknown(cgroup_cores_used(&a, &b, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_container_managers),
		cmocka_unit_test(what_is_none_may_hold_some),
		cmocka_unit_test(files_of_version_2),
		cmocka_unit_test(files_of_version_1),
		cmocka_unit_test(nonsense_is_unknown),
		cmocka_unit_test(a_counter_that_goes_backwards_is_a_new_baseline),
	};
	return TESTS(tests);
}
