"""Log files on network filesystems that hang or not (T40 of the specification). The probe: tail_files.py."""

import gzip
import os

import pytest

import harness
from tail_files import numbered


@pytest.fixture
def far(tmp_path):
    """What stands in for a network filesystem: a directory that the list of mounts calls one, and a FIFO that hangs whoever looks at it."""
    root = tmp_path / "proc"
    (root / "self").mkdir(parents=True)
    (root / "self" / "mountinfo").write_text(f"30 1 0:50 / {tmp_path}/log/far rw - nfs4 server:/x rw\n", encoding="ascii")
    (tmp_path / "log" / "far").mkdir(parents=True)
    return root


def test_t40_a_network_filesystem_hangs(make_tail, far):
    """Through the helper, which hangs; files of the machine itself do not notice."""
    tail = make_tail("local.log", "far/*.log", "link/one.txt")
    os.symlink("far", tail.path("link"))
    for name in ("local.log", "far/a.log", "far/one.txt"):
        tail.append(name, "old")
    tail.start(proc_root=far)
    harness.wait_until(lambda: tail.describe()["files"] == "3", 20, "three files")
    for name in ("local.log", "far/a.log", "far/one.txt"):
        tail.append(name, f"new {name}")
    expected = ["new local.log", "new far/a.log", "new far/one.txt"]
    tail.wait_lines(expected, ordered=False)
    assert not [fd for fd in os.listdir(f"/proc/{tail.process.pid}/fd") if "/far/" in os.readlink(f"/proc/{tail.process.pid}/fd/{fd}")]
    os.mkfifo(far / "logs")
    tail.append("far/a.log", "late")
    harness.wait_until(lambda: "does not answer" in tail.describe(), 20, "the silence to be seen")
    for i in range(5):
        tail.append("local.log", f"meanwhile {i}")
        expected.append(f"meanwhile {i}")
        tail.wait_lines(expected, ordered=False)
    assert "late" not in tail.lines() and tail.errors().count("does not answer") == 1
    with open(far / "logs", "w", encoding="ascii"):
        (far / "logs").unlink()
    tail.wait_lines(expected + ["late"], ordered=False)
    assert "answer again" in tail.errors()


def test_t40_what_else_happens_there(make_tail, far):
    """Rotation, truncation, long lines, many lines, a restart and files that are compressed, all through the helper."""
    tail = make_tail("far/app.log", "far/*.json").start(proc_root=far)
    harness.wait_until(lambda: tail.errors().count("yet") == 2, 20, "both patterns to be looked at")
    expected = ["one"] + numbered("line", 5000, width=50)
    tail.append("far/app.log", "one", *numbered("line", 5000, width=50))
    tail.wait_lines(expected)
    tail.append("far/app.log", "unread", "par", end="")
    tail.append("far/app.log", "", end="")
    tail.rename("far/app.log", "far/app.log.1")
    tail.append("far/app.log", "y" * 50000, "new")
    tail.append("far/app.log.1", "tial")
    expected += ["unreadpartial", "y" * 24000, "new"]
    tail.wait_lines(expected, ordered=False)
    tail.kill()
    tail.append("far/app.log", "between")
    tail.append("far/b.json", "b")
    tail.path("far/c.json").write_bytes(gzip.compress(b"c\n"))
    tail.start(proc_root=far)
    expected += ["between", "b"]
    tail.wait_lines(expected, ordered=False)
    os.truncate(tail.path("far/app.log"), 0)
    tail.append("far/app.log", "after")
    expected += ["after"]
    tail.wait_lines(expected, ordered=False)
    tail.append("far/app.log", "rest", end="")
    tail.settle(0.5)
    tail.path("far/app.log").rename(tail.path("far/app.log.2"))
    expected += ["rest"]
    tail.wait_lines(expected, ordered=False)
    tail.settle()
    assert len(tail.lines()) == len(expected)


def test_t40_more_files_than_can_be_listed(make_tail, far):
    """It is said; the ones that are listed are read, and none is taken for deleted when others come."""
    tail = make_tail("far/*.log").start(proc_root=far)
    harness.wait_until(lambda: "yet" in tail.errors(), 20, "the pattern to be looked at")
    for i in range(500, 1000):
        tail.append(f"far/{i}.log", f"line {i}")
    harness.wait_until(lambda: len(tail.lines()) > 100, 60, "some lines")
    assert "can be listed" in tail.errors() and "too many to be listed" in tail.describe()
    assert tail.describe()["rotated, still read"] == "0"
    for i in range(700, 1000):
        tail.path(f"far/{i}.log").unlink()
    harness.wait_until(lambda: len(tail.lines()) >= 200, 60, "the others")
    harness.wait_until(lambda: "can be listed again" in tail.errors(), 20, "the good news")


def test_t40_patterns_change_while_it_hangs(make_tail, far):
    """The list of a pattern that is not there any more is nobody's, least of all that of another one."""
    tail = make_tail("far/*.log", "local.log").start(proc_root=far)
    harness.wait_until(lambda: tail.errors().count("yet") == 2, 20, "both patterns to be looked at")
    os.mkfifo(far / "logs")
    tail.append("far/a.log", "far")
    harness.wait_until(lambda: "does not answer" in tail.describe(), 20, "the silence to be seen")
    tail.configure("local.log")
    tail.ask(f"reload {tail.config}")
    with open(far / "logs", "w", encoding="ascii"):
        (far / "logs").unlink()
    tail.append("local.log", "local")
    tail.wait_lines(["local"])
    tail.settle()
    assert tail.lines() == ["local"] and tail.describe()["files"] == "1"


def test_t40_a_wildcard_does_not_enter_it(make_tail, far):
    tail = make_tail("*/app.log").start(proc_root=far)
    tail.path("near").mkdir()
    os.symlink("../far/app.log", tail.path("near/other.log"))
    tail.append("far/app.log", "far")
    tail.append("near/app.log", "near")
    tail.wait_lines(["near"])
    tail.settle()
    assert tail.lines() == ["near"] and "network filesystem" in tail.errors()
