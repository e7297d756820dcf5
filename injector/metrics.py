"""What Prometheus is told. The figures of the certificate are read where they are kept, at the time of the scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from mesh.version import VERSION

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)


class Metrics:
    """Of reviews that were real: a dry run makes no pod, and only its time counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.injected = Counter("injector_injected", "Pods that were given the sidecar.", registry=self.registry)
        self.skipped = Counter("injector_skipped", "Pods that were left alone.", ["reason"], registry=self.registry)
        self.failed = Counter(
            "injector_failed",
            "Reviews without a good end: refused (the pod asks for what makes no sense), malformed, bug.",
            ["reason"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "injector_review_seconds", "From a review to its answer.", buckets=_SECONDS, registry=self.registry
        )

    def exposition(self) -> bytes:
        return generate_latest(self.registry)


class CertificateMetrics(Collector):
    """Of the certificate and the state of the whole, by functions that tell the figures."""

    def __init__(
        self,
        not_after: Callable[[], datetime | None],
        rotations: Callable[[], int],
        is_ready: Callable[[], bool],
        dropped: Callable[[], int],
        namespaces: Callable[[], int],
    ) -> None:
        self._not_after, self._rotations = not_after, rotations
        self._is_ready, self._dropped, self._namespaces = is_ready, dropped, namespaces

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("injector_build", "What runs.", value={"version": VERSION})
        yield GaugeMetricFamily("injector_ready", "Whether pods can be reviewed.", value=int(self._is_ready()))
        yield GaugeMetricFamily("injector_namespaces", "Namespaces that are known.", value=self._namespaces())
        if (end := self._not_after()) is not None:
            name = "injector_certificate_expiry_timestamp_seconds"
            yield GaugeMetricFamily(name, "When the certificate that is served ends.", value=end.timestamp())
        yield CounterMetricFamily(
            "injector_certificate_rotations", "Certificates that replaced one.", value=self._rotations()
        )
        yield CounterMetricFamily("injector_events_dropped", "Events that were too many.", value=self._dropped())
