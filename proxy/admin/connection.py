"""One connection to the admin port: one request, one answer, `Connection: close`.

It is asked a few times a minute, so there is no keep-alive and no pipelining to get wrong. Everything has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from proxy.admin.guests import ANSWERED, ASKING, SILENT, Guests
from proxy.admin.http import Answer, Refusal, Request, parse_head
from proxy.admin.pace import Pace
from proxy.admin.sharing import TooSlow
from proxy.net.log import log_bug

MAX_HEAD_BYTES = 8192
HEAD_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0  # for the whole answer, which a slow reader may hold up
CLOSE_TIMEOUT_S = 5.0  # for the peer to close after the answer


class Pages(Protocol):
    """Who admits connections and answers their requests."""

    guests: Guests[AdminConnection]
    pace: Pace

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """One that takes its time has a deadline of its own."""


class AdminConnection(asyncio.Protocol):
    """A head is read, an answer sent piece by piece, and then the peer's end awaited, so that closing loses nothing."""

    __slots__ = (
        "_answer",
        "_asked",
        "_chunked",
        "_finished",
        "_head",
        "_pages",
        "_paused",
        "_peer_ended",
        "_scheduled",
        "_timer",
        "_transport",
        "_waiting",
    )

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._head = bytearray()
        self._answer: Answer | None = None
        self._asked = False
        self._chunked = False
        self._finished = False
        self._paused = False
        self._peer_ended = False
        self._scheduled = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._pages.guests.admit(self, asyncio.get_running_loop().time())
        self._set_timer(HEAD_TIMEOUT_S, self._time_out)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._answer = None
        self._pages.guests.forget(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting is not None:
            self._waiting.cancel()

    def eof_received(self) -> bool:
        """Keep the connection for the answer, if there is one to come."""
        self._peer_ended = True
        return self._asked and not self._finished

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """Close, now or as soon as the answer is sent."""
        if not self._asked:
            self.abort()
        elif self._finished and self._transport is not None:
            self._transport.close()
        else:
            self._peer_ended = True

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, callback)

    def _time_out(self) -> None:
        self._refuse(408, f"the request's head took longer than {HEAD_TIMEOUT_S:g} s")

    def data_received(self, data: bytes) -> None:
        if self._asked:
            return  # a body, which no page has a use for
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", searched)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._head) > MAX_HEAD_BYTES):
            self._refuse(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes")
        elif end >= 0:
            self._respond(bytes(self._head[:end]))

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._pages.guests.move(self, SILENT, ASKING)

    def _respond(self, head: bytes) -> None:
        self._ask()
        chunked, with_body = False, True
        try:
            request = parse_head(head)
            request.is_own = self._is_own()
            chunked, with_body = request.version == "HTTP/1.1", request.method != "HEAD"
            answer = self._pages.answer(request)
        except Refusal as refusal:
            answer = refusal.answer
        if isinstance(answer, Answer):
            self._begin(answer, chunked, with_body)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._waiting = asyncio.ensure_future(self._begin_later(answer, chunked, with_body))

    async def _begin_later(self, pending: Awaitable[Answer], chunked: bool, with_body: bool) -> None:
        try:
            answer = await pending
        except Exception as bug:
            log_bug("a page of the admin port", bug)
            answer = Answer(500, "a fault of the proxy; its log says more\n")
        self._begin(answer, chunked, with_body)

    def _is_own(self) -> bool:
        transport = self._transport
        if transport is None:
            return False
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        return is_own_host(str(peer[0]), str(local[0])) if peer and local else False

    def _refuse(self, status: int, text: str) -> None:
        self._begin(Refusal(status, text).answer, False, True)

    def _begin(self, answer: Answer, chunked: bool, with_body: bool) -> None:
        if self._transport is None:
            return
        self._ask()
        self._head.clear()
        if not with_body:
            answer.body = iter(())
        self._answer = answer
        self._chunked = chunked and with_body
        self._set_timer(ANSWER_TIMEOUT_S, self.abort)
        self._transport.write(answer.encode_head(chunked))
        self._send_next()

    def _send_next(self) -> None:
        """Send one piece; the loop serves others before the next."""
        self._scheduled = False
        if self._transport is None or self._transport.is_closing() or self._answer is None or self._paused:
            return
        try:
            piece = next(self._answer.body, None)
        except Exception as reason:
            if not isinstance(reason, TooSlow):
                log_bug("a page of the admin port", reason)
            self.abort()
            return
        if piece is None:
            self._finish(self._transport)
            return
        if piece:
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
        self._schedule(len(piece))

    def _schedule(self, size: int) -> None:
        """So much was sent: let others have their turn."""
        if self._scheduled or self._finished:
            return
        self._scheduled = True
        loop = asyncio.get_running_loop()
        delay_s = self._pages.pace.take(size, loop.time())
        if delay_s:
            loop.call_later(delay_s, self._send_next)
        else:
            loop.call_soon(self._send_next)

    def _finish(self, transport: asyncio.Transport) -> None:
        self._finished = True
        self._answer = None  # others may still hold what it was read from
        self._pages.guests.move(self, ASKING, ANSWERED)
        if self._chunked:
            transport.write(b"0\r\n\r\n")
        if self._peer_ended:
            transport.close()
        else:
            self._set_timer(CLOSE_TIMEOUT_S, self.abort)
            transport.write_eof()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._schedule(0)


def is_own_host(peer: str, local: str) -> bool:
    """Whether a connection comes from the network namespace that it leads to, which is the pod's."""
    peer = peer.removeprefix("::ffff:")
    return peer == "::1" or peer.startswith("127.") or peer == local.removeprefix("::ffff:")
