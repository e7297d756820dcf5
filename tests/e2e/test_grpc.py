"""Real grpcio clients and servers, all kinds of call, through `mesh proxy`: nothing may differ from a direct call."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from tests.e2e.calls import EOF, Channel, ask, backend_of, fail_request, new_key, open_channel, path, unary
from tests.e2e.processes import GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy
from tests.e2e.wire import DATA, Client, Server

pytestmark = pytest.mark.timeout(60)

KIB, MIB = 1 << 10, 1 << 20
MESSAGES = [b"", b"one", bytes(range(256)) * 40, b"last"]


async def stream(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def test_unary(channel: Channel) -> None:
    for message in MESSAGES:
        assert await unary(channel, "unary", message) == message


async def test_client_streaming(channel: Channel) -> None:
    answer = await channel.stream_unary(path("collect"))(stream(MESSAGES), timeout=30)
    assert json.loads(answer) == [len(MESSAGES), sum(map(len, MESSAGES))]


async def test_server_streaming(channel: Channel) -> None:
    call = channel.unary_stream(path("expand"))(json.dumps([2000, 100]).encode(), timeout=30)
    messages = [message async for message in call]
    assert messages == [b"%08d" % number + bytes(92) for number in range(2000)]
    assert await call.code() is grpc.StatusCode.OK


async def test_bidirectional(channel: Channel) -> None:
    """Each answer arrives before the next question is asked: nothing waits for the half-close."""
    call = channel.stream_stream(path("chat"))(timeout=30)
    for number in range(500):
        await call.write(b"%d" % number)
        assert await call.read() == b"%d" % number
    await call.done_writing()
    assert await call.read() is EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_bidirectional_half_close_first(channel: Channel) -> None:
    call = channel.stream_stream(path("chat"))(stream(MESSAGES * 50), timeout=30)
    assert [message async for message in call] == MESSAGES * 50


async def test_empty_streams(channel: Channel) -> None:
    assert json.loads(await channel.stream_unary(path("collect"))(stream([]), timeout=30)) == [0, 0]
    assert [m async for m in channel.unary_stream(path("expand"))(b"[0, 8]", timeout=30)] == []
    assert [m async for m in channel.stream_stream(path("chat"))(stream([]), timeout=30)] == []


def test_all_kinds_of_a_threaded_client(sync_channel: Channel) -> None:
    assert unary(sync_channel, "unary", b"hello") == b"hello"
    assert json.loads(sync_channel.stream_unary(path("collect"))(iter(MESSAGES), timeout=30))[0] == len(MESSAGES)
    expanded: Iterator[bytes] = sync_channel.unary_stream(path("expand"))(b"[100, 1000]", timeout=30)
    assert [int(message[:8]) for message in expanded] == list(range(100))
    chat: Iterator[bytes] = sync_channel.stream_stream(path("chat"))(iter(MESSAGES), timeout=30)
    assert list(chat) == MESSAGES


async def test_one_channel_is_balanced_over_all_backends(channel: Channel, backends: list[GrpcBackend]) -> None:
    """The product's promise: one client connection, and every backend gets a fair share of its requests."""
    shares: Counter[str] = Counter()

    async def client() -> None:
        for _ in range(60):
            shares[await ask(channel, "slow", b"2")] += 1

    await asyncio.gather(*(client() for _ in range(30)))
    assert sum(shares.values()) == 1800
    assert min(shares[backend.name] for backend in backends) > 0.15 * 1800, shares


