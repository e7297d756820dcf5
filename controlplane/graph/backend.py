"""Who stands behind a Service: its slices joined per pod, and which of them may get requests.

Slices and pods come from watches that are not ordered against each other, so each is distrusted in what the other
knows better:

- One backend per pod (by UID), however many slices name it, in either family; without a pod one per address and ports,
  since on one host several may serve. The family that the Service prefers is used; among slices of one family the
  first by name that fits.
- Where slices of one pod disagree: terminating if any says so, since nobody comes back from that; ready if any says
  so, since a lost endpoint costs more than one that is tried in vain.
- A pod that has finished never serves. One that terminates (says a slice, or the Pod) serves only while nobody else
  does, on its node where only the own node counts. Unless the slice says that it is ready all the same
  (publishNotReadyAddresses). All that as with kube-proxy.
- An identity comes only from a Pod of the UID that the slice names, which holds the address. Without such a Pod the
  endpoint is withheld, until its UID is overdue; it is then published as UNKNOWN. Two pods at one address are UNKNOWN,
  and so is a pod of the host's network, whose address is also that of whoever has a hostPort there.
- FQDN slices are left out, as kube-proxy does: endpoints are addresses. ExternalName is the way to a DNS name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from controlplane.graph.mesh import UNKNOWN, Endpoint, Workload
from controlplane.model.objects import Key, Pod, Slice, SliceEndpoint


@dataclass(slots=True)
class Backend:
    """What all slices of a Service say of one pod, or of one address and its ports without a pod."""

    uid: str
    pod: Pod | None  # None while it has not been seen
    entries: list[tuple[int, SliceEndpoint]] = field(default_factory=list)  # (which slice, what it says), best first
    ready: bool = False
    terminating: bool = False
    stays: bool = False  # is ready although it terminates
    serving: bool = False
    unseen: bool = False  # its Pod, or the news of one of the addresses, has yet to come
    overdue: bool = True  # may be published without its Pod

    @property
    def hostname(self) -> str:
        return next((endpoint.hostname for _, endpoint in self.entries if endpoint.hostname), "")

    def holds(self, endpoint: SliceEndpoint) -> bool:
        """Whether its Pod has been seen, with this address."""
        return self.pod is not None and endpoint.address in self.pod.ips

    def at(self, slices: Sequence[bool]) -> tuple[int, SliceEndpoint] | None:
        """Which slice, of these, says where it answers: one with an address that its Pod holds, if there is one."""
        found = None
        for index, endpoint in self.entries:
            if slices[index]:
                if self.holds(endpoint):
                    return index, endpoint
                found = found or (index, endpoint)
        return found


_Place = tuple[Backend, int, SliceEndpoint]  # who, which slice says so, and what it says


def in_order(slices: Iterable[Slice], families: Sequence[str]) -> list[Slice]:
    """The usable ones: the Service's first family first, then by name."""
    rank = {family: index for index, family in enumerate(families)}
    usable = (item for item in slices if item.family != "FQDN")
    return sorted(usable, key=lambda item: (rank.get(item.family, len(rank)), item.key))


def join(slices: Sequence[Slice], pods: Mapping[Key, Pod], overdue: Container[str]) -> list[Backend]:
    """All backends that the slices name, in the slices' order, less the pods that have finished."""
    backends: dict[object, Backend] = {}
    same: dict[object, int] = {}  # a slice's ports -> the first slice that has them: a short name for a long tuple
    for index, item in enumerate(slices):
        ports = same.setdefault(item.ports, index)
        for endpoint in item.endpoints:
            uid, key = endpoint.pod_uid, endpoint.pod
            who = uid or key or (endpoint.address, ports)
            backend = backends.get(who)
            if backend is None:
                pod = pods.get(key) if key else None
                seen = pod if pod is not None and pod.uid == uid else None
                backend = Backend(uid, seen, overdue=not uid or uid in overdue)
                backends[who] = backend
                backend.terminating = seen is not None and seen.terminating
            backend.entries.append((index, endpoint))
            backend.unseen |= bool(uid) and not backend.holds(endpoint)
            backend.ready |= endpoint.ready
            backend.serving |= endpoint.serving
            backend.terminating |= endpoint.terminating
            backend.stays |= endpoint.terminating and endpoint.ready
    return [item for item in backends.values() if item.pod is None or not item.pod.finished]


def waive(backends: Iterable[Backend], waived: Container[str], room: int) -> frozenset[str]:
    """UIDs of unseen pods that are not waited for: of the `waived` ones, and of those for which there is no `room`.

    Slices can name any number of pods that never come. What was published once is not withheld again.
    """
    found = set()
    for backend in backends:
        if backend.unseen:
            if backend.uid in waived or room <= 0:
                backend.overdue = True
                found.add(backend.uid)
            else:
                room -= 1
    return frozenset(found)


