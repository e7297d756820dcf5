"""A pod that is frozen (takes requests, never answers) while no client gives up; and a live one with silent streams.

Both look the same from one request. What tells them apart is whether anything begun later is answered.
"""

from __future__ import annotations

import pytest

from tests.simulator.simulation import Pod, Simulation, Traffic, black_hole, steady

SPREAD = 0.5
on_seeds = pytest.mark.parametrize("seed", [1, 2, 3])


def fleet(count: int, latency_s: float = 0.002, **others: Pod) -> dict[str, Pod]:
    return {f"p{i}": steady(latency_s, SPREAD) for i in range(count)} | others


def paced(rate: int, clients: int = 1000) -> Traffic:
    """About `rate` requests per second, as long as few clients are stuck."""
    return Traffic(clients, think_s=clients / rate)


@on_seeds
@pytest.mark.parametrize("before_s", [0.0, 5.0])
@pytest.mark.parametrize(("count", "duration_s"), [(2, 30.0), (3, 120.0), (10, 30.0)])
def test_few_requests_are_stuck_in_a_frozen_pod(count: int, duration_s: float, before_s: float, seed: int) -> None:
    simulation = Simulation(fleet(count), paced(1000), seed)
    simulation.run(before_s)
    simulation.pods["p0"] = black_hole
    assert 1 < simulation.run(duration_s).picks["p0"] < 25
    assert simulation.endpoints["p0"].pending < 25


@on_seeds
def test_a_frozen_pod_among_slow_ones_keeps_little_more_than_they_have_in_flight(seed: int) -> None:
    simulation = Simulation(fleet(3, latency_s=0.1), paced(500), seed)
    simulation.run(5.0)
    simulation.pods["p0"] = black_hole
    assert simulation.run(120.0).picks["p0"] < 2 * 0.1 * 500


@on_seeds
def test_a_pod_that_thaws_is_found_by_the_next_request(seed: int) -> None:
    """The longest pause between two is a minute."""
    simulation = Simulation(fleet(3, p0=black_hole), paced(100), seed)
    simulation.run(300.0)
    simulation.pods["p0"] = steady(0.002, SPREAD)
    endpoint = simulation.endpoints["p0"]
    assert simulation.run(60.1).picks["p0"] > 0
    assert endpoint.silent_since_s == float("inf")


def share_beside_streams(begins_s: tuple[float, ...], answered: bool, latency_s: float, traffic: Traffic) -> float:
    """The part of its fair share that p0 gets over ten minutes, while it holds streams begun at these times."""
    simulation = Simulation(fleet(3, latency_s), traffic, seed=4)
    simulation.run(10.0)
    start_s, endpoint = simulation.now, simulation.endpoints["p0"]
    taken = total = 0
    for until_s in (*begins_s, 600.0):
        phase = simulation.run(until_s - (simulation.now - start_s))
        taken += phase.picks["p0"]
        total += phase.picks.total()
        endpoint.begin(simulation.now)
        if answered:
            endpoint.sample(latency_s, simulation.now)
    return 3 * taken / total


@pytest.mark.parametrize("begins_s", [(0.0,), (0.0, 0.3, 0.9), tuple(range(0, 500, 20))], ids=["one", "three", "many"])
@pytest.mark.parametrize(("rate", "latency_s"), [(1, 0.002), (3, 0.002), (3, 1.0), (30, 0.05), (100, 0.05)])
def test_a_silent_stream_weighs_like_one_that_has_answered(
    begins_s: tuple[float, ...], rate: int, latency_s: float
) -> None:
    answered, silent = (share_beside_streams(begins_s, a, latency_s, paced(rate, 20)) for a in (True, False))
    assert silent > 0.8 * answered > 0.0


@pytest.mark.parametrize(("rate", "latency_s"), [(200, 0.05), (20, 0.5), (5, 2.0)])
def test_a_pod_with_a_silent_watch_has_over_half_of_its_share_under_load(rate: int, latency_s: float) -> None:
    """About three requests in flight on every pod; where pods are nearly idle one stream more or less decides."""
    assert share_beside_streams((0.0,), False, latency_s, paced(rate, 100)) > 0.5


@on_seeds
def test_a_new_pod_with_nothing_but_a_silent_watch_gets_requests(seed: int) -> None:
    simulation = Simulation(fleet(3), paced(1, 20), seed)
    endpoint = simulation.endpoints["p0"]
    endpoint.begin(simulation.now)
    simulation.run(60.0)
    assert endpoint.estimate.known
