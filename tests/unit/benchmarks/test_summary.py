from __future__ import annotations

import json

from benchmarks.summary import compare, figure, goal, goals, ratios, summarise
from tests.unit.benchmarks.samples import MACHINE, make_findings, make_plan


def test_a_figure_is_the_median_and_its_spread() -> None:
    assert figure([3, 1, 20]) == {"median": 3, "min": 1, "max": 20, "rounds": [3, 1, 20]}


def test_cost_is_the_median_of_the_rounds() -> None:
    summary = summarise(make_plan("gossamer", "envoy"), make_findings(), MACHINE)
    (cell,) = summary["closed"]["gossamer"]
    assert cell["proxy_cpu_us"] == {"median": 11, "min": 10, "max": 14, "rounds": [10, 14, 11]}
    assert cell["backend_cpu_us"]["median"] == 2
    assert cell["rps"]["median"] == 200
    assert cell["backend_shares"] == [0.4, 0.3, 0.3]
    assert summary["closed"]["direct"][0]["proxy_cpu_us"] is None


def test_ratio_is_ours_over_theirs() -> None:
    summary = summarise(make_plan("gossamer", "envoy"), make_findings(), MACHINE)
    assert ratios(summary, "envoy") == {("8x4", "same"): 0.5}
    assert ratios(summary, "haproxy") == {}


def test_a_ratio_is_of_windows_of_the_same_round() -> None:
    """A machine that is three times as slow in one round is so for both."""
    ours, theirs = figure([9, 33, 11]), figure([10, 30, 10])
    assert compare(ours, theirs) == 1.1
    assert ours["median"] / theirs["median"] == 1.1
    assert compare(figure([9, 27, 40]), figure([10, 30, 20])) == 0.9


def test_added_latency_is_over_the_direct_path_of_the_same_round() -> None:
    opened = summarise(make_plan("gossamer"), make_findings(), MACHINE)["open"]["gossamer"]
    assert opened["added_p99_us"]["median"] == 400
    assert opened["direct_p99_us"]["median"] == 300


def test_growth_is_per_connection() -> None:
    memory = summarise(make_plan("gossamer"), make_findings(), MACHINE)["memory"]["gossamer"]
    assert memory["bytes_per_idle_connection"] == 1024


def test_goals_are_judged_by_what_was_measured() -> None:
    summary = summarise(make_plan("gossamer", "envoy"), make_findings(), MACHINE)
    assert all(found["is_met"] for found in goals(summary))
    assert [found["value"] for found in goals(summary)] == [0.5, 400, 11.3, 1024]
    slower = summarise(make_plan("gossamer", "envoy"), make_findings(envoy_us=12), MACHINE)
    assert [found["is_met"] for found in slower["goals"]] == [False, True, True, True]


def test_http1_and_tcp_have_goals_of_their_own() -> None:
    findings = make_findings()
    findings.closed.clear()
    findings.opened.clear()
    findings.memory.clear()
    summary = summarise(make_plan("gossamer", "haproxy", "nginx"), findings, MACHINE)
    assert [(found["limit"], found["value"]) for found in summary["goals"]] == [(1.2, 1.1), (1, 0.75), (1, 2.0)]
    assert [found["is_met"] for found in summary["goals"]] == [True, True, False]


def test_a_limit_itself_is_met() -> None:
    assert goal("x", 2, 2)["is_met"]
    assert not goal("x", 2, 2.01)["is_met"]


def test_without_us_there_are_no_goals_and_it_is_all_json() -> None:
    findings = make_findings()
    del findings.closed["gossamer"]
    findings.opened.clear()
    findings.memory.clear()
    findings.http1.clear()
    findings.tcp.clear()
    summary = summarise(make_plan("envoy"), findings, MACHINE)
    assert summary["goals"] == []
    assert json.loads(json.dumps(summary)) == summary
