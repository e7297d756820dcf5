"""Reviews of the injector: how long they take, and what they add to the creation of a pod; on a real kube-apiserver.

`python -m benchmarks.injector`: under a minute. Reviews come over TLS on as many connections as an API server keeps,
each at its time (an open loop: who waits is counted from when it should have been sent). Their pods are as the API
server has them: with defaults, and with what it adds about who made them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from benchmarks.machine import parse_cpu_model
from mesh.contract import OUR_ANNOTATIONS
from tests.cluster.api_server import ApiServer
from tests.e2e.injector.process import Injector
from tests.e2e.injector.stage import Stage, has_sidecar, make_pod

GOAL_P99_MS = 10.0
CONNECTIONS = 25  # that client-go keeps to a host
LOADS = (10, 100, 300)  # reviews a second
CREATED = 300


def make_large_pod() -> dict[str, Any]:
    """Six containers with probes, ports and environment, as large charts have them."""
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5}
    environment = [{"name": f"VARIABLE_{number}", "value": "some text of a usual length"} for number in range(40)]
    containers = [
        {
            "name": f"app-{number}",
            "image": "none",
            "ports": [{"name": "http", "containerPort": 8000 + number}],
            "env": environment,
            "livenessProbe": probe,
            "readinessProbe": probe,
        }
        for number in range(6)
    ]
    for container in containers[1:]:
        del container["ports"][0]["name"]  # type: ignore[index]
        for name in ("livenessProbe", "readinessProbe"):
            container[name] = {"tcpSocket": {"port": 8001}}
    pod = make_pod("large", annotations={f"{OUR_ANNOTATIONS}skip-outbound-ports": "25,587"})
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def make_reviews(stage: Stage, namespace: str) -> list[bytes]:
    """As the API server sends them; the pods with its defaults."""
    path = f"/api/v1/namespaces/{stage.make_namespace(is_meshed=False)}/pods?dryRun=All"
    pods = [stage.client.request("POST", path, pod) for pod in (make_pod("small"), make_large_pod())]
    return [make_review(pod, namespace) for pod in pods]


def make_review(pod: dict[str, Any], namespace: str) -> bytes:
    request = {
        "uid": str(uuid4()),
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": {**pod, "metadata": {**pod["metadata"], "namespace": namespace}},
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}).encode()


async def send(url: str, authorities: str, reviews: Sequence[bytes], rate: int, seconds: float) -> list[float]:
    """Milliseconds of each."""
    context = ssl.create_default_context(cadata=authorities)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(number: int, due: float) -> float:
            await asyncio.sleep(due - time.perf_counter())
            headers = {"Content-Type": "application/json"}
            async with session.post(url, data=reviews[number % len(reviews)], headers=headers) as answer:
                body = await answer.json()
            if not body["response"].get("patch"):
                raise RuntimeError(f"a review without a patch: {body}")
            return (time.perf_counter() - due) * 1000

        begin = time.perf_counter() + 0.1
        await asyncio.gather(*(post(number, begin) for number in range(CONNECTIONS)))  # connections, not measured
        begin = time.perf_counter() + 0.1
        times = (begin + number / rate for number in range(int(rate * seconds)))
        return await asyncio.gather(*(post(number, due) for number, due in enumerate(times)))


def create(stage: Stage, namespace: str, prefix: str, is_meshed: bool) -> list[float]:
    """Milliseconds of each creation, one after the other."""
    found = []
    for number in range(CREATED):
        began = time.perf_counter()
        pod = stage.client.create(make_pod(f"{prefix}-{number}"), namespace)
        found.append((time.perf_counter() - began) * 1000)
        if has_sidecar(pod) is not is_meshed:
            raise RuntimeError(f"pod {number} of {namespace} is not as it should be")
    return found


def describe(name: str, times_ms: Sequence[float]) -> str:
    p50, p99 = statistics.median(times_ms), statistics.quantiles(times_ms, n=100)[98]
    return f"| {name} | {len(times_ms)} | {p50:.2f} | {p99:.2f} | {max(times_ms):.2f} |"


def read_cpu_s(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def measure(stage: Stage, injector: Injector, seconds: float) -> None:
    namespace = stage.make_namespace()
    url, authorities = f"https://127.0.0.1:{injector.port}/mutate", stage.bundles()[0]
    reviews = make_reviews(stage, namespace)
    print(f"{parse_cpu_model(Path('/proc/cpuinfo').read_text())}; reviews of {[len(body) for body in reviews]} bytes\n")
    print("| what | count | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|")
    worst_ms = 0.0
    for rate in LOADS:
        before_s = read_cpu_s(injector.popen.pid)
        times_ms = asyncio.run(send(url, authorities, reviews, rate, seconds))
        cpu_ms = (read_cpu_s(injector.popen.pid) - before_s) * 1000 / len(times_ms)
        worst_ms = max(worst_ms, statistics.quantiles(times_ms, n=100)[98])
        print(describe(f"review, {rate}/s ({cpu_ms:.2f} ms of CPU each)", times_ms))
    plain = stage.make_namespace(is_meshed=False)
    for prefix in ("first", "second"):  # in turns, so that both see the same machine
        print(describe(f"create a pod, not meshed, {prefix} run", create(stage, plain, prefix, False)))
        print(describe(f"create a pod, meshed, {prefix} run", create(stage, namespace, prefix, True)))
    print(f"\nresident (anonymous): {read_resident_kib(injector.popen.pid) / 1024:.1f} MiB")
    print(f"goal: p99 of a review under {GOAL_P99_MS:g} ms: {'met' if worst_ms < GOAL_P99_MS else 'NOT met'}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.injector", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each load; default: %(default)s")
    options = parser.parse_args()
    with ApiServer() as api:
        stage = Stage(api)
        stage.configure()
        with stage.start() as injector:
            measure(stage, injector.wait_ready(), options.seconds)


if __name__ == "__main__":
    main()
