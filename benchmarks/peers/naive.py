"""The naive baseline: `naive_proxy.py`, the h2 library on both sides, on uvloop."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.peer import GRPC, Peer, Place

PROGRAM = Path(__file__).with_name("naive_proxy.py")


def command(place: Place) -> list[str]:
    return [sys.executable, str(PROGRAM), str(place.port), *map(str, place.backends)]


def prepare() -> None:
    for package in ("h2", "uvloop"):
        try:
            version(package)
        except PackageNotFoundError:
            raise BenchmarkError(f"the Python package {package} is missing: run make install") from None


PEER = Peer("h2", "h2 library (naive)", (GRPC,), prepare, lambda: version("h2"), command)
