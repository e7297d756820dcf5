"""The cluster's objects in a real API server, and the changes that are made to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from benchmarks.scale import manifests
from benchmarks.scale.plan import Plan, Service, make_services, name_namespace, name_node, name_zone, pod_address
from benchmarks.scale.timeline import Change
from benchmarks.scale.watch import SliceTimes
from tests.cluster.api_server import ApiServer

WRITERS = 12
Value = TypeVar("Value")
Result = TypeVar("Result")
Written = tuple[Change, str, str]  # the change without its event, the slice, and its version


class Cluster:
    """`fill` first; then `change` takes one endpoint out of a service and puts the one taken before back."""

    def __init__(self, api: ApiServer, plan: Plan) -> None:
        self.api, self.plan = api, plan
        self.services = make_services(plan)
        self._uids: dict[int, list[str]] = {}
        self._missing: dict[int, int] = {}

    def fill(self, say: Callable[[str], None]) -> dict[str, float]:
        """Create everything; the result is the seconds that each kind took."""
        client, plan, taken = self.api.client, self.plan, {}
        nodes = [(name_node(number), name_zone(plan, number)) for number in range(plan.nodes)]
        pods = [(service, service.first_pod + at) for service in self.services for at in range(service.endpoints)]

        def create_namespace(number: int) -> None:
            client.create(manifests.make_namespace(name_namespace(number)))

        def create_node(node: tuple[str, str]) -> None:
            self.api.add_node(*node)

        def create_service(service: Service) -> None:
            client.create(manifests.make_service(service))

        def create_slice(service: Service) -> None:
            client.create(manifests.make_slice(plan, service, self._uids[service.number]))

        def take(kind: str, make: Callable[[Any], Result], items: Sequence[Any]) -> list[Result]:
            began = time.monotonic()
            made = in_parallel(make, items)
            taken[kind] = round(time.monotonic() - began, 1)
            say(f"{len(items)} {kind} created in {taken[kind]:.0f} s")
            return made

        take("namespaces", create_namespace, range(plan.namespaces))
        take("nodes", create_node, nodes)
        take("services", create_service, self.services)
        uids = take("pods", self._create_pod, pods)
        for (service, _), uid in zip(pods, uids, strict=True):
            self._uids.setdefault(service.number, []).append(uid)
        take("endpointslices", create_slice, self.services)
        return taken

    def _create_pod(self, place: tuple[Service, int]) -> str:
        service, number = place
        pod = manifests.make_pod(self.plan, service, number)
        uid = str(self.api.client.create(pod)["metadata"]["uid"])
        status = manifests.make_pod_status(pod_address(number))
        self.api.client.patch("Pod", pod["metadata"]["name"], status, service.namespace, subresource="status")
        return uid

    def change(self, service: Service) -> Written:
        """One endpoint less, and the one that was missing back."""
        missing = (self._missing.get(service.number, -1) + 1) % service.endpoints
        self._missing[service.number] = missing
        endpoints = manifests.make_endpoints(self.plan, service, self._uids[service.number], missing)
        name, sent_s = manifests.slice_name(service), time.monotonic()
        written = self.api.client.patch("EndpointSlice", name, {"endpoints": endpoints}, service.namespace)
        addresses = frozenset(manifests.ready_addresses(written))
        change = Change(service.canonical, addresses, sent_s, time.monotonic(), 0.0)
        return change, name, str(written["metadata"]["resourceVersion"])

    def change_steadily(self, services: Sequence[Service], count: int, rate_per_s: float) -> list[Written]:
        """Take turns among the services, at this rate."""
        began = time.monotonic()
        written = []
        for number in range(count):
            time.sleep(max(0.0, began + number / rate_per_s - time.monotonic()))
            written.append(self.change(services[number % len(services)]))
        return written

    def change_at_once(self, services: Sequence[Service]) -> list[Written]:
        """Each of them once, as fast as the API server takes it."""
        return in_parallel(self.change, services)


def in_parallel(act: Callable[[Value], Result], values: Iterable[Value]) -> list[Result]:
    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(act, values))


def add_events(written: Iterable[Written], times: SliceTimes) -> list[Change]:
    """The changes, with the time when a watch showed them."""
    return [
        Change(change.service, change.addresses, change.sent_s, change.returned_s, times.find(name, version))
        for change, name, version in written
    ]
