"""The HTTP/2 connections to one endpoint, and the requests that wait for room on them (DESIGN 3.2).

One connection as a rule, another when MAX_CONCURRENT_STREAMS is reached. A connection that may take no new streams
(GOAWAY, ids running out) leaves at once and finishes what it has; its successor is dialled at the same time.
Invariant: the endpoint is ready if and only if a connection is here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from proxy.balance.endpoint import Endpoint
from proxy.codec.client import Client
from proxy.codec.limits import Limits
from proxy.relay.cluster import MAX_WAITING, Cluster
from proxy.relay.pending import Pending
from proxy.route.model import Endpoint as Target

MAX_CONNECTIONS = 16
# Beside one whose window is used up, another is dialled only up to here: a busy endpoint's are used up now and then.
MAX_CLOGGED = 4
# Of those that wait, how many are looked at for one that may have the room.
_LOOKS = 100
# To look for stalled requests costs a glance at each, so it is done so seldom, and ends so many.
_MAKE_ROOM_S = 0.1
_MAKE_ROOM = 16
# Past this id a successor is dialled; the connection serves on until that one is there. 2^29 requests are 15 hours at
# 10,000/s.
REPLACE_AT_ID = 2**30


class Carrier(Client):
    """A connection to the endpoint, as its link sees it; `answered` once a response has come over it."""

    __slots__ = ("answered",)

    def __init__(self, limits: Limits, flushes: list[Any]) -> None:
        super().__init__(limits, flushes)
        self.answered = False

    def retire(self, now: float) -> None:
        """Take no more streams; finish what is open."""
        raise NotImplementedError


class Link:
    """`dial` asks `net` for one more connection, which comes through `attach`, or never; `failures` is net's.

    `target` is what the configuration says of the endpoint, for whoever describes it.
    """

    __slots__ = (
        "cluster",
        "connect_timeout_s",
        "conns",
        "current",
        "dial",
        "dialling",
        "endpoint",
        "failures",
        "made_room_s",
        "removed",
        "target",
        "waiting",
    )

    def __init__(self, cluster: Cluster, endpoint: Endpoint, dial: Callable[[Link], None]) -> None:
        self.cluster = cluster
        self.endpoint = endpoint
        self.dial = dial
        self.dialling = False
        self.removed = False
        self.failures = 0
        self.made_room_s = 0.0
        self.target: Target | None = None
        self.connect_timeout_s = 1.0
        self.current: Carrier | None = None
        self.conns: list[Carrier] = []
        self.waiting: OrderedDict[Pending, None] = OrderedDict()
        endpoint.link = self

    def take(self) -> Carrier | None:
        """A connection with room for one more stream, and if there is one, for its body."""
        conn = self.current
        if conn is not None and conn.has_room() and not conn.is_clogged():
            return conn
        clogged: Carrier | None = None
        for conn in self.conns:
            if conn.has_room():
                if not conn.is_clogged():
                    self.current = conn
                    return conn
                clogged = conn
        if self._is_full() if clogged is None else len(self.conns) < MAX_CLOGGED:
            self.dial_more()
        return clogged

    def _is_full(self) -> bool:
        """Whether one more connection would help: not where the peer allows no streams at all."""
        return 0 < len(self.conns) < MAX_CONNECTIONS and any(conn.peer_max_streams for conn in self.conns)

    def count_room(self) -> int:
        """How many more streams the endpoint would take, on its connections and on those that may still be dialled."""
        room = 0
        most = 0
        for conn in self.conns:
            room += conn.peer_max_streams - conn.open_streams
            if conn.peer_max_streams > most:
                most = conn.peer_max_streams
        return room + most * (MAX_CONNECTIONS - len(self.conns))

    def dial_more(self) -> None:
        if not self.dialling and not self.removed:
            self.dialling = True
            self.dial(self)

    def park(self, exchange: Pending) -> bool:
        """Wait for room; False where too many wait already."""
        if len(self.waiting) >= MAX_WAITING:
            return False
        self.waiting[exchange] = None
        return True

    def make_room(self, now: float) -> None:
        """End some requests that their clients have left unfinished, since others wait for the endpoint's streams."""
        if now - self.made_room_s < _MAKE_ROOM_S:
            return
        self.made_room_s = now
        stalled: list[Pending] = []
        for conn in self.conns:
            # What ends here lets others in by this clock, not by that of its last byte.
            conn.now = now
            for stream in conn.streams.values():
                exchange: Pending | None = stream.owner  # type: ignore[assignment]
                if exchange is not None and len(stalled) < _MAKE_ROOM and exchange.is_stalled(now):
                    stalled.append(exchange)
        for exchange in stalled:
            exchange.give_way(now)

    def attach(self, conn: Carrier, now: float) -> None:
        """A connection is established: the peer's SETTINGS have come."""
        self.dialling = False
        if self.removed:
            conn.retire(now)
            return
        spent = [old for old in self.conns if old.next_id >= REPLACE_AT_ID]
        self.conns.append(conn)
        self.current = conn
        for old in spent:
            old.retire(now)
        self.cluster.set_ready(self.endpoint, True, now)
        self.serve(now)

    def detach(self, conn: Carrier, now: float) -> None:
        """The connection takes no more streams."""
        if conn not in self.conns:
            return
        self.conns.remove(conn)
        if self.current is conn:
            self.current = self.conns[0] if self.conns else None
        if not self.conns:
            if not conn.answered:
                # Counted before the next dial, or an endpoint that only says GOAWAY would be dialled without a pause.
                self.failures += 1
            self.cluster.set_ready(self.endpoint, False, now)
            self.scatter(now)
            self.dial_more()

    def remove(self, now: float) -> None:
        """The endpoint is no longer wanted: what it is doing it finishes."""
        self.removed = True
        for conn in list(self.conns):
            conn.retire(now)
        self.scatter(now)

    def serve(self, now: float) -> None:
        """There may be room again."""
        while self.waiting:
            conn = self.take()
            if conn is None:
                return
            for _look in range(min(len(self.waiting), _LOOKS)):
                exchange = next(iter(self.waiting))
                if exchange.may_have(self, conn, now):
                    break
                self.waiting.move_to_end(exchange)
            else:
                return
            del self.waiting[exchange]
            exchange.send(conn, now)

    def scatter(self, now: float) -> None:
        """Nothing of what waits here was sent: other endpoints may have it."""
        for _waiting in range(len(self.waiting)):
            exchange, _ = self.waiting.popitem(last=False)
            exchange.redispatch(now)
