"""Log files: what rotates, shrinks, breaks off and comes back (T1 to T17 of the specification). The probe: tail_files.py.

Beginnings, permissions, resources and crashes are in test_agent_tail_trouble.py, network filesystems in test_agent_tail_far.py.
"""

import json
import os
import shutil
import threading

import pytest

import harness
import tail_files
from tail_files import Tail, numbered


def test_t01_the_writer_goes_on_in_the_renamed_file(make_tail):
    tail = make_tail("app.log").start()
    with open(tail.path("app.log"), "a", buffering=1, encoding="utf-8") as writer:
        writer.write("a 0\n")
        tail.wait_lines(["a 0"])
        tail.rename("app.log", "app.log.1")
        tail.append("app.log", "b 0")
        tail.wait_lines(["a 0", "b 0"])
        for i in range(1, 11):
            writer.write(f"a {i}\n")
            tail.append("app.log", f"b {i}")
            tail.settle(0.2)  # 2 s of its clock: 20 in all
    harness.wait_until(lambda: len(tail.lines()) == 22, 20, "all lines of both files")
    assert [m for m in tail.lines() if m[0] == "a"] == numbered("a", 11)
    assert [m for m in tail.lines() if m[0] == "b"] == numbered("b", 11)


def test_t02_a_renamed_file_is_read_to_its_end_however_long_it_takes(make_tail):
    """20 MB unread when it is renamed, and no room in the spool for them until much later."""
    tail = make_tail("app.log", spool_max_mb=1).start(PROBE_HOLD="1")
    tail.append("app.log", *numbered("old", 100000, width=200))
    harness.wait_until(lambda: "paused" in tail.describe(), 20, "the spool to be full")
    tail.rename("app.log", "rotated")
    tail.append("app.log", "new 0")
    tail.settle(2.0)
    tail.ask("take")
    harness.wait_until(lambda: len(tail.lines()) == 100001, 60, "all lines")
    assert [m.split(" x")[0] for m in tail.lines() if m.startswith("old")] == numbered("old", 100000)
    assert [m for m in tail.lines() if m.startswith("new")] == ["new 0"]


def test_t03_two_rotations_between_two_looks(make_tail):
    """The file in the middle was never seen under its own name, and the pattern does not match it now."""
    tail = make_tail("app.log").start()
    tail.append("app.log", "a 0")
    tail.wait_lines(["a 0"])
    with tail.frozen():
        tail.append("app.log", "a 1")
        tail.rename("app.log", "app.log.1")
        tail.append("app.log", "b 0", "b 1")
        tail.rename("app.log.1", "app.log.2")
        tail.rename("app.log", "app.log.1")
        tail.append("app.log", "c 0")
    tail.wait_lines(["a 0", "a 1", "b 0", "b 1", "c 0"], ordered=False)
    assert tail.lines("app.log") == ["a 0", "a 1", "c 0"] or len(tail.lines("app.log")) >= 2


def test_t03_two_rotations_while_it_is_stopped(make_tail):
    tail = make_tail("app.log").start()
    tail.append("app.log", "a 0")
    tail.wait_lines(["a 0"])
    tail.stop()
    old = tail.path("app.log.9")
    old.write_text("very old\n", encoding="utf-8")
    os.utime(old, (1, 1))
    tail.append("app.log", "a 1")
    tail.rename("app.log", "app.log.1")
    tail.append("app.log", "b 0", "b 1")
    tail.rename("app.log.1", "app.log.2")
    tail.rename("app.log", "app.log.1")
    tail.append("app.log", "c 0")
    tail.start()
    tail.wait_lines(["a 0", "a 1", "b 0", "b 1", "c 0"], ordered=False)
    tail.stop()
    tail.start()
    tail.settle()
    assert len(tail.lines()) == 5


def test_t04_copytruncate_smaller_than_before(make_tail):
    tail = make_tail("app.log").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    tail.copytruncate("app.log", "copy")
    tail.append("app.log", "new 0")
    tail.wait_lines(numbered("old", 10) + ["new 0"])
    tail.settle()
    assert len(tail.lines()) == 11


def test_t04_what_was_unread_is_found_in_the_copy(make_tail):
    tail = make_tail("app.log").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    with tail.frozen():
        tail.append("app.log", *numbered("unread", 3))
        tail.copytruncate("app.log", "app.log.1")
        tail.append("app.log", "new 0")
    tail.wait_lines(numbered("old", 10) + numbered("unread", 3) + ["new 0"], ordered=False)
    tail.settle()
    assert len(tail.lines()) == 14


