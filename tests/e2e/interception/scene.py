"""Two meshed pods, a plain one and an address outside of the cluster, all with applications that say who they are.

In a meshed pod the rules are what `mesh proxy init` writes, and a station runs as the sidecar's user where the sidecar
will: 4140 on the loopback addresses, 4143 and 4191 on all of them.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import Self

from tests.e2e.processes import ROOT, Process
from tests.netns.network import Namespace, Network, Pod
from tests.netns.station import Record, ask

PROXY = 2102
MESH = (sys.executable, "-c", "import sys; from mesh.cli import main; sys.exit(main())")
STATION = (sys.executable, str(ROOT / "tests" / "netns" / "station.py"))
PORT, OTHER_PORT = 8080, 9000  # of every application
SHOP = {4: "10.96.0.10", 6: "fd96::10"}  # a Service whose only pod is the server
OWN = {4: "10.96.0.11", 6: "fd96::11"}  # one whose only pod is the client
OUTSIDE = {4: "198.51.100.7", 6: "2001:db8::7"}


def init(pod: Namespace, *options: str) -> subprocess.CompletedProcess[str]:
    """`mesh proxy init` in the pod; it must succeed."""
    return pod.run([*MESH, "proxy", "init", *options], check=True)


def read_rules(pod: Namespace, backend: str) -> dict[str, list[str]]:
    """All that stands in the pod's tables, of both versions of IP, without what changes by itself."""
    return {
        family: [
            line.partition(" [")[0]
            for line in pod.configure(f"{family}-{backend}-save").splitlines()
            if not line.startswith("#")
        ]
        for family in ("iptables", "ip6tables")
    }


def names(records: list[Record]) -> list[str]:
    return [record["name"] for record in records]


def trace(
    pod: Namespace, address: str, port: int = PORT, uid: int = 1000, gid: int = 1000, line: str = "onward"
) -> list[Record]:
    """Whom a connection from the pod reaches, one after the other."""
    with pod.connect((address, port), uid, gid) as connection:
        return ask(connection, line)


class Scene:
    """Everything that a test of interception needs, for one of the kernel's two kinds of tables."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._stack = ExitStack()
        self.network = self._stack.enter_context(Network())
        self.client, self.server, self.plain = (self.network.add_pod(name) for name in ("client", "server", "plain"))
        self.outside = self.network.add_pod("outside", OUTSIDE)
        self.network.add_service(SHOP, 80, [self.server], PORT)
        self.network.add_service(OWN, 80, [self.client], PORT)
        stations = [self._start_application(pod) for pod in self.network.pods]
        stations += [self._start_proxy(pod) for pod in (self.client, self.server)]
        for station in stations:
            assert station.read_line() == "ready", station.stderr
        for pod in (self.client, self.server):
            self.mesh(pod)

    def mesh(self, pod: Pod, *options: str) -> None:
        init(pod, f"--backend={self.backend}", *options)

    def _start_application(self, pod: Pod) -> Process:
        addresses = (f"{host}:{port}" for host in ("0.0.0.0", "::") for port in (PORT, OTHER_PORT))
        return self._stack.enter_context(pod.start([*STATION, pod.name, *addresses]))

    def _start_proxy(self, pod: Pod) -> Process:
        addresses = (
            "127.0.0.1:4140",
            "::1:4140",
            *(f"{host}:{port}" for host in ("0.0.0.0", "::") for port in (4143, 4191)),
        )
        return self._stack.enter_context(pod.start([*STATION, f"{pod.name}-proxy", *addresses], PROXY, PROXY))

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
