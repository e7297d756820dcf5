"""Injected pods on a real node: kubelet, containerd, iptables, with the image of the Dockerfile.

All pods are made at once, since what takes time is waiting for the kubelet; each test looks at its own.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from injector.patch import Place, Settings, inject
from mesh.contract import ADMIN_PORT
from tests.cluster import mesh_image
from tests.cluster.client import Object, wait_until
from tests.cluster.configuration import BACKEND
from tests.cluster.netns import ADDRESS
from tests.cluster.node import Node
from tests.e2e.controlplane_process import PROGRAM

XDS, ADMIN = 11_150, 11_192
PORT, DEAF = 8080, 9999
ROOT = Path(__file__).resolve().parents[3]
CALL = """
import grpc, sys
with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
    channel.unary_unary("/e2e.Echo/unary")(b"x", timeout=20, wait_for_ready=True)
"""
THROUGH_THE_PROXY = """
import grpc, sys
options = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", sys.argv[1])]
with grpc.insecure_channel("127.0.0.1:4140", options=options) as channel:
    channel.unary_unary("/e2e.Echo/unary")(b"x", timeout=20, wait_for_ready=True)
"""
LATE, LATE_S = 7777, 10
# It listens so late, and for so long; it runs on in any case.
LISTENER = """
import socket, sys, time
late_s, for_s = map(float, sys.argv[1:])
time.sleep(late_s)
listening = socket.create_server(("", 7777))
time.sleep(for_s)
listening.close()
time.sleep(3600)
"""
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVES: dict[str, Any] = {"grpc": {"port": PORT}, "periodSeconds": 1}


class Stage(NamedTuple):
    node: Node
    namespace: str
    strict: str

    def find(self, kind: str, name: str) -> Object:
        return self.node.client.get(kind, name, self.strict if name == "explicit" else self.namespace)

    def is_ready(self, name: str) -> bool:
        conditions = self.find("Pod", name)["status"].get("conditions", [])
        return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)

    def wait_ready(self, name: str) -> str:
        """Its address, once it is ready."""
        try:
            wait_until(lambda: self.is_ready(name), f"{name} to be ready")
        except TimeoutError as error:
            pod = self.find("Pod", name)
            error.add_note(self.node.kubectl("describe", "pod", name, "--namespace", pod["metadata"]["namespace"]))
            raise
        return str(self.find("Pod", name)["status"]["podIP"])

    def ask(self, name: str, path: str) -> tuple[int, str]:
        """A page of the sidecar's admin port, as the kubelet asks it."""
        address = self.find("Pod", name)["status"]["podIP"]
        connection = http.client.HTTPConnection(address, ADMIN_PORT)
        connection.sock = self.node.open_socket(address, ADMIN_PORT)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def logs(self, name: str, container: str) -> str:
        pod = self.find("Pod", name)
        return self.node.kubectl("logs", name, "--container", container, "--namespace", pod["metadata"]["namespace"])


def make_pod(name: str, probe: Object | None = None, control_plane: str = "", **options: str) -> Object:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "containers": [
                {
                    "name": "backend",
                    "image": BACKEND,
                    "imagePullPolicy": "Never",
                    "readinessProbe": probe or SERVES,
                    "securityContext": RESTRICTED,
                }
            ]
        },
    }
    return injected(pod, control_plane, **options)


def injected(pod: Object, control_plane: str = "", **options: str) -> Object:
    defaults = {"proxy-image-pull-policy": "Never"} | {key.replace("_", "-"): said for key, said in options.items()}
    settings = Settings(control_plane or f"{ADDRESS}:{XDS}", defaults=defaults)
    return inject(pod, Place(is_asked=True), settings).after


