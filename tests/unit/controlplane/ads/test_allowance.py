from __future__ import annotations

from controlplane.ads.allowance import BURST, BYTES_PER_COST, PER_S, Allowance


def test_a_burst_is_free_and_what_follows_goes_at_the_rate() -> None:
    allowance = Allowance(100.0)
    assert [allowance.spend(0, 100.0) for _ in range(int(BURST))] == [0.0] * int(BURST)
    assert allowance.spend(0, 100.0) == 1 / PER_S
    assert allowance.spend(0, 100.0) == 2 / PER_S
    assert allowance.spend(0, 100.0 + 4 / PER_S) == 0.0


def test_time_fills_it_and_not_above_the_burst() -> None:
    allowance = Allowance(0.0)
    waits = [allowance.spend(0, 1e6) for _ in range(int(BURST) + 1)]
    assert waits[-2:] == [0.0, 1 / PER_S]


def test_large_requests_cost_more() -> None:
    allowance = Allowance(0.0)
    assert allowance.spend(int(BURST) * BYTES_PER_COST, 0.0) == 1 / PER_S
