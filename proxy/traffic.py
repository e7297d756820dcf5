"""One direction's connections on both sides: what is the same for inbound and outbound.

Composes the listener, the pool and the clusters. Which way a request goes is its owner's: `routes` for connections to
this proxy itself, a policy for those that were led here. HTTP/1 and raw TCP are imported when there are any, so that a
proxy for gRPC alone does not pay for them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from proxy.clusters import Clusters
from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry
from proxy.net.adapter import ReadBuffer, flush
from proxy.net.listener import Listener
from proxy.net.log import log_bug
from proxy.net.pool import Pool
from proxy.net.turns import tell_due
from proxy.relay.cluster import Cluster
from proxy.relay.relay import TICK_S, Relay, Route, Tally
from proxy.route import model

if TYPE_CHECKING:
    from proxy.http1 import Http1
    from proxy.interception import Interception
    from proxy.metrics.connections import ConnectionCounts
    from proxy.originals import Address, Policy
    from proxy.relay.opaque import Way

# Finds a cluster by its name, and the time, in the form that some protocol needs.
Form = Callable[[str, float], Cluster]
_SWEEP_S = 1.0
_EVICT_S = 10.0


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


def label_way(way: Way) -> Labels:
    """Where a connection leads that is passed on as it is; TLS that is not ours is `opaque`, as Linkerd calls it."""
    labels: Labels = (("target_addr", "" if way.target is None else model.join_host_port(*way.target)),)
    if way.service:
        labels += (("dst_service", way.service),)
    if way.hello is None:
        return (*labels, ("tls", "disabled"))
    return (*labels, ("tls", "opaque"), ("sni", way.hello.server_name))


class Traffic:
    """`changed` is called when names of endpoints were resolved anew; `ahead` as `Clusters` has it."""

    def __init__(
        self,
        direction: str,
        settings: model.Settings,
        registry: Registry,
        rng: random.Random,
        tally: Tally,
        routes: Callable[[Form], Route],
        changed: Callable[[], None],
        ahead: bool,
    ) -> None:
        self.direction = direction
        self.registry = registry
        self.tally = tally
        self.settings = settings
        self.limits = make_limits(settings)
        self.buffer = ReadBuffer()
        self.routes = routes
        self.relay = Relay(no_route, rng.random, tally)
        upstream = registry.lasting_tcp((("direction", direction), ("peer", "dst")))
        self.downstream_tcp = registry.lasting_tcp((("direction", direction), ("peer", "src")))
        user_timeout_s = settings.upstream_user_timeout_s
        self.pool = Pool(self.relay, self.limits, self.buffer, upstream, user_timeout_s)
        self.upstream_tcp = upstream
        timeouts = settings.idle_timeout_s, settings.max_connection_age_s
        self.listener = Listener(self.relay, self.limits, self.buffer, self.downstream_tcp, *timeouts, user_timeout_s)
        self.listener.restrict(settings)
        self.listener.take_http1 = lambda transport, nbytes: self.http1().adopt(transport, nbytes)
        self.clusters = Clusters(self.pool.dial, changed, ahead)
        self.clusters.dial_http1 = lambda link: self.http1().dial(link)
        self.relay.route = routes(self.clusters.http2)
        self.interception: Interception | None = None
        self._http1: Http1 | None = None

    def http1(self) -> Http1:
        """The side of HTTP/1, made where it is first spoken."""
        if self._http1 is None:
            from proxy.http1 import Http1

            self._http1 = Http1(
                self.routes(self.clusters.http1),
                self.tally,
                self.limits,
                self.buffer,
                self.downstream_tcp,
                self.upstream_tcp,
                self.settings,
            )
            self.listener.room.join(self._http1.listener)
            if self.listener.draining:
                self._http1.listener.drain(monotonic())
        return self._http1

    def _sides(self) -> list[Http1 | Interception]:
        """What there is beside HTTP/2 on our own port."""
        return [side for side in (self._http1, self.interception) if side is not None]

    def intercept(
        self,
        policy: Policy,
        own_ports: frozenset[int],
        counts: ConnectionCounts,
        upstream_tcp: Callable[[Way], TcpMetrics],
        here: Address | None = None,
    ) -> Interception:
        """Take connections that are led here too; `upstream_tcp` counts one that is passed on as it is."""
        from proxy.interception import Interception

        self.interception = Interception(
            self.direction,
            policy,
            self.clusters,
            self.listener,
            self.http1(),
            self.tally,
            self.limits,
            counts,
            self.buffer,
            self.downstream_tcp,
            upstream_tcp,
            own_ports,
            self.settings,
            here,
        )
        return self.interception

    # ---- changes

    def forget_decisions(self) -> None:
        self.relay.forget_decisions()
        for side in self._sides():
            side.forget_decisions()

    def flush(self) -> None:
        flush(self.relay.flushes)
        if self._http1 is not None:
            self._http1.flush()

    def serve(self, gone: list[Cluster]) -> None:
        """Those who waited in clusters that are gone may be served elsewhere."""
        now = monotonic()
        for cluster in gone:
            cluster.serve(now)

    def configure(self, settings: model.Settings) -> None:
        """Timeouts hold for all connections from now on, limits for new ones: a peer has been told the old ones."""
        self.settings = settings
        limits = self.limits = make_limits(settings)
        self.pool.limits = limits
        self.pool.user_timeout_s = settings.upstream_user_timeout_s
        self.listener.configure(
            limits, settings.idle_timeout_s, settings.max_connection_age_s, settings.upstream_user_timeout_s
        )
        self.listener.restrict(settings)
        for side in self._sides():
            side.configure(settings, limits)

    # ---- from time to time

    async def tick(self, now: float) -> None:
        """Ten times a second or so: timeouts of requests."""
        await tell_due(self.relay.find_due(now), self.flush, now)
        for side in self._sides():
            await side.tick(now)

    async def sweep(self, now: float) -> None:
        """Every second or so: timeouts of connections."""
        await self.listener.sweep(now)
        await self.pool.sweep(now)
        self.clusters.retire_surplus(now)
        if self.clusters.end_futile(now):
            self.forget_decisions()
        for side in self._sides():
            await side.sweep(now)

    # ---- the end

    def count(self) -> int:
        """The clients' connections."""
        return len(self.listener.adapters) + sum(side.count() for side in self._sides())

    async def drain(self, timeout_s: float) -> bool:
        """Tell all clients that this is the end, and wait for them to go; True where all went within `timeout_s`."""
        deadline_s = monotonic() + timeout_s
        has_ended = await self._drain_sides(timeout_s)
        # Who was accepted before the doors were shut may have come to his side when that had nobody any more.
        while has_ended and self.count():
            has_ended = await self._drain_sides(deadline_s - monotonic())
        return has_ended

    async def _drain_sides(self, timeout_s: float) -> bool:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(self.listener.drain(timeout_s))]
            parts += [group.create_task(side.drain(timeout_s)) for side in self._sides()]
        return all(part.result() for part in parts)

    def close(self) -> None:
        """End everything at once."""
        self.pool.close()
        for side in self._sides():
            side.close()

    def stalled_streams(self) -> int:
        adapters = self.pool.adapters | self.listener.adapters
        return sum(len(adapter.conn.waiting or ()) for adapter in adapters)


