"""The outbound direction: requests of the local application, balanced over the endpoints of where they go.

Composes routes, clusters, balancers and connections from a configuration, and applies the next one without dropping a
request: endpoints that stay keep their connections and estimates, those that go finish what they have.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from time import monotonic

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.codec.limits import Limits
from proxy.metrics.handles import HttpMetrics
from proxy.metrics.registry import Registry
from proxy.metrics.state import EndpointState, add_endpoint_metrics, add_stream_metrics
from proxy.net.adapter import ReadBuffer, flush
from proxy.net.listener import Listener
from proxy.net.log import log
from proxy.net.pool import Pool
from proxy.relay.cluster import Cluster
from proxy.relay.link import Link
from proxy.relay.relay import TICK_S, Relay
from proxy.route import model
from proxy.route.match import Router

_SWEEP_S = 1.0
_EVICT_S = 10.0


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
        self.config = config
        self.registry = registry
        self.clusters: dict[str, Cluster] = {}
        self.router = Router(config)
        self.relay = Relay(self._route, rng.random, OutboundTally(registry))
        limits = Limits(
            max_concurrent_streams=settings.max_concurrent_streams,
            stream_window_bytes=settings.stream_window_bytes,
            max_header_bytes=settings.max_header_bytes,
            max_header_fields=settings.max_header_fields,
        )
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
        self.resolved: dict[str, tuple[str, ...]] = {}
        self.metrics_epoch = registry.epoch
        add_endpoint_metrics(registry, self._endpoint_states)
        add_stream_metrics(registry, self._stalled_streams)

    # ---- configuration

    def _route(self, authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
        route = self.router.match(authority, path)
        if route is None:
            return None, 0.0
        return self.clusters[route.cluster], route.timeout_s or 0.0

    async def apply(self, config: model.ProxyConfig) -> None:
        """Put a configuration into force. Names are resolved first, so that no request meets a half-made cluster."""
        await self._resolve(config)
        now = monotonic()
        self.config = config
        self.router = Router(config)
        wanted = {cluster.name for cluster in config.clusters}
        for name in [name for name in self.clusters if name not in wanted]:
            self._update(self.clusters.pop(name), (), now)
        for cluster in config.clusters:
            known = self.clusters.get(cluster.name)
            if known is None:
                known = Cluster(cluster.name, Balancer(), cluster.failfast_timeout_s, now)
                self.clusters[cluster.name] = known
            known.failfast_s = cluster.failfast_timeout_s
            self._update(known, cluster.endpoints, now, cluster.connect_timeout_s)
        self.relay.forget_decisions()
        flush(self.relay.flushes)

    def _update(
        self, cluster: Cluster, endpoints: tuple[model.Endpoint, ...], now: float, connect_timeout_s: float = 1.0
    ) -> None:
        balancer = cluster.balancer
        before = set(balancer.endpoints)
        removed = balancer.replace(
            Endpoint((address, endpoint.port), endpoint.weight)
            for endpoint in endpoints
            for address in self.resolved.get(endpoint.host, (endpoint.host,))
        )
        for endpoint in removed:
            self.pool.remove(endpoint.link, now)
        for endpoint in balancer.endpoints:
            if endpoint not in before:
                link = Link(cluster, endpoint, self.pool.dial)
                link.connect_timeout_s = connect_timeout_s
                link.dial_more()
        cluster.refresh(now)

    async def _resolve(self, config: model.ProxyConfig) -> bool:
        """Look all names up; one that fails keeps its last addresses. True where something changed."""
        hosts = {endpoint.host for cluster in config.clusters for endpoint in cluster.endpoints}
        names = [host for host in hosts if not is_address(host)]
        answers = await asyncio.gather(*(resolve(name) for name in names))
        before = dict(self.resolved)
        for name, addresses in zip(names, answers, strict=True):
            if addresses:
                self.resolved[name] = addresses
            elif name not in self.resolved:
                log(
                    f"endpoint {name}: the name does not resolve; tried again every {config.settings.dns_refresh_s:g} s"
                )
                self.resolved[name] = ()
        for name in [name for name in self.resolved if name not in names]:
            del self.resolved[name]
        return before != self.resolved

    # ---- life

    async def refresh_names(self) -> None:
        """Resolve names again and again; returns at once where all endpoints are addresses."""
        while True:
            await asyncio.sleep(self.config.settings.dns_refresh_s)
            if await self._resolve(self.config):
                await self.apply(self.config)

    async def sweep(self) -> None:
        """The one coarse clock: timeouts of requests, of connections, and of metrics."""
        next_sweep_s = next_evict_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            self.relay.sweep(now)
            if now >= next_sweep_s:
                next_sweep_s = now + _SWEEP_S
                self.listener.sweep(now)
            if now >= next_evict_s:
                next_evict_s = now + _EVICT_S
                self.registry.sweep(now)
                if self.registry.epoch != self.metrics_epoch:
                    self.metrics_epoch = self.registry.epoch
                    self.relay.forget_decisions()
            flush(self.relay.flushes)

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
        """Why requests cannot be served now; '' where every cluster has an endpoint that is ready."""
        for cluster in self.clusters.values():
            if cluster.deserted_since_s >= 0:
                return f"cluster {cluster.name} has no ready endpoint"
        return ""


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(name: str) -> tuple[str, ...]:
    """The addresses of a name, sorted; none where it does not resolve."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))
