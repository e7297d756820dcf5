"""All metrics of a process: handles by their labels, counters of faults, gauges asked at scrape, and their eviction.

However many names a client invents, a family has at most `MAX_HANDLES` label sets; what comes then is counted together
under `overflow` until an idle set makes room. An eviction bumps `epoch`, and whoever kept handles asks for them again.
What leads out of the mesh, or whose labels a stranger chose, as whoever calls this pod does, has a smaller bound of its
own: neither a crawler nor a neighbour must take the room of the mesh's own destinations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from proxy.metrics.families import Counters, Gauge, Samples
from proxy.metrics.handles import HttpMetrics, TcpMetrics
from proxy.metrics.labels import Labels, clean_labels, overflow_labels

MAX_HANDLES = 1000
MAX_FOREIGN = 200
IDLE_S = 600.0
_INBOUND = ("direction", "inbound")


class Handle(Protocol):
    """What eviction needs to know of a handle."""

    seen: int
    idle_since: float

    def activity(self) -> int: ...

    def is_open(self) -> bool: ...


H = TypeVar("H", bound=Handle)


class Handles(Generic[H]):
    """The handles of one kind, at most so many."""

    __slots__ = ("_by_labels", "_limit", "_make")

    def __init__(self, make: Callable[[Labels], H], limit: int) -> None:
        self._make = make
        self._limit = limit
        self._by_labels: dict[Labels, H] = {}

    def get(self, labels: Labels) -> H:
        handle = self._by_labels.get(labels)
        return handle if handle is not None else self._get_clean(clean_labels(labels))

    def _get_clean(self, labels: Labels) -> H:
        if labels not in self._by_labels and len(self._by_labels) >= self._limit:
            labels = overflow_labels(labels)
        handle = self._by_labels.get(labels)
        if handle is None:
            handle = self._by_labels[labels] = self._make(labels)
        return handle

    def sweep(self, now: float) -> int:
        """Evict what has been idle for too long; return how many that were."""
        idle = [labels for labels, handle in self._by_labels.items() if is_idle(handle, now)]
        for labels in idle:
            del self._by_labels[labels]
        return len(idle)

    def all(self) -> list[H]:
        """List the handles, so that a scrape may take its time over them."""
        return list(self._by_labels.values())


def is_idle(handle: Handle, now: float) -> bool:
    """Note what a handle has counted, and tell whether it has been the same for `IDLE_S` with nothing open."""
    activity = handle.activity()
    if activity != handle.seen:
        handle.seen = activity
        handle.idle_since = now
    return now - handle.idle_since >= IDLE_S and not handle.is_open()


class Registry:
    """The one place where metrics are made and found. `now` is the clock of whoever sweeps, in seconds."""

    __slots__ = (
        "_foreign",
        "_gauges",
        "_https",
        "_inbound",
        "_lasting",
        "_tcps",
        "epoch",
        "failures",
        "protocol_faults",
        "retries",
    )

    def __init__(self, limit: int = MAX_HANDLES) -> None:
        self.epoch = 0
        self._https = Handles(HttpMetrics, limit)
        self._inbound = Handles(HttpMetrics, min(limit, MAX_FOREIGN))
        self._tcps = Handles(TcpMetrics, limit)
        self._foreign = Handles(TcpMetrics, min(limit, MAX_FOREIGN))
        self._lasting: list[TcpMetrics] = []
        self._gauges: list[Gauge] = []
        self.protocol_faults = Counters(
            "gossamer_protocol_faults_total",
            "Connections and streams ended since a peer broke the protocol or a limit.",
            ("side", "reason"),
        )
        self.failures = Counters(
            "gossamer_failures_total", "Requests that the proxy itself answered with an error.", ("reason",)
        )
        self.retries = Counters(
            "gossamer_retries_total", "Requests sent once more, to another endpoint.", ("reason", "outcome")
        )

    def http(self, labels: Labels) -> HttpMetrics:
        """Get the handle of these labels, to be kept until `epoch` changes."""
        return (self._inbound if _INBOUND in labels else self._https).get(labels)

    def lasting_tcp(self, labels: Labels) -> TcpMetrics:
        """Make the handle of these labels, to be asked for once and kept for ever: it is never evicted."""
        handle = TcpMetrics(labels)
        self._lasting.append(handle)
        return handle

    def tcp(self, labels: Labels) -> TcpMetrics:
        """Get the handle of these labels, to be kept by a connection for its life."""
        return self._tcps.get(labels)

    def foreign_tcp(self, labels: Labels) -> TcpMetrics:
        """The same for a connection of which others than the mesh say where it leads. No label set is in both."""
        return self._foreign.get(labels)

    def gauge(self, name: str, help: str, collect: Callable[[], Samples], kind: str = "gauge") -> None:
        """Add a family whose samples are asked for at each scrape."""
        self._gauges.append(Gauge(name, help, kind, collect))

    def sweep(self, now: float) -> None:
        """Evict idle handles; to be called every ten seconds or so."""
        if self._https.sweep(now) + self._inbound.sweep(now):
            self.epoch += 1
        self._tcps.sweep(now)
        self._foreign.sweep(now)

    def exposition(self) -> Iterator[bytes]:
        """Write all metrics, piece by piece, so that a large answer neither fills memory nor holds up the loop."""
        from proxy.metrics import exposition  # a proxy that is never scraped does not pay for it

        tcps = [*self._lasting, *self._tcps.all(), *self._foreign.all()]
        https = [*self._https.all(), *self._inbound.all()]
        return exposition.encode(https, tcps, self._counters(), self._gauges)

    def render(self) -> bytes:
        """Write all metrics at once."""
        return b"".join(self.exposition())

    def _counters(self) -> list[Counters]:
        return [self.protocol_faults, self.failures, self.retries]
