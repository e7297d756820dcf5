"""What balancing costs per request: `pick`, `begin`, `sample` and `end`, alone and together.

Run with `pytest benchmarks/micro/test_balance_bench.py`; compiled or not is whatever is installed.
"""

from __future__ import annotations

from random import Random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import FAULT, SUCCESS
from proxy.balance.p2c import Balancer

NOW = 1000.0


def busy_balancer(count: int, heavy: int = 1) -> Balancer:
    """Endpoints of different latency, all of them known and in use."""
    balancer = Balancer(Endpoint((f"10.0.0.{i}", 80), heavy if i == 0 else 1) for i in range(count))
    for i, endpoint in enumerate(balancer.endpoints):
        balancer.set_ready(endpoint, True)
        endpoint.sample(0.001 * (i + 1), NOW)
        endpoint.begin(NOW)
    return balancer


@pytest.mark.parametrize("heavy", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 100])
def test_pick(benchmark: BenchmarkFixture, count: int, heavy: int) -> None:
    balancer, rng = busy_balancer(count, heavy), Random(1).random
    assert benchmark(balancer.pick, NOW + 1.0, rng) in balancer.endpoints


def test_load(benchmark: BenchmarkFixture) -> None:
    assert benchmark(busy_balancer(1).endpoints[0].load, NOW + 1.0) > 0.0


def test_sample(benchmark: BenchmarkFixture) -> None:
    endpoint = busy_balancer(1).endpoints[0]
    benchmark(endpoint.sample, 0.0005, NOW + 1.0)
    assert endpoint.estimate.known


@pytest.mark.parametrize("outcome", [SUCCESS, FAULT])
def test_end(benchmark: BenchmarkFixture, outcome: int) -> None:
    endpoint = busy_balancer(3).endpoints[0]
    benchmark(endpoint.end, outcome, 0.001, True, NOW + 1.0)
    assert endpoint.breaker.requests(NOW + 1.0) > 0 or endpoint.ejected


def test_a_whole_request(benchmark: BenchmarkFixture) -> None:
    balancer, rng = busy_balancer(3), Random(1).random

    def request() -> None:
        endpoint = balancer.pick(NOW + 1.0, rng)
        assert endpoint is not None
        endpoint.begin(NOW)
        endpoint.sample(0.001, NOW + 1.0)
        endpoint.end(SUCCESS, 0.001, True, NOW + 1.0)

    benchmark(request)
    assert [endpoint.pending for endpoint in balancer.endpoints] == [1, 1, 1]
