"""Scenarios in which all comes at once: every sidecar connects, the API is listed anew, the control plane restarts."""

from __future__ import annotations

import dataclasses
import time

from benchmarks.errors import BenchmarkError
from benchmarks.scale import manifests
from benchmarks.scale.changes import measure
from benchmarks.scale.stage import Result, Stage, say


def run_start(stage: Stage) -> Result:
    """All sidecars connect at once and know nothing."""
    crew, plan = stage.crew, stage.plan
    with stage.cost() as cost:
        began = time.monotonic()
        crew.ask("start")
        status = crew.wait(lambda found: bool(found["complete"] == plan.sidecars), "every sidecar has everything")
    return {
        "cost": dataclasses.asdict(cost),
        "seconds": status["completed_s"] - began,
        "rest_mb": rest_mb(stage),
    }


def rest_mb(stage: Stage) -> float:
    """What is held once nothing happens any more."""
    time.sleep(3)
    return stage.plane.memory_mb()


def run_relist(stage: Stage) -> Result:
    """The API server is killed, its history forgotten (410 for everyone), and started: all is listed anew."""
    api, plane = stage.api, stage.plane
    before = plane.samples("source_relists_total")
    # So that every version that is watched lies before what is forgotten.
    api.client.create(manifests.make_namespace("later"))
    with stage.cost() as cost:
        api.compact()
        api.server.kill()
        killed_s = time.monotonic()
        api.server.start()
        api.wait_ready()
        ready_s = time.monotonic()
        while plane.staleness_s() > time.monotonic() - killed_s:
            if time.monotonic() > ready_s + 90:
                raise BenchmarkError("the control plane did not read everything anew within 90 s")
            time.sleep(0.1)
        read_s = time.monotonic()
    relists = plane.samples("source_relists_total")
    return {
        "cost": dataclasses.asdict(cost),
        "relists": {labels: count for labels, count in relists.items() if count != before.get(labels)},
        "seconds_after_ready": read_s - ready_s,
        "next_change": probe(stage),
    }


def run_reconnect(stage: Stage) -> Result:
    """The control plane is killed and started; every sidecar comes back and names the versions that it has."""
    crew, plane, plan = stage.crew, stage.plane, stage.plan
    names = sum(stage.followers.values()) * 4
    before = crew.ask("status")
    plane.kill()
    crew.wait(lambda found: found["connected"] == 0, "the sidecars see that it is gone")
    with plane.peak() as peak:
        started_s = time.monotonic()
        plane.start()
        ready_s = plane.wait_ready()
        status = crew.wait(lambda found: bool(found["introduced"] == plan.sidecars), "all sidecars are back")
        while plane.metrics()["xds_subscriptions"] < names:
            if time.monotonic() > ready_s + 60:
                raise BenchmarkError("the control plane does not know all subscriptions within 60 s")
            time.sleep(0.1)
        subscribed_s = time.monotonic()
        cpu_s = plane.cpu_s()
    metrics, after = plane.metrics(), crew.ask("status")
    return {
        "ready_s": ready_s - started_s,
        "back_after_ready_s": status["introduced_s"] - ready_s,
        "subscribed_after_ready_s": subscribed_s - ready_s,
        "cpu_s": cpu_s,
        "sidecars_cpu_s": after["cpu_s"] - before["cpu_s"],
        "pushes": metrics.get("xds_pushes_total", 0.0),
        "push_bytes": metrics.get("xds_push_bytes_total", 0.0),
        "received_bytes": after["received_bytes"] - before["received_bytes"],
        "peak_mb": peak[0],
        "next_change": probe(stage),
        "rest_mb": rest_mb(stage),
    }


def probe(stage: Stage) -> Result:
    """One change that everyone must hear of: it shows that all is well again."""
    service = stage.cluster.services[0]
    result = measure(stage, [service], lambda: stage.cluster.change_steadily([service], 1, 1.0))
    say(f"a change reaches all after {result['since_event_ms']['max']:.0f} ms")
    return result
