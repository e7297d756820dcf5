"""What goes to a socket at once, what its transport keeps, and what is said of a socket that takes nothing any more."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.http1_adapter import Http1Adapter, flush_http1
from proxy.net.kernel import reset_at_close
from proxy.net.send import send_now
from tests.unit.proxy.codec.h1_roles import ServerRecorder


class Recorder(ServerRecorder):
    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    def lost(self, reason: str, now: float) -> None:
        self.closed = True
        self.events.append(("lost", reason))
        self.gone.set()


class Writer:
    """A connection of ours, and its peer."""

    def __init__(self, conn: Recorder, adapter: Http1Adapter, peer: socket.socket) -> None:
        self.conn = conn
        self.adapter = adapter
        self.peer = peer

    def write(self, data: bytes) -> None:
        self.conn.put(data)
        flush_http1(self.conn.flushes)

    async def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await asyncio.get_running_loop().sock_recv(self.peer, 1 << 20)
            assert piece, "the connection ended"
            data += piece
        return data


@pytest.fixture
async def writer() -> AsyncIterator[Writer]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    ours.setblocking(False)
    peer.setblocking(False)
    conn = Recorder()
    adapter = Http1Adapter(conn, ReadBuffer(), Registry().tcp(()), lambda adapter, error: None)
    await loop.create_connection(lambda: adapter, sock=ours)  # type: ignore[type-var]
    yield Writer(conn, adapter, peer)
    adapter.abort()
    peer.close()
    await asyncio.sleep(0)


async def test_what_the_socket_takes_does_not_go_through_the_transport(writer: Writer) -> None:
    writer.write(b"abc")
    writer.write(b"de")
    assert not writer.adapter.keeps_some
    assert await writer.read(5) == b"abcde"
    assert writer.adapter.tcp.write_bytes == 5


async def test_what_it_does_not_take_comes_before_what_is_written_later(writer: Writer) -> None:
    sent = b""
    for number in range(64):  # until the transport keeps some, and then more
        piece = b"%08d" % number * 16_384
        writer.write(piece)
        sent += piece
    assert writer.adapter.keeps_some
    assert writer.conn.blocked
    assert await writer.read(len(sent)) == sent
    assert not writer.conn.blocked
    writer.write(b"last")
    assert not writer.adapter.keeps_some
    assert await writer.read(4) == b"last"
    assert writer.adapter.tcp.write_bytes == len(sent) + 4


async def test_a_socket_that_takes_nothing_is_no_fault(writer: Writer) -> None:
    fd = writer.adapter.transport.get_extra_info("socket").fileno()
    filled = 0
    while size := send_now(fd, bytes(1 << 16)):
        filled += size
    writer.write(b"last")
    assert writer.adapter.keeps_some
    assert writer.adapter.error is None
    assert await writer.read(filled + 4) == bytes(filled) + b"last"


async def test_what_is_written_after_our_end_is_a_bug_of_ours_and_no_fault_of_the_peer(writer: Writer) -> None:
    writer.conn.finish()
    writer.write(b"")
    writer.write(b"late")
    await asyncio.wait_for(writer.conn.gone.wait(), 5)
    assert writer.adapter.tcp.closed == {"": 1}


async def test_the_error_of_a_socket_is_the_one_that_it_said_first(writer: Writer) -> None:
    """A reset is told once; whoever writes again hears of a broken pipe."""
    reset_at_close(writer.peer)
    writer.peer.close()
    writer.write(b"to nobody")
    writer.write(b"nor this")
    await asyncio.wait_for(writer.conn.gone.wait(), 5)
    assert writer.adapter.tcp.closed == {"ECONNRESET": 1}
    assert writer.conn.events == [("lost", "connection reset by peer")]


async def test_nothing_is_written_once_the_transport_closes(writer: Writer) -> None:
    """Its descriptor may be somebody else's soon."""
    writer.adapter.transport.close()
    writer.write(b"late")
    await asyncio.sleep(0.05)
    assert writer.peer.recv(10) == b""


def test_a_socket_says_how_much_it_takes() -> None:
    ours, peer = socket.socketpair()
    ours.setblocking(False)
    with ours:
        with peer:
            assert send_now(ours.fileno(), b"abc") == 3
            assert peer.recv(10) == b"abc"
            while sent := send_now(ours.fileno(), bytes(100_000)):
                assert 0 < sent <= 100_000
        assert send_now(ours.fileno(), b"abc") == -errno.EPIPE
