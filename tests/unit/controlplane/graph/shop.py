"""A few lines of Kubernetes: objects of the namespace `shop`, as short as tests want them."""

from __future__ import annotations

from typing import Any

from controlplane.graph.mesh import Mesh
from controlplane.model.objects import Object, Pod, Service, ServicePort, Slice, SliceEndpoint, SlicePort
from controlplane.model.snapshot import Change, Snapshot

KINDS = {Service: "services", Slice: "endpointslices", Pod: "pods"}
HTTP = ServicePort("", 80)


def make_service(name: str = "web", *ports: ServicePort, **more: Any) -> Service:
    return Service("shop", name, ports=ports or (HTTP,), **more)


def make_headless(name: str = "db", *ports: ServicePort, **more: Any) -> Service:
    return make_service(name, *ports, headless=True, **more)


def make_pod(name: str, *ips: str, **more: Any) -> Pod:
    """A pod whose UID is `uid-NAME` and whose workload, of its own, is `NAME-workload`."""
    more = {"uid": f"uid-{name}", "workload_kind": "deployment", "workload": f"{name}-workload", **more}
    return Pod("shop", name, ips=ips, **more)


def make_endpoint(target: Pod | str, address: str = "", **more: Any) -> SliceEndpoint:
    """An endpoint of a pod, at its first address unless another is given, or of an address without a pod."""
    if isinstance(target, str):
        return SliceEndpoint(target, **more)
    return SliceEndpoint(address or target.ips[0], pod=target.key, pod_uid=target.uid, **more)


def make_slice(*endpoints: SliceEndpoint, name: str = "slice-1", service: str = "web", **more: Any) -> Slice:
    more = {"family": "IPv4", "ports": (SlicePort("", 8080),), **more}
    return Slice("shop", name, service, endpoints=endpoints, **more)


def make_snapshot(*objects: Object) -> Snapshot:
    return Snapshot().after([Change(KINDS[type(item)], item.key, item) for item in objects])[0]


def addresses(mesh: Mesh, name: str = "web.shop.svc.cluster.local:80") -> list[str]:
    """Where a target answers, as IP:PORT."""
    return [f"{endpoint.host}:{endpoint.port}" for endpoint in mesh.targets[name].endpoints]
