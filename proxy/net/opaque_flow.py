"""One direction of a raw TCP connection: bytes from one socket to the other, no more of them than the other takes.

Small ones are copied through the loop's read buffer; a flow of large reads gets a pipe and splices (DESIGN 3.1). One
wake-up moves one bounded turn, so connections share the loop fairly.

Invariant: the source is read only while nothing waits for the sink; so at most one turn is ever held.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Protocol

from proxy.metrics.handles import TcpMetrics
from proxy.net.opaque_pipes import Pipe, Pipes

if TYPE_CHECKING:
    from proxy.net.adapter import ReadBuffer
    from proxy.net.poll import Watcher

COPY_BYTES = 64 * 1024
# One turn: a pipe could hold four times as much, at the same cost per byte, and others would wait for it.
TURN_BYTES = 256 * 1024
# So many reads in a row of at least so much make a flow bulky; so many below it, and it is no longer.
_LARGE_BYTES = 16 * 1024
_BULKY_READS = 4
_SMALL_READS = 64
# Who got no pipe asks again after so many.
_RETRY_READS = 1_000
_SPLICE_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)
_NOTHING = memoryview(b"")


class Workshop:
    """What all flows of a loop share. `waiting` are those whose sink has no room."""

    __slots__ = ("loop", "pipes", "view", "waiting")

    def __init__(self, loop: Watcher, buffer: ReadBuffer, pipes: Pipes) -> None:
        self.loop = loop
        self.view = buffer.view[:COPY_BYTES]
        self.pipes = pipes
        self.waiting: set[Flow] = set()


class Owner(Protocol):
    """Hears of the source's end, once the sink has been told, and of a fault of either socket; can be ended."""

    def finished(self) -> None: ...
    def broken(self, sock: socket.socket, error: OSError) -> None: ...
    def abort(self, errno_name: str) -> None: ...


class Flow:
    """Two of these make a connection."""

    __slots__ = (
        "ended",
        "held",
        "owner",
        "pipe",
        "read_tcp",
        "rest",
        "shop",
        "sink",
        "source",
        "streak",
        "total",
        "write_tcp",
    )

    def __init__(
        self,
        shop: Workshop,
        source: socket.socket,
        sink: socket.socket,
        read_tcp: TcpMetrics,
        write_tcp: TcpMetrics,
        owner: Owner,
    ) -> None:
        self.shop = shop
        self.source = source
        self.sink = sink
        self.read_tcp = read_tcp
        self.write_tcp = write_tcp
        self.owner = owner
        self.rest = _NOTHING
        self.pipe: Pipe | None = None
        self.held = 0  # bytes in the pipe
        self.streak = 0  # large reads in a row, or small ones where there is a pipe
        self.total = 0
        self.ended = False

    # ---- the loop's side

    def start(self) -> None:
        self.shop.loop.add_reader(self.source.fileno(), self.read)

    def read(self) -> int:
        """The source has something, or has ended; how many bytes that were."""
        if self.streak >= (_BULKY_READS if self.pipe is None else _SMALL_READS):
            self._switch()
        try:
            if self.pipe is None:
                size = self.source.recv_into(self.shop.view)
            else:
                size = os.splice(self.source.fileno(), self.pipe.sink, TURN_BYTES, flags=_SPLICE_FLAGS)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self.owner.broken(self.source, error)
            return 0
        if not size:
            self._end()
            return 0
        self.total += size
        self.read_tcp.read_bytes += size
        # Large reads speak for a pipe, small ones against it.
        self.streak = self.streak + 1 if (size >= _LARGE_BYTES) == (self.pipe is None) else 0
        if self.pipe is None:
            self._send(self.shop.view[:size])
        else:
            self.held = size
            self._splice_out()
        if (self.held or self.rest) and not self.ended:
            self.shop.loop.remove_reader(self.source.fileno())
            self.shop.loop.add_writer(self.sink.fileno(), self.write)
            self.shop.waiting.add(self)
        return size

    def write(self) -> int:
        """The sink has room again; how many bytes it took."""
        before = self.write_tcp.write_bytes
        if self.pipe is None:
            self._send(self.rest)
        else:
            self._splice_out()
        if not (self.held or self.rest or self.ended):
            self.shop.loop.remove_writer(self.sink.fileno())
            self.shop.waiting.discard(self)
            self.start()
        return self.write_tcp.write_bytes - before

    def stop(self) -> None:
        """Give back what the flow holds; the connection is over."""
        self.ended = True
        self.shop.loop.remove_reader(self.source.fileno())
        self.shop.loop.remove_writer(self.sink.fileno())
        self.shop.waiting.discard(self)
        self.rest = _NOTHING
        if self.pipe is not None:
            self.shop.pipes.give(self.pipe, not self.held)
            self.pipe = None
            self.held = 0

    # ---- moving

    def _send(self, data: memoryview) -> None:
        try:
            sent = self.sink.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self.owner.broken(self.sink, error)
            return
        self.write_tcp.write_bytes += sent
        if sent == len(data):
            self.rest = _NOTHING
        elif data is self.rest:
            self.rest = data[sent:]
        else:
            # The view is of the shared buffer, which is somebody else's in a moment.
            self.rest = memoryview(bytes(data[sent:]))

    def _splice_out(self) -> None:
        assert self.pipe is not None
        try:
            sent = os.splice(self.pipe.source, self.sink.fileno(), self.held, flags=_SPLICE_FLAGS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.owner.broken(self.sink, error)
            return
        self.held -= sent
        self.write_tcp.write_bytes += sent

    def _switch(self) -> None:
        """Take a pipe, or give it back. Nothing is held now."""
        self.streak = 0
        if self.pipe is not None:
            self.shop.pipes.give(self.pipe, True)
            self.pipe = None
        else:
            self.pipe = self.shop.pipes.take()
            if self.pipe is None:
                self.streak = -_RETRY_READS

    def _end(self) -> None:
        self.shop.loop.remove_reader(self.source.fileno())
        self.ended = True
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.owner.broken(self.sink, error)
            return
        self.owner.finished()
