"""A stage for HTTP/1: real connections, links and balancer; no sockets, and a clock that is turned by hand.

`Wire` stands where `net` stands in the proxy: it keeps what is not taken, obeys pauses, and notes what was written.
"""

from __future__ import annotations

import random
from typing import Any

from proxy.balance.p2c import Balancer
from proxy.codec.h1_connection import Http1Connection
from proxy.codec.h1_memo import HeadMemo
from proxy.metrics.handles import HttpMetrics
from proxy.metrics.registry import Registry
from proxy.relay.cluster import Cluster
from proxy.relay.http1.downstream import Downstream
from proxy.relay.http1.link import Link, replace_endpoints
from proxy.relay.http1.upstream import Upstream
from proxy.relay.relay import TICK_S, Relay
from proxy.route.model import Endpoint as Target

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Tally:
    """The relay's counts, by the real registry."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.replays = 0
        self.faults: list[tuple[str, str]] = []
        self.failures: list[str] = []

    def handle(self, authority: str, endpoint: Any) -> HttpMetrics:
        where = f"{endpoint.address[1]}" if endpoint is not None else ""
        return self.registry.http((("authority", authority), ("target", where)))

    def failed(self, reason: str) -> None:
        self.failures.append(reason)

    def replayed(self) -> None:
        self.replays += 1

    def protocol_fault(self, side: str, reason: str) -> None:
        self.faults.append((side, reason))


class Wire:
    """One socket's two ends: `send` is the peer's, `sent` what it has got."""

    def __init__(self, stage: Stage, conn: Http1Connection) -> None:
        self.stage = stage
        self.conn = conn
        conn.io = self
        self.tail = b""
        self.sent = b""
        self.reading = True
        self.shut = False
        # The peer's end has come, but nobody has been told yet.
        self.stale = False

    def is_stale(self) -> bool:
        return self.stale

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            assert self.reading, "net would not have read this"
            self._feed(self.tail + piece)
            self.stage.flush()

    def _feed(self, data: bytes) -> None:
        taken = self.conn.feed(bytearray(data), 0, len(data), self.stage.now)
        self.tail = data[taken:]

    def settle(self) -> None:
        conn = self.conn
        conn.dirty = False
        if conn.out:
            assert not self.shut, "written after the end"
            self.sent += conn.take()
        if conn.closed:
            self.shut = True
        elif self.reading and conn.paused:
            self.reading = False
        elif conn.resting or (not self.reading and not conn.paused):
            conn.resting = False
            if self.tail:
                self._feed(self.tail)
            self.reading = not conn.paused

    def end(self) -> None:
        """The peer sends its end."""
        self.conn.peer_ended(self.stage.now)
        self.stage.flush()

    def lose(self, reason: str = "connection reset by peer") -> None:
        if not self.conn.closed:
            self.conn.lost(reason, self.stage.now)
        self.stage.flush()

    def block(self) -> None:
        self.conn.block()
        self.stage.flush()

    def unblock(self) -> None:
        self.conn.unblock()
        self.stage.flush()

    def take(self) -> bytes:
        sent, self.sent = self.sent, b""
        return sent


class Stage:
    """One cluster of `count` endpoints, behind one route with `timeout_s`; `is_foreign` as `Target` has it."""

    def __init__(self, count: int = 1, timeout_s: float = 0.0, dials: bool = True, is_foreign: bool = False) -> None:
        self.is_foreign = is_foreign
        self.now = 1_000.0
        self.tally = Tally()
        self.memo = HeadMemo()
        self.cluster = Cluster("shop", Balancer(), 3.0, self.now)
        self.relay = Relay(self._route, random.Random(1).random, self.tally)
        self.relay.last_tick = int(self.now / TICK_S)
        self.timeout_s = timeout_s
        # Whether a dial succeeds at once; otherwise it waits in `dialled`.
        self.dials = dials
        self.dialled: list[Link] = []
        self.ups: list[Wire] = []
        self.downs: list[Wire] = []
        self.replace(count)

    def _route(self, authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
        return (None if path == b"/nowhere" else self.cluster), self.timeout_s

    def replace(self, count: int) -> None:
        targets = [Target("10.0.0.1", 1 + number, is_foreign=self.is_foreign) for number in range(count)]
        replace_endpoints(self.cluster, targets, self._dial, 1.0, self.now)
        self.flush()

    def _dial(self, link: Link) -> None:
        if self.dials and not link.failures:
            self.connect(link)
        else:
            self.dialled.append(link)

    def connect(self, link: Link) -> Wire:
        conn = Upstream(self.relay, link, self.memo, self.now)
        self.ups.append(Wire(self, conn))
        conn.attach(self.now)
        self.flush()
        return self.ups[-1]

    def refuse(self, link: Link) -> None:
        link.failed("10.0.0.1:1: connection refused", self.now, True)
        self.flush()

    def client(self) -> Wire:
        self.downs.append(Wire(self, Downstream(self.relay, self.memo, self.now)))
        return self.downs[-1]

    def flush(self) -> None:
        flushes = self.relay.flushes
        while flushes:
            flushes.pop().io.settle()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + TICK_S, end)
            for exchange in self.relay.find_due(self.now):
                exchange.deadline_passed(self.now)
            self.flush()

    def outcomes(self) -> dict[tuple[int, bool], int]:
        """Responses by (status, success)."""
        found: dict[tuple[int, bool], int] = {}
        for handle in self.tally.registry._https.all():
            for outcome, count in handle.responses.items():
                key = (outcome >> 6, bool(outcome & 1))
                found[key] = found.get(key, 0) + count
        return found

    def finish(self) -> None:
        """End all; then the books must come out even."""
        for wire in self.downs + self.ups:
            wire.lose()
        self.wait(10.0)
        handles = self.tally.registry._https.all()
        assert not any(handle.is_open() for handle in handles)
        for endpoint in self.cluster.balancer.endpoints:
            assert endpoint.pending == 0
            assert endpoint.unanswered == 0
            assert endpoint.link.conns == 0
            assert endpoint.link.unfinished == 0
            assert not endpoint.link.idle
            assert not endpoint.link.waiting
        assert not self.cluster.waiting
        assert not self.relay.deadlines
