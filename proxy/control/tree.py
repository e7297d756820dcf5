"""From resources to destinations, sans-I/O: a name's Listener leads to routes, these to clusters, these to endpoints.

Owns the values of all that is subscribed, who refers to it, and what was last published of each destination.
- A destination is published when all that it refers to is here, never with a cluster whose endpoints are unknown.
- Make before break: while a new route leads to something that is not here yet, the old one stays in force, and goes on
  to follow its endpoints.
- A resource is subscribed as long as a destination refers to it, in its old form or its new one.
- A Listener that the server removes is a destination that does not exist. Any other resource that it removes keeps its
  last good value until another replaces it, or nothing refers to it: an order of removals that is not atomic, or a
  control plane in trouble, must not break traffic (gRPC's `ignore_resource_deletion`, gRFC A53, is the same choice).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from proxy.control.delta import Delta
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, Resource
from proxy.route.from_xds import (
    ClusterValue,
    ListenerValue,
    RouteTable,
    read_cluster,
    read_endpoints,
    read_listener,
    read_routes,
)
from proxy.route.message import XdsError
from proxy.route.model import Cluster, Destination, Endpoint, Route

Key = tuple[str, str]  # type URL and name
Change = tuple[str, Destination | None]
# About 10,000 endpoints. What is larger would stop the traffic while it is read.
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a destination refers to, all of it here; its endpoints are looked up anew each time."""

    routes: tuple[Route, ...]
    clusters: tuple[ClusterValue, ...]
    keys: frozenset[Key]


class Target:
    """A wanted name. `plan` is in force, `keys` is what is subscribed for it, `published` the last that was said."""

    __slots__ = ("keys", "name", "plan", "published", "said")

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: frozenset[Key] = frozenset()
        self.plan: Plan | None = None
        self.published: Destination | None = None
        self.said = False


