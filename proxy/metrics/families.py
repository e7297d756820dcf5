"""The small families: counters of what is rare, and gauges that are asked at scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.metrics.labels import Labels, clean_labels, overflow_labels

MAX_COUNTERS = 100  # label sets of one of the small families

Samples = Iterable[tuple[Labels, float]]


class Counters:
    """One small family of counters, for what is rare: faults, failures, retries. Its label sets stay for ever."""

    __slots__ = ("_counts", "help", "label_names", "name")

    def __init__(self, name: str, help: str, label_names: tuple[str, ...]) -> None:
        self.name = name
        self.help = help
        self.label_names = label_names
        self._counts: dict[Labels, int] = {}

    def add(self, *values: str) -> None:
        """Count one for these values of the labels, in their order."""
        labels = clean_labels(tuple(zip(self.label_names, values, strict=True)))
        if labels not in self._counts and len(self._counts) >= MAX_COUNTERS:
            labels = overflow_labels(labels)
        self._counts[labels] = self._counts.get(labels, 0) + 1

    def samples(self) -> Samples:
        return list(self._counts.items())


class Gauge:
    """A family that is asked at scrape. `kind` is `gauge`, or `counter` for a total that is kept elsewhere."""

    __slots__ = ("collect", "help", "kind", "name")

    def __init__(self, name: str, help: str, kind: str, collect: Callable[[], Samples]) -> None:
        self.name = name
        self.help = help
        self.kind = kind
        self.collect = collect
