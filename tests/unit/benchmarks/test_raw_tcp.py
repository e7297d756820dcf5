"""The raw TCP part: its load against its own backend, and what it says of a proxy."""

from __future__ import annotations

import os

import pytest

from benchmarks import raw_tcp
from benchmarks.errors import BenchmarkError
from benchmarks.traffic import connect, download, play_echo, serving


def test_a_download_is_whole() -> None:
    with serving() as backend:
        download(backend.port, 3, 3_000_000)


def test_a_byte_too_few_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.traffic._pour", lambda sock, size: sock.send(bytes(size - 1)))
    with serving() as backend, pytest.raises(BenchmarkError, match="9 of 10 bytes arrived"):
        download(backend.port, 1, 10)


def test_an_echo_counts_round_trips() -> None:
    with serving() as backend:
        assert play_echo(backend.port, 4, 0.1) > 4
        with connect(backend.port, 0) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        assert backend.accepted == 5


def test_everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a proxy, on this process."""
    monkeypatch.setattr(raw_tcp, "IDLE_CONNECTIONS", 20)
    with serving() as backend:
        figures = raw_tcp.measure(backend.port, [os.getpid()], [backend], 10_000_000, 0.05)
    assert list(figures) == [
        "idle KiB/connection",
        "bulk x1 ms/GB",
        "bulk x8 ms/GB",
        "echo x1 us/message",
        "echo x32 us/message",
    ]
    assert all(value > 0 for what, value in figures.items() if what != "idle KiB/connection")


def test_a_backend_that_is_left_out_fails_the_run() -> None:
    raw_tcp.check_spread([40, 30, 30])
    with pytest.raises(BenchmarkError, match="not balanced over the backends: 96, 4, 0"):
        raw_tcp.check_spread([96, 4, 0])
