"""The outbound direction: requests of the local application, balanced over the endpoints of where they go.

Composes routes, clusters and connections: from a configuration, of which it applies the next one without dropping a
request, or from what a control plane says of each destination that the application calls.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from proxy.balance.endpoint import Endpoint
from proxy.metrics.handles import HttpMetrics, TcpMetrics
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry
from proxy.metrics.state import add_endpoint_metrics, add_stream_metrics
from proxy.net.turns import Turns
from proxy.relay.cluster import Cluster
from proxy.relay.relay import Route
from proxy.route import model
from proxy.route.match import Router
from proxy.traffic import DirectionTally, Form, Traffic, label_way

if TYPE_CHECKING:
    from proxy.destinations import Destinations, OnChange, Source
    from proxy.interception import Interception
    from proxy.metrics.connections import ConnectionCounts
    from proxy.originals import Policy
    from proxy.relay.opaque import Way

# How long after the start /ready waits at most: for endpoints from when all names are known, and in all.
_CONNECT_GRACE_S = 1.0
_START_GRACE_S = 10.0
# Kinds of workloads that have a label in Linkerd's metrics; a kind from the network makes no label of its own.
_KINDS = frozenset(("cronjob", "daemonset", "deployment", "job", "replicaset", "replicationcontroller", "statefulset"))


class OutboundTally(DirectionTally):
    """The relay's counts, as metrics with the outbound labels."""

    def handle(self, authority: str, endpoint: Endpoint | None) -> HttpMetrics:
        labels: Labels = (("direction", "outbound"), ("peer", "dst"), ("authority", authority))
        if endpoint is not None:
            labels += (
                ("target_addr", model.join_host_port(*endpoint.address)),
                ("dst_service", endpoint.link.cluster.name),
                ("tls", "disabled"),
                *label_target(endpoint.link.target),
            )
        return self.registry.http(labels)

    def connection(self, way: Way) -> TcpMetrics:
        """Of one that is passed on as it is."""
        endpoint = way.endpoint
        who = () if endpoint is None else label_target(endpoint.link)
        labels: Labels = (("direction", "outbound"), ("peer", "dst"), *label_way(way), *who)
        is_ours = endpoint is not None and way.hello is None
        return self.registry.tcp(labels) if is_ours else self.registry.foreign_tcp(labels)


def label_target(target: model.Endpoint | None) -> Labels:
    """Name who runs at an endpoint as Linkerd does, as far as the control plane has said."""
    if target is None:
        return ()
    who = target.workload
    labels = (
        ("dst_namespace", who.namespace),
        (f"dst_{who.kind}", who.name if who.kind in _KINDS else ""),
        ("dst_serviceaccount", who.service_account),
        ("dst_pod", target.pod),
    )
    return tuple((name, value) for name, value in labels if value)


class Outbound:
    """One per worker. `config` is what is in force; `connect` makes the control plane's client, if there is one."""

    def __init__(
        self,
        config: model.ProxyConfig,
        registry: Registry,
        rng: random.Random,
        connect: Callable[[OnChange], Source] | None = None,
    ) -> None:
        settings = config.settings
        now = monotonic()
        self.config = config
        self.registry = registry
        self.router = Router(config)
        self.destinations: Destinations | None = None
        self.initialised = False
        self.ready_at_s = now + _START_GRACE_S
        self.tally = OutboundTally(registry)
        self.traffic = Traffic(
            "outbound",
            settings,
            registry,
            rng,
            self.tally,
            self._routes,
            self._clusters_changed,
            ahead=connect is None,
        )
        self.clusters = self.traffic.clusters
        for wish in config.clusters:
            if wish.protocol in ("", model.HTTP2):
                self.clusters.begin(wish, now)
        if connect is not None:
            from proxy.destinations import Destinations  # a proxy without a control plane does not pay for it

            traffic = self.traffic
            self.destinations = Destinations(
                self.clusters, traffic.forget_decisions, connect, traffic.flush, later=Turns().add
            )
            self.traffic.relay.route = self._routes(self.clusters.http2)
        add_endpoint_metrics(registry, self.clusters.states)
        add_stream_metrics(registry, self.traffic.stalled_streams)

    # ---- configuration

    def _routes(self, form: Form) -> Route:
        """To clusters in this form; by what the control plane says, where there is one."""
        if self.destinations is not None:
            return partial(self.destinations.route, form)

        def route(authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
            found = self.router.match(authority, path)
            return (form(found.cluster, monotonic()), found.timeout_s or 0.0) if found is not None else (None, 0.0)

        return route

    def apply(self, config: model.ProxyConfig) -> None:
        """Put a configuration into force: addresses and known names at once, other names as they are answered.

        Nothing here waits, so configurations come into force in their order, and no request meets half of one.
        """
        router = Router(config)
        if config.settings != self.config.settings:
            self.traffic.configure(config.settings)
        self.config = config
        self.router = router
        self.clusters.refresh_s = config.settings.dns_refresh_s
        now = monotonic()
        for wish in config.clusters:
            self.clusters.put(wish, now)
        unwanted = self.clusters.wishes.keys() - {wish.name for wish in config.clusters}
        gone = [form for name in unwanted for form in self.clusters.drop(name, now)]
        self.clusters.want_names()
        self._clusters_changed()
        self.traffic.serve(gone)
        self.traffic.flush()

    def _clusters_changed(self) -> None:
        if self.destinations is None and self.clusters.names.all_answered():
            self.ready_at_s = min(self.ready_at_s, monotonic() + _CONNECT_GRACE_S)
        self.traffic.forget_decisions()
        self.traffic.flush()

    # ---- life

    async def refresh_names(self) -> None:
        """Look the endpoints' names up, now and again and again."""
        await self.clusters.names.refresh()

    async def tick(self, now: float) -> None:
        """As `Traffic` has it."""
        await self.traffic.tick(now)
        if self.destinations is not None:
            self.destinations.tick(now)

    async def sweep(self, now: float) -> None:
        """As `Traffic` has it."""
        await self.traffic.sweep(now)
        if self.destinations is not None:
            self.destinations.sweep(now)

    def intercept(self, own_ports: frozenset[int], counts: ConnectionCounts) -> Interception:
        """Serve what the pod's application sends to wherever it sends it."""
        from proxy.originals import Direct

        direct = Direct(self.clusters, passes_proxies=True)
        policy: Policy = direct
        if self.destinations is not None:
            from proxy.services import Services

            policy = Services(self.destinations, self.clusters, direct)
        return self.traffic.intercept(policy, own_ports, counts, self.tally.connection)

    def share_out(self, counts: ConnectionCounts) -> Interception:
        """Serve raw TCP alone: each connection goes to one of the endpoints of the one cluster."""
        from proxy.originals import Shared

        listen = self.config.listen
        policy = Shared(self.clusters, self.config.clusters[0].name)
        here = (listen.host, listen.port)
        return self.traffic.intercept(policy, frozenset((listen.port,)), counts, self.tally.connection, here)

    def unready_reason(self) -> str:
        """'starting' until there is somebody to send to, or long enough; then '' for ever.

        That is a ready endpoint in every cluster, or a control plane, or what it has said before (the cache). What goes
        later must not take this pod out of its own service: `endpoint_ready` and `control_connected` tell of it.
        """
        if not self.initialised:
            self.initialised = self._is_equipped() or monotonic() >= self.ready_at_s
        return "" if self.initialised else "starting"

    def _is_equipped(self) -> bool:
        if self.destinations is not None:
            return self.destinations.source.connected or bool(self.destinations.known)
        return all(cluster.deserted_since_s < 0 for cluster in self.clusters.by_name.values())
