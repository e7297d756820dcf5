"""What raw TCP costs through one peer: CPU per gigabyte and per message, memory per idle connection."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.errors import BenchmarkError
from benchmarks.process import cpu_us, rss_anon_kib
from benchmarks.traffic import Backend, connect, download, play_echo

# At once, of each kind.
BULK_CONNECTIONS = (1, 8)
ECHO_CONNECTIONS = (1, 32)
IDLE_CONNECTIONS = 1_000
WARMUP_BYTES = 100_000_000
WARMUP_S = 0.2
SETTLE_S = 0.7
MIN_SHARE = 0.1

Figures = dict[str, float]


def measure(port: int, pids: Sequence[int], backends: Sequence[Backend], bulk_bytes: int, echo_s: float) -> Figures:
    """By what was measured, unit included."""
    found = {"idle KiB/connection": measure_idle_kib(port, pids)}
    check_spread([backend.accepted for backend in backends])
    for connections in BULK_CONNECTIONS:
        download(port, connections, min(WARMUP_BYTES, bulk_bytes))
        before_us = cpu_us(pids)
        download(port, connections, bulk_bytes)
        found[bulk_name(connections)] = (cpu_us(pids) - before_us) / 1000 / (bulk_bytes / 1e9)
    for connections in ECHO_CONNECTIONS:
        play_echo(port, connections, min(WARMUP_S, echo_s))
        before_us = cpu_us(pids)
        count = play_echo(port, connections, echo_s)
        found[f"echo x{connections} us/message"] = (cpu_us(pids) - before_us) / count
    return found


def bulk_name(connections: int) -> str:
    return f"bulk x{connections} ms/GB"


def measure_idle_kib(port: int, pids: Sequence[int]) -> float:
    before_kib = rss_anon_kib(pids)
    idle = [connect(port, 0) for _ in range(IDLE_CONNECTIONS)]
    time.sleep(SETTLE_S)
    found_kib = (rss_anon_kib(pids) - before_kib) / IDLE_CONNECTIONS
    for sock in idle:
        sock.close()
    return found_kib


def check_spread(accepted: Sequence[int]) -> None:
    """Every backend must have had its part of the connections."""
    if min(accepted) < MIN_SHARE * sum(accepted):
        counts = ", ".join(map(str, accepted))
        raise BenchmarkError(f"the connections were not balanced over the backends: {counts}")
