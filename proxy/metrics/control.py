"""What a sidecar tells of its control plane: gauges and totals that are asked at scrape."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proxy.metrics.families import Samples
from proxy.metrics.registry import Registry


class ControlState(NamedTuple):
    """What the client of the control plane and the destinations say of themselves; `silence_s` None before contact."""

    is_connected: bool
    silence_s: float | None
    known: int
    awaited: int
    subscriptions: int
    responses: int
    refusals: int
    failures: int


CONTROL_FAMILIES: tuple[tuple[str, str, str, Callable[[ControlState], float | None]], ...] = (
    (
        "gossamer_control_connected",
        "Whether there is a stream to the control plane.",
        "gauge",
        lambda state: int(state.is_connected),
    ),
    (
        "gossamer_control_silence_seconds",
        "Time since anything came from the control plane: how old the configuration may be.",
        "gauge",
        lambda state: state.silence_s,
    ),
    ("gossamer_control_subscriptions", "Names asked for.", "gauge", lambda state: state.subscriptions),
    ("gossamer_control_responses_total", "Answers of the control plane.", "counter", lambda state: state.responses),
    (
        "gossamer_control_refusals_total",
        "Answers with a part that could not be used (NACK).",
        "counter",
        lambda state: state.refusals,
    ),
    (
        "gossamer_control_failures_total",
        "Streams that broke, and attempts to open one that failed.",
        "counter",
        lambda state: state.failures,
    ),
    ("gossamer_destinations_known", "Destinations in force.", "gauge", lambda state: state.known),
    ("gossamer_destinations_awaited", "Names without an answer yet.", "gauge", lambda state: state.awaited),
)


def add_control_metrics(registry: Registry, state: Callable[[], ControlState]) -> None:
    """Register the families of a sidecar that has a control plane; `state` is asked at each scrape."""
    for name, help, kind, read in CONTROL_FAMILIES:
        registry.gauge(name, help, collect_control(state, read), kind)


def collect_control(
    state: Callable[[], ControlState], read: Callable[[ControlState], float | None]
) -> Callable[[], Samples]:
    def collect() -> Samples:
        number = read(state())
        return [] if number is None else [((), number)]

    return collect
