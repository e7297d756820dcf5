"""What every test of a failure has: a sidecar, a steady load through it, and the two questions.

Has any request failed, and do the right backends answer in the end?
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import grpc
import pytest

from tests.e2e.api_proxy import ApiProxy
from tests.e2e.calls import OPTIONS, Channel, Load, ask, eventually, unary
from tests.e2e.processes import HOST, Process
from tests.e2e.proxy_process import Proxy

RATE = 100
LATEST = 40  # answers that tell who serves now
CONVERGE_S = 60  # for hangs only
P = TypeVar("P", bound=Process)


@asynccontextmanager
async def running(process: P) -> AsyncIterator[P]:
    """`with` in a thread, since the load lives in the event loop."""
    await asyncio.to_thread(process.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(process.__exit__, None, None, None)


def make_sidecar(port: int, *options: str, host: str = HOST, until: str = "/ready") -> Proxy:
    return Proxy(options=["--control-plane", f"{host}:{port}", *options], until=until)


def call_as(sidecar: Proxy, authority: str) -> Channel:
    return grpc.aio.insecure_channel(sidecar.address, options=[*OPTIONS, ("grpc.default_authority", authority)])


@asynccontextmanager
async def under_load(sidecar: Proxy, name: str, rate: float = RATE) -> AsyncIterator[Load]:
    """Requests before, through and after what the block does; not one may fail."""
    async with call_as(sidecar, name) as channel:
        await first_answer(channel)
        async with Load(channel, rate) as load:
            await load.answered(LATEST)
            yield load
            await load.answered(LATEST)
        assert load.report() == []


async def first_answer(channel: Channel) -> str:
    """Ask until there is one: a name has 250 ms to become known, which a busy machine misses."""
    async with asyncio.timeout(CONVERGE_S):
        while True:
            try:
                return await ask(channel)
            except grpc.aio.AioRpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED):
                    raise


async def served_by(load: Load, names: Collection[str]) -> None:
    """Wait until these backends, and no other, answer."""
    names, begin = set(names), len(load.answers)
    await eventually(
        lambda: len(load.answers) >= begin + LATEST and set(load.answers[-LATEST:]) == names,
        f"answers of {sorted(names)}",
        CONVERGE_S,
    )


async def failure(sidecar: Proxy, name: str) -> str:
    """How a request to this name fails."""
    async with call_as(sidecar, name) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await unary(channel, "unary")
    return f"{error.value.code().name}: {error.value.details()}"


async def metric(process: Any, name: str) -> float:
    """The sum of a sidecar's samples of this name."""
    text = (await asyncio.to_thread(process.admin_request, "/metrics"))[1]
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


async def until(check: Callable[[], Any], what: str) -> None:
    """As `eventually`, where to look takes I/O that blocks, or is a coroutine."""
    try:
        async with asyncio.timeout(CONVERGE_S):
            while True:
                found = await asyncio.to_thread(check)
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {CONVERGE_S} s in vain: {what}") from None


@asynccontextmanager
async def front(port: int) -> AsyncIterator[ApiProxy]:
    """The control plane's address as sidecars know it; `upstream` says which replica is behind it."""
    async with ApiProxy(HOST, port) as proxy:
        yield proxy


async def move(proxy: ApiProxy, port: int) -> None:
    """The name leads to another replica; who was connected to the one before is cut off."""
    proxy.upstream = (HOST, port)
    await proxy.cut()
    proxy.accept()
