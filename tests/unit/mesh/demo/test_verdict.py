from __future__ import annotations

import pytest

from mesh.demo.figures import Call, PodFigures
from mesh.demo.verdict import KillWatch, failing_method, failures_beyond, slow_pod


def row(pod: str, p50_ms: float | None, requests: int = 100) -> PodFigures:
    return PodFigures(pod.split("-")[0], pod, requests, 10.0, 0.3, 1.0, p50_ms, p50_ms, p50_ms)


def test_slow_pod_is_the_one_far_above_its_peers() -> None:
    assert slow_pod([row("a-1", 40), row("a-2", 41), row("a-3", 160), row("b-1", 70), row("b-2", 72)]) == "a-3"


def test_slow_service_is_no_slow_pod() -> None:
    assert slow_pod([row("a-1", 40), row("a-2", 41), row("b-1", 400), row("b-2", 410)]) is None


def test_slowest_of_two_slow_pods_is_named() -> None:
    assert (
        slow_pod([row("a-1", 40), row("a-2", 40), row("a-3", 100), row("b-1", 9), row("b-2", 9), row("b-3", 90)])
        == "b-3"
    )


def test_pod_with_few_or_no_requests_is_not_judged() -> None:
    assert slow_pod([row("a-1", 40), row("a-2", 400, requests=2), row("a-3", None, requests=0)]) is None


def test_pod_without_peers_is_not_judged() -> None:
    assert slow_pod([row("a-1", 400), row("a-2", None, requests=0)]) is None


def test_failing_method_is_the_one_whose_calls_fail() -> None:
    outcomes = {("/s/Good", "a-1", "OK"): 90, ("/s/Good", "a-1", "UNAVAILABLE"): 10, ("/s/Bad", "a-1", "UNKNOWN"): 5}
    assert failing_method(outcomes) == "/s/Bad"


@pytest.mark.parametrize(
    "outcomes",
    [
        {},
        {("/s/Good", "a-1", "OK"): 90, ("/s/Good", "a-1", "UNAVAILABLE"): 10},
        {("/s/Rare", "a-1", "UNKNOWN"): 2},
    ],
)
def test_no_method_fails_where_most_calls_succeed_or_few_were_made(
    outcomes: dict[tuple[str, str | None, str], int],
) -> None:
    assert failing_method(outcomes) is None


def test_failures_beyond_leave_the_failing_method_out() -> None:
    outcomes = {("/s/Bad", "a-1", "UNKNOWN"): 5, ("/s/Good", None, "UNAVAILABLE"): 2, ("/s/Good", "a-1", "OK"): 9}
    assert failures_beyond(outcomes, "/s/Bad") == 2
    assert failures_beyond(outcomes, None) == 7


def killed(*calls: Call) -> KillWatch:
    watch = KillWatch("a-1", "p.S", killed_s=10.0, gone_s=10.5)
    for call in calls:
        watch.add(call)
    return watch


@pytest.mark.parametrize(
    ("call", "in_flight", "failed"),
    [
        (Call("/p.S/M", "a-1", "UNAVAILABLE", 9.9, 0.2), 1, 1),
        (Call("/p.S/M", None, "UNAVAILABLE", 9.9, 0.2), 1, 1),
        (Call("/p.S/M", "a-1", "OK", 9.9, 0.2), 1, 0),
        (Call("/p.S/M", None, "UNAVAILABLE", 10.4, 0.2), 1, 1),  # given to it while the kernel ended it
        (Call("/p.S/M", "a-1", "OK", 9.0, 0.9), 0, 0),  # was over
        (Call("/p.S/M", None, "UNAVAILABLE", 10.6, 0.1), 0, 0),  # came after
        (Call("/p.S/M", "a-2", "UNAVAILABLE", 9.9, 0.2), 0, 0),  # on another pod
        (Call("/p.Other/M", None, "UNAVAILABLE", 9.9, 0.2), 0, 0),  # of another service
    ],
)
def test_kill_watch_counts_what_was_on_the_pod(call: Call, in_flight: int, failed: int) -> None:
    report = killed(call).report({(call.path, call.pod, call.code): 1}, None)
    assert (report.in_flight, report.failed_in_flight) == (in_flight, failed)
    assert report.failed_beyond == (call.code != "OK") - failed


def test_kill_report_leaves_the_failing_method_out() -> None:
    call = Call("/p.S/Bad", "a-1", "UNKNOWN", 9.9, 0.2)
    report = killed(call).report({(call.path, call.pod, call.code): 1}, "/p.S/Bad")
    assert (report.in_flight, report.failed_in_flight, report.failed_beyond) == (1, 0, 0)
