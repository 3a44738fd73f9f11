"""deploy/: the systemd unit and the example configuration are what they claim to be."""

import shutil
import subprocess

import pytest

from harness import ROOT

UNIT = ROOT / "deploy/obs-agent@.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_unit(installation, tmp_path):
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/obs-agent", str(installation.agent)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if UNIT.name.split("@")[0] in line]
    assert done.returncode == 0 and said == [], done.stderr


def test_nothing_in_it_falsifies_what_is_measured():
    options = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#"))
    for forbidden in ("ProtectControlGroups", "ProtectKernelTunables", "ProtectProc", "ProcSubset", "PrivateTmp", "PrivateDevices"):
        assert forbidden not in options
    assert options["ProtectHome"] == "read-only"
    assert options["RestartPreventExitStatus"].split() == ["2", "3", "4"]


def options_of(path):
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and not line.startswith("#"))


def test_systemd_is_told_by_whom_it_asks():
    options = options_of(UNIT)
    assert (options["Type"], options["NotifyAccess"]) == ("notify", "main")
    assert int(options["WatchdogSec"]) >= 30  # a sample of a machine that is busy is late, not stuck


def test_the_drop_in_for_lxc_takes_back_what_mounts():
    unit, lxc = options_of(UNIT), options_of(ROOT / "deploy/lxc.conf")
    assert set(lxc) <= set(unit) and set(lxc.values()) == {"no"}
    mounting = {name for name in unit if name.startswith("Protect") or name.startswith("Private")}
    assert mounting <= set(lxc)


def test_example_configuration_is_valid(run_agent):
    agent = run_agent("--check-config", "--config", ROOT / "deploy/config.yml.example", "--app-name", "shop", env={"OBSERV_PASSWORD": "x"})
    assert agent.wait(20) == 0, agent.stderr()
    assert "health_checks: 3\n" in agent.stdout() and "/var/log/shop/*.log" in agent.stdout()