def no_route(authority: bytes, path: bytes) -> tuple[Cluster | None, float]:
    """Until there are routes, and where all that is served has routes of its own."""
    return None, 0.0


def make_limits(settings: model.Settings) -> Limits:
    return Limits(
        max_concurrent_streams=settings.max_concurrent_streams,
        stream_window_bytes=settings.stream_window_bytes,
        max_header_bytes=settings.max_header_bytes,
        max_header_fields=settings.max_header_fields,
        min_streams_judged=settings.rapid_reset_streams,
    )


class Direction(Protocol):
    """`tick` is called ten times a second or so, `sweep` every second or so, with the time; both take theirs."""

    traffic: Traffic

    async def tick(self, now: float) -> None: ...

    async def sweep(self, now: float) -> None: ...


async def keep_time(directions: Sequence[Direction], registry: Registry) -> None:
    """The two coarse clocks, for ever: timeouts of requests and of metrics, and of connections."""
    async with asyncio.TaskGroup() as group:
        group.create_task(_tick(directions, registry))
        group.create_task(_sweep(directions))


async def _tick(directions: Sequence[Direction], registry: Registry) -> None:
    next_evict_s = 0.0
    epoch = registry.epoch
    while True:
        now = await _wait(TICK_S)
        try:
            if now >= next_evict_s:
                next_evict_s = now + _EVICT_S
                registry.sweep(now)
            for direction in directions:
                if registry.epoch != epoch:
                    direction.traffic.forget_decisions()
                await direction.tick(now)
                direction.traffic.flush()
            epoch = registry.epoch
        except Exception as bug:  # Without this clock no request would ever time out.
            log_bug("the clock", bug)


async def _sweep(directions: Sequence[Direction]) -> None:
    while True:
        now = await _wait(_SWEEP_S)
        for direction in directions:
            try:
                await direction.sweep(now)
                direction.traffic.flush()
            except Exception as bug:  # Without it no connection would ever time out.
                log_bug("the sweep", bug)


async def _wait(duration_s: float) -> float:
    """The time then. After a halt of the process timers come before sockets: what has come meanwhile is read first."""
    await asyncio.sleep(duration_s)
    await asyncio.sleep(0)
    return monotonic()
