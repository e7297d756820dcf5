"""The memory that reviews hold while they are under way: bodies, what is decoded of them, answers; bounded in all.

Whoever reaches the port can begin a body. Where there is no room, who holds most gives way to who would hold less then:
a review of a pod is some tens of KiB, and connections are too few to fill the room with such.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

_M_MMAP_THRESHOLD: Final = -3  # mallopt(3)
_MAPPED_BYTES: Final = 64 << 10


class Full(Exception):
    """There is no room, and nobody who holds more."""


class Share:
    """What one review holds; `with` gives it back. `leave` ends the review from outside."""

    def __init__(self, room: Room, leave: Callable[[], None]) -> None:
        self.held_bytes = 0
        self.leave = leave
        self._room = room

    def hold(self, more_bytes: int) -> None:
        """Raises Full, also where this one had to go."""
        self._room.make_room(self, more_bytes)
        self.held_bytes += more_bytes

    def __enter__(self) -> Self:
        self._room.shares.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._room.shares.discard(self)


class Room:
    """`shares` are of the reviews under way."""

    def __init__(self, max_bytes: int) -> None:
        self.shares: set[Share] = set()
        self._max_bytes = max_bytes

    def share(self, leave: Callable[[], None]) -> Share:
        return Share(self, leave)

    def make_room(self, share: Share, more_bytes: int) -> None:
        if share not in self.shares:
            raise Full
        while sum(other.held_bytes for other in self.shares) + more_bytes > self._max_bytes:
            largest = max(self.shares, key=lambda other: other.held_bytes)
            if largest.held_bytes <= share.held_bytes + more_bytes:
                raise Full
            self.shares.discard(largest)
            largest.leave()


def give_freed_memory_back() -> None:
    """Large pieces of memory go back to the kernel when they are freed.

    glibc does so only until the first of them is freed, and keeps all below 32 MiB from then on, with holes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries do so anyway
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
