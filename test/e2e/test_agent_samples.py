"""obs-agent and labelled metrics: exporters, StatsD, filesystems, interfaces, containers, units, peers, from file or socket to table.

What belongs here: what stands in the database afterwards. What does not: formats (test/unit), how rows are delivered.
"""

import contextlib
import math
import os
import shutil
import signal
import socket
import stat
import sys

import pytest

from agent_config import INTERVAL, Setup
from beside import Pages
from harness import Agent, wait_until
from proctree import ProcTree

SERVER = {"preload": False, "tcp": True}
DEADLINE = 3 * INTERVAL
NOTHING = "  collect: {containers: false, disks: false, interfaces: false, units: false, peers: false}\n"


class Collector:
    """An agent with a configuration of its own, and what it has written."""

    def __init__(self, server, db, directory, run_agent):
        self.server, self.db, self.run_agent = server, db, run_agent
        self.setup = Setup(directory, server.url(db))
        self.agent = None

    def configure(self, extra):
        """The configuration but for its last lines."""
        self.setup.write(self.server.url(self.db))
        with open(self.setup.config, "a", encoding="ascii") as file:
            file.write(extra)

    def start(self, extra, *args, **options):
        self.configure(extra)
        self.agent = self.run_agent(*self.setup.args(*args), **options)
        return self.agent

    def reload(self, extra=None):
        if extra is not None:
            self.configure(extra)
        self.agent.signal(signal.SIGHUP)

    def samples(self, name, /, **labels):
        """Values of a metric in order of time, of the series with these labels (at least); an end mark is None."""
        rows = self.server.sql(self.db, "SELECT labels, value FROM observ.metric_samples WHERE metric_name = %s AND vps_name = 'test-vps' ORDER BY timestamp", (name,))
        return [None if math.isnan(v) else v for have, v in rows if labels.items() <= have.items()]

    def wait_for(self, name, values, /, deadline=DEADLINE, **labels):
        """Waits until a metric has had these values."""
        try:
            wait_until(lambda: self.samples(name, **labels) == values, deadline, f"{name} {labels} = {values}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.samples(name, **labels)}\n{self.agent.stderr()}") from None

    def wait_for_some(self, name, /, count=1, deadline=DEADLINE, **labels):
        """Waits until a metric has so many samples at least; returns them."""
        try:
            wait_until(lambda: len(self.samples(name, **labels)) >= count, deadline, f"{count} samples of {name} {labels}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.agent.stderr()}") from None
        return self.samples(name, **labels)

    def labels(self, name):
        return [row for row, in self.server.sql(self.db, "SELECT labels FROM observ.metric_series WHERE metric_name = %s ORDER BY labels::text", (name,))]

    def kind(self, name):
        return self.server.value(self.db, "SELECT string_agg(DISTINCT kind::text, ',') FROM observ.metric_series WHERE metric_name = %s", (name,))


@pytest.fixture
def collector(server, observ_db, tmp_path, run_agent):
    return Collector(server, observ_db, tmp_path, run_agent)


@pytest.fixture
def tree(tmp_path):
    return ProcTree(tmp_path / "tree")


# --- exporters ----------------------------------------------------------------------------------------------------------


class Exporter(Pages):
    """An exporter whose answer is `body`, with `status`."""

    def __init__(self, body):
        super().__init__()
        self.body, self.status, self.asked, self.accept = body, 200, 0, None

    def answer(self, headers):
        self.asked += 1
        self.accept = headers["Accept"]
        return self.status, self.body if isinstance(self.body, bytes) else self.body.encode()


@pytest.fixture
def exporter():
    e = Exporter("")
    yield e
    e.close()


def scrape_config(exporter, more=""):
    return NOTHING + f"  scrape:\n    - url: {exporter.url}\n      job: shop\n      interval: 1\n{more}"


