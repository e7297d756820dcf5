"""Scenarios of endpoint changes: in services that all follow or that few do, at once, and past stalled sidecars."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from benchmarks.scale.cluster import Written
from benchmarks.scale.figures import lags
from benchmarks.scale.plan import Service
from benchmarks.scale.profile import record
from benchmarks.scale.stage import Result, Stage
from benchmarks.scale.watch import SliceTimes


def measure(stage: Stage, services: Sequence[Service], change: Callable[[], list[Written]]) -> Result:
    """What the changes cost, and when the last follower had each."""
    stage.track([service.canonical for service in services])
    times = SliceTimes()
    with stage.watch_slices(times), stage.cost() as cost:
        arrivals = stage.settle(change(), times)
    followers = [stage.followers[arrival.change.service] for arrival in arrivals]
    return {
        "changes": len(arrivals),
        "followers": sum(followers) / len(followers),
        "cost": dataclasses.asdict(cost),
        **lags(arrivals),
    }


def run_popular(stage: Stage) -> Result:
    """One endpoint of 50 at a time, in services that all sidecars follow."""
    plan = stage.plan
    services = stage.cluster.services[: plan.popular_services]
    return measure(
        stage,
        services,
        lambda: stage.cluster.change_steadily(services, plan.popular_changes, plan.popular_rate_per_s),
    )


def run_few(stage: Stage) -> Result:
    """The same in services with a handful of followers."""
    plan = stage.plan
    services = followed(stage)[: plan.few_changes]
    return measure(
        stage, services, lambda: stage.cluster.change_steadily(services, plan.few_changes, plan.few_rate_per_s)
    )


def run_burst(stage: Stage) -> Result:
    """One change in every service with few followers, as fast as the API server takes them."""
    services = followed(stage)
    began = time.monotonic()
    result = measure(stage, services, lambda: stage.cluster.change_at_once(services))
    return {**result, "seconds": time.monotonic() - began}


def followed(stage: Stage) -> list[Service]:
    services = stage.cluster.services[stage.plan.popular_services :]
    return [service for service in services if service.canonical in stage.followers]


def run_stalled(stage: Stage) -> Result:
    """Changes in popular services while some sidecars read nothing: the others must not notice, nor memory."""
    plan, crew = stage.plan, stage.crew
    services = stage.cluster.services[: plan.popular_services]
    before_mb = stage.plane.memory_mb()
    crew.ask("stall", count=plan.stalled_sidecars)
    reading = {name: count - plan.stalled_sidecars for name, count in stage.followers.items()}
    result = measure(
        dataclasses.replace(stage, followers=reading),
        services,
        lambda: stage.cluster.change_steadily(services, plan.stalled_changes, plan.popular_rate_per_s),
    )
    held = stage.plane.metrics()["xds_unacknowledged"]
    after_mb = stage.plane.memory_mb()
    before = crew.ask("status")["responses"]
    crew.ask("resume")
    is_whole = wait_for_all(stage, services)
    return {
        **result,
        "stalled": plan.stalled_sidecars,
        "unacknowledged": held,
        "grown_mb": after_mb - before_mb,
        "caught_up": is_whole,
        "responses_to_catch_up": crew.ask("status")["responses"] - before,
    }


def wait_for_all(stage: Stage, services: Sequence[Service]) -> bool:
    """Whether all followers reach the newest state within a while."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        timelines = stage.crew.timelines()
        if all(timelines[s.canonical][-1].sidecars == stage.followers[s.canonical] for s in services):
            return True
        time.sleep(0.2)
    return False


def run_profile(stage: Stage) -> Result:
    """Where the control plane's time goes under changes in popular services; the profiler slows it."""
    plan = stage.plan
    services = stage.cluster.services[: plan.popular_services]
    seconds = plan.profile_changes / plan.popular_rate_per_s
    with record(stage.plane.pid, seconds) as profile:
        stage.cluster.change_steadily(services, plan.profile_changes, plan.popular_rate_per_s)
    return profile
