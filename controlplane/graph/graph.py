"""The mesh, kept up to date: a change is worked out for the Services that it concerns, not for all.

Invariant: whatever way a snapshot was reached, `mesh` equals what `build` makes of it, and a Target that did not
change is the same object as before. (But for endpoints of pods that have not been seen, where slices name more of them
than the bounds allow: who of them is waited for depends on who came first.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeVar

from controlplane.graph.backend import workload_of
from controlplane.graph.claims import Claims
from controlplane.graph.index import Index
from controlplane.graph.mesh import Endpoint, Mesh, Target
from controlplane.graph.protocol import read_list
from controlplane.graph.service import MAX_ENTRIES, MAX_TARGETS, MAX_UNSEEN, Share, resolve
from controlplane.model.objects import PODS, SERVICES, SLICES, Key, Pod
from controlplane.model.snapshot import Snapshot, Touched
from mesh.ports import Ports

NOTHING = Share()
MAX_UNSEEN_IN_ALL = 10_000  # pods that slices may make us wait for
MAX_GONE = 10_000  # deleted pods that are remembered; one that is forgotten is waited for in vain, no more
Value = TypeVar("Value")


class Graph:
    """`update` with each new snapshot; then `mesh` is what can be called, and `waiting` what is still held back."""

    def __init__(self, domain: str = "cluster.local") -> None:
        self.mesh = Mesh(domain)
        self.waiting: frozenset[str] = frozenset()  # UIDs of pods whose endpoints are withheld, and that may yet come
        self.unseen: frozenset[str] = frozenset()  # those, and the overdue ones: what `overdue` need not hold else
        self._snapshot = Snapshot()
        self._overdue: AbstractSet[str] = frozenset()
        self._index = Index()
        self._shares: dict[Key, Share] = {}
        self._incomplete: dict[Key, frozenset[str]] = {}  # Services that name pods which have not been seen
        self._awaited: Counter[str] = Counter()  # UIDs of those pods, by how many Services name them
        self.overfull: dict[Key, int] = {}  # Services beyond the bounds, and how many targets of theirs are left out
        self._gone: dict[str, None] = {}  # UIDs of deleted pods, the latest last: not worth waiting for
        self._addresses: Claims[str] = Claims()
        self._speakers: Claims[tuple[Key, str]] = Claims()  # who says what of an endpoint's `IP:PORT`
        self._holders: Claims[Key] = Claims()

    def update(self, snapshot: Snapshot, touched: Touched, overdue: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Takes up a snapshot in which `touched` may differ from the last one; returns the keys that changed.

        Keys are names of targets and hosts, `IP:PORT`s of clusters and endpoints, and pod IPs. `overdue` are UIDs of
        pods that were waited for long enough: their endpoints are published without an identity.
        """
        before, self._snapshot = self._snapshot, snapshot
        services = self._concerned(before, touched, overdue)
        self._overdue = frozenset(overdue)
        changed = self._take_services(services)
        changed |= self._take_pods(before, [key for kind, key in touched if kind == PODS])
        self.unseen = frozenset(self._awaited)
        waiting = self.unseen - self._overdue - self._gone.keys()
        self.waiting = frozenset() if PODS in snapshot.unavailable else waiting
        return frozenset(changed)

    def problems(self) -> list[str]:
        """What of the objects is not served, one sentence each."""
        bounds = f"a Service may have {MAX_TARGETS} ports and hostnames, with {MAX_ENTRIES} endpoints in all"
        return [
            f"services {namespace}/{name}: {count} of its targets are left out, as {bounds}; split it"
            for (namespace, name), count in sorted(self.overfull.items())
        ]

    def _concerned(self, before: Snapshot, touched: Touched, overdue: AbstractSet[str]) -> set[Key]:
        """The Services whose share may have changed."""
        services = {key for kind, key in touched if kind == SERVICES}
        for kind, key in touched:
            if kind == SLICES:
                old, new = before.endpointslices.get(key), self._snapshot.endpointslices.get(key)
                self._index.replace(old, new)
                services |= {(item.namespace, item.service) for item in (old, new) if item is not None}
        pods = [
            pod for kind, key in touched if kind == PODS for pod in (before.pods.get(key), self._snapshot.pods.get(key))
        ]
        services |= self._index.services_naming(pods, self._snapshot.endpointslices)
        late = self._overdue ^ overdue
        if before.unavailable != self._snapshot.unavailable:
            services |= self._incomplete.keys()
        elif late:
            services |= {key for key, uids in self._incomplete.items() if not uids.isdisjoint(late)}
        return services

    def _take_services(self, services: Iterable[Key]) -> set[str]:
        """Resolves these Services anew; returns what changed by that."""
        targets: dict[str, Target | None] = {}
        hosts: dict[str, Target | None] = {}
        addresses: set[str] = set()
        places: set[str] = set()
        for key in sorted(services):
            old = self._shares.pop(key, NOTHING)
            new = self._resolve(key, old)
            if new is not NOTHING:
                self._shares[key] = new
            self._note_unseen(key, old.unseen, new.unseen)
            self._note_left_out(key, new.left_out)
            targets |= _differences(old.targets, new.targets)
            hosts |= _differences(old.hosts, new.hosts)
            if old.addresses != new.addresses:
                addresses |= self._claim(old.addresses, new.addresses)
            if old.spoken != new.spoken:
                places |= self._speak(key, old.spoken, new.spoken)
        owners = {address: min(self._addresses.of(address), default=None) for address in addresses}
        targets, hosts = _changes(self.mesh.targets, targets), _changes(self.mesh.hosts, hosts)
        owners = _changes(self.mesh.addresses, owners)
        spoken = _changes(self.mesh.spoken, {place: self._agreed(place) for place in places})
        self.mesh = replace(
            self.mesh,
            targets=_with(self.mesh.targets, targets),
            hosts=_with(self.mesh.hosts, hosts),
            addresses=_with(self.mesh.addresses, owners),
            spoken=_with(self.mesh.spoken, spoken),
        )
        return {*targets, *hosts, *owners, *spoken}

    def _resolve(self, key: Key, before: Share) -> Share:
        service = self._snapshot.services.get(key)
        if service is None:
            return NOTHING
        slices = self._index.slices_of(key, self._snapshot.endpointslices)
        others = len(self._awaited) - sum(self._awaited[uid] == 1 for uid in before.unseen)
        room = min(MAX_UNSEEN, MAX_UNSEEN_IN_ALL - others)
        return resolve(service, slices, self._snapshot, self._overdue, self.mesh.domain, before.waived, room)

    def _note_unseen(self, service: Key, before: frozenset[str], now: frozenset[str]) -> None:
        self._incomplete.pop(service, None)
        if now:
            self._incomplete[service] = now
        self._awaited.update(now - before)
        for uid in before - now:
            self._awaited[uid] -= 1
            if not self._awaited[uid]:
                del self._awaited[uid]

    def _note_left_out(self, service: Key, count: int) -> None:
        self.overfull.pop(service, None)
        if count:
            self.overfull[service] = count

    def _claim(self, before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
        """Two Services may claim one address (in manifests): the first by name has it."""
        for address, name in before.items():
            self._addresses.replace(name, (address,), ())
        for address, name in now.items():
            self._addresses.replace(name, (), (address,))
        return {*before, *now}

    def _speak(self, service: Key, before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
        """Only what differs is looked at: a pod more or less leaves hundreds as they were."""
        different = {place for place, _ in before.items() ^ now.items()}
        for place in different:
            if (old := before.get(place)) is not None:
                self._speakers.replace((service, old), (place,), ())
            if (new := now.get(place)) is not None:
                self._speakers.replace((service, new), (), (place,))
        return different

    def _agreed(self, place: str) -> str | None:
        said = {protocol for _, protocol in self._speakers.of(place)}
        return said.pop() or None if len(said) == 1 else None

    def _take_pods(self, before: Snapshot, keys: Iterable[Key]) -> set[str]:
        """Takes up who holds which IP; returns the IPs where that changed."""
        ips: set[str] = set()
        for key in keys:
            old, new = before.pods.get(key), self._snapshot.pods.get(key)
            self._note_gone(old, new)
            ips |= self._holders.replace(key, _held(old), _held(new))
        pods = self._snapshot.pods
        living = {ip: _living([pods[key] for key in self._holders.of(ip)]) for ip in ips}
        holders = _changes(self.mesh.pods, {ip: _holder(found, ip) for ip, found in living.items()})
        opaque = _changes(self.mesh.opaque, {ip: _opaque(found) for ip, found in living.items()})
        self.mesh = replace(self.mesh, pods=_with(self.mesh.pods, holders), opaque=_with(self.mesh.opaque, opaque))
        return {*holders, *opaque}

    def _note_gone(self, old: Pod | None, new: Pod | None) -> None:
        """A slice may name a deleted pod for a while, or even come later than the news of the deletion."""
        if new is not None:
            self._gone.pop(new.uid, None)
        if old is not None and (new is None or new.uid != old.uid):
            self._gone[old.uid] = None
            if len(self._gone) > MAX_GONE:
                del self._gone[next(iter(self._gone))]


def _held(pod: Pod | None) -> tuple[str, ...]:
    """The IPs that mean this pod: a finished one has lost them, one of the host's network shares them."""
    return () if pod is None or pod.finished or pod.host_network else pod.ips


def _living(pods: list[Pod]) -> list[Pod]:
    """An IP is free before the Pod that held it is deleted: the newcomer has it."""
    return [pod for pod in pods if not pod.terminating] or pods


def _opaque(living: list[Pod]) -> Ports | None:
    text = living[0].opaque_ports if len(living) == 1 else None
    return None if text is None else read_list(text)


def _holder(living: list[Pod], ip: str) -> Endpoint | None:
    """Who answers at an IP."""
    if not living:
        return None
    if len(living) > 1:
        return Endpoint(ip, 0)
    pod = living[0]
    return Endpoint(ip, 0, pod.name, pod.node, workload=workload_of(pod))


def _differences(old: Mapping[str, Target], new: dict[str, Target]) -> dict[str, Target | None]:
    """What to put where, None where it has gone. `new` gets the old ones where equal, so as not to hold both."""
    different: dict[str, Target | None] = {name: None for name in old if name not in new}
    for name, target in new.items():
        before = old.get(name)
        if before == target:
            new[name] = before
        else:
            different[name] = target
    return different


def _changes(table: Mapping[str, Value], values: Mapping[str, Value | None]) -> dict[str, Value | None]:
    return {key: value for key, value in values.items() if table.get(key) != value}


def _with(table: Mapping[str, Value], changes: Mapping[str, Value | None]) -> Mapping[str, Value]:
    """The table with these changes; the same one if there are none."""
    if not changes:
        return table
    changed = {**table, **{key: value for key, value in changes.items() if value is not None}}
    for key, value in changes.items():
        if value is None:
            changed.pop(key, None)
    return changed
