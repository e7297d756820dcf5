"""The HTTP/1 connections to one endpoint: kept alive between requests, and dialled when one is wanted (DESIGN 3.2).

A connection carries one request at a time, so there are as many as requests were under way at once; what is idle for
too long is closed by whoever sweeps. Requests that find none free wait here for the dial, or for one to become free.

Invariants: `conns` counts those that are open, `dialling` those on their way, together at most `max_connections`; what
has become a tunnel counts no more. An endpoint is taken to be ready until a dial fails, and then, while one dial after
the other is tried, until one succeeds; the only one of a cluster is not tried while nobody asks for it: nobody counts
the ports that a scan has found closed. One that is foreign to the mesh is tried once for those who wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from proxy.balance.endpoint import Endpoint
from proxy.codec.h1_client import Http1Client
from proxy.relay.cluster import MAX_WAITING, Cluster
from proxy.relay.failure import CONNECT_FAILED, OVERLOAD, STALLED
from proxy.relay.http1.queue import Queue
from proxy.route.model import Endpoint as Target

MAX_CONNECTIONS = 1_024
# Where an endpoint is the only one there is nothing to balance: the room for clients bounds its connections (`net`).
_MAX_SOLE = 1_000_000
# So many requests that are not complete are sent to an endpoint: clients that never finish theirs leave it to others.
MAX_UNFINISHED = 768
MAX_IDLE = 128
_MAX_UNFINISHED, _MAX_IDLE = MAX_UNFINISHED, MAX_IDLE
# The idle ones are closed after this long, or a second before the endpoint says that it does.
IDLE_S = 30.0
_HINT_MARGIN_S = 1.0
# Where an endpoint takes no more connections, a request that is not complete has so long, and more as its body comes:
# at less than this rate it gives way (docs/decisions/0014).
_UNFINISHED_S = 2.0
_MIN_BYTES_PER_S = 500.0
# To look for stalled requests costs a glance at each, so it is done so seldom, and ends so many.
_MAKE_ROOM_S = 0.1
# The only endpoint is dialled again for so long after the last request for it.
_WANTED_S = 5.0
# So often it is believed that its sidecar has refused a request: what is on its way when its application ends.
MAX_HONOURED = 100
_MAKE_ROOM = 16


class Link:
    """`dial` asks `net` for one more connection: it comes through `attach`, or `failed` says why not.

    `target` is what the configuration says of the endpoint, for whoever describes it; `failures` are dials in a row;
    `unfinished` are the requests under way whose clients have not sent all of them; `refusals` those that its sidecar
    has sent back; `doubted` where the endpoint is charged for requests that waited for a dial until their timeout.
    """

    __slots__ = (
        "asked_s",
        "asleep",
        "cluster",
        "connect_timeout_s",
        "conns",
        "dial",
        "dialling",
        "doubted",
        "endpoint",
        "failures",
        "idle",
        "made_room_s",
        "max_connections",
        "members",
        "refusals",
        "removed",
        "target",
        "unfinished",
        "waiting",
    )

    def __init__(self, cluster: Cluster, endpoint: Endpoint, dial: Callable[[Link], None]) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.dial = dial
        self.target: Target | None = None
        self.connect_timeout_s = 1.0
        self.failures = 0
        self.removed = False
        self.max_connections = MAX_CONNECTIONS
        self.unfinished = 0
        self.refusals = 0
        # When it was last asked for, and whether it is dialled no more because that is long ago.
        self.asked_s = 0.0
        self.asleep = False
        self.conns = 0
        self.members: dict[Http1Client, None] = {}
        self.made_room_s = 0.0
        self.dialling = 0
        self.doubted = False
        # The latest is taken first, so that the others get old.
        self.idle: list[Http1Client] = []
        self.waiting = Queue()
        endpoint.link = self
        endpoint.ready = True

    def take(self) -> Http1Client | None:
        """A connection that is free, unless too many requests are not complete: then who asks has to be."""
        return self.idle.pop() if self.idle and self.unfinished < _MAX_UNFINISHED else None

    def take_sure(self) -> Http1Client | None:
        """The same for a request that could not be sent again: not one that the endpoint has closed a moment ago."""
        return self._take_sure() if self.unfinished < _MAX_UNFINISHED else None

    def _take_sure(self) -> Http1Client | None:
        while self.idle:
            conn = self.idle.pop()
            if not conn.io.is_stale():
                return conn
            conn.close()
        return None

    def park(self, exchange: Any) -> bool:
        """Wait for a connection; False where too many wait already."""
        if self.waiting.size >= MAX_WAITING and not self._make_place(exchange):
            return False
        conn = self._take_sure() if self.idle and exchange.request_end and not exchange.needs_fresh else None
        if conn is not None:
            exchange.send(conn, exchange.begun_s)
            return True
        self.waiting.put(exchange)
        self.asked_s = exchange.begun_s
        self._dial_more(exchange.request_end)
        if self._is_full():
            self.make_room(exchange.begun_s)
        return True

    def _is_full(self) -> bool:
        return self.unfinished >= _MAX_UNFINISHED or self.conns >= self.max_connections

    def began(self, exchange: Any) -> None:
        """The first of the body of a request has come that may be waiting."""
        if exchange in self.waiting:
            self.waiting.put(exchange)

    def completed(self, exchange: Any) -> None:
        """All of a request has come that may be waiting."""
        if exchange in self.waiting:
            self.waiting.discard(exchange)
            self.park(exchange)

    def _make_place(self, exchange: Any) -> bool:
        """Whether one that is not complete leaves its place to one that is, or of which nothing came but the head.

        More of a newcomer may be in the same packet as his head.
        """
        other = self.waiting.find_unfinished(exchange.request_end)
        if other is None:
            return False
        other.fail(OVERLOAD, self.cluster.describe(), exchange.begun_s)
        return True

    def make_room(self, now: float) -> None:
        """End some requests that their clients have left unfinished, since others wait for their connections."""
        if now - self.made_room_s < _MAKE_ROOM_S:
            return
        self.made_room_s = now
        stalled: list[Any] = []
        for conn in self.members:
            if conn.owner is not None and len(stalled) < _MAKE_ROOM and is_stalled(conn.owner, now):
                stalled.append(conn.owner)
        for exchange in stalled:
            exchange.fail(STALLED, "", now)

    def _dial_more(self, is_complete: bool) -> None:
        """For those who wait; where too many of them may not be complete, one for a request that is."""
        if self.removed:
            return
        while (
            self.dialling < self.waiting.size
            and self.unfinished + self.dialling < _MAX_UNFINISHED
            and self.conns + self.dialling < self.max_connections
        ):
            self.redial()
        is_late = self.unfinished + self.dialling >= _MAX_UNFINISHED
        if is_complete and is_late and self.conns + self.dialling < self.max_connections:
            self.redial()

    def redial(self) -> None:
        self.dialling += 1
        self.dial(self)

    def seek(self) -> None:
        """A request was lost with its connection a moment ago: where there is no other, a dial tells who is there."""
        if not (self.conns or self.dialling or self.removed):
            self.redial()

    def rouse(self, now: float) -> bool:
        """Somebody asks for it, and it is not ready. True where it was not dialled any more, and now has to be."""
        self.asked_s = now
        if not self.asleep:
            return False
        self.asleep = False
        self.failures = 0
        # What was last heard of it is old: who asks waits for the dial.
        self.cluster.deserted_since_s = now
        return True

    def _is_wanted(self, now: float) -> bool:
        others = len(self.cluster.balancer.endpoints) > 1
        return others or bool(self.cluster.waiting) or now - self.asked_s < _WANTED_S

    # ---- from net

    def attach(self, conn: Http1Client, now: float) -> None:
        """A connection is established."""
        self.dialling -= 1
        self.conns += 1
        self.members[conn] = None
        self.failures = 0
        if self.doubted:
            self.doubted = False
            self.endpoint.renew()
        if not self.endpoint.ready:
            self.cluster.set_ready(self.endpoint, True, now)
        self._give(conn, True, now)

    def failed(self, error: str, now: float, is_refused: bool = False) -> None:
        """A dial has failed: those who wait go elsewhere, and it is tried again until it succeeds or nobody asks.

        `is_refused`: the network has said that nobody is there.
        """
        self.dialling -= 1
        self.failures += 1
        self.cluster.last_error = error
        if self.removed:
            return
        if self.endpoint.ready:
            self.cluster.set_ready(self.endpoint, False, now)
        self.scatter(now)
        if not self.conns:
            self.endpoint.renew()
            self.refusals = 0
        if self.dialling == 0:
            if is_refused and self.is_foreign():
                self._refuse(now)
            elif self._is_wanted(now):
                self.redial()
            else:
                self.asleep = True

    def is_foreign(self) -> bool:
        return self.target is not None and self.target.is_foreign

    def _refuse(self, now: float) -> None:
        """Who waits is told at once, as it would be without a mesh; the next request is a dial of its own."""
        self.asleep = True
        waiting: Any = self.cluster.waiting
        for _waiting in range(len(waiting)):
            exchange, _ = waiting.popitem(last=False)
            exchange.fail(CONNECT_FAILED, self.cluster.describe(), now)

    # ---- from the relay

    def release(self, conn: Http1Client, now: float) -> None:
        """A request is over, and its connection may serve for the next one."""
        conn.rested = True
        conn.proven = True
        self._give(conn, False, now)

    def _give(self, conn: Http1Client, is_fresh: bool, now: float) -> None:
        if self.removed:
            conn.close()
            return
        exchange = self.waiting.find_next(is_fresh) if self.waiting.size else None
        if exchange is not None and (exchange.request_end or self.unfinished < _MAX_UNFINISHED):
            self.waiting.discard(exchange)
            exchange.send(conn, now)
        elif len(self.idle) < _MAX_IDLE:
            conn.rested = True
            self.idle.append(conn)
        else:
            conn.close()

    def forget(self, conn: Http1Client) -> None:
        """A connection is gone, or takes no more requests: it may be a tunnel now, whose client has room of its own."""
        self.conns -= 1
        self.members.pop(conn, None)
        if conn.owner is None and conn in self.idle:
            self.idle.remove(conn)
        if self.waiting.size:
            self._dial_more(self.waiting.find_next(True).request_end)

    def remove(self, now: float) -> None:
        """The endpoint is no longer wanted: what it is doing it finishes."""
        self.removed = True
        for conn in list(self.idle):
            conn.close()
        self.scatter(now)

    def scatter(self, now: float) -> None:
        """Nothing of what waits here was sent: other endpoints may have it."""
        for _waiting in range(self.waiting.size):
            exchange = self.waiting.pop()
            exchange.redispatch(not self.removed, now)

    def close_idle(self, now: float) -> None:
        """Every second or so: end what nobody has used for long, or what others wait for."""
        if self.waiting.size:
            if self._is_full():
                self.make_room(now)
            if self.waiting.size:
                self._dial_more(self.waiting.find_next(True).request_end)
        for conn in [conn for conn in self.idle if now - conn.now > idle_limit_s(conn)]:
            conn.close()


def is_stalled(exchange: Any, now: float) -> bool:
    """Whether a client leaves its request unfinished; one that waits for its answer, however long, does not."""
    if exchange.request_end or exchange.responding or exchange.done or exchange.down is None or exchange.down.paused:
        return False
    return bool(now - exchange.started_s > _UNFINISHED_S + exchange.body_bytes / _MIN_BYTES_PER_S)


def idle_limit_s(conn: Http1Client) -> float:
    """How long it may be idle. A peer that closes at the same moment would cost a POST."""
    if conn.keep_alive_s < 0:
        return IDLE_S
    return min(IDLE_S, max(0.0, conn.keep_alive_s - _HINT_MARGIN_S))


def find_sole(cluster: Cluster) -> Link | None:
    """The link of a cluster's only endpoint."""
    endpoints = cluster.balancer.endpoints
    if len(endpoints) != 1:
        return None
    link: Link = endpoints[0].link
    return link


def replace_endpoints(
    cluster: Cluster,
    targets: Iterable[Target],
    dial: Callable[[Link], None],
    connect_timeout_s: float,
    now: float,
) -> None:
    """Make these the cluster's endpoints; their hosts are addresses. Those that stay keep connections and estimates."""
    known = {endpoint.address: endpoint for endpoint in cluster.balancer.endpoints}
    wanted = []
    for target in targets:
        address = (target.host, target.port)
        endpoint = known.get(address)
        if endpoint is None:
            endpoint = known[address] = Endpoint(address)
            Link(cluster, endpoint, dial)
        endpoint.weight = target.weight
        endpoint.link.target = target
        endpoint.link.connect_timeout_s = connect_timeout_s
        wanted.append(endpoint)
    for gone in cluster.balancer.replace(wanted):
        gone.link.remove(now)
    for endpoint in wanted:
        link: Link = endpoint.link
        link.max_connections = _MAX_SOLE if len(wanted) == 1 else MAX_CONNECTIONS
        if len(wanted) > 1 and link.rouse(now):
            link.redial()
    cluster.refresh(now)
