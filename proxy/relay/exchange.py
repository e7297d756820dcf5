"""One request and its response: from the downstream stream that brought it, over an endpoint, back.

Owns what is chosen per request: endpoint, attempts, the body kept for replay, the outcome for balancer and metrics.
Invariants: the outcome is recorded exactly once; `body` holds every byte of the request so far while no response byte
has gone downstream, or is None; what may have been processed is never sent twice (RFC 9113, section 8.7).
"""

from __future__ import annotations

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import ABANDONED, CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.codec.client import Client
from proxy.codec.connection import Connection
from proxy.codec.constants import CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM
from proxy.codec.headers import HeaderBlock
from proxy.codec.sender import append_piece
from proxy.codec.stream import CLOSED, Stream
from proxy.metrics.handles import HttpMetrics
from proxy.relay.cluster import MAX_WAITING, Cluster
from proxy.relay.failure import (
    GRPC_FAILURES,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_UNAVAILABLE,
    HEADERS_TOO_LARGE,
    HTTP_FAULTS,
    HTTP_TOO_MANY_REQUESTS,
    NO_ROUTE,
    OVERLOAD,
    RESPONSE_HEADERS_TOO_LARGE,
    STALLED,
    TIMEOUT,
    UPSTREAM_LOST,
    Failure,
    encode_grpc_response,
    encode_grpc_trailers,
    encode_http_response,
    grpc_status_of_http,
)
from proxy.relay.link import Link
from proxy.relay.relay import Decision, Relay

MAX_REPLAY_BYTES = 65_536
MAX_ATTEMPTS = 3
MIN_DEADLINE_S = 0.01
# How many streams a client may have at an endpoint for each one that the endpoint has still room for.
_SHARE = 2
_TOO_MANY = 2**31
# Where an endpoint takes no more streams: how long a request may be without any body, or one that has begun pause.
_BODILESS_S = 2.0
_PAUSED_S = 60.0


def is_http_fault(block: HeaderBlock) -> bool:
    """Whether a response's status is a fault of the endpoint; 429 only where it asks to wait."""
    return block.status in HTTP_FAULTS or (block.status == HTTP_TOO_MANY_REQUESTS and block.pushback_s >= 0)


def count_streams(client: Connection, link: Link, now: float) -> int:
    """How many streams of a client's connection are open at an endpoint; no end of them where some are stalled."""
    count = 0
    for stream in client.streams.values():
        exchange: Exchange | None = stream.owner  # type: ignore[assignment]
        if exchange is not None and exchange.up is not None and exchange.endpoint is link.endpoint:
            count += _TOO_MANY if exchange.is_stalled(now) else 1
    return count


