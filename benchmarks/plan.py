"""What a run measures: the choices of the command line, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape, parse_shape
from benchmarks.peers.gossamer import make_peer
from benchmarks.peers.peer import GRPC, HTTP1, TCP, Peer
from benchmarks.peers.table import PEERS

DIRECT = "direct"
OPEN_RATE = 1000
IDLE_CONNECTIONS = 1000
HEADERS = ("same", "unique")
OPEN = "open"
MEMORY = "memory"
SHAPES = ("8x32", "8x4", "1x1")
PARTS = (OPEN, MEMORY, HTTP1, TCP)
ALL_PARTS = SHAPES + PARTS
BULK_BYTES_PER_S = 800_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Closed-loop shapes of gRPC, what else to measure (of PARTS), and for how long."""

    peers: tuple[Peer, ...]
    shapes: tuple[Shape, ...]
    headers: tuple[str, ...]
    parts: frozenset[str]
    rounds: int
    duration_s: float
    warmup_s: float
    is_pinned: bool

    @property
    def open_duration_s(self) -> float:
        """Longer than a closed window: at the fixed rate the 99th percentile needs the samples."""
        return 2 * self.duration_s

    @property
    def bulk_bytes(self) -> int:
        """Of each bulk measurement of raw TCP, which is so many bytes, not so much time."""
        return int(self.duration_s * BULK_BYTES_PER_S)

    @property
    def echo_duration_s(self) -> float:
        return 0.6 * self.duration_s

    @property
    def has_grpc(self) -> bool:
        return bool(self.shapes or self.parts & {OPEN, MEMORY})

    def names(self, protocol: str) -> list[str]:
        """What takes part in the rotation; the direct path is there for the backends' own cost."""
        found = [peer.name for peer in self.peers if protocol in peer.protocols]
        return found + ([DIRECT] if protocol == GRPC and self.shapes else [])

    @property
    def is_complete(self) -> bool:
        """Only such a run may become the published result."""
        return (
            {str(shape) for shape in self.shapes} >= set(SHAPES)
            and self.parts == set(PARTS)
            and set(self.headers) == set(HEADERS)
            and {peer.name for peer in self.peers} >= set(PEERS)
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


def parse_parts(text: str) -> tuple[tuple[Shape, ...], frozenset[str]]:
    """The closed-loop shapes of gRPC, and the other parts."""
    words = dict.fromkeys(text.split(","))
    return tuple(parse_shape(word) for word in words if word not in PARTS), frozenset(PARTS) & words.keys()


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
