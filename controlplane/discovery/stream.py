"""A client's stream: its requests come in, its responses go out, in the order that breaks nothing (DESIGN 4).

What is ready together goes as clusters, endpoints, listeners, routes; then what is gone, in reverse. The stream never
waits for the acknowledgement of another type. A response is only made when the transport asks for it (`take`), so a
slow transport delays, and queues nothing. Of a type that nobody serves, nothing is kept: the answer is empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

from envoy.config.core.v3.base_pb2 import Node

from controlplane.discovery.bounds import Bounds, Peer, refuse_invalid, refuse_more
from controlplane.discovery.interest import Interests
from controlplane.discovery.subscription import WHOLE_TYPES, Subscription
from controlplane.discovery.view import read_view
from controlplane.discovery.wire import Responses
from controlplane.translate.resource import CDS, EDS, ENVOY, RDS, TYPES, Resource, View
from mesh.contract import ANONYMOUS

TEXT_CHARS_MAX: Final = 200  # of a client's text in a log line
NODE_TEXT_CHARS_MAX: Final = 400
NODE_BYTES_MAX: Final = 8192
NACK_NAMES_MAX: Final = 10


class Push(NamedTuple):
    """A response to be sent; `since` is when the oldest of its news happened, None where it only answers."""

    data: bytes
    type_url: str
    since: float | None


class Nack(NamedTuple):
    """A client has refused a response."""

    node: str
    type_url: str
    nonce: int
    names: tuple[str, ...]
    problem: str


class Shared(NamedTuple):
    """What all streams have in common."""

    interests: Interests
    responses: Responses
    bounds: Bounds
    report_nack: Callable[[Nack], None]
    woken: dict[Stream, None]  # those that a change concerns, until they are told


class Stream(ABC):
    """What the delta and the state-of-the-world protocol have in common."""

    mode: str

    def __init__(self, shared: Shared, peer: Peer) -> None:
        self.shared = shared
        self.peer = peer
        self.node: Node | None = None
        self.view = View()
        self.asked = 0  # requests that were more than an acknowledgement
        self.subscriptions: dict[str, Subscription] = {}
        self._order: list[Subscription] = []
        self._warming: set[str] = set()  # clusters sent to Envoy, and their endpoints not yet

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """A request has come; raises Refusal where the stream must end."""

    @abstractmethod
    def _make(self, subscription: Subscription) -> Push | None:
        """A response with all that is new; None where nothing is."""

    @abstractmethod
    def _break(self, subscription: Subscription) -> Push | None:
        """A response about what is gone; None where nothing is."""

    def take(self, now: float = inf) -> list[Push]:
        """All responses that may go now, in their order. A response that has to wait holds up what builds on it."""
        pushes = []
        is_held = False
        for subscription in self._order:
            if subscription.type_url == EDS and self._warming:
                self._warm(subscription)
            if subscription.is_idle:
                continue
            is_held = is_held or subscription.not_before > now
            if is_held and subscription.type_url != EDS:
                continue
            if push := self._make(subscription):
                self._pace(subscription, push, now)
                pushes.append(push)
        if not is_held and not self._awaits_routes():
            pushes += self._take_removals(now)
        return pushes

    def _take_removals(self, now: float) -> list[Push]:
        pushes = []
        for subscription in reversed(self._order):
            if subscription.is_idle:
                continue
            if push := self._break(subscription):
                self._pace(subscription, push, now)
                pushes.append(push)
            else:
                subscription.since = None  # what changed has changed back
        return pushes

    def _pace(self, subscription: Subscription, push: Push, now: float) -> None:
        """A response that holds all resources grows with the mesh: the next one must wait as long as it takes."""
        if subscription.is_complete and now != inf:
            interests = self.shared.interests
            readers = interests.wildcards[subscription.type_url] if subscription.wildcard else 1
            subscription.not_before = now + len(push.data) * readers / interests.bytes_per_s

    def _awaits_routes(self) -> bool:
        """Whether an Envoy's new routes are still to come: until then the old ones may lead to what is gone."""
        routes = self.subscriptions.get(RDS) if self.view.kind == ENVOY else None
        return routes is not None and any(i.since is not None and i.is_whole for i in routes.follows.values())

    def next_take(self, now: float) -> float | None:
        """When a response may go that has to wait; None where none has."""
        return min([s.not_before for s in self._order if s.not_before > now and not s.is_idle], default=None)

    @property
    def has_news(self) -> bool:
        """Whether `take` may have something; for an acknowledgement, the commonest request, it mostly has not."""
        return any(not subscription.is_idle for subscription in self._order) or (
            EDS in self.subscriptions and not self._warming.isdisjoint(self.subscriptions[EDS].follows)
        )

    def _warm(self, subscription: Subscription) -> None:
        """Envoy takes a changed cluster into use only when it gets its endpoints again, be they the same."""
        names = self._warming & subscription.follows.keys()
        subscription.owed.update(name for name in names if subscription.resource(name))

    def close(self) -> None:
        for subscription in self._order:
            subscription.close()
        self._order.clear()
        self.subscriptions.clear()
        self.shared.woken.pop(self, None)

    def _wake(self) -> None:
        self.shared.woken[self] = None

    @property
    def name(self) -> str:
        """Who this is, for a log line."""
        return cut(self.node.id) if self.node is not None and self.node.id else ANONYMOUS

    def _introduce(self, node: Node) -> None:
        """The first request says who the client is; later ones change nothing."""
        if self.node is None:
            self.view = read_view(node)
            self.node = shorten(node)

    def _subscription(self, type_url: str) -> Subscription:
        found = self.subscriptions.get(type_url)
        if found is not None:
            return found
        if not type_url:
            raise refuse_invalid("a request on an aggregated stream must have a type_url")
        if len(type_url) > self.shared.bounds.name_chars:
            raise refuse_invalid("the type_url is too long")
        if len(self.subscriptions) >= self.shared.bounds.types_per_stream:
            raise refuse_more(f"a stream may ask for {self.shared.bounds.types_per_stream} types")
        # Where a client is matters to endpoints only: the other types are shared by more.
        view = self.view if type_url == EDS else self.view._replace(zone="", node="")
        made = Subscription(type_url, view, self.shared.interests, self.peer, self._wake)
        made.is_complete = self.mode == "sotw" and type_url in WHOLE_TYPES
        self.subscriptions[type_url] = made
        self._order.append(made)
        self._order.sort(key=lambda s: TYPES.index(s.type_url) if s.type_url in TYPES else len(TYPES))
        return made

    def _check(self, subscription: Subscription, asked: int) -> None:
        bounds = self.shared.bounds
        most = bounds.names(self.view.kind)
        if max(asked, len(subscription.names)) > most:
            raise refuse_more(f"a stream may ask for {most} names of a type")

    def _check_room(self) -> None:
        """The stream has more names than before."""
        own = sum(len(subscription.follows) for subscription in self._order)
        self.shared.bounds.check_room(own, self.peer, self.shared.interests.follows)

    def _check_name(self, name: str) -> None:
        if not name or len(name) > self.shared.bounds.name_chars:
            raise refuse_invalid(f"a resource name has 1 to {self.shared.bounds.name_chars} characters")

    def _land(self, subscription: Subscription, nonce: str, problem: str | None) -> None:
        problem = None if problem is None else cut(problem)
        flight = subscription.land(nonce, problem)
        if flight is not None and problem is not None:
            names = tuple([cut(name) for name in flight.names[:NACK_NAMES_MAX]])
            self.shared.report_nack(Nack(self.name, cut(subscription.type_url), flight.nonce, names, problem))

    def _launch(
        self, subscription: Subscription, nonce: int, data: bytes, updates: list[Resource], removed: list[str]
    ) -> Push:
        updated = [resource.name for resource in updates]
        if self.view.kind == ENVOY:
            if subscription.type_url == CDS:
                exists, view = self.shared.interests.exists, self.view
                self._warming.update([name for name in updated if exists(EDS, name, view)])
                self._warming.difference_update(removed)
            elif subscription.type_url == EDS:
                self._warming.difference_update(updated)
        return Push(data, subscription.type_url, subscription.launch(nonce, updated + removed))

    @property
    def _last_nonce(self) -> int:
        return max((subscription.nonce for subscription in self._order), default=0)


def shorten(node: Node) -> Node:
    """What is kept of a client's account of itself: Envoy's lists all its extensions, a hostile one's anything."""
    node.ClearField("extensions")
    if node.ByteSize() <= NODE_BYTES_MAX:
        return node
    return Node(id=node.id[:NODE_TEXT_CHARS_MAX], user_agent_name=node.user_agent_name[:NODE_TEXT_CHARS_MAX])


def cut(text: str) -> str:
    """A client's text as part of one line; each of its characters may take ten there."""
    return text[:TEXT_CHARS_MAX].encode("unicode_escape").decode("ascii")[:TEXT_CHARS_MAX]
