"""What Prometheus is told. Nearly all figures are read where they are kept, at the time of the scrape."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry, Histogram, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from controlplane.discovery.stream import Push
from controlplane.model.snapshot import KINDS
from controlplane.sources.source import Source
from controlplane.state import State
from controlplane.translate.resource import CDS, EDS, LDS, RDS
from mesh.version import VERSION

_SHORT: Final = {LDS: "lds", RDS: "rds", CDS: "cds", EDS: "eds"}
_PROPAGATION_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics(Collector):
    def __init__(self, state: State, source: Source) -> None:
        self._state = state
        self._source = source
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._propagation = Histogram(
            "controlplane_propagation_seconds",
            "From an event of the source to its news being written to a client's connection.",
            ["type"],
            buckets=_PROPAGATION_S,
            registry=self._registry,
        )
        self._by_type = {kind: self._propagation.labels(type=kind) for kind in ("lds", "rds", "cds", "eds", "other")}

    def observe(self, push: Push) -> None:
        """A response has been written."""
        self._state.exchange.count(push)
        if push.since is not None:
            self._by_type[short(push.type_url)].observe(monotonic() - push.since)

    def exposition(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("controlplane_build", "What runs.", value={"version": VERSION})
        yield from self._collect_xds()
        yield from self._collect_source()
        mesh = self._state.mesh
        yield gauge("graph_targets", "Ports of Services that can be called.", len(mesh.targets))
        endpoints = sum(len(target.endpoints) for target in mesh.targets.values())
        yield gauge("graph_endpoints", "Endpoints of all targets.", endpoints)
        withheld = len(self._state.graph.waiting)
        yield gauge("graph_withheld_pods", "Pods that slices name and that have not been seen yet.", withheld)

    def _collect_xds(self) -> Iterator[Metric]:
        exchange = self._state.exchange
        streams = GaugeMetricFamily("controlplane_xds_streams", "Open ADS streams.", labels=["mode", "client"])
        open_streams: dict[tuple[str, str], int] = {}
        for stream in exchange.streams:
            key = (stream.mode, stream.view.kind or "unknown")
            open_streams[key] = open_streams.get(key, 0) + 1
        for key, value in open_streams.items():
            streams.add_metric(key, value)
        yield streams
        yield gauge("xds_subscriptions", "Names that clients follow, of all types.", exchange.interests.follows)
        unacked = sum(s.flight is not None for stream in exchange.streams for s in stream.subscriptions.values())
        yield gauge("xds_unacknowledged", "Responses that are not acknowledged yet.", unacked)
        for name, text, counts in (
            ("xds_pushes", "Responses sent.", exchange.pushes_total),
            ("xds_push_bytes", "Bytes of responses sent.", exchange.push_bytes_total),
            ("xds_nacks", "Responses that clients refused.", exchange.nacks_total),
        ):
            family = CounterMetricFamily(f"controlplane_{name}", text, labels=["type"])
            totals = dict.fromkeys(self._by_type, 0)
            for type_url, count in counts.items():
                totals[short(type_url)] += count
            for kind, total in totals.items():
                family.add_metric([kind], total)
            yield family

    def _collect_source(self) -> Iterator[Metric]:
        source, now = self._source, monotonic()
        yield gauge("source_synced", "Whether everything has been read once.", int(source.synced))
        stale = GaugeMetricFamily(
            "controlplane_source_staleness_seconds", "Since the last proof that the data are current.", labels=["kind"]
        )
        for kind, age_s in source.staleness(now).items():
            stale.add_metric([kind], age_s)
        yield stale
        objects = GaugeMetricFamily("controlplane_source_objects", "Objects that are known.", labels=["kind"])
        for kind in KINDS:
            objects.add_metric([kind], len(self._state.snapshot.table(kind)))
        yield objects
        yield gauge(
            "source_problems",
            "What is wrong now; /debug/config says what.",
            len(source.problems()) + len(self._state.graph.overfull),
        )
        families: dict[str, CounterMetricFamily] = {}
        for (what, kind, reason), count in source.counters().items():
            family = families.get(what)
            if family is None:
                text = f"{what.capitalize()} of the source."
                family = CounterMetricFamily(f"controlplane_source_{what}", text, labels=["kind", "reason"])
                families[what] = family
            family.add_metric([kind, reason], count)
        yield from families.values()


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"controlplane_{name}", text, value=value)


def short(type_url: str) -> str:
    """The label of a type; clients may ask for any, so there is one for all others."""
    return _SHORT.get(type_url, "other")
