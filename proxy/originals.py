"""What is done with a connection that was going somewhere when it was led here: by default, it goes there.

`proxy.services` knows better, where there is a control plane. `Shared` is for connections that nobody led here.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from time import monotonic
from typing import Protocol

from proxy.clusters import Clusters
from proxy.codec.detect import OPAQUE
from proxy.relay.cluster import Cluster
from proxy.relay.opaque import BalancedWay, DirectWay, Way
from proxy.route import model
from proxy.route.hints import OPAQUE_PORTS, Expectation, expect_port

Address = tuple[str, int]
# A server on the Internet takes longer to reach than a pod.
_CONNECT_TIMEOUT_S = 5.0


class Policy(Protocol):
    """What is done with connections that were going to `original`."""

    def prepare(self, original: Address, then: Callable[[], None]) -> None:
        """Call `then`, at once or soon, when as much is known as will be."""

    def expect(self, original: Address) -> Expectation:
        """What is spoken there."""

    def route(self, original: Address, authority: bytes, path: bytes) -> tuple[str, float]:
        """The name of the cluster of a request, and its timeout; '' where no route matches."""

    def way(self, original: Address) -> Way:
        """Of a connection that is passed on as it is."""

    def release(self, original: Address) -> list[Cluster]:
        """Nobody has a connection for there any more; the forms that are gone with it."""


class Direct:
    """Everything goes where it was going: the inbound direction, and an outbound one that has no control plane.

    What goes out may go to an HTTP proxy that the application is set up for: `passes_proxies`. It is foreign to the
    mesh, where what comes in is for this pod's own application, which may be about to start.
    """

    def __init__(
        self, clusters: Clusters, opaque_ports: Container[int] = OPAQUE_PORTS, passes_proxies: bool = False
    ) -> None:
        self.clusters = clusters
        self.opaque_ports = opaque_ports
        self.passes_proxies = passes_proxies
        self.held: set[str] = set()

    def prepare(self, original: Address, then: Callable[[], None]) -> None:
        then()

    def expect(self, original: Address) -> Expectation:
        return expect_port(original[1], self.opaque_ports)._replace(passes_proxies=self.passes_proxies)

    def route(self, original: Address, authority: bytes, path: bytes) -> tuple[str, float]:
        name = model.join_host_port(*original)
        if name not in self.held:
            self.held.add(name)
            endpoint = model.Endpoint(*original, is_foreign=self.passes_proxies)
            self.clusters.hold(model.Cluster(name, (endpoint,), _CONNECT_TIMEOUT_S), monotonic())
        return name, 0.0

    def way(self, original: Address) -> Way:
        return DirectWay(original)

    def release(self, original: Address) -> list[Cluster]:
        name = model.join_host_port(*original)
        if name not in self.held:
            return []
        self.held.discard(name)
        return self.clusters.release(name, monotonic())


class Shared:
    """All connections, as they are, are shared out over one cluster: `mesh proxy --protocol tcp`."""

    def __init__(self, clusters: Clusters, cluster: str) -> None:
        self.clusters = clusters
        self.cluster = cluster

    def prepare(self, original: Address, then: Callable[[], None]) -> None:
        then()

    def expect(self, original: Address) -> Expectation:
        return Expectation(OPAQUE)

    def route(self, original: Address, authority: bytes, path: bytes) -> tuple[str, float]:
        return self.cluster, 0.0

    def way(self, original: Address) -> Way:
        return BalancedWay(self.clusters.opaque(self.cluster))

    def release(self, original: Address) -> list[Cluster]:
        return []
