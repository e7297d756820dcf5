from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.scale.figures import goals
from benchmarks.scale.plan import FULL
from benchmarks.scale.report import render_markdown
from benchmarks.scale.stage import Cost

LAG = {"p50": 10.0, "p99": 1234.5, "max": 2000.0, "count": 100}
COST = dataclasses.asdict(Cost(10.0, 6.0, 3.0, 2.0, 1.0, 3000.0, 5e6, 6e6, 3000.0, 0.0, 150.0))


def make_changes(changes: int = 100) -> dict[str, Any]:
    lags = {f"since_{moment}_ms": LAG for moment in ("event", "returned", "sent")}
    return {"changes": changes, "followers": 1000.0, "lost": 0, "cost": COST, **lags}


def make_summary() -> dict[str, Any]:
    scenarios = {
        "start": {"cost": COST, "seconds": 2.0, "rest_mb": 120.0},
        "popular": make_changes(),
        "few": make_changes(),
        "burst": make_changes(),
        "stalled": make_changes()
        | {"stalled": 100, "unacknowledged": 100.0, "grown_mb": 0.4, "caught_up": True, "responses_to_catch_up": 200},
        "profile": {
            "native": {
                "libraries": [{"name": "cygrpc", "share": 0.2}],
                "threads": [{"name": "python", "share": 0.7}],
                "collector_share": 0.17,
            },
            "python": {"samples": 900, "own": [{"function": "write", "share": 0.3}], "total": []},
        },
        "relist": {"cost": COST, "relists": {}, "seconds_after_ready": 3.0, "next_change": make_changes(1)},
        "reconnect": {
            **dict.fromkeys(("ready_s", "back_after_ready_s", "subscribed_after_ready_s", "cpu_s"), 2.0),
            **dict.fromkeys(("pushes", "push_bytes", "received_bytes"), 0.0),
            **dict.fromkeys(("peak_mb", "rest_mb"), 140.0),
            "next_change": make_changes(1),
        },
        "rollout": {
            "replicas": 500,
            "seconds": 53.0,
            "slice_events": 1049,
            "versions": 649,
            "responses_per_sidecar": 161.5,
            "cost": COST,
            "lost": 0,
            "added_ms": LAG,
            "removed_ms": {},
        },
    }
    return {
        "machine": {
            "date": "2026-11-21 10:00 UTC",
            "commit": "abc",
            "cpu": "A CPU",
            "cores": 2,
            "kernel": "6.1",
            "python": "3.11.7",
            "versions": {"grpcio": "1.85.1"},
            "compiled_modules": 23,
            "other_work_share": 0.05,
        },
        "plan": dataclasses.asdict(FULL),
        "creation_s": {"pods": 38.0},
        "ready_s": 3.6,
        "ready_cpu_s": 3.0,
        "ready_mb": 90.0,
        "scenarios": scenarios,
        "resources": {"endpoints": {"count": 1000, "bytes": 1_510_000}},
        "push": {
            "mesh_bytes": 2_560_000,
            "everything_to_all_bytes": 2_560_000_000,
            "endpoints_to_all_bytes": 1_510_000_000,
            "followed_endpoints_to_all_bytes": 28_600_000,
            "ours_bytes": 5_000_000.0,
        },
        "goals": goals(scenarios),
    }


def test_every_part_is_shown() -> None:
    text = render_markdown(make_summary())
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# The control plane at scale",
        "## Goals",
        "## From a change to the last follower's ACK",
        "## What changes cost",
        "## Storms",
        "## A rolling restart of 500 pods",
        "## One change, beside a push of everything",
        "## Profile of the control plane under changes that all follow",
    ]


def test_figures_are_scaled() -> None:
    text = render_markdown(make_summary())
    assert "| an endpoint of 50 changes, all sidecars follow | 100 at 2/s | 1,000 | 10 / 1,234 / 2,000 |" in text
    assert "| an endpoint of 50 changes, all sidecars follow | 60.0 | 2000 | 50% | 20.0 | 10.0 | 0.060 | 150 |" in text
    assert "| all resources of the whole mesh, to each | 2,560.0 | 512 |" in text
    assert "one that went –." in text


def test_a_missed_goal_stands_out() -> None:
    lines = [line for line in render_markdown(make_summary()).splitlines() if line.startswith("| event to last ACK")]
    assert len(lines) == 2
    assert all(line.endswith("| 1000 | 1234.5 | **missed** |") for line in lines)


def test_what_was_not_run_is_left_out() -> None:
    summary = make_summary()
    summary["scenarios"] = {"start": summary["scenarios"]["start"]}
    summary["goals"] = goals(summary["scenarios"])
    summary["push"]["ours_bytes"] = 0.0
    text = render_markdown(summary)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Goals", "## Storms"]


def test_tools_that_are_missing_are_named() -> None:
    summary = make_summary()
    summary["scenarios"]["profile"] = {"native": {}, "python": {}}
    text = render_markdown(summary)
    assert "perf is not installed" in text
    assert "py-spy is not installed" in text
