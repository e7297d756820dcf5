"""The circuit breaker of one endpoint: what it counts, and its ejection with backoff and probes.

Counting and timing only; which endpoint may be ejected at all is the balancer's to say, since that depends on the
others. An ejected endpoint gets one request, the probe, each time its backoff has run out. The probe's verdict readmits
the endpoint or doubles the backoff; a probe without a verdict (cancelled, refused, silent) is simply followed by the
next one after the same backoff. Requests that were begun before the probe say nothing about the endpoint as it is now.

Invariant: while `ejected`, no count changes.
"""

from __future__ import annotations

from proxy.balance.settings import Settings

_NEVER = float("inf")
# `now - elapsed_s` gives the time of the probe's begin only up to rounding.
_ROUNDING_S = 1e-6


class Breaker:
    """Counts cover the current and the previous half of the window, so the last 5 to 10 s of the default."""

    __slots__ = (
        "_faults",
        "_half_s",
        "_old_faults",
        "_old_successes",
        "_rolls_at_s",
        "_successes",
        "backoff_s",
        "ejected",
        "forgiven_at_s",
        "jittered",
        "probe_at_s",
        "probed_at_s",
        "settings",
        "streak",
    )

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._half_s = settings.window_s / 2
        self._rolls_at_s = 0.0
        self.streak = 0
        self._successes = self._faults = self._old_successes = self._old_faults = 0
        self.ejected = False
        self.jittered = False
        self.backoff_s = 0.0
        self.probe_at_s = _NEVER
        self.probed_at_s = _NEVER
        self.forgiven_at_s = 0.0

    def success(self, now: float) -> None:
        if now >= self._rolls_at_s:
            self._roll(now)
        self.streak = 0
        self._successes += 1

    def fault(self, now: float) -> None:
        if now >= self._rolls_at_s:
            self._roll(now)
        self.streak += 1
        self._faults += 1

    def faults(self, now: float) -> int:
        """Faults within the window."""
        if now >= self._rolls_at_s:
            self._roll(now)
        return self._faults + self._old_faults

    def requests(self, now: float) -> int:
        """Requests with an outcome within the window."""
        return self.faults(now) + self._successes + self._old_successes

    def eject(self, now: float, at_least_s: float) -> None:
        """Start a backoff: the shortest, or twice the last one unless that is long forgiven."""
        settings = self.settings
        repeated = now < self.forgiven_at_s
        self.backoff_s = min(2 * self.backoff_s, settings.backoff_max_s) if repeated else settings.backoff_min_s
        wait_s = max(self.backoff_s, at_least_s)
        self.ejected = True
        self.jittered = False
        self.probe_at_s = now + wait_s
        self.probed_at_s = _NEVER
        self.forgiven_at_s = now + wait_s + settings.backoff_max_s
        self.streak = 0
        self._successes = self._faults = self._old_successes = self._old_faults = 0

    def delay(self, fraction: float) -> None:
        """Once per backoff, put the probe off by this part of it."""
        if not self.jittered:
            self.jittered = True
            self.probe_at_s += fraction * self.backoff_s

    def probe(self, now: float) -> None:
        """The endpoint is handed out as a probe; if no verdict comes, again after the same backoff."""
        self.probed_at_s = now
        self.probe_at_s = now + self.backoff_s

    def is_probe(self, elapsed_s: float, now: float) -> bool:
        """Whether the request that has taken `elapsed_s` since its begin is the probe."""
        return now - elapsed_s >= self.probed_at_s - _ROUNDING_S

    def readmit(self) -> None:
        self.ejected = False
        self.probe_at_s = self.probed_at_s = _NEVER

    def _roll(self, now: float) -> None:
        # After a whole silent half, what was current is as old as what was old.
        stale = now >= self._rolls_at_s + self._half_s
        self._old_successes = 0 if stale else self._successes
        self._old_faults = 0 if stale else self._faults
        self._successes = self._faults = 0
        self._rolls_at_s = now + self._half_s
