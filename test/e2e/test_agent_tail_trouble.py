"""Log files: links, permissions, many of them, a spool that is full or lost, crashes (T25 to T44 of the specification). The probe: tail_files.py."""

import bz2
import gzip
import json
import lzma
import os
import random
import socket
import subprocess
import threading
import time

import pytest

import harness
import tail_files
from tail_files import EVENT, POSITION, numbered


def test_t25_a_link_that_is_swapped(make_tail):
    tail = make_tail("current/app.log")
    for release in ("41", "42"):
        (tail.logs / "releases" / release).mkdir(parents=True)
    os.symlink("releases/41", tail.path("current"))
    tail.start()
    tail.append("releases/41/app.log", *numbered("41", 5))
    tail.wait_lines(numbered("41", 5))
    with open(tail.path("releases/41/app.log"), "a", encoding="utf-8", buffering=1) as old:
        os.symlink("releases/42", tail.path("next"))
        os.rename(tail.path("next"), tail.path("current"))
        tail.append("current/app.log", *numbered("42", 5))
        tail.wait_lines(numbered("41", 5) + numbered("42", 5))
        old.write("41 late\n")
        tail.wait_lines(numbered("41", 5) + numbered("42", 5) + ["41 late"])
    assert len({r["source"] for r in tail.of(tail_files.LOG)}) == 1


def test_t26_links_that_lead_nowhere_are_said_once_and_tried_again(make_tail):
    tail = make_tail("*.log", "literal")
    os.symlink("loop.log", tail.path("loop.log"))
    os.symlink("missing", tail.path("dangling.log"))
    os.symlink("nowhere", tail.path("literal"))
    tail.append("good.log", "old")
    tail.start()
    tail.append("good.log", "good")
    tail.wait_lines(["good"])
    tail.settle(2.0)
    assert [tail.errors().count(name) for name in ("loop.log", "dangling.log", "literal")] == [1, 1, 2]
    tail.append("missing", "dangling")
    tail.wait_lines(["good", "dangling"])


def test_t26_a_link_to_the_configuration_is_not_followed(make_tail):
    """It has the agent's password, which whoever may write into a directory of logs may not know."""
    tail = make_tail({"path": "*.log", "start_at": "beginning"})
    os.symlink(tail.config, tail.path("curious.log"))
    tail.append("good.log", "good")
    tail.start()
    tail.wait_lines(["good"])
    tail.settle()
    assert tail.lines() == ["good"] and tail.errors().count("is the configuration") == 1


def test_t27_file_and_directory_come_later(make_tail):
    tail = make_tail("app.log", "later/*.log").start()
    tail.append("app.log", "first")
    tail.wait_lines(["first"], 5)
    tail.path("later").mkdir()
    tail.append("later/x.log", "second")
    tail.wait_lines(["first", "second"], 5)


def as_nobody(tail, action):
    """The probe runs as somebody whom permissions bind; root is told everything."""
    if os.geteuid() == 0:
        for path in (tail.dir, tail.logs, tail.state, tail.config):
            os.chown(path, 65534, 65534)
        for parent in [tail.dir, *tail.dir.parents]:
            if str(parent).startswith("/tmp/"):
                parent.chmod(0o755)
    return action


@pytest.fixture
def unprivileged(monkeypatch):
    """Probes run as nobody."""
    real = subprocess.Popen
    if os.geteuid() == 0:
        monkeypatch.setattr(tail_files.subprocess, "Popen",
                            lambda *a, **k: real(*a, **dict(k, user=65534, group=65534, extra_groups=[])))


def test_t28_permission_comes_later(make_tail, unprivileged):
    tail = make_tail("*.log")
    tail.append("secret.log", "old")
    tail.append("good.log", "old")
    as_nobody(tail, None)
    tail.path("good.log").chmod(0o644)
    tail.path("secret.log").chmod(0)
    os.chown(tail.path("good.log"), 0, 0)
    tail.start()
    harness.wait_until(lambda: "secret.log" in tail.errors(), 10, "the warning")
    assert "cannot be read" in tail.describe()
    tail.append("good.log", "good")
    tail.wait_lines(["good"])
    tail.append("secret.log", "new")
    tail.settle(2.0)
    assert tail.errors().count("secret.log") == 1
    tail.path("secret.log").chmod(0o644)
    tail.wait_lines(["good", "old", "new"])
    harness.wait_until(lambda: "cannot be read" not in tail.describe(), 10, "the good news")


