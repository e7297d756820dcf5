"""Targets and meshes of the translation's tests, made directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controlplane.graph.mesh import Endpoint, Mesh, Target, Workload
from controlplane.translate.domains import Domains

WEB = Workload("shop", "deployment", "web", "web", True)


def endpoint(host: str, zone: str = "", zones: tuple[str, ...] = (), node: str = "") -> Endpoint:
    return Endpoint(host, 8080, f"pod-{host}", node, zone, zones, WEB)


def target(name: str = "web.shop.svc.cluster.local:80", *endpoints: Endpoint) -> Target:
    host, _, port = name.rpartition(":")
    service, namespace = host.split(".")[-5:-3] if host.endswith(".svc.cluster.local") else ("", "")
    return Target(name, namespace, service, int(port), endpoints=endpoints)


def mesh(
    *targets: Target, addresses: Mapping[str, str] | None = None, pods: Mapping[str, Endpoint] | None = None
) -> Mesh:
    return Mesh(targets={item.name: item for item in targets}, addresses=addresses or {}, pods=pods or {})


def without_endpoints(item: Target) -> Target:
    return replace(item, endpoints=())


def domains(item: Mesh, namespace: str) -> dict[str, tuple[str, ...]]:
    """The domains of each target, as the clients of a namespace are told them."""
    found = Domains(item)
    return {name: owned for name, owned in (found.common | found.of(namespace)).items() if owned}
