"""Steady load from inside a pod: `-m tests.e2e.transparent.load RATE HTTP_URL GRPC_TARGET`, until SIGTERM.

RATE requests a second of each kind: GET, POST and a unary call, none of which waits for the one before; HTTP over
connections that are kept alive. Prints a line of JSON at the end: of each kind who answered how often, and what failed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic

import aiohttp
import grpc

TIMEOUT_S = 20
Ask = Callable[[], Awaitable[str]]


class Kind:
    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.begun = 0

    async def once(self) -> None:
        try:
            self.answers[await self.ask()] += 1
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}"[:200])

    async def run(self, rate: float, stop: asyncio.Event) -> None:
        begin_s = monotonic()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                group.create_task(self.once())
                self.begun += 1
                await asyncio.sleep(max(0.0, begin_s + self.begun / rate - monotonic()))


async def main(rate: float, url: str, target: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        grpc.aio.insecure_channel(target) as channel,
    ):
        unary = channel.unary_unary("/e2e.Echo/unary")

        async def get() -> str:
            async with session.get(url) as response:
                await response.read()
                return response.headers["x-app"]

        async def post() -> str:
            async with session.post(url, data=b"x" * 1_000) as response:
                assert len(await response.read()) == 1_000
                return response.headers["x-app"]

        async def call() -> str:
            made = unary(b"x", timeout=TIMEOUT_S)
            await made
            return str(dict(await made.trailing_metadata())["backend"])

        kinds = {"get": Kind(get), "post": Kind(post), "grpc": Kind(call)}
        async with asyncio.TaskGroup() as group:
            for kind in kinds.values():
                group.create_task(kind.run(rate, stop))
    found = {name: {"answers": kind.answers, "failures": kind.failures} for name, kind in kinds.items()}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), *sys.argv[2:]))
