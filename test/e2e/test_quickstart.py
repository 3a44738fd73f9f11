"""scripts/start-monitoring.sh, as a user runs it, in a directory and a private PostgreSQL of its own.

What belongs here: the promises of the quick start. What does not: the numbers of each column (test_agent_*.py), packages
(the test machine has them; docs/development.md says how a bare Debian is tried).
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg
import pytest

import harness
from harness import ROOT, run_tool, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the quick start needs root")
SCRIPT = ROOT / "scripts/start-monitoring.sh"
VPS = "quick-start's test"


class QuickStart:
    """One OBSERV_HOME and how to run the script on it."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="obs-qs-", dir="/tmp"))
        self.home.chmod(0o755)
        run_tool([ROOT / "scripts/pg-prefix.sh", self.home / "pg"])
        self.bindir = self.home / "pg/usr/lib/postgresql/15/bin"
        self.observ = self.home / "observ"
        # Most objects are there already, or it would take minutes; both programs are compiled in part, and linked.
        shutil.copytree(ROOT / "src", self.observ / "build/src")
        for name in ("src/ext/status.o", "src/bgworker/module.o", "src/collector/main.o"):
            (self.observ / "build" / name).unlink()
        self.env = harness.clean_environment(
            OBSERV_HOME=str(self.observ), OBSERV_PG_CONFIG=str(self.bindir / "pg_config"), OBSERV_VPS_NAME=VPS,
            OBSERV_AGENT_USER="nobody")

    def run(self, *args, check=True, **env):
        """The script; CompletedProcess."""
        return run_tool([SCRIPT, *args], check=check, timeout=300, env={**self.env, **env})

    def agent_pid(self):
        """What the pid file says."""
        return int((self.observ / "agent.pid").read_text(encoding="ascii"))

    def server_pid(self):
        """What postmaster.pid says."""
        return int((self.observ / "data/postmaster.pid").read_text(encoding="utf-8").split()[0])

    def query(self, query, database="observ_metrics"):
        """Rows of one query over the socket, as root (mapped to postgres)."""
        port = (self.observ / "port").read_text(encoding="ascii").strip()
        with psycopg.connect(host=str(self.observ / "run"), port=port, user="postgres", dbname=database) as conn:
            return conn.execute(query).fetchall()

    def destroy(self):
        """Ends what the script started, by the ids it wrote down, and removes everything."""
        self.run("--stop", check=False)
        for read in (self.agent_pid, self.server_pid):
            try:
                os.kill(read(), signal.SIGQUIT)
            except (FileNotFoundError, ProcessLookupError):
                pass
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(scope="module")
def quick(installation):
    """A started quick start with the output of its first run; the tests of this module use it one after the other."""
    one = QuickStart()
    try:
        one.existing = sorted(os.listdir("/etc/postgresql")) if os.path.isdir("/etc/postgresql") else None
        one.first = one.run()
        yield one
    finally:
        one.destroy()


def test_first_run_shows_this_machine(quick):
    out = quick.first.stdout
    assert re.search(r"vps_name +\| app_name +\| status +\| +last_seen", out)
    assert re.search(re.escape(VPS) + r" +\| system +\| up ", out)
    for word in ("psql -h", "observ.fleet_summary()", "--logs", "--stop"):
        assert word in out


def test_the_numbers_are_this_machines(quick):
    """Wide margins: the machine is busy with other tests. The exact arithmetic is tested on fixtures."""
    cpu, memory, disk, disk_gb, load = quick.query(
        "SELECT cpu_percent, memory_percent, disk_percent, disk_gb, load_avg_1m FROM observ.vps_metrics "
        "WHERE cpu_percent IS NOT NULL ORDER BY timestamp DESC LIMIT 1")[0]
    assert 0 <= cpu <= 100
    free = run_tool(["free", "-b"]).stdout.splitlines()[1].split()
    assert memory == pytest.approx(100 * (1 - int(free[6]) / int(free[1])), abs=10)
    percent, used = run_tool(["df", "-B1", "--output=pcent,used", "/"]).stdout.splitlines()[1].split()
    assert disk == pytest.approx(int(percent.rstrip("%")), abs=2)
    assert disk_gb == pytest.approx(int(used) / 2**30, rel=0.2) or disk_gb == pytest.approx(int(used) / 1e9, rel=0.2)
    assert load == pytest.approx(os.getloadavg()[0], abs=3)


def test_second_run_changes_nothing(quick):
    before = quick.agent_pid(), quick.server_pid()
    again = quick.run()
    assert "runs already" in again.stdout and VPS in again.stdout
    assert (quick.agent_pid(), quick.server_pid()) == before


def test_rights_are_few(quick):
    status = pathlib.Path(f"/proc/{quick.agent_pid()}/status").read_text(encoding="utf-8")
    assert int(re.search(r"^Uid:\s+(\d+)", status, re.M).group(1)) != 0
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert (quick.observ / "data").stat().st_mode & 0o077 == 0
    assert (quick.observ / "config.yml").stat().st_mode & 0o027 == 0
    assert quick.query("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls "
                       "FROM pg_roles WHERE rolname = 'obs_agent_local'") == [(False,)]
    denied = run_tool(["runuser", "-u", "nobody", "--", quick.bindir / "psql", "-X", "-U", "postgres", "-h",
                       quick.observ / "run", "-p", (quick.observ / "port").read_text().strip(), "observ_metrics",
                       "-c", "SELECT 1"], check=False, cwd="/")
    assert denied.returncode == 2 and "authentication failed" in denied.stderr


