"""The inbound direction: what other pods send to this one, passed on to the application where it was going.

Nothing is balanced here: there is one address. What it adds is what is counted, and that clients are told in time when
the pod is about to end.
"""

from __future__ import annotations

import random
from collections.abc import Container

from proxy.balance.endpoint import Endpoint
from proxy.interception import Interception
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.handles import HttpMetrics, TcpMetrics
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry
from proxy.originals import Direct
from proxy.relay.opaque import Way
from proxy.route import model
from proxy.route.hints import OPAQUE_PORTS
from proxy.traffic import DirectionTally, Traffic, label_way, no_route


class InboundTally(DirectionTally):
    """The relay's counts, as metrics with the inbound labels."""

    def handle(self, authority: str, endpoint: Endpoint | None) -> HttpMetrics:
        labels: Labels = (("direction", "inbound"), ("peer", "src"), ("authority", authority))
        if endpoint is not None:
            labels += (("target_addr", model.join_host_port(*endpoint.address)), ("tls", "disabled"))
        return self.registry.http(labels)

    def connection(self, way: Way) -> TcpMetrics:
        """Of one that is passed on as it is. The name in a hello is whatever its client likes."""
        labels: Labels = (("direction", "inbound"), ("peer", "dst"), *label_way(way))
        return self.registry.tcp(labels) if way.hello is None else self.registry.foreign_tcp(labels)


class Inbound:
    """One per worker. `opaque_ports` are those where nothing is looked at."""

    def __init__(
        self,
        settings: model.Settings,
        registry: Registry,
        rng: random.Random,
        own_ports: frozenset[int],
        counts: ConnectionCounts,
        opaque_ports: Container[int] = OPAQUE_PORTS,
    ) -> None:
        tally = InboundTally(registry)
        self.traffic = Traffic(
            "inbound",
            settings,
            registry,
            rng,
            tally,
            lambda form: no_route,
            self._changed,
            ahead=False,
        )
        policy = Direct(self.traffic.clusters, opaque_ports)
        self.interception: Interception = self.traffic.intercept(policy, own_ports, counts, tally.connection)

    def _changed(self) -> None:
        """There are no names here to be resolved."""

    async def tick(self, now: float) -> None:
        """As `Traffic` has it."""
        await self.traffic.tick(now)

    async def sweep(self, now: float) -> None:
        """As `Traffic` has it."""
        await self.traffic.sweep(now)
