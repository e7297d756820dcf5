"""The server's side of an HTTP/2 connection: streams are the peer's to open (RFC 9113, sections 3.4, 5.1.1, 5.1.2)."""

from __future__ import annotations

from proxy.codec.connection import Connection
from proxy.codec.constants import (
    CANCEL,
    DEFAULT_WINDOW_BYTES,
    ENHANCE_YOUR_CALM,
    NO_ERROR,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from proxy.codec.detect import HTTP1, MORE, OPAQUE, detect
from proxy.codec.errors import ConnectionFault, Http1Spoken, StreamFault
from proxy.codec.headers import REQUEST, TRAILERS, HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.stream import CLOSED, IDLE, OPEN, Stream

_PREFACE_BYTES = 24
# The first byte of a ClientHello's record: more of it would change nothing.
_TLS = 22
_MAX_SKIPPED = 16
_MAX_UNAWARE = 10
# Streams that we reset and whose client may not know yet: frames for them are dropped, not faults.
_MAX_LIMBO = 1_000


class Server(Connection):
    """Adds the client preface, opening of streams, refusal above the limit, and the judgement of early resets."""

    __slots__ = ("draining", "limbo", "preface_seen", "recent_cancels", "recent_since_s", "refused", "skipped")

    def __init__(self, limits: Limits, flushes: list[Connection]) -> None:
        super().__init__(limits, flushes)
        self.preface_seen = False
        self.limbo: dict[int, None] | None = None
        # True after the final GOAWAY: streams above `goaway_sent` were not and will not be processed.
        self.draining = False
        # Ids that the client jumped over: closed without ever having been open.
        self.skipped: list[tuple[int, int]] | None = None
        self.recent_cancels = 0
        self.refused = 0
        self.recent_since_s = 0.0

    # ---- what the relay overrides

    def request_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        raise NotImplementedError

    def is_expired(self, stream: Stream) -> bool:
        """True where the request's own deadline (grpc-timeout) had run out, so that its cancellation is no abuse."""
        raise NotImplementedError

    # ---- input

    def feed(self, buf: bytearray, start: int, end: int, now: float) -> int:
        if not self.preface_seen and not self.closed:
            have = end - start
            size = have if have < _PREFACE_BYTES else _PREFACE_BYTES
            if buf[start : start + size] != PREFACE[:size]:
                return end if self._turns_away(bytes(buf[start:end])) else start
            if have < _PREFACE_BYTES:
                return start
            self.preface_seen = True
            start += _PREFACE_BYTES
            Connection.start(self, b"")
        return Connection.feed(self, buf, start, end, now)

    def start(self, preface: bytes = b"") -> None:
        """Nothing yet: our SETTINGS follow the client's preface, since it may be HTTP/1 that it speaks."""

    def _turns_away(self, first_bytes: bytes) -> bool:
        """False where more bytes may yet say what it is."""
        kind = OPAQUE if first_bytes[0] == _TLS else detect(first_bytes).kind
        if kind == HTTP1:
            raise Http1Spoken
        if kind == MORE:
            return False
        Connection.start(self, b"")
        self.fail(PROTOCOL_ERROR, "not an HTTP/2 client preface")
        return True

    def is_idle(self, stream_id: int) -> bool:
        return stream_id % 2 == 0 or stream_id > self.last_peer_id

    def headers_complete(self, stream_id: int, end: bool, block: bytes) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._trailers(stream, end, self.read_headers(TRAILERS, block))
        elif stream_id > self.last_peer_id and stream_id % 2 == 1:
            self._open(stream_id, end, self.read_headers(REQUEST, block))
        else:
            self._stale_headers(stream_id, end, block)

    def _open(self, stream_id: int, end: bool, block: HeaderBlock) -> None:
        if stream_id != self.last_peer_id + 2 and stream_id != 1:
            self._skip(self.last_peer_id + 1, stream_id - 1)
        self.last_peer_id = stream_id
        self.guard.stream_opened()
        if self.draining:
            raise StreamFault(stream_id, REFUSED_STREAM, "the connection is draining")
        if block.malformed:
            raise StreamFault(stream_id, PROTOCOL_ERROR, block.malformed)
        limit = self.limits.max_concurrent_streams
        if self.open_streams >= limit or self.open_streams + self._unfinished_cancels() >= 2 * limit:
            raise StreamFault(stream_id, REFUSED_STREAM, "too many concurrent streams")
        if self.backlog > self.limits.max_backlog_bytes:
            raise StreamFault(stream_id, REFUSED_STREAM, "the client does not read its responses")
        if end and block.content_length > 0:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "body differs from content-length")
        window = self.limits.stream_window_bytes
        # Until it has our SETTINGS, a client may count on the protocol's own window.
        granted = window if self.settings_acked else max(window, DEFAULT_WINDOW_BYTES)
        stream = Stream(self, stream_id, self.peer_initial_window, granted, self.now)
        stream.window_target = window
        stream.content_left = block.content_length
        stream.recv_state = CLOSED if end else OPEN
        self.streams[stream_id] = stream
        self.open_streams += 1
        self.request_received(stream, block, end)

    def _stale_headers(self, stream_id: int, end: bool, block: bytes) -> None:
        if stream_id % 2 == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "a client's stream has an even id")
        if self.skipped is not None and any(low <= stream_id <= high for low, high in self.skipped):
            raise ConnectionFault(PROTOCOL_ERROR, "stream id below an earlier one")
        # The block still has to go through the decoder, or the table would be wrong from here on.
        self.read_headers(TRAILERS, block)
        self.unknown_stream(stream_id, end)

    def reset_sent(self, stream_id: int) -> None:
        if self.limbo is None:
            self.limbo = {}
        elif len(self.limbo) >= _MAX_LIMBO:
            del self.limbo[next(iter(self.limbo))]
        self.limbo[stream_id] = None

    def unknown_stream(self, stream_id: int, end: bool) -> None:
        if self.limbo is not None and stream_id in self.limbo:
            if end:
                del self.limbo[stream_id]
            return
        if self.is_idle(stream_id):
            raise ConnectionFault(PROTOCOL_ERROR, "frame on an idle stream")
        raise ConnectionFault(STREAM_CLOSED, "frame on a closed stream")

    def _skip(self, low: int, high: int) -> None:
        if self.skipped is None:
            self.skipped = []
        self.skipped.append((low, high))
        del self.skipped[:-_MAX_SKIPPED]

    # ---- resets that come before our response (DESIGN 3.6)

    def _unfinished_cancels(self) -> int:
        """Streams cancelled in the last second: the endpoint may still be busy with them, so they are capped too."""
        if self.recent_cancels and self.now - self.recent_since_s > self.limits.premature_s:
            self.recent_cancels = 0
        self.refused = 0
        return self.recent_cancels

    def judge_reset(self, stream: Stream, code: int) -> None:
        """Count a reset, theirs or one they made us send, that came before our response headers and early."""
        if stream.send_state != IDLE or self.now - stream.opened_s > self.limits.premature_s:
            return
        if code == CANCEL and self.is_expired(stream):
            return
        if self.recent_cancels == 0:
            self.recent_since_s = self.now
        self.recent_cancels += 1
        self._count_early_reset()

    def stream_rejected(self, code: int) -> None:
        # Before it knows our limits a client may well open too many; it cannot go on not knowing them.
        self.refused += 1
        if self.draining:
            if self.refused > _MAX_UNAWARE * self.limits.max_concurrent_streams:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "streams after GOAWAY")
            return
        excused = code == REFUSED_STREAM and not self.settings_acked
        if not excused or self.refused > _MAX_UNAWARE * self.limits.max_concurrent_streams:
            self._count_early_reset()

    def _count_early_reset(self) -> None:
        """Too many of them end the connection, but not the streams that are honest."""
        if self.guard.is_rapid_reset() and not self.draining:
            self.fault = "rapid reset"
            self.refused = 0
            self.draining = True
            self.goaway(self.last_peer_id, ENHANCE_YOUR_CALM, b"rapid reset")
            if self.open_streams == 0:
                self.close()

    # ---- drain (section 6.8)

    def finish(self) -> None:
        """The final GOAWAY: what is open finishes, what comes later was not processed."""
        self.refused = 0
        self.draining = True
        self.goaway(self.last_peer_id, NO_ERROR)