@pytest.mark.parametrize("times", [1, 4])
async def test_16_mib_messages_both_ways(channel: Channel, times: int) -> None:
    message = bytes(range(256)) * (16 * MIB // 256)
    for answer in await asyncio.gather(*(unary(channel, "unary", message) for _ in range(times))):
        assert answer == message


async def test_gzip_both_ways(channel: Channel) -> None:
    message = b"compressible " * 100_000
    assert await unary(channel, "compressed", message, compression=grpc.Compression.Gzip) == message


@pytest.mark.parametrize(("fields", "size"), [(1, 50 * KIB), (50, 1000)], ids=["one-field", "50-fields"])
async def test_50_kib_of_metadata_both_ways(channel: Channel, fields: int, size: int) -> None:
    """As request headers, as response headers and as trailers; twice, since the second may be read from a memo."""
    sent = tuple((f"e2e-{number}", chr(ord("a") + number % 26) * size) for number in range(fields))
    for _ in range(2):
        call = unary(channel, "unary", b"", metadata=sent)
        await call
        assert tuple(item for item in await call.initial_metadata() if item[0].startswith("e2e-")) == sent
        trailers = [item for item in await call.trailing_metadata() if item[0].startswith("e2e-")]
        assert trailers == [(f"{key}-end", value) for key, value in sent]


async def test_binary_and_repeated_metadata(channel: Channel) -> None:
    every_byte = bytes(range(256))
    sent = (
        ("e2e-bin", every_byte),
        ("e2e-bin", b""),
        ("e2e-same", "one"),
        ("e2e-same", "two, three"),
        ("e2e-spaced", "a  b"),
    )
    call = unary(channel, "unary", b"", metadata=sent)
    await call
    assert tuple(item for item in await call.initial_metadata() if item[0].startswith("e2e-")) == sent
    assert ("e2e-end-bin", every_byte) in list(await call.trailing_metadata())


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_status_arrives(channel: Channel, code: grpc.StatusCode) -> None:
    """Trailers-only responses, with a message that needs percent-encoding."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(channel, "fail", fail_request(code.value[0], "50 % of naïve\tclients \U0001f600"))
    assert (caught.value.code(), caught.value.details()) == (code, "50 % of naïve\tclients \U0001f600")


@pytest.mark.parametrize("size", [10, 30_000])
async def test_error_details_in_trailers(channel: Channel, size: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(channel, "detailed_failure", str(size).encode())
    error = caught.value
    ended: Any = Ended(error.code(), error.details(), error.trailing_metadata())
    status = rpc_status.from_call(ended)
    detail = error_details_pb2.DebugInfo()
    assert status is not None
    assert status.details[0].Unpack(detail)
    assert (error.code(), status.message, detail.detail) == (grpc.StatusCode.ABORTED, "naïve\n100 %", "d" * size)


class Ended:
    """What rpc_status.from_call reads of a call; an AioRpcError has the same under asynchronous names."""

    def __init__(self, code: Any, details: Any, trailers: Any) -> None:
        self.code, self.details, self.trailing_metadata = (lambda: code), (lambda: details), (lambda: trailers)


async def test_unknown_method_and_service(channel: Channel) -> None:
    for unknown in ("/e2e.Echo/Nothing", "/no.Such/Method"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(unknown)(b"", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def saw_cancel(backends: list[GrpcBackend], key: str) -> None:
    """Ask all backends directly; return once the one that has the call saw it cancelled."""
    channels = [open_channel(backend.address) for backend in backends]
    calls = [asyncio.ensure_future(unary(c, "saw_cancel", key.encode(), timeout=20)) for c in channels]
    try:
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert {call.result() for call in done} == {key.encode()}
        for call in pending:
            call.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    finally:
        for opened in channels:
            await opened.close()


async def test_a_deadline_reaches_the_backend(channel: Channel) -> None:
    left = json.loads(await unary(channel, "time_left", timeout=7))
    assert 0 < left < 7.5  # grpcio rounds what it sends up


async def test_a_deadline_that_passes_cancels_the_call(channel: Channel, backends: list[GrpcBackend]) -> None:
    key = new_key()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(channel, "wait", key.encode(), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await saw_cancel(backends, key)


async def test_a_cancelled_call_is_cancelled_at_the_backend(channel: Channel, backends: list[GrpcBackend]) -> None:
    """After the first message, so that the backend surely has the call."""
    key = new_key()
    call = channel.unary_stream(path("wait_stream"))(key.encode(), timeout=60)
    assert await call.read() == key.encode()
    call.cancel()
    await saw_cancel(backends, key)


async def test_a_client_that_goes_away_cancels_its_calls(proxy: Proxy, backends: list[GrpcBackend]) -> None:
    key = new_key()
    async with open_channel(proxy.address) as doomed:
        call = doomed.unary_stream(path("wait_stream"))(key.encode(), timeout=60)
        assert await call.read() == key.encode()
    await saw_cancel(backends, key)


def test_a_threaded_client_cancels(sync_channel: Channel, backends: list[GrpcBackend]) -> None:
    key = new_key()
    call = sync_channel.unary_stream(path("wait_stream"))(key.encode(), timeout=60)
    assert next(call) == key.encode()
    call.cancel()
    asyncio.run(saw_cancel(backends, key))


async def test_an_early_answer_while_the_client_still_sends(channel: Channel) -> None:
    """The server answers the first message and closes; the client's endless stream must end, not hang."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64 * KIB)
            await asyncio.sleep(0)

    assert await channel.stream_unary(path("early_answer"))(endless(), timeout=30) == bytes(64 * KIB)


async def test_an_early_failure_while_the_client_still_sends(channel: Channel) -> None:
    call = channel.stream_stream(path("early_failure"))(timeout=30)
    await call.write(b"first")
    assert await call.read() == b"first"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "enough")


async def test_wait_for_ready_until_the_proxy_is_there(backends: list[GrpcBackend]) -> None:
    """A call made before the proxy runs is answered once it does."""
    port = free_port()
    async with open_channel(f"127.0.0.1:{port}") as early:
        waiting = asyncio.ensure_future(ask(early, timeout=30, wait_for_ready=True))
        await asyncio.sleep(0)
        with Proxy([backends[0].address], port=port):
            assert await waiting == "a"


async def test_500_concurrent_calls_over_few_channels(proxy: Proxy) -> None:
    """More than one connection may have open at a time: the rest wait in the client, and none fails."""
    channels = [open_channel(proxy.address) for _ in range(4)]
    try:
        names = await asyncio.gather(*(ask(channels[n % 4], "slow", b"100") for n in range(500)))
        assert len(names) == 500
    finally:
        for opened in channels:
            await opened.close()


async def test_trailers_name_the_backend_only(channel: Channel) -> None:
    """The proxy adds nothing of its own to a good answer's trailers."""
    call = unary(channel, "unary")
    await call
    trailers = list(await call.trailing_metadata())
    assert [key for key, _ in trailers] == ["backend"]
    assert backend_of(trailers) in {"a", "b", "c"}


def test_a_request_arrives_as_it_was_sent() -> None:
    """Pseudo-headers, order, repeated and unknown fields: the backend sees what the client said, and nothing else."""
    fields = [("grpc-timeout", "20S"), ("cookie", "a=b"), ("cookie", "c=d"), ("x-empty", ""), ("grpc-encoding", "gzip")]
    with Server() as server, Proxy([server.address]) as proxy, Client(proxy.address) as client:
        for _ in range(3):
            stream = client.request("/headers?q=%C3%A4", fields=fields)
            body = next(frame for frame in client.frames() if frame.kind == DATA and frame.stream == stream).payload
            seen = [tuple(item) for item in json.loads(body)]
            pseudo = [(":method", "POST"), (":scheme", "http"), (":path", "/headers?q=%C3%A4")]
            pseudo.append((":authority", proxy.address))
            always = [("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "wire")]
            assert seen == [*pseudo, *always, *fields]
