"""The honest clients of the abuse tests, as a process: a steady load of real calls, whose figures it tells.

Run as `honest.py`; a line on stdin is a command, a line on stdout its answer:
`target HOST:PORT` connects anew with gRPC, `targets GRPC HTTP TCP` (each HOST:PORT) with all that an intercepting proxy
serves, `leave` disconnects, `begin` starts the load, `end` stops it and tells as JSON how it went.
In a process of its own, so that the attacker in the test's process does not slow its clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from typing import Any

import grpc

RATE = 100
CHANNELS = 2
# For hangs only: what an attack makes slow is told by the figures.
TIMEOUT_S = 20
Ask = Callable[[], Awaitable[None]]
GET = b"GET /honest HTTP/1.1\r\nhost: honest\r\n\r\n"
POST = b"POST /honest HTTP/1.1\r\nhost: honest\r\ncontent-length: 6\r\n\r\nhonest"
# Not those that the kernel gives to others: all that is led to a sidecar has one destination then, and where NAT finds
# two connections from one port it may reset the later one.
PORTS = cycle(range(20_000, 32_000))
# No protocol that the proxy knows begins like this.
RAW = b"\x00honest"


class Line:
    """A connection that lasts, and the calls that take turns on it."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.lock = asyncio.Lock()
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, local_addr=("0.0.0.0", next(PORTS)))

    async def exchange(self, said: bytes, size: int) -> bytes:
        if self.reader is None or self.writer is None:
            self.reader, self.writer = await self.open()
        self.writer.write(said)
        return await self.reader.readexactly(size)

    async def get(self) -> None:
        await self.request(GET)

    async def post(self) -> None:
        await self.request(POST)

    async def request(self, said: bytes) -> None:
        """A request of HTTP/1 on the connection that is kept alive."""
        async with self.lock:
            await self.exchange(said, 0)
            assert self.reader is not None
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await self.reader.readexactly(size)
            if not head.startswith(b"http/1.1 200 ") or b"\r\nconnection: close" in head:
                raise ConnectionError(head.decode("latin-1"))

    async def echo(self) -> None:
        """A few raw bytes there and back on the connection that lasts."""
        async with self.lock:
            if await self.exchange(RAW, len(RAW)) != RAW:
                raise ConnectionError("the echo is wrong")

    async def echo_anew(self) -> None:
        """The same on a new connection."""
        reader, writer = await self.open()
        try:
            writer.write(RAW)
            if await reader.readexactly(len(RAW)) != RAW:
                raise ConnectionError("the echo is wrong")
        finally:
            writer.close()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class Load:
    """Open loop: a call every 1/RATE s, of each kind in turn, whatever became of the earlier ones."""

    def __init__(self) -> None:
        self.channels: list[Any] = []
        self.lines: list[Line] = []
        self.asks: dict[str, Ask] = {}
        # By kind of call; when each was made (monotonic clock, s), and how long it took.
        self.took: dict[str, list[tuple[float, float]]] = {}
        self.failures: list[str] = []
        self.running = False
        self.task: asyncio.Task[None] | None = None

    async def leave(self) -> str:
        for channel in self.channels:
            await channel.close()
        for line in self.lines:
            line.close()
        self.channels, self.lines, self.asks = [], [], {}
        return "gone"

    async def target(self, address: str) -> str:
        await self.leave()
        for number in range(CHANNELS):
            self.add_channel(f"grpc {number}", address)
        return await self.ask_all()

    async def targets(self, grpc_address: str, http_address: str, tcp_address: str) -> str:
        await self.leave()
        self.add_channel("grpc", grpc_address)
        get, post = Line(http_address), Line(http_address)
        raw, fresh = Line(tcp_address), Line(tcp_address)
        self.lines = [get, post, raw, fresh]
        self.asks |= {"http1": get.get, "http1 post": post.post, "raw": raw.echo, "raw anew": fresh.echo_anew}
        return await self.ask_all()

    async def ask_all(self) -> str:
        for ask in self.asks.values():
            await ask()
        return "ready"

    def add_channel(self, name: str, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        channel = grpc.aio.insecure_channel(address, options=options)
        self.channels.append(channel)
        unary = channel.unary_unary("/e2e.Echo/unary")

        async def ask() -> None:
            await unary(b"honest", timeout=TIMEOUT_S, wait_for_ready=True)

        self.asks[name] = ask

    async def timed_call(self, name: str) -> None:
        """From its beginning: this process's own timers are late by a millisecond. No call waits for an earlier one to
        begin, so what the sidecar does delays none of them unseen (coordinated omission)."""
        begin_s = time.monotonic()
        try:
            await asyncio.wait_for(self.asks[name](), TIMEOUT_S)
            self.took[name].append((begin_s, (time.monotonic() - begin_s) * 1000))
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{name}: {error.code().name}: {error.details()}")
        except (OSError, EOFError, TimeoutError) as error:
            self.failures.append(f"{name}: {type(error).__name__}: {error}")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begin, calls, names = loop.time(), [], list(self.asks)
        while self.running:
            calls.append(asyncio.create_task(self.timed_call(names[len(calls) % len(names)])))
            await asyncio.sleep(max(0.0, begin + len(calls) / RATE - loop.time()))
        await asyncio.gather(*calls)

    async def begin(self) -> str:
        if self.running:
            await self.end()
        self.took, self.failures, self.running = {name: [] for name in self.asks}, [], True
        self.task = asyncio.create_task(self.run())
        return "begun"

    async def end(self) -> str:
        assert self.task is not None
        self.running = False
        await self.task
        calls = [(round(at_s, 5), round(took_ms, 2)) for each in self.took.values() for at_s, took_ms in each]
        times_ms = sorted(took_ms for _, took_ms in calls) or [0.0]
        worst_ms = {name: max((took_ms for _, took_ms in each), default=0.0) for name, each in self.took.items()}
        p99_ms = times_ms[int(len(times_ms) * 0.99)]
        return json.dumps({"calls": calls, "failures": self.failures, "p99_ms": p99_ms, "worst_ms": worst_ms})


async def main() -> None:
    load = Load()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = line.split()
        print(await getattr(load, command)(*arguments), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
