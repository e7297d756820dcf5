"""Keys that several objects may claim, of which one wins by a rule that does not depend on who came first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

Claimant = TypeVar("Claimant")


class Claims(Generic[Claimant]):
    """Who claims which key."""

    def __init__(self) -> None:
        self._claimants: dict[str, set[Claimant]] = {}

    def replace(self, claimant: Claimant, before: Iterable[str], now: Iterable[str]) -> set[str]:
        """Lets `claimant` hold `now` in place of `before`; returns all of these keys."""
        for key in before:
            holders = self._claimants.get(key, set())
            holders.discard(claimant)
            if not holders:
                self._claimants.pop(key, None)
        for key in now:
            self._claimants.setdefault(key, set()).add(claimant)
        return {*before, *now}

    def of(self, key: str) -> frozenset[Claimant] | set[Claimant]:
        return self._claimants.get(key, frozenset())
