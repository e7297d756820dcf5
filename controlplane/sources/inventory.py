"""The objects of one kind as they were last read.

An object that cannot be read is left out with a problem that names it, and its last good version stays: one bad object
must not take others with it, nor an endpoint that served a moment ago. An event that changes no field that we use is
no change: most events of pods are of that sort.
"""

from __future__ import annotations

from typing import Any

from controlplane.model.fields import ObjectError
from controlplane.model.objects import Key, Object
from controlplane.model.read import read
from controlplane.model.snapshot import Change, Relist
from controlplane.sources.wire import DELETED, Event


class Inventory:
    """One kind. A list is read in pages, between `begin` and `commit`; until then the old state stands."""

    def __init__(self, kind: str, loopback: bool = False) -> None:
        self.kind = kind
        self._loopback = loopback
        self.objects: dict[Key, Object] = {}
        self.unreadable = 0
        self._faults: dict[Key, str] = {}
        self._listed: dict[Key, Object] = {}
        self._listed_faults: dict[Key, str] = {}

    def begin(self) -> None:
        self._listed, self._listed_faults = {}, {}

    def add(self, items: list[Any]) -> None:
        for raw in items:
            key = name(raw)
            item = self._read(key, raw, self._listed_faults)
            if item is not None:
                self._listed[item.key] = item

    def commit(self) -> Relist:
        self.objects, self._faults = self._listed, self._listed_faults
        self.begin()
        return self.relist(True)

    def relist(self, available: bool) -> Relist:
        return Relist(self.kind, tuple(self.objects.values()), available)

    def apply(self, event: Event) -> Change | None:
        """What an event of a watch changes; None where it changes nothing."""
        key = name(event.item)
        self._faults.pop(key, None)
        if event.type == DELETED:
            return Change(self.kind, key, None) if self.objects.pop(key, None) is not None else None
        item = self._read(key, event.item, self._faults)
        if item is None or self.objects.get(item.key) == item:
            return None
        self.objects[item.key] = item
        return Change(self.kind, item.key, item)

    def problems(self) -> list[str]:
        return list(self._faults.values())

    def _read(self, key: Key, raw: Any, faults: dict[Key, str]) -> Object | None:
        """The object, or its last good version, or None."""
        try:
            return read(self.kind, raw, self._loopback)
        except ObjectError as error:
            self.unreadable += 1
            last = self.objects.get(key)
            consequence = "its last good version stays in use" if last is not None else "it is left out"
            faults[key] = f"{str(error).removesuffix('.')}; {consequence}"
            return last


def name(raw: Any) -> Key:
    """The key of an object that may be malformed; as good as it says."""
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(metadata, dict):
        return "default", ""
    return str(metadata.get("namespace") or "default"), str(metadata.get("name"))
