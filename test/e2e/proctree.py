"""Stand-ins for /proc and /sys, for obs-agent --proc-root.

What belongs here: building such trees, and replacing one by the next while an agent reads. What does not: expectations.
Layout: DIR/proc, DIR/sys, DIR/statvfs (MOUNTPOINT FRSIZE BLOCKS BFREE BAVAIL FILES FFREE FAVAIL, a line each).
"""

import os
import pathlib
import shutil

import harness

RECORDED = harness.ROOT / "test/fixtures/proc/recorded"
DF_ROOT = "/ 4096 1000000 400000 350000 65536 32768 32768\n"


class ProcTree:
    """A machine made of text files."""

    def __init__(self, directory, like=RECORDED / "1"):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        shutil.copytree(like, self.dir / "proc.1")
        (self.dir / "proc").symlink_to("proc.1")
        self.generation = 1
        (self.dir / "sys/class/net").mkdir(parents=True)
        (self.dir / "sys/block").mkdir()
        (self.dir / "statvfs").write_text(DF_ROOT)

    def write(self, name, text):
        """Replaces the file DIR/proc/NAME; text None removes it."""
        path = self.dir / "proc" / name
        if text is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def nic(self, name, ifindex, *, lower=(), hardware=False, iflink=None, kind="1", extra=(), speed="1000"):
        """An interface in sysfs."""
        path = self.dir / "sys/class/net" / name
        path.mkdir()
        for file, text in (("ifindex", ifindex), ("iflink", iflink or ifindex), ("type", kind), ("speed", speed)):
            (path / file).write_text(f"{text}\n")
        for entry in [f"lower_{below}" for below in lower] + (["device"] if hardware else []) + list(extra):
            (path / entry).mkdir()

    def block(self, name, slaves=()):
        """A block device in sysfs."""
        path = self.dir / "sys/block" / name / "slaves"
        path.mkdir(parents=True)
        for slave in slaves:
            (path / slave).mkdir()

    def net_dev(self, **bytes_received):
        """A /proc/net/dev with the bytes received per interface; as many are sent, halved."""
        lines = [f"{name}: {n} 1 0 0 0 0 0 0 {n // 2} 1 0 0 0 0 0 0\n" for name, n in bytes_received.items()]
        return "Inter-|\n face |\n" + "".join(lines)

    def diskstats(self, **sectors_read):
        """A /proc/diskstats with the sectors read per device; twice as many are written; busy 1 ms per sector."""
        return "".join(f"   8 0 {name.replace('_', '-')} 1 0 {n} 0 1 0 {n * 2} 0 0 {n % 2**32} 0\n" for name, n in sectors_read.items())

    def next_generation(self, like):
        """Prepares another /proc beside the current one and returns a function that puts it in its place."""
        self.generation += 1
        fresh = self.dir / f"proc.{self.generation}"
        shutil.copytree(like or self.dir / "proc", fresh, symlinks=False)

        def switch():
            link = self.dir / "link.new"
            link.symlink_to(fresh.name)
            link.rename(self.dir / "proc")

        return fresh, switch

    def watch(self, name="sys/fs/file-nr"):
        """A predicate: has somebody read DIR/proc/NAME since now? It is the last file of a reading."""
        path = self.dir / "proc" / name
        os.utime(path, (1, path.stat().st_mtime))  # relatime: the next read moves it
        return lambda: path.stat().st_atime > 2


def sample(run_agent, tree, *, then=None, args=()):
    """obs-agent --once --json on the tree; `then` is done between its two readings. Returns the object printed."""
    import json

    was_read = tree.watch()
    agent = run_agent("--once", "--json", "--proc-root", tree.dir, "--vps-name", "test", *args)
    if then is not None:
        harness.wait_until(was_read, 10, "the first reading", interval=0.01)
        then()
    assert agent.wait(20) == 0, agent.stderr()
    return json.loads(agent.stdout())