def test_scrape(collector, exporter):
    exporter.body = ('# HELP requests_total Requests\n# TYPE requests_total counter\nrequests_total{code="200",path="/a\\"b\\\\c"} 1027\n'
                     'requests_total{code="200",path="/a\\"b\\\\c"} 5\n'
                     '# TYPE queue gauge\nqueue{job="mail",instance="x"} 17\nodd_total 3\n# TYPE temperature_sum gauge\ntemperature_sum 20.5\n'
                     'this is no sample\ninfinite +Inf\n{"utf-8 näme","a.b"="ü\\n"} 0.1\n')
    collector.start(scrape_config(exporter))
    instance = f"127.0.0.1:{exporter.port}"
    mine = {"job": "shop", "instance": instance, "layer": "application"}
    assert set(collector.wait_for_some("requests_total", code="200")) == {1027}
    assert collector.labels("requests_total") == [{**mine, "code": "200", "path": '/a"b\\c'}]
    assert collector.labels("queue") == [{**mine, "exported_job": "mail", "exported_instance": "x"}]
    assert collector.labels("utf-8 näme") == [{**mine, "a.b": "ü\n"}]
    assert collector.kind("requests_total") == "counter"
    assert collector.kind("queue") == collector.kind("temperature_sum") == "gauge"
    assert set(collector.samples("infinite")) == {math.inf}
    assert set(collector.samples("utf-8 näme")) == {0.1}
    # About the scrape itself; the line that is none and the one that came twice are errors.
    assert set(collector.samples("up", **mine)) == {1}
    assert set(collector.samples("scrape_samples_scraped")) == {7}
    assert all(0 <= s < 5 for s in collector.samples("scrape_duration_seconds"))
    assert collector.samples("observ_scrape_errors_total")[0] == 2
    assert "text/plain;version=0.0.4" in exporter.accept
    assert "this is no sample" in collector.agent.stderr()
    assert collector.agent.stop(5) == 0


def test_a_series_that_vanishes_ends_once_and_may_come_back(collector, exporter):
    exporter.body = "stays 1\ngoes 2\n"
    collector.start(scrape_config(exporter))
    wait_until(lambda: exporter.asked >= 2, 10, "two scrapes")
    exporter.body = "stays 1\n"
    asked = exporter.asked
    wait_until(lambda: exporter.asked >= asked + 3, 10, "three more")
    exporter.body = "stays 1\ngoes 3\n"
    asked = exporter.asked
    wait_until(lambda: exporter.asked >= asked + 2, 10, "two more")
    assert collector.agent.stop(5) == 0
    goes = collector.samples("goes")
    assert goes.count(None) == 1
    assert [v for i, v in enumerate(goes) if i == 0 or v != goes[i - 1]] == [2, None, 3]
    assert set(collector.samples("stays")) == {1}


def test_a_target_that_is_down(collector, exporter):
    exporter.body = "a 1\n"
    collector.start(scrape_config(exporter))
    wait_until(lambda: exporter.asked >= 2, 10, "two scrapes")
    exporter.status = 503
    collector.agent.wait_for_stderr("status 503")
    # Three failures in a row open the breaker: it is asked no more, but each slot is told as down.
    wait_until(lambda: len(collector.samples("up")) - collector.samples("up").count(1) >= 6, DEADLINE, "six slots down")
    asked = exporter.asked
    assert collector.agent.stop(5) == 0
    assert asked <= collector.samples("up").count(1) + 4
    a = collector.samples("a")
    assert a[-1] is None and a.count(None) == 1 and set(a[:-1]) == {1}
    assert collector.agent.stderr().count("scrape of") == 1


def test_answers_that_are_none(collector, exporter):
    exporter.body = "<html>\n<body>It works!</body>\n</html>\n"
    collector.start(scrape_config(exporter))
    collector.agent.wait_for_stderr("the answer is no Prometheus text")
    exporter.body = "a 1\n" + "#" * 1024 * 1024
    collector.agent.wait_for_stderr("longer than 1 MB")
    assert collector.agent.stop(5) == 0
    assert set(collector.samples("up")) == {0}
    assert collector.samples("a") == []


