"""Starts of pods on a real node, in turns without and with the sidecar, which the webhook gives them; and its memory.

All pods are equal: a server in Go that listens at once, probed every second. So what differs is what the mesh adds:
the review, the init container with its rules, the sidecar's own start, and the probe by way of it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.process import rss_anon_kib
from mesh.contract import ENABLED, INJECT, PROXY_CONTAINER
from tests.cluster.client import wait_until
from tests.cluster.configuration import BACKEND
from tests.cluster.node import Node
from tests.cluster.workspace import find_cgroups

POD, PORT = "pod", 8080
CALLS = 5_000
PATIENCE_S = 300.0  # a machine that other work slows down gives slow figures, and no failure
LOAD = f"""
import grpc, sys
with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_http_proxy", 0)]) as channel:
    call = channel.unary_unary("/e2e.Echo/unary")
    for _ in range({CALLS} // 50):
        for future in [call.future(b"x" * 100, timeout=20, wait_for_ready=True) for _ in range(50)]:
            future.result()
"""
Object = dict[str, Any]


@dataclass
class Findings:
    """Seconds from apply to Ready, start by start; the sidecars' anonymous memory then, and that of one after calls."""

    plain_s: list[float] = field(default_factory=list)
    meshed_s: list[float] = field(default_factory=list)
    idle_kib: list[int] = field(default_factory=list)
    loaded_kib: int = 0


def measure(node: Node, starts: int) -> Findings:
    """The first turn is not counted: from the second on, layers and caches are warm."""
    plain, meshed = (node.api.make_namespace(kind) for kind in ("plain", "meshed"))
    node.client.patch("Namespace", meshed, {"metadata": {"labels": {INJECT: ENABLED}}})
    found = Findings()
    for number in range(starts + 1):
        # Who comes first in one turn is second in the next.
        seconds = {name: take_turn(found, node, name) for name in ((plain, meshed) if number % 2 else (meshed, plain))}
        if number:
            found.plain_s.append(seconds[plain])
            found.meshed_s.append(seconds[meshed])
            say(f"{number} of {starts}: {seconds[plain]:.2f} s without, {seconds[meshed]:.2f} s with the sidecar")
    found.loaded_kib = measure_loaded(node, meshed)
    return found


def take_turn(found: Findings, node: Node, namespace: str) -> float:
    """Seconds of one start."""
    seconds, pod = time_start(node, namespace)
    if namespace.startswith("meshed"):
        found.idle_kib.append(read_sidecar_kib(node, pod))
    elif has_sidecar(pod):
        raise BenchmarkError(f"the pod in {namespace} has a sidecar that nobody asked for")
    remove(node, namespace)
    return seconds


def make_pod() -> Object:
    container = {
        "name": "backend",
        "image": BACKEND,
        "imagePullPolicy": "Never",
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {"grpc": {"port": PORT}, "periodSeconds": 1},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": POD}, "spec": {"containers": [container]}}


def time_start(node: Node, namespace: str) -> tuple[float, Object]:
    """Seconds until the API says that it is ready, and the pod as it is then."""
    began = time.monotonic()
    node.client.apply(make_pod(), namespace)
    wait_until(
        lambda: is_ready(node.client.get("Pod", POD, namespace)),
        f"{namespace}/{POD} to be ready",
        PATIENCE_S,
        every_s=0.02,
    )
    return time.monotonic() - began, node.client.get("Pod", POD, namespace)


def remove(node: Node, namespace: str) -> None:
    """Its end is no part of the next start."""
    node.client.delete("Pod", POD, namespace, grace_s=1)
    wait_until(lambda: node.client.find("Pod", POD, namespace) is None, f"the end of {namespace}/{POD}")


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)


def has_sidecar(pod: Object) -> bool:
    return PROXY_CONTAINER in [container["name"] for container in pod["spec"].get("initContainers", ())]


def read_sidecar_kib(node: Node, pod: Object) -> int:
    """RssAnon of all processes in the sidecar's container, by its cgroup."""
    if not has_sidecar(pod):
        raise BenchmarkError("the injector gave the pod no sidecar; mesh check tells why")
    status = next(found for found in pod["status"]["initContainerStatuses"] if found["name"] == PROXY_CONTAINER)
    container = status["containerID"].rpartition("/")[2]
    lists = [cgroup / "cgroup.procs" for cgroup in find_cgroups(node.folder) if container in cgroup.parts]
    return rss_anon_kib(list({int(pid) for path in lists for pid in path.read_text().split()}))


def measure_loaded(node: Node, namespace: str) -> int:
    """Of one more pod, after calls through its sidecar."""
    _, pod = time_start(node, namespace)
    node.run(sys.executable, "-c", LOAD, f"{pod['status']['podIP']}:{PORT}", timeout_s=120)
    kib = read_sidecar_kib(node, pod)
    remove(node, namespace)
    return kib


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
