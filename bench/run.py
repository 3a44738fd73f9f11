#!/usr/bin/python3
"""make bench: measures observ beside what people use today, in the same run on the same machine.

    make bench                                   all sub-benchmarks, under 12 minutes
    make bench BENCH_ARGS="summary ingest"       some of them
    make bench BENCH_ARGS=--quick                small sizes, for correctness, about a minute

Prints Markdown, and writes build/bench/results.md and results.json. The exit code is 1 when a result was wrong (rows or sums
differ) or a sub-benchmark broke; a missed aim is shown, not failed. Method: docs/benchmarks.md.
What belongs here: command line, order, output. What does not: measurements (a file per benchmark).
"""

import argparse
import dataclasses
import os
import pathlib
import signal
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import agents  # noqa: E402  (so that the program runs from any directory)
import alerts  # noqa: E402
import footprint  # noqa: E402
import ingest  # noqa: E402
import logs  # noqa: E402
import metrics  # noqa: E402
import notify  # noqa: E402
import report  # noqa: E402
import retention  # noqa: E402
import rollup  # noqa: E402
import summary  # noqa: E402
import surroundings  # noqa: E402
import tailing  # noqa: E402

harness = surroundings.harness
BENCHMARKS = {
    "summary": summary.run,
    "ingest": ingest.run,
    "agents": agents.run,
    "footprint": footprint.run,
    "retention": retention.run,
    "rollup": rollup.run,
    "metrics": metrics.run,
    "logs": logs.run,
    "tailing": tailing.run,
    "alerts": alerts.run,
    "notify": notify.run,
}


@dataclasses.dataclass
class Context:
    """What every sub-benchmark gets."""

    installation: object
    quick: bool
    window: float

    def say(self, text):
        """Progress, to standard error."""
        print(f"bench: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def run_one(name, context):
    """One sub-benchmark; what breaks it ends up in its report."""
    found = report.Report(name)
    context.say(name)
    start = time.monotonic()
    try:
        BENCHMARKS[name](context, found)
    except Exception as exc:  # noqa: BLE001  (the others still run, and the exit code tells)
        traceback.print_exc()
        found.failures.append(f"{name} broke off: {exc}")
    finally:
        harness.destroy_all()
    found.seconds = time.monotonic() - start
    return found


def main():
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="|".join(BENCHMARKS), help="sub-benchmarks (default: all)")
    parser.add_argument("--quick", action="store_true", help="small sizes, about a minute: checks results")
    parser.add_argument("--window", type=float, help="seconds that footprints are measured over (default 180, which is also the least unless --quick)")
    parser.add_argument("--output", type=pathlib.Path, default=surroundings.ROOT / "build/bench",
                        help="directory of results.md and results.json")
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f"there is no sub-benchmark {name}; there are: {', '.join(BENCHMARKS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    installation = harness.Installation().ensure()
    harness.run_tool(["make", "-C", surroundings.ROOT, "-s", f"PG_CONFIG={installation.pg_config}", "build/bench/loader", "build/bench/log_lines"],
                     env=harness.clean_environment(MAKEFLAGS="", PATH=os.environ["PATH"]))
    window = options.window or (20 if options.quick else 180)
    context = Context(installation, options.quick, window)
    machine = surroundings.machine(context)
    options.output.mkdir(parents=True, exist_ok=True)
    reports = []
    for name in options.names or BENCHMARKS:
        reports.append(run_one(name, context))
        text = report.document(reports, machine, context.quick)
        (options.output / "results.md").write_text(text, encoding="utf-8")
        (options.output / "results.json").write_text(report.as_json(reports, machine, context.quick), encoding="utf-8")
    print(text)
    sys.exit(1 if any(r.failures for r in reports) else 0)


if __name__ == "__main__":
    main()
