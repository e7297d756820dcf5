"""How many clients one direction has room for: connections of HTTP/2, HTTP/1, raw TCP, and undecided ones, together.

Invariant: they never take more than three quarters of the process's descriptors, so that some are left for endpoints
and the admin port. When there are too many, those that never asked for anything go first, then those that have been
idle for longest, of some that are looked at in turn; who was of use a moment ago stays, and then it is the newcomer who
goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import nsmallest
from itertools import chain, islice
from time import monotonic
from typing import NamedTuple, Protocol

from proxy.net.descriptors import raise_descriptors
from proxy.net.relief import MAX_HELD_BYTES, Holder, relieve
from proxy.relay.relay import Tally

# Each idle one costs about 2 KB.
MAX_CONNECTIONS = 10_000
TOO_MANY = "too many connections"
# Of the process's descriptors, what is left for everything but clients.
_RESERVED_PART = 0.25
# Those who wait to be let in have this part of the clients' descriptors beside them, or half of what these leave.
_WAITING_PART = 1 / 8
# A connection that has been of use is idle only after so long: the next request may be on its way.
_RECENT_S = 10.0
# Where there are too many, so many are looked at, in turn, and of these no more than so many go: to look at all, and to
# end many, would take longer than others can wait. (Redis chooses among samples, too: maxmemory-samples.)
_LOOKED = 128
_ENDED = 4
# Nor more than this part of all.
_PART = 20
# Where nobody could go, nobody is looked for again so soon: a flood would make us look for each newcomer.
_REST_S = 0.01


class Idle(NamedTuple):
    """A connection that could go. `is_used`: it was of use before; `since_s` is since when it is not."""

    is_used: bool
    since_s: float
    end: Callable[[], object]


class Kind(Holder, Protocol):
    """All connections of one kind."""

    def count(self) -> int: ...

    def count_descriptors(self) -> int: ...

    def count_expected(self) -> int:
        """Of these, how many are not open yet."""

    def find_idle(self) -> Iterator[Idle | None]:
        """One after the other of those that there were when it was asked; None for who cannot go, or has gone."""


class Room:
    """One per direction. Who is ended or refused is counted by `tally`, whatever its kind."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.kinds: list[Kind] = []
        self.max_connections = MAX_CONNECTIONS
        self.max_descriptors = MAX_CONNECTIONS * 2
        self.max_held_bytes = MAX_HELD_BYTES
        self.rests_until_s = 0.0
        # Those that were not looked at yet.
        self.walk: Iterator[Idle | None] = iter(())

    def join(self, kind: Kind) -> None:
        """Count these connections too."""
        self.kinds.append(kind)

    def measure(self, directions: int = 1) -> None:
        """Before anybody is accepted: so many directions share the process's descriptors (the most that was said)."""
        part = (1.0 - _RESERVED_PART) / directions
        self.max_descriptors = min(self.max_descriptors, int(raise_descriptors() * part))

    def _count_excess(self) -> int:
        """How many more there are than may be; below 0 there is room.

        It grows without newcomers too: a request of HTTP/1 takes a second descriptor, for its endpoint.
        """
        connections = descriptors = 0
        for kind in self.kinds:
            connections += kind.count()
            descriptors += kind.count_descriptors()
        return max(connections - self.max_connections, descriptors - self.max_descriptors)

    def count_places(self) -> int:
        """How many may wait for `admit`, with a descriptor each: a flood that is here leaves the kernel's queue to
        others. It borrows what is not open yet, since it does not wait for long."""
        expected = sum(kind.count_expected() for kind in self.kinds)
        return max(int(self.max_descriptors * _WAITING_PART), (expected - self._count_excess()) // 2)

    def admit(self) -> bool:
        """Whether there is room for one more; made, where it can be."""
        excess = self._count_excess()
        if excess < 0:
            return True
        now = monotonic()
        if now >= self.rests_until_s:
            gone = self._make(now)
            # Some kinds take a moment to go. Where there are far too many, each newcomer makes them fewer.
            if gone > min(excess, _ENDED - 1) or self._count_excess() < 0:
                return True
            if not gone:
                self.rests_until_s = now + _REST_S
        self.tally.protocol_fault("downstream", TOO_MANY)
        return False

    async def relieve(self) -> None:
        """End those for whom too much waits; to be called every second or so."""
        if self._count_excess() < 0:
            self.walk = iter(())  # it holds some that are gone
        await relieve(self.kinds, self.tally, self.max_held_bytes)

    def _make(self, now: float) -> int:
        """End those who should go first of the next few; how many went."""
        before_s = now - _RECENT_S
        idle = [one for one in self._look() if one and (not one.is_used or one.since_s < before_s)]
        most = max(1, min(_ENDED, min(self.max_connections, self.max_descriptors) // _PART))
        chosen = nsmallest(most, idle, key=lambda one: (one.is_used, one.since_s))
        for one in chosen:
            one.end()
            self.tally.protocol_fault("downstream", TOO_MANY)
        return len(chosen)

    def _look(self) -> list[Idle | None]:
        seen = list(islice(self.walk, _LOOKED))
        if len(seen) < _LOOKED:
            self.walk = chain.from_iterable(kind.find_idle() for kind in self.kinds)
            seen = list(islice(self.walk, _LOOKED))
        return seen
