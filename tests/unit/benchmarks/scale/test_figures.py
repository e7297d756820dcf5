from __future__ import annotations

from typing import Any

import pytest

from benchmarks.scale.figures import compare_full_push, distribution, goals, lags, peak_mb, per_thousand
from benchmarks.scale.timeline import Arrival, Change


@pytest.mark.parametrize(
    ("values", "p50", "p99"),
    [([5.0], 5.0, 5.0), ([2.0, 1.0], 1.0, 2.0), (list(range(1, 101)), 50, 99), (list(range(1, 201)), 100, 198)],
)
def test_the_percentiles_are_values_that_occurred(values: list[float], p50: float, p99: float) -> None:
    found = distribution(values)
    assert (found["p50"], found["p99"], found["max"], found["count"]) == (p50, p99, max(values), len(values))


def test_nothing_has_no_percentiles() -> None:
    assert distribution([]) == {}


def test_lags_count_what_did_not_arrive() -> None:
    change = Change("a", frozenset(), 1.0, 1.5, 1.25)
    found = lags([Arrival(change, 2.0), Arrival(change, None)])
    assert found["lost"] == 1
    assert [found[f"since_{moment}_ms"]["max"] for moment in ("sent", "returned", "event")] == [1000, 500, 750]


def make_scenarios(p99: float = 400.0, pushed: float = 0.0) -> dict[str, Any]:
    cost = {"peak_mb": 120.0, "refused": 0.0}
    return {
        "popular": {"since_event_ms": {"p99": p99}, "lost": 0, "cost": cost},
        "stalled": {"grown_mb": 1.0, "lost": 0, "cost": cost},
        "reconnect": {"push_bytes": pushed, "peak_mb": 130.0},
    }


def test_goals_met() -> None:
    assert all(goal["is_met"] for goal in goals(make_scenarios()))


@pytest.mark.parametrize(
    ("scenarios", "missed"),
    [
        (make_scenarios(p99=1000.1), "event to last ACK in services of all sidecars, p99 ms"),
        (make_scenarios(pushed=1.0), "bytes of resources sent again after a restart"),
        (make_scenarios() | {"burst": {"lost": 1}}, "changes that did not reach every follower"),
        (make_scenarios() | {"start": {"cost": {"refused": 1}}}, "responses refused"),
        (make_scenarios() | {"start": {"cost": {"peak_mb": 501.0}}}, "greatest RssAnon, MB"),
        (make_scenarios() | {"start": {"cost": {}}, "few": {"since_event_ms": {"p99": 2e3}}}, "event to last ACK in "),
    ],
)
def test_goals_missed(scenarios: dict[str, Any], missed: str) -> None:
    assert next(goal["text"] for goal in goals(scenarios) if not goal["is_met"]).startswith(missed)


def test_the_peak_is_that_of_all_scenarios() -> None:
    assert peak_mb(make_scenarios()) == 130.0


def test_cpu_is_scaled_to_a_thousand_changes() -> None:
    assert per_thousand({"cpu_s": 3.0}, 120) == 25.0


def test_a_push_of_everything() -> None:
    bodies = {"a": {"listener": 1, "endpoints": 10}, "b": {"listener": 2, "endpoints": 20}}
    found = compare_full_push(bodies, {"a": 5, "b": 1}, sidecars=5, measured=55.0)
    assert found == {
        "mesh_bytes": 33,
        "everything_to_all_bytes": 165,
        "endpoints_to_all_bytes": 150,
        "followed_endpoints_to_all_bytes": 70,
        "ours_bytes": 55.0,
    }
