"""One HTTP/2 connection, sans-I/O: bytes in through `feed`, bytes out through `take`, events through overridden methods.

Owns framing, settings, both levels of flow control, header-block assembly and the floods' bounds (RFC 9113, sections 4 to 6).
What differs by role is in `server` and `client`; what is done with an event is the relay's.

Invariants: any chunking of the input gives the same events and output; DATA is never sent while a window is <= 0; bytes
received for a stream are credited back only as its `peer` drains them, the connection's own window on receipt.
"""

from __future__ import annotations

from collections import deque
from typing import Any

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
    encode_goaway,
    encode_head,
    encode_headers,
    encode_id,
    encode_ping,
    encode_rst_stream,
    encode_settings,
    encode_window_update,
)
from proxy.codec.headers import HeaderBlock, HeaderReader
from proxy.codec.limits import FloodGuard, Limits
from proxy.codec.stream import CLOSED, IDLE, OPEN, Stream

_ZERO_ID = bytes(4)
# Streams that we reset and whose peer may not know yet: frames for them are dropped, not faults.
_MAX_LIMBO = 1_000
_MAX_UNSENT_BYTES = 256 * 1024


class Connection:
    """Base of `Server` and `Client`. `flushes` is the list, shared by all connections of a loop, of those with output."""

    __slots__ = (
        "assembling",
        "assembling_flags",
        "assembling_parts",
        "assembling_size",
        "blocked",
        "closed",
        "dirty",
        "fault",
        "flushes",
        "goaway_sent",
        "grown",
        "guard",
        "io",
        "last_peer_id",
        "limbo",
        "limits",
        "now",
        "open_streams",
        "out",
        "peer_initial_window",
        "peer_max_streams",
        "peer_settings_seen",
        "reader",
        "recv_uncredited",
        "recv_window",
        "send_window",
        "sent_block",
        "settings_acked",
        "streams",
        "unsent",
        "waiting",
    )

    def __init__(self, limits: Limits, flushes: list[Connection]) -> None:
        self.limits = limits
        self.flushes = flushes
        self.guard = FloodGuard(limits)
        self.reader = HeaderReader(
            max_list_bytes=limits.max_header_bytes, max_fields=limits.max_header_fields, max_table_bytes=4096
        )
        self.streams: dict[int, Stream] = {}
        self.open_streams = 0
        self.out: list[bytes] = []
        self.unsent = 0
        self.dirty = False
        self.blocked = False
        self.closed = False
        self.now = 0.0
        self.fault = ""
        # Whoever moves the bytes; belongs to `net`.
        self.io: Any = None
        self.send_window = DEFAULT_WINDOW_BYTES
        self.recv_window = limits.connection_window_bytes
        self.recv_uncredited = 0
        self.grown = 0
        self.peer_initial_window = DEFAULT_WINDOW_BYTES
        self.peer_max_streams = limits.max_concurrent_streams
        self.peer_settings_seen = False
        self.settings_acked = False
        self.last_peer_id = 0
        self.goaway_sent = -1
        self.sent_block = False
        self.assembling = 0
        self.assembling_flags = 0
        self.assembling_size = 0
        self.assembling_parts: list[bytes] | None = None
        self.limbo: dict[int, None] | None = None
        self.waiting: dict[int, Stream] | None = None

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

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        raise NotImplementedError

    def ping_acked(self, opaque: bytes) -> None:
        raise NotImplementedError

    def settings_changed(self) -> None:
        """The peer's SETTINGS were applied."""
        raise NotImplementedError

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        raise NotImplementedError

    def stream_closed(self, stream: Stream) -> None:
        """Both halves are closed and the stream is no longer in `streams`."""
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
        if self.closed:
            return end
        try:
            while end - pos >= 9:
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
                        self._control(kind, flags, stream_id, bytes(p[pos:after]))
                except StreamFault as fault:
                    self._fail_stream(fault)
                pos = after
                if self.closed:
                    return end
        except ConnectionFault as fault:
            self.fail(fault.code, fault.reason)
            return end
        return pos

    def _data(self, buf: bytearray, pos: int, length: int, flags: int, stream_id: int) -> None:
        p = buf
        self.recv_window -= length
        if self.recv_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "connection window overrun")
        self.recv_uncredited += length
        if 2 * self.recv_uncredited >= self.limits.connection_window_bytes:
            self.recv_window += self.recv_uncredited
            self._put(encode_window_update(_ZERO_ID, self.recv_uncredited))
            self.recv_uncredited = 0
        stream = self.streams.get(stream_id)
        if stream is None:
            self._unknown_stream(stream_id, flags & END_STREAM != 0)
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
        self.data_received(stream, bytes(p[pos : pos + size]), end)
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
            self_dependent = (
                (p[pos] & 0x7F) << 24 | p[pos + 1] << 16 | p[pos + 2] << 8 | p[pos + 3]
            ) == stream_id
            pos += 5
        if pad > end - pos:
            raise ConnectionFault(PROTOCOL_ERROR, "padding exceeds the frame")
        block = bytes(p[pos : end - pad])
        if flags & END_HEADERS:
            self.headers_complete(stream_id, flags & END_STREAM != 0, block)
        else:
            self.assembling = stream_id
            self.assembling_flags = flags
            self.assembling_parts = [block]
            self.assembling_size = len(block)
        if self_dependent:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "stream depends on itself")

    def _trailers(self, stream: Stream, end: bool, block: HeaderBlock) -> None:
        reason = block.malformed
        if stream.recv_state == CLOSED:
            raise StreamFault(stream.id, STREAM_CLOSED, "HEADERS on a half-closed stream")
        if not end:
            reason = "trailers without END_STREAM"
        elif block.oversize:
            reason = "trailers too large"
        elif stream.content_left > 0:
            reason = "body differs from content-length"
        if reason:
            raise StreamFault(stream.id, PROTOCOL_ERROR, reason)
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
        if self.assembling_size > self.limits.max_header_bytes or len(parts) > self.limits.max_header_fields:
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
        # Any other type is an extension, to be ignored (section 5.5).

    def _window_update(self, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self.guard.window_update()
        increment = int.from_bytes(payload, "big") & MAX_WINDOW_BYTES
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self.send_window += increment
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
            if self.limbo is not None:
                self.limbo.pop(stream_id, None)
            return
        self.reset_received(stream, int.from_bytes(payload, "big"))
        self.drop(stream)

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PING of a wrong size")
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
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
            return
        if size > 6 * self.limits.max_settings_entries:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many settings")
        for at in range(0, size, 6):
            self._setting(int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big"))
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
        elif key == ENABLE_PUSH and value > 1:
            raise ConnectionFault(PROTOCOL_ERROR, "illegal SETTINGS_ENABLE_PUSH")

    def _goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id != 0:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
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

    def _unknown_stream(self, stream_id: int, end: bool) -> None:
        """A frame of a body or a header block for a stream that is not, or no longer, known."""
        if self.limbo is not None and stream_id in self.limbo:
            if end:
                del self.limbo[stream_id]
            return
        if self.is_idle(stream_id):
            raise ConnectionFault(PROTOCOL_ERROR, "frame on an idle stream")
        raise ConnectionFault(STREAM_CLOSED, "frame on a closed stream")

    # ---- output

    def start(self, preface: bytes = b"") -> None:
        """Queue our preface: SETTINGS and the connection's window."""
        grant = self.limits.connection_window_bytes - DEFAULT_WINDOW_BYTES
        self._put(preface + encode_settings(self.opening_settings()) + encode_window_update(_ZERO_ID, grant))

    def take(self) -> bytes:
        """All output so far, to be written at once; clears it."""
        out = self.out
        data = out[0] if len(out) == 1 else b"".join(out)
        self.out = []
        self.unsent = 0
        self.dirty = False
        return data

    def _put(self, frame: bytes) -> None:
        self.out.append(frame)
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)

    def _answer(self, frame: bytes) -> None:
        """A frame that the peer made us send: bounded while it does not read."""
        if self.blocked:
            self.guard.control_queued()
        self._put(frame)

    def ping(self, opaque: bytes) -> None:
        self._put(encode_ping(opaque))

    def goaway(self, last_stream_id: int, code: int, debug: bytes = b"") -> None:
        self.goaway_sent = last_stream_id
        self._put(encode_goaway(last_stream_id, code, debug))

    def fail(self, code: int, reason: str) -> None:
        """End the connection for a fault of the peer. Its streams are the caller's to end (`streams` still holds them)."""
        if not self.closed:
            self.goaway(self.last_peer_id, code, reason.encode())
            self.fault = reason
            self.close()

    def close(self) -> None:
        """Nothing more is taken or sent; whoever flushes ends the socket."""
        self.closed = True
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)

    def send_headers(self, stream: Stream, block: bytes, end: bool) -> None:
        """A header block; with `end` the last thing of the stream. Waits behind the body that is still queued."""
        if stream.queue is not None:
            stream.queue_trailers = block
            stream.queue_end = end
            return
        if not self.sent_block:
            # We never use the peer's table: say so once, whatever its size is (RFC 7541, section 4.2).
            self.sent_block = True
            block = b"\x20" + block
        size = len(block)
        out = self.out
        if size <= DEFAULT_MAX_FRAME_BYTES:
            out.append(encode_head(size, HEADERS, END_HEADERS | END_STREAM if end else END_HEADERS))
            out.append(stream.wire_id)
            out.append(block)
        else:
            out.append(encode_headers(stream.wire_id, block, end))
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)
        if stream.send_state == IDLE:
            stream.send_state = OPEN
        if end:
            self._send_closed(stream)

    def send_data(self, stream: Stream, payload: bytes, end: bool) -> None:
        """Pass on `payload` (at most one frame's worth), or queue what no window or the socket takes now.

        What goes out is credited to `stream.peer`, from where it came.
        """
        size = len(payload)
        if (
            stream.queue is None
            and size <= stream.send_window
            and size <= self.send_window
            and size <= DEFAULT_MAX_FRAME_BYTES
            and not self.blocked
            and self.unsent <= _MAX_UNSENT_BYTES
        ):
            self._write_data(stream, payload, size, end)
            return
        if stream.queue is None:
            stream.queue = deque()
            if self.waiting is None:
                self.waiting = {}
            self.waiting[stream.id] = stream
        if size:
            stream.queue.append(payload)
        stream.queue_end = end
        if not self.blocked and len(stream.queue) == 1:
            self._pump_stream(stream, DEFAULT_MAX_FRAME_BYTES)

    def _write_data(self, stream: Stream, payload: bytes, size: int, end: bool) -> None:
        out = self.out
        out.append(encode_head(size, DATA, END_STREAM if end else 0))
        out.append(stream.wire_id)
        out.append(payload)
        stream.send_window -= size
        self.send_window -= size
        self.unsent += size
        self.guard.data_sent += 1
        if not self.dirty:
            self.dirty = True
            self.flushes.append(self)
        source = stream.peer
        if source is not None:
            conn = source.conn
            conn.credit(source, size)
        if end:
            self._send_closed(stream)

    def _pump_stream(self, stream: Stream, budget: int) -> bool:
        """Send up to `budget` bytes of what the stream has queued; False where it still waits for a window or the socket."""
        queue = stream.queue
        if queue is None:
            return True
        while queue:
            chunk = queue[0]
            size = len(chunk)
            room = min(stream.send_window, self.send_window, DEFAULT_MAX_FRAME_BYTES)
            if room <= 0 or budget <= 0 or self.blocked or self.unsent > _MAX_UNSENT_BYTES:
                return False
            if size > room:
                queue[0] = chunk[room:]
                chunk = chunk[:room]
                size = room
            else:
                queue.popleft()
            budget -= size
            self._write_data(stream, chunk, size, stream.queue_end and not queue and stream.queue_trailers is None)
            if stream.queue is None:
                return True
        self._unqueue(stream)
        trailers = stream.queue_trailers
        if trailers is not None:
            stream.queue_trailers = None
            self.send_headers(stream, trailers, stream.queue_end)
        elif stream.queue_end and stream.send_state != CLOSED:
            self._write_data(stream, b"", 0, True)
        return True

    def pump(self) -> None:
        """Share what the windows and the socket take among the streams that wait, a frame each in turn."""
        progress = True
        while progress and self.waiting and self.send_window > 0:
            progress = False
            if self.blocked or self.unsent > _MAX_UNSENT_BYTES:
                return
            for stream in list(self.waiting.values()):
                before = self.send_window
                self._pump_stream(stream, DEFAULT_MAX_FRAME_BYTES)
                if self.send_window != before:
                    progress = True

    def credit(self, stream: Stream, size: int) -> None:
        """`size` received bytes of the stream have been passed on: give them back to the sender, half a window at a time."""
        stream.uncredited += size
        if 2 * stream.uncredited < stream.window_target or stream.recv_state == CLOSED:
            return
        # A replayed body drains twice, but is credited once: never above the target.
        grant = min(stream.uncredited, stream.window_target - stream.recv_window)
        limits = self.limits
        growth = stream.window_target
        other = stream.peer
        if (
            other is not None
            and other.queue is None
            and stream.window_target < limits.max_stream_window_bytes
            and self.grown + growth <= limits.growth_bytes
        ):
            # Nothing waits behind it: the window, not the receiver, is what slows this stream.
            self.grown += growth
            stream.window_target += growth
            grant += growth
        stream.uncredited = 0
        stream.recv_window += grant
        self._put(encode_window_update(stream.wire_id, grant))

    # ---- the end of streams

    def reset(self, stream: Stream, code: int) -> None:
        """RST_STREAM, and forget the stream; frames that are under way for it are dropped when they come."""
        if self.streams.get(stream.id) is not stream:
            return
        if stream.recv_state != CLOSED:
            self._enter_limbo(stream.id)
        self._answer(encode_rst_stream(stream.wire_id, code))
        self.drop(stream)

    def _enter_limbo(self, stream_id: int) -> None:
        if self.limbo is None:
            self.limbo = {}
        elif len(self.limbo) >= _MAX_LIMBO:
            del self.limbo[next(iter(self.limbo))]
        self.limbo[stream_id] = None

    def _fail_stream(self, fault: StreamFault) -> None:
        stream = self.streams.get(fault.stream_id)
        if stream is not None:
            self.stream_failed(stream, fault.code, fault.reason)
            self.reset(stream, fault.code)
        else:
            self.guard.stream_reset_early()
            self._enter_limbo(fault.stream_id)
            self._answer(encode_rst_stream(encode_id(fault.stream_id), fault.code))

    def _send_closed(self, stream: Stream) -> None:
        stream.send_state = CLOSED
        if stream.recv_state == CLOSED:
            self._forget(stream)

    def _unqueue(self, stream: Stream) -> None:
        stream.queue = None
        if self.waiting is not None:
            self.waiting.pop(stream.id, None)

    def drop(self, stream: Stream) -> None:
        """Forget a stream that was reset or never processed; whatever it still had queued will not be sent."""
        stream.recv_state = CLOSED
        stream.send_state = CLOSED
        if stream.queue is not None:
            self._unqueue(stream)
            stream.queue_trailers = None
        self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        self.open_streams -= 1
        self.grown -= stream.window_target - self.limits.stream_window_bytes
        self.stream_closed(stream)