def test_t29_permission_is_lost_while_it_is_open(make_tail, unprivileged):
    tail = make_tail("app.log")
    tail.append("app.log", "old")
    as_nobody(tail, None)
    tail.path("app.log").chmod(0o644)
    tail.start()
    tail.append("app.log", "one")
    tail.wait_lines(["one"])
    tail.path("app.log").chmod(0)
    tail.append("app.log", "two")
    tail.wait_lines(["one", "two"])


def test_t30_a_thousand_files(make_tail):
    """Odd names, at most 64 descriptors, nobody starves beside a file that is always busy."""
    tail = make_tail("*/log/*.json", "busy.log")
    names = [f"app {i % 10}/log/gr\u00fc\u00dfe {i}\n.json" for i in range(1000)]
    for i in range(10):
        tail.path(f"app {i}/log").mkdir(parents=True)
    for name in names:
        tail.append(name, "old")
    tail.append("busy.log", "old")
    tail.start()
    assert tail.describe()["files"] == "1001"
    stop = threading.Event()

    def be_busy():
        while not stop.is_set():
            tail.append("busy.log", *numbered("busy", 50, width=100))
            time.sleep(0.01)

    writer = threading.Thread(target=be_busy)
    writer.start()
    try:
        for name in names:
            tail.append(name, f"new {name[:5]}")
        quiet = lambda: [m for m in tail.lines() if m.startswith("new")]
        harness.wait_until(lambda: len(quiet()) == 1000, 60, "a line of each file", interval=0.5)
        assert int(tail.describe()["open"]) <= 64
        assert len(os.listdir(f"/proc/{tail.process.pid}/fd")) <= 64 + 20
        # One of the many that are closed is rotated with something unread in it.
        tail.append(names[500], "last 500")
        tail.rename(names[500], names[500] + ".1")
        tail.append(names[500], "fresh 500")
        harness.wait_until(lambda: {"last 500", "fresh 500"} <= set(tail.lines()), 120, "both files", interval=0.5)
    finally:
        stop.set()
        writer.join()
    assert len(quiet()) == 1000


def test_t31_one_file_under_many_names(make_tail):
    tail = make_tail("*.log", "app.*", "app.log")
    tail.append("app.log", "old")
    os.link(tail.path("app.log"), tail.path("hard.log"))
    os.symlink("app.log", tail.path("soft.log"))
    tail.start()
    tail.append("app.log", *numbered("new", 10))
    tail.wait_lines(numbered("new", 10))
    tail.settle()
    assert len(tail.lines()) == 10 and tail.describe()["files"] == "1"


def test_t32_compressed_files_are_left_alone(make_tail):
    tail = make_tail("*").start()
    text = b"a line\n" * 100
    tail.path("app.log.2.gz").write_bytes(gzip.compress(text))
    tail.path("app.log.3").write_bytes(bz2.compress(text))  # not known by its name
    tail.path("app.log.4.xz").write_bytes(lzma.compress(text))
    tail.path("app.log.5.zst").write_bytes(b"\x28\xb5\x2f\xfd" + text)
    tail.append("plain.gz", "plain")
    tail.wait_lines(["plain"])
    tail.settle()
    assert tail.lines() == ["plain"] and tail.describe()["compressed, ignored"] == "4"


def test_t32_a_file_that_is_empty_before_it_is_compressed(make_tail):
    tail = make_tail("*").start()
    tail.path("app.log.gz").touch()
    tail.settle(1.0)
    tail.path("app.log.gz").write_bytes(gzip.compress(b"a line\n" * 100))
    harness.wait_until(lambda: tail.describe()["compressed, ignored"] == "1", 10, "the file to be recognised")
    assert tail.lines() == []


def test_t32_the_inode_of_a_compressed_file_is_used_again(make_tail):
    """Rotation deletes the oldest, and makes the new file a moment later: with the same inode (as in test_t09)."""
    tail = make_tail("*").start()
    tail.path("app.log.2.gz").write_bytes(gzip.compress(b"a line\n" * 100))
    harness.wait_until(lambda: tail.describe()["compressed, ignored"] == "1", 10, "the file to be recognised")
    with tail.frozen():
        os.truncate(tail.path("app.log.2.gz"), 0)
        tail.rename("app.log.2.gz", "app.log")
        tail.append("app.log", "new")
    tail.wait_lines(["new"])
    tail.append("app.log", "newer")
    tail.wait_lines(["new", "newer"])


