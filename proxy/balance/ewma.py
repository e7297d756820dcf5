"""The latency estimate of one endpoint: a peak that decays.

A slower sample is taken over at once, so traffic leaves a pod the moment it slows down; without one the estimate
decays exponentially towards zero, not towards the fleet's median, so that every endpoint is drawn again in bounded
time: one that failed once would otherwise starve for ever. A faster sample therefore changes nothing: the decay has
already lowered the estimate as far as time allows. (tower folds a zero into its average on every read, which comes to
the same; here reads do not write.)

An endpoint that could not be reached for a while begins with a new one (`Endpoint.renew`).

Invariant: between two writes `read` falls monotonically, and a write never lowers it, save for the first sample, which
replaces the default.
"""

from __future__ import annotations

import math

# A sample of 0 (two events of one read share one clock value) must not make an endpoint free, however busy it is.
MIN_RTT_S = 1e-5


class PeakEwma:
    """`known` is False until the first sample: the default stands in for it and does not decay."""

    __slots__ = ("at_s", "decay_s", "known", "rtt_s")

    def __init__(self, default_s: float, decay_s: float) -> None:
        self.rtt_s = default_s
        self.decay_s = decay_s
        self.at_s = 0.0
        self.known = False

    def read(self, now: float) -> float:
        """The estimate in seconds at `now`."""
        if not self.known:
            return self.rtt_s
        return self.rtt_s * math.exp((self.at_s - now) / self.decay_s)

    def observe(self, rtt_s: float, now: float) -> None:
        """A measured latency."""
        if not self.known or rtt_s > self.read(now):
            self._set(rtt_s, now)

    def raise_to(self, bound_s: float, now: float) -> None:
        """A lower bound of a latency, or a penalty: never lowers the estimate, not even the default.

        It ends the default's standstill all the same: an endpoint that only ever lets clients wait is not unknown.
        """
        estimate_s = self.read(now)
        if bound_s > estimate_s or not self.known:
            self._set(max(bound_s, estimate_s), now)

    def _set(self, rtt_s: float, now: float) -> None:
        self.rtt_s = rtt_s if rtt_s > MIN_RTT_S else MIN_RTT_S
        self.at_s = now
        self.known = True
