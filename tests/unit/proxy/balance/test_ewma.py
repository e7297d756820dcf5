"""The latency estimate: jumps up, decays down, and reading it changes nothing."""

from __future__ import annotations

import math

import pytest

from proxy.balance.ewma import MIN_RTT_S, PeakEwma


def estimate() -> PeakEwma:
    return PeakEwma(default_s=0.03, decay_s=10.0)


def test_the_default_stands_until_the_first_sample() -> None:
    latency = estimate()
    assert latency.read(0.0) == latency.read(1e6) == 0.03


def test_the_first_sample_replaces_the_default_even_if_faster() -> None:
    latency = estimate()
    latency.observe(0.001, 5.0)
    assert latency.read(5.0) == 0.001


def test_a_slower_sample_is_taken_over_at_once() -> None:
    latency = estimate()
    latency.observe(0.001, 0.0)
    latency.observe(0.5, 1.0)
    assert latency.read(1.0) == 0.5


def test_a_faster_sample_does_not_hurry_the_decay() -> None:
    latency = estimate()
    latency.observe(1.0, 0.0)
    latency.observe(0.001, 10.0)
    assert latency.read(10.0) == pytest.approx(math.exp(-1))


def test_it_decays_exponentially_towards_zero() -> None:
    latency = estimate()
    latency.observe(5.0, 100.0)
    assert latency.read(110.0) == pytest.approx(5.0 / math.e)
    assert latency.read(190.0) == pytest.approx(5.0 * math.exp(-9))


def test_reading_does_not_write() -> None:
    latency = estimate()
    latency.observe(1.0, 0.0)
    before = (latency.rtt_s, latency.at_s)
    for second in range(100):
        latency.read(float(second))
    assert (latency.rtt_s, latency.at_s) == before


def test_a_bound_raises_and_never_lowers() -> None:
    latency = estimate()
    latency.observe(1.0, 0.0)
    latency.raise_to(0.5, 0.0)
    assert latency.read(0.0) == 1.0
    latency.raise_to(5.0, 0.0)
    assert latency.read(0.0) == 5.0


def test_a_bound_does_not_lower_the_default_but_lets_it_decay() -> None:
    latency = estimate()
    latency.raise_to(0.001, 7.0)
    assert latency.read(7.0) == 0.03
    assert latency.read(17.0) == pytest.approx(0.03 / math.e)


def test_a_sample_of_nothing_still_costs_something() -> None:
    latency = estimate()
    latency.observe(0.0, 0.0)
    assert latency.read(0.0) == MIN_RTT_S
