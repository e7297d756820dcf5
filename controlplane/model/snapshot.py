"""All objects that are known, at one moment.

A source says what changed as `Change`s; `Snapshot.after` gives the next snapshot and which objects really differ. A
snapshot is never changed, so whoever holds one may keep it. One change among many objects compares that one alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from controlplane.model.objects import PODS, SERVICES, SLICES, Key, Object, Pod, Service, Slice


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it is now; None where it is gone."""

    kind: str
    key: Key
    now: Object | None


@dataclass(frozen=True, slots=True)
class Relist:
    """All objects of a kind: what is not among them is gone.

    `available` is False where the API does not let us list the kind (403, 404): that there are none is then not known.
    """

    kind: str
    objects: tuple[Object, ...]
    available: bool = True


Touched = frozenset[tuple[str, Key]]  # (kind, key) of objects that differ between two snapshots


@dataclass(frozen=True, slots=True)
class Snapshot:
    services: Mapping[Key, Service] = field(default_factory=dict)
    endpointslices: Mapping[Key, Slice] = field(default_factory=dict)
    pods: Mapping[Key, Pod] = field(default_factory=dict)
    unavailable: frozenset[str] = frozenset()  # kinds that cannot be listed

    def table(self, kind: str) -> Mapping[Key, Object]:
        """The objects of a kind."""
        table: Mapping[Key, Object] = getattr(self, kind)
        return table

    def after(self, changes: Iterable[Change | Relist]) -> tuple[Snapshot, Touched]:
        """The snapshot after these changes, in their order, and what differs. One copy of each kind that changed."""
        tables: dict[str, dict[Key, Object]] = {}
        named: dict[str, set[Key]] = {}  # keys that may differ: the others are never looked at
        unavailable = self.unavailable
        for change in changes:
            kind = change.kind
            if kind not in tables:
                tables[kind], named[kind] = dict(self.table(kind)), set()
            if isinstance(change, Relist):
                tables[kind] = {item.key: item for item in change.objects}
                named[kind] |= {*self.table(kind), *tables[kind]}
                unavailable = unavailable - {kind} if change.available else unavailable | {kind}
            elif change.now is None:
                tables[kind].pop(change.key, None)
                named[kind].add(change.key)
            else:
                tables[kind][change.key] = change.now
                named[kind].add(change.key)
        touched = frozenset(
            (kind, key)
            for kind, keys in named.items()
            for key in keys
            if tables[kind].get(key) != self.table(kind).get(key)
        )
        return replace(self, **tables, unavailable=unavailable), touched  # type: ignore[arg-type]


KINDS = (SERVICES, SLICES, PODS)
