"""One raw TCP connection through the proxy: connect, move bytes both ways, end as the peers end (DESIGN 3.5).

An end of one direction is passed on as such, and the other goes on; a reset is passed on as a reset. Where silence made
the connection opaque, its client's first word is still looked at, unless the server speaks before it.

States are methods that the loop calls: `_connected`, then `_first` where the client was silent, then the two flows.
Invariant: whatever happens, `_close` runs once; after it nothing of the connection is registered or open.
"""

from __future__ import annotations

import errno
import socket
import struct
from time import monotonic
from typing import TYPE_CHECKING

from proxy.codec.detect import HTTP1, HTTP2, MAX_BYTES, MORE, detect
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import describe_errno, tune_socket
from proxy.net.opaque_flow import Flow
from proxy.relay.opaque import Address, Way
from proxy.route.hints import DETECT_TIMEOUT_S

if TYPE_CHECKING:
    from proxy.net.opaque import OpaqueRelay

_RESET = struct.pack("ii", 1, 0)


class OpaqueConnection:
    """`downstream` is the client's accepted socket. `deadline_s` is when the present state is given up, 0 for never."""

    __slots__ = (
        "active_s",
        "closed",
        "deadline_s",
        "downstream",
        "inward",
        "is_silent",
        "moved",
        "original",
        "outward",
        "reason",
        "relay",
        "seen",
        "upstream",
        "upstream_tcp",
        "way",
    )

    def __init__(
        self, relay: OpaqueRelay, downstream: socket.socket, way: Way, original: Address | None, is_silent: bool
    ) -> None:
        now = monotonic()
        self.relay = relay
        self.downstream = downstream
        self.way = way
        self.original = original
        self.is_silent = is_silent
        self.upstream: socket.socket | None = None
        self.upstream_tcp: TcpMetrics | None = None
        self.outward: Flow | None = None
        self.inward: Flow | None = None
        self.deadline_s = now + way.failfast_s
        self.reason = "no-endpoint"
        self.closed = False
        self.seen = 0  # bytes of the first word at the last look
        self.moved = 0  # bytes at the last look
        self.active_s = now

    # ---- connecting

    def dial(self, now: float) -> None:
        """Try the next address; where there is none yet, `tick` tries again until the deadline."""
        address = self.way.next(now, self.relay.rng)
        if address is None:
            if now >= self.deadline_s:
                self.refuse(self.reason)
            return
        if self.relay.is_forbidden(address):
            self.way.abandoned(now)
            self.refuse("loop")
            return
        try:
            sock = self.upstream = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        except OSError:
            self.way.abandoned(now)
            self.reason = "no-descriptor"
            if now >= self.deadline_s:
                self.refuse(self.reason)
            return
        sock.setblocking(False)
        tune_socket(sock, self.relay.user_timeout_s)
        self.deadline_s = now + self.way.connect_timeout_s
        try:
            number = sock.connect_ex(address)
        except OSError as error:
            number = error.errno or errno.EINVAL
        if number in (0, errno.EINPROGRESS):
            self.relay.loop.add_writer(sock.fileno(), self._connected)
        else:
            self._failed(number, now)

    def _connected(self) -> None:
        """The connect is over, one way or the other."""
        assert self.upstream is not None
        self.relay.loop.remove_writer(self.upstream.fileno())
        number = self.upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        now = monotonic()
        if number:
            self._failed(number, now)
            return
        self.way.connected(now)
        tcp = self.upstream_tcp = self.relay.upstream_tcp(self.way)
        tcp.opened += 1
        self.deadline_s = 0.0
        self.active_s = now
        self.relay.opening.discard(self)
        self._begin(self.upstream, tcp)

    def _failed(self, number: int, now: float) -> None:
        assert self.upstream is not None
        self.relay.loop.remove_writer(self.upstream.fileno())
        self.upstream.close()
        self.upstream = None
        self.way.failed(now)
        self.relay.connect_failed(errno.errorcode.get(number, str(number)))
        self.deadline_s = now
        self.reason = "connect-failed"
        if self.way.may_retry():
            self.dial(now)
        else:
            self.refuse(self.reason)

    def refuse(self, reason: str) -> None:
        """End it for the client, as a peer would that cannot be reached."""
        self.relay.failed(reason)
        self._reset(self.downstream)
        self._close("ECONNREFUSED", "")

    # ---- moving

    def _begin(self, upstream: socket.socket, tcp: TcpMetrics) -> None:
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
        self.relay.reclaimed(self.downstream, self.original, kind)

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
            self._reset(other)
        self._close(name, name)

    def _reset(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            return

    def abort(self, errno_name: str) -> None:
        """End it for both at once, so that neither takes it for a whole conversation."""
        for sock in (self.downstream, self.upstream):
            if sock is not None:
                self._reset(sock)
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
        if self.upstream is not None:
            loop.remove_writer(self.upstream.fileno())
            self.upstream.close()
            if self.upstream_tcp is not None:
                self.upstream_tcp.close(upstream_errno)
                self.way.ended()
            else:
                self.way.abandoned(monotonic())
        self.relay.ended(self, downstream_errno)

    # ---- from time to time

    def tick(self, now: float) -> None:
        """Called often while `deadline_s` counts: waiting for an endpoint, for a connect, for a first word."""
        if self.upstream_tcp is not None:
            if now >= self.deadline_s:
                self._speak()
        elif self.upstream is None:
            self.dial(now)
        elif now >= self.deadline_s:
            self._failed(errno.ETIMEDOUT, now)

    def rest(self, now: float) -> None:
        """Called now and then: end what nobody uses."""
        moved = self.total()
        if moved != self.moved:
            self.moved = moved
            self.active_s = now
        elif now - self.active_s >= self.relay.idle_timeout_s and not self.deadline_s:
            self.abort("ETIMEDOUT")

    def total(self) -> int:
        """Bytes moved so far, both ways."""
        if self.outward is None or self.inward is None:
            return 0
        return self.outward.total + self.inward.total
