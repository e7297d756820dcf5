"""One direction's way to its end, sans-I/O: it serves, lingers (still serving all that comes), and is then drained.

Invariant: a phase is never gone back to, and being told again can only bring the end nearer.
"""

from __future__ import annotations

from math import inf

SERVING, LINGERING, DRAINING, ENDED = range(4)


class Course:
    """`advance` is to be asked now and again; what draining takes is the caller's."""

    __slots__ = ("_busy_s", "_quiet_s", "_until_s", "phase")

    def __init__(self) -> None:
        self.phase = SERVING
        self._until_s = inf
        self._quiet_s = inf
        self._busy_s = 0.0

    def begin(self, now: float, linger_s: float, quiet_s: float = inf) -> None:
        """Linger for `linger_s`, or less: until nothing has been busy for `quiet_s`."""
        if self.phase == SERVING:
            self.phase = LINGERING
            self._busy_s = now
        self._until_s = min(self._until_s, now + linger_s)
        self._quiet_s = min(self._quiet_s, quiet_s)

    def advance(self, now: float, busy: bool) -> int:
        """The phase that it is in now."""
        if busy:
            self._busy_s = now
        if self.phase == LINGERING and (now >= self._until_s or now - self._busy_s >= self._quiet_s):
            self.phase = DRAINING
        return self.phase

    def end(self) -> None:
        self.phase = ENDED
