"""A stage whose destinations come from a control plane, which the script plays: it answers when the script says so."""

from __future__ import annotations

from functools import partial
from typing import Any

from proxy.clusters import Clusters
from proxy.destinations import Destinations, OnChange
from proxy.relay.cluster import Cluster
from proxy.route.model import ANY_PATH, HTTP2, Destination, Endpoint, Route
from proxy.route.model import Cluster as Wish
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, Headers


class ControlPlane:
    """Remembers what it was asked, in order; `missing` are the names that it has denied."""

    def __init__(self, on_change: OnChange) -> None:
        self.on_change = on_change
        self.connected = True
        self.last_error = ""
        self.wanted: list[str] = []
        self.missing: set[str] = set()

    def want(self, name: str, now: float) -> None:
        self.wanted.append(name)

    def is_missing(self, name: str) -> bool:
        return name in self.missing

    def forget_unused(self, now: float) -> None:
        """Nothing is old enough here."""

    def tell(self, name: str, *ports: int, cluster: str = "", routes: tuple[Route, ...] = ()) -> None:
        """There is such a destination: one cluster with endpoints at these ports, unless `routes` name others."""
        self.missing.discard(name)
        made = routes or (Route("all", ("*",), ANY_PATH, cluster or name),)
        endpoints = tuple(Endpoint("127.0.0.1", port) for port in ports)
        names = dict.fromkeys(route.cluster for route in made)
        wishes = tuple(Wish(one, endpoints, protocol=HTTP2) for one in names)
        self.on_change(name, Destination(name, made, wishes))

    def deny(self, name: str) -> None:
        self.missing.add(name)
        self.on_change(name, None)

    def forget(self, name: str) -> None:
        """It is no longer subscribed: too many others are."""
        self.missing.discard(name)
        self.on_change(name, None)


class MeshStage(Stage):
    """`stage.control` is the control plane, `stage.destinations` what is known of it."""

    def __init__(self) -> None:
        super().__init__(0)
        self.clusters = Clusters(self.dialled.append, lambda: None)
        self.control: ControlPlane
        self.destinations = Destinations(
            self.clusters, self.relay.forget_decisions, self._connect, self.flush, lambda call: call(), lambda: self.now
        )
        self.relay.route = partial(self.destinations.route, self.clusters.http2)

    def _connect(self, on_change: OnChange) -> ControlPlane:
        self.control = ControlPlane(on_change)
        return self.control

    def call(self, down: Wire, authority: str, **options: Any) -> int:
        return self.request(down, to(authority), **options)

    def cluster_named(self, name: str) -> Cluster:
        return self.clusters.by_name[name]

    def ports(self, name: str) -> list[int]:
        return [endpoint.address[1] for endpoint in self.cluster_named(name).balancer.endpoints]

    def check_idle(self) -> None:
        super().check_idle()
        assert not self.destinations.waiting
        for cluster in self.clusters.by_name.values():
            assert not cluster.waiting
            for endpoint in cluster.balancer.endpoints:
                assert (endpoint.pending, endpoint.unanswered) == (0, 0)


def to(authority: str, request: Headers = GRPC_REQUEST) -> Headers:
    return [(name, authority if name == ":authority" else value) for name, value in request]


def answer(stage: Stage, down: Wire, stream_id: int) -> int:
    """The endpoint that has the request answers it; its port."""
    up, there = stage.where(down, stream_id)
    voice = up.voice
    up.feed(voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x") + voice.headers(there, GRPC_OK, end=True))
    assert down.hear("HEADERS", stream_id)[-1].header("grpc-status") == "0"
    port: int = up.conn.link.endpoint.address[1]
    return port
