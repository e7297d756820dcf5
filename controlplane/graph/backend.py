"""Who stands behind a Service: its slices joined per pod, and which of them may get requests.

Slices and pods come from watches that are not ordered against each other, so each is distrusted in what the other
knows better:

- One backend per pod (by UID), however many slices name it, in either family; without a pod one per address and ports,
  since on one host several may serve. The family that the Service prefers is used; among slices of one family the
  first by name that fits.
- Where slices of one pod disagree: terminating if any says so, since nobody comes back from that; ready if any says
  so, since a lost endpoint costs more than one that is tried in vain.
- A pod that has finished never serves. One that terminates (says a slice, or the Pod) serves only while nobody else
  does, as with kube-proxy.
- An identity comes only from a Pod of the UID that the slice names, which holds the address. Without such a Pod the
  endpoint is withheld, until its UID is overdue; it is then published as UNKNOWN. Two pods at one address are UNKNOWN.
- FQDN slices are left out, as kube-proxy does: endpoints are addresses. ExternalName is the way to a DNS name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from controlplane.graph.mesh import UNKNOWN, Endpoint, Workload
from controlplane.model.objects import Key, Pod, Slice, SliceEndpoint

Ports = Sequence[int | None]  # per slice: the number of the port in question, None where the slice does not have it


@dataclass(slots=True)
class Backend:
    """What all slices of a Service say of one pod, or of one address and its ports without a pod."""

    uid: str
    pod: Pod | None  # None while it has not been seen
    entries: list[tuple[int, SliceEndpoint]] = field(default_factory=list)  # (which slice, what it says), best first
    ready: bool = False
    terminating: bool = False
    serving: bool = False
    unseen: bool = False  # its Pod, or the news of one of the addresses, has yet to come
    overdue: bool = True  # may be published without its Pod

    @property
    def hostname(self) -> str:
        return next((endpoint.hostname for _, endpoint in self.entries if endpoint.hostname), "")

    def knows(self, endpoint: SliceEndpoint) -> bool:
        return self.pod is not None and endpoint.address in self.pod.ips

    def at(self, ports: Ports) -> tuple[SliceEndpoint, int] | None:
        """Where it answers: at an address that its Pod holds, if there is one."""
        found = None
        for index, endpoint in self.entries:
            port = ports[index]
            if port is not None:
                if self.knows(endpoint):
                    return endpoint, port
                found = found or (endpoint, port)
        return found


def in_order(slices: Iterable[Slice], families: Sequence[str]) -> list[Slice]:
    """The usable ones: the Service's first family first, then by name."""
    rank = {family: index for index, family in enumerate(families)}
    usable = (item for item in slices if item.family != "FQDN")
    return sorted(usable, key=lambda item: (rank.get(item.family, len(rank)), item.key))


def join(slices: Sequence[Slice], pods: Mapping[Key, Pod], overdue: Container[str]) -> list[Backend]:
    """All backends that the slices name, in the slices' order, less the pods that have finished."""
    backends: dict[object, Backend] = {}
    for index, item in enumerate(slices):
        for endpoint in item.endpoints:
            uid, key = endpoint.pod_uid, endpoint.pod
            who = uid or key or (endpoint.address, item.ports)
            backend = backends.get(who)
            if backend is None:
                pod = pods.get(key) if key else None
                seen = pod if pod is not None and pod.uid == uid else None
                backend = Backend(uid, seen, overdue=not uid or uid in overdue)
                backends[who] = backend
                backend.terminating = seen is not None and seen.terminating
            backend.entries.append((index, endpoint))
            backend.unseen |= bool(uid) and not backend.knows(endpoint)
            backend.ready |= endpoint.ready
            backend.serving |= endpoint.serving
            backend.terminating |= endpoint.terminating
    return [item for item in backends.values() if item.pod is None or not item.pod.finished]


def select(backends: Iterable[Backend], ports: Ports) -> tuple[Endpoint, ...]:
    """Those that get requests: the ready ones, or else the terminating ones that still serve."""
    ready: list[tuple[Backend, SliceEndpoint, int]] = []
    last: list[tuple[Backend, SliceEndpoint, int]] = []
    withheld: set[str] = set()
    for backend in backends:
        found = backend.at(ports)
        if found is None:
            continue
        if not (backend.overdue or backend.knows(found[0])):
            withheld.add(found[0].address)
        elif backend.terminating:
            if backend.serving or backend.ready:
                last.append((backend, *found))
        elif backend.ready:
            ready.append((backend, *found))
    return _publish(ready or last, withheld)


def _publish(chosen: Iterable[tuple[Backend, SliceEndpoint, int]], withheld: Container[str]) -> tuple[Endpoint, ...]:
    """One endpoint per address, sorted. An address that several pods claim, published or withheld, has no identity."""
    nameless: dict[tuple[str, int], Endpoint] = {}
    named: dict[tuple[str, int], Endpoint] = {}
    for backend, endpoint, port in chosen:
        address = endpoint.address, port
        if not endpoint.pod:
            nameless.setdefault(address, _make(backend, endpoint, port))
        elif address in named:
            named[address] = anonymous(named[address])
        else:
            made = _make(backend, endpoint, port)
            named[address] = anonymous(made) if endpoint.address in withheld else made
    published = nameless | named if nameless else named
    return tuple(published[address] for address in sorted(published))


def anonymous(endpoint: Endpoint) -> Endpoint:
    """The same address, without saying who is there."""
    return replace(endpoint, pod="", workload=UNKNOWN)


def _make(backend: Backend, endpoint: SliceEndpoint, port: int) -> Endpoint:
    known = backend.pod if backend.pod is not None and backend.knows(endpoint) else None
    return Endpoint(
        endpoint.address,
        port,
        endpoint.pod[1] if endpoint.pod else "",
        endpoint.node,
        endpoint.zone,
        endpoint.hints,
        workload_of(known) if known is not None else UNKNOWN,
    )


def workload_of(pod: Pod) -> Workload:
    """The identity that endpoints of this pod share with those of its siblings."""
    return _workload(pod.namespace, pod.workload_kind, pod.workload, pod.service_account, pod.meshed)


@lru_cache(4096)  # one object for all pods of a workload: less memory, and comparisons end at `is`
def _workload(namespace: str, kind: str, name: str, service_account: str, meshed: bool) -> Workload:
    return Workload(namespace, kind, name, service_account, meshed)
