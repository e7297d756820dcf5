"""The client's side of an HTTP/2 connection: streams are ours to open (RFC 9113, sections 3.4, 5.1.1, 6.8)."""

from __future__ import annotations

from proxy.codec.connection import Connection
from proxy.codec.constants import DEFAULT_MAX_FRAME_BYTES, ENABLE_PUSH, MAX_STREAM_ID, PREFACE, PROTOCOL_ERROR
from proxy.codec.errors import ConnectionFault, StreamFault
from proxy.codec.headers import RESPONSE, TRAILERS, HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.stream import CLOSED, IDLE, OPEN, Stream

RESPONSE_TOO_LARGE = "response headers too large"


class Client(Connection):
    """Adds opening of streams, and responses: interim ones, the final one, trailers."""

    __slots__ = ("next_id",)

    def __init__(self, limits: Limits, flushes: list[Connection]) -> None:
        super().__init__(limits, flushes)
        self.next_id = 1
        self.is_shared = True

    # ---- what the relay overrides

    def response_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        """A final response's header block, or an interim one (`block.informational`)."""
        raise NotImplementedError

    # ---- output

    def opening_settings(self) -> dict[int, int]:
        return {ENABLE_PUSH: 0, **Connection.opening_settings(self)}

    def start(self, preface: bytes = PREFACE) -> None:
        Connection.start(self, preface)

    def has_room(self) -> bool:
        """True where one more stream may be opened now."""
        return (
            self.open_streams < self.peer_max_streams
            and self.next_id <= MAX_STREAM_ID
            and not self.closed
            and self.backlog <= self.limits.max_backlog_bytes
        )

    def is_clogged(self) -> bool:
        """True where a body would wait: uploads that the peer does not drain hold the connection's window."""
        return self.send_window < DEFAULT_MAX_FRAME_BYTES and bool(self.waiting)

    def open(self, opened_s: float) -> Stream:
        """A new stream; its headers are the caller's to send at once, ids must appear in order."""
        stream_id = self.next_id
        self.next_id = stream_id + 2
        stream = Stream(self, stream_id, self.peer_initial_window, self.limits.stream_window_bytes, opened_s)
        self.streams[stream_id] = stream
        self.open_streams += 1
        self.guard.stream_opened()
        return stream

    # ---- input

    def is_idle(self, stream_id: int) -> bool:
        return stream_id % 2 == 0 or stream_id >= self.next_id

    def unknown_stream(self, stream_id: int, end: bool) -> None:
        """Ours to open, so what is not idle is closed: the rest of something that we cancelled."""
        if self.is_idle(stream_id):
            raise ConnectionFault(PROTOCOL_ERROR, "frame on an idle stream")

    def headers_complete(self, stream_id: int, end: bool, block: bytes) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self.read_headers(TRAILERS, block)
            self.unknown_stream(stream_id, end)
        elif stream.recv_state == IDLE:
            self._response(stream, end, self.read_headers(RESPONSE, block))
        else:
            self._trailers(stream, end, self.read_headers(TRAILERS, block))

    def _response(self, stream: Stream, end: bool, block: HeaderBlock) -> None:
        if block.malformed or block.oversize:
            raise StreamFault(stream.id, PROTOCOL_ERROR, block.malformed or RESPONSE_TOO_LARGE)
        if block.informational:
            if end or block.status == 101:
                raise StreamFault(
                    stream.id, PROTOCOL_ERROR, "an interim response that ends the stream or switches protocols"
                )
            self.guard.interim_response()
            self.response_received(stream, block, False)
            return
        self.guard.interim = self.guard.empty = 0
        # Neither has a body, whatever its content-length says of the one that it stands for (RFC 9110, section 8.6).
        bodyless = end or block.status == 304 or block.status == 204
        stream.content_left = -1 if bodyless else block.content_length
        stream.recv_state = CLOSED if end else OPEN
        self.response_received(stream, block, end)
        if end and stream.send_state == CLOSED:
            self._forget(stream)
