"""Prometheus (Debian's package) with the rules of bench/alerts.py over the same number of instances.

What belongs here: its configuration, something for it to scrape, reading what it says of itself. What does not: observ.

It is looked for in PATH, and under the name in OBSERV_PROMETHEUS. Not installed: the table says so. One target offers the series of all
instances, each with a label `instance`: what a rule costs depends on the series, not on who offers them.
"""

import contextlib
import http.server
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.request

import report
import surroundings

harness = surroundings.harness

METRICS = ("cpu_percent", "memory_percent", "memory_mb", "disk_percent", "disk_gb", "load1", "load5", "load15", "net_rx_kbps", "net_tx_kbps",
           "swap_percent")
THRESHOLDS = (("warn", ">", 80, "2m"), ("high", ">", 85, "1m"), ("crit", ">", 90, "1m"), ("page", ">", 95, "30s"), ("low", "<", 1, "5m"))
CONFIGURATION = """
global: {scrape_interval: 15s, evaluation_interval: 15s, scrape_timeout: 14s}
rule_files: [rules.yml]
scrape_configs:
- job_name: fleet
  honor_labels: true
  static_configs: [{targets: ["127.0.0.1:%d"]}]
"""
ALERT = """  - alert: %s
    expr: %s
    for: %s
    labels: {severity: %s}
    annotations: {summary: "%s on {{ $labels.instance }} is {{ $value }}"}
"""


def rules():
    """The rule file: 55 thresholds, 5 means."""
    lines = ["groups:\n- name: thresholds\n  rules:\n"]
    lines += [ALERT % (f"{m}_{s}", f"vps_{m} {op} {t}", f, s, m) for m in METRICS for s, op, t, f in THRESHOLDS]
    lines += ["- name: means\n  rules:\n"]
    lines += [ALERT % (f"{m}_avg", f"avg_over_time(vps_{m}[5m]) > 90", "1m", "warn", m) for m in METRICS[:5]]
    return "".join(lines)


@contextlib.contextmanager
def target(size):
    """Offers the series of so many instances; yields the port."""
    body = "".join(f'# TYPE vps_{m} gauge\n' + "".join(f'vps_{m}{{instance="vps{n:06d}",app="app{n % 40}"}} {50 + n % 7}\n' for n in range(size))
                   for m in METRICS).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802  (the name that http.server wants)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def metrics(port):
    """What it says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def durations(text):
    """{group: (seconds of its latest evaluation, when that began)}"""
    def by_group(metric):
        return {group: float(value) for group, value in re.findall(rf'^{metric}\{{rule_group="[^"]*;(\w+)"\}} (\S+)$', text, re.M)}
    took, at = by_group("prometheus_rule_group_last_duration_seconds"), by_group("prometheus_rule_group_last_evaluation_timestamp_seconds")
    return {group: (took[group], at[group]) for group in took if group in at}


def series(text):
    """Series that it holds."""
    found = re.search(r"^prometheus_tsdb_head_series (\S+)$", text, re.M)
    return float(found.group(1)) if found else 0


def measure(program, size, count):
    """(evaluation of all 60 rules in ms, resident memory in MiB)."""
    took = report.Series()
    with tempfile.TemporaryDirectory(prefix="obs-bench-prometheus-") as name, target(size) as offered:
        directory, port = pathlib.Path(name), harness.free_port()
        (directory / "prometheus.yml").write_text(CONFIGURATION % offered, encoding="utf-8")
        (directory / "rules.yml").write_text(rules(), encoding="utf-8")
        with open(directory / "log", "wb") as log, subprocess.Popen(
                [program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=directory) as process:
            try:
                harness.wait_until(lambda: series(metrics(port)) >= size * len(METRICS), 60, "Prometheus to hold the series",
                                   retry_on=(OSError,), interval=1)
                seen = durations(metrics(port))
                while len(took.values) < count:
                    before = seen
                    harness.wait_until(lambda: (now := durations(metrics(port))).keys() >= {"thresholds", "means"} and all(
                        now[g][1] > before.get(g, (0, 0))[1] for g in now), 120, "the next evaluation", interval=1)
                    seen = durations(metrics(port))
                    took.add(1000 * sum(seconds for seconds, _ in seen.values()))
                rss = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text("ascii"))[1]) / 1024
            finally:
                process.terminate()
                process.wait(60)
    return took, rss


def run(context, found, ours):
    """Beside observ's quiet evaluations, {size: Series}."""
    table = found.table("Prometheus beside it, quiet, ms", ["VPSs", "Prometheus, 60 rules", "observ, 60 rules", "ratio", "Prometheus, resident MiB"], [
        "Sum of prometheus_rule_group_last_duration_seconds of both groups of rules; 15 s apart."])
    program = os.environ.get("OBSERV_PROMETHEUS") or shutil.which("prometheus")
    if program is None:
        table.notes.append("Prometheus is not installed (apt-get install prometheus): not measured.")
        return
    for size, evaluate in ours.items():
        context.say(f"alerts: Prometheus with {size:,} instances")
        took, rss = measure(program, size, 1 if context.quick else 6)
        table.rows.append([f"{size:,}", took, evaluate, f"{report.number(took.median / evaluate.median)}×", rss])
