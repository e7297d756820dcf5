"""What one Service contributes to the mesh: a target per TCP port, and what else it is known by.

A headless Service also has targets for its pods' hostnames (the stable names of a StatefulSet). And since its name
stands for pod addresses in DNS, where clients put any port they like, it answers at any port (`hosts`), as does an
ExternalName. UDP and SCTP are not ours.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from controlplane.graph.backend import Backend, in_order, join, select
from controlplane.graph.mesh import DETECT, TCP, Endpoint, Target, ip_port
from controlplane.graph.protocol import is_opaque, protocol
from controlplane.model.objects import PODS, Service, ServicePort, Slice, SlicePort
from controlplane.model.snapshot import Snapshot
from mesh.contract import OUR_ANNOTATIONS


@dataclass(slots=True)
class Share:
    """A Service's part of the mesh, under the mesh's keys; `unseen` are UIDs of pods that it names in vain."""

    targets: dict[str, Target] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, Target] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()


HEADLESS = f"{OUR_ANNOTATIONS}headless"  # balance or exact
OPAQUE_PORTS = f"{OUR_ANNOTATIONS}opaque-ports"
ANY_PORT = ServicePort("", 0)


class _Everything:
    """The set of all UIDs: no Pod is worth waiting for where Pods cannot be listed."""

    def __contains__(self, _: object) -> bool:
        return True


def resolve(
    service: Service, slices: Iterable[Slice], snapshot: Snapshot, overdue: Container[str], domain: str
) -> Share:
    """The share of this Service, given its slices and all pods."""
    host = f"{service.name}.{service.namespace}.svc.{domain}"
    ports = _tcp(service.ports)
    if service.kind == "ExternalName":
        return _external(service, host, ports)
    usable = in_order(slices, service.ip_families)
    backends = join(usable, snapshot.pods, _Everything() if PODS in snapshot.unavailable else overdue)
    share = Share(unseen=frozenset([item.uid for item in backends if item.unseen]))
    _add(share, service, host, ports, usable, backends)
    for address in service.cluster_ips:
        for port in ports:
            share.addresses[ip_port(address, port.port)] = f"{host}:{port.port}"
    if service.headless:
        for hostname, members in _by_hostname(backends).items():
            _add(share, service, f"{hostname}.{host}", ports, usable, members)
    return share


def _tcp(ports: Iterable[ServicePort]) -> list[ServicePort]:
    """The first of each number: manifests may say what the API would refuse."""
    unique: dict[int, ServicePort] = {}
    for port in ports:
        if port.protocol == "TCP":
            unique.setdefault(port.port, port)
    return list(unique.values())


def _external(service: Service, host: str, ports: Iterable[ServicePort]) -> Share:
    share = Share()
    if service.external_name:
        for port in ports:
            name = f"{host}:{port.port}"
            spoken = protocol(port.app_protocol, port.name)
            share.targets[name] = _target(service, name, port, spoken, external=service.external_name)
        share.hosts[host] = _target(service, host, ANY_PORT, DETECT, external=service.external_name)
    return share


def _add(
    share: Share,
    service: Service,
    host: str,
    ports: Iterable[ServicePort],
    slices: Sequence[Slice],
    backends: Iterable[Backend],
) -> None:
    """The targets of one host name; if the Service is headless, the one for any port too."""
    for port in ports:
        found = [_find(item.ports, port.name) for item in slices]
        spoken = port.app_protocol or next((item.app_protocol for item in found if item and item.app_protocol), "")
        numbers = [
            None if item is None else item.port or port.port for item in found
        ]  # a slice may leave the number open
        name = f"{host}:{port.port}"
        share.targets[name] = _target(service, name, port, protocol(spoken, port.name), select(backends, numbers))
    if service.headless:
        anywhere = select(backends, [0] * len(slices))
        share.hosts[host] = _target(service, host, ANY_PORT, DETECT, anywhere)


def _find(ports: Iterable[SlicePort], name: str) -> SlicePort | None:
    return next((port for port in ports if port.name == name and port.protocol == "TCP"), None)


def _by_hostname(backends: Iterable[Backend]) -> dict[str, list[Backend]]:
    members: dict[str, list[Backend]] = {}
    for backend in backends:
        if backend.hostname:
            members.setdefault(backend.hostname, []).append(backend)
    return members


def _target(
    service: Service,
    name: str,
    port: ServicePort,
    spoken: str,
    endpoints: tuple[Endpoint, ...] = (),
    external: str = "",
) -> Target:
    annotations = dict(service.annotations)
    return Target(
        name,
        service.namespace,
        service.name,
        port.port,
        port.name,
        TCP if is_opaque(annotations.get(OPAQUE_PORTS, ""), port.port) else spoken,
        name.startswith(f"{service.name}.{service.namespace}.")
        and _is_by_name(service.headless, annotations.get(HEADLESS, ""), endpoints),
        service.local_only,
        service.cluster_ips,
        (external, port.port) if external else None,
        endpoints,
    )


def _is_by_name(headless: bool, wish: str, endpoints: Iterable[Endpoint]) -> bool:
    """Who calls a pod of a StatefulSet by its IP means that one; other headless Services are lists to choose from."""
    if not headless or wish == "exact":
        return False
    return wish == "balance" or not any(endpoint.workload.kind == "statefulset" for endpoint in endpoints)
