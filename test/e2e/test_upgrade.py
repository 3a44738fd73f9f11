"""pg_upgrade from 15 to 15: the check passes, rows and catalog are equal, the new cluster is paused until observ.resume()."""

import shutil

import pytest

import test_dump_restore as restore
from harness import clean_environment, give_to_server, run_tool, server_identity

SETTINGS = {"max_locks_per_transaction": "256"}


def upgrade(old, new, *options):
    """pg_upgrade between two stopped servers; its working directory is the new server's."""
    work = new.dir / "upgrade"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    give_to_server(work)
    bindir = new.installation.bindir
    return run_tool([bindir / "pg_upgrade", "-b", bindir, "-B", bindir, "-d", old.data, "-D", new.data, "-U", "postgres", "-s", work,
                     "-p", "50432", "-P", "50433", *options], check=False, cwd=work, env=clean_environment(), **server_identity())


@pytest.mark.parametrize("mode", [[], ["--link"]], ids=["copy", "link"])
def test_pg_upgrade_keeps_everything_and_pauses(make_server, mode):
    old = make_server(name="old", settings={**SETTINGS, "observ.refresh_fleet_summary_interval": "0"})
    restore.make_rich(old, "rich")
    old.create_database("second", extension=True)
    before, rows = restore.cluster_copy(old, "rich")
    identity = "SELECT system_identifier FROM pg_control_system()"
    old_identity = old.value("postgres", identity)
    new = make_server(name="new", settings=SETTINGS, new_identity=True)
    assert new.value("postgres", identity) != old_identity
    old.stop()
    new.stop()

    checked = upgrade(old, new, "--check")
    assert checked.returncode == 0 and "*Clusters are compatible*" in checked.stdout, checked.stdout + checked.stderr
    done = upgrade(old, new, *mode)
    assert done.returncode == 0 and "Upgrade Complete" in done.stdout, done.stdout + done.stderr
    # The servers that pg_upgrade starts have observ preloaded: no worker of ours may write there.
    for log in (new.data / "pg_upgrade_output.d").rglob("*.log"):
        assert "observ" not in log.read_text(encoding="utf-8", errors="replace"), log

    new.start()
    restore.check_equal(new, "rich", before, rows)
    for db in ("rich", "second"):
        restore.check_paused(new, db)
    # PostgreSQL 15 keeps the oids of databases: the identity of the cluster is what tells them apart.
    assert new.processes("observ scheduler") == []
    restore.check_resumes(new, "rich")
    new.wait_for_worker("observ scheduler", "rich")
    restore.check_amcheck(new, "rich")
    assert new.value("second", "SELECT state FROM observ.status()") == "paused"
