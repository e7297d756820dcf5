"""The stage of the playbook: one relay, and connections whose other ends are voices. No socket, no real clock.

The bytes move as `proxy.net.adapter` moves them: all output of a flush at once, a peer that does not read blocks the
connection above the high-water mark. Whatever a script does, `finish` holds the books against each other at its end.
"""

from __future__ import annotations

import random
from typing import Any

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.codec.errors import Http1Spoken
from proxy.codec.limits import DEFAULT_LIMITS, Limits
from proxy.metrics.registry import Registry
from proxy.outbound import OutboundTally
from proxy.relay.cluster import Cluster
from proxy.relay.downstream import Downstream
from proxy.relay.link import Link
from proxy.relay.relay import TICK_S, Relay
from proxy.relay.upstream import Upstream
from tests.playbook.voice import GRPC_REQUEST, Headers, Heard, Voice

HIGH_WATER_BYTES = 256 * 1024
READ_BYTES = 128 * 1024


class Wire:
    """Stands where `Adapter` stands: between one connection of the proxy and its peer's voice."""

    def __init__(self, stage: Stage, conn: Any, voice: Any) -> None:
        self.stage = stage
        self.conn = conn
        self.voice: Any = voice
        self.tail = b""
        self.unread = bytearray()
        self.reads = True
        self.lost = False
        conn.io = self
        conn.start()

    def feed(self, data: bytes) -> list[Heard]:
        """The peer says `data`; returns what it hears within the same flush."""
        at = len(self.voice.heard)
        for start in range(0, len(data), READ_BYTES):
            if self.lost:
                break
            buf = bytearray(self.tail + data[start : start + READ_BYTES])
            try:
                taken = self.conn.feed(buf, 0, len(buf), self.stage.now)
            except Http1Spoken:
                # Another adapter goes on with it.
                self.hang_up()
                break
            self.tail = bytes(buf[taken:])
            assert len(self.tail) < 9 + 16_384
            self.stage.flush()
        return self.voice.heard[at:]

    def write_out(self) -> None:
        """As `Adapter.write_out`."""
        conn = self.conn
        while conn.out:
            self._deliver(conn.take())
            if conn.waiting and not conn.blocked:
                conn.pump()
        conn.dirty = False
        if conn.closed and not self.lost:
            self.hang_up(conn.fault)
            if conn.out:
                self.write_out()

    def _deliver(self, data: bytes) -> None:
        if self.reads:
            self.voice.hear(data)
            return
        self.unread += data
        if len(self.unread) > HIGH_WATER_BYTES:
            self.conn.blocked = True

    def stall(self) -> None:
        """The peer stops reading."""
        self.reads = False

    def resume(self) -> None:
        """It reads again."""
        self.reads = True
        data, self.unread = bytes(self.unread), bytearray()
        self.voice.hear(data)
        self.conn.unblock()
        self.stage.flush()

    def hang_up(self, reason: str = "closed by the peer") -> None:
        """The socket is gone."""
        if not self.lost:
            self.lost = True
            self.conn.lost(reason, self.stage.now)
            self.stage.flush()

    @property
    def heard(self) -> list[Heard]:
        return self.voice.heard

    def hear(self, kind: str, stream_id: int | None = None) -> list[Heard]:
        return [one for one in self.heard if one.kind == kind and stream_id in (None, one.stream_id)]

    def body(self, stream_id: int) -> bytes:
        return b"".join(one.data for one in self.hear("DATA", stream_id))


