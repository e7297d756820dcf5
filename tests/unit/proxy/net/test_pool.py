"""Dialling many endpoints at once: a few at a time, and all of them in the end; and what their first word is."""

from __future__ import annotations

import asyncio
import random
import socket
from time import monotonic
from typing import Any

import pytest

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.codec.limits import Limits
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.dials import MAX_DIALS
from proxy.net.pool import Pool, describe_word
from proxy.outbound import OutboundTally
from proxy.relay.cluster import Cluster
from proxy.relay.link import Link
from proxy.relay.relay import Relay
from proxy.route import model


async def test_dials_wait_their_turn() -> None:
    accepted = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        try:
            await reader.read()
        except ConnectionError:
            pass  # that is how the pool closes
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    registry = Registry()
    relay = Relay(lambda authority, path: (None, 0.0), random.random, OutboundTally(registry))
    pool = Pool(relay, Limits(), ReadBuffer(), registry.tcp((("direction", "outbound"),)), 20.0)
    cluster = Cluster("many", Balancer(), 3.0, 0.0)
    links = [Link(cluster, Endpoint(("127.0.0.1", port)), pool.dial) for _ in range(3 * MAX_DIALS)]
    for link in links:
        link.dial_more()
    most = 0
    async with asyncio.timeout(30):
        while accepted < len(links):
            most = max(most, len(pool.dials.young))
            await asyncio.sleep(0)
    assert most == MAX_DIALS
    for link in links:
        link.remove(0.0)
    tasks = list(pool.dials.tasks)
    pool.close()
    server.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("is_foreign", [True, False])
async def test_a_closed_port_outside_of_the_mesh_is_told_at_once(is_foreign: bool) -> None:
    registry = Registry()
    relay = Relay(lambda authority, path: (None, 0.0), random.random, OutboundTally(registry))
    pool = Pool(relay, Limits(), ReadBuffer(), registry.tcp((("direction", "outbound"),)), 20.0)
    cluster = Cluster("closed", Balancer(), 3.0, monotonic())
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    link = Link(cluster, Endpoint(address), pool.dial)
    link.target = model.Endpoint(*address, is_foreign=is_foreign)
    link.dial_more()
    until_s = monotonic() + 2.5
    while not link.failures:
        assert monotonic() < until_s
        await asyncio.sleep(0.01)
    assert cluster.fails_fast(monotonic()) == is_foreign
    assert f"127.0.0.1:{address[1]}: connect" in cluster.describe()
    link.remove(monotonic())
    pool.close()
    await asyncio.sleep(0.05)


async def test_one_more_connection_is_dialled_again_as_long_as_somebody_waits_for_it() -> None:
    """The endpoint has all streams taken on the one that there is, and its listener is away for a moment."""
    registry = Registry()
    relay = Relay(lambda authority, path: (None, 0.0), random.random, OutboundTally(registry))
    pool = Pool(relay, Limits(), ReadBuffer(), registry.tcp((("direction", "outbound"),)), 20.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    link = Link(Cluster("full", Balancer(), 3.0, monotonic()), Endpoint(address), pool.dial)
    there: Any = object()
    link.conns.append(there)
    link.waiting[there] = None
    link.dial_more()
    async with asyncio.timeout(20):
        while link.failures < 2:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    link.waiting.clear()
    link.conns.clear()
    link.remove(monotonic())
    pool.close()
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r", "it answered in HTTP/1.1"),
        (b"HTTP/1.0 505", "it answered in HTTP/1.0"),
        (b"HTTP/1.\xff", "it answered in HTTP/1."),
        (b"\x15\x03\x03\x00\x02\x02\x46", "it answered in TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 'it answered "SSH-2.0-OpenSSH_9.2"'),
        (b"220 mail ESMTP\r\n", 'it answered "220 mail ESMTP"'),
        (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_an_endpoint_s_first_word(word: bytes, said: str) -> None:
    assert describe_word(word) == said
