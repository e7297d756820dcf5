"""How fast large answers leave the admin port, all together: who asks for them all the time must not cost a CPU.

Invariant: beyond a burst there are no more than `BYTES_PER_S`. Small answers, as to probes, wait for nobody.
"""

from __future__ import annotations

# A hundred times what a scrape each second of an ordinary sidecar is; 64 of 4 MB at once take 8 s.
BYTES_PER_S = 32 * 1024 * 1024
# One large scrape, as fast as its reader reads.
BURST_BYTES = 8 * 1024 * 1024
_SMALL_BYTES = 4096


class Pace:
    """One per admin port. `due_s` is when everything so far would have left at an even pace."""

    __slots__ = ("due_s",)

    def __init__(self) -> None:
        self.due_s = 0.0

    def take(self, size: int, now: float) -> float:
        """How long to wait, after a piece of this size, with the next one."""
        if size < _SMALL_BYTES:
            return 0.0
        self.due_s = max(self.due_s, now - BURST_BYTES / BYTES_PER_S) + size / BYTES_PER_S
        return max(0.0, self.due_s - now)
