"""What the balancer and the relay know at the moment of a scrape, as gauges; nothing of it is counted in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from proxy.metrics.families import Samples
from proxy.metrics.labels import Labels
from proxy.metrics.registry import Registry


class EndpointState(NamedTuple):
    """How the balancer of one `protocol` sees one endpoint: each has connections and estimates of its own."""

    dst_service: str
    target_addr: str
    protocol: str
    is_ready: bool
    is_ejected: bool
    ewma_ms: float
    pending: int

    def labels(self) -> Labels:
        return (("dst_service", self.dst_service), ("target_addr", self.target_addr), ("protocol", self.protocol))


ENDPOINT_FAMILIES: tuple[tuple[str, str, Callable[[EndpointState], float]], ...] = (
    ("gossamer_endpoint_ready", "Whether requests can be sent to the endpoint.", lambda state: int(state.is_ready)),
    ("gossamer_endpoint_ejected", "Whether the breaker keeps requests from it.", lambda state: int(state.is_ejected)),
    ("gossamer_endpoint_ewma_ms", "Its peak-EWMA latency, in ms.", lambda state: state.ewma_ms),
    ("gossamer_endpoint_pending", "Requests sent to it that have not ended.", lambda state: state.pending),
)


def add_endpoint_metrics(registry: Registry, states: Callable[[], Iterable[EndpointState]]) -> None:
    """Register the endpoints' families; `states` is asked at each scrape."""
    for name, help, read in ENDPOINT_FAMILIES:
        registry.gauge(name, help, collect_endpoints(states, read))


def collect_endpoints(
    states: Callable[[], Iterable[EndpointState]], read: Callable[[EndpointState], float]
) -> Callable[[], Samples]:
    return lambda: [(state.labels(), read(state)) for state in states()]


def add_stream_metrics(registry: Registry, stalled: Callable[[], int]) -> None:
    """Register the relay's families; `stalled` counts streams that have data but no window to send it in."""
    registry.gauge(
        "gossamer_streams_stalled",
        "Streams whose data waits for the receiver's flow-control window.",
        lambda: [((), stalled())],
    )
