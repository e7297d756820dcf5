"""Destinations on demand: what the application calls becomes known when it is called (DESIGN 3.5 and 4).

The key of a request is its authority. One that is known is served from what is here, without any I/O. One that is not
is asked for, and the request waits for the answer, but at most 250 ms; an answer that comes later serves the next one.
However many names a stranger invents, at most `MAX_AWAITED` are awaited at a time, and `MAX_WAITING` requests wait.
Invariant: a cluster is in force as long as a known destination refers to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, Protocol

from proxy.balance.p2c import Balancer
from proxy.clusters import Clusters
from proxy.relay.cluster import MAX_WAITING, Cluster
from proxy.relay.exchange import Exchange
from proxy.relay.failure import NO_CONTROL_PLANE, UNKNOWN_DESTINATION, Failure
from proxy.relay.relay import TICK_S
from proxy.route import model
from proxy.route.match import MAX_NAME_BYTES, split_authority
from proxy.route.ordered import OrderedRoutes

# The relay's deadlines come up to a tick late, and 250 ms are for all of it.
ANSWER_S = 0.25 - TICK_S
MAX_AWAITED = 1_000
_DEFAULT_PORT = 80
_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_ADDRESS_BYTES = frozenset(b"abcdef0123456789:.[]")

OnChange = Callable[[str, model.Destination | None], None]


class Source(Protocol):
    """The control plane as it is seen from here. Nothing of it waits."""

    last_error: str

    @property
    def connected(self) -> bool: ...

    def want(self, name: str, now: float) -> None:
        """Subscribe, or note that the name is still of use; `changed` is called later, never from within."""

    def is_missing(self, name: str) -> bool:
        """Whether the control plane has said that there is no such destination."""

    def forget_unused(self, now: float) -> None:
        """Drop what nobody has wanted for long."""


class Known:
    """A destination in force, and its routes ready for look-ups."""

    __slots__ = ("routes", "value")

    def __init__(self, value: model.Destination, before: Known | None) -> None:
        self.value = value
        self.routes: OrderedRoutes
        if before is not None and before.value.routes == value.routes:
            self.routes = before.routes
        else:
            self.routes = OrderedRoutes(value.routes)


class Told(NamedTuple):
    """Who waits for an answer, and until when."""

    until_s: float
    then: Callable[[], None]


class Destinations:
    """`connect` makes the control plane's client from what it is to call; `flush` sends what a change made to say.

    `later` makes the calls that it is given, one after the other: to serve a new connection takes its time.
    """

    def __init__(
        self,
        clusters: Clusters,
        forget_decisions: Callable[[], None],
        connect: Callable[[OnChange], Source],
        flush: Callable[[], None],
        later: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.clusters = clusters
        self.forget_decisions = forget_decisions
        self.flush = flush
        self.later = later
        self.clock = clock
        self.known: dict[str, Known] = {}
        # Names without an answer yet, each as a cluster without endpoints; they share those who wait.
        self.awaited: dict[str, Cluster] = {}
        self.waiting: OrderedDict[Any, None] = OrderedDict()
        self._expecting: dict[str, list[Told]] = {}
        # Of whom it is known, and whose turn to be told has not come.
        self._telling = 0
        self.source = connect(self.changed)
        self._nobody = Balancer()
        self._swept_s = clock()

    # ---- requests

    def route(
        self, form: Callable[[str, float], Cluster], authority: bytes, path: bytes
    ) -> tuple[Cluster | None, float]:
        """As `proxy.relay.relay.Route`, to a cluster in this form: for what the relay does not remember, so seldom."""
        name = read_name(authority)
        if name is None:
            return None, 0.0
        self.source.want(name, self.clock())
        known = self.known.get(name)
        if known is None:
            return self._find_unknown(name), 0.0
        route = known.routes.match(authority, path)
        if route is None:
            return None, 0.0
        return form(route.cluster, self.clock()), route.timeout_s or 0.0

    def _find_unknown(self, name: str) -> Cluster:
        cluster = self.awaited.get(name)
        if cluster is not None:
            return cluster
        if self.source.is_missing(name):
            return self._make_unknown(name, UNKNOWN_DESTINATION, "the control plane says that there is none")
        now = self.clock()
        if len(self.awaited) >= MAX_AWAITED:
            # Nobody waits for those that are late.
            self.awaited = {other: late for other, late in self.awaited.items() if not late.fails_fast(now)}
        if len(self.awaited) >= MAX_AWAITED:
            return self._make_unknown(name, NO_CONTROL_PLANE, "too many names are asked for at a time")
        cluster = self.awaited[name] = self._make_unknown(name, NO_CONTROL_PLANE, self._why_unanswered())
        cluster.failfast_s = ANSWER_S
        cluster.deserted_since_s = now
        return cluster

    def _make_unknown(self, name: str, failure: Failure, reason: str) -> Cluster:
        """One that fails at once, for this reason."""
        cluster = Cluster(name, self._nobody, 0.0, 0.0, failure)
        cluster.waiting = self.waiting
        cluster.last_error = reason
        return cluster

    def _why_unanswered(self) -> str:
        if self.source.connected:
            return "the control plane has not answered"
        return f"the control plane cannot be reached: {self.source.last_error or 'no connection yet'}"

    # ---- connections, which have no request yet

    def when_known(self, name: str, then: Callable[[], None]) -> None:
        """Call `then` once it is known where this name leads, or that nobody knows: after 250 ms at the latest."""
        now = self.clock()
        self.source.want(name, now)
        if name in self.known or self.source.is_missing(name) or self._expected >= MAX_WAITING:
            then()
            return
        self._expecting.setdefault(name, []).append(Told(now + ANSWER_S, then))

    @property
    def _expected(self) -> int:
        return self._telling + sum(map(len, self._expecting.values()))

    def tick(self, now: float) -> None:
        """To be called every tenth of a second or so: nobody waits for an answer any longer than for 250 ms."""
        for name in [name for name, waiting in self._expecting.items() if waiting[0].until_s <= now]:
            self._tell(name)

    def _tell(self, name: str) -> None:
        for told in self._expecting.pop(name, ()):
            self._telling += 1
            self.later(partial(self._tell_one, told))

    def _tell_one(self, told: Told) -> None:
        self._telling -= 1
        told.then()

    # ---- what the control plane says

    def changed(self, name: str, destination: model.Destination | None) -> None:
        """Its answer; None where there is no such destination, or where it is no longer subscribed."""
        now = self.clock()
        before = self.known.pop(name, None)
        if destination is not None:
            self.known[name] = Known(destination, before)
            for wish in destination.clusters:
                self.clusters.hold(wish, now)
        gone = [] if before is None else self._release(before.value.clusters, now)
        self.forget_decisions()
        for cluster in gone:
            cluster.serve(now)
        awaited = self.awaited.pop(name, None)
        if awaited is not None and (destination is not None or self.source.is_missing(name)):
            self._wake(awaited, now)
        self._tell(name)
        self.flush()

    def _release(self, wishes: tuple[model.Cluster, ...], now: float) -> list[Cluster]:
        """One destination less leads to these; those that none leads to any more are dropped."""
        return [form for wish in wishes for form in self.clusters.release(wish.name, now)]

    def _wake(self, awaited: Cluster, now: float) -> None:
        """At once, since their time may be up in a moment; a thousand take 4 ms."""
        waiting: list[Exchange] = [one for one in self.waiting if one.decision.cluster is awaited]
        for exchange in waiting:
            # It may be over since then: the one before has ended their connection.
            if exchange in self.waiting:
                del self.waiting[exchange]
                exchange.dispatch(now)

    # ---- from time to time

    def sweep(self, now: float) -> None:
        """Keep subscribed what is in use, since a request whose headers are remembered asks for nothing."""
        since_s, self._swept_s = self._swept_s, now
        used = self.clusters.used_since(since_s)
        for name, known in self.known.items():
            if any(cluster.name in used for cluster in known.value.clusters):
                self.source.want(name, now)
        self.source.forget_unused(now)
        reason = self._why_unanswered()
        for cluster in self.awaited.values():
            cluster.last_error = reason


def read_name(authority: bytes) -> str | None:
    """What to ask for: HOST:PORT, in lower case; None for an authority that cannot be one."""
    host, port = split_authority(authority)
    number = int(port[1:]) if port else _DEFAULT_PORT
    allowed = _ADDRESS_BYTES if host.startswith(b"[") and host.endswith(b"]") else _NAME_BYTES
    if not 0 < len(host) <= MAX_NAME_BYTES or not 0 < number <= 65_535 or not allowed.issuperset(host):
        return None
    return f"{host.decode()}:{number}"
