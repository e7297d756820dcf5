"""The kubelet's probes of a pod whose connections are led to its sidecar: asked for from the node, as the kubelet does.

To who connects from outside every port of the pod is open, since the sidecar accepts what is led to it. So the admin
port performs the probes, and these are led nowhere.
"""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import Process, eventually
from tests.e2e.transparent.scene import MESH
from tests.netns.network import Network, Pod, require_namespaces

HTTP, RAW, GRPC, NOBODY = 8080, 7000, 9000, 9999
WEB = [sys.executable, "-m", "http.server"]
HEALTH = f"""
import concurrent.futures, grpc, sys
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
servicer = health.HealthServicer()
servicer.set("voting", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
server.add_insecure_port("[::]:{GRPC}")
server.start()
server.wait_for_termination()
"""
APPLICATIONS = {"web": [*WEB, str(HTTP)], "raw": [*WEB, str(RAW)], "rpc": [sys.executable, "-c", HEALTH]}
PROBES = {
    "web": {"httpGet": {"port": HTTP, "path": "/"}, "timeoutSeconds": 10},
    "raw": {"tcpSocket": {"port": RAW}, "timeoutSeconds": 10},
    "rpc": {"grpc": {"port": GRPC, "service": "voting"}, "timeoutSeconds": 10},
    "nobody": {"tcpSocket": {"port": NOBODY}, "timeoutSeconds": 10},
}


class Probed:
    """A pod with a sidecar and, by and by, its applications."""

    def __init__(self, network: Network, stack: ExitStack) -> None:
        self.network = network
        self.stack = stack
        self.pod: Pod = network.add_pod("probed")
        self.address = self.pod.addresses[4]
        self.pod.run([*MESH, "proxy", "init"], check=True)
        told = {name: {"liveness": probe, "readiness": probe} for name, probe in PROBES.items()}
        names = [f"GOSSAMER_PROBES={json.dumps(told)}", f"GOSSAMER_POD_IP={self.address}"]
        options = ["--intercept", "--admin", f"0.0.0.0:{ADMIN_PORT}"]
        self.sidecar = self.start(["env", *names, *proxy_process.command(), *options], PROXY_UID)
        eventually(lambda: self.ask("/live", 0) == (200, "live\n"), "the sidecar")

    def start(self, argv: list[str], uid: int = 1000) -> Process:
        return self.stack.enter_context(self.pod.start(argv, uid, uid))

    def ask(self, path: str, otherwise: int | None = None) -> tuple[int, str]:
        """From the node, to the pod's address; with `otherwise`, instead of an error."""
        connection = http.client.HTTPConnection(self.address, ADMIN_PORT)
        try:
            connection.sock = self.network.node.connect((self.address, ADMIN_PORT))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            if otherwise is None:
                raise
            return otherwise, ""
        finally:
            connection.close()

    def is_healthy(self, name: str, kind: str = "readiness") -> bool:
        return self.ask(f"/app-health/{name}/{kind}")[0] == 200

    def count_inbound(self) -> float:
        """Connections that were led to the sidecar."""
        lines = self.ask("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_DETECTED))


_DETECTED = 'gossamer_detections_total{direction="inbound"'


@pytest.fixture(scope="module")
def probed() -> Iterator[Probed]:
    require_namespaces()
    with Network() as network, ExitStack() as stack:
        yield Probed(network, stack)


def until(check: Callable[[], bool], wanted: bool, what: str) -> None:
    eventually(lambda: check() is wanted, what, 60)


def test_every_port_seems_open_and_is_not(probed: Probed) -> None:
    with probed.network.node.connect((probed.address, NOBODY)):
        pass
    eventually(lambda: probed.count_inbound() > 0, "the sidecar to take that connection")
    status, text = probed.ask("/app-health/nobody/readiness")
    assert (status, text) == (500, f"TCP {probed.address}:{NOBODY}: connection refused\n")


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_comes_and_goes(probed: Probed, name: str) -> None:
    """Not ready before it listens, well while it does, dead when its listener is; and the sidecar lives on."""
    assert not probed.is_healthy(name)
    application = probed.start(APPLICATIONS[name])
    until(lambda: probed.is_healthy(name), True, f"{name} to be ready")
    assert probed.is_healthy(name, "liveness")
    application.kill()
    until(lambda: probed.is_healthy(name, "liveness"), False, f"{name} to be seen dead")
    assert probed.ask("/live")[0] == 200


def test_probes_are_led_nowhere(probed: Probed) -> None:
    before = probed.count_inbound()
    for name in PROBES:
        probed.is_healthy(name)
    assert probed.count_inbound() == before


def test_from_the_node_nothing_is_ended(probed: Probed) -> None:
    """What the kubelet can do is GET; a hook by `httpGet` is refused, and so is a POST from another address."""
    assert probed.ask("/drain") == (405, "/drain wants POST\n")
    assert probed.ask("/ready")[0] == 200
    assert probed.sidecar.running()
