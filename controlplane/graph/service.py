"""What one Service contributes to the mesh: a target per TCP port, and what else it is known by.

A headless Service also has targets for its pods' hostnames (the stable names of a StatefulSet). And since its name
stands for pod addresses in DNS, where clients put any port they like, it answers at any port (`hosts`), as does an
ExternalName. UDP and SCTP are not ours.

A share is bounded: ports times endpoints, and hostnames, grow faster than the objects that make them. What is beyond
is left out by a rule that looks at nothing that comes and goes: hostnames from the last one on, then the highest ports.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.graph.backend import Backend, Selection, in_order, join, waive
from controlplane.graph.mesh import DETECT, Endpoint, Target, ip_port
from controlplane.graph.protocol import declared, protocol, read_list
from controlplane.model.objects import PODS, Service, ServicePort, Slice, SlicePort
from controlplane.model.snapshot import Snapshot
from mesh.contract import OUR_ANNOTATIONS
from mesh.ports import OPAQUE_PORTS, Ports


@dataclass(slots=True)
class Share:
    """A Service's part of the mesh, under the mesh's keys.

    `spoken` is what it says of its endpoints' `IP:PORT`, DETECT where it says two things of one.
    `unseen` are UIDs of pods that it names in vain, `waived` those of them that nobody waits for, since there are too
    many; `left_out` is how many targets it has beyond the bounds.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, Target] = field(default_factory=dict)
    spoken: dict[str, str] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    waived: frozenset[str] = frozenset()
    left_out: int = 0


MAX_TARGETS = 1_000  # of a Service
MAX_ENTRIES = 100_000  # of pods in all of its targets, whether they serve or not
MAX_UNSEEN = 1_000  # pods that a Service may make us wait for
HEADLESS = f"{OUR_ANNOTATIONS}headless"  # balance or exact
ANY_PORT = ServicePort("", 0)


class _Everything:
    """The set of all UIDs: no Pod is worth waiting for where Pods cannot be listed."""

    def __contains__(self, _: object) -> bool:
        return True


class _Room:
    """What a share may still take. Once something was refused, so is everything that follows."""

    def __init__(self) -> None:
        self._targets, self._entries = MAX_TARGETS, MAX_ENTRIES

    def take(self, targets: int, entries: int) -> bool:
        """The first is always let in: it is no larger than the slices themselves."""
        is_first = self._entries == MAX_ENTRIES
        self._targets -= targets
        self._entries -= entries
        return self._targets >= 0 and (self._entries >= 0 or is_first)


@dataclass(frozen=True, slots=True)
class _Context:
    """What all targets of a Service are made from."""

    service: Service
    ports: Sequence[ServicePort]
    found: Sequence[Mapping[str, SlicePort]]  # by name, slice by slice
    opaque: Ports | None
    wish: str

    @classmethod
    def of(cls, service: Service, slices: Iterable[Slice] = ()) -> _Context:
        annotations = dict(service.annotations)
        found = [{port.name: port for port in reversed(item.ports) if port.protocol == "TCP"} for item in slices]
        opaque = read_list(annotations[OPAQUE_PORTS]) if OPAQUE_PORTS in annotations else None
        return cls(service, _tcp(service.ports), found, opaque, annotations.get(HEADLESS, ""))


def resolve(
    service: Service,
    slices: Iterable[Slice],
    snapshot: Snapshot,
    overdue: Container[str],
    domain: str,
    waived: Container[str] = (),
    room: int = MAX_UNSEEN,
) -> Share:
    """The share of this Service, given its slices and all pods. `waived` and `room` are as in `backend.waive`."""
    host = f"{service.name}.{service.namespace}.svc.{domain}"
    if service.kind == "ExternalName":
        return _external(_Context.of(service), host)
    usable = in_order(slices, service.ip_families)
    context = _Context.of(service, usable)
    backends = join(usable, snapshot.pods, _Everything() if PODS in snapshot.unavailable else overdue)
    given_up = waive(backends, waived, room)
    share = Share(waived=given_up, unseen=frozenset([item.uid for item in backends if item.unseen]) - given_up)
    hosts = {host: backends}
    if service.headless:
        hosts |= {f"{hostname}.{host}": members for hostname, members in sorted(_by_hostname(backends).items())}
    space = _Room()
    for name, members in hosts.items():
        if not _add(share, space, context, name, members):
            break
    share.left_out = len(hosts) * len(context.ports) - len(share.targets)
    for address in service.cluster_ips:
        for port in context.ports:
            if (name := f"{host}:{port.port}") in share.targets:
                share.addresses[ip_port(address, port.port)] = name
    for port in context.ports:
        if (target := share.targets.get(f"{host}:{port.port}")) is not None and target.protocol:
            _say(share.spoken, target)
    return share


