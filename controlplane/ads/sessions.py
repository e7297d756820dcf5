"""All sessions of a server: opened, woken, and at their end forgotten.

A stream keeps its place until gRPC is rid of it, so that clients which do not read cannot have ever more of them. One
that has said nothing gives way when there is no place left: a sidecar without traffic has nothing to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Final

import grpc

from controlplane.ads.others import address_of
from controlplane.ads.session import WRITE_S, Context, Ending, Observer, Session
from controlplane.ads.unsent import Unsent
from controlplane.discovery.bounds import Refusal
from controlplane.discovery.exchange import Exchange
from controlplane.discovery.stream import Stream
from mesh.log import log_bug

SILENCE_S: Final = 10.0

Open = Callable[[str], Stream]  # of an address


class Sessions:
    """By their stream. `begin` waits until a session may begin, and limits its life."""

    def __init__(
        self,
        exchange: Exchange,
        observe: Observer,
        begin: Callable[[Session], Awaitable[asyncio.TimerHandle]],
        unsent: Unsent,
        write_s: float = WRITE_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self.exchange = exchange
        self._observe = observe
        self._begin = begin
        self._unsent = unsent
        self._write_s = write_s
        self._silence_s = silence_s
        self._sessions: dict[Stream, Session] = {}

    def wake(self, streams: Iterable[Stream]) -> None:
        """These have something to send."""
        for stream in streams:
            session = self._sessions.get(stream)
            if session is not None:
                session.wake()

    def all(self) -> list[Session]:
        return list(self._sessions.values())

    async def serve(self, open_stream: Open, context: Context) -> None:
        """Serve one stream to its end."""
        try:
            stream = self._open(open_stream, address_of(context))
        except Refusal as refusal:
            await context.abort(grpc.StatusCode[refusal.status], str(refusal))
        session = Session(stream, context, self._observe, self._unsent, self._write_s)
        self._sessions[stream] = session
        try:
            ending = await self._run(session)
            if ending is not None:
                await session.finish()  # of a client that does not read, when its connection ends
                await context.abort(ending.code, str(ending))
        finally:
            self.exchange.close(stream)
            session.release()

    def _open(self, open_stream: Open, address: str) -> Stream:
        try:
            return open_stream(address)
        except Refusal:
            self._make_room(address)
            return open_stream(address)

    def _make_room(self, address: str) -> None:
        """The place of a stream that has said nothing; where an address has too many, it is one of its own."""
        before = monotonic() - self._silence_s
        for session in self._sessions.values():
            is_idle = session.stream.node is None and session.begun_s is not None and session.begun_s <= before
            if is_idle and (self.exchange.is_full or session.stream.peer.address == address):
                session.end("another stream needs the place of this one, which has asked for nothing; open another")
                self.exchange.close(session.stream)
                return

    async def _run(self, session: Session) -> Ending | None:
        """How the stream is to end; None where the client has ended it."""
        life = None
        try:
            life = await self._begin(session)
            await session.run()
        except Ending as ending:
            return ending
        except grpc.aio.BaseError:
            return None  # the client went away while we wrote
        except Exception as bug:
            log_bug(f"the stream of {session.stream.name}", bug)
            return Ending(grpc.StatusCode.INTERNAL, "a fault of the control plane; its log has more")
        finally:
            if life is not None:
                life.cancel()
            session.close()
            del self._sessions[session.stream]
            session.stream.close()
        return None
