"""Our sidecar as shipped: flow control, limits, metrics, breaker and balancing on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers.peer import GRPC, HTTP1, TCP, Peer, Place

MESH = Path(sys.executable).with_name("mesh")
OPTIONS = {GRPC: (), HTTP1: ("--protocol", "http"), TCP: ("--protocol", "tcp")}


def make_peer(mesh: Path) -> Peer:
    """Our peer, run by this `mesh` command: another build can be measured too."""

    def command(place: Place) -> list[str]:
        targets = ",".join(f"127.0.0.1:{port}" for port in place.backends)
        listen, admin = (f"127.0.0.1:{port}" for port in (place.port, place.admin_port))
        return [str(mesh), "proxy", "--listen", listen, "--to", targets, "--admin", admin, *OPTIONS[place.protocol]]

    def prepare() -> None:
        if not mesh.exists():
            raise BenchmarkError(f"{mesh} is missing: run make install, or leave gossamer out with --peers")

    return Peer("gossamer", "Gossamer", tuple(OPTIONS), prepare, lambda: parse_version(ask_version(mesh)), command)


def ask_version(mesh: Path) -> str:
    done = subprocess.run([str(mesh), "version", "-o", "json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"mesh version ended with code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def parse_version(text: str) -> str:
    """The version, and how many modules of the hot path are compiled: it decides the figures."""
    fields = json.loads(text)
    compiled = sum(len(modules["compiled"]) for modules in fields["modules"].values())
    plain = sum(len(modules["plain"]) for modules in fields["modules"].values())
    return f"{fields['version']} ({compiled} of {compiled + plain} hot modules compiled)"


PEER = make_peer(MESH)
