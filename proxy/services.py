"""What an original destination means where there is a control plane (DESIGN 3.5).

- Of a Service's address it is that Service with its routes, whatever the authority says.
- Of a pod's address it is that pod; unless the authority is the name of a headless Service of which the pod is a ready
  endpoint, and which is one to choose from (`by_name`): then it is that Service.
- Anything else goes where it was going: the mesh never breaks what it does not know.

Invariant: an authority never leads out of what the destination belongs to. While the control plane has not answered a
connection goes where it was going; once it has, new requests follow the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from proxy.clusters import Clusters
from proxy.codec.detect import MORE, OPAQUE
from proxy.destinations import Destinations, Known, read_name
from proxy.originals import Address, Direct
from proxy.relay.cluster import Cluster
from proxy.relay.opaque import BalancedWay, Way
from proxy.route import model
from proxy.route.hints import UNKNOWN, Expectation, expect_port
from proxy.route.match import split_authority


class Services:
    """The outbound direction's policy."""

    def __init__(self, destinations: Destinations, clusters: Clusters, direct: Direct) -> None:
        self.destinations = destinations
        self.clusters = clusters
        self.direct = direct

    def _known(self, original: Address) -> Known | None:
        return self.destinations.known.get(model.join_host_port(*original))

    def prepare(self, original: Address, then: Callable[[], None]) -> None:
        self.destinations.when_known(model.join_host_port(*original), then)

    def expect(self, original: Address) -> Expectation:
        known = self._known(original)
        if known is None:
            return self.direct.expect(original)
        protocols = {wish.protocol for wish in known.value.clusters}
        if protocols == {model.OPAQUE}:
            return Expectation(OPAQUE)
        if protocols and protocols <= {model.HTTP1, model.HTTP2}:
            # Which of the two is for the client to say: a probe may speak HTTP/1 to a port of gRPC.
            return Expectation(MORE, is_http=True)
        if model.DETECT in protocols:
            return UNKNOWN
        return expect_port(original[1])

    def route(self, original: Address, authority: bytes, path: bytes) -> tuple[str, float]:
        name = model.join_host_port(*original)
        self.destinations.source.want(name, monotonic())
        known = self._known(original)
        if known is None:
            return self.direct.route(original, authority, path)
        if is_pod(name, known.value.clusters):
            known = self._find_by_name(original, authority) or known
        route = known.routes.match(authority, path)
        return ("", 0.0) if route is None else (route.cluster, route.timeout_s or 0.0)

    def _find_by_name(self, original: Address, authority: bytes) -> Known | None:
        """The Service that the authority names, if this pod is one of those it stands for."""
        host, _ = split_authority(authority)
        name = read_name(b"%b:%d" % (host, original[1]))
        if name is None or name == model.join_host_port(*original):
            return None
        self.destinations.source.want(name, monotonic())
        known = self.destinations.known.get(name)
        if known is None or not stands_for(known.value.clusters, original):
            return None
        return known

    def way(self, original: Address) -> Way:
        known = self._known(original)
        route = known.routes.match(b"", b"") if known is not None else None
        if route is None:
            return self.direct.way(original)
        return BalancedWay(self.clusters.opaque(route.cluster))

    def release(self, original: Address) -> list[Cluster]:
        return self.direct.release(original)


def is_pod(name: str, clusters: Iterable[model.Cluster]) -> bool:
    """Whether a destination is one address by itself; a Service's has another name than the address."""
    return all(cluster.name == name for cluster in clusters)


def stands_for(clusters: Iterable[model.Cluster], original: Address) -> bool:
    return any(
        cluster.by_name and any((endpoint.host, endpoint.port) == original for endpoint in cluster.endpoints)
        for cluster in clusters
    )
