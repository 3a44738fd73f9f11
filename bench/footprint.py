"""What the programs cost: obs-agent beside collectd, node_exporter and zabbix_agentd, and observ's workers.

What belongs here: reading /proc about the programs. What does not: the peers' configuration (peers.py), the agent's work (chores.py).

All of them run in the same window on the same machine, each sampling every 10 s unless said otherwise. The window begins when the
idle agent is at rest, which takes two of its minutes: with its first flushes go the names of everything that it measures. And it lasts
three of its intervals at least.

    obs-agent, unix socket       the machine's 33 metrics and labelled metrics, into a database with observ
    obs-agent, TCP               the same over 127.0.0.1 into another database
    obs-agent, 3 checks, 2 logs  three HTTP checks each 10 s and two tailed logs of 10 lines a second each, over TCP
    obs-agent, idle              default interval of 60 s, over TCP: what an application that does nothing costs the network
    collectd                     cpu, memory, df, load, interface; its postgresql plugin writes into a database without observ
    prometheus-node-exporter     cpu, meminfo, loadavg, filesystem, netdev; scraped by us every 10 s
    zabbix_agentd                twelve passive items, asked for by us every 10 s
    launcher, scheduler          of the server that the agents write to, and of a second server where nothing arrives, both without evaluation
                                 of alerts; of a third one with the default rules at their default pace, where one more agent writes to

Memory is the sum over the process tree from smaps_rollup; private is Private_Clean + Private_Dirty. That figure flatters who
shares libraries with others here (libpq is in four of these programs) or pages between its own processes. So two more, with
each page of the tree counted once: "anonymous" (heap, stacks, written data; cannot be shared with strangers) and "alone"
(all pages but those of libc, whoever else has them too: the most that the program can cost). CPU is the time on a
processor that the kernel's scheduler counted (schedstat of every thread), which misses nothing shorter than a clock tick.
Network is what went through the agent's connection in both directions, without headers of TCP and IP.
"""

import contextlib
import os
import pathlib
import struct
import tempfile
import time

import chores
import peers
import surroundings

harness = surroundings.harness
proxy = surroundings.proxy

INTERVAL_S = peers.INTERVAL_S
IDLE_INTERVAL_S = 60
IDLE_INTERVALS = 3  # that the window lasts at least
# The first row comes a second after the start, two more at ticks. What is a rate needs two readings, so its name travels with the second tick at the latest.
IDLE_SETTLED_ROWS = 3
IDLE_SETTLED_S = 5  # and a little later, so that no flush falls on an edge of the window
COMPLETE, IDLE = "obs-agent, 3 checks, 2 logs", "obs-agent, idle"
LINES_PER_SECOND = 10
ALERTING = {"observ.evaluation_interval": "15s", "observ.dispatch_interval": "5s"}  # observ's defaults; the harness switches them off
PAGE = os.sysconf("SC_PAGE_SIZE")
FRAME_MASK = (1 << 55) - 1
# By name: private or anonymous memory in MiB, CPU in s/min (0.1 % of a core is 0.06), network in B/min; None: no aim.
AIMS = {"obs-agent, unix socket": (2.5, 0.015, None), "obs-agent, TCP": (2.5, 0.015, None), COMPLETE: (4, 0.06, None), IDLE: (2.5, 0.015, 1024)}
AIM_WORKERS_CPU = 0.05
AIM_CYCLE_MS = 10
NAMES = {"by_tcp": "obs-agent, TCP", "complete": COMPLETE}

