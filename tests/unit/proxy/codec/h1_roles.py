"""Both roles of an HTTP/1 connection as recorders of their events."""

from __future__ import annotations

from typing import Any

from proxy.codec.h1_client import Http1Client
from proxy.codec.h1_connection import Http1Connection
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.h1_request import RequestHead
from proxy.codec.h1_response import ResponseHead
from proxy.codec.h1_server import Http1Server

Event = tuple[Any, ...]


class Events(list[Event]):
    """Pieces of a body are joined, since how they are cut is nobody's business."""

    def data(self, piece: bytes) -> None:
        if self and self[-1][0] == "data":
            self[-1] = ("data", self[-1][1] + piece)
        else:
            self.append(("data", piece))


class ServerRecorder(Http1Server):
    """Answers each request at once, so that the next one is read."""

    def __init__(self, memo: HeadMemo | None = None) -> None:
        super().__init__(memo or HeadMemo(), [], 0.0)
        self.events = Events()
        self.answers = True

    def request_received(self, head: RequestHead, end: bool) -> None:
        block = head.block
        self.events.append(("request", block.method, block.authority, block.path, head.encoded, head.close))
        if end:
            self.message_received(b"", True)

    def data_received(self, piece: bytes) -> None:
        self.events.data(piece)

    def message_received(self, trailers: bytes, clean: bool) -> None:
        self.events.append(("end", trailers))
        if self.answers:
            self.await_head()

    def faulted(self, status: int, reason: str) -> None:
        self.events.append(("fault", status, reason))
        self.close()

    def peer_ended(self, now: float) -> None:
        self.events.append(("ended",))


class ClientRecorder(Http1Client):
    """Waits for one response after the other."""

    def __init__(self, memo: HeadMemo | None = None) -> None:
        super().__init__(memo or HeadMemo(), [], 0.0)
        self.events = Events()

    def interim_received(self, head: ResponseHead) -> None:
        self.events.append(("interim", head.status))

    def switched(self, head: ResponseHead) -> None:
        self.events.append(("switched", head.encoded))

    def response_received(self, head: ResponseHead, framing: int) -> None:
        self.events.append(("response", head.status, framing, head.encoded))

    def data_received(self, piece: bytes) -> None:
        self.events.data(piece)

    def message_received(self, trailers: bytes, clean: bool) -> None:
        self.events.append(("end", trailers))

    def faulted(self, status: int, reason: str) -> None:
        self.events.append(("fault", reason))
        self.reusable = False
        self.close()

    def tunnel_ended(self) -> None:
        self.events.append(("tunnel ended",))

    def lost(self, reason: str, now: float) -> None:
        self.events.append(("lost", reason))


def feed(conn: Http1Connection, *pieces: bytes, tail: bytes = b"") -> bytes:
    """Feed as `net` does, keeping what is not taken; returns that. `tail` is what it returned before."""
    for piece in pieces:
        tail = _feed_once(conn, tail + piece)
        while conn.resting:
            conn.resting = False
            tail = _feed_once(conn, tail)
    return tail


def _feed_once(conn: Http1Connection, data: bytes) -> bytes:
    return data[conn.feed(bytearray(data), 0, len(data), 1.0) :] if data else b""


def read_requests(*pieces: bytes, memo: HeadMemo | None = None) -> list[Event]:
    conn = ServerRecorder(memo)
    feed(conn, *pieces)
    return list(conn.events)


def read_responses(*pieces: bytes, request: bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") -> list[Event]:
    conn = ClientRecorder()
    conn.send_request(conn.memo.request(request))
    feed(conn, *pieces)
    return list(conn.events)
