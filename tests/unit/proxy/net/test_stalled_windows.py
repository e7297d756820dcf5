"""A client that leaves its windows shut is ended after five minutes without progress, and not before."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic

import pytest
import uvloop

from proxy.codec.limits import Limits
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer
from proxy.net.listener import Listener
from proxy.outbound import OutboundTally
from proxy.relay.relay import Relay
from tests.e2e.wire import INITIAL_WINDOW_SIZE, PREFACE, SETTINGS, WINDOW_UPDATE, encode_frame, encode_settings
from tests.playbook.voice import GET_REQUEST, Voice

STALLED_S = 300.0
FAULT = (("side", "downstream"), ("reason", "windows shut"))


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.005)


class Shut:
    """A client whose windows are shut, and which has an answer of the proxy's own to get: there is no route."""

    def __init__(self) -> None:
        self.registry = Registry()
        tally = OutboundTally(self.registry)
        relay = Relay(lambda authority, path: (None, 0.0), random.random, tally)
        tcp = self.registry.tcp((("direction", "outbound"),))
        self.listener = Listener(relay, Limits(), ReadBuffer(), tcp, 3_600.0, None, 20.0)

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ((host, port),) = await self.listener.listen("127.0.0.1", 0, False)
        reader, writer = await asyncio.open_connection(host, port)
        ask = Voice(is_client=True).headers(1, GET_REQUEST, end=True)
        writer.write(PREFACE + encode_settings({INITIAL_WINDOW_SIZE: 0}) + encode_frame(SETTINGS, 1) + ask)
        await until(lambda: any(adapter.conn.waiting for adapter in self.listener.adapters))
        return reader, writer

    def faults(self) -> int:
        return sum(int(value) for labels, value in self.registry.protocol_faults.samples() if labels == FAULT)

    async def sweep(self, at_s: float) -> None:
        await self.listener.sweep(at_s)


@pytest.mark.parametrize("opens", [False, True])
def test_windows_shut(opens: bool) -> None:
    """A byte that gets through starts the five minutes anew."""

    async def play() -> None:
        shut = Shut()
        reader, writer = await shut.open()
        begun_s = monotonic()
        await shut.sweep(begun_s + STALLED_S - 1)
        if opens:
            (adapter,) = shut.listener.adapters
            before = adapter.conn.guard.data_sent
            writer.write(encode_frame(WINDOW_UPDATE, 0, 1, (1).to_bytes(4, "big")))
            await until(lambda: adapter.conn.guard.data_sent > before)
            await shut.sweep(begun_s + STALLED_S + 1)
            await shut.sweep(begun_s + 2 * STALLED_S)
        assert len(shut.listener.adapters) == 1
        assert shut.faults() == 0
        await shut.sweep(begun_s + (2 if opens else 1) * STALLED_S + 2)
        await until(lambda: not shut.listener.adapters)
        assert shut.faults() == 1
        async with asyncio.timeout(20):
            try:
                await reader.read()
            except ConnectionResetError:
                pass  # a reset is an end too
        writer.close()
        assert await shut.listener.drain(1.0)

    uvloop.run(play())
