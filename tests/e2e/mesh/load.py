"""A steady load of unary calls as a process, until SIGTERM: `-m tests.e2e.mesh.load TARGET AUTHORITY RATE DELAY_MS`.

It begins when a first call has succeeded, so that nothing has to be ready when it is started. Each call is a line on
stdout: when it was begun, when the backend saw it (if it says so), who answered, and the error. Calls take DELAY_MS at
the backend, and the next one does not wait for the last. Retries are grpcio's default: what its users have.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from time import monotonic

import grpc

from tests.e2e.calls import OPTIONS, Channel, unary

TIMEOUT_S = 15


async def wait_first(channel: Channel, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await unary(channel, "unary", timeout=2)
            return
        except grpc.aio.AioRpcError as error:
            print(f"waiting: {error.code().name}: {error.details()}", flush=True)
            await asyncio.sleep(0.1)


async def call(channel: Channel, request: bytes) -> None:
    begun_s, error, answer = monotonic(), "", {}
    try:
        made = unary(channel, "slow", request, timeout=TIMEOUT_S)
        await made
        answer = dict(await made.trailing_metadata())
    except grpc.aio.AioRpcError as failure:
        error = f"{failure.code().name}: {failure.details()}"
    print(json.dumps([begun_s, float(answer.get("seen", 0)), answer.get("backend", ""), error]), flush=True)


async def run(target: str, authority: str, interval_s: float, request: bytes) -> None:
    stop, tasks = asyncio.Event(), set[asyncio.Task[None]]()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = [*OPTIONS, ("grpc.default_authority", authority)] if authority else OPTIONS
    async with grpc.aio.insecure_channel(target, options=options) as channel:
        await wait_first(channel, stop)
        begin_s, started = monotonic(), 0
        while not stop.is_set():
            task = asyncio.create_task(call(channel, request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            started += 1
            await asyncio.sleep(max(0.0, begin_s + started * interval_s - monotonic()))
        await asyncio.gather(*tasks)
        print(f"ended: {started}", flush=True)


if __name__ == "__main__":
    target, authority, rate, delay_ms = sys.argv[1:]
    asyncio.run(run(target, authority, 1 / float(rate), delay_ms.encode()))
