"""What the runner knows of a peer, and what a peer is told."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError

# What is spoken on both sides of a peer: HTTP/2 with gRPC, HTTP/1.1 with keep-alive, bytes.
GRPC = "grpc"
HTTP1 = "http1"
TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer is to listen, whom it serves in which protocol, and a folder of its own for its files."""

    port: int
    admin_port: int
    backends: Sequence[int]
    folder: Path
    protocol: str = GRPC

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Peer:
    """`command` writes the configuration and returns the argv; `prepare` raises BenchmarkError when it is missing."""

    name: str
    title: str
    protocols: Sequence[str]
    prepare: Callable[[], None]
    version: Callable[[], str]
    command: Callable[[Place], list[str]]


def program(name: str, package: str) -> str:
    """The path of an installed program, also where it is not on an ordinary user's PATH."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BenchmarkError(f"{name} is missing: apt-get install {package}, or leave it out with --peers or --shapes")
    return found


def first_output(argv: Sequence[str]) -> str:
    """The first line that a program prints, on either stream."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    if not lines:
        raise BenchmarkError(f"{' '.join(argv)} printed no version")
    return lines[0].strip()
