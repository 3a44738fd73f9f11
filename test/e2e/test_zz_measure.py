"""Measures."""
import http.server, threading, time, os, socket, pathlib
import harness
from test_agent_samples import *  # noqa

def smaps(pid):
    t = open(f"/proc/{pid}/smaps_rollup").read()
    return sum(int(l.split()[1]) for l in t.splitlines() if l.startswith(("Private_Clean", "Private_Dirty")))
def dirty(pid):
    t = open(f"/proc/{pid}/smaps_rollup").read()
    return sum(int(l.split()[1]) for l in t.splitlines() if l.startswith(("Private_Dirty")))
def cpu(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")",1)[1].split()
    return (int(f[11])+int(f[12]))*10

def test_measure_machine(collector):
    a = collector.start("  collect: {containers: true}\n")
    time.sleep(5)
    c0 = cpu(a.pid)
    time.sleep(70)
    c1 = cpu(a.pid)
    print("private kB", smaps(a.pid), "dirty", dirty(a.pid), "cpu ms/70 s", c1 - c0)
    a.stop(5)
    print(collector.server.sql(collector.db, "SELECT metric_name, count(*) FROM observ.metric_samples GROUP BY 1 ORDER BY 1"))
    print(collector.server.sql(collector.db, "SELECT sum(length(metric_name) + length(labels::text) + length(value::text)+12) FROM observ.metric_samples"))

def test_measure_scrape(collector, exporter):
    exporter.body = "".join(f'# TYPE m_{i} gauge\nm_{i}{{n="{n}",some="label value",other="thing"}} {n}.5\n' for i in range(50) for n in range(40))
    a = collector.start(scrape_config(exporter))
    wait_until(lambda: exporter.asked >= 3, 10, "x")
    n0, c0 = exporter.asked, cpu(a.pid)
    wait_until(lambda: exporter.asked >= n0 + 20, 40, "x")
    print("scrape of 2000 series:", (cpu(a.pid) - c0) / 20, "ms each; private kB", smaps(a.pid), "dirty", dirty(a.pid))
    a.stop(5)

def test_measure_statsd(collector, tmp_path):
    path = tmp_path / "s"
    a = collector.start(statsd_config(path))
    wait_until(path.exists, 10, "the socket")
    c0 = cpu(a.pid)
    t = time.time()
    d = "\n".join(["hits:1|c|#shop:north", "time:3|ms|#route:/a", "who:me|s"] * 10)
    send(path, *[d] * 20000)
    print("statsd lines/s", 600000 / (time.time() - t), "cpu us/line", (cpu(a.pid) - c0) / 600, "private", smaps(a.pid))
    a.stop(5)
