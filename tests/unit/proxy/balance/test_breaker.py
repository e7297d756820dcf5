"""What the breaker counts, how its backoff grows, and which request is the probe."""

from __future__ import annotations

from proxy.balance.breaker import Breaker
from proxy.balance.settings import Settings


def breaker() -> Breaker:
    return Breaker(Settings(window_s=10.0, backoff_min_s=1.0, backoff_max_s=60.0))


def test_a_success_ends_the_streak() -> None:
    counts = breaker()
    for _ in range(6):
        counts.fault(1.0)
    assert counts.streak == 6
    counts.success(1.0)
    assert counts.streak == 0
    assert (counts.faults(1.0), counts.requests(1.0)) == (6, 7)


def test_counts_leave_the_window() -> None:
    counts = breaker()
    counts.fault(0.0)
    counts.success(6.0)
    assert (counts.faults(6.0), counts.requests(6.0)) == (1, 2)
    assert (counts.faults(11.5), counts.requests(11.5)) == (0, 1)
    assert counts.requests(30.0) == 0


def test_a_long_silence_empties_both_halves() -> None:
    counts = breaker()
    counts.fault(0.0)
    assert counts.requests(100.0) == 0


def test_the_backoff_doubles_up_to_its_limit() -> None:
    ejection = breaker()
    now, backoffs = 0.0, []
    for _ in range(8):
        ejection.eject(now, 0.0)
        backoffs.append(ejection.backoff_s)
        now = ejection.probe_at_s
    assert backoffs == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_the_backoff_starts_over_after_a_good_minute() -> None:
    ejection = breaker()
    ejection.eject(0.0, 0.0)
    ejection.readmit()
    ejection.eject(30.0, 0.0)
    assert ejection.backoff_s == 2.0
    ejection.readmit()
    ejection.eject(30.0 + 2.0 + 60.0, 0.0)
    assert ejection.backoff_s == 1.0


def test_retry_after_prolongs_the_wait_but_not_the_backoff() -> None:
    ejection = breaker()
    ejection.eject(10.0, 30.0)
    assert (ejection.probe_at_s, ejection.backoff_s) == (40.0, 1.0)


def test_jitter_is_added_once_per_backoff() -> None:
    ejection = breaker()
    ejection.eject(10.0, 0.0)
    ejection.delay(0.1)
    ejection.delay(0.1)
    assert ejection.probe_at_s == 11.1


def test_only_a_request_begun_after_the_hand_out_is_the_probe() -> None:
    ejection = breaker()
    ejection.eject(10.0, 0.0)
    assert not ejection.is_probe(0.5, 11.0)
    ejection.probe(11.0)
    assert ejection.is_probe(0.5, 11.5)
    assert not ejection.is_probe(0.6, 11.5)


def test_a_probe_without_a_verdict_is_followed_by_another() -> None:
    ejection = breaker()
    ejection.eject(10.0, 0.0)
    ejection.probe(11.0)
    assert (ejection.probe_at_s, ejection.backoff_s) == (12.0, 1.0)


def test_ejection_forgets_the_counts() -> None:
    ejection = breaker()
    for _ in range(7):
        ejection.fault(1.0)
    ejection.eject(1.0, 0.0)
    ejection.readmit()
    assert (ejection.ejected, ejection.streak, ejection.requests(1.0)) == (False, 0, 0)
