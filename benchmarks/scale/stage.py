"""What every scenario has at hand: the cluster, the control plane, the sidecars, and what a stretch of time cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scale.cluster import Cluster, Written, add_events
from benchmarks.scale.crew import Crew
from benchmarks.scale.plan import Plan
from benchmarks.scale.plane import Plane, read_cpu_s
from benchmarks.scale.timeline import Arrival, settle_all
from benchmarks.scale.watch import SliceTimes, Watch
from tests.cluster.api_server import ApiServer

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
SETTLED_S = 60.0


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Cost:
    """Of a stretch of time. `push_bytes` are the responses', `received_bytes` the sockets'."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    main_thread_cpu_s: float = 0.0
    sidecars_cpu_s: float = 0.0
    api_cpu_s: float = 0.0
    pushes: float = 0.0
    push_bytes: float = 0.0
    received_bytes: float = 0.0
    responses: float = 0.0
    refused: float = 0.0
    peak_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    plan: Plan
    api: ApiServer
    cluster: Cluster
    plane: Plane
    crew: Crew
    followers: dict[str, int] = field(default_factory=dict)

    def read(self) -> dict[str, float]:
        """All counters now. A control plane that has not started has used nothing."""
        status = self.crew.ask("status")
        metrics = self.plane.metrics() if self.plane.pid else {}
        threads = self.plane.threads_cpu_s() if self.plane.pid else {"main": 0.0}
        parts = [part for part in (self.api.etcd, self.api.server, self.api.controllers) if part.is_running]
        return {
            "wall_s": time.monotonic(),
            "cpu_s": self.plane.cpu_s() if self.plane.pid else 0.0,
            "main_thread_cpu_s": threads["main"],
            "sidecars_cpu_s": status["cpu_s"],
            "api_cpu_s": sum(read_cpu_s(part.pid) for part in parts),
            "pushes": metrics.get("xds_pushes_total", 0.0),
            "push_bytes": metrics.get("xds_push_bytes_total", 0.0),
            "received_bytes": status["received_bytes"],
            "responses": status["responses"],
            "refused": metrics.get("xds_nacks_total", 0.0) + status["faults"],
        }

    @contextmanager
    def cost(self) -> Iterator[Cost]:
        """The cost is complete once the block has ended."""
        cost, before = Cost(), self.read()
        with self.plane.peak() as peak:
            yield cost
        for name, value in self.read().items():
            setattr(cost, name, value - before[name])
        cost.peak_mb = peak[0]

    def settle(self, written: Sequence[Written], times: SliceTimes) -> list[Arrival]:
        """Wait until every follower has every change, and no longer than a minute."""
        changes = add_events(written, times)
        deadline = time.monotonic() + SETTLED_S
        while True:
            arrivals = settle_all(changes, self.crew.timelines(), self.followers)
            if all(arrival.last_s is not None for arrival in arrivals) or time.monotonic() > deadline:
                return arrivals
            time.sleep(0.2)

    def watch_slices(self, times: SliceTimes) -> Watch:
        return Watch(self.api, SLICES, times)

    def track(self, names: Sequence[str]) -> None:
        self.crew.ask("track", names=list(names))


Result = dict[str, Any]
