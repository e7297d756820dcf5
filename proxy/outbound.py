"""The outbound direction: requests of the local application, balanced over the endpoints of where they go.

Composes routes, clusters, balancers and connections from a configuration, and applies the next one without dropping a
request: endpoints that stay keep their connections and estimates, those that go finish what they have.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.codec.limits import Limits
from proxy.metrics.handles import HttpMetrics
from proxy.metrics.registry import Registry
from proxy.metrics.state import EndpointState, add_endpoint_metrics, add_stream_metrics
from proxy.net.adapter import ReadBuffer, flush
from proxy.net.listener import Listener
from proxy.net.log import log_bug
from proxy.net.names import Names
from proxy.net.pool import Pool
from proxy.relay.cluster import Cluster
from proxy.relay.link import Carrier, Link
from proxy.relay.relay import TICK_S, Relay
from proxy.route import model
from proxy.route.match import Router

_SWEEP_S = 1.0
_EVICT_S = 10.0
# A connection beyond the first that a burst needed is closed after this long without a stream.
_SURPLUS_S = 60.0
# How long after the start /ready waits for endpoints at most: from when all names are known, and in all.
_CONNECT_GRACE_S = 1.0
_START_GRACE_S = 10.0


class OutboundTally:
    """The relay's counts, as metrics with the outbound labels."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def handle(self, authority: str, endpoint: Endpoint | None) -> HttpMetrics:
        labels = [("direction", "outbound"), ("peer", "dst"), ("authority", authority)]
        if endpoint is not None:
            labels += [
                ("target_addr", model.join_host_port(*endpoint.address)),
                ("dst_service", endpoint.link.cluster.name),
                ("tls", "disabled"),
            ]
        return self.registry.http(tuple(labels))

    def failed(self, reason: str) -> None:
        self.registry.failures.add(reason)

    def replayed(self) -> None:
        self.registry.retries.add("unprocessed", "sent")

    def protocol_fault(self, side: str, reason: str) -> None:
        self.registry.protocol_faults.add(side, reason)


