"""Between asyncio's transports and the sans-I/O connections: bytes in, bytes out, back-pressure, the end of a socket.

ONE read buffer serves all connections of a loop: it is parsed to the end before the next read, and only an unfinished
frame is kept. All output of one read goes out in one write per connection. OS errors stop here (DESIGN 2, 3.1).
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import sys
import termios
from collections.abc import Callable
from time import monotonic
from typing import Any

from proxy.codec.connection import Connection
from proxy.codec.constants import TURN
from proxy.codec.errors import Http1Spoken
from proxy.metrics.handles import TcpMetrics
from proxy.net.log import log_bug
from proxy.net.turns import Turns

READ_BUFFER_BYTES = 128 * 1024
_HIGH_WATER_BYTES = 64 * 1024
# Who sends this much at once lets the others have a turn.
_FAIR_BYTES = 32 * 1024
# A peer that sends a preface or a frame so slowly holds memory, or the others on its connection, for nothing.
PARTIAL_S = 10.0
# How long we wait after our last byte for the peer's end, so that its unread bytes do not turn ours into a reset.
_LINGER_S = 1.0
# In one turn of the loop so many chunks are read of all connections of HTTP/1, and then so many of each.
_CHUNKS = 2 * TURN
_FEW = 64
# One that takes nothing for so long of what it is still owed will not take it any more.
_SHUT_S = 300.0


class ReadBuffer:
    """The loop's one read buffer. Owned by whoever reads, from `get_buffer` to the end of `buffer_updated`.

    What may wait: `ends` of clients, of whom thousands may end at once, and `rests` of those who send so much to read.
    """

    __slots__ = ("chunks", "data", "ends", "most", "rests", "view")

    def __init__(self) -> None:
        self.data = bytearray(READ_BUFFER_BYTES)
        self.view = memoryview(self.data)
        self.ends, self.rests = Turns(), Turns()
        # How many were read in this turn, and how many may be of the next connection.
        self.chunks = 0
        self.most = TURN

    def took(self, chunks: int) -> None:
        if not self.chunks:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self.chunks += chunks
        if self.chunks >= _CHUNKS:
            self.most = _FEW

    def _end_turn(self) -> None:
        self.chunks = 0
        self.most = TURN

    def make_room(self, size: int) -> None:
        """Be large enough for a read behind so many bytes: a head of HTTP/1 that the settings allow may be larger."""
        if size + READ_BUFFER_BYTES > len(self.data):
            self.data = bytearray(2 * size + READ_BUFFER_BYTES)
            self.view = memoryview(self.data)


def flush(flushes: list[Any]) -> None:
    """Write what every connection has to say; that may make others speak. Nothing called from here may flush."""
    while flushes:
        conn = flushes.pop()
        adapter: Adapter | None = conn.io
        if adapter is None:
            conn.dirty = False
            continue
        try:
            adapter.write_out()
        except Exception as bug:  # It has lost bytes; the others have not.
            adapter.end_for(bug)


class Adapter:
    """One socket. `ended(adapter, error)` is called when it is gone; `error` is '' for an orderly end.

    `hand_over(adapter, nbytes)` gets a client whose first bytes, so many in the buffer, turn out to be HTTP/1.

    An asyncio.BufferedProtocol by its methods, not by inheritance: a compiled class has no Python parents.
    """

    __slots__ = (
        "address",
        "buffer",
        "conn",
        "ended",
        "frames_asked",
        "frames_before",
        "hand_over",
        "opened_s",
        "progress_s",
        "sent_before",
        "shutting",
        "tail",
        "tcp",
        "transport",
        "whole_s",
        "written",
        "written_asked",
    )

    def __init__(
        self,
        conn: Connection,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        ended: Callable[[Adapter, str], None],
        hand_over: Callable[[Adapter, int], None] | None = None,
    ) -> None:
        self.conn = conn
        conn.io = self
        self.buffer = buffer
        self.tcp = tcp
        self.ended = ended
        self.hand_over = hand_over
        self.tail = b""
        self.transport: Any = None
        self.shutting = False
        self.opened_s = monotonic()
        # For whoever sweeps: DATA frames sent at its last look, and when that last changed.
        self.sent_before = 0
        self.progress_s = self.opened_s
        # The same for what comes in: whole frames, and when the last one was there.
        self.frames_before = 0
        self.whole_s = self.opened_s
        # Bytes written; and what was written and had come when it was last asked whether that is in doubt.
        self.written = 0
        self.written_asked = 0
        self.frames_asked = 0

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self.tcp.opened += 1
        self.conn.start()
        flush(self.conn.flushes)

    def get_buffer(self, sizehint: int) -> memoryview:
        size = len(self.tail)
        if size == 0:
            return self.buffer.view
        self.buffer.data[:size] = self.tail
        return self.buffer.view[size:]

    def buffer_updated(self, nbytes: int) -> None:
        self.tcp.read_bytes += nbytes
        conn = self.conn
        data = self.buffer.data
        end = nbytes + len(self.tail)
        try:
            taken = conn.feed(data, 0, end, monotonic())
            self.tail = bytes(data[taken:end]) if taken < end else b""
            flush(conn.flushes)
            if nbytes >= _FAIR_BYTES and self.transport is not None and not self.shutting:
                # libuv would read this socket up to 32 times before it looks at another.
                self.transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._read_on)
        except Http1Spoken:
            self._give_away(end)
        except Exception as bug:  # One connection's bug must not take the others along.
            self.end_for(bug)

    def _give_away(self, nbytes: int) -> None:
        if self.hand_over is None:
            self.abort()
            return
        try:
            self.hand_over(self, nbytes)
        except Exception as bug:
            self.end_for(bug)

    def release(self) -> Any:
        """Its transport, for another to go on with; nothing is known of it here any more."""
        transport = self.transport
        self.transport = None
        self.conn.io = None
        return transport

    def _read_on(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing():
            transport.resume_reading()

    def eof_received(self) -> bool:
        """A client's end may wait; what an endpoint's end means for requests may not."""
        if self.hand_over is None:
            return False
        self.buffer.ends.add(self._close)
        return True

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def pause_writing(self) -> None:
        self.conn.blocked = True

    def resume_writing(self) -> None:
        conn = self.conn
        try:
            conn.unblock()
            flush(conn.flushes)
        except Exception as bug:
            self.end_for(bug)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.tcp.close(describe_errno(exc))
        try:
            if not self.shutting:
                self.conn.lost(describe(exc) or "closed by the peer", monotonic())
            self.ended(self, describe(exc))
            flush(self.conn.flushes)
            self.conn.io = None
        except Exception as bug:
            self.end_for(bug)

    # ---- the connection's side

    def write_out(self) -> None:
        conn = self.conn
        while conn.out:
            data = conn.take()
            if self.transport is not None:
                self.tcp.write_bytes += len(data)
                self.written += len(data)
                self.transport.write(data)
            if conn.waiting and not conn.blocked:
                conn.pump()
        conn.dirty = False
        if conn.closed and not self.shutting:
            self.shut()

    def shut(self) -> None:
        """Send what is queued, then our end; wait a little for the peer's."""
        self.shutting = True
        transport = self.transport
        if transport is None:
            return
        self.conn.lost(self.conn.fault, monotonic())
        if self.conn.out:
            self.write_out()
        if transport.is_closing():
            return
        transport.write_eof()
        linger(self)

    def is_stuck(self, now: float, timeout_s: float) -> bool:
        """Whether the preface, a frame or a header block has been incomplete for too long, however it dribbles in.

        To be asked every second or so.
        """
        conn = self.conn
        partial = not conn.peer_settings_seen or self.tail or conn.assembling
        if not partial or conn.frames != self.frames_before:
            self.frames_before = conn.frames
            self.whole_s = now
        return now - self.whole_s > timeout_s

    def is_doubtful(self) -> bool:
        """Whether the peer was sent something and has said nothing since this was last asked, for `patience`."""
        frames = self.conn.frames
        if frames != self.frames_asked:
            self.frames_asked = frames
            return False
        has_written = self.written != self.written_asked
        self.written_asked = self.written
        return has_written

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        if self.transport is not None:
            self.transport.abort()

    def end_for(self, bug: Exception) -> None:
        log_bug("a connection was ended by a bug in the proxy", bug)
        self.abort()


