"""Who is picked, who is ejected, and what the balancer keeps when its endpoints change."""

from __future__ import annotations

import gc
from collections import Counter
from random import Random

import pytest

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import CANCELLED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.balance.p2c import Balancer
from proxy.balance.settings import Settings

NOW = 1000.0


def make(count: int, weights: tuple[int, ...] = (), rtt_s: float = 0.01) -> tuple[Balancer, list[Endpoint]]:
    endpoints = [Endpoint((f"10.0.0.{i}", 80), weights[i] if weights else 1) for i in range(count)]
    balancer = Balancer(endpoints, Settings(backoff_jitter=0.0))
    for endpoint in endpoints:
        balancer.set_ready(endpoint, True)
        endpoint.sample(rtt_s, NOW)
    return balancer, endpoints


def fail(endpoint: Endpoint, times: int = 1, now: float = NOW, retry_after_s: float = -1.0) -> None:
    for _ in range(times):
        endpoint.begin(NOW)
        endpoint.end(FAULT, 0.0, False, now, retry_after_s)


def succeed(endpoint: Endpoint, times: int = 1, now: float = NOW) -> None:
    for _ in range(times):
        endpoint.begin(NOW)
        endpoint.end(SUCCESS, 0.0, True, now)


def draw(balancer: Balancer, times: int = 2000, now: float = NOW) -> Counter[Endpoint | None]:
    rng = Random(1).random
    return Counter(balancer.pick(now, rng) for _ in range(times))


def test_nothing_to_pick() -> None:
    assert Balancer().pick(NOW, Random(1).random) is None


def test_endpoints_that_are_not_ready_are_never_drawn() -> None:
    balancer, (a, b, c) = make(3)
    balancer.set_ready(b, False)
    assert set(draw(balancer)) == {a, c}
    balancer.set_ready(a, False)
    assert set(draw(balancer)) == {c}
    balancer.set_ready(c, False)
    assert set(draw(balancer)) == {None}


@pytest.mark.parametrize("number", [0.0, 0.25, 0.5, 1.0 - 2**-53])
def test_both_ends_of_the_random_numbers_draw_an_endpoint(number: float) -> None:
    balancer, endpoints = make(3)
    assert balancer.pick(NOW, lambda: number) in endpoints


def test_every_pair_is_drawn() -> None:
    balancer, endpoints = make(5)
    for endpoint in endpoints:
        endpoint.begin(NOW)
    assert min(draw(balancer, 5000)[endpoint] for endpoint in endpoints) > 850


def test_the_lower_load_wins() -> None:
    balancer, (a, b) = make(2)
    b.sample(0.1, NOW)
    assert set(draw(balancer)) == {a}
    for _ in range(20):
        a.begin(NOW)
    assert set(draw(balancer)) == {b}


def test_latencies_within_the_tie_ratio_are_equal() -> None:
    balancer, (a, b) = make(2)
    b.sample(0.019, NOW)
    assert set(draw(balancer)) == {a, b}
    a.begin(NOW)
    assert set(draw(balancer)) == {b}


def test_an_unknown_endpoint_is_tried_at_once_with_one_request() -> None:
    balancer, (a, b) = make(2, rtt_s=0.001)
    fresh = Endpoint(("10.0.0.9", 80))
    balancer.replace([a, b, fresh])
    balancer.set_ready(fresh, True)
    assert draw(balancer)[fresh] > 1200
    fresh.begin(NOW)
    assert draw(balancer)[fresh] == 0


def test_avoided_endpoints_are_never_returned() -> None:
    balancer, (a, b, c) = make(3)
    rng = Random(1).random
    assert {balancer.pick(NOW, rng, (a,)) for _ in range(200)} == {b, c}
    assert {balancer.pick(NOW, rng, (a, b)) for _ in range(20)} == {c}
    assert balancer.pick(NOW, rng, (a, b, c)) is None


@pytest.mark.parametrize("weights", [(3, 1), (300, 100), (1, 3, 1), (60_000, 20_000, 20_000)])
def test_idle_endpoints_are_drawn_by_weight(weights: tuple[int, ...]) -> None:
    balancer, endpoints = make(len(weights), weights)
    counts = draw(balancer, 20_000)
    for endpoint, weight in zip(endpoints, weights, strict=True):
        assert counts[endpoint] / 20_000 == pytest.approx(weight / sum(weights), rel=0.1)


def test_a_heavier_endpoint_carries_more_pending_requests() -> None:
    balancer, (a, b) = make(2, (3, 1))
    for _ in range(3):
        a.begin(NOW)
    b.begin(NOW)
    assert set(draw(balancer)) == {a, b}
    a.begin(NOW)
    rng = Random(1).random
    assert [balancer.pick(NOW, rng, (a,)), a.load(NOW) > b.load(NOW)] == [b, True]


