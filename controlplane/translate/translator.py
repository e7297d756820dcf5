"""The catalog of resources over the newest mesh: translated when first asked for, once for all who may share it.

A resource is kept by the target that it was made of and the part of the view that matters to it: an answer is never
older than the mesh, whoever announces changes, and a thousand sidecars of one zone cost one translation. What is kept
is bounded: the hosts least recently asked for go first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from controlplane.graph import names
from controlplane.graph.mesh import Mesh, Target
from controlplane.translate.assignment import assignment
from controlplane.translate.cluster import cluster
from controlplane.translate.listener import OUTBOUND, api_listener, outbound_listener
from controlplane.translate.outbound import OutboundRoutes
from controlplane.translate.reach import reach, reachable
from controlplane.translate.resource import CDS, EDS, ENVOY, LDS, RDS, Resource, View, pack
from controlplane.translate.route import route_configuration

# The key of what lists all targets: Envoy's routes, and every wildcard.
EVERYTHING = "*"
MAX_HOSTS = 20_000
MAX_PER_HOST = 256  # of ports, and of resources of a port: clients choose names, and ports of pods


class _Kept:
    """What was made of a target."""

    __slots__ = ("reach", "resources", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.reach = reach(target)
        self.resources: dict[tuple[str, ...], Resource] = {}


class Translator:
    """Implements `controlplane.discovery.catalog.Catalog`."""

    def __init__(self, domain: str = "cluster.local", max_hosts: int = MAX_HOSTS) -> None:
        self._mesh = Mesh(domain)
        self._max_hosts = max_hosts
        self._kept: OrderedDict[str, dict[str, _Kept]] = OrderedDict()  # by host, then by target
        self._outbound: dict[tuple[str, ...], Resource] = {}
        self._routes: OutboundRoutes | None = None  # of the newest mesh for which they were asked
        self._routes_are_old = True

    @property
    def mesh(self) -> Mesh:
        return self._mesh

    @property
    def kept(self) -> dict[str, int]:
        """How much is kept, for whoever watches memory."""
        made = [kept.resources for ports in self._kept.values() for kept in ports.values()]
        return {"hosts": len(self._kept), "resources": sum(map(len, made)) + len(self._outbound)}

    def update(self, mesh: Mesh, changed: Iterable[str]) -> frozenset[str]:
        """Takes the next mesh. `changed` are the graph's keys of what differs; back come the keys to announce."""
        keys = frozenset(changed)
        before, self._mesh = self._mesh, mesh
        for key in keys:
            self._kept.pop(key, None)
            self._kept.pop(_host(key), None)
        if any(_is_called_anew(key, before, mesh) for key in keys):
            self._outbound.clear()
            self._routes_are_old = True
            return keys | {EVERYTHING}
        return keys

    def get(self, type_url: str, name: str, view: View) -> Resource | None:
        if view.kind == ENVOY and name == OUTBOUND:
            return self._get_outbound(type_url, view)
        if type_url == LDS:
            return self._get_listener(name, view)
        target = names.lookup(self._mesh, name)
        if target is None or target.name != name:
            return None
        kept = self._keep(target)
        if type_url == EDS:
            return None if target.external else _assignment(kept, view)
        if type_url == CDS:
            return _made(kept.resources, (CDS,), lambda: pack(CDS, name, cluster(target)))
        if type_url == RDS:
            return _made(kept.resources, (RDS,), lambda: pack(RDS, name, route_configuration(name)))
        return None

    def keys(self, type_url: str, name: str, view: View) -> tuple[str, ...]:
        if name == EVERYTHING or (view.kind == ENVOY and name == OUTBOUND):
            return (EVERYTHING,)
        found = names.candidates(name, view.namespace, self._mesh.domain) if type_url == LDS else (name,)
        return tuple(key for candidate in found for key in names.keys(candidate))

    def wildcard(self, type_url: str, view: View) -> AbstractSet[str]:
        if type_url == CDS:
            return self._mesh.targets.keys()
        if type_url == LDS and view.kind == ENVOY:
            return frozenset((OUTBOUND,))
        return frozenset()

    def _get_outbound(self, type_url: str, view: View) -> Resource | None:
        if type_url == LDS:
            port = view.outbound_port
            return _made(self._outbound, (LDS, str(port)), lambda: pack(LDS, OUTBOUND, outbound_listener(port)))
        if type_url == RDS:
            routes = self._newest_routes()
            namespace = routes.namespace(view.namespace)
            return _made(self._outbound, (RDS, namespace), lambda: routes.resource(namespace))
        return None

    def _newest_routes(self) -> OutboundRoutes:
        if self._routes is None or self._routes_are_old:
            self._routes = OutboundRoutes(self._mesh, self._routes)
            self._routes_are_old = False
        return self._routes

    def _get_listener(self, name: str, view: View) -> Resource | None:
        """An Envoy gets none by name: it would acknowledge the listener and serve nothing."""
        target = None if view.kind == ENVOY else names.resolve(self._mesh, name, view.namespace)
        if target is None:
            return None
        return _made(
            self._keep(target).resources, (LDS, name), lambda: pack(LDS, name, api_listener(name, target.name))
        )

    def _keep(self, target: Target) -> _Kept:
        host = _host(target.name)
        ports = self._kept.get(host)
        if ports is None:
            ports = self._kept[host] = {}
            if len(self._kept) > self._max_hosts:
                self._kept.popitem(last=False)
        self._kept.move_to_end(host)
        kept = ports.get(target.name)
        if kept is None or (kept.target is not target and kept.target != target):
            if len(ports) >= MAX_PER_HOST:
                ports.clear()
            kept = ports[target.name] = _Kept(target)
        kept.target = target  # the next look need not compare
        return kept


def _is_called_anew(key: str, before: Mesh, after: Mesh) -> bool:
    """Whether there is a target more or less, or a name of one; not whether its endpoints are others."""
    if (key in before.targets) != (key in after.targets) or (key in before.hosts) != (key in after.hosts):
        return True
    return before.addresses.get(key) != after.addresses.get(key)


def _host(name: str) -> str:
    return name.rpartition(":")[0].strip("[]")


def _assignment(kept: _Kept, view: View) -> Resource:
    zone, node = kept.reach.part(view)
    name = kept.target.name
    return _made(
        kept.resources,
        (EDS, zone, node),
        lambda: pack(EDS, name, assignment(name, reachable(kept.target, zone, node))),
    )


def _made(resources: dict[tuple[str, ...], Resource], key: tuple[str, ...], make: Callable[[], Resource]) -> Resource:
    resource = resources.get(key)
    if resource is None:
        if len(resources) >= MAX_PER_HOST:
            resources.clear()
        resource = resources[key] = make()
    return resource
