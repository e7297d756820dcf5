"""The detector on real sockets: what it makes of what it has seen, given what is expected."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from itertools import count
from time import monotonic

import pytest

from proxy.codec.detect import HTTP1, OPAQUE
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.net.peek import Decision, Detector
from proxy.net.poll import make_watcher
from proxy.net.turns import SHARE_S
from proxy.route.hints import UNKNOWN, Address, Expectation, Hints

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


async def test_those_whose_time_is_up_together_leave_room_for_other_work() -> None:
    """Between two that the loop is asked for, no more are handed over than there is time for: here one."""
    handed_over: list[Decision] = []

    def take(sock: socket.socket, original: Address | None, decision: Decision) -> None:
        handed_over.append(decision)
        time.sleep(SHARE_S)

    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        detector = Detector(
            make_watcher(loop),
            "inbound",
            lambda original, sock: UNKNOWN,
            take,
            Hints(),
            ConnectionCounts(Registry()),
        )
        for port in range(100):
            client, server = socket.socketpair()
            stack.enter_context(client)
            stack.enter_context(server).setblocking(False)
            detector.arrive(server, ("127.0.0.1", port))
        detector.sweep(monotonic() + 10.0)
        for turn in count(1):
            assert len(handed_over) == min(turn, 100)
            detector.sweep(monotonic() + 10.0)  # a second one hurries nobody
            if len(handed_over) == 100:
                break
            await asyncio.sleep(0)
    assert handed_over == [Decision(OPAQUE, "silence", True)] * 100
