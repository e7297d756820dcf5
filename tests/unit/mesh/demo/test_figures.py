from __future__ import annotations

import pytest

from mesh.demo.figures import Call, Tally, Window, percentile

PODS = [("emoji", ("emoji-1", "emoji-2")), ("voting", ("voting-1",))]


def call(pod: str | None, latency_s: float = 0.01, code: str = "OK", started_s: float = 0.0) -> Call:
    return Call("/p.S/M", pod, code, started_s, latency_s)


def tally_of(*calls: Call) -> Tally:
    tally = Tally()
    for each in calls:
        tally.add(each)
    return tally


@pytest.mark.parametrize(
    ("count", "fraction", "rank"),
    [
        (1, 0.5, 1),
        (2, 0.5, 1),
        (3, 0.5, 2),
        (100, 0.5, 50),
        (100, 0.95, 95),
        (100, 0.99, 99),
        (101, 0.99, 100),
        (10, 0.99, 10),
    ],
)
def test_percentile_is_the_nearest_rank(count: int, fraction: float, rank: int) -> None:
    assert percentile(range(1, count + 1), fraction) == rank


def test_no_values_have_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_shares_are_of_the_pods_own_service() -> None:
    calls = [call("emoji-1")] * 3 + [call("emoji-2")] + [call("voting-1")] * 7
    first, second, voting = tally_of(*calls).figures(PODS, elapsed_s=2)
    assert (first.share, second.share, voting.share) == (0.75, 0.25, 1.0)
    assert (first.requests, second.requests, voting.requests) == (3, 1, 7)
    assert (first.rate, voting.rate) == (1.5, 3.5)


def test_pod_without_requests_has_a_row_without_figures() -> None:
    idle = tally_of(call("emoji-1")).figures(PODS, elapsed_s=1)[1]
    assert (idle.pod, idle.requests, idle.share, idle.rate) == ("emoji-2", 0, 0.0, 0.0)
    assert (idle.success_rate, idle.p50_ms, idle.p95_ms, idle.p99_ms) == (None, None, None, None)


def test_failures_lower_the_success_rate_and_keep_their_latency() -> None:
    row = tally_of(call("emoji-1", 0.010), call("emoji-1", 0.030, "UNKNOWN")).figures(PODS, elapsed_s=1)[0]
    assert row.success_rate == 0.5
    assert (row.p50_ms, row.p99_ms) == (10, 30)


def test_call_of_no_known_pod_is_an_outcome_and_no_pods_request() -> None:
    tally = tally_of(call(None, code="UNAVAILABLE"))
    assert tally.outcomes == {("/p.S/M", None, "UNAVAILABLE"): 1}
    assert [row.requests for row in tally.figures(PODS, elapsed_s=1)] == [0, 0, 0]


def test_window_forgets_what_ended_before_its_span() -> None:
    window = Window(span_s=3)
    for started_s in (0.0, 1.0, 2.0):
        window.add(call("emoji-1", 0.5, started_s=started_s))
    assert sum(window.tally(now_s=3.0).outcomes.values()) == 3
    assert sum(window.tally(now_s=5.0).outcomes.values()) == 1
    assert sum(window.tally(now_s=5.6).outcomes.values()) == 0