def test_allow_deny_and_cap(collector, exporter):
    exporter.body = "".join(f'go_{i} 1\napp_{i} {i}\n' for i in range(20)) + "app_secret 1\nother 1\n" + "".join(f'wide{{n="{i}"}} 1\n' for i in range(50))
    collector.start(scrape_config(exporter, "      max_series: 40\n      layer: business\n      allow: [app_*, wide]\n      deny: [app_secret, app_1*]\n"))
    collector.wait_for_some("app_2")
    assert collector.agent.stop(5) == 0
    names = {name for name, in collector.server.sql(collector.db, "SELECT DISTINCT metric_name FROM observ.metric_series")}
    assert {n for n in names if n.startswith(("go", "app", "other"))} == {f"app_{i}" for i in range(20) if not str(i).startswith("1")}
    assert len(collector.labels("wide")) == 40 - 9
    assert {label["layer"] for label in collector.labels("wide")} == {"business"}
    assert "max_series (40)" in collector.agent.stderr()


def test_a_target_that_is_taken_out_of_the_configuration_ends(collector, exporter):
    exporter.body = "a 1\n"
    collector.start(scrape_config(exporter))
    wait_until(lambda: exporter.asked >= 2, 10, "two scrapes")
    collector.reload(NOTHING)
    collector.agent.wait_for_stderr("configuration read again")
    assert collector.agent.stop(5) == 0
    assert collector.samples("a")[-1] is None
    assert collector.samples("a")[0] == 1
    assert collector.samples("up")[-1] is None


# --- StatsD -------------------------------------------------------------------------------------------------------------


def send(path, *datagrams):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect(str(path))
        for datagram in datagrams:
            s.send(datagram if isinstance(datagram, bytes) else datagram.encode())


def statsd_config(path, more=""):
    return NOTHING + f"  statsd:\n    socket: {path}\n{more}"


def test_statsd(collector, tmp_path):
    path = tmp_path / "s.sock"
    collector.start(statsd_config(path))
    wait_until(path.exists, 10, "the socket")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    send(path, "orders:1|c\norders:2|c|#shop:north\norders:1|c|@0.1\n", "signups_total:4|c|#layer:business", "queue:17|g", "queue:-3|g",
         "users:anna|s\nusers:bob|s\nusers:anna|s", "latency:" + ":".join(str(i) for i in range(1, 101)) + "|ms|#layer:elsewhere",
         "nonsense\norders:x|c\nevil\x1b[2J:1|c", b"bytes\xff:1|c")
    # What an application counts before the first flush is an increase, from nothing.
    app = {"layer": "application"}
    wait_until(lambda: collector.samples("orders_total", **app)[:1] == [0] and len(collector.samples("users")) == 1, DEADLINE, "a flush")
    assert collector.labels("orders_total") == [app, {"layer": "application", "shop": "north"}]
    rows = collector.server.sql(collector.db, "SELECT labels ->> 'shop', value FROM observ.metric_samples WHERE metric_name = 'orders_total' ORDER BY timestamp, 1")
    assert sorted(rows, key=str) == sorted([(None, 0), ("north", 0), (None, 11), ("north", 2)], key=str)
    assert collector.samples("signups_total", layer="business") == [0, 4]
    assert collector.samples("queue") == [14]
    assert collector.samples("users") == [2]
    assert collector.kind("orders_total") == collector.kind("latency_count") == "counter"
    assert collector.kind("queue") == collector.kind("latency_max") == "gauge"
    timer = {"exported_layer": "elsewhere", **app}
    assert collector.samples("latency_count", **timer) == [0, 100]
    assert collector.samples("latency_sum", **timer) == [0, 5050]
    assert collector.samples("latency_min", **timer) == [1] and collector.samples("latency_max", **timer) == [100]
    assert [collector.samples("latency", quantile=q, **timer) for q in ("0.5", "0.95", "0.99")] == [[50], [95], [99]]
    assert collector.samples("observ_statsd_errors_total") == [4]
    # Totals go on; what is sent just before the end is flushed at the end.
    send(path, "orders:5|c")
    assert collector.agent.stop(5) == 0
    assert collector.samples("orders_total", **app)[-1] in (16, 2)
    assert 16 in collector.samples("orders_total", **app)
    assert not path.exists()


