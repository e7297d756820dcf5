from __future__ import annotations

from collections.abc import Callable

import pytest

from proxy.codec.errors import ConnectionFault
from proxy.codec.limits import DEFAULT_LIMITS, FloodGuard, Limits


def count_until_fault(act: Callable[[], object]) -> int:
    """How many times in a row it may be done."""
    for done in range(100_000):
        try:
            act()
        except ConnectionFault as fault:
            return done if fault.code == 11 else -1
    return 100_000


def open_streams(guard: FloodGuard, count: int) -> None:
    for _ in range(count):
        guard.stream_opened()


def test_rapid_reset_needs_over_500_streams() -> None:
    guard = FloodGuard(DEFAULT_LIMITS)
    for _ in range(500):
        guard.stream_opened()
        assert not guard.is_rapid_reset()
    guard.stream_opened()
    assert guard.is_rapid_reset()


def test_a_third_of_the_streams_may_be_reset_for_ever() -> None:
    guard = FloodGuard(DEFAULT_LIMITS)
    for _ in range(10_000):
        open_streams(guard, 3)
        assert not guard.is_rapid_reset()


@pytest.mark.parametrize("good", [0, 600, 100_000])
def test_good_calls_do_not_pay_for_an_attack_for_long(good: int) -> None:
    guard = FloodGuard(DEFAULT_LIMITS)
    open_streams(guard, good)
    resets = 0
    found = False
    while not found:
        guard.stream_opened()
        found = guard.is_rapid_reset()
        resets += 1
    assert resets <= 1_003


@pytest.mark.parametrize(
    ("act", "bound"),
    [
        ("empty_frame", DEFAULT_LIMITS.max_consecutive_empty_frames),
        ("interim_response", DEFAULT_LIMITS.max_consecutive_interim_responses),
        ("control_queued", DEFAULT_LIMITS.max_queued_control_frames),
        ("priority_frame", DEFAULT_LIMITS.priority_frames_per_stream),
        ("window_update", 100),
    ],
)
def test_bounds(act: str, bound: int) -> None:
    assert count_until_fault(getattr(FloodGuard(DEFAULT_LIMITS), act)) == bound


def test_bounds_that_grow_with_what_is_done() -> None:
    guard = FloodGuard(DEFAULT_LIMITS)
    open_streams(guard, 3)
    guard.data_sent = 7
    assert count_until_fault(guard.window_update) == 100 + 2 * 3 + 10 * 7
    assert count_until_fault(guard.priority_frame) == 100 * 4


def test_what_was_read_is_forgiven() -> None:
    guard = FloodGuard(Limits(max_queued_control_frames=5))
    for _ in range(10):
        for _ in range(5):
            guard.control_queued()
        guard.control_flushed()
    assert count_until_fault(guard.control_queued) == 5


def test_frames_that_lead_to_nothing_are_counted_by_the_ten_seconds() -> None:
    guard = FloodGuard(Limits(max_idle_frames=10))
    for second in range(0, 200, 2):
        guard.idle_frame(1_000.0 + second)
    for _ in range(10):
        guard.idle_frame(2_000.0)
    guard.stream_opened()
    guard.data_sent += 1
    for _ in range(20):
        guard.idle_frame(2_000.0)
    with pytest.raises(ConnectionFault) as fault:
        guard.idle_frame(2_000.0)
    assert fault.value.code == 11
