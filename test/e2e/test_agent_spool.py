"""The spool of a running agent: damage, a full disk, a checkpoint that is garbage. Histories of the spool alone: test/unit/test_spool.c."""

import os
import subprocess
import time

import pytest

import harness
from agent_config import Setup
from harness import wait_until

SERVER = {"tcp": True}
LINES = "SELECT count(*), count(DISTINCT context ->> 'n') FROM observ.log_entries WHERE app_name = 'app'"


class Log:
    """A log file of numbered JSON lines."""

    def __init__(self, path):
        self.path, self.last = path, 0
        path.touch()

    def write(self, n, pad=100):
        """n more lines."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with open(self.path, "a", encoding="utf-8") as file:
            for self.last in range(self.last + 1, self.last + n + 1):
                file.write(f'{{"timestamp": "{now}", "level": "INFO", "logger": "app", "message": "line {self.last}; {"x" * pad}", "context": {{"n": {self.last}}}}}\n')


def set_up(directory, server, db, log):
    """A configuration that reads the log from its beginning."""
    setup = Setup(directory, server.url(db))
    setup.config.write_text(setup.config.read_text() + f"  log_files:\n    - path: {log.path}\n      start_at: beginning\n")
    return setup


def spool_of(setup):
    """The directory of the spool."""
    found = [path for path in setup.state.iterdir() if path.is_dir() and path.name.startswith("spool")]
    assert len(found) == 1
    return found[0]


def segments(setup):
    """Files of the spool, oldest first."""
    return sorted(spool_of(setup).glob("*.seg"))


def wait_for_lines(server, db, n, deadline=60):
    """Each of n lines exactly once."""
    wait_until(lambda: server.sql(db, LINES)[0][1] >= n, deadline, f"{n} lines", retry_on=harness.psycopg.Error)
    assert server.sql(db, LINES) == [(n, n)]


def wait_until_spooled(setup, log):
    """Until the last line is in a file of the spool."""
    text = f"line {log.last};".encode()
    wait_until(lambda: setup.state.exists() and any(text in path.read_bytes() for path in segments(setup)), 30, "all lines in the spool", retry_on=(OSError, AssertionError))


def test_killed_and_damaged_while_the_database_is_away(make_server, tmp_path, run_agent):
    server = make_server(**SERVER)
    db = server.create_database("d", extension=True)
    log = Log(tmp_path / "app.log")
    setup = set_up(tmp_path, server, db, log)
    agent = run_agent(*setup.args())
    log.write(10)
    wait_for_lines(server, db, 10)
    server.stop()
    log.write(20000)
    wait_until_spooled(setup, log)
    agent.kill9()
    files = segments(setup)
    assert len(files) >= 3
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files) and spool_of(setup).stat().st_mode & 0o777 == 0o700
    # One bit of one line, a torn end, a file of something else, a file of another time.
    bad = files[1].read_bytes()
    number = int(bad[bad.index(b"line ", len(bad) // 2) + 5:].split(b";")[0])
    at = bad.index(f"line {number};".encode())
    files[1].write_bytes(bad[:at] + bytes([bad[at] ^ 4]) + bad[at + 1:])
    with open(files[-1], "ab") as last:
        last.write(bad[:100])
    (spool_of(setup) / "0000000000000001.seg").write_bytes(os.urandom(100000))
    (spool_of(setup) / "0000000000000002.seg").write_bytes(b"")
    server.start()
    again = run_agent(*setup.args())
    wait_for_lines(server, db, log.last - 1)
    missing = server.value(db, "SELECT n FROM generate_series(1, %s) n WHERE NOT EXISTS (SELECT FROM observ.log_entries WHERE context ->> 'n' = n::text)", (log.last,))
    assert missing == number
    wait_until(lambda: server.sql(db, "SELECT sum((data ->> 'damaged')::int), bool_or(data ->> 'reason' = 'spool damaged'), bool_and(message LIKE 'lost %%') FROM observ.events "
                                      "WHERE kind = 'data_lost'", ()) == [(2, True, True)], 20, "the event that says so")
    assert "0000000000000001.seg holds no record: moved to segment.damaged" in again.stderr()
    assert [path.name for path in spool_of(setup).glob("*.damaged")] == ["segment.damaged"]
    assert again.stop() == 0


@pytest.mark.parametrize("how", ["cut", "garbage", "gone"])
def test_positions_that_are_lost_come_from_the_database(server, observ_db, tmp_path, run_agent, how):
    log = Log(tmp_path / "app.log")
    setup = set_up(tmp_path, server, observ_db, log)
    agent = run_agent(*setup.args())
    log.write(8000)
    wait_for_lines(server, observ_db, log.last)
    positions = spool_of(setup) / "positions"
    wait_until(lambda: positions.exists() and len(segments(setup)) == 1, 20, "delivered segments to go")
    agent.kill9()
    if how == "gone":  # with all the rest
        for path in spool_of(setup).iterdir():
            path.unlink()
    else:
        whole = positions.read_bytes()
        positions.write_bytes(whole[:-30] if how == "cut" else os.urandom(len(whole)))
        # No segment knows better.
        for path in segments(setup):
            os.truncate(path, 0)
    log.write(100)
    again = run_agent(*setup.args())
    wait_for_lines(server, observ_db, log.last)
    log.write(100)
    wait_for_lines(server, observ_db, log.last)
    assert ("positions is damaged" in again.stderr()) == (how != "gone")
    assert again.stop() == 0


@pytest.fixture(name="small_disk")
def small_disk_of_two_megabytes(tmp_path):
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk):
    """Nothing more fits on that disk."""
    with open(disk / "filler", "ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"f" * size)
            except OSError:
                continue


def test_full_disk(server, observ_db, tmp_path, run_agent, small_disk):
    log = Log(tmp_path / "app.log")
    setup = set_up(tmp_path, server, observ_db, log)
    setup.state = small_disk / "state"
    agent = run_agent(*setup.args())
    log.write(100)
    wait_for_lines(server, observ_db, log.last)
    fill(small_disk)
    log.write(1000)
    agent.wait_for_stderr("No space left on device; going on in memory")
    wait_for_lines(server, observ_db, log.last)
    log.write(1000)
    wait_for_lines(server, observ_db, log.last)
    assert agent.running() and agent.stderr().count("going on in memory") == 1
    (small_disk / "filler").unlink()
    agent.wait_for_stderr("spool: writing to disk again", 60)
    log.write(10)
    wait_until_spooled(setup, log)
    wait_for_lines(server, observ_db, log.last)
    # And what it was killed with, full again, is delivered once.
    fill(small_disk)
    log.write(2000)
    wait_for_lines(server, observ_db, log.last)
    agent.kill9()
    log.write(1000)
    again = run_agent(*setup.args())
    wait_for_lines(server, observ_db, log.last)
    assert again.stop() == 0
    assert server.sql(observ_db, "SELECT count(*) FROM observ.events WHERE kind = 'data_lost'") == [(0,)]