def test_statsd_socket_left_behind_is_replaced_but_nothing_else(collector, tmp_path, run_agent):
    path = tmp_path / "s.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.bind(str(path))
    collector.start(statsd_config(path))
    collector.agent.wait_for_stderr("another process receives there")
    left.close()
    wait_until(lambda: stat.S_IMODE(path.stat().st_mode) == 0o660, 20, "the agent's own socket")
    send(path, "a:1|g")
    assert collector.agent.stop(5) == 0
    assert collector.samples("a") == [1]
    path.write_text("precious")
    agent = collector.start(statsd_config(path))
    agent.wait_for_stderr("a file that is no socket")
    assert agent.stop(5) == 0
    assert path.read_text() == "precious"


def test_statsd_cap_of_series(collector, tmp_path):
    path = tmp_path / "s.sock"
    collector.start(statsd_config(path, "    max_series: 10\n"))
    wait_until(path.exists, 10, "the socket")
    send(path, *[f"c:1|c|#n:{i}" for i in range(30)])
    collector.wait_for("observ_statsd_left_out_total", [20])
    assert len(collector.labels("c_total")) == 10
    # Series that are known go on.
    send(path, "c:1|c|#n:3")
    assert collector.agent.stop(5) == 0
    assert collector.samples("c_total", n="3")[-1] == 2
    assert "max_series (10)" in collector.agent.stderr()


def test_statsd_storm_loses_no_count(collector, tmp_path):
    path = tmp_path / "s.sock"
    collector.start(statsd_config(path))
    wait_until(path.exists, 10, "the socket")
    send(path, *["\n".join(["hits:1|c", "time:3|ms", "who:me|s"] * 10)] * 2000)
    assert collector.agent.stop(5) == 0
    assert collector.samples("hits_total") == [0, 20000]
    assert collector.samples("time_count") == [0, 20000]


# --- the machine's parts ------------------------------------------------------------------------------------------------

MOUNTS = ("27 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw\n"
          "28 27 254:16 / /data ro,relatime shared:1 - xfs /dev/vdb rw\n"
          "29 27 0:30 / /mnt/nas\\040one rw - nfs4 nas:/one rw\n")


def only(source):
    return "  collect: {" + ", ".join(f"{name}: {str(name == source).lower()}" for name in ("containers", "disks", "interfaces", "units", "peers")) + "}\n"


def set_mounts(tree, text):
    tree.write("1/mountinfo", text)


def test_disks(collector, tree):
    set_mounts(tree, MOUNTS)
    (tree.dir / "statvfs").write_text("/ 4096 1000000 400000 350000 65536 32768 32768\n/data 1024 1000 100 50 0 0 0\n"
                                      "/mnt/nas\\040one 4096 100 100 100 10 10 10\n")
    collector.start(only("disks"), "--proc-root", tree.dir)
    collector.wait_for("disk_used_percent", [64], mount="/", fstype="ext4", device="/dev/vda1")
    assert collector.samples("disk_total_bytes", mount="/") == [4096000000]
    assert collector.samples("disk_used_bytes", mount="/") == [600000 * 4096]
    assert collector.samples("inode_percent", mount="/") == [50]
    assert collector.samples("disk_readonly", mount="/") == [0] and collector.samples("disk_readonly", mount="/data") == [1]
    assert collector.samples("disk_used_percent", mount="/data") == [95]
    assert collector.samples("inode_percent", mount="/data") == []
    assert collector.samples("disk_used_percent", mount="/mnt/nas one") == [0]
    assert set(collector.samples("disk_stale")) == {0}
    # observ.disk_forecast() knows these mounts.
    assert {m for m, in collector.server.sql(collector.db, "SELECT mount FROM observ.disk_forecast()")} >= {"/data", "/mnt/nas one"}
    # What is unmounted ends; what stays is read again.
    set_mounts(tree, MOUNTS.splitlines()[0] + "\n")
    collector.reload()
    collector.agent.wait_for_stderr("configuration read again")
    assert collector.agent.stop(5) == 0
    assert collector.samples("disk_used_percent", mount="/data") == [95, None]
    assert collector.samples("inode_percent", mount="/data") == []