def _say(spoken: dict[str, str], target: Target) -> None:
    """What a client finds that dials an endpoint itself, as all clients of a headless Service do."""
    for endpoint in target.endpoints:
        where = ip_port(endpoint.host, endpoint.port)
        spoken[where] = target.protocol if spoken.get(where, target.protocol) == target.protocol else DETECT


def _tcp(ports: Iterable[ServicePort]) -> list[ServicePort]:
    """The first of each number, in order: manifests may say what the API would refuse."""
    unique: dict[int, ServicePort] = {}
    for port in ports:
        if port.protocol == "TCP":
            unique.setdefault(port.port, port)
    return [unique[number] for number in sorted(unique)]


def _external(context: _Context, host: str) -> Share:
    share, name = Share(), context.service.external_name
    if name:
        for port in context.ports[:MAX_TARGETS]:
            spoken = protocol(port.app_protocol, port.name)
            share.targets[f"{host}:{port.port}"] = _target(context, f"{host}:{port.port}", port, spoken, external=name)
        share.hosts[host] = _target(context, host, ANY_PORT, DETECT, external=name)
        share.left_out = len(context.ports) - len(share.targets)
    return share


def _add(share: Share, space: _Room, context: _Context, host: str, backends: Sequence[Backend]) -> bool:
    """The targets of one host name; if the Service is headless, the one for any port too. False: not all of them."""
    selection = Selection(backends, context.service.local_only)
    lists = _lists(backends)
    if context.service.headless:
        if not space.take(0, len(backends)):
            return False
        share.hosts[host] = _target(context, host, ANY_PORT, DETECT, selection.at((0,) * len(context.found)))
    for port in context.ports:
        if not space.take(1, len(backends)):
            return False
        found = [ports.get(port.name) for ports in context.found]
        spoken = port.app_protocol or next((item.app_protocol for item in found if item and item.app_protocol), "")
        # A slice may leave the number open.
        numbers = tuple([None if item is None else item.port or port.port for item in found])
        name = f"{host}:{port.port}"
        endpoints = selection.at(numbers)
        spoken = protocol(spoken, port.name) or _agreed(lists, endpoints)
        share.targets[name] = _target(context, name, port, spoken, endpoints)
    return True


def _lists(backends: Iterable[Backend]) -> dict[str, Ports]:
    """The opaque ports of the pods that list them, by address."""
    pods = (backend.pod for backend in backends if backend.pod is not None)
    return {ip: read_list(pod.opaque_ports) for pod in pods if pod.opaque_ports is not None for ip in pod.ips}


def _agreed(lists: Mapping[str, Ports], endpoints: Iterable[Endpoint]) -> str:
    """What all pods behind a port say of it. Where a Service says nothing, its pods' template may."""
    said = {declared(DETECT, endpoint.port, lists.get(endpoint.host)) for endpoint in endpoints} if lists else ()
    return next(iter(said)) if len(said) == 1 else DETECT


def _by_hostname(backends: Iterable[Backend]) -> dict[str, list[Backend]]:
    members: dict[str, list[Backend]] = {}
    for backend in backends:
        if backend.hostname:
            members.setdefault(backend.hostname, []).append(backend)
    return members


def _target(
    context: _Context,
    name: str,
    port: ServicePort,
    spoken: str,
    endpoints: tuple[Endpoint, ...] = (),
    external: str = "",
) -> Target:
    service = context.service
    return Target(
        name,
        service.namespace,
        service.name,
        port.port,
        port.name,
        declared(spoken, port.port, context.opaque) if port.port else DETECT,
        name.startswith(f"{service.name}.{service.namespace}.")
        and _is_by_name(service.headless, context.wish, endpoints),
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
