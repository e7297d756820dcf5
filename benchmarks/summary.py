"""From samples to figures: medians over the rounds with their spread, ratios, goals. Pure.

A ratio is the median of the rounds' ratios, each of two windows that were measured within seconds of each other.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from benchmarks.bench import Cells, Findings
from benchmarks.load import Sample
from benchmarks.plan import DIRECT, IDLE_CONNECTIONS, OPEN_RATE, Plan
from benchmarks.raw_tcp import BULK_CONNECTIONS, bulk_name

OURS = "gossamer"


class Figure(TypedDict):
    """A median over the rounds, the least and greatest of them, and each."""

    median: float
    min: float
    max: float
    rounds: list[float]


class Cell(TypedDict):
    """One peer at one shape with one kind of headers."""

    shape: str
    headers: str
    proxy_cpu_us: Figure | None
    backend_cpu_us: Figure
    rps: Figure
    p50_us: Figure
    p99_us: Figure
    backend_shares: list[float]


class Goal(TypedDict):
    """One promise of the project, and whether this run kept it."""

    text: str
    limit: float
    value: float
    is_met: bool


Summary = dict[str, Any]


def figure(values: Sequence[float]) -> Figure:
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
        "rounds": [round(value, 2) for value in values],
    }


def summarise(plan: Plan, findings: Findings, machine: dict[str, Any]) -> Summary:
    names = [*(peer.name for peer in plan.peers), DIRECT]
    summary: Summary = {
        "machine": machine,
        "method": {
            "rounds": plan.rounds,
            "closed_window_s": plan.duration_s,
            "open_window_s": plan.open_duration_s,
            "open_rate_per_s": OPEN_RATE,
            "idle_connections": IDLE_CONNECTIONS,
            "other_work_share": round(max(findings.busy_before, default=0.0), 3),
        },
        "titles": {peer.name: peer.title for peer in plan.peers} | {DIRECT: "no proxy"},
        "closed": {name: cells(findings.closed[name]) for name in names if name in findings.closed},
        "open": {name: added_latency(pairs) for name, pairs in findings.opened.items()},
        "memory": {name: memory(figures) for name, figures in findings.memory.items()},
        "http1": {name: cells(findings.http1[name]) for name in names if name in findings.http1},
        "tcp": {
            name: {what: figure(values) for what, values in findings.tcp[name].items()}
            for name in names
            if name in findings.tcp
        },
    }
    summary["goals"] = goals(summary)
    return summary


def cells(samples: Cells) -> list[Cell]:
    return [cell(shape, headers, rounds) for (shape, headers), rounds in samples.items()]


def cell(shape: str, headers: str, rounds: list[Sample]) -> Cell:
    def over(measure: Callable[[Sample], float]) -> Figure:
        return figure([measure(sample) for sample in rounds])

    has_proxy = "proxy" in rounds[0].cpu_us
    return {
        "shape": shape,
        "headers": headers,
        "proxy_cpu_us": over(lambda sample: sample.cpu_per_request_us("proxy")) if has_proxy else None,
        "backend_cpu_us": over(lambda sample: sample.cpu_per_request_us("backends")),
        "rps": over(lambda sample: sample.rps),
        "p50_us": over(lambda sample: sample.latency_us["p50"]),
        "p99_us": over(lambda sample: sample.latency_us["p99"]),
        "backend_shares": [round(share, 3) for share in rounds[-1].shares()],
    }


def added_latency(pairs: list[tuple[Sample, Sample]]) -> dict[str, Figure]:
    """What the peer adds to the direct path that was measured right before it."""
    added = {
        f"added_{key}_us": figure([through.latency_us[key] - direct.latency_us[key] for through, direct in pairs])
        for key in ("p50", "p99", "p999")
    }
    direct = {
        f"direct_{key}_us": figure([direct.latency_us[key] for _, direct in pairs]) for key in ("p50", "p99", "p999")
    }
    cost = figure([through.cpu_per_request_us("proxy") for through, _ in pairs])
    return {**added, **direct, "proxy_cpu_us": cost}


def memory(figures: dict[str, int]) -> dict[str, float]:
    growth_bytes = (figures["connected_kib"] - figures["idle_kib"]) * 1024 / IDLE_CONNECTIONS
    return {**figures, "bytes_per_idle_connection": round(growth_bytes)}


def proxy_cpu_us(summary: Summary, name: str, part: str = "closed") -> dict[tuple[str, str], Figure]:
    """The CPU of one peer by (shape, headers), of gRPC or `http1`."""
    return {
        (cell["shape"], cell["headers"]): cell["proxy_cpu_us"]
        for cell in summary[part].get(name, [])
        if cell["proxy_cpu_us"]
    }


def ratios(summary: Summary, peer: str, part: str = "closed") -> dict[tuple[str, str], float]:
    """Our CPU per request over the peer's, where both were measured."""
    ours, theirs = proxy_cpu_us(summary, OURS, part), proxy_cpu_us(summary, peer, part)
    return {key: compare(ours[key], theirs[key]) for key in ours if key in theirs}


def compare(ours: Figure, theirs: Figure) -> float:
    """The median of the rounds' ratios."""
    return round(statistics.median(our / their for our, their in zip(ours["rounds"], theirs["rounds"], strict=True)), 2)


def goals(summary: Summary) -> list[Goal]:
    found = [
        *(goal(f"CPU per request over Envoy's, {s}, {h}", 0.7, r) for (s, h), r in ratios(summary, "envoy").items()),
        *(goal(f"CPU per request over HAProxy's, {s}, {h}", 1, r) for (s, h), r in ratios(summary, "haproxy").items()),
    ]
    if opened := summary["open"].get(OURS):
        found.append(goal(f"added p99 at {OPEN_RATE} requests/s, us", 1000, opened["added_p99_us"]["median"]))
    if used := summary["memory"].get(OURS):
        found.append(goal("RssAnon idle, MB", 16, round(used["idle_kib"] * 1024 / 1e6, 1)))
        found.append(goal("RssAnon per idle connection, bytes", 2048, used["bytes_per_idle_connection"]))
    return found + http1_goals(summary) + tcp_goals(summary)


def http1_goals(summary: Summary) -> list[Goal]:
    limits = (("nginx", "nginx's", 1.2), ("envoy", "Envoy's", 1.0))
    return [
        goal(f"HTTP/1.1: CPU per request over {whose}, {shape}, {headers}", limit, ratio)
        for peer, whose, limit in limits
        for (shape, headers), ratio in ratios(summary, peer, "http1").items()
    ]


def tcp_goals(summary: Summary) -> list[Goal]:
    measured = summary["tcp"]
    if OURS not in measured:
        return []
    return [
        goal(
            f"TCP: CPU per GB over {whose}, {connections} at once",
            1,
            compare(measured[OURS][what], measured[peer][what]),
        )
        for peer, whose in (("envoy", "Envoy's"), ("haproxy", "HAProxy's"))
        for connections in BULK_CONNECTIONS
        if peer in measured and (what := bulk_name(connections))
    ]


def goal(text: str, limit: float, value: float) -> Goal:
    return {"text": text, "limit": limit, "value": value, "is_met": value <= limit}
