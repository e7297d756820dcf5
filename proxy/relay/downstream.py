"""A connection from a client: every stream on it becomes an exchange.

Owns what concerns the client as a whole: judging its resets, and draining it (DESIGN 3.2, RFC 9113, section 6.8).
"""

from __future__ import annotations

from proxy.codec.constants import CANCEL, MAX_STREAM_ID, NO_ERROR
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import Limits
from proxy.codec.server import Server
from proxy.codec.stream import Stream
from proxy.relay.exchange import Exchange
from proxy.relay.relay import Relay

DRAIN_PING = b"gsmrdran"
DRAIN_PING_S = 1.0
# A connection is replaced long before its ids run out: 2^29 requests are 15 hours at 10,000/s.
_LAST_ID = 2**30


def count_queued(stream: Stream | None) -> int:
    """Bytes of body that a stream cannot send yet."""
    count = 0
    if stream is not None and stream.queue is not None:
        for piece in stream.queue:
            count += len(piece)
    return count


class Downstream(Server):
    """`drain_at_s` is when the final GOAWAY is due at the latest; 0.0 while the connection is not draining."""

    __slots__ = ("drain_at_s", "idle_since_s", "relay")

    def __init__(self, relay: Relay, limits: Limits, now: float) -> None:
        super().__init__(limits, relay.flushes)
        self.relay = relay
        self.drain_at_s = 0.0
        self.idle_since_s = now
        self.now = now

    def request_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        exchange = Exchange(self.relay, stream, block, end, self.now)
        stream.owner = exchange
        exchange.start(self.now)
        if stream.id > _LAST_ID and self.drain_at_s == 0:
            self.drain(self.now)

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        exchange: Exchange = stream.owner  # type: ignore[assignment]
        exchange.request_data(payload, end, stream, self.now)

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        exchange: Exchange = stream.owner  # type: ignore[assignment]
        exchange.request_trailers(block, stream, self.now)

    def reset_received(self, stream: Stream, code: int) -> None:
        exchange: Exchange = stream.owner  # type: ignore[assignment]
        exchange.cancel(code, self.now)
        self.judge_reset(stream, code)

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.relay.tally.protocol_fault("downstream", reason)
        exchange: Exchange = stream.owner  # type: ignore[assignment]
        exchange.cancel(CANCEL, self.now)
        self.judge_reset(stream, code)

    def is_expired(self, stream: Stream) -> bool:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        return exchange is not None and exchange.is_expired(self.now)

    def stream_closed(self, stream: Stream) -> None:
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None:
            exchange.stream_closed(stream)
        if self.open_streams == 0:
            self.idle_since_s = self.now
            if self.draining:
                self.close()

    def settings_changed(self) -> None:
        """Nothing to do: the client's settings matter to the codec only."""

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        """The client will open no more streams; it closes when it has its answers."""

    def count_held(self) -> int:
        """Bytes that wait for the client to take them, or for endpoints, or that are kept for a replay.

        What is kept holds what waits for the endpoint, too.
        """
        count = 0
        for stream in self.streams.values():
            exchange: Exchange | None = stream.owner  # type: ignore[assignment]
            kept = 0 if exchange is None else exchange.count_kept()
            count += count_queued(stream) + max(kept, count_queued(stream.peer))
        return count

    # ---- the end of the connection

    def drain(self, now: float) -> None:
        """Announce the end: a GOAWAY that refuses nothing yet, as requests are under way, and a PING to see them in."""
        if self.drain_at_s == 0 and not self.draining and not self.closed and self.preface_seen:
            self.drain_at_s = now + DRAIN_PING_S
            self.goaway(MAX_STREAM_ID, NO_ERROR)
            self.ping(DRAIN_PING)

    def ping_acked(self, opaque: bytes) -> None:
        if opaque == DRAIN_PING and self.drain_at_s:
            self.refuse_more()

    def refuse_more(self) -> None:
        """The final GOAWAY; the connection is closed after the last open stream."""
        if not self.draining:
            self.finish()
            if self.open_streams == 0:
                self.close()

    def lost(self, reason: str, now: float) -> None:
        self.now = now
        if self.fault:
            self.relay.tally.protocol_fault("downstream", self.fault)
        self.closed = True
        for stream in list(self.streams.values()):
            exchange: Exchange | None = stream.owner  # type: ignore[assignment]
            if exchange is not None:
                exchange.cancel(CANCEL, now)
            self.drop(stream)
