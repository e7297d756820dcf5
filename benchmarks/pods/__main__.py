"""The command line: `python -m benchmarks.pods` (root). Five minutes for 20 starts of each kind."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.machine import commit, describe_machine
from benchmarks.plan import RESULTS
from benchmarks.pods.bench import measure, say
from benchmarks.pods.report import Summary, render_markdown, summarise
from benchmarks.process import busy_share
from tests.cluster import mesh_image
from tests.cluster.node import Node
from tests.e2e.product.tour import Tour

STARTS = 20


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pods",
        description="Time from apply to Ready of a pod with the sidecar and without, on a real node; memory; image.",
    )
    parser.add_argument("--starts", type=int, default=STARTS, metavar="N", help="of each kind; default: %(default)s")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where pods.json and pods.md go; default: benchmarks/results for a complete run, or else nowhere",
    )
    return parser.parse_args()


def run(starts: int) -> Summary:
    say("building the image (minutes, the first time), starting a node and installing the mesh ...")
    archive = mesh_image.build()
    machine = describe()
    with Node() as node:
        mesh_image.load(node)
        Tour(node).run_section("Install the mesh")
        machine["kubernetes"] = node.client.request("GET", "/version")["gitVersion"]
        found = measure(node, starts)
    return summarise(found, mesh_image.weight_beyond_base(archive), machine)


def describe() -> dict[str, Any]:
    return {**describe_machine(commit()), "other_work_share": round(busy_share(2.0), 3)}


def main() -> int:
    options = parse()
    if options.starts < 1:
        print("benchmarks.pods: --starts must be 1 or more", file=sys.stderr)
        return 2
    try:
        summary = run(options.starts)
    except (BenchmarkError, TimeoutError, pytest.skip.Exception, pytest.fail.Exception) as error:
        print(f"benchmarks.pods: {error}", file=sys.stderr)
        return 1
    text = render_markdown(summary)
    print(text, end="")
    output = options.output or (RESULTS if options.starts == STARTS else None)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        (output / "pods.json").write_text(json.dumps(summary, indent=2) + "\n")
        (output / "pods.md").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
