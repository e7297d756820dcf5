"""The simulator itself: if it lies, the claims of the balancer mean nothing."""

from __future__ import annotations

import pytest

from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, SUCCESS
from tests.simulator.simulation import START_S, Reply, Simulation, Traffic, black_hole, failing, steady


def test_the_same_seed_gives_the_same_run() -> None:
    runs = [Simulation({"a": steady(0.01, 0.5), "b": steady(0.02, 0.5)}, Traffic(4), seed).run(5) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0].picks != runs[2].picks


def test_virtual_time_passes_exactly() -> None:
    simulation = Simulation({"a": steady(0.1)}, Traffic(1), 1)
    assert simulation.run(3600.0).picks["a"] == pytest.approx(36_000, abs=1)
    assert simulation.now == START_S + 3600.0


def test_clients_keep_so_many_requests_in_flight() -> None:
    simulation = Simulation({"a": steady(0.1), "b": steady(0.1)}, Traffic(7), 1)
    simulation.run(1.05)
    assert sum(endpoint.pending for endpoint in simulation.balancer.endpoints) == 7


def test_a_think_time_lies_between_two_requests() -> None:
    picks = Simulation({"a": steady(0.1)}, Traffic(1, think_s=0.9), 1).run(1000.0).picks
    assert picks["a"] == pytest.approx(1000, rel=0.03)


@pytest.mark.parametrize(
    ("traffic", "outcome"), [(Traffic(1, deadline_s=0.02), EXPIRED), (Traffic(1, patience_s=0.02), CANCELLED)]
)
def test_clients_stop_waiting(traffic: Traffic, outcome: int) -> None:
    phase = Simulation({"a": black_hole}, traffic, 1).run(1.0)
    assert set(phase.outcomes) == {("a", outcome)}
    assert phase.latencies_s == pytest.approx([0.02] * len(phase.latencies_s))


def test_without_a_deadline_a_black_hole_keeps_its_request() -> None:
    simulation = Simulation({"a": black_hole}, Traffic(1), 1)
    assert simulation.run(100.0).picks["a"] == 1
    assert simulation.balancer.endpoints[0].pending == 1


def test_a_stream_is_sampled_at_its_first_byte_and_pending_to_its_end() -> None:
    simulation = Simulation({"a": lambda now, rng, busy: Reply(0.01, SUCCESS, 60.0)}, Traffic(1), 1)
    simulation.run(30.0)
    endpoint = simulation.balancer.endpoints[0]
    assert endpoint.estimate.rtt_s == pytest.approx(0.01)
    assert endpoint.pending == 1


def test_a_fault_is_no_sample() -> None:
    simulation = Simulation({"a": failing(0.001, FAULT)}, Traffic(1), 1)
    simulation.run(0.5)
    assert simulation.balancer.endpoints[0].estimate.rtt_s == 5.0


def test_requests_without_an_endpoint_are_counted() -> None:
    simulation = Simulation({"a": steady(0.01)}, Traffic(1), 1)
    simulation.balancer.set_ready(simulation.endpoints["a"], False)
    phase = simulation.run(1.0)
    assert (phase.picks.total(), phase.denied) == (0, 100)
