"""Alertmanager (Debian's package) sending as many webhooks to the same receiver.

What belongs here: its configuration, posting alerts to it. What does not: observ, the receiver (bench/receiver.c).

scripts/alertmanager.sh fetches it, unless OBSERV_ALERTMANAGER names another program.
"""

import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.request

import surroundings

harness = surroundings.harness

BATCH = 64
PROGRAM = os.environ.get("OBSERV_ALERTMANAGER") or surroundings.ROOT / "scripts/alertmanager.sh"
CONFIGURATION = """
route: {receiver: hook, group_by: [shard], group_wait: 1s, group_interval: 5m, repeat_interval: 4h}
receivers:
- name: hook
  webhook_configs: [{url: "%s", send_resolved: true}]
"""


@contextlib.contextmanager
def running(url):
    """Yields (port, pid) of one that sends to that address."""
    with tempfile.TemporaryDirectory(prefix="obs-bench-alertmanager-") as name:
        directory, port = pathlib.Path(name), harness.free_port()
        (directory / "am.yml").write_text(CONFIGURATION % url, encoding="utf-8")
        with open(directory / "log", "wb") as log, subprocess.Popen(
                [PROGRAM, f"--config.file={directory}/am.yml", f"--storage.path={directory}/data", "--cluster.listen-address=",
                 f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=directory) as process:
            try:
                harness.wait_until(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).status == 200, 30,
                                   "Alertmanager to be ready", retry_on=(OSError,))
                yield port, process.pid
            finally:
                process.terminate()
                process.wait(60)


def post(port, count):
    """So many alerts, each a group of its own, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for first in range(0, count, BATCH):
        alerts = [{"labels": {"alertname": "Shard", "shard": str(n), "severity": "warning"}, "annotations": {"summary": f"shard {n}"}}
                  for n in range(first, min(first + BATCH, count))]
        connection.request("POST", "/api/v2/alerts", json.dumps(alerts), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise harness.HarnessError(f"Alertmanager answered {answer.status}")
    connection.close()
