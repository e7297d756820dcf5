"""The raw TCP benchmark: its load against its own backend, its peers' configuration, its table."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers.peer import Place
from benchmarks.tcp.__main__ import clock_s, render
from benchmarks.tcp.peers import PEERS, command_gossamer, command_haproxy, make_bootstrap
from benchmarks.tcp.traffic import connect, download, play_echo, serving


def test_a_download_is_whole() -> None:
    with serving() as port:
        download(port, 3, 3_000_000)


def test_a_byte_too_few_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.tcp.traffic._pour", lambda sock, size: sock.send(bytes(size - 1)))
    with serving() as port, pytest.raises(BenchmarkError, match="9 of 10 bytes arrived"):
        download(port, 1, 10)


def test_an_echo_counts_round_trips() -> None:
    with serving() as port:
        assert play_echo(port, 4, 0.1) > 4
        with connect(port, 0) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"


def test_a_cpu_clock() -> None:
    begin_s = clock_s([os.getpid()])
    while time.process_time() < begin_s + 0.01:
        pass
    assert clock_s([os.getpid()]) >= begin_s + 0.01


def test_the_peers_know_where_to_listen_and_whom_to_serve(tmp_path: Path) -> None:
    place = Place(1111, 2222, (3333,), tmp_path)
    assert "127.0.0.1:1111" in command_gossamer(place)
    bootstrap = str(make_bootstrap(place))
    assert "1111" in bootstrap
    assert "3333" in bootstrap
    command_haproxy(place)
    text = (tmp_path / "haproxy.cfg").read_text()
    assert "bind 127.0.0.1:1111" in text
    assert "server s3333 127.0.0.1:3333" in text


def test_the_table_has_medians_and_their_spread() -> None:
    table = render({name: {"bulk": [3.0, 1.0, 2.0]} for name in PEERS})
    assert "| Gossamer | 2.0 [1.0, 3.0] |" in table
    assert table.count("\n") == len(PEERS) + 1
