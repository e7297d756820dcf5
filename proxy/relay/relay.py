"""What all requests of one direction share: the routes in force, the clusters, chance, and the timeouts.

A decision (route, cluster, metric handles) is kept on the memoised header block and, for blocks that are new each
time, by authority and path. `epoch` goes up whenever a decision may have become wrong: routes, clusters, evicted
metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from proxy.balance.endpoint import Endpoint
from proxy.codec.headers import HeaderBlock
from proxy.metrics.handles import HttpMetrics
from proxy.relay.cluster import Cluster
from proxy.relay.failure import Failure
from proxy.relay.pending import Pending

_MAX_DECISIONS = 1_000
_MAX_KEY_BYTES = 1_024
# Timeouts are exact to a tick: one coarse sweep instead of a timer per request.
TICK_S = 0.1


class Tally(Protocol):
    """The relay's way to the metrics."""

    def handle(self, authority: str, endpoint: Endpoint | None) -> HttpMetrics: ...

    def failed(self, reason: str) -> None: ...

    def replayed(self) -> None: ...

    def protocol_fault(self, side: str, reason: str) -> None: ...


class Decision:
    """What is decided about requests that look alike. Nothing in it is chosen per request."""

    __slots__ = ("authority", "cluster", "handles", "tally", "timeout_s")

    def __init__(self, tally: Tally, authority: str, cluster: Cluster | None, timeout_s: float) -> None:
        self.tally = tally
        self.authority = authority
        self.cluster = cluster
        self.timeout_s = timeout_s
        self.handles: dict[Endpoint | None, HttpMetrics] = {}

    def handle(self, endpoint: Endpoint | None) -> HttpMetrics:
        handle = self.handles.get(endpoint)
        if handle is None:
            handle = self.handles[endpoint] = self.tally.handle(self.authority, endpoint)
        return handle


# Finds the cluster of (authority, path) and the route's timeout in seconds, 0.0 for none; no cluster where no route
# matches.
Route = Callable[[bytes, bytes], tuple[Cluster | None, float]]


class Relay:
    """One per direction and worker. `flushes` is the list of connections with output, which `net` empties.

    `suspects` are the links of HTTP/1 that have lost a request with its connection: `net` looks whether they are there.
    """

    __slots__ = (
        "deadlines",
        "decisions",
        "epoch",
        "flushes",
        "last",
        "last_authority",
        "last_path",
        "last_tick",
        "rng",
        "route",
        "suspects",
        "tally",
    )

    def __init__(self, route: Route, rng: Callable[[], float], tally: Tally) -> None:
        self.route = route
        self.rng = rng
        self.tally = tally
        self.epoch = 0
        self.decisions: dict[tuple[bytes, bytes], Decision] = {}
        # The latest of them is compared before anything is hashed.
        self.last: Decision | None = None
        self.last_authority = b""
        self.last_path = b""
        self.flushes: list[Any] = []
        self.suspects: dict[Any, None] = {}
        self.deadlines: dict[int, set[Pending]] = {}
        self.last_tick = 0

    def forget_decisions(self) -> None:
        """Routes, clusters or metric handles changed."""
        self.epoch += 1
        self.decisions.clear()
        self.last = None

    def decide(self, block: HeaderBlock) -> Decision:
        """The decision for a request; fast where the block, or its authority and path, are known."""
        decision: Decision
        if block.epoch == self.epoch:
            decision = block.decision  # type: ignore[assignment]
            return decision
        if self.last is not None and block.path == self.last_path and block.authority == self.last_authority:
            decision = self.last
        else:
            decision = self._look_up(block.authority, block.path)
        block.decision = decision
        block.epoch = self.epoch
        return decision

    def _look_up(self, authority: bytes, path: bytes) -> Decision:
        key = (authority, path)
        known = self.decisions.get(key)
        if known is None:
            cluster, timeout_s = self.route(authority, path)
            known = Decision(self.tally, authority[:_MAX_KEY_BYTES].decode("latin-1"), cluster, timeout_s)
            if len(authority) + len(path) > _MAX_KEY_BYTES:
                return known
            if len(self.decisions) >= _MAX_DECISIONS:
                self.decisions.clear()
            self.decisions[key] = known
        self.last = known
        self.last_authority = authority
        self.last_path = path
        return known

    def failed(self, failure: Failure) -> None:
        self.tally.failed(failure.reason)

    # ---- timeouts

    def add_deadline(self, exchange: Pending, at_s: float) -> int:
        """Call `exchange.deadline_passed` at the first tick after `at_s`; returns the tick, for `remove_deadline`."""
        tick = max(int(at_s / TICK_S) + 1, self.last_tick + 1)
        bucket = self.deadlines.get(tick)
        if bucket is None:
            bucket = self.deadlines[tick] = set()
        bucket.add(exchange)
        return tick

    def remove_deadline(self, exchange: Pending, tick: int) -> None:
        bucket = self.deadlines.get(tick)
        if bucket is not None:
            bucket.discard(exchange)
            if not bucket:
                del self.deadlines[tick]

    def find_due(self, now: float) -> Iterator[Pending]:
        """Whose deadline has passed, to be told so at once; to be asked for every TICK_S or so.

        Whoever is not read is due the next time.
        """
        tick = self.last_tick = int(now / TICK_S)
        for due in sorted(key for key in self.deadlines if key <= tick):
            bucket = self.deadlines.get(due)
            while bucket:
                yield bucket.pop()
            self.deadlines.pop(due, None)
