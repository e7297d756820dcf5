"""One run of the load generator: what is asked of it, and what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.process import pinned, running, tail

GRACE_S = 45.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Connections, and concurrent streams on each."""

    connections: int
    streams: int

    def __str__(self) -> str:
        return f"{self.connections}x{self.streams}"


def parse_shape(text: str) -> Shape:
    left, cross, right = text.partition("x")
    if not (cross and left.isdigit() and right.isdigit() and int(left) and int(right)):
        raise BenchmarkError(f"{text} is no shape: write CONNECTIONSxSTREAMS, for example 8x32")
    return Shape(int(left), int(right))


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one measured window."""

    requests: int
    seconds: float
    latency_us: Mapping[str, float]
    lateness_us: Mapping[str, float]
    backends: Sequence[int]
    cpu_us: Mapping[str, float]

    @property
    def rps(self) -> float:
        return self.requests / self.seconds

    def cpu_per_request_us(self, name: str) -> float:
        return self.cpu_us[name] / self.requests

    def shares(self) -> list[float]:
        return [count / self.requests for count in self.backends]


def parse_sample(text: str) -> Sample:
    fields = json.loads(text)
    if not fields["requests"]:
        raise BenchmarkError("the load generator got no answer inside the window")
    return Sample(**fields)


@dataclass(frozen=True, slots=True)
class Load:
    """The load generator, where it runs, and whose CPU clocks it reads."""

    program: Path
    cores: str | None
    folder: Path
    warmup_s: float

    def closed(
        self, ports: Sequence[int], clocks: Mapping[str, Sequence[int]], shape: Shape, headers: str, duration_s: float
    ) -> Sample:
        extra = [f"--connections={shape.connections}", f"--streams={shape.streams}", f"--headers={headers}"]
        return self._measure(ports, clocks, ["--mode=closed", *extra], duration_s)

    def open(self, ports: Sequence[int], clocks: Mapping[str, Sequence[int]], rate: int, duration_s: float) -> Sample:
        extra = [f"--rate={rate}", "--connections=8", "--headers=unique"]
        return self._measure(ports, clocks, ["--mode=open", *extra], duration_s)

    @contextmanager
    def idle(self, port: int, connections: int) -> Iterator[None]:
        """Holds that many settled connections without requests while the block runs."""
        argv = [str(self.program), "--mode=idle", f"--target=127.0.0.1:{port}", f"--connections={connections}"]
        log = self.folder / "idle.log"
        with running(argv, log, cores=self.cores, pipes=True) as process:
            assert process.stdout is not None
            if not process.stdout.readline():
                raise BenchmarkError(f"{connections} idle connections: {tail(log)}")
            yield

    def _measure(
        self, ports: Sequence[int], clocks: Mapping[str, Sequence[int]], mode: list[str], duration_s: float
    ) -> Sample:
        argv = [
            str(self.program),
            *mode,
            "--target=" + ",".join(f"127.0.0.1:{port}" for port in ports),
            f"--warmup={self.warmup_s}",
            f"--duration={duration_s}",
            *(f"--cpu={name}={'+'.join(map(str, pids))}" for name, pids in clocks.items()),
        ]
        timeout_s = self.warmup_s + duration_s + GRACE_S
        try:
            done = subprocess.run(
                pinned(argv, self.cores), capture_output=True, text=True, timeout=timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"the load generator did not end within {timeout_s:.0f} s") from None
        if done.returncode != 0:
            raise BenchmarkError(done.stderr.strip() or f"the load generator ended with code {done.returncode}")
        return parse_sample(done.stdout)
