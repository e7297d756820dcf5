"""One run of wrk, the load of HTTP/1.1: so many connections, each with one request at a time, kept alive."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import GRACE_S, Sample, Shape
from benchmarks.peers.peer import program
from benchmarks.process import cpu_us, pinned

SCRIPT = Path(__file__).with_suffix(".lua")
SHAPES = (Shape(32, 1), Shape(1, 1))
# wrk counts whole seconds only.
WARMUP_S = 1
# Of each peer in a round, in turn: what it is compared with (nginx) costs nearly the same, and one window says that no
# better than to a quarter.
WINDOWS = 2


def prepare() -> None:
    program("wrk", "wrk")


def measure(
    port: int,
    backends: Sequence[int],
    clocks: Mapping[str, Sequence[int]],
    shape: Shape,
    headers: str,
    duration_s: float,
    cores: str | None,
) -> Sample:
    """The figures of one window after a warm-up; any error voids them."""
    _run(port, shape, headers, WARMUP_S, cores)
    served = [count_served(backend) for backend in backends]
    before_us = {name: cpu_us(pids) for name, pids in clocks.items()}
    fields = parse(_run(port, shape, headers, max(1, round(duration_s)), cores))
    spent_us = {name: cpu_us(pids) - before_us[name] for name, pids in clocks.items()}
    return Sample(
        requests=int(fields["requests"]),
        seconds=fields["seconds"],
        latency_us={"p50": fields["p50"], "p99": fields["p99"]},
        lateness_us={},
        backends=[count_served(backend) - before for backend, before in zip(backends, served, strict=True)],
        cpu_us=spent_us,
    )


def _run(port: int, shape: Shape, headers: str, duration_s: int, cores: str | None) -> str:
    argv = [program("wrk", "wrk"), "-t1", f"-c{shape.connections}", f"-d{duration_s}s", "-s", str(SCRIPT)]
    argv += [f"http://127.0.0.1:{port}/api/v1", "--", headers]
    try:
        done = subprocess.run(
            pinned(argv, cores), capture_output=True, text=True, timeout=duration_s + GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"wrk did not end within {duration_s + GRACE_S:.0f} s") from None
    if done.returncode != 0:
        raise BenchmarkError(f"wrk ended with code {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def parse(text: str) -> dict[str, float]:
    """What `wrk.lua` prints last."""
    fields: dict[str, float] = json.loads(text.strip().splitlines()[-1])
    if fields["errors"]:
        raise BenchmarkError(f"wrk saw {fields['errors']} errors in {fields['requests']} requests")
    if not fields["requests"]:
        raise BenchmarkError("wrk got no answer")
    return fields


def count_served(port: int) -> int:
    """The requests that a backend has seen, these inquiries included."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=GRACE_S) as answer:
        return parse_served(answer.read().decode())


def parse_served(text: str) -> int:
    """The third number of the third line of nginx's stub_status: accepted, handled, requests."""
    return int(text.splitlines()[2].split()[2])
