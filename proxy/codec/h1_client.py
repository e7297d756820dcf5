"""The client's side of an HTTP/1 connection: one request out, its response in, and then it may serve for the next.

Invariant: it is used again only if the response said where it ends, nothing followed it, and nobody said `close`
(RFC 9112, section 9.3): whatever follows could else be taken for the answer to somebody else's request.
"""

from __future__ import annotations

from typing import Any

from proxy.codec.h1_connection import HEAD, NOTHING, OPEN_BODY, TUNNEL, Http1Connection
from proxy.codec.h1_fault import BAD_REQUEST, MessageFault
from proxy.codec.h1_head import NO_BODY, UNTIL_CLOSE, Beginning, begin_head
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.h1_request import RequestHead
from proxy.codec.h1_response import RESPONSE_START, ResponseHead

_HEAD, _NOTHING, _OPEN_BODY, _TUNNEL = HEAD, NOTHING, OPEN_BODY, TUNNEL
_NO_BODY, _UNTIL_CLOSE = NO_BODY, UNTIL_CLOSE
MAX_INTERIM = 100


class Http1Client(Http1Connection):
    """`reusable` until something says otherwise; `rested` once it has been without a request, `proven` once it has
    answered one. `link` is the relay's: where it is kept while it is idle."""

    __slots__ = ("interim", "is_head", "keep_alive_s", "link", "proven", "rested", "reusable", "websocket")

    def __init__(self, memo: HeadMemo, flushes: list[Any], now: float) -> None:
        super().__init__(memo, flushes, now)
        self.link: Any = None
        self.reading = _NOTHING
        self.reusable = True
        self.rested = False
        self.proven = False
        # Of the request that is under way.
        self.is_head = False
        self.websocket = False
        self.interim = 0
        # How long the peer says that it keeps the connection without a request; -1 if it does not say.
        self.keep_alive_s = -1.0

    def send_request(self, head: RequestHead) -> None:
        self.is_head = head.is_head
        self.websocket = head.websocket
        self.interim = 0
        self.reading = _HEAD
        if head.hostless:
            self.reusable = False  # it says `close`
        self.send_head(head.encoded, head.framing)

    def make_beginning(self) -> Beginning:
        return begin_head(self.memo.max_bytes, self.memo.max_response_fields, RESPONSE_START)

    def interim_received(self, head: ResponseHead) -> None:
        """A response that is not the last (RFC 9110, section 15.2)."""
        raise NotImplementedError

    def switched(self, head: ResponseHead) -> None:
        """The endpoint agrees to speak WebSocket."""
        raise NotImplementedError

    def response_received(self, head: ResponseHead, framing: int) -> None:
        """`framing` is how its body ends; `message_received` comes for NO_BODY too."""
        raise NotImplementedError

    def head_received(self, raw: bytes, clean: bool) -> None:
        head = self.memo.response(raw)
        if head.informational:
            self._read_interim(head)
            return
        framing = _NO_BODY if self.is_head else head.framing
        if head.close or framing == _UNTIL_CLOSE:
            self.reusable = False
        self.keep_alive_s = head.keep_alive_s
        if framing == _NO_BODY:
            self.reading = _NOTHING
            self.response_received(head, framing)
            if not self.closed:
                self.message_received(b"", clean)
        else:
            self.await_body(framing, head.content_length, True)
            self.response_received(head, framing)

    def _read_interim(self, head: ResponseHead) -> None:
        self.interim += 1
        if self.interim > MAX_INTERIM:
            raise MessageFault(BAD_REQUEST, "interim responses flood")
        if head.status != 101:
            self.interim_received(head)
        elif self.websocket and head.websocket:
            self.reusable = False
            self.tunnel()
            self.switched(head)
        else:
            raise MessageFault(BAD_REQUEST, "switched to a protocol that was not asked for")

    def surplus_received(self) -> None:
        """An answer to nothing."""
        raise MessageFault(BAD_REQUEST, "bytes after a response")

    def peer_ended(self, now: float) -> None:
        """The end of the connection is the end of a body that had no other (RFC 9112, section 6.3)."""
        self.now = now
        self.ended = True
        if self.reading == _OPEN_BODY:
            self.reading = _NOTHING
            self.message_received(b"", True)
        elif self.reading == _TUNNEL:
            self.tunnel_ended()
        else:
            self.lost("closed by the endpoint", now)
        if self.reading != _TUNNEL and not self.closed:
            self.close()

    def tunnel_ended(self) -> None:
        """The endpoint sends no more through the tunnel."""
        raise NotImplementedError