class Stage:
    """`now` is the clock; `dialled` the links that asked for a connection and have not got it."""

    def __init__(self, endpoints: int = 2, limits: Limits = DEFAULT_LIMITS, timeout_s: float = 0.0) -> None:
        self.now = 1_000.0
        self.limits = limits
        self.timeout_s = timeout_s
        self.registry = Registry()
        self.relay = Relay(self._route, random.Random(1).random, OutboundTally(self.registry))
        self.dialled: list[Link] = []
        self.downs: list[Wire] = []
        self.ups: list[Wire] = []
        self.cluster = Cluster("echo", Balancer(), 3.0, self.now)
        self.endpoints = [Endpoint(("127.0.0.1", 1 + at)) for at in range(endpoints)]
        self.cluster.balancer.replace(self.endpoints)
        for endpoint in self.endpoints:
            Link(self.cluster, endpoint, self.dialled.append).dial_more()

    def _route(self, authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
        return (self.cluster if authority == b"echo" else None), self.timeout_s

    # ---- time

    def flush(self) -> None:
        """As `proxy.net.adapter.flush`."""
        flushes = self.relay.flushes
        while flushes:
            flushes.pop().io.write_out()

    def expire(self, now: float) -> None:
        """Tell those whose deadline has passed."""
        for exchange in self.relay.find_due(now):
            exchange.deadline_passed(now)
        self.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass, with the sweep that `net` makes."""
        for _ in range(round(seconds / TICK_S)):
            self.now += TICK_S
            self.expire(self.now)
            for down in self.downs:
                if not down.lost and down.conn.drain_at_s and self.now >= down.conn.drain_at_s:
                    down.conn.refuse_more()
            self.flush()

    # ---- peers

    def client(self, settings: dict[int, int] | None = None) -> Wire:
        voice = Voice(is_client=True)
        wire = Wire(self, Downstream(self.relay, self.limits, self.now), voice)
        self.downs.append(wire)
        wire.feed(voice.opening(settings))
        return wire

    def connect(self, link: Link, settings: dict[int, int] | None = None, next_id: int = 1) -> Wire:
        """The endpoint accepts what its link has dialled, and sends its SETTINGS."""
        self.dialled.remove(link)
        conn = Upstream(self.relay, link, self.limits, self.now)
        conn.next_id = next_id
        voice = Voice(is_client=False)
        wire = Wire(self, conn, voice)
        self.ups.append(wire)
        wire.feed(voice.opening(settings))
        return wire

    def connect_all(self, settings: dict[int, int] | None = None) -> list[Wire]:
        return [self.connect(link, settings) for link in list(self.dialled)]

    def where(self, down: Wire, stream_id: int) -> tuple[Wire, int]:
        """The upstream connection and stream that carry a downstream stream now."""
        up = down.conn.streams[stream_id].peer
        assert up is not None
        wire: Wire = up.conn.io
        return wire, up.id

    def request(self, down: Wire, pairs: Headers = GRPC_REQUEST, body: bytes | None = None, end: bool = True) -> int:
        """A new stream: headers, and `body` where there is one. Returns its id."""
        voice = down.voice
        stream_id = voice.next_id
        voice.next_id += 2
        down.feed(voice.headers(stream_id, pairs, end=end and body is None))
        if body is not None:
            down.feed(say_body(voice, stream_id, body, end))
        return stream_id

    # ---- the books

    def pending(self) -> list[int]:
        return [endpoint.pending for endpoint in self.endpoints]

    def failures(self) -> dict[str, int]:
        return {labels[0][1]: int(value) for labels, value in self.registry.failures.samples()}

    def faults(self) -> dict[tuple[str, str], int]:
        samples = self.registry.protocol_faults.samples()
        return {(labels[0][1], labels[1][1]): int(value) for labels, value in samples}

    def replays(self) -> int:
        return int(sum(value for _, value in self.registry.retries.samples()))

    def check_idle(self) -> None:
        """Nothing is under way and nothing is kept."""
        assert self.pending() == [0] * len(self.endpoints)
        assert [endpoint.unanswered for endpoint in self.endpoints] == [0] * len(self.endpoints)
        assert not self.relay.deadlines
        assert not self.cluster.waiting
        assert not any(endpoint.link.waiting for endpoint in self.endpoints)
        for wire in self.downs + self.ups:
            conn = wire.conn
            assert not conn.streams
            assert not conn.waiting
            assert conn.open_streams == 0
            assert conn.grown == 0
        for handle in self.registry._https.all():
            assert not handle.is_open(), handle.labels

    def finish(self) -> None:
        """Every client leaves, then every endpoint: whatever the script left open is over."""
        for wire in self.downs + self.ups:
            wire.hang_up()
        self.flush()
        self.check_idle()


def say_body(voice: Voice, stream_id: int, body: bytes, end: bool) -> bytes:
    if not body:
        return voice.data(stream_id, b"", end)
    step = 16_384
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    return b"".join(voice.data(stream_id, piece, end and at == len(pieces) - 1) for at, piece in enumerate(pieces))