def test_t33_compressed_while_the_plain_file_has_unread_lines(make_tail):
    tail = make_tail("app.log*").start()
    tail.append("app.log", "first")
    tail.wait_lines(["first"])
    with tail.frozen():
        tail.append("app.log", *numbered("unread", 1000))
        tail.rename("app.log", "app.log.1")
        tail.path("app.log.1.gz").write_bytes(gzip.compress(tail.path("app.log.1").read_bytes()))
        tail.path("app.log.1").unlink()
        tail.append("app.log", "new")
    tail.wait_lines(["first"] + numbered("unread", 1000) + ["new"], ordered=False)


def test_t34_the_database_is_away_and_the_files_are_the_buffer(make_tail):
    tail = make_tail("app.log", spool_max_mb=1).start(PROBE_HOLD="1")
    for i in range(0, 50000, 1000):
        tail.append("app.log", *numbered("line", 1000, i, width=100))
    harness.wait_until(lambda: "paused" in tail.describe(), 20, "the spool to be full")
    spool = sum(p.stat().st_size for p in tail.state.rglob("*") if p.is_file())
    assert spool < 1.2 * (1 << 20)
    assert int(tail.describe()["lag_bytes"]) > 1 << 20
    tail.kill()
    tail.append("app.log", "last")
    tail.start()
    harness.wait_until(lambda: "last" in tail.lines(), 60, "the last line", interval=0.3)
    assert [m.split(" x")[0] for m in tail.lines()] == numbered("line", 50000) + ["last"]


def test_t35_deleted_files_are_not_held_for_ever(make_tail):
    tail = make_tail("app.log", spool_max_mb=1, log_deleted_max_mb=8).start(PROBE_HOLD="1")
    for i in range(4):
        tail.append("app.log", *numbered(f"file {i}", 20000, width=200))
        inode = tail.path("app.log").stat().st_ino
        harness.wait_until(lambda n=i: int(tail.describe()["open"]) >= 1, 10, "the file")
        tail.settle(0.8)
        tail.path("app.log").unlink()
        tail.settle(0.5)
    assert inode
    harness.wait_until(lambda: int(tail.describe()["lost_bytes"]) > 0, 20, "a file to be given up")
    pinned = sum(os.stat(f"/proc/{tail.process.pid}/fd/{fd}").st_size for fd in os.listdir(f"/proc/{tail.process.pid}/fd")
                 if "(deleted)" in os.readlink(f"/proc/{tail.process.pid}/fd/{fd}"))
    assert pinned <= 9 << 20
    tail.ask("take")
    harness.wait_until(lambda: "file 3 19999" in {m.split(" x")[0] for m in tail.lines()}, 60, "the newest file", interval=0.5)
    lost = [r for r in tail.of(EVENT) if r["kind"] == "data_lost"]
    assert lost and json.loads(lost[0]["data"])["bytes"] > 0 and json.loads(lost[0]["data"])["file"].endswith("app.log")


@pytest.mark.parametrize("how", ["renamed", "copied and truncated"])
def test_t36_killed_at_any_moment(make_tail, how):
    """Numbered lines, a rotation now and then, kill -9 as often as OBSERV_TAIL_KILLS says (200 in full): each line once."""
    kills = int(os.environ.get("OBSERV_TAIL_KILLS", "40"))
    rng = random.Random(36)
    tail = make_tail("app.log*").start()
    written, stop = [0], threading.Event()

    def write():
        turn = 0
        while not stop.is_set():
            with open(tail.path("app.log"), "a", encoding="utf-8") as out:
                for _ in range(20):
                    out.write(f"line {written[0]}\n")
                    written[0] += 1
            turn += 1
            if turn % 40 == 0:
                for i in range(9, 0, -1):
                    if tail.path(f"app.log.{i}").exists():
                        tail.rename(f"app.log.{i}", f"app.log.{i + 1}")
                if how == "renamed":
                    tail.rename("app.log", "app.log.1")
                else:
                    tail.copytruncate("app.log", "app.log.1")
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(kills):
            time.sleep(rng.uniform(0.01, 0.15))
            tail.kill()
            tail.start(settled=False)
    finally:
        stop.set()
        writer.join()
    harness.wait_until(lambda: len(tail.lines()) >= written[0], 60, "all lines", interval=0.3)
    tail.settle()
    got = [int(m.split()[1]) for m in tail.lines()]
    assert sorted(got) == list(range(written[0]))