def test_a_mount_that_hangs_is_stale_and_holds_up_nobody(collector, tree):
    set_mounts(tree, MOUNTS)
    (tree.dir / "statvfs").write_text("/ 4096 1000000 400000 350000 65536 32768 32768\n/mnt/nas\\040one 4096 100 50 50 10 10 10\n")
    os.mkfifo(tree.dir / "statvfs_data")
    collector.start(only("disks"), "--proc-root", tree.dir)
    collector.wait_for("disk_stale", [1], mount="/data")
    assert collector.samples("disk_used_percent", mount="/") == [64]
    assert collector.samples("disk_used_percent", mount="/mnt/nas one") == [50]
    assert collector.samples("disk_used_percent", mount="/data") == []
    assert "/data (xfs) does not answer" in collector.agent.stderr()
    # Another round does not ask it again.
    collector.reload()
    collector.wait_for("disk_used_percent", [64, 64], mount="/")
    assert collector.agent.stderr().count("/data (xfs) does not answer") == 1
    with open(tree.dir / "statvfs_data", "w", encoding="ascii") as fifo:
        fifo.write("/data 1024 1000 100 50 0 0 0\n")
    collector.agent.wait_for_stderr("the filesystem answers again")
    (tree.dir / "statvfs_data").unlink()
    (tree.dir / "statvfs").write_text("/ 4096 1000000 400000 350000 65536 32768 32768\n/data 1024 1000 100 50 0 0 0\n")
    collector.reload()
    collector.wait_for("disk_used_percent", [95], mount="/data")
    assert collector.samples("disk_stale", mount="/data") == [1, 0]
    assert collector.agent.stop(5) == 0


def test_interfaces(collector, tree):
    tree.nic("lo", 1, kind="772")
    tree.nic("eth0", 2, hardware=True)
    tree.nic("wg0", 3, kind="65534")
    tree.nic("veth1", 4, iflink=9)
    tree.write("net/dev", tree.net_dev(lo=5, eth0=1000, wg0=10, veth1=7))
    tree.write("net/route", "Iface Destination Gateway Flags RefCnt Use Metric Mask\n")
    collector.start(only("interfaces"), "--proc-root", tree.dir)
    wait_until(tree.watch("net/dev"), 10, "the first reading")
    collector.agent.wait_for_stderr("collecting")
    tree.write("net/dev", tree.net_dev(lo=5, eth0=1000 + 10**9, wg0=4, veth1=7))
    collector.reload()
    first = collector.wait_for_some("net_rx_bytes_per_s", device="eth0")
    assert first[0] > 10**6
    assert collector.samples("net_tx_bytes_per_s", device="eth0")[0] == pytest.approx(first[0] / 2, rel=1e-6)
    # A counter that began again is not measured; the loopback and the ends of pairs are not listed.
    assert collector.samples("net_rx_bytes_per_s", device="wg0") == []
    assert {label["device"] for label in collector.labels("net_errors_per_s")} == {"eth0", "wg0"}
    shutil.rmtree(tree.dir / "sys/class/net/eth0")
    tree.write("net/dev", tree.net_dev(lo=5, wg0=4))
    collector.reload()
    wait_until(lambda: collector.samples("net_rx_bytes_per_s", device="eth0")[-1] is None, DEADLINE, "the end of eth0")
    assert collector.agent.stop(5) == 0


