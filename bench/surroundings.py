"""Servers as the benchmarks want them, the loader, and what machine this is.

What belongs here: everything around a measurement that several sub-benchmarks share. What does not: measurements.
Servers, agents and waiting come from the harness of the e2e tests.
"""

import contextlib
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test" / "e2e"))

import beside  # noqa: E402,F401  (the path is only known here; for the benchmarks, as proxy)
import harness  # noqa: E402
import proxy  # noqa: E402,F401

# As the figures of other products were measured (docs/benchmarks.md).
SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "maintenance_work_mem": "1GB",
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum": "on",
    "autovacuum_naptime": "1min",
}
QUICK_SETTINGS = dict(SETTINGS, shared_buffers="128MB", maintenance_work_mem="64MB", min_wal_size="80MB")
# The benchmark calls the functions itself.
JOBS_OFF = {"observ.refresh_fleet_summary_interval": "0", "observ.maintain_partitions_interval": "0", "observ.apply_retention_interval": "0",
            "observ.expire_series_interval": "0", "observ.roll_up_interval": "0", "observ.update_log_templates_interval": "0",
            "observ.evaluation_interval": "0", "observ.dispatch_interval": "0"}


@contextlib.contextmanager
def server(context, *, tcp=False, settings=None):
    """A running server with fsync, checksums and WAL segments of the usual size."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="obs-bench-", dir="/tmp"))
    harness.give_to_server(base)
    try:
        # Not the harness's template: its WAL segments of 1 MB make every megabyte wait for the disk.
        harness.run_tool([context.installation.program("initdb"), "-D", base / "data", "-U", "postgres", "-A", "trust",
                          "-E", "UTF8", "--locale=C.UTF-8", "--data-checksums", "--no-instructions"],
                         env=harness.clean_environment(), cwd="/", **harness.server_identity())
        one = harness.Server(context.installation, fsync=True, tcp=tcp, data_from=base / "data",
                             settings={**(QUICK_SETTINGS if context.quick else SETTINGS), **(settings or {})})
    finally:
        base.rmdir()
    try:
        yield one.start()
    finally:
        one.destroy()


class Loader:
    """build/bench/loader, run against one database."""

    def __init__(self, one, db):
        self.program = ROOT / "build/bench/loader"
        self.conninfo = one.conninfo(db)

    def load(self, table, **options):
        """Makes vps x steps rows and sends them; returns the loader's report.

        method insert|copy, format text|binary, columns classic|all, order vps|time (all steps of a VPS first, or all VPSs
        of a step), vps, steps, step_s, batch (rows per transaction), sessions, start_us (first timestamp), seed, role (SET
        ROLE), begin_batch=True, first_seq, one_copy=True (COPY in one transaction).
        """
        return self._run("load", table, options)

    def agents(self, table, **options):
        """One connection per VPS, which flushes a batch every few seconds by the ingest protocol; returns the loader's report.

        As load(), and: least (batches have from least to batch rows), interval_ms (between two flushes of an agent), no_splay=True (all at
        the same moment), odd=True (some agents misbehave: bench/payload.h), role_of_number=True (role is followed by the
        agent's number), unprepared=True (statements are parsed each time, as obs-agent's are).
        """
        return self._run("agents", table, {"method": "insert", "order": "vps", "begin_batch": True, **options})

    def _run(self, command, table, options):
        argv = [self.program, command, "--conninfo", self.conninfo, "--table", table]
        for name, value in options.items():
            if value is True:
                argv.append(f"--{name.replace('_', '-')}")
            elif value is not None and value is not False:
                argv += [f"--{name.replace('_', '-')}", value]
        return json.loads(harness.run_tool(argv, env=harness.clean_environment(), timeout=600).stdout)

    @contextlib.contextmanager
    def probe(self, sql):
        """Reads by sql over and over while the block runs; yields a dictionary that is filled at its end."""
        found = {}
        with subprocess.Popen([str(self.program), "probe", "--conninfo", self.conninfo, "--sql", sql],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=harness.clean_environment()) as reader:
            if reader.stdout.readline() != "ready\n":
                raise harness.HarnessError("the probe did not start")
            yield found
            out, _ = reader.communicate(timeout=60)
            if reader.returncode != 0:
                raise harness.HarnessError(f"the probe ended with {reader.returncode}")
            found.update(json.loads(out))


def same_sums(conn, query, expected):
    """Compares sums and counts of the columns of a query with what the loader says it sent; '' or what differs.

    expected is the loader's {"column": {"sum": …, "measured": …}}. Sums of real are taken as float8, where only the order
    of additions differs.
    """
    columns = list(expected)
    parts = ", ".join(f"coalesce(sum({c}::float8), 0), count({c})" for c in columns)
    row = conn.execute(f"SELECT {parts} FROM ({query}) q").fetchone()
    for i, column in enumerate(columns):
        total, count = row[2 * i], row[2 * i + 1]
        wanted = expected[column]
        if count != wanted["measured"] or abs(total - wanted["sum"]) > 1e-9 * max(1.0, abs(wanted["sum"])):
            return f"{column}: {count} values, sum {total!r}; sent {wanted['measured']}, sum {wanted['sum']!r}"
    return ""


def _first_line(argv):
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=20)
        return (done.stdout or done.stderr).splitlines()[0].strip()
    return None


def _proc_value(path, key):
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(key):
                return line.split(":", 1)[1].strip()
    return "unknown"


def machine(context):
    """What the figures depend on, for the head of the report."""
    memory_kb = int(_proc_value("/proc/meminfo", "MemTotal").split()[0])
    disk = _first_line(["findmnt", "-n", "-o", "SOURCE,FSTYPE", "--target", "/tmp"]) or "unknown"
    commit = _first_line(["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "describe", "--always", "--dirty"])
    settings = QUICK_SETTINGS if context.quick else SETTINGS
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "observ": commit or "unknown commit",
        "command": f"make bench BENCH_ARGS=\"{' '.join(sys.argv[1:])}\"",
        "machine": f"{os.cpu_count()} x {_proc_value('/proc/cpuinfo', 'model name')}, {memory_kb / 1048576:.1f} GiB, "
                   f"/tmp on {disk}, Linux {platform.release()}",
        "load when started": f"{os.getloadavg()[0]:.2f} (above 0.2 something else was running)",
        "server": f"{_first_line([str(context.installation.program('postgres')), '--version'])}; fsync on, data checksums, "
                  + ", ".join(f"{name}={value}" for name, value in settings.items()),
    }
