"""The command line: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from benchmarks import wrk
from benchmarks.bench import Bench, say
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe
from benchmarks.peers import nginx
from benchmarks.peers.peer import HTTP1, TCP
from benchmarks.peers.table import PEERS
from benchmarks.plan import ALL_PARTS, HEADERS, RESULTS, Plan, parse_headers, parse_parts, parse_peers
from benchmarks.report import render_markdown, write_report
from benchmarks.summary import summarise
from benchmarks.toolchain import build_native

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Unary gRPC, HTTP/1.1 and raw TCP, ours against real peers: CPU, latency, memory.",
    )
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; default: %(default)s")
    parser.add_argument(
        "--shapes",
        default=",".join(ALL_PARTS),
        help="what to measure: gRPC as CONNECTIONSxSTREAMS in a closed loop, `open` (its latency at 1000 requests/s), "
        "`memory`, `http1`, `tcp`; default: %(default)s",
    )
    parser.add_argument("--headers", default=",".join(HEADERS), help="of the closed loops; default: %(default)s")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds of a closed window; default 1.5")
    parser.add_argument("--rounds", type=int, metavar="N", help="repetitions, medians are reported; default 5")
    parser.add_argument("--quick", action="store_true", help="one round of short windows: three minutes, rough figures")
    parser.add_argument("--unpinned", action="store_true", help="do not pin the proxy and the load to cores")
    parser.add_argument("--mesh", type=Path, metavar="PATH", help="our command; default: the one beside this Python")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="where latest.json, latest.md and latest.svg go; default: benchmarks/results for a complete run, "
        "and only the table on standard output for a partial or quick one",
    )
    return parser.parse_args(arguments)


def make_plan(options: argparse.Namespace) -> Plan:
    shapes, parts = parse_parts(options.shapes)
    rounds = options.rounds if options.rounds is not None else 1 if options.quick else 5
    duration_s = options.duration if options.duration is not None else 0.8 if options.quick else 1.5
    if rounds < 1 or not 0.1 <= duration_s <= 600:
        raise BenchmarkError("--rounds is at least 1 and --duration between 0.1 and 600 seconds")
    plan = Plan(
        peers=parse_peers(options.peers, options.mesh),
        shapes=shapes,
        headers=parse_headers(options.headers),
        parts=parts,
        rounds=rounds,
        duration_s=duration_s,
        warmup_s=0.3 if options.quick else 0.5,
        is_pinned=not options.unpinned,
    )
    for protocol in sorted(parts & {HTTP1, TCP}):
        if not plan.names(protocol):
            raise BenchmarkError(f"none of these peers is measured with {protocol}: leave it out of --shapes")
    return plan


def run(options: argparse.Namespace) -> None:
    plan = make_plan(options)
    for peer in plan.peers:
        peer.prepare()
    if HTTP1 in plan.parts:
        wrk.prepare()
        nginx.prepare()
    native = build_native()
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="gossamer-bench-") as folder:
        bench = Bench(plan, native, Path(folder))
        machine = describe(plan, bench.cores)
        summary = summarise(plan, bench.run(), machine)
    print(render_markdown(summary))
    output = options.output or (RESULTS if plan.is_complete and not options.quick else None)
    if output:
        write_report(output, summary)
        say(f"written to {output}")


def raise_file_limit() -> None:
    """A thousand idle connections need more than the usual 1024 files, here and in the peers, which inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))


def stop(number: int, frame: FrameType | None) -> None:
    """The first signal starts the cleaning up, which is bounded; further ones must not break it off."""
    for other in STOPPING:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    for number in STOPPING:
        signal.signal(number, stop)
    options = parse()
    try:
        run(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