def test_t37_what_was_delivered_without_an_answer_comes_with_the_same_number(make_tail):
    tail = make_tail("app.log").start()
    tail.ask("deaf")
    tail.append("app.log", *numbered("line", 100))
    tail.wait_lines(numbered("line", 100))
    tail.kill()
    tail.append("app.log", "last")
    tail.start()
    tail.wait_lines(numbered("line", 100) + ["last"])  # records that come twice are compared in tail_files.py
    tail.settle()
    assert len(tail.lines()) == 101


def test_t38_a_damaged_position_is_said_aloud(make_tail):
    """The file is read from its end on, and an event tells of it."""
    tail = make_tail("app.log").start()
    tail.append("app.log", "one")
    tail.wait_lines(["one"])
    st = tail.path("app.log").stat()
    tail.stop()
    tail.append("app.log", "between")
    for path in tail.state.rglob("*"):
        if path.is_file():
            path.unlink()
    tail.start(PROBE_UNKNOWN="1")
    tail.append("app.log", "after")
    tail.process.stdin.write(f"set {st.st_dev:x}:{st.st_ino} garbage from nowhere\n".encode())
    tail.ask("known")
    tail.wait_lines(["one", "after"])
    assert "is not known any more" in tail.errors()
    assert [json.loads(r["data"])["reason"] for r in tail.of(EVENT)] == ["position_damaged"]


def test_t38_a_lost_spool_goes_on_from_the_database(make_tail):
    tail = make_tail("*.log").start()
    tail.append("app.log", "one")
    tail.wait_lines(["one"])
    known = [r for r in tail.ask("positions") if "position" in r]
    tail.stop()
    tail.append("app.log", "between")
    for path in tail.state.rglob("*"):
        if path.is_file():
            path.unlink()
    tail.start(PROBE_UNKNOWN="1")
    tail.append("app.log", "after")
    tail.append("fresh.log", "fresh")  # a file that is new is read at once
    tail.wait_lines(["one", "fresh"])
    assert "waiting" in tail.describe()
    for item in known:
        tail.process.stdin.write(f"set {item['position'].replace('pattern ', 'pattern_')} {item['state']}\n".encode()
                                 if " " not in item["position"] else b"\n")
    tail.ask("known")
    tail.wait_lines(["one", "fresh", "between", "after"])


def test_first_start_without_the_database_begins_at_the_end_of_then(make_tail):
    tail = make_tail("app.log")
    tail.append("app.log", "old")
    tail.start(PROBE_UNKNOWN="1")
    tail.append("app.log", "new")
    tail.settle()
    assert tail.lines() == []
    tail.ask("known")
    tail.wait_lines(["new"])


def test_t39_the_disk_of_the_spool_is_full(make_tail):
    """No file of the probe may grow: records are kept in memory, and read on when it can be written again."""
    tail = make_tail("app.log")
    tail.append("app.log", "old")
    tail.start()
    tail.append("app.log", "one")
    tail.wait_lines(["one"])
    subprocess.run(["prlimit", f"--pid={tail.process.pid}", "--fsize=1:unlimited"], check=True)
    for i in range(20):
        tail.append("app.log", *numbered("line", 100, i * 100))
        tail.settle(0.05)
    tail.wait_lines(["one"] + numbered("line", 2000))
    subprocess.run(["prlimit", f"--pid={tail.process.pid}", "--fsize=unlimited:unlimited"], check=True)
    tail.append("app.log", "last")
    tail.wait_lines(["one"] + numbered("line", 2000) + ["last"])


def test_t41_the_clock_of_the_lines_is_kept(make_tail):
    """Times in the past are kept; a time that cannot be is replaced by the moment of reading, and told of."""
    tail = make_tail("app.log").start()
    tail.append("app.log", json.dumps({"timestamp": "2026-01-02T03:04:05Z", "level": "INFO", "message": "past"}),
                json.dumps({"timestamp": "2999-01-01T00:00:00Z", "level": "INFO", "message": "future"}), "no time at all")
    tail.wait_lines(["past", "future", "no time at all"])
    past, future, absent = tail.of(tail_files.LOG)
    assert past["time_us"] == 1767323045000000
    now_us = time.time() * 1e6
    assert abs(future["time_us"] - now_us) < 60e6 and "2999" in future["context"]
    assert abs(absent["time_us"] - now_us) < 60e6


def test_t42_a_burst(make_tail):
    """200,000 lines at once, no room for most of them: memory flat, nothing lost, in order."""
    tail = make_tail("app.log", spool_max_mb=4)
    tail.append("app.log", "old")
    tail.start()
    tail.append("app.log", "begin")
    tail.wait_lines(["begin"])
    before = harness.anonymous_kb(tail.process.pid)
    tail.append("app.log", *numbered("line", 200000, width=60))
    harness.wait_until(lambda: len(tail.lines()) >= 200001, 120, "all lines", interval=0.5)
    assert [m.split(" x")[0] for m in tail.lines()[1:]] == numbered("line", 200000)
    assert harness.anonymous_kb(tail.process.pid) - before < 4096


