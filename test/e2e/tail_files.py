"""Following log files without a database: the probe (tail_probe.c), what it reads, and what rotates them.

What belongs here: what the test modules of the source `logs` share. What does not: tests, servers (harness.py).

The probe runs the agent's own source and spool, on a clock that is SPEED times as fast as ours; records that it prints are what the
database would get, by number: a record that comes twice with one number is one row there.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import threading

import harness

SPEED = 10
LOG, EVENT, POSITION = 3, 5, 7
PROBE = harness.ROOT / "build" / "tail_probe"


def build():
    """The probe, made by the Makefile."""
    harness.run_tool(["make", "-C", harness.ROOT, "-s", f"PG_CONFIG={harness.Installation().pg_config}", "build/tail_probe"],
                     env=harness.clean_environment(MAKEFLAGS=""))


class Tail:
    """A directory with log files, a configuration, and the probe that follows them. Records of all its runs, by number."""

    def __init__(self, directory, *patterns, **settings):
        self.dir = pathlib.Path(directory)
        self.logs = self.dir / "log"
        self.state = self.dir / "state"
        for path in (self.logs, self.state):
            path.mkdir(exist_ok=True)
        self.config = self.dir / "config.yml"
        self.configure(*patterns, **settings)
        self.process = None
        self.records = {}
        self.replies = []
        self.changed = threading.Condition()
        self.stderr = self.dir / "stderr"
        self.stderr.touch()

    def configure(self, *patterns, **settings):
        """Writes the configuration; patterns are below the directory of logs, a mapping has `path`."""
        items = [dict(p, path=str(self.logs / p["path"])) if isinstance(p, dict) else str(self.logs / p) for p in patterns]
        self.config.write_text(json.dumps({"monitoring": {"enabled": True, "postgres_url": "postgresql://u@127.0.0.1/d",
                                                          "log_files": items, **settings}}), encoding="utf-8")

    def start(self, speed=SPEED, settled=True, proc_root=None, **environment):
        """Starts the probe; returns when it has looked at the patterns once."""
        argv = [PROBE, self.state, self.config, speed] + ([proc_root] if proc_root else [])
        with open(self.stderr, "ab") as err:
            self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err,
                                            env=dict(os.environ, **environment))
        self.replies = []
        self.reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        if settled:
            self.ask("describe")
        return self

    def _read(self, stdout):
        for line in stdout:
            with self.changed:
                if not line.endswith(b"\n"):
                    break  # killed in the middle of it
                item = json.loads(line)
                if "n" in item:
                    known = self.records.setdefault(item["n"], item)
                    if {k: v for k, v in known.items() if k != "more"} != {k: v for k, v in item.items() if k != "more"}:
                        self.records[-item["n"]] = {"record": LOG, "message": f"CHANGED {known} {item}"}
                else:
                    self.replies.append(item)
                self.changed.notify_all()

    def ask(self, command, deadline=30):
        """Sends a command; returns what came before its end."""
        with self.changed:
            self.replies = []
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        with self.changed:
            assert self.changed.wait_for(lambda: any("done" in r for r in self.replies) or not self.reader.is_alive(), deadline), command
            return [r for r in self.replies if "done" not in r]

    def describe(self):
        """What the source says about itself, as a mapping."""
        text = self.ask("describe")[0]["describe"]
        return dict(line.split(": ", 1) for line in text.splitlines())

    def stop(self):
        """Ends in peace."""
        self.process.stdin.write(b"quit\n")
        self.process.stdin.flush()
        assert self.process.wait(20) == 0, self.errors()
        self.reader.join(10)

    def kill(self):
        """Ends at once, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.reader.join(10)

    @contextlib.contextmanager
    def frozen(self):
        """It does not run meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        yield
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        """After a test, whatever became of it."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def of(self, record):
        """Records of a kind, in the order of their numbers."""
        with self.changed:
            return [self.records[n] for n in sorted(self.records) if self.records[n]["record"] == record]

    def lines(self, source=None):
        """Messages, in order; of one file when `source` is the end of its name."""
        return [r["message"] for r in self.of(LOG) if source is None or r["source"].endswith(source)]

    def wait_lines(self, expected, deadline=30, source=None, ordered=True):
        """Waits for as many lines, and compares."""
        expected = list(expected)
        with contextlib.suppress(AssertionError):
            harness.wait_until(lambda: len(self.lines(source)) >= len(expected), deadline, "lines")
        got = self.lines(source)
        if not ordered:
            got, expected = sorted(got), sorted(expected)
        if got != expected:
            missing = [x for x in expected if x not in set(got)]
            raise AssertionError(f"{len(got)} lines instead of {len(expected)}; missing {missing[:5]}, got {got[:5]} … {got[-5:]}\n{self.errors()}")

    def settle(self, seconds=1.0):
        """Lets it look at everything: that many seconds of its own clock, ten times as many looks as it needs. For what must not come."""
        end = threading.Event()
        end.wait(seconds)

    def errors(self):
        """What it said."""
        return self.stderr.read_text(encoding="utf-8", errors="replace")

    def position(self, name):
        """The stored state of the file that is at that path now, as a list of words; None when there is none."""
        st = (self.logs / name).stat()
        key = f"{st.st_dev:x}:{st.st_ino}"
        for reply in self.ask("positions"):
            if reply.get("position") == key:
                return reply["state"].split(" ")
        return None

    # --- files

    def path(self, name):
        """A log file."""
        return self.logs / name

    def append(self, name, *lines, end="\n"):
        """Appends lines, in one write."""
        with open(self.logs / name, "a", encoding="utf-8") as out:
            out.write("".join(line + end for line in lines))

    def rename(self, old, new):
        """Renames a log file."""
        (self.logs / old).rename(self.logs / new)

    def copytruncate(self, name, copy):
        """As logrotate does it."""
        (self.logs / copy).write_bytes((self.logs / name).read_bytes())
        os.truncate(self.logs / name, 0)


def numbered(prefix, count, start=0, width=0):
    """Lines that can be told apart."""
    return [f"{prefix} {i}{' ' + 'x' * width if width else ''}" for i in range(start, start + count)]
