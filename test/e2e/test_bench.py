"""make bench in its quick form: every sub-benchmark runs and its results are right. No figure is asserted."""

import json
import os
import subprocess
import sys

import pytest

import harness


@pytest.mark.parametrize("name", ["summary", "ingest", "agents", "footprint", "metrics", "logs", "alerts"])
def test_quick_form(installation, tmp_path, name):
    """Rows, sums and deliveries are right, and both results files are there and readable."""
    done = subprocess.run([sys.executable, harness.ROOT / "bench/run.py", "--quick", "--output", tmp_path, name],
                          capture_output=True, text=True, timeout=300, check=False,
                          env=harness.clean_environment(PATH=os.environ["PATH"], **{
                              k: v for k, v in os.environ.items() if k.startswith("OBSERV_")}))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert [r["name"] for r in results["reports"]] == [name]
    assert results["reports"][0]["tables"] and not results["reports"][0]["failures"]
    assert "WRONG" not in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_unknown_name_is_refused(installation):
    """A misspelt sub-benchmark is named, with the list of those that exist."""
    done = subprocess.run([sys.executable, harness.ROOT / "bench/run.py", "ingets"], capture_output=True, text=True,
                          timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no sub-benchmark ingets; there are: summary, ingest, agents, footprint" in done.stderr