COLUMNS = ["program", "processes", "RSS kB", "PSS kB", "private kB", "anonymous kB", "alone kB", "CPU s/min", "network B/min", "samples in the window"]


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
    """Something whose cost is measured: a name, its first process ids, how many samples it has delivered, the proxy it goes through."""

    def __init__(self, name, roots, delivered=None, wire=None, every=INTERVAL_S):
        self.name, self.roots, self.delivered, self.wire, self.every = name, roots, delivered, wire, every
        self.cpu_before = self.reaped_before = self.delivered_before = self.bytes_before = 0

    def pids(self):
        """All processes of it."""
        return [pid for root in self.roots for pid in tree(root)]

    def bytes(self):
        """What went over its connection so far."""
        return sum(self.wire.bytes.values()) if self.wire else 0

    def begin(self):
        """Start of the window."""
        self.delivered_before = self.delivered() if self.delivered else 0
        self.bytes_before = self.bytes()
        self.reaped_before = reaped_seconds(self.pids())
        self.cpu_before = cpu_seconds(self.pids())

    def end(self, minutes):
        """End of the window: {processes, rss, pss, private, anonymous, alone, cpu (s/min), network (B/min), samples}."""
        pids = self.pids()
        cpu = cpu_seconds(pids) - self.cpu_before + reaped_seconds(pids) - self.reaped_before
        rss, pss, private = memory_kb(pids)
        anonymous, alone = pages_kb(pids)
        return {"processes": len(pids), "rss": rss, "pss": pss, "private": private,
                "anonymous": anonymous, "alone": alone, "cpu": cpu / minutes,
                "network": (self.bytes() - self.bytes_before) / minutes if self.wire else None,
                "samples": self.delivered() - self.delivered_before if self.delivered else None}


def agent(context, directory, name, url, interval=INTERVAL_S, more=""):
    """obs-agent, writing to url; the process. `more` are further lines of its configuration."""
    home = directory / name
    home.mkdir()
    config = home / "config.yml"
    config.write_text(f"monitoring:\n  enabled: true\n  postgres_url: \"{url}\"\n  collection_interval: {interval}\n{more}",
                      encoding="utf-8")
    return harness.Agent([context.installation.agent, "--config", config, "--app-name", "bench", "--vps-name", name,
                          "--state-dir", home])


def work(urls, logs):
    """Configuration lines for checks and logs."""
    return ("  health_checks:\n" + "".join(f"    - url: {url}\n" for url in urls) +
            "  log_files:\n" + "".join(f"    - {path}\n" for path in logs))


def rows_of(server, db, query="SELECT count(*) FROM observ.vps_metrics"):
    """A function that counts delivered samples."""
    return lambda: server.value(db, query)


def agents(context, stack, directory, server):
    """Starts obs-agent in its four roles; [Subject]."""
    for db in ("by_socket", "by_tcp", "complete", "idle"):
        server.create_database(db, extension=True)
    logs = [directory / f"app-{i}.log" for i in (1, 2)]
    stack.enter_context(chores.Writers(logs, LINES_PER_SECOND))
    urls = stack.enter_context(chores.Endpoints()).urls(3)
    wire = {db: stack.enter_context(proxy.TcpProxy(("127.0.0.1", server.port))) for db in ("by_tcp", "complete", "idle")}
    socket_url = f"postgresql:///by_socket?host={server.dir}&port={server.port}&user=postgres"
    return [
        Subject("obs-agent, unix socket", [agent(context, directory, "by-socket", socket_url).pid], rows_of(server, "by_socket")),
        Subject("obs-agent, TCP", [agent(context, directory, "by-tcp", server.url("by_tcp", port=wire["by_tcp"].port)).pid],
                rows_of(server, "by_tcp"), wire["by_tcp"]),
        Subject(COMPLETE, [agent(context, directory, "complete", server.url("complete", port=wire["complete"].port), more=work(urls, logs)).pid],
                rows_of(server, "complete"), wire["complete"]),
        Subject(IDLE, [agent(context, directory, "idle", server.url("idle", port=wire["idle"].port), IDLE_INTERVAL_S).pid],
                rows_of(server, "idle"), wire["idle"], IDLE_INTERVAL_S),
    ]


def others(stack, directory, server):
    """Starts every other agent that is installed; [Subject], and what is missing."""
    found, missing = [], []
    server.create_database("collectd")
    server.sql("collectd", peers.COLLECTD_TABLE)
    collectd, exporter, zabbix = peers.collectd(directory, server, "collectd"), peers.node_exporter(stack), peers.zabbix(directory, stack)
    if collectd:
        found.append(Subject("collectd, 5 plugins, postgresql writer", [collectd.pid],
                             rows_of(server, "collectd", "SELECT count(*) FROM collectd_values WHERE type = 'load'")))
    for name, package, started in (("node_exporter, 5 collectors, scraped", "prometheus-node-exporter", exporter),
                                   ("zabbix_agentd, 12 items, polled", "zabbix-agent", zabbix)):
        if started:
            found.append(Subject(name, [started[0].pid], lambda poller=started[1]: poller.answers))
        else:
            missing.append(package)
    return found, missing + ([] if collectd else ["collectd-core"])


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


