"""One HTTP/2 connection, sans-I/O: bytes in through `feed`, bytes out through `take`, events by overridden methods.

Owns framing, settings, the receiving half of flow control, header-block assembly and the floods' bounds (RFC 9113,
sections 4 to 6). What differs by role is in `server` and `client`; what is done with an event is the relay's.

Invariants: any chunking of the input gives the same events and output; the connection's window is credited on receipt,
a stream's as it drains; every fault of the peer ends in GOAWAY or RST_STREAM with its code, never in an exception.
"""

from __future__ import annotations

from proxy.codec.buffer import cut
from proxy.codec.constants import (
    ACK,
    CONTINUATION,
    DATA,
    DEFAULT_MAX_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HAS_PRIORITY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    MAX_WINDOW_BYTES,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
)
from proxy.codec.errors import ConnectionFault, StreamFault
from proxy.codec.frames import (
    SETTINGS_ACK,
    encode_ping,
    encode_rst_stream,
    encode_settings,
    encode_window_update,
)
from proxy.codec.headers import HeaderBlock, HeaderReader
from proxy.codec.limits import Limits
from proxy.codec.sender import Sender
from proxy.codec.stream import CLOSED, OPEN, Stream

TRAILERS_TOO_LARGE = "trailers too large"


class Connection(Sender):
    """Base of `Server` and `Client`. `limits` are what we advertise and enforce."""

    __slots__ = (
        "assembling",
        "assembling_flags",
        "assembling_parts",
        "assembling_size",
        "frames",
        "max_block_bytes",
        "now",
        "peer_max_streams",
        "peer_settings_seen",
        "reader",
        "recv_uncredited",
        "recv_window",
        "settings_acked",
    )

    def __init__(self, limits: Limits, flushes: list[Connection]) -> None:
        super().__init__(limits, flushes)
        # Made with the first header block: an idle connection has no use for it.
        self.reader: HeaderReader | None = None
        self.now = 0.0
        self.recv_window = limits.connection_window_bytes
        self.recv_uncredited = 0
        self.peer_max_streams = limits.max_concurrent_streams
        self.peer_settings_seen = False
        self.settings_acked = False
        # Complete ones that came; the parts of a header block count as one.
        self.frames = 0
        self.assembling = 0
        self.assembling_flags = 0
        self.assembling_size = 0
        self.assembling_parts: list[bytes] | None = None
        # A block that is too large ends its stream, not the others on the connection, unless it is absurd.
        self.max_block_bytes = 4 * limits.max_header_bytes

    # ---- what the role and the relay override

    def opening_settings(self) -> dict[int, int]:
        limits = self.limits
        return {
            MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
            INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
            MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
        }

    def headers_complete(self, stream_id: int, end: bool, block: bytes) -> None:
        """A whole header block came; the role knows what it means."""
        raise NotImplementedError

    def is_idle(self, stream_id: int) -> bool:
        """True where no HEADERS has ever opened this stream."""
        raise NotImplementedError

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        raise NotImplementedError

    def reset_received(self, stream: Stream, code: int) -> None:
        """The peer reset the stream; it is forgotten after this."""
        raise NotImplementedError

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        """The peer broke the stream's rules: it is reset with `code` after this."""
        raise NotImplementedError

    def stream_rejected(self, code: int) -> None:
        """A header block was answered with a reset: no stream was opened."""

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        raise NotImplementedError

    def ping_acked(self, opaque: bytes) -> None:
        raise NotImplementedError

    def settings_changed(self) -> None:
        """The peer's SETTINGS were applied."""
        raise NotImplementedError

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        raise NotImplementedError

    def lost(self, reason: str, now: float) -> None:
        """The socket is gone or no longer of use, and every stream with it; called once."""
        raise NotImplementedError

    # ---- input

    def feed(self, buf: bytearray, start: int, end: int, now: float) -> int:
        """Take the whole frames of `buf[start:end]` and return the position of the first byte not taken.

        A fault of the connection ends in GOAWAY and `closed`; what follows is dropped.
        """
        p = buf
        pos = start
        self.now = now
        try:
            while end - pos >= 9 and not self.closed:
                length = p[pos] << 16 | p[pos + 1] << 8 | p[pos + 2]
                if length > DEFAULT_MAX_FRAME_BYTES:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "frame above SETTINGS_MAX_FRAME_SIZE")
                after = pos + 9 + length
                if after > end:
                    break
                kind = p[pos + 3]
                flags = p[pos + 4]
                stream_id = (p[pos + 5] & 0x7F) << 24 | p[pos + 6] << 16 | p[pos + 7] << 8 | p[pos + 8]
                pos += 9
                if self.assembling != 0 and (kind != CONTINUATION or stream_id != self.assembling):
                    raise ConnectionFault(PROTOCOL_ERROR, "header block interrupted")
                if not self.peer_settings_seen and kind != SETTINGS:
                    raise ConnectionFault(PROTOCOL_ERROR, "first frame is not SETTINGS")
                try:
                    if kind == DATA:
                        self._data(buf, pos, length, flags, stream_id)
                    elif kind == HEADERS:
                        self._headers(buf, pos, length, flags, stream_id)
                    else:
                        self._control(kind, flags, stream_id, cut(buf, pos, after))
                except StreamFault as fault:
                    self._fail_stream(fault)
                if self.assembling == 0:
                    self.frames += 1
                pos = after
        except ConnectionFault as fault:
            self.fail(fault.code, fault.reason)
        return end if self.closed else pos

    def _data(self, buf: bytearray, pos: int, length: int, flags: int, stream_id: int) -> None:
        p = buf
        self.recv_window -= length
        if self.recv_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "connection window overrun")
        self.recv_uncredited += length
        if 2 * self.recv_uncredited >= self.limits.connection_window_bytes:
            self.recv_window += self.recv_uncredited
            self._put(encode_window_update(0, self.recv_uncredited))
            self.recv_uncredited = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            self.unknown_stream(stream_id, flags & END_STREAM != 0)
            return
        if stream.recv_state != OPEN:
            raise StreamFault(
                stream_id,
                STREAM_CLOSED if stream.recv_state == CLOSED else PROTOCOL_ERROR,
                "DATA on a half-closed stream" if stream.recv_state == CLOSED else "DATA before HEADERS",
            )
        if length > stream.recv_window:
            raise StreamFault(stream_id, FLOW_CONTROL_ERROR, "stream window overrun")
        stream.recv_window -= length
        size = length
        if flags & PADDED:
            if length == 0:
                raise ConnectionFault(FRAME_SIZE_ERROR, "no pad length")
            size = length - 1 - p[pos]
            pos += 1
            if size < 0:
                raise ConnectionFault(PROTOCOL_ERROR, "padding exceeds the frame")
            self.credit(stream, length - size)
        end = flags & END_STREAM != 0
        if size == 0 and not end:
            self.guard.empty_frame()
            return
        self.guard.empty = 0
        if stream.content_left >= 0:
            stream.content_left -= size
            if stream.content_left < 0 or (end and stream.content_left > 0):
                raise StreamFault(stream_id, PROTOCOL_ERROR, "body differs from content-length")
        if end:
            stream.recv_state = CLOSED
        self.data_received(stream, cut(buf, pos, pos + size), end)
        if end and stream.send_state == CLOSED:
            self._forget(stream)

    def _headers(self, buf: bytearray, pos: int, length: int, flags: int, stream_id: int) -> None:
        p = buf
        end = pos + length
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        pad = 0
        if flags & PADDED:
            if pos >= end:
                raise ConnectionFault(FRAME_SIZE_ERROR, "no pad length")
            pad = p[pos]
            pos += 1
        self_dependent = False
        if flags & HAS_PRIORITY:
            if end - pos < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "no priority fields")
            self_dependent = ((p[pos] & 0x7F) << 24 | p[pos + 1] << 16 | p[pos + 2] << 8 | p[pos + 3]) == stream_id
            pos += 5
        if pad > end - pos:
            raise ConnectionFault(PROTOCOL_ERROR, "padding exceeds the frame")
        block = cut(buf, pos, end - pad)
        if flags & END_HEADERS:
            self.headers_complete(stream_id, flags & END_STREAM != 0, block)
        else:
            self.assembling = stream_id
            self.assembling_flags = flags
            self.assembling_parts = [block]
            self.assembling_size = len(block)
        if self_dependent:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "stream depends on itself")

    def read_headers(self, position: int, block: bytes) -> HeaderBlock:
        """Decode a header block: each one that comes, in order, whatever becomes of it, or the table would be wrong."""
        reader = self.reader
        if reader is None:
            limits = self.limits
            reader = self.reader = HeaderReader(4096, limits.max_header_bytes, limits.max_header_fields)
        return reader.read(position, block)

    def _trailers(self, stream: Stream, end: bool, block: HeaderBlock) -> None:
        reason = block.malformed
        if stream.recv_state == CLOSED:
            raise StreamFault(stream.id, STREAM_CLOSED, "HEADERS on a half-closed stream")
        if not end:
            reason = "trailers without END_STREAM"
        elif block.oversize:
            reason = TRAILERS_TOO_LARGE
        elif stream.content_left > 0:
            reason = "body differs from content-length"
        if reason:
            raise StreamFault(stream.id, PROTOCOL_ERROR, reason)
        self.guard.empty = 0
        stream.recv_state = CLOSED
        self.trailers_received(stream, block)
        if stream.send_state == CLOSED:
            self._forget(stream)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        parts = self.assembling_parts
        if parts is None:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        parts.append(payload)
        self.assembling_size += len(payload)
        if self.assembling_size > self.max_block_bytes or len(parts) > self.limits.max_header_fields:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "header block too large")
        if flags & END_HEADERS:
            self.assembling = 0
            self.assembling_parts = None
            self.headers_complete(stream_id, self.assembling_flags & END_STREAM != 0, b"".join(parts))

    def _control(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._window_update(stream_id, payload)
        elif kind == RST_STREAM:
            self._rst_stream(stream_id, payload)
        elif kind == PING:
            self._ping(flags, stream_id, payload)
        elif kind == SETTINGS:
            self._settings(flags, stream_id, payload)
        elif kind == CONTINUATION:
            self._continuation(flags, stream_id, payload)
        elif kind == GOAWAY:
            self._goaway(stream_id, payload)
        elif kind == PRIORITY:
            self._priority(stream_id, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE although push is off")
        else:
            # An extension, to be ignored (section 5.5).
            self.guard.idle_frame(self.now)

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self.guard.window_update()
        p = payload
        increment = (p[0] & 0x7F) << 24 | p[1] << 16 | p[2] << 8 | p[3]
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.send_window += increment
            self.widest_window = max(self.widest_window, self.send_window)
            if self.send_window > MAX_WINDOW_BYTES:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "connection window overflow")
            self.pump()
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if self.is_idle(stream_id):
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
            return
        if increment == 0:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW_BYTES:
            raise StreamFault(stream_id, FLOW_CONTROL_ERROR, "stream window overflow")
        if stream.queue is not None:
            self._pump_stream(stream, DEFAULT_MAX_FRAME_BYTES * 16)

    def _rst_stream(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        stream = self.streams.get(stream_id)
        if stream is None:
            if self.is_idle(stream_id):
                raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on an idle stream")
            self.guard.idle_frame(self.now)
            return
        self.reset_received(stream, int.from_bytes(payload, "big"))
        self.drop(stream)

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING of a wrong size")
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
        self.guard.idle_frame(self.now)
        if flags & ACK:
            self.ping_acked(payload)
        else:
            self._answer(encode_ping(payload, ack=True))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        size = len(payload)
        if size % 6 or (flags & ACK and size):
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if flags & ACK:
            if not self.peer_settings_seen:
                raise ConnectionFault(PROTOCOL_ERROR, "first frame is not SETTINGS")
            self.settings_acked = True
            self.guard.idle_frame(self.now)
            return
        if size > 6 * self.limits.max_settings_entries:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many settings")
        if not self.peer_settings_seen:
            # What the first SETTINGS do not limit is not limited.
            self.peer_max_streams = MAX_WINDOW_BYTES
        self.guard.settings_frame()
        values = {
            int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
            for at in range(0, size, 6)
        }
        for key, value in values.items():
            self._setting(key, value)
        self._answer(SETTINGS_ACK)
        self.peer_settings_seen = True
        self.settings_changed()
        self.pump()

    def _setting(self, key: int, value: int) -> None:
        if key == INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW_BYTES:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "initial window too large")
            delta = value - self.peer_initial_window
            self.peer_initial_window = value
            for stream in self.streams.values():
                # May well become negative, section 6.9.2.
                stream.send_window += delta
                if stream.send_window > MAX_WINDOW_BYTES:
                    raise ConnectionFault(FLOW_CONTROL_ERROR, "stream window overflow")
        elif key == MAX_CONCURRENT_STREAMS:
            self.peer_max_streams = value
        elif key == MAX_FRAME_SIZE:
            # We never send more than the minimum, so the value only has to be legal.
            if value < DEFAULT_MAX_FRAME_BYTES or value > 2**24 - 1:
                raise ConnectionFault(PROTOCOL_ERROR, "illegal SETTINGS_MAX_FRAME_SIZE")
        elif key == MAX_HEADER_LIST_SIZE:
            self.peer_max_list_bytes = value
        elif key == HEADER_TABLE_SIZE:
            self.limit_table(value)
        elif key == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "illegal SETTINGS_ENABLE_PUSH")

    def _goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self.guard.idle_frame(self.now)
        last = int.from_bytes(payload[:4], "big") & MAX_WINDOW_BYTES
        self.goaway_received(last, int.from_bytes(payload[4:8], "big"))

    def _priority(self, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamFault(stream_id, FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        self.guard.priority_frame()
        if int.from_bytes(payload[:4], "big") & MAX_WINDOW_BYTES == stream_id:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "stream depends on itself")

    def unknown_stream(self, stream_id: int, end: bool) -> None:
        """A frame of a body or a header block for a stream that is not, or no longer, known."""
        raise NotImplementedError

    # ---- the opening, and faults

    def start(self, preface: bytes = b"") -> None:
        """Queue our preface: SETTINGS and the connection's window."""
        grant = self.limits.connection_window_bytes - DEFAULT_WINDOW_BYTES
        self._put(preface + encode_settings(self.opening_settings()) + encode_window_update(0, grant))

    def _fail_stream(self, fault: StreamFault) -> None:
        stream = self.streams.get(fault.stream_id)
        if stream is not None:
            if self.blocked:
                self.guard.control_queued()
            self.stream_failed(stream, fault.code, fault.reason)
            self.reset(stream, fault.code)
        else:
            self.reset_sent(fault.stream_id)
            self._answer(encode_rst_stream(fault.stream_id, fault.code))
            self.stream_rejected(fault.code)
