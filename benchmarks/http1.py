"""HTTP/1.1 keep-alive: CPU of each proxy per request, with wrk before and nginx as backends behind, all in one run.

    python -m benchmarks.http1 [--rounds 10] [--duration 1] [--peers gossamer,nginx,envoy,haproxy]
        [--connections 32,1] [--headers same,unique]

`unique` has a `traceparent` of its own in each request, as with tracing. Short slices of load on one proxy after the
other, many times round: what else the machine does hits all alike. Needs wrk and nginx (apt-get install wrk nginx).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.http1_peers import PEERS, backend_command
from benchmarks.peers.peer import Place, program
from benchmarks.plan import Cores, choose_cores, rotated
from benchmarks.process import busy_share, free_port, pinned, process_tree, running, tail, wait_until_listening

BACKENDS = 3
WARMUP_S = 1
UNIQUE = Path(__file__).with_name("http1_unique.lua")
# What browsers and services send: a head of a few hundred bytes.
HEADERS = (
    "User-Agent: benchmark/1.0",
    "Accept: application/json, text/plain, */*",
    "Accept-Encoding: gzip, deflate",
    "X-Request-Source: checkout",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """So many connections, each with one request at a time."""

    connections: int
    headers: str


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time of the processes so far, in seconds."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def load(port: int, shape: Shape, duration_s: int, cores: str | None) -> tuple[int, float]:
    """Requests that were answered, and the 99th percentile in milliseconds; any error voids them."""
    headers = [part for line in HEADERS for part in ("-H", line)]
    if shape.headers == "unique":
        headers += ["-s", str(UNIQUE)]
    wrk = program("wrk", "wrk")
    argv = [
        wrk,
        "-t1",
        f"-c{shape.connections}",
        f"-d{duration_s}s",
        "--latency",
        *headers,
        f"http://127.0.0.1:{port}/api/v1",
    ]
    done = subprocess.run(pinned(argv, cores), capture_output=True, text=True, timeout=duration_s + 30, check=True)
    found = re.search(r"(\d+) requests in", done.stdout)
    if not found or "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
        raise BenchmarkError(f"wrk saw errors:\n{done.stdout}")
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert slow is not None
    return int(found[1]), float(slow[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[slow[2]]


@contextmanager
def serving(command: Callable[[Place], list[str]], place: Place, port: int, cores: str | None) -> Iterator[list[int]]:
    """The process ids of what serves while the block runs."""
    log = place.folder / "log"
    with running(command(place), log, cores=cores) as process:
        try:
            wait_until_listening(process, port, command.__name__)
        except BenchmarkError as error:
            raise BenchmarkError(f"{error}: {tail(log)}") from error
        time.sleep(0.3)
        yield process_tree(process.pid)


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy that serves."""

    port: int
    pids: list[int]


@dataclass(frozen=True, slots=True)
class Slice:
    """One short load on one proxy."""

    cpu_us: float
    rps: float
    p99_ms: float


def measure(peer: Running, shape: Shape, duration_s: int, cores: str | None) -> Slice:
    before_s = cpu_s(peer.pids)
    requests, p99_ms = load(peer.port, shape, duration_s, cores)
    return Slice((cpu_s(peer.pids) - before_s) / requests * 1e6, requests / duration_s, p99_ms)


def start(stack: ExitStack, names: list[str], cores: Cores) -> dict[str, Running]:
    """Backends, and all proxies before them: who is not under load costs nothing."""

    def folder() -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory()))

    ports = [free_port() for _ in range(BACKENDS)]
    stack.enter_context(serving(backend_command, Place(0, 0, ports, folder()), ports[0], cores.load))
    peers = {}
    for name in names:
        place = Place(free_port(), free_port(), ports, folder())
        pids = stack.enter_context(serving(PEERS[name], place, place.port, cores.proxy))
        peers[name] = Running(place.port, pids)
    return peers


def describe(slices: list[Slice]) -> str:
    costs = sorted(found.cpu_us for found in slices)
    rps = statistics.median(found.rps for found in slices)
    p99_ms = statistics.median(found.p99_ms for found in slices)
    return f"{statistics.median(costs):9.1f}{costs[0]:7.1f}{costs[-1]:7.1f}{rps:12.0f}{p99_ms:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http1")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--duration", type=int, default=1)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--connections", default="32,1")
    parser.add_argument("--headers", default="same,unique")
    arguments = parser.parse_args()
    names = arguments.peers.split(",")
    counts = [int(text) for text in arguments.connections.split(",")]
    shapes = [Shape(count, headers) for count in counts for headers in arguments.headers.split(",")]
    cores = choose_cores(True)
    print(f"other work uses {busy_share():.0%} of this machine")
    print(f"{'':10}{'connections':>12} {'headers':7}{'CPU us':>9}{'min':>7}{'max':>7}{'requests/s':>12}{'p99 ms':>8}")
    with ExitStack() as stack:
        peers = start(stack, names, cores)
        for shape in shapes:
            slices: dict[str, list[Slice]] = {name: [] for name in names}
            for name in names:
                load(peers[name].port, shape, WARMUP_S, cores.load)
            for number in range(arguments.rounds):
                for name in rotated(names, number):
                    slices[name].append(measure(peers[name], shape, arguments.duration, cores.load))
            for name in names:
                print(f"{name:10}{shape.connections:12} {shape.headers:7}{describe(slices[name])}", flush=True)


if __name__ == "__main__":
    main()
