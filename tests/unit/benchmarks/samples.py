"""Samples as the load generator gives them, for the tests of this folder."""

from __future__ import annotations

from benchmarks.bench import Findings
from benchmarks.load import Sample, Shape
from benchmarks.peers.table import PEERS
from benchmarks.plan import PARTS, Plan


def make_sample(
    proxy_us: float | None = 10.0, p99_us: float = 300.0, backends: tuple[int, ...] = (40, 30, 30)
) -> Sample:
    requests = sum(backends)
    cpu_us = {"backends": 2.0 * requests} | ({} if proxy_us is None else {"proxy": proxy_us * requests})
    latency_us = {"p50": p99_us / 3, "p90": p99_us / 2, "p99": p99_us, "p999": p99_us * 2, "max": p99_us * 3}
    return Sample(requests, 0.5, latency_us, dict.fromkeys(latency_us, 0.0), backends, cpu_us)


def make_plan(*names: str) -> Plan:
    return Plan(
        peers=tuple(PEERS[name] for name in names),
        shapes=(Shape(8, 4),),
        headers=("same",),
        parts=frozenset(PARTS),
        rounds=3,
        duration_s=1.0,
        warmup_s=0.1,
        is_pinned=True,
    )


def make_findings(ours_us: tuple[float, ...] = (10, 14, 11), envoy_us: float = 22.0) -> Findings:
    key = ("8x4", "same")
    return Findings(
        closed={
            "gossamer": {key: [make_sample(cost) for cost in ours_us]},
            "envoy": {key: [make_sample(envoy_us)] * 3},
            "direct": {key: [make_sample(None)] * 3},
        },
        opened={"gossamer": [(make_sample(50, 700), make_sample(None, 300))] * 3},
        memory={"gossamer": {"idle_kib": 11000, "connected_kib": 12000, "loaded_kib": 13000}},
        http1={
            "gossamer": {("32x1", "same"): [make_sample(11.0)] * 3},
            "nginx": {("32x1", "same"): [make_sample(10.0)] * 3},
        },
        tcp={
            "gossamer": {"bulk x1 ms/GB": [300.0, 200.0, 400.0], "bulk x8 ms/GB": [200.0] * 3},
            "haproxy": {"bulk x1 ms/GB": [400.0] * 3, "bulk x8 ms/GB": [100.0] * 3},
        },
        busy_before=[0.01, 0.034],
    )


MACHINE = {
    "date": "2026-11-21 10:00 UTC",
    "commit": "abc",
    "cpu": "A CPU",
    "cores": 2,
    "kernel": "6.1",
    "python": "3.11.7",
    "proxy_cores": "1",
    "load_cores": "0",
    "versions": {"gossamer": "0.1.0", "envoy": "1.40.0"},
}
