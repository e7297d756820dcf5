"""HTTP/1 on real sockets, in this process: what a clock would take too long to show, and what only sockets have."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

import pytest

from proxy.balance.p2c import Balancer
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.limits import Limits
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.dials import MAX_DIALS
from proxy.net.http1_adapter import flush_http1
from proxy.net.http1_listener import HEAD_TIMEOUT_S, TUNNEL_TIMEOUT_S, Http1Listener
from proxy.net.http1_pool import Http1Pool
from proxy.net.kernel import ask_kernel, reset_at_close
from proxy.net.listener import STALLED_S
from proxy.outbound import OutboundTally
from proxy.relay.cluster import Cluster
from proxy.relay.http1.link import IDLE_S, replace_endpoints
from proxy.relay.relay import Relay
from proxy.route.model import Endpoint

HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
    except asyncio.IncompleteReadError:
        writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1_000):
        continue
    writer.close()


class Sidecar:
    """Listener, pool and cluster, before one server."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.tcp = self.registry.tcp((("peer", "src"),))
        self.tcp_up = self.registry.tcp((("peer", "dst"),))
        now = monotonic()
        self.cluster = Cluster("test", Balancer(), 3.0, now)
        self.relay = Relay(lambda authority, path: (self.cluster, 0.0), lambda: 0.5, OutboundTally(self.registry))
        memo, buffer = HeadMemo(), ReadBuffer()
        self.pool = Http1Pool(self.relay, memo, buffer, self.tcp_up, 20.0)
        self.listener = Http1Listener(self.relay, memo, buffer, self.tcp, 60.0)
        self.accept: Any = self.listener.make_adapter
        self.servers: list[asyncio.Server] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def start(
        self, serve: Serve = answer_all, backend_port: int = 0, is_foreign: bool = False, limit: int = 1 << 16
    ) -> None:
        if not backend_port:
            backend_port = await self.serve(serve, 0, limit)
        endpoint = Endpoint(HOST, backend_port, is_foreign=is_foreign)
        replace_endpoints(self.cluster, [endpoint], self.pool.dial, 1.0, monotonic())
        server = await asyncio.get_running_loop().create_server(self.accept, HOST, 0)
        self.servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    async def serve(self, serve: Serve, port: int, limit: int = 1 << 16) -> int:
        async def noted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            await serve(reader, writer)

        server = await asyncio.start_server(noted, HOST, port, limit=limit)
        self.servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(HOST, self.port)
        self.writers.append(writer)
        return reader, writer

    async def sweep(self, ahead_s: float) -> None:
        """As if so much time had passed."""
        now = monotonic() + ahead_s
        for exchange in self.relay.find_due(now):
            exchange.deadline_passed(now)
        await self.listener.sweep(now)
        await self.pool.sweep(now)
        flush_http1(self.relay.flushes)

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        self.listener.abort_all()
        self.pool.close()
        for writer in self.writers:
            writer.transport.abort()
        await until(lambda: not self.listener.adapters and not self.pool.adapters and not self.pool.dials.tasks)
        await asyncio.sleep(0.02)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.005)


@pytest.fixture
async def sidecar() -> AsyncIterator[Sidecar]:
    made = Sidecar()
    yield made
    await made.close()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = GET) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(2)


async def test_bytes_and_connections_are_counted(sidecar: Sidecar) -> None:
    await sidecar.start()
    reader, writer = await sidecar.connect()
    assert await ask(reader, writer) == OK
    assert await ask(reader, writer) == OK
    writer.close()
    await until(lambda: sidecar.tcp.open_connections() == 0)
    assert (sidecar.tcp.opened, sidecar.tcp.read_bytes, sidecar.tcp.write_bytes) == (1, 2 * len(GET), 2 * len(OK))
    assert (sidecar.tcp_up.opened, sidecar.tcp_up.read_bytes) == (1, 2 * len(OK))
    assert sidecar.tcp.closed == {"": 1}


