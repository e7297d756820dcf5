"""How soon an endpoint that has disappeared from the API gets no request any more: within a second, from any sidecar.

Service, slices and Pods are written by hand, so that one write is the event; the backends are processes on the node's
own address (the API refuses endpoints on loopback) that say when they saw each request. The time is that from the
beginning of the write, so with the API server's own, to the last request that the removed backend saw. Each sidecar
sends it one every 27 ms or so, so that it is known to that.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import pytest

from tests.cluster.client import Object, wait_until
from tests.cluster.netns import ADDRESS
from tests.cluster.node import Node
from tests.e2e.mesh.caller import WINDOW, Caller
from tests.e2e.mesh.site import Site

SERVICE = "witness"
PORTS = range(11_001, 11_005)
SIDECARS, ROUNDS = 3, 24
BOUND_S = 1.0
RATE = 150
SERVICE_OBJECT: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": SERVICE},
    "spec": {"ports": [{"name": "grpc", "port": 8080, "appProtocol": "kubernetes.io/h2c"}]},
}


def make_pod(port: int) -> Object:
    """A pod that nobody schedules: its process is ours."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{SERVICE}-{port}", "labels": {"app": SERVICE}},
        "spec": {"schedulerName": "tests", "containers": [{"name": "server", "image": "none"}]},
    }


def make_slice(pod: Object, port: int) -> Object:
    metadata = pod["metadata"]
    target = {"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
    endpoint = {"addresses": [ADDRESS], "conditions": {"ready": True}, "targetRef": target}
    labels = {"kubernetes.io/service-name": SERVICE, "endpointslice.kubernetes.io/managed-by": "tests"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{SERVICE}-{port}", "labels": labels},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": port}],
        "endpoints": [endpoint],
    }


class Endpoints:
    """A Service's endpoints, one for each port, each in a slice of its own; they can be taken away and put back."""

    def __init__(self, node: Node, namespace: str) -> None:
        self.node, self.client, self.namespace = node, node.client, namespace
        self.client.apply(SERVICE_OBJECT, namespace)
        self._slices = {port: self._make(port) for port in PORTS}

    def _make(self, port: int) -> Object:
        pod = self.client.create(make_pod(port), self.namespace)
        self.node.api.set_pod_status(pod["metadata"]["name"], self.namespace, ADDRESS)
        return self.put(make_slice(pod, port))

    def put(self, found: Object) -> Object:
        self.client.apply(found, self.namespace)
        return found

    def put_back(self, port: int) -> None:
        self.put(self._slices[port])

    # The ways in which an endpoint disappears

    def delete_slice(self, port: int) -> None:
        self.client.delete("EndpointSlice", f"{SERVICE}-{port}", self.namespace)

    def empty_slice(self, port: int) -> None:
        self.put(self._slices[port] | {"endpoints": []})

    def terminate(self, port: int) -> None:
        conditions = {"ready": False, "serving": True, "terminating": True}
        (endpoint,) = self._slices[port]["endpoints"]
        self.put(self._slices[port] | {"endpoints": [endpoint | {"conditions": conditions}]})


@pytest.fixture
def endpoints(node: Node) -> Iterator[Endpoints]:
    namespace = node.api.make_namespace("removal")
    yield Endpoints(node, namespace)
    node.client.delete("Namespace", namespace)


def is_used(caller: Caller, port: int) -> bool:
    """Whether it gets a fair part of the calls now: the lag of one that rests would be 0."""
    return [outcome.answered_by for outcome in caller.outcomes[-WINDOW:]].count(str(port)) > WINDOW // 10


def wait_used(callers: list[Caller]) -> int:
    """An endpoint that all use now. One that was slow by chance may rest for some seconds."""
    used: list[int] = []

    def find() -> bool:
        used[:] = [port for port in PORTS if all(is_used(caller, port) for caller in callers)]
        return bool(used)

    wait_until(find, "an endpoint that all use")
    return used[0]


def last_seen(caller: Caller, port: int) -> float:
    return max((outcome.seen_s for outcome in caller.outcomes if outcome.answered_by == str(port)), default=0.0)


def measure(remove: Callable[[int], None], port: int, callers: list[Caller]) -> list[float]:
    """Take the endpoint away, and watch for longer than the bound: the lag of each caller in seconds."""
    removed_s = time.monotonic()
    remove(port)
    watched_s = time.monotonic() + 1.2 * BOUND_S
    wait_until(lambda: all(caller.outcomes[-1].begun_s > watched_s for caller in callers), "the load to go on", 30)
    return [max(0.0, last_seen(caller, port) - removed_s) for caller in callers]


def test_a_removed_endpoint_gets_no_request_after_a_second(
    site: Site, endpoints: Endpoints, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.start("witness", sys.executable, "-m", "tests.e2e.mesh.witness", ADDRESS, *map(str, PORTS))
    name = f"{SERVICE}.{endpoints.namespace}.svc.cluster.local:8080"
    callers = [site.call(f"sidecar {i}", site.start_sidecar(), name, RATE) for i in range(SIDECARS)]
    for caller in callers:
        caller.wait_answers({str(port) for port in PORTS})
    ways = cycle((endpoints.delete_slice, endpoints.empty_slice, endpoints.terminate))
    lags_s: list[float] = []
    for remove in islice(ways, ROUNDS):
        port = wait_used(callers)
        lags_s += measure(remove, port, callers)
        endpoints.put_back(port)
    for caller in callers:
        caller.stop()
        assert caller.failures == []
    report(lags_s, tmp_path, capsys)
    assert len(lags_s) == ROUNDS * SIDECARS
    assert max(lags_s) < BOUND_S


def report(lags_s: list[float], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The figures, for who reads the run's output, and all of them in a file."""
    found = {"median": median(lags_s), "max": max(lags_s), "all": sorted(lags_s)}
    (folder / "removal.json").write_text(json.dumps(found))
    with capsys.disabled():
        print(f"\nremoval of an endpoint to its last request: median {found['median']:.3f} s, max {found['max']:.3f} s")
