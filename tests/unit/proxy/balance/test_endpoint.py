"""What each outcome does to an endpoint's estimate; its breaker is tested with the balancer."""

from __future__ import annotations

import math

import pytest

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED


def known(rtt_s: float = 0.01) -> Endpoint:
    endpoint = Endpoint(("10.0.0.1", 80))
    endpoint.begin(0.0)
    endpoint.sample(rtt_s, 0.0)
    endpoint.end(SUCCESS, rtt_s, True, 0.0)
    return endpoint


def finish(endpoint: Endpoint, outcome: int, elapsed_s: float, sampled: bool = False, retry_s: float = -1.0) -> float:
    """One request from begin to end, all at 0 s; returns the estimate after it."""
    endpoint.begin(0.0)
    endpoint.end(outcome, elapsed_s, sampled, 0.0, retry_s)
    return endpoint.rtt(0.0)


def test_a_new_endpoint() -> None:
    endpoint = Endpoint(("10.0.0.1", 80), weight=3)
    assert (endpoint.address, endpoint.weight, endpoint.ready, endpoint.pending) == (("10.0.0.1", 80), 3, False, 0)
    assert (endpoint.link, endpoint.handles, endpoint.ejected) == (None, {}, False)


def test_load_is_latency_times_the_requests_with_the_next_one() -> None:
    endpoint = known(0.01)
    assert endpoint.load(0.0) == 0.01
    endpoint.begin(0.0)
    endpoint.begin(0.0)
    assert endpoint.load(0.0) == pytest.approx(0.03)


def test_an_unknown_endpoint_is_free_for_one_request_then_costs_the_default() -> None:
    endpoint = Endpoint(("10.0.0.1", 80))
    assert endpoint.load(0.0) == 0.0
    endpoint.begin(0.0)
    assert endpoint.load(0.0) == pytest.approx(0.060)


def test_what_could_not_be_reached_is_unknown_again() -> None:
    endpoint = known()
    finish(endpoint, FAULT, 0.1)
    assert endpoint.rtt(0.0) == 5.0
    endpoint.renew()
    assert endpoint.rtt(0.0) == 0.0
    endpoint.begin(0.0)
    assert endpoint.rtt(0.0) == 0.030


def test_pending_lasts_until_the_end_of_the_stream() -> None:
    endpoint = known()
    endpoint.begin(0.0)
    endpoint.sample(0.001, 1.0)
    assert endpoint.pending == 1
    endpoint.end(SUCCESS, 3600.0, True, 3601.0)
    assert endpoint.pending == 0


def test_the_length_of_a_stream_is_no_sample() -> None:
    assert finish(known(0.01), SUCCESS, 3600.0, sampled=True) == 0.01


@pytest.mark.parametrize("outcome", [FAULT, EXPIRED])
def test_a_fault_of_the_endpoint_is_penalised_however_fast(outcome: int) -> None:
    assert finish(known(), outcome, 0.0001) == 5.0


@pytest.mark.parametrize(
    ("retry_after_s", "penalty_s"), [(-1.0, 5.0), (0.0, 1.0), (2.5, 2.5), (20.0, 20.0), (86_400.0, 60.0)]
)
def test_retry_after_replaces_the_penalty_within_limits(retry_after_s: float, penalty_s: float) -> None:
    assert finish(known(), FAULT, 0.001, retry_s=retry_after_s) == penalty_s


def test_an_error_of_the_method_leaves_the_estimate() -> None:
    assert finish(known(0.01), NEUTRAL, 0.0001, sampled=True) == 0.01


def test_a_fault_after_the_first_byte_is_a_fault() -> None:
    assert finish(known(), FAULT, 0.1, sampled=True) == 5.0


def test_a_cancel_before_the_first_byte_is_a_lower_bound() -> None:
    assert finish(known(0.01), CANCELLED, 0.5) == 0.5
    assert finish(known(0.01), CANCELLED, 0.001) == 0.01


def test_a_cancel_does_not_lower_the_default() -> None:
    assert finish(Endpoint(("10.0.0.1", 80)), CANCELLED, 0.001) == 0.030


def test_a_watch_without_events_that_is_cancelled_costs_at_most_the_penalty() -> None:
    assert finish(known(), CANCELLED, 3600.0) == 5.0


