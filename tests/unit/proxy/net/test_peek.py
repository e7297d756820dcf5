"""The detector on real sockets: what it makes of what it has seen, given what is expected."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.codec.detect import HTTP1, OPAQUE
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.net.peek import Decision, Detector
from proxy.net.poll import make_watcher
from proxy.route.hints import UNKNOWN, Expectation, Hints

PASSES = Expectation(passes_proxies=True)


async def decide(expectation: Expectation, said: bytes) -> Decision:
    """What becomes of a connection whose client says this."""
    decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
    client, server = socket.socketpair()
    server.setblocking(False)
    with client, server:
        detector = Detector(
            make_watcher(asyncio.get_running_loop()),
            "outbound",
            lambda original, sock: expectation,
            lambda sock, original, decision: decided.set_result(decision),
            Hints(),
            ConnectionCounts(Registry()),
        )
        client.sendall(said)
        detector.arrive(server, ("127.0.0.1", 80))
        decision = await asyncio.wait_for(decided, 30)
        assert len(detector) == 0
        assert server.recv(65_536) == said
        return decision


@pytest.mark.parametrize(
    "line", [b"CONNECT a.example:443 HTTP/1.1\r\n", b"GET http://a.example/ HTTP/1.1\r\n", b"GET ftp://a/ HTTP/1.0\r\n"]
)
async def test_what_is_said_to_a_proxy_goes_on_as_it_is_where_nothing_is_known(line: bytes) -> None:
    assert await decide(PASSES, line) == Decision(OPAQUE, "bytes")
    assert await decide(UNKNOWN, line) == Decision(HTTP1, "bytes")


async def test_other_requests_are_http_there_too() -> None:
    assert await decide(PASSES, b"GET /http://a/ HTTP/1.1\r\n") == Decision(HTTP1, "bytes")
