"""What one connection's bug does to the others of its flush: nothing."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.metrics.registry import Registry
from proxy.net.adapter import Adapter, ReadBuffer, flush
from tests.unit.proxy.codec.roles import NotedServer

PING = b"12345678"


class Transport:
    """Takes what is written, until it breaks."""

    def __init__(self) -> None:
        self.written = b""
        self.is_broken = False
        self.is_aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        if self.is_broken:
            raise RuntimeError("no bytes today")
        self.written += data

    def abort(self) -> None:
        self.is_aborted = True


def make(flushes: list[Any]) -> tuple[NotedServer, Transport]:
    conn = NotedServer()
    conn.flushes = flushes
    transport: Any = Transport()
    adapter = Adapter(conn, ReadBuffer(), Registry().tcp(()), lambda adapter, error: None)
    adapter.connection_made(transport)
    return conn, transport


@pytest.mark.parametrize("at", range(3))
def test_a_connection_that_cannot_be_written_to_is_ended_and_no_other(at: int) -> None:
    flushes: list[Any] = []
    made = [make(flushes) for _ in range(3)]
    for number, (conn, transport) in enumerate(made):
        transport.written = b""
        transport.is_broken = number == at
        conn.ping(PING)
    flush(flushes)
    assert [transport.is_aborted for _, transport in made] == [number == at for number in range(3)]
    assert [transport.written.endswith(PING) for _, transport in made] == [number != at for number in range(3)]
    assert not flushes


def test_a_connection_without_a_socket_can_be_flushed_later() -> None:
    flushes: list[Any] = []
    conn, transport = make(flushes)
    adapter, conn.io = conn.io, None
    conn.ping(PING)
    flush(flushes)
    assert conn.out
    conn.io = adapter
    conn.ping(PING)
    flush(flushes)
    assert transport.written.endswith(2 * (b"\0\0\x08\x06\0\0\0\0\0" + PING))
