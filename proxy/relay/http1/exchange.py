"""One HTTP/1 request and its response: from the downstream connection that brought it, over an endpoint, back.

Owns what is chosen per request: endpoint, attempts, the body kept for a second one, the outcome for balancer and
metrics. Invariants: the outcome is recorded exactly once; while `body` is not None it holds every byte of the request's
body so far; what may have been processed is sent again only if it is idempotent and its connection had been idle: then
the endpoint has most likely closed it before the request came (RFC 9110, section 9.2.2; RFC 9112, section 9.3.1). What
a sidecar there has refused was not processed: it goes to another endpoint, whatever its method.
"""

from __future__ import annotations

from typing import Any

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import ABANDONED, CANCELLED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.codec.h1_client import Http1Client
from proxy.codec.h1_head import NO_BODY, UNTIL_CLOSE
from proxy.codec.h1_request import RequestHead
from proxy.codec.h1_response import ResponseHead
from proxy.codec.h1_server import Http1Server
from proxy.codec.sender import append_piece
from proxy.metrics.handles import HttpMetrics
from proxy.relay.cluster import MAX_WAITING, Cluster
from proxy.relay.failure import (
    CONNECT_FAILED,
    ERROR_HEADER,
    HTTP_FAULTS,
    HTTP_TOO_MANY_REQUESTS,
    METHOD_NOT_ALLOWED,
    NO_ROUTE,
    OVERLOAD,
    TIMEOUT,
    Failure,
)
from proxy.relay.http1.answer import encode_answer
from proxy.relay.http1.link import MAX_HONOURED, Link, find_sole
from proxy.relay.relay import TICK_S, Decision, Relay

MAX_REPLAY_BYTES = 65_536
# How many endpoints a request may be refused by.
MAX_REFUSALS = 2
# A client that has sent its end may only have no more to say; so long it gets its answer, then it counts as gone.
HALF_CLOSED_S = 5.0
# An endpoint that has answered well before it has all of the request reads on for so long: in all, and without a byte.
UPLOAD_S = 30.0
UPLOAD_IDLE_S = 5.0
_HTTP_REDIRECTS = 300
_HTTP_BAD_REQUEST = 400
_NO_BODY, _UNTIL_CLOSE = NO_BODY, UNTIL_CLOSE
_REFUSAL_STATUSES = (502, 503)
_NAMES_FAILURE = b"\r\n" + ERROR_HEADER + b": "


