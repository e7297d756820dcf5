"""What DESIGN 3.3 promises of pods that fail: they are left, probed, and taken back; and never too many at a time."""

from __future__ import annotations

from itertools import cycle
from random import Random

import pytest

from proxy.balance.outcome import FAULT, SUCCESS, UNPROCESSED
from tests.simulator.simulation import Pod, Reply, Simulation, Traffic, failing, steady

SPREAD = 0.5
COUNTS = (2, 3, 10)
IN_FLIGHT = (1, 20, 200)


def fleet(count: int, latency_s: float = 0.005, **others: Pod) -> dict[str, Pod]:
    return {f"p{i}": steady(latency_s, SPREAD) for i in range(count)} | others


def flaky(rate: float, latency_s: float = 0.005) -> Pod:
    """Fails this part of its requests, at once."""
    works = steady(latency_s, SPREAD)

    def answer(now: float, rng: Random, busy: int) -> Reply:
        return Reply(0.0005, FAULT) if rng.random() < rate else works(now, rng, busy)

    return answer


def paced(in_flight: int) -> Traffic:
    """About 250 requests per second, whatever the concurrency."""
    return Traffic(in_flight, think_s=in_flight * 0.004)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_a_pod_that_failed_once_has_half_its_share_within_90_s(count: int, in_flight: int) -> None:
    traffic = Traffic(in_flight, think_s=in_flight * 0.01)
    simulation = Simulation(fleet(count, latency_s=0.001), traffic, seed=1)
    simulation.run(5.0)
    endpoint = simulation.endpoints["p0"]
    endpoint.begin(simulation.now)
    endpoint.end(FAULT, 0.001, False, simulation.now)
    assert simulation.run(1.0).share("p0") < 0.5 / count
    simulation.run(79.0)
    assert simulation.run(10.0).share("p0") > 0.5 / count


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("in_flight", IN_FLIGHT)
def test_a_broken_pod_gets_only_probes_and_returns(count: int, in_flight: int) -> None:
    simulation = Simulation(fleet(count, p0=failing(0.0005)), paced(in_flight), seed=2)
    simulation.run(2.0)
    broken = simulation.run(30.0)
    assert broken.picks["p0"] < 10
    simulation.pods["p0"] = steady(0.005, SPREAD)
    simulation.run(150.0)
    assert simulation.run(20.0).share("p0") > 0.5 / count


@pytest.mark.parametrize("count", [1, *COUNTS])
@pytest.mark.parametrize("in_flight", [1, 50])
@pytest.mark.parametrize("rate", [0.3, 0.7, 1.0])
def test_a_failing_fleet_keeps_at_least_half_of_its_pods(count: int, in_flight: int, rate: float) -> None:
    pods = {f"p{i}": flaky(rate) for i in range(count)}
    phase = Simulation(pods, paced(in_flight), seed=3).run(20.0)
    assert phase.most_ejected <= count // 2
    assert phase.denied == 0
    if rate == 1.0:
        assert phase.most_ejected == count // 2


def test_pods_that_fail_alike_are_not_outliers() -> None:
    """A third of all requests fails everywhere: rarely seven in a row, so almost nobody is ejected."""
    pods = {f"p{i}": flaky(0.3) for i in range(10)}
    simulation = Simulation(pods, paced(20), seed=4)
    simulation.run(5.0)
    simulation.run(60.0)
    assert sum(endpoint.ejected for endpoint in simulation.balancer.endpoints) <= 1


def test_an_outlier_is_ejected_without_seven_faults_in_a_row() -> None:
    """Every second request fails: never two in a row, yet far from its peers, which fail 2 %."""

    turns = cycle([FAULT, SUCCESS])

    def alternating(now: float, rng: Random, busy: int) -> Reply:
        return Reply(0.005, next(turns))

    pods = fleet(3, p0=alternating, p1=flaky(0.02), p2=flaky(0.02))
    simulation = Simulation(pods, paced(20), seed=5)
    assert simulation.run(60.0).most_ejected == 1


def test_a_refusing_pod_is_asked_about_once_a_second() -> None:
    simulation = Simulation(fleet(3, p0=failing(0.0005, UNPROCESSED)), paced(1), seed=6)
    simulation.run(2.0)
    assert 5 <= simulation.run(10.0).picks["p0"] <= 10
    simulation.pods["p0"] = steady(0.005, SPREAD)
    simulation.run(2.0)
    assert simulation.run(30.0).share("p0") > 0.2