def test_status_and_logs(quick):
    status = quick.run("--status").stdout
    assert str(quick.agent_pid()) in status and str(quick.server_pid()) in status and VPS in status
    logs = quick.run("--logs").stdout
    assert "database system is ready to accept connections" in logs and "agent.log" in logs


def test_a_dead_agent_is_noticed_and_comes_back(quick):
    os.kill(quick.agent_pid(), signal.SIGKILL)
    wait_until(lambda: not harness.process_alive(quick.agent_pid()), 10, "the agent to be gone")
    status = quick.run("--status", check=False)
    assert status.returncode == 3 and "obs-agent   does not run" in status.stdout
    before = quick.server_pid()
    quick.run()
    assert harness.process_alive(quick.agent_pid())
    assert quick.server_pid() == before


def test_stop_keeps_the_data_and_restart_brings_it_back(quick):
    before = quick.agent_pid(), quick.server_pid()
    count = quick.query("SELECT count(*) FROM observ.vps_metrics")[0][0]
    quick.run("--stop")
    assert not any(harness.process_alive(pid) for pid in before)
    assert quick.run("--status", check=False).returncode == 3
    quick.run("--stop")
    out = quick.run("--restart").stdout
    assert "building" in out and VPS in out
    assert quick.query("SELECT count(*) FROM observ.vps_metrics")[0][0] > count > 0


def test_changed_settings_of_the_user_survive_a_restart(quick):
    config = quick.observ / "config.yml"
    config.write_text(config.read_text(encoding="utf-8").replace("interval: 10", "interval: 11"), encoding="utf-8")
    user_conf = quick.observ / "data/user.conf"
    user_conf.write_text("work_mem = '5MB'\n", encoding="utf-8")
    user_conf.chmod(0o644)
    quick.run("--restart", OBSERV_PORT=str(harness.free_port()))
    assert "collection_interval: 11" in config.read_text(encoding="utf-8")
    assert quick.query("SHOW work_mem") == [("5MB",)]


def test_it_touches_no_other_cluster(quick):
    now = sorted(os.listdir("/etc/postgresql")) if os.path.isdir("/etc/postgresql") else None
    assert now == quick.existing


def test_two_at_once_do_not_collide(quick):
    with subprocess.Popen(["flock", quick.observ / ".lock", "cat"], stdin=subprocess.PIPE) as holder:
        wait_until(lambda: quick.run("--stop", check=False).returncode == 1, 10, "the lock to be taken")
        done = quick.run(check=False)
        assert done.returncode == 1 and "another start-monitoring.sh is at work" in done.stderr
        holder.stdin.close()


def test_a_taken_port_is_named(quick):
    quick.run("--stop")
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        done = quick.run(check=False, OBSERV_PORT=str(port))
        assert done.returncode == 1
        assert f"port {port} is in use by another program" in done.stderr and "OBSERV_PORT=" in done.stderr
    quick.run()


def test_a_server_that_cannot_start_shows_why(quick):
    user_conf = quick.observ / "data/user.conf"
    quick.run("--stop")
    kept = user_conf.read_text(encoding="utf-8") if user_conf.exists() else ""
    user_conf.write_text("no_such_setting = 1\n", encoding="utf-8")
    user_conf.chmod(0o644)
    done = quick.run(check=False)
    assert done.returncode == 1
    assert "no_such_setting" in done.stderr and "PostgreSQL did not start" in done.stderr and "hint:" in done.stderr
    user_conf.write_text(kept, encoding="utf-8")
    quick.run()


def test_wrong_use_is_explained(quick):
    assert quick.run("--frobnicate", check=False).returncode == 2
    assert "usage:" in quick.run("--frobnicate", check=False).stderr
    done = quick.run(check=False, OBSERV_PORT="99")
    assert done.returncode == 0, "a port is not asked for when everything runs already"
    relative = quick.run(check=False, OBSERV_HOME="var/observ")
    assert relative.returncode == 1 and "absolute path" in relative.stderr


def test_retention_from_the_environment(quick):
    """Taken at any start, also beside what runs; what is not given stays as it is."""
    policies = "SELECT data_set, extract(day FROM max_age)::int FROM observ.retention_policies ORDER BY 1"
    before = dict(quick.query(policies))
    out = quick.run(METRICS_RETENTION_DAYS="08", LOGS_RETENTION_DAYS="7", ALERTS_RETENTION_DAYS="").stdout
    assert "runs already" in out and "keeping log_entries for 7 days" in out
    assert dict(quick.query(policies)) == {**before, "vps_metrics": 8, "health_checks": 8, "metric_samples": 8, "log_entries": 7}
    quick.run(ALERTS_RETENTION_DAYS="36500")
    assert dict(quick.query(policies))["alerts"] == 36500


@pytest.mark.parametrize("name", ["METRICS_RETENTION_DAYS", "LOGS_RETENTION_DAYS", "ALERTS_RETENTION_DAYS"])
@pytest.mark.parametrize("value", ["0", "-1", "36501", "30d", "1.5", "ninety", "99999999999999999999", " 30", "30; DROP TABLE x", "$(id)"])
def test_bad_retention_is_refused_before_anything_is_changed(tmp_path, name, value):
    home = tmp_path / "observ"
    done = run_tool([SCRIPT], check=False, env=harness.clean_environment(OBSERV_HOME=str(home), **{name: value}))
    assert done.returncode == 1
    assert f"{name}={value} is not a number of days between 1 and 36500" in done.stderr and "hint:" in done.stderr
    assert not home.exists()


def test_uninstall_keeps_the_data(quick):
    out = quick.run("--uninstall").stdout
    assert "rm -rf" in out
    assert not (quick.bindir / "obs-agent").exists()
    assert (quick.observ / "data/PG_VERSION").exists()