class Exchange:
    """`down` and `up` are its connections while they belong to it."""

    __slots__ = (
        "begun_s",
        "body",
        "body_bytes",
        "decision",
        "done",
        "down",
        "ended_s",
        "endpoint",
        "expires_s",
        "faulty",
        "handle",
        "head",
        "needs_fresh",
        "proven",
        "relay",
        "request_end",
        "responding",
        "retry_after_s",
        "reused",
        "sampled",
        "started_s",
        "status",
        "tick",
        "trailers",
        "tried",
        "tunnelling",
        "unreached_s",
        "up",
        "uploading",
        "uploads_until_s",
    )

    decision: Decision

    def __init__(self, relay: Relay, down: Http1Server, head: RequestHead, end: bool) -> None:
        self.relay = relay
        self.down: Http1Server | None = down
        self.up: Http1Client | None = None
        self.head = head
        self.body: list[bytes] | None = None
        self.body_bytes = 0
        self.tried: tuple[Endpoint, ...] = ()
        self.request_end = end
        self.trailers = b""
        self.endpoint: Endpoint | None = None
        self.handle: HttpMetrics | None = None
        self.started_s = 0.0
        self.begun_s = 0.0
        # When the request was complete: what the client takes until then is no latency of the endpoint.
        self.ended_s = 0.0
        self.status = 0
        self.retry_after_s = -1.0
        # Its connection has waited for it; it has answered before, so that its end, while it was idle, is no fault.
        self.reused = False
        self.proven = False
        # It must have a connection that has not waited.
        self.needs_fresh = False
        # When an endpoint could first not be dialled for it, 0.0 for never.
        self.unreached_s = 0.0
        self.responding = False
        self.tunnelling = False
        self.sampled = False
        self.faulty = False
        self.done = False
        self.tick = 0
        # When the route's timeout ends it; 0.0 for never.
        self.expires_s = 0.0
        # Its link counts it among those that are not complete.
        self.uploading = False
        # It is answered, and the rest of it goes on to the endpoint until then at most.
        self.uploads_until_s = 0.0

    # ---- to an endpoint

    def start(self, now: float) -> None:
        self.started_s = self.begun_s = self.ended_s = now
        if not self.request_end:
            self.body = []
        if self.head.is_connect:
            # Nobody is asked where it would lead.
            self.decision = Decision(self.relay.tally, "", None, 0.0)
            self.fail(METHOD_NOT_ALLOWED, "", now)
        else:
            self._follow(self.relay.decide(self.head.block), now)

    def _follow(self, decision: Decision, now: float) -> None:
        self.decision = decision
        if decision.cluster is None:
            self.fail(NO_ROUTE, decision.authority, now)
        else:
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
        conn = None
        if not self.needs_fresh:
            conn = link.take() if self.head.idempotent else link.take_sure()
        endpoint.begin(now)
        self.endpoint = endpoint
        self.begun_s = now
        if conn is not None:
            self.send(conn, now)
        elif link.park(self):
            if self.up is None and not self.done:
                self._limit_wait((self.unreached_s or now) + cluster.failfast_s)
        else:
            self.fail(OVERLOAD, cluster.name, now)

    def _wait_for_endpoint(self, now: float) -> None:
        cluster = self.decision.cluster
        assert cluster is not None
        decision = self.relay.decide(self.head.block)
        waiting: Any = cluster.waiting
        if decision.cluster is not cluster:
            # The routes have changed: what it would wait for here may never come.
            self.expires_s = 0.0
            self._follow(decision, now)
        elif self.tried:
            self.fail(self._reason(cluster), cluster.describe(), now)
        else:
            link = find_sole(cluster)
            if link is not None and not link.rouse(now):
                link = None
            if cluster.fails_fast(now):
                self.fail(self._reason(cluster), cluster.describe(), now)
            elif len(waiting) >= MAX_WAITING:
                self.fail(OVERLOAD, cluster.name, now)
            else:
                waiting[self] = None
                if self.unreached_s and self.unreached_s < cluster.deserted_since_s:
                    self.unreached_s = cluster.deserted_since_s
                self._limit_wait(cluster.deserted_since_s + cluster.failfast_s)
            if link is not None:
                link.redial()

    def _reason(self, cluster: Cluster) -> Failure:
        return CONNECT_FAILED if self.unreached_s else cluster.failure

    def _limit_wait(self, at_s: float) -> None:
        if self.expires_s and self.expires_s < at_s:
            at_s = self.expires_s
        self._set_deadline(at_s)

    def _set_deadline(self, at_s: float) -> None:
        """Instead of the one there was; 0.0 for none."""
        me: Any = self
        if self.tick:
            self.relay.remove_deadline(me, self.tick)
        self.tick = self.relay.add_deadline(me, at_s) if at_s else 0

    def send(self, conn: Any, now: float) -> None:
        """Send all that has come of the request on this connection."""
        up: Http1Client = conn
        down = self.down
        head = self.head
        if self.tick or self.expires_s:
            self._set_deadline(self.expires_s)
        self._claim()
        up.owner = self
        self.up = up
        self.reused = up.rested
        self.proven = up.proven
        self.unreached_s = 0.0
        if not self.request_end:
            link: Link = up.link
            link.unfinished += 1
            self.uploading = True
        up.send_request(head)
        body = self.body
        if body is not None:
            up.send_data(b"".join(body))
            if self.body_bytes > MAX_REPLAY_BYTES:
                self.body = None
            if self.request_end:
                up.send_end(self.trailers)
            elif down is not None and not up.blocked:
                down.resume()
        elif self.request_end and head.idempotent:
            self.body = []

    def redispatch(self, unreached: bool, now: float) -> None:
        """The endpoint went, or could not be reached, before anything was sent to it."""
        if not self.done:
            if unreached and not self.unreached_s:
                self.unreached_s = now
            if unreached and self.needs_fresh and self.reused:
                # Whose idle connection ended may well be there, and who could not be reached is not ready now.
                self.tried = ()
            # No penalty: that it is not ready until a dial succeeds keeps requests away, and no longer than it must.
            self._leave_endpoint(ABANDONED, now)
            self.dispatch(now)

    # ---- from downstream

    def request_data(self, piece: bytes) -> None:
        """A piece of the request's body, or of a tunnel."""
        up = self.up
        body = self.body
        self.body_bytes += len(piece)
        if body is not None:
            if up is None or self.body_bytes <= MAX_REPLAY_BYTES:
                append_piece(body, piece)
            else:
                self.body = None
        if up is not None:
            up.send_data(piece)
            return
        if self.endpoint is not None and self.body_bytes == len(piece):
            link: Link = self.endpoint.link
            link.began(self)
        if self.body_bytes > MAX_REPLAY_BYTES and self.down is not None and not self.done:
            self.down.pause()

    def request_ended(self, trailers: bytes, now: float) -> None:
        self.request_end = True
        self.ended_s = now
        self.trailers = trailers
        up = self.up
        if self.uploading and self.endpoint is not None:
            self._upload_over(self.endpoint.link)
        if up is not None:
            up.send_end(trailers)
            if self.uploads_until_s:
                self._end_upload(now)
        elif self.endpoint is not None:
            link: Link = self.endpoint.link
            link.completed(self)

    def half_closed(self, now: float) -> None:
        """The client sends no more."""
        if self.tunnelling and self.up is not None:
            self.up.finish()
            self._end_tunnel(now)
        elif not self.request_end:
            self.cancel(now)
        elif not self.done and not self.responding and (not self.expires_s or self.expires_s > now + HALF_CLOSED_S):
            self.expires_s = now + HALF_CLOSED_S
            # One that waits for an endpoint may have to give up before that.
            if not self.tick or self.tick * TICK_S > self.expires_s:
                self._set_deadline(self.expires_s)

    def cancel(self, now: float) -> None:
        """The client is gone."""
        down = self.down
        self.down = None
        if down is not None:
            down.owner = None
            if not down.closed:
                down.close()
        if not self.done:
            self._count(True, now)
            self._finish(SUCCESS if self.tunnelling else CANCELLED, now)
        elif self.uploads_until_s:
            self.uploads_until_s = 0.0
            self._set_deadline(0.0)
        self._abandon_upstream()

    def reject(self, failure: Failure, detail: str, now: float) -> None:
        """The client broke the protocol in the middle of its request."""
        if self.uploads_until_s:
            self.cancel(now)
            return
        self.request_end = False
        self.fail(failure, detail, now)

    # ---- from upstream

    def interim(self, head: ResponseHead) -> None:
        """HTTP/1.0 knows of none (RFC 9110, section 15.2)."""
        self.body = None
        down = self.down
        if down is not None and down.minor:
            down.put(head.encoded)

    def switched(self, head: ResponseHead, now: float) -> None:
        """A WebSocket from here on: bytes both ways, until both have sent their end. No timeout of a route ends it."""
        down = self.down
        if down is None:
            return
        self.body = None
        self.status = head.status
        self.responding = True
        self.tunnelling = True
        self.expires_s = 0.0
        self._set_deadline(0.0)
        self._sample(now)
        down.put(head.encoded)
        down.tunnel()
        down.resume()

    def response(self, head: ResponseHead, framing: int, now: float) -> None:
        """The head of the response."""
        if head.refused and self._may_go_elsewhere(head):
            self._go_elsewhere(now)
            return
        self.body = None
        self.responding = True
        if self.down is not None and self.down.ended:
            # It has begun, so it comes to its end: a part of it must not be taken for the whole.
            self.expires_s = self.started_s + self.decision.timeout_s if self.decision.timeout_s > 0 else 0.0
            self._set_deadline(self.expires_s)
        status = self.status = head.status
        if status >= HTTP_TOO_MANY_REQUESTS:
            self.retry_after_s = head.retry_after_s
            self.faulty = status in HTTP_FAULTS or (status == HTTP_TOO_MANY_REQUESTS and head.retry_after_s >= 0)
        if not self.faulty:
            self._sample(now)
        down = self.down
        if down is not None:
            # A client that still sends when it has its answer may not stop in time for the next request.
            down.send_response(head, framing, self.request_end and not self.head.close and not down.ended)

    def response_data(self, piece: bytes) -> None:
        down = self.down
        if down is not None:
            down.send_data(piece)
            if down.blocked and self.up is not None:
                self.up.pause()

    def response_ended(self, trailers: bytes, clean: bool, now: float) -> None:
        """The response is complete: on both sides the next one may come, where all was said and nothing too much."""
        down = self.down
        up = self.up
        if down is None or up is None:
            return
        down.send_end(trailers)
        if not self.faulty and not self.sampled:
            self._sample(now)
        success = self.status < 500
        self._count(success, now)
        self._finish(FAULT if self.faulty else SUCCESS if success else NEUTRAL, now, self.retry_after_s)
        if not self.request_end and self.status < _HTTP_REDIRECTS and not (up.ended or up.closed):
            self._upload_on(now)
            return
        self.up = None
        self.down = None
        up.owner = None
        if up.reusable and clean and self.request_end and (self.head.framing == _NO_BODY or self._was_read()):
            up.resume()
            link: Link = up.link
            link.release(up, now)
        else:
            up.close()
        down.answered(now)

    def _was_read(self) -> bool:
        """Whether the endpoint has most likely taken the request's body.

        Many refuse, or answer a GET, without a look at it, and read it as the next request: its answer would be the
        next client's.
        """
        # PUT alone of the idempotent methods has a body that means something.
        has_meaning = not self.head.idempotent or self.head.encoded.startswith(b"PUT ")
        return has_meaning and self.status < _HTTP_BAD_REQUEST

    def _upload_on(self, now: float) -> None:
        """Answered well before all of the request has come: the endpoint gets the rest, since it may count on it."""
        self.uploads_until_s = now + UPLOAD_S
        self._set_deadline(now + UPLOAD_IDLE_S)
        down = self.down
        if down is not None and down.sending == _UNTIL_CLOSE:
            down.finish()

    def _end_upload(self, now: float) -> None:
        """All of it has come, or it will not: neither connection serves another request."""
        self.uploads_until_s = 0.0
        if self.tick:
            self._set_deadline(0.0)
        up = self.up
        self.up = None
        if up is not None:
            up.owner = None
            if self.request_end:
                up.close()
            else:
                up.abort()
        down = self.down
        self.down = None
        if down is not None:
            down.answered(now)

    def upstream_lost(self, failure: Failure, detail: str, may_retry: bool, now: float) -> None:
        """The connection went, or its peer broke the protocol; the request may have been processed."""
        self.up = None
        if self.done:
            if self.uploads_until_s:
                self._end_upload(now)
            return
        if self.tunnelling:
            self._count(True, now)
            self._finish(NEUTRAL, now)
            self._abort_downstream()
        elif self.responding:
            self._count(False, now)
            self._finish(FAULT, now)
            self._abort_downstream()
        elif may_retry and self._may_be_sent_again():
            self._retry(now)
        else:
            # The end of a connection that was idle is no fault of the endpoint's.
            self.fail(failure, detail, now, not (may_retry and self.proven))

    def _may_be_sent_again(self) -> bool:
        """Once, and not again by who has it then: what ends its hosts is not to reach all of them.

        On a new connection an endpoint that is about to end closes it unread, or one has ended that could not bear the
        request: then it is for another one alone to try.
        """
        if not self.head.idempotent or self.body is None or self.needs_fresh:
            return False
        return self.reused or self._has_another_ready()

    def _has_another_ready(self) -> bool:
        """Whether another endpoint could have it at once."""
        cluster, endpoint = self.decision.cluster, self.endpoint
        return cluster is not None and any(other is not endpoint for other in cluster.balancer.ready)

    def _retry(self, now: float) -> None:
        self.relay.tally.replayed()
        self._count(False, now)
        self.handle = None
        if self.endpoint is not None and self._has_another_ready():
            # What ends its connections may be about to end itself.
            self.tried = (self.endpoint,)
        self._leave_endpoint(CANCELLED if self.proven else FAULT, now)
        self.needs_fresh = True
        self.dispatch(now)

    def _may_go_elsewhere(self, head: ResponseHead) -> bool:
        """Whether a sidecar can have said so, all that came of the request is here, and it has not gone far already.

        An application that says so could have every request made twice: so it is heard a limited number of times, and
        never where there is nothing but it, as behind a sidecar of its own.
        """
        cluster = self.decision.cluster
        endpoint = self.endpoint
        if cluster is None or endpoint is None or not has_others(cluster, endpoint):
            return False
        link: Link = endpoint.link
        if head.status not in _REFUSAL_STATUSES or not head.close or _NAMES_FAILURE not in head.encoded.lower():
            return False
        has_all = self.body is not None or (self.request_end and self.body_bytes == 0)
        return has_all and len(self.tried) < MAX_REFUSALS and link.refusals < MAX_HONOURED

    def _go_elsewhere(self, now: float) -> None:
        """The endpoint's sidecar has refused it: its application has ended, and has not seen the request.

        That happens once in its life, to what is on its way then; more of it counts as a fault.
        """
        outcome = UNPROCESSED
        self.relay.tally.replayed()
        self._count(False, now)
        self.handle = None
        if self.endpoint is not None:
            self.tried += (self.endpoint,)
            link: Link = self.endpoint.link
            if link.refusals:
                outcome = FAULT
            link.refusals += 1
        self._leave_endpoint(outcome, now)
        self._abandon_upstream()
        self.dispatch(now)

    def tunnel_ended(self, now: float) -> None:
        """The endpoint sends no more."""
        if self.down is not None:
            self.down.finish()
            self._end_tunnel(now)

    def _end_tunnel(self, now: float) -> None:
        down = self.down
        up = self.up
        if down is None or up is None or not (down.ended and up.ended):
            return
        self._count(True, now)
        self._finish(SUCCESS, now)
        self.up = None
        self.down = None
        up.owner = None
        down.owner = None
        up.close()
        down.close()

    # ---- ends

    def deadline_passed(self, now: float) -> None:
        """The route's timeout, or the time to wait for an endpoint."""
        self.tick = 0
        if self.done:
            if self.uploads_until_s:
                self._look_at_upload(now)
            return
        if self.expires_s and now >= self.expires_s:
            down = self.down
            # Only a request that was complete and got no byte in answer has waited for the endpoint, and only if its
            # client would have waited longer.
            waited = self.request_end and not self.responding and not (down is not None and down.ended)
            self.fail(TIMEOUT, "", now, waited)
        else:
            cluster = self.decision.cluster
            assert cluster is not None
            failure = OVERLOAD
            if self.endpoint is None:
                failure = self._reason(cluster)
            elif not self.endpoint.link.conns:
                failure = CONNECT_FAILED
            self.fail(failure, cluster.describe(), now)

    def _look_at_upload(self, now: float) -> None:
        down = self.down
        until_s = 0.0 if down is None else min(down.now + UPLOAD_IDLE_S, self.uploads_until_s)
        if now < until_s:
            self._set_deadline(until_s)
        else:
            self._end_upload(now)

    def fail(self, failure: Failure, detail: str, now: float, is_fault: bool = False) -> None:
        """End the request by a row of the table; `is_fault` says whether it counts against the endpoint."""
        if self.done:
            return
        self.relay.failed(failure)
        self.status = self.status or failure.http_status
        self._count(False, now)
        self._finish(FAULT if is_fault else CANCELLED, now)
        self._abandon_upstream()
        down = self.down
        if down is None:
            return
        if self.responding:
            self._abort_downstream()
            return
        self.down = None
        refused = self._is_refusal(failure)
        keep = down.keep = self.request_end and not self.head.close and not down.draining and not refused
        down.put(encode_answer(failure, detail, self.head.is_head, down.minor, keep, refused))
        down.answered(now)

    def _is_refusal(self, failure: Failure) -> bool:
        """Whether the application that it was meant for has ended; what fails so was not sent, or may be sent again."""
        cluster = self.decision.cluster
        return cluster is not None and cluster.leaving and (failure is CONNECT_FAILED or failure is cluster.failure)

    def _abort_downstream(self) -> None:
        """It must not take what it has for the whole."""
        down = self.down
        self.down = None
        if down is not None:
            down.owner = None
            down.abort()

    def _abandon_upstream(self) -> None:
        up = self.up
        self.up = None
        if up is not None:
            up.owner = None
            up.abort()

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

    def _count(self, success: bool, now: float) -> None:
        handle = self._claim()
        handle.observe(success, self.status, -1, (now - self.started_s) * 1000.0)

    def _leave_endpoint(self, outcome: int, now: float, retry_after_s: float = -1.0) -> None:
        endpoint = self.endpoint
        if endpoint is not None:
            self.endpoint = None
            link: Link = endpoint.link
            if not self.request_end and outcome == CANCELLED:
                outcome = ABANDONED
            elif not link.conns and self in link.waiting:
                # It has waited for a dial: how long that takes says nothing of who answers then.
                if outcome == FAULT:
                    # But until somebody does, others are not to wait there too.
                    link.doubted = True
                    endpoint.estimate.raise_to(endpoint.settings.penalty_s, now)
                outcome = ABANDONED
            endpoint.end(outcome, now - self.begun_s, self.sampled, now, retry_after_s)
            if self.uploading:
                self._upload_over(link)
            if link.waiting.size:
                link.waiting.discard(self)

    def _upload_over(self, link: Link) -> None:
        self.uploading = False
        link.unfinished -= 1

    def _finish(self, outcome: int, now: float, retry_after_s: float = -1.0) -> None:
        self.done = True
        self.body = None
        if self.tick:
            self._set_deadline(0.0)
        if self.endpoint is not None:
            self._leave_endpoint(outcome, now, retry_after_s)
        elif self.decision.cluster is not None:
            waiting: Any = self.decision.cluster.waiting
            waiting.pop(self, None)


def has_others(cluster: Cluster, endpoint: Endpoint) -> bool:
    """Whether there is anybody else; the endpoint itself may have been taken out since it got the request."""
    return any(other is not endpoint for other in cluster.balancer.endpoints)
