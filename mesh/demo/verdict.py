"""What the figures say: which pod is slow, which method fails, and what a killed pod cost. Pure.

Nothing here knows which faults the application has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mesh.demo.figures import OK, Call, PodFigures

SLOW_FACTOR = 2.0  # times the median of its peers' medians
FAILING_RATE = 0.5
MIN_CALLS = 3  # fewer say nothing

Outcomes = Mapping[tuple[str, str | None, str], int]


def slow_pod(rows: Sequence[PodFigures]) -> str | None:
    """The pod whose median latency is the furthest above its peers' of the same service."""
    worst, worst_factor = None, SLOW_FACTOR
    for row in rows:
        peers = [peer.p50_ms for peer in rows if peer.service == row.service and peer.pod != row.pod and peer.p50_ms]
        if row.p50_ms is None or row.requests < MIN_CALLS or not peers:
            continue
        factor = row.p50_ms / median(peers)
        if factor >= worst_factor:
            worst, worst_factor = row.pod, factor
    return worst


def failing_method(outcomes: Outcomes) -> str | None:
    """The method that fails the most often, if at least half of its calls fail."""
    calls: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for (path, _pod, code), count in outcomes.items():
        calls[path] += count
        failures[path] += count if code != OK else 0
    enough = [path for path in calls if calls[path] >= MIN_CALLS]
    worst = max(enough, key=lambda path: failures[path] / calls[path], default=None)
    if worst is None or failures[worst] < FAILING_RATE * calls[worst]:
        return None
    return worst


def failures_beyond(outcomes: Outcomes, method: str | None) -> int:
    """Failed calls of all other methods than `method`."""
    return sum(count for (path, _pod, code), count in outcomes.items() if code != OK and path != method)


@dataclass(frozen=True, slots=True)
class KillReport:
    """What killing a pod cost."""

    pod: str
    in_flight: int  # requests that were on the pod as it died
    failed_in_flight: int
    failed_beyond: int  # other failures of the mode, less those of the failing method


class KillWatch:
    """Collects the requests that a killed pod took with it.

    A request was in flight on the pod if it started before the process was gone, ended after the kill, and was answered
    by that pod or by none that said its name.
    """

    def __init__(self, pod: str, grpc_name: str, killed_s: float, gone_s: float) -> None:
        self._pod = pod
        self._prefix = f"/{grpc_name}/"
        self._killed_s = killed_s
        self._gone_s = gone_s
        self._in_flight: Counter[tuple[str, bool]] = Counter()  # by path and whether it failed

    def add(self, call: Call) -> None:
        overlaps = call.started_s <= self._gone_s and call.ended_s >= self._killed_s
        if overlaps and call.pod in (self._pod, None) and call.path.startswith(self._prefix):
            self._in_flight[call.path, call.code != OK] += 1

    def report(self, outcomes: Outcomes, method: str | None) -> KillReport:
        failed = sum(n for (path, failed), n in self._in_flight.items() if failed and path != method)
        return KillReport(
            pod=self._pod,
            in_flight=self._in_flight.total(),
            failed_in_flight=failed,
            failed_beyond=failures_beyond(outcomes, method) - failed,
        )
