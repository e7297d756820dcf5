"""The honest client of the abuse tests, as a process: a steady load of real grpcio calls, whose figures it tells.

Run as `honest.py`; a line on stdin is a command, a line on stdout its answer:
`target HOST:PORT` connects anew, `leave` disconnects, `begin` starts the load, `end` stops it and tells as JSON how it
went.
In a process of its own, so that the attacker in the test's process does not slow its clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc

RATE = 100
CHANNELS = 2
# For hangs only: what an attack makes slow is told by the figures.
TIMEOUT_S = 20


class Load:
    """Open loop: a call every 1/RATE s, whatever became of the earlier ones."""

    def __init__(self) -> None:
        self.channels: list[Any] = []
        self.took_ms: list[float] = []
        self.failures: list[str] = []
        self.running = False
        self.task: asyncio.Task[None] | None = None

    async def leave(self) -> str:
        for channel in self.channels:
            await channel.close()
        self.channels = []
        return "gone"

    async def target(self, address: str) -> str:
        await self.leave()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        self.channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CHANNELS)]
        for channel in self.channels:
            await self.call(channel)
        return "ready"

    async def call(self, channel: Any) -> None:
        await channel.unary_unary("/e2e.Echo/unary")(b"honest", timeout=TIMEOUT_S, wait_for_ready=True)

    async def timed_call(self, channel: Any) -> None:
        begin = time.perf_counter()
        try:
            await self.call(channel)
            self.took_ms.append((time.perf_counter() - begin) * 1000)
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"{error.code().name}: {error.details()}")

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        begin, calls = loop.time(), []
        while self.running:
            calls.append(asyncio.create_task(self.timed_call(self.channels[len(calls) % CHANNELS])))
            await asyncio.sleep(max(0.0, begin + len(calls) / RATE - loop.time()))
        await asyncio.gather(*calls)

    async def begin(self) -> str:
        if self.running:
            await self.end()
        self.took_ms, self.failures, self.running = [], [], True
        self.task = asyncio.create_task(self.run())
        return "begun"

    async def end(self) -> str:
        assert self.task is not None
        self.running = False
        await self.task
        times = sorted(self.took_ms) or [0.0]
        p50_ms, p99_ms = times[len(times) // 2], times[int(len(times) * 0.99)]
        return json.dumps({"calls": len(self.took_ms), "failures": self.failures, "p50_ms": p50_ms, "p99_ms": p99_ms})


async def main() -> None:
    load = Load()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *arguments = line.split()
        print(await getattr(load, command)(*arguments), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