class Outbound:
    """One per worker. `config` is what is in force."""

    def __init__(self, config: model.ProxyConfig, registry: Registry, rng: random.Random) -> None:
        settings = config.settings
        now = monotonic()
        self.config = config
        self.registry = registry
        self.router = Router(config)
        # Empty at first: requests wait, and each cluster's fail-fast clock runs.
        self.clusters = {
            cluster.name: Cluster(cluster.name, Balancer(), cluster.failfast_timeout_s, now)
            for cluster in config.clusters
        }
        self.names = Names(self._update_clusters)
        self.initialised = False
        self.ready_at_s = now + _START_GRACE_S
        self.relay = Relay(self._route, rng.random, OutboundTally(registry))
        limits = make_limits(settings)
        buffer = ReadBuffer()
        direction = ("direction", "outbound")
        self.pool = Pool(
            self.relay, limits, buffer, registry.tcp((direction, ("peer", "dst"))), settings.upstream_user_timeout_s
        )
        self.listener = Listener(
            self.relay,
            limits,
            buffer,
            registry.tcp((direction, ("peer", "src"))),
            settings.idle_timeout_s,
            settings.max_connection_age_s,
            settings.upstream_user_timeout_s,
        )
        # Surplus connections: the id of their next stream, and since when it has been that with none open.
        self.surplus: dict[Carrier, tuple[int, float]] = {}
        self.metrics_epoch = registry.epoch
        add_endpoint_metrics(registry, self._endpoint_states)
        add_stream_metrics(registry, self._stalled_streams)

    # ---- configuration

    def _route(self, authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
        route = self.router.match(authority, path)
        if route is None:
            return None, 0.0
        return self.clusters[route.cluster], route.timeout_s or 0.0

    def apply(self, config: model.ProxyConfig) -> None:
        """Put a configuration into force: addresses and known names at once, other names as they are answered.

        Nothing here waits, so configurations come into force in their order, and no request meets half of one.
        """
        router = Router(config)
        hosts = {endpoint.host for cluster in config.clusters for endpoint in cluster.endpoints}
        self._apply_settings(config.settings)
        self.config = config
        self.router = router
        self.names.want(hosts, config.settings.dns_refresh_s)
        self._update_clusters()

    def _apply_settings(self, settings: model.Settings) -> None:
        """Timeouts hold for all connections from now on, limits for new ones: a peer has been told the old ones."""
        if settings == self.config.settings:
            return
        limits = make_limits(settings)
        self.pool.limits = limits
        self.pool.user_timeout_s = settings.upstream_user_timeout_s
        self.listener.configure(
            limits, settings.idle_timeout_s, settings.max_connection_age_s, settings.upstream_user_timeout_s
        )

    def _update_clusters(self) -> None:
        now = monotonic()
        wanted = {cluster.name for cluster in self.config.clusters}
        for name in [name for name in self.clusters if name not in wanted]:
            self._replace(self.clusters.pop(name), [], now)
        for wish in self.config.clusters:
            cluster = self.clusters.get(wish.name)
            if cluster is None:
                cluster = self.clusters[wish.name] = Cluster(wish.name, Balancer(), wish.failfast_timeout_s, now)
            cluster.failfast_s = wish.failfast_timeout_s
            self._replace(cluster, self._endpoints(cluster, wish), now)
            for endpoint in cluster.balancer.endpoints:
                endpoint.link.connect_timeout_s = wish.connect_timeout_s
                if not endpoint.link.conns:
                    endpoint.link.dial_more()
        if self.names.all_answered():
            self.ready_at_s = min(self.ready_at_s, now + _CONNECT_GRACE_S)
        self.relay.forget_decisions()
        flush(self.relay.flushes)

    def _endpoints(self, cluster: Cluster, wish: model.Cluster) -> list[Endpoint]:
        """What is known of what is wanted; while a name is unanswered, what there was stays to fill the gap."""
        found = [(endpoint, self.names.addresses(endpoint.host)) for endpoint in wish.endpoints]
        old = cluster.balancer.endpoints if any(addresses is None for _, addresses in found) else []
        return old + [
            Endpoint((address, endpoint.port), endpoint.weight)
            for endpoint, addresses in found
            for address in addresses or ()
        ]

    def _replace(self, cluster: Cluster, endpoints: list[Endpoint], now: float) -> None:
        before = set(cluster.balancer.endpoints)
        for endpoint in cluster.balancer.replace(endpoints):
            self.pool.remove(endpoint.link, now)
        for endpoint in cluster.balancer.endpoints:
            if endpoint not in before:
                Link(cluster, endpoint, self.pool.dial)
        cluster.refresh(now)

    # ---- life

    async def refresh_names(self) -> None:
        """Look the endpoints' names up, now and again and again."""
        await self.names.refresh()

    async def sweep(self) -> None:
        """The one coarse clock: timeouts of requests, of connections, and of metrics."""
        next_sweep_s = next_evict_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            try:
                self.relay.sweep(now)
                if now >= next_sweep_s:
                    next_sweep_s = now + _SWEEP_S
                    self.listener.sweep(now)
                    self._retire_surplus(now)
                if now >= next_evict_s:
                    next_evict_s = now + _EVICT_S
                    self._evict(now)
                flush(self.relay.flushes)
            except Exception as bug:  # Without this clock no request would ever time out.
                log_bug("the sweep", bug)

    def _evict(self, now: float) -> None:
        self.registry.sweep(now)
        if self.registry.epoch != self.metrics_epoch:
            self.metrics_epoch = self.registry.epoch
            self.relay.forget_decisions()

    def _retire_surplus(self, now: float) -> None:
        """Close what a burst needed and nobody has used for a while; one connection to each endpoint stays."""
        links = [endpoint.link for cluster in self.clusters.values() for endpoint in cluster.balancer.endpoints]
        idle = {}
        for conn in [conn for link in links if len(link.conns) > 1 for conn in link.conns if conn.open_streams == 0]:
            next_id, since_s = self.surplus.get(conn, (conn.next_id, now))
            idle[conn] = (conn.next_id, since_s if next_id == conn.next_id else now)
            if now - idle[conn][1] >= _SURPLUS_S and len(conn.link.conns) > 1:
                del idle[conn]
                conn.retire(now)
        self.surplus = idle

    def _endpoint_states(self) -> list[EndpointState]:
        now = monotonic()
        return [
            EndpointState(
                name,
                model.join_host_port(*endpoint.address),
                endpoint.ready,
                endpoint.ejected,
                endpoint.rtt(now) * 1000.0,
                endpoint.pending,
            )
            for name, cluster in self.clusters.items()
            for endpoint in cluster.balancer.endpoints
        ]

    def _stalled_streams(self) -> int:
        adapters = self.pool.adapters | self.listener.adapters
        return sum(len(adapter.conn.waiting or ()) for adapter in adapters)

    def unready_reason(self) -> str:
        """'starting' until every cluster has a ready endpoint, or long enough; then '' for ever.

        A dependency that is down must not take this pod out of its own service: `endpoint_ready` tells of endpoints.
        """
        if not self.initialised:
            deserted = any(cluster.deserted_since_s >= 0 for cluster in self.clusters.values())
            self.initialised = not deserted or monotonic() >= self.ready_at_s
        return "" if self.initialised else "starting"


def make_limits(settings: model.Settings) -> Limits:
    return Limits(
        max_concurrent_streams=settings.max_concurrent_streams,
        stream_window_bytes=settings.stream_window_bytes,
        max_header_bytes=settings.max_header_bytes,
        max_header_fields=settings.max_header_fields,
    )
