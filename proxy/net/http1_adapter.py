"""Between asyncio's transports and HTTP/1 connections: bytes in, bytes out, pauses, half-closes, the end of a socket.

As `proxy/net/adapter.py`, with the loop's one read buffer and one write per flush; but here back-pressure is not to
read, and an end of input is not the end of the connection. Works for a socket that was accepted elsewhere, too: what
was only peeked at is read here.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any

import proxy.net.send as sockets  # compiled, it is csend.pxd
from proxy.codec.constants import TURN
from proxy.codec.h1_client import Http1Client
from proxy.codec.h1_connection import HEAD_COST, Http1Connection
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import READ_BUFFER_BYTES, ReadBuffer, describe, describe_errno, linger
from proxy.net.log import log_bug

_HIGH_WATER_BYTES = 64 * 1024
# Who sends this much at once lets the others have a turn.
_FAIR_BYTES = 32 * 1024
# Who has sent more than a turn's work is read in such pieces, so that little waits here.
_LITTLE_BYTES = 16 * 1024
# So much is taken of what had come when a connection broke, whether or not the other side reads.
_REST_BYTES = 256 * 1024
_HEAD_COST = HEAD_COST
_NO_LINGER = struct.pack("ii", 1, 0)


def flush_http1(flushes: list[Any]) -> None:
    """Do what every connection has to do; that may give others something to do. Nothing called from here may flush."""
    while flushes:
        conn = flushes.pop()
        adapter: Http1Adapter | None = conn.io
        if adapter is None:
            conn.dirty = False
            continue
        try:
            adapter.settle()
        except Exception as bug:  # The others are not to wait for ever.
            adapter.end_for(bug)


class Http1Adapter:
    """One socket. `ended(adapter, error)` is called when it is gone; `error` is '' for an orderly end.

    `tail` is what came and could not be taken yet; while there is some and the connection is paused, nothing is read.
    """

    __slots__ = (
        "buffer",
        "conn",
        "ended",
        "error",
        "fd",
        "finished",
        "keeps_some",
        "opened_s",
        "read_paused",
        "reads_little",
        "shutting",
        "tail",
        "tcp",
        "transport",
    )

    def __init__(
        self,
        conn: Http1Connection,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        ended: Callable[[Http1Adapter, str], None],
    ) -> None:
        self.conn = conn
        conn.io = self
        self.buffer = buffer
        self.tcp = tcp
        self.ended = ended
        self.tail = b""
        self.transport: Any = None
        self.fd = -1
        # The transport keeps bytes that the socket did not take, or did when it was last looked at.
        self.keeps_some = False
        # What the socket said when it was written to.
        self.error: OSError | None = None
        self.opened_s = monotonic()
        self.read_paused = False
        # Its last read was more than a turn's work.
        self.reads_little = False
        self.finished = False
        self.shutting = False

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self.tcp.opened += 1

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        size = len(self.tail)
        if size == 0 and not self.reads_little:
            return self.buffer.data
        if size > READ_BUFFER_BYTES // 2:
            self.buffer.make_room(size)
        self.buffer.data[:size] = self.tail
        end = size + _LITTLE_BYTES if self.reads_little else len(self.buffer.data)
        return self.buffer.view[size:end]

    def buffer_updated(self, nbytes: int) -> None:
        conn = self.conn
        try:
            self._feed(nbytes)
            flush_http1(conn.flushes)
            if nbytes >= _FAIR_BYTES and self.transport is not None and not self.shutting and not self.read_paused:
                # libuv would read this socket up to 32 times before it looks at another.
                self.transport.pause_reading()
                asyncio.get_running_loop().call_soon(self._read_on)
        except Exception as bug:  # One connection's bug must not take the others along.
            self.end_for(bug)

    def _feed(self, nbytes: int) -> None:
        self.tcp.read_bytes += nbytes
        data = self.buffer.data
        end = nbytes + len(self.tail)
        conn = self.conn
        conn.most = self.buffer.most
        taken = conn.feed(data, 0, end, monotonic())
        self.tail = bytes(data[taken:end]) if taken < end else b""
        if conn.turn > _HEAD_COST:
            self.buffer.took(conn.turn)
            self.reads_little = conn.resting

    def _read_on(self) -> None:
        transport = self.transport
        if transport is not None and not transport.is_closing() and not self.read_paused:
            transport.resume_reading()

    def eof_received(self) -> bool:
        """A client's end may wait; what an endpoint's end means for requests may not."""
        if isinstance(self.conn, Http1Client):
            self._peer_ended()
        else:
            self.buffer.ends.add(self._peer_ended)
        return True

    def _peer_ended(self) -> None:
        """The peer may still want what it has asked for; the connection closes itself if there is nothing."""
        conn = self.conn
        if self.transport is None:
            return
        try:
            if self.shutting:
                self.transport.close()
                return
            conn.peer_ended(monotonic())
            flush_http1(conn.flushes)
        except Exception as bug:
            self.end_for(bug)

    def pause_writing(self) -> None:
        try:
            self.conn.block()
        except Exception as bug:
            self.end_for(bug)

    def resume_writing(self) -> None:
        conn = self.conn
        try:
            conn.unblock()
            flush_http1(conn.flushes)
        except Exception as bug:
            self.end_for(bug)

    def connection_lost(self, exc: Exception | None) -> None:
        transport, self.transport = self.transport, None
        exc = exc or self.error
        self.tcp.close(describe_errno(exc))
        conn = self.conn
        try:
            if exc is not None and isinstance(conn, Http1Client):
                self._read_rest(transport)
            if not conn.closed:
                conn.lost(describe(exc) or "closed by the peer", monotonic())
            self.ended(self, describe(exc))
            flush_http1(conn.flushes)
            conn.io = None
        except Exception as bug:
            self.end_for(bug)

    def _read_rest(self, transport: Any) -> None:
        """An endpoint may answer, and close, without reading all of a request (RFC 9112, section 9.5).

        Then it is a write that fails, and the loop reads no more; but the answer is there already.
        """
        fd = transport.get_extra_info("socket").fileno()
        conn = self.conn
        left = _REST_BYTES
        while conn.owner is not None and not conn.closed:
            size = len(self.tail)
            if size:
                # It was the others' turn, or the client did not read: there is no other time.
                conn.resting = False
                self.get_buffer(-1)
                self._feed(0)
                if len(self.tail) < size:
                    continue
            if left <= 0:
                return
            try:
                nbytes = os.readv(fd, [self.get_buffer(-1)])
            except OSError:
                return
            if nbytes == 0:
                conn.peer_ended(monotonic())
                return
            left -= nbytes
            self._feed(nbytes)

    # ---- the connection's side

    def settle(self) -> None:
        """Write what is out; then read on, pause, or end, as the connection wants it."""
        conn = self.conn
        conn.dirty = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if conn.out:
            self._write(conn.take())
        if conn.closed:
            if not self.shutting:
                self.shut()
        elif (conn.paused or conn.resting) != self.read_paused:
            self._set_reading()
        if conn.finishing and not self.finished and not conn.closed:
            self.finished = True
            transport.write_eof()

    def _write(self, data: bytes) -> None:
        """To the socket itself, at a fraction of what it costs through the transport; that keeps what is not taken."""
        transport = self.transport
        if self.finished:
            raise RuntimeError("bytes after our end")
        self.tcp.write_bytes += len(data)
        if self.keeps_some:
            self.keeps_some = transport.get_write_buffer_size() > 0
        sent = 0 if self.keeps_some else sockets.send_now(self._find_fd(), data)
        if sent == len(data):
            return
        if sent < 0:
            self.error = OSError(-sent, os.strerror(-sent))
            transport.abort()
        else:
            self.keeps_some = True
            transport.write(data[sent:])

    def _find_fd(self) -> int:
        """Asked for where it is needed, and once: uvloop keeps a socket object for whoever asks."""
        if self.fd < 0:
            self.fd = self.transport.get_extra_info("socket").fileno()
        return self.fd

    def _set_reading(self) -> None:
        """What has come already is taken before anything else is read."""
        conn = self.conn
        if self.read_paused:
            tail, self.tail = self.tail, b""
            if tail:
                taken = conn.feed(bytearray(tail), 0, len(tail), monotonic())
                self.tail = tail[taken:]
            if not (conn.paused or conn.resting):
                self.read_paused = False
                if not conn.closed and not conn.ended and not self.transport.is_closing():
                    self.transport.resume_reading()
        else:
            self.read_paused = True
            self.transport.pause_reading()
        if conn.resting:
            self.buffer.rests.add(self._go_on)

    def _go_on(self) -> None:
        """The others had their turn."""
        conn = self.conn
        try:
            if self.transport is not None and not conn.closed:
                conn.resting = False
                conn.most = TURN
                conn.touch()
                flush_http1(conn.flushes)
        except Exception as bug:
            self.end_for(bug)

    def shut(self) -> None:
        """Send what is queued, then our end; wait a little for the peer's."""
        self.shutting = True
        transport = self.transport
        if self.conn.aborted:
            reset(transport)
            return
        if not self.finished:
            self.finished = True
            transport.write_eof()
        if self.conn.ended:
            transport.close()
            return
        if self.read_paused:
            self.read_paused = False
            transport.resume_reading()
        linger(self)

    def is_stale(self) -> bool:
        """Whether something has come on an idle connection that the loop has not told us yet: its end, most likely."""
        if self.transport is None:
            return True
        poll = select.poll()
        poll.register(self._find_fd(), select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        if self.transport is not None:
            reset(self.transport)

    def end_for(self, bug: Exception) -> None:
        log_bug("a connection was ended by a bug in the proxy", bug)
        self.abort()


def reset(transport: Any) -> None:
    """End a connection so that its peer sees no orderly end: that would complete a body which has no length."""
    sock = transport.get_extra_info("socket")
    try:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    except OSError:
        # The peer may be gone already.
        pass
    transport.abort()
