"""An HTTP port: listens, bounds the connections, and ends without losing an answer.

Both ports have many who can reach them, so a connection is counted from its acceptance on, before any handshake, and
each thing it does has its time. Of too many, one goes whose address has most of them: the API server's has few. At the
end every answer asks its client to connect anew, elsewhere: the API server keeps connections for ever, also to a pod
that no Service has any more, and would send its next review into one that is being closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from enum import IntEnum
from time import monotonic
from typing import Any, Final, cast

from aiohttp import web

from mesh.listening import listen
from mesh.options import Address

# Longer than a Go client's 90 s: it is the client that ends an idle connection, never in the middle of a request.
_IDLE_S: Final = 150.0
_FINISH_S: Final = 5.0
_LINGER_S: Final = 1.0  # for the rest of a body that is not wanted, so that its sender reads why
_LOOK_S: Final = 0.5
_BACKLOG: Final = 1024  # a full one makes others wait for a second
_AGAIN_S: Final = 0.1


class Doing(IntEnum):
    """What a connection is at, in the order in which they go."""

    HANDSHAKE = 0
    NOTHING = 1  # nor ever anything
    HEAD = 2
    RESTING = 3  # between requests
    REQUEST = 4


_PATIENCE_S: Final = {
    Doing.HANDSHAKE: 3.0,
    Doing.NOTHING: 60.0,
    Doing.HEAD: 5.0,
    Doing.RESTING: _IDLE_S,
    Doing.REQUEST: 31.0,  # the API server waits for 30 s at most
}


class Guest(asyncio.Protocol):
    """A connection: passes all on to `handler`, aiohttp's, and looks at what passes. It tells `forget` of its end."""

    def __init__(
        self, sock: socket.socket, address: str, handler: asyncio.Protocol, forget: Callable[[Guest], None]
    ) -> None:
        self.address, self.handler = address, handler
        self.turn_to(Doing.HANDSHAKE)
        self._sock, self._forget = sock, forget
        self._transport: asyncio.Transport | None = None

    def turn_to(self, doing: Doing) -> None:
        self.doing, self.since_s = doing, monotonic()

    def abort(self) -> None:
        self._forget(self)
        if self._transport is not None:
            self._transport.abort()
        elif self._sock.fileno() >= 0:
            self._sock.shutdown(socket.SHUT_RDWR)  # which the handshake ends with

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.turn_to(Doing.NOTHING)
        self.handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.doing in (Doing.NOTHING, Doing.RESTING):
            self.turn_to(Doing.HEAD)
        self.handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self.handler.eof_received()

    def pause_writing(self) -> None:
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        self.handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._forget(self)
        self.handler.connection_lost(error)


class Site:
    """`application` at an address, with TLS if there is a context."""

    def __init__(
        self, application: web.Application, connections_max: int, context: ssl.SSLContext | None = None
    ) -> None:
        application.on_response_prepare.append(self._prepare)
        application.middlewares.append(self._follow)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,  # nobody who is meant to come compresses
            keepalive_timeout=_IDLE_S,
            lingering_time=_LINGER_S,
            shutdown_timeout=_FINISH_S,
            handle_signals=False,
        )
        self._connections_max = connections_max
        self._tls: dict[str, Any] = (
            {"ssl": context, "ssl_handshake_timeout": _PATIENCE_S[Doing.HANDSHAKE]} if context else {}
        )
        self._guests: dict[asyncio.Protocol, Guest] = {}
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_leaving = False

    async def start(self, address: Address) -> int:
        """Listen; the result is the port. OSError where it cannot be had."""
        await self._runner.setup()
        self._sockets = await open_sockets(address)
        for sock in self._sockets:
            self._run(self._accept(sock))
        self._run(self._look())
        return int(self._sockets[0].getsockname()[1])

    def leave(self) -> None:
        """From now on each answer is the last of its connection."""
        self._is_leaving = True

    async def stop(self) -> None:
        """Accept no more, and let what is being answered finish."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sock in self._sockets:
            sock.close()
        await self._runner.cleanup()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _prepare(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self._is_leaving:
            response.force_close()
            response.headers["Connection"] = "close"  # aiohttp says so only of what was forced before this signal

    @web.middleware
    async def _follow(self, request: web.Request, handler: Any) -> Any:
        guest = self._guests.get(request.protocol)
        if guest is None:  # it has just been ended
            raise web.HTTPServiceUnavailable
        guest.turn_to(Doing.REQUEST)
        try:
            return await handler(request)
        finally:
            guest.turn_to(Doing.RESTING)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, peer = await loop.sock_accept(listener)
            except OSError:  # there is no descriptor left
                await asyncio.sleep(_AGAIN_S)
                continue
            self._admit(sock, str(peer[0]))

    def _admit(self, sock: socket.socket, address: str) -> None:
        assert self._runner.server is not None
        if not self._make_room(address):
            sock.close()
            return
        guest = Guest(sock, address, self._runner.server(), self._forget)
        self._guests[guest.handler] = guest
        self._run(self._connect(sock, guest))

    async def _connect(self, sock: socket.socket, guest: Guest) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: guest, sock, **self._tls)
        except OSError:
            pass  # a handshake that failed, or took too long
        finally:
            if guest.doing is Doing.HANDSHAKE:
                guest.abort()

    def _make_room(self, address: str) -> bool:
        """For one more of this address. It must not come where it has most itself, and all of them have a request."""
        if len(self._guests) < self._connections_max:
            return True
        counts = Counter([address, *(guest.address for guest in self._guests.values())])
        most = max(counts.values())
        crowd = (guest for guest in self._guests.values() if counts[guest.address] == most)
        last = min(crowd, key=lambda guest: (guest.doing, guest.since_s))
        if last.doing is Doing.REQUEST and counts[address] == most:
            return False
        last.abort()
        return True

    def _forget(self, guest: Guest) -> None:
        self._guests.pop(guest.handler, None)

    async def _look(self) -> None:
        """End what takes too long."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = monotonic()
            for guest in list(self._guests.values()):
                if now - guest.since_s > _PATIENCE_S[guest.doing]:
                    guest.abort()


async def open_sockets(address: Address) -> list[socket.socket]:
    """Those that the loop would listen on; it would accept without asking, and tells of no handshake before its end."""
    server = await listen(asyncio.Protocol, address.host, address.port, start_serving=False)
    sockets = [socket.socket(fileno=os.dup(sock.fileno())) for sock in server.sockets]
    server.close()
    for sock in sockets:
        sock.setblocking(False)
        sock.listen(_BACKLOG)
    return sockets
