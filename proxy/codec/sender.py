"""The sending half of an HTTP/2 connection, sans-I/O: output, flow control, and the ends of streams.

Invariants: DATA is never sent while a window is <= 0 (RFC 9113, section 6.9); what cannot go out waits in its stream,
in order, trailers last; bytes received for a stream are credited back only as its `peer` drains them. Where streams of
several clients share a connection (`is_shared`), one that is not drained leaves a part of a large window to the others.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from proxy.codec.constants import (
    DATA,
    DEFAULT_MAX_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    MAX_WINDOW_BYTES,
)
from proxy.codec.encoder import MAX_TABLE_BYTES, Encoder
from proxy.codec.frames import (
    encode_goaway,
    encode_head,
    encode_headers,
    encode_ping,
    encode_rst_stream,
    encode_window_update,
)
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import FloodGuard, Limits
from proxy.codec.stream import CLOSED, IDLE, OPEN, Stream

_MAX_UNSENT_BYTES = 64 * 1024
_JOIN_BYTES = 4096


def append_piece(pieces: deque[bytes] | list[bytes], payload: bytes) -> None:
    """Keep a piece of a body; tiny ones are joined, since an object each would cost many times their size."""
    last = len(pieces) - 1
    if last >= 0 and len(pieces[last]) + len(payload) <= _JOIN_BYTES:
        pieces[last] += payload
    else:
        pieces.append(payload)


def take_chunk(queue: deque[bytes], room: int) -> bytes:
    """Up to `room` bytes off the front of the queue, as one piece.

    Pieces are joined, since a receiver that credits each frame would else be sent ever smaller ones: every window that
    cuts a piece in two would leave its parts for good (the silly window syndrome, RFC 813).
    """
    chunk = queue.popleft()
    if len(chunk) < room and queue:
        parts = [chunk]
        size = len(chunk)
        while queue and size < room:
            part = queue.popleft()
            parts.append(part)
            size += len(part)
        chunk = b"".join(parts)
    if len(chunk) > room:
        queue.appendleft(chunk[room:])
        chunk = chunk[:room]
    return chunk


class Sender:
    """Base of `Connection`. `flushes` is the list, shared by all connections of a loop, of those with output."""

    __slots__ = (
        "backlog",
        "blocked",
        "closed",
        "dirty",
        "encoder",
        "fault",
        "flushes",
        "goaway_sent",
        "grown",
        "guard",
        "io",
        "is_shared",
        "last_peer_id",
        "limits",
        "open_streams",
        "out",
        "peer_initial_window",
        "peer_max_list_bytes",
        "peer_table_bytes",
        "send_window",
        "sent_block",
        "streams",
        "unsent",
        "waiting",
        "widest_window",
    )

    def __init__(self, limits: Limits, flushes: list[Any]) -> None:
        self.limits = limits
        self.flushes = flushes
        self.guard = FloodGuard(limits)
        self.streams: dict[int, Stream] = {}
        self.open_streams = 0
        self.out: list[bytes] = []
        self.unsent = 0
        self.dirty = False
        self.blocked = False
        # Bytes put out since the socket stopped taking them.
        self.backlog = 0
        self.closed = False
        self.fault = ""
        # Whoever moves the bytes; belongs to `net`.
        self.io: Any = None
        self.send_window = DEFAULT_WINDOW_BYTES
        self.widest_window = DEFAULT_WINDOW_BYTES
        self.grown = 0
        self.peer_initial_window = DEFAULT_WINDOW_BYTES
        self.peer_max_list_bytes = MAX_WINDOW_BYTES
        self.peer_table_bytes = MAX_TABLE_BYTES
        self.encoder: Encoder | None = None
        self.is_shared = False
        self.last_peer_id = 0
        self.goaway_sent = -1
        self.sent_block = False
        self.waiting: dict[int, Stream] | None = None

    def stream_closed(self, stream: Stream) -> None:
        """Both halves are closed and the stream is no longer in `streams`."""
        raise NotImplementedError

    # ---- output

    def take(self) -> bytes:
        """All output so far, to be written at once; clears it."""
        out = self.out
        data = out[0] if len(out) == 1 else b"".join(out)
        if self.blocked:
            self.backlog += len(data)
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
        # It must never increase (RFC 9113, section 6.8).
        if 0 <= self.goaway_sent < last_stream_id:
            last_stream_id = self.goaway_sent
        self.goaway_sent = last_stream_id
        self._put(encode_goaway(last_stream_id, code, debug))

    def fail(self, code: int, reason: str) -> None:
        """End the connection for a fault of the peer; `lost` then ends its streams."""
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

    def send_block(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        """Pass a header block on, the cheapest way."""
        if block.bulky and stream.queue is None and self.peer_table_bytes:
            if self.encoder is None:
                self.encoder = Encoder(self.peer_table_bytes)
            self.send_headers(stream, self.encoder.encode(block.fields), end)
        else:
            self.send_headers(stream, block.encoded, end)

    def limit_table(self, size_bytes: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE."""
        self.peer_table_bytes = min(size_bytes, MAX_TABLE_BYTES)
        # The next block empties its table (section 4.3.1); a new encoder may then begin anew.
        self.encoder = None
        self.sent_block = False

    def send_headers(self, stream: Stream, block: bytes, end: bool) -> None:
        """A header block; with `end` the last thing of the stream. Waits behind the body that is still queued."""
        if stream.queue is not None:
            stream.queue_trailers = block
            stream.queue_end = end
            return
        if not self.sent_block:
            # We do not use the peer's table until there is an encoder: say so, whatever its size is (RFC 7541, 4.2).
            self.sent_block = True
            block = b"\x20" + block
        size = len(block)
        out = self.out
        if size <= DEFAULT_MAX_FRAME_BYTES:
            out.append(encode_head(size, HEADERS, END_HEADERS | END_STREAM if end else END_HEADERS, stream.id))
            out.append(block)
        else:
            out.append(encode_headers(stream.id, block, end))
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
        if stream.queue is None and (
            # An empty frame needs no window (section 6.9.1).
            size == 0
            or (
                size <= stream.send_window
                and size <= self._window(stream)
                and size <= DEFAULT_MAX_FRAME_BYTES
                and not self.blocked
                and self.unsent <= _MAX_UNSENT_BYTES
            )
        ):
            self._write_data(stream, payload, size, end)
            return
        if stream.queue is None:
            stream.queue = deque()
            if self.waiting is None:
                self.waiting = {}
            self.waiting[stream.id] = stream
        if size:
            append_piece(stream.queue, payload)
        stream.queue_end = end
        if not self.blocked and len(stream.queue) == 1:
            self._pump_stream(stream, DEFAULT_MAX_FRAME_BYTES)

    def _window(self, stream: Stream) -> int:
        """What the stream may take of the connection's window.

        A receiver may credit both windows only as it drains a stream (Go's net/http does). So beside others a stream
        may have three times of what is left sent and not credited: one that is stalled takes three quarters, n of them
        3n/(3n+1). But the 64 KiB that a receiver has to be ready for it may always have: some read a body whole. And
        where a stream's window is larger than the connection's, what it lacks says nothing: it may be credited by the
        half.
        """
        uncredited = self.peer_initial_window - stream.send_window
        if (
            not self.is_shared
            or self.open_streams == 1
            or uncredited < DEFAULT_WINDOW_BYTES
            or self.peer_initial_window > self.widest_window
        ):
            return self.send_window
        return (3 * self.send_window - uncredited) // 4

    def _write_data(self, stream: Stream, payload: bytes, size: int, end: bool) -> None:
        out = self.out
        out.append(encode_head(size, DATA, END_STREAM if end else 0, stream.id))
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
        """Send up to `budget` bytes of what is queued; False where it still waits for a window or the socket."""
        queue = stream.queue
        if queue is None:
            return True
        while queue:
            room = min(stream.send_window, self._window(stream), DEFAULT_MAX_FRAME_BYTES)
            if room <= 0 or budget <= 0 or self.blocked or self.unsent > _MAX_UNSENT_BYTES:
                return False
            chunk = take_chunk(queue, room)
            size = len(chunk)
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
        waiting = self.waiting
        progress = True
        while progress and waiting:
            progress = False
            for stream in list(waiting.values()):
                if self.blocked or self.send_window <= 0 or self.unsent > _MAX_UNSENT_BYTES:
                    return
                before = self.send_window
                if not self._pump_stream(stream, DEFAULT_MAX_FRAME_BYTES) and self.send_window != before:
                    # It had its turn: next time the others come first.
                    waiting[stream.id] = waiting.pop(stream.id)
                if self.send_window != before:
                    progress = True

    def unblock(self) -> None:
        """The socket takes bytes again."""
        self.blocked = False
        self.backlog = 0
        self.guard.control_flushed()
        self.pump()

    def credit(self, stream: Stream, size: int) -> None:
        """`size` received bytes of the stream were passed on: give them back to the sender, half a window at a time."""
        stream.uncredited += size
        if 2 * stream.uncredited < stream.window_target or stream.recv_state == CLOSED:
            return
        # A replayed body drains twice, but is credited once: never above the target.
        grant = min(stream.uncredited, stream.window_target - stream.recv_window)
        stream.uncredited = 0
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
        if grant > 0:
            stream.recv_window += grant
            self._put(encode_window_update(stream.id, grant))

    # ---- the end of streams

    def reset(self, stream: Stream, code: int) -> None:
        """RST_STREAM, and forget the stream; frames that are under way for it are dropped when they come."""
        if self.streams.get(stream.id) is not stream:
            return
        if stream.recv_state != CLOSED:
            self.reset_sent(stream.id)
        self._put(encode_rst_stream(stream.id, code))
        self.drop(stream)

    def reset_sent(self, stream_id: int) -> None:
        """The peer may not know yet: frames for the stream can still come."""

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
        if self.is_shared and self.open_streams == 1 and self.waiting:
            # Who is alone may have the whole window, see `_window`.
            self.pump()
        self.stream_closed(stream)
