"""When a state of a service reached the sidecars. Pure.

A control plane may skip states: a client gets the newest. So whoever has a later state has passed all before it, and a
change has arrived everywhere when each follower acknowledged its state or one that came after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Addresses = frozenset[str]


@dataclass(slots=True)
class Step:
    """A version of a service's endpoints: when the first and the last sidecar had acknowledged it or a later one."""

    addresses: Addresses
    first_s: float
    last_s: float
    sidecars: int = 0


class Timeline:
    """The versions of one service, in the order in which they were first seen."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.returns = 0  # to a version that had been left
        self._index: dict[str, int] = {}
        self._positions: dict[int, int] = {}

    def knows(self, version: str) -> bool:
        return version in self._index

    def add(self, version: str, addresses: Addresses, now: float) -> None:
        self._index[version] = len(self.steps)
        self.steps.append(Step(addresses, now, now))

    def reach(self, sidecar: int, version: str, now: float) -> None:
        """This sidecar has acknowledged the version, which is known here."""
        index, position = self._index[version], self._positions.get(sidecar, -1)
        if index <= position:
            self.returns += 1
            return
        for step in self.steps[position + 1 : index + 1]:
            step.sidecars += 1
            step.last_s = now
        self._positions[sidecar] = index


@dataclass(frozen=True, slots=True)
class Change:
    """A write to the API: sent, answered, and seen on a watch; all by the same monotonic clock.

    `addresses` are the service's after it.
    """

    service: str
    addresses: Addresses
    sent_s: float
    returned_s: float
    event_s: float


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of a change: None while some follower still lacks it."""

    change: Change
    last_s: float | None

    def lag_s(self, since: str) -> float:
        """From `sent_s`, `returned_s` or `event_s` to the last acknowledgement."""
        assert self.last_s is not None
        return float(self.last_s - getattr(self.change, since))


def settle(changes: Sequence[Change], steps: Sequence[Step], followers: int) -> list[Arrival]:
    """The changes of one service, each of another state, in their order."""
    places = {change.addresses: place for place, change in enumerate(changes)}
    reached: list[float | None] = [None] * len(changes)
    for step in reversed(steps):
        place = places.get(step.addresses)
        if place is not None and step.sidecars >= followers:
            reached[: place + 1] = [step.last_s] * (place + 1)
    return [Arrival(change, last_s) for change, last_s in zip(changes, reached, strict=True)]


def settle_all(
    changes: Sequence[Change], timelines: Mapping[str, Sequence[Step]], followers: Mapping[str, int]
) -> list[Arrival]:
    """All changes, whatever their service."""
    by_service: dict[str, list[Change]] = {}
    for change in changes:
        by_service.setdefault(change.service, []).append(change)
    return [
        arrival
        for service, found in by_service.items()
        for arrival in settle(found, timelines[service], followers[service])
    ]


def find_appearance(steps: Sequence[Step], address: str) -> Step | None:
    """The first state after the start that has the address."""
    return next((step for step in steps[1:] if address in step.addresses), None)


def find_disappearance(steps: Sequence[Step], address: str) -> Step | None:
    """The first state without the address, after those that had it."""
    had = [address in step.addresses for step in steps]
    if True not in had:
        return None
    began = had.index(True)
    return next((step for step, has in zip(steps[began:], had[began:], strict=True) if not has), None)
