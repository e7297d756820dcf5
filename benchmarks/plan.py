"""What a run measures: the choices of the command line, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape, parse_shape
from benchmarks.peers.gossamer import make_peer
from benchmarks.peers.peer import Peer
from benchmarks.peers.table import PEERS

DIRECT = "direct"
OPEN_RATE = 1000
IDLE_CONNECTIONS = 1000
HEADERS = ("same", "unique")
ALL_PARTS = ("8x32", "8x4", "1x1", "open", "memory")


@dataclass(frozen=True, slots=True)
class Plan:
    """Closed-loop shapes, whether to run the open loop and the memory part, and for how long."""

    peers: tuple[Peer, ...]
    shapes: tuple[Shape, ...]
    headers: tuple[str, ...]
    has_open_loop: bool
    has_memory: bool
    rounds: int
    duration_s: float
    warmup_s: float
    is_pinned: bool

    @property
    def open_duration_s(self) -> float:
        """Longer than a closed window: at the fixed rate the 99th percentile needs the samples."""
        return 2 * self.duration_s

    @property
    def names(self) -> list[str]:
        """What takes part in the rotation; the direct path is there for the backends' own cost."""
        return [peer.name for peer in self.peers] + ([DIRECT] if self.shapes else [])

    @property
    def is_complete(self) -> bool:
        """Only such a run may become the published result."""
        everything = {str(shape) for shape in self.shapes} >= set(ALL_PARTS[:3])
        return (
            everything
            and self.has_open_loop
            and self.has_memory
            and set(self.headers) == set(HEADERS)
            and set(self.names) >= set(PEERS)
        )


def parse_peers(text: str, mesh: Path | None = None) -> tuple[Peer, ...]:
    peers = PEERS | {"gossamer": make_peer(mesh)} if mesh else PEERS
    names = text.split(",")
    for name in names:
        if name not in PEERS:
            raise BenchmarkError(f"{name} is no peer; the peers are {', '.join(PEERS)}")
    return tuple(peers[name] for name in dict.fromkeys(names))


def parse_headers(text: str) -> tuple[str, ...]:
    for name in text.split(","):
        if name not in HEADERS:
            raise BenchmarkError(f"{name} is no kind of headers; the kinds are {', '.join(HEADERS)}")
    return tuple(dict.fromkeys(text.split(",")))


def parse_parts(text: str) -> tuple[tuple[Shape, ...], bool, bool]:
    """The closed-loop shapes, whether `open` is among the parts, and whether `memory` is."""
    parts = dict.fromkeys(text.split(","))
    shapes = tuple(parse_shape(part) for part in parts if part not in ("open", "memory"))
    return shapes, "open" in parts, "memory" in parts


def rotated(names: list[str], round_number: int) -> list[str]:
    """The order of a round: everyone is first once, so that a drift of the machine hits all alike."""
    shift = round_number % len(names)
    return names[shift:] + names[:shift]


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the proxy and the load run; None leaves it to the kernel."""

    proxy: str | None
    load: str | None


def choose_cores(is_pinned: bool, available: list[int] | None = None) -> Cores:
    """The proxy alone on the last core, load and backends on the others."""
    cores = sorted(os.sched_getaffinity(0)) if available is None else available
    if not is_pinned or len(cores) < 2:
        return Cores(None, None)
    return Cores(str(cores[-1]), ",".join(map(str, cores[:-1])))


RESULTS = Path(__file__).parent / "results"