def test_weights_far_apart_do_not_make_a_giant_table() -> None:
    balancer, (a, _) = make(2, (10**9, 1))
    assert draw(balancer)[a] > 1900


def test_replace_keeps_the_state_of_a_known_address() -> None:
    balancer, (a, b) = make(2)
    a.begin(NOW)
    again, new = Endpoint(a.address, weight=2), Endpoint(("10.0.0.9", 80))
    assert balancer.replace([again, new]) == [b]
    assert balancer.endpoints == [a, new]
    assert (a.pending, a.weight, a.share) == (1, 2, 2.0)
    assert balancer.ready == [a]


def test_removed_endpoints_end_their_requests_alone() -> None:
    balancer, (a, b) = make(2)
    a.begin(NOW)
    balancer.replace([b])
    fail(a, 20)
    balancer.set_ready(a, True)
    assert (balancer.ready, a.ejected) == ([b], False)


def test_a_probe_may_fail_after_its_endpoint_was_removed() -> None:
    balancer, (a, b, c) = make(3)
    fail(a, 7)
    probe = balancer.pick(NOW + 2.0, Random(1).random)
    assert probe is a
    a.begin(NOW + 2.0)
    balancer.replace([b, c])
    a.end(FAULT, 1.0, False, NOW + 3.0)
    assert a.pending == 0


@pytest.mark.parametrize(("others", "is_ejected"), [(0, True), (1, True), (2, False), (4, False)])
def test_one_that_is_back_is_judged_by_what_it_lost_unless_others_have_lost_as_much(
    others: int, is_ejected: bool
) -> None:
    """A process that crashes is not a network that breaks."""
    balancer, endpoints = make(5)
    first = endpoints[0]
    for endpoint in endpoints[: others + 1]:
        balancer.set_ready(endpoint, False)
        fail(endpoint, 8)
    for endpoint in reversed(endpoints):
        balancer.set_ready(endpoint, True)
    balancer.judge_return(first, NOW)
    assert first.ejected == is_ejected


def test_but_neither_by_what_was_long_ago_nor_where_it_is_no_more() -> None:
    balancer, (a, b, c) = make(3)
    balancer.set_ready(a, False)
    fail(a, 8)
    balancer.set_ready(a, True)
    balancer.judge_return(a, NOW + 60.0)
    assert not a.ejected
    balancer.replace([b, c])
    balancer.judge_return(a, NOW)
    assert not a.ejected


def test_seven_faults_in_a_row_eject() -> None:
    balancer, (a, b) = make(2)
    ejected = []
    for _ in range(8):
        fail(a)
        ejected.append(a.ejected)
    assert ejected == [False] * 6 + [True] * 2
    assert (balancer.ready, set(draw(balancer))) == ([b], {b})


@pytest.mark.parametrize("outcome", [SUCCESS, NEUTRAL])
def test_an_answer_between_faults_saves(outcome: int) -> None:
    _, (a, _) = make(2)
    fail(a, 6)
    a.begin(NOW)
    a.end(outcome, 0.0, True, NOW)
    fail(a, 6)
    assert not a.ejected


def test_a_low_success_rate_ejects_who_is_worse_than_its_peers() -> None:
    _, (a, b, c) = make(3)
    succeed(b, 20)
    succeed(c, 20)
    for _ in range(3):
        succeed(a)
        fail(a)
    assert a.ejected


def test_a_low_success_rate_like_that_of_the_peers_does_not_eject() -> None:
    _, endpoints = make(3)
    for round_ in range(100):
        for endpoint in endpoints:
            succeed(endpoint, now=NOW + round_ / 10)
            fail(endpoint, now=NOW + round_ / 10)
    assert not any(endpoint.ejected for endpoint in endpoints)


def test_few_requests_do_not_make_a_rate() -> None:
    _, (a, b, c) = make(3)
    succeed(b, 20)
    succeed(c, 20)
    fail(a, 4)
    assert not a.ejected


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)])
def test_at_most_half_are_ejected(count: int, most: int) -> None:
    balancer, endpoints = make(count)
    for endpoint in endpoints:
        fail(endpoint, 20)
    assert sum(endpoint.ejected for endpoint in endpoints) == most
    assert len(balancer.ready) == count - most


def test_the_last_ready_endpoint_is_not_ejected() -> None:
    balancer, (a, b, c, d) = make(4)
    for endpoint in (b, c, d):
        balancer.set_ready(endpoint, False)
    fail(a, 20)
    assert balancer.ready == [a]


def test_an_ejected_endpoint_returns_when_it_is_the_only_ready_one() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    balancer.set_ready(b, False)
    assert (balancer.ready, a.ejected) == ([a], False)


