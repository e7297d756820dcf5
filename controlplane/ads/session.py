"""One ADS stream's input and output. What is said on it is discovery's business.

A response is taken from discovery only when the one before has been written, so a client that does not read holds one
response per type and delays nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import grpc

from controlplane.discovery.bounds import Refusal
from controlplane.discovery.exchange import Exchange
from controlplane.discovery.stream import Push, Stream
from controlplane.log import log_bug

Context = grpc.aio.ServicerContext[bytes, bytes]


class Ending(Exception):
    """The stream ends with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Observer(Protocol):
    """Who wants to know what has been sent."""

    def __call__(self, push: Push) -> None: ...


class Session:
    def __init__(self, exchange: Exchange, stream: Stream, context: Context, observe: Observer) -> None:
        self.exchange = exchange
        self.stream = stream
        self._context = context
        self._observe = observe
        self._news = asyncio.Event()
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
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            done, _ = await asyncio.wait([*tasks, self._ending], return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._ending.cancel():  # so that a later `end` is none
                self._ending.exception()  # looked at, so that nobody calls it lost

    async def _read(self) -> None:
        context, stream = self._context, self.stream
        while True:
            data = await context.read()
            if data is grpc.aio.EOF:  # type: ignore[attr-defined]
                return
            try:
                stream.receive(data)
            except Refusal as refusal:
                raise Ending(grpc.StatusCode[refusal.status], str(refusal)) from None
            if stream.has_news:
                self._news.set()

    async def _write(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            for push in self.stream.take():
                await self._context.write(push.data)
                self._observe(push)


class Sessions:
    """All sessions of a server, by their stream."""

    def __init__(self, exchange: Exchange, observe: Observer) -> None:
        self.exchange = exchange
        self._observe = observe
        self._sessions: dict[Stream, Session] = {}

    def wake(self, streams: Iterable[Stream]) -> None:
        """These have something to send."""
        for stream in streams:
            session = self._sessions.get(stream)
            if session is not None:
                session.wake()

    def all(self) -> list[Session]:
        return list(self._sessions.values())

    async def serve(
        self,
        open_stream: Callable[[], Stream],
        context: Context,
        begin: Callable[[Session], asyncio.TimerHandle],
    ) -> None:
        """Serve one stream to its end; `begin` limits its life."""
        try:
            stream = open_stream()
        except Refusal as refusal:
            await context.abort(grpc.StatusCode[refusal.status], str(refusal))
        session = Session(self.exchange, stream, context, self._observe)
        self._sessions[stream] = session
        life = begin(session)
        try:
            ending = await run_to_end(session)
        finally:
            life.cancel()
            del self._sessions[stream]
            self.exchange.close(stream)
        if ending is not None:
            # Of a client that does not read, this waits until the connection ends; nothing else is left of it.
            await context.abort(ending.code, str(ending))


async def run_to_end(session: Session) -> Ending | None:
    """How the stream is to end; None where the client has ended it."""
    try:
        await session.run()
    except Ending as ending:
        return ending
    except grpc.aio.BaseError:
        return None  # the client went away while we wrote
    except Exception as bug:
        log_bug(f"the stream of {session.stream.name}", bug)
        return Ending(grpc.StatusCode.INTERNAL, "a fault of the control plane; its log has more")
    return None
