"""Running obs-agent: its state file, systemd, metrics of its own, adaptive sampling, reboots, clones, `explain`."""

import json
import os
import re
import signal
import socket
import uuid

import pytest

from agent_config import Setup, wait_for_rows
from harness import wait_until
from proctree import ProcTree

SERVER = {"preload": False, "tcp": True}
BOOT_ID = "sys/kernel/random/boot_id"


@pytest.fixture
def setup(server, observ_db, tmp_path):
    return Setup(tmp_path, server.url(observ_db))


@pytest.fixture
def status(setup, run_agent):
    """Calls `obs-agent status`: exit code, and the JSON object (or the text)."""
    def call(*args, text=False):
        asked = run_agent("status", "--vps-name", "test-vps", "--app-name", "app", "--state-dir", setup.state, *args, *([] if text else ["--json"]))
        code = asked.wait(20)
        return code, asked.stdout() if text or not asked.stdout() else json.loads(asked.stdout())
    return call


def wait_for_status(status, predicate, deadline, what):
    return wait_until(lambda: (said := status()[1]) and predicate(said) and said, deadline, what, interval=0.5)


def add_to_config(setup, text):
    setup.config.write_text(setup.config.read_text() + text)


# --- the state file -----------------------------------------------------------------------------------------------------


def test_status_of_an_agent_that_delivers(server, observ_db, setup, run_agent, status):
    assert status()[0] == 1  # nothing there yet
    agent = run_agent(*setup.args())
    wait_for_rows(server, observ_db, 1)
    said = wait_for_status(status, lambda s: s["rows_sent"] > 0, 15, "a delivery in the state file")
    assert said["running"] is True and said["pid"] == agent.pid and said["database"] == "connected"
    assert said["vps_name"] == "test-vps" and said["app_name"] == "app" and said["version"] == "1.0"
    assert said["agent_id"] == server.value(observ_db, "SELECT agent_id::text FROM observ.collectors")
    assert said["stuck_helpers"] == 0 and said["dropped_metrics"] == 0 and said["spool_on_disk"] is True
    assert "interval: 10 s" in said["sources"]["machine"]
    assert "last_error" not in said
    code, text = status(text=True)
    assert code == 0 and text.startswith("running: yes, as of ") and f"pid: {agent.pid}\n" in text
    # Nobody's secret: the connection string is not in it.
    assert "postgres" not in text
    assert agent.stop(10) == 0
    code, text = status(text=True)
    assert code == 1 and text.startswith("running: no, as of ")
    assert "spool_records: 0\n" in text  # its last word: everything was delivered


def test_status_without_a_database(setup, run_agent, status):
    setup.write("postgresql://u:hunter2@127.0.0.1:1/d")
    agent = run_agent(*setup.args())
    said = wait_for_status(status, lambda s: "last_error" in s and s["spool_records"] > 0, 30, "trouble in the state file")
    assert said["running"] is True and said["database"] in ("down", "connecting") and said["rows_sent"] == 0
    assert "the database does not take rows" in said["last_error"] and "hunter2" not in json.dumps(said)
    assert "last_flush" not in said
    wait_for_status(status, lambda s: s["lag_s"] > 0, 30, "lag")
    assert agent.stop(10) == 0


def test_status_of_an_agent_that_hangs(server, observ_db, setup, run_agent, status):
    """Its lock is there, but its file gets old."""
    agent = run_agent(*setup.args())
    wait_until(lambda: status()[0] == 0, 15, "the state file")
    agent.signal(signal.SIGSTOP)
    file = setup.state / "status-test-vps"
    file.write_text(re.sub(r"written_us: \d+", "written_us: 1700000000000000", file.read_text()))
    code, text = status(text=True)
    assert code == 1 and text.startswith("running: hangs")
    assert status()[1]["running"] is False
    agent.signal(signal.SIGCONT)


def test_damaged_state_file(setup, status):
    setup.state.mkdir()
    for content in (b"", b"\xff\xfe\0\0", b"x" * 100_000, b"written_us: 99999999999999999999999\n.:\n: \na.b: c\na.d: e\nb.c: d\n",
                    b"pid: 007\nrows_sent: -0\na.b: c\nreconnects: 1\n"):
        (setup.state / "status-test-vps").write_bytes(content)
        code, said = status()
        assert code == 1 and (said == "" or said["running"] is False)


