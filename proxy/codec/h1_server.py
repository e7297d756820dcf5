"""The server's side of an HTTP/1 connection: requests in, responses out, one after the other (RFC 9112, section 9.3).

A pipelined request waits, unread, until the one before it has been answered and its answer has left for the socket.
"""

from __future__ import annotations

from typing import Any

from proxy.codec.h1_connection import HEAD, HEAD_COST, NOTHING, Http1Connection
from proxy.codec.h1_fault import BAD_REQUEST, MessageFault
from proxy.codec.h1_head import CHUNKED, NO_BODY, UNTIL_CLOSE
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.h1_request import RequestHead
from proxy.codec.h1_response import ResponseHead

_HEAD, _HEAD_COST, _NOTHING, _BAD_REQUEST = HEAD, HEAD_COST, NOTHING, BAD_REQUEST
_NO_BODY, _CHUNKED, _UNTIL_CLOSE = NO_BODY, CHUNKED, UNTIL_CLOSE
# What comes after a response's fields, instead of the empty line. HTTP/1.0 has to be told that the connection stays.
_KEEP = b"connection: keep-alive\r\n\r\n"
_CLOSE = b"connection: close\r\n\r\n"
_CHUNKED_KEEP = b"transfer-encoding: chunked\r\n\r\n"
_CHUNKED_CLOSE = b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"


class Http1Server(Http1Connection):
    """`keep` once the response under way has said that the connection stays; `minor` is the request's version.

    `skipped` counts the empty line that may come before a request (RFC 9112, section 2.2): one, no more.
    """

    __slots__ = ("draining", "held", "idle_since_s", "keep", "minor", "skipped")

    def __init__(self, memo: HeadMemo, flushes: list[Any], now: float) -> None:
        super().__init__(memo, flushes, now)
        self.skipped = False
        self.keep = False
        self.minor = 1
        # Answered, but the next request waits until the socket takes bytes again.
        self.held = False
        self.idle_since_s = now
        # The next response says that it is the last.
        self.draining = False

    def request_received(self, head: RequestHead, end: bool) -> None:
        raise NotImplementedError

    def _read_head(self, buf: bytearray, pos: int, end: int) -> int:
        if self._has_had_turn():
            return pos
        p = buf
        if p[pos] == 0x0D and not self.skipped:
            if end - pos < 2:
                return pos
            if p[pos + 1] == 0x0A:
                self.skipped = True
                return pos + 2
        if p[pos] <= 0x20:
            raise MessageFault(_BAD_REQUEST, "blank before the request")
        return Http1Connection._read_head(self, buf, pos, end)

    def head_received(self, raw: bytes, clean: bool) -> None:
        head = self.memo.request(raw)
        self.skipped = False
        self.keep = False
        self.minor = head.minor
        self.turn += _HEAD_COST
        if head.framing == _NO_BODY:
            self.reading = _NOTHING
            self.request_received(head, True)
        else:
            self.await_body(head.framing, head.content_length, False)
            self.request_received(head, False)

    def surplus_received(self) -> None:
        self.pause()

    def _read_surplus(self, buf: bytearray, pos: int, end: int) -> int:
        """Some clients end a body with an empty line: if it made us pause, the client's end would not be noticed."""
        p = buf
        if p[pos] == 0x0D and not self.skipped:
            if end - pos < 2:
                return pos
            if p[pos + 1] == 0x0A:
                self.skipped = True
                return pos + 2
        return Http1Connection._read_surplus(self, buf, pos, end)

    def send_response(self, head: ResponseHead, framing: int, keep: bool) -> None:
        """The head of the response; what has no length goes on chunked, or to an HTTP/1.0 client until the close."""
        keep = keep and not self.draining
        if framing >= _CHUNKED:
            framing = _CHUNKED if self.minor else _UNTIL_CLOSE
            keep = keep and framing == _CHUNKED
        self.keep = keep
        tail = b""
        if framing == _CHUNKED:
            tail = _CHUNKED_KEEP if keep else _CHUNKED_CLOSE
        elif not keep:
            tail = _CLOSE
        elif not self.minor:
            tail = _KEEP
        encoded = head.encoded
        self.send_head(encoded[: len(encoded) - 2] + tail if tail else encoded, framing)

    def answered(self, now: float) -> None:
        """The response is complete: on to the next request, or to the end."""
        self.owner = None
        self.idle_since_s = now
        if not self.keep or self.ended:
            self.close()
        elif self.blocked:
            self.held = True
        else:
            self.await_head()

    def unblock(self) -> None:
        self.blocked = False
        if self.held:
            self.held = False
            self.await_head()