@pytest.mark.parametrize("outcome", [CANCELLED, EXPIRED])
def test_the_end_of_a_stream_by_its_client_is_nothing(outcome: int) -> None:
    assert finish(known(0.01), outcome, 3600.0, sampled=True) == 0.01


def test_a_refusal_keeps_requests_away_for_a_moment_only() -> None:
    endpoint = known(0.01)
    assert finish(endpoint, UNPROCESSED, 0.001) == pytest.approx(5.01)
    assert endpoint.rtt(1.0) < 0.01


def test_without_a_balancer_nothing_is_ejected() -> None:
    endpoint = known()
    for _ in range(20):
        finish(endpoint, FAULT, 0.001)
    assert not endpoint.ejected


def ask(endpoint: Endpoint, *times_s: float) -> Endpoint:
    for now in times_s:
        endpoint.begin(now)
    return endpoint


def test_silence_is_a_latency_once_it_lasts() -> None:
    endpoint = ask(known(1.0), 10.0, 12.0)
    assert endpoint.rtt(11.0) < 0.4
    assert endpoint.rtt(12.0) == 2.0
    assert endpoint.rtt(13.5) == 3.5


def test_silence_never_lowers_the_estimate() -> None:
    endpoint = ask(known(5.0), 0.0, 2.0)
    assert endpoint.rtt(3.0) == pytest.approx(5.0 * math.exp(-0.3))


def test_a_sample_is_capped() -> None:
    """What a frozen pod answers when it thaws, or a watch after an hour, says no more than `slow`."""
    assert known(120.0).rtt(0.0) == 5.0


def test_silence_costs_at_most_the_penalty() -> None:
    assert ask(known(), 0.0, 30.0).rtt(40.0) == 5.0


def test_a_silent_endpoint_is_asked_once_per_doubling_of_its_silence() -> None:
    endpoint = ask(known(), 0.0)
    asked = []
    for now in range(2, 500):
        if endpoint.rtt(now) < 0.01:
            asked.append(now)
            ask(endpoint, now)
    assert asked == [2, 4, 8, 16, 32, 64, 124, 184, 244, 304, 364, 424, 484]


def test_a_lone_watch_is_no_silence() -> None:
    assert ask(known(), 0.0).rtt(3600.0) < 0.01


def test_an_unknown_endpoint_that_only_holds_a_watch_is_tried_again() -> None:
    endpoint = ask(Endpoint(("10.0.0.1", 80)), 0.0)
    assert endpoint.rtt(1.0) == 0.030
    assert endpoint.rtt(1.1) == 0.0
    assert ask(endpoint, 1.1).rtt(1.2) == pytest.approx(1.2)


def test_the_silence_of_older_requests_is_forgotten_with_any_answer() -> None:
    endpoint = ask(known(), 0.0, 10.0, 10.0)
    endpoint.sample(0.01, 10.01)
    assert (endpoint.pending, endpoint.unanswered) == (3, 2)
    assert endpoint.rtt(15.0) < 0.01
    assert ask(endpoint, 15.0).rtt(16.0) < 0.01
    assert ask(endpoint, 16.0).rtt(16.5) == 1.5


@pytest.mark.parametrize("outcome", [SUCCESS, NEUTRAL, UNPROCESSED])
@pytest.mark.parametrize("sampled", [True, False])
def test_whatever_the_endpoint_answers_ends_the_silence(outcome: int, sampled: bool) -> None:
    endpoint = ask(known(), 0.0, 10.0, 10.0)
    if sampled:
        endpoint.sample(0.01, 10.01)
    endpoint.end(outcome, 0.01, sampled, 10.01)
    assert (endpoint.pending, endpoint.unanswered) == (2, 2)
    assert endpoint.rtt(12.0) < 0.01


@pytest.mark.parametrize("outcome", [CANCELLED, EXPIRED, FAULT])
def test_who_gives_up_does_not_end_the_silence_of_the_others(outcome: int) -> None:
    endpoint = ask(known(), 0.0, 200.0, 200.0)
    endpoint.end(outcome, 0.01, False, 200.0)
    assert endpoint.silent_since_s == 0.0
    endpoint.end(outcome, 0.01, False, 200.0)
    endpoint.end(outcome, 0.01, False, 200.0)
    assert (endpoint.unanswered, endpoint.silent_since_s) == (0, math.inf)