def test_a_reload_starts_sources(server, observ_db, setup, run_agent, status):
    """What the new configuration adds begins without a restart."""
    logs = setup.dir / "app.log"
    logs.write_text("")
    agent = run_agent(*setup.args())
    said = wait_for_status(status, lambda s: s["sources"], 15, "the state file")
    assert "logs" not in said["sources"] and "health" not in said["sources"]
    add_to_config(setup, f"  log_files: [{{path: '{logs}', start_at: beginning}}]\n  health_checks: [{{url: 'tcp://127.0.0.1:1'}}]\n")
    agent.signal(signal.SIGHUP)
    wait_for_status(status, lambda s: {"machine", "logs", "health"} <= set(s["sources"]), 15, "the new sources")
    with open(logs, "a", encoding="ascii") as file:
        file.write("hello\n")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.log_entries WHERE message = 'hello'") == 1, 30, "the line")
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.health_checks WHERE NOT success") >= 1, 30, "the check")
    assert agent.stop(10) == 0


# --- systemd ------------------------------------------------------------------------------------------------------------


class Systemd:
    """The socket that systemd would listen on."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.setblocking(False)
        self.said = []

    def heard(self, text):
        """Whether some message began so."""
        try:
            while True:
                self.said.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            pass
        return any(message.startswith(text) for message in self.said)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(setup, run_agent, tmp_path, abstract):
    name = f"\0obs-{uuid.uuid4()}" if abstract else str(tmp_path / "notify")
    systemd = Systemd(name)
    agent = run_agent(*setup.args(), env={"NOTIFY_SOCKET": name.replace("\0", "@"), "WATCHDOG_USEC": "1000000"})
    wait_until(lambda: systemd.heard("READY=1"), 10, "READY")
    wait_until(lambda: systemd.heard("STATUS=the database takes rows"), 10, "STATUS")
    wait_until(lambda: systemd.heard("WATCHDOG=1") and systemd.said.count("WATCHDOG=1") >= 3, 10, "the watchdog")
    assert not systemd.heard("RELOADING=1")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: systemd.heard("RELOADING=1\nMONOTONIC_USEC="), 10, "RELOADING")
    wait_until(lambda: systemd.heard("READY=1") and systemd.said.count("READY=1") == 2, 10, "READY again")
    assert not systemd.heard("STOPPING=1")
    assert agent.stop(10) == 0
    assert systemd.heard("STOPPING=1")
    assert all("secret" not in m and "postgresql" not in m for m in systemd.said)


def test_a_watchdog_of_another_process_is_none_of_ours(setup, run_agent, tmp_path):
    systemd = Systemd(str(tmp_path / "notify"))
    agent = run_agent(*setup.args(), env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    wait_until(lambda: systemd.heard("STATUS="), 10, "STATUS")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: systemd.heard("RELOADING=1"), 10, "RELOADING")
    assert not systemd.heard("WATCHDOG=1")


# --- metrics of its own, adaptive sampling ------------------------------------------------------------------------------


def test_metrics_of_its_own(server, observ_db, setup, run_agent):
    run_agent(*setup.args())
    names = {"rss_bytes", "private_bytes", "cpu_seconds_total", "cycle_cpu_ms_max", "rows_sent_total", "rows_dropped_total", "spool_bytes",
             "spool_records", "reconnects_total", "stuck_helpers"}
    found = wait_until(lambda: server.sql(observ_db, "SELECT metric_name, labels, value FROM observ.metric_samples WHERE metric_name LIKE 'observ_agent_%'"),
                       30, "samples of the agent")
    assert names <= {name.removeprefix("observ_agent_") for name, _, _ in found}
    values = {(name.removeprefix("observ_agent_"), labels.get("reason")): value for name, labels, value in found}
    assert 1e6 < values["rss_bytes", None] < 64e6
    assert 0 < values["private_bytes", None] <= values["rss_bytes", None]
    assert 0 < values["cpu_seconds_total", None] < 5
    assert values["rows_dropped_total", "metrics"] == 0 and values["stuck_helpers", None] == 0
    assert values["cycle_cpu_ms_max", None] > 0
    # A minute later what has changed is there again, and what has not isn't.
    counts = wait_until(lambda: (c := dict(server.sql(observ_db, "SELECT metric_name, count(*) FROM observ.metric_samples GROUP BY 1")))
                        .get("observ_agent_cpu_seconds_total", 0) >= 2 and c, 90, "the next report")
    assert counts["observ_agent_rows_sent_total"] >= 2 and counts["observ_agent_rows_dropped_total"] == 6


def test_adaptive_sampling_and_boost(server, observ_db, setup, run_agent, status, tmp_path):
    """Rows each 5 s, delivered each 10 s; a boost of the database is heard and said."""
    tree = ProcTree(tmp_path / "t")  # a machine that has nothing to tell, whatever this one is doing
    add_to_config(setup, "  adaptive: true\n")
    agent = run_agent(*setup.args("--proc-root", tree.dir))
    agent.wait_for_stderr("a sample each 5 to 30 s, delivered each 10 s")
    wait_for_rows(server, observ_db, 4, 40)
    gaps = server.sql(observ_db, "SELECT extract(epoch FROM timestamp - lag(timestamp) OVER (ORDER BY timestamp))::float FROM observ.vps_metrics")
    assert all(1.5 < gap < 7.6 for gap, in gaps[1:])
    assert server.value(observ_db, "SELECT bool_and(interval_ms BETWEEN 900 AND 7600) FROM observ.vps_metrics")
    assert "interval: 5 s (adaptive)" in status()[1]["sources"]["machine"]
    server.sql(observ_db, "INSERT INTO observ.vps (vps_name) VALUES ('test-vps') ON CONFLICT DO NOTHING RETURNING 1")
    server.sql(observ_db, "SELECT observ.boost('test-vps', '1 hour')")
    wait_for_status(status, lambda s: "interval: 5 s (adaptive: the database asks for it)" in s["sources"]["machine"], 40, "the boost")
    # Off again by a reload, without a restart.
    setup.write(server.url(observ_db))
    agent.signal(signal.SIGHUP)
    wait_for_status(status, lambda s: "interval: 10 s" in s["sources"]["machine"], 20, "the fixed interval")


# --- reboots, clones, containers ----------------------------------------------------------------------------------------


def test_a_reboot_is_an_event(server, observ_db, setup, run_agent, status, tmp_path):
    tree = ProcTree(tmp_path / "t")
    args = setup.args("--proc-root", tree.dir)
    for boot in ("first", "first", "second"):
        tree.write(BOOT_ID, boot + "\n")
        agent = run_agent(*args)
        wait_until(lambda a=agent: (s := status()[1]) and s["pid"] == a.pid and s["boot_id"] == boot, 20, "the state file")
        if boot == "second":
            wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.events"), 20, "the event")
        assert agent.stop(10) == 0
        assert server.value(observ_db, "SELECT count(*) FROM observ.events") == (boot == "second")
    kind, vps, app, message, duration, data = server.sql(observ_db, "SELECT kind, vps_name, app_name, message, duration_ms, data FROM observ.events")[0]
    assert server.value(observ_db, "SELECT count(*) FROM observ.events") == 1
    assert (kind, vps, app) == ("rebooted", "test-vps", "app")
    assert "rebooted" in message and 0 <= duration < 60000 and data["downtime_s"] == int(duration / 1000)


def test_a_clone_takes_an_identity_of_its_own(setup, run_agent):
    file = setup.state / "agent_id-test-vps"
    agent = run_agent(*setup.args())
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) == 2, 10, "the identity")
    agent.stop(10)
    identity, machine = file.read_text().splitlines()
    assert "clone" not in agent.stderr()
    for text, warned in ((f"{identity}\n", False),  # of an older version: the machine is added
                         (f"{identity}\n{machine}\n", False),
                         (f"{identity}\nmachine 0123456789abcdef\n", True)):
        file.write_text(text)
        agent = run_agent(*setup.args())
        agent.wait_for_stderr("collecting for")
        agent.stop(10)
        assert ("is a clone" in agent.stderr()) == warned
        assert file.read_text().splitlines()[1] == machine
        assert (file.read_text().splitlines()[0] != identity) == warned


def test_lxc_without_lxcfs_is_said_once(setup, run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    agent = run_agent(*setup.args("--proc-root", tree.dir), env={"container": "lxc"})
    agent.wait_for_stderr("not lxcfs's")
    agent.stop(10)
    agent = run_agent(*setup.args("--proc-root", tree.dir), env={"container": "docker"})
    agent.wait_for_stderr("collecting for")
    agent.stop(10)
    assert "lxcfs" not in agent.stderr()


def test_a_stuck_helper_is_counted_and_others_go_on(server, observ_db, setup, run_agent, status, tmp_path):
    """/ hangs: interfaces that come are seen all the same, by another helper."""
    tree = ProcTree(tmp_path / "t")
    (tree.dir / "statvfs").unlink()
    os.mkfifo(tree.dir / "statvfs")
    agent = run_agent(*setup.args("--proc-root", tree.dir))
    said = wait_for_status(status, lambda s: s["stuck_helpers"] >= 1, 30, "the stuck helper")
    assert "problem: the filesystem of / does not answer" in said["sources"]["machine"]
    tree.nic("eth7", 7, hardware=True)
    tree.write("net/dev", tree.net_dev(eth7=1000))
    wait_until(lambda: server.value(observ_db, "SELECT count(*) FROM observ.vps_metrics WHERE net_rx_bps IS NOT NULL AND disk_percent IS NULL") > 0, 60,
               "the new interface in a row")
    assert agent.stop(5) == 0


# --- explain ------------------------------------------------------------------------------------------------------------


def explain(run_agent, *args):
    asked = run_agent("explain", *args)
    assert asked.wait(20) == 0, asked.stderr()
    return dict(re.split(r"\s{2,}|\s(?=left out)", line.strip(), maxsplit=1) for line in asked.stdout().splitlines() if line.startswith("  "))


def test_explain_disk(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.write("1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:5 / /proc rw - proc proc rw\n3 1 8:2 / /srv rw - xfs /dev/sda2 rw\n"
                              "4 1 8:2 / /var/srv-again rw - xfs /dev/sda2 rw\n5 1 0:9 / /var/lib/docker/x rw - ext4 /dev/x rw\n6 1 8:9 / /gone rw - ext4 /dev/sdz rw\n")
    tree.block("sda")
    tree.block("dm-0", slaves=["sda"])
    tree.block("loop0")
    (tree.dir / "statvfs").write_text("/ 4096 1000 400 350 100 50 50\n/srv 4096 1000 400 350 100 50 50\n")
    said = explain(run_agent, "disk", "--proc-root", tree.dir)
    assert said["/"] == "measured, ext4, 64 % used" and said["/srv"] == "measured, xfs, 64 % used"
    assert said["/proc"] == "left out: not a filesystem on a disk"
    assert said["/var/srv-again"] == "left out: the same device is reported at another path"
    assert said["/var/lib/docker/x"] == "left out: a directory of the system or of containers"
    assert said["/gone"].startswith("measured, but it has no numbers")
    assert said["sda"] == "measured" and said["dm-0"].startswith("left out: lies on other") and said["loop0"].startswith("left out: memory")


def test_explain_disk_that_hangs(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.write("1/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    (tree.dir / "statvfs").unlink()
    os.mkfifo(tree.dir / "statvfs")
    assert explain(run_agent, "disk", "--proc-root", tree.dir)["/"] == "measured, but it does not answer: unknown until it does"


def test_explain_net(run_agent, tmp_path):
    tree = ProcTree(tmp_path / "t")
    tree.nic("eth0", 2, hardware=True)
    tree.nic("bond0", 3, lower=["eth0"])
    tree.nic("lo", 1, kind="772")
    tree.nic("veth1", 4, iflink=9)
    tree.nic("br0", 5, extra=["bridge"])
    said = explain(run_agent, "net", "--proc-root", tree.dir)
    assert said["eth0"] == "measured, has hardware behind it" and said["lo"] == "left out: the loopback"
    assert said["bond0"].startswith("left out: lies on another") and said["veth1"].startswith("left out: one end of a pair")
    assert said["br0"].startswith("left out: a bridge")


def test_explain_logs(run_agent, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.log").write_text("x\n")
    (logs / "b.log").write_bytes(b"\x1f\x8b\x08\0")
    (logs / "c.log").mkdir()
    os.mkfifo(logs / "d.log")
    (logs / "e.log").symlink_to("nowhere")
    config = tmp_path / "config.yml"
    config.write_text(f"monitoring:\n  postgres_url: ${{NOT_SET}}\n  log_files: ['{logs}/*.log', '{logs}/{{app}}/none']\n")
    asked = run_agent("explain", "logs", "--config", config, "--app-name", "shop")
    assert asked.wait(20) == 0
    lines = [re.sub(r"\s+", " ", line.strip().replace(f"{logs}/", "")) for line in asked.stdout().splitlines()]
    assert {"a.log read, 2 bytes", "b.log left out: compressed", "c.log left out: a directory", "d.log left out: not a regular file",
            "e.log left out: No such file or directory"} <= set(lines)
    assert any(line.startswith("shop/none: nothing there by that name") for line in lines)


@pytest.mark.parametrize("args, message", [
    (("status",), "--app-name is required"),
    (("status", "extra"), "unexpected argument: extra"),
    (("explain",), "explain needs one of disk, net, logs"),
    (("explain", "x"), "explain knows disk, net and logs, not: x"),
    (("explain", "logs"), "--config is required"),
    (("explain", "disk", "net"), "unexpected argument: net"),
    (("explain", "disk", "--json"), "--json goes with --once and status"),
    (("frob",), "unexpected argument: frob"),
])
def test_usage(run_agent, args, message):
    agent = run_agent(*args)
    assert agent.wait(20) == 2 and message in agent.stderr()
