"""One direction's connections on both sides: what is the same for inbound and outbound.

Composes the listener, the pool and the clusters. Which way a request goes is its owner's: `route` for connections to
this proxy itself, a policy for those that were led here. What only the latter need (HTTP/1, raw TCP) is imported with
them, so that a proxy without interception does not pay for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from proxy.clusters import Clusters
from proxy.codec.limits import Limits
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer, flush
from proxy.net.listener import Listener
from proxy.net.pool import Pool
from proxy.relay.cluster import Cluster
from proxy.relay.relay import Relay, Route, Tally
from proxy.route import model

if TYPE_CHECKING:
    from proxy.interception import Interception
    from proxy.metrics.connections import ConnectionCounts
    from proxy.originals import Policy


class DirectionTally:
    """What the relay counts without labels of its own; `handle` is the direction's."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def failed(self, reason: str) -> None:
        self.registry.failures.add(reason)

    def replayed(self) -> None:
        self.registry.retries.add("unprocessed", "sent")

    def protocol_fault(self, side: str, reason: str) -> None:
        self.registry.protocol_faults.add(side, reason)


class Traffic:
    """`changed` is called when names of endpoints were resolved anew; `ahead` as `Clusters` has it."""

    def __init__(
        self,
        direction: str,
        settings: model.Settings,
        registry: Registry,
        rng: random.Random,
        tally: Tally,
        route: Route,
        changed: Callable[[], None],
        ahead: bool,
    ) -> None:
        self.direction = direction
        self.registry = registry
        self.tally = tally
        self.relay = Relay(route, rng.random, tally)
        self.limits = make_limits(settings)
        self.buffer = ReadBuffer()
        upstream = registry.tcp((("direction", direction), ("peer", "dst")))
        self.downstream_tcp = registry.tcp((("direction", direction), ("peer", "src")))
        user_timeout_s = settings.upstream_user_timeout_s
        self.pool = Pool(self.relay, self.limits, self.buffer, upstream, user_timeout_s)
        self.upstream_tcp = upstream
        timeouts = settings.idle_timeout_s, settings.max_connection_age_s
        self.listener = Listener(self.relay, self.limits, self.buffer, self.downstream_tcp, *timeouts, user_timeout_s)
        self.clusters = Clusters(self.pool.dial, changed, ahead)
        self.interception: Interception | None = None

    def intercept(
        self, policy: Policy, own_ports: frozenset[int], counts: ConnectionCounts, settings: model.Settings
    ) -> Interception:
        """Take connections that are led here too."""
        from proxy.interception import Interception

        self.interception = Interception(
            self.direction,
            policy,
            self.clusters,
            self.listener,
            self.tally,
            self.limits,
            counts,
            self.buffer,
            self.downstream_tcp,
            self.upstream_tcp,
            own_ports,
            settings,
        )
        return self.interception

    # ---- changes

    def forget_decisions(self) -> None:
        self.relay.forget_decisions()
        if self.interception is not None:
            self.interception.forget_decisions()

    def flush(self) -> None:
        flush(self.relay.flushes)
        if self.interception is not None:
            self.interception.flush()

    def serve(self, gone: list[Cluster]) -> None:
        """Those who waited in clusters that are gone may be served elsewhere."""
        now = monotonic()
        for cluster in gone:
            cluster.serve(now)

    def configure(self, settings: model.Settings) -> None:
        """Timeouts hold for all connections from now on, limits for new ones: a peer has been told the old ones."""
        limits = self.limits = make_limits(settings)
        self.pool.limits = limits
        self.pool.user_timeout_s = settings.upstream_user_timeout_s
        self.listener.configure(
            limits, settings.idle_timeout_s, settings.max_connection_age_s, settings.upstream_user_timeout_s
        )
        if self.interception is not None:
            self.interception.configure(settings, limits)

    # ---- from time to time

    def tick(self, now: float) -> None:
        """Ten times a second or so: timeouts of requests."""
        self.relay.sweep(now)
        if self.interception is not None:
            self.interception.tick(now)

    def sweep(self, now: float) -> None:
        """Every second or so: timeouts of connections."""
        self.listener.sweep(now)
        self.clusters.retire_surplus(now)
        if self.interception is not None:
            self.interception.sweep(now)

    # ---- the end

    def count(self) -> int:
        """The clients' connections."""
        others = 0 if self.interception is None else self.interception.count()
        return len(self.listener.adapters) + others

    async def drain(self, timeout_s: float) -> bool:
        """Tell all clients that this is the end, and wait for them to go; True where all went within `timeout_s`."""
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self.listener.drain(timeout_s))]
            if self.interception is not None:
                parts.append(group.create_task(self.interception.drain(timeout_s)))
        return all(part.result() for part in parts)

    def close(self) -> None:
        """End everything at once."""
        self.pool.close()
        if self.interception is not None:
            self.interception.close()

    def stalled_streams(self) -> int:
        adapters = self.pool.adapters | self.listener.adapters
        return sum(len(adapter.conn.waiting or ()) for adapter in adapters)


def make_limits(settings: model.Settings) -> Limits:
    return Limits(
        max_concurrent_streams=settings.max_concurrent_streams,
        stream_window_bytes=settings.stream_window_bytes,
        max_header_bytes=settings.max_header_bytes,
        max_header_fields=settings.max_header_fields,
    )
