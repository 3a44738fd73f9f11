"""Log lines from a file to observ.log_entries: how fast a burst is, and what it costs the agent.

What belongs here: files, the agent that reads them, rates. What does not: searching them (logs.py).
"""

import contextlib
import pathlib
import tempfile
import time

import chores
import footprint
import surroundings

harness = surroundings.harness

AIM_LINES_PER_S = 30000
LINES, QUICK_LINES = 100_000, 5_000
RUNS = 3
AIM_GROWTH_KB = 2048


class Peak(surroundings.beside.Beside):
    """The largest private memory of a process tree while something happens."""

    def __init__(self, pid):
        super().__init__()
        self.pid, self.kb = pid, 0

    def run(self):
        while not self.ended.wait(0.05):
            self.kb = max(self.kb, footprint.memory_kb(footprint.tree(self.pid))[2])


def burst(server, log, agent, lines, first):
    """Appends that many lines at once; (lines per second until all of them are in the table, CPU s of the agent, peak private kB)."""
    text = "".join(chores.json_line(first + i) for i in range(lines))
    before = server.value("tailing", "SELECT count(*) FROM observ.log_entries")
    cpu = footprint.cpu_seconds(footprint.tree(agent.pid))
    with Peak(agent.pid) as peak:
        start = time.monotonic()
        with open(log, "a", encoding="utf-8") as file:
            file.write(text)
        harness.wait_until(lambda: server.value("tailing", "SELECT count(*) FROM observ.log_entries") >= before + lines, 120, "all lines", interval=0.02)
        seconds = time.monotonic() - start
    return lines / seconds, footprint.cpu_seconds(footprint.tree(agent.pid)) - cpu, peak.kb, len(text)


def run(context, found):
    """Bursts, one after the other, into the same table."""
    lines = QUICK_LINES if context.quick else LINES
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="obs-bench-")))
        server = stack.enter_context(surroundings.server(context, tcp=True))
        server.create_database("tailing", extension=True)
        log = directory / "app.log"
        log.touch()
        agent = footprint.agent(context, directory, "tailing", server.url("tailing"), more=footprint.work([], [log]).replace("  health_checks:\n", ""))
        harness.wait_until(lambda: server.value("tailing", "SELECT count(*) FROM observ.vps_metrics") > 0, 30, "the first sample")
        rest = footprint.memory_kb(footprint.tree(agent.pid))[2]
        table = found.table(f"Bursts of {lines:,} JSON lines, from the file to the table", ["burst", "lines/s", "MB", "agent's CPU, µs per line", "agent's private kB, peak"],
                            [f"At rest before the first burst: {rest:,} kB private. From the first byte written until all rows can be read."])
        rates, peaks = [], []
        for number in range(RUNS):
            context.say(f"tailing: burst {number + 1}")
            rate, cpu, peak, size = burst(server, log, agent, lines, number * lines)
            table.rows.append([str(number + 1), rate, size / 1e6, cpu / lines * 1e6, peak])
            rates.append(rate)
            peaks.append(peak)
        found.aim("tailing, lines from file to table", sorted(rates)[len(rates) // 2], AIM_LINES_PER_S, "lines/s", at_most=False)
        found.aim("tailing, memory of the last burst above that of the first", max(0, peaks[-1] - peaks[0]), AIM_GROWTH_KB, "kB")
        distinct = server.value("tailing", "SELECT count(DISTINCT context ->> 'number') FROM observ.log_entries WHERE message LIKE 'order %%'")
        found.check(distinct == lines * RUNS, f"{distinct} distinct lines of {lines * RUNS}")
