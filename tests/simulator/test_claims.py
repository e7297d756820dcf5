"""What DESIGN 3.3 promises of the balancer, held under a virtual clock: shares, and slow or silent pods.

Latencies are lognormal with sigma 0.5 (p99 is 3.2 times the median) unless a test says otherwise.
"""

from __future__ import annotations

from random import Random

import pytest

from proxy.balance.outcome import NEUTRAL, SUCCESS
from tests.simulator.simulation import Phase, Pod, Reply, Simulation, Traffic, black_hole, steady

SPREAD = 0.5
COUNTS = (2, 3, 10)
IN_FLIGHT = (1, 20, 200)
on_grid = pytest.mark.parametrize(("count", "in_flight"), [(n, m) for n in COUNTS for m in IN_FLIGHT])


def fleet(count: int, latency_s: float = 0.01, **others: Pod) -> dict[str, Pod]:
    """`count` pods p0, p1, ..., of which `others` are different."""
    return {f"p{i}": steady(latency_s, SPREAD) for i in range(count)} | others


def relative(phase: Phase, name: str, count: int) -> float:
    """The pod's share over the mean share of the others."""
    return phase.share(name) * (count - 1) / (1 - phase.share(name))


@on_grid
def test_equal_pods_stay_within_15_percent(count: int, in_flight: int) -> None:
    simulation = Simulation(fleet(count), Traffic(in_flight), seed=3)
    simulation.run(2.0)
    phase = simulation.run({1: 200.0, 20: 10.0, 200: 2.0}[in_flight])
    for i in range(count):
        assert phase.share(f"p{i}") * count == pytest.approx(1.0, abs=0.15)


@on_grid
def test_a_slow_pod_gets_under_a_third_of_a_fast_one(count: int, in_flight: int) -> None:
    simulation = Simulation(fleet(count, p0=steady(0.1, SPREAD)), Traffic(in_flight), seed=4)
    simulation.run(2.0)
    phase = simulation.run({1: 60.0, 20: 8.0, 200: 2.0}[in_flight])
    assert 0 < relative(phase, "p0", count) < 0.1
    for i in range(2, count):
        assert phase.picks[f"p{i}"] / phase.picks["p1"] == pytest.approx(1.0, abs=0.25 if in_flight == 1 else 0.15)


@on_grid
def test_a_pod_that_turns_slow_is_left_within_a_second(count: int, in_flight: int) -> None:
    simulation = Simulation(fleet(count), Traffic(in_flight, think_s=in_flight * 0.001), seed=5)
    simulation.run(3.0)
    simulation.pods["p0"] = steady(0.1, SPREAD)
    simulation.run(1.0)
    assert relative(simulation.run(10.0), "p0", count) < 1 / 3


@on_grid
@pytest.mark.parametrize("before_s", [0.0, 3.0])
def test_a_black_hole_under_20_ms_deadlines_gets_under_1_percent(count: int, in_flight: int, before_s: float) -> None:
    traffic = Traffic(in_flight, deadline_s=0.02, think_s=in_flight * 0.001)
    simulation = Simulation(fleet(count, latency_s=0.003), traffic, seed=6)
    simulation.run(before_s)
    simulation.pods["p0"] = black_hole
    simulation.run(2.0)
    assert simulation.run(15.0).share("p0") < 0.01


@on_grid
def test_an_unmarked_black_hole_does_not_look_idle(count: int, in_flight: int) -> None:
    """Clients that cancel without a `grpc-timeout`: lower bounds of the latency are all there is to see."""
    traffic = Traffic(in_flight, patience_s=0.1, think_s=in_flight * 0.001)
    simulation = Simulation(fleet(count, latency_s=0.003, p0=black_hole), traffic, seed=6)
    simulation.run(2.0)
    assert simulation.run(15.0).share("p0") < 0.05 / count


def with_failing_method(latency_s: float) -> Pod:
    """Half of the requests go to a method that fails at once, on every pod."""
    works = steady(latency_s, SPREAD)

    def answer(now: float, rng: Random, busy: int) -> Reply:
        return Reply(0.0005, NEUTRAL) if rng.random() < 0.5 else works(now, rng, busy)

    return answer


@on_grid
def test_a_method_that_always_fails_does_not_hide_the_slow_pod(count: int, in_flight: int) -> None:
    pods = {f"p{i}": with_failing_method(0.1 if i == 0 else 0.01) for i in range(count)}
    simulation = Simulation(pods, Traffic(in_flight), seed=7)
    simulation.run(2.0)
    phase = simulation.run({1: 60.0, 20: 5.0, 200: 1.0}[in_flight])
    assert relative(phase, "p0", count) < 0.1
    assert phase.most_ejected == 0


@on_grid
def test_weight_3_gets_three_times_the_share(count: int, in_flight: int) -> None:
    simulation = Simulation(fleet(count), Traffic(in_flight), 8, {"p0": 3})
    simulation.run(2.0)
    phase = simulation.run({1: 200.0, 20: 10.0, 200: 2.0}[in_flight])
    assert relative(phase, "p0", count) == pytest.approx(3.0, rel=0.25)


@pytest.mark.parametrize("count", COUNTS)
def test_hour_long_streams_do_not_poison_their_pod(count: int) -> None:
    """Twenty watches sit on p0 for an hour; once they end, p0 is as good as any."""
    simulation = Simulation(fleet(count), Traffic(20, think_s=4.0), seed=9)
    simulation.run(10.0)
    endpoint, begun = simulation.endpoints["p0"], simulation.now
    for _ in range(20):
        endpoint.begin(begun)
        endpoint.sample(0.01, begun)
    simulation.run(3600.0)
    for _ in range(20):
        endpoint.end(SUCCESS, simulation.now - begun, True, simulation.now)
    simulation.traffic = Traffic(20, think_s=0.1)
    simulation.run(5.0)
    assert relative(simulation.run(60.0), "p0", count) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_a_new_pod_has_its_share_within_seconds(in_flight: int) -> None:
    simulation = Simulation(fleet(3, latency_s=0.001), Traffic(in_flight, think_s=in_flight * 0.002), seed=10)
    simulation.balancer.set_ready(simulation.endpoints["p0"], False)
    simulation.run(5.0)
    simulation.balancer.set_ready(simulation.endpoints["p0"], True)
    simulation.run(1.0)
    assert relative(simulation.run(10.0), "p0", 3) > 0.5
