from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from injector.site import Site
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
