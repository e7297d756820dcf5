"""The command line: `python -m benchmarks.tcp --help`. CPU per gigabyte and per message, memory per idle connection."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.__main__ import raise_file_limit
from benchmarks.errors import BenchmarkError
from benchmarks.machine import commit, parse_cpu_model
from benchmarks.peers.peer import Peer, Place
from benchmarks.plan import RESULTS, Cores, choose_cores, rotated
from benchmarks.process import free_port, process_tree, rss_anon_kib, running, tail, wait_until_listening
from benchmarks.tcp.peers import PEERS
from benchmarks.tcp.traffic import connect, download, play_echo, serving

BULK = (1, 8)
ECHO = (1, 32)
IDLE = 1_000
SETTLE_S = 0.7

Samples = dict[str, dict[str, list[float]]]


def clock_s(pids: list[int]) -> float:
    """CPU time of processes: clock_getcpuclockid(3)."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def measure(peer: Peer, options: argparse.Namespace, cores: Cores, note: Callable[[str, float], None]) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gossamer-bench-tcp-")))
        backend = stack.enter_context(serving())
        place = Place(free_port(), free_port(), (backend,), folder)
        log = folder / "log"
        process = stack.enter_context(running(peer.command(place), log, cores=cores.proxy))
        try:
            wait_until_listening(process, place.port, peer.title)
            time.sleep(SETTLE_S)
            measure_running(place.port, process_tree(process.pid), options, note)
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{peer.name}: {error}\nIt last printed: {tail(log)}") from error


def measure_running(
    port: int, pids: list[int], options: argparse.Namespace, note: Callable[[str, float], None]
) -> None:
    before_kib = rss_anon_kib(pids)
    idle = [connect(port, 0) for _ in range(IDLE)]
    time.sleep(SETTLE_S)
    note("idle KiB/connection", (rss_anon_kib(pids) - before_kib) / IDLE)
    for sock in idle:
        sock.close()
    for connections in BULK:
        download(port, connections, 100_000_000)
        begin_s = clock_s(pids)
        download(port, connections, int(options.gb * 1e9))
        note(f"bulk x{connections} ms/GB", (clock_s(pids) - begin_s) * 1000 / options.gb)
    for connections in ECHO:
        play_echo(port, connections, 0.2)
        begin_s = clock_s(pids)
        count = play_echo(port, connections, options.duration)
        note(f"echo x{connections} us/message", (clock_s(pids) - begin_s) * 1e6 / count)


def run(options: argparse.Namespace) -> Samples:
    peers = {name: PEERS[name] for name in options.peers.split(",")}
    cores = choose_cores(True)
    if cores.load is not None:
        os.sched_setaffinity(0, {int(core) for core in cores.load.split(",")})
    samples: Samples = {}
    for number in range(options.rounds):
        for name in rotated(list(peers), number):
            print(f"round {number + 1}/{options.rounds}: {name}", file=sys.stderr)
            found = samples.setdefault(name, {})

            def note(what: str, value: float, found: dict[str, list[float]] = found) -> None:
                found.setdefault(what, []).append(value)

            measure(peers[name], options, cores, note)
    return samples


def render(samples: Samples) -> str:
    """A table of medians, with least and greatest."""
    shapes = list(next(iter(samples.values())))
    lines = ["| proxy | " + " | ".join(shapes) + " |", "|---" * (len(shapes) + 1) + "|"]
    for name, figures in samples.items():
        cells = [
            f"{statistics.median(values):.1f} [{min(values):.1f}, {max(values):.1f}]" for values in figures.values()
        ]
        lines.append(f"| {PEERS[name].title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_results(samples: Samples) -> None:
    machine = {
        "commit": commit(),
        "cpu": parse_cpu_model(Path("/proc/cpuinfo").read_text()),
        "versions": {name: PEERS[name].version() for name in samples},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "tcp.json").write_text(json.dumps({"machine": machine, "samples": samples}, indent=1) + "\n")
    (RESULTS / "tcp.md").write_text(f"Raw TCP, CPU of the proxy; {machine['cpu']}\n\n{render(samples)}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tcp", description=__doc__)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gb", type=float, default=2.0, help="of each bulk measurement")
    parser.add_argument("--duration", type=float, default=1.5, metavar="S", help="of each echo measurement")
    parser.add_argument("--write", action="store_true", help="keep the figures in benchmarks/results")
    options = parser.parse_args()
    try:
        raise_file_limit()
        for name in options.peers.split(","):
            if name not in PEERS:
                raise BenchmarkError(f"{name} is no peer; the peers are {', '.join(PEERS)}")
            PEERS[name].prepare()
        samples = run(options)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(render(samples))
    if options.write:
        write_results(samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
