"""What is counted of connections before anybody knows what they speak, and of raw ones; all of it rare."""

from __future__ import annotations

from proxy.metrics.families import Counters
from proxy.metrics.registry import Registry


class ConnectionCounts:
    """One per process, for both directions."""

    __slots__ = ("accept_failures", "connect_failures", "detections", "failures")

    def __init__(self, registry: Registry) -> None:
        self.failures = registry.failures
        self.detections = Counters(
            "gossamer_detections_total",
            "Connections whose protocol was decided, by what decided it.",
            ("direction", "protocol", "reason"),
        )
        self.accept_failures = Counters(
            "gossamer_accept_failures_total",
            "Connections that could not be accepted, by error.",
            ("direction", "errno"),
        )
        self.connect_failures = Counters(
            "gossamer_connect_failures_total", "Raw TCP connects that failed, by error.", ("direction", "errno")
        )
        for family in (self.detections, self.accept_failures, self.connect_failures):
            registry.gauge(family.name, family.help, family.samples, "counter")