def test_t05_copytruncate_and_grown_past_the_old_offset(make_tail):
    tail = make_tail("app.log").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    with tail.frozen():
        tail.copytruncate("app.log", "copy")
        tail.append("app.log", *numbered("new", 100))
    tail.wait_lines(numbered("old", 10) + numbered("new", 100))
    assert tail.describe()["truncated files"] == "1"


def test_t06_copytruncate_while_it_is_stopped(make_tail):
    tail = make_tail("*.log*").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    tail.stop()
    tail.append("app.log", "unread 0")
    tail.copytruncate("app.log", "app.log.1")
    tail.append("app.log", *numbered("new", 100))
    tail.start()
    tail.wait_lines(numbered("old", 10) + ["unread 0"] + numbered("new", 100), ordered=False)
    tail.settle()
    assert len(tail.lines()) == 111


def test_t07_the_hole_before_a_writer_that_keeps_its_offset(make_tail):
    """10 GB of nothing are passed at once."""
    tail = make_tail("app.log").start()
    with open(tail.path("app.log"), "wb", buffering=0) as writer:
        writer.write(b"old 0\n")
        tail.wait_lines(["old 0"])
        os.truncate(tail.path("app.log"), 0)
        writer.write(b"new 0\n")
        tail.wait_lines(["old 0", "new 0"])
        os.truncate(tail.path("app.log"), 0)
        writer.seek(10 << 30)
        writer.write(b"far 0\n")
        tail.wait_lines(["old 0", "new 0", "far 0"], 10)


def test_t08_the_copy_matches_the_pattern(make_tail):
    tail = make_tail("*.log*").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    shutil.copy(tail.path("app.log"), tail.path("app.log.1"))
    tail.settle()  # it looks at the copy while the original still has everything
    tail.append("app.log", "late 0")
    tail.wait_lines(numbered("old", 10) + ["late 0"])
    os.truncate(tail.path("app.log"), 0)
    tail.append("app.log", "new 0")
    tail.wait_lines(numbered("old", 10) + ["late 0", "new 0"])
    # The next rotation renames the copy and makes another.
    tail.rename("app.log.1", "app.log.2")
    tail.copytruncate("app.log", "app.log.1")
    tail.append("app.log", "newer 0")
    tail.wait_lines(numbered("old", 10) + ["late 0", "new 0", "newer 0"])
    tail.settle()
    assert len(tail.lines()) == 13


def test_t08_the_original_is_found_truncated_by_the_look_at_the_copy(make_tail):
    """The copy is shorter than what was read of the original, and a scan comes before the turn of either."""
    tail = make_tail("*.log*").start()
    tail.append("app.log", *numbered("old", 10))
    tail.wait_lines(numbered("old", 10))
    shutil.copy(tail.path("app.log"), tail.path("app.log.1"))
    harness.wait_until(lambda: "waiting" in tail.describe(), 20, "the copy to be seen")
    tail.append("app.log", "late 0")
    tail.wait_lines(numbered("old", 10) + ["late 0"])
    with tail.frozen():
        tail.settle(0.6)  # a scan is due when it goes on
        os.truncate(tail.path("app.log"), 0)
        tail.append("app.log", "new 0")
    tail.wait_lines(numbered("old", 10) + ["late 0", "new 0"])
    tail.settle()
    assert len(tail.lines()) == 12


@pytest.mark.parametrize("speed", [10, 200])
def test_t08_a_copy_that_is_made_slowly(make_tail, speed):
    """In a second, and in minutes."""
    tail = make_tail("*.log*").start(speed=speed)
    tail.append("app.log", *numbered("old", 100))
    tail.wait_lines(numbered("old", 100))
    whole = tail.path("app.log").read_bytes()
    with open(tail.path("app.log.1"), "wb", buffering=0) as copy:
        for at in range(0, len(whole), 200):
            copy.write(whole[at:at + 200])
            tail.settle(0.15)
    os.truncate(tail.path("app.log"), 0)
    tail.append("app.log", "new 0")
    tail.wait_lines(numbered("old", 100) + ["new 0"])
    tail.settle()
    assert len(tail.lines()) == 101


