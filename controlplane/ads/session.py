"""One ADS stream's input and output. What is said on it is discovery's business.

A response is taken from discovery only when the one before has been written, so a client that does not read holds one
response per type and delays nobody. After `write_s` its session ends; what it has not read counts as unsent until gRPC
is rid of it. A write is never given up: while one is under way, gRPC takes no status.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, Protocol

import grpc

from controlplane.ads.allowance import Allowance
from controlplane.ads.unsent import Unsent
from controlplane.discovery.bounds import Refusal
from controlplane.discovery.stream import Push, Stream

Context = grpc.aio.ServicerContext[bytes, bytes]
WRITE_S: Final = 30.0


class Ending(Exception):
    """The stream ends with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Observer(Protocol):
    """Who wants to know what has been sent."""

    def __call__(self, push: Push) -> None: ...


class Session:
    def __init__(
        self, stream: Stream, context: Context, observe: Observer, unsent: Unsent, write_s: float = WRITE_S
    ) -> None:
        self.stream = stream
        self.begun_s: float | None = None  # since when its requests are read
        self._context = context
        self._observe = observe
        self._unsent = unsent
        self._unsent_bytes = 0
        self._write_s = write_s
        self._allowance = Allowance(monotonic())
        self._news = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None
        self._is_writing = False
        self._ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """There may be something to send."""
        self._news.set()

    def end(self, message: str) -> None:
        """End the stream in peace: the client is to come again, perhaps to another replica."""
        if not self._ending.done():
            self._ending.set_exception(Ending(grpc.StatusCode.UNAVAILABLE, message))

    async def run(self) -> None:
        """Until the client ends the stream; raises Ending where we do."""
        self.begun_s = monotonic()
        reader = asyncio.create_task(self._read())
        self._writer = asyncio.create_task(self._write())
        try:
            done, _ = await asyncio.wait([reader, self._writer, self._ending], return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        finally:
            reader.cancel()
            if not self._is_writing:
                self._writer.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if self._later is not None:
                self._later.cancel()

    async def finish(self) -> None:
        """After the run: until what is being written has been, or cannot be."""
        if self._writer is not None:
            await asyncio.wait([self._writer])

    def release(self) -> None:
        """gRPC is rid of what has not been read."""
        if self._writer is not None:
            self._writer.cancel()
            if self._writer.done() and not self._writer.cancelled():
                self._writer.exception()  # looked at, so that nobody calls it lost
        self._settle(self._unsent_bytes)

    def close(self) -> None:
        if not self._ending.cancel():  # so that a later `end` is none
            self._ending.exception()  # looked at, so that nobody calls it lost

    async def _read(self) -> None:
        context, stream = self._context, self.stream
        while True:
            data = await context.read()
            if data is grpc.aio.EOF:  # type: ignore[attr-defined]
                return
            asked = stream.asked
            try:
                stream.receive(data)
            except Refusal as refusal:
                raise Ending(grpc.StatusCode[refusal.status], str(refusal)) from None
            if stream.has_news:
                self._news.set()
            if stream.asked != asked and (delay_s := self._allowance.spend(len(data), monotonic())):
                await asyncio.sleep(delay_s)

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            await self._unsent.wait(self.stream.peer.address)
            self._news.clear()
            now = monotonic()
            pushes = self.stream.take(now)
            self._come_back(self.stream.next_take(now), now)
            size = sum([len(push.data) for push in pushes])
            self._unsent_bytes += size
            self._unsent.add(self.stream.peer.address, size)
            for push in pushes:
                await self._send(push)
                if self._ending.done():
                    return
            self._settle(0)

    def _come_back(self, due: float | None, now: float) -> None:
        """Some of what there is to send may only go then."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if due is not None:
            self._later = asyncio.get_running_loop().call_later(due - now, self._news.set)

    async def _send(self, push: Push) -> None:
        message = f"a response has not been read for {self._write_s:g} s"
        limit = asyncio.get_running_loop().call_later(self._write_s, self.end, message)
        self._is_writing = True
        try:
            await self._context.write(push.data)
        finally:
            self._is_writing = False
            limit.cancel()
        self._settle(len(push.data))
        self._observe(push)

    def _settle(self, size: int) -> None:
        self._unsent_bytes -= size
        self._unsent.remove(self.stream.peer.address, size)
