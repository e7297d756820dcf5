"""A control plane over the node's Kubernetes, and the clients that follow it: all of them processes inside the node.

Ports are given out by us: the network inside is the node's alone, and these are below those of outgoing connections.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks.toolchain import envoy_binary
from tests.cluster.client import wait_until
from tests.cluster.node import Node
from tests.cluster.part import Part
from tests.e2e import proxy_process
from tests.e2e.controlplane_process import ESCAPED, PROGRAM
from tests.e2e.mesh.caller import Caller
from tests.e2e.processes import HOST, ROOT

_ports = itertools.count(12_000)
HTTP2 = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}


class Site:
    """`with Site(node) as site:` runs the control plane; `start_*` and `call` add to it. All of it ends together."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder = node, folder
        self._parts: list[Part] = []
        self._own: list[Part] = []
        self.xds, self.admin = next(_ports), next(_ports)

    def __enter__(self) -> Self:
        source = ["--source", "kubernetes", "--kubeconfig", str(self.node.kubeconfig)]
        where = ["--xds", f"{HOST}:{self.xds}", "--admin", f"{HOST}:{self.admin}"]
        plane = self.start("plane", sys.executable, "-c", PROGRAM, "controlplane", *source, *where)
        self._own.append(plane)
        self._wait_ready(plane, self.admin, "/ready")
        return self

    def __exit__(self, *exc_info: object) -> None:
        for part in reversed(self._parts):
            part.stop()
        for part in self._own:
            text = part.log.read_text()
            for sign in (*ESCAPED, *proxy_process.ESCAPED):
                assert sign not in text, text

    def start(self, name: str, *command: str | Path, **environment: str) -> Part:
        """Start a program of the checkout inside the node."""
        name = f"{name}-{next(_ports)}"
        part = self.node.start_inside(name, *command, PYTHONPATH=str(ROOT), **environment)
        self._parts.append(part)
        return part

    def get(self, port: int, path: str) -> tuple[int, str]:
        """Status and body of a page that is served inside."""
        connection = http.client.HTTPConnection(HOST, port)
        connection.sock = self.node.open_socket(HOST, port)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def _wait_ready(self, part: Part, port: int, path: str) -> None:
        def is_ready() -> bool:
            part.check()
            try:
                return self.get(port, path)[0] == 200
            except OSError:
                return False

        wait_until(is_ready, f"{path} of {part.name}, see {part.log}")

    def metric(self, line_start: str) -> float:
        """The sum of the control plane's samples whose line begins so."""
        lines = self.get(self.admin, "/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    # Clients

    def start_sidecar(self, namespace: str = "default") -> str:
        """Start `mesh proxy`; returns where it listens."""
        port, admin = next(_ports), next(_ports)
        where = ["--listen", f"{HOST}:{port}", "--admin", f"{HOST}:{admin}", "--namespace", namespace]
        plane = ["--control-plane", f"{HOST}:{self.xds}"]
        part = self.start("sidecar", *proxy_process.command(), *plane, *where)
        self._own.append(part)
        self._wait_ready(part, admin, "/ready")
        return f"{HOST}:{port}"

    def start_envoy(self, api_type: str, namespace: str = "default") -> str:
        """Start an Envoy that takes all its configuration over ADS; returns where it will listen."""
        port = next(_ports)
        config = self.folder / f"envoy-{port}.yaml"
        config.write_text(yaml.safe_dump(envoy_bootstrap(self.xds, api_type, namespace, port)))
        flags = ["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]
        self.start("envoy", envoy_binary(), "--config-path", config, *flags)
        return f"{HOST}:{port}"

    def call(self, name: str, target: str, authority: str = "", rate: int = 100, delay_ms: int = 20) -> Caller:
        """Begin a load; without `authority`, gRPC resolves the target over xDS."""
        command = (sys.executable, "-m", "tests.e2e.mesh.load", target, authority, str(rate), str(delay_ms))
        bootstrap = self.folder / "grpc.json"
        bootstrap.write_text(json.dumps(grpc_bootstrap(self.xds)))
        return Caller(name, self.start("load", *command, GRPC_XDS_BOOTSTRAP=str(bootstrap), no_grpc_proxy="*"))


def grpc_bootstrap(xds: int) -> dict[str, Any]:
    server = {
        "server_uri": f"{HOST}:{xds}",
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3"],
    }
    return {"xds_servers": [server], "node": {"id": "load.default", "metadata": {"NAMESPACE": "default"}}}


def envoy_bootstrap(xds: int, api_type: str, namespace: str, port: int) -> dict[str, Any]:
    over_ads = {"ads": {}, "resource_api_version": "V3"}
    service = {"envoy_grpc": {"cluster_name": "xds"}}
    endpoint = {"address": {"socket_address": {"address": HOST, "port_value": xds}}}
    cluster = {
        "name": "xds",
        "type": "STATIC",
        "typed_extension_protocol_options": HTTP2,
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    return {
        "node": {
            "id": f"envoy-{port}.{namespace}",
            "cluster": "tests",
            "metadata": {"NAMESPACE": namespace, "OUTBOUND_PORT": str(port)},
        },
        "dynamic_resources": {
            "ads_config": {"api_type": api_type, "transport_api_version": "V3", "grpc_services": [service]},
            "lds_config": over_ads,
            "cds_config": over_ads,
        },
        "static_resources": {"clusters": [cluster]},
    }
