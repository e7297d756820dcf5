"""The command line: `python -m benchmarks.scale --help`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from pathlib import Path

from benchmarks.__main__ import STOPPING, raise_file_limit, stop
from benchmarks.errors import BenchmarkError
from benchmarks.plan import RESULTS
from benchmarks.scale.bench import run
from benchmarks.scale.plan import FULL, QUICK, SCENARIOS, Plan
from benchmarks.scale.report import render_markdown


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description="The control plane with 1,000 sidecars and 10,000 endpoints in 1,000 services, on a real "
        "kube-apiserver: time from an event to the last acknowledgement, CPU, memory, bytes. Takes ten minutes.",
    )
    parser.add_argument("--quick", action="store_true", help="100 sidecars, 1,000 endpoints: under two minutes")
    parser.add_argument(
        "--scenarios", default=",".join(SCENARIOS), help="comma-separated, in this order; default: %(default)s"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where scale.json and scale.md go; default: benchmarks/results for a complete run, and only the table on "
        "standard output for a partial or quick one",
    )
    return parser.parse_args(arguments)


def make_plan(options: argparse.Namespace) -> Plan:
    names = options.scenarios.split(",")
    for name in names:
        if name not in SCENARIOS:
            raise BenchmarkError(f"{name} is no scenario; the scenarios are {', '.join(SCENARIOS)}")
    chosen = tuple(name for name in SCENARIOS if name in names)
    return dataclasses.replace(QUICK if options.quick else FULL, scenarios=chosen)


def measure(options: argparse.Namespace) -> None:
    plan = make_plan(options)
    raise_file_limit()
    summary = run(plan)
    text = render_markdown(summary)
    print(text)
    output = options.output or (RESULTS if plan == FULL else None)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / "scale.json").write_text(json.dumps(summary, indent=2) + "\n")
        (output / "scale.md").write_text(text)


def main() -> int:
    for number in STOPPING:
        signal.signal(number, stop)
    options = parse()
    try:
        measure(options)
    except (BenchmarkError, TimeoutError) as error:
        print(f"benchmarks.scale: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks.scale: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