ID = "0123456789abcdef" * 4


class Cgroups:
    """A hierarchy of version 2."""

    def __init__(self, tree):
        self.root = tree.dir / "sys/fs/cgroup"
        self.root.mkdir(parents=True)
        (self.root / "cgroup.controllers").write_text("cpu memory pids io\n")

    def group(self, path, **files):
        directory = self.root / path
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name.replace("__", ".")).write_text(text)
        return directory


def test_containers(collector, tree):
    groups = Cgroups(tree)
    docker = f"system.slice/docker-{ID}.scope"
    groups.group(docker, cpu__stat="usage_usec 1000000\nthrottled_usec 500000\n", memory__current="1000000\n", memory__stat="inactive_file 400000\n",
                 memory__max="2000000\n", memory__swap__current="0\n", memory__events="oom_kill 2\n", io__stat="8:0 rbytes=100 wbytes=200 rios=1\n",
                 pids__current="5\n")
    groups.group(f"{docker}/inner", cpu__stat="usage_usec 5\n")
    groups.group("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + ID[::-1] + ".scope", cpu__stat="usage_usec 10\n")
    groups.group("system.slice/nginx.service", cpu__stat="usage_usec 3000\n", memory__current="123\n", memory__max="max\n")
    collector.start(only("containers"), "--proc-root", tree.dir)
    me = {"container_id": ID[:12], "name": ID[:12], "runtime": "docker"}
    wait_until(lambda: collector.samples("container_memory_working_set_bytes", **me) == [600000], DEADLINE, "memory of the container")
    assert collector.samples("container_memory_limit_bytes") == [2000000]  # the service has none
    assert collector.samples("container_memory_swap_bytes") == [0]
    assert collector.samples("container_pids", **me) == [5]
    assert collector.samples("container_oom_kills_total", **me) == [2]
    assert collector.samples("container_cpu_throttled_seconds_total", **me) == [0.5]
    assert (collector.samples("container_io_read_bytes_total"), collector.samples("container_io_written_bytes_total")) == ([100], [200])
    assert collector.samples("container_memory_working_set_bytes", name="nginx.service", runtime="systemd") == [123]
    assert collector.samples("container_cpu_cores_used") == []  # two readings make a rate
    groups.group(docker, cpu__stat="usage_usec 900001000000\nthrottled_usec 500000\n")
    collector.reload()
    cores = collector.wait_for_some("container_cpu_cores_used", **me)
    assert cores[0] > 1000
    # No memory controller: no memory, but the rest. It may come back under the same name with counters that begin again.
    (groups.root / docker / "memory.current").unlink()
    groups.group(docker, cpu__stat="usage_usec 5\n")
    collector.reload()
    wait_until(lambda: len(collector.samples("container_pids", **me)) >= 3, DEADLINE, "a third reading")
    assert collector.samples("container_cpu_cores_used", **me) == cores
    shutil.rmtree(groups.root / docker)
    collector.reload()
    wait_until(lambda: collector.samples("container_pids", **me)[-1] is None, DEADLINE, "its end")
    assert collector.samples("container_cpu_cores_used", **me)[-1] is None
    assert {label["runtime"] for label in collector.labels("container_cpu_cores_used")} <= {"docker", "podman", "systemd"}
    assert collector.agent.stop(5) == 0


def test_containers_of_version_1(collector, tree):
    root = tree.dir / "sys/fs/cgroup"
    for controller, name, text in (("cpuacct", "cpuacct.usage", "5000000\n"), ("memory", "memory.usage_in_bytes", "1000\n"),
                                   ("memory", "memory.stat", "total_inactive_file 100\ntotal_swap 7\n"), ("pids", "pids.current", "3\n")):
        (root / controller / "docker" / ID).mkdir(parents=True, exist_ok=True)
        (root / controller / "docker" / ID / name).write_text(text)
    (root / "cpuacct/cpuacct.usage").write_text("1\n")
    collector.start(only("containers"), "--proc-root", tree.dir)
    collector.wait_for("container_memory_working_set_bytes", [900], runtime="docker")
    assert collector.samples("container_pids") == [3] and collector.samples("container_memory_swap_bytes") == [7]
    assert collector.samples("container_io_read_bytes_total") == []
    assert collector.agent.stop(5) == 0


SYSTEMCTL = """#!/bin/sh
# Stands in for systemd: prints what lies beside it.
echo "$1" >>"{dir}/calls"
cat "{dir}/$1"
"""


def test_units(collector, tree, tmp_path):
    (tree.dir / "run/systemd/system").mkdir(parents=True)
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "systemctl").write_text(SYSTEMCTL.format(dir=bin_dir))
    (bin_dir / "systemctl").chmod(0o755)

    def list_units(nginx="active running"):
        (bin_dir / "list-units").write_text(f"nginx.service loaded {nginx} A web server\ndbus.service loaded active running Bus\n"
                                            "rare.service loaded inactive dead -\nhome.mount loaded active mounted /home\n"
                                            "gone.service not-found inactive dead gone.service\n")
    list_units()
    (bin_dir / "show").write_text("Id=nginx.service\nUnitFileState=enabled\nNRestarts=3\n\nId=dbus.service\nUnitFileState=static\nNRestarts=0\n")
    collector.start(only("units"), "--proc-root", tree.dir, env={"PATH": f"{bin_dir}:{os.environ['PATH']}"})
    collector.wait_for("units", [3], state="active")
    assert collector.samples("units", state="failed") == [0] and collector.samples("units", state="inactive") == [2]
    assert collector.labels("unit_active") == [{"unit": "nginx.service"}]  # dbus is static, the others do not run
    assert collector.samples("unit_restarts_total") == [3] and collector.kind("unit_restarts_total") == "counter"
    list_units("failed failed")
    collector.reload()
    collector.wait_for("unit_active", [1, 0], unit="nginx.service")
    assert collector.samples("units", state="failed") == [0, 1]
    collector.reload(only("units") + "  units: [rare.*, home.mount]\n")
    collector.wait_for("unit_active", [1], unit="home.mount")
    assert collector.samples("unit_active", unit="rare.service") == [0]
    assert collector.samples("unit_active", unit="nginx.service")[-1] is None
    assert collector.agent.stop(5) == 0