async def test_a_socket_that_was_accepted_and_peeked_at(sidecar: Sidecar) -> None:
    await sidecar.start()
    with socket.create_server((HOST, 0)) as server:
        reader, writer = await asyncio.open_connection(*server.getsockname())
        sidecar.writers.append(writer)
        writer.write(GET)
        sock, _ = server.accept()
        sock.setblocking(False)
        await until(lambda: len(sock.recv(100, socket.MSG_PEEK)) == len(GET))
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(sidecar.accept, sock)
        assert await reader.readexactly(len(OK)) == OK


async def test_a_slow_head_is_answered_with_408(sidecar: Sidecar) -> None:
    await sidecar.start()
    reader, writer = await sidecar.connect()
    writer.write(b"GET / HT")
    await until(lambda: any(adapter.tail for adapter in sidecar.listener.adapters))
    await sidecar.sweep(0.0)
    writer.write(b"T")
    await until(lambda: any(adapter.tail == b"GET / HTT" for adapter in sidecar.listener.adapters))
    await sidecar.sweep(HEAD_TIMEOUT_S - 1.0)
    assert not reader.at_eof()
    await sidecar.sweep(HEAD_TIMEOUT_S + 1.0)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_slow_head_of_an_endpoint_is_answered_with_502(sidecar: Sidecar) -> None:
    """Byte by byte, without an end; one head after the other may take as long."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 103 Early Hints\r\n")
        await reader.readuntil(b"\r\n\r\n")

    await sidecar.start(trickle)
    reader, writer = await sidecar.connect()
    writer.write(GET)

    async def hear(tail: bytes) -> None:
        await until(lambda: any(adapter.tail == tail for adapter in sidecar.pool.adapters))

    async def say(piece: bytes, tail: bytes) -> None:
        sidecar.writers[-1].write(piece)
        await hear(tail)

    await hear(b"HTTP/1.1 103 Early Hints\r\n")
    await say(b"x: y\r\n", b"HTTP/1.1 103 Early Hints\r\nx: y\r\n")
    await sidecar.sweep(0.0)
    await sidecar.sweep(HEAD_TIMEOUT_S - 1.0)
    await say(b"\r\nHTTP/1.1 2", b"HTTP/1.1 2")
    await sidecar.sweep(HEAD_TIMEOUT_S + 1.0)
    await say(b"00", b"HTTP/1.1 200")
    await sidecar.sweep(2 * HEAD_TIMEOUT_S)
    assert sidecar.tcp_up.open_connections() == 1
    await sidecar.sweep(2 * HEAD_TIMEOUT_S + 2.0)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n"
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"gossamer-error: bad-response" in answer
    await until(lambda: sidecar.tcp_up.open_connections() == 0)


async def test_silence_is_not_a_slow_head(sidecar: Sidecar) -> None:
    """Nor is a head behind which there is nothing yet."""
    await sidecar.start(answer_all)
    reader, writer = await sidecar.connect()
    assert await ask(reader, writer) == OK
    await sidecar.sweep(0.0)
    await sidecar.sweep(HEAD_TIMEOUT_S + 1.0)
    assert await ask(reader, writer) == OK
    assert sidecar.tcp_up.opened == 1


@pytest.mark.parametrize("size", [100, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("answer_size", [2, 200_000])
async def test_an_answer_before_a_body_that_is_never_read(
    sidecar: Sidecar, size: int, chunked: bool, answer_size: int
) -> None:
    """The server closes with unread data, so the kernel resets the connection: what it said before arrives whole."""
    loop = asyncio.get_running_loop()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % answer_size + b"z" * answer_size
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    body = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n" if chunked else b"x" * size
    with socket.create_server((HOST, 0)) as server:
        server.setblocking(False)
        await sidecar.start(backend_port=server.getsockname()[1])
        for _ in range(5):
            reader, writer = await sidecar.connect()
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body)
            sock, _ = await loop.sock_accept(server)
            with sock:
                await until(lambda sock=sock: bool(select.select([sock], [], [], 0)[0]))  # type: ignore[misc]
                await loop.sock_sendall(sock, answer)
                await until(lambda sock=sock: not ask_kernel(sock.fileno()).is_owed)  # type: ignore[misc]
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(answer_size) == answer[-answer_size:]


async def test_a_body_that_stands_still_ends(sidecar: Sidecar) -> None:
    await sidecar.start(say_nothing)
    reader, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab")
    await until(lambda: sidecar.tcp_up.write_bytes > 0)
    await sidecar.sweep(0.0)
    await sidecar.sweep(200.0)
    assert sidecar.tcp.open_connections() == 1
    await sidecar.sweep(301.0)
    with pytest.raises(ConnectionResetError):
        await reader.read()


@pytest.mark.parametrize("is_reset", [True, False])
async def test_a_client_that_is_gone_is_noticed_though_it_is_not_read(sidecar: Sidecar, is_reset: bool) -> None:
    """It has said more than one request, and nothing is read of the next before the first has its answer."""
    await sidecar.start(say_nothing)
    _, writer = await sidecar.connect()
    writer.write(GET + GET)
    await until(lambda: any(adapter.read_paused for adapter in sidecar.listener.adapters))
    await until(lambda: sidecar.tcp_up.open_connections() == 1)
    if is_reset:
        reset_at_close(writer.get_extra_info("socket"))
    writer.close()
    (adapter,) = sidecar.listener.adapters
    fd = adapter.transport.get_extra_info("socket").fileno()
    await until(lambda: ask_kernel(fd).is_closed if is_reset else ask_kernel(fd).has_ended)
    for ahead in range(4):
        await sidecar.sweep(ahead * 6.0)
        await asyncio.sleep(0.05)
    await until(lambda: not sidecar.listener.adapters and sidecar.tcp_up.open_connections() == 0)


async def test_an_upload_that_its_endpoint_does_not_take_ends(sidecar: Sidecar) -> None:
    async def read_a_little(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await writer.wait_closed()

    await sidecar.start(read_a_little)
    _, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n" + bytes(50_000_000))
    await until(lambda: any(adapter.read_paused for adapter in sidecar.listener.adapters))
    await asyncio.sleep(0.2)
    await sidecar.sweep(0.0)
    await sidecar.sweep(STALLED_S - 1.0)
    assert sidecar.listener.adapters
    await sidecar.sweep(STALLED_S + 1.0)
    await until(lambda: not sidecar.listener.adapters)


async def test_a_head_that_is_larger_than_the_read_buffer(sidecar: Sidecar) -> None:
    """Where the settings allow it."""
    sidecar.listener.memo.configure(Limits(max_header_bytes=1 << 20))
    await sidecar.start(limit=1 << 21)
    for size in (100_000, 140_000, 500_000):
        reader, writer = await sidecar.connect()
        assert await ask(reader, writer, GET[:-2] + b"x: " + b"y" * size + b"\r\n\r\n") == OK


async def test_an_answer_that_does_not_begin_is_no_stall(sidecar: Sidecar) -> None:
    await sidecar.start(say_nothing)
    _, writer = await sidecar.connect()
    writer.write(GET)
    await until(lambda: sidecar.tcp_up.write_bytes > 0)
    for ahead_s in (0.0, 400.0, 4_000.0):
        await sidecar.sweep(ahead_s)
    assert sidecar.tcp.open_connections() == 1


async def test_idle_connections_end(sidecar: Sidecar) -> None:
    await sidecar.start()
    reader, writer = await sidecar.connect()
    await ask(reader, writer)
    await sidecar.sweep(IDLE_S + 1.0)
    await until(lambda: sidecar.tcp_up.open_connections() == 0)
    assert not reader.at_eof()
    await sidecar.sweep(61.0)
    assert await reader.read() == b""


async def test_a_client_counts_for_two_until_it_is_seen_idle(sidecar: Sidecar) -> None:
    await sidecar.start()
    idle, gone = await sidecar.connect(), await sidecar.connect()
    await until(lambda: sidecar.listener.count() == 2)
    assert sidecar.listener.count_descriptors() == 4
    gone[1].close()
    await until(lambda: sidecar.listener.count() == 1)
    assert sidecar.listener.count_descriptors() == 2
    await ask(*idle)
    await sidecar.sweep(0.0)
    assert sidecar.listener.count_descriptors() == 1
    idle[1].close()
    await until(lambda: sidecar.listener.count() == 0)
    assert sidecar.listener.count_descriptors() == 0


async def test_who_is_ended_to_make_room_counts_no_more(sidecar: Sidecar) -> None:
    await sidecar.start()
    newcomer, used = await sidecar.connect(), await sidecar.connect()
    await ask(*used)
    for _ in range(2):
        [*idle] = sidecar.listener.find_idle()
        assert idle[0] is not None
        idle[0].end()
        assert sidecar.listener.count_descriptors() == 2 * sidecar.listener.count()
    await until(lambda: sidecar.tcp.open_connections() == 0)
    assert sidecar.listener.count_descriptors() == 0
    for _, writer in (newcomer, used):
        writer.close()


async def test_old_connections_are_told_so(sidecar: Sidecar) -> None:
    sidecar.listener.max_age_s = 100.0
    await sidecar.start()
    reader, writer = await sidecar.connect()
    assert await ask(reader, writer) == OK
    await sidecar.sweep(50.0)
    assert await ask(reader, writer) == OK
    sidecar.listener.idle_timeout_s = 1_000.0
    await sidecar.sweep(111.0)
    assert b"connection: close" in await ask(reader, writer)
    assert await reader.read() == b""


async def test_draining_closes_who_is_idle_after_a_while(sidecar: Sidecar) -> None:
    await sidecar.start()
    reader, writer = await sidecar.connect()
    await ask(reader, writer)
    sidecar.listener.drain(monotonic())
    await sidecar.sweep(0.0)
    assert not reader.at_eof()
    await sidecar.sweep(1.5)
    assert await reader.read() == b""


async def test_and_gives_who_was_busy_as_long(sidecar: Sidecar) -> None:
    """His next POST may be on its way."""
    await sidecar.start()
    reader, writer = await sidecar.connect()
    await ask(reader, writer)
    sidecar.listener.drain(monotonic() - 60.0)
    await sidecar.sweep(0.0)
    writer.write(GET)
    assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")


async def test_trailers_that_come_slowly_end_like_a_slow_head(sidecar: Sidecar) -> None:
    await sidecar.start(say_nothing)
    reader, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na")
    await until(lambda: any(adapter.tail == b"a" for adapter in sidecar.listener.adapters))
    await sidecar.sweep(0.0)
    writer.write(b"b")
    await until(lambda: any(adapter.tail == b"ab" for adapter in sidecar.listener.adapters))
    await sidecar.sweep(HEAD_TIMEOUT_S - 1.0)
    assert not reader.at_eof()
    await sidecar.sweep(HEAD_TIMEOUT_S + 1.0)
    assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_tunnel_on_which_nothing_moves_ends(sidecar: Sidecar) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(switch)
        while await reader.read(100):
            writer.write(b"pong")
        writer.close()

    await sidecar.start(agree)
    reader, writer = await sidecar.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert await reader.readexactly(len(switch)) == switch
    await sidecar.sweep(0.0)
    await sidecar.sweep(TUNNEL_TIMEOUT_S - 1.0)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"pong"
    await sidecar.sweep(TUNNEL_TIMEOUT_S + 1.0)
    assert sidecar.tcp.open_connections() == 1
    await sidecar.sweep(2 * TUNNEL_TIMEOUT_S + 2.0)
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_dials_wait_their_turn(sidecar: Sidecar) -> None:
    with socket.create_server((HOST, 0), backlog=1_000) as server:
        await sidecar.start(backend_port=server.getsockname()[1])
        for _ in range(3 * MAX_DIALS):
            _, writer = await sidecar.connect()
            writer.write(GET)
        most = 0
        async with asyncio.timeout(20):
            while len(sidecar.pool.adapters) < 3 * MAX_DIALS:
                most = max(most, len(sidecar.pool.dials.young))
                await asyncio.sleep(0)
        assert most <= MAX_DIALS


async def test_the_rest_of_a_refused_body_does_not_turn_the_answer_into_a_reset(sidecar: Sidecar) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await reader.read()

    await sidecar.start(refuse)
    reader, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 3_000_000)
    answer = await reader.read()
    assert answer == b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nconnection: close\r\n\r\nno"


CHUNKS = b"a\r\n0123456789\r\n"
LAST = b"0\r\n\r\n"
HELD_BYTES = 512 * 1024


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """A chunked one."""
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def test_small_chunks_wait_for_who_reads_late(sidecar: Sidecar) -> None:
    """Both ways, more than a turn has: what is read meanwhile is bounded, and nothing is lost."""
    goes_on = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await goes_on.wait()
        body = await read_body(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(CHUNKS * (len(body) // 10) + LAST)

    def count_held() -> int:
        adapters = [*sidecar.listener.adapters, *sidecar.pool.adapters]
        return sum(len(adapter.tail) + adapter.transport.get_write_buffer_size() for adapter in adapters)

    await sidecar.start(echo)
    reader, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 600_000 + LAST)
    await until(lambda: any(adapter.conn.blocked for adapter in sidecar.pool.adapters))
    await asyncio.sleep(0.1)
    assert count_held() < HELD_BYTES
    goes_on.set()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await until(lambda: any(adapter.conn.blocked for adapter in sidecar.listener.adapters))
    await asyncio.sleep(0.1)
    assert count_held() < HELD_BYTES
    assert await read_body(reader) == b"0123456789" * 600_000


async def test_small_chunks_of_who_resets_the_connection_then(sidecar: Sidecar) -> None:
    """It does not read the request to its end, so that what it has said is read in one turn, or never."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS * 10_000 + LAST)
        await writer.drain()
        writer.close()

    await sidecar.start(refuse)
    reader, writer = await sidecar.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 3_000_000)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    assert await read_body(reader) == b"0123456789" * 10_000


