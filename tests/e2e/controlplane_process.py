"""The control plane as its users run it: `mesh controlplane` in a process of its own, over a directory of manifests.

`with` ends it by SIGTERM and asserts what must hold after every run: exit code 0 and no traceback on stderr.
"""

from __future__ import annotations

import http.client
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.e2e.processes import HOST, Process, eventually

STOP_S = 30.0
ESCAPED = ("Traceback (most recent call last)", "was never retrieved", "was never awaited", "bug:")
PROGRAM = "import sys; from mesh.cli import main; sys.exit(main())"
STARTED = re.compile(r"serving xDS on \S+:(\d+), admin on \S+:(\d+)")


def write_service(directory: Path, name: str, addresses: Sequence[str], port: int = 8080) -> None:
    """A Service of the namespace `demo` and its EndpointSlice, put in place at once."""
    endpoints = "".join(f"\n- {{addresses: ['{address}'], conditions: {{ready: true}}}}" for address in addresses)
    text = f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec: {{clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4], ports: [{{name: grpc, port: {port}, protocol: TCP}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: demo, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: grpc, port: {port}, protocol: TCP}}]
endpoints: {"[]" if not addresses else endpoints}
"""
    path = directory / f"{name}.yaml"
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(path)


def write_backends(directory: Path, name: str, addresses: Sequence[str], port: int = 8080) -> None:
    """The same for processes of this host: each `IP:PORT` is a pod with a slice of its own."""
    text = f"""\
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec: {{clusterIP: None, clusterIPs: [None], ipFamilies: [IPv4], ports: [{{name: grpc, port: {port}, protocol: TCP}}]}}
"""
    for i, address in enumerate(addresses):
        host, _, target_port = address.rpartition(":")
        text += f"""\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-{i}, namespace: demo, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: grpc, port: {target_port}, protocol: TCP}}]
endpoints:
- addresses: ['{host}']
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, namespace: demo, name: {name}-{target_port}, uid: {name}-{target_port}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}-{target_port}, namespace: demo, uid: {name}-{target_port}}}
spec: {{nodeName: here, containers: []}}
status: {{phase: Running, podIP: {host}, podIPs: [{{ip: {host}}}]}}
"""
    path = directory / f"{name}.yaml"
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(path)


def run_to_end(*options: str, timeout_s: float = 30) -> tuple[int, str, str]:
    """Run it with options that make it end by itself: exit code, stdout, stderr."""
    with Process([sys.executable, "-c", PROGRAM, "controlplane", *options]) as process:
        code = process.wait(timeout_s)
        assert process.popen.stdout is not None
        return code, process.popen.stdout.read().decode(), process.stderr


class ControlPlane(Process):
    """A running control plane; `address` is where xDS clients connect."""

    def __init__(self, directory: Path, *options: str, xds: str = f"{HOST}:0") -> None:
        where = ["--source", f"files:{directory}", "--xds", xds, "--admin", f"{HOST}:0"]
        super().__init__([sys.executable, "-c", PROGRAM, "controlplane", *where, *options])
        self.port = self.admin_port = 0

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def wait_started(self, path: str = "/ready") -> Self:
        eventually(lambda: not self.running() or STARTED.search(self.stderr) is not None, "its ports", 30)
        found = STARTED.search(self.stderr)
        assert found is not None, self.stderr
        self.port, self.admin_port = int(found[1]), int(found[2])
        eventually(lambda: self.get(path)[0] == 200, f"{path}: {self.stderr}", 30)
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the admin port."""
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, line_start: str) -> float:
        """The sum of the samples whose line begins so."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def stop(self) -> None:
        self.signal(signal.SIGTERM)
        code = self.wait(STOP_S)
        assert code == 0, f"exit code {code}; stderr:\n{self.stderr}"

    def __enter__(self) -> Self:
        try:
            return self.wait_started()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self.running():
                self.stop()
            for sign in ESCAPED:
                assert sign not in self.stderr, self.stderr
        finally:
            self.close()