def test_units_without_systemd_or_with_a_dead_one(collector, tree, tmp_path):
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    (bin_dir / "systemctl").chmod(0o755)
    collector.start(only("units"), "--proc-root", tree.dir, env={"PATH": f"{bin_dir}:{os.environ['PATH']}"})
    collector.agent.wait_for_stderr("collecting")
    (tree.dir / "run/systemd/system").mkdir(parents=True)
    collector.reload()
    collector.agent.wait_for_stderr("systemctl: it gave no answer")
    assert collector.agent.stop(5) == 0
    assert collector.labels("units") == []


# --- topology -----------------------------------------------------------------------------------------------------------

TAIL = " 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0\n"


def test_peers(collector, tree):
    tree.write("net/tcp", "  sl  local_address rem_address   st\n   0: 00000000:01BB 00000000:0000 0A" + TAIL +
               "".join(f"   1: 0100000A:01BB 077100CB:{port:04X} 01" + TAIL for port in range(40000, 43000)) +
               "   2: 0100000A:D431 0200000A:1538 01" + TAIL + "   3: 0100007F:D431 0100007F:1538 01" + TAIL)
    tree.write("net/tcp6", "   0: 0000000000000000FFFF00000100000A:01BB 0000000000000000FFFF0000087100CB:C001 01" + TAIL)
    collector.start(only("peers"), "--proc-root", tree.dir)
    query = "SELECT host(address), port, direction, connections FROM observ.peers WHERE vps_name = 'test-vps' ORDER BY address"
    wait_until(lambda: collector.server.sql(collector.db, query) == [("10.0.0.2", 5432, "outbound", 1), ("203.0.113.7", 443, "inbound", 3000),
                                                                   ("203.0.113.8", 443, "inbound", 1)], DEADLINE, "the peers")
    assert collector.agent.stop(5) == 0