def test_t42_the_shortest_lines_there_are(make_tail):
    """A record takes fifty times the room of such a line: groups stay small enough for the smallest spool."""
    tail = make_tail("app.log", spool_max_mb=1).start()
    tail.append("app.log", *["a"] * 100000)
    harness.wait_until(lambda: len(tail.lines()) == 100000, 90, "all lines", interval=0.5)
    records = tail.of(tail_files.LOG) + tail.of(POSITION)
    sizes, size = [], 0
    for record in sorted(records, key=lambda r: r["n"]):
        size += 1
        if record["record"] == POSITION:
            sizes.append(size)
            size = 0
    assert max(sizes) <= 1002


def test_t42_a_record_that_is_larger_than_the_spool(make_tail):
    """It is given up and told of; what is behind it arrives."""
    tail = make_tail("app.log", spool_max_mb=1, log_max_line_bytes=1 << 20).start(speed=50)
    tail.append("app.log", "before", "y" * 1000000, "behind")
    harness.wait_until(lambda: "behind" in tail.lines(), 60, "the line behind it")
    assert "before" in tail.lines() and len(tail.lines()) <= 3
    if len(tail.lines()) == 2:
        assert [json.loads(r["data"])["reason"] for r in tail.of(EVENT) if r["kind"] == "data_lost"] == ["larger_than_spool"]


def test_t43_first_start_on_a_file_of_10_gb(make_tail):
    tail = make_tail("app.log", {"path": "whole.log", "start_at": "beginning"})
    with open(tail.path("app.log"), "wb") as out:
        out.truncate(10 << 30)
        out.seek(10 << 30)
        out.write(b"\nlast of old\nhalf a ")
    tail.append("whole.log", "from the beginning")
    began = time.monotonic()
    tail.start()
    assert time.monotonic() - began < 5
    tail.append("app.log", "line", "new")
    tail.wait_lines(["from the beginning", "half a line", "new"], ordered=False)


def test_t44_what_is_no_file(make_tail):
    tail = make_tail("*")
    os.mkfifo(tail.path("fifo"))
    tail.path("directory").mkdir()
    os.symlink("/dev/zero", tail.path("device"))
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tail.path("socket"))[-100:] if len(str(tail.path("socket"))) < 100 else f"/tmp/s{os.getpid()}")
    tail.start()
    tail.append("good", "good")
    tail.wait_lines(["good"])
    assert tail.describe()["files"] == "1" and int(tail.describe()["no regular files"]) >= 3
    sock.close()


def test_a_pattern_that_is_new_does_not_bring_old_lines(make_tail):
    """Reload: files that are followed go on, files of a pattern that was not there before begin at their end."""
    tail = make_tail("a.log")
    tail.append("a.log", "old a")
    tail.append("b.log", "old b")
    tail.start()
    tail.append("a.log", "a 1")
    tail.wait_lines(["a 1"])
    tail.configure("b.log", "a.log")
    tail.ask(f"reload {tail.config}")
    harness.wait_until(lambda: tail.describe()["files"] == "2", 10, "the second file")
    tail.append("a.log", "a 2")
    tail.append("b.log", "b 1")
    tail.wait_lines(["a 1", "a 2", "b 1"], ordered=False)
    tail.configure("b.log")
    tail.ask(f"reload {tail.config}")
    harness.wait_until(lambda: tail.describe()["files"] == "1", 10, "the file to be let go")
    tail.append("a.log", "a 3")
    tail.configure("b.log", "a.log")
    tail.ask(f"reload {tail.config}")
    tail.wait_lines(["a 1", "a 2", "b 1", "a 3"], ordered=False)


def test_positions_of_files_that_are_gone_are_forgotten(make_tail):
    tail = make_tail("*.log").start(speed=100)
    tail.append("app.log", "one")
    tail.wait_lines(["one"])
    st = tail.path("app.log").stat()
    tail.path("app.log").unlink()
    key = f"{st.st_dev:x}:{st.st_ino}"
    harness.wait_until(lambda: [r for r in tail.of(POSITION) if r["file"] == key and r["state"] is None], 20, "the position to be forgotten")
    assert tail.describe()["open"] == "0"


