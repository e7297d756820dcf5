"""Who is connected to the admin port, and who goes where there are too many: whoever loses least.

Probes must get through a storm of connects: so who has just come has a moment to ask, even where there are too many,
and nobody is searched for. Invariant: there are never more than `MAX_STORM`, and who comes finds no more than
`MAX_GUESTS` that have had their moment.
"""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

MAX_GUESTS = 64
MAX_STORM = 512
# A client on the same network has asked by then.
MOMENT_S = 0.1
# What is lost with one, the least first: nothing was asked; all was sent; an answer is under way.
SILENT, ANSWERED, ASKING = range(3)


class Guest(Protocol):
    def abort(self) -> None: ...


G = TypeVar("G", bound=Guest)


class Guests(Generic[G]):
    """Guests of each rank, the oldest first, with the time of their coming."""

    __slots__ = ("_ranks", "is_empty")

    def __init__(self) -> None:
        self._ranks: tuple[dict[G, float], ...] = ({}, {}, {})
        self.is_empty = asyncio.Event()
        self.is_empty.set()

    def count(self) -> int:
        return sum(len(rank) for rank in self._ranks)

    def all(self) -> list[G]:
        return [guest for rank in self._ranks for guest in rank]

    def admit(self, guest: G, now: float) -> None:
        """Take one in; others may have to go."""
        while (count := self.count()) >= MAX_GUESTS:
            rank = next(rank for rank in self._ranks if rank)
            victim, since_s = next(iter(rank.items()))
            if count < MAX_STORM and now - since_s < MOMENT_S:
                break
            self.forget(victim)
            victim.abort()
        self._ranks[SILENT][guest] = now
        self.is_empty.clear()

    def move(self, guest: G, before: int, after: int) -> None:
        """It has asked, or got all of its answer; one that had to go stays forgotten."""
        since_s = self._ranks[before].pop(guest, None)
        if since_s is not None:
            self._ranks[after][guest] = since_s

    def forget(self, guest: G) -> None:
        for rank in self._ranks:
            rank.pop(guest, None)
        if not self.count():
            self.is_empty.set()
