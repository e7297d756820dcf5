"""How fast a client may ask: a token bucket, filled with time. Who asks faster is read later, and nothing is refused.

A sidecar asks four times for each new name, a cost of one each, and may start with 1,000 of them; a large request costs
more, since it takes longer to read.
"""

from __future__ import annotations

PER_S = 100.0
BURST = 1000.0
BYTES_PER_COST = 4096


class Allowance:
    def __init__(self, now: float) -> None:
        self._left = BURST
        self._at = now

    def spend(self, request_bytes: int, now: float) -> float:
        """A request has been read; the result is how long to wait before the next, in seconds."""
        self._left = min(BURST, self._left + (now - self._at) * PER_S)
        self._at = now
        self._left -= 1 + request_bytes / BYTES_PER_COST
        return max(0.0, -self._left / PER_S)
