"""From arrivals to figures, and from figures to goals met or missed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.scale.timeline import Arrival

Figures = dict[str, float]
SINCE = ("sent_s", "returned_s", "event_s")
LAG_MS, MEMORY_MB, STALLED_MB = 1000.0, 500.0, 20.0


def distribution(values: Iterable[float]) -> Figures:
    """Median, 99th percentile (the least value that 99 % do not exceed) and maximum."""
    found = sorted(values)
    if not found:
        return {}
    return {"p50": rank(found, 0.5), "p99": rank(found, 0.99), "max": found[-1], "count": len(found)}


def rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def lags(arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """From each of the three moments of a change to its last acknowledgement."""
    arrived = [arrival for arrival in arrivals if arrival.last_s is not None]
    return {
        "lost": len(arrivals) - len(arrived),
        **{
            f"since_{since.removesuffix('_s')}_ms": distribution(arrival.lag_s(since) * 1e3 for arrival in arrived)
            for since in SINCE
        },
    }


def per_thousand(cost: Figures, changes: int) -> float:
    """CPU seconds of the control plane for 1,000 changes."""
    return cost["cpu_s"] * 1000 / changes


def peak_mb(scenarios: dict[str, Any]) -> float:
    """The most memory that any scenario took."""
    found = [item.get("peak_mb", item.get("cost", {}).get("peak_mb", 0.0)) for item in scenarios.values()]
    return max(found, default=0.0)


def goals(scenarios: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, title in (("popular", "all sidecars"), ("few", "few sidecars")):
        if name in scenarios:
            p99 = scenarios[name]["since_event_ms"]["p99"]
            found.append(goal(f"event to last ACK in services of {title}, p99 ms", LAG_MS, p99))
    lost = sum(item.get("lost", 0) for item in scenarios.values())
    found.append(goal("changes that did not reach every follower", 0, lost))
    refused = sum(item.get("cost", {}).get("refused", 0) for item in scenarios.values())
    found.append(goal("responses refused", 0, refused))
    found.append(goal("greatest RssAnon, MB", MEMORY_MB, peak_mb(scenarios)))
    if "stalled" in scenarios:
        grown = scenarios["stalled"]["grown_mb"]
        found.append(goal("growth while sidecars read nothing, MB (no unbounded queue)", STALLED_MB, grown))
    if "reconnect" in scenarios:
        found.append(goal("bytes of resources sent again after a restart", 0, scenarios["reconnect"]["push_bytes"]))
    return found


def goal(text: str, limit: float, value: float) -> dict[str, Any]:
    return {"text": text, "limit": limit, "value": round(value, 1), "is_met": value <= limit}


def compare_full_push(
    bodies: dict[str, dict[str, int]], followers: dict[str, int], sidecars: int, measured: float
) -> Figures:
    """What a push of everything sends for one change, from the real sizes of the resources.

    `bodies` is name -> type -> bytes; `measured` are the bytes of a response that tells one change to one sidecar.
    """
    whole = sum(sum(sizes.values()) for sizes in bodies.values())
    endpoints = sum(sizes.get("endpoints", 0) for sizes in bodies.values())
    followed = sum(bodies[name].get("endpoints", 0) * count for name, count in followers.items() if name in bodies)
    return {
        "mesh_bytes": whole,
        "everything_to_all_bytes": whole * sidecars,
        "endpoints_to_all_bytes": endpoints * sidecars,
        "followed_endpoints_to_all_bytes": followed,
        "ours_bytes": measured,
    }