def inode_used_again(tail, old, new, lines):
    """What a filesystem shows that gives the inode of a deleted file to the next one at once, as ext4 does."""
    os.truncate(tail.path(old), 0)
    if old != new:
        tail.rename(old, new)
    tail.append(new, *lines)


def test_t09_deleted_and_made_again_with_the_same_inode(make_tail):
    """Also while it has no descriptor open: there is another run in between."""
    tail = make_tail("app.log").start()
    tail.append("app.log", *numbered("old", 5))
    tail.wait_lines(numbered("old", 5))
    tail.stop()
    inode_used_again(tail, "app.log", "app.log", numbered("new", 50))
    tail.start()
    tail.wait_lines(numbered("old", 5) + numbered("new", 50))


def test_t09_deleted_and_made_again_while_it_looks(make_tail):
    tail = make_tail("app.log").start()
    expected = []
    for turn in range(5):
        fresh = numbered(f"turn {turn}", 5)
        tail.append("app.log", *fresh)
        expected += fresh
        tail.wait_lines(expected)
        tail.path("app.log").unlink()
    tail.settle()
    assert tail.lines() == expected


def test_t10_the_inode_belongs_to_another_path(make_tail):
    tail = make_tail("*.log").start()
    tail.append("a.log", *numbered("a", 5))
    tail.wait_lines(numbered("a", 5))
    tail.stop()
    inode_used_again(tail, "a.log", "b.log", numbered("b", 50))
    tail.start()
    tail.wait_lines(numbered("a", 5) + numbered("b", 50))


def test_t11_two_files_with_one_head(make_tail):
    tail = make_tail("*").start()
    head = numbered("header", 30, width=100)
    tail.append("messages", *head, "m 0")
    tail.append("syslog", *head, "s 0")
    tail.wait_lines(head + head + ["m 0", "s 0"], ordered=False)
    tail.append("syslog.new", *head, "n 0")
    tail.wait_lines(3 * head + ["m 0", "s 0", "n 0"], ordered=False)


def test_t12_many_empty_files(make_tail):
    tail = make_tail("*.log")
    for i in range(100):
        tail.path(f"{i}.log").touch()
    tail.start()
    assert tail.describe()["files"] == "100"
    tail.stop()
    tail.start()
    for i in range(100):
        tail.append(f"{i}.log", f"line {i}")
    tail.wait_lines([f"line {i}" for i in range(100)], ordered=False)


def test_t13_a_line_in_two_parts(make_tail):
    tail = make_tail("app.log").start()
    tail.append("app.log", "whole", "par", end="\n")
    tail.wait_lines(["whole", "par"])
    tail.append("app.log", "be", end="")
    tail.settle(1.5)
    tail.append("app.log", "gin", "ning")
    tail.wait_lines(["whole", "par", "begin", "ning"])


def test_t14_a_line_in_two_parts_and_a_restart(make_tail):
    for end in (Tail.stop, Tail.kill):
        tail = make_tail("app.log").start()
        tail.append("app.log", "whole\nbe", end="")
        tail.wait_lines(["whole"])
        tail.settle(1.0)
        end(tail)
        tail.append("app.log", "ginning")
        tail.start()
        tail.wait_lines(["whole", "beginning"])
        tail.kill()
        shutil.rmtree(tail.logs)
        shutil.rmtree(tail.state)


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_t15_a_last_line_without_newline(make_tail, how):
    tail = make_tail("app.log").start()
    tail.append("app.log", "whole\nrest", end="")
    tail.wait_lines(["whole"])
    tail.settle(1.0)
    assert tail.lines() == ["whole"]
    if how == "deleted":
        tail.path("app.log").unlink()
    else:
        tail.rename("app.log", "elsewhere")
    tail.append("app.log", "new")
    tail.wait_lines(["whole", "new", "rest"], ordered=False)


def test_t15_a_last_line_without_newline_in_a_file_that_is_still_meant(make_tail):
    """Renamed to what the pattern matches, too; a file that comes back under its name is not over."""
    tail = make_tail("app.log*", "other.log").start()
    tail.append("app.log", "whole\nrest", end="")
    tail.append("other.log", "be", end="")
    tail.wait_lines(["whole"])
    tail.rename("app.log", "app.log.1")
    tail.wait_lines(["whole", "rest"])
    assert "unterminated" in tail.of(tail_files.LOG)[1]["context"]
    tail.rename("other.log", "away")
    tail.settle(0.15)
    tail.rename("away", "other.log")
    tail.settle(1.5)
    tail.append("other.log", "ginning")
    tail.wait_lines(["whole", "rest", "beginning"])


