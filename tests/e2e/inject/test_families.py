"""The injected sidecar's admin port, which the kubelet asks at the first address of the pod, of whichever family."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import yaml

from injector.patch import Place, Settings, inject
from mesh.contract import ADMIN_PORT, PROXY_CONTAINER, PROXY_UID
from mesh.listening import EVERYWHERE
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, Process, eventually
from tests.e2e.transparent.scene import MESH
from tests.netns.network import Namespace, Network, Pod, require_namespaces

PORT = 8080
POD = f"""
metadata: {{name: web}}
spec: {{containers: [{{name: web, readinessProbe: {{httpGet: {{port: {PORT}}}, timeoutSeconds: 20}}}}]}}
"""
WITHOUT_IPV6 = [sys.executable, "-m", "tests.e2e.inject.without_ipv6"]
SWITCHED_OFF = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
CASES: dict[str, tuple[dict[int, str], str, list[str]]] = {
    "ipv6": ({6: "fd77::60"}, "", []),
    "both": ({4: "10.77.0.61", 6: "fd77::61"}, "", []),
    "ipv4": ({4: "10.77.0.62"}, SWITCHED_OFF, []),
    "kernel-without": ({4: "10.77.0.63"}, SWITCHED_OFF, WITHOUT_IPV6),
}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    require_namespaces()
    with Network() as made:
        yield made


def ask(where: Namespace, host: str, path: str, method: str = "GET") -> tuple[int, str]:
    """Status and text; 0 where nobody listens."""
    connection = http.client.HTTPConnection(host, ADMIN_PORT)
    try:
        connection.sock = where.connect((host, ADMIN_PORT))
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def start_sidecar(pod: Pod, address: str, launcher: list[str]) -> Process:
    """With the command line that the injector writes."""
    after = inject(yaml.safe_load(POD), Place(is_asked=True), Settings()).after
    container: dict[str, Any] = next(c for c in after["spec"]["initContainers"] if c["name"] == PROXY_CONTAINER)
    said = [f"{item['name']}={item['value']}" for item in container["env"] if "value" in item]
    said += [f"GOSSAMER_POD_IP={address}", "GOSSAMER_NAMESPACE=shop", "GOSSAMER_DRAIN_DELAY=0s"]
    command = container["command"][2:]
    at = command.index("--cache")  # a volume of the pod
    return pod.start(
        ["env", *said, *launcher, *proxy_process.command(), *command[:at], *command[at + 2 :]], PROXY_UID, PROXY_UID
    )


@pytest.mark.parametrize("case", CASES)
def test_whoever_may_ask_is_answered_at_each_address(case: str, network: Network) -> None:
    addresses, setting, launcher = CASES[case]
    pod = network.add_pod(case, addresses)
    if setting:
        pod.configure(setting)
    pod.run([*MESH, "proxy", "init"], check=True)
    with ExitStack() as stack:
        first, *_ = addresses.values()
        web = [sys.executable, "-m", "http.server", str(PORT), "--bind", first]
        stack.enter_context(pod.start(web))
        sidecar = stack.enter_context(start_sidecar(pod, first, launcher))
        for address in addresses.values():
            for path in ("/live", "/app-health/web/readiness"):
                eventually(lambda at=address, of=path: ask(network.node, at, of)[0] == 200, f"{path} at {address}")
            assert ask(network.node, address, "/drain", "POST")[0] == 403
        status, text = ask(pod, HOST, "/config")
        where = json.loads(text)["admin"] if status == 200 else text
        assert where == {"host": EVERYWHERE, "port": ADMIN_PORT}
        assert ask(pod, first, "/shutdown", "POST")[0] == 202
        assert sidecar.wait() == 0, sidecar.stderr
        assert not any(sign in sidecar.stderr for sign in proxy_process.ESCAPED), sidecar.stderr
