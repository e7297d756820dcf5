"""Our sidecar as shipped: flow control, limits, metrics, breaker and balancing on."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.peer import Peer, Place, first_output

MESH = Path(__file__).parents[2] / ".venv" / "bin" / "mesh"


def command(place: Place) -> list[str]:
    targets = ",".join(f"127.0.0.1:{port}" for port in place.backends)
    return [
        str(MESH),
        "proxy",
        "--listen",
        f"127.0.0.1:{place.port}",
        "--to",
        targets,
        "--admin",
        f"127.0.0.1:{place.admin_port}",
    ]


def prepare() -> None:
    if not MESH.exists():
        raise BenchmarkError(f"{MESH} is missing: run make install, or leave gossamer out with --peers")


def version() -> str:
    return first_output([str(MESH), "version"])


PEER = Peer("gossamer", "Gossamer", prepare, version, command)
