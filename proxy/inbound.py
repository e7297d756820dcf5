"""The inbound direction: what other pods send to this one, passed on to the application where it was going.

Nothing is balanced here: there is one address. What it adds is what is counted, and that clients are told in time when
the pod is about to end.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic

from proxy.balance.endpoint import Endpoint
from proxy.interception import Interception, no_route
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.handles import HttpMetrics
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry
from proxy.net.log import log_bug
from proxy.originals import Direct
from proxy.relay.relay import TICK_S
from proxy.route import model
from proxy.traffic import DirectionTally, Traffic

_SWEEP_S = 1.0


class InboundTally(DirectionTally):
    """The relay's counts, as metrics with the inbound labels."""

    def handle(self, authority: str, endpoint: Endpoint | None) -> HttpMetrics:
        labels: Labels = (("direction", "inbound"), ("peer", "src"), ("authority", authority))
        if endpoint is not None:
            labels += (("target_addr", model.join_host_port(*endpoint.address)), ("tls", "disabled"))
        return self.registry.http(labels)


class Inbound:
    """One per worker."""

    def __init__(
        self,
        settings: model.Settings,
        registry: Registry,
        rng: random.Random,
        own_ports: frozenset[int],
        counts: ConnectionCounts,
    ) -> None:
        self.registry = registry
        self.metrics_epoch = registry.epoch
        self.traffic = Traffic(
            "inbound", settings, registry, rng, InboundTally(registry), no_route, self._changed, ahead=False
        )
        policy = Direct(self.traffic.clusters)
        self.interception: Interception = self.traffic.intercept(policy, own_ports, counts, settings)

    def _changed(self) -> None:
        """There are no names here to be resolved."""

    async def sweep(self) -> None:
        """The one coarse clock: timeouts of requests and of connections."""
        next_sweep_s = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            # After a halt of the process timers come before sockets: what peers have sent meanwhile is read first.
            await asyncio.sleep(0)
            now = monotonic()
            try:
                self.traffic.tick(now)
                if now >= next_sweep_s:
                    next_sweep_s = now + _SWEEP_S
                    self.traffic.sweep(now)
                    if self.registry.epoch != self.metrics_epoch:
                        self.metrics_epoch = self.registry.epoch
                        self.traffic.forget_decisions()
                self.traffic.flush()
            except Exception as bug:  # Without this clock no request would ever time out.
                log_bug("the sweep", bug)
