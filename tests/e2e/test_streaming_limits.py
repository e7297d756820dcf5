"""Large, slow, many and silent streams: backpressure from end to end, and memory that stays bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Self

import grpc
import pytest

from tests.e2e.calls import EOF, ask, open_channel, path
from tests.e2e.interop import InteropServer
from tests.e2e.processes import GrpcBackend, Process, eventually
from tests.e2e.proxy_process import Proxy
from tests.e2e.wire import (
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    FRAME_BYTES,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_WINDOW,
    PING,
    RST_STREAM,
    WINDOW_UPDATE,
    ZEROS,
    Client,
    Pace,
    Server,
    encode_frame,
)

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
GIB = 1 << 30
# A reader that is slow through its windows (the proxy may not send), or through its socket (the proxy cannot write).
WINDOWS = pytest.mark.parametrize("window", [DEFAULT_WINDOW, MAX_WINDOW], ids=["small-window", "unread-socket"])


class PeakMemory:
    """The most anonymous memory that a process had within the `with` block, in KiB."""

    def __init__(self, process: Process) -> None:
        self.process, self.before_kib = process, process.anon_kib()
        self.peak_kib, self._done = self.before_kib, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak_kib = max(self.peak_kib, self.process.anon_kib())

    @property
    def grown_kib(self) -> int:
        return self.peak_kib - self.before_kib

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        self._thread.join()


def download(client: Client, size: int, window: int, pace: Pace | None = None) -> int:
    """Read /bytes/SIZE to its trailers at a pace; the number of bytes that came."""
    stream, received, owed = client.request(f"/bytes/{size}"), 0, 0
    for frame in client.frames():
        if frame.kind == DATA:
            received += len(frame.payload)
            owed += len(frame.payload)
            if pace is not None:
                pace.take(len(frame.payload))
            if window == DEFAULT_WINDOW and owed >= DEFAULT_WINDOW // 2:
                client.credit(0, owed)
                client.credit(stream, owed)
                owed = 0
        if frame.kind == RST_STREAM:
            raise AssertionError(f"reset after {received} bytes: {frame.payload!r}")
        if frame.kind == HEADERS and frame.flags & END_STREAM:
            assert client.decode(frame)["grpc-status"] == "0"
            return received
    raise AssertionError(f"the connection ended after {received} bytes")


def upload(client: Client, size: int) -> int:
    """Send `size` bytes to /slow-sink as fast as the windows that the proxy grants allow; what the server counted."""
    stream = client.request("/slow-sink", end=False)
    windows, sent, answer = {0: DEFAULT_WINDOW, stream: client.peer_window}, 0, b""
    granted = client.peer_window
    while True:
        room = min(size - sent, *windows.values())
        while room > 0:
            count = min(room, FRAME_BYTES)
            sent += count
            client.socket.sendall(encode_frame(DATA, END_STREAM * (sent == size), stream, ZEROS[:count]))
            windows = {number: left - count for number, left in windows.items()}
            room -= count
        frame = client.receive()
        assert frame is not None, f"the connection ended after {sent} bytes"
        windows[stream], granted = windows[stream] + client.peer_window - granted, client.peer_window
        if frame.kind == WINDOW_UPDATE:
            windows[frame.stream] += int.from_bytes(frame.payload, "big")
        elif frame.kind == DATA:
            answer += frame.payload
        elif frame.kind == HEADERS and frame.flags & END_STREAM:
            return int(answer)


@WINDOWS
def test_1_gib_to_a_slow_client_in_bounded_memory(window: int) -> None:
    with Server() as server, Proxy([server.address]) as proxy, Client(proxy.address, window, window) as client:
        with PeakMemory(proxy) as memory:
            assert download(client, GIB, window, Pace()) == GIB
        assert memory.peak_kib < 50_000


@WINDOWS
def test_256_mib_to_a_slow_server_in_bounded_memory(window: int) -> None:
    settings = {INITIAL_WINDOW_SIZE: window} if window == MAX_WINDOW else {}
    with Server(settings) as server, Proxy([server.address]) as proxy, Client(proxy.address) as client:
        with PeakMemory(proxy) as memory:
            assert upload(client, 256 * MIB) == 256 * MIB
        assert memory.peak_kib < 50_000


@WINDOWS
def test_99_stalled_clients_do_not_stall_the_hundredth(window: int) -> None:
    """All 100 streams share one upstream connection.

    What the proxy may hold for them: 64 KiB a stream, 4 MiB of grown windows, and 64 KiB that each client's socket did
    not take yet: 17 MB; the rest of the limit is the allocator's.
    """
    size = 128 * MIB
    with ExitStack() as stack:
        server = stack.enter_context(Server({MAX_CONCURRENT_STREAMS: 1000}))
        proxy = stack.enter_context(Proxy([server.address]))
        fast = stack.enter_context(Client(proxy.address))
        assert download(fast, size, DEFAULT_WINDOW) == size
        with PeakMemory(proxy) as memory:
            for _ in range(99):
                stack.enter_context(Client(proxy.address, window, window)).request(f"/bytes/{64 * MIB}")
            eventually(lambda: server.open_streams == 99, "99 streams at the server")
            assert download(fast, size, DEFAULT_WINDOW) == size
        assert len(server.connections) == 1
        assert server.open_streams == 99
        assert memory.grown_kib < 25_000


def test_a_client_that_reads_nothing_stalls_only_itself() -> None:
    """The same on one downstream connection: 50 streams without a window beside one that reads."""
    with Server() as server, Proxy([server.address]) as proxy:
        with Client(proxy.address, window=0, connection_window=MAX_WINDOW) as client:
            for _ in range(50):
                client.request(f"/bytes/{MIB}")
            stream, received = client.request(f"/bytes/{16 * MIB}"), 0
            client.credit(stream, MAX_WINDOW)
            while received < 16 * MIB:
                frame = client.receive()
                assert frame is not None
                received += len(frame.payload) if frame.kind == DATA else 0
                assert frame.kind != DATA or not frame.payload or frame.stream == stream


async def test_50_concurrent_calls_where_the_backend_takes_10_at_a_time() -> None:
    with GrpcBackend("a", max_concurrent_streams=10) as backend, Proxy([backend.address]) as proxy:
        async with open_channel(proxy.address) as channel:
            names = await asyncio.gather(*(ask(channel, "slow", b"100") for _ in range(50)))
    assert names == ["a"] * 50


def test_max_concurrent_streams_is_kept_and_more_connections_are_made() -> None:
    """50 requests at once, 10 at most on a connection. What a new connection refuses, before its SETTINGS are known, is
    replayed; a connection that has told its limit never has to refuse."""
    with Server({MAX_CONCURRENT_STREAMS: 10}) as server, Proxy([server.address]) as proxy:
        with Client(proxy.address) as client:
            client.exchange("/headers")
            for _ in range(50):
                client.request("/gate")
            eventually(lambda: server.open_streams >= 20, "20 streams at the server")
            server.gate.set()
            ended = 0
            while ended < 50:
                frame = client.receive()
                assert frame is not None
                assert frame.kind != RST_STREAM
                ended += frame.kind == HEADERS and bool(frame.flags & END_STREAM)
        assert len(server.connections) >= 2
        assert server.connections[0].refused == 0


@pytest.fixture
def silent_servers() -> Iterator[tuple[GrpcBackend, InteropServer, Server]]:
    with GrpcBackend("a") as python, InteropServer() as go, Server() as raw:
        yield python, go, raw


async def test_a_silent_stream_survives(silent_servers: tuple[GrpcBackend, InteropServer, Server]) -> None:
    """15 s without a byte: a grpc server with default settings kills a stream at the fourth PING, 6 s after the first.

    So nobody who is not known as Gossamer may be pinged, upstream or downstream."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy([server.address])) for server in silent_servers]
        raw_client = stack.enter_context(Client(proxies[2].address))
        raw_client.request("/hold", end=False)
        await asyncio.gather(
            talk_after_silence(proxies[0].address, path("chat"), b"hello"),
            talk_after_silence(proxies[1].address, "/grpc.testing.TestService/FullDuplexCall", b"\x12\x02\x08\x01"),
        )
        drained: Sequence[object] = list(iter(lambda: raw_client.receive(0), None))
        assert all(frame.kind not in (RST_STREAM, PING) for frame in drained)  # type: ignore[attr-defined]
        assert (raw_client.pings, raw_client.goaways, silent_servers[2].pings) == ([], [], [])
        assert silent_servers[2].open_streams == 1


async def talk_after_silence(address: str, method: str, message: bytes) -> None:
    async with open_channel(address) as channel:
        call = channel.stream_stream(method)(timeout=60)
        for silence_s in (15, 0):
            await call.write(message)
            assert await call.read() is not EOF
            await asyncio.sleep(silence_s)
        await call.done_writing()
        assert await call.read() is EOF
        assert await call.code() is grpc.StatusCode.OK