def test_ejected_endpoints_return_when_too_few_others_are_left() -> None:
    balancer, (a, b, c, d) = make(4)
    fail(a, 7, now=NOW)
    fail(b, 7, now=NOW + 0.5)
    assert balancer.ready == [c, d]
    balancer.replace([a, b, c])
    assert (balancer.ready, b.ejected) == ([a, c], True)


def probe(balancer: Balancer, now: float) -> set[Endpoint | None]:
    rng = Random(1).random
    return {balancer.pick(now, rng) for _ in range(20)}


def test_one_probe_after_the_backoff_readmits() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    assert probe(balancer, NOW + 0.99) == {b}
    rng = Random(1).random
    assert balancer.pick(NOW + 1.0, rng) is a
    a.begin(NOW)
    assert probe(balancer, NOW + 1.5) == {b}
    a.end(SUCCESS, 0.5, True, NOW + 1.5)
    assert balancer.ready == [a, b]


def test_the_first_byte_of_a_probe_readmits() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    balancer.pick(NOW + 1.0, Random(1).random)
    a.begin(NOW)
    a.sample(0.1, NOW + 1.1)
    assert balancer.ready == [a, b]


def test_a_failed_probe_doubles_the_backoff() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    assert a in probe(balancer, NOW + 1.0)
    fail(a, now=NOW + 1.0)
    assert probe(balancer, NOW + 2.9) == {b}
    assert a in probe(balancer, NOW + 3.0)


@pytest.mark.parametrize("outcome", [CANCELLED, UNPROCESSED])
def test_a_probe_without_a_verdict_is_repeated(outcome: int) -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    assert a in probe(balancer, NOW + 1.0)
    a.begin(NOW)
    a.end(outcome, 0.1, False, NOW + 1.1)
    assert probe(balancer, NOW + 1.9) == {b}
    assert a in probe(balancer, NOW + 2.0)


def test_requests_from_before_the_probe_decide_nothing() -> None:
    balancer, (a, b) = make(2)
    a.begin(NOW)
    a.begin(NOW)
    fail(a, 7)
    balancer.pick(NOW + 1.0, Random(1).random)
    a.begin(NOW)
    a.end(SUCCESS, 1.2, True, NOW + 1.2)
    a.end(FAULT, 1.3, False, NOW + 1.3)
    assert a.ejected
    assert a.breaker.backoff_s == 1.0
    a.end(SUCCESS, 0.4, True, NOW + 1.4)
    assert balancer.ready == [a, b]


def test_a_probe_is_not_given_to_a_request_that_avoids_the_endpoint() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    rng = Random(1).random
    assert balancer.pick(NOW + 1.0, rng, (a,)) is b
    assert balancer.pick(NOW + 1.0, rng) is a


def test_retry_after_puts_the_probe_off() -> None:
    balancer, (a, b) = make(2)
    fail(a, 6)
    fail(a, retry_after_s=30.0)
    assert probe(balancer, NOW + 29.9) == {b}
    assert a in probe(balancer, NOW + 30.0)


def test_the_probe_waits_for_the_connection() -> None:
    balancer, (a, b) = make(2)
    fail(a, 7)
    balancer.set_ready(a, False)
    assert probe(balancer, NOW + 5.0) == {b}
    balancer.set_ready(a, True)
    assert a in probe(balancer, NOW + 5.0)


def test_jitter_spreads_the_probes() -> None:
    endpoints = [Endpoint((f"10.0.0.{i}", 80)) for i in range(2)]
    balancer = Balancer(endpoints, Settings(backoff_jitter=0.2))
    for endpoint in endpoints:
        balancer.set_ready(endpoint, True)
    fail(endpoints[0], 7)
    balancer.pick(NOW, lambda: 0.5)
    assert endpoints[0].breaker.probe_at_s == pytest.approx(NOW + 1.1)


def test_a_refusing_endpoint_rests_but_serves_when_alone() -> None:
    balancer, (a, b) = make(2)
    a.begin(NOW)
    a.end(UNPROCESSED, 0.001, False, NOW)
    assert set(draw(balancer)) == {b}
    assert set(draw(balancer, now=NOW + 1.0)) == {a, b}
    balancer.set_ready(b, False)
    assert set(draw(balancer)) == {a}


def test_requests_leave_no_garbage_cycles() -> None:
    balancer, _ = make(3)
    rng = Random(1).random
    gc.collect()
    for i in range(1000):
        endpoint = balancer.pick(NOW + i, rng)
        assert endpoint is not None
        endpoint.begin(NOW)
        endpoint.end(FAULT if i % 3 else SUCCESS, 0.0, False, NOW + i)
    assert gc.collect() == 0