def settle(subjects):
    """Waits until the idle agent is at rest."""
    idle = next(subject for subject in subjects if subject.name == IDLE)
    harness.wait_until(lambda: idle.delivered() >= IDLE_SETTLED_ROWS, (IDLE_SETTLED_ROWS + 1) * IDLE_INTERVAL_S, "the idle agent to be at rest", interval=0.5)


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
    return {subject: subject.end(minutes) for subject in subjects}


def dearest_cycle(found, server):
    """The agent's own word on its dearest collection cycle; an aim."""
    for db in ("by_tcp", "complete"):
        ms = server.value(db, "SELECT max(value) FROM observ.metric_samples WHERE metric_name = 'observ_agent_cycle_cpu_ms_max'")
        found.aim(f"footprint, {NAMES[db]}: dearest collection cycle, CPU", ms, AIM_CYCLE_MS, "ms")


def show_aims(found, name, cost):
    """Holds the figures of one program against its aims."""
    memory, cpu, network = AIMS.get(name, (None, None, None))
    if memory:
        found.aim(f"footprint, {name}: private or anonymous memory, the larger", max(cost["private"], cost["anonymous"] or 0) / 1024, memory, "MiB")
        found.aim(f"footprint, {name}: CPU", cost["cpu"], cpu, "s/min")
    if network:
        found.aim(f"footprint, {name}: network", cost["network"], network, "B/min")
    if name.startswith("launcher"):
        found.aim(f"footprint, {name}: CPU", cost["cpu"], AIM_WORKERS_CPU, "s/min")


def show(found, warm_up, window, costs, missing):
    """The table, the aims, and whether everything that should have arrived has."""
    notes = ["Sums over the process tree. CPU: schedstat of all threads. Network: both directions, without TCP's headers."]
    notes += [f"Not installed, so not measured: {package}." for package in missing]
    table = found.table(f"At rest, one sample every {INTERVAL_S} s, {warm_up:.0f} s warm-up, window {window:.0f} s", COLUMNS, notes)
    for subject, cost in costs.items():
        table.rows.append([subject.name, str(cost["processes"]),
                           *(cost[key] for key in ("rss", "pss", "private", "anonymous", "alone", "cpu", "network")),
                           "–" if cost["samples"] is None else str(cost["samples"])])
        show_aims(found, subject.name, cost)
        if cost["samples"] is not None:
            found.check(cost["samples"] >= int(window / subject.every) - 1,
                        f"{subject.name} delivered {cost['samples']} samples in {window:.0f} s")


def run(context, found):
    """All programs in one window."""
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="obs-bench-")))
        busy = stack.enter_context(surroundings.server(context, tcp=True))
        idle = stack.enter_context(surroundings.server(context))
        idle.create_database("nothing", extension=True)
        alerting = stack.enter_context(surroundings.server(context, settings=ALERTING))
        alerting.create_database("alerting", extension=True)
        agent(context, directory, "alerting", f"postgresql:///alerting?host={alerting.dir}&port={alerting.port}&user=postgres")
        subjects = agents(context, stack, directory, busy)
        more, missing = others(stack, directory, busy)
        at_work = [workers(idle, ["nothing"], "nothing arriving"),
                   workers(busy, ["by_socket", "by_tcp", "complete", "idle"], "one agent each"),
                   workers(alerting, ["alerting"], "one agent, alerting on")]
        found.check(all(at_work), "a launcher or a scheduler did not come up within 20 s")
        subjects += more + [subject for subject in at_work if subject]
        started, window = time.monotonic(), context.window
        if not context.quick:
            window = max(window, IDLE_INTERVALS * IDLE_INTERVAL_S)
            context.say("footprint: until the idle agent is at rest")
            settle(subjects)
        context.say(f"footprint: window of {window:.0f} s")
        costs = watch(subjects, IDLE_SETTLED_S, window)
        show(found, time.monotonic() - started - window, window, costs, missing)
        if not context.quick:  # the agent says it each minute
            dearest_cycle(found, busy)