def tune_socket(sock: socket.socket | None, user_timeout_s: float) -> None:
    """No Nagle; and an idle peer that is gone without a word is found within `user_timeout_s` (DESIGN 3.2).

    One that is owed something is not idle, and `patience` finds it.
    What a listening socket is told, those that it accepts inherit, without a socket object for each. None is what a
    transport has that was closed at once.
    """
    if sock is None:
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(user_timeout_s / 2)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(user_timeout_s / 4)))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    except OSError:
        # The peer may be gone already; the read says so next.
        return


def linger(adapter: Any, unsent_before: int = -1, progress_s: float = 0.0) -> None:
    """Wait while the peer is still owed something, though it may pause; then close. Not for who broke the protocol."""
    transport = adapter.transport
    if transport is None:
        return
    unsent, now = count_unsent(transport), monotonic()
    if unsent != unsent_before:
        progress_s = now
    if unsent_before >= 0 and (unsent == 0 or now - progress_s >= _SHUT_S or adapter.conn.fault):
        transport.abort()
    else:
        asyncio.get_running_loop().call_later(_LINGER_S, linger, adapter, unsent, progress_s)


def count_unsent(transport: Any) -> int:
    """Bytes that the peer has not acknowledged, ours and the kernel's (tcp(7), SIOCOUTQ)."""
    queued = bytearray(4)
    fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
    return int(transport.get_write_buffer_size()) + int.from_bytes(queued, sys.byteorder)


def describe_errno(error: BaseException | None) -> str:
    """The label `errno` of tcp_close_total: a name such as ECONNRESET, or '' for an orderly end."""
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, "") if isinstance(number, int) else ""


def describe(error: BaseException | None) -> str:
    """A few words for a person, '' for an orderly end."""
    if error is None:
        return ""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
