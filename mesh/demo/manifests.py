"""The application as Kubernetes would describe it: a Service, and for each pod a Pod and an EndpointSlice.

A slice of its own for each pod, since on one machine each replica has another port of the same address.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mesh.demo.application import NAMESPACE

_PORT_NAME = "grpc"


def render(services: Mapping[str, Mapping[str, str]]) -> str:
    """The manifests as YAML documents (JSON is YAML), from service to pod to `HOST:PORT`."""
    documents = [json.dumps(item, indent=2) for name, pods in services.items() for item in _objects(name, pods)]
    return "\n---\n".join(documents) + "\n"


def _objects(service: str, pods: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(service),
        "spec": {"ports": [{"name": _PORT_NAME, "port": 80, "appProtocol": "kubernetes.io/h2c"}]},
    }
    for pod, address in pods.items():
        host, _, port = address.rpartition(":")
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**_metadata(pod), "uid": f"uid-{pod}"},
            "status": {"phase": "Running", "podIPs": [{"ip": host}]},
        }
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**_metadata(pod), "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "ports": [{"name": _PORT_NAME, "port": int(port)}],
            "endpoints": [
                {
                    "addresses": [host],
                    "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": pod, "namespace": NAMESPACE, "uid": f"uid-{pod}"},
                }
            ],
        }


def _metadata(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE}
