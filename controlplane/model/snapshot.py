"""All objects that are known, at one moment.

A source says what changed as `Change`s; `Snapshot.after` gives the next snapshot and which objects really differ. A
snapshot is never changed, so whoever holds one may keep it.
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
    """All objects of a kind: what is not among them is gone."""

    kind: str
    objects: tuple[Object, ...]


Touched = frozenset[tuple[str, Key]]  # (kind, key) of objects that differ between two snapshots


@dataclass(frozen=True, slots=True)
class Snapshot:
    services: Mapping[Key, Service] = field(default_factory=dict)
    endpointslices: Mapping[Key, Slice] = field(default_factory=dict)
    pods: Mapping[Key, Pod] = field(default_factory=dict)

    def after(self, changes: Iterable[Change | Relist]) -> tuple[Snapshot, Touched]:
        """The snapshot after these changes, in their order, and what differs. One copy of each kind that changed."""
        tables: dict[str, dict[Key, Object]] = {}
        for change in changes:
            table = tables.setdefault(change.kind, dict(getattr(self, change.kind)))
            if isinstance(change, Relist):
                table.clear()
                table.update({item.key: item for item in change.objects})
            elif change.now is None:
                table.pop(change.key, None)
            else:
                table[change.key] = change.now
        touched = frozenset(
            (kind, key)
            for kind, table in tables.items()
            for key in table.keys() | getattr(self, kind).keys()
            if table.get(key) != getattr(self, kind).get(key)
        )
        return replace(self, **tables), touched  # type: ignore[arg-type]


KINDS = (SERVICES, SLICES, PODS)
