"""Figures per pod from what the client saw: requests, share, success rate, latency percentiles. Pure."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

OK = "OK"


class Call(NamedTuple):
    """One finished request, as its client saw it. A pod that was never heard of is None."""

    path: str
    pod: str | None
    code: str
    started_s: float
    latency_s: float

    @property
    def ended_s(self) -> float:
        return self.started_s + self.latency_s


@dataclass(frozen=True, slots=True)
class PodFigures:
    """A row of the table. Without a request there is no success rate and no latency."""

    service: str
    pod: str
    requests: int
    rate: float
    share: float
    success_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


def percentile(ordered: Sequence[float], fraction: float) -> float | None:
    """The nearest-rank percentile of values in ascending order."""
    if not ordered:
        return None
    rank = max(1, -(-len(ordered) * round(fraction * 1000) // 1000))
    return ordered[rank - 1]


class Tally:
    """Counts and latencies of many calls, at eight bytes a call."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str | None, str]] = Counter()  # by path, pod and code
        self._latencies_ms: dict[str, array[float]] = {}
        self._failures: Counter[str] = Counter()

    def add(self, call: Call) -> None:
        self.outcomes[call.path, call.pod, call.code] += 1
        if call.pod is None:
            return
        self._latencies_ms.setdefault(call.pod, array("d")).append(call.latency_s * 1000)
        self._failures[call.pod] += call.code != OK

    def figures(self, services: Iterable[tuple[str, Sequence[str]]], elapsed_s: float) -> list[PodFigures]:
        """One row for each pod of each service, those without requests included."""
        rows = []
        for service, pods in services:
            total = sum(len(self._latencies_ms.get(pod, ())) for pod in pods)
            rows += [self._row(service, pod, total, elapsed_s) for pod in pods]
        return rows

    def _row(self, service: str, pod: str, total: int, elapsed_s: float) -> PodFigures:
        ordered = sorted(self._latencies_ms.get(pod, ()))
        requests = len(ordered)
        return PodFigures(
            service=service,
            pod=pod,
            requests=requests,
            rate=requests / elapsed_s if elapsed_s > 0 else 0.0,
            share=requests / total if total else 0.0,
            success_rate=1 - self._failures[pod] / requests if requests else None,
            p50_ms=percentile(ordered, 0.50),
            p95_ms=percentile(ordered, 0.95),
            p99_ms=percentile(ordered, 0.99),
        )


class Window:
    """The calls of the last few seconds, for the live table."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._calls: deque[Call] = deque()

    def add(self, call: Call) -> None:
        self._calls.append(call)

    def tally(self, now_s: float) -> Tally:
        """Calls arrive by their end; what ended before the span is dropped."""
        while self._calls and self._calls[0].ended_s < now_s - self._span_s:
            self._calls.popleft()
        tally = Tally()
        for call in self._calls:
            tally.add(call)
        return tally