def make_listener(name: str, late_s: int, for_s: int, probe: str) -> Object:
    """An application whose port is asked for by tcpSocket, which behind a proxy is open in any case."""
    container = {
        "name": "listener",
        "image": mesh_image.NAME,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", LISTENER, str(late_s), str(for_s)],
        probe: {"tcpSocket": {"port": LATE}, "periodSeconds": 1, "failureThreshold": 2},
        "securityContext": RESTRICTED,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return injected({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def make_job() -> Object:
    container = {
        "name": "work",
        "image": mesh_image.NAME,
        "imagePullPolicy": "Never",
        "command": ["mesh", "proxy", "--help"],
    }
    template = injected({"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [container]}})
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": {"template": template}}


def make_service(name: str) -> Object:
    ports = [{"name": "grpc", "port": PORT, "appProtocol": "grpc"}]
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def stage(node: Node) -> Iterator[Stage]:
    node.import_archive(mesh_image.build())
    where = ["--xds", f"{ADDRESS}:{XDS}", "--admin", f"{ADDRESS}:{ADMIN}", "--kubeconfig", str(node.kubeconfig)]
    command = [sys.executable, "-c", PROGRAM, "controlplane", "--source", "kubernetes", *where]
    plane = node.start_inside("plane-inject", *command, PYTHONPATH=str(ROOT))
    namespace, strict = node.api.make_namespace(), node.api.make_namespace()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    node.client.patch("Namespace", strict, {"metadata": {"labels": labels}})
    node.client.create(make_pod("native"), namespace)
    node.client.create(make_pod("plain", native_sidecar="false"), namespace)
    node.client.create(make_pod("explicit", interception="none"), strict)
    node.client.create(make_pod("alone", control_plane=f"{ADDRESS}:1"), namespace)
    node.client.create(make_pod("deaf", {"tcpSocket": {"port": DEAF}, "periodSeconds": 1}), namespace)
    node.client.create(make_listener("late", LATE_S, 3600, "readinessProbe"), namespace)
    node.client.create(make_listener("dying", 0, 3, "livenessProbe"), namespace)
    node.client.create(make_service("native"), namespace)
    node.client.create(make_job(), namespace)
    astray = make_pod("astray")
    astray["spec"]["hostNetwork"] = True
    node.client.create(astray, namespace)
    yield Stage(node, namespace, strict)
    for name in (namespace, strict):
        node.client.delete("Namespace", name)
    plane.stop()


@pytest.mark.parametrize("name", ["native", "plain"])
def test_a_pod_is_ready_and_called_through_its_sidecar(name: str, stage: Stage) -> None:
    address = stage.wait_ready(name)
    assert "new TCP connections from this pod go to port 4140" in stage.logs(name, "gossamer-init")
    stage.node.run(sys.executable, "-c", CALL, f"{address}:{PORT}")
    metrics = stage.ask(name, "/metrics")[1].splitlines()
    (line,) = (line for line in metrics if line.startswith('request_total{direction="inbound"'))
    assert float(line.rsplit(" ", 1)[1]) == 1
    assert "gossamer_control_connected 1" in metrics
    assert stage.ask(name, "/app-health/backend/readiness")[0] == 200


def test_without_interception_a_restricted_namespace_takes_it(stage: Stage) -> None:
    """Its application asks the sidecar itself; here the sidecar's own container has the client in it."""
    address = stage.wait_ready("explicit")
    stage.node.run(sys.executable, "-c", CALL, f"{address}:{PORT}")
    wait_until(lambda: "gossamer_control_connected 1" in stage.ask("explicit", "/metrics")[1], "its control plane")
    stage.wait_ready("native")
    service = f"native.{stage.namespace}.svc.cluster.local:{PORT}"
    inside = ("--namespace", stage.strict, "--container", "gossamer-proxy")
    stage.node.kubectl("exec", "explicit", *inside, "--", "python3", "-c", THROUGH_THE_PROXY, service)
    assert any(
        line.startswith("request_total{") and 'dst_service="native' in line
        for line in stage.ask("explicit", "/metrics")[1].splitlines()
    )


def test_a_pod_starts_without_the_control_plane(stage: Stage) -> None:
    address = stage.wait_ready("alone")
    stage.node.run(sys.executable, "-c", CALL, f"{address}:{PORT}")
    assert "gossamer_control_connected 0" in stage.ask("alone", "/metrics")[1]


def test_the_nodes_own_network_is_left_alone(stage: Stage) -> None:
    """Where hostNetwork comes after the injector, nothing would take the rules off the node again."""

    def ended() -> list[int]:
        found = stage.find("Pod", "astray")["status"].get("initContainerStatuses", [])
        states = [state for status in found for state in (status["state"], status.get("lastState", {}))]
        return [state["terminated"]["exitCode"] for state in states if "terminated" in state]

    wait_until(ended, "its init container to end")
    assert {*ended()} == {1}
    assert "this is the node's own network" in stage.logs("astray", "gossamer-init")
    assert "GOSSAMER" not in stage.node.run("iptables-save", "--table", "nat")


def test_the_sidecar_has_no_token_for_the_api(stage: Stage) -> None:
    stage.wait_ready("native")
    program = "import os; print(os.listdir('/var/run/secrets/kubernetes.io/serviceaccount'))"
    inside = ("--namespace", stage.namespace, "--container", "gossamer-proxy", "--", "python3", "-c", program)
    assert stage.node.kubectl("exec", "native", *inside).strip() == "[]"


def test_a_port_that_only_seems_open_is_not_ready(stage: Stage) -> None:
    wait_until(lambda: "backend" in running(stage.find("Pod", "deaf")), "the application to run")
    stage.node.open_socket(stage.find("Pod", "deaf")["status"]["podIP"], DEAF).close()  # as all ports do
    status, said = stage.ask("deaf", "/app-health/backend/readiness")
    assert status == 500, said
    assert not stage.is_ready("deaf")


def test_who_listens_late_is_not_ready_before(stage: Stage) -> None:
    stage.wait_ready("late")
    status = stage.find("Pod", "late")["status"]
    (begun,) = [found["state"]["running"]["startedAt"] for found in status["containerStatuses"]]
    (ready,) = [found["lastTransitionTime"] for found in status["conditions"] if found["type"] == "Ready"]
    # Both are cut to seconds.
    assert (datetime.fromisoformat(ready) - datetime.fromisoformat(begun)).total_seconds() >= LATE_S - 1


def test_who_no_longer_listens_is_restarted(stage: Stage) -> None:
    def restarts() -> int:
        found = stage.find("Pod", "dying")["status"].get("containerStatuses", [])
        return sum(status["restartCount"] for status in found)

    wait_until(restarts, "the kubelet to restart it")
    events = stage.node.kubectl("get", "events", "--namespace", stage.namespace, "--output", "wide")
    assert any("Liveness probe failed" in line and "dying" in line for line in events.splitlines())


def running(pod: Object) -> set[str]:
    return {found["name"] for found in pod["status"].get("containerStatuses", ()) if "running" in found["state"]}


def test_a_job_completes(stage: Stage) -> None:
    wait_until(lambda: stage.find("Job", "job")["status"].get("succeeded") == 1, "the job to complete")