async def test_small_chunks_that_wait_for_their_reader_as_the_connection_is_reset(sidecar: Sidecar) -> None:
    """What has come is passed on to its end, whether it was to wait for others, or for its reader."""
    goes = asyncio.Event()

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        body = b"%x\r\n" % 100_000 + bytes(100_000) + b"\r\n" + CHUNKS * 10_000 + LAST
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        await writer.drain()
        await goes.wait()
        writer.close()

    await sidecar.start(answer_early)
    reader, writer = await sidecar.connect()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    (client,) = sidecar.listener.adapters
    for sock, option in (
        (client.transport.get_extra_info("socket"), socket.SO_SNDBUF),
        (writer.get_extra_info("socket"), socket.SO_RCVBUF),
    ):
        sock.setsockopt(socket.SOL_SOCKET, option, 4_096)
    writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + bytes(20_000))
    await until(lambda: any(adapter.tail and adapter.conn.paused for adapter in sidecar.pool.adapters))
    goes.set()
    await until(lambda: writer.write(bytes(1_000)) or not sidecar.pool.adapters)  # type: ignore[func-returns-value]
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    await reader.readuntil(b"\r\n\r\n")
    assert await read_body(reader) == bytes(100_000) + b"0123456789" * 10_000


@pytest.mark.parametrize("is_reset", [False, True])
async def test_who_goes_while_others_have_their_turn(sidecar: Sidecar, is_reset: bool) -> None:
    await sidecar.start(say_nothing)
    writers = [(await sidecar.connect())[1] for _ in range(20)]
    for writer in writers:
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000)
    await until(lambda: any(adapter.conn.resting for adapter in sidecar.listener.adapters))
    for writer in writers:
        if is_reset:
            reset_at_close(writer.get_extra_info("socket"))
            writer.transport.abort()
        else:
            writer.close()
    await until(lambda: not sidecar.listener.adapters)


