from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from injector.site import _PATIENCE_S, Doing, Site
from mesh.options import Address


async def answer(_request: web.Request) -> web.Response:
    return web.Response(text="here")


@asynccontextmanager
async def serving(connections_max: int) -> AsyncIterator[tuple[Site, int]]:
    application = web.Application()
    application.add_routes([web.get("/", answer)])
    site = Site(application, connections_max)
    port = await site.start(Address("127.0.0.1", 0))
    try:
        yield site, port
    finally:
        await site.stop()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(len("here"))
    return head


async def test_a_connection_is_kept_until_the_site_leaves() -> None:
    async with serving(8) as (site, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            assert b"Connection: close" not in await ask(reader, writer)
        site.leave()
        assert b"Connection: close" in await ask(reader, writer)
        assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert b"Connection: close" in await ask(reader, writer)
        writer.close()


async def test_everywhere_is_both_families() -> None:
    """The API server calls a Service's address, the kubelet the pod's first, and either may be of IPv6."""
    site = Site(web.Application(), 8)
    port = await site.start(Address("::", 0))
    for host in ("127.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        await writer.wait_closed()
    await site.stop()


async def test_of_too_many_connections_the_oldest_is_closed() -> None:
    async with serving(2) as (_, port):
        streams = []
        for _ in range(3):
            streams.append(await asyncio.open_connection("127.0.0.1", port))
            if len(streams) < 3:
                await ask(*streams[-1])
        assert await streams[0][0].read() == b""
        for reader, writer in streams[1:]:
            await ask(reader, writer)
        for _, writer in streams:
            writer.close()


async def dial(port: int, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass  # it was ended by the site


async def test_who_has_most_connections_gives_way() -> None:
    async with serving(4) as (_, port):
        honest = await dial(port, "127.0.0.1")
        await ask(*honest)
        crowd = [await dial(port, "127.0.0.2") for _ in range(3)]
        await ask(*crowd[0])
        late = await dial(port, "127.0.0.3")
        await ask(*late)
        assert await crowd[1][0].read() == b""  # the oldest that never asked anything
        await ask(*honest)
        await ask(*crowd[0])
        await close(*(writer for _, writer in (honest, late, *crowd)))


async def test_a_request_gives_way_to_nobody_of_the_same_address() -> None:
    begun, end = asyncio.Semaphore(0), asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        begun.release()
        await end.wait()
        return web.Response(text="here")

    application = web.Application()
    application.add_routes([web.get("/", wait)])
    site = Site(application, 2)
    port = await site.start(Address("127.0.0.1", 0))
    busy = [await dial(port, "127.0.0.2") for _ in range(2)]
    answers = [asyncio.create_task(ask(*stream)) for stream in busy]
    for _ in busy:
        await begun.acquire()
    refused = await dial(port, "127.0.0.2")
    assert await refused[0].read() == b""
    other = await dial(port, "127.0.0.1")
    answers.append(asyncio.create_task(ask(*other)))
    await begun.acquire()
    end.set()
    ended, *served = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(ended, (ConnectionError, asyncio.IncompleteReadError))  # the oldest of the crowd
    assert all(isinstance(head, bytes) for head in served)
    await close(*(writer for _, writer in (*busy, refused, other)))
    await site.stop()


@pytest.mark.parametrize(
    ("doing", "said"),
    [
        (Doing.NOTHING, b""),
        (Doing.HEAD, b"GET / HTTP/1.1\r\nHost: he"),
        (Doing.RESTING, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"),
    ],
)
async def test_each_thing_has_its_time(doing: Doing, said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_PATIENCE_S, doing, 0.0)
    async with serving(2) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        try:
            assert (await reader.read())[-4:] in (b"", b"here")
        except ConnectionResetError:
            pass  # as it was aborted
        await close(writer)
