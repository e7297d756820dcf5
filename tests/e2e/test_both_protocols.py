"""HTTP/1 and gRPC to one Service: what metrics say of its endpoints, what clients learn where the other is spoken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import grpc
import pytest

from tests.e2e.calls import Channel, ask, eventually, open_channel, unary
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, write_config
from tests.e2e.test_http1 import Backend

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HTTP1_ANSWER = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
# Who waits for an endpoint waits for longer than any test.
PATIENT = "    failfast_timeout: 60s\n"


@asynccontextmanager
async def listen(serve: Serve) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@contextmanager
def run_before(folder: Path, *addresses: str) -> Iterator[Proxy]:
    listening, admin = (f"{HOST}:{free_port()}" for _ in range(2))
    config = write_config(folder / "proxy.yaml", listening, admin, {"web": addresses}, more=PATIENT)
    with Proxy(config=config, until="/live") as proxy:
        yield proxy


# ---- what metrics say


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # it is as good as its end
    finally:
        writer.close()


def share(http1_port: int, http2_port: int) -> Serve:
    """One address for two servers: each connection is that one's who speaks as it begins."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1 << 16)
        there, to_there = await asyncio.open_connection(HOST, http2_port if first.startswith(b"PRI ") else http1_port)
        to_there.write(first)
        await asyncio.gather(pump(reader, to_there), pump(there, writer))

    return serve


def states(proxy: Proxy, family: str) -> dict[str, float]:
    """What a metric says of the one endpoint there is, by protocol."""
    pattern = rf'^gossamer_endpoint_{family}{{dst_service="web",target_addr="[^"]+",protocol="(\w+)"}} (\S+)$'
    return {name: float(number) for name, number in re.findall(pattern, proxy.admin_request("/metrics")[1], re.M)}


async def get(session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as response:
        assert response.status == 200


async def call_slowly(channel: Channel) -> None:
    await unary(channel, "slow", b"500")


async def test_each_protocol_s_state_of_an_endpoint_is_told(tmp_path: Path) -> None:
    with Backend("a") as http1, GrpcBackend("b") as http2:
        async with listen(share(http1.port, int(http2.address.rpartition(":")[2]))) as address:
            with run_before(tmp_path, address) as proxy:
                assert states(proxy, "pending") == {"http2": 0}
                async with (
                    open_channel(proxy.address) as channel,
                    aiohttp.ClientSession(f"http://{proxy.address}") as session,
                    asyncio.TaskGroup() as group,
                ):
                    for _ in range(3):
                        group.create_task(call_slowly(channel))
                    for _ in range(2):
                        group.create_task(get(session, "/sleep?s=2"))
                    await eventually(lambda: states(proxy, "pending") == {"http2": 3, "http1": 2}, "all to be pending")
                await eventually(lambda: states(proxy, "pending") == {"http2": 0, "http1": 0}, "none to be pending")
                assert states(proxy, "ready") == {"http2": 1, "http1": 1}
                latencies_ms = states(proxy, "ewma_ms")
                assert latencies_ms["http1"] > 1_000 > latencies_ms["http2"] > 0


# ---- HTTP/2 where nobody speaks it


def say(answer: bytes) -> Serve:
    """Whatever is said first, this is the answer, and the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1 << 16)
        writer.write(answer)
        writer.close()

    return serve


async def fail_to_call(proxy: Proxy) -> str:
    """The message that a client gets; where it would have to wait, this fails."""
    async with open_channel(proxy.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert dict(caught.value.trailing_metadata() or ())["gossamer-error"] == "wrong-protocol"
    return caught.value.details() or ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (HTTP1_ANSWER, "it answered in HTTP/1.1"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it answered in TLS"),
        (b"220 mail ESMTP\r\n", 'it answered "220 mail ESMTP"'),
        (b"", "it closed the connection"),
    ],
)
async def test_a_client_learns_at_once_what_its_endpoints_speak(answer: bytes, said: str, tmp_path: Path) -> None:
    async with listen(say(answer)) as one, listen(say(answer)) as other:
        with run_before(tmp_path, one, other) as proxy:
            for _ in range(2):
                assert said in await fail_to_call(proxy)
            assert said in proxy.stderr


async def test_one_that_takes_no_connections_is_waited_for(tmp_path: Path) -> None:
    """It may start anew, whatever the others speak."""
    port = free_port()
    async with listen(say(HTTP1_ANSWER)) as other:
        with run_before(tmp_path, other, f"{HOST}:{port}") as proxy:
            async with open_channel(proxy.address) as channel:
                call = asyncio.create_task(ask(channel, timeout=20))
                await eventually(lambda: len(re.findall("endpoint .*: ", proxy.stderr)) == 2, "both to have failed")
                with GrpcBackend("late", port):
                    assert await call == "late"
