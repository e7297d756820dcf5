"""A service of a real API whose endpoints are processes of this host, and which may change whatever part is down.

The API refuses loopback addresses in an EndpointSlice, so slices and their pods are written to etcd as JSON, which the
API server decodes like what it has written itself: watches, lists, versions and deletions of them are the real ones.
That also works while the API server does not.
"""

from __future__ import annotations

import base64
import json
import urllib.request
import uuid
from typing import Any

from tests.cluster.api_server import ETCD, ApiServer
from tests.e2e.processes import HOST, GrpcBackend

PORT = 8080
BORN = "2026-01-01T00:00:00Z"


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _ask_etcd(api: ApiServer, method: str, **fields: str) -> None:
    body = json.dumps({name: _encode(text) for name, text in fields.items()}).encode()
    url = f"http://{api.address}:{ETCD}/v3/kv/{method}"
    urllib.request.urlopen(urllib.request.Request(url, body), timeout=30).close()


class Service:
    """NAME:8080 in a namespace; `name` is the canonical one, `endpoints` the names of those in it."""

    def __init__(self, api: ApiServer, namespace: str, *backends: GrpcBackend, short: str = "voting") -> None:
        self.api, self.namespace, self.short = api, namespace, short
        self.name = f"{short}.{namespace}.svc.cluster.local:{PORT}"
        self.endpoints: set[str] = set()
        self._uids: dict[str, str] = {}
        self.create()
        for backend in backends:
            self.add(backend)

    def create(self) -> None:
        ports = [{"name": "grpc", "port": PORT, "appProtocol": "kubernetes.io/h2c"}]
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.short}, "spec": {"ports": ports}}
        self.api.client.create(body, self.namespace)

    def delete(self) -> None:
        self.api.client.delete("Service", self.short, self.namespace)

    def add(self, backend: GrpcBackend) -> None:
        """The pod first, as in life; so the endpoint is withheld from nobody."""
        pod = f"{self.short}-{backend.port}"
        uid = self._uids.setdefault(pod, str(uuid.uuid4()))
        self._put("pods", pod, make_pod(pod, uid))
        target = {"kind": "Pod", "namespace": self.namespace, "name": pod, "uid": uid}
        self._put("endpointslices", pod, make_slice(self.short, backend.port, target))
        self.endpoints.add(backend.name)

    def remove(self, backend: GrpcBackend) -> None:
        pod = f"{self.short}-{backend.port}"
        for kind in ("endpointslices", "pods"):
            _ask_etcd(self.api, "deleterange", key=f"/registry/{kind}/{self.namespace}/{pod}")
        self.endpoints.discard(backend.name)

    def replace(self, old: GrpcBackend, new: GrpcBackend) -> None:
        """The change that every test makes: one endpoint comes, another goes."""
        self.add(new)
        self.remove(old)

    def _put(self, kind: str, name: str, body: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.namespace, "creationTimestamp": BORN, **body.pop("metadata")}
        metadata.setdefault("uid", str(uuid.uuid4()))
        value = json.dumps({**body, "metadata": metadata})
        _ask_etcd(self.api, "put", key=f"/registry/{kind}/{self.namespace}/{name}", value=value)


def make_pod(name: str, uid: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"uid": uid, "labels": {"app": name}},
        "spec": {"nodeName": "node-1", "serviceAccountName": "voter", "containers": [{"name": "app", "image": "none"}]},
        "status": {"phase": "Running", "podIP": HOST, "podIPs": [{"ip": HOST}]},
    }


def make_slice(service: str, port: int, target: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": port, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}],
        "endpoints": [{"addresses": [HOST], "conditions": {"ready": True}, "targetRef": target}],
    }
