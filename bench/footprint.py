"""What the programs cost at rest: obs-agent beside collectd and node_exporter, and observ's workers.

What belongs here: starting the programs, reading /proc about them. What does not: what they measure.

All of them run in the same window on the same machine, each sampling every 10 s:

    obs-agent, unix socket       writes 33 metrics into a database with observ
    obs-agent, TCP               the same over 127.0.0.1 into another database
    collectd                     cpu, memory, df, load, interface; its postgresql plugin writes into a database without observ
    prometheus-node-exporter     cpu, meminfo, loadavg, filesystem, netdev; scraped by us every 10 s
    launcher, scheduler          of the server that the agents write to, and of a second server where nothing arrives

Memory is the sum over the process tree from smaps_rollup; private is Private_Clean + Private_Dirty. That figure flatters who
shares libraries with others here (libpq is in four of these programs) or pages between its own processes. So two more, with
each page of the tree counted once: "anonymous" (heap, stacks, written data; cannot be shared with strangers) and "alone"
(all pages but those of libc, whoever else has them too: the most that the program can cost). CPU is the time on a
processor that the kernel's scheduler counted (schedstat of every thread), which misses nothing shorter than a clock tick.
"""

import contextlib
import os
import pathlib
import shutil
import struct
import tempfile
import threading
import time
import urllib.error
import urllib.request

import report
import surroundings

harness = surroundings.harness

INTERVAL_S = 10
PAGE = os.sysconf("SC_PAGE_SIZE")
FRAME_MASK = (1 << 55) - 1
COLLECTD_PLUGINS = "cpu memory df load interface".split()
NODE_COLLECTORS = "cpu meminfo loadavg filesystem netdev".split()
AIM_PRIVATE_KB, AIM_CPU, AIM_WORKERS_CPU = 2.5 * 1024, 0.015, 0.05

COLLECTD_CONF = """
BaseDir "{dir}"
PIDFile "{dir}/pid"
Hostname "bench"
FQDNLookup false
Interval {interval}
LoadPlugin logfile
<Plugin logfile>
  LogLevel "warning"
  File STDERR
</Plugin>
{plugins}
LoadPlugin postgresql
<Plugin postgresql>
  <Writer rows>
    Statement "INSERT INTO collectd_values VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    StoreRates true
  </Writer>
  <Database {db}>
    Host "{host}"
    Port "{port}"
    User "postgres"
    SSLMode "disable"
    Writer rows
    CommitInterval {interval}
  </Database>
</Plugin>
"""
COLLECTD_TABLE = ("CREATE TABLE collectd_values (at timestamptz, host text, plugin text, plugin_instance text, type text, "
                  "type_instance text, names text[], types text[], values float8[])")


def tree(root):
    """Process ids of a process and its living descendants."""
    found = [root]
    for pid in found:
        found += harness.children_of(pid)
    return found


def cpu_seconds(pids):
    """Time on a processor of all threads of the processes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                total += int(pathlib.Path(f"/proc/{pid}/task/{thread}/schedstat").read_text("ascii").split()[0])
    return total / 1e9


def reaped_seconds(pids):
    """Processor time of children that ended and were waited for (clock ticks: coarse, but it would show a fork per sample)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rsplit(")", 1)[1].split()
            total += int(fields[13]) + int(fields[14])
    return total / os.sysconf("SC_CLK_TCK")


def memory_kb(pids):
    """(resident, proportional, private) in kB."""
    sums = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
                name = line.split(":")[0]
                if name in sums:
                    sums[name] += int(line.split()[1])
    return sums["Rss"], sums["Pss"], sums["Private_Clean"] + sums["Private_Dirty"]


