"""Numbered lines through everything at once: rotation, kill -9 of the agent, restarts of PostgreSQL, connections cut at COMMIT.

Every number is in observ.log_entries exactly once. OBSERV_STORM_KILLS=200 for the full storm (make log-storm); OBSERV_SEED repeats one.
"""

import os
import random
import time

import harness
import proxy
from agent_config import Setup
from beside import Beside
from harness import wait_until

SERVER = {"tcp": True}
KILLS = int(os.environ.get("OBSERV_STORM_KILLS", "12"))
RESTARTS = max(1, KILLS // 40)
ROTATE_S = 2
ARRIVED = "SELECT count(*), count(DISTINCT context ->> 'n') FROM observ.log_entries"
MISSING = """SELECT min(n), max(n) FROM (SELECT n, n - row_number() OVER (ORDER BY n) AS run FROM generate_series(1, %s) n
               WHERE n::text NOT IN (SELECT context ->> 'n' FROM observ.log_entries)) m GROUP BY run ORDER BY 1"""
TWICE = """SELECT min(n), max(n) FROM (SELECT n, n - row_number() OVER (ORDER BY n) AS run FROM (SELECT (context ->> 'n')::int AS n FROM observ.log_entries
             GROUP BY 1 HAVING count(*) > 1) d) m GROUP BY run ORDER BY 1"""
KEPT = 6  # rotated files: 12 s, far more than an agent needs to come back


class NumberedLog(Beside):
    """Appends numbered JSON lines and rotates by rename each two seconds, as logrotate does."""

    def __init__(self, path, seed):
        super().__init__()
        self.path, self.random = path, random.Random(seed)
        self.last = 0

    def _rotate(self):
        for n in range(KEPT - 1, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{n}")
            if old.exists():
                old.rename(self.path.with_name(f"{self.path.name}.{n + 1}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))

    def run(self):
        file, opened = open(self.path, "a", encoding="utf-8"), time.monotonic()
        while not self.ended.wait(self.random.random() * 0.02):
            if time.monotonic() - opened > ROTATE_S:
                self._rotate()
                # The writer keeps the old file a little longer, as programs do until they are told.
                file.write(self._line())
                file.close()
                file, opened = open(self.path, "a", encoding="utf-8"), time.monotonic()
            lines = "".join(self._line() for _ in range(self.random.randrange(1, 6)))
            cut = self.random.randrange(len(lines))
            file.write(lines[:cut])  # lines come in pieces
            file.flush()
            file.write(lines[cut:])
            file.flush()
        file.close()

    def _line(self):
        self.last += 1
        return f'{{"timestamp": "{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}", "level": "INFO", "message": "line {self.last}", "context": {{"n": {self.last}}}}}\n'


class CutAtCommit:
    """Now and then the answer to a COMMIT or to a small flush is lost, or these themselves."""

    def __init__(self, seed):
        self.random, self.cuts = random.Random(seed), 0
        self._committing = False

    def __call__(self, direction, data):
        if direction == "up":
            self._committing = b"COMMIT\0" in data or b"observ._put(" in data
            if self._committing and self.random.random() < 0.02:
                self.cuts += 1
                raise proxy.Cut
        elif self._committing and self.random.random() < 0.1:
            self.cuts += 1
            raise proxy.Cut
        return data


def test_every_number_exactly_once(server, observ_db, tmp_path, run_agent, make_proxy):
    seed = int(os.environ.get("OBSERV_SEED", time.time_ns() % 1_000_000))
    print(f"OBSERV_SEED={seed}")
    chance = random.Random(seed)
    wire = make_proxy(("127.0.0.1", server.port))
    wire.filter = CutAtCommit(seed)
    log = tmp_path / "app.log"
    log.touch()
    setup = Setup(tmp_path, server.url(observ_db, port=wire.port))
    setup.config.write_text(setup.config.read_text() + f"  log_files:\n    - {log}\n")
    agent = run_agent(*setup.args())
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics") > 0, 30, "the agent to have begun")
    with NumberedLog(log, seed) as numbers:
        for kill in range(1, KILLS + 1):
            until = time.monotonic() + chance.uniform(0.1, 2.5)
            wait_until(lambda t=until: time.monotonic() > t, 5, "a moment", interval=0.02)
            agent.kill9()
            wait_until(lambda a=agent: not harness.children_of(a.pid), 5, "the helper to end")
            if kill % (KILLS // RESTARTS) == 0:
                server.restart("immediate" if chance.random() < 0.5 else "fast")
            agent = run_agent(*setup.args())
        numbers.stop()
        last = numbers.last
    print(f"{last} lines, {KILLS} kills, {RESTARTS} restarts, {wire.filter.cuts} cuts")
    try:
        wait_until(lambda: server.sql(observ_db, ARRIVED)[0][1] == last, 90, f"all {last} lines", retry_on=harness.psycopg.Error)
    finally:
        print("missing:", server.sql(observ_db, MISSING, (last,)), "twice:", server.sql(observ_db, TWICE))
    total, distinct = server.sql(observ_db, ARRIVED)[0]
    assert (total, distinct) == (last, last)
    assert agent.stop() == 0
