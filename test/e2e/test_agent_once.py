"""obs-agent --once: the numbers of this machine against what its own tools say, and of machines made of text."""

import json
import os
import re
import shutil
import subprocess

import pytest

from proctree import RECORDED, ProcTree, sample


def machine_sample(run_agent):
    agent = run_agent("--once", "--json")
    assert agent.wait(20) == 0, agent.stderr()
    return json.loads(agent.stdout())


def meminfo():
    with open("/proc/meminfo", encoding="ascii") as file:
        return {line.split(":")[0]: int(line.split()[1]) for line in file}


# --- this machine -------------------------------------------------------------------------------------------------------


def test_memory_is_what_free_says(run_agent):
    def used():
        return int(subprocess.run(["free", "-m"], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()[2])

    before, got, after = used(), machine_sample(run_agent), used()
    total = meminfo()["MemTotal"] / 1024
    # Others come and go meanwhile.
    slack = max(200, 0.1 * before)
    assert min(before, after) - slack < got["memory_mb"] < max(before, after) + slack
    assert got["memory_mb"] + got["memory_available_mb"] == pytest.approx(total, rel=1e-4)
    assert got["memory_percent"] == pytest.approx(100 * got["memory_mb"] / total, rel=1e-3)


def test_disk_is_what_df_says(run_agent):
    got = machine_sample(run_agent)
    line = subprocess.run(["df", "-P", "-B1", "/"], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()
    assert abs(got["disk_percent"] - int(line[4].rstrip("%"))) <= 1
    assert got["disk_gb"] == pytest.approx(int(line[2]) / 2**30, abs=0.5)
    root = [fs for fs in got["filesystems"] if fs["path"] == "/"]
    assert len(root) == 1 and root[0]["used_percent"] == got["disk_percent"]
    inodes = os.statvfs("/")
    if inodes.f_files:
        used = inodes.f_files - inodes.f_ffree
        assert got["inode_percent"] == pytest.approx(100 * used / (used + inodes.f_favail), abs=0.5)


def test_load_cores_uptime_processes(run_agent):
    got = machine_sample(run_agent)
    load = os.getloadavg()
    for column, value in zip(("load_avg_1m", "load_avg_5m", "load_avg_15m"), load):
        assert got[column] == pytest.approx(value, abs=0.5)
    assert got["cpu_cores"] == os.cpu_count()
    with open("/proc/uptime", encoding="ascii") as file:
        assert got["uptime_seconds"] == pytest.approx(float(file.read().split()[0]), abs=10)
    assert got["processes"] == pytest.approx(sum(name.isdigit() for name in os.listdir("/proc")), abs=30)
    assert 900 <= got["interval_ms"] <= 5000


def test_cpu_sees_a_core_that_burns(run_agent):
    with subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"]) as burner:
        try:
            got = machine_sample(run_agent)
        finally:
            burner.kill()
    # Half of one core at least, whatever else this machine does.
    assert got["cpu_percent"] >= 50 / os.cpu_count()
    assert 0 <= got["cpu_percent"] + got["cpu_iowait_percent"] + got["cpu_steal_percent"] <= 100.01


def test_table_for_people(run_agent):
    agent = run_agent("--once")
    assert agent.wait(20) == 0
    out = agent.stdout()
    for word in ("CPU busy", "memory used", "disk used on /", "filesystem", "cpu_percent"):
        assert word in out
    assert re.search(r"^  / +\S+ +[\d.]+ +[\d.]+ +\d+", out, re.M)


# --- recorded and made-up machines --------------------------------------------------------------------------------------


def field(path, line, column):
    """Number in a column of the first line that begins with a word."""
    for text in (path).read_text().splitlines():
        words = text.replace(":", ": ").split()
        if words and words[0] in (line, line + ":") or len(words) > 2 and words[2] == line:
            return int(words[column])
    raise AssertionError(f"{line} is not in {path}")


def test_recorded_sequence(run_agent, tmp_path):
    """Two readings of a real machine: every rate computed a second time, here."""
    tree = ProcTree(tmp_path / "t")
    tree.nic("lo", 1, kind="772")
    tree.nic("ifb0", 2)
    tree.nic("eth0", 4, hardware=True)
    tree.block("vda")
    tree.block("loop0")
    _, switch = tree.next_generation(RECORDED / "2")
    got = sample(run_agent, tree, then=switch)
    seconds = got["interval_ms"] / 1000

    def rate(file, line, column):
        return (field(RECORDED / "2" / file, line, column) - field(RECORDED / "1" / file, line, column)) / seconds

    def cpu(generation):
        line = (RECORDED / generation / "stat").read_text().splitlines()[0].split()[1:9]
        return [int(n) for n in line]

    part = [b - a for a, b in zip(cpu("1"), cpu("2"))]
    assert got["cpu_percent"] == pytest.approx(100 * (part[0] + part[1] + part[2] + part[5] + part[6]) / sum(part), rel=1e-4)
    assert got["cpu_iowait_percent"] == pytest.approx(100 * part[4] / sum(part), rel=1e-4)
    assert got["cpu_steal_percent"] == pytest.approx(100 * part[7] / sum(part), rel=1e-4)
    assert got["net_rx_bps"] == pytest.approx(rate("net/dev", "eth0", 1), rel=2e-3, abs=1)
    assert got["net_tx_bps"] == pytest.approx(rate("net/dev", "eth0", 9), rel=2e-3, abs=1)
    assert got["disk_write_bps"] == pytest.approx(rate("diskstats", "vda", 9) * 512, rel=2e-3)
    assert got["disk_read_bps"] == pytest.approx(rate("diskstats", "vda", 5) * 512, rel=2e-3)
    assert got["disk_percent"] == 64  # 600000 of 950000, rounded up
    assert got["inode_percent"] == 50
    assert got["swap_percent"] is None  # that machine has none


def test_bond_vlan_and_bridge_count_once(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.nic("lo", 1, kind="772")
    tree.nic("eth0", 2, hardware=True)
    tree.nic("eth1", 3, hardware=True)
    tree.nic("bond0", 4, lower=("eth0", "eth1"), extra=("bonding",))
    tree.nic("bond0.10", 5, lower=("bond0",), iflink=4)
    tree.nic("br0", 6, lower=("bond0.10",), extra=("bridge",))
    tree.nic("veth7", 8, iflink=9)
    tree.nic("wg0", 10, kind="65534")
    all_of = ("lo", "eth0", "eth1", "bond0", "bond0.10", "br0", "veth7", "wg0")
    tree.write("net/dev", tree.net_dev(**{name: 0 for name in all_of}))
    fresh, switch = tree.next_generation(None)
    (fresh / "net/dev").write_text(tree.net_dev(**{name: 1_000_000 for name in all_of}))
    got = sample(run_agent, tree, then=switch)
    assert got["net_rx_bps"] == pytest.approx(2_000_000 / (got["interval_ms"] / 1000), rel=2e-3)
    assert got["net_tx_bps"] == pytest.approx(1_000_000 / (got["interval_ms"] / 1000), rel=2e-3)


def test_disks_under_lvm_raid_and_partitions_count_once(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    for name, slaves in (("sda", ()), ("sdb", ()), ("md0", ("sda1", "sdb1")), ("dm-0", ("md0",)), ("loop0", ()), ("sr0", ())):
        tree.block(name, slaves)
    all_of = ("sda", "sda1", "sdb", "sdb1", "md0", "dm_0", "loop0", "sr0")
    tree.write("diskstats", tree.diskstats(**{name: 2**32 - 100 for name in all_of}))
    fresh, switch = tree.next_generation(None)
    # The milliseconds pass 2^32, the sectors do not stop there.
    (fresh / "diskstats").write_text(tree.diskstats(**{name: 2**32 + 100 for name in all_of}))
    got = sample(run_agent, tree, then=switch)
    seconds = got["interval_ms"] / 1000
    assert got["disk_read_bps"] == pytest.approx(2 * 200 * 512 / seconds, rel=2e-3)
    assert got["disk_write_bps"] == pytest.approx(2 * 400 * 512 / seconds, rel=2e-3)
    assert got["disk_busy_percent"] == pytest.approx(200 / seconds / 10, rel=2e-3)


def test_lxc_counts_the_interface_of_the_default_route(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.nic("lo", 1, kind="772")
    tree.nic("eth0", 12, iflink=13)
    tree.nic("eth1", 14, iflink=15)
    tree.write("net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth1\t00000000\t0\t3\t0\t0\t0\t00000000\n")
    tree.write("net/dev", tree.net_dev(lo=0, eth0=0, eth1=0))
    for name in ("cpu", "memory", "io"):
        tree.write(f"pressure/{name}", None)
    fresh, switch = tree.next_generation(None)
    (fresh / "net/dev").write_text(tree.net_dev(lo=9_000_000, eth0=9_000_000, eth1=500_000))
    got = sample(run_agent, tree, then=switch)
    assert got["net_rx_bps"] == pytest.approx(500_000 / (got["interval_ms"] / 1000), rel=2e-3)
    assert got["psi_cpu"] is None and got["psi_memory"] is None and got["psi_io"] is None


def test_counters_that_begin_again_are_unknown_not_zero(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.nic("eth0", 2, hardware=True)
    tree.block("sda")
    tree.write("net/dev", tree.net_dev(eth0=10**15))
    tree.write("diskstats", tree.diskstats(sda=10**9))
    tree.write("stat", "cpu 100 0 100 100000 0 0 0 0\ncpu0 100 0 100 100000 0 0 0 0\n")
    fresh, switch = tree.next_generation(None)
    (fresh / "net/dev").write_text(tree.net_dev(eth0=1000))
    (fresh / "diskstats").write_text(tree.diskstats(sda=10))
    (fresh / "stat").write_text("cpu 200 0 100 50000 0 0 0 0\ncpu0 200 0 100 50000 0 0 0 0\n")
    got = sample(run_agent, tree, then=switch)
    for column in ("net_rx_bps", "net_tx_bps", "disk_read_bps", "disk_write_bps", "disk_busy_percent", "cpu_percent"):
        assert got[column] is None, column
    assert got["memory_percent"] is not None


def test_old_kernel_without_memavailable(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.write("meminfo", "MemTotal: 1024000 kB\nMemFree: 204800 kB\nBuffers: 51200 kB\nCached: 256000 kB\n")
    got = sample(run_agent, tree)
    assert got["memory_available_mb"] == 500
    assert got["memory_percent"] == 50


def test_processes_and_zombies(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.write("100/stat", "100 (a) b) S 1 100\n")
    tree.write("101/stat", "101 (Z) R 1 101\n")
    tree.write("102/stat", b"102 (\xff\n) Z 1 102\n")
    tree.write("notapid/stat", "x")
    got = sample(run_agent, tree)
    assert (got["processes"], got["zombies"]) == (3, 1)


def test_hostile_mount_names(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.write("1/mountinfo", b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /my\\040disk\\011x rw - xfs /dev/b rw\n"
               b"3 1 8:3 / /\xff\xfe\\033[31m rw - ext4 /dev/c rw\nnonsense\n")
    (tree.dir / "statvfs").write_bytes(b"/ 4096 100 50 50 0 0 0\n/my\\040disk\\011x 1024 100 0 0 0 0 0\n/\xff\xfe\\033[31m 1024 0 0 0 0 0 0\n")
    got = sample(run_agent, tree)
    paths = {fs["path"]: fs for fs in got["filesystems"]}
    assert set(paths) == {"/", "/my disk?x", "/???[31m"}
    assert paths["/my disk?x"]["used_percent"] == 100
    assert paths["/???[31m"]["used_percent"] is None  # no blocks
    assert got["inode_percent"] is None


def test_hung_mount_costs_its_numbers_only(run_agent, tmp_path):
    """A FIFO in place of the numbers hangs whoever opens it, as a dead NFS server does."""
    tree = ProcTree(tmp_path / "t")
    (tree.dir / "statvfs").unlink()
    os.mkfifo(tree.dir / "statvfs")
    got = sample(run_agent, tree)
    assert got["disk_percent"] is None and got["disk_gb"] is None and got["inode_percent"] is None
    assert got["memory_percent"] is not None
    assert got["filesystems"][0]["problem"] == "does not answer"


def test_truncated_garbage_and_empty_files(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    for path in (tree.dir / "proc").rglob("*"):
        if path.is_file() and path.name != "file-nr":
            path.write_bytes(b"\xff\x00\n" * 5000 if path.name == "stat" else b"")
    got = sample(run_agent, tree)
    assert got["cpu_percent"] is None and got["memory_percent"] is None and got["load_avg_1m"] is None
    shutil.rmtree(tree.dir / "sys")
    assert sample(run_agent, tree)["net_rx_bps"] is None


def test_a_file_larger_than_the_buffer(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    cores = "".join(f"cpu{i} {i} 0 0 {i * 1000} 0 0 0 0 0 0\n" for i in range(700))
    tree.write("stat", f"cpu 1 0 1 1000 0 0 0 0 0 0\n{cores}intr {'0 ' * 50000}\n")
    assert sample(run_agent, tree)["cpu_cores"] == 700


def test_proc_root_without_proc_inside(run_agent, tmp_path):
    shutil.copytree(RECORDED / "1", tmp_path / "flat")
    (tmp_path / "flat/statvfs").write_text("/ 1024 1000 500 500 10 5 5\n")
    agent = run_agent("--once", "--json", "--proc-root", tmp_path / "flat", "--vps-name", "flat")
    assert agent.wait(20) == 0
    assert json.loads(agent.stdout())["disk_percent"] == 50
    agent = run_agent("--once", "--proc-root", tmp_path)
    assert agent.wait(20) == 1 and "not a /proc" in agent.stderr()
