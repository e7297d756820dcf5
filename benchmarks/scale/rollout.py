"""Scenario: a rolling restart of a large Deployment that all sidecars follow, by the real controllers."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable
from typing import Any

from benchmarks.scale import manifests
from benchmarks.scale.figures import distribution
from benchmarks.scale.kubelet import Kubelet
from benchmarks.scale.manifests import ROLLED
from benchmarks.scale.plan import PORT, canonical, name_node, pod_address
from benchmarks.scale.stage import SLICES, Result, Stage, say
from benchmarks.scale.timeline import Step, find_appearance, find_disappearance
from benchmarks.scale.watch import Watch
from tests.cluster.client import wait_until

# Only what a rolling restart needs: no garbage collector, for our pods name owners that do not exist.
CONTROLLERS = "--controllers=deployment-controller,replicaset-controller,endpointslice-controller"
ALIAS = f"{ROLLED}.{ROLLED}:{PORT}"


class ReadyTimes:
    """When each address of the Service was first seen ready, and when no longer, by the events of its slices."""

    def __init__(self) -> None:
        self.appeared: dict[str, float] = {}
        self.disappeared: dict[str, float] = {}
        self.events = 0
        self._slices: dict[str, set[str]] = {}

    def __call__(self, kind: str, item: dict[str, Any], came_s: float) -> None:
        self.events += 1
        before = self.ready()
        self._slices[item["metadata"]["name"]] = set() if kind == "DELETED" else manifests.ready_addresses(item)
        after = self.ready()
        for address in after - before:
            self.appeared.setdefault(address, came_s)
        for address in before - after:
            self.disappeared[address] = came_s

    def start(self, items: Iterable[dict[str, Any]]) -> None:
        """The slices that are there already."""
        self._slices = {item["metadata"]["name"]: manifests.ready_addresses(item) for item in items}

    def ready(self) -> set[str]:
        return set().union(*self._slices.values())


def run_rollout(stage: Stage) -> Result:
    plan, api = stage.plan, stage.api
    command = [flag for flag in api.controllers.command if not flag.startswith("--controllers=")]
    api.controllers.command = [*command, CONTROLLERS]
    api.controllers.start()
    nodes = [name_node(number) for number in range(plan.nodes)]
    first = plan.endpoints + 1
    api.client.create(manifests.make_namespace(ROLLED))
    with Kubelet(api, ROLLED, nodes, lambda number: pod_address(first + number)):
        api.client.create(manifests.make_rolled_service())
        api.client.create(manifests.make_deployment(plan.replicas))
        wait_rolled(stage)
        follow(stage)
        return roll(stage)


def wait_rolled(stage: Stage) -> None:
    """All replicas are of the newest template and available, and the slices say so."""
    replicas = stage.plan.replicas

    def is_rolled() -> bool:
        found = stage.api.client.get("Deployment", ROLLED, ROLLED)
        status = found.get("status", {})
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        is_seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return is_seen and counts == [replicas] * 3 and len(ready_now(stage)) == replicas

    wait_until(is_rolled, f"{replicas} pods of the Deployment to be ready", within_s=400, every_s=0.5)
    say(f"{replicas} pods of the Deployment are ready")


def list_slices(stage: Stage) -> list[dict[str, Any]]:
    return stage.api.client.list("EndpointSlice", ROLLED)


def ready_now(stage: Stage) -> set[str]:
    return set().union(*(manifests.ready_addresses(item) for item in list_slices(stage)))


def follow(stage: Stage) -> None:
    stage.crew.ask("follow", alias=ALIAS)
    sidecars = stage.plan.sidecars
    stage.crew.wait(lambda found: bool(found["complete"] == sidecars), "all sidecars follow the Deployment")
    time.sleep(2)
    stage.track([canonical(ALIAS)])


def roll(stage: Stage) -> Result:
    times = ReadyTimes()
    times.start(list_slices(stage))
    old = times.ready()
    restart = {"spec": {"template": {"metadata": {"annotations": {"restartedAt": "now"}}}}}
    with Watch(stage.api, SLICES.replace("v1/", f"v1/namespaces/{ROLLED}/"), times), stage.cost() as cost:
        began = time.monotonic()
        stage.api.client.patch("Deployment", ROLLED, restart, ROLLED)
        wait_rolled(stage)
        took_s = time.monotonic() - began
        steps = wait_arrived(stage, ready_now(stage))
    return {
        "replicas": stage.plan.replicas,
        "seconds": took_s,
        "slice_events": times.events,
        "versions": len(steps) - 1,
        "responses_per_sidecar": cost.responses / stage.plan.sidecars,
        "cost": dataclasses.asdict(cost),
        **rollout_lags(times, steps, old, stage.plan.sidecars),
    }


def wait_arrived(stage: Stage, final: set[str]) -> list[Step]:
    def steps() -> list[Step]:
        return stage.crew.timelines()[canonical(ALIAS)]

    def has_arrived() -> bool:
        last = steps()[-1]
        return last.addresses == final and last.sidecars == stage.plan.sidecars

    wait_until(has_arrived, "every sidecar to have the last state", every_s=0.5)
    return steps()


def rollout_lags(times: ReadyTimes, steps: list[Step], old: set[str], sidecars: int) -> Result:
    """From the watch event to the last sidecar, for each pod that came and each that went."""
    base = [dataclasses.replace(steps[0], addresses=frozenset(old)), *steps[1:]]
    added = [(came_s, find_appearance(base, address)) for address, came_s in times.appeared.items()]
    removed = [(gone_s, find_disappearance(base, address)) for address, gone_s in times.disappeared.items()]
    lost = sum(step is None or step.sidecars < sidecars for _, step in itertools.chain(added, removed))
    return {
        "lost": lost,
        "added_ms": distribution([max(0.0, step.last_s - came_s) * 1e3 for came_s, step in added if step]),
        "removed_ms": distribution([max(0.0, step.last_s - gone_s) * 1e3 for gone_s, step in removed if step]),
    }