def own_address():
    """An IPv4 address of this machine that is none of the loopback's; None when there is no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.connect(("192.0.2.1", 9))  # nothing is sent
        return sock.getsockname()[0]
    return None


# Runs a program for which socket(AF_NETLINK, …, NETLINK_SOCK_DIAG) fails with EPERM; see seccomp(2).
WITHOUT_SOCK_DIAG = """
import ctypes, os, platform, struct, sys
socket_call = {"x86_64": 41, "aarch64": 198}[platform.machine()]
code = [(0x20, 0, 0, 0), (0x15, 0, 5, socket_call), (0x20, 0, 0, 16), (0x15, 0, 3, 16), (0x20, 0, 0, 32), (0x15, 0, 1, 4), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *c) for c in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
    sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("way", ["asked of the kernel", "the kernel does not say", "a file system that stands in"])
def test_peers_of_this_machine(collector, installation, way):
    """All ways to the table say the same, of both families: the end that listens has a socket of IPv6."""
    address = own_address()
    if not address or not socket.has_dualstack_ipv6():
        pytest.skip("no address but the loopback's, or no IPv6")
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        port = listener.getsockname()[1]
        for _ in range(3):
            stack.enter_context(socket.create_connection((address, port)))
            stack.enter_context(listener.accept()[0])
        if way == "the kernel does not say":
            collector.run_agent = lambda *args: Agent([sys.executable, "-c", WITHOUT_SOCK_DIAG, installation.agent, *args])
        collector.start(only("peers"), *(("--proc-root", "/") if way == "a file system that stands in" else ()))
        stack.callback(collector.agent.destroy)
        query = f"SELECT host(address), port, direction, connections FROM observ.peers WHERE port = {port} ORDER BY direction"
        wait_until(lambda: collector.server.sql(collector.db, query) == [(address, port, "inbound", 3), (address, port, "outbound", 3)], DEADLINE, "both ends")
        assert collector.agent.stop(5) == 0


def test_own_addresses_and_connections(collector):
    """Of the machine itself: the agent's connection to the database is on the loopback, and left out."""
    collector.start(only("peers"))
    wait_until(lambda: collector.server.value(collector.db, "SELECT coalesce(max(batches), 0) FROM observ.collectors") >= 2, DEADLINE, "two batches")
    assert collector.agent.stop(5) == 0
    assert collector.server.value(collector.db, "SELECT count(*) FROM observ.peers WHERE address <<= '127.0.0.0/8'") == 0


def test_everything_at_once_and_memory(collector, exporter, tmp_path):
    """All sources of the real machine run beside each other, and nothing is refused by the database."""
    exporter.body = "".join(f'# TYPE m_{i} gauge\nm_{i}{{n="{n}"}} {n}\n' for i in range(40) for n in range(30))
    collector.start(scrape_config(exporter)[len(NOTHING):] + f"  statsd:\n    socket: {tmp_path / 's'}\n")
    collector.wait_for_some("m_39", count=30)
    assert len(collector.labels("m_0")) == 30
    assert collector.agent.stop(5) == 0
    assert collector.server.sql(collector.db, "SELECT rejected, last_rejected_reason FROM observ.metric_usage WHERE rejected > 0") == []
    assert "SQLSTATE" not in collector.agent.stderr()
