"""One raw TCP connection through the proxy: connect, move bytes both ways, end as the peers end (DESIGN 3.5).

An end of one direction is passed on as such, and the other goes on; a reset is passed on as a reset. Where silence made
the connection opaque, its client's first word is still looked at, unless the server speaks before it.

One state after the other: a dial, then `_first` where the client was silent, then the two flows.
Invariant: whatever happens, `_close` runs once; after it nothing of the connection is registered or open.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING

from proxy.codec.detect import HTTP1, HTTP2, MAX_BYTES, MORE, detect
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import describe_errno
from proxy.net.kernel import ask_kernel, read_fault, reset_at_close
from proxy.net.opaque_dial import Dial
from proxy.net.opaque_flow import Flow
from proxy.relay.opaque import Address, Way
from proxy.route.hints import DETECT_TIMEOUT_S

if TYPE_CHECKING:
    from proxy.net.opaque import OpaqueRelay


class OpaqueConnection:
    """`downstream` is the client's accepted socket. `deadline_s` is when its first word must be complete; 0 is none."""

    __slots__ = (
        "active_s",
        "closed",
        "deadline_s",
        "dialling",
        "downstream",
        "has_spoken",
        "inward",
        "is_silent",
        "moved",
        "original",
        "outward",
        "relay",
        "seen",
        "upstream",
        "upstream_tcp",
        "way",
    )

    def __init__(
        self,
        relay: OpaqueRelay,
        downstream: socket.socket,
        way: Way,
        original: Address | None,
        is_silent: bool,
        has_spoken: bool,
    ) -> None:
        now = monotonic()
        self.relay = relay
        self.downstream = downstream
        self.way = way
        self.original = original
        self.is_silent = is_silent
        self.has_spoken = has_spoken
        self.upstream: socket.socket | None = None
        self.upstream_tcp: TcpMetrics | None = None
        self.outward: Flow | None = None
        self.inward: Flow | None = None
        self.dialling: Dial | None = Dial(relay, way, now, self._connected, self._refused)
        self.deadline_s = 0.0
        self.closed = False
        self.seen = 0  # bytes of the first word at the last look
        self.moved = 0  # bytes and ends at the last look
        self.active_s = now

    def _refused(self, reason: str) -> None:
        """End it for the client, as a peer would that cannot be reached."""
        self.dialling = None
        self.relay.failed(reason)
        reset_at_close(self.downstream)
        self._close("ECONNREFUSED", "")

    # ---- moving

    def _connected(self, upstream: socket.socket) -> None:
        self.dialling = None
        self.upstream = upstream
        tcp = self.upstream_tcp = self.relay.upstream_tcp(self.way)
        tcp.opened += 1
        self.active_s = monotonic()
        self.relay.opening.discard(self)
        shop, source = self.relay.shop, self.relay.downstream_tcp
        self.outward = Flow(shop, self.downstream, upstream, source, tcp, self)
        self.inward = Flow(shop, upstream, self.downstream, tcp, source, self)
        self.inward.start()
        if self.is_silent:
            self.relay.loop.add_reader(self.downstream.fileno(), self._first)
        else:
            self.outward.start()

    def _first(self) -> None:
        """The first word of a client that was silent for so long that it was taken for one who listens first."""
        assert self.inward is not None
        if self.inward.total:
            self._speak()
            return
        try:
            data = self.downstream.recv(MAX_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.broken(self.downstream, error)
            return
        verdict = detect(data) if data else None
        if verdict is not None and verdict.kind in (HTTP1, HTTP2):
            self._give_up(verdict.kind)
        elif verdict is None or verdict.kind != MORE or len(data) <= self.seen or self._is_late():
            self._speak()
        else:
            self.seen = len(data)
            self.downstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, verdict.needed)

    def _is_late(self) -> bool:
        """Whether the first word has been incomplete for too long; the clock starts with its first byte."""
        if not self.deadline_s:
            self.deadline_s = monotonic() + DETECT_TIMEOUT_S
            self.relay.opening.add(self)
        return monotonic() >= self.deadline_s

    def _speak(self) -> None:
        """The question is settled: it is opaque."""
        assert self.outward is not None
        self._settle()
        self.outward.start()

    def _settle(self) -> None:
        self._learn()
        self.is_silent = False
        self.seen = 0
        self.deadline_s = 0.0
        self.relay.opening.discard(self)
        self.downstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def _learn(self) -> None:
        """Whether the server was heard before its client's first byte; the next client need not wait so long."""
        if self.is_silent and self.original is not None and self.inward is not None:
            if self.inward.total and not self.seen:
                self.relay.hints.learn(self.original, monotonic())
            elif self.seen:
                self.relay.hints.forget(self.original)

    def _give_up(self, kind: int) -> None:
        """It is HTTP after all: nothing was read, so whoever serves HTTP can have it from its first byte."""
        self.seen = 1
        self._settle()
        self._close("", "", keeps_downstream=True)
        self.relay.reclaim(self.downstream, self.original, kind)

    # ---- ends

    def finished(self) -> None:
        assert self.outward is not None
        assert self.inward is not None
        if self.outward.ended and self.inward.ended:
            self._close("", "")

    def broken(self, sock: socket.socket, error: OSError) -> None:
        """A reset, or a peer that is gone: the other side gets a reset."""
        name = describe_errno(error)
        other = self.upstream if sock is self.downstream else self.downstream
        if other is not None:
            reset_at_close(other)
        self._close(name, name)

    def abort(self, errno_name: str) -> None:
        """End it for both at once, so that neither takes it for a whole conversation."""
        for sock in (self.downstream, self.upstream):
            if sock is not None:
                reset_at_close(sock)
        self._close(errno_name, errno_name)

    def _close(self, downstream_errno: str, upstream_errno: str, keeps_downstream: bool = False) -> None:
        if self.closed:
            return
        self.closed = True
        self._learn()
        loop = self.relay.loop
        loop.remove_reader(self.downstream.fileno())
        for flow in (self.outward, self.inward):
            if flow is not None:
                flow.stop()
        self.outward = self.inward = None  # they refer to us: without this only the garbage collector could free us
        if not keeps_downstream:
            self.downstream.close()
        if self.dialling is not None:
            self.dialling.cancel()
            self.dialling = None
        if self.upstream is not None and self.upstream_tcp is not None:
            self.upstream.close()
            self.upstream_tcp.close(upstream_errno)
            self.way.ended()
        self.relay.ended(self, downstream_errno)

    # ---- from time to time

    def is_due(self, now: float) -> bool:
        """Whether a tick would do anything."""
        dialling = self.dialling
        return now >= self.deadline_s if dialling is None else dialling.sock is None or now >= dialling.deadline_s

    def tick(self, now: float) -> None:
        """Called often while it is not settled who is spoken to, or what."""
        if self.dialling is not None:
            self.dialling.tick(now)
        elif now >= self.deadline_s:
            self._speak()

    def look_behind_end(self) -> None:
        """A socket whose end was read is not watched any more: a reset that follows is found by asking the kernel."""
        outward, inward = self.outward, self.inward
        if outward is None or inward is None or outward.ended == inward.ended:
            return
        sock = outward.source if outward.ended else inward.source
        if ask_kernel(sock.fileno()).is_closed:
            self.broken(sock, read_fault(sock))

    def count_bytes(self) -> int:
        """Those that have passed so far, both ways."""
        outward, inward = self.outward, self.inward
        return 0 if outward is None or inward is None else outward.total + inward.total

    def count_moved(self) -> int:
        """The same, and ends."""
        outward, inward = self.outward, self.inward
        return self.count_bytes() + (outward is not None and outward.ended) + (inward is not None and inward.ended)

    def has_moved(self, now: float) -> bool:
        """Whether anything has passed since the last look."""
        moved = self.count_moved()
        if moved == self.moved:
            return False
        self.moved = moved
        self.active_s = now
        return True

    def is_idle(self, now: float) -> bool:
        """Whether nobody has used it for long, as of the last look."""
        return now - self.active_s >= self.relay.idle_timeout_s and not self.deadline_s