class _Choice(NamedTuple):
    """Who gets requests for the ports that stand in the same slices."""

    chosen: list[_Place]
    late: frozenset[str]  # nodes where they terminate while others, elsewhere, do not
    withheld: Container[str]
    portless: list[tuple[Endpoint, ...]]  # at most one: its endpoints if all slices gave the same number


class Selection:
    """The endpoints of these backends, port by port. Ports that stand in the same slices share one choice."""

    def __init__(self, backends: Sequence[Backend], local_only: bool) -> None:
        self._backends = backends
        self._local_only = local_only
        self._choices: dict[tuple[bool, ...], _Choice] = {}
        self._published: dict[tuple[int | None, ...], tuple[Endpoint, ...]] = {}

    def at(self, numbers: tuple[int | None, ...]) -> tuple[Endpoint, ...]:
        """Those that get requests for a port that has these numbers, slice by slice."""
        endpoints = self._published.get(numbers)
        if endpoints is None:
            slices = tuple([number is not None for number in numbers])
            choice = self._choices.get(slices)
            if choice is None:
                choice = self._choices[slices] = choose(self._backends, slices, self._local_only)
            endpoints = self._published[numbers] = _publish(choice, numbers)
        return endpoints


def choose(backends: Iterable[Backend], slices: Sequence[bool], local_only: bool) -> _Choice:
    """The ready ones, or else the terminating ones that still serve; node by node if only the own node counts."""
    ready: list[_Place] = []
    last: list[_Place] = []
    withheld: set[str] = set()
    for backend in backends:
        found = backend.at(slices)
        if found is None:
            continue
        if not (backend.overdue or backend.holds(found[1])):
            withheld.add(found[1].address)
        elif backend.terminating and not backend.stays:
            if backend.serving or backend.ready:
                last.append((backend, *found))
        elif backend.ready:
            ready.append((backend, *found))
    if not (local_only and ready):
        return _Choice(ready or last, frozenset(), withheld, [])
    nodes = {endpoint.node for _, _, endpoint in ready}
    late = [place for place in last if place[2].node not in nodes]
    return _Choice(ready + late, frozenset(place[2].node for place in late), withheld, [])


def _publish(choice: _Choice, numbers: Sequence[int | None]) -> tuple[Endpoint, ...]:
    distinct = set(numbers) - {None}
    if len(distinct) != 1:
        return _merge(choice, numbers)
    if not choice.portless:
        choice.portless.append(_merge(choice, [0] * len(numbers)))
    (number,) = distinct
    return choice.portless[0] if not number else tuple([_with_port(item, number) for item in choice.portless[0]])


def _merge(choice: _Choice, numbers: Sequence[int | None]) -> tuple[Endpoint, ...]:
    """One endpoint per address, sorted. An address that several pods claim, published or withheld, has no identity."""
    nameless: dict[tuple[str, int], Endpoint] = {}
    named: dict[tuple[str, int], Endpoint] = {}
    for backend, index, endpoint in choice.chosen:
        address = endpoint.address, numbers[index] or 0
        if not endpoint.pod:
            nameless.setdefault(address, _make(backend, endpoint, address[1], choice.late))
        elif address in named:
            named[address] = anonymous(named[address])
        else:
            made = _make(backend, endpoint, address[1], choice.late)
            named[address] = anonymous(made) if endpoint.address in choice.withheld else made
    published = nameless | named if nameless else named
    return tuple(published[address] for address in sorted(published))


def _with_port(item: Endpoint, port: int) -> Endpoint:
    return Endpoint(item.host, port, item.pod, item.node, item.zone, item.zones, item.workload, item.late)


def anonymous(endpoint: Endpoint) -> Endpoint:
    """The same address, without saying who is there."""
    return replace(endpoint, pod="", workload=UNKNOWN)


def _make(backend: Backend, endpoint: SliceEndpoint, port: int, late: Container[str]) -> Endpoint:
    known = backend.pod if backend.pod is not None and backend.holds(endpoint) else None
    return Endpoint(
        endpoint.address,
        port,
        endpoint.pod[1] if endpoint.pod else "",
        endpoint.node,
        endpoint.zone,
        endpoint.hints,
        workload_of(known) if known is not None and not known.host_network else UNKNOWN,
        endpoint.node in late,
    )


def workload_of(pod: Pod) -> Workload:
    """The identity that endpoints of this pod share with those of its siblings."""
    return _workload(pod.namespace, pod.workload_kind, pod.workload, pod.service_account, pod.meshed)


@lru_cache(4096)  # one object for all pods of a workload: less memory, and comparisons end at `is`
def _workload(namespace: str, kind: str, name: str, service_account: str, meshed: bool) -> Workload:
    return Workload(namespace, kind, name, service_account, meshed)