class Tree:
    """`want`, `drop`, `put` and `remove` in any order; then `settle` says what has become of it all.

    With `keep_bodies`, `good` holds the resources of all plans that are in force, as they came.
    """

    def __init__(self, delta: Delta, keep_bodies: bool = False) -> None:
        self.delta = delta
        self.keep_bodies = keep_bodies
        self.good: dict[Key, Resource] = {}
        self._bodies: dict[Key, Resource] = {}
        self._targets: dict[str, Target] = {}
        self._users: dict[Key, set[str]] = {}
        self._changed: set[str] = set()
        self._dropped: list[str] = []
        self._listeners: dict[str, ListenerValue] = {}
        self._missing: set[str] = set()
        self._routes: dict[str, RouteTable] = {}
        self._clusters: dict[str, ClusterValue] = {}
        self._endpoints: dict[str, tuple[Endpoint, ...]] = {}
        self._readers: dict[str, Callable[[str, bytes], None]] = {
            LISTENER: self._put_listener,
            ROUTE: self._put_routes,
            CLUSTER: self._put_cluster,
            ENDPOINTS: self._put_endpoints,
        }
        self._forgetters: dict[str, Callable[[str, None], object]] = {
            LISTENER: self._listeners.pop,
            ROUTE: self._routes.pop,
            CLUSTER: self._clusters.pop,
            ENDPOINTS: self._endpoints.pop,
        }

    # ---- what is wanted

    def want(self, name: str) -> None:
        if name not in self._targets:
            target = self._targets[name] = Target(name)
            self._refer(target, frozenset({(LISTENER, name)}))

    def drop(self, name: str) -> None:
        self._refer(self._targets.pop(name), frozenset())
        self._changed.discard(name)
        self._dropped.append(name)

    def known(self, name: str) -> Destination | None:
        target = self._targets.get(name)
        return target.published if target is not None else None

    def is_missing(self, name: str) -> bool:
        return name in self._missing

    # ---- what the server says

    def put(self, resource: Resource) -> str:
        """Take a value that is wanted; what is wrong with it, or ''."""
        if len(resource.body) > MAX_BODY_BYTES:
            return f"{len(resource.body)} bytes are above {MAX_BODY_BYTES}"
        try:
            self._readers[resource.type_url](resource.name, resource.body)
        except XdsError as error:
            return str(error)
        key = (resource.type_url, resource.name)
        if self.keep_bodies:
            self._bodies[key] = resource
        self._changed |= self._users.get(key, set())
        return ""

    def remove(self, type_url: str, name: str) -> None:
        if type_url == LISTENER:
            self._listeners.pop(name, None)
            self._bodies.pop((type_url, name), None)
            self.good.pop((type_url, name), None)
            self._missing.add(name)
            self._changed |= self._users.get((type_url, name), set())

    def _put_listener(self, name: str, body: bytes) -> None:
        self._listeners[name] = read_listener(body)
        self._missing.discard(name)

    def _put_routes(self, name: str, body: bytes) -> None:
        table = read_routes(body)
        check_name(name, table.name)
        self._routes[name] = table

    def _put_cluster(self, name: str, body: bytes) -> None:
        cluster = read_cluster(body)
        check_name(name, cluster.name)
        self._clusters[name] = cluster

    def _put_endpoints(self, name: str, body: bytes) -> None:
        self._endpoints[name] = read_endpoints(body)

    # ---- what becomes of it

    def settle(self) -> list[Change]:
        """Each destination that is other than last published; None for one that does not exist or was dropped."""
        changes: list[Change] = [(name, None) for name in self._dropped]
        self._dropped.clear()
        changed = [self._targets[name] for name in sorted(self._changed)]
        self._changed.clear()
        for target in changed:
            change = self._settle(target)
            if change is not None:
                changes.append(change)
        return changes

    def _settle(self, target: Target) -> Change | None:
        keys, plan = self._follow(target.name)
        if target.name in self._missing:
            target.plan = None
        elif plan is not None:
            target.plan = plan
        if target.plan is not None:
            keys |= target.plan.keys
        self._refer(target, frozenset(keys))
        if plan is not None and self.keep_bodies:
            self.good.update((key, self._bodies[key]) for key in plan.keys)
        if target.plan is None:
            return self._publish(target, None) if target.name in self._missing else None
        return self._publish(target, self._build(target.name, target.plan))

    def _follow(self, name: str) -> tuple[set[Key], Plan | None]:
        """All that the newest values lead to; as a plan if all of that is here."""
        keys: set[Key] = {(LISTENER, name)}
        routes = self._follow_listener(name, keys)
        if routes is None:
            return keys, None
        names = dict.fromkeys(route.cluster for route in routes)
        found = [cluster for cluster in [self._follow_cluster(name, keys) for name in names] if cluster is not None]
        complete = len(found) == len(names)
        return keys, Plan(routes, tuple(found), frozenset(keys)) if complete else None

    def _follow_listener(self, name: str, keys: set[Key]) -> tuple[Route, ...] | None:
        listener = self._listeners.get(name)
        if listener is None:
            return None
        table = listener.routes
        if table is None:
            keys.add((ROUTE, listener.route_name))
            table = self._routes.get(listener.route_name)
        return table.routes if table is not None else None

    def _follow_cluster(self, name: str, keys: set[Key]) -> ClusterValue | None:
        """The cluster, if its endpoints are here too."""
        keys.add((CLUSTER, name))
        cluster = self._clusters.get(name)
        if cluster is None or not cluster.endpoints_name:
            return cluster
        keys.add((ENDPOINTS, cluster.endpoints_name))
        return cluster if cluster.endpoints_name in self._endpoints else None

    def _build(self, name: str, plan: Plan) -> Destination:
        clusters = [
            Cluster(
                cluster.name,
                self._endpoints[cluster.endpoints_name] if cluster.endpoints_name else cluster.endpoints,
                connect_timeout_s=cluster.connect_timeout_s,
                protocol=cluster.protocol,
                by_name=cluster.by_name,
            )
            for cluster in plan.clusters
        ]
        return Destination(name, plan.routes, tuple(clusters))

    def _publish(self, target: Target, destination: Destination | None) -> Change | None:
        if target.said and destination == target.published:
            return None
        target.said = True
        target.published = destination
        return target.name, destination

    # ---- who refers to what

    def _refer(self, target: Target, keys: frozenset[Key]) -> None:
        """The target refers to these from now on."""
        for key in keys - target.keys:
            users = self._users.setdefault(key, set())
            if not users:
                self.delta.subscribe(*key)
            users.add(target.name)
        for key in target.keys - keys:
            users = self._users[key]
            users.discard(target.name)
            if not users:
                self._forget(key)
        target.keys = keys

    def _forget(self, key: Key) -> None:
        del self._users[key]
        self.delta.unsubscribe(*key)
        self.good.pop(key, None)
        self._bodies.pop(key, None)
        self._forgetters[key[0]](key[1], None)
        if key[0] == LISTENER:
            self._missing.discard(key[1])


def check_name(expected: str, name: str) -> None:
    if name != expected:
        raise XdsError(f"it names itself {name}")
