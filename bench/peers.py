"""Other agents, set up to do about the same: collectd, node_exporter, zabbix_agentd, from Debian's packages.

What belongs here: their configuration, starting them, asking those that are asked. What does not: what they cost.
"""

import contextlib
import shutil
import socket
import struct
import urllib.error
import urllib.request

import surroundings

harness = surroundings.harness

INTERVAL_S = 10
PATH = "/usr/sbin:/usr/bin"
COLLECTD_PLUGINS = "cpu memory df load interface".split()
NODE_COLLECTORS = "cpu meminfo loadavg filesystem netdev".split()
ZABBIX_ITEMS = ["system.cpu.util", "system.cpu.load", "system.cpu.num", "vm.memory.size[available]", "vm.memory.size[total]", "system.swap.size[,pfree]",
                "vfs.fs.size[/,pused]", "vfs.fs.inode[/,pused]", "net.if.in[lo]", "net.if.out[lo]", "proc.num", "system.uptime"]

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
ZABBIX_CONF = """
PidFile={dir}/pid
LogType=console
DebugLevel=1
Server=127.0.0.1
ListenIP=127.0.0.1
ListenPort={port}
Hostname=bench
AllowRoot=1
"""


class Poller(surroundings.beside.Beside):
    """Asks an agent every 10 s, as its server would."""

    def __init__(self, ask):
        super().__init__()
        self.ask, self.answers = ask, 0

    def once(self):
        """One round."""
        if self.ask():
            self.answers += 1
        return True

    def run(self):
        while not self.ended.wait(INTERVAL_S):
            with contextlib.suppress(OSError):
                self.once()

    def __enter__(self):
        harness.wait_until(self.once, 20, "an agent to answer", retry_on=(OSError, urllib.error.URLError))
        return super().__enter__()


def collectd(directory, server, db):
    """collectd with its PostgreSQL writer, or None when it is not installed."""
    program = shutil.which("collectd", path=PATH)
    if not program:
        return None
    home = directory / "collectd"
    home.mkdir()
    config = home / "collectd.conf"
    config.write_text(COLLECTD_CONF.format(dir=home, interval=INTERVAL_S, db=db, host=server.dir, port=server.port,
                                           plugins="\n".join(f"LoadPlugin {p}" for p in COLLECTD_PLUGINS)), encoding="utf-8")
    return harness.Agent([program, "-f", "-C", config])


def node_exporter(stack):
    """(process, Poller) of node_exporter with five collectors, or None."""
    program = shutil.which("prometheus-node-exporter", path=PATH)
    if not program:
        return None
    port = harness.free_port()
    agent = harness.Agent([program, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults",
                           *(f"--collector.{c}" for c in NODE_COLLECTORS)])

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return b"node_cpu_seconds_total" in answer.read()

    return agent, stack.enter_context(Poller(scrape))


def _read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise OSError("the agent hung up")
        data += part
    return data


def zabbix_item(port, key):
    """The value of one passive item (protocol: header "ZBXD", flags, length; Zabbix manual, appendix "Header and data length")."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(b"ZBXD\x01" + struct.pack("<II", len(key), 0) + key.encode("ascii"))
        length, _ = struct.unpack("<II", _read(sock, 13)[5:])
        return _read(sock, length)


def low_port():
    """A free port below 32768: zabbix_agentd takes no other."""
    for port in range(21000, 32000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port below 32768")


def zabbix(directory, stack):
    """(process, Poller) of zabbix_agentd, asked for twelve items, or None."""
    program = shutil.which("zabbix_agentd", path=PATH)
    if not program:
        return None
    home = directory / "zabbix"
    home.mkdir()
    port = low_port()
    config = home / "zabbix.conf"
    config.write_text(ZABBIX_CONF.format(dir=home, port=port), encoding="utf-8")
    agent = harness.Agent([program, "-f", "-c", config])

    def ask():
        return all([zabbix_item(port, key) for key in ZABBIX_ITEMS])

    return agent, stack.enter_context(Poller(ask))
