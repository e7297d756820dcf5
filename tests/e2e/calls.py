"""The client's side of `backend.py`: real grpcio channels to it, through the proxy or directly.

Every channel has its own connection (grpcio shares them between equal channels otherwise) and never a proxy from the
environment. Retries are grpcio's default: what its users have.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import grpc

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
]
# grpc-stubs demand the serializers of a call, and know no EOF; grpcio does not and does.
Channel = Any
EOF = grpc.aio.EOF  # type: ignore[attr-defined]
_keys = itertools.count()


def open_channel(address: str, **options: Any) -> Channel:
    return grpc.aio.insecure_channel(address, options=OPTIONS, **options)


def open_sync_channel(address: str) -> Channel:
    return grpc.insecure_channel(address, options=OPTIONS)


def path(method: str) -> str:
    return f"/e2e.Echo/{method}"


def unary(channel: Any, method: str, request: bytes = b"", **options: Any) -> Any:
    """A call of a unary method, with a timeout against hangs unless the test sets its own."""
    return channel.unary_unary(path(method))(request, **{"timeout": 30, **options})


def new_key() -> str:
    """A name for one call, by which the backend remembers it."""
    return f"call-{next(_keys)}"


def fail_request(code: int, message: str) -> bytes:
    return json.dumps([code, message]).encode()


def backend_of(trailers: Any) -> str:
    """The name of the backend that answered."""
    return next(str(value) for key, value in trailers if key == "backend")


async def ask(channel: Channel, method: str = "unary", request: bytes = b"", **options: Any) -> str:
    """Make one unary call and return the name of the backend that answered it."""
    call = unary(channel, method, request, **options)
    await call
    return backend_of(await call.trailing_metadata())


async def eventually(check: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
    """As processes.eventually, for coroutines."""
    try:
        async with asyncio.timeout(timeout_s):
            while not check():  # noqa: ASYNC110 - it is another process that will make it true
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_s:g} s in vain: {what}") from None


class Load:
    """A steady open-loop load of unary calls, which records how each ended and whether it overlapped an event."""

    def __init__(self, channel: Channel, rate: float = 200, delay_ms: int = 10, timeout_s: float = 15) -> None:
        self.channel = channel
        self.interval_s, self.request, self.timeout_s = 1 / rate, str(delay_ms).encode(), timeout_s
        self.answers: list[str] = []
        self.failures: dict[int, grpc.aio.AioRpcError] = {}
        self.open: set[int] = set()
        self.started = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def _call(self, number: int) -> None:
        self.open.add(number)
        try:
            self.answers.append(await ask(self.channel, "slow", self.request, timeout=self.timeout_s))
        except grpc.aio.AioRpcError as error:
            self.failures[number] = error
        finally:
            self.open.discard(number)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        while not self._stopping:
            task = asyncio.create_task(self._call(self.started))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self.started += 1
            await asyncio.sleep(max(0.0, begin + self.started * self.interval_s - loop.time()))

    async def answered(self, count: int) -> Counter[str]:
        """Wait until `count` more calls have succeeded, and say which backends answered them."""
        first = len(self.answers)
        await eventually(lambda: len(self.answers) >= first + count, f"{count} answers; failed: {self.report()}", 60)
        return Counter(self.answers[first:])

    async def answered_by(self, name: str, count: int = 10) -> None:
        """Wait until a backend has answered `count` more calls."""
        first = len(self.answers)
        await eventually(lambda: self.answers[first:].count(name) >= count, f"{count} answers of {name}", 60)

    def report(self) -> list[str]:
        return [f"{error.code().name}: {error.details()}" for error in self.failures.values()]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stopping = True
        await self._task
        await asyncio.gather(*self._tasks)