class Exchange:
    """`down` and `up` are its streams while they are open; `tried` the endpoints that did not process it."""

    __slots__ = (
        "attempts",
        "begun_s",
        "block",
        "body",
        "body_bytes",
        "decision",
        "done",
        "down",
        "ended_s",
        "endpoint",
        "expires_s",
        "faulty",
        "grpc_status",
        "handle",
        "relay",
        "request_end",
        "responding",
        "sampled",
        "started_s",
        "status",
        "tick",
        "trailers",
        "tried",
        "up",
    )

    def __init__(self, relay: Relay, down: Stream, block: HeaderBlock, end: bool, now: float) -> None:
        self.relay = relay
        self.down: Stream | None = down
        self.up: Stream | None = None
        self.block = block
        self.body: list[bytes] | None = []
        self.body_bytes = 0
        self.request_end = end
        self.trailers: HeaderBlock | None = None
        self.decision: Decision = self.relay.decide(block)
        self.endpoint: Endpoint | None = None
        self.handle: HttpMetrics | None = None
        self.tried: tuple[Endpoint, ...] = ()
        self.attempts = 0
        self.started_s = now
        self.begun_s = now
        # When the latest of the request came: what the client takes until its end is no latency of the endpoint.
        self.ended_s = now
        self.status = 0
        self.grpc_status = -1
        self.responding = False
        self.sampled = False
        self.faulty = False
        self.done = False
        self.tick = 0
        # When the route's timeout ends it; 0.0 for never.
        self.expires_s = 0.0

    # ---- to an endpoint

    def start(self, now: float) -> None:
        if self.block.oversize:
            self.fail(HEADERS_TOO_LARGE, "", now)
            return
        decision = self.decision
        if decision.cluster is None:
            self.fail(NO_ROUTE, decision.authority, now)
            return
        if decision.timeout_s > 0:
            self.expires_s = self.started_s + decision.timeout_s
        self.dispatch(now)

    def dispatch(self, now: float) -> None:
        """Give the request to an endpoint, or let it wait for one."""
        cluster = self.decision.cluster
        if self.done or cluster is None:
            return
        endpoint = cluster.balancer.pick(now, self.relay.rng, self.tried)
        if endpoint is None:
            self._wait_for_endpoint(now)
            return
        link: Link = endpoint.link
        conn = self._take(link, now)
        if conn is None:
            # It takes no more streams: if another does, no need to wait.
            other = self._find_room(cluster, endpoint, now)
            if other is not None:
                endpoint = other
                link = endpoint.link
            else:
                link.make_room(now)
            conn = self._take(link, now)
        endpoint.begin(now)
        self.endpoint = endpoint
        self.begun_s = now
        if conn is not None:
            self.send(conn, now)
        elif link.park(self):
            self._limit_wait(now + cluster.failfast_s)
        else:
            self.fail(OVERLOAD, cluster.name, now)

    def _find_room(self, cluster: Cluster, full: Endpoint, now: float) -> Endpoint | None:
        avoid = (*self.tried, full)
        for _attempt in range(MAX_ATTEMPTS - 1):
            endpoint = cluster.balancer.pick(now, self.relay.rng, avoid)
            if endpoint is None:
                return None
            link: Link = endpoint.link
            if self._take(link, now) is not None:
                return endpoint
            avoid += (endpoint,)
        return None

    def _take(self, link: Link, now: float) -> Client | None:
        conn = link.take()
        return conn if conn is not None and self.may_have(link, conn, now) else None

    def may_have(self, link: Link, conn: Client, now: float) -> bool:
        """Whether the client leaves enough of the endpoint's streams to others; while they abound this is one look.

        Or else clients whose requests never end would take them all (docs/decisions/0014).
        """
        down = self.down
        if down is None:
            return True
        client: Connection = down.conn
        room = conn.peer_max_streams - conn.open_streams
        return client.open_streams <= _SHARE * room or count_streams(client, link, now) <= _SHARE * link.count_room()

    def _wait_for_endpoint(self, now: float) -> None:
        cluster = self.decision.cluster
        assert cluster is not None
        decision = self.relay.decide(self.block)
        if decision.cluster is not cluster:
            # The routes have changed: what it would wait for here may never come.
            self.decision = decision
            self.expires_s = 0.0
            self.start(now)
        elif self.tried:
            self.refuse(now)
        elif cluster.fails_fast(now):
            self.fail(cluster.blame(), cluster.describe(), now)
        elif len(cluster.waiting) >= MAX_WAITING:
            self.fail(OVERLOAD, cluster.name, now)
        else:
            cluster.waiting[self] = None
            self._limit_wait(cluster.deserted_since_s + cluster.failfast_s)

    def _limit_wait(self, at_s: float) -> None:
        if self.tick:
            self.relay.remove_deadline(self, self.tick)
        if self.expires_s and self.expires_s < at_s:
            at_s = self.expires_s
        self.tick = self.relay.add_deadline(self, at_s)

    def is_stalled(self, now: float) -> bool:
        """Whether the client has left the request unfinished; one that waits for its answer, however long, has not."""
        if self.request_end or self.responding or self.done:
            return False
        return now - self.ended_s > (_PAUSED_S if self.body_bytes else _BODILESS_S)

    def give_way(self, now: float) -> None:
        """End a stalled request, so that another may have its stream."""
        self.fail(STALLED, "", now)

    def send(self, conn: Client, now: float) -> None:
        """Open a stream on the connection and send all that has come of the request."""
        down = self.down
        if self.done or down is None:
            return
        if self.tick:
            self.relay.remove_deadline(self, self.tick)
            self.tick = 0
        if self.expires_s:
            self.tick = self.relay.add_deadline(self, self.expires_s)
        if self.attempts:
            self.relay.tally.replayed()
        if self.block.size > conn.peer_max_list_bytes:
            self.fail(HEADERS_TOO_LARGE, "the endpoint accepts less", now)
            return
        self._claim()
        up = conn.open(now)
        up.owner = self
        up.peer = down
        down.peer = up
        self.up = up
        body = self.body
        trailers = self.trailers
        if not body:
            conn.send_block(up, self.block, self.request_end and trailers is None)
        else:
            conn.send_block(up, self.block, False)
            last = len(body) - 1
            for at, chunk in enumerate(body):
                conn.send_data(up, chunk, at == last and self.request_end and trailers is None)
        if trailers is not None:
            self._send_trailers(up, trailers, now)

    def _send_trailers(self, up: Stream, trailers: HeaderBlock, now: float) -> None:
        conn: Connection = up.conn
        if trailers.size > conn.peer_max_list_bytes:
            self.fail(HEADERS_TOO_LARGE, "the endpoint accepts less", now)
        else:
            conn.send_headers(up, trailers.encoded, True)

    # ---- from downstream

    def keep(self, payload: bytes) -> None:
        """Remember a piece of the body for a replay, as long as that is bounded."""
        body = self.body
        if body is None:
            return
        self.body_bytes += len(payload)
        if self.body_bytes > MAX_REPLAY_BYTES and self.up is not None:
            self.body = None
        else:
            append_piece(body, payload)

    def count_kept(self) -> int:
        """Bytes that are remembered for a replay."""
        return 0 if self.body is None else self.body_bytes

    def request_data(self, payload: bytes, end: bool, down: Stream, now: float) -> None:
        """A piece of the request's body."""
        self.ended_s = now
        if end:
            self.request_end = True
        if self.body is not None and not self.done:
            self.keep(payload)
        up = down.peer
        if up is not None:
            conn: Connection = up.conn
            conn.send_data(up, payload, end)
        elif self.done:
            # Answered already, the body is nobody's: let the client finish, or tell it to stop once it has the answer.
            conn = down.conn
            if down.send_state == CLOSED and not end:
                conn.reset(down, NO_ERROR)
            else:
                conn.credit(down, len(payload))

    def request_trailers(self, block: HeaderBlock, down: Stream, now: float) -> None:
        self.request_end = True
        self.ended_s = now
        self.trailers = block
        up = down.peer
        if up is not None:
            self._send_trailers(up, block, now)

    def cancel(self, code: int, now: float) -> None:
        """The downstream reset the stream or is gone."""
        self.down = None
        if not self.done:
            if self.is_expired(now):
                self._count(False, 4, now)
                self._finish(EXPIRED, now)
            else:
                self._count(True, 1 if self.block.grpc else -1, now)
                self._finish(CANCELLED, now)
        self._abandon_upstream(code)

    def is_expired(self, now: float) -> bool:
        """True where the client's own deadline has run out: its clock started a little before ours."""
        timeout_s = self.block.grpc_timeout_s
        # A deadline that nothing could meet says nothing, but would make every reset look honest.
        return timeout_s >= MIN_DEADLINE_S and now - self.started_s >= timeout_s - max(0.005, 0.1 * timeout_s)

    # ---- from upstream

    def response(self, block: HeaderBlock, end: bool, up: Stream, now: float) -> None:
        """A response's header block; `end` where it is the whole response."""
        self.body = None
        down = up.peer
        if down is not None and self._is_too_large(block, down):
            self.fail(RESPONSE_HEADERS_TOO_LARGE, "", now)
            return
        if not block.informational:
            self.responding = True
            self.status = block.status
            self.grpc_status = block.grpc_status
            self.faulty = block.status != 200 and is_http_fault(block)
            if block.content_length >= 0 and self.block.method == b"HEAD":
                up.content_left = -1
        if down is not None:
            conn: Connection = down.conn
            conn.send_block(down, block, end)
        if end:
            self.complete(block.pushback_s, now)

    def response_data(self, payload: bytes, end: bool, up: Stream, now: float) -> None:
        if not self.sampled and not self.faulty:
            self._sample(now)
        down = up.peer
        if down is not None:
            conn: Connection = down.conn
            conn.send_data(down, payload, end)
        if end:
            self.complete(-1.0, now)

    def response_trailers(self, block: HeaderBlock, up: Stream, now: float) -> None:
        if block.grpc_status >= 0:
            self.grpc_status = block.grpc_status
        down = up.peer
        if down is not None and self._is_too_large(block, down):
            self.fail(RESPONSE_HEADERS_TOO_LARGE, "trailers", now)
            return
        if down is not None:
            conn: Connection = down.conn
            conn.send_headers(down, block.encoded, True)
        self.complete(block.pushback_s, now)

    def _is_too_large(self, block: HeaderBlock, down: Stream) -> bool:
        conn: Connection = down.conn
        return block.size > conn.peer_max_list_bytes

    def upstream_reset(self, code: int, now: float) -> None:
        """The endpoint reset the stream; the codec forgets it after this."""
        if self.done:
            self._stop_upload()
        elif code == REFUSED_STREAM and not self.responding:
            self.unprocessed(True, now)
        else:
            self._count(False, -1, now)
            self._finish(FAULT, now)
            self._reset_downstream(code)

    def upstream_lost(self, failure: Failure, detail: str, is_fault: bool, now: float) -> None:
        """The connection went, or its peer broke the protocol, with the stream open; it may have been processed."""
        self._detach_upstream()
        if self.done:
            self._stop_upload()
        else:
            self.fail(failure, detail, now, is_fault)

    def unprocessed(self, refused: bool, now: float) -> None:
        """It was not and will not be processed: replay it, or say so downstream.

        `refused` by the endpoint, so never there again; else by one connection only (GOAWAY), and another may do.
        """
        endpoint = self.endpoint
        if self.done or endpoint is None:
            return
        if self.responding:
            self.upstream_lost(UPSTREAM_LOST, "GOAWAY in the middle of a response", True, now)
            return
        self._count(False, GRPC_UNAVAILABLE if self.block.grpc else -1, now)
        self.handle = None
        self._leave_endpoint(UNPROCESSED, now)
        self._detach_upstream()
        self.attempts += 1
        if refused:
            self.tried += (endpoint,)
        if self.body is None or self.attempts >= MAX_ATTEMPTS:
            self.refuse(now)
        else:
            self.dispatch(now)

    def redispatch(self, now: float) -> None:
        """The endpoint went before anything was sent to it."""
        if not self.done:
            self._leave_endpoint(ABANDONED, now)
            self.dispatch(now)

    # ---- ends

    def complete(self, pushback_s: float, now: float) -> None:
        """The response is complete."""
        if self.done:
            return
        status = self.grpc_status
        if self.block.grpc:
            if status < 0:
                status = grpc_status_of_http(self.status)
                faulty = self.faulty
            else:
                # RESOURCE_EXHAUSTED can be a quota or a message's size: a fault only where it asks to wait.
                faulty = status == GRPC_UNAVAILABLE or (status == GRPC_RESOURCE_EXHAUSTED and pushback_s >= 0)
            success = status == 0 or status not in GRPC_FAILURES
        else:
            faulty = self.faulty
            success = self.status < 500
        if not faulty and not self.sampled:
            self._sample(now)
        self._count(success, status, now)
        self._finish(FAULT if faulty else SUCCESS if success else NEUTRAL, now, pushback_s)

    def deadline_passed(self, now: float) -> None:
        """The route's timeout, or the time to wait for an endpoint."""
        self.tick = 0
        if self.done:
            return
        if self.expires_s and now >= self.expires_s:
            # Only a request that was complete and got no byte in answer has waited for the endpoint.
            self.fail(TIMEOUT, "", now, self.request_end and not self.responding)
        elif self.endpoint is None:
            cluster = self.decision.cluster
            assert cluster is not None
            self.fail(cluster.blame(), cluster.describe(), now)
        else:
            self._room_or_fail(self.endpoint.link, now)

    def _room_or_fail(self, link: Link, now: float) -> None:
        """The time to wait for room is over."""
        link.make_room(now)
        if self.up is not None or self.done:
            return
        conn = self._take(link, now)
        if conn is not None:
            link.waiting.pop(self, None)
            self.send(conn, now)
        else:
            self.fail(OVERLOAD, link.cluster.describe(), now)

    def fail(self, failure: Failure, detail: str, now: float, is_fault: bool = False) -> None:
        """End the request by a row of the table; `is_fault` says whether it counts against the endpoint."""
        if self.done:
            return
        cluster = self.decision.cluster
        if cluster is not None and cluster.leaving and failure is cluster.failure:
            # The application that it was meant for has ended, and has not seen it: others may.
            self.relay.failed(failure)
            self._count(False, failure.grpc_status if self.block.grpc else -1, now)
            self.refuse(now)
            return
        relay = self.relay
        relay.failed(failure)
        self.status = self.status or (200 if self.block.grpc else failure.http_status)
        self._count(False, failure.grpc_status if self.block.grpc else -1, now)
        self._finish(FAULT if is_fault else CANCELLED, now)
        self._answer(failure, detail)
        self._abandon_upstream(CANCEL)

    def refuse(self, now: float) -> None:
        """Not processed anywhere: the client's own transparent retry may send it again."""
        self._finish(NEUTRAL, now)
        self._reset_downstream(REFUSED_STREAM)

    def _answer(self, failure: Failure, detail: str) -> None:
        down = self.down
        if down is None:
            return
        conn: Connection = down.conn
        if self.block.grpc:
            encode = encode_grpc_trailers if self.responding else encode_grpc_response
            conn.send_headers(down, encode(failure, detail), True)
        elif self.responding:
            conn.reset(down, INTERNAL_ERROR)
        else:
            block, body = encode_http_response(failure, detail)
            bodyless = self.block.method == b"HEAD"
            conn.send_headers(down, block, bodyless)
            if not bodyless:
                conn.send_data(down, body, True)
        self._stop_upload()

    def _stop_upload(self) -> None:
        """The response is complete: a client that still sends is told that the rest is not wanted (section 8.1)."""
        down = self.down
        if down is not None and down.recv_state != CLOSED and down.send_state == CLOSED:
            conn: Connection = down.conn
            conn.reset(down, NO_ERROR)

    def _reset_downstream(self, code: int) -> None:
        down = self.down
        if down is not None:
            conn: Connection = down.conn
            conn.reset(down, code)

    def _abandon_upstream(self, code: int) -> None:
        up = self.up
        if up is not None:
            conn: Connection = up.conn
            conn.reset(up, CANCEL if code == NO_ERROR else code)

    def _detach_upstream(self) -> None:
        up = self.up
        self.up = None
        if up is not None:
            up.owner = None
            up.peer = None
        if self.down is not None:
            self.down.peer = None

    def _sample(self, now: float) -> None:
        endpoint = self.endpoint
        if endpoint is not None and self.request_end:
            self.sampled = True
            endpoint.sample(now - max(self.begun_s, self.ended_s), now)

    def _claim(self) -> HttpMetrics:
        """Count the request for the endpoint that has it; each claim is followed by one `_count`."""
        handle = self.handle
        if handle is None:
            handle = self.handle = self.decision.handle(self.endpoint)
            handle.requests += 1
        return handle

    def _count(self, success: bool, grpc_status: int, now: float) -> None:
        handle = self._claim()
        handle.observe(success, self.status, grpc_status, (now - self.started_s) * 1000.0)

    def _leave_endpoint(self, outcome: int, now: float, pushback_s: float = -1.0) -> None:
        endpoint = self.endpoint
        if endpoint is not None:
            self.endpoint = None
            if not self.request_end and outcome in (CANCELLED, EXPIRED):
                outcome = ABANDONED
            endpoint.end(outcome, now - self.begun_s, self.sampled, now, pushback_s)
            link: Link = endpoint.link
            if link.waiting:
                link.waiting.pop(self, None)

    def _finish(self, outcome: int, now: float, pushback_s: float = -1.0) -> None:
        self.done = True
        self.body = None
        if self.tick:
            self.relay.remove_deadline(self, self.tick)
            self.tick = 0
        if self.endpoint is not None:
            self._leave_endpoint(outcome, now, pushback_s)
        elif self.decision.cluster is not None:
            self.decision.cluster.waiting.pop(self, None)

    def stream_closed(self, stream: Stream) -> None:
        """One of the streams is over; untie it, so that nothing is left for the garbage collector."""
        other = stream.peer
        stream.owner = None
        stream.peer = None
        if other is not None:
            other.peer = None
        if stream is self.down:
            self.down = None
        elif stream is self.up:
            self.up = None