async def test_half_a_body_does_not_look_like_a_whole_one(sidecar: Sidecar) -> None:
    """An HTTP/1.0 client knows the end of a body by the end of the connection alone."""

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        await reader.read(1)
        writer.close()

    await sidecar.start(break_off)
    reader, writer = await sidecar.connect()
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await reader.readuntil(b"abc")
    for backend in sidecar.writers[1:]:
        backend.transport.abort()
    with pytest.raises(ConnectionResetError):
        await reader.read()


async def test_an_endpoint_that_comes_up_later_is_dialled_until_it_does(sidecar: Sidecar) -> None:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
    await sidecar.start(backend_port=port)
    reader, writer = await sidecar.connect()
    writer.write(GET)
    await until(lambda: sidecar.cluster.balancer.endpoints[0].link.failures > 1)
    assert "refused" in sidecar.cluster.last_error
    await sidecar.serve(answer_all, port)
    assert await reader.readexactly(len(OK)) == OK


async def test_who_lost_a_request_is_looked_for_and_what_died_with_it_is_forgotten(sidecar: Sidecar) -> None:
    async def crash(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sidecar.servers[0].close()
        writer.transport.abort()

    port = await sidecar.serve(crash, 0)
    await sidecar.start(backend_port=port)
    reader, writer = await sidecar.connect()
    writer.write(GET)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
    (endpoint,) = sidecar.cluster.balancer.endpoints
    assert endpoint.rtt(monotonic()) > 1.0
    sidecar.pool.tick()
    await until(lambda: not endpoint.ready)
    assert endpoint.rtt(monotonic()) == 0.0


async def test_nobody_listens_where_the_application_was_going(
    sidecar: Sidecar, capsys: pytest.CaptureFixture[str]
) -> None:
    """It hears so without a wait, and is served once somebody does; the log is spared its attempts."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = sock.getsockname()[1]
        await sidecar.start(backend_port=port, is_foreign=True)
        sidecar.cluster.failfast_s = 1_000.0
        reader, writer = await sidecar.connect()
        for _ in range(3):
            writer.write(GET)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 502 ")
            assert b"gossamer-error: connect-failed" in answer
            assert b"refused" in await reader.readline()
    await sidecar.serve(answer_all, port)
    assert await ask(reader, writer) == OK
    assert capsys.readouterr().err == ""


async def test_the_end_of_all_idle_connections_costs_no_get(sidecar: Sidecar) -> None:
    """A server that restarts: when the requests are sent, the loop has not heard of any of the ends."""
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0), backlog=100) as server:
        server.setblocking(False)
        await sidecar.start(backend_port=server.getsockname()[1])
        clients = [await sidecar.connect() for _ in range(20)]
        for _, writer in clients:
            writer.write(GET)
        old = [(await loop.sock_accept(server))[0] for _ in clients]
        for sock in old:
            await loop.sock_recv(sock, 1_000)
            await loop.sock_sendall(sock, OK)
        for reader, _ in clients:
            assert await reader.readexactly(len(OK)) == OK
        for sock in old:
            sock.close()
        for adapter in list(sidecar.listener.adapters):
            adapter.get_buffer(-1)[: len(GET)] = GET
            adapter.buffer_updated(len(GET))
        for _ in clients:
            sock, _ = await loop.sock_accept(server)
            with sock:
                assert await loop.sock_recv(sock, 1_000) == GET
                await loop.sock_sendall(sock, OK)
        for reader, _ in clients:
            assert await reader.readexactly(len(OK)) == OK


async def test_a_server_that_closes_while_idle_costs_nothing(sidecar: Sidecar) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    await sidecar.start(once)
    reader, writer = await sidecar.connect()
    for _ in range(20):
        assert await ask(reader, writer) == OK
    assert sum(handle.responses.get(200 << 6 | 1, 0) for handle in sidecar.registry._https.all()) == 20


async def test_large_answers_to_pipelined_requests(sidecar: Sidecar) -> None:
    """More than the buffers hold, to a client that first sends all and reads then."""
    body = b"z" * 300_000

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        except asyncio.IncompleteReadError:
            writer.close()

    await sidecar.start(large)
    reader, writer = await sidecar.connect()
    writer.write(GET * 30)
    for _ in range(30):
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body


async def test_a_post_that_comes_with_the_end_of_an_idle_connection(sidecar: Sidecar) -> None:
    """Both are there when the loop wakes up, and the POST is read first."""
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as server:
        server.setblocking(False)
        await sidecar.start(backend_port=server.getsockname()[1])
        reader, writer = await sidecar.connect()
        writer.write(GET)
        first, _ = await loop.sock_accept(server)
        await loop.sock_recv(first, 1_000)
        await loop.sock_sendall(first, OK)
        assert await reader.readexactly(len(OK)) == OK
        (adapter,) = sidecar.listener.adapters
        post = GET.replace(b"GET", b"POST")
        first.close()
        adapter.get_buffer(-1)[: len(post)] = post
        adapter.buffer_updated(len(post))
        second, _ = await loop.sock_accept(server)
        assert await loop.sock_recv(second, 1_000) == post
        await loop.sock_sendall(second, OK)
        assert await reader.readexactly(len(OK)) == OK
        second.close()
