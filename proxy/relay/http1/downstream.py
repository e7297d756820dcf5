"""An HTTP/1 connection from a client: one exchange after the other, the one under way being its `owner`.

Owns what concerns the client as a whole: its faults, its end, and draining it (DESIGN 3.2; RFC 9112, section 9.6).
"""

from __future__ import annotations

from proxy.codec.h1_memo import HeadMemo
from proxy.codec.h1_request import RequestHead
from proxy.codec.h1_server import Http1Server
from proxy.relay.failure import REQUEST_TIMEOUT, Failure
from proxy.relay.http1.answer import encode_answer, failure_of_status
from proxy.relay.http1.exchange import Exchange
from proxy.relay.relay import Relay

# An idle client of a draining proxy has so long to send one more request, which is answered with `close`: a connection
# that is closed while a POST is on its way costs that POST.
DRAIN_IDLE_S = 1.0


class Downstream(Http1Server):
    """`drain_at_s` is when it is closed if it is idle then; 0.0 while it is not draining."""

    __slots__ = ("drain_at_s", "relay")

    def __init__(self, relay: Relay, memo: HeadMemo, now: float) -> None:
        super().__init__(memo, relay.flushes, now)
        self.relay = relay
        self.drain_at_s = 0.0

    # ---- events

    def request_received(self, head: RequestHead, end: bool) -> None:
        exchange = Exchange(self.relay, self, head, end)
        self.owner = exchange
        exchange.start(self.now)

    def data_received(self, piece: bytes) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.request_data(piece)

    def message_received(self, trailers: bytes, clean: bool) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.request_ended(trailers, self.now)

    def block(self) -> None:
        """The client does not read: the endpoint is not to send."""
        self.blocked = True
        exchange: Exchange | None = self.owner
        if exchange is not None and exchange.up is not None:
            exchange.up.pause()

    def unblock(self) -> None:
        exchange: Exchange | None = self.owner
        if exchange is not None and exchange.up is not None:
            exchange.up.resume()
        Http1Server.unblock(self)

    # ---- the end of the connection

    def faulted(self, status: int, reason: str) -> None:
        """Where the next request would begin is no longer certain."""
        self.relay.tally.protocol_fault("downstream", reason)
        self.fault = reason
        failure = failure_of_status(status)
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.reject(failure, reason, self.now)
        else:
            self.refuse(failure, reason)

    def refuse(self, failure: Failure, detail: str) -> None:
        """Answer what never became a request."""
        self.relay.failed(failure)
        self.put(encode_answer(failure, detail, False, 1, False))
        self.close()

    def head_timed_out(self) -> None:
        """A head has been coming in for too long, or the trailers of a request."""
        exchange: Exchange | None = self.owner
        self.fault = "head too slow" if exchange is None else "trailers too slow"
        self.relay.tally.protocol_fault("downstream", self.fault)
        if exchange is None:
            self.refuse(REQUEST_TIMEOUT, "")
        else:
            exchange.reject(REQUEST_TIMEOUT, "", self.now)

    def peer_ended(self, now: float) -> None:
        self.now = now
        self.ended = True
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.half_closed(now)
        elif not self.closed:
            self.close()

    def lost(self, reason: str, now: float) -> None:
        self.now = now
        self.closed = True
        exchange: Exchange | None = self.owner
        if exchange is not None:
            exchange.cancel(now)

    def drain(self, now: float) -> None:
        """The response under way, or the next one, says `close`; an idle connection is closed by whoever sweeps."""
        if self.drain_at_s == 0:
            self.drain_at_s = now + DRAIN_IDLE_S
            self.draining = True
