"""An HTTP/1 connection to an endpoint: idle in its link, or busy with one exchange, its `owner`."""

from __future__ import annotations

from proxy.codec.h1_client import Http1Client
from proxy.codec.h1_fault import BAD_REQUEST
from proxy.codec.h1_memo import HeadMemo
from proxy.codec.h1_response import ResponseHead
from proxy.relay.failure import BAD_RESPONSE, UPSTREAM_LOST
from proxy.relay.http1.exchange import Exchange
from proxy.relay.http1.link import Link
from proxy.relay.relay import Relay


class Upstream(Http1Client):
    """`counted` while its link counts it among its connections."""

    __slots__ = ("counted", "relay")

    def __init__(self, relay: Relay, link: Link, memo: HeadMemo, now: float) -> None:
        super().__init__(memo, relay.flushes, now)
        self.relay = relay
        self.link = link
        self.counted = False

    def attach(self, now: float) -> None:
        """The connection is established."""
        self.now = now
        self.counted = True
        link: Link = self.link
        link.attach(self, now)

    # ---- events

    def interim_received(self, head: ResponseHead) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.interim(head)

    def switched(self, head: ResponseHead) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            self._leave()
            exchange.switched(head, self.now)

    def response_received(self, head: ResponseHead, framing: int) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.response(head, framing, self.now)

    def data_received(self, piece: bytes) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.response_data(piece)

    def message_received(self, trailers: bytes, clean: bool) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.response_ended(trailers, clean, self.now)

    def tunnel_ended(self) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.tunnel_ended(self.now)

    def block(self) -> None:
        """The endpoint does not read: the client is not to send."""
        self.blocked = True
        exchange: Exchange | None = self.owner
        if exchange is not None and exchange.down is not None:
            exchange.down.pause()

    def unblock(self) -> None:
        self.blocked = False
        exchange: Exchange | None = self.owner
        if exchange is not None and exchange.down is not None:
            exchange.down.resume()

    # ---- the end of the connection

    def faulted(self, status: int, reason: str) -> None:
        self.relay.tally.protocol_fault("upstream", reason)
        self.fault = reason
        exchange: Exchange | None = self.owner
        self.owner = None
        self.abort()
        if exchange is not None:
            exchange.upstream_lost(BAD_RESPONSE, reason, False, self.now)

    def head_timed_out(self, now: float) -> None:
        """A head has been coming in for too long, or the trailers of a response."""
        self.now = now
        self.faulted(BAD_REQUEST, "trailers too slow" if self.is_in_trailers() else "head too slow")

    def lost(self, reason: str, now: float) -> None:
        self.now = now
        exchange: Exchange | None = self.owner
        is_answered = self.interim > 0 or self.beginning is not None
        link: Link = self.link
        was_counted = self.counted
        self._leave()
        self.owner = None
        self.closed = True
        if exchange is not None:
            exchange.upstream_lost(UPSTREAM_LOST, reason, not is_answered, now)
            if was_counted:
                self.relay.suspects[link] = None

    def close(self) -> None:
        self._leave()
        Http1Client.close(self)

    def _leave(self) -> None:
        if self.counted:
            self.counted = False
            link: Link = self.link
            link.forget(self)
