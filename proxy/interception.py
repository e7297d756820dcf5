"""Connections that were led here, of one direction: accepted, told apart, and served by what they speak.

All connections that were going to one address share a scope: its routes and what was decided by them. So a decision
that is remembered by a request's headers can never be that of another destination.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from proxy.balance.p2c import Balancer
from proxy.clusters import Clusters
from proxy.codec.detect import HTTP1, HTTP2, MAX_BYTES, OPAQUE, is_for_proxy
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.limits import Limits
from proxy.http1 import Http1
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.handles import TcpMetrics
from proxy.net.accept import LOOPBACK, Acceptor
from proxy.net.adapter import ReadBuffer
from proxy.net.kernel import is_local
from proxy.net.listener import Listener
from proxy.net.log import log_bug
from proxy.net.opaque import OpaqueRelay
from proxy.net.peek import Decision, Detector
from proxy.net.poll import make_watcher
from proxy.net.room import Idle
from proxy.originals import Address, Policy
from proxy.relay.cluster import Cluster
from proxy.relay.failure import LOOP
from proxy.relay.opaque import Way
from proxy.relay.relay import Relay, Tally
from proxy.route import model
from proxy.route.hints import UNKNOWN, Expectation, Hints

# Stands for where a connection goes that nobody led here. What it speaks is found out, so that HTTP can be answered.
_NOWHERE: Address = ("", 0)
# A destination that nobody has had a connection for in so long is forgotten.
_UNUSED_S = 60.0
# Whoever calls one port after the other makes a scope with each. Beyond these, connections are passed on as they are.
MAX_SCOPES = 1_000
# Of all scopes of a direction, to be exceeded for a second at most.
MAX_DECISIONS, MAX_MEMO_BYTES = 4_000, 8 * 1024 * 1024
# Where all were in use it takes so long until they are looked at again.
_LOOK_AGAIN_S = 1.0
# What has been accepted when the end comes has so long to say its first word.
_SETTLE_S = 1.5
_DRAIN_TICK_S = 0.02


class Scope:
    """One original destination. HTTP/1 heads are remembered with what was decided for them, so here too.

    `coming` are connections on their way to who serves them.
    """

    __slots__ = ("coming", "http1", "http2", "memo", "used_s")

    def __init__(self, http2: Relay, http1: Relay, memo: HeadMemo, now: float) -> None:
        self.http2 = http2
        self.http1 = http1
        self.memo = memo
        self.used_s = now
        self.coming = 0


class Coming:
    """A kind of connections: those that nobody serves yet, nor watches. They cannot go, and nothing is held for them.

    `asking` wait until it is known what their destination is, `tasks` hand over those whose protocol is known.
    """

    def __init__(self) -> None:
        self.asking: set[socket.socket] = set()
        self.tasks: set[asyncio.Task[None]] = set()

    def count(self) -> int:
        return len(self.asking) + len(self.tasks)

    def count_descriptors(self) -> int:
        return 2 * self.count()

    def count_expected(self) -> int:
        return self.count()

    def find_idle(self) -> Iterator[Idle | None]:
        return iter(())

    def find_held(self) -> Iterator[tuple[int, object]]:
        return iter(())

    def end_held(self, one: object, tally: Tally) -> None:
        """Nothing is held."""


class Interception:
    """`listener` serves HTTP/2 in this direction, `http1` HTTP/1; `own_ports` are those that this proxy listens on.

    `here` is what it means to come without having been led: the address to stand for, or None where that is a loop.
    """

    def __init__(
        self,
        direction: str,
        policy: Policy,
        clusters: Clusters,
        listener: Listener,
        http1: Http1,
        tally: Tally,
        limits: Limits,
        counts: ConnectionCounts,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        upstream_tcp: Callable[[Way], TcpMetrics],
        own_ports: frozenset[int],
        settings: model.Settings,
        here: Address | None = None,
    ) -> None:
        self.direction = direction
        self.policy = policy
        self.clusters = clusters
        self.listener = listener
        user_timeout_s = settings.upstream_user_timeout_s
        self.http1 = http1
        self.here = here
        self.tally = tally
        self.limits = limits
        self.counts = counts
        self.own_ports = own_ports
        self.scopes: dict[Address, Scope] = {}
        self.full_until_s = 0.0
        self.loop = asyncio.get_running_loop()
        self.coming = Coming()
        self.hints = hints = Hints()
        self.opaque = OpaqueRelay(
            make_watcher(self.loop),
            direction,
            counts,
            buffer,
            hints,
            random.random,
            tcp,
            upstream_tcp,
            self._is_own,
            self._reclaimed,
            user_timeout_s,
            settings.tcp_idle_timeout_s,
        )
        # A client's first word is waited for so long. Its server is asked then; if HTTP follows after all, it is served
        # as that, so silence costs no more than a connection (docs/decisions/0015).
        timeout_s = settings.detect_timeout_s
        # With events of their own: who is served already does not wait behind the first words of hundreds.
        newcomers = make_watcher(self.loop)
        self.detector = Detector(newcomers, direction, self._expect, self._decided, hints, counts, timeout_s)
        self.acceptor = Acceptor(direction, self._arrived, counts, user_timeout_s, listener.room)
        listener.room.join(self.coming)
        listener.room.join(self.opaque)
        listener.room.join(self.detector)

    def _is_own(self, address: Address, caller: str = "") -> bool:
        """Whether it is a port of this proxy: it would come back, or be asked in our name what only we may ask.

        Inbound, all that is led here was going to this pod. Outbound, `caller` is an address of this pod.
        """
        host, port = address
        return port in self.own_ports and (self.direction == "inbound" or host in (*LOOPBACK, caller))

    def _has_way(self, original: Address, sock: socket.socket) -> bool:
        """Whether it can be led on. Inbound, a neighbour could route others' packets to this pod, to go in its name."""
        if self._is_own(original, read_caller(sock)):
            return False
        return self.direction != "inbound" or original[0] == sock.getsockname()[0] or is_local(original[0])

    # ---- a connection's way to who serves it

    def _arrived(self, sock: socket.socket, original: Address | None) -> None:
        """One that was going to nobody but us has no way on: it would come back, and again."""
        where = original or self.here
        if where is None or (original is not None and not self._has_way(original, sock)):
            # Who speaks HTTP says so at once: nobody else is waited for.
            self.hints.learn(_NOWHERE, monotonic())
            self.detector.arrive(sock, _NOWHERE)
            return
        self.coming.asking.add(sock)
        try:
            self.policy.prepare(where, partial(self._prepared, sock, where))
        except BaseException:
            self.coming.asking.discard(sock)
            raise

    def _prepared(self, sock: socket.socket, original: Address) -> None:
        self.coming.asking.discard(sock)
        self.detector.arrive(sock, original)

    def _expect(self, original: Address | None, sock: socket.socket) -> Expectation:
        assert original is not None
        return UNKNOWN if original == _NOWHERE else self.policy.expect(original)

    def _decided(self, sock: socket.socket, original: Address | None, decision: Decision) -> None:
        assert original is not None
        if decision.kind not in (HTTP2, HTTP1):
            if original == _NOWHERE:
                self.counts.failures.add(LOOP.reason)
                sock.close()
                return
            way = self.policy.way(original)
            way.hello = decision.hello
            self.opaque.begin(sock, way, original, decision.is_silent, decision.reason == "bytes")
            return
        scope = self._scope(original)
        if scope is None:
            self.opaque.begin(sock, self.policy.way(original), original, has_spoken=True)
            return
        make: Any = partial(self.listener.make_adapter, scope.http2)
        if decision.kind == HTTP1:
            make = partial(self.http1.listener.make_adapter, scope.http1, scope.memo)
        scope.coming += 1
        task = self.loop.create_task(self._hand_over(sock, scope, make))
        self.coming.tasks.add(task)
        task.add_done_callback(self.coming.tasks.discard)

    async def _hand_over(self, sock: socket.socket, scope: Scope, make: Any) -> None:
        try:
            await self.loop.connect_accepted_socket(make, sock)
        except OSError:
            sock.close()
        except Exception as bug:
            log_bug("a connection was ended by a bug in the proxy", bug)
            sock.close()
        finally:
            scope.coming -= 1

    def _reclaimed(self, sock: socket.socket, original: Address | None, kind: int) -> None:
        """It was taken for raw TCP, since its client was silent for long; it was HTTP after all.

        What is said to an HTTP proxy is passed on now, as the detector would have had it.
        """
        assert original is not None
        passed = kind == HTTP1 and self.policy.expect(original).passes_proxies and is_for_proxy(peek(sock))
        self._decided(sock, original, Decision(OPAQUE if passed else kind, "bytes"))

    # ---- scopes

    def _scope(self, original: Address) -> Scope | None:
        """None where there are too many in use."""
        scope = self.scopes.get(original)
        if scope is not None:
            return scope
        now = monotonic()
        if len(self.scopes) >= MAX_SCOPES and not self._make_place(now):
            return None
        http2 = share_clock(
            Relay(self._router(original, self.clusters.http2), random.random, self.tally), self.listener
        )
        http1 = share_clock(Relay(self._router(original, self.clusters.http1), random.random, self.tally), self.http1)
        scope = self.scopes[original] = Scope(http2, http1, HeadMemo(self.limits), now)
        return scope

    def _make_place(self, now: float) -> bool:
        """Forget, of the scopes that nobody uses, the half that is oldest; False where there are none."""
        if now < self.full_until_s:
            return False
        unused = sorted(self._find_unused(now), key=lambda original: self.scopes[original].used_s)
        for original in unused[: (len(unused) + 1) // 2]:
            self._forget(original, now)
        if not unused:
            self.full_until_s = now + _LOOK_AGAIN_S
        return bool(unused)

    def _find_unused(self, now: float) -> list[Address]:
        adapters: list[Any] = [*self.listener.adapters, *self.http1.listener.adapters]
        used = {id(adapter.conn.relay) for adapter in adapters}
        unused = []
        for original, scope in self.scopes.items():
            if scope.coming or id(scope.http2) in used or id(scope.http1) in used:
                scope.used_s = now
            else:
                unused.append(original)
        return unused

    def _forget(self, original: Address, now: float) -> None:
        del self.scopes[original]
        for form in self.policy.release(original):
            form.serve(now)

    def _router(
        self, original: Address, form: Callable[[str, float], Cluster]
    ) -> Callable[[bytes, bytes], tuple[Cluster | None, float]]:
        def route(authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
            if original == _NOWHERE:
                return Cluster("this proxy", Balancer(), 0.0, 0.0, LOOP), 0.0
            name, timeout_s = self.policy.route(original, authority, path)
            return (form(name, monotonic()), timeout_s) if name else (None, 0.0)

        return route

    def forget_decisions(self) -> None:
        for scope in self.scopes.values():
            scope.http2.forget_decisions()
            scope.http1.forget_decisions()

    def configure(self, settings: model.Settings, limits: Limits) -> None:
        self.limits = limits
        self.acceptor.configure(settings.upstream_user_timeout_s)
        self.opaque.user_timeout_s = settings.upstream_user_timeout_s
        self.opaque.idle_timeout_s = settings.tcp_idle_timeout_s
        self.detector.timeout_s = settings.detect_timeout_s
        for scope in self.scopes.values():
            scope.memo.configure(limits)

    # ---- life

    def listen(self, hosts: tuple[str, ...], port: int, reuse_port: bool) -> list[Address]:
        """OSError where none of the hosts, which are IP addresses, can be listened on: a pod may have no IPv6."""
        self.listener.bound_connections(1 if self.here else 2)
        found, errors = [], []
        for host in hosts:
            try:
                found.append(self.acceptor.listen(host, port, reuse_port))
            except OSError as error:
                errors.append(error)
        if not found:
            raise errors[0]
        return found

    async def tick(self, now: float) -> None:
        """To be called every tenth of a second or so."""
        self.detector.sweep(now)
        await self.opaque.tick(now)

    async def sweep(self, now: float) -> None:
        """Every second or so: end raw connections that nobody uses, and forget such destinations."""
        await self.opaque.sweep(now)
        for original in self._find_unused(now):
            if now - self.scopes[original].used_s > _UNUSED_S:
                self._forget(original, now)
        self._bound_memory()

    def _bound_memory(self) -> None:
        """All destinations together remember no more than a few busy ones: a pod has as many as it has ports."""
        scopes = self.scopes.values()
        if sum(len(scope.http1.decisions) + len(scope.http2.decisions) for scope in scopes) > MAX_DECISIONS:
            self.forget_decisions()
        if sum(scope.memo.count_bytes() for scope in scopes) > MAX_MEMO_BYTES:
            for scope in scopes:
                scope.memo.forget()

    def count(self) -> int:
        return self.acceptor.waiting + self.coming.count() + len(self.detector) + len(self.opaque.connections)

    async def drain(self, timeout_s: float) -> bool:
        """Listen no more, have all that was accepted served, and wait for raw connections to end.

        Those of HTTP are their listeners'.
        """
        deadline_s = monotonic() + timeout_s
        await self.acceptor.close()
        settled_s = min(deadline_s, monotonic() + _SETTLE_S)
        while self.count() > len(self.opaque.connections) and monotonic() < settled_s:  # noqa: ASYNC110 - time counts
            await asyncio.sleep(_DRAIN_TICK_S)
        self.acceptor.drop()
        self.detector.close()
        ended = await self.opaque.drain(max(0.0, deadline_s - monotonic()))
        if self.coming.tasks:
            await asyncio.wait(self.coming.tasks)
        return ended

    def close(self) -> None:
        """End everything at once."""
        self.opaque.close()


def share_clock(relay: Relay, side: Listener | Http1) -> Relay:
    """Have a relay's deadlines, and what it has to send, seen to with those of its side: there may be many relays."""
    ours = side.relay
    relay.flushes, relay.deadlines = ours.flushes, ours.deadlines
    return relay


def peek(sock: socket.socket) -> bytes:
    """What a client has sent so far, which stays where it is."""
    try:
        return sock.recv(MAX_BYTES, socket.MSG_PEEK)
    except OSError:
        return b""  # it is gone; whoever reads it next finds that


def read_caller(sock: socket.socket) -> str:
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return ""  # it is gone again