def pages_kb(pids):
    """(anonymous, alone) in kB, each page of the processes once; (None, None) without root.

    Physical page numbers from /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst in Linux).
    """
    anonymous, every = set(), set()
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
            for line in pathlib.Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines():
                span, _, _, _, _, *path = line.split(None, 5)
                name = os.path.basename(path[0]) if path else ""
                if name in ("[vdso]", "[vvar]", "[vsyscall]"):
                    continue
                libc = name.startswith(("libc.so", "libm.so", "ld-linux"))
                first, end = (int(address, 16) // PAGE for address in span.split("-"))
                pagemap.seek(8 * first)
                for (entry,) in struct.iter_unpack("=Q", pagemap.read(8 * (end - first))):
                    of_file = entry >> 61 & 1
                    if entry >> 63 and not (libc and of_file):
                        every.add(entry & FRAME_MASK)
                        if not of_file:
                            anonymous.add(entry & FRAME_MASK)
    if every <= {0}:
        return None, None
    return len(anonymous) * PAGE // 1024, len(every) * PAGE // 1024


class Subject:
    """Something whose cost is measured: a name, its first process ids, and how many samples it has delivered."""

    def __init__(self, name, roots, delivered=None):
        self.name, self.roots, self.delivered = name, roots, delivered
        self.cpu_before = self.reaped_before = self.delivered_before = 0

    def pids(self):
        """All processes of it."""
        return [pid for root in self.roots for pid in tree(root)]

    def begin(self):
        """Start of the window."""
        self.delivered_before = self.delivered() if self.delivered else 0
        self.reaped_before = reaped_seconds(self.pids())
        self.cpu_before = cpu_seconds(self.pids())

    def end(self, minutes):
        """End of the window: {processes, rss, pss, private, anonymous, alone, cpu (s/min), samples}."""
        pids = self.pids()
        cpu = cpu_seconds(pids) - self.cpu_before + reaped_seconds(pids) - self.reaped_before
        rss, pss, private = memory_kb(pids)
        anonymous, alone = pages_kb(pids)
        return {"processes": len(pids), "rss": rss, "pss": pss, "private": private,
                "anonymous": anonymous, "alone": alone, "cpu": cpu / minutes,
                "samples": self.delivered() - self.delivered_before if self.delivered else None}


class Scraper:
    """Reads node_exporter every 10 s, as a Prometheus would."""

    def __init__(self, url):
        self.url, self.scrapes = url, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def once(self):
        """One scrape."""
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            if b"node_cpu_seconds_total" in answer.read():
                self.scrapes += 1
        return True

    def _run(self):
        while not self._end.wait(INTERVAL_S):
            with contextlib.suppress(OSError):
                self.once()

    def __enter__(self):
        harness.wait_until(self.once, 20, "node_exporter to answer", retry_on=(OSError, urllib.error.URLError))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(10)


def start_agent(context, directory, name, url):
    """obs-agent at 10 s, writing to url; the process."""
    home = directory / name
    home.mkdir()
    config = home / "config.yml"
    config.write_text(f"monitoring:\n  enabled: true\n  postgres_url: \"{url}\"\n  collection_interval: {INTERVAL_S}\n",
                      encoding="utf-8")
    return harness.Agent([context.installation.agent, "--config", config, "--app-name", "bench", "--vps-name", name,
                          "--state-dir", home])


def start_collectd(directory, server, db):
    """collectd with its PostgreSQL writer."""
    home = directory / "collectd"
    home.mkdir()
    config = home / "collectd.conf"
    config.write_text(COLLECTD_CONF.format(dir=home, interval=INTERVAL_S, db=db, host=server.dir, port=server.port,
                                           plugins="\n".join(f"LoadPlugin {p}" for p in COLLECTD_PLUGINS)), encoding="utf-8")
    return harness.Agent([shutil.which("collectd", path="/usr/sbin:/usr/bin"), "-f", "-C", config])


def start_node_exporter(port):
    """node_exporter with five collectors."""
    return harness.Agent([shutil.which("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}",
                          "--collector.disable-defaults", *(f"--collector.{c}" for c in NODE_COLLECTORS)])


def rows_of(server, db, query):
    """A function that counts delivered samples."""
    return lambda: server.value(db, query)


def agents(context, stack, directory, server):
    """Starts every agent that is installed; [Subject], and what is missing."""
    count = "SELECT count(*) FROM observ.vps_metrics"
    for db in ("by_socket", "by_tcp"):
        server.create_database(db, extension=True)
    found = [
        Subject("obs-agent, unix socket", [start_agent(context, directory, "by-socket",
                                                       f"postgresql:///by_socket?host={server.dir}&port={server.port}"
                                                       "&user=postgres").pid],
                rows_of(server, "by_socket", count)),
        Subject("obs-agent, TCP", [start_agent(context, directory, "by-tcp", server.url("by_tcp")).pid],
                rows_of(server, "by_tcp", count)),
    ]
    missing = []
    if shutil.which("collectd", path="/usr/sbin:/usr/bin"):
        server.create_database("collectd")
        server.sql("collectd", COLLECTD_TABLE)
        found.append(Subject("collectd, 5 plugins, postgresql writer", [start_collectd(directory, server, "collectd").pid],
                             rows_of(server, "collectd", "SELECT count(*) FROM collectd_values WHERE type = 'load'")))
    else:
        missing.append("collectd-core")
    if shutil.which("prometheus-node-exporter"):
        port = harness.free_port()
        agent = start_node_exporter(port)
        scraper = stack.enter_context(Scraper(f"http://127.0.0.1:{port}/metrics"))
        found.append(Subject("node_exporter, 5 collectors, scraped", [agent.pid], lambda: scraper.scrapes))
    else:
        missing.append("prometheus-node-exporter")
    return found, missing


def workers(server, dbs, label):
    """Launcher and schedulers of a server as subjects; None when this server has none."""
    def there():
        launcher = server.worker_pid("observ launcher")
        schedulers = [server.worker_pid("observ scheduler", db) for db in dbs]
        return [launcher, *schedulers] if launcher and all(schedulers) else None

    try:
        pids = harness.wait_until(there, 20, "observ's workers", interval=0.5)
    except AssertionError:
        return None
    return Subject(f"launcher and {len(dbs)} scheduler{'s' if len(dbs) > 1 else ''}, {label}", pids)


def watch(subjects, warm_up, window):
    """The window: what each subject cost in it."""
    clock = time.monotonic
    warm = clock() + warm_up
    harness.wait_until(lambda: clock() >= warm, warm_up + 60, "the warm-up")
    for subject in subjects:
        subject.begin()
    start = clock()
    harness.wait_until(lambda: clock() - start >= window, window + 60, "the window to pass", interval=0.5)
    minutes = (clock() - start) / 60
    return {subject.name: subject.end(minutes) for subject in subjects}


def show(found, warm_up, window, costs, missing):
    """The table, the aims, and whether everything that should have arrived has."""
    notes = ["Sums over the process tree. CPU: schedstat of all threads."]
    notes += [f"Not installed, so not measured: {package}." for package in missing]
    table = found.table(f"At rest, one sample every {INTERVAL_S} s, {warm_up} s warm-up, window {window:.0f} s", [
        "program", "processes", "RSS kB", "PSS kB", "private kB", "anonymous kB", "alone kB", "CPU s/min", "samples in the window"], notes)
    for name, cost in costs.items():
        table.rows.append([name, str(cost["processes"]), cost["rss"], cost["pss"], cost["private"], cost["anonymous"], cost["alone"],
                           cost["cpu"],
                           "–" if cost["samples"] is None else str(cost["samples"])])
        if name.startswith("obs-agent"):
            found.aim(f"footprint, {name}: private or anonymous memory, the larger",
                      max(cost["private"], cost["anonymous"] or 0) / 1024, AIM_PRIVATE_KB / 1024, "MiB")
            found.aim(f"footprint, {name}: CPU", cost["cpu"], AIM_CPU, "s/min")
        elif name.startswith("launcher"):
            found.aim(f"footprint, {name}: CPU", cost["cpu"], AIM_WORKERS_CPU, "s/min")
        if cost["samples"] is not None:
            found.check(cost["samples"] >= int(window / INTERVAL_S) - 1,
                        f"{name} delivered {cost['samples']} samples in {window:.0f} s")


def run(context, found):
    """All programs in one window."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="obs-bench-")))
        busy = stack.enter_context(surroundings.server(context, tcp=True))
        idle = stack.enter_context(surroundings.server(context))
        idle.create_database("nothing", extension=True)
        subjects, missing = agents(context, stack, directory, busy)
        at_work = [workers(idle, ["nothing"], "nothing arriving"),
                   workers(busy, ["by_socket", "by_tcp"], "one agent each")]
        found.check(all(at_work), "a launcher or a scheduler did not come up within 20 s")
        subjects += [subject for subject in at_work if subject]
        warm_up = 5 if context.quick else 20
        context.say(f"footprint: window of {context.window:.0f} s after {warm_up} s")
        show(found, warm_up, context.window, watch(subjects, warm_up, context.window), missing)
