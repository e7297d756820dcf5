"""Clients for whom there is no room, whatever they speak."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.codec.limits import Limits
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.listener import Listener
from proxy.outbound import OutboundTally
from proxy.relay.relay import Relay

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@pytest.mark.parametrize("said", [GET, PREFACE], ids=["HTTP/1", "HTTP/2"])
async def test_who_is_refused_is_not_handed_on(said: bytes) -> None:
    registry = Registry()
    tally = OutboundTally(registry)
    relay = Relay(lambda authority, path: (None, 0.0), random.random, tally)
    tcp = registry.tcp((("peer", "src"),))
    listener = Listener(relay, Limits(), ReadBuffer(), tcp, 60.0, None, 20.0)
    handed: list[object] = []

    def take(transport: asyncio.Transport, nbytes: int) -> None:
        handed.append(transport)
        transport.abort()

    listener.take_http1 = take
    (address,) = await listener.listen("127.0.0.1", 0, False)
    listener.room.max_connections = 0
    reader, writer = await asyncio.open_connection(*address)
    writer.write(said)
    async with asyncio.timeout(10):
        try:
            while await reader.read(100):
                pass
        except ConnectionError:
            pass
    assert handed == []
    writer.transport.abort()
    assert listener.server is not None
    listener.server.close()
    await asyncio.sleep(0.05)
