"""Which Services a slice or a pod concerns, so that a change is not looked for everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.model.objects import Key, Pod, Slice

Name = str | Key  # of a pod in a slice: its UID, or its key where the slice gives no UID


class Index:
    """From a Service to its slices, and from a pod to the slices that name it."""

    def __init__(self) -> None:
        self._slices_of: dict[Key, set[Key]] = {}
        self._naming: dict[Name, set[Key]] = {}

    def replace(self, before: Slice | None, now: Slice | None) -> None:
        """Takes up that a slice has come, changed or gone."""
        if before is not None:
            _discard(self._slices_of, (before.namespace, before.service), before.key)
            for name in _names(before) - _names(now):
                _discard(self._naming, name, before.key)
        if now is not None:
            self._slices_of.setdefault((now.namespace, now.service), set()).add(now.key)
            for name in _names(now) - _names(before):
                self._naming.setdefault(name, set()).add(now.key)

    def slices_of(self, service: Key, slices: Mapping[Key, Slice]) -> list[Slice]:
        return [slices[key] for key in self._slices_of.get(service, ())]

    def services_naming(self, pods: Iterable[Pod | None], slices: Mapping[Key, Slice]) -> set[Key]:
        """The Services with a slice that names one of these pods."""
        names = [name for pod in pods if pod is not None for name in (pod.uid, pod.key)]
        keys = {key for name in names for key in self._naming.get(name, ())}
        return {(slices[key].namespace, slices[key].service) for key in keys}


def _names(item: Slice | None) -> set[Name]:
    if item is None:
        return set()
    return {name for endpoint in item.endpoints if (name := endpoint.pod_uid or endpoint.pod)}


def _discard(table: dict[Key, set[Key]] | dict[Name, set[Key]], name: Name, key: Key) -> None:
    holders = table[name]  # type: ignore[index]
    holders.discard(key)
    if not holders:
        del table[name]  # type: ignore[arg-type]
