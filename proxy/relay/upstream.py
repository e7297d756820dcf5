"""A connection to an endpoint: carries the streams of many downstream connections (DESIGN 3.2).

Owns what concerns the endpoint as a whole: its GOAWAY, its loss, and its replacement before stream ids run out.
"""

from __future__ import annotations

from proxy.codec.client import RESPONSE_TOO_LARGE
from proxy.codec.connection import TRAILERS_TOO_LARGE
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.stream import Stream
from proxy.relay.exchange import Exchange
from proxy.relay.failure import UPSTREAM_FAULT, UPSTREAM_LOST
from proxy.relay.link import REPLACE_AT_ID, Carrier, Link
from proxy.relay.relay import Relay


class Upstream(Carrier):
    """`attached` while new streams may be opened; once `retired` it finishes what it has and closes."""

    __slots__ = ("attached", "link", "relay", "replacing", "retired")

    def __init__(self, relay: Relay, link: Link, limits: Limits, now: float) -> None:
        super().__init__(limits, relay.flushes)
        self.relay = relay
        self.link = link
        self.attached = False
        self.retired = False
        self.replacing = False
        self.now = now

    def open(self, opened_s: float) -> Stream:
        if self.next_id >= REPLACE_AT_ID and not self.replacing:
            self.replacing = True
            self.link.dial_more()
        return Carrier.open(self, opened_s)

    # ---- events

    def settings_changed(self) -> None:
        if self.attached:
            self.link.serve(self.now)
        elif not self.retired:
            self.attached = True
            self.link.attach(self, self.now)

    def response_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        if not self.answered:
            self.answered = True
            self.link.failures = 0
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.response(block, end, stream, self.now)

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.response_data(payload, end, stream, self.now)

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.response_trailers(block, stream, self.now)

    def reset_received(self, stream: Stream, code: int) -> None:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.upstream_reset(code, self.now)

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.relay.tally.protocol_fault("upstream", reason)
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            # Our limit is no fault of the endpoint's.
            is_fault = reason not in (RESPONSE_TOO_LARGE, TRAILERS_TOO_LARGE)
            exchange.upstream_lost(UPSTREAM_FAULT, reason, is_fault, self.now)

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        """What is above `last_stream_id` was not processed; what is below finishes here."""
        self.retire(self.now)
        for stream in [stream for stream in self.streams.values() if stream.id > last_stream_id]:
            exchange: Exchange | None = stream.owner  # type: ignore[assignment]
            self.drop(stream)
            if exchange is not None:
                exchange.unprocessed(False, self.now)

    def ping_acked(self, opaque: bytes) -> None:
        """We send no PING upstream (DESIGN 3.2), so an ACK is meaningless and harmless."""

    def stream_closed(self, stream: Stream) -> None:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.stream_closed(stream)
        if self.attached:
            if self.link.waiting:
                self.link.serve(self.now)
        elif self.retired and self.open_streams == 0:
            self.close()

    def unblock(self) -> None:
        Carrier.unblock(self)
        if self.attached:
            self.link.serve(self.now)

    # ---- the end of the connection

    def retire(self, now: float) -> None:
        """Take no more streams; close after the last one."""
        self.retired = True
        if self.attached:
            self.attached = False
            self.link.detach(self, now)
        if self.open_streams == 0:
            self.close()

    def lost(self, reason: str, now: float) -> None:
        """What was under way may have been processed, so it is not sent again."""
        self.now = now
        if self.fault:
            self.relay.tally.protocol_fault("upstream", self.fault)
        self.closed = True
        streams = list(self.streams.values())
        self.retire(now)
        for stream in streams:
            exchange: Exchange | None = stream.owner  # type: ignore[assignment]
            if exchange is not None:
                exchange.upstream_lost(UPSTREAM_LOST, reason, True, now)
            self.drop(stream)
