"""The database is away until the spool is full: memory stays flat, the cap holds, what is fresh comes first, what was lost is told.

OBSERV_OUTAGE_S=600 for the long form (make outage); the short one fills a small spool in half a minute.
"""

import contextlib
import os
import threading
import time

import pytest

import harness
from agent_config import Setup
from beside import Beside, Pages
from harness import wait_until

SERVER = {"tcp": True}
OUTAGE_S = int(os.environ.get("OBSERV_OUTAGE_S", "25"))
CAP_MB = 2
SERIES, PER_RECORD = 2000, 500


class Exporter(Pages):
    """Two thousand series, each with the number of the scrape as its value."""

    def __init__(self):
        super().__init__()
        self.scrapes = 0
        self._lock = threading.Lock()

    def answer(self, headers):
        with self._lock:
            self.scrapes += 1
            number = self.scrapes
        return 200, "".join(f'filler{{i="{i:04d}"}} {number}\n' for i in range(SERIES)).encode("ascii")


class Log(Beside):
    """A line each 20 ms, numbered."""

    def __init__(self, path):
        super().__init__()
        self.path, self.last = path, 0
        path.touch()

    def run(self):
        with open(self.path, "a", buffering=1, encoding="utf-8") as file:
            while not self.ended.wait(0.02):
                self.last += 1
                file.write(f'{{"level": "{("INFO", "ERROR")[self.last % 2]}", "message": "line {self.last}", "context": {{"n": {self.last}}}}}\n')


def spool_bytes(state):
    """Bytes of all files of the spool."""
    total = 0
    for path in state.rglob("*.seg"):
        with contextlib.suppress(FileNotFoundError):  # it went meanwhile
            total += path.stat().st_size
    return total


def private_kb(agent):
    """
    What the agent and its helper have written to. Not all that is private: pages of libraries become so, a mebibyte at a time, whenever the last other
    process ends that had them, too. 0 with a sanitizer.
    """
    total = 0
    if harness.SANITIZED:
        return total
    for pid in [agent.pid, *harness.children_of(agent.pid)]:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            total += sum(int(line.split()[1]) for line in rollup if line.startswith("Private_Dirty:"))
    return total


@pytest.mark.parametrize("how", ["stopped", "packets dropped"])
def test_outage_that_fills_the_spool(make_server, make_proxy, tmp_path, run_agent, how):
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    wire = make_proxy(("127.0.0.1", server.port))
    setup = Setup(tmp_path, server.url(db, port=wire.port))
    with Exporter() as exporter, Log(tmp_path / "app.log") as log:
        setup.config.write_text(setup.config.read_text() + f"  spool_max_mb: {CAP_MB}\n  scrape:\n    - url: {exporter.url}\n      interval: 1\n"
                                                           f"  log_files:\n    - path: {log.path}\n      start_at: beginning\n")
        agent = run_agent(*setup.args())
        wait_until(lambda: server.value(db, "SELECT count(*) > 0 FROM observ.metric_samples WHERE metric_name = 'filler'") and
                   server.value(db, "SELECT count(*) > 0 FROM observ.log_entries"), 40, "the first samples and lines")
        before_s, before_kb = time.time(), private_kb(agent)
        if how == "stopped":
            server.stop()
        else:
            wire.stall()
        end = time.monotonic() + OUTAGE_S
        peak_kb = peak_bytes = 0
        while time.monotonic() < end:
            peak_kb, peak_bytes = max(peak_kb, private_kb(agent)), max(peak_bytes, spool_bytes(setup.state))
            wait_until(lambda t=time.monotonic() + 0.2: time.monotonic() > t, 1, "a moment", interval=0.05)
        print(f"{how}: private memory {before_kb} kB before, {peak_kb} kB at most; spool {peak_bytes} bytes at most")
        assert peak_bytes <= CAP_MB * 1024 * 1024
        assert peak_bytes > CAP_MB * 1024 * 1024 // 2, "the spool was not filled: the test shows nothing"
        assert peak_kb < before_kb + 1024
        restored_s = time.time()
        if how == "stopped":
            server.start()
        else:
            wire.resume()
        wait_until(lambda: server.value(db, "SELECT count(*) > 0 FROM observ.vps_metrics WHERE extract(epoch FROM received_at) > %s", (restored_s,)), 90,
                   "a sample after the outage", retry_on=harness.psycopg.Error)
        first, late = server.sql(db, """
            WITH after AS (SELECT * FROM observ.vps_metrics WHERE extract(epoch FROM received_at) > %s AND extract(epoch FROM timestamp) < %s)
            SELECT (SELECT extract(epoch FROM timestamp) FROM after ORDER BY received_at, timestamp DESC LIMIT 1), (SELECT max(extract(epoch FROM timestamp)) FROM after)""",
                                 (restored_s, restored_s))[0]
        assert first == late, "what is fresh did not come first"
        log.stop()
        wait_until(lambda: server.value(db, "SELECT count(DISTINCT context ->> 'n') FROM observ.log_entries") == log.last, 120, "every line: files are the buffer",
                   retry_on=harness.psycopg.Error)
        lost = """SELECT coalesce(sum((data ->> 'metrics')::bigint), 0), coalesce(sum((data ->> 'logs')::bigint), 0) + coalesce(sum((data ->> 'important')::bigint), 0)
                  FROM observ.events WHERE kind = 'data_lost'"""
        stored = """SELECT count(*) FROM observ.metric_samples WHERE metric_name = 'filler' AND right(labels ->> 'i', 3) IN ('000', '500')
                    AND extract(epoch FROM timestamp) BETWEEN %s AND %s"""
        wait_until(lambda: server.value(db, stored, (restored_s, time.time())) >= 12, 60, "new samples after the backlog")
        # What is under way between exporter and table is some records.
        wait_until(lambda: server.sql(db, lost)[0][0] + 20 >= exporter.scrapes * SERIES // PER_RECORD - server.value(db, stored, (0, time.time() + 60)), 90,
                   "every loss to be told")
        assert agent.stop() == 0
        # Every scrape is four records; a scrape that was under way when the agent ended may be neither.
        total = exporter.scrapes * SERIES // PER_RECORD
        arrived = server.value(db, stored, (0, time.time() + 60))
        (metrics, others), = server.sql(db, lost)
        print(f"{total} records of the exporter, {arrived} stored, {metrics} told as lost; since {before_s}")
        assert server.value(db, "SELECT count(*) FROM observ.log_entries") == log.last
        assert (others, arrived < total) == (0, True)
        assert total - arrived - 4 <= metrics <= total - arrived + 3 * OUTAGE_S + 60
