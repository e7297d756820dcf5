"""One run: the cluster is made, the control plane and the sidecars are started, and the scenarios follow."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.machine import CHECKOUT, describe_machine
from benchmarks.process import busy_share
from benchmarks.scale.changes import run_burst, run_few, run_popular, run_profile, run_stalled
from benchmarks.scale.cluster import Cluster
from benchmarks.scale.crew import recruit
from benchmarks.scale.figures import compare_full_push, goals
from benchmarks.scale.plan import Plan, count_followers, make_seats
from benchmarks.scale.plane import Plane
from benchmarks.scale.rollout import run_rollout
from benchmarks.scale.stage import Result, Stage, say
from benchmarks.scale.storms import run_reconnect, run_relist, run_start
from benchmarks.scale.survey import measure_sizes, total
from mesh.build import HOT_PACKAGES, inspect_package
from tests.cluster.api_server import ApiServer, choose_address

RUNS: dict[str, Callable[[Stage], Result]] = {
    "popular": run_popular,
    "few": run_few,
    "burst": run_burst,
    "stalled": run_stalled,
    "profile": run_profile,
    "relist": run_relist,
    "reconnect": run_reconnect,
    "rollout": run_rollout,  # last: it leaves controllers running, and sidecars that follow more
}


def run(plan: Plan) -> dict[str, Any]:
    summary: dict[str, Any] = {"machine": describe(), "plan": dataclasses.asdict(plan)}
    scenarios: dict[str, Any] = {}
    with prepare(plan, summary) as stage:
        say(f"{plan.sidecars} sidecars connect")
        scenarios["start"] = run_start(stage)
        sizes = measure_sizes(stage.cluster.services, stage.plane.host, stage.plane.port)
        summary["resources"] = total(sizes)
        for name in plan.scenarios:
            say(f"scenario: {name}")
            scenarios[name] = RUNS[name](stage)
        summary["push"] = compare_full_push(sizes, stage.followers, plan.sidecars, bytes_per_change(scenarios))
    summary |= {"scenarios": scenarios, "goals": goals(scenarios)}
    return summary


def bytes_per_change(scenarios: dict[str, Any]) -> float:
    """What all sidecars together received for a change that all of them follow."""
    popular = scenarios.get("popular")
    return popular["cost"]["received_bytes"] / popular["changes"] if popular else 0.0


@contextmanager
def prepare(plan: Plan, summary: dict[str, Any]) -> Iterator[Stage]:
    """The stage, with the control plane ready, and sidecars that have not connected yet."""
    with tempfile.TemporaryDirectory(prefix="gossamer-scale-") as name, start_api() as api:
        folder = Path(name)
        cluster = Cluster(api, plan)
        summary["creation_s"] = cluster.fill(say)
        seats = make_seats(plan, cluster.services)
        with Plane(api.kubeconfig, choose_address(), folder) as plane:
            began = time.monotonic()
            summary["ready_s"] = plane.wait_ready() - began
            time.sleep(2)
            summary["ready_cpu_s"], summary["ready_mb"] = plane.cpu_s(), plane.memory_mb()
            say(f"the control plane is ready after {summary['ready_s']:.1f} s")
            with recruit(seats, plane.host, plane.port, folder) as crew:
                yield Stage(plan, api, cluster, plane, crew, count_followers(seats))


@contextmanager
def start_api() -> Iterator[ApiServer]:
    """The API without controllers; those that a scenario needs, it starts."""
    try:
        api = ApiServer(controllers=False)
    except (pytest.skip.Exception, pytest.fail.Exception, KeyError) as missing:
        raise BenchmarkError(str(missing)) from None
    with api:
        yield api


def describe() -> dict[str, Any]:
    hot = [inspect_package(package) for package in HOT_PACKAGES]
    return {
        **describe_machine(commit()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("grpcio", "protobuf", "xds-protos", "kubernetes", "uvloop")},
        "compiled_modules": sum(len(package.compiled) for package in hot),
        "other_work_share": round(busy_share(2.0), 3),
    }


def commit() -> str:
    """The commit, marked when the sources differ from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    head = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return head + ("+changes" if git("status", "--porcelain", "--", "controlplane", "proxy", "mesh") else "")
