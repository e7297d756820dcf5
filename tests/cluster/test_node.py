"""The tests' own node: real pods behind real Services, which follow their Deployment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import wait_until
from tests.cluster.node import MANIFESTS, Node, require_node
from tests.cluster.workspace import find_cgroups, find_contained, find_marked, remove

# Calls the backend so many times, each on a connection of its own, and prints the pods that answered.
CALLS = """
import sys, grpc
for _ in range(int(sys.argv[2])):
    with grpc.insecure_channel(sys.argv[1], options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        print(channel.unary_unary("/e2e.Echo/name")(b"", timeout=20, wait_for_ready=True).decode())
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A place of its own for the clusters of other processes; paths of unix sockets have to be short."""
    require_node()
    with tempfile.TemporaryDirectory(prefix="gsm-") as name:
        yield Path(name)
        for folder in Path(name).glob("*/node-*"):  # of a test that failed
            remove(folder)


def at(place: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(place)}


class Traces:
    """What there is of a cluster now, to see whether it is gone later."""

    def __init__(self, folder: Path) -> None:
        pids = find_contained(folder).union(find_marked(folder))
        self._paths = [*(Path(f"/proc/{pid}") for pid in pids), *find_cgroups(folder), folder]
        assert pids

    def expect_none(self) -> None:
        """Wait, since it is init that reaps processes whose parent is gone."""
        wait_until(lambda: not any(path.exists() for path in self._paths), f"all of {self._paths} to be gone")


def read_program(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]


@pytest.fixture(scope="module")
def backend(node: Node) -> str:
    """The namespace of a Deployment of two backends, ready."""
    namespace = node.api.make_namespace("backend")
    node.client.apply(MANIFESTS / "backend.yaml", namespace)
    node.wait_rollout("backend", namespace)
    return namespace


def call_backends(node: Node, target: str, count: int = 40) -> set[str]:
    return set(node.run(sys.executable, "-c", CALLS, target, str(count)).split())


def pod_names(node: Node, namespace: str) -> set[str]:
    pods = node.client.list("Pod", namespace)
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_service_spreads_connections_over_its_pods(node: Node, backend: str) -> None:
    address = node.client.get("Service", "backend", backend)["spec"]["clusterIP"]
    names = pod_names(node, backend)
    wait_until(lambda: call_backends(node, f"{address}:8080") == names, "both pods to answer")


def test_names_resolve_inside(node: Node, backend: str) -> None:
    address = node.client.get("Service", "backend", backend)["spec"]["clusterIP"]
    for name in (f"backend.{backend}", f"backend.{backend}.svc.cluster.local"):
        assert node.run("getent", "ahostsv4", name).split()[0] == address
    with pytest.raises(RuntimeError):
        node.run("getent", "ahostsv4", "example.org")


def test_deployment_is_scaled_and_rolled(node: Node, backend: str) -> None:
    before = pod_names(node, backend)
    node.kubectl("scale", "deployment/backend", "--replicas=4", "--namespace", backend)
    node.wait_rollout("backend", backend)
    scaled = pod_names(node, backend)
    assert len(scaled) == 4
    assert before < scaled
    wait_until(lambda: call_backends(node, f"dns:backend.{backend}:8080") == scaled, "all four pods to answer")
    node.kubectl("rollout", "restart", "deployment/backend", "--namespace", backend)
    node.wait_rollout("backend", backend)
    rolled = pod_names(node, backend)
    assert rolled.isdisjoint(scaled)
    wait_until(lambda: call_backends(node, f"backend.{backend}:8080") == rolled, "only new pods to answer")


def test_logs_are_read_from_the_kubelet(node: Node, backend: str) -> None:
    pod = min(pod_names(node, backend))
    assert f"{pod} serves on" in node.kubectl("logs", pod, "--namespace", backend)


def test_nothing_leaves_the_node(node: Node) -> None:
    with pytest.raises(OSError, match=r"No route|unreachable|timed out"):
        node.open_socket("192.0.2.1", 80)


def test_make_cluster_leaves_one_running_until_it_is_taken_down(short_tmp: Path) -> None:
    def call(*command: str | Path) -> str:
        return subprocess.run(
            command, cwd=ROOT, env=at(short_tmp), check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    said = call(sys.executable, "-m", "tests.cluster", "up")
    enter = next(short_tmp.glob("*/*/enter"))
    assert str(enter) in said
    call(enter, "kubectl", "apply", "-f", (MANIFESTS / "backend.yaml").relative_to(ROOT))
    call(enter, "kubectl", "rollout", "status", "deployment/backend", "--timeout=60s")
    assert "runs already" in call(sys.executable, "-m", "tests.cluster", "up")
    assert [read_program(pid) for pid in find_contained(enter.parent)] == ["/backend"] * 4, "two pods"
    traces = Traces(enter.parent)
    call(sys.executable, "-m", "tests.cluster", "down")
    traces.expect_none()