def test_what_is_held_back_is_said_to_be_of_its_own_file(make_tail):
    """It is given out long after its file was read, when another one had its turn."""
    tail = make_tail("app.log", "other.log").start()
    tail.append("app.log", json.dumps({"message": "rest"}), end="")
    tail.settle(0.3)
    tail.path("app.log").unlink()
    written = 0
    while len(tail.lines("app.log")) == 0 and written < 100:
        tail.append("other.log", f"other {written}")
        written += 1
        tail.wait_lines([f"other {i}" for i in range(written)], source="other.log")
    assert tail.lines("app.log") == ["rest"] and 0 < written < 100


def test_t16_lines_that_are_too_long(make_tail):
    """A line of 1 GB takes the room of one; lines before and behind it arrive."""
    tail = make_tail("app.log").start()
    tail.append("app.log", "first", "y" * 65536, "z" * 65537, "\u00fc" * 40000, "short")
    harness.wait_until(lambda: len(tail.lines()) == 5, 20, "five lines")
    lines = tail.lines()
    assert lines[0] == "first" and lines[1] == "y" * 65536 and lines[2] == "z" * 65536 and lines[4] == "short"
    assert lines[3] == "\u00fc" * 32768
    before = harness.anonymous_kb(tail.process.pid)
    with open(tail.path("app.log"), "ab") as out:
        for _ in range(1024):
            out.write(b"q" * (1 << 20))
        out.write(b"\nlast\n")
    harness.wait_until(lambda: tail.lines()[-1] == "last", 60, "the line behind the longest")
    assert len(tail.lines()) == 7 and tail.lines()[5] == "q" * 65536
    assert harness.anonymous_kb(tail.process.pid) - before < 1024
    assert tail.describe()["lines_truncated"] == "3"
    tail.path("app.log").unlink()


def test_t16_a_long_line_that_is_written_in_pieces(make_tail):
    tail = make_tail("app.log", log_max_line_bytes=1024).start()
    for _ in range(20):
        tail.append("app.log", "p" * 300, end="")
        tail.settle(0.1)
    tail.append("app.log", "", "next")
    tail.wait_lines(["p" * 1024, "next"])


def test_t16_a_long_line_without_end_is_told_of(make_tail):
    tail = make_tail("app.log", log_max_line_bytes=1024).start()
    tail.append("app.log", "p" * 3000, end="")
    tail.wait_lines(["p" * 1024])
    tail.append("app.log", "p" * 3000, "next")
    tail.wait_lines(["p" * 1024, "next"])


def test_t17_a_restart_behind_and_within_a_long_line(make_tail):
    tail = make_tail("app.log", log_max_line_bytes=1024).start()
    tail.append("app.log", "p" * 100000, "next")
    tail.wait_lines(["p" * 1024, "next"])
    tail.kill()
    tail.start()
    tail.append("app.log", "q" * 100000, end="")
    tail.wait_lines(["p" * 1024, "next", "q" * 1024])
    tail.kill()
    tail.start()
    tail.append("app.log", "q" * 100000, "last")
    tail.wait_lines(["p" * 1024, "next", "q" * 1024, "last"])
    tail.settle()
    assert len(tail.lines()) == 4


def test_rotation_of_every_kind_while_lines_are_written(make_tail):
    """Renamed, deleted, copied and truncated between writes, 40 times: every line once."""
    tail = make_tail("app.log").start()
    expected = []
    for turn in range(40):
        fresh = numbered(f"turn {turn}", 20)
        tail.append("app.log", *fresh)
        expected += fresh
        if turn % 3 == 0:
            for i in range(4, 0, -1):
                if tail.path(f"app.log.{i}").exists():
                    tail.rename(f"app.log.{i}", f"app.log.{i + 1}")
            tail.rename("app.log", "app.log.1")
        elif turn % 3 == 1:
            tail.wait_lines(expected, ordered=False)  # nobody can read what is deleted unseen
            tail.path("app.log").unlink()
        else:
            if tail.path("app.log.1").exists():
                tail.rename("app.log.1", "app.log.0")
            tail.copytruncate("app.log", "app.log.1")
    tail.wait_lines(expected, ordered=False)
    threading.Event().wait(0.5)
    assert len(tail.lines()) == len(expected)
